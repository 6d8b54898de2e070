/*
 * lbfgs.c - L-BFGS: a quasi-Newton method with limited memory (Liu & Nocedal 1989; Nocedal & Wright
 * 2006, algorithms 7.4 and 7.5).
 *
 * A step works on copies of the state, and on parameters whose values it keeps.  It commits the
 * copies at its end; after a failure it restores the parameters and drops the copies.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/option.h"
#include "kernels/float_state.h"
#include "optim/internal.h"

enum { START, BASE, GRADIENT, DIRECTION, TRIAL, BEST };
_Static_assert(BEST + 1 == EBB_LBFGS_VECTORS, "the vectors of a step");

/* A step in progress. */
typedef struct run {
	ebb_optim *o;
	ebb_closure closure;
	void *ctx;
	const ebb_kernels *k;
	ebb_float_state own; /* the caller's */
	ebb_curvature *m;
	void *vector[EBB_LBFGS_VECTORS];
	/* The state as it will be after the step; the pairs are m->trial_pairs. */
	int64_t count, iterations;
	ebb_pair *pending;
	double scale;
	double loss;
	int64_t evaluations;
} run;

/* ---- Options -------------------------------------------------------------------------------- */

static bool is_count(const ebb_lbfgs_args *a, const char *what, int64_t value, int64_t most)
{
	if (value >= 1 && value <= most)
		return true;
	ebb_params_fail(a->p, EBB_INVALID, a->site, "lbfgs: %s %lld, expected 1 to %lld", what,
		(long long)value, (long long)most);
	return false;
}

ebb_optim *(ebb_lbfgs)(const ebb_lbfgs_args *a)
{
	ebb_lbfgs_state l = {.max_iter = ebb_option_count(a->max_iter, 20),
		.history = ebb_option_count(a->history, 100),
		.tolerance_grad = ebb_option(a->tolerance_grad, 1e-7),
		.tolerance_change = ebb_option(a->tolerance_change, 1e-9),
		.line_search = a->line_search};
	ebb_optim o = {.kind = EBB_LBFGS, .p = a->p, .lr = ebb_option(a->lr, 1)}, *made;

	if (!is_count(a, "max_iter", l.max_iter, INT32_MAX))
		return NULL;
	l.max_eval = ebb_option_count(a->max_eval, l.max_iter * 5 / 4);
	if (!is_count(a, "max_eval", l.max_eval, INT64_MAX) ||
		!is_count(a, "history", l.history, 1 << 20) ||
		!ebb_optim_within(a->p, a->site, EBB_LBFGS, "lr", o.lr, INFINITY) ||
		!ebb_optim_within(
			a->p, a->site, EBB_LBFGS, "tolerance_grad", l.tolerance_grad, INFINITY) ||
		!ebb_optim_within(
			a->p, a->site, EBB_LBFGS, "tolerance_change", l.tolerance_change, INFINITY))
		return NULL;
	if (l.line_search != EBB_STRONG_WOLFE && l.line_search != EBB_FIXED_STEP) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"lbfgs: line_search %d, expected EBB_STRONG_WOLFE or EBB_FIXED_STEP",
			(int)l.line_search);
		return NULL;
	}
	made = ebb_optim_make(&o, a->site);
	if (!made)
		return NULL;
	made->lbfgs = ebb_alloc_zeroed(sizeof *made->lbfgs);
	if (!made->lbfgs) {
		ebb_params_fail(a->p, EBB_NO_MEMORY, a->site, "lbfgs: no memory for its state");
		ebb_optim_free(made);
		return NULL;
	}
	*made->lbfgs = l;
	return made;
}

void ebb_lbfgs_free(ebb_lbfgs_state *l)
{
	if (!l)
		return;
	ebb_curvature_free(l->memory);
	ebb_free(l, sizeof *l);
}

/* ---- Vectors -------------------------------------------------------------------------------- */

static double dot(const run *r, const void *a, const void *b)
{
	return r->k->dot(r->m->n, a, b);
}

