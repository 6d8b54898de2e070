/* pool.c - max and average pooling over windows.  Average pooling and its gradient are linear and
 * each other's gradient.  Max pooling saves the position of each maximum for backward. */
#include "ops/fused.h"
#include "ops/geometry.h"

/* ---- max: the gradient is a scatter by the saved index, whose gradient is the gather --------- */

static ebb_tensor *scatter(ebb_tape *t, ebb_tensor *gy, ebb_tensor *index, const ebb_pool_shape *s);

static void scatter_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_pool_gather(v->t, v->gy, v->in[1], v->attrs));
}
static const ebb_op SCATTER = {.name = "maxpool2d_grad",
	.vjp = scatter_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_CHANNELS_LAST, EBB_DENSE}};

static void gather_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, scatter(v->t, v->gy, v->in[1], v->attrs));
}
static const ebb_op GATHER = {.name = "maxpool2d_gather",
	.vjp = gather_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_CHANNELS_LAST, EBB_DENSE}};

static ebb_tensor *scatter(ebb_tape *t, ebb_tensor *gy, ebb_tensor *index, const ebb_pool_shape *s)
{
	ebb_tensor *in[] = {gy, index}, *gx;
	ebb_call c = ebb_begin(t, &SCATTER, NULL, 2, in);

	gx = ebb_new(&c, ebb_dtype_of(in[0]), EBB_SHAPE(s->n, s->c, s->h, s->w), EBB_CHANNELS_LAST);
	if (gx && gx->count)
		RUN(gx, maxpool_scatter, s, in[0]->data, in[1]->data, gx->data);
	ebb_attach(&c, s, sizeof *s);
	return ebb_record(&c, gx);
}

ebb_tensor *ebb_pool_gather(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, const ebb_pool_shape *s)
{
	ebb_tensor *in[] = {x, index}, *y;
	ebb_call c = ebb_begin(t, &GATHER, NULL, 2, in);

	y = ebb_new(
		&c, ebb_dtype_of(in[0]), EBB_SHAPE(s->n, s->c, s->oh, s->ow), EBB_CHANNELS_LAST);
	if (y && y->count)
		RUN(y, maxpool_gather, s, in[0]->data, in[1]->data, y->data);
	ebb_attach(&c, s, sizeof *s);
	return ebb_record(&c, y);
}

static void maxpool2d_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, scatter(v->t, v->gy, v->saved[0], v->attrs));
}
static const ebb_op MAXPOOL2D = {
	.name = "maxpool2d", .vjp = maxpool2d_vjp, .takes = {EBB_CHANNELS_LAST}};
static const ebb_op ADAPTIVE_MAX = {
	.name = "adaptive_maxpool2d", .vjp = maxpool2d_vjp, .takes = {EBB_CHANNELS_LAST}};

/* ---- max(relu(x)), computed as relu(max(x)): ReLU then runs on the smaller pooled image ------ */

/* Where max(x) is not positive, the gradient is 0.  Elsewhere max(x) and max(relu(x)) are at the
 * same position. */
static void relu_maxpool2d_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, scatter(v->t, ebb_relu_grad_of_result(v), v->saved[0], v->attrs));
}

static bool part_relu(const ebb_vjp *v, ebb_tensor *y)
{
	if (!v->in[0])
		return false;
	RUN(y, unary, EBB_UNARY_relu, y->count, v->in[0]->data, y->data, 0, 0);
	return true;
}

/* The first tap of window number o along an axis that is inside the image. */
static int64_t first_tap(int64_t o, int64_t stride, int64_t pad, int64_t dilation)
{
	int64_t at = o * stride - pad;

	return at < 0 ? at + (-at + dilation - 1) / dilation * dilation : at;
}

/* Changes index from the positions of the maxima of x to those of relu(x).  In a window without a
 * positive value relu(x) is 0 throughout, and the first position is its maximum. */
