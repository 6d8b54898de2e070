/* Folders of classes, list files and CIFAR files: valid ones, and every kind of error in them. */
#include "tests/data/pictures.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes an image of a constant grey value. */
static void put(const char *name, int value, int channels)
{
	ebb_image x = {0};
	uint8_t *bytes;
	size_t size, capacity;

	ck_assert(ebb_image_shape(&x, 2, 3, channels, NULL));
	memset(x.pixels, value, (size_t)(6 * channels));
	ck_assert(ebb_image_encode_png(&x, &bytes, &size, &capacity, NULL));
	write_temp(name, bytes, size);
	ebb_free(bytes, capacity);
	ebb_image_free(&x);
}

static int value_at(const ebb_dataset *d, int64_t i, int64_t channels)
{
	ebb_image x = {0};
	ebb_error e = {0};
	int value;

	ck_assert_msg(ebb_dataset_fetch(d, i, &x, &e) == EBB_FETCHED, "%s", e.message);
	ck_assert_int_eq(x.channels, channels);
	value = x.pixels[0];
	ebb_image_free(&x);
	return value;
}

static void ends_with(const char *path, const char *end)
{
	size_t n = path ? strlen(path) : 0, m = strlen(end);

	ck_assert_msg(n >= m && strcmp(path + n - m, end) == 0, "%s, expected %s", path, end);
	ck_assert(strncmp(path, temp_dir, strlen(temp_dir)) == 0);
}

static void put_folder(void)
{
	put("root/zebra/deep/down/b.PNG", 4, 1);
	put("root/zebra/deep/a.png", 3, 3);
	put("root/zebra/deep.jpeg", 2, 4); /* a PNG in spite of its name */
	put("root/ant/x10.png", 1, 3);
	put("root/ant/x1.png", 0, 1);
	put("root/Yak/only.png", 9, 3);
	put("root/Yak/.hidden.png", 7, 3);
	put("root/.cache/a.png", 7, 3);
	write_temp("root/Yak/notes.txt", "no image", 8);
	write_temp("root/classes.tsv", "no class", 8);
}

START_TEST(a_folder_has_a_class_per_directory)
{
	static const char *const paths[] = {"Yak/only.png", "ant/x1.png", "ant/x10.png",
		"zebra/deep.jpeg", "zebra/deep/a.png", "zebra/deep/down/b.PNG"};
	static const int values[] = {9, 0, 1, 2, 3, 4}, labels[] = {0, 1, 1, 2, 2, 2},
			 channels[] = {3, 1, 3, 4, 3, 1};
	ebb_error e = {0};
	ebb_dataset *d, *part;

	put_folder();
	/* A circular link is not followed twice. */
	ck_assert_int_eq(symlink("..", temp_path("root/zebra/deep/up")), 0);
	d = ebb_folder(temp_path("root//"), .error = &e);
	ck_assert_msg(d && d->count == 6 && d->classes == 3, "%s", e.message);
	ck_assert_str_eq(d->class_names[0], "Yak");
	ck_assert_str_eq(d->class_names[1], "ant");
	ck_assert_str_eq(d->class_names[2], "zebra");
	for (int64_t i = 0; i < 6; i++) {
		ck_assert_int_eq(ebb_dataset_label(d, i), labels[i]);
		ck_assert_int_eq(value_at(d, i, 3), values[i]);
		ends_with(ebb_dataset_path(d, i), paths[i]);
	}
	part = ebb_dataset_range(d, 3, 2, NULL);
	ends_with(ebb_dataset_path(part, 1), "deep/a.png");
	ck_assert(ebb_dataset_image_shape(part).dims[0] == 3 && !ebb_dataset_path(d, 6));
	ebb_dataset_free(part);
	ebb_dataset_free(d);
	d = ebb_folder(temp_path("root"), .channels = EBB_ANY_CHANNELS);
	for (int64_t i = 0; i < 6; i++)
		value_at(d, i, channels[i]);
	ebb_dataset_free(d);
	d = ebb_folder(temp_path("root"), .channels = 1);
	ck_assert_int_eq(value_at(d, 3, 1), 2);
	ebb_dataset_free(d);
}
END_TEST

static void folder_refused(const char *root, ebb_status status, const char *words)
{
	ebb_error e = {0};

	ck_assert_msg(!ebb_folder(root, .error = &e), "expected: %s", words);
	ck_assert_msg(e.status == status && strstr(e.message, words), "%s", e.message);
}

