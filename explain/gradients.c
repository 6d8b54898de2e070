/* gradients.c - saliency and SmoothGrad: gradients of scores with respect to images. */
#include "explain/attribution.h"

#include <math.h>

#include "explain/internal.h"
#include "tensor/option.h"

#undef EBB_SITE
#define EBB_SITE q->site

/* Adds d score/dx at x to sum. */
static bool add_gradient(ebb_query *q, ebb_tensor *x, const int64_t *classes, double *sum)
{
	ebb_tensor *leaf = ebb_variable(q->t, x), *g;
	ebb_tensor *score = ebb_query_scores(q, leaf);

	score = score ? ebb_query_score(q, score, classes) : NULL;
	return score && ebb_grad(q->t, score, 1, &leaf, &g) && ebb_query_add(q, g, 1, sum);
}

static ebb_tensor *saliency(const ebb_saliency_args *a, ebb_rules rules, const char *what)
{
	ebb_query query = ebb_query_begin(a->t, what, a->network, a->ctx, a->x, rules, a->site),
		  *q = &query;
	int64_t count = ebb_count(a->x);
	ebb_dtype dtype = ebb_dtype_of(a->x);
	double *sum = ebb_query_memory(q, count, sizeof *sum);
	int64_t *classes = ebb_query_memory(q, q->n, sizeof *classes);
	ebb_tensor *y;

	q->ok = q->ok && ebb_query_classes(q, a->x, a->classes, classes) &&
	        add_gradient(q, a->x, classes, sum);
	ebb_query_end(q);
	y = ebb_query_result(q, q->shape, dtype, sum);
	ebb_free(classes, (size_t)q->n * sizeof *classes);
	ebb_free(sum, (size_t)count * sizeof *sum);
	return y;
}

ebb_tensor *(ebb_saliency)(const ebb_saliency_args *a)
{
	return saliency(a, a->rules, "saliency");
}

ebb_tensor *(ebb_guided_backprop)(const ebb_saliency_args *a)
{
	return saliency(a, ebb_guided_rules(), "guided_backprop");
}

/* ---- SmoothGrad ------------------------------------------------------------------------------ */

/* x's shape with size 1 on all axes but the first. */
static ebb_shape one_per_image(const ebb_query *q)
{
	ebb_shape s = q->shape;

	for (int i = 1; i < s.ndim; i++)
		s.dims[i] = 1;
	return s;
}

/* x with normal noise of sigma times the range of each image. */
static ebb_tensor *with_noise(ebb_query *q, ebb_tensor *x, double sigma)
{
	ebb_tensor *flat = ebb_reshape(q->t, x, EBB_SHAPE(q->n, -1));
	ebb_tensor *range = ebb_sub(q->t, ebb_max(q->t, flat, .axes = EBB_AXES(1)),
		ebb_min(q->t, flat, .axes = EBB_AXES(1)));

	range = ebb_reshape(q->t, ebb_mul_scalar(q->t, range, sigma), one_per_image(q));
	return ebb_detach(q->t, ebb_add(q->t, x, ebb_mul(q->t, ebb_randn(q->t, q->shape), range)));
}

ebb_tensor *(ebb_smoothgrad)(const ebb_smoothgrad_args *a)
{
	ebb_query query = ebb_query_begin(
			  a->t, "smoothgrad", a->network, a->ctx, a->x, a->rules, a->site),
		  *q = &query;
	int64_t count = ebb_count(a->x);
	ebb_dtype dtype = ebb_dtype_of(a->x);
	int samples = (int)ebb_option_count(a->samples, 50);
	double sigma = ebb_option(a->sigma, 0.15);
	double *sum = ebb_query_memory(q, count, sizeof *sum);
	int64_t *classes = ebb_query_memory(q, q->n, sizeof *classes);
	ebb_tensor *y;

	if (q->ok && (samples < 1 || !(sigma >= 0 && isfinite(sigma)))) {
		ebb_fail(q->t, EBB_INVALID, q->site,
			"smoothgrad: samples is %d and sigma %g, expected at least 1, and a finite "
			"number that is not negative",
			samples, sigma);
		q->ok = false;
	}
	q->ok = q->ok && ebb_query_classes(q, a->x, a->classes, classes);
	for (int i = 0; q->ok && i < samples; i++) {
		ebb_mark m = ebb_tape_mark(q->t);

		q->ok = add_gradient(q, with_noise(q, a->x, sigma), classes, sum);
		if (q->ok)
			ebb_rewind(q->t, m);
	}
	for (int64_t i = 0; q->ok && i < count; i++)
		sum[i] /= samples;
	ebb_query_end(q);
	y = ebb_query_result(q, q->shape, dtype, sum);
	ebb_free(classes, (size_t)q->n * sizeof *classes);
	ebb_free(sum, (size_t)count * sizeof *sum);
	return y;
}
