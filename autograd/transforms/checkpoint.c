/*
 * checkpoint.c - gradient checkpointing: a segment that saves only its inputs and is recomputed in
 * the sweep (Chen et al. 2016).
 *
 * The first run records as usual, while an open trace lists the older tensors that the segment
 * reads.  Then the recording of the segment is rewound and replaced by one node, whose inputs are
 * these tensors.  The node's vjp is the second run: it records the segment again, and an inner
 * sweep visits that recording.  The inner sweep adds to the outer sweep's accumulators of the older
 * tensors, in the same order as without a checkpoint, so that gradients are bit-identical.
 */
#include "autograd/internal.h"

#include <string.h>

typedef struct segment {
	ebb_checkpoint_fn fn;
	void *ctx;
	ebb_random random;
	ebb_dtype dtype;
	bool training;
	uint8_t flushed;
	ebb_rules rules;
	int reads; /* inputs_read of the first run */
} segment;

/* The number of tensors in in[0..n-1] that are an input of a node from number first on and are not
 * constants there.  A tensor counts as a constant unless it is the result of a node that is older
 * than the reading node and than node number limit. */
static int inputs_read(
	const ebb_tape *t, int64_t first, int64_t limit, int n, ebb_tensor *const *in)
{
	int count = 0;

	for (int k = 0; k < n; k++) {
		bool found = false;

		for (int64_t i = first; !found && i < t->nnodes; i++)
			for (int j = 0; !found && j < t->nodes[i]->nin; j++) {
				const ebb_tensor *x = t->nodes[i]->in[j];

				found = x &&
				        (x == in[k] || (x->persistent && x->persistent == in[k])) &&
				        x->node >= 0 && x->node < (i < limit ? i : limit);
			}
		count += found;
	}
	return count;
}

/* ---- The first run --------------------------------------------------------------------------- */

static void checkpoint_vjp(ebb_vjp *v);

enum { ALL_INPUTS = 0x7fffffff };
static const ebb_op CHECKPOINT = {.name = "checkpoint",
	.vjp = checkpoint_vjp,
	.reads = {ALL_INPUTS, ALL_INPUTS, ALL_INPUTS, ALL_INPUTS, ALL_INPUTS, ALL_INPUTS,
		ALL_INPUTS, ALL_INPUTS},
	.takes = {EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED,
		EBB_STRIDED, EBB_STRIDED}};

/* Records the rewound segment as one node, with the result y and the inputs t->traced[start ..]. */
static ebb_tensor *record_segment(
	ebb_tape *t, const segment *s, int64_t start, ebb_tensor *y, const char *site)
{
	int n = (int)(t->ntraced - start);
	ebb_tensor **in = ebb_arena_take(&t->ctx.arena, (size_t)n * sizeof *in);
	ebb_call c;

	/* Removes this trace's entries from t->traced.  If an outer trace is open, ebb_begin lists
	 * the inputs of the new node there. */
	t->ntraced = start;
	if (!in)
		return ebb_no_memory(t, site, "a checkpoint's inputs", (size_t)n * sizeof *in);
	memcpy(in, t->traced + start, (size_t)n * sizeof *in);
	c = ebb_begin(t, &CHECKPOINT, site, n, in);
	c.start = 0; /* observers have been notified of each call of the segment */
	ebb_attach(&c, s, sizeof *s);
	return ebb_record(&c, y);
}

static ebb_tensor *first_run(ebb_tape *t, segment *s, ebb_tensor *x, const char *site)
{
	ebb_mark m = ebb_tape_mark(t);
	ebb_trace trace = {t->trace, m.handles, t->ntraced};
	ebb_tensor *spare = t->ctx.spare, *y;
	bool differentiable;

	/* An empty list of recycled structs makes sure that every handle of the segment lies behind
	 * the mark in the arena. */
	t->ctx.spare = NULL;
	t->trace = &trace;
	ebb_trace_input(t, x);
	y = s->fn(t, x, s->ctx);
	t->trace = trace.outer;
	if (!y && !ebb_failed(t))
		ebb_fail(t, EBB_INVALID, site, "checkpoint: the function returned NULL");
	if (!ebb_failed(t) && !y->persistent)
		y = ebb_usable(t, y, "checkpoint: the result", 0, site);
	if (!ebb_failed(t) && y->tape == t && ebb_arena_is_after(t->ctx.handles, m.handles, y) &&
		!y->persistent) {
		differentiable = y->node >= m.nodes;
		if (differentiable)
			s->reads = inputs_read(t, m.nodes, t->nnodes,
				(int)(t->ntraced - trace.start), t->traced + trace.start);
		if (!ebb_rewind_keeping(t, m, 1, &y))
			y = NULL;
		if (y && differentiable)
			y = record_segment(t, s, trace.start, y, site);
		else
			t->ntraced = trace.start;
	} else {
		t->ntraced = trace.start;
		if (y && y->persistent)
			y = (ebb_tensor *)y->persistent;
		ebb_rewind(t, m);
	}
	t->ctx.spare = spare;
	return ebb_failed(t) ? NULL : y;
}

