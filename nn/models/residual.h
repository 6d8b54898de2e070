/*
 * residual.h - networks with shortcuts: residual networks and their relatives, and DenseNet.
 */
#ifndef EBB_MODELS_RESIDUAL_H
#define EBB_MODELS_RESIDUAL_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Residual networks for CIFAR (cifar_resnet.c) ----------------------------------------------
 *
 * He et al. 2016, section 4.2: depth 6n+2 (20, 32, 44, 56, 110, ...), three stages of n blocks with
 * 16, 32 and 64 channels.  At the beginning of a stage, the shortcut takes every other pixel of x
 * and adds channels of zeros, half of them on either side (the paper's option A, without
 * parameters).  .plain leaves the shortcuts out.  .preact: batch norm and ReLU precede each
 * convolution of a block, so that nothing changes x on the shortcut (He et al. 2016, "Identity
 * Mappings in Deep Residual Networks"); the first block's shortcut begins after its first ReLU, and
 * a last batch norm and ReLU precede the pooling.
 * x [N,3,H,W]; conv1, bn1 (not with .preact), layer1.0.conv1, .. layer3.2.bn2, bn (with .preact),
 * linear; 10 classes.  Convolutions start as Kaiming normal by fan_out.  Another depth is an
 * error. */
typedef struct ebb_cifar_block {
	const char *name;
	ebb_conv conv1;
	ebb_bn bn1;
	ebb_conv conv2;
	ebb_bn bn2;
	int64_t widen; /* channels that the block adds */
	bool plain;
} ebb_cifar_block;
typedef struct ebb_cifar_resnet {
	ebb_conv conv1;
	ebb_bn bn1; /* with .preact empty */
	int count;
	ebb_cifar_block *blocks;
	ebb_bn bn; /* without .preact empty */
	ebb_linear linear;
	bool preact, no_head;
} ebb_cifar_resnet;
typedef struct ebb_cifar_resnet_new_args {
	ebb_params *p;
	int depth;
	bool plain, preact;
	int64_t classes;
	bool no_head;
	const char *site;
} ebb_cifar_resnet_new_args;
EBB_API ebb_cifar_resnet ebb_cifar_resnet_new(const ebb_cifar_resnet_new_args *a);
EBB_API ebb_tensor *ebb_cifar_resnet_forward(
	ebb_tape *t, const ebb_cifar_resnet *net, ebb_tensor *x, const char *site);

/* ---- Wide residual networks for CIFAR (wide_resnet.c) ------------------------------------------
 *
 * Zagoruyko & Komodakis 2016: WRN-depth-width, depth 6n+4 (16, 22, 28, 40, ...), three stages of n
 * blocks with 16, 32 and 64 times width channels.  Batch norm and ReLU precede each convolution.
 * Where the shape changes, the shortcut is a 1x1 convolution of relu(bn1(x)).  x [N,3,H,W]; conv1,
 * layer1.0.bn1, .conv1, .bn2, .conv2, .shortcut, .. bn, linear; 10 classes.  .dropout, between the
 * convolutions of a block, defaults to 0; the paper also trains with 0.3.  Convolutions start as
 * Kaiming normal by fan_out.  Another depth, and a width below 1, are errors. */
typedef struct ebb_wrn_block {
	const char *name;
	ebb_bn bn1;
	ebb_conv conv1;
	ebb_bn bn2;
	ebb_drop dropout;
	ebb_conv conv2;
	ebb_conv shortcut; /* empty: the shortcut is x itself */
} ebb_wrn_block;
typedef struct ebb_wrn {
	ebb_conv conv1;
	int count;
	ebb_wrn_block *blocks;
	ebb_bn bn;
	ebb_linear linear;
	bool no_head;
} ebb_wrn;
typedef struct ebb_wrn_new_args {
	ebb_params *p;
	int depth, width;
	int64_t classes;
	bool no_head;
	double dropout;
	const char *site;
} ebb_wrn_new_args;
EBB_API ebb_wrn ebb_wrn_new(const ebb_wrn_new_args *a);
EBB_API ebb_tensor *ebb_wrn_forward(
	ebb_tape *t, const ebb_wrn *net, ebb_tensor *x, const char *site);

/* ---- Residual networks for ImageNet (resnet.c) -------------------------------------------------
 *
 * He et al. 2016: depth 18 and 34 with basic blocks of two 3x3 convolutions, 50, 101 and 152 with
 * bottlenecks of a 1x1, a 3x3 and a 1x1 convolution, of which the 3x3 has the stride; another depth
 * is an error.  .groups (default 1) are those of a bottleneck's 3x3 convolution, and
 * .width_per_group (default 64) its channels per group in the first stage: 32 and 4 for
 * ResNeXt-50-32x4d (Xie et al. 2017), 1 and 128 for Wide-ResNet-50-2 (Zagoruyko & Komodakis 2016);
 * with basic blocks, other values than the defaults are an error.
 *
 * x [N,3,H,W], 224 x 224 as published; conv1, bn1, layer1.0.conv1, .. layer4.1.bn2, fc, and
 * layerK.0.downsample.0 (1x1 convolution) and .1 (batch norm) where the shape changes; 1000
 * classes.  Parameters: 11,689,512, 21,797,672, 25,557,032, 44,549,160 and 60,192,808.
 * Convolutions start as Kaiming normal by fan_out. */
typedef struct ebb_resnet_block {
	const char *name;
	ebb_conv conv1;
	ebb_bn bn1;
	ebb_conv conv2;
	ebb_bn bn2;
	ebb_conv conv3; /* empty: a basic block */
	ebb_bn bn3;
	ebb_conv downsample; /* empty: the shortcut is x itself */
	ebb_bn downsample_bn;
} ebb_resnet_block;
typedef struct ebb_resnet {
	ebb_conv conv1;
	ebb_bn bn1;
	int count;
	ebb_resnet_block *blocks;
	ebb_linear fc;
	bool no_head;
} ebb_resnet;
typedef struct ebb_resnet_new_args {
	ebb_params *p;
	int depth;
	int64_t classes;
	bool no_head;
	int groups;
	int64_t width_per_group;
	const char *site;
} ebb_resnet_new_args;
EBB_API ebb_resnet ebb_resnet_new(const ebb_resnet_new_args *a);
EBB_API ebb_tensor *ebb_resnet_forward(
	ebb_tape *t, const ebb_resnet *net, ebb_tensor *x, const char *site);

/* ---- DenseNet (densenet.c) ---------------------------------------------------------------------
 *
 * Huang et al. 2017, DenseNet-BC: each layer of a block reads the results of all layers before it
 * in the block, and adds 32 channels (48 for depth 161).  Between blocks, a transition halves
 * channels and sides.  depth is 121, 161, 169 or 201; another is an error.  x [N,3,H,W], 224 x 224
 * as published; features.conv0, features.norm0, features.denseblock1.denselayer1.norm1, .conv1,
 * .norm2, .conv2, .. features.transition1.norm, .conv, .. features.norm5, classifier; 1000 classes,
 * 7,978,856, 28,681,000, 14,149,480 and 20,013,928 parameters.  Convolutions start as Kaiming normal
 * by fan_in.  .dropout, after each layer, defaults to 0. */
typedef struct ebb_dense_layer {
	const char *name;
	ebb_bn norm1;
	ebb_conv conv1;
	ebb_bn norm2;
	ebb_conv conv2;
	ebb_drop dropout;
} ebb_dense_layer;
typedef struct ebb_dense_block {
	const char *name;
	int count;
	ebb_dense_layer *layers;
	const char *transition; /* NULL: the last block */
	ebb_bn norm;            /* of the transition */
	ebb_conv conv;
} ebb_dense_block;
enum { EBB_DENSE_BLOCKS = 4 };
typedef struct ebb_densenet {
	ebb_conv conv0;
	ebb_bn norm0;
	ebb_dense_block blocks[EBB_DENSE_BLOCKS];
	ebb_bn norm5;
	ebb_linear classifier;
	bool no_head;
} ebb_densenet;
typedef struct ebb_densenet_new_args {
	ebb_params *p;
	int depth;
	int64_t classes;
	bool no_head;
	double dropout;
	const char *site;
} ebb_densenet_new_args;
EBB_API ebb_densenet ebb_densenet_new(const ebb_densenet_new_args *a);
EBB_API ebb_tensor *ebb_densenet_forward(
	ebb_tape *t, const ebb_densenet *net, ebb_tensor *x, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_cifar_resnet_new(...)                                                                  \
	EBB_CALL_ARGS(ebb_cifar_resnet_new, ebb_cifar_resnet_new_args, __VA_ARGS__)
#define ebb_cifar_resnet_forward(...) EBB_CALL(ebb_cifar_resnet_forward, __VA_ARGS__)
#define ebb_wrn_new(...) EBB_CALL_ARGS(ebb_wrn_new, ebb_wrn_new_args, __VA_ARGS__)
#define ebb_wrn_forward(...) EBB_CALL(ebb_wrn_forward, __VA_ARGS__)
#define ebb_densenet_new(...) EBB_CALL_ARGS(ebb_densenet_new, ebb_densenet_new_args, __VA_ARGS__)
#define ebb_densenet_forward(...) EBB_CALL(ebb_densenet_forward, __VA_ARGS__)
#define ebb_resnet_new(...) EBB_CALL_ARGS(ebb_resnet_new, ebb_resnet_new_args, __VA_ARGS__)
#define ebb_resnet_forward(...) EBB_CALL(ebb_resnet_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
