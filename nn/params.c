/*
 * params.c - the parameter store: tensors under dotted names, views with a prefix, freezing.
 *
 * Lists are searched linearly, because a store has only hundreds of names, and they are looked up
 * only while a model is built or loaded.
 */
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "tensor/host.h"
#include "nn/internal.h"
#include "kernels/float_state.h"

static const ebb_error NO_STORE = {.status = EBB_INVALID,
	.message = "the parameter store is NULL: no memory for it, or an earlier error"};

/* ---- The store ------------------------------------------------------------------------------ */

ebb_params *ebb_params_new(uint64_t seed)
{
	ebb_params *p = ebb_alloc_zeroed(sizeof *p);

	if (!p)
		return NULL;
	p->root = p;
	p->prefix = "";
	p->seed = seed;
	p->dtype = EBB_F32;
	return p;
}

static void free_entries(ebb_entries *list)
{
	for (int64_t i = 0; i < list->count; i++)
		ebb_tensor_free(list->at[i].tensor);
	ebb_free(list->at, (size_t)list->capacity * sizeof *list->at);
}

void ebb_params_free(ebb_params *p)
{
	if (!p || p->root != p)
		return;
	for (int64_t i = 0; i < p->owned_count; i++)
		p->owned[i].destroy(p->owned[i].object);
	ebb_free(p->owned, (size_t)p->owned_capacity * sizeof *p->owned);
	free_entries(&p->params);
	free_entries(&p->buffers);
	for (int64_t i = 0; i < p->view_count; i++)
		ebb_free(p->views[i], sizeof *p->views[i]);
	ebb_free(p->views, (size_t)p->view_capacity * sizeof *p->views);
	for (int64_t i = 0; i < p->name_count; i++)
		ebb_free(p->names[i], strlen(p->names[i]) + 1);
	ebb_free(p->names, (size_t)p->name_capacity * sizeof *p->names);
	ebb_free(p, sizeof *p);
}

bool ebb_params_set_dtype(ebb_params *p, ebb_dtype dtype)
{
	ebb_params *root = ebb_params_healthy(p);

	if (!root)
		return false;
	if (dtype != EBB_F32 && dtype != EBB_F64) {
		ebb_params_fail(root, EBB_BAD_DTYPE, NULL,
			"params_set_dtype: %s, expected F32 or F64", ebb_dtype_name(dtype));
		return false;
	}
	if (root->params.count + root->buffers.count > 0 && dtype != root->dtype) {
		ebb_params_fail(root, EBB_BAD_STATE, NULL,
			"params_set_dtype: the store already has %s tensors, \"%s\" among them",
			ebb_dtype_name(root->dtype),
			(root->params.count ? root->params : root->buffers).at[0].name);
		return false;
	}
	root->dtype = dtype;
	return true;
}

ebb_dtype ebb_params_dtype(const ebb_params *p)
{
	return p ? p->root->dtype : EBB_DEFAULT;
}

/* ---- Errors --------------------------------------------------------------------------------- */

const ebb_error *ebb_params_error(const ebb_params *p)
{
	if (!p)
		return &NO_STORE;
	return p->root->error.status == EBB_OK ? NULL : &p->root->error;
}

void ebb_params_clear_error(ebb_params *p)
{
	if (p)
		p->root->error = (ebb_error){0};
}

ebb_tensor *ebb_params_fail(
	ebb_params *p, ebb_status status, const char *site, const char *format, ...)
{
	char text[sizeof((ebb_error *)0)->message];
	va_list args;

	if (!p || p->root->error.status != EBB_OK)
		return NULL;
	va_start(args, format);
	ebb_vsnprintf(text, sizeof text, format, args);
	va_end(args);
	ebb_error_set(&p->root->error, status, site, "%s", text);
	return NULL;
}

ebb_params *ebb_params_healthy(ebb_params *p)
{
	return p && p->root->error.status == EBB_OK ? p->root : NULL;
}

static void *no_memory(ebb_params *p, const char *site, const char *name)
{
	return ebb_params_fail(p, EBB_NO_MEMORY, site, "no memory for \"%s%s\"", p->prefix, name);
}

/* ---- Names and views ------------------------------------------------------------------------ */

