/*
 * origin.c - where the first value that is not finite was computed.
 *
 * When a loss is not finite, the nodes of the recording are examined in order, before the sweep
 * frees them.  This also finds the op in a step that is not measured.
 */
#include "flow/instrument/recorder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Whether x has an element that is not finite; false without x. */
static bool is_bad(const ebb_tensor *x)
{
	return x && ebb_flow_has_bad(x, -1);
}

/* Sets the origin to node n. */
static void set(ebb_flow *f, const ebb_node *n, bool in_gradient)
{
	const struct flow_recorder *r = f->recorder;
	int64_t index = ebb_node_index(n);
	const struct flow_node *e = index >= 0 && index < r->nodes ? &r->node[index] : NULL;
	struct flow_origin *o = &f->origin;

	*o = (struct flow_origin){.found = true,
		.in_gradient = in_gradient,
		.step = ebb_flow_step_now(f),
		.row = -1,
		.op = ebb_node_op(n),
		.site = ebb_node_site(n),
		.added = ebb_scope_added(ebb_node_scope(n)),
		.layer = ""};
	if (!e)
		return;
	for (int k = 0; o->row < 0 && k < FLOW_PARTS; k++)
		o->row = e->row[k];
	if (o->row < 0)
		o->row = e->measured;
	if (e->path >= 0)
		o->layer = r->path[e->path].text;
}

/* Names the parameter of n that is not finite itself. */
static void name_parameter(ebb_flow *f, const ebb_node *n)
{
	for (int k = 0; k < ebb_node_inputs(n); k++) {
		const ebb_tensor *persistent = ebb_persistent_of(ebb_node_input(n, k));

		if (persistent && ebb_flow_is_parameter(n, k) && is_bad(persistent)) {
			snprintf(f->origin.parameter, sizeof f->origin.parameter, "%s",
				ebb_name(persistent));
			return;
		}
	}
}

/* Whether the op's result is finite for every finite input. */
static bool keeps_finite(const char *op)
{
	static const char *const ops[] = {"relu", "relu6", "leaky_relu", "prelu", "sigmoid", "tanh",
		"softsign", "hardtanh", "elu", "gelu", "silu", "softmax", "abs", "neg", "clamp",
		"maxpool2d", "relu_maxpool2d", "reshape", "permute", "slice", "concat", "expand",
		"dense", "copy", "pad", "index_select", NULL};

	for (int i = 0; ops[i]; i++)
		if (strcmp(op, ops[i]) == 0)
			return true;
	return false;
}

/* The node that computed the value that is not finite, of which n is the first whose result is
 * known.  The results of the nodes before it may be gone. */
static const ebb_node *trace(const ebb_node *n)
{
	for (;;) {
		const ebb_node *before = NULL;

		for (int k = 0; !before && k < ebb_node_inputs(n); k++) {
			const ebb_tensor *x = ebb_node_input(n, k), *value;

			if (!x || ebb_flow_is_parameter(n, k))
				continue;
			value = ebb_node_input_value(n, k);
			if (value ? is_bad(value) : keeps_finite(ebb_node_op(n)))
				before = ebb_node_of(x);
		}
		if (!before || strcmp(ebb_node_op(before), "leaf") == 0)
			return n;
		n = before;
	}
}

/* Whether n's result is known not to be finite. */
static bool computed_bad(const ebb_flow *f, const ebb_node *n)
{
	int64_t index = ebb_node_index(n);
	bool measured = index < f->recorder->nodes && f->recorder->node[index].bad;

	return measured || is_bad(ebb_node_output_value(n));
}

void ebb_flow_find_origin(ebb_flow *f)
{
	const ebb_node *n, *first = NULL;

	for (int64_t i = 0; !first && (n = ebb_node_at(f->t, i)); i++) {
		bool leaf = strcmp(ebb_node_op(n), "leaf") == 0;

		if (!leaf && !f->recorder->watching && !ebb_node_is_gradient(n) &&
			!ebb_flow_place(f, n)) {
			f->failed = true;
			return;
		}
		if (!leaf && computed_bad(f, n))
			first = n;
	}
	if (!first)
		return;
	first = trace(first);
	set(f, first, false);
	name_parameter(f, first);
}

/* The last op that uses the leaf; the leaf itself if there is none. */
static const ebb_node *user_of(const ebb_flow *f, const ebb_node *leaf)
{
	const ebb_node *n, *user = leaf;

	for (int64_t i = 0; (n = ebb_node_at(f->t, i)); i++)
		for (int k = 0; k < ebb_node_inputs(n); k++)
			if (ebb_node_of(ebb_node_input(n, k)) == leaf)
				user = n;
	return user;
}

void ebb_flow_origin_in_gradient(ebb_flow *f, const ebb_node *n)
{
	if (f->origin.found)
		return;
	set(f, strcmp(ebb_node_op(n), "leaf") == 0 ? user_of(f, n) : n, true);
}
