/*
 * directory.c - checks the central directory of a zip file before libzip reads it.
 *
 * libzip does not report the position of a member or overlapping members; it searches the last 64
 * KiB of a file for any end record; it keeps names in a hash table with a known hash function; and
 * it compares each pair of extra fields.  So this file accepts only: one directory, which ends
 * where its end record begins; members before the directory that do not overlap; few extra fields;
 * and names without many hash collisions.  The layout is that of PKWARE's APPNOTE.TXT 6.3.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/zip/zip.h"

enum {
	LOCAL_SIZE = 30,
	RECORD_SIZE = 46,
	END_SIZE = 22,
	LOCATOR_SIZE = 20,
	END64_SIZE = 56,
	MOST_COMMENT = 65535,
	MOST_TEXT = 2 * 65535, /* name and extra fields */
	MOST_EXTRA_FIELDS = 64,
	ZIP64_FIELD = 1,
	LEAST_HASH_TABLE = 256,
	/* Deflate encodes 258 bytes in two bits at best: 1032 to 1. */
	MOST_RATIO = 1032
};
enum { ENCRYPTED = 1 << 0, STRONGLY_ENCRYPTED = 1 << 6, MASKED = 1 << 13 };
enum { UNCOMPRESSED = 0, DEFLATED = 8 };
static const uint32_t ALL_ONES = 0xffffffff;

/* The directory as read from the file. */
typedef struct directory {
	ebb_archive *a;
	const ebb_input *in;
	ebb_error *e;
	int64_t at, size, count;
	uint8_t *bytes; /* [size] */
	uint8_t *local; /* [LOCAL_SIZE + MOST_TEXT]: the local header of one member */
	ebb_zip_member *member;
} directory;

static unsigned get16(const uint8_t *b)
{
	return b[0] | (unsigned)b[1] << 8;
}

static uint32_t get32(const uint8_t *b)
{
	return get16(b) | (uint32_t)get16(b + 2) << 16;
}

static uint64_t get64(const uint8_t *b)
{
	return get32(b) | (uint64_t)get32(b + 4) << 32;
}

static bool is_record(const uint8_t *b, uint8_t third, uint8_t fourth)
{
	return b[0] == 'P' && b[1] == 'K' && b[2] == third && b[3] == fourth;
}

/* ---- The end of the directory --------------------------------------------------------------- */

/* Reads the numbers of the 64-bit end record from its locator, which precedes the end record at
 * end. */
static bool read_end64(directory *d, const uint8_t *locator, int64_t end, uint64_t number[3])
{
	int64_t at = end - LOCATOR_SIZE - END64_SIZE;
	uint8_t b[END64_SIZE];

	if (at < 0 || get64(locator + 8) != (uint64_t)at || get32(locator + 4) != 0 ||
		get32(locator + 16) > 1)
		return ebb_archive_refuse(d->a, d->e,
			"the zip file's 64-bit end record is not right before its locator");
	if (!ebb_input_read(d->in, at, b, END64_SIZE, "the end of a zip directory", d->e))
		return false;
	if (!is_record(b, 6, 6) || get64(b + 4) != END64_SIZE - 12)
		return ebb_archive_refuse(
			d->a, d->e, "the zip file's locator points to no 64-bit end record");
	if (get32(b + 16) != 0 || get32(b + 20) != 0 || get64(b + 24) != get64(b + 32))
		return ebb_archive_refuse(d->a, d->e, "a zip file in several parts");
	number[0] = get64(b + 32);
	number[1] = get64(b + 40);
	number[2] = get64(b + 48);
	return true;
}

/* Reads the position of the directory from the end record, n - i bytes before the end of the
 * file. */
