/*
 * alexnet.c - AlexNet (Krizhevsky et al. 2012), and its single-GPU form (Krizhevsky 2014).
 */
#include "nn/models/chain.h"

enum { POSITIONS = 6, LAST_CHANNELS = 256 };

/* ---- The form of 2014 ------------------------------------------------------------------------ */

static ebb_sequential *features_new(ebb_params *p, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "features");

	ebb_sequential_conv(s, 3, 64, 11, .stride = 4, .pad = 2);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	ebb_sequential_conv(s, 64, 192, 5, .pad = 2);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	ebb_sequential_conv(s, 192, 384, 3, .pad = 1);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(s, 384, 256, 3, .pad = 1);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(s, 256, LAST_CHANNELS, 3, .pad = 1);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	return s;
}

/* Dropout comes before the linear layers here, and after them in chain.h. */
static ebb_sequential *classifier_new(const ebb_alexnet_new_args *a)
{
	const char *site = a->site;
	ebb_sequential *s = ebb_sequential_new(a->p, "classifier");
	double dropout = ebb_option(a->dropout, 0.5);

	ebb_sequential_dropout(s, dropout);
	ebb_sequential_linear(s, LAST_CHANNELS * POSITIONS * POSITIONS, CLASSIFIER_UNITS);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_dropout(s, dropout);
	ebb_sequential_linear(s, CLASSIFIER_UNITS, CLASSIFIER_UNITS);
	ebb_sequential_fn(s, ebb_relu);
	if (!a->no_head)
		ebb_sequential_linear(s, CLASSIFIER_UNITS, ebb_option_count(a->classes, 1000));
	return s;
}

/* ---- The form of 2012 ------------------------------------------------------------------------ */

#define ONES EBB_INIT(EBB_INIT_CONSTANT, .value = 1)

static ebb_sequential *original_features_new(ebb_params *p, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "features");

	ebb_sequential_conv(s, 3, 96, 11, .stride = 4, .pad = 2, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_layer(s, response_norm, NULL);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	ebb_sequential_conv(
		s, 96, 256, 5, .pad = 2, .groups = 2, .init = SMALL_NORMAL, .bias_init = ONES);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_layer(s, response_norm, NULL);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	ebb_sequential_conv(s, 256, 384, 3, .pad = 1, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(
		s, 384, 384, 3, .pad = 1, .groups = 2, .init = SMALL_NORMAL, .bias_init = ONES);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(s, 384, LAST_CHANNELS, 3, .pad = 1, .groups = 2, .init = SMALL_NORMAL,
		.bias_init = ONES);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	return s;
}

static ebb_sequential *original_classifier_new(const ebb_alexnet_new_args *a)
{
	return linear_classifier(&(classifier_args){a->p, LAST_CHANNELS * POSITIONS * POSITIONS,
		a->classes, a->dropout, ONES, a->no_head, a->site});
}

ebb_alexnet(ebb_alexnet_new)(const ebb_alexnet_new_args *a)
{
	ebb_alexnet net;

	if (a->original) {
		net.features = original_features_new(a->p, a->site);
		net.classifier = original_classifier_new(a);
	} else {
		net.features = features_new(a->p, a->site);
		net.classifier = classifier_new(a);
	}
	return net;
}

ebb_tensor *(
	ebb_alexnet_forward)(ebb_tape *t, const ebb_alexnet *net, ebb_tensor *x, const char *site)
{
	if (!net)
		return no_model(t, "alexnet_forward", site);
	return chain_forward(t, net->features, POSITIONS, net->classifier, x, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(alexnet, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_alexnet), .make = make, .forward = forward};

#define CARD(options)                                                                              \
	.kind = &kind, .variant = &(const ebb_alexnet_new_args)options, .head = "classifier.6.*",  \
	IMAGENET
const ebb_model_card ebb_alexnet_cards[] = {
	{"alexnet_original", "AlexNet of 2012",
		"Krizhevsky, Sutskever & Hinton: ImageNet Classification with Deep Convolutional "
		"Neural Networks, NIPS 2012",
		2012, 60965224, CARD({.original = true})},
	{"alexnet", "AlexNet",
		"Krizhevsky: One Weird Trick for Parallelizing Convolutional Neural Networks, 2014",
		2014, 61100840, CARD({.original = false}),
		WEIGHTS({TORCHVISION("V1", "alexnet-owt", "7be5be79", 256, 224, 56.522, 79.066)})},
	{0},
};
