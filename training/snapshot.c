/*
 * snapshot.c - a copy of an archive's values, made by all threads of the pool, because one thread
 * does not use the full memory bandwidth.
 */
#include <string.h>
#if defined __SSE2__
#include <emmintrin.h>
#endif

#include "archive/internal.h"
#include "tensor/internal.h"
#include "kernels/kernels.h"
#include "training/snapshot.h"

enum { ALIGNMENT = 64, PIECE = 4 << 20 };

/* ---- Memory ---------------------------------------------------------------------------------- */

static size_t bytes_of(const ebb_archived *x)
{
	return (size_t)ebb_archived_bytes(x);
}

static size_t aligned(size_t n)
{
	return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void touch(void *ctx, int64_t piece, int worker)
{
	const ebb_snapshot *s = ctx;
	size_t from = (size_t)piece * PIECE, left = s->size - from;

	(void)worker;
	memset(s->block + from, 0, left < PIECE ? left : PIECE);
}

static int64_t pieces_of(size_t size)
{
	return (int64_t)((size + PIECE - 1) / PIECE);
}

bool ebb_snapshot_room(ebb_snapshot *s, const ebb_archive *a)
{
	size_t size = 0;

	for (int64_t i = 0; i < a->count; i++) {
		size += aligned(bytes_of(&a->entry[i]));
		if (size > EBB_MOST_BYTES)
			return false;
	}
	if (size <= s->size)
		return true;
	ebb_snapshot_free(s);
	s->block = ebb_alloc(size);
	if (!s->block)
		return false;
	s->size = size;
	ebb_parallel(pieces_of(size), touch, s);
	return true;
}

void ebb_snapshot_free(ebb_snapshot *s)
{
	ebb_free(s->block, s->size);
	*s = (ebb_snapshot){0};
}

/* ---- Copying with non-temporal stores -------------------------------------------------------- */

/* The copy is not read soon.  Non-temporal stores avoid reading the overwritten cache lines, a
 * third of the memory traffic.  Writing to four pages alternately keeps more DRAM banks open. */
#if defined __SSE2__
enum { LINE = 64, PAGE = 4096, PAGES = 4 };

static inline void stream_line(char *to, const char *from)
{
	for (int k = 0; k < LINE; k += 16)
		_mm_stream_si128((__m128i *)(void *)(to + k),
			_mm_loadu_si128((const __m128i *)(const void *)(from + k)));
}

static void copy(char *to, const char *from, size_t n)
{
	size_t head = -(uintptr_t)to % LINE, i;

	head = head < n ? head : n;
	memcpy(to, from, head);
	for (i = head; i + PAGES * PAGE <= n; i += PAGES * PAGE)
		for (size_t line = i; line < i + PAGE; line += LINE)
			for (size_t page = 0; page < PAGES; page++)
				stream_line(to + line + page * PAGE, from + line + page * PAGE);
	memcpy(to + i, from + i, n - i);
	_mm_sfence();
}
#else
static void copy(char *to, const char *from, size_t n)
{
	memcpy(to, from, n);
}
#endif

/* ---- Copying --------------------------------------------------------------------------------- */

/* The values of an entry in memory, or NULL if they are not row-major. */
static const char *values_of(const ebb_archived *x)
{
	if (!x->live)
		return (const char *)x->blob.memory + x->offset;
	return ebb_is_dense(x->live, EBB_ROWS) ? ebb_data(x->live) : NULL;
}

/* For each entry, the address of its values and their offset in the block. */
typedef struct copying {
	char *block;
	int64_t count;
	struct part {
		const char *from;
		size_t at, size;
	} * part;
} copying;

/* The last part that begins at offset at or before it. */
static int64_t part_at(const copying *c, size_t at)
{
	int64_t low = 0, high = c->count;

	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (c->part[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void copy_piece(void *ctx, int64_t piece, int worker)
{
	const copying *c = ctx;
	size_t begin = (size_t)piece * PIECE, end = begin + PIECE;

	(void)worker;
	for (int64_t i = part_at(c, begin); i < c->count && c->part[i].at < end; i++) {
		const struct part *p = &c->part[i];
		size_t from = p->at > begin ? p->at : begin,
		       to = p->at + p->size < end ? p->at + p->size : end;

		if (p->from && from < to)
			copy(c->block + from, p->from + (from - p->at), to - from);
	}
}

/* Copies all values; those that are not row-major first, one entry at a time. */
static bool copy_values(ebb_snapshot *s, const ebb_archive *a, copying *c)
{
	size_t at = 0;

	for (int64_t i = 0; i < a->count; i++) {
		const ebb_archived *x = &a->entry[i];
		size_t size = bytes_of(x);

		c->part[i] = (struct part){values_of(x), at, size};
		if (size > 0 && !c->part[i].from && !ebb_copy_out(x->live, s->block + at, size))
			return false;
		at += aligned(size);
	}
	c->block = s->block;
	c->count = a->count;
	ebb_parallel(pieces_of(at), copy_piece, c);
	return true;
}

/* An archive that refers to the values in the block. */
static ebb_archive *describe(const ebb_archive *a, const copying *c)
{
	ebb_archive *other = ebb_archive_new();
	bool ok = other != NULL;

	for (int64_t i = 0; ok && i < a->count; i++)
		ok = ebb_archive_add_values(other, a->entry[i].name, a->entry[i].dtype,
			a->entry[i].shape, c->block + c->part[i].at, NULL);
	for (int64_t i = 0; ok && i < a->metadata_count; i++)
		ok = ebb_archive_note(other, a->metadata[i].key, strlen(a->metadata[i].key),
			a->metadata[i].text, strlen(a->metadata[i].text), NULL);
	if (!ok) {
		ebb_archive_free(other);
		return NULL;
	}
	return other;
}

ebb_archive *ebb_snapshot_copy(ebb_snapshot *s, const ebb_archive *a)
{
	size_t size = ebb_bytes_of(a->count, sizeof(struct part));
	copying c = {0};
	ebb_archive *other = NULL;

	if (!ebb_snapshot_room(s, a))
		return NULL;
	c.part = ebb_alloc(size);
	if (c.part && copy_values(s, a, &c))
		other = describe(a, &c);
	ebb_free(c.part, c.part ? size : 0);
	return other;
}
