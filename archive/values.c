/*
 * values.c - reading the values of entries: in parts, reordered, converted, and passed to tensors
 * or writers.
 */
#include <stdatomic.h>
#include <string.h>

#include "archive/internal.h"
#include "tensor/internal.h"
#include "kernels/kernels.h"

/* The bytes read at a time if values are converted; the bytes that a thread reads at a time if they
 * are not. */
enum { PIECE = 1 << 18, LARGE_PIECE = 1 << 23 };

static bool no_memory(const ebb_archive *a, const ebb_archived *x, int64_t bytes, ebb_error *e)
{
	char name[80];

	ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: \"%s\": no memory for %lld bytes",
		ebb_archive_path(a), ebb_printable(x->name, strlen(x->name), name, sizeof name),
		(long long)bytes);
	return false;
}

bool ebb_archived_is_rows(const ebb_archived *x)
{
	return ebb_layout_of(x->shape.ndim, x->shape.dims, x->strides) & EBB_F_ROWS;
}

/* ---- Streams -------------------------------------------------------------------------------- */

static bool stream_rows(
	const ebb_archived *x, int64_t bytes, char *buffer, ebb_sink sink, void *ctx, ebb_error *e)
{
	size_t element = ebb_file_dtype_size(x->dtype);

	if (x->blob.memory)
		return sink(ctx, (const char *)x->blob.memory + x->offset, bytes, e);
	for (int64_t at = 0; at < bytes; at += PIECE) {
		int64_t n = bytes - at < PIECE ? bytes - at : PIECE;

		if (!x->blob.read(&x->blob, x->offset + at, buffer, n, e))
			return false;
		ebb_reorder(buffer, n / (int64_t)element, element, x->big_endian);
		if (!sink(ctx, buffer, n, e))
			return false;
	}
	return true;
}

/* The bytes of a strided entry: span is a copy of all bytes from the first element to the last.  If
 * these are far more than the entry's own bytes, span is NULL and each element is read
 * separately. */
typedef struct spread {
	const ebb_archived *x;
	const char *span; /* or NULL */
} spread;

static bool take_element(const spread *s, int64_t at, char *to, size_t element, ebb_error *e)
{
	if (s->span)
		return memcpy(to, s->span + (size_t)at * element, element);
	return s->x->blob.read(
		&s->x->blob, s->x->offset + at * (int64_t)element, to, (int64_t)element, e);
}

static bool stream_strided(
	const spread *s, int64_t count, char *buffer, ebb_sink sink, void *ctx, ebb_error *e)
{
	const ebb_archived *x = s->x;
	size_t element = ebb_file_dtype_size(x->dtype), filled = 0;
	int64_t index[EBB_MAX_DIMS] = {0}, at = 0;

	for (int64_t i = 0; i < count; i++) {
		if (!take_element(s, at, buffer + filled, element, e))
			return false;
		filled += element;
		if (filled == PIECE || i + 1 == count) {
			ebb_reorder(buffer, (int64_t)(filled / element), element, x->big_endian);
			if (!sink(ctx, buffer, (int64_t)filled, e))
				return false;
			filled = 0;
		}
		for (int k = x->shape.ndim - 1; k >= 0; k--) {
			at += x->strides[k];
			if (++index[k] < x->shape.dims[k])
				break;
			at -= index[k] * x->strides[k];
			index[k] = 0;
		}
	}
	return true;
}

bool ebb_archived_narrow(const ebb_archive *a, const ebb_archived *x, ebb_file_dtype from,
	const void *values, void *to, int64_t first, int64_t n, ebb_error *e)
{
	int64_t wrong = ebb_convert(from, values, x->dtype, to, n);
	char name[80];

	return wrong < 0 || ebb_archive_refuse(a, e, "\"%s\": element %lld does not fit into %s",
				    ebb_printable(x->name, strlen(x->name), name, sizeof name),
				    (long long)(first + wrong), ebb_file_dtype_name(x->dtype));
}

