/*
 * view.c - what a vjp sees of its node.
 *
 * What it did not declare to read is a shadow: shape but no data.  What it did declare, it can
 * read though its user has dropped it.
 */
#include "autograd/internal.h"

static ebb_tensor *show(ebb_tensor *x, bool declared, bool hold, ebb_shown *s)
{
	s->x = x;
	s->held = NULL;
	s->was_dropped = false;
	if (!x)
		return NULL;
	if (!declared) {
		s->shadow = *x;
		s->shadow.flags |= EBB_F_HIDDEN;
		s->shadow.data = NULL;
		return &s->shadow;
	}
	/* A sweep inside the vjp may let go of it. */
	if (hold) {
		s->held = x->storage;
		ebb_ref(s->held);
	}
	s->was_dropped = x->flags & EBB_F_DROPPED;
	if (s->was_dropped)
		x->flags = (uint16_t)((x->flags & ~EBB_F_DROPPED) | EBB_F_SHOWN);
	return x;
}

static void put_back(const ebb_shown *s)
{
	if (s->was_dropped)
		s->x->flags = (uint16_t)((s->x->flags & ~EBB_F_SHOWN) | EBB_F_DROPPED);
	if (s->held)
		ebb_unref(s->held);
}

bool ebb_open_view(ebb_node *n, ebb_view *w, ebb_vjp *v, bool remakes)
{
	w->memory = NULL;
	w->inputs = w->few;
	w->in = w->few_in;
	if (n->nin > EBB_MAX_READS) {
		size_t bytes = (size_t)n->nin * (sizeof *w->inputs + sizeof *w->in);

		w->memory = ebb_pool_take(v->t, bytes);
		if (!w->memory) {
			ebb_no_memory(v->t, NULL, "a view of the inputs", bytes);
			return false;
		}
		w->inputs = ebb_storage_data(w->memory);
		w->in = (ebb_tensor **)(void *)(w->inputs + n->nin);
	}
	v->out = show(n->out, remakes || (n->reads & EBB_OUT), n->forgets, &w->out);
	for (int k = 0; k < n->nsaved; k++)
		show(n->saved[k], true, false, &w->saved[k]);
	for (int k = 0; k < n->nin; k++)
		w->in[k] = show(n->in[k], n->in[k] && ebb_reads(n, k), n->in[k] && !ebb_holds(n, k),
			&w->inputs[k]);
	v->in = w->in;
	return true;
}

void ebb_close_view(const ebb_node *n, const ebb_view *w)
{
	put_back(&w->out);
	for (int k = 0; k < n->nsaved; k++)
		put_back(&w->saved[k]);
	for (int k = 0; k < n->nin; k++)
		put_back(&w->inputs[k]);
	if (w->memory)
		ebb_unref(w->memory);
}
