/*
 * warp.c - resampling of an image: bilinear interpolation, and borders.
 */
#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

enum {
	STRIP = 256,   /* points per block */
	UNIT_BITS = 8, /* precision of the weights */
	UNIT = 1 << UNIT_BITS,
	FARTHEST = 1 << 20 /* farther points are clamped to this: they are in the border */
};

int64_t ebb_border_place(int64_t i, int64_t n, ebb_border border)
{
	int64_t period;

	if (i >= 0 && i < n)
		return i;
	if (border == EBB_BORDER_FILL)
		return -1;
	if (border == EBB_BORDER_EDGE || n == 1)
		return i < 0 ? 0 : n - 1;
	period = 2 * (n - 1);
	i %= period;
	if (i < 0)
		i += period;
	return i < n ? i : period - i;
}

static const uint8_t *pixel_at(
	const ebb_image *x, const ebb_outside *o, int64_t row, int64_t column)
{
	row = ebb_border_place(row, x->height, o->border);
	column = ebb_border_place(column, x->width, o->border);
	return row < 0 || column < 0 ? o->fill
	                             : x->pixels + (row * x->width + column) * x->channels;
}

/* Splits a coordinate into the pixel before it, and the weight of the pixel after it. */
static int split(float at, int *weight)
{
	int steps;

	at = at > -FARTHEST ? at < FARTHEST ? at : FARTHEST : -FARTHEST; /* NaN becomes -FARTHEST */
	/* not negative, so that % and / round down */
	steps = (int)lrintf(at * UNIT) + FARTHEST * UNIT;
	*weight = steps % UNIT;
	return steps / UNIT - FARTHEST;
}

static void blend(const uint8_t *const corner[4], int wx, int wy, int64_t channels, uint8_t *out)
{
	const int w[4] = {(UNIT - wy) * (UNIT - wx), (UNIT - wy) * wx, wy * (UNIT - wx), wy * wx};

	for (int64_t c = 0; c < channels; c++)
		out[c] =
			(uint8_t)((w[0] * corner[0][c] + w[1] * corner[1][c] + w[2] * corner[2][c] +
					  w[3] * corner[3][c] + UNIT * UNIT / 2) >>
				  2 * UNIT_BITS);
}

/* Interpolates x at n points (row, column), whose integer coordinates are pixel centres. */
static void sample(const ebb_image *x, const ebb_outside *o, const float *rows,
	const float *columns, int64_t n, uint8_t *out)
{
	int64_t channels = x->channels, pitch = x->width * channels;

	for (int64_t k = 0; k < n; k++, out += channels) {
		int wx, wy, column = split(columns[k], &wx), row = split(rows[k], &wy);
		const uint8_t *corner[4];

		if (row >= 0 && row + 1 < x->height && column >= 0 && column + 1 < x->width) {
			corner[0] = x->pixels + row * pitch + column * channels;
			corner[1] = corner[0] + channels;
			corner[2] = corner[0] + pitch;
			corner[3] = corner[2] + channels;
		} else {
			corner[0] = pixel_at(x, o, row, column);
			corner[1] = pixel_at(x, o, row, column + 1);
			corner[2] = pixel_at(x, o, row + 1, column);
			corner[3] = pixel_at(x, o, row + 1, column + 1);
		}
		blend(corner, wx, wy, channels, out);
	}
}

/* Source points of a row of the result: by a homography, or by displacements. */
typedef struct source {
	const double *m;
	const float *dx, *dy;
} source;

static void place(const source *f, int64_t i, int64_t from, int64_t width, int64_t n, float *rows,
	float *columns)
{
	const double *m = f->m;

	for (int64_t k = 0; k < n && m; k++) {
		double px = (double)(from + k) + 0.5, py = (double)i + 0.5;
		double w = 1 / (m[6] * px + m[7] * py + m[8]);

		columns[k] = (float)((m[0] * px + m[1] * py + m[2]) * w - 0.5);
		rows[k] = (float)((m[3] * px + m[4] * py + m[5]) * w - 0.5);
	}
	for (int64_t k = 0; k < n && !m; k++) {
		columns[k] = (float)(from + k) + f->dx[i * width + from + k];
		rows[k] = (float)i + f->dy[i * width + from + k];
	}
}

static bool resample(ebb_stage *s, const source *f, const ebb_outside *o)
{
	const ebb_image *x = &s->image;
	float rows[STRIP], columns[STRIP];

	if (!ebb_stage_spare(s, x->height, x->width))
		return false;
	for (int64_t i = 0; i < x->height; i++) {
		for (int64_t from = 0; from < x->width; from += STRIP) {
			int64_t n = x->width - from < STRIP ? x->width - from : STRIP;

			place(f, i, from, x->width, n, rows, columns);
			sample(x, o, rows, columns, n,
				s->spare.pixels + (i * x->width + from) * x->channels);
		}
	}
	ebb_stage_swap(s);
	return true;
}

bool ebb_stage_warp(ebb_stage *s, const double m[9], const ebb_outside *o)
{
	return resample(s, &(source){.m = m}, o);
}

bool ebb_stage_displace(ebb_stage *s, const float *dx, const float *dy, const ebb_outside *o)
{
	return resample(s, &(source){.dx = dx, .dy = dy}, o);
}
