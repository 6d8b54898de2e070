/*
 * test_norm.c - the sums and passes of batch normalisation, and normalisation of rows.
 */
#include "kernel_test.h"

/* Deviations are summed in the table's type over short runs: a few units of it, of what is summed. */
static void expect_sum(double got, double want, double terms)
{
	expect(fabs(got - want) <= 4 * epsilon() * terms + 1e-13 * (1 + fabs(want)));
}

static void check_stats(int64_t rows, int64_t c, const void *x, double *mean, double *var)
{
	K->batchnorm_stats(rows, c, x, mean, var);
	for (int64_t k = 0; k < c && rows > 0; k++) {
		double m = 0, v = 0;

		for (int64_t r = 0; r < rows; r++)
			m += get(x, r * c + k);
		m /= (double)rows;
		for (int64_t r = 0; r < rows; r++)
			v += pow(get(x, r * c + k) - m, 2);
		v /= (double)rows;
		expect_sum(mean[k], m, sqrt(v));
		expect(fabs(var[k] - v) <= 8 * epsilon() * v + 1e-11 * (1e-3 + v));
	}
}

/* y NULL: without a mask. */
static void check_gradient(int64_t rows, int64_t c, const void *x, const void *gy, const void *y,
	double *const d[4], bool keep)
{
	double *mean = d[0], *var = d[1], *a = d[2], *b = d[3];
	void *gx = reals(rows * c), *masked = keep ? reals(rows * c) : NULL;

	K->batchnorm_sums(rows, c, x, gy, y, mean, var, a, b);
	for (int64_t k = 0; k < c; k++) {
		double s = 0, t = 0, n = 0;

		for (int64_t r = 0; r < rows; r++) {
			int64_t i = r * c + k;
			double g = !y || get(y, i) > 0 ? get(gy, i) : 0;

			s += g;
			t += g * (get(x, i) - mean[k]);
			n += fabs(g) * (1 + fabs(get(x, i) - mean[k]));
		}
		expect_sum(a[k], s, n);
		expect_sum(b[k] / var[k], t, n);
		/* of the size that coefficients have */
		a[k] /= (double)rows + 1;
	}
	K->batchnorm_gx(rows, c, x, gy, y, a, mean, var, gx, masked);
	for (int64_t i = 0; i < rows * c; i++) {
		double g = !y || get(y, i) > 0 ? get(gy, i) : 0, bx = mean[i % c] * get(x, i);

		expect_near(get(gx, i), a[i % c] * g + bx + var[i % c],
			8 * (1 + fabs(bx) + fabs(var[i % c])), "batchnorm_gx");
		expect(!masked || get(masked, i) == g);
	}
	if (keep) { /* in place */
		void *g = reals(rows * c), *again = reals(rows * c);

		memcpy(g, gy, (size_t)(rows * c) * K->real_size);
		K->batchnorm_gx(rows, c, x, g, y, a, mean, var, again, g);
		expect(memcmp(g, masked, (size_t)(rows * c) * K->real_size) == 0);
		expect(memcmp(again, gx, (size_t)(rows * c) * K->real_size) == 0);
		memcpy(g, gy, (size_t)(rows * c) * K->real_size);
		K->batchnorm_gx(rows, c, x, g, y, a, mean, var, g, NULL);
		expect(memcmp(g, gx, (size_t)(rows * c) * K->real_size) == 0);
	}
	K->batchnorm_gx(rows, c, NULL, gy, y, a, NULL, NULL, gx, masked);
	for (int64_t i = 0; i < rows * c; i++) {
		double g = !y || get(y, i) > 0 ? get(gy, i) : 0;

		expect_near(get(gx, i), a[i % c] * g, 4, "batchnorm_gx without x");
	}
}

static void check_passes(int64_t rows, int64_t c, const void *x, const double *scale,
	const double *shift, const void *residual)
{
	void *y = reals(rows * c), *z = reals(rows * c), *w = reals(rows * c);

	K->scale_shift(rows, c, x, scale, shift, y);
	K->scale_shift_relu(rows, c, x, NULL, scale, shift, z);
	K->scale_shift_relu(rows, c, x, residual, scale, shift, w);
	for (int64_t i = 0; i < rows * c; i++) {
		double bx = get(x, i) * scale[i % c], v = bx + shift[i % c];
		double tolerance = 8 * (1 + fabs(bx) + fabs(shift[i % c]));

		expect_near(get(y, i), v, tolerance, "scale_shift");
		expect(get(z, i) == (get(y, i) < 0 ? 0 : get(y, i)) ||
			(isnan(get(z, i)) && isnan(get(y, i))));
		v += get(residual, i);
		expect_near(get(w, i), v < 0 ? 0 : v, tolerance, "scale_shift_relu");
	}
}

