/* spatial.c - convolution, pooling and upsampling beyond conv2d. */
#include "tests/ops/ops_test.h"

#define SIZE(a, d) ((a)->shape.dims[d])

/* ---- conv1d ----------------------------------------------------------------------------- */

typedef struct line_case {
	int stride, pad, dilation, groups;
	int64_t s, d, g, before, after;
} line_case;

static const line_case LINES[] = {
	{0, 0, 0, 0, 1, 1, 1, 0, 0},
	{2, 1, 0, 0, 2, 1, 1, 1, 1},
	{1, 2, 2, 2, 1, 2, 2, 2, 2},
	{2, EBB_SAME, 0, 0, 2, 1, 1, 0, 1}, /* EBB_SAME: 6 elements, 3 taps */
	{-1, 0, 0, 0, 0, 0, 0, 0, 0},
	{1, -2, 0, 0, 0, 0, 0, 0, 0},
	{1, 0, 9, 0, 0, 0, 0, 0, 0},
	{1, 0, 1, 3, 0, 0, 0, 0, 0},
};

CALL(conv1d, ebb_conv1d(t, x[0], x[1], n > 2 ? x[2] : NULL, LINES[v].stride, LINES[v].pad,
		     LINES[v].dilation, LINES[v].groups))

static void plain_conv1d(const array *x, int n, int v, array *y)
{
	const line_case *c = &LINES[v];
	conv_case two = {.stride = {1, c->s},
		.dilation = {1, c->d},
		.groups = c->g,
		.before = {0, c->before},
		.after = {0, c->after}};
	array image = x[0], kernel = x[1];

	image.shape = EBB_SHAPE(SIZE(x, 0), SIZE(x, 1), 1, SIZE(x, 2));
	kernel.shape = EBB_SHAPE(SIZE(x + 1, 0), SIZE(x + 1, 1), 1, SIZE(x + 1, 2));
	*y = plain_conv(&image, &kernel, n > 2 ? &x[2] : NULL, &two);
	y->shape = EBB_SHAPE(SIZE(y, 0), SIZE(y, 1), SIZE(y, 3));
}

/* ---- conv_transpose2d ------------------------------------------------------------------- */

typedef struct back_case {
	int stride, pad, more, dilation, groups;
	int stride_hw[2], pad_hw[2], more_hw[2], dilation_hw[2];
	int64_t s[2], p[2], m[2], d[2], g;
} back_case;

static const back_case BACKS[] = {
	{.s = {1, 1}, .d = {1, 1}, .g = 1},
	{.stride = 2,
		.pad = 1,
		.more = 1,
		.s = {2, 2},
		.p = {1, 1},
		.m = {1, 1},
		.d = {1, 1},
		.g = 1},
	{.groups = 2,
		.stride_hw = {3, 2},
		.more_hw = {2, 0},
		.pad_hw = {0, 1},
		.s = {3, 2},
		.p = {0, 1},
		.m = {2, 0},
		.d = {1, 1},
		.g = 2},
	{.dilation_hw = {2, 3}, .more = 1, .s = {1, 1}, .m = {1, 1}, .d = {2, 3}, .g = 1},
	{.stride = 2, .more = 2},
	{.pad = 5},
	{.stride = -1},
	{.groups = 3},
	{.pad = -1},
};

CALL(conv_transpose2d, ebb_conv_transpose2d(t, x[0], x[1], n > 2 ? x[2] : NULL, BACKS[v].stride,
			       BACKS[v].pad, BACKS[v].more, BACKS[v].dilation, BACKS[v].groups,
			       {BACKS[v].stride_hw[0], BACKS[v].stride_hw[1]},
			       {BACKS[v].pad_hw[0], BACKS[v].pad_hw[1]},
			       {BACKS[v].more_hw[0], BACKS[v].more_hw[1]},
			       {BACKS[v].dilation_hw[0], BACKS[v].dilation_hw[1]}))

static int64_t back_size(const array *x, const array *w, const back_case *c, int a)
{
	return (SIZE(x, 2 + a) - 1) * c->s[a] - 2 * c->p[a] + c->d[a] * (SIZE(w, 2 + a) - 1) +
	       c->m[a] + 1;
}

