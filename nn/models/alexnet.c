/*
 * alexnet.c - AlexNet (Krizhevsky et al. 2012) in its single-GPU form (Krizhevsky 2014).
 */
#include "nn/models/internal.h"

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
	ebb_sequential_conv(s, 256, 256, 3, .pad = 1);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2);
	return s;
}

static ebb_sequential *classifier_new(
	ebb_params *p, int64_t classes, double dropout, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "classifier");

	ebb_sequential_dropout(s, dropout);
	ebb_sequential_linear(s, 256 * 6 * 6, 4096);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_dropout(s, dropout);
	ebb_sequential_linear(s, 4096, 4096);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_linear(s, 4096, classes);
	return s;
}

ebb_alexnet(ebb_alexnet_new)(const ebb_alexnet_new_args *a)
{
	return (ebb_alexnet){
		.features = features_new(a->p, a->site),
		.classifier = classifier_new(a->p, ebb_option_count(a->classes, 1000),
			ebb_option(a->dropout, 0.5), a->site),
	};
}

ebb_tensor *(
	ebb_alexnet_forward)(ebb_tape *t, const ebb_alexnet *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "alexnet_forward", site);
	y = ebb_sequential_forward(t, net->features, x);
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y, .size = 6));
	y = replace(t, y, ebb_flatten(t, y));
	return replace(t, y, ebb_sequential_forward(t, net->classifier, y));
}
