/* Data sets, loaders and measures. */
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* n images of 2 channels, 3 x 5; image i contains i, i+1, ...; its label is i. */
static ebb_dataset *numbered(int64_t n)
{
	ebb_dataset *d = ebb_dataset_new(n, 2, 3, 5, (int)n, NULL);
	uint8_t *x = ebb_data_mutable(d->images);
	int64_t *label = ebb_data_mutable(d->labels);

	for (int64_t i = 0; i < n; i++) {
		label[i] = i;
		for (int64_t k = 0; k < 30; k++)
			x[i * 30 + k] = (uint8_t)(i + k);
	}
	return d;
}

static void check_images(
	const ebb_batch *b, const double *mean, const double *std, double tolerance)
{
	ck_assert_int_eq(ebb_size(b->images, 0), b->count);
	ck_assert_int_eq(ebb_size(b->labels, 0), b->count);
	ck_assert_int_eq(ebb_stride(b->images, 1), 1);
	for (int64_t i = 0; i < b->count; i++) {
		int64_t image = (int64_t)ebb_at(b->labels, i);

		for (int64_t k = 0; k < 30; k++) {
			double expected =
				((uint8_t)(image + k) / 255.0 - mean[k / 15]) / std[k / 15];

			ck_assert_double_eq_tol(ebb_at(b->images, i * 30 + k), expected, tolerance);
		}
	}
}

