/* pixels.c - the input of a network as ops on pixels: its values and its gradient. */
#include "tests/support/support.h"

#include <math.h>

static const ebb_preprocess IMAGENET = {
	.mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};

/* A smooth image with different channels. */
static ebb_image picture(int64_t height, int64_t width, int64_t channels)
{
	ebb_image x = {0};

	ck_assert(ebb_image_shape(&x, height, width, channels, NULL));
	for (int64_t i = 0; i < height * width; i++)
		for (int64_t c = 0; c < channels; c++)
			x.pixels[i * channels + c] =
				(uint8_t)(128 + 100 * sin((double)(i * (c + 1)) / 29));
	return x;
}

/* The largest difference between the ops and ebb_preprocess_images, in units of scale/std. */
static double difference(
	const ebb_preprocess *p, int64_t height, int64_t width, ebb_dtype dtype, double *size)
{
	ebb_params *store = ebb_params_new(1);
	ebb_model net = ebb_model_new(store, "cifar_resnet20");
	ebb_tape *t = ebb_tape_new();
	ebb_image image = picture(height, width, p->channels ? p->channels : 3);
	ebb_error e = {0};
	ebb_tensor *pixels = ebb_image_to_tensor(&image, dtype, &e),
		   *want = ebb_preprocess_images(p, 1, &image, dtype, &e), *got;
	double scale = p->scale != 0 ? p->scale : 1.0 / 255, worst = 0;

	net.preprocess = *p;
	got = ebb_model_pixels(t, &net, ebb_unsqueeze(t, pixels, 0));
	assert_healthy(t);
	ck_assert_msg(want != NULL, "%s", e.message);
	ck_assert_int_eq(ebb_dtype_of(got), dtype);
	ck_assert(ebb_default_dtype(t) == EBB_F32);
	*size = 0;
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(ebb_size(got, i), ebb_size(want, i));
	for (int64_t i = 0; i < ebb_count(want); i++) {
		double std = p->std[i / (ebb_count(want) / ebb_size(want, 1))];

		worst = fmax(worst,
			fabs(ebb_at(got, i) - ebb_at(want, i)) / scale * (std != 0 ? std : 1));
		*size = fmax(*size, fabs(ebb_at(want, i)));
	}
	ebb_tape_free(t);
	ebb_tensor_free(pixels);
	ebb_tensor_free(want);
	ebb_image_free(&image);
	ebb_params_free(store);
	return worst;
}

START_TEST(ops_compute_what_preprocessing_computes)
{
	static const ebb_resize_filter filters[] = {EBB_RESIZE_BILINEAR, EBB_RESIZE_BICUBIC};
	ebb_dtype dtype = _i ? EBB_F64 : EBB_F32;
	ebb_preprocess p = IMAGENET, caffe = {.resize = 20,
					     .crop = 17,
					     .squash = true,
					     .bgr = true,
					     .scale = 1,
					     .mean = {104, 117, 123}};
	double size;

	/* Nothing is resized: no rounding. */
	ck_assert_double_le(difference(&p, 13, 9, dtype, &size), 255e-6);
	p.crop = 7;
	ck_assert_double_le(difference(&p, 13, 9, dtype, &size), 255e-6);
	ck_assert_double_le(
		difference(&(ebb_preprocess){.channels = 1, .mean = {0.3}}, 6, 7, dtype, &size),
		255e-6);
	ck_assert_double_le(
		difference(&(ebb_preprocess){.bgr = true, .scale = 1, .mean = {104, 117, 123}}, 6,
			7, dtype, &size),
		255e-6);
	ck_assert_double_ge(size, 60);
	/* Rounded to whole levels after each of the two passes. */
	for (int k = 0; k < 2; k++) {
		p.resize = 16;
		p.crop = 15;
		p.filter = caffe.filter = filters[k];
		ck_assert_double_le(difference(&p, 33, 47, dtype, &size), 1.2);
		ck_assert_double_le(difference(&p, 11, 10, dtype, &size), 1.2);
		ck_assert_double_le(difference(&caffe, 30, 25, dtype, &size), 1.2);
	}
}
END_TEST

static ebb_tensor *pixels_of(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	return ebb_model_pixels(t, ctx, x[0]);
}

START_TEST(gradients_flow_to_the_pixels)
{
	ebb_params *store = ebb_params_new(1);
	ebb_model net = ebb_model_new(store, "cifar_resnet20");
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(2, 3, 9, 7), 1);
	ebb_error e = {0};

	net.preprocess = (ebb_preprocess){.resize = 6,
		.crop = 5,
		.bgr = true,
		.filter = EBB_RESIZE_BICUBIC,
		.mean = {.1, .2, .3},
		.std = {.5, .6, .7}};
	ck_assert_msg(
		ebb_gradcheck(pixels_of, &net, 1, (const ebb_tensor *const[]){x}, .error = &e),
		"%s", e.message);
	ebb_tensor_free(x);
	ebb_params_free(store);
}
END_TEST

START_TEST(bad_pixels_are_refused)
{
	ebb_params *store = ebb_params_new(1);
	ebb_model net = ebb_model_new(store, "cifar_resnet20"), none = {0};
	ebb_tape *tape = ebb_tape_new();
	ebb_tensor *x = ebb_zeros(tape, EBB_SHAPE(1, 3, 8, 8));

#define REFUSED(status, text, net, x)                                                              \
	assert_refused(                                                                            \
		tape, status, ebb_model_pixels(tape, net, x), "pixels.c", "model_pixels", text)
	REFUSED(EBB_INVALID, "the model is NULL", NULL, x);
	REFUSED(EBB_INVALID, "the model is NULL", &none, x);
	REFUSED(EBB_BAD_SHAPE, "got NULL", &net, NULL);
	REFUSED(EBB_BAD_SHAPE, "F32 [1,1,8,8]", &net, ebb_zeros(tape, EBB_SHAPE(1, 1, 8, 8)));
	REFUSED(EBB_BAD_SHAPE, "U8", &net, ebb_cast(tape, x, EBB_U8));
	net.preprocess.crop = 9;
	REFUSED(EBB_INVALID, "expected at least 9", &net, x);
	ebb_tape_free(tape);
	ebb_params_free(store);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-pixels");
	TCase *c = tcase_create("pixels");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, ops_compute_what_preprocessing_computes, 0, 2);
	tcase_add_test(c, gradients_flow_to_the_pixels);
	tcase_add_test(c, bad_pixels_are_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
