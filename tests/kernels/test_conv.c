/*
 * test_conv.c - the direct convolution and its gradients against the defining loops. 
 * test_algorithms.c compares the other algorithms.
 */
#include "kernel_test.h"

struct conv {
	ebb_conv_shape s;
	void *x, *w, *b, *gy;
};

static int64_t size_x(const ebb_conv_shape *s)
{
	return s->n * s->h * s->w * s->c;
}

static int64_t size_y(const ebb_conv_shape *s)
{
	return s->n * s->oh * s->ow * s->o;
}

static int64_t size_w(const ebb_conv_shape *s)
{
	return s->o * (s->c / s->groups) * s->kh * s->kw;
}

static struct conv random_conv(ebb_conv_shape s)
{
	return (struct conv){s, random_reals(size_x(&s)), random_reals(size_w(&s)),
		random_reals(s.o), random_reals(size_y(&s))};
}

/* The definition: adds each product to the three sums that it is part of. */
static void define(const struct conv *k, double *y, double *gx, double *gw)
{
	const ebb_conv_shape s = k->s;
	int64_t cg = s.c / s.groups, og = s.o / s.groups, taps = s.kh * s.kw;

	for (int64_t at = 0; at < size_y(&s); at++) {
		int64_t o = at % s.o, j = at / s.o % s.ow, i = at / s.o / s.ow % s.oh;
		int64_t n = at / s.o / s.ow / s.oh;

		y[at] = get(k->b, o);
		for (int64_t m = 0; m < cg * taps; m++) {
			int64_t c = m / taps, u = m % taps / s.kw, v = m % s.kw;
			int64_t r = i * s.stride_h + u * s.dilation_h - s.pad_top;
			int64_t q = j * s.stride_w + v * s.dilation_w - s.pad_left;
			int64_t at_w = o * cg * taps + m;
			int64_t at_x = ((n * s.h + r) * s.w + q) * s.c + o / og * cg + c;

			if (r < 0 || r >= s.h || q < 0 || q >= s.w)
				continue;
			y[at] += get(k->x, at_x) * get(k->w, at_w);
			gx[at_x] += get(k->gy, at) * get(k->w, at_w);
			gw[at_w] += get(k->gy, at) * get(k->x, at_x);
		}
	}
}

static void check_conv(ebb_conv_shape s)
{
	struct conv k = random_conv(s);
	double *y = bytes((size_t)size_y(&s) * sizeof *y),
	       *gx = bytes((size_t)size_x(&s) * sizeof *gx);
	double *gw = bytes((size_t)size_w(&s) * sizeof *gw);
	void *ry = reals(size_y(&s)), *rx = reals(size_x(&s)), *rw = reals(size_w(&s));
	/* rounding grows with the terms of a sum */
	double tol = 30 + (double)((s.c > s.o ? s.c : s.o) / s.groups * s.kh * s.kw) * 0.3;
	char where[200];

	snprintf(where, sizeof where, "n%d c%d %dx%d o%d k%dx%d out %dx%d s%d,%d d%d,%d p%d,%d g%d",
		(int)s.n, (int)s.c, (int)s.h, (int)s.w, (int)s.o, (int)s.kh, (int)s.kw, (int)s.oh,
		(int)s.ow, (int)s.stride_h, (int)s.stride_w, (int)s.dilation_h, (int)s.dilation_w,
		(int)s.pad_top, (int)s.pad_left, (int)s.groups);
	define(&k, y, gx, gw);
	K->conv_forward(&s, k.x, k.w, k.b, ry, workspace(K->conv_workspace(&s, EBB_CONV_FORWARD)));
	for (int64_t i = 0; i < size_y(&s); i++)
		expect_near(get(ry, i), y[i], tol, "forward %s at %d", where, (int)i);
	K->conv_forward(&s, k.x, k.w, NULL, ry, workspace(K->conv_workspace(&s, EBB_CONV_FORWARD)));
	for (int64_t i = 0; i < size_y(&s); i++)
		expect_near(get(ry, i), y[i] - get(k.b, i % s.o), tol, "no bias %s", where);
	K->conv_grad_input(
		&s, k.gy, k.w, rx, workspace(K->conv_workspace(&s, EBB_CONV_GRAD_INPUT)));
	for (int64_t i = 0; i < size_x(&s); i++)
		expect_near(get(rx, i), gx[i], tol, "grad_input %s at %d", where, (int)i);
	K->conv_grad_weight(
		&s, k.x, k.gy, rw, workspace(K->conv_workspace(&s, EBB_CONV_GRAD_WEIGHT)));
	for (int64_t i = 0; i < size_w(&s); i++)
		expect_near(get(rw, i), gw[i], tol + (double)(s.n * s.oh * s.ow) * 0.2,
			"grad_weight %s at %d", where, (int)i);
	release_all();
}

