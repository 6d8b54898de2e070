/*
 * transpose.h - a block of a matrix, turned.
 */
#ifndef EBB_KERNELS_TRANSPOSE_H
#define EBB_KERNELS_TRANSPOSE_H

#include "real.h"

/* to[c*ldt + r] = from[r*ld + c], by squares of a small vector's length. */
static inline void ebb_transpose(
	int64_t rows, int64_t cols, const real *from, int64_t ld, real *to, int64_t ldt)
{
	enum { SIDE = 16 / (int)sizeof(real) };
	typedef real square_row __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
	int64_t r = 0;

	for (; r + SIDE <= rows; r += SIDE) {
		int64_t c = 0;

		for (; c + SIDE <= cols; c += SIDE) {
			square_row v[SIDE], t[SIDE];

			for (int i = 0; i < SIDE; i++)
				v[i] = *(const square_row *)(const void *)(from + (r + i) * ld + c);
#if EBB_F64
			t[0] = (square_row){v[0][0], v[1][0]};
			t[1] = (square_row){v[0][1], v[1][1]};
#else
			square_row a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
			square_row b = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
			square_row d = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
			square_row e = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);

			t[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
			t[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
			t[2] = __builtin_shufflevector(d, e, 0, 1, 4, 5);
			t[3] = __builtin_shufflevector(d, e, 2, 3, 6, 7);
#endif
			for (int i = 0; i < SIDE; i++)
				*(square_row *)(void *)(to + (c + i) * ldt + r) = t[i];
		}
		for (; c < cols; c++) {
			for (int i = 0; i < SIDE; i++)
				to[c * ldt + r + i] = from[(r + i) * ld + c];
		}
	}
	for (; r < rows; r++) {
		for (int64_t c = 0; c < cols; c++)
			to[c * ldt + r] = from[r * ld + c];
	}
}

#endif