/* y += a*x */
static void add(const run *r, double a, const void *x, void *y)
{
	r->k->axpy(r->m->n, a, x, y);
}

/* y = a*x */
static void scale(const run *r, double a, const void *x, void *y)
{
	r->k->unary(EBB_UNARY_mul_scalar, r->m->n, x, y, a, 0);
}

static void copy(const run *r, const void *x, void *y)
{
	if (r->m->n > 0)
		memcpy(y, x, r->m->bytes);
}

static ebb_kernel_stats stats(const run *r, const void *x)
{
	ebb_kernel_stats s;

	r->k->stats(r->m->n, x, -INFINITY, INFINITY, &s);
	return s;
}

static bool is_finite(const ebb_kernel_stats *s)
{
	return s->nan == 0 && (s->n == 0 || isfinite(s->max_abs));
}

static size_t bytes_of(const ebb_tensor *w)
{
	return (size_t)ebb_count(w) * ebb_dtype_size(ebb_dtype_of(w));
}

/* Copies the parameters to a vector. */
static void read_parameters(const run *r, void *x)
{
	char *at = x;

	for (int64_t i = 0; i < r->m->params; i++) {
		const ebb_tensor *w = r->o->slots[i].w;

		if (!r->m->active[i] || ebb_count(w) == 0)
			continue;
		memcpy(at, ebb_data(w), bytes_of(w));
		at += bytes_of(w);
	}
}

/* Sets the parameters to x + t*d; d may be NULL if t is 0. */
static void write_parameters(const run *r, const void *x, double t, const void *d)
{
	size_t at = 0;

	for (int64_t i = 0; i < r->m->params; i++) {
		ebb_tensor *w = r->o->slots[i].w;
		void *data;

		if (!r->m->active[i] || ebb_count(w) == 0)
			continue;
		data = ebb_data_mutable(w);
		memcpy(data, (const char *)x + at, bytes_of(w));
		if (t != 0)
			r->k->axpy(ebb_count(w), t, (const char *)d + at, data);
		at += bytes_of(w);
	}
}

/* ---- Evaluations ---------------------------------------------------------------------------- */

/* Calls the closure.  False with an error. */
static bool call(run *r)
{
	ebb_optim *o = r->o;
	bool ok;

	r->evaluations++;
	r->loss = NAN;
	ebb_float_leave(r->own);
	ok = ebb_optim_call(o, r->closure, r->ctx, r->evaluations, &r->loss);
	r->own = ebb_float_enter(true);
	return ok;
}

/* Copies the gradients to a vector; a missing gradient counts as zeros.  False with an error if all
 * are missing. */
static bool read_gradients(run *r, void *to)
{
	char *at = to;
	int64_t found = 0;

	for (int64_t i = 0; i < r->m->params; i++) {
		const ebb_tensor *w = r->o->slots[i].w, *g = NULL;

		if (!r->m->active[i])
			continue;
		if (ebb_has_grad(w)) {
			g = ebb_grad_of(w);
			if (!g) {
				ebb_error_set(&r->o->error, EBB_NO_MEMORY, NULL,
					"lbfgs: no memory for the gradient of \"%s\"",
					ebb_params_name_at(r->o->p, i));
				return false;
			}
			found++;
		}
		if (ebb_count(w) == 0)
			continue;
		if (g)
			memcpy(at, ebb_data(g), bytes_of(w));
		else
			memset(at, 0, bytes_of(w));
		at += bytes_of(w);
	}
	if (found == 0)
		ebb_error_set(&r->o->error, EBB_BAD_STATE, NULL,
			"lbfgs: no parameter has a gradient after evaluation %lld: the closure "
			"must call ebb_backward",
			(long long)r->evaluations);
	return found > 0;
}

/* Evaluates a trial of the line search. */
static bool evaluate(void *ctx, ebb_trial *x)
{
	run *r = ctx;

	write_parameters(r, r->vector[BASE], x->t, r->vector[DIRECTION]);
	if (!call(r) || !read_gradients(r, r->vector[TRIAL]))
		return false;
	x->loss = r->loss;
	x->slope = dot(r, r->vector[TRIAL], r->vector[DIRECTION]);
	return true;
}

