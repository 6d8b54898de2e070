/* magnitudes.c - norms and standard deviations of numbers whose squares and powers overflow or
 * underflow in their type agree with the formulas in long double. */
#include "tests/ops/ops_test.h"

enum { N = 6 };

static const double VALUES[N] = {3, -4, 0.5, 2, -1.5, 0.25}, DIRECTION[N] = {1, 0.5, -2, 3, 1, -1};
/* For each dtype.  Every result, second derivatives included, is a normal number. */
static const double SCALES[2][5] = {
	{1, 1e20, 1e-25, 1e36, 1e-35}, {1, 1e200, 1e-200, 1e305, 1e-305}};

static const ebb_axes WHOLE = {0, {0}}, ROWS_AXIS = {1, {1}}, COLUMNS_AXIS = {1, {0}};

/* The value of a function of a vector, and its first and second derivative. */
typedef struct expected {
	long double y, g[N], h[N]; /* h: the Hessian times a direction */
	long double terms;         /* the largest term of the sums in h */
} expected;

static long double power(long double x, double p)
{
	return x == 0 ? 0 : powl(fabsl(x), p);
}

/* y = |x|_p, s the signs, r = |x|/y: dy = s*r^(p-1), and the Hessian is (p-1)/y *
 * (diag(r^(p-2)) - dy dy^T). */
static expected norm_of(int n, const long double *x, const long double *v, double p)
{
	expected e = {0};
	long double along = 0;

	for (int i = 0; i < n; i++)
		e.y += power(x[i], p);
	e.y = powl(e.y, 1 / (long double)p);
	for (int i = 0; i < n; i++) {
		e.g[i] = copysignl(powl(fabsl(x[i]) / e.y, p - 1), x[i]);
		along += e.g[i] * v[i];
	}
	for (int i = 0; i < n; i++) {
		long double bend = powl(fabsl(x[i]) / e.y, p - 2) * v[i];

		e.h[i] = (p - 1) / e.y * (bend - e.g[i] * along);
		e.terms = fmaxl(e.terms, fabsl((p - 1) / e.y * bend));
	}
	return e;
}

/* max |x|. */
static expected largest_of(int n, const long double *x)
{
	expected e = {0};
	int at = 0;

	for (int i = 1; i < n; i++)
		at = fabsl(x[i]) > fabsl(x[at]) ? i : at;
	e.y = fabsl(x[at]);
	e.g[at] = copysignl(1, x[at]);
	return e;
}

/* y = |d|/sqrt(n - 1), d = x - mean x. */
static expected deviation_of(int n, const long double *x, const long double *v)
{
	expected e = {0};
	long double d[N], u[N], mean = 0, along = 0, c = 1 / sqrtl(n - 1);

	for (int i = 0; i < n; i++) {
		mean += x[i] / n;
		along += v[i] / n;
	}
	for (int i = 0; i < n; i++) {
		d[i] = x[i] - mean;
		u[i] = v[i] - along;
	}
	e = norm_of(n, d, u, 2);
	e.y *= c;
	for (int i = 0; i < n; i++) {
		e.g[i] *= c;
		e.h[i] *= c;
	}
	return e;
}

static void close_enough(const char *what, double p, double scale, ebb_dtype dtype, int n,
	const ebb_tensor *x, const int *at, const long double *want, long double most,
	long double tolerance)
{
	for (int i = 0; i < n; i++)
		most = fmaxl(most, fabsl(want[i]));
	for (int i = 0; i < n; i++)
		ck_assert_msg(fabsl(ebb_at(x, at[i]) - want[i]) <= tolerance * most,
			"%s, p = %g, scale %g, %s: element %d is %g, expected %Lg", what, p, scale,
			dtype == EBB_F64 ? "F64" : "F32", at[i], ebb_at(x, at[i]), want[i]);
}

typedef ebb_tensor *function(ebb_tape *t, ebb_tensor *x, double p, ebb_axes axes);

static ebb_tensor *norm(ebb_tape *t, ebb_tensor *x, double p, ebb_axes axes)
{
	return ebb_norm(t, x, .p = p, .axes = axes);
}

static ebb_tensor *deviation(ebb_tape *t, ebb_tensor *x, double p, ebb_axes axes)
{
	(void)p;
	return ebb_std(t, x, axes);
}

/* Compares f of x [2,3], row-major or as a transposed view, with the expected values of each
 * vector. */
