/*
 * outer.c - sums of few outer products: the gradient of the weight of a fully connected layer,
 * which is large compared to a small batch.
 *
 * Each element adds its terms in their order, whatever the tile, so that the result has the same
 * bits if c is written as a whole or handed on tile by tile.  Tasks need no workspace, because
 * packed operands and tiles lie on the stack.
 */
#include "kernels/gemm/outer.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/microkernel.h"
#include "kernels/gemm/pack.h"

#include <assert.h>

/* Bytes of the terms that a task packs, and of a row of its tiles; together with a tile they fit
 * into the second-level cache. */
enum { PACKED_BYTES = 64 * 1024, TILE_ROW_BYTES = 2048 };

enum { TILES_DOWN = 8 };

_Static_assert(PACKED_BYTES / EBB_OUTER_TERMS >= 2 * EBB_VBYTES, "a panel of most terms is packed");

struct outer_job {
	const struct ebb_outer *o;
	int64_t tall, rows, cols, across; /* rows per tile; rows, columns per task; tasks per row */
};

/* Prefetches rows [i, i+rows) of columns [j, j+cols) of the arrays that take will access, for
 * writing. */
static void fetch(const struct ebb_outer *o, int64_t i, int64_t j, int64_t rows, int64_t cols)
{
	enum { LINE = 64 / sizeof(real) };

	for (int k = 0; k < 3 && o->reads[k]; k++) {
		for (int64_t r = 0; r < rows; r++) {
			const real *row = o->reads[k] + (i + r) * o->n + j;

			for (int64_t at = 0; at < cols; at += LINE)
				__builtin_prefetch(row + at, 1);
		}
	}
}

static void outer_piece(void *ctx, int64_t piece, int worker)
{
	const struct outer_job *job = ctx;
	const struct ebb_outer *o = job->o;
	int64_t i0 = piece / job->across * job->rows, j0 = piece % job->across * job->cols;
	int64_t end = i64_min(o->m, i0 + job->rows), cols = i64_min(job->cols, o->n - j0);
	_Alignas(64) real packed[PACKED_BYTES / sizeof(real)];
	_Alignas(64) real tile[EBB_MAX_ROWS * TILE_ROW_BYTES / sizeof(real)];
	real left[EBB_OUTER_TERMS * EBB_MAX_ROWS];
	int64_t rows;

	(void)worker;
	EBB_NAME(pack_columns)(o->terms, cols, o->b + j0, o->n, packed);
	for (int64_t i = i0; i < end; i += rows) {
		struct ebb_product p = {
			.runs1 = 1, .runs2 = 1, .len = o->terms, .ldc = o->c ? o->n : cols};
		real *c = o->c ? o->c + i * o->n + j0 : tile;

		rows = i64_min(job->tall, end - i);
		p.a_stride = rows;
		for (int64_t t = 0; t < o->terms; t++) {
			for (int64_t r = 0; r < rows; r++)
				left[t * rows + r] = o->a[t * o->m + i + r];
		}
		for (int64_t at = 0; at < cols;) {
			const struct ebb_gemm_panel *panel = ebb_gemm_panel_for(cols - at);

			fetch(o, i, j0 + at, rows, i64_min(panel->width, cols - at));
			p.cols = (int)i64_min(panel->width, cols - at);
			p.b_stride = panel->width;
			ebb_multiply(
				panel, false, rows, 1, &p, left, packed + at * o->terms, c + at);
			at += panel->width;
		}
		if (!o->c)
			o->take(o, i, j0, rows, cols, tile);
	}
}

void EBB_NAME(outer_tiles)(const struct ebb_outer *o)
{
	const struct ebb_gemm_panel *wide = &ebb_gemm_panels[EBB_PANELS - 1];
	int64_t most = PACKED_BYTES / (int64_t)sizeof(real) / o->terms;
	struct outer_job job = {
		.o = o, .tall = wide->rows, .rows = (int64_t)TILES_DOWN * wide->rows};

	assert(o->terms >= 1 && o->terms <= EBB_OUTER_TERMS);
	job.cols =
		i64_min(most, TILE_ROW_BYTES / (int64_t)sizeof(real)) / wide->width * wide->width;
	job.across = ebb_ceil_div(o->n, job.cols);
	ebb_run_pieces(ebb_ceil_div(o->m, job.rows) * job.across, outer_piece, &job);
}

void EBB_NAME(outer_sum)(int64_t terms, int64_t m, int64_t n, const void *a, const void *b, void *c)
{
	struct ebb_outer o = {.terms = terms, .m = m, .n = n, .a = a, .b = b, .c = c};

	EBB_NAME(outer_tiles)(&o);
}
