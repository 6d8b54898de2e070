/*
 * test_upsample.c - upsampling and its gradient against the formula, and window sums.
 */
#include "kernel_test.h"

/* The weight of input position p in output position i along an axis. */
static double share(const ebb_upsample_shape *s, bool rows, int64_t i, int64_t p)
{
	int64_t in = rows ? s->h : s->w, out = rows ? s->oh : s->ow;
	double step = rows ? s->step_h : s->step_w, x;

	if (!s->bilinear)
		return fmin(floorf((float)((double)i * step)), (double)(in - 1)) == (double)p;
	x = s->align_corners ? (double)i * step : fmax(((double)i + 0.5) * step - 0.5, 0);
	if (in == out)
		x = (double)i;
	return fmax(0, 1 - fabs(fmin(x, (double)(in - 1)) - (double)p));
}

static void check_upsample(ebb_upsample_shape s)
{
	int64_t nx = s.n * s.h * s.w * s.c, ny = s.n * s.oh * s.ow * s.c;
	void *x = random_reals(nx), *y = reals(ny), *gy = random_reals(ny), *gx = reals(nx);
	double *back = bytes((size_t)nx * sizeof *back);

	K->upsample(&s, x, y);
	K->upsample_grad(&s, gy, gx);
	for (int64_t i = 0; i < ny; i++) {
		int64_t c = i % s.c, col = i / s.c % s.ow, row = i / s.c / s.ow % s.oh;
		int64_t image = i / s.c / s.ow / s.oh;
		double sum = 0;

		for (int64_t p = 0; p < s.h; p++) {
			for (int64_t q = 0; q < s.w; q++) {
				int64_t at = ((image * s.h + p) * s.w + q) * s.c + c;
				double w = share(&s, true, row, p) * share(&s, false, col, q);

				sum += w * get(x, at);
				back[at] += w * get(gy, i);
			}
		}
		expect_near(get(y, i), sum, 16, "upsample");
	}
	for (int64_t i = 0; i < nx; i++)
		expect_near(get(gx, i), back[i], 64, "upsample_grad");
	release_all();
}

static void upsamples(void)
{
	for (int i = 0; i < CASES(60); i++) {
		ebb_upsample_shape s = {.n = any(0, 3),
			.c = i % 8 ? any(1, 20) : 67,
			.h = any(1, 7),
			.w = any(1, 7),
			.oh = any(1, 12),
			.ow = any(1, 12),
			.bilinear = any(0, 1)};

		s.align_corners = s.bilinear && any(0, 1);
		s.step_h = (double)s.h / (double)s.oh;
		s.step_w = (double)s.w / (double)s.ow;
		if (s.align_corners) {
			s.step_h = s.oh > 1 ? (double)(s.h - 1) / (double)(s.oh - 1) : 0;
			s.step_w = s.ow > 1 ? (double)(s.w - 1) / (double)(s.ow - 1) : 0;
		}
		check_upsample(s);
	}
	/* large enough for several tasks */
	check_upsample((ebb_upsample_shape){.n = 2,
		.c = 24,
		.h = 9,
		.w = 8,
		.oh = 36,
		.ow = 32,
		.step_h = 0.25,
		.step_w = 0.25,
		.bilinear = true});
}

static void check_sums(int64_t rows, int64_t c, int64_t before, int64_t after)
{
	void *x = random_reals(rows * c), *y = reals(rows * c), *z = reals(rows * c);

	K->window_sums(rows, c, before, after, x, y);
	K->window_norms(rows, c, before, after, 0x1p100, 0x1p90, x, z);
	for (int64_t i = 0; i < rows * c; i++) {
		double sum = 0, squares = 0;

		for (int64_t j = i % c - before; j <= i % c + after; j++) {
			double v = j >= 0 && j < c ? get(x, i / c * c + j) : 0;

			sum += v;
			squares += v * v;
		}
		expect_near(get(y, i), sum, 16, "window_sums");
		expect_near(get(z, i) / 0x1p50, sqrt(squares + 0x1p-10), 16, "window_norms");
	}
	release_all();
}

static void sums(void)
{
	for (int i = 0; i < 60; i++)
		check_sums(any(0, 5), any(1, i % 4 ? 20 : 150), any(0, 9), any(0, 9));
	check_sums(3, 5, 300, 300);
	check_sums(2000, 40, 2, 2);
}

START_TEST(upsampling_and_its_gradient_equal_the_formula)
{
	each_table(upsamples);
}
END_TEST

START_TEST(window_sums_and_norms_equal_loops)
{
	each_table(sums);
}
END_TEST

TCase *tests_upsample(void)
{
	TCase *c = tcase_create("upsample");

	tcase_add_test(c, upsampling_and_its_gradient_equal_the_formula);
	tcase_add_test(c, window_sums_and_norms_equal_loops);
	return c;
}
