/*
 * sweep.c - the reverse sweep.
 *
 * The tape is in topological order already: the sweep walks its nodes from the last to the
 * first, with one accumulator per node that has received a gradient.  Accumulators belong to
 * the sweep, so sweeps nest.  A first contribution is moved in; a later one is added in place
 * only where the sweep alone holds the buffer.
 */
#include "autograd/internal.h"

#include <string.h>

typedef struct ebb_sweep {
	ebb_tape *t;
	ebb_tensor **acc; /* per node up to the start */
	ebb_storage *acc_memory;
	const uint8_t *needed; /* per node, or NULL: all */
	ebb_storage *needed_memory;
	int64_t first, last; /* nodes */
	bool create_graph, consume;
	const char *site;
} ebb_sweep;

/* ---- Accumulators ---------------------------------------------------------------------------- */

static void hold(ebb_tensor **slot, ebb_tensor *g)
{
	g->holds++;
	*slot = g;
}

/* A sweep's own tensor goes when its last accumulator lets go of it; one of the running vjp's,
 * which may still read it, goes at the end of the frame. */
static void let_go(ebb_tensor **slot)
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

bool ebb_wants(const ebb_vjp *v, int k)
{
	const ebb_tensor *x = k >= 0 && k < v->nin ? v->in[k] : NULL;

	/* A stored tensor that was a constant to this node may have become a leaf after it. */
	if (!x || x->node < v->sweep->first || x->node >= v->node->index)
		return false;
	return !v->sweep->needed || v->sweep->needed[x->node];
}

