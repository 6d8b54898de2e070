/* Random transforms: the mean and the range of 10,000 draws. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

enum { DRAWS = 10000, SIDE = 41, MIDDLE = SIDE / 2, STEP = 6 };

static const double DEGREES = 57.29577951308232;

/* ---- What is drawn -------------------------------------------------------------------------- */

typedef struct spread {
	double sum, square, low, high;
	int n;
} spread;

static void add(spread *s, double x)
{
	s->low = s->n && s->low < x ? s->low : x;
	s->high = s->n && s->high > x ? s->high : x;
	s->sum += x;
	s->square += x * x;
	s->n++;
}

static double mean(const spread *s)
{
	return s->sum / s->n;
}

static double deviation(const spread *s)
{
	return sqrt(s->square / s->n - mean(s) * mean(s));
}

/* Uniform in [low, high], measured to within slack: five standard errors of the mean, all inside,
 * and as close to the ends as such a number of draws comes. */
#define assert_uniform(s, from, to, slack)                                                         \
	do {                                                                                       \
		double width = (to) - (from), error = 5 * width / sqrt(12.0 * (s)->n);             \
                                                                                                   \
		ck_assert_msg((s)->low >= (from) - (slack) && (s)->high <= (to) + (slack),         \
			"%g to %g, expected within %g to %g", (s)->low, (s)->high, (double)(from), \
			(double)(to));                                                             \
		ck_assert_msg((s)->low <= (from) + width / 100 + (slack) &&                        \
				      (s)->high >= (to)-width / 100 - (slack),                     \
			"%g to %g, expected all of %g to %g", (s)->low, (s)->high, (double)(from), \
			(double)(to));                                                             \
		ck_assert_double_eq_tol(mean(s), ((from) + (to)) / 2.0, error + (slack) / 10);     \
		ck_assert_double_eq_tol(                                                           \
			deviation(s), width / sqrt(12), 0.03 * width + (slack) / 10);              \
	} while (0)

/* k of n with probability p: five standard deviations. */
#define assert_frequency(k, n, p)                                                                  \
	ck_assert_double_eq_tol((k) / (double)(n), p, 5 * sqrt((p) * (1 - (p)) / (n)))

/* ---- Images that say where their pixels come from ------------------------------------------- */

/* Red is the column, green the row, in steps; blue is inside. */
static ebb_image map_of(int64_t side)
{
	ebb_image x = {0};

	ck_assert(ebb_image_shape(&x, side, side, 3, NULL));
	for (int64_t k = 0; k < side * side; k++) {
		x.pixels[3 * k] = (uint8_t)(STEP * (k % side));
		x.pixels[3 * k + 1] = (uint8_t)(STEP * (k / side));
		x.pixels[3 * k + 2] = 255;
	}
	return x;
}

static double column_at(const ebb_image *y, int64_t i, int64_t j)
{
	return y->pixels[(i * y->width + j) * y->channels] / (double)STEP;
}

static double row_at(const ebb_image *y, int64_t i, int64_t j)
{
	return y->pixels[(i * y->width + j) * y->channels + 1] / (double)STEP;
}

static ebb_image plain(int64_t side, int64_t channels, int value)
{
	ebb_image x = {0};

	ck_assert(ebb_image_shape(&x, side, side, channels, NULL));
	memset(x.pixels, value, (size_t)(side * side * channels));
	return x;
}

/* Runs the pipeline DRAWS times and looks at each result. */
static void draw(
	ebb_augment *a, ebb_image x, void (*look)(const ebb_image *y, void *ctx), void *ctx)
{
	ebb_stage s = {0};

	ck_assert_msg(!ebb_augment_error(a), "%s", ebb_augment_error(a)->message);
	for (int64_t k = 0; k < DRAWS; k++) {
		ck_assert(ebb_image_copy(&x, &s.image, NULL));
		ck_assert(ebb_augment_run(a, &s, 11, k % 7, k, 0));
		look(&s.image, ctx);
	}
	ebb_stage_free(&s);
	ebb_image_free(&x);
	ebb_augment_free(a);
}

/* ---- Numbers -------------------------------------------------------------------------------- */

