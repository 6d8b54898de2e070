/*
 * test_norm.c - the sums and passes of batch normalisation, and normalisation of rows.
 */
#include "kernel_test.h"

static void check_norm(int64_t rows, int64_t c, double offset)
{
	void *x = random_reals(rows * c), *gy = random_reals(rows * c), *y = reals(rows * c);
	double *mean = bytes((size_t)c * sizeof *mean), *var = bytes((size_t)c * sizeof *var);
	double *a = bytes((size_t)c * sizeof *a), *b = bytes((size_t)c * sizeof *b);

	for (int64_t i = 0; i < rows * c; i++)
		set(x, i, get(x, i) + offset);
	K->batchnorm_stats(rows, c, x, mean, var);
	for (int64_t k = 0; k < c && rows > 0; k++) {
		double m = 0, v = 0;

		for (int64_t r = 0; r < rows; r++)
			m += get(x, r * c + k);
		m /= (double)rows;
		for (int64_t r = 0; r < rows; r++)
			v += (get(x, r * c + k) - m) * (get(x, r * c + k) - m);
		v /= (double)rows;
		expect(fabs(mean[k] - m) <= 1e-13 * (1 + fabs(m)));
		expect(fabs(var[k] - v) <= 1e-11 * (1e-3 + v));
	}
	for (int64_t k = 0; k < c; k++)
		var[k] = 1 + 0.1 * (double)k;
	K->batchnorm_sums(rows, c, x, gy, mean, var, a, b);
	for (int64_t k = 0; k < c; k++) {
		double s = 0, d = 0;

		for (int64_t r = 0; r < rows; r++) {
			s += get(gy, r * c + k);
			d += get(gy, r * c + k) * (get(x, r * c + k) - mean[k]);
		}
		expect(fabs(a[k] - s) <= 1e-11 * (double)(rows + 1));
		expect(fabs(b[k] - d * var[k]) <= 1e-11 * (double)(rows + 1) * var[k]);
	}
	K->scale_shift(rows, c, x, mean, var, y);
	for (int64_t i = 0; i < rows * c; i++)
		expect_near(get(y, i), get(x, i) * mean[i % c] + var[i % c],
			16 * (1 + offset * offset), "scale_shift");
	K->batchnorm_gx(rows, c, x, gy, a, mean, var, y);
	for (int64_t i = 0; i < rows * c; i++)
		expect_near(get(y, i), a[i % c] * get(gy, i) + mean[i % c] * get(x, i) + var[i % c],
			16 * (1 + offset * offset) * (1 + fabs(a[i % c])), "batchnorm_gx");
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
	K->batchnorm_sums(9000, 10, x, x, mean, mean + 10, mean + 20, mean + 30);
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

TCase *tests_norm(void)
{
	TCase *c = tcase_create("norm");

	tcase_add_test(c, batch_norm);
	tcase_add_test(c, row_norm);
	tcase_add_test(c, same_for_any_threads);
	return c;
}
