/*
 * npy.c - NumPy's .npy files: a magic number, a version, a dictionary as text, and the values.
 *
 * The format is that of NumPy's numpy.lib.format, versions 1 to 3; they differ in the largest size
 * of the dictionary and in its text encoding.  Bytes after the values are ignored, as numpy.load
 * does, which reads consecutive arrays from one file; only the first array is read here.
 */
#include <stdio.h>
#include <string.h>

#include "archive/numpy/npy.h"

static const char MAGIC[] = "\x93NUMPY";
enum { MAGIC_SIZE = 6, FIXED_SIZE = 10, FIXED_SIZE_2 = 12, ALIGNMENT = 64 };

/* ---- Types ---------------------------------------------------------------------------------- */

static const struct numpy_type {
	ebb_file_dtype dtype;
	char name[3];
} types[] = {{EBB_FILE_BOOL, "b1"}, {EBB_FILE_U8, "u1"}, {EBB_FILE_I8, "i1"}, {EBB_FILE_U16, "u2"},
	{EBB_FILE_I16, "i2"}, {EBB_FILE_U32, "u4"}, {EBB_FILE_I32, "i4"}, {EBB_FILE_U64, "u8"},
	{EBB_FILE_I64, "i8"}, {EBB_FILE_F16, "f2"}, {EBB_FILE_F32, "f4"}, {EBB_FILE_F64, "f8"}};
enum { TYPES = sizeof types / sizeof *types };

/* The name of a NumPy kind that Ebb does not read. */
static const char *kind_name(char kind)
{
	switch (kind) {
	case 'c':
		return "complex numbers";
	case 'f':
		return "floats of another size";
	case 'O':
		return "Python objects, whose pickle is not executed";
	case 'S':
	case 'a':
		return "strings of bytes";
	case 'U':
		return "strings";
	case 'V':
		return "raw bytes, as which NumPy saves bfloat16";
	case 'M':
		return "dates";
	case 'm':
		return "spans of time";
	default:
		return "unknown";
	}
}

/* Sets a type that Ebb does not read: its description, and its name in the file. */
static bool set_other(
	ebb_archive *a, const ebb_npy_text *text, const char *kind, ebb_archived *x, ebb_error *e)
{
	char shown[60], other[160];

	ebb_printable(text->descr, text->descr_size, shown, sizeof shown);
	for (char *c = shown; *c; c++)
		if (*(unsigned char *)c >= 0x80)
			*c = '?';
	ebb_snprintf(other, sizeof other, "%s (%s)", kind, shown);
	x->dtype = EBB_FILE_OTHER;
	x->other = ebb_archive_text(a, other, strlen(other), e);
	return x->other;
}

