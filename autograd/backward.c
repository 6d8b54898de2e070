/* backward.c - a sweep whose gradients are deposited in variables and stored tensors. */
#include "autograd/internal.h"

#include <string.h>

/* Made by this sweep, and held by nobody else (nobody counts who holds a stored tensor's
 * memory). */
bool ebb_is_alone(const ebb_tensor *g)
{
	return (g->flags & EBB_F_TEMPORARY) && g->holds <= 1 && g->storage->refs == 1 &&
	       g->storage->tape;
}

/* The gradient of leaf n in the memory order of what it will be added to, or handed out as; NULL
 * if there is no memory. */
static ebb_tensor *arrange(ebb_sweep *s, ebb_node *n)
{
	ebb_tape *t = s->t;
	ebb_tensor **slot = &s->acc[n->index], *stored = (ebb_tensor *)n->out->stored;
	ebb_tensor *like = !stored && ebb_grad_of(n->out) ? n->out->grad : n->out, *g;
	ebb_frame frame;

	ebb_open_frame(t, &frame, n->site, NULL, false);
	g = ebb_same_memory(*slot, like) ? *slot : ebb_arith_dense_like(t, *slot, like, s->site);
	/* A variable's gradient is handed to its user: it must not be somebody else's tensor as
	 * well. */
	if (g && like == n->out && !stored && !ebb_is_alone(g))
		g = ebb_arith_copy(t, g, s->site);
	if (g && g != *slot) {
		ebb_let_go(slot);
		ebb_hold(slot, g);
	}
	ebb_close_frame(t, &frame);
	return g;
}

/* ---- The memory of stored tensors' gradients ---------------------------------------------------
 *
 * From its zeroing to the next deposit a large gradient's memory is of no use to the store: the sweep
 * has it, and what the sweep makes moves to the store as it is.  Small ones are copied. */

enum { LARGE = 1 << 20 }; /* bytes */

static ebb_tensor *stored_leaf(const ebb_node *n)
{
	return n->op == &ebb_leaf_op ? (ebb_tensor *)n->out->stored : NULL;
}

static void lend_grads(ebb_sweep *s)
{
	for (int64_t i = s->first; i <= s->last; i++) {
		const ebb_tensor *stored = stored_leaf(s->t->nodes[i]);
		ebb_tensor *g = stored ? stored->grad : NULL;

		if (!g || ebb_grad_of(stored) || !(g->flags & EBB_F_MOVES) || !g->storage ||
			!ebb_is_pooled_block(g->storage))
			continue;
		ebb_pool_join(s->t, g->storage);
		g->storage = NULL;
		g->data = NULL;
		g->flags |= EBB_F_DROPPED;
	}
}

/* Whether the sweep's g can be the memory of a gradient that has none. */
static bool can_move(const ebb_tensor *g, const ebb_tensor *grad)
{
	return !grad->storage && ebb_is_alone(g) && ebb_is_pooled_block(g->storage) &&
	       g->storage->bytes >= LARGE && g->data == ebb_storage_data(g->storage);
}

static void move(ebb_tape *t, ebb_tensor *g, ebb_tensor *grad)
{
	ebb_pool_part_with(t, g->storage);
	grad->storage = g->storage;
	grad->data = g->data;
	grad->flags &= (uint16_t)~EBB_F_DROPPED;
	g->flags |= EBB_F_DROPPED;
}

/* A gradient in the stored tensor's order, with memory unless g is to move there. */
static bool make_grad(ebb_sweep *s, ebb_tensor *stored, const ebb_tensor *g)
{
	size_t bytes = (size_t)stored->count * ebb_dtype_size((ebb_dtype)stored->dtype);

	if (!stored->grad) {
		ebb_tensor *grad = ebb_alloc(sizeof *grad);

		if (!grad) {
			ebb_no_memory(s->t, s->site, "a gradient", sizeof *grad);
			return false;
		}
		*grad = *stored;
		grad->storage = NULL;
		grad->data = NULL;
		grad->grad = NULL;
		grad->name = NULL;
		grad->flags = (stored->flags & (EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST)) |
		              EBB_F_MOVES | EBB_F_DROPPED;
		stored->grad = grad;
	}
	if (stored->grad->storage || can_move(g, stored->grad))
		return true;
	stored->grad->storage = ebb_storage_new(bytes);
	if (!stored->grad->storage) {
		ebb_no_memory(s->t, s->site, "a gradient", bytes);
		return false;
	}
	stored->grad->data = ebb_storage_data(stored->grad->storage);
	stored->grad->flags &= (uint16_t)~EBB_F_DROPPED;
	return true;
}

/* ---- The deposit ----------------------------------------------------------------------------- */

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
		if (!arrange(s, n) || (stored && !make_grad(s, stored, s->acc[i])))
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
		ebb_drop(x->grad);
	g->flags &= (uint16_t) ~(EBB_F_SWEEP | EBB_F_TEMPORARY | EBB_F_SETTLED);
	g->holds = 0;
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
		if (ebb_grad_of(leaf)) {
			ebb_arith_accumulate(leaf->grad, g);
		} else if (stored) {
			if (!stored->grad->storage)
				move(t, g, stored->grad);
			else if (g->count)
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
	ebb_sweep s = {.t = a->t, .site = a->site, .consume = !a->retain};
	ebb_tensor *y = a->y, *gy = a->gy;
	bool ok;

	if (!ebb_sweep_check(a->t, "backward", &y, &gy, a->site))
		return false;
	ok = ebb_sweep_begin(&s, 1, &y, &gy);
	if (ok) {
		lend_grads(&s);
		ok = ebb_sweep_run(&s, false) && prepare_deposit(&s);
	}
	if (ok)
		deposit(&s);
	ebb_sweep_end(&s);
	return ok;
}
