/* index.c - picking by index; each pick and its scatter are one another's gradient. */
#include "ops/internal.h"

typedef struct index_attrs {
	int axis;
	int64_t len; /* of x along the axis */
} index_attrs;

/* Indices in range, or the call fails with the first that is not. */
static bool in_range(ebb_call *c, const ebb_tensor *index, int64_t len)
{
	const int64_t *p = (const int64_t *)(const void *)index->data;

	for (int64_t i = 0; i < index->count; i++)
		if (p[i] < 0 || p[i] >= len) {
			ebb_call_fail(c, EBB_INVALID, "index[%lld] is %lld; the axis has %lld",
				(long long)i, (long long)p[i], (long long)len);
			return false;
		}
	return true;
}

typedef void (*index_kernel)(int64_t outer, int64_t len, int64_t inner, int64_t count,
	const void *from, const int64_t *index, void *to);

/* The rest of a pick, its inputs checked: y of that shape, from x = in[0] at index = in[1]. */
static ebb_tensor *pick(ebb_call *c, const index_attrs *k, ebb_shape shape, index_kernel kernel)
{
	const ebb_tensor *x = c->in[0], *index = c->in[1];
	ebb_tensor *y = ebb_new(c, (ebb_dtype)x->dtype, shape, EBB_ROWS);

	if (y && y->count) {
		ebb_around s = ebb_sizes_around(x, k->axis);

		kernel(s.outer, s.len, s.inner, shape.dims[k->axis], x->data,
			(const int64_t *)(const void *)index->data, y->data);
	}
	ebb_attach(c, k, sizeof *k);
	return ebb_record(c, y);
}

/* gx of zeros, len long along the axis, with gy added at the index. */
static ebb_tensor *spread(
	ebb_tape *t, const ebb_op *op, ebb_tensor *gy, ebb_tensor *index, const index_attrs *k);

/* ---- index_select ---------------------------------------------------------------------------- */

static void index_select_grad_vjp(ebb_vjp *v)
{
	const index_attrs *k = v->attrs;

	ebb_give(v, 0, ebb_index_select(v->t, v->gy, k->axis, v->in[1]));
}
static const ebb_op INDEX_SELECT_GRAD = {.name = "index_select_grad",
	.vjp = index_select_grad_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_ROWS, EBB_ROWS}};

static void index_select_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, spread(v->t, &INDEX_SELECT_GRAD, v->gy, v->in[1], v->attrs));
}
static const ebb_op INDEX_SELECT = {.name = "index_select",
	.vjp = index_select_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_ROWS, EBB_ROWS}};

ebb_tensor *(
	ebb_index_select)(ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, const char *site)
{
	ebb_tensor *in[] = {x, index};
	ebb_call c = ebb_begin(t, &INDEX_SELECT, site, 2, in);
	index_attrs k;
	ebb_shape shape;
	char text[240];

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_dtype(&c, 1, "index", EBB_I64) ||
		(k.axis = ebb_check_axis(&c, axis, in[0]->ndim)) < 0)
		return NULL;
	if (in[1]->ndim != 1)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "index must have one axis, got %s",
			ebb_describe(in[1], text, sizeof text));
	k.len = in[0]->shape[k.axis];
	if (!in_range(&c, in[1], k.len))
		return NULL;
	shape = ebb_shape_of(in[0]);
	shape.dims[k.axis] = in[1]->count;
	return pick(&c, &k, shape, KERNELS(in[0])->index_select);
}

/* ---- gather ---------------------------------------------------------------------------------- */

static void gather_grad_vjp(ebb_vjp *v)
{
	const index_attrs *k = v->attrs;

	ebb_give(v, 0, ebb_gather(v->t, v->gy, k->axis, v->in[1]));
}
static const ebb_op GATHER_GRAD = {.name = "gather_grad",
	.vjp = gather_grad_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_ROWS, EBB_ROWS}};

static ebb_tensor *spread(
	ebb_tape *t, const ebb_op *op, ebb_tensor *gy, ebb_tensor *index, const index_attrs *k)
{
	ebb_tensor *in[] = {gy, index}, *gx;
	ebb_call c = ebb_begin(t, op, NULL, 2, in);
	ebb_shape shape;

	if (!c.t)
		return NULL;
	shape = ebb_shape_of(in[0]);
	shape.dims[k->axis] = k->len;
	gx = ebb_new(&c, (ebb_dtype)in[0]->dtype, shape, EBB_ROWS);
	if (gx && gx->count) {
		ebb_around s = ebb_sizes_around(gx, k->axis);
		index_kernel kernel = op == &GATHER_GRAD ? KERNELS(gx)->gather_grad
		                                         : KERNELS(gx)->index_select_grad;

		kernel(s.outer, s.len, s.inner, in[0]->shape[k->axis], in[0]->data,
			(const int64_t *)(const void *)in[1]->data, gx->data);
	}
	ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, gx);
}

ebb_tensor *ebb_gather_grad(ebb_tape *t, ebb_tensor *gy, int axis, ebb_tensor *index, int64_t len)
{
	return spread(t, &GATHER_GRAD, gy, index, &(index_attrs){axis, len});
}

static void gather_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, spread(v->t, &GATHER_GRAD, v->gy, v->in[1], v->attrs));
}
static const ebb_op GATHER = {
	.name = "gather", .vjp = gather_vjp, .reads = {EBB_IN(1)}, .takes = {EBB_ROWS, EBB_ROWS}};

/* x cut down to the index's sizes beside the axis. */
static ebb_tensor *cut_to(
	ebb_tape *t, ebb_tensor *x, const ebb_tensor *index, int axis, const char *site)
{
	for (int i = 0; x && i < x->ndim; i++)
		if (i != axis && index->shape[i] < x->shape[i])
			x = (ebb_slice)(t, x, i, 0, index->shape[i], 1, site);
	return x;
}

ebb_tensor *(ebb_gather)(ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index, const char *site)
{
	ebb_tensor *in[] = {x, index};
	ebb_call c;
	index_attrs k;
	bool fits;
	char a[240], b[240];

	if (!ebb_failed(t) && x && index && x->ndim == index->ndim && axis >= -x->ndim &&
		axis < x->ndim)
		in[0] = cut_to(t, x, index, axis < 0 ? axis + x->ndim : axis, site);
	c = ebb_begin(t, &GATHER, site, 2, in);
	if (!ebb_check_real(&c, 0, "x") || !ebb_check_dtype(&c, 1, "index", EBB_I64) ||
		(k.axis = ebb_check_axis(&c, axis, in[0]->ndim)) < 0)
		return NULL;
	fits = in[1]->ndim == in[0]->ndim;
	for (int i = 0; fits && i < in[0]->ndim; i++)
		fits = i == k.axis || in[1]->shape[i] == in[0]->shape[i];
	if (!fits)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "index %s does not fit x %s beside axis %d",
			ebb_describe(in[1], a, sizeof a), ebb_describe(in[0], b, sizeof b), k.axis);
	k.len = in[0]->shape[k.axis];
	if (!in_range(&c, in[1], k.len))
		return NULL;
	return pick(&c, &k, ebb_shape_of(in[1]), KERNELS(in[0])->gather);
}
