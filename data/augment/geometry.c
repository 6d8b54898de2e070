/*
 * geometry.c - rotation, affine and projective maps.
 */
#include <math.h>

#include "data/augment/internal.h"

static const double RADIANS = 0.017453292519943295;

void ebb_affine_map(double m[9], const ebb_image *x, double angle, const double shear[2],
	double scale, const double move[2])
{
	double cx = (double)x->width / 2, cy = (double)x->height / 2;
	double cs = cos(angle), sn = sin(angle), tx = tan(shear[0]), ty = tan(shear[1]);
	/* scale * R * (shear along y) * (shear along x).  y points down, so R rotates
	 * counter-clockwise. */
	double a = scale * (cs + sn * ty), b = scale * (cs * tx + sn * (1 + tx * ty));
	double c = scale * (cs * ty - sn), d = scale * (cs * (1 + tx * ty) - sn * tx);
	double det = a * d - b * c;

	m[0] = d / det;
	m[1] = -b / det;
	m[3] = -c / det;
	m[4] = a / det;
	m[2] = cx - m[0] * (cx + move[0]) - m[1] * (cy + move[1]);
	m[5] = cy - m[3] * (cx + move[0]) - m[4] * (cy + move[1]);
	m[6] = m[7] = 0;
	m[8] = 1;
}

/* ---- Rotation ------------------------------------------------------------------------------- */

static const double NOWHERE[2] = {0, 0};

static bool rotate(const void *options, ebb_stage *s)
{
	const ebb_augment_rotate_args *o = options;
	ebb_outside outside = ebb_outside_of(o->border, o->fill);
	double m[9];

	ebb_affine_map(m, &s->image, RADIANS * ebb_rng_uniform(&s->rng, -o->degrees, o->degrees),
		NOWHERE, 1, NOWHERE);
	return ebb_stage_warp(s, m, &outside);
}

static const ebb_transform_kind ROTATE = {"rotate", sizeof(ebb_augment_rotate_args), rotate, NULL};

bool(ebb_augment_rotate)(const ebb_augment_rotate_args *args)
{
	return ebb_augment_knows(args->a, "rotate", args->border, args->site) &&
	       ebb_augment_within(
		       args->a, "rotate", "degrees", args->degrees, 0, 360, args->site) &&
	       ebb_augment_add(args->a, &ROTATE, ebb_option(args->p, 1), args, args->site);
}

/* ---- Affine maps ---------------------------------------------------------------------------- */

static bool affine(const void *options, ebb_stage *s)
{
	const ebb_augment_affine_args *o = options;
	ebb_outside outside = ebb_outside_of(o->border, o->fill);
	ebb_rng *d = &s->rng;
	double angle = RADIANS * ebb_rng_uniform(d, -o->degrees, o->degrees), m[9];
	/* Translations are rounded to whole pixels, as in torchvision. */
	double dx = o->translate[0] * (double)s->image.width,
	       dy = o->translate[1] * (double)s->image.height;
	double move[2] = {rint(ebb_rng_uniform(d, -dx, dx)), rint(ebb_rng_uniform(d, -dy, dy))};
	double scale = ebb_rng_uniform(d, o->scale[0], o->scale[1]);
	double shear[2] = {RADIANS * ebb_rng_uniform(d, -o->shear[0], o->shear[0]),
		RADIANS * ebb_rng_uniform(d, -o->shear[1], o->shear[1])};

	ebb_affine_map(m, &s->image, angle, shear, scale, move);
	return ebb_stage_warp(s, m, &outside);
}

static const ebb_transform_kind AFFINE = {"affine", sizeof(ebb_augment_affine_args), affine, NULL};

