/*
 * npz_write.c - writing NumPy's .npz files with libzip.
 *
 * When the zip file is closed, libzip reads the bytes of each member through a callback and writes
 * the zip file through another.  So only a part of one member is in memory at a time.  Members have
 * the date 1980-01-01, the earliest of the format, so that equal archives give equal files.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive/numpy/npy.h"
#include "archive/numpy/pull.h"
#include "archive/zip/zip.h"

static const char SUFFIX[] = ".npy";
/* LEVEL is the default of zlib and numpy.savez_compressed; libzip's default is 9. */
enum { MOST_NAME = 65535, FIRST_DAY = 1 << 5 | 1, LEVEL = 6 };

typedef struct writer {
	const ebb_archive *a;
	ebb_output *out;
	int64_t end;      /* of the bytes written so far */
	ebb_error failed; /* the first error in a callback */
	zip_error_t error;
} writer;

/* An entry as a source of bytes; only one is open at a time. */
typedef struct member {
	writer *w;
	const ebb_archived *x;
	char header[EBB_NPY_HEADER];
	int64_t header_size, given; /* bytes of the header; bytes that libzip has read */
	ebb_pull values;
} member;

static zip_int64_t fail(writer *w, int code)
{
	zip_error_set(&w->error, code, 0);
	return -1;
}

/* ---- A member, as libzip reads it ----------------------------------------------------------- */

static zip_int64_t open_member(member *m)
{
	m->given = 0;
	if (ebb_pull_open(&m->values, m->w->a, m->x, &m->w->failed))
		return 0;
	ebb_pull_close(&m->values);
	return fail(m->w, ZIP_ER_OPEN);
}

static zip_int64_t read_member(member *m, void *to, zip_uint64_t n)
{
	int64_t left = m->header_size - m->given;

	if (left > 0) {
		left = (zip_uint64_t)left < n ? left : (int64_t)n;
		memcpy(to, m->header + m->given, (size_t)left);
		m->given += left;
		return left;
	}
	n = n < INT64_MAX ? n : INT64_MAX;
	left = ebb_pull_read(&m->values, to, (int64_t)n, &m->w->failed);
	return left < 0 ? fail(m->w, ZIP_ER_READ) : left;
}

static zip_int64_t stat_member(const member *m, zip_stat_t *st, zip_uint64_t n)
{
	if (n < sizeof *st)
		return -1;
	zip_stat_init(st);
	st->valid = ZIP_STAT_SIZE;
	st->size = (zip_uint64_t)(m->header_size + ebb_archived_bytes(m->x));
	return sizeof *st;
}

static zip_int64_t member_source(void *ctx, void *data, zip_uint64_t n, zip_source_cmd_t command)
{
	member *m = ctx;

	switch (command) {
	case ZIP_SOURCE_OPEN:
		return open_member(m);
	case ZIP_SOURCE_READ:
		return read_member(m, data, n);
	case ZIP_SOURCE_STAT:
		return stat_member(m, data, n);
	case ZIP_SOURCE_ERROR:
		return zip_error_to_data(&m->w->error, data, n);
	case ZIP_SOURCE_CLOSE:
		ebb_pull_close(&m->values);
		return 0;
	case ZIP_SOURCE_FREE:
		ebb_pull_close(&m->values);
		ebb_free(m, sizeof *m);
		return 0;
	case ZIP_SOURCE_SUPPORTS:
		return ZIP_SOURCE_SUPPORTS_READABLE;
	default:
		return fail(m->w, ZIP_ER_OPNOTSUPP);
	}
}

/* ---- The output, as libzip writes it -------------------------------------------------------- */

static zip_int64_t write_output(writer *w, const void *bytes, zip_uint64_t n)
{
	int64_t at;

	if (!ebb_output_write(w->out, bytes, (size_t)n, &w->failed))
		return fail(w, ZIP_ER_WRITE);
	at = ebb_output_tell(w->out);
	w->end = at > w->end ? at : w->end;
	return (zip_int64_t)n;
}

static zip_int64_t seek_output(writer *w, void *data, zip_uint64_t n)
{
	zip_int64_t at = zip_source_seek_compute_offset(
		(zip_uint64_t)ebb_output_tell(w->out), (zip_uint64_t)w->end, data, n, &w->error);

	if (at < 0)
		return -1;
	return ebb_output_seek(w->out, at, &w->failed) ? 0 : fail(w, ZIP_ER_SEEK);
}

static zip_int64_t output_source(void *ctx, void *data, zip_uint64_t n, zip_source_cmd_t command)
{
	writer *w = ctx;

	switch (command) {
	case ZIP_SOURCE_WRITE:
		return write_output(w, data, n);
	case ZIP_SOURCE_SEEK_WRITE:
		return seek_output(w, data, n);
	case ZIP_SOURCE_TELL_WRITE:
		return ebb_output_tell(w->out);
	case ZIP_SOURCE_STAT:
		zip_error_set(&w->error, ZIP_ER_READ, ENOENT);
		return -1;
	case ZIP_SOURCE_ERROR:
		return zip_error_to_data(&w->error, data, n);
	/* The caller who opened the output decides whether the file is kept. */
	case ZIP_SOURCE_BEGIN_WRITE:
	case ZIP_SOURCE_COMMIT_WRITE:
	case ZIP_SOURCE_ROLLBACK_WRITE:
	case ZIP_SOURCE_REMOVE:
	case ZIP_SOURCE_CLOSE:
	case ZIP_SOURCE_FREE:
		return 0;
	case ZIP_SOURCE_SUPPORTS:
		return ZIP_SOURCE_SUPPORTS_WRITABLE;
	default:
		return fail(w, ZIP_ER_OPNOTSUPP);
	}
}

