/*
 * rng.c - random numbers that depend on their position: seed, epoch, image and transform.
 *
 * The generator of the kernels starts at counter 0 for every key and stream, so each bank of
 * numbers gets its own key.
 */
#include <math.h>

#include "data/augment/internal.h"
#include "kernels/kernels.h"

enum {
	BANKS_PER_PLACE = 1 << 20,
	SAMPLE_BITS = 40,
	/* so few numbers are generated without the thread pool */
	BULK = 4096
};

/* The increment of Philox's keys (a Weyl sequence). */
static const uint64_t STEP = UINT64_C(0x9E3779B97F4A7C15);

void ebb_rng_start(ebb_rng *d, uint64_t seed, int64_t epoch, int64_t index, int place)
{
	d->key = seed + STEP * (1 + (uint64_t)place * BANKS_PER_PLACE);
	d->stream = (uint64_t)epoch << SAMPLE_BITS ^ (uint64_t)index;
	d->next = EBB_RNG_BANK;
}

static double unit(ebb_rng *d)
{
	if (d->next == EBB_RNG_BANK) {
		ebb_kernels_f64()->uniform(EBB_RNG_BANK, d->key, d->stream, 0, 1, d->bank);
		d->key += STEP;
		d->next = 0;
	}
	return d->bank[d->next++];
}

double ebb_rng_uniform(ebb_rng *d, double low, double high)
{
	return low + (high - low) * unit(d);
}

int64_t ebb_rng_below(ebb_rng *d, int64_t n)
{
	return (int64_t)((double)n * unit(d));
}

double ebb_rng_normal(ebb_rng *d)
{
	double r = sqrt(-2 * log(1 - unit(d)));

	return r * cos(6.283185307179586477 * unit(d));
}

/* The logarithm of a Gamma(alpha, 1) number, by Marsaglia & Tsang (2000).  The number itself would
 * often underflow to 0 for a small alpha. */
static double log_gamma_number(ebb_rng *d, double alpha)
{
	double shape = alpha < 1 ? alpha + 1 : alpha, c = shape - 1.0 / 3, k = 1 / sqrt(9 * c);
	double boost = alpha < 1 ? log(1 - unit(d)) / alpha : 0;

	for (;;) {
		double x = ebb_rng_normal(d), v = 1 + k * x, u = 1 - unit(d);

		if (v <= 0)
			continue;
		v = v * v * v;
		if (log(u) < x * x / 2 + c * (1 - v + log(v)))
			return log(c * v) + boost;
	}
}

double ebb_rng_beta(ebb_rng *d, double alpha)
{
	double a = log_gamma_number(d, alpha), b = log_gamma_number(d, alpha);

	return 1 / (1 + exp(b - a));
}

void ebb_rng_permutation(ebb_rng *d, int n, int *order)
{
	for (int i = 0; i < n; i++)
		order[i] = i;
	for (int i = n - 1; i > 0; i--) {
		int j = (int)ebb_rng_below(d, i + 1), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
}

void ebb_rng_uniforms(ebb_rng *d, int64_t n, float *x)
{
	for (int64_t i = 0; i < n; i += BULK, d->key += STEP)
		ebb_kernels_f32()->uniform(
			n - i < BULK ? n - i : BULK, d->key, d->stream, -1, 1, x + i);
}

void ebb_rng_normals(ebb_rng *d, int64_t n, double deviation, float *x)
{
	for (int64_t i = 0; i < n; i += BULK, d->key += STEP)
		ebb_kernels_f32()->normal(
			n - i < BULK ? n - i : BULK, d->key, d->stream, 0, deviation, x + i);
}
