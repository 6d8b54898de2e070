/* Random crops and geometric transforms: mean and range of 10,000 draws. */
#include "transforms.h"

#include <math.h>

enum { SIDE = 41, MIDDLE = SIDE / 2 };

static const double DEGREES = 57.29577951308232;

/* ---- Random numbers ------------------------------------------------------------------------- */

START_TEST(random_numbers_have_their_distributions)
{
	int times[10] = {0}, first[4][4] = {0};
	double chi = 0, covariance = 0;
	spread roll = {0}, normal = {0}, beta[3] = {0};
	const double alpha[3] = {0.2, 1, 5};
	ebb_rng d;

	for (int64_t k = 0; k < DRAWS; k++) {
		double own, neighbour;
		int order[4];

		ebb_rng_start(&d, 5, 0, k, 0);
		times[ebb_rng_below(&d, 10)]++;
		own = ebb_rng_uniform(&d, -2, 3);
		add(&roll, own);
		add(&normal, ebb_rng_normal(&d));
		ebb_rng_permutation(&d, 4, order);
		for (int i = 0; i < 4; i++)
			first[order[i]][i]++;
		for (int i = 0; i < 3; i++)
			add(&beta[i], ebb_rng_beta(&d, alpha[i]));
		ebb_rng_start(&d, 5, 0, k, 1);
		ebb_rng_below(&d, 10);
		neighbour = ebb_rng_uniform(&d, -2, 3);
		covariance += (own - 0.5) * (neighbour - 0.5) / DRAWS;
	}
	for (int i = 0; i < 10; i++)
		chi += pow(times[i] - DRAWS / 10, 2) / (DRAWS / 10);
	ck_assert_msg(chi > 0.5 && chi < 35, "chi-square %g", chi);
	for (int i = 0; i < 16; i++)
		assert_frequency(first[i / 4][i % 4], DRAWS, 0.25);
	assert_uniform(&roll, -2, 3, 0);
	ck_assert_double_eq_tol(mean(&normal), 0, 0.05);
	ck_assert_double_eq_tol(deviation(&normal), 1, 0.04);
	ck_assert(normal.low < -3 && normal.low > -6 && normal.high > 3 && normal.high < 6);
	/* The correlation of two positions is 0, within five standard errors. */
	ck_assert_double_eq_tol(covariance / (25.0 / 12), 0, 0.05);
	for (int i = 0; i < 3; i++) {
		double expected = sqrt(1 / (4 * (2 * alpha[i] + 1)));

		ck_assert(beta[i].low >= 0 && beta[i].high <= 1);
		ck_assert_double_eq_tol(mean(&beta[i]), 0.5, 5 * expected / 100);
		ck_assert_double_eq_tol(deviation(&beta[i]), expected, 0.01);
	}
}
END_TEST

/* ---- Cropping ------------------------------------------------------------------------------- */

static void look_at_crop(const ebb_image *y, void *ctx)
{
	int(*times)[5] = ctx;
	/* The centre is always inside the crop. */
	int left = (int)column_at(y, 10, 10) - 10, top = (int)row_at(y, 10, 10) - 10;

	ck_assert(left >= -2 && left <= 2 && top >= -2 && top <= 2);
	times[top + 2][left + 2]++;
}

START_TEST(crop_positions_are_uniform)
{
	int times[5][5] = {0};
	ebb_augment *a = ebb_augment_new(NULL);
	double chi = 0;

	ebb_augment_crop(a, 20, 20, .pad = 2);
	draw(a, map_of(20), look_at_crop, times);
	for (int i = 0; i < 25; i++)
		chi += pow(times[i / 5][i % 5] - DRAWS / 25, 2) / (DRAWS / 25);
	/* Chi-square with 24 degrees of freedom: 24 +- 7 */
	ck_assert_msg(chi > 5 && chi < 60, "chi-square %g", chi);
}
END_TEST

typedef struct part {
	spread area, ratio, middle;
} part;

static void look_at_part(const ebb_image *y, void *ctx)
{
	part *p = ctx;
	/* A resized ramp remains a ramp except near the ends. */
	double w = (column_at(y, 4, 6) - column_at(y, 4, 1)) / 5 * 8,
	       h = (row_at(y, 6, 4) - row_at(y, 1, 4)) / 5 * 8;

	add(&p->area, w * h / (SIDE * SIDE));
	add(&p->ratio, log(w / h));
	add(&p->middle, (column_at(y, 4, 3) + column_at(y, 4, 4)) / 2);
}