/* Whether only the accumulator holds this buffer, since an earlier node. */
static bool own_buffer(const ebb_tensor *g)
{
	return (g->flags & EBB_F_TEMPORARY) && (g->flags & EBB_F_SETTLED) && g->holds == 1 &&
	       g->storage->refs == 1 && g->storage->tape;
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

void ebb_give(ebb_vjp *v, int k, ebb_tensor *g)
{
	ebb_tape *t = v->t;
	ebb_tensor **slot, *x, *sum;
	char a[240], b[240];

	if (!g || ebb_failed(t) || !ebb_wants(v, k))
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
	if (!ebb_same_shape(x, g) && !(g = ebb_arith_sum_to(t, g, ebb_shape_of(x), NULL)))
		return;
	/* Its memory goes with this node. */
	if ((g->flags & EBB_F_SHOWN) && !(g = ebb_arith_copy(t, g, NULL)))
		return;
	slot = &v->sweep->acc[x->node];
	if (!*slot) {
		hold(slot, g);
		return;
	}
	if (own_buffer(*slot) && ((*slot)->flags & EBB_F_DENSE) && (*slot)->storage != g->storage) {
		g = ebb_arith_dense_like(t, g, *slot, NULL);
		if (g)
			ebb_arith_accumulate(*slot, g);
		return;
	}
	sum = ebb_arith_add(t, *slot, g, NULL);
	if (sum) {
		let_go(slot);
		hold(slot, sum);
	}
}

/* ---- One node -------------------------------------------------------------------------------- */

static bool saved_values_stand(ebb_sweep *s, ebb_node *n)
{
	char text[240];

	if (n->consumed) {
		ebb_fail(s->t, EBB_BAD_STATE, s->site,
			"backward: the graph was already consumed at %s (%s); the first "
			"ebb_backward needs .retain = true",
			n->op->name, n->site ? n->site : "?");
		return false;
	}
	for (int k = 0; n->keeps && k < n->nin && k < 31; k++)
		if ((n->keeps & EBB_IN(k)) && n->in[k]->storage->version != n->versions[k]) {
			ebb_fail(s->t, EBB_BAD_STATE, n->site,
				"%s: input %d (%s) was overwritten after the op saved it for its "
				"gradient",
				n->op->name, k, ebb_describe(n->in[k], text, sizeof text));
			return false;
		}
	if ((n->keeps & EBB_OUT) && n->out->storage->version != n->out_version) {
		ebb_fail(s->t, EBB_BAD_STATE, n->site,
			"%s: its result was overwritten after it was saved for its gradient",
			n->op->name);
		return false;
	}
	return true;
}

/* From here to close_frame ops inherit site and op, record only under create_graph, and what they
 * make is the sweep's. */
static void open_frame(
	ebb_tape *t, ebb_frame *f, const char *site, const char *op, bool create_graph)
{
	*f = (ebb_frame){site, op, create_graph, t->frame, t->recording, t->nlive};
	t->frame = f;
	t->recording = create_graph;
}

/* Drops what was made inside, but for what accumulators hold. */
static void close_frame(ebb_tape *t, const ebb_frame *f)
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

static void tell_gradient(ebb_tape *t, const ebb_node *n, const ebb_tensor *g)
{
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->gradient)
			t->observers[i]->gradient(t->observers[i]->ctx, n, g);
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
	bool leaf = n->op == &ebb_leaf_op, pass_on;
	ebb_frame frame;
	ebb_vjp v = {.t = t,
		.gy = s->acc[n->index],
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
	if (pass_on && !saved_values_stand(s, n))
		return false;
	open_frame(t, &frame, n->site, n->op->name, s->create_graph);
	t->scope = (ebb_scope *)n->scope;
	if ((!n->op->gy_strided || t->nobservers) && !ebb_same_memory(v.gy, n->out) &&
		(n->out->flags & EBB_F_DENSE || !(v.gy->flags & EBB_F_DENSE))) {
		v.gy = ebb_arith_dense_like(t, v.gy, n->out, NULL);
		if (v.gy) {
			hold(&v.gy, v.gy);
			let_go(&s->acc[n->index]);
			s->acc[n->index] = v.gy;
		}
	}
	if (v.gy && t->nobservers)
		tell_gradient(t, n, v.gy);
	if (v.gy && pass_on && ebb_open_view(n, &w, &v)) {
		n->op->vjp(&v);
		ebb_close_view(n, &w);
	}
	close_frame(t, &frame);
	t->scope = (ebb_scope *)scope;
	return !ebb_failed(t);
}

/* ---- A sweep --------------------------------------------------------------------------------- */

static void end_sweep(ebb_sweep *s)
{
	if (s->acc_memory) {
		for (int64_t i = 0; i <= s->last; i++)
			let_go(&s->acc[i]);
		ebb_unref(s->acc_memory);
	}
	if (s->needed_memory)
		ebb_unref(s->needed_memory);
}

/* Room for accumulators, and the first of them. */
static bool begin_sweep(ebb_sweep *s, ebb_tensor *y, ebb_tensor *gy)
{
	ebb_tape *t = s->t;
	size_t bytes = (size_t)(y->node + 1) * sizeof *s->acc;
	ebb_frame frame;

	s->last = y->node;
	s->acc_memory = ebb_pool_take(t, bytes);
	if (!s->acc_memory) {
		ebb_no_memory(t, s->site, "the sweep's accumulators", bytes);
		return false;
	}
	s->acc = ebb_storage_data(s->acc_memory);
	memset(s->acc, 0, bytes);
	open_frame(t, &frame, s->site, NULL, s->create_graph);
	if (!gy)
		gy = ebb_arith_full_like(t, y, 1.0, s->site);
	if (gy)
		hold(&s->acc[y->node], gy);
	close_frame(t, &frame);
	return !ebb_failed(t);
}

static bool run(ebb_sweep *s, const uint8_t *targets)
{
	ebb_tape *t = s->t;

	for (int64_t i = s->last; i >= s->first; i--) {
		ebb_node *n = t->nodes[i];
		bool leaf = n->op == &ebb_leaf_op;

		if (!s->acc[i])
			continue;
		if (!leaf || t->nobservers)
			if (!visit(s, n))
				return false;
		if (s->consume && !leaf)
			ebb_consume(n);
		if (!leaf && !(targets && (targets[i] & 2)))
			let_go(&s->acc[i]);
	}
	return true;
}

/* y and gy, checked and on this tape. */
static bool check_start(
	ebb_tape *t, const char *what, ebb_tensor **y, ebb_tensor **gy, const char *site)
{
	char a[240], b[240];

	if (ebb_failed(t))
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
	if ((*y)->tape != t && !(*y = ebb_usable(t, *y, what, 0, site)))
		return false;
	if ((*y)->node < 0) {
		ebb_fail(t, EBB_INVALID, site,
			"%s: y (%s) depends on nothing that requires a gradient", what,
			ebb_describe(*y, a, sizeof a));
		return false;
	}
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

/* ---- ebb_backward ---------------------------------------------------------------------------- */

/* Made by this sweep, and held by nobody else (nobody counts who holds a stored tensor's
 * memory). */
static bool mine_alone(const ebb_tensor *g)
{
	return (g->flags & EBB_F_TEMPORARY) && g->holds <= 1 && g->storage->refs == 1 &&
	       g->storage->tape;
}

/* The gradient of leaf n in the memory order of what it will be added to, or handed out as; NULL
 * if there is no memory. */
static ebb_tensor *arrange(ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	ebb_tensor **slot = &s->acc[n->index], *stored = (ebb_tensor *)n->out->stored;
	ebb_tensor *like = !stored && ebb_grad_of(n->out) ? n->out->grad : n->out, *g;
	ebb_frame frame;

	open_frame(t, &frame, n->site, NULL, false);
	g = ebb_same_memory(*slot, like) ? *slot : ebb_arith_dense_like(t, *slot, like, s->site);
	/* A variable's gradient is handed to its user: it must not be somebody else's tensor as
	 * well. */
	if (g && like == n->out && !stored && !mine_alone(g))
		g = ebb_arith_copy(t, g, s->site);
	if (g && g != *slot) {
		let_go(slot);
		hold(slot, g);
	}
	close_frame(t, &frame);
	return g;
}

/* Memory for the gradient of a stored tensor, in the tensor's own order. */
static bool make_grad(ebb_sweep *s, ebb_tensor *stored)
{
	ebb_error e = {EBB_OK, ""};

	stored->grad = ebb_tensor_new((ebb_dtype)stored->dtype, ebb_shape_of(stored), false, &e);
	if (!stored->grad) {
		ebb_fail(s->t, e.status, s->site, "backward: gradient of %s: %s", ebb_name(stored),
			e.message);
		return false;
	}
	memcpy(stored->grad->strides, stored->strides, sizeof stored->strides);
	stored->grad->flags = stored->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST);
	return true;
}

/* Leaves' gradients in the leaves' memory order, and memory to put them in: all that can fail. */
static bool prepare_deposit(ebb_sweep *s)
{
	ebb_tape *t = s->t;
	int64_t kept = t->ngrads;

	for (int64_t i = s->first; i <= s->last; i++) {
		ebb_node *n = t->nodes[i];
		ebb_tensor *stored = (ebb_tensor *)n->out->stored;

		if (!s->acc[i] || n->op != &ebb_leaf_op)
			continue;
		if (!arrange(s, n) || (stored && !stored->grad && !make_grad(s, stored)))
			return false;
		if (!stored && !ebb_grow(&t->grads, &t->grads_capacity, ++kept, sizeof *t->grads)) {
			ebb_no_memory(t, s->site, "a gradient", sizeof *t->grads);
			return false;
		}
	}
	return true;
}

static void keep_grad(ebb_tape *t, ebb_tensor *x, ebb_tensor *g)
{
	if (x->grad)
		ebb_drop(x->grad);
	g->flags &= (uint16_t) ~(EBB_F_SWEEP | EBB_F_TEMPORARY | EBB_F_SETTLED);
	g->holds = 0;
	x->grad = g;
	x->flags |= EBB_F_HAS_GRAD;
	t->grads[t->ngrads++] = (ebb_kept_grad){x, g};
}

static void deposit(ebb_sweep *s)
{
	ebb_tape *t = s->t;

	for (int64_t i = s->first; i <= s->last; i++) {
		ebb_node *n = t->nodes[i];
		ebb_tensor *g = s->acc[i], *stored, *leaf;

		if (!g || n->op != &ebb_leaf_op)
			continue;
		stored = (ebb_tensor *)n->out->stored;
		leaf = stored ? stored : n->out;
		if (ebb_grad_of(leaf)) {
			ebb_arith_accumulate(leaf->grad, g);
		} else if (stored) {
			if (g->count)
				memcpy(stored->grad->data, g->data,
					(size_t)g->count * ebb_dtype_size((ebb_dtype)g->dtype));
			stored->flags |= EBB_F_HAS_GRAD;
		} else {
			keep_grad(t, leaf, g);
			s->acc[i] = NULL;
		}
		leaf->grad->storage->version++;
	}
}

bool(ebb_backward)(const ebb_backward_args *a)
{
	ebb_sweep s = {.t = a->t, .site = a->site, .consume = !a->retain};
	ebb_tensor *y = a->y, *gy = a->gy;
	bool ok;

	if (!check_start(a->t, "backward", &y, &gy, a->site))
		return false;
	ok = begin_sweep(&s, y, gy) && run(&s, NULL) && prepare_deposit(&s);
	if (ok)
		deposit(&s);
	end_sweep(&s);
	return ok;
}

/* ---- ebb_grad -------------------------------------------------------------------------------- */

/* needed: bit 0, the node leads to a target; bit 1, it is one. */
static bool mark_needed(ebb_sweep *s, int64_t last, int n, ebb_tensor **targets)
{
	ebb_tape *t = s->t;
	uint8_t *needed;

	s->needed_memory = ebb_pool_take(t, (size_t)last + 1);
	if (!s->needed_memory) {
		ebb_no_memory(t, s->site, "the sweep's marks", (size_t)last + 1);
		return false;
	}
	s->needed = needed = ebb_storage_data(s->needed_memory);
	memset(needed, 0, (size_t)last + 1);
	s->first = last + 1;
	for (int i = 0; i < n; i++)
		if (targets[i] && targets[i]->node >= 0 && targets[i]->node <= last) {
			needed[targets[i]->node] = 3;
			if (targets[i]->node < s->first)
				s->first = targets[i]->node;
		}
	for (int64_t i = s->first; i <= last; i++) {
		const ebb_node *node = t->nodes[i];

		for (int k = 0; !needed[i] && k < node->nin; k++)
			if (node->in[k] && node->in[k]->node >= s->first && node->in[k]->node < i &&
				needed[node->in[k]->node])
				needed[i] = 1;
	}
	return true;
}

/* The gradient of target i, as a tensor of the user's. */
static ebb_tensor *result(ebb_sweep *s, ebb_tensor *x)
{
	ebb_tape *t = s->t;
	bool recording = t->recording;
	ebb_tensor *g = x->node >= s->first && x->node <= s->last ? s->acc[x->node] : NULL,
		   *mine = g;

	t->recording = s->create_graph;
	if (!g)
		mine = ebb_arith_full_like(t, x, 0.0, s->site);
	else if (!s->create_graph && !ebb_same_memory(g, x) && (x->flags & EBB_F_DENSE))
		mine = ebb_arith_dense_like(t, g, x, s->site);
	else if (s->create_graph ? !(g->flags & EBB_F_SWEEP) || g->holds > 1 : !mine_alone(g))
		mine = ebb_arith_copy(t, g, s->site);
	t->recording = recording;
	if (mine && mine == g && !s->create_graph &&
		ebb_grow(&t->live, &t->live_capacity, t->nlive + 1, sizeof *t->live))
		t->live[t->nlive++] = g; /* the sweep had taken it out of the list */
	else if (mine == g && g && !s->create_graph)
		return ebb_no_memory(t, s->site, "a gradient", sizeof g);
	if (mine && mine == g)
		g->flags &= (uint16_t) ~(EBB_F_SWEEP | EBB_F_TEMPORARY | EBB_F_SETTLED);
	return mine;
}

bool(ebb_grad)(const ebb_grad_args *a)
{
	ebb_sweep s = {.t = a->t, .site = a->site, .create_graph = a->create_graph};
	ebb_tensor *y = a->y, *gy = a->gy;
	ebb_storage *memory = NULL;
	ebb_tensor **targets = NULL;
	bool ok;

	for (int i = 0; i < a->n && a->gx; i++)
		a->gx[i] = NULL;
	if (ebb_failed(a->t))
		return false;
	if (a->n < 1 || !a->x || !a->gx) {
		ebb_fail(a->t, EBB_INVALID, a->site,
			"grad: n is %d, x %s, gx %s; expected n >= 1 and two arrays", a->n,
			a->x ? "given" : "NULL", a->gx ? "given" : "NULL");
		return false;
	}
	memory = ebb_pool_take(a->t, (size_t)a->n * sizeof(ebb_tensor *));
	if (!memory) {
		ebb_no_memory(a->t, a->site, "the targets", (size_t)a->n * sizeof(ebb_tensor *));
		return false;
	}
	targets = ebb_storage_data(memory);
	ok = true;
	for (int i = 0; ok && i < a->n; i++) {
		ebb_tensor *x = a->x[i];

		if (x && !x->tape)
			x = ebb_adopt(a->t, x, a->site);
		else if (!x || x->tape != a->t)
			x = ebb_usable(a->t, x, "grad", i, a->site);
		targets[i] = x;
		ok = x != NULL;
		if (ok && x->node < 0) {
			ebb_fail(a->t, EBB_INVALID, a->site,
				"grad: x[%d] does not require a gradient", i);
			ok = false;
		}
	}
	ok = ok && check_start(a->t, "grad", &y, &gy, a->site) &&
	     mark_needed(&s, y->node, a->n, targets);
	if (ok) {
		s.last = y->node;
		ok = begin_sweep(&s, y, gy) && run(&s, s.needed);
		for (int i = 0; ok && i < a->n; i++) {
			a->gx[i] = result(&s, targets[i]);
			ok = a->gx[i] != NULL;
		}
		end_sweep(&s);
	} else if (s.needed_memory) {
		ebb_unref(s.needed_memory);
	}
	ebb_unref(memory);
	for (int i = 0; !ok && i < a->n; i++)
		a->gx[i] = NULL;
	return ok;
}
