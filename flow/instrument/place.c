/*
 * place.c - which layer and which rows a node of the tape belongs to.
 *
 * A node takes the layer of its own parameter, or else that of the youngest input that has one.
 * The rules are in flow/instrument.h.
 */
#include "flow/instrument/recorder.h"
#include "tensor/host.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 400 };

/* ---- Inputs ---------------------------------------------------------------------------------- */

static bool is_leaf(const ebb_node *n)
{
	return n && strcmp(ebb_node_op(n), "leaf") == 0;
}

/* The leaf or named persistent tensor that input k is; false: neither. */
static bool may_be_parameter(const ebb_node *n, int k)
{
	const ebb_tensor *x = ebb_node_input(n, k), *persistent = ebb_persistent_of(x);

	if (!x)
		return false;
	return is_leaf(ebb_node_of(x)) || (persistent && *ebb_name(persistent));
}

bool ebb_flow_is_parameter(const ebb_node *n, int k)
{
	const ebb_node *leaf = ebb_node_of(ebb_node_input(n, k));
	bool variable = is_leaf(leaf) && !ebb_node_persistent(leaf);

	if (!may_be_parameter(n, k))
		return false;
	/* A variable in the first place is data that wants a gradient, as for an adversarial
	 * example, unless the second input is data. */
	return !variable || k > 0 || (ebb_node_inputs(n) > 1 && !may_be_parameter(n, 1));
}

int ebb_flow_data_input(const ebb_node *n)
{
	for (int k = 0; k < ebb_node_inputs(n); k++)
		if (ebb_node_input(n, k) && !ebb_flow_is_parameter(n, k))
			return k;
	return -1;
}

struct flow_node *ebb_flow_node_of(const ebb_flow *f, const ebb_tensor *x)
{
	int64_t index = ebb_node_index(ebb_node_of(x));

	return index >= 0 && index < f->recorder->nodes ? &f->recorder->node[index] : NULL;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static bool is_inside(const char *path, const char *scope)
{
	size_t n = strlen(scope);

	return n == 0 || (strncmp(path, scope, n) == 0 && (path[n] == '.' || path[n] == '\0'));
}

/* Appends the layer's name to the scope's path, without the parts at the name's beginning with
 * which the path ends. */
static void join(const char *scope, const char *name, size_t length, char *path)
{
	size_t n = strlen(scope), shared = 0;

	for (size_t k = 1; k <= length; k++)
		if ((k == length || name[k] == '.') && k <= n &&
			memcmp(scope + n - k, name, k) == 0 && (k == n || scope[n - k - 1] == '.'))
			shared = k;
	if (shared == length)
		snprintf(path, PATH_SIZE, "%s", scope);
	else
		snprintf(path, PATH_SIZE, "%s%s%.*s", scope, n ? "." : "",
			(int)(length - shared - (shared > 0)), name + shared + (shared > 0));
}

/* The name of the layer of an unnamed variable: the op and its line, such as linear@35, and from
 * the second variable on that this line uses, its number. */
static void name_variable(ebb_flow *f, const ebb_node *n, const ebb_node *leaf, char *name)
{
	const char *site = ebb_node_site(n), *line = strrchr(site, ':');
	struct flow_recorder *r = f->recorder;
	struct flow_node *entry = &r->node[ebb_node_index(leaf)];

	if (!entry->unnamed) {
		int count = 0;

		for (int64_t i = 0; i < ebb_node_index(leaf); i++) {
			const ebb_node *other = ebb_node_at(f->t, i);

			count += r->node[i].unnamed &&
			         strcmp(ebb_node_site(other), ebb_node_site(leaf)) == 0;
		}
		entry->unnamed = count + 1;
	}
	if (entry->unnamed > 1)
		snprintf(name, 100, "%s@%s#%d", ebb_node_op(n), line ? line + 1 : "",
			entry->unnamed);
	else
		snprintf(name, 100, "%s@%s", ebb_node_op(n), line ? line + 1 : "");
}

/* The path of the layer that n's first parameter names.  False: n has no parameter. */
static bool path_of_parameter(ebb_flow *f, const ebb_node *n, const char *scope, char *path)
{
	for (int k = 0; k < ebb_node_inputs(n); k++) {
		const ebb_tensor *x = ebb_node_input(n, k), *persistent = ebb_persistent_of(x);
		char name[100];

		if (!x || !ebb_flow_is_parameter(n, k))
			continue;
		snprintf(name, sizeof name, "%s", ebb_name(persistent ? persistent : x));
		if (!*name)
			name_variable(f, n, ebb_node_of(x), name);
		const char *dot = strrchr(name, '.');
		join(scope, name, dot && dot > name ? (size_t)(dot - name) : strlen(name), path);
		return true;
	}
	return false;
}

/* The youngest input that has a path; NULL: none. */
static const struct flow_node *feeder(const ebb_flow *f, const ebb_node *n)
{
	const struct flow_node *best = NULL;

	for (int k = 0; k < ebb_node_inputs(n); k++) {
		const struct flow_node *x = ebb_flow_node_of(f, ebb_node_input(n, k));

		if (x && x->path >= 0 && (!best || x > best) && !ebb_flow_is_parameter(n, k))
			best = x;
	}
	return best;
}

/* The path of an op in that scope that has no parameter, and that the layer `from` feeds. */
static int path_of_fed(ebb_flow *f, const char *scope, int from)
{
	if (from >= 0 && is_inside(f->recorder->path[from].text, scope))
		return from;
	return ebb_flow_path(f, *scope ? scope : "input");
}

/* ---- Kinds ----------------------------------------------------------------------------------- */

static bool is_one_of(const char *op, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(op, *names) == 0)
			return true;
	return false;
}

