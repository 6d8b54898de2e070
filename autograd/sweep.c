/*
 * sweep.c - the reverse sweep (backward pass).
 *
 * The inputs of a node are older than the node, so that the tape is in topological order.  The
 * sweep visits the nodes from the last to the first.  When it reaches a node, the gradient of the
 * node's result is complete in the node's accumulator, because all nodes that read the result are
 * younger.  Accumulators belong to the sweep, not to the tensors, so that sweeps nest.
 */
#include "autograd/internal.h"

#include <string.h>

/* ---- Accumulators ---------------------------------------------------------------------------- */

bool ebb_is_needed(const ebb_sweep *s, int64_t node)
{
	/* The outer sweep visits the nodes older than base.  It has already reached node number
	 * limit, and has passed all younger nodes. */
	for (; node < s->base && s->outer; s = s->outer)
		if (node >= s->limit)
			return false;
	return node >= s->first && (!s->needed || s->needed[node - s->base]);
}

/* ---- One node -------------------------------------------------------------------------------- */

bool ebb_saved_values_stand(ebb_tape *t, ebb_node *n, const char *site)
{
	char text[240];

	if (n->consumed) {
		ebb_fail(t, EBB_BAD_STATE, site,
			"backward: the graph was already consumed at %s (%s); the first "
			"ebb_backward needs .retain = true",
			n->op->name, n->site ? n->site : "?");
		return false;
	}
	for (int k = 0; n->reads && k < n->nin; k++)
		if (ebb_reads(n, k) && n->in[k]->storage->version != n->versions[k]) {
			ebb_fail(t, EBB_BAD_STATE, n->site,
				"%s: input %d (%s) was overwritten after the op saved it for its "
				"gradient",
				n->op->name, k, ebb_describe(n->in[k], text, sizeof text));
			return false;
		}
	if ((n->reads & EBB_OUT) && n->out->storage->version != n->out_version) {
		ebb_fail(t, EBB_BAD_STATE, n->site,
			"%s: its result was overwritten after it was saved for its gradient",
			n->op->name);
		return false;
	}
	return true;
}

void ebb_enter_frame(ebb_tape *t, const ebb_frame *f)
{
	ebb_context *c = &t->ctx;

	t->frame = f;
	c->place = f ? &f->place : NULL;
	c->born = !f ? 0 : f->create_graph ? EBB_F_SWEEP : EBB_F_SWEEP | EBB_F_TEMPORARY;
}

void ebb_open_frame(ebb_tape *t, ebb_frame *f, const char *site, const char *op, bool create_graph)
{
	*f = (ebb_frame){{site, op}, create_graph, t->frame, t->recording, t->ctx.nlive};
	ebb_enter_frame(t, f);
	t->recording = create_graph;
}

/* Drops the handles that were created inside the frame.  A handle that an accumulator holds as well
 * (holds > 1) is not dropped.  With create_graph it stays in the list of live handles; otherwise
 * only the accumulator holds it. */
void ebb_close_frame(ebb_tape *t, const ebb_frame *f)
{
	int64_t kept = f->live;

	for (int64_t i = f->live; i < t->ctx.nlive; i++) {
		ebb_tensor *x = t->ctx.live[i];

		if (x->holds > 1 && f->create_graph) {
			t->ctx.live[kept++] = x;
			continue;
		}
		x->flags &= (uint16_t)~EBB_F_LISTED;
		if (x->holds > 0)
			ebb_unhold(x);
		else if (x->flags & EBB_F_TEMPORARY)
			ebb_recycle(x);
	}
	t->ctx.nlive = kept;
	ebb_enter_frame(t, f->outer);
	t->recording = f->recording;
}

/* Whether the gradient of n's input k is needed. */
static bool is_wanted(const ebb_sweep *s, const ebb_node *n, int k)
{
	const ebb_tensor *x = n->in[k];

	/* A persistent tensor that was a constant in this call may have become a leaf after it:
	 * then x->node > n->index. */
	return x && x->node >= 0 && x->node < n->index && ebb_is_needed(s, x->node);
}

