/* join.c - concatenation, stacking, padding. */
#include "ops/internal.h"

/* Copies x into y: along the axis, x begins at position at of y. */
static void lay_in(const ebb_tensor *x, ebb_tensor *y, int axis, int64_t at)
{
	size_t size = ebb_dtype_size((ebb_dtype)x->dtype);

	if (x->count)
		ebb_copy_strided(size, x->ndim, x->shape, x->data, x->strides,
			y->data + at * y->strides[axis] * (int64_t)size, y->strides);
}

/* ---- concat: the gradient of each input is a slice of gy ------------------------------------- */

static void concat_vjp(ebb_vjp *v)
{
	int axis = *(const int *)v->attrs;
	int64_t at = 0;

	for (int k = 0; k < v->nin; k++) {
		int64_t size = ebb_size(v->in[k], axis);

		if (ebb_wants(v, k))
			ebb_give(v, k, ebb_slice(v->t, v->gy, axis, at, at + size, 1));
		at += size;
	}
}
static const ebb_op CONCAT = {.name = "concat",
	.vjp = concat_vjp,
	.takes = {EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED,
		EBB_STRIDED, EBB_STRIDED}};

/* A copy of the list x, because ebb_begin may replace its elements. */
static ebb_tensor **own_list(
	ebb_tape *t, int n, ebb_tensor *const *x, const char *op, const char *site)
{
	ebb_tensor **list;

	if (ebb_failed(t))
		return NULL;
	if (n < 1 || !x) {
		ebb_fail(t, EBB_INVALID, site, "%s: needs at least one tensor, got %d", op, n);
		return NULL;
	}
	list = ebb_arena_take(&t->ctx.arena, (size_t)n * sizeof *list);
	if (!list)
		ebb_no_memory(t, site, "a list of tensors", (size_t)n * sizeof *list);
	else
		memcpy(list, x, (size_t)n * sizeof *list);
	return list;
}

static bool concat_shape(ebb_call *c, int axis, ebb_shape *shape)
{
	char a[240], b[240];

	*shape = ebb_shape_of(c->in[0]);
	for (int k = 1; k < c->nin; k++) {
		const ebb_tensor *x = c->in[k];
		bool fits = x->ndim == shape->ndim && x->dtype == c->in[0]->dtype;

		for (int i = 0; fits && i < x->ndim; i++)
			fits = i == axis || x->shape[i] == shape->dims[i];
		if (!fits || __builtin_add_overflow(
				     shape->dims[axis], x->shape[axis], &shape->dims[axis])) {
			ebb_call_fail(c, EBB_BAD_SHAPE,
				"x[%d] is %s, x[0] is %s; they may differ in axis %d only", k,
				ebb_describe(x, a, sizeof a), ebb_describe(c->in[0], b, sizeof b),
				axis);
			return false;
		}
	}
	return true;
}

ebb_tensor *(ebb_concat)(ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site)
{
	ebb_tensor **in = own_list(t, n, x, "concat", site), *y;
	ebb_call c;
	ebb_shape shape;
	bool channels_last;
	int64_t at = 0;

	if (!in)
		return NULL;
	c = ebb_begin(t, &CONCAT, site, n, in);
	if (!c.t || (axis = ebb_check_axis(&c, axis, in[0]->ndim)) < 0 ||
		!concat_shape(&c, axis, &shape))
		return NULL;
	channels_last = in[0]->ndim >= 4 && ((in[0]->flags & EBB_F_CHANNELS_LAST) ||
						    ebb_order_kept(in[0]) == EBB_CHANNELS_LAST);
	y = ebb_new(
		&c, (ebb_dtype)in[0]->dtype, shape, channels_last ? EBB_CHANNELS_LAST : EBB_ROWS);
	for (int k = 0; y && k < n; k++) {
		lay_in(in[k], y, axis, at);
		at += in[k]->shape[axis];
	}
	ebb_attach(&c, &axis, sizeof axis);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_stack)(ebb_tape *t, int n, ebb_tensor *const *x, int axis, const char *site)
{
	ebb_tensor **in = own_list(t, n, x, "stack", site);
	char a[240], b[240];

	if (!in)
		return NULL;
	for (int k = 0; k < n; k++) {
		if (!in[k])
			return ebb_fail(t, EBB_INVALID, site, "stack: input %d is NULL", k);
		if (!ebb_same_shape(in[k], x[0]) || in[k]->dtype != x[0]->dtype)
			return ebb_fail(t, EBB_BAD_SHAPE, site, "stack: x[%d] is %s, x[0] is %s", k,
				ebb_describe(in[k], a, sizeof a), ebb_describe(x[0], b, sizeof b));
	}
	if (axis < -x[0]->ndim - 1 || axis > x[0]->ndim || x[0]->ndim == EBB_MAX_DIMS)
		return ebb_fail(t, EBB_INVALID, site, "stack: cannot insert axis %d into %s", axis,
			ebb_describe(x[0], a, sizeof a));
	if (axis < 0)
		axis += x[0]->ndim + 1;
	for (int k = 0; k < n; k++)
		in[k] = (ebb_unsqueeze)(t, in[k], axis, site);
	return (ebb_concat)(t, n, in, axis, site);
}

/* ---- pad ------------------------------------------------------------------------------------- */

/* Constant padding: y is x between margins of a constant.  A negative pad crops, so the gradient is
 * gy padded by the negated pads. */