static bool is_norm(const char *op)
{
	static const char *const names[] = {"batchnorm", "batchnorm_relu", "layernorm", "rmsnorm",
		"groupnorm", "normalize", "local_response_norm", "channel_norm", NULL};

	return is_one_of(op, names);
}

/* Ops that apply a parameter elementwise, such as the bias after a matmul: no stage begins. */
static bool is_elementwise(const char *op)
{
	static const char *const names[] = {"add", "sub", "mul", "div", NULL};

	return is_one_of(op, names);
}

static int branches(const ebb_node *n)
{
	int count = 0;

	for (int k = 0; k < ebb_node_inputs(n); k++)
		count += ebb_node_of(ebb_node_input(n, k)) && !ebb_flow_is_parameter(n, k);
	return count;
}

/* Whether an op is a row, and of which kind. */
static bool kind_of(const ebb_node *n, const char *op, bool parameter, ebb_flow_kind *kind)
{
	if (is_norm(op))
		*kind = EBB_FLOW_NORM;
	else if (ebb_flow_is_nonlinear(op))
		*kind = EBB_FLOW_SLOPE;
	else if (parameter)
		*kind = EBB_FLOW_WEIGHT;
	else if (strcmp(op, "add") == 0 && branches(n) > 1)
		*kind = EBB_FLOW_SUM;
	else
		return false;
	return true;
}

/* Whether the op's units are channels, along axis 1; else what feeds it decides. */
static bool has_channels(const char *op, bool *yes)
{
	static const char *const channels[] = {"conv2d", "conv1d", "conv_transpose2d", "batchnorm",
		"batchnorm_relu", "groupnorm", "channel_norm", NULL};
	static const char *const last[] = {
		"linear", "matmul", "layernorm", "rmsnorm", "embedding", NULL};

	*yes = is_one_of(op, channels);
	return *yes || is_one_of(op, last);
}

/* ---- A node ---------------------------------------------------------------------------------- */

/* Adds the row of one op of n, as number `part` counted from the last.  e has the properties of
 * what feeds the op, and gets those of its result.  False without memory. */
