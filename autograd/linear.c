/*
 * linear.c - the linear ops that gradients themselves need.
 *
 * The sweep sums, reorders and copies gradients with these ops.  The vjps of these ops use only ops
 * of this file, so that their derivatives of any order need no op of ops/.  The vjps of add, expand
 * and dense pass gy to ebb_give; the sweep sums gy with sum_to if the input was broadcast.  The vjp
 * of sum_to expands gy; the vjp of copy copies gy.
 */
#include "autograd/compute.h"

/* ---- add ------------------------------------------------------------------------------------- */

static void add_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
	ebb_give(v, 1, v->gy);
}
static const ebb_op ADD = {
	.name = "add", .vjp = add_vjp, .takes = {EBB_STRIDED, EBB_STRIDED}, .gy_strided = true};

ebb_tensor *ebb_linear_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	ebb_tensor *in[] = {a, b};
	ebb_call c = ebb_begin(t, &ADD, site, 2, in);

	return ebb_record(&c, ebb_binary_result(&c, EBB_BINARY_add, 0));
}

void ebb_linear_accumulate(ebb_tensor *y, const ebb_tensor *x)
{
	RUN(x, axpy, y->count, 1.0, x->data, y->data);
}

/* ---- expand: a view of stride 0 -------------------------------------------------------------- */

static void expand_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
}
static const ebb_op EXPAND = {
	.name = "expand", .vjp = expand_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

ebb_tensor *ebb_linear_expand(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site)
{
	ebb_call c = ebb_begin(t, &EXPAND, site, 1, &x);
	int64_t strides[EBB_MAX_DIMS];
	ebb_shape wanted = shape;
	int lead;
	char a[240], b[240];

	if (!c.t)
		return NULL;
	lead = shape.ndim - x->ndim;
	for (int i = 0; lead >= 0 && shape.ndim <= EBB_MAX_DIMS && i < shape.ndim; i++) {
		bool exists = i >= lead, one = exists && x->shape[i - lead] == 1;

		if (exists && shape.dims[i] == -1)
			shape.dims[i] = x->shape[i - lead];
		if (shape.dims[i] < 0 || (exists && !one && shape.dims[i] != x->shape[i - lead]))
			lead = -1;
		else
			strides[i] =
				exists && (!one || shape.dims[i] == 1) ? x->strides[i - lead] : 0;
	}
	if (lead < 0 || shape.ndim > EBB_MAX_DIMS)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "%s does not broadcast to %s",
			ebb_describe(x, a, sizeof a),
			wanted.ndim >= 0 && wanted.ndim <= EBB_MAX_DIMS
				? ebb_shape_text(wanted, b, sizeof b)
				: "?");
	return ebb_record(&c, ebb_new_view(&c, x, shape, strides, 0));
}

/* ---- sum_to: x summed to a shape that broadcasts to x's -------------------------------------- */

static void sum_to_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_linear_expand(v->t, v->gy, ebb_shape_of(v->in[0]), NULL));
}
static const ebb_op SUM_TO = {
	.name = "sum_to", .vjp = sum_to_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

/* Whether the shape broadcasts to x's.  *changes: the two shapes differ. */
static bool sums_to(const ebb_tensor *x, const ebb_shape *shape, bool *changes)
{
	int lead = x->ndim - shape->ndim;

	*changes = lead > 0;
	if (lead < 0 || shape->ndim < 0)
		return false;
	for (int i = lead; i < x->ndim; i++) {
		int64_t wanted = shape->dims[i - lead];

		if (wanted != 1 && wanted != x->shape[i])
			return false;
		*changes |= wanted != x->shape[i];
	}
	return true;
}

ebb_tensor *ebb_linear_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site)
{
	int64_t strides[EBB_MAX_DIMS];
	ebb_shape from;
	ebb_tensor *y;
	ebb_call c;
	bool changes;
	char a[240], b[240];

	if (!ebb_given(t, x, SUM_TO.name, site))
		return NULL;
	c = (ebb_call){.t = t, .op = &SUM_TO, .site = site, .nin = 1, .in = &x};
	if (!ebb_check_real(&c, 0, "x"))
		return NULL;
	if (!sums_to(x, &shape, &changes))
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "%s does not sum to %s",
			ebb_describe(x, a, sizeof a),
			shape.ndim >= 0 && shape.ndim <= EBB_MAX_DIMS
				? ebb_shape_text(shape, b, sizeof b)
				: "?");
	if (!changes)
		return x;
	c = ebb_begin(t, &SUM_TO, site, 1, &x);
	y = c.t ? ebb_new(&c, (ebb_dtype)x->dtype, shape, EBB_ROWS) : NULL;
	if (y) {
		from = ebb_shape_of(x);
		ebb_broadcast_strides(y, &from, strides);
		RUN(y, reduce, EBB_REDUCE_SUM, x->ndim, x->shape, x->data, x->strides, y->data,
			strides, 1.0);
	}
	return ebb_record(&c, y);
}

