/* internal.h - checks, unary and binary calls, and gradient building blocks that several op files
 * use. */
#ifndef EBB_OPS_INTERNAL_H
#define EBB_OPS_INTERNAL_H

#include <math.h>
#include <string.h>

#include "autograd/compute.h"
#include "tensor/option.h"
#include "ops/ops.h"

/* Each function checks a condition.  If the condition does not hold, the function fails the call
 * and returns false (ebb_check_axis: -1).  ebb_check_readable, ebb_check_axis and ebb_check_axes
 * require that the call has not failed yet. */
bool ebb_check_dtype(ebb_call *c, int k, const char *name, ebb_dtype dtype);
/* Checks a tensor that the op reads but does not record as an input: it must not belong to another
 * tape, and its value must not be dropped.  NULL passes. */
bool ebb_check_readable(ebb_call *c, const ebb_tensor *x, const char *name);
int ebb_check_axis(ebb_call *c, int axis, int ndim);
/* Sets chosen[i] for each axis i in axes (axes.n 0: for all).  Fails if an axis is out of range or
 * given twice. */
bool ebb_check_axes(ebb_call *c, ebb_axes axes, int ndim, bool *chosen);
/* Checks that every index, I64 and row-major, is in [0,len); names the first that is not.  of is
 * what has the size len, for the message. */
bool ebb_check_index(ebb_call *c, const ebb_tensor *index, const char *of, int64_t len);

/* The vjp of piecewise-constant ops: it calls ebb_give for no input, which means a zero
 * gradient. */
void ebb_zero_vjp(ebb_vjp *v);

/* The value of f without a derivative, as a constant on the tape: for masks. */
ebb_tensor *ebb_mask(
	ebb_tape *t, ebb_unary_fn f, ebb_tensor *x, double a, double b, const char *site);
ebb_tensor *ebb_mask2(ebb_tape *t, ebb_binary_fn f, ebb_tensor *a, ebb_tensor *b, const char *site);
/* y = f(x; a, b) over dense memory, in x's memory order.  k (a and b) is attached to the node for
 * the vjp; NULL: f has no constants. */
typedef struct ebb_constants {
	double a, b;
} ebb_constants;
ebb_tensor *ebb_unary(ebb_tape *t, const ebb_op *op, ebb_unary_fn f, ebb_tensor *x,
	const ebb_constants *k, const char *site);

/* The same for input 0 of a begun call, of integers.  An f that integer.def does not list is an
 * error, and so is a constant that is not an integer, or infinite for clamp. */
ebb_tensor *ebb_integer_unary(ebb_call *c, ebb_unary_fn f, const ebb_constants *k);
/* value as an integer in [least, most], or as the nearer end of this range with .clip.  Fails the
 * call and returns false if value has a fraction, is NaN, or lies outside without .clip. */
typedef struct ebb_integer_range {
	int64_t least, most;
	bool clip;
} ebb_integer_range;
bool ebb_check_integer(
	ebb_call *c, const char *name, double value, ebb_integer_range range, int64_t *out);
/* The range of the type of x, I64 or U8. */
ebb_integer_range ebb_range_of(const ebb_tensor *x);

static inline ebb_element ebb_element_of(const ebb_tensor *x)
{
	return x->dtype == EBB_F32   ? EBB_ELEMENT_F32
	       : x->dtype == EBB_F64 ? EBB_ELEMENT_F64
	       : x->dtype == EBB_I64 ? EBB_ELEMENT_I64
	                             : EBB_ELEMENT_U8;
}

/* x as I64 if it is U8, because sums and products of integers are I64; else x itself. */
ebb_tensor *ebb_widened(ebb_tape *t, ebb_tensor *x, const char *site);

static inline const ebb_constants *ebb_constants_of(const ebb_vjp *v)
{
	return v->attrs;
}

/* sigmoid(x)*sigmoid(-x), the derivative of sigmoid; unlike y*(1 - y), it does not cancel where
 * sigmoid is nearly 1. */
ebb_tensor *ebb_sigmoid_slope(ebb_tape *t, ebb_tensor *x);
/* factor*exp(-by*x^2), where by is 1 (for the derivative of erf) or 1/2 (for the normal
 * density). */
ebb_tensor *ebb_gauss(ebb_tape *t, ebb_tensor *x, double by, double factor);

/* Calls a binary kernel as an op: checks the types and broadcasts a and b. */
ebb_tensor *ebb_binary(ebb_tape *t, const ebb_op *op, ebb_binary_fn f, ebb_tensor *a, ebb_tensor *b,
	double p, const char *site);

/* a*b with broadcasting, and 0 where either is 0, even if the other is infinite or NaN: for
 * masks. */
ebb_tensor *ebb_mul_or_zero(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);

ebb_shape ebb_without_axis(ebb_shape s, int axis);
ebb_shape ebb_with_axis(ebb_shape s, int axis, int64_t size);
/* [C] as [1,C,1,..] of ndim axes, to broadcast over channels. */
ebb_tensor *ebb_per_channel(ebb_tape *t, ebb_tensor *x, int ndim, const char *site);

/* The gradient of relu: gy where y > 0, else 0; linear in gy. */
ebb_tensor *ebb_relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y);
/* v->gy where v->out > 0, else 0; in-place over v->gy if v->owns_gy. */
ebb_tensor *ebb_relu_grad_of_result(ebb_vjp *v);

