/*
 * colour.c - brightness, contrast, saturation, greyscale, and colour jitter.
 *
 * The arithmetic is Pillow's, in single precision and truncated, so that results equal Pillow's bit
 * for bit.
 */
#include <math.h>

#include "data/augment/internal.h"

/* a + f (x - a) */
static uint8_t blend(uint8_t a, uint8_t x, float f)
{
	return ebb_byte_of((float)a + f * (float)(x - a));
}

/* The grey values of the image, in spare; NULL: no memory. */
static const uint8_t *grey_of(ebb_stage *s)
{
	return ebb_image_convert(&s->image, 1, &s->spare, s->error) ? s->spare.pixels : NULL;
}

void ebb_stage_map(ebb_stage *s, const ebb_tone *tone)
{
	int64_t n = s->image.height * s->image.width, channels = s->image.channels;
	int64_t opaque = ebb_opaque_channels(&s->image);
	uint8_t *x = s->image.pixels;

	for (int64_t i = 0; i < n; i++, x += channels)
		for (int64_t c = 0; c < opaque; c++)
			x[c] = tone->of[c][x[c]];
}

static void blend_with(ebb_stage *s, uint8_t a, float f)
{
	ebb_tone tone;

	for (int v = 0; v < 256; v++)
		tone.of[0][v] = tone.of[1][v] = tone.of[2][v] = blend(a, (uint8_t)v, f);
	ebb_stage_map(s, &tone);
}

bool ebb_adjust_brightness(ebb_stage *s, float factor)
{
	blend_with(s, 0, factor);
	return true;
}

bool ebb_adjust_contrast(ebb_stage *s, float factor)
{
	int64_t n = s->image.height * s->image.width, sum = 0;
	const uint8_t *grey = grey_of(s);

	if (!grey)
		return false;
	for (int64_t i = 0; i < n; i++)
		sum += grey[i];
	blend_with(s, (uint8_t)((double)sum / (double)n + 0.5), factor);
	return true;
}

bool ebb_adjust_saturation(ebb_stage *s, float factor)
{
	int64_t n = s->image.height * s->image.width, channels = s->image.channels;
	uint8_t *x = s->image.pixels;
	const uint8_t *grey;

	if (channels < 3)
		return true;
	grey = grey_of(s);
	if (!grey)
		return false;
	for (int64_t i = 0; i < n; i++, x += channels)
		for (int64_t c = 0; c < 3; c++)
			x[c] = blend(grey[i], x[c], factor);
	return true;
}

/* ---- Jitter --------------------------------------------------------------------------------- */

static float around_one(ebb_rng *d, double strength)
{
	return (float)ebb_rng_uniform(d, fmax(0, 1 - strength), 1 + strength);
}

static bool jitter(const void *options, ebb_stage *s)
{
	const ebb_augment_jitter_args *o = options;
	ebb_rng *d = &s->rng;
	int order[4];

	ebb_rng_permutation(d, 4, order);
	for (int k = 0; k < 4; k++) {
		bool ok = true;

		if (order[k] == 0 && o->brightness > 0)
			ok = ebb_adjust_brightness(s, around_one(d, o->brightness));
		else if (order[k] == 1 && o->contrast > 0)
			ok = ebb_adjust_contrast(s, around_one(d, o->contrast));
		else if (order[k] == 2 && o->saturation > 0)
			ok = ebb_adjust_saturation(s, around_one(d, o->saturation));
		else if (order[k] == 3 && o->hue > 0)
			ebb_adjust_hue(s, (float)ebb_rng_uniform(d, -o->hue, o->hue));
		if (!ok)
			return false;
	}
	return true;
}

static const ebb_transform_kind JITTER = {"jitter", sizeof(ebb_augment_jitter_args), jitter, NULL};

bool(ebb_augment_jitter)(const ebb_augment_jitter_args *args)
{
	const ebb_augment_jitter_args *o = args;

	return ebb_augment_within(o->a, "jitter", "brightness", o->brightness, 0, 100, o->site) &&
	       ebb_augment_within(o->a, "jitter", "contrast", o->contrast, 0, 100, o->site) &&
	       ebb_augment_within(o->a, "jitter", "saturation", o->saturation, 0, 100, o->site) &&
	       ebb_augment_within(o->a, "jitter", "hue", o->hue, 0, 0.5, o->site) &&
	       ebb_augment_add(o->a, &JITTER, ebb_option(o->p, 1), o, o->site);
}

/* ---- Grey ----------------------------------------------------------------------------------- */

static bool greyscale(const void *options, ebb_stage *s)
{
	(void)options;
	return ebb_adjust_saturation(s, 0);
}

static const ebb_transform_kind GREYSCALE = {
	"greyscale", sizeof(ebb_augment_greyscale_args), greyscale, NULL};

bool(ebb_augment_greyscale)(const ebb_augment_greyscale_args *args)
{
	return ebb_augment_add(args->a, &GREYSCALE, ebb_option(args->p, 0.1), args, args->site);
}