static void exchange(run *r, int a, int b)
{
	void *x = r->vector[a];

	r->vector[a] = r->vector[b];
	r->vector[b] = x;
}

static void keep(void *ctx)
{
	exchange(ctx, TRIAL, BEST);
}

/* ---- The direction -------------------------------------------------------------------------- */

static bool no_memory(const run *r)
{
	ebb_error_set(&r->o->error, EBB_NO_MEMORY, NULL, "lbfgs: no memory for its state");
	return false;
}

/* A pair of the state before the step stays in use until the step has succeeded. */
static bool is_committed(const run *r, const ebb_pair *p)
{
	const ebb_curvature *m = r->m;

	if (p == m->pending)
		return true;
	for (int64_t i = 0; i < m->count; i++)
		if (m->pairs[i] == p)
			return true;
	return false;
}

static void release(const run *r, ebb_pair *p)
{
	if (!is_committed(r, p))
		p->used = false;
}

static void append(run *r, ebb_pair *p, double ro)
{
	ebb_curvature *m = r->m;

	if (r->count == m->history) {
		release(r, m->trial_pairs[0]);
		r->count--;
		memmove(m->trial_pairs, m->trial_pairs + 1,
			(size_t)r->count * sizeof *m->trial_pairs);
		memmove(m->trial_ro, m->trial_ro + 1, (size_t)r->count * sizeof *m->trial_ro);
	}
	m->trial_pairs[r->count] = p;
	m->trial_ro[r->count++] = ro;
}

static void forget(run *r)
{
	for (int64_t i = 0; i < r->count; i++)
		release(r, r->m->trial_pairs[i]);
	if (r->pending)
		release(r, r->pending);
	r->count = r->iterations = 0;
	r->pending = NULL;
	r->scale = 1;
}

/* Completes the pending pair with the gradient.  The pair is used if its curvature is positive:
 * s y > eps*y y, as in L-BFGS-B (Byrd et al. 1995). */
static bool complete_pair(run *r)
{
	ebb_curvature *m = r->m;
	double eps = ebb_params_dtype(r->o->p) == EBB_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
	ebb_pair *p = r->pending;
	double ys, yy;

	if (!p)
		return true;
	if (is_committed(r, p)) {
		p = ebb_pair_take(m);
		if (!p)
			return no_memory(r);
		copy(r, ebb_pair_s(m, r->pending), ebb_pair_s(m, p));
		copy(r, ebb_pair_y(m, r->pending), ebb_pair_y(m, p));
	}
	r->pending = NULL;
	add(r, 1, r->vector[GRADIENT], ebb_pair_y(m, p));
	ys = dot(r, ebb_pair_y(m, p), ebb_pair_s(m, p));
	yy = dot(r, ebb_pair_y(m, p), ebb_pair_y(m, p));
	if (ys > eps * yy && isfinite(1 / ys) && isfinite(ys / yy)) {
		append(r, p, 1 / ys);
		r->scale = ys / yy;
	} else {
		release(r, p);
	}
	return true;
}

/* d = -H g by the two-loop recursion (algorithm 7.4). */
static void find_direction(run *r)
{
	ebb_curvature *m = r->m;
	double *alpha = ebb_lbfgs_numbers(m);
	void *d = r->vector[DIRECTION];

	scale(r, -1, r->vector[GRADIENT], d);
	for (int64_t i = r->count - 1; i >= 0; i--) {
		ebb_pair *p = m->trial_pairs[i];

		alpha[i] = m->trial_ro[i] * dot(r, ebb_pair_s(m, p), d);
		add(r, -alpha[i], ebb_pair_y(m, p), d);
	}
	scale(r, r->scale, d, d);
	for (int64_t i = 0; i < r->count; i++) {
		ebb_pair *p = m->trial_pairs[i];
		double beta = m->trial_ro[i] * dot(r, ebb_pair_y(m, p), d);

		add(r, alpha[i] - beta, ebb_pair_s(m, p), d);
	}
}