START_TEST(numbers)
{
	int times[10] = {0}, first[4][4] = {0};
	double chi = 0, covariance = 0;
	spread roll = {0}, normal = {0}, beta[3] = {0};
	const double alpha[3] = {0.2, 1, 5};
	ebb_dice d;

	for (int64_t k = 0; k < DRAWS; k++) {
		double own, neighbour;
		int order[4];

		ebb_dice_start(&d, 5, 0, k, 0);
		times[ebb_dice_pick(&d, 10)]++;
		own = ebb_dice_roll(&d, -2, 3);
		add(&roll, own);
		add(&normal, ebb_dice_normal(&d));
		ebb_dice_order(&d, 4, order);
		for (int i = 0; i < 4; i++)
			first[order[i]][i]++;
		for (int i = 0; i < 3; i++)
			add(&beta[i], ebb_dice_beta(&d, alpha[i]));
		ebb_dice_start(&d, 5, 0, k, 1);
		ebb_dice_pick(&d, 10);
		neighbour = ebb_dice_roll(&d, -2, 3);
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
	/* Correlation of two places: 0 within five standard errors. */
	ck_assert_double_eq_tol(covariance / (25.0 / 12), 0, 0.05);
	for (int i = 0; i < 3; i++) {
		double expected = sqrt(1 / (4 * (2 * alpha[i] + 1)));

		ck_assert(beta[i].low >= 0 && beta[i].high <= 1);
		ck_assert_double_eq_tol(mean(&beta[i]), 0.5, 5 * expected / 100);
		ck_assert_double_eq_tol(deviation(&beta[i]), expected, 0.01);
	}
}
END_TEST

/* ---- Where ---------------------------------------------------------------------------------- */

static void look_at_crop(const ebb_image *y, void *ctx)
{
	int(*times)[5] = ctx;
	/* The middle is always inside. */
	int left = (int)column_at(y, 10, 10) - 10, top = (int)row_at(y, 10, 10) - 10;

	ck_assert(left >= -2 && left <= 2 && top >= -2 && top <= 2);
	times[top + 2][left + 2]++;
}

START_TEST(crops)
{
	int times[5][5] = {0};
	ebb_augment *a = ebb_augment_new(NULL);
	double chi = 0;

	ebb_augment_crop(a, 20, 20, .pad = 2);
	draw(a, map_of(20), look_at_crop, times);
	for (int i = 0; i < 25; i++)
		chi += pow(times[i / 5][i % 5] - DRAWS / 25, 2) / (DRAWS / 25);
	/* 24 degrees of freedom: 24 +- 7 */
	ck_assert_msg(chi > 5 && chi < 60, "chi-square %g", chi);
}
END_TEST

typedef struct part {
	spread area, ratio, middle;
} part;

static void look_at_part(const ebb_image *y, void *ctx)
{
	part *p = ctx;
	/* A resized ramp stays one, but for the ends. */
	double w = (column_at(y, 4, 6) - column_at(y, 4, 1)) / 5 * 8,
	       h = (row_at(y, 6, 4) - row_at(y, 1, 4)) / 5 * 8;

	add(&p->area, w * h / (SIDE * SIDE));
	add(&p->ratio, log(w / h));
	add(&p->middle, (column_at(y, 4, 3) + column_at(y, 4, 4)) / 2);
}

START_TEST(resized_crops)
{
	ebb_augment *a = ebb_augment_new(NULL);
	part p = {0};

	ebb_augment_resized_crop(a, 8, 8, .area = {0.2, 0.5});
	draw(a, map_of(SIDE), look_at_part, &p);
	/* Sizes are whole pixels, of 18 at least. */
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

START_TEST(flips)
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

/* ---- Shape ---------------------------------------------------------------------------------- */

/* Of the point at the middle, and of the vectors that lead right and down from it. */
typedef struct pose {
	spread x, y, angle, scale, shear;
} pose;

static void look_at_pose(const ebb_image *y, void *ctx)
{
	enum { FAR = 7 };
	pose *p = ctx;
	double cx = column_at(y, MIDDLE, MIDDLE), cy = row_at(y, MIDDLE, MIDDLE);
	/* The result's steps, in the source: the inverse map. */
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

START_TEST(rotations)
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

START_TEST(affine_maps)
{
	ebb_augment *a = ebb_augment_new(NULL);
	pose moved = {0}, scaled = moved, sheared = moved;

	/* Whole pixels: 4.1 are 4, and the ends half as often. */
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
	/* Three points of a line stay on one: the middle one's distance from it. */
	c->bent =
		fmax(c->bent, fabs((x[2] - x[0]) * (z[1] - z[0]) - (x[1] - x[0]) * (z[2] - z[0])) /
				      hypot(x[2] - x[0], z[2] - z[0]));
}

START_TEST(perspectives)
{
	ebb_augment *a = ebb_augment_new(NULL);
	corners c = {0};

	ebb_augment_perspective(a, .distortion = 0.4, .p = 1);
	draw(a, map_of(SIDE), look_at_corners, &c);
	/* The area of the quadrilateral: sides shorter by 0.2 on average, from 0.6 to 1. */
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

START_TEST(elastic_fields)
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
	/* Of uniform numbers in [-1,1), the weighted sums' deviation. */
	expected = 30 * squares / sqrt(3);
	ck_assert_double_eq_tol(deviation(&f.dx), expected, 0.05 * expected);
	ck_assert_double_eq_tol(deviation(&f.dy), expected, 0.05 * expected);
	ck_assert_double_eq_tol(mean(&f.dx), 0, 0.1);
	ck_assert_double_eq_tol(mean(&f.dy), 0, 0.1);
	/* And of what differs between two pixels side by side: it is smooth. */
	expected *= sqrt(2 * (1 - neighbours / squares));
	ck_assert_double_eq_tol(mean(&f.step), 1, 0.05);
	ck_assert_double_eq_tol(deviation(&f.step), expected, 0.1 * expected);
}
END_TEST

/* ---- Colour --------------------------------------------------------------------------------- */

static void look_at_value(const ebb_image *y, void *ctx)
{
	add(ctx, y->pixels[0]);
}

/* Of red, green and blue that were 200, 100 and 100. */
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

START_TEST(jitters)
{
	ebb_augment *a = ebb_augment_new(NULL);
	spread bright = {0}, contrast = {0};
	colours saturated = {0}, turned = saturated;
	ebb_image two = plain(4, 1, 60);

	ebb_augment_jitter(a, .brightness = 0.4);
	draw(a, plain(4, 3, 150), look_at_value, &bright);
	assert_uniform(&bright, 0.6 * 150 - 0.5, 1.4 * 150 - 0.5, 1);
	/* Half 60, half 100: the first is 80 - 20 f. */
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
	draw(a, reddish(), look_at_colour, &turned);
	assert_uniform(&turned.hue, -0.1, 0.1, 0.01);
	/* The largest channel stays. */
	ck_assert(turned.red.low == 200 && turned.red.high == 200);
}
END_TEST

static void look_at_grey(const ebb_image *y, void *ctx)
{
	*(int *)ctx += y->pixels[0] == y->pixels[1] && y->pixels[1] == y->pixels[2];
}

START_TEST(greys)
{
	ebb_augment *a = ebb_augment_new(NULL);
	int times = 0;

	ebb_augment_greyscale(a);
	draw(a, reddish(), look_at_grey, &times);
	assert_frequency(times, DRAWS, 0.1);
}
END_TEST

START_TEST(lights)
{
	ebb_augment *a = ebb_augment_new(NULL);
	colours c = {0};
	/* Of red: the values times the first channel of the vectors. */
	double expected = 25.5 * sqrt(pow(0.5675 * 0.2175, 2) + pow(0.7192 * 0.0188, 2) +
					 pow(0.4009 * 0.0045, 2));

	ebb_augment_lighting(a);
	draw(a, reddish(), look_at_colour, &c);
	ck_assert_double_eq_tol(mean(&c.red), 200, 0.2);
	/* Rounding adds 1/12. */
	ck_assert_double_eq_tol(deviation(&c.red), sqrt(expected * expected + 1 / 12.0), 0.1);
	/* The first vector is nearly grey: colour hardly moves. */
	ck_assert(deviation(&c.chroma) < 0.6);
}
END_TEST

START_TEST(noises)
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
	/* A single bright pixel: its share is that of the middle of the weights, squared. */
	add(ctx, y->pixels[(MIDDLE * SIDE + MIDDLE)]);
}

START_TEST(blurs)
{
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_image x = plain(SIDE, 1, 0);
	spread peak = {0};
	double low, high;

	x.pixels[MIDDLE * SIDE + MIDDLE] = 255;
	ebb_augment_blur(a, .sigma = {0.5, 1.5});
	draw(a, x, look_at_blur, &peak);
	/* 255/(2 pi s^2) where s is large; at 1/2 the sum over the pixels. */
	high = 255 / pow(1 + 2 * exp(-2) + 2 * exp(-8), 2);
	low = 255 / (6.283185307179586 * 1.5 * 1.5);
	ck_assert_double_eq_tol(peak.high, high, 2);
	ck_assert_double_eq_tol(peak.low, low, 1);
	ck_assert(mean(&peak) > low + 10 && mean(&peak) < high - 60);
}
END_TEST

/* ---- What is taken away --------------------------------------------------------------------- */

/* Of black in white, and of where its middle lies. */
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

START_TEST(cutouts)
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

START_TEST(erasures)
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
	/* Noise: the same place in random bytes. */
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

START_TEST(randaugments)
{
	versions none = randaugmented(EBB_ZERO, 1), one = randaugmented(9, 1),
		 two = randaugmented(9, 2);

	/* At strength 0 autocontrast and equalise alone do something: there is no 255 to solarise. */
	assert_frequency(none.unchanged, DRAWS, 12 / 14.0);
	ck_assert_int_eq(none.different, 3);
	/* One of 14: nothing; 9 that have a direction; 4 that have none. */
	assert_frequency(one.unchanged, DRAWS, 1 / 14.0);
	ck_assert_int_eq(one.different, 1 + 2 * 9 + 4);
	ck_assert(two.unchanged > 0 && two.unchanged < 0.03 * DRAWS && two.different == 100);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-draws");
	TCase *c = tcase_create("draws");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, numbers);
	tcase_add_test(c, crops);
	tcase_add_test(c, resized_crops);
	tcase_add_test(c, flips);
	tcase_add_test(c, rotations);
	tcase_add_test(c, affine_maps);
	tcase_add_test(c, perspectives);
	tcase_add_test(c, elastic_fields);
	tcase_add_test(c, jitters);
	tcase_add_test(c, greys);
	tcase_add_test(c, lights);
	tcase_add_test(c, noises);
	tcase_add_test(c, blurs);
	tcase_add_test(c, cutouts);
	tcase_add_test(c, erasures);
	tcase_add_test(c, randaugments);
	suite_add_tcase(s, c);
	return run_suite(s);
}
