/* fork.h - whether a child process of fork can start threads in the environment of these tests. */
#ifndef EBB_TESTS_FORK_H
#define EBB_TESTS_FORK_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The thread sanitizer does not support it. */
#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* Neither does the user mode of qemu.  Meson names the program that runs tests of another
 * machine. */
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
