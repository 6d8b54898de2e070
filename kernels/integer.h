/*
 * integer.h - the table of kernels for integers: one table for int64_t, one for uint8_t.
 *
 * "integer" below is the type of the table; void * arguments point to arrays of integer.  Each
 * kernel is compiled once for each type, from one source text, for the lowest instruction set.
 * Results are taken modulo 2^64 or 2^8 (two's complement).  The rules of kernels.h hold.
 */
#ifndef EBB_KERNELS_INTEGER_H
#define EBB_KERNELS_INTEGER_H

#include "kernels.h"

/* The type of the elements of an array. */
typedef enum ebb_element {
	EBB_ELEMENT_F32,
	EBB_ELEMENT_F64,
	EBB_ELEMENT_I64,
	EBB_ELEMENT_U8
} ebb_element;

typedef struct ebb_integer_kernels {
	/* The functions of integer.def, as in ebb_kernels.  False, and nothing is written: f is not
	 * a function of integers. */
	bool (*unary)(ebb_unary_fn f, int64_t n, const void *x, void *y, int64_t a, int64_t b);
	/* floor_div rounds down, and remainder has the sign of b; the caller has checked that no b
	 * is 0. */
	bool (*binary_strided)(ebb_binary_fn f, int ndim, const int64_t *shape, const void *a,
		const int64_t *as, const void *b, const int64_t *bs, void *y, const int64_t *ys);
	/* As in ebb_kernels. */
	void (*where_strided)(int ndim, const int64_t *shape, const void *c, int c_size,
		const int64_t *cs, const void *a, const int64_t *as, const void *b,
		const int64_t *bs, void *y, const int64_t *ys);
	void (*compare_strided)(ebb_compare_fn f, int ndim, const int64_t *shape, const void *a,
		const int64_t *as, const void *b, const int64_t *bs, uint8_t *y, const int64_t *ys);
	void (*fill)(int64_t n, int64_t value, void *y); /* y = value modulo 2^64 or 2^8 */
	/* y = x, truncated toward zero.  Returns the position of the first x whose truncation the
	 * type of y cannot hold, such as a NaN; y is undefined then.  -1: there is none. */
	int64_t (*from)(ebb_element type, int64_t n, const void *x, void *y);
	/* y[k] += the sum of x over the reduced axes, modulo 2^64.  An axis is reduced if its
	 * stride in ys is 0. */
	void (*sum_acc)(int ndim, const int64_t *shape, const void *x, const int64_t *xs,
		int64_t *y, const int64_t *ys);
	/* As in ebb_kernels; index must not be NULL. */
	void (*extreme)(int sign, int64_t outer, int64_t len, int64_t inner, const void *x, void *y,
		int64_t *index);
	/* y[o,k,i] = sum of x[o,j,i] over j <= k, modulo 2^64 */
	void (*cumsum)(int64_t outer, int64_t len, int64_t inner, const void *x, int64_t *y);
	/* As in ebb_kernels. */
	void (*index_select)(int64_t outer, int64_t len, int64_t inner, int64_t count,
		const void *x, const int64_t *index, void *y);
	void (*gather)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *x,
		const int64_t *index, void *y);
	void (*gather_acc)(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *gy,
		const int64_t *index, void *gx);
} ebb_integer_kernels;

extern const ebb_integer_kernels ebb_integers_i64, ebb_integers_u8;

/* ---- Random integers (draws.c) --------------------------------------------------------------- */

/* Element i of a stream of uniform integers in [0, range), range >= 1, without bias: Philox4x32-10
 * with counter {i, stream} as in ebb_kernels, and the rejection of Lemire 2019. */
uint64_t ebb_random_below(uint64_t seed, uint64_t stream, uint64_t i, uint64_t range);
/* y[i] = low + element i, which must not overflow */
void ebb_random_integers(
	int64_t n, uint64_t seed, uint64_t stream, int64_t low, uint64_t range, int64_t *y);

/* ---- Sorting (sort.c) ------------------------------------------------------------------------ */

/* index[o,k,i], k < count <= len: the position along len of the k-th element of x[o,:,i] in
 * ascending (descending) order.  Equal elements keep their order, 0 equals -0, and NaNs are equal
 * to each other and larger than all numbers.  ws: ebb_sort_workspace bytes. */
void ebb_sort_index(ebb_element type, bool descending, int64_t outer, int64_t len, int64_t inner,
	int64_t count, const void *x, int64_t *index, void *ws);
/* For that many lines outer*inner; 0 if the size overflows. */
size_t ebb_sort_workspace(int64_t lines, int64_t count);

#endif
