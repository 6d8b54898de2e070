/* Savers: what is saved comes back, what cannot be is refused as a whole, and files are kept as asked. */
#include "run.h"
#include "tests/support/fork.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- A small run ---------------------------------------------------------------------------- */

typedef struct small {
	ebb_params *p;
	ebb_tensor *x; /* channels-last */
	double number, list[3];
	int64_t big;
	uint64_t bits;
	int small;
	bool flag;
	char text[32];
	ebb_average average;
	ebb_tape *t;
	ebb_saver *s;
} small;

static void fill(ebb_tensor *x, double from)
{
	float *v = ebb_data_mutable(x);

	for (int64_t i = 0; i < ebb_count(x); i++)
		v[i] = (float)(from + (double)i);
}

static small small_begin(const char *path, int keep, bool background)
{
	ebb_error e = {0};
	small m = {.p = ebb_params_new(1), .t = ebb_tape_new()};

	ebb_linear_new(m.p, "fc", 3, 2);
	ebb_buffers_add(m.p, "mean", EBB_SHAPE(2), 0);
	m.x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 2, 2), true, NULL);
	m.s = ebb_saver_new(path, .keep = keep, .background = background, .error = &e);
	ck_assert_msg(m.s, "%s", e.message);
	return m;
}

/* All that there is, once it has its place. */
static void small_add(small *m)
{
	ebb_saver_add(m->s, "model", m->p);
	ebb_saver_add(m->s, "x", m->x);
	ebb_saver_add(m->s, "number", &m->number);
	ebb_saver_add_f64s(m->s, "list", m->list, 3);
	ebb_saver_add(m->s, "big", &m->big);
	ebb_saver_add(m->s, "bits", &m->bits);
	ebb_saver_add(m->s, "small", &m->small);
	ebb_saver_add(m->s, "flag", &m->flag);
	ebb_saver_add_text(m->s, "text", m->text, sizeof m->text);
	ebb_saver_add(m->s, "average", &m->average);
	ebb_saver_add(m->s, "tape", m->t);
	ck_assert(!ebb_saver_error(m->s));
}

static void small_set(small *m, int k)
{
	fill(ebb_params_find(m->p, "fc.weight"), 10 * k);
	fill(ebb_params_find(m->p, "mean"), 100 * k);
	fill(m->x, 1000 * k);
	m->number = k / 3.0;
	for (int i = 0; i < 3; i++)
		m->list[i] = k + i / 7.0;
	m->big = INT64_MIN + k;
	m->bits = UINT64_MAX - (uint64_t)k;
	m->small = -k;
	m->flag = k % 2;
	snprintf(m->text, sizeof m->text, "step \xc3\xa9 %d", k);
	m->average = (ebb_average){k * 1.5, k + 0.25};
	ebb_set_random_state(m->t, (ebb_random){UINT64_MAX - 5, (uint64_t)k << 40});
}

static void small_check(const small *m, int k)
{
	small want = {.p = ebb_params_new(1),
		.t = ebb_tape_new(),
		.x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 2, 2), true, NULL)};
	ebb_random r = ebb_random_state(m->t), q;

	ebb_linear_new(want.p, "fc", 3, 2);
	ebb_buffers_add(want.p, "mean", EBB_SHAPE(2), 0);
	small_set(&want, k);
	q = ebb_random_state(want.t);
	ck_assert(params_hash(m->p) == params_hash(want.p) && all_same(m->x, want.x));
	ck_assert(m->number == want.number && memcmp(m->list, want.list, sizeof m->list) == 0);
	ck_assert(m->big == want.big && m->bits == want.bits && m->small == want.small);
	ck_assert(m->flag == want.flag && strcmp(m->text, want.text) == 0);
	ck_assert(m->average.sum == want.average.sum && m->average.weight == want.average.weight);
	ck_assert(r.seed == q.seed && r.stream == q.stream);
	ebb_params_free(want.p);
	ebb_tape_free(want.t);
	ebb_tensor_free(want.x);
}

