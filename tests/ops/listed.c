/*
 * listed.c - entries for the ops of kernels/unary.def and kernels/binary.def.
 *
 * The value is the column EXACT, the samples are drawn from the column DOMAIN.
 */
#include "tests/ops/ops_test.h"
#include "tests/support/exact.h"

/* ---- Integers ----------------------------------------------------------------------- */

/* IF_INTEGERS(op, a, b) is a if the op takes integers (kernels/integer.def), else b. */
#define INTEGERS_neg COMMA
#define INTEGERS_abs COMMA
#define INTEGERS_sign COMMA
#define INTEGERS_square COMMA
#define INTEGERS_sub COMMA
#define INTEGERS_mul COMMA
#define INTEGERS_maximum COMMA
#define INTEGERS_minimum COMMA
#define COMMA ,
#define IF_INTEGERS(op, a, b) SECOND(INTEGERS_##op a, b)
#define SECOND(...) SECOND_OF(__VA_ARGS__, )
#define SECOND_OF(x, y, ...) y

/* ---- One operand -------------------------------------------------------------------- */

#define SHAPES_ONE "2x3x4 | - | 1 | 5x1x2 | 0x3 | 2x3x2x2 | 2x2x2x1x2 | 37"
/* Every sample of an op whose derivative is 0 is flat, because second-order checks of others need a
 * gradient that is not. */
#define SHAPES_FLAT "2x3x4 #0f | - #0f | 1 #0f | 5x1x2 #0f | 0x3 #0f | 2x3x2x2 #0f | 37 #0f"
#define SAMPLES_GRADIENT(reads, expr) SHAPES_ONE
#define SAMPLES_ZERO SHAPES_FLAT

#define UNARY(name, ...)                                                                           \
	CALL(name, ebb_##name(t, x[0]))                                                            \
	static double value_##name(double x, int v)                                                \
	{                                                                                          \
		(void)v;                                                                           \
		return (double)exact_##name(x, 0);                                                 \
	}
#include "kernels/unary.def"

const entry unary_ops[] = {
#define UNARY(op, domain, torch, exact, kernel, gradient)                                          \
	{.name = #op,                                                                              \
		.call = call_##op,                                                                 \
		.unary = value_##op,                                                               \
		.samples = SAMPLES_##gradient,                                                     \
		.values = domain,                                                                  \
		.refused = IF_INTEGERS(op, NULL, "i5:2x3 | m2x3"),                                 \
		.waived = {[BROADCAST] = "one operand",                                            \
			[REFUSED] = IF_INTEGERS(op, "takes tensors of every type", NULL)}},
#include "kernels/unary.def"
	{.name = NULL},
};

/* ---- Two operands ------------------------------------------------------------------- */

#define SHAPES_TWO                                                                                 \
	"2x3 2x3 | 2x3x4 3x1 | 4 3x1 | - 2x3 | 2x3 - | - - | 1x4 3x1 | 0x3 3 | 2x1 1x0 | 1 1x1 | " \
	"2x3x2x2 3x1x1 | 2x3x2x2 2x3x2x2 | 2x1x3 1x2x1 | 1x3x1x2 2x1x2x1"

#define BINARY(name, ...)                                                                          \
	CALL(name, ebb_##name(t, x[0], x[1]))                                                      \
	static double value_##name(double a, double b)                                             \
	{                                                                                          \
		return (double)exact_binary(EBB_BINARY_##name, a, b, 0);                           \
	}
#include "kernels/binary.def"

const entry binary_ops[] = {
#define BINARY(op, domain, ...)                                                                    \
	{.name = #op,                                                                              \
		.call = call_##op,                                                                 \
		.binary = value_##op,                                                              \
		.samples = SHAPES_TWO,                                                             \
		.values = domain,                                                                  \
		.refused = "2x3 4x5 | 2x3 2 | 3 i5:3 | 2x3 3x2" IF_INTEGERS(                       \
			op, "", " | i5:3 i5:3 | m3 m3")},
#include "kernels/binary.def"
	{.name = NULL},
};
