/*
 * measure.h - measures of tensors as sums, so that calls, periods and parts of tensors can be
 * added.
 *
 * Norms are kept as norms and added by hypot.  Sums of squares would overflow, or underflow to 0,
 * where the norm of an F64 tensor is beyond 1e154 or below 1e-154.
 */
#ifndef EBB_FLOW_INSTRUMENT_MEASURE_H
#define EBB_FLOW_INSTRUMENT_MEASURE_H

#include "flow/flow.h"
#include "kernels/kernels.h"

/* ---- Sums (measure.c) ------------------------------------------------------------------------ */

/* A norm is extrapolated if it was measured on a part of the tensor: it is multiplied by the root
 * of (elements of the tensor)/(elements measured).  x is the op's first input that is no
 * parameter. */
struct flow_sums {
	int64_t calls;
	double elements;    /* of all results */
	ebb_kernel_stats y; /* of the measured elements of the results */
	int64_t y_infinite; /* how many of these are infinite */
	ebb_kernel_stats g; /* of the measured elements of dL/dy */
	int64_t g_infinite;
	double y_l2, g_l2, x_l2;                   /* extrapolated norms, without NaNs */
	double y_elements, g_elements, x_elements; /* of the tensors with these norms; 0: none */
	/* Extrapolated norms: of what the op contributes to the gradient of its inputs that are no
	 * parameters, and of dL/dy in the same calls.  contributions 0: none. */
	double into_l2, from_l2;
	int64_t contributions;
	int64_t slopes, flat; /* slopes examined, and how many of these are below the limit */
	double rank;          /* sum over `ranks` calls */
	int64_t ranks;
};
void ebb_flow_sums_add(struct flow_sums *into, const struct flow_sums *more);

/* ---- The statistics of one tensor (measure.c) ------------------------------------------------ */

/* The statistics of about `most` elements of x (negative: of all); s->n: how many were measured.
 * s->saturated and *infinite count the infinite ones.  False: x is not F32 or F64, or has no
 * data. */
bool ebb_flow_stats(const ebb_tensor *x, int64_t most, ebb_kernel_stats *s, int64_t *infinite);
/* Whether one of the elements that ebb_flow_stats measures is not finite. */
bool ebb_flow_has_bad(const ebb_tensor *x, int64_t most);
/* The extrapolated norm of a tensor with those statistics, without its NaNs. */
double ebb_flow_l2(const ebb_tensor *x, const ebb_kernel_stats *s);
/* The extrapolated norm of g over the elements at which y > 0, without NaNs: of the gradient that a
 * relu with the result y passes on.  False as above, or if types or shapes differ. */
bool ebb_flow_gated_l2(const ebb_tensor *y, const ebb_tensor *g, int64_t most, double *l2);

/* ---- Which elements are measured (measure.c) ------------------------------------------------- */

/* Blocks of whole rows of an array.  If not all rows are measured, the array is divided into as
 * many equal parts as there are blocks, with a block in each part: in the first part at its
 * beginning, in the last at its end, in the others at offsets that vary, so that the distance of
 * blocks is no multiple of a period of the data (Cochran 1977, stratified sampling). */
struct flow_blocks {
	int64_t rows, row, len, count; /* rows; elements of a row; rows of a block; blocks */
	int64_t next, end;
	int64_t from, n; /* the current piece: n elements, at most FLOW_PIECE, from this one on */
};
enum { FLOW_BLOCK = 1024, FLOW_PIECE = 2 * FLOW_BLOCK };
/* Blocks of about FLOW_BLOCK elements, for about `most` of the n elements (negative: all). */
struct flow_blocks ebb_flow_blocks(int64_t n, int64_t row, int64_t most);
/* Sets .from and .n to the next piece.  False: there is none. */
bool ebb_flow_next(struct flow_blocks *b);

/* The elements of a tensor in a linear order. */
struct flow_reader {
	const ebb_tensor *x;
	const char *data;
	size_t size;
	bool direct; /* in the order of memory, else in row-major order */
};
/* y may be NULL.  Readers of two tensors have the same order.  False: x or y is not F32 or F64 or
 * has no data; or types or shapes differ. */
bool ebb_flow_readers(const ebb_tensor *x, const ebb_tensor *y, struct flow_reader r[2]);
union flow_piece {
	float f32[FLOW_PIECE];
	double f64[FLOW_PIECE];
};
/* The address of n <= FLOW_PIECE elements, which are copied to the buffer if need be. */
const void *ebb_flow_read(
	const struct flow_reader *r, int64_t from, int64_t n, union flow_piece *buffer);

/* ---- Units (units.c) ------------------------------------------------------------------------- */

/* Counts, per unit, of values and of active values, in two halves of the window: [0] the current
 * half, [1] the one before. */
struct flow_units {
	int64_t n, capacity; /* units; 0: none */
	int64_t *seen[2], *active[2];
	int steps; /* measured steps in the current half */
};
/* Makes u count n units.  All counts begin again at 0 if n changes.  False without memory. */
bool ebb_flow_units_fit(struct flow_units *u, int64_t n);
void ebb_flow_units_free(struct flow_units *u);
/* Ends a measured step.  A new half begins after (window + 1)/2 steps, so that the counts are those
 * of the last window/2 to `window` steps. */
void ebb_flow_units_step(struct flow_units *u, int window);
/* The share of units with active/seen below the limit.  NaN if there are no units, or on average
 * fewer than 16 values per unit were seen: of these, few inputs may be the reason. */
double ebb_flow_units_dead(const struct flow_units *u, double active);

/* ---- Slopes (slopes.c) ----------------------------------------------------------------------- */

/* Whether op ("sigmoid") is a nonlinearity. */
bool ebb_flow_is_nonlinear(const char *op);
/* Whether a nonlinearity has two asymptotes or bounds and its largest slope between them, so that
 * small slopes are called saturated (sigmoid, tanh, ..), and not inactive (relu, gelu, ..). */
bool ebb_flow_is_bounded(const char *op);
/* Examines about `most` slopes of y = op(x) (negative: all).  Adds to sums->slopes and ->flat: a
 * slope is flat if its absolute value is below limit*(the op's largest slope).  NaNs are left out.
 * Counts units, which lie along that axis of y; units may be NULL.  x may be NULL (overwritten):
 * then only ops whose slope follows from y are examined.  Nothing is added for an op without a
 * known slope, and for tensors that cannot be read.  False without memory. */
bool ebb_flow_slopes(const char *op, const ebb_tensor *x, const ebb_tensor *y, int axis,
	int64_t most, double limit, struct flow_sums *sums, struct flow_units *units);

/* ---- Optional measures (histogram.c, rank.c) ------------------------------------------------- */

/* Adds the counts of about `most` elements of x (negative: of all).  Counts are not extrapolated.
 * False as ebb_flow_stats. */
bool ebb_flow_histogram_add(const ebb_tensor *x, int64_t most, ebb_flow_histogram *h);
/* The effective rank of y as a matrix [samples, units], units along axis (Roy & Vetterli 2007):
 * exp of the entropy of the singular values, divided by their sum.  Of at most 256 samples and 256
 * units, evenly spaced.  0 for a matrix of zeros.  NaN if y is empty or has elements that are not
 * finite, and without LAPACK or memory. */
double ebb_flow_rank(const ebb_tensor *y, int axis);

#endif