static void small_end(small *m)
{
	ebb_saver_free(m->s);
	ebb_params_free(m->p);
	ebb_tensor_free(m->x);
	ebb_tape_free(m->t);
}

static bool there(const char *name)
{
	return access(temp_path(name), F_OK) == 0;
}

static int files(void)
{
	DIR *d = opendir(temp_dir);
	int n = 0;

	ck_assert(d);
	for (const struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void damage(const char *name)
{
	int fd = open(temp_path(name), O_WRONLY);

	ck_assert(fd >= 0 && ftruncate(fd, 100) == 0);
	close(fd);
}

#define assert_error(s, ...)                                                                       \
	do {                                                                                       \
		const char *const words_[] = {__VA_ARGS__};                                        \
		const ebb_error *error_ = ebb_saver_error(s);                                      \
		ck_assert(error_);                                                                 \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(error_->message, words_[k_]), "\"%s\" is not in: %s", \
				words_[k_], error_->message);                                      \
		ebb_saver_clear_error(s);                                                          \
	} while (0)

/* ---- Saving and resuming -------------------------------------------------------------------- */

START_TEST(everything_comes_back)
{
	small m = small_begin(temp_path("a.safetensors"), 0, _i);

	small_add(&m);
	small_set(&m, 1);
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	ck_assert(!ebb_saver_error(m.s) && !ebb_saver_newest(m.s));
	small_check(&m, 1);
	ck_assert(ebb_saver_save(m.s, 7));
	small_set(&m, 2);
	ck_assert_int_eq(ebb_saver_resume(m.s), 7);
	small_check(&m, 1);
	small_set(&m, 3);
	ck_assert(ebb_saver_save(m.s, 8) && ebb_saver_wait(m.s));
	ck_assert_str_eq(ebb_saver_newest(m.s), temp_path("a.safetensors"));
	ck_assert_int_eq(files(), 1);
	small_end(&m);
	m = small_begin(temp_path("a.safetensors"), 0, false);
	small_add(&m);
	ck_assert_int_eq(ebb_saver_resume(m.s), 8);
	small_check(&m, 3);
	small_end(&m);
}
END_TEST

START_TEST(names_are_what_python_reads)
{
	static const char *const names[] = {"model.fc.weight", "model.fc.bias", "model.mean", "x",
		"number", "list", "big", "bits", "small", "flag", "average.sum", "average.weight",
		"tape.random", "saver.step", "saver.best"};
	small m = small_begin(temp_path("a.safetensors"), 0, false);
	ebb_archive *a;

	small_add(&m);
	small_set(&m, 4);
	ck_assert(ebb_saver_save(m.s, 7));
	a = ebb_archive_read(temp_path("a.safetensors"));
	ck_assert_int_eq(ebb_archive_count(a), sizeof names / sizeof *names);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		ck_assert_msg(ebb_archive_find(a, names[i]) >= 0, "%s", names[i]);
	ck_assert_str_eq(ebb_archive_metadata(a, "text"), "step \xc3\xa9 4");
	ebb_archive_free(a);
	fill(ebb_params_find(m.p, "fc.weight"), 77);
	ck_assert(ebb_params_load(m.p, temp_path("a.safetensors"), .prefix = "model."));
	ck_assert(ebb_at(ebb_params_find(m.p, "fc.weight"), 0) == 40);
	small_end(&m);
}
END_TEST

/* Refused, and everything as it was, whatever the difference. */
static void check_refused(ebb_saver *s, const small *m, int k, const char *words)
{
	const ebb_error *e;

	ck_assert_int_eq(ebb_saver_resume(s), -1);
	e = ebb_saver_error(s);
	ck_assert_msg(e && strstr(e->message, words), "\"%s\" is not in: %s", words,
		e ? e->message : "nothing");
	small_check(m, k);
	ebb_saver_free(s);
}

START_TEST(what_differs_is_named_and_nothing_is_changed)
{
	const char *path = temp_path("a.safetensors");
	small m = small_begin(path, 0, false);
	ebb_params *wide = ebb_params_new(1);
	double number = 0;
	int64_t whole = 0;
	char shorter[4] = "", text[8] = "more", other[300];
	ebb_saver *s;

	ebb_linear_new(wide, "fc", 4, 2);
	ebb_buffers_add(wide, "mean", EBB_SHAPE(2), 0);
	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_saver_save(m.s, 1));
	small_set(&m, 2);
	/* Less than was saved. */
	s = ebb_saver_new(path);
	ebb_saver_add(s, "model", m.p);
	ebb_saver_add(s, "number", &number);
	check_refused(s, &m, 2, "\"x\" (a tensor) was saved, but was not added");
	ck_assert(number == 0);
	/* A text is no less than a number. */
	snprintf(other, sizeof other, "%s/b.safetensors", temp_dir);
	s = ebb_saver_new(other);
	ebb_saver_add(s, "number", &number);
	ebb_saver_add_text(s, "note", text, sizeof text);
	ck_assert(ebb_saver_save(s, 1));
	ebb_saver_free(s);
	s = ebb_saver_new(other);
	ebb_saver_add(s, "number", &number);
	check_refused(s, &m, 2, "\"note\" (a text) was saved, but was not added");
	/* More. */
	ebb_saver_add(m.s, "other", &number);
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	small_check(&m, 2);
	assert_error(
		m.s, "a.safetensors: \"other\" (a number or some) was added, but was not saved");
	/* Of another shape, type, length. */
	s = ebb_saver_new(path);
	ebb_saver_add(s, "model", wide);
	check_refused(s, &m, 2, "fc.weight");
	s = ebb_saver_new(path);
	ebb_saver_add(s, "number", &whole);
	check_refused(s, &m, 2, "\"number\" is F64 [], expected I64 []");
	s = ebb_saver_new(path);
	ebb_saver_add_f64s(s, "list", m.list, 2);
	check_refused(s, &m, 2, "\"list\" is F64 [3], expected F64 [2]");
	s = ebb_saver_new(path);
	ebb_saver_add_text(s, "text", shorter, sizeof shorter);
	check_refused(
		s, &m, 2, "\"text\" is a text of 9 bytes, which with its end do not fit into 4");
	ebb_params_free(wide);
	small_end(&m);
}
END_TEST

