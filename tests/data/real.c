/* Caltech-101's twenty classes and CIFAR-10, if they exist: EBB_DATA/caltech/caltech20.tar and
 * EBB_DATA/cifar10.  Without arguments the former, with "cifar" the latter. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SKIPPED = 77 };

static char source[4000];

static void must_run(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

/* ---- Caltech -------------------------------------------------------------------------------- */

static void unpack(void)
{
	char command[5000];

	make_temp_dir();
	snprintf(command, sizeof command, "tar xf '%s' -C %s", source, temp_dir);
	must_run(command);
}

static void check_counts(const ebb_dataset *d, int column)
{
	int64_t times[20] = {0};
	FILE *f = fopen(temp_path("caltech20/classes.tsv"), "r");
	char line[1000];
	int label = -1;

	for (int64_t i = 0; i < d->count; i++)
		times[ebb_dataset_label(d, i)]++;
	ck_assert(f != NULL);
	while (fgets(line, sizeof line, f)) {
		char name[100];
		int number, count[3];

		if (label >= 0) {
			ck_assert_int_eq(sscanf(line, "%d %99s %d %d %d", &number, name, &count[0],
						 &count[1], &count[2]),
				5);
			ck_assert(number == label && times[label] == count[column]);
			if (d->class_names)
				ck_assert_str_eq(d->class_names[label], name);
		}
		label++;
	}
	fclose(f);
	ck_assert_int_eq(label, 20);
}

START_TEST(caltech_is_read_as_a_folder)
{
	ebb_error e = {0};
	ebb_dataset *d = ebb_folder(
		temp_path("caltech20"), .channels = EBB_ANY_CHANNELS, .verify = true, .error = &e);
	ebb_image x = {0};
	int grey = 0;

	ck_assert_msg(d != NULL, "%s", e.message);
	ck_assert(d->count == 1183 && d->classes == 20);
	ck_assert_str_eq(d->class_names[0], "Leopards");
	check_counts(d, 0);
	for (int64_t i = 0; i < d->count; i++) {
		ck_assert(ebb_dataset_fetch(d, i, &x, &e) == EBB_FETCHED);
		ck_assert(x.channels == 1 || x.channels == 3);
		ck_assert(x.height >= 97 && x.height <= 300 && x.width >= 80 && x.width <= 412);
		grey += x.channels == 1;
	}
	ck_assert_int_eq(grey, 55);
	ck_assert_int_eq(ebb_dataset_skipped(d), 0);
	ebb_image_free(&x);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(caltech_is_read_as_lists)
{
	static const char *const names[] = {"caltech20/train.tsv", "caltech20/test.tsv"};
	ebb_dataset *parts[2], *both;
	ebb_error e = {0};
	ebb_image x = {0};

	for (int k = 0; k < 2; k++) {
		parts[k] = ebb_list(temp_path(names[k]), .verify = true, .error = &e);
		ck_assert_msg(parts[k] != NULL, "%s", e.message);
		ck_assert_int_eq(parts[k]->count, k ? 393 : 790);
		check_counts(parts[k], 1 + k);
	}
	both = ebb_dataset_concat((const ebb_dataset *const *)parts, 2, &e);
	ck_assert_int_eq(both->count, 1183);
	check_counts(both, 0);
	ck_assert(ebb_dataset_fetch(both, 1182, &x, &e) == EBB_FETCHED && x.channels == 3);
	ck_assert(strstr(ebb_dataset_path(both, 1182), "umbrella/"));
	ebb_image_free(&x);
	ebb_dataset_free(both);
	ebb_dataset_free(parts[0]);
	ebb_dataset_free(parts[1]);
}
END_TEST

/* ---- CIFAR-10 ------------------------------------------------------------------------------- */

static void convert(void)
{
	char command[9000];

	make_temp_dir();
	snprintf(command, sizeof command, "/usr/bin/python3 '%s' %s >/dev/null", source, temp_dir);
	must_run(command);
}

START_TEST(cifar_is_read)
{
	for (int split = EBB_TRAIN; split <= EBB_TEST; split++) {
		ebb_error e = {0};
		ebb_dataset *d = ebb_cifar10(temp_dir, (ebb_data_split)split, &e);
		int64_t times[10] = {0};

		ck_assert_msg(d != NULL, "%s", e.message);
		ck_assert_int_eq(d->count, split == EBB_TEST ? 10000 : 50000);
		for (int64_t i = 0; i < d->count; i++)
			times[ebb_dataset_label(d, i)]++;
		for (int k = 0; k < 10; k++)
			ck_assert_int_eq(times[k], split == EBB_TEST ? 1000 : 5000);
		if (split == EBB_TRAIN) {
			static const double means[] = {.4913, .4821, .4465},
					    stds[] = {.2452, .2428, .2606};
			double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];

			ck_assert(ebb_dataset_moments(d, mean, std));
			for (int c = 0; c < 3; c++) {
				ck_assert_double_eq_tol(mean[c], means[c], 1e-4);
				ck_assert_double_eq_tol(std[c], stds[c], 1e-4);
			}
		}
		ebb_dataset_free(d);
	}
}
END_TEST

int main(int argc, char **argv)
{
	const char *root = getenv("EBB_DATA");
	bool is_cifar = argc > 1 && strcmp(argv[1], "cifar") == 0;
	Suite *s = suite_create("data-real");
	TCase *c = tcase_create("real");

	snprintf(source, sizeof source, "%s/%s", root ? root : DATA_DEFAULT,
		is_cifar ? "cifar10/cifar_jpeg_to_bin.py" : "caltech/caltech20.tar");
	if (access(source, R_OK) != 0) {
		printf("skipped: no %s (EBB_DATA)\n", source);
		return SKIPPED;
	}
	if (is_cifar && system("/usr/bin/python3 -c 'import PIL, numpy' 2>/dev/null") != 0) {
		printf("skipped: python3-pil and python3-numpy convert it\n");
		return SKIPPED;
	}
	tcase_set_timeout(c, 250);
	tcase_add_checked_fixture(c, is_cifar ? convert : unpack, remove_temp_dir);
	if (is_cifar) {
		tcase_add_test(c, cifar_is_read);
	} else {
		tcase_add_test(c, caltech_is_read_as_a_folder);
		tcase_add_test(c, caltech_is_read_as_lists);
	}
	suite_add_tcase(s, c);
	return run_suite(s);
}
