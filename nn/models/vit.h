/*
 * vit.h - the vision transformer.
 */
#ifndef EBB_MODELS_VIT_H
#define EBB_MODELS_VIT_H

#include "../attention.h"
#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Vision transformer (vit.c) ----------------------------------------------------------------
 *
 * Dosovitskiy et al. 2021.  The image is cut into patches of .patch x .patch pixels, which a linear
 * map (conv_proj) makes tokens of .width numbers; class_token precedes them, and
 * encoder.pos_embedding is added.  A block computes
 *
 *     x = x + dropout(self_attention(ln_1(x)))
 *     y = x + mlp.4(mlp.3(mlp.2(gelu(mlp.0(ln_2(x))))))
 *
 * where mlp.0 and mlp.3 are linear layers, mlp.2 and mlp.4 dropouts, and gelu is exact.  The layer
 * heads.head maps the result encoder.ln(y) of the class token to the logits.
 *
 * x [N,3,.image,.image]; another size is an error, because encoder.pos_embedding has one row per
 * patch.  Parameters: class_token [1,1,width], conv_proj [width,3,patch,patch],
 * encoder.pos_embedding [1,1 + (image/patch)^2,width], encoder.layers.encoder_layer_0.ln_1,
 * .self_attention.in_proj_weight, .in_proj_bias, .out_proj, .ln_2, .mlp.0, .mlp.3, ..,
 * encoder.ln, heads.head.  The defaults are ViT-B/16: .image 224, .patch 16, .layers 12, .heads 12,
 * .width 768, .feedforward 3072, 1000 classes; 86,567,656 parameters.  eps is 1e-6.
 *
 * conv_proj starts as LeCun normal, encoder.pos_embedding as N(0, 0.02^2), self_attention as
 * ebb_multihead_new says, mlp.0 and mlp.3 as Xavier uniform with biases N(0, 1e-12); class_token,
 * heads.head and other biases start at 0.  .dropout (default 0) is the rate of all dropouts; weights
 * of the attention are not dropped.  .no_head: the features are [N,width].
 *
 * An image that the patches do not divide, and a number of layers below 1, are errors. */
typedef struct ebb_vit_block {
	const char *name;
	ebb_layernorm_layer ln_1, ln_2;
	ebb_multihead attention;
	ebb_linear expand, project;           /* mlp.0, mlp.3 */
	ebb_drop dropout, dropout1, dropout2; /* dropout, mlp.2, mlp.4 */
} ebb_vit_block;
typedef struct ebb_vit {
	ebb_tensor *class_token, *pos_embedding;
	ebb_conv conv_proj;
	ebb_drop dropout;
	int count;
	ebb_vit_block *blocks;
	ebb_layernorm_layer ln;
	ebb_linear head;
	int64_t image;
	bool no_head;
} ebb_vit;
typedef struct ebb_vit_new_args {
	ebb_params *p;
	int image, patch, layers;
	int64_t heads, width, feedforward;
	int64_t classes;
	double dropout;
	bool no_head;
	const char *site;
} ebb_vit_new_args;
EBB_API ebb_vit ebb_vit_new(const ebb_vit_new_args *a);
EBB_API ebb_tensor *ebb_vit_forward(
	ebb_tape *t, const ebb_vit *net, ebb_tensor *x, const char *site);

#define ebb_vit_new(...) EBB_CALL_ARGS(ebb_vit_new, ebb_vit_new_args, __VA_ARGS__)
#define ebb_vit_forward(...) EBB_CALL(ebb_vit_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
