/* sort.c - sort, argsort and topk: the positions are computed first, the values are read there. */
#include "ops/internal.h"

/* The gradient goes back to the positions that the values were read from. */
static void sort_vjp(ebb_vjp *v)
{
	int axis = *(const int *)v->attrs;

	ebb_give(v, 0, ebb_gather_grad(v->t, v->gy, axis, v->saved[0], ebb_size(v->in[0], axis)));
}
static const ebb_op SORT = {.name = "sort", .vjp = sort_vjp, .takes = {EBB_ROWS}};
static const ebb_op TOPK = {.name = "topk", .vjp = sort_vjp, .takes = {EBB_ROWS}};
/* Without a vjp: an x that requires a gradient is an error. */
static const ebb_op ARGSORT = {.name = "argsort", .takes = {EBB_ROWS}};

/* The positions of the first count elements along the axis, in order. */
static ebb_tensor *positions(
	ebb_call *c, const ebb_tensor *x, int axis, int64_t count, bool descending)
{
	ebb_shape shape = ebb_shape_of(x);
	ebb_around s = ebb_sizes_around(x, axis);
	ebb_tensor *index;
	size_t bytes;
	void *ws;

	shape.dims[axis] = count;
	index = ebb_new(c, EBB_I64, shape, EBB_ROWS);
	if (!index || !index->count)
		return index;
	bytes = ebb_sort_workspace(s.outer * s.inner, count);
	if (!bytes)
		return ebb_call_fail(
			c, EBB_NO_MEMORY, "no memory to sort %lld elements", (long long)count);
	ws = ebb_scratch(c, bytes);
	if (!ws)
		return NULL;
	ebb_sort_index(ebb_element_of(x), descending, s.outer, s.len, s.inner, count, x->data,
		(int64_t *)(void *)index->data, ws);
	return index;
}

/* The one axis in axes, by default the last; -1 after an error. */
static int axis_in(ebb_call *c, ebb_axes axes, int ndim)
{
	if (axes.n > 1 || axes.n < 0) {
		ebb_call_fail(c, EBB_INVALID, "axes has %d axes; expected one", axes.n);
		return -1;
	}
	return ebb_check_axis(c, axes.n ? axes.axis[0] : -1, ndim);
}

/* The first count elements of x along the axis, in order; -1: all. */
static ebb_tensor *sorted(const ebb_op *op, ebb_tape *t, ebb_tensor *x, ebb_axes axes,
	int64_t count, bool descending, ebb_tensor **where, const char *site)
{
	ebb_tensor *index, *y;
	int axis;
	ebb_call c;
	char text[240];

	if (where)
		*where = NULL;
	c = ebb_begin(t, op, site, 1, &x);
	if (!c.t || (axis = axis_in(&c, axes, x->ndim)) < 0)
		return NULL;
	if (op == &TOPK && (count < 1 || count > x->shape[axis]))
		return ebb_call_fail(&c, EBB_INVALID, "k is %lld; axis %d of %s has size %lld",
			(long long)count, axis, ebb_describe(x, text, sizeof text),
			(long long)x->shape[axis]);
	count = op == &TOPK ? count : x->shape[axis];
	index = positions(&c, x, axis, count, descending);
	if (!index || op == &ARGSORT)
		return ebb_record(&c, index);
	y = ebb_new(&c, (ebb_dtype)x->dtype, ebb_shape_of(index), EBB_ROWS);
	if (y && y->count) {
		ebb_around s = ebb_sizes_around(x, axis);

		ebb_gather_kernel(x)(s.outer, s.len, s.inner, count, x->data,
			(const int64_t *)(const void *)index->data, y->data);
	}
	if (where && y)
		*where = ebb_new_view(&c, index, ebb_shape_of(index), index->strides, 0);
	ebb_attach(&c, &axis, sizeof axis);
	ebb_save(&c, index);
	y = ebb_record(&c, y);
	if (where && !y)
		*where = NULL;
	return y;
}

ebb_tensor *(ebb_sort)(const ebb_sort_args *a)
{
	return sorted(&SORT, a->t, a->x, a->axes, -1, a->descending, a->index, a->site);
}

ebb_tensor *(ebb_argsort)(const ebb_argsort_args *a)
{
	return sorted(&ARGSORT, a->t, a->x, a->axes, -1, a->descending, NULL, a->site);
}

ebb_tensor *(ebb_topk)(const ebb_topk_args *a)
{
	return sorted(&TOPK, a->t, a->x, a->axes, a->k, !a->smallest, a->index, a->site);
}