/* ---- Adding --------------------------------------------------------------------------------- */

/* A source for an entry of a type that NumPy has; NULL with an error. */
static member *member_new(writer *w, const ebb_archived *x, ebb_error *e)
{
	member *m = ebb_alloc_zeroed(sizeof *m);
	char name[80];

	if (!m) {
		ebb_archive_no_memory(w->a, e);
		return NULL;
	}
	m->w = w;
	m->x = x;
	m->header_size = (int64_t)ebb_npy_write_header(x->dtype, x->shape, m->header);
	if (m->header_size > 0 && strlen(x->name) <= MOST_NAME - strlen(SUFFIX))
		return m;
	ebb_printable(x->name, strlen(x->name), name, sizeof name);
	if (m->header_size == 0)
		ebb_error_set(e, EBB_BAD_DTYPE, NULL,
			"archive_write: \"%s\" is %s, a type that NumPy does not have", name,
			ebb_file_dtype_name(x->dtype));
	else
		ebb_error_set(e, EBB_INVALID, NULL,
			"archive_write: the name \"%s\" has %zu bytes, a zip file allows %d", name,
			strlen(x->name), MOST_NAME - (int)strlen(SUFFIX));
	ebb_free(m, sizeof *m);
	return NULL;
}

/* Reports libzip's own error if no callback reported one. */
static bool report(const writer *w, zip_error_t *why, ebb_error *e)
{
	if (w->failed.status != EBB_OK)
		ebb_error_set(e, w->failed.status, NULL, "%s", w->failed.message);
	else if (ebb_zip_lacks_memory(why))
		ebb_archive_no_memory(w->a, e);
	else
		ebb_error_set(e, EBB_BAD_FILE, NULL, "archive_write: libzip cannot write: %s",
			zip_error_strerror(why));
	return false;
}

/* Adds the source to the zip file under the entry's name. */
static bool add_source(zip_t *zip, const ebb_archived *x, zip_source_t *source, bool deflate)
{
	size_t size = strlen(x->name) + sizeof SUFFIX;
	char *name = ebb_alloc(size);
	zip_int64_t index = -1;

	if (name) {
		memcpy(name, x->name, strlen(x->name));
		memcpy(name + strlen(x->name), SUFFIX, sizeof SUFFIX);
		index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
	} else {
		zip_error_set(zip_get_error(zip), ZIP_ER_MEMORY, 0);
	}
	ebb_free(name, name ? size : 0);
	if (index < 0) {
		zip_source_free(source);
		return false;
	}
	return zip_set_file_compression(zip, (zip_uint64_t)index,
		       deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, LEVEL) == 0 &&
	       zip_file_set_dostime(zip, (zip_uint64_t)index, 0, FIRST_DAY, 0) == 0;
}

static bool add_entry(writer *w, zip_t *zip, const ebb_archived *x, bool deflate, ebb_error *e)
{
	member *m = member_new(w, x, e);
	zip_source_t *source;

	if (!m)
		return false;
	source = zip_source_function(zip, member_source, m);
	if (!source)
		ebb_free(m, sizeof *m);
	return (source && add_source(zip, x, source, deflate)) || report(w, zip_get_error(zip), e);
}

static bool write_all(writer *w, zip_t *zip, bool deflate, ebb_error *e)
{
	bool ok = true;

	for (int64_t i = 0; ok && i < w->a->count; i++)
		ok = add_entry(w, zip, &w->a->entry[i], deflate, e);
	if (ok && zip_close(zip) == 0)
		return true;
	if (ok)
		report(w, zip_get_error(zip), e);
	zip_discard(zip);
	return false;
}

/* libzip writes no file without members; these bytes are the end record of an empty directory. */
static bool write_empty(ebb_output *out, ebb_error *e)
{
	static const char end[22] = "PK\5\6";

	return ebb_output_write(out, end, sizeof end, e);
}

bool ebb_write_npz(const ebb_archive *a, bool deflate, ebb_output *out, ebb_error *e)
{
	writer w = {.a = a, .out = out};
	zip_source_t *source;
	zip_error_t why;
	zip_t *zip = NULL;
	bool ok;

	if (a->count == 0)
		return write_empty(out, e);
	zip_error_init(&w.error);
	zip_error_init(&why);
	source = zip_source_function_create(output_source, &w, &why);
	if (source)
		zip = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &why);
	if (source && !zip)
		zip_source_free(source);
	ok = zip ? write_all(&w, zip, deflate, e) : report(&w, &why, e);
	zip_error_fini(&why);
	zip_error_fini(&w.error);
	return ok;
}