static void check(function *f, double p, ebb_axes axes, bool transposed, double scale,
	ebb_dtype dtype, bool second)
{
	ebb_tape *t = ebb_tape_new();
	long double tolerance = dtype == EBB_F64 ? 1e-13L : 1e-6L;
	ebb_tensor *x, *seen, *v, *y, *g, *h = NULL;
	double values[N];
	int vectors = axes.n == 0 ? 1 : axes.axis[0] == 1 ? 2 : 3, n = N / vectors;

	for (int i = 0; i < N; i++)
		values[i] = VALUES[i] * scale;
	ebb_set_default_dtype(t, dtype);
	ebb_set_flush_subnormal(t, EBB_FLUSH_NEVER); /* terms of gradients of 1e-37 are subnormal */
	x = seen = ebb_variable(
		t, ebb_from_f64(t, transposed ? EBB_SHAPE(3, 2) : EBB_SHAPE(2, 3), values));
	v = ebb_from_f64(t, ebb_shape_of(x), DIRECTION);
	if (transposed)
		seen = ebb_transpose(t, x, 0, 1);
	y = f(t, seen, p, axes);
	ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g, .create_graph = second));
	if (second)
		ck_assert(ebb_grad(t, ebb_sum(t, ebb_mul(t, g, v)), 1, &x, &h));
	assert_healthy(t);
	for (int k = 0; k < vectors; k++) {
		long double in[N], along[N];
		int at[N];
		expected e;

		for (int i = 0; i < n; i++) {
			/* The row and column in seen [2,3]. */
			int row = vectors == 3 ? i : vectors == 2 ? k : i / 3;
			int column = vectors == 3 ? k : vectors == 2 ? i : i % 3;

			at[i] = transposed ? column * 2 + row : row * 3 + column;
			in[i] = ebb_at(x, at[i]);
			along[i] = DIRECTION[at[i]];
		}
		e = f == deviation ? deviation_of(n, in, along)
		    : isinf(p)     ? largest_of(n, in)
		                   : norm_of(n, in, along, p);
		close_enough("value", p, scale, dtype, 1, y, &k, &e.y, 0, tolerance);
		close_enough("gradient", p, scale, dtype, n, g, at, e.g, 0, 4 * tolerance);
		if (second)
			close_enough("second derivative", p, scale, dtype, n, h, at, e.h, e.terms,
				16 * tolerance);
	}
	ebb_tape_free(t);
}

static void check_everywhere(function *f, double p, bool second)
{
	for (int d = 0; d < 2; d++) {
		for (int k = 0; k < 5; k++) {
			for (int transposed = 0; transposed < 2; transposed++) {
				ebb_dtype dtype = d ? EBB_F64 : EBB_F32;

				check(f, p, WHOLE, transposed, SCALES[d][k], dtype, second);
				check(f, p, ROWS_AXIS, transposed, SCALES[d][k], dtype, second);
				check(f, p, COLUMNS_AXIS, transposed, SCALES[d][k], dtype, second);
			}
		}
	}
}

START_TEST(norms_are_right_for_any_magnitude)
{
	static const double P[] = {1, 2, 3, 1.5, 2.5, 10};

	check_everywhere(norm, P[_i], true);
}
END_TEST

/* Only first derivatives, because intermediate values of the second ones overflow for p < 1. */
START_TEST(gradients_of_norms_with_p_below_one_are_right)
{
	check_everywhere(norm, 0.5, false);
	check_everywhere(norm, 0.9, false);
	check_everywhere(norm, INFINITY, false);
}
END_TEST

START_TEST(standard_deviations_are_right_for_any_magnitude)
{
	check_everywhere(deviation, 0, true);
}
END_TEST

