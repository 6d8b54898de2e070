/*
 * nin.c - Network in Network (Lin, Chen & Yan 2014), for ImageNet and for CIFAR.
 */
#include "nn/models/internal.h"

enum { MOST_CONVOLUTIONS = 3 };

/* A convolution and convolutions of 1 x 1, with ReLU after each. */
typedef struct mlp_block {
	int out[MOST_CONVOLUTIONS]; /* channels; 0: none */
	int kernel, stride, pad;
	double std; /* of the first convolution's initial weights; of the others 0.05 */
} mlp_block;

static const mlp_block imagenet[] = {
	{{96, 96, 96}, 11, 4, 0, 0.01},
	{{256, 256, 256}, 5, 1, 2, 0.05},
	{{384, 384, 384}, 3, 1, 1, 0.01},
	{{1024, 1024}, 3, 1, 1, 0.05},
};
static const mlp_block cifar[] = {
	{{192, 160, 96}, 5, 1, 2, 0.05},
	{{192, 192, 192}, 5, 1, 2, 0.05},
	{{192, 192}, 3, 1, 1, 0.05},
};
enum {
	IMAGENET_BLOCKS = sizeof imagenet / sizeof *imagenet,
	CIFAR_BLOCKS = sizeof cifar / sizeof *cifar
};

/* Returns the channels of the block's result. */
static int add_block(ebb_sequential *s, const mlp_block *b, int in, const char *site)
{
	for (int i = 0; i < MOST_CONVOLUTIONS && b->out[i]; i++) {
		if (i == 0)
			ebb_sequential_conv(s, in, b->out[i], b->kernel, .stride = b->stride,
				.pad = b->pad, .init = EBB_INIT(EBB_INIT_NORMAL, .std = b->std));
		else
			ebb_sequential_conv(s, in, b->out[i], 1,
				.init = EBB_INIT(EBB_INIT_NORMAL, .std = 0.05));
		ebb_sequential_fn(s, ebb_relu);
		in = b->out[i];
	}
	return in;
}

/* Caffe rounds the sizes of poolings up. */
static void add_pooling(ebb_sequential *s, bool mean, const char *site)
{
	if (mean)
		ebb_sequential_avgpool2d(s, .kernel = 3, .stride = 2, .ceil_mode = true);
	else
		ebb_sequential_maxpool2d(s, .kernel = 3, .stride = 2, .ceil_mode = true);
}

ebb_nin(ebb_nin_new)(const ebb_nin_new_args *a)
{
	const char *site = a->site;
	const mlp_block *blocks = a->cifar ? cifar : imagenet;
	int last = (a->cifar ? CIFAR_BLOCKS : IMAGENET_BLOCKS) - 1, channels = 3;
	ebb_nin net = {.features = ebb_sequential_new(a->p, "features"), .no_head = a->no_head};

	for (int i = 0; i < last; i++) {
		channels = add_block(net.features, &blocks[i], channels, site);
		add_pooling(net.features, a->cifar && i == 1, site);
		if (a->cifar || i == last - 1)
			ebb_sequential_dropout(net.features, ebb_option(a->dropout, 0.5));
	}
	channels = add_block(net.features, &blocks[last], channels, site);
	if (a->no_head)
		return net;
	net.classifier = ebb_sequential_new(a->p, "classifier");
	ebb_sequential_conv(net.classifier, channels,
		ebb_option_count(a->classes, a->cifar ? 10 : 1000), 1,
		.init = EBB_INIT(EBB_INIT_NORMAL, .std = a->cifar ? 0.05 : 0.01));
	ebb_sequential_fn(net.classifier, ebb_relu);
	return net;
}

ebb_tensor *(ebb_nin_forward)(ebb_tape *t, const ebb_nin *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "nin_forward", site);
	y = ebb_sequential_forward(t, net->features, x);
	if (!net->no_head)
		y = replace(t, y, ebb_sequential_forward(t, net->classifier, y));
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y));
	return replace(t, y, ebb_flatten(t, y));
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(nin, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_nin), .make = make, .forward = forward};

#define PAPER "Lin, Chen & Yan: Network In Network, ICLR 2014"
#define CARD(options)                                                                              \
	.kind = &kind, .variant = &(const ebb_nin_new_args)options, .head = "classifier.*"
const ebb_model_card ebb_nin_cards[] = {
	{"nin", "Network in Network", PAPER, 2014, 7595176, IMAGENET, CARD({.cifar = false})},
	{"nin_cifar", "Network in Network for CIFAR-10", PAPER, 2014, 966986, .classes = 10,
		.channels = 3, .side = 32, CARD({.cifar = true})},
	{0},
};
