/* checkpoints.c - a demo that is stopped and resumed prints the same lines as a run without a
 * stop. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "folder.h"

static void read_output(const char *path)
{
	FILE *f = fopen(path, "rb");

	ck_assert_ptr_nonnull(f);
	output[fread(output, 1, sizeof output - 1, f)] = '\0';
	fclose(f);
}

/* Runs "demos/COMMAND", sends it a signal as soon as it has printed the words, and returns its
 * status. */
static int run_and_signal(const char *command, const char *words, int number)
{
	char line[2100], shell[2200], path[100];
	int status;
	pid_t child;

	shell_command(line, sizeof line, command);
	snprintf(shell, sizeof shell, "exec %s", line);
	snprintf(path, sizeof path, "%s/output", directory);
	/* Removes the output of the former run, so that it is not read as this run's. */
	unlink(path);
	child = fork();
	if (child == 0) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", shell, (char *)NULL);
		_exit(127);
	}
	output[0] = '\0';
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (number && access(path, R_OK) == 0) {
			read_output(path);
			if (strstr(output, words)) {
				kill(child, number);
				number = 0;
			}
		}
		usleep(500);
	}
	read_output(path);
	return status;
}

/* Cuts off the speed at the end of a line: after its last percentage, or the last two spaces. */
static void cut_speed(char *line)
{
	char *cut = strrchr(line, '%');

	for (char *at = line; !strchr(line, '%') && (at = strstr(at, "  ")); at++)
		cut = at;
	ck_assert_ptr_nonnull(cut);
	*cut = '\0';
}

/* Finds the lines that begin with "epoch"; cuts off the speed at their end. */
static int epochs_of(const char *text, char lines[][200], int most)
{
	int n = 0;

	for (const char *at = text; n < most && (at = strstr(at, "epoch ")); n++) {
		size_t length = strcspn(at, "\n");

		snprintf(lines[n], sizeof lines[n], "%.*s", (int)(length < 199 ? length : 199), at);
		cut_speed(lines[n]);
		at += length;
	}
	return n;
}

enum { MOST = 20 };

/* Stops and resumes a run after each of its epochs, and compares the printed lines with those of a
 * run without a stop. */
static void check_stops(const char *arguments, int epochs, int number)
{
	static char whole[MOST][200], part[MOST][200];
	char command[1000];
	int next = 0;

	ck_assert_int_eq(run_and_signal(arguments, "", 0), 0);
	ck_assert_int_eq(epochs_of(output, whole, MOST), epochs);
	snprintf(command, sizeof command, "%s --every 2 --checkpoint %s/run.safetensors --resume",
		arguments, directory);
	for (int i = 0; i < epochs && next < epochs; i++) {
		char words[40];
		int status, n;

		snprintf(words, sizeof words, "epoch %d/", next + 1);
		status = run_and_signal(command, words, number);
		n = epochs_of(output, part, MOST);
		ck_assert_msg(n > 0, "%s", output);
		for (int k = 0; k < n; k++)
			ck_assert_str_eq(part[k], whole[next + k]);
		/* After SIGKILL the end of the epoch may not have been saved, and its line is
		 * printed again. */
		if (number != SIGKILL) {
			next += n;
			if (WIFSIGNALED(status))
				ck_assert_msg(WTERMSIG(status) == number &&
						      strstr(output, ": saved at step "),
					"%s", output);
			else
				ck_assert_int_eq(next, epochs);
		} else if (!WIFSIGNALED(status)) {
			return;
		} else {
			next += n - 1;
		}
	}
	ck_assert_int_eq(run_and_signal(command, "", 0), 0);
	for (int k = epochs_of(output, part, MOST), i = 1; i <= k; i++)
		ck_assert_str_eq(part[k - i], whole[epochs - i]);
}

START_TEST(a_resumed_lenet_prints_the_same_epochs)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGKILL};

	check_stops("lenet --images 640 --epochs 5 --batch 32 --threads 1", 5, signals[_i]);
}
END_TEST

/* The noise of the latent codes continues, too, and the picture is drawn after the last epoch. */
START_TEST(a_resumed_vae_prints_the_same_epochs)
{
	char arguments[200], path[100];

	snprintf(arguments, sizeof arguments,
		"vae --images 320 --epochs 4 --latent 2 --batch 32 --threads 1 --out %s",
		directory);
	check_stops(arguments, 4, SIGTERM);
	snprintf(path, sizeof path, "%s/vae.png", directory);
	ck_assert_int_eq(access(path, R_OK), 0);
}
END_TEST

