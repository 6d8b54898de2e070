/*
 * norm.c - batch normalisation over the rows of [rows,c]: its sums and its two elementwise passes.
 *
 * Narrow rows are taken several at a time, so that vectors are full whatever c is.
 */
#include "functions.h"

/* Columns of one pass, pieces of its rows, and rows of one step: what fits the stack and the
 * cache. */
enum { COLUMNS = 256, PIECES = 16, STEP = 4096 };

struct moments {
	double n, mean[COLUMNS], m2[COLUMNS];
};

struct norm_job {
	int64_t rows, cols, stride, chunk;
	const real *x, *gy;
	const double *mean, *invstd;
	struct moments *part;                           /* batchnorm_stats */
	double (*sum_gy)[COLUMNS], (*sum_gyx)[COLUMNS]; /* batchnorm_sums */
};

/* How many rows make one wide row. */
static int64_t copies(int64_t rows, int64_t cols, int64_t stride)
{
	return stride == cols ? ebb_max(1, ebb_min(rows, 64 / cols)) : 1;
}

/* Repeats the first cols values to fill width. */
static void repeat(double *v, int64_t cols, int64_t width)
{
	for (int64_t k = cols; k < width; k++)
		v[k] = v[k - cols];
}

/* Sums the copies into the first cols values. */
static void fold(double *v, int64_t cols, int64_t width)
{
	for (int64_t k = cols; k < width; k++)
		v[k % cols] += v[k];
}

/* The mean and the centred sum of squares of a few rows, in two passes over the cache. */
static void block_moments(
	int64_t rows, int64_t cols, int64_t stride, const real *x, double *mean, double *m2)
{
	int64_t many = copies(rows, cols, stride), width = many * cols, whole = rows / many * many;

	for (int64_t k = 0; k < width; k++)
		mean[k] = m2[k] = 0;
	for (int64_t r = 0; r < whole; r += many) {
		const real *v = x + r * stride;

		EBB_IVDEP
		for (int64_t k = 0; k < width; k++)
			mean[k] += v[k];
	}
	fold(mean, cols, width);
	for (int64_t r = whole; r < rows; r++) {
		for (int64_t k = 0; k < cols; k++)
			mean[k] += x[r * stride + k];
	}
	for (int64_t k = 0; k < cols; k++)
		mean[k] /= (double)rows;
	repeat(mean, cols, width);
	for (int64_t r = 0; r < whole; r += many) {
		const real *v = x + r * stride;

		EBB_IVDEP
		for (int64_t k = 0; k < width; k++) {
			double d = v[k] - mean[k];

			m2[k] += d * d;
		}
	}
	fold(m2, cols, width);
	for (int64_t r = whole; r < rows; r++) {
		for (int64_t k = 0; k < cols; k++) {
			double d = x[r * stride + k] - mean[k];

			m2[k] += d * d;
		}
	}
}

/* Adds rows to what is known (Chan, Golub & LeVeque 1979). */
static void merge(struct moments *to, int64_t cols, double n, const double *mean, const double *m2)
{
	double all = to->n + n;

	for (int64_t k = 0; k < cols; k++) {
		double d = mean[k] - to->mean[k];

		to->mean[k] += d * (n / all);
		to->m2[k] += m2[k] + d * d * (to->n * n / all);
	}
	to->n = all;
}

static void stats_piece(void *ctx, int64_t piece, int worker)
{
	const struct norm_job *j = ctx;
	int64_t from = piece * j->chunk, to = ebb_min(j->rows, from + j->chunk);
	int64_t step = ebb_max(1, STEP / j->cols);
	struct moments *part = &j->part[piece];
	double mean[COLUMNS], m2[COLUMNS];

	(void)worker;
	part->n = 0;
	for (int64_t k = 0; k < j->cols; k++)
		part->mean[k] = part->m2[k] = 0;
	for (int64_t r = from; r < to; r += step) {
		int64_t n = ebb_min(step, to - r);

		block_moments(n, j->cols, j->stride, j->x + r * j->stride, mean, m2);
		merge(part, j->cols, (double)n, mean, m2);
	}
}

static int64_t split(struct norm_job *j)
{
	j->chunk = ebb_max(ebb_ceil_div(EBB_PIECE, j->cols), ebb_ceil_div(j->rows, PIECES));
	return ebb_ceil_div(j->rows, j->chunk);
}

EBB_DECLARE(batchnorm_stats);
void EBB_NAME(batchnorm_stats)(int64_t rows, int64_t c, const void *x, double *mean, double *var)
{
	struct moments part[PIECES];
	struct norm_job j = {.rows = rows, .stride = c, .part = part};

	if (rows == 0) {
		for (int64_t k = 0; k < c; k++)
			mean[k] = var[k] = 0;
		return;
	}
	for (int64_t at = 0; at < c; at += COLUMNS) {
		int64_t pieces;

		j.cols = ebb_min(COLUMNS, c - at);
		j.x = (const real *)x + at;
		pieces = split(&j);
		ebb_run(pieces, stats_piece, &j);
		for (int64_t p = 1; p < pieces; p++)
			merge(&part[0], j.cols, part[p].n, part[p].mean, part[p].m2);
		for (int64_t k = 0; k < j.cols; k++) {
			mean[at + k] = part[0].mean[k];
			var[at + k] = part[0].m2[k] / (double)rows;
		}
	}
}

