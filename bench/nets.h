/* nets.h - the networks that the benchmarks measure, behind one interface. */
#ifndef EBB_BENCH_NETS_H
#define EBB_BENCH_NETS_H

#include <ebb.h>

/* KANN's network for MNIST (its example mnist-cnn) and ggml's (its example mnist). */
typedef struct kannnet {
	ebb_conv conv1, conv2;
	ebb_linear fc1, fc2;
} kannnet;
typedef struct ggmlnet {
	ebb_conv conv1, conv2;
	ebb_linear fc;
} ggmlnet;

/* The sizes of the net "gpt", a character transformer; to be set before it is made. */
typedef struct gpt_sizes {
	int context, width, layers, heads, vocabulary;
} gpt_sizes;
extern gpt_sizes net_gpt;

typedef union net {
	ebb_lenet lenet;
	ebb_cifar_resnet cifar_resnet;
	ebb_resnet resnet;
	ebb_vgg vgg;
	ebb_alexnet alexnet;
	ebb_googlenet googlenet;
	kannnet kann;
	ggmlnet ggml;
	ebb_gpt gpt;
} net;

typedef struct net_kind {
	const char *name;
	net (*make)(ebb_params *p);
	ebb_tensor *(*logits)(ebb_tape *t, const net *n, ebb_tensor *x);
	/* NULL: cross-entropy of the logits */
	ebb_tensor *(*loss)(ebb_tape *t, const net *n, ebb_tensor *x, ebb_tensor *labels);
	int batch;                   /* default batch size */
	int channels, side, classes; /* of images; 0 for "gpt" */
} net_kind;

/* The kind of that name, or NULL. */
const net_kind *net_kind_named(const char *name);
/* "lenet, resnet20, ...", for messages. */
const char *net_kind_names(void);
/* A batch of normal images, in the memory order of a loader, or of random tokens, and random
 * labels; NULL without memory.  The caller frees both. */
void net_batch(const net_kind *kind, int batch, ebb_tensor **x, ebb_tensor **labels);
ebb_tensor *net_loss(
	ebb_tape *t, const net_kind *kind, const net *n, ebb_tensor *x, ebb_tensor *labels);

#endif
