/*
 * backward.c - a sweep whose gradients are deposited in variables and stored tensors.
 *
 * A stored tensor's gradient is summed where it will stay, if there is none from an earlier sweep:
 * to be there only takes a flag, which is set when the whole sweep has succeeded.  A large weight's
 * may be there as its factors (factors.c).
 */
#include "autograd/internal.h"

#include <string.h>

/* Memory for the gradient of a stored tensor, in the tensor's own order; it is written whole before
 * anybody sees it. */
static bool make_grad(const ebb_sweep *s, ebb_tensor *stored)
{
	ebb_error e = {0};

	stored->grad =
		ebb_stored_new((ebb_dtype)stored->dtype, ebb_shape_of(stored), false, false, &e);
	if (!stored->grad) {
		ebb_fail(s->t, e.status, s->site, "backward: gradient of %s: %s", ebb_name(stored),
			e.message);
		return false;
	}
	memcpy(stored->grad->strides, stored->strides, sizeof stored->strides);
	stored->grad->flags = stored->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST);
	return true;
}

ebb_tensor *ebb_deposit_place(const ebb_sweep *s, const ebb_tensor *x)
{
	ebb_tensor *stored = (ebb_tensor *)x->stored;

	while (s->outer)
		s = s->outer;
	if (!s->deposits || !stored || (stored->flags & EBB_F_HAS_GRAD) ||
		(!stored->grad && !make_grad(s, stored)))
		return NULL;
	/* Another sweep may be filling it; the recording may read what was there before. */
	if (stored->grad->holds || ebb_adopted(&s->t->ctx, stored->grad))
		return NULL;
	return stored->grad;
}

/* The gradient of leaf n in the memory order of what it will be added to, or handed out as; NULL
 * if there is no memory. */
static ebb_tensor *arrange(ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	ebb_tensor **slot = &s->acc[n->index], *stored = (ebb_tensor *)n->out->stored;
	ebb_tensor *like = !stored && ebb_deposited(n->out) ? n->out->grad : n->out, *g;
	ebb_frame frame;

	ebb_open_frame(t, &frame, n->site, NULL, false);
	g = ebb_same_memory(*slot, like) ? *slot : ebb_linear_dense_like(t, *slot, like, s->site);
	/* A variable's gradient is handed to its user: it must not be somebody else's tensor as
	 * well. */
	if (g && like == n->out && !stored && !ebb_is_sole(g))
		g = ebb_linear_copy(t, g, s->site);
	if (g && g != *slot) {
		ebb_set_slot(slot, g);
	}
	ebb_close_frame(t, &frame);
	return g;
}

/* Leaves' gradients in the leaves' memory order, and memory to put them in: all that can fail. */
static bool prepare_deposit(ebb_sweep *s)
{
	ebb_tape *t = s->t;
	int64_t kept = t->ngrads;

	for (int64_t i = s->first; i <= s->last; i++) {
		ebb_node *n = t->nodes[i];
		ebb_tensor *stored = (ebb_tensor *)n->out->stored;

		if (!s->acc[i] || n->op != &ebb_leaf_op)
			continue;
		if (!arrange(s, n) || (stored && !stored->grad && !make_grad(s, stored)))
			return false;
		if (!stored && !ebb_grow(&t->grads, &t->grads_capacity, ++kept, sizeof *t->grads)) {
			ebb_no_memory(t, s->site, "a gradient", sizeof *t->grads);
			return false;
		}
	}
	return true;
}

static void keep_grad(ebb_tape *t, ebb_tensor *x, ebb_tensor *g)
{
	if (x->grad)
		ebb_drop_value(x->grad);
	g->flags &= (uint16_t) ~(EBB_F_SWEEP | EBB_F_TEMPORARY);
	g->flags |= EBB_F_LISTED;
	x->grad = g;
	x->flags |= EBB_F_HAS_GRAD;
	t->grads[t->ngrads++] = (ebb_kept_grad){x, g};
}

static void deposit(ebb_sweep *s)
{
	ebb_tape *t = s->t;

	for (int64_t i = s->first; i <= s->last; i++) {
		ebb_node *n = t->nodes[i];
		ebb_tensor *g = s->acc[i], *stored, *leaf;

		if (!g || n->op != &ebb_leaf_op)
			continue;
		stored = (ebb_tensor *)n->out->stored;
		leaf = stored ? stored : n->out;
		if (stored && g == stored->grad) {
			stored->flags |= EBB_F_HAS_GRAD;
		} else if (ebb_deposited(leaf) || (stored && stored->grad->holds)) {
			/* An outer sweep that sums there will say so when it is done. */
			ebb_present(leaf->grad->storage);
			ebb_linear_accumulate(leaf->grad, g);
		} else if (stored) {
			stored->grad->storage->presence = EBB_PRESENT;
			if (g->count)
				memcpy(stored->grad->data, g->data,
					(size_t)g->count * ebb_dtype_size((ebb_dtype)g->dtype));
			stored->flags |= EBB_F_HAS_GRAD;
		} else {
			keep_grad(t, leaf, g);
			s->acc[i] = NULL;
		}
		leaf->grad->storage->version++;
	}
}

bool(ebb_backward)(const ebb_backward_args *a)
{
	ebb_sweep s = {.t = a->t, .site = a->site, .consume = !a->retain, .deposits = true};
	ebb_tensor *y = a->y, *gy = a->gy;
	bool ok;

	if (!ebb_sweep_check(a->t, "backward", &y, &gy, a->site))
		return false;
	ok = ebb_sweep_begin(&s, 1, &y, &gy) && ebb_sweep_run(&s, false) && prepare_deposit(&s);
	if (ok)
		deposit(&s);
	ebb_sweep_end(&s);
	return ok;
}
