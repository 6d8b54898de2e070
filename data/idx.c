/*
 * idx.c - the IDX format: a big-endian header with the type and the sizes, then the values.
 */
#include "data/internal.h"

enum { TYPE_U8 = 0x08, HEADER = 4 };

static const char *type_name(int type)
{
	switch (type) {
	case TYPE_U8:
		return "unsigned bytes";
	case 0x09:
		return "signed bytes";
	case 0x0B:
		return "16-bit integers";
	case 0x0C:
		return "32-bit integers";
	case 0x0D:
		return "floats";
	case 0x0E:
		return "doubles";
	default:
		return "an unknown type";
	}
}

/* Reads exactly n bytes. */
static bool read_all(
	ebb_source *s, const char *path, const char *what, void *to, int64_t n, ebb_error *e)
{
	int64_t got = ebb_source_read(s, to, n, e);

	if (got >= 0 && got < n)
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: truncated: %lld bytes of %s, expected %lld", path, (long long)got,
			what, (long long)n);
	return got == n;
}

/* Reads the shape from the header; false with an error. */
static bool read_header(ebb_source *s, const char *path, ebb_shape *shape, ebb_error *e)
{
	unsigned char magic[HEADER], sizes[4 * EBB_MAX_DIMS];
	int64_t count = 1;

	if (!read_all(s, path, "magic number", magic, HEADER, e))
		return false;
	if (magic[0] != 0 || magic[1] != 0 || magic[2] != TYPE_U8) {
		bool idx = magic[0] == 0 && magic[1] == 0;

		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: magic number 0x%02x%02x%02x%02x%s%s, expected 0x000008NN: IDX of "
			"unsigned bytes",
			path, magic[0], magic[1], magic[2], magic[3], idx ? ": " : "",
			idx ? type_name(magic[2]) : "");
		return false;
	}
	if (magic[3] < 1 || magic[3] > EBB_MAX_DIMS) {
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: %d axes, expected 1 to %d", path,
			magic[3], EBB_MAX_DIMS);
		return false;
	}
	shape->ndim = magic[3];
	if (!read_all(s, path, "sizes", sizes, 4 * shape->ndim, e))
		return false;
	for (int i = 0; i < shape->ndim; i++) {
		const unsigned char *b = sizes + 4 * i;
		int64_t size =
			(int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];

		shape->dims[i] = size;
		if (size > 0 && count > INT64_MAX / size) {
			ebb_error_set(e, EBB_BAD_FILE, NULL,
				"%s: the product of the sizes overflows at axis %d, size %lld",
				path, i, (long long)size);
			return false;
		}
		count *= size;
	}
	/* Checked before anything is allocated, because a damaged header can declare any size. */
	if (count > ebb_source_bound(s)) {
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: truncated: the header declares %lld bytes, the file holds at most "
			"%lld",
			path, (long long)count, (long long)ebb_source_bound(s));
		return false;
	}
	return true;
}

ebb_tensor *ebb_idx_read(const char *path, ebb_error *e)
{
	ebb_source *s;
	ebb_tensor *x = NULL;
	ebb_shape shape;
	unsigned char extra;
	int64_t more = 1;

	if (!path) {
		ebb_error_set(e, EBB_INVALID, NULL, "idx_read: path is NULL");
		return NULL;
	}
	s = ebb_source_open(path, e);
	if (!s)
		return NULL;
	if (read_header(s, path, &shape, e))
		x = ebb_tensor_new(EBB_U8, shape, false, e);
	if (x && (ebb_count(x) == 0 ||
			 read_all(s, path, "data", ebb_data_mutable(x), ebb_count(x), e))) {
		more = ebb_source_read(s, &extra, 1, e);
		if (more > 0)
			ebb_error_set(e, EBB_BAD_FILE, NULL,
				"%s: bytes after the end: expected %lld bytes of data and no more",
				path, (long long)ebb_count(x));
	}
	ebb_source_close(s);
	if (more == 0)
		return x;
	ebb_tensor_free(x);
	return NULL;
}
