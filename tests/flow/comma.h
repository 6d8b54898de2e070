/* comma.h - a locale with a decimal comma, for tests that print numbers. */
#ifndef EBB_TESTS_FLOW_COMMA_H
#define EBB_TESTS_FLOW_COMMA_H

#include "tests/support/support.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static bool has_comma(void)
{
	char text[16];

	snprintf(text, sizeof text, "%.1f", 0.5);
	return strcmp(text, "0,5") == 0;
}

/* Compiles a locale with a decimal comma into temp_dir, once for all tests, because the system may
 * have none. */
static void make_locale(void)
{
	char command[300];

	make_temp_dir();
	snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s' >/dev/null 2>&1",
		temp_path("de_DE.UTF-8"));
	if (system(command) == 0)
		setenv("LOCPATH", temp_dir, 1);
}

/* Sets a locale with a decimal comma.  False, with a message on stderr, if there is none. */
static bool set_comma(void)
{
	if (setlocale(LC_ALL, "de_DE.UTF-8") && has_comma())
		return true;
	fprintf(stderr,
		"SKIPPED: the system has no locale with a decimal comma, and cannot compile one\n");
	return false;
}

#endif
