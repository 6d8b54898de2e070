/*
 * randaugment.c - RandAugment: a few operations of the same strength (Cubuk, Zoph, Shlens & Le
 * 2020).
 */
#include <math.h>

#include "data/augment/internal.h"

typedef enum operation {
	NOTHING,
	SHEAR_X,
	SHEAR_Y,
	TRANSLATE_X,
	TRANSLATE_Y,
	ROTATE,
	BRIGHTNESS,
	SATURATION,
	CONTRAST,
	SHARPNESS,
	POSTERISE,
	SOLARISE,
	AUTOCONTRAST,
	EQUALISE,
	OPERATIONS
} operation;

static bool move(ebb_stage *s, const ebb_augment_randaugment_args *o, operation what, double amount)
{
	ebb_outside outside = ebb_outside_of(EBB_BORDER_FILL, o->fill);
	double shear[2] = {0, 0}, by[2] = {0, 0}, angle = 0, m[9];

	if (what == SHEAR_X)
		shear[0] = atan(0.3 * amount);
	else if (what == SHEAR_Y)
		shear[1] = atan(0.3 * amount);
	else if (what == TRANSLATE_X)
		by[0] = trunc(150.0 / 331 * (double)s->image.width * amount);
	else if (what == TRANSLATE_Y)
		by[1] = trunc(150.0 / 331 * (double)s->image.height * amount);
	else
		angle = 0.5235987755982988 * amount; /* 30 degrees */
	ebb_affine_map(m, &s->image, angle, shear, 1, by);
	return ebb_stage_warp(s, m, &outside);
}

/* Applies an operation at a strength from 0 to 1. */
static bool operate(ebb_stage *s, const ebb_augment_randaugment_args *o, operation what,
	double strength, double sign)
{
	float factor = (float)(1 + sign * 0.9 * strength);

	switch (what) {
	case NOTHING:
	case OPERATIONS:
		return true;
	case SHEAR_X:
	case SHEAR_Y:
	case TRANSLATE_X:
	case TRANSLATE_Y:
	case ROTATE:
		return move(s, o, what, sign * strength);
	case BRIGHTNESS:
		return ebb_adjust_brightness(s, factor);
	case SATURATION:
		return ebb_adjust_saturation(s, factor);
	case CONTRAST:
		return ebb_adjust_contrast(s, factor);
	case SHARPNESS:
		return ebb_adjust_sharpness(s, factor);
	case POSTERISE:
		ebb_posterise(s, 8 - (int)rint(4 * strength));
		return true;
	case SOLARISE:
		ebb_solarise(s, (int)ceil(255 * (1 - strength)));
		return true;
	case AUTOCONTRAST:
		ebb_autocontrast(s);
		return true;
	case EQUALISE:
		ebb_equalise(s);
		return true;
	}
	return true;
}

static bool randaugment(const void *options, ebb_stage *s)
{
	const ebb_augment_randaugment_args *o = options;

	for (int k = 0; k < o->ops; k++) {
		operation what = (operation)ebb_rng_below(&s->rng, OPERATIONS);
		double sign = ebb_rng_uniform(&s->rng, 0, 1) < 0.5 ? -1 : 1;

		if (!operate(s, o, what, o->magnitude / 30, sign))
			return false;
	}
	return true;
}

static const ebb_transform_kind RANDAUGMENT = {
	"randaugment", sizeof(ebb_augment_randaugment_args), randaugment, NULL};

bool(ebb_augment_randaugment)(const ebb_augment_randaugment_args *args)
{
	ebb_augment_randaugment_args o = *args;

	o.ops = o.ops == 0 ? 2 : o.ops;
	o.magnitude = ebb_option(o.magnitude, 9);
	return ebb_augment_within(o.a, "randaugment", "ops", o.ops, 1, 100, o.site) &&
	       ebb_augment_within(o.a, "randaugment", "magnitude", o.magnitude, 0, 30, o.site) &&
	       ebb_augment_add(o.a, &RANDAUGMENT, ebb_option(o.p, 1), &o, o.site);
}
