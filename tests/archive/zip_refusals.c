/* Damaged and malicious zip files are refused, with little memory and time. */
#include "tests/archive/zip_opening.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Refusals ------------------------------------------------------------------------------- */

enum { LOCAL, RECORD, END };

/* Changes one number of member 1 of two_forms. */
static const struct change {
	int part, at, width;
	uint64_t value;
	const char *words;
} changes[] = {
	{RECORD, 8, 2, 1, "\"intact\": is encrypted"},
	{RECORD, 8, 2, 1 << 6, "is encrypted"},
	{RECORD, 8, 2, 1 << 13, "is encrypted"},
	{LOCAL, 6, 2, 1, "is encrypted"},
	{RECORD, 10, 2, 12, "method other than deflate"},
	{RECORD, 10, 2, 8, "has another compression method in its local header"},
	{LOCAL, 8, 2, 8, "has another compression method in its local header"},
	{LOCAL, 8, 2, 14, "method other than deflate"},
	{RECORD, 20, 4, SIZE - 1, "its two sizes differ"},
	{RECORD, 24, 4, SIZE + 1, "its two sizes differ"},
	{RECORD, 24, 4, UINT32_MAX, "64-bit sizes are missing"},
	{RECORD, 20, 4, UINT32_MAX, "64-bit sizes are missing"},
	{RECORD, 42, 4, UINT32_MAX, "64-bit sizes are missing"},
	{RECORD, 42, 4, UINT32_MAX - 1, "beyond the beginning of the zip directory"},
	{RECORD, 42, 4, 1, "no local header where the directory says"},
	{RECORD, 42, 4, 0, "another name in its local header"},
	{RECORD, 28, 2, 5, "another name in its local header"},
	{RECORD, 28, 2, 65535, "beyond its end"},
	{RECORD, 30, 2, 65535, "beyond its end"},
	{RECORD, 32, 2, 65535, "beyond its end"},
	{RECORD, 34, 2, 1, "another part of the zip file"},
	{RECORD, 0, 4, 0, "no record where one is expected"},
	{RECORD, 46, 1, 0, "its name contains NUL"},
	{RECORD, 46, 1, 'S', "another name in its local header"},
	{LOCAL, 0, 4, 0, "no local header"},
	{LOCAL, 26, 2, 5, "another name"},
	{LOCAL, 26, 2, 65535, "another name"},
	{LOCAL, 28, 2, 2, "an extra field beyond the end of its header"},
	{LOCAL, 28, 2, 65535, "extra field"},
	{LOCAL, 18, 4, 5, "cannot be read"},
	{LOCAL, 14, 4, 5, "cannot be read"},
	{END, 0, 4, 0, "no end of a zip directory"},
	{END, 4, 2, 1, "several parts"},
	{END, 6, 2, 1, "several parts"},
	{END, 8, 2, 3, "several parts"},
	{END, 10, 2, 5, "several parts"},
	{END, 8, 4, 0x00030003, "expected"},
	{END, 8, 4, 0x00050005, "cannot list 5 members"},
	{END, 8, 4, 0xffffffff, "cannot list 65535 members"},
	{END, 12, 4, 0, "expected to end at"},
	{END, 12, 4, UINT32_MAX, "expected to end at"},
	{END, 16, 4, 0, "expected to end at"},
	{END, 16, 4, UINT32_MAX, "expected to end at"},
	{END, 20, 2, 1, "no end of a zip directory"},
};

START_TEST(inconsistent_header_fields_are_refused)
{
	const struct change *c = &changes[_i];
	unsigned char *bytes = some_bytes(SIZE, 1);
	made_zip z = two_forms(bytes);
	size_t part = c->part == LOCAL    ? z.member[1].local
	              : c->part == RECORD ? z.member[1].record
	                                  : z.end;

	made_put(&z, part + (size_t)c->at, c->width, c->value);
	expect_refused(&z, c->words);
	made_free(&z);
	free(bytes);
}
END_TEST

START_TEST(members_that_overlap_are_refused)
{
	made_zip z = {0}, inner = {0};

	/* Two records of the same bytes. */
	made_add(&z, "a", "x", 1, false);
	made_add(&z, "a", "x", 1, false);
	made_finish(&z, false, NULL);
	made_put(&z, z.member[1].record + 42, 4, z.member[0].local);
	expect_refused(&z, "overlap at offset 0");
	made_free(&z);
	/* A member within the bytes of another. */
	made_add(&inner, "b", "xyz", 3, false);
	made_add(&z, "a", inner.bytes, inner.size, false);
	made_add(&z, "b", "xyz", 3, false);
	made_finish(&z, false, NULL);
	made_put(&z, z.member[1].record + 42, 4, z.member[0].data);
	expect_refused(&z, "overlap at offset 31");
	made_free(&z);
	made_free(&inner);
}
END_TEST

