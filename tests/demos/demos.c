/* demos.c - the demos run, write their files, and reject bad input with a message and an exit
 * status. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"
#include <ebb.h>

START_TEST(hello_prints_the_derivative)
{
	assert_runs("hello%s", "");
	ck_assert_str_eq(output, "dy/dx = -2.82886\n");
}
END_TEST

START_TEST(custom_op_passes_its_gradient_check)
{
	assert_runs("custom_op%s", "");
	assert_says("first derivative 3x^2 = 12,  second derivative 6x = 12");
	assert_says("first and second order: passed");
	assert_says("wrong sign: caught");
	assert_runs("custom_op --at %s", "-1.5");
	assert_says("second derivative 6x = -9");
}
END_TEST

START_TEST(hvp_converges_to_the_minimum)
{
	assert_runs("hvp%s", "");
	assert_says("converged: x[0] = 1, x[9] = 1");
	assert_runs("hvp --dimensions %s", "3");
	ck_assert_int_eq(run("hvp --steps %s", "2"), 1);
	assert_says("not converged after 2 steps");
}
END_TEST

START_TEST(inspect_lists_the_tensors)
{
	ebb_params *p = ebb_params_new(1);
	char directory[] = "/tmp/ebb-inspect-XXXXXX", path[300];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	ebb_linear_new(p, "layer", 3, 2, .bias_init = EBB_INIT(EBB_INIT_CONSTANT, .value = 0.5));
	snprintf(path, sizeof path, "%s/layer.safetensors", directory);
	ck_assert(ebb_params_save(p, path));
	ebb_params_free(p);
	assert_runs("inspect --values %s", path);
	assert_says("F32     [2,3]    ");
	assert_says("       0.5 to 0.5         layer.bias");
	assert_says("format = pt");
	assert_says("2 tensors, 8 numbers");
	ck_assert_int_eq(run("inspect %s", "/nonexistent"), 1);
	assert_says("/nonexistent: cannot be read");
	ck_assert_int_eq(run("inspect%s", ""), 2);
	unlink(path);
	rmdir(directory);
}
END_TEST

START_TEST(lenet_trains)
{
	assert_runs("lenet --images 320 --epochs 2 --batch 32 --threads %s", "1");
	assert_says("320 images to train, 64 to test");
	assert_says("epoch 2/2");
	assert_says("test accuracy");
}
END_TEST

START_TEST(sequences_trains_the_chosen_cells)
{
	assert_runs("sequences --steps 6 --length %s", "9");
	assert_says("rnn (gradients of h), lengths 2 to 9");
	assert_says("lstm (gradients of c), lengths 2 to 9");
	assert_says("gru (gradients of h), lengths 2 to 9");
	assert_says("right at length 9");
	assert_runs("sequences --cell gru --steps 1 --length 2 --seed %s", "7");
	assert_says("gru: ");
	ck_assert_ptr_null(strstr(output, "lstm"));
}
END_TEST

static void check_file(const char *directory, const char *name, const char *begins)
{
	char path[200], head[64] = "";

	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s does not exist", path);
	size_t n = fread(head, 1, strlen(begins), f);
	fclose(f);
	ck_assert_msg(n == strlen(begins) && memcmp(head, begins, n) == 0, "%s begins with %s",
		path, head);
	unlink(path);
}

/* The size of a file in bytes, and its content up to the capacity of the buffer. */
static long read_file(const char *directory, const char *name, char *buffer, size_t capacity)
{
	char path[200];
	long size;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s does not exist", path);
	buffer[fread(buffer, 1, capacity - 1, f)] = '\0';
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	fclose(f);
	return size;
}

static void check_contains(const char *directory, const char *name, const char *words)
{
	static char content[1 << 22];
	long size = read_file(directory, name, content, sizeof content);

	ck_assert_int_lt(size, (long)sizeof content);
	ck_assert_msg(strstr(content, words) != NULL, "\"%s\" is not in %s", words, name);
}

static bool exists(const char *directory, const char *name)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return stat(path, &st) == 0;
}

