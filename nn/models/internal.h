/*
 * internal.h - functions that several models use, and how the catalogue calls a model.
 */
#ifndef EBB_MODELS_INTERNAL_H
#define EBB_MODELS_INTERNAL_H

#include "nn/internal.h"
#include "nn/models/models.h"

/* EBB_SITE is the parameter site, which every function in nn/models/ has: an error inside a model
 * names the line that called the model. */
#undef EBB_SITE
#define EBB_SITE site

/* For convolutions before a ReLU: keeps the variance of the gradient in the backward pass (He et
 * al. 2015). */
#define KAIMING_FAN_OUT EBB_INIT(EBB_INIT_KAIMING_NORMAL, .fan_out = true)

/* Returns y and releases x, which y was computed from and which is not read again. */
static inline ebb_tensor *replace(ebb_tape *t, ebb_tensor *x, ebb_tensor *y)
{
	if (x != y)
		ebb_release(t, x);
	return y;
}

/* relu(bn(conv(x)) + residual), residual may be NULL */
static inline ebb_tensor *conv_bn_relu(ebb_tape *t, const ebb_conv *conv, const ebb_bn *bn,
	ebb_tensor *x, ebb_tensor *residual, const char *site)
{
	ebb_tensor *y = ebb_conv_forward(t, conv, x);

	return replace(t, y, ebb_bn_relu_forward(t, bn, y, residual));
}

static inline ebb_tensor *no_model(ebb_tape *t, const char *what, const char *site)
{
	return ebb_fail(t, EBB_INVALID, site, "%s: the model is NULL", what);
}

/* The last layer of a model, or y itself in a model without one. */
static inline ebb_tensor *head_forward(
	ebb_tape *t, const ebb_linear *head, bool no_head, ebb_tensor *y, const char *site)
{
	return no_head ? y : replace(t, y, ebb_linear_forward(t, head, y));
}

/* The head's result for the mean over all positions of y, after dropout (NULL: none); releases y. */
static inline ebb_tensor *pool_and_classify(ebb_tape *t, const ebb_drop *dropout,
	const ebb_linear *head, bool no_head, ebb_tensor *y, const char *site)
{
	y = replace(t, y, ebb_adaptive_avgpool2d(t, y));
	y = replace(t, y, ebb_flatten(t, y));
	if (dropout)
		y = replace(t, y, ebb_drop_forward(t, dropout, y));
	return head_forward(t, head, no_head, y, site);
}

/* ---- Residual networks ------------------------------------------------------------------------ */

/* A convolution without bias; the padding keeps the size at stride 1. */
static inline ebb_conv residual_conv(ebb_params *p, const char *name, int64_t in, int64_t out,
	int kernel, int stride, int groups, const char *site)
{
	return ebb_conv_new(p, name, in, out, kernel, .stride = stride, .pad = kernel / 2,
		.groups = groups, .no_bias = true, .init = KAIMING_FAN_OUT);
}

/* ---- Inverted residuals: MobileNet v2 and EfficientNet --------------------------------------- */

/* A convolution c, of which channels, kernel, stride and groups are read, then batch norm and the
 * activation (NULL: none): name.0, name.1, name.2.  The padding keeps the size at stride 1. */
static inline ebb_sequential *conv_bn_activation(ebb_params *p, const char *name,
	ebb_conv_new_args c, ebb_unary_op activation, const char *site)
{
	ebb_sequential *s = ebb_sequential_new(p, name);

	ebb_sequential_conv(s, c.in, c.out, c.kernel, .stride = c.stride, .pad = c.kernel / 2,
		.groups = c.groups, .no_bias = true, .init = KAIMING_FAN_OUT);
	ebb_sequential_bn(s, c.out, .inplace = true);
	if (activation)
		ebb_sequential_fn(s, activation);
	return s;
}

/* depthwise(expand(x)), or depthwise(x) if expand is NULL. */
static inline ebb_tensor *expand_and_filter(ebb_tape *t, const ebb_sequential *expand,
	const ebb_sequential *depthwise, ebb_tensor *x, const char *site)
{
	ebb_tensor *y;

	if (!expand)
		return ebb_sequential_forward(t, depthwise, x);
	y = ebb_sequential_forward(t, expand, x);
	return replace(t, y, ebb_sequential_forward(t, depthwise, y));
}

/* ---- Stochastic depth ------------------------------------------------------------------------ */

/* Whether 0 <= rate < 1, which ebb_drop_path expects; otherwise fails the store. */
static inline bool check_drop_path(ebb_params *p, const char *what, double rate, const char *site)
{
	if (rate >= 0 && rate < 1)
		return true;
	ebb_params_fail(
		p, EBB_INVALID, site, "%s: drop_path %g, expected 0 <= drop_path < 1", what, rate);
	return false;
}

/* x + y for a block's input x and its branch y, which is dropped with probability rate while the
 * tape trains (Huang et al. 2016); releases y. */
static inline ebb_tensor *add_branch(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *y, double rate, const char *site)
{
	y = replace(t, y, ebb_drop_path(t, y, rate));
	return replace(t, y, ebb_add(t, x, y));
}

/* ---- The catalogue --------------------------------------------------------------------------- */

