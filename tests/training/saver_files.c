/* Savers: which files are kept, which is resumed, and that no former run is lost. */
#include "small.h"

#include <math.h>
#include <sys/stat.h>

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
	/* Removed, they are not in the variant. */
	m = small_begin(temp_path("a.safetensors"), 2, _i);
	small_add(&m);
	ck_assert(!ebb_saver_save(m.s, 650));
	ck_assert_int_eq(unlink(temp_path("a-000000000700.safetensors")), 0);
	ck_assert(ebb_saver_save(m.s, 650));
	small_end(&m);
}
END_TEST

/* A program that does not look at what ebb_saver_resume says overwrites no run that it could not
 * resume. */
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

int main(void)
{
	Suite *s = suite_create("training saver files");
	TCase *c = tcase_create("threads");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, the_last_n_are_kept, 0, 2);
	tcase_add_test(c, a_damaged_newest_is_passed_over);
	tcase_add_test(c, a_newest_that_cannot_be_opened_is_not_passed_over);
	tcase_add_loop_test(c, later_steps_of_a_resumed_run_are_removed, 0, 2);
	tcase_add_loop_test(c, later_steps_of_a_forgotten_run_stay, 0, 2);
	tcase_add_loop_test(c, what_could_not_be_resumed_is_not_overwritten, 0, 2);
	tcase_add_loop_test(c, only_a_better_score_is_the_best, 0, 2);
	tcase_add_test(c, a_best_of_the_same_step_counts);
	return run_suite(s);
}
