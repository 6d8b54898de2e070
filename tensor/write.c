/*
 * write.c - files that are replaced atomically.  The bytes are written to a temporary file in the
 * target's directory; renaming it to the target is the only change that another process can see.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/host.h"

/* MOST_LINKS: as many symbolic links as Linux follows.  NAME_ROOM: enough for a temporary file's
 * name, ".ebb-" and two numbers. */
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

/* The length of a path's directory with its slash; 0 if there is none. */
static size_t directory_length(const char *text)
{
	const char *slash = strrchr(text, '/');

	return slash ? (size_t)(slash - text) + 1 : 0;
}

/* Whether st is of a file in /proc, where a link to an open file may have a target that is not a
 * path. */
static bool in_proc(const struct stat *st)
{
	struct stat proc;

	return stat("/proc/self", &proc) == 0 && st->st_dev == proc.st_dev;
}

/* Replaces p by the target of its symbolic links, which is no link.  *direct is set for a link in
 * /proc, which must be opened itself.  False: errno says why. */
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

/* Closes fd.  close may report an error of an earlier write.  Returns false if that fails or ok is
 * false; errno is that of the first failure. */
static bool close_after(int fd, bool ok)
{
	int reason = errno;

	if (close(fd) != 0 && ok)
		return errno == EINTR;
	errno = reason;
	return ok;
}

/* ---- Temporary files ------------------------------------------------------------------------ */

static const char PREFIX[] = ".ebb-";

/* Whether a name is one that open_temporary chooses: ".ebb-" and two numbers. */
static bool is_temporary(const char *name)
{
	size_t n = sizeof PREFIX - 1;

	if (strncmp(name, PREFIX, n) != 0 || strspn(name + n, "0123456789") == 0)
		return false;
	name += n + strspn(name + n, "0123456789");
	return *name == '-' && name[1] && name[1 + strspn(name + 1, "0123456789")] == '\0';
}

/* Locks fd without waiting.  A writer holds a lock (flock) on its temporary file, which the system
 * releases when the process ends: a temporary file that can be locked is abandoned. */
static bool lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Whether a name in a directory is still that of the open file: another writer may have removed the
 * file before it was locked. */
