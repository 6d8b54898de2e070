/* attention_composed.c - the gradient of attention composed of matrix products and a softmax. */
#include "ops/attention.h"

/* x [..,H,L,E] as [..,G,H/G*L,E]: with grouped heads, the queries of all heads that share one head
 * of k are the rows of one matrix. */
static ebb_tensor *by_group(ebb_tape *t, ebb_tensor *x, int64_t groups)
{
	ebb_shape s;
	int heads;

	if (!x)
		return NULL;
	s = ebb_shape_of(x);
	heads = s.ndim - 3;
	s.dims[heads + 1] *= s.dims[heads] / groups;
	s.dims[heads] = groups;
	return ebb_reshape(t, x, s);
}

/* The inverse of by_group. */
static ebb_tensor *by_head(ebb_tape *t, ebb_tensor *x, int64_t heads)
{
	ebb_shape s;
	int groups;

	if (!x)
		return NULL;
	s = ebb_shape_of(x);
	groups = s.ndim - 3;
	s.dims[groups + 1] /= heads / s.dims[groups];
	s.dims[groups] = heads;
	return ebb_reshape(t, x, s);
}

static ebb_tensor *transposed(ebb_tape *t, ebb_tensor *x)
{
	return ebb_transpose(t, x, -2, -1);
}

void ebb_attention_composed_grad(ebb_vjp *v)
{
	const ebb_attention_attrs *a = v->attrs;
	ebb_tape *t = v->t;
	ebb_tensor *mask = v->nin > 3 ? v->in[3] : NULL, *scores, *p, *dropped, *g;
	bool grouped = a->grouped;
	int64_t heads = grouped ? ebb_size(v->in[0], -3) : 0;
	int64_t groups = grouped ? ebb_size(v->in[1], -3) : 0;
	ebb_tensor *q = ebb_mul_scalar(t, v->in[0], a->scale), *gy = v->gy;

	if (grouped && !heads)
		return;
	if (grouped) {
		q = by_group(t, q, groups);
		gy = by_group(t, gy, groups);
	}
	if (ebb_failed(t))
		return;
	scores = ebb_matmul(t, q, transposed(t, v->in[1]));
	if (grouped)
		scores = by_head(t, scores, heads);
	if (mask && ebb_is_real(mask))
		scores = ebb_add(t, scores, mask);
	p = ebb_masked_softmax(
		t, scores, mask && !ebb_is_real(mask) ? mask : NULL, a->causal, a->past, NULL);
	dropped = a->dropout > 0 ? ebb_dropout_as(t, p, a->random, a->dropout, NULL) : p;
	if (ebb_failed(t))
		return;
	if (ebb_wants(v, 2))
		ebb_give(v, 2,
			ebb_matmul(t,
				transposed(t, grouped ? by_group(t, dropped, groups) : dropped),
				gy));
	if (!ebb_wants(v, 0) && !ebb_wants(v, 1) && !ebb_wants(v, 3))
		return;
	g = ebb_matmul(t, gy, transposed(t, v->in[2]));
	if (grouped)
		g = by_head(t, g, heads);
	/* The leading axes of v that q, k and the mask lack. */
	if (g && !ebb_same_shape(g, p))
		g = ebb_sum_to(t, g, ebb_shape_of(p));
	if (a->dropout > 0)
		g = ebb_dropout_as(t, g, a->random, a->dropout, NULL);
	g = ebb_softmax_slopes(t, p, g, ebb_ndim(p) - 1);
	if (ebb_failed(t))
		return;
	if (ebb_wants(v, 3))
		ebb_give(v, 3, g);
	if (grouped)
		g = by_group(t, g, groups);
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_matmul(t, transposed(t, g), q));
	if (ebb_wants(v, 0)) {
		g = ebb_matmul(t, g, v->in[1]);
		if (grouped)
			g = by_head(t, g, heads);
		ebb_give(v, 0, ebb_mul_scalar(t, g, a->scale));
	}
}