START_TEST(another_type_of_parameters_is_refused)
{
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(1);
	ebb_saver *s = ebb_saver_new(temp_path("a.safetensors")),
		  *r = ebb_saver_new(temp_path("a.safetensors"));
	uint64_t before;

	ebb_linear_new(p, "fc", 3, 2);
	ebb_params_set_dtype(q, EBB_F64);
	ebb_linear_new(q, "fc", 3, 2);
	before = params_hash(q);
	ebb_saver_add(s, "model", p);
	ebb_saver_add(r, "model", q);
	ck_assert(ebb_saver_save(s, 1));
	ck_assert_int_eq(ebb_saver_resume(r), -1);
	assert_error(r, "\"model.fc.weight\" is F32 [2,3], expected F64 [2,3]");
	ck_assert(params_hash(q) == before);
	ebb_saver_free(s);
	ebb_saver_free(r);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

/* A run with another optimizer, or other batches, leaves every part of itself alone. */
START_TEST(runs_of_another_recipe_are_refused)
{
	const char *path = temp_path("saved.safetensors");
	recipe r = {.optimizer = "adam"}, optimizer = {.optimizer = "adamw"},
	       batch = {.optimizer = "adam", .batch = 7};
	const recipe *others[] = {&optimizer, &batch};
	const char *words[] = {
		"optimizer.optimizer is adam, expected adamw", "loader.batch is 4, expected 7"};
	char before[300], after[300];
	training_run x;

	snprintf(before, sizeof before, "%s/before.safetensors", temp_dir);
	snprintf(after, sizeof after, "%s/after.safetensors", temp_dir);
	run_begin(&x, &r, path);
	run_until(&x, (stop){3, false});
	run_end(&x);
	for (int i = 0; i < 2; i++) {
		run_begin(&x, others[i], path);
		run_until(&x, (stop){2, true});
		ck_assert(ebb_saver_wait(x.saver));
		run_write(&x, before);
		run_end(&x);
		/* That save is in the way. */
		run_begin(&x, &r, path);
		run_until(&x, (stop){3, false});
		run_end(&x);
		run_begin(&x, others[i], path);
		run_write(&x, before);
		ck_assert_int_eq(ebb_saver_resume(x.saver), -1);
		assert_error(x.saver, words[i]);
		run_write(&x, after);
		run_end(&x);
		ck_assert(same_files(before, after));
	}
}
END_TEST

START_TEST(what_is_no_checkpoint_is_refused)
{
	small m = small_begin(temp_path("a.safetensors"), 0, false);

	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_params_save(m.p, temp_path("a.safetensors")));
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	assert_error(m.s, "no saver has written it");
	write_temp("a.safetensors", "no such thing", 13);
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	assert_error(m.s, "a.safetensors");
	small_check(&m, 1);
	small_end(&m);
}
END_TEST

