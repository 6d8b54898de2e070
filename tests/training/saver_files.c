/* Savers: which files are kept, which is resumed, and that no earlier run is lost. */
#include "small.h"

#include <math.h>
#include <sys/stat.h>

/* ---- Files ---------------------------------------------------------------------------------- */

START_TEST(the_last_n_files_are_kept)
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
	/* Steps of more than twelve digits are ordered correctly. */
	ck_assert(ebb_saver_save(m.s, 10000000000000) && ebb_saver_wait(m.s));
	ck_assert_int_eq(ebb_saver_resume(m.s), 10000000000000);
	small_end(&m);
}
END_TEST

START_TEST(a_damaged_newest_file_is_skipped)
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

/* The file may be intact: no older file is resumed, because the next save would then remove it. */
START_TEST(an_unreadable_newest_file_is_not_skipped)
{
	small m = small_begin(temp_path("a.safetensors"), 3, false);

	small_add(&m);
	ck_assert(ebb_saver_save(m.s, 1));
	small_end(&m);
	/* A link to itself cannot be opened, even by root. */
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

/* A run that resumes from an older, readable file: its saves become the newest. */
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

/* A run that does not call ebb_saver_resume gets an error, and overwrites nothing. */
START_TEST(later_steps_of_a_run_that_was_not_resumed_remain)
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
	/* After the files are removed, the save succeeds. */
	m = small_begin(temp_path("a.safetensors"), 2, _i);
	small_add(&m);
	ck_assert(!ebb_saver_save(m.s, 650));
	ck_assert_int_eq(unlink(temp_path("a-000000000700.safetensors")), 0);
	ck_assert(ebb_saver_save(m.s, 650));
	small_end(&m);
}
END_TEST

/* A program that ignores the error of ebb_saver_resume does not overwrite the run. */
START_TEST(a_run_that_could_not_be_resumed_is_not_overwritten)
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

START_TEST(only_a_better_score_is_saved_as_best)
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
	/* The best save is a checkpoint that can be resumed. */
	m = small_begin(temp_path("a-best.safetensors"), 0, false);
	small_add(&m);
	ck_assert_int_eq(ebb_saver_resume(m.s), 1);
	small_check(&m, 1);
	small_end(&m);
	/* A resumed run knows the best score. */
	m = small_begin(temp_path("a.safetensors"), 2, false);
	small_add(&m);
	ck_assert_int_eq(ebb_saver_resume(m.s), 2);
	ck_assert(ebb_saver_best(m.s) == 0.5);
	ck_assert(!ebb_saver_save_best(m.s, 3, 0.45));
	small_end(&m);
}
END_TEST

/* The best save was written before the file of the same step. */
START_TEST(a_best_of_the_same_step_counts)
{
	small m = small_begin(temp_path("a.safetensors"), 0, false);

	small_add(&m);
	ck_assert(ebb_saver_save(m.s, 5) && ebb_saver_save_best(m.s, 5, 0.9));
	ck_assert_int_eq(ebb_saver_resume(m.s), 5);
	ck_assert(ebb_saver_best(m.s) == 0.9);
	/* A best save of a later step does not count, because the resumed run will reach that step
	 * again. */
	ck_assert(ebb_saver_save_best(m.s, 6, 0.95));
	ck_assert_int_eq(ebb_saver_resume(m.s), 5);
	ck_assert(ebb_saver_best(m.s) == -INFINITY);
	small_end(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("training saver files");
	TCase *c = tcase_create("threads");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, the_last_n_files_are_kept, 0, 2);
	tcase_add_test(c, a_damaged_newest_file_is_skipped);
	tcase_add_test(c, an_unreadable_newest_file_is_not_skipped);
	tcase_add_loop_test(c, later_steps_of_a_resumed_run_are_removed, 0, 2);
	tcase_add_loop_test(c, later_steps_of_a_run_that_was_not_resumed_remain, 0, 2);
	tcase_add_loop_test(c, a_run_that_could_not_be_resumed_is_not_overwritten, 0, 2);
	tcase_add_loop_test(c, only_a_better_score_is_saved_as_best, 0, 2);
	tcase_add_test(c, a_best_of_the_same_step_counts);
	return run_suite(s);
}
