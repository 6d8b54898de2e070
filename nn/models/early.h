/*
 * early.h - networks from LeNet to VGG: chains of convolutions and poolings.
 */
#ifndef EBB_MODELS_EARLY_H
#define EBB_MODELS_EARLY_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- LeNet of 1989 (lenet1989.c) ---------------------------------------------------------------
 *
 * LeCun et al. 1989, "Backpropagation Applied to Handwritten Zip Code Recognition".  x [N,1,16,16],
 * pixels from -1 (background) to 1; 9,760 parameters.  H1: 12 maps, 5 x 5, stride 2, weight
 * [12,1,5,5].  H2: 12 maps, 5 x 5, stride 2, each of which reads 8 maps of H1, weight [12,8,5,5].
 * Both layers pad with the background -1, and have one bias for each unit: [12,8,8] and [12,4,4].
 * H3: 30 units; output: 10 units.  The activation after every layer, also after the output, is
 * 1.7159 tanh(2a/3).  Weights start as U(-2.4/fan_in, 2.4/fan_in), biases at 0.
 *
 * The paper does not say which maps of H1 a map of H2 reads.  Here the maps of H2 are three groups
 * of 4: those of group g read the maps 4g, .., 4g + 7 modulo 12.  The paper trains with the mean
 * squared error (ebb_mse_loss) and targets of 1 for the class and -1 for the others; ebb_model_loss
 * is the cross-entropy.  .no_head: the 30 units of H3. */
typedef struct ebb_lenet1989_maps {
	const char *name;
	ebb_tensor *weight, *bias;
} ebb_lenet1989_maps;
typedef struct ebb_lenet1989 {
	ebb_lenet1989_maps h1, h2;
	ebb_linear h3, output;
	bool no_head;
} ebb_lenet1989;
typedef struct ebb_lenet1989_new_args {
	ebb_params *p;
	int64_t classes;
	bool no_head;
	const char *site;
} ebb_lenet1989_new_args;
EBB_API ebb_lenet1989 ebb_lenet1989_new(const ebb_lenet1989_new_args *a);
EBB_API ebb_tensor *ebb_lenet1989_forward(
	ebb_tape *t, const ebb_lenet1989 *net, ebb_tensor *x, const char *site);

/* ---- LeNet-5 (lenet.c) ------------------------------------------------------------------------
 *
 * LeCun et al. 1998, with ReLU and max pooling.  x [N,1,28,28]; conv1, conv2, fc1, fc2, fc3; 10
 * classes, 61,706 parameters with PyTorch's initial values.  .no_head: 84 features. */
typedef struct ebb_lenet {
	ebb_conv conv1, conv2;
	ebb_linear fc1, fc2, fc3;
	bool no_head;
} ebb_lenet;
typedef struct ebb_lenet_new_args {
	ebb_params *p;
	int64_t classes;
	bool no_head;
	const char *site;
} ebb_lenet_new_args;
EBB_API ebb_lenet ebb_lenet_new(const ebb_lenet_new_args *a);
EBB_API ebb_tensor *ebb_lenet_forward(
	ebb_tape *t, const ebb_lenet *net, ebb_tensor *x, const char *site);

/* ---- AlexNet (alexnet.c) -----------------------------------------------------------------------
 *
 * x [N,3,H,W], 224 x 224 as published; 1000 classes.  .dropout defaults to 0.5.  .no_head: 4096
 * features.
 *
 * Without .original, the network of Krizhevsky et al. 2012 in the single-GPU form of Krizhevsky
 * 2014: features.0 .. features.10, pooled to 6 x 6, classifier.1, .4, .6; 61,100,840 parameters with
 * PyTorch's initial values.
 *
 * With .original, the network of 2012: features.0, .4, .8, .10, .12, classifier.0, .3, .6;
 * 60,965,224 parameters.  The convolutions 2, 4 and 5 have two groups, the halves of the two GPUs.
 * ReLU of the convolutions 1 and 2 is followed by ebb_local_response_norm over 5 channels: the
 * divisor is (2 + 1e-4*sum of squares)^0.75.  Weights start as N(0, 0.01^2), the biases of the
 * convolutions 2, 4, 5 and of classifier.0 and .3 at 1, the others at 0. */
typedef struct ebb_alexnet {
	ebb_sequential *features, *classifier;
} ebb_alexnet;
typedef struct ebb_alexnet_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	bool original, no_head;
	const char *site;
} ebb_alexnet_new_args;
EBB_API ebb_alexnet ebb_alexnet_new(const ebb_alexnet_new_args *a);
EBB_API ebb_tensor *ebb_alexnet_forward(
	ebb_tape *t, const ebb_alexnet *net, ebb_tensor *x, const char *site);

/* ---- ZFNet (zfnet.c) ---------------------------------------------------------------------------
 *
 * Zeiler & Fergus 2014, figure 3.  x [N,3,H,W], 224 x 224 as published; features.0 (7 x 7, stride
 * 2), .4, .8, .10, .12, pooled to 6 x 6, classifier.0, .3, .6; 1000 classes, 62,357,608 parameters.
 * The poolings 1 and 2 are followed by the local response normalisation of AlexNet's .original.
 * Weights start as N(0, 0.01^2), biases at 0.  .dropout defaults to 0.5.  .no_head: 4096 features. */
typedef struct ebb_zfnet {
	ebb_sequential *features, *classifier;
} ebb_zfnet;
typedef struct ebb_zfnet_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	bool no_head;
	const char *site;
} ebb_zfnet_new_args;
EBB_API ebb_zfnet ebb_zfnet_new(const ebb_zfnet_new_args *a);
EBB_API ebb_tensor *ebb_zfnet_forward(
	ebb_tape *t, const ebb_zfnet *net, ebb_tensor *x, const char *site);

