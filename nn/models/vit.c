/*
 * vit.c - the vision transformer (Dosovitskiy et al. 2021).
 */
#include "nn/models/internal.h"

#include <stdio.h>

static const double EPS = 1e-6;

/* ---- Making --------------------------------------------------------------------------------- */

static ebb_linear mlp_new(
	ebb_params *p, const char *name, int64_t in, int64_t out, const char *site)
{
	return ebb_linear_new(p, name, in, out, .init = EBB_INIT(EBB_INIT_XAVIER_UNIFORM),
		.bias_init = EBB_INIT(EBB_INIT_NORMAL, .std = 1e-6));
}

static ebb_vit_block block_new(ebb_params *p, const char *name, int64_t width, int64_t heads,
	int64_t feedforward, double dropout, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);
	ebb_vit_block b = {.name = ebb_params_full_name(p, name)};

	b.ln_1 = ebb_layernorm_new(own, "ln_1", width, .eps = EPS);
	b.attention = ebb_multihead_new(own, "self_attention", width, heads);
	b.dropout = ebb_drop_new(own, "dropout", dropout);
	b.ln_2 = ebb_layernorm_new(own, "ln_2", width, .eps = EPS);
	b.expand = mlp_new(own, "mlp.0", width, feedforward, site);
	b.dropout1 = ebb_drop_new(own, "mlp.2", dropout);
	b.project = mlp_new(own, "mlp.3", feedforward, width, site);
	b.dropout2 = ebb_drop_new(own, "mlp.4", dropout);
	return b;
}

static bool check_sizes(ebb_params *p, int64_t image, int64_t patch, int layers, const char *site)
{
	if (image > 0 && patch > 0 && image % patch == 0 && layers > 0)
		return true;
	ebb_params_fail(p, EBB_INVALID, site,
		"vit_new: image %lld, patch %lld, layers %d: expected an image that is a multiple "
		"of "
		"the patch, and at least one layer",
		(long long)image, (long long)patch, layers);
	return false;
}