/* Adds w times each pixel of x to y at the pixel's window; positions outside of y are skipped. */
static void plain_conv_transpose2d(const array *x, int n, int v, array *y)
{
	const array *w = &x[1], *b = n > 2 && x[2].v ? &x[2] : NULL;
	const back_case *c = &BACKS[v];
	int64_t at[EBB_MAX_DIMS] = {0}, out = SIZE(w, 1), o;

	*y = array_new(
		EBB_SHAPE(SIZE(x, 0), out * c->g, back_size(x, w, c, 0), back_size(x, w, c, 1)));
	for (int64_t i = 0; b && i < y->count; i++)
		y->v[i] = b->v[i / (SIZE(y, 2) * SIZE(y, 3)) % SIZE(y, 1)];
	if (!x->count || !w->count)
		return;
	do {
		int64_t from[EBB_MAX_DIMS] = {0};

		do {
			int64_t to[] = {from[0], 0, from[2] * c->s[0] + at[2] * c->d[0] - c->p[0],
				from[3] * c->s[1] + at[3] * c->d[1] - c->p[1]};

			o = from[1] / (SIZE(x, 1) / c->g) * out + at[1];
			to[1] = o;
			if (from[1] != at[0] || to[2] < 0 || to[2] >= SIZE(y, 2) || to[3] < 0 ||
				to[3] >= SIZE(y, 3))
				continue;
			y->v[flat_index(&y->shape, to)] +=
				x->v[flat_index(&x->shape, from)] * w->v[flat_index(&w->shape, at)];
		} while (next_position(&x->shape, from));
	} while (next_position(&w->shape, at));
}

/* ---- adaptive_maxpool2d, and .index of both --------------------------------------------- */

static const int WINDOWS[][3] = {{0, 0, 0}, {2, 0, 0}, {0, 3, 2}, {5, 0, 0}, {-1, 0, 0}};

CALL(adaptive_maxpool2d,
	ebb_adaptive_maxpool2d(t, x[0], WINDOWS[v][0], {WINDOWS[v][1], WINDOWS[v][2]}))

static void plain_adaptive_maxpool2d(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0}, from[4], out[2];

	(void)n;
	for (int a = 0; a < 2; a++)
		out[a] = WINDOWS[v][1] ? WINDOWS[v][1 + a] : WINDOWS[v][0] ? WINDOWS[v][0] : 1;
	*y = array_new(EBB_SHAPE(SIZE(x, 0), SIZE(x, 1), out[0], out[1]));
	if (!y->count)
		return;
	do {
		double most = -INFINITY;

		memcpy(from, at, sizeof from);
		for (int64_t i = 0; i < SIZE(x, 2); i++) {
			for (int64_t j = 0; j < SIZE(x, 3); j++) {
				from[2] = i;
				from[3] = j;
				/* floor(k*H/Oh) <= i < ceil((k+1)*H/Oh) */
				if (at[2] * SIZE(x, 2) / out[0] <= i &&
					i * out[0] < (at[2] + 1) * SIZE(x, 2) &&
					at[3] * SIZE(x, 3) / out[1] <= j &&
					j * out[1] < (at[3] + 1) * SIZE(x, 3))
					most = fmax(most, x->v[flat_index(&x->shape, from)]);
			}
		}
		y->v[flat_index(&y->shape, at)] = most;
	} while (next_position(&y->shape, at));
}

/* Checks that each index is the position of its maximum, in NCHW row-major order. */
static void expect_places(const ebb_tensor *x, const ebb_tensor *y, const ebb_tensor *index)
{
	int64_t pixels = ebb_size(x, 2) * ebb_size(x, 3), out = ebb_size(y, 2) * ebb_size(y, 3);

	ck_assert(x && y && index && ebb_dtype_of(index) == EBB_I64);
	ck_assert_int_eq(ebb_count(index), ebb_count(y));
	for (int64_t i = 0; i < ebb_count(y); i++) {
		int64_t at = (int64_t)ebb_at(index, i);

		ck_assert(at >= 0 && at < pixels);
		ck_assert_double_eq(ebb_at(x, i / out * pixels + at), ebb_at(y, i));
	}
}

