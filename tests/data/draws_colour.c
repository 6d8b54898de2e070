/* Random colour transforms, noise and erasing: mean and range of 10,000 draws. */
#include "transforms.h"

#include <math.h>

enum { SIDE = 41, MIDDLE = SIDE / 2 };

/* ---- Colour --------------------------------------------------------------------------------- */

static void look_at_value(const ebb_image *y, void *ctx)
{
	add(ctx, y->pixels[0]);
}

/* Statistics of pixels that had red 200, green 100 and blue 100. */
typedef struct colours {
	spread red, chroma, hue;
} colours;

static void look_at_colour(const ebb_image *y, void *ctx)
{
	colours *c = ctx;
	double r = y->pixels[0], g = y->pixels[1], b = y->pixels[2];

	add(&c->red, r);
	add(&c->chroma, r - g);
	add(&c->hue, atan2(sqrt(3) * (g - b), 2 * r - g - b) / 6.283185307179586);
}

static ebb_image reddish(void)
{
	ebb_image x = plain(4, 3, 100);

	for (int k = 0; k < 16; k++)
		x.pixels[3 * k] = 200;
	return x;
}

START_TEST(jitter_draws_its_strengths_uniformly)
{
	ebb_augment *a = ebb_augment_new(NULL);
	spread bright = {0}, contrast = {0};
	colours saturated = {0}, rotated = saturated;
	ebb_image two = plain(4, 1, 60);

	ebb_augment_jitter(a, .brightness = 0.4);
	draw(a, plain(4, 3, 150), look_at_value, &bright);
	assert_uniform(&bright, 0.6 * 150 - 0.5, 1.4 * 150 - 0.5, 1);
	/* Half of the pixels are 60, half 100; the first ones become 80 - 20 f. */
	memset(two.pixels + 8, 100, 8);
	a = ebb_augment_new(NULL);
	ebb_augment_jitter(a, .contrast = 2);
	draw(a, two, look_at_value, &contrast);
	assert_uniform(&contrast, 80 - 60, 80, 1);
	a = ebb_augment_new(NULL);
	ebb_augment_jitter(a, .saturation = 0.3);
	draw(a, reddish(), look_at_colour, &saturated);
	assert_uniform(&saturated.chroma, 70, 130, 1.5);
	a = ebb_augment_new(NULL);
	ebb_augment_jitter(a, .hue = 0.1);
	draw(a, reddish(), look_at_colour, &rotated);
	assert_uniform(&rotated.hue, -0.1, 0.1, 0.01);
	/* Rotating the hue does not change the largest channel. */
	ck_assert(rotated.red.low == 200 && rotated.red.high == 200);
}
END_TEST

static void look_at_grey(const ebb_image *y, void *ctx)
{
	*(int *)ctx += y->pixels[0] == y->pixels[1] && y->pixels[1] == y->pixels[2];
}

START_TEST(greyscale_has_its_probability)
{
	ebb_augment *a = ebb_augment_new(NULL);
	int times = 0;

	ebb_augment_greyscale(a);
	draw(a, reddish(), look_at_grey, &times);
	assert_frequency(times, DRAWS, 0.1);
}
END_TEST

START_TEST(lighting_has_the_expected_deviation)
{
	ebb_augment *a = ebb_augment_new(NULL);
	colours c = {0};
	/* For red: the eigenvalues times the first component of the eigenvectors. */
	double expected = 25.5 * sqrt(pow(0.5675 * 0.2175, 2) + pow(0.7192 * 0.0188, 2) +
					 pow(0.4009 * 0.0045, 2));

	ebb_augment_lighting(a);
	draw(a, reddish(), look_at_colour, &c);
	ck_assert_double_eq_tol(mean(&c.red), 200, 0.2);
	/* Rounding adds a variance of 1/12. */
	ck_assert_double_eq_tol(deviation(&c.red), sqrt(expected * expected + 1 / 12.0), 0.1);
	/* The first eigenvector is nearly grey, so colours hardly change. */
	ck_assert(deviation(&c.chroma) < 0.6);
}
END_TEST