static void rectify_index(const ebb_pool_shape *s, const ebb_tensor *y, void *index)
{
	for (int64_t i = 0; i < y->count; i++) {
		int64_t pixel = i / s->c;
		int64_t at =
			first_tap(pixel / s->ow % s->oh, s->stride_h, s->pad_top, s->dilation_h) *
				s->w +
			first_tap(pixel % s->ow, s->stride_w, s->pad_left, s->dilation_w);
		double value = y->dtype == EBB_F64
		                       ? ((const double *)(const void *)y->data)[i]
		                       : (double)((const float *)(const void *)y->data)[i];

		if (value != 0)
			continue;
		if (s->narrow)
			((uint16_t *)index)[i] = (uint16_t)at;
		else
			((int32_t *)index)[i] = (int32_t)at;
	}
}

static bool part_relu_gradient(const ebb_vjp *v, ebb_tensor *g)
{
	const ebb_pool_shape *s = v->attrs;
	const ebb_tensor *index = v->saved[0];
	ebb_storage *memory = v->out ? ebb_pool_take(&v->t->ctx.pool, (size_t)index->count) : NULL;

	if (!memory)
		return false;
	if (g->count) {
		void *rectified = ebb_storage_data(memory);
		/* A subnormal number that the tape flushes to zero is not a positive maximum. */
		ebb_float_state own = ebb_float_enter(ebb_flushes(g));

		memcpy(rectified, index->data, (size_t)index->count);
		rectify_index(s, v->out, rectified);
		KERNELS(g)->maxpool_scatter(s, v->gy->data, rectified, g->data);
		ebb_float_leave(own);
	}
	ebb_unref(memory);
	return true;
}

static const ebb_part RELU_MAX[] = {{"relu", part_relu, part_relu_gradient}, {.op = "maxpool2d"}};
static const ebb_op RELU_MAXPOOL2D = {.name = "relu_maxpool2d",
	.vjp = relu_maxpool2d_vjp,
	.reads = {EBB_OUT},
	.takes = {EBB_CHANNELS_LAST},
	.parts = RELU_MAX,
	.nparts = 2};

/* ---- The forward passes ---------------------------------------------------------------------- */

/* Widens the saved positions to I64 for the caller's .index. */
static ebb_tensor *positions(ebb_call *c, const ebb_tensor *y, const ebb_tensor *index, bool narrow)
{
	const void *from = index->data;
	ebb_tensor *where = ebb_new(c, EBB_I64, ebb_shape_of(y), EBB_CHANNELS_LAST);

	for (int64_t i = 0; where && i < y->count; i++)
		((int64_t *)(void *)where->data)[i] =
			narrow ? ((const uint16_t *)from)[i] : ((const int32_t *)from)[i];
	return where;
}

/* Finishes a call whose input has been checked.  If over is true, y may overwrite x's memory. */
static ebb_tensor *maximum(ebb_call *c, ebb_pool_shape *s, ebb_tensor **where, bool over)
{
	const ebb_tensor *x = c->in[0];
	ebb_shape shape = EBB_SHAPE(s->n, s->c, s->oh, s->ow);
	bool wanted = c->tracked || where;
	ebb_tensor *y, *index = NULL;

	s->narrow = s->h * s->w <= UINT16_MAX + 1;
	if (over && !wanted && KERNELS(x)->maxpool_goes_over(s))
		y = ebb_new_within(c, 0, shape, EBB_CHANNELS_LAST);
	else
		y = ebb_new(c, ebb_dtype_of(x), shape, EBB_CHANNELS_LAST);
	/* The positions have 16 or 32 bits; a U8 tensor holds them, because there is no such
	 * dtype. */
	if (y && wanted)
		index = ebb_new(c, EBB_U8, EBB_SHAPE(y->count, s->narrow ? 2 : 4), EBB_ROWS);
	if (y && y->count && (index || !wanted))
		RUN(y, maxpool, s, x->data, y->data, index ? index->data : NULL);
	if (y && c->op == &RELU_MAXPOOL2D)
		RUN(y, unary, EBB_UNARY_relu, y->count, y->data, y->data, 0, 0);
	if (index && where)
		*where = positions(c, y, index, s->narrow);
	ebb_save(c, index);
	ebb_attach(c, s, sizeof *s);
	y = ebb_record(c, y);
	if (!y && where)
		*where = NULL;
	return y;
}

