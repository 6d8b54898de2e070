/*
 * convnext.c - ConvNeXt-Tiny: a convolutional network with the proportions of a vision transformer
 * (Liu et al. 2022).
 *
 * The layer norms and linear layers of a block read the channels of each position as a row.
 * Convolutions write their results with the channels innermost, so that the exchange of axes
 * [N,C,H,W] -> [N,H,W,C] and back is a view of dense rows, not a copy.
 */
#include "nn/models/internal.h"

#include <stdio.h>

enum { STAGES = 4 };

static const int CHANNELS[STAGES] = {96, 192, 384, 768}, BLOCKS[STAGES] = {3, 3, 9, 3};
enum { ALL_BLOCKS = 18 };

static const double EPS = 1e-6;

/* torchvision truncates this normal distribution to -2 .. 2, which is 100 standard deviations. */
#define NORMAL EBB_INIT(EBB_INIT_NORMAL, .std = 0.02)

/* ---- Making --------------------------------------------------------------------------------- */

static ebb_convnext_block block_new(
	ebb_params *p, const char *name, int64_t channels, double rate, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	return (ebb_convnext_block){
		.name = ebb_params_full_name(p, name),
		.layer_scale = ebb_params_add(own, "layer_scale", EBB_SHAPE(channels, 1, 1),
			EBB_INIT(EBB_INIT_CONSTANT, .value = 1e-6)),
		.depthwise = ebb_conv_new(own, "block.0", channels, channels, 7, .pad = 3,
			.groups = (int)channels, .init = NORMAL),
		.norm = ebb_layernorm_new(own, "block.2", channels, .eps = EPS),
		.expand = ebb_linear_new(own, "block.3", channels, 4 * channels, .init = NORMAL),
		.project = ebb_linear_new(own, "block.5", 4 * channels, channels, .init = NORMAL),
		.drop_path = rate,
	};
}

/* Stage k without its blocks: features.(2*k). */
static ebb_convnext_stage stage_new(ebb_params *p, int k, const char *site)
{
	ebb_convnext_stage s = {.name = NULL};
	ebb_params *own;
	char name[32];

	snprintf(name, sizeof name, "features.%d", 2 * k);
	s.name = ebb_params_full_name(p, name);
	own = ebb_params_sub(p, name);
	if (k == 0) {
		s.conv = ebb_conv_new(own, "0", 3, CHANNELS[0], 4, .stride = 4, .init = NORMAL);
		s.norm = ebb_layernorm_new(own, "1", CHANNELS[0], .eps = EPS);
	} else {
		s.norm = ebb_layernorm_new(own, "0", CHANNELS[k - 1], .eps = EPS);
		s.conv = ebb_conv_new(
			own, "1", CHANNELS[k - 1], CHANNELS[k], 2, .stride = 2, .init = NORMAL);
	}
	s.blocks = ebb_params_alloc(p, (size_t)BLOCKS[k] * sizeof *s.blocks);
	return s;
}

