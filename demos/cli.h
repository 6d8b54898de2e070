/* cli.h - what the demos' command lines share. */
#ifndef EBB_DEMOS_CLI_H
#define EBB_DEMOS_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* First in main.  At its end the program then fails with a message, status 1, unless all that it
 * wrote to stdout has arrived. */
void cli_begin(void);

/* The value of an option as a number within bounds; otherwise says what was expected and exits with status 2. */
int64_t cli_int(const char *option, const char *text, int64_t lo, int64_t hi);
double cli_double(const char *option, const char *text, double lo, double hi);
/* The position of text in a NULL-terminated list of names; exits like the others. */
int cli_choice(const char *option, const char *text, const char *const *names);
/* Sets the number of threads of the kernels, through the environment; before the first op. */
void cli_threads(const char *text);

/* After getopt_long: no arguments are left. */
void cli_no_arguments(int argc, char **argv, int optind);
/* Seconds since some fixed moment. */
double cli_now(void);
/* Whether a stream is a terminal that understands colours. */
bool cli_is_terminal(int fd);
/* "1:05", "0:07" */
const char *cli_time(char *buffer, int size, double seconds);
/* Creates a directory, and those above it, unless it exists.  False with a message on stderr. */
bool cli_make_directory(const char *path);

#endif
