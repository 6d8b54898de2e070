/*
 * wide_resnet.c - wide residual networks for small images (Zagoruyko & Komodakis 2016).
 */
#include "nn/models/internal.h"

#include <stdio.h>

/* bn1 is not in-place: the shortcut reads the block's input too. */
static ebb_wrn_block block_new(ebb_params *p, const char *name, int64_t in, int64_t out, int stride,
	double dropout, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);
	ebb_wrn_block b = {
		.name = ebb_params_full_name(p, name),
		.bn1 = ebb_bn_new(own, "bn1", in),
		.conv1 = residual_conv(own, "conv1", in, out, 3, stride, 1, site),
		.bn2 = ebb_bn_new(own, "bn2", out, .inplace = true),
		.dropout = ebb_drop_new(own, "dropout", dropout),
		.conv2 = residual_conv(own, "conv2", out, out, 3, 1, 1, site),
	};

	if (in != out || stride != 1)
		b.shortcut = residual_conv(own, "shortcut", in, out, 1, stride, 1, site);
	return b;
}

ebb_wrn(ebb_wrn_new)(const ebb_wrn_new_args *a)
{
	const char *site = a->site;
	ebb_wrn net = {.no_head = a->no_head};
	int n = (a->depth - 4) / 6;
	int64_t in = 16;
	char name[32];

	if (n < 1 || a->depth != 6 * n + 4 || a->width < 1 || a->width > 1000) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"wrn_new: depth %d and width %d, expected 6n+4 (16, 22, 28, ...), and 1 to "
			"1000",
			a->depth, a->width);
		return net;
	}
	net.conv1 = residual_conv(a->p, "conv1", 3, in, 3, 1, 1, site);
	net.blocks = ebb_params_alloc(a->p, 3 * (size_t)n * sizeof *net.blocks);
	for (int i = 0; net.blocks && i < 3 * n; i++) {
		int64_t out = (int64_t)(16 << i / n) * a->width;

		snprintf(name, sizeof name, "layer%d.%d", 1 + i / n, i % n);
		net.blocks[net.count++] = block_new(a->p, name, in, out,
			i >= n && i % n == 0 ? 2 : 1, ebb_option(a->dropout, 0), site);
		in = out;
	}
	net.bn = ebb_bn_new(a->p, "bn", in, .inplace = true);
	if (!a->no_head)
		net.linear = ebb_linear_new(a->p, "linear", in, ebb_option_count(a->classes, 10));
	return net;
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_wrn_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *h, *y, *shortcut = x;

	ebb_scope_begin(t, b->name);
	h = ebb_bn_relu_forward(t, &b->bn1, x, NULL);
	if (b->shortcut.weight)
		shortcut = ebb_conv_forward(t, &b->shortcut, h);
	y = replace(t, h, conv_bn_relu(t, &b->conv1, &b->bn2, h, NULL, site));
	y = replace(t, y, ebb_drop_forward(t, &b->dropout, y));
	y = replace(t, y, ebb_conv_forward(t, &b->conv2, y));
	y = replace(t, y, ebb_add(t, y, shortcut));
	if (shortcut != x)
		ebb_release(t, shortcut);
	return ebb_scope_end(t, y);
}

ebb_tensor *(ebb_wrn_forward)(ebb_tape *t, const ebb_wrn *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "wrn_forward", site);
	y = ebb_conv_forward(t, &net->conv1, x);
	for (int i = 0; i < net->count; i++)
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
	y = replace(t, y, ebb_bn_relu_forward(t, &net->bn, y, NULL));
	y = replace(t, y, ebb_mean(t, y, .axes = EBB_AXES(2, 3)));
	return head_forward(t, &net->linear, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(wrn, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_wrn), .make = make, .forward = forward};

#define PAPER "Zagoruyko & Komodakis: Wide Residual Networks, BMVC 2016"
#define CARD(number, times)                                                                        \
	.kind = &kind, .variant = &(const ebb_wrn_new_args){.depth = (number), .width = (times)},  \
	.head = "linear.*", .classes = 10, .channels = 3, .side = 32
const ebb_model_card ebb_wrn_cards[] = {
	{"wrn_16_4", "WRN-16-4", PAPER, 2016, 2748890, CARD(16, 4)},
	{"wrn_28_10", "WRN-28-10", PAPER, 2016, 36479194, CARD(28, 10)},
	{"wrn_40_4", "WRN-40-4", PAPER, 2016, 8949210, CARD(40, 4)},
	{0},
};