/* y[n,c,i,j] = x[n,c] at the position index[n,c,i,j] that a max pooling saved.  The gradient is the
 * scatter to these positions. */
ebb_tensor *ebb_pool_gather(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, const ebb_pool_shape *s);

/* The kernel gather (index_select) of x's type. */
typedef void (*ebb_index_kernel)(int64_t outer, int64_t len, int64_t inner, int64_t count,
	const void *from, const int64_t *index, void *to);
static inline ebb_index_kernel ebb_gather_kernel(const ebb_tensor *x)
{
	return ebb_is_real(x) ? KERNELS(x)->gather : INTEGERS(x)->gather;
}
static inline ebb_index_kernel ebb_index_select_kernel(const ebb_tensor *x)
{
	return ebb_is_real(x) ? KERNELS(x)->index_select : INTEGERS(x)->index_select;
}

/* The gradient of gather: zeros of size len along the axis, with gy added at the positions in
 * index. */
ebb_tensor *ebb_gather_grad(ebb_tape *t, ebb_tensor *gy, int axis, ebb_tensor *index, int64_t len);

/* The elements of x at the position where y is largest along axis, as a constant.  The axis must
 * not be empty. */
ebb_tensor *ebb_at_largest(ebb_tape *t, ebb_tensor *x, ebb_tensor *y, int axis);

/* For normalisations per channel.  ebb_weight_at: element k of w, or 1 if w is NULL.  ebb_vector: n
 * doubles as a tensor [n] of type dtype.  ebb_but_channels: all axes but axis 1. */
static inline double ebb_weight_at(const ebb_tensor *w, int64_t k)
{
	return w ? ebb_value_at(w, k) : 1.0;
}

static inline ebb_tensor *ebb_vector(ebb_call *c, ebb_dtype dtype, int64_t n, const double *values)
{
	ebb_tensor *y = ebb_new(c, dtype, EBB_SHAPE(n), EBB_ROWS);

	if (y)
		RUN(y, from_f64, n, values, y->data);
	return y;
}

static inline ebb_axes ebb_but_channels(int ndim)
{
	ebb_axes axes = {0, {0}};

	for (int i = 0; i < ndim; i++)
		if (i != 1)
			axes.axis[axes.n++] = i;
	return axes;
}

/* 1/sqrt(std^2 + eps), correct also where std^2 overflows or underflows. */
static inline double ebb_inverse_std(double std, double eps)
{
	return 1.0 / hypot(std, sqrt(eps));
}

/* Constants saved by the forward pass, which broadcast to x.  centre is close to the mean (NULL: x
 * is not centred).  scale is close to 1/sqrt(variance + eps) (NULL: 1, if ebb_norm_needs_scale is
 * false). */
typedef struct ebb_norm_known {
	ebb_tensor *centre, *scale;
} ebb_norm_known;

/* Whether squares of the centred x may overflow or underflow in x's type: true if one of the n
 * values inv = 1/sqrt(variance + eps) is far from 1. */
bool ebb_norm_needs_scale(const ebb_tensor *x, int64_t n, const double *inv);

/* The gradient of normalisation over axes, composed of ops: inv*(g - mean g - xh*mean(g*xh)) with
 * xh = (x - mean x)*inv, inv = 1/sqrt(mean square of (x - mean x) + eps).  *normalised receives xh.
 * If known->centre is NULL, mean x and mean g are left out.  x is first centred and scaled by
 * known, which changes only the rounding. */
ebb_tensor *ebb_normalised_grad(ebb_tape *t, ebb_tensor *x, const ebb_norm_known *known,
	ebb_tensor *g, ebb_axes axes, double eps, ebb_tensor **normalised);

/* The gradient of softmax, composed of ops: gx = y*(gy - sum gy*y). */
ebb_tensor *ebb_softmax_slopes(ebb_tape *t, ebb_tensor *y, ebb_tensor *gy, int axis);

/* Softmax along the last axis of x [..,L,S], over the keys j whose mask is not 0 (U8 or I64,
 * broadcasts to x; NULL: all keys) and, if causal, for which j <= i + past of the query i, past >=
 * 0.  The other elements are 0; a row without any such key is 0 throughout. */
ebb_tensor *ebb_masked_softmax(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *mask, bool causal, int64_t past, const char *site);

/* Dropout with the mask of a given stream, also in evaluation. */
ebb_tensor *ebb_dropout_as(
	ebb_tape *t, ebb_tensor *x, ebb_random random, double p, const char *site);

/* w*x, where a weight of 0 gives 0 with derivatives of 0 even if x is infinite or NaN. */
ebb_tensor *ebb_weighted(ebb_tape *t, ebb_tensor *w, ebb_tensor *x, const char *site);

/* ebb_reduced: loss (r is EBB_NONE), its sum (EBB_SUM_ALL) or its mean (EBB_MEAN).
 * ebb_known_reduction: fails the tape and returns false if r is none of these three. */
ebb_tensor *ebb_reduced(ebb_tape *t, ebb_tensor *loss, ebb_reduction r, const char *site);
bool ebb_known_reduction(ebb_tape *t, ebb_reduction r, const char *op, const char *site);

#endif
