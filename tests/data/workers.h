/* workers.h - data sets, a pipeline and checksums of batches, for the tests of loaders with
 * workers. */
#ifndef EBB_TESTS_WORKERS_H
#define EBB_TESTS_WORKERS_H

#include "tests/support/support.h"

#include <stdatomic.h>

enum { COUNT = 61, SIDE = 12, CLASSES = 5 };

/* ---- Data sets ------------------------------------------------------------------------------ */

/* Images of different sizes, generated on demand; some fail. */
typedef struct origin {
	int64_t corrupt[4];      /* indices of images that cannot be read; -1: none */
	atomic_int calls[COUNT]; /* per image */
	bool all_corrupt;
} origin;

static inline bool make_image(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	origin *o = ctx;

	atomic_fetch_add(&o->calls[i], 1);
	for (int k = 0; k < 4; k++) {
		if (o->corrupt[k] != i && !o->all_corrupt)
			continue;
		ebb_error_set(e, EBB_BAD_FILE, NULL, "image%02lld.png: damaged", (long long)i);
		return false;
	}
	if (!ebb_image_shape(x, SIDE + i % 5, SIDE + i % 3, 3, e))
		return false;
	for (int64_t k = 0; k < x->height * x->width * 3; k++)
		x->pixels[k] = (uint8_t)(7 * k + 13 * i);
	return true;
}

static inline int64_t make_label(void *ctx, int64_t i)
{
	(void)ctx;
	/* Class 4 is rare, class 3 has none. */
	return i % 20 == 7 ? 4 : i % 3;
}

static inline ebb_dataset *made(origin *o, ebb_on_error on_error)
{
	ebb_error e = {0};
	ebb_dataset *d = ebb_dataset_custom(COUNT, CLASSES, make_image, make_label, o,
		.channels = 3, .on_error = on_error, .error = &e);

	ck_assert_msg(d, "%s", e.message);
	return d;
}

static const origin HEALTHY = {.corrupt = {-1, -1, -1, -1}};

static inline ebb_augment *pipeline(bool mix)
{
	ebb_augment *a = ebb_augment_new(NULL);

	ebb_augment_crop(a, SIDE, SIDE, .pad = 2);
	ebb_augment_flip(a);
	ebb_augment_jitter(a, 0.4, 0.4, 0.4, 0.1);
	ebb_augment_elastic(a, .alpha = 10, .sigma = 2, .p = 0.5);
	ebb_augment_noise(a, .p = 0.5);
	if (mix) {
		ebb_augment_mixup(a, .p = 0.5);
		ebb_augment_cutmix(a);
	}
	ck_assert(!ebb_augment_error(a));
	return a;
}

static inline uint64_t hash_of(const ebb_tensor *x, uint64_t hash)
{
	const uint8_t *p = ebb_data(x);
	int64_t n = x ? ebb_count(x) * (int64_t)ebb_dtype_size(ebb_dtype_of(x)) : 0;

	for (int64_t k = 0; k < n; k++)
		hash = (hash ^ p[k]) * 1099511628211u;
	return hash;
}

enum { MOST = 64 };

/* Computes a checksum of each batch of two epochs, and 0 between and after them. */
static inline int trace(ebb_loader *l, uint64_t hashes[MOST])
{
	ebb_batch b;
	int n = 0;

	ck_assert(l);
	for (int epoch = 0; epoch < 2; epoch++) {
		for (int64_t k = 0; ebb_loader_next(l, &b); k++) {
			ck_assert_int_lt(n, MOST - 1);
			ck_assert(b.index >= k && ebb_size(b.images, 0) == b.count &&
				  ebb_size(b.labels, 0) == b.count);
			hashes[n] = hash_of(b.images, 14695981039346656037u + (uint64_t)b.index);
			hashes[n] = hash_of(b.labels, hashes[n]);
			hashes[n] = hash_of(b.targets, hashes[n]);
			n++;
		}
		hashes[n++] = 0;
	}
	return n;
}

#endif
