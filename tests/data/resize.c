/* Resizing is bit-identical to Pillow 9.4 for every filter. */
#include "tests/data/pictures.h"

#include <string.h>

/* ---- Results of PIL.Image.resize and PIL.Image.crop for the same patterns ------------------- */

static const struct {
	ebb_resize_filter filter;
	int from_height, from_width, height, width;
	uint8_t pixels[30];
} small[] = {
	{EBB_RESIZE_BILINEAR, 5, 7, 3, 4,
		{65, 140, 107, 93, 119, 117, 149, 117, 118, 140, 147, 121}},
	{EBB_RESIZE_BILINEAR, 3, 4, 5, 6,
		{0, 46, 106, 167, 100, 17, 15, 62, 124, 187, 122, 40, 37, 86, 151, 217, 154, 75, 59,
			111, 153, 119, 110, 110, 74, 127, 154, 53, 81, 133}},
	{EBB_RESIZE_BICUBIC, 5, 7, 3, 4,
		{60, 144, 105, 95, 125, 119, 149, 112, 115, 140, 153, 120}},
	{EBB_RESIZE_BICUBIC, 3, 4, 5, 6,
		{0, 34, 106, 178, 96, 2, 9, 49, 124, 208, 123, 23, 31, 77, 154, 231, 155, 65, 56,
			115, 164, 110, 106, 116, 70, 136, 167, 27, 69, 146}},
	{EBB_RESIZE_AREA, 5, 7, 3, 4, {66, 127, 141, 91, 127, 81, 238, 140, 124, 163, 80, 125}},
	{EBB_RESIZE_AREA, 3, 4, 5, 6,
		{0, 91, 91, 182, 17, 17, 0, 91, 91, 182, 17, 17, 37, 135, 135, 233, 75, 75, 74, 179,
			179, 28, 133, 133, 74, 179, 179, 28, 133, 133}},
	{EBB_RESIZE_NEAREST, 5, 7, 3, 4, {0, 182, 108, 34, 74, 28, 238, 192, 148, 130, 112, 94}},
	{EBB_RESIZE_NEAREST, 3, 4, 5, 6,
		{0, 91, 91, 182, 182, 17, 0, 91, 91, 182, 182, 17, 37, 135, 135, 233, 233, 75, 74,
			179, 179, 28, 28, 133, 74, 179, 179, 28, 28, 133}},
};

