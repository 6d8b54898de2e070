/*
 * test_norm.c - the sums and elementwise passes of batch normalisation, and normalisation of rows.
 */
#include "kernel_test.h"

/* Short runs of deviations are summed in the table's type, so the error is a few units of its
 * precision, relative to the sum of magnitudes `terms`. */
static void expect_sum(double got, double want, double terms)
{
	expect(fabs(got - want) <= 4 * epsilon() * terms + 1e-13 * (1 + fabs(want)));
}

/* Arrays with one value per column. */
struct columns {
	double *centre, *rest, *std, *inv, *sum, *dot, *by_g, *by_x, *plus;
};

static struct columns columns_new(int64_t c)
{
	struct columns d;
	double **each[] = {
		&d.centre, &d.rest, &d.std, &d.inv, &d.sum, &d.dot, &d.by_g, &d.by_x, &d.plus};

	for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
		*each[i] = bytes((size_t)c * sizeof **each[i]);
		for (int64_t k = 0; k < c; k++)
			(*each[i])[k] = any_real();
	}
	for (int64_t k = 0; k < c; k++)
		d.inv[k] = 1 + 0.1 * (double)k;
	return d;
}

static double rounded(double v)
{
	return f64 ? v : (double)(float)v;
}

static void check_stats(int64_t rows, int64_t c, const void *x, const struct columns *d)
{
	K->batchnorm_stats(rows, c, x, 1e-5, d->centre, d->rest, d->std);
	for (int64_t k = 0; k < c && rows > 0; k++) {
		double m = 0, v = 0, var = d->std[k] * d->std[k];

		for (int64_t r = 0; r < rows; r++)
			m += get(x, r * c + k);
		m /= (double)rows;
		for (int64_t r = 0; r < rows; r++)
			v += pow(get(x, r * c + k) - m, 2);
		v /= (double)rows;
		expect(d->centre[k] == rounded(d->centre[k]));
		expect_sum(d->centre[k] + d->rest[k], m, sqrt(v));
		expect(fabs(var - v) <= 8 * epsilon() * v + 1e-11 * (1e-3 + v));
	}
}

/* Checks the gradient; if y is NULL, without a mask. */
static void check_gradient(int64_t rows, int64_t c, const void *x, const void *gy, const void *y,
	const struct columns *d, bool keep)
{
	void *gx = reals(rows * c), *masked = keep ? reals(rows * c) : NULL;
	ebb_norm_grad by = {d->centre, d->by_g, d->by_x, d->plus, d->inv};

	K->batchnorm_sums(rows, c, x, gy, y, d->centre, d->rest, d->inv, d->sum, d->dot);
	for (int64_t k = 0; k < c; k++) {
		double s = 0, t = 0, n = 0;

		for (int64_t r = 0; r < rows; r++) {
			int64_t i = r * c + k;
			double g = !y || get(y, i) > 0 ? get(gy, i) : 0;
			double deviation = get(x, i) - d->centre[k] - d->rest[k];

			s += g;
			t += g * deviation;
			n += fabs(g) * (1 + fabs(deviation) + fabs(d->rest[k]));
		}
		expect_sum(d->sum[k], s, n);
		expect_sum(d->dot[k] / d->inv[k], t, n);
	}
	K->batchnorm_gx(rows, c, x, gy, y, &by, gx, masked);
	for (int64_t i = 0; i < rows * c; i++) {
		int64_t k = i % c;
		double g = !y || get(y, i) > 0 ? get(gy, i) : 0;
		double bx = d->by_x[k] * (get(x, i) - d->centre[k]);

		expect_near(get(gx, i), d->inv[k] * (d->by_g[k] * g + bx + d->plus[k]),
			8 * d->inv[k] * (2 + fabs(bx) + fabs(d->centre[k] * d->by_x[k])),
			"batchnorm_gx");
		expect(!masked || get(masked, i) == g);
	}
	if (keep) { /* in place */
		void *g = reals(rows * c), *again = reals(rows * c);

		memcpy(g, gy, (size_t)(rows * c) * K->real_size);
		K->batchnorm_gx(rows, c, x, g, y, &by, again, g);
		expect(memcmp(g, masked, (size_t)(rows * c) * K->real_size) == 0);
		expect(memcmp(again, gx, (size_t)(rows * c) * K->real_size) == 0);
		memcpy(g, gy, (size_t)(rows * c) * K->real_size);
		K->batchnorm_gx(rows, c, x, g, y, &by, g, NULL);
		expect(memcmp(g, gx, (size_t)(rows * c) * K->real_size) == 0);
	}
	K->batchnorm_gx(rows, c, NULL, gy, y, &(ebb_norm_grad){.by_g = d->by_g}, gx, masked);
	for (int64_t i = 0; i < rows * c; i++) {
		double g = !y || get(y, i) > 0 ? get(gy, i) : 0;

		expect_near(get(gx, i), d->by_g[i % c] * g, 4, "batchnorm_gx without x");
	}
}

