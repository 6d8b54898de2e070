/*
 * attribution.h - which parts of an input a network's score depends on: gradients with respect to the
 * input, and class activation maps.
 *
 * Each function takes images x [N,...] (F32 or F64), and for each image a class.  The result is a
 * constant of x's type on the tape.  The network runs in evaluation mode; gradients of parameters do
 * not change.  score(n) is element [n,class] of what the network returns: usually the logit.
 *
 * An attribution is evidence of what the network reads only if it depends on the weights: compare the
 * maps of the trained network and of one with random weights by ebb_rank_correlation (Adebayo et al.
 * 2018, "Sanity Checks for Saliency Maps").
 *
 * Rules that the caller has set by ebb_set_rules do not hold for the network here: .rules does, where
 * a function has it.
 *
 * Errors: x of another type or without a batch axis, classes that are not I64 [N] or out of range, a
 * network that returns something else than [N,K], a call inside a vjp, and those named below.  NULL
 * on failure.
 */
#ifndef EBB_ATTRIBUTION_H
#define EBB_ATTRIBUTION_H

#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Rules for gradients (rules.c) --------------------------------------------------------------
 *
 * Each is a rule of the op relu, so that it holds for every ReLU that is recorded while it is set
 * (ebb_set_rules), also for a function that is called several times and in fused ops.  With y =
 * max(x,0) and gy the gradient of y, x gets
 *
 *   the gradient            gy where x > 0, else 0
 *   the deconvolution       max(gy,0)                       Zeiler & Fergus 2014
 *   guided backpropagation  max(gy,0) where x > 0, else 0   Springenberg et al. 2015
 */
EBB_API ebb_rules ebb_guided_rules(void);
EBB_API ebb_rules ebb_deconvnet_rules(void);

/* ---- Gradients (gradients.c) ----------------------------------------------------------------- */

/* d score(n)/d x[n], of x's shape (Simonyan et al. 2014).  classes [N] (I64) defaults to the classes
 * with the highest scores.  .rules replace vjps, as above.  The usual map of an image is the largest
 * magnitude over the channels: ebb_max(t, ebb_abs(t, g), .axes = EBB_AXES(1)). */
typedef struct ebb_saliency_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x, *classes;
	ebb_rules rules;
	const char *site;
} ebb_saliency_args;
EBB_API ebb_tensor *ebb_saliency(const ebb_saliency_args *a);
/* The same with ebb_guided_rules in place of .rules. */
EBB_API ebb_tensor *ebb_guided_backprop(const ebb_saliency_args *a);

/* The mean of ebb_saliency over .samples copies of x with normal noise, whose standard deviation is
 * .sigma times the range (maximum minus minimum) of the image (Smilkov et al. 2017).  The noise comes
 * from the tape's random generator.  If classes is left out, those of x without noise are taken. */
typedef struct ebb_smoothgrad_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x, *classes;
	int samples;  /* default 50 */
	double sigma; /* default 0.15 */
	ebb_rules rules;
	const char *site;
} ebb_smoothgrad_args;
EBB_API ebb_tensor *ebb_smoothgrad(const ebb_smoothgrad_args *a);

/* ---- Integrated gradients (integrated.c) ------------------------------------------------------- */

/* How far the sum of an image's attributions is from score(x) - score(baseline). */
typedef struct ebb_completeness {
	double score, baseline_score;
	double sum; /* of the attributions */
	int steps;  /* gradients that were computed */
} ebb_completeness;

/* (x - x0) times the integral over s in [0,1] of d score/dx at x0 + s*(x - x0), with x0 the baseline
 * (Sundararajan et al. 2017).  The integral is a sum by the trapezoidal rule over .min_steps intervals,
 * whose number is doubled until the attributions of each image satisfy
 *
 *   |sum - (score(x) - score(x0))| <= tolerance*|score(x) - score(x0)|
 *
 * or there are .max_steps intervals: .result says what was reached, and if not all images satisfy it,
 * *.complete is false.  An image whose score equals that of its baseline needs an exact sum. */
