/* NumPy arrays as data sets. */
#include "tests/support/support.h"

#include <string.h>

/* A persistent tensor whose elements count from 0 on. */
static ebb_tensor *counted(ebb_dtype dtype, ebb_shape shape)
{
	ebb_tensor *x = ebb_tensor_new(dtype, shape, false, NULL);

	for (int64_t i = 0; i < ebb_count(x); i++)
		if (dtype == EBB_U8)
			((uint8_t *)ebb_data_mutable(x))[i] = (uint8_t)i;
		else
			((int64_t *)ebb_data_mutable(x))[i] = i;
	return x;
}

/* Writes x as the only array of a file. */
static void save(const char *name, const ebb_tensor *x, ebb_file_dtype as)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	ck_assert_msg(ebb_archive_add(a, "x", x, as, &e), "%s", e.message);
	ck_assert_msg(ebb_archive_write(a, temp_path(name), .error = &e), "%s", e.message);
	ebb_archive_free(a);
}

/* Writes images.npy and labels.npy: images whose values count from 0 on, labels 0, 1, 2, .. */
static void save_both(ebb_dtype dtype, ebb_shape images, ebb_shape labels, ebb_file_dtype as)
{
	ebb_tensor *x = counted(dtype, images), *y = counted(EBB_I64, labels);

	save("images.npy", x, EBB_FILE_DEFAULT);
	save("labels.npy", y, as);
	ebb_tensor_free(x);
	ebb_tensor_free(y);
}

static ebb_dataset *open_both(ebb_numpy_layout layout, int classes, ebb_error *e)
{
	char images[100];

	snprintf(images, sizeof images, "%s", temp_path("images.npy"));
	return ebb_numpy(.images = images, .labels = temp_path("labels.npy"), .layout = layout,
		.classes = classes, .error = e);
}

static void expect_refused(ebb_numpy_layout layout, int classes, const char *words)
{
	ebb_error e = {0};
	ebb_dataset *d = open_both(layout, classes, &e);

	ck_assert_msg(!d, "accepted, expected: %s", words);
	ck_assert_msg(e.status == EBB_BAD_FILE && strstr(e.message, words), "%s (expected: %s)",
		e.message, words);
}

static const struct layout_case {
	ebb_shape images;
	ebb_numpy_layout layout;
	int64_t channels, height, width;
	bool last; /* the channels are the last axis */
} layouts[] = {
	{{3, {5, 6, 7}}, EBB_LAYOUT_BY_SIZE, 1, 6, 7, false},
	{{3, {5, 6, 7}}, EBB_NCHW, 1, 6, 7, false},
	{{4, {5, 6, 7, 3}}, EBB_LAYOUT_BY_SIZE, 3, 6, 7, true},
	{{4, {5, 3, 6, 7}}, EBB_LAYOUT_BY_SIZE, 3, 6, 7, false},
	{{4, {5, 6, 7, 1}}, EBB_LAYOUT_BY_SIZE, 1, 6, 7, true},
	{{4, {5, 1, 6, 7}}, EBB_LAYOUT_BY_SIZE, 1, 6, 7, false},
	{{4, {5, 6, 7, 4}}, EBB_LAYOUT_BY_SIZE, 4, 6, 7, true},
	{{4, {5, 4, 3, 2}}, EBB_NHWC, 2, 4, 3, true},
	{{4, {5, 4, 3, 2}}, EBB_NCHW, 4, 3, 2, false},
	/* More values than are read at a time. */
	{{4, {5, 301, 207, 3}}, EBB_LAYOUT_BY_SIZE, 3, 301, 207, true},
	{{4, {5, 3, 301, 207}}, EBB_LAYOUT_BY_SIZE, 3, 301, 207, false},
};

