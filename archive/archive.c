/*
 * archive.c - the list of entries and metadata, which readers fill and writers traverse.
 */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "archive/internal.h"
#include "tensor/internal.h"

static const int64_t MOST_HEADER = 100000000;
/* A limit for the values of one entry, larger than any file.  A 32-bit machine can list entries
 * that it cannot load. */
static const int64_t MOST_VALUE_BYTES = INT64_C(1) << 46;
/* The memory that an archive may allocate for headers: TIMES bytes for each byte of a header, and
 * FREE_BYTES more. */
enum { TIMES = 64, FREE_BYTES = 1 << 20 };

/* ---- Construction --------------------------------------------------------------------------- */

/* No limits, because what a program adds does not come from a file's header. */
ebb_archive *ebb_archive_new(void)
{
	ebb_archive *a = ebb_alloc_zeroed(sizeof *a);

	if (!a)
		return NULL;
	a->most_header = a->most_bytes = INT64_MAX;
	if (getentropy(&a->seed, sizeof a->seed) != 0)
		a->seed = (uintptr_t)a;
	return a;
}

ebb_archive *ebb_archive_of_file(
	const char *path, int64_t most_header, int64_t most_bytes, ebb_error *e)
{
	ebb_archive *a = ebb_archive_new();

	if (a) {
		a->most_header = most_header ? most_header : MOST_HEADER;
		a->most_bytes = most_bytes ? most_bytes : INT64_MAX;
		a->limited = true;
		a->path = ebb_arena_take(&a->names, strlen(path) + 1);
		if (a->path)
			return memcpy(a->path, path, strlen(path) + 1), a;
	}
	ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to read it", path);
	ebb_archive_free(a);
	return NULL;
}

void ebb_archive_free(ebb_archive *a)
{
	if (!a)
		return;
	for (int64_t i = a->owned_count - 1; i >= 0; i--)
		a->owned[i].destroy(a->owned[i].object);
	ebb_free(a->owned, (size_t)a->owned_capacity * sizeof *a->owned);
	ebb_free(a->entry, (size_t)a->capacity * sizeof *a->entry);
	ebb_free(a->slot, (size_t)a->slots * sizeof *a->slot);
	ebb_free(a->metadata, (size_t)a->metadata_capacity * sizeof *a->metadata);
	ebb_arena_free(&a->names);
	ebb_free(a, sizeof *a);
}

bool ebb_archive_own(ebb_archive *a, void *object, void (*destroy)(void *object), ebb_error *e)
{
	if (!ebb_grow(&a->owned, &a->owned_capacity, a->owned_count + 1, sizeof *a->owned)) {
		destroy(object);
		return ebb_archive_no_memory(a, e);
	}
	a->owned[a->owned_count++] = (struct ebb_archive_owned){object, destroy};
	return true;
}

/* ---- Errors --------------------------------------------------------------------------------- */

bool ebb_archive_refuse(const ebb_archive *a, ebb_error *e, const char *format, ...)
{
	char text[sizeof e->message];
	va_list ap;

	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: %s", ebb_archive_path(a), text);
	return false;
}

bool ebb_archive_no_memory(const ebb_archive *a, ebb_error *e)
{
	ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory for %lld entries", ebb_archive_path(a),
		(long long)a->count + 1);
	return false;
}

const char *ebb_archive_path(const ebb_archive *a)
{
	return a->path ? a->path : "an archive";
}

/* ---- Memory for the content of headers ------------------------------------------------------ */

bool ebb_archive_expect(ebb_archive *a, int64_t n, const char *what, ebb_error *e)
{
	if (n > a->most_header - a->header_bytes)
		return ebb_archive_refuse(a, e,
			"%s of %lld bytes, expected headers of at most %lld bytes together", what,
			(long long)n, (long long)a->most_header);
	a->header_bytes += n;
	return true;
}