START_TEST(names_that_may_not_be_are_refused)
{
	static const char *const wrong[] = {NULL, "", ".a", "a.", "a..b", "a\xff", "saver",
		"saver.step", "net", "net.ema", "net.ema.b"};
	ebb_tensor *nothing = NULL;
	double x = 0;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		ebb_saver *s = ebb_saver_new(temp_path("a.safetensors"));

		ck_assert(ebb_saver_add(s, "net.ema", &x) && ebb_saver_add(s, "networks", &x));
		ck_assert(!ebb_saver_add(s, wrong[i], &x));
		assert_error(s, "saver_add: ");
		/* A file would lack something. */
		ck_assert(!ebb_saver_save(s, 1));
		assert_error(s, "could not be added");
		ck_assert_int_eq(ebb_saver_resume(s), -1);
		assert_error(s, "could not be added");
		ebb_saver_free(s);
	}
	ebb_saver *s = ebb_saver_new(temp_path("a.safetensors"));
	ck_assert(!ebb_saver_add(s, "x", nothing));
	assert_error(s, "\"x\" is NULL");
	ebb_saver_free(s);
	ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(savers_that_cannot_be_say_why)
{
	ebb_error e = {0};
	double x;

	ck_assert(!ebb_saver_new(temp_path("no/such/a.safetensors"), .error = &e));
	ck_assert_msg(strstr(e.message, "No such file"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_saver_new("", .error = &e) && e.status == EBB_INVALID);
	ck_assert(!ebb_saver_new(NULL) && !ebb_saver_new("a/") && !ebb_saver_new("a", .keep = -1));
	ck_assert(ebb_saver_error(NULL) && !ebb_saver_save(NULL, 1));
	ck_assert(!ebb_saver_save_best(NULL, 1, 1) && ebb_saver_resume(NULL) == -1);
	ck_assert(!ebb_saver_wait(NULL) && !ebb_saver_note(NULL) && !ebb_saver_newest(NULL));
	ck_assert(ebb_saver_stall(NULL) == 0 && ebb_saver_seconds(NULL) == 0);
	ck_assert(ebb_saver_best(NULL) == -INFINITY);
	ck_assert(!ebb_saver_add((ebb_saver *)NULL, "x", &x));
	ebb_saver_clear_error(NULL);
	ebb_saver_free(NULL);
}
END_TEST

/* ---- Files ---------------------------------------------------------------------------------- */

START_TEST(the_last_n_are_kept)
{
	small m = small_begin(temp_path("a.safetensors"), 3, _i);

	small_add(&m);
	write_temp("a-000000000007.safetensors.txt", "", 0);
	write_temp("a-7.safetensors", "", 0);
	write_temp("b-000000000007.safetensors", "", 0);
	write_temp("a-00000000000x.safetensors", "", 0);
	for (int k = 1; k <= 6; k++) {
		small_set(&m, k);
		ck_assert(ebb_saver_save(m.s, 100 * k) && ebb_saver_wait(m.s));
	}
	ck_assert_int_eq(files(), 4 + 3);
	ck_assert(there("a-000000000400.safetensors") && there("a-000000000600.safetensors"));
	ck_assert_str_eq(ebb_saver_newest(m.s), temp_path("a-000000000600.safetensors"));
	ck_assert_int_eq(ebb_saver_resume(m.s), 600);
	small_check(&m, 6);
	/* Beyond twelve digits it is the newest, too. */
	ck_assert(ebb_saver_save(m.s, 10000000000000) && ebb_saver_wait(m.s));
	ck_assert_int_eq(ebb_saver_resume(m.s), 10000000000000);
	small_end(&m);
}
END_TEST

START_TEST(a_damaged_newest_is_passed_over)
{
	small m = small_begin(temp_path("a.safetensors"), 3, false);

	small_add(&m);
	for (int k = 1; k <= 3; k++) {
		small_set(&m, k);
		ck_assert(ebb_saver_save(m.s, k));
	}
	ck_assert(!ebb_saver_note(m.s));
	damage("a-000000000003.safetensors");
	ck_assert_int_eq(ebb_saver_resume(m.s), 2);
	ck_assert(!ebb_saver_error(m.s));
	small_check(&m, 2);
	ck_assert(strstr(ebb_saver_note(m.s), "a-000000000003.safetensors"));
	damage("a-000000000001.safetensors");
	damage("a-000000000002.safetensors");
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	assert_error(m.s, "a-000000000003.safetensors");
	ck_assert(!ebb_saver_note(m.s));
	small_check(&m, 2);
	small_end(&m);
}
END_TEST

/* It may be whole: nothing older is taken, after which it would be removed. */
START_TEST(a_newest_that_cannot_be_opened_is_not_passed_over)
{
	small m = small_begin(temp_path("a.safetensors"), 3, false);

	small_add(&m);
	ck_assert(ebb_saver_save(m.s, 1));
	small_end(&m);
	/* A link that leads to itself: nobody can open it, whatever their rights. */
	ck_assert_int_eq(
		symlink("a-000000000002.safetensors", temp_path("a-000000000002.safetensors")), 0);
	m = small_begin(temp_path("a.safetensors"), 3, false);
	small_add(&m);
	small_set(&m, 2);
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	assert_error(m.s, "a-000000000002.safetensors: cannot be read");
	small_check(&m, 2);
	ck_assert(!ebb_saver_save(m.s, 3));
	ck_assert_int_eq(files(), 2);
	small_end(&m);
}
END_TEST

/* A run that goes back to what can be read: its saves are the newest. */
START_TEST(later_steps_of_a_resumed_run_are_removed)
{
	small m = small_begin(temp_path("a.safetensors"), 2, _i);

	small_add(&m);
	ck_assert(ebb_saver_save(m.s, 500) && ebb_saver_save(m.s, 600) && ebb_saver_wait(m.s));
	small_end(&m);
	damage("a-000000000600.safetensors");
	m = small_begin(temp_path("a.safetensors"), 2, _i);
	small_add(&m);
	ck_assert_int_eq(ebb_saver_resume(m.s), 500);
	ck_assert(ebb_saver_save(m.s, 550) && ebb_saver_wait(m.s));
	ck_assert(!there("a-000000000600.safetensors") && there("a-000000000500.safetensors"));
	ck_assert_int_eq(ebb_saver_resume(m.s), 550);
	ck_assert(ebb_saver_save(m.s, 100) && ebb_saver_wait(m.s));
	ck_assert_int_eq(files(), 1);
	small_end(&m);
}
END_TEST

/* Who forgets ebb_saver_resume is told so, and loses nothing. */
START_TEST(later_steps_of_a_forgotten_run_stay)
{
	small m = small_begin(temp_path("a.safetensors"), 2, _i);

	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_saver_save(m.s, 500) && ebb_saver_save(m.s, 600) && ebb_saver_wait(m.s));
	ck_assert(ebb_saver_save_best(m.s, 600, 0.5) && ebb_saver_wait(m.s));
	small_end(&m);
	m = small_begin(temp_path("a.safetensors"), 2, _i);
	small_add(&m);
	small_set(&m, 2);
	for (int k = 0; k < 2; k++) {
		ck_assert(!ebb_saver_save(m.s, 100));
		assert_error(m.s, "step 100", "a-000000000600.safetensors", "was not resumed",
			"or remove it");
		ck_assert(!ebb_saver_save_best(m.s, 100, 0.1));
		assert_error(m.s, "a-000000000600.safetensors");
	}
	ck_assert(ebb_saver_best(m.s) == -INFINITY);
	ck_assert_int_eq(files(), 3);
	ck_assert_int_eq(ebb_saver_resume(m.s), 600);
	ck_assert(ebb_saver_best(m.s) == 0.5);
	small_check(&m, 1);
	ck_assert(ebb_saver_save(m.s, 700) && ebb_saver_wait(m.s));
	small_end(&m);
	/* Removed, they are not in the way. */
	m = small_begin(temp_path("a.safetensors"), 2, _i);
	small_add(&m);
	ck_assert(!ebb_saver_save(m.s, 650));
	ck_assert_int_eq(unlink(temp_path("a-000000000700.safetensors")), 0);
	ck_assert(ebb_saver_save(m.s, 650));
	small_end(&m);
}
END_TEST

