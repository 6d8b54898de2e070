/* Zip files: members are read at any offset, and a file that is damaged or made to do harm is
 * refused. */
#include "archive/zip/zip.h"
#include "tests/archive/zips.h"
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 300000 };

/* ---- Files ---------------------------------------------------------------------------------- */

/* An archive and the zip file that it owns. */
typedef struct opened {
	ebb_archive *a;
	ebb_zip *zip;
	ebb_error e;
} opened;

static opened open_path(const char *path)
{
	opened o = {0};
	ebb_input *in = NULL;

	o.a = ebb_archive_of_file(path, 0, 0, &o.e);
	if (o.a)
		in = ebb_archive_input(o.a, path, &o.e);
	if (in)
		o.zip = ebb_zip_open(o.a, in, &o.e);
	return o;
}

static opened open_made(const made_zip *z)
{
	return open_path(write_temp("file.zip", z->bytes, z->size));
}

static void expect_ok(const opened *o)
{
	ck_assert_msg(o->zip, "%s", o->e.message);
}

static void expect_refused(const made_zip *z, const char *words)
{
	opened o = open_made(z);

	ck_assert_msg(!o.zip, "accepted, expected: %s", words);
	ck_assert_msg(o.e.status == EBB_BAD_FILE && strstr(o.e.message, words), "%s (expected: %s)",
		o.e.message, words);
	ck_assert_ptr_nonnull(strstr(o.e.message, "file.zip"));
	ebb_archive_free(o.a);
}

/* Bytes that deflate to about half. */
static unsigned char *some_bytes(size_t n, unsigned seed)
{
	unsigned char *bytes = malloc(n + 1);

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = (unsigned char)(seed >> 16 & 15);
	}
	return bytes;
}

/* Two members of the same bytes, stored and deflated, between others. */
static made_zip two_ways(const unsigned char *bytes)
{
	made_zip z = {0};

	made_add(&z, "first", "1", 1, false);
	made_add(&z, "stored", bytes, SIZE, false);
	made_add(&z, "deflated", bytes, SIZE, true);
	made_add(&z, "empty", "", 0, false);
	made_finish(&z, false, NULL);
	return z;
}

static bool read_at(opened *o, int64_t index, int64_t at, void *to, int64_t n)
{
	ebb_blob b = ebb_blob_of_zip(o->zip, index);

	o->e = (ebb_error){0};
	return b.read(&b, at, to, n, &o->e);
}

/* ---- Reading -------------------------------------------------------------------------------- */

START_TEST(members_are_read_at_any_offset)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_ways(bytes);
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

/* Steps of one byte would take hours if each began at the member's beginning. */
START_TEST(reading_on_does_not_begin_anew)
{
	unsigned char *bytes = some_bytes(SIZE, 1), byte;
	made_zip z = two_ways(bytes);
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

START_TEST(a_wrong_checksum_is_found_at_the_last_byte)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE);
	made_zip z = two_ways(bytes);
	opened o;

	for (int i = 1; i <= 2; i++) {
		z.bytes[z.member[i].local + 14] ^= 1;
		z.bytes[z.member[i].record + 16] ^= 1;
	}
	o = open_made(&z);
	expect_ok(&o);
	for (int64_t index = 1; index <= 2; index++) {
		/* As an array is read: its header, and in another call the rest. */
		ck_assert(read_at(&o, index, 0, to, 100));
		ck_assert(read_at(&o, index, 100, to, SIZE - 101));
		ck_assert(!read_at(&o, index, SIZE - 1, to, 1));
		ck_assert_msg(strstr(o.e.message, "CRC") &&
				      strstr(o.e.message, index == 1 ? "stored" : "deflated"),
			"%s", o.e.message);
		/* A small step is no way around it. */
		ck_assert(!read_at(&o, index, 200, to, SIZE - 200));
	}
	/* A part is as it is in the file. */
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
	made_zip z = two_ways(bytes);
	opened o;

	z.bytes[z.member[1].data + SIZE / 2] ^= 1;
	z.bytes[z.member[2].data + z.member[2].packed / 2] ^= 0x55;
	o = open_made(&z);
	expect_ok(&o);
	ck_assert(!read_at(&o, 1, 0, to, SIZE) && o.e.status == EBB_BAD_FILE);
	ck_assert(!read_at(&o, 2, 0, to, SIZE) && o.e.status == EBB_BAD_FILE);
	/* The other members are as they were. */
	ck_assert(read_at(&o, 0, 0, to, 1) && to[0] == '1');
	ebb_archive_free(o.a);
	made_free(&z);
	free(bytes);
	free(to);
}
END_TEST

/* The size of both headers of the deflated member is changed by so much. */
static void claim(made_zip *z, int64_t more)
{
	made_put(z, z->member[2].local + 22, 4, (uint64_t)(SIZE + more));
	made_put(z, z->member[2].record + 24, 4, (uint64_t)(SIZE + more));
}

