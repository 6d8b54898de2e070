/* Loaders with workers: the same batches for any number of workers, and freeing at any time. */
#include "tests/data/workers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(batches_are_the_same_for_any_number_of_workers)
{
	static const int workers[] = {1, 2, 4, 7};
	origin o = HEALTHY;
	ebb_dataset *files = made(&o, EBB_FAIL), *digits = ebb_digits(COUNT, 1, NULL);
	ebb_augment *mixing = pipeline(true), *single = pipeline(false);

	for (int kind = 0; kind < 4; kind++) {
		const ebb_dataset *d = kind % 2 ? files : digits;
		const ebb_augment *a = kind < 2 ? single : mixing;
		ebb_dtype dtype = kind == 3 ? EBB_F64 : EBB_F32;
		uint64_t expected[MOST], found[MOST];
		ebb_loader *l = ebb_loader_new(d, 8, .shuffle = true, .seed = 3, .augment = a,
			.mean = {0.4, 0.5, 0.6}, .std = {0.2, 0.3, 0.2}, .dtype = dtype);
		int n = trace(l, expected);

		ck_assert_int_eq(n, 2 * (8 + 1));
		ck_assert(expected[0] != expected[9]);
		ebb_loader_free(l);
		for (size_t w = 0; w < sizeof workers / sizeof *workers; w++) {
			l = ebb_loader_new(d, 8, .shuffle = true, .seed = 3, .augment = a,
				.mean = {0.4, 0.5, 0.6}, .std = {0.2, 0.3, 0.2}, .dtype = dtype,
				.workers = workers[w], .prefetch = 1 + (int64_t)w,
				.cache = w % 2 ? 1 << 20 : 0);
			ck_assert_int_eq(trace(l, found), n);
			ck_assert_mem_eq(found, expected, (size_t)n * sizeof *found);
			ebb_loader_free(l);
		}
	}
	ebb_augment_free(mixing);
	ebb_augment_free(single);
	ebb_dataset_free(files);
	ebb_dataset_free(digits);
}
END_TEST

/* Collects the values of the images of an epoch, in the order of their labels. */
static void collect(ebb_loader *l, double *values, int64_t count)
{
	ebb_batch b;

	while (ebb_loader_next(l, &b)) {
		int64_t n = ebb_count(b.images) / b.count;

		for (int64_t k = 0; k < b.count; k++) {
			int64_t i = (int64_t)ebb_at(b.labels, k);

			ck_assert(i < count);
			for (int64_t j = 0; j < n; j++)
				values[i * n + j] = ebb_at(b.images, k * n + j);
		}
	}
	ck_assert(!ebb_loader_error(l));
}

/* n images of 1 channel; all values of image i are i, and its label is i. */
static ebb_dataset *numbered(int64_t n, int64_t side)
{
	ebb_dataset *d = ebb_dataset_new(n, 1, side, side, (int)n, NULL);
	uint8_t *x = ebb_data_mutable(d->images);
	int64_t *label = ebb_data_mutable(d->labels);

	for (int64_t i = 0; i < n; i++) {
		label[i] = i;
		for (int64_t k = 0; k < side * side; k++)
			x[i * side * side + k] = (uint8_t)(i + k);
	}
	return d;
}

