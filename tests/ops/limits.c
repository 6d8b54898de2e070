/*
 * limits.c - ops of one tensor at the ends of both types: the value and two derivatives equal their
 * limits.  Likewise ops of two tensors, logsumexp, softmax, sort, topk and attention.
 *
 * A row gives the function and its derivatives in long double, in forms that do not cancel, and NaN
 * where there is no limit.
 */
#include "tests/support/exact.h"
#include "tests/support/support.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Subnormal numbers are in the tables. */
static ebb_tape *new_tape(ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();

	ebb_set_default_dtype(t, dtype);
	ebb_set_flush_subnormal(t, EBB_FLUSH_NEVER);
	return t;
}

static const ebb_dtype types[] = {EBB_F32, EBB_F64};

/* x^p times a factor; 0 where the factor is 0; NaN below 0 if p is not whole. */
static wide power(wide x, wide p, wide factor)
{
	if (factor == 0)
		return 0;
	return x < 0 && floorl(p) != p ? (wide)NAN : factor * powl(x, p);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* The ops that kernels/unary.def does not list: an op, what tells its rows apart, the call, the
 * value, its first and its second derivative.  At a kink the derivative is what elementwise.h
 * says. */
#define ROWS(X)                                                                                    \
	X(leaky_relu, , ebb_leaky_relu(t, x, 0.25), x > 0 ? x : x / 4, x > 0 ? 1 : 0.25L, 0)       \
	X(leaky_relu, _of_0, ebb_leaky_relu(t, x, 0), x > 0 ? x : 0, x > 0, 0)                     \
	X(elu, , ebb_elu(t, x, 0.75), x > 0 ? x : 0.75L * expm1l(x), x > 0 ? 1 : 0.75L * expl(x),  \
		x < 0 ? 0.75L * expl(x) : 0)                                                       \
	X(prelu, , ebb_prelu(t, x, ebb_full(t, EBB_SHAPE(1), 0.25)), x > 0 ? x : x / 4,            \
		x > 0 ? 1 : 0.25L, 0)                                                              \
	X(gelu, , ebb_gelu(t, x), gated(x, normal(x)), normal(x) + gated(x, density(x)),           \
		gated(2 - x * x, density(x)))                                                      \
	X(gelu, _tanh, ebb_gelu(t, x, .tanh = true), gated(x, sig(gelu_u(x))), gelu_tanh_first(x), \
		gelu_tanh_second(x))                                                               \
	X(clamp, , ebb_clamp(t, x, -2, 4), clamped(x, -2, 4), x >= -2 && x <= 4, 0)                \
	X(add_scalar, , ebb_add_scalar(t, x, 2.5), x + 2.5L, 1, 0)                                 \
	X(mul_scalar, , ebb_mul_scalar(t, x, 2.5), x * 2.5L, 2.5L, 0)                              \
	X(div_scalar, , ebb_div_scalar(t, x, 2.5), x / 2.5L, 0.4L, 0)                              \
	POWER(X, 0, _0)                                                                            \
	POWER(X, 1, _1)                                                                            \
	POWER(X, 2, _2)                                                                            \
	POWER(X, 3, _3)                                                                            \
	POWER(X, -1, _minus_1)                                                                     \
	POWER(X, -2, _minus_2)                                                                     \
	POWER(X, 0.5L, _half)                                                                      \
	POWER(X, 1.5L, _three_halves)                                                              \
	POWER(X, -0.5L, _minus_half)
#define POWER(X, p, tag)                                                                           \
	X(pow_scalar, tag, ebb_pow_scalar(t, x, (double)(p)), power(x, p, 1), power(x, (p)-1, p),  \
		power(x, (p)-2, (p) * ((p)-1)))

#define DEFINE_ROW(op, tag, call, value, first, second)                                            \
	static ebb_tensor *call_##op##tag(ebb_tape *t, ebb_tensor *x)                              \
	{                                                                                          \
		return call;                                                                       \
	}                                                                                          \
	static wide exact_##op##tag(wide x, int order)                                             \
	{                                                                                          \
		return order == 0 ? (value) : order == 1 ? (first) : (second);                     \
	}
ROWS(DEFINE_ROW)

#define UNARY(op, ...)                                                                             \
	static ebb_tensor *call_##op(ebb_tape *t, ebb_tensor *x)                                   \
	{                                                                                          \
		return ebb_##op(t, x);                                                             \
	}
#include "kernels/unary.def"

typedef struct row {
	const char *op, *tag, *domain;
	ebb_tensor *(*call)(ebb_tape *t, ebb_tensor *x);
	wide (*exact)(wide x, int order);
} row;

static const row rows[] = {
#define ROW(op, tag, call, value, first, second) {#op, #tag, ANY, call_##op##tag, exact_##op##tag},
	ROWS(ROW)
#define UNARY(op, domain, ...) {#op, "", domain, call_##op, exact_##op},
#include "kernels/unary.def"
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

/* The error that an op may have, in roundings: 4 by default.  The exponential of a cube
 * magnifies the roundings of its exponent.  A derivative that is computed from a y near 1 has
 * the error of 1. */
static const struct {
	const char *op, *tag;
	double roundings;
	bool of_one;
} looser[] = {{"gelu", "_tanh", 256, false}, {"tanh", "", 4, true}, {"sigmoid", "", 4, true}};

static bool close_enough(const row *r, ebb_dtype dtype, double x, double got, wide exact, int order)
{
	bool single = dtype == EBB_F32;
	wide epsilon = single ? FLT_EPSILON : DBL_EPSILON, roundings = 4, size = fabsl(exact);
	/* A subnormal intermediate has few digits, and x or the exponent of a power may multiply
	 * its error. */
	wide least = (single ? 0x1p-149L : 0x1p-1074L) * (2 + (fabs(x) < 1000 ? fabsl(x) : 0));
	double rounded = single ? (double)(float)exact : (double)exact;

	if (isnan(exact) || isinf(rounded))
		return isnan(exact) ? isnan(got) : got == rounded;
	for (size_t i = 0; i < sizeof looser / sizeof *looser; i++)
		if (strcmp(r->op, looser[i].op) == 0 && strcmp(r->tag, looser[i].tag) == 0) {
			roundings = looser[i].roundings;
			size += looser[i].of_one && order > 0 && fabs(x) < 1000;
		}
	return fabsl(got - exact) <= (order == 2 ? 4 : 1) * roundings * epsilon * size + least;
}

/* ---- The ops of one tensor ------------------------------------------------------------------- */

/* References for F64 need more digits than double has; under an emulator long double may lack
 * them. */
static bool is_wide(void)
{
	volatile wide one = 1;

	return one + (wide)DBL_EPSILON / 64 != one;
}

enum { SIZES = 18 + 3 * MOST_CORNERS, POINTS = 2 * SIZES, COPIES = 3 };

/* The points of a type, and the corners of a domain with a point on each side of a corner, where
 * other tests draw no inputs; with both signs. */
static void points(ebb_dtype dtype, const char *domain, double *x)
{
	bool single = dtype == EBB_F32;
	int n;
	double sizes[SIZES] = {0, single ? 0x1p-149 : 0x1p-1074, single ? 0x1.8p-128 : 0x1.8p-1024,
		single ? (double)FLT_MIN : DBL_MIN, 1e-20, 1e-5, 0.5, 1, 3, 5.5, 6, 12, 20,
		single ? 87 : 709, 100, 1e20, single ? (double)FLT_MAX : DBL_MAX, INFINITY};

	n = corners_of(domain, sizes + SIZES - 3 * MOST_CORNERS);
	for (int i = 0; i < n; i++) {
		double *corner = sizes + SIZES - 3 * MOST_CORNERS + i;

		corner[MOST_CORNERS] = *corner - 1.0 / 64;
		corner[2 * MOST_CORNERS] = *corner + 1.0 / 64;
	}
	for (int i = 0; i < SIZES; i++) {
		x[2 * i] = single ? (double)(float)sizes[i] : sizes[i];
		x[2 * i + 1] = -x[2 * i];
	}
}

static void check_row(const row *r, ebb_dtype dtype)
{
	static const char *const what[] = {"value", "derivative", "second derivative"};
	ebb_tape *t = new_tape(dtype);
	double x[COPIES * POINTS + 1];
	ebb_tensor *in, *y[3], *plain;

	for (int i = 0; i < COPIES; i++)
		points(dtype, r->domain, x + i * POINTS);
	x[COPIES * POINTS] = NAN;
	in = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(COPIES * POINTS + 1), x));
	y[0] = r->call(t, in);
	ck_assert(ebb_grad(t, ebb_sum(t, y[0]), 1, &in, &plain));
	ck_assert(ebb_grad(t, ebb_sum(t, y[0]), 1, &in, &y[1], .create_graph = true));
	y[2] = ebb_zeros_like(t, in);
	if (ebb_requires_grad(y[1]))
		ck_assert(ebb_grad(t, ebb_sum(t, y[1]), 1, &in, &y[2]));
	assert_healthy(t);
	for (int i = 0; i < COPIES * POINTS; i++) {
		double got = ebb_at(plain, i), recorded = ebb_at(y[1], i);

		ck_assert_msg(got == recorded || (isnan(got) && isnan(recorded)),
			"%s%s of %g: derivative %g, recorded %g", r->op, r->tag, x[i], got,
			recorded);
		for (int order = 0; order < 3; order++) {
			wide exact = r->exact(x[i], order);

			got = ebb_at(y[order], i);
			ck_assert_msg(close_enough(r, dtype, x[i], got, exact, order),
				"%s: %s%s of %g: %s %.17g instead of %.17g",
				dtype == EBB_F32 ? "F32" : "F64", r->op, r->tag, x[i], what[order],
				got, (double)exact);
			/* The result does not depend on the position. */
			ck_assert(i < POINTS || isnan(got) || got == ebb_at(y[order], i % POINTS));
		}
	}
	/* NaN stays, but for x^0. */
	ck_assert(isnan(ebb_at(y[0], COPIES * POINTS)) || strcmp(r->tag, "_0") == 0);
	ebb_tape_free(t);
}