static bool is_there(int fd, int directory, const char *name)
{
	struct stat open_one, named;

	return fstat(fd, &open_one) == 0 &&
	       fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/* Removes abandoned temporary files in the directory of the path to. */
static void remove_abandoned(const char *to)
{
	size_t n = directory_length(to);
	path directory;
	DIR *d;

	if (!path_make(&directory, to, n, n ? "" : "."))
		return;
	d = opendir(directory.text);
	for (struct dirent *item; d && (item = readdir(d)) != NULL;) {
		int fd;

		if (!is_temporary(item->d_name))
			continue;
		fd = openat(dirfd(d), item->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			continue;
		if (lock(fd) && is_there(fd, dirfd(d), item->d_name))
			unlinkat(dirfd(d), item->d_name, 0);
		close(fd);
	}
	if (d)
		closedir(d);
	path_free(&directory);
}

/* Locks a new temporary file.  False: another writer has locked it first, because it took the file
 * for abandoned, and removes it.  True without a lock on a file system that has no locks, where
 * remove_abandoned removes nothing. */
static bool is_mine(int fd, const char *name)
{
	return lock(fd) ? is_there(fd, AT_FDCWD, name) : errno != EWOULDBLOCK;
}

/* Creates a temporary file in the directory of the path to, open for writing and locked.  -1: errno
 * says why not. */
static int open_temporary(const char *to, path *temporary)
{
	static atomic_uint count;
	char name[NAME_ROOM];

	for (int i = 0; i < ATTEMPTS; i++) {
		int fd;

		snprintf(name, sizeof name, "%s%ld-%u", PREFIX, (long)getpid(),
			atomic_fetch_add(&count, 1));
		if (!path_make(temporary, to, directory_length(to), name))
			return -1;
		fd = open(temporary->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 && is_mine(fd, temporary->text))
			return fd;
		if (fd >= 0) {
			close(fd);
			errno = EEXIST;
		}
		path_free(temporary);
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

/* Gives the new file the owner and the group of the old one.  Without the permission to change the
 * owner, the new file keeps its own owner, and gets the group if that is permitted.  EINVAL: the
 * owner is unknown in this user namespace. */
static bool hand_on(int fd, const struct stat *old)
{
	if (fchown(fd, old->st_uid, old->st_gid) == 0)
		return true;
	if (errno != EPERM && errno != EINVAL)
		return false;
	return fchown(fd, (uid_t)-1, old->st_gid) == 0 || errno == EPERM || errno == EINVAL;
}

/* Gives the new file the mode and owner of the file that it will replace. */
static bool resemble(int fd, const struct stat *old)
{
	struct stat now;

	if (fstat(fd, &now) != 0)
		return false;
	if ((now.st_uid != old->st_uid || now.st_gid != old->st_gid) && !hand_on(fd, old))
		return false;
	return now.st_mode == old->st_mode || fchmod(fd, old->st_mode & 07777) == 0;
}

/* Writes the directory entries of the path to to the disk (fsync).  Some file systems cannot do
 * that for a directory (EINVAL). */
static bool sync_directory(const char *to)
{
	size_t n = directory_length(to);
	path directory;
	int fd;
	bool ok;

	if (!path_make(&directory, to, n, n ? "" : "."))
		return false;
	fd = open(directory.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	path_free(&directory);
	/* A directory with write but without read permission cannot be opened for fsync. */
	if (fd < 0)
		return errno == EACCES;
	ok = fsync(fd) == 0 || errno == EINVAL;
	return close_after(fd, ok);
}

/* ---- Outputs -------------------------------------------------------------------------------- */

struct ebb_output {
	path name;      /* the caller's path, for messages */
	path to;        /* the same with symbolic links followed */
	path temporary; /* empty: the target is written directly */
	int fd;
	int64_t at;
	bool durable;
};

static bool fail(const char *name, ebb_error *e)
{
	ebb_error_set(e, errno == ENOMEM ? EBB_NO_MEMORY : EBB_BAD_FILE, NULL,
		"%s: cannot be written: %s", *name ? name : "a file without a name",
		ebb_reason(errno));
	return false;
}

/* Whether there is permission to write the file, which rename does not check. */
static bool may_write(const char *to)
{
	int fd = open(to, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && close_after(fd, true);
}

static bool open_directly(ebb_output *o)
{
	o->fd = open(o->to.text, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
	return o->fd >= 0;
}

/* Opens a temporary file in the target's directory.  old is NULL if there is no file to replace. */
static bool open_beside(ebb_output *o, const struct stat *old)
{
	if (o->durable)
		remove_abandoned(o->to.text);
	o->fd = open_temporary(o->to.text, &o->temporary);
	return o->fd >= 0 && (!old || resemble(o->fd, old));
}

static bool open_target(ebb_output *o)
{
	struct stat st;
	bool direct = false;

	if (!follow(&o->to, &direct))
		return false;
	if (direct)
		return open_directly(o);
	if (stat(o->to.text, &st) != 0)
		return errno == ENOENT && open_beside(o, NULL);
	if (!S_ISREG(st.st_mode))
		return open_directly(o);
	return may_write(o->to.text) && open_beside(o, &st);
}

ebb_output *ebb_output_open(const char *name, bool durable, ebb_error *e)
{
	ebb_output *o = ebb_alloc_zeroed(sizeof *o);

	errno = o ? 0 : ENOMEM;
	if (o) {
		o->fd = -1;
		o->durable = durable;
		if (path_make(&o->to, name, 0, name) && path_make(&o->name, name, 0, name) &&
			open_target(o))
			return o;
	}
	fail(name, e);
	ebb_output_discard(o);
	return NULL;
}

bool ebb_output_write(ebb_output *o, const void *bytes, size_t size, ebb_error *e)
{
	if (!write_all(o->fd, bytes, size))
		return fail(o->name.text, e);
	o->at += (int64_t)size;
	return true;
}

bool ebb_output_seek(ebb_output *o, int64_t at, ebb_error *e)
{
	if (lseek(o->fd, at, SEEK_SET) < 0)
		return fail(o->name.text, e);
	o->at = at;
	return true;
}

int64_t ebb_output_tell(const ebb_output *o)
{
	return o->at;
}

static void free_output(ebb_output *o)
{
	path_free(&o->temporary);
	path_free(&o->to);
	path_free(&o->name);
	ebb_free(o, sizeof *o);
}

void ebb_output_discard(ebb_output *o)
{
	int reason = errno;

	if (!o)
		return;
	if (o->temporary.text)
		unlink(o->temporary.text);
	if (o->fd >= 0)
		close(o->fd);
	free_output(o);
	errno = reason;
}

/* Whether close reports no error of an earlier write.  Closes a duplicate descriptor, because the
 * first one holds the lock until the temporary file is renamed. */
static bool is_written(const ebb_output *o)
{
	int second = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);

	return second < 0 || close_after(second, true);
}

/* A file that is not a regular one cannot be synchronised (EINVAL). */
static bool sync_file(const ebb_output *o)
{
	return !o->durable || fsync(o->fd) == 0 || (!o->temporary.text && errno == EINVAL);
}

/* The file's data is on the disk before the rename, so that a crash between them leaves the old
 * file. */
static bool commit(ebb_output *o)
{
	if (!sync_file(o) || !is_written(o))
		return false;
	if (!o->temporary.text)
		return true;
	if (rename(o->temporary.text, o->to.text) != 0)
		return false;
	path_free(&o->temporary);
	return !o->durable || sync_directory(o->to.text);
}

bool ebb_output_commit(ebb_output *o, ebb_error *e)
{
	bool ok = commit(o);

	if (!ok)
		fail(o->name.text, e);
	ebb_output_discard(o);
	return ok;
}

bool ebb_write_file(const char *name, const void *bytes, size_t size, ebb_error *e)
{
	ebb_output *o = ebb_output_open(name, false, e);

	if (!o)
		return false;
	if (ebb_output_write(o, bytes, size, e))
		return ebb_output_commit(o, e);
	ebb_output_discard(o);
	return false;
}
