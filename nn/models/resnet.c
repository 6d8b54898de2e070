/*
 * resnet.c - the residual networks of 18 and 34 layers for ImageNet (He et al. 2016).
 */
#include "nn/models/internal.h"

#include <stdio.h>

enum { STAGES = 4 };

static ebb_resnet_block block_new(
	ebb_params *p, const char *name, int64_t in, int64_t out, int stride, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);
	ebb_resnet_block b = {
		.name = ebb_params_full_name(p, name),
		.conv1 = ebb_conv_new(own, "conv1", in, out, 3, .stride = stride, .pad = 1,
			.no_bias = true, .init = KAIMING_FAN_OUT),
		.bn1 = ebb_bn_new(own, "bn1", out, .inplace = true),
		.conv2 = ebb_conv_new(own, "conv2", out, out, 3, .pad = 1, .no_bias = true,
			.init = KAIMING_FAN_OUT),
		.bn2 = ebb_bn_new(own, "bn2", out, .inplace = true),
	};

	if (in != out) {
		b.downsample = ebb_conv_new(own, "downsample.0", in, out, 1, .stride = stride,
			.no_bias = true, .init = KAIMING_FAN_OUT);
		b.downsample_bn = ebb_bn_new(own, "downsample.1", out, .inplace = true);
	}
	return b;
}

ebb_resnet(ebb_resnet_new)(const ebb_resnet_new_args *a)
{
	static const int blocks18[STAGES] = {2, 2, 2, 2}, blocks34[STAGES] = {3, 4, 6, 3};
	const int *blocks = a->depth == 18 ? blocks18 : blocks34;
	const char *site = a->site;
	ebb_resnet net = {.count = 0};
	int64_t in = 64;
	char name[32];

	if (a->depth != 18 && a->depth != 34) {
		ebb_params_fail(a->p, EBB_INVALID, site, "resnet_new: depth %d, expected 18 or 34",
			a->depth);
		return net;
	}
	net.conv1 = ebb_conv_new(a->p, "conv1", 3, in, 7, .stride = 2, .pad = 3, .no_bias = true,
		.init = KAIMING_FAN_OUT);
	net.bn1 = ebb_bn_new(a->p, "bn1", in, .inplace = true);
	net.blocks = ebb_params_alloc(a->p, (size_t)(a->depth / 2 - 1) * sizeof *net.blocks);
	for (int stage = 0; net.blocks && stage < STAGES; stage++) {
		int64_t out = 64 << stage;

		for (int i = 0; i < blocks[stage]; i++) {
			snprintf(name, sizeof name, "layer%d.%d", 1 + stage, i);
			net.blocks[net.count++] =
				block_new(a->p, name, in, out, in == out ? 1 : 2, site);
			in = out;
		}
	}
	net.fc = ebb_linear_new(a->p, "fc", in, ebb_option_count(a->classes, 1000));
	return net;
}

/* The shortcut: the block's input x, or its downsampling, which releases x. */
static ebb_tensor *shortcut(ebb_tape *t, const ebb_resnet_block *b, ebb_tensor *x, const char *site)
{
	if (!b->downsample.weight)
		return x;
	x = replace(t, x, ebb_conv_forward(t, &b->downsample, x));
	return replace(t, x, ebb_bn_forward(t, &b->downsample_bn, x));
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_resnet_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->name);
	y = conv_bn_relu(t, &b->conv1, &b->bn1, x, NULL, site);
	y = conv_bn_relu(t, &b->conv2, &b->bn2, y, shortcut(t, b, x, site), site);
	return ebb_scope_end(t, y);
}

ebb_tensor *(
	ebb_resnet_forward)(ebb_tape *t, const ebb_resnet *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "resnet_forward", site);
	y = conv_bn_relu(t, &net->conv1, &net->bn1, x, NULL, site);
	y = ebb_maxpool2d(t, y, .kernel = 3, .stride = 2, .pad = 1, .inplace = true);
	for (int i = 0; i < net->count; i++)
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y));
	y = replace(t, y, ebb_flatten(t, y));
	return replace(t, y, ebb_linear_forward(t, &net->fc, y));
}
