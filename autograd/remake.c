/*
 * remake.c - results that the tape forgets and makes again for the gradients that read them.
 *
 * A node of an op with .remake does not keep its result, and neither do the nodes that read it: they
 * depend on its node.  The memory goes when nobody may read the handle any more; the sweep, when it
 * comes to a gradient that reads it, has it made again, and it stays until the sweep has passed the
 * node that made it.  What is made again reads only what is truly kept: a node that may forget its
 * result has those that it reads kept, so that one is never made from another.
 */
#include "autograd/internal.h"

static ebb_node *maker_of(const ebb_tensor *x)
{
	return x->tape->nodes[x->node];
}

static bool may_be_forgotten(const ebb_node *n)
{
	return n->out->flags & EBB_F_FORGETTABLE;
}

bool ebb_is_in_memory(const ebb_tensor *x)
{
	return !(x->flags & EBB_F_DROPPED) || maker_of(x)->result;
}

void ebb_keep_result(ebb_tensor *x)
{
	ebb_node *n = maker_of(x);

	x->flags &= (uint16_t)~EBB_F_FORGETTABLE;
	if (!n->result) {
		n->result = x->storage;
		ebb_ref(n->result);
	}
}

bool ebb_depend(ebb_node *n, int k)
{
	ebb_tensor *x = n->in[k];

	if (k >= 30 || !(x->flags & EBB_F_FORGETTABLE))
		return false;
	/* Overwritten since, it could not be made again as it is now. */
	if (n->forgets || n->holds_inputs || x->storage->version != maker_of(x)->out_version) {
		ebb_keep_result(x);
		return false;
	}
	n->depends |= EBB_IN(k);
	maker_of(x)->dependents++;
	return true;
}

static void let_result_go(ebb_node *n)
{
	ebb_node **at = &n->out->tape->remade;

	while (*at && *at != n)
		at = &(*at)->next_remade;
	if (*at)
		*at = n->next_remade;
	ebb_unref(n->result);
	n->result = NULL;
}

void ebb_forget_result(ebb_node *n)
{
	if (n->result && may_be_forgotten(n))
		let_result_go(n);
}

void ebb_forget_results(ebb_tape *t)
{
	for (ebb_node *n = t->remade, *next; n; n = next) {
		next = n->next_remade;
		ebb_forget_result(n);
	}
}

void ebb_end_dependence(ebb_node *n)
{
	/* It cannot be made again any more: as long as somebody depends on it, it stays. */
	if (n->forgets && n->dependents && !n->result && ebb_is_in_memory(n->out))
		ebb_keep_result(n->out);
	n->out->flags &= (uint16_t)~EBB_F_FORGETTABLE;
	if (n->result && !n->dependents)
		let_result_go(n);
	for (int k = 0; n->depends >> k; k++) {
		ebb_node *maker;

		if (!(n->depends & EBB_IN(k)))
			continue;
		maker = maker_of(n->in[k]);
		if (--maker->dependents == 0 && maker->consumed && maker->result)
			let_result_go(maker);
	}
}

/* False: it cannot be made again, and the tape has failed. */
static bool make_again(const ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	ebb_tensor *y = n->out;
	size_t bytes = (size_t)y->count * ebb_dtype_size((ebb_dtype)y->dtype);
	ebb_vjp v = {.t = t,
		.in = n->in,
		.nin = n->nin,
		.attrs = n->attrs,
		.saved = n->saved,
		.nsaved = n->nsaved,
		.node = n};
	ebb_view w;
	uint8_t flushed = t->flushed;

	if (!ebb_saved_values_stand(s, n))
		return false;
	n->result = ebb_pool_take(t, bytes);
	if (!n->result) {
		ebb_no_memory(t, n->site, "a result that is made again", bytes);
		return false;
	}
	n->next_remade = t->remade;
	t->remade = n;
	y->storage = n->result;
	y->data = ebb_storage_data(n->result);
	if (!ebb_open_view(n, &w, &v, true))
		return false;
	t->flushed = n->flushed;
	n->op->remake(&v);
	t->flushed = flushed;
	ebb_close_view(n, &w);
	n->result->version = n->out_version;
	return !ebb_failed(t);
}

bool ebb_remake_for(const ebb_sweep *s, ebb_node *n)
{
	for (int k = 0; n->depends >> k; k++)
		if ((n->depends & EBB_IN(k)) && !ebb_is_in_memory(n->in[k]) &&
			!make_again(s, maker_of(n->in[k])))
			return false;
	/* Whoever still depends on it when n is consumed finds it. */
	if (!n->forgets || !((n->reads & EBB_OUT) || (s->consume && n->dependents)))
		return true;
	return ebb_is_in_memory(n->out) || make_again(s, n);
}
