/*
 * vgg.c - VGG-11 (Simonyan & Zisserman 2015, configuration A).
 */
#include "nn/models/internal.h"

enum { POOL = 0 };

static ebb_sequential *features_new(ebb_params *p, const char *site)
{
	static const int out[] = {
		64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL};
	ebb_sequential *s = ebb_sequential_new(p, "features");
	int in = 3;

	for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
		if (out[i] == POOL) {
			ebb_sequential_maxpool2d(s, .kernel = 2);
			continue;
		}
		ebb_sequential_conv(s, in, out[i], 3, .pad = 1, .init = KAIMING_FAN_OUT);
		ebb_sequential_fn(s, ebb_relu);
		in = out[i];
	}
	return s;
}

static ebb_sequential *classifier_new(
	ebb_params *p, int64_t classes, double dropout, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, "classifier");
	ebb_init small = EBB_INIT(EBB_INIT_NORMAL, .std = 0.01);

	ebb_sequential_linear(s, 512 * 7 * 7, 4096, .init = small);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_dropout(s, dropout);
	ebb_sequential_linear(s, 4096, 4096, .init = small);
	ebb_sequential_fn(s, ebb_relu);
	ebb_sequential_dropout(s, dropout);
	ebb_sequential_linear(s, 4096, classes, .init = small);
	return s;
}

ebb_vgg(ebb_vgg11_new)(const ebb_vgg_new_args *a)
{
	return (ebb_vgg){
		.features = features_new(a->p, a->site),
		.classifier = classifier_new(a->p, ebb_option_count(a->classes, 1000),
			ebb_option(a->dropout, 0.5), a->site),
	};
}

ebb_tensor *(ebb_vgg_forward)(ebb_tape *t, const ebb_vgg *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "vgg_forward", site);
	y = ebb_sequential_forward(t, net->features, x);
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y, .size = 7));
	y = replace(t, y, ebb_flatten(t, y));
	return replace(t, y, ebb_sequential_forward(t, net->classifier, y));
}
