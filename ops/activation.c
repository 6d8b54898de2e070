/*
 * activation.c - activation functions with parameters, and the gradients and derivatives that
 * are ops of their own (gradients.h).
 */
#include "ops/gradients.h"

/* f(gy, y) with gy = v->gy and y = v->out.  The result overwrites gy if v->owns_gy is true and gy
 * and y have the same memory order. */
static ebb_tensor *from_result(ebb_vjp *v, const ebb_op *op, ebb_binary_fn f)
{
	ebb_tensor *in[] = {v->gy, v->out};
	ebb_call c;

	if (!v->owns_gy || !ebb_same_memory(v->gy, v->out))
		return ebb_binary(v->t, op, f, v->gy, v->out, 0, NULL);
	c = ebb_begin(v->t, op, NULL, 2, in);
	if (c.t)
		RUN(v->gy, binary, f, v->gy->count, v->gy->data, v->out->data, v->gy->data, 0);
	return ebb_record(&c, v->gy);
}

/* ---- Sigmoids -------------------------------------------------------------------------------- */

/* tanh' = 1 - y^2.  tanh_grad(gy, y) = gy*(1 - y^2).  With g the incoming gradient of tanh_grad,
 * the gradient of gy is tanh_grad(g, y), and the gradient of y is -2*g*gy*y. */
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
	return ebb_binary(t, &TANH_GRAD, EBB_BINARY_tanh_grad, gy, y, 0, NULL);
}

ebb_tensor *ebb_tanh_grad_of_result(ebb_vjp *v)
{
	return from_result(v, &TANH_GRAD, EBB_BINARY_tanh_grad);
}

/* sigmoid' = y*(1 - y).  sigmoid_grad(gy, y) = gy*y*(1 - y).  With g its incoming gradient, the
 * gradient of y is g*gy*(1 - 2y). */
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
	return ebb_binary(t, &SIGMOID_GRAD, EBB_BINARY_sigmoid_grad, gy, y, 0, NULL);
}

ebb_tensor *ebb_sigmoid_grad_of_result(ebb_vjp *v)
{
	return from_result(v, &SIGMOID_GRAD, EBB_BINARY_sigmoid_grad);
}

/* ---- Rectifiers ------------------------------------------------------------------------------ */

/* relu_grad(gy, y) = gy where y > 0, else 0.  It is linear in gy, so its gradient is relu_grad. */
static void relu_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_relu_grad(v->t, v->gy, v->in[1]));
}
static const ebb_op RELU_GRAD = {.name = "relu_grad",
	.vjp = relu_grad_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

ebb_tensor *ebb_relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y)
{
	return ebb_binary(t, &RELU_GRAD, EBB_BINARY_relu_grad, gy, y, 0, NULL);
}

ebb_tensor *ebb_relu_grad_of_result(ebb_vjp *v)
{
	return from_result(v, &RELU_GRAD, EBB_BINARY_relu_grad);
}

/* leaky_relu_grad(gy, x; slope) = gy where x > 0, else slope*gy; linear in gy.  Without an
 * attribute the slope is 0. */
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
	return ebb_binary(t, &LEAKY_RELU_GRAD, EBB_BINARY_leaky_relu_grad, gy, x, slope, NULL);
}

static void leaky_relu_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, leaky_relu_grad(v->t, v->gy, v->in[0], ebb_constants_of(v)->a));
}
static const ebb_op LEAKY_RELU = {
	.name = "leaky_relu", .vjp = leaky_relu_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_leaky_relu)(ebb_tape *t, ebb_tensor *x, double slope, const char *site)
{
	return ebb_unary(t, &LEAKY_RELU, EBB_UNARY_leaky_relu, x, &(ebb_constants){slope, 0}, site);
}

/* relu6_grad(gy, y) = gy where 0 < y < 6, else 0; linear in gy. */
static ebb_tensor *relu6_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y);