/* Whether the gradient of any input is needed.  For a node of at most EBB_MAX_READS inputs, sets
 * few[k] if the gradient of input k is needed. */
static bool find_wanted(const ebb_sweep *s, const ebb_node *n, bool few[EBB_MAX_READS])
{
	bool any = false;

	if (n->nin <= EBB_MAX_READS) {
		for (int k = 0; k < n->nin; k++)
			any |= few[k] = is_wanted(s, n, k);
		return any;
	}
	for (int k = 0; !any && k < n->nin; k++)
		any = is_wanted(s, n, k);
	return any;
}

/* Runs n's vjp with gy, the gradient of n's result, and adds its contributions. */
static void apply_rule(ebb_sweep *s, ebb_node *n, ebb_tensor *gy, const bool *few)
{
	ebb_tape *t = s->t;
	bool asked_for = s->needed && s->needed[n->index - s->base] & 2;
	ebb_visit w;
	ebb_view view;
	ebb_vjp v;

	if (!ebb_open_view(n, &view, &v, false))
		return;
	for (int k = 0; k < n->nin; k++)
		view.wanted[k] = n->nin <= EBB_MAX_READS ? few[k] : is_wanted(s, n, k);
	v.gy = gy;
	/* A message of anomaly detection names gy's range, so that gy must stay as it is. */
	v.owns_gy = !s->create_graph && !t->anomaly && !asked_for && ebb_owns_gradient(gy);
	v.recording = s->create_graph;
	v.visit = &w;
	w.sweep = s;
	w.given = w.few;
	w.count = 0;
	w.capacity = EBB_FEW_GIFTS;
	w.more = NULL;
	w.place = NULL;
	n->op->vjp(&v);
	ebb_add_given(&w, &v);
	ebb_close_view(n, &view);
}

/* Visits a node whose accumulator has a gradient.  False: the tape has failed. */
static bool visit(ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	const ebb_scope *scope = t->scope;
	ebb_tensor **slot = ebb_accumulator_of(s, n->index), *gy = *slot;
	bool few[EBB_MAX_READS], pass_on = find_wanted(s, n, few);
	ebb_frame frame;

	if (pass_on && !(ebb_saved_values_stand(t, n, s->site) &&
			       ((!t->ctx.pool.absent && !n->makes) || ebb_make_readable(s, n))))
		return false;
	ebb_open_frame(t, &frame, n->site, n->op->name, s->create_graph);
	ebb_enter_scope(t, n->scope);
	if (!n->op->gy_strided && !ebb_same_memory(gy, n->out) &&
		(n->out->flags & EBB_F_DENSE || !(gy->flags & EBB_F_DENSE))) {
		gy = ebb_linear_dense_like(t, gy, n->out, NULL);
		if (gy)
			ebb_set_slot(slot, gy);
	}
	if (gy && t->watch)
		t->watch->gradient(t, n, gy);
	if (gy && pass_on)
		apply_rule(s, n, gy, few);
	ebb_close_frame(t, &frame);
	ebb_enter_scope(t, scope);
	return !ebb_has_failed(t);
}

/* ---- A sweep --------------------------------------------------------------------------------- */

void ebb_sweep_end(ebb_sweep *s)
{
	if (s->acc_memory) {
		for (int64_t i = 0; i <= s->last - s->base; i++)
			ebb_set_slot(&s->acc[i], NULL);
		ebb_unref(s->acc_memory);
	}
	if (s->needed_memory)
		ebb_unref(s->needed_memory);
}

/* Adds gy (NULL: ones) to y's accumulator. */
static void seed(ebb_sweep *s, ebb_tensor *y, ebb_tensor *gy)
{
	ebb_tensor **slot = ebb_accumulator_of(s, y->node);

	if (!gy)
		gy = ebb_linear_full_like(s->t, y, 1.0, s->site);
	if (gy && *slot)
		gy = ebb_linear_add(s->t, *slot, gy, s->site);
	if (gy)
		ebb_set_slot(slot, gy);
}

