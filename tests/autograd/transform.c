/* Jacobian-vector and Hessian-vector products, and Jacobian and Hessian matrices. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

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

static ebb_tensor *vector(int n, const double *values)
{
	return ebb_from_f64(tape, EBB_SHAPE(n), values);
}

#define assert_near(a, b, tolerance)                                                               \
	ck_assert_msg(                                                                             \
		fabs((a) - (b)) <= (tolerance) * (1 + fabs(b)), "%.17g, expected %.17g", (a), (b))

START_TEST(jvp_of_two_inputs)
{
	const double xs[] = {0.5, -1.5, 2}, ys[] = {1.25, 0.75, -0.5}, us[] = {1, 2, -3},
		     vs[] = {-2, 0.5, 1};
	ebb_tensor *x[2] = {ebb_variable(tape, vector(3, xs)), ebb_variable(tape, vector(3, ys))};
	ebb_tensor *v[2] = {vector(3, us), vector(3, vs)}, *y, *jv;
	int64_t nodes;

	y = ebb_mul(tape, ebb_sin(tape, x[0]), ebb_square(tape, x[1]));
	nodes = ebb_memory_of(tape).nodes;
	jv = ebb_jvp(tape, y, 2, x, v);
	ck_assert_msg(!ebb_failed(tape), "%s", ebb_error_message(tape));
	for (int i = 0; i < 3; i++)
		assert_near(ebb_at(jv, i),
			cos(xs[i]) * ys[i] * ys[i] * us[i] + 2 * sin(xs[i]) * ys[i] * vs[i], 1e-14);
	ck_assert(!ebb_requires_grad(jv));
	ck_assert_int_eq(ebb_memory_of(tape).nodes, nodes);
	/* A jv with .create_graph can be differentiated: d/dx of sum(2xv) = 2v. */
	y = ebb_square(tape, x[0]);
	jv = ebb_jvp(tape, y, 1, x, v, .create_graph = true);
	ck_assert(ebb_grad(tape, ebb_sum(tape, jv), 1, x, &y));
	for (int i = 0; i < 3; i++)
		assert_near(ebb_at(y, i), 2 * us[i], 1e-14);
	/* The jv of a piecewise constant y, and of a y that is independent of x, is zero. */
	jv = ebb_jvp(tape, ebb_sign(tape, x[0]), 1, x, v);
	ck_assert(!ebb_failed(tape) && ebb_at(jv, 1) == 0);
	jv = ebb_jvp(tape, ebb_sin(tape, x[1]), 1, x, v);
	ck_assert_msg(!ebb_failed(tape) && ebb_at(jv, 1) == 0, "%s", ebb_error_message(tape));
}
END_TEST

START_TEST(jvp_by_an_intermediate_result)
{
	ebb_tensor *x = ebb_variable(tape, vector(2, (double[]){1, 2})), *v, *jv;
	ebb_tensor *h = ebb_exp(tape, x), *y = ebb_square(tape, h);

	v = vector(2, (double[]){1, -1});
	jv = ebb_jvp(tape, y, 1, &h, &v);
	assert_near(ebb_at(jv, 0), 2 * exp(1), 1e-14);
	assert_near(ebb_at(jv, 1), -2 * exp(2), 1e-14);
}
END_TEST

START_TEST(jacobian_of_a_product)
{
	const double as[] = {1, 2, 3, 4, 5, 6}, bs[] = {0.5, -1, 2};
	ebb_tensor *x[2] = {ebb_variable(tape, ebb_from_f64(tape, EBB_SHAPE(2, 3), as)),
		ebb_variable(tape, vector(3, bs))};
	ebb_tensor *y = ebb_matmul(tape, x[0], x[1]), *j[2];

	ck_assert(ebb_jacobian(tape, y, 2, x, j));
	ck_assert_int_eq(ebb_ndim(j[0]), 3);
	for (int i = 0; i < 2; i++) {
		for (int r = 0; r < 2; r++)
			for (int k = 0; k < 3; k++)
				ck_assert_double_eq(
					ebb_at(j[0], (i * 2 + r) * 3 + k), i == r ? bs[k] : 0);
		for (int k = 0; k < 3; k++)
			ck_assert_double_eq(ebb_at(j[1], i * 3 + k), as[i * 3 + k]);
	}
}
END_TEST

/* ---- The Hessian of a small convolutional net ------------------------------------------------ */

