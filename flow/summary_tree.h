/* summary_tree.h - the tree of a summary, for summary.c and summary_text.c. */
#ifndef EBB_FLOW_SUMMARY_TREE_H
#define EBB_FLOW_SUMMARY_TREE_H

#include "flow/internal.h"

/* A scope, or an op in the scope of its parent; nodes are referred to by their index, -1: none. */
typedef struct ebb_summary_node {
	const ebb_scope *scope; /* NULL for an op */
	const char *op;         /* NULL for a scope */
	int64_t parent, first, last, next;
	int64_t latest;  /* of a scope: the scope in it that ran last; -1: none since the reset */
	int64_t after;   /* of an op: the parent's latest when the op first ran */
	bool container;  /* a scope that contains a scope */
	ebb_shape shape; /* the following are of an op */
	int64_t when;    /* the number of the last call, of all calls */
	int64_t calls, parameters, shared;
	double multiply_adds, flops, bytes, result_bytes;
} ebb_summary_node;

/* A parameter, and a node that reads it; the first entry of a parameter is the node that it belongs
 * to. */
typedef struct ebb_summary_read {
	const ebb_tensor *tensor;
	int64_t node;
} ebb_summary_read;

struct ebb_summary {
	ebb_tape *t;
	ebb_observer observer;
	const ebb_params *params;
	int depth;
	ebb_summary_node *nodes; /* nodes[0] is the outermost scope */
	int64_t count, capacity;
	int64_t calls; /* of all ops */
	ebb_summary_read *read;
	int64_t read_count, read_capacity;
	int64_t parameters, trainable, parameter_bytes; /* of the parameters that were read */
	ebb_summary_row *rows;
	int64_t rows_capacity;
	ebb_text text;
	bool full; /* a call could not be counted for lack of memory */
};

/* Fills s->rows, and *sums with their sums; returns the number of rows, or -1 without memory. */
int64_t ebb_summary_fill(ebb_summary *s, ebb_summary_row *sums);

#endif
