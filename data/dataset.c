/*
 * dataset.c - images with labels: in memory, or read on demand.
 */
#include <math.h>
#include <string.h>

#include "tensor/host.h"
#include "data/internal.h"

ebb_dataset *ebb_dataset_new(
	int64_t count, int64_t channels, int64_t height, int64_t width, int classes, ebb_error *e)
{
	ebb_dataset *d;

	if (count < 1 || channels < 1 || channels > EBB_MAX_CHANNELS || height < 1 || width < 1 ||
		classes < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_new: %lld images [%lld,%lld,%lld], %d classes: expected positive "
			"numbers and at most %d channels",
			(long long)count, (long long)channels, (long long)height, (long long)width,
			classes, EBB_MAX_CHANNELS);
		return NULL;
	}
	d = ebb_alloc_zeroed(sizeof *d);
	if (!d) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "dataset_new: no memory for a data set");
		return NULL;
	}
	d->count = count;
	d->classes = classes;
	d->images = ebb_tensor_new(EBB_U8, EBB_SHAPE(count, channels, height, width), false, e);
	if (d->images)
		d->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(count), false, e);
	if (!d->labels) {
		ebb_dataset_free(d);
		return NULL;
	}
	return d;
}

ebb_dataset *ebb_dataset_sourced(int64_t count, int classes,
	ebb_fetched (*fetch)(void *ctx, int64_t i, ebb_image *x, ebb_error *why), ebb_shape shape,
	ebb_error *e)
{
	ebb_dataset *d = ebb_alloc_zeroed(sizeof *d);
	ebb_dataset_source *s = d ? ebb_alloc_zeroed(sizeof *s) : NULL;

	if (!s) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "dataset: no memory for a data set");
		ebb_free(d, sizeof *d);
		return NULL;
	}
	s->fetch = fetch;
	s->shape = shape;
	d->source = s;
	d->count = count;
	d->classes = classes;
	if (classes > 0)
		d->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(count), false, e);
	if (classes > 0 && !d->labels) {
		ebb_dataset_free(d);
		return NULL;
	}
	return d;
}

static void free_notes(ebb_notes *notes)
{
	for (int64_t i = 0; i < notes->count; i++)
		ebb_free(notes->note[i].message, notes->note[i].size);
	ebb_free(notes->note, (size_t)notes->capacity * sizeof *notes->note);
}

static void source_free(ebb_dataset_source *s)
{
	if (!s)
		return;
	if (s->free_ctx)
		s->free_ctx(s->ctx);
	free_notes(&s->skipped);
	free_notes(&s->warned);
	ebb_free(s->names, s->names_size);
	ebb_free(s, sizeof *s);
}

void ebb_dataset_free(ebb_dataset *d)
{
	if (!d)
		return;
	ebb_tensor_free(d->images);
	ebb_tensor_free(d->labels);
	source_free(d->source);
	ebb_free(d, sizeof *d);
}

bool ebb_dataset_name_classes(ebb_dataset *d, const char *const *names)
{
	size_t pointers = (size_t)d->classes * sizeof *names, size = pointers;
	const char **copy;
	char *text;

	if (!names)
		return true;
	for (int k = 0; k < d->classes; k++)
		size += strlen(names[k]) + 1;
	copy = ebb_alloc(size);
	if (!copy)
		return false;
	text = (char *)copy + pointers;
	for (int k = 0; k < d->classes; k++) {
		copy[k] = strcpy(text, names[k]);
		text += strlen(text) + 1;
	}
	d->class_names = copy;
	d->source->names = copy;
	d->source->names_size = size;
	return true;
}

/* ---- Skipped images and warnings ------------------------------------------------------------- */

ebb_fetched ebb_dataset_excuse(ebb_on_error on_error, const ebb_error *why)
{
	return on_error == EBB_SKIP && why->status == EBB_BAD_FILE ? EBB_FETCH_SKIPPED
	                                                           : EBB_FETCH_FAILED;
}

ebb_fetched ebb_dataset_answer(
	bool ok, ebb_on_error on_error, const char *what, int64_t i, ebb_error *why)
{
	if (ok) {
		*why = (ebb_error){0};
		return EBB_FETCHED;
	}
	ebb_error_set(
		why, EBB_INVALID, NULL, "%s %lld without an error message", what, (long long)i);
	return ebb_dataset_excuse(on_error, why);
}

/* One mutex guards the notes of all data sets: notes are rare, and fork must lock only this one. */
static pthread_mutex_t notes_lock = PTHREAD_MUTEX_INITIALIZER;

