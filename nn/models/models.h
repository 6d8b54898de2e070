/*
 * models.h - well-known networks, each a struct of layers and a function, and their catalogue.
 *
 * Parameters have torchvision's names, shapes and order, so that its weights load unchanged.  The
 * names of networks that torchvision does not have follow the same style.
 * NAME_new adds the parameters below p and returns the model by value; the memory that it points to
 * belongs to the store.  On failure the error is in the store, and the model's forward function
 * fails the tape.  .classes of 0 means the published number.  With .no_head the model has no last
 * layer: its result is the features [N,features] that the last layer would read.
 *
 * NAME_forward maps images x [N,channels,H,W] to logits [N,classes], or tokens to logits
 * (ebb_gpt_forward).  Blocks are scopes with the names of their parameters ("layer1.0").  A value
 * that no gradient reads is released as soon as the next one is computed: without recording, little
 * more than one block's values are in memory at a time.  The sources in nn/models/ are examples:
 * copy them to start a network of your own.
 */
#ifndef EBB_MODELS_H
#define EBB_MODELS_H

#include "../../data/preprocess.h"
#include "../nn.h"
#include "../weights.h"
#include "early.h"
#include "gpt.h"
#include "inception.h"
#include "modern.h"
#include "residual.h"
#include "squeezenet.h"
#include "vit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The catalogue (catalogue.c) -------------------------------------------------------------- */

/* Weights that were published for a network: which file to fetch, and how to use it.  The file is
 * torchvision's unless .source names another. */
typedef struct ebb_model_weights {
	const char *name;   /* "IMAGENET1K_V1" */
	const char *file;   /* "resnet18-f37072fd.pth" */
	const char *sha256; /* the first hexadecimal digits of the file's SHA-256: "f37072fd" */
	const char *source; /* NULL: torchvision */
	ebb_preprocess preprocess;
	double top1, top5; /* published accuracy in percent, of one centre crop; 0: not known */
	const ebb_rename *rename; /* names in the file that differ from the model's; NULL: none */
} ebb_model_weights;

/* What is known of a network.  All members are constant and live as long as the process. */
typedef struct ebb_model_card {
	const char *name;  /* "resnet18" */
	const char *title; /* "ResNet-18" */
	const char
		*paper; /* "He, Zhang, Ren & Sun: Deep Residual Learning for Image Recognition" */
	int year;
	int64_t parameters;              /* elements of all parameters, with .classes classes */
	int64_t classes, channels, side; /* of the published network: x [N,channels,side,side] */
	/* Globs of parameters, separated by spaces: of the last layers ("fc.*"), and of intermediate
	 * classifiers ("aux1.* aux2.*"; NULL: there are none). */
	const char *head, *aux;
	int weights_count;
	const ebb_model_weights *weights;  /* weights[0] is the first that was published */
	const struct ebb_model_kind *kind; /* internal */
	const void *variant;               /* internal */
} ebb_model_card;

/* The cards in order of years; NULL if index is not below the number of cards. */
EBB_API const ebb_model_card *ebb_model_card_at(int index);
EBB_API int ebb_model_cards(void); /* how many there are */
/* The card of that name, or NULL. */
EBB_API const ebb_model_card *ebb_model_card_named(const char *name);

/* A network of the catalogue.  On failure .card is NULL, and the error is in the store. */
typedef struct ebb_model {
	const ebb_model_card *card;
	ebb_params *p;
	void *net;       /* the card's struct, such as an ebb_resnet, in the store's memory */
	int64_t classes; /* 0 with .no_head */
	ebb_preprocess preprocess;      /* the published one, or that of the file that was loaded */
	const char *const *class_names; /* [classes], of the file that was loaded; NULL: unknown */
} ebb_model;

/* The network called name ("resnet18") with its parameters below p.  An unknown name is an error
 * that lists similar names.  .dropout replaces the published rate of dropout, .drop_path that of
 * stochastic depth (Huang et al. 2016; EBB_ZERO: none).  .no_aux leaves out intermediate
 * classifiers.  Options that the network does not have are ignored. */
typedef struct ebb_model_new_args {
	ebb_params *p;
	const char *name;
	int64_t classes;
	bool no_head, no_aux;
	double dropout, drop_path;
	const char *site;
} ebb_model_new_args;
EBB_API ebb_model ebb_model_new(const ebb_model_new_args *a);
/* logits [N,classes] for x [N,channels,H,W], or features [N,F] with .no_head. */
EBB_API ebb_tensor *ebb_model_forward(
	ebb_tape *t, const ebb_model *net, ebb_tensor *x, const char *site);
/* The network's input for images x [N,channels,height,width] of F32 or F64 with values in [0,1], red,
 * green and blue (or grey): net->preprocess as ops, through which gradients flow to x, so that an
 * image can be optimised at its own size.  For x = v/255 it is what ebb_preprocess_images computes
 * of the bytes v, but for the rounding after resizing (pixels.c). */
