/* Higher derivatives, and the arguments of ebb_grad. */
#include "tests/support/support.h"

#include <math.h>

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

#define assert_near(a, b, tolerance)                                                               \
	ck_assert_msg(                                                                             \
		fabs((a) - (b)) <= (tolerance) * (1 + fabs(b)), "%.17g, expected %.17g", (a), (b))

/* The n-th derivative of f at x, each by ebb_grad of the one before. */
static double derivative(ebb_tensor *(*f)(ebb_tensor *), double at, int n)
{
	ebb_tensor *x, *y;

	ebb_tape_reset(tape);
	x = ebb_variable(tape, ebb_scalar(tape, at));
	y = f(x);
	for (int k = 1; k <= n; k++)
		ck_assert_msg(ebb_grad(tape, y, 1, &x, &y, .create_graph = k < n), "%s",
			ebb_error_message(tape));
	return ebb_item(y);
}

static ebb_tensor *tanh_x2(ebb_tensor *x)
{
	return ebb_mul(tape, ebb_tanh(tape, x), ebb_square(tape, x));
}

START_TEST(tanh_times_square)
{
	for (double x = -2.5; x < 3; x += 0.37) {
		double y = tanh(x), d1 = 1 - y * y, d2 = -2 * y * d1,
		       d3 = -2 * d1 * d1 - 2 * y * d2;

		assert_near(derivative(tanh_x2, x, 1), d1 * x * x + 2 * x * y, 1e-12);
		assert_near(derivative(tanh_x2, x, 2), d2 * x * x + 4 * x * d1 + 2 * y, 1e-12);
		assert_near(derivative(tanh_x2, x, 3), d3 * x * x + 6 * x * d2 + 6 * d1, 1e-12);
	}
}
END_TEST

static ebb_tensor *sin_exp(ebb_tensor *x)
{
	return ebb_sin(tape, ebb_exp(tape, x));
}

static ebb_tensor *power_four(ebb_tensor *x)
{
	ebb_tensor *x2 = ebb_mul(tape, x, x);

	return ebb_mul(tape, x2, x2);
}

START_TEST(fourth_derivatives)
{
	double e = exp(0.3), s = sin(e), c = cos(e);

	assert_near(derivative(power_four, 1.5, 4), 24.0, 1e-12);
	assert_near(derivative(power_four, 1.5, 3), 36.0, 1e-12);
	/* d^4/dx^4 sin(e^x) = e c - 7 e^2 s - 6 e^3 c + e^4 s */
	assert_near(derivative(sin_exp, 0.3, 4),
		e * c - 7 * e * e * s - 6 * e * e * e * c + e * e * e * e * s, 1e-11);
}
END_TEST

START_TEST(repeated_higher_derivatives_use_constant_memory)
{
	size_t reserved = 0;

	for (int k = 0; k < 5; k++) {
		derivative(tanh_x2, 0.5, 5);
		ebb_tape_reset(tape);
		ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
		if (k == 1)
			reserved = ebb_memory_of(tape).reserved;
		if (k > 1)
			ck_assert_uint_eq(ebb_memory_of(tape).reserved, reserved);
	}
}
END_TEST

/* ---- Hessian-vector products of a small convolutional net ------------------------------- */

enum { PARTS = 5 };

static ebb_tensor *net_loss(ebb_tensor *const *w, ebb_tensor *x, ebb_tensor *label)
{
	ebb_scope_begin(tape, "net");
	x = ebb_tanh(tape, ebb_conv2d(tape, x, w[0], w[1], .pad = 1));
	x = ebb_maxpool2d(tape, x, .kernel = 2);
	x = ebb_sigmoid(tape, ebb_conv2d(tape, x, w[2], NULL, .stride = 2, .pad = 1));
	x = ebb_batchnorm(tape, x, NULL, NULL);
	x = ebb_linear(tape, ebb_flatten(tape, x), w[3], w[4]);
	return ebb_scope_end(tape, ebb_cross_entropy(tape, x, label));
}

static void nudge(ebb_tensor **w, ebb_tensor **v, double by)
{
	for (int k = 0; k < PARTS; k++) {
		double *p = ebb_data_mutable(w[k]);

		for (int64_t i = 0; i < ebb_count(w[k]); i++)
			p[i] += by * ebb_at(v[k], i);
	}
}