static void check_passes(
	int64_t rows, int64_t c, const void *x, const struct columns *d, const void *residual)
{
	void *y = reals(rows * c), *z = reals(rows * c), *w = reals(rows * c);

	K->scale_shift(rows, c, x, d->centre, d->by_x, d->plus, y);
	K->scale_shift_relu(rows, c, x, NULL, d->centre, d->by_x, d->plus, z);
	K->scale_shift_relu(rows, c, x, residual, d->centre, d->by_x, d->plus, w);
	for (int64_t i = 0; i < rows * c; i++) {
		double bx = (get(x, i) - d->centre[i % c]) * d->by_x[i % c],
		       v = bx + d->plus[i % c];
		double tolerance = 8 * (1 + fabs(bx) + fabs(d->centre[i % c] * d->by_x[i % c]));

		expect_near(get(y, i), v, tolerance, "scale_shift");
		expect(get(z, i) == (get(y, i) < 0 ? 0 : get(y, i)) ||
			(isnan(get(z, i)) && isnan(get(y, i))));
		v += get(residual, i);
		expect_near(get(w, i), v < 0 ? 0 : v, tolerance, "scale_shift_relu");
	}
}

/* Random reals with some NaN, which is not greater than 0, and some zeros. */
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
	struct columns d = columns_new(c);

	for (int64_t i = 0; i < rows * c; i++)
		set(x, i, get(x, i) + offset);
	check_stats(rows, c, x, &d);
	check_gradient(rows, c, x, gy, NULL, &d, false);
	check_gradient(rows, c, x, gy, y, &d, false);
	check_gradient(rows, c, x, gy, y, &d, true);
	check_passes(rows, c, x, &d, y);
	check_passes(rows, c, y, &d, x);
	release_all();
}

/* Columns with an outlier in the first row, with a large mean, with a trend, and constant. */
static void hard_statistics(void)
{
	enum { ROWS = 5000, COLS = 6 };
	void *x = random_reals(ROWS * COLS);
	struct columns d = columns_new(COLS);

	for (int64_t r = 0; r < ROWS; r++) {
		int64_t i = r * COLS;

		set(x, i, r ? get(x, i) : 1000);
		set(x, i + 1, 30000 + get(x, i + 1));
		set(x, i + 2, (double)r + get(x, i + 2));
		set(x, i + 3, 0.1);
		set(x, i + 4, r < ROWS / 2 ? 0 : 100 + get(x, i + 4));
		set(x, i + 5, 1e-12 * get(x, i + 5));
	}
	check_stats(ROWS, COLS, x, &d);
	expect(d.std[3] == 0 && d.std[5] > 5.4e-13 && d.std[5] < 6.4e-13);
	release_all();
}

/* Columns of a constant, and of two neighbouring reals, whose mean may not be a real.  Normalised,
 * they are 0, and -1 and 1. */
static void large_constants(int64_t rows, int64_t c, double about)
{
	void *x = reals(rows * c), *y = reals(rows * c);
	struct columns d = columns_new(c);
	double low = rounded(about);
	double high = f64 ? nextafter(low, INFINITY) : (double)nextafterf((float)low, INFINITY);

	for (int64_t r = 0; r < rows; r++)
		for (int64_t k = 0; k < c; k++)
			set(x, r * c + k, k % 2 && r % 2 ? high : low);
	K->batchnorm_stats(rows, c, x, 0, d.centre, d.rest, d.std);
	for (int64_t k = 0; k < c; k++) {
		double half = k % 2 ? (high - low) / 2 : 0;

		expect(d.centre[k] - low + d.rest[k] == half);
		expect(fabs(d.std[k] - half) <= 1e-7 * half);
		d.inv[k] = half > 0 ? 1 / half : 1e3;
		d.plus[k] = -d.rest[k] * d.inv[k];
	}
	K->scale_shift(rows, c, x, d.centre, d.inv, d.plus, y);
	for (int64_t i = 0; i < rows * c; i++)
		expect(get(y, i) == (i % c % 2 ? i / c % 2 ? 1 : -1 : 0));
	release_all();
}

