/* tile.c - tiles of scores: packing, products, masks and dropout factors. */
#include "kernels/attention/tile.h"
#include "kernels/random.h"
#include "kernels/transpose.h"

#include <math.h>

/* The terms that a micro-kernel adds in one float accumulator. */
enum { TERMS = 256 };

void ebb_attention_pack(int64_t cols, int64_t terms, const real *x, int64_t ld, real *to)
{
	for (int64_t at = 0; at < cols;) {
		int64_t width = ebb_gemm_panel_for(cols - at)->width;
		int64_t n = i64_min(width, cols - at);
		real *panel = to + at * terms;

		ebb_transpose_block(n, terms, x + at * ld, ld, panel, width);
		for (int64_t k = 0; k < terms && n < width; k++) {
			for (int64_t c = n; c < width; c++)
				panel[k * width + c] = 0;
		}
		at += width;
	}
}

void ebb_attention_multiply(bool by_row, int64_t rows, int64_t cols, int64_t terms, const real *a,
	int64_t a_stride, const real *b, int64_t depth, bool add, real *c, int64_t ldc)
{
	if (terms == 0 && !add)
		ebb_attention_fill(rows, cols, 0, c, ldc);
	for (int64_t k = 0; k < terms; k += TERMS) {
		struct ebb_product p = {.runs1 = 1,
			.runs2 = 1,
			.len = i64_min(TERMS, terms - k),
			.a_stride = a_stride,
			.ldc = ldc,
			.add = add || k > 0};
		const real *from = a + (by_row ? k : k * a_stride);

		for (int64_t at = 0; at < cols;) {
			const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(cols - at);

			p.cols = (int)i64_min(panel->width, cols - at);
			p.b_stride = panel->width;
			ebb_multiply(panel, by_row, rows, by_row ? a_stride : 1, &p, from,
				b + at * depth + k * panel->width, c + at);
			at += panel->width;
		}
	}
}

/* x = -inf where the element of a boolean mask is 0. */
#define HIDE(type)                                                                                 \
	do {                                                                                       \
		const type *m = from;                                                              \
                                                                                                   \
		if (step == 1) {                                                                   \
			for (int64_t c = 0; c < n; c++)                                            \
				x[c] = m[c] ? x[c] : -(real)INFINITY;                              \
		} else {                                                                           \
			for (int64_t c = 0; c < n; c++)                                            \
				x[c] = m[c * step] ? x[c] : -(real)INFINITY;                       \
		}                                                                                  \
	} while (0)

static void add_row(int64_t n, const real *m, int64_t step, real *x)
{
	if (step == 1) {
		for (int64_t c = 0; c < n; c++)
			x[c] += m[c];
	} else {
		for (int64_t c = 0; c < n; c++)
			x[c] += m[c * step];
	}
}

void ebb_attention_masked(const ebb_attention_shape *s, const void *mask, int64_t row,
	const struct attention_tile *tile, real *x)
{
	int64_t n = tile->keys, step = s->mask_column;

	for (int64_t r = 0; r < tile->rows; r++, x += ATTENTION_KEYS) {
		int64_t at = (tile->i + r) * row + tile->j * step;
		const void *from;

		if (s->mask == EBB_MASK_U8) {
			from = (const uint8_t *)mask + at;
			HIDE(uint8_t);
		} else if (s->mask == EBB_MASK_I64) {
			from = (const int64_t *)mask + at;
			HIDE(int64_t);
		} else if (s->mask == EBB_MASK_REAL) {
			add_row(n, (const real *)mask + at, step, x);
		}
	}
}

void ebb_attention_factors(
	const ebb_attention_shape *s, int64_t head, const struct attention_tile *tile, real *keep)
{
	uint64_t first = (uint64_t)ebb_attention_offset(s, s->counter, head) * (uint64_t)s->queries;

	for (int64_t r = 0; r < tile->rows; r++)
		EBB_NAME(dropout_factors)
	((first + (uint64_t)(tile->i + r)) * (uint64_t)s->keys + (uint64_t)tile->j, tile->keys,
		s->seed, s->stream, s->dropout, keep + r * ATTENTION_KEYS);
}
