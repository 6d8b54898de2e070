/*
 * transpose.h - transposes a block of a matrix.
 */
#ifndef EBB_KERNELS_TRANSPOSE_H
#define EBB_KERNELS_TRANSPOSE_H

#include "real.h"

/* One step of transposing a square of vectors: in each block of 2*side x 2*side elements, the
 * upper right and the lower left quarter change places.  EBB_UPPER and EBB_LOWER are the source of
 * lane j of the upper and of the lower vector of a pair, as __builtin_shufflevector counts
 * lanes. */
#define EBB_UPPER(j, side) ((j) & (side) ? EBB_VLEN + (j) - (side) : (j))
#define EBB_LOWER(j, side) ((j) & (side) ? EBB_VLEN + (j) : (j) + (side))
#define EBB_ORDER_2(f, j, side) f(j, side), f((j) + 1, side)
#define EBB_ORDER_4(f, j, side) EBB_ORDER_2(f, j, side), EBB_ORDER_2(f, (j) + 2, side)
#define EBB_ORDER_8(f, j, side) EBB_ORDER_4(f, j, side), EBB_ORDER_4(f, (j) + 4, side)
#define EBB_ORDER_16(f, j, side) EBB_ORDER_8(f, j, side), EBB_ORDER_8(f, (j) + 8, side)
#if EBB_VBYTES == 64 && !EBB_F64
#define EBB_ORDER(f, side) EBB_ORDER_16(f, 0, side)
#elif EBB_VBYTES == 64 || (EBB_VBYTES == 32 && !EBB_F64)
#define EBB_ORDER(f, side) EBB_ORDER_8(f, 0, side)
#elif EBB_VBYTES == 32 || !EBB_F64
#define EBB_ORDER(f, side) EBB_ORDER_4(f, 0, side)
#else
#define EBB_ORDER(f, side) EBB_ORDER_2(f, 0, side)
#endif

#define EBB_SWAP_BLOCKS(v, side)                                                                   \
	EBB_UNROLL(16)                                                                             \
	for (int i = 0; i < EBB_VLEN; i++) {                                                       \
		if (!(i & (side))) {                                                               \
			ebb_vec a = (v)[i], b = (v)[i + (side)];                                   \
                                                                                                   \
			(v)[i] = __builtin_shufflevector(a, b, EBB_ORDER(EBB_UPPER, side));        \
			(v)[i + (side)] =                                                          \
				__builtin_shufflevector(a, b, EBB_ORDER(EBB_LOWER, side));         \
		}                                                                                  \
	}

/* to[c][r] = from[r*ld + c], rows <= EBB_VLEN rows and EBB_VLEN columns; the lanes r >= rows are
 * copies of the last row. */
EBB_INLINE void ebb_transpose_rows(int64_t rows, const real *from, int64_t ld, ebb_vec *to)
{
	EBB_UNROLL(16)
	for (int i = 0; i < EBB_VLEN; i++)
		to[i] = *(const ebb_vec *)(const void *)(from + i64_min(i, rows - 1) * ld);
#if EBB_VBYTES == 64 && !EBB_F64
	EBB_SWAP_BLOCKS(to, 8)
#endif
#if EBB_VBYTES == 64 || (EBB_VBYTES == 32 && !EBB_F64)
	EBB_SWAP_BLOCKS(to, 4)
#endif
#if EBB_VBYTES > 16 || !EBB_F64
	EBB_SWAP_BLOCKS(to, 2)
#endif
	EBB_SWAP_BLOCKS(to, 1)
}

/* to[c][r] = from[r*ld + c], EBB_VLEN rows and columns. */
EBB_INLINE void ebb_transpose_vectors(const real *from, int64_t ld, ebb_vec *to)
{
	ebb_transpose_rows(EBB_VLEN, from, ld, to);
}

/* to[c*ldt + r] = from[r*ld + c] */
static inline void ebb_transpose_block(
	int64_t rows, int64_t cols, const real *from, int64_t ld, real *to, int64_t ldt)
{
	int64_t r = 0;

	for (; r + EBB_VLEN <= rows; r += EBB_VLEN) {
		int64_t c = 0;

		for (; c + EBB_VLEN <= cols; c += EBB_VLEN) {
			ebb_vec v[EBB_VLEN];

			ebb_transpose_vectors(from + r * ld + c, ld, v);
			for (int i = 0; i < EBB_VLEN; i++)
				*(ebb_vec *)(void *)(to + (c + i) * ldt + r) = v[i];
		}
		for (; c < cols; c++) {
			for (int i = 0; i < EBB_VLEN; i++)
				to[c * ldt + r + i] = from[(r + i) * ld + c];
		}
	}
	for (; r < rows; r++) {
		for (int64_t c = 0; c < cols; c++)
			to[c * ldt + r] = from[r * ld + c];
	}
}

#endif