ebb_tensor *(ebb_checkpoint)(ebb_tape *t, ebb_checkpoint_fn fn, void *ctx, ebb_tensor *x,
	const char *site)
{
	segment s = {.fn = fn,
		.ctx = ctx,
		.random = ebb_random_state(t),
		.dtype = ebb_default_dtype(t),
		.training = ebb_is_training(t)};

	if (ebb_failed(t))
		return NULL;
	s.flushed = t->ctx.flushed;
	s.rules = t->rules;
	if (!fn)
		return ebb_fail(t, EBB_INVALID, site, "checkpoint: the function is NULL");
	x = ebb_usable(t, x, "checkpoint", 0, site);
	if (!x)
		return NULL;
	/* Inside a vjp no mark is valid: fn runs without a checkpoint, with the same result. */
	return t->frame ? fn(t, x, ctx) : first_run(t, &s, x, site);
}

/* ---- The second run -------------------------------------------------------------------------- */

/* The state of the tape that a second run changes, and restores at its end. */
typedef struct state {
	const ebb_frame *frame;
	ebb_random random;
	ebb_dtype dtype;
	bool recording, training;
	uint8_t flushed;
	ebb_rules rules;
	int64_t nopen;
	ebb_tensor *spare;
	uint64_t replay_mark;
} state;

static state enter(ebb_tape *t, const segment *s)
{
	state was = {t->frame, t->ctx.random, t->ctx.dtype, t->recording, t->training,
		t->ctx.flushed, t->rules, t->nopen, t->ctx.spare, t->replay_mark};

	ebb_enter_frame(t, NULL);
	t->ctx.random = s->random;
	t->ctx.dtype = s->dtype;
	t->training = s->training;
	t->ctx.flushed = s->flushed;
	t->rules = s->rules;
	t->recording = true;
	t->ctx.spare = NULL;
	t->replays++;
	t->replay_mark = ebb_arena_mark(t->ctx.handles);
	return was;
}

static void leave(ebb_tape *t, const state *was)
{
	t->replays--;
	t->replay_mark = was->replay_mark;
	ebb_enter_frame(t, was->frame);
	t->ctx.random = was->random;
	t->ctx.dtype = was->dtype;
	t->training = was->training;
	t->ctx.flushed = was->flushed;
	t->rules = was->rules;
	t->recording = was->recording;
}

static bool is_input(const ebb_vjp *v, const ebb_tensor *x)
{
	for (int k = 0; k < v->nin; k++)
		if (v->in[k] == x)
			return true;
	return false;
}

/* Marks the nodes of the second run that depend on a tensor whose gradient the outer sweep
 * needs. */
static bool mark_needed(ebb_sweep *s, const ebb_vjp *v, int64_t last)
{
	ebb_tape *t = s->t;
	size_t bytes = (size_t)(last - s->base + 1);
	uint8_t *needed;

	s->needed_memory = ebb_pool_take(&t->ctx.pool, bytes);
	if (!s->needed_memory) {
		ebb_no_memory(t, s->site, "the sweep's marks", bytes);
		return false;
	}
	s->needed = needed = ebb_storage_data(s->needed_memory);
	memset(needed, 0, bytes);
	for (int64_t i = s->base; i <= last; i++) {
		const ebb_node *n = t->nodes[i];

		for (int k = 0; k < n->nin; k++) {
			const ebb_tensor *x = n->in[k];

			if (!x || x->node < 0 || x->node >= i)
				continue;
			if (x->node < s->base && !is_input(v, x)) {
				ebb_fail(t, EBB_BAD_STATE, n->site,
					"checkpoint: the second run reads a tensor that the first "
					"did not read, in %s",
					n->op->name);
				return false;
			}
			if (ebb_is_needed(s, x->node))
				needed[i - s->base] = 1;
		}
	}
	return true;
}

