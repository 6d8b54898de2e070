/* cli.h - functions for the demos' command lines: options, terminal, signals, directories. */
#ifndef EBB_DEMOS_CLI_H
#define EBB_DEMOS_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* Call it first in main.  The program then exits with a message and status 1 if its output could
 * not be written to stdout.  Numbers are read and written with a decimal point in any locale. */
void cli_begin(void);

/* Returns the value of an option as a number in [lo,hi]; otherwise prints what was expected and
 * exits with status 2. */
int64_t cli_int(const char *option, const char *text, int64_t lo, int64_t hi);
double cli_double(const char *option, const char *text, double lo, double hi);
/* Returns the index of text in a NULL-terminated list of names; exits like the others. */
int cli_choice(const char *option, const char *text, const char *const *names);
/* Sets the number of threads, through the environment; call it before the first op. */
void cli_threads(const char *text);

/* Call it after getopt_long; exits with status 2 if an argument is left. */
void cli_no_arguments(int argc, char **argv, int first);
/* Seconds of a monotonic clock. */
double cli_now(void);
/* Whether fd is a terminal that can move its cursor. */
bool cli_is_terminal(int fd);
/* Whether to print colours: if fd is a terminal, unless NO_COLOR is set and not empty
 * (no-color.org). */
bool cli_colour(int fd);
/* The number of columns of a terminal: COLUMNS, or what the terminal reports, or 80.  0 (no limit)
 * if fd is not a terminal. */
int cli_width(int fd);
/* The number of columns that a text takes: its code points without escape sequences for colours. */
int cli_columns(const char *text);
/* Writes a line to stdout, wrapped between words at the terminal's width. */
void cli_wrap(int indent, const char *text);
/* Overwrites the current line of the terminal with before, a bar and after (ASCII).  The bar fills
 * share of widest columns; in a narrow terminal it is shorter, or left out and the text cut. */
void cli_bar(const char *before, double share, int widest, const char *after);
/* "1:05", "0:07" */
const char *cli_time(char *buffer, int size, double seconds);
/* From here on the first SIGTERM or SIGINT is only recorded; a second one has its default
 * effect. */
void cli_catch_signals(void);
/* The signal that was recorded, or 0. */
int cli_caught_signal(void);
/* Flushes stdout, then ends the process by the recorded signal. */
void cli_end_by_signal(void);
/* Creates a directory and its parents unless they exist.  False with a message on stderr. */
bool cli_make_directory(const char *path);

#endif