/* A program that does not look at what ebb_saver_resume says overwrites no run that it could not resume. */
START_TEST(what_could_not_be_resumed_is_not_overwritten)
{
	const int keep = _i ? 2 : 0;
	double number = 1;
	small m = small_begin(temp_path("a.safetensors"), keep, false);

	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_saver_save(m.s, 5));
	small_end(&m);
	m = small_begin(temp_path("a.safetensors"), keep, false);
	small_add(&m);
	ebb_saver_add(m.s, "more", &number);
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	assert_error(m.s, "\"more\" (a number or some) was added, but was not saved");
	ck_assert(!ebb_saver_save(m.s, 6) && !ebb_saver_save_best(m.s, 6, 1));
	assert_error(
		m.s, keep ? "a-000000000005.safetensors" : "a.safetensors", "could not be resumed");
	ck_assert_int_eq(files(), 1);
	ck_assert_int_eq(unlink(ebb_saver_newest(m.s)), 0);
	ck_assert(ebb_saver_save(m.s, 6));
	small_end(&m);
}
END_TEST

START_TEST(only_a_better_score_is_the_best)
{
	small m = small_begin(temp_path("a.safetensors"), 2, _i);

	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_saver_best(m.s) == -INFINITY);
	ck_assert(!ebb_saver_save_best(m.s, 1, NAN) && !ebb_saver_save_best(m.s, 1, -INFINITY));
	ck_assert(ebb_saver_save_best(m.s, 1, 0.5));
	small_set(&m, 2);
	ck_assert(!ebb_saver_save_best(m.s, 2, 0.5) && !ebb_saver_save_best(m.s, 2, 0.4));
	ck_assert(!ebb_saver_save_best(m.s, 2, NAN) && ebb_saver_best(m.s) == 0.5);
	ck_assert(ebb_saver_save(m.s, 2) && ebb_saver_wait(m.s));
	small_end(&m);
	/* The best one is a checkpoint itself. */
	m = small_begin(temp_path("a-best.safetensors"), 0, false);
	small_add(&m);
	ck_assert_int_eq(ebb_saver_resume(m.s), 1);
	small_check(&m, 1);
	small_end(&m);
	/* A run that goes on knows how good it was. */
	m = small_begin(temp_path("a.safetensors"), 2, false);
	small_add(&m);
	ck_assert_int_eq(ebb_saver_resume(m.s), 2);
	ck_assert(ebb_saver_best(m.s) == 0.5);
	ck_assert(!ebb_saver_save_best(m.s, 3, 0.45));
	small_end(&m);
}
END_TEST

