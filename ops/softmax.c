/* softmax.c - softmax and log-softmax along one axis, and masked softmax for attention. */
#include "ops/internal.h"

/* The fused gradients, for backward passes without create_graph. */
static const ebb_op FUSED = {
	.name = "softmax_grad", .vjp = ebb_zero_vjp, .takes = {EBB_ROWS, EBB_ROWS}};

static ebb_tensor *fused_grad(ebb_vjp *v, int axis, bool logarithm)
{
	ebb_tensor *in[] = {v->gy, v->out}, *gx;
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 2, in);

	if (!c.t)
		return NULL;
	gx = ebb_new_like(&c, in[1]);
	if (gx && gx->count) {
		ebb_around s = ebb_sizes_around(gx, axis);

		if (logarithm)
			RUN(gx, log_softmax_grad, s.outer, s.len, s.inner, in[0]->data, in[1]->data,
				gx->data);
		else
			RUN(gx, softmax_grad, s.outer, s.len, s.inner, in[0]->data, in[1]->data,
				gx->data);
	}
	return ebb_record(&c, gx);
}

ebb_tensor *ebb_at_largest(ebb_tape *t, ebb_tensor *x, ebb_tensor *y, int axis)
{
	ebb_tensor *index = ebb_argmax(t, ebb_detach(t, y), axis);

	return ebb_gather(t, ebb_detach(t, x), axis, ebb_unsqueeze(t, index, axis));
}

/* Because sum y = 1, subtracting a constant from gy does not change gx.  The constant is gy where y
 * is largest, so that no digits cancel there. */
ebb_tensor *ebb_softmax_slopes(ebb_tape *t, ebb_tensor *y, ebb_tensor *gy, int axis)
{
	ebb_tensor *dot;

	if (ebb_count(gy))
		gy = ebb_sub(t, gy, ebb_at_largest(t, gy, y, axis));
	dot = ebb_sum(t, ebb_mul(t, gy, y), EBB_AXES(axis), .keepdim = true);
	return ebb_mul(t, y, ebb_sub(t, gy, dot));
}

static void softmax_vjp(ebb_vjp *v)
{
	int axis = *(const int *)v->attrs;

	ebb_give(v, 0,
		v->recording ? ebb_softmax_slopes(v->t, v->out, v->gy, axis)
			     : fused_grad(v, axis, false));
}
static const ebb_op SOFTMAX = {
	.name = "softmax", .vjp = softmax_vjp, .reads = {EBB_OUT}, .takes = {EBB_ROWS}};

/* gx = gy - exp(y)*sum gy.  Because sum exp(y) = 1, subtracting a multiple of exp(y) from gy does
 * not change gx.  The multiple makes gy 0 where exp(y) is nearly 1, so that no digits cancel
 * there. */
static void log_softmax_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *g = v->gy, *y = v->out, *total;
	int axis = *(const int *)v->attrs;

	if (!v->recording) {
		ebb_give(v, 0, fused_grad(v, axis, true));
		return;
	}
	if (ebb_count(g)) {
		ebb_tensor *largest = ebb_at_largest(t, y, y, axis);
		ebb_tensor *above_half = ebb_mask(t, EBB_UNARY_step, largest, -0.693, 0, NULL);
		ebb_tensor *of = ebb_mul(t, ebb_at_largest(t, g, y, axis), above_half);

		largest = ebb_clamp(t, largest, -1, 0); /* avoids infinity - infinity */
		g = ebb_sub(t, g, ebb_mul(t, ebb_exp(t, ebb_sub(t, y, largest)), of));
	}
	total = ebb_sum(t, g, EBB_AXES(axis), .keepdim = true);
	ebb_give(v, 0, ebb_sub(t, g, ebb_mul(t, ebb_exp(t, y), total)));
}
static const ebb_op LOG_SOFTMAX = {
	.name = "log_softmax", .vjp = log_softmax_vjp, .reads = {EBB_OUT}, .takes = {EBB_ROWS}};

static ebb_tensor *along(ebb_tape *t, const ebb_op *op, ebb_tensor *x, int axis, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y;

	if (!ebb_check_real(&c, 0, "x") || (axis = ebb_check_axis(&c, axis, x->ndim)) < 0)
		return NULL;
	y = ebb_new_like(&c, x);
	if (y && y->count) {
		ebb_around s = ebb_sizes_around(x, axis);

		if (op == &SOFTMAX)
			RUN(y, softmax, s.outer, s.len, s.inner, x->data, y->data);
		else
			RUN(y, log_softmax, s.outer, s.len, s.inner, x->data, y->data);
	}
	ebb_attach(&c, &axis, sizeof axis);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_softmax)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	return along(t, &SOFTMAX, x, axis, site);
}

ebb_tensor *(ebb_log_softmax)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	return along(t, &LOG_SOFTMAX, x, axis, site);
}

/* ---- Masked ---------------------------------------------------------------------------------- */

/* One op, so that the -infinity of masked elements is never a tensor on the tape.  The output is 0
 * where masked, and softmax_vjp then makes the gradient 0 there. */
static const ebb_op MASKED_SOFTMAX = {.name = "masked_softmax",
	.vjp = softmax_vjp,
	.reads = {EBB_OUT},
	.optional = EBB_IN(1),
	.takes = {EBB_ROWS, EBB_STRIDED}};

/* y = mask != 0 ? x : -inf.  The caller has checked the shapes. */
static void fill_masked(const ebb_tensor *x, const ebb_tensor *mask, ebb_tensor *y)
{
	const double infinity = -INFINITY;
	const float infinity_f32 = -INFINITY;
	int64_t ms[EBB_MAX_DIMS], none[EBB_MAX_DIMS] = {0};
	int lead = x->ndim - mask->ndim;

	for (int i = 0; i < x->ndim; i++)
		ms[i] = i < lead || mask->shape[i - lead] == 1 ? 0 : mask->strides[i - lead];
	RUN(y, where_strided, y->ndim, y->shape, mask->data,
		(int)ebb_dtype_size((ebb_dtype)mask->dtype), ms, x->data, x->strides,
		y->dtype == EBB_F64 ? (const void *)&infinity : (const void *)&infinity_f32, none,
		y->data, y->strides);
}

/* Sets y to -inf where key j > query i + past. */
static void fill_future(ebb_tensor *y, int64_t past)
{
	int64_t queries = y->shape[y->ndim - 2], keys = y->shape[y->ndim - 1];

	for (int64_t row = 0; row < y->count / keys; row++) {
		int64_t from = row % queries + 1;

		if (past < keys && (from += past) < keys)
			RUN(y, fill, keys - from, -INFINITY,
				y->data + (row * keys + from) * (int64_t)KERNELS(y)->real_size);
	}
}

ebb_tensor *ebb_masked_softmax(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *mask, bool causal, int64_t past, const char *site)
{
	ebb_tensor *in[] = {x, mask}, *y;
	ebb_call c = ebb_begin(t, &MASKED_SOFTMAX, site, 2, in);
	int axis;

	if (!c.t)
		return NULL;
	axis = in[0]->ndim - 1;
	y = ebb_new_like(&c, in[0]);
	if (y && y->count) {
		ebb_around s = ebb_sizes_around(y, axis);

		if (in[1])
			fill_masked(in[0], in[1], y);
		else
			memcpy(y->data, in[0]->data, (size_t)y->count * KERNELS(y)->real_size);
		if (causal)
			fill_future(y, past);
		RUN(y, softmax, s.outer, s.len, s.inner, y->data, y->data);
	}
	ebb_attach(&c, &axis, sizeof axis);
	return ebb_record(&c, y);
}
