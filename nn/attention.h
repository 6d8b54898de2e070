/*
 * attention.h - multi-head attention, the cache of its keys and values, and transformer layers.
 *
 * NAME_new and NAME_forward behave as those of the layers in nn.h.  Names, shapes, order and initial
 * values of the parameters are PyTorch's, so that the weights of torch.nn.MultiheadAttention and
 * torch.nn.TransformerEncoderLayer load unchanged.
 */
#ifndef EBB_NN_ATTENTION_H
#define EBB_NN_ATTENTION_H

#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Multi-head attention (attention.c) ----------------------------------------------------- */

/* y = W_o concat(head_0, .., head_H-1) + b_o with head_i = attention(q_i, k_i, v_i) (ebb_attention)
 * of q = W_q x + b_q, k = W_k m + b_k and v = W_v m + b_v, where m is x or the memory.  x [..,L,D],
 * y [..,L,D]; head i reads columns i*E .. i*E+E-1 of q, E = D/heads.  Vaswani et al. 2017
 *
 * in_proj_weight [(heads + 2 kv_heads)*E,D] has the rows of W_q, W_k and W_v, in_proj_bias their
 * biases; out_proj.weight [D,D], out_proj.bias [D].  With .kv_heads (default heads), which divides
 * heads, groups of heads/kv_heads heads share keys and values (Ainslie et al. 2023); this has no
 * counterpart in PyTorch.  .kdim and .vdim (default D) are the widths of the memory for keys and
 * for values; if one of them is not D, q_proj_weight [D,D], k_proj_weight [kv_heads*E,kdim] and
 * v_proj_weight [kv_heads*E,vdim] replace in_proj_weight.
 *
 * Projections of inputs start as Xavier uniform, out_proj.weight as U(-1/sqrt(D), 1/sqrt(D)), biases
 * at 0.  .init replaces the first two, .out_init the second.  While the tape trains, .dropout is
 * the probability with which each weight of the attention is set to 0. */
typedef struct ebb_multihead {
	const char *name, *heads_name;
	ebb_tensor *in_proj_weight, *q_proj_weight, *k_proj_weight, *v_proj_weight, *in_proj_bias;
	ebb_linear out_proj;
	int64_t heads, kv_heads;
	double dropout;
} ebb_multihead;
typedef struct ebb_multihead_new_args {
	ebb_params *p;
	const char *name;
	int64_t width, heads;
	int64_t kv_heads, kdim, vdim;
	double dropout;
	bool no_bias;
	ebb_init init, out_init;
	const char *site;
} ebb_multihead_new_args;
EBB_API ebb_multihead ebb_multihead_new(const ebb_multihead_new_args *a);

/* Keys and values of the tokens that a layer has processed, for generation token by token: a call
 * with n tokens computes the projections of these n only, and costs O(n*(length + n)) instead of
 * O((length + n)^2).  The first length of capacity rows are in use; a smaller length forgets the
 * last tokens, and 0 begins anew. */
typedef struct ebb_kv_cache {
	ebb_tensor *keys, *values; /* [batch,capacity,kv_heads,E], persistent */
	int64_t length;
} ebb_kv_cache;
/* An empty cache for the layer, in the type of its parameters.  NULL with an error in e for a layer
 * that was not created, a batch or capacity below 1, or no memory. */
EBB_API ebb_kv_cache *ebb_kv_cache_new(
	const ebb_multihead *l, int64_t batch, int64_t capacity, ebb_error *e);
/* Reset or free the tapes that used the cache first.  c may be NULL. */
EBB_API void ebb_kv_cache_free(ebb_kv_cache *c);

/* The keys and values are those of .memory [..,S,kdim] (cross-attention), or of x if it is left
 * out; values are computed from .values [..,S,vdim] if it is given.  The leading axes of x and the
 * memory broadcast.  .mask and .causal are ebb_attention's: a mask broadcasts to [..,heads,L,S], so
 * a mask of padding [B,S] is passed as [B,1,1,S].
 *
 * With .cache, x is [batch,n,D] (or [n,D] for a batch of 1): keys and values of the n tokens are
 * appended to the cache, and the queries attend to all that it holds, with .causal to those before
 * and including their own.  It is an error (EBB_BAD_STATE) if the tokens exceed the capacity, or if
 * the tape records a gradient, because the next call overwrites the cache; with .memory it is
 * invalid.  After a failure the cache has its former length.
 *
 * The concatenated heads are the result of the scope "name.heads", and y of the scope "name". */