START_TEST(a_size_beyond_deflates_ratio_is_refused)
{
	unsigned char *zeros = calloc(1, 10000000);
	made_zip z = {0};
	opened o;
	uint64_t most;

	/* Zeros have the best compression ratio of deflate, and are accepted. */
	made_add(&z, "zeros", zeros, 10000000, true);
	made_finish(&z, false, NULL);
	o = open_made(&z);
	expect_ok(&o);
	ck_assert_msg(read_at(&o, 0, 0, zeros, 10000000), "%s", o.e.message);
	ebb_archive_free(o.a);
	most = 1032 * (z.member[0].packed + 1);
	made_put(&z, z.member[0].local + 22, 4, most + 1);
	made_put(&z, z.member[0].record + 24, 4, most + 1);
	expect_refused(&z, "more than 1032 times");
	made_free(&z);
	free(zeros);
}
END_TEST

START_TEST(two_members_of_the_same_name_are_refused)
{
	made_zip z = {0};

	made_add(&z, "a", "x", 1, false);
	made_add(&z, "a", "y", 1, false);
	made_finish(&z, false, NULL);
	expect_refused(&z, "two members of the zip file have the same name");
	made_free(&z);
}
END_TEST

START_TEST(many_extra_fields_are_refused)
{
	unsigned char extra[65 * 4], wide[2 * 12] = {1, 0, 8, 0};
	made_zip z = {0};
	opened o;

	for (int i = 0; i < 65; i++)
		memcpy(extra + 4 * i, "\1\2\0\0", 4);
	made_add_extra(&z, "a", "x", 1, false, extra, sizeof extra - 4);
	made_finish(&z, false, NULL);
	o = open_made(&z);
	expect_ok(&o);
	ebb_archive_free(o.a);
	made_free(&z);
	made_add_extra(&z, "a", "x", 1, false, extra, sizeof extra);
	made_finish(&z, false, NULL);
	expect_refused(&z, "more than 64 extra fields");
	made_free(&z);
	memcpy(wide + 12, wide, 12);
	made_add_extra(&z, "a", "x", 1, false, wide, sizeof wide);
	made_finish(&z, false, NULL);
	expect_refused(&z, "two fields of 64-bit sizes");
	made_free(&z);
}
END_TEST

START_TEST(bytes_around_the_zip_file_are_refused)
{
	made_zip z = {0}, shifted = {0};

	made_add(&z, "a", "x", 1, false);
	made_finish(&z, false, NULL);
	made_append(&z, "z", 1);
	expect_refused(&z, "no end of a zip directory");
	z.size--;
	made_append(&shifted, "z", 1);
	made_append(&shifted, z.bytes, z.size);
	expect_refused(&shifted, "expected to end at");
	made_free(&z);
	made_free(&shifted);
}
END_TEST

/* A comment that contains another end record: programs differ in which one they use. */
START_TEST(two_end_records_are_refused)
{
	char comment[23] = "PK\5\6";
	made_zip z = {0};

	made_add(&z, "a", "x", 1, false);
	made_finish(&z, false, NULL);
	made_append(&z, comment, 22);
	made_put(&z, z.end + 20, 2, 22);
	expect_refused(&z, "two records that could be the end");
	made_free(&z);
}
END_TEST

static const struct wide_change {
	int at, width; /* counted backwards from the end record */
	uint64_t value;
	const char *words;
} wide_changes[] = {
	{20 - 4, 4, 1, "not right before its locator"},
	{20 - 8, 8, 0, "not right before its locator"},
	{20 - 16, 4, 2, "not right before its locator"},
	{76, 4, 0, "points to no 64-bit end record"},
	{76 - 4, 8, 45, "points to no 64-bit end record"},
	{76 - 16, 4, 1, "several parts"},
	{76 - 20, 4, 1, "several parts"},
	{76 - 24, 8, 2, "several parts"},
	{76 - 40, 8, UINT64_MAX, "expected to end at"},
	{76 - 48, 8, UINT64_MAX, "expected to end at"},
	{76 - 48, 8, INT64_MAX, "expected to end at"},
};

START_TEST(an_inconsistent_64_bit_end_record_is_refused)
{
	const struct wide_change *c = &wide_changes[_i];
	made_zip z = {0};

	made_add(&z, "a", "x", 1, false);
	made_finish(&z, true, NULL);
	made_put(&z, z.end - (size_t)c->at, c->width, c->value);
	expect_refused(&z, c->words);
	made_put(&z, z.end - 76 + 24, 8, UINT64_MAX);
	made_put(&z, z.end - 76 + 32, 8, UINT64_MAX);
	expect_refused(&z, c->at == 76 - 24 ? "cannot list" : c->words);
	made_free(&z);
}
END_TEST

START_TEST(every_truncated_file_is_refused)
{
	made_zip z = {0};
	size_t size;

	made_add(&z, "a", "abcdefgh", 8, false);
	made_add(&z, "b", "abcdefgh", 8, true);
	made_finish(&z, true, NULL);
	size = z.size;
	for (z.size = 0; z.size < size; z.size++)
		expect_refused(&z, "");
	made_free(&z);
}
END_TEST

/* ---- Memory and time ------------------------------------------------------------------------ */

