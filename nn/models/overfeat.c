/*
 * overfeat.c - the two networks of Sermanet et al. 2014.
 */
#include "nn/models/chain.h"

static void add_conv(ebb_sequential *s, int in, int out, int kernel, int stride, const char *site)
{
	/* Convolutions of 3 x 3 keep the size, larger ones are not padded. */
	ebb_sequential_conv(
		s, in, out, kernel, .stride = stride, .pad = kernel == 3, .init = SMALL_NORMAL);
	ebb_sequential_fn(s, ebb_relu);
}

static ebb_sequential *fast_features_new(ebb_params *p, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "features");

	add_conv(s, 3, 96, 11, 4, site);
	ebb_sequential_maxpool2d(s, .kernel = 2);
	add_conv(s, 96, 256, 5, 1, site);
	ebb_sequential_maxpool2d(s, .kernel = 2);
	add_conv(s, 256, 512, 3, 1, site);
	add_conv(s, 512, 1024, 3, 1, site);
	add_conv(s, 1024, 1024, 3, 1, site);
	ebb_sequential_maxpool2d(s, .kernel = 2);
	return s;
}

static ebb_sequential *accurate_features_new(ebb_params *p, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "features");

	add_conv(s, 3, 96, 7, 2, site);
	ebb_sequential_maxpool2d(s, .kernel = 3);
	add_conv(s, 96, 256, 7, 1, site);
	ebb_sequential_maxpool2d(s, .kernel = 2);
	add_conv(s, 256, 512, 3, 1, site);
	add_conv(s, 512, 512, 3, 1, site);
	add_conv(s, 512, 1024, 3, 1, site);
	add_conv(s, 1024, 1024, 3, 1, site);
	ebb_sequential_maxpool2d(s, .kernel = 3);
	return s;
}

static ebb_sequential *classifier_new(const ebb_overfeat_new_args *a)
{
	const char *site = a->site;
	ebb_sequential *s = ebb_sequential_new(a->p, "classifier");
	double dropout = ebb_option(a->dropout, 0.5);
	int first = a->accurate ? CLASSIFIER_UNITS : 3072, kernel = a->accurate ? 5 : 6;

	add_conv(s, 1024, first, kernel, 1, site);
	ebb_sequential_dropout(s, dropout);
	add_conv(s, first, CLASSIFIER_UNITS, 1, 1, site);
	ebb_sequential_dropout(s, dropout);
	if (!a->no_head)
		ebb_sequential_conv(s, CLASSIFIER_UNITS, ebb_option_count(a->classes, 1000), 1,
			.init = SMALL_NORMAL);
	return s;
}

ebb_overfeat(ebb_overfeat_new)(const ebb_overfeat_new_args *a)
{
	ebb_overfeat net;

	net.features = a->accurate ? accurate_features_new(a->p, a->site)
	                           : fast_features_new(a->p, a->site);
	net.classifier = classifier_new(a);
	return net;
}

ebb_tensor *(
	ebb_overfeat_forward)(ebb_tape *t, const ebb_overfeat *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "overfeat_forward", site);
	y = ebb_sequential_forward(t, net->features, x);
	y = replace(t, y, ebb_sequential_forward(t, net->classifier, y));
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y));
	return replace(t, y, ebb_flatten(t, y));
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(overfeat, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_overfeat), .make = make, .forward = forward};

#define PAPER                                                                                      \
	"Sermanet, Eigen, Zhang, Mathieu, Fergus & LeCun: OverFeat: Integrated Recognition, "      \
	"Localization and Detection using Convolutional Networks, ICLR 2014"
#define CARD(pixels, options)                                                                      \
	.classes = 1000, .channels = 3, .side = (pixels), .head = "classifier.6.*", .kind = &kind, \
	.variant = &(const ebb_overfeat_new_args)options
const ebb_model_card ebb_overfeat_cards[] = {
	{"overfeat_fast", "OverFeat, fast", PAPER, 2014, 145920872, CARD(231, {.accurate = false})},
	{"overfeat_accurate", "OverFeat, accurate", PAPER, 2014, 144656488,
		CARD(221, {.accurate = true})},
	{0},
};
