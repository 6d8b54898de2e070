/*
 * sequential.c - layers and functions in a row.
 */
#include <stdio.h>

#include "autograd/host.h"
#include "nn/internal.h"

enum { NAME_SIZE = 16 };

typedef enum { CONV, LINEAR, BN, DROP, MAXPOOL, AVGPOOL, ADAPTIVE, FN, LAYER } kind_of_step;

typedef struct step {
	kind_of_step kind;
	const char *name; /* the full one */
	union {
		ebb_conv conv;
		ebb_linear linear;
		ebb_bn bn;
		ebb_drop drop;
		ebb_pool2d_args pool;
		ebb_adaptive_args adaptive;
		ebb_unary_op fn;
		struct {
			ebb_layer_fn fn;
			void *ctx;
		} layer;
	} as;
} step;

struct ebb_sequential {
	ebb_params *p; /* the view of its own name */
	const char *name;
	step *steps;
	int count;
	int64_t capacity;
	bool incomplete; /* an addition failed */
};

static void destroy(void *object)
{
	ebb_sequential *s = object;

	ebb_free(s->steps, (size_t)s->capacity * sizeof *s->steps);
	ebb_free(s, sizeof *s);
}

ebb_sequential *(ebb_sequential_new)(ebb_params *p, const char *name, const char *site)
{
	const char *full = ebb_params_name_of(p, "sequential_new", name, site);
	ebb_params *view = full ? ebb_params_sub(p, name) : NULL;
	ebb_sequential *s;

	if (!view)
		return NULL;
	s = ebb_alloc_zeroed(sizeof *s);
	if (!s) {
		ebb_params_fail(
			p, EBB_NO_MEMORY, site, "sequential_new: no memory for \"%s\"", full);
		return NULL;
	}
	s->p = view;
	s->name = full;
	if (!ebb_params_own(p, s, destroy)) {
		destroy(s);
		return NULL;
	}
	return s;
}

int ebb_sequential_count(const ebb_sequential *s)
{
	return s ? s->count : 0;
}

static const char *next_name(const ebb_sequential *s, char *buffer)
{
	snprintf(buffer, NAME_SIZE, "%d", s->count);
	return buffer;
}

ebb_params *ebb_sequential_params(ebb_sequential *s)
{
	char name[NAME_SIZE];

	return s ? ebb_params_sub(s->p, next_name(s, name)) : NULL;
}

/* Appends what an addition made, if the store is still healthy. */
static bool append(ebb_sequential *s, step made, const char *site)
{
	char name[NAME_SIZE];

	made.name = ebb_params_name_of(s->p, "sequential", next_name(s, name), site);
	if (made.name && !ebb_grow(&s->steps, &s->capacity, s->count + 1, sizeof *s->steps))
		ebb_params_fail(
			s->p, EBB_NO_MEMORY, site, "sequential: no memory for \"%s\"", made.name);
	if (!ebb_params_healthy(s->p)) {
		s->incomplete = true;
		return false;
	}
	s->steps[s->count++] = made;
	return true;
}

/* ---- Additions ------------------------------------------------------------------------------ */

bool(ebb_sequential_conv)(ebb_sequential *s, const ebb_conv_new_args *a)
{
	char name[NAME_SIZE];
	ebb_conv_new_args own = *a;

	if (!s)
		return false;
	own.p = s->p;
	own.name = next_name(s, name);
	return append(s, (step){.kind = CONV, .as.conv = (ebb_conv_new)(&own)}, a->site);
}

bool(ebb_sequential_linear)(ebb_sequential *s, const ebb_linear_new_args *a)
{
	char name[NAME_SIZE];
	ebb_linear_new_args own = *a;

	if (!s)
		return false;
	own.p = s->p;
	own.name = next_name(s, name);
	return append(s, (step){.kind = LINEAR, .as.linear = (ebb_linear_new)(&own)}, a->site);
}

bool(ebb_sequential_bn)(ebb_sequential *s, const ebb_bn_new_args *a)
{
	char name[NAME_SIZE];
	ebb_bn_new_args own = *a;

	if (!s)
		return false;
	own.p = s->p;
	own.name = next_name(s, name);
	return append(s, (step){.kind = BN, .as.bn = (ebb_bn_new)(&own)}, a->site);
}

bool(ebb_sequential_dropout)(ebb_sequential *s, double rate, const char *site)
{
	char name[NAME_SIZE];

	if (!s)
		return false;
	return append(s,
		(step){.kind = DROP,
			.as.drop = (ebb_drop_new)(s->p, next_name(s, name), rate, site)},
		site);
}

bool(ebb_sequential_maxpool2d)(ebb_sequential *s, const ebb_pool2d_args *a)
{
	return s && append(s, (step){.kind = MAXPOOL, .as.pool = *a}, a->site);
}

bool(ebb_sequential_avgpool2d)(ebb_sequential *s, const ebb_pool2d_args *a)
{
	return s && append(s, (step){.kind = AVGPOOL, .as.pool = *a}, a->site);
}

