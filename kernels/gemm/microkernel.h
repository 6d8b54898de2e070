/*
 * microkernel.h - the micro-kernel: a few rows of a times a panel of columns of b, with the
 * accumulators in registers.  It is the inner loop of matrix products and convolutions.
 *
 *   c[t][j] = bias[j] + sum over runs p, q and terms k of a(t,p,q,k) * b(p,q,k)[j]
 *
 * The terms of the sum come in runs, so that a convolution can read the image in place: a run is
 * the channels under one row of the filter.  a is indexed by one of two rules:
 *
 *   by row:  a(t,p,q,k) = a[t*a_stride + p*a_run1 + q*a_run2 + k]     an image, or A row-major
 *   by term: a(t,p,q,k) = a[k*a_stride + p*a_run1 + q*a_run2 + t]     A transposed, or a packed A
 *
 * Each term, of the same or of the next run, uses the next row of b, b_stride elements further.
 */
#ifndef EBB_KERNELS_GEMM_MICROKERNEL_H
#define EBB_KERNELS_GEMM_MICROKERNEL_H

#include "kernels/real.h"

struct ebb_product {
	int64_t runs1, runs2, len;
	int64_t a_run1, a_run2, a_stride;
	int64_t b_stride;
	int64_t ldc;
	const real *bias; /* one value per column of the panel, or NULL */
	int cols;         /* columns to store, at most the panel's width */
	bool add;         /* c += */
};

enum { EBB_MAX_ROWS = 14, EBB_PANELS = 3 };

typedef void ebb_micro_fn(const struct ebb_product *p, const real *a, const real *b, real *c);

/* A kind of panel: its width, the most rows whose accumulators fit into the registers, and the
 * micro-kernels for each number of rows. */
struct ebb_gemm_panel {
	int width, rows;
	ebb_micro_fn *by_row[EBB_MAX_ROWS + 1], *by_term[EBB_MAX_ROWS + 1];
};

/* By width: half a vector (where that type exists), one vector, two vectors. */
#define ebb_gemm_panels EBB_NAME(gemm_panels)
extern const struct ebb_gemm_panel ebb_gemm_panels[EBB_PANELS];

/* The kind of panel for the next columns when n columns are left. */
static inline const struct ebb_gemm_panel *ebb_gemm_panel_for(int64_t n)
{
	int i = 0;

	while (i < EBB_PANELS - 1 && n > ebb_gemm_panels[i].width)
		i++;
	return &ebb_gemm_panels[i];
}

/* n columns rounded up to whole panels.  In a packed matrix of k terms, the panel that starts at
 * column j begins at element j*k. */
static inline int64_t ebb_panel_columns(int64_t n)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, whole = n / wide * wide;

	return n == whole ? n : whole + ebb_gemm_panel_for(n - whole)->width;
}

/* Rows that are split into tiles of nearly equal heights: each has `least` rows, and the last
 * `higher` ones have one more. */
struct ebb_row_tiles {
	int64_t tiles, least, higher;
};

static inline struct ebb_row_tiles ebb_tile_rows(int64_t rows, int64_t most)
{
	int64_t tiles = ebb_ceil_div(rows, most), least = tiles ? rows / tiles : 0;

	return (struct ebb_row_tiles){tiles, least, rows - tiles * least};
}

/* The number of rows of tile i. */
static inline int64_t ebb_tile_height(const struct ebb_row_tiles *t, int64_t i)
{
	return t->least + (i >= t->tiles - t->higher);
}

/* The first row of tile i; of i = tiles: the number of rows. */
static inline int64_t ebb_tile_start(const struct ebb_row_tiles *t, int64_t i)
{
	return i * t->least + i64_max(0, i - (t->tiles - t->higher));
}

/* Multiplies any number of rows, row_step apart in a, in tiles of nearly equal numbers of rows. */
static inline void ebb_multiply(const struct ebb_gemm_panel *panel, bool by_row, int64_t rows,
	int64_t row_step, const struct ebb_product *p, const real *a, const real *b, real *c)
{
	ebb_micro_fn *const *fn = by_row ? panel->by_row : panel->by_term;
	struct ebb_row_tiles t = ebb_tile_rows(rows, panel->rows);

	for (int64_t i = 0; i < t.tiles; i++) {
		int64_t n = ebb_tile_height(&t, i);

		fn[n](p, a, b, c);
		a += n * row_step;
		c += n * p->ldc;
	}
}

#endif
