/* directory.h - an empty directory for each test of the demos, and commands that name it. */
#ifndef EBB_TESTS_DEMOS_DIRECTORY_H
#define EBB_TESTS_DEMOS_DIRECTORY_H

#include "run.h"

static char directory[64];

static inline void make_directory(void)
{
	strcpy(directory, "/tmp/ebb-demos-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static inline void remove_directory(void)
{
	char command[100];

	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* The text of a command or path, in which %1$s is the directory; valid until the next call. */
static inline const char *in_directory(const char *format)
{
	static char text[900];

	snprintf(text, sizeof text, format, directory);
	return text;
}

/* A command that prints the words and has that status. */
typedef struct demo_call {
	const char *command, *words;
	int status;
} demo_call;
static inline void check_calls(int n, const demo_call *calls)
{
	for (int i = 0; i < n; i++) {
		int status = run("%s", in_directory(calls[i].command));

		ck_assert_msg(status == calls[i].status, "%s: status %d, expected %d: %s",
			calls[i].command, status, calls[i].status, output);
		assert_says(calls[i].words);
	}
}

#endif
