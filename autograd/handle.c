/*
 * handle.c - the structs that users hold: where they come from, and when their value goes.
 *
 * Outside debug mode handles lie in the tape's arena among its nodes, and a reset or a rewind hands
 * their memory out again.  In debug mode each lies in an arena that is never rewound, with what made
 * it beside it, and a reset or a rewind marks those it forgets as stale.
 */
#include "autograd/internal.h"
#include "kernels/environment.h"

/* ---- Debug mode ------------------------------------------------------------------------------ */

typedef struct tracked {
	ebb_tensor x; /* first: a handle of a tape in debug mode is one of these */
	const char *op, *site;
} tracked;

void ebb_start_debug(ebb_tape *t)
{
	int chosen = ebb_environment_debug();

	t->debug = chosen < 0 ? EBB_SANITIZED : chosen;
	t->handles = t->debug ? &t->kept : &t->arena;
}

static ebb_tensor *take_tracked(ebb_tape *t)
{
	tracked *k;

	if (!ebb_grow(&t->tracked, &t->tracked_capacity, t->ntracked + 1, sizeof *t->tracked))
		return NULL;
	k = ebb_arena_take(&t->kept, sizeof *k);
	if (!k)
		return NULL;
	k->op = k->site = NULL;
	t->tracked[t->ntracked++] = &k->x;
	return &k->x;
}

ebb_tensor *ebb_handle_take(ebb_tape *t)
{
	return t->debug ? take_tracked(t) : ebb_arena_take(&t->arena, sizeof(ebb_tensor));
}

void ebb_track_origin(ebb_tensor *x, const char *op, const char *site)
{
	const ebb_frame *f = x->tape->frame;
	tracked *k = (tracked *)(void *)x;

	k->op = op;
	k->site = f && f->site ? f->site : site;
}

void ebb_copy_origin(ebb_tensor *x, const ebb_tensor *from)
{
	const tracked *k = (const tracked *)(const void *)from;

	if (x->tape->debug && !from->stored)
		ebb_track_origin(x, k->op, k->site);
}

void ebb_forget_handles(ebb_tape *t, int64_t first)
{
	for (int64_t i = first; i < t->ntracked; i++) {
		ebb_tensor *x = t->tracked[i];

		x->stale = true;
		x->flags |= EBB_F_DROPPED;
		x->node = -1;
		x->storage = NULL;
		x->data = NULL;
		x->grad = NULL;
		x->name = NULL;
	}
	t->ntracked = first;
}

bool ebb_fail_stale(ebb_tape *t, const ebb_tensor *x, const char *what, const char *site)
{
	const tracked *k = (const tracked *)(const void *)x;
	char text[240];

	ebb_fail(t, EBB_BAD_STATE, site,
		"%s: %s is gone since %s was reset or rewound; it was made by %s at %s", what,
		ebb_describe_any(x, text, sizeof text), t == x->tape ? "the tape" : "its tape",
		k->op ? k->op : "a gradient", k->site ? k->site : "an unknown line");
	return true;
}

/* ---- Handles --------------------------------------------------------------------------------- */

ebb_tensor *ebb_handle_new(
	ebb_tape *t, ebb_dtype dtype, int ndim, const int64_t *shape, int64_t count)
{
	ebb_tensor *x = t->spare;

	if (!ebb_grow(&t->live, &t->live_capacity, t->nlive + 1, sizeof *t->live))
		return NULL;
	if (x)
		t->spare = x->grad;
	else if (!(x = ebb_handle_take(t)))
		return NULL;
	x->tape = t;
	x->storage = NULL;
	x->data = NULL;
	x->count = count;
	x->node = -1;
	x->flags = 0;
	x->dtype = (uint8_t)dtype;
	x->ndim = (uint8_t)ndim;
	x->holds = 0;
	x->stale = false;
	x->grad = NULL;
	x->stored = NULL;
	x->dropped_by = NULL;
	x->name = NULL;
	for (int i = 0; i < ndim; i++)
		x->shape[i] = shape[i];
	if (t->frame)
		x->flags = t->frame->create_graph ? EBB_F_SWEEP : EBB_F_SWEEP | EBB_F_TEMPORARY;
	t->live[t->nlive++] = x;
	return x;
}

void ebb_drop(ebb_tensor *x)
{
	if (x->flags & (EBB_F_DROPPED | EBB_F_ADOPTED))
		return;
	if ((x->flags & EBB_F_FORGETTABLE) &&
		x->storage->version != x->tape->nodes[x->node]->out_version)
		ebb_keep_result(x); /* overwritten: its gradients must find that out */
	x->flags |= EBB_F_DROPPED;
	if (x->storage)
		ebb_unref(x->storage);
}

void ebb_recycle(ebb_tensor *x)
{
	ebb_tape *t = x->tape;

	ebb_drop(x);
	if (t->debug)
		return;
	x->grad = t->spare;
	t->spare = x;
}

void ebb_release(ebb_tape *t, ebb_tensor *x)
{
	/* What a sweep holds, or shows to a vjp, goes when the sweep lets go of it. */
	if (!t || !x || x->tape != t || x->holds || (x->flags & EBB_F_SHOWN) || ebb_is_given(t, x))
		return;
	ebb_drop(x);
}