START_TEST(invalid_folders_are_refused)
{
	char deep[5000];
	ebb_error e = {0};

	folder_refused(temp_path("nowhere"), EBB_BAD_FILE, "nowhere: cannot be read: No such file");
	folder_refused(NULL, EBB_INVALID, "expected the path of a directory");
	folder_refused("", EBB_INVALID, "expected the path of a directory");
	memset(deep, 'a', 4999);
	deep[4999] = '\0';
	folder_refused(deep, EBB_INVALID, "below 4096 bytes");
	write_temp("flat/a.png", "", 0);
	folder_refused(temp_path("flat"), EBB_BAD_FILE, "no directory in it");
	folder_refused(temp_path("flat/a.png"), EBB_BAD_FILE, "cannot be read: Not a directory");
	write_temp("flat/class/a.txt", "", 0);
	folder_refused(temp_path("flat"), EBB_BAD_FILE, "flat/class: no image in this class");
	ck_assert_int_eq(symlink("nowhere.png", temp_path("flat/class/lost.png")), 0);
	folder_refused(temp_path("flat"), EBB_BAD_FILE, "lost.png: cannot be read");
	put_folder();
	ck_assert(!ebb_folder(temp_path("root"), .channels = 5, .error = &e));
	ck_assert(e.status == EBB_INVALID && !ebb_folder(temp_path("root"), .channels = -2));
	ck_assert(!ebb_folder(temp_path("root"), .shorter_side = -1));
	ck_assert(!ebb_folder(temp_path("root"), .max_pixels = -1));
}
END_TEST

START_TEST(damaged_images_are_errors_or_skipped)
{
	ebb_error e = {0};
	ebb_image x = {0};
	ebb_dataset *d;
	int64_t index;
	const char *message;

	put_folder();
	write_temp("root/ant/x1.png", "\x89PNG\r\n\x1a\n....", 12);
	write_temp("root/zebra/deep/a.png", "GIF89a", 6);
	/* A damaged image, when it is read: an error with the path, or skipped. */
	d = ebb_folder(temp_path("root"));
	ck_assert(ebb_dataset_fetch(d, 1, &x, &e) == EBB_FETCH_FAILED);
	ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "root/ant/x1.png: damaged PNG"));
	ebb_dataset_free(d);
	d = ebb_folder(temp_path("root"), .on_error = EBB_SKIP);
	ck_assert(d->count == 6 && ebb_dataset_skipped(d) == 0);
	ck_assert(ebb_dataset_fetch(d, 4, &x, NULL) == EBB_FETCH_SKIPPED);
	ck_assert(ebb_dataset_skipped_at(d, 0, &index, &message) && index == 4);
	ck_assert(strstr(message, "root/zebra/deep/a.png: neither PNG nor JPEG"));
	ebb_dataset_free(d);
	/* The same with .verify, when the folder is opened. */
	e = (ebb_error){0};
	ck_assert(!ebb_folder(temp_path("root"), .verify = true, .error = &e));
	ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "root/ant/x1.png: damaged PNG"));
	d = ebb_folder(temp_path("root"), .verify = true, .on_error = EBB_SKIP);
	ck_assert(d && d->count == 4 && d->classes == 3 && ebb_count(d->labels) == 4);
	ck_assert(value_at(d, 1, 3) == 1 && ebb_dataset_label(d, 1) == 1);
	ck_assert(value_at(d, 3, 3) == 4 && ebb_dataset_label(d, 3) == 2);
	ck_assert_int_eq(ebb_dataset_skipped(d), 2);
	for (int64_t k = 0; k < 2; k++) {
		ck_assert(ebb_dataset_skipped_at(d, k, &index, &message) && index == -1);
		ck_assert(strstr(message, k ? "a.png" : "x1.png"));
	}
	ebb_dataset_free(d);
	write_temp("bad/class/a.png", "GIF89a", 6);
	e = (ebb_error){0};
	ck_assert(!ebb_folder(temp_path("bad"), .verify = true, .on_error = EBB_SKIP, .error = &e));
	ck_assert(e.status == EBB_BAD_FILE && strstr(e.message, "none of its 1 images"));
	ebb_image_free(&x);
}
END_TEST

/* ---- Lists ---------------------------------------------------------------------------------- */

static ebb_dataset *read_list(const char *text, const char *root, int classes, ebb_error *e)
{
	return ebb_list(write_temp("root/list.tsv", text, strlen(text)), root, classes, .error = e);
}

