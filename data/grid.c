/*
 * grid.c - many images as one image.
 */
#include <math.h>
#include <string.h>

#include "data/internal.h"

/* What all cells share. */
typedef struct sheet {
	int64_t n, columns, rows, pad;
	int64_t height, width, channels; /* of a cell */
	double range[2];
} sheet;

static bool measure_tensor(const ebb_image_grid_args *a, sheet *s)
{
	ebb_planes p;

	s->n = ebb_ndim(a->tensor) == 4 ? ebb_size(a->tensor, 0) : 1;
	if (!ebb_tensor_planes(a->tensor, 0, "image_grid", &p, a->error))
		return false;
	s->height = p.height;
	s->width = p.width;
	s->channels = p.channels;
	s->range[0] = a->range[0];
	s->range[1] = a->range[0] == a->range[1] ? 1 : a->range[1];
	if (!a->fit)
		return true;
	s->range[0] = INFINITY;
	s->range[1] = -INFINITY;
	for (int64_t i = 0; i < s->n; i++) {
		if (!ebb_tensor_planes(a->tensor, i, "image_grid", &p, a->error))
			return false;
		ebb_planes_range(&p, s->range);
	}
	if (!(s->range[0] < s->range[1]))
		s->range[1] = s->range[0] + 1;
	return true;
}

static bool measure_images(const ebb_image_grid_args *a, sheet *s)
{
	s->n = a->n;
	for (int64_t i = 0; i < a->n; i++) {
		const ebb_image *x = &a->images[i];

		if (!ebb_image_check(x, "image_grid", a->error))
			return false;
		if (x->wide || x->channels != a->images[0].channels) {
			ebb_error_set(a->error, EBB_INVALID, a->site,
				"image_grid: image %lld has %lld channels of %d bits, expected "
				"%lld "
				"of 8, as the first",
				(long long)i, (long long)x->channels, x->wide ? 16 : 8,
				(long long)a->images[0].channels);
			return false;
		}
		s->height = x->height > s->height ? x->height : s->height;
		s->width = x->width > s->width ? x->width : s->width;
	}
	s->channels = a->images[0].channels;
	return true;
}

static bool check(const ebb_image_grid_args *a)
{
	bool one_kind = a->tensor ? !a->images : a->images && a->n > 0;

	if (a->y && one_kind && a->columns >= 0 && a->pad >= EBB_NO_PAD && isfinite(a->range[0]) &&
		isfinite(a->range[1]) &&
		(a->range[0] < a->range[1] || (a->range[0] == 0 && a->range[1] == 0)))
		return true;
	ebb_error_set(a->error, EBB_INVALID, a->site,
		"image_grid: %lld columns, pad %lld, range %g to %g: expected a result image, "
		"either a tensor or images, no negative number, and a finite, increasing range",
		(long long)a->columns, (long long)a->pad, a->range[0], a->range[1]);
	return false;
}

/* Draws image i into its cell. */
static bool draw(const ebb_image_grid_args *a, const sheet *s, int64_t i)
{
	ebb_image *y = a->y;
	size_t stride = ebb_row_bytes(y);
	int64_t top = s->pad + i / s->columns * (s->height + s->pad),
		left = s->pad + i % s->columns * (s->width + s->pad);
	uint8_t *to = y->pixels + (size_t)top * stride + (size_t)(left * s->channels);

	if (a->tensor) {
		ebb_planes p;

		if (!ebb_tensor_planes(a->tensor, i, "image_grid", &p, a->error))
			return false;
		ebb_planes_draw(&p, s->range, to, stride);
	} else {
		const ebb_image *x = &a->images[i];

		for (int64_t r = 0; r < x->height; r++)
			memcpy(to + (size_t)r * stride, x->pixels + (size_t)r * ebb_row_bytes(x),
				ebb_row_bytes(x));
	}
	return true;
}

bool(ebb_image_grid)(const ebb_image_grid_args *a)
{
	ebb_image *y = a->y;
	sheet s = {0};

	if (!check(a) || !(a->tensor ? measure_tensor(a, &s) : measure_images(a, &s)))
		return false;
	s.columns = a->columns > 0 ? a->columns : 8;
	s.columns = s.columns < s.n ? s.columns : s.n;
	s.rows = (s.n + s.columns - 1) / s.columns;
	s.pad = a->pad == 0 ? 2 : a->pad == EBB_NO_PAD ? 0 : a->pad;
	if (s.pad > INT32_MAX || s.height > INT32_MAX || s.width > INT32_MAX ||
		s.rows > INT32_MAX || s.columns > INT32_MAX) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"image_grid: %lld cells of %lld x %lld pixels, %lld around, are too large",
			(long long)s.n, (long long)s.height, (long long)s.width, (long long)s.pad);
		return false;
	}
	if (!ebb_image_shape(y, s.rows * (s.height + s.pad) + s.pad,
		    s.columns * (s.width + s.pad) + s.pad, s.channels, a->error))
		return false;
	memset(y->pixels, a->background, (size_t)y->height * ebb_row_bytes(y));
	for (int64_t i = s.channels - 1;
		s.channels % 2 == 0 && i < y->height * y->width * s.channels; i += s.channels)
		y->pixels[i] = UINT8_MAX;
	for (int64_t i = 0; i < s.n; i++) {
		if (!draw(a, &s, i))
			return false;
	}
	return true;
}
