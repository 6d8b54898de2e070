/* Savers: failed, killed and forked saves, and errors of the writing thread. */
#include "small.h"
#include "tests/support/fork.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Failures ------------------------------------------------------------------------------- */

/* Limits the size of files, so that write fails with EFBIG.  Check also writes each assertion to a
 * file, so nothing is asserted until the limit is lifted. */
static bool limit_files(rlim_t most)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = most;
	return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

static void lift_limit(bool was_set)
{
	bool lifted = limit_files(RLIM_INFINITY);

	ck_assert(was_set && lifted);
}

START_TEST(a_failed_save_keeps_the_previous_file)
{
	small m = small_begin(temp_path("a.safetensors"), 0, _i);
	bool limited, saved, arrived, saved_best, best_arrived;

	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_saver_save(m.s, 1) && ebb_saver_wait(m.s));
	small_set(&m, 2);
	limited = limit_files(500);
	saved = ebb_saver_save(m.s, 2);
	arrived = ebb_saver_wait(m.s);
	saved_best = ebb_saver_save_best(m.s, 2, 1);
	best_arrived = ebb_saver_wait(m.s);
	lift_limit(limited);
	ck_assert_int_eq(saved, _i);
	ck_assert(!arrived);
	ck_assert(!saved_best || _i);
	ck_assert(!best_arrived);
	ck_assert(ebb_saver_best(m.s) == -INFINITY);
	assert_error(m.s, "a.safetensors", "File too large");
	ck_assert_int_eq(files(), 1);
	ck_assert_int_eq(ebb_saver_resume(m.s), 1);
	small_check(&m, 1);
	/* Saves are still tried after an error. */
	limited = limit_files(500);
	ebb_saver_save(m.s, 2);
	ebb_saver_wait(m.s);
	lift_limit(limited);
	small_set(&m, 3);
	ck_assert(ebb_saver_save(m.s, 3));
	ck_assert(!ebb_saver_wait(m.s));
	assert_error(m.s, "File too large");
	ck_assert_int_eq(ebb_saver_resume(m.s), 3);
	small_check(&m, 3);
	small_end(&m);
}
END_TEST

/* An error of the writing thread is visible before the next save. */
START_TEST(errors_of_the_writing_thread_are_reported)
{
	small m = small_begin(temp_path("a.safetensors"), 0, true);
	bool limited, saved;

	small_add(&m);
	limited = limit_files(500);
	saved = ebb_saver_save(m.s, 1);
	for (int i = 0; i < 2000 && ebb_ok(m.s); i++)
		usleep(5000);
	lift_limit(limited);
	ck_assert(saved);
	ck_assert(!ebb_ok(m.s));
	assert_error(m.s, "File too large");
	small_end(&m);
}
END_TEST

/* When a score is compared, it is known whether the previous best save succeeded. */
START_TEST(a_failed_best_save_does_not_count)
{
	small m = small_begin(temp_path("a.safetensors"), 0, true);
	bool limited, saved;

	small_add(&m);
	ck_assert(ebb_saver_save_best(m.s, 1, 0.5) && ebb_saver_wait(m.s));
	limited = limit_files(500);
	saved = ebb_saver_save_best(m.s, 2, 0.9);
	usleep(20000);
	lift_limit(limited);
	ck_assert(saved);
	ck_assert(ebb_saver_save_best(m.s, 3, 0.8));
	assert_error(m.s, "File too large");
	ck_assert(ebb_saver_wait(m.s) && ebb_saver_best(m.s) == 0.8);
	small_end(&m);
}
END_TEST

/* An allocator that truncates the file in its call number at. */
typedef struct cutter {
	char path[300];
	int64_t calls, at;
	off_t to;
} cutter;

static void *cutting(void *ctx, void *p, size_t old_size, size_t new_size)
{
	cutter *c = ctx;

	(void)old_size;
	if (c->calls++ == c->at)
		ck_assert_int_eq(truncate(c->path, c->to), 0);
	if (new_size)
		return realloc(p, new_size);
	free(p);
	return NULL;
}

/* The file is truncated while it is read: either nothing is changed, or the store has an error and
 * cannot be trained. */
