/*
 * conv.h - what conv.c and depthwise.c share.
 */
#ifndef EBB_KERNELS_CONV_H
#define EBB_KERNELS_CONV_H

#include "real.h"

/* One input and one output channel per group: no product of matrices, but vectors over channels. */
static inline bool ebb_is_depthwise(const ebb_conv_shape *s)
{
	return s->groups > 1 && s->groups == s->c && s->groups == s->o;
}

size_t EBB_NAME(depthwise_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass);
void EBB_NAME(depthwise_forward)(
	const ebb_conv_shape *s, const real *x, const real *w, const real *b, real *y, real *ws);
void EBB_NAME(depthwise_grad_input)(
	const ebb_conv_shape *s, const real *gy, const real *w, real *gx, real *ws);
void EBB_NAME(depthwise_grad_weight)(
	const ebb_conv_shape *s, const real *x, const real *gy, real *gw, real *ws);

#endif
