/* limits.c - the two limits that kernels are compared with: multiply-adds per second and memory
 * bandwidth. */
#include "bench.h"
#include "demos/cli.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 40, CACHE_LINE = 64 };

/* ---- Multiply-adds --------------------------------------------------------------------------- */

/* Enough independent accumulators to hide the latency of two pipelines, and few enough for the
 * registers. */
enum { ROUNDS = 200000, SUMS = 12 };

/* Results are written here, so that the compiler does not remove the loops. */
static volatile float sink;

typedef float f4 __attribute__((vector_size(16)));

/* A multiplication and an addition, for instruction sets without fused multiply-adds. */
static void multiply_add_4(void)
{
	f4 sum[SUMS] = {{0}}, scale = {0.999f, 0.999f, 0.999f, 0.999f}, total = {0};

	for (int i = 0; i < ROUNDS; i++)
		for (int k = 0; k < SUMS; k++)
			sum[k] = sum[k] * scale + scale;
	for (int k = 0; k < SUMS; k++)
		total += sum[k];
	sink = total[0];
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma"))) static void multiply_add_8(void)
{
	__m256 sum[SUMS], scale = _mm256_set1_ps(0.999f), total = _mm256_setzero_ps();

	for (int k = 0; k < SUMS; k++)
		sum[k] = _mm256_setzero_ps();
	for (int i = 0; i < ROUNDS; i++)
		for (int k = 0; k < SUMS; k++)
			sum[k] = _mm256_fmadd_ps(sum[k], scale, scale);
	for (int k = 0; k < SUMS; k++)
		total = _mm256_add_ps(total, sum[k]);
	sink = _mm256_cvtss_f32(total);
}

__attribute__((target("avx512f"))) static void multiply_add_16(void)
{
	__m512 sum[SUMS], scale = _mm512_set1_ps(0.999f), total = _mm512_setzero_ps();

	for (int k = 0; k < SUMS; k++)
		sum[k] = _mm512_setzero_ps();
	for (int i = 0; i < ROUNDS; i++)
		for (int k = 0; k < SUMS; k++)
			sum[k] = _mm512_fmadd_ps(sum[k], scale, scale);
	for (int k = 0; k < SUMS; k++)
		total = _mm512_add_ps(total, sum[k]);
	sink = _mm512_reduce_add_ps(total);
}
#endif

static void multiply_add(void *ctx, int64_t piece, int worker)
{
	void (*const *run)(void) = ctx;

	(void)piece;
	(void)worker;
	(*run)();
}

double bench_fma_peak(const char *isa)
{
	void (*run)(void) = multiply_add_4;
	double best = INFINITY;
	int width = 4, threads = ebb_threads();

#if defined(__x86_64__)
	if (!strcmp(isa, "avx512")) {
		run = multiply_add_16;
		width = 16;
	} else if (!strcmp(isa, "avx2")) {
		run = multiply_add_8;
		width = 8;
	}
#else
	(void)isa;
#endif
	for (int i = 0; i < RUNS; i++) {
		double start = cli_now();

		ebb_parallel(threads, multiply_add, &run);
		best = fmin(best, cli_now() - start);
	}
	return 2.0 * ROUNDS * SUMS * width * threads / best;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

enum { TRIAD = 16 << 20, PIECES = 64 };

typedef struct triad {
	float *a, *b, *c;
} triad;

static void triad_piece(void *ctx, int64_t piece, int worker)
{
	const triad *s = ctx;
	int64_t n = TRIAD / PIECES;
	float *restrict a = s->a + piece * n;
	const float *restrict b = s->b + piece * n, *restrict c = s->c + piece * n;

	(void)worker;
	for (int64_t i = 0; i < n; i++)
		a[i] = b[i] + 3 * c[i];
}

double bench_triad(void)
{
	size_t bytes = TRIAD * sizeof(float);
	triad s = {aligned_alloc(CACHE_LINE, bytes), aligned_alloc(CACHE_LINE, bytes),
		aligned_alloc(CACHE_LINE, bytes)};
	double best = INFINITY;

	if (s.a && s.b && s.c) {
		memset(s.b, 0, bytes);
		memset(s.c, 0, bytes);
		for (int i = 0; i < RUNS; i++) {
			double start = cli_now();

			ebb_parallel(PIECES, triad_piece, &s);
			best = fmin(best, cli_now() - start);
		}
		sink = s.a[1];
	}
	free(s.a);
	free(s.b);
	free(s.c);
	return 3 * (double)bytes / best;
}