/* Writes files in CIFAR-10's format, with 10 images each. */
static void write_cifar(void)
{
	static const char *const names[] = {"data_batch_1", "data_batch_2", "data_batch_3",
		"data_batch_4", "data_batch_5", "test_batch"};

	for (int n = 0; n < 6; n++) {
		unsigned char record[3073];
		char path[100];
		FILE *f;

		snprintf(path, sizeof path, "%s/%s.bin", directory, names[n]);
		f = fopen(path, "wb");
		ck_assert_ptr_nonnull(f);
		for (int i = 0; i < 10; i++) {
			record[0] = (unsigned char)i;
			for (int k = 1; k < 3073; k++)
				record[k] = (unsigned char)(20 * i + 40 * (k & 1) + n);
			ck_assert(fwrite(record, sizeof record, 1, f) == 1);
		}
		ck_assert_int_eq(fclose(f), 0);
	}
}

START_TEST(a_resumed_cifar_run_has_all_curves)
{
	char arguments[300], curves[200];

	write_cifar();
	snprintf(arguments, sizeof arguments,
		"cifar --depth 8 --epochs 4 --batch 5 --workers 2 --threads 1 --keep 2 --data %s "
		"--out %s/out",
		directory, directory);
	/* --keep requires --checkpoint. */
	ck_assert_int_eq(WEXITSTATUS(run_and_signal(arguments, "", 0)), 2);
	assert_says("--keep requires --checkpoint FILE");
	snprintf(arguments, sizeof arguments,
		"cifar --depth 8 --epochs 4 --batch 5 --workers 2 --threads 1 --data %s --out "
		"%s/out",
		directory, directory);
	check_stops(arguments, 4, SIGTERM);
	/* The curves have all epochs. */
	snprintf(curves, sizeof curves, "%s/out/curves.csv", directory);
	read_output(curves);
	assert_says("\n1,");
	assert_says("\n4,");
}
END_TEST

/* Stopped in the middle of the second network and in the third; the curves of all are those of a run
 * without a stop. */
START_TEST(a_resumed_depth_run_has_the_same_curves)
{
	static char whole[1 << 16];
	static const char *const stops[] = {"residual-8, seed 1 (2 of 4)\nepoch 1/", "(3 of 4)"};
	char arguments[300], command[500], path[200];

	write_cifar();
	snprintf(arguments, sizeof arguments,
		"depth --depths 8,14 --epochs 3 --batch 5 --threads 1 --data %s", directory);
	snprintf(command, sizeof command, "%s --out %s/whole", arguments, directory);
	ck_assert_int_eq(run_and_signal(command, "", 0), 0);
	assert_says("Residual networks: the training error with 14 layers is ");
	assert_says(" in 1 seed.");
	snprintf(path, sizeof path, "%s/whole/curves.csv", directory);
	read_output(path);
	strcpy(whole, output);
	ck_assert_ptr_nonnull(strstr(whole, "\nresidual-14,14,1,3,"));
	snprintf(command, sizeof command, "%s --out %s/part --resume", arguments, directory);
	for (int i = 0; i < 2; i++) {
		int status = run_and_signal(command, stops[i], SIGTERM);

		ck_assert_msg(
			WIFSIGNALED(status) && strstr(output, ": saved at step "), "%s", output);
	}
	ck_assert_int_eq(run_and_signal(command, "", 0), 0);
	assert_says("resumed after step 30\n");
	snprintf(path, sizeof path, "%s/part/curves.csv", directory);
	read_output(path);
	ck_assert_str_eq(output, whole);
	/* Without --resume nothing is overwritten; other options are refused. */
	snprintf(command, sizeof command, "%s --out %s/part", arguments, directory);
	ck_assert_int_eq(WEXITSTATUS(run_and_signal(command, "", 0)), 1);
	assert_says("plain-8-seed1.safetensors: already holds a run");
	snprintf(command, sizeof command, "%s --out %s/part --resume --epochs 4", arguments,
		directory);
	ck_assert_int_eq(WEXITSTATUS(run_and_signal(command, "", 0)), 1);
	assert_says("has --epochs 3 and cannot be resumed with 4");
}
END_TEST

START_TEST(a_resumed_finetune_run_prints_the_same_epochs)
{
	char arguments[400], path[100];

	snprintf(path, sizeof path, "%s/data", directory);
	write_folder(path);
	snprintf(path, sizeof path, "%s/weights.safetensors", directory);
	write_weights(path, "squeezenet1_1");
	snprintf(arguments, sizeof arguments,
		"finetune %s/data --weights %s --epochs 4 --batch 2 --scratch-epochs 0 --threads 1",
		directory, path);
	check_stops(arguments, 4, SIGTERM);
	assert_says("\npretrained, fine-tuned             4 ");
}
END_TEST

START_TEST(a_resumed_sequences_run_prints_the_same_results)
{
	static char whole[1 << 16];
	char command[300];
	int status;

	ck_assert_int_eq(run_and_signal("sequences --cell lstm --steps 40 --length 30", "", 0), 0);
	strcpy(whole, output);
	snprintf(command, sizeof command,
		"sequences --cell lstm --steps 40 --length 30 --checkpoint %s/s.safetensors "
		"--resume --keep 2",
		directory);
	status = run_and_signal(command, "before training", SIGTERM);
	if (WIFSIGNALED(status))
		assert_says(": saved at step ");
	ck_assert_int_eq(run_and_signal(command, "", 0), 0);
	/* From the end of the training on, both runs print the same. */
	ck_assert(strstr(whole, "  step 40"));
	if (WIFSIGNALED(status))
		assert_says(strstr(whole, "  step 40"));
}
END_TEST