START_TEST(gradflow_writes_its_report)
{
	char directory[] = "/tmp/ebb-gradflow-XXXXXX", out[100];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(out, sizeof out, "%s/a/report", directory);
	assert_runs("gradflow --steps 2 --depth 6 --images 64 --batch 16 --width 4 --out %s", out);
	assert_says("Gradient norm per layer");
	assert_says("plain, sigmoid");
	assert_says("residual, ReLU + batch norm");
	assert_says("the gradient");
	assert_says("factors per layer W ");
	assert_says("factors per layer of a branch W ");
	check_contains(out, "index.html", "<small>φ′</small> 0.2");
	check_contains(out, "index.html", "<td>layer06.bn</td>");
	check_file(out, "index.html", "<!DOCTYPE html>");
	check_file(out, "gradients.csv", "network,from,to,samples,layer,op,site,loss,");
	check_file(out, "loss.csv", "network,step,loss,batch_accuracy\r\n\"plain, sigmoid\",0,");
	if (exists(out, "gradflow.png")) { /* else a message, in a build without Cairo */
		check_file(out, "gradflow.png", "\x89PNG\r\n");
		check_file(out, "gradflow.pdf", "%PDF-");
		check_file(out, "gradflow.svg", "<?xml");
	} else {
		assert_says("Cairo");
	}
	ck_assert_int_eq(rmdir(out), 0);
	*strrchr(out, '/') = '\0';
	ck_assert_int_eq(rmdir(out), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(gradflow_accepts_its_options)
{
	char directory[] = "/tmp/ebb-gradflow-XXXXXX", command[200];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	assert_runs("gradflow --steps 1 --depth 3 --images 16 --batch 8 --width 2 --activation "
		    "tanh --init "
		    "orthogonal --lr 0.1 --every 1 --seed 7 --threads 1 --out %s",
		directory);
	assert_says("plain, tanh");
	assert_says("residual, tanh + batch norm");
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(gradflow_writes_medians_or_every_step)
{
	static const char options[] =
		"gradflow --steps 40 --depth 30 --width 2 --images 32 --batch 8 --every 1 --out %s";
	char directory[] = "/tmp/ebb-gradflow-XXXXXX", command[200], head[64];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	assert_runs(options, directory);
	/* Four networks of 30 layers; five of them would have less than 1 MB. */
	long size = read_file(directory, "gradients.csv", head, sizeof head);
	ck_assert_int_lt(size, 800000);
	/* The first of ten windows. */
	check_contains(
		directory, "gradients.csv", "\r\n\"plain, sigmoid\",0,4,4,layer01.conv,conv2d,");
	snprintf(command, sizeof command, "%s --full", directory);
	assert_runs(options, command);
	ck_assert_int_gt(read_file(directory, "gradients.csv", head, sizeof head), 2 * size);
	check_file(directory, "gradients.csv", "network,step,layer,op,site,added,kind,loss,");
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(augment_draws_a_page)
{
	char directory[] = "/tmp/ebb-augment-XXXXXX", path[100], both[250];

	if (!ebb_can_plot()) /* needs Cairo */
		return;
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/page.png", directory);
	assert_runs("augment --out %s", path);
	assert_says("24 transforms, 10 draws of each");
	/* The page itself serves as an input image. */
	snprintf(both, sizeof both, "%s/of-page.png --seed 2 --image %s", directory, path);
	assert_runs("augment --out %s", both);
	ck_assert_int_eq(run("augment --out /tmp/nothing.png --image %s/none.png", directory), 1);
	assert_says("none.png");
	check_file(directory, "page.png", "\x89PNG\r\n");
	check_file(directory, "of-page.png", "\x89PNG\r\n");
	ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

/* Writes files in CIFAR-10's format with count images each, whose colour depends on the class. */
static void write_cifar(const char *directory, int count)
{
	static const char *const names[] = {"data_batch_1", "data_batch_2", "data_batch_3",
		"data_batch_4", "data_batch_5", "test_batch"};

	for (int n = 0; n < 6; n++) {
		unsigned char record[3073];
		char path[200];
		FILE *f;

		snprintf(path, sizeof path, "%s/%s.bin", directory, names[n]);
		f = fopen(path, "wb");
		ck_assert_ptr_nonnull(f);
		for (int i = 0; i < count; i++) {
			record[0] = (unsigned char)(i % 10);
			for (int k = 1; k < 3073; k++)
				record[k] = (unsigned char)(20 * (i % 10) + 40 * (k & 1));
			ck_assert(fwrite(record, sizeof record, 1, f) == 1);
		}
		ck_assert_int_eq(fclose(f), 0);
	}
}

START_TEST(cifar_trains_and_writes_its_curves)
{
	char directory[] = "/tmp/ebb-cifar-XXXXXX", arguments[200], command[100];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	write_cifar(directory, 10);
	snprintf(arguments, sizeof arguments, "%s --out %s/out", directory, directory);
	assert_runs(
		"cifar --depth 8 --epochs 2 --batch 5 --limit 20 --workers 2 --data %s", arguments);
	assert_says("20 images to train, augmented, 10 to test");
	assert_says("ResNet-8");
	assert_says("epoch 2/2");
	assert_says("test accuracy");
	snprintf(arguments, sizeof arguments, "%s/out", directory);
	check_file(arguments, "curves.csv", "epoch,loss,accuracy,test_loss,test_accuracy");
	if (ebb_can_plot())
		check_file(arguments, "curves.png", "\x89PNG\r\n");
	assert_runs("cifar --depth 8 --epochs 1 --batch 5 --augment off --workers 0 --data %s",
		directory);
	assert_says("50 images to train, 10 to test");
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(bad_input_is_an_error_with_message_and_status)
{
	static const struct {
		const char *command, *words;
		int status;
	} cases[] = {
		{"gradflow --depth 1", "--depth: got '1', expected a whole number from 2 to 500",
			2},
		{"gradflow --depth six", "got 'six'", 2},
		{"gradflow --lr nan", "--lr: got 'nan'", 2},
		{"gradflow --activation step", "expected one of relu, leaky_relu", 2},
		{"gradflow --init magic", "magic", 2},
		{"gradflow --no-such-option", "no-such-option", 2},
		{"gradflow report", "unexpected argument 'report'", 2},
		{"gradflow --data /nonexistent/mnist --out /tmp", "/nonexistent/mnist", 1},
		{"gradflow --out /dev/null/report", "/dev/null", 1},
		{"gradflow --images 8 --batch 9 --out /tmp", "only 8 images", 1},
		{"lenet --data /nonexistent/mnist", "/nonexistent/mnist", 1},
		{"lenet --epochs 0", "--epochs: got '0'", 2},
		{"lenet --threads many", "--threads", 2},
		{"lenet --what", "what", 2},
		{"cifar", "--data is missing", 2},
		{"cifar --data /nonexistent/cifar", "/nonexistent/cifar", 1},
		{"cifar --augment maybe", "expected one of off, on", 2},
		{"hvp --dimensions 1", "--dimensions", 2},
		{"hvp --tolerance x", "--tolerance: got 'x'", 2},
		{"sequences --cell elman", "expected one of rnn, lstm, gru, all", 2},
		{"sequences --length 1", "--length: got '1'", 2},
		{"sequences --steps 0", "--steps: got '0'", 2},
		{"sequences 5", "unexpected argument '5'", 2},
		{"custom_op --at", "requires an argument", 2},
		{"custom_op extra", "unexpected argument 'extra'", 2},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int status = run("%s", cases[i].command);
		ck_assert_msg(status == cases[i].status, "%s: status %d, expected %d: %s",
			cases[i].command, status, cases[i].status, output);
		assert_says(cases[i].words);
	}
}
END_TEST

START_TEST(output_that_cannot_be_written_is_a_failure)
{
	static const char *const commands[] = {"hello", "custom_op", "hvp", "inspect --help",
		"lenet --help", "lenet --images 40 --epochs 1 --batch 20",
		"sequences --steps 1 --length 3", "cifar --help", "gradflow --help"};
	char directory[] = "/tmp/ebb-full-XXXXXX", command[200];

	if (access("/dev/full", W_OK) != 0)
		return;
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		snprintf(command, sizeof command, "%s 3>&1 >/dev/full 2>&3 #", commands[i]);
		ck_assert_msg(run("%s", command) == 1, "%s: %s", commands[i], output);
		assert_says(i == 0 ? "stdout: No space left on device"
				   : "standard output cannot be written");
	}
	if (ebb_can_plot()) {
		ck_assert_int_eq(run("augment --out %s", "/dev/full"), 1);
		assert_says("/dev/full: cannot be written: No space left on device");
	}
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(command, sizeof command, "ln -s /dev/full '%s/loss.csv'", directory);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(run("gradflow --steps 1 --depth 3 --images 8 --batch 8 --width 2 --out %s",
				 directory),
		1);
	assert_says("loss.csv: cannot be written: No space left on device");
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- On a terminal --------------------------------------------------------------------------- */

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

START_TEST(help_begins_with_the_name_and_lists_itself)
{
	static const char *const demos[] = {
		"cifar", "custom_op", "hvp", "lenet", "sequences", "gradflow"};

	for (size_t i = 0; i < sizeof demos / sizeof *demos; i++) {
		assert_runs("%s --help", demos[i]);
		ck_assert(strncmp(output, demos[i], strlen(demos[i])) == 0);
		assert_says("--help ");
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos");
	TCase *c = tcase_create("demos");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 100);
	tcase_add_test(c, hello_prints_the_derivative);
	tcase_add_test(c, inspect_lists_the_tensors);
	tcase_add_test(c, custom_op_passes_its_gradient_check);
	tcase_add_test(c, hvp_converges_to_the_minimum);
	tcase_add_test(c, lenet_trains);
	tcase_add_test(c, sequences_trains_the_chosen_cells);
	tcase_add_test(c, gradflow_writes_its_report);
	tcase_add_test(c, gradflow_accepts_its_options);
	tcase_add_test(c, gradflow_writes_medians_or_every_step);
	tcase_add_test(c, augment_draws_a_page);
	tcase_add_test(c, cifar_trains_and_writes_its_curves);
	tcase_add_test(c, bad_input_is_an_error_with_message_and_status);
	tcase_add_test(c, output_that_cannot_be_written_is_a_failure);
	tcase_add_test(c, lines_fit_the_terminal);
	tcase_add_test(c, no_color_and_files_disable_colours);
	tcase_add_test(c, help_begins_with_the_name_and_lists_itself);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
