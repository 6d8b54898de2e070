/*
 * inception_v3.c - Inception v3 (Szegedy et al. 2016) with its intermediate classifier.
 */
#include "nn/models/branches.h"

#include <math.h>

/* What a convolution of a block reads: the result of the convolution before it, that of the second
 * before it, the block's input, or the input after an average pooling. */
typedef enum source { PREVIOUS, SECOND, INPUT, POOLED } source;

/* out 0: the number that the block gives.  The padding keeps the size at stride 1, and is 0 at
 * stride 2. */
typedef struct conv_spec {
	const char *name;
	source from;
	int out, kernel[2], stride;
} conv_spec;

/* The types of blocks.  The block's result is the concatenation of the results that no other
 * convolution reads, in this order, and in types 1 and 3 of a max pooling.  A specification without
 * a name ends each type. */
static const conv_spec TYPE[][EBB_INCEPTION_V3_CONVS + 1] = {
	{
		{"branch1x1", INPUT, 64, {1, 1}, 1},
		{"branch5x5_1", INPUT, 48, {1, 1}, 1},
		{"branch5x5_2", PREVIOUS, 64, {5, 5}, 1},
		{"branch3x3dbl_1", INPUT, 64, {1, 1}, 1},
		{"branch3x3dbl_2", PREVIOUS, 96, {3, 3}, 1},
		{"branch3x3dbl_3", PREVIOUS, 96, {3, 3}, 1},
		{"branch_pool", POOLED, 0, {1, 1}, 1},
	},
	{
		{"branch3x3", INPUT, 384, {3, 3}, 2},
		{"branch3x3dbl_1", INPUT, 64, {1, 1}, 1},
		{"branch3x3dbl_2", PREVIOUS, 96, {3, 3}, 1},
		{"branch3x3dbl_3", PREVIOUS, 96, {3, 3}, 2},
	},
	{
		{"branch1x1", INPUT, 192, {1, 1}, 1},
		{"branch7x7_1", INPUT, 0, {1, 1}, 1},
		{"branch7x7_2", PREVIOUS, 0, {1, 7}, 1},
		{"branch7x7_3", PREVIOUS, 192, {7, 1}, 1},
		{"branch7x7dbl_1", INPUT, 0, {1, 1}, 1},
		{"branch7x7dbl_2", PREVIOUS, 0, {7, 1}, 1},
		{"branch7x7dbl_3", PREVIOUS, 0, {1, 7}, 1},
		{"branch7x7dbl_4", PREVIOUS, 0, {7, 1}, 1},
		{"branch7x7dbl_5", PREVIOUS, 192, {1, 7}, 1},
		{"branch_pool", POOLED, 192, {1, 1}, 1},
	},
	{
		{"branch3x3_1", INPUT, 192, {1, 1}, 1},
		{"branch3x3_2", PREVIOUS, 320, {3, 3}, 2},
		{"branch7x7x3_1", INPUT, 192, {1, 1}, 1},
		{"branch7x7x3_2", PREVIOUS, 192, {1, 7}, 1},
		{"branch7x7x3_3", PREVIOUS, 192, {7, 1}, 1},
		{"branch7x7x3_4", PREVIOUS, 192, {3, 3}, 2},
	},
	{
		{"branch1x1", INPUT, 320, {1, 1}, 1},
		{"branch3x3_1", INPUT, 384, {1, 1}, 1},
		{"branch3x3_2a", PREVIOUS, 384, {1, 3}, 1},
		{"branch3x3_2b", SECOND, 384, {3, 1}, 1},
		{"branch3x3dbl_1", INPUT, 448, {1, 1}, 1},
		{"branch3x3dbl_2", PREVIOUS, 384, {3, 3}, 1},
		{"branch3x3dbl_3a", PREVIOUS, 384, {1, 3}, 1},
		{"branch3x3dbl_3b", SECOND, 384, {3, 1}, 1},
		{"branch_pool", POOLED, 192, {1, 1}, 1},
	},
};

/* given: the channels that are left open in the type. */
static const struct {
	const char *name;
	int type, in, given;
} BLOCK[EBB_INCEPTION_V3_BLOCKS] = {
	{"Mixed_5b", 0, 192, 32},
	{"Mixed_5c", 0, 256, 64},
	{"Mixed_5d", 0, 288, 64},
	{"Mixed_6a", 1, 288, 0},
	{"Mixed_6b", 2, 768, 128},
	{"Mixed_6c", 2, 768, 160},
	{"Mixed_6d", 2, 768, 160},
	{"Mixed_6e", 2, 768, 192},
	{"Mixed_7a", 3, 768, 0},
	{"Mixed_7b", 4, 1280, 0},
	{"Mixed_7c", 4, 2048, 0},
};
enum { BEFORE_AUX = 7, AUX_CHANNELS = 768, FEATURES = 2048 };