/* Returns the store's own copy of prefix + name + suffix; equal strings return the same pointer. */
static const char *intern(
	ebb_params *root, const char *prefix, const char *name, const char *suffix)
{
	size_t a = strlen(prefix), b = strlen(name), c = strlen(suffix);
	char *text;

	for (int64_t i = 0; i < root->name_count; i++) {
		const char *have = root->names[i];

		if (strncmp(have, prefix, a) == 0 && strncmp(have + a, name, b) == 0 &&
			strcmp(have + a + b, suffix) == 0)
			return have;
	}
	if (!ebb_grow(
		    &root->names, &root->name_capacity, root->name_count + 1, sizeof *root->names))
		return NULL;
	text = ebb_alloc(a + b + c + 1);
	if (!text)
		return NULL;
	memcpy(text, prefix, a);
	memcpy(text + a, name, b);
	memcpy(text + a + b, suffix, c + 1);
	root->names[root->name_count++] = text;
	return text;
}

static bool is_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n > 0 && name[0] != '.' && name[n - 1] != '.' && !strstr(name, "..");
}

static bool check_name(ebb_params *p, const char *what, const char *name, const char *site)
{
	if (is_name(name))
		return true;
	ebb_params_fail(p, EBB_INVALID, site,
		"%s: %s%s%s is not a valid name: expected dotted parts, none of them empty", what,
		name ? "\"" : "", name ? name : "NULL", name ? "\"" : "");
	return false;
}

const char *ebb_params_name_of(ebb_params *p, const char *who, const char *name, const char *site)
{
	ebb_params *root = ebb_params_healthy(p);
	const char *full;

	if (!root || !check_name(p, who, name, site))
		return NULL;
	full = intern(root, p->prefix, name, "");
	if (!full)
		no_memory(p, site, name);
	return full;
}

const char *ebb_params_full_name(ebb_params *p, const char *name)
{
	return ebb_params_name_of(p, "params_full_name", name, NULL);
}

ebb_params *ebb_params_sub(ebb_params *p, const char *prefix)
{
	ebb_params *root = ebb_params_healthy(p), *view;
	const char *full;

	if (!root || !check_name(p, "params_sub", prefix, NULL))
		return NULL;
	full = intern(root, p->prefix, prefix, ".");
	if (!full)
		return no_memory(p, NULL, prefix);
	for (int64_t i = 0; i < root->view_count; i++)
		if (root->views[i]->prefix == full)
			return root->views[i];
	if (!ebb_grow(
		    &root->views, &root->view_capacity, root->view_count + 1, sizeof *root->views))
		return no_memory(p, NULL, prefix);
	view = ebb_alloc_zeroed(sizeof *view);
	if (!view)
		return no_memory(p, NULL, prefix);
	view->root = root;
	view->prefix = full;
	view->prefix_length = strlen(full);
	root->views[root->view_count++] = view;
	return view;
}

bool ebb_params_own(ebb_params *p, void *object, void (*destroy)(void *object))
{
	ebb_params *root = p->root;

	if (!ebb_grow(&root->owned, &root->owned_capacity, root->owned_count + 1,
		    sizeof *root->owned)) {
		no_memory(p, NULL, "");
		return false;
	}
	root->owned[root->owned_count++] = (ebb_owned){object, destroy};
	return true;
}

/* The header before memory that ebb_params_alloc returns: its size, for freeing. */
typedef union block {
	size_t size;
	max_align_t align;
} block;

static void free_block(void *object)
{
	block *b = object;

	ebb_free(b, b->size);
}

void *(ebb_params_alloc)(ebb_params *p, size_t size, const char *site)
{
	block *b;

	if (!ebb_params_healthy(p))
		return NULL;
	b = size <= SIZE_MAX - sizeof *b ? ebb_alloc_zeroed(sizeof *b + size) : NULL;
	if (!b) {
		ebb_params_fail(
			p, EBB_NO_MEMORY, site, "params_alloc: no memory for %zu bytes", size);
		return NULL;
	}
	b->size = sizeof *b + size;
	if (!ebb_params_own(p, b, free_block)) {
		free_block(b);
		return NULL;
	}
	return b + 1;
}

/* ---- Adding --------------------------------------------------------------------------------- */

static const ebb_entry *find_in(
	const ebb_entries *list, const char *prefix, size_t prefix_length, const char *name)
{
	for (int64_t i = 0; i < list->count; i++) {
		const char *have = list->at[i].name;

		if (strncmp(have, prefix, prefix_length) == 0 &&
			strcmp(have + prefix_length, name) == 0)
			return &list->at[i];
	}
	return NULL;
}

/* Creates a zeroed tensor and its name.  The caller appends the entry to list, which has memory for
 * it. */
