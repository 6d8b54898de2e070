/*
 * pack.h - copies blocks of the operands of a matrix product into the order in which the
 * micro-kernel reads them: B in panels of columns, A in tiles of rows.
 */
#ifndef EBB_KERNELS_GEMM_PACK_H
#define EBB_KERNELS_GEMM_PACK_H

#include "kernels/gemm/microkernel.h"

/* A matrix op(X): x, or if `transposed` the transpose of x.  The rows of x are ld apart.  op(A) is
 * [rows,terms], op(B) is [terms,columns]. */
struct ebb_operand {
	bool transposed;
	const real *x;
	int64_t ld;
};

/* pack_columns and pack_tiles copy so many panels of B, or tiles of a transposed A, at once, row by
 * row.  The rows of a matrix whose width is a power of two fall into few sets of the first-level
 * cache: if the panels were copied one after the other, a cache line would be evicted before the
 * next panel reads the rest of it. */
enum { EBB_PACK_GROUP = 4 };

/* Packs kc terms of nc columns into panels, padded with zeros to ebb_panel_columns(nc) columns.  b
 * is [kc,nc], its rows ldb apart. */
void EBB_NAME(pack_columns)(int64_t kc, int64_t nc, const real *b, int64_t ldb, real *to);

/* The same of terms [k0,k0+kc) of columns [n0,n0+nc) of op(B). */
void EBB_NAME(pack_panels)(
	const struct ebb_operand *b, int64_t k0, int64_t kc, int64_t n0, int64_t nc, real *to);

/* Packs terms [k0,k0+kc) of tiles [from,end) of op(A): to[tile][term][row], without gaps.  The first
 * tile of the tiles begins at row m0. */
void EBB_NAME(pack_tiles)(const struct ebb_operand *a, int64_t k0, int64_t kc, int64_t m0,
	const struct ebb_row_tiles *t, int64_t from, int64_t end, real *to);

#endif
