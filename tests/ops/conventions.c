/* conventions.c - gradients at kinks, ties, poles and bounds are those that ops.h documents. */
#include "tests/ops/ops_test.h"

static ebb_tape *t;

static void setup(void)
{
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
}

static void teardown(void)
{
	assert_healthy(t);
	ebb_tape_free(t);
	arrays_free();
}

static ebb_tensor *variable(int64_t n, const double *values)
{
	return ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(n), values));
}

/* *g: the gradient of sum y, which must be the same with and without create_graph.  *h, unless
 * NULL: the gradient of the sum of *g. */
static void derivatives(ebb_tensor *y, ebb_tensor *x, ebb_tensor **g, ebb_tensor **h)
{
	ebb_tensor *recorded;

	ck_assert_msg(ebb_grad(t, ebb_sum(t, y), 1, &x, g), "%s", ebb_error_message(t));
	ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &recorded, .create_graph = true));
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double a = ebb_at(*g, i), b = ebb_at(recorded, i);

		ck_assert_msg(fabs(a - b) <= 1e-12 * (1 + fabs(a)) || a == b,
			"element %d: %g, recorded %g", (int)i, a, b);
	}
	/* A constant gradient does not require a gradient: its derivative is zero. */
	if (h && !ebb_requires_grad(recorded))
		*h = ebb_zeros_like(t, x);
	else if (h)
		ck_assert_msg(
			ebb_grad(t, ebb_sum(t, recorded), 1, &x, h), "%s", ebb_error_message(t));
}

#define expect(tensor, ...) expect_values(#tensor, tensor, (const double[]){__VA_ARGS__})

static void expect_values(const char *what, const ebb_tensor *x, const double *values)
{
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double a = ebb_at(x, i);

		ck_assert_msg(a == values[i] || fabs(a - values[i]) < 1e-12 ||
				      (isnan(a) && isnan(values[i])),
			"%s[%d] is %.17g, not %.17g", what, (int)i, a, values[i]);
	}
}

/* ---- Kinks of one operand ----------------------------------------------------------- */

START_TEST(gradients_at_kinks_at_zero)
{
	ebb_tensor *x = variable(4, (const double[]){-2, -0.0, 0, 3}), *g, *h;

	derivatives(ebb_relu(t, x), x, &g, &h);
	expect(g, 0, 0, 0, 1);
	expect(h, 0, 0, 0, 0);
	derivatives(ebb_abs(t, x), x, &g, &h);
	expect(g, -1, 0, 0, 1);
	expect(h, 0, 0, 0, 0);
	derivatives(ebb_sign(t, x), x, &g, NULL);
	expect(g, 0, 0, 0, 0);
	expect(ebb_sign(t, x), -1, 0, 0, 1);
	derivatives(ebb_leaky_relu(t, x, 0.1), x, &g, &h);
	expect(g, 0.1, 0.1, 0.1, 1);
	expect(h, 0, 0, 0, 0);
	/* At 0, elu has the slope from the left (continuous for alpha 1), and the second derivative
	 * 0. */
	derivatives(ebb_elu(t, x, 2.0), x, &g, &h);
	expect(g, 2 * exp(-2), 2, 2, 1);
	expect(h, 2 * exp(-2), 0, 0, 0);
	derivatives(ebb_square(t, ebb_relu(t, x)), x, &g, &h);
	expect(g, 0, 0, 0, 6);
	expect(h, 0, 0, 0, 2);
}
END_TEST

START_TEST(clamp_passes_the_gradient_at_its_bounds)
{
	ebb_tensor *x = variable(5, (const double[]){-2, -1, 0, 1, 2}), *g, *h;

	derivatives(ebb_clamp(t, x, -1, 1), x, &g, &h);
	expect(g, 0, 1, 1, 1, 0);
	expect(h, 0, 0, 0, 0, 0);
	derivatives(ebb_square(t, ebb_clamp(t, x, -1, 1)), x, &g, &h);
	expect(g, 0, -2, 0, 2, 0);
	expect(h, 0, 2, 2, 2, 0);
	/* With lo = hi the gradient is 0, except at x = lo. */
	expect(ebb_clamp(t, x, 1, 1), 1, 1, 1, 1, 1);
	/* With lo > hi the result is hi. */
	derivatives(ebb_square(t, ebb_clamp(t, x, 2, -1)), x, &g, &h);
	expect(g, 0, 0, 0, 0, 0);
	expect(ebb_clamp(t, x, 2, -1), -1, -1, -1, -1, -1);
	ck_assert(isnan(ebb_item(ebb_clamp(t, ebb_scalar(t, NAN), -1, 1))));
}
END_TEST