static ebb_entry make(ebb_params *p, ebb_entries *list, const char *what, const char *name,
	ebb_shape shape, const char *site)
{
	ebb_entry entry = {0};
	ebb_error error = {0};

	if (!ebb_params_healthy(p) || !check_name(p, what, name, site))
		return entry;
	if (ebb_params_find(p, name)) {
		ebb_params_fail(
			p, EBB_INVALID, site, "%s: \"%s%s\" already exists", what, p->prefix, name);
		return entry;
	}
	entry.name = intern(p->root, p->prefix, name, "");
	if (!entry.name ||
		!ebb_grow(&list->at, &list->capacity, list->count + 1, sizeof *list->at)) {
		no_memory(p, site, name);
		return entry;
	}
	entry.tensor = ebb_tensor_new(p->root->dtype, shape, false, &error);
	if (!entry.tensor) {
		ebb_params_fail(p, error.status, site, "%s: \"%s%s\": %s", what, p->prefix, name,
			error.message);
		return entry;
	}
	ebb_set_fault(entry.tensor, &p->root->error);
	ebb_set_name(entry.tensor, entry.name);
	if (!*ebb_name(entry.tensor)) {
		ebb_tensor_free(entry.tensor);
		entry.tensor = NULL;
		no_memory(p, site, name);
	}
	return entry;
}

/* FNV-1a.  A parameter's random stream is the hash of its name, so that it does not depend on the
 * parameters added before. */
