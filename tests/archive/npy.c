/* .npy files: the spellings of headers that NumPy accepts, and error messages for all others. */
#include "archive/numpy/npy.h"
#include "tests/archive/opening.h"

#include <stdlib.h>
#include <string.h>

/* ---- Files ---------------------------------------------------------------------------------- */

/* Writes a file of this version and dictionary, with values as bytes 0, 1, 2, .. */
static const char *write_version(int version, const char *text, size_t n, size_t values)
{
	size_t at = version == 1 ? 10 : 12;
	unsigned char *bytes = calloc(1, at + n + values + 1);
	const char *path;

	memcpy(bytes, "\x93NUMPY", 6);
	bytes[6] = (unsigned char)version;
	for (int i = 0; i < (version == 1 ? 2 : 4); i++)
		bytes[8 + i] = (unsigned char)(n >> 8 * i);
	memcpy(bytes + at, text, n);
	for (size_t i = 0; i < values; i++)
		bytes[at + n + i] = (unsigned char)i;
	path = write_temp("x.npy", bytes, at + n + values);
	free(bytes);
	return path;
}

static const char *write_text(const char *text, size_t values)
{
	return write_version(1, text, strlen(text), values);
}

static ebb_archive *open_one(const char *path)
{
	ebb_archive *a = open_ok(path);

	ck_assert_int_eq(ebb_archive_count(a), 1);
	ck_assert_str_eq(ebb_archive_name_at(a, 0), "");
	return a;
}

/* ---- Headers -------------------------------------------------------------------------------- */

