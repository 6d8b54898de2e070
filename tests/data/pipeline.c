/* Pipelines of transforms: reproducibility, small images, and errors. */
#include "transforms.h"

static ebb_augment *everything(void)
{
	ebb_augment *a = ebb_augment_new(NULL);

	ebb_augment_resized_crop(a, 20, 24);
	ebb_augment_crop(a, 20, 20, .pad = 2, .border = EBB_BORDER_REFLECT);
	ebb_augment_flip(a);
	ebb_augment_rotate(a, 20);
	ebb_augment_affine(
		a, .degrees = 5, .translate = {0.1, 0.1}, .scale = {0.9, 1.1}, .shear = {5, 5});
	ebb_augment_perspective(a);
	ebb_augment_elastic(a, .p = 0.5, .border = EBB_BORDER_EDGE);
	ebb_augment_jitter(a, 0.4, 0.4, 0.4, 0.1);
	ebb_augment_greyscale(a);
	ebb_augment_lighting(a);
	ebb_augment_blur(a, .p = 0.5);
	ebb_augment_noise(a, .p = 0.5);
	ebb_augment_randaugment(a);
	ebb_augment_cutout(a, 5);
	ebb_augment_erase(a, .noise = true);
	return a;
}

START_TEST(a_sample_depends_on_seed_epoch_and_index_only)
{
	ebb_augment *a = everything(), *b = everything();
	ebb_image x = image_of(30, 32, 3, colourful), y[2] = {{0}, {0}}, z = {0};
	int same = 0;

	ck_assert_msg(!ebb_augment_error(a), "%s", ebb_augment_error(a)->message);
	for (int sample = 0; sample < 50; sample++) {
		int at = sample % 2;

		ck_assert(
			ebb_augment_apply(a, &x, &y[at], .seed = 7, .epoch = 2, .sample = sample));
		ck_assert(ebb_augment_apply(b, &x, &z, .seed = 7, .epoch = 2, .sample = sample));
		assert_same(&y[at], &z);
		/* Another seed, epoch or sample gives another result. */
		same += sample > 0 && memcmp(y[0].pixels, y[1].pixels, 1200) == 0;
		ck_assert(ebb_augment_apply(b, &x, &z, .seed = 7, .epoch = 3, .sample = sample));
		same += memcmp(y[at].pixels, z.pixels, 1200) == 0;
		ck_assert(ebb_augment_apply(b, &x, &z, .seed = 8, .epoch = 2, .sample = sample));
		same += memcmp(y[at].pixels, z.pixels, 1200) == 0;
	}
	ck_assert_int_eq(same, 0);
	ebb_augment_free(a);
	ebb_augment_free(b);
	ebb_image_free(&x);
	ebb_image_free(&y[0]);
	ebb_image_free(&y[1]);
	ebb_image_free(&z);
}
END_TEST

START_TEST(transforms_accept_small_images)
{
	for (int channels = 1; channels <= 4; channels++) {
		for (int size = 1; size <= 3; size++) {
			ebb_augment *a = everything();
			ebb_image x = image_of(size, 4 - size, channels, colourful), y = {0};

			for (int sample = 0; sample < 30; sample++)
				ck_assert(ebb_augment_apply(a, &x, &y, .sample = sample));
			ebb_augment_free(a);
			ebb_image_free(&x);
			ebb_image_free(&y);
		}
	}
}
END_TEST