void ebb_notes_hold(bool held)
{
	if (held)
		pthread_mutex_lock(&notes_lock);
	else
		pthread_mutex_unlock(&notes_lock);
}

static bool note_at(ebb_notes *notes, int64_t at, int64_t index, const char *message)
{
	struct ebb_note new = {index, NULL, strlen(message) + 1};

	if (!ebb_grow(&notes->note, &notes->capacity, notes->count + 1, sizeof *notes->note))
		return false;
	new.message = ebb_alloc(new.size);
	if (!new.message)
		return false;
	memcpy(new.message, message, new.size);
	memmove(notes->note + at + 1, notes->note + at,
		(size_t)(notes->count - at) * sizeof *notes->note);
	notes->note[at] = new;
	notes->count++;
	return true;
}

bool ebb_dataset_note(ebb_notes *notes, int64_t index, const char *message)
{
	int64_t from = 0, to;
	bool ok = true;

	ebb_notes_hold(true);
	/* Binary search for the first note of a larger index. */
	for (to = notes->count; from < to;) {
		int64_t middle = from + (to - from) / 2;

		if (notes->note[middle].index <= index)
			from = middle + 1;
		else
			to = middle;
	}
	if (index < 0 || from == 0 || notes->note[from - 1].index != index)
		ok = note_at(notes, from, index, message);
	ebb_notes_hold(false);
	return ok;
}

static int64_t count_notes(const ebb_notes *notes)
{
	int64_t n;

	ebb_notes_hold(true);
	n = notes->count;
	ebb_notes_hold(false);
	return n;
}

static bool read_note(const ebb_notes *notes, int64_t k, int64_t *index, const char **message)
{
	bool there;

	if (!index || !message)
		return false;
	ebb_notes_hold(true);
	there = k >= 0 && k < notes->count;
	if (there) {
		*index = notes->note[k].index;
		*message = notes->note[k].message;
	}
	ebb_notes_hold(false);
	return there;
}

int64_t ebb_dataset_skipped(const ebb_dataset *d)
{
	return d && d->source ? count_notes(&d->source->skipped) : 0;
}

bool ebb_dataset_skipped_at(const ebb_dataset *d, int64_t k, int64_t *index, const char **message)
{
	return d && d->source && read_note(&d->source->skipped, k, index, message);
}

int64_t ebb_dataset_warned(const ebb_dataset *d)
{
	return d && d->source ? count_notes(&d->source->warned) : 0;
}

bool ebb_dataset_warned_at(const ebb_dataset *d, int64_t k, int64_t *index, const char **message)
{
	return d && d->source && read_note(&d->source->warned, k, index, message);
}

/* ---- Access --------------------------------------------------------------------------------- */

/* Converts planes [C,H,W] to interleaved pixels. */
static bool copy_image(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *why)
{
	int64_t channels = ebb_size(d->images, 1), height = ebb_size(d->images, 2),
		width = ebb_size(d->images, 3), plane = height * width;
	const uint8_t *from = (const uint8_t *)ebb_data(d->images) + i * channels * plane;

	if (!ebb_image_shape(x, height, width, channels, why))
		return false;
	for (int64_t k = 0; k < plane; k++)
		for (int64_t c = 0; c < channels; c++)
			x->pixels[k * channels + c] = from[c * plane + k];
	return true;
}

/* Checks that an image has the size and channels that its data set declares. */
static bool keeps_promise(const ebb_dataset *d, int64_t i, const ebb_image *x, ebb_error *why)
{
	const int64_t *shape = d->source->shape.dims;

	if (!ebb_image_check(x, "dataset_fetch", why))
		return false;
	if (!x->wide && (shape[0] == 0 || shape[0] == x->channels) &&
		(shape[1] == 0 || shape[1] == x->height) && (shape[2] == 0 || shape[2] == x->width))
		return true;
	ebb_error_set(why, EBB_BAD_SHAPE, NULL,
		"dataset_fetch: image %lld is [%lld,%lld,%lld] of %d bits, the data set declares "
		"[%lld,%lld,%lld] (0: any) of 8",
		(long long)i, (long long)x->channels, (long long)x->height, (long long)x->width,
		x->wide ? 16 : 8, (long long)shape[0], (long long)shape[1], (long long)shape[2]);
	return false;
}

