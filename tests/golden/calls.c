/* calls.c - the calls of ops for golden cases: reductions, shapes, products, pooling, losses.  Also
 * golden_op_named, which searches the tables of calls of all files. */
#include "calls.h"

#include <string.h>

REDUCTION(sum)
REDUCTION(mean)
REDUCTION(logsumexp)
REDUCTION(max)
REDUCTION(min)
ALONG_AXIS(softmax)
ALONG_AXIS(log_softmax)
INDEXED(gather)
INDEXED(index_select)
JOINED(concat)
JOINED(stack)
LOSS(mse_loss)
LOSS(bce_with_logits)

static ebb_tensor *call_var(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_var(t, in[0], .axes = golden_axes(o, "axis"),
		.keepdim = golden_flag(o, "keepdim", false),
		.correction = or_zero(golden_number(o, "correction", 1)));
}

static ebb_tensor *call_norm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	double p = golden_number(o, "p", 2);

	(void)n;
	return ebb_norm(t, in[0], .p = or_zero(p), .axes = golden_axes(o, "axis"),
		.keepdim = golden_flag(o, "keepdim", false));
}

static ebb_tensor *call_reshape(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_reshape(t, in[0], golden_shape(o, "shape"));
}

static ebb_tensor *call_expand(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_expand(t, in[0], golden_shape(o, "shape"));
}

static ebb_tensor *call_permute(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_permute(t, in[0], golden_axes(o, "axes"));
}

/* One start, stop and step per axis. */
static ebb_tensor *call_slice(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	int64_t start[EBB_MAX_DIMS], stop[EBB_MAX_DIMS], step[EBB_MAX_DIMS];
	int nstart = golden_ints(o, "start", start, EBB_MAX_DIMS),
	    nstop = golden_ints(o, "stop", stop, EBB_MAX_DIMS);
	int nstep = golden_ints(o, "step", step, EBB_MAX_DIMS);
	ebb_tensor *y = in[0];

	(void)n;
	if (!nstart || nstart != nstop || (nstep && nstep != nstart))
		golden_problem(o, "start, stop and step are of different lengths");
	for (int axis = 0; axis < nstart && !o->problem[0]; axis++)
		y = ebb_slice(t, y, axis, start[axis], stop[axis], nstep ? step[axis] : 1);
	return y;
}

static ebb_tensor *call_pad(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *text = golden_text(o, "mode");
	ebb_pad_mode mode = EBB_PAD_CONSTANT;
	ebb_pads pads = {0};

	(void)n;
	pads.n = golden_ints(o, "pad", pads.pad, 2 * EBB_MAX_DIMS);
	if (text && !strcmp(text, "reflect"))
		mode = EBB_PAD_REFLECT;
	else if (text && !strcmp(text, "replicate"))
		mode = EBB_PAD_REPLICATE;
	else if (text && !strcmp(text, "circular"))
		mode = EBB_PAD_CIRCULAR;
	else if (text && strcmp(text, "constant"))
		golden_problem(o, "option mode has a value that is not understood: %s", text);
	return ebb_pad(t, in[0], .pads = pads, .mode = mode, .value = golden_number(o, "value", 0));
}

static ebb_tensor *call_matmul(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_tensor *a = in[0], *b = in[1];

	(void)n;
	if (golden_note(o, "in.0 is used transposed"))
		a = ebb_transpose(t, a, -2, -1);
	if (golden_note(o, "in.1 is used transposed"))
		b = ebb_transpose(t, b, -2, -1);
	return ebb_matmul(t, a, b);
}

static ebb_tensor *call_einsum(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	return ebb_einsum(t, golden_text(o, "equation"), in[0], n > 1 ? in[1] : NULL);
}

static ebb_tensor *call_linear(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)o;
	return ebb_linear(t, in[0], in[1], n > 2 ? in[2] : NULL);
}

static ebb_tensor *call_conv2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *pad = golden_text(o, "pad");
	int stride[2] = {1, 1}, dilation[2] = {1, 1}, pads[2] = {0, 0};
	bool same = pad && !strcmp(pad, "same");

	if (pad && !same && strcmp(pad, "valid"))
		golden_pair(o, "pad", pads);
	golden_pair(o, "stride", stride);
	golden_pair(o, "dilation", dilation);
	return ebb_conv2d(t, in[0], in[1], n > 2 ? in[2] : NULL,
		.groups = (int)golden_number(o, "groups", 1), .pad = same ? EBB_SAME : 0,
		.pad_hw = {pads[0], pads[1]}, .stride_hw = {stride[0], stride[1]},
		.dilation_hw = {dilation[0], dilation[1]});
}

