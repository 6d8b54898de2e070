/* products.c - matrix products, convolution, pooling. */
#include "tests/ops/ops_test.h"

/* ---- matmul, linear ----------------------------------------------------------------- */

CALL(matmul, ebb_matmul(t, x[0], x[1]))
CALL(linear, ebb_linear(t, x[0], x[1], x[2]))

/* A vector is a matrix with one row or column, whose axis is removed from the result. */
static void plain_matmul(const array *x, int n, int v, array *y)
{
	array a = x[0], b = x[1];
	ebb_shape shape, lead[2], cut;
	int64_t at[EBB_MAX_DIMS] = {0}, depth;
	array batch[2];

	(void)n;
	(void)v;
	if (x[0].shape.ndim == 1)
		a.shape = (ebb_shape){2, {1, a.count}};
	if (x[1].shape.ndim == 1)
		b.shape = (ebb_shape){2, {b.count, 1}};
	lead[0] = a.shape;
	lead[0].ndim -= 2;
	lead[1] = b.shape;
	lead[1].ndim -= 2;
	batch[0] = (array){.shape = lead[0]};
	batch[1] = (array){.shape = lead[1]};
	shape = broadcast_shape(batch, 2);
	depth = a.shape.dims[a.shape.ndim - 1];
	shape.dims[shape.ndim++] = a.shape.dims[a.shape.ndim - 2];
	shape.dims[shape.ndim++] = b.shape.dims[b.shape.ndim - 1];
	*y = array_new(shape);
	while (y->count) {
		double sum = 0;

		for (int64_t k = 0; k < depth; k++) {
			const array *sides[] = {&a, &b};
			double product = 1;

			for (int side = 0; side < 2; side++) {
				const ebb_shape *s = &sides[side]->shape;
				int skip = shape.ndim - s->ndim;
				int64_t own[EBB_MAX_DIMS];

				for (int d = 0; d < s->ndim; d++)
					own[d] = s->dims[d] == 1 && d < s->ndim - 2 ? 0
					                                            : at[skip + d];
				own[side ? s->ndim - 2 : s->ndim - 1] = k;
				product *= sides[side]->v[flat_index(s, own)];
			}
			sum += product;
		}
		y->v[flat_index(&shape, at)] = sum;
		if (!next_position(&shape, at))
			break;
	}
	cut = shape;
	if (x[1].shape.ndim == 1)
		cut.ndim--;
	if (x[0].shape.ndim == 1) {
		cut.ndim--;
		if (x[1].shape.ndim > 1)
			cut.dims[cut.ndim - 1] = shape.dims[shape.ndim - 1];
	}
	y->shape = (ebb_shape){cut.ndim, {0}};
	memcpy(y->shape.dims, cut.dims, (size_t)cut.ndim * sizeof *cut.dims);
}

static void plain_linear(const array *x, int n, int v, array *y)
{
	ebb_shape s = x[0].shape;
	int64_t in = x[1].shape.dims[1], out = x[1].shape.dims[0];

	(void)n;
	(void)v;
	s.dims[s.ndim - 1] = out;
	*y = array_new(s);
	for (int64_t i = 0; i < y->count; i++) {
		y->v[i] = x[2].v ? x[2].v[i % out] : 0;
		for (int64_t k = 0; k < in; k++)
			y->v[i] += x[0].v[i / out * in + k] * x[1].v[i % out * in + k];
	}
}

/* ---- conv2d: its options (random shapes are in convolution.c) ----------------------- */

static const struct {
	int stride, pad, dilation, groups;
	int stride_hw[2], pad_hw[2], dilation_hw[2], pad_tblr[4];
	conv_case meant;
} CONVS[] = {
	{.meant = {{1, 1}, {1, 1}, 1, {0, 0}, {0, 0}}},
	{.stride = 2, .pad = 1, .meant = {{2, 2}, {1, 1}, 1, {1, 1}, {1, 1}}},
	{.stride = 2, .pad = EBB_SAME, .meant = {{2, 2}, {1, 1}, 1, {0, 1}, {1, 1}}},
	{.groups = 2, .dilation = 2, .pad = 2, .meant = {{1, 1}, {2, 2}, 2, {2, 2}, {2, 2}}},
	{.groups = 3, .pad_tblr = {1, 0, 0, 2}, .meant = {{1, 1}, {1, 1}, 3, {1, 0}, {0, 2}}},
	{.stride_hw = {1, 2},
		.pad_hw = {0, 1},
		.dilation_hw = {2, 1},
		.stride = 5,
		.dilation = 3,
		.meant = {{1, 2}, {2, 1}, 1, {0, 1}, {0, 1}}},
	{.pad = -2},
	{.groups = 2, .meant = {{1, 1}, {1, 1}, 2, {0, 0}, {0, 0}}},
};