START_TEST(a_list_has_its_paths_and_labels)
{
	ebb_error e = {0};
	char text[500];
	ebb_dataset *d;

	put_folder();
	d = read_list("# two\r\n\r\nant/x10.png\t5\r\nzebra/deep.jpeg\t0", NULL, 0, &e);
	ck_assert_msg(d && d->count == 2 && d->classes == 6, "%s", e.message);
	ck_assert(value_at(d, 0, 3) == 1 && value_at(d, 1, 3) == 2 && !d->class_names);
	ck_assert(ebb_dataset_label(d, 0) == 5 && ebb_dataset_label(d, 1) == 0);
	ends_with(ebb_dataset_path(d, 0), "root/ant/x10.png");
	ebb_dataset_free(d);
	d = read_list("x10.png\t5\n", temp_path("root/ant"), 10, &e);
	ck_assert(d && d->classes == 10 && value_at(d, 0, 3) == 1);
	ebb_dataset_free(d);
	snprintf(text, sizeof text, "%s\t3\n", temp_path("root/ant/x1.png"));
	d = read_list(text, "/nowhere", 0, &e);
	ck_assert(d && value_at(d, 0, 3) == 0);
	ebb_dataset_free(d);
	/* A missing file is an error when it is read, or with .verify when the list is opened. */
	d = read_list("lost.png\t0\nant/x1.png\t1\n", NULL, 0, &e);
	ck_assert_int_eq(d->count, 2);
	ebb_dataset_free(d);
	d = ebb_list(temp_path("root/list.tsv"), .verify = true, .on_error = EBB_SKIP);
	ck_assert(d->count == 1 && d->classes == 2 && ebb_dataset_label(d, 0) == 1);
	ck_assert_int_eq(ebb_dataset_skipped(d), 1);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(invalid_lists_are_refused)
{
	static const char *const lines[][2] = {
		{"a.png\t0\n\nb.png 1\n", "list.tsv:3: no tab"},
		{"a.png\t\n", "list.tsv:1: the label is \"\""},
		{"a.png\t-1\n", "\"-1\", expected 0 to"},
		{"a.png\t1 \n", "\"1 \""},
		{"a.png\t1\t2\n", "\"1\t2\""},
		{"a.png\tcat\n", "\"cat\""},
		{"a.png\t99999999999999999999\n", "\"99999999999999999999\""},
		{"\t1\n", "list.tsv:1: no path"},
		{"# nothing\n", "no image in the list"},
		{"", "empty file"},
	};
	char text[5000];
	ebb_error e = {0};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		e = (ebb_error){0};
		ck_assert_msg(!read_list(lines[i][0], NULL, 0, &e), "accepted: %s", lines[i][0]);
		ck_assert_msg(e.status == EBB_BAD_FILE && strstr(e.message, lines[i][1]), "%s",
			e.message);
	}
	e = (ebb_error){0};
	ck_assert(!read_list("a\t3\nb\t4\n", NULL, 4, &e));
	ck_assert(strstr(e.message, "list.tsv:2: the label is \"4\", expected 0 to 3"));
	memset(text, 'a', 4500);
	strcpy(text + 4500, "\t1\n");
	e = (ebb_error){0};
	ck_assert(!read_list(text, NULL, 0, &e) && strstr(e.message, "list.tsv:1: a path of more"));
	e = (ebb_error){0};
	ck_assert(!ebb_list(write_temp("nul.tsv", "a\0b\t1\n", 6), .error = &e));
	ck_assert(strstr(e.message, "nul.tsv:1: a NUL"));
	ck_assert(!ebb_list(NULL) && !ebb_list(temp_path("nul.tsv"), .classes = -1));
	ck_assert(!ebb_list(temp_path("nowhere.tsv")) && !ebb_list("nowhere", .channels = 9));
	text[4500] = '\0';
	ck_assert(!ebb_list(temp_path("nul.tsv"), .root = text));
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	counting_allocator a;

	put_folder();
	write_temp("root/ant/x1.png", "GIF89a", 6);
	write_temp("root/list.tsv", "ant/x1.png\t0\nant/x10.png\t1\n", 27);
	for (int kind = 0; kind < 2; kind++) {
		const char *path = temp_path(kind ? "root/list.tsv" : "root");
		bool done = false;

		for (int fail_at = 0; !done; fail_at++) {
			ebb_error e = {0};
			ebb_dataset *d;

			counting_allocator_install(&a);
			a.fail_at = fail_at;
			if (kind)
				d = ebb_list(
					path, .verify = true, .on_error = EBB_SKIP, .error = &e);
			else
				d = ebb_folder(
					path, .verify = true, .on_error = EBB_SKIP, .error = &e);
			done = a.refused == 0;
			ck_assert_msg(done == (d != NULL), "allocation %d: %s", fail_at, e.message);
			ck_assert_msg(e.status == (done ? EBB_OK : EBB_NO_MEMORY),
				"allocation %d: %s", fail_at, e.message);
			ebb_dataset_free(d);
			counting_allocator_remove();
			ck_assert_msg(a.live == 0 && a.wrong == 0, "allocation %d leaks", fail_at);
		}
	}
}
END_TEST

