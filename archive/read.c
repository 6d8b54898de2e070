/*
 * read.c - opens a file, detects its format, and calls the reader of the format.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/internal.h"

static void close_input(void *in)
{
	ebb_input_close(in);
}

ebb_input *ebb_archive_input(ebb_archive *a, const char *path, ebb_error *e)
{
	ebb_input *in = ebb_input_open(path, e);

	return in && ebb_archive_own(a, in, close_input, e) ? in : NULL;
}

/* Detects the kind of a zip file: PyTorch's contain a pickle, NumPy's do not. */
static bool read_zip(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	ebb_zip *zip = ebb_zip_open(a, in, e);

	if (!zip)
		return false;
	for (int64_t i = 0; i < ebb_zip_count(zip); i++) {
		const char *name = ebb_zip_name(zip, i), *slash = strrchr(name, '/');

		if (strcmp(slash ? slash + 1 : name, "data.pkl") == 0)
			return ebb_read_torch_zip(a, zip, e);
	}
	return ebb_read_npz(a, zip, e);
}

static bool begins(const unsigned char *head, const char *magic, size_t n)
{
	return memcmp(head, magic, n) == 0;
}

/* Whether the file begins as a JSON text: then it is the index of a sharded set. */
static bool is_json(const unsigned char *head, size_t n)
{
	size_t i = 0;

	while (i < n && memchr(" \t\r\n", head[i], 4))
		i++;
	return i < n && head[i] == '{';
}

enum { HEAD = 264, TAR_MAGIC = 257 };

static bool read_format(ebb_archive *a, ebb_input *in, ebb_error *e)
{
	unsigned char head[HEAD] = {0};
	int64_t n = in->size < HEAD ? in->size : HEAD;

	if (!ebb_input_read(in, 0, head, n, "header", e))
		return false;
	if (n == 0)
		return ebb_archive_refuse(a, e, "the file is empty");
	if (begins(head, "\x93NUMPY", 6))
		return ebb_read_npy(a, in, e);
	if (begins(head, "PK\x03\x04", 4) || begins(head, "PK\x05\x06", 4))
		return read_zip(a, in, e);
	/* The length of a safetensors header may look like the magic number of another format. */
	if (n > 8 && head[8] == '{')
		return ebb_read_safetensors(a, in, e);
	if (head[0] == 0x80 || begins(head + TAR_MAGIC, "ustar", 5))
		return ebb_read_torch_legacy(a, in, e);
	if (is_json(head, (size_t)n))
		return ebb_read_shards(a, in, e);
	if (begins(head, "\x89HDF\r\n", 6))
		return ebb_archive_refuse(a, e, "is an HDF5 file, which Ebb does not read");
	return ebb_read_safetensors(a, in, e);
}

/* Opens the file at path.  If there is none, opens the index of a sharded set: path with
 * ".safetensors.index.json" or ".index.json" appended. */
static ebb_input *open_any(ebb_archive *a, const char *path, ebb_error *e)
{
	static const char whole[] = ".safetensors.index.json";
	static const char *const suffixes[] = {whole + sizeof ".safetensors" - 1, whole};
	size_t n = strlen(path), capacity = n + sizeof whole;
	const char *found = path;
	char *index;
	ebb_input *in;

	if (access(path, F_OK) == 0 || errno != ENOENT)
		return ebb_archive_input(a, path, e);
	index = ebb_alloc(capacity);
	if (!index)
		return ebb_archive_no_memory(a, e), NULL;
	memcpy(index, path, n);
	for (int i = 0; found == path && i < 2; i++) {
		memcpy(index + n, suffixes[i], strlen(suffixes[i]) + 1);
		if (access(index, F_OK) == 0)
			found = index;
	}
	in = ebb_archive_input(a, found, e);
	ebb_free(index, capacity);
	return in;
}

/* Whether the path now refers to another file.  If another process replaces a set while it is read,
 * its index changes and its shards disappear. */
static bool is_replaced(const ebb_input *in)
{
	struct stat opened, now;

	return fstat(in->fd, &opened) == 0 && stat(in->path, &now) == 0 &&
	       (opened.st_ino != now.st_ino || opened.st_dev != now.st_dev);
}

enum { ATTEMPTS = 10 };

static ebb_archive *open_archive(const ebb_archive_read_args *args, ebb_error *e)
{
	for (int i = 1;; i++) {
		ebb_error own = {0};
		ebb_archive *a =
			ebb_archive_of_file(args->path, args->most_header, args->most_bytes, &own);
		ebb_input *in = a ? open_any(a, args->path, &own) : NULL;
		bool again;

		if (in && read_format(a, in, &own)) {
			/* What the program adds from now on does not come from a header. */
			a->limited = false;
			return a;
		}
		again = in && i < ATTEMPTS && is_replaced(in);
		ebb_archive_free(a);
		if (again)
			continue;
		ebb_error_set(e, own.status, args->site, "%s", own.message);
		return NULL;
	}
}

ebb_archive *(ebb_archive_read)(const ebb_archive_read_args *args)
{
	if (!args->path || !*args->path || args->most_header < 0 || args->most_bytes < 0) {
		ebb_error_set(args->error, EBB_INVALID, args->site,
			"archive_read: path \"%s\", most_header %lld, most_bytes %lld: expected a "
			"path "
			"and no negative number",
			args->path ? args->path : "NULL", (long long)args->most_header,
			(long long)args->most_bytes);
		return NULL;
	}
	return open_archive(args, args->error);
}
