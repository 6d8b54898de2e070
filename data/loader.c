/*
 * loader.c - a data set in batches.
 */
#include <math.h>
#include <string.h>

#include "data/data.h"
#include "kernels/kernels.h"

struct ebb_loader {
	const ebb_dataset *data;
	int64_t count, batch, batches;
	int64_t channels, plane;
	bool shuffle, done;
	uint64_t seed;
	ebb_dtype dtype;
	int64_t epoch, next; /* the batch to come */
	int64_t *order;      /* shuffle: which image stands where */
	double *random;      /* shuffle: numbers to draw it from */
	/* What becomes of each of the 256 values, per channel. */
	union {
		float f32[EBB_MAX_CHANNELS][256];
		double f64[EBB_MAX_CHANNELS][256];
	} value;
	ebb_batch full, last; /* last: the smaller one, if there is one */
};

static bool check(const ebb_loader_args *a)
{
	int64_t channels = a->data ? ebb_size(a->data->images, 1) : 0;

	if (!a->data || a->data->count < 1 || a->batch < 1 ||
		(a->drop_last && a->batch > a->data->count)) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: batches of %lld from %lld images%s: expected a data set and "
			"at least one whole batch",
			(long long)a->batch, (long long)(a->data ? a->data->count : 0),
			a->drop_last ? ", last one dropped" : "");
		return false;
	}
	if (a->dtype != EBB_DEFAULT && a->dtype != EBB_F32 && a->dtype != EBB_F64) {
		ebb_error_set(a->error, EBB_BAD_DTYPE, a->site,
			"loader_new: images as %s, expected F32 or F64", ebb_dtype_name(a->dtype));
		return false;
	}
	for (int64_t c = 0; c < channels; c++) {
		if (isfinite(a->mean[c]) && isfinite(a->std[c]) && a->std[c] >= 0)
			continue;
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: mean %g, std %g of channel %lld: expected numbers, std not "
			"negative",
			a->mean[c], a->std[c], (long long)c);
		return false;
	}
	return true;
}

static bool make_batch(ebb_batch *b, const ebb_loader *l, int64_t count, ebb_error *e)
{
	const ebb_tensor *images = l->data->images;
	ebb_shape shape = EBB_SHAPE(count, l->channels, ebb_size(images, 2), ebb_size(images, 3));

	b->count = count;
	b->images = ebb_tensor_new(l->dtype, shape, true, e);
	if (b->images)
		b->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(count), false, e);
	return b->labels != NULL;
}

ebb_loader *(ebb_loader_new)(const ebb_loader_args *a)
{
	int64_t rest, n;
	ebb_loader *l;

	if (!check(a))
		return NULL;
	l = ebb_alloc_zeroed(sizeof *l);
	if (!l)
		goto no_memory;
	n = l->count = a->data->count;
	l->data = a->data;
	l->batch = a->batch < n ? a->batch : n;
	rest = a->drop_last ? 0 : n % l->batch;
	l->batches = n / l->batch + (rest > 0);
	l->channels = ebb_size(a->data->images, 1);
	l->plane = ebb_size(a->data->images, 2) * ebb_size(a->data->images, 3);
	l->shuffle = a->shuffle;
	l->seed = a->seed;
	l->dtype = a->dtype == EBB_F64 ? EBB_F64 : EBB_F32;
	for (int64_t c = 0; c < l->channels; c++) {
		for (int v = 0; v < 256; v++) {
			double std = a->std[c] == 0 ? 1 : a->std[c],
			       y = (v / 255.0 - a->mean[c]) / std;

			if (l->dtype == EBB_F64)
				l->value.f64[c][v] = y;
			else
				l->value.f32[c][v] = (float)y;
		}
	}
	if (l->shuffle) {
		l->order = ebb_alloc((size_t)n * sizeof *l->order);
		l->random = ebb_alloc((size_t)n * sizeof *l->random);
		if (!l->order || !l->random)
			goto no_memory;
	}
	if (!make_batch(&l->full, l, l->batch, a->error) ||
		(rest > 0 && !make_batch(&l->last, l, rest, a->error))) {
		ebb_loader_free(l);
		return NULL;
	}
	ebb_loader_begin(l, 0);
	return l;
no_memory:
	ebb_error_set(a->error, EBB_NO_MEMORY, a->site,
		"loader_new: no memory for a loader of %lld images", (long long)a->data->count);
	ebb_loader_free(l);
	return NULL;
}

void ebb_loader_free(ebb_loader *l)
{
	if (!l)
		return;
	ebb_tensor_free(l->full.images);
	ebb_tensor_free(l->full.labels);
	ebb_tensor_free(l->last.images);
	ebb_tensor_free(l->last.labels);
	ebb_free(l->order, l->order ? (size_t)l->count * sizeof *l->order : 0);
	ebb_free(l->random, l->random ? (size_t)l->count * sizeof *l->random : 0);
	ebb_free(l, sizeof *l);
}

int64_t ebb_loader_batches(const ebb_loader *l)
{
	return l ? l->batches : 0;
}

int64_t ebb_loader_epoch(const ebb_loader *l)
{
	return l ? l->epoch : 0;
}

void ebb_loader_begin(ebb_loader *l, int64_t epoch)
{
	if (!l)
		return;
	l->epoch = epoch < 0 ? 0 : epoch;
	l->next = 0;
	l->done = false;
	if (!l->shuffle)
		return;
	/* Fisher & Yates, from the epoch's own stream. */
	ebb_kernels_f64()->uniform(l->count, l->seed, (uint64_t)l->epoch, 0, 1, l->random);
	for (int64_t i = 0; i < l->count; i++)
		l->order[i] = i;
	for (int64_t i = l->count - 1; i > 0; i--) {
		int64_t j = (int64_t)(l->random[i] * (double)(i + 1)), swap = l->order[i];

		l->order[i] = l->order[j];
		l->order[j] = swap;
	}
}

/* Image number i of the data set, as real numbers with the channels of a pixel side by side. */
static void put_image(const ebb_loader *l, int64_t i, void *out)
{
	const uint8_t *x = (const uint8_t *)ebb_data(l->data->images) + i * l->channels * l->plane;

	for (int64_t c = 0; c < l->channels; c++) {
		const uint8_t *plane = x + c * l->plane;

		if (l->dtype == EBB_F64)
			for (int64_t k = 0; k < l->plane; k++)
				((double *)out)[k * l->channels + c] = l->value.f64[c][plane[k]];
		else
			for (int64_t k = 0; k < l->plane; k++)
				((float *)out)[k * l->channels + c] = l->value.f32[c][plane[k]];
	}
}

bool ebb_loader_next(ebb_loader *l, ebb_batch *b)
{
	int64_t start;
	size_t image_bytes;
	const int64_t *labels;
	char *images;
	int64_t *own;

	if (b)
		*b = (ebb_batch){0};
	if (!l || !b)
		return false;
	if (l->done)
		ebb_loader_begin(l, l->epoch + 1);
	if (l->next == l->batches) {
		l->done = true;
		return false;
	}
	start = l->next * l->batch;
	*b = start + l->batch <= l->count ? l->full : l->last;
	b->index = l->next++;
	images = ebb_data_mutable(b->images);
	own = ebb_data_mutable(b->labels);
	labels = ebb_data(l->data->labels);
	image_bytes = (size_t)(l->channels * l->plane) * ebb_dtype_size(l->dtype);
	for (int64_t k = 0; k < b->count; k++) {
		int64_t i = l->shuffle ? l->order[start + k] : start + k;

		put_image(l, i, images + (size_t)k * image_bytes);
		own[k] = labels[i];
	}
	return true;
}
