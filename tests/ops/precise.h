/*
 * precise.h - what the tests of small results share: values of either type against references in
 * long double, relative to what is wanted; and losses written in several ways.
 */
#ifndef EBB_TESTS_PRECISE_H
#define EBB_TESTS_PRECISE_H

#include <math.h>

#include "tests/support/support.h"

enum { MOST = 48 };

/* The tape of the running test, a checked fixture. */
extern ebb_tape *t;
void setup(void);
void teardown(void);
/* Loop tests run once per type: 0 for F32, 1 for F64. */
void use_type(int i);
/* A number as the type holds it. */
double held(double v);
ebb_tensor *row(int64_t n, const double *values); /* [1,n] */
ebb_tensor *label(int64_t k);                     /* [1] */

/* |got - want| <= tolerance*epsilon*|want|, or both NaN, or the same infinity. */
void expect_at(const char *what, int k, double got, long double want, double tolerance);
/* The gradient of sum y by x, recorded or not, and where h_want is not NULL the second derivative's
 * product with direction. */
void derivatives(const char *what, ebb_tensor *y, ebb_tensor *x, const double *direction,
	const long double *g_want, const long double *h_want, double tolerance);

/* The softmax of x: probabilities, what is left of 1 beside each, logarithms. */
typedef struct distribution {
	int n;
	long double p[MOST], rest[MOST], log[MOST];
} distribution;
distribution distribution_of(int n, const double *x);

/* Ways to write -log p of class k of the softmax of x [1,n]. */
enum { LABEL, WEIGHT, SOFT, SOFT_WEIGHT, NLL, DIVERGENCE, LOSSES };
extern const char *const loss_names[];
ebb_tensor *loss_of(int kind, ebb_tensor *x, int k);

#endif
