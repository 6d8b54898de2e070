/* index.c - index_select, gather, scatter_add and embedding.  Reading by index and scatter-add are
 * each other's gradient. */
#include "ops/internal.h"

typedef struct index_attrs {
	int axis;
	int64_t len; /* of x along the axis */
} index_attrs;

static bool in_range(ebb_call *c, const ebb_tensor *index, int64_t len)
{
	return ebb_check_index(c, index, "axis", len);
}

/* Finishes a call whose inputs have been checked: y of the given shape is read from x = in[0] at
 * index = in[1]. */
static ebb_tensor *pick(ebb_call *c, const index_attrs *k, ebb_shape shape, ebb_index_kernel kernel)
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

/* gx of zeros, of size k->len along the axis, with gy added at the positions in index. */
static ebb_tensor *spread(ebb_tape *t, const ebb_op *op, ebb_tensor *gy, ebb_tensor *index,
	const index_attrs *k, const char *site);

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
	const index_attrs *k = v->attrs;

	if (!ebb_give_part(v, 0, v->gy, (ebb_selection){.axis = k->axis, .index = v->in[1]}))
		ebb_give(v, 0, spread(v->t, &INDEX_SELECT_GRAD, v->gy, v->in[1], k, NULL));
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

	if (!ebb_check_dtype(&c, 1, "index", EBB_I64) ||
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
	return pick(&c, &k, shape, ebb_index_select_kernel(in[0]));
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

static ebb_tensor *spread(ebb_tape *t, const ebb_op *op, ebb_tensor *gy, ebb_tensor *index,
	const index_attrs *k, const char *site)
{
	ebb_tensor *in[] = {gy, index}, *gx;
	ebb_call c = ebb_begin(t, op, site, 2, in);
	ebb_shape shape;

	if (!c.t)
		return NULL;
	shape = ebb_shape_of(in[0]);
	shape.dims[k->axis] = k->len;
	gx = ebb_new(&c, (ebb_dtype)in[0]->dtype, shape, EBB_ROWS);
	if (gx && gx->count) {
		ebb_around s = ebb_sizes_around(gx, k->axis);
		const int64_t *at = (const int64_t *)(const void *)in[1]->data;
		int64_t count = in[0]->shape[k->axis];

		memset(gx->data, 0, (size_t)gx->count * ebb_dtype_size((ebb_dtype)gx->dtype));
		if (!ebb_is_real(gx))
			INTEGERS(gx)->gather_acc(
				s.outer, s.len, s.inner, count, in[0]->data, at, gx->data);
		else if (op == &GATHER_GRAD)
			RUN(gx, gather_acc, s.outer, s.len, s.inner, count, in[0]->data, at,
				gx->data);
		else
			RUN(gx, index_select_acc, s.outer, s.len, s.inner, count, in[0]->data, at,
				gx->data);
	}
	ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, gx);
}

ebb_tensor *ebb_gather_grad(ebb_tape *t, ebb_tensor *gy, int axis, ebb_tensor *index, int64_t len)
{
	return spread(t, &GATHER_GRAD, gy, index, &(index_attrs){axis, len}, NULL);
}

static void gather_vjp(ebb_vjp *v)
{
	const index_attrs *k = v->attrs;

	if (!ebb_give_part(v, 0, v->gy, (ebb_selection){.axis = k->axis, .index = v->in[1]}))
		ebb_give(v, 0, spread(v->t, &GATHER_GRAD, v->gy, v->in[1], k, NULL));
}
static const ebb_op GATHER = {
	.name = "gather", .vjp = gather_vjp, .reads = {EBB_IN(1)}, .takes = {EBB_ROWS, EBB_ROWS}};

/* x sliced to the index's sizes on all axes but axis. */
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
	if (!ebb_check_dtype(&c, 1, "index", EBB_I64) ||
		(k.axis = ebb_check_axis(&c, axis, in[0]->ndim)) < 0)
		return NULL;
	fits = in[1]->ndim == in[0]->ndim;
	for (int i = 0; fits && i < in[0]->ndim; i++)
		fits = i == k.axis || in[1]->shape[i] == in[0]->shape[i];
	if (!fits)
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"index %s must have as many axes as x %s and be no larger, "
			"except on axis %d",
			ebb_describe(in[1], a, sizeof a), ebb_describe(in[0], b, sizeof b), k.axis);
	k.len = in[0]->shape[k.axis];
	if (!in_range(&c, in[1], k.len))
		return NULL;
	return pick(&c, &k, ebb_shape_of(in[1]), ebb_gather_kernel(in[0]));
}

/* ---- scatter_add ----------------------------------------------------------------------------- */

/* Whether src and index have the same shape, no larger than x's on all axes but axis. */
static bool fits_into(const ebb_tensor *x, const ebb_tensor *index, const ebb_tensor *src, int axis)
{
	bool fits = ebb_same_shape(index, src) && index->ndim == x->ndim;

	for (int i = 0; fits && i < x->ndim; i++)
		fits = i == axis || index->shape[i] <= x->shape[i];
	return fits;
}

static const ebb_op SCATTER_ADD = {
	.name = "scatter_add", .vjp = ebb_zero_vjp, .takes = {EBB_STRIDED, EBB_ROWS, EBB_STRIDED}};

/* The zero padding that enlarges the scattered sums from index's sizes to x's, on all axes but
 * axis. */
static ebb_pads pads_to(const ebb_tensor *x, const ebb_tensor *index, int axis)
{
	ebb_pads pads = {.n = 2 * x->ndim};

	for (int i = 0; i < x->ndim; i++)
		if (i != axis)
			pads.pad[2 * (x->ndim - 1 - i) + 1] = x->shape[i] - index->shape[i];
	return pads;
}