START_TEST(hardtanh_passes_the_gradient_at_nan_and_not_at_its_bounds)
{
	ebb_tensor *x = variable(5, (const double[]){NAN, -1, 0.5, 1, 2}), *g, *h;

	derivatives(ebb_hardtanh(t, x), x, &g, &h);
	expect(g, 1, 0, 1, 0, 0);
	expect(h, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(activations_of_large_arguments_reach_their_limits)
{
	const double ends[] = {-1e4, -800, -40, 40, 800, 1e4};
	ebb_tensor *x = variable(6, ends), *g;

	expect(ebb_sigmoid(t, x), 0, 0, exp(-40) / (1 + exp(-40)), 1, 1, 1);
	expect(ebb_softplus(t, x), 0, 0, exp(-40), 40, 800, 1e4);
	expect(ebb_tanh(t, x), -1, -1, -1, 1, 1, 1);
	expect(ebb_silu(t, x), 0, 0, -40 * exp(-40), 40, 800, 1e4);
	expect(ebb_gelu(t, x), 0, 0, 0, 40, 800, 1e4);
	expect(ebb_gelu(t, x, .tanh = true), 0, 0, 0, 40, 800, 1e4);
	expect(ebb_elu(t, x, 1.0), -1, -1, -1, 40, 800, 1e4);
	derivatives(ebb_sigmoid(t, x), x, &g, NULL);
	expect(g, 0, 0, 0, 0, 0, 0);
	derivatives(ebb_softplus(t, x), x, &g, NULL);
	expect(g, 0, 0, 0, 1, 1, 1);
	derivatives(ebb_silu(t, x), x, &g, NULL);
	expect(g, 0, 0, -39 * exp(-40), 1, 1, 1);
	derivatives(ebb_gelu(t, x), x, &g, NULL);
	expect(g, 0, 0, 0, 1, 1, 1);
	derivatives(ebb_gelu(t, x, .tanh = true), x, &g, NULL);
	expect(g, 0, 0, 0, 1, 1, 1);
	derivatives(ebb_elu(t, x, 1.0), x, &g, NULL);
	expect(g, 0, 0, 0, 1, 1, 1);
	derivatives(ebb_erf(t, x), x, &g, NULL);
	expect(g, 0, 0, 0, 0, 0, 0);
}
END_TEST

/* Every unary op of NaN is NaN. */
START_TEST(unary_ops_of_nan_are_nan)
{
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(2), (const double[]){NAN, 1});
	ebb_tensor *results[] = {ebb_neg(t, x), ebb_abs(t, x), ebb_exp(t, x), ebb_log(t, x),
		ebb_sqrt(t, x), ebb_square(t, x), ebb_reciprocal(t, x), ebb_sin(t, x),
		ebb_cos(t, x), ebb_tanh(t, x), ebb_erf(t, x), ebb_sigmoid(t, x), ebb_softplus(t, x),
		ebb_silu(t, x), ebb_relu(t, x), ebb_leaky_relu(t, x, 0.1), ebb_elu(t, x, 1.0),
		ebb_gelu(t, x), ebb_gelu(t, x, .tanh = true), ebb_clamp(t, x, -1, 1),
		ebb_add_scalar(t, x, 1), ebb_mul_scalar(t, x, 2), ebb_pow_scalar(t, x, 2),
		ebb_add(t, x, x), ebb_maximum(t, x, ebb_ones_like(t, x)),
		ebb_maximum(t, ebb_ones_like(t, x), x), ebb_minimum(t, x, ebb_ones_like(t, x)),
		ebb_minimum(t, ebb_ones_like(t, x), x), ebb_softmax(t, x, 0),
		ebb_log_softmax(t, x, 0), ebb_sign(t, x)};
	size_t n = sizeof results / sizeof *results;

	for (size_t i = 0; i < n; i++)
		ck_assert_msg(isnan(ebb_at(results[i], 0)), "result number %d is %g", (int)i,
			ebb_at(results[i], 0));
}
END_TEST

/* ---- Powers and poles --------------------------------------------------------------- */

START_TEST(integer_powers_of_negative_numbers)
{
	ebb_tensor *x = variable(3, (const double[]){-2, 0, 3}), *g, *h;

	derivatives(ebb_pow_scalar(t, x, 3), x, &g, &h);
	expect(ebb_pow_scalar(t, x, 3), -8, 0, 27);
	expect(g, 12, 0, 27);
	expect(h, -12, 0, 18);
	derivatives(ebb_pow_scalar(t, x, 2), x, &g, &h);
	expect(g, -4, 0, 6);
	expect(h, 2, 2, 2);
	derivatives(ebb_pow_scalar(t, x, 1), x, &g, &h);
	expect(g, 1, 1, 1);
	expect(h, 0, 0, 0);
	derivatives(ebb_pow_scalar(t, x, 0), x, &g, &h);
	expect(ebb_pow_scalar(t, x, 0), 1, 1, 1);
	expect(g, 0, 0, 0);
	expect(h, 0, 0, 0);
	derivatives(ebb_square(t, x), x, &g, &h);
	expect(g, -4, 0, 6);
	expect(h, 2, 2, 2);
	ck_assert(isnan(ebb_at(ebb_pow_scalar(t, x, 0.5), 0)));
	ck_assert(isinf(ebb_at(ebb_pow_scalar(t, x, -1), 1)));
}
END_TEST

START_TEST(gradients_of_powers_at_zero)
{
	ebb_tensor *a = variable(4, (const double[]){0, 0, 2, -2}),
		   *b = variable(4, (const double[]){0, 2, 0, 3}), *y, *in[2] = {a, b}, *g[2];

	y = ebb_pow(t, a, b);
	expect(y, 1, 0, 1, -8);
	ck_assert(ebb_grad(t, ebb_sum(t, y), 2, in, g));
	/* By a: b*a^(b-1), 0 where b = 0.  By b: a^b*log a, 0 where a^b = 0 and for 0^0, NaN for a
	 * < 0. */
	expect(g[0], 0, 0, 0, 12);
	expect(g[1], 0, 0, log(2), NAN);
	ck_assert(ebb_grad(t, ebb_sum(t, y), 2, in, g, .create_graph = true));
	expect(g[0], 0, 0, 0, 12);
	expect(g[1], 0, 0, log(2), NAN);
}
END_TEST

START_TEST(values_and_gradients_at_poles_are_infinite)
{
	ebb_tensor *x = variable(2, (const double[]){0, 1}), *g;

	ck_assert(ebb_at(ebb_log(t, x), 0) == -INFINITY);
	ck_assert(isnan(ebb_item(ebb_log(t, ebb_scalar(t, -1)))));
	ck_assert(isinf(ebb_at(ebb_reciprocal(t, x), 0)));
	derivatives(ebb_sqrt(t, x), x, &g, NULL);
	ck_assert(ebb_at(g, 0) == INFINITY && ebb_at(g, 1) == 0.5);
	derivatives(ebb_log(t, x), x, &g, NULL);
	ck_assert(ebb_at(g, 0) == INFINITY && ebb_at(g, 1) == 1);
	ck_assert(isnan(ebb_at(ebb_div(t, x, x), 0)));
	ck_assert(ebb_at(ebb_div(t, ebb_ones_like(t, x), x), 0) == INFINITY);
}
END_TEST

/* ---- Two operands ------------------------------------------------------------------- */

START_TEST(equal_operands_of_maximum_share_the_gradient)
{
	ebb_tensor *a = variable(3, (const double[]){1, 2, 3}),
		   *b = variable(3, (const double[]){1, 3, 2}), *in[2] = {a, b}, *g[2], *h[2];

	ck_assert(ebb_grad(t, ebb_sum(t, ebb_maximum(t, a, b)), 2, in, g));
	expect(g[0], 0.5, 0, 1);
	expect(g[1], 0.5, 1, 0);
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_minimum(t, a, b)), 2, in, g));
	expect(g[0], 0.5, 1, 0);
	expect(g[1], 0.5, 0, 1);
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, ebb_maximum(t, a, b))), 2, in, g,
		.create_graph = true));
	expect(g[0], 1, 0, 6);
	expect(g[1], 1, 6, 0);
	ck_assert(ebb_grad(t, ebb_sum(t, g[0]), 2, in, h));
	expect(h[0], 0.5, 0, 2);
	expect(h[1], 0.5, 0, 0);
}
END_TEST

