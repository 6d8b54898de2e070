/*
 * googlenet.c - GoogLeNet (Szegedy et al. 2015) with batch norm and its intermediate classifiers.
 */
#include "nn/models/branches.h"

/* Channels of the branches: 1x1; 1x1 then 3x3; 1x1 then "5x5"; pooling then 1x1.  pool: the kernel
 * of the max pooling after the block, or 0.  aux: the number of the intermediate classifier that
 * the block feeds, or 0. */
static const struct {
	const char *name;
	int in, branch1, branch2[2], branch3[2], branch4;
	int pool, aux;
} INCEPTION[] = {
	{"inception3a", 192, 64, {96, 128}, {16, 32}, 32, 0, 0},
	{"inception3b", 256, 128, {128, 192}, {32, 96}, 64, 3, 0},
	{"inception4a", 480, 192, {96, 208}, {16, 48}, 64, 0, 1},
	{"inception4b", 512, 160, {112, 224}, {24, 64}, 64, 0, 0},
	{"inception4c", 512, 128, {128, 256}, {24, 64}, 64, 0, 0},
	{"inception4d", 512, 112, {144, 288}, {32, 64}, 64, 0, 2},
	{"inception4e", 528, 256, {160, 320}, {32, 128}, 128, 2, 0},
	{"inception5a", 832, 256, {160, 320}, {32, 128}, 128, 0, 0},
	{"inception5b", 832, 384, {192, 384}, {48, 128}, 128, 0, 0},
};
enum { INCEPTIONS = sizeof INCEPTION / sizeof *INCEPTION };

/* ---- Making --------------------------------------------------------------------------------- */

/* The padding keeps the size at stride 1. */
static ebb_conv_bn conv_new(ebb_params *p, const char *name, int64_t in, int64_t out, int kernel,
	int stride, const char *site)
{
	return conv_bn_new(p, name,
		(ebb_conv_new_args){.in = in,
			.out = out,
			.kernel = kernel,
			.stride = stride,
			.pad = kernel / 2},
		site);
}

static ebb_inception inception_new(ebb_params *p, int i, const char *site)
{
	ebb_params *own = ebb_params_sub(p, INCEPTION[i].name);
	const int in = INCEPTION[i].in, *b2 = INCEPTION[i].branch2, *b3 = INCEPTION[i].branch3;

	return (ebb_inception){
		.name = ebb_params_full_name(p, INCEPTION[i].name),
		.branch1 = conv_new(own, "branch1", in, INCEPTION[i].branch1, 1, 1, site),
		.branch2 = {conv_new(own, "branch2.0", in, b2[0], 1, 1, site),
			conv_new(own, "branch2.1", b2[0], b2[1], 3, 1, site)},
		.branch3 = {conv_new(own, "branch3.0", in, b3[0], 1, 1, site),
			conv_new(own, "branch3.1", b3[0], b3[1], 3, 1, site)},
		.branch4 = conv_new(own, "branch4.1", in, INCEPTION[i].branch4, 1, 1, site),
	};
}

static ebb_googlenet_aux aux_new(ebb_params *p, const char *name, int64_t in, int64_t classes,
	double dropout, const char *site)
{
	ebb_params *own = ebb_params_sub(p, name);

	return (ebb_googlenet_aux){
		.name = ebb_params_full_name(p, name),
		.conv = conv_new(own, "conv", in, 128, 1, 1, site),
		.fc1 = ebb_linear_new(own, "fc1", 128 * 4 * 4, 1024),
		.fc2 = ebb_linear_new(own, "fc2", 1024, classes),
		.dropout = ebb_drop_new(own, "dropout", dropout),
	};
}