START_TEST(noise_has_the_expected_deviation)
{
	ebb_augment *a = ebb_augment_new(NULL);
	spread value = {0};

	ebb_augment_noise(a, .std = 0.04);
	draw(a, plain(4, 3, 128), look_at_value, &value);
	ck_assert_double_eq_tol(mean(&value), 128, 0.55);
	ck_assert_double_eq_tol(deviation(&value), sqrt(10.2 * 10.2 + 1 / 12.0), 0.4);
	ck_assert(value.low < 128 - 30 && value.low > 128 - 62 && value.high > 128 + 30 &&
		  value.high < 128 + 62);
}
END_TEST

static void look_at_blur(const ebb_image *y, void *ctx)
{
	/* With a single bright pixel, the result at that pixel is the central weight, squared. */
	add(ctx, y->pixels[(MIDDLE * SIDE + MIDDLE)]);
}

START_TEST(blur_draws_its_sigma_uniformly)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_image x = plain(SIDE, 1, 0);
	spread peak = {0};
	double low, high;

	x.pixels[MIDDLE * SIDE + MIDDLE] = 255;
	ebb_augment_blur(a, .sigma = {0.5, 1.5});
	draw(a, x, look_at_blur, &peak);
	/* 255/(2 pi s^2) for a large s; the sum over the pixels for s = 1/2. */
	high = 255 / pow(1 + 2 * exp(-2) + 2 * exp(-8), 2);
	low = 255 / (6.283185307179586 * 1.5 * 1.5);
	ck_assert_double_eq_tol(peak.high, high, 2);
	ck_assert_double_eq_tol(peak.low, low, 1);
	ck_assert(mean(&peak) > low + 10 && mean(&peak) < high - 60);
}
END_TEST

/* ---- Erasing -------------------------------------------------------------------------------- */

/* A black hole in a white image: its area, and the position of its centre. */
typedef struct hole {
	spread area, x, ratio;
	int times, odd;
} hole;

static void look_at_hole(const ebb_image *y, void *ctx)
{
	hole *h = ctx;
	int64_t n = 0, left = y->width, right = -1, top = y->height, bottom = -1;

	for (int64_t k = 0; k < y->height * y->width; k++) {
		int64_t i = k / y->width, j = k % y->width;

		if (y->pixels[k] == 255)
			continue;
		n++;
		left = j < left ? j : left;
		right = j > right ? j : right;
		top = i < top ? i : top;
		bottom = i;
	}
	if (n == 0)
		return;
	h->times++;
	h->odd += n != (right - left + 1) * (bottom - top + 1);
	add(&h->area, (double)n / (double)(y->height * y->width));
	add(&h->x, (double)(left + right) / 2);
	add(&h->ratio, log((double)(bottom - top + 1) / (double)(right - left + 1)));
}

START_TEST(cutout_covers_the_image_uniformly)
{
	enum { CUT = 8, WIDE = 20 };
	ebb_augment *a = ebb_augment_new(NULL);
	hole h = {0};
	double length = 0;

	for (int centre = 0; centre < WIDE; centre++)
		for (int k = centre - CUT / 2; k < centre + CUT / 2; k++)
			length += (k >= 0 && k < WIDE) / (double)WIDE;
	ebb_augment_cutout(a, CUT);
	draw(a, plain(WIDE, 1, 255), look_at_hole, &h);
	ck_assert(h.times == DRAWS && h.odd == 0);
	ck_assert_double_eq_tol(mean(&h.area), pow(length / WIDE, 2), 0.003);
	ck_assert(h.area.low == 16 / 400.0 && h.area.high == 64 / 400.0);
	ck_assert_double_eq_tol(mean(&h.x), WIDE / 2.0 - 0.75, 0.3);
}
END_TEST

