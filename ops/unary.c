/*
 * unary.c - elementwise functions of one tensor: the ops of kernels/unary.def, and those with
 * parameters.
 */
#include "ops/gradients.h"

ebb_tensor *ebb_unary(ebb_tape *t, const ebb_op *op, ebb_unary_fn f, ebb_tensor *x,
	const ebb_constants *k, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y;

	if (c.t && !ebb_is_real(x))
		return ebb_integer_unary(&c, f, k);
	y = ebb_new_like(&c, x);
	if (y)
		RUN(y, unary, f, y->count, x->data, y->data, k ? k->a : 0, k ? k->b : 0);
	if (k)
		ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

/* ---- Masks: functions of x without a gradient ------------------------------------------------ */

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

/* ---- Ops without parameters ------------------------------------------------------------------ */

/* The words for tensors that a gradient reads, in the column GRADIENT. */
#define NOTHING 0
#define X EBB_IN(0)
#define Y EBB_OUT

#define READS_GRADIENT(reads, expr) reads
#define READS_ZERO NOTHING
#define VALUE_GRADIENT(reads, expr) expr
/* ebb_give gets a tensor of zeros, so that ebb_backward gives the parameter a gradient of zeros. */
#define VALUE_ZERO ebb_zeros_like(t, gy)

#define UNARY(op, domain, torch, exact, value, gradient)                                           \
	static void op##_vjp(ebb_vjp *v)                                                           \
	{                                                                                          \
		ebb_tape *t = v->t;                                                                \
		ebb_tensor *gy = v->gy, *x = v->in[0], *y = v->out;                                \
                                                                                                   \
		(void)t, (void)gy, (void)x, (void)y;                                               \
		ebb_give(v, 0, VALUE_##gradient);                                                  \
	}                                                                                          \
	static const ebb_op op##_op = {.name = #op, .vjp = op##_vjp, .reads = {READS_##gradient}}; \
	ebb_tensor *(ebb_##op)(ebb_tape * t, ebb_tensor * x, const char *site)                     \
	{                                                                                          \
		return ebb_unary(t, &op##_op, EBB_UNARY_##op, x, NULL, site);                      \
	}
#include "kernels/unary.def"

/* ---- Ops with parameters --------------------------------------------------------------------- */

/* d(x + s) = 1 */
static void add_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
}
static const ebb_op ADD_SCALAR = {.name = "add_scalar", .vjp = add_scalar_vjp, .gy_strided = true};

ebb_tensor *(ebb_add_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return ebb_unary(t, &ADD_SCALAR, EBB_UNARY_add_scalar, x, &(ebb_constants){s, 0}, site);
}

/* d(s*x) = s */
static void mul_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, ebb_constants_of(v)->a));
}
static const ebb_op MUL_SCALAR = {.name = "mul_scalar", .vjp = mul_scalar_vjp};

ebb_tensor *(ebb_mul_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return ebb_unary(t, &MUL_SCALAR, EBB_UNARY_mul_scalar, x, &(ebb_constants){s, 0}, site);
}

/* d(x/s) = 1/s */
static void div_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div_scalar(v->t, v->gy, ebb_constants_of(v)->a));
}
static const ebb_op DIV_SCALAR = {.name = "div_scalar", .vjp = div_scalar_vjp};

ebb_tensor *(ebb_div_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return ebb_unary(t, &DIV_SCALAR, EBB_UNARY_div_scalar, x, &(ebb_constants){s, 0}, site);
}

/* d(x^p) = p*x^(p-1); the derivative of x^0 is 0, also at 0 */
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
	return ebb_unary(t, &POW_SCALAR, EBB_UNARY_pow_scalar, x, &(ebb_constants){p, 0}, site);
}

/* clamp' = 1 where lo <= x <= hi */
static void clamp_vjp(ebb_vjp *v)
{
	const ebb_constants *k = ebb_constants_of(v);
	ebb_tensor *inside = ebb_mask(v->t, EBB_UNARY_inside, v->in[0], k->a, k->b, NULL);

	ebb_give(v, 0, ebb_mul_or_zero(v->t, v->gy, inside, NULL));
}
static const ebb_op CLAMP = {.name = "clamp", .vjp = clamp_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_clamp)(ebb_tape *t, ebb_tensor *x, double lo, double hi, const char *site)
{
	if (!ebb_failed(t) && (isnan(lo) || isnan(hi)))
		return ebb_fail(t, EBB_INVALID, site, "clamp: lo is %g, hi is %g", lo, hi);
	return ebb_unary(t, &CLAMP, EBB_UNARY_clamp, x, &(ebb_constants){lo, hi}, site);
}

/* ---- The derivative of erf, and the normal density ------------------------------------------- */

/* gauss' = -2*by*x*y.  x is clamped to [-40, 40]: y is 0 beyond in both types, and infinity*0
 * would be NaN. */
static void gauss_vjp(ebb_vjp *v)
{
	ebb_tensor *x = ebb_mul_scalar(
		v->t, ebb_clamp(v->t, v->in[0], -40.0, 40.0), -2 * ebb_constants_of(v)->a);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul(v->t, x, v->out)));
}
static const ebb_op GAUSS = {.name = "gauss", .vjp = gauss_vjp, .reads = {EBB_IN(0) | EBB_OUT}};

ebb_tensor *ebb_gauss(ebb_tape *t, ebb_tensor *x, double by, double factor)
{
	return ebb_unary(t, &GAUSS, EBB_UNARY_gauss, x, &(ebb_constants){by, factor}, NULL);
}

/* ---- The derivatives of asin and atan -------------------------------------------------------- */

/* asin'' = x*y^3, y = asin' */
static void asin_slope_vjp(ebb_vjp *v)
{
	ebb_tensor *y = v->out, *cube = ebb_mul(v->t, y, ebb_square(v->t, y));

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul(v->t, v->in[0], cube)));
}
static const ebb_op ASIN_SLOPE = {
	.name = "asin_slope", .vjp = asin_slope_vjp, .reads = {EBB_IN(0) | EBB_OUT}};

ebb_tensor *ebb_asin_slope(ebb_tape *t, ebb_tensor *x)
{
	return ebb_unary(t, &ASIN_SLOPE, EBB_UNARY_asin_slope, x, NULL, NULL);
}

/* atan'' = -2*x*y^2, y = atan'; 0 for infinite x, where y is 0. */
static void atan_slope_vjp(ebb_vjp *v)
{
	ebb_tensor *y = v->out, *xy = ebb_mul_or_zero(v->t, v->in[0], y, NULL);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul_scalar(v->t, ebb_mul(v->t, xy, y), -2.0)));
}
static const ebb_op ATAN_SLOPE = {
	.name = "atan_slope", .vjp = atan_slope_vjp, .reads = {EBB_IN(0) | EBB_OUT}};

ebb_tensor *ebb_atan_slope(ebb_tape *t, ebb_tensor *x)
{
	return ebb_unary(t, &ATAN_SLOPE, EBB_UNARY_atan_slope, x, NULL, NULL);
}
