/* .npz files: written values are read back, deflated or not, of any size. */
#include "archive/internal.h"
#include "tests/archive/zips.h"
#include "tests/archive/opening.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_ok(const ebb_archive *a, const char *path, bool deflate)
{
	ebb_error e = {0};

	ck_assert_msg(ebb_archive_write(a, path, .deflate = deflate, .error = &e), "%s", e.message);
}

static void expect_zip_refused(const made_zip *z, const char *words)
{
	expect_refused(write_temp("file.npz", z->bytes, z->size), words);
}

/* ---- Round trips ---------------------------------------------------------------------------- */

START_TEST(every_type_is_read_back)
{
	unsigned char values[64], back[64];
	const char *path = temp_path("all.npz");
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	for (size_t i = 0; i < sizeof values; i++)
		values[i] = (unsigned char)(i * 37);
	for (ebb_file_dtype d = EBB_FILE_BOOL; d < EBB_FILE_OTHER; d++)
		if (d != EBB_FILE_BF16 && d != EBB_FILE_F8_E4M3 && d != EBB_FILE_F8_E5M2)
			ck_assert(ebb_archive_add_values(
				a, ebb_file_dtype_name(d), d, EBB_SHAPE(2, 3), values, &e));
	write_ok(a, path, _i);
	ebb_archive_free(a);
	a = open_ok(path);
	ck_assert_int_eq(ebb_archive_count(a), 12);
	for (int64_t i = 0; i < 12; i++) {
		ebb_file_dtype d = ebb_archive_dtype_at(a, i);

		ck_assert_str_eq(ebb_archive_name_at(a, i), ebb_file_dtype_name(d));
		ck_assert_msg(ebb_archived_values(a, &a->entry[i], d, back, &e), "%s", e.message);
		ck_assert_mem_eq(back, values, 6 * ebb_file_dtype_size(d));
	}
	ebb_archive_free(a);
}
END_TEST

/* Sizes around and above that of a part, along one axis and several. */
static const ebb_shape sizes[] = {{1, {(1 << 17) - 1}}, {1, {1 << 17}}, {1, {(1 << 17) + 1}},
	{1, {400000}}, {2, {3, 100001}}, {2, {100001, 3}}, {4, {2, 3, 251, 257}},
	{4, {2, 1, 1, 150001}}, {3, {1, 3, 140000}}, {2, {1 << 17, 2}}};

START_TEST(large_tensors_are_read_back_in_any_memory_order)
{
	ebb_shape shape = sizes[_i];
	bool spatial = shape.ndim > 2;
	ebb_tensor *x = persistent_random(EBB_F32, shape, 3),
		   *last = ebb_tensor_new(EBB_F32, shape, spatial, NULL), *y;
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	const char *path = temp_path("large.npz");

	ebb_copy_in(last, ebb_data(x), (size_t)ebb_count(x) * sizeof(float));
	ebb_archive_add(a, "rows", x, EBB_FILE_DEFAULT, &e);
	ebb_archive_add(a, "last", last, EBB_FILE_DEFAULT, &e);
	ebb_archive_add(a, "wide", last, EBB_FILE_F64, &e);
	write_ok(a, path, false);
	ebb_archive_free(a);
	a = open_ok(path);
	for (int i = 0; i < 3; i++) {
		y = ebb_archive_tensor(a, ebb_archive_name_at(a, i), EBB_F32, &e);
		ck_assert_msg(y && all_same(x, y), "%d %s", i, e.message);
		ebb_tensor_free(y);
	}
	ebb_tensor_free(x);
	ebb_tensor_free(last);
	ebb_archive_free(a);
}
END_TEST

