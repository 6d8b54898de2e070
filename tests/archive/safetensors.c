/* safetensors: written values are read back, and invalid files are refused with a message that says
 * why. */
#include "archive/internal.h"
#include "tests/archive/opening.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Files ---------------------------------------------------------------------------------- */

/* Writes a file with this header and this declared length, and with values as bytes 0, 1, 2, .. */
static const char *write_raw(uint64_t length, const char *header, size_t n, size_t values)
{
	size_t size = 8 + n + values;
	unsigned char *bytes = malloc(size);
	const char *path;

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(length >> 8 * i);
	memcpy(bytes + 8, header, n);
	for (size_t i = 0; i < values; i++)
		bytes[8 + n + i] = (unsigned char)i;
	path = write_temp("file.safetensors", bytes, size);
	free(bytes);
	return path;
}

static const char *write_header(const char *header, size_t values)
{
	return write_raw(strlen(header), header, strlen(header), values);
}

/* ---- Round trips ---------------------------------------------------------------------------- */

START_TEST(every_type_is_read_back_bit_for_bit)
{
	unsigned char values[64];
	const char *path = temp_path("all.safetensors");
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	char name[40];

	for (size_t i = 0; i < sizeof values; i++)
		values[i] = (unsigned char)(i * 37);
	for (ebb_file_dtype d = EBB_FILE_BOOL; d < EBB_FILE_OTHER; d++) {
		snprintf(name, sizeof name, "tensor.%s", ebb_file_dtype_name(d));
		ck_assert_msg(ebb_archive_add_values(a, name, d, EBB_SHAPE(2, 3), values, &e), "%s",
			e.message);
	}
	ck_assert_msg(ebb_archive_write(a, path, .error = &e), "%s", e.message);
	ebb_archive_free(a);
	a = open_ok(path);
	ck_assert_int_eq(ebb_archive_count(a), EBB_FILE_OTHER - EBB_FILE_BOOL);
	for (ebb_file_dtype d = EBB_FILE_BOOL; d < EBB_FILE_OTHER; d++) {
		int64_t i;
		unsigned char back[64];
		size_t n = 6 * ebb_file_dtype_size(d);

		snprintf(name, sizeof name, "tensor.%s", ebb_file_dtype_name(d));
		i = ebb_archive_find(a, name);
		ck_assert_int_eq(ebb_archive_dtype_at(a, i), d);
		ck_assert_msg(ebb_archived_values(a, &a->entry[i], d, back, &e), "%s", e.message);
		ck_assert_mem_eq(back, values, n);
		/* Aligned to the element size, because some readers map the file. */
		ck_assert_int_eq(a->entry[i].blob.where % (int64_t)ebb_file_dtype_size(d), 0);
	}
	ebb_archive_free(a);
}
END_TEST

START_TEST(tensors_in_any_memory_order_are_written_row_major)
{
	ebb_error e = {0};
	const char *path = temp_path("order.safetensors");
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 4, 5), true, &e), *y;
	ebb_archive *a = ebb_archive_new();
	float values[120];

	for (int i = 0; i < 120; i++)
		values[i] = (float)i;
	ebb_copy_in(x, values, sizeof values);
	ck_assert(ebb_archive_add(a, "x", x, EBB_FILE_DEFAULT, &e));
	ck_assert(ebb_archive_add(a, "half", x, EBB_FILE_F16, &e));
	ck_assert_msg(ebb_archive_write(a, path, .error = &e), "%s", e.message);
	ebb_archive_free(a);
	a = open_ok(path);
	y = ebb_archive_tensor(a, "x", EBB_DEFAULT, &e);
	ck_assert(all_same(x, y));
	ebb_tensor_free(y);
	y = ebb_archive_tensor(a, "half", EBB_F64, &e);
	for (int i = 0; i < 120; i++)
		ck_assert_double_eq(ebb_at(y, i), i);
	/* Into a tensor of another memory order and another type. */
	memset(ebb_data_mutable(x), 0, sizeof values);
	ck_assert_msg(ebb_archive_copy(a, "half", x, &e), "%s", e.message);
	for (int i = 0; i < 120; i++)
		ck_assert_double_eq(ebb_at(x, i), i);
	ebb_tensor_free(y);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

