/*
 * preprocess.c - how images become inputs: sizes, crops, colours and numbers as torchvision's.
 */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static const ebb_preprocess IMAGENET = {
	.resize = 40, .crop = 32, .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};

/* A smooth image with different channels. */
static ebb_image picture(int64_t height, int64_t width, int64_t channels)
{
	ebb_image x = {0};

	ck_assert(ebb_image_shape(&x, height, width, channels, NULL));
	for (int64_t i = 0; i < height; i++)
		for (int64_t j = 0; j < width; j++)
			for (int64_t c = 0; c < channels; c++)
				x.pixels[(i * width + j) * channels + c] =
					(uint8_t)((3 * i + 5 * j + 40 * c + i * j / 7) % 256);
	return x;
}

/* ---- Compared with torchvision --------------------------------------------------------------- */

/* Sums over the result of torchvision's Resize, CenterCrop, ToTensor and Normalize on Pillow images:
 * sum x, sum |x|, and sum x[k]*(k mod 13) for element number k; from torchvision 0.14.1. */
static const struct {
	int64_t height, width;
	ebb_resize_filter filter;
	double sum, absolute, weighted;
} EXPECTED[] = {
	{47, 83, EBB_RESIZE_BILINEAR, 659.782313, 3213.419873, 3945.139052},
	{47, 83, EBB_RESIZE_BICUBIC, 658.679237, 3300.373429, 3948.648740},
	{90, 41, EBB_RESIZE_BILINEAR, 616.695868, 3310.452485, 3778.632981},
	{90, 41, EBB_RESIZE_BICUBIC, 617.319289, 3388.420120, 3795.104563},
	{40, 40, EBB_RESIZE_BILINEAR, 1085.868423, 3513.694249, 6468.834954},
	{40, 40, EBB_RESIZE_BICUBIC, 1085.868423, 3513.694249, 6468.834954},
	{33, 70, EBB_RESIZE_BILINEAR, 377.934523, 3336.924072, 2315.446229},
	{33, 70, EBB_RESIZE_BICUBIC, 376.460760, 3392.293530, 2310.028858},
};
enum { CASES = sizeof EXPECTED / sizeof *EXPECTED };

START_TEST(inputs_are_torchvisions)
{
	ebb_preprocess p = IMAGENET;
	ebb_image x = picture(EXPECTED[_i].height, EXPECTED[_i].width, 3);
	double sum = 0, absolute = 0, weighted = 0;
	ebb_error e = {0};
	ebb_tensor *y;

	p.filter = EXPECTED[_i].filter;
	y = ebb_preprocess_images(&p, 1, &x, EBB_F64, &e);
	ck_assert_msg(y != NULL, "%s", e.message);
	ck_assert_int_eq(ebb_size(y, 1), 3);
	ck_assert_int_eq(ebb_size(y, 2), 32);
	ck_assert_int_eq(ebb_size(y, 3), 32);
	for (int64_t k = 0; k < ebb_count(y); k++) {
		sum += ebb_at(y, k);
		absolute += fabs(ebb_at(y, k));
		weighted += ebb_at(y, k) * (double)(k % 13);
	}
	ck_assert_double_eq_tol(sum, EXPECTED[_i].sum, 1e-3);
	ck_assert_double_eq_tol(absolute, EXPECTED[_i].absolute, 1e-3);
	ck_assert_double_eq_tol(weighted, EXPECTED[_i].weighted, 1e-2);
	ebb_tensor_free(y);
	ebb_image_free(&x);
}
END_TEST

/* ---- Numbers and colours --------------------------------------------------------------------- */

