/*
 * outer.h - sums of few outer products, as a whole or tile by tile for other kernels.
 */
#ifndef EBB_KERNELS_GEMM_OUTER_H
#define EBB_KERNELS_GEMM_OUTER_H

#include "kernels/real.h"

EBB_DECLARE(outer_sum);

/* c[i,j] = sum over t of a[t,i]*b[t,j]; a [terms,m], b [terms,n] row-major. */
struct ebb_outer {
	int64_t terms, m, n; /* terms in [1, EBB_OUTER_TERMS] */
	const real *a, *b;
	real *c; /* [m,n]; or NULL: the result goes tile by tile to take only */
	/* Receives rows [i, i+rows) of columns [j, j+cols) of the result, row-major without gaps.
	 * Any worker thread may call it. */
	void (*take)(const struct ebb_outer *o, int64_t i, int64_t j, int64_t rows, int64_t cols,
		const real *tile);
	const void *ctx; /* for take */
	/* [m,n] like c: arrays that take will access, prefetched while a tile is computed; the
	 * first NULL ends the list */
	const real *reads[3];
};
void EBB_NAME(outer_tiles)(const struct ebb_outer *o);

#endif
