/* A loader's position is saved to an archive and restored: the remaining batches are the same. */
#include "workers.h"

#include <string.h>

enum { SIZE = 8, EPOCHS = 3 };

static ebb_archive *position_of(const ebb_loader *l)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	ck_assert_msg(ebb_loader_put(l, a, "loader.", &e), "%s", e.message);
	return a;
}

static uint64_t hash_batch(const ebb_batch *b)
{
	uint64_t h = hash_of(b->images, 14695981039346656037u + (uint64_t)b->index);

	return hash_of(b->targets, hash_of(b->labels, h));
}

/* Gets all batches until EPOCHS epochs are over, with the loop of data.h. */
static int rest_of(ebb_loader *l, uint64_t hashes[MOST])
{
	ebb_batch b;
	int n = 0;

	for (int64_t k = ebb_loader_epoch(l); k < EPOCHS; k++) {
		while (ebb_loader_next(l, &b)) {
			ck_assert_int_eq(ebb_loader_epoch(l), k);
			ck_assert_int_lt(n, MOST - 1);
			hashes[n++] = hash_batch(&b);
		}
		ck_assert(!ebb_loader_error(l));
		hashes[n++] = 0;
	}
	return n;
}

/* Calls ebb_loader_next this often, whatever it returns. */
static void go(ebb_loader *l, int calls)
{
	ebb_batch b;

	for (int i = 0; i < calls; i++)
		ebb_loader_next(l, &b);
}

/* Saves after any number of calls, also at the end of an epoch, with any numbers of workers before
 * and after. */
static void check_all(ebb_loader_args *args)
{
	static const int workers[] = {0, 1, 4};
	uint64_t whole[MOST], rest[MOST];
	ebb_loader *l = (ebb_loader_new)(args);
	int n = rest_of(l, whole);

	ebb_loader_free(l);
	for (int calls = 0; calls <= n; calls++) {
		ebb_archive *a;
		int left;

		args->workers = workers[calls % 3];
		args->prefetch = 1 + calls % 3;
		l = (ebb_loader_new)(args);
		go(l, calls);
		a = position_of(l);
		ebb_loader_free(l);
		args->workers = workers[(calls / 3) % 3];
		l = (ebb_loader_new)(args);
		go(l, (5 * calls) % 7); /* the other loader may be in use already */
		ck_assert(ebb_loader_fits(l, a, "loader.", NULL));
		ck_assert(ebb_loader_take(l, a, "loader.", NULL));
		left = rest_of(l, rest);
		ck_assert_msg(left == n - calls &&
				      memcmp(rest, whole + calls, (size_t)left * sizeof *rest) == 0,
			"after %d calls: %d of %d left", calls, left, n);
		ebb_archive_free(a);
		ebb_loader_free(l);
	}
	args->workers = 0;
	args->prefetch = 0;
}