START_TEST(functions_and_slopes_equal_their_limits)
{
	for (int k = 0; k < 2; k++)
		if (types[k] == EBB_F32 || is_wide())
			check_row(&rows[_i], types[k]);
}
END_TEST

/* The derivative of the second derivative, by differences of two steps, whose error is of the order
 * of h^4. */
static wide third_of(const row *r, wide x)
{
	const wide h = 0x1p-17L;
	wide near = (r->exact(x + h, 2) - r->exact(x - h, 2)) / (2 * h);
	wide far = (r->exact(x + 2 * h, 2) - r->exact(x - 2 * h, 2)) / (4 * h);

	return (4 * near - far) / 3;
}

/* Third derivatives equal differences of the second derivatives, 0 far out where those are 0, and
 * NaN outside the function's domain. */
START_TEST(third_derivatives_follow)
{
	enum { NEAR = 4, ALL = NEAR + 4 };
	static const double x[ALL] = {0.3, 0.9, 1.7, 2.6, 1e20, -1e20, INFINITY, -INFINITY};
	const row *r = &rows[_i];
	ebb_tape *t = new_tape(EBB_F64);
	ebb_tensor *in = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(ALL), x)), *y = r->call(t, in);
	int order = 0;

	for (; order < 3 && ebb_requires_grad(y); order++)
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &in, &y, .create_graph = true));
	assert_healthy(t);
	for (int i = 0; i < ALL && is_wide(); i++) {
		wide exact = i < NEAR ? third_of(r, x[i]) : 0;
		double got = order == 3 ? ebb_at(y, i) : 0; /* else an earlier one is constant */

		if (i < NEAR && isnan(exact))
			ck_assert(isnan(got));
		else if (i < NEAR || r->exact(x[i], 2) == 0)
			ck_assert_msg(fabsl(got - exact) <= 1e-8L * (1 + fabsl(exact)),
				"%s%s of %g: third derivative %.17g instead of %.17g", r->op,
				r->tag, x[i], got, (double)exact);
	}
	ebb_tape_free(t);
}
END_TEST