static void indices(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_randn(t, EBB_SHAPE(2, 3, 5, 7))), *index = NULL, *y;

	y = ebb_adaptive_maxpool2d(t, x, .size_hw = {2, 3}, .index = &index);
	expect_places(x, y, index);
	y = ebb_maxpool2d(t, x, .kernel = 3, .stride = 2, .pad = 1, .index = &index);
	expect_places(x, y, index);
	assert_healthy(t);
	/* The last pixel of an image of 2^16 pixels (16-bit positions) and of a larger one (32-bit
	 * positions). */
	for (int64_t w = 256; w <= 257; w++) {
		ebb_tensor *image = ebb_cast(t, ebb_arange(t, 256 * w), EBB_F32), *g;

		image = ebb_variable(t, ebb_reshape(t, image, EBB_SHAPE(1, 1, 256, w)));
		y = ebb_adaptive_maxpool2d(t, image, .index = &index);
		ck_assert(ebb_at(index, 0) == (double)(256 * w - 1));
		ck_assert(ebb_grad(t, y, 1, &image, &g, .gy = ebb_ones_like(t, y)));
		ck_assert(ebb_at(g, 256 * w - 1) == 1 && ebb_item(ebb_sum(t, g)) == 1);
	}
	index = x;
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_maxpool2d(t, x, .kernel = 9, .index = &index), "maxpool2d");
	ck_assert_ptr_null(index);
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .exclude_pad = true),
		"maxpool2d", ".exclude_pad");
	assert_refused(t, EBB_INVALID, ebb_avgpool2d(t, x, .kernel = 2, .index = &index),
		"avgpool2d", ".index");
	assert_refused(t, EBB_INVALID, ebb_adaptive_avgpool2d(t, x, .size = 2, .index = &index),
		"adaptive_avgpool2d", ".index");
	ebb_tape_free(t);
}

/* ---- max_unpool2d: element k of a channel is written to pixel 2k + 1 of 2 rows ---------- */

static ebb_tensor *unpool(ebb_tape *t, ebb_tensor *x, int v)
{
	int64_t h = ebb_size(x, 2), w = ebb_size(x, 3), pixels = h * w;
	ebb_tensor *index;
	int64_t *at = calloc((size_t)ebb_count(x) + 1, sizeof *at);

	for (int64_t i = 0; at && pixels && i < ebb_count(x); i++)
		at[i] = v == 1 ? -1 : v == 2 ? 2 * pixels : 2 * (i % pixels) + 1;
	index = ebb_from_i64(t, v == 3 ? EBB_SHAPE(ebb_count(x)) : ebb_shape_of(x), at);
	free(at);
	return ebb_max_unpool2d(t, x, v == 4 ? x : index, v == 5 ? -1 : 2 * h, w);
}

CALL(max_unpool2d, unpool(t, x[0], v))

static void plain_unpool(const array *x, int n, int v, array *y)
{
	int64_t pixels = SIZE(x, 2) * SIZE(x, 3);

	(void)n, (void)v;
	*y = array_new(EBB_SHAPE(SIZE(x, 0), SIZE(x, 1), 2 * SIZE(x, 2), SIZE(x, 3)));
	for (int64_t i = 0; i < x->count; i++)
		y->v[i / pixels * 2 * pixels + 2 * (i % pixels) + 1] = x->v[i];
}

