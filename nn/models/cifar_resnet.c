/*
 * cifar_resnet.c - residual networks of 6n+2 layers for small images, the same networks without
 * residual connections (He et al. 2016, section 4.2), and with pre-activation (He et al. 2016,
 * "Identity Mappings in Deep Residual Networks").
 */
#include "nn/models/internal.h"

#include <stdio.h>

static ebb_cifar_block block_new(ebb_params *p, const char *name, int64_t in, int64_t out,
	bool plain, bool preact, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);
	ebb_cifar_block b = {
		.name = ebb_params_full_name(p, name), .widen = out - in, .plain = plain};

	/* The store has the tensors in the order of the computation.  The first batch norm with
	 * pre-activation is not in-place, because the shortcut reads the block's input too. */
	if (preact)
		b.bn1 = ebb_bn_new(own, "bn1", in, .inplace = plain);
	b.conv1 = residual_conv(own, "conv1", in, out, 3, in == out ? 1 : 2, 1, site);
	if (!preact)
		b.bn1 = ebb_bn_new(own, "bn1", out, .inplace = true);
	if (preact)
		b.bn2 = ebb_bn_new(own, "bn2", out, .inplace = true);
	b.conv2 = residual_conv(own, "conv2", out, out, 3, 1, 1, site);
	if (!preact)
		b.bn2 = ebb_bn_new(own, "bn2", out, .inplace = true);
	return b;
}

ebb_cifar_resnet(ebb_cifar_resnet_new)(const ebb_cifar_resnet_new_args *a)
{
	const char *site = a->site;
	ebb_cifar_resnet net = {.preact = a->preact, .no_head = a->no_head};
	int n = (a->depth - 2) / 6;
	int64_t in = 16;
	char name[32];

	if (n < 1 || a->depth != 6 * n + 2) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"cifar_resnet_new: depth %d, expected 6n+2: 20, 32, 44, 56, ...", a->depth);
		return net;
	}
	net.conv1 = residual_conv(a->p, "conv1", 3, in, 3, 1, 1, site);
	if (!a->preact)
		net.bn1 = ebb_bn_new(a->p, "bn1", in, .inplace = true);
	net.blocks = ebb_params_alloc(a->p, 3 * (size_t)n * sizeof *net.blocks);
	for (int i = 0; net.blocks && i < 3 * n; i++) {
		int64_t out = 16 << i / n;

		snprintf(name, sizeof name, "layer%d.%d", 1 + i / n, i % n);
		net.blocks[net.count++] = block_new(a->p, name, in, out, a->plain, a->preact, site);
		in = out;
	}
	if (a->preact)
		net.bn = ebb_bn_new(a->p, "bn", in, .inplace = true);
	if (!a->no_head)
		net.linear = ebb_linear_new(a->p, "linear", in, ebb_option_count(a->classes, 10));
	return net;
}

/* The shortcut at the beginning of a stage: every other pixel of x, with half of the new channels,
 * all zeros, on either side of x's. */
static ebb_tensor *shortcut(ebb_tape *t, const ebb_cifar_block *b, ebb_tensor *x, const char *site)
{
	if (b->plain)
		return NULL;
	if (b->widen == 0)
		return x;
	x = ebb_slice(t, x, 2, 0, EBB_END, 2);
	x = ebb_slice(t, x, 3, 0, EBB_END, 2);
	return ebb_pad(t, x, EBB_PADS(0, 0, 0, 0, b->widen / 2, b->widen / 2));
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_cifar_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->name);
	y = conv_bn_relu(t, &b->conv1, &b->bn1, x, NULL, site);
	y = conv_bn_relu(t, &b->conv2, &b->bn2, y, shortcut(t, b, x, site), site);
	return ebb_scope_end(t, y);
}

/* conv2(relu(bn2(conv1(h)))) + shortcut(x), with h = relu(bn1(x)).  The shortcut of the first block
 * begins at h, because x is the result of a convolution alone. */
static ebb_tensor *preact_forward(
	ebb_tape *t, const ebb_cifar_block *b, ebb_tensor *x, bool first, const char *site)
{
	ebb_tensor *h, *y;

	ebb_scope_begin(t, b->name);
	h = ebb_bn_relu_forward(t, &b->bn1, x, NULL);
	y = conv_bn_relu(t, &b->conv1, &b->bn2, h, NULL, site);
	y = replace(t, y, ebb_conv_forward(t, &b->conv2, y));
	if (!b->plain)
		y = replace(t, y, ebb_add(t, y, shortcut(t, b, first ? h : x, site)));
	ebb_release(t, h);
	return ebb_scope_end(t, y);
}

