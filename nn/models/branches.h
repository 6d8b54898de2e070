/*
 * branches.h - parts of the networks of parallel branches, GoogLeNet and Inception v3.
 */
#ifndef EBB_MODELS_BRANCHES_H
#define EBB_MODELS_BRANCHES_H

#include "nn/models/internal.h"

/* A convolution c without bias, of which channels, geometry and initial values are read, and its
 * batch norm: name.conv, name.bn. */
static inline ebb_conv_bn conv_bn_new(
	ebb_params *p, const char *name, ebb_conv_new_args c, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	c.p = own;
	c.name = "conv";
	c.no_bias = true;
	c.site = site;
	return (ebb_conv_bn){
		.name = ebb_params_full_name(p, name),
		.conv = (ebb_conv_new)(&c),
		.bn = ebb_bn_new(own, "bn", c.out, .inplace = true, .eps = 1e-3),
	};
}

static inline ebb_tensor *conv_bn_forward(
	ebb_tape *t, const ebb_conv_bn *l, ebb_tensor *x, const char *site)
{
	ebb_scope_begin(t, l->name);
	return ebb_scope_end(t, conv_bn_relu(t, &l->conv, &l->bn, x, NULL, site));
}

/* x has values (v - mean)/deviation, with ImageNet's mean and deviation per channel; the result has
 * (v - 1/2)/(1/2). */
static inline ebb_tensor *transform_input(ebb_tape *t, ebb_tensor *x, const char *site)
{
	static const double mean[] = IMAGENET_MEAN, deviation[] = IMAGENET_STD;
	/* ebb_from_f64 makes tensors of the tape's default type, which may not be x's. */
	ebb_dtype former = ebb_set_default_dtype(t, ebb_dtype_of(x) == EBB_F64 ? EBB_F64 : EBB_F32);
	ebb_shape channels = EBB_SHAPE(1, 3, 1, 1);
	ebb_tensor *scale = ebb_from_f64(t, channels, deviation),
		   *shift = ebb_from_f64(t, channels, mean), *y;

	ebb_set_default_dtype(t, former);
	y = ebb_mul(t, x, scale);
	y = replace(t, y, ebb_add(t, y, shift));
	y = replace(t, y, ebb_mul_scalar(t, y, 2));
	return replace(t, y, ebb_add_scalar(t, y, -1));
}

/* cross_entropy(logits) + weight*(sum of the cross-entropies of the n intermediate classifiers' logits
 * in aux); without these if one is NULL. */
static inline ebb_tensor *loss_with_aux(ebb_tape *t, ebb_tensor *logits, int n,
	ebb_tensor *const *aux, double weight, ebb_tensor *labels, double smoothing,
	const char *site)
{
	ebb_tensor *loss = ebb_cross_entropy(t, logits, labels, .label_smoothing = smoothing);
	ebb_tensor *sum = NULL;

	for (int i = 0; i < n; i++)
		if (!aux[i])
			return loss;
	for (int i = 0; i < n; i++) {
		ebb_tensor *own =
			ebb_cross_entropy(t, aux[i], labels, .label_smoothing = smoothing);

		sum = i ? ebb_add(t, sum, own) : own;
	}
	return ebb_add(t, loss, ebb_mul_scalar(t, sum, weight));
}

/* The preprocessing of weights that torchvision uses with transform_input.  The network of the card
 * is without it: normalising by ImageNet's colours and then transforming gives (v - 1/2)/(1/2),
 * which is this mean and this standard deviation. */
#define HALF_INPUT(side, size)                                                                     \
	{                                                                                          \
		.resize = (side), .crop = (size), .mean = {0.5, 0.5, 0.5},                         \
		.std = { 0.5,                                                                      \
			0.5,                                                                       \
			0.5 }                                                                      \
	}

#endif
