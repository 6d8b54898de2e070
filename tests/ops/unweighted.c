/* unweighted.c - infinities and NaNs whose weight, target or mask is 0 have no effect, in both
 * types. */
#include "tests/ops/precise.h"

static long double times(long double w, long double x)
{
	return w == 0 ? 0 : w * x;
}

/* ---- Weights of 0 ------------------------------------------------------------------- */

/* Class weights, soft targets (label 1 if left out) and smoothing, with some classes of weight or
 * target 0. */
static const struct unweighted {
	const char *name;
	double weight[4], target[4], smoothing;
	bool weighs, soft;
} unweighted[] = {
	{"a label", {0}, {0}, 0, false, false},
	{"weights of 1", {1, 1, 1, 1}, {0}, 0, true, false},
	{"a weight of 0", {0, 2, 1, 3}, {0}, 0, true, false},
	{"a weight of 0, smoothed", {0, 2, 1, 3}, {0}, 0.2, true, false},
	{"soft targets", {0}, {0, 0.5, 0.25, 0.25}, 0, false, true},
	{"one soft target", {0}, {0, 1, 0, 0}, 0, false, true},
	{"soft targets, weighed", {0, 2, 1, 3}, {0.25, 0.25, 0, 0.5}, 0, true, true},
	{"soft targets, weighed and smoothed", {0, 2, 1, 3}, {0.5, 0.25, 0, 0.25}, 0.1, true, true},
};

START_TEST(classes_of_weight_zero_have_no_effect)
{
	const double x[] = {-INFINITY, 0, 1, -0.5}, direction[] = {1, -2, 0.5, 3};

	use_type(_i);
	for (size_t c = 0; c < sizeof unweighted / sizeof *unweighted; c++) {
		const struct unweighted *k = &unweighted[c];
		long double q[4], y = 0, sum = 0, dot = 0, g[4], h[4];
		distribution d = distribution_of(4, x);
		ebb_tensor *v = ebb_variable(t, row(4, x)), *loss, *target;

		for (int i = 0; i < 4; i++) {
			q[i] = k->soft ? k->target[i] : i == 1;
			q[i] = q[i] * (1 - k->smoothing) + k->smoothing / 4;
			q[i] *= k->weighs ? k->weight[i] : 1;
			y -= times(q[i], d.log[i]);
			sum += q[i];
			dot += times(d.p[i], direction[i]);
		}
		for (int i = 0; i < 4; i++) {
			g[i] = d.p[i] * sum - q[i];
			h[i] = sum * d.p[i] * (direction[i] - dot);
		}
		target = k->soft ? row(4, k->target) : label(1);
		loss = ebb_cross_entropy(t, v, target,
			.weight = k->weighs ? ebb_from_f64(t, EBB_SHAPE(4), k->weight) : NULL,
			.label_smoothing = k->smoothing, .reduction = EBB_SUM_ALL);
		expect_at(k->name, 0, ebb_item(loss), y, 16);
		derivatives(k->name, loss, v, direction, g, h, 100);
	}
}
END_TEST

/* The gradient by a soft target is -log p, but 0 where the target is 0 and the logit -inf. */
START_TEST(the_gradient_by_a_target_of_zero_is_finite)
{
	const double x[] = {-INFINITY, 0, 1}, q[] = {0, 0.75, 0}, none[3] = {0};
	distribution d = distribution_of(3, x);
	const long double g[] = {0, -d.log[1], -d.log[2]};
	ebb_tensor *target;

	use_type(_i);
	target = ebb_variable(t, row(3, q));
	derivatives(
		"the targets", ebb_cross_entropy(t, row(3, x), target), target, none, g, NULL, 16);
}
END_TEST