/* Converts n elements in memory to the entry's type, and passes them to sink. */
static bool stream_converted(const ebb_archive *a, const ebb_archived *x, ebb_file_dtype from,
	const char *values, int64_t n, ebb_sink sink, void *ctx, ebb_error *e)
{
	size_t in = ebb_file_dtype_size(from), out = ebb_file_dtype_size(x->dtype);
	int64_t step = PIECE / (int64_t)out;
	char *buffer = ebb_alloc(PIECE);
	bool ok = buffer || no_memory(a, x, PIECE, e);

	for (int64_t at = 0; ok && at < n; at += step) {
		int64_t count = n - at < step ? n - at : step;

		ok = ebb_archived_narrow(
			     a, x, from, values + (size_t)at * in, buffer, at, count, e) &&
		     sink(ctx, buffer, count * (int64_t)out, e);
	}
	ebb_free(buffer, buffer ? PIECE : 0);
	return ok;
}

static bool stream_memory(const ebb_archive *a, const ebb_archived *x, ebb_file_dtype from,
	const void *values, ebb_sink sink, void *ctx, ebb_error *e)
{
	int64_t n = ebb_archived_count(x);

	if (from == x->dtype)
		return sink(ctx, values, ebb_archived_bytes(x), e);
	return stream_converted(a, x, from, values, n, sink, ctx, e);
}

/* Passes the values of a tensor of the program to sink, row-major. */
static bool stream_live(
	const ebb_archive *a, const ebb_archived *x, ebb_sink sink, void *ctx, ebb_error *e)
{
	ebb_file_dtype from = ebb_file_dtype_of(ebb_dtype_of(x->live));
	size_t bytes = (size_t)ebb_archived_count(x) * ebb_file_dtype_size(from);
	const void *values = ebb_data(x->live);
	char *copy;
	bool ok;

	if (!values)
		return ebb_archive_refuse(
			a, e, "\"%s\": its tensor was dropped before it was written", x->name);
	if (ebb_is_dense(x->live, EBB_ROWS))
		return stream_memory(a, x, from, values, sink, ctx, e);
	copy = ebb_alloc(bytes);
	if (!copy)
		return no_memory(a, x, (int64_t)bytes, e);
	ok = ebb_copy_out(x->live, copy, bytes) && stream_memory(a, x, from, copy, sink, ctx, e);
	ebb_free(copy, bytes);
	return ok;
}

static bool stream_file(const ebb_archive *a, const ebb_archived *x, int64_t bytes, ebb_sink sink,
	void *ctx, ebb_error *e)
{
	int64_t span = ebb_archived_is_rows(x) ? 0 : ebb_archived_span(x);
	bool copied = span > 0 && (span <= 2 * bytes + PIECE || x->blob.packed);
	char *buffer = ebb_alloc(PIECE), *copy = copied ? ebb_alloc(ebb_bytes_of(span, 1)) : NULL;
	bool ok = false;

	if (!buffer || (copied && !copy))
		no_memory(a, x, PIECE + (copied ? span : 0), e);
	else if (span == 0)
		ok = stream_rows(x, bytes, buffer, sink, ctx, e);
	else if (!copied || x->blob.read(&x->blob, x->offset, copy, span, e))
		ok = stream_strided(
			&(spread){x, copy}, ebb_archived_count(x), buffer, sink, ctx, e);
	ebb_free(copy, copy ? (size_t)span : 0);
	ebb_free(buffer, buffer ? PIECE : 0);
	return ok;
}

bool ebb_archived_stream(
	const ebb_archive *a, const ebb_archived *x, ebb_sink sink, void *ctx, ebb_error *e)
{
	int64_t bytes = ebb_archived_bytes(x);

	if (bytes == 0)
		return true;
	return x->live ? stream_live(a, x, sink, ctx, e) : stream_file(a, x, bytes, sink, ctx, e);
}

/* ---- Writing to a file ---------------------------------------------------------------------- */

typedef struct writing {
	ebb_output *out;
	size_t element;
} writing;