bool ebb_archive_charge(ebb_archive *a, size_t n, ebb_error *e)
{
	int64_t most = a->header_bytes > INT64_MAX / (2 * TIMES)
	                       ? INT64_MAX
	                       : TIMES * a->header_bytes + FREE_BYTES;

	if (a->limited && (n > EBB_MOST_BYTES || (int64_t)n > most - a->taken))
		return ebb_archive_refuse(a, e,
			"its header of %lld bytes needs more than %lld bytes of memory",
			(long long)a->header_bytes, (long long)most);
	a->taken += (int64_t)n;
	return true;
}

void *ebb_archive_take(ebb_archive *a, size_t n, ebb_error *e)
{
	void *p;

	if (n == 0)
		n = 1;
	if (!ebb_archive_charge(a, n, e))
		return NULL;
	p = ebb_arena_take(&a->names, n);
	if (!p)
		ebb_archive_no_memory(a, e);
	return p;
}

char *ebb_archive_text(ebb_archive *a, const char *text, size_t n, ebb_error *e)
{
	char *copy = ebb_archive_take(a, n + 1, e);

	if (copy) {
		memcpy(copy, text, n);
		copy[n] = '\0';
	}
	return copy;
}

/* Grows an array to one more element, and counts the memory. */
static bool make_room(
	ebb_archive *a, void *array, int64_t *capacity, int64_t n, size_t element, ebb_error *e)
{
	int64_t before = *capacity;

	if (n <= before)
		return true;
	/* While an array grows, the old and the new one exist. */
	if (!ebb_archive_charge(a, ebb_bytes_of(2 * before + n, element), e))
		return false;
	if (!ebb_grow(array, capacity, n, element))
		return ebb_archive_no_memory(a, e);
	return true;
}

/* ---- Lookup --------------------------------------------------------------------------------- */

/* FNV-1a from a seed. */
static uint64_t hash(uint64_t seed, const char *name, size_t n)
{
	uint64_t h = 14695981039346656037u ^ seed;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * 1099511628211u;
	return h ^ h >> 32;
}

/* The slot of the name in the hash table, or the free slot where it belongs. */
static int64_t *place_of(const ebb_archive *a, const char *name, size_t n)
{
	uint64_t i = hash(a->seed, name, n);

	for (;; i++) {
		int64_t *slot = &a->slot[i & (uint64_t)(a->slots - 1)];
		const char *taken = *slot ? a->entry[*slot - 1].name : NULL;

		if (!taken || (strncmp(taken, name, n) == 0 && taken[n] == '\0'))
			return slot;
	}
}

/* Grows the hash table so that at most half of its slots are used. */
static bool spread(ebb_archive *a, ebb_error *e)
{
	int64_t slots = a->slots ? 2 * a->slots : 16, *old = a->slot, before = a->slots;

	if (2 * (a->count + 1) <= a->slots)
		return true;
	if (!ebb_archive_charge(a, ebb_bytes_of(slots, sizeof *a->slot), e))
		return false;
	a->slot = ebb_alloc_zeroed(ebb_bytes_of(slots, sizeof *a->slot));
	if (!a->slot) {
		a->slot = old;
		return ebb_archive_no_memory(a, e);
	}
	a->slots = slots;
	ebb_free(old, (size_t)before * sizeof *old);
	for (int64_t i = 0; i < a->count; i++)
		*place_of(a, a->entry[i].name, strlen(a->entry[i].name)) = i + 1;
	return true;
}

int64_t ebb_archive_find(const ebb_archive *a, const char *name)
{
	return a && name && a->slots ? *place_of(a, name, strlen(name)) - 1 : -1;
}

static const ebb_archived *entry_at(const ebb_archive *a, int64_t index)
{
	return a && index >= 0 && index < a->count ? &a->entry[index] : NULL;
}

int64_t ebb_archive_count(const ebb_archive *a)
{
	return a ? a->count : 0;
}

const char *ebb_archive_name_at(const ebb_archive *a, int64_t index)
{
	const ebb_archived *x = entry_at(a, index);

	return x ? x->name : NULL;
}

ebb_file_dtype ebb_archive_dtype_at(const ebb_archive *a, int64_t index)
{
	const ebb_archived *x = entry_at(a, index);

	return x ? x->dtype : EBB_FILE_DEFAULT;
}

