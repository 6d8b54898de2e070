/*
 * random.c - the counter-based random generator Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011):
 * element i is computed from i, seed and stream alone.
 */
#include "random.h"
#include "functions.h"

#if defined __SSE2__
#include <immintrin.h>
#endif

/* A vector holds one 32-bit word per 64-bit lane; several vectors at a time hide the latency. */
enum { LENGTH = EBB_VBYTES / (int)sizeof(uint64_t), VECTORS = 4, LANES = LENGTH * VECTORS };
typedef uint64_t word __attribute__((vector_size(EBB_VBYTES)));
typedef double dvec __attribute__((vector_size(EBB_VBYTES)));

/* Multiplies 32 by 32 bits to 64.  The compiler does not know that the upper halves of the lanes
 * are 0, so the instruction is named. */
EBB_INLINE word multiply(word a, uint32_t by)
{
#if EBB_VBYTES == 64
	return (word)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64((int64_t)by));
#elif EBB_VBYTES == 32
	return (word)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x((int64_t)by));
#elif defined __SSE2__
	return (word)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x((int64_t)by));
#else
	return a * (uint64_t)by;
#endif
}

/* Two words as a number of 53 bits in [0,1).  The upper and the lower half become the mantissas of
 * doubles with the exponents of 2^84 and 2^52, because AVX2 cannot convert 64-bit integers. */
EBB_INLINE dvec unit(word high, word low)
{
	word bits = (high << 32 | low) >> 11;
	dvec upper = (dvec)(bits >> 32 | UINT64_C(0x4530000000000000)) - 0x1p84;
	dvec lower = (dvec)((bits & UINT32_MAX) | UINT64_C(0x4330000000000000)) - 0x1p52;

	return (upper + lower) * 0x1p-53;
}

/* ---- Functions of vectors, absolute or relative error about 1e-16 ---------------------------- */

/* x = 2^n m with sqrt(1/2) <= m < sqrt(2); log m = 2 artanh s = 2 (s + s^3/3 + ..), s =
 * (m-1)/(m+1), |s| < 0.172.  For positive normal x. */
EBB_INLINE dvec logarithm(dvec x)
{
	const uint64_t one = UINT64_C(0x3ff0000000000000), root = UINT64_C(0x3fe6a09e667f3bcd);
	word bits = (word)x + (one - root);
	dvec n = (dvec)(bits >> 52 | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023);
	dvec m = (dvec)((bits & UINT64_C(0x000fffffffffffff)) + root);
	dvec s = (m - 1) / (m + 1), z = s * s, sum = {0};

	EBB_UNROLL(10)
	for (int k = 10; k > 0; k--)
		sum = z * (1.0 / (2 * k + 1) + sum);
	return n * 0.69314718055994530942 + 2 * (s + s * sum);
}

/* cos(2 pi v) for 0 <= v <= 1, as the sine of an angle x of at most a quarter turn: x - x^3/3! +
 * .. */
EBB_INLINE dvec cosine_of_turns(dvec v)
{
	dvec from = v - 0.5, turns = (dvec)((word)from & UINT64_C(0x7fffffffffffffff)) - 0.25;
	dvec x = 6.28318530717958647693 * turns, z = x * x, sum = {0};

	EBB_UNROLL(10)
	for (int k = 10; k > 0; k--)
		sum = z * (-1.0 / (2 * k * (2 * k + 1))) * (1 + sum);
	return x + x * sum;
}

EBB_INLINE dvec square_root(dvec x)
{
	for (int k = 0; k < LENGTH; k++)
		x[k] = sqrt(x[k]);
	return x;
}

/* ---- The generator --------------------------------------------------------------------------- */

/* Two numbers in [0,1) for each of the counters {first + k, stream}. */
static void philox(uint64_t seed, uint64_t stream, uint64_t first, double *u, double *v)
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	word w0[VECTORS], w1[VECTORS], w2[VECTORS], w3[VECTORS], zero = {0};

	for (int i = 0; i < VECTORS; i++) {
		word counter = zero + first;

		for (int k = 0; k < LENGTH; k++)
			counter[k] += (uint64_t)(i * LENGTH + k);
		w0[i] = counter & UINT32_MAX;
		w1[i] = counter >> 32;
		w2[i] = zero + (stream & UINT32_MAX);
		w3[i] = zero + (stream >> 32);
	}
	for (int round = 0; round < 10; round++) {
		EBB_UNROLL(4)
		for (int i = 0; i < VECTORS; i++) {
			word a = multiply(w0[i], 0xD2511F53u), b = multiply(w2[i], 0xCD9E8D57u);

			w0[i] = b >> 32 ^ w1[i] ^ (uint64_t)k0;
			w1[i] = b & UINT32_MAX;
			w2[i] = a >> 32 ^ w3[i] ^ (uint64_t)k1;
			w3[i] = a & UINT32_MAX;
		}
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	for (int i = 0; i < VECTORS; i++) {
		dvec x = unit(w0[i], w1[i]), y = unit(w2[i], w3[i]);

		memcpy(u + i * LENGTH, &x, sizeof x);
		memcpy(v + i * LENGTH, &y, sizeof y);
	}
}

