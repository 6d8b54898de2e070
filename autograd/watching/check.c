/* check.c - ebb_tape_check: whether a tape's reference counts and flags agree with its handles and
 * nodes. */
#include "autograd/internal.h"

static bool handle_stands(const ebb_tensor *x, int32_t holds, ebb_error *e)
{
	int32_t expected = x->flags & EBB_F_DROPPED ? 0 : holds;
	char text[240];

	if (expected == x->holds && !(x->flags & (EBB_F_SHOWN | EBB_F_HIDDEN)) &&
		(x->flags & EBB_F_LISTED))
		return true;
	ebb_error_set(e, EBB_BAD_STATE, NULL,
		"a handle of %s has the hold count %d, expected %d, and the flags %#x",
		ebb_describe_any(x, text, sizeof text), (int)x->holds, (int)expected,
		(unsigned)x->flags);
	return false;
}

static void tally_node(ebb_tally *y, const ebb_node *n)
{
	if (n->consumed)
		return;
	for (int k = 0; k < n->nin; k++)
		if (ebb_saves_input(n, k))
			ebb_tally_saver(y, n->in[k]->storage);
	if (n->reads & EBB_OUT)
		ebb_tally_saver(y, n->out->storage);
	for (int k = 0; k < n->nsaved; k++)
		ebb_tally_saver(y, n->saved[k]->storage);
}

bool ebb_tape_check(const ebb_tape *t, ebb_error *e)
{
	ebb_tally y;
	bool ok = true;

	if (!t || t->sweeps || t->frame || t->made) {
		ebb_error_set(e, EBB_BAD_STATE, NULL, "tape_check: a sweep is in progress");
		return false;
	}
	if (!ebb_tally_begin(&y, &ebb_context_of((ebb_tape *)t)->pool)) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "tape_check: no memory for the counts");
		return false;
	}
	for (int64_t i = 0; i < t->ctx.nlive; i++) {
		ok = ok && handle_stands(t->ctx.live[i], 1, e);
		if (!(t->ctx.live[i]->flags & EBB_F_DROPPED))
			ebb_tally_reader(&y, t->ctx.live[i]->storage);
	}
	for (int64_t i = 0; i < t->ngrads; i++) {
		ok = ok && handle_stands(t->grads[i].grad, 1, e);
		if (!(t->grads[i].grad->flags & EBB_F_DROPPED))
			ebb_tally_reader(&y, t->grads[i].grad->storage);
	}
	for (int64_t i = 0; i < t->nnodes; i++)
		tally_node(&y, t->nodes[i]);
	return ebb_tally_end(&y, e) && ok;
}