ebb_fetched ebb_dataset_noted(const ebb_dataset *d, int64_t i, ebb_fetched got, ebb_error *why)
{
	if (got == EBB_FETCH_FAILED || why->status == EBB_OK)
		return got;
	if (ebb_dataset_note(
		    got == EBB_FETCHED ? &d->source->warned : &d->source->skipped, i, why->message))
		return got;
	*why = (ebb_error){0};
	ebb_error_set(why, EBB_NO_MEMORY, NULL,
		"dataset_fetch: no memory for the error message of number %lld", (long long)i);
	return EBB_FETCH_FAILED;
}

ebb_fetched ebb_dataset_try(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *why)
{
	ebb_error broken = {0};
	ebb_fetched got;

	if (!d || !x || i < 0 || i >= d->count) {
		ebb_error_set(why, EBB_INVALID, NULL, "dataset_fetch: image %lld of %lld%s",
			(long long)i, (long long)(d ? d->count : 0), x ? "" : " into NULL");
		return EBB_FETCH_FAILED;
	}
	if (d->images)
		return copy_image(d, i, x, why) ? EBB_FETCHED : EBB_FETCH_FAILED;
	if (ebb_dataset_has_rows(d)) {
		ebb_error_set(why, EBB_INVALID, NULL,
			"dataset_fetch: the data set has rows, expected images");
		return EBB_FETCH_FAILED;
	}
	got = d->source->fetch(d->source->ctx, i, x, why);
	if (got == EBB_FETCHED && !keeps_promise(d, i, x, &broken)) {
		*why = broken;
		return EBB_FETCH_FAILED;
	}
	return ebb_dataset_noted(d, i, got, why);
}

ebb_fetched ebb_dataset_fetch(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *e)
{
	ebb_error why = {0};
	ebb_fetched got = ebb_dataset_try(d, i, x, &why);

	if (got == EBB_FETCH_FAILED)
		ebb_error_set(e, why.status, NULL, "%s", why.message);
	return got;
}

int64_t ebb_dataset_label(const ebb_dataset *d, int64_t i)
{
	if (!d || !d->labels || i < 0 || i >= d->count)
		return -1;
	return ((const int64_t *)ebb_data(d->labels))[i];
}

ebb_shape ebb_dataset_image_shape(const ebb_dataset *d)
{
	if (!d || (!d->images && !d->source))
		return EBB_SHAPE(0, 0, 0);
	if (!d->images)
		return d->source->shape;
	return EBB_SHAPE(ebb_size(d->images, 1), ebb_size(d->images, 2), ebb_size(d->images, 3));
}

const char *ebb_dataset_path(const ebb_dataset *d, int64_t i)
{
	if (!d || i < 0 || i >= d->count || !d->source || !d->source->path)
		return NULL;
	return d->source->path(d->source->ctx, i);
}

/* ---- Custom data sets ----------------------------------------------------------------------- */

typedef struct custom {
	bool (*image)(void *ctx, int64_t i, ebb_image *x, ebb_error *e);
	void *ctx;
	void (*free_ctx)(void *ctx);
	ebb_on_error on_error;
} custom;

static ebb_fetched custom_fetch(void *ctx, int64_t i, ebb_image *x, ebb_error *why)
{
	const custom *c = ctx;

	return ebb_dataset_answer(c->image(c->ctx, i, x, why), c->on_error,
		"dataset_fetch: the image function failed for image", i, why);
}

static void custom_free(void *ctx)
{
	custom *c = ctx;

	if (c->free_ctx)
		c->free_ctx(c->ctx);
	ebb_free(c, sizeof *c);
}

static bool check_custom(const ebb_dataset_custom_args *a)
{
	if (a->count > 0 && a->classes > 0 && a->image && a->label && a->channels >= 0 &&
		a->channels <= EBB_MAX_CHANNELS && a->height >= 0 && a->width >= 0)
		return true;
	ebb_error_set(a->error, EBB_INVALID, a->site,
		"dataset_custom: %lld images [%lld,%lld,%lld], %d classes%s: expected positive "
		"numbers, at most %d channels, and two functions",
		(long long)a->count, (long long)a->channels, (long long)a->height,
		(long long)a->width, a->classes, a->image && a->label ? "" : ", a function is NULL",
		EBB_MAX_CHANNELS);
	return false;
}

