/*
 * cifar_resnet.c - residual networks of 6n+2 layers for small images, and the same networks without
 * residual connections (He et al. 2016, section 4.2).
 */
#include "nn/models/internal.h"

#include <stdio.h>

static ebb_cifar_block block_new(
	ebb_params *p, const char *name, int64_t in, int64_t out, bool plain, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	return (ebb_cifar_block){
		.name = ebb_params_full_name(p, name),
		.conv1 = ebb_conv_new(own, "conv1", in, out, 3, .stride = in == out ? 1 : 2,
			.pad = 1, .no_bias = true, .init = KAIMING_FAN_OUT),
		.bn1 = ebb_bn_new(own, "bn1", out, .inplace = true),
		.conv2 = ebb_conv_new(own, "conv2", out, out, 3, .pad = 1, .no_bias = true,
			.init = KAIMING_FAN_OUT),
		.bn2 = ebb_bn_new(own, "bn2", out, .inplace = true),
		.widen = out - in,
		.plain = plain,
	};
}

ebb_cifar_resnet(ebb_cifar_resnet_new)(const ebb_cifar_resnet_new_args *a)
{
	const char *site = a->site;
	ebb_cifar_resnet net = {.count = 0};
	int n = (a->depth - 2) / 6;
	int64_t in = 16;
	char name[32];

	if (n < 1 || a->depth != 6 * n + 2) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"cifar_resnet_new: depth %d, expected 6n+2: 20, 32, 44, 56, ...", a->depth);
		return net;
	}
	net.conv1 = ebb_conv_new(
		a->p, "conv1", 3, in, 3, .pad = 1, .no_bias = true, .init = KAIMING_FAN_OUT);
	net.bn1 = ebb_bn_new(a->p, "bn1", in, .inplace = true);
	net.blocks = ebb_params_alloc(a->p, 3 * (size_t)n * sizeof *net.blocks);
	for (int i = 0; net.blocks && i < 3 * n; i++) {
		int64_t out = 16 << i / n;

		snprintf(name, sizeof name, "layer%d.%d", 1 + i / n, i % n);
		net.blocks[net.count++] = block_new(a->p, name, in, out, a->plain, site);
		in = out;
	}
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

ebb_tensor *(ebb_cifar_resnet_forward)(ebb_tape *t, const ebb_cifar_resnet *net, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "cifar_resnet_forward", site);
	y = conv_bn_relu(t, &net->conv1, &net->bn1, x, NULL, site);
	for (int i = 0; i < net->count; i++)
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
	y = replace(t, y, ebb_mean(t, y, .axes = EBB_AXES(2, 3)));
	return replace(t, y, ebb_linear_forward(t, &net->linear, y));
}
