/* matmul.c - matrix products, batched matrix products, and the linear layer. */
#include "ops/internal.h"

/* ---- Matrices as the kernels take them ------------------------------------------------------- */

typedef struct matrix {
	bool transposed;
	int64_t ld;
} matrix;

/* Whether the memory of the last two axes is a row-major matrix, or the transpose of one; fills
 * *m. */
static bool as_matrix(const ebb_tensor *x, matrix *m)
{
	int64_t rows = x->shape[x->ndim - 2], cols = x->shape[x->ndim - 1];
	int64_t rs = x->strides[x->ndim - 2], cs = x->strides[x->ndim - 1];

	if ((cs == 1 || cols <= 1) && (rs >= cols || rows <= 1)) {
		*m = (matrix){false, rows <= 1 ? (cols ? cols : 1) : rs};
		return m->ld >= 1;
	}
	if ((rs == 1 || rows <= 1) && (cs >= rows || cols <= 1)) {
		*m = (matrix){true, cols <= 1 ? (rows ? rows : 1) : cs};
		return m->ld >= 1;
	}
	return false;
}

/* ---- matmul: ga = gy b^T, gb = a^T gy, summed over broadcast axes by ebb_give ---------------- */

static double product_flops(const ebb_call *c, const ebb_tensor *y)
{
	return 2.0 * (double)y->count * (double)ebb_size(c->in[0], -1);
}

static void matmul_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_matmul(v->t, v->gy, ebb_transpose(v->t, v->in[1], -1, -2)));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_matmul(v->t, ebb_transpose(v->t, v->in[0], -1, -2), v->gy));
}
static const ebb_op MATMUL = {.name = "matmul",
	.vjp = matmul_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true,
	.flops = product_flops};

static ebb_tensor *no_fit(ebb_call *c)
{
	char a[240], b[240];

	return ebb_call_fail(c, EBB_BAD_SHAPE,
		"a %s and b %s do not fit: a's last axis must have the size of b's last but one, "
		"and the "
		"axes before must broadcast",
		ebb_describe(c->in[0], a, sizeof a), ebb_describe(c->in[1], b, sizeof b));
}

/* Sets *out to the broadcast leading axes, and the arrays as and bs to the strides of a and b along
 * these axes. */
static bool batch_axes(
	const ebb_tensor *a, const ebb_tensor *b, ebb_shape *out, int64_t *as, int64_t *bs)
{
	int n = (a->ndim > b->ndim ? a->ndim : b->ndim) - 2;

	out->ndim = n;
	for (int i = 0; i < n; i++) {
		int ia = i - (n - (a->ndim - 2)), ib = i - (n - (b->ndim - 2));
		int64_t sa = ia >= 0 ? a->shape[ia] : 1, sb = ib >= 0 ? b->shape[ib] : 1;

		if (sa != sb && sa != 1 && sb != 1)
			return false;
		out->dims[i] = sa == 1 ? sb : sa;
		as[i] = ia >= 0 && sa != 1 ? a->strides[ia] : 0;
		bs[i] = ib >= 0 && sb != 1 ? b->strides[ib] : 0;
	}
	return true;
}

static void multiply(ebb_call *c, ebb_tensor *y, int64_t k, const matrix *ma, const matrix *mb,
	const int64_t *as, const int64_t *bs)
{
	const ebb_kernels *kernels = KERNELS(y);
	const ebb_tensor *a = c->in[0], *b = c->in[1];
	int64_t m = y->shape[y->ndim - 2], n = y->shape[y->ndim - 1], batches = y->count / (m * n);
	size_t size = kernels->real_size, ws_size = kernels->gemm_workspace(m, n, k);
	void *ws = ebb_scratch(c, ws_size);

	if (!c->t)
		return;
	for (int64_t i = 0; i < batches; i++) {
		int64_t rest = i, oa = 0, ob = 0;

		for (int d = y->ndim - 3; d >= 0; d--) {
			oa += rest % y->shape[d] * as[d];
			ob += rest % y->shape[d] * bs[d];
			rest /= y->shape[d];
		}
		RUN(y, gemm, ma->transposed, mb->transposed, m, n, k, a->data + oa * (int64_t)size,
			ma->ld, b->data + ob * (int64_t)size, mb->ld, 0.0,
			y->data + i * m * n * (int64_t)size, n, ws);
	}
}

