/*
 * prefetch.h - prefetches a block of a matrix in small shares while something else is computed, so
 * that the latency of memory overlaps with the computation.
 */
#ifndef EBB_KERNELS_CONV_PREFETCH_H
#define EBB_KERNELS_CONV_PREFETCH_H

#include "kernels/real.h"

struct ebb_prefetch {
	const real *from;
	int64_t ld, rows, lines; /* cache lines per row */
	int64_t row, line;       /* the next cache line to prefetch */
};

/* A block of `rows` rows of len elements, ld elements apart.  Nothing is prefetched yet. */
static inline struct ebb_prefetch ebb_prefetch_of(
	const real *from, int64_t ld, int64_t rows, int64_t len)
{
	return (struct ebb_prefetch){.from = from,
		.ld = ld,
		.rows = rows,
		.lines = ebb_ceil_div(len * (int64_t)sizeof(real), 64)};
}

/* Prefetches the next of `shares` equal shares of the block. */
static inline void ebb_prefetch_share(struct ebb_prefetch *a, int64_t shares)
{
	int64_t count = ebb_ceil_div(a->rows * a->lines, shares);

	for (; count > 0 && a->row < a->rows; count--) {
		__builtin_prefetch(
			a->from + a->row * a->ld + a->line * (64 / (int64_t)sizeof(real)), 0, 2);
		if (++a->line == a->lines) {
			a->line = 0;
			a->row++;
		}
	}
}

#endif
