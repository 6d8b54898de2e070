/* Zip files of torch.save, built by hand: valid, invalid and malicious. */
#include "torch_files.h"

#include <stdlib.h>
#include <string.h>

/* ---- Zip files ------------------------------------------------------------------------------ */

START_TEST(a_single_tensor_has_an_empty_name)
{
	bytes pickle = {.n = 0}, storage = {.n = 0};
	ebb_archive *a;

	ADD(&pickle, "\x80\2");
	add_tensor(&pickle, &six);
	ADD(&pickle, ".");
	add_floats(&storage, 6, false);
	a = must_read(zip_of(&pickle, storage.at, storage.n));
	ck_assert_int_eq(ebb_archive_count(a), 1);
	ck_assert_str_eq(ebb_archive_name_at(a, 0), "");
	must_hold(a, "", 6, (double[]){1, 2, 3, 4, 5, 6});
	ebb_archive_free(a);
}
END_TEST

START_TEST(views_are_read_at_their_offset_and_strides)
{
	static const struct {
		int64_t offset;
		int ndim;
		int64_t size[3], stride[3];
		int n;
		double values[8];
	} cases[] = {
		{0, 2, {3, 2}, {1, 3}, 6, {1, 4, 2, 5, 3, 6}},
		{2, 1, {2}, {3}, 2, {3, 6}},
		{5, 0, {0}, {0}, 1, {6}},
		{1, 2, {2, 4}, {4, 0}, 8, {2, 2, 2, 2, 6, 6, 6, 6}},
		{0, 2, {2, 2}, {1, 1}, 4, {1, 2, 2, 3}},
		{0, 2, {0, 5}, {5, 1}, 0, {0}},
		{100, 2, {5, 0}, {1, 1}, 0, {0}},
		{6, 1, {0}, {1}, 0, {0}},
		{0, 3, {1, 1, 6}, {99, 99, 1}, 6, {1, 2, 3, 4, 5, 6}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bytes pickle = {.n = 0}, storage = {.n = 0};
		tensor x = {.type = "FloatStorage",
			.key = "0",
			.count = 6,
			.offset = cases[i].offset,
			.ndim = cases[i].ndim};
		ebb_archive *a;

		memcpy(x.size, cases[i].size, sizeof cases[i].size);
		memcpy(x.stride, cases[i].stride, sizeof cases[i].stride);
		add_one(&pickle, &x);
		add_floats(&storage, 6, false);
		a = must_read(zip_of(&pickle, storage.at, storage.n));
		must_hold(a, "x", cases[i].n, cases[i].values);
		ebb_archive_free(a);
	}
}
END_TEST

START_TEST(views_beyond_their_storage_are_refused)
{
	static const struct {
		tensor x;
		const char *words;
	} cases[] = {
		{{.count = 7, .ndim = 1, .size = {1}, .stride = {1}},
			"says that storage \"0\" has 7 elements of 4 bytes: it has 24"},
		{{.count = INT64_MAX, .ndim = 1, .size = {1}, .stride = {1}}, "it has 24 bytes"},
		{{.count = INT64_MAX / 4 + 1, .ndim = 1, .size = {1}, .stride = {1}},
			"it has 24 bytes"},
		{{.count = 6, .ndim = 1, .size = {7}, .stride = {1}},
			"\"x\" lies beyond the end of its storage"},
		{{.count = 5, .ndim = 1, .size = {6}, .stride = {1}}, "lies beyond"},
		{{.count = 6, .ndim = 1, .size = {3}, .stride = {3}}, "lies beyond"},
		{{.count = 6, .offset = 1, .ndim = 2, .size = {2, 3}, .stride = {3, 1}},
			"lies beyond"},
		{{.count = 6, .offset = 6, .ndim = 0}, "lies beyond"},
		{{.count = 0, .ndim = 0}, "lies beyond"},
		{{.count = 6, .offset = INT64_MAX, .ndim = 1, .size = {2}, .stride = {1}},
			"lies beyond"},
		{{.count = 6, .ndim = 1, .size = {INT64_MAX}, .stride = {INT64_MAX}},
			"lies beyond"},
		{{.count = 6, .ndim = 2, .size = {3, 3}, .stride = {INT64_MAX / 2, INT64_MAX / 2}},
			"lies beyond"},
		{{.count = 6, .offset = -1, .ndim = 0}, "has an offset that is not a number >= 0"},
		{{.count = 6, .ndim = 1, .size = {2}, .stride = {-1}},
			"has a size or stride that is not a number"},
		{{.count = 6, .ndim = 1, .size = {-1}, .stride = {1}},
			"has a size or stride that is not a number"},
		{{.count = 6, .ndim = 9}, "has more than 8 axes"},
		{{.count = 6, .ndim = 1, .size = {1}, .strides = 1},
			"has another number of strides than of sizes"},
		{{.count = 6, .ndim = 2, .size = {INT64_MAX, INT64_MAX}}, "overflows"},
		{{.key = "1", .count = 6, .ndim = 0},
			"lies in storage \"1\", which the file does not contain"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bytes pickle = {.n = 0}, storage = {.n = 0};
		tensor x = cases[i].x;

		x.type = "FloatStorage";
		x.key = x.key ? x.key : "0";
		add_one(&pickle, &x);
		add_floats(&storage, 6, false);
		must_refuse(zip_of(&pickle, storage.at, storage.n), cases[i].words);
	}
}
END_TEST

START_TEST(every_type_has_its_name)
{
	static const struct {
		const char *storage, *dtype; /* of a typed storage, or of _rebuild_tensor_v3 */
		ebb_file_dtype type;
		uint8_t value[8]; /* 2, little-endian */
	} cases[] = {
		{"BoolStorage", NULL, EBB_FILE_BOOL, {1}},
		{"ByteStorage", NULL, EBB_FILE_U8, {2}},
		{"CharStorage", NULL, EBB_FILE_I8, {2}},
		{"ShortStorage", NULL, EBB_FILE_I16, {2}},
		{"IntStorage", NULL, EBB_FILE_I32, {2}},
		{"LongStorage", NULL, EBB_FILE_I64, {2}},
		{"HalfStorage", NULL, EBB_FILE_F16, {0, 0x40}},
		{"BFloat16Storage", NULL, EBB_FILE_BF16, {0, 0x40}},
		{"FloatStorage", NULL, EBB_FILE_F32, {0, 0, 0, 0x40}},
		{"DoubleStorage", NULL, EBB_FILE_F64, {0, 0, 0, 0, 0, 0, 0, 0x40}},
		{NULL, "bool", EBB_FILE_BOOL, {1}},
		{NULL, "uint8", EBB_FILE_U8, {2}},
		{NULL, "int8", EBB_FILE_I8, {2}},
		{NULL, "uint16", EBB_FILE_U16, {2}},
		{NULL, "int16", EBB_FILE_I16, {2}},
		{NULL, "uint32", EBB_FILE_U32, {2}},
		{NULL, "int32", EBB_FILE_I32, {2}},
		{NULL, "uint64", EBB_FILE_U64, {2}},
		{NULL, "int64", EBB_FILE_I64, {2}},
		{NULL, "float8_e4m3fn", EBB_FILE_F8_E4M3, {0x40}},
		{NULL, "float8_e5m2", EBB_FILE_F8_E5M2, {0x40}},
		{NULL, "float16", EBB_FILE_F16, {0, 0x40}},
		{NULL, "bfloat16", EBB_FILE_BF16, {0, 0x40}},
		{NULL, "float32", EBB_FILE_F32, {0, 0, 0, 0x40}},
		{NULL, "float64", EBB_FILE_F64, {0, 0, 0, 0, 0, 0, 0, 0x40}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bytes pickle = {.n = 0};
		int64_t element = (int64_t)ebb_file_dtype_size(cases[i].type);
		tensor x = {.type = cases[i].storage,
			.dtype = cases[i].dtype,
			.key = "0",
			.count = cases[i].dtype ? element : 1,
			.ndim = 1,
			.size = {1},
			.stride = {1}};
		ebb_archive *a;

		add_one(&pickle, &x);
		a = must_read(zip_of(&pickle, cases[i].value, (size_t)element));
		ck_assert_int_eq(ebb_archive_dtype_at(a, 0), cases[i].type);
		must_hold(a, "x", 1, (double[]){cases[i].type == EBB_FILE_BOOL ? 1 : 2});
		ebb_archive_free(a);
	}
}
END_TEST

/* Listed with a shape; reading the values is an error. */
START_TEST(unreadable_tensors_are_listed)
{
	static const tensor cases[] = {
		{.type = "ComplexFloatStorage",
			.count = 6,
			.ndim = 2,
			.size = {2, 3},
			.stride = {3, 1}},
		{.type = "QInt8Storage", .count = 6, .ndim = 2, .size = {2, 3}, .stride = {3, 1}},
		{.dtype = "complex64", .count = 6, .ndim = 2, .size = {2, 3}, .stride = {3, 1}},
		{.dtype = "float8_e5m2fnuz",
			.count = 6,
			.ndim = 2,
			.size = {2, 3},
			.stride = {3, 1}},
		{.type = "FloatStorage",
			.count = 6,
			.ndim = 2,
			.size = {2, 3},
			.stride = {3, 1},
			.negated = true},
	};
	static const char *const names[] = {
		"complex64", "qint8", "complex64", "float8_e5m2fnuz", "negated"};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bytes pickle = {.n = 0};
		tensor x = cases[i];
		ebb_archive *a;

		x.key = "0";
		add_one(&pickle, &x);
		a = must_read(zip_of(&pickle, (char[48]){0}, 48));
		ck_assert_int_eq(ebb_archive_dtype_at(a, 0), EBB_FILE_OTHER);
		ck_assert_int_eq(ebb_archive_shape_at(a, 0).dims[1], 3);
		ck_assert_ptr_null(ebb_archive_tensor(a, "x", EBB_DEFAULT, &e));
		ck_assert_msg(strstr(e.message, names[i]) != NULL, "%s", e.message);
		ebb_archive_free(a);
	}
}
END_TEST

/* 10^12 elements in 4 bytes: no memory is allocated for the list, and reading the values is an
 * error. */
START_TEST(a_hugely_expanded_tensor_is_listed_but_not_read)
{
	bytes pickle = {.n = 0}, storage = {.n = 0};
	tensor x = {.type = "FloatStorage",
		.key = "0",
		.count = 1,
		.ndim = 2,
		.size = {1000000, 1000000}};
	ebb_archive *a;

	add_one(&pickle, &x);
	add_floats(&storage, 1, false);
	a = must_read(zip_of(&pickle, storage.at, storage.n));
	ck_assert_int_eq(ebb_archive_dtype_at(a, 0), EBB_FILE_OTHER);
	ck_assert_ptr_null(ebb_archive_tensor(a, "x", EBB_DEFAULT, &e));
	ck_assert_msg(strstr(e.message, "expanded") != NULL, "%s", e.message);
	ebb_archive_free(a);

	/* The declared size counts. */
	pickle.n = 0;
	x.size[0] = x.size[1] = 1000;
	add_one(&pickle, &x);
	a = must_read(zip_of(&pickle, storage.at, storage.n));
	ck_assert_int_eq(ebb_archive_dtype_at(a, 0), EBB_FILE_F32);
	ebb_archive_free(a);
	e = (ebb_error){0};
	ck_assert_ptr_null(
		ebb_archive_read(temp_path("file.pt"), .most_bytes = 3999999, .error = &e));
	ck_assert_msg(strstr(e.message, "3999999") != NULL, "%s", e.message);
}
END_TEST

START_TEST(big_endian_storages_are_read)
{
	static zipped z;
	bytes pickle = {.n = 0}, storage = {.n = 0};
	ebb_archive *a;

	memset(&z, 0, sizeof z);
	add_one(&pickle, &six);
	add_floats(&storage, 6, true);
	add_member(&z, "a/data.pkl", pickle.at, pickle.n);
	add_member(&z, "a/byteorder", "big", 3);
	add_member(&z, "a/data/0", storage.at, storage.n);
	a = must_read(finish(&z));
	must_hold(a, "x", 6, (double[]){1, 2, 3, 4, 5, 6});
	ebb_archive_free(a);
}
END_TEST

typedef struct member {
	const char *name, *data;
} member;

START_TEST(zip_files_without_tensors_are_refused)
{
	static const struct {
		member members[4];
		const char *words;
	} cases[] = {
		{{{"a/data.pkl", "}."}, {"a/constants.pkl", ")."}}, "TorchScript"},
		{{{"a/b/data.pkl", "}."}}, "without ARCHIVE/data.pkl"},
		{{{"b/x", ""}, {"a/data.pkl", "}."}}, "without ARCHIVE/data.pkl"},
		{{{"data.pkl", "}."}}, "a zip file without a folder"},
		{{{"a/data.pkl", "}."}, {"a/version", "11\n"}},
			"version \"11\" of the format, expected 1 to 10"},
		{{{"a/data.pkl", "}."}, {"a/version", "0"}}, "version \"0\""},
		{{{"a/data.pkl", "}."}, {"a/version", "x"}}, "version \"x\""},
		{{{"a/data.pkl", "}."}, {"a/version", ""}}, "version \"\""},
		{{{"a/data.pkl", "}."}, {"a/version", "999999999999999999"}}, "version \"9999"},
		{{{"a/data.pkl", "}."}, {"a/byteorder", "middle"}}, "byte order \"middle\""},
		{{{"a/data.pkl", "}."}, {"a/byteorder", "littlelittlelittle"}}, "byte order"},
		{{{"a/data.pkl", ""}}, "data.pkl is truncated"},
		{{{"a/data.pkl", "}.x"}}, "has 1 bytes after its end"},
		{{{"a/data.pkl", "cos\nsystem\n)R."}},
			"data.pkl calls os.system: refused, nothing was executed"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		static zipped z;

		memset(&z, 0, sizeof z);
		for (const member *m = cases[i].members; m->name; m++)
			add_member(&z, m->name, m->data, strlen(m->data));
		must_refuse(finish(&z), cases[i].words);
	}
}
END_TEST

/* Members of the same name: programs differ in which of them they read. */
START_TEST(members_of_the_same_name_are_refused)
{
	static const char *const names[] = {"a/data.pkl", "a/data/0", "a/byteorder", "a/version"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		static zipped z;
		ebb_archive *a;

		memset(&z, 0, sizeof z);
		add_member(&z, "a/data.pkl", "}.", 2);
		add_member(&z, "a/data/0", "", 0);
		add_member(&z, "a/byteorder", "little", 6);
		add_member(&z, "a/version", "3", 1);
		add_member(&z, names[i], "3", 1);
		a = read_file(finish(&z));
		ck_assert_ptr_null(a);
		ck_assert_int_eq(e.status, EBB_BAD_FILE);
	}
}
END_TEST

/* ---- Trees ---------------------------------------------------------------------------------- */

START_TEST(nested_dicts_get_names_joined_by_dots)
{
	bytes pickle = {.n = 0}, storage = {.n = 0};
	ebb_archive *a;

	ADD(&pickle, "\x80\2}(");
	add_text(&pickle, "model");
	ADD(&pickle, "}(");
	add_text(&pickle, "conv.weight");
	add_tensor(&pickle, &six);
	ADD(&pickle, "u");
	add_text(&pickle, "state");
	ADD(&pickle, "}(K\7](");
	add_tensor(&pickle, &six);
	ADD(&pickle, "K\x0c");
	add_text(&pickle, "a text");
	ADD(&pickle,
		"N\x88G\x3f\xb9\x99\x99\x99\x99\x99\x9a\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0"
		"ctorch\nfloat16\ncos\nsystem\nU\1\xff");
	ADD(&pickle, "eu");
	add_text(&pickle, "storage");
	add_storage(&pickle, &six);
	ADD(&pickle, "\x89K\1");
	ADD(&pickle, "G\x3f\xe0\0\0\0\0\0\0K\2");
	ADD(&pickle, "u.");
	add_floats(&storage, 6, false);
	a = must_read(zip_of(&pickle, storage.at, storage.n));
	ck_assert_int_eq(ebb_archive_count(a), 3);
	ck_assert_str_eq(ebb_archive_name_at(a, 0), "model.conv.weight");
	ck_assert_str_eq(ebb_archive_name_at(a, 1), "state.7.0");
	must_hold(a, "storage", 6, (double[]){1, 2, 3, 4, 5, 6});
	ck_assert_int_eq(ebb_archive_metadata_count(a), 8);
	must_note(a, "state.7.1", "12");
	must_note(a, "state.7.2", "a text");
	must_note(a, "state.7.4", "true");
	must_note(a, "state.7.5", "0.10000000000000001");
	must_note(a, "state.7.6", "18446744073709551615");
	must_note(a, "state.7.7", "torch.float16");
	must_note(a, "false", "1");
	must_note(a, "0.5", "2");
	ebb_archive_free(a);
}
END_TEST

START_TEST(trees_with_invalid_keys_or_depth_are_refused)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *words;
	} cases[] = {
#define TREE(bytes, words) {bytes, sizeof bytes - 1, words}
		TREE("]q\0h\0a.", "more than 64 levels deep"),
		TREE("}q\0K\1h\0s.", "more than 64 levels deep"),
		TREE("]q\0(h\0h\0e.", "more than 64 levels deep"),
		TREE("})Ns.", "a key in \"\" is neither text nor a number"),
		TREE("}NNs.", "a key in \"\" is neither text nor a number"),
		TREE("}U\1\xffK\1s.", "UTF-8"),
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bytes pickle = {.n = 0};

		add(&pickle, cases[i].bytes, cases[i].n);
		must_refuse(zip_of(&pickle, "", 0), cases[i].words);
	}
}
END_TEST

/* 63 levels of lists, each of which contains the next one many times: over 10^19 values. */
START_TEST(repeated_references_are_limited)
{
	static const char *const leaves[] = {"]", "K\1", "X\1\0\0\0a", "N"};

	for (int i = 0; i < 4; i++) {
		bytes pickle = {.n = 0};

		if (i == 2)
			add_text(&pickle, "text");
		else
			add(&pickle, leaves[i], strlen(leaves[i]));
		for (int level = 0; level < 40; level++) {
			ADD(&pickle, "q\0000(");
			ADD(&pickle, "h\0h\0t");
		}
		ADD(&pickle, ".");
		must_refuse(zip_of(&pickle, "", 0),
			i == 1 || i == 2 ? "" : "refers to the same values too often");
	}
}
END_TEST

START_TEST(repeated_long_keys_are_limited)
{
	bytes pickle = {.n = 0};

	ADD(&pickle, "}X");
	add_number(&pickle, 30000, 4);
	for (int i = 0; i < 30000; i++)
		ADD(&pickle, "k");
	ADD(&pickle, "q\0000(");
	for (int i = 0; i < 8000; i++)
		ADD(&pickle, "h\0N");
	ADD(&pickle, "u.");
	must_refuse(zip_of(&pickle, "", 0), "refers to the same values too often");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-torch");
	TCase *t = tcase_create("torch");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, make_temp_dir, remove_temp_dir);
	tcase_add_test(t, a_single_tensor_has_an_empty_name);
	tcase_add_test(t, views_are_read_at_their_offset_and_strides);
	tcase_add_test(t, views_beyond_their_storage_are_refused);
	tcase_add_test(t, every_type_has_its_name);
	tcase_add_test(t, unreadable_tensors_are_listed);
	tcase_add_test(t, a_hugely_expanded_tensor_is_listed_but_not_read);
	tcase_add_test(t, big_endian_storages_are_read);
	tcase_add_test(t, zip_files_without_tensors_are_refused);
	tcase_add_test(t, members_of_the_same_name_are_refused);
	tcase_add_test(t, nested_dicts_get_names_joined_by_dots);
	tcase_add_test(t, trees_with_invalid_keys_or_depth_are_refused);
	tcase_add_test(t, repeated_references_are_limited);
	tcase_add_test(t, repeated_long_keys_are_limited);
	suite_add_tcase(s, t);
	return run_suite(s);
}
