/*
 * dot.c - the inner product of two vectors.
 *
 * The products are summed in double, in LANES sums for each task and in the order of the tasks, so
 * that the sum depends on the length alone.
 */
#include "functions.h"

enum { LANES = 16, PIECES = 64 };

struct dot_job {
	int64_t n, chunk;
	const real *a, *b;
	double *part;
};

static double dot_range(int64_t n, const real *a, const real *b)
{
	double lane[LANES] = {0}, sum = 0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			lane[k] += (double)a[i + k] * (double)b[i + k];
	for (int k = 0; i + k < n; k++)
		lane[k] += (double)a[i + k] * (double)b[i + k];
	for (int k = 0; k < LANES; k++)
		sum += lane[k];
	return sum;
}

static void dot_piece(void *ctx, int64_t piece, int worker)
{
	const struct dot_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	j->part[piece] = dot_range(i64_min(j->chunk, j->n - from), j->a + from, j->b + from);
}

EBB_DECLARE(dot);
double EBB_NAME(dot)(int64_t n, const void *a, const void *b)
{
	double part[PIECES], sum = 0;
	struct dot_job j = {.n = n, .a = a, .b = b, .part = part};
	int64_t pieces;

	j.chunk = i64_max(EBB_PIECE, ebb_ceil_div(n, PIECES));
	pieces = ebb_ceil_div(n, j.chunk);
	if (n < EBB_PARALLEL_FROM)
		for (int64_t i = 0; i < pieces; i++)
			dot_piece(&j, i, 0);
	else
		ebb_run_pieces(pieces, dot_piece, &j);
	for (int64_t i = 0; i < pieces; i++)
		sum += part[i];
	return sum;
}
