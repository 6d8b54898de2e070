/* Custom data sets, subsets, splits and concatenations, and skipped images. */
#include "tests/data/pictures.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* ---- Custom data sets ----------------------------------------------------------------------- */

typedef struct numbers {
	int64_t every; /* if above 0: the images every*k + 1 are damaged */
	ebb_status status;
	int freed;
} numbers;

static bool number_image(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	const numbers *n = ctx;

	if (n->every > 0 && i % n->every == 1) {
		ebb_error_set(e, n->status, NULL, "number %lld is bad", (long long)i);
		return false;
	}
	if (!ebb_image_shape(x, 2, 3, 1, e))
		return false;
	memset(x->pixels, (int)i, 6);
	return true;
}

static int64_t number_label(void *ctx, int64_t i)
{
	(void)ctx;
	return i % 4;
}

static void number_free(void *ctx)
{
	((numbers *)ctx)->freed++;
}

static ebb_dataset *numbers_new(numbers *n, int64_t count, ebb_on_error on_error, ebb_error *e)
{
	static const char *const names[] = {"zero", "one", "two", "three"};

	return ebb_dataset_custom(count, 4, number_image, number_label, n, number_free, names, 1, 2,
		3, .on_error = on_error, .error = e);
}

START_TEST(a_custom_data_set_reads_its_images)
{
	numbers n = {0};
	ebb_error e = {0};
	ebb_dataset *d = numbers_new(&n, 10, EBB_FAIL, &e);
	ebb_image x = {0};

	ck_assert_msg(d && !d->images && d->count == 10 && d->classes == 4, "%s", e.message);
	ck_assert(ebb_at(d->labels, 6) == 2 && ebb_dataset_label(d, 7) == 3);
	ck_assert(ebb_dataset_label(d, 10) == -1 && ebb_dataset_label(d, -1) == -1);
	ck_assert_str_eq(d->class_names[3], "three");
	ck_assert_int_eq(ebb_dataset_image_shape(d).dims[2], 3);
	ck_assert(ebb_dataset_fetch(d, 7, &x, &e) == EBB_FETCHED && x.pixels[5] == 7);
	ck_assert(ebb_dataset_fetch(d, 10, &x, &e) == EBB_FETCH_FAILED);
	ck_assert(e.status == EBB_INVALID && strstr(e.message, "image 10 of 10"));
	ck_assert(ebb_dataset_fetch(d, 1, NULL, NULL) == EBB_FETCH_FAILED);
	ck_assert(!ebb_dataset_path(d, 1) && ebb_dataset_skipped(d) == 0);
	ebb_dataset_free(d);
	ck_assert_int_eq(n.freed, 1);
	ebb_image_free(&x);
}
END_TEST

START_TEST(images_in_memory_are_read)
{
	ebb_dataset *d = ebb_dataset_new(2, 3, 2, 2, 5, NULL);
	uint8_t *p = ebb_data_mutable(d->images);
	ebb_image x = {0};
	ebb_error e = {0};

	for (int i = 0; i < 24; i++)
		p[i] = (uint8_t)i;
	ck_assert(ebb_dataset_fetch(d, 1, &x, NULL) == EBB_FETCHED);
	ck_assert(x.height == 2 && x.width == 2 && x.channels == 3);
	ck_assert_mem_eq(
		x.pixels, ((uint8_t[]){12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23}), 12);
	ck_assert_int_eq(ebb_dataset_image_shape(d).dims[0], 3);
	ck_assert(ebb_dataset_fetch(d, 2, &x, &e) == EBB_FETCH_FAILED && e.status == EBB_INVALID);
	ck_assert(!ebb_dataset_skipped_at(d, 0, &(int64_t){0}, &(const char *){0}));
	ebb_image_free(&x);
	ebb_dataset_free(d);
}
END_TEST

static bool other_shape(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	bool ok = ebb_image_shape(x, 2, 3, 1 + i, e);

	(void)ctx;
	x->wide = ok && i == 1;
	return ok;
}

static bool silent(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	(void)ctx, (void)i, (void)x, (void)e;
	return false;
}

