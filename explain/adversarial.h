/*
 * adversarial.h - adversarial examples: images that differ little from given ones, and that a network
 * takes for another class (Szegedy et al. 2014).
 */
#ifndef EBB_ADVERSARIAL_H
#define EBB_ADVERSARIAL_H

#include "network.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ebb_attack_norm {
	EBB_NORM_LINF, /* the largest |change| of an element of an image */
	EBB_NORM_L2    /* the root of the sum of the squared changes of an image */
} ebb_attack_norm;

/* What an attack has reached, for each image; the arrays have N elements, NULL: not wanted. */
typedef struct ebb_attack_result {
	bool *fooled; /* the class with the highest score is not the label (.targeted: is it) */
	int64_t *predicted;  /* the class with the highest score of the result */
	double *probability; /* of the label, by softmax */
	double *distance;    /* between x and the result, in .norm */
	int steps;           /* that were computed */
} ebb_attack_result;

/* Projected gradient descent (Madry et al. 2018): starting from x, repeats
 *
 *   z = P(z + s*step*d),   s = 1, with .targeted s = -1
 *
 * where d is the sign of g (L-infinity) or g divided by its Euclidean norm per image (L2; 0 where g
 * is 0), and g is the gradient of the loss of each image.  P projects onto the images within .eps of
 * x (in .norm), and then clamps the elements to [low,high].  The loss is the cross-entropy of the
 * scores and the labels.  The scores are logits: of probabilities the gradient would be small, and
 * .result->probability wrong.  With .margin, the loss is the largest score of another class minus
 * that of the label, whose gradient does not vanish when the softmax is 0 or 1 in floating point
 * (Carlini & Wagner 2017).
 *
 * x [N,...] is F32 or F64; labels [N] (I64) are the correct classes or, with .targeted, the ones that
 * the network is to predict.  The result is a new tensor of x's type and shape, which no gradient
 * connects with x.  The network runs in evaluation mode, with x's type as the default type.
 * Gradients of parameters do not change, and what was recorded before can still be differentiated.
 * An attack needs the memory of one forward and backward pass, whatever .steps is.
 *
 *	static ebb_tensor *scores(ebb_tape *t, ebb_tensor *x, void *net)
 *	{
 *		return ebb_model_forward(t, net, x);
 *	}
 *	...
 *	ebb_tensor *worst = ebb_pgd(t, scores, &net, images, labels, .eps = 8 / 255.0,
 *		.step = 2 / 255.0, .steps = 40, .levels = 255);
 *
 * .levels n: the elements of the result are low + k*(high - low)/n for whole k, so that an image of
 * n + 1 grey levels, such as a PNG of 8 bits, holds the result without rounding.  The network then
 * takes such images in all steps: z is rounded before the gradient is computed, and P acts on z, so
 * that steps smaller than half a level still accumulate.  The rounded image is also within .eps of
 * x, up to the rounding errors of x's type.
 *
 * Errors: NaN or infinity in x or .start; an x outside of [low,high] by more than the rounding
 * errors of x's type; labels out of range; an .eps or .step that is not finite or negative; an .eps
 * that is left out (EBB_ZERO for 0); low >= high; negative steps or levels; a confidence outside of
 * [0,1]; both .start and .random_start; scores of another shape or type, or that are not finite; a
 * gradient that is not finite; with .levels an x that no image of whole levels is within .eps of.
 * Inside a vjp an attack is an error, because the tape cannot be rewound there.  NULL on failure;
 * the tape's modes are restored then, too. */
typedef struct ebb_attack_args {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	ebb_tensor *x, *labels;
	double eps;  /* required, in x's units */
	double step; /* default: 2.5*eps/steps; for one step: eps */
	int steps;   /* default: 1 of ebb_fgsm, 40 of ebb_pgd */
	ebb_attack_norm norm;
	bool targeted, margin;
	/* Default 0 and 1; EBB_ZERO for a high of 0.  Without .levels they may be infinite. */
	double low, high;
	int levels; /* 0: no rounding */
	/* Starts at a point that is drawn uniformly from the ball of .eps around x, from the tape's
	 * random generator. */
	bool random_start;
	ebb_tensor *start; /* starts there, projected; not with .random_start */
	/* Above 0: an image that has been fooled with at least this confidence keeps its values: the
	 * network predicts another class and gives the label at most a probability of 1 - confidence
	 * (.targeted: it gives the label at least confidence).  The attack ends when all images have
	 * been.  Without it, all steps are computed. */
	double confidence;
	ebb_attack_result *result;
	const char *site;
} ebb_attack_args;
EBB_API ebb_tensor *ebb_pgd(const ebb_attack_args *a);
/* The fast gradient sign method (Goodfellow et al. 2015): ebb_pgd with one step of length .eps. */
EBB_API ebb_tensor *ebb_fgsm(const ebb_attack_args *a);

#define ebb_pgd(...) EBB_CALL_ARGS(ebb_pgd, ebb_attack_args, __VA_ARGS__)
#define ebb_fgsm(...) EBB_CALL_ARGS(ebb_fgsm, ebb_attack_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
