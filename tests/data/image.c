/* Images in memory: allocation, channels, cropping, mirroring, tensors and grids. */
#include "tests/data/pictures.h"

#include <math.h>
#include <string.h>

START_TEST(pixel_memory_is_reused)
{
	ebb_image x = {0};
	const uint8_t *first;
	uint8_t borrowed[12] = {0};
	ebb_error e = {0};

	ck_assert(ebb_image_shape(&x, 10, 20, 3, NULL) && x.capacity == 600);
	first = x.pixels;
	ck_assert(ebb_image_shape(&x, 5, 30, 4, NULL) && x.pixels == first && x.capacity == 600);
	ck_assert(x.height == 5 && x.width == 30 && x.channels == 4);
	ck_assert(ebb_image_shape(&x, 11, 20, 3, NULL) && x.capacity == 660);
	ebb_image_free(&x);
	ck_assert(!x.pixels && x.height == 0 && x.capacity == 0);
	ebb_image_free(&x);
	ebb_image_free(NULL);
	/* Memory that the image does not own is neither written nor freed. */
	x = (ebb_image){borrowed, 2, 2, 3, false, 0};
	ck_assert(!ebb_image_flip_horizontal(&x, &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_image_flip_vertical(&x, &e) && e.status == EBB_INVALID);
	ck_assert(ebb_image_shape(&x, 1, 1, 1, NULL) && x.pixels != borrowed);
	ebb_image_free(&x);
	for (int i = 0; i < 5; i++) {
		const int64_t bad[][3] = {
			{0, 1, 1}, {1, -1, 1}, {1, 1, 0}, {1, 1, 5}, {INT64_MAX / 4, 3, 3}};

		e = (ebb_error){0};
		ck_assert(!ebb_image_shape(&x, bad[i][0], bad[i][1], bad[i][2], &e));
		ck_assert_int_eq(e.status, EBB_INVALID);
	}
	ck_assert(!ebb_image_shape(NULL, 1, 1, 1, NULL));
}
END_TEST

START_TEST(channels_are_converted_as_in_pillow)
{
	ebb_image x = {0}, y = {0}, z = {0};

	/* The result of Pillow's convert("L") for the same pattern. */
	draw_pattern(&x, 8, 8, 3);
	ck_assert(ebb_image_convert(&x, 1, &y, NULL) && y.channels == 1);
	ck_assert(hash_image(&y) == 0x43b2768e882dfe7c);
	for (int from = 1; from <= 4; from++) {
		for (int to = 1; to <= 4; to++) {
			draw_pattern(&x, 3, 5, from);
			ck_assert(ebb_image_convert(&x, to, &y, NULL) && y.channels == to);
			for (int i = 0; i < 15; i++) {
				const uint8_t *p = x.pixels + i * from, *q = y.pixels + i * to;
				int grey = from < 3 ? p[0]
				                    : (19595 * p[0] + 38470 * p[1] + 7471 * p[2] +
							      32768) /
				                              65536;

				for (int c = 0; c < (to < 3 ? 1 : 3); c++)
					ck_assert_int_eq(q[c], from < 3 || to < 3 ? grey : p[c]);
				if (to % 2 == 0)
					ck_assert_int_eq(
						q[to - 1], from % 2 == 0 ? p[from - 1] : 255);
			}
		}
	}
	ck_assert(!ebb_image_convert(&x, 5, &y, NULL) && !ebb_image_convert(&x, 0, &y, NULL));
	ck_assert(!ebb_image_convert(&x, 1, &x, NULL) && !ebb_image_convert(&z, 1, &y, NULL));
	ck_assert(!ebb_image_convert(&x, 1, NULL, NULL));
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(crops_and_flips_move_pixels)
{
	ebb_image x = {0}, y = {0};
	const ebb_rect outside[] = {{-1, 0, 1, 1}, {0, -1, 1, 1}, {0, 0, 0, 1}, {0, 0, 1, 0},
		{0, 0, 8, 1}, {0, 0, 1, 12}, {3, 0, 5, 1}, {0, 3, 1, 9}, {INT64_MAX, 0, 1, 1}};

	for (int channels = 1; channels <= 4; channels++) {
		draw_pattern(&x, 7, 11, channels);
		ck_assert(ebb_image_crop(&x, (ebb_rect){2, 3, 4, 5}, &y, NULL));
		ck_assert(y.height == 4 && y.width == 5 && y.channels == channels);
		for (int i = 0; i < 4; i++)
			ck_assert_mem_eq(y.pixels + i * 5 * channels,
				x.pixels + ((i + 2) * 11 + 3) * channels, (size_t)(5 * channels));
		ck_assert(ebb_image_copy(&x, &y, NULL) && hash_image(&y) == hash_image(&x));
		ck_assert(ebb_image_flip_horizontal(&y, NULL));
		for (int i = 0; i < 7; i++)
			for (int k = 0; k < 11; k++)
				ck_assert_mem_eq(y.pixels + (i * 11 + k) * channels,
					x.pixels + (i * 11 + 10 - k) * channels, (size_t)channels);
		ck_assert(ebb_image_flip_horizontal(&y, NULL) && hash_image(&y) == hash_image(&x));
		ck_assert(ebb_image_flip_vertical(&y, NULL));
		for (int i = 0; i < 7; i++)
			ck_assert_mem_eq(y.pixels + i * 11 * channels,
				x.pixels + (6 - i) * 11 * channels, (size_t)(11 * channels));
	}
	for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
		ebb_error e = {0};

		ck_assert(!ebb_image_crop(&x, outside[i], &y, &e) && e.status == EBB_INVALID);
		ck_assert(strstr(e.message, "not inside the 7 x 11"));
	}
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(images_convert_to_tensors_and_back)
{
	const ebb_dtype types[] = {EBB_U8, EBB_DEFAULT, EBB_F64};
	ebb_image x = {0}, y = {0};
	ebb_error e = {0};
	ebb_tensor *t, *batch;

	draw_pattern(&x, 5, 6, 3);
	for (int i = 0; i < 3; i++) {
		t = ebb_image_to_tensor(&x, types[i], &e);
		ck_assert(t && ebb_ndim(t) == 3 && ebb_size(t, 0) == 3 && ebb_size(t, 2) == 6);
		ck_assert_int_eq(ebb_dtype_of(t), i == 1 ? EBB_F32 : types[i]);
		ck_assert_double_eq_tol(
			ebb_at(t, 30 + 7), x.pixels[7 * 3 + 1] / (i ? 255.0 : 1), 1e-7);
		ck_assert(ebb_image_from_tensor(t, 0, &y, &e) && hash_image(&y) == hash_image(&x));
		ebb_tensor_free(t);
	}
	/* Channels-last memory, rounding, and values outside of 0 to 1. */
	batch = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 2, 1, 3), true, NULL);
	ebb_copy_in(batch, (float[]){0, 0, 0, 0, 0, 0, -1, 2, 0.5f, NAN, INFINITY, 1.4f / 255}, 48);
	ck_assert(ebb_image_from_tensor(batch, 1, &y, NULL) && y.channels == 2);
	ck_assert_mem_eq(y.pixels, ((uint8_t[]){0, 0, 255, 255, 128, 1}), 6);
	ck_assert(!ebb_image_from_tensor(batch, 2, &y, &e) && e.status == EBB_BAD_SHAPE);
	ck_assert(!ebb_image_from_tensor(NULL, 0, &y, NULL));
	ebb_tensor_free(batch);
	batch = ebb_tensor_new(EBB_I64, EBB_SHAPE(1, 2, 2), false, NULL);
	ck_assert(!ebb_image_from_tensor(batch, 0, &y, NULL));
	ebb_tensor_free(batch);
	ck_assert(!ebb_image_to_tensor(&x, EBB_I64, NULL) &&
		  !ebb_image_to_tensor(NULL, EBB_F32, NULL));
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(a_grid_arranges_images_row_by_row)
{
	ebb_tensor *t = ebb_tensor_new(EBB_F64, EBB_SHAPE(5, 1, 2, 3), false, NULL);
	ebb_image y = {0}, parts[3] = {{0}};
	double *v = ebb_data_mutable(t);
	ebb_error e = {0};

	for (int i = 0; i < 30; i++)
		v[i] = i / 255.0;
	ck_assert(ebb_image_grid(&y, t, .columns = 3, .background = 77));
	ck_assert(y.height == 2 * 4 + 2 && y.width == 3 * 5 + 2 && y.channels == 1);
	ck_assert(y.pixels[0] == 77 && y.pixels[17 * 2 + 1] == 77 && y.pixels[17 * 2 + 2] == 0);
	ck_assert_int_eq(y.pixels[17 * (2 + 4 + 1) + 2 + 5 + 2], 29); /* the last image */
	ck_assert_int_eq(y.pixels[17 * (2 + 4) + 2 + 10], 77);        /* there is no sixth image */
	ck_assert(ebb_image_grid(&y, t, .pad = EBB_NO_PAD) && y.height == 2 && y.width == 15);
	ck_assert_int_eq(y.pixels[15 + 14], 29);
	ck_assert(ebb_image_grid(&y, t, .pad = EBB_NO_PAD, .fit = true));
	ck_assert(y.pixels[0] == 0 && y.pixels[29] == 255 && y.pixels[1] == 9);
	ck_assert(ebb_image_grid(&y, t, .pad = EBB_NO_PAD, .range = {-1, 1}));
	ck_assert_int_eq(y.pixels[0], 128);
	for (int i = 0; i < 3; i++)
		draw_pattern(&parts[i], 2 + i, 5 - i, 4);
	ck_assert(ebb_image_grid(&y, .images = parts, .n = 3, .columns = 2, .pad = 1));
	ck_assert(y.height == 2 * 5 + 1 && y.width == 2 * 6 + 1 && y.channels == 4);
	ck_assert_int_eq(y.pixels[3], 255);
	ck_assert_mem_eq(y.pixels + (6 * 13 + 1) * 4, parts[2].pixels, 12);
#define REFUSES(...)                                                                               \
	do {                                                                                       \
		e = (ebb_error){0};                                                                \
		ck_assert(!ebb_image_grid(__VA_ARGS__, .error = &e) && e.status == EBB_INVALID);   \
	} while (0)
	REFUSES(&y);
	REFUSES(NULL, t);
	REFUSES(&y, t, parts, 3);
	REFUSES(&y, t, .columns = -1);
	REFUSES(&y, t, .pad = -2);
	REFUSES(&y, t, .range = {1, 0});
	REFUSES(&y, t, .range = {0, INFINITY});
	REFUSES(&y, t, .pad = INT64_MAX);
	draw_pattern(&parts[1], 2, 2, 3);
	REFUSES(&y, .images = parts, .n = 3);
	for (int i = 0; i < 3; i++)
		ebb_image_free(&parts[i]);
	ebb_image_free(&y);
	ebb_tensor_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-image");
	TCase *c = tcase_create("image");

	tcase_add_test(c, pixel_memory_is_reused);
	tcase_add_test(c, channels_are_converted_as_in_pillow);
	tcase_add_test(c, crops_and_flips_move_pixels);
	tcase_add_test(c, images_convert_to_tensors_and_back);
	tcase_add_test(c, a_grid_arranges_images_row_by_row);
	suite_add_tcase(s, c);
	return run_suite(s);
}
