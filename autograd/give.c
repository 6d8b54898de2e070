/*
 * give.c - the contributions of a vjp, and how the sweep adds them to the accumulators.
 *
 * ebb_give appends a contribution to a list while the vjp runs.  When the vjp has returned, and
 * while its frame and its view are still open, ebb_add_given adds them in the order of the ebb_give
 * calls.  (While gradients are recorded, ebb_give adds at once.)  The first contribution moves into
 * the accumulator without a copy, or is written into the gradient of a leaf.  A later one is added
 * in place if nothing but the accumulator uses its memory, else the sum is a new tensor.
 */
#include "autograd/compute.h"

#include <string.h>

/* ---- The functions that a vjp calls ---------------------------------------------------------- */

bool ebb_wants(const ebb_vjp *v, int k)
{
	return k >= 0 && k < v->nin && v->wanted[k];
}

/* Doubles the capacity of the list.  False: no memory, and the tape has failed. */
static bool grow(ebb_vjp *v)
{
	ebb_visit *w = v->visit;
	size_t size = (size_t)w->capacity * sizeof *w->given;
	ebb_storage *larger = ebb_pool_take(&v->t->ctx.pool, 2 * size);

	if (!larger) {
		ebb_no_memory(v->t, NULL, "a vjp's list of gradients", 2 * size);
		return false;
	}
	memcpy(ebb_storage_data(larger), w->given, size);
	if (w->more)
		ebb_unref(w->more);
	w->more = larger;
	w->given = ebb_storage_data(larger);
	w->capacity *= 2;
	return true;
}

/* The list of contributions holds each tensor until the tensor is added.  A dropped tensor that the
 * open view makes readable (EBB_F_SHOWN) needs no hold, because the view is closed after
 * ebb_add_given. */
static void keep(ebb_tensor *g)
{
	if (g && !(g->flags & EBB_F_SHOWN))
		ebb_hold(g);
}

static void let_go(ebb_tensor *g)
{
	if (g && !(g->flags & EBB_F_SHOWN))
		ebb_unhold(g);
}

/* Appends a contribution to the gradient of input k.  NULL: the tape has failed. */
static inline ebb_gift *note(
	ebb_vjp *v, ebb_gift_kind kind, int k, ebb_tensor *g, ebb_tensor *other)
{
	ebb_visit *w = v->visit;
	ebb_gift *e;

	if (w->count == w->capacity && !grow(v))
		return NULL;
	e = &w->given[w->count++];
	e->kind = kind;
	e->k = k;
	e->g = g;
	e->other = other;
	keep(g);
	keep(other);
	return e;
}

/* Whether x broadcasts to g's shape, so that g can be summed to x's shape.  *same: the shapes
 * agree. */
static bool broadcasts_to(const ebb_tensor *x, const ebb_tensor *g, bool *same)
{
	int lead = g->ndim - x->ndim;

	*same = lead == 0;
	if (lead < 0 || g->dtype != x->dtype)
		return false;
	for (int i = 0; i < x->ndim; i++) {
		if (x->shape[i] == g->shape[lead + i])
			continue;
		*same = false;
		if (x->shape[i] != 1)
			return false;
	}
	return true;
}

/* Notifies observers of the contribution g.  False: anomaly detection has found a value that is not
 * finite, and the tape has failed. */
static bool is_accepted(ebb_vjp *v, int k, const ebb_tensor *g)
{
	const ebb_tape *t = v->t;

	if (t->watch)
		t->watch->contribution(v, k, g);
	return !t->anomaly || t->anomaly->gradient(v, k, g);
}