START_TEST(images_of_either_layout_are_nchw)
{
	const struct layout_case *c = &layouts[_i];
	ebb_error e = {0};
	ebb_dataset *d;
	const uint8_t *pixel;
	int64_t at = 0;

	save_both(EBB_U8, c->images, EBB_SHAPE(5), EBB_FILE_DEFAULT);
	d = open_both(c->layout, 0, &e);
	ck_assert_msg(d, "%s", e.message);
	ck_assert_int_eq(d->count, 5);
	ck_assert_int_eq(d->classes, 5);
	ck_assert_int_eq(ebb_size(d->images, 1), c->channels);
	ck_assert_int_eq(ebb_size(d->images, 2), c->height);
	ck_assert_int_eq(ebb_size(d->images, 3), c->width);
	pixel = ebb_data(d->images);
	for (int64_t n = 0; n < 5; n++)
		for (int64_t k = 0; k < c->channels; k++)
			for (int64_t i = 0; i < c->height * c->width; i++, at++) {
				int64_t pixels = c->height * c->width;
				int64_t there = c->last ? (n * pixels + i) * c->channels + k : at;

				ck_assert_int_eq(pixel[at], (uint8_t)there);
			}
	for (int64_t i = 0; i < 5; i++)
		ck_assert_int_eq(ebb_dataset_label(d, i), i);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(labels_of_every_integer_type_are_read)
{
	for (ebb_file_dtype dtype = EBB_FILE_U8; dtype <= EBB_FILE_I64; dtype++)
		for (int column = 0; column < 2; column++) {
			ebb_error e = {0};
			ebb_dataset *d;

			save_both(EBB_U8, EBB_SHAPE(3, 8, 8),
				column ? EBB_SHAPE(3, 1) : EBB_SHAPE(3), dtype);
			d = open_both(EBB_LAYOUT_BY_SIZE, column ? 7 : 0, &e);
			ck_assert_msg(d, "%s", e.message);
			ck_assert_int_eq(d->classes, column ? 7 : 3);
			ck_assert_int_eq(ebb_dataset_label(d, 2), 2);
			ebb_dataset_free(d);
		}
}
END_TEST

START_TEST(both_arrays_may_be_in_one_file)
{
	static const char *const files[] = {"set.npz", "set.safetensors"};

	for (int k = 0; k < 2; k++) {
		ebb_tensor *x = counted(EBB_U8, EBB_SHAPE(3, 8, 8, 3)),
			   *y = counted(EBB_I64, EBB_SHAPE(3));
		ebb_archive *a = ebb_archive_new();
		ebb_error e = {0};
		ebb_dataset *d;

		ebb_archive_add(a, "x_train", x, EBB_FILE_DEFAULT, &e);
		ebb_archive_add(a, "y_train", y, EBB_FILE_DEFAULT, &e);
		ck_assert_msg(
			ebb_archive_write(a, temp_path(files[k]), .deflate = k == 0, .error = &e),
			"%s", e.message);
		ebb_archive_free(a);
		d = ebb_numpy(.file = temp_path(files[k]), .images = "x_train", .labels = "y_train",
			.error = &e);
		ck_assert_msg(d, "%s", e.message);
		ck_assert_int_eq(((const uint8_t *)ebb_data(d->images))[1], 3);
		ebb_dataset_free(d);
		d = ebb_numpy(.file = temp_path(files[k]), .images = "x_test", .labels = "y_train",
			.error = &e);
		ck_assert(!d);
		ck_assert_msg(strstr(e.message, "x_test: no such array among the file's 2"), "%s",
			e.message);
		ebb_tensor_free(x);
		ebb_tensor_free(y);
	}
}
END_TEST

START_TEST(a_saved_data_set_is_read_back)
{
	ebb_error e = {0};
	ebb_dataset *digits = ebb_digits(20, 1, &e), *d;
	ebb_archive *a = ebb_archive_new();
	const char *path = temp_path("digits.npz");

	ebb_archive_add(a, "images", digits->images, EBB_FILE_DEFAULT, &e);
	ebb_archive_add(a, "labels", digits->labels, EBB_FILE_DEFAULT, &e);
	ck_assert_msg(ebb_archive_write(a, path, .error = &e), "%s", e.message);
	ebb_archive_free(a);
	d = ebb_numpy(.file = path, .images = "images", .labels = "labels", .error = &e);
	ck_assert_msg(d, "%s", e.message);
	ck_assert(all_same(d->images, digits->images) && all_same(d->labels, digits->labels));
	ck_assert_int_eq(d->classes, 10);
	ebb_dataset_free(d);
	ebb_dataset_free(digits);
}
END_TEST

START_TEST(images_that_do_not_fit_are_refused)
{
	static const struct {
		ebb_shape shape;
		ebb_numpy_layout layout;
		const char *words;
	} cases[] = {
		{{2, {3, 64}}, EBB_LAYOUT_BY_SIZE, "images are [3,64], expected [N,H,W]"},
		{{5, {3, 2, 3, 8, 8}}, EBB_LAYOUT_BY_SIZE, "expected [N,H,W]"},
		{{4, {3, 3, 8, 3}}, EBB_LAYOUT_BY_SIZE, "[3,3,8,3] can be [N,H,W,C] and [N,C,H,W]"},
		{{4, {3, 8, 8, 8}}, EBB_LAYOUT_BY_SIZE, "[3,8,8,8] has no axis of 1 to 4 channels"},
		{{4, {3, 3, 8, 8}}, EBB_NHWC, "channels where .layout says"},
		{{4, {3, 8, 8, 3}}, EBB_NCHW, "channels where .layout says"},
		{{3, {3, 0, 8}}, EBB_LAYOUT_BY_SIZE, "at least one pixel"},
		{{3, {0, 8, 8}}, EBB_LAYOUT_BY_SIZE, "at least one pixel"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		save_both(EBB_U8, cases[i].shape, EBB_SHAPE(3), EBB_FILE_DEFAULT);
		expect_refused(cases[i].layout, 0, cases[i].words);
	}
	{
		ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(3, 8, 8), 1);

		save("images.npy", x, EBB_FILE_DEFAULT);
		expect_refused(EBB_LAYOUT_BY_SIZE, 0, "images are of type F32, expected U8");
		ebb_tensor_free(x);
	}
}
END_TEST

START_TEST(labels_that_do_not_fit_are_refused)
{
	ebb_tensor *y = persistent_random(EBB_F32, EBB_SHAPE(3), 1);

	save_both(EBB_U8, EBB_SHAPE(3, 8, 8), EBB_SHAPE(4), EBB_FILE_DEFAULT);
	expect_refused(EBB_LAYOUT_BY_SIZE, 0, "labels are [4], expected [3] for as many images");
	save_both(EBB_U8, EBB_SHAPE(3, 8, 8), EBB_SHAPE(3, 2), EBB_FILE_DEFAULT);
	expect_refused(EBB_LAYOUT_BY_SIZE, 0, "labels are [3,2], expected [3]");
	save_both(EBB_U8, EBB_SHAPE(3, 8, 8), EBB_SCALAR_SHAPE, EBB_FILE_DEFAULT);
	expect_refused(EBB_LAYOUT_BY_SIZE, 0, "labels are [], expected [3]");
	save_both(EBB_U8, EBB_SHAPE(3, 8, 8), EBB_SHAPE(3), EBB_FILE_DEFAULT);
	expect_refused(EBB_LAYOUT_BY_SIZE, 2, "label 2 is 2, expected 0 to 1");
	save("labels.npy", y, EBB_FILE_DEFAULT);
	expect_refused(EBB_LAYOUT_BY_SIZE, 0, "labels are of type F32, expected integers");
	ebb_tensor_free(y);
	y = counted(EBB_I64, EBB_SHAPE(3));
	((int64_t *)ebb_data_mutable(y))[1] = -1;
	save("labels.npy", y, EBB_FILE_I8);
	expect_refused(EBB_LAYOUT_BY_SIZE, 0, "label 1 is -1, expected 0 to");
	((int64_t *)ebb_data_mutable(y))[1] = INT64_C(1) << 31;
	save("labels.npy", y, EBB_FILE_U32);
	expect_refused(EBB_LAYOUT_BY_SIZE, 0, "label 1 is 2147483648, expected 0 to 2147483646");
	ebb_tensor_free(y);
}
END_TEST

START_TEST(bad_arguments_and_missing_files_are_errors)
{
	ebb_error e = {0};

	ck_assert(!ebb_numpy(.images = "x.npy", .error = &e));
	ck_assert_msg(e.status == EBB_INVALID && strstr(e.message, ".labels is NULL") &&
			      strstr(e.message, "numpy.c:"),
		"%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_numpy(.images = "x", .labels = "y", .classes = -1, .error = &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	save_both(EBB_U8, EBB_SHAPE(3, 8, 8), EBB_SHAPE(3), EBB_FILE_DEFAULT);
	e = (ebb_error){0};
	ck_assert(!ebb_numpy(.images = temp_path("images.npy"), .labels = "/nonexistent/y.npy",
		.error = &e));
	ck_assert_msg(e.status == EBB_BAD_FILE && strstr(e.message, "/nonexistent/y.npy"), "%s",
		e.message);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	int64_t k = 0;

	save_both(EBB_U8, EBB_SHAPE(3, 8, 8, 3), EBB_SHAPE(3), EBB_FILE_I32);
	for (bool through = false; !through; k++) {
		counting_allocator counter;
		ebb_error e = {0};
		ebb_dataset *d;

		counting_allocator_install(&counter);
		counter.fail_at = k;
		d = open_both(EBB_LAYOUT_BY_SIZE, 0, &e);
		through = counter.refused == 0;
		ck_assert_msg(through == (d != NULL), "allocation %d: %s", (int)k, e.message);
		ck_assert(through || e.status == EBB_NO_MEMORY);
		ebb_dataset_free(d);
		counting_allocator_remove();
		ck_assert_int_eq(counter.live, 0);
		ck_assert_int_eq(counter.wrong, 0);
	}
	ck_assert_int_gt(k, 12);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-numpy");
	TCase *c = tcase_create("numpy");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(
		c, images_of_either_layout_are_nchw, 0, sizeof layouts / sizeof *layouts);
	tcase_add_test(c, labels_of_every_integer_type_are_read);
	tcase_add_test(c, both_arrays_may_be_in_one_file);
	tcase_add_test(c, a_saved_data_set_is_read_back);
	tcase_add_test(c, images_that_do_not_fit_are_refused);
	tcase_add_test(c, labels_that_do_not_fit_are_refused);
	tcase_add_test(c, bad_arguments_and_missing_files_are_errors);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