/* Deviations whose squares overflow or underflow the type, and eps = 0 does not hide that. */
static void squares_out_of_range(int64_t rows, int64_t c, int size)
{
	void *x = random_reals(rows * c), *same = reals(rows * c);
	struct columns d = columns_new(c), e = columns_new(c);

	for (int64_t i = 0; i < rows * c; i++) {
		set(same, i, ldexp(get(x, i) + 3, -2));
		set(x, i, ldexp(get(same, i), size));
	}
	K->batchnorm_stats(rows, c, x, 0, d.centre, d.rest, d.std);
	K->batchnorm_stats(rows, c, same, 0, e.centre, e.rest, e.std);
	for (int64_t k = 0; k < c; k++) {
		expect(d.centre[k] == rounded(d.centre[k]));
		expect(fabs(ldexp(d.centre[k], -size) + ldexp(d.rest[k], -size) - e.centre[k] -
			       e.rest[k]) <= 4 * epsilon() + 1e-12);
		expect(fabs(ldexp(d.std[k], -size) / e.std[k] - 1) <= 16 * epsilon() + 1e-12);
	}
	set(x, 0, INFINITY); /* affects that column only */
	K->batchnorm_stats(rows, c, x, 0, d.centre, d.rest, d.std);
	for (int64_t k = 0; k < c; k++)
		expect(isfinite(d.std[k]) == (k > 0));
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
	for (int i = 0; i < CASES(200); i++) {
		int64_t c = any(0, 9) ? any(1, 80) : any(1, 700);

		check_norm(any(0, any(0, 4) ? 100 : 60000) / c, c, any(0, 1) ? 0 : any(0, 100));
	}
	hard_statistics();
	for (int i = 0; i < 6; i++) {
		static const double about[] = {100, 1e4, 1e6, 1e10 / 3, -1e6, 0x1p53};

		large_constants(4, 1, about[i]);
		large_constants(1000, 6, about[i]);
		large_constants(40000, 5, about[i]);
		large_constants(200, 301, about[i]);
	}
	for (int i = 0; i < 4; i++) {
		static const int sizes[] = {80, -90, 900, -900};

		if (f64 || i < 2) {
			squares_out_of_range(50, 7, sizes[i]);
			squares_out_of_range(20000, 3, sizes[i]);
		}
	}
}

START_TEST(batch_norm_equals_its_formulas)
{
	each_table(norms);
}
END_TEST

static void stats_result(void *result, void *x)
{
	double *centre = result, *rest = centre + 10, *std = centre + 20;

	K->batchnorm_stats(9000, 10, x, 0, centre, rest, std);
	K->batchnorm_sums(9000, 10, x, x, x, centre, rest, std, centre + 30, centre + 40);
}

