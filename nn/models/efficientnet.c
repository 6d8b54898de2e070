/*
 * efficientnet.c - EfficientNet-B0: inverted residuals with squeeze and excitation (Tan & Le 2019).
 */
#include "nn/models/internal.h"

#include <math.h>
#include <stdio.h>

/* The stages: expansion of the channels, depthwise kernel, stride of the first block, channels of
 * the result, number of blocks. */
static const struct {
	int expand, kernel, stride, out, blocks;
} STAGE[] = {
	{1, 3, 1, 16, 1},
	{6, 3, 2, 24, 2},
	{6, 5, 2, 40, 2},
	{6, 3, 2, 80, 3},
	{6, 5, 1, 112, 3},
	{6, 5, 2, 192, 4},
	{6, 3, 1, 320, 1},
};
enum { STAGES = sizeof STAGE / sizeof *STAGE, BLOCKS = 16, LAST = 1280 };

/* ---- Making --------------------------------------------------------------------------------- */

static ebb_efficientnet_block block_new(ebb_params *p, const char *name, int64_t in, int64_t out,
	int expand, int kernel, int stride, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name), *squeeze;
	int64_t hidden = in * expand, squeezed = in / 4;
	ebb_efficientnet_block b = {
		.name = ebb_params_full_name(p, name),
		.shortcut = stride == 1 && in == out,
	};
	int step = 0;
	char part[16];

	if (expand != 1) {
		b.expand = conv_bn_activation(own, "block.0",
			(ebb_conv_new_args){.in = in, .out = hidden, .kernel = 1}, ebb_silu, site);
		step++;
	}
	snprintf(part, sizeof part, "block.%d", step);
	b.depthwise = conv_bn_activation(own, part,
		(ebb_conv_new_args){.in = hidden,
			.out = hidden,
			.kernel = kernel,
			.stride = stride,
			.groups = (int)hidden},
		ebb_silu, site);
	snprintf(part, sizeof part, "block.%d", step + 1);
	b.squeeze = ebb_params_full_name(own, part);
	squeeze = ebb_params_sub(own, part);
	b.fc1 = ebb_conv_new(squeeze, "fc1", hidden, squeezed, 1, .init = KAIMING_FAN_OUT);
	b.fc2 = ebb_conv_new(squeeze, "fc2", squeezed, hidden, 1, .init = KAIMING_FAN_OUT);
	snprintf(part, sizeof part, "block.%d", step + 2);
	b.project = conv_bn_activation(
		own, part, (ebb_conv_new_args){.in = hidden, .out = out, .kernel = 1}, NULL, site);
	return b;
}

ebb_efficientnet(ebb_efficientnet_b0_new)(const ebb_efficientnet_new_args *a)
{
	const char *site = a->site;
	double rate = ebb_option(a->drop_path, 0.2);
	int64_t classes = ebb_option_count(a->classes, 1000), in = 32;
	double bound = 1 / sqrt((double)classes);
	ebb_efficientnet net = {.no_head = a->no_head};
	char name[32];

	if (!check_drop_path(a->p, "efficientnet_b0_new", rate, site))
		return net;
	net.first = conv_bn_activation(a->p, "features.0",
		(ebb_conv_new_args){.in = 3, .out = in, .kernel = 3, .stride = 2}, ebb_silu, site);
	net.blocks = ebb_params_alloc(a->p, BLOCKS * sizeof *net.blocks);
	for (int stage = 0; net.blocks && stage < STAGES; stage++)
		for (int i = 0; i < STAGE[stage].blocks; i++) {
			ebb_efficientnet_block *b = &net.blocks[net.count];

			snprintf(name, sizeof name, "features.%d.%d", 1 + stage, i);
			*b = block_new(a->p, name, in, STAGE[stage].out, STAGE[stage].expand,
				STAGE[stage].kernel, i ? 1 : STAGE[stage].stride, site);
			b->drop_path = rate * net.count / BLOCKS;
			in = STAGE[stage].out;
			net.count++;
		}
	net.last = conv_bn_activation(a->p, "features.8",
		(ebb_conv_new_args){.in = in, .out = LAST, .kernel = 1}, ebb_silu, site);
	net.dropout = ebb_drop_new(a->p, "classifier.0", ebb_option(a->dropout, 0.2));
	if (!a->no_head)
		net.classifier = ebb_linear_new(a->p, "classifier.1", LAST, classes,
			.init = EBB_INIT(EBB_INIT_UNIFORM, .low = -bound, .high = bound));
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* The factors [N,C,1,1] of the channels of x. */
static ebb_tensor *excitation(
	ebb_tape *t, const ebb_efficientnet_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = ebb_adaptive_avgpool2d(t, x);

	y = replace(t, y, ebb_conv_forward(t, &b->fc1, y));
	y = replace(t, y, ebb_silu(t, y));
	y = replace(t, y, ebb_conv_forward(t, &b->fc2, y));
	return replace(t, y, ebb_sigmoid(t, y));
}

static ebb_tensor *squeeze_and_excite(
	ebb_tape *t, const ebb_efficientnet_block *b, ebb_tensor *x, const char *site)
{
	ebb_scope_begin(t, b->squeeze);
	return ebb_scope_end(t, ebb_mul(t, x, excitation(t, b, x, site)));
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_efficientnet_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->name);
	y = expand_and_filter(t, b->expand, b->depthwise, x, site);
	y = replace(t, y, squeeze_and_excite(t, b, y, site));
	y = replace(t, y, ebb_sequential_forward(t, b->project, y));
	return ebb_scope_end(t, b->shortcut ? add_branch(t, x, y, b->drop_path, site) : y);
}

ebb_tensor *(ebb_efficientnet_forward)(ebb_tape *t, const ebb_efficientnet *net, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y;

	if (!net)
		return no_model(t, "efficientnet_forward", site);
	y = ebb_sequential_forward(t, net->first, x);
	for (int i = 0; i < net->count; i++)
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
	y = replace(t, y, ebb_sequential_forward(t, net->last, y));
	return pool_and_classify(t, &net->dropout, &net->classifier, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_MAKE(efficientnet, ebb_efficientnet_b0_new, own.dropout = a->dropout;
	   own.drop_path = a->drop_path)
MODEL_FORWARD(efficientnet, )

static const ebb_model_kind kind = {
	.size = sizeof(ebb_efficientnet), .make = make, .forward = forward};

#define PAPER                                                                                      \
	"Tan & Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, "     \
	"ICML 2019"
const ebb_model_card ebb_efficientnet_cards[] = {
	{"efficientnet_b0", "EfficientNet-B0", PAPER, 2019, 5288548, .kind = &kind,
		.head = "classifier.1.*", IMAGENET,
		WEIGHTS({TORCHVISION("V1", "efficientnet_b0_rwightman", "3dd342df", 256, 224,
				 77.692, 93.532),
			.preprocess.filter = EBB_RESIZE_BICUBIC})},
	{0},
};
