/* elementwise.c - golden calls: elementwise functions, most of them from the lists of kernels/. */
#include "calls.h"

#include <string.h>

#define UNARY(name, ...) CALL_OF_ONE(name)
#include "kernels/unary.def"
#define BINARY(name, ...) CALL_OF_TWO(name)
#include "kernels/binary.def"
CALL_OF_TWO(add)
CALL_OF_TWO(floor_div)
CALL_OF_TWO(remainder)
CALL_OF_TWO(prelu)
WITH_NUMBER(leaky_relu, "negative_slope", 0.01)
WITH_NUMBER(elu, "alpha", 1)
WITH_NUMBER(add_scalar, "value", NAN)
WITH_NUMBER(mul_scalar, "value", NAN)
WITH_NUMBER(div_scalar, "value", NAN)
WITH_NUMBER(pow_scalar, "exponent", NAN)

static ebb_tensor *call_gelu(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *approximate = golden_text(o, "approximate");
	bool tanh = approximate && !strcmp(approximate, "tanh");

	if (approximate && !tanh && strcmp(approximate, "none"))
		golden_problem(o, "option approximate has a value that is not understood: %s",
			approximate);
	golden_note(o, "in.1 = bias");
	return ebb_gelu(t, in[0], .bias = n > 1 ? in[1] : NULL, .tanh = tanh);
}

static ebb_tensor *call_clamp(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_clamp(
		t, in[0], golden_number(o, "min", -INFINITY), golden_number(o, "max", INFINITY));
}

static ebb_tensor *call_where(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)o, (void)n;
	return ebb_where(t, in[0], in[1], in[2]);
}

const golden_op golden_elementwise[] = {
#define UNARY(name, ...) {OP(name, 1, 1)},
#include "kernels/unary.def"
#define BINARY(name, ...) {OP(name, 2, 2)},
#include "kernels/binary.def"
	{OP(add, 2, 2)},
	{OP(floor_div, 2, 2)},
	{OP(remainder, 2, 2)},
	{OP(prelu, 2, 2)},
	{OP(leaky_relu, 1, 1)},
	{OP(elu, 1, 1)},
	{OP(gelu, 1, 2)},
	{OP(clamp, 1, 1)},
	{OP(add_scalar, 1, 1)},
	{OP(mul_scalar, 1, 1)},
	{OP(div_scalar, 1, 1)},
	{OP(pow_scalar, 1, 1)},
	{OP(where, 3, 3)},
	{.name = NULL},
};