START_TEST(a_position_restores_the_remaining_batches)
{
	origin o = HEALTHY;
	ebb_dataset *d = made(&o, EBB_FAIL);
	ebb_augment *a = pipeline(true);
	ebb_loader_args args = {.data = d, .batch = SIZE, .shuffle = true, .seed = 9, .augment = a};

	check_all(&args);
	args.balanced = true;
	args.drop_last = true;
	check_all(&args);
	args = (ebb_loader_args){.data = d, .batch = SIZE, .augment = a, .rank = 1, .world = 2};
	check_all(&args);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

/* Batches in which some or all images are skipped. */
START_TEST(damaged_images_are_skipped_after_a_restore)
{
	static const origin skips = {.corrupt = {0, 3, 60, -1}};
	origin o = skips;
	ebb_dataset *d = made(&o, EBB_SKIP);
	ebb_augment *a = pipeline(false);
	ebb_loader_args args = {.data = d, .batch = 3, .augment = a};

	check_all(&args);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(batches_before_the_position_are_not_computed)
{
	origin o = HEALTHY;
	ebb_dataset *d = made(&o, EBB_FAIL);
	ebb_augment *crop = pipeline(false);
	ebb_loader *l = ebb_loader_new(d, SIZE, .augment = crop);
	ebb_archive *a;
	ebb_batch b;

	go(l, 6);
	a = position_of(l);
	for (int i = 0; i < COUNT; i++)
		atomic_store(&o.calls[i], 0);
	ck_assert(ebb_loader_take(l, a, "loader.", NULL) && ebb_loader_next(l, &b));
	ck_assert_int_eq(b.index, 6);
	for (int i = 0; i < COUNT; i++)
		ck_assert_int_eq(atomic_load(&o.calls[i]), i >= 6 * SIZE && i < 7 * SIZE);
	ebb_archive_free(a);
	ebb_loader_free(l);
	ebb_augment_free(crop);
	ebb_dataset_free(d);
}
END_TEST

#define refused_position(l, a, ...)                                                                \
	do {                                                                                       \
		static const char *const words_[] = {__VA_ARGS__};                                 \
		ebb_error fits_ = {0}, take_ = {0};                                                \
		ebb_batch b_;                                                                      \
		ck_assert(!ebb_loader_fits(l, a, "loader.", &fits_));                              \
		ck_assert(!ebb_loader_take(l, a, "loader.", &take_));                              \
		ck_assert_str_eq(fits_.message, take_.message);                                    \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(take_.message, words_[k_]), "\"%s\" is not in: %s",   \
				words_[k_], take_.message);                                        \
		/* The loader is unchanged: at its second batch. */                                \
		ck_assert(!ebb_loader_error(l) && ebb_loader_next(l, &b_) && b_.index == 1);       \
		ebb_loader_begin(l, 0);                                                            \
		ck_assert(ebb_loader_next(l, &b_));                                                \
	} while (0)

static ebb_loader *at_second(const ebb_loader_args *args)
{
	ebb_loader *l = (ebb_loader_new)(args);

	go(l, 1);
	return l;
}

START_TEST(a_position_of_other_batches_is_refused)
{
	ebb_dataset *d = ebb_digits(40, 1, NULL), *more = ebb_digits(41, 1, NULL);
	ebb_loader_args args = {.data = d, .batch = 4, .shuffle = true, .seed = 7}, other = args;
	ebb_loader *l = at_second(&args);
	ebb_archive *a = position_of(l), *wrong = ebb_archive_new();

	ebb_loader_free(l);
	other.batch = 5;
	other.seed = 8;
	l = at_second(&other);
	refused_position(l, a, "loader.batch is 4, expected 5", "loader.seed is 7, expected 8");
	ebb_loader_free(l);
	other = args;
	other.data = more;
	other.shuffle = false;
	other.drop_last = other.balanced = true;
	l = at_second(&other);
	refused_position(l, a, "loader.images is 40, expected 41",
		"loader.shuffle is 1, expected 0", "loader.drop_last is 0, expected 1",
		"loader.balanced is 0, expected 1");
	ebb_loader_free(l);
	other = args;
	other.world = 2;
	l = at_second(&other);
	refused_position(l, a, "loader.world is 1, expected 2");
	ebb_loader_free(l);
	l = at_second(&args);
	refused_position(l, wrong, "loader.batch is missing", "\"loader.epoch\" is missing");
	for (int i = 0; i < ebb_archive_metadata_count(a); i++)
		ebb_archive_set_metadata(wrong, ebb_archive_metadata_key_at(a, i),
			ebb_archive_metadata_at(a, i), NULL);
	ebb_archive_add_i64(wrong, "loader.epoch", 1, NULL);
	ebb_archive_add_i64(wrong, "loader.next", 11, NULL);
	refused_position(l, wrong, "loader.next is 11, expected a batch of 10");
	ebb_loader_free(l);
	ebb_archive_free(a);
	ebb_archive_free(wrong);
	ebb_dataset_free(d);
	ebb_dataset_free(more);
}
END_TEST

/* Whichever allocation of a name fails, the position of other batches is refused. */
START_TEST(without_memory_a_position_of_other_batches_is_refused)
{
	ebb_dataset *d = ebb_digits(40, 1, NULL);
	ebb_loader_args args = {.data = d, .batch = 4, .shuffle = true, .seed = 7}, other = args;
	ebb_loader *l = at_second(&args), *r;
	ebb_archive *a = position_of(l);
	counting_allocator count;

	other.seed = 8;
	r = at_second(&other);
	for (int64_t at = 0; at < 100; at++) {
		ebb_error e = {0};
		bool fits;

		counting_allocator_install(&count);
		count.fail_at = at;
		fits = ebb_loader_fits(l, a, "loader.", &e);
		counting_allocator_remove();
		ck_assert(fits == (count.refused == 0) && (fits || e.status == EBB_NO_MEMORY));
		counting_allocator_install(&count);
		count.fail_at = at;
		ck_assert(!ebb_loader_fits(r, a, "loader.", NULL));
		counting_allocator_remove();
		if (count.refused == 0)
			break;
	}
	ck_assert_int_eq(count.refused, 0);
	ebb_archive_free(a);
	ebb_loader_free(l);
	ebb_loader_free(r);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(a_failed_loader_saves_no_position_but_restores_one)
{
	static const origin damaged = {.corrupt = {20, -1, -1, -1}};
	origin o = damaged;
	ebb_dataset *d = made(&o, EBB_FAIL);
	ebb_augment *crop = pipeline(false);
	ebb_loader *l = ebb_loader_new(d, SIZE, .augment = crop, .workers = 2);
	ebb_archive *a, *none = ebb_archive_new();
	ebb_error e = {0};
	ebb_batch b;

	go(l, 1);
	a = position_of(l);
	go(l, 2);
	ck_assert(ebb_loader_error(l));
	ck_assert(!ebb_loader_put(l, none, "loader.", &e));
	ck_assert_msg(strstr(e.message, "image20.png: damaged"), "%s", e.message);
	ck_assert(ebb_loader_take(l, a, "loader.", NULL));
	ck_assert(!ebb_loader_error(l) && ebb_loader_next(l, &b) && b.index == 1);
	ck_assert(!ebb_loader_put(NULL, a, "loader.", NULL) &&
		  !ebb_loader_take(l, NULL, "loader.", NULL) &&
		  !ebb_loader_fits(NULL, a, "loader.", NULL));
	ebb_archive_free(a);
	ebb_archive_free(none);
	ebb_loader_free(l);
	ebb_augment_free(crop);
	ebb_dataset_free(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data position");
	TCase *c = tcase_create("position"), *threads = tcase_create("threads");

	suite_add_tcase(s, c);
	suite_add_tcase(s, threads);
	tcase_set_timeout(c, 60);
	tcase_set_timeout(threads, 60);
	tcase_add_test(c, a_position_restores_the_remaining_batches);
	/* The thread sanitizer runs this test case. */
	tcase_add_test(threads, damaged_images_are_skipped_after_a_restore);
	tcase_add_test(c, batches_before_the_position_are_not_computed);
	tcase_add_test(c, a_position_of_other_batches_is_refused);
	tcase_add_test(c, without_memory_a_position_of_other_batches_is_refused);
	tcase_add_test(c, a_failed_loader_saves_no_position_but_restores_one);
	return run_suite(s);
}
