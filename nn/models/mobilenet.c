/*
 * mobilenet.c - MobileNet v2: inverted residuals with linear bottlenecks (Sandler et al. 2018).
 */
#include "nn/models/internal.h"

#include <stdio.h>

/* The stages: expansion of the channels, channels of the result, number of blocks, stride of the
 * first block. */
static const struct {
	int expand, out, blocks, stride;
} STAGE[] = {
	{1, 16, 1, 1},
	{6, 24, 2, 2},
	{6, 32, 3, 2},
	{6, 64, 4, 2},
	{6, 96, 3, 1},
	{6, 160, 3, 2},
	{6, 320, 1, 1},
};
enum { STAGES = sizeof STAGE / sizeof *STAGE, BLOCKS = 17 };

static const double MOST_WIDTH = 1000;

/* ---- Making --------------------------------------------------------------------------------- */

/* channels*width, rounded to a multiple of 8 that is at least 8, and at least 0.9 times the
 * product. */
static int64_t scaled(int channels, double width)
{
	double product = channels * width;
	int64_t rounded = (int64_t)(product + 4) / 8 * 8;

	if (rounded < 8)
		rounded = 8;
	return (double)rounded < 0.9 * product ? rounded + 8 : rounded;
}

static ebb_mobilenet_v2_block block_new(ebb_params *p, const char *name, int64_t in, int64_t out,
	int expand, int stride, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);
	int64_t hidden = in * expand;
	ebb_mobilenet_v2_block b = {
		.name = ebb_params_full_name(p, name),
		.shortcut = stride == 1 && in == out,
	};
	int step = 0;
	char part[16];

	if (expand != 1) {
		b.expand = conv_bn_activation(own, "conv.0",
			(ebb_conv_new_args){.in = in, .out = hidden, .kernel = 1}, ebb_relu6, site);
		step++;
	}
	snprintf(part, sizeof part, "conv.%d", step);
	b.depthwise = conv_bn_activation(own, part,
		(ebb_conv_new_args){.in = hidden,
			.out = hidden,
			.kernel = 3,
			.stride = stride,
			.groups = (int)hidden},
		ebb_relu6, site);
	snprintf(part, sizeof part, "conv.%d", step + 1);
	b.project =
		ebb_conv_new(own, part, hidden, out, 1, .no_bias = true, .init = KAIMING_FAN_OUT);
	snprintf(part, sizeof part, "conv.%d", step + 2);
	b.project_bn = ebb_bn_new(own, part, out, .inplace = true);
	return b;
}

ebb_mobilenet_v2(ebb_mobilenet_v2_new)(const ebb_mobilenet_v2_new_args *a)
{
	const char *site = a->site;
	double width = ebb_option(a->width, 1);
	ebb_mobilenet_v2 net = {.no_head = a->no_head};
	int64_t in, last;
	char name[32];

	if (!(width > 0 && width <= MOST_WIDTH)) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"mobilenet_v2_new: width %g, expected 0 < width <= %g", width, MOST_WIDTH);
		return net;
	}
	in = scaled(32, width);
	last = scaled(1280, width > 1 ? width : 1);
	net.first = conv_bn_activation(a->p, "features.0",
		(ebb_conv_new_args){.in = 3, .out = in, .kernel = 3, .stride = 2}, ebb_relu6, site);
	net.blocks = ebb_params_alloc(a->p, BLOCKS * sizeof *net.blocks);
	for (int stage = 0; net.blocks && stage < STAGES; stage++) {
		int64_t out = scaled(STAGE[stage].out, width);

		for (int i = 0; i < STAGE[stage].blocks; i++) {
			snprintf(name, sizeof name, "features.%d", 1 + net.count);
			net.blocks[net.count++] = block_new(a->p, name, in, out,
				STAGE[stage].expand, i ? 1 : STAGE[stage].stride, site);
			in = out;
		}
	}
	net.last = conv_bn_activation(a->p, "features.18",
		(ebb_conv_new_args){.in = in, .out = last, .kernel = 1}, ebb_relu6, site);
	net.dropout = ebb_drop_new(a->p, "classifier.0", ebb_option(a->dropout, 0.2));
	if (!a->no_head)
		net.classifier = ebb_linear_new(a->p, "classifier.1", last,
			ebb_option_count(a->classes, 1000),
			.init = EBB_INIT(EBB_INIT_NORMAL, .std = 0.01));
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_mobilenet_v2_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->name);
	y = expand_and_filter(t, b->expand, b->depthwise, x, site);
	y = replace(t, y, ebb_conv_forward(t, &b->project, y));
	y = replace(t, y, ebb_bn_forward(t, &b->project_bn, y));
	return ebb_scope_end(t, b->shortcut ? add_branch(t, x, y, 0, site) : y);
}

ebb_tensor *(ebb_mobilenet_v2_forward)(ebb_tape *t, const ebb_mobilenet_v2 *net, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "mobilenet_v2_forward", site);
	y = ebb_sequential_forward(t, net->first, x);
	for (int i = 0; i < net->count; i++)
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
	y = replace(t, y, ebb_sequential_forward(t, net->last, y));
	return pool_and_classify(t, &net->dropout, &net->classifier, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(mobilenet_v2, own.dropout = a->dropout)

static const ebb_model_kind kind = {
	.size = sizeof(ebb_mobilenet_v2), .make = make, .forward = forward};

#define PAPER                                                                                      \
	"Sandler, Howard, Zhu, Zhmoginov & Chen: MobileNetV2: Inverted Residuals and Linear "      \
	"Bottlenecks, CVPR 2018"
const ebb_model_card ebb_mobilenet_v2_cards[] = {
	{"mobilenet_v2", "MobileNet v2", PAPER, 2018, 3504872, .kind = &kind,
		.head = "classifier.1.*", IMAGENET,
		WEIGHTS({TORCHVISION("V1", "mobilenet_v2", "b0353104", 256, 224, 71.878, 90.286)},
			{TORCHVISION("V2", "mobilenet_v2", "7ebf99e0", 232, 224, 72.154, 90.822)})},
	{0},
};