ebb_convnext(ebb_convnext_tiny_new)(const ebb_convnext_new_args *a)
{
	const char *site = a->site;
	double rate = ebb_option(a->drop_path, 0.1);
	ebb_convnext net = {.no_head = a->no_head};
	int before = 0; /* blocks before this one */
	char name[32];

	if (!check_drop_path(a->p, "convnext_tiny_new", rate, site))
		return net;
	for (int k = 0; k < STAGES; k++) {
		ebb_convnext_stage *s = &net.stages[k];

		*s = stage_new(a->p, k, site);
		for (int i = 0; s->blocks && i < BLOCKS[k]; i++) {
			snprintf(name, sizeof name, "features.%d.%d", 2 * k + 1, i);
			s->blocks[s->count++] = block_new(
				a->p, name, CHANNELS[k], rate * before++ / (ALL_BLOCKS - 1), site);
		}
	}
	net.norm = ebb_layernorm_new(a->p, "classifier.0", CHANNELS[STAGES - 1], .eps = EPS);
	if (!a->no_head)
		net.classifier = ebb_linear_new(a->p, "classifier.2", CHANNELS[STAGES - 1],
			ebb_option_count(a->classes, 1000), .init = NORMAL);
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Views: x [N,C,H,W] as [N,H,W,C], and back. */
static ebb_tensor *rows(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return ebb_permute(t, x, EBB_AXES(0, 2, 3, 1));
}

static ebb_tensor *image(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return ebb_permute(t, x, EBB_AXES(0, 3, 1, 2));
}

/* Layer norm over the channels of x [N,C,H,W]. */
static ebb_tensor *norm_channels(
	ebb_tape *t, const ebb_layernorm_layer *l, ebb_tensor *x, const char *site)
{
	return image(t, ebb_layernorm_forward(t, l, rows(t, x, site)), site);
}

/* The two linear layers of a block, for x [N,H,W,C].  ebb_gelu adds the bias of the first, because
 * it sums the bias's gradient while it computes that of x. */
static ebb_tensor *perceptron(
	ebb_tape *t, const ebb_convnext_block *b, ebb_tensor *x, const char *site)
{
	ebb_linear product = b->expand;
	ebb_tensor *y;

	product.bias = NULL;
	y = ebb_linear_forward(t, &product, x);
	y = replace(t, y, ebb_gelu(t, y, .bias = b->expand.bias));
	return replace(t, y, ebb_linear_forward(t, &b->project, y));
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_convnext_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->name);
	y = ebb_conv_forward(t, &b->depthwise, x);
	y = replace(t, y, rows(t, y, site));
	y = replace(t, y, ebb_layernorm_forward(t, &b->norm, y));
	y = replace(t, y, perceptron(t, b, y, site));
	/* [C,1,1] as [C]: the sum of the scale's gradient is then over the leading axes. */
	y = replace(t, y, ebb_mul(t, y, ebb_reshape(t, b->layer_scale, EBB_SHAPE(-1))));
	y = replace(t, y, image(t, y, site));
	return ebb_scope_end(t, add_branch(t, x, y, b->drop_path, site));
}

/* The convolution before the blocks of stage k, and its layer norm. */
static ebb_tensor *shrink(
	ebb_tape *t, const ebb_convnext_stage *s, int k, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, s->name);
	if (k == 0) {
		y = ebb_conv_forward(t, &s->conv, x);
		y = replace(t, y, norm_channels(t, &s->norm, y, site));
	} else {
		y = norm_channels(t, &s->norm, x, site);
		y = replace(t, y, ebb_conv_forward(t, &s->conv, y));
	}
	return ebb_scope_end(t, y);
}

ebb_tensor *(
	ebb_convnext_forward)(ebb_tape *t, const ebb_convnext *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = x;

	if (!net)
		return no_model(t, "convnext_forward", site);
	for (int k = 0; k < STAGES; k++) {
		const ebb_convnext_stage *s = &net->stages[k];
		ebb_tensor *smaller = shrink(t, s, k, y, site);

		y = k ? replace(t, y, smaller) : smaller;
		for (int i = 0; i < s->count; i++)
			y = replace(t, y, block_forward(t, &s->blocks[i], y, site));
	}
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y));
	y = replace(t, y, ebb_flatten(t, y));
	y = replace(t, y, ebb_layernorm_forward(t, &net->norm, y));
	return head_forward(t, &net->classifier, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_MAKE(convnext, ebb_convnext_tiny_new, own.drop_path = a->drop_path)
MODEL_FORWARD(convnext, )

static const ebb_model_kind kind = {.size = sizeof(ebb_convnext), .make = make, .forward = forward};

#define PAPER "Liu, Mao, Wu, Feichtenhofer, Darrell & Xie: A ConvNet for the 2020s, CVPR 2022"
const ebb_model_card ebb_convnext_cards[] = {
	{"convnext_tiny", "ConvNeXt-Tiny", PAPER, 2022, 28589128, .kind = &kind,
		.head = "classifier.2.*", IMAGENET,
		WEIGHTS({TORCHVISION("V1", "convnext_tiny", "983f1562", 236, 224, 82.52, 96.146)})},
	{0},
};
