/*
 * layer.c - the result of a layer, found by the name of its scope while the network runs, and the
 * gradients of its units.
 */
#include <string.h>

#include "explain/layer.h"

#undef EBB_SITE
#define EBB_SITE q->site

/* How well a path fits a name: 2 if the name is the path or its last names, 1 if the path goes on behind
 * it ("layer4" for "resnet.layer4.1"), else 0. */
static int fit(const char *path, const char *name)
{
	size_t k = strlen(name);
	int best = 0;

	for (const char *at = path; k > 0 && (at = strstr(at, name)); at++) {
		if (at > path && at[-1] != '.')
			continue;
		if (!at[k])
			return 2;
		if (at[k] == '.')
			best = 1;
	}
	return best;
}

static int names_in(const char *path)
{
	int n = 1;

	for (; *path; path++)
		n += *path == '.';
	return n;
}

/* Whether the scope is to replace the layer that was found before: it fits better, or as well with
 * no more names in its path. */
static bool is_better(ebb_found_layer *a, const char *path, const ebb_tensor *y)
{
	int how = a->name ? fit(path, a->name) : ebb_size(y, 2) * ebb_size(y, 3) > 1;

	if (!how || how < a->fit)
		return false;
	if (a->name && how == a->fit && names_in(path) > names_in(a->path))
		return false;
	a->fit = how;
	return true;
}

/* Adds the path to the list for errors, unless it is there. */
static void list_path(ebb_found_layer *a, const char *path)
{
	size_t used = strlen(a->seen), n = strlen(path);
	const char *at = a->seen;

	if (!n)
		return;
	while ((at = strstr(at, path))) {
		if ((at == a->seen || at[-1] == ' ') && (at[n] == ',' || !at[n]))
			return;
		at += n;
	}
	if (used + n + 3 < sizeof a->seen) {
		strcat(a->seen, used ? ", " : "");
		strcat(a->seen, path);
	} else {
		a->more = true;
	}
}

static bool copy_values(ebb_found_layer *a, const ebb_tensor *y)
{
	int64_t n = ebb_count(y);
	bool narrow = ebb_dtype_of(y) == EBB_F32;
	double *into;

	ebb_free(a->values, a->bytes);
	a->bytes = (size_t)n * sizeof *into;
	a->values = into = ebb_alloc(a->bytes);
	if (!into)
		return false;
	/* Floats lie in the second half, which is overwritten from the front on only where they have
	 * been read. */
	if (!narrow)
		return ebb_copy_out(y, into, a->bytes);
	if (!ebb_copy_out(y, (float *)(void *)into + n, (size_t)n * sizeof(float)))
		return false;
	for (int64_t i = 0; i < n; i++)
		into[i] = (double)((const float *)(const void *)into)[n + i];
	return true;
}

static void scope_ended(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	ebb_found_layer *a = ctx;
	const ebb_node *node = ebb_node_of(y);
	const char *path = ebb_scope_path(scope);

	if (!node || ebb_ndim(y) != 4 || ebb_part_of(y) >= 0 || ebb_size(y, 0) != a->n ||
		!ebb_count(y))
		return;
	list_path(a, path);
	if (!is_better(a, path, y))
		return;
	a->path = path;
	a->node = node;
	a->index = ebb_node_index(node);
	a->op = ebb_node_op(node);
	a->scope = ebb_node_scope(node);
	a->shape = ebb_shape_of(y);
	a->failed = !copy_values(a, y);
}

/* Whether the layer's node is still recorded, and not another one in its place: the end of a
 * checkpoint's first run, and a network itself, may have rewound the tape. */
static bool is_recorded(const ebb_query *q, const ebb_found_layer *a)
{
	const ebb_node *n = ebb_node_at(q->t, a->index);
	ebb_shape s = ebb_shape_of(ebb_node_output(n));

	return n == a->node && ebb_node_op(n) == a->op && ebb_node_scope(n) == a->scope &&
	       s.ndim == a->shape.ndim &&
	       memcmp(s.dims, a->shape.dims, (size_t)s.ndim * sizeof *s.dims) == 0;
}

