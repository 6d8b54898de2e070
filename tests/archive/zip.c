/* Zip files: which are accepted, and reading members at any offset. */
#include "tests/archive/zip_opening.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Reading -------------------------------------------------------------------------------- */

START_TEST(members_are_read_at_any_offset)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_forms(bytes);
	opened o = open_made(&z);
	unsigned seed = 7;

	expect_ok(&o);
	ck_assert_int_eq(ebb_zip_count(o.zip), 4);
	ck_assert_str_eq(ebb_zip_name(o.zip, 2), "deflated");
	ck_assert_int_eq(ebb_blob_of_zip(o.zip, 2).size, SIZE);
	ck_assert_int_eq(ebb_blob_of_zip(o.zip, 3).size, 0);
	for (int i = 0; i < 200; i++) {
		int64_t at, n, index;

		seed = seed * 1103515245 + 12345;
		at = (int64_t)(seed >> 8) % SIZE;
		seed = seed * 1103515245 + 12345;
		n = (int64_t)(seed >> 8) % (SIZE - at + 1);
		index = 1 + i % 2;
		ck_assert_msg(read_at(&o, index, at, to, n), "%s", o.e.message);
		ck_assert_mem_eq(to, bytes + at, (size_t)n);
	}
	ck_assert(read_at(&o, 3, 0, to, 0));
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

/* Reading single bytes in order would take hours if each read restarted at the member's
 * beginning. */
START_TEST(sequential_reads_do_not_restart_decompression)
{
	unsigned char *bytes = some_bytes(SIZE, 1), byte;
	made_zip z = two_forms(bytes);
	opened o = open_made(&z);

	expect_ok(&o);
	for (int64_t index = 1; index <= 2; index++)
		for (int64_t at = 0; at < SIZE; at += 7) {
			ck_assert_msg(read_at(&o, index, at, &byte, 1), "%s", o.e.message);
			ck_assert_int_eq(byte, bytes[at]);
		}
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
}
END_TEST

START_TEST(a_wrong_checksum_is_an_error_at_the_last_byte)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_forms(bytes);
	opened o;

	for (int i = 1; i <= 2; i++) {
		z.bytes[z.member[i].local + 14] ^= 1;
		z.bytes[z.member[i].record + 16] ^= 1;
	}
	o = open_made(&z);
	expect_ok(&o);
	for (int64_t index = 1; index <= 2; index++) {
		/* As an array is read: first the header, then the rest. */
		ck_assert(read_at(&o, index, 0, to, 100));
		ck_assert(read_at(&o, index, 100, to, SIZE - 101));
		ck_assert(!read_at(&o, index, SIZE - 1, to, 1));
		ck_assert_msg(strstr(o.e.message, "CRC") &&
				      strstr(o.e.message, index == 1 ? "intact" : "deflated"),
			"%s", o.e.message);
		/* A small step forward does not avoid the checksum. */
		ck_assert(!read_at(&o, index, 200, to, SIZE - 200));
	}
	/* A part is returned without a check. */
	ck_assert(read_at(&o, 1, SIZE / 2, to, SIZE / 2));
	ck_assert_mem_eq(to, bytes + SIZE / 2, SIZE / 2);
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

START_TEST(damaged_bytes_are_an_error_when_they_are_read)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_forms(bytes);
	opened o;

	z.bytes[z.member[1].data + SIZE / 2] ^= 1;
	z.bytes[z.member[2].data + z.member[2].packed / 2] ^= 0x55;
	o = open_made(&z);
	expect_ok(&o);
	ck_assert(!read_at(&o, 1, 0, to, SIZE) && o.e.status == EBB_BAD_FILE);
	ck_assert(!read_at(&o, 2, 0, to, SIZE) && o.e.status == EBB_BAD_FILE);
	/* The other members can still be read. */
	ck_assert(read_at(&o, 0, 0, to, 1) && to[0] == '1');
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

/* Changes the declared size of the deflated member in both headers. */
static void claim(made_zip *z, int64_t more)
{
	made_put(z, z->member[2].local + 22, 4, (uint64_t)(SIZE + more));
	made_put(z, z->member[2].record + 24, 4, (uint64_t)(SIZE + more));
}

START_TEST(a_member_that_unpacks_to_another_size_is_an_error)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE + 1);
	made_zip z = two_forms(bytes);
	opened o;

	claim(&z, 1);
	o = open_made(&z);
	expect_ok(&o);
	ck_assert(!read_at(&o, 2, 0, to, SIZE + 1));
	ck_assert_int_eq(o.e.status, EBB_BAD_FILE);
	ebb_archive_free(o.a);
	claim(&z, -1);
	o = open_made(&z);
	expect_ok(&o);
	ck_assert(!read_at(&o, 2, 0, to, SIZE - 1));
	ck_assert_msg(strstr(o.e.message, "more than 299999 bytes"), "%s", o.e.message);
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

