/*
 * scan.c - cumulative sums along the middle axis of [outer,len,inner], accumulated in double.
 */
#include "real.h"

/* Columns per pass: their sums stay in the first-level cache. */
enum { COLUMNS = 256 };

struct scan_job {
	bool reverse;
	int64_t outer, len, inner;
	int64_t blocks; /* blocks of columns per outer index */
	int64_t chunk;  /* blocks per task */
	const real *x;
	real *y;
};

static void scan_block(const struct scan_job *j, int64_t block)
{
	int64_t first = block % j->blocks * COLUMNS, n = i64_min(COLUMNS, j->inner - first);
	int64_t at = block / j->blocks * j->len * j->inner + first, step = j->inner;
	double sum[COLUMNS] = {0};

	if (j->reverse) {
		at += (j->len - 1) * j->inner;
		step = -step;
	}
	for (int64_t k = 0; k < j->len; k++, at += step) {
		const real *x = j->x + at;
		real *y = j->y + at;

		EBB_IVDEP
		for (int64_t i = 0; i < n; i++) {
			sum[i] += (double)x[i];
			y[i] = (real)sum[i];
		}
	}
}

static void scan_piece(void *ctx, int64_t piece, int worker)
{
	const struct scan_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->outer * j->blocks, from + j->chunk);

	(void)worker;
	for (int64_t block = from; block < to; block++)
		scan_block(j, block);
}

EBB_DECLARE(cumsum);
void EBB_NAME(cumsum)(
	bool reverse, int64_t outer, int64_t len, int64_t inner, const void *x, void *y)
{
	struct scan_job j = {reverse, outer, len, inner, ebb_ceil_div(inner, COLUMNS), 0, x, y};
	int64_t all = outer * j.blocks;

	if (outer <= 0 || len <= 0 || inner <= 0)
		return;
	j.chunk = outer * len * inner < EBB_PARALLEL_FROM
	                  ? all
	                  : i64_max(1, EBB_PIECE / (len * i64_min(inner, COLUMNS)));
	ebb_run_pieces(ebb_ceil_div(all, j.chunk), scan_piece, &j);
}