ebb_googlenet(ebb_googlenet_new)(const ebb_googlenet_new_args *a)
{
	const char *site = a->site;
	int64_t classes = ebb_option_count(a->classes, 1000);
	ebb_googlenet net = {
		.conv1 = conv_new(a->p, "conv1", 3, 64, 7, 2, site),
		.conv2 = conv_new(a->p, "conv2", 64, 64, 1, 1, site),
		.conv3 = conv_new(a->p, "conv3", 64, 192, 3, 1, site),
		.inception = ebb_params_alloc(a->p, INCEPTIONS * sizeof *net.inception),
		.no_aux = a->no_aux || a->no_head,
		.no_head = a->no_head,
		.transform_input = a->transform_input,
	};

	for (int i = 0; net.inception && i < INCEPTIONS; i++)
		net.inception[i] = inception_new(a->p, i, site);
	if (!net.no_aux) {
		double dropout = ebb_option(a->dropout_aux, 0.7);

		net.aux1 = aux_new(a->p, "aux1", 512, classes, dropout, site);
		net.aux2 = aux_new(a->p, "aux2", 528, classes, dropout, site);
	}
	net.dropout = ebb_drop_new(a->p, "dropout", ebb_option(a->dropout, 0.2));
	if (!a->no_head)
		net.fc = ebb_linear_new(a->p, "fc", 1024, classes);
	return net;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* In-place: writes the result into x's memory. */
static ebb_tensor *pool(ebb_tape *t, ebb_tensor *x, int kernel, const char *site)
{
	return ebb_maxpool2d(
		t, x, .kernel = kernel, .stride = 2, .ceil_mode = true, .inplace = true);
}

static ebb_tensor *inception_forward(
	ebb_tape *t, const ebb_inception *b, ebb_tensor *x, const char *site)
{
	ebb_tensor *branch[4], *y;

	ebb_scope_begin(t, b->name);
	branch[0] = conv_bn_forward(t, &b->branch1, x, site);
	y = conv_bn_forward(t, &b->branch2[0], x, site);
	branch[1] = replace(t, y, conv_bn_forward(t, &b->branch2[1], y, site));
	y = conv_bn_forward(t, &b->branch3[0], x, site);
	branch[2] = replace(t, y, conv_bn_forward(t, &b->branch3[1], y, site));
	y = ebb_maxpool2d(t, x, .kernel = 3, .stride = 1, .pad = 1);
	branch[3] = replace(t, y, conv_bn_forward(t, &b->branch4, y, site));
	return ebb_scope_end(t, ebb_concat(t, 4, branch, 1));
}

static ebb_tensor *aux_forward(
	ebb_tape *t, const ebb_googlenet_aux *l, ebb_tensor *x, const char *site)
{
	ebb_scope_begin(t, l->name);
	x = conv_bn_forward(t, &l->conv, ebb_adaptive_avgpool2d(t, x, .size = 4), site);
	x = ebb_relu(t, ebb_linear_forward(t, &l->fc1, ebb_flatten(t, x)));
	return ebb_scope_end(
		t, ebb_linear_forward(t, &l->fc2, ebb_drop_forward(t, &l->dropout, x)));
}

ebb_googlenet_logits(ebb_googlenet_forward)(
	ebb_tape *t, const ebb_googlenet *net, ebb_tensor *x, const char *site)
{
	bool aux = net && !net->no_aux && ebb_is_training(t);
	ebb_googlenet_logits out = {0};
	ebb_tensor *y;

	if (!net || !net->inception) {
		no_model(t, "googlenet_forward", site);
		return out;
	}
	y = net->transform_input ? transform_input(t, x, site) : x;
	x = y == x ? NULL : y;
	y = conv_bn_forward(t, &net->conv1, y, site);
	ebb_release(t, x);
	y = pool(t, y, 3, site);
	y = replace(t, y, conv_bn_forward(t, &net->conv2, y, site));
	y = replace(t, y, conv_bn_forward(t, &net->conv3, y, site));
	y = pool(t, y, 3, site);
	for (int i = 0; i < INCEPTIONS; i++) {
		y = replace(t, y, inception_forward(t, &net->inception[i], y, site));
		if (aux && INCEPTION[i].aux == 1)
			out.aux1 = aux_forward(t, &net->aux1, y, site);
		if (aux && INCEPTION[i].aux == 2)
			out.aux2 = aux_forward(t, &net->aux2, y, site);
		if (INCEPTION[i].pool)
			y = pool(t, y, INCEPTION[i].pool, site);
	}
	out.logits = pool_and_classify(t, &net->dropout, &net->fc, net->no_head, y, site);
	return ebb_failed(t) ? (ebb_googlenet_logits){0} : out;
}

static ebb_tensor *smoothed_loss(
	ebb_tape *t, ebb_googlenet_logits y, ebb_tensor *labels, double smoothing, const char *site)
{
	return loss_with_aux(t, y.logits, 2, (ebb_tensor *const[]){y.aux1, y.aux2}, 0.3, labels,
		smoothing, site);
}

ebb_tensor *(ebb_googlenet_loss)(ebb_tape *t, ebb_googlenet_logits y, ebb_tensor *labels,
	const char *site)
{
	return smoothed_loss(t, y, labels, 0, site);
}

/* ---- The catalogue --------------------------------------------------------------------------- */

MODEL_MAKE(googlenet, ebb_googlenet_new, own.dropout = own.dropout_aux = a->dropout;
	   own.no_aux = a->no_aux)
MODEL_FORWARD(googlenet, .logits)

static ebb_tensor *loss(const ebb_model_loss_args *a, const void *net, ebb_tensor **logits)
{
	ebb_googlenet_logits y = (ebb_googlenet_forward)(a->t, net, a->x, a->site);

	*logits = y.logits;
	return smoothed_loss(a->t, y, a->labels, a->label_smoothing, a->site);
}

static const ebb_model_kind kind = {
	.size = sizeof(ebb_googlenet), .make = make, .forward = forward, .loss = loss};

#define PAPER "Szegedy et al.: Going Deeper with Convolutions, CVPR 2015"
const ebb_model_card ebb_googlenet_cards[] = {
	{"googlenet", "GoogLeNet", PAPER, 2015, 13004888, .kind = &kind,
		.head = "fc.* aux1.fc2.* aux2.fc2.*", .aux = "aux1.* aux2.*", IMAGENET,
		WEIGHTS({.name = "IMAGENET1K_V1",
			.file = "googlenet-1378be20.pth",
			.sha256 = "1378be20",
			.preprocess = HALF_INPUT(256, 224),
			.top1 = 69.778,
			.top5 = 89.53})},
	{0},
};