/* The operand that is not selected has derivative 0, even if it is NaN. */
START_TEST(where_passes_no_gradient_to_the_other_operand)
{
	const uint8_t choice[] = {1, 0, 255};
	ebb_tensor *c = ebb_from_u8(t, EBB_SHAPE(3), choice);
	ebb_tensor *a = variable(3, (const double[]){1, NAN, 3}),
		   *b = variable(3, (const double[]){INFINITY, 2, NAN}), *in[2] = {a, b}, *g[2],
		   *y = ebb_where(t, c, a, b);

	expect(y, 1, 2, 3);
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, y)), 2, in, g));
	expect(g[0], 2, 0, 6);
	expect(g[1], 0, 4, 0);
	/* The condition has no gradient. */
	y = ebb_where(t, ebb_arange(t, 3), a, b);
	expect(y, INFINITY, NAN, 3);
}
END_TEST

/* ---- Gradients that are zero -------------------------------------------------------- */

START_TEST(constants_have_zero_gradients)
{
	ebb_tensor *x = variable(2, (const double[]){1, 2}),
		   *z = variable(2, (const double[]){3, 4}), *in[2] = {x, z}, *g[2];

	ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, x)), 2, in, g));
	expect(g[0], 2, 4);
	expect(g[1], 0, 0);
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_mul(t, ebb_detach(t, x), x)), 1, &x, g));
	expect(g[0], 1, 2);
	/* The second derivative of a linear op is zeros of the right shape. */
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_mul_scalar(t, x, 3)), 1, &x, g, .create_graph = true));
	expect(g[0], 3, 3);
}
END_TEST