START_TEST(hessian_vector_products)
{
	static const ebb_shape shapes[PARTS] = {
		{4, {3, 2, 3, 3}}, {1, {3}}, {4, {4, 3, 3, 3}}, {2, {3, 16}}, {1, {3}}};
	ebb_tensor *w[PARTS], *v[PARTS], *g[PARTS], *hv[PARTS], *near[2][PARTS], *dot, *label;
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(5, 2, 8, 8), 100);
	double eps = 1e-5;

	label = ebb_tensor_new(EBB_I64, EBB_SHAPE(5), false, NULL);
	ck_assert(ebb_copy_in(label, (int64_t[]){0, 2, 1, 1, 0}, 5 * sizeof(int64_t)));
	for (int k = 0; k < PARTS; k++) {
		w[k] = persistent_random(EBB_F64, shapes[k], 10 + (uint64_t)k);
		v[k] = persistent_random(EBB_F64, shapes[k], 20 + (uint64_t)k);
		ebb_set_requires_grad(w[k], true);
	}
	for (int side = 0; side < 2; side++) {
		nudge(w, v, side ? -2 * eps : eps);
		ck_assert(ebb_grad(tape, net_loss(w, x, label), PARTS, w, g));
		for (int k = 0; k < PARTS; k++)
			near[side][k] = ebb_detach_copy(g[k]);
		ebb_tape_reset(tape);
	}
	nudge(w, v, eps);
	ck_assert_msg(ebb_grad(tape, net_loss(w, x, label), PARTS, w, g, .create_graph = true),
		"%s", ebb_error_message(tape));
	dot = ebb_scalar(tape, 0);
	for (int k = 0; k < PARTS; k++)
		dot = ebb_add(tape, dot, ebb_sum(tape, ebb_mul(tape, g[k], v[k])));
	ck_assert_msg(ebb_grad(tape, dot, PARTS, w, hv), "%s", ebb_error_message(tape));
	for (int k = 0; k < PARTS; k++)
		for (int64_t i = 0; i < ebb_count(w[k]); i++)
			assert_near(ebb_at(hv[k], i),
				(ebb_at(near[0][k], i) - ebb_at(near[1][k], i)) / (2 * eps), 1e-7);
	/* ebb_backward accumulates the same. */
	ck_assert(ebb_backward(tape, dot));
	for (int k = 0; k < PARTS; k++)
		ck_assert(all_close(ebb_grad_of(w[k]), hv[k], 1e-14));
	ebb_tape_reset(tape);
	for (int k = 0; k < PARTS; k++) {
		ebb_tensor_free(w[k]);
		ebb_tensor_free(v[k]);
		ebb_tensor_free(near[0][k]);
		ebb_tensor_free(near[1][k]);
	}
	ebb_tensor_free(x);
	ebb_tensor_free(label);
}
END_TEST

/* ---- Arguments of ebb_grad ---------------------------------------------------------------- */

START_TEST(targets_may_be_intermediate_or_not_reached)
{
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 2)),
		   *z = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(3, 2)));
	ebb_tensor *h = ebb_square(tape, x), *y = ebb_exp(tape, h), *later;
	ebb_tensor *p = persistent_random(EBB_F64, EBB_SHAPE(2), 1), *ask[6], *g[6];

	ebb_set_requires_grad(p, true);
	later = ebb_square(tape, y);
	ask[0] = x, ask[1] = h, ask[2] = y, ask[3] = z, ask[4] = later, ask[5] = p;
	for (int create = 0; create < 2; create++) {
		ck_assert(ebb_grad(tape, y, 6, ask, g, .create_graph = create));
		assert_near(ebb_item(g[0]), exp(4) * 4, 1e-14);
		assert_near(ebb_item(g[1]), exp(4), 1e-14);
		assert_near(ebb_item(g[2]), 1.0, 0);
		ck_assert_int_eq(ebb_count(g[3]), 6);
		for (int i = 0; i < 6; i++)
			ck_assert(ebb_at(g[3], i) == 0);
		ck_assert(ebb_item(g[4]) == 0 && ebb_at(g[5], 1) == 0);
		ck_assert(ebb_requires_grad(g[0]) == (create == 1) && !ebb_requires_grad(g[3]));
	}
	/* ebb_grad accumulates into no gradient and consumes nothing. */
	ck_assert(!ebb_grad_of(x) && !ebb_grad_of(p));
	ck_assert(ebb_backward(tape, later));
	ck_assert_ptr_null(ebb_grad_of(h)); /* not a leaf */
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(a_dropped_target_is_accepted_and_a_dropped_y_is_not)
{
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 2)), *h, *y, *g[2];

	ebb_scope_begin(tape, "f");
	h = ebb_square(tape, x);
	y = ebb_exp(tape, ebb_sin(tape, h));
	ebb_scope_end(tape, NULL);
	ck_assert(ebb_grad(tape, y, 2, ((ebb_tensor *[]){x, h}), g));
	assert_near(ebb_item(g[1]), exp(sin(4)) * cos(4), 1e-14);
	assert_near(ebb_item(g[0]), exp(sin(4)) * cos(4) * 4, 1e-14);
}
END_TEST