void ebb_give(ebb_vjp *v, int k, ebb_tensor *g)
{
	ebb_tape *t = v->t;
	const ebb_tensor *x;
	bool same;
	char a[240], b[240];

	if (!g || ebb_has_failed(t) || !ebb_wants(v, k))
		return;
	x = v->in[k];
	if (g->tape != t || (g->flags & (EBB_F_DROPPED | EBB_F_HIDDEN))) {
		g = ebb_usable(t, g, "give", k, NULL);
		if (!g)
			return;
	}
	if (!broadcasts_to(x, g, &same))
		ebb_fail(t, EBB_BAD_SHAPE, NULL,
			"give: input %d (%s) does not broadcast to its gradient (%s)", k,
			ebb_describe(x, a, sizeof a), ebb_describe(g, b, sizeof b));
	else if (is_accepted(v, k, g))
		note(v, same ? EBB_GIFT_WHOLE : EBB_GIFT_TO_SUM, k, g, NULL);
	/* While gradients are recorded, each contribution is added at once.  The additions are then
	 * recorded in the order of the ebb_give calls, so that a second-order sweep always adds in
	 * the same order. */
	if (v->recording)
		ebb_add_given(v->visit, v);
}

/* Whether g has the type and shape of the part p of x, and p lies within x. */
static bool is_part(const ebb_tensor *x, const ebb_tensor *g, const ebb_selection *p)
{
	const ebb_tensor *index = p->index;
	int64_t n, last;

	if (g->ndim != x->ndim || p->axis < 0 || p->axis >= x->ndim || g->dtype != x->dtype)
		return false;
	for (int i = 0; i < x->ndim; i++)
		if (i != p->axis && g->shape[i] != x->shape[i])
			return false;
	n = g->shape[p->axis];
	last = x->shape[p->axis] - 1;
	if (!index)
		return p->start >= 0 && p->step > 0 &&
		       (n == 0 || (p->start <= last && n - 1 <= (last - p->start) / p->step));
	return index->dtype == EBB_I64 && (index->flags & EBB_F_ROWS) &&
	       (index->ndim == 1 ? index->count == n : ebb_same_shape(index, g));
}

static void fail_part(
	ebb_tape *t, int k, const ebb_tensor *x, const ebb_tensor *g, const ebb_selection *p)
{
	char a[240], b[240], c[240], which[300];

	if (p->index)
		snprintf(which, sizeof which, "index %s", ebb_describe(p->index, c, sizeof c));
	else
		snprintf(which, sizeof which, "start %lld, step %lld", (long long)p->start,
			(long long)p->step);
	ebb_fail(t, EBB_BAD_SHAPE, NULL,
		"give_part: the part of input %d (%s) along axis %d does not fit a gradient %s: %s",
		k, ebb_describe(x, a, sizeof a), p->axis, ebb_describe(g, b, sizeof b), which);
}

bool ebb_give_part(ebb_vjp *v, int k, ebb_tensor *g, ebb_selection part)
{
	ebb_tape *t = v->t;
	const ebb_tensor *x;
	ebb_gift *e;

	if (v->recording)
		return false;
	if (!g || ebb_has_failed(t) || !ebb_wants(v, k))
		return true;
	x = v->in[k];
	g = ebb_usable(t, g, "give_part", k, NULL);
	if (g && part.index)
		part.index = ebb_usable(t, part.index, "give_part: the index", k, NULL);
	if (ebb_has_failed(t))
		return true;
	part.axis += part.axis < 0 && part.axis >= -x->ndim ? x->ndim : 0;
	part.step = part.step ? part.step : 1;
	if (!is_part(x, g, &part))
		fail_part(t, k, x, g, &part);
	else if (is_accepted(v, k, g) && (e = note(v, EBB_GIFT_PART, k, g, part.index)))
		e->part = part;
	return true;
}

/* Whether the list has a contribution to the same accumulator as input k's. */
static bool is_waiting(const ebb_vjp *v, int k)
{
	for (int i = 0; i < v->visit->count; i++)
		if (v->in[v->visit->given[i].k]->node == v->in[k]->node)
			return true;
	return false;
}

/* The persistent gradient that would be the accumulator of input k, if the input has no
 * contribution yet and the vjp computes no gradient in that memory; else NULL. */
static ebb_tensor *free_place(const ebb_vjp *v, int k)
{
	if (!ebb_wants(v, k) || v->visit->place ||
		*ebb_accumulator_of(v->visit->sweep, v->in[k]->node) || is_waiting(v, k))
		return NULL;
	return ebb_accumulation_target(v->visit->sweep, v->in[k]);
}

