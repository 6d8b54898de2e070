/* integrated.c - integrated gradients, with as many steps as completeness needs. */
#include <math.h>
#include <string.h>

#include "explain/attribution.h"
#include "explain/internal.h"
#include "tensor/option.h"

#undef EBB_SITE
#define EBB_SITE q->site

/* The path of one image from its baseline, and the sum of the gradients at the points so far. */
typedef struct path {
	ebb_tensor *x, *baseline; /* [1,...] */
	int64_t class;
	double *sum, *difference; /* x - baseline */
	int64_t size;
	ebb_completeness reached;
} path;

/* Adds the gradients at the points s[0..k-1] of the path, weighted, to the path's sum.  score: NULL,
 * or the scores at the points. */
static bool add_points(ebb_query *q, path *p, int k, const double *s, double weight, double *score)
{
	ebb_mark m = ebb_tape_mark(q->t);
	ebb_shape shape = q->shape;
	int64_t classes[64];
	ebb_tensor *at, *leaf, *y, *g, *total;
	double *all;
	bool ok;

	for (int i = 0; i < shape.ndim; i++)
		shape.dims[i] = 1;
	shape.dims[0] = k;
	for (int i = 0; i < k; i++)
		classes[i] = p->class;
	at = ebb_reshape(q->t, ebb_from_f64(q->t, EBB_SHAPE(k), s), shape);
	at = ebb_add(q->t, p->baseline, ebb_mul(q->t, at, ebb_sub(q->t, p->x, p->baseline)));
	leaf = ebb_variable(q->t, ebb_detach(q->t, at));
	y = ebb_query_scores(q, leaf);
	total = y ? ebb_query_score(q, y, classes) : NULL;
	if (!total || !ebb_grad(q->t, total, 1, &leaf, &g))
		return false;
	for (int i = 0; score && i < k; i++)
		score[i] = ebb_at(y, i * ebb_size(y, 1) + p->class);
	all = ebb_query_memory(q, k * p->size, sizeof *all);
	ok = all && ebb_query_add(q, g, weight, all);
	for (int64_t i = 0; ok && i < k * p->size; i++)
		p->sum[i % p->size] += all[i];
	ebb_free(all, (size_t)(k * p->size) * sizeof *all);
	if (ok)
		ebb_rewind(q->t, m);
	p->reached.steps += k;
	return ok;
}

/* Adds the gradients at (2i+1)/(2n) for i < n, or with ends at i/n for 0 < i < n. */
static bool add_between(ebb_query *q, path *p, int n, int batch, bool middles)
{
	double s[64];
	int k = 0;

	for (int i = middles ? 0 : 1; i < n; i++) {
		s[k++] = middles ? (2 * i + 1) / (2.0 * n) : (double)i / n;
		if (k == batch || i == n - 1) {
			if (!add_points(q, p, k, s, 1, NULL))
				return false;
			k = 0;
		}
	}
	return true;
}

/* Whether the attributions for the sum over n intervals are complete. */
static bool is_complete(path *p, int n, double tolerance)
{
	double change = p->reached.score - p->reached.baseline_score;

	p->reached.sum = 0;
	for (int64_t i = 0; i < p->size; i++)
		p->reached.sum += p->sum[i] / n * p->difference[i];
	return fabs(p->reached.sum - change) <= tolerance * fabs(change);
}

/* The trapezoidal rule: the sum of the gradients at all points, half of those at the ends, divided by
 * the number of intervals.  Doubling adds the points in the middles.  *complete becomes false if the
 * sum has not become complete. */
static bool integrate(ebb_query *q, path *p, const ebb_integrated_gradients_args *a, bool *complete)
{
	const double ends[2] = {0, 1};
	double score[2];
	int n = a->min_steps, both = a->batch < 2 ? 1 : 2;
	bool done;

	for (int i = 0; i < 2; i += both)
		if (!add_points(q, p, both, ends + i, 0.5, score + i))
			return false;
	if (!add_between(q, p, n, a->batch, false))
		return false;
	p->reached.baseline_score = score[0];
	p->reached.score = score[1];
	while (!(done = is_complete(p, n, a->tolerance)) && 2 * n <= a->max_steps) {
		if (!add_between(q, p, n, a->batch, true))
			return false;
		n *= 2;
	}
	*complete &= done;
	for (int64_t i = 0; i < p->size; i++)
		p->sum[i] = p->sum[i] / n * p->difference[i];
	return true;
}

