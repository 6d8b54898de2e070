/* unpool.c - max unpooling: writes each value to the position of the maximum that max pooling
 * saved, and 0 elsewhere. */
#include "ops/internal.h"

static void unpool_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_pool_gather(v->t, v->gy, v->saved[0], v->attrs));
}
static const ebb_op UNPOOL = {
	.name = "max_unpool2d", .vjp = unpool_vjp, .takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST}};

static bool sizes(ebb_call *c, int64_t height, int64_t width, ebb_pool_shape *s)
{
	const ebb_tensor *x = c->in[0], *index = c->in[1];
	char xs[240], is[240];

	if (x->ndim != 4 || !ebb_same_shape(x, index)) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x and index must have the same shape [N,C,h,w], got x %s, index %s",
			ebb_describe(x, xs, sizeof xs), ebb_describe(index, is, sizeof is));
		return false;
	}
	if (height < 0 || width < 0 || height > INT32_MAX || width > INT32_MAX ||
		height * width > INT32_MAX) {
		ebb_call_fail(c, EBB_INVALID,
			"the result is %lldx%lld; it must have at most 2^31 pixels",
			(long long)height, (long long)width);
		return false;
	}
	*s = (ebb_pool_shape){.n = x->shape[0],
		.c = x->shape[1],
		.h = height,
		.w = width,
		.oh = x->shape[2],
		.ow = x->shape[3]};
	return true;
}

/* Converts the positions to 32 bits for the kernels; fails and returns NULL if one is out of
 * range. */
static ebb_tensor *positions(ebb_call *c, int64_t pixels)
{
	const ebb_tensor *index = c->in[1];
	const int64_t *from = (const int64_t *)(const void *)index->data;
	ebb_tensor *narrow = ebb_new(c, EBB_U8, EBB_SHAPE(index->count, 4), EBB_ROWS);

	for (int64_t i = 0; narrow && i < index->count; i++) {
		if (from[i] < 0 || from[i] >= pixels)
			return ebb_call_fail(c, EBB_INVALID,
				"an index is %lld; it must be from 0 to %lld", (long long)from[i],
				(long long)pixels - 1);
		((int32_t *)(void *)narrow->data)[i] = (int32_t)from[i];
	}
	return narrow;
}

ebb_tensor *(ebb_max_unpool2d)(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, int64_t height,
	int64_t width, const char *site)
{
	ebb_tensor *in[] = {x, index}, *y, *narrow;
	ebb_call c = ebb_begin(t, &UNPOOL, site, 2, in);
	ebb_pool_shape s;

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_dtype(&c, 1, "index", EBB_I64) ||
		!sizes(&c, height, width, &s))
		return NULL;
	narrow = positions(&c, height * width);
	y = narrow ? ebb_new(&c, ebb_dtype_of(in[0]), EBB_SHAPE(s.n, s.c, s.h, s.w),
			     EBB_CHANNELS_LAST)
	           : NULL;
	if (y && y->count)
		RUN(y, maxpool_put, &s, in[0]->data, narrow->data, y->data);
	ebb_save(&c, narrow);
	ebb_attach(&c, &s, sizeof s);
	return ebb_record(&c, y);
}