ebb_tensor *ebb_new_gradient(ebb_call *c, ebb_vjp *v, int k)
{
	const ebb_tensor *x = k >= 0 && k < v->nin ? v->in[k] : NULL;
	ebb_tensor *place = c->t ? free_place(v, k) : NULL;

	if (!x)
		return ebb_call_fail(c, EBB_INVALID, "new_gradient: there is no input %d", k);
	if (!place || !(place->flags & EBB_F_ROWS))
		return ebb_new(c, (ebb_dtype)x->dtype, ebb_shape_of(x), EBB_ROWS);
	v->visit->place = place;
	return ebb_new_view(c, place, ebb_shape_of(place), place->strides, 0);
}

/* A product is deferred only if it has at least LARGE elements, and at least SMALLER times as many
 * elements as both operands together. */
enum { LARGE = 1 << 20, SMALLER = 8 };

bool ebb_is_outer(int64_t rows, int64_t out, int64_t in)
{
	return rows >= 1 && rows <= EBB_OUTER_TERMS && out >= 1 && out * in >= LARGE &&
	       rows * (out + in) <= out * in / SMALLER;
}

bool ebb_give_outer(ebb_vjp *v, int k, ebb_tensor *a, ebb_tensor *b)
{
	const ebb_tensor *w = k >= 0 && k < v->nin ? v->in[k] : NULL;
	ebb_tensor *place;

	if (!ebb_defer_products || v->recording || !w || !a || !b || ebb_has_failed(v->t) ||
		v->t->anomaly || w->ndim != 2 || a->ndim != 2 || b->ndim != 2 ||
		a->shape[0] != b->shape[0] || a->shape[1] != w->shape[0] ||
		b->shape[1] != w->shape[1] || a->dtype != w->dtype || b->dtype != w->dtype ||
		!(a->flags & b->flags & w->flags & EBB_F_ROWS) ||
		!ebb_is_outer(a->shape[0], w->shape[0], w->shape[1]))
		return false;
	if (a->tape != v->t || b->tape != v->t || a->stale || b->stale ||
		((a->flags | b->flags) & (EBB_F_DROPPED | EBB_F_HIDDEN)))
		return false;
	place = free_place(v, k);
	if (!place || place->storage->handed_out)
		return false;
	note(v, EBB_GIFT_OUTER, k, a, b);
	return true;
}

/* ---- Accumulators ---------------------------------------------------------------------------- */

/* Whether the accumulator's tensor g may be added to in place. */
static bool may_add_to(const ebb_tensor *g)
{
	return ebb_owns_gradient(g) && (g->flags & EBB_F_DENSE);
}

/* The persistent gradient that becomes the accumulator of x, into which the first contribution g is
 * written.  NULL: another tensor becomes the accumulator. */
static ebb_tensor *place_for(ebb_visit *w, const ebb_tensor *x, const ebb_tensor *g)
{
	ebb_tensor *place = ebb_accumulation_target(w->sweep, x);

	/* If ebb_new_gradient has made a view of place for the vjp, the only contribution that may
	 * be accumulated in place is this view. */
	return place && place == w->place &&
	                       (!g || g->data != place->data || !ebb_same_memory(g, place))
	               ? NULL
	               : place;
}

/* Sets the accumulator to the first contribution g.  If place is not NULL, copies g into this
 * persistent gradient, which becomes the accumulator. */
static void move_in(ebb_visit *w, ebb_tensor **slot, ebb_tensor *g, ebb_tensor *place)
{
	if (!place) {
		/* g shares the memory of the persistent gradient w->place, which will be
		 * overwritten. */
		if (w->place && g->storage == w->place->storage)
			g = ebb_linear_copy(w->sweep->t, g, NULL);
		if (g)
			ebb_set_slot(slot, g);
		return;
	}
	ebb_overwrite(place->storage);
	if (g->count && g->data != place->data)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)g->dtype), g->ndim, g->shape, g->data,
			g->strides, place->data, place->strides);
	ebb_set_slot(slot, place);
}

