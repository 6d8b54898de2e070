/*
 * window.c - sums over windows of channels.
 */
#include "functions.h"

/* Channels whose sums are kept at a time, in double: a window may span all of them. */
enum { CHANNELS = 64 };

struct window_job {
	int64_t rows, c, before, after, chunk;
	const real *x;
	real *y;
};

/* y[c0 .. c0+n-1] of a row: one shifted run of x after the other, cut to the row. */
static void sum_block(const struct window_job *j, const real *x, int64_t c0, int64_t n, real *y)
{
	double sum[CHANNELS] = {0};
	int64_t low = ebb_max(-j->before, -(c0 + n - 1)), high = ebb_min(j->after, j->c - 1 - c0);

	for (int64_t d = low; d <= high; d++) {
		int64_t first = ebb_max(0, -d - c0), end = ebb_min(n, j->c - d - c0);

		for (int64_t k = first; k < end; k++)
			sum[k] += (double)x[c0 + k + d];
	}
	for (int64_t k = 0; k < n; k++)
		y[c0 + k] = (real)sum[k];
}

static void window_rows(void *ctx, int64_t piece, int worker)
{
	const struct window_job *j = ctx;
	int64_t end = ebb_min(j->rows, (piece + 1) * j->chunk);

	(void)worker;
	for (int64_t r = piece * j->chunk; r < end; r++) {
		for (int64_t c = 0; c < j->c; c += CHANNELS)
			sum_block(j, j->x + r * j->c, c, ebb_min(CHANNELS, j->c - c),
				j->y + r * j->c);
	}
}

EBB_DECLARE(window_sums);
void EBB_NAME(window_sums)(
	int64_t rows, int64_t c, int64_t before, int64_t after, const void *x, void *y)
{
	struct window_job j = {rows, c, before, after, 0, x, y};

	if (rows <= 0 || c <= 0)
		return;
	j.chunk = rows * c < EBB_PARALLEL_FROM ? rows : ebb_max(1, EBB_PIECE / c);
	ebb_run(ebb_ceil_div(rows, j.chunk), window_rows, &j);
}