START_TEST(bgr_exchanges_channels_and_scale_replaces_255)
{
	ebb_preprocess p = {.bgr = true, .scale = 1, .mean = {104, 117, 123}};
	ebb_image x = picture(3, 4, 3), two[2];
	ebb_tensor *y = ebb_preprocess_images(&p, 1, &x, EBB_DEFAULT, NULL);

	ck_assert(y && ebb_dtype_of(y) == EBB_F32);
	for (int64_t k = 0; k < 12; k++) {
		ck_assert_double_eq(ebb_at(y, k), x.pixels[3 * k + 2] - 104.0);
		ck_assert_double_eq(ebb_at(y, 12 + k), x.pixels[3 * k + 1] - 117.0);
		ck_assert_double_eq(ebb_at(y, 24 + k), x.pixels[3 * k] - 123.0);
	}
	ebb_tensor_free(y);
	two[0] = two[1] = x;
	y = ebb_preprocess_images(&p, 2, two, EBB_F32, NULL);
	ck_assert_int_eq(ebb_size(y, 0), 2);
	ck_assert_double_eq(ebb_at(y, 36 + 5), ebb_at(y, 5));
	ebb_tensor_free(y);
	ebb_image_free(&x);
}
END_TEST

START_TEST(channels_are_converted)
{
	ebb_image grey = picture(5, 6, 1), alpha = picture(5, 6, 4), colour = {0}, y = {0};
	ebb_preprocess p = {.resize = 5, .squash = true}, one = {.channels = 1};
	ebb_tensor *x;

	ck_assert(ebb_preprocess_pixels(&p, &grey, &y, NULL));
	ck_assert_int_eq(y.channels, 3);
	ck_assert(y.height == 5 && y.width == 5);
	for (int k = 0; k < 25; k++)
		ck_assert(y.pixels[3 * k] == y.pixels[3 * k + 1] &&
			  y.pixels[3 * k] == y.pixels[3 * k + 2]);
	ck_assert(ebb_preprocess_pixels(&(ebb_preprocess){.bgr = true}, &alpha, &y, NULL));
	ck_assert_int_eq(y.channels, 3);
	ck_assert_int_eq(y.pixels[4], alpha.pixels[5]);
	ck_assert(ebb_image_convert(&alpha, 1, &colour, NULL));
	x = ebb_preprocess_images(&one, 1, &alpha, EBB_F64, NULL);
	ck_assert_int_eq(ebb_size(x, 1), 1);
	ck_assert_double_eq_tol(ebb_at(x, 7), colour.pixels[7] / 255.0, 1e-15);
	ebb_tensor_free(x);
	ebb_image_free(&grey);
	ebb_image_free(&alpha);
	ebb_image_free(&colour);
	ebb_image_free(&y);
}
END_TEST

/* ---- Loaders --------------------------------------------------------------------------------- */

