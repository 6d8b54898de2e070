/*
 * test_reduce.c - sums and norms over any axes, maximum and minimum, and the statistics for
 * observers.
 */
#include "kernel_test.h"

/* A sum, or if p > 0 a norm, of elements of this magnitude. */
struct what {
	ebb_reduce_fn f;
	double p, magnitude;
};

static long double term(const struct what *w, long double x)
{
	if (w->p > 0)
		return x == 0 ? 0 : powl(fabsl(x), w->p);
	return w->f == EBB_REDUCE_SUM ? x : w->f == EBB_REDUCE_SUM_ABS ? fabsl(x) : x * x;
}

/* Sums x[shape] over the axes of a mask; `order` is the order of the axes in memory. */
static void check(struct what w, int ndim, const int64_t *shape, const int *order, unsigned mask)
{
	int64_t xs[EBB_KERNEL_DIMS], ys[EBB_KERNEL_DIMS], nx = 1, ny = 1, n = 1;
	void *x, *y;
	long double *want;

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
	for (int64_t i = 0; i < nx; i++)
		set(x, i, get(x, i) * w.magnitude);
	y = reals(ny);
	want = bytes((size_t)ny * sizeof *want);
	for (int64_t i = 0; i < n; i++) {
		int64_t ax = 0, ay = 0, rest = i;

		for (int d = ndim - 1; d >= 0; d--) {
			ax += rest % shape[d] * xs[d];
			ay += rest % shape[d] * ys[d];
			rest /= shape[d];
		}
		want[ay] += term(&w, get(x, ax));
	}
	if (w.p > 0)
		K->norm(w.p, ndim, shape, x, xs, y, ys, 0.5);
	else
		K->reduce(w.f, ndim, shape, x, xs, y, ys, 0.5);
	for (int64_t i = 0; i < ny; i++) {
		long double root = w.p > 0 ? powl(want[i], 1 / (long double)w.p) : want[i];

		expect_near(get(y, i) / w.magnitude, (double)(0.5L * root / w.magnitude),
			f64 ? 1000 : 3, "reduce %d p %g magnitude %g mask %u ndim %d", (int)w.f,
			w.p, w.magnitude, mask, ndim);
	}
	release_all();
}

static void check_reduce(
	ebb_reduce_fn f, int ndim, const int64_t *shape, const int *order, unsigned mask)
{
	check((struct what){f, 0, 1}, ndim, shape, order, mask);
}

/* Random axes: any number, size (some 0) and order, and a random mask. */
static void check_any(struct what w)
{
	int ndim = (int)any(0, 5), order[] = {0, 1, 2, 3, 4};
	int64_t shape[5];

	for (int d = 0; d < ndim; d++)
		shape[d] = any(0, 15) ? any(1, 9) : any(0, 1);
	for (int d = ndim - 1; d > 0; d--) {
		int o = (int)any(0, d), t = order[d];

		order[d] = order[o];
		order[o] = t;
	}
	check(w, ndim, shape, order, (unsigned)any(0, 31));
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
	for (int round = 0; round < 200; round++)
		check_any((struct what){(ebb_reduce_fn)any(0, 2), 0, 1});
}

/* Sums of squares and powers overflow or underflow a double unless the magnitude is 1. */
static void norms(void)
{
	static const int64_t total[] = {17001}, columns[] = {2401, 7}, rows[] = {7, 2401};
	static const int reading[] = {0, 1};
	static const double exponents[] = {1, 2, 3, 0.5, 1.5, 20};
	const double magnitudes[] = {1, f64 ? 1e200 : 1e28, f64 ? 1e-200 : 1e-28};

	for (int k = 0; k < 6; k++) {
		for (int m = 0; m < 3; m++) {
			struct what w = {EBB_REDUCE_SUM, exponents[k], magnitudes[m]};

			check(w, 1, total, reading, 1);
			check(w, 2, columns, reading, 1);
			check(w, 2, rows, reading, 2);
			for (int round = 0; round < CASES(20); round++)
				check_any(w);
		}
	}
}

START_TEST(norms_neither_overflow_nor_underflow)
{
	each_table(norms);
}
END_TEST

static void norms_of_special_numbers(void)
{
	double large = f64 ? 1e200 : 1e20;
	const double values[] = {large, INFINITY, NAN, large, -INFINITY, large, 0, -0.0};
	const double want[] = {NAN, INFINITY, 0};
	const int64_t from[] = {1, 3, 6}, count[] = {2, 3, 2};

	for (int p = 1; p < 4; p++) {
		for (int k = 0; k < 3; k++) {
			int64_t stride = 1, none = 0;
			void *x = reals(count[k]), *y = reals(1);

			for (int64_t i = 0; i < count[k]; i++)
				set(x, i, values[from[k] + i]);
			K->norm(p, 1, &count[k], x, &stride, y, &none, 1);
			expect(near(get(y, 0), want[k], 0));
		}
	}
	release_all();
}

