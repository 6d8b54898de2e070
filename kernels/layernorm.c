/*
 * layernorm.c - normalisation of each row of [rows,len]: layer norm, and root mean square norm,
 * which does not subtract the mean.
 */
#include <float.h>

#include "functions.h"

/* LANES: accumulators of a sum on every processor, so that sums vectorise and have the same order
 * everywhere.  COLUMNS: columns per task of the sums over rows. */
enum { LANES = 16, COLUMNS = 64 };

struct row_job {
	bool centred;
	int64_t rows, len, chunk;
	const real *x, *gy, *w, *b; /* w, b may be NULL */
	double eps;
	double *mean, *rest, *inv, *gw, *gb;
	const double *row_mean, *row_rest, *row_inv;
	real *y;
};

/* The statistics of a row: its mean is mean + rest. */
struct row {
	double mean, rest, inv;
};

static double total(const double *lane)
{
	double s = 0;

	for (int k = 0; k < LANES; k++)
		s += lane[k];
	return s;
}

/* The mean of floats needs no rest: a double is 2^29 times as precise as a float. */
EBB_INLINE double deviation(real x, double mean, double rest)
{
	return EBB_F64 ? (x - mean) - rest : x - mean;
}

/* The mean; if all elements are equal, exactly that element.  Floats are summed directly, which in
 * double is accurate enough; doubles are summed as deviations from the first element. */
static void row_mean(int64_t len, const real *x, struct row *row)
{
	double lane[LANES] = {0}, first = EBB_F64 ? x[0] : 0, d, part;
	int64_t i = 0;

	for (; i + LANES <= len; i += LANES) {
		EBB_IVDEP
		for (int k = 0; k < LANES; k++)
			lane[k] += x[i + k] - first;
	}
	for (int k = 0; i + k < len; k++)
		lane[k] += x[i + k] - first;
	d = total(lane) / (double)len;
	row->mean = first + d;
	/* The rounding error of first + d (Knuth). */
	part = row->mean - first; /* NOLINT(clang-analyzer-deadcode.DeadStores): for double */
	row->rest = EBB_F64 ? (first - (row->mean - part)) + (d - part) : 0;
}

/* The mean of (x - mean)^2. */
static double row_square(int64_t len, const real *x, const struct row *row)
{
	double lane[LANES] = {0}, m = row->mean, rest = row->rest;
	int64_t i = 0;

	for (; i + LANES <= len; i += LANES) {
		EBB_IVDEP
		for (int k = 0; k < LANES; k++) {
			double d = deviation(x[i + k], m, rest);

			lane[k] += d * d;
		}
	}
	for (int k = 0; i + k < len; k++) {
		double d = deviation(x[i + k], m, rest);

		lane[k] += d * d;
	}
	return total(lane) / (double)len;
}

/* The statistics of x/2^e, whose elements are at most 1, scaled back.  A row with an infinity or
 * NaN is left as it is. */
static void scaled_row(const struct row_job *j, const real *x, struct row *row)
{
	double most = 0, first, sum = 0, squares = 0;
	int e;

	for (int64_t i = 0; i < j->len; i++) {
		double absolute = fabs((double)x[i]);

		if (!(absolute <= DBL_MAX))
			return;
		most = absolute > most ? absolute : most;
	}
	frexp(most, &e);
	first = j->centred ? ldexp((double)x[0], -e) : 0;
	for (int64_t i = 0; j->centred && i < j->len; i++)
		sum += ldexp((double)x[i], -e) - first;
	sum /= (double)j->len;
	for (int64_t i = 0; i < j->len; i++) {
		double d = ldexp((double)x[i], -e) - first - sum;

		squares += d * d;
	}
	row->mean = ldexp(first + sum, e);
	row->rest = ldexp(first - ldexp(row->mean, -e) + sum, e);
	row->inv = ldexp(1 / hypot(sqrt(squares / (double)j->len), ldexp(sqrt(j->eps), -e)), -e);
}

static void row_statistics(const struct row_job *j, const real *x, struct row *row)
{
	double square;

	*row = (struct row){0};
	if (j->centred)
		row_mean(j->len, x, row);
	square = row_square(j->len, x, row) + j->eps;
	row->inv = 1 / sqrt(square);
	/* Squares of floats never leave the range of a double. */
	if (EBB_F64 && !(square >= 0x1p-960 && square <= DBL_MAX))
		scaled_row(j, x, row);
}

static void forward_row(const struct row_job *j, int64_t r)
{
	const real *x = j->x + r * j->len;
	real *y = j->y + r * j->len;
	struct row row;
	double m, rest, inv;

	row_statistics(j, x, &row);
	j->mean[r] = m = row.mean;
	j->rest[r] = rest = row.rest;
	j->inv[r] = inv = row.inv;
	for (int64_t i = 0; i < j->len; i++) {
		double v = deviation(x[i], m, rest) * inv;

		v = j->w ? v * j->w[i] : v;
		y[i] = (real)(j->b ? v + j->b[i] : v);
	}
}

