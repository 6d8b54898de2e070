/*
 * fill.c - fills a sample of a batch: reads, transforms and normalises an image.
 */
#include <string.h>

#include "data/loader/internal.h"

/* Converts an image's bytes to normalised floats with interleaved channels.  x has n pixels: pixels
 * are step bytes apart, and the channels of a pixel gap bytes. */
static void normalise(
	const ebb_loader *l, const uint8_t *x, int64_t n, int64_t step, int64_t gap, void *out)
{
	int64_t channels = l->channels;

	for (int64_t c = 0; c < channels; c++) {
		const uint8_t *in = x + c * gap;

		if (l->dtype == EBB_F64)
			for (int64_t k = 0; k < n; k++)
				((double *)out)[k * channels + c] = l->value.f64[c][in[k * step]];
		else
			for (int64_t k = 0; k < n; k++)
				((float *)out)[k * channels + c] = l->value.f32[c][in[k * step]];
	}
}

static ebb_fetched fetch(ebb_loader *l, int64_t i, ebb_image *x, ebb_error *e)
{
	ebb_fetched result;
	bool hit;

	if (!ebb_cache_get(&l->cache, i, x, &hit, e))
		return EBB_FETCH_FAILED;
	if (hit)
		return EBB_FETCHED;
	result = ebb_dataset_fetch(l->data, i, x, e);
	if (result == EBB_FETCHED)
		ebb_cache_put(&l->cache, i, x);
	return result;
}

static bool fits(const ebb_loader *l, const ebb_image *x, int64_t i, ebb_error *e)
{
	const char *path = ebb_dataset_path(l->data, i);

	if (x->height == l->height && x->width == l->width && x->channels == l->channels &&
		!x->wide)
		return true;
	ebb_error_set(e, EBB_BAD_SHAPE, path,
		"loader: image %lld is %lldx%lld with %lld channels%s, the batch is of %lldx%lld "
		"with %lld",
		(long long)i, (long long)x->height, (long long)x->width, (long long)x->channels,
		x->wide ? " of 16 bits" : "", (long long)l->height, (long long)l->width,
		(long long)l->channels);
	return false;
}

/* Adds the image's index or path to an error of a transform. */
static void name_image(const ebb_loader *l, int64_t i, ebb_error *e)
{
	const char *path = ebb_dataset_path(l->data, i);
	ebb_error named = {0};

	if (path)
		ebb_error_set(&named, e->status, NULL, "%.330s (%.150s)", e->message, path);
	else
		ebb_error_set(
			&named, e->status, NULL, "%.400s (image %lld)", e->message, (long long)i);
	*e = named;
}

static ebb_fetched make(ebb_slot *s, int64_t k, ebb_worker *w, int64_t place, ebb_error *e)
{
	ebb_loader *l = w->loader;
	int64_t i = place % l->sampler.total, pixels = l->height * l->width;
	char *out = s->images + (size_t)(k * l->views) * l->image_bytes;
	ebb_image *fetched = l->views > 1 ? &w->source : &w->stage.image;
	ebb_fetched result;

	if (l->data->images && !l->augment) {
		const uint8_t *planes = ebb_data(l->data->images);

		normalise(l, planes + i * l->channels * pixels, pixels, 1, pixels, out);
		return EBB_FETCHED;
	}
	result = fetch(l, i, fetched, e);
	if (result != EBB_FETCHED)
		return result;
	w->stage.error = e;
	for (int v = 0; v < l->views; v++, out += l->image_bytes) {
		if (l->views > 1 && !ebb_image_copy(&w->source, &w->stage.image, e))
			return EBB_FETCH_FAILED;
		if (l->augment &&
			!ebb_augment_run(l->augment, &w->stage, l->seed, l->epoch, place, v)) {
			name_image(l, i, e);
			return EBB_FETCH_FAILED;
		}
		if (!fits(l, &w->stage.image, i, e))
			return EBB_FETCH_FAILED;
		normalise(l, w->stage.image.pixels, pixels, l->channels, 1, out);
	}
	return EBB_FETCHED;
}

/* Writes 1 at the label, 0 elsewhere. */
static void one_hot(char *row, int64_t label, ebb_dtype dtype, size_t bytes)
{
	memset(row, 0, bytes);
	if (dtype == EBB_F64)
		((double *)(void *)row)[label] = 1;
	else
		((float *)(void *)row)[label] = 1;
}

ebb_fetched ebb_slot_fill(ebb_slot *s, int64_t k, ebb_worker *w, int64_t place, ebb_error *e)
{
	ebb_loader *l = w->loader;
	ebb_fetched result = make(s, k, w, place, e);

	s->skipped[k] = result == EBB_FETCH_SKIPPED;
	if (result != EBB_FETCHED)
		return result;
	s->labels[k] = ((const int64_t *)ebb_data(l->data->labels))[place % l->sampler.total];
	if (s->targets)
		one_hot(s->targets + (size_t)k * l->target_bytes, s->labels[k], l->dtype,
			l->target_bytes);
	return result;
}

static void close_gaps(ebb_slot *s, const ebb_loader *l)
{
	size_t image = (size_t)l->views * l->image_bytes, target = l->target_bytes;

	s->kept = 0;
	for (int64_t k = 0; k < s->count; k++) {
		size_t from = (size_t)k, to = (size_t)s->kept;

		if (s->skipped[k])
			continue;
		s->kept++;
		if (from == to)
			continue;
		memcpy(s->images + to * image, s->images + from * image, image);
		s->labels[to] = s->labels[from];
		if (s->targets)
			memcpy(s->targets + to * target, s->targets + from * target, target);
	}
}

void ebb_slot_finish(ebb_slot *s, ebb_loader *l, int64_t index)
{
	ebb_mixed m;

	close_gaps(s, l);
	if (!s->targets || s->kept == 0)
		return;
	m = (ebb_mixed){.images = s->images,
		.targets = s->targets,
		.spare = s->spare,
		.count = s->kept,
		.height = l->height,
		.width = l->width,
		.channels = l->channels,
		.classes = l->data->classes,
		.dtype = l->dtype};
	ebb_augment_mix(l->augment, &m, l->seed, l->epoch, index);
}
