/*
 * test_random.c - Philox against its published vectors, and the distributions.
 */
#include "kernel_test.h"
#include "integer.h"

/* Philox4x32-10 for one counter. */
static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c[4], k0 = key[0], k1 = key[1];

	memcpy(c, counter, sizeof c);
	for (int i = 0; i < 10; i++) {
		uint64_t a = UINT64_C(0xD2511F53) * c[0], b = UINT64_C(0xCD9E8D57) * c[2];
		uint32_t next[] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
			(uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};

		memcpy(c, next, sizeof c);
		k0 += 0x9E3779B9;
		k1 += 0xBB67AE85;
	}
	memcpy(out, c, sizeof c);
}

START_TEST(philox_reproduces_published_vectors)
{
	/* From kat_vectors of Random123. */
	static const uint32_t zero[4], ones[] = {~0u, ~0u, ~0u, ~0u};
	static const uint32_t of_zero[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
	static const uint32_t of_ones[] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
	uint32_t out[4];

	philox(zero, zero, out);
	ck_assert_mem_eq(out, of_zero, sizeof out);
	philox(ones, ones, out);
	ck_assert_mem_eq(out, of_ones, sizeof out);
}
END_TEST

/* The upper bits of the first two words, as a range of a power of 2 rejects nothing. */
START_TEST(random_integers_are_bits_of_philox)
{
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t seed = i * UINT64_C(0x123456789abcdef1),
			 stream = ~i * UINT64_C(0xfedcba987);
		uint64_t at = i << (i % 60);
		uint32_t counter[] = {(uint32_t)at, (uint32_t)(at >> 32), (uint32_t)stream,
			(uint32_t)(stream >> 32)};
		uint32_t key[] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, w[4];
		int bits = 1 + (int)(i % 62);

		philox(counter, key, w);
		ck_assert_uint_eq(ebb_random_below(seed, stream, at, UINT64_C(1) << bits),
			((uint64_t)w[0] << 32 | w[1]) >> (64 - bits));
		ck_assert_uint_eq(ebb_random_below(seed, stream, at, 1), 0);
	}
}
END_TEST

static double unit(uint64_t i, uint64_t seed, uint64_t stream, bool second)
{
	uint32_t counter[] = {
		(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
	uint32_t key[] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, w[4];

	philox(counter, key, w);
	return (double)(((uint64_t)w[second ? 2 : 0] << 32 | w[second ? 3 : 1]) >> 11) * 0x1p-53;
}

/* In long double, because a double does not represent the angle exactly enough. */
static long double normal_of(long double v, long double w)
{
	return sqrtl(-2 * logl(1 - v)) * cosl(2 * acosl(-1) * w);
}

static void distributions(void)
{
	enum { N = 40001 };
	uint64_t seed = UINT64_C(0x0123456789abcdef), stream = UINT64_C(0xfedcba9876543210);
	void *u = reals(N), *z = reals(N), *d = reals(N), *x = random_reals(N);
	double mean = 0, var = 0, kept = 0;

	K->uniform(N, seed, stream, -2, 3, u);
	K->normal(N, seed, stream, 1, 2, z);
	K->dropout(N, seed, stream, 0.3, x, d);
	for (int i = 0; i < N; i++) {
		double v = unit((uint64_t)i, seed, stream, false),
		       w = unit((uint64_t)i, seed, stream, true);

		expect(get(u, i) >= -2 && get(u, i) < 3);
		expect_near(get(u, i), -2 + 5 * v, 8, "uniform");
		expect_near(get(z, i), (double)(1 + 2 * normal_of(v, w)), 8, "normal");
		expect_near(get(d, i), v < 0.3 ? 0 : get(x, i) / 0.7, 8, "dropout");
		mean += get(z, i) / N;
		var += (get(z, i) - 1) * (get(z, i) - 1) / N;
		kept += (get(d, i) != 0) / (double)N;
	}
	expect(fabs(mean - 1) < 0.05 && fabs(var - 4) < 0.15 && fabs(kept - 0.7) < 0.02);
	K->uniform(0, seed, stream, 0, 1, NULL);
}

START_TEST(distributions_equal_their_definitions)
{
	each_table(distributions);
}
END_TEST

static void normal_result(void *result, void *ctx)
{
	(void)ctx;
	K->normal(20001, 7, 8, 0, 1, result);
}

static void threads(void)
{
	same_for_all_threads(20001 * K->real_size, normal_result, NULL);
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_random(void)
{
	TCase *c = tcase_create("random");

	tcase_add_test(c, philox_reproduces_published_vectors);
	tcase_add_test(c, random_integers_are_bits_of_philox);
	tcase_add_test(c, distributions_equal_their_definitions);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	return c;
}
