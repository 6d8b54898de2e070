/* See zips.h. */
#include "tests/archive/zips.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { VERSION = 20, DAY = 0x21 };

void made_put(made_zip *z, size_t at, int width, uint64_t value)
{
	for (int i = 0; i < width; i++)
		z->bytes[at + (size_t)i] = (unsigned char)(value >> 8 * i);
}

uint64_t made_get(const made_zip *z, size_t at, int width)
{
	uint64_t value = 0;

	for (int i = 0; i < width; i++)
		value |= (uint64_t)z->bytes[at + (size_t)i] << 8 * i;
	return value;
}

void made_append(made_zip *z, const void *bytes, size_t n)
{
	if (z->size + n > z->capacity) {
		z->capacity = 2 * (z->size + n);
		z->bytes = realloc(z->bytes, z->capacity);
		if (!z->bytes)
			abort();
	}
	if (n > 0)
		memcpy(z->bytes + z->size, bytes, n);
	z->size += n;
}

static void append_number(made_zip *z, int width, uint64_t value)
{
	made_append(z, "\0\0\0\0\0\0\0", (size_t)width);
	made_put(z, z->size - (size_t)width, width, value);
}

/* From the version to the length of the extra fields: the same in both headers. */
static void append_common(made_zip *z, const struct made_member *m)
{
	append_number(z, 2, VERSION);
	append_number(z, 2, 0);
	append_number(z, 2, m->deflated ? 8 : 0);
	append_number(z, 2, 0);
	append_number(z, 2, DAY);
	append_number(z, 4, m->checksum);
	append_number(z, 4, m->packed);
	append_number(z, 4, m->size);
	append_number(z, 2, m->name_size);
	append_number(z, 2, m->extra_size);
}

static unsigned char *deflated_bytes(const void *bytes, size_t n, size_t *packed)
{
	z_stream s = {0};
	unsigned char *to = malloc(n + 1000);

	if (!to || deflateInit2(&s, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	s.next_in = (Bytef *)(uintptr_t)bytes;
	s.avail_in = (uInt)n;
	s.next_out = to;
	s.avail_out = (uInt)n + 1000;
	if (deflate(&s, Z_FINISH) != Z_STREAM_END)
		abort();
	*packed = s.total_out;
	deflateEnd(&s);
	return to;
}

int made_add_extra(made_zip *z, const char *name, const void *bytes, size_t n, bool deflated,
	const void *extra, size_t extra_size)
{
	struct made_member *m = &z->member[z->count];
	unsigned char *packed = NULL;

	*m = (struct made_member){.local = z->size,
		.size = n,
		.packed = n,
		.name_size = strlen(name),
		.extra_size = extra_size,
		.deflated = deflated};
	strcpy(m->name, name);
	m->extra = malloc(extra_size + 1);
	if (extra_size > 0)
		memcpy(m->extra, extra, extra_size);
	m->checksum = (uint32_t)crc32(0, bytes, (uInt)n);
	if (deflated)
		packed = deflated_bytes(bytes, n, &m->packed);
	made_append(z, "PK\3\4", 4);
	append_common(z, m);
	made_append(z, name, m->name_size);
	made_append(z, extra, extra_size);
	m->data = z->size;
	made_append(z, deflated ? packed : bytes, m->packed);
	free(packed);
	return z->count++;
}

int made_add(made_zip *z, const char *name, const void *bytes, size_t n, bool deflated)
{
	return made_add_extra(z, name, bytes, n, deflated, NULL, 0);
}

static void append_record(made_zip *z, struct made_member *m)
{
	m->record = z->size;
	made_append(z, "PK\1\2", 4);
	append_number(z, 2, VERSION);
	append_common(z, m);
	append_number(z, 2, 0); /* comment */
	append_number(z, 2, 0); /* part */
	append_number(z, 2, 0);
	append_number(z, 4, 0);
	append_number(z, 4, m->local);
	made_append(z, m->name, m->name_size);
	made_append(z, m->extra, m->extra_size);
}

static void append_wide_end(made_zip *z, size_t size)
{
	size_t at = z->size;

	made_append(z, "PK\6\6", 4);
	append_number(z, 8, 44);
	append_number(z, 2, 45);
	append_number(z, 2, 45);
	append_number(z, 4, 0);
	append_number(z, 4, 0);
	append_number(z, 8, (uint64_t)z->count);
	append_number(z, 8, (uint64_t)z->count);
	append_number(z, 8, size);
	append_number(z, 8, z->directory);
	made_append(z, "PK\6\7", 4);
	append_number(z, 4, 0);
	append_number(z, 8, at);
	append_number(z, 4, 1);
}

void made_finish(made_zip *z, bool wide, const char *comment)
{
	size_t n = comment ? strlen(comment) : 0, size;

	z->directory = z->size;
	for (int i = 0; i < z->count; i++)
		append_record(z, &z->member[i]);
	size = z->size - z->directory;
	if (wide)
		append_wide_end(z, size);
	z->end = z->size;
	made_append(z, "PK\5\6", 4);
	append_number(z, 4, 0);
	append_number(z, 2, (uint64_t)z->count);
	append_number(z, 2, (uint64_t)z->count);
	append_number(z, 4, wide ? UINT32_MAX : size);
	append_number(z, 4, wide ? UINT32_MAX : z->directory);
	append_number(z, 2, n);
	made_append(z, comment, n);
}

void made_free(made_zip *z)
{
	for (int i = 0; i < z->count; i++)
		free(z->member[i].extra);
	free(z->bytes);
	*z = (made_zip){0};
}
