/*
 * stats.c - the statistics of a tensor that observers read, in one pass.
 */
#include "functions.h"

/* Lanes of the accumulators, and most tasks. */
enum { LANES = EBB_VBYTES / (int)sizeof(double), PIECES = 64 };

typedef double dvec __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t ivec __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef real rvec
	__attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));

struct stats_job {
	int64_t n, chunk;
	const real *x;
	double below, above, pivot;
	double mean, unit;
	ebb_kernel_stats *part;
};

/* The median of the first, middle and last element, which is near the mean unless two of them are
 * far off.  Sums of deviations from this pivot, unlike sums of squares, keep the digits in which
 * large numbers differ. */
static double pivot_of(int64_t n, const real *x)
{
	double v[3], lo, hi;
	int found = 0;

	for (int k = 0; k < 3; k++) {
		v[found] = x[k * (n - 1) / 2];
		found += isfinite(v[found]) != 0;
	}
	if (found < 3)
		return found > 0 ? v[0] : 0;
	lo = v[0] < v[1] ? v[0] : v[1];
	hi = v[0] < v[1] ? v[1] : v[0];
	return v[2] < lo ? lo : v[2] > hi ? hi : v[2];
}

/* The statistics of one task.  s->sum is the sum of the deviations from the pivot, s->deviation
 * the sum of their squares. */
static void stats_range(
	int64_t n, const real *x, const struct stats_job *j, ebb_kernel_stats *restrict s)
{
	const double below = j->below, above = j->above, pivot = j->pivot;
	dvec sum = {0}, squares = {0}, sum_abs = {0};
	dvec least = sum + (double)INFINITY, most = sum - (double)INFINITY;
	ivec nan = {0}, zeros = {0}, saturated = {0};

	for (int64_t i = 0; i < n; i += LANES) {
		real tail[LANES];
		const real *at = x + i;
		dvec v, d;
		ivec bad, bits;

		if (i + LANES > n) {
			/* The tail is padded with NaN, which no sum includes; s->nan is corrected
			 * below. */
			for (int k = 0; k < LANES; k++)
				tail[k] = i + k < n ? x[i + k] : NAN;
			at = tail;
		}
		v = __builtin_convertvector(*(const rvec *)at, dvec);
		bad = v != v; /* NOLINT(misc-redundant-expression): a NaN differs from itself */
		nan -= bad;
		zeros -= (v == 0);
		saturated -= (v < below) | (v > above);
		d = (dvec)((ivec)(v - pivot) & ~bad);
		sum += d;
		squares += d * d;
		sum_abs += (dvec)((ivec)v & ~bad & INT64_MAX);
		bits = v < least;
		least = (dvec)((bits & (ivec)v) | (~bits & (ivec)least));
		bits = v > most;
		most = (dvec)((bits & (ivec)v) | (~bits & (ivec)most));
	}
	*s = (ebb_kernel_stats){.n = n, .min = INFINITY, .max = -INFINITY};
	for (int k = 0; k < LANES; k++) {
		s->nan += nan[k];
		s->zeros += zeros[k];
		s->saturated += saturated[k];
		s->sum += sum[k];
		s->deviation += squares[k];
		s->sum_abs += sum_abs[k];
		s->min = least[k] < s->min ? least[k] : s->min;
		s->max = most[k] > s->max ? most[k] : s->max;
	}
	s->nan -= ebb_ceil_div(n, LANES) * LANES - n;
}

static void stats_piece(void *ctx, int64_t piece, int worker)
{
	const struct stats_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	stats_range(i64_min(j->chunk, j->n - from), j->x + from, j, &j->part[piece]);
}

/* The sum of ((x - mean)/unit)^2, without NaN. */
static void far_piece(void *ctx, int64_t piece, int worker)
{
	const struct stats_job *j = ctx;
	int64_t from = piece * j->chunk, to = i64_min(j->n, from + j->chunk);
	double square = 0;

	(void)worker;
	for (int64_t i = from; i < to; i++) {
		double d = (j->x[i] - j->mean) / j->unit;

		square += d == d ? d * d : 0;
	}
	j->part[piece].deviation = square;
}

/* The root of sum (x - mean)^2, where off is the mean less the pivot. */
static double deviation_of(
	struct stats_job *j, int64_t pieces, const ebb_kernel_stats *all, double used, double off)
{
	double square = 0, spread = all->max - all->min;
	bool large = all->max_abs > 0x1p500, small = spread > 0 && spread < 0x1p-450;

	j->mean = j->pivot + off;
	if (isfinite(j->mean) && (large || small)) {
		/* The squares would overflow or underflow a double; squares of quotients do not. */
		j->unit = large ? all->max_abs : spread;
		ebb_run_pieces(pieces, far_piece, j);
		for (int64_t i = 0; i < pieces; i++)
			square += j->part[i].deviation;
		return j->unit * sqrt(square);
	}
	for (int64_t i = 0; i < pieces; i++)
		square += j->part[i].deviation;
	square -= used * off * off;
	return square < 0 ? 0 : sqrt(square);
}

EBB_DECLARE(stats);
void EBB_NAME(stats)(int64_t n, const void *x, double below, double above, ebb_kernel_stats *s)
{
	ebb_kernel_stats part[PIECES];
	struct stats_job j = {.n = n, .x = x, .below = below, .above = above, .part = part};
	int64_t pieces;
	double used, off;

	*s = (ebb_kernel_stats){.n = n, .min = INFINITY, .max = -INFINITY};
	if (n == 0)
		return;
	j.pivot = pivot_of(n, x);
	j.chunk = i64_max(EBB_PIECE, ebb_ceil_div(n, PIECES));
	pieces = ebb_ceil_div(n, j.chunk);
	ebb_run_pieces(pieces, stats_piece, &j);
	for (int64_t i = 0; i < pieces; i++) {
		s->nan += part[i].nan;
		s->zeros += part[i].zeros;
		s->saturated += part[i].saturated;
		s->sum += part[i].sum;
		s->sum_abs += part[i].sum_abs;
		s->min = part[i].min < s->min ? part[i].min : s->min;
		s->max = part[i].max > s->max ? part[i].max : s->max;
	}
	used = (double)(n - s->nan);
	if (used == 0)
		return;
	off = s->sum / used;
	s->sum += used * j.pivot;
	s->max_abs = fmax(fabs(s->min), fabs(s->max));
	s->deviation = deviation_of(&j, pieces, s, used, off);
	s->l2 = s->max_abs == INFINITY ? INFINITY
	                               : hypot(s->deviation, sqrt(used) * (j.pivot + off));
}