/* An infinite loss has a finite gradient, and a NaN with a weight other than 0 gives NaN. */
START_TEST(infinite_losses_have_finite_gradients_and_nan_stays)
{
	const double x[] = {-INFINITY, 0, 1}, q[] = {0.5, 0.5, 0}, bad[] = {NAN, 0, 1};
	const double none[3] = {0};
	distribution d = distribution_of(3, x);
	const long double hard[] = {-1, d.p[1], d.p[2]}, soft[] = {-0.5L, d.p[1] - 0.5L, d.p[2]};
	ebb_tensor *v, *loss;

	use_type(_i);
	v = ebb_variable(t, row(3, x));
	for (int variant = 0; variant < LOSSES; variant++) {
		loss = loss_of(variant, v, 0);
		ck_assert(ebb_item(loss) == INFINITY);
		derivatives(loss_names[variant], loss, v, none, hard, NULL, 16);
		ck_assert(isnan(ebb_item(loss_of(variant, row(3, bad), 1))));
	}
	loss = ebb_cross_entropy(t, v, row(3, q));
	ck_assert(ebb_item(loss) == INFINITY);
	derivatives("soft targets", loss, v, none, soft, NULL, 16);
}
END_TEST

START_TEST(labels_of_weight_zero_have_no_effect)
{
	const double logs[] = {-INFINITY, -1, NAN, -1, INFINITY, -1}, weight[] = {0, 3};
	const int64_t labels[] = {0, 0, 0};
	const double ones[6] = {1, 1, 1, 1, 1, 1};
	const long double zero[6] = {0};
	ebb_tensor *x, *w, *loss, *target;

	use_type(_i);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3, 2), logs));
	w = ebb_from_f64(t, EBB_SHAPE(2), weight);
	target = ebb_from_i64(t, EBB_SHAPE(3), labels);
	loss = ebb_nll_loss(t, x, target, .weight = w, .reduction = EBB_NONE);
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq(ebb_at(loss, i), 0);
	derivatives("nll_loss", loss, x, ones, zero, NULL, 0);
	ck_assert(isnan(ebb_at(ebb_nll_loss(t, x, target, .reduction = EBB_NONE), 1)));
	/* An ignored row has the gradient 0, although the mean over no rows is NaN. */
	x = ebb_variable(t, row(2, weight));
	loss = ebb_cross_entropy(t, x, label(-100));
	ck_assert(isnan(ebb_item(loss)));
	derivatives("cross_entropy", loss, x, ones, zero, NULL, 0);
}
END_TEST

/* kl_div is 0 where the target is 0 (its logarithm -inf), for any x. */
START_TEST(kl_div_of_a_target_of_zero_is_zero)
{
	const double logs[] = {-INFINITY, NAN, INFINITY, -2, -1}, p[] = {0, 0, 0, 0.25, 0.75};
	const double log_p[] = {-INFINITY, -INFINITY, -INFINITY, -1, -0.5},
		     direction[5] = {1, 1, 1, 1, 1};
	const long double zero[5] = {0}, by_x[] = {0, 0, 0, -0.25L, -0.75L};
	const long double by_p[] = {0, 0, 0, logl(0.25L) + 3, logl(0.75L) + 2};
	long double by_log_x[5] = {0}, by_log_p[5] = {0}, second[5] = {0};
	ebb_tensor *x, *target, *y;

	use_type(_i);
	x = ebb_variable(t, row(5, logs));
	target = ebb_variable(t, row(5, p));
	y = ebb_kl_div(t, x, target, .reduction = EBB_NONE);
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq(ebb_at(y, i), 0);
	derivatives("kl_div", y, x, direction, by_x, zero, 4);
	second[3] = 4;
	second[4] = 1 / 0.75L;
	derivatives("kl_div's target", y, target, direction, by_p, second, 16);

	target = ebb_variable(t, row(5, log_p));
	y = ebb_kl_div(t, x, target, .log_target = true, .reduction = EBB_NONE);
	for (int i = 0; i < 5; i++) {
		long double e = expl(log_p[i]), apart = (long double)log_p[i] - logs[i];

		by_log_x[i] = -e;
		by_log_p[i] = i < 3 ? 0 : e * (apart + 1);
		second[i] = i < 3 ? 0 : e * (apart + 2);
		expect_at("kl_div of logarithms", i, ebb_at(y, i), i < 3 ? 0 : e * apart, 16);
	}
	derivatives("kl_div of logarithms", y, x, direction, by_log_x, zero, 4);
	derivatives("their target", y, target, direction, by_log_p, second, 16);
	/* A NaN with a target other than 0 gives NaN. */
	ck_assert(isnan(ebb_item(ebb_kl_div(t, x, ebb_full(t, EBB_SHAPE(1, 5), 0.2)))));
}
END_TEST

