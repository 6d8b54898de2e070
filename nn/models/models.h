/*
 * models.h - well-known networks, each a struct of layers and a function.
 *
 * Parameters have torchvision's names, shapes and order, so that its weights load unchanged; the
 * names of a GPT are its own.
 * NAME_new adds the parameters below p and returns the model by value; the memory that it points to
 * belongs to the store.  On failure the error is in the store, and the model's forward function
 * fails the tape.  .classes of 0 means the published number.
 *
 * NAME_forward maps images x [N,channels,H,W] to logits [N,classes], or tokens to logits
 * (ebb_gpt_forward).  Blocks are scopes with the names of their parameters ("layer1.0").  A value that no gradient reads is released as soon as
 * the next one is computed: without recording, little more than one block's values are in memory at
 * a time.  The sources in nn/models/ are examples: copy them to start a network of your own.
 */
#ifndef EBB_MODELS_H
#define EBB_MODELS_H

#include "../nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- LeNet-5 (lenet.c) ------------------------------------------------------------------------
 *
 * LeCun et al. 1998, with ReLU and max pooling.  x [N,1,28,28]; conv1, conv2, fc1, fc2, fc3; 10
 * classes, 61,706 parameters with PyTorch's initial values. */
typedef struct ebb_lenet {
	ebb_conv conv1, conv2;
	ebb_linear fc1, fc2, fc3;
} ebb_lenet;
typedef struct ebb_lenet_new_args {
	ebb_params *p;
	int64_t classes;
	const char *site;
} ebb_lenet_new_args;
EBB_API ebb_lenet ebb_lenet_new(const ebb_lenet_new_args *a);
EBB_API ebb_tensor *ebb_lenet_forward(
	ebb_tape *t, const ebb_lenet *net, ebb_tensor *x, const char *site);

/* ---- Residual networks for CIFAR (cifar_resnet.c) ----------------------------------------------
 *
 * He et al. 2016, section 4.2: depth 6n+2 (20, 32, 44, 56, 110, ...), three stages of n blocks with
 * 16, 32 and 64 channels.  At the beginning of a stage, the shortcut takes every other pixel of x
 * and adds channels of zeros, half of them on either side (the paper's option A, without
 * parameters).  .plain leaves the shortcuts out.  x [N,3,H,W]; conv1, bn1, layer1.0.conv1, ..
 * layer3.2.bn2, linear; 10 classes. Convolutions start as Kaiming normal by fan_out.  Another depth
 * is an error. */
typedef struct ebb_cifar_block {
	const char *name;
	ebb_conv conv1;
	ebb_bn bn1;
	ebb_conv conv2;
	ebb_bn bn2;
	int64_t widen; /* channels that the block adds */
	bool plain;
} ebb_cifar_block;
typedef struct ebb_cifar_resnet {
	ebb_conv conv1;
	ebb_bn bn1;
	int count;
	ebb_cifar_block *blocks;
	ebb_linear linear;
} ebb_cifar_resnet;
typedef struct ebb_cifar_resnet_new_args {
	ebb_params *p;
	int depth;
	bool plain;
	int64_t classes;
	const char *site;
} ebb_cifar_resnet_new_args;
EBB_API ebb_cifar_resnet ebb_cifar_resnet_new(const ebb_cifar_resnet_new_args *a);
EBB_API ebb_tensor *ebb_cifar_resnet_forward(
	ebb_tape *t, const ebb_cifar_resnet *net, ebb_tensor *x, const char *site);

/* ---- Residual networks for ImageNet (resnet.c) -------------------------------------------------
 *
 * He et al. 2016, with basic blocks: depth 18 or 34; another is an error.  x [N,3,H,W], 224 x
 * 224 as published; conv1, bn1, layer1.0.conv1, .. layer4.1.bn2, fc, and layerK.0.downsample.0
 * (1x1 convolution) and .1 (batch norm) where the shape changes; 1000 classes, 11,689,512 and
 * 21,797,672 parameters.  Convolutions start as Kaiming normal by fan_out. */
