/*
 * elastic.c - elastic distortion (Simard, Steinkraus & Platt 2003).
 */
#include <math.h>

#include "data/augment/internal.h"

enum { MAX_SIGMA = 40, MAX_RADIUS = 3 * MAX_SIGMA };

static bool elastic(const void *options, ebb_stage *s)
{
	const ebb_augment_elastic_args *o = options;
	ebb_outside outside = ebb_outside_of(o->border, o->fill);
	int64_t height = s->image.height, width = s->image.width, n = height * width;
	int radius = (int)ceil(3 * o->sigma);
	float weight[2 * MAX_RADIUS + 1], *field = ebb_stage_scratch(s, 3 * n);

	if (!field)
		return false;
	ebb_rng_uniforms(&s->rng, 2 * n, field);
	ebb_gaussian(weight, radius, o->sigma);
	for (int axis = 0; axis < 2; axis++)
		ebb_smooth(field + axis * n, field + 2 * n, height, width, 1, weight, radius);
	for (int64_t i = 0; i < 2 * n; i++)
		field[i] *= (float)o->alpha;
	return ebb_stage_displace(s, field, field + n, &outside);
}

static const ebb_transform_kind ELASTIC = {
	"elastic", sizeof(ebb_augment_elastic_args), elastic, NULL};

bool(ebb_augment_elastic)(const ebb_augment_elastic_args *args)
{
	ebb_augment_elastic_args o = *args;

	o.alpha = ebb_option(o.alpha, 34);
	o.sigma = o.sigma == 0 ? 4 : o.sigma;
	return ebb_augment_knows(o.a, "elastic", o.border, o.site) &&
	       ebb_augment_within(o.a, "elastic", "alpha", o.alpha, 0, 1e5, o.site) &&
	       ebb_augment_within(o.a, "elastic", "sigma", o.sigma, 0.1, MAX_SIGMA, o.site) &&
	       ebb_augment_add(o.a, &ELASTIC, ebb_option(o.p, 1), &o, o.site);
}