START_TEST(names_metadata_scalars_and_empty_tensors_are_read_back)
{
	static const char *const names[] = {
		"", "layer.0.weight", "gewölbe \xe2\x9c\x93", "a\"b\\c\td", "\xf0\x9f\x90\x9f"};
	const char *path = temp_path("names.safetensors");
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	for (int i = 0; i < 5; i++)
		ck_assert(ebb_archive_add_i64(a, names[i], i, &e));
	ck_assert(ebb_archive_add_f64(a, "pi", 3.141592653589793, &e));
	ck_assert(ebb_archive_add_values(a, "empty", EBB_FILE_F32, EBB_SHAPE(3, 0, 2), NULL, &e));
	/* A tensor without elements may have any sizes. */
	ck_assert(ebb_archive_add_values(
		a, "empty too", EBB_FILE_F32, EBB_SHAPE(INT64_MAX, INT64_MAX, 0), NULL, &e));
	ck_assert(!ebb_archive_add_values(
		a, "negative", EBB_FILE_F32, EBB_SHAPE(0, -1), NULL, &(ebb_error){0}));
	ck_assert(ebb_archive_set_metadata(a, "made \"by\"", "first", &e));
	ck_assert(ebb_archive_set_metadata(a, "made \"by\"", "tést\n", &e));
	ck_assert_msg(ebb_archive_write(a, path, .error = &e), "%s", e.message);
	ebb_archive_free(a);
	a = open_ok(path);
	ck_assert_int_eq(ebb_archive_count(a), 8);
	for (int i = 0; i < 5; i++) {
		ebb_tensor *x = ebb_archive_tensor(a, names[i], EBB_DEFAULT, &e);

		ck_assert_msg(x && ebb_ndim(x) == 0 && ebb_item(x) == i, "%s", e.message);
		ebb_tensor_free(x);
	}
	ck_assert_str_eq(ebb_archive_metadata(a, "made \"by\""), "tést\n");
	ck_assert_int_eq(ebb_archive_metadata_count(a), 1);
	ck_assert_int_eq(ebb_archive_shape_at(a, ebb_archive_find(a, "empty")).dims[0], 3);
	ebb_archive_free(a);
}
END_TEST

/* Neither the header's length nor the entry before y keeps y aligned. */
START_TEST(unaligned_values_are_read)
{
	const char *path =
		write_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
			     "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}",
			9);
	ebb_archive *a = open_ok(path);
	ebb_error e = {0};
	ebb_tensor *y = ebb_archive_tensor(a, "y", EBB_DEFAULT, &e);

	ck_assert(a->entry[1].blob.where % 4 != 0);
	ck_assert_msg(y, "%s", e.message);
	/* 01 02 03 04, least significant byte first */
	ck_assert_double_eq(ebb_at(y, 0), 0x1.060402p-119);
	ebb_tensor_free(y);
	ebb_archive_free(a);
}
END_TEST

START_TEST(values_larger_than_the_buffer_are_read)
{
	enum { N = (1 << 22) + 12345 };
	ebb_error e = {0};
	const char *path = temp_path("large.safetensors");
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(N), 7), *y;
	ebb_archive *a = ebb_archive_new();

	ebb_archive_add(a, "x", x, EBB_FILE_DEFAULT, &e);
	ebb_archive_add(a, "wide", x, EBB_FILE_F64, &e);
	ck_assert_msg(ebb_archive_write(a, path, .error = &e), "%s", e.message);
	ebb_archive_free(a);
	a = open_ok(path);
	y = ebb_archive_tensor(a, "x", EBB_DEFAULT, &e);
	ck_assert(all_same(x, y));
	ebb_tensor_free(y);
	y = ebb_archive_tensor(a, "wide", EBB_F32, &e);
	ck_assert(all_same(x, y));
	ebb_tensor_free(y);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

