/*
 * conv.h - the algorithms to a convolution, of which conv.c chooses one.
 */
#ifndef EBB_KERNELS_CONV_CONV_H
#define EBB_KERNELS_CONV_CONV_H

#include "kernels/real.h"

/* One algorithm, for the three passes. */
#define EBB_CONV_ALGORITHM(name)                                                                   \
	size_t EBB_NAME(name##_workspace)(const ebb_conv_shape *s, ebb_conv_pass pass);            \
	void EBB_NAME(name##_forward)(const ebb_conv_shape *s, const void *x, const void *w,       \
		const void *b, void *y, void *ws);                                                 \
	void EBB_NAME(name##_grad_input)(                                                          \
		const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);       \
	void EBB_NAME(name##_grad_weight)(                                                         \
		const ebb_conv_shape *s, const void *x, const void *gy, void *gw, void *ws);

/* Any shape: products of rows of the image as it lies (direct.c). */
EBB_CONV_ALGORITHM(direct)
/* Its input's gradient where there are few channels (scatter.c). */
bool EBB_NAME(scatter_fits)(const ebb_conv_shape *s);
size_t EBB_NAME(scatter_workspace)(const ebb_conv_shape *s);
void EBB_NAME(scatter_grad_input)(
	const ebb_conv_shape *s, const void *gy, const void *w, void *gx, void *ws);
/* One input and one output channel per group: vectors over channels (depthwise.c). */
EBB_CONV_ALGORITHM(depthwise)
/* Any shape: the image unfolded to a matrix (im2col.c). */
EBB_CONV_ALGORITHM(im2col)
/* 3x3 and 5x5, stride 1, float: products of transformed tiles (winograd.c). */
EBB_CONV_ALGORITHM(winograd)

/* Whether Winograd's algorithm can be gone, and whether it is the shorter one. */
bool EBB_NAME(winograd_fits)(const ebb_conv_shape *s);
bool EBB_NAME(winograd_wins)(const ebb_conv_shape *s);

static inline bool ebb_is_depthwise(const ebb_conv_shape *s)
{
	return s->groups > 1 && s->groups == s->c && s->groups == s->o;
}

/* A 1x1 filter on the image as it is: a product of matrices. */
static inline bool ebb_is_product(const ebb_conv_shape *s)
{
	return s->kh == 1 && s->kw == 1 && s->groups == 1 && s->stride_h == 1 && s->stride_w == 1 &&
	       s->pad_top == 0 && s->pad_left == 0 && s->oh == s->h && s->ow == s->w;
}

/* No output, so nothing to add up. */
static inline bool ebb_is_empty(const ebb_conv_shape *s)
{
	return s->n == 0 || s->o == 0 || s->oh == 0 || s->ow == 0;
}

/* No input: outputs, if there are any, see nothing but padding. */
static inline bool ebb_is_blind(const ebb_conv_shape *s)
{
	return s->h == 0 || s->w == 0 || s->c == 0;
}

#endif
