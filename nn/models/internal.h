/*
 * internal.h - functions that several models use.
 */
#ifndef EBB_MODELS_INTERNAL_H
#define EBB_MODELS_INTERNAL_H

#include "nn/internal.h"
#include "nn/models/models.h"

/* EBB_SITE is the parameter site, which every function in nn/models/ has: an error inside a model
 * names the line that called the model. */
#undef EBB_SITE
#define EBB_SITE site

/* For convolutions before a ReLU: keeps the variance of the gradient in the backward pass (He et
 * al. 2015). */
#define KAIMING_FAN_OUT EBB_INIT(EBB_INIT_KAIMING_NORMAL, .fan_out = true)

/* Returns y and releases x, which y was computed from and which is not read again. */
static inline ebb_tensor *replace(ebb_tape *t, ebb_tensor *x, ebb_tensor *y)
{
	if (x != y)
		ebb_release(t, x);
	return y;
}

/* relu(bn(conv(x)) + residual), residual may be NULL */
static inline ebb_tensor *conv_bn_relu(ebb_tape *t, const ebb_conv *conv, const ebb_bn *bn,
	ebb_tensor *x, ebb_tensor *residual, const char *site)
{
	ebb_tensor *y = ebb_conv_forward(t, conv, x);

	return replace(t, y, ebb_bn_relu_forward(t, bn, y, residual));
}

static inline ebb_tensor *no_model(ebb_tape *t, const char *what, const char *site)
{
	return ebb_fail(t, EBB_INVALID, site, "%s: the model is NULL", what);
}

#endif