START_TEST(an_archive_that_was_read_is_written_again)
{
	ebb_error e = {0};
	char first[100], second[100];
	ebb_archive *a = ebb_archive_new();
	float x[4] = {1, 2, 3, 4};
	ebb_tensor *y;

	snprintf(first, sizeof first, "%s", temp_path("first.safetensors"));
	snprintf(second, sizeof second, "%s", temp_path("second.safetensors"));
	ebb_archive_add_values(a, "x", EBB_FILE_F32, EBB_SHAPE(4), x, &e);
	ck_assert(ebb_archive_write(a, first, .error = &e));
	ebb_archive_free(a);
	a = open_ok(first);
	ck_assert_msg(ebb_archive_write(a, second, .error = &e), "%s", e.message);
	/* The archive's own file may be replaced: the old file stays open. */
	ck_assert_msg(ebb_archive_write(a, first, .error = &e), "%s", e.message);
	y = ebb_archive_tensor(a, "x", EBB_DEFAULT, &e);
	ck_assert_double_eq(ebb_at(y, 3), 4);
	ebb_tensor_free(y);
	ebb_archive_free(a);
	a = open_ok(second);
	ck_assert_int_eq(ebb_archive_count(a), 1);
	ebb_archive_free(a);
}
END_TEST

/* ---- Refusals ------------------------------------------------------------------------------- */

#define T "\"dtype\":\"F32\",\"shape\":"

