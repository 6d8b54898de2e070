/*
 * attention.c - multi-head attention, and the cache of keys and values.
 *
 * The projections of q, k and v are one matrix product where one tensor gives all three.  The heads
 * are views of its result.
 */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

enum { TEXT = 240 };

/* ---- Making --------------------------------------------------------------------------------- */

static bool sizes_fit(const ebb_multihead_new_args *a, const char *name)
{
	int64_t kv_heads = ebb_option_count(a->kv_heads, a->heads), rows;

	if (a->width < 1 || a->heads < 1 || a->width % a->heads || kv_heads < 1 ||
		a->heads % kv_heads || a->kdim < 0 || a->vdim < 0 ||
		__builtin_mul_overflow(a->width, (int64_t)3, &rows)) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"multihead_new: \"%s\" of width %lld, %lld heads, kv_heads %lld, kdim "
			"%lld, vdim %lld: expected positive numbers, heads dividing width, "
			"kv_heads dividing heads",
			name, (long long)a->width, (long long)a->heads, (long long)kv_heads,
			(long long)a->kdim, (long long)a->vdim);
		return false;
	}
	if (!(a->dropout >= 0 && a->dropout < 1)) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"multihead_new: \"%s\" with dropout %g: expected 0 <= dropout < 1", name,
			a->dropout);
		return false;
	}
	return true;
}

/* Adds the parameters of the input projections in PyTorch's order. */
static void add_projections(
	ebb_multihead *l, ebb_params *p, const ebb_multihead_new_args *a, int64_t kv_rows)
{
	int64_t d = a->width, rows = d + 2 * kv_rows;
	int64_t kdim = ebb_option_count(a->kdim, d), vdim = ebb_option_count(a->vdim, d);
	ebb_init init =
		a->init.kind == EBB_INIT_DEFAULT ? EBB_INIT(EBB_INIT_XAVIER_UNIFORM) : a->init;

	if (kdim == d && vdim == d) {
		l->in_proj_weight =
			(ebb_params_add)(p, "in_proj_weight", EBB_SHAPE(rows, d), init, a->site);
	} else {
		l->q_proj_weight =
			(ebb_params_add)(p, "q_proj_weight", EBB_SHAPE(d, d), init, a->site);
		l->k_proj_weight = (ebb_params_add)(p, "k_proj_weight", EBB_SHAPE(kv_rows, kdim),
			init, a->site);
		l->v_proj_weight = (ebb_params_add)(p, "v_proj_weight", EBB_SHAPE(kv_rows, vdim),
			init, a->site);
	}
	if (!a->no_bias)
		l->in_proj_bias = (ebb_params_add)(p, "in_proj_bias", EBB_SHAPE(rows),
			EBB_INIT(EBB_INIT_ZEROS), a->site);
}

ebb_multihead(ebb_multihead_new)(const ebb_multihead_new_args *a)
{
	ebb_multihead l = {.heads = a->heads,
		.kv_heads = ebb_option_count(a->kv_heads, a->heads),
		.dropout = a->dropout};
	ebb_params *p;

	l.name = ebb_params_name_of(a->p, "multihead_new", a->name, a->site);
	if (!l.name || !sizes_fit(a, l.name))
		return (ebb_multihead){0};
	p = ebb_params_sub(a->p, a->name);
	l.heads_name = ebb_params_full_name(p, "heads");
	add_projections(&l, p, a, a->width / a->heads * l.kv_heads);
	l.out_proj = (ebb_linear_new)(&(ebb_linear_new_args){.p = p,
		.name = "out_proj",
		.in = a->width,
		.out = a->width,
		.no_bias = a->no_bias,
		.init = a->out_init.kind == EBB_INIT_DEFAULT ? a->init : a->out_init,
		.bias_init = EBB_INIT(EBB_INIT_ZEROS),
		.site = a->site});
	return ebb_params_error(a->p) ? (ebb_multihead){0} : l;
}

static bool was_made(const ebb_multihead *l)
{
	return l && l->name && l->out_proj.weight && (l->in_proj_weight || l->v_proj_weight);
}

/* The size E of a head. */
static int64_t head_size(const ebb_multihead *l)
{
	return ebb_size(l->out_proj.weight, 1) / l->heads;
}

/* ---- The cache ------------------------------------------------------------------------------ */