/* Checksums of the pixels. */
static const struct {
	ebb_resize_filter filter;
	int channels, from_height, from_width, height, width;
	uint64_t hash;
} large[] = {
	{EBB_RESIZE_BILINEAR, 1, 97, 61, 40, 113, 0x82eecc5f441bf403},
	{EBB_RESIZE_BILINEAR, 1, 50, 80, 125, 33, 0x6b955e0d87f74bda},
	{EBB_RESIZE_BILINEAR, 1, 64, 64, 64, 17, 0xa8d33e5c0f349b23},
	{EBB_RESIZE_BILINEAR, 2, 97, 61, 40, 113, 0x53fcce20e8cf075f},
	{EBB_RESIZE_BILINEAR, 2, 50, 80, 125, 33, 0xfa5adbdf38760eec},
	{EBB_RESIZE_BILINEAR, 2, 64, 64, 64, 17, 0x2615d9372595222c},
	{EBB_RESIZE_BILINEAR, 3, 97, 61, 40, 113, 0x23ed957267b61a00},
	{EBB_RESIZE_BILINEAR, 3, 50, 80, 125, 33, 0xd70631588d55adf9},
	{EBB_RESIZE_BILINEAR, 3, 64, 64, 64, 17, 0xc813beb73a232d94},
	{EBB_RESIZE_BILINEAR, 4, 97, 61, 40, 113, 0xbb6f187364c3ccbf},
	{EBB_RESIZE_BILINEAR, 4, 50, 80, 125, 33, 0xb419a3d97d973a13},
	{EBB_RESIZE_BILINEAR, 4, 64, 64, 64, 17, 0x15845f097df3b65a},
	{EBB_RESIZE_BICUBIC, 1, 97, 61, 40, 113, 0xf86da021c88e91e2},
	{EBB_RESIZE_BICUBIC, 1, 50, 80, 125, 33, 0xa6876c9884e70271},
	{EBB_RESIZE_BICUBIC, 1, 64, 64, 64, 17, 0xb220a3bf1cf84b5f},
	{EBB_RESIZE_BICUBIC, 2, 97, 61, 40, 113, 0xb1a28ffb3c8de1ba},
	{EBB_RESIZE_BICUBIC, 2, 50, 80, 125, 33, 0x031cd2fb23f8511f},
	{EBB_RESIZE_BICUBIC, 2, 64, 64, 64, 17, 0x9468b1c1aaccd841},
	{EBB_RESIZE_BICUBIC, 3, 97, 61, 40, 113, 0x961a6aa1a001695a},
	{EBB_RESIZE_BICUBIC, 3, 50, 80, 125, 33, 0x4d1ae5f4547794a7},
	{EBB_RESIZE_BICUBIC, 3, 64, 64, 64, 17, 0x1c03c109284af1bd},
	{EBB_RESIZE_BICUBIC, 4, 97, 61, 40, 113, 0x06ffa97d1955eb36},
	{EBB_RESIZE_BICUBIC, 4, 50, 80, 125, 33, 0x212c9205dcbd34cf},
	{EBB_RESIZE_BICUBIC, 4, 64, 64, 64, 17, 0xd4a0fa4a22c4bbd7},
	{EBB_RESIZE_AREA, 1, 97, 61, 40, 113, 0xa33b0d1664fe1208},
	{EBB_RESIZE_AREA, 1, 50, 80, 125, 33, 0x6439a2d8b86f03b3},
	{EBB_RESIZE_AREA, 1, 64, 64, 64, 17, 0x8240bd84a03e847b},
	{EBB_RESIZE_AREA, 2, 97, 61, 40, 113, 0xe2faddc1542ea206},
	{EBB_RESIZE_AREA, 2, 50, 80, 125, 33, 0x663db3ac0b47dd5b},
	{EBB_RESIZE_AREA, 2, 64, 64, 64, 17, 0x766cd444cd9b954c},
	{EBB_RESIZE_AREA, 3, 97, 61, 40, 113, 0x5afb656dc0b3ebb5},
	{EBB_RESIZE_AREA, 3, 50, 80, 125, 33, 0xd6d35d570a959e7c},
	{EBB_RESIZE_AREA, 3, 64, 64, 64, 17, 0x67861879b709a663},
	{EBB_RESIZE_AREA, 4, 97, 61, 40, 113, 0x373f5251d42a9d2d},
	{EBB_RESIZE_AREA, 4, 50, 80, 125, 33, 0x95f4b458ad296cd1},
	{EBB_RESIZE_AREA, 4, 64, 64, 64, 17, 0xcfa069787a951b64},
	{EBB_RESIZE_NEAREST, 1, 97, 61, 40, 113, 0x0230110706d5b8a1},
	{EBB_RESIZE_NEAREST, 1, 50, 80, 125, 33, 0xeaf3af621970b142},
	{EBB_RESIZE_NEAREST, 1, 64, 64, 64, 17, 0xbee9c25380cddfe5},
	{EBB_RESIZE_NEAREST, 2, 97, 61, 40, 113, 0x37c0a916abadb789},
	{EBB_RESIZE_NEAREST, 2, 50, 80, 125, 33, 0x6707cd29a491a622},
	{EBB_RESIZE_NEAREST, 2, 64, 64, 64, 17, 0xb093d3fb1c91eb65},
	{EBB_RESIZE_NEAREST, 3, 97, 61, 40, 113, 0xbf9dcd5b9b8f6a09},
	{EBB_RESIZE_NEAREST, 3, 50, 80, 125, 33, 0xfab9e11055fa11f5},
	{EBB_RESIZE_NEAREST, 3, 64, 64, 64, 17, 0xeda13d31b1ec7a65},
	{EBB_RESIZE_NEAREST, 4, 97, 61, 40, 113, 0x6f8f7163ee5fed95},
	{EBB_RESIZE_NEAREST, 4, 50, 80, 125, 33, 0x744e2ed09d60d2dd},
	{EBB_RESIZE_NEAREST, 4, 64, 64, 64, 17, 0x2fa80c902c9671a5},
};

static const struct {
	ebb_resize_filter filter;
	uint64_t hash;
} cropped[] = {
	{EBB_RESIZE_BILINEAR, 0x28a71c43ef5c9e25},
	{EBB_RESIZE_BICUBIC, 0x8c14b1da38bc26d4},
	{EBB_RESIZE_AREA, 0x0be4948c1c638519},
	{EBB_RESIZE_NEAREST, 0x0f2fc2fcfd39ad55},
};

START_TEST(resizing_equals_pillow)
{
	ebb_image x = {0}, y = {0};

	for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
		size_t n = (size_t)(small[i].height * small[i].width);

		draw_pattern(&x, small[i].from_height, small[i].from_width, 1);
		ck_assert(
			ebb_image_resize(&x, &y, small[i].height, small[i].width, small[i].filter));
		for (size_t k = 0; k < n; k++)
			ck_assert_msg(y.pixels[k] == small[i].pixels[k],
				"case %zu, pixel %zu: %d, expected %d", i, k, y.pixels[k],
				small[i].pixels[k]);
	}
	for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
		draw_pattern(&x, large[i].from_height, large[i].from_width, large[i].channels);
		ck_assert(
			ebb_image_resize(&x, &y, large[i].height, large[i].width, large[i].filter));
		ck_assert(y.height == large[i].height && y.width == large[i].width &&
			  y.channels == large[i].channels && !y.wide);
		ck_assert_msg(hash_image(&y) == large[i].hash, "case %zu differs", i);
	}
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(resizing_a_part_equals_cropping)
{
	const ebb_rect part = {7, 11, 40, 50};
	ebb_image x = {0}, y = {0}, z = {0};

	draw_pattern(&x, 97, 61, 3);
	for (size_t i = 0; i < sizeof cropped / sizeof *cropped; i++) {
		ck_assert(ebb_image_resize(&x, &y, 24, 32, cropped[i].filter, .crop = part));
		ck_assert_msg(hash_image(&y) == cropped[i].hash, "crop %zu differs", i);
	}
	/* With an unchanged size, resizing a part equals cropping. */
	ck_assert(ebb_image_resize(&x, &y, 40, 50, EBB_RESIZE_BICUBIC, .crop = part));
	ck_assert(ebb_image_crop(&x, part, &z, NULL) && hash_image(&y) == hash_image(&z));
	ebb_image_free(&x);
	ebb_image_free(&y);
	ebb_image_free(&z);
}
END_TEST