typedef struct ebb_resnet_block {
	const char *name;
	ebb_conv conv1;
	ebb_bn bn1;
	ebb_conv conv2;
	ebb_bn bn2;
	ebb_conv downsample; /* empty: the shortcut is x itself */
	ebb_bn downsample_bn;
} ebb_resnet_block;
typedef struct ebb_resnet {
	ebb_conv conv1;
	ebb_bn bn1;
	int count;
	ebb_resnet_block *blocks;
	ebb_linear fc;
} ebb_resnet;
typedef struct ebb_resnet_new_args {
	ebb_params *p;
	int depth;
	int64_t classes;
	const char *site;
} ebb_resnet_new_args;
EBB_API ebb_resnet ebb_resnet_new(const ebb_resnet_new_args *a);
EBB_API ebb_tensor *ebb_resnet_forward(
	ebb_tape *t, const ebb_resnet *net, ebb_tensor *x, const char *site);

/* ---- VGG-11 (vgg.c) ----------------------------------------------------------------------------
 *
 * Simonyan & Zisserman 2015, configuration A, without batch norm.  x [N,3,H,W], 224 x 224 as
 * published; features.0 .. features.18, pooled to 7 x 7, classifier.0, .3, .6; 1000 classes,
 * 132,863,336 parameters.  Convolutions start as Kaiming normal by fan_out, the others as N(0,
 * 0.01^2), biases at 0.  .dropout defaults to 0.5. */
typedef struct ebb_vgg {
	ebb_sequential *features, *classifier;
} ebb_vgg;
typedef struct ebb_vgg_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	const char *site;
} ebb_vgg_new_args;
EBB_API ebb_vgg ebb_vgg11_new(const ebb_vgg_new_args *a);
EBB_API ebb_tensor *ebb_vgg_forward(
	ebb_tape *t, const ebb_vgg *net, ebb_tensor *x, const char *site);

/* ---- AlexNet (alexnet.c) -----------------------------------------------------------------------
 *
 * Krizhevsky et al. 2012, in the single-GPU form of Krizhevsky 2014.  x [N,3,H,W], 224 x 224 as
 * published; features.0 .. features.10, pooled to 6 x 6, classifier.1, .4, .6; 1000 classes,
 * 61,100,840 parameters with PyTorch's initial values.  .dropout defaults to 0.5. */
typedef struct ebb_alexnet {
	ebb_sequential *features, *classifier;
} ebb_alexnet;
typedef struct ebb_alexnet_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout;
	const char *site;
} ebb_alexnet_new_args;
EBB_API ebb_alexnet ebb_alexnet_new(const ebb_alexnet_new_args *a);
EBB_API ebb_tensor *ebb_alexnet_forward(
	ebb_tape *t, const ebb_alexnet *net, ebb_tensor *x, const char *site);

/* ---- GoogLeNet (googlenet.c) -------------------------------------------------------------------
 *
 * Szegedy et al. 2015 in torchvision's version: with batch norm (eps 1e-3), and with 3x3
 * convolutions instead of the paper's 5x5.  x [N,3,H,W], 224 x 224 as published; conv1 .. conv3,
 * inception3a .. inception5b, aux1, aux2, fc; 1000 classes, 13,004,888 parameters with PyTorch's
 * initial values.
 * .dropout defaults to 0.2, .dropout_aux, of the two intermediate classifiers, to 0.7; .no_aux
 * leaves these out.  .transform_input converts images that are normalised as for the other models
 * to the range (-1, 1), which torchvision's published weights expect. */