/* Now and then NaN, which stays, and is never above 0. */
static void *some_nan(int64_t n)
{
	void *x = random_reals(n);

	for (int64_t i = any(0, 50); i < n; i += any(1, 50))
		set(x, i, any(0, 1) ? NAN : 0);
	return x;
}

static void check_norm(int64_t rows, int64_t c, double offset)
{
	void *x = random_reals(rows * c), *gy = random_reals(rows * c), *y = some_nan(rows * c);
	double *d[4];

	for (int i = 0; i < 4; i++)
		d[i] = bytes((size_t)c * sizeof *d[i]);
	for (int64_t i = 0; i < rows * c; i++)
		set(x, i, get(x, i) + offset);
	check_stats(rows, c, x, d[0], d[1]);
	for (int64_t k = 0; k < c; k++)
		d[1][k] = 1 + 0.1 * (double)k;
	check_gradient(rows, c, x, gy, NULL, d, false);
	check_gradient(rows, c, x, gy, y, d, false);
	check_gradient(rows, c, x, gy, y, d, true);
	check_passes(rows, c, x, d[0], d[1], y);
	check_passes(rows, c, y, d[0], d[1], x);
	release_all();
}

/* A first row far from the rest, a large mean, a trend, no spread at all. */
static void hard_statistics(void)
{
	enum { ROWS = 5000, COLS = 6 };
	void *x = random_reals(ROWS * COLS);
	double *mean = bytes(COLS * sizeof *mean), *var = bytes(COLS * sizeof *var);

	for (int64_t r = 0; r < ROWS; r++) {
		int64_t i = r * COLS;

		set(x, i, r ? get(x, i) : 1000);
		set(x, i + 1, 30000 + get(x, i + 1));
		set(x, i + 2, (double)r + get(x, i + 2));
		set(x, i + 3, 0.1);
		set(x, i + 4, r < ROWS / 2 ? 0 : 100 + get(x, i + 4));
		set(x, i + 5, 1e-12 * get(x, i + 5));
	}
	check_stats(ROWS, COLS, x, mean, var);
	expect(var[3] == 0 && var[5] > 3e-25 && var[5] < 4e-25);
	release_all();
}

static void norms(void)
{
	static const int64_t shapes[][2] = {{0, 3}, {1, 1}, {1, 5}, {7, 3}, {100, 8}, {3137, 16},
		{999, 6}, {9000, 10}, {50, 300}, {20, 64}, {33, 65}};

	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		check_norm(shapes[i][0], shapes[i][1], 0);
		check_norm(shapes[i][0], shapes[i][1], 1000);
	}
	for (int i = 0; i < 200; i++) {
		int64_t c = any(0, 9) ? any(1, 80) : any(1, 700);

		check_norm(any(0, any(0, 4) ? 100 : 60000) / c, c, any(0, 1) ? 0 : any(0, 100));
	}
	hard_statistics();
}

START_TEST(batch_norm)
{
	each_table(norms);
}
END_TEST

static void stats_result(void *result, void *x)
{
	double *mean = result;

	K->batchnorm_stats(9000, 10, x, mean, mean + 10);
	K->batchnorm_sums(9000, 10, x, x, x, mean, mean + 10, mean + 20, mean + 30);
}

static void threads(void)
{
	same_for_all_threads(40 * sizeof(double), stats_result, random_reals(90000));
}

static void check_row(bool centred, int64_t len, const void *x, const void *gy, const void *w,
	const void *b, int64_t from, const void *y, const void *gx, double mean, double inv)
{
	double m = 0, v = 0, sum = 0, dot = 0;

	for (int64_t i = 0; centred && i < len; i++)
		m += get(x, from + i) / (double)len;
	for (int64_t i = 0; i < len; i++)
		v += pow(get(x, from + i) - m, 2) / (double)len;
	expect(fabs(mean - m) <= 1e-13 * (1 + fabs(m)));
	expect(fabs(inv * sqrt(v + 0.1) - 1) <= 1e-12 * (1 + m * m));
	for (int64_t i = 0; i < len; i++) {
		double g = get(gy, from + i) * (w ? get(w, i) : 1);

		sum += centred ? g / (double)len : 0;
		dot += g * (get(x, from + i) - m) * inv / (double)len;
	}
	for (int64_t i = 0; i < len; i++) {
		double g = get(gy, from + i) * (w ? get(w, i) : 1);
		double xh = (get(x, from + i) - m) * inv;

		expect_near(get(y, from + i), xh * (w ? get(w, i) : 1) + (b ? get(b, i) : 0),
			f64 ? 1e5 : 16, "rownorm");
		expect_near(get(gx, from + i), inv * (g - sum - xh * dot), f64 ? 1e5 : 64,
			"rownorm_grad");
	}
}

