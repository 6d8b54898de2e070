/* grad_cam.c - class activation maps by gradients (Selvaraju et al. 2017). */
#include "explain/layer.h"

#undef EBB_SITE
#define EBB_SITE q->site

/* map[n] = max(0, sum over c of w[n,c] A[n,c]), with w[n,c] the mean of g[n,c]. */
static void weigh(const ebb_found_layer *a, const double *g, double *map)
{
	int64_t n = a->shape.dims[0], c = a->shape.dims[1],
		pixels = a->shape.dims[2] * a->shape.dims[3];

	for (int64_t i = 0; i < n * c; i++) {
		double *into = map + i / c * pixels, weight = 0;

		for (int64_t p = 0; p < pixels; p++)
			weight += g[i * pixels + p];
		weight /= (double)pixels;
		for (int64_t p = 0; p < pixels; p++)
			into[p] += weight * a->values[i * pixels + p];
	}
	for (int64_t p = 0; p < n * pixels; p++)
		map[p] = map[p] < 0 ? 0 : map[p]; /* NaN stays */
}

/* The gradient of the scores with respect to the layer. */
static bool differentiate(ebb_query *q, ebb_found_layer *layer, const ebb_grad_cam_args *a,
	const int64_t *classes, double **g, int64_t *elements)
{
	ebb_tensor *score = ebb_layer_run(q, layer, ebb_variable(q->t, a->x)), *gradient;

	score = score ? ebb_query_score(q, score, classes) : NULL;
	if (!score || !ebb_grad(q->t, score, 1, &layer->y, &gradient))
		return false;
	*elements = ebb_count(layer->y);
	*g = ebb_query_memory(q, *elements, sizeof **g);
	return *g && ebb_query_add(q, gradient, 1, *g);
}

ebb_tensor *(ebb_grad_cam)(const ebb_grad_cam_args *a)
{
	ebb_query query = ebb_query_begin(a->t, "grad_cam", a->network, a->ctx, a->x,
			  (ebb_rules){.unfused = true}, a->site),
		  *q = &query;
	ebb_found_layer layer = {.name = a->layer, .n = q->n};
	int64_t *classes = ebb_query_memory(q, q->n, sizeof *classes), elements = 0, height = 0,
		width = 0;
	double *g = NULL, *map = NULL;
	ebb_tensor *y = NULL;

	if (q->ok && a->resize && q->shape.ndim != 4) {
		ebb_fail(q->t, EBB_BAD_SHAPE, q->site,
			"grad_cam: .resize needs images x [N,C,H,W], x has %d axes", q->shape.ndim);
		q->ok = false;
	}
	q->ok = q->ok && ebb_query_classes(q, a->x, a->classes, classes) &&
	        differentiate(q, &layer, a, classes, &g, &elements);
	if (q->ok) {
		height = layer.shape.dims[2], width = layer.shape.dims[3];
		map = ebb_query_memory(q, q->n * height * width, sizeof *map);
	}
	if (map)
		weigh(&layer, g, map);
	ebb_query_end(q);
	if (map)
		y = ebb_query_result(q, EBB_SHAPE(q->n, 1, height, width), ebb_dtype_of(a->x), map);
	if (y && a->resize)
		y = ebb_upsample(q->t, y, EBB_BILINEAR,
			.size_hw = {(int)q->shape.dims[2], (int)q->shape.dims[3]});
	ebb_free(map, (size_t)(q->n * height * width) * sizeof *map);
	ebb_free(g, (size_t)elements * sizeof *g);
	ebb_free(classes, (size_t)q->n * sizeof *classes);
	ebb_layer_free(&layer);
	return y;
}