/* The names of all ops of one tensor, from elementwise.h. */
static const char *const names[] = {
#define OP(name) #name,
#include "tests/ops/unary_names.h"
#undef OP
};

START_TEST(every_function_of_one_operand_has_a_row)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int found = 0;

		for (int k = 0; k < ROW_COUNT; k++)
			found += strcmp(rows[k].op, names[i]) == 0;
		ck_assert_msg(found, "%s has no row", names[i]);
	}
	ck_assert_uint_gt(sizeof names / sizeof *names, 30);
}
END_TEST

/* ---- Powers
 * ----------------------------------------------------------------------------------- */

static void expect_value(
	ebb_dtype dtype, const char *what, double a, double b, double got, double exact)
{
	double tolerance = 16 * (dtype == EBB_F32 ? (double)FLT_EPSILON : DBL_EPSILON);

	ck_assert_msg(got == exact || (isnan(got) && isnan(exact)) ||
			      fabs(got - exact) <= tolerance * fabs(exact),
		"%s of %g, %g: %.17g instead of %.17g", what, a, b, got, exact);
}

/* a^b, its derivatives b*a^(b-1) and a^b*log a (NaN for negative a), and their derivatives.  UNTOLD
 * marks a derivative without a convention, where b*a^(b-1)*log a is 0 times an undefined value. */
