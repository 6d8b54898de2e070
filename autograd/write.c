/*
 * write.c - files that are written whole or not at all: a temporary file beside the target takes
 * the bytes, and its rename is the only change that another process can see.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autograd/host.h"

/* As many links as Linux follows; room for ".ebb-" and two numbers in a temporary file's name. */
enum { MOST_LINKS = 40, NAME_ROOM = 48, ATTEMPTS = 1000 };

typedef struct path {
	char *text;
	size_t size;
} path;

static bool path_make(path *p, const char *directory, size_t n, const char *name)
{
	*p = (path){.size = n + strlen(name) + 1};
	p->text = ebb_alloc(p->size);
	if (!p->text) {
		errno = ENOMEM;
		return false;
	}
	memcpy(p->text, directory, n);
	memcpy(p->text + n, name, p->size - n);
	return true;
}

static void path_free(path *p)
{
	ebb_free(p->text, p->size);
	*p = (path){0};
}

/* How much of a path is its directory, with the slash. */
static size_t directory_length(const char *text)
{
	const char *slash = strrchr(text, '/');

	return slash ? (size_t)(slash - text) + 1 : 0;
}

/* Whether it lies in /proc, where links lead to open files whose paths they do not tell. */
static bool in_proc(const struct stat *st)
{
	struct stat proc;

	return stat("/proc/self", &proc) == 0 && st->st_dev == proc.st_dev;
}

/* Follows the symbolic links that p ends in, to a name that is none.  *direct is set for one that
 * must be opened as it stands. */
static bool follow(path *p, bool *direct)
{
	char target[4096];
	struct stat st;

	for (int links = 0; lstat(p->text, &st) == 0 && S_ISLNK(st.st_mode); links++) {
		ssize_t n;
		path next;

		if (in_proc(&st)) {
			*direct = true;
			return true;
		}
		n = readlink(p->text, target, sizeof target);
		if (n < 0)
			return false;
		if (n == (ssize_t)sizeof target || links == MOST_LINKS) {
			errno = links == MOST_LINKS ? ELOOP : ENAMETOOLONG;
			return false;
		}
		target[n] = '\0';
		if (!path_make(
			    &next, p->text, *target == '/' ? 0 : directory_length(p->text), target))
			return false;
		path_free(p);
		*p = next;
	}
	return true;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* close reports some errors of the writes before it.  errno is the first failure's. */
static bool close_after(int fd, bool ok)
{
	int reason = errno;

	if (close(fd) != 0 && ok)
		return errno == EINTR;
	errno = reason;
	return ok;
}

static bool write_directly(const char *to, const void *bytes, size_t size)
{
	int fd = open(to, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);

	return fd >= 0 && close_after(fd, write_all(fd, bytes, size));
}

/* A new file beside to, open for writing. */
static int open_temporary(const char *to, path *temporary)
{
	static atomic_uint count;
	char name[NAME_ROOM];

	for (int i = 0; i < ATTEMPTS; i++) {
		int fd;

		snprintf(name, sizeof name, ".ebb-%ld-%u", (long)getpid(),
			atomic_fetch_add(&count, 1));
		if (!path_make(temporary, to, directory_length(to), name))
			return -1;
		fd = open(temporary->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0)
			return fd;
		path_free(temporary);
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

/* Mode and owner of the file that is replaced.  Without the right to change the owner the new file keeps its own. */
static bool resemble(int fd, const struct stat *old)
{
	struct stat now;

	if (fstat(fd, &now) != 0)
		return false;
	if ((now.st_uid != old->st_uid || now.st_gid != old->st_gid) &&
		fchown(fd, old->st_uid, old->st_gid) != 0 && errno != EPERM)
		return false;
	return now.st_mode == old->st_mode || fchmod(fd, old->st_mode & 07777) == 0;
}

/* old is NULL where there is no file yet. */
static bool replace(const char *to, const struct stat *old, const void *bytes, size_t size)
{
	path temporary = {0};
	int fd = open_temporary(to, &temporary), reason;
	bool ok;

	if (fd < 0)
		return false;
	ok = (!old || resemble(fd, old)) && write_all(fd, bytes, size);
	ok = close_after(fd, ok) && rename(temporary.text, to) == 0;
	if (!ok) {
		reason = errno;
		unlink(temporary.text);
		errno = reason;
	}
	path_free(&temporary);
	return ok;
}

/* Whether the file may be written to, which a rename does not ask. */
static bool may_write(const char *to)
{
	int fd = open(to, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && close_after(fd, true);
}

static bool write_to(const char *to, bool direct, const void *bytes, size_t size)
{
	struct stat st;

	if (direct)
		return write_directly(to, bytes, size);
	if (stat(to, &st) != 0)
		return errno == ENOENT && replace(to, NULL, bytes, size);
	if (!S_ISREG(st.st_mode))
		return write_directly(to, bytes, size);
	return may_write(to) && replace(to, &st, bytes, size);
}

bool ebb_write_file(const char *name, const void *bytes, size_t size, ebb_error *e)
{
	path to;
	bool direct = false, ok;

	errno = 0;
	ok = path_make(&to, name, 0, name) && follow(&to, &direct) &&
	     write_to(to.text, direct, bytes, size);
	if (!ok)
		ebb_error_set(e, errno == ENOMEM ? EBB_NO_MEMORY : EBB_BAD_FILE, NULL,
			"%s: cannot be written: %s", *name ? name : "a file without a name",
			ebb_reason(errno));
	path_free(&to);
	return ok;
}
