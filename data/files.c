/*
 * files.c - a data set of image files, for folder.c and list.c.
 */
#include <string.h>

#include "tensor/host.h"
#include "data/internal.h"

bool ebb_files_add(ebb_files *f, const char *path, int64_t label, const char *what, ebb_error *e)
{
	size_t length = strlen(path) + 1;

	if (!ebb_grow(&f->file, &f->capacity, f->count + 1, sizeof *f->file) ||
		!ebb_bytes_reserve(&f->text, f->text.size + length)) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory for %lld paths", what,
			(long long)f->count);
		return false;
	}
	memcpy(f->text.data + f->text.size, path, length);
	f->file[f->count++] = (struct ebb_file){f->text.size, label};
	f->text.size += length;
	return true;
}

void ebb_files_free(ebb_files *f)
{
	ebb_bytes_free(&f->text);
	ebb_free(f->file, (size_t)f->capacity * sizeof *f->file);
	*f = (ebb_files){0};
}

bool ebb_files_options(ebb_files *f, const ebb_image_options *o, ebb_on_error on_error,
	const char *site, ebb_error *e)
{
	f->options = *o;
	if (o->channels == 0)
		f->options.channels = 3;
	else if (o->channels == EBB_ANY_CHANNELS)
		f->options.channels = 0;
	f->on_error = on_error;
	if (o->channels >= EBB_ANY_CHANNELS && o->channels <= EBB_MAX_CHANNELS &&
		o->shorter_side >= 0 && o->max_pixels >= 0)
		return true;
	ebb_error_set(e, EBB_INVALID, site,
		"images in files: %d channels, shorter side %lld, at most %lld pixels: expected 1 "
		"to %d channels or EBB_ANY_CHANNELS, and nothing below 0",
		o->channels, (long long)o->shorter_side, (long long)o->max_pixels,
		EBB_MAX_CHANNELS);
	return false;
}

static ebb_fetched fetch(void *ctx, int64_t i, ebb_image *x, ebb_error *why)
{
	const ebb_files *f = ctx;
	ebb_image_options o = f->options;
	ebb_error warning = {0};

	o.warning = &warning;
	if (ebb_image_read(ebb_files_path(f, i), &o, x, why)) {
		*why = warning;
		return EBB_FETCHED;
	}
	return ebb_dataset_excuse(f->on_error, why);
}

static const char *path_of(void *ctx, int64_t i)
{
	return ebb_files_path(ctx, i);
}

static void free_files(void *ctx)
{
	ebb_files *f = ctx;

	ebb_files_free(f);
	ebb_free(f, sizeof *f);
}

/* Decodes every file.  Messages go to s; files that cannot be read are removed from f. */
static bool verify_all(ebb_files *f, ebb_dataset_source *s, ebb_error *e)
{
	ebb_image x = {0};
	int64_t kept = 0;
	bool ok = true;

	for (int64_t i = 0; ok && i < f->count; i++) {
		ebb_error why = {0};
		ebb_fetched got = fetch(f, i, &x, &why);
		bool noted = true;

		if (got == EBB_FETCH_SKIPPED)
			noted = ebb_dataset_note(&s->skipped, -1, why.message);
		else if (got == EBB_FETCHED && why.status != EBB_OK)
			noted = ebb_dataset_note(&s->warned, kept, why.message);
		if (got == EBB_FETCHED)
			f->file[kept++] = f->file[i];
		if (got == EBB_FETCH_FAILED)
			ebb_error_set(e, why.status, NULL, "%s", why.message);
		else if (!noted)
			ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory for its error message",
				ebb_files_path(f, i));
		ok = got != EBB_FETCH_FAILED && noted;
	}
	ebb_image_free(&x);
	if (ok)
		f->count = kept;
	return ok;
}

ebb_dataset *ebb_files_dataset(
	ebb_files *f, int classes, bool verify, const char *what, ebb_error *e)
{
	ebb_files *own = ebb_alloc(sizeof *own);
	ebb_dataset *d = NULL;
	int64_t *label;

	if (own)
		d = ebb_dataset_sourced(
			f->count, classes, fetch, EBB_SHAPE(f->options.channels, 0, 0), e);
	else
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory for a data set", what);
	if (!d)
		goto fail;
	if (verify && !verify_all(f, d->source, e))
		goto fail;
	if (f->count == 0) {
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: none of its %lld images can be read: %s",
			what, (long long)d->count, d->source->skipped.note[0].message);
		goto fail;
	}
	if (f->count < d->count) {
		ebb_tensor_free(d->labels);
		d->count = f->count;
		d->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(d->count), false, e);
		if (!d->labels)
			goto fail;
	}
	label = ebb_data_mutable(d->labels);
	for (int64_t i = 0; i < f->count; i++)
		label[i] = f->file[i].label;
	*own = *f;
	*f = (ebb_files){0};
	d->source->ctx = own;
	d->source->free_ctx = free_files;
	d->source->path = path_of;
	return d;
fail:
	ebb_dataset_free(d);
	ebb_free(own, sizeof *own);
	ebb_files_free(f);
	return NULL;
}