/* Batch size, order and the share of a process do not change a transformed image. */
START_TEST(images_are_the_same_in_any_batch)
{
	enum { N = 30, PIXELS = 36, ALL = N * PIXELS };
	ebb_dataset *d = numbered(N, 6);
	ebb_augment *a = ebb_augment_new(NULL);
	double *expected = malloc(ALL * sizeof *expected), *found = malloc(ALL * sizeof *found);

	ebb_augment_crop(a, 6, 6, .pad = 3, .border = EBB_BORDER_REFLECT);
	ebb_augment_flip(a);
	ebb_augment_noise(a);
	for (int epoch = 0; epoch < 2; epoch++) {
		const ebb_loader_args other[] = {{.batch = 7}, {.batch = 30, .shuffle = true},
			{.batch = 1, .workers = 2}, {.batch = 4, .world = 3, .workers = 1}};
		ebb_loader *l = ebb_loader_new(d, 5, .augment = a, .seed = 9);

		ebb_loader_begin(l, epoch);
		collect(l, expected, N);
		ebb_loader_free(l);
		for (size_t k = 0; k < sizeof other / sizeof *other; k++) {
			ebb_loader_args args = other[k];

			args.data = d;
			args.augment = a;
			args.seed = 9;
			memset(found, 0, ALL * sizeof *found);
			for (args.rank = 0; args.rank < (args.world ? args.world : 1);
				args.rank++) {
				l = (ebb_loader_new)(&args);
				ebb_loader_begin(l, epoch);
				collect(l, found, N);
				ebb_loader_free(l);
			}
			ck_assert_mem_eq(found, expected, ALL * sizeof *found);
		}
	}
	free(expected);
	free(found);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Stopping ------------------------------------------------------------------------------- */

START_TEST(a_loader_can_be_freed_at_any_time)
{
	origin o = HEALTHY;
	ebb_dataset *d = made(&o, EBB_FAIL);
	ebb_augment *a = pipeline(true);
	uint64_t expected[MOST], found[MOST];
	ebb_batch b;
	int n;

	for (int taken = 0; taken < 10; taken++) {
		ebb_loader *l = ebb_loader_new(d, 8, .augment = a, .workers = 1 + taken % 3);

		for (int k = 0; k < taken; k++)
			ebb_loader_next(l, &b);
		ebb_loader_free(l);
	}
	/* Returning to the start at any time leaves nothing of the old epoch. */
	ebb_loader *l = ebb_loader_new(d, 8, .augment = a, .workers = 2, .prefetch = 3);
	n = trace(l, expected);
	for (int taken = 0; taken < 12; taken++) {
		for (int k = 0; k < taken; k++)
			ebb_loader_next(l, &b);
		ebb_loader_begin(l, 5 + taken);
		ck_assert_int_eq(ebb_loader_epoch(l), 5 + taken);
		ebb_loader_begin(l, 0);
		ck_assert_int_eq(trace(l, found), n);
		ck_assert_mem_eq(found, expected, (size_t)n * sizeof *found);
	}
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(workers_do_not_overwrite_the_callers_batch)
{
	ebb_dataset *d = numbered(40, 6);
	ebb_loader *l = ebb_loader_new(d, 4, .workers = 2, .prefetch = 4);
	ebb_batch b;

	for (int k = 0; k < 10; k++) {
		uint64_t before;

		ck_assert(ebb_loader_next(l, &b));
		before = hash_of(b.images, 1);
		/* Leaves the workers time for an error. */
		usleep(2000);
		ck_assert(hash_of(b.images, 1) == before && ebb_at(b.labels, 0) == 4 * k);
	}
	ebb_loader_free(l);
	ebb_dataset_free(d);
}
END_TEST

static int all_calls(const origin *o)
{
	int n = 0;

	for (int i = 0; i < COUNT; i++)
		n += atomic_load(&o->calls[i]);
	return n;
}

/* The queue is bounded: workers make the prefetched batches and no more. */
START_TEST(workers_prefetch_no_more_than_requested)
{
	origin o = HEALTHY;
	ebb_dataset *d = made(&o, EBB_FAIL);
	ebb_augment *a = pipeline(false);
	ebb_loader *l = ebb_loader_new(d, 5, .augment = a, .workers = 2, .prefetch = 3);
	ebb_batch b;

	ck_assert(ebb_loader_next(l, &b) && ebb_loader_next(l, &b));
	for (int k = 0; k < 10000 && all_calls(&o) < (2 + 3) * 5; k++)
		usleep(1000);
	usleep(20000);
	ck_assert_int_eq(all_calls(&o), (2 + 3) * 5);
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Errors --------------------------------------------------------------------------------- */

START_TEST(an_error_in_a_worker_reaches_the_caller)
{
	for (int workers = 0; workers <= 4; workers += 2) {
		origin o = {.corrupt = {22, 21, 50, -1}};
		ebb_dataset *d = made(&o, EBB_FAIL);
		ebb_augment *a = pipeline(false);
		ebb_loader *l = ebb_loader_new(d, 5, .augment = a, .workers = workers);
		const ebb_error *e;
		ebb_batch b;

		for (int round = 0; round < 2; round++) {
			/* The batches before the failed image are returned; then the loader stops
			 * until ebb_loader_begin. */
			for (int k = 0; k < 4; k++)
				ck_assert(ebb_loader_next(l, &b) && b.count == 5);
			for (int k = 0; k < 3; k++) {
				ck_assert(!ebb_loader_next(l, &b) && !b.images);
				e = ebb_loader_error(l);
				ck_assert_msg(e && e->status == EBB_BAD_FILE &&
						      strstr(e->message, "image21.png: damaged"),
					"%s", e ? e->message : "no error");
			}
			ebb_loader_begin(l, 0);
			ck_assert(!ebb_loader_error(l));
		}
		ebb_loader_free(l);
		ebb_augment_free(a);
		ebb_dataset_free(d);
	}
}
END_TEST

START_TEST(a_transform_that_does_not_fit_is_an_error)
{
	for (int workers = 0; workers <= 2; workers += 2) {
		origin o = HEALTHY;
		ebb_dataset *d = made(&o, EBB_FAIL);
		ebb_augment *a = ebb_augment_new(NULL);
		ebb_loader *l;
		const ebb_error *e;
		ebb_batch b;

		/* Images 0 and 1 are too small. */
		ebb_augment_crop(a, SIDE + 2, SIDE);
		l = ebb_loader_new(d, 5, .augment = a, .workers = workers);
		ck_assert(!ebb_loader_next(l, &b));
		e = ebb_loader_error(l);
		ck_assert_msg(e && e->status == EBB_BAD_SHAPE && strstr(e->message, "crop") &&
				      strstr(e->message, "12x12") && strstr(e->message, "image 0"),
			"%s", e ? e->message : "no error");
		ebb_loader_free(l);
		ebb_augment_free(a);
		ebb_dataset_free(d);
	}
	ck_assert(ebb_loader_error(NULL));
}
END_TEST

START_TEST(skipped_images_are_left_out)
{
	uint64_t expected[MOST], found[MOST];
	int n = 0;

	for (int workers = 0; workers <= 4; workers += 2) {
		origin o = {.corrupt = {0, 3, 60, 17}};
		ebb_dataset *d = made(&o, EBB_SKIP);
		ebb_augment *a = pipeline(true);
		ebb_loader *l = ebb_loader_new(d, 4, .augment = a, .workers = workers);
		int sizes[] = {2, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}, k = 0;
		ebb_batch b;

		/* The last batch would consist of image 60 only; it is left out. */
		ck_assert_int_eq(ebb_loader_batches(l), 16);
		for (; ebb_loader_next(l, &b); k++) {
			ck_assert_int_lt(k, 15);
			ck_assert_int_eq(b.count, sizes[k]);
			ck_assert_int_eq(ebb_size(b.images, 0), sizes[k]);
			ck_assert_int_eq(ebb_size(b.targets, 0), sizes[k]);
			ck_assert_int_eq(ebb_size(b.labels, 0), sizes[k]);
		}
		ck_assert_int_eq(k, 15);
		ck_assert(!ebb_loader_error(l));
		ck_assert_int_eq(ebb_dataset_skipped(d), 4);
		ebb_loader_begin(l, 0);
		if (workers == 0)
			n = trace(l, expected);
		else
			ck_assert_int_eq(trace(l, found), n);
		ck_assert(workers == 0 || memcmp(found, expected, (size_t)n * sizeof *found) == 0);
		ebb_loader_free(l);
		ebb_augment_free(a);
		ebb_dataset_free(d);
	}
}
END_TEST

START_TEST(a_batch_without_images_is_left_out)
{
	origin o = {.all_corrupt = true};
	ebb_dataset *d = made(&o, EBB_SKIP);
	ebb_augment *a = pipeline(false);
	ebb_loader *l = ebb_loader_new(d, 4, .augment = a, .workers = 2);
	ebb_batch b;

	ck_assert(!ebb_loader_next(l, &b) && !ebb_loader_error(l));
	ck_assert(!ebb_loader_next(l, &b) && ebb_dataset_skipped(d) == COUNT);
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* ---- The cache ------------------------------------------------------------------------------ */

static int calls_in_two_epochs(int64_t cache, int workers)
{
	origin o = HEALTHY;
	ebb_dataset *d = made(&o, EBB_FAIL);
	ebb_augment *a = pipeline(false);
	ebb_loader *l = ebb_loader_new(
		d, 8, .shuffle = true, .augment = a, .workers = workers, .cache = cache);
	uint64_t hashes[MOST];

	trace(l, hashes);
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
	return all_calls(&o);
}

START_TEST(cached_images_are_not_read_again)
{
	enum { TABLE = COUNT * (int)sizeof(ebb_image), LARGEST = (SIDE + 4) * (SIDE + 2) * 3 };
	int some;

	ck_assert_int_eq(calls_in_two_epochs(0, 0), 2 * COUNT);
	ck_assert_int_eq(calls_in_two_epochs(1 << 20, 0), COUNT);
	/* With workers, the third epoch may have begun. */
	ck_assert_int_eq(calls_in_two_epochs(1 << 20, 3), COUNT);
	/* A cache for ten images, or a few more. */
	some = 2 * COUNT - calls_in_two_epochs(TABLE + 10 * LARGEST, 0);
	ck_assert(some >= 10 && some <= 10 * LARGEST / (SIDE * SIDE * 3) + 1);
	ck_assert_int_eq(calls_in_two_epochs(TABLE + 10, 0), 2 * COUNT);
}
END_TEST

/* The limit of the cache is counted in bytes. */
START_TEST(the_cache_keeps_to_its_limit_in_bytes)
{
	enum { LIMIT = COUNT * (int)sizeof(ebb_image) + 20000 };
	int64_t most[2];

	for (int with = 0; with < 2; with++) {
		counting_allocator allocator;
		origin o = HEALTHY;
		ebb_dataset *d;
		ebb_augment *a;
		ebb_loader *l;
		ebb_batch b;

		counting_allocator_install(&allocator);
		d = made(&o, EBB_FAIL);
		a = pipeline(false);
		l = ebb_loader_new(d, 8, .augment = a, .cache = with ? LIMIT : 0);
		while (ebb_loader_next(l, &b))
			;
		most[with] = allocator.bytes;
		ebb_loader_free(l);
		ebb_augment_free(a);
		ebb_dataset_free(d);
		counting_allocator_remove();
		ck_assert(allocator.live == 0 && allocator.wrong == 0);
	}
	ck_assert_int_le(most[1] - most[0], LIMIT);
	ck_assert_int_gt(most[1] - most[0], LIMIT - 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-workers");
	TCase *c = tcase_create("threads");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, batches_are_the_same_for_any_number_of_workers);
	tcase_add_test(c, images_are_the_same_in_any_batch);
	tcase_add_test(c, a_loader_can_be_freed_at_any_time);
	tcase_add_test(c, workers_do_not_overwrite_the_callers_batch);
	tcase_add_test(c, workers_prefetch_no_more_than_requested);
	tcase_add_test(c, an_error_in_a_worker_reaches_the_caller);
	tcase_add_test(c, a_transform_that_does_not_fit_is_an_error);
	tcase_add_test(c, skipped_images_are_left_out);
	tcase_add_test(c, a_batch_without_images_is_left_out);
	tcase_add_test(c, cached_images_are_not_read_again);
	suite_add_tcase(s, c);
	c = tcase_create("cache");
	tcase_add_test(c, the_cache_keeps_to_its_limit_in_bytes);
	suite_add_tcase(s, c);
	return run_suite(s);
}