/* The inner sweep: from y, with the gradient v->gy, down to the node number base. */
static void sweep_on(ebb_vjp *v, ebb_tensor *y, int64_t base)
{
	ebb_sweep s = {.t = v->t,
		.site = v->node->site,
		.base = base,
		.first = base,
		.last = base - 1,
		.outer = v->visit->sweep,
		.limit = v->node->index,
		.create_graph = v->recording,
		.consume = !v->recording};

	if (mark_needed(&s, v, y->node) && ebb_sweep_begin(&s, 1, &y, &v->gy))
		ebb_sweep_run(&s, false);
	ebb_sweep_end(&s);
}

/* The rewind at the end of checkpoint_vjp discards the handles that were created in the second run.
 * So if the accumulator of input k is such a handle, copies it to home[k], an older handle, which
 * becomes the accumulator.  A handle without EBB_F_TEMPORARY is a value of the segment, which the
 * rewind drops; its copy therefore becomes a reader of the storage, too. */
static void bring_home(ebb_vjp *v, uint64_t mark, ebb_tensor *const *home)
{
	ebb_tape *t = v->t;

	for (int k = 0; k < v->nin; k++) {
		const ebb_tensor *x = v->in[k];
		ebb_tensor **slot, *g;

		if (!ebb_wants(v, k))
			continue;
		slot = ebb_accumulator_of(v->visit->sweep, x->node);
		g = *slot;
		if (!g || !ebb_arena_is_after(t->ctx.handles, mark, g))
			continue;
		/* Two accumulators may hold the same handle: g->grad is the copy of g. */
		if (!g->grad) {
			ebb_tensor *h = home[k];

			g->grad = h;
			*h = *g;
			h->grad = NULL;
			if (!(g->flags & EBB_F_TEMPORARY)) {
				h->flags &= (uint16_t)~EBB_F_IMPORTED;
				h->flags |= EBB_F_SWEEP | EBB_F_TEMPORARY;
				h->node = -1;
				ebb_ref(h->storage);
			}
			if (h->flags & EBB_F_LISTED) {
				h->flags &= (uint16_t)~EBB_F_LISTED;
				h->holds--;
			}
		}
		*slot = g->grad;
	}
}

/* Whether the second run, recorded from node base on, reads as many inputs that require a gradient
 * as the first.  If not, a gradient would silently be zero. */
static bool depends_as_before(const ebb_vjp *v, const segment *s, const ebb_tensor *y, int64_t base)
{
	int reads = 0;

	if (y->tape == v->t && y->node >= base)
		reads = inputs_read(v->t, base, v->node->index, v->nin, v->in);
	if (reads == s->reads)
		return true;
	ebb_fail(v->t, EBB_BAD_STATE, v->node->site,
		"checkpoint: the result of the second run depends on %d of the tensors that "
		"require a gradient, that of the first on %d; the function must do the same both "
		"times",
		reads, s->reads);
	return false;
}

/* For each input, a handle that is older than the second run (see bring_home).  NULL: the tape has
 * failed. */
static ebb_tensor **make_homes(ebb_tape *t, int n)
{
	ebb_tensor **home = ebb_arena_take(&t->ctx.arena, (size_t)n * sizeof *home);
	bool ok = home != NULL;

	for (int k = 0; ok && k < n; k++) {
		home[k] = ebb_handle_take(&t->ctx);
		ok = home[k] != NULL;
	}
	if (!ok)
		ebb_no_memory(t, NULL, "a checkpoint's gradients", (size_t)n * sizeof **home);
	return ok ? home : NULL;
}

static void checkpoint_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	const segment *s = v->attrs;
	ebb_tensor **home, *y;
	ebb_mark m;
	state was;
	char a[240], b[240];

	home = make_homes(t, v->nin);
	if (!home)
		return;
	was = enter(t, s);
	m = ebb_tape_mark(t);
	y = s->fn(t, v->in[0], s->ctx);
	t->ctx.flushed = was.flushed; /* for the inner sweep: the outer sweep's setting */
	if (!ebb_failed(t) && (!y || !ebb_same_shape(y, v->out) || y->dtype != v->out->dtype))
		ebb_fail(t, EBB_BAD_STATE, v->node->site,
			"checkpoint: the second run gave %s, the first %s",
			ebb_describe(y, a, sizeof a), ebb_describe(v->out, b, sizeof b));
	if (!ebb_failed(t) && depends_as_before(v, s, y, m.nodes))
		sweep_on(v, y, m.nodes);
	while (t->nopen > was.nopen)
		(ebb_scope_end)(t, NULL, NULL);
	if (!v->recording) {
		bring_home(v, m.handles, home);
		ebb_rewind(t, m);
		t->ctx.spare = was.spare;
	}
	leave(t, &was);
}