static bool add_op(ebb_flow *f, const ebb_node *n, struct flow_node *e, const char *op,
	const ebb_scope *scope, int part)
{
	char path[PATH_SIZE];
	bool channels, parameter = false;
	ebb_flow_kind kind;
	int row;

	/* The parameters of a fused op are those of its first op. */
	if (part == 0 ? !ebb_node_parts(n) : part == ebb_node_parts(n) - 1)
		parameter = path_of_parameter(f, n, ebb_scope_path(scope), path);
	e->path =
		parameter ? ebb_flow_path(f, path) : path_of_fed(f, ebb_scope_path(scope), e->path);
	if (e->path < 0)
		return false;
	if (has_channels(op, &channels))
		e->channels = channels;
	if (!kind_of(n, op, parameter, &kind))
		return true;
	row = ebb_flow_row(f, e->path, op, ebb_node_site(n), ebb_scope_added(scope), kind);
	if (row < 0)
		return !f->failed;
	e->row[part] = row;
	if (kind == EBB_FLOW_WEIGHT && !is_elementwise(op))
		e->stage = row;
	f->row[row].stage = e->stage;
	f->row[row].before = e->measured;
	e->measured = row;
	return true;
}

static struct flow_node *entry_for(ebb_flow *f, int64_t index)
{
	struct flow_recorder *r = f->recorder;

	if (!ebb_grow(&r->node, &r->node_capacity, index + 1, sizeof *r->node))
		return NULL;
	/* The nodes from index on were discarded by a rewind; those before it that the recorder
	 * has not seen are leaves, or ran while it did not look. */
	for (int64_t i = r->nodes < index ? r->nodes : index; i <= index; i++)
		r->node[i] = (struct flow_node){
			.row = {-1, -1, -1}, .path = -1, .stage = -1, .measured = -1};
	r->nodes = index + 1;
	return &r->node[index];
}

static bool note_parameters(ebb_flow *f, const ebb_node *n, int row)
{
	for (int k = 0; k < ebb_node_inputs(n); k++) {
		const ebb_tensor *x = ebb_node_input(n, k), *persistent = ebb_persistent_of(x);
		struct flow_node *leaf = ebb_flow_node_of(f, x);

		if (!x || !ebb_flow_is_parameter(n, k))
			continue;
		if (leaf && leaf->row[0] < 0)
			leaf->row[0] = row;
		if (persistent &&
			!ebb_flow_param_used(f, persistent, ebb_requires_grad(persistent), row))
			return false;
	}
	return true;
}

bool ebb_flow_place(ebb_flow *f, const ebb_node *n)
{
	const struct flow_recorder *r = f->recorder;
	/* The node of a checkpoint replaces those of its first run, the last of which computed its
	 * result. */
	bool segment = strcmp(ebb_node_op(n), "checkpoint") == 0;
	struct flow_node last = r->nodes > 0 ? r->node[r->nodes - 1] : (struct flow_node){0};
	struct flow_node *e = entry_for(f, ebb_node_index(n));
	const struct flow_node *from = feeder(f, n);
	int parts = ebb_node_parts(n);

	if (!e)
		return false;
	if (segment || from) {
		const struct flow_node *x = segment ? &last : from;

		e->path = x->path;
		e->stage = x->stage;
		e->measured = x->measured;
		e->channels = x->channels;
	}
	if (segment)
		return true;
	if (!parts && !add_op(f, n, e, ebb_node_op(n), ebb_node_scope(n), 0))
		return false;
	for (int k = 0; k < parts && parts <= FLOW_PARTS; k++)
		if (!add_op(f, n, e, ebb_node_part_op(n, k), ebb_node_part_scope(n, k),
			    parts - 1 - k))
			return false;
	for (int k = FLOW_PARTS - 1; k >= 0; k--)
		if (e->row[k] >= 0)
			return note_parameters(f, n, e->row[k]);
	return true;
}
