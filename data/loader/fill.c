/*
 * fill.c - fills a sample of a batch: reads, transforms and normalises an image, or reads a row.
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

/* ---- Rows ----------------------------------------------------------------------------------- */

/* Returns memory of the worker for a row of the data set's own type. */
static char *scratch_of(ebb_worker *w, size_t bytes, ebb_error *e)
{
	ebb_stage *g = &w->stage;
	float *memory;

	if (bytes <= g->scratch_bytes)
		return (char *)g->scratch;
	memory = ebb_realloc(g->scratch, g->scratch_bytes, bytes);
	if (!memory) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "loader: no memory to convert a row");
		return NULL;
	}
	g->scratch = memory;
	g->scratch_bytes = bytes;
	return (char *)memory;
}

/* Converts n floats between F32 and F64. */
static void convert(const void *from, ebb_dtype dtype, void *to, int64_t n)
{
	if (dtype == EBB_F64)
		for (int64_t k = 0; k < n; k++)
			((double *)to)[k] = ((const float *)from)[k];
	else
		for (int64_t k = 0; k < n; k++)
			((float *)to)[k] = (float)((const double *)from)[k];
}

static ebb_fetched make_row(ebb_slot *s, int64_t k, ebb_worker *w, int64_t i, ebb_error *e)
{
	const ebb_loader *l = w->loader;
	const ebb_dataset_source *d = l->data->source;
	bool converts_input = d->input.dtype != l->input.dtype,
	     converts_target = d->target.dtype != l->target.dtype;
	size_t input = ebb_form_bytes(&d->input), target = ebb_form_bytes(&d->target);
	char *scratch = NULL, *x = s->images, *y = NULL;
	ebb_error why = {0};
	ebb_fetched got;

	if (x)
		x += (size_t)k * l->image_bytes;
	if (s->targets)
		y = s->targets + (size_t)k * l->target_bytes;
	/* Floats are at least 4 bytes, and a row of F64 begins at a multiple of 8. */
	input = (input + 7) / 8 * 8;
	if ((converts_input || converts_target) && input + target > 0) {
		scratch = scratch_of(w, input + target, e);
		if (!scratch)
			return EBB_FETCH_FAILED;
	}
	got = ebb_dataset_try_row(l->data, i, converts_input ? scratch : x,
		converts_target ? scratch + input : y, &why);
	if (got == EBB_FETCH_FAILED)
		ebb_error_set(e, why.status, NULL, "%s", why.message);
	if (got != EBB_FETCHED)
		return got;
	if (converts_input)
		convert(scratch, l->input.dtype, x, ebb_form_count(&l->input));
	if (converts_target)
		convert(scratch + input, l->target.dtype, y, ebb_form_count(&l->target));
	return EBB_FETCHED;
}

/* ---- Samples -------------------------------------------------------------------------------- */

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
	int64_t i = place % l->sampler.total;
	ebb_fetched result = l->rows ? make_row(s, k, w, i, e) : make(s, k, w, place, e);

	s->skipped[k] = result == EBB_FETCH_SKIPPED;
	if (result != EBB_FETCHED)
		return result;
	if (s->labels)
		s->labels[k] = ((const int64_t *)ebb_data(l->data->labels))[i];
	if (s->targets && !l->rows)
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
		if (image)
			memcpy(s->images + to * image, s->images + from * image, image);
		if (s->labels)
			s->labels[to] = s->labels[from];
		if (target)
			memcpy(s->targets + to * target, s->targets + from * target, target);
	}
}

void ebb_slot_finish(ebb_slot *s, ebb_loader *l, int64_t index)
{
	ebb_mixed m;

	close_gaps(s, l);
	if (l->rows || !s->targets || s->kept == 0)
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
