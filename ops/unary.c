/* unary.c - elementwise functions of one tensor, and their derivatives. */
#include "ops/internal.h"

typedef struct constants {
	double a, b;
} constants;

/* y = f(x; a, b) over dense memory, in x's order. */
static ebb_tensor *unary(ebb_tape *t, const ebb_op *op, ebb_unary_fn f, ebb_tensor *x,
	const constants *k, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y;

	if (!ebb_check_real(&c, 0, "x"))
		return NULL;
	y = ebb_new_like(&c, x);
	if (y)
		KERNELS(y)->unary(f, y->count, x->data, y->data, k ? k->a : 0, k ? k->b : 0);
	if (k)
		ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

static const constants *constants_of(const ebb_vjp *v)
{
	return v->attrs;
}

/* A unary op without constants: its vjp is written above each. */
#define UNARY(op, NAME, FN, READS)                                                                 \
	static const ebb_op NAME = {.name = #op, .vjp = op##_vjp, .reads = {READS}};               \
	ebb_tensor *(ebb_##op)(ebb_tape * t, ebb_tensor * x, const char *site)                     \
	{                                                                                          \
		return unary(t, &NAME, FN, x, NULL, site);                                         \
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
		KERNELS(y)->unary(f, y->count, x->data, y->data, a, b);
	return ebb_record(&c, y);
}

/* ---- Polynomials and powers ------------------------------------------------------------------ */

/* d(-x) = -1 */
static void neg_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_neg(v->t, v->gy));
}
UNARY(neg, NEG, EBB_NEG, 0)

/* d|x| = sign x */
static void abs_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_sign(v->t, v->in[0])));
}
UNARY(abs, ABS, EBB_ABS, EBB_IN(0))

/* Zero, and said so: ebb_backward then deposits it. */
static void sign_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_zeros_like(v->t, v->gy));
}
UNARY(sign, SIGN, EBB_SIGN, 0)

/* d(x^2) = 2x */
static void square_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul_scalar(v->t, v->in[0], 2.0)));
}
UNARY(square, SQUARE, EBB_SQUARE, EBB_IN(0))

/* d(1/x) = -y^2 */
static void reciprocal_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_neg(v->t, ebb_mul(v->t, v->gy, ebb_square(v->t, v->out))));
}
UNARY(reciprocal, RECIPROCAL, EBB_RECIPROCAL, EBB_OUT)

/* d sqrt x = 1/(2y) */
static void sqrt_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div(v->t, v->gy, ebb_mul_scalar(v->t, v->out, 2.0)));
}
UNARY(sqrt, SQRT, EBB_SQRT, EBB_OUT)

/* d(x + s) = 1 */
static void add_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->gy);
}
static const ebb_op ADD_SCALAR = {.name = "add_scalar", .vjp = add_scalar_vjp, .gy_strided = true};

ebb_tensor *(ebb_add_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return unary(t, &ADD_SCALAR, EBB_ADD_SCALAR, x, &(constants){s, 0}, site);
}

/* d(s*x) = s */
static void mul_scalar_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, constants_of(v)->a));
}
static const ebb_op MUL_SCALAR = {.name = "mul_scalar", .vjp = mul_scalar_vjp};

ebb_tensor *(ebb_mul_scalar)(ebb_tape *t, ebb_tensor *x, double s, const char *site)
{
	return unary(t, &MUL_SCALAR, EBB_MUL_SCALAR, x, &(constants){s, 0}, site);
}

/* d(x^p) = p*x^(p-1); x^0 is constant, at 0 too */
static void pow_scalar_vjp(ebb_vjp *v)
{
	double p = constants_of(v)->a;

	ebb_give(v, 0,
		p == 0 ? ebb_zeros_like(v->t, v->gy)
		       : ebb_mul(v->t, v->gy,
				 ebb_mul_scalar(v->t, ebb_pow_scalar(v->t, v->in[0], p - 1), p)));
}
static const ebb_op POW_SCALAR = {
	.name = "pow_scalar", .vjp = pow_scalar_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_pow_scalar)(ebb_tape *t, ebb_tensor *x, double p, const char *site)
{
	return unary(t, &POW_SCALAR, EBB_POW_SCALAR, x, &(constants){p, 0}, site);
}

/* ---- Exponentials, trigonometry -------------------------------------------------------------- */

static void exp_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->out));
}
UNARY(exp, EXP, EBB_EXP, EBB_OUT)

static void log_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_div(v->t, v->gy, v->in[0]));
}
UNARY(log, LOG, EBB_LOG, EBB_IN(0))

static void sin_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_cos(v->t, v->in[0])));
}
UNARY(sin, SIN, EBB_SIN, EBB_IN(0))

static void cos_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_neg(v->t, ebb_mul(v->t, v->gy, ebb_sin(v->t, v->in[0]))));
}
UNARY(cos, COS, EBB_COS, EBB_IN(0))