#define UNTOLD 0.125

START_TEST(powers_equal_their_limits)
{
	static const double ln2 = 0.69314718055994530942, inf = INFINITY;
	static const struct {
		double a, b, y, da, db, daa, dab, dbb;
	} cases[] = {
		{0, 0, 1, 0, 0, 0, inf, 0},
		{-0.0, 0, 1, 0, 0, 0, -inf, 0},
		{0, 1, 0, 1, 0, 0, UNTOLD, 0},
		{0, 2, 0, 0, 0, 2, 0, 0},
		{0, 3, 0, 0, 0, 0, 0, 0},
		{-0.0, 3, 0, 0, 0, 0, 0, 0},
		{0, 0.5, 0, inf, 0, -inf, UNTOLD, 0},
		{0, 1.5, 0, 0, 0, inf, 0, 0},
		{0, -1, inf, -inf, -inf, inf, inf, inf},
		{0, -0.5, inf, -inf, -inf, inf, inf, inf},
		{1, 0, 1, 0, 0, 0, 1, 0},
		{2, 0, 1, 0, ln2, 0, 0.5, ln2 * ln2},
		{0x1p-100, 0, 1, 0, -100 * ln2, 0, 0x1p100, 10000 * ln2 * ln2},
		{2, 3, 8, 12, 8 * ln2, 12, 4 + 12 * ln2, 8 * ln2 * ln2},
		{-2, 3, -8, 12, NAN, -12, NAN, NAN},
		{-2, 2, 4, -4, NAN, 2, NAN, NAN},
		{-2, 0, 1, 0, NAN, 0, UNTOLD, NAN},
		{-2, 0.5, NAN, NAN, NAN, NAN, NAN, NAN},
		{-inf, 0.5, NAN, NAN, NAN, NAN, NAN, NAN},
		{inf, 0, 1, 0, inf, 0, 0, inf},
		{inf, 1, inf, 1, inf, 0, inf, inf},
		{inf, 2, inf, inf, inf, 2, inf, inf},
		{inf, 0.5, inf, 0, inf, 0, 0, inf},
		{inf, -1, 0, 0, 0, 0, 0, 0},
	};

	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
			double at[] = {cases[i].a, cases[i].b};
			ebb_tape *t = new_tape(types[k]);
			ebb_tensor *in[2], *y, *plain[2], *g[2], *h[2];

			for (int j = 0; j < 2; j++)
				in[j] = ebb_variable(t, ebb_scalar(t, at[j]));
			y = ebb_pow(t, in[0], in[1]);
			ck_assert(ebb_grad(t, y, 2, in, plain));
			ck_assert(ebb_grad(t, y, 2, in, g, .create_graph = true));
#define EXPECT(what, x, exact)                                                                     \
	expect_value(types[k], what, at[0], at[1], ebb_item(x), cases[i].exact)
			EXPECT("power", y, y);
			EXPECT("derivative by a", plain[0], da);
			EXPECT("derivative by b", plain[1], db);
			EXPECT("recorded derivative by a", g[0], da);
			EXPECT("recorded derivative by b", g[1], db);
			ck_assert(ebb_grad(t, g[0], 2, in, h));
			EXPECT("second derivative by a", h[0], daa);
			if (cases[i].dab != UNTOLD)
				EXPECT("derivative by a and b", h[1], dab);
			ck_assert(ebb_grad(t, g[1], 2, in, h));
			EXPECT("second derivative by b", h[1], dbb);
			assert_healthy(t);
			ebb_tape_free(t);
		}
}
END_TEST

