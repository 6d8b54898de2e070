/* A write that fails, is incomplete, or is killed leaves a readable file and no other file. */
#include "tensor/host.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- System calls that fail ----------------------------------------------------------------- */

enum { WRITE, FSYNC, RENAME, CLOSE, KINDS };
static const char *const kind_names[KINDS] = {"write", "fsync", "rename", "close"};

/* Makes calls fail: call number fail_at of this kind fails with reason; writes are limited to so
 * many bytes. */
static struct {
	int kind, fail_at, reason, seen[KINDS];
	size_t most;
	bool on, failed;
	bool renamed; /* the file was renamed before the failure */
} inject;

static bool fails(int kind)
{
	if (!inject.on || inject.seen[kind]++ != inject.fail_at || kind != inject.kind)
		return false;
	inject.failed = true;
	inject.renamed = kind != RENAME && inject.seen[RENAME] > 0;
	errno = inject.reason;
	return true;
}

/* These replace the C library's functions. */
ssize_t write(int fd, const void *bytes, size_t n)
{
	if (fails(WRITE))
		return -1;
	if (inject.on && inject.most && n > inject.most)
		n = inject.most;
	return syscall(SYS_write, fd, bytes, n);
}

int fsync(int fd)
{
	return fails(FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	return fails(RENAME) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int close(int fd)
{
	int done = (int)syscall(SYS_close, fd);

	return fails(CLOSE) ? -1 : done;
}

/* Simulates another process that looks for abandoned temporary files between the creation and the
 * locking of a file: it locks the file, and removes it after the writer failed to lock it. */
static int steals;

int flock(int fd, int operation)
{
	char link[40], name[300];
	ssize_t n;

	if (steals == 0 || fcntl(fd, F_GETFL) % 4 != O_WRONLY)
		return (int)syscall(SYS_flock, fd, operation);
	steals--;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof name - 1);
	ck_assert_int_gt(n, 0);
	name[n] = '\0';
	unlink(name);
	errno = EWOULDBLOCK;
	return -1;
}

/* ---- Files ---------------------------------------------------------------------------------- */

enum { N = 30000 };

/* Writes a file in which every value is the version. */
static bool save(const char *path, int version, int64_t shard_bytes, ebb_error *e)
{
	static float x[N], y[N];
	ebb_archive *a = ebb_archive_new();
	bool ok;

	for (int i = 0; i < N; i++)
		x[i] = y[i] = (float)version;
	ok = ebb_archive_add_values(a, "x", EBB_FILE_F32, EBB_SHAPE(N), x, e) &&
	     ebb_archive_add_values(a, "y", EBB_FILE_F32, EBB_SHAPE(N), y, e) &&
	     ebb_archive_write(a, path, .shard_bytes = shard_bytes, .error = e);
	ebb_archive_free(a);
	return ok;
}

/* Reads the version, which must be in all values of the file. */
static int version_of(const char *path)
{
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_read(path, .error = &e);
	ebb_tensor *x = a ? ebb_archive_tensor(a, "x", EBB_DEFAULT, &e) : NULL;
	ebb_tensor *y = x ? ebb_archive_tensor(a, "y", EBB_DEFAULT, &e) : NULL;
	int version;

	ck_assert_msg(y, "%s", e.message);
	version = (int)ebb_at(x, 0);
	for (int i = 0; i < N; i++)
		ck_assert(ebb_at(x, i) == version && ebb_at(y, i) == version);
	ebb_tensor_free(x);
	ebb_tensor_free(y);
	ebb_archive_free(a);
	return version;
}

static int files(void)
{
	DIR *d = opendir(temp_dir);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* ---- Failures ------------------------------------------------------------------------------- */

START_TEST(a_failed_call_keeps_the_old_file_and_reports_an_error)
{
	static const int reasons[] = {ENOSPC, EIO, EDQUOT};
	const char *path = temp_path("x.safetensors");
	ebb_error e = {0};

	inject.kind = _i;
	inject.reason = reasons[_i % 3];
	ck_assert_msg(save(path, 1, 0, &e), "%s", e.message);
	for (inject.fail_at = 0;; inject.fail_at++) {
		bool ok;

		e = (ebb_error){0};
		memset(inject.seen, 0, sizeof inject.seen);
		inject.failed = false;
		inject.on = true;
		ok = save(path, 2, 0, &e);
		inject.on = false;
		if (!inject.failed)
			break;
		if (!ok) {
			ck_assert_msg(
				strstr(e.message, ebb_reason(inject.reason)), "%s", e.message);
			ck_assert_int_eq(e.status, EBB_BAD_FILE);
		}
		/* The directory is synchronised after the file was renamed. */
		ck_assert_msg(version_of(path) == (ok || inject.renamed ? 2 : 1), "%s %d: %s",
			kind_names[_i], inject.fail_at, e.message);
		ck_assert_int_eq(files(), 1);
		ck_assert(save(path, 1, 0, &e));
	}
	ck_assert_msg(inject.fail_at > 0, "%s is never called", kind_names[_i]);
	ck_assert_int_eq(version_of(path), 2);
}
END_TEST

START_TEST(short_writes_are_continued)
{
	const char *path = temp_path("x.safetensors");
	ebb_error e = {0};

	inject.kind = KINDS;
	for (inject.most = 1; inject.most < 100000; inject.most = inject.most * 7 + 1) {
		inject.on = true;
		ck_assert_msg(save(path, (int)inject.most, 0, &e), "%s", e.message);
		inject.on = false;
		ck_assert_int_eq(version_of(path), (int)inject.most);
	}
}
END_TEST

START_TEST(a_failure_while_shards_are_written_keeps_the_old_set)
{
	const char *path = temp_path("x.safetensors");
	ebb_error e = {0};
	int before;

	inject.reason = ENOSPC;
	ck_assert_msg(save(path, 1, 4 * N, &e), "%s", e.message);
	before = files();
	ck_assert_int_eq(before, 3);
	for (inject.kind = WRITE; inject.kind <= RENAME; inject.kind++)
		for (inject.fail_at = 0;; inject.fail_at++) {
			bool ok;

			e = (ebb_error){0};
			memset(inject.seen, 0, sizeof inject.seen);
			inject.failed = false;
			inject.on = true;
			ok = save(path, 2, 4 * N, &e);
			inject.on = false;
			if (!inject.failed)
				break;
			if (!ok && version_of(path) == 1)
				ck_assert_int_eq(files(), before);
			ck_assert(save(path, 1, 4 * N, &e));
			ck_assert_int_eq(files(), before);
			ck_assert_int_eq(version_of(path), 1);
		}
}
END_TEST

/* ---- Killed processes ----------------------------------------------------------------------- */

static void save_forever(const char *path, int64_t shard_bytes, int from, int ready)
{
	char byte = 0;

	for (int i = from;; i++) {
		ebb_error e = {0};

		if (!save(path, i, shard_bytes, &e))
			_exit(1);
		if (i == from && syscall(SYS_write, ready, &byte, 1) != 1)
			_exit(1);
	}
}

/* The environment variable EBB_KILLS sets the number of kills (default 25). */
static void kill_and_look(const char *path, int64_t shard_bytes)
{
	const char *times = getenv("EBB_KILLS");
	int kills = times ? atoi(times) : 25, last = 0;
	unsigned random = 12345;

	for (int k = 0; k < kills; k++) {
		int status, ready[2], found;
		char byte;
		pid_t child;

		ck_assert_int_eq(pipe(ready), 0);
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0)
			save_forever(path, shard_bytes, last + 1, ready[1]);
		close(ready[1]);
		/* At first there may be no file. */
		if (k == 0)
			ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		random = random * 1103515245 + 12345;
		usleep(random >> 8 & 0x1fff);
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFSIGNALED(status), "the child could not save");
		close(ready[0]);
		found = version_of(path);
		ck_assert_msg(found >= last, "version %d after %d", found, last);
		last = found;
	}
}