/* The convolutions before the blocks.  A max pooling follows 2b and 4a. */
static const struct {
	const char *name;
	int in, out, kernel, stride, pad;
	bool pool;
} STEM[EBB_INCEPTION_V3_STEM] = {
	{"Conv2d_1a_3x3", 3, 32, 3, 2, 0, false},
	{"Conv2d_2a_3x3", 32, 32, 3, 1, 0, false},
	{"Conv2d_2b_3x3", 32, 64, 3, 1, 1, true},
	{"Conv2d_3b_1x1", 64, 80, 1, 1, 0, false},
	{"Conv2d_4a_3x3", 80, 192, 3, 1, 0, true},
};

/* ---- Making --------------------------------------------------------------------------------- */

/* torchvision truncates these numbers at -2 and 2, twenty or more deviations. */
static ebb_init normal(double deviation)
{
	return EBB_INIT(EBB_INIT_NORMAL, .std = deviation);
}

/* The bias starts as PyTorch's default. */
static ebb_linear linear_new(
	ebb_params *p, const char *name, int in, int64_t out, double deviation, const char *site)
{
	double bound = 1 / sqrt(in);

	return ebb_linear_new(p, name, in, out, .init = normal(deviation),
		.bias_init = EBB_INIT(EBB_INIT_UNIFORM, .low = -bound, .high = bound));
}

static ebb_inception_v3_block block_new(ebb_params *p, int index, const char *site)
{
	ebb_params *own = ebb_params_sub(p, BLOCK[index].name);
	const conv_spec *spec = TYPE[BLOCK[index].type];
	ebb_inception_v3_block b = {
		.name = ebb_params_full_name(p, BLOCK[index].name),
		.type = BLOCK[index].type,
	};
	int out[EBB_INCEPTION_V3_CONVS];

	for (int i = 0; spec[i].name; i++) {
		const int *kernel = spec[i].kernel;
		bool keeps_size = spec[i].stride == 1;

		out[i] = spec[i].out ? spec[i].out : BLOCK[index].given;
		b.conv[i] = conv_bn_new(own, spec[i].name,
			(ebb_conv_new_args){.in = spec[i].from == PREVIOUS ? out[i - 1]
		                                  : spec[i].from == SECOND ? out[i - 2]
		                                                           : BLOCK[index].in,
				.out = out[i],
				.kernel_hw = {kernel[0], kernel[1]},
				.stride = spec[i].stride,
				.pad_hw = {keeps_size ? kernel[0] / 2 : 0,
					keeps_size ? kernel[1] / 2 : 0},
				.init = normal(0.1)},
			site);
	}
	return b;
}

static ebb_inception_v3_aux aux_new(ebb_params *p, int64_t classes, const char *site)
{
	ebb_params *own = ebb_params_sub(p, "AuxLogits");

	return (ebb_inception_v3_aux){
		.name = ebb_params_full_name(p, "AuxLogits"),
		.conv0 = conv_bn_new(own, "conv0",
			(ebb_conv_new_args){
				.in = AUX_CHANNELS, .out = 128, .kernel = 1, .init = normal(0.1)},
			site),
		.conv1 = conv_bn_new(own, "conv1",
			(ebb_conv_new_args){
				.in = 128, .out = AUX_CHANNELS, .kernel = 5, .init = normal(0.01)},
			site),
		.fc = linear_new(own, "fc", AUX_CHANNELS, classes, 0.001, site),
	};
}