START_TEST(invalid_options_are_refused)
{
#define REFUSES(word, call)                                                                        \
	do {                                                                                       \
		ebb_augment *a = ebb_augment_new(NULL);                                            \
		const ebb_error *e;                                                                \
                                                                                                   \
		ck_assert(!(call));                                                                \
		e = ebb_augment_error(a);                                                          \
		ck_assert_msg(e && e->status == EBB_INVALID && strstr(e->message, word) &&         \
				      strstr(e->message, "pipeline.c:"),                           \
			"%s", e ? e->message : #call);                                             \
		/* The pipeline keeps its first error, and adds nothing afterwards. */             \
		ck_assert(!ebb_augment_flip(a) && ebb_augment_error(a) == e);                      \
		ebb_augment_free(a);                                                               \
	} while (0)
	REFUSES("crop: a size of 0x3", ebb_augment_crop(a, 0, 3));
	REFUSES("pad is -1", ebb_augment_crop(a, 3, 3, .pad = -1));
	REFUSES("border", ebb_augment_crop(a, 3, 3, .border = (ebb_border)7));
	REFUSES("centre_crop", ebb_augment_centre_crop(a, 3, -3));
	REFUSES("ten_crop", ebb_augment_ten_crop(a, -3, 3));
	REFUSES("resize", ebb_augment_resize(a, 0));
	REFUSES("area from 0.5 to 0.1", ebb_augment_resized_crop(a, 8, 8, .area = {0.5, 0.1}));
	REFUSES("ratio", ebb_augment_resized_crop(a, 8, 8, .ratio = {-1, 2}));
	REFUSES("p is 1.5", ebb_augment_flip(a, .p = 1.5));
	REFUSES("p is nan", ebb_augment_flip(a, .p = NAN));
	REFUSES("degrees is -3", ebb_augment_rotate(a, -3));
	REFUSES("border", ebb_augment_rotate(a, 3, .border = (ebb_border)7));
	REFUSES("translate", ebb_augment_affine(a, .translate = {0, 2}));
	REFUSES("shear", ebb_augment_affine(a, .shear = {90}));
	REFUSES("scale", ebb_augment_affine(a, .scale = {2, 1}));
	REFUSES("distortion", ebb_augment_perspective(a, .distortion = 1));
	REFUSES("sigma", ebb_augment_elastic(a, .sigma = -1));
	REFUSES("hue is 0.6", ebb_augment_jitter(a, .hue = 0.6));
	REFUSES("brightness", ebb_augment_jitter(a, .brightness = -1));
	REFUSES("std", ebb_augment_lighting(a, .std = -1));
	REFUSES("finite", ebb_augment_lighting(a, .values = {NAN, 1, 1}));
	REFUSES("kernel of 4", ebb_augment_blur(a, .kernel = 4));
	REFUSES("sigma from 2 to 1", ebb_augment_blur(a, .sigma = {2, 1}));
	REFUSES("std", ebb_augment_noise(a, .std = NAN));
	REFUSES("cutout", ebb_augment_cutout(a, 0));
	REFUSES("area", ebb_augment_erase(a, .area = {0.5, 2}));
	REFUSES("magnitude", ebb_augment_randaugment(a, .magnitude = 31));
	REFUSES("ops", ebb_augment_randaugment(a, .ops = -1));
	REFUSES("alpha", ebb_augment_mixup(a, .alpha = -1));
	REFUSES("p is 2", ebb_augment_cutmix(a, .p = 2));
#undef REFUSES
	ck_assert(!ebb_augment_flip(NULL) && !ebb_augment_mixup(NULL) &&
		  !ebb_augment_crop(NULL, 0, 0));
	ck_assert(ebb_augment_error(NULL) && ebb_augment_size(NULL, NULL, NULL) == 1);
	ebb_augment_free(NULL);
}
END_TEST

START_TEST(images_that_do_not_fit_are_refused)
{
	ebb_augment *a = ebb_augment_new(NULL), *bad = ebb_augment_new(NULL);
	ebb_image x = image_of(4, 9, 3, colourful), y = {0}, wide = {0};
	ebb_error e = {0};

	ebb_augment_crop(a, 7, 7, .pad = 1);
	ck_assert(!ebb_augment_apply(a, &x, &y, .error = &e));
	ck_assert_msg(e.status == EBB_BAD_SHAPE && strstr(e.message, "crop: an image of 4x9") &&
			      strstr(e.message, "7x7") && strstr(e.message, "pipeline.c:"),
		"%s", e.message);
	wide = x;
	wide.wide = true;
	wide.width = 4;
	ck_assert(!ebb_augment_apply(a, &wide, &y));
	ck_assert(!ebb_augment_apply(a, NULL, &y) && !ebb_augment_apply(NULL, &x, &y) &&
		  !ebb_augment_apply(a, &x, NULL));
	ebb_augment_flip(bad, .p = 7);
	e = (ebb_error){0};
	ck_assert(!ebb_augment_apply(bad, &x, &y, .error = &e) && strstr(e.message, "p is 7"));
	ebb_augment_free(a);
	ebb_augment_free(bad);
	ebb_image_free(&x);
	ebb_image_free(&y);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	counting_allocator allocator;
	ebb_image x = image_of(30, 32, 3, colourful);
	bool done = false;

	for (int fail_at = 0; !done; fail_at++) {
		ebb_image y = {0};
		ebb_augment *a;

		counting_allocator_install(&allocator);
		allocator.fail_at = fail_at;
		a = everything();
		done = a && !ebb_augment_error(a) && ebb_augment_apply(a, &x, &y);
		ck_assert(done == (allocator.refused == 0));
		ebb_augment_free(a);
		ebb_image_free(&y);
		counting_allocator_remove();
		ck_assert_msg(
			allocator.live == 0 && allocator.wrong == 0, "allocation %d", fail_at);
	}
	ebb_image_free(&x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-pipeline");
	TCase *c = tcase_create("pipelines");

	tcase_add_test(c, a_sample_depends_on_seed_epoch_and_index_only);
	tcase_add_test(c, transforms_accept_small_images);
	tcase_add_test(c, invalid_options_are_refused);
	tcase_add_test(c, images_that_do_not_fit_are_refused);
	tcase_add_test(c, every_allocation_may_fail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
