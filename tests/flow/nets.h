/* nets.h - networks of several kinds, healthy or with a planted fault, and their training, for the
 * tests of the verdicts. */
#ifndef EBB_TESTS_FLOW_NETS_H
#define EBB_TESTS_FLOW_NETS_H

#include "tests/support/support.h"

enum { NETS_DEEPEST = 50, NETS_CLASSES = 10, NETS_SIDE = 6 };

typedef enum net_kind { NET_MLP, NET_RESIDUAL, NET_CONV, NET_CONV_BN } net_kind;
typedef enum net_optim { NET_SGD, NET_MOMENTUM, NET_ADAM } net_optim;

typedef enum net_fault {
	NO_FAULT,
	LARGE_WEIGHTS, /* times factor */
	SMALL_WEIGHTS,
	ZERO_WEIGHTS,
	EQUAL_WEIGHTS,   /* all elements are factor */
	DEAD_BIAS,       /* the bias is factor */
	DEAD_PART,       /* the bias of 60 % of the units is factor */
	DEAD_LATER,      /* the bias is overwritten by factor at step begins */
	SATURATED,       /* weights times factor, and bounded */
	SATURATED_LATER, /* at step begins */
	DETACHED,        /* the layer's result */
	DETACHED_WEIGHT,
	UNRECORDED, /* recording is off while the layer runs */
	UNUSED,     /* the layer runs, and its result is not used */
	NO_UPDATE,  /* learning rate 0 for the layer */
	LEFT_OUT,   /* the optimizer has the other layers only */
	TINY_RATE,  /* learning rate 1e-12 for all */
	ZERO_BY_ZERO,
	LOG_OF_ZERO,
	ROOT_OF_ZERO,
	OVERFLOWING,
	NAN_WEIGHT,
	NAN_INPUT,
	DIVERGING, /* learning rate factor from step begins on */
	SPIKE      /* in step begins only */
} net_fault;

typedef struct net {
	/* Set by the test. */
	net_kind kind;
	int depth, width, batch, steps;
	ebb_unary_op phi;
	ebb_init init;
	net_optim optim;
	double lr, scale; /* scale: of the loss */
	int64_t every;
	uint64_t seed;
	net_fault fault;
	int bad, begins;
	double factor;

	/* Set by net_new and net_train. */
	ebb_params *p, *parts[2]; /* parts: the layers up to bad, and those after it */
	ebb_linear fc[NETS_DEEPEST];
	ebb_conv conv[NETS_DEEPEST];
	ebb_bn bn[NETS_DEEPEST];
	ebb_optim *opt;
	int step;
	char lines[4][40]; /* the lines of the bad layer's ops */
	double losses[2];  /* of the first step, and of the last one */
} net;

void net_new(net *m);
void net_free(net *m);
ebb_tensor *net_loss(ebb_tape *t, net *m);
/* Trains with an instrument, and returns its verdict; text, if not NULL, receives its findings. */
ebb_finding net_train(net *m, char *text, size_t size);

/* Normal numbers that depend on the seed alone, and clusters: noise around the centre of the row's
 * class, which is its number modulo classes. */
void fill_normal(float *x, int64_t n, uint64_t seed);
ebb_tensor *clusters(ebb_tape *t, ebb_shape shape, int classes, uint64_t seed);
ebb_tensor *cluster_labels(ebb_tape *t, int64_t n, int classes);

#endif