static void pad_vjp(ebb_vjp *v)
{
	ebb_pads back = *(const ebb_pads *)v->attrs;

	for (int i = 0; i < back.n; i++)
		back.pad[i] = -back.pad[i];
	ebb_give(v, 0, ebb_pad(v->t, v->gy, back));
}
static const ebb_op PAD = {
	.name = "pad", .vjp = pad_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static ebb_tensor *bad_pads(ebb_call *c, ebb_tensor *x, int axis, int64_t before, int64_t after)
{
	char text[240];

	return ebb_call_fail(c, EBB_BAD_SHAPE, "%s cannot be padded by %lld and %lld along axis %d",
		ebb_describe(x, text, sizeof text), (long long)before, (long long)after, axis);
}

static ebb_tensor *pad_constant(ebb_call *c, ebb_tensor *x, const ebb_pads *pads, double value)
{
	ebb_shape shape = ebb_shape_of(x), part = shape;
	int64_t from = 0, to = 0, whole = 0, begin[EBB_MAX_DIMS] = {0};
	ebb_tensor *y;
	size_t size = ebb_dtype_size((ebb_dtype)x->dtype);

	for (int i = 0; i < pads->n / 2; i++) {
		int axis = x->ndim - 1 - i;
		int64_t before = pads->pad[2 * i], after = pads->pad[2 * i + 1];

		if (__builtin_add_overflow(shape.dims[axis], before, &shape.dims[axis]) ||
			__builtin_add_overflow(shape.dims[axis], after, &shape.dims[axis]) ||
			shape.dims[axis] < 0)
			return bad_pads(c, x, axis, before, after);
		begin[axis] = before;
		part.dims[axis] += (before < 0 ? before : 0) + (after < 0 ? after : 0);
		if (part.dims[axis] < 0)
			part.dims[axis] = 0; /* the pads crop all of x */
	}
	if (!ebb_is_real(x) && !ebb_check_integer(c, "value", value, ebb_range_of(x), &whole))
		return NULL;
	y = ebb_new(c, (ebb_dtype)x->dtype, shape, ebb_order_kept(x));
	if (!y || !y->count)
		return y;
	if (ebb_is_real(y))
		RUN(y, fill, y->count, value, y->data);
	else
		INTEGERS(y)->fill(y->count, whole, y->data);
	for (int i = 0; i < x->ndim; i++) {
		if (part.dims[i] == 0)
			return y;
		from += (begin[i] < 0 ? -begin[i] : 0) * x->strides[i];
		to += (begin[i] > 0 ? begin[i] : 0) * y->strides[i];
	}
	ebb_copy_strided(size, x->ndim, part.dims, x->data + from * (int64_t)size, x->strides,
		y->data + to * (int64_t)size, y->strides);
	return y;
}

/* The position of x along an axis that position i of the padded axis is copied from; i may be
 * negative or >= size. */
static int64_t source_of(int64_t i, int64_t size, ebb_pad_mode mode)
{
	if (mode == EBB_PAD_REPLICATE)
		return i < 0 ? 0 : i >= size ? size - 1 : i;
	if (mode == EBB_PAD_CIRCULAR)
		return i < 0 ? i + size : i >= size ? i - size : i;
	return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
}

/* The other modes are an index_select along each axis in turn.  A negative pad crops.
 * EBB_PAD_REFLECT and EBB_PAD_REPLICATE may still read the cropped elements; EBB_PAD_CIRCULAR
 * repeats only the elements that are left. */
static ebb_tensor *pad_by_index(ebb_call *c, ebb_tensor *x, const ebb_pads *pads, ebb_pad_mode mode)
{
	ebb_tape *t = c->t;
	ebb_tensor *y = x;

	for (int i = 0; i < pads->n / 2; i++) {
		int axis = x->ndim - 1 - i;
		int64_t before = pads->pad[2 * i], after = pads->pad[2 * i + 1],
			size = x->shape[axis], first = 0, wide, limit;
		ebb_tensor *index;

		if (before < -size || after < -size)
			return bad_pads(c, x, axis, before, after);
		wide = size + (before < 0 ? before : 0) + (after < 0 ? after : 0);
		if (mode == EBB_PAD_CIRCULAR) {
			first = before < 0 ? -before : 0;
			size = wide;
		}
		limit = mode == EBB_PAD_REFLECT    ? size - 1
		        : mode == EBB_PAD_CIRCULAR ? size
		                                   : INT64_MAX / 4;
		if (size < 1 || before > limit || after > limit)
			return bad_pads(c, x, axis, before, after);
		wide += (before > 0 ? before : 0) + (after > 0 ? after : 0);
		if (wide < 1)
			return bad_pads(c, x, axis, before, after);
		index = (ebb_arange)(t, wide, c->site);
		for (int64_t k = 0; index && k < wide; k++)
			((int64_t *)(void *)index->data)[k] =
				first + source_of(k - before - first, size, mode);
		y = (ebb_index_select)(t, y, axis, index, c->site);
	}
	return y;
}

ebb_tensor *(ebb_pad)(const ebb_pad_args *a)
{
	ebb_tensor *x = a->x, *y;
	ebb_call c = ebb_begin(a->t, &PAD, a->site, 1, &x);
	char text[240];

	if (!c.t)
		return NULL;
	if (a->pads.n < 0 || a->pads.n % 2 || a->pads.n / 2 > x->ndim)
		return ebb_call_fail(&c, EBB_INVALID,
			"%d pads for %s: expected two per axis, last axis first", a->pads.n,
			ebb_describe(x, text, sizeof text));
	if (a->mode == EBB_PAD_REFLECT || a->mode == EBB_PAD_REPLICATE ||
		a->mode == EBB_PAD_CIRCULAR)
		return pad_by_index(&c, x, &a->pads, a->mode);
	if (a->mode != EBB_PAD_CONSTANT)
		return ebb_call_fail(
			&c, EBB_INVALID, "mode %d is not an ebb_pad_mode", (int)a->mode);
	y = pad_constant(&c, x, &a->pads, a->value);
	ebb_attach(&c, &a->pads, sizeof a->pads);
	return ebb_record(&c, y);
}
