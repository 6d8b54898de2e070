/*
 * mnist.c - MNIST, and other data sets in the same four files.
 */
#include <stdio.h>
#include <string.h>

#include "data/internal.h"

enum { CLASSES = 10, PATH_SIZE = 4096 };

/* Finds dir/name in one of its spellings ("name-idx3-ubyte", "name.idx3-ubyte", each also with
 * ".gz") and reads it. */
static ebb_tensor *read_one(
	const char *dir, const char *name, int axes, char path[PATH_SIZE], ebb_error *e)
{
	for (int spelling = 0; spelling < 4; spelling++) {
		int n = snprintf(path, PATH_SIZE, "%s/%s%cidx%d-ubyte%s", dir, name,
			spelling & 1 ? '.' : '-', axes, spelling & 2 ? ".gz" : "");
		FILE *file;
		ebb_tensor *x;
		char text[160];

		if (n < 0 || n >= PATH_SIZE) {
			ebb_error_set(e, EBB_INVALID, NULL,
				"mnist: the directory's name has %zu bytes, expected less than %d",
				strlen(dir), PATH_SIZE - 64);
			return NULL;
		}
		file = fopen(path, "rb");
		if (!file)
			continue;
		fclose(file);
		x = ebb_idx_read(path, e);
		if (x && ebb_ndim(x) != axes) {
			ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: holds %s, expected %d axes", path,
				ebb_describe(x, text, sizeof text), axes);
			ebb_tensor_free(x);
			x = NULL;
		}
		return x;
	}
	ebb_error_set(e, EBB_BAD_FILE, NULL,
		"%s: no readable %s-idx%d-ubyte or %s.idx%d-ubyte there, plain or .gz", dir, name,
		axes, name, axes);
	return NULL;
}

/* Checks images [N,H,W] and labels [N] of bytes, and copies them into a data set. */
static ebb_dataset *join(const ebb_tensor *images, const ebb_tensor *labels, const char *image_path,
	const char *label_path, ebb_error *e)
{
	int64_t n = ebb_size(images, 0);
	const uint8_t *byte = ebb_data(labels);
	ebb_dataset *d;
	int64_t *label;

	if (ebb_size(labels, 0) != n) {
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: %lld labels, expected %lld: as many as images in %s", label_path,
			(long long)ebb_size(labels, 0), (long long)n, image_path);
		return NULL;
	}
	if (ebb_count(images) == 0) {
		char text[160];

		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: holds %s, expected at least one image",
			image_path, ebb_describe(images, text, sizeof text));
		return NULL;
	}
	for (int64_t i = 0; i < n; i++) {
		if (byte[i] >= CLASSES) {
			ebb_error_set(e, EBB_BAD_FILE, NULL,
				"%s: label %lld is %d, expected 0 to %d", label_path, (long long)i,
				byte[i], CLASSES - 1);
			return NULL;
		}
	}
	d = ebb_dataset_new(n, 1, ebb_size(images, 1), ebb_size(images, 2), CLASSES, e);
	if (!d)
		return NULL;
	memcpy(ebb_data_mutable(d->images), ebb_data(images), (size_t)ebb_count(images));
	label = ebb_data_mutable(d->labels);
	for (int64_t i = 0; i < n; i++)
		label[i] = byte[i];
	return d;
}

ebb_dataset *ebb_mnist(const char *dir, ebb_data_split split, ebb_error *e)
{
	char image_path[PATH_SIZE], label_path[PATH_SIZE];
	ebb_tensor *images, *labels = NULL;
	ebb_dataset *d = NULL;

	if (!dir) {
		ebb_error_set(e, EBB_INVALID, NULL, "mnist: the directory is NULL");
		return NULL;
	}
	images =
		read_one(dir, split == EBB_TEST ? "t10k-images" : "train-images", 3, image_path, e);
	if (images)
		labels = read_one(
			dir, split == EBB_TEST ? "t10k-labels" : "train-labels", 1, label_path, e);
	if (labels)
		d = join(images, labels, image_path, label_path, e);
	ebb_tensor_free(images);
	ebb_tensor_free(labels);
	return d;
}