static void check_rows(bool centred, int64_t rows, int64_t len, double offset, bool plain)
{
	int64_t n = rows * len;
	void *x = random_reals(n), *gy = random_reals(n), *y = reals(n), *gx = reals(n);
	void *w = plain ? NULL : random_reals(len), *b = plain ? NULL : random_reals(len);
	double *mean = bytes((size_t)rows * sizeof *mean), *inv = bytes((size_t)rows * sizeof *inv);
	double *gw = bytes((size_t)len * sizeof *gw), *gb = bytes((size_t)len * sizeof *gb);

	for (int64_t i = 0; i < n; i++)
		set(x, i, get(x, i) + offset);
	K->rownorm(centred, rows, len, x, w, b, 0.1, y, mean, inv);
	K->rownorm_grad(centred, rows, len, x, gy, w, mean, inv, gx);
	K->rownorm_sums(rows, len, x, gy, mean, inv, gw, gb);
	for (int64_t r = 0; r < rows && len; r++)
		check_row(centred, len, x, gy, w, b, r * len, y, gx, mean[r], inv[r]);
	for (int64_t k = 0; k < len; k++) {
		double s = 0, d = 0;

		for (int64_t r = 0; r < rows; r++) {
			s += get(gy, r * len + k);
			d += get(gy, r * len + k) * (get(x, r * len + k) - mean[r]) * inv[r];
		}
		expect(fabs(gb[k] - s) <= 1e-11 * (double)(rows + 1));
		expect(fabs(gw[k] - d) <= 1e-11 * (double)(rows + 1));
	}
	release_all();
}

static void row_norms(void)
{
	static const int64_t shapes[][2] = {{0, 3}, {3, 0}, {1, 1}, {5, 1}, {7, 3}, {4, 16},
		{9, 63}, {100, 64}, {33, 65}, {3, 1000}, {700, 130}};

	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		for (int k = 0; k < 4; k++)
			check_rows(k % 2, shapes[i][0], shapes[i][1], k % 2 ? 100 : 0, k / 2);
	}
}

START_TEST(row_norm)
{
	each_table(row_norms);
}
END_TEST

START_TEST(same_for_any_threads)
{
	each_table(threads);
}
END_TEST

/* Large results are streamed, their halves are not. */
static void streamed(void)
{
	enum { ROWS = 70000, COLS = 16, HALF = ROWS / 2 };
	int64_t n = (int64_t)ROWS * COLS, half = (int64_t)HALF * COLS;
	size_t size = K->real_size;
	char *x = random_reals(n), *r = random_reals(n), *y[2] = {reals(n), reals(n)};
	char *masked[2] = {reals(n), reals(n)};
	double a[COLS], b[COLS], c[COLS];

	for (int i = 0; i < COLS; i++) {
		a[i] = any_real();
		b[i] = any_real();
		c[i] = any_real();
	}
	set(x, 5, NAN);
	K->scale_shift_relu(ROWS, COLS, x, r, a, b, y[0]);
	K->scale_shift_relu(HALF, COLS, x, r, a, b, y[1]);
	K->scale_shift_relu(HALF, COLS, x + (size_t)half * size, r + (size_t)half * size, a, b,
		y[1] + (size_t)half * size);
	expect(isnan(get(y[0], 5)));
	for (int64_t i = 0; i < n; i++)
		expect_near(get(y[0], i), get(y[1], i), 2, "scale_shift_relu at %d", (int)i);
	K->batchnorm_gx(ROWS, COLS, r, x, y[1], a, b, c, y[0], masked[0]);
	K->batchnorm_gx(HALF, COLS, r, x, y[1], a, b, c, y[1], masked[1]);
	for (int64_t i = 0; i < half; i++) {
		expect_near(get(y[0], i), get(y[1], i), 4, "batchnorm_gx at %d", (int)i);
		expect_near(get(masked[0], i), get(masked[1], i), 0, "masked at %d", (int)i);
	}
}

START_TEST(large_results)
{
	each_table(streamed);
}
END_TEST

TCase *tests_norm(void)
{
	TCase *c = tcase_create("norm");

	tcase_add_test(c, batch_norm);
	tcase_add_test(c, row_norm);
	tcase_add_test(c, same_for_any_threads);
	tcase_add_test(c, large_results);
	return c;
}
