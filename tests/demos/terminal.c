/* terminal.c - the output of the demos on a terminal: its width, and colours. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "folder.h"
#include "run.h"

/* Runs "demos/COMMAND" on a pseudo-terminal with that many columns; returns its exit status. */
static int run_on_terminal(const char *command, int columns)
{
	struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = 40};
	char line[2000];
	int master = posix_openpt(O_RDWR | O_NOCTTY), status;
	size_t n = 0;
	ssize_t got;

	ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	ck_assert_int_eq(ioctl(master, TIOCSWINSZ, &size), 0);
	shell_command(line, sizeof line, command);
	pid_t child = fork();
	if (child == 0) {
		setsid();
		int slave = open(ptsname(master), O_RDWR);
		close(master);
		dup2(slave, STDIN_FILENO);
		dup2(slave, STDOUT_FILENO);
		dup2(slave, STDERR_FILENO);
		setenv("TERM", "xterm", 1);
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	/* read() fails when the program has ended. */
	while (n < sizeof output - 1 && (got = read(master, output + n, sizeof output - 1 - n)) > 0)
		n += (size_t)got;
	output[n] = '\0';
	close(master);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Whether a text has escape sequences for colours, bold or faint letters. */
static bool has_colours(const char *text)
{
	for (; (text = strstr(text, "\033[")); text++)
		if (text[2 + strspn(text + 2, "0123456789;")] == 'm')
			return true;
	return false;
}

/* The width of the widest line in columns, without escape sequences. */
static int widest_line(const char *text)
{
	int most = 0, columns = 0;

	for (; *text; text++) {
		if (*text == '\033')
			text += 2 + strspn(text + 2, "0123456789;");
		else if (*text == '\r' || *text == '\n')
			columns = 0;
		else
			columns += ((unsigned char)*text & 0xC0) != 0x80;
		most = columns > most ? columns : most;
	}
	return most;
}

START_TEST(lines_fit_the_terminal)
{
	static const char *const commands[] = {
		"lenet --images 200 --epochs 1 --batch 50 --threads 1",
		"gradflow --steps 3 --depth 4 --images 16 --batch 8 --width 2 --threads 1 --out "
		"%s"};
	char directory[] = "/tmp/ebb-terminal-XXXXXX", command[300];

	unsetenv("COLUMNS");
	unsetenv("NO_COLOR");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		snprintf(command, sizeof command, commands[i], directory);
		for (int columns = 130; columns >= 40; columns -= 30) {
			ck_assert_msg(run_on_terminal(command, columns) == 0, "%s", output);
			ck_assert_msg(widest_line(output) <= columns, "%d columns of %d: %s",
				widest_line(output), columns, output);
			ck_assert(i == 0 || widest_line(output) >= columns - 30);
			ck_assert_ptr_nonnull(strstr(output, i ? "residual" : "loss"));
		}
		setenv("COLUMNS", "50", 1);
		ck_assert_int_eq(run_on_terminal(command, 130), 0);
		ck_assert_int_le(widest_line(output), 50);
		/* Output to a file is not limited to a terminal's width. */
		ck_assert_int_eq(run("%s", command), 0);
		ck_assert_int_gt(widest_line(output), i ? 80 : 60);
		unsetenv("COLUMNS");
	}
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(classes_fit_the_terminal)
{
	char directory[] = "/tmp/ebb-terminal-XXXXXX", command[300], path[100];

	unsetenv("COLUMNS");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/a.png", directory);
	write_image(path, 0, 0);
	snprintf(path, sizeof path, "%s/weights.safetensors", directory);
	write_weights(path, "squeezenet1_1");
	snprintf(path, sizeof path, "%s/imagenet-classes.txt", directory);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 1000; i++)
		fprintf(f, "a long nam\xC3\xA9 of a class that does not fit into %d columns\n", i);
	ck_assert_int_eq(fclose(f), 0);
	snprintf(command, sizeof command,
		"classify %s/a.png --weights %s/weights.safetensors --threads 1", directory,
		directory);
	for (int columns = 130; columns >= 40; columns -= 30) {
		ck_assert_msg(run_on_terminal(command, columns) == 0, "%s", output);
		ck_assert_msg(widest_line(output) <= columns, "%d columns of %d: %s",
			widest_line(output), columns, output);
		assert_says("  a long nam");
	}
	for (int columns = 130; columns >= 70; columns -= 30) {
		ck_assert_int_eq(run_on_terminal("classify --list", columns), 0);
		ck_assert_msg(widest_line(output) <= columns, "%d columns of %d: %s",
			widest_line(output), columns, output);
		ck_assert(has_colours(output));
	}
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(no_color_and_files_disable_colours)
{
	char directory[] = "/tmp/ebb-terminal-XXXXXX", command[300];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(command, sizeof command,
		"gradflow --steps 1 --depth 3 --images 8 --batch 8 --width 2 --out %s", directory);
	setenv("NO_COLOR", "1", 1);
	ck_assert_int_eq(run_on_terminal(command, 100), 0);
	ck_assert(!has_colours(output));
	/* An empty NO_COLOR counts as not set. */
	setenv("NO_COLOR", "", 1);
	ck_assert_int_eq(run_on_terminal(command, 100), 0);
	ck_assert(has_colours(output));
	ck_assert_int_eq(run("%s", command), 0);
	ck_assert(!has_colours(output));
	unsetenv("NO_COLOR");
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos on a terminal");
	TCase *c = tcase_create("terminal");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 100);
	tcase_add_test(c, lines_fit_the_terminal);
	tcase_add_test(c, classes_fit_the_terminal);
	tcase_add_test(c, no_color_and_files_disable_colours);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