ebb_dataset *(ebb_dataset_custom)(const ebb_dataset_custom_args *a)
{
	ebb_dataset *d = NULL;
	custom *c;
	int64_t *label;

	if (!check_custom(a))
		return NULL;
	c = ebb_alloc(sizeof *c);
	if (c)
		d = ebb_dataset_sourced(a->count, a->classes, custom_fetch,
			EBB_SHAPE(a->channels, a->height, a->width), a->error);
	if (!d || !ebb_dataset_name_classes(d, a->class_names)) {
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site,
			"dataset_custom: no memory for a data set");
		goto fail;
	}
	label = ebb_data_mutable(d->labels);
	for (int64_t i = 0; i < a->count; i++) {
		label[i] = a->label(a->ctx, i);
		if (label[i] >= 0 && label[i] < a->classes)
			continue;
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"dataset_custom: label %lld is %lld, expected 0 to %d", (long long)i,
			(long long)label[i], a->classes - 1);
		goto fail;
	}
	*c = (custom){a->image, a->ctx, a->free_ctx, a->on_error};
	d->source->ctx = c;
	d->source->free_ctx = custom_free;
	return d;
fail:
	ebb_dataset_free(d);
	ebb_free(c, sizeof *c);
	return NULL;
}

/* ---- Statistics over all images ------------------------------------------------------------- */

ebb_dataset *ebb_dataset_slice(const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e)
{
	ebb_dataset *part;
	int64_t pixels;

	if (d && !d->images) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_slice: the %s are not %s; dataset_range refers to them",
			ebb_dataset_items(d), ebb_dataset_has_rows(d) ? "images" : "in memory");
		return NULL;
	}
	if (!d || start < 0 || start >= d->count || count < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_slice: %lld images from %lld on, expected at least one, from "
			"below %lld on",
			(long long)count, (long long)start, (long long)(d ? d->count : 0));
		return NULL;
	}
	if (count > d->count - start)
		count = d->count - start;
	part = ebb_dataset_new(count, ebb_size(d->images, 1), ebb_size(d->images, 2),
		ebb_size(d->images, 3), d->classes, e);
	if (!part)
		return NULL;
	pixels = ebb_count(d->images) / d->count;
	memcpy(ebb_data_mutable(part->images),
		(const uint8_t *)ebb_data(d->images) + start * pixels, (size_t)(count * pixels));
	memcpy(ebb_data_mutable(part->labels), (const int64_t *)ebb_data(d->labels) + start,
		(size_t)count * sizeof(int64_t));
	return part;
}

/* A histogram per channel makes the sums exact. */
typedef struct histogram {
	int64_t channels, times[EBB_MAX_CHANNELS][256];
} histogram;

static bool count_fetched(const ebb_dataset *d, histogram *h)
{
	ebb_image x = {0};
	bool ok = true;

	for (int64_t i = 0; ok && i < d->count; i++) {
		ebb_fetched got = ebb_dataset_fetch(d, i, &x, NULL);

		if (got == EBB_FETCH_SKIPPED)
			continue;
		if (h->channels == 0)
			h->channels = x.channels;
		ok = got == EBB_FETCHED && x.channels == h->channels;
		for (int64_t k = 0; ok && k < x.height * x.width; k++)
			for (int64_t c = 0; c < x.channels; c++)
				h->times[c][x.pixels[k * x.channels + c]]++;
	}
	ebb_image_free(&x);
	return ok && h->channels > 0;
}

static void count_persistent(const ebb_dataset *d, histogram *h)
{
	int64_t plane = ebb_size(d->images, 2) * ebb_size(d->images, 3);
	const uint8_t *x = ebb_data(d->images);

	h->channels = ebb_size(d->images, 1);
	for (int64_t i = 0; i < d->count; i++)
		for (int64_t c = 0; c < h->channels; c++, x += plane)
			for (int64_t k = 0; k < plane; k++)
				h->times[c][x[k]]++;
}

bool ebb_dataset_moments(
	const ebb_dataset *d, double mean[EBB_MAX_CHANNELS], double std[EBB_MAX_CHANNELS])
{
	histogram h = {0};

	if (!d)
		return false;
	if (d->images)
		count_persistent(d, &h);
	else if (!count_fetched(d, &h))
		return false;
	for (int64_t c = 0; c < h.channels; c++) {
		double n = 0, sum = 0, square = 0;

		for (int v = 0; v < 256; v++) {
			n += (double)h.times[c][v];
			sum += (double)h.times[c][v] * v;
		}
		mean[c] = sum / n / 255;
		for (int v = 0; v < 256; v++)
			square += (double)h.times[c][v] * (v / 255.0 - mean[c]) *
			          (v / 255.0 - mean[c]);
		std[c] = square > 0 ? sqrt(square / n) : 1;
	}
	return true;
}
