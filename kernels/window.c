/*
 * window.c - sums and norms over windows of channels.
 */
#include "functions.h"

/* Channels whose sums are computed at a time, in double; a window may span all channels. */
enum { CHANNELS = 64 };

struct window_job {
	int64_t rows, c, before, after, chunk;
	const real *x;
	real *y;
	double scale, plus; /* for window_norms */
};

/* y[c0 .. c0+n-1] of a row: adds x at each offset of the window in turn, limited to the row. */
EBB_INLINE void sum_block(
	const struct window_job *j, bool norm, const real *x, int64_t c0, int64_t n, real *y)
{
	double sum[CHANNELS] = {0};
	int64_t low = i64_max(-j->before, -(c0 + n - 1)), high = i64_min(j->after, j->c - 1 - c0);

	for (int64_t d = low; d <= high; d++) {
		int64_t first = i64_max(0, -d - c0), end = i64_min(n, j->c - d - c0);

		for (int64_t k = first; k < end; k++) {
			double v = (double)x[c0 + k + d];

			sum[k] += norm ? v * v : v;
		}
	}
	for (int64_t k = 0; k < n; k++)
		y[c0 + k] = (real)(norm ? sqrt(j->plus + j->scale * sum[k]) : sum[k]);
}

EBB_INLINE void window_rows(const struct window_job *j, bool norm, int64_t piece)
{
	int64_t end = i64_min(j->rows, (piece + 1) * j->chunk);

	for (int64_t r = piece * j->chunk; r < end; r++) {
		for (int64_t c = 0; c < j->c; c += CHANNELS)
			sum_block(j, norm, j->x + r * j->c, c, i64_min(CHANNELS, j->c - c),
				j->y + r * j->c);
	}
}

static void sums_piece(void *ctx, int64_t piece, int worker)
{
	(void)worker;
	window_rows(ctx, false, piece);
}

static void norms_piece(void *ctx, int64_t piece, int worker)
{
	(void)worker;
	window_rows(ctx, true, piece);
}

static void run_window(struct window_job *j, void (*piece)(void *, int64_t, int))
{
	if (j->rows <= 0 || j->c <= 0)
		return;
	j->chunk = j->rows * j->c < EBB_PARALLEL_FROM ? j->rows : i64_max(1, EBB_PIECE / j->c);
	ebb_run_pieces(ebb_ceil_div(j->rows, j->chunk), piece, j);
}

EBB_DECLARE(window_sums);
void EBB_NAME(window_sums)(
	int64_t rows, int64_t c, int64_t before, int64_t after, const void *x, void *y)
{
	struct window_job j = {rows, c, before, after, 0, x, y, 0, 0};

	run_window(&j, sums_piece);
}

EBB_DECLARE(window_norms);
void EBB_NAME(window_norms)(int64_t rows, int64_t c, int64_t before, int64_t after, double scale,
	double plus, const void *x, void *y)
{
	struct window_job j = {rows, c, before, after, 0, x, y, scale, plus};

	run_window(&j, norms_piece);
}