START_TEST(resized_crops_draw_area_and_ratio_uniformly)
{
	ebb_augment *a = ebb_augment_new(NULL);
	part p = {0};

	ebb_augment_resized_crop(a, 8, 8, .area = {0.2, 0.5});
	draw(a, map_of(SIDE), look_at_part, &p);
	/* Sizes are whole pixels, at least 18. */
	assert_uniform(&p.area, 0.2, 0.5, 0.03);
	assert_uniform(&p.ratio, log(3.0 / 4), log(4.0 / 3), 0.06);
	ck_assert_double_eq_tol(mean(&p.middle), MIDDLE, 0.3);
	ck_assert(p.middle.low < 11 && p.middle.high > 29);
}
END_TEST

static void look_at_flip(const ebb_image *y, void *ctx)
{
	int *times = ctx;

	times[0] += column_at(y, 0, 0) > 0;
	times[1] += row_at(y, 0, 0) > 0;
	times[2] += column_at(y, 0, 0) > 0 && row_at(y, 0, 0) > 0;
}

START_TEST(flips_have_their_probability)
{
	ebb_augment *a = ebb_augment_new(NULL);
	int times[3] = {0};

	ebb_augment_flip(a);
	ebb_augment_flip(a, .vertical = true, .p = 0.3);
	draw(a, map_of(8), look_at_flip, times);
	assert_frequency(times[0], DRAWS, 0.5);
	assert_frequency(times[1], DRAWS, 0.3);
	assert_frequency(times[2], DRAWS, 0.15);
}
END_TEST

/* ---- Geometric transforms ------------------------------------------------------------------- */

/* Statistics of the point at the centre, and of the vectors to the right and downwards from it. */
typedef struct pose {
	spread x, y, angle, scale, shear;
} pose;

static void look_at_pose(const ebb_image *y, void *ctx)
{
	enum { FAR = 7 };
	pose *p = ctx;
	double cx = column_at(y, MIDDLE, MIDDLE), cy = row_at(y, MIDDLE, MIDDLE);
	/* The steps of the result in the source image: the inverse map. */
	double a = (column_at(y, MIDDLE, MIDDLE + FAR) - cx) / FAR,
	       c = (row_at(y, MIDDLE, MIDDLE + FAR) - cy) / FAR;
	double b = (column_at(y, MIDDLE + FAR, MIDDLE) - cx) / FAR,
	       d = (row_at(y, MIDDLE + FAR, MIDDLE) - cy) / FAR;
	double det = a * d - b * c;

	add(&p->x, MIDDLE - cx);
	add(&p->y, MIDDLE - cy);
	add(&p->angle, atan2(c, a) * DEGREES);
	add(&p->scale, 1 / sqrt(det));
	add(&p->shear, atan2(-b, d) * DEGREES);
}

START_TEST(rotation_angles_are_uniform)
{
	ebb_augment *a = ebb_augment_new(NULL);
	pose p = {0};

	ebb_augment_rotate(a, 30);
	draw(a, map_of(SIDE), look_at_pose, &p);
	assert_uniform(&p.angle, -30, 30, 1.5);
	ck_assert(fabs(p.x.low) < 0.2 && fabs(p.x.high) < 0.2 && fabs(p.y.low) < 0.2 &&
		  fabs(p.y.high) < 0.2);
	ck_assert(p.scale.low > 0.96 && p.scale.high < 1.04);
}
END_TEST

START_TEST(affine_parameters_are_uniform)
{
	ebb_augment *a = ebb_augment_new(NULL);
	pose moved = {0}, scaled = moved, sheared = moved;

	/* Translations are whole pixels: 4.1 becomes 4, and the ends of the range occur half as
	 * often. */
	ebb_augment_affine(a, .translate = {0.1, 0.05});
	draw(a, map_of(SIDE), look_at_pose, &moved);
	ck_assert_double_eq_tol(mean(&moved.x), 0, 0.15);
	ck_assert_double_eq_tol(mean(&moved.y), 0, 0.1);
	ck_assert(moved.x.low == -4 && moved.x.high == 4 && moved.y.low == -2 && moved.y.high == 2);
	a = ebb_augment_new(NULL);
	ebb_augment_affine(a, .scale = {0.75, 1.25});
	draw(a, map_of(SIDE), look_at_pose, &scaled);
	assert_uniform(&scaled.scale, 0.75, 1.25, 0.02);
	ck_assert(scaled.angle.high < 2 && scaled.angle.low > -2);
	a = ebb_augment_new(NULL);
	ebb_augment_affine(a, .shear = {20, 0});
	draw(a, map_of(SIDE), look_at_pose, &sheared);
	assert_uniform(&sheared.shear, -20, 20, 1.5);
	ck_assert(sheared.angle.high < 2 && sheared.angle.low > -2);
}
END_TEST

typedef struct corners {
	spread inside, middle;
	double bent;
} corners;

