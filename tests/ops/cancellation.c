/* cancellation.c - results that are small differences of large terms keep their digits, in both
 * types. */
#include "tests/ops/precise.h"

/* ---- bce_with_logits ---------------------------------------------------------------- */

static long double softplus(long double x)
{
	return x > 100 ? x : log1pl(expl(x));
}

static long double sigmoid(long double x)
{
	return 1 / (1 + expl(-x));
}

static long double times(long double w, long double x)
{
	return w == 0 ? 0 : w * x;
}

START_TEST(bce_with_logits_keeps_its_digits)
{
	const double sizes[] = {
		0, 1e-6, 0.3, 1, 5, 8, 10, 12, 15, 16, 20, 40, 85, 700, 1e20, INFINITY};
	const double targets[] = {0, 1, 0.5, 0.25, 0.9, 1e-6, 1 - 0x1p-20, 1.5, -2};
	const double one = 1;

	use_type(_i);
	for (int a = 0; a < 2 * (int)(sizeof sizes / sizeof *sizes); a++) {
		for (int b = 0; b < (int)(sizeof targets / sizeof *targets); b++) {
			double x = held(a % 2 ? -sizes[a / 2] : sizes[a / 2]),
			       target = held(targets[b]);
			long double p = sigmoid(x), q = sigmoid(-x), y, g, h, by_target = -x;
			ebb_tensor *v = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(1), &x)),
				   *u = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(1), &target)),
				   *loss = ebb_bce_with_logits(t, v, u, .reduction = EBB_NONE);
			char what[80];

			snprintf(what, sizeof what, "bce of %g, target %g", x, target);
			y = times(target, softplus(-x)) +
			    times(1 - (long double)target, softplus(x));
			g = (1 - (long double)target) * p - target * q;
			h = p * q;
			/* For a target outside of [0,1], or near p, the terms have different signs
			 * and cancel. */
			double tolerance = target < 0 || target > 1 ? 64 : 16;
			double loose = tolerance * (double)(1 + fabsl(1 - target) * p / fabsl(g));

			expect_at(what, 0, ebb_item(loss), y, tolerance);
			derivatives(what, loss, v, &one, &g, &h, g == 0 ? 16 : loose);
			derivatives("its target", loss, u, &one, &by_target, NULL, 1);
			/* bce(-x, 1 - target) is bit-identical. */
			if (target == 1)
				ck_assert_double_eq(ebb_item(loss),
					ebb_item(ebb_bce_with_logits(
						t, ebb_neg(t, v), ebb_zeros(t, EBB_SHAPE(1)))));
		}
	}
	ck_assert(isnan(ebb_item(ebb_bce_with_logits(t, ebb_scalar(t, NAN), ebb_scalar(t, 0)))));
	ck_assert(isnan(ebb_item(ebb_bce_with_logits(t, ebb_scalar(t, NAN), ebb_scalar(t, 1)))));
	ck_assert(isnan(ebb_item(ebb_bce_with_logits(t, ebb_scalar(t, 3), ebb_scalar(t, NAN)))));
}
END_TEST

/* ---- softplus, logsigmoid ----------------------------------------------------------- */

START_TEST(softplus_and_logsigmoid_keep_their_digits)
{
	const double x[] = {-80, -20, -12, -1, 0, 1, 12, 20, 80},
		     ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
	long double p[9], q[9], bend[9], minus[9];
	ebb_tensor *v, *y, *z;

	use_type(_i);
	v = ebb_variable(t, row(9, x));
	y = ebb_softplus(t, v);
	z = ebb_logsigmoid(t, v);
	for (int i = 0; i < 9; i++) {
		p[i] = sigmoid(x[i]);
		q[i] = sigmoid(-x[i]);
		bend[i] = p[i] * q[i];
		minus[i] = -bend[i];
		expect_at("softplus", i, ebb_at(y, i), softplus(x[i]), 16);
		expect_at("logsigmoid", i, ebb_at(z, i), -softplus(-x[i]), 16);
	}
	derivatives("softplus", y, v, ones, p, bend, 16);
	derivatives("logsigmoid", z, v, ones, q, minus, 16);
}
END_TEST

/* ---- Softmax where one class has nearly all probability ----------------------------- */

/* Fills x with one large logit and others that are gap below it; returns the large one's index. */
static int confident_row(int n, double gap, double *x)
{
	int own = n / 2;

	for (int k = 0; k < n; k++)
		x[k] = held(k == own ? 5 : 5 - gap - 0.25 * (k % 5));
	return own;
}

static const int lengths[] = {2, 3, 16, 47};
static const double gaps[] = {0, 0.5, 2, 12, 16, 20, 40, 80, 300, 690};