ebb_tensor *(ebb_scatter_add)(ebb_tape *t, ebb_tensor *x, int axis, ebb_tensor *index,
	ebb_tensor *src, const char *site)
{
	ebb_tensor *in[] = {x, index, src}, *sums;
	ebb_call c = ebb_begin(t, &SCATTER_ADD, site, 3, in);
	ebb_pad_args pad = {.t = t, .site = site};
	char a[240], b[240], s[240];
	index_attrs k;

	if (!c.t || !ebb_check_same_type(&c, 0, "x", 2, "src") ||
		!ebb_check_dtype(&c, 1, "index", EBB_I64) ||
		(k.axis = ebb_check_axis(&c, axis, in[0]->ndim)) < 0)
		return NULL;
	if (!fits_into(in[0], in[1], in[2], k.axis))
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"index %s must have src's shape %s and be no larger than x %s, "
			"except on axis %d",
			ebb_describe(in[1], a, sizeof a), ebb_describe(in[2], s, sizeof s),
			ebb_describe(in[0], b, sizeof b), k.axis);
	k.len = in[0]->shape[k.axis];
	if (!in_range(&c, in[1], k.len))
		return NULL;
	sums = spread(t, &GATHER_GRAD, in[2], in[1], &k, site);
	if (sums && !ebb_same_shape(sums, in[0])) {
		pad.x = sums;
		pad.pads = pads_to(in[0], in[1], k.axis);
		sums = (ebb_pad)(&pad);
	}
	return (ebb_add)(t, in[0], sums, site);
}

/* ---- embedding ------------------------------------------------------------------------------- */

typedef struct embedding_attrs {
	index_attrs rows;
	int64_t padding; /* the row without a gradient, or -1 */
} embedding_attrs;

/* U8 [n,1]: 0 where index is padding. */
static const ebb_op UNPADDED = {.name = "unpadded", .vjp = ebb_zero_vjp, .takes = {EBB_ROWS}};

static ebb_tensor *unpadded(ebb_tape *t, ebb_tensor *index, int64_t padding)
{
	ebb_call c = ebb_begin(t, &UNPADDED, NULL, 1, &index);
	ebb_tensor *y = c.t ? ebb_new(&c, EBB_U8, EBB_SHAPE(index->count, 1), EBB_ROWS) : NULL;

	for (int64_t i = 0; y && i < y->count; i++)
		((uint8_t *)y->data)[i] =
			((const int64_t *)(const void *)index->data)[i] != padding;
	return ebb_record(&c, y);
}

/* The gradient of index_select, with gy as [n,D] and index as [n]. */
static void embedding_vjp(ebb_vjp *v)
{
	const embedding_attrs *k = v->attrs;
	ebb_tensor *index = v->in[0], *gy;

	index = ebb_reshape(v->t, index, EBB_SHAPE(ebb_count(index)));
	gy = ebb_reshape(v->t, v->gy, EBB_SHAPE(ebb_count(v->in[0]), ebb_size(v->in[1], 1)));
	if (k->padding >= 0)
		gy = ebb_where(
			v->t, unpadded(v->t, index, k->padding), gy, ebb_zeros_like(v->t, gy));
	if (!ebb_give_part(v, 1, gy, (ebb_selection){.axis = k->rows.axis, .index = index}))
		ebb_give(v, 1, spread(v->t, &INDEX_SELECT_GRAD, gy, index, &k->rows, NULL));
}
static const ebb_op EMBEDDING = {.name = "embedding",
	.vjp = embedding_vjp,
	.reads = {0, EBB_IN(0)},
	.takes = {EBB_ROWS, EBB_ROWS}};

/* Sets *row to the row that .padding_idx names, or -1 if it is left out; negative values count from
 * the end.  Fails if there is no such row. */
static bool padding_row(ebb_call *c, double given, int64_t rows, int64_t *row)
{
	double p = ebb_option(given, NAN);

	*row = -1;
	if (given == 0)
		return true;
	if (!(p >= -(double)rows && p < (double)rows && p == floor(p))) {
		ebb_call_fail(c, EBB_INVALID, "padding_idx is %g; weight has %lld rows", p,
			(long long)rows);
		return false;
	}
	*row = (int64_t)p + (p < 0 ? rows : 0);
	return true;
}

ebb_tensor *(ebb_embedding)(const ebb_embedding_args *a)
{
	ebb_tensor *in[] = {a->index, a->weight}, *y;
	ebb_call c = ebb_begin(a->t, &EMBEDDING, a->site, 2, in);
	embedding_attrs k = {0};
	ebb_shape shape;
	char text[240];

	if (!ebb_check_dtype(&c, 0, "index", EBB_I64) || !ebb_check_real(&c, 1, "weight"))
		return NULL;
	if (in[1]->ndim != 2 || in[0]->ndim == EBB_MAX_DIMS)
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"weight must be [V,D] and index of at most %d axes, got %s and %d axes",
			EBB_MAX_DIMS - 1, ebb_describe(in[1], text, sizeof text), in[0]->ndim);
	k.rows.len = in[1]->shape[0];
	if (!in_range(&c, in[0], k.rows.len) ||
		!padding_row(&c, a->padding_idx, k.rows.len, &k.padding))
		return NULL;
	shape = ebb_with_axis(ebb_shape_of(in[0]), in[0]->ndim, in[1]->shape[1]);
	y = ebb_new(&c, (ebb_dtype)in[1]->dtype, shape, EBB_ROWS);
	if (y && y->count)
		KERNELS(y)->index_select(1, k.rows.len, in[1]->shape[1], in[0]->count, in[1]->data,
			(const int64_t *)(const void *)in[0]->data, y->data);
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}
