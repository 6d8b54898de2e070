/* draws.c - uniform random integers, from the generator of random.c one element at a time. */
#include "integer.h"
#include "real.h"

/* One block of Philox4x32-10 (Salmon et al. 2011): 128 random bits for the counter {i, stream}. */
static void philox(uint64_t key, uint64_t stream, uint64_t i, uint64_t out[2])
{
	uint32_t c0 = (uint32_t)i, c1 = (uint32_t)(i >> 32);
	uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;

		c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)b;
		c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)a;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = (uint64_t)c0 << 32 | c1;
	out[1] = (uint64_t)c2 << 32 | c3;
}

/* The upper 64 bits of a*b; *low receives the lower 64 bits. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *low)
{
	uint64_t ll = (a & UINT32_MAX) * (b & UINT32_MAX), lh = (a & UINT32_MAX) * (b >> 32);
	uint64_t hl = (a >> 32) * (b & UINT32_MAX), middle = (ll >> 32) + (lh & UINT32_MAX) + hl;

	*low = a * b;
	return (a >> 32) * (b >> 32) + (lh >> 32) + (middle >> 32);
}

/* Of 64 random bits x, the upper half of x*range is the result.  Of the 2^64 x, 2^64 mod range are
 * rejected, so that each result has as many x as any other.  Each block gives two x; a block after
 * the first has another key. */
uint64_t ebb_random_below(uint64_t seed, uint64_t stream, uint64_t i, uint64_t range)
{
	uint64_t bits[2], low, high;

	for (uint64_t key = seed;; key += UINT64_C(0x9E3779B97F4A7C15)) {
		philox(key, stream, i, bits);
		for (int k = 0; k < 2; k++) {
			high = multiply(bits[k], range, &low);
			if (low >= range || low >= (0 - range) % range)
				return high;
		}
	}
}

struct draws {
	int64_t n, low;
	uint64_t seed, stream, range;
	int64_t *y;
};

enum { DRAWS = 4096 };

static void draws_piece(void *ctx, int64_t piece, int worker)
{
	const struct draws *d = ctx;
	int64_t to = i64_min(d->n, (piece + 1) * DRAWS);

	(void)worker;
	for (int64_t i = piece * DRAWS; i < to; i++)
		d->y[i] = (int64_t)((uint64_t)d->low +
				    ebb_random_below(d->seed, d->stream, (uint64_t)i, d->range));
}

void ebb_random_integers(
	int64_t n, uint64_t seed, uint64_t stream, int64_t low, uint64_t range, int64_t *y)
{
	struct draws d = {n, low, seed, stream, range, y};

	ebb_run_pieces(ebb_ceil_div(n, DRAWS), draws_piece, &d);
}
