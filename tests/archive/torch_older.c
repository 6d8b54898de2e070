/* Files of torch.save before PyTorch 1.6, built by hand; damage to both formats. */
#include "torch_files.h"

#include <stdlib.h>
#include <string.h>

/* ---- The older format ----------------------------------------------------------------------- */

START_TEST(the_older_format_is_read)
{
	bytes b;
	ebb_archive *a;

	older_of(&b, &old);
	a = must_read(write_bytes(&b));
	ck_assert_int_eq(ebb_archive_count(a), 1);
	must_hold(a, "x", 6, (double[]){1, 2, 3, 4, 5, 6});
	ebb_archive_free(a);
}
END_TEST

/* Two storages, the second of bytes, listed in the order of their keys' text; one tensor occurs
 * twice. */
START_TEST(storages_of_the_older_format_are_found_by_their_keys)
{
	bytes b = {.n = 0};
	tensor second = {.type = "ByteStorage",
		.key = "9",
		.count = 3,
		.ndim = 1,
		.size = {3},
		.stride = {1},
		.older = true};
	ebb_archive *a;

	add_beginning(&b);
	ADD(&b, "\x80\2](");
	add_tensor(&b, &second);
	add_tensor(&b, &old);
	add_tensor(&b, &second);
	ADD(&b, "e.");
	ADD(&b, "\x80\2](");
	add_text(&b, "77");
	add_text(&b, "9");
	ADD(&b, "e.");
	add_number(&b, 6, 8);
	add_floats(&b, 6, false);
	add_number(&b, 3, 8);
	ADD(&b, "\1\2\3");
	a = must_read(write_bytes(&b));
	must_hold(a, "0", 3, (double[]){1, 2, 3});
	must_hold(a, "1", 6, (double[]){1, 2, 3, 4, 5, 6});
	must_hold(a, "2", 3, (double[]){1, 2, 3});
	ebb_archive_free(a);
}
END_TEST

/* (key, offset, elements): a part of a storage as a separate storage. */
START_TEST(views_of_storages_are_read)
{
	tensor x = {.type = "FloatStorage",
		.key = "77",
		.count = 6,
		.ndim = 1,
		.size = {3},
		.stride = {1},
		.older = true};
	bytes b;
	ebb_archive *a;

	for (x.view = 3; x.view <= 4; x.view++) {
		older_of(&b, &x);
		a = must_read(write_bytes(&b));
		must_hold(a, "x", 3, (double[]){3, 4, 5});
		ebb_archive_free(a);
	}
	x.view = 2;
	older_of(&b, &x);
	must_refuse(write_bytes(&b), "lies beyond the end of its storage");
	x.view = 5;
	older_of(&b, &x);
	must_refuse(write_bytes(&b), "is a view beyond its storage");
	x.view = INT64_MAX;
	older_of(&b, &x);
	must_refuse(write_bytes(&b), "is a view beyond its storage");
}
END_TEST

START_TEST(invalid_files_of_the_older_format_are_refused)
{
	bytes b;
	uint8_t tar[1024] = {0};

	older_of(&b, &old);
	b.at[5] ^= 1;
	must_refuse(write_bytes(&b), "it does not begin with PyTorch's magic number");

	b.n = 0;
	ADD(&b, "\x80\2}.");
	must_refuse(write_bytes(&b), "a pickle that torch.save did not write");

	older_of(&b, &old);
	b.at[18] = 0xea;
	must_refuse(write_bytes(&b), "a version of the format that is not 1001");

	b.n = 0;
	add_beginning(&b);
	b.n -= 25;
	ADD(&b, "\x80\2].");
	must_refuse(write_bytes(&b), "no description of the system");

	older_of(&b, &old);
	ADD(&b, "x");
	must_refuse(write_bytes(&b), "bytes after the last storage");

	b.n = 0;
	add_beginning(&b);
	add_one(&b, &old);
	add_keys(&b, NULL);
	must_refuse(write_bytes(&b), "lies in storage \"77\", which the file does not contain");

	b.n = 0;
	add_beginning(&b);
	add_one(&b, &old);
	add_keys(&b, "78");
	must_refuse(write_bytes(&b), "a storage is listed that no tensor uses");

	b.n = 0;
	add_beginning(&b);
	add_one(&b, &old);
	ADD(&b, "}.");
	must_refuse(write_bytes(&b), "no list of storages");

	b.n = 0;
	add_beginning(&b);
	add_one(&b, &old);
	ADD(&b, "](U\00277U\00277e.");
	add_number(&b, 6, 8);
	add_floats(&b, 6, false);
	must_refuse(write_bytes(&b), "storage \"77\" is listed twice");

	b.n = 0;
	add_beginning(&b);
	add_one(&b, &old);
	add_keys(&b, "77");
	add_number(&b, 5, 8);
	add_floats(&b, 6, false);
	must_refuse(write_bytes(&b), "has another number of elements than its tensors say");

	memcpy(tar + 257, "ustar", 5);
	must_refuse(write_temp("file.pt", tar, sizeof tar), "a tar file, as PyTorch 0.1 wrote");
}
END_TEST