static bool read_end(directory *d, const uint8_t *tail, int64_t n, int64_t i)
{
	const uint8_t *b = tail + i;
	int64_t end = d->in->size - (n - i), before = end;
	uint64_t number[3] = {
		get16(b + 10), get32(b + 12), get32(b + 16)}; /* records, bytes, offset */
	bool wide = i >= LOCATOR_SIZE && is_record(b - LOCATOR_SIZE, 6, 7);

	if (wide) {
		if (!read_end64(d, b - LOCATOR_SIZE, end, number))
			return false;
		before -= LOCATOR_SIZE + END64_SIZE;
	} else if (get16(b + 4) != 0 || get16(b + 6) != 0 || get16(b + 8) != get16(b + 10)) {
		return ebb_archive_refuse(d->a, d->e, "a zip file in several parts");
	}
	if (number[1] > (uint64_t)before || number[2] != (uint64_t)before - number[1])
		return ebb_archive_refuse(d->a, d->e,
			"the zip directory has %llu bytes from offset %llu on, expected to end at "
			"%lld, where its end record begins",
			(unsigned long long)number[1], (unsigned long long)number[2],
			(long long)before);
	if (number[0] > number[1] / RECORD_SIZE)
		return ebb_archive_refuse(d->a, d->e,
			"a zip directory of %llu bytes cannot list %llu members",
			(unsigned long long)number[1], (unsigned long long)number[0]);
	d->count = (int64_t)number[0];
	d->size = (int64_t)number[1];
	d->at = (int64_t)number[2];
	return true;
}

/* Finds the end record: the one whose comment ends at the end of the file. */
static bool find_end(directory *d, const uint8_t *tail, int64_t n)
{
	int64_t found = -1;

	for (int64_t i = n - END_SIZE; i >= 0; i--) {
		if (!is_record(tail + i, 5, 6) || get16(tail + i + 20) != n - i - END_SIZE)
			continue;
		if (found >= 0)
			return ebb_archive_refuse(d->a, d->e,
				"two records that could be the end of the zip directory");
		found = i;
	}
	if (found < 0)
		return ebb_archive_refuse(d->a, d->e,
			"truncated, or no zip file: no end of a zip directory in its last %lld "
			"bytes",
			(long long)n);
	return read_end(d, tail, n, found);
}

static bool read_tail(directory *d)
{
	int64_t n = END_SIZE + MOST_COMMENT + LOCATOR_SIZE;
	uint8_t *tail;
	bool ok;

	n = n < d->in->size ? n : d->in->size;
	tail = ebb_alloc((size_t)n + 1);
	if (!tail)
		return ebb_archive_no_memory(d->a, d->e);
	ok = ebb_input_read(d->in, d->in->size - n, tail, n, "the end of a zip directory", d->e) &&
	     find_end(d, tail, n);
	ebb_free(tail, (size_t)n + 1);
	return ok;
}

/* ---- Records -------------------------------------------------------------------------------- */

/* Refuses a member; the error has its name. */
static bool refuse(const directory *d, const uint8_t *name, size_t n, const char *why)
{
	char shown[120];

	ebb_printable((const char *)name, n, shown, sizeof shown);
	return ebb_archive_refuse(d->a, d->e, "member \"%s\": %s", shown, why);
}

/* Finds the field of 64-bit sizes among n bytes of extra fields; *wide is NULL if there is none.
 * Returns NULL, or a description of the error. */
static const char *find_wide(const uint8_t *extra, size_t n, const uint8_t **wide, size_t *width)
{
	int fields = 0;

	*wide = NULL;
	*width = 0;
	while (n > 0) {
		size_t size = n < 4 ? n : get16(extra + 2);

		if (n < 4 || size > n - 4)
			return "an extra field beyond the end of its header";
		if (++fields > MOST_EXTRA_FIELDS)
			return "more than 64 extra fields";
		if (get16(extra) == ZIP64_FIELD) {
			if (*wide)
				return "two fields of 64-bit sizes";
			*wide = extra + 4;
			*width = size;
		}
		extra += 4 + size;
		n -= 4 + size;
	}
	return NULL;
}

/* Replaces a 32-bit number that is all ones by the next 64-bit number.  False if there is none. */
static bool widen(uint64_t *number, const uint8_t **wide, size_t *width)
{
	if (*number != ALL_ONES)
		return true;
	if (*width < 8)
		return false;
	*number = get64(*wide);
	*wide += 8;
	*width -= 8;
	return true;
}