/* Saved before the score of its step was known. */
START_TEST(a_best_of_the_same_step_counts)
{
	small m = small_begin(temp_path("a.safetensors"), 0, false);

	small_add(&m);
	ck_assert(ebb_saver_save(m.s, 5) && ebb_saver_save_best(m.s, 5, 0.9));
	ck_assert_int_eq(ebb_saver_resume(m.s), 5);
	ck_assert(ebb_saver_best(m.s) == 0.9);
	/* A later one is of a future that will come again. */
	ck_assert(ebb_saver_save_best(m.s, 6, 0.95));
	ck_assert_int_eq(ebb_saver_resume(m.s), 5);
	ck_assert(ebb_saver_best(m.s) == -INFINITY);
	small_end(&m);
}
END_TEST

/* ---- Failures ------------------------------------------------------------------------------- */

/* Files may not grow beyond this: write gives EFBIG. */
static void limit_files(rlim_t most)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = most;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_failed_save_leaves_the_former_one)
{
	small m = small_begin(temp_path("a.safetensors"), 0, _i);

	small_add(&m);
	small_set(&m, 1);
	ck_assert(ebb_saver_save(m.s, 1) && ebb_saver_wait(m.s));
	small_set(&m, 2);
	limit_files(500);
	ck_assert_int_eq(ebb_saver_save(m.s, 2), _i);
	ck_assert(!ebb_saver_wait(m.s));
	ck_assert(!ebb_saver_save_best(m.s, 2, 1) || _i);
	ck_assert(!ebb_saver_wait(m.s));
	ck_assert(ebb_saver_best(m.s) == -INFINITY);
	limit_files(RLIM_INFINITY);
	assert_error(m.s, "a.safetensors", "File too large");
	ck_assert_int_eq(files(), 1);
	ck_assert_int_eq(ebb_saver_resume(m.s), 1);
	small_check(&m, 1);
	/* Saving goes on being tried while the error stays. */
	limit_files(500);
	ebb_saver_save(m.s, 2);
	ebb_saver_wait(m.s);
	limit_files(RLIM_INFINITY);
	small_set(&m, 3);
	ck_assert(ebb_saver_save(m.s, 3));
	ck_assert(!ebb_saver_wait(m.s));
	assert_error(m.s, "File too large");
	ck_assert_int_eq(ebb_saver_resume(m.s), 3);
	small_check(&m, 3);
	small_end(&m);
}
END_TEST

