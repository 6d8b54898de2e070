/*
 * probe.c - an observer that keeps the statistics of activations, gradients and parameters per
 * step.
 *
 * When a scope ends, the probe takes the statistics of the scope's result, and notes the node that
 * computed the result.  When a backward pass has completed the gradient of that node, this is the
 * gradient of the scope's result.
 *
 * The verdict is that of a flow instrument, which observes the same steps.
 */
#include "tensor/host.h"
#include "flow/instrument/internal.h"
#include "kernels/float_state.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

enum { DEFAULT_SAMPLES = 1000, PATH_MAX_LENGTH = 1000 };

/* Whether path matches one of the globs in p->scopes, which are separated by spaces. */
static bool is_watched(const ebb_probe *p, const char *path)
{
	const char *s = p->scopes;

	if (!path || !*path)
		return false;
	if (!s)
		return true;
	while (*s) {
		size_t n = strcspn(s, " ");
		char glob[PATH_MAX_LENGTH];
		if (n && n < sizeof glob) {
			memcpy(glob, s, n);
			glob[n] = '\0';
			if (fnmatch(glob, path, 0) == 0)
				return true;
		}
		s += n + (s[n] == ' ');
	}
	return false;
}

bool ebb_path_inside(const char *path, const char *outer)
{
	size_t n = strlen(outer);

	return strncmp(path, outer, n) == 0 && path[n] == '.';
}

static void fail(ebb_probe *p)
{
	p->failed = true;
	p->watching = false;
}

/* ---- Samples ---- */

/* Doubles the interval, and drops the samples whose step is not a multiple of it: every second
 * one. */
static void thin(ebb_probe *p)
{
	int kept = 0;

	p->every *= 2;
	for (int s = 0; s < p->samples; s++) {
		if (p->step_of[s] % p->every)
			continue;
		p->step_of[kept] = p->step_of[s];
		for (int i = 0; i < p->layers; i++)
			p->layer[i].rows[kept] = p->layer[i].rows[s];
		for (int i = 0; i < p->params; i++)
			p->param[i].rows[kept] = p->param[i].rows[s];
		kept++;
	}
	p->samples = kept;
}

/* Reserves memory for one more sample.  Each array has its own capacity, because growing may fail
 * for some of them. */
static bool room_for_sample(ebb_probe *p)
{
	int64_t n = p->samples + 1;
	bool ok = ebb_grow(&p->step_of, &p->step_capacity, n, sizeof *p->step_of);

	for (int i = 0; ok && i < p->layers; i++)
		ok = ebb_grow(
			&p->layer[i].rows, &p->layer[i].capacity, n, sizeof *p->layer[i].rows);
	for (int i = 0; ok && i < p->params; i++)
		ok = ebb_grow(
			&p->param[i].rows, &p->param[i].capacity, n, sizeof *p->param[i].rows);
	return ok;
}

/* The number of the current step's sample, which is created at the first observation in the step.
 * -1 if the step is not sampled, or no longer. */
static int current_sample(ebb_probe *p)
{
	if (p->open)
		return p->samples;
	if (p->samples == p->max_samples) {
		thin(p);
		if (p->step % p->every) {
			p->watching = false;
			return -1;
		}
	}
	if (!room_for_sample(p)) {
		fail(p);
		return -1;
	}
	p->step_of[p->samples] = p->step;
	for (int i = 0; i < p->layers; i++)
		p->layer[i].rows[p->samples] = (struct layer_sums){0};
	for (int i = 0; i < p->params; i++)
		p->param[i].rows[p->samples] = (struct param_sums){0};
	p->open = true;
	return p->samples;
}

/* ---- Layers and parameters ---- */

static int find_layer(ebb_probe *p, const char *path)
{
	for (int k = 0; k < p->layers; k++) { /* scopes end in the same order in every step */
		int i = (p->next_layer + k) % p->layers;
		if (strcmp(p->layer[i].path, path) == 0) {
			p->next_layer = i + 1;
			return i;
		}
	}
	return -1;
}

static int add_layer(ebb_probe *p, const char *path)
{
	size_t size = strlen(path) + 1;

	if (!ebb_grow(&p->layer, &p->layer_capacity, p->layers + 1, sizeof *p->layer))
		return -1;
	struct probe_layer l = {
		.path = ebb_alloc(size), .path_size = size, .capacity = p->step_capacity};
	l.rows = ebb_alloc_zeroed((size_t)l.capacity * sizeof *l.rows);
	if (!l.path || !l.rows) {
		ebb_free(l.path, size);
		ebb_free(l.rows, (size_t)l.capacity * sizeof *l.rows);
		return -1;
	}
	memcpy(l.path, path, size);
	for (int i = 0; i < p->layers; i++) {
		if (ebb_path_inside(p->layer[i].path, path))
			l.container = true;
		if (ebb_path_inside(path, p->layer[i].path))
			p->layer[i].container = true;
	}
	p->layer[p->layers] = l;
	p->next_layer = p->layers + 1;
	return p->layers++;
}