static uint64_t hash(const char *text)
{
	uint64_t h = 14695981039346656037u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

ebb_tensor *(ebb_params_add)(ebb_params *p, const char *name, ebb_shape shape, ebb_init init,
	const char *site)
{
	ebb_entries *list = p ? &p->root->params : NULL;
	ebb_entry entry = make(p, list, "params_add", name, shape, site);
	ebb_error error = {0};

	if (!entry.tensor)
		return NULL;
	if (init.kind == EBB_INIT_DEFAULT && shape.ndim < 2)
		init.kind = EBB_INIT_ZEROS;
	if (!ebb_init_fill(entry.tensor, &init, p->root->seed, hash(entry.name), &error)) {
		ebb_params_fail(
			p, error.status, site, "params_add: \"%s\": %s", entry.name, error.message);
		ebb_tensor_free(entry.tensor);
		return NULL;
	}
	ebb_set_requires_grad(entry.tensor, true);
	list->at[list->count++] = entry;
	return entry.tensor;
}

ebb_tensor *(ebb_buffers_add)(ebb_params *p, const char *name, ebb_shape shape, double value,
	const char *site)
{
	ebb_entries *list = p ? &p->root->buffers : NULL;
	ebb_entry entry = make(p, list, "buffers_add", name, shape, site);
	ebb_init init = {.kind = EBB_INIT_CONSTANT, .value = value};
	ebb_error error = {0};

	if (!entry.tensor)
		return NULL;
	if (!ebb_init_fill(entry.tensor, &init, 0, 0, &error)) {
		ebb_params_fail(p, error.status, site, "buffers_add: \"%s\": %s", entry.name,
			error.message);
		ebb_tensor_free(entry.tensor);
		return NULL;
	}
	list->at[list->count++] = entry;
	return entry.tensor;
}

/* ---- Finding -------------------------------------------------------------------------------- */

static bool below(const ebb_params *p, const ebb_entry *entry)
{
	return strncmp(entry->name, p->prefix, p->prefix_length) == 0;
}

static int64_t count_in(const ebb_params *p, const ebb_entries *list)
{
	int64_t n = 0;

	if (p->root == p)
		return list->count;
	for (int64_t i = 0; i < list->count; i++)
		n += below(p, &list->at[i]);
	return n;
}

static const ebb_entry *entry_at(const ebb_params *p, const ebb_entries *list, int64_t index)
{
	if (index < 0 || index >= list->count)
		return NULL;
	if (p->root == p)
		return &list->at[index];
	for (int64_t i = 0; i < list->count; i++)
		if (below(p, &list->at[i]) && index-- == 0)
			return &list->at[i];
	return NULL;
}

static const ebb_entry *param_at(const ebb_params *p, int64_t index)
{
	return p ? entry_at(p, &p->root->params, index) : NULL;
}

static const ebb_entry *buffer_at(const ebb_params *p, int64_t index)
{
	return p ? entry_at(p, &p->root->buffers, index) : NULL;
}

int64_t ebb_params_count(const ebb_params *p)
{
	return p ? count_in(p, &p->root->params) : 0;
}

int64_t ebb_buffers_count(const ebb_params *p)
{
	return p ? count_in(p, &p->root->buffers) : 0;
}

ebb_tensor *ebb_params_at(const ebb_params *p, int64_t index)
{
	const ebb_entry *entry = param_at(p, index);

	return entry ? entry->tensor : NULL;
}

ebb_tensor *ebb_buffers_at(const ebb_params *p, int64_t index)
{
	const ebb_entry *entry = buffer_at(p, index);

	return entry ? entry->tensor : NULL;
}

const char *ebb_params_name_at(const ebb_params *p, int64_t index)
{
	const ebb_entry *entry = param_at(p, index);

	return entry ? entry->name : NULL;
}

const char *ebb_buffers_name_at(const ebb_params *p, int64_t index)
{
	const ebb_entry *entry = buffer_at(p, index);

	return entry ? entry->name : NULL;
}

ebb_tensor *ebb_params_find(const ebb_params *p, const char *name)
{
	const ebb_entry *entry;

	if (!p || !name)
		return NULL;
	entry = find_in(&p->root->params, p->prefix, p->prefix_length, name);
	if (!entry)
		entry = find_in(&p->root->buffers, p->prefix, p->prefix_length, name);
	return entry ? entry->tensor : NULL;
}

static int64_t elements(const ebb_params *p, bool frozen_too)
{
	int64_t n = 0;

	for (int64_t i = 0; p && i < p->root->params.count; i++) {
		const ebb_entry *entry = &p->root->params.at[i];

		if (below(p, entry) && (frozen_too || ebb_requires_grad(entry->tensor)))
			n += ebb_count(entry->tensor);
	}
	return n;
}

int64_t ebb_params_elements(const ebb_params *p)
{
	return elements(p, true);
}

int64_t ebb_params_trainable(const ebb_params *p)
{
	return elements(p, false);
}

/* ---- Freezing and gradients ----------------------------------------------------------------- */

bool ebb_params_match(const ebb_params *p, int64_t index, const char *glob)
{
	const ebb_entry *entry = param_at(p, index);

	return entry && glob && fnmatch(glob, entry->name + p->prefix_length, 0) == 0;
}

bool ebb_globs_match(const char *globs, const char *name)
{
	char glob[256];

	for (size_t n; *globs; globs += n + (globs[n] == ' ')) {
		n = strcspn(globs, " ");
		if (n == 0 || n >= sizeof glob)
			continue;
		memcpy(glob, globs, n);
		glob[n] = '\0';
		if (fnmatch(glob, name, 0) == 0)
			return true;
	}
	return false;
}

static int64_t set_frozen(ebb_params *p, const char *glob, bool frozen)
{
	int64_t matched = 0;

	for (int64_t i = 0; p && glob && i < p->root->params.count; i++) {
		const ebb_entry *entry = &p->root->params.at[i];

		if (!below(p, entry) || fnmatch(glob, entry->name + p->prefix_length, 0) != 0)
			continue;
		matched++;
		ebb_set_requires_grad(entry->tensor, !frozen);
		if (frozen)
			ebb_zero_grad(entry->tensor);
	}
	return matched;
}

int64_t ebb_params_freeze(ebb_params *p, const char *glob)
{
	return set_frozen(p, glob, true);
}

int64_t ebb_params_unfreeze(ebb_params *p, const char *glob)
{
	return set_frozen(p, glob, false);
}

void ebb_params_zero_grad(ebb_params *p)
{
	for (int64_t i = 0; p && i < p->root->params.count; i++)
		if (below(p, &p->root->params.at[i]))
			ebb_zero_grad(p->root->params.at[i].tensor);
}

double ebb_params_grad_norm(const ebb_params *p)
{
	double norm = 0;

	for (int64_t i = 0; p && i < p->root->params.count; i++) {
		const ebb_entry *entry = &p->root->params.at[i];
		const ebb_tensor *g = below(p, entry) ? ebb_grad_of(entry->tensor) : NULL;
		const ebb_kernels *k =
			p->root->dtype == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
		ebb_kernel_stats stats;

		if (!g)
			continue;
		ebb_exact_stats(k, ebb_count(g), ebb_data(g), -INFINITY, INFINITY, &stats);
		if (stats.nan > 0)
			return NAN;
		norm = hypot(norm, stats.l2);
	}
	return norm;
}