typedef struct ebb_conv_bn {
	const char *name;
	ebb_conv conv;
	ebb_bn bn;
} ebb_conv_bn;
typedef struct ebb_inception {
	const char *name;
	ebb_conv_bn branch1, branch2[2], branch3[2], branch4;
} ebb_inception;
typedef struct ebb_googlenet_aux {
	const char *name;
	ebb_conv_bn conv;
	ebb_linear fc1, fc2;
	ebb_drop dropout;
} ebb_googlenet_aux;
typedef struct ebb_googlenet {
	ebb_conv_bn conv1, conv2, conv3;
	ebb_inception *inception; /* 3a, 3b, 4a .. 4e, 5a, 5b */
	ebb_googlenet_aux aux1, aux2;
	ebb_drop dropout;
	ebb_linear fc;
	bool no_aux, transform_input;
} ebb_googlenet;
typedef struct ebb_googlenet_new_args {
	ebb_params *p;
	int64_t classes;
	double dropout, dropout_aux;
	bool no_aux, transform_input;
	const char *site;
} ebb_googlenet_new_args;
/* The logits of the network, and of the intermediate classifiers after 4a and 4d.  The latter are
 * NULL in evaluation mode and with .no_aux. */
typedef struct ebb_googlenet_logits {
	ebb_tensor *logits, *aux1, *aux2;
} ebb_googlenet_logits;
EBB_API ebb_googlenet ebb_googlenet_new(const ebb_googlenet_new_args *a);
/* On failure every member is NULL. */
EBB_API ebb_googlenet_logits ebb_googlenet_forward(
	ebb_tape *t, const ebb_googlenet *net, ebb_tensor *x, const char *site);
/* cross_entropy(logits) + 0.3*(cross_entropy(aux1) + cross_entropy(aux2)), without aux1 and aux2 if
 * they are NULL; labels as for ebb_cross_entropy. */
EBB_API ebb_tensor *ebb_googlenet_loss(
	ebb_tape *t, ebb_googlenet_logits y, ebb_tensor *labels, const char *site);

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

#define ebb_lenet_new(...) EBB_CALL_ARGS(ebb_lenet_new, ebb_lenet_new_args, __VA_ARGS__)
#define ebb_lenet_forward(...) EBB_CALL(ebb_lenet_forward, __VA_ARGS__)
#define ebb_cifar_resnet_new(...)                                                                  \
	EBB_CALL_ARGS(ebb_cifar_resnet_new, ebb_cifar_resnet_new_args, __VA_ARGS__)
#define ebb_cifar_resnet_forward(...) EBB_CALL(ebb_cifar_resnet_forward, __VA_ARGS__)
#define ebb_resnet_new(...) EBB_CALL_ARGS(ebb_resnet_new, ebb_resnet_new_args, __VA_ARGS__)
#define ebb_resnet_forward(...) EBB_CALL(ebb_resnet_forward, __VA_ARGS__)
#define ebb_vgg11_new(...) EBB_CALL_ARGS(ebb_vgg11_new, ebb_vgg_new_args, __VA_ARGS__)
#define ebb_vgg_forward(...) EBB_CALL(ebb_vgg_forward, __VA_ARGS__)
#define ebb_alexnet_new(...) EBB_CALL_ARGS(ebb_alexnet_new, ebb_alexnet_new_args, __VA_ARGS__)
#define ebb_alexnet_forward(...) EBB_CALL(ebb_alexnet_forward, __VA_ARGS__)
#define ebb_googlenet_new(...) EBB_CALL_ARGS(ebb_googlenet_new, ebb_googlenet_new_args, __VA_ARGS__)
#define ebb_googlenet_forward(...) EBB_CALL(ebb_googlenet_forward, __VA_ARGS__)
#define ebb_googlenet_loss(...) EBB_CALL(ebb_googlenet_loss, __VA_ARGS__)
#define ebb_gpt_new(...) EBB_CALL_ARGS(ebb_gpt_new, ebb_gpt_new_args, __VA_ARGS__)
#define ebb_gpt_forward(...) EBB_CALL_ARGS(ebb_gpt_forward, ebb_gpt_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
