/*
 * preprocess.c - resizing, cropping and normalising an image as the training images of a network.
 */
#include <math.h>

#include "data/augment/internal.h"
#include "data/internal.h"
#include "data/preprocess.h"

/* ---- The exchange of colours ----------------------------------------------------------------- */

static bool exchange(const void *options, ebb_stage *s)
{
	ebb_image *x = &s->image;
	int64_t n = x->channels >= 3 ? x->height * x->width : 0;

	(void)options;
	for (int64_t i = 0; i < n; i++) {
		uint8_t *pixel = x->pixels + i * x->channels, red = pixel[0];

		pixel[0] = pixel[2];
		pixel[2] = red;
	}
	return true;
}

typedef struct no_options {
	ebb_augment *a;
} no_options;

static const ebb_transform_kind BGR = {"bgr", sizeof(no_options), exchange, NULL};

bool(ebb_augment_bgr)(ebb_augment *a, const char *site)
{
	return ebb_augment_add(a, &BGR, 1, &(no_options){a}, site);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static int channels_of(const ebb_preprocess *p)
{
	return p->channels ? p->channels : 3;
}

static double scale_of(const ebb_preprocess *p)
{
	return p->scale != 0 ? p->scale : 1.0 / 255;
}

static double std_of(const ebb_preprocess *p, int c)
{
	return p->std[c] != 0 ? p->std[c] : 1;
}

static bool check(const ebb_preprocess *p, ebb_error *e)
{
	int channels = p ? channels_of(p) : 0;
	bool numbers = p && isfinite(p->scale) && p->scale >= 0;

	if (!p || (channels != 1 && channels != 3) || p->resize < 0 || p->crop < 0 ||
		(p->resize && p->crop > p->resize)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"preprocess: %d channels, resized to %lld, crop of %lld: expected 1 or 3 "
			"channels, and a crop inside of the resized image",
			channels, p ? (long long)p->resize : 0, p ? (long long)p->crop : 0);
		return false;
	}
	for (int c = 0; c < 3; c++)
		numbers = numbers && isfinite(p->mean[c]) && isfinite(p->std[c]) && p->std[c] >= 0;
	if (!numbers)
		ebb_error_set(e, EBB_INVALID, NULL,
			"preprocess: a scale, mean or std is not finite, or a scale or std is "
			"negative");
	return numbers;
}

/* Adds resizing and the crop to a pipeline. */
static bool add_geometry(const ebb_preprocess *p, ebb_augment *a, const char *site)
{
	ebb_augment_resize_args size = {.a = a,
		.height = p->resize,
		.width = p->squash ? p->resize : 0,
		.filter = p->filter,
		.site = site};

	return (!p->resize || (ebb_augment_resize)(&size)) &&
	       (!p->crop || (ebb_augment_centre_crop)(a, p->crop, p->crop, site));
}

/* ---- Images ---------------------------------------------------------------------------------- */

static bool pixels(const ebb_preprocess *p, const ebb_augment *a, const ebb_image *x,
	ebb_image *converted, ebb_image *y, ebb_error *e)
{
	if (x && x->wide) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"preprocess: an image of 16 bits, expected one of bytes");
		return false;
	}
	return ebb_image_convert(x, channels_of(p), converted, e) &&
	       ebb_augment_apply(a, converted, y, .error = e);
}

static ebb_augment *geometry(const ebb_preprocess *p, ebb_error *e)
{
	ebb_augment *a = check(p, e) ? ebb_augment_new(e) : NULL;

	if (a && !add_geometry(p, a, NULL)) {
		const ebb_error *why = ebb_augment_error(a);

		ebb_error_set(e, why->status, NULL, "%s", why->message);
		ebb_augment_free(a);
		return NULL;
	}
	return a;
}

bool ebb_preprocess_pixels(const ebb_preprocess *p, const ebb_image *x, ebb_image *y, ebb_error *e)
{
	ebb_augment *a = geometry(p, e);
	ebb_image converted = {0};
	bool ok = a && pixels(p, a, x, &converted, y, e);

	ebb_image_free(&converted);
	ebb_augment_free(a);
	return ok;
}

/* Writes the input for an image into image number n of y. */
static void normalise(const ebb_preprocess *p, const ebb_image *x, int64_t n, ebb_tensor *y)
{
	int64_t plane = x->height * x->width, at = n * x->channels * plane;
	double scale = scale_of(p);
	void *to = ebb_data_mutable(y);

	for (int64_t c = 0; c < x->channels; c++) {
		int64_t from = p->bgr && x->channels == 3 ? 2 - c : c;
		double mean = p->mean[c], std = std_of(p, (int)c);

		for (int64_t i = 0; i < plane; i++, at++) {
			double v = (x->pixels[i * x->channels + from] * scale - mean) / std;

			if (ebb_dtype_of(y) == EBB_F32)
				((float *)to)[at] = (float)v;
			else
				((double *)to)[at] = v;
		}
	}
}

static bool same_size(const ebb_image *x, const ebb_tensor *y, int64_t n, ebb_error *e)
{
	if (ebb_size(y, 2) == x->height && ebb_size(y, 3) == x->width)
		return true;
	ebb_error_set(e, EBB_BAD_SHAPE, NULL,
		"preprocess: image %lld becomes %lldx%lld pixels and the first one %lldx%lld; a "
		"crop makes them equal",
		(long long)n, (long long)x->height, (long long)x->width, (long long)ebb_size(y, 2),
		(long long)ebb_size(y, 3));
	return false;
}

