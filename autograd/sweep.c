/*
 * sweep.c - the reverse sweep.
 *
 * The tape is in topological order already: the sweep walks its nodes from the last to the
 * first, with one accumulator per node that has received a gradient.  Accumulators belong to
 * the sweep, so sweeps nest.  A first contribution is moved in (or written where it will be
 * deposited); a later one is added in place only where the sweep alone holds the buffer.
 */
#include "autograd/internal.h"

#include <string.h>

#include "kernels/kernels.h"

/* ---- Accumulators ---------------------------------------------------------------------------- */

void ebb_hold(ebb_tensor **slot, ebb_tensor *g)
{
	g->holds++;
	*slot = g;
}

/* A sweep's own tensor goes when its last accumulator lets go of it; one of the running vjp's,
 * which may still read it, goes at the end of the frame. */
void ebb_let_go(ebb_tensor **slot)
{
	ebb_tensor *g = *slot;

	*slot = NULL;
	if (!g || --g->holds > 0 || !(g->flags & EBB_F_SETTLED))
		return;
	if (g->flags & EBB_F_TEMPORARY)
		ebb_recycle(g);
	else
		ebb_drop(g);
}

ebb_tensor **ebb_slot(const ebb_sweep *s, int64_t node)
{
	while (node < s->base)
		s = s->outer;
	return &s->acc[node - s->base];
}

bool ebb_is_needed(const ebb_sweep *s, int64_t node)
{
	for (; node < s->base && s->outer; s = s->outer)
		if (node >= s->limit)
			return false;
	return node >= s->first && (!s->needed || s->needed[node - s->base]);
}

bool ebb_wants(const ebb_vjp *v, int k)
{
	const ebb_tensor *x = k >= 0 && k < v->nin ? v->in[k] : NULL;

	/* A stored tensor that was a constant to this node may have become a leaf after it. */
	if (!x || x->node < 0 || x->node >= v->node->index)
		return false;
	return ebb_is_needed(v->sweep, x->node);
}

/* Whether only the accumulator holds this buffer, since an earlier node. */
static bool own_buffer(const ebb_tensor *g)
{
	/* No other stored tensor is an accumulator than one that is being deposited in. */
	if (!g->tape)
		return true;
	return (g->flags & EBB_F_TEMPORARY) && (g->flags & EBB_F_SETTLED) && g->holds == 1 &&
	       g->storage->refs == 1 && g->storage->tape;
}

bool ebb_owns_gy(const ebb_vjp *v)
{
	const ebb_sweep *s = v->sweep;
	bool asked_for = s->needed && s->needed[v->node->index - s->base] & 2;

	/* An anomaly is told with its range. */
	return !v->recording && !v->t->anomaly && !asked_for && own_buffer(v->gy);
}

static bool broadcasts_to(const ebb_tensor *x, const ebb_tensor *g)
{
	int lead = g->ndim - x->ndim;

	if (lead < 0)
		return false;
	for (int i = 0; i < x->ndim; i++)
		if (x->shape[i] != g->shape[lead + i] && x->shape[i] != 1)
			return false;
	return true;
}

ebb_tensor *ebb_new_gradient(ebb_call *c, const ebb_vjp *v, int k)
{
	const ebb_tensor *x = v->in[k];
	ebb_tensor *place = NULL;

	if (c->t && ebb_wants(v, k) && !*ebb_slot(v->sweep, x->node))
		place = ebb_deposit_place(v->sweep, x);
	if (!place || !(place->flags & EBB_F_ROWS))
		return ebb_new(c, (ebb_dtype)x->dtype, ebb_shape_of(x), EBB_ROWS);
	return ebb_new_view(c, place, ebb_shape_of(place), place->strides, 0);
}

static void move_in(ebb_tensor **slot, ebb_tensor *g, ebb_tensor *place)
{
	if (!place) {
		ebb_hold(slot, g);
		return;
	}
	if (g->count && g->data != place->data)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)g->dtype), g->ndim, g->shape, g->data,
			g->strides, place->data, place->strides);
	ebb_hold(slot, place);
}