/* Returns NULL, or the reason why the sizes in a member's record are invalid. */
static const char *take_sizes(const directory *d, const uint8_t *record, const uint8_t *wide,
	size_t width, ebb_zip_member *m)
{
	uint64_t size = get32(record + 24), packed = get32(record + 20),
		 header = get32(record + 42);

	if (!widen(&size, &wide, &width) || !widen(&packed, &wide, &width) ||
		!widen(&header, &wide, &width))
		return "its 64-bit sizes are missing";
	if (header > (uint64_t)d->at || (uint64_t)d->at - header < LOCAL_SIZE ||
		packed > (uint64_t)d->at - header - LOCAL_SIZE)
		return "lies beyond the beginning of the zip directory";
	if (!m->deflated && size != packed)
		return "is uncompressed, but its two sizes differ";
	if (m->deflated && size > MOST_RATIO * (packed + 1))
		return "declares more than 1032 times its compressed size";
	m->header = (int64_t)header;
	m->packed = (int64_t)packed;
	m->size = (int64_t)size;
	return NULL;
}

static const char *check_flags(unsigned flags, unsigned method)
{
	if (flags & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED))
		return "is encrypted, expected an unencrypted member";
	if (method != UNCOMPRESSED && method != DEFLATED)
		return "is compressed by a method other than deflate";
	return NULL;
}

/* Parses one record of at most n bytes into m; returns its size, or 0 with an error. */
static int64_t read_record(const directory *d, const uint8_t *b, int64_t n, ebb_zip_member *m)
{
	const uint8_t *name = b + RECORD_SIZE, *wide;
	size_t length, extra, width;
	const char *why;

	if (n < RECORD_SIZE || !is_record(b, 1, 2))
		return ebb_archive_refuse(
			d->a, d->e, "the zip directory has no record where one is expected");
	length = get16(b + 28);
	extra = get16(b + 30);
	if ((int64_t)(length + extra + get16(b + 32)) > n - RECORD_SIZE)
		return ebb_archive_refuse(
			d->a, d->e, "a record of the zip directory goes beyond its end");
	why = check_flags(get16(b + 8), get16(b + 10));
	m->deflated = get16(b + 10) == DEFLATED;
	m->checksum = get32(b + 16);
	if (!why && memchr(name, '\0', length))
		why = "its name contains NUL";
	if (!why && get16(b + 34) != 0)
		why = "lies in another part of the zip file";
	if (!why)
		why = find_wide(name + length, extra, &wide, &width);
	if (!why)
		why = take_sizes(d, b, wide, width, m);
	if (why)
		return refuse(d, name, length, why);
	return (int64_t)(RECORD_SIZE + length + extra + get16(b + 32));
}

/* Checks the local header of the member with this record; sets the offset of its bytes. */
static bool read_local(const directory *d, const uint8_t *record, ebb_zip_member *m)
{
	const uint8_t *name = record + RECORD_SIZE, *wide;
	size_t length = get16(record + 28), extra, width;
	uint8_t *b = d->local;
	const char *why;

	if (!ebb_input_read(d->in, m->header, b, LOCAL_SIZE, "a zip member's header", d->e))
		return false;
	if (!is_record(b, 3, 4))
		return refuse(d, name, length, "has no local header where the directory says");
	extra = get16(b + 28);
	m->data = m->header + LOCAL_SIZE + (int64_t)(get16(b + 26) + extra);
	if (m->data > d->at - m->packed)
		return refuse(d, name, length, "lies beyond the beginning of the zip directory");
	if (!ebb_archive_expect(d->a, m->data - m->header, "a zip member's header", d->e))
		return false;
	if (!ebb_input_read(d->in, m->header + LOCAL_SIZE, b + LOCAL_SIZE,
		    m->data - m->header - LOCAL_SIZE, "a zip member's header", d->e))
		return false;
	why = check_flags(get16(b + 6), get16(b + 8));
	if (!why)
		why = find_wide(b + LOCAL_SIZE + get16(b + 26), extra, &wide, &width);
	if (!why && (get16(b + 26) != length || memcmp(b + LOCAL_SIZE, name, length) != 0))
		why = "has another name in its local header";
	if (!why && (get16(b + 8) == DEFLATED) != m->deflated)
		why = "has another compression method in its local header";
	return !why || refuse(d, name, length, why);
}