/* Without '<' or '>' a type has this machine's byte order, as in numpy.load. */
static bool set_type(ebb_archive *a, const ebb_npy_text *text, ebb_archived *x, ebb_error *e)
{
	const char *name = text->descr;
	size_t n = text->descr_size;
	char order = '=';

	if (!text->named)
		return set_other(a, text, "records", x, e);
	if (n > 0 && strchr("<>=|", *name)) {
		order = *name++;
		n--;
	}
	x->big_endian = order == '>' || (order != '<' && ebb_is_big_endian());
	for (int i = 0; i < TYPES; i++)
		if (n == 2 && memcmp(types[i].name, name, 2) == 0) {
			x->dtype = types[i].dtype;
			return true;
		}
	return set_other(a, text, kind_name(n > 0 ? *name : '\0'), x, e);
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* Refuses an array; the error names its member if it has one. */
static bool refuse(const ebb_archive *a, const ebb_archived *x, const char *why, ebb_error *e)
{
	char shown[80];

	if (!x->name)
		return ebb_archive_refuse(a, e, "%s", why);
	return ebb_archive_refuse(a, e, "member \"%s\": %s",
		ebb_printable(x->name, strlen(x->name), shown, sizeof shown), why);
}

/* The strides along each axis, in elements. */
static void set_strides(ebb_shape shape, bool fortran, int64_t *strides)
{
	int64_t step = 1;

	for (int i = 0; i < shape.ndim; i++) {
		int axis = fortran ? i : shape.ndim - 1 - i;
		int64_t size = shape.dims[axis];

		strides[axis] = step;
		/* A shape that overflows is refused later, by ebb_archive_enter. */
		step = size > 0 && step <= INT64_MAX / size ? step * size : 0;
	}
}

static bool take_text(
	ebb_archive *a, const ebb_npy_text *text, ebb_archived *x, int64_t *strides, ebb_error *e)
{
	char why[160];
	int64_t count, left = x->blob.size - x->offset;

	if (!set_type(a, text, x, e))
		return false;
	x->shape = text->shape;
	set_strides(x->shape, text->fortran, strides);
	count = ebb_archived_count(x);
	if (x->dtype == EBB_FILE_OTHER || count < 0 || ebb_archived_bytes(x) <= left)
		return true;
	ebb_snprintf(why, sizeof why,
		"truncated: the header declares %lld bytes of values, and %lld follow",
		(long long)ebb_archived_bytes(x), (long long)left);
	return refuse(a, x, why, e);
}

/* Reads the dictionary of n bytes from offset at on. */
static bool read_text(
	ebb_archive *a, int64_t at, int64_t n, ebb_archived *x, int64_t *strides, ebb_error *e)
{
	const char *what;
	char *bytes, why[160];
	ebb_npy_text text;
	size_t place;
	bool ok = false;

	if (!ebb_archive_expect(a, at + n, "a header", e))
		return false;
	bytes = ebb_alloc(ebb_bytes_of(n, 1) + 1);
	if (!bytes)
		return ebb_archive_no_memory(a, e);
	if (x->blob.read(&x->blob, at, bytes, n, e)) {
		what = ebb_npy_parse(bytes, (size_t)n, &text, &place);
		ebb_snprintf(why, sizeof why, "in its header at byte %lld: %s", (long long)place,
			what ? what : "");
		ok = what ? refuse(a, x, why, e) : take_text(a, &text, x, strides, e);
	}
	ebb_free(bytes, ebb_bytes_of(n, 1) + 1);
	return ok;
}

bool ebb_npy_header(ebb_archive *a, ebb_blob blob, ebb_archived *x, int64_t *strides, ebb_error *e)
{
	unsigned char b[FIXED_SIZE_2];
	char why[160];
	int64_t at = FIXED_SIZE, n;

	x->blob = blob;
	if (blob.size < FIXED_SIZE_2)
		return refuse(a, x, "truncated: too short for the header of an .npy file", e);
	if (!blob.read(&blob, 0, b, FIXED_SIZE, e))
		return false;
	if (memcmp(b, MAGIC, MAGIC_SIZE) != 0)
		return refuse(a, x, "does not begin with NumPy's magic number", e);
	if (b[6] < 1 || b[6] > 3 || b[7] != 0) {
		ebb_snprintf(why, sizeof why, "version %d.%d of the .npy format, expected 1 to 3",
			b[6], b[7]);
		return refuse(a, x, why, e);
	}
	n = b[8] | b[9] << 8;
	if (b[6] > 1) {
		if (!blob.read(&blob, FIXED_SIZE, b + FIXED_SIZE, FIXED_SIZE_2 - FIXED_SIZE, e))
			return false;
		n |= (int64_t)b[10] << 16 | (int64_t)b[11] << 24;
		at = FIXED_SIZE_2;
	}
	x->offset = at + n;
	if (x->offset > blob.size) {
		ebb_snprintf(why, sizeof why,
			"truncated: a header of %lld bytes, and %lld are left", (long long)n,
			(long long)(blob.size - at));
		return refuse(a, x, why, e);
	}
	return read_text(a, at, n, x, strides, e);
}

bool ebb_read_npy(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	ebb_archived x = {0};
	int64_t strides[EBB_MAX_DIMS];

	return ebb_npy_header(a, ebb_blob_of_input(in, 0, in->size), &x, strides, e) &&
	       ebb_archive_enter(a, "", 0, &x, strides, e);
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Version 1 suffices: a dictionary has at most 8 sizes and the name of a type. */
size_t ebb_npy_write_header(ebb_file_dtype dtype, ebb_shape shape, char *bytes)
{
	size_t capacity = EBB_NPY_HEADER - FIXED_SIZE, n, all;
	char *text = bytes + FIXED_SIZE;
	int type = 0;

	while (type < TYPES && types[type].dtype != dtype)
		type++;
	if (type == TYPES)
		return 0;
	n = (size_t)ebb_snprintf(text, capacity,
		"{'descr': '%c%s', 'fortran_order': False, 'shape': (",
		ebb_file_dtype_size(dtype) == 1 ? '|' : '<', types[type].name);
	for (int i = 0; i < shape.ndim; i++)
		n += (size_t)ebb_snprintf(text + n, capacity - n, "%s%lld%s", i ? ", " : "",
			(long long)shape.dims[i], shape.ndim == 1 ? "," : "");
	n += (size_t)ebb_snprintf(text + n, capacity - n, "), }");
	all = (FIXED_SIZE + n + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	memset(text + n, ' ', all - FIXED_SIZE - n);
	bytes[all - 1] = '\n';
	memcpy(bytes, MAGIC, MAGIC_SIZE);
	memcpy(bytes + MAGIC_SIZE, "\1\0", 2);
	bytes[8] = (char)((all - FIXED_SIZE) & 0xff);
	bytes[9] = (char)((all - FIXED_SIZE) >> 8);
	return all;
}

bool ebb_write_npy(const ebb_archive *a, ebb_output *out, ebb_error *e)
{
	const ebb_archived *x = a->entry;
	char header[EBB_NPY_HEADER];
	size_t n;

	if (a->count != 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"archive_write: an .npy file holds one tensor, not %lld: .npz holds many",
			(long long)a->count);
		return false;
	}
	n = ebb_npy_write_header(x->dtype, x->shape, header);
	if (n == 0) {
		ebb_error_set(e, EBB_BAD_DTYPE, NULL,
			"archive_write: \"%s\" is %s, a type that NumPy does not have", x->name,
			ebb_file_dtype_name(x->dtype));
		return false;
	}
	return ebb_output_write(out, header, n, e) && ebb_archived_write(a, x, out, e);
}
