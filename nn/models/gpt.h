/*
 * gpt.h - a language model of transformer layers.
 */
#ifndef EBB_MODELS_GPT_H
#define EBB_MODELS_GPT_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- GPT (gpt.c) -------------------------------------------------------------------------------
 *
 * Radford et al. 2019 (GPT-2) with a head of its own: learnt positions, pre-norm transformer layers
 * with GELU and causal attention, a final norm.  tok [vocabulary,width], pos [context,width],
 * layers.0 .. (ebb_transformer_layer), norm, head.  A size that is left out is that of the smallest
 * published model: vocabulary 50257, context 1024, 12 layers, 12 heads, width 768; .feedforward
 * defaults to 4*width, .kv_heads to heads, .dropout to 0.  Weights start as N(0, 0.02^2), those of
 * the 2*layers products that are added to x with 0.02/sqrt(2*layers), biases at 0. */
typedef struct ebb_gpt {
	ebb_embedding_layer tok, pos;
	ebb_drop dropout;
	int count;
	ebb_transformer_layer *layers;
	ebb_layernorm_layer norm;
	ebb_linear head;
	int64_t vocabulary, context;
} ebb_gpt;
typedef struct ebb_gpt_new_args {
	ebb_params *p;
	int64_t vocabulary, context, layers, heads, width;
	int64_t feedforward, kv_heads;
	double dropout;
	const char *site;
} ebb_gpt_new_args;
EBB_API ebb_gpt ebb_gpt_new(const ebb_gpt_new_args *a);
/* Keys and values of all layers, for generation (ebb_kv_cache); the capacity is the context. */
typedef struct ebb_gpt_cache {
	int count;
	ebb_kv_cache **layers;
} ebb_gpt_cache;
/* An empty cache for sequences of that batch size; NULL with an error in e. */
EBB_API ebb_gpt_cache *ebb_gpt_cache_new(const ebb_gpt *net, int64_t batch, ebb_error *e);
/* Reset or free the tapes that used the cache first.  c may be NULL. */
EBB_API void ebb_gpt_cache_free(ebb_gpt_cache *c);
/* The number of tokens in the cache; 0 for NULL. */
EBB_API int64_t ebb_gpt_cache_length(const ebb_gpt_cache *c);
/* Forgets all tokens but the first length; 0 begins anew.  Without effect if length is negative or
 * not less than the number of tokens. */
EBB_API void ebb_gpt_cache_truncate(ebb_gpt_cache *c, int64_t length);
/* tokens [..,L] of I64, 0 <= token < vocabulary, L <= context; logits [..,L,vocabulary], where row
 * i depends on the tokens 0 .. i.  With .cache (tokens [batch,L], or [L] for a batch of 1) the
 * tokens follow those in the cache and are appended to it; the tape must not record
 * (ebb_multihead_forward).  More tokens than the context are an error; after an error the cache has
 * its former length. */
typedef struct ebb_gpt_args {
	ebb_tape *t;
	const ebb_gpt *net;
	ebb_tensor *tokens;
	ebb_gpt_cache *cache;
	const char *site;
} ebb_gpt_args;
EBB_API ebb_tensor *ebb_gpt_forward(const ebb_gpt_args *a);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_gpt_new(...) EBB_CALL_ARGS(ebb_gpt_new, ebb_gpt_new_args, __VA_ARGS__)
#define ebb_gpt_forward(...) EBB_CALL_ARGS(ebb_gpt_forward, ebb_gpt_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
