/*
 * source.c - reads files, and decompresses gzipped ones (RFC 1952) with zlib.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "tensor/host.h"
#include "data/internal.h"

/* Deflate compresses at most 1032 to 1. */
enum { CHUNK = 1 << 16, BEST_RATIO = 1032, UNIT = 16 };

struct ebb_source {
	FILE *file;
	const char *path; /* borrowed until ebb_source_close */
	int64_t size;
	bool gzipped;
	bool ended; /* the current gzip member is complete */
	z_stream z;
	unsigned char in[CHUNK];
};

/* The size is kept in the UNIT bytes before the returned memory. */
void *ebb_sized_alloc(size_t size)
{
	char *block = size > EBB_MOST_BYTES ? NULL : ebb_alloc(size + UNIT);

	if (!block)
		return NULL;
	size += UNIT;
	memcpy(block, &size, sizeof size);
	return block + UNIT;
}

void ebb_sized_free(void *p)
{
	char *block = (char *)p - UNIT;
	size_t size;

	if (!p)
		return;
	memcpy(&size, block, sizeof size);
	ebb_free(block, size);
}

static voidpf z_take(voidpf ctx, uInt items, uInt size)
{
	(void)ctx;
	return ebb_sized_alloc((size_t)items * size);
}

static void z_give(voidpf ctx, voidpf memory)
{
	(void)ctx;
	ebb_sized_free(memory);
}

ebb_source *ebb_source_open(const char *path, ebb_error *e)
{
	ebb_source *s = ebb_alloc_zeroed(sizeof *s);
	unsigned char magic[2];
	off_t size;

	if (!s) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to read it", path);
		return NULL;
	}
	s->path = path;
	errno = 0;
	s->file = fopen(path, "rb");
	if (!s->file || fseeko(s->file, 0, SEEK_END) != 0 || (size = ftello(s->file)) < 0 ||
		size == INT64_MAX) {
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: cannot be read: %s", path,
			errno ? ebb_reason(errno) : "not a regular file");
		ebb_source_close(s);
		return NULL;
	}
	rewind(s->file);
	s->size = size;
	s->gzipped = fread(magic, 1, 2, s->file) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
	rewind(s->file);
	if (!s->gzipped)
		return s;
	s->z.zalloc = z_take;
	s->z.zfree = z_give;
	if (inflateInit2(&s->z, 16 + MAX_WBITS) != Z_OK) {
		s->gzipped = false;
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to decompress it", path);
		ebb_source_close(s);
		return NULL;
	}
	return s;
}

void ebb_source_close(ebb_source *s)
{
	if (!s)
		return;
	if (s->gzipped)
		inflateEnd(&s->z);
	if (s->file)
		fclose(s->file);
	ebb_free(s, sizeof *s);
}

int64_t ebb_source_bound(const ebb_source *s)
{
	if (!s->gzipped)
		return s->size;
	return s->size > INT64_MAX / BEST_RATIO ? INT64_MAX : s->size * BEST_RATIO;
}

/* Reads the next bytes of the file; 0 at its end, -1 with an error. */
static int64_t fetch(ebb_source *s, void *to, size_t n, ebb_error *e)
{
	size_t got;

	errno = 0;
	got = fread(to, 1, n, s->file);
	if (got < n && ferror(s->file)) {
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: cannot be read: %s", s->path,
			ebb_reason(errno));
		return -1;
	}
	return (int64_t)got;
}

/* Refills zlib's input; false at the end or on an error. */
static bool refill(ebb_source *s, int64_t *got, ebb_error *e)
{
	*got = fetch(s, s->in, CHUNK, e);
	s->z.next_in = s->in;
	s->z.avail_in = *got > 0 ? (uInt)*got : 0;
	return *got > 0;
}

static int64_t unpack(ebb_source *s, unsigned char *to, int64_t n, ebb_error *e)
{
	int64_t done = 0, got = 0;

	while (done < n) {
		int64_t chunk = n - done < CHUNK ? n - done : CHUNK;
		int status;

		if (s->z.avail_in == 0 && !refill(s, &got, e)) {
			if (got < 0)
				return -1;
			if (s->ended)
				return done;
			ebb_error_set(e, EBB_BAD_FILE, NULL,
				"%s: truncated: the gzip data end after %lld bytes of the file",
				s->path, (long long)s->size);
			return -1;
		}
		/* A gzip file may have several members, which are concatenated. */
		if (s->ended) {
			inflateReset(&s->z);
			s->ended = false;
		}
		s->z.next_out = to + done;
		s->z.avail_out = (uInt)chunk;
		status = inflate(&s->z, Z_NO_FLUSH);
		done += chunk - (int64_t)s->z.avail_out;
		s->ended = status == Z_STREAM_END;
		if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR)
			continue;
		ebb_error_set(e, status == Z_MEM_ERROR ? EBB_NO_MEMORY : EBB_BAD_FILE, NULL,
			"%s: damaged gzip data: %s", s->path, s->z.msg ? s->z.msg : zError(status));
		return -1;
	}
	return done;
}

int64_t ebb_source_read(ebb_source *s, void *to, int64_t n, ebb_error *e)
{
	return s->gzipped ? unpack(s, to, n, e) : fetch(s, to, (size_t)n, e);
}

/* ---- Whole files ---------------------------------------------------------------------------- */

bool ebb_bytes_reserve(ebb_bytes *b, size_t size)
{
	size_t capacity = b->capacity + b->capacity / 2;
	uint8_t *data;

	if (size <= b->capacity)
		return true;
	if (capacity < size)
		capacity = size;
	data = ebb_realloc(b->data, b->capacity, capacity);
	if (!data)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

void ebb_bytes_free(ebb_bytes *b)
{
	ebb_free(b->data, b->capacity);
	*b = (ebb_bytes){0};
}

static bool read_all(ebb_source *s, int64_t most, ebb_bytes *b, ebb_error *e)
{
	/* Reading one byte more than a plain file has detects its end in the same call. */
	size_t step = s->gzipped ? CHUNK : ebb_bytes_of(s->size, 1) + 1;

	if (!s->gzipped && s->size > most)
		goto too_large;
	for (;;) {
		int64_t got;

		if (!ebb_bytes_reserve(b, b->size + step)) {
			ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to read it", s->path);
			return false;
		}
		got = ebb_source_read(s, b->data + b->size, (int64_t)step, e);
		if (got < 0)
			return false;
		b->size += (size_t)got;
		if ((int64_t)b->size > most)
			goto too_large;
		if (got < (int64_t)step)
			break;
		step = CHUNK;
	}
	if (b->size == 0)
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: an empty file", s->path);
	return b->size > 0;
too_large:
	ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: more than %lld bytes", s->path, (long long)most);
	return false;
}

bool ebb_source_read_all(const char *path, int64_t most, ebb_bytes *b, ebb_error *e)
{
	ebb_source *s = ebb_source_open(path, e);
	bool ok = s && read_all(s, most, b, e);

	ebb_source_close(s);
	if (!ok)
		ebb_bytes_free(b);
	return ok;
}
