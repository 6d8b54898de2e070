/*
 * squeezenet.c - SqueezeNet 1.0 and 1.1 (Iandola et al. 2016).
 */
#include "nn/models/internal.h"

#include <stdio.h>

/* Kaiming uniform, by fan_in. */
#define UNIFORM EBB_INIT(EBB_INIT_KAIMING_UNIFORM)

/* ---- Making --------------------------------------------------------------------------------- */

static ebb_fire fire_new(ebb_params *p, const char *name, int64_t in, int64_t squeeze,
	int64_t expand, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	return (ebb_fire){
		.name = ebb_params_full_name(p, name),
		.squeeze = ebb_conv_new(own, "squeeze", in, squeeze, 1, .init = UNIFORM),
		.expand1x1 = ebb_conv_new(own, "expand1x1", squeeze, expand, 1, .init = UNIFORM),
		.expand3x3 = ebb_conv_new(
			own, "expand3x3", squeeze, expand, 3, .pad = 1, .init = UNIFORM),
	};
}

ebb_squeezenet(ebb_squeezenet_new)(const ebb_squeezenet_new_args *a)
{
	/* The fire modules after which 1.0 and 1.1 pool. */
	static const int pools[2][2] = {{2, 6}, {1, 3}};
	const char *site = a->site;
	bool is_1_1 = a->version == 11;
	ebb_squeezenet net = {.no_head = a->no_head};
	int64_t in = is_1_1 ? 64 : 96;
	int step = 3; /* features.1 is a ReLU, features.2 a pooling */
	char name[32];

	if (a->version != 0 && a->version != 10 && !is_1_1) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"squeezenet_new: version %d, expected 10 for 1.0 or 11 for 1.1",
			a->version);
		return net;
	}
	net.conv = ebb_conv_new(
		a->p, "features.0", 3, in, is_1_1 ? 3 : 7, .stride = 2, .init = UNIFORM);
	for (int i = 0; i < EBB_FIRES; i++) {
		int64_t squeeze = 16 * (i / 2 + 1), expand = 4 * squeeze;

		snprintf(name, sizeof name, "features.%d", step++);
		net.fire[i] = fire_new(a->p, name, in, squeeze, expand, site);
		net.pool_after[i] = i == pools[is_1_1][0] || i == pools[is_1_1][1];
		step += net.pool_after[i];
		in = 2 * expand;
	}
	if (a->no_head)
		return net;
	net.dropout = ebb_drop_new(a->p, "classifier.0", ebb_option(a->dropout, 0.5));
	net.classifier = ebb_conv_new(a->p, "classifier.1", in, ebb_option_count(a->classes, 1000),
		1, .init = EBB_INIT(EBB_INIT_NORMAL, .std = 0.01));
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

static ebb_tensor *conv_relu(ebb_tape *t, const ebb_conv *conv, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = ebb_conv_forward(t, conv, x);

	return replace(t, y, ebb_relu(t, y));
}

static ebb_tensor *pool(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return ebb_maxpool2d(t, x, .kernel = 3, .stride = 2, .ceil_mode = true, .inplace = true);
}

static ebb_tensor *fire_forward(ebb_tape *t, const ebb_fire *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *half[2], *y;

	ebb_scope_begin(t, b->name);
	x = conv_relu(t, &b->squeeze, x, site);
	half[0] = ebb_conv_forward(t, &b->expand1x1, x);
	half[1] = replace(t, x, ebb_conv_forward(t, &b->expand3x3, x));
	y = ebb_concat(t, 2, half, 1);
	replace(t, half[0], y);
	replace(t, half[1], y);
	/* One ReLU for both halves. */
	return ebb_scope_end(t, replace(t, y, ebb_relu(t, y)));
}

ebb_tensor *(ebb_squeezenet_forward)(ebb_tape *t, const ebb_squeezenet *net, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "squeezenet_forward", site);
	y = conv_relu(t, &net->conv, x, site);
	y = pool(t, y, site);
	for (int i = 0; i < EBB_FIRES; i++) {
		y = replace(t, y, fire_forward(t, &net->fire[i], y, site));
		if (net->pool_after[i])
			y = pool(t, y, site);
	}
	if (!net->no_head) {
		y = replace(t, y, ebb_drop_forward(t, &net->dropout, y));
		y = replace(t, y, conv_relu(t, &net->classifier, y, site));
	}
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y));
	return replace(t, y, ebb_flatten(t, y));
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(squeezenet, own.dropout = a->dropout)

static ebb_conv *conv(void *net)
{
	return &((ebb_squeezenet *)net)->classifier;
}

static const ebb_model_kind kind = {.size = sizeof(ebb_squeezenet),
	.make = make,
	.forward = forward,
	.padded = "classifier.1",
	.conv = conv};

/* The authors' Caffe network, with pruned weights of 8 bits. */
#define DEEP_COMPRESSION                                                                           \
	{                                                                                          \
		.name = "DEEP_COMPRESSION", .file = "squeezenet1_0-deepcompression.safetensors",   \
		.sha256 = "42c713a4",                                                              \
		.source = "github.com/songhan/SqueezeNet-Deep-Compression, decoded",               \
		.preprocess = {                                                                    \
			.resize = 256,                                                             \
			.squash = true,                                                            \
			.crop = 227,                                                               \
			.bgr = true,                                                               \
			.scale = 1,                                                                \
			.mean = {104, 117, 123},                                                   \
			.std = {1, 1, 1},                                                          \
		},                                                                                 \
	}
#define PAPER                                                                                      \
	"Iandola, Han, Moskewicz, Ashraf, Dally & Keutzer: SqueezeNet: AlexNet-level accuracy "    \
	"with 50x fewer parameters and <0.5MB model size, arXiv 2016"
#define CARD(options)                                                                              \
	.kind = &kind, .variant = &(const ebb_squeezenet_new_args)options,                         \
	.head = "classifier.1.*", IMAGENET
const ebb_model_card ebb_squeezenet_cards[] = {
	{"squeezenet1_0", "SqueezeNet 1.0", PAPER, 2016, 1248424, CARD({.version = 10}),
		WEIGHTS({TORCHVISION("V1", "squeezenet1_0", "b66bff10", 256, 224, 58.092, 80.42)},
			DEEP_COMPRESSION)},
	{"squeezenet1_1", "SqueezeNet 1.1", PAPER, 2016, 1235496, CARD({.version = 11}),
		WEIGHTS({TORCHVISION(
			"V1", "squeezenet1_1", "b8a52dc0", 256, 224, 58.178, 80.624)})},
	{0},
};