/* Computes the output size from the usual arguments. */
static ebb_conv_shape shape(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kh,
	int64_t kw, int64_t stride, int64_t dilation, int64_t pad, int64_t groups)
{
	return (ebb_conv_shape){n, c, h, w, o, kh, kw,
		(h + 2 * pad - (kh - 1) * dilation - 1) / stride + 1,
		(w + 2 * pad - (kw - 1) * dilation - 1) / stride + 1, stride, stride, dilation,
		dilation, pad, pad, groups};
}

static void usual_shapes(void)
{
	check_conv(shape(3, 1, 28, 28, 6, 5, 5, 1, 1, 2, 1));
	check_conv(shape(2, 6, 14, 14, 16, 5, 5, 1, 1, 0, 1));
	check_conv(shape(3, 16, 14, 14, 16, 3, 3, 1, 1, 1, 1));
	check_conv(shape(2, 8, 15, 13, 8, 3, 3, 2, 1, 1, 1));
	check_conv(shape(1, 3, 23, 24, 20, 7, 7, 2, 1, 3, 1));
	check_conv(shape(2, 33, 6, 7, 37, 1, 1, 1, 1, 0, 1));
	check_conv(shape(2, 5, 6, 7, 9, 1, 1, 2, 1, 0, 1));
	check_conv(shape(2, 12, 9, 9, 12, 3, 3, 1, 1, 1, 12));
	check_conv(shape(2, 70, 5, 4, 70, 3, 3, 2, 2, 2, 70));
	check_conv(shape(2, 12, 9, 9, 18, 3, 3, 1, 1, 1, 3));
	check_conv(shape(2, 8, 9, 9, 16, 3, 3, 1, 1, 1, 8));
	check_conv(shape(20, 4, 5, 5, 4, 3, 3, 1, 1, 2, 1));
	check_conv(shape(1, 2, 1, 1, 3, 3, 3, 1, 1, 1, 1));
	check_conv(shape(2, 40, 8, 8, 70, 3, 3, 1, 1, 1, 1));
	/* so few output channels that a vector extends beyond the next image */
	for (int o = 1; o < 4; o++) {
		check_conv(shape(2, 4, 3, 3, o, 3, 3, 1, 1, 0, 1));
		check_conv(shape(16, 2, 3, 4, 2 * o, 3, 3, 1, 1, 0, 2));
	}
	/* padding beyond the extent of the filter, and a stride beyond it */
	check_conv(shape(2, 3, 5, 6, 4, 2, 2, 1, 1, 3, 1));
	check_conv(shape(2, 3, 9, 11, 4, 2, 1, 4, 1, 1, 1));
	check_conv(shape(0, 3, 9, 11, 4, 3, 3, 1, 1, 1, 1));
	check_conv(shape(2, 0, 5, 5, 4, 3, 3, 1, 1, 1, 1));
	check_conv(shape(2, 3, 5, 5, 0, 3, 3, 1, 1, 1, 1));
}

START_TEST(convolutions_of_usual_shapes_equal_the_formula)
{
	each_table(usual_shapes);
}
END_TEST

static void random_shapes(void)
{
	for (int i = 0; i < 60;) {
		int64_t g = any(0, 2) ? 1 : any(1, 4);
		ebb_conv_shape s = {.n = any(1, 3),
			.c = g * any(1, 6),
			.h = any(1, 14),
			.w = any(1, 14),
			.o = g * any(1, 20),
			.kh = any(1, 5),
			.kw = any(1, 5),
			.stride_h = any(1, 3),
			.stride_w = any(1, 3),
			.dilation_h = any(1, 3),
			.dilation_w = any(1, 3),
			.pad_top = any(0, 4),
			.pad_left = any(0, 4),
			.groups = g};
		/* different padding below and to the right, and rows that no window contains */
		int64_t h = s.h + s.pad_top + any(0, 3) - (s.kh - 1) * s.dilation_h - 1;
		int64_t w = s.w + s.pad_left + any(0, 3) - (s.kw - 1) * s.dilation_w - 1;

		if (h < 0 || w < 0)
			continue;
		s.oh = h / s.stride_h + 1;
		s.ow = w / s.stride_w + 1;
		check_conv(s);
		i++;
	}
}