/* ---- CIFAR ---------------------------------------------------------------------------------- */

enum { PIXELS = 3072 };

/* Writes count records with the labels first, first + 1, ..., and pixels that identify the
 * record. */
static void put_records(const char *name, int labels, int first, int count, size_t extra)
{
	size_t size = (size_t)((labels + PIXELS) * count);
	uint8_t *bytes = calloc(1, size + extra), *p = bytes;

	ck_assert_ptr_nonnull(bytes);
	for (int i = 0; i < count; i++) {
		if (labels == 2)
			*p++ = (uint8_t)((first + i) / 5);
		*p++ = (uint8_t)(first + i);
		memset(p, first + i, 1024);
		p[1024] = 100;
		p[2 * 1024 + 33] = 200;
		p += PIXELS;
	}
	write_temp(name, bytes, size + extra);
	free(bytes);
}

static void cifar_refused(bool hundred, const char *words)
{
	ebb_error e = {0};
	ebb_dataset *d = hundred ? ebb_cifar100(temp_dir, EBB_TEST, EBB_FINE, &e)
	                         : ebb_cifar10(temp_dir, EBB_TEST, &e);

	ck_assert_msg(!d && e.status == EBB_BAD_FILE && strstr(e.message, words), "%s", e.message);
	ck_assert(strstr(e.message, temp_dir));
}

START_TEST(cifar_files_are_read_or_refused)
{
	ebb_error e = {0};
	ebb_dataset *d;
	ebb_image x = {0};
	char name[40];

	for (int i = 1; i <= 5; i++) {
		snprintf(name, sizeof name, "data_batch_%d.bin", i);
		put_records(name, 1, i, i, 0);
	}
	d = ebb_cifar10(temp_dir, EBB_TRAIN, &e);
	ck_assert_msg(d && d->count == 15 && d->classes == 10, "%s", e.message);
	ck_assert_str_eq(d->class_names[9], "truck");
	ck_assert(ebb_dataset_label(d, 0) == 1 && ebb_dataset_label(d, 14) == 9);
	ck_assert(ebb_dataset_fetch(d, 13, &x, NULL) == EBB_FETCHED && x.height == 32);
	ck_assert_mem_eq(x.pixels, ((uint8_t[]){8, 100, 0, 8, 0, 0}), 6);
	ck_assert_int_eq(x.pixels[33 * 3 + 2], 200);
	ebb_dataset_free(d);
	put_records("test.bin", 2, 90, 10, 0);
	d = ebb_cifar100(temp_dir, EBB_TEST, EBB_FINE, &e);
	ck_assert(d && d->count == 10 && d->classes == 100 && ebb_dataset_label(d, 3) == 93);
	ck_assert_str_eq(d->class_names[99], "worm");
	ebb_dataset_free(d);
	d = ebb_cifar100(temp_dir, EBB_TEST, EBB_COARSE, &e);
	ck_assert(d && d->classes == 20 && ebb_dataset_label(d, 7) == 19);
	ck_assert_str_eq(d->class_names[19], "vehicles_2");
	ck_assert(ebb_at(d->images, 0) == 90);
	ebb_dataset_free(d);
	ebb_image_free(&x);
	cifar_refused(false, "test_batch.bin: cannot be read: No such file");
	put_records("test_batch.bin", 1, 0, 2, 1);
	cifar_refused(false, "6147 bytes are not a whole number of records of 3073");
	put_records("test_batch.bin", 1, 9, 2, 0);
	cifar_refused(false, "label 1 is 10, expected 0 to 9");
	put_records("test_batch.bin", 1, 9, 0, 0);
	cifar_refused(false, "empty file");
	put_records("test.bin", 2, 99, 2, 0);
	cifar_refused(true, "label 1 is 100, expected 0 to 99");
	ck_assert(!ebb_cifar10(NULL, EBB_TRAIN, NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-files");
	TCase *c = tcase_create("files");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, a_folder_has_a_class_per_directory);
	tcase_add_test(c, invalid_folders_are_refused);
	tcase_add_test(c, damaged_images_are_errors_or_skipped);
	tcase_add_test(c, a_list_has_its_paths_and_labels);
	tcase_add_test(c, invalid_lists_are_refused);
	tcase_add_test(c, every_allocation_may_fail);
	tcase_add_test(c, cifar_files_are_read_or_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
