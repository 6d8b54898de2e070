/*
 * lighting.c - AlexNet's lighting: colours move along their principal components (Krizhevsky,
 * Sutskever & Hinton 2012).
 */
#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

static bool lighting(const void *options, ebb_stage *s)
{
	const ebb_augment_lighting_args *o = options;
	double shift[3] = {0, 0, 0};
	ebb_tone tone;

	for (int k = 0; k < 3; k++) {
		double alpha = o->std * ebb_rng_normal(&s->rng);

		for (int c = 0; c < 3; c++)
			shift[c] += o->vectors[c][k] * o->values[k] * alpha;
	}
	if (s->image.channels < 3)
		shift[0] = (shift[0] + shift[1] + shift[2]) / 3;
	for (int c = 0; c < 3; c++)
		for (int v = 0; v < 256; v++)
			tone.of[c][v] = ebb_byte_of((float)(v + 255 * shift[c] + 0.5));
	ebb_stage_map(s, &tone);
	return true;
}

static const ebb_transform_kind LIGHTING = {
	"lighting", sizeof(ebb_augment_lighting_args), lighting, NULL};

bool(ebb_augment_lighting)(const ebb_augment_lighting_args *args)
{
	/* ImageNet's, for pixels from 0 to 1. */
	static const double values[3] = {0.2175, 0.0188, 0.0045};
	static const double vectors[3][3] = {
		{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
	ebb_augment_lighting_args o = *args;

	o.std = ebb_option(o.std, 0.1);
	if (o.values[0] == 0 && o.values[1] == 0 && o.values[2] == 0) {
		memcpy(o.values, values, sizeof values);
		memcpy(o.vectors, vectors, sizeof vectors);
	}
	for (int k = 0; k < 3; k++)
		for (int c = 0; c < 3; c++)
			if (!isfinite(o.values[k] * o.vectors[c][k]))
				return ebb_augment_fail(
					o.a, o.site, "lighting: values or vectors are not finite");
	return ebb_augment_within(o.a, "lighting", "std", o.std, 0, 100, o.site) &&
	       ebb_augment_add(o.a, &LIGHTING, ebb_option(o.p, 1), &o, o.site);
}