struct random_job {
	int64_t n, chunk;
	uint64_t seed, stream;
	double a, b;
	const real *x;
	real *y;
	real last; /* uniform: the largest real below b */
};

/* Each function computes a block of y from the uniform numbers u and v; dropout_block also reads
 * x. */
EBB_INLINE void uniform_block(
	const struct random_job *j, const double *u, const double *v, const real *x, real *y)
{
	real end = (real)j->b;

	(void)v, (void)x;
	for (int k = 0; k < LANES; k++) {
		real value = (real)(j->a + (j->b - j->a) * u[k]);

		/* rounding may yield the end of the interval, which is excluded */
		y[k] = value < end ? value : j->last;
	}
}

EBB_INLINE void normal_block(
	const struct random_job *j, const double *u, const double *v, const real *x, real *y)
{
	(void)x;
	/* Box and Muller (1958) */
	for (int i = 0; i < LANES; i += LENGTH) {
		dvec length, turns, z;

		memcpy(&length, u + i, sizeof length);
		memcpy(&turns, v + i, sizeof turns);
		z = square_root(-2 * logarithm(1 - length)) * cosine_of_turns(turns);
		z = j->a + j->b * z;
		for (int k = 0; k < LENGTH; k++)
			y[i + k] = (real)z[k];
	}
}

EBB_INLINE void dropout_block(
	const struct random_job *j, const double *u, const double *v, const real *x, real *y)
{
	real by = (real)j->b;

	(void)v;
	for (int k = 0; k < LANES; k++) {
		real value = x[k] * by;

		y[k] = u[k] < j->a ? 0 : value;
	}
}

#define PIECES(name)                                                                               \
	static void name##_piece(void *ctx, int64_t piece, int worker)                             \
	{                                                                                          \
		const struct random_job *j = ctx;                                                  \
		int64_t to = i64_min(j->n, (piece + 1) * j->chunk);                                \
                                                                                                   \
		(void)worker;                                                                      \
		for (int64_t i = piece * j->chunk; i < to; i += LANES) {                           \
			size_t m = (size_t)i64_min(LANES, to - i) * sizeof(real);                  \
			double u[LANES], v[LANES];                                                 \
			real x[LANES] = {0}, y[LANES];                                             \
                                                                                                   \
			philox(j->seed, j->stream, (uint64_t)i, u, v);                             \
			if (j->x)                                                                  \
				memcpy(x, j->x + i, m);                                            \
			name##_block(j, u, v, x, y);                                               \
			memcpy(j->y + i, y, m);                                                    \
		}                                                                                  \
	}
PIECES(uniform)
PIECES(normal)
PIECES(dropout)

static void run(struct random_job *j, void (*fn)(void *, int64_t, int))
{
	j->chunk = 4096;
	ebb_run_pieces(ebb_ceil_div(j->n, j->chunk), fn, j);
}

EBB_DECLARE(uniform);
void EBB_NAME(uniform)(int64_t n, uint64_t seed, uint64_t stream, double lo, double hi, void *y)
{
	struct random_job j = {n, 0, seed, stream, lo, hi, NULL, y, 0};

	/* an empty interval yields lo */
	j.last = (real)hi;
	if (lo < hi)
		j.last = EBB_F64 ? (real)nextafter(j.last, -INFINITY)
		                 : (real)nextafterf((float)j.last, -INFINITY);
	run(&j, uniform_piece);
}

EBB_DECLARE(normal);
void EBB_NAME(normal)(int64_t n, uint64_t seed, uint64_t stream, double mean, double std, void *y)
{
	struct random_job j = {n, 0, seed, stream, mean, std, NULL, y, 0};

	run(&j, normal_piece);
}

EBB_DECLARE(dropout);
void EBB_NAME(dropout)(int64_t n, uint64_t seed, uint64_t stream, double p, const void *x, void *y)
{
	struct random_job j = {n, 0, seed, stream, p, 1 / (1 - p), x, y, 0};

	run(&j, dropout_piece);
}

void EBB_NAME(dropout_factors)(
	uint64_t first, int64_t n, uint64_t seed, uint64_t stream, double p, real *keep)
{
	struct random_job j = {.a = p, .b = 1 / (1 - p)};

	for (int64_t i = 0; i < n; i += LANES) {
		double u[LANES], v[LANES];
		real ones[LANES], y[LANES];

		philox(seed, stream, first + (uint64_t)i, u, v);
		for (int k = 0; k < LANES; k++)
			ones[k] = 1;
		dropout_block(&j, u, v, ones, y);
		memcpy(keep + i, y, (size_t)i64_min(LANES, n - i) * sizeof(real));
	}
}
