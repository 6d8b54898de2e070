/*
 * test_norm.c - the sums and passes of batch normalisation.
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

START_TEST(same_for_any_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_norm(void)
{
	TCase *c = tcase_create("norm");

	tcase_add_test(c, batch_norm);
	tcase_add_test(c, same_for_any_threads);
	return c;
}
