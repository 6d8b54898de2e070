/* gradcheck.c - ebb_gradcheck: gradients against central differences, in double precision. */
#include "autograd/internal.h"
#include "tensor/option.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_INPUTS = 8 };

typedef struct check {
	const ebb_gradcheck_args *a;
	ebb_tape *t;
	double eps, rtol, atol;
	ebb_tensor *x[MAX_INPUTS]; /* copies of the inputs, perturbed in place */
	ebb_tensor *u;             /* the random cotangent of y */
	ebb_tensor *v[MAX_INPUTS]; /* the random cotangents of the gradients, for .second */
	double *analytic[MAX_INPUTS + 1];
	uint64_t random;
	bool nonzero;
} check;

static ebb_error *sink(check *c)
{
	return c->a->error;
}

/* Fills the caller's error with the reason why fn has no result.  Returns false. */
static bool no_result(check *c)
{
	if (ebb_failed(c->t))
		ebb_error_set(sink(c), ebb_error_status(c->t), c->a->site, "gradcheck: %s",
			ebb_error_message(c->t));
	else
		ebb_error_set(
			sink(c), EBB_INVALID, c->a->site, "gradcheck: the function returned NULL");
	return false;
}

static bool is_real(const ebb_tensor *x)
{
	return x->dtype == EBB_F64;
}

/* A roughly normal number of magnitude 0.1 or more: a sum of uniform numbers of splitmix64 (Steele
 * et al. 2014). */
