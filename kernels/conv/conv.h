/*
 * conv.h - the algorithms of convolution, of which conv.c chooses one.
 */
#ifndef EBB_KERNELS_CONV_CONV_H
#define EBB_KERNELS_CONV_CONV_H

#include "kernels/real.h"

/* Declares one algorithm: the size of its workspace, and the three passes. */
#define EBB_CONV_ALGORITHM(name)                                                                   \
	size_t EBB_NAME(name##_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass);            \
	void EBB_NAME(name##_forward)(const ebb_conv_shape *s, const void *x, const void *w,       \
		const void *b, void *y, void *ws);                                                 \
	void EBB_NAME(name##_grad_input)(                                                          \
		const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);       \
	void EBB_NAME(name##_grad_weight)(                                                         \
		const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws);

/* Any shape: matrix products that read rows of the image in place (direct.c). */
EBB_CONV_ALGORITHM(direct)
/* The gradient of the input for inputs of few channels, part of the direct algorithm
 * (scatter.c). */
bool EBB_NAME(scatter_fits)(const ebb_conv_shape *s);
size_t EBB_NAME(scatter_workspace)(const ebb_conv_shape *s);
void EBB_NAME(scatter_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);
/* One input and one output channel per group: vectors over channels (depthwise.c). */
EBB_CONV_ALGORITHM(depthwise)
/* Any shape: the image unfolded to a matrix (im2col.c). */
EBB_CONV_ALGORITHM(im2col)
/* 3x3 and 5x5 filters, stride 1, float only: Winograd transforms (winograd.c). */
EBB_CONV_ALGORITHM(winograd)

/* winograd_fits: whether the Winograd algorithm supports the shape.  winograd_wins: whether it
 * needs fewer operations than the direct algorithm. */
bool EBB_NAME(winograd_fits)(const ebb_conv_shape *s);
bool EBB_NAME(winograd_wins)(const ebb_conv_shape *s);

static inline bool ebb_is_depthwise(const ebb_conv_shape *s)
{
	return s->groups > 1 && s->groups == s->c && s->groups == s->o;
}

/* A 1x1 convolution with stride 1 and without padding, which is a matrix product. */
static inline bool ebb_is_product(const ebb_conv_shape *s)
{
	return s->kh == 1 && s->kw == 1 && s->groups == 1 && s->stride_h == 1 && s->stride_w == 1 &&
	       s->pad_top == 0 && s->pad_left == 0 && s->oh == s->h && s->ow == s->w;
}

/* y has no elements: the gradients are sums over nothing, which is 0. */
static inline bool ebb_is_empty(const ebb_conv_shape *s)
{
	return s->n == 0 || s->o == 0 || s->oh == 0 || s->ow == 0;
}

/* x has no elements: an output, if there is any, is the bias. */
static inline bool ebb_is_blind(const ebb_conv_shape *s)
{
	return s->h == 0 || s->w == 0 || s->c == 0;
}

#endif
