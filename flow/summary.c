/*
 * summary.c - counts the calls of ops in a tree of scopes.
 *
 * Every op in every scope is a node below the scope's node.  When rows are read, a scope that
 * contains nothing but ops becomes one row.
 */
#include "flow/summary_tree.h"

#include <string.h>

#include "tensor/host.h"

/* ---- The tree -------------------------------------------------------------------------------- */

/* Appends a node to the children of parent; -1 without memory. */
static int64_t append(ebb_summary *s, int64_t parent, ebb_summary_node node)
{
	int64_t i = s->count;

	if (!ebb_grow(&s->nodes, &s->capacity, i + 1, sizeof *s->nodes)) {
		s->full = true;
		return -1;
	}
	node.parent = parent;
	node.first = node.last = node.next = node.latest = -1;
	s->nodes[s->count++] = node;
	if (parent >= 0) {
		ebb_summary_node *in = &s->nodes[parent];

		if (in->last >= 0)
			s->nodes[in->last].next = i;
		else
			in->first = i;
		in->last = i;
	}
	return i;
}

/* The node of a scope, which is created with those of the scopes around it; -1 without memory. */
static int64_t scope_node(ebb_summary *s, const ebb_scope *scope)
{
	const ebb_scope *around = ebb_scope_parent(scope);
	int64_t parent = around ? scope_node(s, around) : -1, i;

	if (around && parent < 0)
		return -1;
	for (i = parent < 0 ? 0 : s->nodes[parent].first; i >= 0 && i < s->count;
		i = s->nodes[i].next)
		if (s->nodes[i].scope == scope)
			break;
	if (i < 0 || i >= s->count)
		i = append(s, parent, (ebb_summary_node){.scope = scope});
	if (i >= 0 && parent >= 0) {
		s->nodes[parent].latest = i;
		s->nodes[parent].container = true;
	}
	return i;
}

/* The node of an op in a scope.  In a container, calls of one op between different children are
 * different nodes, so that rows are in the order of the run. */
static int64_t op_node(ebb_summary *s, const ebb_scope *scope, const char *op)
{
	int64_t parent = scope_node(s, scope), i;

	if (parent < 0)
		return -1;
	for (i = s->nodes[parent].first; i >= 0; i = s->nodes[i].next)
		if (s->nodes[i].op && s->nodes[i].after == s->nodes[parent].latest &&
			strcmp(s->nodes[i].op, op) == 0)
			return i;
	return append(s, parent, (ebb_summary_node){.op = op, .after = s->nodes[parent].latest});
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static bool is_parameter(const ebb_summary *s, const ebb_tensor *x)
{
	if (!s->params)
		return ebb_requires_grad(x);
	for (int64_t i = 0; i < ebb_params_count(s->params); i++)
		if (ebb_params_at(s->params, i) == x)
			return true;
	return false;
}

/* Counts x, an input of the op at node i, if it is a parameter. */
static void read_parameter(ebb_summary *s, int64_t i, const ebb_tensor *x)
{
	bool known = false;

	for (int64_t k = 0; k < s->read_count; k++)
		if (s->read[k].tensor == x) {
			if (s->read[k].node == i)
				return;
			known = true;
		}
	if (!known && !is_parameter(s, x))
		return;
	if (!ebb_grow(&s->read, &s->read_capacity, s->read_count + 1, sizeof *s->read)) {
		s->full = true;
		return;
	}
	s->read[s->read_count++] = (ebb_summary_read){x, i};
	if (known) {
		s->nodes[i].shared += ebb_count(x);
		return;
	}
	s->nodes[i].parameters += ebb_count(x);
	s->parameters += ebb_count(x);
	s->parameter_bytes += ebb_count(x) * (int64_t)ebb_dtype_size(ebb_dtype_of(x));
	s->trainable += ebb_requires_grad(x) ? ebb_count(x) : 0;
}

/* ---- The observer ---------------------------------------------------------------------------- */

static void on_ran(void *ctx, const ebb_run *r)
{
	ebb_summary *s = ctx;
	ebb_summary_node *n;
	int64_t i;

	if (r->gradient_of)
		return;
	i = op_node(s, r->scope, r->op);
	if (i < 0)
		return;
	n = &s->nodes[i];
	n->calls++;
	n->when = ++s->calls;
	n->shape = ebb_shape_of(r->y);
	n->multiply_adds += r->multiply_adds;
	n->flops += r->flops;
	n->bytes += r->bytes;
	n->result_bytes += r->result_bytes;
	for (int k = 0; k < r->nin; k++) {
		const ebb_tensor *x = r->in[k] ? ebb_persistent_of(r->in[k]) : NULL;

		if (x)
			read_parameter(s, i, x);
	}
}

/* The next run begins: the children of a container are in order from the first one on. */
static void on_reset(void *ctx)
{
	ebb_summary *s = ctx;

	for (int64_t i = 0; i < s->count; i++)
		s->nodes[i].latest = -1;
}

ebb_summary *(ebb_summary_new)(const ebb_summary_args *a)
{
	ebb_summary *s = ebb_alloc_zeroed(sizeof *s);

	if (!s) {
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site, "summary_new: no memory");
		return NULL;
	}
	s->t = a->t;
	s->params = a->params;
	s->depth = a->depth;
	s->observer = (ebb_observer){.ctx = s, .ran = on_ran, .reset = on_reset};
	if (a->t && ebb_observe(a->t, &s->observer))
		return s;
	ebb_error_set(a->error, EBB_BAD_STATE, a->site, "summary_new: %s",
		a->t ? "the tape has its largest number of observers" : "the tape is NULL");
	ebb_free(s, sizeof *s);
	return NULL;
}