static void threads(void)
{
	same_for_all_threads(50 * sizeof(double), stats_result, random_reals(90000));
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
	double *rest = bytes((size_t)rows * sizeof *rest);
	double *gw = bytes((size_t)len * sizeof *gw), *gb = bytes((size_t)len * sizeof *gb);

	for (int64_t i = 0; i < n; i++)
		set(x, i, get(x, i) + offset);
	K->rownorm(centred, rows, len, x, w, b, 0.1, y, mean, rest, inv);
	K->rownorm_grad(centred, rows, len, x, gy, w, mean, rest, inv, gx);
	K->rownorm_sums(rows, len, x, gy, mean, rest, inv, gw, gb);
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

/* Rows of a constant and of two neighbouring reals: normalised, they are 0, and -1 and 1. */
static void hard_row(int64_t len, double about)
{
	void *x = reals(2 * len), *y = reals(2 * len), *gy = random_reals(2 * len);
	void *gx = reals(2 * len);
	double mean[2], rest[2], inv[2], low = rounded(about), dot = 0, sum = 0;
	double high = f64 ? nextafter(low, INFINITY) : (double)nextafterf((float)low, INFINITY);

	for (int64_t i = 0; i < 2 * len; i++)
		set(x, i, i >= len && i % 2 ? high : low);
	K->rownorm(true, 1, len, x, NULL, NULL, 1e-5, y, mean, rest, inv);
	for (int64_t i = 0; i < len; i++)
		expect(get(y, i) == 0);
	K->rownorm(true, 2, len, x, NULL, NULL, 0, y, mean, rest, inv);
	K->rownorm_grad(true, 2, len, x, gy, NULL, mean, rest, inv, gx);
	for (int64_t i = len; i < 2 * len; i++) {
		sum += get(gy, i) / (double)len;
		dot += get(gy, i) * (i % 2 ? 1 : -1) / (double)len;
	}
	for (int64_t i = len; i < 2 * len; i++) {
		expect_near(get(y, i), i % 2 ? 1 : -1, 16, "rownorm");
		expect_near(get(gx, i) / inv[1], get(gy, i) - sum - (i % 2 ? dot : -dot), 64,
			"rownorm_grad");
	}
	release_all();
}

/* Rows whose squares overflow or underflow the type, against the same rows of moderate size. */
static void scaled_rows(bool centred, int64_t len, int size)
{
	void *x = random_reals(len), *y = reals(len), *gx = reals(len), *gy = random_reals(len);
	void *same = reals(len), *z = reals(len), *gz = reals(len);
	double mean[2], rest[2], inv[2];

	for (int64_t i = 0; i < len; i++) {
		set(same, i, ldexp(get(x, i) + 3, -2));
		set(x, i, ldexp(get(same, i), size));
	}
	K->rownorm(centred, 1, len, x, NULL, NULL, 0, y, mean, rest, inv);
	K->rownorm(centred, 1, len, same, NULL, NULL, 0, z, mean + 1, rest + 1, inv + 1);
	K->rownorm_grad(centred, 1, len, x, gy, NULL, mean, rest, inv, gx);
	K->rownorm_grad(centred, 1, len, same, gy, NULL, mean + 1, rest + 1, inv + 1, gz);
	for (int64_t i = 0; i < len; i++) {
		expect_near(get(y, i), get(z, i), 16, "rownorm");
		expect_near(ldexp(get(gx, i), size), get(gz, i), 64, "rownorm_grad");
	}
	set(x, 0, INFINITY);
	K->rownorm(centred, 1, len, x, NULL, NULL, 0, y, mean, rest, inv);
	expect(isnan(get(y, 0)));
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
	for (int i = 0; i < 6; i++) {
		static const double about[] = {100, 1e4, 1e6, 1e10 / 3, -1e6, 0x1p53};

		hard_row(2, about[i]);
		hard_row(14, about[i]);
		hard_row(1000, about[i]);
	}
	for (int i = 0; i < 4; i++) {
		static const int sizes[] = {80, -90, 900, -900};

		for (int k = 0; k < 4 && (f64 || i < 2); k++)
			scaled_rows(k % 2, k / 2 ? 5 : 100, sizes[i]);
	}
}

START_TEST(row_norm_equals_its_formulas)
{
	each_table(row_norms);
}
END_TEST

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

/* Large results are written by streaming stores, their halves are not. */
static void streamed(void)
{
	enum { ROWS = 70000, COLS = 16, HALF = ROWS / 2 };
	int64_t n = (int64_t)ROWS * COLS, half = (int64_t)HALF * COLS;
	size_t size = K->real_size;
	char *x = random_reals(n), *r = random_reals(n), *y[2] = {reals(n), reals(n)};
	char *masked[2] = {reals(n), reals(n)};
	double m[COLS], a[COLS], b[COLS], c[COLS], scale[COLS];
	ebb_norm_grad by = {m, a, b, c, scale};

	for (int i = 0; i < COLS; i++) {
		m[i] = any_real();
		scale[i] = any_real();
		a[i] = any_real();
		b[i] = any_real();
		c[i] = any_real();
	}
	set(x, 5, NAN);
	K->scale_shift_relu(ROWS, COLS, x, r, m, a, b, y[0]);
	K->scale_shift_relu(HALF, COLS, x, r, m, a, b, y[1]);
	K->scale_shift_relu(HALF, COLS, x + (size_t)half * size, r + (size_t)half * size, m, a, b,
		y[1] + (size_t)half * size);
	expect(isnan(get(y[0], 5)));
	for (int64_t i = 0; i < n; i++)
		expect_near(get(y[0], i), get(y[1], i), 2, "scale_shift_relu at %d", (int)i);
	K->batchnorm_gx(ROWS, COLS, r, x, y[1], &by, y[0], masked[0]);
	K->batchnorm_gx(HALF, COLS, r, x, y[1], &by, y[1], masked[1]);
	for (int64_t i = 0; i < half; i++) {
		expect_near(get(y[0], i), get(y[1], i), 4, "batchnorm_gx at %d", (int)i);
		expect_near(get(masked[0], i), get(masked[1], i), 0, "masked at %d", (int)i);
	}
}

START_TEST(streaming_stores_write_the_same_results)
{
	each_table(streamed);
}
END_TEST

TCase *tests_norm(void)
{
	TCase *c = tcase_create("norm");

	tcase_add_test(c, batch_norm_equals_its_formulas);
	tcase_add_test(c, row_norm_equals_its_formulas);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	tcase_add_test(c, streaming_stores_write_the_same_results);
	return c;
}
