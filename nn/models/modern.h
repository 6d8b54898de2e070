/*
 * modern.h - networks of depthwise convolutions: MobileNet, EfficientNet and ConvNeXt.
 */
#ifndef EBB_MODELS_MODERN_H
#define EBB_MODELS_MODERN_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- MobileNet v2 (mobilenet.c) ----------------------------------------------------------------
 *
 * Sandler et al. 2018.  A block is an inverted residual: a 1x1 convolution to six times as many
 * channels, a depthwise 3x3 convolution, and a 1x1 convolution to fewer channels without
 * activation; the others have ReLU6, and all have batch norm.  A block of stride 1 with as many
 * channels before as after adds its input.  x [N,3,H,W], 224 x 224 as published; features.0.0
 * (convolution) and .1 (batch norm), features.1.conv.0.0, .. features.17.conv.3, features.18.0,
 * features.18.1, classifier.1; 1000 classes, 3,504,872 parameters.  Convolutions start as Kaiming
 * normal by fan_out, the last layer as N(0, 0.01^2) with biases at 0.
 *
 * .width multiplies the number of channels of each layer, rounded to a multiple of 8 (upwards if
 * it would lose more than a tenth); below 1 it leaves the 1280 of the last convolution unchanged.
 * It defaults to 1; 0 < width <= 1000, else an error.  .dropout, before the last layer, defaults to
 * 0.2. */
typedef struct ebb_mobilenet_v2_block {
	const char *name;
	ebb_sequential *expand; /* NULL: the depthwise convolution reads the block's input */
	ebb_sequential *depthwise;
	ebb_conv project;
	ebb_bn project_bn;
	bool shortcut; /* the block adds its input */
} ebb_mobilenet_v2_block;
typedef struct ebb_mobilenet_v2 {
	ebb_sequential *first, *last; /* features.0, features.18 */
	int count;
	ebb_mobilenet_v2_block *blocks;
	ebb_drop dropout;
	ebb_linear classifier;
	bool no_head;
} ebb_mobilenet_v2;
typedef struct ebb_mobilenet_v2_new_args {
	ebb_params *p;
	int64_t classes;
	double width, dropout;
	bool no_head;
	const char *site;
} ebb_mobilenet_v2_new_args;
EBB_API ebb_mobilenet_v2 ebb_mobilenet_v2_new(const ebb_mobilenet_v2_new_args *a);
EBB_API ebb_tensor *ebb_mobilenet_v2_forward(
	ebb_tape *t, const ebb_mobilenet_v2 *net, ebb_tensor *x, const char *site);

/* ---- EfficientNet-B0 (efficientnet.c) ----------------------------------------------------------
 *
 * Tan & Le 2019.  Inverted residuals as in MobileNet v2, with depthwise kernels of 3x3 and 5x5,
 * SiLU instead of ReLU6, and squeeze and excitation (Hu et al. 2018): the depthwise result
 * y [N,C,H,W] is multiplied by sigmoid(fc2(silu(fc1(mean of y over H and W)))).  x [N,3,H,W], 224 x
 * 224 as published; features.0.0, features.0.1, features.1.0.block.0.0 (stage 1, its block 0), ..
 * features.7.0.block.3.1, features.8.0, features.8.1, classifier.1; 1000 classes, 5,288,548
 * parameters.  Convolutions start as Kaiming normal by fan_out, the last layer as U(-b, b), b =
 * 1/sqrt(classes), biases at 0.
 *
 * .dropout, before the last layer, defaults to 0.2.  .drop_path is the rate r of stochastic depth
 * (Huang et al. 2016), 0.2 by default, EBB_ZERO for none: while the tape trains, block i of 16
 * (from 0) drops its branch of a sample with probability r*i/16.  A rate outside 0 <= r < 1 is an
 * error. */