START_TEST(names_scalars_and_empty_tensors_are_read_back)
{
	static const char *const names[] = {"", "layer.0.weight", "gew\xc3\xb6lbe \xe2\x9c\x93",
		"a/b", "x.npy", "\xf0\x9f\x90\x9f"};
	const char *path = temp_path("names.npz");
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	for (int i = 0; i < 6; i++)
		ck_assert(ebb_archive_add_i64(a, names[i], i, &e));
	ck_assert(ebb_archive_add_values(a, "none", EBB_FILE_F32, EBB_SHAPE(3, 0, 2), NULL, &e));
	write_ok(a, path, _i);
	ebb_archive_free(a);
	a = open_ok(path);
	ck_assert_int_eq(ebb_archive_count(a), 7);
	for (int i = 0; i < 6; i++) {
		ebb_tensor *x = ebb_archive_tensor(a, names[i], EBB_DEFAULT, &e);

		ck_assert_msg(x && ebb_ndim(x) == 0 && ebb_item(x) == i, "%s", e.message);
		ebb_tensor_free(x);
	}
	ck_assert_int_eq(ebb_archive_shape_at(a, 6).dims[2], 2);
	ebb_archive_free(a);
	/* An archive without entries. */
	a = ebb_archive_new();
	write_ok(a, path, _i);
	ebb_archive_free(a);
	a = open_ok(path);
	ck_assert_int_eq(ebb_archive_count(a), 0);
	ebb_archive_free(a);
}
END_TEST

static size_t read_file(const char *path, unsigned char *to, size_t capacity)
{
	FILE *f = fopen(path, "rb");
	size_t n = fread(to, 1, capacity, f);

	fclose(f);
	return n;
}

START_TEST(equal_archives_are_equal_files)
{
	static unsigned char first[4096], second[4096];
	ebb_archive *a = ebb_archive_new();
	const char *path = temp_path("same.npz");
	size_t n;

	ebb_archive_add_i64(a, "a", 1, NULL);
	ebb_archive_add_f64(a, "b", 2, NULL);
	write_ok(a, path, _i);
	n = read_file(path, first, sizeof first);
	/* Dates in a zip file have a resolution of two seconds. */
	usleep(2100000);
	write_ok(a, path, _i);
	ck_assert_uint_eq(read_file(path, second, sizeof second), n);
	ck_assert_mem_eq(first, second, n);
	ebb_archive_free(a);
}
END_TEST

START_TEST(an_archive_is_written_over_the_file_that_it_is_read_from)
{
	ebb_archive *a = ebb_archive_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(300, 500), 1), *y;
	ebb_error e = {0};
	char path[100];

	snprintf(path, sizeof path, "%s", temp_path("again.npz"));
	ebb_archive_add(a, "x", x, EBB_FILE_DEFAULT, &e);
	write_ok(a, path, false);
	ebb_archive_free(a);
	for (int i = 0; i < 3; i++) {
		a = open_ok(path);
		write_ok(a, path, i % 2 == 0);
		ebb_archive_free(a);
	}
	a = open_ok(path);
	y = ebb_archive_tensor(a, "x", EBB_DEFAULT, &e);
	ck_assert(y && all_same(x, y));
	ebb_tensor_free(y);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

/* ---- Members -------------------------------------------------------------------------------- */

static const char array[] = "\x93NUMPY\1\0\x39\0{'descr': '|u1', 'fortran_order': False, "
			    "'shape': (3,), }\1\2\3";

START_TEST(members_that_are_not_arrays_are_ignored)
{
	made_zip z = {0};
	ebb_archive *a;
	ebb_error e = {0};
	ebb_tensor *x;

	made_add(&z, "readme.txt", "Read me.", 8, true);
	made_add(&z, "dir/", "", 0, false);
	made_add(&z, "bare", array, sizeof array - 1, true);
	made_add(&z, "x.npy", array, sizeof array - 1, false);
	made_finish(&z, false, NULL);
	a = open_ok(write_temp("file.npz", z.bytes, z.size));
	ck_assert_int_eq(ebb_archive_count(a), 2);
	ck_assert_str_eq(ebb_archive_name_at(a, 0), "bare");
	ck_assert_str_eq(ebb_archive_name_at(a, 1), "x");
	x = ebb_archive_tensor(a, "bare", EBB_DEFAULT, &e);
	ck_assert_msg(x && ebb_at(x, 2) == 3, "%s", e.message);
	ebb_tensor_free(x);
	ebb_archive_free(a);
	made_free(&z);
}
END_TEST

