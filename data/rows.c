/*
 * rows.c - data sets of rows: tables in memory, and rows that a function fills.
 */
#include <string.h>

#include "data/internal.h"
#include "tensor/host.h"

/* ---- Forms ---------------------------------------------------------------------------------- */

int64_t ebb_form_count(const ebb_form *f)
{
	int64_t n = 1;

	for (int k = 0; k < f->shape.ndim; k++) {
		int64_t size = f->shape.dims[k];

		if (size == 0)
			return 0;
		n = n > (int64_t)EBB_MOST_BYTES / size ? (int64_t)EBB_MOST_BYTES : n * size;
	}
	return n;
}

size_t ebb_form_bytes(const ebb_form *f)
{
	return f->dtype == EBB_DEFAULT ? 0
	                               : ebb_bytes_of(ebb_form_count(f), ebb_dtype_size(f->dtype));
}

static bool same_form(const ebb_form *a, const ebb_form *b)
{
	return a->dtype == b->dtype && a->shape.ndim == b->shape.ndim &&
	       memcmp(a->shape.dims, b->shape.dims,
		       (size_t)a->shape.ndim * sizeof *a->shape.dims) == 0;
}

bool ebb_dataset_alike(const ebb_dataset *a, const ebb_dataset *b)
{
	if (!ebb_dataset_has_rows(a) || !ebb_dataset_has_rows(b))
		return ebb_dataset_has_rows(a) == ebb_dataset_has_rows(b);
	return same_form(&a->source->input, &b->source->input) &&
	       same_form(&a->source->target, &b->source->target);
}

const char *ebb_dataset_items(const ebb_dataset *d)
{
	return d && ebb_dataset_has_rows(d) ? "rows" : "images";
}

/* The form of a row of x [N,...], whose row has the sizes of the other axes. */
static ebb_form form_of(const ebb_tensor *x)
{
	ebb_form f = {ebb_dtype_of(x), {.ndim = ebb_ndim(x) - 1}};

	for (int k = 0; k < f.shape.ndim; k++)
		f.shape.dims[k] = ebb_size(x, k + 1);
	return f;
}

/* ---- Data sets of rows ---------------------------------------------------------------------- */

ebb_dataset *ebb_dataset_filled(int64_t count, int classes, ebb_fill fill, const ebb_form *input,
	const ebb_form *target, ebb_error *e)
{
	ebb_dataset *d;

	/* Indices of all rows fit into memory's limit, so that no size of an array of them
	 * overflows. */
	if (ebb_bytes_of(count, sizeof(int64_t)) > EBB_MOST_BYTES) {
		ebb_error_set(
			e, EBB_INVALID, NULL, "dataset: %lld rows are too many", (long long)count);
		return NULL;
	}
	d = ebb_dataset_sourced(count, classes, NULL, EBB_SHAPE(0, 0, 0), e);
	if (!d)
		return NULL;
	d->source->fill = fill;
	d->source->input = *input;
	d->source->target = *target;
	return d;
}

ebb_fetched ebb_dataset_try_row(
	const ebb_dataset *d, int64_t i, void *input, void *target, ebb_error *why)
{
	ebb_fetched got = d->source->fill(d->source->ctx, i, input, target, why);

	return ebb_dataset_noted(d, i, got, why);
}

/* ---- Tables --------------------------------------------------------------------------------- */

typedef struct table {
	ebb_tensor *x, *y; /* row-major copies; y: NULL if there are no targets */
	size_t x_bytes, y_bytes;
} table;

static void table_free(void *ctx)
{
	table *s = ctx;

	ebb_tensor_free(s->x);
	ebb_tensor_free(s->y);
	ebb_free(s, sizeof *s);
}

static void copy_row(const ebb_tensor *x, int64_t i, size_t bytes, void *to)
{
	if (bytes > 0)
		memcpy(to, (const char *)ebb_data(x) + (size_t)i * bytes, bytes);
}

static ebb_fetched table_fill(void *ctx, int64_t i, void *input, void *target, ebb_error *why)
{
	const table *s = ctx;

	(void)why;
	copy_row(s->x, i, s->x_bytes, input);
	if (target)
		copy_row(s->y, i, s->y_bytes, target);
	return EBB_FETCHED;
}

