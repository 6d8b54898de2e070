/*
 * tile.h - what the forward pass and the gradient of attention share.  The scores of a head are
 * computed in tiles: at most ATTENTION_ROWS queries times ATTENTION_KEYS keys, which fit the
 * first-level cache.
 */
#ifndef EBB_KERNELS_ATTENTION_TILE_H
#define EBB_KERNELS_ATTENTION_TILE_H

#include "kernels/gemm/microkernel.h"
#include "kernels/lanes.h"

/* A block of keys is packed once for all tiles of queries of a task; a tile has the row length
 * ATTENTION_KEYS, a multiple of every panel's width and of EBB_BLOCK. */
enum {
	ATTENTION_ROWS = 36,
	ATTENTION_KEYS = EBB_F64 ? 64 : 128,
	ATTENTION_BLOCK = 2 * ATTENTION_KEYS
};
/* The number of tasks aimed at. */
enum { ATTENTION_TASKS = 16 };

/* The part of the scores that a tile covers. */
struct attention_tile {
	int64_t i, rows, j, keys; /* queries [i,i+rows), keys [j,j+keys) */
};

#define ebb_attention_pack EBB_NAME(attention_pack)
#define ebb_attention_multiply EBB_NAME(attention_multiply)
#define ebb_attention_masked EBB_NAME(attention_masked)
#define ebb_attention_factors EBB_NAME(attention_factors)

/* attention_workspace of each pass. */
size_t EBB_NAME(attention_forward_workspace)(const ebb_attention_shape *s);
size_t EBB_NAME(attention_grad_workspace)(const ebb_attention_shape *s);

/* Packs the transpose of x [cols,terms], whose rows are ld apart, into panels of `cols` columns,
 * padded with zeros. */
void ebb_attention_pack(int64_t cols, int64_t terms, const real *x, int64_t ld, real *to);

/* c = a b, or c += a b if add.  b is [terms,cols], the upper left part of a matrix of `depth` terms
 * in panels.  a is [rows,terms] with rows a_stride apart if by_row, else [terms,rows] with terms
 * a_stride apart.  c has rows ldc apart. */
void ebb_attention_multiply(bool by_row, int64_t rows, int64_t cols, int64_t terms, const real *a,
	int64_t a_stride, const real *b, int64_t depth, bool add, real *c, int64_t ldc);

/* Applies the mask of one head to the scores x of a tile, row length ATTENTION_KEYS. */
void ebb_attention_masked(const ebb_attention_shape *s, const void *mask, int64_t row,
	const struct attention_tile *tile, real *x);

/* The factors of dropout of a tile: 0 or 1/(1 - dropout). */
void ebb_attention_factors(
	const ebb_attention_shape *s, int64_t head, const struct attention_tile *tile, real *keep);

static inline int64_t ebb_attention_heads(const ebb_attention_shape *s)
{
	int64_t n = 1;

	for (int d = 0; d < s->ndim; d++)
		n *= s->lead[d];
	return n;
}

/* The sum over the leading axes of position times stride. */
static inline int64_t ebb_attention_offset(
	const ebb_attention_shape *s, const int64_t *strides, int64_t head)
{
	int64_t at = 0;

	for (int d = s->ndim - 1; d >= 0; d--) {
		at += head % s->lead[d] * strides[d];
		head /= s->lead[d];
	}
	return at;
}

/* The matrix of one head. */
static inline real *ebb_attention_at(
	const ebb_attention_shape *s, const ebb_attention_matrix *m, int64_t head)
{
	return m->data ? (real *)m->data + ebb_attention_offset(s, m->lead, head) : NULL;
}

/* The mask of one head, NULL without a mask. */
static inline const void *ebb_attention_mask_at(
	const ebb_attention_shape *s, const ebb_attention_matrix *m, int64_t head)
{
	int64_t size = s->mask == EBB_MASK_U8    ? 1
	               : s->mask == EBB_MASK_I64 ? (int64_t)sizeof(int64_t)
	                                         : (int64_t)sizeof(real);

	return s->mask ? (const char *)m->data + ebb_attention_offset(s, m->lead, head) * size
	               : NULL;
}

/* The number of keys from key j on, at most keys, that query i sees; the mask may hide some of
 * them. */
static inline int64_t ebb_attention_seen(
	const ebb_attention_shape *s, int64_t i, int64_t j, int64_t keys)
{
	return s->causal ? i64_max(0, i64_min(keys, i + s->past + 1 - j)) : keys;
}

/* Whether no query of [i,i+rows) sees key j. */
static inline bool ebb_attention_is_future(
	const ebb_attention_shape *s, int64_t i, int64_t rows, int64_t j)
{
	return s->causal && j > i + rows - 1 + s->past;
}

static inline int64_t ebb_attention_round_up(int64_t n, int64_t to)
{
	return ebb_ceil_div(n, to) * to;
}

/* The keys of a tile of `packed` keys from key j on that the last of the queries [i,i+rows) sees,
 * rounded up to whole panels. */
static inline int64_t ebb_attention_tile_keys(
	const ebb_attention_shape *s, int64_t i, int64_t rows, int64_t j, int64_t packed)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width;
	int64_t seen = ebb_attention_seen(s, i + rows - 1, j, packed);

	return i64_min(packed, ebb_attention_round_up(seen, wide));
}

/* The rows of a tile, so that `queries` rows are covered by tiles of nearly equal height. */
static inline int64_t ebb_attention_tile_rows(int64_t queries)
{
	return ebb_ceil_div(queries, ebb_ceil_div(queries, ATTENTION_ROWS));
}

/* to = by*from, dense. */
static inline void ebb_attention_copy(
	int64_t rows, int64_t cols, const real *from, int64_t ld, real by, real *to)
{
	for (int64_t r = 0; r < rows; r++, from += ld, to += cols) {
		for (int64_t c = 0; c < cols; c++)
			to[c] = from[c] * by;
	}
}

static inline void ebb_attention_fill(int64_t rows, int64_t cols, real value, real *to, int64_t ld)
{
	for (int64_t r = 0; r < rows; r++, to += ld) {
		for (int64_t c = 0; c < cols; c++)
			to[c] = value;
	}
}

#endif