static bool empty(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	(void)ctx, (void)i, (void)e;
	ebb_image_free(x);
	return true;
}

START_TEST(an_image_that_breaks_its_declared_shape_is_an_error)
{
	ebb_image x = {0};
	ebb_error e = {0};
	ebb_dataset *d = ebb_dataset_custom(4, 4, other_shape, number_label, .channels = 1);

	ck_assert(ebb_dataset_fetch(d, 0, &x, &e) == EBB_FETCHED);
	ck_assert(ebb_dataset_fetch(d, 2, &x, &e) == EBB_FETCH_FAILED);
	ck_assert(e.status == EBB_BAD_SHAPE && strstr(e.message, "image 2 is [3,2,3]"));
	ebb_dataset_free(d);
	d = ebb_dataset_custom(4, 4, other_shape, number_label);
	ck_assert(ebb_dataset_fetch(d, 2, &x, NULL) == EBB_FETCHED);
	ck_assert(ebb_dataset_fetch(d, 1, &x, NULL) == EBB_FETCH_FAILED); /* it has 16 bits */
	ebb_image_free(&x);
	ebb_dataset_free(d);
	d = ebb_dataset_custom(4, 4, silent, number_label, .on_error = EBB_SKIP);
	e = (ebb_error){0};
	ck_assert(ebb_dataset_fetch(d, 2, &x, &e) == EBB_FETCH_FAILED);
	ck_assert(strstr(e.message, "without an error message"));
	ebb_dataset_free(d);
	d = ebb_dataset_custom(4, 4, empty, number_label);
	ck_assert(ebb_dataset_fetch(d, 2, &x, NULL) == EBB_FETCH_FAILED);
	ebb_dataset_free(d);
#define REFUSES(...)                                                                               \
	do {                                                                                       \
		e = (ebb_error){0};                                                                \
		ck_assert(!ebb_dataset_custom(__VA_ARGS__, .error = &e));                          \
		ck_assert_int_eq(e.status, EBB_INVALID);                                           \
	} while (0)
	REFUSES(0, 4, silent, number_label);
	REFUSES(4, 0, silent, number_label);
	REFUSES(4, 4, NULL, number_label);
	REFUSES(4, 4, silent, NULL);
	REFUSES(4, 4, silent, number_label, .channels = 5);
	REFUSES(4, 3, silent, number_label); /* label 3 is out of range */
	ck_assert(strstr(e.message, "label 3 is 3, expected 0 to 2"));
}
END_TEST

/* ---- Skipping ------------------------------------------------------------------------------- */

START_TEST(skipped_images_are_listed_once)
{
	numbers n = {.every = 3, .status = EBB_BAD_FILE};
	ebb_dataset *d = numbers_new(&n, 12, EBB_SKIP, NULL),
		    *part = ebb_dataset_subset(d, (int64_t[]){5, 7, 4}, 3, NULL);
	ebb_image x = {0};
	ebb_error e = {0};
	int64_t index;
	const char *message;

	ck_assert(ebb_dataset_fetch(d, 10, &x, &e) == EBB_FETCH_SKIPPED && e.status == EBB_OK);
	ck_assert(ebb_dataset_fetch(d, 1, &x, &e) == EBB_FETCH_SKIPPED);
	ck_assert(ebb_dataset_fetch(d, 10, &x, &e) == EBB_FETCH_SKIPPED);
	ck_assert(ebb_dataset_fetch(part, 0, &x, &e) == EBB_FETCHED && x.pixels[0] == 5);
	ck_assert(ebb_dataset_fetch(part, 1, &x, &e) == EBB_FETCH_SKIPPED && e.status == EBB_OK);
	ck_assert_int_eq(ebb_dataset_skipped(d), 3);
	for (int64_t k = 0; k < 3; k++) {
		ck_assert(ebb_dataset_skipped_at(d, k, &index, &message));
		ck_assert_int_eq(index, ((int64_t[]){1, 7, 10})[k]);
		ck_assert(strstr(message, "is bad"));
	}
	ck_assert(!ebb_dataset_skipped_at(d, 3, &index, &message) &&
		  !ebb_dataset_skipped_at(d, -1, &index, &message));
	ck_assert(ebb_dataset_skipped(part) == 1 &&
		  ebb_dataset_skipped_at(part, 0, &index, &message));
	ck_assert_int_eq(index, 1);
	ck_assert_str_eq(message, "number 7 is bad");
	ebb_dataset_free(part);
	ebb_dataset_free(d);
	/* With EBB_FAIL a damaged image is an error; an error other than EBB_BAD_FILE always is. */
	d = numbers_new(&n, 12, EBB_FAIL, NULL);
	ck_assert(ebb_dataset_fetch(d, 1, &x, &e) == EBB_FETCH_FAILED);
	ck_assert_str_eq(e.message, "number 1 is bad");
	ck_assert_int_eq(ebb_dataset_skipped(d), 0);
	ebb_dataset_free(d);
	n.status = EBB_NO_MEMORY;
	d = numbers_new(&n, 12, EBB_SKIP, NULL);
	e = (ebb_error){0};
	ck_assert(ebb_dataset_fetch(d, 1, &x, &e) == EBB_FETCH_FAILED);
	ck_assert_int_eq(e.status, EBB_NO_MEMORY);
	ebb_dataset_free(d);
	ebb_image_free(&x);
}
END_TEST