/* ---- Lines
 * ------------------------------------------------------------------------------------ */

/* The gradient of logsumexp is 0 where y is -infinity; where y is infinity, the infinite
 * elements share it.  The derivative of the gradient has no NaN. */
START_TEST(logsumexp_equals_its_limits)
{
	enum { LINES = 6, LENGTH = 3 };
	static const double inf = INFINITY;
	static const double x[LINES][LENGTH] = {{-inf, -inf, -inf}, {0, -inf, 0}, {1, inf, -inf},
		{inf, inf, 2}, {-1e30, -1e30, -inf}, {1e30, 0, -1e30}};
	static const double value[LINES] = {-inf, 0.69314718055994530942, inf, inf, -1e30, 1e30};
	static const double slope[LINES][LENGTH] = {
		{0, 0, 0}, {0.5, 0, 0.5}, {0, 1, 0}, {0.5, 0.5, 0}, {0.5, 0.5, 0}, {1, 0, 0}};

	for (int k = 0; k < 4; k++) {
		ebb_tape *t = new_tape(types[k % 2]);
		ebb_tensor *in =
			ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(LINES, LENGTH), &x[0][0]));
		ebb_tensor *across = k < 2 ? in : ebb_transpose(t, in, 0, 1), *y, *g[2], *h;
		double sums = 0;

		y = ebb_logsumexp(t, across, EBB_AXES(k < 2 ? 1 : 0));
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &in, &g[0]));
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &in, &g[1], .create_graph = true));
		/* The squares are summed, because the gradients of a line add up to 1. */
		ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, g[1])), 1, &in, &h));
		for (int i = 0; i < LINES; i++) {
			double got = ebb_at(y, i);

			ck_assert_msg(
				got == value[i] || fabs(got - value[i]) <= 1e-6 * fabs(value[i]),
				"line %d: %g instead of %g", i, got, value[i]);
			for (int j = 0; j < LENGTH; j++) {
				int at = i * LENGTH + j;

				for (int recorded = 0; recorded < 2; recorded++)
					ck_assert_msg(
						fabs(ebb_at(g[recorded], at) - slope[i][j]) < 1e-6,
						"line %d, element %d: %g instead of %g", i, j,
						ebb_at(g[recorded], at), slope[i][j]);
				ck_assert_msg(fabs(ebb_at(h, at)) < 1e-6,
					"line %d, element %d: second derivative %g", i, j,
					ebb_at(h, at));
				sums += ebb_at(g[0], at);
			}
		}
		ck_assert_double_eq_tol(sums, LINES - 1, 1e-5);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

/* An element of -infinity contributes nothing to softmax or its gradients. */
START_TEST(softmax_leaves_out_minus_infinity)
{
	static const double x[] = {1, -INFINITY, 1, -INFINITY}, half[] = {0.5, 0, 0.5, 0};

	for (int k = 0; k < 4; k++) {
		ebb_tape *t = new_tape(types[k % 2]);
		ebb_tensor *in = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(4), x));
		ebb_tensor *w = ebb_from_f64(t, EBB_SHAPE(4), (const double[]){3, 1, 1, 1});
		ebb_tensor *y = k < 2 ? ebb_softmax(t, in, 0) : ebb_log_softmax(t, in, 0);
		/* p*(w - sum p*w);  w - p*sum w */
		const double slopes[][4] = {{0.5, 0, -0.5, 0}, {0, 1, -2, 1}};
		ebb_tensor *g[2], *h;

		ck_assert(ebb_grad(t, y, 1, &in, &g[0], w));
		ck_assert(ebb_grad(t, y, 1, &in, &g[1], w, .create_graph = true));
		ck_assert(ebb_grad(t, g[1], 1, &in, &h, w));
		for (int i = 0; i < 4; i++) {
			double p = k < 2 ? ebb_at(y, i) : exp(ebb_at(y, i));

			ck_assert_double_eq_tol(p, half[i], 1e-6);
			for (int recorded = 0; recorded < 2; recorded++)
				ck_assert_double_eq_tol(
					ebb_at(g[recorded], i), slopes[k / 2][i], 1e-5);
			ck_assert(isfinite(ebb_at(h, i)));
			ck_assert(half[i] > 0 || ebb_at(h, i) == 0);
		}
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

