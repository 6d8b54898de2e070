/*
 * zfnet.c - the network of Zeiler & Fergus 2014.
 */
#include "nn/models/chain.h"

enum { POSITIONS = 6, LAST_CHANNELS = 256 };

/* The padding of 1 gives the sizes of the paper's figure 3: 110, 55, 26 and 13. */
static ebb_sequential *features_new(ebb_params *p, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "features");

	ebb_sequential_conv(s, 3, 96, 7, .stride = 2, .pad = 1, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2, .pad = 1);
	ebb_sequential_layer(s, response_norm, NULL);
	ebb_sequential_conv(s, 96, 256, 5, .stride = 2, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2, .pad = 1);
	ebb_sequential_layer(s, response_norm, NULL);
	ebb_sequential_conv(s, 256, 384, 3, .pad = 1, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(s, 384, 384, 3, .pad = 1, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_conv(s, 384, LAST_CHANNELS, 3, .pad = 1, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	return s;
}

ebb_zfnet(ebb_zfnet_new)(const ebb_zfnet_new_args *a)
{
	ebb_sequential *features = features_new(a->p, a->site);

	return (ebb_zfnet){features, linear_classifier(&(classifier_args){.p = a->p,
					     .in = LAST_CHANNELS * POSITIONS * POSITIONS,
					     .classes = a->classes,
					     .dropout = a->dropout,
					     .no_head = a->no_head,
					     .site = a->site})};
}

ebb_tensor *(ebb_zfnet_forward)(ebb_tape *t, const ebb_zfnet *net, ebb_tensor *x, const char *site)
{
	if (!net)
		return no_model(t, "zfnet_forward", site);
	return chain_forward(t, net->features, POSITIONS, net->classifier, x, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(zfnet, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_zfnet), .make = make, .forward = forward};

const ebb_model_card ebb_zfnet_cards[] = {
	{"zfnet", "ZFNet",
		"Zeiler & Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014",
		2014, 62357608, IMAGENET, .head = "classifier.6.*", .kind = &kind},
	{0},
};