EBB_API ebb_tensor *ebb_model_pixels(
	ebb_tape *t, const ebb_model *net, ebb_tensor *x, const char *site);
/* The network's loss for training: cross_entropy(logits, labels), plus those of the intermediate
 * classifiers, weighted as published, in training mode.  labels as for ebb_cross_entropy.  If
 * .logits is not NULL, *logits is set to the logits, or to NULL on failure.  An error on the tape
 * with .no_head. */
typedef struct ebb_model_loss_args {
	ebb_tape *t;
	const ebb_model *net;
	ebb_tensor *x, *labels;
	ebb_tensor **logits;
	double label_smoothing; /* as for ebb_cross_entropy */
	const char *site;
} ebb_model_loss_args;
EBB_API ebb_tensor *ebb_model_loss(const ebb_model_loss_args *a);

/* Freezes all parameters but those of the head, so that only the head is trained; returns how many
 * tensors train.  ebb_params_unfreeze(p, "*") undoes it.  In training mode the batch norms of frozen
 * layers still use the statistics of the batch and update their running statistics. */
EBB_API int64_t ebb_model_freeze_body(ebb_model *net);
/* Whether parameter number index of net->p belongs to the head. */
EBB_API bool ebb_model_in_head(const ebb_model *net, int64_t index);

/* ---- Weights of a network (pretrained.c, metadata.c) --------------------------------------------
 *
 * Loads the weights in the file at path, as ebb_params_load without .partial: every parameter must
 * have an entry that fits.  A prefix "module." or "state_dict." of all names is removed, names are
 * translated as the card's weights say, and entries of intermediate classifiers that the network
 * does not have are ignored.  With .new_head, the head keeps its values: for a network with another
 * number of classes than the file's.  The parameters are all of net->p: make the network in a view
 * (ebb_params_sub) if the store has others too, such as a head of your own.
 *
 * net->preprocess becomes that of the file: what the metadata of a safetensors file say; else that
 * of the card's weights whose sha256 is part of the file's name; else that of weights[0].  The
 * metadata are texts:
 *
 *   model    "squeezenet1_0"
 *   names    "torchvision squeezenet1_0", read if there is no model
 *   input    "1x3x227x227 BGR, 0..255, minus 104,117,123": sizes, order of the channels (RGB, BGR;
 *            none with one channel), range of the values, mean; after ", divided by" the standard
 *            deviation.  One number stands for all channels
 *   resize   "256 bilinear" (the shorter side), "256x256 bicubic" (both sides), "none".  An input
 *            without this text is resized as for Caffe's networks: both sides bilinearly to 256
 *            pixels if the input has 200 to 256, else to the input's size
 *   note     sentences separated by ";".  "classifier.1 has padding 1" sets the padding of that
 *            convolution; other sentences are ignored
 *   classes  the names of the classes, one per line
 *
 * Another network's name, a text for input or resize that is not understood, and a padding that
 * the network cannot have are errors.  False with an error in .error, or in the store if .error is
 * NULL.  The network is then unchanged, unless reading the values failed midway
 * (ebb_params_load). */
typedef struct ebb_model_load_args {
	ebb_model *net;
	const char *path;
	bool new_head;
	ebb_error *error;
	const char *site;
} ebb_model_load_args;
EBB_API bool ebb_model_load(const ebb_model_load_args *a);
/* Saves the parameters and buffers of net->p, with the metadata that ebb_model_load reads, as
 * ebb_params_save does.  class_names: net->classes names without line breaks; NULL: those in net.
 * The path must end in .safetensors, because other formats have no metadata. */
typedef struct ebb_model_save_args {
	const ebb_model *net;
	const char *path;
	const char *const *class_names;
	ebb_file_dtype dtype;
	ebb_error *error;
	const char *site;
} ebb_model_save_args;
EBB_API bool ebb_model_save(const ebb_model_save_args *a);

/* The card of the network that a file was made for, by the metadata model or names, or by the name
 * of the file if that is one of a card's weights or contains the sha256 of one.  NULL with an error
 * in e if the file cannot be read or does not say. */
EBB_API const ebb_model_card *ebb_model_card_of(const char *path, ebb_error *e);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_model_new(...) EBB_CALL_ARGS(ebb_model_new, ebb_model_new_args, __VA_ARGS__)
#define ebb_model_forward(...) EBB_CALL(ebb_model_forward, __VA_ARGS__)
#define ebb_model_pixels(...) EBB_CALL(ebb_model_pixels, __VA_ARGS__)
#define ebb_model_loss(...) EBB_CALL_ARGS(ebb_model_loss, ebb_model_loss_args, __VA_ARGS__)
#define ebb_model_load(...) EBB_CALL_ARGS(ebb_model_load, ebb_model_load_args, __VA_ARGS__)
#define ebb_model_save(...) EBB_CALL_ARGS(ebb_model_save, ebb_model_save_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