/* ---- Rows without a finite element -------------------------------------------------- */

START_TEST(softmax_of_minus_infinities_is_zero)
{
	const int lengths[] = {2, 3, 16, 47};
	double x[2 * MOST], none[2 * MOST] = {0}, direction[2 * MOST];
	long double zero[2 * MOST] = {0}, minus[2 * MOST] = {0};

	use_type(_i);
	for (int i = 0; i < 2 * MOST; i++) {
		x[i] = -INFINITY;
		direction[i] = i % 3 - 0.5;
	}
	for (int run = 0; run < 8; run++) {
		int n = lengths[run % 4], axis = run / 4;
		ebb_shape shape = axis ? EBB_SHAPE(2, n) : EBB_SHAPE(n, 2);
		ebb_tensor *v = ebb_variable(t, ebb_from_f64(t, shape, x)),
			   *y = ebb_softmax(t, v, axis), *u = ebb_from_f64(t, shape, direction);

		for (int i = 0; i < 2 * n; i++) {
			ck_assert_double_eq(ebb_at(y, i), 0);
			ck_assert_double_eq(ebb_at(ebb_log_softmax(t, v, axis), i), -INFINITY);
		}
		derivatives("softmax", ebb_mul(t, y, u), v, direction, zero, zero, 0);
		for (int i = 0; i < 2 * n; i++)
			minus[i] = -(long double)direction[i];
		y = ebb_mul(t, ebb_log_softmax(t, v, axis), ebb_neg(t, u));
		derivatives("log_softmax", y, v, none, minus, zero, 0);
	}
	for (int variant = 0; variant < LOSSES; variant++) {
		ebb_tensor *v = ebb_variable(t, row(3, x)), *loss = loss_of(variant, v, 1);
		const long double g[] = {0, -1, 0};

		ck_assert(ebb_item(loss) == INFINITY);
		derivatives(loss_names[variant], loss, v, none, g, zero, 0);
	}
}
END_TEST

/* A query without keys: by a boolean or an additive mask, with and without .causal. */
START_TEST(queries_without_keys_are_zero_with_zero_gradients)
{
	const uint8_t sees[] = {0, 0, 0, 1, 0, 1, /**/ 0, 1, 1, 1, 1, 1};
	double added[12];

	use_type(_i);
	for (int i = 0; i < 12; i++)
		added[i] = sees[i] ? 0 : -INFINITY;
	for (int variant = 0; variant < 4; variant++) {
		bool causal = variant % 2;
		ebb_tensor *x[3], *y, *g[3], *h[3], *mask;

		for (int k = 0; k < 3; k++)
			x[k] = ebb_variable(t, ebb_randn(t, EBB_SHAPE(2, k ? 3 : 2, 4)));
		mask = variant < 2 ? ebb_from_u8(t, EBB_SHAPE(2, 2, 3), sees)
		                   : ebb_from_f64(t, EBB_SHAPE(2, 2, 3), added);
		y = ebb_attention(t, x[0], x[1], x[2], .mask = mask, .causal = causal);
		for (int e = 0; e < 16; e++) {
			bool blind = e < 4 || (causal && e >= 8 && e < 12);

			ck_assert(
				blind ? ebb_at(y, e) == 0 : isfinite(ebb_at(y, e)) && ebb_at(y, e));
		}
		/* A query with a single key has that key's value. */
		for (int e = 0; e < 4 && causal; e++)
			ck_assert_double_eq(ebb_at(y, 4 + e), ebb_at(x[2], e));
		for (int recorded = 0; recorded < 2; recorded++) {
			ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, ebb_add_scalar(t, y, 1))), 3,
				x, g, .create_graph = recorded));
			for (int e = 0; e < 4; e++)
				ck_assert_double_eq(ebb_at(g[0], e), 0);
			for (int k = 0; k < 3; k++)
				for (int e = 0; e < ebb_count(g[k]); e++)
					ck_assert(isfinite(ebb_at(g[k], e)));
		}
		y = ebb_add(t, ebb_sum(t, ebb_square(t, g[0])),
			ebb_add(t, ebb_sum(t, ebb_square(t, g[1])),
				ebb_sum(t, ebb_square(t, g[2]))));
		ck_assert(ebb_grad(t, y, 3, x, h));
		for (int k = 0; k < 3; k++)
			for (int e = 0; e < ebb_count(h[k]); e++)
				ck_assert(isfinite(ebb_at(h[k], e)));
	}
}
END_TEST

