/* The real MNIST data set, if EBB_DATA/mnist exists. */
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { SKIPPED = 77 };

static char dir[4000];

static void check_split(ebb_data_split split, int64_t count, const int *first, const int *times)
{
	ebb_error e = {0};
	ebb_dataset *d = ebb_mnist(dir, split, &e);
	int found[10] = {0};

	ck_assert_msg(d != NULL, "%s", e.message);
	ck_assert_int_eq(d->count, count);
	ck_assert_int_eq(ebb_size(d->images, 2), 28);
	ck_assert_int_eq(ebb_size(d->images, 3), 28);
	for (int64_t i = 0; i < count; i++)
		found[((const int64_t *)ebb_data(d->labels))[i]]++;
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(found[i], times[i]);
		ck_assert(ebb_at(d->labels, i) == first[i]);
	}
	if (split == EBB_TRAIN) {
		double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];

		/* The well-known mean and standard deviation of MNIST. */
		ck_assert(ebb_dataset_moments(d, mean, std));
		ck_assert_double_eq_tol(mean[0], 0.1307, 5e-5);
		ck_assert_double_eq_tol(std[0], 0.3081, 5e-5);
	}
	ebb_dataset_free(d);
}

START_TEST(mnist_training_images_are_read)
{
	check_split(EBB_TRAIN, 60000, (int[]){5, 0, 4, 1, 9, 2, 1, 3, 1, 4},
		(int[]){5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
}
END_TEST

START_TEST(mnist_test_images_are_read)
{
	check_split(EBB_TEST, 10000, (int[]){7, 2, 1, 0, 4, 1, 4, 9, 5, 9},
		(int[]){980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
}
END_TEST

int main(void)
{
	const char *root = getenv("EBB_DATA");
	Suite *s = suite_create("data-mnist");
	TCase *c = tcase_create("mnist");

	snprintf(dir, sizeof dir, "%s/mnist", root ? root : DATA_DEFAULT);
	if (access(dir, R_OK) != 0) {
		printf("skipped: no MNIST in %s (EBB_DATA)\n", dir);
		return SKIPPED;
	}
	tcase_set_timeout(c, 60);
	tcase_add_test(c, mnist_training_images_are_read);
	tcase_add_test(c, mnist_test_images_are_read);
	suite_add_tcase(s, c);
	return run_suite(s);
}