static const struct refusal {
	const char *header;
	size_t values;
	const char *words;
} refusals[] = {
	{"{\"x\":{" T "[2],\"data_offsets\":[0,8]}}", 7, "within the 7 bytes"},
	{"{\"x\":{" T "[2],\"data_offsets\":[0,8]}}", 9,
		"9 bytes of values, of which the header describes 8"},
	{"{\"x\":{" T "[2],\"data_offsets\":[0,4]}}", 8, "F32 [2] in 4 bytes, expected 8"},
	{"{\"x\":{" T "[2],\"data_offsets\":[8,0]}}", 8, "data_offsets [8,0]"},
	{"{\"x\":{" T "[2],\"data_offsets\":[-8,0]}}", 8, "data_offsets [-8,0]"},
	{"{\"x\":{" T "[2],\"data_offsets\":[0,8,8]}}", 8, "a list of two numbers"},
	{"{\"x\":{" T "[2],\"data_offsets\":[0,8.0]}}", 8, "a list of two numbers"},
	{"{\"x\":{" T "[2]}}", 8, "no \"data_offsets\""},
	{"{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "no \"shape\""},
	{"{\"x\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no \"dtype\""},
	{"{\"x\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no \"dtype\""},
	{"{\"x\":{" T "[-2],\"data_offsets\":[0,8]}}", 8, "a size that is not a number"},
	{"{\"x\":{" T "[\"2\"],\"data_offsets\":[0,8]}}", 8, "a size that is not a number"},
	{"{\"x\":{" T "[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "more than 8 axes"},
	{"{\"x\":{" T "[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 0,
		"its size overflows"},
	{"{\"x\":{" T "[9223372036854775807,2],\"data_offsets\":[0,8]}}", 8, "its size overflows"},
	{"{\"x\":{" T "[99999999999999999999],\"data_offsets\":[0,8]}}", 8, "not a JSON object"},
	{"{\"x\":{" T "[1],\"data_offsets\":[0,4]},\"y\":{" T "[1],\"data_offsets\":[2,6]}}", 6,
		"overlaps"},
	{"{\"x\":{" T "[2],\"data_offsets\":[0,8]},\"y\":{" T "[2],\"data_offsets\":[0,8]}}", 8,
		"overlaps"},
	{"{\"x\":{" T "[1],\"data_offsets\":[0,4]},\"y\":{" T "[1],\"data_offsets\":[5,9]}}", 9,
		"a gap"},
	{"{\"x\":{" T "[1],\"data_offsets\":[0,4]},\"x\":{" T "[1],\"data_offsets\":[4,8]}}", 8,
		"duplicate"},
	{"{\"x\":{" T "[1],\"data_offsets\":[0,4]},\"\\u0078\":{" T "[1],\"data_offsets\":[4,8]}}",
		8, "duplicate"},
	{"{\"x\":{" T "[1],\"data_offsets\":[0,4],\"data_offsets\":[0,4]}}", 4, "duplicate"},
	{"{\"x\\u0000y\":{" T "[1],\"data_offsets\":[0,4]}}", 4, "not a JSON object"},
	{"{\"\xff\":{" T "[1],\"data_offsets\":[0,4]}}", 4, "not a JSON object"},
	{"{\"x\":[0,4]}", 4, "nests"},
	{"{\"x\":4}", 4, "is not an object"},
	{"{\"x\":{\"y\":{}}}", 4, "nests"},
	{"[{}]", 4, "nests"},
	{"{\"x\":{\"shape\":[[]]}}", 4, "nests"},
	{"{}}", 0, "nests"},
	{"{\"__metadata__\":{\"a\":1}}", 0, "expected a text"},
	{"{\"__metadata__\":\"a\"}", 0, "is not an object"},
	{"{\"x\":", 0, "not a JSON object"},
	{"12", 0, "not a JSON object"},
	{"{} x", 0, "not a JSON object"},
};

START_TEST(a_header_that_does_not_describe_its_values_is_refused)
{
	expect_refused(write_header(refusals[_i].header, refusals[_i].values), refusals[_i].words);
}
END_TEST

START_TEST(a_length_beyond_the_file_is_refused)
{
	expect_refused(write_raw(UINT64_MAX, "{}", 2, 0), "a header of 18446744073709551615 bytes");
	expect_refused(write_raw(1u << 31, "{}", 2, 0), "a header of 2147483648 bytes");
	expect_refused(write_raw(3, "{}", 2, 0), "a header of 3 bytes in a file of 10");
	expect_refused(write_raw(0, "", 0, 0), "a header of 0 bytes");
	expect_refused(write_temp("short.safetensors", "\2\0\0", 3),
		"3 bytes are too few for a file of tensors");
	expect_refused(write_temp("empty.safetensors", "", 0), "the file is empty");
}
END_TEST

START_TEST(every_truncated_file_is_refused)
{
	const char *header =
		"{\"x\":{" T "[2],\"data_offsets\":[0,8]},\"__metadata__\":{\"a\":\"b\"}}";
	size_t size = 8 + strlen(header) + 8;

	for (size_t n = 0; n < size; n++) {
		const char *path = write_header(header, 8);
		ebb_error e = {0};

		ck_assert_int_eq(truncate(path, (off_t)n), 0);
		ck_assert_msg(!ebb_archive_read(path, .error = &e), "%zu bytes were accepted", n);
		ck_assert_int_eq(e.status, EBB_BAD_FILE);
	}
}
END_TEST

START_TEST(directories_and_fifos_are_refused)
{
	const char *path = temp_path("fifo");

	expect_refused("/nonexistent/file.safetensors", "No such file or directory");
	expect_refused(temp_dir, "not a regular file");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_refused(path, "not a regular file");
}
END_TEST

START_TEST(a_file_that_shrinks_is_an_error_not_a_signal)
{
	const char *path =
		write_header("{\"x\":{" T "[100000],\"data_offsets\":[0,400000]}}", 400000);
	ebb_archive *a = open_ok(path);
	ebb_error e = {0};

	ck_assert_int_eq(truncate(path, 1000), 0);
	ck_assert_ptr_null(ebb_archive_tensor(a, "x", EBB_DEFAULT, &e));
	ck_assert_msg(strstr(e.message, "truncated"), "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

START_TEST(types_that_ebb_does_not_read_are_listed_and_refused)
{
	const char *path =
		write_header("{\"c\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]},"
			     "\"x\":{" T "[1],\"data_offsets\":[8,12]}}",
			12);
	ebb_archive *a = open_ok(path);
	ebb_error e = {0};
	ebb_tensor *x = ebb_archive_tensor(a, "x", EBB_DEFAULT, &e);

	ck_assert_int_eq(ebb_archive_dtype_at(a, ebb_archive_find(a, "c")), EBB_FILE_OTHER);
	ck_assert_ptr_nonnull(x);
	ck_assert_ptr_null(ebb_archive_tensor(a, "c", EBB_DEFAULT, &e));
	ck_assert_msg(e.status == EBB_BAD_DTYPE && strstr(e.message, "C64"), "%s", e.message);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

/* ---- Limits --------------------------------------------------------------------------------- */

START_TEST(limits_of_headers_and_values_are_kept)
{
	const char *path = write_header("{\"x\":{" T "[2],\"data_offsets\":[0,8]}}", 8);
	ebb_error e = {0};
	ebb_archive *a;

	ck_assert(!ebb_archive_read(path, .most_header = 40, .error = &e));
	ck_assert_msg(strstr(e.message, "at most 40 bytes"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_read(path, .most_bytes = 7, .error = &e));
	ck_assert_msg(strstr(e.message, "more than the 7 bytes"), "%s", e.message);
	a = ebb_archive_read(path, .most_header = 60, .most_bytes = 8, .error = &e);
	ck_assert_ptr_nonnull(a);
	ebb_archive_free(a);
	e = (ebb_error){0};
	ck_assert(
		!ebb_archive_read(path, .most_bytes = -1, .error = &e) && e.status == EBB_INVALID);
}
END_TEST

/* The headers that need most memory per byte of those accepted; Jansson's memory is measured as the
 * process's. */
START_TEST(memory_for_a_header_is_bounded_by_its_size)
{
	enum { N = 20000 };
	char *header = malloc(80 * N);
	size_t n = 1;
	counting_allocator counter;
	const char *path;
	ebb_archive *a;
	ebb_error e = {0};

	header[0] = '{';
	for (int i = 0; i < N; i++)
		n += (size_t)sprintf(header + n,
			"%s\"%x\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[%d,%d]}",
			i ? "," : "", (unsigned)i, i, i + 1);
	strcpy(header + n, "}");
	path = write_header(header, N);
	counting_allocator_install(&counter);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a && ebb_archive_count(a) == N, "%s", e.message);
	ck_assert_int_le(counter.bytes, 64 * (int64_t)n + (1 << 20));
	ck_assert_int_le(a->taken, 64 * (int64_t)n + (1 << 20));
	ebb_archive_free(a);
	counting_allocator_remove();
	ck_assert_int_eq(counter.live, 0);
	free(header);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	char path[100];
	float x[4] = {1, 2, 3, 4};
	int64_t k = 0;

	snprintf(path, sizeof path, "%s", temp_path("file.safetensors"));
	for (bool through = false; !through; k++) {
		counting_allocator counter;
		ebb_error e = {0};
		ebb_archive *a;
		ebb_tensor *y = NULL;
		bool ok;

		counting_allocator_install(&counter);
		counter.fail_at = k;
		a = ebb_archive_new();
		ok = a && ebb_archive_add_values(a, "x", EBB_FILE_F32, EBB_SHAPE(4), x, &e) &&
		     ebb_archive_add_i64(a, "n", 4, &e) &&
		     ebb_archive_set_metadata(a, "k", "v", &e) &&
		     ebb_archive_write(a, path, .error = &e);
		ebb_archive_free(a);
		a = ok ? ebb_archive_read(path, .error = &e) : NULL;
		if (a)
			y = ebb_archive_tensor(a, "x", EBB_F64, &e);
		through = counter.refused == 0;
		ck_assert_msg(y || !through, "%s", e.message);
		/* Allocations of the search for abandoned files may fail without an error. */
		ck_assert_msg(y || !a || e.status == EBB_NO_MEMORY, "allocation %d: %s", (int)k,
			e.message);
		ebb_tensor_free(y);
		ebb_archive_free(a);
		counting_allocator_remove();
		ck_assert_int_eq(counter.live, 0);
	}
	ck_assert_int_gt(k, 15);
}
END_TEST

/* ---- Adding --------------------------------------------------------------------------------- */

START_TEST(options_of_another_format_are_refused)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	ck_assert(!ebb_archive_write(a, temp_path("x.npz"), .shard_bytes = 10, .error = &e));
	ck_assert_msg(
		e.status == EBB_INVALID && strstr(e.message, "shard_bytes is for safetensors"),
		"%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_write(a, temp_path("x.safetensors"), .deflate = true, .error = &e));
	ck_assert_msg(strstr(e.message, "deflate is for .npz"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_read("", .error = &e) && e.status == EBB_INVALID);
	ebb_archive_free(a);
}
END_TEST

START_TEST(adding_unwritable_values_is_refused)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(3), 1);
	int64_t big = 256;

	ck_assert(!ebb_archive_add(a, "x", x, EBB_FILE_I32, &e) && e.status == EBB_BAD_DTYPE);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_add(a, NULL, x, EBB_FILE_DEFAULT, &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_add(a, "x", NULL, EBB_FILE_DEFAULT, &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_add_values(a, "x", EBB_FILE_OTHER, EBB_SHAPE(1), &big, &e));
	e = (ebb_error){0};
	ck_assert(!ebb_archive_add(a, "\xc0\x80", x, EBB_FILE_DEFAULT, &e));
	ck_assert_msg(strstr(e.message, "UTF-8"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_add(a, "__metadata__", x, EBB_FILE_DEFAULT, &e) &&
		  e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(ebb_archive_add(a, "x", x, EBB_FILE_DEFAULT, &e));
	ck_assert(!ebb_archive_add(a, "x", x, EBB_FILE_DEFAULT, &e));
	ck_assert_msg(strstr(e.message, "is repeated"), "%s", e.message);
	ck_assert_int_eq(ebb_archive_count(a), 1);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

START_TEST(a_shape_of_too_many_axes_is_refused)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	float x = 0;
	ebb_shape shape = EBB_SHAPE(1, 1, 1, 1, 1, 1, 1, 1);

	shape.ndim = 100000;
	ck_assert(!ebb_archive_add_values(a, "x", EBB_FILE_F32, shape, &x, &e));
	ck_assert_msg(e.status == EBB_INVALID && strstr(e.message, "100000 axes"), "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

/* An archive of another format may contain an entry whose name safetensors reserves for
 * metadata. */
START_TEST(an_entry_with_the_reserved_name_of_metadata_is_refused)
{
	static const char placeholder[] = "__metadataXX";
	const char *path = temp_path("x.npz");
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	char bytes[2000], *at;
	FILE *f;
	size_t n;

	ck_assert(ebb_archive_add_f64(a, placeholder, 1, &e) &&
		  ebb_archive_write(a, path, .error = &e));
	ebb_archive_free(a);
	f = fopen(path, "rb");
	n = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	for (at = bytes; (at = memmem(at, n - (size_t)(at - bytes), placeholder, 12)) != NULL;)
		memcpy(at, "__metadata__", 12);
	write_temp("y.npz", bytes, n);
	a = ebb_archive_read(temp_path("y.npz"), .error = &e);
	ck_assert_msg(a && ebb_archive_find(a, "__metadata__") == 0, "%s", e.message);
	ck_assert(!ebb_archive_write(a, temp_path("z.safetensors"), .error = &e));
	ck_assert_msg(strstr(e.message, "__metadata__"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert_msg(ebb_archive_write(a, temp_path("z.npz"), .error = &e), "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

START_TEST(integers_that_do_not_fit_fail_the_write_and_leave_no_file)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	ebb_tensor *x = ebb_tensor_new(EBB_I64, EBB_SHAPE(2), false, &e);
	const char *path = temp_path("narrow.safetensors");

	((int64_t *)ebb_data_mutable(x))[1] = 128;
	ck_assert(ebb_archive_add(a, "x", x, EBB_FILE_I8, &e));
	ck_assert(!ebb_archive_write(a, path, .error = &e));
	ck_assert_msg(strstr(e.message, "element 1 does not fit into I8"), "%s", e.message);
	ck_assert_int_ne(access(path, F_OK), 0);
	ebb_tensor_free(x);
	ebb_archive_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-safetensors");
	TCase *c = tcase_create("safetensors");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, every_type_is_read_back_bit_for_bit);
	tcase_add_test(c, tensors_in_any_memory_order_are_written_row_major);
	tcase_add_test(c, names_metadata_scalars_and_empty_tensors_are_read_back);
	tcase_add_test(c, unaligned_values_are_read);
	tcase_add_test(c, values_larger_than_the_buffer_are_read);
	tcase_add_test(c, an_archive_that_was_read_is_written_again);
	tcase_add_loop_test(c, a_header_that_does_not_describe_its_values_is_refused, 0,
		sizeof refusals / sizeof *refusals);
	tcase_add_test(c, a_length_beyond_the_file_is_refused);
	tcase_add_test(c, every_truncated_file_is_refused);
	tcase_add_test(c, directories_and_fifos_are_refused);
	tcase_add_test(c, a_file_that_shrinks_is_an_error_not_a_signal);
	tcase_add_test(c, types_that_ebb_does_not_read_are_listed_and_refused);
	tcase_add_test(c, limits_of_headers_and_values_are_kept);
	tcase_add_test(c, memory_for_a_header_is_bounded_by_its_size);
	tcase_add_test(c, every_allocation_may_fail);
	tcase_add_test(c, options_of_another_format_are_refused);
	tcase_add_test(c, adding_unwritable_values_is_refused);
	tcase_add_test(c, a_shape_of_too_many_axes_is_refused);
	tcase_add_test(c, an_entry_with_the_reserved_name_of_metadata_is_refused);
	tcase_add_test(c, integers_that_do_not_fit_fail_the_write_and_leave_no_file);
	suite_add_tcase(s, c);
	return run_suite(s);
}