/* The innermost observed layer that path is equal to or inside of; -1 if there is none. */
static int layer_around(const ebb_probe *p, const char *path)
{
	int best = -1;
	size_t longest = 0;

	for (int i = 0; i < p->layers; i++) {
		const struct probe_layer *l = &p->layer[i];
		bool around = strcmp(l->path, path) == 0 || ebb_path_inside(path, l->path);
		if (around && l->path_size > longest) {
			best = i;
			longest = l->path_size;
		}
	}
	return best;
}

static int find_param(ebb_probe *p, const ebb_tensor *persistent)
{
	for (int k = 0; k < p->params; k++) {
		int i = (p->next_param + k) % p->params;
		if (p->param[i].persistent == persistent) {
			p->next_param = i + 1;
			return i;
		}
	}
	return -1;
}

static int add_param(ebb_probe *p, const ebb_tensor *persistent, int layer)
{
	if (!ebb_grow(&p->param, &p->param_capacity, p->params + 1, sizeof *p->param))
		return -1;
	struct probe_param q = {
		.persistent = persistent, .layer = layer, .capacity = p->step_capacity};
	q.snapshot_size = (size_t)ebb_count(persistent) * ebb_dtype_size(ebb_dtype_of(persistent));
	q.snapshot = ebb_alloc(q.snapshot_size);
	q.rows = ebb_alloc_zeroed((size_t)q.capacity * sizeof *q.rows);
	if (!q.rows || (q.snapshot_size && !q.snapshot)) {
		ebb_free(q.snapshot, q.snapshot_size);
		ebb_free(q.rows, (size_t)q.capacity * sizeof *q.rows);
		return -1;
	}
	snprintf(q.name, sizeof q.name, "%s", ebb_name(persistent));
	p->param[p->params] = q;
	p->next_param = p->params + 1;
	return p->params++;
}

/* ---- Observer callbacks ---- */

static void forget_after(ebb_probe *p, int64_t node)
{
	while (p->pendings && p->pending[p->pendings - 1].node >= node)
		p->pendings--;
}

/* The node's number was just assigned: notes of this number or a larger one belong to nodes that
 * have been reset or rewound. */
static void on_recorded(void *ctx, const ebb_node *node)
{
	ebb_probe *p = ctx;

	if (p->watching && p->pendings)
		forget_after(p, ebb_node_index(node));
}

/* Inserts in ascending order of nodes; they usually arrive in this order. */
static bool note(ebb_probe *p, int64_t node, int part, int layer)
{
	if (!ebb_grow(&p->pending, &p->pending_capacity, p->pendings + 1, sizeof *p->pending))
		return false;
	int at = p->pendings++;
	for (; at > 0 && p->pending[at - 1].node > node; at--)
		p->pending[at] = p->pending[at - 1];
	p->pending[at] = (struct pending){node, part, layer};
	return true;
}

/* The user's bounds, or else those of the op that computed the value. */
static void saturation_bounds(
	const ebb_probe *p, const ebb_node *node, int part, double *below, double *above)
{
	const char *op = part < 0 ? ebb_node_op(node) : ebb_node_part_op(node, part);

	*below = p->below;
	*above = p->above;
	if (p->bounds_given)
		return;
	if (strcmp(op, "sigmoid") == 0) {
		*below = 0.05;
		*above = 0.95;
	} else if (strcmp(op, "tanh") == 0) {
		*below = -0.95;
		*above = 0.95;
	}
}

static void on_scope_ended(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	ebb_probe *p = ctx;

	if (!p->watching || !y || !ebb_has_reals(y) || (!p->evaluation && !ebb_is_training(p->t)))
		return;
	const char *path = ebb_scope_path(scope);
	if (!is_watched(p, path))
		return;
	int sample = current_sample(p);
	if (sample < 0)
		return;
	int layer = find_layer(p, path);
	if (layer < 0)
		layer = add_layer(p, path);

	const ebb_node *node = ebb_node_of(y);
	int part = ebb_part_of(y);
	double below, above;
	ebb_kernel_stats sums;
	saturation_bounds(p, node, part, &below, &above);
	if (layer < 0 || !ebb_sums_of(y, below, above, &sums)) {
		fail(p);
		return;
	}
	ebb_sums_add(&p->layer[layer].rows[sample].activation, &sums);
	if (node && !note(p, ebb_node_index(node), part, layer))
		fail(p);
}

