/*
 * erase.c - erasing parts of an image: cutout and random erasing.
 */
#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

/* Fills the part of r that is inside the image with a colour. */
static void paint(ebb_image *x, ebb_rect r, const uint8_t *colour)
{
	int64_t top = r.top < 0 ? 0 : r.top, left = r.left < 0 ? 0 : r.left;
	int64_t bottom = r.top + r.height < x->height ? r.top + r.height : x->height;
	int64_t right = r.left + r.width < x->width ? r.left + r.width : x->width;

	for (int64_t i = top; i < bottom; i++)
		for (int64_t j = left; j < right; j++)
			memcpy(x->pixels + (i * x->width + j) * x->channels, colour,
				(size_t)x->channels);
}

/* ---- Cutout --------------------------------------------------------------------------------- */

static bool cutout(const void *options, ebb_stage *s)
{
	const ebb_augment_cutout_args *o = options;

	for (int k = 0; k < o->holes; k++) {
		ebb_rect r = {.height = o->side, .width = o->side};

		r.top = ebb_rng_below(&s->rng, s->image.height) - o->side / 2;
		r.left = ebb_rng_below(&s->rng, s->image.width) - o->side / 2;
		paint(&s->image, r, o->fill);
	}
	return true;
}

static const ebb_transform_kind CUTOUT = {"cutout", sizeof(ebb_augment_cutout_args), cutout, NULL};

bool(ebb_augment_cutout)(const ebb_augment_cutout_args *args)
{
	ebb_augment_cutout_args o = *args;

	o.holes = o.holes == 0 ? 1 : o.holes;
	if (o.side < 1 || o.side > INT32_MAX || o.holes < 1)
		return ebb_augment_fail(o.a, o.site,
			"cutout: %d holes of %lld pixels, expected at least one of 1", o.holes,
			(long long)o.side);
	return ebb_augment_add(o.a, &CUTOUT, ebb_option(o.p, 1), &o, o.site);
}

/* ---- Random erasing ------------------------------------------------------------------------- */

static bool erase(const void *options, ebb_stage *s)
{
	const ebb_augment_erase_args *o = options;
	ebb_image *x = &s->image;
	ebb_rect r;

	/* The ratio here is height to width, so the sides are swapped. */
	if (!ebb_draw_part(&s->rng, o->area, o->ratio, x->width, x->height, &r.width, &r.height))
		return true;
	r.top = ebb_rng_below(&s->rng, x->height - r.height + 1);
	r.left = ebb_rng_below(&s->rng, x->width - r.width + 1);
	if (!o->noise) {
		paint(x, r, o->fill);
		return true;
	}
	for (int64_t i = 0; i < r.height; i++) {
		uint8_t *row = x->pixels + ((r.top + i) * x->width + r.left) * x->channels;

		for (int64_t k = 0; k < r.width * x->channels; k++)
			row[k] = (uint8_t)ebb_rng_below(&s->rng, 256);
	}
	return true;
}

static const ebb_transform_kind ERASE = {"erase", sizeof(ebb_augment_erase_args), erase, NULL};

bool(ebb_augment_erase)(const ebb_augment_erase_args *args)
{
	static const double standard[4] = {0.02, 0.33, 0.3, 3.3};
	ebb_augment_erase_args o = *args;

	return ebb_check_part(o.a, "erase", o.area, o.ratio, standard, o.site) &&
	       ebb_augment_add(o.a, &ERASE, ebb_option(o.p, 0.5), &o, o.site);
}