typedef struct ebb_efficientnet_block {
	const char *name;
	ebb_sequential *expand; /* NULL: the depthwise convolution reads the block's input */
	ebb_sequential *depthwise;
	const char *squeeze; /* the full name of squeeze and excitation */
	ebb_conv fc1, fc2;
	ebb_sequential *project;
	double drop_path;
	bool shortcut; /* the block adds its input */
} ebb_efficientnet_block;
typedef struct ebb_efficientnet {
	ebb_sequential *first, *last; /* features.0, features.8 */
	int count;
	ebb_efficientnet_block *blocks;
	ebb_drop dropout;
	ebb_linear classifier;
	bool no_head;
} ebb_efficientnet;
typedef struct ebb_efficientnet_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout, drop_path;
	bool no_head;
	const char *site;
} ebb_efficientnet_new_args;
EBB_API ebb_efficientnet ebb_efficientnet_b0_new(const ebb_efficientnet_new_args *a);
EBB_API ebb_tensor *ebb_efficientnet_forward(
	ebb_tape *t, const ebb_efficientnet *net, ebb_tensor *x, const char *site);

/* ---- ConvNeXt-Tiny (convnext.c) ----------------------------------------------------------------
 *
 * Liu et al. 2022.  A block adds layer_scale*f(x) to its input x, where f is a depthwise 7x7
 * convolution, layer norm over the channels, a linear layer to four times as many channels, GELU,
 * and a linear layer back; the linear layers act on each position.  3, 3, 9 and 3 blocks of 96,
 * 192, 384 and 768 channels; between these stages, layer norm and a 2x2 convolution of stride 2.
 * eps is 1e-6.
 *
 * x [N,3,H,W], 224 x 224 as published, at least 32 x 32; features.0.0 (4x4 convolution of stride
 * 4), features.0.1 (layer norm), features.1.0.layer_scale [C,1,1], features.1.0.block.0
 * (convolution), .block.2 (layer norm), .block.3, .block.5 (linear), .. features.2.0 (layer norm),
 * features.2.1 (convolution), .. features.7.2.block.5, classifier.0 (layer norm), classifier.2;
 * 1000 classes, 28,589,128 parameters.  Weights start as N(0, 0.02^2), biases at 0, layer_scale at
 * 1e-6.  The features of a network without head are the result of classifier.0.
 *
 * .drop_path is the rate r of stochastic depth (Huang et al. 2016), 0.1 by default, EBB_ZERO for
 * none: while the tape trains, block i of 18 (from 0) drops its branch of a sample with probability
 * r*i/17.  A rate outside 0 <= r < 1 is an error. */
typedef struct ebb_convnext_block {
	const char *name;
	ebb_tensor *layer_scale;
	ebb_conv depthwise;
	ebb_layernorm_layer norm;
	ebb_linear expand, project;
	double drop_path;
} ebb_convnext_block;
typedef struct ebb_convnext_stage {
	const char *name; /* the full name of conv and norm together */
	ebb_conv conv;    /* makes the image smaller: of stage 0 before norm, of others after */
	ebb_layernorm_layer norm;
	int count;
	ebb_convnext_block *blocks;
} ebb_convnext_stage;
typedef struct ebb_convnext {
	ebb_convnext_stage stages[4];
	ebb_layernorm_layer norm;
	ebb_linear classifier;
	bool no_head;
} ebb_convnext;
typedef struct ebb_convnext_new_args {
	ebb_params *p;
	int64_t classes;
	double drop_path;
	bool no_head;
	const char *site;
} ebb_convnext_new_args;
EBB_API ebb_convnext ebb_convnext_tiny_new(const ebb_convnext_new_args *a);
EBB_API ebb_tensor *ebb_convnext_forward(
	ebb_tape *t, const ebb_convnext *net, ebb_tensor *x, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_mobilenet_v2_new(...)                                                                  \
	EBB_CALL_ARGS(ebb_mobilenet_v2_new, ebb_mobilenet_v2_new_args, __VA_ARGS__)
#define ebb_mobilenet_v2_forward(...) EBB_CALL(ebb_mobilenet_v2_forward, __VA_ARGS__)
#define ebb_efficientnet_b0_new(...)                                                               \
	EBB_CALL_ARGS(ebb_efficientnet_b0_new, ebb_efficientnet_new_args, __VA_ARGS__)
#define ebb_efficientnet_forward(...) EBB_CALL(ebb_efficientnet_forward, __VA_ARGS__)
#define ebb_convnext_tiny_new(...)                                                                 \
	EBB_CALL_ARGS(ebb_convnext_tiny_new, ebb_convnext_new_args, __VA_ARGS__)
#define ebb_convnext_forward(...) EBB_CALL(ebb_convnext_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