bool(ebb_augment_affine)(const ebb_augment_affine_args *args)
{
	ebb_augment_affine_args o = *args;

	if (o.scale[0] == 0 && o.scale[1] == 0)
		o.scale[0] = o.scale[1] = 1;
	if (!ebb_augment_knows(o.a, "affine", o.border, o.site) ||
		!ebb_augment_within(o.a, "affine", "degrees", o.degrees, 0, 360, o.site))
		return false;
	for (int i = 0; i < 2; i++)
		if (!ebb_augment_within(o.a, "affine", "translate", o.translate[i], 0, 1, o.site) ||
			!ebb_augment_within(o.a, "affine", "shear", o.shear[i], 0, 89, o.site))
			return false;
	if (!(o.scale[0] > 0 && o.scale[0] <= o.scale[1] && isfinite(o.scale[1])))
		return ebb_augment_fail(o.a, o.site,
			"affine: scale from %g to %g, expected a range of positive numbers",
			o.scale[0], o.scale[1]);
	return ebb_augment_add(o.a, &AFFINE, ebb_option(o.p, 1), &o, o.site);
}

/* ---- Projective maps ------------------------------------------------------------------------ */

/* The projective map of the unit square to a quadrilateral with corners in the order (0,0), (1,0),
 * (1,1), (0,1) (Heckbert 1989). */
static void square_to(const double x[4], const double y[4], double m[9])
{
	double dx1 = x[1] - x[2], dx2 = x[3] - x[2], sx = x[0] - x[1] + x[2] - x[3];
	double dy1 = y[1] - y[2], dy2 = y[3] - y[2], sy = y[0] - y[1] + y[2] - y[3];
	double det = dx1 * dy2 - dx2 * dy1;
	double g = (sx * dy2 - dx2 * sy) / det, h = (dx1 * sy - sx * dy1) / det;

	m[0] = x[1] - x[0] + g * x[1];
	m[1] = x[3] - x[0] + h * x[3];
	m[2] = x[0];
	m[3] = y[1] - y[0] + g * y[1];
	m[4] = y[3] - y[0] + h * y[3];
	m[5] = y[0];
	m[6] = g;
	m[7] = h;
	m[8] = 1;
}

/* The inverse up to a scale factor, which a projective map ignores. */
static void invert(const double m[9], double inverse[9])
{
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++) {
			int r0 = (j + 1) % 3, r1 = (j + 2) % 3, c0 = (i + 1) % 3, c1 = (i + 2) % 3;

			inverse[3 * i + j] =
				m[3 * r0 + c0] * m[3 * r1 + c1] - m[3 * r0 + c1] * m[3 * r1 + c0];
		}
	}
}

static bool perspective(const void *options, ebb_stage *s)
{
	const ebb_augment_perspective_args *o = options;
	ebb_outside outside = ebb_outside_of(o->border, o->fill);
	double w = (double)s->image.width, h = (double)s->image.height, m[9], to_square[9];
	double x[4] = {0, w, w, 0}, y[4] = {0, 0, h, h};

	for (int i = 0; i < 4; i++) {
		double dx = ebb_rng_uniform(&s->rng, 0, o->distortion * w / 2);
		double dy = ebb_rng_uniform(&s->rng, 0, o->distortion * h / 2);

		x[i] += x[i] == 0 ? dx : -dx;
		y[i] += y[i] == 0 ? dy : -dy;
	}
	/* The quadrilateral is the position of the image in the result.  Its points map to the unit
	 * square, and then to the image's size. */
	square_to(x, y, m);
	invert(m, to_square);
	for (int k = 0; k < 3; k++) {
		to_square[k] *= w;
		to_square[3 + k] *= h;
	}
	return ebb_stage_warp(s, to_square, &outside);
}

static const ebb_transform_kind PERSPECTIVE = {
	"perspective", sizeof(ebb_augment_perspective_args), perspective, NULL};

bool(ebb_augment_perspective)(const ebb_augment_perspective_args *args)
{
	ebb_augment_perspective_args o = *args;

	o.distortion = ebb_option(o.distortion, 0.5);
	/* With a distortion of 1 two corners could coincide. */
	return ebb_augment_knows(o.a, "perspective", o.border, o.site) &&
	       ebb_augment_within(
		       o.a, "perspective", "distortion", o.distortion, 0, 0.99, o.site) &&
	       ebb_augment_add(o.a, &PERSPECTIVE, ebb_option(o.p, 0.5), &o, o.site);
}