/* The loss of class k, for confident and other logits; its gradient p - [i = k]; and the second
 * derivative. */
START_TEST(losses_of_confident_logits_keep_their_digits)
{
	use_type(_i);
	for (int run = 0; run < 4 * 10 * LOSSES * 2; run++) {
		int n = lengths[run % 4], kind = run / 40 % LOSSES, own, k;
		double gap = gaps[run / 4 % 10], x[MOST], direction[MOST] = {0};
		long double g[MOST], h[MOST];
		distribution d;
		ebb_tensor *v, *loss;

		if (gap > 80 && !_i)
			continue;
		own = confident_row(n, gap, x);
		k = run >= 40 * LOSSES ? own : 0;
		d = distribution_of(n, x);
		direction[k] = 1;
		for (int i = 0; i < n; i++) {
			g[i] = i == k ? -d.rest[k] : d.p[i];
			h[i] = d.p[k] * (i == k ? d.rest[k] : -d.p[i]);
		}
		v = ebb_variable(t, row(n, x));
		loss = loss_of(kind, v, k);
		expect_at(loss_names[kind], k, ebb_item(loss), -d.log[k], 16);
		derivatives(loss_names[kind], loss, v, direction, g, h, 64);
	}
}
END_TEST

/* log_softmax and softmax along contiguous and strided axes: values, and gradients of one element
 * and of two. */
START_TEST(softmax_of_confident_logits_keeps_its_digits)
{
	use_type(_i);
	for (int run = 0; run < 4 * 10 * 8; run++) {
		int n = lengths[run % 4], own, axis = run / 40 % 2;
		double gap = gaps[run / 4 % 10], x[MOST], zeros[MOST] = {0}, u[MOST] = {0};
		bool logarithm = run / 80 % 2, two = run / 160;
		long double g[MOST], others = 0;
		distribution d;
		ebb_shape shape = axis ? EBB_SHAPE(1, n) : EBB_SHAPE(n, 1);
		ebb_tensor *v, *y, *weights;

		if (gap > 80 && !_i)
			continue;
		own = confident_row(n, gap, x);
		d = distribution_of(n, x);
		u[own] = 1;
		u[0] = two ? -0.5 : u[0];
		v = ebb_variable(t, ebb_from_f64(t, shape, x));
		y = logarithm ? ebb_log_softmax(t, v, axis) : ebb_softmax(t, v, axis);
		for (int i = 0; i < n; i++) {
			expect_at(logarithm ? "log_softmax" : "softmax", i, ebb_at(y, i),
				logarithm ? d.log[i] : d.p[i], 16);
			others += i == own ? 0 : u[i];
		}
		for (int i = 0; i < n; i++) {
			g[i] = u[i] - d.p[i] * (u[own] + others);
			if (i == own && logarithm)
				g[i] = u[i] * d.rest[i] - d.p[i] * others;
			if (!logarithm) {
				g[i] = 0;
				for (int k = 0; k < n; k++)
					g[i] += d.p[i] * d.p[k] * ((long double)u[i] - u[k]);
			}
		}
		weights = ebb_from_f64(t, shape, u);
		y = ebb_mul(t, y, weights);
		/* With two elements and a small gap, terms of different sign cancel. */
		derivatives(logarithm ? "log_softmax" : "softmax", y, v, zeros, g, NULL,
			two && gap < 3 ? 1000 : 64);
	}
}
END_TEST

/* ---- Variance ----------------------------------------------------------------------- */

/* The variance of numbers around a mean that is far from 0, along adjacent and other axes. */
START_TEST(variance_around_a_far_mean_is_accurate)
{
	const double means[] = {0, 1e3, 1e6, -1e7};
	enum { N = 24 };

	use_type(_i);
	for (int run = 0; run < 12; run++) {
		ebb_axes axes = run % 3 == 0   ? (ebb_axes){0, {0}}
		                : run % 3 == 1 ? EBB_AXES(2, 1)
		                               : EBB_AXES(0, 2);
		double x[N], scale = _i ? 1e-3 : 1, zeros[N] = {0};
		long double var[N], g[N] = {0}, sum[3] = {0}, square[3] = {0};
		int group[N], groups = run % 3 == 0 ? 1 : run % 3 == 1 ? 2 : 3;
		ebb_tensor *v, *y;

		for (int i = 0; i < N; i++) {
			x[i] = held(means[run / 3] + scale * ((i * 7 % 11) - 4));
			group[i] = run % 3 == 0 ? 0 : run % 3 == 1 ? i / 12 : i / 4 % 3;
			sum[group[i]] += (long double)x[i] - means[run / 3];
		}
		for (int i = 0; i < N; i++) {
			long double d =
				(long double)x[i] - means[run / 3] - sum[group[i]] * groups / N;

			square[group[i]] += d * d;
			g[i] = 2 * d / (N / groups - 1);
		}
		v = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 3, 4), x));
		y = ebb_var(t, v, axes);
		for (int k = 0; k < groups; k++) {
			var[k] = square[k] / (N / groups - 1);
			expect_at("var", k, ebb_at(y, k), var[k], 16);
		}
		/* One element's deviation may be much smaller than the standard deviation. */
		derivatives("var", y, v, zeros, g, NULL, 4000);
	}
}
END_TEST

