/*
 * squeezenet.h - SqueezeNet: the accuracy of AlexNet with a fiftieth of its parameters.
 */
#ifndef EBB_MODELS_SQUEEZENET_H
#define EBB_MODELS_SQUEEZENET_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- SqueezeNet (squeezenet.c) -----------------------------------------------------------------
 *
 * Iandola et al. 2016.  A fire module squeezes its input to few channels by a 1x1 convolution, and
 * expands the result by a 1x1 and a 3x3 convolution, whose outputs are concatenated; a ReLU follows
 * each convolution.  x [N,3,H,W], 224 x 224 as torchvision's, 227 x 227 in the paper; features.0,
 * eight fire modules with .squeeze, .expand1x1 and .expand3x3, classifier.1; the max poolings are in
 * ceil mode.  The logits are the means over all positions of relu(classifier.1), so none of them is
 * negative.  With .no_head the result is the mean [N,512] of the last fire module's output.
 *
 * .version: 10 for SqueezeNet 1.0 (the default), 1,248,424 parameters, or 11 for SqueezeNet 1.1,
 * which has 1,235,496 parameters and pools earlier.  1000 classes.  Weights start as Kaiming uniform,
 * those of classifier.1 as N(0, 0.01^2), and biases at 0.  .dropout, before classifier.1, defaults
 * to 0.5. */
typedef struct ebb_fire {
	const char *name;
	ebb_conv squeeze, expand1x1, expand3x3;
} ebb_fire;
enum { EBB_FIRES = 8 };
typedef struct ebb_squeezenet {
	ebb_conv conv; /* features.0 */
	ebb_fire fire[EBB_FIRES];
	bool pool_after[EBB_FIRES]; /* the positions of the max poolings but the first */
	ebb_drop dropout;
	ebb_conv classifier; /* classifier.1 */
	bool no_head;
} ebb_squeezenet;
typedef struct ebb_squeezenet_new_args {
	ebb_params *p;
	int version;
	int64_t classes;
	double dropout;
	bool no_head;
	const char *site;
} ebb_squeezenet_new_args;
EBB_API ebb_squeezenet ebb_squeezenet_new(const ebb_squeezenet_new_args *a);
EBB_API ebb_tensor *ebb_squeezenet_forward(
	ebb_tape *t, const ebb_squeezenet *net, ebb_tensor *x, const char *site);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_squeezenet_new(...)                                                                    \
	EBB_CALL_ARGS(ebb_squeezenet_new, ebb_squeezenet_new_args, __VA_ARGS__)
#define ebb_squeezenet_forward(...) EBB_CALL(ebb_squeezenet_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
