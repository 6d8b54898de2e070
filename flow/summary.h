/*
 * summary.h - the layers of a network with their shapes and costs, from a run of it (summary.c,
 * summary_text.c).
 *
 *	ebb_summary *s = ebb_summary_new(t, .params = p);
 *	ebb_resnet_forward(t, &net, images);
 *	fputs(ebb_summary_text(s), stdout);
 *	ebb_summary_free(s);                    before the tape is freed
 *
 * A summary is an observer of the tape (ebb_observe): it needs no description of the network, and
 * works for every program that runs ops, with or without recording.  It counts the calls of ops in
 * forward computations, from ebb_summary_new or ebb_summary_reset on; gradients are not counted.
 *
 * Rows.  A scope in which ops run and that contains no other scope is a layer, and one row.  A
 * scope that contains scopes is a container: a row with the sums of the rows in it, which follow
 * it.  An op that runs in a container, or outside of all scopes, has a row of its own.  Calls of
 * the same layer (shared weights, a loop) are one row.
 *
 * Parameters.  A parameter belongs to the row of the op that read it first, and is counted once.
 */
#ifndef EBB_SUMMARY_H
#define EBB_SUMMARY_H

#include "../autograd/autograd.h"
#include "../nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ebb_summary ebb_summary;

/* .params: the store of the network, which must outlive the summary.  Its parameters that no op has read are a last row, so that
 * the total is ebb_params_elements.  NULL: a persistent tensor that requires a gradient counts as a
 * parameter.
 * .depth: the largest depth of a row in the text; deeper rows are left out, because containers have
 * their sums.  0: no limit.
 * NULL with an error in .error if there is no memory, or t has its largest number of observers. */
typedef struct ebb_summary_args {
	ebb_tape *t;
	const ebb_params *params;
	int depth;
	ebb_error *error;
	const char *site;
} ebb_summary_args;
EBB_API ebb_summary *ebb_summary_new(const ebb_summary_args *a);
EBB_API void ebb_summary_free(ebb_summary *s); /* call it before the tape is freed */
EBB_API void ebb_summary_reset(ebb_summary *s);

typedef struct ebb_summary_row {
	const char *name; /* a scope's path, or an op's name; valid until the next call */
	const char *op;   /* of a layer, the op with the most floating-point operations; else "" */
	int depth;        /* 0: not in a container */
	bool container;
	ebb_shape shape; /* of the last result */
	int64_t calls;   /* of ops */
	int64_t runs;    /* how often the layer's first op has run; 0 for a container */
	/* Elements of the parameters that were first read here, and of those that had been read
	 * elsewhere before. */
	int64_t parameters, shared;
	/* Of all calls, as in ebb_run: multiply-adds, floating-point operations, bytes that were
	 * read and written, and the size of the results. */
	double multiply_adds, flops, bytes, result_bytes;
} ebb_summary_row;
/* Writes at most max rows in the order of the first run, each container before the rows in it, and
 * returns how many there are.  0 for a NULL s, or if a call could not be counted for lack of
 * memory. */
EBB_API int64_t ebb_summary_rows(ebb_summary *s, int64_t max, ebb_summary_row *rows);

/* The sums over all rows that are no containers: equal to the sums of the profile's forward costs
 * (ebb_profile_rows) over the same run.  parameters counts those of .params, used or not. */
typedef struct ebb_summary_totals {
	int64_t calls;
	int64_t parameters, trainable, frozen, unused; /* elements */
	int64_t parameter_bytes;
	double multiply_adds, flops, bytes, result_bytes;
} ebb_summary_totals;
EBB_API ebb_summary_totals ebb_summary_total(ebb_summary *s);

/* The rows and totals as text; a row has at most 100 columns, and longer names and shapes are cut.
 * Valid until the next call, or until s is freed.  NULL without memory. */
EBB_API const char *ebb_summary_text(ebb_summary *s);

#define ebb_summary_new(...) EBB_CALL_ARGS(ebb_summary_new, ebb_summary_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