/* d erf x = 2/sqrt(pi)*exp(-x^2) */
static void erf_vjp(ebb_vjp *v)
{
	const double two_over_sqrt_pi = 1.12837916709551257390;

	ebb_give(v, 0,
		ebb_mul(v->t, v->gy,
			ebb_mul_scalar(v->t,
				ebb_exp(v->t, ebb_neg(v->t, ebb_square(v->t, v->in[0]))),
				two_over_sqrt_pi)));
}
UNARY(erf, ERF, EBB_ERF, EBB_IN(0))

/* tanh: y' = 1 - y^2.  tanh_grad(gy, y) = gy*(1 - y^2); its own derivatives: tanh_grad(g, y)
 * and -2*g*gy*y. */
static ebb_tensor *tanh_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y);

static void tanh_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, tanh_grad(v->t, v->gy, v->in[1]));
	if (ebb_wants(v, 1))
		ebb_give(v, 1,
			ebb_mul_scalar(v->t,
				ebb_mul(v->t, ebb_mul(v->t, v->gy, v->in[0]), v->in[1]), -2.0));
}
static const ebb_op TANH_GRAD = {.name = "tanh_grad",
	.vjp = tanh_grad_vjp,
	.reads = {EBB_IN(1), EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

static ebb_tensor *tanh_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y)
{
	return ebb_binary(t, &TANH_GRAD, EBB_TANH_GRAD, gy, y, 0, NULL);
}

static void tanh_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, tanh_grad(v->t, v->gy, v->out));
}
UNARY(tanh, TANH, EBB_TANH, EBB_OUT)

/* sigmoid: y' = y*(1 - y).  sigmoid_grad(gy, y) = gy*y*(1 - y); by y: g*gy*(1 - 2y). */
static ebb_tensor *sigmoid_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y);

static void sigmoid_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, sigmoid_grad(v->t, v->gy, v->in[1]));
	if (ebb_wants(v, 1))
		ebb_give(v, 1,
			ebb_mul(v->t, ebb_mul(v->t, v->gy, v->in[0]),
				ebb_add_scalar(v->t, ebb_mul_scalar(v->t, v->in[1], -2.0), 1.0)));
}
static const ebb_op SIGMOID_GRAD = {.name = "sigmoid_grad",
	.vjp = sigmoid_grad_vjp,
	.reads = {EBB_IN(1), EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

static ebb_tensor *sigmoid_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y)
{
	return ebb_binary(t, &SIGMOID_GRAD, EBB_SIGMOID_GRAD, gy, y, 0, NULL);
}

static void sigmoid_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, sigmoid_grad(v->t, v->gy, v->out));
}
UNARY(sigmoid, SIGMOID, EBB_SIGMOID, EBB_OUT)

/* ---- Activations ----------------------------------------------------------------------------- */

/* relu: y = max(x, 0).  relu_grad: gx = gy where y > 0, else 0; linear in gy, so it is its own
 * gradient. */
static ebb_tensor *relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y);

static void relu_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, relu_grad(v->t, v->gy, v->in[1]));
}
static const ebb_op RELU_GRAD = {.name = "relu_grad",
	.vjp = relu_grad_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

static ebb_tensor *relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y)
{
	return ebb_binary(t, &RELU_GRAD, EBB_RELU_GRAD, gy, y, 0, NULL);
}

static void relu_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, relu_grad(v->t, v->gy, v->out));
}
UNARY(relu, RELU, EBB_RELU, EBB_OUT)

/* leaky_relu_grad(gy, x; slope): gy where x > 0, else slope*gy; linear in gy.  A slope of 0 is
 * not attached. */
static ebb_tensor *leaky_relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *x, double slope);

static void leaky_relu_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0,
			leaky_relu_grad(
				v->t, v->gy, v->in[1], v->attrs ? *(const double *)v->attrs : 0));
}
static const ebb_op LEAKY_RELU_GRAD = {.name = "leaky_relu_grad",
	.vjp = leaky_relu_grad_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

static ebb_tensor *leaky_relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *x, double slope)
{
	return ebb_binary(t, &LEAKY_RELU_GRAD, EBB_LEAKY_RELU_GRAD, gy, x, slope, NULL);
}

static void leaky_relu_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, leaky_relu_grad(v->t, v->gy, v->in[0], constants_of(v)->a));
}
static const ebb_op LEAKY_RELU = {
	.name = "leaky_relu", .vjp = leaky_relu_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_leaky_relu)(ebb_tape *t, ebb_tensor *x, double slope, const char *site)
{
	return unary(t, &LEAKY_RELU, EBB_LEAKY_RELU, x, &(constants){slope, 0}, site);
}

/* elu' = 1 where x > 0, else alpha*exp(x); the exponent is held at 0 on the other side, or it
 * could overflow there */
