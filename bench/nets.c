/* nets.c - the networks that the benchmarks measure, behind one interface. */
#include "nets.h"

#include <stdlib.h>
#include <string.h>

/* ---- The MNIST networks of KANN and ggml ----------------------------------------------------- */

/* In a scope, so that the input of relu is released. */
static ebb_tensor *conv_relu(ebb_tape *t, const ebb_conv *l, ebb_tensor *x)
{
	ebb_scope_begin(t, "conv_relu");
	return ebb_scope_end(t, ebb_relu(t, ebb_conv_forward(t, l, x)));
}

/* conv_relu with a maximum pooling, which comes first as in ebb_sequential. */
static ebb_tensor *conv_relu_pool(ebb_tape *t, const ebb_conv *l, ebb_tensor *x)
{
	ebb_scope_begin(t, "pool");
	x = ebb_maxpool2d(t, ebb_conv_forward(t, l, x), .kernel = 2, .inplace = true);
	return ebb_scope_end(t, ebb_relu(t, x));
}

static net make_kann(ebb_params *p)
{
	return (net){.kann = {
			     .conv1 = ebb_conv_new(p, "conv1", 1, 32, 3),
			     .conv2 = ebb_conv_new(p, "conv2", 32, 32, 3),
			     .fc1 = ebb_linear_new(p, "fc1", 32 * 12 * 12, 128),
			     .fc2 = ebb_linear_new(p, "fc2", 128, 10),
		     }};
}

static ebb_tensor *kann(ebb_tape *t, const net *n, ebb_tensor *x)
{
	x = conv_relu_pool(t, &n->kann.conv2, conv_relu(t, &n->kann.conv1, x));
	x = ebb_dropout(t, x, 0.2);
	x = ebb_relu(t, ebb_linear_forward(t, &n->kann.fc1, ebb_flatten(t, x)));
	return ebb_linear_forward(t, &n->kann.fc2, ebb_dropout(t, x, 0.2));
}

static net make_ggml(ebb_params *p)
{
	return (net){.ggml = {
			     .conv1 = ebb_conv_new(p, "conv1", 1, 8, 3, .pad = 1),
			     .conv2 = ebb_conv_new(p, "conv2", 8, 16, 3, .pad = 1),
			     .fc = ebb_linear_new(p, "fc", 16 * 7 * 7, 10),
		     }};
}

static ebb_tensor *ggml(ebb_tape *t, const net *n, ebb_tensor *x)
{
	x = conv_relu_pool(t, &n->ggml.conv1, x);
	x = conv_relu_pool(t, &n->ggml.conv2, x);
	return ebb_linear_forward(t, &n->ggml.fc, ebb_flatten(t, x));
}

/* ---- The library's models -------------------------------------------------------------------- */

static net make_lenet(ebb_params *p)
{
	return (net){.lenet = ebb_lenet_new(p)};
}

static ebb_tensor *lenet(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_lenet_forward(t, &n->lenet, x);
}

static net make_resnet20(ebb_params *p)
{
	return (net){.cifar_resnet = ebb_cifar_resnet_new(p, 20)};
}

static net make_resnet56(ebb_params *p)
{
	return (net){.cifar_resnet = ebb_cifar_resnet_new(p, 56)};
}

static net make_plain20(ebb_params *p)
{
	return (net){.cifar_resnet = ebb_cifar_resnet_new(p, 20, .plain = true)};
}

static net make_plain56(ebb_params *p)
{
	return (net){.cifar_resnet = ebb_cifar_resnet_new(p, 56, .plain = true)};
}

static ebb_tensor *cifar_resnet(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_cifar_resnet_forward(t, &n->cifar_resnet, x);
}

static net make_resnet18(ebb_params *p)
{
	return (net){.resnet = ebb_resnet_new(p, 18)};
}

static net make_resnet34(ebb_params *p)
{
	return (net){.resnet = ebb_resnet_new(p, 34)};
}

static ebb_tensor *resnet(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_resnet_forward(t, &n->resnet, x);
}

static net make_vgg11(ebb_params *p)
{
	return (net){.vgg = ebb_vgg_new(p, 11)};
}

static ebb_tensor *vgg(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_vgg_forward(t, &n->vgg, x);
}

static net make_alexnet(ebb_params *p)
{
	return (net){.alexnet = ebb_alexnet_new(p)};
}

static ebb_tensor *alexnet(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_alexnet_forward(t, &n->alexnet, x);
}