START_TEST(a_loader_makes_the_same_inputs)
{
	ebb_preprocess p = {.resize = 24,
		.crop = 20,
		.bgr = true,
		.scale = 1,
		.mean = {104, 117, 123},
		.std = {2, 3, 4}};
	ebb_dataset *d = ebb_digits(3, 1, NULL);
	ebb_augment *a = ebb_augment_new(NULL);
	double mean[3], std[3];
	ebb_image image = {0};
	ebb_tensor *want;
	ebb_loader *loader;
	ebb_batch batch;

	/* Digits are grey: the channels of the input are equal before the numbers are applied. */
	p.channels = 1;
	ck_assert(ebb_preprocess_augment(&p, a, mean, std));
	loader = ebb_loader_new(d, 3, .augment = a, .mean = {mean[0]}, .std = {std[0]});
	ck_assert(ebb_loader_next(loader, &batch));
	ck_assert_int_eq(ebb_size(batch.images, 2), 20);
	ck_assert(ebb_image_from_tensor(d->images, 1, &image, NULL));
	want = ebb_preprocess_images(&p, 1, &image, EBB_F32, NULL);
	for (int64_t k = 0; k < 400; k++)
		ck_assert_double_eq_tol(ebb_at(batch.images, 400 + k), ebb_at(want, k), 1e-4);
	ebb_tensor_free(want);
	ebb_image_free(&image);
	ebb_loader_free(loader);
	ebb_augment_free(a);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(bgr_is_a_transform)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_image x = picture(4, 5, 3), y = {0};

	ck_assert(ebb_augment_bgr(a));
	ck_assert(ebb_augment_apply(a, &x, &y));
	for (int k = 0; k < 20; k++)
		for (int c = 0; c < 3; c++)
			ck_assert_int_eq(y.pixels[3 * k + c], x.pixels[3 * k + 2 - c]);
	ck_assert(!ebb_augment_bgr(NULL));
	ebb_augment_free(a);
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

static void refused(
	const ebb_preprocess *p, int64_t n, const ebb_image *x, ebb_dtype dtype, const char *says)
{
	ebb_error e = {0};

	ck_assert_ptr_null(ebb_preprocess_images(p, n, x, dtype, &e));
	ck_assert_msg(strstr(e.message, says), "%s", e.message);
}

START_TEST(bad_arguments_are_errors)
{
	ebb_image x[2] = {picture(5, 6, 3), picture(7, 5, 3)}, wide = picture(4, 4, 1), none = {0};
	ebb_preprocess p = {0};
	double mean[3];
	ebb_augment *a = ebb_augment_new(NULL);

	refused(&p, 0, x, EBB_F32, "0 images");
	refused(&p, 1, NULL, EBB_F32, "expected at least one");
	refused(&p, 1, x, EBB_I64, "as F32 or F64");
	refused(NULL, 1, x, EBB_F32, "expected 1 or 3 channels");
	refused(&p, 1, &none, EBB_F32, "without pixels");
	refused(&p, 2, x, EBB_F32, "image 1 becomes 7x5 pixels and the first one 5x6");
	refused(&(ebb_preprocess){.channels = 2}, 1, x, EBB_F32, "2 channels");
	refused(&(ebb_preprocess){.resize = 4, .crop = 5}, 1, x, EBB_F32, "crop of 5");
	refused(&(ebb_preprocess){.crop = 6}, 1, x, EBB_F32, "smaller than 6x6");
	refused(&(ebb_preprocess){.scale = NAN}, 1, x, EBB_F32, "not finite");
	refused(&(ebb_preprocess){.std = {-1}}, 1, x, EBB_F32, "negative");
	wide.wide = true;
	refused(&p, 1, &wide, EBB_F32, "16 bits");
	ck_assert(!ebb_preprocess_augment(&p, a, mean, NULL));
	ck_assert(strstr(ebb_augment_error(a)->message, "mean or std is NULL"));
	ebb_augment_free(a);
	ebb_image_free(&x[0]);
	ebb_image_free(&x[1]);
	ebb_image_free(&wide);
}
END_TEST

/* ---- Matrices -------------------------------------------------------------------------------- */

/* Element [i,j] of channel c of rows * x * columns^T. */
static double mapped(const ebb_image *x, const ebb_tensor *rows, const ebb_tensor *columns,
	int64_t i, int64_t j, int64_t c)
{
	double sum = 0;

	for (int64_t r = 0; r < x->height; r++)
		for (int64_t q = 0; q < x->width; q++)
			sum += ebb_at(rows, i * x->height + r) * ebb_at(columns, j * x->width + q) *
			       x->pixels[(r * x->width + q) * x->channels + c];
	return sum;
}

START_TEST(matrices_are_resizing_and_the_crop)
{
	static const struct {
		int64_t height, width, resize, crop;
		bool squash;
	} cases[] = {{23, 31, 12, 9, false}, {31, 20, 40, 37, false}, {11, 17, 14, 14, true},
		{14, 14, 14, 8, false}, {13, 12, 0, 9, false}, {9, 10, 0, 0, false},
		{14, 30, 14, 0, false}};
	enum { N = sizeof cases / sizeof *cases };

	for (int k = 0; k < N; k++) {
		ebb_preprocess p = {.resize = cases[k].resize,
			.crop = cases[k].crop,
			.filter = (ebb_resize_filter)_i,
			.squash = cases[k].squash};
		ebb_image x = picture(cases[k].height, cases[k].width, 3), y = {0};
		ebb_tensor *rows, *columns, *f32[2];
		ebb_error e = {0};
		/* Each pass rounds to whole levels; the second one adds the first one's errors. */
		double slack = cases[k].resize && _i != EBB_RESIZE_NEAREST ? 1.2 : 1e-12;

		ck_assert_msg(ebb_preprocess_matrices(
				      &p, x.height, x.width, EBB_F64, &rows, &columns, &e),
			"%s", e.message);
		/* Bicubic resizing overshoots, but not to the ends of the range. */
		for (int64_t i = 0; i < x.height * x.width * 3; i++)
			x.pixels[i] = (uint8_t)(64 + x.pixels[i] / 2);
		ck_assert(ebb_preprocess_pixels(&p, &x, &y, &e));
		ck_assert(ebb_size(rows, 0) == y.height && ebb_size(rows, 1) == x.height);
		ck_assert(ebb_size(columns, 0) == y.width && ebb_size(columns, 1) == x.width);
		for (int64_t i = 0; i < y.height; i++)
			for (int64_t j = 0; j < y.width; j++)
				for (int64_t c = 0; c < 3; c++) {
					double v = mapped(&x, rows, columns, i, j, c);

					v = fmin(fmax(v, 0), 255) -
					    y.pixels[(i * y.width + j) * 3 + c];
					ck_assert_msg(fabs(v) <= slack, "case %d: off by %g", k, v);
				}
		ck_assert(ebb_preprocess_matrices(
			&p, x.height, x.width, EBB_DEFAULT, &f32[0], &f32[1], &e));
		ck_assert_int_eq(ebb_dtype_of(f32[0]), EBB_F32);
		ck_assert(all_close(rows, f32[0], 1e-7) && all_close(columns, f32[1], 1e-7));
		ebb_tensor_free(rows);
		ebb_tensor_free(columns);
		ebb_tensor_free(f32[0]);
		ebb_tensor_free(f32[1]);
		ebb_image_free(&x);
		ebb_image_free(&y);
	}
}
END_TEST

static void no_matrices(const ebb_preprocess *p, int64_t height, ebb_dtype dtype, const char *words)
{
	ebb_error e = {0};
	ebb_tensor *rows, *columns;

	ck_assert(!ebb_preprocess_matrices(p, height, 8, dtype, &rows, &columns, &e));
	ck_assert(!rows && !columns);
	ck_assert_msg(strstr(e.message, words) != NULL, "%s", e.message);
}

START_TEST(bad_matrices_are_errors)
{
	ebb_preprocess p = {.resize = 6, .crop = 5};
	counting_allocator alloc;
	ebb_tensor *rows, *columns;

	no_matrices(NULL, 8, EBB_F32, "expected 1 or 3 channels");
	no_matrices(&p, 0, EBB_F32, "0x8 pixels");
	no_matrices(&p, 8, EBB_I64, "I64");
	no_matrices(&(ebb_preprocess){.filter = (ebb_resize_filter)9}, 8, EBB_F32, "filter 9");
	no_matrices(&(ebb_preprocess){.crop = 9}, 8, EBB_F32, "expected at least 9");
	no_matrices(&(ebb_preprocess){.scale = NAN}, 8, EBB_F32, "not finite");
	counting_allocator_install(&alloc);
	for (int64_t n = 0;; n++) {
		ebb_error e = {0};
		bool ok;

		alloc.calls = alloc.refused = 0;
		alloc.fail_at = n;
		ok = ebb_preprocess_matrices(&p, 8, 9, EBB_F64, &rows, &columns, &e);
		ck_assert_int_eq(ok, alloc.refused == 0);
		ck_assert(ok || e.status == EBB_NO_MEMORY);
		ebb_tensor_free(rows);
		ebb_tensor_free(columns);
		ck_assert(alloc.live == 0 && alloc.wrong == 0);
		if (ok)
			break;
	}
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("preprocess");
	TCase *c = tcase_create("all");
	tcase_set_timeout(c, 60);

	tcase_add_loop_test(c, inputs_are_torchvisions, 0, CASES);
	tcase_add_test(c, bgr_exchanges_channels_and_scale_replaces_255);
	tcase_add_test(c, channels_are_converted);
	tcase_add_test(c, a_loader_makes_the_same_inputs);
	tcase_add_test(c, bgr_is_a_transform);
	tcase_add_test(c, bad_arguments_are_errors);
	tcase_add_loop_test(c, matrices_are_resizing_and_the_crop, 0, EBB_RESIZE_NEAREST + 1);
	tcase_add_test(c, bad_matrices_are_errors);
	suite_add_tcase(s, c);
	return run_suite(s);
}
