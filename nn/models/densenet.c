/*
 * densenet.c - DenseNet (Huang et al. 2017).
 */
#include "nn/models/internal.h"

#include <stdio.h>

enum { BOTTLENECK = 4 }; /* channels of conv1, in multiples of those that a layer adds */

static const struct {
	int depth, growth, stem;
	int layers[EBB_DENSE_BLOCKS];
} DEPTHS[] = {
	{121, 32, 64, {6, 12, 24, 16}},
	{161, 48, 96, {6, 12, 36, 24}},
	{169, 32, 64, {6, 12, 32, 32}},
	{201, 32, 64, {6, 12, 48, 32}},
};
enum { KINDS = sizeof DEPTHS / sizeof *DEPTHS };

/* ---- Making ---------------------------------------------------------------------------------- */

static ebb_conv conv_new(ebb_params *p, const char *name, int64_t in, int64_t out, int kernel,
	int stride, const char *site)
{
	return ebb_conv_new(p, name, in, out, kernel, .stride = stride, .pad = kernel / 2,
		.no_bias = true, .init = EBB_INIT(EBB_INIT_KAIMING_NORMAL));
}

/* Batch norms that read a concatenation are not in-place: later layers read it too. */
static ebb_dense_layer layer_new(ebb_params *p, const char *name, int64_t in, int64_t growth,
	double dropout, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	return (ebb_dense_layer){
		.name = ebb_params_full_name(p, name),
		.norm1 = ebb_bn_new(own, "norm1", in),
		.conv1 = conv_new(own, "conv1", in, BOTTLENECK * growth, 1, 1, site),
		.norm2 = ebb_bn_new(own, "norm2", BOTTLENECK * growth, .inplace = true),
		.conv2 = conv_new(own, "conv2", BOTTLENECK * growth, growth, 3, 1, site),
		.dropout = ebb_drop_new(own, "dropout", dropout),
	};
}

/* Block number k (from 0) with its transition; *channels is that of its input, and becomes that of
 * its result. */
static ebb_dense_block block_new(ebb_params *p, int k, int count, int64_t growth, double dropout,
	int64_t *channels, const char *site)
{
	char name[64];
	ebb_dense_block b = {.count = 0};

	snprintf(name, sizeof name, "denseblock%d", 1 + k);
	b.name = ebb_params_full_name(p, name);
	b.layers = ebb_params_alloc(p, (size_t)count * sizeof *b.layers);
	for (int i = 0; b.layers && i < count; i++) {
		snprintf(name, sizeof name, "denseblock%d.denselayer%d", 1 + k, 1 + i);
		b.layers[b.count++] = layer_new(p, name, *channels, growth, dropout, site);
		*channels += growth;
	}
	if (k + 1 < EBB_DENSE_BLOCKS) {
		snprintf(name, sizeof name, "transition%d", 1 + k);
		b.transition = ebb_params_full_name(p, name);
		snprintf(name, sizeof name, "transition%d.norm", 1 + k);
		b.norm = ebb_bn_new(p, name, *channels, .inplace = true);
		snprintf(name, sizeof name, "transition%d.conv", 1 + k);
		b.conv = conv_new(p, name, *channels, *channels / 2, 1, 1, site);
		*channels /= 2;
	}
	return b;
}

ebb_densenet(ebb_densenet_new)(const ebb_densenet_new_args *a)
{
	const char *site = a->site;
	ebb_densenet net = {.no_head = a->no_head};
	double dropout = ebb_option(a->dropout, 0);
	ebb_params *features;
	int64_t channels;
	int d = 0;

	while (d < KINDS && DEPTHS[d].depth != a->depth)
		d++;
	if (d == KINDS) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"densenet_new: depth %d, expected 121, 161, 169 or 201", a->depth);
		return net;
	}
	features = ebb_params_sub(a->p, "features");
	channels = DEPTHS[d].stem;
	net.conv0 = ebb_conv_new(features, "conv0", 3, channels, 7, .stride = 2, .pad = 3,
		.no_bias = true, .init = EBB_INIT(EBB_INIT_KAIMING_NORMAL));
	net.norm0 = ebb_bn_new(features, "norm0", channels, .inplace = true);
	for (int k = 0; k < EBB_DENSE_BLOCKS; k++)
		net.blocks[k] = block_new(features, k, DEPTHS[d].layers[k], DEPTHS[d].growth,
			dropout, &channels, site);
	net.norm5 = ebb_bn_new(features, "norm5", channels, .inplace = true);
	if (!a->no_head)
		net.classifier = ebb_linear_new(a->p, "classifier", channels,
			ebb_option_count(a->classes, 1000), .bias_init = EBB_INIT(EBB_INIT_ZEROS));
	return net;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The channels that the layer adds to x. */