/* H v = p*(v - sum p*v) along an axis with one large element, where 1 - p must be computed as the
 * sum of the other p. */
START_TEST(the_hessian_of_logsumexp_keeps_its_digits)
{
	const double tops[] = {1, 12, 20, 40, 80}, direction[] = {1, 0, 0};

	use_type(_i);
	for (int k = 0; k < 5; k++) {
		const double values[] = {tops[k], 0, 0};
		distribution d = distribution_of(3, values);
		long double h[] = {d.p[0] * d.rest[0], -d.p[0] * d.p[1], -d.p[0] * d.p[2]};
		ebb_tensor *x = ebb_variable(t, row(3, values));

		derivatives(
			"logsumexp", ebb_logsumexp(t, x, EBB_AXES(1)), x, direction, d.p, h, 16);
	}
}
END_TEST

/* One number, the first or the last, is far from all others; the others' deviations stay
 * accurate. */
START_TEST(variance_with_an_outlier_is_accurate)
{
	enum { N = 20 };

	use_type(_i);
	for (int at = 0; at < N; at += N - 1) {
		double x[N], zeros[N] = {0};
		long double g[N], mean = 0, square = 0;
		ebb_tensor *v, *y;

		for (int i = 0; i < N; i++) {
			x[i] = held(i == at ? (_i ? 1e14 : 1e6) : 0.1 * (i * 7 % 11));
			mean += (long double)x[i] / N;
		}
		for (int i = 0; i < N; i++) {
			square += (x[i] - mean) * (x[i] - mean);
			g[i] = 2 * (x[i] - mean) / (N - 1);
		}
		v = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(N), x));
		y = ebb_var(t, v);
		expect_at("var", at, ebb_item(y), square / (N - 1), 8);
		derivatives("var", y, v, zeros, g, NULL, 8);
	}
}
END_TEST

/* The standard deviation of numbers near the largest and the most negative number is finite. */
START_TEST(std_across_the_whole_range_is_finite)
{
	double x[] = {0, 0};
	ebb_tensor *v;

	use_type(_i);
	x[0] = _i ? 1e308 : 2e38;
	x[1] = -x[0];
	v = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2), x));
	expect_at("std", 0, ebb_item(ebb_std(t, v, .correction = EBB_ZERO)), held(x[0]), 4);
}
END_TEST

/* The variance of equal numbers is 0, even if their mean is rounded. */
START_TEST(the_variance_of_equal_numbers_is_zero)
{
	const double values[] = {0.1, 1e6 + 0.1, -1e9 / 3, 1e-30, 7};

	use_type(_i);
	for (int k = 0; k < 5; k++) {
		for (int n = 2; n < 12; n++) {
			ebb_tensor *x = ebb_variable(t, ebb_full(t, EBB_SHAPE(n), values[k])), *g;

			ck_assert_double_eq(ebb_item(ebb_var(t, x)), 0);
			ck_assert_double_eq(ebb_item(ebb_std(t, x)), 0);
			ck_assert(ebb_grad(t, ebb_std(t, x), 1, &x, &g));
			for (int i = 0; i < n; i++)
				ck_assert_double_eq(ebb_at(g, i), 0);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cancellation");
	TCase *c = tcase_create("cancellation");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, bce_with_logits_keeps_its_digits, 0, 2);
	tcase_add_loop_test(c, softplus_and_logsigmoid_keep_their_digits, 0, 2);
	tcase_add_loop_test(c, losses_of_confident_logits_keep_their_digits, 0, 2);
	tcase_add_loop_test(c, softmax_of_confident_logits_keeps_its_digits, 0, 2);
	tcase_add_loop_test(c, variance_around_a_far_mean_is_accurate, 0, 2);
	tcase_add_loop_test(c, the_hessian_of_logsumexp_keeps_its_digits, 0, 2);
	tcase_add_loop_test(c, variance_with_an_outlier_is_accurate, 0, 2);
	tcase_add_loop_test(c, std_across_the_whole_range_is_finite, 0, 2);
	tcase_add_loop_test(c, the_variance_of_equal_numbers_is_zero, 0, 2);
	suite_add_tcase(s, c);
	return run_suite(s);
}
