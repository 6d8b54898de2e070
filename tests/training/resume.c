/* Training that is interrupted and resumed ends bit-identical to uninterrupted training. */
#include "run.h"
#include "tests/support/fork.h"

#include <sys/wait.h>
#include <unistd.h>

/* Each stop ends a run; the next run resumes from its save, and the last one runs to the end. */
static void run_in_parts(const recipe *r, const stop *stops, int count, const char *path)
{
	const char *saved = temp_path("saved.safetensors");
	training_run x;

	for (int i = 0; i <= count; i++) {
		run_begin(&x, r, saved);
		x.step = ebb_saver_resume(x.saver);
		ck_assert_msg(!ebb_saver_error(x.saver), "%s",
			i ? ebb_saver_error(x.saver)->message : "");
		ck_assert_int_eq(x.step >= 0, i > 0);
		if (i == 0)
			x.step = 0;
		else
			ck_assert(x.step == stops[i - 1].step ||
				  (stops[i - 1].behind && x.step >= stops[i - 1].step));
		run_until(&x, i < count ? stops[i] : NEVER);
		if (i == count)
			run_write(&x, path);
		run_end(&x);
	}
	unlink(saved);
}

static void check(const recipe *r, const stop *stops, int count)
{
	char whole[300], parts[300];

	snprintf(whole, sizeof whole, "%s/whole.safetensors", temp_dir);
	snprintf(parts, sizeof parts, "%s/parts.safetensors", temp_dir);
	run_whole(r, whole);
	run_in_parts(r, stops, count, parts);
	ck_assert_msg(same_files(whole, parts),
		"%s, %d workers: differs when stopped after %lld steps%s", r->optimizer, r->workers,
		(long long)stops[0].step, stops[0].behind ? " and the end of the epoch" : "");
}

