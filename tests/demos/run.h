/* run.h - runs a demo and captures its output. */
#ifndef EBB_TESTS_DEMOS_RUN_H
#define EBB_TESTS_DEMOS_RUN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char output[1 << 16]; /* stdout and stderr together */

/* The shell's command for "demos/COMMAND". */
static void shell_command(char *line, size_t size, const char *command)
{
	const char *directory = getenv("EBB_DEMOS");
	/* Meson sets MESON_EXE_WRAPPER in cross builds. */
	const char *wrapper = getenv("MESON_EXE_WRAPPER");

	ck_assert_msg(directory != NULL, "EBB_DEMOS is not set: run this through meson test");
	snprintf(line, size, "%s '%s'/%s", wrapper ? wrapper : "", directory, command);
}

/* Runs "demos/COMMAND"; returns its exit status, 128 or more after a crash. */
static int run(const char *format, const char *argument)
{
	char command[2100], arguments[1000];
	size_t n = 0, got;

	snprintf(arguments, sizeof arguments, format, argument);
	shell_command(command, sizeof command - 8, arguments);
	strcat(command, " 2>&1");
	FILE *f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	while (n < sizeof output - 1 && (got = fread(output + n, 1, sizeof output - 1 - n, f)) > 0)
		n += got;
	output[n] = '\0';
	int status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define assert_runs(format, argument)                                                              \
	do {                                                                                       \
		int status_ = run(format, argument);                                               \
		ck_assert_msg(status_ == 0, "%s: status %d: %s", format, status_, output);         \
	} while (0)

#define assert_says(words)                                                                         \
	ck_assert_msg(strstr(output, words) != NULL, "\"%s\" is not in: %s", words, output)

#endif