/* A constant image stays constant; invisible colours do not bleed into others; scaling by an
 * extreme factor works. */
START_TEST(constant_images_and_alpha_are_preserved)
{
	ebb_image x = {0}, y = {0};

	for (int filter = EBB_RESIZE_BILINEAR; filter <= EBB_RESIZE_NEAREST; filter++) {
		ck_assert(ebb_image_shape(&x, 31, 17, 3, NULL));
		memset(x.pixels, 201, 31 * 17 * 3);
		ck_assert(ebb_image_resize(&x, &y, 7, 90, (ebb_resize_filter)filter));
		for (int k = 0; k < 7 * 90 * 3; k++)
			ck_assert_int_eq(y.pixels[k], 201);
		draw_pattern(&x, 3000, 1, 1);
		ck_assert(ebb_image_resize(&x, &y, 1, 3, (ebb_resize_filter)filter));
		draw_pattern(&x, 1, 1, 4);
		ck_assert(ebb_image_resize(&x, &y, 50, 2, (ebb_resize_filter)filter));
	}
	/* A red pixel beside an invisible green one. */
	ck_assert(ebb_image_shape(&x, 1, 2, 4, NULL));
	memcpy(x.pixels, (uint8_t[]){200, 0, 0, 255, 0, 200, 0, 0}, 8);
	ck_assert(ebb_image_resize(&x, &y, 1, 1, EBB_RESIZE_AREA));
	ck_assert_int_eq(y.pixels[0], 199);
	ck_assert(y.pixels[1] == 0 && y.pixels[2] == 0 && y.pixels[3] == 128);
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(invalid_arguments_are_refused)
{
	ebb_image x = {0}, y = {0}, none = {0};
	ebb_error e = {0};

	draw_pattern(&x, 4, 4, 3);
#define REFUSES(words, ...)                                                                        \
	do {                                                                                       \
		e = (ebb_error){0};                                                                \
		ck_assert(!ebb_image_resize(__VA_ARGS__, .error = &e));                            \
		ck_assert_msg(                                                                     \
			e.status == EBB_INVALID && strstr(e.message, words), "%s", e.message);     \
	} while (0)
	REFUSES("without pixels", &none, &y, 2, 2);
	REFUSES("without pixels", NULL, &y, 2, 2);
	REFUSES("second image", &x, NULL, 2, 2);
	REFUSES("second image", &x, &x, 2, 2);
	REFUSES("to 0 x 2", &x, &y, 0, 2);
	REFUSES("to 2 x -1", &x, &y, 2, -1);
	REFUSES("filter 9", &x, &y, 2, 2, (ebb_resize_filter)9);
	REFUSES("not inside the 4 x 4", &x, &y, 2, 2, .crop = {1, 1, 4, 3});
	REFUSES("not inside", &x, &y, 2, 2, .crop = {-1, 0, 2, 2});
	x.wide = true;
	x.width = 2;
	REFUSES("of 16 bits", &x, &y, 2, 2);
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	counting_allocator a;

	for (int channels = 3; channels <= 4; channels++) {
		bool done = false;

		for (int fail_at = 0; !done; fail_at++) {
			ebb_image x = {0}, y = {0};
			ebb_error e = {0};
			bool ok;

			draw_pattern(&x, 9, 9, channels);
			counting_allocator_install(&a);
			a.fail_at = fail_at;
			ok = ebb_image_resize(&x, &y, 5, 20, .error = &e);
			done = a.refused == 0;
			ck_assert(ok == done && e.status == (done ? EBB_OK : EBB_NO_MEMORY));
			ebb_image_free(&y);
			counting_allocator_remove();
			ck_assert(a.live == 0 && a.wrong == 0);
			ebb_image_free(&x);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-resize");
	TCase *c = tcase_create("resize");

	tcase_add_test(c, resizing_equals_pillow);
	tcase_add_test(c, resizing_a_part_equals_cropping);
	tcase_add_test(c, constant_images_and_alpha_are_preserved);
	tcase_add_test(c, invalid_arguments_are_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
