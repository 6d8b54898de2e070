/*
 * copy.c - copies the values of one parameter store to another, or moves them towards it, by name.
 *
 * All names and shapes are compared before the first value changes.
 */
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "archive/state.h"
#include "tensor/host.h"
#include "kernels/float_state.h"
#include "nn/internal.h"

typedef struct copying {
	const char *what; /* "params_copy" */
	ebb_params *dst;
	const ebb_params *src;
	const char *glob;
	bool partial;
	double weight; /* 1: copies */
	int64_t matched;
	void *converted; /* a tensor of src in the type of dst; NULL: not needed */
	size_t bytes;
	ebb_complaints all;
} copying;

/* ---- Comparing ------------------------------------------------------------------------------- */

/* The tensors of a store: its parameters, then its buffers. */
static int64_t count_of(const ebb_params *p)
{
	return ebb_params_count(p) + ebb_buffers_count(p);
}

static ebb_tensor *tensor_at(const ebb_params *p, int64_t i)
{
	int64_t params = ebb_params_count(p);

	return i < params ? ebb_params_at(p, i) : ebb_buffers_at(p, i - params);
}

static const char *name_at(const ebb_params *p, int64_t i)
{
	int64_t params = ebb_params_count(p);

	return i < params ? ebb_params_name_below(p, i) : ebb_buffers_name_below(p, i - params);
}

static bool selected(const copying *c, const char *name)
{
	return !c->glob || fnmatch(c->glob, name, 0) == 0;
}

/* The tensor of src for tensor number i of dst, or NULL.  Two stores of one model have the same
 * order, so src's tensor number i is looked at first. */
static ebb_tensor *partner(const copying *c, int64_t i)
{
	const char *name = name_at(c->dst, i);

	if (!selected(c, name))
		return NULL;
	if (i < count_of(c->src) && strcmp(name_at(c->src, i), name) == 0)
		return tensor_at(c->src, i);
	return ebb_params_find(c->src, name);
}

static bool fits(const ebb_tensor *to, const ebb_tensor *from)
{
	ebb_shape a = ebb_shape_of(to), b = ebb_shape_of(from);

	if (a.ndim != b.ndim)
		return false;
	for (int i = 0; i < a.ndim; i++)
		if (a.dims[i] != b.dims[i])
			return false;
	return true;
}

static void compare_one(copying *c, int64_t i)
{
	const char *name = name_at(c->dst, i);
	const ebb_tensor *to = tensor_at(c->dst, i), *from = partner(c, i);
	char wanted[100], given[100];

	if (!selected(c, name))
		return;
	if (from && fits(to, from)) {
		size_t bytes = (size_t)ebb_count(to) * ebb_dtype_size(ebb_dtype_of(to));

		c->matched++;
		if (ebb_dtype_of(to) != ebb_dtype_of(from) && bytes > c->bytes)
			c->bytes = bytes;
	} else if (from && !c->partial) {
		ebb_complain(&c->all, EBB_BAD_SHAPE, "\"%.100s\" is %s in src, expected %s", name,
			ebb_describe(from, given, sizeof given),
			ebb_describe(to, wanted, sizeof wanted));
	} else if (!c->partial) {
		ebb_complain(&c->all, EBB_INVALID, "src has no \"%.100s\"", name);
	}
}

/* Whether one prefix continues the other: a tensor could then be both source and destination. */
static bool overlap(const ebb_params *a, const ebb_params *b)
{
	size_t n = a->prefix_length < b->prefix_length ? a->prefix_length : b->prefix_length;

	return a->root == b->root && a != b && strncmp(a->prefix, b->prefix, n) == 0;
}

static void compare(copying *c)
{
	for (int64_t i = 0; i < count_of(c->dst); i++)
		compare_one(c, i);
	for (int64_t i = 0; !c->partial && i < count_of(c->src); i++) {
		const char *name = name_at(c->src, i);

		if (!selected(c, name) ||
			(i < count_of(c->dst) && strcmp(name_at(c->dst, i), name) == 0) ||
			ebb_params_find(c->dst, name))
			continue;
		ebb_complain(&c->all, EBB_INVALID, "dst has no \"%.100s\"", name);
	}
	if (c->matched == 0 && c->all.count == 0 && (c->partial || c->glob))
		ebb_complain(&c->all, EBB_INVALID, "nothing in dst%s%.100s%s has a tensor in src",
			c->glob ? " that matches \"" : "", c->glob ? c->glob : "",
			c->glob ? "\"" : "");
}