START_TEST(a_killed_write_leaves_a_readable_file)
{
	const char *path = temp_path("x.safetensors");
	ebb_error e = {0};

	kill_and_look(path, 0);
	ck_assert_msg(save(path, 1, 0, &e), "%s", e.message);
	ck_assert_int_eq(files(), 1);
}
END_TEST

START_TEST(a_killed_write_of_shards_leaves_a_readable_set)
{
	const char *path = temp_path("x.safetensors");
	ebb_error e = {0};

	kill_and_look(path, 4 * N);
	ck_assert_msg(save(path, 1, 4 * N, &e), "%s", e.message);
	ck_assert_int_eq(files(), 3);
}
END_TEST

START_TEST(a_temporary_file_in_use_is_not_removed)
{
	ebb_error e = {0};
	ebb_output *slow = ebb_output_open(temp_path("slow"), true, &e);

	ck_assert_msg(slow && ebb_output_write(slow, "abc", 3, &e), "%s", e.message);
	write_temp(".ebb-1-1", "abandoned", 9);
	write_temp(".ebb-1-1x", "another's", 9);
	ck_assert_msg(save(temp_path("x.safetensors"), 1, 0, &e), "%s", e.message);
	/* x, the file that is being written, and one that only looks like a temporary file */
	ck_assert_int_eq(files(), 3);
	ck_assert_msg(ebb_output_commit(slow, &e), "%s", e.message);
	ck_assert_int_eq(access(temp_path("slow"), F_OK), 0);
	ck_assert_int_eq(files(), 3);
}
END_TEST

START_TEST(a_temporary_file_that_another_process_removes_is_created_again)
{
	const char *path = temp_path("x.safetensors");
	ebb_error e = {0};

	steals = 3;
	ck_assert_msg(save(path, 1, 0, &e), "%s", e.message);
	ck_assert_int_eq(steals, 0);
	ck_assert_int_eq(version_of(path), 1);
	ck_assert_int_eq(files(), 1);
}
END_TEST

START_TEST(a_full_device_is_an_error)
{
	ebb_error e = {0};

	if (access("/dev/full", W_OK) != 0)
		return;
	ck_assert(!save("/dev/full", 1, 0, &e));
	ck_assert_msg(
		strstr(e.message, "/dev/full: cannot be written: No space left"), "%s", e.message);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-output");
	TCase *c = tcase_create("output");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, a_failed_call_keeps_the_old_file_and_reports_an_error, 0, KINDS);
	tcase_add_test(c, short_writes_are_continued);
	tcase_add_test(c, a_failure_while_shards_are_written_keeps_the_old_set);
	tcase_add_test(c, a_killed_write_leaves_a_readable_file);
	tcase_add_test(c, a_killed_write_of_shards_leaves_a_readable_set);
	tcase_add_test(c, a_temporary_file_in_use_is_not_removed);
	tcase_add_test(c, a_temporary_file_that_another_process_removes_is_created_again);
	tcase_add_test(c, a_full_device_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
