/*
 * cifar.c - CIFAR-10 and CIFAR-100 in their binary layout.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/internal.h"

enum { SIDE = 32, CHANNELS = 3, PIXELS = CHANNELS * SIDE * SIDE, FILES = 5, PATH_SIZE = 4096 };
static const int64_t MOST_BYTES = INT64_C(1) << 32;

static const char *const cifar10_names[] = {
	"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

static const char *const coarse_names[] = {"aquatic_mammals", "fish", "flowers", "food_containers",
	"fruit_and_vegetables", "household_electrical_devices", "household_furniture", "insects",
	"large_carnivores", "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
	"large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
	"reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2"};

static const char *const fine_names[] = {"apple", "aquarium_fish", "baby", "bear", "beaver", "bed",
	"bee", "beetle", "bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel",
	"can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud",
	"cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
	"flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
	"lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle",
	"mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree",
	"pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
	"rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew",
	"skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
	"sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train",
	"trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"};

#define COUNT(names) ((int)(sizeof(names) / sizeof *(names)))

/* The layout of a record, and which of its labels is used. */
typedef struct layout {
	int labels, at; /* label bytes before the pixels, and the index of the label */
	int classes;
	const char *const *names;
} layout;

/* A file of records: dir/name or dir/name.gz. */
typedef struct records {
	char path[PATH_SIZE];
	ebb_bytes bytes;
	int64_t count;
} records;

static bool read_records(
	const char *dir, const char *name, const layout *l, records *r, ebb_error *e)
{
	size_t size = (size_t)l->labels + PIXELS;
	int n = snprintf(r->path, PATH_SIZE, "%s/%s", dir, name);

	if (n < 0 || n >= PATH_SIZE - 3) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"cifar: the directory's name has %zu bytes, expected less than %d",
			strlen(dir), PATH_SIZE - 64);
		return false;
	}
	if (access(r->path, F_OK) != 0) {
		strcpy(r->path + n, ".gz");
		/* If neither exists, the error names the plain file. */
		if (access(r->path, F_OK) != 0)
			r->path[n] = '\0';
	}
	if (!ebb_source_read_all(r->path, MOST_BYTES, &r->bytes, e))
		return false;
	r->count = (int64_t)(r->bytes.size / size);
	if (r->bytes.size % size != 0) {
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: truncated: %zu bytes are not a whole number of records of %zu",
			r->path, r->bytes.size, size);
		return false;
	}
	for (int64_t i = 0; i < r->count; i++) {
		int label = r->bytes.data[(size_t)i * size + (size_t)l->at];

		if (label < l->classes)
			continue;
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: label %lld is %d, expected 0 to %d",
			r->path, (long long)i, label, l->classes - 1);
		return false;
	}
	return true;
}

static void copy_records(const records *r, const layout *l, ebb_dataset *d, int64_t start)
{
	const uint8_t *from = r->bytes.data;
	uint8_t *pixels = (uint8_t *)ebb_data_mutable(d->images) + start * PIXELS;
	int64_t *label = (int64_t *)ebb_data_mutable(d->labels) + start;

	for (int64_t i = 0; i < r->count; i++, from += l->labels + PIXELS) {
		label[i] = from[l->at];
		memcpy(pixels + i * PIXELS, from + l->labels, PIXELS);
	}
}

static ebb_dataset *read_all(
	const char *dir, const char *const *names, int n, const layout *l, ebb_error *e)
{
	records *r;
	ebb_dataset *d = NULL;
	int64_t count = 0;
	int read = 0;

	if (!dir) {
		ebb_error_set(e, EBB_INVALID, NULL, "cifar: the directory is NULL");
		return NULL;
	}
	r = ebb_alloc_zeroed((size_t)n * sizeof *r);
	if (!r) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "cifar: no memory to read %s", dir);
		return NULL;
	}
	while (read < n && read_records(dir, names[read], l, &r[read], e))
		count += r[read++].count;
	if (read == n)
		d = ebb_dataset_new(count, CHANNELS, SIDE, SIDE, l->classes, e);
	count = 0;
	for (int i = 0; i < n; i++) {
		if (d)
			copy_records(&r[i], l, d, count);
		count += r[i].count;
		ebb_bytes_free(&r[i].bytes);
	}
	ebb_free(r, (size_t)n * sizeof *r);
	if (d)
		d->class_names = l->names;
	return d;
}

ebb_dataset *ebb_cifar10(const char *dir, ebb_data_split split, ebb_error *e)
{
	static const char *const training[FILES] = {"data_batch_1.bin", "data_batch_2.bin",
		"data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
	static const char *const testing[] = {"test_batch.bin"};
	static const layout ten = {1, 0, COUNT(cifar10_names), cifar10_names};

	return split == EBB_TEST ? read_all(dir, testing, 1, &ten, e)
	                         : read_all(dir, training, FILES, &ten, e);
}

ebb_dataset *ebb_cifar100(
	const char *dir, ebb_data_split split, ebb_cifar_labels labels, ebb_error *e)
{
	static const char *const training[] = {"train.bin"}, *const testing[] = {"test.bin"};
	static const layout coarse = {2, 0, COUNT(coarse_names), coarse_names},
			    fine = {2, 1, COUNT(fine_names), fine_names};

	return read_all(dir, split == EBB_TEST ? testing : training, 1,
		labels == EBB_COARSE ? &coarse : &fine, e);
}
