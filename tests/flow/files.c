/* files.c - every function that writes a file leaves the complete file, or the former file and an
 * error with the reason. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The writers ---------------------------------------------------------------------------- */

static bool write_image(const char *path, ebb_error *e)
{
	ebb_image x = {0};
	bool ok;

	if (!ebb_image_shape(&x, 40, 40, 3, e))
		return false;
	for (int i = 0; i < 40 * 40 * 3; i++)
		x.pixels[i] = (uint8_t)(i * i >> 3); /* deflate cannot compress it */
	ok = ebb_image_write_png(path, &x, e);
	ebb_image_free(&x);
	return ok;
}

static bool write_text(const char *path, ebb_error *e)
{
	ebb_text text = {0};
	bool ok;

	for (int i = 0; i < 300; i++)
		ebb_text_printf(&text, "%d,%g\r\n", i, i / 8.0);
	ok = ebb_text_save(&text, path, e);
	ebb_text_free(&text);
	return ok;
}

static bool write_figure(const char *path, ebb_error *e)
{
	const double y[] = {3, 1, 2};
	const ebb_series s = {.label = "three", .n = 3, .y = y};
	const ebb_panel p = {.n = 1, .series = &s};

	return ebb_figure_save(&(ebb_figure){.n = 1, .panels = &p}, path, e);
}

/* The functions that write files: the name of their file, and how it begins. */
static const struct writer {
	const char *name, *begins;
	bool (*write)(const char *path, ebb_error *e);
} writers[] = {
	{"image.png", "\x89PNG\r\n", write_image},
	{"table.csv", "0,0\r\n1,0.125\r\n", write_text},
	{"figure.png", "\x89PNG\r\n", write_figure},
	{"figure.svg", "<?xml", write_figure},
	{"figure.pdf", "%PDF-", write_figure},
};

/* Without Cairo there are no figures. */
static int writer_count(void)
{
	return ebb_can_plot() ? (int)(sizeof writers / sizeof *writers) : 2;
}

/* ---- Checking ------------------------------------------------------------------------------- */

static void expect_error(const ebb_error *e, const char *path, const char *why)
{
	char words[400];

	snprintf(words, sizeof words, "%s: cannot be written: %s",
		*path ? path : "a file without a name", why);
	ck_assert_msg(e->status == EBB_BAD_FILE && strcmp(e->message, words) == 0, "%d: %s",
		(int)e->status, e->message);
}

static void expect_refused(const struct writer *w, const char *path, const char *why)
{
	ebb_error e = {0};

	ck_assert_msg(!w->write(path, &e), "%s was written", path);
	expect_error(&e, path, why);
}

static void expect_written(const struct writer *w, const char *path)
{
	ebb_error e = {0};

	ck_assert_msg(w->write(path, &e), "%s", e.message);
}

static void expect_content(const char *path, const char *begins)
{
	char head[64] = "";
	int fd = open(path, O_RDONLY);

	ck_assert_msg(fd >= 0, "%s does not exist", path);
	ck_assert_int_ge(read(fd, head, strlen(begins)), 0);
	close(fd);
	ck_assert_msg(memcmp(head, begins, strlen(begins)) == 0, "%s begins with %s", path, head);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	ck_assert_msg(lstat(path, &st) == 0, "%s does not exist", path);
	return st.st_mode;
}