ebb_shape ebb_archive_shape_at(const ebb_archive *a, int64_t index)
{
	const ebb_archived *x = entry_at(a, index);

	return x ? x->shape : EBB_SCALAR_SHAPE;
}

/* ---- Entries -------------------------------------------------------------------------------- */

int64_t ebb_archived_count(const ebb_archived *x)
{
	size_t element = ebb_file_dtype_size(x->dtype);
	int64_t n = 1, most = MOST_VALUE_BYTES / (int64_t)(element ? element : 1);
	bool empty = false;

	for (int i = 0; i < x->shape.ndim; i++) {
		if (x->shape.dims[i] < 0)
			return -1;
		empty = empty || x->shape.dims[i] == 0;
	}
	for (int i = 0; !empty && i < x->shape.ndim; i++) {
		if (n > most / x->shape.dims[i])
			return -1;
		n *= x->shape.dims[i];
	}
	return empty ? 0 : n;
}

int64_t ebb_archived_bytes(const ebb_archived *x)
{
	return ebb_archived_count(x) * (int64_t)ebb_file_dtype_size(x->dtype);
}

bool ebb_same_dims(ebb_shape a, ebb_shape b)
{
	return a.ndim == b.ndim && memcmp(a.dims, b.dims, (size_t)a.ndim * sizeof *a.dims) == 0;
}

ebb_archived **ebb_archive_entries(const ebb_archive *a, ebb_error *e)
{
	ebb_archived **list = ebb_alloc(ebb_bytes_of(a->count + 1, sizeof *list));

	if (!list)
		return ebb_archive_no_memory(a, e), NULL;
	for (int64_t i = 0; i < a->count; i++)
		list[i] = &a->entry[i];
	return list;
}

void ebb_archive_entries_free(const ebb_archive *a, ebb_archived **list)
{
	ebb_free(list, list ? (size_t)(a->count + 1) * sizeof *list : 0);
}

int64_t ebb_archived_span(const ebb_archived *x)
{
	int64_t element = (int64_t)ebb_file_dtype_size(x->dtype), last = 0;
	int64_t most = INT64_MAX / (element ? element : 1) - 1;

	if (ebb_archived_count(x) == 0)
		return 0;
	for (int i = 0; i < x->shape.ndim; i++) {
		int64_t steps = x->shape.dims[i] - 1, stride = x->strides[i];

		if (stride < 0 || (steps > 0 && stride > (most - last) / steps))
			return -1;
		last += steps * stride;
	}
	return (last + 1) * element;
}

/* The product of sizes may be too large for a stride if another size is 0. */
void ebb_archived_rows(ebb_archived *x)
{
	if (ebb_archived_count(x) > 0)
		ebb_strides_of(EBB_ROWS, x->shape.ndim, x->shape.dims, x->strides);
	else
		memset(x->strides, 0, sizeof x->strides);
}

/* Whether the values lie within the blob, and all values together within most_bytes. */
static bool fits(ebb_archive *a, const ebb_archived *x, ebb_error *e)
{
	char name[80], shape[120];
	int64_t count = ebb_archived_count(x), bytes, span;

	ebb_printable(x->name, strlen(x->name), name, sizeof name);
	ebb_shape_text(x->shape, shape, sizeof shape);
	if (count < 0)
		return ebb_archive_refuse(a, e, "\"%s\": the size of %s %s overflows", name,
			ebb_file_dtype_name(x->dtype), shape);
	bytes = count * (int64_t)ebb_file_dtype_size(x->dtype);
	if (bytes > a->most_bytes - a->value_bytes)
		return ebb_archive_refuse(a, e,
			"\"%s\": %s %s, and all before it, are more than the %lld bytes that are "
			"allowed",
			name, ebb_file_dtype_name(x->dtype), shape, (long long)a->most_bytes);
	if (x->dtype != EBB_FILE_OTHER && !x->live) {
		span = ebb_archived_span(x);
		if (span < 0 || x->offset < 0 || x->offset > x->blob.size ||
			span > x->blob.size - x->offset)
			return ebb_archive_refuse(a, e,
				"\"%s\": %s %s lies at bytes %lld to %lld of %lld", name,
				ebb_file_dtype_name(x->dtype), shape, (long long)x->offset,
				(long long)(span < 0 ? INT64_MAX : x->offset + span),
				(long long)x->blob.size);
	}
	a->value_bytes += bytes;
	return true;
}

