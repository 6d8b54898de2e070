/*
 * recompute.c - results that are freed in the forward pass and recomputed in the sweep.
 *
 * A node of an op with .recompute is the maker of its result's storage.  When no handle can read
 * the result any more, its memory is freed, although savers (nodes whose gradients read it)
 * remain: the value is absent.  Before the sweep runs the vjp of a saver, the maker recomputes
 * the value.  The sweep is then a reader of the value until it has passed the maker, which is
 * older than all savers.
 *
 * While a maker exists, the values that its recomputation reads are in memory (save_inputs calls
 * ebb_keep), so that one recomputation never needs another.
 */
#include "autograd/internal.h"

/* Whether n is still the maker of its result's storage; ebb_keep and ebb_overwrite end this
 * role. */
static bool is_maker(const ebb_node *n)
{
	return n->makes && n->out->storage->of.maker == n;
}

/* The sweep is no longer a reader of the recomputed value s. */
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
		ebb_no_memory(t, n->site, "a recomputed result", s->bytes);
		return false;
	}
	ebb_ref(s);
	s->made = true;
	s->next = t->made;
	t->made = s;
	for (int k = 0; k < n->nin; k++)
		assert(!ebb_reads(n, k) || n->in[k]->storage->presence != EBB_ABSENT);
	if (ebb_open_view(n, &w, &v, true)) {
		t->ctx.flushed = n->flushed;
		n->op->recompute(&v);
		t->ctx.flushed = flushed;
		/* .recompute may have called ebb_data_mutable, which increments the version and
		 * ends the role of the maker.  Neither is meant, because the value is the same. */
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
	/* A consumed node cannot recompute its result.  So if the sweep consumes n and the result
	 * has other savers, the result must be in memory before. */
	if (is_maker(n) && ((n->reads & EBB_OUT) || (s->consume && n->out->storage->savers)))
		return ebb_present(n->out->storage);
	return true;
}
