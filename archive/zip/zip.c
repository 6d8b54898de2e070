/*
 * zip.c - members of a zip file as blobs, decompressed by libzip.
 *
 * One member is open at a time.  Reading on from the end of the last read is free, and a small step
 * forward is cheap.  A larger step seeks in an uncompressed member; in a deflated member, and for a
 * step back, decompression restarts at the member's beginning.  libzip compares the checksum when
 * the last byte of a member is read, if all bytes before it were read without a seek.  A part of an
 * uncompressed member is therefore not checked.
 */
#include <string.h>

#include "archive/zip/zip.h"

/* Steps of at most READ_THROUGH bytes read the bytes between instead of seeking, so that the
 * checksum is still compared. */
enum { READ_THROUGH = 1 << 16, SPARE_SIZE = 1 << 14 };

/* The memory of libzip per byte of a zip file's headers: measured with 1.7.3, 12 for extra fields
 * of one byte, 4 for short names. */
enum { LIBZIP_TIMES = 16 };

struct ebb_zip {
	const ebb_archive *a;
	const ebb_input *in;
	int64_t at;       /* the position of libzip's next read */
	ebb_error failed; /* an error of reading the file */
	zip_error_t error;
	zip_t *zip;
	ebb_zip_member *member;
	int64_t count;
	zip_file_t *open; /* or NULL */
	int64_t open_index, position;
	char spare[SPARE_SIZE]; /* for bytes that are read and discarded */
};

/* ---- The file, as libzip reads it ----------------------------------------------------------- */

static zip_int64_t read_source(ebb_zip *z, void *to, zip_uint64_t n)
{
	int64_t left = z->in->size - z->at;

	if ((zip_uint64_t)left < n)
		n = (zip_uint64_t)left;
	if (!ebb_input_read(z->in, z->at, to, (int64_t)n, "a zip member", &z->failed)) {
		zip_error_set(&z->error, ZIP_ER_READ, 0);
		return -1;
	}
	z->at += (int64_t)n;
	return (zip_int64_t)n;
}

static zip_int64_t stat_source(const ebb_zip *z, zip_stat_t *st, zip_uint64_t n)
{
	if (n < sizeof *st)
		return -1;
	zip_stat_init(st);
	st->valid = ZIP_STAT_SIZE;
	st->size = (zip_uint64_t)z->in->size;
	return sizeof *st;
}

static zip_int64_t seek_source(ebb_zip *z, void *data, zip_uint64_t n)
{
	zip_int64_t at = zip_source_seek_compute_offset(
		(zip_uint64_t)z->at, (zip_uint64_t)z->in->size, data, n, &z->error);

	if (at < 0)
		return -1;
	z->at = at;
	return 0;
}