START_TEST(norms_of_infinities_nan_and_zeros)
{
	each_table(norms_of_special_numbers);
}
END_TEST

START_TEST(sums_over_any_axes_equal_loops)
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

static void dot_result(void *result, void *x)
{
	*(double *)result = K->dot(300001, x, (char *)x + 7 * K->real_size);
}

static void threads(void)
{
	void *x = random_reals(20001 * 15 + 7);

	same_for_all_threads(K->real_size, total_result, x);
	same_for_all_threads(15 * K->real_size, columns_result, x);
	same_for_all_threads(sizeof(ebb_kernel_stats), stats_result, x);
	same_for_all_threads(sizeof(double), dot_result, x);
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
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

START_TEST(extremes_are_the_first_of_equals_or_the_first_nan)
{
	each_table(extremes);
}
END_TEST

/* Elements of this magnitude around a mean; some equal the mean, some are NaN. */
static void check_statistics(int64_t n, double magnitude, double mean)
{
	void *x = random_reals(n);
	ebb_kernel_stats s, w = {.n = n, .min = INFINITY, .max = -INFINITY};
	long double sum = 0, squares = 0, deviations = 0, used;

	for (int64_t i = 0; i < n; i++) {
		double v;

		set(x, i, mean + magnitude * get(x, i));
		if (any(0, 9) == 0)
			set(x, i, any(0, 1) ? NAN : mean);
		v = get(x, i);
		if (isnan(v)) {
			w.nan++;
			continue;
		}
		w.zeros += v == 0;
		w.saturated += v < -0.5 || v > 0.25;
		sum += v;
		squares += (long double)v * v;
		w.sum_abs += fabs(v);
		w.max_abs = fmax(w.max_abs, fabs(v));
		w.min = fmin(w.min, v);
		w.max = fmax(w.max, v);
	}
	used = n - w.nan;
	for (int64_t i = 0; i < n; i++) {
		long double d = get(x, i) - sum / used;

		deviations += isnan(get(x, i)) ? 0 : d * d;
	}
	K->stats(n, x, -0.5, 0.25, &s);
	expect(s.n == w.n && s.nan == w.nan);
	expect(s.zeros == w.zeros && s.saturated == w.saturated);
	expect(fabsl(s.sum - sum) <= 1e-9L * w.sum_abs);
	expect(fabs(s.sum_abs - w.sum_abs) <= 1e-9 * w.sum_abs);
	expect(fabsl(s.l2 - sqrtl(squares)) <= 1e-9L * sqrtl(squares));
	expect(fabsl(s.deviation - sqrtl(deviations)) <=
		1e-9L * sqrtl(deviations) + 1e-15L * sqrtl(squares));
	expect(s.max_abs == w.max_abs && s.min == w.min && s.max == w.max);
	release_all();
}

static void statistics(void)
{
	static const int64_t sizes[] = {0, 1, 3, 8, 17, 1000, 50000};
	double large = f64 ? 1e200 : 1e35;

	for (int k = 0; k < 7; k++) {
		check_statistics(sizes[k], 1, 0);
		check_statistics(sizes[k], large, 0);
		check_statistics(sizes[k], 1 / large, 0);
		/* The sum of squares has no digits left for the deviations. */
		check_statistics(sizes[k], 1, f64 ? 1e10 : 1e6);
		check_statistics(sizes[k], 0, 0.1);
	}
}

START_TEST(statistics_equal_their_definitions)
{
	each_table(statistics);
}
END_TEST

static void dots(void)
{
	static const int64_t sizes[] = {
		0, 1, 15, 16, 17, 1000, 16383, 16384, 16385, 32768, 50001, 1200000};

	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		void *a = random_reals(sizes[k]), *b = random_reals(sizes[k]);
		long double sum = 0, magnitude = 0;

		for (int64_t i = 0; i < sizes[k]; i++) {
			sum += (long double)get(a, i) * get(b, i);
			magnitude += fabsl((long double)get(a, i) * get(b, i));
		}
		/* Float products are exact in double, and sums of them are rounded to double. */
		expect(fabsl(K->dot(sizes[k], a, b) - sum) <= 1e-13L * magnitude);
		release_all();
	}
}

START_TEST(dot_products_accumulate_in_double)
{
	each_table(dots);
}
END_TEST

TCase *tests_reduce(void)
{
	TCase *c = tcase_create("reduce");

	tcase_add_test(c, sums_over_any_axes_equal_loops);
	tcase_add_test(c, norms_neither_overflow_nor_underflow);
	tcase_add_test(c, norms_of_infinities_nan_and_zeros);
	tcase_add_test(c, extremes_are_the_first_of_equals_or_the_first_nan);
	tcase_add_test(c, statistics_equal_their_definitions);
	tcase_add_test(c, dot_products_accumulate_in_double);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	return c;
}
