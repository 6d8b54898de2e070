/* anomaly.c - anomaly detection: finds the first NaN or infinity, and reports the op that computed
 * it. */
#include "tensor/host.h"
#include "autograd/internal.h"
#include "autograd/watching/parts.h"

#include <inttypes.h>
#include <math.h>

/* The row-major index of the first element that is not finite; -1 if there is none. */
static int64_t first_anomaly(const ebb_tensor *x)
{
	if (!ebb_is_real(x))
		return -1;
	for (int64_t i = 0; i < x->count; i++)
		if (!isfinite(ebb_value_at(x, i)))
			return i;
	return -1;
}

/* "F32 [2,3] from -1 to 4", and how many are NaN. */
static size_t describe_range(const ebb_tensor *x, char *buffer, size_t size)
{
	double lo = INFINITY, hi = -INFINITY;
	int64_t nan = 0;
	char text[120];
	int n;

	ebb_describe(x, text, sizeof text);
	if (!x || !x->count)
		return (size_t)snprintf(buffer, size, "%s", text);
	for (int64_t i = 0; i < x->count; i++) {
		double value = ebb_value_at(x, i);

		nan += isnan(value);
		lo = value < lo ? value : lo;
		hi = value > hi ? value : hi;
	}
	if (nan == x->count)
		n = ebb_snprintf(buffer, size, "%s all NaN", text);
	else if (nan)
		n = ebb_snprintf(
			buffer, size, "%s from %g to %g, %" PRId64 " NaN", text, lo, hi, nan);
	else
		n = ebb_snprintf(buffer, size, "%s from %g to %g", text, lo, hi);
	return (size_t)n;
}

/* "; input 0 is F32 [3] from 0 to 1; input 1 ..", of as many inputs as fit into the buffer.  For a
 * node (else NULL), the range of an input is known only if the node saved the input and the input
 * was not overwritten since. */
static void describe_inputs(
	int n, ebb_tensor *const *x, const ebb_node *node, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (int k = 0; k < n && used + 120 < size; k++) {
		bool stands = !node || (ebb_saves_input(node, k) &&
					       x[k]->storage->version == node->versions[k]);
		char text[120];

		used += (size_t)snprintf(buffer + used, size - used, "; input %d is ", k);
		if (stands)
			used += describe_range(x[k], buffer + used, size - used);
		else
			used += (size_t)snprintf(buffer + used, size - used, "%s%s",
				ebb_describe(x[k], text, sizeof text),
				x[k] && ebb_saves_input(node, k) ? ", overwritten since" : "");
	}
}

/* Checks the parts of a fused op before the last: a final relu hides a NaN or -infinity of an
 * earlier part. */
static bool parts_are_finite(ebb_call *c, const ebb_tensor *y)
{
	for (int k = 0; k < c->op->nparts - 1; k++) {
		const ebb_tensor *value = ebb_part_of_call(c, k, y);
		int64_t at = value ? first_anomaly(value) : -1;
		double found = at < 0 ? 0 : ebb_value_at(value, at);
		char inputs[300];

		ebb_shown_free(&c->t->shown);
		if (at < 0)
			continue;
		describe_inputs(c->nin, c->in, NULL, inputs, sizeof inputs);
		ebb_call_fail(c, EBB_NOT_FINITE,
			"element %" PRId64 " of the value of its part \"%s\" is %g%s", at,
			c->op->parts[k].op, found, inputs);
		return false;
	}
	return true;
}

static bool result_is_finite(ebb_call *c, const ebb_tensor *y)
{
	int64_t at = first_anomaly(y);
	char inputs[300];

	if (at < 0)
		return parts_are_finite(c, y);
	describe_inputs(c->nin, c->in, NULL, inputs, sizeof inputs);
	ebb_call_fail(c, EBB_NOT_FINITE, "element %" PRId64 " of the result is %g%s", at,
		ebb_value_at(y, at), inputs);
	return false;
}

static bool gradient_is_finite(ebb_vjp *v, int k, const ebb_tensor *g)
{
	int64_t at = first_anomaly(g);
	char inputs[260], range[120];

	if (at < 0)
		return true;
	describe_inputs(v->nin, v->node->in, v->node, inputs, sizeof inputs);
	describe_range(v->gy, range, sizeof range);
	ebb_fail(v->t, EBB_NOT_FINITE, v->node->site,
		"element %" PRId64
		" of the gradient of input %d is %g; the output's gradient is %s%s",
		at, k, ebb_value_at(g, at), range, inputs);
	return false;
}

bool ebb_detect_anomaly(ebb_tape *t, bool on)
{
	static const ebb_guard GUARD = {result_is_finite, gradient_is_finite};
	bool was = t && t->anomaly;

	if (t)
		t->anomaly = on ? &GUARD : NULL;
	return was;
}
