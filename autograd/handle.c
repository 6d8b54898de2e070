/*
 * handle.c - the structs that users hold: where they come from, and when their value goes.
 *
 * Outside debug mode handles lie in the tape's arena among its nodes, and a reset or a rewind hands
 * their memory out again.  In debug mode each lies in an arena that is never rewound, with what made
 * it beside it, and a reset or a rewind marks those it forgets as stale.
 */
#include "autograd/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- Debug mode ------------------------------------------------------------------------------ */

typedef struct tracked {
	ebb_tensor x; /* first: a handle of a tape in debug mode is one of these */
	const char *op, *site;
} tracked;

void ebb_start_debug(ebb_tape *t)
{
	const char *chosen = getenv("EBB_DEBUG");

	t->debug = chosen && *chosen ? strcmp(chosen, "1") == 0 : EBB_SANITIZED;
	t->handles = t->debug ? &t->kept : &t->arena;
}

ebb_tensor *ebb_handle_take(ebb_tape *t)
{
	tracked *k;

	if (!t->debug)
		return ebb_arena_take(&t->arena, sizeof(ebb_tensor));
	k = ebb_arena_take(&t->kept, sizeof *k);
	if (!k)
		return NULL;
	k->op = k->site = NULL;
	return &k->x;
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

static void make_stale(void *p)
{
	tracked *k = p;

	k->x.stale = true;
	k->x.flags |= EBB_F_DROPPED;
	k->x.node = -1;
	k->x.storage = NULL;
	k->x.data = NULL;
	k->x.grad = NULL;
	k->x.name = NULL;
}

void ebb_forget_handles(ebb_tape *t, uint64_t from)
{
	if (t->debug)
		ebb_arena_each(&t->kept, from, sizeof(tracked), make_stale);
}

bool ebb_fail_stale(const ebb_tensor *x, const char *what, const char *site)
{
	const tracked *k = (const tracked *)(const void *)x;
	char text[240];

	ebb_fail(x->tape, EBB_BAD_STATE, site,
		"%s: %s is gone since the tape was reset or rewound; it was made by %s at %s", what,
		ebb_describe_any(x, text, sizeof text), k->op ? k->op : "a gradient",
		k->site ? k->site : "an unknown line");
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
