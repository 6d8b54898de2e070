/* layer.h - a layer of a network, found by the name of its scope, for explain/ only. */
#ifndef EBB_EXPLAIN_LAYER_H
#define EBB_EXPLAIN_LAYER_H

#include "explain/attribution.h"
#include "explain/internal.h"

typedef struct ebb_found_layer {
	const char *name; /* NULL: the last layer with more than one pixel */
	int64_t n;        /* the number of images */
	bool values_only; /* y is not needed */
	ebb_shape shape;  /* [N,C,h,w] */
	double *values;   /* row-major */
	ebb_tensor *y;    /* whose value may have been dropped */
	/* internal */
	const ebb_node *node; /* that computed y, with its number, op and scope */
	int64_t index;
	const char *op, *path;
	const ebb_scope *scope;
	int fit;      /* how well its path fits the name */
	size_t bytes; /* of values */
	bool failed, more;
	char seen[400]; /* the names of layers, for errors */
} ebb_found_layer;

/* Runs the network on the leaf x and fills the layer; returns the scores, or NULL on failure. */
ebb_tensor *ebb_layer_run(ebb_query *q, ebb_found_layer *a, ebb_tensor *x);
void ebb_layer_free(ebb_found_layer *a);

#endif