START_TEST(extremes_of_infinities)
{
	static const double inf = INFINITY;
	static const double a[] = {inf, -inf, 1, inf, -inf}, b[] = {2, 2, inf, inf, -inf};
	static const double most[] = {inf, 2, inf, inf, -inf}, share[] = {1, 0, 0, 0.5, 0.5};

	for (int k = 0; k < 2; k++) {
		ebb_tape *t = new_tape(types[k]);
		ebb_tensor *in[] = {ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(5), a)),
			ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(5), b))};
		ebb_tensor *y = ebb_maximum(t, in[0], in[1]), *g[2];

		ck_assert(ebb_grad(t, ebb_sum(t, y), 2, in, g));
		for (int i = 0; i < 5; i++)
			ck_assert(ebb_at(y, i) == most[i] && ebb_at(g[0], i) == share[i] &&
				  ebb_at(g[1], i) == 1 - share[i]);
		y = ebb_minimum(t, ebb_neg(t, in[0]), ebb_neg(t, in[1]));
		ck_assert(ebb_grad(t, ebb_sum(t, y), 2, in, g));
		for (int i = 0; i < 5; i++)
			ck_assert(ebb_at(y, i) == -most[i] && ebb_at(g[0], i) == -share[i] &&
				  ebb_at(g[1], i) == share[i] - 1);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

/* floor(a/b) has no derivative but 0; that of the remainder by b is -floor(a/b), and its second
 * derivatives are 0. */
START_TEST(quotients_and_remainders_equal_their_limits)
{
	static const double inf = INFINITY, tiny = 0x1p-149;
	static const double cases[][4] = {{7, 2, 3, 1}, {-7, 2, -4, 1}, {7, -2, -4, -1},
		{6, 3, 2, 0}, {0, -5, 0, 0}, {tiny, 3, 0, tiny}, {-tiny, 3, -1, 3}, {1, inf, 0, 1},
		{-1, inf, -1, inf}, {1, -inf, -1, -inf}, {-1, -inf, 0, -1}, {1, 0, inf, NAN},
		{-1, 0, -inf, NAN}, {0, 0, NAN, NAN}, {NAN, 1, NAN, NAN}, {1, NAN, NAN, NAN},
		{0x1p100, 1, 0x1p100, 0}};

	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
			const double *at = cases[i];
			ebb_tape *t = new_tape(types[k]);
			ebb_tensor *in[2], *y, *r, *g[2], *h;

			for (int j = 0; j < 2; j++)
				in[j] = ebb_variable(t, ebb_scalar(t, at[j]));
			y = ebb_floor_div(t, in[0], in[1]);
			r = ebb_remainder(t, in[0], in[1]);
			expect_value(types[k], "quotient", at[0], at[1], ebb_item(y), at[2]);
			expect_value(types[k], "remainder", at[0], at[1], ebb_item(r), at[3]);
			ck_assert(ebb_grad(t, y, 2, in, g));
			ck_assert(ebb_item(g[0]) == 0 && ebb_item(g[1]) == 0);
			for (int recorded = 0; recorded < 2; recorded++) {
				ck_assert(ebb_grad(t, r, 2, in, g, .create_graph = recorded));
				ck_assert(ebb_item(g[0]) == 1);
				expect_value(types[k], "derivative of the remainder", at[0], at[1],
					ebb_item(g[1]), -at[2]);
			}
			/* a times the gradient, so that the product requires a gradient. */
			ck_assert(ebb_grad(t, ebb_mul(t, in[0], g[1]), 1, in, &h));
			expect_value(types[k], "derivative of a product", at[0], at[1], ebb_item(h),
				-at[2]);
			assert_healthy(t);
			ebb_tape_free(t);
		}
}
END_TEST

/* In ascending order NaNs are last, and infinities are at the ends.  The gradient of an element is that
 * of the place it was sorted to, whatever its value; topk gives 0 to the elements it leaves out. */
