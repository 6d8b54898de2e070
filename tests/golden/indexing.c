/* indexing.c - golden calls: reductions, shapes and indices. */
#include "calls.h"

#include <string.h>

REDUCTION(prod)
ALONG_AXIS(cumsum)
ALONG_AXIS(squeeze)
ALONG_AXIS(unsqueeze)

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

static ebb_tensor *call_sum_to(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_sum_to(t, in[0], golden_shape(o, "shape"));
}

static ebb_tensor *call_flatten(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)o, (void)n;
	return ebb_flatten(t, in[0]);
}

static ebb_tensor *call_transpose(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_axes axes = golden_axes(o, "axes");

	(void)n;
	return ebb_transpose(t, in[0], axes.axis[0], axes.axis[1]);
}

static ebb_tensor *call_dense(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *order = golden_text(o, "order");

	(void)n;
	if (!order || strcmp(order, "channels_last"))
		golden_problem(o, "option order is not channels_last");
	return ebb_dense(t, in[0], EBB_CHANNELS_LAST);
}

/* PyTorch's split returns a list, and a case has one output: the parts joined in reverse order. */
static ebb_tensor *call_split(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	int64_t sizes[GOLDEN_MAX_INPUTS];
	ebb_tensor *part[GOLDEN_MAX_INPUTS], *reversed[GOLDEN_MAX_INPUTS];
	int parts = golden_ints(o, "sizes", sizes, GOLDEN_MAX_INPUTS),
	    axis = golden_axis(o, "axis");

	(void)n;
	if (!golden_note(o, "the parts joined in reverse order") ||
		!ebb_split(t, in[0], axis, parts, sizes, part))
		return NULL;
	for (int k = 0; k < parts; k++)
		reversed[k] = part[parts - 1 - k];
	return ebb_concat(t, parts, reversed, axis);
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

static ebb_tensor *call_sort(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_sort(t, in[0], EBB_AXES(golden_axis(o, "axis")),
		.descending = golden_flag(o, "descending", false));
}

static ebb_tensor *call_topk(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_topk(t, in[0], (int64_t)golden_number(o, "k", NAN),
		EBB_AXES(golden_axis(o, "axis")), .smallest = golden_flag(o, "smallest", false));
}

const golden_op golden_indexing[] = {
	{OP(prod, 1, 1)},
	{OP(cumsum, 1, 1)},
	{OP(sort, 1, 1)},
	{OP(topk, 1, 1)},
	{OP(std, 1, 1)},
	{OP(sum_to, 1, 1)},
	{OP(squeeze, 1, 1)},
	{OP(unsqueeze, 1, 1)},
	{OP(flatten, 1, 1)},
	{OP(transpose, 1, 1)},
	{OP(dense, 1, 1)},
	{OP(split, 1, 1)},
	{OP(embedding, 2, 2)},
	{OP(scatter_add, 3, 3)},
	{OP(flip, 1, 1)},
	{OP(tril, 1, 1)},
	{OP(triu, 1, 1)},
	{OP(pixel_shuffle, 1, 1)},
	{OP(normalize, 1, 1)},
	{.name = NULL},
};