static void sums_piece(void *ctx, int64_t piece, int worker)
{
	const struct norm_job *j = ctx;
	int64_t from = piece * j->chunk, rows = ebb_min(j->chunk, j->rows - from);
	int64_t many = copies(rows, j->cols, j->stride), width = many * j->cols;
	int64_t whole = rows / many * many;
	double *sum = j->sum_gy[piece], *dot = j->sum_gyx[piece], mean[COLUMNS];

	(void)worker;
	for (int64_t k = 0; k < width; k++)
		sum[k] = dot[k] = 0;
	memcpy(mean, j->mean, (size_t)j->cols * sizeof *mean);
	repeat(mean, j->cols, width);
	for (int64_t r = 0; r < whole; r += many) {
		const real *x = j->x + (from + r) * j->stride, *gy = j->gy + (from + r) * j->stride;

		EBB_IVDEP
		for (int64_t k = 0; k < width; k++) {
			double g = gy[k];

			sum[k] += g;
			dot[k] += g * (x[k] - mean[k]);
		}
	}
	fold(sum, j->cols, width);
	fold(dot, j->cols, width);
	for (int64_t r = whole; r < rows; r++) {
		const real *x = j->x + (from + r) * j->stride, *gy = j->gy + (from + r) * j->stride;

		for (int64_t k = 0; k < j->cols; k++) {
			sum[k] += gy[k];
			dot[k] += gy[k] * (x[k] - mean[k]);
		}
	}
}

EBB_DECLARE(batchnorm_sums);
void EBB_NAME(batchnorm_sums)(int64_t rows, int64_t c, const void *x, const void *gy,
	const double *mean, const double *invstd, double *sum_gy, double *sum_gyx)
{
	double sums[PIECES][COLUMNS], dots[PIECES][COLUMNS];
	struct norm_job j = {.rows = rows, .stride = c, .sum_gy = sums, .sum_gyx = dots};

	for (int64_t at = 0; at < c; at += COLUMNS) {
		int64_t pieces;

		j.cols = ebb_min(COLUMNS, c - at);
		j.x = (const real *)x + (rows ? at : 0);
		j.gy = (const real *)gy + (rows ? at : 0);
		j.mean = mean + at;
		pieces = split(&j);
		ebb_run(pieces, sums_piece, &j);
		for (int64_t k = 0; k < j.cols; k++) {
			double s = 0, d = 0;

			for (int64_t p = 0; p < pieces; p++) {
				s += sums[p][k];
				d += dots[p][k];
			}
			sum_gy[at + k] = s;
			sum_gyx[at + k] = d * invstd[at + k];
		}
	}
}

/* ---- y = ga*gy + gb*x + gc ------------------------------------------------------------------- */

struct affine_job {
	int64_t rows, cols, stride, chunk;
	const real *x, *gy; /* gy may be NULL */
	const double *ga, *gb, *gc;
	real *y;
};

static void affine_rows(const struct affine_job *j, int64_t from, int64_t to)
{
	int64_t many = copies(to - from, j->cols, j->stride), width = many * j->cols;
	real a[COLUMNS], b[COLUMNS], c[COLUMNS];

	for (int64_t k = 0; k < width; k++) {
		a[k] = k < j->cols ? j->gy ? (real)j->ga[k] : 0 : a[k - j->cols];
		b[k] = k < j->cols ? (real)j->gb[k] : b[k - j->cols];
		c[k] = k < j->cols ? (real)j->gc[k] : c[k - j->cols];
	}
	for (int64_t r = from; r < to; r += many) {
		int64_t w = r + many <= to ? width : (to - r) * j->cols;
		const real *x = j->x + r * j->stride, *gy = j->gy ? j->gy + r * j->stride : NULL;
		real *y = j->y + r * j->stride;

		if (gy) {
			EBB_IVDEP
			for (int64_t k = 0; k < w; k++)
				y[k] = a[k] * gy[k] + (b[k] * x[k] + c[k]);
		} else {
			EBB_IVDEP
			for (int64_t k = 0; k < w; k++)
				y[k] = b[k] * x[k] + c[k];
		}
	}
}

static void affine_piece(void *ctx, int64_t piece, int worker)
{
	const struct affine_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	affine_rows(j, from, ebb_min(j->rows, from + j->chunk));
}

static void affine(int64_t rows, int64_t c, const real *x, const real *gy, const double *ga,
	const double *gb, const double *gc, real *y)
{
	if (rows == 0)
		return;
	for (int64_t at = 0; at < c; at += COLUMNS) {
		struct affine_job j = {.rows = rows,
			.cols = ebb_min(COLUMNS, c - at),
			.stride = c,
			.x = x + at,
			.gy = gy ? gy + at : NULL,
			.ga = ga ? ga + at : NULL,
			.gb = gb + at,
			.gc = gc + at,
			.y = y + at};

		j.chunk = rows * j.cols < EBB_PARALLEL_FROM ? rows : ebb_max(1, EBB_PIECE / j.cols);
		ebb_run(ebb_ceil_div(rows, j.chunk), affine_piece, &j);
	}
}

EBB_DECLARE(scale_shift);
void EBB_NAME(scale_shift)(
	int64_t rows, int64_t c, const void *x, const double *scale, const double *shift, void *y)
{
	affine(rows, c, x, NULL, NULL, scale, shift, y);
}

EBB_DECLARE(batchnorm_gx);
void EBB_NAME(batchnorm_gx)(int64_t rows, int64_t c, const void *x, const void *gy,
	const double *ga, const double *gb, const double *gc, void *gx)
{
	affine(rows, c, x, gy, ga, gb, gc, gx);
}