START_TEST(a_read_error_during_resume_fails_the_stores)
{
	cutter c = {.at = -1};
	int spoiled = 0, whole = 0, done = 0;
	struct stat st;

	snprintf(c.path, sizeof c.path, "%s/a.safetensors", temp_dir);
	for (int64_t at = 0; !done; at++) {
		small m = small_begin(c.path, 0, false);
		ebb_tape *t = ebb_tape_new();
		ebb_optim *o = ebb_adam(m.p);

		small_add(&m);
		ebb_saver_add(m.s, "optimizer", o);
		small_set(&m, 1);
		ck_assert(ebb_saver_save(m.s, 1) && stat(c.path, &st) == 0);
		small_set(&m, 2);
		c.calls = 0;
		c.at = at;
		c.to = st.st_size - 30;
		ebb_set_allocator(cutting, &c);
		if (ebb_saver_resume(m.s) == 1) {
			done = c.calls <= at;
			whole++;
		} else {
			ck_assert(ebb_saver_error(m.s));
			if (ebb_params_error(m.p)) {
				ck_assert(strstr(ebb_params_error(m.p)->message, "a.safetensors"));
				/* The optimizer makes no step, and the saver does not save. */
				ebb_sum(t, ebb_params_find(m.p, "fc.weight"));
				ck_assert(ebb_failed(t) && !ebb_optim_step(o));
				ck_assert(!ebb_saver_save(m.s, 2));
				spoiled++;
			} else {
				small_check(&m, 2);
				ck_assert(!ebb_optim_error(o));
			}
		}
		c.at = -1;
		ebb_tape_free(t);
		ebb_optim_free(o);
		small_end(&m);
		ebb_set_allocator(NULL, NULL);
	}
	ck_assert_int_gt(spoiled, 0);
	ck_assert_int_gt(whole, 0);
}
END_TEST

START_TEST(items_with_an_error_are_not_saved)
{
	small m = small_begin(temp_path("a.safetensors"), 0, false);

	small_add(&m);
	ck_assert(ebb_saver_save(m.s, 1));
	ebb_params_fail(m.p, EBB_INVALID, NULL, "something");
	ck_assert(!ebb_saver_save(m.s, 2));
	assert_error(m.s, "\"model\" has an error: something");
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	assert_error(m.s, "\"model\" has an error: something");
	ebb_params_clear_error(m.p);
	ebb_add(m.t, NULL, NULL);
	ck_assert(!ebb_saver_save(m.s, 2));
	assert_error(m.s, "\"tape\" has an error");
	ebb_tape_reset(m.t);
	ebb_clear_error(m.t);
	ck_assert(!ebb_saver_save(m.s, -1));
	assert_error(m.s, "step -1");
	memset(m.text, 'a', sizeof m.text);
	ck_assert(!ebb_saver_save(m.s, 2));
	assert_error(m.s, "\"text\" has no NUL");
	ck_assert_int_eq(ebb_saver_resume(m.s), 1);
	small_end(&m);
}
END_TEST

/* Whichever allocation fails: there is an error, the previous file remains, and no memory leaks. */
START_TEST(a_failed_allocation_keeps_the_previous_file)
{
	char path[300];
	int refusals = 0;

	snprintf(path, sizeof path, "%s/a.safetensors", temp_dir);
	for (int64_t at = 0; at < 2000; at++) {
		counting_allocator count;
		bool saved, resumed;
		int64_t live;
		double x = 3, y = 5;
		ebb_saver *s;

		s = ebb_saver_new(path, .keep = 2);
		ebb_saver_add(s, "x", &x);
		/* The state of the previous iteration. */
		ebb_saver_resume(s);
		x = 3;
		ck_assert(ebb_saver_save(s, 1));
		ebb_saver_free(s);
		counting_allocator_install(&count);
		count.fail_at = at;
		s = ebb_saver_new(path, .keep = 2);
		ebb_saver_add(s, "x", &y);
		saved = ebb_saver_save(s, 2);
		ck_assert(saved || !s || ebb_saver_error(s));
		ebb_saver_clear_error(s);
		resumed = ebb_saver_resume(s) >= 0;
		ck_assert(resumed || !s || ebb_saver_error(s));
		ck_assert(y == 5 || (y == 3 && resumed));
		ebb_saver_free(s);
		live = count.live;
		counting_allocator_remove();
		ck_assert_msg(live == 0, "allocation %lld: %lld blocks left", (long long)at,
			(long long)live);
		ck_assert_int_eq(count.wrong, 0);
		ck_assert(saved || !there("a-000000000002.safetensors") || count.refused);
		if (count.refused == 0)
			break;
		refusals++;
	}
	ck_assert_int_gt(refusals, 20);
}
END_TEST

/* So many numbers that a thread writes for some milliseconds. */
enum { MANY = 1 << 20 };

static double *add_many(small *m)
{
	double *many = calloc(MANY, sizeof *many);

	ck_assert(many && ebb_saver_add_f64s(m->s, "many", many, MANY));
	return many;
}

/* ---- Forks ---------------------------------------------------------------------------------- */

#if defined __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif

#ifndef ADDRESS_SANITIZER
/* The child has a saver without its thread: it must not wait for the thread.  (A fork copies the
 * address sanitizer's allocator with its locks taken, so that any free in the child may
 * deadlock.) */