ebb_inception_v3(ebb_inception_v3_new)(const ebb_inception_v3_new_args *a)
{
	const char *site = a->site;
	int64_t classes = ebb_option_count(a->classes, 1000);
	ebb_inception_v3 net = {
		.no_aux = a->no_aux || a->no_head,
		.no_head = a->no_head,
		.transform_input = a->transform_input,
	};

	for (int i = 0; i < EBB_INCEPTION_V3_STEM; i++)
		net.stem[i] = conv_bn_new(a->p, STEM[i].name,
			(ebb_conv_new_args){.in = STEM[i].in,
				.out = STEM[i].out,
				.kernel = STEM[i].kernel,
				.stride = STEM[i].stride,
				.pad = STEM[i].pad,
				.init = normal(0.1)},
			site);
	net.blocks = ebb_params_alloc(a->p, EBB_INCEPTION_V3_BLOCKS * sizeof *net.blocks);
	for (int i = 0; net.blocks && i < EBB_INCEPTION_V3_BLOCKS; i++) {
		net.blocks[i] = block_new(a->p, i, site);
		if (i == BEFORE_AUX && !net.no_aux)
			net.aux = aux_new(a->p, classes, site);
	}
	net.dropout = ebb_drop_new(a->p, "dropout", ebb_option(a->dropout, 0.5));
	if (!a->no_head)
		net.fc = linear_new(a->p, "fc", FEATURES, classes, 0.1, site);
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* The input of the convolution whose specification is s; y is its result's place in the array of
 * results. */
static ebb_tensor *input_of(
	ebb_tape *t, const conv_spec *s, ebb_tensor **y, ebb_tensor *x, const char *site)
{
	switch (s->from) {
	case PREVIOUS:
		return y[-1];
	case SECOND:
		return y[-2];
	case POOLED:
		return ebb_avgpool2d(t, x, .kernel = 3, .stride = 1, .pad = 1);
	default:
		return x;
	}
}

static bool reads(const conv_spec *s, source from)
{
	return s->name && s->from == from;
}

static ebb_tensor *block_forward(
	ebb_tape *t, const ebb_inception_v3_block *b, ebb_tensor *x, const char *site)
{
	const conv_spec *spec = TYPE[b->type];
	ebb_tensor *y[EBB_INCEPTION_V3_CONVS], *branch[EBB_INCEPTION_V3_CONVS + 1], *in;
	int branches = 0;

	ebb_scope_begin(t, b->name);
	for (int i = 0; spec[i].name; i++) {
		in = input_of(t, &spec[i], &y[i], x, site);
		y[i] = conv_bn_forward(t, &b->conv[i], in, site);
		/* A result that SECOND reads is also read by the convolution before. */
		if (in != x && !(spec[i].from == PREVIOUS && reads(&spec[i + 1], SECOND)))
			ebb_release(t, in);
		if (!reads(&spec[i + 1], PREVIOUS))
			branch[branches++] = y[i];
	}
	if (b->type == 1 || b->type == 3)
		branch[branches++] = ebb_maxpool2d(t, x, .kernel = 3, .stride = 2);
	return ebb_scope_end(t, ebb_concat(t, branches, branch, 1));
}

static ebb_tensor *aux_forward(
	ebb_tape *t, const ebb_inception_v3_aux *l, ebb_tensor *x, const char *site)
{
	ebb_scope_begin(t, l->name);
	x = ebb_avgpool2d(t, x, .kernel = 5, .stride = 3);
	x = conv_bn_forward(t, &l->conv0, x, site);
	x = conv_bn_forward(t, &l->conv1, x, site);
	x = ebb_flatten(t, ebb_adaptive_avgpool2d(t, x));
	return ebb_scope_end(t, ebb_linear_forward(t, &l->fc, x));
}

ebb_inception_v3_logits(ebb_inception_v3_forward)(
	ebb_tape *t, const ebb_inception_v3 *net, ebb_tensor *x, const char *site)
{
	bool aux = net && !net->no_aux && ebb_is_training(t);
	ebb_inception_v3_logits out = {0};
	ebb_tensor *y;

	if (!net || !net->blocks) {
		no_model(t, "inception_v3_forward", site);
		return out;
	}
	y = net->transform_input ? transform_input(t, x, site) : x;
	for (int i = 0; i < EBB_INCEPTION_V3_STEM; i++) {
		ebb_tensor *z = conv_bn_forward(t, &net->stem[i], y, site);

		y = y == x ? z : replace(t, y, z);
		if (STEM[i].pool)
			y = ebb_maxpool2d(t, y, .kernel = 3, .stride = 2, .inplace = true);
	}
	for (int i = 0; i < EBB_INCEPTION_V3_BLOCKS; i++) {
		y = replace(t, y, block_forward(t, &net->blocks[i], y, site));
		if (aux && i == BEFORE_AUX)
			out.aux = aux_forward(t, &net->aux, y, site);
	}
	out.logits = pool_and_classify(t, &net->dropout, &net->fc, net->no_head, y, site);
	return ebb_failed(t) ? (ebb_inception_v3_logits){0} : out;
}

static ebb_tensor *smoothed_loss(ebb_tape *t, ebb_inception_v3_logits y, ebb_tensor *labels,
	double smoothing, const char *site)
{
	return loss_with_aux(t, y.logits, 1, &y.aux, 0.4, labels, smoothing, site);
}

ebb_tensor *(ebb_inception_v3_loss)(ebb_tape *t, ebb_inception_v3_logits y, ebb_tensor *labels,
	const char *site)
{
	return smoothed_loss(t, y, labels, 0, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_MAKE(inception_v3, ebb_inception_v3_new, own.dropout = a->dropout; own.no_aux = a->no_aux)
MODEL_FORWARD(inception_v3, .logits)

static ebb_tensor *loss(const ebb_model_loss_args *a, const void *net, ebb_tensor **logits)
{
	ebb_inception_v3_logits y = (ebb_inception_v3_forward)(a->t, net, a->x, a->site);

	*logits = y.logits;
	return smoothed_loss(a->t, y, a->labels, a->label_smoothing, a->site);
}

static const ebb_model_kind kind = {
	.size = sizeof(ebb_inception_v3), .make = make, .forward = forward, .loss = loss};

#define PAPER                                                                                      \
	"Szegedy, Vanhoucke, Ioffe, Shlens & Wojna: Rethinking the Inception Architecture for "    \
	"Computer Vision, CVPR 2016"
const ebb_model_card ebb_inception_v3_cards[] = {
	{"inception_v3", "Inception v3", PAPER, 2016, 27161264, .kind = &kind,
		.head = "fc.* AuxLogits.fc.*", .aux = "AuxLogits.*", .classes = 1000, .channels = 3,
		.side = 299,
		WEIGHTS({.name = "IMAGENET1K_V1",
			.file = "inception_v3_google-0cc3c7bd.pth",
			.sha256 = "0cc3c7bd",
			.preprocess = HALF_INPUT(342, 299),
			.top1 = 77.294,
			.top5 = 93.45})},
	{0},
};
