/* indexing.c - golden calls: reductions, shapes and indices. */
#include "calls.h"

REDUCTION(prod)
ALONG_AXIS(cumsum)

static ebb_tensor *call_std(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_std(t, in[0], .axes = golden_axes(o, "axis"),
		.keepdim = golden_flag(o, "keepdim", false),
		.correction = or_zero(golden_number(o, "correction", 1)));
}

static ebb_tensor *call_flip(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_flip(t, in[0], golden_axes(o, "axis"));
}

static ebb_tensor *call_tril(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_tril(t, in[0], (int64_t)golden_number(o, "diagonal", 0));
}

static ebb_tensor *call_triu(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_triu(t, in[0], (int64_t)golden_number(o, "diagonal", 0));
}

static ebb_tensor *call_pixel_shuffle(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_pixel_shuffle(t, in[0], golden_axis(o, "factor"));
}

static ebb_tensor *call_normalize(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_normalize(t, in[0], .p = golden_number(o, "p", 2),
		.axis = golden_axes(o, "axis"), .eps = or_zero(golden_number(o, "eps", 1e-12)));
}

const golden_op golden_indexing[] = {
	{OP(prod, 1, 1)},
	{OP(cumsum, 1, 1)},
	{OP(std, 1, 1)},
	{OP(flip, 1, 1)},
	{OP(tril, 1, 1)},
	{OP(triu, 1, 1)},
	{OP(pixel_shuffle, 1, 1)},
	{OP(normalize, 1, 1)},
	{.name = NULL},
};