START_TEST(what_ebb_grad_refuses)
{
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(2))), *y = ebb_exp(tape, x),
		   *g = x;
	ebb_tensor *c = ebb_scalar(tape, 1), *none = NULL,
		   *p = persistent_random(EBB_F64, EBB_SHAPE(2), 1);

	assert_refused(tape, EBB_BAD_SHAPE, ebb_grad(tape, y, 1, &x, &g), "2 elements", ".gy");
	ck_assert_ptr_null(g);
	assert_refused(tape, EBB_BAD_SHAPE, ebb_grad(tape, y, 1, &x, &g, .gy = c), "gy is F64 []");
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, ebb_sum(tape, y), 1, &c, &g), "x[0]");
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, ebb_sum(tape, y), 1, &none, &g), "NULL");
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, ebb_sum(tape, y), 1, &p, &g), "x[0]");
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, ebb_sum(tape, y), 0, &x, &g), "n is 0");
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, c, 1, &x, &g), "depends on nothing");
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, NULL, 1, &x, &g), "y is NULL");
	ck_assert(!ebb_grad(NULL, y, 1, &x, &g));
	ck_assert(ebb_grad(tape, ebb_sum(tape, y), 1, &x, &g));
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(gy_has_a_gradient_too)
{
	/* d/du of sum(v * d(u*x^2)/dx) = 2 x v */
	ebb_tensor *x = ebb_variable(tape, ebb_from_f64(tape, EBB_SHAPE(2), ((double[]){3, 4})));
	ebb_tensor *u = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(2))), *g, *gu;

	ck_assert(ebb_grad(tape, ebb_square(tape, x), 1, &x, &g, .gy = u, .create_graph = true));
	ck_assert(ebb_grad(tape, ebb_sum(tape, g), 1, &u, &gu));
	assert_near(ebb_at(gu, 0), 6.0, 1e-15);
	assert_near(ebb_at(gu, 1), 8.0, 1e-15);
}
END_TEST

/* At 0^1 the vjp of pow computes log(0) and masks it; the second derivative must not be 0*inf =
 * NaN. */
START_TEST(a_masked_infinity_does_not_become_nan_in_second_derivatives)
{
	ebb_tensor *x[2] = {ebb_variable(tape, ebb_zeros(tape, EBB_SHAPE(1))),
		ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(1)))},
		   *u = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(1))), *g[2], *gu;

	ck_assert(
		ebb_grad(tape, ebb_pow(tape, x[0], x[1]), 2, x, g, .gy = u, .create_graph = true));
	ck_assert(ebb_grad(tape, ebb_sum(tape, ebb_add(tape, g[0], g[1])), 1, &u, &gu));
	assert_near(ebb_item(gu), 1.0, 0);
}
END_TEST

START_TEST(gradients_are_computed_in_no_grad_mode)
{
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 2)),
		   *y = ebb_mul(tape, x, ebb_square(tape, x)), *g, *gg;

	ebb_set_recording(tape, false);
	ck_assert(ebb_grad(tape, y, 1, &x, &g, .create_graph = true));
	ck_assert(!ebb_is_recording(tape));
	ck_assert(ebb_grad(tape, g, 1, &x, &gg));
	assert_near(ebb_item(g), 12.0, 0);
	assert_near(ebb_item(gg), 12.0, 0);
	ck_assert(ebb_backward(tape, y));
	assert_near(ebb_item(ebb_grad_of(x)), 12.0, 0);
	ck_assert(!ebb_requires_grad(ebb_mul(tape, x, x)));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/higher");
	TCase *c = tcase_create("higher");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, tanh_times_square);
	tcase_add_test(c, fourth_derivatives);
	tcase_add_test(c, repeated_higher_derivatives_use_constant_memory);
	tcase_add_test(c, hessian_vector_products);
	tcase_add_test(c, targets_may_be_intermediate_or_not_reached);
	tcase_add_test(c, a_dropped_target_is_accepted_and_a_dropped_y_is_not);
	tcase_add_test(c, what_ebb_grad_refuses);
	tcase_add_test(c, gy_has_a_gradient_too);
	tcase_add_test(c, a_masked_infinity_does_not_become_nan_in_second_derivatives);
	tcase_add_test(c, gradients_are_computed_in_no_grad_mode);
	suite_add_tcase(s, c);
	return run_suite(s);
}