/* ---- OverFeat (overfeat.c) ---------------------------------------------------------------------
 *
 * Sermanet et al. 2014.  x [N,3,H,W]; 1000 classes; features.N, classifier.0, .3, .6.  The fast
 * network (table 1) is for 231 x 231 and has 145,920,872 parameters; with .accurate (table 3), for
 * 221 x 221, it has 144,656,488.  The layers of the classifier are convolutions: classifier.0 of 6 x
 * 6 (accurate: 5 x 5) pixels, the others of 1 x 1.  A larger image gives a map of logits, one vector
 * for every position of a window of the published size; the result is their mean.
 *
 * Weights start as N(0, 0.01^2), biases at 0.  .dropout defaults to 0.5.  .no_head: 4096 features,
 * the mean over the positions. */
typedef struct ebb_overfeat {
	ebb_sequential *features, *classifier;
} ebb_overfeat;
typedef struct ebb_overfeat_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	bool accurate, no_head;
	const char *site;
} ebb_overfeat_new_args;
EBB_API ebb_overfeat ebb_overfeat_new(const ebb_overfeat_new_args *a);
EBB_API ebb_tensor *ebb_overfeat_forward(
	ebb_tape *t, const ebb_overfeat *net, ebb_tensor *x, const char *site);

/* ---- Network in Network (nin.c) ----------------------------------------------------------------
 *
 * Lin, Chen & Yan 2014, as in the Caffe models that the authors published.  Each convolution larger
 * than 1 x 1 is followed by convolutions of 1 x 1, each convolution by ReLU.  The logits are the
 * means over all positions of relu(classifier.0(features)).  .dropout defaults to 0.5.
 *
 * x [N,3,H,W]: 224 x 224, 1000 classes, 7,595,176 parameters; with .cifar 32 x 32, 10 classes,
 * 966,986 parameters.  Weights start as N(0, 0.05^2), without .cifar those of features.0, .14 and
 * classifier.0 as N(0, 0.01^2); biases at 0.  .no_head: 1024 (.cifar: 192) features, the mean over
 * all positions of the values that classifier.0 would read. */
typedef struct ebb_nin {
	ebb_sequential *features, *classifier;
	bool no_head;
} ebb_nin;
typedef struct ebb_nin_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	bool cifar, no_head;
	const char *site;
} ebb_nin_new_args;
EBB_API ebb_nin ebb_nin_new(const ebb_nin_new_args *a);
EBB_API ebb_tensor *ebb_nin_forward(
	ebb_tape *t, const ebb_nin *net, ebb_tensor *x, const char *site);

/* ---- VGG (vgg.c) -------------------------------------------------------------------------------
 *
 * Simonyan & Zisserman 2015.  depth is 11, 13, 16 or 19: the configurations A, B, D and E.
 * .batch_norm: each convolution is followed by a batch norm.  x [N,3,H,W], 224 x 224 as published;
 * features.N, pooled to 7 x 7, classifier.0, .3, .6; 1000 classes; VGG-16 has 138,357,544
 * parameters.  Convolutions start as Kaiming normal by fan_out, linear layers as N(0, 0.01^2),
 * biases at 0.  .dropout defaults to 0.5.  .no_head: 4096 features. */
typedef struct ebb_vgg {
	ebb_sequential *features, *classifier;
} ebb_vgg;
typedef struct ebb_vgg_new_args {
	ebb_params *p;
	int depth;
	int64_t classes;
	double dropout;
	bool batch_norm, no_head;
	const char *site;
} ebb_vgg_new_args;
EBB_API ebb_vgg ebb_vgg_new(const ebb_vgg_new_args *a);
EBB_API ebb_tensor *ebb_vgg_forward(
	ebb_tape *t, const ebb_vgg *net, ebb_tensor *x, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_lenet1989_new(...) EBB_CALL_ARGS(ebb_lenet1989_new, ebb_lenet1989_new_args, __VA_ARGS__)
#define ebb_lenet1989_forward(...) EBB_CALL(ebb_lenet1989_forward, __VA_ARGS__)
#define ebb_lenet_new(...) EBB_CALL_ARGS(ebb_lenet_new, ebb_lenet_new_args, __VA_ARGS__)
#define ebb_lenet_forward(...) EBB_CALL(ebb_lenet_forward, __VA_ARGS__)
#define ebb_alexnet_new(...) EBB_CALL_ARGS(ebb_alexnet_new, ebb_alexnet_new_args, __VA_ARGS__)
#define ebb_alexnet_forward(...) EBB_CALL(ebb_alexnet_forward, __VA_ARGS__)
#define ebb_zfnet_new(...) EBB_CALL_ARGS(ebb_zfnet_new, ebb_zfnet_new_args, __VA_ARGS__)
#define ebb_zfnet_forward(...) EBB_CALL(ebb_zfnet_forward, __VA_ARGS__)
#define ebb_overfeat_new(...) EBB_CALL_ARGS(ebb_overfeat_new, ebb_overfeat_new_args, __VA_ARGS__)
#define ebb_overfeat_forward(...) EBB_CALL(ebb_overfeat_forward, __VA_ARGS__)
#define ebb_nin_new(...) EBB_CALL_ARGS(ebb_nin_new, ebb_nin_new_args, __VA_ARGS__)
#define ebb_nin_forward(...) EBB_CALL(ebb_nin_forward, __VA_ARGS__)
#define ebb_vgg_new(...) EBB_CALL_ARGS(ebb_vgg_new, ebb_vgg_new_args, __VA_ARGS__)
#define ebb_vgg_forward(...) EBB_CALL(ebb_vgg_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