/* An error of the thread is seen without waiting for the next save. */
START_TEST(errors_of_the_background_are_seen)
{
	small m = small_begin(temp_path("a.safetensors"), 0, true);

	small_add(&m);
	limit_files(500);
	ck_assert(ebb_saver_save(m.s, 1));
	for (int i = 0; i < 2000 && ebb_ok(m.s); i++)
		usleep(5000);
	limit_files(RLIM_INFINITY);
	ck_assert(!ebb_ok(m.s));
	assert_error(m.s, "File too large");
	small_end(&m);
}
END_TEST

/* Whether the best one was saved is known when its score is compared. */
START_TEST(a_best_that_failed_in_the_background_does_not_count)
{
	small m = small_begin(temp_path("a.safetensors"), 0, true);

	small_add(&m);
	ck_assert(ebb_saver_save_best(m.s, 1, 0.5) && ebb_saver_wait(m.s));
	limit_files(500);
	ck_assert(ebb_saver_save_best(m.s, 2, 0.9));
	usleep(20000);
	limit_files(RLIM_INFINITY);
	ck_assert(ebb_saver_save_best(m.s, 3, 0.8));
	assert_error(m.s, "File too large");
	ck_assert(ebb_saver_wait(m.s) && ebb_saver_best(m.s) == 0.8);
	small_end(&m);
}
END_TEST