START_TEST(a_member_that_unpacks_to_another_size_is_an_error)
{
	unsigned char *bytes = some_bytes(SIZE, 1), *to = malloc(SIZE + 1);
	made_zip z = two_ways(bytes);
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
	made_zip z = two_ways(bytes);
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
	/* Code page 437, as without a flag the format says: "ö" */
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

/* A stored member of more than 4 GiB, with a hole in the file. */
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
		return; /* no file of that size here */
	}
	/* The directory of one record behind it. */
	{
		size_t at = head.size, record;

		made_finish(&head, true, NULL);
		record = head.member[0].record;
		made_put(&head, record + 6, 2, 45);
		made_put(&head, record + 20, 8, UINT64_MAX);
		/* Where the directory begins, and where the 64-bit end record is. */
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

/* ---- What is refused ------------------------------------------------------------------------ */

enum { LOCAL, RECORD, END };

/* A number of member 1 of two_ways is changed in one place. */
static const struct change {
	int part, at, width;
	uint64_t value;
	const char *words;
} changes[] = {
	{RECORD, 8, 2, 1, "\"stored\": is encrypted"},
	{RECORD, 8, 2, 1 << 6, "is encrypted"},
	{RECORD, 8, 2, 1 << 13, "is encrypted"},
	{LOCAL, 6, 2, 1, "is encrypted"},
	{RECORD, 10, 2, 12, "method other than deflate"},
	{RECORD, 10, 2, 8, "by another method according to its local header"},
	{LOCAL, 8, 2, 8, "by another method according to its local header"},
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
	{RECORD, 0, 4, 0, "no record where one belongs"},
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

START_TEST(a_number_that_does_not_fit_the_others_is_refused)
{
	const struct change *c = &changes[_i];
	unsigned char *bytes = some_bytes(SIZE, 1);
	made_zip z = two_ways(bytes);
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

	/* Twice the same bytes, by two records. */
	made_add(&z, "a", "x", 1, false);
	made_add(&z, "a", "x", 1, false);
	made_finish(&z, false, NULL);
	made_put(&z, z.member[1].record + 42, 4, z.member[0].local);
	expect_refused(&z, "overlap at offset 0");
	made_free(&z);
	/* One within the bytes of another. */
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

START_TEST(more_than_deflate_can_pack_is_refused)
{
	unsigned char *zeros = calloc(1, 10000000);
	made_zip z = {0};
	opened o;
	uint64_t most;

	/* Zeros, which deflate packs best, are no bomb. */
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

START_TEST(two_members_of_one_name_are_refused)
{
	made_zip z = {0};

	made_add(&z, "a", "x", 1, false);
	made_add(&z, "a", "y", 1, false);
	made_finish(&z, false, NULL);
	expect_refused(&z, "two members of the zip file have one name");
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

/* A comment that is another end record: which of them counts, programs decide differently. */
START_TEST(two_ends_of_the_directory_are_refused)
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
	int at, width; /* from the end record backwards */
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

START_TEST(a_64_bit_end_that_does_not_fit_is_refused)
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

/* So many empty members, whose names a function makes. */
static const char *write_many(int n, void (*name)(int i, char to[32]))
{
	unsigned char *bytes = calloc((size_t)n, 30 + 46 + 2 * 32 + 1),
		      *records = malloc((size_t)n * 80);
	made_zip all = {.bytes = bytes, .room = (size_t)n * 141};
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

/* "Ez" and "FY" have one value in libzip's hash function. */
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
	/* What libzip takes is counted without the hook. */
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
	ck_assert_msg(strstr(o.e.message, "chosen to take long"), "%s", o.e.message);
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
	made_zip z = two_ways(bytes);
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
	Suite *s = suite_create("archive-zip");
	TCase *c = tcase_create("zip");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, members_are_read_at_any_offset);
	tcase_add_test(c, reading_on_does_not_begin_anew);
	tcase_add_test(c, a_wrong_checksum_is_found_at_the_last_byte);
	tcase_add_test(c, damaged_bytes_are_an_error_when_they_are_read);
	tcase_add_test(c, a_member_that_unpacks_to_another_size_is_an_error);
	tcase_add_test(c, a_file_that_shrinks_is_an_error);
	tcase_add_test(c, comments_64_bit_ends_and_empty_files_are_accepted);
	tcase_add_test(c, names_are_utf8);
	tcase_add_test(c, sizes_beyond_4_gib_are_read);
	tcase_add_loop_test(c, a_number_that_does_not_fit_the_others_is_refused, 0,
		sizeof changes / sizeof *changes);
	tcase_add_test(c, members_that_overlap_are_refused);
	tcase_add_test(c, more_than_deflate_can_pack_is_refused);
	tcase_add_test(c, two_members_of_one_name_are_refused);
	tcase_add_test(c, many_extra_fields_are_refused);
	tcase_add_test(c, bytes_around_the_zip_file_are_refused);
	tcase_add_test(c, two_ends_of_the_directory_are_refused);
	tcase_add_loop_test(c, a_64_bit_end_that_does_not_fit_is_refused, 0,
		sizeof wide_changes / sizeof *wide_changes);
	tcase_add_test(c, every_truncated_file_is_refused);
	tcase_add_test(c, memory_for_the_directory_is_bounded_by_its_size);
	tcase_add_test(c, names_that_collide_in_the_hash_table_of_libzip_are_refused);
	tcase_add_test(c, a_directory_beyond_the_limit_of_headers_is_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
