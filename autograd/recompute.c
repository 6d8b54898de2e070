/*
 * recompute.c - results whose memory goes before the gradients that read them, and which their
 * nodes make again.
 *
 * A node of an op with .recompute is the maker of its result's storage: the memory goes when
 * nobody may read the value any more, and the savers of the storage wait.  The sweep, when it
 * comes to one of them, has the value made again, and reads it until the sweep has passed the
 * maker.  What is made again reads only what is in memory: a maker keeps the values that it
 * reads, so that one is never made from another.
 */
#include "autograd/internal.h"

/* Whether n could make its result again, if it is gone. */
static bool is_maker(const ebb_node *n)
{
	return n->makes && n->out->storage->of.maker == n;
}

static void unread(ebb_tape *t, ebb_storage *s)
{
	ebb_storage **at = &t->made;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->made = false;
	ebb_unref(s);
}

void ebb_unread_result(ebb_node *n)
{
	if (is_maker(n) && n->out->storage->made)
		unread(n->out->tape, n->out->storage);
}

void ebb_unread_results(ebb_tape *t)
{
	while (t->made)
		unread(t, t->made);
}

void ebb_end_making(ebb_node *n)
{
	ebb_storage *s = n->out->storage;

	if (!is_maker(n))
		return;
	ebb_keep(s);
	if (s->made)
		unread(n->out->tape, s);
}

bool ebb_make_again(ebb_storage *s)
{
	ebb_node *n = s->of.maker;
	ebb_tape *t = n->out->tape;
	ebb_vjp v = {.visit = NULL};
	ebb_view w;
	uint8_t flushed = t->ctx.flushed;

	if (!ebb_saved_values_stand(t, n, n->site))
		return false;
	if (!ebb_storage_refill(s)) {
		ebb_no_memory(t, n->site, "a result that is made again", s->bytes);
		return false;
	}
	ebb_ref(s);
	s->made = true;
	s->next = t->made;
	t->made = s;
	if (ebb_open_view(n, &w, &v, true)) {
		t->ctx.flushed = n->flushed;
		n->op->recompute(&v);
		t->ctx.flushed = flushed;
		/* It may have written through ebb_data_mutable: still the same value. */
		s->version = n->out_version;
		s->of.maker = n;
		ebb_close_view(n, &w);
	}
	if (!ebb_has_failed(t))
		return true;
	unread(t, s);
	return false;
}

bool ebb_make_readable(const ebb_sweep *s, ebb_node *n)
{
	for (int k = 0; k < n->nin; k++)
		if (ebb_reads(n, k) && !ebb_present(n->in[k]->storage))
			return false;
	/* Other savers than n still find it when n is consumed. */
	if (is_maker(n) && ((n->reads & EBB_OUT) || (s->consume && n->out->storage->savers)))
		return ebb_present(n->out->storage);
	return true;
}