/* What the network has written: the text after the last speed, which differs from run to run.  A run
 * that is resumed after its last step prints no speed; its text follows the number of that step. */
static const char *written(void)
{
	char *at = strstr(output, " characters/s\n");

	for (char *next = at; next && (next = strstr(next + 1, " characters/s\n"));)
		at = next;
	if (!at)
		at = strstr(output, "resumed after step 60\n");
	ck_assert_msg(at != NULL, "%s", output);
	return strchr(at, '\n');
}

START_TEST(a_resumed_chars_run_writes_the_same)
{
	static char whole[1 << 16];
	char path[100], arguments[400], command[600];
	FILE *f;
	int status, runs = 0;

	snprintf(path, sizeof path, "%s/text", directory);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < 2000; i++)
		fprintf(f, "%d ", i * i);
	ck_assert_int_eq(fclose(f), 0);
	snprintf(arguments, sizeof arguments,
		"chars --text %s --context 16 --width 16 --layers 1 --heads 2 --batch 4 --steps "
		"60 --length 80 --threads 1",
		path);
	ck_assert_int_eq(run_and_signal(arguments, "", 0), 0);
	strcpy(whole, written());
	snprintf(command, sizeof command, "%s --checkpoint %s/c.safetensors --resume", arguments,
		directory);
	do {
		char words[40];

		snprintf(words, sizeof words, "step %d", 6 * (1 + 4 * runs));
		status = run_and_signal(command, words, SIGTERM);
	} while (WIFSIGNALED(status) && ++runs < 10);
	ck_assert_int_eq(status, 0);
	ck_assert_str_eq(written(), whole);
	/* The same command again has no step left, and writes the same text. */
	ck_assert_int_eq(run_and_signal(command, "", 0), 0);
	assert_says("resumed after step 60\n");
	ck_assert_str_eq(written(), whole);
	/* An option that the run depends on, and another text. */
	snprintf(command, sizeof command, "%s --checkpoint %s/c.safetensors --resume --lr 0.5",
		arguments, directory);
	ck_assert_int_eq(WEXITSTATUS(run_and_signal(command, "", 0)), 1);
	assert_says("has --lr 0.005 and cannot be resumed with 0.5");
	f = fopen(path, "a");
	ck_assert(f && fputs(" 1", f) >= 0 && fclose(f) == 0);
	snprintf(command, sizeof command, "%s --checkpoint %s/c.safetensors --resume", arguments,
		directory);
	ck_assert_int_eq(WEXITSTATUS(run_and_signal(command, "", 0)), 1);
	assert_says("the run has another text (11 different characters)");
}
END_TEST

START_TEST(a_checkpoint_is_not_overwritten_without_resume)
{
	char command[200];

	snprintf(command, sizeof command,
		"lenet --images 40 --epochs 1 --batch 20 --checkpoint %s/a.safetensors", directory);
	assert_runs("%s", command);
	ck_assert_int_eq(run("%s", command), 1);
	assert_says("a.safetensors: already holds a run: continue it by --resume");
	strcat(command, " --resume");
	assert_runs("%s", command);
	assert_says("resumed after step 2");
	snprintf(command, sizeof command,
		"lenet --images 40 --epochs 1 --batch 10 --checkpoint %s/a.safetensors --resume",
		directory);
	ck_assert_int_eq(run("%s", command), 1);
	assert_says("loader.batch is 20, expected 10");
	ck_assert_int_eq(run("lenet --images 40 --checkpoint %s/no/a", directory), 1);
	assert_says("No such file or directory");
	ck_assert_int_eq(run("lenet --resume%s", ""), 2);
	assert_says("--resume requires --checkpoint FILE");
	ck_assert_int_eq(run("sequences --checkpoint a%s", ""), 2);
	assert_says("--checkpoint requires one --cell");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos checkpoints");
	TCase *c = tcase_create("checkpoints");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 100);
	tcase_add_checked_fixture(c, make_directory, remove_directory);
	tcase_add_loop_test(c, a_resumed_lenet_prints_the_same_epochs, 0, 3);
	tcase_add_test(c, a_resumed_vae_prints_the_same_epochs);
	tcase_add_test(c, a_resumed_cifar_run_has_all_curves);
	tcase_add_test(c, a_resumed_depth_run_has_the_same_curves);
	tcase_add_test(c, a_resumed_finetune_run_prints_the_same_epochs);
	tcase_add_test(c, a_resumed_sequences_run_prints_the_same_results);
	tcase_add_test(c, a_resumed_chars_run_writes_the_same);
	tcase_add_test(c, a_checkpoint_is_not_overwritten_without_resume);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
