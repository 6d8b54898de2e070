/* Anomaly detection: the first NaN or infinity, by op, ranges, scope and line. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_detect_anomaly(tape, true);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

static ebb_tensor *variable(double a, double b)
{
	return ebb_variable(tape, ebb_from_f64(tape, EBB_SHAPE(2), (double[]){a, b}));
}

START_TEST(in_a_result)
{
	ebb_tensor *x = variable(4, 0);

	ebb_scope_begin(tape, "net");
	ebb_scope_begin(tape, "head");
	assert_refused(tape, EBB_NOT_FINITE, ebb_log(tape, x),
		"anomaly.c:", ": log: ", "element 1 of the result is -inf",
		"input 0 is F32 [2] from 0 to 4", " in net.head");
	assert_refused(tape, EBB_NOT_FINITE, ebb_sqrt(tape, ebb_neg(tape, x)), "sqrt: element 0",
		"nan", "from -4 to -0");
	assert_refused(tape, EBB_NOT_FINITE, ebb_div(tape, x, ebb_zeros_like(tape, x)),
		"div: ", "is inf", "input 1 is F32 [2] from 0 to 0");
	assert_refused(tape, EBB_NOT_FINITE,
		ebb_exp(tape, ebb_mul_scalar(tape, ebb_detach(tape, x), 100)),
		"exp: ", "from 0 to 400");
}
END_TEST

/* The value of sqrt at 0 is fine, its slope is not. */
START_TEST(in_a_gradient)
{
	ebb_tensor *x = variable(1, 0), *y, *g;

	ebb_scope_begin(tape, "net");
	y = ebb_sqrt(tape, x);
	ebb_scope_end(tape, y);
	ck_assert(!ebb_failed(tape));
	assert_refused(tape, EBB_NOT_FINITE, ebb_backward(tape, ebb_sum(tape, y), .retain = true),
		"anomaly.c:", "gradient of sqrt: ", "element 1 of the gradient of input 0 is inf",
		"the output's gradient is F32 [2] from 1 to 1", "input 0 is F32 [2] from 0 to 1",
		" in net");
	/* Nothing was deposited. */
	ck_assert_ptr_null(ebb_grad_of(x));
	ebb_detect_anomaly(tape, false);
	ck_assert(ebb_grad(tape, ebb_sum(tape, y), 1, &x, &g));
	ck_assert(isinf(ebb_at(g, 1)));
}
END_TEST

/* pow's rule takes a logarithm of 0 on its way, which is masked: the gradient it gives is finite. */
START_TEST(masked_on_the_way)
{
	ebb_tensor *a = variable(0, 2), *b = variable(2, 3);

	ck_assert_msg(ebb_backward(tape, ebb_sum(tape, ebb_pow(tape, a, b))), "%s",
		ebb_error_message(tape));
	ck_assert_double_eq(ebb_at(ebb_grad_of(b), 0), 0);
}
END_TEST

START_TEST(by_default_off)
{
	ebb_tape *t = ebb_tape_new();

	ck_assert(isinf(ebb_item(ebb_log(t, ebb_scalar(t, 0)))));
	ck_assert(!ebb_failed(t));
	ck_assert(!ebb_detect_anomaly(t, true));
	ck_assert(ebb_detect_anomaly(t, false));
	ck_assert(!ebb_detect_anomaly(NULL, true));
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("anomaly");
	TCase *c = tcase_create("anomaly");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, in_a_result);
	tcase_add_test(c, in_a_gradient);
	tcase_add_test(c, masked_on_the_way);
	tcase_add_test(c, by_default_off);
	suite_add_tcase(s, c);
	return run_suite(s);
}