START_TEST(members_named_npy_that_are_not_arrays_are_refused)
{
	made_zip z = {0};

	made_add(&z, "x.npy", "no array, though its name says so", 33, false);
	made_finish(&z, false, NULL);
	expect_zip_refused(&z, "member \"x.npy\": does not begin with NumPy's magic number");
	made_free(&z);
	made_add(&z, "x.npy", array, sizeof array - 2, false);
	made_finish(&z, false, NULL);
	expect_zip_refused(
		&z, "member \"x.npy\": truncated: the header declares 3 bytes of values");
	made_free(&z);
	made_add(&z, "x.npy", "\x93NUMPY", 6, true);
	made_finish(&z, false, NULL);
	expect_zip_refused(&z, "member \"x.npy\": truncated");
	made_free(&z);
	/* The same name, with and without ".npy". */
	made_add(&z, "x.npy", array, sizeof array - 1, false);
	made_add(&z, "x", array, sizeof array - 1, false);
	made_finish(&z, false, NULL);
	expect_zip_refused(&z, "the name \"x\" is repeated");
	made_free(&z);
}
END_TEST

START_TEST(damaged_values_are_an_error_when_read)
{
	made_zip z = {0};
	ebb_archive *a;
	ebb_error e = {0};

	made_add(&z, "x.npy", array, sizeof array - 1, false);
	made_finish(&z, false, NULL);
	z.bytes[z.member[0].data + sizeof array - 2] ^= 1;
	a = open_ok(write_temp("file.npz", z.bytes, z.size));
	ck_assert(!ebb_archive_tensor(a, "x", EBB_DEFAULT, &e));
	ck_assert_msg(strstr(e.message, "CRC"), "%s", e.message);
	ebb_archive_free(a);
	made_free(&z);
}
END_TEST

/* ---- Failures ------------------------------------------------------------------------------- */

START_TEST(types_that_numpy_does_not_have_are_refused)
{
	ebb_archive *a = ebb_archive_new();
	const char *path = temp_path("half.npz");
	uint16_t value = 0;
	ebb_error e = {0};

	ebb_archive_add_i64(a, "n", 1, &e);
	ebb_archive_add_values(a, "x", EBB_FILE_BF16, EBB_SHAPE(1), &value, &e);
	ck_assert(!ebb_archive_write(a, path, .error = &e));
	ck_assert_msg(
		e.status == EBB_BAD_DTYPE && strstr(e.message, "\"x\" is BF16"), "%s", e.message);
	ck_assert_int_ne(access(path, F_OK), 0);
	ebb_archive_free(a);
}
END_TEST

START_TEST(a_name_longer_than_zip_allows_is_refused)
{
	ebb_archive *a = ebb_archive_new();
	char *name = malloc(65533);
	ebb_error e = {0};

	memset(name, 'n', 65532);
	name[65532] = '\0';
	ebb_archive_add_i64(a, name, 1, &e);
	ck_assert(!ebb_archive_write(a, temp_path("name.npz"), .error = &e));
	ck_assert_msg(strstr(e.message, "65532 bytes, a zip file allows 65531"), "%s", e.message);
	ebb_archive_free(a);
	a = ebb_archive_new();
	name[65531] = '\0';
	ebb_archive_add_i64(a, name, 1, &e);
	write_ok(a, temp_path("name.npz"), false);
	ebb_archive_free(a);
	a = open_ok(temp_path("name.npz"));
	ck_assert_str_eq(ebb_archive_name_at(a, 0), name);
	ebb_archive_free(a);
	free(name);
}
END_TEST

START_TEST(an_integer_that_does_not_fit_is_named_by_its_index)
{
	enum { N = 300000 };
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	ebb_tensor *x = ebb_tensor_new(EBB_I64, EBB_SHAPE(N), false, &e);

	((int64_t *)ebb_data_mutable(x))[N - 2] = 128;
	ck_assert(ebb_archive_add(a, "x", x, EBB_FILE_I8, &e));
	ck_assert(!ebb_archive_write(a, temp_path("x.npz"), .error = &e));
	ck_assert_msg(strstr(e.message, "element 299998 does not fit into I8"), "%s", e.message);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

/* A limit on the size of files has the effect of a full disk. */
START_TEST(a_failed_write_reports_an_error_and_keeps_the_old_file)
{
	ebb_archive *a = ebb_archive_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(100000), 1);
	const char *path = write_temp("x.npz", "former", 6);
	struct rlimit limit;
	unsigned char back[16];
	ebb_error e = {0};

	ebb_archive_add(a, "x", x, EBB_FILE_DEFAULT, &e);
	getrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN);
	limit.rlim_cur = 100000;
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert(!ebb_archive_write(a, path, .deflate = _i, .error = &e));
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_msg(
		strstr(e.message, "File too large") && strstr(e.message, path), "%s", e.message);
	ck_assert_uint_eq(read_file(path, back, sizeof back), 6);
	ck_assert_mem_eq(back, "former", 6);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