static void *fetch_all(void *ctx)
{
	const ebb_dataset *d = ctx;
	ebb_image x = {0};

	for (int64_t i = 0; i < d->count; i++)
		ebb_dataset_fetch(d, i, &x, NULL);
	ebb_image_free(&x);
	return NULL;
}

START_TEST(threads_list_a_skipped_image_once)
{
	numbers n = {.every = 2, .status = EBB_BAD_FILE};
	ebb_dataset *d = numbers_new(&n, 200, EBB_SKIP, NULL);
	pthread_t threads[4];
	int64_t index;
	const char *message;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fetch_all, d), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(ebb_dataset_skipped(d), 100);
	for (int64_t k = 0; k < 100; k++) {
		ck_assert(ebb_dataset_skipped_at(d, k, &index, &message));
		ck_assert_int_eq(index, 2 * k + 1);
	}
	ebb_dataset_free(d);
}
END_TEST

/* ---- Subsets, splits, concatenation --------------------------------------------------------- */

static int number_at(const ebb_dataset *d, int64_t i)
{
	ebb_image x = {0};
	int v = ebb_dataset_fetch(d, i, &x, NULL) == EBB_FETCHED ? x.pixels[0] : -1;

	ebb_image_free(&x);
	return v;
}

START_TEST(subsets_and_concatenations_have_their_images)
{
	numbers n = {0};
	ebb_error e = {0};
	ebb_dataset *d = numbers_new(&n, 20, EBB_FAIL, NULL),
		    *some = ebb_dataset_subset(d, (int64_t[]){19, 3, 3}, 3, NULL),
		    *middle = ebb_dataset_range(d, 5, 4, NULL),
		    *end = ebb_dataset_range(d, 18, 100, NULL),
		    *inner = ebb_dataset_range(middle, 1, 2, NULL), *all, *five;

	ck_assert(some->count == 3 && middle->count == 4 && end->count == 2 && inner->count == 2);
	ck_assert(number_at(some, 0) == 19 && number_at(some, 2) == 3);
	ck_assert(ebb_dataset_label(some, 0) == 3 && some->classes == 4);
	ck_assert_str_eq(some->class_names[2], "two");
	ck_assert(number_at(inner, 1) == 7 && ebb_dataset_label(inner, 1) == 3);
	all = ebb_dataset_concat((const ebb_dataset *[]){some, middle, end, some}, 4, &e);
	ck_assert_msg(all && all->count == 12, "%s", e.message);
	for (int64_t i = 0; i < 12; i++) {
		const int expected[] = {19, 3, 3, 5, 6, 7, 8, 18, 19, 19, 3, 3};

		ck_assert_int_eq(number_at(all, i), expected[i]);
		ck_assert_int_eq(ebb_dataset_label(all, i), expected[i] % 4);
	}
	ck_assert(ebb_dataset_image_shape(all).dims[1] == 2 && !ebb_dataset_path(all, 0));
	five = ebb_dataset_new(3, 1, 2, 4, 5, NULL);
	ck_assert(!ebb_dataset_concat((const ebb_dataset *[]){d, five}, 2, &e));
	ck_assert(strstr(e.message, "part 1 has 5 classes, expected 4"));
	five->classes = 4;
	ebb_dataset_free(all);
	all = ebb_dataset_concat((const ebb_dataset *[]){d, five}, 2, NULL);
	ck_assert(ebb_dataset_image_shape(all).dims[1] == 2);
	ck_assert_int_eq(ebb_dataset_image_shape(all).dims[2], 0);
	ck_assert(!ebb_dataset_concat(NULL, 0, NULL));
	ck_assert(!ebb_dataset_concat((const ebb_dataset *[]){NULL}, 1, NULL));
	ck_assert(!ebb_dataset_subset(d, (int64_t[]){20}, 1, NULL));
	ck_assert(!ebb_dataset_subset(d, (int64_t[]){-1}, 1, NULL));
	ck_assert(!ebb_dataset_subset(d, NULL, 1, NULL) &&
		  !ebb_dataset_subset(d, (int64_t[]){0}, 0, NULL));
	ck_assert(!ebb_dataset_range(d, 20, 1, NULL) && !ebb_dataset_range(NULL, 0, 1, NULL));
	e = (ebb_error){0};
	ck_assert(!ebb_dataset_slice(d, 0, 1, &e) && strstr(e.message, "not in memory"));
	ebb_dataset_free(all);
	ebb_dataset_free(five);
	ebb_dataset_free(inner);
	ebb_dataset_free(end);
	ebb_dataset_free(middle);
	ebb_dataset_free(some);
	ebb_dataset_free(d);
}
END_TEST

