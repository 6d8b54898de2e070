/*
 * safetensors.c - reads and writes safetensors files: the length of the header in 8 bytes, the
 * header (a JSON object that maps names to type, shape and offsets), and the values.  Numbers are
 * little-endian, values row-major.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/safetensors/json.h"

static const char METADATA[] = "__metadata__";

enum { LENGTH_BYTES = 8 };

/* ---- Reading -------------------------------------------------------------------------------- */

typedef struct reader {
	ebb_archive *a;
	ebb_input *in;
	int64_t begin, size; /* of the values in the file */
	struct range {
		int64_t begin, end, entry;
	} * range; /* of each entry with values */
	int64_t ranges;
	ebb_error *e;
} reader;

static bool refuse(const reader *r, const char *name, const char *what)
{
	char shown[80];

	ebb_error_set(r->e, EBB_BAD_FILE, NULL, "%s: \"%s\": %s", r->in->path,
		ebb_printable(name, strlen(name), shown, sizeof shown), what);
	return false;
}

static ebb_file_dtype dtype_named(const char *name)
{
	for (ebb_file_dtype d = EBB_FILE_BOOL; d < EBB_FILE_OTHER; d++)
		if (strcmp(name, ebb_file_dtype_name(d)) == 0)
			return d;
	return EBB_FILE_OTHER;
}

static bool read_dtype(reader *r, const char *name, json_t *dtype, ebb_archived *x)
{
	if (!json_is_string(dtype))
		return refuse(r, name, "has no \"dtype\", expected a text such as \"F32\"");
	x->dtype = dtype_named(json_string_value(dtype));
	if (x->dtype != EBB_FILE_OTHER)
		return true;
	x->other =
		ebb_archive_text(r->a, json_string_value(dtype), json_string_length(dtype), r->e);
	return x->other;
}

static bool read_shape(reader *r, const char *name, json_t *shape, ebb_archived *x)
{
	size_t i;
	json_t *size;

	if (!json_is_array(shape))
		return refuse(r, name, "has no \"shape\", expected a list of sizes");
	if (json_array_size(shape) > EBB_MAX_DIMS)
		return refuse(r, name, "has more than 8 axes");
	json_array_foreach(shape, i, size)
	{
		if (!json_is_integer(size) || json_integer_value(size) < 0)
			return refuse(r, name, "has a size that is not a number >= 0");
		x->shape.dims[x->shape.ndim++] = json_integer_value(size);
	}
	return true;
}

static bool read_offsets(reader *r, const char *name, json_t *offsets, ebb_archived *x)
{
	json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
	int64_t begin, end, count, element = (int64_t)ebb_file_dtype_size(x->dtype);
	char text[200], shape[120];

	if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
		return refuse(r, name, "has no \"data_offsets\", expected a list of two numbers");
	begin = json_integer_value(first);
	end = json_integer_value(last);
	if (begin < 0 || end < begin || end > r->size) {
		ebb_snprintf(text, sizeof text,
			"data_offsets [%lld,%lld], expected them within the %lld bytes of values: "
			"truncated, or damaged",
			(long long)begin, (long long)end, (long long)r->size);
		return refuse(r, name, text);
	}
	count = ebb_archived_count(x);
	if (count < 0 || (x->dtype != EBB_FILE_OTHER && count * element != end - begin)) {
		ebb_snprintf(text, sizeof text, "%s %s in %lld bytes, expected %lld",
			ebb_file_dtype_name(x->dtype),
			ebb_shape_text(x->shape, shape, sizeof shape), (long long)(end - begin),
			count < 0 ? -1 : (long long)(count * element));
		return refuse(r, name, count < 0 ? "its size overflows" : text);
	}
	x->blob = ebb_blob_of_input(r->in, r->begin + begin, end - begin);
	if (end > begin)
		r->range[r->ranges++] = (struct range){begin, end, r->a->count};
	return true;
}

static bool read_entry(reader *r, const char *name, size_t n, json_t *value)
{
	ebb_archived x = {0};

	if (!json_is_object(value))
		return refuse(r, name,
			"is not an object, expected \"dtype\", \"shape\", \"data_offsets\"");
	return read_dtype(r, name, json_object_get(value, "dtype"), &x) &&
	       read_shape(r, name, json_object_get(value, "shape"), &x) &&
	       read_offsets(r, name, json_object_get(value, "data_offsets"), &x) &&
	       ebb_archive_enter(r->a, name, n, &x, NULL, r->e);
}

static bool read_metadata(reader *r, json_t *metadata)
{
	const char *key;
	size_t n;
	json_t *text;

	if (!json_is_object(metadata))
		return refuse(r, METADATA, "is not an object");
	json_object_keylen_foreach(metadata, key, n, text)
	{
		if (!json_is_string(text))
			return refuse(r, key, "is metadata, expected a text");
		if (!ebb_archive_note(
			    r->a, key, n, json_string_value(text), json_string_length(text), r->e))
			return false;
	}
	return true;
}

