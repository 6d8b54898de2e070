/*
 * inception.h - networks of parallel branches, with intermediate classifiers.
 */
#ifndef EBB_MODELS_INCEPTION_H
#define EBB_MODELS_INCEPTION_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- GoogLeNet (googlenet.c) -------------------------------------------------------------------
 *
 * Szegedy et al. 2015 in torchvision's version: with batch norm (eps 1e-3), and with 3x3
 * convolutions instead of the paper's 5x5.  x [N,3,H,W], 224 x 224 as published; conv1 .. conv3,
 * inception3a .. inception5b, aux1, aux2, fc; 1000 classes, 13,004,888 parameters with PyTorch's
 * initial values.
 * .dropout defaults to 0.2, .dropout_aux, of the two intermediate classifiers, to 0.7; .no_aux
 * leaves these out, as does .no_head, whose features are [N,1024].  .transform_input converts images
 * that are normalised as for the other models to the range (-1, 1), which torchvision's published
 * weights expect.  The network of the catalogue is without .transform_input: the preprocessing of
 * its weights is to that range. */
typedef struct ebb_conv_bn {
	const char *name;
	ebb_conv conv;
	ebb_bn bn;
} ebb_conv_bn;
typedef struct ebb_inception {
	const char *name;
	ebb_conv_bn branch1, branch2[2], branch3[2], branch4;
} ebb_inception;
typedef struct ebb_googlenet_aux {
	const char *name;
	ebb_conv_bn conv;
	ebb_linear fc1, fc2;
	ebb_drop dropout;
} ebb_googlenet_aux;
typedef struct ebb_googlenet {
	ebb_conv_bn conv1, conv2, conv3;
	ebb_inception *inception; /* 3a, 3b, 4a .. 4e, 5a, 5b */
	ebb_googlenet_aux aux1, aux2;
	ebb_drop dropout;
	ebb_linear fc;
	bool no_aux, no_head, transform_input;
} ebb_googlenet;
typedef struct ebb_googlenet_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout, dropout_aux;
	bool no_aux, no_head, transform_input;
	const char *site;
} ebb_googlenet_new_args;
/* The logits of the network, and of the intermediate classifiers after 4a and 4d.  The latter are
 * NULL in evaluation mode and with .no_aux. */
typedef struct ebb_googlenet_logits {
	ebb_tensor *logits, *aux1, *aux2;
} ebb_googlenet_logits;
EBB_API ebb_googlenet ebb_googlenet_new(const ebb_googlenet_new_args *a);
/* On failure every member is NULL. */
EBB_API ebb_googlenet_logits ebb_googlenet_forward(
	ebb_tape *t, const ebb_googlenet *net, ebb_tensor *x, const char *site);
/* cross_entropy(logits) + 0.3*(cross_entropy(aux1) + cross_entropy(aux2)), without aux1 and aux2 if
 * they are NULL; labels as for ebb_cross_entropy. */
EBB_API ebb_tensor *ebb_googlenet_loss(
	ebb_tape *t, ebb_googlenet_logits y, ebb_tensor *labels, const char *site);

/* ---- Inception v3 (inception_v3.c) ------------------------------------------------------------
 *
 * Szegedy et al. 2016 (Rethinking the Inception Architecture).  Blocks of parallel branches, in
 * which 1x7 and 7x1 convolutions replace 7x7 ones.  Every convolution has batch norm (eps 1e-3) and
 * ReLU.
 *
 * x [N,3,H,W], 299 x 299 as published, at least 75 x 75, and while
 * AuxLogits trains 299 x 299; Conv2d_1a_3x3.conv, .bn, Conv2d_2a_3x3,
 * Conv2d_2b_3x3, Conv2d_3b_1x1, Conv2d_4a_3x3, Mixed_5b.branch1x1, .. Mixed_5d, Mixed_6a, ..
 * Mixed_6e, AuxLogits.conv0, .conv1, .fc, Mixed_7a, .. Mixed_7c, fc; 1000 classes, 27,161,264
 * parameters.  Weights start as N(0, 0.1^2), that of AuxLogits.conv1 as N(0, 0.01^2), that of
 * AuxLogits.fc as N(0, 0.001^2); biases start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
 *
 * .dropout, before fc, defaults to 0.5.  .no_aux leaves out the intermediate classifier AuxLogits,
 * as does .no_head, whose features are [N,2048].  .transform_input is GoogLeNet's. */
enum { EBB_INCEPTION_V3_STEM = 5, EBB_INCEPTION_V3_BLOCKS = 11, EBB_INCEPTION_V3_CONVS = 10 };
typedef struct ebb_inception_v3_block {
	const char *name;
	int type; /* 0 .. 4 for the paper's five types, torchvision's InceptionA .. InceptionE */
	ebb_conv_bn conv[EBB_INCEPTION_V3_CONVS]; /* in the order of the parameters */
} ebb_inception_v3_block;
typedef struct ebb_inception_v3_aux {
	const char *name;
	ebb_conv_bn conv0, conv1;
	ebb_linear fc;
} ebb_inception_v3_aux;
typedef struct ebb_inception_v3 {
	ebb_conv_bn stem[EBB_INCEPTION_V3_STEM]; /* 1a, 2a, 2b, 3b, 4a */
	ebb_inception_v3_block *blocks;          /* 5b .. 5d, 6a .. 6e, 7a .. 7c */
	ebb_inception_v3_aux aux;
	ebb_drop dropout;
	ebb_linear fc;
	bool no_aux, no_head, transform_input;
} ebb_inception_v3;
typedef struct ebb_inception_v3_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	bool no_aux, no_head, transform_input;
	const char *site;
} ebb_inception_v3_new_args;
/* The logits of the network, and of the intermediate classifier after Mixed_6e.  The latter is NULL
 * in evaluation mode and with .no_aux. */
typedef struct ebb_inception_v3_logits {
	ebb_tensor *logits, *aux;
} ebb_inception_v3_logits;
EBB_API ebb_inception_v3 ebb_inception_v3_new(const ebb_inception_v3_new_args *a);
/* On failure every member is NULL. */
EBB_API ebb_inception_v3_logits ebb_inception_v3_forward(
	ebb_tape *t, const ebb_inception_v3 *net, ebb_tensor *x, const char *site);
/* cross_entropy(logits) + 0.4*cross_entropy(aux), without aux if it is NULL; labels as for
 * ebb_cross_entropy. */
EBB_API ebb_tensor *ebb_inception_v3_loss(
	ebb_tape *t, ebb_inception_v3_logits y, ebb_tensor *labels, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_googlenet_new(...) EBB_CALL_ARGS(ebb_googlenet_new, ebb_googlenet_new_args, __VA_ARGS__)
#define ebb_googlenet_forward(...) EBB_CALL(ebb_googlenet_forward, __VA_ARGS__)
#define ebb_googlenet_loss(...) EBB_CALL(ebb_googlenet_loss, __VA_ARGS__)
#define ebb_inception_v3_new(...)                                                                  \
	EBB_CALL_ARGS(ebb_inception_v3_new, ebb_inception_v3_new_args, __VA_ARGS__)
#define ebb_inception_v3_forward(...) EBB_CALL(ebb_inception_v3_forward, __VA_ARGS__)
#define ebb_inception_v3_loss(...) EBB_CALL(ebb_inception_v3_loss, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
