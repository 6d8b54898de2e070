/*
 * test_reduce.c - sums over any axes, extremes, and the observers' statistics.
 */
#include "kernel_test.h"

static double term(ebb_reduce_fn f, double x)
{
	return f == EBB_REDUCE_SUM ? x : f == EBB_REDUCE_SUM_ABS ? fabs(x) : x * x;
}

/* Sums x[shape] (strides of the axes in the given order) over the axes of a mask. */
static void check_reduce(
	ebb_reduce_fn f, int ndim, const int64_t *shape, const int *order, unsigned mask)
{
	int64_t xs[EBB_KERNEL_DIMS], ys[EBB_KERNEL_DIMS], nx = 1, ny = 1, n = 1;
	void *x, *y;
	double *want;

	for (int k = ndim - 1; k >= 0; k--) {
		int d = order[k];

		xs[d] = nx;
		nx *= shape[d];
		n *= shape[d];
		ys[d] = 0;
		if (!(mask >> d & 1)) {
			ys[d] = ny;
			ny *= shape[d];
		}
	}
	x = random_reals(nx);
	y = reals(ny);
	want = bytes((size_t)ny * sizeof *want);
	for (int64_t i = 0; i < n; i++) {
		int64_t ax = 0, ay = 0, rest = i;

		for (int d = ndim - 1; d >= 0; d--) {
			ax += rest % shape[d] * xs[d];
			ay += rest % shape[d] * ys[d];
			rest /= shape[d];
		}
		want[ay] += term(f, get(x, ax));
	}
	K->reduce(f, ndim, shape, x, xs, y, ys, 0.5);
	for (int64_t i = 0; i < ny; i++)
		expect_near(get(y, i), 0.5 * want[i], f64 ? 1000 : 3, "reduce %d mask %u ndim %d",
			(int)f, mask, ndim);
	release_all();
}

static void reductions(void)
{
	static const int64_t big[] = {64, 6, 14, 14}, columns[] = {9001, 7}, wide[] = {70, 1300};
	static const int reading[] = {0, 1, 2, 3}, nhwc[] = {0, 2, 3, 1};

	for (unsigned mask = 0; mask < 16; mask++) {
		check_reduce(EBB_REDUCE_SUM, 4, big, reading, mask);
		check_reduce(EBB_REDUCE_SUM_SQ, 4, big, nhwc, mask);
	}
	for (unsigned mask = 0; mask < 4; mask++) {
		for (int f = 0; f < 3; f++) {
			check_reduce((ebb_reduce_fn)f, 2, columns, reading, mask);
			check_reduce((ebb_reduce_fn)f, 2, wide, reading, mask);
		}
	}
	for (int round = 0; round < 200; round++) {
		int ndim = (int)any(0, 5), order[] = {0, 1, 2, 3, 4};
		int64_t shape[5];

		for (int d = 0; d < ndim; d++)
			shape[d] = any(0, 15) ? any(1, 9) : any(0, 1);
		for (int d = ndim - 1; d > 0; d--) {
			int o = (int)any(0, d), t = order[d];

			order[d] = order[o];
			order[o] = t;
		}
		check_reduce((ebb_reduce_fn)any(0, 2), ndim, shape, order, (unsigned)any(0, 31));
	}
}

START_TEST(sums)
{
	each_table(reductions);
}
END_TEST

static void total_result(void *result, void *x)
{
	int64_t shape[] = {300001}, xs[] = {1}, ys[] = {0};

	K->reduce(EBB_REDUCE_SUM, 1, shape, x, xs, result, ys, 1);
}

static void columns_result(void *result, void *x)
{
	int64_t shape[] = {20001, 15}, xs[] = {15, 1}, ys[] = {0, 1};

	K->reduce(EBB_REDUCE_SUM_SQ, 2, shape, x, xs, result, ys, 1);
}

static void stats_result(void *result, void *x)
{
	K->stats(300001, x, -0.5, 0.5, result);
}

static void threads(void)
{
	void *x = random_reals(20001 * 15);

	same_for_all_threads(K->real_size, total_result, x);
	same_for_all_threads(15 * K->real_size, columns_result, x);
	same_for_all_threads(sizeof(ebb_kernel_stats), stats_result, x);
}

START_TEST(same_for_any_threads)
{
	each_table(threads);
}
END_TEST

static void check_extreme(int sign, int64_t outer, int64_t len, int64_t inner)
{
	void *x = reals(outer * len * inner), *y = reals(outer * inner);
	int64_t *index = bytes((size_t)(outer * inner) * sizeof *index);

	for (int64_t i = 0; i < outer * len * inner; i++)
		set(x, i, any(0, 60) ? (double)any(-5, 5) : any(0, 1) ? NAN : sign * INFINITY);
	K->extreme(sign, outer, len, inner, x, y, index);
	for (int64_t i = 0; i < outer * inner; i++) {
		int64_t from = i / inner * len * inner + i % inner, best = 0;

		for (int64_t k = 1; k < len; k++) {
			double v = get(x, from + k * inner), b = get(x, from + best * inner);

			if (!isnan(b) && (isnan(v) || v * sign > b * sign))
				best = k;
		}
		expect(index[i] == best);
		expect(near(get(y, i), get(x, from + best * inner), 0));
	}
	K->extreme(sign, outer, len, inner, x, y, NULL);
	release_all();
}

static void extremes(void)
{
	for (int i = 0; i < 60; i++)
		check_extreme(i % 2 ? 1 : -1, any(0, 6), any(1, 40), i % 3 ? 1 : any(0, 20));
	check_extreme(1, 3000, 17, 1);
	check_extreme(-1, 30, 17, 90);
}

START_TEST(largest_and_smallest)
{
	each_table(extremes);
}
END_TEST

static void statistics(void)
{
	static const int64_t sizes[] = {0, 1, 3, 8, 17, 1000, 50000};

	for (int k = 0; k < 7; k++) {
		int64_t n = sizes[k];
		void *x = random_reals(n);
		ebb_kernel_stats s, w = {.n = n, .min = INFINITY, .max = -INFINITY};

		for (int64_t i = 0; i < n; i++) {
			double v;

			if (any(0, 9) == 0)
				set(x, i, any(0, 1) ? NAN : 0);
			v = get(x, i);
			if (isnan(v)) {
				w.nan++;
				continue;
			}
			w.zeros += v == 0;
			w.saturated += v < -0.5 || v > 0.25;
			w.sum += v;
			w.sum_sq += v * v;
			w.sum_abs += fabs(v);
			w.max_abs = fmax(w.max_abs, fabs(v));
			w.min = fmin(w.min, v);
			w.max = fmax(w.max, v);
		}
		K->stats(n, x, -0.5, 0.25, &s);
		ck_assert_int_eq(s.n, w.n);
		ck_assert_int_eq(s.nan, w.nan);
		ck_assert_int_eq(s.zeros, w.zeros);
		ck_assert_int_eq(s.saturated, w.saturated);
		expect(fabs(s.sum - w.sum) <= 1e-9 && fabs(s.sum_sq - w.sum_sq) <= 1e-9);
		expect(fabs(s.sum_abs - w.sum_abs) <= 1e-9);
		expect(s.max_abs == w.max_abs && s.min == w.min && s.max == w.max);
		release_all();
	}
}

START_TEST(stats)
{
	each_table(statistics);
}
END_TEST

TCase *tests_reduce(void)
{
	TCase *c = tcase_create("reduce");

	tcase_add_test(c, sums);
	tcase_add_test(c, largest_and_smallest);
	tcase_add_test(c, stats);
	tcase_add_test(c, same_for_any_threads);
	return c;
}