/* ---- Masked elements ---------------------------------------------------------------- */

/* An infinite incoming gradient times a mask of 0 is 0. */
START_TEST(infinite_gradients_of_masked_elements_are_zero)
{
	const double x[] = {-1, 0.5, 3}, ones[] = {1, 1, 1};
	const long double by_x[] = {0, 2, 1 / 3.0L}, bend[] = {0, -4, -1 / 9.0L}, zero[3] = {0};
	ebb_tensor *v, *y;

	use_type(_i);
	v = ebb_variable(t, row(3, x));
	y = ebb_log(t, ebb_clamp(t, v, 0, 10));
	derivatives("log clamp", y, v, ones, by_x, bend, 4);
	y = ebb_log(t, ebb_maximum(t, v, ebb_zeros(t, EBB_SHAPE(1, 3))));
	derivatives("log maximum", y, v, ones, by_x, bend, 4);
	y = ebb_log(t, ebb_neg(t, ebb_minimum(t, ebb_zeros(t, EBB_SHAPE(1, 3)), ebb_neg(t, v))));
	derivatives("log minimum", y, v, ones, by_x, bend, 4);
	/* v has no share: the other operand is the minimum. */
	y = ebb_log(t, ebb_neg(t, ebb_minimum(t, v, ebb_full(t, EBB_SHAPE(1, 3), -5))));
	derivatives("log minimum", y, v, ones, zero, zero, 0);
}
END_TEST

START_TEST(dropped_infinities_are_zero)
{
	double x[64], kept = 0, dropped = 0;

	use_type(_i);
	for (int i = 0; i < 64; i++)
		x[i] = i % 2 ? INFINITY : NAN;
	for (int variant = 0; variant < 3; variant++) {
		ebb_tensor *v = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(64, 1, 1), x)), *y, *g;

		y = variant == 0   ? ebb_dropout(t, v, 0.5)
		    : variant == 1 ? ebb_dropout2d(t, v, 0.5)
		                   : ebb_drop_path(t, v, 0.5);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &v, &g));
		for (int i = 0; i < 64; i++) {
			if (ebb_at(g, i) == 0) {
				ck_assert_double_eq(ebb_at(y, i), 0);
				dropped++;
			} else {
				ck_assert(i % 2 ? ebb_at(y, i) == INFINITY : isnan(ebb_at(y, i)));
				kept++;
			}
		}
	}
	ck_assert(kept > 0 && dropped > 0);
}
END_TEST

/* huber_loss at a large distance has the slope delta, even at an infinite one. */
START_TEST(huber_loss_of_infinite_distances_has_slope_delta)
{
	const double x[] = {INFINITY, -INFINITY, 1e20, -1e20, 1e-30, 0},
		     ones[] = {1, 1, 1, 1, 1, 1};
	const long double h[] = {0, 0, 0, 0, 1, 1};
	long double g[] = {2, -2, 2, -2, 0, 0};
	ebb_tensor *v, *y;

	use_type(_i);
	g[4] = held(x[4]);
	v = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(6), x));
	y = ebb_huber_loss(t, v, ebb_zeros(t, EBB_SHAPE(6)), .delta = 2, .reduction = EBB_NONE);
	for (int i = 0; i < 6; i++)
		expect_at("huber_loss", i, ebb_at(y, i),
			i < 2   ? INFINITY
			: i < 4 ? 2e20L
				: 0.5L * x[i] * x[i],
			4);
	derivatives("huber_loss", y, v, ones, g, h, 4);
	/* An infinite delta: quadratic everywhere. */
	y = ebb_huber_loss(
		t, v, ebb_full(t, EBB_SHAPE(6), 3), .delta = INFINITY, .reduction = EBB_NONE);
	ck_assert_double_eq(ebb_at(y, 5), 4.5);
}
END_TEST

