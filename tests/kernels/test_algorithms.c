/*
 * test_algorithms.c - every algorithm of convolution against im2col in double precision, over
 * random shapes.
 */
#include "kernel_test.h"

enum { SHAPES = CASES(2000), MANY_FILTERS = CASES(120) };

static int64_t sizes(const ebb_conv_shape *s, int64_t size[3])
{
	size[EBB_CONV_FORWARD] = s->n * s->oh * s->ow * s->o;
	size[EBB_CONV_GRAD_INPUT] = s->n * s->h * s->w * s->c;
	size[EBB_CONV_GRAD_WEIGHT] = s->o * (s->c / s->groups) * s->kh * s->kw;
	return size[0] > size[1] ? size[0] : size[1];
}

/* A random shape; if square, one that the Winograd algorithm supports. */
static bool random_shape(bool square, ebb_conv_shape *s)
{
	int64_t g = square || any(0, 2) ? 1 : any(1, 4), k = any(0, 1) ? 3 : 5, h, w;

	*s = (ebb_conv_shape){.n = any(1, 3),
		.c = g * any(1, square ? 40 : 6),
		.h = any(1, 16),
		.w = any(1, 16),
		.o = g * any(1, square ? 40 : 20),
		.kh = square ? k : any(1, 5),
		.kw = square ? k : any(1, 5),
		.stride_h = square ? 1 : any(1, 3),
		.stride_w = square ? 1 : any(1, 3),
		.dilation_h = square ? 1 : any(1, 3),
		.dilation_w = square ? 1 : any(1, 3),
		.pad_top = any(0, 5),
		.pad_left = any(0, 5),
		.groups = g};
	/* different padding below and to the right */
	h = s->h + s->pad_top + any(0, 4) - (s->kh - 1) * s->dilation_h - 1;
	w = s->w + s->pad_left + any(0, 4) - (s->kw - 1) * s->dilation_w - 1;
	s->oh = h / s->stride_h + 1;
	s->ow = w / s->stride_w + 1;
	return h >= 0 && w >= 0;
}

static void run(const ebb_kernels *k, const ebb_conv_shape *s, ebb_conv_pass pass, const void *x,
	const void *w, const void *b, const void *gy, void *result)
{
	void *ws = workspace(k->conv_workspace(s, pass));

	if (pass == EBB_CONV_FORWARD)
		k->conv_forward(s, x, w, b, result, ws);
	else if (pass == EBB_CONV_GRAD_INPUT)
		k->conv_grad_input(s, gy, w, result, ws);
	else
		k->conv_grad_weight(s, x, gy, result, ws);
}

/* Converts to double. */
static double *doubles(const void *x, int64_t n)
{
	double *y = bytes((size_t)n * sizeof *y);

	for (int64_t i = 0; i < n; i++)
		y[i] = get(x, i);
	return y;
}

/* The tolerance is relative to the largest entry, because Winograd tiles mix neighbouring entries.
 * The errors of 2340 additions, the most here, grow like the square root of their number. */
static void compare(const ebb_conv_shape *s, ebb_conv_choice choice, ebb_conv_pass pass,
	const void *result, const double *want, int64_t n)
{
	bool tiles = choice == EBB_CONV_WINOGRAD || choice == EBB_CONV_BY_SHAPE;
	double most = 0, tol = (tiles ? 120 : 60) * epsilon();

	for (int64_t i = 0; i < n; i++)
		most = fabs(want[i]) > most ? fabs(want[i]) : most;
	for (int64_t i = 0; i < n; i++) {
		if (fabs(get(result, i) - want[i]) <= tol * (most + 1))
			continue;
		ck_abort_msg(
			"%s %s algorithm %d pass %d: got %.9g, want %.9g at %d (n%d c%d %dx%d o%d "
			"k%dx%d p%d,%d out %dx%d)",
			K->isa, f64 ? "f64" : "f32", choice, pass, get(result, i), want[i], (int)i,
			(int)s->n, (int)s->c, (int)s->h, (int)s->w, (int)s->o, (int)s->kh,
			(int)s->kw, (int)s->pad_top, (int)s->pad_left, (int)s->oh, (int)s->ow);
	}
}

/* Under a sanitizer, large shapes are run but not compared: smaller shapes are compared there. */
static void check_algorithms(const ebb_conv_shape *s, bool large)
{
	bool only_run = large && SANITIZED;
	const ebb_kernels *plain = ebb_kernels_named("baseline", true);
	static const ebb_conv_choice algorithms[] = {
		EBB_CONV_DIRECT, EBB_CONV_WINOGRAD, EBB_CONV_IM2COL, EBB_CONV_BY_SHAPE};
	int64_t size[3], most = sizes(s, size), weights = size[EBB_CONV_GRAD_WEIGHT];
	void *x = random_reals(size[EBB_CONV_GRAD_INPUT]), *w = random_reals(weights);
	void *gy = random_reals(size[EBB_CONV_FORWARD]), *b = random_reals(s->o);
	void *result = reals(most > weights ? most : weights);
	double *want = bytes((size_t)(most > weights ? most : weights) * sizeof *want);
	double *dx = doubles(x, size[EBB_CONV_GRAD_INPUT]), *dw = doubles(w, weights);
	double *dgy = doubles(gy, size[EBB_CONV_FORWARD]), *db = doubles(b, s->o);

	for (int pass = EBB_CONV_FORWARD; pass <= EBB_CONV_GRAD_WEIGHT; pass++) {
		ebb_choose_conv(EBB_CONV_IM2COL);
		if (!only_run)
			run(plain, s, (ebb_conv_pass)pass, dx, dw, db, dgy, want);
		for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
			if (only_run && algorithms[i] == EBB_CONV_IM2COL)
				continue;
			ebb_choose_conv(algorithms[i]);
			run(K, s, (ebb_conv_pass)pass, x, w, b, gy, result);
			if (!only_run)
				compare(s, algorithms[i], (ebb_conv_pass)pass, result, want,
					size[pass]);
		}
	}
	ebb_choose_conv(EBB_CONV_BY_SHAPE);
	release_all();
}