void ebb_give(ebb_vjp *v, int k, ebb_tensor *g)
{
	ebb_tape *t = v->t;
	ebb_tensor **slot, *x, *sum;
	char a[240], b[240];

	if (!g || ebb_has_failed(t) || !ebb_wants(v, k))
		return;
	x = v->in[k];
	g = ebb_usable(t, g, "give", k, NULL);
	if (!g)
		return;
	if (g->dtype != x->dtype || !broadcasts_to(x, g)) {
		ebb_fail(t, EBB_BAD_SHAPE, NULL, "gave input %d (%s) a gradient of %s", k,
			ebb_describe(x, a, sizeof a), ebb_describe(g, b, sizeof b));
		return;
	}
	if (t->anomaly && !ebb_gradient_is_finite(v, k, g))
		return;
	if (!ebb_same_shape(x, g) && !(g = ebb_arith_sum_to(t, g, ebb_shape_of(x), NULL)))
		return;
	/* Its memory goes with this node. */
	if ((g->flags & EBB_F_SHOWN) && !(g = ebb_arith_copy(t, g, NULL)))
		return;
	slot = ebb_slot(v->sweep, x->node);
	if (!*slot) {
		ebb_tensor *place = ebb_deposit_place(v->sweep, x);

		if (!ebb_has_failed(t))
			move_in(slot, g, place);
		return;
	}
	if (own_buffer(*slot) && ((*slot)->flags & EBB_F_DENSE) && (*slot)->storage != g->storage) {
		g = ebb_arith_dense_like(t, g, *slot, NULL);
		if ((*slot)->flags & EBB_F_FACTORED)
			ebb_compute_product(*slot);
		if (g)
			ebb_arith_accumulate(*slot, g);
		return;
	}
	sum = ebb_arith_add(t, *slot, g, NULL);
	if (sum) {
		ebb_let_go(slot);
		ebb_hold(slot, sum);
	}
}

/* ---- One node -------------------------------------------------------------------------------- */

bool ebb_saved_values_stand(const ebb_sweep *s, ebb_node *n)
{
	char text[240];

	if (n->consumed) {
		ebb_fail(s->t, EBB_BAD_STATE, s->site,
			"backward: the graph was already consumed at %s (%s); the first "
			"ebb_backward needs .retain = true",
			n->op->name, n->site ? n->site : "?");
		return false;
	}
	for (int k = 0; n->reads && k < n->nin; k++)
		if (ebb_reads(n, k) && (ebb_holds(n, k) || ebb_is_in_memory(n->in[k])) &&
			n->in[k]->storage->version != n->versions[k]) {
			ebb_fail(s->t, EBB_BAD_STATE, n->site,
				"%s: input %d (%s) was overwritten after the op saved it for its "
				"gradient",
				n->op->name, k, ebb_describe(n->in[k], text, sizeof text));
			return false;
		}
	if ((n->reads & EBB_OUT) && (!n->forgets || ebb_is_in_memory(n->out)) &&
		n->out->storage->version != n->out_version) {
		ebb_fail(s->t, EBB_BAD_STATE, n->site,
			"%s: its result was overwritten after it was saved for its gradient",
			n->op->name);
		return false;
	}
	return true;
}

void ebb_open_frame(ebb_tape *t, ebb_frame *f, const char *site, const char *op, bool create_graph)
{
	*f = (ebb_frame){site, op, create_graph, t->frame, t->recording, t->nlive};
	t->frame = f;
	t->recording = create_graph;
}

/* Drops what was made inside, but for what accumulators hold. */
void ebb_close_frame(ebb_tape *t, const ebb_frame *f)
{
	int64_t kept = f->live;

	for (int64_t i = f->live; i < t->nlive; i++) {
		ebb_tensor *x = t->live[i];

		if (x->holds) {
			x->flags |= EBB_F_SETTLED;
			if (f->create_graph)
				t->live[kept++] = x;
		} else if (x->flags & EBB_F_TEMPORARY) {
			ebb_recycle(x);
		} else {
			ebb_drop(x);
		}
	}
	t->nlive = kept;
	t->frame = f->outer;
	t->recording = f->recording;
}

