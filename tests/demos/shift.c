/* shift.c - the demo shift: the errors that it prints, its picture, and a network. */
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

#include "run.h"
#include "tests/support/support.h"
#include <ebb.h>

enum { SHIFTS = 9 };

/* Reads the errors of a row, "border" or "inside", of a layer. */
static void read_errors(const char *layer, bool border, double *error)
{
	const char *at = strstr(output, layer);

	ck_assert_msg(at != NULL, "no \"%s\" in: %s", layer, output);
	at = strstr(at, border ? "border" : "inside");
	ck_assert_ptr_nonnull(at);
	at += strlen("inside");
	for (int k = 0; k < SHIFTS; k++) {
		char *end;

		error[k] = strtod(at, &end);
		ck_assert_msg(end != at, "%s: %d numbers in: %s", layer, k, output);
		at = end;
	}
}

/* Multiples of every have exactly no error, and others more than least. */
static void assert_errors(const char *layer, bool border, int every, double least)
{
	double error[SHIFTS];

	read_errors(layer, border, error);
	for (int k = 0; k < SHIFTS; k++)
		ck_assert_msg(k % every ? error[k] > least : error[k] == 0,
			"%s, shift %d: %g in: %s", layer, k, error[k], output);
}

START_TEST(errors_are_0_for_multiples_of_the_stride)
{
	assert_runs("shift --seed %s", _i ? "7" : "1");
	assert_errors("conv 3x3, no padding", false, 1, 0);
	assert_errors("conv 3x3, zero padding", false, 1, 0);
	assert_errors("conv 3x3, zero padding", true, SHIFTS, 10);
	assert_errors("conv 3x3, circular padding", false, 1, 0);
	assert_errors("conv 3x3, stride 2", false, 2, 5);
	assert_errors("conv, ReLU, max 2x2", false, 2, 5);
	assert_errors("conv, ReLU, mean 2x2", false, 2, 4);
	assert_errors("conv, ReLU, max, blur, stride 2", false, 2, 2);
	assert_errors("3 x (conv, ReLU, max 2x2)", false, 8, 5);
	assert_errors("global mean", false, 1, 0);
	assert_errors("fully connected", false, SHIFTS, 5);
}
END_TEST

START_TEST(blurring_before_the_stride_lowers_the_error)
{
	double blurred[SHIFTS], sharp[SHIFTS];

	assert_runs("shift%s", "");
	read_errors("conv, ReLU, max, blur, stride 2", false, blurred);
	read_errors("conv, ReLU, max 2x2", false, sharp);
	for (int k = 1; k < SHIFTS; k += 2)
		ck_assert_double_lt(blurred[k], 0.7 * sharp[k]);
}
END_TEST

/* Writes untrained weights of a network for images of 224 pixels, resized to 256. */
static void write_weights(const char *path)
{
	ebb_params *p = ebb_params_new(3);
	ebb_model net = ebb_model_new(p, "squeezenet1_1");

	ck_assert_ptr_nonnull(net.card);
	ck_assert(ebb_params_save(p, path));
	ebb_params_free(p);
}

START_TEST(writes_a_picture_and_follows_a_network)
{
	char directory[] = "/tmp/ebb-shift-XXXXXX", path[100], weights[100], arguments[500];
	ebb_image x = {0};

	if (!ebb_can_plot())
		return;
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(weights, sizeof weights, "%s/w.safetensors", directory);
	write_weights(weights);
	assert_runs("shift --out %s", directory);
	ck_assert_ptr_null(strstr(output, "SqueezeNet"));
	/* The picture itself is the photograph of the second run. */
	snprintf(arguments, sizeof arguments,
		"shift --threads 1 --image %s/shift.png --weights %s --model squeezenet1_1 --out "
		"%s",
		directory, weights, directory);
	assert_runs("%s", arguments);
	assert_says("SqueezeNet 1.1: probability of \"class ");
	assert_says("shifts: from ");
	snprintf(path, sizeof path, "%s/shift.png", directory);
	ck_assert(ebb_image_read(path, NULL, &x, NULL));
	ck_assert(x.channels == 3 && x.width > 1500 && x.height > 1200);
	ebb_image_free(&x);
	ck_assert_int_eq(unlink(path), 0);
	snprintf(path, sizeof path, "%s/shift-curves.png", directory);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(unlink(weights), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(options_are_checked)
{
	assert_runs("shift --%s", "help");
	ck_assert_int_eq(strncmp(output, "shift: ", 7), 0);
	ck_assert_int_eq(run("shift --image %s", "x.png"), 2);
	assert_says("--weights FILE is missing");
	ck_assert_int_eq(run("shift --weights %s", "x.pth"), 2);
	assert_says("--image FILE is missing");
	ck_assert_int_eq(run("shift --model %s", "vgg16"), 2);
	ck_assert_int_eq(run("shift %s", "x"), 2);
	ck_assert_int_eq(run("shift --seed %s", "-1"), 2);
	ck_assert_int_eq(run("shift --image /nonexistent.png --weights %s", "/none.pth"), 1);
	assert_says("/nonexistent.png");
	ck_assert_int_eq(run("shift --out %s", "/dev/null/x"), 1);
	assert_says("/dev/null");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shift");
	TCase *c = tcase_create("demo");
	SRunner *r;
	int failed;

	tcase_add_loop_test(c, errors_are_0_for_multiples_of_the_stride, 0, 2);
	tcase_add_test(c, blurring_before_the_stride_lowers_the_error);
	tcase_add_test(c, writes_a_picture_and_follows_a_network);
	tcase_add_test(c, options_are_checked);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