static bool checks(ebb_query *q, ebb_integrated_gradients_args *a)
{
	char x[240], b[240];

	a->tolerance = ebb_option(a->tolerance, 1e-3);
	a->min_steps = (int)ebb_option_count(a->min_steps, 16);
	a->max_steps = (int)ebb_option_count(a->max_steps, 4096);
	a->batch = (int)ebb_option_count(a->batch, 8);
	if (!(a->tolerance >= 0) || a->min_steps < 1 || a->max_steps < a->min_steps ||
		a->max_steps > 1 << 28 || a->batch < 1 || a->batch > 64) {
		ebb_fail(q->t, EBB_INVALID, q->site,
			"%s: tolerance is %g, min_steps %d, max_steps %d, batch %d; expected "
			"tolerance >= 0, 1 <= min_steps <= max_steps <= 2^28, 1 <= batch <= 64",
			q->what, a->tolerance, a->min_steps, a->max_steps, a->batch);
		return false;
	}
	if (!a->baseline)
		return true;
	if (ebb_dtype_of(a->baseline) == ebb_dtype_of(a->x) &&
		ebb_ndim(a->baseline) == ebb_ndim(a->x)) {
		bool same = true;

		for (int i = 0; i < ebb_ndim(a->x); i++)
			same = same && ebb_size(a->x, i) == ebb_size(a->baseline, i);
		if (same)
			return true;
	}
	ebb_fail(q->t, EBB_BAD_SHAPE, q->site,
		"%s: the baseline must have the type and shape of x %s, "
		"got %s",
		q->what, ebb_describe(a->x, x, sizeof x), ebb_describe(a->baseline, b, sizeof b));
	return false;
}

/* Image n as a path; its attributions are added to sum. */
static bool one_image(ebb_query *q, const ebb_integrated_gradients_args *a, int64_t n,
	int64_t class, double *sum, double *difference, bool *complete)
{
	ebb_tensor *x = ebb_slice(q->t, ebb_detach(q->t, a->x), 0, n, n + 1, 1);
	path p = {.x = x,
		.baseline = a->baseline
	                            ? ebb_slice(q->t, ebb_detach(q->t, a->baseline), 0, n, n + 1, 1)
	                            : ebb_zeros_like(q->t, x),
		.class = class,
		.sum = sum,
		.difference = difference,
		.size = ebb_count(x)};
	bool ok;

	q->only = n + 1;
	memset(difference, 0, (size_t)p.size * sizeof *difference);
	ok = !ebb_failed(q->t) && ebb_query_add(q, p.x, 1, difference) &&
	     ebb_query_add(q, p.baseline, -1, difference) && integrate(q, &p, a, complete);
	if (a->result)
		a->result[n] = p.reached;
	return ok;
}

ebb_tensor *(ebb_integrated_gradients)(const ebb_integrated_gradients_args *args)
{
	ebb_integrated_gradients_args all = *args, *a = &all;
	ebb_query query = ebb_query_begin(a->t, "integrated_gradients", a->network, a->ctx, a->x,
			  (ebb_rules){0}, a->site),
		  *q = &query;
	int64_t count = ebb_count(a->x), size = q->n ? count / q->n : 0;
	ebb_dtype dtype = ebb_dtype_of(a->x);
	double *sum = ebb_query_memory(q, count, sizeof *sum);
	double *difference = ebb_query_memory(q, size, sizeof *difference);
	int64_t *classes = ebb_query_memory(q, q->n, sizeof *classes);
	bool complete = true;
	ebb_tensor *y;

	q->ok = q->ok && checks(q, a) && ebb_query_classes(q, a->x, a->classes, classes);
	for (int64_t n = 0; q->ok && n < q->n; n++)
		q->ok = one_image(q, a, n, classes[n], sum + n * size, difference, &complete);
	ebb_query_end(q);
	y = ebb_query_result(q, q->shape, dtype, sum);
	if (a->complete)
		*a->complete = y && complete;
	ebb_free(classes, (size_t)q->n * sizeof *classes);
	ebb_free(difference, (size_t)size * sizeof *difference);
	ebb_free(sum, (size_t)count * sizeof *sum);
	return y;
}
