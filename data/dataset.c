/*
 * dataset.c - images with labels.
 */
#include <math.h>
#include <string.h>

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

void ebb_dataset_free(ebb_dataset *d)
{
	if (!d)
		return;
	ebb_tensor_free(d->images);
	ebb_tensor_free(d->labels);
	ebb_free(d, sizeof *d);
}

ebb_dataset *ebb_dataset_slice(const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e)
{
	ebb_dataset *part;
	int64_t pixels;

	if (!d || start < 0 || start >= d->count || count < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_slice: %lld images from %lld on, of %lld", (long long)count,
			(long long)start, (long long)(d ? d->count : 0));
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

bool ebb_dataset_moments(
	const ebb_dataset *d, double mean[EBB_MAX_CHANNELS], double std[EBB_MAX_CHANNELS])
{
	int64_t channels, plane;
	const uint8_t *x;

	if (!d)
		return false;
	channels = ebb_size(d->images, 1);
	plane = ebb_size(d->images, 2) * ebb_size(d->images, 3);
	x = ebb_data(d->images);
	for (int64_t c = 0; c < channels; c++) {
		/* A histogram makes the sums exact. */
		int64_t times[256] = {0};
		double n = (double)(d->count * plane), sum = 0, square = 0;

		for (int64_t i = 0; i < d->count; i++)
			for (int64_t k = 0; k < plane; k++)
				times[x[(i * channels + c) * plane + k]]++;
		for (int v = 0; v < 256; v++)
			sum += (double)times[v] * v;
		mean[c] = sum / n / 255;
		for (int v = 0; v < 256; v++)
			square += (double)times[v] * (v / 255.0 - mean[c]) * (v / 255.0 - mean[c]);
		std[c] = square > 0 ? sqrt(square / n) : 1;
	}
	return true;
}