ebb_tensor *(ebb_cifar_resnet_forward)(ebb_tape *t, const ebb_cifar_resnet *net, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "cifar_resnet_forward", site);
	y = net->preact ? ebb_conv_forward(t, &net->conv1, x)
	                : conv_bn_relu(t, &net->conv1, &net->bn1, x, NULL, site);
	for (int i = 0; i < net->count; i++)
		y = replace(t, y,
			net->preact ? preact_forward(t, &net->blocks[i], y, i == 0, site)
				    : block_forward(t, &net->blocks[i], y, site));
	if (net->preact)
		y = replace(t, y, ebb_bn_relu_forward(t, &net->bn, y, NULL));
	y = replace(t, y, ebb_mean(t, y, .axes = EBB_AXES(2, 3)));
	return head_forward(t, &net->linear, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(cifar_resnet, (void)0)

static const ebb_model_kind kind = {
	.size = sizeof(ebb_cifar_resnet), .make = make, .forward = forward};

#define RESNET "He, Zhang, Ren & Sun: Deep Residual Learning for Image Recognition, CVPR 2016"
#define PREACT "He, Zhang, Ren & Sun: Identity Mappings in Deep Residual Networks, ECCV 2016"
#define CARD(...)                                                                                  \
	.kind = &kind, .variant = &(const ebb_cifar_resnet_new_args){__VA_ARGS__},                 \
	.head = "linear.*", .classes = 10, .channels = 3, .side = 32
#define PUBLISHED(number, hash, first)                                                             \
	WEIGHTS({.name = "CIFAR10",                                                                \
		.file = "resnet" number "-" hash ".th",                                            \
		.sha256 = hash,                                                                    \
		.source = "pytorch_resnet_cifar10 by Y. Idelbayev",                                \
		.preprocess = IMAGENET_INPUT(0, 0),                                                \
		.top1 = (first)})
const ebb_model_card ebb_cifar_resnet_cards[] = {
	{"cifar_plain20", "Plain-20", RESNET, 2016, 269722, CARD(.depth = 20, .plain = true)},
	{"cifar_plain32", "Plain-32", RESNET, 2016, 464154, CARD(.depth = 32, .plain = true)},
	{"cifar_plain44", "Plain-44", RESNET, 2016, 658586, CARD(.depth = 44, .plain = true)},
	{"cifar_plain56", "Plain-56", RESNET, 2016, 853018, CARD(.depth = 56, .plain = true)},
	{"cifar_plain110", "Plain-110", RESNET, 2016, 1727962, CARD(.depth = 110, .plain = true)},
	{"cifar_resnet20", "ResNet-20", RESNET, 2016, 269722, CARD(.depth = 20),
		PUBLISHED("20", "12fca82f", 91.73)},
	{"cifar_resnet32", "ResNet-32", RESNET, 2016, 464154, CARD(.depth = 32),
		PUBLISHED("32", "d509ac18", 92.63)},
	{"cifar_resnet44", "ResNet-44", RESNET, 2016, 658586, CARD(.depth = 44),
		PUBLISHED("44", "014dd654", 93.10)},
	{"cifar_resnet56", "ResNet-56", RESNET, 2016, 853018, CARD(.depth = 56),
		PUBLISHED("56", "4bfd9763", 93.39)},
	{"cifar_resnet110", "ResNet-110", RESNET, 2016, 1727962, CARD(.depth = 110)},
	{"cifar_preact20", "Pre-activation ResNet-20", PREACT, 2016, 269722,
		CARD(.depth = 20, .preact = true)},
	{"cifar_preact32", "Pre-activation ResNet-32", PREACT, 2016, 464154,
		CARD(.depth = 32, .preact = true)},
	{"cifar_preact44", "Pre-activation ResNet-44", PREACT, 2016, 658586,
		CARD(.depth = 44, .preact = true)},
	{"cifar_preact56", "Pre-activation ResNet-56", PREACT, 2016, 853018,
		CARD(.depth = 56, .preact = true)},
	{"cifar_preact110", "Pre-activation ResNet-110", PREACT, 2016, 1727962,
		CARD(.depth = 110, .preact = true)},
	{0},
};