/* Whether a b is a sum of few outer products: a is gy^T and b is x, each with few dense rows. */
static bool is_outer(const ebb_tensor *a, const ebb_tensor *b)
{
	int64_t out = a->shape[0], rows = a->shape[1];

	return a->strides[0] == 1 && (rows == 1 || a->strides[1] == out) &&
	       (b->flags & EBB_F_ROWS) && ebb_is_outer(rows, out, b->shape[1]);
}

/* Returns a b.  of is the vjp of a linear layer if a b is the gradient of the layer's weight, else
 * NULL. */
static ebb_tensor *product(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, ebb_vjp *of, const char *site)
{
	ebb_tensor *in[] = {a, b}, *y;
	ebb_call c = ebb_begin(t, &MATMUL, site, 2, in);
	int64_t as[EBB_MAX_DIMS], bs[EBB_MAX_DIMS], k;
	matrix ma, mb;
	ebb_shape shape;

	if (!ebb_check_real(&c, 0, "a") || !ebb_check_same_type(&c, 0, "a", 1, "b"))
		return NULL;
	assert(in[0]->ndim >= 2 && in[1]->ndim >= 2);
	k = in[0]->shape[in[0]->ndim - 1];
	if (k != in[1]->shape[in[1]->ndim - 2])
		return no_fit(&c);
	if (!as_matrix(in[0], &ma) && (in[0] = (ebb_dense)(t, in[0], EBB_ROWS, site)))
		as_matrix(in[0], &ma);
	if (!as_matrix(in[1], &mb) && (in[1] = (ebb_dense)(t, in[1], EBB_ROWS, site)))
		as_matrix(in[1], &mb);
	if (!in[0] || !in[1])
		return NULL;
	if (!batch_axes(in[0], in[1], &shape, as, bs))
		return no_fit(&c);
	shape.dims[shape.ndim++] = in[0]->shape[in[0]->ndim - 2];
	shape.dims[shape.ndim++] = in[1]->shape[in[1]->ndim - 1];
	y = of ? ebb_new_gradient(&c, of, 1)
	       : ebb_new(&c, (ebb_dtype)in[0]->dtype, shape, EBB_ROWS);
	if (y && of && is_outer(in[0], in[1])) {
		RUN(y, outer_sum, k, y->shape[0], y->shape[1], in[0]->data, in[1]->data, y->data);
	} else if (y && y->count) {
		multiply(&c, y, k, &ma, &mb, as, bs);
		if (!c.t)
			y = NULL;
	}
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_matmul)(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	bool va, vb;
	ebb_tensor *y;
	char as[240], bs[240];

	if (ebb_failed(t))
		return NULL;
	if (!a || !b)
		return ebb_fail(t, EBB_INVALID, site, "matmul: input %d is NULL", a ? 1 : 0);
	va = a->ndim == 1;
	vb = b->ndim == 1;
	/* Checked before vectors become matrices below, so that the message shows the given
	 * shapes. */
	if (a->ndim < 1 || b->ndim < 1 ||
		((va || vb) && a->shape[a->ndim - 1] != b->shape[vb ? 0 : b->ndim - 2]))
		return ebb_fail(t, EBB_BAD_SHAPE, site,
			"matmul: a %s and b %s do not fit: a's last axis must have the size of b's "
			"%s",
			ebb_describe(a, as, sizeof as), ebb_describe(b, bs, sizeof bs),
			vb ? "only one" : "last but one");
	y = product(t, va ? (ebb_unsqueeze)(t, a, 0, site) : a,
		vb ? (ebb_unsqueeze)(t, b, 1, site) : b, NULL, site);
	if (y && vb)
		y = (ebb_squeeze)(t, y, -1, site);
	if (y && va)
		y = (ebb_squeeze)(t, y, vb ? -1 : -2, site);
	return y;
}