/* 9 weights and 1 bias of a 3x3 filter, 8 weights and 2 biases of a linear layer. */
enum { TENSORS = 4, PARAMETERS = 20 };
static const int COUNT[TENSORS] = {9, 1, 8, 2};

static ebb_tensor *conv_net(ebb_tape *t, const double *values, ebb_tensor **w)
{
	static const ebb_shape shapes[TENSORS] = {
		{4, {1, 1, 3, 3}}, {1, {1}}, {2, {2, 4}}, {1, {2}}};
	ebb_tensor *x, *h;

	for (int i = 0; i < TENSORS; i++) {
		w[i] = ebb_variable(t, ebb_from_f64(t, shapes[i], values));
		values += COUNT[i];
	}
	ebb_seed(t, 5);
	x = ebb_randn(t, EBB_SHAPE(3, 1, 6, 6));
	h = ebb_tanh(t, ebb_conv2d(t, x, w[0], w[1]));
	h = ebb_flatten(t, ebb_avgpool2d(t, h, .kernel = 2));
	return ebb_cross_entropy(t, ebb_linear(t, h, w[2], w[3]),
		ebb_from_i64(t, EBB_SHAPE(3), (int64_t[]){0, 1, 1}));
}

static void gradient_at(const double *values, double *g)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *w[TENSORS], *gw[TENSORS], *y;

	ebb_set_default_dtype(t, EBB_F64);
	y = conv_net(t, values, w);
	ck_assert_msg(ebb_grad(t, y, TENSORS, w, gw), "%s", ebb_error_message(t));
	for (int i = 0; i < TENSORS; i++)
		for (int k = 0; k < COUNT[i]; k++)
			*g++ = ebb_at(gw[i], k);
	ebb_tape_free(t);
}

START_TEST(hessian_of_a_conv_net)
{
	double values[PARAMETERS], plus[PARAMETERS], minus[PARAMETERS], h[PARAMETERS][PARAMETERS];
	const double eps = 1e-5;
	ebb_tensor *w[TENSORS], *blocks[TENSORS * TENSORS], *y, *v[TENSORS], *hv[TENSORS];
	double largest = 0;
	int row = 0;

	for (int i = 0; i < PARAMETERS; i++)
		values[i] = sin(1.7 * i + 0.3);
	y = conv_net(tape, values, w);
	ck_assert_msg(ebb_hessian(tape, y, TENSORS, w, blocks), "%s", ebb_error_message(tape));
	for (int i = 0; i < TENSORS; i++) {
		for (int r = 0; r < COUNT[i]; r++, row++) {
			int column = 0;

			for (int k = 0; k < TENSORS; k++)
				for (int c = 0; c < COUNT[k]; c++)
					h[row][column++] =
						ebb_at(blocks[i * TENSORS + k], r * COUNT[k] + c);
		}
	}
	for (int i = 0; i < PARAMETERS; i++) {
		double at = values[i];

		values[i] = at + eps;
		gradient_at(values, plus);
		values[i] = at - eps;
		gradient_at(values, minus);
		values[i] = at;
		for (int k = 0; k < PARAMETERS; k++) {
			double d = (plus[k] - minus[k]) / (2 * eps);

			largest = fmax(largest, fabs(h[k][i]));
			ck_assert_msg(fabs(h[k][i] - d) <= 1e-8 + 1e-7 * fabs(d),
				"[%d,%d]: %.12g, difference %.12g", k, i, h[k][i], d);
			ck_assert_double_eq_tol(h[k][i], h[i][k], 1e-14);
		}
	}
	ck_assert_double_gt(largest, 1e-3);
	/* A Hessian-vector product is the matrix times the vector. */
	for (int i = 0, at = 0; i < TENSORS; at += COUNT[i++])
		v[i] = ebb_reshape(tape, ebb_from_f64(tape, EBB_SHAPE(COUNT[i]), values + at),
			ebb_shape_of(w[i]));
	ck_assert_msg(ebb_hvp(tape, y, TENSORS, w, v, hv), "%s", ebb_error_message(tape));
	row = 0;
	for (int i = 0; i < TENSORS; i++) {
		for (int r = 0; r < COUNT[i]; r++, row++) {
			double sum = 0;

			for (int k = 0; k < PARAMETERS; k++)
				sum += h[row][k] * values[k];
			assert_near(ebb_at(hv[i], r), sum, 1e-12);
		}
	}
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
	ebb_tensor *x = ebb_variable(tape, vector(3, (double[]){1, 2, 3})), *y = ebb_exp(tape, x);
	ebb_tensor *v = vector(2, (double[]){1, 2}), *out = x, *c = vector(3, (double[]){1, 2, 3});
	ebb_tensor *wide = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(1, 1, 1, 1, 1)));

	assert_refused(tape, EBB_BAD_SHAPE, ebb_jvp(tape, y, 1, &x, &v), "transform.c", "jvp",
		"v[0] is F64 [2]", "x[0] is F64 [3]");
	assert_refused(tape, EBB_INVALID, ebb_jvp(tape, y, 0, &x, &v), "jvp", "n is 0");
	assert_refused(tape, EBB_INVALID, ebb_jvp(tape, y, 1, &c, &c), "does not require");
	assert_refused(tape, EBB_INVALID, ebb_jvp(tape, c, 1, &x, &c), "depends on nothing");
	assert_refused(tape, EBB_BAD_SHAPE, ebb_hvp(tape, y, 1, &x, &c, &out), "hvp", "3 elements");
	ck_assert_ptr_null(out);
	assert_refused(tape, EBB_INVALID, ebb_jacobian(tape, c, 1, &x, &out), "jacobian");
	assert_refused(tape, EBB_BAD_SHAPE, ebb_hessian(tape, y, 1, &x, &out), "hessian");
	y = ebb_square(tape, wide);
	assert_refused(tape, EBB_BAD_SHAPE, ebb_jacobian(tape, y, 1, &wide, &out), "8 axes");
	assert_refused(tape, EBB_INVALID, ebb_hessian(tape, y, 1, NULL, &out), "x NULL");
}
END_TEST

