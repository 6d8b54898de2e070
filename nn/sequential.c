/*
 * sequential.c - a container that runs layers and functions in order.
 */
#include <stdio.h>

#include "autograd/watching/parts.h"
#include "tensor/host.h"
#include "nn/internal.h"
#include "ops/fused.h"

enum { NAME_SIZE = 16 };

struct ebb_sequential {
	ebb_params *p; /* the view with the container's name as prefix */
	const char *name;
	/* steps: as they were added.  fused: as they run.  Each addition recomputes fused, and not
	 * the first run, because several threads may run one container at the same time. */
	ebb_step *steps, *fused;
	int count, nfused;
	int64_t capacity, fused_capacity;
	bool incomplete; /* adding a step failed */
};

static void destroy(void *object)
{
	ebb_sequential *s = object;

	ebb_free(s->steps, (size_t)s->capacity * sizeof *s->steps);
	ebb_free(s->fused, (size_t)s->fused_capacity * sizeof *s->fused);
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

/* Reserves memory for one more step in both lists; false without memory. */
static bool reserve(ebb_sequential *s)
{
	return ebb_grow(&s->steps, &s->capacity, s->count + 1, sizeof *s->steps) &&
	       ebb_grow(&s->fused, &s->fused_capacity, s->count + 1, sizeof *s->fused);
}

/* Appends a step unless the store has failed. */
static bool append(ebb_sequential *s, ebb_step made, const char *site)
{
	char name[NAME_SIZE];

	made.name = ebb_params_name_of(s->p, "sequential", next_name(s, name), site);
	if (made.name && !reserve(s))
		ebb_params_fail(
			s->p, EBB_NO_MEMORY, site, "sequential: no memory for \"%s\"", made.name);
	if (!ebb_params_healthy(s->p)) {
		s->incomplete = true;
		return false;
	}
	made.added = site;
	s->steps[s->count++] = made;
	s->nfused = ebb_fuse(s->count, s->steps, s->fused);
	return true;
}

/* ---- Adding steps --------------------------------------------------------------------------- */

bool(ebb_sequential_conv)(ebb_sequential *s, const ebb_conv_new_args *a)
{
	char name[NAME_SIZE];
	ebb_conv_new_args own = *a;

	if (!s)
		return false;
	own.p = s->p;
	own.name = next_name(s, name);
	return append(
		s, (ebb_step){.kind = EBB_STEP_CONV, .as.conv = (ebb_conv_new)(&own)}, a->site);
}

bool(ebb_sequential_linear)(ebb_sequential *s, const ebb_linear_new_args *a)
{
	char name[NAME_SIZE];
	ebb_linear_new_args own = *a;

	if (!s)
		return false;
	own.p = s->p;
	own.name = next_name(s, name);
	return append(s, (ebb_step){.kind = EBB_STEP_LINEAR, .as.linear = (ebb_linear_new)(&own)},
		a->site);
}

bool(ebb_sequential_bn)(ebb_sequential *s, const ebb_bn_new_args *a)
{
	char name[NAME_SIZE];
	ebb_bn_new_args own = *a;

	if (!s)
		return false;
	own.p = s->p;
	own.name = next_name(s, name);
	return append(s, (ebb_step){.kind = EBB_STEP_BN, .as.bn = (ebb_bn_new)(&own)}, a->site);
}

bool(ebb_sequential_dropout)(ebb_sequential *s, double rate, const char *site)
{
	char name[NAME_SIZE];

	if (!s)
		return false;
	return append(s,
		(ebb_step){.kind = EBB_STEP_DROP,
			.as.drop = (ebb_drop_new)(s->p, next_name(s, name), rate, site)},
		site);
}

bool(ebb_sequential_maxpool2d)(ebb_sequential *s, const ebb_pool2d_args *a)
{
	return s && append(s, (ebb_step){.kind = EBB_STEP_MAXPOOL, .as.pool = *a}, a->site);
}

bool(ebb_sequential_avgpool2d)(ebb_sequential *s, const ebb_pool2d_args *a)
{
	return s && append(s, (ebb_step){.kind = EBB_STEP_AVGPOOL, .as.pool = *a}, a->site);
}

bool(ebb_sequential_adaptive_avgpool2d)(ebb_sequential *s, const ebb_adaptive_args *a)
{
	return s && append(s, (ebb_step){.kind = EBB_STEP_ADAPTIVE, .as.adaptive = *a}, a->site);
}

bool(ebb_sequential_fn)(ebb_sequential *s, ebb_unary_op fn, const char *site)
{
	if (s && !fn)
		ebb_params_fail(s->p, EBB_INVALID, site,
			"sequential_fn: %s.%d is NULL, expected an op", s->name, s->count);
	return s && append(s, (ebb_step){.kind = EBB_STEP_FN, .as.fn = fn}, site);
}

bool(ebb_sequential_layer)(ebb_sequential *s, ebb_layer_fn fn, void *ctx, const char *site)
{
	if (s && !fn)
		ebb_params_fail(s->p, EBB_INVALID, site,
			"sequential_layer: %s.%d is NULL, expected a function", s->name, s->count);
	return s && append(s, (ebb_step){.kind = EBB_STEP_LAYER, .as.layer = {fn, ctx}}, site);
}

/* ---- Running -------------------------------------------------------------------------------- */

/* Whether the step's forward function begins the scope itself, as layers do. */
static bool is_scope(ebb_step_kind kind)
{
	return kind == EBB_STEP_CONV || kind == EBB_STEP_LINEAR || kind == EBB_STEP_BN ||
	       kind == EBB_STEP_DROP || kind == EBB_STEP_BN_RELU;
}

static ebb_tensor *run_pool(
	ebb_tape *t, const ebb_step *e, ebb_tensor *x, bool own, const char *site)
{
	ebb_pool2d_args pool = e->as.pool;

	pool.t = t;
	pool.x = x;
	pool.site = site;
	if (e->kind == EBB_STEP_AVGPOOL)
		return (ebb_avgpool2d)(&pool);
	/* The user's .inplace allows overwriting relu's result.  In EBB_STEP_RELU_MAXPOOL x is
	 * relu's input, so there it does not count. */
	pool.inplace = own || (pool.inplace && e->kind == EBB_STEP_MAXPOOL);
	return e->kind == EBB_STEP_MAXPOOL ? (ebb_maxpool2d)(&pool) : ebb_relu_maxpool2d(&pool);
}

/* own: x is an intermediate value of the container, which is not read again. */
static ebb_tensor *run(ebb_tape *t, const ebb_step *e, ebb_tensor *x, bool own, const char *site)
{
	ebb_adaptive_args adaptive;

	switch (e->kind) {
	case EBB_STEP_CONV:
		return (ebb_conv_forward)(t, &e->as.conv, x, site);
	case EBB_STEP_LINEAR:
		return (ebb_linear_forward)(t, &e->as.linear, x, site);
	case EBB_STEP_BN:
		return (ebb_bn_forward)(t, &e->as.bn, x, site);
	case EBB_STEP_BN_RELU:
		return (ebb_bn_relu_forward)(t, &e->as.bn, x, NULL, site);
	case EBB_STEP_DROP:
		return (ebb_drop_forward)(t, &e->as.drop, x, site);
	case EBB_STEP_MAXPOOL:
	case EBB_STEP_AVGPOOL:
	case EBB_STEP_RELU_MAXPOOL:
		return run_pool(t, e, x, own, site);
	case EBB_STEP_ADAPTIVE:
		adaptive = e->as.adaptive;
		adaptive.t = t;
		adaptive.x = x;
		adaptive.site = site;
		return (ebb_adaptive_avgpool2d)(&adaptive);
	case EBB_STEP_FN:
		return e->as.fn(t, x, site);
	default:
		return e->as.layer.fn(t, e->as.layer.ctx, x, site);
	}
}

static ebb_tensor *run_in_scope(
	ebb_tape *t, const ebb_step *e, ebb_tensor *x, bool own, const char *site)
{
	ebb_scope_step(t, e->name, e->added);
	if (is_scope(e->kind))
		return run(t, e, x, own, site);
	(ebb_scope_begin)(t, e->name, site);
	return ebb_scope_end(t, run(t, e, x, own, site));
}

/* Runs two steps as one op.  If the tape has observers, they see the parts of the op as the results
 * of the steps' scopes.  These parts are computed from x, so x must then not be overwritten. */
static ebb_tensor *run_fused(
	ebb_tape *t, const ebb_step *e, ebb_tensor *x, bool own, const char *site)
{
	ebb_step one = *e;
	ebb_tensor *y;

	for (int k = 0; k < 2; k++)
		ebb_scope_step(t, e->part[k], e->part_added[k]);
	if (ebb_name_parts(t, 2, e->part)) {
		own = false;
		if (e->kind == EBB_STEP_BN_RELU)
			one.as.bn.inplace = false;
	}
	y = run_in_scope(t, &one, x, own, site);
	ebb_name_parts(t, 0, NULL);
	return y;
}

ebb_tensor *(ebb_sequential_forward)(ebb_tape *t, const ebb_sequential *s, ebb_tensor *x,
	const char *site)
{
	ebb_tensor *y = x;
	/* Rules are for the ops of single steps. */
	bool apart = ebb_is_unfused(t);

	if (!s)
		return ebb_fail(t, EBB_INVALID, site,
			"sequential_forward: the container is NULL: it was not created, or its "
			"parameter store failed");
	if (s->incomplete)
		return ebb_fail(t, EBB_INVALID, site,
			"sequential_forward: \"%s\" lacks step %d, which could not be added",
			s->name, s->count);
	(ebb_scope_begin)(t, s->name, site);
	for (int i = 0; i < (apart ? s->count : s->nfused); i++) {
		const ebb_step *e = apart ? &s->steps[i] : &s->fused[i];
		ebb_tensor *before = y;
		bool own = y != x;

		y = e->part[0] ? run_fused(t, e, y, own, site) : run_in_scope(t, e, y, own, site);
		/* The caller has no handle of an intermediate value. */
		if (before != x && before != y)
			ebb_release(t, before);
	}
	return ebb_scope_end(t, y);
}