static void forget(ebb_summary *s)
{
	ebb_free(s->nodes, (size_t)s->capacity * sizeof *s->nodes);
	ebb_free(s->read, (size_t)s->read_capacity * sizeof *s->read);
	ebb_free(s->rows, (size_t)s->rows_capacity * sizeof *s->rows);
	s->nodes = NULL;
	s->read = NULL;
	s->rows = NULL;
	s->count = s->capacity = s->read_count = s->read_capacity = s->rows_capacity = 0;
	s->calls = s->parameters = s->trainable = s->parameter_bytes = 0;
	s->full = false;
}

void ebb_summary_reset(ebb_summary *s)
{
	if (s)
		forget(s);
}

void ebb_summary_free(ebb_summary *s)
{
	if (!s)
		return;
	ebb_unobserve(s->t, &s->observer);
	forget(s);
	ebb_text_free(&s->text);
	ebb_free(s, sizeof *s);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* Adds the node's costs to a row, and its shape if it ran after what the row's shape is of: *when is
 * the number of that call. */
static void add_node(ebb_summary_row *row, const ebb_summary_node *n, int64_t *when)
{
	row->calls += n->calls;
	row->parameters += n->parameters;
	row->shared += n->shared;
	row->multiply_adds += n->multiply_adds;
	row->flops += n->flops;
	row->bytes += n->bytes;
	row->result_bytes += n->result_bytes;
	if (n->when > *when) {
		*when = n->when;
		row->shape = n->shape;
	}
}

/* A layer, all of whose children are ops. */
static void fill_layer(const ebb_summary *s, int64_t i, ebb_summary_row *row, int64_t *when)
{
	double most = -1;

	for (int64_t k = s->nodes[i].first; k >= 0; k = s->nodes[k].next) {
		const ebb_summary_node *n = &s->nodes[k];

		add_node(row, n, when);
		row->runs = row->runs ? row->runs : n->calls;
		if (n->flops > most) {
			most = n->flops;
			row->op = n->op;
		}
	}
}

/* Appends the rows of node i and of the nodes in it; returns their sums, with the result of call
 * number *when, the last of them. */
static ebb_summary_row add_rows(ebb_summary *s, int64_t i, int depth, int64_t *count, int64_t *when)
{
	const ebb_summary_node *n = &s->nodes[i];
	ebb_summary_row sums = {.name = n->op ? n->op : ebb_scope_path(n->scope),
		.op = "",
		.depth = depth,
		.container = n->container};
	int64_t at = *count;
	/* The outermost scope has no row. */
	bool outermost = n->parent < 0;

	if (!outermost)
		++*count;
	if (n->op) {
		add_node(&sums, n, when);
		sums.runs = n->calls;
	} else if (!n->container && !outermost) {
		fill_layer(s, i, &sums, when);
	}
	for (int64_t k = n->first; k >= 0 && (n->container || outermost); k = s->nodes[k].next) {
		int64_t last = 0;
		ebb_summary_row part = add_rows(s, k, depth + !outermost, count, &last);

		sums.calls += part.calls;
		sums.parameters += part.parameters;
		sums.shared += part.shared;
		sums.multiply_adds += part.multiply_adds;
		sums.flops += part.flops;
		sums.bytes += part.bytes;
		sums.result_bytes += part.result_bytes;
		if (last > *when) {
			*when = last;
			sums.shape = part.shape;
		}
	}
	if (!outermost)
		s->rows[at] = sums;
	return sums;
}

static int64_t unused_elements(const ebb_summary *s)
{
	return s->params ? ebb_params_elements(s->params) - s->parameters : 0;
}

int64_t ebb_summary_fill(ebb_summary *s, ebb_summary_row *sums)
{
	int64_t count = 0, when = 0;

	*sums = (ebb_summary_row){0};
	if (!s || s->full || !ebb_grow(&s->rows, &s->rows_capacity, s->count + 1, sizeof *s->rows))
		return -1;
	if (s->count)
		*sums = add_rows(s, 0, 0, &count, &when);
	if (unused_elements(s) > 0)
		s->rows[count++] = (ebb_summary_row){
			.name = "not used", .op = "", .parameters = unused_elements(s)};
	return count;
}

int64_t ebb_summary_rows(ebb_summary *s, int64_t max, ebb_summary_row *rows)
{
	ebb_summary_row sums;
	int64_t n = ebb_summary_fill(s, &sums);

	if (n > 0 && rows && max > 0)
		memcpy(rows, s->rows, (size_t)(n < max ? n : max) * sizeof *rows);
	return n < 0 ? 0 : n;
}

ebb_summary_totals ebb_summary_total(ebb_summary *s)
{
	ebb_summary_totals total = {0};
	ebb_summary_row sums;

	if (ebb_summary_fill(s, &sums) < 0)
		return total;
	total.calls = sums.calls;
	total.parameters = s->parameters;
	total.trainable = s->trainable;
	total.parameter_bytes = s->parameter_bytes;
	if (s->params) {
		total.parameters = ebb_params_elements(s->params);
		total.trainable = ebb_params_trainable(s->params);
		total.parameter_bytes =
			total.parameters * (int64_t)ebb_dtype_size(ebb_params_dtype(s->params));
	}
	total.frozen = total.parameters - total.trainable;
	total.unused = unused_elements(s);
	total.multiply_adds = sums.multiply_adds;
	total.flops = sums.flops;
	total.bytes = sums.bytes;
	total.result_bytes = sums.result_bytes;
	return total;
}
