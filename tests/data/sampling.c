/* What a loader serves: shares of an epoch, balanced classes, soft labels, ten crops. */
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* n images of side x side; all values of image i are i, and its label is label_of[i % period]. */
static ebb_dataset *labelled(
	int64_t n, int64_t side, int classes, const int64_t *label_of, int64_t period)
{
	ebb_dataset *d = ebb_dataset_new(n, 1, side, side, classes, NULL);
	uint8_t *x = ebb_data_mutable(d->images);
	int64_t *label = ebb_data_mutable(d->labels);

	for (int64_t i = 0; i < n; i++) {
		label[i] = label_of[i % period];
		memset(x + i * side * side, (int)i, (size_t)(side * side));
	}
	return d;
}

/* The index of the image at position k of a batch. */
static int number_at(const ebb_batch *b, int64_t k)
{
	int64_t n = ebb_count(b->images) / b->count;

	return (int)lrint(255 * ebb_at(b->images, k * n));
}

/* ---- Shares --------------------------------------------------------------------------------- */

START_TEST(the_shares_of_all_processes_cover_each_image_once)
{
	enum { N = 103 };
	const int64_t label[] = {0, 1, 2};
	ebb_dataset *d = labelled(N, 2, 3, label, 3);

	for (int world = 1; world <= 5; world++) {
		for (int kind = 0; kind < 4; kind++) {
			bool shuffle = kind & 1, drop = kind & 2;
			int times[N] = {0}, all = 0, order[N];

			for (int rank = 0; rank < world; rank++) {
				ebb_loader *l = ebb_loader_new(d, 4, .shuffle = shuffle, .seed = 4,
					.drop_last = drop, .rank = rank, .world = world,
					.workers = rank % 2);
				int k = rank, mine = 0;
				ebb_batch b;

				if (drop)
					ck_assert_int_eq(ebb_loader_batches(l), N / world / 4);
				while (ebb_loader_next(l, &b)) {
					for (int64_t i = 0; i < b.count; i++, k += world, mine++) {
						ck_assert_int_lt(k, N);
						order[k] = number_at(&b, i);
						times[order[k]]++;
					}
				}
				all += mine;
				ck_assert(drop ? mine == N / world / 4 * 4
					       : mine == (N - rank + world - 1) / world);
				ebb_loader_free(l);
			}
			ck_assert(drop || all == N);
			for (int i = 0; i < N; i++)
				ck_assert(times[i] == 1 || (drop && times[i] == 0));
			/* The processes divide the order that a single process would have. */
			if (shuffle && !drop) {
				ebb_loader *l = ebb_loader_new(d, N, .shuffle = true, .seed = 4);
				ebb_batch b;

				ck_assert(ebb_loader_next(l, &b));
				for (int k = 0; k < N; k++)
					ck_assert_int_eq(order[k], number_at(&b, k));
				ebb_loader_free(l);
			}
		}
	}
	ebb_dataset_free(d);
}
END_TEST

/* ---- Balance -------------------------------------------------------------------------------- */

START_TEST(balanced_classes_are_equally_frequent)
{
	/* 60, 30 and 10 per cent; class 2 has no image. */
	enum { N = 200, CLASSES = 4 };
	const int64_t label[] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 3};
	ebb_dataset *d = labelled(N, 2, CLASSES, label, 10);

	for (int shuffle = 0; shuffle < 2; shuffle++) {
		ebb_loader *l = ebb_loader_new(
			d, 16, .shuffle = shuffle, .seed = 2, .balanced = true, .workers = 2);
		int order[2][N];

		for (int epoch = 0; epoch < 2; epoch++) {
			int times[CLASSES] = {0}, of[N] = {0}, k = 0;
			ebb_batch b;

			while (ebb_loader_next(l, &b)) {
				for (int64_t i = 0; i < b.count; i++, k++) {
					order[epoch][k] = number_at(&b, i);
					ck_assert(
						ebb_at(b.labels, i) == label[order[epoch][k] % 10]);
					times[(int)ebb_at(b.labels, i)]++;
					of[order[epoch][k]]++;
				}
				/* Every batch is balanced, too. */
				ck_assert(b.count < 16 || (abs(times[0] - times[1]) <= 1 &&
								  abs(times[0] - times[3]) <= 1));
			}
			ck_assert_int_eq(k, N);
			ck_assert(times[2] == 0 && times[0] >= 66 && times[1] >= 66 &&
				  times[3] >= 66);
			/* Of 120, 60 and 20 images: each is used at most once, once or twice, three
			 * or four times. */
			for (int i = 0; i < N; i++) {
				int64_t c = label[i % 10];

				ck_assert_int_ge(of[i], c == 0 ? 0 : c == 1 ? 1 : 3);
				ck_assert_int_le(of[i], c == 0 ? 1 : c == 1 ? 2 : 4);
			}
		}
		ck_assert((memcmp(order[0], order[1], sizeof order[0]) != 0) == (shuffle == 1));
		ebb_loader_free(l);
	}
	ebb_dataset_free(d);
}
END_TEST