START_TEST(a_file_that_shrinks_is_an_error)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_forms(bytes);
	opened o = open_made(&z);

	expect_ok(&o);
	ck_assert_int_eq(truncate(temp_path("file.zip"), 1000), 0);
	ck_assert(!read_at(&o, 1, 0, to, SIZE));
	ck_assert_msg(strstr(o.e.message, "truncated"), "%s", o.e.message);
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

/* ---- What is accepted ----------------------------------------------------------------------- */

START_TEST(comments_64_bit_ends_and_empty_files_are_accepted)
{
	for (int wide = 0; wide < 2; wide++)
		for (int members = 0; members < 3; members++) {
			made_zip z = {0};
			opened o;

			for (int i = 0; i < members; i++)
				made_add(&z, i ? "b" : "a", "x", 1, i);
			made_finish(&z, wide, wide ? NULL : "a comment");
			o = open_made(&z);
			expect_ok(&o);
			ck_assert_int_eq(ebb_zip_count(o.zip), members);
			ebb_archive_free(o.a);
			made_free(&z);
		}
}
END_TEST

START_TEST(names_are_utf8)
{
	made_zip z = {0};
	opened o;

	made_add(&z, "gew\xc3\xb6lbe", "x", 1, false);
	made_add(&z, "dir/", "", 0, false);
	made_add(&z, "", "", 0, false);
	/* Code page 437, the encoding of the format if no flag is set: "ö" */
	made_add(&z, "gew\x94lbe.old", "x", 1, false);
	made_finish(&z, false, NULL);
	o = open_made(&z);
	expect_ok(&o);
	ck_assert_str_eq(ebb_zip_name(o.zip, 0), "gew\xc3\xb6lbe");
	ck_assert_str_eq(ebb_zip_name(o.zip, 1), "dir/");
	ck_assert_str_eq(ebb_zip_name(o.zip, 2), "");
	ck_assert_str_eq(ebb_zip_name(o.zip, 3), "gew\xc3\xb6lbe.old");
	ebb_archive_free(o.a);
	made_free(&z);
}
END_TEST

/* An uncompressed member of more than 4 GiB, in a sparse file. */
START_TEST(sizes_beyond_4_gib_are_read)
{
	static const int64_t large = (INT64_C(5) << 30) + 3;
	unsigned char extra[20] = {1, 0, 16, 0};
	made_zip head = {0}, tail = {0};
	const char *path;
	opened o;
	char end[4];
	int fd;

	for (int i = 0; i < 16; i++)
		extra[4 + i] = (unsigned char)(large >> 8 * (i % 8));
	made_add_extra(&head, "x", "", 0, false, extra, sizeof extra);
	made_put(&head, 4, 2, 45);
	made_put(&head, 18, 8, UINT64_MAX);
	made_finish(&tail, true, NULL);
	path = write_temp("file.zip", head.bytes, head.size);
	fd = open(path, O_WRONLY);
	if (pwrite(fd, "end", 3, (off_t)head.size + large - 3) != 3) {
		close(fd);
		made_free(&head);
		made_free(&tail);
		return; /* the file system has no files of this size */
	}
	/* The directory of one record, after the member. */
	{
		size_t at = head.size, record;

		made_finish(&head, true, NULL);
		record = head.member[0].record;
		made_put(&head, record + 6, 2, 45);
		made_put(&head, record + 20, 8, UINT64_MAX);
		/* The positions of the directory and of the 64-bit end record. */
		made_put(&head, head.end - 20 - 8, 8, (uint64_t)((int64_t)at + large));
		made_put(&head, head.end - 20 + 8, 8,
			made_get(&head, head.end - 20 + 8, 8) + (uint64_t)large);
		ck_assert_int_eq(pwrite(fd, head.bytes + at, head.size - at, (off_t)at + large),
			(ssize_t)(head.size - at));
	}
	close(fd);
	o = open_path(path);
	expect_ok(&o);
	ck_assert_int_eq(ebb_blob_of_zip(o.zip, 0).size, large);
	ck_assert_msg(read_at(&o, 0, large - 4, end, 4), "%s", o.e.message);
	ck_assert_mem_eq(end, "\0end", 4);
	ebb_archive_free(o.a);
	made_free(&head);
	made_free(&tail);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-zip");
	TCase *c = tcase_create("zip");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, members_are_read_at_any_offset);
	tcase_add_test(c, sequential_reads_do_not_restart_decompression);
	tcase_add_test(c, a_wrong_checksum_is_an_error_at_the_last_byte);
	tcase_add_test(c, damaged_bytes_are_an_error_when_they_are_read);
	tcase_add_test(c, a_member_that_unpacks_to_another_size_is_an_error);
	tcase_add_test(c, a_file_that_shrinks_is_an_error);
	tcase_add_test(c, comments_64_bit_ends_and_empty_files_are_accepted);
	tcase_add_test(c, names_are_utf8);
	tcase_add_test(c, sizes_beyond_4_gib_are_read);
	suite_add_tcase(s, c);
	return run_suite(s);
}