ebb_tensor *ebb_row_major_copy(const ebb_tensor *x, const char *what, ebb_error *e)
{
	ebb_tensor *y = ebb_tensor_new(ebb_dtype_of(x), ebb_shape_of(x), false, e);
	size_t bytes = ebb_bytes_of(ebb_count(x), ebb_dtype_size(ebb_dtype_of(x)));

	if (!y || bytes == 0 || ebb_copy_out(x, ebb_data_mutable(y), bytes))
		return y;
	ebb_error_set(e, EBB_BAD_STATE, NULL, "%s: the tensor's value was dropped", what);
	ebb_tensor_free(y);
	return NULL;
}

static bool refuse(const ebb_rows_args *a, ebb_status status, const char *what)
{
	char x[160], y[160];

	ebb_error_set(a->error, status, a->site, "rows: x is %s, y %s, %d classes: %s",
		a->x ? ebb_describe(a->x, x, sizeof x) : "NULL",
		a->y ? ebb_describe(a->y, y, sizeof y) : "NULL", a->classes, what);
	return false;
}

static bool check_rows(const ebb_rows_args *a)
{
	const ebb_tensor *x = a->x, *y = a->y;

	if (!x || ebb_ndim(x) < 1 || ebb_size(x, 0) < 1)
		return refuse(a, EBB_BAD_SHAPE, "expected x [N,...] of at least one row");
	if (y && (ebb_ndim(y) < 1 || ebb_size(y, 0) != ebb_size(x, 0)))
		return refuse(a, EBB_BAD_SHAPE, "expected y [N,...] of as many rows as x");
	if (a->classes < 0 || (a->classes > 0 && !y))
		return refuse(a, EBB_INVALID, "expected no negative number, and y with .classes");
	if (a->classes == 0)
		return true;
	if (ebb_dtype_of(y) != EBB_I64 && ebb_dtype_of(y) != EBB_U8)
		return refuse(a, EBB_BAD_DTYPE, "expected labels of I64 or U8 with .classes");
	if (ebb_count(y) != ebb_size(y, 0))
		return refuse(a, EBB_BAD_SHAPE, "expected labels [N] or [N,1] with .classes");
	return true;
}

/* Sets the labels of d from y, integers. */
static bool take_labels(ebb_dataset *d, const ebb_tensor *y, const ebb_rows_args *a)
{
	int64_t *label = ebb_data_mutable(d->labels);
	const void *from = ebb_data(y);
	bool wide = ebb_dtype_of(y) == EBB_I64;

	for (int64_t i = 0; i < d->count; i++) {
		label[i] = wide ? ((const int64_t *)from)[i] : ((const uint8_t *)from)[i];
		if (label[i] >= 0 && label[i] < d->classes)
			continue;
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"rows: label %lld is %lld, expected 0 to %d", (long long)i,
			(long long)label[i], d->classes - 1);
		return false;
	}
	return true;
}

ebb_dataset *(ebb_rows)(const ebb_rows_args *a)
{
	ebb_form input, target = {EBB_DEFAULT, EBB_SCALAR_SHAPE};
	ebb_dataset *d = NULL;
	table *s;

	if (!check_rows(a))
		return NULL;
	input = form_of(a->x);
	if (a->y && a->classes == 0)
		target = form_of(a->y);
	s = ebb_alloc_zeroed(sizeof *s);
	if (!s) {
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site, "rows: no memory for a data set");
		return NULL;
	}
	s->x = ebb_row_major_copy(a->x, "rows: x", a->error);
	if (s->x && a->y)
		s->y = ebb_row_major_copy(a->y, "rows: y", a->error);
	s->x_bytes = ebb_form_bytes(&input);
	s->y_bytes = ebb_form_bytes(&target);
	if (s->x && (s->y || !a->y))
		d = ebb_dataset_filled(
			ebb_size(a->x, 0), a->classes, table_fill, &input, &target, a->error);
	if (!d || (a->classes > 0 && !take_labels(d, s->y, a))) {
		ebb_dataset_free(d);
		table_free(s);
		return NULL;
	}
	if (a->classes > 0) {
		ebb_tensor_free(s->y);
		s->y = NULL;
	}
	d->source->ctx = s;
	d->source->free_ctx = table_free;
	return d;
}

/* ---- Rows that a function fills ------------------------------------------------------------- */

