/*
 * precise.h - for the tests of accuracy: compares values of either type with references in long
 * double by relative error; and computes one loss in several forms.
 */
#ifndef EBB_TESTS_PRECISE_H
#define EBB_TESTS_PRECISE_H

#include <math.h>

#include "tests/support/support.h"

enum { MOST = 48 };

/* The tape of the running test; setup is its checked fixture. */
extern ebb_tape *t;
void setup(void);
void teardown(void);
/* Sets the tape's default dtype in loop tests, which run once for each type: 0 is F32, 1 is F64. */
void use_type(int i);
/* v rounded to the type. */
double held(double v);
ebb_tensor *row(int64_t n, const double *values); /* [1,n] */
ebb_tensor *label(int64_t k);                     /* [1] */

/* Checks that |got - want| <= tolerance*epsilon*|want|, or both are NaN or the same infinity. */
void expect_at(const char *what, int k, double got, long double want, double tolerance);
/* Checks the gradient of sum y by x, with and without create_graph, and, unless h_want is NULL, the
 * Hessian times direction. */
void derivatives(const char *what, ebb_tensor *y, ebb_tensor *x, const double *direction,
	const long double *g_want, const long double *h_want, double tolerance);

/* The softmax of x: probabilities p, 1 - p, and log p. */
typedef struct distribution {
	int n;
	long double p[MOST], rest[MOST], log[MOST];
} distribution;
distribution distribution_of(int n, const double *x);

/* Forms of the loss -log p of class k of the softmax of x [1,n]. */
enum { LABEL, WEIGHT, SOFT, SOFT_WEIGHT, NLL, DIVERGENCE, LOSSES };
extern const char *const loss_names[];
ebb_tensor *loss_of(int kind, ebb_tensor *x, int k);

#endif
