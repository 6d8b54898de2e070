/*
 * gelu.c - GELU (Hendrycks & Gimpel 2016) with an optional bias: one kernel forward, and one for the
 * gradients of x and of the bias.
 */
#include "ops/gradients.h"

typedef struct gelu_attrs {
	bool tanh;
} gelu_attrs;

/* ---- The derivative, as an op for higher derivatives ----------------------------------------- */

/* exp(-x^2/2) is 0 for x >= FAR in both types.  A second derivative is such an exponential times a
 * power of x; x is clamped, because infinity*0 would be NaN. */
static const double FAR = 40;

static ebb_tensor *clamped(const ebb_vjp *v)
{
	return ebb_clamp(v->t, v->in[0], -FAR, FAR);
}

/* gelu' = Phi(x) + x*phi(x), phi the normal density; gelu'' = phi(x)*(2 - x^2) */
static void gelu_slope_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *x = clamped(v), *density = ebb_gauss(t, x, 0.5, 0.39894228040143267794);
	ebb_tensor *rest = ebb_add_scalar(t, ebb_neg(t, ebb_square(t, x)), 2.0);

	ebb_give(v, 0, ebb_mul(t, v->gy, ebb_mul(t, density, rest)));
}
static const ebb_op GELU_SLOPE = {
	.name = "gelu_slope", .vjp = gelu_slope_vjp, .reads = {EBB_IN(0)}};

/* With u = 2*sqrt(2/pi)*(x + c*x^3), s = sigmoid u and q = 1 - s: y = x*s, y' = s + x*s*q*u',
 * y'' = s*q*(2*u' + x*((q - s)*u'^2 + u'')). */
static void gelu_tanh_slope_vjp(ebb_vjp *v)
{
	const double k = 1.5957691216057307, c = 0.044715;
	ebb_tape *t = v->t;
	ebb_tensor *x = clamped(v), *x2 = ebb_square(t, x);
	ebb_tensor *u = ebb_mul(t, x, ebb_add_scalar(t, ebb_mul_scalar(t, x2, k * c), k));
	ebb_tensor *du = ebb_add_scalar(t, ebb_mul_scalar(t, x2, 3 * k * c), k);
	ebb_tensor *s = ebb_sigmoid(t, u), *q = ebb_sigmoid(t, ebb_neg(t, u));
	ebb_tensor *bend = ebb_add(t, ebb_mul(t, ebb_sub(t, q, s), ebb_square(t, du)),
		ebb_mul_scalar(t, x, 6 * k * c));
	ebb_tensor *rest = ebb_add(t, ebb_mul_scalar(t, du, 2.0), ebb_mul(t, x, bend));

	ebb_give(v, 0, ebb_mul(t, v->gy, ebb_mul(t, ebb_mul(t, s, q), rest)));
}
static const ebb_op GELU_TANH_SLOPE = {
	.name = "gelu_slope", .vjp = gelu_tanh_slope_vjp, .reads = {EBB_IN(0)}};

static ebb_tensor *slope(ebb_tape *t, ebb_tensor *z, bool tanh)
{
	return tanh ? ebb_unary(t, &GELU_TANH_SLOPE, EBB_UNARY_gelu_tanh_slope, z, NULL, NULL)
	            : ebb_unary(t, &GELU_SLOPE, EBB_UNARY_gelu_slope, z, NULL, NULL);
}

/* ---- The gradient ---------------------------------------------------------------------------- */

static const ebb_op FUSED = {.name = "gelu_grad", .vjp = ebb_zero_vjp};
static const ebb_op FUSED_BIAS = {
	.name = "gelu_grad", .vjp = ebb_zero_vjp, .takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS}};

static ebb_tensor *bias_of(const ebb_vjp *v)
{
	return v->nin > 1 ? v->in[1] : NULL;
}

static void fused_grad(ebb_vjp *v)
{
	const gelu_attrs *k = v->attrs;
	ebb_tensor *bias = bias_of(v), *in[] = {v->gy, v->in[0], bias}, *gx, *gb = NULL;
	ebb_call c = ebb_begin(v->t, bias ? &FUSED_BIAS : &FUSED, NULL, bias ? 3 : 2, in);
	bool sums = bias && ebb_wants(v, 1);
	int64_t len, rows;
	void *ws = NULL;

	if (!c.t)
		return;
	len = bias ? in[2]->count : in[1]->count;
	rows = bias && len ? in[1]->count / len : 1;
	gx = in[0] == v->gy && v->owns_gy ? v->gy : ebb_new_like(&c, in[1]);
	if (sums) {
		gb = ebb_new_like(&c, in[2]);
		ws = ebb_scratch(&c, KERNELS(in[1])->gelu_workspace(rows, len));
	}
	if (c.t)
		RUN(gx, gelu_grad, k->tanh, rows, len, in[1]->data, bias ? in[2]->data : NULL,
			in[0]->data, gx->data, gb ? gb->data : NULL, ws);
	gx = ebb_record(&c, gx);
	ebb_give(v, 0, gx);
	if (sums)
		ebb_give(v, 1, gb);
}

/* gx = gy*gelu'(z), z = x + b; the sum of gx over the rows, which is the gradient of b, is left to
 * ebb_give. */
static void gelu_vjp(ebb_vjp *v)
{
	ebb_tensor *x = v->in[0], *bias = bias_of(v), *gx;

	if (!v->recording && (bias || ebb_same_memory(v->gy, x))) {
		fused_grad(v);
		return;
	}
	gx = slope(v->t, bias ? ebb_add(v->t, x, bias) : x, ((const gelu_attrs *)v->attrs)->tanh);
	gx = ebb_mul(v->t, v->gy, gx);
	ebb_give(v, 0, gx);
	if (bias)
		ebb_give(v, 1, gx);
}
static const ebb_op GELU = {.name = "gelu", .vjp = gelu_vjp, .reads = {EBB_IN(0)}};
static const ebb_op GELU_BIAS = {.name = "gelu",
	.vjp = gelu_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_ROWS, EBB_ROWS}};

/* ---- Forward --------------------------------------------------------------------------------- */

static bool bias_fits(ebb_call *c)
{
	const ebb_tensor *x = c->in[0], *b = c->in[1];
	char xs[240], bs[240];

	if (!ebb_check_real(c, 0, "x") || !ebb_check_same_type(c, 0, "x", 1, "bias"))
		return false;
	if (b->ndim == 1 && x->ndim >= 1 && b->shape[0] == x->shape[x->ndim - 1])
		return true;
	ebb_call_fail(c, EBB_BAD_SHAPE, "bias must be [K] for x [..,K], got x %s, bias %s",
		ebb_describe(x, xs, sizeof xs), ebb_describe(b, bs, sizeof bs));
	return false;
}

ebb_tensor *(ebb_gelu)(const ebb_gelu_args *a)
{
	ebb_tensor *in[] = {a->x, a->bias}, *y;
	ebb_call c = ebb_begin(a->t, a->bias ? &GELU_BIAS : &GELU, a->site, a->bias ? 2 : 1, in);
	gelu_attrs k = {a->tanh};

	if (!ebb_check_real(&c, 0, "x") || (a->bias && !bias_fits(&c)))
		return NULL;
	y = ebb_new_like(&c, in[0]);
	if (y && !a->bias)
		RUN(y, unary, k.tanh ? EBB_UNARY_gelu_tanh : EBB_UNARY_gelu, y->count, in[0]->data,
			y->data, 0, 0);
	else if (y && y->count)
		RUN(y, gelu_bias, k.tanh, y->count / in[1]->count, in[1]->count, in[0]->data,
			in[1]->data, y->data);
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}