static ebb_tensor *layer_forward(
	ebb_tape *t, const ebb_dense_layer *l, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, l->name);
	y = ebb_bn_relu_forward(t, &l->norm1, x, NULL);
	y = replace(t, y, conv_bn_relu(t, &l->conv1, &l->norm2, y, NULL, site));
	y = replace(t, y, ebb_conv_forward(t, &l->conv2, y));
	return ebb_scope_end(t, replace(t, y, ebb_drop_forward(t, &l->dropout, y)));
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_dense_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *first = x;

	ebb_scope_begin(t, b->name);
	for (int i = 0; i < b->count; i++) {
		ebb_tensor *part[2] = {x, layer_forward(t, &b->layers[i], x, site)};
		ebb_tensor *y = ebb_concat(t, 2, part, 1);

		ebb_release(t, part[1]);
		/* The block's input belongs to the caller. */
		x = x == first ? y : replace(t, x, y);
	}
	return ebb_scope_end(t, x);
}

/* relu(norm(x)), convolved and averaged over 2 x 2 pixels; releases x. */
static ebb_tensor *transition_forward(
	ebb_tape *t, const ebb_dense_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->transition);
	y = replace(t, x, ebb_bn_relu_forward(t, &b->norm, x, NULL));
	y = replace(t, y, ebb_conv_forward(t, &b->conv, y));
	return ebb_scope_end(t, replace(t, y, ebb_avgpool2d(t, y, .kernel = 2)));
}

ebb_tensor *(
	ebb_densenet_forward)(ebb_tape *t, const ebb_densenet *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "densenet_forward", site);
	y = conv_bn_relu(t, &net->conv0, &net->norm0, x, NULL, site);
	y = ebb_maxpool2d(t, y, .kernel = 3, .stride = 2, .pad = 1, .inplace = true);
	for (int k = 0; k < EBB_DENSE_BLOCKS; k++) {
		y = replace(t, y, block_forward(t, &net->blocks[k], y, site));
		if (net->blocks[k].transition)
			y = transition_forward(t, &net->blocks[k], y, site);
	}
	y = replace(t, y, ebb_bn_relu_forward(t, &net->norm5, y, NULL));
	return pool_and_classify(t, NULL, &net->classifier, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(densenet, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_densenet), .make = make, .forward = forward};

/* The published files have the older names norm.1 and conv.1. */
static const ebb_rename OLDER_NAMES[] = {{"*.denselayer*.norm.1.*", "*.denselayer*.norm1.*"},
	{"*.denselayer*.norm.2.*", "*.denselayer*.norm2.*"},
	{"*.denselayer*.conv.1.*", "*.denselayer*.conv1.*"},
	{"*.denselayer*.conv.2.*", "*.denselayer*.conv2.*"}, {0}};

#define PAPER                                                                                      \
	"Huang, Liu, van der Maaten & Weinberger: Densely Connected Convolutional Networks, "      \
	"CVPR 2017"
#define CARD(number)                                                                               \
	.kind = &kind, .variant = &(const ebb_densenet_new_args){.depth = (number)},               \
	.head = "classifier.*", IMAGENET
#define PUBLISHED(stem, hash, first, five)                                                         \
	WEIGHTS({TORCHVISION("V1", stem, hash, 256, 224, first, five), .rename = OLDER_NAMES})
const ebb_model_card ebb_densenet_cards[] = {
	{"densenet121", "DenseNet-121", PAPER, 2017, 7978856, CARD(121),
		PUBLISHED("densenet121", "a639ec97", 74.434, 91.972)},
	{"densenet161", "DenseNet-161", PAPER, 2017, 28681000, CARD(161),
		PUBLISHED("densenet161", "8d451a50", 77.138, 93.56)},
	{"densenet169", "DenseNet-169", PAPER, 2017, 14149480, CARD(169),
		PUBLISHED("densenet169", "b2777c0a", 75.6, 92.806)},
	{"densenet201", "DenseNet-201", PAPER, 2017, 20013928, CARD(201),
		PUBLISHED("densenet201", "c1103571", 76.896, 93.37)},
	{0},
};