/* Writes n empty members with the names that a function generates. */
static const char *write_many(int n, void (*name)(int i, char to[32]))
{
	unsigned char *bytes = calloc((size_t)n, 30 + 46 + 2 * 32 + 1),
		      *records = malloc((size_t)n * 80);
	made_zip all = {.bytes = bytes, .capacity = (size_t)n * 141};
	size_t size = 0;
	const char *path;

	for (int i = 0; i < n; i++) {
		made_zip one = {0};
		char text[32];

		name(i, text);
		made_add(&one, text, "", 0, false);
		made_finish(&one, false, NULL);
		made_put(&one, one.member[0].record + 42, 4, all.size);
		made_append(&all, one.bytes, one.directory);
		memcpy(records + size, one.bytes + one.directory, one.end - one.directory);
		size += one.end - one.directory;
		made_free(&one);
	}
	all.directory = all.size;
	made_append(&all, records, size);
	{
		made_zip end = {0};

		made_finish(&end, true, NULL);
		made_put(&end, 24, 8, (uint64_t)n);
		made_put(&end, 32, 8, (uint64_t)n);
		made_put(&end, 40, 8, size);
		made_put(&end, 48, 8, all.directory);
		made_put(&end, 56 + 8, 8, all.size);
		made_append(&all, end.bytes, end.size);
		made_free(&end);
	}
	path = write_temp("many.zip", all.bytes, all.size);
	free(all.bytes);
	free(records);
	return path;
}

static void short_name(int i, char to[32])
{
	snprintf(to, 32, "%x", (unsigned)i);
}

/* "Ez" and "FY" have the same hash in libzip. */
static void colliding_name(int i, char to[32])
{
	for (int k = 0; k < 15; k++)
		memcpy(to + 2 * k, i >> k & 1 ? "Ez" : "FY", 2);
	to[30] = '\0';
}

START_TEST(memory_for_the_directory_is_bounded_by_its_size)
{
	enum { N = 5000 };
	counting_allocator counter;
	const char *path = write_many(N, short_name);
	opened o;

	counting_allocator_install(&counter);
	o = open_path(path);
	expect_ok(&o);
	ck_assert_int_eq(ebb_zip_count(o.zip), N);
	ck_assert_str_eq(ebb_zip_name(o.zip, 0xabc), "abc");
	/* libzip's memory is counted, although it does not use the allocation hook. */
	ck_assert_int_ge(o.a->taken, counter.bytes);
	ck_assert_int_le(o.a->taken, 32 * o.a->header_bytes + (1 << 20));
	ebb_archive_free(o.a);
	counting_allocator_remove();
	ck_assert_int_eq(counter.live, 0);
}
END_TEST

START_TEST(names_that_collide_in_the_hash_table_of_libzip_are_refused)
{
	opened o = open_path(write_many(1 << 13, colliding_name));

	ck_assert(!o.zip);
	ck_assert_msg(strstr(o.e.message, "collide too often"), "%s", o.e.message);
	ebb_archive_free(o.a);
}
END_TEST

START_TEST(a_directory_beyond_the_limit_of_headers_is_refused)
{
	const char *path = write_many(100, short_name);
	ebb_error e = {0};

	ck_assert(!ebb_archive_read(path, .most_header = 4000, .error = &e));
	ck_assert_msg(strstr(e.message, "at most 4000 bytes"), "%s", e.message);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_forms(bytes);
	const char *path = write_temp("file.zip", z.bytes, z.size);
	int64_t k = 0;

	for (bool through = false; !through; k++) {
		counting_allocator counter;
		opened o;
		bool ok;

		counting_allocator_install(&counter);
		counter.fail_at = k;
		o = open_path(path);
		ok = o.zip && read_at(&o, 2, 0, to, SIZE);
		through = counter.refused == 0;
		ck_assert_msg(ok == through, "allocation %d: %s", (int)k, o.e.message);
		ck_assert(ok || o.e.status == EBB_NO_MEMORY);
		ebb_archive_free(o.a);
		counting_allocator_remove();
		ck_assert_int_eq(counter.live, 0);
		ck_assert_int_eq(counter.wrong, 0);
	}
	ck_assert_int_gt(k, 6);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-zip-refusals");
	TCase *c = tcase_create("zip");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(
		c, inconsistent_header_fields_are_refused, 0, sizeof changes / sizeof *changes);
	tcase_add_test(c, members_that_overlap_are_refused);
	tcase_add_test(c, a_size_beyond_deflates_ratio_is_refused);
	tcase_add_test(c, two_members_of_the_same_name_are_refused);
	tcase_add_test(c, many_extra_fields_are_refused);
	tcase_add_test(c, bytes_around_the_zip_file_are_refused);
	tcase_add_test(c, two_end_records_are_refused);
	tcase_add_loop_test(c, an_inconsistent_64_bit_end_record_is_refused, 0,
		sizeof wide_changes / sizeof *wide_changes);
	tcase_add_test(c, every_truncated_file_is_refused);
	tcase_add_test(c, memory_for_the_directory_is_bounded_by_its_size);
	tcase_add_test(c, names_that_collide_in_the_hash_table_of_libzip_are_refused);
	tcase_add_test(c, a_directory_beyond_the_limit_of_headers_is_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
