/* internal.h - what the op families share. */
#ifndef EBB_OPS_INTERNAL_H
#define EBB_OPS_INTERNAL_H

#include <math.h>
#include <string.h>

#include "autograd/compute.h"
#include "tensor/option.h"
#include "ops/ops.h"

/* Each fails the call and returns false (or -1) if it does not hold. */
bool ebb_check_dtype(ebb_call *c, int k, const char *name, ebb_dtype dtype);
/* The next three are of a call that has not failed.
 * What an op reads beside its inputs (NULL is fine): not another tape's, nor dropped. */
bool ebb_check_readable(ebb_call *c, const ebb_tensor *x, const char *name);
int ebb_check_axis(ebb_call *c, int axis, int ndim);
/* Axes as flags (none given: all); false if one is out of range or comes twice. */
bool ebb_check_axes(ebb_call *c, ebb_axes axes, int ndim, bool *chosen);

/* The vjp of piecewise-constant ops: the gradient is zero, so nothing is given. */
void ebb_zero_vjp(ebb_vjp *v);

/* A constant from x: f's value without a derivative (masks). */
ebb_tensor *ebb_mask(
	ebb_tape *t, ebb_unary_fn f, ebb_tensor *x, double a, double b, const char *site);
ebb_tensor *ebb_mask2(ebb_tape *t, ebb_binary_fn f, ebb_tensor *a, ebb_tensor *b, const char *site);
/* y = f(x; a, b) over dense memory, in x's order; k NULL: without constants, else they are the
 * node's attributes. */
typedef struct ebb_constants {
	double a, b;
} ebb_constants;
ebb_tensor *ebb_unary(ebb_tape *t, const ebb_op *op, ebb_unary_fn f, ebb_tensor *x,
	const ebb_constants *k, const char *site);

static inline const ebb_constants *ebb_constants_of(const ebb_vjp *v)
{
	return v->attrs;
}

/* sigmoid(x)*sigmoid(-x), the derivative of sigmoid, which keeps its digits where sigmoid is
 * nearly 1. */
ebb_tensor *ebb_sigmoid_slope(ebb_tape *t, ebb_tensor *x);
/* factor*exp(-by*x^2), by 1 or 1/2: the derivative of erf, and the normal density. */
ebb_tensor *ebb_gauss(ebb_tape *t, ebb_tensor *x, double by, double factor);

/* A binary kernel as an op: broadcasting, types checked. */
ebb_tensor *ebb_binary(ebb_tape *t, const ebb_op *op, ebb_binary_fn f, ebb_tensor *a, ebb_tensor *b,
	double p, const char *site);

/* a*b, with broadcasting, and 0 where either is 0, though the other be infinite or NaN: for
 * masks. */
ebb_tensor *ebb_mul_or_zero(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site);

ebb_shape ebb_without_axis(ebb_shape s, int axis);
ebb_shape ebb_with_axis(ebb_shape s, int axis, int64_t size);
/* [C] as [1,C,1,..] of ndim axes, to broadcast over channels. */
ebb_tensor *ebb_per_channel(ebb_tape *t, ebb_tensor *x, int ndim, const char *site);

/* gy where y > 0, else 0; linear in gy. */
ebb_tensor *ebb_relu_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *y);
/* v->gy where v->out > 0, else 0; in the place of v->gy where nobody else reads that. */
ebb_tensor *ebb_relu_grad_of_result(ebb_vjp *v);

/* y[n,c,i,j] = x[n,c] at the position index[n,c,i,j] that a maximum pooling saved; its gradient is
 * the scatter. */
ebb_tensor *ebb_pool_gather(ebb_tape *t, ebb_tensor *x, ebb_tensor *index, const ebb_pool_shape *s);

/* The gradient of gather: zeros, len long along the axis, with gy added at the index. */
ebb_tensor *ebb_gather_grad(ebb_tape *t, ebb_tensor *gy, int axis, ebb_tensor *index, int64_t len);

/* The elements of x where y is largest along an axis that is not empty, a constant. */
ebb_tensor *ebb_at_largest(ebb_tape *t, ebb_tensor *x, ebb_tensor *y, int axis);

/* What the norms per channel share: weight number k (1 without weights), n doubles as a vector of
 * that type, and all axes but axis 1. */
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

/* 1/sqrt(std^2 + eps), std^2 in range or not. */
static inline double ebb_inverse_std(double std, double eps)
{
	return 1.0 / hypot(std, sqrt(eps));
}

/* Constants that broadcast to x, known from the forward pass: centre, close to the mean (NULL: not
 * centred), and scale, close to 1/sqrt(variance + eps) (NULL: 1, which must do). */
typedef struct ebb_norm_known {
	ebb_tensor *centre, *scale;
} ebb_norm_known;

/* Whether squares of what is normalised leave the range of x's type: of n values inv =
 * 1/sqrt(variance + eps) of a norm of x, one is far from 1. */
bool ebb_norm_needs_scale(const ebb_tensor *x, int64_t n, const double *inv);

/* The gradient of normalisation over axes, composed of ops: inv*(g - mean g - xh*mean(g*xh)) with
 * xh = (x - mean x)*inv, inv = 1/sqrt(mean square of x - mean x, + eps), which *normalised
 * receives; not centred: both means of one factor are left out.  What is known changes nothing but
 * the rounding: x is centred and scaled by it first. */
ebb_tensor *ebb_normalised_grad(ebb_tape *t, ebb_tensor *x, const ebb_norm_known *known,
	ebb_tensor *g, ebb_axes axes, double eps, ebb_tensor **normalised);

/* Softmax along the last axis of x [..,L,S] where mask is not 0 (U8 or I64, broadcasts to x; NULL:
 * everywhere) and, if causal, key j <= query i; 0 elsewhere, so in the whole of a row without any
 * key. */
ebb_tensor *ebb_masked_softmax(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *mask, bool causal, const char *site);

/* w*x, where a weight of 0 wins: beside it an x that is infinite or NaN has a product of 0 with
 * derivatives of 0. */
ebb_tensor *ebb_weighted(ebb_tape *t, ebb_tensor *w, ebb_tensor *x, const char *site);

/* The mean, the sum, or the losses themselves; and whether r is one of these. */
ebb_tensor *ebb_reduced(ebb_tape *t, ebb_tensor *loss, ebb_reduction r, const char *site);
bool ebb_known_reduction(ebb_tape *t, ebb_reduction r, const char *op, const char *site);

#endif