static double weighted(const struct row_job *j, const real *gy, int64_t i)
{
	return j->w ? (double)gy[i] * j->w[i] : (double)gy[i];
}

/* gx = inv*(g - mean g - xh*mean(g*xh)), g = gy*w, xh = (x - m)*inv */
static void grad_row(const struct row_job *j, int64_t r)
{
	const real *x = j->x + r * j->len, *gy = j->gy + r * j->len;
	double m = j->row_mean[r], rest = j->row_rest[r], inv = j->row_inv[r], sum, dot;
	double sums[LANES] = {0}, dots[LANES] = {0};
	real *gx = j->y + r * j->len;

	for (int64_t i = 0; i < j->len; i += LANES) {
		int64_t n = i64_min(LANES, j->len - i);

		for (int64_t k = 0; k < n; k++) {
			double g = weighted(j, gy, i + k);

			sums[k] += g;
			dots[k] += g * (deviation(x[i + k], m, rest) * inv);
		}
	}
	sum = j->centred ? total(sums) / (double)j->len : 0;
	dot = total(dots) / (double)j->len;
	for (int64_t i = 0; i < j->len; i++) {
		double xh = deviation(x[i], m, rest) * inv;

		gx[i] = (real)(inv * (weighted(j, gy, i) - sum - xh * dot));
	}
}

static void forward_piece(void *ctx, int64_t piece, int worker)
{
	const struct row_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->rows, from + j->chunk);

	(void)worker;
	for (int64_t r = from; r < to; r++)
		forward_row(j, r);
}

static void grad_piece(void *ctx, int64_t piece, int worker)
{
	const struct row_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->rows, from + j->chunk);

	(void)worker;
	for (int64_t r = from; r < to; r++)
		grad_row(j, r);
}

static void run_rows(struct row_job *j, void (*piece)(void *, int64_t, int))
{
	if (j->rows == 0 || j->len == 0)
		return;
	j->chunk = j->rows * j->len < EBB_PARALLEL_FROM ? j->rows : i64_max(1, EBB_PIECE / j->len);
	ebb_run_pieces(ebb_ceil_div(j->rows, j->chunk), piece, j);
}

EBB_DECLARE(rownorm);
void EBB_NAME(rownorm)(bool centred, int64_t rows, int64_t len, const void *x, const void *w,
	const void *b, double eps, void *y, double *mean, double *rest, double *inv)
{
	struct row_job j = {.centred = centred,
		.rows = rows,
		.len = len,
		.x = x,
		.w = w,
		.b = b,
		.eps = eps,
		.mean = mean,
		.rest = rest,
		.inv = inv,
		.y = y};

	run_rows(&j, forward_piece);
}

EBB_DECLARE(rownorm_grad);
void EBB_NAME(rownorm_grad)(bool centred, int64_t rows, int64_t len, const void *x, const void *gy,
	const void *w, const double *mean, const double *rest, const double *inv, void *gx)
{
	struct row_job j = {.centred = centred,
		.rows = rows,
		.len = len,
		.x = x,
		.gy = gy,
		.w = w,
		.row_mean = mean,
		.row_rest = rest,
		.row_inv = inv,
		.y = gx};

	run_rows(&j, grad_piece);
}

/* A task sums whole columns, so that there are no partial sums to add. */
static void sums_piece(void *ctx, int64_t piece, int worker)
{
	const struct row_job *j = ctx;
	int64_t from = piece * COLUMNS, n = i64_min(COLUMNS, j->len - from);
	double gw[COLUMNS] = {0}, gb[COLUMNS] = {0};

	(void)worker;
	for (int64_t r = 0; r < j->rows; r++) {
		const real *x = j->x + r * j->len + from, *gy = j->gy + r * j->len + from;
		double m = j->row_mean[r], rest = j->row_rest[r], inv = j->row_inv[r];

		EBB_IVDEP
		for (int64_t k = 0; k < n; k++) {
			gw[k] += gy[k] * (deviation(x[k], m, rest) * inv);
			gb[k] += gy[k];
		}
	}
	memcpy(j->gw + from, gw, (size_t)n * sizeof *gw);
	memcpy(j->gb + from, gb, (size_t)n * sizeof *gb);
}

EBB_DECLARE(rownorm_sums);
void EBB_NAME(rownorm_sums)(int64_t rows, int64_t len, const void *x, const void *gy,
	const double *mean, const double *rest, const double *inv, double *gw, double *gb)
{
	struct row_job j = {.rows = rows,
		.len = len,
		.x = x,
		.gy = gy,
		.row_mean = mean,
		.row_rest = rest,
		.row_inv = inv,
		.gw = gw,
		.gb = gb};

	ebb_run_pieces(ebb_ceil_div(len, COLUMNS), sums_piece, &j);
}
