/* Transforms of images: exact results, and results of Pillow and torchvision on the same image. */
#include "transforms.h"

#include <stdlib.h>

#include "augment_figures.h"

enum { HEIGHT = 6, WIDTH = 7, BYTES = HEIGHT * WIDTH * 3 };

/* Applies the pipeline to x as one sample, and frees both. */
static ebb_image applied(ebb_augment *a, ebb_image x, int64_t sample)
{
	ebb_error e = {0};
	ebb_image y = {0};

	ck_assert_msg(ebb_augment_apply(a, &x, &y, .seed = 3, .sample = sample, .error = &e), "%s",
		e.message);
	ebb_image_free(&x);
	ebb_augment_free(a);
	return y;
}

/* ---- Compared with Pillow and torchvision --------------------------------------------------- */

static void check_figures(const char *name, const ebb_stage *s, const uint8_t *figures, int within)
{
	for (int k = 0; k < BYTES; k++)
		ck_assert_msg(abs(s->image.pixels[k] - figures[k]) <= within,
			"%s: byte %d is %d, expected %d", name, k, s->image.pixels[k], figures[k]);
}

START_TEST(transforms_equal_pillow)
{
	const double rest[2] = {0, 0};
	ebb_outside black = {EBB_BORDER_FILL, {0}};
	ebb_error e = {0};
	double m[9];

#define COMPARE(f, figures, within, call)                                                          \
	do {                                                                                       \
		ebb_stage s = {.image = image_of(HEIGHT, WIDTH, 3, f), .error = &e};               \
                                                                                                   \
		call;                                                                              \
		check_figures(#figures, &s, figures, within);                                      \
		ebb_stage_free(&s);                                                                \
	} while (0)
	COMPARE(colourful, brightness_low, 0, ebb_adjust_brightness(&s, 0.3f));
	COMPARE(colourful, brightness_high, 0, ebb_adjust_brightness(&s, 1.7f));
	COMPARE(colourful, contrast_low, 0, ebb_adjust_contrast(&s, 0.3f));
	COMPARE(colourful, contrast_high, 0, ebb_adjust_contrast(&s, 1.7f));
	COMPARE(colourful, saturation_low, 0, ebb_adjust_saturation(&s, 0.3f));
	COMPARE(colourful, saturation_high, 0, ebb_adjust_saturation(&s, 1.7f));
	COMPARE(colourful, grey, 0, ebb_adjust_saturation(&s, 0));
	COMPARE(colourful, sharpness_low, 0, ebb_adjust_sharpness(&s, 0.3f));
	COMPARE(colourful, sharpness_high, 0, ebb_adjust_sharpness(&s, 1.7f));
	COMPARE(colourful, posterise, 0, ebb_posterise(&s, 3));
	COMPARE(colourful, solarise, 0, ebb_solarise(&s, 100));
	COMPARE(pale, autocontrast, 0, ebb_autocontrast(&s));
	/* Torchvision truncates the hue; ebb_adjust_hue rounds it. */
	COMPARE(colourful, hue_forward, 1, ebb_adjust_hue(&s, 0.2f));
	COMPARE(colourful, hue_back, 1, ebb_adjust_hue(&s, -0.35f));
	/* Interpolation weights have steps of 1/256. */
	COMPARE(colourful, rotate, 1, {
		ebb_affine_map(m, &s.image, 25 * acos(-1) / 180, rest, 1, rest);
		ebb_stage_warp(&s, m, &black);
	});
#undef COMPARE
	ck_assert_msg(e.status == EBB_OK, "%s", e.message);
}
END_TEST

/* Every pixel is repeated 8 x 8 times, so that the histogram has something to equalise. */
START_TEST(equalise_equals_pillow)
{
	ebb_image small = image_of(HEIGHT, WIDTH, 3, pale);
	ebb_stage s = {0};

	ck_assert(ebb_image_resize(&small, &s.image, 8 * HEIGHT, 8 * WIDTH, EBB_RESIZE_NEAREST));
	ebb_equalise(&s);
	for (int k = 0; k < BYTES; k++) {
		int i = k / 3 / WIDTH, j = k / 3 % WIDTH;

		ck_assert_int_eq(
			s.image.pixels[(8 * i * 8 * WIDTH + 8 * j) * 3 + k % 3], equalise[k]);
	}
	ebb_image_free(&small);
	ebb_stage_free(&s);
}
END_TEST

START_TEST(blur_equals_torchvision)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_stage s = {0};

	ebb_augment_blur(a, .sigma = {1.2, 1.2}, .kernel = 5);
	s.image = applied(a, image_of(HEIGHT, WIDTH, 3, colourful), 0);
	check_figures("blur", &s, blur, 1);
	ebb_stage_free(&s);
}
END_TEST