START_TEST(sorting_equals_its_limits)
{
	enum { N = 7, TOP = 3 };
	static const double inf = INFINITY, x[N] = {NAN, -inf, 2, inf, -0.0, NAN, 0};
	static const int orders[2][N] = {{1, 4, 6, 2, 3, 0, 5}, {0, 5, 3, 2, 4, 6, 1}};

	for (int k = 0; k < 4; k++) {
		bool down = k / 2;
		const int *order = orders[down];
		ebb_tape *t = new_tape(types[k % 2]);
		ebb_tensor *in = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(N), x)), *y[2], *g, *h;
		ebb_tensor *w = ebb_variable(t, ebb_linspace(t, 1, N, N));

		y[0] = ebb_sort(t, in, .descending = down);
		y[1] = ebb_topk(t, in, TOP, .smallest = !down);
		for (int cut = 0; cut < 2; cut++) {
			int n = cut ? TOP : N;
			ebb_tensor *u = ebb_slice(t, w, 0, 0, n, 1);

			ck_assert(ebb_grad(t, y[cut], 1, &in, &g, u, .create_graph = true));
			for (int i = 0; i < N; i++) {
				double got = i < n ? ebb_at(y[cut], i) : 0;

				ck_assert(i >= n || got == x[order[i]] ||
					  (isnan(got) && isnan(x[order[i]])));
				ck_assert(ebb_at(g, order[i]) == (i < n ? i + 1 : 0));
			}
			/* The gradient is linear in w: its sum of squares has the gradient 2*w. */
			ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, g)), 1, &w, &h));
			for (int i = 0; i < N; i++)
				ck_assert(ebb_at(h, i) == (i < n ? 2 * (i + 1) : 0));
		}
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

/* Attention whose scores are far apart gives the value of one key; values near the largest number
 * do not overflow; a NaN stays in the row of its query. */
START_TEST(attention_equals_its_limits)
{
	enum { KEYS = 300, WIDTH = 2 };

	for (int k = 0; k < 2; k++) {
		ebb_tape *t = new_tape(types[k]);
		double far = k ? 1e150 : 1e18, most = k ? DBL_MAX / 2 : FLT_MAX / 2.0;
		double queries[3][WIDTH] = {{far, 0}, {0, NAN}, {0, 0}}, keys[KEYS][WIDTH] = {{0}};
		ebb_tensor *x[3], *y, *g[2][3];

		keys[7][0] = far;
		x[0] = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3, WIDTH), queries[0]));
		x[1] = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(KEYS, WIDTH), keys[0]));
		x[2] = ebb_variable(t, ebb_full(t, EBB_SHAPE(KEYS, 1), most));
		y = ebb_attention(t, x[0], x[1], x[2]);
		ck_assert(ebb_at(y, 0) == most && isnan(ebb_at(y, 1)));
		ck_assert_double_eq_tol(ebb_at(y, 2) / most, 1, 1e-5);
		for (int recorded = 0; recorded < 2; recorded++) {
			x[0] = ebb_variable(t, ebb_slice(t, ebb_detach(t, x[0]), 0, 0, 1, 1));
			y = ebb_attention(t, x[0], x[1], x[2]);
			ck_assert(ebb_grad(t, ebb_sum(t, ebb_mul_scalar(t, y, 0x1p-64)), 3, x,
				g[recorded], .create_graph = recorded));
			for (int i = 0; i < WIDTH * KEYS; i++)
				ck_assert(ebb_at(g[recorded][0], i % WIDTH) == 0 &&
					  ebb_at(g[recorded][1], i) == 0);
			for (int i = 0; i < KEYS; i++)
				ck_assert(ebb_at(g[recorded][2], i) == (i == 7 ? 0x1p-64 : 0));
		}
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *c = tcase_create("limits");

	tcase_add_test(c, every_function_of_one_operand_has_a_row);
	tcase_add_loop_test(c, functions_and_slopes_equal_their_limits, 0, ROW_COUNT);
	tcase_add_loop_test(c, third_derivatives_follow, 0, ROW_COUNT);
	tcase_add_test(c, powers_equal_their_limits);
	tcase_add_test(c, logsumexp_equals_its_limits);
	tcase_add_test(c, softmax_leaves_out_minus_infinity);
	tcase_add_test(c, extremes_of_infinities);
	tcase_add_test(c, quotients_and_remainders_equal_their_limits);
	tcase_add_test(c, sorting_equals_its_limits);
	tcase_add_test(c, attention_equals_its_limits);
	suite_add_tcase(s, c);
	return run_suite(s);
}