START_TEST(values_that_cannot_be_read_fail_the_write)
{
	made_zip z = {0};
	ebb_archive *a;
	ebb_error e = {0};

	made_add(&z, "x.npy", array, sizeof array - 1, false);
	made_finish(&z, false, NULL);
	z.bytes[z.member[0].data + sizeof array - 2] ^= 1;
	a = open_ok(write_temp("file.npz", z.bytes, z.size));
	ck_assert(!ebb_archive_write(a, temp_path("copy.npz"), .error = &e));
	ck_assert_msg(strstr(e.message, "CRC"), "%s", e.message);
	ck_assert_int_ne(access(temp_path("copy.npz"), F_OK), 0);
	ebb_archive_free(a);
	made_free(&z);
}
END_TEST

/* Writes a tensor that is reordered and converted, so that all allocations of writing occur. */
static bool write_and_read(const char *path, const ebb_tensor *x, bool *opened, ebb_error *e)
{
	ebb_archive *a = ebb_archive_new();
	ebb_tensor *y = NULL;
	bool ok = a && ebb_archive_add(a, "x", x, EBB_FILE_F64, e) &&
	          ebb_archive_add_i64(a, "n", 4, e) &&
	          ebb_archive_write(a, path, .deflate = true, .error = e);

	ebb_archive_free(a);
	a = ok ? ebb_archive_read(path, .error = e) : NULL;
	*opened = a != NULL;
	if (a)
		y = ebb_archive_tensor(a, "x", EBB_DEFAULT, e);
	ok = y != NULL;
	ebb_tensor_free(y);
	ebb_archive_free(a);
	return ok;
}

START_TEST(every_allocation_may_fail)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 4, 5), true, NULL);
	char path[100];
	int64_t k = 0;

	snprintf(path, sizeof path, "%s", temp_path("x.npz"));
	for (bool through = false; !through; k++) {
		counting_allocator counter;
		ebb_error e = {0};
		bool ok, opened;

		counting_allocator_install(&counter);
		counter.fail_at = k;
		ok = write_and_read(path, x, &opened, &e);
		through = counter.refused == 0;
		ck_assert_msg(ok || !through, "%s", e.message);
		/* Allocations of the search for abandoned files may fail without an error. */
		ck_assert_msg(ok || !opened || e.status == EBB_NO_MEMORY, "allocation %d: %s",
			(int)k, e.message);
		counting_allocator_remove();
		ck_assert_int_eq(counter.live, 0);
		ck_assert_int_eq(counter.wrong, 0);
	}
	ck_assert_int_gt(k, 20);
	ebb_tensor_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-npz");
	TCase *c = tcase_create("npz");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, every_type_is_read_back, 0, 2);
	tcase_add_loop_test(c, large_tensors_are_read_back_in_any_memory_order, 0,
		sizeof sizes / sizeof *sizes);
	tcase_add_loop_test(c, names_scalars_and_empty_tensors_are_read_back, 0, 2);
	tcase_add_loop_test(c, equal_archives_are_equal_files, 0, 2);
	tcase_add_test(c, an_archive_is_written_over_the_file_that_it_is_read_from);
	tcase_add_test(c, members_that_are_not_arrays_are_ignored);
	tcase_add_test(c, members_named_npy_that_are_not_arrays_are_refused);
	tcase_add_test(c, damaged_values_are_an_error_when_read);
	tcase_add_test(c, types_that_numpy_does_not_have_are_refused);
	tcase_add_test(c, a_name_longer_than_zip_allows_is_refused);
	tcase_add_test(c, an_integer_that_does_not_fit_is_named_by_its_index);
	tcase_add_loop_test(c, a_failed_write_reports_an_error_and_keeps_the_old_file, 0, 2);
	tcase_add_test(c, values_that_cannot_be_read_fail_the_write);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
