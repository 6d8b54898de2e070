/*
 * own.h - for tests of custom ops: the public headers only, and the library as users link it,
 * without tests/support.
 */
#ifndef EBB_TESTS_AUTOGRAD_OWN_H
#define EBB_TESTS_AUTOGRAD_OWN_H

#include <check.h>
#include <ebb.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(EBB_TENSOR_INTERNAL_H) || defined(EBB_AUTOGRAD_INTERNAL_H) ||                          \
	defined(EBB_TENSOR_MEMORY_H)
#error "a public header includes an internal one"
#endif

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

#define assert_healthy() ck_assert_msg(!ebb_failed(tape), "%s", ebb_error_message(tape))

/* The i-th of a sequence of values in [-1, 1), which depends only on the seed. */
static inline double value_of(uint64_t seed, int64_t i)
{
	uint64_t z = seed * 0x9e3779b97f4a7c15u + (uint64_t)i * 0xbf58476d1ce4e5b9u;

	z = (z ^ z >> 29) * 0x94d049bb133111ebu;
	return (double)(z >> 11) * 0x1p-52 - 1;
}

static inline void fill(ebb_tensor *x, uint64_t seed)
{
	size_t size = ebb_dtype_size(ebb_dtype_of(x)), n = (size_t)ebb_count(x);
	char *values = malloc(n * size + 1);

	for (size_t i = 0; i < n; i++)
		if (ebb_dtype_of(x) == EBB_F32)
			((float *)(void *)values)[i] = (float)value_of(seed, (int64_t)i);
		else
			((double *)(void *)values)[i] = value_of(seed, (int64_t)i);
	ck_assert(ebb_copy_in(x, values, n * size));
	free(values);
}

/* A persistent tensor that requires a gradient. */
static inline ebb_tensor *parameter(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, uint64_t seed)
{
	ebb_tensor *x = ebb_tensor_new(dtype, shape, channels_last, NULL);

	ck_assert_ptr_nonnull(x);
	fill(x, seed);
	ck_assert(ebb_set_requires_grad(x, true));
	return x;
}

static inline ebb_tensor *variable(ebb_shape shape, uint64_t seed)
{
	ebb_tensor *x = ebb_zeros(tape, shape);
	double *p = ebb_data_mutable(x);

	for (int64_t i = 0; p && i < ebb_count(x); i++)
		p[i] = value_of(seed, i);
	return ebb_variable(tape, x);
}

static inline bool same_bits(const ebb_tensor *a, const ebb_tensor *b)
{
	size_t n = (size_t)ebb_count(a) * ebb_dtype_size(ebb_dtype_of(a));
	char *p = malloc(n + 1), *q = malloc(n + 1);
	bool same = ebb_count(a) == ebb_count(b) && ebb_copy_out(a, p, n) &&
	            ebb_copy_out(b, q, n) && !memcmp(p, q, n);

	free(p);
	free(q);
	return same;
}

/* Asserts that the tape has failed with a message that contains all of these words, and clears the
 * error. */
static inline void check_failure(ebb_status status, const char *const *words)
{
	ck_assert_msg(ebb_error_status(tape) == status, "status %d: %s", ebb_error_status(tape),
		ebb_error_message(tape));
	for (; *words; words++)
		ck_assert_msg(strstr(ebb_error_message(tape), *words), "no \"%s\" in: %s", *words,
			ebb_error_message(tape));
	ebb_clear_error(tape);
}
#define assert_failed(status, ...) check_failure(status, (const char *const[]){__VA_ARGS__, NULL})

static inline int run_suite(Suite *s)
{
	SRunner *runner = srunner_create(s);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
