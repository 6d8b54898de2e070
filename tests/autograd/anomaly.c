/* Anomaly detection reports the first NaN or infinity with its op, ranges, scope and line. */
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

START_TEST(an_infinity_in_a_result_is_reported)
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

/* sqrt is finite at 0, and its derivative is infinite. */
START_TEST(an_infinity_in_a_gradient_is_reported)
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
	/* No gradient was accumulated. */
	ck_assert_ptr_null(ebb_grad_of(x));
	ebb_detect_anomaly(tape, false);
	ck_assert(ebb_grad(tape, ebb_sum(tape, y), 1, &x, &g));
	ck_assert(isinf(ebb_at(g, 1)));
}
END_TEST

/* The vjp of pow computes log(0) and masks it: the gradient that it gives is finite. */
START_TEST(a_masked_infinity_inside_a_vjp_is_not_reported)
{
	ebb_tensor *a = variable(0, 2), *b = variable(2, 3);

	ck_assert_msg(ebb_backward(tape, ebb_sum(tape, ebb_pow(tape, a, b))), "%s",
		ebb_error_message(tape));
	ck_assert_double_eq(ebb_at(ebb_grad_of(b), 0), 0);
}
END_TEST

/* The final relu of a fused op turns -infinity into 0; anomaly detection checks the parts before
 * it. */
START_TEST(an_infinity_inside_a_fused_op_is_reported)
{
	ebb_tensor *x = ebb_variable(tape, ebb_from_f64(tape, EBB_SHAPE(2, 1), (double[]){1, 2}));
	ebb_tensor *bias = ebb_full(tape, EBB_SHAPE(1), -1e38),
		   *r = ebb_full(tape, EBB_SHAPE(2, 1), -3e38);

	ck_assert_ptr_nonnull(ebb_batchnorm_relu(tape, x, .residual = r));
	ck_assert_ptr_nonnull(ebb_batchnorm_relu(tape, x, .bias = bias));
	assert_refused(tape, EBB_NOT_FINITE,
		ebb_batchnorm_relu(tape, x, .bias = bias, .residual = r),
		"anomaly.c:", "batchnorm_relu: element 0 of the value of its part \"add\" is -inf",
		"input 3 is F32 [2,1] from -3e+38");
}
END_TEST

/* With anomaly detection a node saves every input.  An input that no gradient declares to read may
 * still be overwritten, and is still hidden from the vjp. */
START_TEST(an_input_saved_for_its_range_may_be_overwritten)
{
	ebb_tensor *x = variable(1, 2), *c = ebb_ones(tape, EBB_SHAPE(2)), *y;

	y = ebb_sum(tape, ebb_add(tape, x, c));
	((float *)ebb_data_mutable(c))[0] = 5;
	ck_assert_msg(ebb_backward(tape, y), "%s", ebb_error_message(tape));
	ck_assert_double_eq(ebb_at(ebb_grad_of(x), 0), 1);
}
END_TEST

static void sly_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->in[0]));
}
static const ebb_op SLY = {.name = "sly", .vjp = sly_vjp};

static void bad_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div(v->t, v->gy, ebb_zeros_like(v->t, v->gy)));
}
static const ebb_op BAD = {.name = "bad", .vjp = bad_vjp, .optional = EBB_IN(2)};

static ebb_tensor *ones_of(const ebb_op *op, int n, ebb_tensor **in)
{
	ebb_call c = ebb_begin(tape, op, "anomaly.c:1", n, in);
	ebb_tensor *y = ebb_new_like(&c, in[0]);

	for (int i = 0; y && i < ebb_count(y); i++)
		((float *)ebb_data_mutable(y))[i] = 1;
	return ebb_record(&c, y);
}

START_TEST(an_input_saved_for_its_range_stays_undeclared)
{
	ebb_tensor *x = variable(1, 2), *in[] = {x};

	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, ebb_sum(tape, ones_of(&SLY, 1, in))),
		"gradient of sly", "without declaring it in .reads");
}
END_TEST

/* A message names the ranges of inputs that no gradient reads, unless they were overwritten. */
START_TEST(ranges_of_inputs_that_no_gradient_reads_are_reported)
{
	ebb_tensor *x = variable(1, 2), *c = ebb_ones(tape, EBB_SHAPE(2)), *h = ebb_neg(tape, x);
	ebb_tensor *in[] = {h, c, NULL}, *y = ebb_sum(tape, ones_of(&BAD, 3, in));

	ebb_release(tape, h);
	assert_refused(tape, EBB_NOT_FINITE, ebb_backward(tape, y, .retain = true),
		"gradient of bad", "input 0 is F32 [2] from -2 to -1",
		"input 1 is F32 [2] from 1 to 1", "input 2 is ");
	((float *)ebb_data_mutable(c))[0] = 5;
	assert_refused(tape, EBB_NOT_FINITE, ebb_backward(tape, y), "gradient of bad",
		"input 0 is F32 [2] from -2 to -1", "input 1 is F32 [2], overwritten since");
}
END_TEST

START_TEST(anomaly_detection_is_disabled_by_default)
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
	tcase_add_test(c, an_infinity_in_a_result_is_reported);
	tcase_add_test(c, an_infinity_in_a_gradient_is_reported);
	tcase_add_test(c, a_masked_infinity_inside_a_vjp_is_not_reported);
	tcase_add_test(c, an_infinity_inside_a_fused_op_is_reported);
	tcase_add_test(c, an_input_saved_for_its_range_may_be_overwritten);
	tcase_add_test(c, an_input_saved_for_its_range_stays_undeclared);
	tcase_add_test(c, ranges_of_inputs_that_no_gradient_reads_are_reported);
	tcase_add_test(c, anomaly_detection_is_disabled_by_default);
	suite_add_tcase(s, c);
	return run_suite(s);
}