ebb_vit(ebb_vit_new)(const ebb_vit_new_args *a)
{
	const char *site = a->site;
	int patch = (int)ebb_option_count(a->patch, 16);
	int layers = (int)ebb_option_count(a->layers, 12);
	int64_t width = ebb_option_count(a->width, 768);
	double dropout = ebb_option(a->dropout, 0);
	ebb_vit net = {.image = ebb_option_count(a->image, 224), .no_head = a->no_head};
	int64_t side = net.image / patch;

	if (!check_sizes(a->p, net.image, patch, layers, site))
		return net;
	net.class_token = ebb_params_add(
		a->p, "class_token", EBB_SHAPE(1, 1, width), EBB_INIT(EBB_INIT_ZEROS));
	net.conv_proj = ebb_conv_new(a->p, "conv_proj", 3, width, patch, .stride = patch,
		.init = EBB_INIT(EBB_INIT_LECUN_NORMAL));
	net.pos_embedding = ebb_params_add(a->p, "encoder.pos_embedding",
		EBB_SHAPE(1, 1 + side * side, width), EBB_INIT(EBB_INIT_NORMAL, .std = 0.02));
	net.dropout = ebb_drop_new(a->p, "encoder.dropout", dropout);
	net.blocks = ebb_params_alloc(a->p, (size_t)layers * sizeof *net.blocks);
	while (net.blocks && net.count < layers) {
		char name[64];

		snprintf(name, sizeof name, "encoder.layers.encoder_layer_%d", net.count);
		net.blocks[net.count++] =
			block_new(a->p, name, width, ebb_option_count(a->heads, 12),
				ebb_option_count(a->feedforward, 3072), dropout, site);
	}
	net.ln = ebb_layernorm_new(a->p, "encoder.ln", width, .eps = EPS);
	if (!a->no_head)
		net.head = ebb_linear_new(a->p, "heads.head", width,
			ebb_option_count(a->classes, 1000), .init = EBB_INIT(EBB_INIT_ZEROS));
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* x [N,3,H,W] as tokens [N,1 + patches,width], the class token first. */
static ebb_tensor *tokens(ebb_tape *t, const ebb_vit *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = ebb_conv_forward(t, &net->conv_proj, x), *part[2];
	int64_t n = ebb_size(x, 0), width = ebb_size(net->class_token, 2);

	/* The result of a convolution is channels-last in memory: these are views. */
	y = replace(t, y, ebb_permute(t, y, EBB_AXES(0, 2, 3, 1)));
	part[1] = replace(t, y, ebb_reshape(t, y, EBB_SHAPE(n, -1, width)));
	part[0] = ebb_expand(t, net->class_token, EBB_SHAPE(n, 1, width));
	y = replace(t, part[1], ebb_concat(t, 2, part, 1));
	ebb_release(t, part[0]);
	return replace(t, y, ebb_add(t, y, net->pos_embedding));
}

/* The linear layers of a block.  ebb_gelu adds the bias of the first, because it sums the bias's
 * gradient while it computes that of x. */
static ebb_tensor *perceptron(ebb_tape *t, const ebb_vit_block *b, ebb_tensor *x, const char *site)
{
	ebb_linear product = b->expand;
	ebb_tensor *y;

	product.bias = NULL;
	y = ebb_linear_forward(t, &product, x);
	y = replace(t, y, ebb_gelu(t, y, .bias = b->expand.bias));
	y = replace(t, y, ebb_drop_forward(t, &b->dropout1, y));
	y = replace(t, y, ebb_linear_forward(t, &b->project, y));
	return replace(t, y, ebb_drop_forward(t, &b->dropout2, y));
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_vit_block *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	ebb_scope_begin(t, b->name);
	y = ebb_layernorm_forward(t, &b->ln_1, x);
	y = replace(t, y, ebb_multihead_forward(t, &b->attention, y));
	y = replace(t, y, ebb_drop_forward(t, &b->dropout, y));
	x = replace(t, y, ebb_add(t, x, y));
	y = ebb_layernorm_forward(t, &b->ln_2, x);
	y = replace(t, y, perceptron(t, b, y, site));
	return ebb_scope_end(t, replace(t, y, ebb_add(t, x, y)));
}

static bool has_size(const ebb_tensor *x, int64_t image)
{
	return ebb_ndim(x) == 4 && ebb_size(x, 1) == 3 && ebb_size(x, 2) == image &&
	       ebb_size(x, 3) == image;
}

ebb_tensor *(ebb_vit_forward)(ebb_tape *t, const ebb_vit *net, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;
	char text[160];

	if (!net || !net->blocks || !net->class_token)
		return no_model(t, "vit_forward", site);
	if (!has_size(x, net->image))
		return ebb_fail(t, EBB_BAD_SHAPE, site,
			"vit_forward: x is %s, expected [N,3,%lld,%lld]: the model was made for "
			"images of that size (.image)",
			ebb_describe(x, text, sizeof text), (long long)net->image,
			(long long)net->image);
	y = tokens(t, net, x, site);
	y = replace(t, y, ebb_drop_forward(t, &net->dropout, y));
	for (int i = 0; i < net->count; i++)
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
	y = replace(t, y, ebb_layernorm_forward(t, &net->ln, y));
	y = replace(t, y, ebb_slice(t, y, 1, 0, 1, 1));
	y = replace(t, y, ebb_squeeze(t, y, 1));
	return head_forward(t, &net->head, net->no_head, y, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_FUNCTIONS(vit, own.dropout = a->dropout)

static const ebb_model_kind kind = {.size = sizeof(ebb_vit), .make = make, .forward = forward};

/* The published files have the names of an earlier version of torchvision. */
static const ebb_rename RENAME[] = {
	{"*.mlp.linear_1.*", "*.mlp.0.*"},
	{"*.mlp.linear_2.*", "*.mlp.3.*"},
	{0},
};

#define PAPER                                                                                      \
	"Dosovitskiy et al.: An Image is Worth 16x16 Words: Transformers for Image Recognition "   \
	"at Scale, ICLR 2021"
const ebb_model_card ebb_vit_cards[] = {
	{"vit_b_16", "ViT-B/16", PAPER, 2021, 86567656, .kind = &kind, .head = "heads.head.*",
		IMAGENET,
		WEIGHTS({TORCHVISION("V1", "vit_b_16", "c867db91", 256, 224, 81.072, 95.318),
				.rename = RENAME},
			{TORCHVISION("SWAG_LINEAR_V1", "vit_b_16_lc_swag", "4e70ced5", 224, 224,
				 81.886, 96.18),
				.preprocess.filter = EBB_RESIZE_BICUBIC, .rename = RENAME})},
	{0},
};
