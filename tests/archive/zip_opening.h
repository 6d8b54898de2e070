/* zip_opening.h - opens zip files without the reader of a format. */
#ifndef EBB_TESTS_ARCHIVE_ZIP_OPENING_H
#define EBB_TESTS_ARCHIVE_ZIP_OPENING_H

#include "archive/zip/zip.h"
#include "tests/archive/zips.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE = 300000 };

/* An archive, and the zip file that it owns. */
typedef struct opened {
	ebb_archive *a;
	ebb_zip *zip;
	ebb_error e;
} opened;

static inline opened open_path(const char *path)
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

static inline opened open_made(const made_zip *z)
{
	return open_path(write_temp("file.zip", z->bytes, z->size));
}

static inline void expect_ok(const opened *o)
{
	ck_assert_msg(o->zip, "%s", o->e.message);
}

static inline void expect_refused(const made_zip *z, const char *words)
{
	opened o = open_made(z);

	ck_assert_msg(!o.zip, "accepted, expected: %s", words);
	ck_assert_msg(o.e.status == EBB_BAD_FILE && strstr(o.e.message, words), "%s (expected: %s)",
		o.e.message, words);
	ck_assert_ptr_nonnull(strstr(o.e.message, "file.zip"));
	ebb_archive_free(o.a);
}

/* Bytes that deflate compresses to about half. */
static inline unsigned char *some_bytes(size_t n, unsigned seed)
{
	unsigned char *bytes = malloc(n + 1);

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = (unsigned char)(seed >> 16 & 15);
	}
	return bytes;
}

/* A zip file with the same bytes uncompressed and deflated, and members before, between and after
 * them. */
static inline made_zip two_forms(const unsigned char *bytes)
{
	made_zip z = {0};

	made_add(&z, "first", "1", 1, false);
	made_add(&z, "intact", bytes, SIZE, false);
	made_add(&z, "deflated", bytes, SIZE, true);
	made_add(&z, "empty", "", 0, false);
	made_finish(&z, false, NULL);
	return z;
}

static inline bool read_at(opened *o, int64_t index, int64_t at, void *to, int64_t n)
{
	ebb_blob b = ebb_blob_of_zip(o->zip, index);

	o->e = (ebb_error){0};
	return b.read(&b, at, to, n, &o->e);
}

#endif
