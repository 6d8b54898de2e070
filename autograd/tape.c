/* tape.c - a tape: creation and reset, marks and rewinding, modes, and its leaves. */
#include "autograd/internal.h"
#include "kernels/kernels.h"

#include <string.h>

const ebb_op ebb_leaf_op = {.name = "leaf"};

ebb_tape *ebb_tape_new(void)
{
	ebb_tape *t = ebb_alloc_zeroed(sizeof *t);
	char complaint[160];

	if (!t)
		return NULL;
	t->root = ebb_alloc_zeroed(sizeof *t->root + 1);
	if (!t->root) {
		ebb_free(t, sizeof *t);
		return NULL;
	}
	t->root->size = sizeof *t->root + 1;
	t->root->name = t->root->path = (const char *)(t->root + 1);
	ebb_enter_scope(t, t->root);
	t->recording = t->training = true;
	ebb_context_begin(&t->ctx, ebb_make_again);
	if (ebb_environment_complaint(complaint, sizeof complaint))
		ebb_error_set(&t->ctx.error, EBB_INVALID, NULL, "tape_new: %s", complaint);
	return t;
}

/* Discards the nodes, the live handles and the variables' gradients from these numbers on. */
static void forget(ebb_tape *t, int64_t nodes, int64_t live, int64_t grads)
{
	for (int64_t i = nodes; i < t->nnodes; i++)
		ebb_consume(t->nodes[i]);
	for (int64_t i = live; i < t->ctx.nlive; i++)
		ebb_drop_value(t->ctx.live[i]);
	for (int64_t i = grads; i < t->ngrads; i++) {
		ebb_drop_value(t->grads[i].grad);
		t->grads[i].variable->grad = NULL;
		t->grads[i].variable->flags &= (uint16_t)~EBB_F_HAS_GRAD;
	}
	t->nnodes = nodes;
	t->ctx.nlive = live;
	t->ngrads = grads;
	t->ctx.spare =
		NULL; /* recycled structs may lie in the part of the arena that is discarded */
}

void ebb_tape_reset(ebb_tape *t)
{
	if (!t)
		return;
	if (t->nopen)
		ebb_fail(t, EBB_BAD_STATE, t->open[t->nopen - 1].site,
			"scope_begin: the tape was reset while this scope was open");
	if (t->watch)
		t->watch->reset(t);
	forget(t, 0, 0, 0);
	ebb_forget_imported(&t->ctx, 0);
	ebb_arena_rewind(&t->ctx.arena, 0);
	ebb_arena_rewind(&t->ctx.names, 0);
	ebb_forget_handles(&t->ctx, 0);
	ebb_enter_scope(t, t->root);
	t->nopen = t->unopened = 0;
	t->nepochs = 0;
	ebb_enter_frame(t, NULL);
	t->trace = NULL;
	t->ntraced = 0;
	t->generation++;
	ebb_ask_later(t);
}

void ebb_tape_free(ebb_tape *t)
{
	if (!t)
		return;
	t->watch = NULL; /* an observer may have been freed before the tape */
	ebb_tape_reset(t);
	ebb_forget_rules(t);
	ebb_context_end(&t->ctx);
	ebb_scopes_free(t->root);
	ebb_free(t->nodes, (size_t)t->nodes_capacity * sizeof *t->nodes);
	ebb_free(t->grads, (size_t)t->grads_capacity * sizeof *t->grads);
	ebb_free(t->traced, (size_t)t->traced_capacity * sizeof *t->traced);
	ebb_free(t->open, (size_t)t->open_capacity * sizeof *t->open);
	ebb_free(t->epochs, (size_t)t->epochs_capacity * sizeof *t->epochs);
	ebb_free(t, sizeof *t);
}

/* ---- Marks ----------------------------------------------------------------------------------- */

/* Whether nothing was created or recorded between the two marks. */
static bool same_place(const ebb_mark *a, const ebb_mark *b)
{
	return a->arena == b->arena && a->live == b->live && a->grads == b->grads &&
	       a->imported == b->imported && a->tracked == b->tracked;
}