static void add_whole(ebb_visit *w, ebb_tensor **slot, const ebb_tensor *x, ebb_tensor *g)
{
	ebb_tape *t = w->sweep->t;

	/* g is a dropped tensor that the view makes readable; its memory is freed when the sweep
	 * has passed the node. */
	if ((g->flags & EBB_F_SHOWN) && !(g = ebb_linear_copy(t, g, NULL)))
		return;
	if (!*slot) {
		ebb_tensor *place = place_for(w, x, g);

		if (!ebb_has_failed(t))
			move_in(w, slot, g, place);
	} else if (may_add_to(*slot) && (*slot)->storage != g->storage) {
		g = ebb_linear_dense_like(t, g, *slot, NULL);
		if (g && ebb_present((*slot)->storage))
			ebb_linear_accumulate(*slot, g);
	} else if ((g = ebb_linear_add(t, *slot, g, NULL))) {
		ebb_set_slot(slot, g);
	}
}

/* Removes g, one of the newest handles of the open frame, from the list of live handles.  Then only
 * the accumulator holds g, so that later contributions are added in place. */
static void take_from_frame(ebb_tape *t, ebb_tensor *g)
{
	int64_t i = t->ctx.nlive - 1;

	for (; t->ctx.live[i] != g; i--)
		assert(i > 0);
	memmove(&t->ctx.live[i], &t->ctx.live[i + 1],
		(size_t)(--t->ctx.nlive - i) * sizeof *t->ctx.live);
	g->flags &= (uint16_t)~EBB_F_LISTED;
	ebb_unhold(g);
}

/* Makes sure that parts can be added to x's accumulator in place: the accumulator exists, nothing
 * else uses its memory, and it is row-major if rows.  *empty: the accumulator is new, and all its
 * elements are zero.  False: the tape has failed. */
static bool open_accumulator(
	ebb_visit *w, ebb_tensor **slot, const ebb_tensor *x, bool rows, bool *empty)
{
	ebb_tape *t = w->sweep->t;
	uint16_t order = rows ? EBB_F_ROWS : EBB_F_DENSE;
	ebb_tensor *place = NULL, *whole;

	*empty = !*slot;
	if (*slot && may_add_to(*slot) && ((*slot)->flags & order))
		return ebb_present((*slot)->storage);
	if (!*slot)
		place = place_for(w, x, NULL);
	if (ebb_has_failed(t))
		return false;
	if (place && (place->flags & order)) {
		ebb_overwrite(place->storage);
		RUN(place, fill, place->count, 0.0, place->data);
		ebb_set_slot(slot, place);
		return true;
	}
	whole = *slot ? ebb_linear_copy(t, *slot, NULL) : ebb_linear_full_like(t, x, 0.0, NULL);
	if (whole && rows)
		whole = ebb_linear_dense(t, whole, EBB_ROWS, NULL);
	if (!whole)
		return false;
	ebb_set_slot(slot, whole);
	take_from_frame(t, whole);
	return true;
}

/* acc[.., index, ..] += g along an axis, both row-major. */
static void add_indexed(ebb_tensor *acc, int axis, const ebb_tensor *index, const ebb_tensor *g)
{
	const int64_t *at = (const int64_t *)(const void *)index->data;
	ebb_around s = ebb_sizes_around(acc, axis);
	int64_t count = g->shape[axis];

	if (index->ndim == 1)
		RUN(g, index_select_acc, s.outer, s.len, s.inner, count, g->data, at, acc->data);
	else
		RUN(g, gather_acc, s.outer, s.len, s.inner, count, g->data, at, acc->data);
}

/* acc += g at start, start + step, .. along an axis.  empty: acc is zero, and g is copied. */
static void add_range(ebb_tensor *acc, const ebb_selection *p, const ebb_tensor *g, bool empty)
{
	size_t size = ebb_dtype_size((ebb_dtype)g->dtype);
	int64_t strides[EBB_MAX_DIMS];
	char *at;

	if (!g->count)
		return;
	at = acc->data + p->start * acc->strides[p->axis] * (int64_t)size;
	memcpy(strides, acc->strides, sizeof strides);
	/* With one element the step has no effect, and the product could overflow. */
	if (g->shape[p->axis] > 1)
		strides[p->axis] *= p->step;
	if (empty)
		ebb_copy_strided(size, g->ndim, g->shape, g->data, g->strides, at, strides);
	else
		RUN(g, binary_strided, EBB_BINARY_add, g->ndim, g->shape, at, strides, g->data,
			g->strides, at, strides, 0.0);
}

