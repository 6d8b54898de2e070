/*
 * gelu.c - GELU with a bias per column, and the gradients of both in one pass.
 */
#include "real.h"

EBB_DECLARE(unary);

/* Most tasks of a gradient with a bias: each has a partial sum of the bias' gradient. */
enum { MOST_SUMS = 64 };

/* Elements that are computed at once. */
enum { PART = 512 };
_Static_assert((int)PART < (int)EBB_PARALLEL_FROM,
	"the kernel unary would call the thread pool from a task");

struct gelu_job {
	bool tanh;
	int64_t rows, len, chunk; /* chunk: rows of a task; without a bias, elements */
	const real *x, *b, *gy;
	real *y;
	double *sums; /* [tasks,len] */
};

/* One part of a row, which fits the nearest cache.  The kernel unary computes the function and its
 * derivative, so that results are those of the ops without a bias bit for bit. */
static void part(const struct gelu_job *j, int64_t n, const real *x, const real *b, const real *gy,
	real *y, double *sums)
{
	real z[PART], slope[PART];

	for (int64_t i = 0; b && i < n; i++)
		z[i] = x[i] + b[i];
	if (b)
		x = z;
	if (!gy) {
		EBB_NAME(unary)(j->tanh ? EBB_UNARY_gelu_tanh : EBB_UNARY_gelu, n, x, y, 0, 0);
		return;
	}
	EBB_NAME(unary)
	(j->tanh ? EBB_UNARY_gelu_tanh_slope : EBB_UNARY_gelu_slope, n, x, slope, 0, 0);
	EBB_IVDEP
	for (int64_t i = 0; i < n; i++)
		y[i] = gy[i] * slope[i];
	for (int64_t i = 0; sums && i < n; i++)
		sums[i] += (double)y[i];
}

/* n elements from number `from` on, the first of them in column 0 if there is a bias. */
static void parts(const struct gelu_job *j, int64_t from, int64_t n, double *sums)
{
	for (int64_t at = 0; at < n; at += PART)
		part(j, i64_min(n - at, PART), j->x + from + at, j->b ? j->b + at : NULL,
			j->gy ? j->gy + from + at : NULL, j->y + from + at,
			sums ? sums + at : NULL);
}

static void rows_piece(void *ctx, int64_t piece, int worker)
{
	const struct gelu_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->rows, from + j->chunk);
	double *sums = j->sums ? j->sums + piece * j->len : NULL;

	(void)worker;
	for (int64_t k = 0; sums && k < j->len; k++)
		sums[k] = 0;
	for (int64_t r = from; r < to; r++)
		parts(j, r * j->len, j->len, sums);
}

static void flat_piece(void *ctx, int64_t piece, int worker)
{
	const struct gelu_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	parts(j, from, i64_min(j->rows * j->len - from, j->chunk), NULL);
}

/* The rows of a task, at most MOST_SUMS tasks. */
static int64_t rows_of_task(int64_t rows, int64_t len)
{
	int64_t chunk = i64_max(1, EBB_PIECE / len);

	return rows * len < EBB_PARALLEL_FROM ? rows
	                                      : i64_max(chunk, ebb_ceil_div(rows, MOST_SUMS));
}

EBB_DECLARE(gelu_bias);
void EBB_NAME(gelu_bias)(
	bool tanh, int64_t rows, int64_t len, const void *x, const void *b, void *y)
{
	struct gelu_job j = {.tanh = tanh, .rows = rows, .len = len, .x = x, .b = b, .y = y};

	if (rows <= 0 || len <= 0)
		return;
	j.chunk = rows_of_task(rows, len);
	ebb_run_pieces(ebb_ceil_div(rows, j.chunk), rows_piece, &j);
}

EBB_DECLARE(gelu_workspace);
size_t EBB_NAME(gelu_workspace)(int64_t rows, int64_t len)
{
	return rows > 0 && len > 0
	               ? ebb_bytes_of(len, (size_t)ebb_ceil_div(rows, rows_of_task(rows, len)) *
						   sizeof(double))
	               : 0;
}

EBB_DECLARE(gelu_grad);
void EBB_NAME(gelu_grad)(bool tanh, int64_t rows, int64_t len, const void *x, const void *b,
	const void *gy, void *gx, void *gb, void *ws)
{
	struct gelu_job j = {
		.tanh = tanh, .rows = rows, .len = len, .x = x, .b = b, .gy = gy, .y = gx};
	int64_t pieces = 0;
	real *sum = gb;

	if (rows > 0 && len > 0 && !b) {
		j.chunk = rows * len < EBB_PARALLEL_FROM ? rows * len : EBB_PIECE;
		ebb_run_pieces(ebb_ceil_div(rows * len, j.chunk), flat_piece, &j);
	} else if (rows > 0 && len > 0) {
		j.sums = gb ? ws : NULL;
		j.chunk = rows_of_task(rows, len);
		pieces = ebb_ceil_div(rows, j.chunk);
		ebb_run_pieces(pieces, rows_piece, &j);
	}
	for (int64_t k = 0; sum && k < len; k++) {
		double s = 0;

		for (int64_t p = 0; p < pieces; p++)
			s += j.sums[p * len + k];
		sum[k] = (real)s;
	}
}
