/*
 * main.c - runs the kernel tests.
 */
#include "kernel_test.h"

const ebb_kernels *K;
bool f64;

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

int64_t any(int64_t lo, int64_t hi)
{
	return lo + (int64_t)(next() % (uint64_t)(hi - lo + 1));
}

double any_real(void)
{
	return (double)(next() >> 11) * 0x1p-52 - 1;
}

enum { BLOCKS = 4096 };
static void *blocks[BLOCKS];
static int block_count;

static void *keep(void *p)
{
	ck_assert(block_count < BLOCKS);
	ck_assert_ptr_nonnull(p);
	return blocks[block_count++] = p;
}

void *bytes(size_t n)
{
	return keep(calloc(n ? n : 1, 1));
}

void *reals(int64_t n)
{
	void *p = bytes((size_t)n * K->real_size);

	for (int64_t i = 0; i < n; i++)
		set(p, i, NAN);
	return p;
}

void *random_reals(int64_t n)
{
	void *p = reals(n);

	for (int64_t i = 0; i < n; i++)
		set(p, i, any_real());
	return p;
}

void *workspace(size_t n)
{
	size_t size = (n + 63) / 64 * 64;
	void *p = keep(aligned_alloc(64, size ? size : 64));

	memset(p, 0xff, size ? size : 64);
	return p;
}

void release_all(void)
{
	while (block_count > 0)
		free(blocks[--block_count]);
}

double get(const void *x, int64_t i)
{
	return f64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

void set(void *x, int64_t i, double v)
{
	if (f64)
		((double *)x)[i] = v;
	else
		((float *)x)[i] = (float)v;
}

double epsilon(void)
{
	return f64 ? 0x1p-53 : 0x1p-24;
}

bool near(double a, double b, double tol)
{
	if (isnan(b) || isnan(a))
		return isnan(a) && isnan(b);
	if (isinf(b) || isinf(a))
		return a == b;
	return fabs(a - b) <= tol * epsilon() * (1 + fabs(b));
}

void each_table(void (*fn)(void))
{
	static const char *const isas[] = {"baseline", "avx2", "avx512"};

	for (int i = 0; i < 6; i++) {
		f64 = i % 2;
		K = ebb_kernels_named(isas[i / 2], f64);
		if (K)
			fn();
		release_all();
	}
}

void same_for_all_threads(size_t n, void (*fn)(void *result, void *ctx), void *ctx)
{
	char *first = bytes(n), *again = bytes(n);

	for (int threads = 1; threads <= 3; threads++) {
		ebb_set_threads(threads);
		memset(again, 0x5a, n);
		fn(threads == 1 ? first : again, ctx);
		if (threads > 1 && memcmp(first, again, n) != 0)
			ck_abort_msg("%s %s: the result with %d threads differs from that with 1",
				K->isa, f64 ? "f64" : "f32", threads);
	}
	ebb_set_threads(2);
}

int main(void)
{
	static TCase *(*const cases[])(void) = {tests_threads, tests_elementwise, tests_strided,
		tests_reduce, tests_scan, tests_softmax, tests_index, tests_gemm, tests_conv,
		tests_algorithms, tests_pool, tests_norm, tests_random, tests_optim, tests_upsample,
		tests_resample, tests_sizes, tests_attention, tests_gelu, tests_integer};
	Suite *s = suite_create("kernels");
	SRunner *r;
	int failed;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		TCase *c = cases[i]();

		tcase_set_timeout(c, 120);
		suite_add_tcase(s, c);
	}
	r = srunner_create(s);
	ebb_set_threads(2);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