/* An ignored row with NaN or infinities has no effect, with and without weights and smoothing. */
START_TEST(ignored_rows_have_no_effect)
{
	const double bad[] = {NAN, INFINITY, -INFINITY};
	const int64_t labels[] = {-100, 1};

	use_type(_i);
	for (int k = 0; k < 3; k++)
		for (int variant = 0; variant < 4; variant++) {
			const double values[] = {bad[k], 1, 1, 2};
			ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 2), values)),
				   *w = variant & 1 ? ebb_ones(t, EBB_SHAPE(2)) : NULL, *loss, *g,
				   *h;
			double smoothing = variant & 2 ? 0.1 : 0;

			loss = ebb_cross_entropy(t, x, ebb_from_i64(t, EBB_SHAPE(2), labels),
				.weight = w, .label_smoothing = smoothing);
			expect_at("loss", variant, ebb_item(loss), log1pl(expl(-1)) + smoothing / 2,
				16);
			ck_assert(ebb_grad(t, loss, 1, &x, &g));
			ck_assert(ebb_grad(t, loss, 1, &x, &h, .create_graph = true));
			for (int i = 0; i < 2; i++)
				ck_assert_msg(ebb_at(g, i) == 0 && ebb_at(h, i) == 0,
					"case %d: %g, %g", variant, ebb_at(g, i), ebb_at(h, i));
			ck_assert(ebb_at(g, 2) > 0 && ebb_at(h, 2) > 0);
			ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, h)), 1, &x, &g));
			ck_assert(ebb_at(g, 0) == 0 && ebb_at(g, 1) == 0 && isfinite(ebb_at(g, 2)));
		}
}
END_TEST

/* An infinite incoming gradient times a slope of 0 is 0. */
START_TEST(infinite_gradients_times_a_slope_of_zero_are_zero)
{
	const double values[] = {-5, 0}, gradients[] = {INFINITY, -INFINITY};
	ebb_tensor *x, *gy, *g;

	use_type(_i);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2), values));
	gy = ebb_from_f64(t, EBB_SHAPE(2), gradients);
	ck_assert(ebb_grad(t, ebb_leaky_relu(t, x, 0), 1, &x, &g, gy));
	ck_assert(ebb_at(g, 0) == 0 && ebb_at(g, 1) == 0);
	ck_assert(ebb_grad(t, ebb_abs(t, x), 1, &x, &g, gy));
	ck_assert(ebb_at(g, 0) == -INFINITY && ebb_at(g, 1) == 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unweighted");
	TCase *c = tcase_create("unweighted");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, classes_of_weight_zero_have_no_effect, 0, 2);
	tcase_add_loop_test(c, the_gradient_by_a_target_of_zero_is_finite, 0, 2);
	tcase_add_loop_test(c, infinite_losses_have_finite_gradients_and_nan_stays, 0, 2);
	tcase_add_loop_test(c, labels_of_weight_zero_have_no_effect, 0, 2);
	tcase_add_loop_test(c, kl_div_of_a_target_of_zero_is_zero, 0, 2);
	tcase_add_loop_test(c, softmax_of_minus_infinities_is_zero, 0, 2);
	tcase_add_loop_test(c, queries_without_keys_are_zero_with_zero_gradients, 0, 2);
	tcase_add_loop_test(c, infinite_gradients_of_masked_elements_are_zero, 0, 2);
	tcase_add_loop_test(c, dropped_infinities_are_zero, 0, 2);
	tcase_add_loop_test(c, huber_loss_of_infinite_distances_has_slope_delta, 0, 2);
	tcase_add_loop_test(c, ignored_rows_have_no_effect, 0, 2);
	tcase_add_loop_test(c, infinite_gradients_times_a_slope_of_zero_are_zero, 0, 2);
	suite_add_tcase(s, c);
	return run_suite(s);
}
