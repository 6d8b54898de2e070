/*
 * chain.h - parts of the networks from AlexNet to VGG, which are a chain of convolutions and a
 * classifier of three linear layers.
 */
#ifndef EBB_MODELS_CHAIN_H
#define EBB_MODELS_CHAIN_H

#include "nn/models/internal.h"

enum { CLASSIFIER_UNITS = 4096 };

/* The initial weights of Krizhevsky et al. 2012 and of the networks that followed. */
#define SMALL_NORMAL EBB_INIT(EBB_INIT_NORMAL, .std = 0.01)

/* The local response normalisation of Krizhevsky et al. 2012, as a step of a container.  The
 * paper's alpha of 1e-4 multiplies the sum over 5 channels, which ebb_local_response_norm divides
 * by 5. */
static inline ebb_tensor *response_norm(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site)
{
	(void)ctx;
	return ebb_local_response_norm(t, x, .size = 5, .alpha = 5e-4, .beta = 0.75, .k = 2);
}

/* Linear layers to 4096, 4096 and classes units, the first two followed by ReLU and dropout.
 * .bias_init is that of the first two.  With .no_head the last is left out. */
typedef struct classifier_args {
	ebb_params *p;
	int64_t in, classes;
	double dropout;
	ebb_init bias_init;
	bool no_head;
	const char *site;
} classifier_args;
static inline ebb_sequential *linear_classifier(const classifier_args *a)
{
	const char *site = a->site;
	ebb_sequential *s = ebb_sequential_new(a->p, "classifier");
	double dropout = ebb_option(a->dropout, 0.5);

	for (int i = 0; i < 2; i++) {
		ebb_sequential_linear(s, i ? CLASSIFIER_UNITS : a->in, CLASSIFIER_UNITS,
			.init = SMALL_NORMAL, .bias_init = a->bias_init);
		ebb_sequential_fn(s, ebb_relu);
		ebb_sequential_dropout(s, dropout);
	}
	if (!a->no_head)
		ebb_sequential_linear(s, CLASSIFIER_UNITS, ebb_option_count(a->classes, 1000),
			.init = SMALL_NORMAL);
	return s;
}

/* The classifier of the features, which are averaged to side x side positions and flattened. */
static inline ebb_tensor *chain_forward(ebb_tape *t, const ebb_sequential *features, int64_t side,
	const ebb_sequential *classifier, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = ebb_sequential_forward(t, features, x);

	y = replace(t, y, ebb_adaptive_avgpool2d(t, y, .size = side));
	y = replace(t, y, ebb_flatten(t, y));
	return replace(t, y, ebb_sequential_forward(t, classifier, y));
}

#endif
