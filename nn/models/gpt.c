/*
 * gpt.c - a decoder-only transformer, the language model of Radford et al. 2019.
 */
#include "nn/models/internal.h"

#include <math.h>
#include <stdio.h>

/* ---- Making --------------------------------------------------------------------------------- */

#define SMALL EBB_INIT(EBB_INIT_NORMAL, .std = 0.02)

ebb_gpt(ebb_gpt_new)(const ebb_gpt_new_args *a)
{
	int64_t vocabulary = ebb_option_count(a->vocabulary, 50257);
	int64_t context = ebb_option_count(a->context, 1024);
	int64_t layers = ebb_option_count(a->layers, 12), heads = ebb_option_count(a->heads, 12);
	int64_t width = ebb_option_count(a->width, 768), hidden;
	double rate = a->dropout == 0 ? EBB_ZERO : a->dropout;
	const char *site = a->site;
	ebb_gpt net = {.vocabulary = vocabulary, .context = context};
	char name[32];

	if (vocabulary < 1 || context < 1 || layers < 1 || layers > INT32_MAX || heads < 1 ||
		width < 1 || __builtin_mul_overflow(width, (int64_t)4, &hidden)) {
		ebb_params_fail(a->p, EBB_INVALID, site,
			"gpt_new: vocabulary %lld, context %lld, layers %lld, heads %lld, width "
			"%lld: expected positive numbers",
			(long long)vocabulary, (long long)context, (long long)layers,
			(long long)heads, (long long)width);
		return net;
	}
	net.tok = ebb_embedding_new(a->p, "tok", vocabulary, width, .init = SMALL);
	net.pos = ebb_embedding_new(a->p, "pos", context, width, .init = SMALL);
	net.dropout = ebb_drop_new(a->p, "dropout", a->dropout);
	net.layers = ebb_params_alloc(a->p, (size_t)layers * sizeof *net.layers);
	/* A layer adds two results to x, so 2*layers results sum to the variance of one. */
	for (int i = 0; net.layers && i < layers; i++) {
		snprintf(name, sizeof name, "layers.%d", i);
		net.layers[net.count++] = ebb_transformer_layer_new(a->p, name, width, heads,
			.feedforward = ebb_option_count(a->feedforward, hidden),
			.kv_heads = a->kv_heads, .dropout = rate, .activation = EBB_ACTIVATION_GELU,
			.norm_first = true, .init = SMALL,
			.out_init =
				EBB_INIT(EBB_INIT_NORMAL, .std = 0.02 / sqrt(2 * (double)layers)));
	}
	net.norm = ebb_layernorm_new(a->p, "norm", width);
	net.head = ebb_linear_new(a->p, "head", width, vocabulary, .init = SMALL);
	return net;
}

/* ---- The cache ------------------------------------------------------------------------------ */

ebb_gpt_cache *ebb_gpt_cache_new(const ebb_gpt *net, int64_t batch, ebb_error *e)
{
	ebb_gpt_cache *c = ebb_alloc_zeroed(sizeof *c);
	size_t size = net ? (size_t)net->count * sizeof *c->layers : 0;

	if (c && size)
		c->layers = ebb_alloc_zeroed(size);
	if (!net || !net->count)
		ebb_error_set(e, EBB_INVALID, NULL, "gpt_cache_new: the model is %s",
			net ? "empty" : "NULL");
	else if (!c || !c->layers)
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "gpt_cache_new: no memory");
	while (c && c->layers && c->count < net->count) {
		c->layers[c->count] =
			ebb_kv_cache_new(&net->layers[c->count].self_attn, batch, net->context, e);
		if (!c->layers[c->count])
			break;
		c->count++;
	}
	if (c && c->layers && c->count == net->count)
		return c;
	if (c && c->layers) {
		for (int i = 0; i < c->count; i++)
			ebb_kv_cache_free(c->layers[i]);
		ebb_free(c->layers, size);
	}
	ebb_free(c, sizeof *c);
	return NULL;
}

void ebb_gpt_cache_free(ebb_gpt_cache *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->count; i++)
		ebb_kv_cache_free(c->layers[i]);
	ebb_free(c->layers, (size_t)c->count * sizeof *c->layers);
	ebb_free(c, sizeof *c);
}

int64_t ebb_gpt_cache_length(const ebb_gpt_cache *c)
{
	return c ? c->layers[0]->length : 0;
}

void ebb_gpt_cache_truncate(ebb_gpt_cache *c, int64_t length)
{
	for (int i = 0; c && i < c->count; i++)
		if (length >= 0 && length < c->layers[i]->length)
			c->layers[i]->length = length;
}

/* ---- Forward -------------------------------------------------------------------------------- */

static bool check(const ebb_gpt_args *a, int64_t past)
{
	const ebb_gpt *net = a->net;
	int64_t n;
	char text[240];

	if (!net || !net->layers || !net->count)
		return ebb_fail(a->t, EBB_INVALID, a->site,
			"gpt_forward: the model is %s: it was not created, or its parameter store "
			"failed",
			net ? "empty" : "NULL");
	if (!a->tokens || ebb_ndim(a->tokens) < 1)
		return ebb_fail(a->t, EBB_INVALID, a->site,
			"gpt_forward: expected tokens [..,L], got %s",
			a->tokens ? ebb_describe(a->tokens, text, sizeof text) : "NULL");
	if (a->cache && a->cache->count != net->count)
		return ebb_fail(a->t, EBB_INVALID, a->site,
			"gpt_forward: the cache has %d layers, the model has %d", a->cache->count,
			net->count);
	n = ebb_size(a->tokens, -1);
	if (n > net->context - past)
		return ebb_fail(a->t, past ? EBB_BAD_STATE : EBB_BAD_SHAPE, a->site,
			"gpt_forward: %lld tokens after %lld in the cache, but the context is %lld",
			(long long)n, (long long)past, (long long)net->context);
	return true;
}

ebb_tensor *(ebb_gpt_forward)(const ebb_gpt_args *a)
{
	const ebb_gpt *net = a->net;
	const char *site = a->site;
	ebb_tape *t = a->t;
	int64_t past = ebb_gpt_cache_length(a->cache);
	ebb_tensor *x, *y, *at;

	if (ebb_failed(t) || !check(a, past))
		return NULL;
	x = ebb_embedding_forward(t, &net->tok, a->tokens);
	ebb_scope_begin(t, net->pos.name);
	at = ebb_slice(t, net->pos.weight, 0, past, past + ebb_size(a->tokens, -1), 1);
	y = ebb_scope_end(t, ebb_add(t, x, at));
	x = replace(t, x, y);
	if (net->dropout.rate > 0 && ebb_is_training(t))
		x = replace(t, x, ebb_drop_forward(t, &net->dropout, x));
	for (int i = 0; i < net->count; i++)
		x = replace(t, x,
			ebb_transformer_layer_forward(t, &net->layers[i], x, .causal = true,
				.cache = a->cache ? a->cache->layers[i] : NULL));
	x = replace(t, x, ebb_layernorm_forward(t, &net->norm, x));
	x = replace(t, x, ebb_linear_forward(t, &net->head, x));
	if (!x)
		ebb_gpt_cache_truncate(a->cache, past);
	return x;
}