/* An image that occurs twice in an epoch is transformed differently. */
START_TEST(repeated_images_are_transformed_differently)
{
	enum { N = 40 };
	const int64_t label[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
	ebb_dataset *d = labelled(N, 8, 2, label, 10);
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_loader *l;
	ebb_batch b;
	int pairs = 0;

	ebb_augment_noise(a, .std = 0.2);
	l = ebb_loader_new(d, N, .balanced = true, .augment = a);
	ck_assert(ebb_loader_next(l, &b));
	for (int64_t i = 0; i < N; i++) {
		for (int64_t k = 0; k < i; k++) {
			const float *x = ebb_data(b.images);
			const float *p = x + i * 64, *q = x + k * 64;

			pairs++;
			ck_assert(memcmp(p, q, 64 * sizeof(float)) != 0);
		}
	}
	ck_assert_int_gt(pairs, 0);
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Soft labels ---------------------------------------------------------------------------- */

START_TEST(mixup_blends_images_and_targets)
{
	enum { N = 12, CLASSES = 3 };
	const int64_t label[] = {2, 0, 1};
	ebb_dataset *d = labelled(N, 3, CLASSES, label, 3);

	for (int f64 = 0; f64 < 2; f64++) {
		ebb_augment *a = ebb_augment_new(NULL);
		double lowest = 1, highest = 0;
		ebb_loader *l;
		ebb_batch b;

		ck_assert(ebb_augment_mixup(a, .alpha = 1));
		l = ebb_loader_new(d, 4, .augment = a, .workers = 1, .seed = 3,
			.dtype = f64 ? EBB_F64 : EBB_F32);
		for (int epoch = 0; epoch < 20; epoch++) {
			while (ebb_loader_next(l, &b)) {
				double share = ebb_at(b.targets, (int64_t)ebb_at(b.labels, 0));

				ck_assert(ebb_size(b.targets, 0) == 4 &&
					  ebb_size(b.targets, 1) == CLASSES &&
					  ebb_dtype_of(b.targets) == ebb_dtype_of(b.images));
				lowest = fmin(lowest, share);
				highest = fmax(highest, share);
				for (int64_t k = 0; k < 4; k++) {
					int64_t at = 4 * b.index + k,
						next = 4 * b.index + (k + 1) % 4;
					double sum = 0, pixel = share * (double)at +
					                        (1 - share) * (double)next;

					for (int64_t c = 0; c < CLASSES; c++) {
						double expected =
							share * (label[at % 3] == c) +
							(1 - share) * (label[next % 3] == c);

						sum += ebb_at(b.targets, k * CLASSES + c);
						ck_assert_double_eq_tol(
							ebb_at(b.targets, k * CLASSES + c),
							expected, 1e-6);
					}
					ck_assert_double_eq_tol(sum, 1, 1e-6);
					for (int64_t j = 0; j < 9; j++)
						ck_assert_double_eq_tol(
							255 * ebb_at(b.images, k * 9 + j), pixel,
							1e-4);
					ck_assert(ebb_at(b.labels, k) == label[at % 3]);
				}
			}
		}
		ck_assert(lowest < 0.1 && highest > 0.9);
		ebb_loader_free(l);
		ebb_augment_free(a);
	}
	ebb_dataset_free(d);
}
END_TEST

START_TEST(cutmix_targets_are_shares_of_pixels)
{
	enum { N = 8, SIDE = 10 };
	const int64_t label[] = {0, 1};
	ebb_dataset *d = labelled(N, SIDE, 2, label, 2);
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_loader *l;
	ebb_batch b;
	double sum = 0;
	int cut = 0;

	ck_assert(ebb_augment_cutmix(a));
	l = ebb_loader_new(d, 4, .augment = a, .seed = 5);
	for (int epoch = 0; epoch < 50; epoch++) {
		while (ebb_loader_next(l, &b)) {
			for (int64_t k = 0; k < 4; k++) {
				int64_t at = 4 * b.index + k, next = 4 * b.index + (k + 1) % 4,
					own = 0;

				for (int64_t j = 0; j < SIDE * SIDE; j++) {
					int v = (int)lrint(
						255 * ebb_at(b.images, k * SIDE * SIDE + j));

					ck_assert(v == at || v == next);
					own += v == at;
				}
				/* The target is exactly the share of pixels. */
				ck_assert_double_eq_tol(ebb_at(b.targets, 2 * k + at % 2),
					(double)own / (SIDE * SIDE), 1e-6);
				sum += (double)own / (SIDE * SIDE);
				cut += own < SIDE * SIDE;
			}
		}
	}
	/* Half of the area would be replaced if rectangles were never clipped. */
	ck_assert(cut > 300 && sum / 400 > 0.5 && sum / 400 < 0.75);
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* A batch gets at most one of the two, with the right frequencies.  A batch that neither mixes has
 * one-hot targets.  cross_entropy accepts all of them. */
START_TEST(mixup_and_cutmix_have_their_probabilities)
{
	enum { N = 40 };
	const int64_t label[] = {0, 1};
	ebb_dataset *d = labelled(N, 4, 2, label, 2);
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_tape *t = ebb_tape_new();
	int times[3] = {0}, n = 0;
	ebb_loader *l;
	ebb_batch b;

	ebb_augment_mixup(a, .p = 0.3, .alpha = 5);
	ebb_augment_cutmix(a, .p = 0.5);
	l = ebb_loader_new(d, 4, .augment = a, .seed = 6);
	for (int epoch = 0; epoch < 200; epoch++) {
		while (ebb_loader_next(l, &b)) {
			double own = ebb_at(b.targets, 0);
			int whole = 255 * ebb_at(b.images, 0) -
			                    floor(255 * ebb_at(b.images, 0) + 1e-4) <
			            2e-4;

			n++;
			times[own == 1 || own == 0 ? 0 : whole ? 1 : 2]++;
			if (epoch == 0) {
				ebb_tensor *logits = ebb_zeros(t, EBB_SHAPE(b.count, 2));

				ck_assert_double_eq_tol(
					ebb_item(ebb_cross_entropy(t, logits, b.targets)), log(2),
					1e-6);
			}
		}
	}
	ck_assert_double_eq_tol(times[2] / (double)n, 0.3, 0.06);
	/* Some rectangles are empty or cover the whole image. */
	ck_assert(times[1] / (double)n > 0.2 && times[1] / (double)n < 0.36);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_loader_free(l);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Ten crops ------------------------------------------------------------------------------ */

START_TEST(a_batch_of_ten_crops_has_ten_views_per_image)
{
	ebb_dataset *d = ebb_digits(7, 1, NULL);

	for (int workers = 0; workers <= 2; workers++) {
		ebb_augment *a = ebb_augment_new(NULL);
		ebb_loader *l;
		ebb_batch b;
		ebb_image x = {0}, y = {0};

		ebb_augment_ten_crop(a, 24, 24);
		l = ebb_loader_new(d, 3, .augment = a, .workers = workers);
		while (ebb_loader_next(l, &b)) {
			ck_assert(ebb_size(b.images, 0) == 10 * b.count &&
				  ebb_size(b.labels, 0) == b.count && ebb_size(b.images, 2) == 24);
			for (int64_t k = 0; k < 10 * b.count; k++) {
				ck_assert(ebb_image_from_tensor(
					d->images, 3 * b.index + k / 10, &x, NULL));
				ck_assert(ebb_augment_apply(a, &x, &y, .view = (int)(k % 10)));
				for (int64_t j = 0; j < 24 * 24; j++)
					ck_assert_double_eq_tol(
						255 * ebb_at(b.images, k * 24 * 24 + j),
						y.pixels[j], 1e-4);
			}
		}
		ebb_image_free(&x);
		ebb_image_free(&y);
		ebb_loader_free(l);
		ebb_augment_free(a);
	}
	ebb_dataset_free(d);
}
END_TEST

/* ---- Refusals ------------------------------------------------------------------------------- */

START_TEST(invalid_options_are_refused)
{
	const int64_t label[] = {0, 1, 2};
	ebb_dataset *d = labelled(10, 4, 3, label, 3), *wrong = labelled(10, 4, 2, label, 3);
	ebb_augment *ten = ebb_augment_new(NULL), *failed = ebb_augment_new(NULL),
		    *mix = ebb_augment_new(NULL);
	ebb_error e;

	ebb_augment_ten_crop(ten, 2, 2);
	ebb_augment_mixup(ten);
	ebb_augment_mixup(mix);
	ebb_augment_flip(failed, .p = 3);
#define REFUSES(word, ...)                                                                         \
	do {                                                                                       \
		e = (ebb_error){0};                                                                \
		ck_assert(!ebb_loader_new(__VA_ARGS__, .error = &e));                              \
		ck_assert_msg(e.status == EBB_INVALID && strstr(e.message, word) &&                \
				      strstr(e.message, "sampling.c:"),                            \
			"%s", e.message);                                                          \
	} while (0)
	REFUSES("rank 2 of a world of 2", d, 2, .rank = 2, .world = 2);
	REFUSES("rank 1 of a world of 0", d, 2, .rank = 1);
	REFUSES("rank -1", d, 2, .rank = -1);
	REFUSES("world of -2", d, 2, .world = -2);
	REFUSES("from 0 images", d, 2, .rank = 11, .world = 12);
	REFUSES("last one dropped", d, 4, .world = 3, .drop_last = true);
	REFUSES("-1 workers", d, 2, .workers = -1);
	REFUSES("1000 workers", d, 2, .workers = 1000);
	REFUSES("prefetch -5", d, 2, .prefetch = -5);
	REFUSES("a cache of -1", d, 2, .cache = -1);
	REFUSES("ten_crop is for testing", d, 2, .augment = ten);
	REFUSES("p is 3", d, 2, .augment = failed);
	REFUSES("label[2] is 2; there are 2 classes", wrong, 2, .balanced = true);
	REFUSES("label[2] is 2; there are 2 classes", wrong, 2, .augment = mix);
#undef REFUSES
	ebb_augment_free(ten);
	ebb_augment_free(failed);
	ebb_augment_free(mix);
	ebb_dataset_free(d);
	ebb_dataset_free(wrong);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	const int64_t label[] = {0, 1, 2};
	counting_allocator allocator;
	bool done = false;

	for (int fail_at = 0; !done; fail_at++) {
		ebb_error e = {0};
		ebb_augment *a;
		ebb_dataset *d;
		ebb_loader *l;
		ebb_batch b;

		counting_allocator_install(&allocator);
		d = labelled(10, 4, 3, label, 3);
		a = ebb_augment_new(NULL);
		ebb_augment_crop(a, 4, 4, .pad = 1);
		ebb_augment_mixup(a);
		allocator.fail_at = allocator.calls + fail_at;
		l = ebb_loader_new(
			d, 4, .shuffle = true, .balanced = true, .augment = a, .error = &e);
		ck_assert((l == NULL) == (e.status == EBB_NO_MEMORY));
		for (int epoch = 0; l && epoch < 3; epoch++) {
			while (ebb_loader_next(l, &b))
				;
			/* From the second batch on, the loader allocates nothing. */
			if (epoch == 0 && !ebb_loader_error(l))
				allocator.fail_at = allocator.refused ? -1 : allocator.calls;
		}
		done = l && !allocator.refused;
		ck_assert(!l || done == !ebb_loader_error(l));
		ck_assert(!l || done || ebb_loader_error(l)->status == EBB_NO_MEMORY);
		ebb_loader_free(l);
		ebb_augment_free(a);
		ebb_dataset_free(d);
		counting_allocator_remove();
		ck_assert_msg(
			allocator.live == 0 && allocator.wrong == 0, "allocation %d", fail_at);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-sampling");
	TCase *c = tcase_create("sampling");

	tcase_add_test(c, the_shares_of_all_processes_cover_each_image_once);
	tcase_add_test(c, balanced_classes_are_equally_frequent);
	tcase_add_test(c, repeated_images_are_transformed_differently);
	tcase_add_test(c, mixup_blends_images_and_targets);
	tcase_add_test(c, cutmix_targets_are_shares_of_pixels);
	tcase_add_test(c, mixup_and_cutmix_have_their_probabilities);
	tcase_add_test(c, a_batch_of_ten_crops_has_ten_views_per_image);
	tcase_add_test(c, invalid_options_are_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