START_TEST(batches_are_in_order)
{
	ebb_dataset *d = numbered(23);
	ebb_loader *l = ebb_loader_new(d, 5);
	const double zero[2] = {0, 0}, one[2] = {1, 1};
	ebb_batch b;

	ck_assert_int_eq(ebb_loader_batches(l), 5);
	ck_assert_int_eq(ebb_loader_epoch(l), 0);
	for (int epoch = 0; epoch < 3; epoch++) {
		for (int k = 0; k < 5; k++) {
			ck_assert(ebb_loader_next(l, &b));
			ck_assert_int_eq(b.count, k < 4 ? 5 : 3);
			ck_assert_int_eq(b.index, k);
			ck_assert_int_eq(ebb_loader_epoch(l), epoch);
			ck_assert(ebb_at(b.labels, 0) == 5 * k);
			ck_assert_int_eq(ebb_dtype_of(b.images), EBB_F32);
			ck_assert_int_eq(ebb_dtype_of(b.labels), EBB_I64);
			check_images(&b, zero, one, 1e-7);
		}
		ck_assert(!ebb_loader_next(l, &b));
		ck_assert(!b.images && !b.labels && b.count == 0);
	}
	ebb_loader_free(l);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(images_are_normalised_in_both_types)
{
	const double mean[2] = {0.25, 0.5}, std[2] = {0.1, 2};
	ebb_dataset *d = numbered(4);
	ebb_loader *f32 = ebb_loader_new(d, 4, .mean = {0.25, 0.5}, .std = {0.1, 2});
	ebb_loader *f64 =
		ebb_loader_new(d, 4, .mean = {0.25, 0.5}, .std = {0.1, 2}, .dtype = EBB_F64);
	ebb_batch b;

	ck_assert(ebb_loader_next(f32, &b));
	check_images(&b, mean, std, 1e-6);
	ck_assert(ebb_loader_next(f64, &b));
	ck_assert_int_eq(ebb_dtype_of(b.images), EBB_F64);
	check_images(&b, mean, std, 1e-15);
	ebb_loader_free(f32);
	ebb_loader_free(f64);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(the_last_batch_is_smaller_or_dropped)
{
	ebb_dataset *d = numbered(10);
	ebb_loader *kept = ebb_loader_new(d, 4), *dropped = ebb_loader_new(d, 4, .drop_last = true);
	ebb_loader *even = ebb_loader_new(d, 5), *one = ebb_loader_new(d, 100);
	ebb_batch b;
	int n = 0;

	ck_assert_int_eq(ebb_loader_batches(kept), 3);
	ck_assert_int_eq(ebb_loader_batches(dropped), 2);
	ck_assert_int_eq(ebb_loader_batches(even), 2);
	ck_assert_int_eq(ebb_loader_batches(one), 1);
	while (ebb_loader_next(dropped, &b))
		n += (int)b.count;
	ck_assert_int_eq(n, 8);
	while (ebb_loader_next(kept, &b))
		n += (int)b.count;
	ck_assert_int_eq(n, 18);
	ck_assert(ebb_loader_next(one, &b) && b.count == 10);
	ck_assert(!ebb_loader_next(one, &b));
	ebb_loader_free(kept);
	ebb_loader_free(dropped);
	ebb_loader_free(even);
	ebb_loader_free(one);
	ebb_dataset_free(d);
}
END_TEST

/* Gets the labels of one epoch in order; each must occur once. */
static void epoch_order(ebb_loader *l, int n, int *order)
{
	bool *seen = calloc((size_t)n, 1);
	ebb_batch b;
	int k = 0;

	while (ebb_loader_next(l, &b)) {
		for (int64_t i = 0; i < b.count; i++) {
			order[k] = (int)ebb_at(b.labels, i);
			ck_assert(!seen[order[k]]);
			seen[order[k++]] = true;
		}
	}
	ck_assert_int_eq(k, n);
	free(seen);
}

START_TEST(shuffles_are_permutations)
{
	enum { COUNT = 101 };
	ebb_dataset *d = numbered(COUNT);
	ebb_loader *l = ebb_loader_new(d, 7, .shuffle = true, .seed = 5);
	ebb_loader *twin = ebb_loader_new(d, 50, .shuffle = true, .seed = 5);
	ebb_loader *other = ebb_loader_new(d, 7, .shuffle = true, .seed = 6);
	int a[3][COUNT], b[COUNT], moved = 0;
	ebb_batch batch;

	for (int epoch = 0; epoch < 3; epoch++) {
		epoch_order(l, COUNT, a[epoch]);
		epoch_order(twin, COUNT, b);
		ck_assert_mem_eq(a[epoch], b, sizeof b);
	}
	for (int i = 0; i < COUNT; i++)
		moved += a[0][i] != i;
	ck_assert_int_gt(moved, 90);
	ck_assert_mem_ne(a[0], a[1], sizeof b);
	epoch_order(other, COUNT, b);
	ck_assert_mem_ne(a[0], b, sizeof b);
	/* ebb_loader_begin moves to any epoch, also in the middle of another. */
	ck_assert(ebb_loader_next(l, &batch));
	ebb_loader_begin(l, 1);
	ck_assert_int_eq(ebb_loader_epoch(l), 1);
	epoch_order(l, COUNT, b);
	ck_assert_mem_eq(a[1], b, sizeof b);
	epoch_order(l, COUNT, b);
	ck_assert_mem_eq(a[2], b, sizeof b);
	ebb_loader_begin(l, -4);
	epoch_order(l, COUNT, b);
	ck_assert_mem_eq(a[0], b, sizeof b);
	ebb_loader_free(l);
	ebb_loader_free(twin);
	ebb_loader_free(other);
	ebb_dataset_free(d);
}
END_TEST

/* Every position is equally likely for an image: chi-square over 10 positions. */
START_TEST(shuffles_are_fair)
{
	ebb_dataset *d = numbered(10);
	ebb_loader *l = ebb_loader_new(d, 10, .shuffle = true, .seed = 1);
	int times[10][10] = {{0}}, order[10];
	double chi = 0;

	for (int epoch = 0; epoch < 2000; epoch++) {
		epoch_order(l, 10, order);
		for (int i = 0; i < 10; i++)
			times[i][order[i]]++;
	}
	for (int i = 0; i < 100; i++)
		chi += pow(times[i / 10][i % 10] - 200, 2) / 200;
	/* Chi-square with 81 degrees of freedom: 81 +- 13 */
	ck_assert_msg(chi > 40 && chi < 140, "chi-square %g", chi);
	ebb_loader_free(l);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(a_new_batch_raises_the_version)
{
	ebb_dataset *d = numbered(10);
	ebb_loader *l = ebb_loader_new(d, 5);
	ebb_params *p = ebb_params_new(1);
	ebb_linear fc = ebb_linear_new(p, "fc", 30, 2);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *loss;
	ebb_batch b;

	ck_assert(ebb_loader_next(l, &b));
	loss = ebb_sum(t, ebb_linear_forward(t, &fc, ebb_reshape(t, b.images, EBB_SHAPE(5, -1))));
	assert_healthy(t);
	ebb_tape_reset(t);
	/* The convolution reads the batch in place, because it is channels-last. */
	ebb_conv conv = ebb_conv_new(p, "conv", 2, 2, 1);

	loss = ebb_sum(t, ebb_conv_forward(t, &conv, b.images));
	ck_assert(ebb_loader_next(l, &b));
	ck_assert(!ebb_backward(t, loss));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_STATE);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_loader_free(l);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(invalid_options_are_refused)
{
	ebb_dataset *d = numbered(10);
	ebb_error e;
	ebb_batch b = {.count = 3};

#define REFUSES(expected, word, ...)                                                               \
	do {                                                                                       \
		e = (ebb_error){0};                                                                \
		ck_assert(!ebb_loader_new(__VA_ARGS__, .error = &e));                              \
		ck_assert_msg(e.status == expected && strstr(e.message, word) &&                   \
				      strstr(e.message, "loader.c:"),                              \
			"%s", e.message);                                                          \
	} while (0)
	REFUSES(EBB_INVALID, "batches of 0", d, 0);
	REFUSES(EBB_INVALID, "from 0 images", NULL, 4);
	REFUSES(EBB_INVALID, "from 0 images", &(ebb_dataset){.images = d->images}, 4);
	REFUSES(EBB_INVALID, "last one dropped", d, 11, .drop_last = true);
	REFUSES(EBB_INVALID, "std -1", d, 4, .std = {1, -1});
	REFUSES(EBB_INVALID, "mean nan", d, 4, .mean = {NAN});
	REFUSES(EBB_BAD_DTYPE, "I64", d, 4, .dtype = EBB_I64);
	ck_assert(!ebb_loader_new(d, -1));
	ck_assert(!ebb_loader_next(NULL, &b));
	ck_assert(b.count == 0 && ebb_loader_batches(NULL) == 0 && ebb_loader_epoch(NULL) == 0);
	ebb_loader_begin(NULL, 0);
	ebb_loader_free(NULL);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(every_allocation_may_fail_and_epochs_allocate_nothing)
{
	counting_allocator a;
	bool done = false;

	for (int fail_at = 0; !done; fail_at++) {
		ebb_error e = {0};
		ebb_dataset *d;
		ebb_loader *l;
		ebb_batch b;
		int64_t calls;

		counting_allocator_install(&a);
		d = numbered(10);
		a.fail_at = a.calls + fail_at;
		l = ebb_loader_new(d, 4, .shuffle = true, .error = &e);
		done = a.refused == 0;
		ck_assert(done == (l != NULL) && e.status == (done ? EBB_OK : EBB_NO_MEMORY));
		calls = a.calls;
		for (int epoch = 0; done && epoch < 3; epoch++)
			while (ebb_loader_next(l, &b))
				;
		ck_assert_int_eq(a.calls, calls);
		/* This order is allowed, too: ebb_loader_free does not access the data set. */
		ebb_dataset_free(d);
		ebb_loader_free(l);
		counting_allocator_remove();
		ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d: %lld blocks left",
			fail_at, (long long)a.live);
	}
}
END_TEST

/* ---- Data sets ------------------------------------------------------------------------------ */

START_TEST(a_data_set_is_sliced_and_measured)
{
	ebb_dataset *d = numbered(10), *part = ebb_dataset_slice(d, 7, 100, NULL),
		    *two = ebb_dataset_slice(d, 1, 2, NULL);
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS], sum = 0, square = 0;
	ebb_error e = {0};

	ck_assert(part->count == 3 && part->classes == 10 && two->count == 2);
	ck_assert(ebb_at(part->labels, 2) == 9 && ebb_at(part->images, 60) == 9 &&
		  ebb_at(two->images, 0) == 1);
	ck_assert(!ebb_dataset_slice(d, 10, 1, &e) && e.status == EBB_INVALID &&
		  strstr(e.message, "from below 10 on"));
	ck_assert(!ebb_dataset_slice(d, -1, 1, NULL) && !ebb_dataset_slice(d, 0, 0, NULL) &&
		  !ebb_dataset_slice(NULL, 0, 1, NULL));

	ck_assert(ebb_dataset_moments(d, mean, std) && !ebb_dataset_moments(NULL, mean, std));
	for (int i = 0; i < 10; i++)
		for (int k = 15; k < 30; k++)
			sum += (i + k) / 255.0 / 150;
	for (int i = 0; i < 10; i++)
		for (int k = 15; k < 30; k++)
			square += pow((i + k) / 255.0 - sum, 2) / 150;
	ck_assert_double_eq_tol(mean[1], sum, 1e-14);
	ck_assert_double_eq_tol(std[1], sqrt(square), 1e-14);
	ck_assert_double_eq_tol(mean[1] - mean[0], 15 / 255.0, 1e-14);
	memset(ebb_data_mutable(two->images), 51, 60);
	ck_assert(ebb_dataset_moments(two, mean, std));
	ck_assert_double_eq_tol(mean[0], 0.2, 1e-15);
	ck_assert(std[0] == 1);
	ebb_dataset_free(d);
	ebb_dataset_free(part);
	ebb_dataset_free(two);
	ebb_dataset_free(NULL);
}
END_TEST

START_TEST(invalid_data_sets_are_refused)
{
	const int64_t bad[][5] = {{0, 1, 2, 2, 10}, {1, 0, 2, 2, 10}, {1, 5, 2, 2, 10},
		{1, 1, 0, 2, 10}, {1, 1, 2, -1, 10}, {1, 1, 2, 2, 0}};
	ebb_error e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e = (ebb_error){0};
		ck_assert(!ebb_dataset_new(
			bad[i][0], bad[i][1], bad[i][2], bad[i][3], (int)bad[i][4], &e));
		ck_assert(e.status == EBB_INVALID && strstr(e.message, "dataset_new"));
	}
	e = (ebb_error){0};
	ck_assert(!ebb_dataset_new(INT64_MAX / 4, 3, 1000, 1000, 10, &e));
	ck_assert_int_eq(e.status, EBB_BAD_SHAPE);
}
END_TEST

/* ---- Measures ------------------------------------------------------------------------------- */

START_TEST(accuracy_counts_correct_rows)
{
	const double rows[5][3] = {{1, 3, 2}, {5, 5, 1}, {NAN, 0, 1}, {0, NAN, 1}, {-1, -2, -3}};
	ebb_tape *t = ebb_tape_new();

	for (int f64 = 0; f64 < 2; f64++) {
		ebb_tensor *x, *y;

		ebb_set_default_dtype(t, f64 ? EBB_F64 : EBB_F32);
		x = ebb_from_f64(t, EBB_SHAPE(5, 3), &rows[0][0]);
		y = ebb_from_i64(t, EBB_SHAPE(5), (int64_t[]){1, 0, 0, 2, 2});
		/* The rows: correct; the first of equal logits; the label's logit is NaN; NaN at a
		 * lower index; last. */
		ck_assert_double_eq_tol(ebb_accuracy(x, y), 2 / 5.0, 1e-15);
		ck_assert_double_eq_tol(ebb_topk_accuracy(x, y, 2), 3 / 5.0, 1e-15);
		ck_assert_double_eq_tol(ebb_topk_accuracy(x, y, 3), 4 / 5.0, 1e-15);
		ck_assert_double_eq_tol(ebb_topk_accuracy(x, y, 100), 4 / 5.0, 1e-15);
		y = ebb_from_i64(t, EBB_SHAPE(5), (int64_t[]){1, 1, -100, 3, 0});
		ck_assert_double_eq_tol(ebb_accuracy(x, y), 2 / 5.0, 1e-15);
		/* The same values in another memory order. */
		x = ebb_transpose(
			t, ebb_from_f64(t, EBB_SHAPE(2, 3), (double[]){1, 9, 3, 4, 2, 6}), 0, 1);
		y = ebb_from_i64(t, EBB_SHAPE(3), (int64_t[]){1, 0, 0});
		ck_assert_double_eq_tol(ebb_accuracy(x, y), 2 / 3.0, 1e-15);
		ck_assert(isnan(ebb_accuracy(x, ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){1, 0}))));
		ck_assert(isnan(ebb_accuracy(x, x)) && isnan(ebb_accuracy(y, y)) &&
			  isnan(ebb_topk_accuracy(x, y, 0)));
		ck_assert(isnan(ebb_accuracy(NULL, y)) && isnan(ebb_accuracy(x, NULL)));
		ck_assert(isnan(ebb_accuracy(ebb_zeros(t, EBB_SHAPE(0, 3)),
			ebb_from_i64(t, EBB_SHAPE(0), (int64_t[]){0}))));
		assert_healthy(t);
	}
	ebb_tape_free(t);
}
END_TEST