/* An allocator that cuts the file short at its call number at. */
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

/* Cut while it is read: either nothing is changed, or nobody trains on half of it. */
START_TEST(a_file_that_fails_while_it_is_read_fails_the_stores)
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
				/* A step is not made, nor is this saved. */
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

START_TEST(what_has_an_error_is_not_saved)
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

/* Whichever allocation fails: an error, the former file, and nothing lost. */
START_TEST(without_memory_the_former_save_stays)
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
		/* What the former round has left. */
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

/* Enough that a thread is at it for some milliseconds. */
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
/* A child has a saver whose thread is not in it: it must neither wait for it nor take it for its own.  (The address
 * sanitizer's allocator has locks that a fork leaves taken in the child: there any free may wait for ever.) */
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

/* Saves step after step until it is killed, the step in every number. */
static void save_for_ever(small *m, double *many, int64_t from)
{
	for (int64_t step = from;; step++) {
		for (int i = 0; i < MANY / 32; i++)
			many[i] = (double)step;
		if (!ebb_saver_save(m->s, step))
			_exit(1);
	}
}

START_TEST(a_kill_at_any_moment_leaves_a_whole_save)
{
	enum { KILLS = 25 };
	int64_t last = 0;
	uint64_t random = 1;

	/* A slow machine may need more of them to get anywhere. */
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

/* Signals stay with the program's own threads: this one waits for them with everything blocked there. */
START_TEST(the_writing_thread_takes_no_signals)
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
		/* Of the former one, while this is written. */
		ck_assert(i == 0 || ebb_saver_seconds(m.s) > 0);
		/* Still pending: no other thread has taken it. */
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
	Suite *s = suite_create("training saver");
	TCase *c = tcase_create("threads");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, everything_comes_back, 0, 2);
	tcase_add_test(c, names_are_what_python_reads);
	tcase_add_test(c, what_differs_is_named_and_nothing_is_changed);
	tcase_add_test(c, another_type_of_parameters_is_refused);
	tcase_add_test(c, runs_of_another_recipe_are_refused);
	tcase_add_test(c, what_is_no_checkpoint_is_refused);
	tcase_add_test(c, names_that_may_not_be_are_refused);
	tcase_add_test(c, savers_that_cannot_be_say_why);
	tcase_add_loop_test(c, the_last_n_are_kept, 0, 2);
	tcase_add_test(c, a_damaged_newest_is_passed_over);
	tcase_add_test(c, a_newest_that_cannot_be_opened_is_not_passed_over);
	tcase_add_loop_test(c, later_steps_of_a_resumed_run_are_removed, 0, 2);
	tcase_add_loop_test(c, later_steps_of_a_forgotten_run_stay, 0, 2);
	tcase_add_loop_test(c, what_could_not_be_resumed_is_not_overwritten, 0, 2);
	tcase_add_loop_test(c, only_a_better_score_is_the_best, 0, 2);
	tcase_add_test(c, a_best_of_the_same_step_counts);
	tcase_add_loop_test(c, a_failed_save_leaves_the_former_one, 0, 2);
	tcase_add_test(c, errors_of_the_background_are_seen);
	tcase_add_test(c, a_best_that_failed_in_the_background_does_not_count);
	tcase_add_test(c, a_file_that_fails_while_it_is_read_fails_the_stores);
	tcase_add_test(c, what_has_an_error_is_not_saved);
	tcase_add_test(c, without_memory_the_former_save_stays);
#ifndef ADDRESS_SANITIZER
	tcase_add_test(c, a_child_of_fork_does_not_wait_for_the_parents_thread);
#endif
	tcase_add_loop_test(c, a_kill_at_any_moment_leaves_a_whole_save, 0, 2);
	tcase_add_test(c, the_writing_thread_takes_no_signals);
	return run_suite(s);
}
