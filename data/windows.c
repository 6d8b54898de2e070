/*
 * windows.c - windows of a long sequence, with targets shifted by one step.
 */
#include <string.h>

#include "data/internal.h"

typedef struct sequence {
	ebb_tensor *x; /* a row-major copy */
	int64_t context, stride;
	size_t step;      /* bytes of a step of x */
	int64_t elements; /* of a window */
	bool bytes;       /* x is U8, the windows are I64 */
} sequence;

static void sequence_free(void *ctx)
{
	sequence *s = ctx;

	ebb_tensor_free(s->x);
	ebb_free(s, sizeof *s);
}

static void copy_window(const sequence *s, int64_t from, void *to)
{
	const uint8_t *x = ebb_data(s->x);

	if (s->elements == 0)
		return;
	x += (size_t)from * s->step;
	if (s->bytes)
		for (int64_t k = 0; k < s->elements; k++)
			((int64_t *)to)[k] = x[k];
	else
		memcpy(to, x, (size_t)s->context * s->step);
}

static ebb_fetched sequence_fill(void *ctx, int64_t i, void *input, void *target, ebb_error *why)
{
	const sequence *s = ctx;

	(void)why;
	copy_window(s, i * s->stride, input);
	copy_window(s, i * s->stride + 1, target);
	return EBB_FETCHED;
}

static bool check(const ebb_windows_args *a)
{
	char x[160];

	if (a->tokens && ebb_ndim(a->tokens) >= 1 && ebb_ndim(a->tokens) < EBB_MAX_DIMS &&
		a->context >= 1 && a->stride >= 0 && a->context < ebb_size(a->tokens, 0))
		return true;
	ebb_error_set(a->error, EBB_INVALID, a->site,
		"windows: windows of %lld steps, stride %lld, of %s: expected tokens [T] or "
		"numbers [T,...], T above .context, .context of at least 1, and .stride not "
		"negative",
		(long long)a->context, (long long)a->stride,
		a->tokens ? ebb_describe(a->tokens, x, sizeof x) : "NULL");
	return false;
}

ebb_dataset *(ebb_windows)(const ebb_windows_args *a)
{
	ebb_dataset *d = NULL;
	ebb_form form;
	sequence *s;
	int64_t steps;

	if (!check(a))
		return NULL;
	s = ebb_alloc_zeroed(sizeof *s);
	if (!s) {
		ebb_error_set(
			a->error, EBB_NO_MEMORY, a->site, "windows: no memory for a data set");
		return NULL;
	}
	form = (ebb_form){ebb_dtype_of(a->tokens), ebb_shape_of(a->tokens)};
	form.shape.dims[0] = 1;
	s->step = ebb_form_bytes(&form);
	form.shape.dims[0] = a->context;
	s->bytes = form.dtype == EBB_U8;
	s->context = a->context;
	s->stride = a->stride ? a->stride : a->context;
	s->elements = ebb_form_count(&form);
	s->x = ebb_row_major_copy(a->tokens, "windows: tokens", a->error);
	if (s->bytes)
		form.dtype = EBB_I64;
	/* A window needs one step more than its context, for the last target. */
	steps = ebb_size(a->tokens, 0) - a->context - 1;
	if (s->x)
		d = ebb_dataset_filled(
			steps / s->stride + 1, 0, sequence_fill, &form, &form, a->error);
	if (!d) {
		sequence_free(s);
		return NULL;
	}
	d->source->ctx = s;
	d->source->free_ctx = sequence_free;
	return d;
}
