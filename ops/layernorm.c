/* layernorm.c - normalisation over the last axes: layer norm (Ba et al. 2016) and root mean square
 * norm (Zhang & Sennrich 2019), which does not subtract the mean and has no bias. */
#include <float.h>

#include "ops/internal.h"

typedef struct row_attrs {
	double eps;
	int axes;
	bool centred;
} row_attrs;

/* Saved for backward for every row: the mean as MEAN + REST, and INV = 1/sqrt(variance + eps). */
enum { MEAN, REST, INV, PARTS };

/* ---- The gradient, fused --------------------------------------------------------------------- */

static const ebb_op FUSED = {.name = "layernorm_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(2),
	.takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS}};

static int64_t row_length(const ebb_tensor *x, int axes)
{
	int64_t len = 1;

	for (int i = x->ndim - axes; i < x->ndim; i++)
		len *= x->shape[i];
	return len;
}

static bool wants_bias(const ebb_vjp *v)
{
	return v->nin > 2 && ebb_wants(v, 2);
}

/* A tensor of the shape of x's last axes, filled with values. */
static ebb_tensor *last_axes(ebb_call *c, const ebb_tensor *x, int axes, const double *values)
{
	ebb_shape s = {axes, {0}};
	ebb_tensor *y;

	for (int i = 0; i < axes; i++)
		s.dims[i] = x->shape[x->ndim - axes + i];
	y = ebb_new(c, (ebb_dtype)x->dtype, s, EBB_ROWS);
	if (y && y->count)
		RUN(y, from_f64, y->count, values, y->data);
	return y;
}

static void fused_grad(ebb_vjp *v)
{
	const row_attrs *k = v->attrs;
	ebb_tensor *in[] = {v->gy, v->in[0], ebb_wants(v, 0) ? v->in[1] : NULL}, *x;
	ebb_tensor *gx = NULL, *gw = NULL, *gb = NULL;
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 3, in);
	bool sums = ebb_wants(v, 1) || wants_bias(v);
	int64_t len = row_length(v->in[0], k->axes);
	int64_t rows = len ? ebb_count(v->in[0]) / len : 0;
	const double *mean, *rest, *inv;
	double *s = NULL;

	if (!c.t)
		return;
	x = in[1];
	mean = (const double *)(const void *)v->saved[0]->data;
	rest = rows ? mean + REST * rows : mean;
	inv = rows ? mean + INV * rows : mean;
	gx = ebb_wants(v, 0) ? ebb_new_like(&c, x) : NULL;
	if (gx)
		RUN(x, rownorm_grad, k->centred, rows, len, x->data, in[0]->data,
			in[2] ? in[2]->data : NULL, mean, rest, inv, gx->data);
	if (sums && len)
		s = ebb_scratch(&c, ebb_bytes_of(len, 2 * sizeof *s));
	if (s)
		RUN(x, rownorm_sums, rows, len, x->data, in[0]->data, mean, rest, inv, s, s + len);
	gw = ebb_wants(v, 1) ? last_axes(&c, x, k->axes, s) : NULL;
	gb = wants_bias(v) ? last_axes(&c, x, k->axes, s ? s + len : NULL) : NULL;
	ebb_record(&c, gx ? gx : gw ? gw : gb);
	ebb_give(v, 0, gx);
	ebb_give(v, 1, gw);
	if (gb)
		ebb_give(v, 2, gb);
}

/* ---- The gradient, composed of ops: for higher derivatives ----------------------------------- */

bool ebb_norm_needs_scale(const ebb_tensor *x, int64_t n, const double *inv)
{
	double most = x->dtype == EBB_F64 ? 0x1p300 : 0x1p40;

	for (int64_t i = 0; x->count && i < n; i++)
		if (isfinite(inv[i]) && (inv[i] > most || inv[i] < 1 / most))
			return true;
	return false;
}

ebb_tensor *ebb_normalised_grad(ebb_tape *t, ebb_tensor *x, const ebb_norm_known *known,
	ebb_tensor *g, ebb_axes axes, double eps, ebb_tensor **normalised)
{
	ebb_tensor *centre = known->centre, *scale = known->scale, *inv, *xh;

	if (centre)
		x = ebb_sub(t, x, centre);
	if (scale)
		x = ebb_mul(t, x, scale);
	if (centre)
		x = ebb_sub(t, x, ebb_mean(t, x, axes, .keepdim = true));
	inv = ebb_mean(t, ebb_square(t, x), axes, .keepdim = true);
	inv = scale ? ebb_add(t, inv, ebb_square(t, ebb_mul_scalar(t, scale, sqrt(eps))))
	            : ebb_add_scalar(t, inv, eps);
	inv = ebb_reciprocal(t, ebb_sqrt(t, inv));
	*normalised = xh = ebb_mul(t, x, inv);
	if (!g)
		return NULL;
	if (scale)
		inv = ebb_mul(t, inv, scale);
	x = ebb_mul(t, xh, ebb_mean(t, ebb_mul(t, g, xh), axes, .keepdim = true));
	if (centre)
		g = ebb_sub(t, g, ebb_mean(t, g, axes, .keepdim = true));
	return ebb_mul(t, ebb_sub(t, g, x), inv);
}

/* Part k (MEAN, REST, INV) of the saved statistics, as [..,1,..] of x's type. */
static ebb_tensor *saved_part(ebb_vjp *v, int k, int64_t rows)
{
	const row_attrs *attrs = v->attrs;
	ebb_shape shape = ebb_shape_of(v->in[0]);
	ebb_tensor *s = ebb_slice(v->t, v->saved[0], 0, k * rows, (k + 1) * rows, 1);

	for (int i = shape.ndim - attrs->axes; i < shape.ndim; i++)
		shape.dims[i] = 1;
	return ebb_reshape(v->t, ebb_cast(v->t, s, ebb_dtype_of(v->in[0])), shape);
}

