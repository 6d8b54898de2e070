/*
 * handle.c - handles, the ebb_tensor structs that users hold: where they are allocated, and when
 * their value is dropped.
 *
 * Without debug mode, handles lie in the tape's arena beside its nodes, and their memory is reused
 * after a reset or a rewind.  In debug mode, each handle lies in an arena that is never rewound,
 * followed by the op and the line that created it; a reset or a rewind marks the discarded handles
 * as stale.
 */
#include <string.h>

#include "tensor/internal.h"
#include "kernels/environment.h"

/* ---- Debug mode ------------------------------------------------------------------------------ */

typedef struct tracked {
	ebb_tensor x; /* must be first: in debug mode, a handle is cast to this struct */
	const char *op, *site;
} tracked;

void ebb_start_debug(ebb_context *c)
{
	int chosen = ebb_environment_debug();

	c->debug = chosen < 0 ? EBB_SANITIZED : chosen;
	c->handles = c->debug ? &c->kept : &c->arena;
}

static ebb_tensor *take_tracked(ebb_context *c)
{
	tracked *k;

	if (!ebb_grow(&c->tracked, &c->tracked_capacity, c->ntracked + 1, sizeof *c->tracked))
		return NULL;
	k = ebb_arena_take(&c->kept, sizeof *k);
	if (!k)
		return NULL;
	k->op = k->site = NULL;
	c->tracked[c->ntracked++] = &k->x;
	return &k->x;
}

ebb_tensor *ebb_handle_take(ebb_context *c)
{
	return c->debug ? take_tracked(c) : ebb_arena_take(&c->arena, sizeof(ebb_tensor));
}

void ebb_track_origin(ebb_tensor *x, const char *op, const char *site)
{
	const ebb_place *at = ebb_context_of(x->tape)->place;
	tracked *k = (tracked *)(void *)x;

	k->op = op;
	k->site = at && at->site ? at->site : site;
}

void ebb_copy_origin(ebb_tensor *x, const ebb_tensor *from)
{
	const tracked *k = (const tracked *)(const void *)from;

	if (ebb_context_of(x->tape)->debug && !from->persistent)
		ebb_track_origin(x, k->op, k->site);
}

void ebb_forget_handles(ebb_context *c, int64_t first)
{
	for (int64_t i = first; i < c->ntracked; i++) {
		ebb_tensor *x = c->tracked[i];

		x->stale = true;
		x->flags |= EBB_F_DROPPED;
		x->node = -1;
		x->storage = NULL;
		x->data = NULL;
		x->grad = NULL;
		x->name = NULL;
	}
	c->ntracked = first;
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
	ebb_context *c = ebb_context_of(t);
	ebb_tensor *x = c->spare;

	if (!ebb_grow(&c->live, &c->live_capacity, c->nlive + 1, sizeof *c->live))
		return NULL;
	if (x)
		c->spare = x->grad;
	else if (!(x = ebb_handle_take(c)))
		return NULL;
	x->tape = t;
	x->storage = NULL;
	x->data = NULL;
	x->offset = 0;
	x->count = count;
	x->node = -1;
	x->flags = EBB_F_LISTED | c->born;
	x->dtype = (uint8_t)dtype;
	x->ndim = (uint8_t)ndim;
	x->holds = 1;
	x->stale = false;
	x->part = 0;
	x->grad = NULL;
	x->persistent = NULL;
	x->dropped_by = NULL;
	x->name = NULL;
	for (int i = 0; i < ndim; i++)
		x->shape[i] = shape[i];
	c->live[c->nlive++] = x;
	return x;
}

ebb_tensor *ebb_handle_alias(ebb_tape *t, const ebb_tensor *x)
{
	ebb_tensor *y = ebb_handle_new(t, (ebb_dtype)x->dtype, x->ndim, x->shape, x->count);

	if (!y)
		return NULL;
	memcpy(y->strides, x->strides, sizeof y->strides);
	y->flags |= x->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST | EBB_F_COMPUTED);
	y->storage = x->storage;
	y->offset = x->offset;
	y->data = x->data;
	ebb_ref(y->storage);
	return y;
}

void ebb_drop_value(ebb_tensor *x)
{
	if (x->flags & (EBB_F_DROPPED | EBB_F_IMPORTED))
		return;
	x->flags |= EBB_F_DROPPED;
	x->holds = 0;
	if (x->storage)
		ebb_unref(x->storage);
}

void ebb_recycle(ebb_tensor *x)
{
	ebb_context *c = ebb_context_of(x->tape);

	assert((x->flags & EBB_F_TEMPORARY) && (x->flags & EBB_F_DROPPED));
	if (c->debug)
		return;
	x->grad = c->spare;
	c->spare = x;
}

void ebb_last_hold_left(ebb_tensor *x)
{
	assert(!(x->flags & (EBB_F_LISTED | EBB_F_DROPPED)));
	if (x->flags & EBB_F_IMPORTED)
		return;
	x->flags |= EBB_F_DROPPED;
	if (x->storage)
		ebb_unref(x->storage);
	if (x->flags & EBB_F_TEMPORARY)
		ebb_recycle(x);
}
