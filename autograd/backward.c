/*
 * backward.c - ebb_backward: a sweep that accumulates into the gradients of leaves.
 *
 * A leaf's gradient changes only after the whole sweep has succeeded.  If a persistent tensor has
 * no gradient, the sweep uses the memory of its gradient as the accumulator, so that no copy is
 * needed.  ebb_grad_of returns the gradient only when the flag EBB_F_HAS_GRAD is set, at the end.
 * The gradient of a large weight may be a deferred outer product (tensor/product.c).
 */
#include "autograd/internal.h"

#include <string.h>

/* Allocates the gradient of a persistent tensor, in the tensor's memory order.  Its elements are
 * uninitialised, and all are written before EBB_F_HAS_GRAD is set. */
static bool make_grad(const ebb_sweep *s, ebb_tensor *persistent)
{
	ebb_error e = {0};

	persistent->grad = ebb_persistent_new(
		(ebb_dtype)persistent->dtype, ebb_shape_of(persistent), false, false, &e);
	if (!persistent->grad) {
		ebb_fail(s->t, e.status, s->site, "backward: gradient of %s: %s",
			ebb_name(persistent), e.message);
		return false;
	}
	memcpy(persistent->grad->strides, persistent->strides, sizeof persistent->strides);
	persistent->grad->flags =
		persistent->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST);
	return true;
}

ebb_tensor *ebb_accumulation_target(const ebb_sweep *s, const ebb_tensor *x)
{
	ebb_tensor *persistent = (ebb_tensor *)x->persistent;

	while (s->outer)
		s = s->outer;
	if (!s->accumulates || !persistent || (persistent->flags & EBB_F_HAS_GRAD) ||
		(!persistent->grad && !make_grad(s, persistent)))
		return NULL;
	/* The memory is in use if the gradient is the accumulator of a sweep in progress (holds is
	 * not 0), or if this tape has a handle for it: an op has read the gradient of an earlier
	 * sweep, and a node may have saved that value. */
	if (persistent->grad->holds || ebb_imported(&s->t->ctx, persistent->grad))
		return NULL;
	return persistent->grad;
}

/* The gradient of leaf n, in the memory order of the gradient that it will be added to, or of the
 * leaf.  NULL: the tape has failed. */
static ebb_tensor *arrange(ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	ebb_tensor **slot = &s->acc[n->index], *persistent = (ebb_tensor *)n->out->persistent;
	ebb_tensor *like = !persistent && ebb_accumulated(n->out) ? n->out->grad : n->out, *g;
	ebb_frame frame;

	ebb_open_frame(t, &frame, n->site, NULL, false);
	g = ebb_same_memory(*slot, like) ? *slot : ebb_linear_dense_like(t, *slot, like, s->site);
	/* A variable keeps this tensor as its gradient, which later sweeps add to in place: no
	 * other tensor may share its memory. */
	if (g && like == n->out && !persistent && !ebb_is_sole(g))
		g = ebb_linear_copy(t, g, s->site);
	if (g && g != *slot) {
		ebb_set_slot(slot, g);
	}
	ebb_close_frame(t, &frame);
	return g;
}

/* Does everything in the accumulation that can fail: brings gradients into the right memory order,
 * and allocates new gradients. */
static bool prepare_accumulation(ebb_sweep *s)
{
	ebb_tape *t = s->t;
	int64_t kept = t->ngrads;

	for (int64_t i = s->first; i <= s->last; i++) {
		ebb_node *n = t->nodes[i];
		ebb_tensor *persistent = (ebb_tensor *)n->out->persistent;

		if (!s->acc[i] || n->op != &ebb_leaf_op)
			continue;
		if (!arrange(s, n) ||
			(persistent && !persistent->grad && !make_grad(s, persistent)))
			return false;
		if (!persistent &&
			!ebb_grow(&t->grads, &t->grads_capacity, ++kept, sizeof *t->grads)) {
			ebb_no_memory(t, s->site, "a gradient", sizeof *t->grads);
			return false;
		}
	}
	return true;
}

/* g becomes the gradient of the variable x. */
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

/* Accumulates into the gradients of all leaves; cannot fail. */
static void accumulate_leaves(ebb_sweep *s)
{
	ebb_tape *t = s->t;

	for (int64_t i = s->first; i <= s->last; i++) {
		ebb_node *n = t->nodes[i];
		ebb_tensor *g = s->acc[i], *persistent, *leaf;

		if (!g || n->op != &ebb_leaf_op)
			continue;
		persistent = (ebb_tensor *)n->out->persistent;
		leaf = persistent ? persistent : n->out;
		if (persistent && g == persistent->grad) {
			persistent->flags |= EBB_F_HAS_GRAD;
		} else if (ebb_accumulated(leaf) || (persistent && persistent->grad->holds)) {
			/* With holds > 0, the gradient is the accumulator of an outer sweep, which
			 * sets EBB_F_HAS_GRAD at its end. */
			ebb_present(leaf->grad->storage);
			ebb_linear_accumulate(leaf->grad, g);
		} else if (persistent) {
			persistent->grad->storage->presence = EBB_PRESENT;
			if (g->count)
				memcpy(persistent->grad->data, g->data,
					(size_t)g->count * ebb_dtype_size((ebb_dtype)g->dtype));
			persistent->flags |= EBB_F_HAS_GRAD;
		} else {
			keep_grad(t, leaf, g);
			s->acc[i] = NULL;
		}
		leaf->grad->storage->version++;
	}
}

bool(ebb_backward)(const ebb_backward_args *a)
{
	ebb_sweep s = {.t = a->t, .site = a->site, .consume = !a->retain, .accumulates = true};
	ebb_tensor *y = a->y, *gy = a->gy;
	bool ok, watched;

	if (!ebb_sweep_check(a->t, "backward", &y, &gy, a->site))
		return false;
	watched = a->t->watch && !a->t->sweeps;
	if (watched)
		a->t->watch->backward(a->t, y);
	ok = ebb_sweep_begin(&s, 1, &y, &gy) && ebb_sweep_run(&s, false) &&
	     prepare_accumulation(&s);
	if (ok)
		accumulate_leaves(&s);
	ebb_sweep_end(&s);
	if (watched && a->t->watch)
		a->t->watch->backward_end(a->t, ok);
	return ok;
}
