/* Savers: saved state is restored, and a file that does not fit is refused as a whole. */
#include "run.h"
#include "small.h"

#include <sys/stat.h>

/* ---- Saving and resuming -------------------------------------------------------------------- */

START_TEST(every_kind_of_item_is_restored)
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

START_TEST(entries_have_the_documented_names)
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

/* Checks that a resume is refused and nothing is changed. */
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

START_TEST(mismatches_are_named_and_nothing_is_changed)
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
	/* Fewer items than were saved. */
	s = ebb_saver_new(path);
	ebb_saver_add(s, "model", m.p);
	ebb_saver_add(s, "number", &number);
	check_refused(s, &m, 2, "\"x\" (a tensor) was saved, but was not added");
	ck_assert(number == 0);
	/* A text that was saved and not added is an error, like a number. */
	snprintf(other, sizeof other, "%s/b.safetensors", temp_dir);
	s = ebb_saver_new(other);
	ebb_saver_add(s, "number", &number);
	ebb_saver_add_text(s, "note", text, sizeof text);
	ck_assert(ebb_saver_save(s, 1));
	ebb_saver_free(s);
	s = ebb_saver_new(other);
	ebb_saver_add(s, "number", &number);
	check_refused(s, &m, 2, "\"note\" (a text) was saved, but was not added");
	/* More items. */
	ebb_saver_add(m.s, "other", &number);
	ck_assert_int_eq(ebb_saver_resume(m.s), -1);
	small_check(&m, 2);
	assert_error(
		m.s, "a.safetensors: \"other\" (a number or some) was added, but was not saved");
	/* Items of another shape, type or length. */
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
		s, &m, 2, "\"text\" is a text of 9 bytes, which with its NUL do not fit into 4");
	ebb_params_free(wide);
	small_end(&m);
}
END_TEST

START_TEST(parameters_of_another_dtype_are_refused)
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

/* A run with another optimizer, or with other batches, is refused, and none of its parts is
 * changed. */
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
		/* The existing file prevents the save. */
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

START_TEST(files_that_are_not_checkpoints_are_refused)
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

START_TEST(invalid_names_are_refused)
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
		/* A file would be incomplete. */
		ck_assert(!ebb_saver_save(s, 1));
		assert_error(s, "adding an item failed");
		ck_assert_int_eq(ebb_saver_resume(s), -1);
		assert_error(s, "adding an item failed");
		ebb_saver_free(s);
	}
	ebb_saver *s = ebb_saver_new(temp_path("a.safetensors"));
	ck_assert(!ebb_saver_add(s, "x", nothing));
	assert_error(s, "\"x\" is NULL");
	ebb_saver_free(s);
	ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(invalid_saver_options_are_refused)
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

int main(void)
{
	Suite *s = suite_create("training saver");
	TCase *c = tcase_create("threads");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, every_kind_of_item_is_restored, 0, 2);
	tcase_add_test(c, entries_have_the_documented_names);
	tcase_add_test(c, mismatches_are_named_and_nothing_is_changed);
	tcase_add_test(c, parameters_of_another_dtype_are_refused);
	tcase_add_test(c, runs_of_another_recipe_are_refused);
	tcase_add_test(c, files_that_are_not_checkpoints_are_refused);
	tcase_add_test(c, invalid_names_are_refused);
	tcase_add_test(c, invalid_saver_options_are_refused);
	return run_suite(s);
}