bool(ebb_sequential_adaptive_avgpool2d)(ebb_sequential *s, const ebb_adaptive_args *a)
{
	return s && append(s, (step){.kind = ADAPTIVE, .as.adaptive = *a}, a->site);
}

bool(ebb_sequential_fn)(ebb_sequential *s, ebb_unary_op fn, const char *site)
{
	if (s && !fn)
		ebb_params_fail(s->p, EBB_INVALID, site,
			"sequential_fn: %s.%d is NULL, expected an op", s->name, s->count);
	return s && append(s, (step){.kind = FN, .as.fn = fn}, site);
}

bool(ebb_sequential_layer)(ebb_sequential *s, ebb_layer_fn fn, void *ctx, const char *site)
{
	if (s && !fn)
		ebb_params_fail(s->p, EBB_INVALID, site,
			"sequential_layer: %s.%d is NULL, expected a function", s->name, s->count);
	return s && append(s, (step){.kind = LAYER, .as.layer = {fn, ctx}}, site);
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Layers open a scope of that name themselves. */
static bool is_scope(kind_of_step kind)
{
	return kind == CONV || kind == LINEAR || kind == BN || kind == DROP;
}

/* own: nobody but the container has x, and it will not read x again. */
static ebb_tensor *run(ebb_tape *t, const step *e, ebb_tensor *x, bool own, const char *site)
{
	ebb_pool2d_args pool;
	ebb_adaptive_args adaptive;

	switch (e->kind) {
	case CONV:
		return (ebb_conv_forward)(t, &e->as.conv, x, site);
	case LINEAR:
		return (ebb_linear_forward)(t, &e->as.linear, x, site);
	case BN:
		return (ebb_bn_forward)(t, &e->as.bn, x, site);
	case DROP:
		return (ebb_drop_forward)(t, &e->as.drop, x, site);
	case MAXPOOL:
	case AVGPOOL:
		pool = e->as.pool;
		pool.t = t;
		pool.x = x;
		pool.site = site;
		if (e->kind == MAXPOOL)
			pool.inplace |= own;
		return e->kind == MAXPOOL ? (ebb_maxpool2d)(&pool) : (ebb_avgpool2d)(&pool);
	case ADAPTIVE:
		adaptive = e->as.adaptive;
		adaptive.t = t;
		adaptive.x = x;
		adaptive.site = site;
		return (ebb_adaptive_avgpool2d)(&adaptive);
	case FN:
		return e->as.fn(t, x, site);
	default:
		return e->as.layer.fn(t, e->as.layer.ctx, x, site);
	}
}

static ebb_tensor *run_in_scope(
	ebb_tape *t, const step *e, ebb_tensor *x, bool own, const char *site)
{
	if (is_scope(e->kind))
		return run(t, e, x, own, site);
	(ebb_scope_begin)(t, e->name, site);
	return ebb_scope_end(t, run(t, e, x, own, site));
}

static bool is_relu(const step *e)
{
	return e->kind == FN && e->as.fn == ebb_relu;
}

/* Number i and the next with one result between them less, or one that is smaller; NULL if they are
 * not such a pair. */
static ebb_tensor *run_pair(
	ebb_tape *t, const ebb_sequential *s, int i, ebb_tensor *x, bool own, const char *site)
{
	const step *e = &s->steps[i], *next = e + 1;
	ebb_tensor *y;

	if (i + 1 == s->count)
		return NULL;
	if (e->kind == BN && is_relu(next))
		return (ebb_bn_relu_forward)(t, &e->as.bn, x, NULL, site);
	/* max(relu(x)) = relu(max(x)), and so are the gradients: where the maximum is not positive,
	 * none passes.  ReLU then works on and keeps the pooled image alone. */
	if (is_relu(e) && next->kind == MAXPOOL && !next->as.pool.index) {
		step pool = *next;

		/* In the place of what ReLU would have made, not of its input. */
		pool.as.pool.inplace = false;
		x = run_in_scope(t, &pool, x, own, site);
		y = run_in_scope(t, e, x, true, site);
		ebb_release(t, x);
		return y;
	}
	return NULL;
}

ebb_tensor *(ebb_sequential_forward)(ebb_tape *t, const ebb_sequential *s, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y = x;
	bool watched = ebb_is_watched(t);

	if (!s)
		return ebb_fail(t, EBB_INVALID, site,
			"sequential_forward: the container is NULL: it was not made, or its "
			"parameter store failed");
	if (s->incomplete)
		return ebb_fail(t, EBB_INVALID, site,
			"sequential_forward: \"%s\" lacks number %d, which could not be added",
			s->name, s->count);
	(ebb_scope_begin)(t, s->name, site);
	for (int i = 0; i < s->count; i++) {
		bool own = y != x && !watched;
		ebb_tensor *before = y, *pair = watched ? NULL : run_pair(t, s, i, y, own, site);

		y = pair ? pair : run_in_scope(t, &s->steps[i], y, own, site);
		i += pair != NULL;
		/* Nobody else saw it: unless a gradient reads it, it can go. */
		if (before != x && before != y)
			ebb_release(t, before);
	}
	return ebb_scope_end(t, y);
}