static void elu_vjp(ebb_vjp *v)
{
	ebb_tensor *x = v->in[0];
	ebb_tensor *positive = ebb_mask(v->t, EBB_STEP, x, 0, 0, NULL);
	ebb_tensor *negative =
		positive ? ebb_mask(v->t, EBB_RSUB_SCALAR, positive, 1.0, 0, NULL) : NULL;
	ebb_tensor *e = ebb_exp(v->t, ebb_clamp(v->t, x, -INFINITY, 0.0));
	ebb_tensor *slope = ebb_mul_scalar(v->t, ebb_mul(v->t, negative, e), constants_of(v)->a);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_add(v->t, positive, slope)));
}
static const ebb_op ELU = {.name = "elu", .vjp = elu_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_elu)(ebb_tape *t, ebb_tensor *x, double alpha, const char *site)
{
	return unary(t, &ELU, EBB_ELU, x, &(constants){alpha, 0}, site);
}

/* d softplus = sigmoid */
static void softplus_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_sigmoid(v->t, v->in[0])));
}
UNARY(softplus, SOFTPLUS, EBB_SOFTPLUS, EBB_IN(0))

/* silu' = s*(1 + x*(1 - s)), s = sigmoid x */
static void silu_vjp(ebb_vjp *v)
{
	ebb_tensor *s = ebb_sigmoid(v->t, v->in[0]);
	ebb_tensor *rest = ebb_add_scalar(v->t, ebb_neg(v->t, s), 1.0);
	ebb_tensor *slope =
		ebb_mul(v->t, s, ebb_add_scalar(v->t, ebb_mul(v->t, v->in[0], rest), 1.0));

	ebb_give(v, 0, ebb_mul(v->t, v->gy, slope));
}
UNARY(silu, SILU, EBB_SILU, EBB_IN(0))

/* gelu' = Phi(x) + x*phi(x), phi the normal density */
static void gelu_vjp(ebb_vjp *v)
{
	const double inv_sqrt_2 = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;
	ebb_tensor *x = v->in[0];
	ebb_tensor *cdf = ebb_mul_scalar(v->t,
		ebb_add_scalar(v->t, ebb_erf(v->t, ebb_mul_scalar(v->t, x, inv_sqrt_2)), 1.0), 0.5);
	ebb_tensor *pdf = ebb_mul_scalar(
		v->t, ebb_exp(v->t, ebb_mul_scalar(v->t, ebb_square(v->t, x), -0.5)), inv_sqrt_2pi);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_add(v->t, cdf, ebb_mul(v->t, x, pdf))));
}
static const ebb_op GELU = {.name = "gelu", .vjp = gelu_vjp, .reads = {EBB_IN(0)}};

/* With u = k*(x + c*x^3), y = x/2*(1 + tanh u): y' = (1 + tanh u)/2 + x/2*(1 - tanh^2 u)*k*(1 +
 * 3c*x^2) */
static void gelu_tanh_vjp(ebb_vjp *v)
{
	const double k = 0.79788456080286535588, c = 0.044715;
	ebb_tensor *x = v->in[0], *x2 = ebb_square(v->t, x);
	ebb_tensor *u = ebb_mul_scalar(
		v->t, ebb_mul(v->t, x, ebb_add_scalar(v->t, ebb_mul_scalar(v->t, x2, c), 1.0)), k);
	ebb_tensor *th = ebb_tanh(v->t, u);
	ebb_tensor *du = ebb_mul_scalar(
		v->t, ebb_add_scalar(v->t, ebb_mul_scalar(v->t, x2, 3 * c), 1.0), 0.5 * k);
	ebb_tensor *sech2 = ebb_add_scalar(v->t, ebb_neg(v->t, ebb_square(v->t, th)), 1.0);
	ebb_tensor *left = ebb_mul_scalar(v->t, ebb_add_scalar(v->t, th, 1.0), 0.5);

	ebb_give(v, 0,
		ebb_mul(v->t, v->gy,
			ebb_add(v->t, left, ebb_mul(v->t, ebb_mul(v->t, x, sech2), du))));
}
static const ebb_op GELU_TANH = {.name = "gelu", .vjp = gelu_tanh_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_gelu)(const ebb_gelu_args *a)
{
	return a->tanh ? unary(a->t, &GELU_TANH, EBB_GELU_TANH, a->x, NULL, a->site)
	               : unary(a->t, &GELU, EBB_GELU, a->x, NULL, a->site);
}

/* clamp' = 1 where lo <= x <= hi */
static void clamp_vjp(ebb_vjp *v)
{
	const constants *k = constants_of(v);

	ebb_give(
		v, 0, ebb_mul(v->t, v->gy, ebb_mask(v->t, EBB_INSIDE, v->in[0], k->a, k->b, NULL)));
}
static const ebb_op CLAMP = {.name = "clamp", .vjp = clamp_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_clamp)(ebb_tape *t, ebb_tensor *x, double lo, double hi, const char *site)
{
	if (!ebb_failed(t) && !(lo <= hi))
		return ebb_fail(t, EBB_INVALID, site, "clamp: lo %g must be at most hi %g", lo, hi);
	return unary(t, &CLAMP, EBB_CLAMP, x, &(constants){lo, hi}, site);
}
