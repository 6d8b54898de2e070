/* transforms.c - for the tests of transforms: images given by formulas, and statistics of random
 * results. */
#include "transforms.h"

ebb_image image_of(int64_t height, int64_t width, int64_t channels, int (*f)(int64_t k))
{
	ebb_image x = {0};

	ck_assert(ebb_image_shape(&x, height, width, channels, NULL));
	for (int64_t k = 0; k < height * width * channels; k++)
		x.pixels[k] = (uint8_t)f(k);
	return x;
}

int colourful(int64_t k)
{
	return (int)((37 * k + 2 * (k * k % 91)) % 256);
}

int pale(int64_t k)
{
	return colourful(k) / 3 + 40;
}

int counting(int64_t k)
{
	return (int)(k % 256);
}

void assert_same(const ebb_image *a, const ebb_image *b)
{
	ck_assert(a->height == b->height && a->width == b->width && a->channels == b->channels);
	ck_assert_mem_eq(a->pixels, b->pixels, (size_t)(a->height * a->width * a->channels));
}

void add(spread *s, double x)
{
	s->low = s->n && s->low < x ? s->low : x;
	s->high = s->n && s->high > x ? s->high : x;
	s->sum += x;
	s->square += x * x;
	s->n++;
}

double mean(const spread *s)
{
	return s->sum / s->n;
}

double deviation(const spread *s)
{
	return sqrt(s->square / s->n - mean(s) * mean(s));
}

ebb_image map_of(int64_t side)
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

double column_at(const ebb_image *y, int64_t i, int64_t j)
{
	return y->pixels[(i * y->width + j) * y->channels] / (double)STEP;
}

double row_at(const ebb_image *y, int64_t i, int64_t j)
{
	return y->pixels[(i * y->width + j) * y->channels + 1] / (double)STEP;
}

ebb_image plain(int64_t side, int64_t channels, int value)
{
	ebb_image x = {0};

	ck_assert(ebb_image_shape(&x, side, side, channels, NULL));
	memset(x.pixels, value, (size_t)(side * side * channels));
	return x;
}

void draw(ebb_augment *a, ebb_image x, void (*look)(const ebb_image *y, void *ctx), void *ctx)
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