static void composed_grad(ebb_vjp *v)
{
	const row_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	ebb_axes axes = {k->axes, {0}}, rest = {0, {0}};
	int lead = ebb_ndim(v->in[0]) - k->axes;
	ebb_tensor *g = NULL, *xh, *gx;
	int64_t rows = ebb_count(v->saved[0]) / PARTS;
	ebb_norm_known known = {NULL, NULL};

	/* An x without elements has no statistics. */
	if (k->centred && ebb_count(v->in[0]))
		known.centre = saved_part(v, MEAN, rows);
	if (ebb_norm_needs_scale(
		    v->in[0], rows, (const double *)(const void *)v->saved[0]->data + INV * rows))
		known.scale = saved_part(v, INV, rows);
	for (int i = 0; i < k->axes; i++)
		axes.axis[i] = lead + i;
	for (int i = 0; i < lead; i++)
		rest.axis[rest.n++] = i;
	if (ebb_wants(v, 0))
		g = v->in[1] ? ebb_mul(t, v->gy, v->in[1]) : v->gy;
	gx = ebb_normalised_grad(t, v->in[0], &known, g, axes, k->eps, &xh);
	ebb_give(v, 0, gx);
	/* ebb_give sums the gradient over the leading axes. */
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_mul(t, v->gy, xh));
	if (wants_bias(v))
		ebb_give(v, 2, v->gy);
}

static void rownorm_vjp(ebb_vjp *v)
{
	if (!ebb_wants(v, 0) && !ebb_wants(v, 1))
		ebb_give(v, 2, v->gy); /* the bias' gradient reads no saved value */
	else if (v->recording)
		composed_grad(v);
	else
		fused_grad(v);
}
static const ebb_op LAYERNORM = {.name = "layernorm",
	.vjp = rownorm_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0)},
	.optional = EBB_IN(1) | EBB_IN(2),
	.takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS}};
static const ebb_op RMSNORM = {.name = "rmsnorm",
	.vjp = rownorm_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0)},
	.optional = EBB_IN(1),
	.takes = {EBB_ROWS, EBB_ROWS}};

/* ---- Forward --------------------------------------------------------------------------------- */

static bool is_of_last_axes(ebb_call *c, const ebb_tensor *p, int axes, const char *name)
{
	const ebb_tensor *x = c->in[0];
	bool fits = !p || (p->ndim == axes && p->dtype == x->dtype);
	char a[240], b[240];

	for (int i = 0; p && fits && i < axes; i++)
		fits = p->shape[i] == x->shape[x->ndim - axes + i];
	if (!fits)
		ebb_call_fail(c, p->dtype == x->dtype ? EBB_BAD_SHAPE : EBB_BAD_DTYPE,
			"%s must have the type and the last %d axes of x: %s for x %s", name, axes,
			ebb_describe(p, a, sizeof a), ebb_describe(x, b, sizeof b));
	return fits;
}

static bool checks(ebb_call *c, const row_attrs *k)
{
	const ebb_tensor *x;
	char text[240];

	if (!ebb_check_real(c, 0, "x"))
		return false;
	x = c->in[0];
	if (k->axes < 1 || k->axes > x->ndim) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"axes is %d; it must be from 1 to the number of axes of x %s", k->axes,
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if (!(k->eps >= 0) || !isfinite(k->eps)) {
		ebb_call_fail(c, EBB_INVALID, "eps is %g; it must be at least 0", k->eps);
		return false;
	}
	return is_of_last_axes(c, c->in[1], k->axes, "weight") &&
	       (c->nin < 3 || is_of_last_axes(c, c->in[2], k->axes, "bias"));
}

static ebb_tensor *normalise(ebb_call *c, const row_attrs *k)
{
	ebb_tensor *x, *y, *saved;
	int64_t len, rows;
	double *mean;

	if (!c->t || !checks(c, k))
		return NULL;
	x = c->in[0];
	len = row_length(x, k->axes);
	rows = len ? x->count / len : 0;
	y = ebb_new_like(c, x);
	saved = ebb_new(c, EBB_F64, EBB_SHAPE(PARTS * rows), EBB_ROWS);
	if (y && saved && y->count) {
		mean = (double *)(void *)saved->data;
		RUN(y, rownorm, k->centred, rows, len, x->data, c->in[1] ? c->in[1]->data : NULL,
			c->nin > 2 && c->in[2] ? c->in[2]->data : NULL, k->eps, y->data, mean,
			mean + REST * rows, mean + INV * rows);
	}
	ebb_save(c, saved);
	ebb_attach(c, k, sizeof *k);
	return ebb_record(c, y);
}

static int axes_of(int axes, const ebb_tensor *weight)
{
	return axes ? axes : weight ? weight->ndim : 1;
}

ebb_tensor *(ebb_layernorm)(const ebb_layernorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias};
	ebb_call c = ebb_begin(a->t, &LAYERNORM, a->site, 3, in);
	row_attrs k = {ebb_option(a->eps, 1e-5), axes_of(a->axes, a->weight), true};

	return normalise(&c, &k);
}

ebb_tensor *(ebb_rmsnorm)(const ebb_rmsnorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight};
	ebb_call c = ebb_begin(a->t, &RMSNORM, a->site, 2, in);
	double epsilon = ebb_dtype_of(a->x) == EBB_F64 ? DBL_EPSILON : FLT_EPSILON;
	row_attrs k = {ebb_option(a->eps, epsilon), axes_of(a->axes, a->weight), false};

	return normalise(&c, &k);
}