ebb_kv_cache *ebb_kv_cache_new(
	const ebb_multihead *l, int64_t batch, int64_t capacity, ebb_error *e)
{
	ebb_kv_cache *c;
	ebb_shape shape;
	ebb_dtype dtype;

	if (!was_made(l)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"kv_cache_new: the layer is %s: it was not created, or its parameter store "
			"failed",
			l ? "empty" : "NULL");
		return NULL;
	}
	if (batch < 1 || capacity < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"kv_cache_new: batch %lld, capacity %lld: expected positive numbers",
			(long long)batch, (long long)capacity);
		return NULL;
	}
	shape = EBB_SHAPE(batch, capacity, l->kv_heads, head_size(l));
	dtype = ebb_dtype_of(l->out_proj.weight);
	c = ebb_alloc_zeroed(sizeof *c);
	if (!c) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "kv_cache_new: no memory");
		return NULL;
	}
	c->keys = ebb_tensor_new(dtype, shape, false, e);
	c->values = c->keys ? ebb_tensor_new(dtype, shape, false, e) : NULL;
	if (c->values)
		return c;
	ebb_kv_cache_free(c);
	return NULL;
}

void ebb_kv_cache_free(ebb_kv_cache *c)
{
	if (!c)
		return;
	ebb_tensor_free(c->keys);
	ebb_tensor_free(c->values);
	ebb_free(c, sizeof *c);
}

/* Copies x [batch,n,G,E] to the rows from.. of to [batch,capacity,G,E], and returns the view of the
 * rows 0 .. from+n-1. */
static ebb_tensor *append(
	ebb_tape *t, ebb_tensor *to, int64_t from, ebb_tensor *x, const char *site)
{
	int64_t n = ebb_size(x, 1), row = ebb_size(x, 2) * ebb_size(x, 3);
	size_t size = ebb_dtype_size(ebb_dtype_of(to));
	bool whole = (ebb_size(x, 3) == 1 || ebb_stride(x, 3) == 1) &&
	             (ebb_size(x, 2) == 1 || ebb_stride(x, 2) == ebb_size(x, 3));
	const char *source;
	char *data;

	if (!whole)
		x = (ebb_dense)(t, x, EBB_ROWS, site);
	if (!x)
		return NULL;
	source = ebb_data(x);
	data = ebb_data_mutable(to);
	for (int64_t b = 0; b < ebb_size(x, 0); b++)
		for (int64_t i = 0; i < n; i++) {
			int64_t at = b * ebb_stride(x, 0) + i * ebb_stride(x, 1);

			memcpy(data + (size_t)((b * ebb_size(to, 1) + from + i) * row) * size,
				source + (size_t)at * size, (size_t)row * size);
		}
	return (ebb_slice)(t, to, 1, 0, from + n, 1, site);
}

/* Appends k and v [..,n,G,E] to the cache and replaces them by all that it then holds.  Its length
 * is still the former one. */
static bool through_cache(
	ebb_tape *t, ebb_kv_cache *c, ebb_tensor **k, ebb_tensor **v, const char *site)
{
	ebb_tensor **part[2] = {k, v}, *to[2] = {c->keys, c->values};

	for (int i = 0; i < 2; i++) {
		bool single = ebb_ndim(*part[i]) == 3;
		ebb_tensor *x = single ? (ebb_unsqueeze)(t, *part[i], 0, site) : *part[i];

		x = x ? append(t, to[i], c->length, x, site) : NULL;
		*part[i] = x && single ? (ebb_squeeze)(t, x, 0, site) : x;
	}
	return *k && *v;
}

/* ---- Checking ------------------------------------------------------------------------------- */