/* y may be a parameter itself. */
START_TEST(jacobian_of_a_persistent_tensor)
{
	ebb_tensor *w = persistent_random(EBB_F64, EBB_SHAPE(3), 1), *j;

	ebb_set_requires_grad(w, true);
	ck_assert_msg(ebb_jacobian(tape, w, 1, &w, &j), "%s", ebb_error_message(tape));
	for (int i = 0; i < 9; i++)
		ck_assert_double_eq(ebb_at(j, i), i % 4 == 0);
	ebb_set_requires_grad(w, false);
	ebb_tape_reset(tape);
	assert_refused(tape, EBB_INVALID, ebb_jacobian(tape, w, 1, &w, &j), "jacobian",
		"depends on nothing");
	ebb_tape_reset(tape);
	ebb_tensor_free(w);
}
END_TEST

/* Makes the n-th allocation of the transform fail, and returns whether it was reached.  Asserts
 * that there is either a result and a healthy tape, or no result and a failed tape. */
static bool refused_at(counting_allocator *a, int64_t n, bool second)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3))), *v = ebb_ones(t, EBB_SHAPE(3));
	ebb_tensor *y = ebb_exp(t, x), *s = ebb_sum(t, y), *result = NULL;
	bool ok;

	assert_healthy(t);
	a->calls = a->refused = 0;
	a->fail_at = n;
	if (second) {
		ok = ebb_hvp(t, s, 1, &x, &v, &result);
	} else {
		result = ebb_jvp(t, y, 1, &x, &v);
		ok = result != NULL;
	}
	ck_assert_msg(ok == !ebb_failed(t) && ok == (result != NULL), "%s, allocation %d",
		second ? "hvp" : "jvp", (int)n);
	a->fail_at = -1;
	ebb_tape_free(t);
	return a->refused > 0;
}

START_TEST(every_failed_allocation_is_an_error)
{
	counting_allocator a;

	counting_allocator_install(&a);
	for (int second = 0; second < 2; second++) {
		int64_t n = 0;

		while (refused_at(&a, n, second))
			n++;
		ck_assert_int_ge(n, 1);
	}
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("transform");
	TCase *c = tcase_create("transform");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, jvp_of_two_inputs);
	tcase_add_test(c, jvp_by_an_intermediate_result);
	tcase_add_test(c, jacobian_of_a_product);
	tcase_add_test(c, hessian_of_a_conv_net);
	tcase_add_test(c, bad_arguments_are_refused);
	tcase_add_test(c, jacobian_of_a_persistent_tensor);
	tcase_add_test(c, every_failed_allocation_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