/* ---- The third order ---------------------------------------------------------------- */

START_TEST(third_derivatives_match_their_formulas)
{
	ebb_tensor *x = variable(3, (const double[]){-1.5, 0.25, 2}), *g;
	const struct {
		const char *name;
		ebb_tensor *y;
		double expected[3];
	} cases[] = {
		{"sin", ebb_sin(t, x), {-cos(-1.5), -cos(0.25), -cos(2)}},
		{"exp", ebb_exp(t, x), {exp(-1.5), exp(0.25), exp(2)}},
		{"x^4", ebb_pow_scalar(t, x, 4), {-36, 6, 48}},
		{"1/x", ebb_reciprocal(t, x), {-6 / pow(1.5, 4), -6 / pow(0.25, 4), -6 / 16.0}},
		{"x*x*x", ebb_mul(t, x, ebb_mul(t, x, x)), {6, 6, 6}},
		{"(x*x)/x", ebb_div(t, ebb_mul(t, x, x), x), {0, 0, 0}},
	};

	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		ebb_tensor *y = cases[k].y;

		for (int order = 0; order < 3; order++) {
			ck_assert_msg(ebb_grad(t, ebb_sum(t, y), 1, &x, &g, .create_graph = true),
				"%s", ebb_error_message(t));
			y = g;
		}
		for (int i = 0; i < 3; i++)
			ck_assert_msg(fabs(ebb_at(g, i) - cases[k].expected[i]) <
					      1e-9 * (1 + fabs(cases[k].expected[i])),
				"%s: %g, not %g", cases[k].name, ebb_at(g, i),
				cases[k].expected[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conventions");
	TCase *c = tcase_create("conventions");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, gradients_at_kinks_at_zero);
	tcase_add_test(c, clamp_passes_the_gradient_at_its_bounds);
	tcase_add_test(c, hardtanh_passes_the_gradient_at_nan_and_not_at_its_bounds);
	tcase_add_test(c, activations_of_large_arguments_reach_their_limits);
	tcase_add_test(c, unary_ops_of_nan_are_nan);
	tcase_add_test(c, integer_powers_of_negative_numbers);
	tcase_add_test(c, gradients_of_powers_at_zero);
	tcase_add_test(c, values_and_gradients_at_poles_are_infinite);
	tcase_add_test(c, equal_operands_of_maximum_share_the_gradient);
	tcase_add_test(c, where_passes_no_gradient_to_the_other_operand);
	tcase_add_test(c, constants_have_zero_gradients);
	tcase_add_test(c, third_derivatives_match_their_formulas);
	suite_add_tcase(s, c);
	return run_suite(s);
}