/* ---- Iterations ----------------------------------------------------------------------------- */

/* Searches along the direction; *t receives the length of the step, from the first trial. */
static bool search(run *r, double slope, double largest, double *t)
{
	ebb_trial best = {.loss = r->loss, .slope = slope};
	ebb_line line = {.evaluate = evaluate,
		.keep = keep,
		.ctx = r,
		.least = r->o->lbfgs->tolerance_change / largest};

	copy(r, r->vector[GRADIENT], r->vector[BEST]);
	if (!ebb_strong_wolfe(&line, *t, &best))
		return false;
	write_parameters(r, r->vector[BASE], best.t, r->vector[DIRECTION]);
	exchange(r, GRADIENT, BEST);
	r->loss = best.loss;
	*t = best.t;
	return true;
}

/* Moves by t; evaluates the new point if another iteration may follow. */
static bool move(run *r, double t, bool last)
{
	ebb_kernel_stats s;

	write_parameters(r, r->vector[BASE], t, r->vector[DIRECTION]);
	if (last)
		return true;
	if (!call(r) || !read_gradients(r, r->vector[GRADIENT]))
		return false;
	s = stats(r, r->vector[GRADIENT]);
	if (isfinite(r->loss) && is_finite(&s))
		return true;
	ebb_error_set(&r->o->error, EBB_NOT_FINITE, NULL,
		"lbfgs: the loss %g or its gradient is not finite after a step of lr %g: expected "
		"a smaller lr, or .line_search = EBB_STRONG_WOLFE",
		r->loss, r->o->lr);
	return false;
}

/* One iteration, from the gradient at the present parameters.  *more says whether another one may
 * follow.  False with an error. */
static bool iterate(run *r, bool last, bool *more)
{
	const ebb_lbfgs_state *l = r->o->lbfgs;
	double before = r->loss, t = r->o->lr, slope, largest;
	bool newton = r->count > 0 || r->pending;
	ebb_kernel_stats g;
	ebb_pair *p;

	*more = false;
	if (!complete_pair(r))
		return false;
	find_direction(r);
	g = stats(r, r->vector[GRADIENT]);
	if (r->iterations++ == 0)
		t *= fmin(1, 1 / g.sum_abs);
	slope = dot(r, r->vector[GRADIENT], r->vector[DIRECTION]);
	if (!(slope < 0) || slope > -l->tolerance_change)
		return true;
	p = ebb_pair_take(r->m);
	if (!p)
		return no_memory(r);
	r->pending = p;
	scale(r, -1, r->vector[GRADIENT], ebb_pair_y(r->m, p));
	largest = stats(r, r->vector[DIRECTION]).max_abs;
	read_parameters(r, r->vector[BASE]);
	if (!(l->line_search == EBB_STRONG_WOLFE ? search(r, slope, largest, &t)
						 : move(r, t, last)))
		return false;
	scale(r, t, r->vector[DIRECTION], ebb_pair_s(r->m, p));
	g = stats(r, r->vector[GRADIENT]);
	*more = !last && r->evaluations < l->max_eval && g.max_abs > l->tolerance_grad;
	if (t == 0 && newton) {
		/* The memory has no descent direction any more: the next one is the gradient's. */
		forget(r);
	} else if (t * largest <= l->tolerance_change ||
		   fabs(r->loss - before) < l->tolerance_change) {
		*more = false;
	}
	return true;
}

/* ---- The step ------------------------------------------------------------------------------- */

/* Whether the memory's vectors consist of the parameters that have a gradient now. */
static bool is_same(const ebb_curvature *m, const ebb_optim *o, const bool *active)
{
	if (!m)
		return false;
	for (int64_t i = 0; i < o->count || i < m->params; i++)
		if ((i < o->count && active[i]) != (i < m->params && m->active[i]))
			return false;
	return true;
}