START_TEST(a_child_of_fork_does_not_wait_for_the_parents_thread)
{
	small m = small_begin(temp_path("a.safetensors"), 0, true);
	double *many = add_many(&m);

	small_add(&m);
	small_set(&m, 1);
	for (int i = 0; i < 8; i++) {
		int status;
		pid_t child;

		ck_assert(ebb_saver_save(m.s, i));
		child = fork();
		if (child == 0) {
			bool ok = true;

			alarm(10);
			if (i % 2)
				ok = ebb_saver_wait(m.s) && !ebb_saver_error(m.s);
			ebb_saver_free(m.s);
			_exit(ok ? 0 : 1);
		}
		ck_assert(waitpid(child, &status, 0) == child && status == 0);
	}
	ck_assert(ebb_saver_wait(m.s));
	ck_assert_int_eq(ebb_saver_resume(m.s), 7);
	small_end(&m);
	free(many);
}
END_TEST
#endif

/* Saves one step after another until it is killed; every number is the step. */
static void save_for_ever(small *m, double *many, int64_t from)
{
	for (int64_t step = from;; step++) {
		for (int i = 0; i < MANY / 32; i++)
			many[i] = (double)step;
		if (!ebb_saver_save(m->s, step))
			_exit(1);
	}
}

START_TEST(a_kill_at_any_time_leaves_a_complete_file)
{
	enum { KILLS = 25 };
	int64_t last = 0;
	uint64_t random = 1;

	/* A slow machine may need more kills to get to a second save. */
	for (int k = 0; k < KILLS || last < 2; k++) {
		small m = small_begin(temp_path("a.safetensors"), _i ? 2 : 0, false);
		double *many = calloc(MANY / 32, sizeof *many);
		int64_t step;
		int status;
		pid_t child;

		ebb_saver_add_f64s(m.s, "many", many, MANY / 32);
		child = fork();
		if (child == 0)
			save_for_ever(&m, many, last + 1);
		random = random * 6364136223846793005u + 1442695040888963407u;
		usleep((useconds_t)((random >> 52) * (uint64_t)(1 + k / KILLS)));
		kill(child, SIGKILL);
		ck_assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
		step = ebb_saver_resume(m.s);
		ck_assert_msg(ebb_ok(m.s), "%s", ebb_saver_error(m.s)->message);
		ck_assert(!ebb_saver_note(m.s));
		ck_assert(step >= last || (last == 0 && step == -1));
		for (int i = 0; step >= 0 && i < MANY / 32; i++)
			ck_assert(many[i] == (double)step);
		last = step < 0 ? 0 : step;
		small_end(&m);
		free(many);
	}
}
END_TEST

/* ---- Threads -------------------------------------------------------------------------------- */

static void ignore(int signal)
{
	(void)signal;
}

/* The writing thread blocks all signals: the main thread blocks them too, and receives the pending
 * one. */
START_TEST(the_writing_thread_receives_no_signals)
{
	small m = small_begin(temp_path("a.safetensors"), 0, true);
	double *many = add_many(&m);
	struct timespec now = {0};
	sigset_t set;

	small_add(&m);
	signal(SIGUSR1, ignore);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (int i = 0; i < 20; i++) {
		ck_assert(ebb_saver_save(m.s, i));
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		kill(getpid(), SIGUSR1);
		usleep(200);
		/* The time of the previous save, while this one is written. */
		ck_assert(i == 0 || ebb_saver_seconds(m.s) > 0);
		/* The signal is still pending: no other thread has received it. */
		ck_assert_int_eq(sigtimedwait(&set, NULL, &now), SIGUSR1);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
	ck_assert(ebb_saver_wait(m.s));
	ck_assert(ebb_saver_stall(m.s) > 0 && ebb_saver_seconds(m.s) > 0);
	small_end(&m);
	free(many);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("training saver failures");
	TCase *c = tcase_create("threads");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, a_failed_save_keeps_the_previous_file, 0, 2);
	tcase_add_test(c, errors_of_the_writing_thread_are_reported);
	tcase_add_test(c, a_failed_best_save_does_not_count);
	tcase_add_test(c, a_read_error_during_resume_fails_the_stores);
	tcase_add_test(c, items_with_an_error_are_not_saved);
	tcase_add_test(c, a_failed_allocation_keeps_the_previous_file);
#ifndef ADDRESS_SANITIZER
	tcase_add_test(c, a_child_of_fork_does_not_wait_for_the_parents_thread);
#endif
	tcase_add_loop_test(c, a_kill_at_any_time_leaves_a_complete_file, 0, 2);
	tcase_add_test(c, the_writing_thread_receives_no_signals);
	return run_suite(s);
}