START_TEST(a_storage_with_two_sizes_is_refused)
{
	bytes b = {.n = 0};
	tensor second = old;

	second.type = "DoubleStorage";
	add_beginning(&b);
	ADD(&b, "\x80\2](");
	add_tensor(&b, &old);
	add_tensor(&b, &second);
	ADD(&b, "e.");
	add_keys(&b, "77");
	add_number(&b, 6, 8);
	add_floats(&b, 12, false);
	must_refuse(write_bytes(&b), "storage \"77\" is used with different sizes");
}
END_TEST

START_TEST(a_count_that_overflows_is_refused)
{
	bytes b = {.n = 0};
	tensor x = old;

	x.count = INT64_MAX;
	add_beginning(&b);
	add_one(&b, &x);
	add_keys(&b, "77");
	add_number(&b, INT64_MAX, 8);
	add_floats(&b, 6, false);
	must_refuse(write_bytes(&b), "storage \"77\" is truncated");
}
END_TEST

/* ---- Damage --------------------------------------------------------------------------------- */

START_TEST(a_truncated_file_is_refused)
{
	bytes pickle = {.n = 0}, storage = {.n = 0};
	static uint8_t whole[ROOM];
	size_t n;
	FILE *f;

	for (int older = 0; older < 2; older++) {
		if (older) {
			static bytes b;

			older_of(&b, &old);
			n = b.n;
			memcpy(whole, b.at, n);
		} else {
			add_one(&pickle, &six);
			add_floats(&storage, 6, false);
			f = fopen(zip_of(&pickle, storage.at, storage.n), "rb");
			ck_assert_ptr_nonnull(f);
			n = fread(whole, 1, ROOM, f);
			fclose(f);
		}
		for (size_t k = 0; k < n; k++)
			must_refuse(write_temp("file.pt", whole, k), "");
	}
}
END_TEST

/* Each byte of a file in the older format is replaced by a few others: the file is read completely,
 * or refused. */
START_TEST(a_damaged_file_is_read_or_refused)
{
	static bytes b;
	static const uint8_t changes[] = {0x01, 0x80, 0xff, 0x28};

	older_of(&b, &old);
	for (size_t i = 0; i < b.n; i++) {
		for (size_t k = 0; k < sizeof changes; k++) {
			ebb_archive *a;

			b.at[i] ^= changes[k];
			a = read_file(write_bytes(&b));
			ck_assert_int_eq(a != NULL, e.status == EBB_OK);
			for (int64_t n = 0; n < ebb_archive_count(a); n++)
				ebb_tensor_free(ebb_archive_tensor(
					a, ebb_archive_name_at(a, n), EBB_F64, NULL));
			ebb_archive_free(a);
			b.at[i] ^= changes[k];
		}
	}
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	counting_allocator counts;
	bytes pickle = {.n = 0}, storage = {.n = 0};
	bytes b;
	const char *path;

	add_one(&pickle, &six);
	add_floats(&storage, 6, false);
	for (int older = 0; older < 2; older++) {
		bool done = false;

		older_of(&b, &old);
		path = older ? write_bytes(&b) : zip_of(&pickle, storage.at, storage.n);
		for (int64_t at = 0; !done; at++) {
			ebb_archive *a;

			counting_allocator_install(&counts);
			counts.fail_at = at;
			a = read_file(path);
			done = a != NULL;
			ck_assert_msg(done || e.status == EBB_NO_MEMORY, "%s", e.message);
			ebb_archive_free(a);
			ck_assert_int_eq(counts.live, 0);
			ck_assert_int_eq(counts.wrong, 0);
			counting_allocator_remove();
			ck_assert_int_lt(at, 200);
		}
	}
}
END_TEST

START_TEST(a_pickle_beyond_the_limit_of_headers_is_refused)
{
	bytes pickle = {.n = 0}, storage = {.n = 0};
	bytes b;
	const char *path;

	add_one(&pickle, &six);
	add_floats(&storage, 6, false);
	older_of(&b, &old);
	for (int older = 0; older < 2; older++) {
		path = older ? write_bytes(&b) : zip_of(&pickle, storage.at, storage.n);
		e = (ebb_error){0};
		ck_assert_ptr_null(
			ebb_archive_read(path, .most_header = older ? 100 : 300, .error = &e));
		ck_assert_int_eq(e.status, EBB_BAD_FILE);
		ck_assert_msg(strstr(e.message, "bytes") != NULL, "%s", e.message);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-torch-older");
	TCase *t = tcase_create("torch");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, make_temp_dir, remove_temp_dir);
	tcase_add_test(t, the_older_format_is_read);
	tcase_add_test(t, storages_of_the_older_format_are_found_by_their_keys);
	tcase_add_test(t, views_of_storages_are_read);
	tcase_add_test(t, invalid_files_of_the_older_format_are_refused);
	tcase_add_test(t, a_storage_with_two_sizes_is_refused);
	tcase_add_test(t, a_count_that_overflows_is_refused);
	tcase_add_test(t, a_truncated_file_is_refused);
	tcase_add_test(t, a_damaged_file_is_read_or_refused);
	tcase_add_test(t, every_allocation_may_fail);
	tcase_add_test(t, a_pickle_beyond_the_limit_of_headers_is_refused);
	suite_add_tcase(s, t);
	return run_suite(s);
}