/* Chooses the memory: the optimizer's, or an empty one if other parameters have a gradient. */
static bool choose_memory(run *r)
{
	ebb_optim *o = r->o;
	bool *active = ebb_alloc_zeroed((size_t)o->count * sizeof *active);
	int64_t found = 0;

	for (int64_t i = 0; active && i < o->count; i++) {
		active[i] = ebb_requires_grad(o->slots[i].w) && ebb_has_grad(o->slots[i].w);
		found += active[i];
	}
	if (o->count > 0 && !active)
		return no_memory(r);
	if (found == 0)
		ebb_error_set(&o->error, EBB_BAD_STATE, NULL,
			"lbfgs: none of %lld parameters has a gradient: the closure must call "
			"ebb_backward, and not every parameter may be frozen",
			(long long)o->count);
	else
		r->m = is_same(o->lbfgs->memory, o, active)
		               ? o->lbfgs->memory
		               : ebb_curvature_new(o, o->count, active);
	ebb_free(active, active ? (size_t)o->count * sizeof *active : 0);
	return r->m || (found > 0 && no_memory(r));
}

/* Evaluates the start, and copies the state that the step changes. */
static bool begin(run *r)
{
	ebb_kernel_stats s;

	if (!call(r) || !choose_memory(r))
		return false;
	for (int i = 0; i < EBB_LBFGS_VECTORS; i++)
		r->vector[i] = ebb_lbfgs_vector(r->m, i);
	r->count = r->m->count;
	r->iterations = r->m->iterations;
	r->pending = r->m->pending;
	r->scale = r->m->scale;
	for (int64_t i = 0; i < r->count; i++) {
		r->m->trial_pairs[i] = r->m->pairs[i];
		r->m->trial_ro[i] = r->m->ro[i];
	}
	read_parameters(r, r->vector[START]);
	if (!read_gradients(r, r->vector[GRADIENT]))
		return false;
	s = stats(r, r->vector[GRADIENT]);
	if (isfinite(r->loss) && is_finite(&s))
		return true;
	ebb_error_set(&r->o->error, EBB_NOT_FINITE, NULL,
		"lbfgs: the loss at the start of the step is %g, and its gradient has %lld NaN of "
		"%lld and the largest magnitude %g: expected finite numbers",
		r->loss, (long long)s.nan, (long long)s.n, s.max_abs);
	return false;
}

static void commit(run *r)
{
	ebb_curvature *m = r->m;

	for (int64_t i = 0; i < r->count; i++) {
		m->pairs[i] = m->trial_pairs[i];
		m->ro[i] = m->trial_ro[i];
	}
	m->count = r->count;
	m->iterations = r->iterations;
	m->pending = r->pending;
	m->scale = r->scale;
	ebb_curvature_sweep(m);
	if (m != r->o->lbfgs->memory) {
		ebb_curvature_free(r->o->lbfgs->memory);
		r->o->lbfgs->memory = m;
	}
	for (int64_t i = 0; i < m->params; i++)
		r->o->slots[i].steps += m->active[i];
	r->o->steps++;
}

/* start: the values of the parameters are in START. */
static void roll_back(run *r, bool start)
{
	if (start)
		write_parameters(r, r->vector[START], 0, NULL);
	if (r->m && r->m == r->o->lbfgs->memory)
		ebb_curvature_sweep(r->m);
	else
		ebb_curvature_free(r->m);
	ebb_params_zero_grad(r->o->p);
}

double ebb_lbfgs_step(ebb_optim *o, ebb_closure closure, void *ctx)
{
	run r = {.o = o,
		.closure = closure,
		.ctx = ctx,
		.k = ebb_optim_kernels(o),
		.own = ebb_float_enter(true)};
	bool ok, started, more = true;
	double loss;

	ok = started = begin(&r);
	loss = r.loss;
	/* A minimum needs no iteration. */
	if (ok)
		more = stats(&r, r.vector[GRADIENT]).max_abs > o->lbfgs->tolerance_grad;
	for (int64_t i = 1; ok && more && i <= o->lbfgs->max_iter; i++)
		ok = iterate(&r, i == o->lbfgs->max_iter, &more);
	if (ok)
		commit(&r);
	else
		roll_back(&r, started);
	ebb_float_leave(r.own);
	return ok ? loss : NAN;
}
