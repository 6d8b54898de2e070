/* cli.c - functions for the demos' command lines: options, terminal, signals, directories. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void check_output(void)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) != 0)
		failed = true;
	/* EBADF: stdout was closed before the program started, which is no error if nothing was
	 * written. */
	if (fclose(stdout) != 0 && errno != EBADF)
		failed = true;
	if (!failed)
		return;
	fprintf(stderr, "standard output cannot be written%s%s\n", errno ? ": " : "",
		errno ? strerror(errno) : "");
	_exit(1);
}

void cli_begin(void)
{
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);

	if (plain)
		uselocale(plain);
	if (atexit(check_output) != 0)
		exit(1);
}

int64_t cli_int(const char *option, const char *text, int64_t lo, int64_t hi)
{
	char *end;

	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (errno || *end || end == text || v < lo || v > hi) {
		fprintf(stderr, "%s: got '%s', expected a whole number from %lld to %lld\n", option,
			text, (long long)lo, (long long)hi);
		exit(2);
	}
	return v;
}

double cli_double(const char *option, const char *text, double lo, double hi)
{
	char *end;
	double v = strtod(text, &end);

	if (*end || end == text || !(v >= lo && v <= hi)) {
		fprintf(stderr, "%s: got '%s', expected a number from %g to %g\n", option, text, lo,
			hi);
		exit(2);
	}
	return v;
}

int cli_choice(const char *option, const char *text, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	fprintf(stderr, "%s: got '%s', expected one of", option, text);
	for (int i = 0; names[i]; i++)
		fprintf(stderr, "%s %s", i ? "," : "", names[i]);
	fprintf(stderr, "\n");
	exit(2);
}

void cli_threads(const char *text)
{
	cli_int("--threads", text, 1, 256);
	setenv("EBB_THREADS", text, 1);
}

void cli_no_arguments(int argc, char **argv, int first)
{
	if (first < argc) {
		fprintf(stderr, "%s: unexpected argument '%s' (see --help)\n", argv[0],
			argv[first]);
		exit(2);
	}
}

double cli_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool cli_is_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

bool cli_colour(int fd)
{
	const char *no = getenv("NO_COLOR");

	return cli_is_terminal(fd) && !(no && *no);
}

int cli_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int n = columns ? atoi(columns) : 0;

	if (!isatty(fd))
		return 0;
	if (n > 0)
		return n;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* cli_columns of the first size bytes. */
static int columns_of(const char *text, size_t size)
{
	int n = 0;
	bool escape = false;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\033')
			escape = true;
		else if (escape)
			escape = text[i] != 'm';
		else
			n += ((unsigned char)text[i] & 0xC0) != 0x80;
	}
	return n;
}

int cli_columns(const char *text)
{
	return columns_of(text, strlen(text));
}

void cli_wrap(int indent, const char *text)
{
	int width = cli_width(STDOUT_FILENO), column = indent;
	bool first = true;

	printf("%*s", indent, "");
	while (*text) {
		size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " ");
		int next = (int)blanks + columns_of(text + blanks, word);

		if (width > 0 && column + next > width && !first) {
			printf("\n%*s", indent, "");
			column = indent;
			next -= (int)blanks;
			text += blanks;
			blanks = 0;
		}
		fwrite(text, 1, blanks + word, stdout);
		text += blanks + word;
		column += next;
		first = false;
	}
	putchar('\n');
}

void cli_bar(const char *before, double share, int widest, const char *after)
{
	/* The last column stays empty, because some terminals wrap after it. */
	int width = cli_width(STDOUT_FILENO) - 1,
	    left = width - (int)strlen(before) - (int)strlen(after),
	    length = left < 4        ? 0
	             : left < widest ? left
	                             : widest;

	printf("\r\033[K%.*s", width, before);
	for (int i = 0; i < length; i++)
		fputs(i < (int)(length * share) ? "█" : "░", stdout);
	width -= (int)strlen(before) + length;
	printf("%.*s", width > 0 ? width : 0, after);
	fflush(stdout);
}

const char *cli_time(char *buffer, int size, double seconds)
{
	long s = isfinite(seconds) && seconds > 0 && seconds < 1e9 ? lrint(seconds) : 0;

	if (s >= 3600)
		snprintf(buffer, (size_t)size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(buffer, (size_t)size, "%ld:%02ld", s / 60, s % 60);
	return buffer;
}

static volatile sig_atomic_t caught;

static void catch_signal(int number)
{
	caught = number;
}

void cli_catch_signals(void)
{
	struct sigaction action = {
		.sa_handler = catch_signal, .sa_flags = SA_RESTART | SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

int cli_caught_signal(void)
{
	return caught;
}

void cli_end_by_signal(void)
{
	fflush(stdout);
	signal(caught, SIG_DFL);
	raise(caught);
}

bool cli_make_directory(const char *path)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	struct stat st;

	if (n == 0 || n >= sizeof part) {
		fprintf(stderr, "'%s' is not a valid directory name\n", path);
		return false;
	}
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0777) && errno != EEXIST) {
			fprintf(stderr, "%s: cannot be created: %s\n", part, strerror(errno));
			return false;
		}
	}
	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr, "%s: is not a directory\n", path);
		return false;
	}
	/* Checks now, and not after the training, that files can be written. */
	snprintf(part, sizeof part, "%.*s/.ebb-XXXXXX", PATH_MAX - 20, path);
	int file = mkstemp(part);
	if (file < 0) {
		fprintf(stderr, "%s: cannot be written to: %s\n", path, strerror(errno));
		return false;
	}
	close(file);
	unlink(part);
	return true;
}
