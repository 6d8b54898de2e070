/* compute.c - the checks that most ops make, and broadcasting. */
#include "autograd/compute.h"

/* ---- Checks ---------------------------------------------------------------------------------- */

bool ebb_check_real(ebb_call *c, int k, const char *name)
{
	char text[240];

	if (!c->t)
		return false;
	if (!c->in[k] || ebb_is_real(c->in[k]))
		return true;
	ebb_call_fail(c, EBB_BAD_DTYPE, "%s must be F32 or F64, got %s", name,
		ebb_describe(c->in[k], text, sizeof text));
	return false;
}

bool ebb_check_same_type(ebb_call *c, int i, const char *a, int j, const char *b)
{
	char x[240], y[240];

	assert(c->t);
	if (!c->in[i] || !c->in[j] || c->in[i]->dtype == c->in[j]->dtype)
		return true;
	ebb_call_fail(c, EBB_BAD_DTYPE, "%s is %s, %s is %s; expected the same type", a,
		ebb_describe(c->in[i], x, sizeof x), b, ebb_describe(c->in[j], y, sizeof y));
	return false;
}

bool ebb_given(ebb_tape *t, const ebb_tensor *x, const char *op, const char *site)
{
	if (ebb_failed(t))
		return false;
	if (!x)
		ebb_fail(t, EBB_INVALID, site, "%s: input 0 is NULL", op);
	return x && !ebb_refuses_stale(t, x, op, site);
}

/* ---- Broadcasting ---------------------------------------------------------------------------- */

ebb_tensor *ebb_new_broadcast(ebb_call *c, const ebb_shape *shape, int first)
{
	for (int k = first; k < c->nin; k++) {
		ebb_tensor *x = c->in[k];
		bool full = x->ndim == shape->ndim && (x->flags & EBB_F_DENSE);

		for (int i = 0; full && i < x->ndim; i++)
			full = x->shape[i] == shape->dims[i];
		if (full)
			return ebb_new_like(c, x);
	}
	return ebb_new(c, (ebb_dtype)c->in[first]->dtype, *shape, EBB_ROWS);
}

ebb_tensor *ebb_shapes_differ(ebb_call *c)
{
	char a[240], b[240];

	return ebb_call_fail(c, EBB_BAD_SHAPE, "shapes do not broadcast: %s and %s",
		ebb_describe(c->in[0], a, sizeof a), ebb_describe(c->in[1], b, sizeof b));
}

ebb_tensor *ebb_binary_result(ebb_call *c, ebb_binary_fn f, double p)
{
	ebb_tensor *a, *b, *y;
	int64_t as[EBB_MAX_DIMS], bs[EBB_MAX_DIMS];
	ebb_shape shape;

	if (!c->t || !ebb_check_same_type(c, 0, "a", 1, "b"))
		return NULL;
	a = c->in[0];
	b = c->in[1];
	if (ebb_is_real(a) && ebb_same_memory(a, b)) {
		y = ebb_new_like(c, a);
		if (y)
			RUN(y, binary, f, y->count, a->data, b->data, y->data, p);
		return y;
	}
	if (!ebb_broadcast_shape(2, c->in, &shape))
		return ebb_shapes_differ(c);
	y = ebb_new_broadcast(c, &shape, 0);
	if (!y)
		return NULL;
	ebb_broadcast_strides(a, &shape, as);
	ebb_broadcast_strides(b, &shape, bs);
	if (!ebb_is_real(a)) {
		if (!INTEGERS(a)->binary_strided(
			    f, y->ndim, y->shape, a->data, as, b->data, bs, y->data, y->strides))
			ebb_check_real(c, 0, "a");
		return c->t ? y : NULL;
	}
	if (y->count)
		RUN(y, binary_strided, f, y->ndim, y->shape, a->data, as, b->data, bs, y->data,
			y->strides, p);
	return y;
}
