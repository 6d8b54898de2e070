/*
 * gradients.h - gradients that are ops of their own, for the column GRADIENT of kernels/unary.def
 * and for other ops.
 */
#ifndef EBB_OPS_GRADIENTS_H
#define EBB_OPS_GRADIENTS_H

#include "ops/internal.h"

/* ---- Fused gradients: a kernel of gy and y, or of gy and x (activation.c) -------------------- */

/* The gradient of v's input, computed from gy = v->gy and y = v->out.  tanh: gy*(1 - y^2).
 * sigmoid: gy*y*(1 - y).  relu6: gy where 0 < y < 6, else 0.  These functions and
 * ebb_relu_grad_of_result (internal.h) overwrite v->gy with the result if v->owns_gy is true. */
ebb_tensor *ebb_tanh_grad_of_result(ebb_vjp *v);
ebb_tensor *ebb_sigmoid_grad_of_result(ebb_vjp *v);
ebb_tensor *ebb_relu6_grad_of_result(ebb_vjp *v);

/* gy*(x/3 + 1/2) where -3 <= x < 3, 0 for smaller x, gy for larger x */
ebb_tensor *ebb_hardswish_grad(ebb_tape *t, ebb_tensor *gy, ebb_tensor *x);

/* ---- Derivatives as functions of x (activation.c) -------------------------------------------- */

/* sigmoid(x), the derivative of softplus, as an op whose own derivative does not cancel */
ebb_tensor *ebb_softplus_slope(ebb_tape *t, ebb_tensor *x);
ebb_tensor *ebb_silu_slope(ebb_tape *t, ebb_tensor *x);
ebb_tensor *ebb_mish_slope(ebb_tape *t, ebb_tensor *x);
/* 1/sqrt(1 - x^2), and 1/(1 + x^2) (unary.c) */
ebb_tensor *ebb_asin_slope(ebb_tape *t, ebb_tensor *x);
ebb_tensor *ebb_atan_slope(ebb_tape *t, ebb_tensor *x);
/* 1 where x > 0, else alpha*exp(x) */
ebb_tensor *ebb_elu_slope(ebb_tape *t, ebb_tensor *x, double alpha);

#endif