bool ebb_archive_enter(ebb_archive *a, const char *name, size_t n, ebb_archived *x,
	const int64_t *strides, ebb_error *e)
{
	char shown[80];
	int64_t *slot;

	ebb_printable(name, n, shown, sizeof shown);
	if (!ebb_is_utf8(name, n))
		return ebb_archive_refuse(a, e, "the name \"%s\" is not UTF-8 without NUL", shown);
	if (!spread(a, e) ||
		!make_room(a, &a->entry, &a->capacity, a->count + 1, sizeof *a->entry, e))
		return false;
	slot = place_of(a, name, n);
	if (*slot)
		return ebb_archive_refuse(a, e, "the name \"%s\" is repeated", shown);
	x->name = ebb_archive_text(a, name, n, e);
	if (!x->name)
		return false;
	if (strides)
		memcpy(x->strides, strides, (size_t)x->shape.ndim * sizeof *strides);
	else
		ebb_archived_rows(x);
	if (!fits(a, x, e))
		return false;
	a->entry[a->count++] = *x;
	*slot = a->count;
	return true;
}

/* ---- Metadata ------------------------------------------------------------------------------- */

static struct ebb_text_pair *pair_of(const ebb_archive *a, const char *key, size_t n)
{
	for (int64_t i = 0; i < a->metadata_count; i++)
		if (strncmp(a->metadata[i].key, key, n) == 0 && a->metadata[i].key[n] == '\0')
			return &a->metadata[i];
	return NULL;
}

bool ebb_archive_note(
	ebb_archive *a, const char *key, size_t n, const char *text, size_t m, ebb_error *e)
{
	struct ebb_text_pair new = {0};

	if (!ebb_is_utf8(key, n) || !ebb_is_utf8(text, m))
		return ebb_archive_refuse(a, e, "metadata that are not UTF-8 without NUL");
	if (!make_room(a, &a->metadata, &a->metadata_capacity, a->metadata_count + 1,
		    sizeof *a->metadata, e))
		return false;
	new.text = ebb_archive_text(a, text, m, e);
	new.key = new.text ? ebb_archive_text(a, key, n, e) : NULL;
	if (!new.key)
		return false;
	a->metadata[a->metadata_count++] = new;
	return true;
}

bool ebb_archive_set_metadata(ebb_archive *a, const char *key, const char *text, ebb_error *e)
{
	struct ebb_text_pair *pair;

	if (!a || !key || !text) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"archive_set_metadata: the archive, the key or the text is NULL");
		return false;
	}
	pair = pair_of(a, key, strlen(key));
	if (!pair)
		return ebb_archive_note(a, key, strlen(key), text, strlen(text), e);
	if (!ebb_is_utf8(text, strlen(text)))
		return ebb_archive_refuse(a, e, "metadata that are not UTF-8");
	text = ebb_archive_text(a, text, strlen(text), e);
	if (text)
		pair->text = (char *)text;
	return text;
}

const char *ebb_archive_metadata(const ebb_archive *a, const char *key)
{
	const struct ebb_text_pair *pair = a && key ? pair_of(a, key, strlen(key)) : NULL;

	return pair ? pair->text : NULL;
}

int64_t ebb_archive_metadata_count(const ebb_archive *a)
{
	return a ? a->metadata_count : 0;
}

const char *ebb_archive_metadata_key_at(const ebb_archive *a, int64_t index)
{
	return a && index >= 0 && index < a->metadata_count ? a->metadata[index].key : NULL;
}

const char *ebb_archive_metadata_at(const ebb_archive *a, int64_t index)
{
	return a && index >= 0 && index < a->metadata_count ? a->metadata[index].text : NULL;
}
