/* The number of threads, set through the public header alone. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

enum { N = 200 };

/* The gradient of a product, a softmax and a sum, which all use the pool. */
static void compute(float *g)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(N, N), 1);
	ebb_tensor *w = persistent_random(EBB_F32, EBB_SHAPE(N, N), 2);

	ebb_set_requires_grad(w, true);
	ck_assert(
		ebb_backward(t, ebb_sum(t, ebb_square(t, ebb_softmax(t, ebb_matmul(t, x, w), 1)))));
	ck_assert(ebb_copy_out(ebb_grad_of(w), g, N * N * sizeof *g));
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(w);
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	static float one[N * N], many[N * N];

	ebb_set_threads(1);
	ck_assert_int_eq(ebb_threads(), 1);
	compute(one);
	for (int n = 2; n <= 5; n++) {
		ebb_set_threads(n);
		ck_assert_int_eq(ebb_threads(), n);
		compute(many);
		ck_assert_msg(memcmp(one, many, sizeof one) == 0, "%d threads", n);
	}
	ebb_set_threads(0);
}
END_TEST

START_TEST(the_number_is_limited_and_its_default_comes_back)
{
	ebb_set_threads(100000);
	ck_assert_int_eq(ebb_threads(), 256);
	unsetenv("EBB_THREADS");
	ebb_set_threads(-1);
	ck_assert(ebb_threads() >= 1 && ebb_threads() <= 256);
	setenv("EBB_THREADS", "3", 1);
	ebb_set_threads(0);
	ck_assert_int_eq(ebb_threads(), 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("threads");
	TCase *c = tcase_create("threads");

	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	tcase_add_test(c, the_number_is_limited_and_its_default_comes_back);
	suite_add_tcase(s, c);
	return run_suite(s);
}