CALL(conv2d,
	ebb_conv2d(t, x[0], x[1], n > 2 ? x[2] : NULL, CONVS[v].stride, CONVS[v].pad,
		CONVS[v].dilation, CONVS[v].groups, {CONVS[v].stride_hw[0], CONVS[v].stride_hw[1]},
		{CONVS[v].pad_hw[0], CONVS[v].pad_hw[1]},
		{CONVS[v].dilation_hw[0], CONVS[v].dilation_hw[1]},
		{CONVS[v].pad_tblr[0], CONVS[v].pad_tblr[1], CONVS[v].pad_tblr[2],
			CONVS[v].pad_tblr[3]}))

static void plain_conv2d(const array *x, int n, int v, array *y)
{
	*y = plain_conv(&x[0], &x[1], n > 2 ? &x[2] : NULL, &CONVS[v].meant);
}

/* ---- Pooling ------------------------------------------------------------------------ */

typedef struct pool_case {
	int kernel, stride, pad, dilation;
	int kernel_hw[2], stride_hw[2], pad_hw[2], dilation_hw[2];
	bool ceil_mode, exclude_pad;
	/* the sizes that the options mean */
	int64_t k[2], s[2], p[2], d[2];
} pool_case;

static const pool_case POOLS[] = {
	{.kernel = 2, .k = {2, 2}, .s = {2, 2}, .d = {1, 1}},
	{.kernel = 3, .stride = 2, .pad = 1, .k = {3, 3}, .s = {2, 2}, .p = {1, 1}, .d = {1, 1}},
	{.kernel = 3,
		.stride = 2,
		.pad = 1,
		.ceil_mode = true,
		.k = {3, 3},
		.s = {2, 2},
		.p = {1, 1},
		.d = {1, 1}},
	{.kernel = 2, .stride = 1, .k = {2, 2}, .s = {1, 1}, .d = {1, 1}},
	{.kernel_hw = {2, 3},
		.stride_hw = {1, 2},
		.pad_hw = {1, 0},
		.kernel = 9,
		.k = {2, 3},
		.s = {1, 2},
		.p = {1, 0},
		.d = {1, 1}},
	{.kernel = 3,
		.stride = 3,
		.pad = 1,
		.ceil_mode = true,
		.exclude_pad = true,
		.k = {3, 3},
		.s = {3, 3},
		.p = {1, 1},
		.d = {1, 1}},
	{.kernel = 2, .stride = 2, .ceil_mode = true, .k = {2, 2}, .s = {2, 2}, .d = {1, 1}},
	{.kernel = 2,
		.stride = 1,
		.dilation = 2,
		.k = {2, 2},
		.s = {1, 1},
		.d = {2, 2}}, /* max only */
	{.kernel = 3,
		.stride = 1,
		.pad = 1,
		.dilation_hw = {1, 2},
		.ceil_mode = true,
		.k = {3, 3},
		.s = {1, 1},
		.p = {1, 1},
		.d = {1, 2}},
	{.kernel = 2, .pad = 2},
	{.kernel = 9},
	{.stride = 2},
};

#define POOL_ARGS                                                                                  \
	POOLS[v].kernel, POOLS[v].stride, POOLS[v].pad, POOLS[v].dilation,                         \
		{POOLS[v].kernel_hw[0], POOLS[v].kernel_hw[1]},                                    \
		{POOLS[v].stride_hw[0], POOLS[v].stride_hw[1]},                                    \
		{POOLS[v].pad_hw[0], POOLS[v].pad_hw[1]},                                          \
		{POOLS[v].dilation_hw[0], POOLS[v].dilation_hw[1]}, POOLS[v].ceil_mode

CALL(maxpool2d, ebb_maxpool2d(t, x[0], POOL_ARGS))
CALL(avgpool2d, ebb_avgpool2d(t, x[0], POOL_ARGS, .exclude_pad = POOLS[v].exclude_pad))

/* PyTorch's rule: with ceil_mode, a last window that would begin in the padding is left out. */
static int64_t windows(int64_t size, const pool_case *c, int a)
{
	double positions =
		(double)(size + 2 * c->p[a] - c->d[a] * (c->k[a] - 1) - 1) / (double)c->s[a];
	int64_t n = (int64_t)(c->ceil_mode ? ceil(positions) : floor(positions)) + 1;

	return c->ceil_mode && (n - 1) * c->s[a] >= size + c->p[a] ? n - 1 : n;
}