/* The number of files in temp_dir; a temporary file that is left over would be one more. */
static int names(void)
{
	DIR *d = opendir(temp_dir);
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* ---- Devices and FIFOs ---------------------------------------------------------------------- */

START_TEST(a_full_device_is_an_error_and_the_link_to_it_stays)
{
	if (access("/dev/full", W_OK) != 0)
		return;
	for (int i = 0; i < writer_count(); i++) {
		char link[300];

		snprintf(link, sizeof link, "%s", temp_path(writers[i].name));
		ck_assert_int_eq(symlink("/dev/full", link), 0);
		expect_refused(&writers[i], link, "No space left on device");
		ck_assert_msg(S_ISLNK(mode_of(link)), "%s is not a link any more", link);
		ck_assert(S_ISCHR(mode_of("/dev/full")));
		ck_assert_int_eq(names(), i + 1);
	}
	expect_refused(&writers[1], "/dev/full", "No space left on device");
}
END_TEST

START_TEST(a_fifo_is_written_to_directly)
{
	for (int i = 0; i < writer_count(); i++) {
		char path[300], head[64] = "";
		int fd;

		snprintf(path, sizeof path, "%s", temp_path(writers[i].name));
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		fd = open(path, O_RDONLY | O_NONBLOCK);
		ck_assert_int_ge(fd, 0);
		expect_written(&writers[i], path);
		ck_assert_int_gt(read(fd, head, strlen(writers[i].begins)), 0);
		ck_assert_msg(memcmp(head, writers[i].begins, strlen(writers[i].begins)) == 0, "%s",
			head);
		ck_assert(S_ISFIFO(mode_of(path)));
		close(fd);
	}
}
END_TEST

START_TEST(dev_fd_paths_write_to_the_open_file)
{
	char by_descriptor[64], path[300];
	struct stat before, after;
	int fd;

	snprintf(path, sizeof path, "%s", temp_path("open.csv"));
	fd = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	snprintf(by_descriptor, sizeof by_descriptor, "/dev/fd/%d", fd);
	ck_assert_int_eq(fstat(fd, &before), 0);
	expect_written(&writers[1], by_descriptor);
	expect_content(path, writers[1].begins);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert(before.st_ino == after.st_ino);
	close(fd);
}
END_TEST

/* ---- Links ---------------------------------------------------------------------------------- */

START_TEST(a_symbolic_link_stays_and_its_target_is_written)
{
	char link[300], target[300];

	for (int i = 0; i < writer_count(); i++) {
		char text[64];

		snprintf(text, sizeof text, "sub/%s", writers[i].name);
		snprintf(target, sizeof target, "%s", write_temp(text, "old", 3));
		snprintf(link, sizeof link, "%s", temp_path(writers[i].name));
		ck_assert_int_eq(symlink(text, link), 0);
		expect_written(&writers[i], link);
		ck_assert(S_ISLNK(mode_of(link)) && S_ISREG(mode_of(target)));
		expect_content(target, writers[i].begins);
		/* Writing through a dangling link creates its target. */
		ck_assert_int_eq(unlink(target), 0);
		expect_written(&writers[i], link);
		ck_assert(S_ISLNK(mode_of(link)) && S_ISREG(mode_of(target)));
		expect_content(target, writers[i].begins);
	}
	ck_assert_int_eq(symlink("to-itself.csv", temp_path("to-itself.csv")), 0);
	snprintf(link, sizeof link, "%s", temp_path("to-itself.csv"));
	expect_refused(&writers[1], link, "Too many levels of symbolic links");
}
END_TEST

/* ---- Regular files -------------------------------------------------------------------------- */

START_TEST(a_file_keeps_its_mode_and_a_new_one_follows_the_umask)
{
	for (int i = 0; i < writer_count(); i++) {
		char path[300];
		mode_t before;

		snprintf(path, sizeof path, "%s", temp_path(writers[i].name));
		before = umask(027);
		expect_written(&writers[i], path);
		ck_assert_int_eq(mode_of(path) & 07777, 0640);
		ck_assert_int_eq(chmod(path, 0604), 0);
		expect_written(&writers[i], path);
		umask(before);
		ck_assert_int_eq(mode_of(path) & 07777, 0604);
		expect_content(path, writers[i].begins);
		ck_assert_int_eq(names(), i + 1);
	}
}
END_TEST

/* Writes with RLIMIT_FSIZE at 500 bytes, which fails as a full disk would.  Check writes a file of
 * its own at every assertion, so the limit is lifted before any assertion. */
static void expect_stopped(const struct writer *w, const char *path)
{
	struct rlimit limit, low;
	ebb_error e = {0};
	bool limited, written;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	low = limit;
	low.rlim_cur = 500;
	limited = setrlimit(RLIMIT_FSIZE, &low) == 0;
	written = w->write(path, &e);
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert(limited);
	ck_assert_msg(!written, "%s was written", path);
	expect_error(&e, path, "File too large");
}

START_TEST(a_write_that_fails_midway_leaves_the_former_file)
{
	void (*before)(int) = signal(SIGXFSZ, SIG_IGN);

	for (int i = 0; i < writer_count(); i++) {
		char path[300], old[20];

		snprintf(old, sizeof old, "the old %s", writers[i].name);
		snprintf(path, sizeof path, "%s", temp_path(writers[i].name));
		expect_stopped(&writers[i], path);
		ck_assert_msg(access(path, F_OK) != 0, "%s was left", path);
		ck_assert_int_eq(names(), i);
		write_temp(writers[i].name, old, strlen(old));
		expect_stopped(&writers[i], path);
		expect_content(path, old);
		ck_assert_int_eq(names(), i + 1);
	}
	signal(SIGXFSZ, before);
}
END_TEST

START_TEST(files_without_write_permission_are_unchanged)
{
	bool root = geteuid() == 0;
	char path[300];

	write_temp("kept.csv", "kept", 4);
	ck_assert_int_eq(chmod(temp_path("kept.csv"), 0444), 0);
	ck_assert_int_eq(chmod(temp_dir, 0777), 0);
	/* root may write anywhere, so drop its rights. */
	ck_assert(!root || seteuid(65534) == 0);
	snprintf(path, sizeof path, "%s", temp_path("kept.csv"));
	expect_refused(&writers[1], path, "Permission denied");
	ck_assert(!root || seteuid(0) == 0);
	ck_assert_int_eq(chmod(temp_dir, 0555), 0);
	ck_assert(!root || seteuid(65534) == 0);
	snprintf(path, sizeof path, "%s", temp_path("new.csv"));
	expect_refused(&writers[1], path, "Permission denied");
	ck_assert(!root || seteuid(0) == 0);
	ck_assert_int_eq(chmod(temp_dir, 0755), 0);
	expect_content(temp_path("kept.csv"), "kept");
	ck_assert_int_eq(names(), 1);
	snprintf(path, sizeof path, "%s", temp_path("none/new.csv"));
	expect_refused(&writers[1], path, "No such file or directory");
	expect_refused(&writers[1], temp_dir, "Is a directory");
	expect_refused(&writers[1], "", "No such file or directory");
}
END_TEST

START_TEST(without_memory_no_file_is_written)
{
	ebb_text text = {0};
	counting_allocator a;
	char path[300];

	ck_assert(ebb_text_printf(&text, "%d\n", 7));
	snprintf(path, sizeof path, "%s", temp_path("x.csv"));
	for (int fail_at = 0;; fail_at++) {
		ebb_error e = {0};
		bool ok;

		counting_allocator_install(&a);
		a.fail_at = fail_at;
		ok = ebb_text_save(&text, path, &e);
		counting_allocator_remove();
		ck_assert(a.live == 0 && a.wrong == 0);
		if (a.refused == 0) {
			ck_assert(ok && fail_at > 0);
			break;
		}
		ck_assert(!ok && e.status == EBB_NO_MEMORY);
		ck_assert_int_eq(names(), 0);
	}
	ebb_text_free(&text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow files");
	TCase *c = tcase_create("files");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, a_full_device_is_an_error_and_the_link_to_it_stays);
	tcase_add_test(c, a_fifo_is_written_to_directly);
	tcase_add_test(c, dev_fd_paths_write_to_the_open_file);
	tcase_add_test(c, a_symbolic_link_stays_and_its_target_is_written);
	tcase_add_test(c, a_file_keeps_its_mode_and_a_new_one_follows_the_umask);
	tcase_add_test(c, a_write_that_fails_midway_leaves_the_former_file);
	tcase_add_test(c, files_without_write_permission_are_unchanged);
	tcase_add_test(c, without_memory_no_file_is_written);
	suite_add_tcase(s, c);
	return run_suite(s);
}
