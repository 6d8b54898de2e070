/*
 * outer.h - sums of few outer products as other kernels use them: tile by tile.
 */
#ifndef EBB_KERNELS_GEMM_OUTER_H
#define EBB_KERNELS_GEMM_OUTER_H

#include "kernels/real.h"

EBB_DECLARE(outer_sum);

/* c[i,j] = sum over t of a[t,i]*b[t,j]; a [terms,m], b [terms,n] row-major. */
struct ebb_outer {
	int64_t terms, m, n; /* terms in [1, EBB_OUTER_TERMS] */
	const real *a, *b;
	real *c; /* [m,n], or NULL: take gets it, tile by tile, and nothing else does */
	/* Rows [i, i+rows) of columns [j, j+cols), row-major without gaps; any worker calls it. */
	void (*take)(const struct ebb_outer *o, int64_t i, int64_t j, int64_t rows, int64_t cols,
		const real *tile);
	const void *ctx; /* take's */
	/* [m,n] like c, or NULL: what take will read, fetched while the tile is computed */
	const real *reads[3];
};
void EBB_NAME(outer_tiles)(const struct ebb_outer *o);

#endif