static const char *const OPTIMIZERS[] = {
	"sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "rmsprop-momentum", "adagrad"};
enum { ALL_OPTIMIZERS = sizeof OPTIMIZERS / sizeof *OPTIMIZERS };

START_TEST(every_optimizer_resumes_in_mid_epoch)
{
	recipe r = {.optimizer = OPTIMIZERS[_i], .augment = true, .workers = 4, .dropout = true};

	check(&r, (stop[]){{7, false}}, 1);
	r.workers = 0;
	r.groups = true;
	check(&r, (stop[]){{3, false}, {8, false}}, 2);
}
END_TEST

START_TEST(resnet20_resumes_with_its_running_statistics)
{
	recipe r = {.optimizer = OPTIMIZERS[_i],
		.resnet = true,
		.depth = 20,
		.augment = true,
		.workers = 4,
		.background = true};

	check(&r, (stop[]){{6, false}, {11, false}}, 2);
}
END_TEST

/* In the middle of an epoch, after the last batch, after the end of the epoch, and before the first
 * step. */
START_TEST(a_run_resumes_from_a_save_at_any_step)
{
	static const int workers[] = {0, 1, 4};
	recipe r = {
		.optimizer = "momentum", .augment = true, .dropout = true, .workers = workers[_i]};

	check(&r, (stop[]){{1, false}}, 1);
	check(&r, (stop[]){{BATCHES - 1, false}}, 1);
	check(&r, (stop[]){{BATCHES, false}}, 1);
	check(&r, (stop[]){{BATCHES, true}}, 1);
	check(&r, (stop[]){{BATCHES + 1, false}, {BATCHES + 2, false}, {2 * BATCHES, true}}, 3);
	check(&r, (stop[]){{EPOCHS * BATCHES, false}}, 1);
	check(&r, (stop[]){{EPOCHS * BATCHES, true}}, 1);
}
END_TEST

START_TEST(double_precision_resumes)
{
	recipe r = {.optimizer = "adam", .dtype = EBB_F64, .dropout = true, .workers = 1};

	check(&r, (stop[]){{7, false}}, 1);
}
END_TEST

START_TEST(groups_and_frozen_parameters_resume)
{
	recipe r = {.optimizer = "adamw", .groups = true}, plain = {.optimizer = "adamw"};
	char path[300];
	training_run x;

	snprintf(path, sizeof path, "%s/groups.safetensors", temp_dir);
	check(&r, (stop[]){{7, false}}, 1);
	/* ebb_optim_scale and ebb_params_freeze are part of the saved state: the program need not
	 * call them again. */
	run_begin(&x, &r, path);
	run_until(&x, (stop){4, false});
	run_end(&x);
	run_begin(&x, &plain, path);
	ck_assert_int_eq(ebb_saver_resume(x.saver), 4);
	ck_assert(!ebb_requires_grad(ebb_params_find(x.p, "conv1.bias")));
	ck_assert(ebb_requires_grad(ebb_params_find(x.p, "conv1.weight")));
	x.step = 4;
	run_until(&x, NEVER);
	run_write(&x, path);
	run_end(&x);
	run_whole(&r, temp_path("whole.safetensors"));
	ck_assert(same_files(path, temp_path("whole.safetensors")));
	/* The reverse: parameters that were not frozen when saved are not frozen after the
	 * resume. */
	run_begin(&x, &plain, path);
	run_until(&x, (stop){4, false});
	run_end(&x);
	run_begin(&x, &r, path);
	ck_assert_int_eq(ebb_saver_resume(x.saver), 4);
	ck_assert(ebb_requires_grad(ebb_params_find(x.p, "conv1.bias")));
	run_end(&x);
}
END_TEST

/* Another number of workers, and saving in the background, change nothing. */
START_TEST(workers_and_background_saves_change_nothing)
{
	recipe one = {.optimizer = "adam", .augment = true}, other = one;
	char whole[300];
	const char *path = temp_path("saved.safetensors");
	training_run x;

	snprintf(whole, sizeof whole, "%s/whole.safetensors", temp_dir);
	run_whole(&one, whole);
	run_begin(&x, &one, path);
	run_until(&x, (stop){6, false});
	run_end(&x);
	other.workers = 3;
	other.background = true;
	run_begin(&x, &other, path);
	x.step = ebb_saver_resume(x.saver);
	ck_assert_int_eq(x.step, 6);
	while (x.step < 12) {
		run_until(&x, (stop){x.step + 1, false});
	}
	run_until(&x, NEVER);
	ck_assert(ebb_saver_wait(x.saver));
	run_write(&x, path);
	run_end(&x);
	ck_assert(same_files(path, whole));
}
END_TEST

/* A background save contains the values at the time of the call, although training changes them
 * while they are written. */
START_TEST(a_background_save_has_the_values_of_its_call)
{
	recipe r = {.optimizer = "momentum"};
	char before[300], path[300];
	training_run x;

	snprintf(before, sizeof before, "%s/before.safetensors", temp_dir);
	snprintf(path, sizeof path, "%s/saved.safetensors", temp_dir);
	r.background = true;
	run_begin(&x, &r, path);
	run_until(&x, (stop){5, false});
	for (int i = 0; i < 5; i++) {
		ebb_batch b;

		run_write(&x, before);
		ck_assert(ebb_saver_save(x.saver, x.step));
		if (ebb_loader_next(x.loader, &b))
			run_step(&x, &b);
		ck_assert(ebb_saver_wait(x.saver));
		ck_assert(same_files(path, before));
	}
	run_end(&x);
}
END_TEST

START_TEST(another_process_resumes)
{
	recipe r = {.optimizer = "adamw", .augment = true, .workers = 4, .dropout = true};
	char whole[300];
	const char *path = temp_path("saved.safetensors");
	training_run x;
	int status;
	pid_t child;

	if (!child_may_start_threads())
		return;
	snprintf(whole, sizeof whole, "%s/whole.safetensors", temp_dir);
	run_whole(&r, whole);
	child = fork();
	if (child == 0) {
		run_begin(&x, &r, path);
		run_until(&x, (stop){8, false});
		run_end(&x);
		_exit(0);
	}
	ck_assert(waitpid(child, &status, 0) == child && status == 0);
	run_begin(&x, &r, path);
	x.step = ebb_saver_resume(x.saver);
	ck_assert_int_eq(x.step, 8);
	run_until(&x, NEVER);
	run_write(&x, path);
	run_end(&x);
	ck_assert(same_files(path, whole));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("training resume");
	TCase *c = tcase_create("resume"), *threads = tcase_create("threads");

	suite_add_tcase(s, c);
	suite_add_tcase(s, threads);
	tcase_set_timeout(c, 60);
	tcase_set_timeout(threads, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_checked_fixture(threads, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, every_optimizer_resumes_in_mid_epoch, 0, ALL_OPTIMIZERS);
	tcase_add_loop_test(c, resnet20_resumes_with_its_running_statistics, 0, ALL_OPTIMIZERS);
	tcase_add_loop_test(c, a_run_resumes_from_a_save_at_any_step, 0, 3);
	tcase_add_test(c, double_precision_resumes);
	tcase_add_test(c, groups_and_frozen_parameters_resume);
	tcase_add_test(c, another_process_resumes);
	/* The thread sanitizer runs this test case. */
	tcase_add_test(threads, workers_and_background_saves_change_nothing);
	tcase_add_test(threads, a_background_save_has_the_values_of_its_call);
	return run_suite(s);
}
