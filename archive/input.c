/*
 * input.c - reading regular files by offset, and blobs: runs of bytes in files or in memory.
 *
 * Values are read by pread, not through a memory mapping: if another process truncates a mapped
 * file, reading raises SIGBUS, which a library cannot turn into an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/internal.h"

/* The largest size of one read: some systems read at most 2 GiB at once. */
enum { MOST_AT_ONCE = 1 << 30 };

ebb_input *ebb_input_open(const char *path, ebb_error *e)
{
	size_t length = strlen(path) + 1;
	ebb_input *in = ebb_alloc_zeroed(sizeof *in);
	struct stat st = {0};
	int fd;

	if (in)
		in->path = ebb_alloc(length);
	if (!in || !in->path) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to read it", path);
		ebb_free(in, sizeof *in);
		return NULL;
	}
	memcpy(in->path, path, length);
	/* O_NONBLOCK, because otherwise opening a FIFO would wait for a writer. */
	in->fd = fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		in->size = st.st_size;
		return in;
	}
	ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: cannot be read: %s", path,
		fd < 0 ? ebb_reason(errno) : "not a regular file");
	ebb_input_close(in);
	return NULL;
}

void ebb_input_close(ebb_input *in)
{
	if (!in)
		return;
	if (in->fd >= 0)
		close(in->fd);
	ebb_free(in->path, strlen(in->path) + 1);
	ebb_free(in, sizeof *in);
}

bool ebb_input_read(
	const ebb_input *in, int64_t at, void *to, int64_t n, const char *what, ebb_error *e)
{
	char *bytes = to;
	int64_t done = 0;

	while (done < n) {
		int64_t wanted = n - done < MOST_AT_ONCE ? n - done : MOST_AT_ONCE;
		ssize_t got = pread(in->fd, bytes + done, (size_t)wanted, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: %s cannot be read: %s", in->path,
				what, ebb_reason(errno));
			return false;
		}
		if (got == 0) {
			ebb_error_set(e, EBB_BAD_FILE, NULL,
				"%s: truncated: %lld bytes of %s, expected %lld", in->path,
				(long long)done, what, (long long)n);
			return false;
		}
		done += got;
	}
	return true;
}

static bool read_input(const ebb_blob *b, int64_t at, void *to, int64_t n, ebb_error *e)
{
	return ebb_input_read(b->ctx, b->where + at, to, n, "values", e);
}

ebb_blob ebb_blob_of_input(ebb_input *in, int64_t at, int64_t size)
{
	return (ebb_blob){.size = size, .read = read_input, .ctx = in, .where = at};
}

static bool read_memory(const ebb_blob *b, int64_t at, void *to, int64_t n, ebb_error *e)
{
	(void)e;
	memcpy(to, (const char *)b->memory + at, (size_t)n);
	return true;
}

ebb_blob ebb_blob_of_memory(const void *bytes, int64_t size)
{
	return (ebb_blob){.size = size, .read = read_memory, .memory = bytes};
}