START_TEST(an_average_is_weighted)
{
	ebb_average a = {0};

	ebb_average_add(NULL, 1, 1);
	ck_assert(isnan(ebb_average_value(NULL)));
	ck_assert(isnan(ebb_average_value(&a)));
	ebb_average_add(&a, 1, 3);
	ebb_average_add(&a, 5, 1);
	ck_assert(ebb_average_value(&a) == 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-loader");
	TCase *c = tcase_create("loader");

	tcase_add_test(c, batches_are_in_order);
	tcase_add_test(c, images_are_normalised_in_both_types);
	tcase_add_test(c, the_last_batch_is_smaller_or_dropped);
	tcase_add_test(c, shuffles_are_permutations);
	tcase_add_test(c, shuffles_are_fair);
	tcase_add_test(c, a_new_batch_raises_the_version);
	tcase_add_test(c, invalid_options_are_refused);
	tcase_add_test(c, every_allocation_may_fail_and_epochs_allocate_nothing);
	suite_add_tcase(s, c);
	c = tcase_create("data");
	tcase_add_test(c, a_data_set_is_sliced_and_measured);
	tcase_add_test(c, invalid_data_sets_are_refused);
	tcase_add_test(c, accuracy_counts_correct_rows);
	tcase_add_test(c, an_average_is_weighted);
	suite_add_tcase(s, c);
	return run_suite(s);
}