static void random_shapes(void)
{
	/* Each of up to six tables gets a share of them. */
	for (int i = 0; i < SHAPES / 6 + 1;) {
		ebb_conv_shape s;

		if (random_shape(i % 2, &s)) {
			check_algorithms(&s, false);
			i++;
		}
	}
}

START_TEST(algorithms_agree)
{
	each_table(random_shapes);
}
END_TEST

/* Shapes whose gradient of the weights is computed BY_CHANNELS, BY_POINTS in one or several rounds
 * of tiles, and BY_CHUNKS (winograd_weight.c). */
static void large_shapes(void)
{
	static const ebb_conv_shape shapes[] = {
		{2, 180, 9, 7, 200, 3, 3, 9, 7, 1, 1, 1, 1, 1, 1, 1},
		{40, 250, 5, 6, 260, 3, 3, 5, 6, 1, 1, 1, 1, 1, 1, 1},
		{3, 170, 23, 37, 190, 3, 3, 22, 35, 1, 1, 1, 1, 0, 1, 1},
		{7, 130, 19, 19, 230, 3, 3, 19, 19, 1, 1, 1, 1, 1, 1, 1},
		{9, 17, 20, 22, 33, 5, 5, 20, 22, 1, 1, 1, 1, 2, 2, 1},
		{5, 48, 31, 8, 16, 3, 3, 29, 6, 1, 1, 1, 1, 0, 0, 1},
		/* large enough for streaming stores */
		{66, 16, 32, 32, 16, 3, 3, 32, 32, 1, 1, 1, 1, 1, 1, 1}};

	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && !f64; i++)
		check_algorithms(&shapes[i], true);
}

/* Few positions and many filters, whose last panel is partial. */
static void many_filters(void)
{
	/* read in place, without padding */
	check_algorithms(
		&(ebb_conv_shape){2, 20, 5, 6, 270, 3, 3, 3, 4, 1, 1, 1, 1, 0, 0, 1}, false);
	for (int i = 0; i < MANY_FILTERS / 6 + 1;) {
		int64_t g = any(0, 3) ? 1 : 2, h, w;
		ebb_conv_shape s = {.n = any(1, 3),
			.c = g * any(1, 70),
			.h = any(1, 12),
			.w = any(1, 12),
			.o = g * any(256, 300),
			.kh = any(1, 4),
			.kw = any(1, 4),
			.stride_h = any(1, 2),
			.stride_w = any(1, 2),
			.dilation_h = any(1, 2),
			.dilation_w = any(1, 2),
			.pad_top = any(0, 2),
			.pad_left = any(0, 2),
			.groups = g};

		h = s.h + s.pad_top + any(0, 2) - (s.kh - 1) * s.dilation_h - 1;
		w = s.w + s.pad_left + any(0, 2) - (s.kw - 1) * s.dilation_w - 1;
		s.oh = h / s.stride_h + 1;
		s.ow = w / s.stride_w + 1;
		if (h >= 0 && w >= 0) {
			check_algorithms(&s, false);
			i++;
		}
	}
}

START_TEST(algorithms_agree_on_many_filters)
{
	each_table(many_filters);
}
END_TEST

START_TEST(algorithms_agree_on_large_shapes)
{
	each_table(large_shapes);
}
END_TEST

struct call {
	ebb_conv_shape s;
	ebb_conv_pass pass;
	void *x, *w, *b, *gy;
};

static void result_of(void *result, void *ctx)
{
	const struct call *c = ctx;

	run(K, &c->s, c->pass, c->x, c->w, c->b, c->gy, result);
}

static void threads(void)
{
	static const ebb_conv_shape shapes[] = {
		{9, 16, 17, 18, 40, 3, 3, 17, 18, 1, 1, 1, 1, 1, 1, 1},
		{3, 190, 9, 7, 200, 3, 3, 9, 7, 1, 1, 1, 1, 1, 1, 1},
		{5, 170, 24, 24, 180, 3, 3, 24, 24, 1, 1, 1, 1, 1, 1, 1}};

	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && !f64; i++) {
		int64_t size[3];
		struct call c = {.s = shapes[i]};

		sizes(&c.s, size);
		c.x = random_reals(size[EBB_CONV_GRAD_INPUT]);
		c.w = random_reals(size[EBB_CONV_GRAD_WEIGHT]);
		c.gy = random_reals(size[EBB_CONV_FORWARD]);
		c.b = random_reals(c.s.o);
		ebb_choose_conv(EBB_CONV_WINOGRAD);
		for (int pass = EBB_CONV_FORWARD; pass <= EBB_CONV_GRAD_WEIGHT; pass++) {
			c.pass = (ebb_conv_pass)pass;
			same_for_all_threads((size_t)size[pass] * K->real_size, result_of, &c);
		}
		ebb_choose_conv(EBB_CONV_BY_SHAPE);
		release_all();
	}
}

START_TEST(winograd_does_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_algorithms(void)
{
	TCase *c = tcase_create("algorithms");

	tcase_add_test(c, algorithms_agree);
	tcase_add_test(c, algorithms_agree_on_many_filters);
	tcase_add_test(c, algorithms_agree_on_large_shapes);
	tcase_add_test(c, winograd_does_not_depend_on_the_number_of_threads);
	return c;
}
