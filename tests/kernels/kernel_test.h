/*
 * kernel_test.h - what the kernel tests share: a small random generator, buffers, comparison, and
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

/* The table under test and whether it is of doubles. */
extern const ebb_kernels *K;
extern bool f64;

/* Calls fn for every table that this processor has. */
void each_table(void (*fn)(void));

/* Pseudo-random: an integer in [lo,hi], a real in [-1,1). */
int64_t any(int64_t lo, int64_t hi);
double any_real(void);

/* Memory for n reals of the table's type, exactly (a byte more is out of bounds for a
 * sanitizer).  All is released by release_all. */
void *reals(int64_t n);
void *random_reals(int64_t n);
void *bytes(size_t n);
void *workspace(size_t n); /* 64-byte aligned, filled with NaN */
void release_all(void);

double get(const void *x, int64_t i);
void set(void *x, int64_t i, double v);

/* The table's precision. */
double epsilon(void);

/* |a-b| <= tol*(1 + |b|) in units of epsilon, equal infinities and NaN with NaN. */
bool near(double a, double b, double tol);

/* Check's own assertion writes to a file each time: too slow for every element. */
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

/* fn writes n bytes of result; the results for 1, 2 and 3 threads must be the same bits. */
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

#endif