/* The index of max_pooling, in its memory order; overlapping windows have equal positions. */
static void unpooled(void)
{
	const int64_t at[] = {1, 1};
	const double two[] = {3, 4};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_randn(t, EBB_SHAPE(2, 3, 6, 5)), *index = NULL, *y, *z;

	y = ebb_maxpool2d(t, x, .kernel = 3, .stride = 1, .index = &index);
	z = ebb_max_unpool2d(t, y, index, 6, 5);
	for (int64_t i = 0; i < ebb_count(x); i++)
		ck_assert(ebb_at(z, i) == 0 || ebb_at(z, i) == ebb_at(x, i));
	ck_assert(all_close(
		ebb_gather(t, ebb_reshape(t, z, EBB_SHAPE(2, 3, 30)), 2,
			ebb_reshape(t, ebb_dense(t, index, EBB_ROWS), EBB_SHAPE(2, 3, 12))),
		ebb_reshape(t, y, EBB_SHAPE(2, 3, 12)), 0));
	z = ebb_max_unpool2d(t, ebb_from_f64(t, EBB_SHAPE(1, 1, 1, 2), two),
		ebb_from_i64(t, EBB_SHAPE(1, 1, 1, 2), at), 1, 3);
	ck_assert(ebb_at(z, 0) == 0 && ebb_at(z, 1) == 4 && ebb_at(z, 2) == 0);
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- upsample --------------------------------------------------------------------------- */

static const ebb_upsample_args UPS[] = {
	{.size = 5},
	{.mode = EBB_BILINEAR, .size_hw = {7, 9}},
	{.mode = EBB_BILINEAR, .size_hw = {7, 2}, .align_corners = true},
	{.scale = 2},
	{.mode = EBB_BILINEAR, .scale_hw = {1.7, 0.6}},
	{.mode = EBB_BILINEAR, .scale = 2.5, .align_corners = true},
	{.scale_hw = {2.5, 1.3}},
	{.mode = EBB_BILINEAR, .size = 1, .align_corners = true},
	{.size = 0},
	{.size = 2, .scale = 2},
	{.scale = 0.1},
	{.size = 2, .align_corners = true},
	{.size = -1},
	{.mode = (ebb_upsample_mode)7, .size = 2},
	{.scale = NAN},
};

CALL(upsample,
	ebb_upsample(t, x[0], UPS[v].mode, UPS[v].size, {UPS[v].size_hw[0], UPS[v].size_hw[1]},
		UPS[v].scale, {UPS[v].scale_hw[0], UPS[v].scale_hw[1]}, UPS[v].align_corners))

/* The pixels p and q that output position i is interpolated between; returns q's weight. */
static double between(const ebb_upsample_args *u, int a, int64_t in, int64_t out, int64_t i,
	int64_t *p, int64_t *q)
{
	double scale = u->scale_hw[a] != 0 ? u->scale_hw[a] : u->scale, x;
	double step = scale != 0 ? 1 / scale : (double)in / (double)out;

	if (u->mode == EBB_NEAREST)
		x = floor((double)i * step);
	else if (u->align_corners)
		x = out > 1 ? (double)(i * (in - 1)) / (double)(out - 1) : 0;
	else
		x = in == out ? (double)i : fmax(((double)i + 0.5) * step - 0.5, 0);
	x = fmin(x, (double)(in - 1));
	*p = (int64_t)x;
	*q = *p + 1 < in ? *p + 1 : *p;
	return x - (double)*p;
}

static void plain_upsample(const array *x, int n, int v, array *y)
{
	const ebb_upsample_args *u = &UPS[v];
	int64_t at[EBB_MAX_DIMS] = {0}, out[2], in[] = {SIZE(x, 2), SIZE(x, 3)}, p[2], q[2];

	(void)n;
	for (int a = 0; a < 2; a++) {
		double scale = u->scale_hw[a] != 0 ? u->scale_hw[a] : u->scale;

		out[a] = u->size ? u->size : u->size_hw[a];
		if (scale != 0)
			out[a] = (int64_t)floor((double)in[a] * scale);
	}
	*y = array_new(EBB_SHAPE(SIZE(x, 0), SIZE(x, 1), out[0], out[1]));
	if (!y->count)
		return;
	do {
		double share[2], sum = 0;
		int64_t from[4] = {at[0], at[1], 0, 0};

		for (int a = 0; a < 2; a++)
			share[a] = between(u, a, in[a], out[a], at[2 + a], &p[a], &q[a]);
		for (int k = 0; k < 4; k++) {
			from[2] = k & 2 ? q[0] : p[0];
			from[3] = k & 1 ? q[1] : p[1];
			sum += (k & 2 ? share[0] : 1 - share[0]) *
			       (k & 1 ? share[1] : 1 - share[1]) *
			       x->v[flat_index(&x->shape, from)];
		}
		y->v[flat_index(&y->shape, at)] = sum;
	} while (next_position(&y->shape, at));
}

/* ---- local_response_norm ---------------------------------------------------------------- */

static const ebb_local_response_norm_args NORMS[] = {
	{.size = 3, .alpha = 0.5},
	{.size = 2, .alpha = 0.7, .beta = 0.5, .k = 2},
	{.size = 9, .alpha = 0.3, .beta = 1.5},
	{.size = 0},
};

CALL(local_response_norm,
	ebb_local_response_norm(t, x[0], NORMS[v].size, NORMS[v].alpha, NORMS[v].beta, NORMS[v].k))

static void plain_local_response_norm(const array *x, int n, int v, array *y)
{
	const ebb_local_response_norm_args *a = &NORMS[v];
	int64_t at[EBB_MAX_DIMS] = {0};

	(void)n;
	*y = array_new(x->shape);
	if (!y->count)
		return;
	do {
		double sum = 0;
		int64_t from[EBB_MAX_DIMS];

		memcpy(from, at, sizeof from);
		for (int64_t j = at[1] - a->size / 2; j <= at[1] + (a->size - 1) / 2; j++) {
			from[1] = j;
			if (j >= 0 && j < SIZE(x, 1))
				sum += pow(x->v[flat_index(&x->shape, from)], 2);
		}
		y->v[flat_index(&y->shape, at)] =
			x->v[flat_index(&x->shape, at)] *
			pow((a->k == 0 ? 1 : a->k) + a->alpha / a->size * sum,
				-(a->beta == 0 ? 0.75 : a->beta));
	} while (next_position(&y->shape, at));
}

/* ---- dropout2d, drop_path: p = variant / 10 --------------------------------------------- */

CALL(dropout2d, ebb_dropout2d(t, x[0], v / 10.0))
CALL(drop_path, ebb_drop_path(t, x[0], v / 10.0))

static void unchanged(const array *x, int n, int v, array *y)
{
	(void)n, (void)v;
	*y = *x;
}

/* Each run of inner elements has one mask value, 0 or 1/(1-p), also in the gradients of both
 * orders. */
static void expect_whole(ebb_tensor *(*drop)(ebb_tape *, ebb_tensor *, double, const char *),
	const char *name, int64_t inner, ebb_dtype dtype)
{
	const double p = 0.25;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *y, *g, *h, *gy, *once;
	double zeros = 0, count;

	ebb_set_default_dtype(t, dtype);
	x = ebb_variable(t, ebb_add_scalar(t, ebb_rand(t, EBB_SHAPE(400, 4, 3, 2)), 1));
	y = drop(t, x, p, EBB_SITE);
	gy = ebb_variable(t, ebb_ones_like(t, y));
	ck_assert(ebb_grad(t, y, 1, &x, &g, gy, .create_graph = true));
	ck_assert(ebb_grad(t, g, 1, &gy, &h, ebb_ones_like(t, g)));
	count = (double)(ebb_count(x) / inner);
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double mask = ebb_at(y, i) / ebb_at(x, i), first = ebb_at(g, i / inner * inner);

		ck_assert(mask == 0 || fabs(mask - 1 / (1 - p)) < 1e-6);
		ck_assert_double_eq_tol(mask, first, 1e-6);
		ck_assert_double_eq(ebb_at(g, i), first);
		ck_assert_double_eq(ebb_at(h, i), first);
		zeros += i % inner == 0 && mask == 0;
	}
	/* Five standard deviations of a binomial. */
	ck_assert_double_eq_tol(zeros / count, p, 5 * sqrt(p * (1 - p) / count));
	once = drop(t, x, p, EBB_SITE);
	ck_assert(!all_same(y, once));
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, drop(t, x, 1.0, EBB_SITE), name, "p is 1");
	assert_refused(t, EBB_INVALID, drop(t, x, NAN, EBB_SITE), name);
	ebb_tape_free(t);
}

