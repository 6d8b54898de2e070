/*
 * blur.c - Gaussian blur and Gaussian noise.
 */
#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

enum { MAX_RADIUS = 127 };

/* ---- Smoothing ------------------------------------------------------------------------------ */

void ebb_gaussian(float *weight, int radius, double sigma)
{
	double sum = 0;

	for (int k = -radius; k <= radius; k++)
		sum += exp(-k * k / (2 * sigma * sigma));
	for (int k = -radius; k <= radius; k++)
		weight[radius + k] = (float)(exp(-k * k / (2 * sigma * sigma)) / sum);
}

/* y += by * x */
static void add_scaled(float *y, const float *x, float by, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += by * x[i];
}

void ebb_smooth(float *x, float *scratch, int64_t height, int64_t width, int64_t channels,
	const float *weight, int radius)
{
	int64_t pitch = width * channels;

	memset(scratch, 0, (size_t)(height * pitch) * sizeof *scratch);
	for (int64_t i = 0; i < height; i++)
		for (int k = -radius; k <= radius; k++)
			add_scaled(scratch + i * pitch,
				x + ebb_border_place(i + k, height, EBB_BORDER_REFLECT) * pitch,
				weight[radius + k], pitch);
	memset(x, 0, (size_t)(height * pitch) * sizeof *x);
	for (int64_t i = 0; i < height; i++) {
		float *to = x + i * pitch;
		const float *from = scratch + i * pitch;

		for (int k = -radius; k <= radius; k++) {
			int64_t first = k < 0 ? -k : 0, last = k > 0 ? width - k : width;

			/* Whole rows at once where the window does not reach the border, single
			 * values where it does. */
			if (last > first)
				add_scaled(to + first * channels, from + (first + k) * channels,
					weight[radius + k], (last - first) * channels);
			for (int64_t j = 0; j < width; j++) {
				if (j == first && last > first) {
					j = last - 1;
					continue;
				}
				add_scaled(to + j * channels,
					from + ebb_border_place(j + k, width, EBB_BORDER_REFLECT) *
							channels,
					weight[radius + k], channels);
			}
		}
	}
}

/* ---- Blur ----------------------------------------------------------------------------------- */

static void round_to_bytes(const float *x, int64_t n, uint8_t *bytes)
{
	for (int64_t i = 0; i < n; i++)
		bytes[i] = ebb_byte_of(x[i] + 0.5f);
}

static bool blur(const void *options, ebb_stage *s)
{
	const ebb_augment_blur_args *o = options;
	ebb_image *x = &s->image;
	int64_t n = x->height * x->width * x->channels;
	float weight[2 * MAX_RADIUS + 1], *values = ebb_stage_scratch(s, 2 * n);

	if (!values)
		return false;
	ebb_gaussian(weight, o->kernel / 2, ebb_rng_uniform(&s->rng, o->sigma[0], o->sigma[1]));
	for (int64_t i = 0; i < n; i++)
		values[i] = x->pixels[i];
	ebb_smooth(values, values + n, x->height, x->width, x->channels, weight, o->kernel / 2);
	round_to_bytes(values, n, x->pixels);
	return true;
}

static const ebb_transform_kind BLUR = {"blur", sizeof(ebb_augment_blur_args), blur, NULL};

bool(ebb_augment_blur)(const ebb_augment_blur_args *args)
{
	ebb_augment_blur_args o = *args;

	if (o.sigma[0] == 0 && o.sigma[1] == 0) {
		o.sigma[0] = 0.1;
		o.sigma[1] = 2;
	}
	if (!(o.sigma[0] > 0 && o.sigma[0] <= o.sigma[1] && o.sigma[1] <= MAX_RADIUS / 3))
		return ebb_augment_fail(o.a, o.site,
			"blur: sigma from %g to %g, expected a range within 0 to %d", o.sigma[0],
			o.sigma[1], MAX_RADIUS / 3);
	if (o.kernel == 0)
		o.kernel = 2 * (int)ceil(3 * o.sigma[1]) + 1;
	if (o.kernel < 1 || o.kernel % 2 == 0 || o.kernel > 2 * MAX_RADIUS + 1)
		return ebb_augment_fail(o.a, o.site,
			"blur: a kernel of %d, expected an odd number up to %d", o.kernel,
			2 * MAX_RADIUS + 1);
	return ebb_augment_add(o.a, &BLUR, ebb_option(o.p, 1), &o, o.site);
}

/* ---- Noise ---------------------------------------------------------------------------------- */

static bool noise(const void *options, ebb_stage *s)
{
	const ebb_augment_noise_args *o = options;
	uint8_t *x = s->image.pixels;
	int64_t channels = s->image.channels, opaque = ebb_opaque_channels(&s->image);
	int64_t n = s->image.height * s->image.width * channels;
	float *values = ebb_stage_scratch(s, n);

	if (!values)
		return false;
	ebb_rng_normals(&s->rng, n, 255 * o->std, values);
	for (int64_t i = 0; i < n; i += channels)
		for (int64_t c = 0; c < opaque; c++)
			x[i + c] = ebb_byte_of((float)x[i + c] + values[i + c] + 0.5f);
	return true;
}

static const ebb_transform_kind NOISE = {"noise", sizeof(ebb_augment_noise_args), noise, NULL};

bool(ebb_augment_noise)(const ebb_augment_noise_args *args)
{
	ebb_augment_noise_args o = *args;

	o.std = ebb_option(o.std, 0.05);
	return ebb_augment_within(o.a, "noise", "std", o.std, 0, 10, o.site) &&
	       ebb_augment_add(o.a, &NOISE, ebb_option(o.p, 1), &o, o.site);
}
