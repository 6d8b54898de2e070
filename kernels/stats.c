/*
 * stats.c - what the observers want to know of a tensor, in one pass.
 */
#include "functions.h"

/* Lanes of the accumulators, pieces of one tensor. */
enum { LANES = EBB_VBYTES / (int)sizeof(double), PIECES = 64 };

typedef double dvec __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t ivec __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef real rvec
	__attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));

struct stats_job {
	int64_t n, chunk;
	const real *x;
	double below, above;
	ebb_kernel_stats *part;
};

static void stats_range(
	int64_t n, const real *x, double below, double above, ebb_kernel_stats *restrict s)
{
	dvec sum = {0}, sum_sq = {0}, sum_abs = {0}, max_abs = {0};
	dvec least = sum + (double)INFINITY, most = sum - (double)INFINITY;
	ivec nan = {0}, zeros = {0}, saturated = {0};

	for (int64_t i = 0; i < n; i += LANES) {
		real tail[LANES];
		const real *at = x + i;
		dvec v, absolute;
		ivec bad, bits;

		if (i + LANES > n) {
			/* NaN is left out of everything; its count is corrected below. */
			for (int k = 0; k < LANES; k++)
				tail[k] = i + k < n ? x[i + k] : NAN;
			at = tail;
		}
		v = __builtin_convertvector(*(const rvec *)at, dvec);
		bad = v != v;
		nan -= bad;
		bits = (ivec)v & ~bad;
		zeros -= (v == 0);
		saturated -= (v < below) | (v > above);
		v = (dvec)bits;
		absolute = (dvec)(bits & INT64_MAX);
		sum += v;
		sum_abs += absolute;
		sum_sq += v * v;
		max_abs = (dvec)(((absolute > max_abs) & (ivec)absolute) |
				 (~(absolute > max_abs) & (ivec)max_abs));
		bits = (v < least) & ~bad;
		least = (dvec)((bits & (ivec)v) | (~bits & (ivec)least));
		bits = (v > most) & ~bad;
		most = (dvec)((bits & (ivec)v) | (~bits & (ivec)most));
	}
	*s = (ebb_kernel_stats){.n = n, .min = INFINITY, .max = -INFINITY};
	for (int k = 0; k < LANES; k++) {
		s->nan += nan[k];
		s->zeros += zeros[k];
		s->saturated += saturated[k];
		s->sum += sum[k];
		s->sum_sq += sum_sq[k];
		s->sum_abs += sum_abs[k];
		s->max_abs = max_abs[k] > s->max_abs ? max_abs[k] : s->max_abs;
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
	stats_range(
		ebb_min(j->chunk, j->n - from), j->x + from, j->below, j->above, &j->part[piece]);
}

EBB_DECLARE(stats);
void EBB_NAME(stats)(int64_t n, const void *x, double below, double above, ebb_kernel_stats *s)
{
	ebb_kernel_stats part[PIECES];
	struct stats_job j = {n, 0, x, below, above, part};
	int64_t pieces;

	j.chunk = ebb_max(EBB_PIECE, ebb_ceil_div(n, PIECES));
	pieces = ebb_ceil_div(n, j.chunk);
	ebb_run(pieces, stats_piece, &j);
	*s = (ebb_kernel_stats){.n = n, .min = INFINITY, .max = -INFINITY};
	for (int64_t i = 0; i < pieces; i++) {
		s->nan += part[i].nan;
		s->zeros += part[i].zeros;
		s->saturated += part[i].saturated;
		s->sum += part[i].sum;
		s->sum_sq += part[i].sum_sq;
		s->sum_abs += part[i].sum_abs;
		s->max_abs = part[i].max_abs > s->max_abs ? part[i].max_abs : s->max_abs;
		s->min = part[i].min < s->min ? part[i].min : s->min;
		s->max = part[i].max > s->max ? part[i].max : s->max;
	}
}
