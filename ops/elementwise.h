/*
 * elementwise.h - functions of each element: of one tensor, of two tensors, and comparisons.
 *
 * Functions of one tensor return a tensor of x's shape and type, in x's memory order.  neg, abs,
 * sign, square, clamp, add_scalar, mul_scalar, add, sub, mul, maximum, minimum, floor_div,
 * remainder, where and comparisons take I64 and U8, too: results are modulo 2^64 (I64) or 2^8 (U8),
 * constants must be integers, and there are no gradients.  For other functions integers are an
 * error.  The comment of a function states its derivative at a kink.  For an infinite x the value
 * and the derivatives are their limits, or NaN if there is no limit.  The ops without parameters
 * are rows of kernels/unary.def and kernels/binary.def.
 */
#ifndef EBB_OPS_ELEMENTWISE_H
#define EBB_OPS_ELEMENTWISE_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Functions of one tensor (unary.c, activation.c) ----------------------------------------- */

/* y = -x */
EBB_API ebb_tensor *ebb_neg(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_neg(...) EBB_CALL(ebb_neg, __VA_ARGS__)
/* y = |x|; derivative 0 at 0 */
EBB_API ebb_tensor *ebb_abs(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_abs(...) EBB_CALL(ebb_abs, __VA_ARGS__)
/* y = -1, 0 or 1, the sign of x; derivative 0 */
EBB_API ebb_tensor *ebb_sign(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_sign(...) EBB_CALL(ebb_sign, __VA_ARGS__)
/* y = e^x */
EBB_API ebb_tensor *ebb_exp(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_exp(...) EBB_CALL(ebb_exp, __VA_ARGS__)
/* y = the natural logarithm of x, NaN for negative x; derivative 1/x, also for negative x */
EBB_API ebb_tensor *ebb_log(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_log(...) EBB_CALL(ebb_log, __VA_ARGS__)
/* y = e^x - 1, without cancellation for small x */
EBB_API ebb_tensor *ebb_expm1(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_expm1(...) EBB_CALL(ebb_expm1, __VA_ARGS__)
/* y = log(1 + x), without cancellation for small x */
EBB_API ebb_tensor *ebb_log1p(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_log1p(...) EBB_CALL(ebb_log1p, __VA_ARGS__)
/* y = x^(1/2), NaN for negative x; y(-0) = 0 */
EBB_API ebb_tensor *ebb_sqrt(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_sqrt(...) EBB_CALL(ebb_sqrt, __VA_ARGS__)
/* y = x^(-1/2), NaN for negative x; y(-0) = infinity */
EBB_API ebb_tensor *ebb_rsqrt(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_rsqrt(...) EBB_CALL(ebb_rsqrt, __VA_ARGS__)
/* y = the largest integer <= x; derivative 0 */
EBB_API ebb_tensor *ebb_floor(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_floor(...) EBB_CALL(ebb_floor, __VA_ARGS__)
/* y = x^2 */
EBB_API ebb_tensor *ebb_square(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_square(...) EBB_CALL(ebb_square, __VA_ARGS__)
/* y = 1/x */
EBB_API ebb_tensor *ebb_reciprocal(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_reciprocal(...) EBB_CALL(ebb_reciprocal, __VA_ARGS__)
/* y = sin x, x in radians */
EBB_API ebb_tensor *ebb_sin(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_sin(...) EBB_CALL(ebb_sin, __VA_ARGS__)
/* y = cos x, x in radians */
EBB_API ebb_tensor *ebb_cos(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_cos(...) EBB_CALL(ebb_cos, __VA_ARGS__)
/* y = tan x, x in radians */
EBB_API ebb_tensor *ebb_tan(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_tan(...) EBB_CALL(ebb_tan, __VA_ARGS__)
/* y = arcsin x, in [-pi/2,pi/2]; NaN for |x| > 1 */
EBB_API ebb_tensor *ebb_asin(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_asin(...) EBB_CALL(ebb_asin, __VA_ARGS__)
/* y = arccos x, in [0,pi]; NaN for |x| > 1 */
EBB_API ebb_tensor *ebb_acos(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_acos(...) EBB_CALL(ebb_acos, __VA_ARGS__)
/* y = arctan x, in [-pi/2,pi/2] */
EBB_API ebb_tensor *ebb_atan(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_atan(...) EBB_CALL(ebb_atan, __VA_ARGS__)
/* y = (e^x - e^-x)/2 */
EBB_API ebb_tensor *ebb_sinh(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_sinh(...) EBB_CALL(ebb_sinh, __VA_ARGS__)
/* y = (e^x + e^-x)/2 */
EBB_API ebb_tensor *ebb_cosh(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_cosh(...) EBB_CALL(ebb_cosh, __VA_ARGS__)
/* y = (e^x - e^-x)/(e^x + e^-x).  The gradient gy*(1 - y)*(1 + y) is computed from y: in F32 it
 * has no correct digits for |x| > 9. */
EBB_API ebb_tensor *ebb_tanh(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_tanh(...) EBB_CALL(ebb_tanh, __VA_ARGS__)
/* y = 2/sqrt(pi) * integral of exp(-u^2) from 0 to x, the error function */
EBB_API ebb_tensor *ebb_erf(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_erf(...) EBB_CALL(ebb_erf, __VA_ARGS__)
/* y = 1/(1+exp(-x)).  The gradient gy*y*(1 - y) is computed from y: in F32 it has no correct
 * digits for x > 16.  The gradients of ebb_bce_with_logits, ebb_logsigmoid and ebb_softplus are
 * accurate there. */
EBB_API ebb_tensor *ebb_sigmoid(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_sigmoid(...) EBB_CALL(ebb_sigmoid, __VA_ARGS__)
/* y = log(1+exp(x)) */
EBB_API ebb_tensor *ebb_softplus(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_softplus(...) EBB_CALL(ebb_softplus, __VA_ARGS__)
/* y = x*sigmoid(x); Elfwing et al. 2018 */
EBB_API ebb_tensor *ebb_silu(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_silu(...) EBB_CALL(ebb_silu, __VA_ARGS__)
/* y = log(sigmoid(x)) = -softplus(-x) */
EBB_API ebb_tensor *ebb_logsigmoid(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_logsigmoid(...) EBB_CALL(ebb_logsigmoid, __VA_ARGS__)
/* y = x*tanh(softplus(x)); Misra 2019 */
EBB_API ebb_tensor *ebb_mish(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_mish(...) EBB_CALL(ebb_mish, __VA_ARGS__)
/* y = x*min(max(x+3,0),6)/6; derivative -1/2 at -3, 1 at 3; Howard et al. 2019 */
EBB_API ebb_tensor *ebb_hardswish(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_hardswish(...) EBB_CALL(ebb_hardswish, __VA_ARGS__)
/* y = x/(1+|x|) */
EBB_API ebb_tensor *ebb_softsign(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_softsign(...) EBB_CALL(ebb_softsign, __VA_ARGS__)
/* y = max(x,0); derivative 0 at 0 */
EBB_API ebb_tensor *ebb_relu(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_relu(...) EBB_CALL(ebb_relu, __VA_ARGS__)
/* y = min(max(x,0),6); derivative 0 at 0 and at 6 */
EBB_API ebb_tensor *ebb_relu6(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_relu6(...) EBB_CALL(ebb_relu6, __VA_ARGS__)
/* y = min(max(x,-1),1); derivative 0 at -1 and at 1 */
EBB_API ebb_tensor *ebb_hardtanh(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_hardtanh(...) EBB_CALL(ebb_hardtanh, __VA_ARGS__)
/* y = x > 0 ? x : slope*x; derivative slope at 0 */
EBB_API ebb_tensor *ebb_leaky_relu(ebb_tape *t, ebb_tensor *x, double slope, const char *site);
#define ebb_leaky_relu(...) EBB_CALL(ebb_leaky_relu, __VA_ARGS__)
/* y = x > 0 ? x : alpha*(exp(x)-1); derivative alpha at 0; Clevert et al. 2016 */
EBB_API ebb_tensor *ebb_elu(ebb_tape *t, ebb_tensor *x, double alpha, const char *site);
#define ebb_elu(...) EBB_CALL(ebb_elu, __VA_ARGS__)
/* y = s*(x > 0 ? x : a*(exp(x)-1)), s = 1.0507.., a = 1.6732..; derivative s*a at 0; Klambauer
 * et al. 2017 */
EBB_API ebb_tensor *ebb_selu(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_selu(...) EBB_CALL(ebb_selu, __VA_ARGS__)
/* y = x > 0 ? x : weight*x; weight [C], one per channel (axis 1) of x [N,C,..], or [1].  At 0 the
 * derivative by x is weight, by weight 0.  He et al. 2015 */
EBB_API ebb_tensor *ebb_prelu(ebb_tape *t, ebb_tensor *x, ebb_tensor *weight, const char *site);
#define ebb_prelu(...) EBB_CALL(ebb_prelu, __VA_ARGS__)
/* y = z*Phi(z), Phi the distribution function of the normal distribution; z is x, or x + .bias with
 * bias [K] for x [..,K].  .tanh selects the approximation y = z/2*(1 + tanh(sqrt(2/pi)*(z +
 * 0.044715*z^3))).  Hendrycks & Gimpel 2016.  The bias of a linear layer before GELU is best added
 * here, because its gradient is then summed while that of x is computed. */
typedef struct ebb_gelu_args {
	ebb_tape *t;
	ebb_tensor *x;
	bool tanh;
	ebb_tensor *bias;
	const char *site;
} ebb_gelu_args;
EBB_API ebb_tensor *ebb_gelu(const ebb_gelu_args *a);
#define ebb_gelu(...) EBB_CALL_ARGS(ebb_gelu, ebb_gelu_args, __VA_ARGS__)
/* y = min(max(x,lo),hi), so y = hi if lo > hi; derivative 1 where lo <= x <= hi, else 0.  lo or hi
 * NaN is an error.  An integer bound beyond the type's range is the range's end. */
EBB_API ebb_tensor *ebb_clamp(ebb_tape *t, ebb_tensor *x, double lo, double hi, const char *site);
#define ebb_clamp(...) EBB_CALL(ebb_clamp, __VA_ARGS__)
/* y = x + s */
EBB_API ebb_tensor *ebb_add_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
#define ebb_add_scalar(...) EBB_CALL(ebb_add_scalar, __VA_ARGS__)
/* y = x*s */
EBB_API ebb_tensor *ebb_mul_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
#define ebb_mul_scalar(...) EBB_CALL(ebb_mul_scalar, __VA_ARGS__)
/* y = x/s, rounded once; as in IEEE 754, x/0 is an infinity, and 0/0 is NaN */
EBB_API ebb_tensor *ebb_div_scalar(ebb_tape *t, ebb_tensor *x, double s, const char *site);
#define ebb_div_scalar(...) EBB_CALL(ebb_div_scalar, __VA_ARGS__)
/* y = x^p, NaN for negative x unless p is an integer; the derivative of x^0 is 0 */
EBB_API ebb_tensor *ebb_pow_scalar(ebb_tape *t, ebb_tensor *x, double p, const char *site);
#define ebb_pow_scalar(...) EBB_CALL(ebb_pow_scalar, __VA_ARGS__)

/* ---- Functions of two tensors, with broadcasting (binary.c) ---------------------------------- */

/* The shapes of a and b broadcast, and the gradient of an operand is summed to its shape.  Operands
 * of different types are an error. */

/* y = a + b */
EBB_API ebb_tensor *ebb_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_add(...) EBB_CALL(ebb_add, __VA_ARGS__)
/* y = a - b */
EBB_API ebb_tensor *ebb_sub(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_sub(...) EBB_CALL(ebb_sub, __VA_ARGS__)
/* y = a*b */
EBB_API ebb_tensor *ebb_mul(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_mul(...) EBB_CALL(ebb_mul, __VA_ARGS__)
/* y = a/b; integers are an error (see ebb_floor_div) */
EBB_API ebb_tensor *ebb_div(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_div(...) EBB_CALL(ebb_div, __VA_ARGS__)
/* y = floor(a/b), the quotient rounded down; derivative 0.  A real a/0 is infinite or NaN; an
 * integer b of 0 is an error that names its position. */
EBB_API ebb_tensor *ebb_floor_div(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_floor_div(...) EBB_CALL(ebb_floor_div, __VA_ARGS__)
/* y = a - floor(a/b)*b, which has the sign of b, as in Python; derivative 1 by a and -floor(a/b) by
 * b.  A real y is NaN for b = 0; an integer b of 0 is an error that names its position. */
EBB_API ebb_tensor *ebb_remainder(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_remainder(...) EBB_CALL(ebb_remainder, __VA_ARGS__)
/* y = a^b, NaN for negative a unless b is an integer.  The derivative by a is b*a^(b-1), and 0
 * where b = 0; by b it is a^b*log(a), and 0 where a^b = 0 or a = b = 0. */
EBB_API ebb_tensor *ebb_pow(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_pow(...) EBB_CALL(ebb_pow, __VA_ARGS__)
/* y = the angle of the point (b,a) from the positive b axis, in [-pi,pi]; derivatives 0 where a = b =
 * 0 */
EBB_API ebb_tensor *ebb_atan2(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_atan2(...) EBB_CALL(ebb_atan2, __VA_ARGS__)
/* y = max(a,b), NaN if either is NaN; where a = b each operand gets half of the gradient */
EBB_API ebb_tensor *ebb_maximum(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_maximum(...) EBB_CALL(ebb_maximum, __VA_ARGS__)
/* y = min(a,b), NaN if either is NaN; where a = b each operand gets half of the gradient */
EBB_API ebb_tensor *ebb_minimum(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_minimum(...) EBB_CALL(ebb_minimum, __VA_ARGS__)
/* y = cond != 0 ? a : b; cond is U8 or I64, and the three shapes broadcast */
EBB_API ebb_tensor *ebb_where(
	ebb_tape *t, ebb_tensor *cond, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_where(...) EBB_CALL(ebb_where, __VA_ARGS__)

/* ---- Comparisons, logical ops (compare.c) ---------------------------------------------------- */

/* y = 1 where the relation holds, else 0, as U8.  a and b are of one type, and their shapes
 * broadcast.  With NaN only not_equal holds.  Not differentiable: an operand that requires a
 * gradient is an error (ebb_detach removes it from the graph). */
EBB_API ebb_tensor *ebb_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_equal(...) EBB_CALL(ebb_equal, __VA_ARGS__)
EBB_API ebb_tensor *ebb_not_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_not_equal(...) EBB_CALL(ebb_not_equal, __VA_ARGS__)
EBB_API ebb_tensor *ebb_less(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_less(...) EBB_CALL(ebb_less, __VA_ARGS__)
EBB_API ebb_tensor *ebb_less_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_less_equal(...) EBB_CALL(ebb_less_equal, __VA_ARGS__)
EBB_API ebb_tensor *ebb_greater(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_greater(...) EBB_CALL(ebb_greater, __VA_ARGS__)
EBB_API ebb_tensor *ebb_greater_equal(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_greater_equal(...) EBB_CALL(ebb_greater_equal, __VA_ARGS__)
/* Any value but 0 is true, NaN as well. */
EBB_API ebb_tensor *ebb_logical_and(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_logical_and(...) EBB_CALL(ebb_logical_and, __VA_ARGS__)
EBB_API ebb_tensor *ebb_logical_or(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);
#define ebb_logical_or(...) EBB_CALL(ebb_logical_or, __VA_ARGS__)
EBB_API ebb_tensor *ebb_logical_not(ebb_tape *t, ebb_tensor *x, const char *site);
#define ebb_logical_not(...) EBB_CALL(ebb_logical_not, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
