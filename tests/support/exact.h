/*
 * exact.h - the columns EXACT of kernels/unary.def and binary.def as functions in long double, and
 * the functions that these columns use.
 *
 * exact_NAME(x, order) is the value (order 0), first (1) or second (2) derivative of an op of one
 * tensor; the value of a kernel is exact_unary(f, x, a, b) or exact_binary(f, a, b, p).
 */
#ifndef EBB_TESTS_EXACT_H
#define EBB_TESTS_EXACT_H

#include <math.h>
#include <stdlib.h>

#include "../../kernels/kernels.h"

typedef long double wide;

/* ---- Functions for the column EXACT ---------------------------------------------------------- */

#define PI 3.141592653589793238462643383279502884L
#define SELU_SCALE 1.0507009873554804934L
#define SELU_ALPHA 1.6732632423543772848L

static inline wide floor_remainder(wide a, wide b)
{
	wide rest = fmodl(a, b);

	return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static inline wide floor_quotient(wide a, wide b)
{
	wide rest = fmodl(a, b);

	return b == 0 ? a / b : roundl((a - rest) / b) - (rest != 0 && (rest < 0) != (b < 0));
}

static inline wide sgn(wide x)
{
	return (x > 0) - (x < 0);
}

/* x*p, but 0 where p is 0, also for infinite x: p falls faster than any power of x grows. */
static inline wide gated(wide x, wide p)
{
	return p == 0 ? 0 : x * p;
}

/* min(max(x, lo), hi) */
static inline wide clamped(wide x, wide lo, wide hi)
{
	return fminl(fmaxl(x, lo), hi);
}

/* sigmoid */
static inline wide sig(wide x)
{
	return 1 / (1 + expl(-x));
}

/* softplus */
static inline wide soft(wide x)
{
	return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}

/* 1 - tanh(x)^2 */
static inline wide sech2(wide x)
{
	wide c = coshl(x);

	return 1 / c / c;
}

/* The square root; 0 at -0. */
static inline wide root(wide x)
{
	return sqrtl(x) + 0;
}

/* The derivative of asin. */
static inline wide asin_first(wide x)
{
	return 1 / sqrtl((1 - x) * (1 + x));
}

/* The density and the distribution function of the normal distribution. */
static inline wide density(wide x)
{
	return expl(-x * x / 2) / sqrtl(2 * PI);
}

static inline wide normal(wide x)
{
	return erfcl(-x * sqrtl(0.5L)) / 2;
}

/* The derivatives of mish. */
static inline wide mish_first(wide x)
{
	return tanhl(soft(x)) + gated(x, sig(x) * sech2(soft(x)));
}

static inline wide mish_second(wide x)
{
	wide s = sig(x), u = tanhl(soft(x));

	return gated(2 + x * (sig(-x) - 2 * u * s), s * sech2(soft(x)));
}

/* The tanh approximation of gelu is x*sig(u). */
static inline wide gelu_u(wide x)
{
	return 2 * sqrtl(2 / PI) * (x + 0.044715L * x * x * x);
}

static inline wide gelu_du(wide x)
{
	return 2 * sqrtl(2 / PI) * (1 + 3 * 0.044715L * x * x);
}

static inline wide gelu_tanh_first(wide x)
{
	return sig(gelu_u(x)) + gated(x * gelu_du(x), sig(gelu_u(x)) * sig(-gelu_u(x)));
}

static inline wide gelu_tanh_second(wide x)
{
	wide s = sig(gelu_u(x)), q = sig(-gelu_u(x)), du = gelu_du(x);
	wide ddu = 2 * sqrtl(2 / PI) * 6 * 0.044715L * x;

	return gated(2 * du + x * ((q - s) * du * du + ddu), s * q);
}

/* log(1 + exp(x)) - x*t; its limit at an infinite x, which is 0 where the label t is certain. */
static inline wide binary_cross_entropy(wide x, wide t)
{
	wide wrong = x > 0 ? 1 - t : t;

	if (isinf(x))
		return wrong == 0 ? 0 : (wide)INFINITY * wrong;
	return log1pl(expl(x)) - x * t;
}

/* ---- The columns ----------------------------------------------------------------------------- */

#define EXACT(value, first, second)                                                                \
	{                                                                                          \
		return order == 0 ? (value) : order == 1 ? (first) : (second);                     \
	}
#define UNARY(name, domain, torch, exact, ...)                                                     \
	static inline wide exact_##name(wide x, int order) exact
#include "../../kernels/unary.def"
#undef EXACT

#define EXACT(value) return value;
static inline wide exact_unary(ebb_unary_fn f, wide x, wide a, wide b)
{
	switch (f) {
#define UNARY(name, ...)                                                                           \
	case EBB_UNARY_##name:                                                                     \
		return exact_##name(x, 0);
#define UNARY_KERNEL(name, exact, ...)                                                             \
	case EBB_UNARY_##name:                                                                     \
		exact
#include "../../kernels/unary.def"
	case EBB_UNARY_COUNT:
		break;
	}
	abort();
}

static inline wide exact_binary(ebb_binary_fn f, wide a, wide b, wide p)
{
	switch (f) {
#define BINARY(name, domain, torch, exact, ...)                                                    \
	case EBB_BINARY_##name:                                                                    \
		exact
#define BINARY_KERNEL(name, exact, ...)                                                            \
	case EBB_BINARY_##name:                                                                    \
		exact
#include "../../kernels/binary.def"
	case EBB_BINARY_COUNT:
		break;
	}
	abort();
}
#undef EXACT

/* ---- The column DOMAIN ----------------------------------------------------------------------- */

/* As the letters of an entry's values (tests/ops/ops_test.h). */
#define ANY "a"
#define POSITIVE "p"
#define NONZERO "n"
#define DISTINCT "d"
#define INSIDE "i"
#define CORNERS(...) "c" #__VA_ARGS__

enum { MOST_CORNERS = 8 };

/* The corners of a domain: their number. */
static inline int corners_of(const char *domain, double *corners)
{
	int n = 0;
	char *end;

	if (*domain != 'c')
		return 0;
	for (const char *at = domain + 1; n < MOST_CORNERS; at = end + (*end == ',')) {
		corners[n] = strtod(at, &end);
		if (end == at)
			break;
		n++;
	}
	return n;
}

#endif