START_TEST(random_convolutions_equal_the_formula)
{
	each_table(random_shapes);
}
END_TEST

static void forward_result(void *result, void *ctx)
{
	struct conv *k = ctx;

	K->conv_forward(&k->s, k->x, k->w, k->b, result,
		workspace(K->conv_workspace(&k->s, EBB_CONV_FORWARD)));
}

static void input_result(void *result, void *ctx)
{
	struct conv *k = ctx;

	K->conv_grad_input(&k->s, k->gy, k->w, result,
		workspace(K->conv_workspace(&k->s, EBB_CONV_GRAD_INPUT)));
}

static void weight_result(void *result, void *ctx)
{
	struct conv *k = ctx;

	K->conv_grad_weight(&k->s, k->x, k->gy, result,
		workspace(K->conv_workspace(&k->s, EBB_CONV_GRAD_WEIGHT)));
}

static void threads(void)
{
	ebb_conv_shape s[] = {shape(9, 8, 28, 28, 12, 3, 3, 1, 1, 1, 1),
		shape(5, 16, 14, 14, 16, 3, 3, 2, 1, 1, 16),
		shape(1, 20, 40, 40, 20, 3, 3, 1, 1, 1, 1),
		shape(3, 32, 20, 20, 40, 1, 1, 1, 1, 0, 1)};

	for (size_t i = 0; i < sizeof s / sizeof s[0]; i++) {
		struct conv k = random_conv(s[i]);

		same_for_all_threads((size_t)size_y(&s[i]) * K->real_size, forward_result, &k);
		same_for_all_threads((size_t)size_x(&s[i]) * K->real_size, input_result, &k);
		same_for_all_threads((size_t)size_w(&s[i]) * K->real_size, weight_result, &k);
		release_all();
	}
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

/* A NaN pixel reaches only the outputs whose windows contain it, because padding is zeros. */
static void nan_pixel(void)
{
	ebb_conv_shape s = shape(2, 3, 9, 9, 5, 3, 3, 1, 1, 1, 1);
	struct conv k = random_conv(s);
	void *y = reals(size_y(&s));

	set(k.x, (4 * s.w + 8) * s.c + 1, NAN);
	K->conv_forward(&s, k.x, k.w, NULL, y, workspace(K->conv_workspace(&s, EBB_CONV_FORWARD)));
	for (int64_t i = 0; i < size_y(&s); i++) {
		int64_t p = i / s.o, row = p / s.ow, col = p % s.ow;

		expect((isnan(get(y, i)) != 0) == (row >= 3 && row <= 5 && col >= 7));
	}
}

START_TEST(nan_stays_in_its_windows)
{
	each_table(nan_pixel);
}
END_TEST

/* (2^27 - 2^14 + 1) x (2^27 + 2^14 + 1) pixels, nearly all padding, of 1024 channels: 2^64 + 1024
 * elements. */
static void wide_padding(void)
{
	int64_t h = (1 << 26) - (1 << 13), w = (1 << 26) + (1 << 13);
	ebb_conv_shape s = {.n = 1,
		.c = 1024,
		.h = 1,
		.w = 1,
		.o = 1024,
		.kh = 3,
		.kw = 3,
		.oh = 1,
		.ow = 1,
		.stride_h = 1,
		.stride_w = 1,
		.dilation_h = h,
		.dilation_w = w,
		.pad_top = h,
		.pad_left = w,
		.groups = 1};

	for (int pass = EBB_CONV_FORWARD; pass <= EBB_CONV_GRAD_WEIGHT; pass++)
		expect(K->conv_workspace(&s, (ebb_conv_pass)pass) > EBB_MOST_BYTES);
}

START_TEST(workspace_does_not_overflow)
{
	each_table(wide_padding);
}
END_TEST

static void choose_direct(void)
{
	ebb_choose_conv(EBB_CONV_DIRECT);
}

static void choose_by_shape(void)
{
	ebb_choose_conv(EBB_CONV_BY_SHAPE);
}

TCase *tests_conv(void)
{
	TCase *c = tcase_create("conv");

	tcase_add_checked_fixture(c, choose_direct, choose_by_shape);
	tcase_add_test(c, convolutions_of_usual_shapes_equal_the_formula);
	tcase_add_test(c, random_convolutions_equal_the_formula);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	tcase_add_test(c, nan_stays_in_its_windows);
	tcase_add_test(c, workspace_does_not_overflow);
	return c;
}