START_TEST(affine_equals_torchvision)
{
	/* Torchvision's angles, of rotation and shear, have the opposite sign. */
	const double radian = acos(-1) / 180, shear[2] = {-10 * radian, 15 * radian},
		     move[2] = {1, -2};
	ebb_stage s = {.image = image_of(HEIGHT, WIDTH, 3, colourful)};
	ebb_outside black = {EBB_BORDER_FILL, {0}};
	double m[9];

	ebb_affine_map(m, &s.image, 25 * radian, shear, 1.3, move);
	ck_assert(ebb_stage_warp(&s, m, &black));
	check_figures("affine", &s, affine, 1);
	ebb_stage_free(&s);
}
END_TEST

/* ---- Exact results -------------------------------------------------------------------------- */

START_TEST(a_random_crop_is_a_part_of_the_padded_image)
{
	const ebb_border borders[] = {EBB_BORDER_FILL, EBB_BORDER_EDGE, EBB_BORDER_REFLECT};
	ebb_image x = image_of(5, 4, 3, counting), y = {0};

	for (size_t b = 0; b < 3; b++) {
		ebb_augment *a = ebb_augment_new(NULL);

		ck_assert(ebb_augment_crop(
			a, 3, 9, .pad = 3, .border = borders[b], .fill = {200, 210, 220}));
		for (int sample = 0; sample < 50; sample++) {
			int matches = 0;

			ck_assert(ebb_augment_apply(a, &x, &y, .sample = sample));
			ck_assert(y.height == 3 && y.width == 9 && y.channels == 3);
			/* The crop must equal the padded image at one of the positions. */
			for (int top = -3; top <= 5; top++) {
				for (int left = -3; left <= -2; left++) {
					int wrong = 0;

					for (int k = 0; k < 3 * 9 * 3; k++) {
						int64_t i = ebb_border_place(
							top + k / 27, 5, borders[b]);
						int64_t j = ebb_border_place(
							left + k / 3 % 9, 4, borders[b]);
						int expected =
							i < 0 || j < 0
								? 200 + 10 * (k % 3)
								: (int)((i * 4 + j) * 3 + k % 3);

						wrong += y.pixels[k] != expected;
					}
					matches += wrong == 0;
				}
			}
			/* Some positions look alike. */
			ck_assert_int_ge(matches, 1);
		}
		ebb_augment_free(a);
	}
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(a_border_is_filled_repeated_or_reflected)
{
	const int64_t reflected[] = {2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1};

	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(ebb_border_place(i - 4, 4, EBB_BORDER_REFLECT), reflected[i]);
	ck_assert(ebb_border_place(-1, 4, EBB_BORDER_FILL) == -1 &&
		  ebb_border_place(4, 4, EBB_BORDER_FILL) == -1 &&
		  ebb_border_place(3, 4, EBB_BORDER_FILL) == 3);
	ck_assert(ebb_border_place(-9, 4, EBB_BORDER_EDGE) == 0 &&
		  ebb_border_place(9, 4, EBB_BORDER_EDGE) == 3 &&
		  ebb_border_place(-9, 1, EBB_BORDER_REFLECT) == 0);
}
END_TEST

START_TEST(a_centre_crop_rounds_its_margin_to_even)
{
	/* Half of an odd margin is rounded to even, as in Python. */
	const struct {
		int64_t from, to, at;
	} cases[] = {{8, 4, 2}, {7, 4, 2}, {9, 4, 2}, {5, 4, 0}, {4, 4, 0}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_augment *a = ebb_augment_new(NULL);
		ebb_image y;

		ck_assert(ebb_augment_centre_crop(a, 1, cases[i].to));
		y = applied(a, image_of(1, cases[i].from, 1, counting), 0);
		ck_assert_int_eq(y.width, cases[i].to);
		ck_assert_int_eq(y.pixels[0], cases[i].at);
		ebb_image_free(&y);
	}
}
END_TEST

START_TEST(a_flip_mirrors_columns_or_rows)
{
	for (int vertical = 0; vertical < 2; vertical++) {
		for (int channels = 1; channels <= 4; channels++) {
			ebb_augment *a = ebb_augment_new(NULL);
			ebb_image x = image_of(5, 4, channels, counting), y;

			ck_assert(ebb_augment_flip(a, .vertical = vertical, .p = 1));
			y = applied(a, x, 0);
			for (int k = 0; k < 20 * channels; k++) {
				int c = k % channels, j = k / channels % 4, i = k / channels / 4;
				int from = vertical ? (4 - i) * 4 + j : i * 4 + 3 - j;

				ck_assert_int_eq(y.pixels[k], from * channels + c);
			}
			ebb_image_free(&y);
		}
	}
}
END_TEST

START_TEST(ten_crop_gives_corners_centre_and_mirror_images)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_image x = image_of(4, 5, 1, counting), y = {0};
	int64_t height = 4, width = 5;

	ck_assert(ebb_augment_ten_crop(a, 2, 2));
	ck_assert(ebb_augment_size(a, &height, &width) == 10 && height == 2 && width == 2);
	for (int view = 0; view < 10; view++) {
		int first, second;

		ck_assert(ebb_augment_apply(a, &x, &y, .view = view));
		first = y.pixels[0];
		second = y.pixels[1];
		if (view < 5) {
			/* In rows of 5: the corners are at 0, 3, 10, 13; the centre is at (1,
			 * round(1.5)). */
			const int at[5] = {0, 3, 10, 13, 7};

			ck_assert_int_eq(first, at[view]);
			ck_assert_int_eq(second, at[view] + 1);
		} else {
			const int at[5] = {4, 1, 14, 11, 7};

			ck_assert_int_eq(first, at[view - 5]);
			ck_assert_int_eq(second, at[view - 5] - 1);
		}
	}
	ck_assert(!ebb_augment_apply(a, &x, &y, .view = 10));
	ck_assert(!ebb_augment_ten_crop(a, 2, 2));
	ebb_augment_free(a);
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(resize_gives_the_requested_size)
{
	ebb_augment *a = ebb_augment_new(NULL);
	int64_t height = 30, width = 45;
	ebb_image x = image_of(30, 45, 3, colourful), y = {0}, expected = {0};

	ck_assert(ebb_augment_resize(a, 20));
	ebb_augment_size(a, &height, &width);
	ck_assert(height == 20 && width == 30);
	height = 0;
	ebb_augment_size(a, &height, &width);
	ck_assert(height == 0 && width == 0);
	ck_assert(ebb_augment_apply(a, &x, &y));
	ck_assert(ebb_image_resize(&x, &expected, 20, 30));
	assert_same(&y, &expected);
	ck_assert(ebb_augment_resize(a, 7, 50, .filter = EBB_RESIZE_BICUBIC));
	ebb_augment_size(a, &height, &width);
	ck_assert(height == 7 && width == 50);
	ck_assert(ebb_augment_apply(a, &x, &y));
	ck_assert(y.height == 7 && y.width == 50);
	ebb_augment_free(a);
	ebb_image_free(&x);
	ebb_image_free(&y);
	ebb_image_free(&expected);
}
END_TEST

/* Translations by whole pixels, rotations by right angles, and the identity copy bytes. */
START_TEST(maps_by_whole_pixels_copy_bytes)
{
	const double rest[2] = {0, 0}, move[2] = {2, -1}, quarter = acos(-1) / 2;
	ebb_outside edge = {EBB_BORDER_EDGE, {0}};
	ebb_stage s = {.image = image_of(5, 5, 3, colourful)};
	ebb_image x = {0};
	double m[9];

	ck_assert(ebb_image_copy(&s.image, &x, NULL));
	ebb_affine_map(m, &x, 0, rest, 1, rest);
	ck_assert(ebb_stage_warp(&s, m, &edge));
	assert_same(&s.image, &x);
	/* Counter-clockwise: the right column becomes the top row. */
	ebb_affine_map(m, &x, quarter, rest, 1, rest);
	ck_assert(ebb_stage_warp(&s, m, &edge));
	for (int k = 0; k < 75; k++) {
		int i = k / 15, j = k / 3 % 5;

		ck_assert_int_eq(s.image.pixels[k], x.pixels[(j * 5 + 4 - i) * 3 + k % 3]);
	}
	ck_assert(ebb_image_copy(&x, &s.image, NULL));
	ebb_affine_map(m, &x, 0, rest, 1, move);
	ck_assert(ebb_stage_warp(&s, m, &edge));
	for (int k = 0; k < 75; k++) {
		int64_t i = ebb_border_place(k / 15 + 1, 5, EBB_BORDER_EDGE),
			j = ebb_border_place(k / 3 % 5 - 2, 5, EBB_BORDER_EDGE);

		ck_assert_int_eq(s.image.pixels[k], x.pixels[(i * 5 + j) * 3 + k % 3]);
	}
	ebb_image_free(&x);
	ebb_stage_free(&s);
}
END_TEST

/* Strength 0 changes nothing, with any number of channels. */
START_TEST(strength_zero_changes_nothing)
{
	for (int channels = 1; channels <= 4; channels++) {
		ebb_augment *a = ebb_augment_new(NULL);
		ebb_image x = image_of(9, 8, channels, colourful), y = {0};

		ebb_augment_flip(a, .p = EBB_ZERO);
		ebb_augment_rotate(a, 0);
		ebb_augment_affine(a);
		ebb_augment_perspective(a, .distortion = EBB_ZERO, .p = 1);
		ebb_augment_elastic(a, .alpha = EBB_ZERO);
		ebb_augment_jitter(a);
		ebb_augment_greyscale(a, .p = EBB_ZERO);
		ebb_augment_lighting(a, .std = EBB_ZERO);
		ebb_augment_noise(a, .std = EBB_ZERO);
		ebb_augment_cutout(a, 3, .p = EBB_ZERO);
		ck_assert_msg(!ebb_augment_error(a), "%s", ebb_augment_error(a)->message);
		ck_assert(ebb_augment_apply(a, &x, &y));
		assert_same(&x, &y);
		ebb_augment_free(a);
		ebb_image_free(&x);
		ebb_image_free(&y);
	}
}
END_TEST

/* Colour transforms do not change alpha, and treat a grey image like a colour image of three equal
 * channels. */
START_TEST(colour_transforms_keep_alpha_and_grey)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_image colour = image_of(9, 8, 4, colourful), one = image_of(9, 8, 1, colourful),
		  three = {0}, y = {0}, z = {0};

	ebb_augment_jitter(a, .brightness = 0.5, .contrast = 0.5, .saturation = 0.5, .hue = 0.5);
	ck_assert(ebb_image_convert(&one, 3, &three, NULL));
	for (int sample = 0; sample < 20; sample++) {
		ck_assert(ebb_augment_apply(a, &one, &y, .sample = sample));
		ck_assert(ebb_augment_apply(a, &three, &z, .sample = sample));
		for (int k = 0; k < 72; k++)
			ck_assert(y.pixels[k] == z.pixels[3 * k] &&
				  y.pixels[k] == z.pixels[3 * k + 2]);
	}
	ebb_augment_lighting(a, .std = 1);
	ebb_augment_greyscale(a, .p = 1);
	ebb_augment_noise(a);
	ebb_augment_randaugment(a, .ops = 20, .fill = {1, 2, 3, 4}, .p = EBB_ZERO);
	ck_assert(ebb_augment_apply(a, &colour, &y));
	for (int k = 0; k < 72; k++)
		ck_assert_int_eq(y.pixels[4 * k + 3], colour.pixels[4 * k + 3]);
	ebb_augment_free(a);
	ebb_image_free(&colour);
	ebb_image_free(&one);
	ebb_image_free(&three);
	ebb_image_free(&y);
	ebb_image_free(&z);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-augment");
	TCase *c = tcase_create("figures");

	tcase_add_test(c, transforms_equal_pillow);
	tcase_add_test(c, equalise_equals_pillow);
	tcase_add_test(c, blur_equals_torchvision);
	tcase_add_test(c, affine_equals_torchvision);
	suite_add_tcase(s, c);
	c = tcase_create("exact");
	tcase_add_test(c, a_random_crop_is_a_part_of_the_padded_image);
	tcase_add_test(c, a_border_is_filled_repeated_or_reflected);
	tcase_add_test(c, a_centre_crop_rounds_its_margin_to_even);
	tcase_add_test(c, a_flip_mirrors_columns_or_rows);
	tcase_add_test(c, ten_crop_gives_corners_centre_and_mirror_images);
	tcase_add_test(c, resize_gives_the_requested_size);
	tcase_add_test(c, maps_by_whole_pixels_copy_bytes);
	tcase_add_test(c, strength_zero_changes_nothing);
	tcase_add_test(c, colour_transforms_keep_alpha_and_grey);
	suite_add_tcase(s, c);
	return run_suite(s);
}