bool ebb_sweep_begin(ebb_sweep *s, int n, ebb_tensor *const *y, ebb_tensor *const *gy)
{
	ebb_tape *t = s->t;
	size_t bytes;
	ebb_frame frame;

	s->last = y[0]->node;
	for (int i = 1; i < n; i++)
		if (y[i]->node > s->last)
			s->last = y[i]->node;
	bytes = (size_t)(s->last - s->base + 1) * sizeof *s->acc;
	s->acc_memory = ebb_pool_take(&t->ctx.pool, bytes);
	if (!s->acc_memory) {
		ebb_no_memory(t, s->site, "the sweep's accumulators", bytes);
		return false;
	}
	s->acc = ebb_storage_data(s->acc_memory);
	memset(s->acc, 0, bytes);
	ebb_open_frame(t, &frame, s->site, NULL, s->create_graph);
	for (int i = 0; i < n; i++)
		seed(s, y[i], gy[i]);
	ebb_close_frame(t, &frame);
	return !ebb_has_failed(t);
}

static bool run(ebb_sweep *s, bool keep_targets)
{
	ebb_tape *t = s->t;

	for (int64_t i = s->last; i >= s->first; i--) {
		ebb_node *n = t->nodes[i];
		ebb_tensor **slot = &s->acc[i - s->base];
		bool leaf = n->op == &ebb_leaf_op;

		if (*slot) {
			if (leaf && t->watch)
				t->watch->gradient(t, n, *slot);
			if (leaf ? ebb_has_failed(t) : !visit(s, n))
				return false;
			if (s->consume && !leaf)
				ebb_consume(n);
			if (!leaf && !(keep_targets && (s->needed[i - s->base] & 2)))
				ebb_set_slot(slot, NULL);
		}
		if (n->makes)
			ebb_unread_result(n);
	}
	return true;
}

bool ebb_sweep_run(ebb_sweep *s, bool keep_targets)
{
	bool ok;

	if (s->t->sweeps++ == 0 && s->t->watch)
		s->t->watch->ask(s->t);
	ok = run(s, keep_targets);
	if (--s->t->sweeps == 0) {
		ebb_unread_results(s->t);
		ebb_ask_later(s->t);
	}
	return ok;
}

bool ebb_sweep_target(ebb_tape *t, const char *what, ebb_tensor **y, const char *site)
{
	char text[240];

	if (ebb_has_failed(t))
		return false;
	if (t->in_callback) {
		ebb_fail(t, EBB_BAD_STATE, site,
			"%s: an observer may not differentiate the tape it watches", what);
		return false;
	}
	if (!*y) {
		ebb_fail(t, EBB_INVALID, site, "%s: y is NULL", what);
		return false;
	}
	if (ebb_refuses_stale(t, *y, what, site))
		return false;
	if ((*y)->tape != t && !(*y = ebb_usable(t, *y, what, 0, site)))
		return false;
	if ((*y)->node < 0) {
		ebb_fail(t, EBB_INVALID, site,
			"%s: y (%s) depends on nothing that requires a gradient", what,
			ebb_describe(*y, text, sizeof text));
		return false;
	}
	return true;
}

bool ebb_sweep_check(
	ebb_tape *t, const char *what, ebb_tensor **y, ebb_tensor **gy, const char *site)
{
	char a[240], b[240];

	if (!ebb_sweep_target(t, what, y, site))
		return false;
	if (!*gy) {
		if ((*y)->count == 1)
			return true;
		ebb_fail(t, EBB_BAD_SHAPE, site,
			"%s: y has %lld elements (%s); pass .gy, or reduce y to one element", what,
			(long long)(*y)->count, ebb_describe(*y, a, sizeof a));
		return false;
	}
	*gy = ebb_usable(t, *gy, what, 1, site);
	if (!*gy)
		return false;
	if (!ebb_same_shape(*y, *gy) || (*y)->dtype != (*gy)->dtype) {
		ebb_fail(t, EBB_BAD_SHAPE, site, "%s: gy is %s, y is %s", what,
			ebb_describe(*gy, b, sizeof b), ebb_describe(*y, a, sizeof a));
		return false;
	}
	return true;
}
