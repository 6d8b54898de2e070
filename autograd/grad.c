/* grad.c - ebb_grad: a sweep that returns gradients to its caller. */
#include "autograd/internal.h"

#include <string.h>

/* Fills s->needed for the nodes up to last, and sets s->first to the oldest target. */
static bool mark_needed(ebb_sweep *s, int64_t last, int n, ebb_tensor **targets)
{
	ebb_tape *t = s->t;
	uint8_t *needed;

	s->needed_memory = ebb_pool_take(&t->ctx.pool, (size_t)last + 1);
	if (!s->needed_memory) {
		ebb_no_memory(t, s->site, "the sweep's marks", (size_t)last + 1);
		return false;
	}
	s->needed = needed = ebb_storage_data(s->needed_memory);
	memset(needed, 0, (size_t)last + 1);
	s->first = last + 1;
	for (int i = 0; i < n; i++)
		if (targets[i] && targets[i]->node >= 0 && targets[i]->node <= last) {
			needed[targets[i]->node] = 3;
			if (targets[i]->node < s->first)
				s->first = targets[i]->node;
		}
	for (int64_t i = s->first; i <= last; i++) {
		const ebb_node *node = t->nodes[i];

		for (int k = 0; !needed[i] && k < node->nin; k++)
			if (node->in[k] && node->in[k]->node >= s->first && node->in[k]->node < i &&
				needed[node->in[k]->node])
				needed[i] = 1;
	}
	return true;
}

/* Puts g, which ebb_close_frame has removed, back in the list of live handles. */
static void list_again(ebb_tape *t, ebb_tensor *g)
{
	g->flags |= EBB_F_LISTED;
	ebb_hold(g);
	t->ctx.live[t->ctx.nlive++] = g;
}

/* The gradient of the target x, for the caller of ebb_grad: the accumulator's tensor if nothing
 * else uses its memory, else a copy; zeros if the sweep has not reached x. */
static ebb_tensor *result(ebb_sweep *s, ebb_tensor *x)
{
	ebb_tape *t = s->t;
	bool recording = t->recording;
	ebb_tensor *g = x->node >= s->first && x->node <= s->last ? s->acc[x->node] : NULL,
		   *mine = g;

	t->recording = s->create_graph;
	if (!g)
		mine = ebb_linear_full_like(t, x, 0.0, s->site);
	else if (!s->create_graph && !ebb_same_memory(g, x) && (x->flags & EBB_F_DENSE))
		mine = ebb_linear_dense_like(t, g, x, s->site);
	else if (s->create_graph ? !(g->flags & EBB_F_SWEEP) || g->holds > 2 : !ebb_is_sole(g))
		mine = ebb_linear_copy(t, g, s->site);
	t->recording = recording;
	if (mine && mine == g && !s->create_graph &&
		ebb_grow(
			&t->ctx.live, &t->ctx.live_capacity, t->ctx.nlive + 1, sizeof *t->ctx.live))
		list_again(t, g);
	else if (mine == g && g && !s->create_graph)
		return ebb_no_memory(t, s->site, "a gradient", sizeof g);
	if (mine && mine == g)
		g->flags &= (uint16_t) ~(EBB_F_SWEEP | EBB_F_TEMPORARY);
	return mine;
}

/* Checks the tensors to differentiate by; targets[i] is x[i], or the tape's handle for a persistent
 * x[i]. */
static bool find_targets(const ebb_grad_args *a, const char *what, ebb_tensor **targets)
{
	ebb_tape *t = a->t;

	for (int i = 0; i < a->n; i++) {
		ebb_tensor *x = a->x[i];

		if (ebb_refuses_stale(t, x, what, a->site))
			return false;
		if (x && !x->tape)
			x = ebb_import(t, x, a->site);
		else if (!x || x->tape != t)
			x = ebb_usable(t, x, what, i, a->site);
		if (!x)
			return false;
		if (x->node < 0) {
			ebb_fail(t, EBB_INVALID, a->site, "%s: x[%d] does not require a gradient",
				what, i);
			return false;
		}
		targets[i] = x;
	}
	return true;
}

static bool sweep_to(const ebb_grad_args *a, int ny, ebb_tensor *const *y, ebb_tensor *const *gy,
	ebb_tensor **targets)
{
	ebb_sweep s = {.t = a->t, .site = a->site, .create_graph = a->create_graph};
	int64_t last = 0;
	bool ok;

	for (int i = 0; i < ny; i++)
		last = y[i]->node > last ? y[i]->node : last;
	ok = mark_needed(&s, last, a->n, targets);
	if (ok) {
		ok = ebb_sweep_begin(&s, ny, y, gy) && ebb_sweep_run(&s, true);
		for (int i = 0; ok && i < a->n; i++) {
			a->gx[i] = result(&s, targets[i]);
			ok = a->gx[i] != NULL;
		}
	}
	ebb_sweep_end(&s);
	return ok;
}

bool ebb_grad_of_sum(const ebb_grad_args *a, const char *what, int ny, ebb_tensor *const *y,
	ebb_tensor *const *gy)
{
	ebb_storage *memory;
	ebb_tensor **targets, **starts;
	size_t bytes = (size_t)(a->n + 2 * ny) * sizeof *targets;
	bool ok = true;

	memory = ebb_pool_take(&a->t->ctx.pool, bytes);
	if (!memory) {
		ebb_no_memory(a->t, a->site, "the targets", bytes);
		return false;
	}
	targets = ebb_storage_data(memory);
	starts = targets + a->n;
	ok = find_targets(a, what, targets);
	for (int i = 0; ok && i < ny; i++) {
		starts[i] = y[i];
		starts[ny + i] = gy[i];
		ok = ebb_sweep_check(a->t, what, &starts[i], &starts[ny + i], a->site);
	}
	ok = ok && sweep_to(a, ny, starts, starts + ny, targets);
	ebb_unref(memory);
	for (int i = 0; !ok && i < a->n; i++)
		a->gx[i] = NULL;
	return ok;
}

bool(ebb_grad)(const ebb_grad_args *a)
{
	for (int i = 0; i < a->n && a->gx; i++)
		a->gx[i] = NULL;
	if (ebb_failed(a->t))
		return false;
	if (a->n < 1 || !a->x || !a->gx) {
		ebb_fail(a->t, EBB_INVALID, a->site,
			"grad: n is %d, x %s, gx %s; expected n >= 1 and two arrays", a->n,
			a->x ? "given" : "NULL", a->gx ? "given" : "NULL");
		return false;
	}
	return ebb_grad_of_sum(a, "grad", 1, &a->y, &a->gy);
}