static void whole_channels(void)
{
	expect_whole(ebb_dropout2d, "dropout2d", 6, EBB_F32);
	expect_whole(ebb_dropout2d, "dropout2d", 6, EBB_F64);
}

static void whole_samples(void)
{
	expect_whole(ebb_drop_path, "drop_path", 24, EBB_F32);
	expect_whole(ebb_drop_path, "drop_path", 24, EBB_F64);
}

const entry spatial_ops[] = {
	{.name = "conv1d",
		.call = call_conv1d,
		.reference = plain_conv1d,
		.samples =
			"2x3x7 4x3x3 4 #0 | 2x3x7 4x3x3 4 #1 | 2x4x7 6x2x3 6 #2 | "
			"1x2x6 3x2x3 _ #3 | 2x1x5 1x1x1 #0 | 0x3x7 4x3x3 4 #0 | 2x3x1 2x3x1 2 #1",
		.refused =
			"2x3x7 4x3 4 #0 | 2x3x1x7 4x3x3 #0 | 2x3x7 4x2x3 4 #0 | "
			"2x3x7 4x3x3 3 #0 | 2x3x7 4x3x0 4 #0 | 2x3x2 4x3x3 #0 | 2x3x7 4x3x3 #4 | "
			"2x3x7 4x3x3 #5 | 2x3x7 4x3x3 #6 | 2x3x7 4x1x3 #7 | i5:2x3x7 4x3x3 #0"},
	{.name = "conv_transpose2d",
		.call = call_conv_transpose2d,
		.reference = plain_conv_transpose2d,
		.samples = "2x3x3x4 3x2x2x3 2 #0 | 2x3x3x4 3x2x3x3 2 #1 | 1x4x2x3 4x3x2x3 6 #2 | "
			   "1x2x3x2 2x2x2x2 _ #3 | 2x1x1x1 1x1x1x1 #0 | 0x3x3x4 3x2x2x3 2 #0 | "
			   "1x3x2x2 3x0x2x2 #0 | 1x0x2x2 0x2x2x2 2 #0",
		.refused = "2x3x4 3x2x3 #0 | 2x3x0x4 3x2x2x3 #0 | 2x3x3x4 2x2x2x3 #0 | "
			   "2x3x3x4 3x2x2x3 3 #0 | 2x3x3x4 3x2x2x3 #4 | 2x3x3x4 3x2x2x3 #5 | "
			   "2x3x3x4 3x2x2x3 #6 | 2x4x3x4 4x2x2x3 #7 | 2x3x3x4 3x2x2x3 #8 | "
			   "i5:2x3x3x4 3x2x2x3 #0 | 2x3x3x4 i5:3x2x2x3 #0"},
	{.name = "adaptive_maxpool2d",
		.call = call_adaptive_maxpool2d,
		.reference = plain_adaptive_maxpool2d,
		.samples = "2x3x5x4 #0 | 2x3x5x4 #1 | 1x5x7x3 #2 | 1x2x3x1 #3 | 0x2x3x3 #1",
		.values = "d",
		.refused = "2x3x4 #0 | 2x3x0x4 #0 | 2x3x4x4 #4 | i5:2x3x4x4 #1",
		.property = indices,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "max_unpool2d",
		.call = call_max_unpool2d,
		.reference = plain_unpool,
		.samples = "2x3x2x3 #0 | 1x17x1x2 #0 | 0x2x3x2 #0 | 1x2x0x3 #0",
		.refused = "2x3x2 #0 | 2x3x2x3 #1 | 2x3x2x3 #2 | 2x3x2x3 #3 | 2x3x2x3 #4 | 2x3x2x3 "
			   "#5 | "
			   "i5:2x3x2x3 #0",
		.property = unpooled,
		.waived = {[BROADCAST] = "the index is of x's shape"}},
	{.name = "upsample",
		.call = call_upsample,
		.reference = plain_upsample,
		.samples = "2x3x3x4 #0 | 2x3x3x4 #1 | 2x3x3x4 #2 | 1x2x3x2 #3 | 1x2x5x6 #4 | "
			   "1x2x3x2 #5 | 1x5x3x4 #6 | 1x2x1x3 #1 | 1x2x3x2 #7 | 0x2x3x2 #3",
		.refused = "2x3x4 #0 | 2x3x0x4 #0 | 2x3x3x4 #8 | 2x3x3x4 #9 | 2x3x3x4 #10 | "
			   "2x3x3x4 #11 | 2x3x3x4 #12 | 2x3x3x4 #13 | 2x3x3x4 #14 | i5:2x3x3x4 #0",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "local_response_norm",
		.call = call_local_response_norm,
		.reference = plain_local_response_norm,
		.samples = "2x5x2x3 #0 | 2x4x3 #1 | 3x5 #2 | 1x3x2x1x2 #1 | 2x1x3 #0 | 0x4x3 #0 | "
			   "2x0x3 #0",
		.refused = "4 #0 | 1x1x1x1x1x2 #0 | 2x4x3 #3 | i5:2x3x3 #0",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "dropout2d",
		.call = call_dropout2d,
		.reference = unchanged,
		.samples = "2x3x4 #0 | 2x3x4 #5e | 4x3x2x2 #4r | 2x3 #2r | 0x3x2 #5r | 1x1 #0",
		.refused = "i5:2x3 #5 | 3 #5 | - #5",
		.property = whole_channels,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "drop_path",
		.call = call_drop_path,
		.reference = unchanged,
		.samples = "2x3x4 #0 | 2x3x4 #5e | 12x2x2x2 #2r | 9 #2r | 0x3x2 #5r | 1x1 #0",
		.refused = "i5:2x3 #5 | - #5",
		.property = whole_samples,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = NULL},
};