/* ---- Copying --------------------------------------------------------------------------------- */

static void convert(const ebb_kernels *k, const ebb_tensor *from, void *to)
{
	if (ebb_dtype_of(from) == EBB_F64)
		k->from_f64(ebb_count(from), ebb_data(from), to);
	else
		k->from_f32(ebb_count(from), ebb_data(from), to);
}

static void transfer_one(const copying *c, ebb_tensor *to, const ebb_tensor *from)
{
	bool same_type = ebb_dtype_of(to) == ebb_dtype_of(from);
	const ebb_kernels *k = ebb_dtype_of(to) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
	int64_t n = ebb_count(to);
	const void *values = ebb_data(from);
	void *data;

	if (n == 0 || to == from)
		return;
	data = ebb_data_mutable(to);
	if (c->weight == 1) {
		if (same_type)
			memcpy(data, values, (size_t)n * ebb_dtype_size(ebb_dtype_of(to)));
		else
			convert(k, from, data);
		return;
	}
	if (!same_type) {
		convert(k, from, c->converted);
		values = c->converted;
	}
	k->binary(EBB_BINARY_lerp, n, data, values, data, c->weight);
}

static void transfer(const copying *c)
{
	ebb_float_state own = ebb_float_enter(false);

	for (int64_t i = 0; i < count_of(c->dst); i++) {
		ebb_tensor *to = tensor_at(c->dst, i), *from = partner(c, i);

		if (from && fits(to, from))
			transfer_one(c, to, from);
	}
	ebb_float_leave(own);
}

/* Sets e to the error of a store, if it has one. */
static bool is_healthy(
	const copying *c, const ebb_params *p, const char *role, ebb_error *e, const char *site)
{
	const ebb_error *fault = ebb_params_error(p);

	if (fault)
		ebb_error_set(e, fault->status, site, "%s: %s: %s", c->what, role, fault->message);
	return !fault;
}

static bool run(copying *c, ebb_error *e, const char *site)
{
	char more[40] = "";

	e = ebb_params_error_to(c->dst, e);
	if (!is_healthy(c, c->dst, "dst", e, site) || !is_healthy(c, c->src, "src", e, site))
		return false;
	if (overlap(c->dst, c->src)) {
		ebb_error_set(e, EBB_INVALID, site,
			"%s: dst and src are overlapping views of one store", c->what);
		return false;
	}
	compare(c);
	if (c->all.count > c->all.listed)
		ebb_snprintf(more, sizeof more, "; and %lld more",
			(long long)(c->all.count - c->all.listed));
	if (c->all.count > 0) {
		ebb_error_set(e, c->all.status, site, "%s: %s%s", c->what, c->all.text, more);
		return false;
	}
	if (c->bytes > 0 && c->weight != 1) {
		c->converted = ebb_alloc(c->bytes);
		if (!c->converted) {
			ebb_error_set(e, EBB_NO_MEMORY, site,
				"%s: no memory for a converted tensor of %zu bytes", c->what,
				c->bytes);
			return false;
		}
	}
	transfer(c);
	ebb_free(c->converted, c->converted ? c->bytes : 0);
	return true;
}

bool(ebb_params_copy)(const ebb_params_copy_args *a)
{
	copying c = {.what = "params_copy",
		.dst = a->dst,
		.src = a->src,
		.glob = a->glob,
		.partial = a->partial,
		.weight = 1};

	return run(&c, a->error, a->site);
}

bool(ebb_params_lerp)(const ebb_params_lerp_args *a)
{
	copying c = {.what = "params_lerp",
		.dst = a->dst,
		.src = a->src,
		.glob = a->glob,
		.partial = a->partial,
		.weight = a->weight};

	if (!(a->weight >= 0 && a->weight <= 1)) {
		ebb_error_set(ebb_params_error_to(a->dst, a->error), EBB_INVALID, a->site,
			"params_lerp: weight %g, expected a number from 0 to 1", a->weight);
		return false;
	}
	return run(&c, a->error, a->site);
}
