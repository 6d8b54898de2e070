/*
 * tensors.c - converts a tensor of a pickle to an entry: its type, its shape, and its position in a
 * storage.
 */
#include <string.h>

#include "archive/torch/torch.h"

enum { SHOWN = 80 };

static const char *shown(const ebb_torch *t, char buffer[SHOWN])
{
	return ebb_printable(t->name ? t->name : "", (size_t)t->name_bytes, buffer, SHOWN);
}

/* "data.pkl: "name" text" */
static bool refuse(ebb_torch *t, const char *text)
{
	char name[SHOWN];

	return ebb_archive_refuse(
		t->heap.a, t->heap.e, "%s: \"%s\" %s", t->what, shown(t, name), text);
}

static bool enter(ebb_torch *t, ebb_archived *x, const int64_t *strides)
{
	return ebb_archive_enter(
		t->heap.a, t->name ? t->name : "", (size_t)t->name_bytes, x, strides, t->heap.e);
}

/* ---- Shapes --------------------------------------------------------------------------------- */

/* Parses sizes or strides: a tuple of numbers >= 0. */
static bool numbers_of(ebb_torch *t, const ebb_py *x, int64_t *to, int *n)
{
	if (x->kind != EBB_PY_TUPLE)
		return refuse(t, "has a shape or strides that are not a tuple");
	if (x->n > EBB_MAX_DIMS)
		return refuse(t, "has more than 8 axes");
	*n = (int)x->n;
	for (int i = 0; i < *n; i++) {
		if (x->item[i]->kind != EBB_PY_INT || x->item[i]->i < 0)
			return refuse(t, "has a size or stride that is not a number >= 0");
		to[i] = x->item[i]->i;
	}
	return true;
}

static bool shape_of(ebb_torch *t, const ebb_py *size, ebb_shape *shape)
{
	*shape = EBB_SCALAR_SHAPE;
	return numbers_of(t, size, shape->dims, &shape->ndim);
}

/* ---- Tensors that cannot be read ------------------------------------------------------------ */

/* Adds an entry without values; other must be a static string. */
static bool enter_other(ebb_torch *t, const ebb_py *size, const char *other)
{
	ebb_archived x = {
		.dtype = EBB_FILE_OTHER, .other = other, .blob = ebb_blob_of_memory("", 0)};

	return shape_of(t, size, &x.shape) && enter(t, &x, NULL);
}

/* Arguments: (layout, (indices, values, size[, coalesced])), or for compressed rows or columns a
 * tuple with two index tensors.  The older function has the layout last; its second argument is the
 * same. */
static bool enter_sparse(ebb_torch *t, const ebb_py *args)
{
	const ebb_py *layout = args->item[0], *data = args->item[1];
	uint32_t at = ebb_py_is(layout, "torch.sparse_coo") ? 2 : 3;

	if (data->kind != EBB_PY_TUPLE || data->n <= at)
		return refuse(t, "is a sparse tensor without a size");
	return enter_other(t, data->item[at], "sparse");
}

/* ---- Storages ------------------------------------------------------------------------------- */

/* The bytes of a storage that a persistent id refers to. */
typedef struct span {
	const ebb_torch_storage *storage;
	int64_t start, bytes;
} span;

static bool span_of(ebb_torch *t, const ebb_py *x, int element, span *s)
{
	const ebb_py *key = x->item[2], *view = x->n > 5 ? x->item[5] : NULL;
	int64_t count = x->item[4]->i;
	char name[SHOWN], shown_key[SHOWN];

	s->storage = ebb_torch_find(t, key);
	ebb_printable((const char *)key->bytes, key->n, shown_key, sizeof shown_key);
	if (!s->storage || !s->storage->present)
		return ebb_archive_refuse(t->heap.a, t->heap.e,
			"%s: \"%s\" lies in storage \"%s\", which the file does not contain",
			t->what, shown(t, name), shown_key);
	if (count > s->storage->blob.size / element)
		return ebb_archive_refuse(t->heap.a, t->heap.e,
			"%s: \"%s\" says that storage \"%s\" has %lld elements of %d bytes: it has "
			"%lld "
			"bytes",
			t->what, shown(t, name), shown_key, (long long)count, element,
			(long long)s->storage->blob.size);
	s->start = 0;
	s->bytes = count * element;
	if (!view || view->kind != EBB_PY_TUPLE)
		return true;
	if (view->item[2]->i > count - view->item[1]->i)
		return refuse(t, "is a view beyond its storage");
	s->start = view->item[1]->i * element;
	s->bytes = view->item[2]->i * element;
	return true;
}

