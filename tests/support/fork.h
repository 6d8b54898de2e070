/* fork.h - whether a child of fork may start threads where these tests run. */
#ifndef EBB_TESTS_FORK_H
#define EBB_TESTS_FORK_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Not under the thread sanitizer. */
#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* Nor under qemu's user mode.  Meson says by what it runs programs of another machine. */
static inline bool child_may_start_threads(void)
{
#ifdef __SANITIZE_THREAD__
	return false;
#else
	const char *wrapper = getenv("MESON_EXE_WRAPPER");

	return !wrapper || !strstr(wrapper, "qemu");
#endif
}

#endif