START_TEST(erase_draws_area_and_ratio_uniformly)
{
	ebb_augment *a = ebb_augment_new(NULL);
	hole h = {0};

	ebb_augment_erase(a, .area = {0.05, 0.2}, .ratio = {0.5, 2});
	draw(a, plain(64, 1, 255), look_at_hole, &h);
	assert_frequency(h.times, DRAWS, 0.5);
	ck_assert_int_eq(h.odd, 0);
	assert_uniform(&h.area, 0.05, 0.2, 0.01);
	assert_uniform(&h.ratio, log(0.5), log(2), 0.06);
	ck_assert_double_eq_tol(mean(&h.x), 31.5, 1.2);
	/* Noise: the hole is filled with random bytes. */
	memset(&h, 0, sizeof h);
	a = ebb_augment_new(NULL);
	ebb_augment_erase(a, .area = {0.25, 0.25}, .ratio = {1, 1}, .noise = true, .p = 1);
	draw(a, plain(16, 1, 255), look_at_hole, &h);
	ck_assert_double_eq_tol(mean(&h.area), 0.25 * 255 / 256, 0.001);
}
END_TEST

/* ---- RandAugment ---------------------------------------------------------------------------- */

static int steep(int64_t k)
{
	return (int)(37 * k % 251);
}

typedef struct versions {
	int unchanged, n;
	uint64_t seen[100];
	int different;
} versions;

static void look_at_version(const ebb_image *y, void *ctx)
{
	versions *v = ctx;
	uint64_t hash = 1469598103934665603u;
	bool unchanged = true, known = false;

	for (int64_t k = 0; k < y->height * y->width * 3; k++) {
		hash = (hash ^ y->pixels[k]) * 1099511628211u;
		unchanged = unchanged && y->pixels[k] == steep(k);
	}
	v->unchanged += unchanged;
	v->n++;
	for (int i = 0; i < v->different; i++)
		known = known || v->seen[i] == hash;
	if (!known && v->different < 100)
		v->seen[v->different++] = hash;
}

static versions randaugmented(double magnitude, int ops)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_image x = plain(20, 3, 0);
	versions v = {0};

	for (int64_t k = 0; k < 20 * 20 * 3; k++)
		x.pixels[k] = (uint8_t)steep(k);
	ebb_augment_randaugment(a, .ops = ops, .magnitude = magnitude);
	draw(a, x, look_at_version, &v);
	return v;
}

START_TEST(randaugment_draws_each_operation_equally)
{
	versions none = randaugmented(EBB_ZERO, 1), one = randaugmented(9, 1),
		 two = randaugmented(9, 2);

	/* At strength 0 only autocontrast and equalise change the image (no value is 255, so
	 * solarise does not). */
	assert_frequency(none.unchanged, DRAWS, 12 / 14.0);
	ck_assert_int_eq(none.different, 3);
	/* Of 14 operations: 1 is the identity, 9 have a direction, 4 have none. */
	assert_frequency(one.unchanged, DRAWS, 1 / 14.0);
	ck_assert_int_eq(one.different, 1 + 2 * 9 + 4);
	ck_assert(two.unchanged > 0 && two.unchanged < 0.03 * DRAWS && two.different == 100);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-draws-colour");
	TCase *c = tcase_create("draws");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, jitter_draws_its_strengths_uniformly);
	tcase_add_test(c, greyscale_has_its_probability);
	tcase_add_test(c, lighting_has_the_expected_deviation);
	tcase_add_test(c, noise_has_the_expected_deviation);
	tcase_add_test(c, blur_draws_its_sigma_uniformly);
	tcase_add_test(c, cutout_covers_the_image_uniformly);
	tcase_add_test(c, erase_draws_area_and_ratio_uniformly);
	tcase_add_test(c, randaugment_draws_each_operation_equally);
	suite_add_tcase(s, c);
	return run_suite(s);
}