static double window(const array *x, const pool_case *c, const int64_t *at, bool mean)
{
	double sum = 0, most = -INFINITY;
	int64_t inside = 0, padded = 0;

	for (int64_t u = 0; u < c->k[0]; u++) {
		for (int64_t v = 0; v < c->k[1]; v++) {
			int64_t h = x->shape.dims[2], w = x->shape.dims[3];
			int64_t i = at[2] * c->s[0] + u * c->d[0] - c->p[0];
			int64_t j = at[3] * c->s[1] + v * c->d[1] - c->p[1];
			int64_t from[] = {at[0], at[1], i, j};

			/* Positions beyond the padding do not count in an average. */
			padded += i < h + c->p[0] && j < w + c->p[1];
			if (i < 0 || i >= h || j < 0 || j >= w)
				continue;
			sum += x->v[flat_index(&x->shape, from)];
			most = fmax(most, x->v[flat_index(&x->shape, from)]);
			inside++;
		}
	}
	return mean ? sum / (double)(c->exclude_pad ? inside : padded) : most;
}

static void plain_pool(const array *x, int v, bool mean, array *y)
{
	const pool_case *c = &POOLS[v];
	int64_t at[EBB_MAX_DIMS] = {0};

	*y = array_new(
		(ebb_shape){4, {x->shape.dims[0], x->shape.dims[1], windows(x->shape.dims[2], c, 0),
				       windows(x->shape.dims[3], c, 1)}});
	if (!y->count)
		return;
	do
		y->v[flat_index(&y->shape, at)] = window(x, c, at, mean);
	while (next_position(&y->shape, at));
}

static void plain_maxpool2d(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_pool(x, v, false, y);
}

static void plain_avgpool2d(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_pool(x, v, true, y);
}

static void pool_conventions(void)
{
	const double ties[] = {1, 3, 3, 1, /**/ 3, 0, 0, 3, /**/ 2, 2, NAN, 1, /**/ 2, 2, 1, 1};
	const double negative[] = {-5, -6, -7, -8};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(1, 1, 4, 4), ties)), *g, *y;

	y = ebb_maxpool2d(t, x, .kernel = 2);
	ck_assert(
		ebb_at(y, 0) == 3 && ebb_at(y, 1) == 3 && ebb_at(y, 2) == 2 && isnan(ebb_at(y, 3)));
	/* The gradient goes to the first of equal maxima in row-major order; NaN counts as the
	 * largest. */
	ck_assert(ebb_grad(t, y, 1, &x, &g, ebb_ones_like(t, y)));
	for (int i = 0; i < 16; i++)
		ck_assert_msg(
			ebb_at(g, i) == (i == 1 || i == 2 || i == 8 || i == 10), "element %d", i);
	/* Padding is never a maximum. */
	x = ebb_from_f64(t, EBB_SHAPE(1, 1, 2, 2), negative);
	y = ebb_maxpool2d(t, x, .kernel = 3, .stride = 1, .pad = 1);
	ck_assert_int_eq(ebb_count(y), 4);
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(y, i), -5);
	/* A window that contains only padding is an error: a dilation that steps over the image
	 * fails, a smaller one does not. */
	ck_assert(!ebb_maxpool2d(
		t, ebb_zeros(t, EBB_SHAPE(1, 1, 4, 4)), .kernel = 2, .dilation = 5, .pad = 1));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_SHAPE);
	ebb_clear_error(t);
	ck_assert(!ebb_maxpool2d(t, ebb_zeros(t, EBB_SHAPE(1, 1, 0, 4)), .kernel = 2, .pad = 1));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_SHAPE);
	ebb_clear_error(t);
	y = ebb_maxpool2d(t, x, .kernel = 2, .dilation = 2, .pad = 1);
	ck_assert(ebb_count(y) == 1 && ebb_at(y, 0) == -8);
	assert_healthy(t);
	ebb_tape_free(t);
}

static const int SIZES[][3] = {{0, 0, 0}, {2, 0, 0}, {0, 3, 2}, {5, 0, 0}, {-1, 0, 0}};

CALL(adaptive, ebb_adaptive_avgpool2d(t, x[0], SIZES[v][0], {SIZES[v][1], SIZES[v][2]}))

static void plain_adaptive(const array *x, int n, int v, array *y)
{
	int64_t size[2], at[EBB_MAX_DIMS] = {0};

	(void)n;
	for (int a = 0; a < 2; a++)
		size[a] = SIZES[v][1] ? SIZES[v][1 + a] : SIZES[v][0] ? SIZES[v][0] : 1;
	*y = array_new((ebb_shape){4, {x->shape.dims[0], x->shape.dims[1], size[0], size[1]}});
	if (!y->count)
		return;
	do {
		double sum = 0;
		int64_t h = x->shape.dims[2], w = x->shape.dims[3], count = 0;
		int64_t top = (int64_t)floor((double)(at[2] * h) / (double)size[0]);
		int64_t bottom = (int64_t)ceil((double)((at[2] + 1) * h) / (double)size[0]);
		int64_t left = (int64_t)floor((double)(at[3] * w) / (double)size[1]);
		int64_t right = (int64_t)ceil((double)((at[3] + 1) * w) / (double)size[1]);

		for (int64_t i = top; i < bottom; i++) {
			for (int64_t j = left; j < right; j++, count++)
				sum += x->v[flat_index(&x->shape, (int64_t[]){at[0], at[1], i, j})];
		}
		y->v[flat_index(&y->shape, at)] = sum / (double)count;
	} while (next_position(&y->shape, at));
}

