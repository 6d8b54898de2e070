/* spatial.c - golden calls: convolution, pooling and upsampling. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

static ebb_tensor *call_conv1d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *pad = golden_text(o, "pad");
	bool same = pad && !strcmp(pad, "same"), valid = pad && !strcmp(pad, "valid");

	return ebb_conv1d(t, in[0], in[1], n > 2 ? in[2] : NULL,
		.stride = (int)golden_number(o, "stride", 1),
		.pad = same    ? EBB_SAME
	               : valid ? 0
	                       : (int)golden_number(o, "pad", 0),
		.dilation = (int)golden_number(o, "dilation", 1),
		.groups = (int)golden_number(o, "groups", 1));
}

static ebb_tensor *call_conv_transpose2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_conv_transpose2d_args a = {.t = t,
		.x = in[0],
		.w = in[1],
		.b = n > 2 ? in[2] : NULL,
		.groups = (int)golden_number(o, "groups", 1),
		.site = EBB_SITE};

	golden_pair(o, "stride", a.stride_hw);
	golden_pair(o, "pad", a.pad_hw);
	golden_pair(o, "output_pad", a.output_pad_hw);
	golden_pair(o, "dilation", a.dilation_hw);
	return (ebb_conv_transpose2d)(&a);
}

static ebb_tensor *call_adaptive_maxpool2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_adaptive_args a = {.t = t, .x = in[0], .site = EBB_SITE};

	(void)n;
	golden_pair(o, "size", a.size_hw);
	return (ebb_adaptive_maxpool2d)(&a);
}

static ebb_tensor *call_max_unpool2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	int size[2] = {0, 0};

	(void)n;
	golden_pair(o, "size", size);
	return ebb_max_unpool2d(t, in[0], in[1], size[0], size[1]);
}

/* One or two real numbers. */
static void read_scale(golden_options *o, double scale[2])
{
	const char *text = golden_text(o, "scale");
	char *end;

	if (!text)
		return;
	scale[0] = scale[1] = strtod(text, &end);
	if (end != text && *end == ',') {
		text = end + 1;
		scale[1] = strtod(text, &end);
	}
	if (end == text || *end)
		golden_problem(o, "option scale has a value that is not understood: %s", text);
}

static ebb_tensor *call_upsample(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *mode = golden_text(o, "mode");
	ebb_upsample_args a = {.t = t, .x = in[0], .site = EBB_SITE};

	(void)n;
	if (mode && !strcmp(mode, "bilinear"))
		a.mode = EBB_BILINEAR;
	else if (mode && strcmp(mode, "nearest"))
		golden_problem(o, "option mode has a value that is not understood: %s", mode);
	a.align_corners = golden_flag(o, "align_corners", false);
	golden_pair(o, "size", a.size_hw);
	read_scale(o, a.scale_hw);
	return (ebb_upsample)(&a);
}

static ebb_tensor *call_local_response_norm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_local_response_norm(t, in[0], (int)golden_number(o, "size", 0),
		.alpha = or_zero(golden_number(o, "alpha", 1e-4)),
		.beta = or_zero(golden_number(o, "beta", 0.75)),
		.k = or_zero(golden_number(o, "k", 1)));
}

const golden_op golden_spatial[] = {
	{OP(conv1d, 2, 3)},
	{OP(conv_transpose2d, 2, 3)},
	{OP(adaptive_maxpool2d, 1, 1)},
	{OP(max_unpool2d, 2, 2)},
	{OP(upsample, 1, 1)},
	{OP(local_response_norm, 1, 1)},
	{.name = NULL},
};
