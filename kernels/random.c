/*
 * random.c - Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): a block cipher on a counter, so that
 * element i needs nothing but i.
 */
#include "functions.h"

/* Counters that go through the rounds together, in vectors. */
enum { LANES = 16 };

/* The four words of each of LANES counters {first + k, stream}. */
static void philox(uint64_t seed, uint64_t stream, uint64_t first, uint32_t w[4][LANES])
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

	for (int i = 0; i < LANES; i++) {
		w[0][i] = (uint32_t)(first + (uint64_t)i);
		w[1][i] = (uint32_t)((first + (uint64_t)i) >> 32);
		w[2][i] = (uint32_t)stream;
		w[3][i] = (uint32_t)(stream >> 32);
	}
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < LANES; i++) {
			uint64_t a = (uint64_t)w[0][i] * 0xD2511F53u;
			uint64_t b = (uint64_t)w[2][i] * 0xCD9E8D57u;
			uint32_t x = (uint32_t)(b >> 32) ^ w[1][i] ^ k0;
			uint32_t y = (uint32_t)(a >> 32) ^ w[3][i] ^ k1;

			w[0][i] = x;
			w[1][i] = (uint32_t)b;
			w[2][i] = y;
			w[3][i] = (uint32_t)a;
		}
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

/* Two words as a number of 53 bits in [0,1). */
static double unit(uint32_t high, uint32_t low)
{
	return (double)(int64_t)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

struct random_job {
	int64_t n, chunk;
	uint64_t seed, stream;
	double a, b;
	const real *x;
	real *y;
};

static void uniform_block(const struct random_job *j, int64_t at, int m, uint32_t w[4][LANES])
{
	real out[LANES], hi = (real)j->b;

	for (int k = 0; k < LANES; k++)
		out[k] = (real)(j->a + (j->b - j->a) * unit(w[0][k], w[1][k]));
	for (int k = 0; k < m; k++) {
		/* rounding may reach the end, which is excluded */
		real v = out[k];

		if (v >= hi && j->a < j->b)
			v = (real)(hi - (hi - (real)j->a) * (real)(EBB_F64 ? 0x1p-53 : 0x1p-24));
		if (v >= hi && j->a < j->b)
			v = (real)j->a;
		j->y[at + k] = v;
	}
}

static void normal_block(const struct random_job *j, int64_t at, int m, uint32_t w[4][LANES])
{
	for (int k = 0; k < m; k++) {
		double u = 1.0 - unit(w[0][k], w[1][k]), v = unit(w[2][k], w[3][k]);
		double z = sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * v);

		j->y[at + k] = (real)(j->a + j->b * z);
	}
}

static void dropout_block(const struct random_job *j, int64_t at, int m, uint32_t w[4][LANES])
{
	real keep[LANES], by = (real)j->b;

	for (int k = 0; k < LANES; k++)
		keep[k] = unit(w[0][k], w[1][k]) < j->a ? 0 : 1;
	for (int k = 0; k < m; k++)
		j->y[at + k] = keep[k] != 0 ? j->x[at + k] * by : 0;
}

#define PIECES(name) \
	static void name##_piece(void *ctx, int64_t piece, int worker) \
	{ \
		const struct random_job *j = ctx; \
		int64_t to = ebb_min(j->n, (piece + 1) * j->chunk); \
		uint32_t w[4][LANES]; \
\
		(void)worker; \
		for (int64_t i = piece * j->chunk; i < to; i += LANES) { \
			philox(j->seed, j->stream, (uint64_t)i, w); \
			name##_block(j, i, (int)ebb_min(LANES, to - i), w); \
		} \
	}
PIECES(uniform)
PIECES(normal)
PIECES(dropout)

static void run(struct random_job *j, void (*fn)(void *, int64_t, int))
{
	j->chunk = 4096;
	ebb_run(ebb_ceil_div(j->n, j->chunk), fn, j);
}

EBB_DECLARE(uniform);
void EBB_NAME(uniform)(int64_t n, uint64_t seed, uint64_t stream, double lo, double hi, void *y)
{
	struct random_job j = {n, 0, seed, stream, lo, hi, NULL, y};

	run(&j, uniform_piece);
}

EBB_DECLARE(normal);
void EBB_NAME(normal)(int64_t n, uint64_t seed, uint64_t stream, double mean, double std, void *y)
{
	struct random_job j = {n, 0, seed, stream, mean, std, NULL, y};

	run(&j, normal_piece);
}

EBB_DECLARE(dropout);
void EBB_NAME(dropout)(
	int64_t n, uint64_t seed, uint64_t stream, double p, const void *x, void *y)
{
	struct random_job j = {n, 0, seed, stream, p, 1 / (1 - p), x, y};

	run(&j, dropout_piece);
}
