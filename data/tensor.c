/*
 * tensor.c - conversion of images to tensors and back.
 */
#include <math.h>

#include "data/internal.h"

static inline double sample_at(const ebb_image *x, int64_t i)
{
	return x->wide ? ((const uint16_t *)(const void *)x->pixels)[i] / 65535.0
	               : x->pixels[i] / 255.0;
}

ebb_tensor *ebb_image_to_tensor(const ebb_image *x, ebb_dtype dtype, ebb_error *e)
{
	ebb_tensor *y;
	int64_t plane;
	void *to;

	if (!ebb_image_check(x, "image_to_tensor", e))
		return NULL;
	if (dtype == EBB_DEFAULT)
		dtype = EBB_F32;
	if (dtype == EBB_I64 || (dtype == EBB_U8 && x->wide)) {
		ebb_error_set(e, EBB_BAD_DTYPE, NULL,
			"image_to_tensor: to %s from %d bits: expected F32, F64, or U8 from 8 bits",
			ebb_dtype_name(dtype), x->wide ? 16 : 8);
		return NULL;
	}
	y = ebb_tensor_new(dtype, EBB_SHAPE(x->channels, x->height, x->width), false, e);
	if (!y)
		return NULL;
	to = ebb_data_mutable(y);
	plane = x->height * x->width;
	for (int64_t c = 0; c < x->channels; c++) {
		for (int64_t i = 0; i < plane; i++) {
			int64_t from = i * x->channels + c, at = c * plane + i;

			if (dtype == EBB_U8)
				((uint8_t *)to)[at] = x->pixels[from];
			else if (dtype == EBB_F32)
				((float *)to)[at] = (float)sample_at(x, from);
			else
				((double *)to)[at] = sample_at(x, from);
		}
	}
	return y;
}

bool ebb_tensor_planes(
	const ebb_tensor *x, int64_t n, const char *what, ebb_planes *p, ebb_error *e)
{
	int ndim = ebb_ndim(x), axis = ndim - 3;
	int64_t count = ndim == 4 ? ebb_size(x, 0) : 1;
	char text[160];

	*p = (ebb_planes){.data = ebb_data(x), .dtype = ebb_dtype_of(x)};
	if (!p->data || (ndim != 3 && ndim != 4) || p->dtype == EBB_I64 || ebb_count(x) == 0 ||
		ebb_size(x, axis) > EBB_MAX_CHANNELS || n < 0 || n >= count) {
		ebb_error_set(e, EBB_BAD_SHAPE, NULL,
			"%s: image %lld of %s: expected real numbers or bytes, [N,C,H,W] or "
			"[C,H,W], of 1 to %d channels",
			what, (long long)n, x ? ebb_describe(x, text, sizeof text) : "NULL",
			EBB_MAX_CHANNELS);
		return false;
	}
	p->channels = ebb_size(x, axis);
	p->height = ebb_size(x, axis + 1);
	p->width = ebb_size(x, axis + 2);
	for (int i = 0; i < 3; i++)
		p->stride[i] = ebb_stride(x, axis + i);
	p->data += (size_t)(ndim == 4 ? n * ebb_stride(x, 0) : 0) * ebb_dtype_size(p->dtype);
	return true;
}

static inline double number_at(const ebb_planes *p, int64_t at)
{
	return p->dtype == EBB_F32   ? (double)((const float *)(const void *)p->data)[at]
	       : p->dtype == EBB_F64 ? ((const double *)(const void *)p->data)[at]
	                             : ((const uint8_t *)p->data)[at];
}

void ebb_planes_range(const ebb_planes *p, double range[2])
{
	for (int64_t c = 0; c < p->channels; c++)
		for (int64_t i = 0; i < p->height; i++)
			for (int64_t k = 0; k < p->width; k++) {
				double v = number_at(
					p, c * p->stride[0] + i * p->stride[1] + k * p->stride[2]);

				if (!isfinite(v))
					continue;
				range[0] = v < range[0] ? v : range[0];
				range[1] = v > range[1] ? v : range[1];
			}
}

void ebb_planes_draw(const ebb_planes *p, const double range[2], uint8_t *to, size_t stride)
{
	double scale = 255 / (range[1] - range[0]);

	for (int64_t i = 0; i < p->height; i++) {
		uint8_t *y = to + (size_t)i * stride;

		for (int64_t k = 0; k < p->width; k++)
			for (int64_t c = 0; c < p->channels; c++) {
				int64_t at = c * p->stride[0] + i * p->stride[1] + k * p->stride[2];
				double v = number_at(p, at);

				if (p->dtype != EBB_U8)
					v = (v - range[0]) * scale + 0.5;
				/* These comparisons map NaN to 0. */
				*y++ = v >= 255 ? 255 : v > 0 ? (uint8_t)v : 0;
			}
	}
}

bool ebb_image_from_tensor(const ebb_tensor *x, int64_t n, ebb_image *y, ebb_error *e)
{
	ebb_planes p;

	if (!ebb_tensor_planes(x, n, "image_from_tensor", &p, e) ||
		!ebb_image_shape(y, p.height, p.width, p.channels, e))
		return false;
	ebb_planes_draw(&p, (double[]){0, 1}, y->pixels, ebb_row_bytes(y));
	return true;
}