static int by_begin(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Checks that every byte of the values belongs to exactly one entry.  Otherwise readers could
 * disagree on the content, and a file could hide bytes. */
static bool check_ranges(reader *r)
{
	int64_t at = 0;
	char text[120];

	qsort(r->range, (size_t)r->ranges, sizeof *r->range, by_begin);
	for (int64_t i = 0; i < r->ranges; i++) {
		const struct range *x = &r->range[i];

		if (x->begin != at) {
			ebb_snprintf(text, sizeof text,
				"begins at byte %lld of the values, expected %lld (%s)",
				(long long)x->begin, (long long)at,
				x->begin < at ? "it overlaps another one" : "a gap");
			return refuse(r, ebb_archive_name_at(r->a, x->entry), text);
		}
		at = x->end;
	}
	if (at != r->size)
		return ebb_archive_refuse(r->a, r->e,
			"%lld bytes of values, of which the header describes %lld",
			(long long)r->size, (long long)at);
	return true;
}

static bool read_header(reader *r, json_t *header)
{
	const char *name;
	size_t n;
	json_t *value;

	json_object_keylen_foreach(header, name, n, value)
	{
		bool ok = strcmp(name, METADATA) == 0 ? read_metadata(r, value)
		                                      : read_entry(r, name, n, value);

		if (!ok)
			return false;
	}
	return check_ranges(r);
}

bool ebb_read_safetensors(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	reader r = {.a = a, .in = in, .e = e};
	unsigned char bytes[LENGTH_BYTES];
	uint64_t length = 0;
	json_t *header;
	size_t capacity;
	bool ok;

	if (in->size < LENGTH_BYTES)
		return ebb_archive_refuse(
			a, e, "%lld bytes are too few for a file of tensors", (long long)in->size);
	if (!ebb_input_read(in, 0, bytes, LENGTH_BYTES, "header", e))
		return false;
	for (int i = LENGTH_BYTES - 1; i >= 0; i--)
		length = length << 8 | bytes[i];
	if (length < 2 || length > (uint64_t)in->size - LENGTH_BYTES)
		return ebb_archive_refuse(a, e,
			"truncated, or not a file of tensors (safetensors, .npy, .npz, .pt, .pth): "
			"a "
			"header of %llu bytes in a file of %lld",
			(unsigned long long)length, (long long)in->size);
	header = ebb_json_read(a, in, LENGTH_BYTES, (int64_t)length, "a header", e);
	if (!header)
		return false;
	r.begin = LENGTH_BYTES + (int64_t)length;
	r.size = in->size - r.begin;
	capacity = json_object_size(header) * sizeof *r.range;
	r.range = capacity ? ebb_alloc(capacity) : NULL;
	ok = (r.range || !capacity) ? read_header(&r, header) : ebb_archive_no_memory(a, e);
	ebb_free(r.range, r.range ? capacity : 0);
	json_decref(header);
	return ok;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Orders entries by decreasing element size, so that each is aligned to its elements. */
static int by_size(const void *a, const void *b)
{
	const ebb_archived *x = *(ebb_archived *const *)a, *y = *(ebb_archived *const *)b;
	size_t m = ebb_file_dtype_size(x->dtype), n = ebb_file_dtype_size(y->dtype);

	return m != n ? (m < n) - (m > n) : (x > y) - (x < y);
}

static json_t *shape_of(const ebb_archived *x)
{
	json_t *shape = json_array();

	for (int i = 0; i < x->shape.ndim; i++)
		if (json_array_append_new(shape, json_integer(x->shape.dims[i])) != 0)
			return json_decref(shape), NULL;
	return shape;
}

/* False if there is no memory; Jansson's functions accept NULL for a value that could not be
 * allocated. */
static bool describe(json_t *header, const ebb_archived *x, int64_t begin)
{
	int64_t end = begin + ebb_archived_bytes(x);
	json_t *value = json_pack("{s:s,s:o,s:[I,I]}", "dtype", ebb_file_dtype_name(x->dtype),
		"shape", shape_of(x), "data_offsets", (json_int_t)begin, (json_int_t)end);

	return json_object_set_new(header, x->name, value) == 0;
}

static bool describe_metadata(json_t *header, const ebb_archive *a)
{
	json_t *all = json_object();

	for (int64_t i = 0; i < a->metadata_count; i++)
		if (json_object_set_new(
			    all, a->metadata[i].key, json_string(a->metadata[i].text)) != 0)
			return json_decref(all), false;
	return a->metadata_count == 0 ? json_decref(all),
	       true                   : json_object_set_new(header, METADATA, all) == 0;
}

/* The text of the header, which the caller frees with free. */
static char *header_of(const ebb_archive *a, ebb_archived *const *entry, int64_t n)
{
	json_t *header = json_object();
	int64_t at = 0;
	bool ok = header && describe_metadata(header, a);
	char *text;

	for (int64_t i = 0; ok && i < n; i++) {
		ok = describe(header, entry[i], at);
		at += ebb_archived_bytes(entry[i]);
	}
	text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
	json_decref(header);
	return text;
}

/* Spaces pad the header, so that the values begin at a multiple of eight. */
static bool write_header(const char *text, ebb_output *out, ebb_error *e)
{
	size_t n = strlen(text), padded = (n + 7) / 8 * 8;
	unsigned char length[LENGTH_BYTES];

	for (int i = 0; i < LENGTH_BYTES; i++)
		length[i] = (unsigned char)((uint64_t)padded >> 8 * i);
	return ebb_output_write(out, length, LENGTH_BYTES, e) &&
	       ebb_output_write(out, text, n, e) && ebb_output_write(out, "       ", padded - n, e);
}

bool ebb_write_entries(
	const ebb_archive *a, ebb_archived **entry, int64_t n, ebb_output *out, ebb_error *e)
{
	char *text;
	bool ok;

	qsort(entry, (size_t)n, sizeof *entry, by_size);
	text = header_of(a, entry, n);
	if (!text)
		return ebb_archive_no_memory(a, e);
	ok = write_header(text, out, e);
	free(text);
	for (int64_t i = 0; ok && i < n; i++)
		ok = ebb_archived_write(a, entry[i], out, e);
	return ok;
}

bool ebb_write_safetensors(const ebb_archive *a, ebb_output *out, ebb_error *e)
{
	ebb_archived **entry = ebb_archive_entries(a, e);
	bool ok = entry && ebb_write_entries(a, entry, a->count, out, e);

	ebb_archive_entries_free(a, entry);
	return ok;
}
