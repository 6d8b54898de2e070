/* norms.c - golden calls: normalisation, losses and attention. */
#include <string.h>

#include "calls.h"

/* ---- Normalisation --------------------------------------------------------------------------- */

/* The number of last axes: the option axes, or the length of the list normalized_shape. */
static int last_axes(golden_options *o)
{
	int64_t shape[EBB_MAX_DIMS];
	int n = golden_ints(o, "normalized_shape", shape, EBB_MAX_DIMS);

	return (int)golden_number(o, "axes", n);
}

static double epsilon(golden_options *o, double fallback)
{
	return or_zero(golden_number(o, "eps", fallback));
}

static ebb_tensor *call_layernorm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	return ebb_layernorm(t, in[0], n > 1 ? in[1] : NULL, n > 2 ? in[2] : NULL,
		.axes = last_axes(o), .eps = epsilon(o, 1e-5));
}

static ebb_tensor *call_rmsnorm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	double eps = golden_number(o, "eps", -1);

	return ebb_rmsnorm(t, in[0], n > 1 ? in[1] : NULL, .axes = last_axes(o),
		.eps = eps < 0 ? 0 : or_zero(eps));
}

static ebb_tensor *call_groupnorm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	return ebb_groupnorm(t, in[0], (int64_t)golden_number(o, "groups", 0), n > 1 ? in[1] : NULL,
		n > 2 ? in[2] : NULL, .eps = epsilon(o, 1e-5));
}

static ebb_tensor *call_instancenorm(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	return ebb_instancenorm(
		t, in[0], n > 1 ? in[1] : NULL, n > 2 ? in[2] : NULL, .eps = epsilon(o, 1e-5));
}

/* ---- Losses ---------------------------------------------------------------------------------- */

static ebb_tensor *call_l1_loss(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_l1_loss(t, in[0], in[1], .reduction = golden_reduction(o));
}

static ebb_tensor *call_huber_loss(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	(void)n;
	return ebb_huber_loss(t, in[0], in[1], .delta = golden_number(o, "delta", 1),
		.reduction = golden_reduction(o));
}

static ebb_reduction kl_reduction(golden_options *o)
{
	const char *text = golden_text(o, "reduction");

	return text && !strcmp(text, "batchmean") ? EBB_BATCH_MEAN : golden_reduction(o);
}

static ebb_tensor *call_kl_div(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	bool log_target = golden_flag(o, "log_target", false);
	ebb_tensor *x = in[0], *target = in[1];

	(void)n;
	if (golden_note(o, "in.0 and in.1 are logits: log_softmax / softmax first")) {
		x = ebb_log_softmax(t, x, -1);
		target = log_target ? ebb_log_softmax(t, target, -1) : ebb_softmax(t, target, -1);
	} else if (golden_note(o, "in.0 and in.1 are logits: log_softmax first")) {
		x = ebb_log_softmax(t, x, -1);
		target = ebb_log_softmax(t, target, -1);
	}
	return ebb_kl_div(t, x, target, .log_target = log_target, .reduction = kl_reduction(o));
}

static ebb_tensor *call_nll_loss(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	ebb_tensor *x = in[0];

	if (golden_note(o, "in.0 are logits: log_softmax first"))
		x = ebb_log_softmax(t, x, 1);
	golden_note(o, "in.2 = class weights, not differentiated");
	return ebb_nll_loss(t, x, in[1], .weight = n > 2 ? in[2] : NULL,
		.ignore_index = or_zero(golden_number(o, "ignore_index", -100)),
		.reduction = golden_reduction(o));
}

/* ---- Attention ------------------------------------------------------------------------------- */

static ebb_tensor *call_attention(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	double scale = golden_number(o, "scale", NAN);

	golden_note(o, "in.3 = mask");
	return ebb_attention(t, in[0], in[1], in[2], .mask = n > 3 ? in[3] : NULL,
		.causal = golden_flag(o, "causal", false),
		.grouped = golden_flag(o, "grouped", false),
		.past = (int64_t)golden_number(o, "past", 0),
		.scale = isnan(scale) ? 0 : or_zero(scale));
}

const golden_op golden_norms[] = {
	{OP(layernorm, 1, 3)},
	{OP(rmsnorm, 1, 2)},
	{OP(groupnorm, 1, 3)},
	{OP(instancenorm, 1, 3)},
	{OP(l1_loss, 2, 2)},
	{OP(huber_loss, 2, 2)},
	{OP(kl_div, 2, 2)},
	{OP(nll_loss, 2, 3), .constants = EBB_IN(2)},
	{OP(attention, 3, 4)},
	{.name = NULL},
};