ebb_mark ebb_tape_mark(const ebb_tape *t)
{
	ebb_mark m = {0};
	int64_t k;

	/* Inside a frame, handles reuse older structs, so that a position in the arena does not
	 * tell older handles from younger ones.  A mark taken there is never valid. */
	if (!t || t->frame)
		return m;
	m.tape = t;
	m.nodes = t->nnodes;
	m.live = t->ctx.nlive;
	m.imported = t->ctx.nimported;
	m.grads = t->ngrads;
	m.arena = ebb_arena_mark(&t->ctx.arena);
	m.handles = ebb_arena_mark(t->ctx.handles);
	m.tracked = t->ctx.ntracked;
	m.generation = t->generation;
	m.scope = t->nopen ? t->open[t->nopen - 1].serial : 0;
	/* A mark at the start of an epoch gets the number of the epoch before, because a rewind
	 * that removes the newer epoch may leave the older one. */
	for (k = t->nepochs - 1; k >= 0 && same_place(&m, &t->epochs[k].start); k--)
		;
	m.epoch = k < 0 ? 0 : t->epochs[k].number;
	return m;
}

/* The number of epochs that are left after a rewind to m; -1 if the part of the recording in which
 * m was taken has been discarded. */
static int64_t epochs_before(const ebb_tape *t, const ebb_mark *m)
{
	int64_t k = t->nepochs;
	const ebb_mark *next;

	if (m->tape != t || m->generation != t->generation ||
		m->scope != (t->nopen ? t->open[t->nopen - 1].serial : 0))
		return -1;
	while (k > 0 && t->epochs[k - 1].number != m->epoch)
		k--;
	if (k == 0 && m->epoch != 0)
		return -1;
	if (k == t->nepochs)
		return k;
	next = &t->epochs[k].start;
	return m->arena > next->arena || m->live > next->live || m->grads > next->grads ||
	                       m->imported > next->imported || m->tracked > next->tracked
	               ? -1
	               : k;
}

static bool can_rewind_to(const ebb_tape *t, const ebb_mark *m)
{
	return epochs_before(t, m) >= 0 && !t->frame;
}

bool ebb_rewind_to(ebb_tape *t, ebb_mark m)
{
	int64_t epochs = epochs_before(t, &m);

	if (!can_rewind_to(t, &m)) {
		ebb_fail(t, EBB_BAD_STATE, NULL,
			"rewind: the mark is of a recording that was reset or rewound, of another "
			"tape or scope, or was taken or used inside a vjp");
		return false;
	}
	if (!ebb_grow(&t->epochs, &t->epochs_capacity, epochs + 1, sizeof *t->epochs)) {
		ebb_no_memory(t, NULL, "an epoch of the recording", sizeof *t->epochs);
		return false;
	}
	t->epochs[epochs] = (ebb_epoch){++t->rewinds, m};
	t->nepochs = epochs + 1;
	/* A persistent tensor's handle older than the mark may have become a leaf after the mark:
	 * its node is discarded. */
	for (int64_t i = 0; i < m.imported; i++)
		if (t->ctx.imported[i]->node >= m.nodes)
			t->ctx.imported[i]->node = -1;
	forget(t, m.nodes, m.live, m.grads);
	ebb_forget_imported(&t->ctx, m.imported);
	ebb_arena_rewind(&t->ctx.arena, m.arena);
	ebb_forget_handles(&t->ctx, m.tracked);
	return true;
}

void ebb_rewind(ebb_tape *t, ebb_mark m)
{
	bool own = t && !t->sweeps && !t->trace;

	if (own && t->watch && m.nodes == 0 && t->nnodes && can_rewind_to(t, &m))
		t->watch->reset(t);
	if (t && ebb_rewind_to(t, m) && own)
		ebb_ask_later(t);
}

/* ---- Modes ----------------------------------------------------------------------------------- */

bool ebb_set_recording(ebb_tape *t, bool on)
{
	bool was = t && t->recording;

	if (t)
		t->recording = on;
	return was;
}

bool ebb_set_training(ebb_tape *t, bool on)
{
	bool was = t && t->training;

	if (t)
		t->training = on;
	return was;
}

bool ebb_is_recording(const ebb_tape *t)
{
	return t && t->recording;
}

bool ebb_is_training(const ebb_tape *t)
{
	return t && t->training;
}

