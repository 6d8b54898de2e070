/* adversarial.c - the demo adversarial, on small images and a network with random weights. */
#include <stdlib.h>

#include "directory.h"
#include "folder.h"
#include "tests/support/support.h"

static void setup(void)
{
	FILE *f;

	make_directory();
	write_image(in_directory("%s/a.png"), 1, 2);
	write_weights(in_directory("%s/weights.safetensors"), "cifar_resnet20");
	f = fopen(in_directory("%s/names"), "w");
	ck_assert(f &&
		  fputs("red apple, pomme\nbanana\ncherry\ndate\nelderberry\nfig\ngrape\n"
			"green grape\nlemon\nmelon\n",
			  f) >= 0 &&
		  fclose(f) == 0);
}

/* Asserts that the photograph and the result have one size; returns the largest difference. */
static int largest_change(void)
{
	ebb_image x = {0}, y = {0};
	int largest = 0;

	ck_assert(ebb_image_read(in_directory("%s/a.png"), NULL, &x, NULL));
	ck_assert(ebb_image_read(in_directory("%s/o/adversarial.png"), NULL, &y, NULL));
	ck_assert(x.height == y.height && x.width == y.width && y.channels == 3);
	for (int64_t i = 0; i < x.height * x.width * 3; i++)
		if (abs(x.pixels[i] - y.pixels[i]) > largest)
			largest = abs(x.pixels[i] - y.pixels[i]);
	ebb_image_free(&x);
	ebb_image_free(&y);
	return largest;
}

#define ATTACK                                                                                     \
	"adversarial %1$s/a.png --weights %1$s/weights.safetensors --classes %1$s/names "          \
	"--out %1$s/o --threads 1 "
#define CLASSIFY                                                                                   \
	"classify %1$s/o/adversarial.png --weights %1$s/weights.safetensors --classes "            \
	"%1$s/names --top 1"

START_TEST(the_written_file_is_seen_as_the_target)
{
	static const char *const attacks[] = {ATTACK "--target pomme --eps 32 --confidence 0.6",
		ATTACK "--target 5 --norm l2 --eps 20 --confidence 0.6"};
	static const char *const names[] = {"red apple, pomme", "fig"};

	for (int i = 0; i < 2; i++) {
		assert_runs("%s", in_directory(attacks[i]));
		assert_says("before");
		assert_says(names[i]);
		assert_says("/o/adversarial.png\n");
		ck_assert(largest_change() > 0 && (i == 1 || largest_change() <= 32));
		assert_runs("%s", in_directory(CLASSIFY));
		assert_says(names[i]);
		if (ebb_can_plot()) {
			ebb_image page = {0};

			ck_assert(ebb_image_read(
				in_directory("%s/o/picture.png"), NULL, &page, NULL));
			ck_assert(page.width > page.height);
			ebb_image_free(&page);
		}
	}
}
END_TEST

START_TEST(any_other_class_will_do)
{
	char before[100], after[100];

	assert_runs("%s", in_directory("classify %1$s/a.png --weights %1$s/weights.safetensors "
				       "--classes %1$s/names --top 1"));
	snprintf(before, sizeof before, "%s", strrchr(output, ' '));
	assert_runs("%s", in_directory(ATTACK "--untargeted --eps 32 --confidence 0.6"));
	assert_runs("%s", in_directory(CLASSIFY));
	snprintf(after, sizeof after, "%s", strrchr(output, ' '));
	ck_assert_str_ne(before, after);
}
END_TEST

START_TEST(a_target_that_is_not_reached_is_status_1)
{
	ck_assert_int_eq(run("%s", in_directory(ATTACK "--eps 1 --steps 1 --confidence 0.999")), 1);
	assert_says("not reached: ");
	ck_assert_int_le(largest_change(), 1);
}
END_TEST

START_TEST(bad_calls_are_errors)
{
	static const demo_call cases[] = {
		{"adversarial", "IMAGE is missing", 2},
		{"adversarial a.png", "--weights FILE is missing", 2},
		{"adversarial a.png b.png --weights w", "unexpected argument 'b.png'", 2},
		{"adversarial a.png --weights w --eps 0", "--eps: got '0'", 2},
		{"adversarial a.png --weights w --norm l3", "--norm: got 'l3'", 2},
		{"adversarial a.png --weights w --confidence 1", "--confidence: got '1'", 2},
		{"adversarial a.png --weights w --target 1 --untargeted", "exclude each other", 2},
		{"adversarial a.png --weights /nonexistent/w.pth", "/nonexistent/w.pth", 1},
		{"adversarial /nonexistent/a.png --weights %1$s/weights.safetensors",
			"/nonexistent/a.png", 1},
		{ATTACK "--target pear", "--target: got 'pear', expected the name of a class", 1},
		{ATTACK "--target 10", "--target: got '10'", 1},
		{ATTACK "--target rap", "--target: 2 classes contain 'rap': grape; green grape", 1},
		{"adversarial %1$s/a.png --weights %1$s/weights.safetensors --out %1$s/a.png/o",
			"a.png", 1},
	};

	check_calls(sizeof cases / sizeof *cases, cases);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos-adversarial");
	TCase *c = tcase_create("adversarial");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 100);
	tcase_add_checked_fixture(c, setup, remove_directory);
	tcase_add_test(c, the_written_file_is_seen_as_the_target);
	tcase_add_test(c, any_other_class_will_do);
	tcase_add_test(c, a_target_that_is_not_reached_is_status_1);
	tcase_add_test(c, bad_calls_are_errors);
	return run_suite(s);
}
