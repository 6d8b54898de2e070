/*
 * add.c - adding entries to an archive, and writing the archive to a file.
 */
#include <stdarg.h>
#include <string.h>

#include "archive/internal.h"

static const char METADATA[] = "__metadata__";

/* ---- Adding --------------------------------------------------------------------------------- */

static bool given(
	const ebb_archive *a, const char *name, const void *x, const char *who, ebb_error *e)
{
	if (!a || !name || !x) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"%s: the archive, the name or the values are NULL", who);
		return false;
	}
	if (strcmp(name, METADATA) == 0) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"%s: safetensors keep metadata under the name \"%s\"", who, name);
		return false;
	}
	return true;
}

/* Whether a tensor of type from can be written as type to. */
static bool may_become(ebb_file_dtype from, ebb_file_dtype to)
{
	if (to <= EBB_FILE_DEFAULT || to >= EBB_FILE_OTHER)
		return false;
	return ebb_file_dtype_is_float(to) || !ebb_file_dtype_is_float(from);
}

bool ebb_archive_add(
	ebb_archive *a, const char *name, const ebb_tensor *x, ebb_file_dtype as, ebb_error *e)
{
	ebb_file_dtype from = ebb_file_dtype_of(ebb_dtype_of(x));
	ebb_archived entry = {.dtype = as ? as : from, .shape = ebb_shape_of(x), .live = x};

	if (!given(a, name, x, "archive_add", e))
		return false;
	if (!ebb_data(x) && ebb_count(x) > 0) {
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"archive_add: the value of \"%s\" was dropped", name);
		return false;
	}
	if (!may_become(from, entry.dtype)) {
		ebb_error_set(e, EBB_BAD_DTYPE, NULL,
			"archive_add: \"%s\" is %s and is not written as %s", name,
			ebb_file_dtype_name(from), ebb_file_dtype_name(entry.dtype));
		return false;
	}
	return ebb_archive_enter(a, name, strlen(name), &entry, NULL, e);
}

bool ebb_archive_add_values(ebb_archive *a, const char *name, ebb_file_dtype dtype, ebb_shape shape,
	const void *values, ebb_error *e)
{
	ebb_archived entry = {.dtype = dtype, .shape = shape, .big_endian = ebb_is_big_endian()};
	bool countable = shape.ndim >= 0 && shape.ndim <= EBB_MAX_DIMS;
	int64_t count = countable ? ebb_archived_count(&entry) : -1;

	if (!given(a, name, count == 0 ? "" : values, "archive_add_values", e))
		return false;
	if (ebb_file_dtype_size(dtype) == 0 || !countable) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"archive_add_values: \"%s\" as %s of %d axes: expected a type of numbers "
			"and 0 to "
			"%d axes",
			name, ebb_file_dtype_name(dtype), shape.ndim, EBB_MAX_DIMS);
		return false;
	}
	entry.blob = ebb_blob_of_memory(values, count < 0 ? 0 : ebb_archived_bytes(&entry));
	return ebb_archive_enter(a, name, strlen(name), &entry, NULL, e);
}

static bool add_number(
	ebb_archive *a, const char *name, ebb_file_dtype dtype, const void *value, ebb_error *e)
{
	void *copy = a ? ebb_archive_take(a, 8, e) : NULL;

	if (a && !copy)
		return false;
	if (copy)
		memcpy(copy, value, 8);
	return ebb_archive_add_values(a, name, dtype, EBB_SCALAR_SHAPE, copy, e);
}

bool ebb_archive_add_f64(ebb_archive *a, const char *name, double value, ebb_error *e)
{
	return add_number(a, name, EBB_FILE_F64, &value, e);
}

bool ebb_archive_add_i64(ebb_archive *a, const char *name, int64_t value, ebb_error *e)
{
	return add_number(a, name, EBB_FILE_I64, &value, e);
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Whether the path has the extension of a format that Ebb does not write. */
static bool is_foreign(const char *path)
{
	static const char *const names[] = {
		".pt", ".pth", ".pkl", ".gz", ".xz", ".zst", ".zip", ".h5", ".onnx", ".gguf", NULL};

	return ebb_ends_in_one(path, names);
}

static ebb_archive_format format_of(const ebb_archive_write_args *w)
{
	if (w->format != EBB_BY_NAME)
		return w->format;
	if (ebb_ends_in(w->path, ".npz"))
		return EBB_NPZ;
	return ebb_ends_in(w->path, ".npy") ? EBB_NPY : EBB_SAFETENSORS;
}

static bool refuse(const ebb_archive_write_args *w, ebb_status status, const char *format, ...)
	EBB_PRINTF(3, 4);

static bool refuse(const ebb_archive_write_args *w, ebb_status status, const char *format, ...)
{
	char text[sizeof w->error->message];
	va_list ap;

	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	ebb_error_set(w->error, status, w->site, "archive_write: %s", text);
	return false;
}

static bool check(const ebb_archive_write_args *w)
{
	ebb_archive_format format;

	if (!w->a || !w->path || w->shard_bytes < 0)
		return refuse(w, EBB_INVALID,
			"archive %s, path %s, shard_bytes %lld: expected both and no negative "
			"number",
			w->a ? "given" : "NULL", w->path ? w->path : "NULL",
			(long long)w->shard_bytes);
	format = format_of(w);
	if (w->format == EBB_BY_NAME && is_foreign(w->path))
		return refuse(w, EBB_INVALID,
			"%s: the extension is that of a format that Ebb does not write: expected "
			".safetensors, .npz, "
			".npy, or .format",
			w->path);
	if ((w->shard_bytes && format != EBB_SAFETENSORS) || (w->deflate && format != EBB_NPZ))
		return refuse(w, EBB_INVALID,
			"%s: shard_bytes is for safetensors, deflate is for .npz", w->path);
	if (format == EBB_SAFETENSORS && ebb_archive_find(w->a, METADATA) >= 0)
		return refuse(w, EBB_INVALID, "%s: safetensors keep metadata under the name \"%s\"",
			w->path, METADATA);
	for (int64_t i = 0; i < w->a->count; i++)
		if (w->a->entry[i].dtype == EBB_FILE_OTHER)
			return refuse(w, EBB_BAD_DTYPE,
				"\"%s\" is of type %s, which Ebb does not write",
				w->a->entry[i].name, w->a->entry[i].other);
	return true;
}

static bool write_file(const ebb_archive_write_args *w, ebb_archive_format format, ebb_error *e)
{
	ebb_output *out = ebb_output_open(w->path, true, e);
	bool ok;

	if (!out)
		return false;
	if (format == EBB_NPZ)
		ok = ebb_write_npz(w->a, w->deflate, out, e);
	else if (format == EBB_NPY)
		ok = ebb_write_npy(w->a, out, e);
	else
		ok = ebb_write_safetensors(w->a, out, e);
	if (ok)
		return ebb_output_commit(out, e);
	ebb_output_discard(out);
	return false;
}

bool(ebb_archive_write)(const ebb_archive_write_args *w)
{
	ebb_error e = {0};
	bool ok;

	if (!check(w))
		return false;
	ok = w->shard_bytes > 0 ? ebb_write_shards(w->a, w->path, w->shard_bytes, &e)
	                        : write_file(w, format_of(w), &e);
	if (!ok)
		ebb_error_set(w->error, e.status, w->site, "%s", e.message);
	return ok;
}
