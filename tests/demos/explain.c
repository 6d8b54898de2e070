/* explain.c - the demos saliency and filters, on small images and a network with random weights. */
#include <unistd.h>

#include "directory.h"
#include "folder.h"
#include "tests/support/support.h"

static void setup(void)
{
	make_directory();
	write_folder(in_directory("%s/images"));
	write_weights(in_directory("%s/weights.safetensors"), "cifar_resnet20");
	write_weights(in_directory("%s/squeezenet.safetensors"), "squeezenet1_1");
}

/* Asserts that the file is a PNG of at least that size in pixels. */
static void assert_picture(const char *format, int64_t height, int64_t width)
{
	ebb_image x = {0};
	ebb_error e = {0};

	ck_assert_msg(ebb_image_read(in_directory(format), NULL, &x, &e), "%s", e.message);
	ck_assert(x.height >= height && x.width >= width);
	ebb_image_free(&x);
}

#define SALIENCY                                                                                   \
	"saliency %1$s/images/apple/1.png --weights %1$s/weights.safetensors --samples 2 "         \
	"--threads 1 --out %1$s/o "
#define FILTERS                                                                                    \
	"filters %1$s/images/*/*.png --weights %1$s/weights.safetensors --threads 1 --out %1$s/o "

START_TEST(saliency_compares_six_maps)
{
	static const char *const methods[] = {"Gradient", "SmoothGrad", "Integrated gradients",
		"Guided backpropagation", "Grad-CAM", "Guided Grad-CAM"};

	assert_runs("%s", in_directory(SALIENCY));
	assert_says("/images/apple/1.png: class ");
	assert_says("integrated gradients: sum ");
	for (int i = 0; i < 6; i++)
		assert_says(methods[i]);
	assert_picture("%s/o/saliency.png", 600, 2000);
	assert_runs("%s", in_directory(SALIENCY "--class 3 --layer layer2.0"));
	assert_says(": class 3, ");
}
END_TEST

START_TEST(filters_draws_layers_and_their_units)
{
	assert_runs("%s", in_directory(FILTERS "--layer conv1 --layer layer2.1"));
	assert_says("ResNet-20");
	assert_says("\nconv1: 6 units, patches of 3 pixels; ");
	assert_says("\nlayer2.1: ");
	assert_picture("%s/o/filters.png", 200, 1000);
	assert_picture("%s/o/layers.png", 600, 1000);
	/* The network chooses four layers; without images there are none. */
	assert_runs("%s", in_directory("filters %1$s/images/*/*.png --weights "
				       "%1$s/squeezenet.safetensors --out %1$s/o"));
	assert_says("\nfeatures.");
	assert_runs("%s", in_directory("filters --weights %1$s/weights.safetensors --out %1$s/p"));
	ck_assert(access(in_directory("%s/p/filters.png"), R_OK) == 0);
	ck_assert(access(in_directory("%s/p/layers.png"), R_OK) != 0);
}
END_TEST

START_TEST(bad_input_is_an_error_with_message_and_status)
{
	static const demo_call cases[] = {
		{"saliency a.png", "--weights FILE is missing", 2},
		{"saliency --weights a", "IMAGE is missing", 2},
		{"saliency %1$s/no.png --weights %1$s/weights.safetensors --out %1$s/o", "no.png",
			1},
		{"saliency a.png b.png --weights a", "unexpected argument 'b.png'", 2},
		{SALIENCY "--class pear", "--class: got 'pear', expected a number from 0 to 9", 1},
		{SALIENCY "--class 10", "--class: got '10'", 1},
		{SALIENCY "--layer layer9", "no scope \"layer9\"", 1},
		{SALIENCY "--model lenet", "lenet", 1},
		{"saliency --samples 0", "--samples: got '0'", 2},
		{"filters", "--weights FILE is missing", 2},
		{"filters a.png --weights a", "at least 9 images", 2},
		{"filters --weights %1$s/none.safetensors --out %1$s/o", "none.safetensors", 1},
		{FILTERS "--layer fc", "no scope \"fc\"", 1},
		{FILTERS "--out /dev/null/o", "/dev/null", 1},
		{"saliency --help", "saliency IMAGE --weights FILE", 0},
		{"filters --help", "filters [IMAGE...] --weights FILE", 0},
	};

	check_calls(sizeof cases / sizeof *cases, cases);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos explain");
	TCase *c = tcase_create("explain");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, setup, remove_directory);
	if (ebb_can_plot()) {
		tcase_add_test(c, saliency_compares_six_maps);
		tcase_add_test(c, filters_draws_layers_and_their_units);
		tcase_add_test(c, bad_input_is_an_error_with_message_and_status);
	} else {
		puts("skipped: the pictures, because this build has no Cairo");
	}
	return run_suite(s);
}