/* Checks that x is [..,L,width] of the layer's type. */
static bool check_input(const ebb_multihead_args *a, const char *what, const ebb_tensor *x,
	int64_t width, const char *hint)
{
	const ebb_multihead *l = a->l;
	char text[TEXT];

	if (!x) {
		ebb_fail(a->t, EBB_INVALID, a->site, "multihead_forward: %s of \"%s\" is NULL%s",
			what, l->name, hint);
		return false;
	}
	if (ebb_dtype_of(x) != ebb_dtype_of(l->out_proj.weight)) {
		ebb_fail(a->t, EBB_BAD_DTYPE, a->site,
			"multihead_forward: \"%s\" takes %s of type %s, got %s", l->name, what,
			ebb_dtype_name(ebb_dtype_of(l->out_proj.weight)),
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if (ebb_ndim(x) < 2 || ebb_ndim(x) >= EBB_MAX_DIMS || ebb_size(x, -1) != width) {
		ebb_fail(a->t, EBB_BAD_SHAPE, a->site,
			"multihead_forward: \"%s\" takes %s [..,L,%lld] of 2 to %d axes, got %s%s",
			l->name, what, (long long)width, EBB_MAX_DIMS - 1,
			ebb_describe(x, text, sizeof text), hint);
		return false;
	}
	return true;
}

static bool check_inputs(const ebb_multihead_args *a)
{
	const ebb_multihead *l = a->l;
	int64_t d = ebb_size(l->out_proj.weight, 1);
	int64_t kdim = l->in_proj_weight ? d : ebb_size(l->k_proj_weight, 1);
	int64_t vdim = l->in_proj_weight ? d : ebb_size(l->v_proj_weight, 1);

	if (!check_input(a, "x", a->x, d, ""))
		return false;
	if (!a->memory && !a->values && l->in_proj_weight)
		return true;
	return check_input(a, "memory", a->memory, kdim, "") &&
	       check_input(a, a->values ? "values" : "memory", a->values ? a->values : a->memory,
		       vdim, kdim != vdim && !a->values ? "; .values is left out" : "");
}

static bool check_cache(const ebb_multihead_args *a)
{
	const ebb_kv_cache *c = a->cache;
	const ebb_multihead *l = a->l;
	ebb_shape s = ebb_shape_of(c->keys), x = ebb_shape_of(a->x);
	int64_t n = x.dims[x.ndim - 2], batch = x.ndim == 3 ? x.dims[0] : 1;
	char text[TEXT], of_x[TEXT];

	if (a->memory)
		return ebb_fail(a->t, EBB_INVALID, a->site,
			"multihead_forward: \"%s\" takes .cache or .memory, not both", l->name);
	if (s.ndim != 4 || x.ndim > 3 || s.dims[0] != batch || s.dims[2] != l->kv_heads ||
		s.dims[3] != head_size(l) || ebb_dtype_of(c->keys) != ebb_dtype_of(a->x))
		return ebb_fail(a->t, EBB_BAD_SHAPE, a->site,
			"multihead_forward: the cache %s of \"%s\" is not for x %s: expected "
			"[batch,capacity,%lld,%lld] and x [batch,n,D]",
			ebb_describe(c->keys, text, sizeof text), l->name,
			ebb_describe(a->x, of_x, sizeof of_x), (long long)l->kv_heads,
			(long long)head_size(l));
	if (c->length < 0 || c->length > s.dims[1] || n > s.dims[1] - c->length)
		return ebb_fail(a->t, EBB_BAD_STATE, a->site,
			"multihead_forward: the cache of \"%s\" has %lld of %lld tokens: %lld more "
			"do not fit",
			l->name, (long long)c->length, (long long)s.dims[1], (long long)n);
	return true;
}

/* ---- Forward -------------------------------------------------------------------------------- */

typedef struct projected {
	ebb_tensor *q, *k, *v; /* [..,L,H,E], [..,S,G,E], [..,S,G,E] */
} projected;

/* x w^T + b with the rows [from,to) of w and b */
static ebb_tensor *project(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, ebb_tensor *b, int64_t from,
	int64_t to, const char *site)
{
	if (w && (from > 0 || to < ebb_size(w, 0)))
		w = (ebb_slice)(t, w, 0, from, to, 1, site);
	if (b && (from > 0 || to < ebb_size(b, 0)))
		b = (ebb_slice)(t, b, 0, from, to, 1, site);
	return ebb_linear_op(&(ebb_linear_args){.t = t, .x = x, .w = w, .b = b, .site = site});
}

/* [..,L,heads*E] as [..,L,heads,E] */
static ebb_tensor *by_heads(ebb_tape *t, ebb_tensor *x, int64_t size, const char *site)
{
	ebb_shape s = ebb_shape_of(x);

	if (!x)
		return NULL;
	s.dims[s.ndim] = size;
	s.dims[s.ndim - 1] /= size;
	s.ndim++;
	return (ebb_reshape)(t, x, s, site);
}

/* Slices heads [from,to) of x [..,L,heads,E]. */
static ebb_tensor *heads_of(ebb_tape *t, ebb_tensor *x, int64_t from, int64_t to, const char *site)
{
	return (ebb_slice)(t, x, -2, from, to, 1, site);
}

/* The projections by one weight in_proj_weight: one product of x, or one of x and one of the memory,
 * or three. */
static projected project_packed(const ebb_multihead_args *a, int64_t size)
{
	const ebb_multihead *l = a->l;
	ebb_tensor *w = l->in_proj_weight, *b = l->in_proj_bias, *both;
	int64_t h = l->heads, g = l->kv_heads, rows = h * size, kv = g * size;
	ebb_tape *t = a->t;
	const char *site = a->site;
	projected y = {0};

	if (!a->memory || (a->memory == a->x && !a->values)) {
		both = by_heads(t, project(t, a->x, w, b, 0, rows + 2 * kv, site), size, site);
		y.q = heads_of(t, both, 0, h, site);
		y.k = heads_of(t, both, h, h + g, site);
		y.v = heads_of(t, both, h + g, h + 2 * g, site);
		return y;
	}
	y.q = by_heads(t, project(t, a->x, w, b, 0, rows, site), size, site);
	if (a->values && a->values != a->memory) {
		y.k = by_heads(t, project(t, a->memory, w, b, rows, rows + kv, site), size, site);
		y.v = by_heads(
			t, project(t, a->values, w, b, rows + kv, rows + 2 * kv, site), size, site);
		return y;
	}
	both = by_heads(t, project(t, a->memory, w, b, rows, rows + 2 * kv, site), size, site);
	y.k = heads_of(t, both, 0, g, site);
	y.v = heads_of(t, both, g, 2 * g, site);
	return y;
}

/* The projections by q_proj_weight, k_proj_weight and v_proj_weight. */
static projected project_apart(const ebb_multihead_args *a, int64_t size)
{
	const ebb_multihead *l = a->l;
	int64_t at[4] = {0, l->heads * size, (l->heads + l->kv_heads) * size,
		(l->heads + 2 * l->kv_heads) * size};
	ebb_tensor *x[3] = {a->x, a->memory, a->values ? a->values : a->memory};
	ebb_tensor *w[3] = {l->q_proj_weight, l->k_proj_weight, l->v_proj_weight}, *y[3];

	for (int i = 0; i < 3; i++) {
		ebb_tensor *b = l->in_proj_bias;

		if (b)
			b = (ebb_slice)(a->t, b, 0, at[i], at[i + 1], 1, a->site);
		y[i] = project(a->t, x[i], w[i], b, 0, at[i + 1] - at[i], a->site);
		y[i] = by_heads(a->t, y[i], size, a->site);
	}
	return (projected){y[0], y[1], y[2]};
}

/* The concatenated results of all heads, [..,L,D]. */
static ebb_tensor *all_heads(const ebb_multihead_args *a)
{
	const ebb_multihead *l = a->l;
	int64_t size = head_size(l);
	ebb_tape *t = a->t;
	projected in = l->in_proj_weight ? project_packed(a, size) : project_apart(a, size);
	ebb_shape shape = ebb_shape_of(a->x);
	ebb_tensor *y;

	if (!in.q || !in.k || !in.v)
		return NULL;
	if (a->cache) {
		if (ebb_requires_grad(in.q) || ebb_requires_grad(in.k) || ebb_requires_grad(in.v))
			return ebb_fail(t, EBB_BAD_STATE, a->site,
				"multihead_forward: \"%s\" has a cache, but the tape records a "
				"gradient: ebb_set_recording(t, false)",
				l->name);
		if (!through_cache(t, a->cache, &in.k, &in.v, a->site))
			return NULL;
	}
	y = (ebb_attention)(&(ebb_attention_args){.t = t,
		.q = (ebb_transpose)(t, in.q, -3, -2, a->site),
		.k = (ebb_transpose)(t, in.k, -3, -2, a->site),
		.v = (ebb_transpose)(t, in.v, -3, -2, a->site),
		.mask = a->mask,
		.causal = a->causal,
		.past = a->causal && a->cache ? a->cache->length : 0,
		.grouped = l->kv_heads != l->heads,
		.dropout = l->dropout,
		.site = a->site});
	if (!y)
		return NULL;
	/* The leading axes of the memory may exceed x's. */
	for (shape.ndim = 0; shape.ndim < ebb_ndim(y) - 3; shape.ndim++)
		shape.dims[shape.ndim] = ebb_size(y, shape.ndim);
	shape.dims[shape.ndim++] = ebb_size(y, -2);
	shape.dims[shape.ndim++] = l->heads * size;
	return (ebb_reshape)(t, (ebb_transpose)(t, y, -3, -2, a->site), shape, a->site);
}

ebb_tensor *(ebb_multihead_forward)(const ebb_multihead_args *a)
{
	const ebb_multihead *l = a->l;
	ebb_tensor *y;

	if (ebb_failed(a->t))
		return NULL;
	if (!was_made(l))
		return ebb_fail(a->t, EBB_INVALID, a->site,
			"multihead_forward: the layer is %s: it was not created, or its parameter "
			"store failed",
			l ? "empty" : "NULL");
	if (!check_inputs(a) || (a->cache && !check_cache(a)))
		return NULL;
	(ebb_scope_begin)(a->t, l->name, a->site);
	(ebb_scope_begin)(a->t, l->heads_name, a->site);
	y = (ebb_scope_end)(a->t, all_heads(a), a->site);
	y = (ebb_scope_end)(a->t, (ebb_linear_forward)(a->t, &l->out_proj, y, a->site), a->site);
	if (y && a->cache)
		a->cache->length += ebb_size(a->x, -2);
	return y;
}