/* ---- linear: y = x w^T + b; gx = gy w, gw = gy^T x, gb = sum of rows of gy ------------------- */

static void linear_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *gy = v->gy;
	int64_t rows = 1, out = ebb_size(v->in[1], 0);

	for (int i = 0; i + 1 < ebb_ndim(v->in[0]); i++)
		rows *= ebb_size(v->in[0], i);
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_matmul(t, gy, v->in[1]));
	if (!ebb_wants(v, 1) && !ebb_wants(v, 2))
		return;
	if (ebb_ndim(gy) != 2)
		gy = ebb_reshape(t, gy, EBB_SHAPE(rows, out));
	if (ebb_wants(v, 1)) {
		ebb_tensor *x = v->in[0];

		if (ebb_ndim(x) != 2)
			x = ebb_reshape(t, x, EBB_SHAPE(rows, ebb_size(x, -1)));
		if (!ebb_give_outer(v, 1, gy, x))
			ebb_give(v, 1, product(t, ebb_transpose(t, gy, 0, 1), x, v, NULL));
	}
	if (ebb_wants(v, 2))
		ebb_give(v, 2, ebb_sum(t, gy, EBB_AXES(0)));
}
static const ebb_op LINEAR = {.name = "linear",
	.vjp = linear_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.optional = EBB_IN(2),
	.takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS},
	.flops = product_flops};

static bool linear_fits(ebb_call *c)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
	char xs[240], ws[240], bs[240];

	if (w->ndim == 2 && x->ndim >= 1 && x->shape[x->ndim - 1] == w->shape[1] &&
		(!b || (b->ndim == 1 && b->shape[0] == w->shape[0])))
		return true;
	ebb_describe(x, xs, sizeof xs);
	ebb_describe(w, ws, sizeof ws);
	ebb_describe(b, bs, sizeof bs);
	if (w->ndim != 2 || x->ndim < 1)
		ebb_call_fail(
			c, EBB_BAD_SHAPE, "x must be [..,I] and w [O,I], got x %s, w %s", xs, ws);
	else if (x->shape[x->ndim - 1] != w->shape[1])
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x has %lld features, w expects %lld (x %s, w %s, b %s)",
			(long long)ebb_size(x, -1), (long long)w->shape[1], xs, ws, bs);
	else
		ebb_call_fail(
			c, EBB_BAD_SHAPE, "w has %lld rows, b is %s", (long long)w->shape[0], bs);
	return false;
}

ebb_tensor *ebb_linear_op(const ebb_linear_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b}, *y;
	ebb_call c = ebb_begin(a->t, &LINEAR, a->site, 3, in);
	const ebb_kernels *k;
	ebb_shape shape;
	int64_t m, n, depth;
	void *ws;

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") || !linear_fits(&c))
		return NULL;
	k = KERNELS(in[0]);
	shape = ebb_shape_of(in[0]);
	depth = in[1]->shape[1];
	n = shape.dims[shape.ndim - 1] = in[1]->shape[0];
	y = ebb_new(&c, (ebb_dtype)in[0]->dtype, shape, EBB_ROWS);
	if (!y || !y->count)
		return ebb_record(&c, y);
	m = y->count / n;
	ws = ebb_scratch(&c, k->gemm_workspace(m, n, depth));
	if (!c.t)
		return ebb_record(&c, NULL);
	RUN(y, linear, m, n, depth, in[0]->data, in[1]->data, in[2] ? in[2]->data : NULL, y->data,
		ws);
	return ebb_record(&c, y);
}
