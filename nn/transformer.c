/*
 * transformer.c - the layer of a transformer: attention, then a perceptron on each token.
 */
#include "nn/internal.h"

ebb_transformer_layer(ebb_transformer_layer_new)(const ebb_transformer_layer_new_args *a)
{
	ebb_transformer_layer l = {.activation = a->activation, .norm_first = a->norm_first};
	int64_t hidden = ebb_option_count(a->feedforward, 2048);
	double rate = ebb_option(a->dropout, 0.1);
	ebb_init out = a->out_init.kind == EBB_INIT_DEFAULT ? a->init : a->out_init;
	const char *site = a->site;
	ebb_params *p;

	l.name = ebb_params_name_of(a->p, "transformer_layer_new", a->name, site);
	if (!l.name)
		return (ebb_transformer_layer){0};
	if (a->activation != EBB_ACTIVATION_RELU && a->activation != EBB_ACTIVATION_GELU) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"transformer_layer_new: \"%s\" with activation %d: expected "
			"EBB_ACTIVATION_RELU or EBB_ACTIVATION_GELU",
			l.name, (int)a->activation);
		return (ebb_transformer_layer){0};
	}
	p = ebb_params_sub(a->p, a->name);
	l.self_attn = (ebb_multihead_new)(&(ebb_multihead_new_args){.p = p,
		.name = "self_attn",
		.width = a->width,
		.heads = a->heads,
		.kv_heads = a->kv_heads,
		.dropout = rate,
		.init = a->init,
		.out_init = out,
		.site = site});
	l.linear1 = (ebb_linear_new)(&(ebb_linear_new_args){
		p, "linear1", a->width, hidden, .init = a->init, .site = site});
	l.linear2 = (ebb_linear_new)(&(ebb_linear_new_args){
		p, "linear2", hidden, a->width, .init = out, .site = site});
	l.norm1 = (ebb_layernorm_new)(&(ebb_layernorm_new_args){
		p, "norm1", a->width, .eps = a->eps, .site = site});
	l.norm2 = (ebb_layernorm_new)(&(ebb_layernorm_new_args){
		p, "norm2", a->width, .eps = a->eps, .site = site});
	l.dropout = (ebb_drop_new)(p, "dropout", rate, site);
	l.dropout1 = (ebb_drop_new)(p, "dropout1", rate, site);
	l.dropout2 = (ebb_drop_new)(p, "dropout2", rate, site);
	return ebb_params_error(a->p) ? (ebb_transformer_layer){0} : l;
}

/* Returns y and releases x, which y was computed from and which is not read again. */
static ebb_tensor *instead(ebb_tape *t, ebb_tensor *x, ebb_tensor *y)
{
	if (x != y)
		ebb_release(t, x);
	return y;
}

static ebb_tensor *drop(ebb_tape *t, const ebb_drop *l, ebb_tensor *x, const char *site)
{
	if (l->rate == 0 || !ebb_is_training(t))
		return x;
	return instead(t, x, (ebb_drop_forward)(t, l, x, site));
}

static ebb_tensor *norm(ebb_tape *t, const ebb_layernorm_layer *l, ebb_tensor *x, const char *site)
{
	return (ebb_layernorm_forward)(t, l, x, site);
}

static ebb_tensor *attend(const ebb_transformer_layer_args *a, ebb_tensor *x)
{
	ebb_tensor *y = (ebb_multihead_forward)(&(ebb_multihead_args){.t = a->t,
		.l = &a->l->self_attn,
		.x = x,
		.mask = a->mask,
		.causal = a->causal,
		.cache = a->cache,
		.site = a->site});

	return drop(a->t, &a->l->dropout1, y, a->site);
}

/* activation(linear1(x)).  ebb_gelu adds the bias of linear1, because it sums the bias's gradient
 * while it computes the gradient of the product. */
static ebb_tensor *hidden(
	ebb_tape *t, const ebb_transformer_layer *l, ebb_tensor *x, const char *site)
{
	ebb_linear product = l->linear1;
	ebb_tensor *y;

	if (l->activation != EBB_ACTIVATION_GELU) {
		y = (ebb_linear_forward)(t, &l->linear1, x, site);
		return instead(t, y, (ebb_relu)(t, y, site));
	}
	product.bias = NULL;
	y = (ebb_linear_forward)(t, &product, x, site);
	return instead(t, y,
		(ebb_gelu)(&(ebb_gelu_args){
			.t = t, .x = y, .bias = l->linear1.bias, .site = site}));
}

static ebb_tensor *perceptron(
	ebb_tape *t, const ebb_transformer_layer *l, ebb_tensor *x, const char *site)
{
	ebb_tensor *y = drop(t, &l->dropout, hidden(t, l, x, site), site);

	y = instead(t, y, (ebb_linear_forward)(t, &l->linear2, y, site));
	return drop(t, &l->dropout2, y, site);
}

/* x + y; releases y, and with owned also x. */
static ebb_tensor *sum(ebb_tape *t, ebb_tensor *x, ebb_tensor *y, bool owned, const char *site)
{
	ebb_tensor *s = (ebb_add)(t, x, y, site);

	ebb_release(t, y);
	if (owned)
		ebb_release(t, x);
	return s;
}

ebb_tensor *(ebb_transformer_layer_forward)(const ebb_transformer_layer_args *a)
{
	const ebb_transformer_layer *l = a->l;
	ebb_tensor *x = a->x, *y;
	const char *site = a->site;
	ebb_tape *t = a->t;

	if (!l || !l->name)
		return ebb_fail(t, EBB_INVALID, site,
			"transformer_layer_forward: the layer is %s: it was not created, or its "
			"parameter store failed",
			l ? "empty" : "NULL");
	(ebb_scope_begin)(t, l->name, site);
	if (l->norm_first) {
		y = norm(t, &l->norm1, x, site);
		x = sum(t, x, instead(t, y, attend(a, y)), false, site);
		y = norm(t, &l->norm2, x, site);
		x = sum(t, x, instead(t, y, perceptron(t, l, y, site)), true, site);
	} else {
		y = sum(t, x, attend(a, x), false, site);
		x = instead(t, y, norm(t, &l->norm1, y, site));
		y = sum(t, x, perceptron(t, l, x, site), true, site);
		x = instead(t, y, norm(t, &l->norm2, y, site));
	}
	return (ebb_scope_end)(t, x, site);
}
