/*
 * kernel_test.h - what the kernel tests share: a small random generator, buffers, comparisons, and
 * running a test for every instruction set and real type.
 */
#ifndef EBB_KERNEL_TEST_H
#define EBB_KERNEL_TEST_H

#include "../support/sanitized.h"
#include "kernels.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The table under test, and whether its real type is double. */
extern const ebb_kernels *K;
extern bool f64;

/* Calls fn for every table that the processor supports. */
void each_table(void (*fn)(void));

/* Pseudo-random numbers: an integer in [lo,hi], a real in [-1,1). */
int64_t any(int64_t lo, int64_t hi);
double any_real(void);

/* Memory for exactly n reals of the table's type, so that a sanitizer detects an access beyond.
 * release_all frees all of it. */
void *reals(int64_t n);
void *random_reals(int64_t n);
void *bytes(size_t n);
void *workspace(size_t n); /* 64-byte aligned, filled with NaN */
void release_all(void);

double get(const void *x, int64_t i);
void set(void *x, int64_t i, double v);

/* The rounding error of the table's type, relative to 1. */
double epsilon(void);

/* Whether |a-b| <= tol*(1 + |b|)*epsilon(), or both are the same infinity, or both are NaN. */
bool near(double a, double b, double tol);

/* Assertions of Check write to a file each time, which is too slow for every element. */
#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s %s: not %s", K ? K->isa : "", f64 ? "f64" : "f32",        \
				#condition);                                                       \
	} while (0)

#define expect_near(a, b, tol, ...)                                                                \
	do {                                                                                       \
		double got_ = (a), want_ = (b);                                                    \
		if (!near(got_, want_, tol)) {                                                     \
			char where_[256];                                                          \
			snprintf(where_, sizeof where_, __VA_ARGS__);                              \
			ck_abort_msg("%s %s: got %.17g, want %.17g (%s)", K->isa,                  \
				f64 ? "f64" : "f32", got_, want_, where_);                         \
		}                                                                                  \
	} while (0)

/* fn writes n bytes of result.  Asserts that the results with 1, 2 and 3 threads have the same
 * bits. */
void same_for_all_threads(size_t n, void (*fn)(void *result, void *ctx), void *ctx);

TCase *tests_threads(void);
TCase *tests_elementwise(void);
TCase *tests_strided(void);
TCase *tests_reduce(void);
TCase *tests_scan(void);
TCase *tests_softmax(void);
TCase *tests_index(void);
TCase *tests_gemm(void);
TCase *tests_conv(void);
TCase *tests_algorithms(void);
TCase *tests_pool(void);
TCase *tests_norm(void);
TCase *tests_random(void);
TCase *tests_optim(void);
TCase *tests_upsample(void);
TCase *tests_resample(void);
TCase *tests_sizes(void);
TCase *tests_attention(void);
TCase *tests_gelu(void);
TCase *tests_integer(void);

#endif
