/*
 * shifts.h - networks of a few layers, and how their outputs follow shifts of their input.
 */
#ifndef EBB_TESTS_OPS_SHIFTS_H
#define EBB_TESTS_OPS_SHIFTS_H

#include "tests/ops/ops_test.h"

/* ---- Networks (shifts.c) ------------------------------------------------------------ */

enum { MOST_STEPS = 6 };

typedef enum step_kind { END, CONV, MAX_POOL, MEAN_POOL, RELU, BATCHNORM } step_kind;

typedef struct step {
	step_kind kind;
	int kernel[2], stride[2], dilation[2], pad[2]; /* 0: 1, 1, 1, 0 */
	int groups;
	int64_t out; /* channels */
	/* Not EBB_PAD_CONSTANT: ebb_pad adds the padding.  With EBB_PAD_CIRCULAR it adds as much as
	 * keeps the size of the image. */
	ebb_pad_mode mode;
	array w, b, mean, var;
	ebb_tensor *variable; /* in place of w */
} step;

typedef struct net {
	const char *name;
	int64_t n, c, h, w; /* the input */
	step steps[MOST_STEPS];
	bool any_values; /* not only multiples of 1/8 */
} net;
#define NET(name_, n_, c_, h_, w_, ...)                                                            \
	{                                                                                          \
		.name = name_, .n = n_, .c = c_, .h = h_, .w = w_, .steps = { __VA_ARGS__ }        \
	}

/* The product of strides, and the rows i*stride - before + (0 .. extent-1) that output i reads. */
typedef struct window {
	int64_t stride, before, extent;
} window;

/* Of an axis: 0 are rows, 1 columns. */
window window_of(const net *m, int axis);
int64_t step_extent(const step *s, int axis);
/* Values in (-1,1), multiples of 1/8 without .any_values. */
array values_of(const net *m, ebb_shape shape, uint64_t seed);
void draw_weights(net *m, uint64_t seed);
ebb_tensor *tensor(ebb_tape *t, const array *a);
ebb_tensor *forward(ebb_tape *t, const net *m, ebb_tensor *x);
/* In evaluation mode. */
array output_of(const net *m, const array *x, ebb_dtype dtype);

/* ---- Comparisons (shifts.c) --------------------------------------------------------- */

extern const ebb_dtype shift_types[2];
typedef struct comparison {
	/* The number of outputs whose windows do not, and do read padding. */
	int64_t inside, outside;
	double differs[2]; /* the largest difference: outside, inside */
	double most;       /* the largest output */
} comparison;
/* The h by w pixels of an image from (top,left) on. */
array crop(const array *image, int64_t top, int64_t left, int64_t h, int64_t w);
/* y[i,j] = x[(i - dy) mod H,(j - dx) mod W] */
array rolled(const array *x, int64_t dy, int64_t dx);
/* Compares y at each position with x at the position that is (dy,dx) less. */
comparison compare_outputs(const net *m, const array *x, const array *y, int64_t dy, int64_t dx);
/* 0 if all sums are exact.  Else twice the error that tests/kernels/ allows one convolution,
 * relative to the largest output, for each convolution. */
double rounding_of(const net *m, ebb_dtype dtype, double most);
/* Shifts by multiples of the strides give equal outputs inside.  Returns the largest difference
 * outside. */
double check_shifts(const net *m, ebb_dtype dtype);

#endif