/* A big-endian machine writes a copy with reversed bytes. */
static bool write_piece(void *ctx, const void *bytes, int64_t n, ebb_error *e)
{
	const writing *w = ctx;
	char buffer[4096];

	if (!ebb_is_big_endian() || w->element == 1)
		return ebb_output_write(w->out, bytes, (size_t)n, e);
	for (int64_t at = 0; at < n; at += (int64_t)sizeof buffer) {
		size_t size = n - at < (int64_t)sizeof buffer ? (size_t)(n - at) : sizeof buffer;

		memcpy(buffer, (const char *)bytes + at, size);
		ebb_reorder(buffer, (int64_t)(size / w->element), w->element, false);
		if (!ebb_output_write(w->out, buffer, size, e))
			return false;
	}
	return true;
}

bool ebb_archived_write(const ebb_archive *a, const ebb_archived *x, ebb_output *out, ebb_error *e)
{
	writing w = {out, ebb_file_dtype_size(x->dtype)};

	return ebb_archived_stream(a, x, write_piece, &w, e);
}

/* ---- Reading directly into memory ----------------------------------------------------------- */

typedef struct transfer {
	const ebb_archived *x;
	char *to;
	int64_t bytes;
	atomic_bool failed;
	ebb_error error; /* of the first part that failed */
} transfer;

static void transfer_piece(void *ctx, int64_t piece, int worker)
{
	transfer *t = ctx;
	int64_t at = piece * LARGE_PIECE, left = t->bytes - at;
	ebb_error error = {0};

	(void)worker;
	if (t->x->blob.read(&t->x->blob, t->x->offset + at, t->to + at,
		    left < LARGE_PIECE ? left : LARGE_PIECE, &error))
		return;
	if (!atomic_exchange(&t->failed, true))
		t->error = error;
}

/* Copies row-major values of the target's own type.  Several threads read a file. */
static bool transfer_all(const ebb_archived *x, void *to, int64_t bytes, ebb_error *e)
{
	transfer t = {.x = x, .to = to, .bytes = bytes};

	if (x->blob.packed) {
		if (!x->blob.read(&x->blob, x->offset, to, bytes, e))
			return false;
	} else {
		atomic_init(&t.failed, false);
		ebb_parallel((bytes + LARGE_PIECE - 1) / LARGE_PIECE, transfer_piece, &t);
		if (atomic_load(&t.failed)) {
			ebb_error_set(e, t.error.status, NULL, "%s", t.error.message);
			return false;
		}
	}
	ebb_reorder(to, bytes / (int64_t)ebb_file_dtype_size(x->dtype),
		ebb_file_dtype_size(x->dtype), x->big_endian);
	return true;
}

/* ---- Conversion ----------------------------------------------------------------------------- */

typedef struct conversion {
	const ebb_archive *a;
	const ebb_archived *x;
	ebb_file_dtype dtype;
	char *to;
	int64_t done; /* elements */
} conversion;

static bool convert_piece(void *ctx, const void *bytes, int64_t size, ebb_error *e)
{
	conversion *c = ctx;
	int64_t n = size / (int64_t)ebb_file_dtype_size(c->x->dtype);
	size_t element = ebb_file_dtype_size(c->dtype);
	int64_t wrong =
		ebb_convert(c->x->dtype, bytes, c->dtype, c->to + (size_t)c->done * element, n);
	char name[80];

	if (wrong >= 0) {
		double value = 0;

		ebb_convert(c->x->dtype,
			(const char *)bytes + (size_t)wrong * ebb_file_dtype_size(c->x->dtype),
			EBB_FILE_F64, &value, 1);
		return ebb_archive_refuse(c->a, e,
			"\"%s\": element %lld is %.17g, which %s cannot hold",
			ebb_printable(c->x->name, strlen(c->x->name), name, sizeof name),
			(long long)(c->done + wrong), value, ebb_file_dtype_name(c->dtype));
	}
	c->done += n;
	return true;
}