/* Checks that both parts together are d, each in order; returns a checksum of the assignment. */
static uint64_t check_split(const ebb_dataset *d, const ebb_dataset *a, const ebb_dataset *b)
{
	int64_t i = 0, k = 0;
	uint64_t where = 0;

	ck_assert_int_eq(a->count + b->count, d->count);
	while (i + k < d->count) {
		bool first = i < a->count && number_at(a, i) == (int)(i + k);

		ck_assert(first || number_at(b, k) == (int)(i + k));
		where = where * 31 + first;
		first ? i++ : k++;
	}
	return where;
}

START_TEST(a_split_has_the_requested_share_of_each_class)
{
	numbers n = {0};
	ebb_error e = {0};
	ebb_dataset *d = numbers_new(&n, 90, EBB_FAIL, NULL), *a, *b;
	uint64_t where[4];

	for (int i = 0; i < 4; i++) {
		int64_t of[4] = {0};

		/* The classes have 23, 23, 22 and 22 images: shares of 16.1, 16.1, 15.4 and 15.4,
		 * together 63. */
		ck_assert_msg(ebb_dataset_split(d, 0.7, &a, &b, .seed = (uint64_t)(i / 2 * 5),
				      .stratified = i != 3, .error = &e),
			"%s", e.message);
		ck_assert_int_eq(a->count, 63);
		where[i] = check_split(d, a, b);
		for (int64_t k = 0; k < a->count; k++)
			of[ebb_dataset_label(a, k)]++;
		if (i != 3)
			ck_assert(of[0] == 16 && of[1] == 16 && of[2] + of[3] == 31 &&
				  (of[2] == 15 || of[2] == 16));
		ebb_dataset_free(a);
		ebb_dataset_free(b);
	}
	ck_assert(where[0] == where[1] && where[0] != where[2] && where[2] != where[3]);
	/* With few images, the numbers per class differ by at most one. */
	ck_assert(ebb_dataset_split(d, 4 / 90.0, &a, &b, .stratified = true));
	for (int64_t k = 0, seen = 0; k < 4; k++) {
		seen |= 1 << ebb_dataset_label(a, k);
		ck_assert(k < 3 || seen == 15);
	}
	ebb_dataset_free(a);
	ebb_dataset_free(b);
	for (int i = 0; i < 5; i++) {
		const double bad[] = {0, 1, -0.5, NAN, 0.001};

		e = (ebb_error){0};
		a = b = d;
		ck_assert(!ebb_dataset_split(d, bad[i], &a, &b, .error = &e));
		ck_assert(!a && !b && e.status == EBB_INVALID);
	}
	ck_assert(!ebb_dataset_split(d, 0.5, &a, NULL) && !ebb_dataset_split(NULL, 0.5, &a, &b));
	ebb_dataset_free(d);
}
END_TEST