static void relu6_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, relu6_grad(v->t, v->gy, v->in[1]));
}
static const ebb_op RELU6_GRAD = {.name = "relu6_grad",
	.vjp = relu6_grad_vjp,
	.reads = {EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

static ebb_tensor *relu6_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y)
{
	return ebb_binary(t, &RELU6_GRAD, EBB_BINARY_relu6_grad, gy, y, 0, NULL);
}

ebb_tensor *ebb_relu6_grad_of_result(ebb_vjp *v)
{
	return from_result(v, &RELU6_GRAD, EBB_BINARY_relu6_grad);
}

/* hardswish_grad(gy, x) = gy*(x/3 + 1/2) where -3 <= x < 3, 0 for smaller x, gy for larger x.  It
 * is linear in gy; its derivative by x is gy/3 where -3 < x < 3, else 0. */
static void hardswish_grad_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_hardswish_grad(v->t, v->gy, v->in[1]));
	if (ebb_wants(v, 1)) {
		ebb_tensor *g = ebb_mul(v->t, v->gy, v->in[0]);

		g = relu6_grad(v->t, g, ebb_add_scalar(v->t, v->in[1], 3.0));
		ebb_give(v, 1, ebb_mul_scalar(v->t, g, 1.0 / 3));
	}
}
static const ebb_op HARDSWISH_GRAD = {.name = "hardswish_grad",
	.vjp = hardswish_grad_vjp,
	.reads = {EBB_IN(1), EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

ebb_tensor *ebb_hardswish_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *x)
{
	return ebb_binary(t, &HARDSWISH_GRAD, EBB_BINARY_hardswish_grad, gy, x, 0, NULL);
}

/* prelu_slope(x, w) = 1 where x > 0, else w; its derivative by w is 1 where x <= 0. */
static void prelu_slope_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 1))
		ebb_give(v, 1,
			ebb_mul(v->t, v->gy,
				ebb_mask(v->t, EBB_UNARY_inside, v->in[0], -INFINITY, 0, NULL)));
}
static const ebb_op PRELU_SLOPE = {.name = "prelu_slope",
	.vjp = prelu_slope_vjp,
	.reads = {0, EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

/* The derivative of prelu by x is prelu_slope, by w it is min(x, 0). */
static void prelu_vjp(ebb_vjp *v)
{
	ebb_tensor *x = v->in[0];

	if (ebb_wants(v, 0)) {
		ebb_tensor *slope = ebb_binary(
			v->t, &PRELU_SLOPE, EBB_BINARY_prelu_slope, x, v->in[1], 0, NULL);

		ebb_give(v, 0, ebb_mul(v->t, v->gy, slope));
	}
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_mul(v->t, v->gy, ebb_clamp(v->t, x, -INFINITY, 0.0)));
}
static const ebb_op PRELU = {.name = "prelu",
	.vjp = prelu_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true};

ebb_tensor *(ebb_prelu)(ebb_tape *t, ebb_tensor *x, ebb_tensor *weight, const char *site)
{
	ebb_tensor *in[] = {x, weight};
	ebb_call c = ebb_begin(t, &PRELU, site, 2, in);
	char a[240], b[240];

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "weight"))
		return NULL;
	x = in[0];
	weight = in[1];
	if (weight->ndim > 1 ||
		(weight->count != 1 && (x->ndim < 2 || weight->count != x->shape[1])))
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"weight must be [1], or [C] for x [N,C,..]: weight %s, x %s",
			ebb_describe(weight, b, sizeof b), ebb_describe(x, a, sizeof a));
	weight = x->ndim < 2 ? (ebb_reshape)(t, weight, EBB_SCALAR_SHAPE, site)
	                     : ebb_per_channel(t, weight, x->ndim, site);
	return ebb_binary(t, &PRELU, EBB_BINARY_prelu, x, weight, 0, site);
}

/* ---- Exponentials on one side ---------------------------------------------------------------- */

/* elu' = 1 where x > 0, else alpha*exp(x).  The exponent is min(x, 0), because exp(x) could
 * overflow for positive x; min is -relu(-x), whose derivative at 0 is 0. */
ebb_tensor *ebb_elu_slope(ebb_tape *t, ebb_tensor *x, double alpha)
{
	ebb_tensor *positive = ebb_mask(t, EBB_UNARY_step, x, 0, 0, NULL);
	ebb_tensor *negative = ebb_mask(t, EBB_UNARY_inside, x, -INFINITY, 0, NULL);
	ebb_tensor *e = ebb_exp(t, ebb_neg(t, ebb_relu(t, ebb_neg(t, x))));

	return ebb_add(t, positive, ebb_mul_scalar(t, ebb_mul(t, negative, e), alpha));
}