static double draw(check *c)
{
	double sum = 0;

	for (int i = 0; i < 4; i++) {
		uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		sum += (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
	}
	return (sum - 2.0) * 1.7 + (sum > 2.0 ? 0.1 : -0.1);
}

static ebb_tensor *random_like(check *c, const ebb_tensor *x)
{
	ebb_tensor *r = ebb_tensor_new(EBB_F64, ebb_shape_of(x), false, sink(c));
	double *p;

	if (!r)
		return NULL;
	p = ebb_data_mutable(r);
	for (int64_t i = 0; i < r->count; i++)
		p[i] = draw(c);
	return r;
}

/* Evaluates fn on an empty tape, with new variables vars[0..n-1] for the inputs.  vars[n] is a
 * variable for u, or NULL before there is a u. */
static ebb_tensor *evaluate(check *c, ebb_tensor **vars)
{
	const ebb_gradcheck_args *a = c->a;
	ebb_tensor *in[MAX_INPUTS], *y;

	ebb_tape_reset(c->t);
	ebb_seed(c->t, a->seed);
	for (int k = 0; k < a->n; k++)
		in[k] = vars[k] = is_real(c->x[k]) ? (ebb_variable)(c->t, c->x[k], NULL) : c->x[k];
	vars[a->n] = c->u ? (ebb_variable)(c->t, c->u, NULL) : NULL;
	y = a->fn(c->t, in, a->ctx);
	return y && !ebb_failed(c->t) ? ebb_usable(c->t, y, "the checked function", 0, NULL) : NULL;
}

static double dot(const ebb_tensor *a, const ebb_tensor *b)
{
	double sum = 0;

	for (int64_t i = 0; i < a->count; i++)
		sum += ebb_value_at(a, i) * ebb_value_at(b, i);
	return sum;
}

/* The gradients of the F64 inputs with the cotangent u; out[k] is NULL for an integer input. */
static bool gradients(
	check *c, ebb_tensor *y, ebb_tensor **vars, ebb_tensor **out, bool create_graph)
{
	ebb_tensor *targets[MAX_INPUTS], *g[MAX_INPUTS];
	int m = 0, j = 0;

	for (int k = 0; k < c->a->n; k++)
		if (is_real(c->x[k]))
			targets[m++] = vars[k];
	if (!(ebb_grad)(&(ebb_grad_args){
		    c->t, y, m, targets, g, vars[c->a->n], create_graph, NULL}))
		return false;
	for (int k = 0; k < c->a->n; k++)
		out[k] = is_real(c->x[k]) ? g[j++] : NULL;
	return true;
}

/* The number whose derivative is checked: sum u*y, or (second) the sum over inputs of sum
 * v*gradient. */
static double scalar_value(check *c, bool second)
{
	ebb_tensor *vars[MAX_INPUTS + 1], *g[MAX_INPUTS], *y;
	double sum = 0;
	char now[240], then[240];

	if (!second)
		ebb_set_recording(c->t, false);
	y = evaluate(c, vars);
	ebb_set_recording(c->t, true);
	if (!y || ebb_failed(c->t))
		return NAN;
	if (!ebb_same_shape(y, c->u)) {
		ebb_fail(c->t, EBB_BAD_SHAPE, NULL,
			"the function's result is %s; at the first evaluation it was %s",
			ebb_describe(y, now, sizeof now), ebb_describe(c->u, then, sizeof then));
		return NAN;
	}
	if (!second)
		return dot(c->u, y);
	if (!gradients(c, y, vars, g, false))
		return NAN;
	for (int k = 0; k < c->a->n; k++)
		if (g[k])
			sum += dot(c->v[k], g[k]);
	return sum;
}

/* Fills analytic[k] with the derivative of scalar_value by input k; k = n: by u. */
static bool differentiate(check *c, bool second)
{
	int n = c->a->n;
	ebb_tensor *vars[MAX_INPUTS + 1], *g[MAX_INPUTS], *targets[MAX_INPUTS + 1],
		*h[MAX_INPUTS + 1];
	int which[MAX_INPUTS + 1], m = 0;
	ebb_tensor *y = evaluate(c, vars);

	if (!y || ebb_failed(c->t) || !gradients(c, y, vars, g, second))
		return false;
	if (!second) {
		for (int k = 0; k < n; k++)
			for (int64_t i = 0; g[k] && i < g[k]->count; i++)
				c->analytic[k][i] = ebb_value_at(g[k], i);
		return true;
	}
	for (int k = 0; k <= n; k++) {
		if (k < n && !is_real(c->x[k]))
			continue;
		which[m] = k;
		targets[m++] = vars[k];
		memset(c->analytic[k], 0, (size_t)vars[k]->count * sizeof(double));
	}
	for (int k = 0; k < n; k++) {
		if (!g[k] || g[k]->node < 0)
			continue;
		if (!(ebb_grad)(&(ebb_grad_args){c->t, g[k], m, targets, h, c->v[k], false, NULL}))
			return false;
		for (int j = 0; j < m; j++)
			for (int64_t i = 0; i < h[j]->count; i++)
				c->analytic[which[j]][i] += ebb_value_at(h[j], i);
	}
	return true;
}

/* Compares analytic[k] with central differences for each element of x, which is input k, or u for k
 * = n.  False: the caller's error says which element differs. */
static bool compare(check *c, int k, ebb_tensor *x, bool second)
{
	char input[24];

	snprintf(input, sizeof input, "input %d", k);
	for (int64_t i = 0; i < x->count; i++) {
		int64_t at = ebb_offset_of(x, i);
		double was = ((double *)(void *)x->data)[at], up, down, numeric,
		       analytic = c->analytic[k][i];

		((double *)(void *)x->data)[at] = was + c->eps;
		up = scalar_value(c, second);
		((double *)(void *)x->data)[at] = was - c->eps;
		down = scalar_value(c, second);
		((double *)(void *)x->data)[at] = was;
		numeric = (up - down) / (2 * c->eps);
		if (analytic != 0)
			c->nonzero = true;
		if (!(fabs(analytic - numeric) <= c->atol + c->rtol * fabs(numeric))) {
			if (ebb_failed(c->t))
				return no_result(c);
			ebb_error_set(sink(c), EBB_INVALID, c->a->site,
				"gradcheck: %s of %s, element %lld: computed %.12g, central "
				"difference %.12g",
				second ? "second derivative" : "gradient",
				k == c->a->n ? "the cotangent" : input, (long long)i, analytic,
				numeric);
			return false;
		}
	}
	return true;
}

static bool run_order(check *c, bool second)
{
	if (!differentiate(c, second))
		return no_result(c);
	for (int k = 0; k < c->a->n; k++)
		if (is_real(c->x[k]) && !compare(c, k, c->x[k], second))
			return false;
	return !second || compare(c, c->a->n, c->u, second);
}

static const char *describe_input(const ebb_tensor *x, char *text, size_t size)
{
	if (!x)
		return "NULL";
	return x->tape ? "a tape's tensor" : ebb_describe(x, text, size);
}

static bool prepare(check *c)
{
	const ebb_gradcheck_args *a = c->a;
	ebb_tensor *vars[MAX_INPUTS + 1], *y;
	char text[240];
	int real = 0;

	if (!a->fn || a->n < 1 || a->n > MAX_INPUTS || !a->x) {
		ebb_error_set(sink(c), EBB_INVALID, c->a->site,
			"gradcheck: %s; expected fn, x and n from 1 to %d, got n = %d",
			!a->fn  ? "fn is NULL"
			: !a->x ? "x is NULL"
				: "the number of inputs is out of range",
			MAX_INPUTS, a->n);
		return false;
	}
	for (int k = 0; k < a->n; k++) {
		const ebb_tensor *x = a->x[k];

		if (!x || x->tape || x->dtype == EBB_F32) {
			ebb_error_set(sink(c), EBB_BAD_DTYPE, c->a->site,
				"gradcheck: input %d is %s, expected a persistent F64 or integer "
				"tensor",
				k, describe_input(x, text, sizeof text));
			return false;
		}
		c->x[k] = ebb_detach_copy(x);
		if (!c->x[k])
			return false;
		if (!is_real(x))
			continue;
		real++;
		c->v[k] = random_like(c, x);
		c->analytic[k] = ebb_alloc_zeroed((size_t)(x->count + 1) * sizeof(double));
		if (!c->v[k] || !c->analytic[k])
			return false;
	}
	if (!real) {
		ebb_error_set(sink(c), EBB_BAD_DTYPE, c->a->site, "gradcheck: no input is F64");
		return false;
	}
	c->t = ebb_tape_new();
	if (!c->t)
		return false;
	ebb_set_default_dtype(c->t, EBB_F64);
	ebb_set_training(c->t, !a->eval);
	y = evaluate(c, vars);
	if (!y || ebb_failed(c->t))
		return no_result(c);
	c->u = random_like(c, y);
	if (!c->u)
		return false;
	c->analytic[a->n] = ebb_alloc_zeroed((size_t)(y->count + 1) * sizeof(double));
	return c->analytic[a->n] != NULL;
}

static void clean_up(check *c)
{
	ebb_tape_free(c->t);
	for (int k = 0; k < c->a->n && k < MAX_INPUTS; k++) {
		if (c->x[k])
			ebb_free(c->analytic[k], (size_t)(c->x[k]->count + 1) * sizeof(double));
		ebb_tensor_free(c->x[k]);
		ebb_tensor_free(c->v[k]);
	}
	if (c->u)
		ebb_free(c->analytic[c->a->n], (size_t)(c->u->count + 1) * sizeof(double));
	ebb_tensor_free(c->u);
}

bool(ebb_gradcheck)(const ebb_gradcheck_args *a)
{
	check c = {.a = a, .random = a->seed + 1};
	bool ok;

	c.eps = ebb_option(a->eps, 1e-6);
	c.rtol = ebb_option(a->rtol, 1e-5);
	c.atol = ebb_option(a->atol, 1e-7);
	ok = c.eps > 0 && c.rtol >= 0 && c.atol >= 0;
	if (!ok)
		ebb_error_set(sink(&c), EBB_INVALID, a->site,
			"gradcheck: eps %g, rtol %g, atol %g; eps must be positive, the others not "
			"negative",
			c.eps, c.rtol, c.atol);
	ok = ok && prepare(&c);
	ok = ok && run_order(&c, false);
	if (ok && !c.nonzero && !a->allow_zero) {
		ebb_error_set(sink(&c), EBB_INVALID, a->site,
			"gradcheck: every gradient is zero; expected a nonzero one "
			"(or .allow_zero)");
		ok = false;
	}
	ok = ok && (!a->second || run_order(&c, true));
	if (!ok)
		ebb_error_set(sink(&c), EBB_NO_MEMORY, a->site, "gradcheck: no memory");
	clean_up(&c);
	return ok;
}