/* Elements of very different magnitude: x/|x| underflows where the gradient does not. */
START_TEST(gradients_of_norms_of_very_different_elements_are_right)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2), (double[]){1e-30, 1e15})), *g;

	ck_assert(ebb_grad(t, ebb_norm(t, x, .p = 1.5), 1, &x, &g));
	ck_assert_double_eq_tol(ebb_at(g, 0) / sqrt(1e-45), 1, 1e-6);
	ck_assert(ebb_grad(t, ebb_norm(t, x, .p = 0.5), 1, &x, &g));
	ck_assert_double_eq_tol(ebb_at(g, 0) / sqrt(1e45), 1, 1e-6);
	ck_assert_double_eq_tol(ebb_at(g, 1), 1, 1e-6);
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* The sum of a thousand squares overflows a float; their mean does not. */
START_TEST(variance_is_finite_where_the_sum_of_squares_overflows)
{
	enum { MANY = 1000 };
	static float values[MANY];
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *g, *h;
	double n = MANY;

	for (int i = 0; i < MANY; i++)
		values[i] = i % 2 ? 1e19f : -1e19f;
	x = ebb_variable(t, ebb_from_f32(t, EBB_SHAPE(MANY), values));
	ck_assert_double_eq_tol(
		ebb_item(ebb_var(t, x)) / ((double)1e19f * (double)1e19f * n / (n - 1)), 1, 1e-6);
	ck_assert(ebb_grad(t, ebb_var(t, x), 1, &x, &g, .create_graph = true));
	ck_assert_double_eq_tol(ebb_at(g, 1) / (2e19 / (n - 1)), 1, 1e-6);
	ck_assert(ebb_grad(
		t, ebb_slice(t, g, 0, 1, 2, 1), 1, &x, &h, .gy = ebb_ones(t, EBB_SHAPE(1))));
	ck_assert_double_eq_tol(ebb_at(h, 1) / (2 / n), 1, 1e-6);
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* q = x/y, y = |x|_p: the gradient of sum u*q is u/y - y'*(sum u*q)/y. */
START_TEST(normalize_is_right_for_any_magnitude)
{
	for (int d = 0; d < 2; d++) {
		for (int k = 0; k < 10; k++) {
			ebb_tape *t = ebb_tape_new();
			double scale = SCALES[d][k % 5], p = k / 5 ? 3 : 2;
			ebb_dtype dtype = d ? EBB_F64 : EBB_F32;
			long double in[N], u[N], q[N], g[N], along = 0;
			int at[N];
			ebb_tensor *x, *y, *gx;
			double values[N];
			expected e;

			for (int i = 0; i < N; i++)
				values[i] = VALUES[i] * scale;
			ebb_set_default_dtype(t, dtype);
			ebb_set_flush_subnormal(t, EBB_FLUSH_NEVER);
			x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(1, N), values));
			y = ebb_normalize(t, x, .p = p, .eps = EBB_ZERO);
			ck_assert(ebb_grad(t, y, 1, &x, &gx,
				.gy = ebb_from_f64(t, EBB_SHAPE(1, N), DIRECTION)));
			assert_healthy(t);
			for (int i = 0; i < N; i++) {
				at[i] = i;
				in[i] = ebb_at(x, i);
				u[i] = DIRECTION[i];
			}
			e = norm_of(N, in, u, p);
			for (int i = 0; i < N; i++) {
				q[i] = in[i] / e.y;
				along += u[i] * q[i];
			}
			for (int i = 0; i < N; i++)
				g[i] = (u[i] - e.g[i] * along) / e.y;
			close_enough(
				"normalize", p, scale, dtype, N, y, at, q, 0, d ? 1e-14 : 1e-6);
			close_enough(
				"its gradient", p, scale, dtype, N, gx, at, g, 0, d ? 1e-13 : 1e-5);
			ebb_tape_free(t);
		}
	}
}
END_TEST

/* If the norm is below eps, the divisor is eps. */
START_TEST(normalize_divides_tiny_vectors_by_eps)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(1, 2), (double[]){3e-25, 4e-25})),
		   *y, *g;

	y = ebb_normalize(t, x);
	ck_assert_double_eq_tol(ebb_at(y, 0) / 3e-13, 1, 1e-6);
	ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g));
	ck_assert_double_eq_tol(ebb_at(g, 0) / 1e12, 1, 1e-6);
	y = ebb_normalize(t, x, .eps = 1e-30);
	ck_assert_double_eq_tol(ebb_at(y, 0), 0.6, 1e-6);
	ck_assert_double_eq_tol(ebb_at(y, 1), 0.8, 1e-6);
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* An eps that underflows in the type must still prevent 0/0. */
START_TEST(normalize_keeps_a_tiny_eps_positive)
{
	for (int d = 0; d < 2; d++) {
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x, *y, *g;

		ebb_set_default_dtype(t, d ? EBB_F64 : EBB_F32);
		x = ebb_variable(t, ebb_zeros(t, EBB_SHAPE(1, 2)));
		y = ebb_normalize(t, x, .eps = d ? 1e-320 : 1e-50);
		ck_assert(ebb_at(y, 0) == 0 && ebb_at(y, 1) == 0);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g));
		ck_assert(isfinite(ebb_at(g, 0)) && ebb_at(g, 0) > 1e37);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

