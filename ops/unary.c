/* unary.c - powers, exponentials and other elementwise functions of one tensor. */
#include "ops/internal.h"

ebb_tensor *ebb_unary(ebb_tape *t, const ebb_op *op, ebb_unary_fn f, ebb_tensor *x,
	const ebb_constants *k, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y;

	if (!ebb_check_real(&c, 0, "x"))
		return NULL;
	y = ebb_new_like(&c, x);
	if (y)
		RUN(y, unary, f, y->count, x->data, y->data, k ? k->a : 0, k ? k->b : 0);
	if (k)
		ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

/* ---- Masks: constants from values ------------------------------------------------------------ */

static const ebb_op MASK = {.name = "mask", .vjp = ebb_zero_vjp, .takes = {EBB_DENSE}};

ebb_tensor *ebb_mask(
	ebb_tape *t, ebb_unary_fn f, ebb_tensor *x, double a, double b, const char *site)
{
	ebb_call c = ebb_begin(t, &MASK, site, 1, &x);
	ebb_tensor *y;

	c.tracked = false;
	y = ebb_new_like(&c, x);
	if (y)
		RUN(y, unary, f, y->count, x->data, y->data, a, b);
	return ebb_record(&c, y);
}

/* ---- Polynomials and powers ------------------------------------------------------------------ */

/* d(-x) = -1 */
static void neg_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_neg(v->t, v->gy));
}
EBB_UNARY(neg, NEG, EBB_NEG, 0)

/* d|x| = sign x */
static void abs_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_or_zero(v->t, v->gy, ebb_sign(v->t, v->in[0]), NULL));
}
EBB_UNARY(abs, ABS, EBB_ABS, EBB_IN(0))

/* Zero, and said so: ebb_backward then deposits it. */
static void sign_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_zeros_like(v->t, v->gy));
}
EBB_UNARY(sign, SIGN, EBB_SIGN, 0)

/* Likewise. */
static void floor_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_zeros_like(v->t, v->gy));
}
EBB_UNARY(floor, FLOOR, EBB_FLOOR, 0)

/* d(x^2) = 2x */
static void square_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul_scalar(v->t, v->in[0], 2.0)));
}
EBB_UNARY(square, SQUARE, EBB_SQUARE, EBB_IN(0))

/* d(1/x) = -y^2 */
static void reciprocal_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_neg(v->t, ebb_mul(v->t, v->gy, ebb_square(v->t, v->out))));
}
EBB_UNARY(reciprocal, RECIPROCAL, EBB_RECIPROCAL, EBB_OUT)

/* d sqrt x = 1/(2y) */
static void sqrt_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div(v->t, v->gy, ebb_mul_scalar(v->t, v->out, 2.0)));
}
EBB_UNARY(sqrt, SQRT, EBB_SQRT, EBB_OUT)

/* d x^(-1/2) = (-y/2)*y^2, in which y^3 need not be in the type's range */
static void rsqrt_vjp(ebb_vjp *v)
{
	ebb_tensor *slope =
		ebb_mul(v->t, ebb_mul_scalar(v->t, v->out, -0.5), ebb_square(v->t, v->out));

	ebb_give(v, 0, ebb_mul(v->t, v->gy, slope));
}
EBB_UNARY(rsqrt, RSQRT, EBB_RSQRT, EBB_OUT)

/* d(x + s) = 1 */
static void add_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
}
static const ebb_op ADD_SCALAR = {.name = "add_scalar", .vjp = add_scalar_vjp, .gy_strided = true};

ebb_tensor *(ebb_add_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return ebb_unary(t, &ADD_SCALAR, EBB_ADD_SCALAR, x, &(ebb_constants){s, 0}, site);
}

/* d(s*x) = s */
static void mul_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, ebb_constants_of(v)->a));
}
static const ebb_op MUL_SCALAR = {.name = "mul_scalar", .vjp = mul_scalar_vjp};

ebb_tensor *(ebb_mul_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return ebb_unary(t, &MUL_SCALAR, EBB_MUL_SCALAR, x, &(ebb_constants){s, 0}, site);
}