static void tell_gradient(ebb_tape *t, const ebb_node *n, ebb_tensor *g)
{
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->gradient) {
			ebb_compute_product(g);
			t->observers[i]->gradient(t->observers[i]->ctx, n, g);
		}
	t->in_callback = false;
}

static bool wants_any(const ebb_vjp *v)
{
	for (int k = 0; k < v->nin; k++)
		if (ebb_wants(v, k))
			return true;
	return false;
}

static bool visit(ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	const ebb_scope *scope = t->scope;
	ebb_tensor **slot = ebb_slot(s, n->index);
	bool leaf = n->op == &ebb_leaf_op, pass_on;
	ebb_frame frame;
	ebb_vjp v = {.t = t,
		.gy = *slot,
		.out = n->out,
		.in = n->in,
		.nin = n->nin,
		.attrs = n->attrs,
		.saved = n->saved,
		.nsaved = n->nsaved,
		.recording = s->create_graph,
		.sweep = s,
		.node = n};
	ebb_view w;

	pass_on = !leaf && wants_any(&v);
	if (pass_on && !(ebb_saved_values_stand(s, n) && ebb_remake_for(s, n)))
		return false;
	ebb_open_frame(t, &frame, n->site, n->op->name, s->create_graph);
	t->scope = (ebb_scope *)n->scope;
	if ((!n->op->gy_strided || t->nobservers) && !ebb_same_memory(v.gy, n->out) &&
		(n->out->flags & EBB_F_DENSE || !(v.gy->flags & EBB_F_DENSE))) {
		v.gy = ebb_arith_dense_like(t, v.gy, n->out, NULL);
		if (v.gy) {
			ebb_hold(&v.gy, v.gy);
			ebb_let_go(slot);
			*slot = v.gy;
		}
	}
	if (v.gy && t->nobservers && !t->replays)
		tell_gradient(t, n, v.gy);
	if (v.gy && pass_on && ebb_open_view(n, &w, &v, false)) {
		n->op->vjp(&v);
		ebb_close_view(n, &w);
	}
	ebb_close_frame(t, &frame);
	t->scope = (ebb_scope *)scope;
	return !ebb_has_failed(t);
}

/* ---- A sweep --------------------------------------------------------------------------------- */

void ebb_sweep_end(ebb_sweep *s)
{
	if (s->acc_memory) {
		for (int64_t i = 0; i <= s->last - s->base; i++)
			ebb_let_go(&s->acc[i]);
		ebb_unref(s->acc_memory);
	}
	if (s->needed_memory)
		ebb_unref(s->needed_memory);
}

/* The first contribution to y, or one more. */
static void seed(ebb_sweep *s, ebb_tensor *y, ebb_tensor *gy)
{
	ebb_tensor **slot = ebb_slot(s, y->node);

	if (!gy)
		gy = ebb_arith_full_like(s->t, y, 1.0, s->site);
	if (gy && *slot)
		gy = ebb_arith_add(s->t, *slot, gy, s->site);
	if (!gy)
		return;
	ebb_let_go(slot);
	ebb_hold(slot, gy);
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
	s->acc_memory = ebb_pool_take(t, bytes);
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
			if (!leaf || t->nobservers)
				if (!visit(s, n))
					return false;
			if (s->consume && !leaf)
				ebb_consume(n);
			if (!leaf && !(keep_targets && (s->needed[i - s->base] & 2)))
				ebb_let_go(slot);
		}
		if (n->forgets)
			ebb_forget_result(n);
	}
	return true;
}

bool ebb_sweep_run(ebb_sweep *s, bool keep_targets)
{
	bool ok;

	s->t->sweeps++;
	ok = run(s, keep_targets);
	if (--s->t->sweeps == 0)
		ebb_forget_results(s->t);
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
			"%s: y has %lld elements (%s); give .gy, or reduce it to one", what,
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
