/* internal.h - one query at a network, for explain/ only. */
#ifndef EBB_EXPLAIN_INTERNAL_H
#define EBB_EXPLAIN_INTERNAL_H

#include "explain/network.h"
#include "ops/ops.h"

/* The call of a function of explain/: its arguments, and the tape's modes before it. */
typedef struct ebb_query {
	ebb_tape *t;
	ebb_network_fn network;
	void *ctx;
	const char *what, *site;
	ebb_shape shape; /* of x */
	int64_t n;
	int64_t only; /* if not 0: all rows are image only - 1, for errors */
	bool ok;
	/* internal */
	ebb_mark mark;
	ebb_rules former;
	ebb_dtype dtype;
	bool training, recording;
} ebb_query;

/* Checks x and the network, and sets the modes: recording, evaluation, the rules, and x's type as the
 * default.  what: the function's name for errors. */
ebb_query ebb_query_begin(ebb_tape *t, const char *what, ebb_network_fn network, void *ctx,
	ebb_tensor *x, ebb_rules rules, const char *site);
/* Restores the modes, and rewinds the tape to the beginning of the query, unless it has failed. */
void ebb_query_end(ebb_query *q);
/* The network's scores [rows,K] of a leaf x, checked.  NULL on failure. */
ebb_tensor *ebb_query_scores(ebb_query *q, ebb_tensor *x);
/* The sum over n of score[n,classes[n]]; NULL on failure.  classes: an array of as many elements as
 * score has rows, out of range: an error. */
ebb_tensor *ebb_query_score(ebb_query *q, ebb_tensor *score, const int64_t *classes);
/* Reads the user's classes into an array of q->n elements; if they are NULL, the network's.  False: the
 * tape has failed. */
bool ebb_query_classes(ebb_query *q, ebb_tensor *x, ebb_tensor *classes, int64_t *into);

/* Memory for count numbers of that size, freed by ebb_free; without memory the tape fails. */
void *ebb_query_memory(ebb_query *q, int64_t count, size_t size);
/* Adds g's elements times factor to sum, in row-major order.  False: the tape has failed. */
bool ebb_query_add(ebb_query *q, ebb_tensor *g, double factor, double *sum);
/* A constant of x's type, after the query's end.  NULL if the tape has failed. */
ebb_tensor *ebb_query_result(ebb_query *q, ebb_shape shape, ebb_dtype dtype, const double *values);

#endif