/* d(x^p) = p*x^(p-1); x^0 is constant, at 0 too */
static void pow_scalar_vjp(ebb_vjp *v)
{
	double p = ebb_constants_of(v)->a;

	ebb_give(v, 0,
		p == 0 ? ebb_zeros_like(v->t, v->gy)
		       : ebb_mul(v->t, v->gy,
				 ebb_mul_scalar(v->t, ebb_pow_scalar(v->t, v->in[0], p - 1), p)));
}
static const ebb_op POW_SCALAR = {
	.name = "pow_scalar", .vjp = pow_scalar_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_pow_scalar)(ebb_tape *t, ebb_tensor *x, double p, const char *site)
{
	return ebb_unary(t, &POW_SCALAR, EBB_POW_SCALAR, x, &(ebb_constants){p, 0}, site);
}

/* clamp' = 1 where lo <= x <= hi */
static void clamp_vjp(ebb_vjp *v)
{
	const ebb_constants *k = ebb_constants_of(v);
	ebb_tensor *inside = ebb_mask(v->t, EBB_INSIDE, v->in[0], k->a, k->b, NULL);

	ebb_give(v, 0, ebb_mul_or_zero(v->t, v->gy, inside, NULL));
}
static const ebb_op CLAMP = {.name = "clamp", .vjp = clamp_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_clamp)(ebb_tape *t, ebb_tensor *x, double lo, double hi, const char *site)
{
	if (!ebb_failed(t) && (isnan(lo) || isnan(hi)))
		return ebb_fail(t, EBB_INVALID, site, "clamp: lo is %g, hi is %g", lo, hi);
	return ebb_unary(t, &CLAMP, EBB_CLAMP, x, &(ebb_constants){lo, hi}, site);
}

/* ---- Exponentials, trigonometry -------------------------------------------------------------- */

static void exp_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->out));
}
EBB_UNARY(exp, EXP, EBB_EXP, EBB_OUT)

static void log_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div(v->t, v->gy, v->in[0]));
}
EBB_UNARY(log, LOG, EBB_LOG, EBB_IN(0))

/* exp(x), as y + 1 would cancel where y is near -1 */
static void expm1_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_exp(v->t, v->in[0])));
}
EBB_UNARY(expm1, EXPM1, EBB_EXPM1, EBB_IN(0))

/* d log(1+x) = 1/(1+x) */
static void log1p_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div(v->t, v->gy, ebb_add_scalar(v->t, v->in[0], 1.0)));
}
EBB_UNARY(log1p, LOG1P, EBB_LOG1P, EBB_IN(0))

static void sin_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_cos(v->t, v->in[0])));
}
EBB_UNARY(sin, SIN, EBB_SIN, EBB_IN(0))

static void cos_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_neg(v->t, ebb_mul(v->t, v->gy, ebb_sin(v->t, v->in[0]))));
}
EBB_UNARY(cos, COS, EBB_COS, EBB_IN(0))

/* gauss' = -2*by*x*y.  x is held at 40, beyond which y is 0 in both types: infinity times it would
 * be NaN. */
static void gauss_vjp(ebb_vjp *v)
{
	ebb_tensor *x = ebb_mul_scalar(
		v->t, ebb_clamp(v->t, v->in[0], -40.0, 40.0), -2 * ebb_constants_of(v)->a);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul(v->t, x, v->out)));
}
static const ebb_op GAUSS = {.name = "gauss", .vjp = gauss_vjp, .reads = {EBB_IN(0) | EBB_OUT}};

ebb_tensor *ebb_gauss(ebb_tape *t, ebb_tensor *x, double by, double factor)
{
	return ebb_unary(t, &GAUSS, EBB_GAUSS, x, &(ebb_constants){by, factor}, NULL);
}

/* d erf x = 2/sqrt(pi)*exp(-x^2) */
static void erf_vjp(ebb_vjp *v)
{
	ebb_tensor *slope = ebb_gauss(v->t, v->in[0], 1, 1.12837916709551257390);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, slope));
}
EBB_UNARY(erf, ERF, EBB_ERF, EBB_IN(0))