ebb_memory ebb_memory_of(const ebb_tape *t)
{
	ebb_memory m = {0};

	if (t)
		m = (ebb_memory){t->ctx.pool.reserved + t->ctx.pool.heap.reserved +
					 t->ctx.arena.reserved + t->ctx.kept.reserved +
					 t->ctx.names.reserved,
			t->ctx.pool.in_use, t->ctx.pool.peak, t->nnodes};
	return m;
}

void ebb_memory_reset_peak(ebb_tape *t)
{
	if (t)
		t->ctx.pool.peak = t->ctx.pool.in_use;
}

/* ---- Persistent tensors on this tape --------------------------------------------------------- */

ebb_tensor *ebb_import(ebb_tape *t, ebb_tensor *persistent, const char *site)
{
	ebb_tensor *x;

	if (persistent->fault && persistent->fault->status != EBB_OK) {
		ebb_fail_as(t, persistent->fault);
		return NULL;
	}
	x = ebb_imported(&t->ctx, persistent);
	if (!x && !(x = ebb_import_new(t, persistent)))
		return ebb_no_memory(t, site, "a persistent tensor's handle", sizeof *x);
	if (x->node < 0 && t->recording && (persistent->flags & EBB_F_WANTS_GRAD)) {
		ebb_node *n = ebb_push_node(t, &ebb_leaf_op, site, 0, 0);

		if (!n)
			return NULL;
		n->out = x;
		x->node = n->index;
	}
	return x;
}

ebb_tensor *ebb_usable(ebb_tape *t, ebb_tensor *x, const char *what, int k, const char *site)
{
	char text[240];

	if (!x)
		return ebb_fail(t, EBB_INVALID, site, "%s: input %d is NULL", what, k);
	if (ebb_refuses_stale(t, x, what, site))
		return NULL;
	if (x->tape != t) {
		if (x->tape)
			return ebb_fail(t, EBB_INVALID, site,
				"%s: input %d (%s) belongs to another tape", what, k,
				ebb_describe(x, text, sizeof text));
		return ebb_import(t, x, site);
	}
	if (x->flags & EBB_F_HIDDEN)
		return ebb_fail(t, EBB_BAD_STATE, site,
			"%s: the gradient reads input %d (%s) without declaring it in .reads", what,
			k, ebb_describe(x, text, sizeof text));
	if (x->flags & EBB_F_DROPPED)
		return ebb_fail(t, EBB_BAD_STATE, site, "%s: the value of input %d (%s) %s%s", what,
			k, ebb_describe(x, text, sizeof text), ebb_dropped_how(x),
			x->dropped_by ? x->dropped_by : "");
	return x;
}

/* ---- Leaves ---------------------------------------------------------------------------------- */

/* A new handle on x's memory, without x's history. */
static ebb_tensor *alias(ebb_tape *t, ebb_tensor *x, const char *what, const char *site)
{
	ebb_tensor *y;

	if (ebb_failed(t))
		return NULL;
	if (t->in_callback)
		return ebb_fail(t, EBB_BAD_STATE, site,
			"%s: an observer may not run ops on the tape it watches", what);
	if (!(x = ebb_usable(t, x, what, 0, site)))
		return NULL;
	y = ebb_handle_alias(t, x);
	if (!y)
		return ebb_no_memory(t, site, "a tensor", sizeof *y);
	ebb_note_origin(y, what, site);
	return y;
}

ebb_tensor *(ebb_detach)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return alias(t, x, "detach", site);
}

ebb_tensor *(ebb_variable)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	char text[240];
	ebb_node *n;
	ebb_tensor *y;

	if (!ebb_failed(t) && x && !ebb_is_real(x))
		return ebb_fail(t, EBB_BAD_DTYPE, site,
			"variable: only F32 and F64 are differentiated, got %s",
			ebb_describe(x, text, sizeof text));
	y = alias(t, x, "variable", site);
	if (!y || !(n = ebb_push_node(t, &ebb_leaf_op, site, 0, 0)))
		return NULL;
	y->flags = (uint16_t)((y->flags & ~(EBB_F_COMPUTED | EBB_F_TEMPORARY)) | EBB_F_LEAF);
	n->out = y;
	y->node = n->index;
	return y;
}