/* How the catalogue calls a family of networks, whose struct has size bytes. */
typedef struct ebb_model_kind {
	size_t size;
	/* Fills the struct at net.  card->variant is what distinguishes the networks of the
	 * family.  Errors go to the store. */
	void (*make)(void *net, const ebb_model_card *card, const ebb_model_new_args *a);
	/* The logits, or the features of a network without head. */
	ebb_tensor *(*forward)(ebb_tape *t, const void *net, ebb_tensor *x, const char *site);
	/* The loss of a network with intermediate classifiers, which sets *logits too; NULL: the
	 * cross-entropy of the logits. */
	ebb_tensor *(*loss)(const ebb_model_loss_args *a, const void *net, ebb_tensor **logits);
	/* The name of the convolution whose padding, 0 when it is made, a file's metadata may set,
	 * and the function that returns it, of a network with a head; NULL: there is none. */
	const char *padded;
	ebb_conv *(*conv)(void *net);
} ebb_model_kind;

/* Defines make for the type ebb_NAME, of which a card's variant is an ebb_NAME_new_args, or NULL.
 * more: assignments of further options, own.dropout = a->dropout. */
#define MODEL_MAKE(name, constructor, more)                                                        \
	static void make(void *net, const ebb_model_card *card, const ebb_model_new_args *a)       \
	{                                                                                          \
		ebb_##name##_new_args own = {.p = NULL};                                           \
                                                                                                   \
		if (card->variant)                                                                 \
			own = *(const ebb_##name##_new_args *)card->variant;                       \
		own.p = a->p;                                                                      \
		own.classes = a->classes;                                                          \
		own.no_head = a->no_head;                                                          \
		own.site = a->site;                                                                \
		more;                                                                              \
		*(ebb_##name *)net = (constructor)(&own);                                          \
	}
/* Defines forward by ebb_NAME_forward, of whose result logits is the logits. */
#define MODEL_FORWARD(name, logits)                                                                \
	static ebb_tensor *forward(ebb_tape *t, const void *net, ebb_tensor *x, const char *site)  \
	{                                                                                          \
		return (ebb_##name##_forward)(t, net, x, site)logits;                              \
	}
/* Both, for the constructor ebb_NAME_new. */
#define MODEL_FUNCTIONS(name, more) MODEL_MAKE(name, ebb_##name##_new, more) MODEL_FORWARD(name, )

/* The mean and the standard deviation of ImageNet's colours. */
#define IMAGENET_MEAN                                                                              \
	{                                                                                          \
		0.485, 0.456, 0.406                                                                \
	}
#define IMAGENET_STD                                                                               \
	{                                                                                          \
		0.229, 0.224, 0.225                                                                \
	}
/* torchvision's preprocessing: bilinear resizing of the shorter side, the centre crop, ImageNet's
 * mean and standard deviation of the colours. */
#define IMAGENET_INPUT(side, size)                                                                 \
	{                                                                                          \
		.resize = (side), .crop = (size), .mean = IMAGENET_MEAN, .std = IMAGENET_STD       \
	}
/* The members of an ebb_model_weights for a file of torchvision called stem-hash.pth. */
#define TORCHVISION(version, stem, hash, side, size, first, five)                                  \
	.name = "IMAGENET1K_" version, .file = stem "-" hash ".pth", .sha256 = hash,               \
	.preprocess = IMAGENET_INPUT(side, size), .top1 = (first), .top5 = (five)
/* The members of a card: its weights, an array of ebb_model_weights. */
#define WEIGHTS(...)                                                                               \
	.weights = (const ebb_model_weights[]){__VA_ARGS__},                                       \
	.weights_count =                                                                           \
		sizeof((const ebb_model_weights[]){__VA_ARGS__}) / sizeof(ebb_model_weights)
/* The members of a card for images of 3 x 224 x 224 and 1000 classes. */
#define IMAGENET .classes = 1000, .channels = 3, .side = 224

/* ---- The metadata of a file of weights (metadata.c) ------------------------------------------ */

/* What the metadata say of a network's input; see models.h. */
typedef struct ebb_described {
	bool has_input; /* preprocess is set */
	ebb_preprocess preprocess;
	char padded[128]; /* the convolution whose padding is set; "": none */
	int padding;
} ebb_described;
/* Reads the texts input, resize and note, each of which may be NULL.  False with an error for a
 * text that is not understood. */
bool ebb_describe_read(
	const char *input, const char *resize, const char *note, ebb_described *d, ebb_error *e);
/* Writes the texts of an input with .channels channels of side x side pixels. */
void ebb_describe_write(const ebb_preprocess *p, int64_t side, char *input, size_t input_size,
	char *resize, size_t resize_size);

/* The cards of each source file, ended by one without name. */
extern const ebb_model_card ebb_lenet1989_cards[];
extern const ebb_model_card ebb_lenet_cards[];
extern const ebb_model_card ebb_alexnet_cards[];
extern const ebb_model_card ebb_zfnet_cards[];
extern const ebb_model_card ebb_overfeat_cards[];
extern const ebb_model_card ebb_nin_cards[];
extern const ebb_model_card ebb_vgg_cards[];
extern const ebb_model_card ebb_googlenet_cards[];
extern const ebb_model_card ebb_cifar_resnet_cards[];
extern const ebb_model_card ebb_resnet_cards[];
extern const ebb_model_card ebb_wide_resnet_cards[];
extern const ebb_model_card ebb_wrn_cards[];
extern const ebb_model_card ebb_inception_v3_cards[];
extern const ebb_model_card ebb_squeezenet_cards[];
extern const ebb_model_card ebb_resnext_cards[];
extern const ebb_model_card ebb_densenet_cards[];
extern const ebb_model_card ebb_mobilenet_v2_cards[];
extern const ebb_model_card ebb_efficientnet_cards[];
extern const ebb_model_card ebb_vit_cards[];
extern const ebb_model_card ebb_convnext_cards[];

#endif
