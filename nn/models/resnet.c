/*
 * resnet.c - the residual networks for ImageNet (He et al. 2016), wide ones, and ResNeXt.
 */
#include "nn/models/internal.h"

#include <stdio.h>

enum { STAGES = 4, EXPANSION = 4 };

static const struct {
	int depth, blocks[STAGES];
	bool bottleneck;
} DEPTHS[] = {
	{18, {2, 2, 2, 2}, false},
	{34, {3, 4, 6, 3}, false},
	{50, {3, 4, 6, 3}, true},
	{101, {3, 4, 23, 3}, true},
	{152, {3, 8, 36, 3}, true},
};
enum { KINDS = sizeof DEPTHS / sizeof *DEPTHS };

/* ---- Making ---------------------------------------------------------------------------------- */

/* What the blocks of a stage have in common: channels of the 3x3 convolutions and of the result. */
typedef struct stage {
	bool bottleneck;
	int64_t width, out;
	int groups;
} stage;

static ebb_resnet_block block_new(
	ebb_params *p, const char *name, const stage *s, int64_t in, int stride, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);
	ebb_resnet_block b = {.name = ebb_params_full_name(p, name)};

	if (s->bottleneck) {
		b.conv1 = residual_conv(own, "conv1", in, s->width, 1, 1, 1, site);
		b.bn1 = ebb_bn_new(own, "bn1", s->width, .inplace = true);
		b.conv2 =
			residual_conv(own, "conv2", s->width, s->width, 3, stride, s->groups, site);
		b.bn2 = ebb_bn_new(own, "bn2", s->width, .inplace = true);
		b.conv3 = residual_conv(own, "conv3", s->width, s->out, 1, 1, 1, site);
		b.bn3 = ebb_bn_new(own, "bn3", s->out, .inplace = true);
	} else {
		b.conv1 = residual_conv(own, "conv1", in, s->out, 3, stride, 1, site);
		b.bn1 = ebb_bn_new(own, "bn1", s->out, .inplace = true);
		b.conv2 = residual_conv(own, "conv2", s->out, s->out, 3, 1, 1, site);
		b.bn2 = ebb_bn_new(own, "bn2", s->out, .inplace = true);
	}
	if (in != s->out || stride != 1) {
		b.downsample = residual_conv(own, "downsample.0", in, s->out, 1, stride, 1, site);
		b.downsample_bn = ebb_bn_new(own, "downsample.1", s->out, .inplace = true);
	}
	return b;
}

/* The index of a->depth in DEPTHS; -1, with an error in the store, if an argument is wrong. */
static int depth_of(const ebb_resnet_new_args *a, int groups, int64_t width)
{
	for (int k = 0; k < KINDS; k++)
		if (DEPTHS[k].depth == a->depth) {
			if (groups >= 1 && width >= 1 &&
				(DEPTHS[k].bottleneck || (groups == 1 && width == 64)))
				return k;
			ebb_params_fail(a->p, EBB_INVALID, a->site,
				"resnet_new: groups %d, width_per_group %lld, expected at least "
				"1%s",
				groups, (long long)width,
				DEPTHS[k].bottleneck ? "" : ", and 1 and 64 for depths 18 and 34");
			return -1;
		}
	ebb_params_fail(a->p, EBB_INVALID, a->site,
		"resnet_new: depth %d, expected 18, 34, 50, 101 or 152", a->depth);
	return -1;
}

ebb_resnet(ebb_resnet_new)(const ebb_resnet_new_args *a)
{
	const char *site = a->site;
	int groups = (int)ebb_option_count(a->groups, 1), depth, blocks = 0;
	int64_t width = ebb_option_count(a->width_per_group, 64), in = 64;
	ebb_resnet net = {.no_head = a->no_head};
	char name[32];

	depth = depth_of(a, groups, width);
	if (depth < 0)
		return net;
	net.conv1 = residual_conv(a->p, "conv1", 3, in, 7, 2, 1, site);
	net.bn1 = ebb_bn_new(a->p, "bn1", in, .inplace = true);
	for (int k = 0; k < STAGES; k++)
		blocks += DEPTHS[depth].blocks[k];
	net.blocks = ebb_params_alloc(a->p, (size_t)blocks * sizeof *net.blocks);
	for (int k = 0; net.blocks && k < STAGES; k++) {
		bool bottleneck = DEPTHS[depth].bottleneck;
		stage s = {bottleneck, (width << k) * groups,
			(int64_t)(64 << k) * (bottleneck ? EXPANSION : 1), groups};

		for (int i = 0; i < DEPTHS[depth].blocks[k]; i++) {
			snprintf(name, sizeof name, "layer%d.%d", 1 + k, i);
			net.blocks[net.count++] =
				block_new(a->p, name, &s, in, i == 0 && k > 0 ? 2 : 1, site);
			in = s.out;
		}
	}
	if (!a->no_head)
		net.fc = ebb_linear_new(a->p, "fc", in, ebb_option_count(a->classes, 1000));
	return net;
}