ebb_tensor *ebb_preprocess_images(
	const ebb_preprocess *p, int64_t n, const ebb_image *x, ebb_dtype dtype, ebb_error *e)
{
	ebb_image converted = {0}, part = {0};
	ebb_tensor *y = NULL;
	ebb_augment *a;
	bool ok = true;

	if (dtype == EBB_DEFAULT)
		dtype = EBB_F32;
	if (n < 1 || !x || (dtype != EBB_F32 && dtype != EBB_F64)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"preprocess: %lld images as %s: expected at least one, as F32 or F64",
			x ? (long long)n : 0LL, ebb_dtype_name(dtype));
		return NULL;
	}
	a = geometry(p, e);
	for (int64_t i = 0; a && ok && i < n; i++) {
		ok = pixels(p, a, &x[i], &converted, &part, e);
		if (ok && !y) {
			ebb_shape shape = EBB_SHAPE(n, part.channels, part.height, part.width);

			y = ebb_tensor_new(dtype, shape, false, e);
			ok = y != NULL;
		}
		ok = ok && same_size(&part, y, i, e);
		if (ok)
			normalise(p, &part, i, y);
	}
	if (!ok) {
		ebb_tensor_free(y);
		y = NULL;
	}
	ebb_image_free(&converted);
	ebb_image_free(&part);
	ebb_augment_free(a);
	return y;
}

/* ---- Matrices -------------------------------------------------------------------------------- */

/* The matrix that resizes an axis from in to out elements and crops the middle of cropped. */
static ebb_tensor *axis_matrix(int64_t in, int64_t out, int64_t cropped, ebb_resize_filter filter,
	ebb_dtype dtype, ebb_error *e)
{
	ebb_tensor *y = ebb_tensor_new(dtype, EBB_SHAPE(cropped, in), false, e);
	size_t bytes = (size_t)(cropped * in) * sizeof(double);
	double *matrix = y ? ebb_alloc(bytes) : NULL;
	bool ok = matrix &&
	          ebb_resize_matrix(in, out, filter, ebb_half(out - cropped), cropped, matrix);

	if (ok && dtype == EBB_F64)
		ok = ebb_copy_in(y, matrix, bytes);
	for (int64_t i = 0; ok && dtype == EBB_F32 && i < cropped * in; i++)
		((float *)ebb_data_mutable(y))[i] = (float)matrix[i];
	ebb_free(matrix, bytes);
	if (!ok) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL,
			"preprocess: no memory for a matrix of %lldx%lld", (long long)cropped,
			(long long)in);
		ebb_tensor_free(y);
		return NULL;
	}
	return y;
}

bool ebb_preprocess_matrices(const ebb_preprocess *p, int64_t height, int64_t width,
	ebb_dtype dtype, ebb_tensor **rows, ebb_tensor **columns, ebb_error *e)
{
	int64_t tall = height, wide = width;
	ebb_augment *a;

	*rows = *columns = NULL;
	if (dtype == EBB_DEFAULT)
		dtype = EBB_F32;
	if (height < 1 || width < 1 || height > INT32_MAX || width > INT32_MAX ||
		(dtype != EBB_F32 && dtype != EBB_F64) ||
		(p && (unsigned)p->filter > EBB_RESIZE_NEAREST)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"preprocess: matrices of %s for %lldx%lld pixels by filter %d: expected "
			"F32 or F64, at least 1x1, and a filter of ebb_resize_filter",
			ebb_dtype_name(dtype), (long long)height, (long long)width,
			p ? (int)p->filter : 0);
		return false;
	}
	a = geometry(p, e);
	if (!a)
		return false;
	if (p->resize)
		a->first->kind->resize(a->first->options, &tall, &wide);
	ebb_augment_free(a);
	if (tall < 1 || wide < 1 || p->crop > tall || p->crop > wide) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"preprocess: %lldx%lld pixels become %lldx%lld, expected at least %lld "
			"each",
			(long long)height, (long long)width, (long long)tall, (long long)wide,
			p->crop ? (long long)p->crop : 1LL);
		return false;
	}
	*rows = axis_matrix(height, tall, p->crop ? p->crop : tall, p->filter, dtype, e);
	*columns = *rows ? axis_matrix(width, wide, p->crop ? p->crop : wide, p->filter, dtype, e)
	                 : NULL;
	if (!*columns) {
		ebb_tensor_free(*rows);
		*rows = NULL;
	}
	return *columns != NULL;
}

/* ---- Loaders --------------------------------------------------------------------------------- */

bool(ebb_preprocess_augment)(const ebb_preprocess_augment_args *args)
{
	const ebb_preprocess *p = args->p;
	ebb_error e = {0};

	if (!check(p, &e) || !args->mean || !args->std)
		return ebb_augment_fail(args->a, args->site, "%s",
			e.status ? e.message : "preprocess_augment: mean or std is NULL");
	if (!args->no_geometry && !add_geometry(p, args->a, args->site))
		return false;
	if (p->bgr && !(ebb_augment_bgr)(args->a, args->site))
		return false;
	/* A loader computes (v/255 - mean)/std. */
	for (int c = 0; c < 3; c++) {
		double scale = 255 * scale_of(p);

		args->mean[c] = p->mean[c] / scale;
		args->std[c] = std_of(p, c) / scale;
	}
	return !ebb_augment_error(args->a);
}