/* ---- dense: x copied to a given memory order without gaps ------------------------------------ */

static void dense_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
}
static const ebb_op DENSE = {
	.name = "dense", .vjp = dense_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static ebb_tensor *copy_to(ebb_call *c, ebb_tensor *x, ebb_tensor *y)
{
	if (y && y->count)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)x->dtype), x->ndim, x->shape, x->data,
			x->strides, y->data, y->strides);
	return ebb_record(c, y);
}

ebb_tensor *ebb_linear_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site)
{
	ebb_call c = ebb_begin(t, &DENSE, site, 1, &x);
	uint16_t flag = ebb_order_flag(order);

	if ((unsigned)order > EBB_STRIDED)
		return ebb_call_fail(
			&c, EBB_INVALID, "%d is not a memory order (ebb_order)", (int)order);
	if (!c.t || !flag || (x->flags & flag))
		return c.t ? x : NULL;
	if (order == EBB_DENSE)
		return copy_to(&c, x, ebb_new_like(&c, x));
	return copy_to(&c, x, ebb_new(&c, (ebb_dtype)x->dtype, ebb_shape_of(x), order));
}

ebb_tensor *ebb_linear_dense_like(
	ebb_tape *t, ebb_tensor *x, const ebb_tensor *like, const char *site)
{
	ebb_call c = ebb_begin(t, &DENSE, site, 1, &x);

	if (!c.t)
		return NULL;
	if (ebb_same_memory(x, like))
		return x;
	return copy_to(&c, x, ebb_new_like(&c, like));
}

/* ---- copy ------------------------------------------------------------------------------------ */

static void copy_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_linear_copy(v->t, v->gy, NULL));
}
static const ebb_op COPY = {.name = "copy", .vjp = copy_vjp};

/* Multiplies by 1 instead of copying bytes: subnormal numbers are then flushed to zero as by an
 * addition, if the tape flushes them. */
ebb_tensor *ebb_linear_copy(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_call c = ebb_begin(t, &COPY, site, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	if (y)
		RUN(y, unary, EBB_UNARY_mul_scalar, y->count, x->data, y->data, 1.0, 0);
	return ebb_record(&c, y);
}

/* ---- full: a constant, which has no derivative ----------------------------------------------- */

static const ebb_op FULL = {.name = "full"};

ebb_tensor *ebb_linear_full_like(ebb_tape *t, const ebb_tensor *x, double value, const char *site)
{
	ebb_call c;
	ebb_tensor *y;

	if (!ebb_given(t, x, "full_like", site))
		return NULL;
	c = ebb_begin(t, &FULL, site, 0, NULL);
	y = ebb_new_like(&c, x);
	if (y && !ebb_is_real(y))
		INTEGERS(y)->fill(y->count, (int64_t)value, y->data);
	else if (y)
		STORE(y, fill, y->count, value, y->data);
	return y;
}