/* Whether all elements lie within the storage; sets x->offset. */
static bool lies_within(
	ebb_torch *t, ebb_archived *x, const int64_t *strides, int64_t offset, const span *s)
{
	int64_t element = (int64_t)ebb_file_dtype_size(x->dtype), last = offset;
	int64_t most = s->bytes / element - 1;
	bool fits = last <= most;

	x->offset = s->start;
	for (int i = 0; i < x->shape.ndim; i++) {
		int64_t steps = x->shape.dims[i] - 1;

		if (steps < 0)
			return true; /* a tensor without elements */
		fits = fits && (steps == 0 || strides[i] <= (most - last) / steps);
		if (fits)
			last += steps * strides[i];
	}
	if (!fits)
		return refuse(t, "lies beyond the end of its storage");
	x->offset += offset * element;
	return true;
}

/* An expanded tensor refers to the same elements many times.  A tensor that is far larger than its
 * bytes in the file is listed but not read, because it would take memory out of proportion to the
 * file. */
static bool is_blown_up(const ebb_archived *x, const span *s)
{
	enum { HARMLESS = 64 << 20, TIMES = 1024 };
	int64_t count = ebb_archived_count(x), element = (int64_t)ebb_file_dtype_size(x->dtype);

	return count > HARMLESS / element && count * element / TIMES > s->bytes;
}

static bool enter_view(ebb_torch *t, const ebb_py *args, const ebb_py_name *type)
{
	const ebb_py *storage = args->item[0], *offset = args->item[1];
	ebb_archived x = {.dtype = type->dtype, .big_endian = t->big_endian};
	int64_t strides[EBB_MAX_DIMS];
	span s;
	int n = 0;

	if (offset->kind != EBB_PY_INT || offset->i < 0)
		return refuse(t, "has an offset that is not a number >= 0");
	if (!shape_of(t, args->item[2], &x.shape) || !numbers_of(t, args->item[3], strides, &n))
		return false;
	if (n != x.shape.ndim)
		return refuse(t, "has another number of strides than of sizes");
	if (!span_of(t, storage, ebb_py_named(storage->item[1])->size, &s) ||
		!lies_within(t, &x, strides, offset->i, &s))
		return false;
	if (is_blown_up(&x, &s))
		return enter_other(t, args->item[2], "expanded");
	x.blob = s.storage->blob;
	return enter(t, &x, strides);
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* Whether metadata flags say that the values are negated or conjugated when read. */
static bool has_bits(const ebb_py *x, uint32_t at)
{
	return x->n > at && x->item[at]->kind == EBB_PY_DICT && x->item[at]->n > 0;
}

static bool enter_rebuilt(ebb_torch *t, const ebb_py *x)
{
	bool says_type = x->meaning == EBB_PY_REBUILD_3;
	const ebb_py *storage = x->item[0];
	const ebb_py_name *type;

	if (storage->kind != EBB_PY_STORAGE)
		return refuse(t, "is a tensor without a storage");
	if (says_type && ebb_py_means(x->item[6]) != EBB_PY_DTYPE)
		return refuse(t, "has an unknown dtype");
	type = ebb_py_named(says_type ? x->item[6] : storage->item[1]);
	if (type->dtype == EBB_FILE_OTHER)
		return enter_other(t, x->item[2], type->other);
	if (has_bits(x, says_type ? 7 : 6))
		return enter_other(t, x->item[2], "negated");
	return enter_view(t, x, type);
}

bool ebb_torch_tensor(ebb_torch *t, const ebb_py *x)
{
	switch (x->meaning) {
	case EBB_PY_REBUILD_QUANTIZED:
		if (x->item[0]->kind != EBB_PY_STORAGE)
			return refuse(t, "is a tensor without a storage");
		return enter_other(t, x->item[2],
			ebb_py_named(x->item[0]->item[1])->other
				? ebb_py_named(x->item[0]->item[1])->other
				: "quantized");
	case EBB_PY_REBUILD_SPARSE:
		return enter_sparse(t, x);
	case EBB_PY_REBUILD_META:
		return enter_other(t, x->item[1], "meta");
	default:
		return enter_rebuilt(t, x);
	}
}

/* A storage that is not part of a tensor: an entry of all its elements. */
bool ebb_torch_storage_entry(ebb_torch *t, const ebb_py *x)
{
	const ebb_py_name *type = ebb_py_named(x->item[1]);
	ebb_archived entry = {.dtype = type->dtype,
		.big_endian = t->big_endian,
		.shape = EBB_SHAPE(x->item[4]->i)};
	span s;

	if (!span_of(t, x, type->size, &s))
		return false;
	entry.shape.dims[0] = s.bytes / type->size;
	entry.other = type->other;
	entry.offset = s.start;
	entry.blob = s.storage->blob;
	return enter(t, &entry, NULL);
}
