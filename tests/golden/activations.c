/* activations.c - golden calls: elementwise functions, tables. */
#include "calls.h"

UNARY(expm1)
UNARY(log1p)
UNARY(rsqrt)
UNARY(relu6)
UNARY(hardswish)
UNARY(logsigmoid)
UNARY(mish)
UNARY(selu)
UNARY(softsign)
BINARY(prelu)

static ebb_tensor *call_floor(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	o->flat = EBB_IN(0);
	return ebb_floor(t, in[0]);
}

static ebb_tensor *call_embedding(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	double padding = golden_number(o, "padding_idx", NAN);

	(void)n;
	return ebb_embedding(t, in[0], in[1], .padding_idx = isnan(padding) ? 0 : or_zero(padding));
}

static ebb_tensor *call_scatter_add(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_scatter_add(t, in[0], golden_axis(o, "axis"), in[1], in[2]);
}

const golden_op golden_activations[] = {
	{OP(expm1, 1, 1)},
	{OP(log1p, 1, 1)},
	{OP(rsqrt, 1, 1)},
	{OP(floor, 1, 1)},
	{OP(relu6, 1, 1)},
	{OP(hardswish, 1, 1)},
	{OP(logsigmoid, 1, 1)},
	{OP(mish, 1, 1)},
	{OP(selu, 1, 1)},
	{OP(softsign, 1, 1)},
	{OP(prelu, 2, 2)},
	{OP(embedding, 2, 2)},
	{OP(scatter_add, 3, 3)},
	{.name = NULL},
};
