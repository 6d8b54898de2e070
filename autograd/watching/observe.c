/* observe.c - observers, and the notifications that the engine sends to them. */
#include "autograd/watching/parts.h"
#include "autograd/internal.h"

#include <string.h>
#include <time.h>

#include "kernels/kernels.h"

bool ebb_is_watched(const ebb_tape *t)
{
	if (!t)
		return false;
	for (int i = 0; i < t->nobservers; i++) {
		const ebb_observer *o = t->observers[i];

		if (o->recorded || o->scope_ended || o->gradient || o->contribution)
			return true;
	}
	return t->anomaly;
}

bool ebb_is_differentiating(const ebb_tape *t)
{
	return t && t->sweeps > 0;
}

/* ---- Notifications --------------------------------------------------------------------------- */

static void end_callbacks(ebb_tape *t)
{
	t->in_callback = false;
	ebb_shown_free(&t->shown);
}

static void ask(ebb_tape *t)
{
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++) {
		const ebb_observer *o = t->observers[i];

		t->looks[i] = !o->looks || o->looks(o->ctx);
	}
	end_callbacks(t);
	t->asked = true;
}

/* Observer number i; or an observer without callbacks if its .looks has returned false, or in the
 * second run of a checkpoint unless it has .replays, because observers have been notified of the
 * first run. */
static const ebb_observer *looking(const ebb_tape *t, int i)
{
	static const ebb_observer none = {.ctx = NULL};
	const ebb_observer *o = t->observers[i];

	return t->looks[i] && (!t->replays || o->replays) ? o : &none;
}

typedef enum event { RECORDED, SCOPE_ENDED, GRADIENT, CONTRIBUTION } event;

static bool sees(const ebb_observer *o, event e)
{
	switch (e) {
	case RECORDED:
		return o->recorded != NULL;
	case SCOPE_ENDED:
		return o->scope_ended != NULL;
	case GRADIENT:
		return o->gradient != NULL;
	default:
		return o->contribution != NULL;
	}
}

/* Whether an observer that looks has a callback for e.  No scope ends for observers in the second
 * run of a checkpoint. */
static bool somebody_sees(ebb_tape *t, event e)
{
	if (!t->nobservers || (t->replays && e == SCOPE_ENDED))
		return false;
	if (!t->asked)
		ask(t);
	for (int i = 0; i < t->nobservers; i++)
		if (sees(looking(t, i), e))
			return true;
	return false;
}

void ebb_scope_step(ebb_tape *t, const char *name, const char *added)
{
	ebb_scope *s = t && t->watch ? ebb_scope_inside(t->scope, name) : NULL;

	if (s)
		s->added = added;
}

bool ebb_name_parts(ebb_tape *t, int n, const char *const *name)
{
	if (!t || n > EBB_MAX_PARTS)
		return false;
	ebb_shown_free(&t->shown);
	for (int k = 0; k < t->nparts; k++)
		ebb_shown_free(&t->part_values[k]);
	t->part_names = name;
	t->nparts = n;
	t->part_scope = 0;
	return n && somebody_sees(t, SCOPE_ENDED);
}

const ebb_scope *ebb_node_part_scope(const ebb_node *n, int k)
{
	ebb_tape *t = n ? n->out->tape : NULL;
	const ebb_scope *s = NULL;

	if (!t || k < 0 || k >= n->op->nparts)
		return NULL;
	if (t->in_callback && t->nparts == n->op->nparts && n->index == t->nnodes - 1 && t->nopen &&
		t->part_names[k])
		s = ebb_scope_inside(t->open[t->nopen - 1].scope, t->part_names[k]);
	return s ? s : n->scope;
}

/* Computes the values of a fused op's parts for tell_parts.  Does so only for the call that
 * ebb_name_parts announced, and never for a call inside a vjp. */
static void keep_parts(ebb_call *c, const ebb_tensor *y)
{
	ebb_tape *t = c->t;

	if (!t->nparts || t->nparts != c->op->nparts || t->frame || !t->nopen ||
		!somebody_sees(t, SCOPE_ENDED))
		return;
	for (int k = 0; k < t->nparts - 1; k++) {
		ebb_tensor *value = t->part_names[k] ? ebb_part_of_call(c, k, y) : NULL;

		if (!value)
			continue;
		/* Removed from t->shown, the value stays until the scope ends. */
		t->shown = value->grad;
		value->grad = NULL;
		t->part_values[k] = value;
	}
	t->part_scope = t->open[t->nopen - 1].serial;
}

static void tell_recorded(ebb_call *c, ebb_tensor *y, bool pushed)
{
	ebb_tape *t = c->t;

	keep_parts(c, y);
	if (!pushed || !somebody_sees(t, RECORDED))
		return;
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (looking(t, i)->recorded)
			t->observers[i]->recorded(t->observers[i]->ctx, t->nodes[y->node]);
	end_callbacks(t);
}

static void tell_scope(ebb_tape *t, ebb_scope *scope, const ebb_tensor *y)
{
	ebb_scope *own = t->scope;

	if (!scope) {
		ebb_no_memory(t, NULL, "a scope", sizeof *scope);
		return;
	}
	ebb_enter_scope(t, scope);
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (looking(t, i)->scope_ended)
			t->observers[i]->scope_ended(t->observers[i]->ctx, scope, y);
	end_callbacks(t);
	ebb_enter_scope(t, own);
}

/* Notifies observers that the scopes of the parts end, in order, instead of the open scope. */
static void tell_parts(ebb_tape *t, const ebb_tensor *y)
{
	ebb_scope *parent = t->open[t->nopen - 1].scope;

	for (int k = 0; k < t->nparts; k++) {
		const char *name = t->part_names[k];

		if (name && !ebb_has_failed(t))
			tell_scope(t, ebb_scope_inside(parent, name),
				k < t->nparts - 1 ? t->part_values[k] : y);
	}
	ebb_name_parts(t, 0, NULL);
}