static void look_at_corners(const ebb_image *y, void *ctx)
{
	corners *c = ctx;
	double x[3], z[3];
	int64_t inside = 0;

	for (int64_t k = 0; k < SIDE * SIDE; k++)
		inside += y->pixels[3 * k + 2] > 127;
	add(&c->inside, (double)inside / (SIDE * SIDE));
	add(&c->middle, column_at(y, MIDDLE, MIDDLE));
	for (int k = 0; k < 3; k++) {
		x[k] = column_at(y, MIDDLE - 6 + 6 * k, MIDDLE - 6 + 6 * k);
		z[k] = row_at(y, MIDDLE - 6 + 6 * k, MIDDLE - 6 + 6 * k);
	}
	/* A projective map keeps lines straight: bent is the distance of the middle point from the
	 * line through the other two. */
	c->bent =
		fmax(c->bent, fabs((x[2] - x[0]) * (z[1] - z[0]) - (x[1] - x[0]) * (z[2] - z[0])) /
				      hypot(x[2] - x[0], z[2] - z[0]));
}

START_TEST(perspective_moves_corners_uniformly)
{
	ebb_augment *a = ebb_augment_new(NULL);
	corners c = {0};

	ebb_augment_perspective(a, .distortion = 0.4, .p = 1);
	draw(a, map_of(SIDE), look_at_corners, &c);
	/* The area of the quadrilateral: sides are shorter by 0.2 on average, between 0.6 and 1. */
	ck_assert_double_eq_tol(mean(&c.inside), 0.8 * 0.8, 0.02);
	ck_assert(c.inside.low > 0.36 && c.inside.low < 0.5 && c.inside.high > 0.8 &&
		  c.inside.high <= 1);
	ck_assert_double_eq_tol(mean(&c.middle), MIDDLE, 0.2);
	ck_assert(c.middle.low < MIDDLE - 2 && c.middle.high > MIDDLE + 2);
	ck_assert_msg(c.bent < 0.5, "bent by %g", c.bent);
}
END_TEST

typedef struct field {
	spread dx, dy, step;
} field;

static void look_at_field(const ebb_image *y, void *ctx)
{
	field *f = ctx;

	add(&f->dx, column_at(y, MIDDLE, MIDDLE) - MIDDLE);
	add(&f->dy, row_at(y, MIDDLE, MIDDLE) - MIDDLE);
	add(&f->step, column_at(y, MIDDLE, MIDDLE + 1) - column_at(y, MIDDLE, MIDDLE));
}

START_TEST(elastic_fields_are_smooth_with_the_expected_deviation)
{
	enum { RADIUS = 9 };
	ebb_augment *a = ebb_augment_new(NULL);
	field f = {0};
	float weight[2 * RADIUS + 1];
	double squares = 0, neighbours = 0, expected;

	ebb_augment_elastic(a, .alpha = 30, .sigma = 3);
	draw(a, map_of(SIDE), look_at_field, &f);
	ebb_gaussian(weight, RADIUS, 3);
	for (int k = 0; k <= 2 * RADIUS; k++) {
		squares += weight[k] * weight[k];
		neighbours += k ? weight[k] * weight[k - 1] : 0;
	}
	/* The standard deviation of the weighted sums of numbers uniform in [-1,1). */
	expected = 30 * squares / sqrt(3);
	ck_assert_double_eq_tol(deviation(&f.dx), expected, 0.05 * expected);
	ck_assert_double_eq_tol(deviation(&f.dy), expected, 0.05 * expected);
	ck_assert_double_eq_tol(mean(&f.dx), 0, 0.1);
	ck_assert_double_eq_tol(mean(&f.dy), 0, 0.1);
	/* The standard deviation of the difference between adjacent pixels: the field is smooth. */
	expected *= sqrt(2 * (1 - neighbours / squares));
	ck_assert_double_eq_tol(mean(&f.step), 1, 0.05);
	ck_assert_double_eq_tol(deviation(&f.step), expected, 0.1 * expected);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-draws-shape");
	TCase *c = tcase_create("draws");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, random_numbers_have_their_distributions);
	tcase_add_test(c, crop_positions_are_uniform);
	tcase_add_test(c, resized_crops_draw_area_and_ratio_uniformly);
	tcase_add_test(c, flips_have_their_probability);
	tcase_add_test(c, rotation_angles_are_uniform);
	tcase_add_test(c, affine_parameters_are_uniform);
	tcase_add_test(c, perspective_moves_corners_uniformly);
	tcase_add_test(c, elastic_fields_are_smooth_with_the_expected_deviation);
	suite_add_tcase(s, c);
	return run_suite(s);
}