static net make_googlenet(ebb_params *p)
{
	return (net){.googlenet = ebb_googlenet_new(p)};
}

static ebb_tensor *googlenet(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_googlenet_forward(t, &n->googlenet, x).logits;
}

static ebb_tensor *googlenet_loss(ebb_tape *t, const net *n, ebb_tensor *x, ebb_tensor *labels)
{
	return ebb_googlenet_loss(t, ebb_googlenet_forward(t, &n->googlenet, x), labels);
}

gpt_sizes net_gpt = {128, 128, 2, 4, 96};

static net make_gpt(ebb_params *p)
{
	return (net){.gpt = ebb_gpt_new(p, net_gpt.vocabulary, net_gpt.context, net_gpt.layers,
			     net_gpt.heads, net_gpt.width)};
}

static ebb_tensor *gpt(ebb_tape *t, const net *n, ebb_tensor *x)
{
	return ebb_reshape(t, ebb_gpt_forward(t, &n->gpt, x), EBB_SHAPE(-1, net_gpt.vocabulary));
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const net_kind KINDS[] = {
	{"lenet", make_lenet, lenet, NULL, 64, 1, 28, 10},
	{"resnet20", make_resnet20, cifar_resnet, NULL, 128, 3, 32, 10},
	{"resnet56", make_resnet56, cifar_resnet, NULL, 128, 3, 32, 10},
	{"plain20", make_plain20, cifar_resnet, NULL, 128, 3, 32, 10},
	{"plain56", make_plain56, cifar_resnet, NULL, 128, 3, 32, 10},
	{"resnet18", make_resnet18, resnet, NULL, 16, 3, 224, 1000},
	{"resnet34", make_resnet34, resnet, NULL, 16, 3, 224, 1000},
	{"vgg11", make_vgg11, vgg, NULL, 8, 3, 224, 1000},
	{"alexnet", make_alexnet, alexnet, NULL, 32, 3, 224, 1000},
	{"googlenet", make_googlenet, googlenet, googlenet_loss, 8, 3, 224, 1000},
	{"kannnet", make_kann, kann, NULL, 64, 1, 28, 10},
	{"ggmlnet", make_ggml, ggml, NULL, 500, 1, 28, 10},
	{"gpt", make_gpt, gpt, NULL, 16, 0, 0, 0},
};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

const net_kind *net_kind_named(const char *name)
{
	for (int i = 0; i < KIND_COUNT; i++)
		if (!strcmp(KINDS[i].name, name))
			return &KINDS[i];
	return NULL;
}

const char *net_kind_names(void)
{
	static char names[200];

	for (int i = 0; !names[0] || i < KIND_COUNT; i++) {
		if (i > 0)
			strncat(names, ", ", sizeof names - strlen(names) - 1);
		strncat(names, KINDS[i].name, sizeof names - strlen(names) - 1);
	}
	return names;
}

ebb_tensor *net_loss(
	ebb_tape *t, const net_kind *kind, const net *n, ebb_tensor *x, ebb_tensor *labels)
{
	if (kind->loss)
		return kind->loss(t, n, x, labels);
	return ebb_cross_entropy(t, kind->logits(t, n, x), labels);
}

/* An I64 tensor of random numbers below count. */
static ebb_tensor *random_indices(ebb_shape shape, int count)
{
	ebb_tensor *x = ebb_tensor_new(EBB_I64, shape, false, NULL);
	int64_t *v = ebb_data_mutable(x), n = ebb_count(x);

	for (int64_t i = 0; v && i < n; i++)
		v[i] = rand() % count;
	return x;
}

void net_batch(const net_kind *kind, int batch, ebb_tensor **x, ebb_tensor **labels)
{
	ebb_shape shape = EBB_SHAPE(batch, kind->channels, kind->side, kind->side);
	ebb_init normal = EBB_INIT(EBB_INIT_NORMAL);

	srand(1);
	if (kind->logits == gpt) {
		*x = random_indices(EBB_SHAPE(batch, net_gpt.context), net_gpt.vocabulary);
		*labels = random_indices(EBB_SHAPE(batch * net_gpt.context), net_gpt.vocabulary);
		return;
	}
	*x = ebb_tensor_new(EBB_F32, shape, true, NULL);
	ebb_init_fill(*x, &normal, 1, 0, NULL);
	*labels = random_indices(EBB_SHAPE(batch), kind->classes);
}