/* ---- average --------------------------------------------------------------------------------- */

static ebb_tensor *average_grad(ebb_tape *t, ebb_tensor *gy, const ebb_pool_shape *s);
static void average_vjp(ebb_vjp *v);

static const ebb_op AVGPOOL2D = {
	.name = "avgpool2d", .vjp = average_vjp, .takes = {EBB_CHANNELS_LAST}};
static const ebb_op ADAPTIVE = {
	.name = "adaptive_avgpool2d", .vjp = average_vjp, .takes = {EBB_CHANNELS_LAST}};

static void average_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, average_grad(v->t, v->gy, v->attrs));
}

/* Finishes a call whose input has been checked. */
static ebb_tensor *average(ebb_call *c, const ebb_pool_shape *s)
{
	const ebb_tensor *x = c->in[0];
	ebb_tensor *y =
		ebb_new(c, ebb_dtype_of(x), EBB_SHAPE(s->n, s->c, s->oh, s->ow), EBB_CHANNELS_LAST);

	if (y && y->count)
		RUN(y, avgpool, s, x->data, y->data);
	ebb_attach(c, s, sizeof *s);
	return ebb_record(c, y);
}

static void average_grad_vjp(ebb_vjp *v)
{
	ebb_tensor *gy = v->gy;
	ebb_call c = ebb_begin(v->t, &AVGPOOL2D, NULL, 1, &gy);

	ebb_give(v, 0, average(&c, v->attrs));
}
static const ebb_op AVERAGE_GRAD = {
	.name = "avgpool2d_grad", .vjp = average_grad_vjp, .takes = {EBB_CHANNELS_LAST}};

static ebb_tensor *average_grad(ebb_tape *t, ebb_tensor *gy, const ebb_pool_shape *s)
{
	ebb_call c = ebb_begin(t, &AVERAGE_GRAD, NULL, 1, &gy);
	ebb_tensor *gx =
		ebb_new(&c, ebb_dtype_of(gy), EBB_SHAPE(s->n, s->c, s->h, s->w), EBB_CHANNELS_LAST);

	if (gx && gx->count)
		RUN(gx, avgpool_grad, s, gy->data, gx->data);
	ebb_attach(&c, s, sizeof *s);
	return ebb_record(&c, gx);
}

/* ---- Checks and sizes ------------------------------------------------------------------------ */

static bool is_image(ebb_call *c)
{
	char text[240];

	if (!ebb_check_real(c, 0, "x"))
		return false;
	if (c->in[0]->ndim == 4 && c->in[0]->shape[2] <= INT32_MAX &&
		c->in[0]->shape[3] <= INT32_MAX &&
		c->in[0]->shape[2] * c->in[0]->shape[3] <= INT32_MAX)
		return true;
	ebb_call_fail(c, EBB_BAD_SHAPE, "x must be [N,C,H,W] of at most 2^31 pixels, got %s",
		ebb_describe(c->in[0], text, sizeof text));
	return false;
}

static ebb_tensor *maxpool(const ebb_op *op, const ebb_pool2d_args *a)
{
	ebb_tensor *x = a->x, *y;
	ebb_call c = ebb_begin(a->t, op, a->site, 1, &x);
	ebb_pool_shape s;

	if (a->index)
		*a->index = NULL;
	if (!is_image(&c) || !ebb_pool_geometry(&c, a, &s))
		return NULL;
	if (a->exclude_pad)
		return ebb_call_fail(
			&c, EBB_INVALID, ".exclude_pad is 1, but is for average pooling only");
	y = maximum(&c, &s, a->index, a->inplace);
	if (a->inplace && y)
		ebb_release(a->t, a->x);
	return y;
}