typedef struct ebb_multihead_args {
	ebb_tape *t;
	const ebb_multihead *l;
	ebb_tensor *x;
	ebb_tensor *memory, *values, *mask;
	bool causal;
	ebb_kv_cache *cache;
	const char *site;
} ebb_multihead_args;
EBB_API ebb_tensor *ebb_multihead_forward(const ebb_multihead_args *a);

/* ---- Transformer layers (transformer.c) ----------------------------------------------------- */

typedef enum ebb_activation { EBB_ACTIVATION_RELU, EBB_ACTIVATION_GELU } ebb_activation;

/* A layer of an encoder, or with .causal of a decoder without memory (Vaswani et al. 2017):
 *
 *     x = norm1(x + dropout1(self_attn(x)))
 *     y = norm2(x + dropout2(linear2(dropout(activation(linear1(x))))))
 *
 * and with .norm_first (Xiong et al. 2020)
 *
 *     x = x + dropout1(self_attn(norm1(x)))
 *     y = x + dropout2(linear2(dropout(activation(linear1(norm2(x))))))
 *
 * x [..,L,width].  With GELU the scope linear1 ends with the product without its bias, which the
 * activation adds (ebb_gelu).  Parameters, in PyTorch's order: self_attn.*, linear1.* [feedforward,width],
 * linear2.* [width,feedforward], norm1.*, norm2.*.  Defaults are PyTorch's: .feedforward 2048,
 * .dropout 0.1 (EBB_ZERO: none), .eps 1e-5, ReLU.  .init is for all projections, and .out_init for
 * those whose result is added to x (self_attn.out_proj, linear2); the others start as the layers'
 * defaults, and with .init the biases of linear1 and linear2 at 0. */
typedef struct ebb_transformer_layer {
	const char *name;
	ebb_multihead self_attn;
	ebb_linear linear1, linear2;
	ebb_layernorm_layer norm1, norm2;
	ebb_drop dropout, dropout1, dropout2;
	ebb_activation activation;
	bool norm_first;
} ebb_transformer_layer;
typedef struct ebb_transformer_layer_new_args {
	ebb_params *p;
	const char *name;
	int64_t width, heads;
	int64_t feedforward, kv_heads;
	double dropout, eps;
	ebb_activation activation;
	bool norm_first;
	ebb_init init, out_init;
	const char *site;
} ebb_transformer_layer_new_args;
EBB_API ebb_transformer_layer ebb_transformer_layer_new(const ebb_transformer_layer_new_args *a);
/* .mask, .causal and .cache are those of ebb_multihead_forward. */
typedef struct ebb_transformer_layer_args {
	ebb_tape *t;
	const ebb_transformer_layer *l;
	ebb_tensor *x;
	ebb_tensor *mask;
	bool causal;
	ebb_kv_cache *cache;
	const char *site;
} ebb_transformer_layer_args;
EBB_API ebb_tensor *ebb_transformer_layer_forward(const ebb_transformer_layer_args *a);

#define ebb_multihead_new(...) EBB_CALL_ARGS(ebb_multihead_new, ebb_multihead_new_args, __VA_ARGS__)
#define ebb_multihead_forward(...)                                                                 \
	EBB_CALL_ARGS(ebb_multihead_forward, ebb_multihead_args, __VA_ARGS__)
#define ebb_transformer_layer_new(...)                                                             \
	EBB_CALL_ARGS(ebb_transformer_layer_new, ebb_transformer_layer_new_args, __VA_ARGS__)
#define ebb_transformer_layer_forward(...)                                                         \
	EBB_CALL_ARGS(ebb_transformer_layer_forward, ebb_transformer_layer_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
