/* cli.h - what the demos' command lines share. */
#ifndef EBB_DEMOS_CLI_H
#define EBB_DEMOS_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* First in main.  At its end the program then fails with a message, status 1, unless all that it
 * wrote to stdout has arrived.  Numbers are read and written with a point, whatever locale is
 * set. */
void cli_begin(void);

/* The value of an option as a number within bounds; otherwise says what was expected and exits with
 * status 2. */
int64_t cli_int(const char *option, const char *text, int64_t lo, int64_t hi);
double cli_double(const char *option, const char *text, double lo, double hi);
/* The position of text in a NULL-terminated list of names; exits like the others. */
int cli_choice(const char *option, const char *text, const char *const *names);
/* Sets the number of threads of the kernels, through the environment; before the first op. */
void cli_threads(const char *text);

/* After getopt_long: no arguments are left. */
void cli_no_arguments(int argc, char **argv, int first);
/* Seconds since some fixed moment. */
double cli_now(void);
/* Whether a stream is a terminal that can move its cursor. */
bool cli_is_terminal(int fd);
/* Whether to write to it in colours: a terminal, unless NO_COLOR is set and not empty
 * (no-color.org). */
bool cli_colour(int fd);
/* How many columns a terminal has: COLUMNS, or what it says itself, or 80.  0, without a limit, for
 * what is no terminal. */
int cli_width(int fd);
/* How many columns a text takes: its code points, less what sets colours. */
int cli_columns(const char *text);
/* Writes a line to stdout, broken between words where a terminal ends. */
void cli_wrap(int indent, const char *text);
/* Draws a bar for a share of widest columns in a line of the terminal, between two texts in ASCII,
 * over what was there; in a narrow one with a shorter bar, or none and as much text as fits. */
void cli_bar(const char *before, double share, int widest, const char *after);
/* "1:05", "0:07" */
const char *cli_time(char *buffer, int size, double seconds);
/* From here on SIGTERM and SIGINT are only noted, each once: the second time they act as ever. */
void cli_catch_signals(void);
/* The one that was caught, or 0. */
int cli_caught_signal(void);
/* Ends the process as that signal would have, once stdout has what was written to it. */
void cli_end_by_signal(void);
/* Creates a directory, and those above it, unless it exists.  False with a message on stderr. */
bool cli_make_directory(const char *path);

#endif