static bool read_records(directory *d)
{
	int64_t at = 0;

	for (int64_t i = 0; i < d->count; i++) {
		int64_t n = read_record(d, d->bytes + at, d->size - at, &d->member[i]);

		if (n == 0 || !read_local(d, d->bytes + at, &d->member[i]))
			return false;
		at += n;
	}
	return at == d->size ||
	       ebb_archive_refuse(d->a, d->e,
		       "the zip directory has %lld bytes, expected %lld for its %lld members",
		       (long long)d->size, (long long)at, (long long)d->count);
}

/* ---- All members together ------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* Checks that no byte belongs to two members. */
static bool check_overlaps(const directory *d)
{
	size_t size = ebb_bytes_of(d->count, 2 * sizeof(int64_t));
	int64_t *place = ebb_alloc(size + 1);
	bool ok = true;

	if (!place)
		return ebb_archive_no_memory(d->a, d->e);
	for (int64_t i = 0; i < d->count; i++) {
		place[2 * i] = d->member[i].header;
		place[2 * i + 1] = d->member[i].data + d->member[i].packed;
	}
	qsort(place, (size_t)d->count, 2 * sizeof *place, by_place);
	for (int64_t i = 0; ok && i + 1 < d->count; i++)
		if (place[2 * i + 1] > place[2 * i + 2])
			ok = ebb_archive_refuse(d->a, d->e,
				"two members of the zip file overlap at offset %lld",
				(long long)place[2 * i + 2]);
	ebb_free(place, size + 1);
	return ok;
}

/* The hash of names in libzip 1.7, whose table has a power of two slots. */
static uint32_t hash_as_libzip(const uint8_t *name, size_t n)
{
	uint32_t h = 5381;

	for (size_t i = 0; i < n; i++)
		h = h * 33 + name[i];
	return h;
}

/* Refuses many names with the same slot in libzip's table, because it would compare each with
 * each. */
static bool check_names(const directory *d)
{
	int64_t places = LEAST_HASH_TABLE, steps = 0, at = 0;
	uint32_t *taken;
	size_t size;

	while (places * 3 / 4 < d->count)
		places *= 2;
	size = ebb_bytes_of(places, sizeof *taken);
	taken = ebb_alloc_zeroed(size);
	if (!taken)
		return ebb_archive_no_memory(d->a, d->e);
	for (int64_t i = 0; i < d->count; i++) {
		const uint8_t *b = d->bytes + at;
		uint32_t h = hash_as_libzip(b + RECORD_SIZE, get16(b + 28));

		steps += taken[h & (uint32_t)(places - 1)]++;
		at += RECORD_SIZE + get16(b + 28) + get16(b + 30) + get16(b + 32);
	}
	ebb_free(taken, size);
	return steps <= 64 * (d->count + LEAST_HASH_TABLE) ||
	       ebb_archive_refuse(d->a, d->e,
		       "the names of its %lld zip members collide too often in a hash table",
		       (long long)d->count);
}

bool ebb_zip_directory(
	ebb_archive *a, const ebb_input *in, ebb_zip_member **member, int64_t *count, ebb_error *e)
{
	directory d = {.a = a, .in = in, .e = e};
	size_t size;
	bool ok = false;

	if (!read_tail(&d) || !ebb_archive_expect(a, d.size, "a zip directory", e))
		return false;
	size = ebb_bytes_of(d.size, 1) + LOCAL_SIZE + MOST_TEXT;
	d.member = ebb_archive_take(a, ebb_bytes_of(d.count, sizeof *d.member), e);
	d.bytes = d.member ? ebb_alloc(size) : NULL;
	if (d.bytes) {
		d.local = d.bytes + d.size;
		ok = ebb_input_read(in, d.at, d.bytes, d.size, "a zip directory", e) &&
		     read_records(&d) && check_overlaps(&d) && check_names(&d);
	} else if (d.member) {
		ebb_archive_no_memory(a, e);
	}
	ebb_free(d.bytes, size);
	*member = d.member;
	*count = d.count;
	return ok;
}