typedef struct custom {
	bool (*fill)(void *ctx, int64_t i, void *input, void *target, ebb_error *e);
	void *ctx;
	void (*free_ctx)(void *ctx);
	ebb_on_error on_error;
	size_t input_bytes, target_bytes;
} custom;

static ebb_fetched custom_fill(void *ctx, int64_t i, void *input, void *target, ebb_error *why)
{
	const custom *c = ctx;

	if (c->input_bytes)
		memset(input, 0, c->input_bytes);
	if (c->target_bytes)
		memset(target, 0, c->target_bytes);
	return ebb_dataset_answer(c->fill(c->ctx, i, input, target, why), c->on_error,
		"rows_custom: the fill function failed for row", i, why);
}

static void custom_free(void *ctx)
{
	custom *c = ctx;

	if (c->free_ctx)
		c->free_ctx(c->ctx);
	ebb_free(c, sizeof *c);
}

/* Rows of batches have one axis more. */
static bool is_form(const ebb_form *f)
{
	if (f->dtype < EBB_DEFAULT || f->dtype > EBB_U8 || f->shape.ndim < 0 ||
		f->shape.ndim >= EBB_MAX_DIMS)
		return false;
	for (int k = 0; k < f->shape.ndim; k++)
		if (f->shape.dims[k] < 0)
			return false;
	return ebb_form_bytes(f) <= EBB_MOST_BYTES;
}

static bool check_custom(const ebb_rows_custom_args *a, const ebb_form *in, const ebb_form *out)
{
	char input[120], target[120];

	if (a->count > 0 && a->fill && is_form(in) && is_form(out) && a->classes >= 0 &&
		(a->classes > 0) == (a->label != NULL))
		return true;
	if (in->shape.ndim < 0 || in->shape.ndim > EBB_MAX_DIMS || out->shape.ndim < 0 ||
		out->shape.ndim > EBB_MAX_DIMS)
		ebb_snprintf(input, sizeof input, "(%d axes)", in->shape.ndim),
			ebb_snprintf(target, sizeof target, "(%d axes)", out->shape.ndim);
	else
		ebb_shape_text(in->shape, input, sizeof input),
			ebb_shape_text(out->shape, target, sizeof target);
	ebb_error_set(a->error, EBB_INVALID, a->site,
		"rows_custom: %lld rows, inputs %s %s, targets %s %s, %d classes%s%s: expected "
		"at least one row, types, at most %d axes, no negative number, a fill function, "
		"and a label function with .classes",
		(long long)a->count, ebb_dtype_name(in->dtype), input, ebb_dtype_name(out->dtype),
		target, a->classes, a->fill ? "" : ", .fill is NULL",
		a->label ? ", a label function" : "", EBB_MAX_DIMS - 1);
	return false;
}

static bool ask_labels(ebb_dataset *d, const ebb_rows_custom_args *a)
{
	int64_t *label = ebb_data_mutable(d->labels);

	for (int64_t i = 0; label && i < a->count; i++) {
		label[i] = a->label(a->ctx, i);
		if (label[i] >= 0 && label[i] < a->classes)
			continue;
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"rows_custom: label %lld is %lld, expected 0 to %d", (long long)i,
			(long long)label[i], a->classes - 1);
		return false;
	}
	return true;
}

ebb_dataset *(ebb_rows_custom)(const ebb_rows_custom_args *a)
{
	ebb_form input = {a->input_dtype ? a->input_dtype : EBB_F32, a->input_shape},
		 target = {a->target_dtype, a->target_shape};
	ebb_dataset *d = NULL;
	custom *c;

	if (!check_custom(a, &input, &target))
		return NULL;
	c = ebb_alloc(sizeof *c);
	if (c)
		d = ebb_dataset_filled(
			a->count, a->classes, custom_fill, &input, &target, a->error);
	else
		ebb_error_set(
			a->error, EBB_NO_MEMORY, a->site, "rows_custom: no memory for a data set");
	if (!d || !ask_labels(d, a)) {
		ebb_dataset_free(d);
		ebb_free(c, sizeof *c);
		return NULL;
	}
	*c = (custom){a->fill, a->ctx, a->free_ctx, a->on_error, ebb_form_bytes(&input),
		ebb_form_bytes(&target)};
	d->source->ctx = c;
	d->source->free_ctx = custom_free;
	return d;
}