static zip_int64_t source(void *ctx, void *data, zip_uint64_t n, zip_source_cmd_t command)
{
	ebb_zip *z = ctx;

	switch (command) {
	case ZIP_SOURCE_OPEN:
		z->at = 0;
		return 0;
	case ZIP_SOURCE_READ:
		return read_source(z, data, n);
	case ZIP_SOURCE_STAT:
		return stat_source(z, data, n);
	case ZIP_SOURCE_SEEK:
		return seek_source(z, data, n);
	case ZIP_SOURCE_TELL:
		return z->at;
	case ZIP_SOURCE_ERROR:
		return zip_error_to_data(&z->error, data, n);
	case ZIP_SOURCE_CLOSE:
	case ZIP_SOURCE_FREE:
		return 0;
	case ZIP_SOURCE_SUPPORTS:
		return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ,
			ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
			ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
	default:
		zip_error_set(&z->error, ZIP_ER_OPNOTSUPP, 0);
		return -1;
	}
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void zip_free(void *object)
{
	ebb_zip *z = object;

	if (z->open)
		zip_fclose(z->open);
	if (z->zip)
		zip_discard(z->zip);
	zip_error_fini(&z->error);
	ebb_free(z, sizeof *z);
}

/* Sets an error from the file, or from libzip; returns false. */
static bool fail(ebb_zip *z, zip_error_t *why, const char *name, ebb_error *e)
{
	char shown[120];

	if (z->failed.status != EBB_OK) {
		ebb_error_set(e, z->failed.status, NULL, "%s", z->failed.message);
		z->failed = (ebb_error){0};
		return false;
	}
	if (ebb_zip_lacks_memory(why))
		return ebb_archive_no_memory(z->a, e);
	if (zip_error_code_zip(why) == ZIP_ER_EXISTS)
		return ebb_archive_refuse(
			z->a, e, "two members of the zip file have the same name");
	if (!name)
		return ebb_archive_refuse(
			z->a, e, "the zip file cannot be read: %s", zip_error_strerror(why));
	ebb_printable(name, strlen(name), shown, sizeof shown);
	return ebb_archive_refuse(
		z->a, e, "member \"%s\" cannot be unpacked: %s", shown, zip_error_strerror(why));
}

/* Opens the file with libzip. */
static bool open_zip(ebb_zip *z, ebb_error *e)
{
	zip_error_t why;
	zip_source_t *s;
	bool ok;

	zip_error_init(&why);
	s = zip_source_function_create(source, z, &why);
	if (s)
		z->zip = zip_open_from_source(s, ZIP_RDONLY | ZIP_CHECKCONS, &why);
	if (s && !z->zip)
		zip_source_free(s);
	ok = z->zip || fail(z, &why, NULL, e);
	zip_error_fini(&why);
	return ok;
}

/* Whether libzip's list of members equals the one of directory.c.  Also converts each name to UTF-8
 * once, in libzip. */
static bool agree(ebb_zip *z, ebb_error *e)
{
	bool same = zip_get_num_entries(z->zip, 0) == z->count;

	for (int64_t i = 0; same && i < z->count; i++) {
		const ebb_zip_member *m = &z->member[i];
		zip_stat_t st;

		same = zip_stat_index(z->zip, (zip_uint64_t)i, 0, &st) == 0 &&
		       st.size == (zip_uint64_t)m->size &&
		       st.comp_size == (zip_uint64_t)m->packed && st.crc == m->checksum &&
		       st.comp_method == (m->deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE);
		if (same && !zip_get_name(z->zip, (zip_uint64_t)i, ZIP_FL_ENC_GUESS))
			return fail(z, zip_get_error(z->zip), NULL, e);
	}
	return same ||
	       ebb_archive_refuse(z->a, e, "libzip reads another directory in the zip file");
}

ebb_zip *ebb_zip_open(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	ebb_zip *z = ebb_alloc_zeroed(sizeof *z);
	int64_t before = a->header_bytes;

	if (!z) {
		ebb_archive_no_memory(a, e);
		return NULL;
	}
	z->a = a;
	z->in = in;
	zip_error_init(&z->error);
	if (!ebb_archive_own(a, z, zip_free, e) ||
		!ebb_zip_directory(a, in, &z->member, &z->count, e) ||
		!ebb_archive_charge(a, ebb_bytes_of(a->header_bytes - before, LIBZIP_TIMES), e) ||
		!open_zip(z, e) || !agree(z, e))
		return NULL;
	return z;
}

int64_t ebb_zip_count(const ebb_zip *z)
{
	return z->count;
}

const char *ebb_zip_name(const ebb_zip *z, int64_t index)
{
	return zip_get_name(z->zip, (zip_uint64_t)index, ZIP_FL_ENC_GUESS);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static void close_member(ebb_zip *z)
{
	if (z->open)
		zip_fclose(z->open);
	z->open = NULL;
}

static bool open_member(ebb_zip *z, int64_t index, ebb_error *e)
{
	close_member(z);
	z->open = zip_fopen_index(z->zip, (zip_uint64_t)index, 0);
	z->open_index = index;
	z->position = 0;
	return z->open || fail(z, zip_get_error(z->zip), ebb_zip_name(z, index), e);
}

/* Reads n bytes of the open member; fewer are an error. */
static bool read_on(ebb_zip *z, void *to, int64_t n, ebb_error *e)
{
	char *bytes = to;

	for (int64_t done = 0, got; done < n; done += got) {
		got = zip_fread(z->open, bytes + done, (zip_uint64_t)(n - done));
		if (got < 0)
			return fail(
				z, zip_file_get_error(z->open), ebb_zip_name(z, z->open_index), e);
		if (got == 0)
			return ebb_archive_refuse(z->a, e,
				"member \"%s\" unpacks to %lld bytes, expected %lld",
				ebb_zip_name(z, z->open_index), (long long)z->position,
				(long long)z->member[z->open_index].size);
		z->position += got;
	}
	return true;
}

/* Reads and discards the bytes from the position to at. */
static bool read_through(ebb_zip *z, int64_t at, ebb_error *e)
{
	while (z->position < at) {
		int64_t n = at - z->position;

		if (!read_on(z, z->spare, n < SPARE_SIZE ? n : SPARE_SIZE, e))
			return false;
	}
	return true;
}

/* Moves to offset at of a member. */
static bool go_to(ebb_zip *z, int64_t index, int64_t at, ebb_error *e)
{
	const ebb_zip_member *m = &z->member[index];

	if (!z->open || z->open_index != index || z->position > at)
		if (!open_member(z, index, e))
			return false;
	if (m->deflated || at - z->position <= READ_THROUGH)
		return read_through(z, at, e);
	if (zip_fseek(z->open, at, SEEK_SET) != 0)
		return fail(z, zip_file_get_error(z->open), ebb_zip_name(z, index), e);
	z->position = at;
	return true;
}

/* After the last byte, reading one more makes libzip compare the checksum. */
static bool check_end(ebb_zip *z, ebb_error *e)
{
	zip_int64_t more = zip_fread(z->open, z->spare, 1);

	if (more == 0)
		return true;
	if (more < 0)
		return fail(z, zip_file_get_error(z->open), ebb_zip_name(z, z->open_index), e);
	return ebb_archive_refuse(z->a, e, "member \"%s\" unpacks to more than %lld bytes",
		ebb_zip_name(z, z->open_index), (long long)z->position);
}

static bool read_member(const ebb_blob *b, int64_t at, void *to, int64_t n, ebb_error *e)
{
	ebb_zip *z = b->ctx;
	bool ok = go_to(z, b->where, at, e) && read_on(z, to, n, e) &&
	          (z->position < b->size || check_end(z, e));

	if (!ok)
		close_member(z);
	return ok;
}

ebb_blob ebb_blob_of_zip(ebb_zip *z, int64_t index)
{
	return (ebb_blob){.size = z->member[index].size,
		.read = read_member,
		.ctx = z,
		.where = index,
		.packed = true};
}
