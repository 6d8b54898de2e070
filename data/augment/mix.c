/*
 * mix.c - mixup and cutmix: mixing of neighbouring images of a batch and of their targets.
 */
#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

static bool set_mix(ebb_mix *m, const ebb_augment_mix_args *args, const char *name, double alpha)
{
	double p = ebb_option(args->p, 1);

	alpha = args->alpha == 0 ? alpha : args->alpha;
	if (!(alpha > 0 && alpha < 1e6))
		return ebb_augment_fail(args->a, args->site,
			"%s: alpha is %g, expected a positive number", name, alpha);
	if (!ebb_augment_within(args->a, name, "p", p, 0, 1, args->site))
		return false;
	*m = (ebb_mix){alpha, p};
	return args->a->error.status == EBB_OK;
}

bool(ebb_augment_mixup)(const ebb_augment_mix_args *args)
{
	return args->a && set_mix(&args->a->mixup, args, "mixup", 0.2);
}

bool(ebb_augment_cutmix)(const ebb_augment_mix_args *args)
{
	return args->a && set_mix(&args->a->cutmix, args, "cutmix", 1);
}

bool ebb_augment_mixes(const ebb_augment *a)
{
	return a && (a->mixup.p > 0 || a->cutmix.p > 0);
}

/* ---- Blending ------------------------------------------------------------------------------- */

/* x = l x + (1 - l) y */
static void blend(void *x, const void *y, int64_t n, double l, ebb_dtype dtype)
{
	if (dtype == EBB_F64)
		for (int64_t i = 0; i < n; i++)
			((double *)x)[i] = l * ((double *)x)[i] + (1 - l) * ((const double *)y)[i];
	else
		for (int64_t i = 0; i < n; i++)
			((float *)x)[i] =
				(float)l * ((float *)x)[i] + (float)(1 - l) * ((const float *)y)[i];
}

/* Blends row k of count with row k+1, and the last with the first. */
static void blend_rows(void *rows, void *spare, int64_t count, int64_t n, double l, ebb_dtype dtype)
{
	size_t bytes = (size_t)n * ebb_dtype_size(dtype);
	char *at = rows;

	memcpy(spare, at, bytes);
	for (int64_t k = 0; k < count; k++, at += bytes)
		blend(at, k + 1 < count ? at + bytes : spare, n, l, dtype);
}

/* ---- Rectangles ----------------------------------------------------------------------------- */

/* A rectangle around a random pixel, clipped at the border. */
static ebb_rect draw_rect(const ebb_mixed *m, ebb_rng *d, double l)
{
	double side = sqrt(1 - l);
	int64_t h = (int64_t)((double)m->height * side), w = (int64_t)((double)m->width * side);
	int64_t top = ebb_rng_below(d, m->height) - h / 2,
		left = ebb_rng_below(d, m->width) - w / 2;
	int64_t bottom = top + h, right = left + w;

	top = top < 0 ? 0 : top;
	left = left < 0 ? 0 : left;
	bottom = bottom < m->height ? bottom : m->height;
	right = right < m->width ? right : m->width;
	return (ebb_rect){top, left, bottom - top, right - left};
}

static void paste_rows(const ebb_mixed *m, ebb_rect r)
{
	size_t pixel = (size_t)m->channels * ebb_dtype_size(m->dtype);
	size_t bytes = (size_t)(m->height * m->width) * pixel;
	char *at = m->images;

	memcpy(m->spare, at, bytes);
	for (int64_t k = 0; k < m->count; k++, at += bytes) {
		const char *from = k + 1 < m->count ? at + bytes : m->spare;

		for (int64_t i = r.top; i < r.top + r.height; i++) {
			size_t offset = (size_t)(i * m->width + r.left) * pixel;

			memcpy(at + offset, from + offset, (size_t)r.width * pixel);
		}
	}
}

void ebb_augment_mix(
	const ebb_augment *a, const ebb_mixed *m, uint64_t seed, int64_t epoch, int64_t batch)
{
	int64_t size = m->height * m->width * m->channels;
	ebb_rng d;
	double l;

	ebb_rng_start(&d, seed, epoch, batch, EBB_PLACE_OF_MIXING);
	if (a->mixup.p > 0 && ebb_rng_uniform(&d, 0, 1) < a->mixup.p) {
		l = ebb_rng_beta(&d, a->mixup.alpha);
		blend_rows(m->images, m->spare, m->count, size, l, m->dtype);
	} else if (a->cutmix.p > 0 && ebb_rng_uniform(&d, 0, 1) < a->cutmix.p) {
		ebb_rect r = draw_rect(m, &d, ebb_rng_beta(&d, a->cutmix.alpha));

		paste_rows(m, r);
		l = 1 - (double)(r.height * r.width) / (double)(m->height * m->width);
	} else {
		return;
	}
	blend_rows(m->targets, m->spare, m->count, m->classes, l, m->dtype);
}