ebb_tensor *(ebb_maxpool2d)(const ebb_pool2d_args *a)
{
	return maxpool(&MAXPOOL2D, a);
}

ebb_tensor *ebb_relu_maxpool2d(const ebb_pool2d_args *a)
{
	ebb_pool2d_args pool = *a;

	if (!ebb_is_unfused(a->t))
		return maxpool(&RELU_MAXPOOL2D, a);
	pool.x = (ebb_relu)(a->t, a->x, a->site);
	pool.inplace = true;
	return maxpool(&MAXPOOL2D, &pool);
}

ebb_tensor *(ebb_avgpool2d)(const ebb_pool2d_args *a)
{
	ebb_tensor *x = a->x;
	ebb_call c = ebb_begin(a->t, &AVGPOOL2D, a->site, 1, &x);
	ebb_pool_shape s;

	if (!is_image(&c) || !ebb_pool_geometry(&c, a, &s))
		return NULL;
	if (s.dilation_h != 1 || s.dilation_w != 1)
		return ebb_call_fail(&c, EBB_INVALID,
			"average pooling has no dilation, got %lldx%lld", (long long)s.dilation_h,
			(long long)s.dilation_w);
	if (a->index)
		return ebb_call_fail(&c, EBB_INVALID,
			".index is set, but is for max pooling only (an average of %lldx%lld has "
			"no position)",
			(long long)s.kh, (long long)s.kw);
	if (a->inplace)
		return ebb_call_fail(&c, EBB_INVALID, ".inplace is 1, but is for max pooling only");
	return average(&c, &s);
}

static bool adaptive_sizes(ebb_call *c, const ebb_adaptive_args *a, ebb_pool_shape *s)
{
	const ebb_tensor *x = c->in[0];
	char text[240];

	*s = (ebb_pool_shape){.n = x->shape[0],
		.c = x->shape[1],
		.h = x->shape[2],
		.w = x->shape[3],
		.kh = 1,
		.kw = 1,
		.stride_h = 1,
		.stride_w = 1,
		.dilation_h = 1,
		.dilation_w = 1,
		.adaptive = true};
	s->oh = ebb_option_hw(a->size, a->size_hw, 0, 1);
	s->ow = ebb_option_hw(a->size, a->size_hw, 1, 1);
	if (s->oh < 1 || s->ow < 1)
		ebb_call_fail(c, EBB_INVALID, "the size %lldx%lld must be positive",
			(long long)s->oh, (long long)s->ow);
	else if (s->h < 1 || s->w < 1)
		ebb_call_fail(c, EBB_BAD_SHAPE, "x has no pixels: %s",
			ebb_describe(x, text, sizeof text));
	return c->t != NULL;
}

ebb_tensor *(ebb_adaptive_avgpool2d)(const ebb_adaptive_args *a)
{
	ebb_tensor *x = a->x;
	ebb_call c = ebb_begin(a->t, &ADAPTIVE, a->site, 1, &x);
	ebb_pool_shape s;

	if (!is_image(&c) || !adaptive_sizes(&c, a, &s))
		return NULL;
	if (a->index)
		return ebb_call_fail(&c, EBB_INVALID,
			".index is set, but is for max pooling only (the %lldx%lld averages have "
			"no position)",
			(long long)s.oh, (long long)s.ow);
	return average(&c, &s);
}

ebb_tensor *(ebb_adaptive_maxpool2d)(const ebb_adaptive_args *a)
{
	ebb_tensor *x = a->x;
	ebb_call c = ebb_begin(a->t, &ADAPTIVE_MAX, a->site, 1, &x);
	ebb_pool_shape s;

	if (a->index)
		*a->index = NULL;
	if (!is_image(&c) || !adaptive_sizes(&c, a, &s))
		return NULL;
	return maximum(&c, &s, a->index, false);
}
