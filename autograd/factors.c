/*
 * factors.c - gradients of large fully connected weights, kept as their factors.
 *
 * The gradient's own memory is there from the start, so that computing it later cannot fail; what
 * nobody has written to takes addresses alone.  It is computed by the call that would have computed
 * it at once, when an observer, a second contribution or its user wants the values.  Its user may
 * keep what he got, or its address, or make views of it: after that nothing is put off any more (and
 * the memory has been written to).
 */
#include "autograd/internal.h"

#include <string.h>

#include "kernels/kernels.h"

bool ebb_keep_factors = true;

/* Below this many elements the product costs nothing; and so many times smaller factors must be. */
enum { LARGE = 1 << 20, SMALLER = 8 };

bool ebb_is_outer(int64_t rows, int64_t out, int64_t in)
{
	return rows >= 1 && rows <= EBB_OUTER_TERMS && out >= 1 && out * in >= LARGE &&
	       rows * (out + in) <= out * in / SMALLER;
}

/* A copy of both, gy first, x at the next multiple of EBB_ALIGN. */
typedef struct kept {
	int64_t rows;
	bool flush; /* how the tape that gave them treats subnormal numbers */
} kept;

static size_t up(size_t bytes)
{
	return (bytes + EBB_ALIGN - 1) / EBB_ALIGN * EBB_ALIGN;
}

static ebb_factors factors_in(const ebb_tensor *g)
{
	char *memory = ebb_storage_data(g->factors);
	int64_t rows = ((const kept *)(const void *)memory)->rows;
	size_t size = ebb_dtype_size((ebb_dtype)g->dtype);

	return (ebb_factors){rows, memory + EBB_ALIGN,
		memory + EBB_ALIGN + up((size_t)(rows * g->shape[0]) * size)};
}

const ebb_tensor *ebb_grad_or_factors(const ebb_tensor *x, ebb_factors *f)
{
	const ebb_tensor *g = ebb_deposited(x);

	*f = g && (g->flags & EBB_F_FACTORED) ? factors_in(g) : (ebb_factors){0};
	return g;
}

void ebb_compute_product(ebb_tensor *g)
{
	ebb_factors f;

	if (!(g->flags & EBB_F_FACTORED))
		return;
	g->flags &= (uint16_t)~EBB_F_FACTORED;
	f = factors_in(g);
	ebb_arith_outer_sum(g, f.rows, f.gy, f.x,
		((const kept *)(const void *)ebb_storage_data(g->factors))->flush);
}

void ebb_hand_out(ebb_tensor *g)
{
	if (g->handed_out)
		return;
	ebb_compute_product(g);
	ebb_storage_free(g->factors);
	g->factors = NULL;
	g->handed_out = true;
}

/* Room for the factors, once for all steps of a loop. */
static bool reserve(ebb_tensor *g, size_t bytes)
{
	ebb_storage *s;

	if (g->factors && g->factors->bytes >= bytes)
		return true;
	s = ebb_storage_new(bytes);
	if (!s)
		return false;
	ebb_storage_free(g->factors);
	g->factors = s;
	return true;
}

bool ebb_give_factors(ebb_vjp *v, int k, const ebb_tensor *gy, const ebb_tensor *x)
{
	const ebb_tensor *w = v->in[k];
	size_t size = ebb_dtype_size((ebb_dtype)w->dtype), gy_bytes, x_bytes;
	ebb_tensor **slot, *place;
	char *memory;

	if (!ebb_keep_factors || v->recording || !gy || !x || ebb_failed(v->t) || v->t->anomaly ||
		!ebb_wants(v, k) || !(gy->flags & x->flags & w->flags & EBB_F_ROWS) ||
		!ebb_is_outer(gy->shape[0], w->shape[0], w->shape[1]))
		return false;
	slot = ebb_slot(v->sweep, w->node);
	place = *slot ? NULL : ebb_deposit_place(v->sweep, w);
	if (!place || place->handed_out)
		return false;
	gy_bytes = (size_t)gy->count * size;
	x_bytes = (size_t)x->count * size;
	/* Without memory for them the product is computed at once. */
	if (!reserve(place, EBB_ALIGN + up(gy_bytes) + x_bytes))
		return false;
	memory = ebb_storage_data(place->factors);
	*(kept *)(void *)memory = (kept){gy->shape[0], ebb_flushes(gy)};
	memcpy(memory + EBB_ALIGN, gy->data, gy_bytes);
	memcpy(memory + EBB_ALIGN + up(gy_bytes), x->data, x_bytes);
	place->flags |= EBB_F_FACTORED;
	ebb_hold(slot, place);
	return true;
}