/* ---- Running --------------------------------------------------------------------------------- */

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
	if (b->conv3.weight) {
		y = replace(t, y, conv_bn_relu(t, &b->conv2, &b->bn2, y, NULL, site));
		y = conv_bn_relu(t, &b->conv3, &b->bn3, y, shortcut(t, b, x, site), site);
	} else {
		y = conv_bn_relu(t, &b->conv2, &b->bn2, y, shortcut(t, b, x, site), site);
	}
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
	return pool_and_classify(t, NULL, &net->fc, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(resnet, (void)0)

static const ebb_model_kind kind = {.size = sizeof(ebb_resnet), .make = make, .forward = forward};

#define CARD(...)                                                                                  \
	.kind = &kind, .variant = &(const ebb_resnet_new_args){__VA_ARGS__}, .head = "fc.*",       \
	IMAGENET

#define RESNET "He, Zhang, Ren & Sun: Deep Residual Learning for Image Recognition, CVPR 2016"
const ebb_model_card ebb_resnet_cards[] = {
	{"resnet18", "ResNet-18", RESNET, 2016, 11689512, CARD(.depth = 18),
		WEIGHTS({TORCHVISION("V1", "resnet18", "f37072fd", 256, 224, 69.758, 89.078)})},
	{"resnet34", "ResNet-34", RESNET, 2016, 21797672, CARD(.depth = 34),
		WEIGHTS({TORCHVISION("V1", "resnet34", "b627a593", 256, 224, 73.314, 91.42)})},
	{"resnet50", "ResNet-50", RESNET, 2016, 25557032, CARD(.depth = 50),
		WEIGHTS({TORCHVISION("V1", "resnet50", "0676ba61", 256, 224, 76.13, 92.862)},
			{TORCHVISION("V2", "resnet50", "11ad3fa6", 232, 224, 80.858, 95.434)})},
	{"resnet101", "ResNet-101", RESNET, 2016, 44549160, CARD(.depth = 101),
		WEIGHTS({TORCHVISION("V1", "resnet101", "63fe2227", 256, 224, 77.374, 93.546)},
			{TORCHVISION("V2", "resnet101", "cd907fc2", 232, 224, 81.886, 95.78)})},
	{"resnet152", "ResNet-152", RESNET, 2016, 60192808, CARD(.depth = 152),
		WEIGHTS({TORCHVISION("V1", "resnet152", "394f9c45", 256, 224, 78.312, 94.046)},
			{TORCHVISION("V2", "resnet152", "f82ba261", 232, 224, 82.284, 96.002)})},
	{0},
};

#define WIDE "Zagoruyko & Komodakis: Wide Residual Networks, BMVC 2016"
const ebb_model_card ebb_wide_resnet_cards[] = {
	{"wide_resnet50_2", "Wide-ResNet-50-2", WIDE, 2016, 68883240,
		CARD(.depth = 50, .width_per_group = 128),
		WEIGHTS({TORCHVISION(
				"V1", "wide_resnet50_2", "95faca4d", 256, 224, 78.468, 94.086)},
			{TORCHVISION(
				"V2", "wide_resnet50_2", "9ba9bcbe", 232, 224, 81.602, 95.758)})},
	{"wide_resnet101_2", "Wide-ResNet-101-2", WIDE, 2016, 126886696,
		CARD(.depth = 101, .width_per_group = 128),
		WEIGHTS({TORCHVISION(
				"V1", "wide_resnet101_2", "32ee1156", 256, 224, 78.848, 94.284)},
			{TORCHVISION(
				"V2", "wide_resnet101_2", "d733dc28", 232, 224, 82.51, 96.02)})},
	{0},
};

#define RESNEXT                                                                                    \
	"Xie, Girshick, Dollar, Tu & He: Aggregated Residual Transformations for Deep Neural "     \
	"Networks, CVPR 2017"
const ebb_model_card ebb_resnext_cards[] = {
	{"resnext50_32x4d", "ResNeXt-50-32x4d", RESNEXT, 2017, 25028904,
		CARD(.depth = 50, .groups = 32, .width_per_group = 4),
		WEIGHTS({TORCHVISION(
				"V1", "resnext50_32x4d", "7cdf4587", 256, 224, 77.618, 93.698)},
			{TORCHVISION(
				"V2", "resnext50_32x4d", "1a0047aa", 232, 224, 81.198, 95.34)})},
	{"resnext101_32x8d", "ResNeXt-101-32x8d", RESNEXT, 2017, 88791336,
		CARD(.depth = 101, .groups = 32, .width_per_group = 8),
		WEIGHTS({TORCHVISION(
				"V1", "resnext101_32x8d", "8ba56ff5", 256, 224, 79.312, 94.526)},
			{TORCHVISION(
				"V2", "resnext101_32x8d", "110c445d", 232, 224, 82.834, 96.228)})},
	{"resnext101_64x4d", "ResNeXt-101-64x4d", RESNEXT, 2017, 83455272,
		CARD(.depth = 101, .groups = 64, .width_per_group = 4),
		WEIGHTS({TORCHVISION(
			"V1", "resnext101_64x4d", "173b62eb", 232, 224, 83.246, 96.454)})},
	{0},
};
