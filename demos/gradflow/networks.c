/*
 * networks.c - the four networks: s->depth 3x3 convolutions of the same width, then global average
 * pooling and one linear layer.  The first convolution and the one after a third of the depth have
 * stride 2.
 *
 * In the residual network every two convolutions after the first have a residual connection (He et
 * al. 2016, with average pooling where the size halves).  With an even depth the last convolution
 * has one of its own.
 */
#include "gradflow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ebb_tensor *leaky_relu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_leaky_relu)(t, x, 0.01, site);
}

static ebb_tensor *elu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_elu)(t, x, 1.0, site);
}

static ebb_tensor *gelu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_gelu)(&(ebb_gelu_args){t, x, .site = site});
}

const char *const activation_names[] = {
	"relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid", NULL};

static const struct activation {
	const char *title;
	ebb_unary_op fn;
	bool saturates;
} activations[] = {
	{"ReLU", ebb_relu, false},
	{"leaky ReLU", leaky_relu, false},
	{"ELU", elu, false},
	{"GELU", gelu, false},
	{"SiLU", ebb_silu, false},
	{"softplus", ebb_softplus, false},
	{"tanh", ebb_tanh, true},
	{"sigmoid", ebb_sigmoid, true},
};

static const struct activation *activation_named(const char *name)
{
	for (int i = 0; activation_names[i]; i++)
		if (strcmp(name, activation_names[i]) == 0)
			return &activations[i];
	return &activations[0];
}

bool designs_of(const settings *s, design d[NETWORKS])
{
	ebb_error e = {0};
	const struct activation *first = activation_named("sigmoid");
	const struct activation *others = activation_named(s->activation);
	bool by_activation = strcmp(s->init, "default") == 0;
	ebb_init given = by_activation ? (ebb_init){0} : ebb_init_named(s->init, &e);

	if (e.status) {
		fprintf(stderr, "--init: %s\n", e.message);
		return false;
	}
	for (int i = 0; i < NETWORKS; i++) {
		const struct activation *a = i == 0 ? first : others;
		bool he = by_activation && !a->saturates;
		d[i] = (design){.activation = a->fn,
			.init = given,
			.batchnorm = i >= 2,
			.residual = i == 3};
		if (by_activation)
			d[i].init.kind = he ? EBB_INIT_KAIMING_NORMAL : EBB_INIT_XAVIER_UNIFORM;
		snprintf(d[i].name, sizeof d[i].name, "%s, %s%s",
			d[i].residual ? "residual" : "plain", a->title,
			d[i].batchnorm ? " + batch norm" : "");
		snprintf(d[i].about, sizeof d[i].about, "Convolution%s, %s%s. Initial weights: %s.",
			d[i].batchnorm ? ", batch norm" : " with bias", a->title,
			d[i].residual ? "; a residual connection around every two layers" : "",
			!by_activation ? s->init
			: he           ? "normal, scaled by fan-in for ReLU (He et al. 2015)"
			     : "uniform, scaled by fan-in and fan-out (Glorot & Bengio 2010)");
	}
	d[0].colour = 2;
	d[1].colour = 5;
	d[2].colour = 1;
	d[3].colour = 3;
	return true;
}

bool network_new(
	network *net, const design *d, ebb_params *p, const settings *s, int channels, int classes)
{
	*net = (network){.design = d, .depth = s->depth};
	net->layers = calloc((size_t)s->depth, sizeof *net->layers);
	if (!net->layers)
		return false;
	for (int i = 0; i < s->depth; i++) {
		layer *l = &net->layers[i];
		char name[16];
		snprintf(name, sizeof name, "layer%02d", i + 1);
		ebb_params *sub = ebb_params_sub(p, name);
		l->conv = ebb_conv_new(sub, "conv", i ? s->width : channels, s->width, 3, .pad = 1,
			.stride = i == 0 || i == s->depth / 3 ? 2 : 1, .no_bias = d->batchnorm,
			.init = d->init);
		if (d->batchnorm)
			l->bn = ebb_bn_new(sub, "bn", s->width);
	}
	net->head = ebb_linear_new(p, "head", s->width, classes);
	return true;
}

void network_free(network *net)
{
	free(net->layers);
	*net = (network){0};
}

/* shortcut: what is added before the activation, or NULL. */
static ebb_tensor *layer_forward(
	ebb_tape *t, const network *net, int i, ebb_tensor *x, ebb_tensor *shortcut)
{
	const layer *l = &net->layers[i];

	x = ebb_conv_forward(t, &l->conv, x);
	if (net->design->batchnorm)
		x = ebb_bn_forward(t, &l->bn, x);
	if (shortcut)
		x = ebb_add(t, x, shortcut);
	return net->design->activation(t, x, EBB_SITE);
}

ebb_tensor *network_forward(ebb_tape *t, const network *net, ebb_tensor *x)
{
	ebb_tensor *shortcut = NULL;
	int half = net->depth / 3; /* this layer halves the size */

	for (int i = 0; i < net->depth; i++) {
		bool ends = i > 0 && (i % 2 == 0 || i == net->depth - 1);
		if (net->design->residual && i % 2 == 1)
			shortcut = i == half || i + 1 == half
			                   ? ebb_avgpool2d(t, x, .kernel = 2, .ceil_mode = true)
			                   : x;
		x = layer_forward(t, net, i, x, ends ? shortcut : NULL);
	}
	x = ebb_flatten(t, ebb_adaptive_avgpool2d(t, x));
	return ebb_linear_forward(t, &net->head, x);
}