START_TEST(norms_of_nan_and_infinity)
{
	static const double P[] = {1, 2, 3, 0.5, 10, INFINITY};

	for (int d = 0; d < 2; d++) {
		for (int k = 0; k < 6; k++) {
			ebb_tape *t = ebb_tape_new();
			double large = d ? 1e300 : 1e36;
			const double values[] = {1, INFINITY, large, -INFINITY, 0, 0, NAN, large, 0,
				NAN, INFINITY, 1};
			ebb_tensor *y;

			ebb_set_default_dtype(t, d ? EBB_F64 : EBB_F32);
			y = ebb_norm(t, ebb_from_f64(t, EBB_SHAPE(4, 3), values), .p = P[k],
				.axes = EBB_AXES(1));
			ck_assert_msg(ebb_at(y, 0) == INFINITY && ebb_at(y, 1) == INFINITY,
				"p = %g: %g, %g", P[k], ebb_at(y, 0), ebb_at(y, 1));
			ck_assert_msg(isnan(ebb_at(y, 2)) && isnan(ebb_at(y, 3)), "p = %g: %g, %g",
				P[k], ebb_at(y, 2), ebb_at(y, 3));
			assert_healthy(t);
			ebb_tape_free(t);
		}
	}
}
END_TEST

/* Both derivatives of the norm are 0 at x = 0. */
START_TEST(derivatives_of_the_norm_of_zeros_are_zero)
{
	for (int d = 0; d < 2; d++) {
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x, *y, *g, *h;

		ebb_set_default_dtype(t, d ? EBB_F64 : EBB_F32);
		x = ebb_variable(t, ebb_zeros(t, EBB_SHAPE(3)));
		y = ebb_norm(t, x);
		ck_assert(ebb_item(y) == 0);
		ck_assert(ebb_grad(t, y, 1, &x, &g, .create_graph = true));
		ck_assert(ebb_grad(t, ebb_sum(t, g), 1, &x, &h));
		for (int i = 0; i < 3; i++)
			ck_assert(ebb_at(g, i) == 0 && ebb_at(h, i) == 0);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

/* y^3 of y = x^(-1/2) overflows a float for x below 1.9e-26; the derivative -y^3/2 does not. */
START_TEST(the_gradient_of_a_large_rsqrt_is_finite)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, 1.5e-26)), *g;

	ck_assert(ebb_grad(t, ebb_rsqrt(t, x), 1, &x, &g));
	ck_assert_double_eq_tol(ebb_item(g) * -2 * pow(1.5e-26, 1.5), 1, 1e-6);
	ebb_tape_free(t);
}
END_TEST

/* With a negative alpha, k + alpha*sum may be negative; a power with a whole exponent is
 * defined. */
START_TEST(local_response_norm_with_a_negative_base)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *y;

	y = ebb_local_response_norm(t, ebb_from_f64(t, EBB_SHAPE(1, 2), (double[]){1, 2}),
		.size = 3, .alpha = -9, .beta = 1);
	ck_assert_double_eq_tol(ebb_at(y, 0), -1.0 / 14, 1e-7);
	ck_assert_double_eq_tol(ebb_at(y, 1), -2.0 / 14, 1e-7);
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops-magnitudes");
	TCase *c = tcase_create("norms");

	tcase_add_loop_test(c, norms_are_right_for_any_magnitude, 0, 6);
	tcase_add_test(c, gradients_of_norms_with_p_below_one_are_right);
	tcase_add_test(c, gradients_of_norms_of_very_different_elements_are_right);
	tcase_add_test(c, norms_of_nan_and_infinity);
	tcase_add_test(c, derivatives_of_the_norm_of_zeros_are_zero);
	tcase_add_test(c, the_gradient_of_a_large_rsqrt_is_finite);
	tcase_add_test(c, local_response_norm_with_a_negative_base);
	suite_add_tcase(s, c);
	c = tcase_create("deviations");
	tcase_add_test(c, standard_deviations_are_right_for_any_magnitude);
	tcase_add_test(c, variance_is_finite_where_the_sum_of_squares_overflows);
	suite_add_tcase(s, c);
	c = tcase_create("normalize");
	tcase_add_test(c, normalize_is_right_for_any_magnitude);
	tcase_add_test(c, normalize_divides_tiny_vectors_by_eps);
	tcase_add_test(c, normalize_keeps_a_tiny_eps_positive);
	suite_add_tcase(s, c);
	return run_suite(s);
}
