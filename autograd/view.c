/*
 * view.c - the tensors of a node as its vjp sees them.
 *
 * In place of a tensor that the op does not declare in .reads, the vjp gets a shadow: a copy of the
 * struct without data.  A tensor that the op declares can be read even if its user has dropped it.
 */
#include "autograd/internal.h"

static ebb_tensor *show(ebb_tensor *x, bool declared, ebb_shown *s)
{
	s->x = x;
	s->read = NULL;
	s->was_dropped = false;
	if (!x)
		return NULL;
	if (!declared) {
		s->shadow = *x;
		s->shadow.flags |= EBB_F_HIDDEN;
		s->shadow.data = NULL;
		return &s->shadow;
	}
	/* A recomputed value may lie in other memory than before. */
	if (x->storage->pool)
		x->data = x->storage->data + x->offset;
	/* A sweep inside the vjp may pass the maker and release the recomputed value: as a reader,
	 * the view keeps the value in memory. */
	if (x->storage->pool && x->storage->of.maker) {
		s->read = x->storage;
		ebb_ref(s->read);
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
	if (s->read)
		ebb_unref(s->read);
}

bool ebb_open_view(ebb_node *n, ebb_view *w, ebb_vjp *v, bool recomputes)
{
	v->t = n->out->tape;
	v->nin = n->nin;
	v->nsaved = n->nsaved;
	v->attrs = n->attrs;
	v->saved = n->saved;
	v->node = n;
	w->memory = NULL;
	w->inputs = w->few;
	w->in = w->few_in;
	w->wanted = w->few_wanted;
	if (n->nin > EBB_MAX_READS) {
		size_t bytes =
			(size_t)n->nin * (sizeof *w->inputs + sizeof *w->in + sizeof *w->wanted);

		w->memory = ebb_pool_take(&v->t->ctx.pool, bytes);
		if (!w->memory) {
			ebb_no_memory(v->t, NULL, "a view of the inputs", bytes);
			return false;
		}
		w->inputs = ebb_storage_data(w->memory);
		w->in = (ebb_tensor **)(void *)(w->inputs + n->nin);
		w->wanted = (bool *)(void *)(w->in + n->nin);
	}
	v->out = show(n->out, recomputes || (n->reads & EBB_OUT), &w->out);
	for (int k = 0; k < n->nsaved; k++)
		show(n->saved[k], true, &w->saved[k]);
	for (int k = 0; k < n->nin; k++)
		w->in[k] = show(n->in[k], n->in[k] && ebb_reads(n, k), &w->inputs[k]);
	for (int k = 0; recomputes && k < n->nin; k++)
		w->wanted[k] = false;
	v->in = w->in;
	v->wanted = w->wanted;
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
