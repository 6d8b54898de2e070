/*
 * planes.h - loop nests over operands of any strides, for the kernels of binary.def and of
 * integers.
 *
 * The axes are sorted by the strides of the output, and two axes are merged where the strides of
 * all operands allow it.  The loop nest runs over planes of the last two axes.
 */
#ifndef EBB_KERNELS_PLANES_H
#define EBB_KERNELS_PLANES_H

#include "real.h"

enum { OPERANDS = 4 };

struct axes {
	int ndim, operands;
	int64_t shape[EBB_KERNEL_DIMS];
	int64_t stride[OPERANDS][EBB_KERNEL_DIMS]; /* the output's first */
};

static inline int64_t magnitude(int64_t s)
{
	return s < 0 ? -s : s;
}

/* Drops axes of size 1, sorts the axes by the output's strides and merges them.  *a has at least
 * two axes.  False if there are no elements. */
static inline bool normalise(
	struct axes *a, int ndim, const int64_t *shape, const int64_t *const *strides)
{
	int n = 0;

	for (int d = 0; d < ndim; d++) {
		int at = n;

		if (shape[d] == 0)
			return false;
		if (shape[d] == 1)
			continue;
		for (; at > 0; at--) {
			if (magnitude(a->stride[0][at - 1]) >= magnitude(strides[0][d]))
				break;
			a->shape[at] = a->shape[at - 1];
			for (int k = 0; k < a->operands; k++)
				a->stride[k][at] = a->stride[k][at - 1];
		}
		a->shape[at] = shape[d];
		for (int k = 0; k < a->operands; k++)
			a->stride[k][at] = strides[k][d];
		n++;
	}
	a->ndim = 0;
	for (int d = 0; d < n; d++) {
		bool merge = a->ndim > 0;
		int to = a->ndim - 1;

		for (int k = 0; k < a->operands && merge; k++)
			merge = a->stride[k][to] == a->stride[k][d] * a->shape[d];
		if (!merge)
			to = a->ndim++;
		a->shape[to] = merge ? a->shape[to] * a->shape[d] : a->shape[d];
		for (int k = 0; k < a->operands; k++)
			a->stride[k][to] = a->stride[k][d];
	}
	while (a->ndim < 2) {
		for (int d = a->ndim; d > 0; d--) {
			a->shape[d] = a->shape[d - 1];
			for (int k = 0; k < a->operands; k++)
				a->stride[k][d] = a->stride[k][d - 1];
		}
		a->shape[0] = 1;
		for (int k = 0; k < a->operands; k++)
			a->stride[k][0] = a->ndim ? 0 : 1;
		a->ndim++;
	}
	return true;
}

/* A plane of rows x cols elements, with the row and column stride of each operand. */
struct plane {
	int64_t rows, cols;
	int64_t row[OPERANDS], col[OPERANDS];
};

/* Calls fn for each plane that holds rows [from, to).  Rows are numbered over all axes but the
 * last. */
static inline void each_plane(const struct axes *a, int64_t from, int64_t to,
	void (*fn)(const void *ctx, const struct plane *p, const int64_t *offset), const void *ctx)
{
	int last = a->ndim - 1;
	struct plane p = {.cols = a->shape[last]};

	for (int k = 0; k < a->operands; k++) {
		p.row[k] = a->stride[k][last - 1];
		p.col[k] = a->stride[k][last];
	}
	while (from < to) {
		int64_t rest = from, first = rest % a->shape[last - 1];
		int64_t offset[OPERANDS];

		for (int k = 0; k < a->operands; k++)
			offset[k] = first * p.row[k];
		rest /= a->shape[last - 1];
		for (int d = last - 2; d >= 0; d--) {
			int64_t i = rest % a->shape[d];

			for (int k = 0; k < a->operands; k++)
				offset[k] += i * a->stride[k][d];
			rest /= a->shape[d];
		}
		p.rows = i64_min(to - from, a->shape[last - 1] - first);
		fn(ctx, &p, offset);
		from += p.rows;
	}
}

static inline int64_t all_rows(const struct axes *a)
{
	int64_t rows = 1;

	for (int d = 0; d < a->ndim - 1; d++)
		rows *= a->shape[d];
	return rows;
}

/* The rows of a task; all rows where there are too few elements for threads. */
static inline int64_t rows_per_piece(const struct axes *a, int64_t rows)
{
	int64_t cols = a->shape[a->ndim - 1];

	return rows * cols < EBB_PARALLEL_FROM ? rows : i64_max(1, EBB_PIECE / cols);
}

#endif