static void param_gradient(ebb_probe *p, const ebb_node *node, const ebb_tensor *persistent,
	const ebb_kernel_stats *sums)
{
	const char *path = ebb_scope_path(ebb_node_scope(node));
	int index = find_param(p, persistent);

	if (index < 0) {
		int layer = layer_around(p, path);
		if (layer < 0 && p->scopes)
			return;
		index = add_param(p, persistent, layer);
	}
	if (index < 0) {
		fail(p);
		return;
	}
	struct probe_param *q = &p->param[index];
	struct param_sums *row = &q->rows[p->samples];
	ebb_sums_add(&row->gradient, sums);
	if (q->snapped)
		return;
	if ((q->snapshot_size && !ebb_copy_out(persistent, q->snapshot, q->snapshot_size)) ||
		!ebb_sums_of(persistent, -INFINITY, INFINITY, &row->weight)) {
		fail(p);
		return;
	}
	q->snapped = true;
}

static int first_pending(const ebb_probe *p, int64_t node)
{
	int lo = 0, hi = p->pendings;

	while (lo < hi) {
		int middle = lo + (hi - lo) / 2;
		if (p->pending[middle].node < node)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

/* Adds the gradient of a noted result to its layer's row.  g is the gradient of the whole node; for
 * a part of a fused op, the part's gradient is computed from g. */
static bool add_gradient(ebb_probe *p, const struct pending *of, const ebb_node *node,
	const ebb_tensor *g, const ebb_kernel_stats *whole)
{
	ebb_kernel_stats sums = *whole;

	if (of->part >= 0 &&
		!ebb_sums_of(ebb_node_part_gradient(node, of->part, g), -INFINITY, INFINITY, &sums))
		return false;
	if (ebb_may_be_flushed(p->t, g, &sums))
		p->flushed = true;
	ebb_sums_add(&p->layer[of->layer].rows[p->samples].gradient, &sums);
	return true;
}

static void on_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	ebb_probe *p = ctx;

	if (!p->watching || (!p->evaluation && !ebb_is_training(p->t)))
		return;
	int64_t index = ebb_node_index(node);
	const ebb_tensor *persistent = ebb_node_persistent(node);
	int at = first_pending(p, index);
	bool noted = at < p->pendings && p->pending[at].node == index;
	if (!noted && !persistent)
		return;
	if (current_sample(p) < 0)
		return;

	ebb_kernel_stats sums;
	if (!ebb_sums_of(g, -INFINITY, INFINITY, &sums)) {
		fail(p);
		return;
	}
	if (persistent && ebb_may_be_flushed(p->t, g, &sums))
		p->flushed = true;
	for (; at < p->pendings && p->pending[at].node == index; at++)
		if (!add_gradient(p, &p->pending[at], node, g, &sums)) {
			fail(p);
			return;
		}
	if (persistent)
		param_gradient(p, node, persistent, &sums);
}

/* Between sampled steps the tape computes nothing for this observer. */
static bool on_asked(void *ctx)
{
	return ((const ebb_probe *)ctx)->watching;
}

/* ---- Creating, stepping, freeing ---- */

/* Computes the norm of the parameter's change since its snapshot.  Overwrites the snapshot with the
 * differences. */
static bool compare(struct probe_param *q, struct param_sums *row)
{
	int64_t n = ebb_count(q->persistent);
	const ebb_kernels *k =
		ebb_dtype_of(q->persistent) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
	void *now = ebb_alloc(q->snapshot_size);
	ebb_kernel_stats change;
	bool ok = now && ebb_copy_out(q->persistent, now, q->snapshot_size);

	if (ok) {
		ebb_float_state own = ebb_float_enter(false);

		k->binary(EBB_BINARY_sub, n, now, q->snapshot, q->snapshot, 0);
		k->stats(n, q->snapshot, -INFINITY, INFINITY, &change);
		ebb_float_leave(own);
		row->change = change.nan > 0 ? NAN : change.l2;
		row->compared = true;
	}
	ebb_free(now, q->snapshot_size);
	return ok;
}

bool ebb_probe_step(ebb_probe *p)
{
	if (!p)
		return false;
	for (int i = 0; i < p->params; i++) {
		struct probe_param *q = &p->param[i];
		if (q->snapped && !p->failed && q->snapshot_size &&
			!compare(q, &q->rows[p->samples]))
			fail(p);
		q->snapped = false;
	}
	if (p->open)
		p->samples++;
	p->open = false;
	p->pendings = 0;
	p->next_layer = p->next_param = 0;
	p->step++;
	ebb_flow_next_step(p->flow, p->step);
	if (ebb_flow_failed(p->flow))
		fail(p);
	p->watching = !p->failed && p->step % p->every == 0;
	return !p->failed;
}

static const char *refusal(const ebb_probe_args *a)
{
	return !a->t                                       ? "the tape is NULL"
	       : a->every < 0                              ? ".every is negative"
	       : a->max_samples < 0 || a->max_samples == 1 ? ".max_samples is below 2"
	                                                   : NULL;
}

static void set_options(ebb_probe *p, const ebb_probe_args *a)
{
	p->t = a->t;
	p->every = a->every ? a->every : 1;
	p->max_samples = a->max_samples ? a->max_samples : DEFAULT_SAMPLES;
	p->evaluation = a->evaluation;
	p->bounds_given = a->saturated_below != 0 || a->saturated_above != 0;
	p->below = a->saturated_below != 0 ? a->saturated_below : -INFINITY;
	p->above = a->saturated_above != 0 ? a->saturated_above : INFINITY;
	p->watching = true;
	p->observer = (ebb_observer){.ctx = p,
		.recorded = on_recorded,
		.scope_ended = on_scope_ended,
		.gradient = on_gradient,
		.looks = on_asked};
}

/* The flow instrument has the same steps and samples as the probe. */
static bool attach(ebb_probe *p, const ebb_probe_args *a)
{
	ebb_error e = {0};

	if (ebb_observe(p->t, &p->observer)) {
		p->flow = ebb_flow_new(p->t, .every = p->every, .max_samples = p->max_samples,
			.evaluation = p->evaluation, .error = &e);
		if (p->flow) {
			p->flow->stepped = true;
			return true;
		}
	}
	bool memory = e.status == EBB_NO_MEMORY;
	ebb_error_set(a->error, memory ? EBB_NO_MEMORY : EBB_BAD_STATE, a->site, "probe_new: %s",
		memory ? "no memory for a probe" : "the tape has its largest number of observers");
	return false;
}

ebb_probe *(ebb_probe_new)(const ebb_probe_args *a)
{
	const char *why = a ? refusal(a) : NULL;

	if (!a)
		return NULL;
	if (why) {
		ebb_error_set(a->error, EBB_INVALID, a->site, "probe_new: %s", why);
		return NULL;
	}
	ebb_probe *p = ebb_alloc_zeroed(sizeof *p);
	if (p) {
		set_options(p, a);
		p->scopes_size = a->scopes ? strlen(a->scopes) + 1 : 0;
		p->scopes = a->scopes ? ebb_alloc(p->scopes_size) : NULL;
	}
	if (!p || (a->scopes && !p->scopes)) {
		ebb_free(p, sizeof *p);
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site, "probe_new: no memory for a probe");
		return NULL;
	}
	if (a->scopes)
		memcpy(p->scopes, a->scopes, p->scopes_size);
	if (!attach(p, a)) {
		ebb_probe_free(p);
		return NULL;
	}
	return p;
}

void ebb_probe_free(ebb_probe *p)
{
	if (!p)
		return;
	ebb_unobserve(p->t, &p->observer);
	ebb_flow_free(p->flow);
	for (int i = 0; i < p->layers; i++) {
		struct probe_layer *l = &p->layer[i];
		ebb_free(l->path, l->path_size);
		ebb_free(l->rows, (size_t)l->capacity * sizeof *l->rows);
	}
	for (int i = 0; i < p->params; i++) {
		struct probe_param *q = &p->param[i];
		ebb_free(q->snapshot, q->snapshot_size);
		ebb_free(q->rows, (size_t)q->capacity * sizeof *q->rows);
	}
	ebb_free(p->layer, (size_t)p->layer_capacity * sizeof *p->layer);
	ebb_free(p->param, (size_t)p->param_capacity * sizeof *p->param);
	ebb_free(p->pending, (size_t)p->pending_capacity * sizeof *p->pending);
	ebb_free(p->step_of, (size_t)p->step_capacity * sizeof *p->step_of);
	ebb_free(p->scopes, p->scopes_size);
	ebb_free(p, sizeof *p);
}