static void tell_ended(ebb_tape *t, const ebb_tensor *y)
{
	if (!somebody_sees(t, SCOPE_ENDED))
		return;
	if (t->part_scope && t->part_scope == t->open[t->nopen - 1].serial)
		tell_parts(t, y);
	else
		tell_scope(t, t->scope, y);
}

/* g in the memory order of n's output, as a vjp without gy_strided gets it.  NULL: no memory. */
static const ebb_tensor *in_order(ebb_tape *t, const ebb_node *n, const ebb_tensor *g)
{
	if (ebb_same_memory(g, n->out) ||
		(!(n->out->flags & EBB_F_DENSE) && g->flags & EBB_F_DENSE))
		return g;
	return ebb_shown_copy(t, g, n->out);
}

static void tell_gradient(ebb_tape *t, const ebb_node *n, const ebb_tensor *g)
{
	ebb_scope *scope = t->scope;

	if (!somebody_sees(t, GRADIENT))
		return;
	/* ebb_write_product writes the values but leaves the gradient a deferred product, so that
	 * an optimizer computes the same with and without observers. */
	if (g->storage->presence == EBB_PRODUCT)
		ebb_write_product(g->storage);
	g = in_order(t, n, g);
	ebb_enter_scope(t, n->scope);
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (looking(t, i)->gradient)
			t->observers[i]->gradient(t->observers[i]->ctx, n, g);
	end_callbacks(t);
	ebb_enter_scope(t, scope);
}

static void tell_contribution(const ebb_vjp *v, int k, const ebb_tensor *g)
{
	ebb_tape *t = v->t;

	if (!v->node || !somebody_sees(t, CONTRIBUTION))
		return;
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (looking(t, i)->contribution)
			t->observers[i]->contribution(t->observers[i]->ctx, v->node, k, g);
	end_callbacks(t);
}

/* ---- The course of a run --------------------------------------------------------------------- */

static void tell_backward(ebb_tape *t, const ebb_tensor *y)
{
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->backward)
			t->observers[i]->backward(t->observers[i]->ctx, y);
	end_callbacks(t);
}

static void tell_backward_end(ebb_tape *t, bool ok)
{
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->backward_end)
			t->observers[i]->backward_end(t->observers[i]->ctx, ok);
	end_callbacks(t);
}

static void tell_reset(ebb_tape *t)
{
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->reset)
			t->observers[i]->reset(t->observers[i]->ctx);
	end_callbacks(t);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static int64_t nanoseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The bytes of x in memory: an axis of stride 0 counts once. */
static double bytes_of(const ebb_tensor *x)
{
	double n = (double)ebb_dtype_size((ebb_dtype)x->dtype);

	for (int i = 0; i < x->ndim; i++)
		n *= x->strides[i] || !x->shape[i] ? (double)x->shape[i] : 1;
	return n;
}

static void tell_ran(const ebb_call *c, const ebb_tensor *y)
{
	ebb_tape *t = c->t;
	ebb_run r = {.op = c->op->name,
		.site = c->site ? c->site : "",
		.scope = t->scope,
		.start = c->start,
		.nanoseconds = nanoseconds() - c->start,
		.y = y,
		.nin = c->nin,
		.in = c->in};
	bool view = false, over = false;

	if (t->frame) {
		r.site = t->frame->place.site ? t->frame->place.site : "";
		r.gradient_of =
			t->frame->place.gradient_of ? t->frame->place.gradient_of : "backward";
	}
	if (!r.gradient_of && t->replays)
		r.gradient_of = "checkpoint";
	for (int k = 0; k < c->nin; k++)
		if (c->in[k] && c->in[k] != y && c->in[k]->storage == y->storage) {
			/* An op that overwrites its input has dropped the input. */
			bool dropped = c->in[k]->flags & EBB_F_DROPPED;

			over |= dropped;
			view |= !dropped;
		}
	if (!view) {
		r.flops = c->op->flops ? c->op->flops(c, y) : (double)y->count;
		r.multiply_adds = c->op->flops ? r.flops / 2 : 0;
		r.bytes = bytes_of(y);
		r.result_bytes = over ? 0 : r.bytes;
		for (int k = 0; k < c->nin; k++)
			r.bytes += c->in[k] ? bytes_of(c->in[k]) : 0;
	}
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->ran)
			t->observers[i]->ran(t->observers[i]->ctx, &r);
	end_callbacks(t);
}

/* ---- Adding and removing observers ----------------------------------------------------------- */

static const ebb_watch WATCH = {nanoseconds, tell_ran, tell_recorded, tell_ended, tell_gradient,
	ask, tell_contribution, tell_backward, tell_backward_end, tell_reset};

bool ebb_observe(ebb_tape *t, const ebb_observer *o)
{
	if (!t || !o || t->nobservers == EBB_MAX_OBSERVERS)
		return false;
	t->observers[t->nobservers++] = o;
	t->watch = &WATCH;
	t->ntimers += o->ran != NULL;
	ebb_ask_later(t);
	return true;
}

void ebb_unobserve(ebb_tape *t, const ebb_observer *o)
{
	int kept = 0;

	if (!t)
		return;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i] != o) {
			t->looks[kept] = t->looks[i];
			t->observers[kept++] = t->observers[i];
		} else {
			t->ntimers -= o->ran != NULL;
		}
	t->nobservers = kept;
	t->watch = kept ? &WATCH : NULL;
}
