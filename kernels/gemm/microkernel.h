/*
 * microkernel.h - a few rows times a panel of columns, in registers: what matrix products and
 * convolutions are made of.
 *
 *   c[t][j] = bias[j] + sum over runs p, q and terms k of a(t,p,q,k) * b(p,q,k)[j]
 *
 * The terms of the sum come in runs, so that a convolution can read the image as it lies: a run is
 * the channels under one row of the filter.  a is read by one of two rules:
 *
 *   by row:  a(t,p,q,k) = a[t*a_stride + p*a_run1 + q*a_run2 + k]     an image, or A row-major
 *   by term: a(t,p,q,k) = a[k*a_stride + p*a_run1 + q*a_run2 + t]     A transposed, or a packed A
 *
 * b moves on by b_stride with every term, of any run.
 */
#ifndef EBB_KERNELS_GEMM_MICROKERNEL_H
#define EBB_KERNELS_GEMM_MICROKERNEL_H

#include "kernels/real.h"

struct ebb_product {
	int64_t runs1, runs2, len;
	int64_t a_run1, a_run2, a_stride;
	int64_t b_stride;
	int64_t ldc;
	const real *bias; /* a panel's width, or NULL */
	int cols;         /* columns to store, at most the panel's width */
	bool add;         /* c += */
};

enum { EBB_MAX_ROWS = 14, EBB_PANELS = 3 };

typedef void ebb_micro_fn(const struct ebb_product *p, const real *a, const real *b, real *c);

/* A kind of panel: its width, the most rows that registers hold, and the kernel for each number of
 * rows. */
struct ebb_gemm_panel {
	int width, rows;
	ebb_micro_fn *by_row[EBB_MAX_ROWS + 1], *by_term[EBB_MAX_ROWS + 1];
};

/* Half a vector where that exists, a vector, two vectors. */
#define ebb_gemm_panels EBB_NAME(panels)
extern const struct ebb_gemm_panel ebb_gemm_panels[EBB_PANELS];

/* The panel for the next columns when n are left. */
static inline const struct ebb_gemm_panel *ebb_gemm_panel_for(int64_t n)
{
	int i = 0;

	while (i < EBB_PANELS - 1 && n > ebb_gemm_panels[i].width)
		i++;
	return &ebb_gemm_panels[i];
}

/* n columns rounded up to whole panels.  Column j of a packed matrix of k terms starts at j*k,
 * for j where a panel starts. */
static inline int64_t ebb_panel_columns(int64_t n)
{
	int64_t wide = ebb_gemm_panels[EBB_PANELS - 1].width, whole = n / wide * wide;

	return n == whole ? n : whole + ebb_gemm_panel_for(n - whole)->width;
}

/* Any number of rows, row_step apart in a: tiles as equal as possible. */
static inline void ebb_multiply(const struct ebb_gemm_panel *panel, bool by_row, int64_t rows,
	int64_t row_step, const struct ebb_product *p, const real *a, const real *b, real *c)
{
	ebb_micro_fn *const *fn = by_row ? panel->by_row : panel->by_term;
	int64_t tiles = ebb_ceil_div(rows, panel->rows);

	for (int64_t i = 0, done = 0; i < tiles; i++) {
		int64_t n = (rows - done) / (tiles - i);

		fn[n](p, a + done * row_step, b, c + done * p->ldc);
		done += n;
	}
}

#endif