static const struct accepted {
	const char *text, *shape;
	ebb_file_dtype dtype;
} accepted[] = {
	{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }       \n", "[2,3]",
		EBB_FILE_F32},
	{"{'shape':(2,3),'fortran_order':False,'descr':'<f4'}", "[2,3]", EBB_FILE_F32},
	{"  \t{ \"descr\" : \"<f4\" ,\n\"fortran_order\": True\t, 'shape' : ( 2 , 3 , ) } ",
		"[2,3]", EBB_FILE_F32},
	{"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n", "[2,3]", EBB_FILE_F32},
	{"{u'descr': u'<f4', u'fortran_order': False, u'shape': (6L,)}", "[6]", EBB_FILE_F32},
	{"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "[]", EBB_FILE_F32},
	{"{'descr': '<f4', 'fortran_order': False, 'shape': ( ), }", "[]", EBB_FILE_F32},
	{"{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", "[0]", EBB_FILE_F32},
	{"{'descr': '<f4', 'fortran_order': True, 'shape': (1000000000000,0,1000000000000), }",
		"[1000000000000,0,1000000000000]", EBB_FILE_F32},
	{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,2,3), }",
		"[1,1,1,1,1,1,2,3]", EBB_FILE_F32},
	{"{'descr': 'f8', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_F64},
	{"{'descr': '=f8', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_F64},
	{"{'descr': '|f8', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_F64},
	{"{'descr': '>f2', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_F16},
	{"{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_BOOL},
	{"{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_U8},
	{"{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_I8},
	{"{'descr': '<u2', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_U16},
	{"{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_I16},
	{"{'descr': '<u4', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_U32},
	{"{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_I32},
	{"{'descr': '<u8', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_U64},
	{"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", "[3]", EBB_FILE_I64},
};

START_TEST(a_header_is_read_however_it_is_spelt)
{
	const struct accepted *x = &accepted[_i];

	for (int version = 1; version <= 3; version++) {
		ebb_archive *a = open_one(write_version(version, x->text, strlen(x->text), 24));
		ebb_shape shape = ebb_archive_shape_at(a, 0);
		char text[120];

		ck_assert_int_eq(ebb_archive_dtype_at(a, 0), x->dtype);
		ck_assert_str_eq(ebb_shape_text(shape, text, sizeof text), x->shape);
		ebb_archive_free(a);
	}
}
END_TEST

static const struct other {
	const char *descr, *words;
} others[] = {
	{"'<c8'", "complex numbers (<c8)"},
	{"'<f16'", "floats of another size (<f16)"},
	{"'|O'", "Python objects, whose pickle is not executed (|O)"},
	{"'|S3'", "strings of bytes (|S3)"},
	{"'<U3'", "strings (<U3)"},
	{"'<V2'", "bfloat16 (<V2)"},
	{"'|V2'", "bfloat16 (|V2)"},
	{"'<M8[ns]'", "dates (<M8[ns])"},
	{"'<m8[ns]'", "spans of time (<m8[ns])"},
	{"''", "unknown ()"},
	{"'<'", "unknown (<)"},
	{"'<f42'", "floats of another size (<f42)"},
	{"'\xff'", "unknown (?)"},
	{"[('a', '<f4'), ('b', '<i4', (2,))]", "records ([('a', '<f4'), ('b', '<i4', (2,))])"},
	{"('<f4', (3,))", "records"},
	{"{'names': ['a'], 'formats': ['<f4'], 'a}': (1, [2, {3}])}", "records"},
};

START_TEST(unreadable_types_are_listed_by_name)
{
	char text[200];
	ebb_archive *a;
	ebb_error e = {0};

	snprintf(text, sizeof text, "{'descr': %s, 'fortran_order': False, 'shape': (2,), }",
		others[_i].descr);
	a = open_one(write_text(text, 32));
	ck_assert_int_eq(ebb_archive_dtype_at(a, 0), EBB_FILE_OTHER);
	ck_assert_int_eq(ebb_archive_shape_at(a, 0).dims[0], 2);
	ck_assert(!ebb_archive_tensor(a, "", EBB_DEFAULT, &e));
	ck_assert_msg(
		e.status == EBB_BAD_DTYPE && strstr(e.message, others[_i].words), "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

#define D "'descr': '<f4', "
#define F "'fortran_order': False, "
#define S "'shape': (2,), "

static const struct refused {
	const char *text;
	size_t values;
	const char *words;
} refusals[] = {
	{"", 8, "a dictionary is expected"},
	{"[" D F S "]", 8, "a dictionary is expected"},
	{"{", 8, "a string is expected"},
	{"{}", 8, "one of descr, fortran_order and shape is missing"},
	{"{" D F "}", 8, "is missing"},
	{"{" D S "}", 8, "is missing"},
	{"{" F S "}", 8, "is missing"},
	{"{" D D F S "}", 8, "a key is repeated"},
	{"{" D F S F "}", 8, "a key is repeated"},
	{"{" D F S "'x': 1}", 8, "a key other than"},
	{"{" D F S, 8, "a string is expected"},
	{"{" D F S "} x", 8, "there is text after the dictionary"},
	{"{" D F S "}}", 8, "there is text after the dictionary"},
	{"{, " D F S "}", 8, "a string is expected"},
	{"{" D ", " F S "}", 8, "a string is expected"},
	{"{" D "'fortran_order': False 'shape': (2,)}", 8, "',' or '}' is expected"},
	{"{" D "'fortran_order' False, " S "}", 8, "':' is expected"},
	{"{" D "'fortran_order': 0, " S "}", 8, "True or False is expected"},
	{"{" D "'fortran_order': false, " S "}", 8, "True or False is expected"},
	{"{" D "'fortran_order': Falsehood, " S "}", 8, "',' or '}' is expected"},
	{"{" D F "'shape': (2)}", 8, "a tuple of one size has a ','"},
	{"{" D F "'shape': 2}", 8, "a tuple of sizes is expected"},
	{"{" D F "'shape': [2]}", 8, "a tuple of sizes is expected"},
	{"{" D F "'shape': (2,,)}", 8, "a size is expected"},
	{"{" D F "'shape': (,)}", 8, "a size is expected"},
	{"{" D F "'shape': (-2,)}", 8, "a size is expected"},
	{"{" D F "'shape': (+2,)}", 8, "a size is expected"},
	{"{" D F "'shape': (2.0,)}", 8, "',' or ')' is expected"},
	{"{" D F "'shape': (02,)}", 8, "a size is expected"},
	{"{" D F "'shape': (0x2,)}", 8, "',' or ')' is expected"},
	{"{" D F "'shape': (2LL,)}", 8, "',' or ')' is expected"},
	{"{" D F "'shape': (True,)}", 8, "a size is expected"},
	{"{" D F "'shape': (None,)}", 8, "a size is expected"},
	{"{" D F "'shape': ('2',)}", 8, "a size is expected"},
	{"{" D F "'shape': (2 3)}", 8, "',' or ')' is expected"},
	{"{" D F "'shape': (2, 3", 8, "',' or ')' is expected"},
	{"{" D F "'shape': (1,1,1,1,1,1,1,1,2)}", 8, "more than 8 axes"},
	{"{" D F "'shape': (9223372036854775808,)}", 8, "a size is too large"},
	{"{" D F "'shape': (99999999999999999999999999999,)}", 8, "a size is too large"},
	{"{" D F "'shape': (9223372036854775807,)}", 8, "overflows"},
	{"{" D F "'shape': (4294967296, 4294967296, 4)}", 8, "overflows"},
	{"{" D "'fortran_order': True, 'shape': (4294967296, 4294967296, 4)}", 8, "overflows"},
	{"{" D F "'shape': (1099511627776,)}", 8,
		"declares 4398046511104 bytes of values, and 8 follow"},
	{"{" D F "'shape': (3,)}", 8, "truncated: the header declares 12 bytes"},
	{"{'descr': '<f4, " F S "}", 8, "'"},
	{"{'descr': '<f4\\x', " F S "}", 8, "escapes"},
	{"{'descr': , " F S "}", 8, "a type is expected"},
	{"{'descr': [('a', '<f4'], " F S "}", 8, "brackets do not match"},
	{"{'descr': ), " F S "}", 8, "brackets do not match"},
	{"{'descr': [('a', '<f4'), " F S "}", 8, "brackets do not match"},
	{"{'descr': [('a', '<f4')", 8, "the dictionary does not end"},
	{"{'descr': ['a", 8, "a string does not end"},
	{"{'descr': uint8, " F S "}", 8, "a string is expected"},
	{"{descr: '<f4', " F S "}", 8, "a string is expected"},
	{"{'descr\\x00': '<f4', " F S "}", 8, "escapes"},
	{"{'Descr': '<f4', " F S "}", 8, "a key other than"},
	{"{'descr': ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))",
		8, "nest more than 64 deep"},
};

START_TEST(an_invalid_dictionary_is_refused)
{
	expect_refused(write_text(refusals[_i].text, refusals[_i].values), refusals[_i].words);
}
END_TEST

START_TEST(magic_versions_and_lengths_are_checked)
{
	const char *text = "{" D F S "}";
	ebb_error e = {0};

	expect_refused(write_version(4, text, strlen(text), 8), "version 4.0");
	expect_refused(write_version(0, text, strlen(text), 8), "version 0.0");
	expect_refused(write_temp("x.npy", "\x93NUMPY\1\1\2\0{}xxx", 15), "version 1.1");
	expect_refused(write_temp("x.npy", "\x93NUMPY\1\0", 8), "too short");
	expect_refused(write_temp("x.npy", "\x93NUMPY\1\0\xff\xff{}", 12),
		"a header of 65535 bytes, and 2 are left");
	expect_refused(write_temp("x.npy", "\x93NUMPY\2\0\xff\xff\xff\xff", 12),
		"a header of 4294967295 bytes, and 0 are left");
	ck_assert(!ebb_archive_read(write_text(text, 8), .most_header = 20, .error = &e));
	ck_assert_msg(strstr(e.message, "at most 20 bytes"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_read(write_text(text, 8), .most_bytes = 7, .error = &e));
	ck_assert_msg(strstr(e.message, "more than the 7 bytes"), "%s", e.message);
}
END_TEST

START_TEST(every_truncated_file_is_refused)
{
	const char *text = "{" D F S "}";
	size_t size = 10 + strlen(text) + 8;
	char bytes[200] = "\x93NUMPY\1";

	bytes[8] = (char)strlen(text);
	memcpy(bytes + 10, text, strlen(text));
	for (size_t n = 0; n < size; n++) {
		ebb_error e = {0};

		ck_assert_msg(!ebb_archive_read(write_temp("x.npy", bytes, n), .error = &e),
			"%zu bytes were accepted", n);
		ck_assert_int_eq(e.status, EBB_BAD_FILE);
	}
}
END_TEST

/* ---- Values --------------------------------------------------------------------------------- */

START_TEST(byte_order_and_fortran_order_are_converted)
{
	static const char *const texts[] = {
		"{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)}",
		"{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3)}",
		"{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3)}",
		"{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3)}",
	};

	for (int k = 0; k < 4; k++) {
		/* Three more bytes after the values are ignored. */
		ebb_archive *a = open_one(write_text(texts[k], 12 + 3));
		ebb_error e = {0};
		ebb_tensor *x = ebb_archive_tensor(a, "", EBB_I64, &e);

		ck_assert_msg(x, "%s", e.message);
		for (int i = 0; i < 6; i++) {
			int place = k < 2 ? i : i / 3 + 2 * (i % 3);
			int low = 2 * place + k % 2, high = 2 * place + 1 - k % 2;

			ck_assert_int_eq((int)ebb_at(x, i), high << 8 | low);
		}
		ebb_tensor_free(x);
		ebb_archive_free(a);
	}
}
END_TEST

static const ebb_shape shapes[] = {
	{0, {0}}, {1, {0}}, {1, {7}}, {2, {3, 4}}, {3, {2, 0, 5}}, {8, {2, 1, 2, 1, 2, 1, 2, 1}}};

START_TEST(every_type_and_shape_is_read_back)
{
	unsigned char values[128], back[128];
	const char *path = temp_path("x.npy");

	for (size_t i = 0; i < sizeof values; i++)
		values[i] = (unsigned char)(i * 37);
	for (ebb_file_dtype d = EBB_FILE_BOOL; d < EBB_FILE_OTHER; d++)
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
			ebb_archive *a = ebb_archive_new();
			ebb_error e = {0};
			bool has = d != EBB_FILE_BF16 && d != EBB_FILE_F8_E4M3 &&
			           d != EBB_FILE_F8_E5M2;

			ck_assert(ebb_archive_add_values(a, "name", d, shapes[k], values, &e));
			ck_assert_msg(
				ebb_archive_write(a, path, .error = &e) == has, "%s", e.message);
			if (!has)
				ck_assert_msg(e.status == EBB_BAD_DTYPE &&
						      strstr(e.message, "NumPy does not have"),
					"%s", e.message);
			ebb_archive_free(a);
			if (!has)
				continue;
			a = open_one(path);
			ck_assert_int_eq(ebb_archive_dtype_at(a, 0), d);
			ck_assert(ebb_same_dims(ebb_archive_shape_at(a, 0), shapes[k]));
			ck_assert_int_eq(a->entry[0].offset % 64, 0);
			ck_assert_msg(
				ebb_archived_values(a, &a->entry[0], d, back, &e), "%s", e.message);
			ck_assert_mem_eq(back, values, (size_t)ebb_archived_bytes(&a->entry[0]));
			ebb_archive_free(a);
		}
}
END_TEST

START_TEST(the_header_equals_numpys)
{
	static const char expected[] =
		"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
		"                                                          \n";
	char bytes[EBB_NPY_HEADER];

	ck_assert_uint_eq(
		ebb_npy_write_header(EBB_FILE_F32, EBB_SHAPE(2, 3), bytes), sizeof expected - 1);
	ck_assert_mem_eq(bytes, expected, sizeof expected - 1);
	ebb_npy_write_header(EBB_FILE_U8, EBB_SHAPE(5), bytes);
	ck_assert_ptr_nonnull(strstr(bytes + 10, "'|u1'"));
	ck_assert_ptr_nonnull(strstr(bytes + 10, "(5,)"));
	ebb_npy_write_header(EBB_FILE_I64, EBB_SCALAR_SHAPE, bytes);
	ck_assert_ptr_nonnull(strstr(bytes + 10, "()"));
	/* The longest possible header. */
	ck_assert_uint_le(
		ebb_npy_write_header(EBB_FILE_F64,
			(ebb_shape){8, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
					       INT64_MAX, INT64_MAX, INT64_MAX}},
			bytes),
		EBB_NPY_HEADER);
}
END_TEST

START_TEST(a_file_holds_one_tensor)
{
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};
	const char *path = temp_path("x.npy");

	ck_assert(!ebb_archive_write(a, path, .error = &e));
	ck_assert_msg(strstr(e.message, "one tensor, not 0"), "%s", e.message);
	ebb_archive_add_i64(a, "a", 1, NULL);
	ebb_archive_add_i64(a, "b", 2, NULL);
	e = (ebb_error){0};
	ck_assert(!ebb_archive_write(a, path, .error = &e) && e.status == EBB_INVALID);
	ck_assert_msg(strstr(e.message, "one tensor, not 2"), "%s", e.message);
	ebb_archive_free(a);
}
END_TEST

START_TEST(memory_for_a_header_is_bounded_by_its_size)
{
	enum { N = 1000000 };
	char *text = malloc(N + 100);
	counting_allocator counter;
	const char *path;
	ebb_archive *a;
	ebb_error e = {0};
	size_t n;

	n = (size_t)sprintf(text, "{'descr': [");
	while (n < N)
		n += (size_t)sprintf(text + n, "('a','f4'),");
	n += (size_t)sprintf(text + n, "], " F S "}");
	path = write_version(2, text, n, 8);
	counting_allocator_install(&counter);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a, "%s", e.message);
	ck_assert_int_le(counter.bytes, 1 << 20);
	ebb_archive_free(a);
	counting_allocator_remove();
	ck_assert_int_eq(counter.live, 0);
	free(text);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	char path[100];
	int64_t k = 0;

	snprintf(path, sizeof path, "%s", write_text("{" D F S "}", 8));
	for (bool through = false; !through; k++) {
		counting_allocator counter;
		ebb_error e = {0};
		ebb_archive *a;
		ebb_tensor *x = NULL;

		counting_allocator_install(&counter);
		counter.fail_at = k;
		a = ebb_archive_read(path, .error = &e);
		if (a)
			x = ebb_archive_tensor(a, "", EBB_F64, &e);
		through = counter.refused == 0;
		ck_assert_msg(through == (x != NULL), "allocation %d: %s", (int)k, e.message);
		ck_assert(through || e.status == EBB_NO_MEMORY);
		ebb_tensor_free(x);
		ebb_archive_free(a);
		counting_allocator_remove();
		ck_assert_int_eq(counter.live, 0);
	}
	ck_assert_int_gt(k, 6);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-npy");
	TCase *c = tcase_create("npy");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(
		c, a_header_is_read_however_it_is_spelt, 0, sizeof accepted / sizeof *accepted);
	tcase_add_loop_test(
		c, unreadable_types_are_listed_by_name, 0, sizeof others / sizeof *others);
	tcase_add_loop_test(
		c, an_invalid_dictionary_is_refused, 0, sizeof refusals / sizeof *refusals);
	tcase_add_test(c, magic_versions_and_lengths_are_checked);
	tcase_add_test(c, every_truncated_file_is_refused);
	tcase_add_test(c, byte_order_and_fortran_order_are_converted);
	tcase_add_test(c, every_type_and_shape_is_read_back);
	tcase_add_test(c, the_header_equals_numpys);
	tcase_add_test(c, a_file_holds_one_tensor);
	tcase_add_test(c, memory_for_a_header_is_bounded_by_its_size);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