static ebb_pool2d_args pool_options(ebb_tape *t, golden_options *o, ebb_tensor *x)
{
	ebb_pool2d_args a = {.t = t, .x = x, .site = EBB_SITE};

	golden_pair(o, "kernel", a.kernel_hw);
	golden_pair(o, "stride", a.stride_hw);
	golden_pair(o, "pad", a.pad_hw);
	a.ceil_mode = golden_flag(o, "ceil", false);
	return a;
}

static ebb_tensor *call_maxpool2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_pool2d_args a = pool_options(t, o, in[0]);

	(void)n;
	golden_pair(o, "dilation", a.dilation_hw);
	return (ebb_maxpool2d)(&a);
}

static ebb_tensor *call_avgpool2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_pool2d_args a = pool_options(t, o, in[0]);

	(void)n;
	a.exclude_pad = !golden_flag(o, "count_include_pad", true);
	return (ebb_avgpool2d)(&a);
}

static ebb_tensor *call_adaptive_avgpool2d(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_adaptive_args a = {.t = t, .x = in[0], .site = EBB_SITE};

	(void)n;
	golden_pair(o, "size", a.size_hw);
	return (ebb_adaptive_avgpool2d)(&a);
}

static ebb_tensor *call_batchnorm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	ebb_set_training(t, golden_flag(o, "training", false));
	return ebb_batchnorm(t, in[0], in[1], in[2], in[3], in[4],
		.momentum = or_zero(golden_number(o, "momentum", 0.1)),
		.eps = or_zero(golden_number(o, "eps", 1e-5)));
}

static ebb_tensor *call_batchnorm_relu(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_set_training(t, golden_flag(o, "training", false));
	return ebb_batchnorm_relu(t, in[0], in[1], in[2], in[3], in[4],
		.residual = n > 5 ? in[5] : NULL,
		.momentum = or_zero(golden_number(o, "momentum", 0.1)),
		.eps = or_zero(golden_number(o, "eps", 1e-5)));
}

static ebb_tensor *call_cross_entropy(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_tensor *target = in[1];

	if (golden_note(o, "targets = softmax(in.1)"))
		target = ebb_softmax(t, target, 1);
	golden_note(o, "in.2 = class weights, not differentiated");
	return ebb_cross_entropy(t, in[0], target, .weight = n > 2 ? in[2] : NULL,
		.reduction = golden_reduction(o),
		.label_smoothing = golden_number(o, "label_smoothing", 0),
		.ignore_index = or_zero(golden_number(o, "ignore_index", -100)));
}

const golden_op golden_first[] = {
	{OP(sum, 1, 1)},
	{OP(mean, 1, 1)},
	{OP(logsumexp, 1, 1)},
	{OP(max, 1, 1)},
	{OP(min, 1, 1)},
	{OP(var, 1, 1)},
	{OP(norm, 1, 1)},
	{OP(reshape, 1, 1)},
	{OP(permute, 1, 1)},
	{OP(expand, 1, 1)},
	{OP(slice, 1, 1)},
	{OP(concat, 1, GOLDEN_MAX_INPUTS)},
	{OP(stack, 1, GOLDEN_MAX_INPUTS)},
	{OP(pad, 1, 1)},
	{OP(index_select, 2, 2)},
	{OP(gather, 2, 2)},
	{OP(matmul, 2, 2)},
	{OP(einsum, 1, 2)},
	{OP(linear, 2, 3)},
	{OP(conv2d, 2, 3)},
	{OP(maxpool2d, 1, 1)},
	{OP(avgpool2d, 1, 1)},
	{OP(adaptive_avgpool2d, 1, 1)},
	{OP(batchnorm, 5, 5), .buffers = {[3] = "running_mean", [4] = "running_var"}},
	{OP(batchnorm_relu, 5, 6), .buffers = {[3] = "running_mean", [4] = "running_var"}},
	{OP(softmax, 1, 1)},
	{OP(log_softmax, 1, 1)},
	{OP(cross_entropy, 2, 3), .constants = EBB_IN(2)},
	{OP(mse_loss, 2, 2)},
	{OP(bce_with_logits, 2, 2)},
	{.name = "graph_*",
		.call = golden_formula,
		.min_inputs = 1,
		.max_inputs = GOLDEN_MAX_INPUTS},
	{.name = NULL},
};

static const golden_op *const TABLES[] = {
	golden_first, golden_elementwise, golden_indexing, golden_spatial, golden_norms};

const golden_op *golden_op_named(const char *name)
{
	for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) {
		for (const golden_op *op = TABLES[i]; op->name; op++) {
			size_t n = strlen(op->name);
			bool prefix = op->name[n - 1] == '*';

			if (prefix ? !strncmp(op->name, name, n - 1) : !strcmp(op->name, name))
				return op;
		}
	}
	return NULL;
}