bool ebb_archived_values(
	const ebb_archive *a, const ebb_archived *x, ebb_file_dtype dtype, void *to, ebb_error *e)
{
	conversion c = {.a = a, .x = x, .dtype = dtype, .to = to};
	int64_t bytes = ebb_archived_bytes(x);

	if (bytes > 0 && x->dtype == dtype && !x->live && ebb_archived_is_rows(x))
		return transfer_all(x, to, bytes, e);
	return ebb_archived_stream(a, x, convert_piece, &c, e);
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* The entry of this name if its values can be read; NULL with an error. */
static const ebb_archived *readable(
	const ebb_archive *a, const char *name, const char *who, ebb_error *e)
{
	int64_t index = ebb_archive_find(a, name);
	char shown[80];

	if (!a || !name) {
		ebb_error_set(e, EBB_INVALID, NULL, "%s: the archive or the name is NULL", who);
		return NULL;
	}
	ebb_printable(name, strlen(name), shown, sizeof shown);
	if (index < 0) {
		ebb_error_set(e, EBB_INVALID, NULL, "%s: there is no \"%s\" among its %lld entries",
			ebb_archive_path(a), shown, (long long)a->count);
		return NULL;
	}
	if (a->entry[index].dtype == EBB_FILE_OTHER) {
		ebb_error_set(e, EBB_BAD_DTYPE, NULL,
			"%s: \"%s\" is of type %s, expected real numbers of 8 to 64 bits",
			ebb_archive_path(a), shown, a->entry[index].other);
		return NULL;
	}
	return &a->entry[index];
}

static ebb_dtype natural_dtype(ebb_file_dtype dtype)
{
	if (dtype == EBB_FILE_F64)
		return EBB_F64;
	if (ebb_file_dtype_is_float(dtype))
		return EBB_F32;
	return dtype == EBB_FILE_U8 || dtype == EBB_FILE_BOOL ? EBB_U8 : EBB_I64;
}

ebb_tensor *ebb_archive_tensor(
	const ebb_archive *a, const char *name, ebb_dtype dtype, ebb_error *e)
{
	const ebb_archived *x = readable(a, name, "archive_tensor", e);
	ebb_tensor *y;

	if (!x)
		return NULL;
	y = ebb_tensor_new(dtype ? dtype : natural_dtype(x->dtype), x->shape, false, e);
	if (y && ebb_archived_values(
			 a, x, ebb_file_dtype_of(ebb_dtype_of(y)), ebb_data_mutable(y), e))
		return y;
	ebb_tensor_free(y);
	return NULL;
}

/* Copies through a temporary tensor, because values may not fit the type, or are in another
 * order. */
static bool copy_through(const ebb_archive *a, const char *name, ebb_tensor *to, ebb_error *e)
{
	ebb_tensor *y = ebb_archive_tensor(a, name, ebb_dtype_of(to), e);
	bool ok = y && ebb_copy_in(to, ebb_data(y),
			       (size_t)ebb_count(y) * ebb_dtype_size(ebb_dtype_of(y)));

	ebb_tensor_free(y);
	return ok;
}

bool ebb_archive_copy(const ebb_archive *a, const char *name, ebb_tensor *to, ebb_error *e)
{
	const ebb_archived *x = readable(a, name, "archive_copy", e);
	char in_file[120], wanted[120], shown[80];
	ebb_shape shape = ebb_shape_of(to);

	if (!x)
		return false;
	if (!to || to->tape) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"archive_copy: the target is not a persistent tensor");
		return false;
	}
	if (!ebb_same_dims(x->shape, shape)) {
		ebb_error_set(e, EBB_BAD_SHAPE, NULL, "%s: \"%s\" is %s %s, expected %s",
			ebb_archive_path(a), ebb_printable(name, strlen(name), shown, sizeof shown),
			ebb_file_dtype_name(x->dtype),
			ebb_shape_text(x->shape, in_file, sizeof in_file),
			ebb_shape_text(shape, wanted, sizeof wanted));
		return false;
	}
	if (!ebb_is_dense(to, EBB_ROWS) ||
		(ebb_dtype_of(to) != EBB_F32 && ebb_dtype_of(to) != EBB_F64 &&
			ebb_file_dtype_of(ebb_dtype_of(to)) != x->dtype))
		return copy_through(a, name, to, e);
	return ebb_archived_values(
		a, x, ebb_file_dtype_of(ebb_dtype_of(to)), ebb_data_mutable(to), e);
}