#define POOL_SHAPES                                                                                \
	"2x3x4x4 #0 | 1x2x5x6 #1 | 1x2x6x5 #2 | 1x1x3x4 #3 | 1x2x4x5 #4 | 1x2x5x4 #5 | 1x3x5x5 "   \
	"#6 | "                                                                                    \
	"0x2x4x4 #0 | 2x0x4x4 #0 | 1x1x2x2 #0 | 2x5x2x3 #0 | 1x17x2x2 #0"
#define POOL_WRONG "3x4x4 #0 | 1x1x4x4 #9 | 1x1x4x4 #10 | 1x1x4x4 #11 | i5:1x1x4x4 #0"

const entry product_ops[] = {
	{.name = "matmul",
		.call = call_matmul,
		.reference = plain_matmul,
		.samples = "2x3 3x4 | 3x3 3x3 | 3 3 | 2x3 3 | 3 3x2 | 2x1x3x4 5x4x2 | "
			   "3x4 2x4x2 | 2x2x3 3 | 3 2x3x2 | 0x3 3x2 | 2x0 0x3 | 2x3 3x0 | 0 0 | "
			   "1x1 1x1 | 1x5 5x1 | 5x1 1x4 | 0x2x3 3x2 | 7x17 17x5",
		.refused = "2x3 2x3 | 3 4 | - 3 | 2x3 - | 2x2x3 3x3x2 | 2x3 i5:3x2 | 2x3 2"},
	{.name = "linear",
		.call = call_linear,
		.reference = plain_linear,
		.samples = "2x3 4x3 4 | 2x3 4x3 _ | 2x2x3 4x3 4 | 3 4x3 4 | 0x3 2x3 2 | "
			   "2x0 3x0 3 | 2x3 0x3 0 | 1x1 1x1 1 | 4x4 4x4 4",
		.refused =
			"2x3 4x2 4 | 2x3 4x3 3 | 2x3 3 _ | - 4x3 4 | 2x3 4x3 1x4 | 2x3 i5:4x3 4"},
	{.name = "conv2d",
		.call = call_conv2d,
		.reference = plain_conv2d,
		.samples = "2x3x4x5 2x3x2x3 2 #0 | 2x3x4x5 2x3x2x3 _ #0 | "
			   "1x2x5x4 3x2x3x3 3 #1 | 1x2x4x5 3x2x3x3 3 #2 | "
			   "1x4x5x5 4x2x3x3 4 #3 | 1x3x4x4 3x1x2x3 3 #4 | "
			   "1x2x5x6 2x2x2x3 2 #5 | 0x2x3x3 2x2x2x2 2 #0 | "
			   "2x2x3x3 0x2x2x2 0 #0 | 2x0x3x3 2x0x2x2 2 #0 | "
			   "1x1x1x1 1x1x1x1 1 #0 | 2x2x3x3 2x2x3x3 2 #0",
		.refused = "2x3x4x4 2x4x3x3 2 #0 | 2x3x4x4 2x3x3x3 3 #0 | 3x4x4 2x3x3x3 2 #0 | "
			   "2x3x2x2 2x3x3x3 2 #0 | "
			   "2x3x4x4 2x3x3x3 2 #6 | 2x4x4x4 3x2x3x3 3 #7 | 2x3x4x4 i5:2x3x3x3 2 #0 "
			   "| 2x3x4x4 2x3x0x3 2 #0"},
	{.name = "maxpool2d",
		.call = call_maxpool2d,
		.reference = plain_maxpool2d,
		.samples = POOL_SHAPES " | 1x2x4x4 #7 | 1x2x5x5 #8",
		.values = "d",
		.refused = POOL_WRONG,
		.property = pool_conventions,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "avgpool2d",
		.call = call_avgpool2d,
		.reference = plain_avgpool2d,
		.samples = POOL_SHAPES,
		.refused = POOL_WRONG " | 1x1x4x4 #7",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "adaptive_avgpool2d",
		.call = call_adaptive,
		.reference = plain_adaptive,
		.samples = "2x3x4x5 #0 | 1x2x5x5 #1 | 1x2x5x7 #2 | 1x2x3x4 #3 | 0x2x4x4 #1 | "
			   "1x1x1x1 #0 | 2x5x4x4 #1",
		.refused = "3x4x4 #0 | 1x2x0x4 #1 | 1x1x4x4 #4 | i5:1x1x4x4 #0",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = NULL},
};