/* False: an index is out of x's range, and the tape has failed. */
static bool in_range(ebb_tape *t, const ebb_tensor *index, const ebb_tensor *x, int axis)
{
	int64_t at = ebb_first_outside(index, x->shape[axis]);
	char text[240];

	if (at >= 0)
		ebb_fail(t, EBB_INVALID, NULL,
			"give_part: index[%lld] is %lld, outside axis %d of %s", (long long)at,
			(long long)((const int64_t *)(const void *)index->data)[at], axis,
			ebb_describe(x, text, sizeof text));
	return at < 0;
}

static void add_part(ebb_visit *w, ebb_tensor **slot, const ebb_tensor *x, const ebb_gift *e)
{
	ebb_tensor *index = e->part.index, *g = e->g;
	bool empty;

	if (!open_accumulator(w, slot, x, index != NULL, &empty))
		return;
	/* If the vjp has passed the memory of g to ebb_give before, the accumulator may be that
	 * memory. */
	if (g->storage == (*slot)->storage && !(g = ebb_linear_copy(w->sweep->t, g, NULL)))
		return;
	if (!index)
		add_range(*slot, &e->part, g, empty);
	else if (in_range(w->sweep->t, index, x, e->part.axis) &&
		 (g = ebb_linear_dense(w->sweep->t, g, EBB_ROWS, NULL)))
		add_indexed(*slot, e->part.axis, index, g);
}

/* Adds an outer product.  The product is deferred in the persistent gradient, which was unused when
 * the vjp called ebb_give_outer.  If an ebb_backward inside the vjp has used this gradient since,
 * place is NULL and the product is computed. */
static void add_outer(ebb_visit *w, ebb_tensor **slot, const ebb_tensor *x, const ebb_gift *e)
{
	const ebb_tensor *a = e->g, *b = e->other;
	const int64_t sizes[3] = {a->shape[0], a->shape[1], b->shape[1]};
	ebb_tensor *place = *slot ? NULL : place_for(w, x, NULL), *product = place;

	if (place)
		ebb_overwrite(place->storage);
	else
		product = ebb_linear_full_like(w->sweep->t, x, 0.0, NULL);
	if (!product)
		return;
	/* Without memory for copies of the operands, the product is computed at once. */
	if (!place || place->storage->handed_out ||
		!ebb_keep_product(place->storage, (ebb_dtype)x->dtype, sizes, a->data, b->data,
			ebb_flushes(a)))
		RUN(a, outer_sum, sizes[0], sizes[1], sizes[2], a->data, b->data, product->data);
	if (place)
		ebb_set_slot(slot, place);
	else
		add_whole(w, slot, x, product);
}

static void add(ebb_visit *w, ebb_tensor **slot, const ebb_tensor *x, const ebb_gift *e)
{
	ebb_tensor *g = e->g;

	if (e->kind == EBB_GIFT_TO_SUM)
		g = ebb_linear_sum_to(w->sweep->t, g, ebb_shape_of(x), NULL);
	if (e->kind == EBB_GIFT_PART)
		add_part(w, slot, x, e);
	else if (e->kind == EBB_GIFT_OUTER)
		add_outer(w, slot, x, e);
	else if (g)
		add_whole(w, slot, x, g);
}

void ebb_add_given(ebb_visit *w, const ebb_vjp *v)
{
	for (int i = 0; i < w->count; i++) {
		const ebb_gift *e = &w->given[i];
		const ebb_tensor *x = v->in[e->k];

		if (!ebb_has_failed(v->t))
			add(w, ebb_accumulator_of(w->sweep, x->node), x, e);
		let_go(e->g);
		let_go(e->other);
	}
	w->count = 0;
	if (w->more)
		ebb_unref(w->more);
	w->more = NULL;
	w->given = w->few;
	w->capacity = EBB_FEW_GIFTS;
}