typedef struct ebb_integrated_gradients_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x, *classes;
	ebb_tensor *baseline;     /* of x's type and shape; default: zeros */
	double tolerance;         /* default 1e-3 */
	int min_steps, max_steps; /* default 16 and 4096 */
	int batch;                /* points that the network takes at once, 1 to 64; default 8 */
	ebb_completeness *result; /* [N] or NULL */
	bool *complete;           /* or NULL */
	const char *site;
} ebb_integrated_gradients_args;
EBB_API ebb_tensor *ebb_integrated_gradients(const ebb_integrated_gradients_args *a);

/* ---- Layers and their units (layer.c, grad_cam.c) ----------------------------------------------
 *
 * A layer is the result A [N,C,h,w] of a scope (ebb_scope_begin), which layers and blocks of networks
 * are.  .layer is the scope's path, or the last names of it: "features.12", "layer4.1.conv2".  Of
 * several scopes with that name, those with the fewest names in their path count, and of these the
 * last that ends.  If there is none, "layer4" is the last of its parts, such as layer4.1.
 * Without .layer it is the last scope whose result has more than one pixel.
 *
 * Errors: no scope of that name has a result [N,C,h,w] that an op computed (the message lists those
 * that have one); a call in the second run of a checkpoint, which ends no scopes for observers; and,
 * but for ebb_layer_output, a layer inside a checkpoint of the network, whose recording is gone when
 * the network returns. */

/* max(0, sum over channels c of w[n,c] A[n,c]) with w[n,c] the mean over the pixels of d score(n)/d
 * A[n,c]: a map [N,1,h,w] (Selvaraju et al. 2017).  .resize: the map is interpolated bilinearly to the
 * height and width of x [N,C,H,W]. */
typedef struct ebb_grad_cam_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x, *classes;
	const char *layer;
	bool resize;
	const char *site;
} ebb_grad_cam_args;
EBB_API ebb_tensor *ebb_grad_cam(const ebb_grad_cam_args *a);

/* A itself: what the layer computes for x [N,...]. */
typedef struct ebb_layer_output_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x;
	const char *layer;
	const char *site;
} ebb_layer_output_args;
EBB_API ebb_tensor *ebb_layer_output(const ebb_layer_output_args *a);

/* The largest element of a channel of A. */
typedef struct ebb_unit {
	double value;
	int64_t y, x; /* its pixel in the layer */
} ebb_unit;

/* d A[n,channel,y,x]/d x[n], of x's shape, at the pixel (y,x) where the channel is largest.  With
 * ebb_deconvnet_rules this is the reconstruction of a deconvnet: convolutions are transposed, and max
 * poolings put values back to the positions of the maxima (Zeiler & Fergus 2014).  .units [N] or NULL
 * receives the value and the pixel. */
typedef struct ebb_unit_gradient_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x;
	const char *layer;
	int64_t channel;
	ebb_rules rules;
	ebb_unit *units;
	const char *site;
} ebb_unit_gradient_args;
EBB_API ebb_tensor *ebb_unit_gradient(const ebb_unit_gradient_args *a);

/* ---- Comparing maps (rank.c) ------------------------------------------------------------------- */

/* Spearman's rank correlation of two tensors of the same number of elements: Pearson's correlation of
 * the ranks, where equal elements have the mean of their ranks.  NaN if the numbers differ, are below
 * 2, an element is NaN, all elements of a tensor are equal, or there is no memory. */
EBB_API double ebb_rank_correlation(const ebb_tensor *a, const ebb_tensor *b);

#define ebb_saliency(...) EBB_CALL_ARGS(ebb_saliency, ebb_saliency_args, __VA_ARGS__)
#define ebb_guided_backprop(...) EBB_CALL_ARGS(ebb_guided_backprop, ebb_saliency_args, __VA_ARGS__)
#define ebb_smoothgrad(...) EBB_CALL_ARGS(ebb_smoothgrad, ebb_smoothgrad_args, __VA_ARGS__)
#define ebb_integrated_gradients(...)                                                              \
	EBB_CALL_ARGS(ebb_integrated_gradients, ebb_integrated_gradients_args, __VA_ARGS__)
#define ebb_grad_cam(...) EBB_CALL_ARGS(ebb_grad_cam, ebb_grad_cam_args, __VA_ARGS__)
#define ebb_layer_output(...) EBB_CALL_ARGS(ebb_layer_output, ebb_layer_output_args, __VA_ARGS__)
#define ebb_unit_gradient(...) EBB_CALL_ARGS(ebb_unit_gradient, ebb_unit_gradient_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
