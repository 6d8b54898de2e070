/*
 * npz.c - reading NumPy's .npz files: zip files whose members are .npy files.
 *
 * As in numpy.load, a member that begins with the magic number is an array, whatever its name, and
 * ".npy" is removed from its name.  Other members are ignored.
 */
#include <string.h>

#include "archive/internal.h"

static const char SUFFIX[] = ".npy";
enum { SUFFIX_SIZE = sizeof SUFFIX - 1, MAGIC_SIZE = 6 };

/* Whether a member begins as an array; *ok is false if it cannot be read. */
static bool is_array(ebb_blob blob, bool *ok, ebb_error *e)
{
	char magic[MAGIC_SIZE];

	if (blob.size < MAGIC_SIZE)
		return false;
	*ok = blob.read(&blob, 0, magic, MAGIC_SIZE, e);
	return *ok && memcmp(magic, "\x93NUMPY", MAGIC_SIZE) == 0;
}

static bool read_member(ebb_archive *a, ebb_zip *zip, int64_t index, ebb_error *e)
{
	const char *name = ebb_zip_name(zip, index);
	ebb_blob blob = ebb_blob_of_zip(zip, index);
	ebb_archived x = {.name = name};
	int64_t strides[EBB_MAX_DIMS];
	size_t n = strlen(name);
	bool named = n >= SUFFIX_SIZE && strcmp(name + n - SUFFIX_SIZE, SUFFIX) == 0, ok = true;

	/* A member named .npy must be an array: otherwise it is an error. */
	if (!named && !is_array(blob, &ok, e))
		return ok;
	return ebb_npy_header(a, blob, &x, strides, e) &&
	       ebb_archive_enter(a, name, named ? n - SUFFIX_SIZE : n, &x, strides, e);
}

bool ebb_read_npz(ebb_archive *a, ebb_zip *zip, ebb_error *e)
{
	for (int64_t i = 0; i < ebb_zip_count(zip); i++)
		if (!read_member(a, zip, i, e))
			return false;
	return true;
}
