/* pack.c - packs the operands of a matrix product. */
#include "kernels/gemm/pack.h"
#include "kernels/lanes.h"
#include "kernels/transpose.h"

#include <string.h>

/* Copies kc rows, ldb apart, of `panels` adjacent panels, each vecs vectors wide.  panels and vecs
 * are constants, so that a row is copied by loads and stores. */
EBB_INLINE void copy_panels(
	const int panels, const int vecs, int64_t kc, const real *b, int64_t ldb, real *to)
{
	for (int64_t k = 0; k < kc; k++, b += ldb, to += vecs * EBB_VLEN) {
		EBB_UNROLL(4)
		for (int p = 0; p < panels; p++) {
			EBB_UNROLL(2)
			for (int v = 0; v < vecs; v++)
				ebb_store(to + p * kc * vecs * EBB_VLEN + v * EBB_VLEN,
					ebb_load(b + (p * vecs + v) * EBB_VLEN));
		}
	}
}

void EBB_NAME(pack_columns)(int64_t kc, int64_t nc, const real *b, int64_t ldb, real *to)
{
	int64_t at = 0;

	for (; at + EBB_PACK_GROUP * 2 * EBB_VLEN <= nc;
		at += (int64_t)EBB_PACK_GROUP * 2 * EBB_VLEN)
		copy_panels(EBB_PACK_GROUP, 2, kc, b + at, ldb, to + at * kc);
	while (at < nc) {
		int64_t width = ebb_gemm_panel_for(nc - at)->width, cols = i64_min(width, nc - at);
		real *panel = to + at * kc;

		if (cols == 2 * EBB_VLEN)
			copy_panels(1, 2, kc, b + at, ldb, panel);
		else if (cols == EBB_VLEN && width == cols)
			copy_panels(1, 1, kc, b + at, ldb, panel);
		else if (cols == width)
			for (int64_t k = 0; k < kc; k++)
				memcpy(panel + k * width, b + k * ldb + at,
					(size_t)width * sizeof(real));
		for (int64_t k = 0; k < kc && cols < width; k++) {
			for (int64_t i = 0; i < width; i++)
				panel[k * width + i] = i < cols ? b[k * ldb + at + i] : 0;
		}
		at += width;
	}
}

void EBB_NAME(pack_panels)(
	const struct ebb_operand *b, int64_t k0, int64_t kc, int64_t n0, int64_t nc, real *to)
{
	if (!b->transposed) {
		EBB_NAME(pack_columns)(kc, nc, b->x + k0 * b->ld + n0, b->ld, to);
		return;
	}
	for (int64_t at = 0; at < nc;) {
		int64_t width = ebb_gemm_panel_for(nc - at)->width, cols = i64_min(width, nc - at);
		real *panel = to + at * kc;

		ebb_transpose_block(cols, kc, b->x + (n0 + at) * b->ld + k0, b->ld, panel, width);
		for (int64_t k = 0; k < kc && cols < width; k++) {
			for (int64_t i = cols; i < width; i++)
				panel[k * width + i] = 0;
		}
		at += width;
	}
}

/* to[q*n*kc + k*n + i] = a[k*lda + q*n + i] for n rows i of each tile q, by whole vectors.  If
 * n < EBB_VLEN, the excess lanes of a vector are overwritten by the next term; the last terms,
 * whose vector would end behind the tile, are copied by element.  tiles is a constant. */
EBB_INLINE void copy_terms(
	const int tiles, int64_t n, int64_t kc, const real *a, int64_t lda, real *to)
{
	int64_t k = 0, whole = n < EBB_VLEN ? kc - ebb_ceil_div(EBB_VLEN, n) : kc;

	for (; k < whole; k++) {
		const real *from = a + k * lda;
		real *term = to + k * n;

		EBB_UNROLL(4)
		for (int q = 0; q < tiles; q++, from += n, term += n * kc) {
			if (n < EBB_VLEN) {
				ebb_store(term, ebb_load(from));
				continue;
			}
			for (int64_t i = 0; i + EBB_VLEN < n; i += EBB_VLEN)
				ebb_store(term + i, ebb_load(from + i));
			ebb_store(term + n - EBB_VLEN, ebb_load(from + n - EBB_VLEN));
		}
	}
	for (; k < kc; k++) {
		for (int64_t q = 0; q < tiles; q++)
			for (int64_t i = 0; i < n; i++)
				to[(q * kc + k) * n + i] = a[k * lda + q * n + i];
	}
}

/* to[k*n + i] = a[i*lda + k] for n rows i, n <= EBB_VLEN.  As in copy_terms, the excess lanes of a
 * term are overwritten by the next one. */
static void copy_few_rows(int64_t n, int64_t kc, const real *a, int64_t lda, real *to)
{
	int64_t k = 0;

	for (; k + 2 * EBB_VLEN <= kc; k += EBB_VLEN) {
		ebb_vec v[EBB_VLEN];

		ebb_transpose_rows(n, a + k, lda, v);
		for (int i = 0; i < EBB_VLEN; i++)
			ebb_store(to + (k + i) * n, v[i]);
	}
	for (; k < kc; k++)
		for (int64_t i = 0; i < n; i++)
			to[k * n + i] = a[i * lda + k];
}

void EBB_NAME(pack_tiles)(const struct ebb_operand *a, int64_t k0, int64_t kc, int64_t m0,
	const struct ebb_row_tiles *t, int64_t from, int64_t end, real *to)
{
	for (int64_t i = from, group; i < end; i += group) {
		int64_t start = ebb_tile_start(t, i), n = ebb_tile_height(t, i);
		const real *x = a->transposed ? a->x + k0 * a->ld + m0 + start
		                              : a->x + (m0 + start) * a->ld + k0;

		group = a->transposed && i + EBB_PACK_GROUP <= end &&
		                        ebb_tile_start(t, i + EBB_PACK_GROUP) - start ==
		                                EBB_PACK_GROUP * n
		                ? EBB_PACK_GROUP
		                : 1;
		if (group == EBB_PACK_GROUP)
			copy_terms(EBB_PACK_GROUP, n, kc, x, a->ld, to);
		else if (a->transposed)
			copy_terms(1, n, kc, x, a->ld, to);
		else if (n <= EBB_VLEN)
			copy_few_rows(n, kc, x, a->ld, to);
		else
			ebb_transpose_block(n, kc, x, a->ld, to, n);
		to += group * n * kc;
	}
}