ebb_tensor *ebb_layer_run(ebb_query *q, ebb_found_layer *a, ebb_tensor *x)
{
	const ebb_observer watch = {.ctx = a, .scope_ended = scope_ended};
	ebb_tensor *score;

	if (ebb_is_replaying(q->t))
		return ebb_fail(q->t, EBB_BAD_STATE, q->site,
			"%s: the second run of a checkpoint does not report layers", q->what);
	if (!ebb_observe(q->t, &watch))
		return ebb_fail(q->t, EBB_BAD_STATE, q->site,
			"%s: the tape has no place for another observer", q->what);
	score = ebb_query_scores(q, x);
	ebb_unobserve(q->t, &watch);
	if (ebb_failed(q->t))
		return NULL;
	if (a->failed)
		return ebb_fail(q->t, EBB_NO_MEMORY, q->site,
			"%s: no memory for the layer's values", q->what);
	if (!a->node)
		return ebb_fail(q->t, EBB_INVALID, q->site,
			"%s: no scope %s%s%s of the network has a result [%lld,C,h,w]; it has %s%s",
			q->what, a->name ? "\"" : "", a->name ? a->name : "",
			a->name ? "\"" : "with more than one pixel", (long long)a->n,
			a->seen[0] ? a->seen : "none", a->more ? ", ..." : "");
	if (a->values_only)
		return score;
	if (!is_recorded(q, a))
		return ebb_fail(q->t, EBB_BAD_STATE, q->site,
			"%s: the recording of layer %s was rewound, expected a layer outside of "
			"checkpoints",
			q->what, a->path);
	/* The value may have been dropped: a gradient needs the node only. */
	a->y = (ebb_tensor *)ebb_node_output(a->node);
	return score;
}

void ebb_layer_free(ebb_found_layer *a)
{
	ebb_free(a->values, a->bytes);
}

/* ---- A layer's output, and its units --------------------------------------------------------- */

ebb_tensor *(ebb_layer_output)(const ebb_layer_output_args *a)
{
	ebb_query query = ebb_query_begin(a->t, "layer_output", a->network, a->ctx, a->x,
			  (ebb_rules){.unfused = true}, a->site),
		  *q = &query;
	ebb_found_layer layer = {.name = a->layer, .n = q->n, .values_only = true};
	ebb_tensor *y = NULL;

	q->ok = q->ok && ebb_layer_run(q, &layer, ebb_variable(q->t, a->x));
	ebb_query_end(q);
	if (q->ok)
		y = ebb_query_result(q, layer.shape, ebb_dtype_of(a->x), layer.values);
	ebb_layer_free(&layer);
	return y;
}

/* The largest element of the channel in image n; returns its place among the layer's elements. */
static int64_t largest(const ebb_found_layer *a, int64_t n, int64_t channel, ebb_unit *unit)
{
	int64_t width = a->shape.dims[3], pixels = a->shape.dims[2] * width;
	int64_t from = (n * a->shape.dims[1] + channel) * pixels, best = 0;
	const double *v = a->values + from;

	for (int64_t i = 1; i < pixels; i++)
		best = v[i] > v[best] ? i : best;
	*unit = (ebb_unit){v[best], best / width, best % width};
	return from + best;
}

/* The gradient of the sum of the largest units, added to sum. */
static bool add_units(
	ebb_query *q, ebb_found_layer *layer, const ebb_unit_gradient_args *a, double *sum)
{
	ebb_tensor *leaf = ebb_variable(q->t, a->x), *g, *gy;
	ebb_dtype dtype;
	int64_t count;
	double *ones;
	ebb_unit unit;

	if (!ebb_layer_run(q, layer, leaf))
		return false;
	if (a->channel < 0 || a->channel >= layer->shape.dims[1]) {
		ebb_fail(q->t, EBB_INVALID, q->site, "%s: channel %lld is not in [0,%lld)", q->what,
			(long long)a->channel, (long long)layer->shape.dims[1]);
		return false;
	}
	count = ebb_count(layer->y);
	ones = ebb_query_memory(q, count, sizeof *ones);
	for (int64_t n = 0; ones && n < layer->shape.dims[0]; n++) {
		ones[largest(layer, n, a->channel, &unit)] = 1;
		if (a->units)
			a->units[n] = unit;
	}
	/* The layer's type may be another than x's. */
	dtype = ebb_set_default_dtype(q->t, ebb_dtype_of(layer->y));
	gy = ones ? ebb_from_f64(q->t, layer->shape, ones) : NULL;
	ebb_set_default_dtype(q->t, dtype);
	ebb_free(ones, (size_t)count * sizeof *ones);
	return gy && ebb_grad(q->t, layer->y, 1, &leaf, &g, .gy = gy) &&
	       ebb_query_add(q, g, 1, sum);
}

ebb_tensor *(ebb_unit_gradient)(const ebb_unit_gradient_args *a)
{
	ebb_rules rules = {a->rules.n, a->rules.rule, true};
	ebb_query query = ebb_query_begin(
			  a->t, "unit_gradient", a->network, a->ctx, a->x, rules, a->site),
		  *q = &query;
	ebb_found_layer layer = {.name = a->layer, .n = q->n};
	int64_t count = ebb_count(a->x);
	ebb_dtype dtype = ebb_dtype_of(a->x);
	double *sum = ebb_query_memory(q, count, sizeof *sum);
	ebb_tensor *y;

	q->ok = q->ok && add_units(q, &layer, a, sum);
	ebb_query_end(q);
	y = ebb_query_result(q, q->shape, dtype, sum);
	ebb_layer_free(&layer);
	ebb_free(sum, (size_t)count * sizeof *sum);
	return y;
}