static void elu_vjp(ebb_vjp *v)
{
	ebb_tensor *slope = ebb_elu_slope(v->t, v->in[0], ebb_constants_of(v)->a);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, slope));
}
static const ebb_op ELU = {.name = "elu", .vjp = elu_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *(ebb_elu)(ebb_tape *t, ebb_tensor *x, double alpha, const char *site)
{
	return ebb_unary(t, &ELU, EBB_UNARY_elu, x, &(ebb_constants){alpha, 0}, site);
}

/* ---- Smooth ---------------------------------------------------------------------------------- */

ebb_tensor *ebb_sigmoid_slope(ebb_tape *t, ebb_tensor *x)
{
	return ebb_mul(t, ebb_sigmoid(t, x), ebb_sigmoid(t, ebb_neg(t, x)));
}

/* softplus' = sigmoid, as an op of its own whose derivative is sigmoid(x)*sigmoid(-x): y*(1 -
 * y), the derivative of the op sigmoid, cancels where y is nearly 1. */
static void softplus_slope_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_sigmoid_slope(v->t, v->in[0])));
}
static const ebb_op SOFTPLUS_SLOPE = {
	.name = "softplus_slope", .vjp = softplus_slope_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *ebb_softplus_slope(ebb_tape *t, ebb_tensor *x)
{
	return ebb_unary(t, &SOFTPLUS_SLOPE, EBB_UNARY_sigmoid, x, NULL, NULL);
}

/* In both types exp(-x) is 0 for x >= FAR.  A second
 * derivative is such an exponential times a power of x; x is clamped, because infinity*0 would
 * be NaN. */
static const double FAR = 800;

static ebb_tensor *held(const ebb_vjp *v)
{
	return ebb_clamp(v->t, v->in[0], -FAR, FAR);
}

/* mish' as an op, whose derivative does not cancel: with s = sigmoid x,
 * q = 1 - s, u = tanh(softplus x) = s(1+q)/(1+q^2) and w = 1 - u^2 = (2q/(1+q^2))^2,
 * mish'' = s*w*(2 + x*(q - 2*u*s)). */
static void mish_slope_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *x = held(v), *s = ebb_sigmoid(t, x), *q = ebb_sigmoid(t, ebb_neg(t, x));
	ebb_tensor *r = ebb_reciprocal(t, ebb_add_scalar(t, ebb_square(t, q), 1.0));
	ebb_tensor *us = ebb_mul(t, ebb_square(t, s), ebb_mul(t, ebb_add_scalar(t, q, 1.0), r));
	ebb_tensor *w = ebb_square(t, ebb_mul_scalar(t, ebb_mul(t, q, r), 2.0));
	ebb_tensor *rest = ebb_mul(t, x, ebb_sub(t, q, ebb_mul_scalar(t, us, 2.0)));
	ebb_tensor *slope = ebb_mul(t, ebb_mul(t, s, w), ebb_add_scalar(t, rest, 2.0));

	ebb_give(v, 0, ebb_mul(t, v->gy, slope));
}
static const ebb_op MISH_SLOPE = {
	.name = "mish_slope", .vjp = mish_slope_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *ebb_mish_slope(ebb_tape *t, ebb_tensor *x)
{
	return ebb_unary(t, &MISH_SLOPE, EBB_UNARY_mish_slope, x, NULL, NULL);
}

/* silu' = s*(1 + x*q), s = sigmoid x, q = 1 - s; silu'' = s*q*(2 + x*(q - s)) */
static void silu_slope_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *x = held(v), *s = ebb_sigmoid(t, x), *q = ebb_sigmoid(t, ebb_neg(t, x));
	ebb_tensor *rest = ebb_add_scalar(t, ebb_mul(t, x, ebb_sub(t, q, s)), 2.0);

	ebb_give(v, 0, ebb_mul(t, v->gy, ebb_mul(t, ebb_mul(t, s, q), rest)));
}
static const ebb_op SILU_SLOPE = {
	.name = "silu_slope", .vjp = silu_slope_vjp, .reads = {EBB_IN(0)}};

ebb_tensor *ebb_silu_slope(ebb_tape *t, ebb_tensor *x)
{
	return ebb_unary(t, &SILU_SLOPE, EBB_UNARY_silu_slope, x, NULL, NULL);
}
