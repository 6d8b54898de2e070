/* Valid and invalid values of the environment variables. */
#include "tests/support/support.h"

#include <stdlib.h>

static const char *const variables[] = {"EBB_THREADS", "EBB_ISA", "EBB_CONV", "EBB_DEBUG"};

static void forget_environment(void)
{
	for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
		unsetenv(variables[i]);
}

START_TEST(valid_values_are_accepted)
{
	const char *const taken[][2] = {{"EBB_THREADS", "1"}, {"EBB_THREADS", "2"},
		{"EBB_THREADS", "256"}, {"EBB_THREADS", "007"}, {"EBB_THREADS", ""},
		{"EBB_ISA", "baseline"}, {"EBB_ISA", "avx2"}, {"EBB_ISA", "avx512"},
		{"EBB_ISA", ""}, {"EBB_CONV", "direct"}, {"EBB_CONV", "winograd"},
		{"EBB_CONV", "im2col"}, {"EBB_CONV", ""}, {"EBB_DEBUG", "0"}, {"EBB_DEBUG", "1"}};

	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
		ebb_tape *t;

		forget_environment();
		ck_assert_int_eq(setenv(taken[i][0], taken[i][1], 1), 0);
		t = ebb_tape_new();
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

START_TEST(invalid_values_are_an_error_on_every_tape)
{
	const char *const refused[][3] = {{"EBB_THREADS", "abc", "from 1 to 256"},
		{"EBB_THREADS", "0", "from 1 to 256"}, {"EBB_THREADS", "-1", "from 1 to 256"},
		{"EBB_THREADS", "1e9", "from 1 to 256"}, {"EBB_THREADS", "4x", "from 1 to 256"},
		{"EBB_THREADS", "257", "from 1 to 256"}, {"EBB_THREADS", " ", "from 1 to 256"},
		{"EBB_THREADS", "4294967297", "from 1 to 256"},
		{"EBB_THREADS", "18446744073709551617", "from 1 to 256"},
		{"EBB_ISA", "avx3", "baseline, avx2 or avx512"},
		{"EBB_ISA", "AVX2", "baseline, avx2 or avx512"},
		{"EBB_CONV", "foo", "direct, winograd or im2col"},
		{"EBB_CONV", "direct ", "direct, winograd or im2col"},
		{"EBB_DEBUG", "yes", "0 or 1"}};

	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		forget_environment();
		ck_assert_int_eq(setenv(refused[i][0], refused[i][1], 1), 0);
		for (int k = 0; k < 2; k++) {
			ebb_tape *t = ebb_tape_new();

			assert_refused(t, EBB_INVALID, ebb_ones(t, EBB_SHAPE(2)), refused[i][0],
				refused[i][1], refused[i][2]);
			/* After ebb_clear_error the variable counts as not set. */
			ck_assert_double_eq(ebb_item(ebb_sum(t, ebb_ones(t, EBB_SHAPE(2)))), 2);
			ebb_tape_free(t);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("environment");
	TCase *c = tcase_create("values");

	tcase_add_checked_fixture(c, forget_environment, forget_environment);
	tcase_add_test(c, valid_values_are_accepted);
	tcase_add_test(c, invalid_values_are_an_error_on_every_tape);
	suite_add_tcase(s, c);
	return run_suite(s);
}