START_TEST(moments_are_mean_and_deviation_per_channel)
{
	numbers n = {.every = 4, .status = EBB_BAD_FILE};
	ebb_dataset *d = numbers_new(&n, 8, EBB_SKIP, NULL), *mixed;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS], sum = 0;

	/* the values are 0, 2, 3, 4, 6, 7 */
	ck_assert(ebb_dataset_moments(d, mean, std));
	ck_assert_double_eq_tol(mean[0], 22 / 6.0 / 255, 1e-12);
	for (int v = 0; v < 8; v++)
		sum += v % 4 == 1 ? 0 : pow(v - 22 / 6.0, 2);
	ck_assert_double_eq_tol(std[0], sqrt(sum / 6) / 255, 1e-12);
	ebb_dataset_free(d);
	d = numbers_new(&n, 8, EBB_FAIL, NULL);
	ck_assert(!ebb_dataset_moments(d, mean, std));
	ebb_dataset_free(d);
	mixed = ebb_dataset_custom(4, 4, other_shape, number_label);
	ck_assert(!ebb_dataset_moments(mixed, mean, std));
	ebb_dataset_free(mixed);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	numbers n = {.every = 3, .status = EBB_BAD_FILE};
	counting_allocator a;
	bool done = false;

	for (int fail_at = 0; !done; fail_at++) {
		ebb_error e = {0};
		ebb_dataset *d, *part = NULL, *first = NULL, *second = NULL, *all = NULL;
		ebb_image x = {0};
		bool ok;

		counting_allocator_install(&a);
		a.fail_at = fail_at;
		d = numbers_new(&n, 12, EBB_SKIP, &e);
		if (d)
			part = ebb_dataset_range(d, 1, 8, &e);
		ok = part && ebb_dataset_split(part, 0.5, &first, &second, .error = &e) &&
		     (all = ebb_dataset_concat((const ebb_dataset *[]){first, d}, 2, &e));
		for (int64_t i = 0; ok && i < all->count; i++)
			ok = ebb_dataset_fetch(all, i, &x, &e) != EBB_FETCH_FAILED;
		done = a.refused == 0;
		ck_assert_msg(ok == done, "allocation %d: %s", fail_at, e.message);
		ck_assert_msg(e.status == (done ? EBB_OK : EBB_NO_MEMORY), "allocation %d: %s",
			fail_at, e.message);
		ebb_dataset_free(all);
		ebb_dataset_free(second);
		ebb_dataset_free(first);
		ebb_dataset_free(part);
		ebb_dataset_free(d);
		ebb_image_free(&x);
		counting_allocator_remove();
		ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d leaks", fail_at);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-dataset");
	TCase *c = tcase_create("own");

	tcase_add_test(c, a_custom_data_set_reads_its_images);
	tcase_add_test(c, images_in_memory_are_read);
	tcase_add_test(c, an_image_that_breaks_its_declared_shape_is_an_error);
	suite_add_tcase(s, c);
	c = tcase_create("parts");
	tcase_add_test(c, skipped_images_are_listed_once);
	tcase_add_test(c, subsets_and_concatenations_have_their_images);
	tcase_add_test(c, a_split_has_the_requested_share_of_each_class);
	tcase_add_test(c, moments_are_mean_and_deviation_per_channel);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	c = tcase_create("threads");
	tcase_add_test(c, threads_list_a_skipped_image_once);
	suite_add_tcase(s, c);
	return run_suite(s);
}
