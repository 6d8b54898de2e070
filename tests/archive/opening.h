/* opening.h - for archive tests: files that must open, and files that must be refused. */
#ifndef EBB_TESTS_ARCHIVE_OPENING_H
#define EBB_TESTS_ARCHIVE_OPENING_H

#include "tests/support/support.h"

#include <string.h>

static inline ebb_archive *open_ok(const char *path)
{
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_read(path, .error = &e);

	ck_assert_msg(a, "%s", e.message);
	return a;
}

/* Checks for an error that names the file and contains these words. */
static inline void expect_refused(const char *path, const char *words)
{
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_read(path, .error = &e);

	ck_assert_msg(!a, "accepted, expected: %s", words);
	ck_assert_msg(
		e.status == EBB_BAD_FILE && strstr(e.message, words) && strstr(e.message, path),
		"%d: %s (expected: %s)", (int)e.status, e.message, words);
}

#endif
