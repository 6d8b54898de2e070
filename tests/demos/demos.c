/* demos.c - the demos run, write their files, and reject bad input with a message and an exit
 * status. */
#include <stdbool.h>
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

/* The number after words, which begin after the last line of an epoch. */
static double last_epoch(const char *words)
{
	const char *line = strstr(output, "epoch 3/3"), *at = line ? strstr(line, words) : NULL;

	ck_assert_msg(at != NULL, "no \"%s\" in: %s", words, output);
	return atof(at + strlen(words));
}

START_TEST(vae_trains_and_draws)
{
	char directory[] = "/tmp/ebb-vae-XXXXXX", path[100];
	ebb_image x = {0};
	int64_t height = 0;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	for (int latent = 2; latent <= 3; latent++) {
		char arguments[200];

		snprintf(arguments, sizeof arguments,
			"vae --images 640 --epochs 3 --batch 32 --latent %d --threads 2 --out "
			"%s/new",
			latent, directory);
		assert_runs("%s", arguments);
		assert_says("640 images to train, 64 to test");
		/* The bound falls: untrained, 28*28 pixels cost log 2 = 543 nats. */
		ck_assert_double_lt(last_epoch("test: reconstruction "), 400);
		ck_assert_double_gt(last_epoch("test: reconstruction "), 100);
		ck_assert_double_ge(last_epoch("KL "), 0);
		/* One part more shows the plane of codes. */
		snprintf(path, sizeof path, "%s/new/vae.png", directory);
		ck_assert(ebb_image_read(path, NULL, &x, NULL));
		ck_assert(x.channels == 1 && x.width == 20 * 30 + 2);
		ck_assert(latent == 2 ? x.height > 800 : x.height < height - 500);
		height = x.height;
	}
	ebb_image_free(&x);
	unlink(path);
	snprintf(path, sizeof path, "%s/new", directory);
	rmdir(path);
	rmdir(directory);
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

/* Writes a text of n sentences. */
static void write_sentences(const char *path, int n)
{
	static const char *const animal[] = {"fox", "dog", "cat", "owl"};
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	for (int i = 0; i < n; i++)
		fprintf(f, "the %s sees the %s.\n", animal[i * i % 4], animal[i / 3 % 4]);
	ck_assert_int_eq(fclose(f), 0);
}

/* What chars has written after its training. */
static const char *sample(void)
{
	const char *at = output;

	for (const char *next; (next = strstr(at, " characters/s\n"));)
		at = next + strlen(" characters/s\n");
	return at;
}

/* The first, or the last, bits per character of the held-out text. */
static double bits(bool last)
{
	const char *at = strstr(output, "held out ");

	for (const char *next; at && last && (next = strstr(at + 1, "held out "));)
		at = next;
	ck_assert_msg(at != NULL, "%s", output);
	return atof(at + strlen("held out "));
}

START_TEST(chars_learns_and_writes)
{
	char directory[] = "/tmp/ebb-chars-XXXXXX", path[100], command[600], first[2000];
	int n = snprintf(command, sizeof command,
		"chars --text %s/text --context 16 --width 32 --layers 1 --heads 2 --batch 8 "
		"--steps 150 --lr 0.01 --length 100 --prompt 'the f' ",
		mkdtemp(directory));
	char *more = command + n;
	size_t left = sizeof command - (size_t)n;

	snprintf(path, sizeof path, "%s/text", directory);
	write_sentences(path, 400);
	assert_runs("%s", command);
	assert_says("16 different ones");
	assert_says("step 150/150 ");
	ck_assert_msg(bits(true) < 1.2 && bits(true) < bits(false) / 2, "%s", output);
	ck_assert_int_eq(strlen(sample()), 5 + 100 + 1);
	ck_assert(strncmp(sample(), "the f", 5) == 0 && strstr(sample(), " the "));
	strcpy(first, sample());
	/* A second run writes the same, and so does the network of its checkpoint. */
	snprintf(more, left, "--checkpoint %s/c.safetensors", directory);
	assert_runs("%s", command);
	ck_assert_str_eq(sample(), first);
	snprintf(more, left, "--checkpoint %s/c.safetensors --sample-only", directory);
	assert_runs("%s", command);
	ck_assert_str_eq(output, first);
	snprintf(more, left, "--checkpoint %s/c.safetensors --sample-only --seed 2", directory);
	assert_runs("%s", command);
	ck_assert_str_ne(output, first);
	/* Two options that always take the likeliest character. */
	snprintf(more, left, "--checkpoint %s/c.safetensors --sample-only --top-k 1", directory);
	assert_runs("%s", command);
	strcpy(first, output);
	snprintf(more, left, "--checkpoint %s/c.safetensors --sample-only --temperature 0",
		directory);
	assert_runs("%s", command);
	ck_assert_str_eq(output, first);
	snprintf(more, left, "--checkpoint %s/c.safetensors --sample-only --prompt 'A'", directory);
	ck_assert_int_eq(run("%s", command), 1);
	assert_says("--prompt: ");
	assert_says("at byte 0 is not among the 16 tokens of the vocabulary");
	snprintf(more, left, "--checkpoint %s --sample-only", path);
	ck_assert_int_eq(run("%s", command), 1);
	assert_says("/text");
	snprintf(more, left, "--context 1000");
	ck_assert_int_eq(run("%s", command), 1);
	assert_says("expected more than ten times --context 1000");
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Without --text there is one on every Debian system; --minutes decides on the number of steps. */
START_TEST(chars_has_a_text_and_chooses_its_steps)
{
	int status = run("chars --context 8 --width 8 --layers 1 --heads 1 --batch 1 --minutes "
			 "0.001 --length 0%s",
		"");

	ck_assert_msg(status == 0 || strstr(output, "no standard text was found"), "%s", output);
	if (status == 0)
		assert_says(" characters/s");
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
		{"depth", "--data is missing", 2},
		{"depth --data /nonexistent/cifar --out /tmp", "/nonexistent/cifar", 1},
		{"depth --depths 20,21", "--depths: 21 is not 6n + 2", 2},
		{"depth --depths 20,x", "--depths: got 'x'", 2},
		{"depth --depths '' --data x", "--depths is empty", 2},
		{"depth --data x --out /dev/null/depth", "/dev/null", 1},
		{"vae --mnist /nonexistent/mnist", "/nonexistent/mnist", 1},
		{"vae --latent 0", "--latent: got '0'", 2},
		{"vae --lr -1", "--lr: got '-1'", 2},
		{"vae now", "unexpected argument 'now'", 2},
		{"vae --images 199", "--images: got '199'", 2},
		{"vae --images 200 --epochs 1 --out /dev/null/vae", "/dev/null", 1},
		{"hvp --dimensions 1", "--dimensions", 2},
		{"hvp --tolerance x", "--tolerance: got 'x'", 2},
		{"sequences --cell elman", "expected one of rnn, lstm, gru, all", 2},
		{"sequences --length 1", "--length: got '1'", 2},
		{"sequences --steps 0", "--steps: got '0'", 2},
		{"sequences 5", "unexpected argument '5'", 2},
		{"chars --text /nonexistent/text", "/nonexistent/text: cannot be read", 1},
		{"chars --steps 0", "--steps: got '0'", 2},
		{"chars --heads 3 --steps 1", "of width 128, 3 heads", 1},
		{"chars --steps 1 --minutes 1", "exclude each other", 2},
		{"chars --sample-only", "--sample-only requires --checkpoint", 2},
		{"chars --prompt ''", "--prompt is empty", 2},
		{"chars --temperature -1", "--temperature: got '-1'", 2},
		{"chars --resume", "--resume requires --checkpoint", 2},
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
		"sequences --steps 1 --length 3", "chars --help", "vae --help", "cifar --help",
		"adversarial --help", "classify --help", "classify --list", "depth --help",
		"finetune --help", "gradflow --help"};
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

START_TEST(help_begins_with_the_name_and_lists_itself)
{
	static const char *const demos[] = {"adversarial", "chars", "cifar", "classify",
		"custom_op", "depth", "finetune", "hvp", "lenet", "sequences", "vae", "gradflow"};

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
	tcase_add_test(c, vae_trains_and_draws);
	tcase_add_test(c, sequences_trains_the_chosen_cells);
	tcase_add_test(c, chars_learns_and_writes);
	tcase_add_test(c, chars_has_a_text_and_chooses_its_steps);
	tcase_add_test(c, gradflow_writes_its_report);
	tcase_add_test(c, gradflow_accepts_its_options);
	tcase_add_test(c, gradflow_writes_medians_or_every_step);
	tcase_add_test(c, augment_draws_a_page);
	tcase_add_test(c, cifar_trains_and_writes_its_curves);
	tcase_add_test(c, bad_input_is_an_error_with_message_and_status);
	tcase_add_test(c, output_that_cannot_be_written_is_a_failure);
	tcase_add_test(c, help_begins_with_the_name_and_lists_itself);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
