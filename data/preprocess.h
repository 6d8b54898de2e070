/*
 * preprocess.h - how an image becomes the input of a trained network (augment/preprocess.c).
 *
 * A trained network expects images that are resized, cropped and normalised as its training images
 * were.  An ebb_preprocess holds the numbers for that; those of published networks are in the
 * catalogue of models (nn/models/models.h).
 */
#ifndef EBB_PREPROCESS_H
#define EBB_PREPROCESS_H

#include "augment.h"
#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An image of bytes v becomes x[c,i,j] = (v[c,i,j]*scale - mean[c])/std[c], in this order:
 *   1. It is converted to .channels channels, 1 or 3 (default 3: red, green, blue).  With .bgr the
 *      order of the result's channels is blue, green, red.
 *   2. Its shorter side is resized to .resize, and the longer side keeps the aspect ratio
 *      (ebb_augment_resize); with .squash both sides are.  0: not resized.
 *   3. Its centre of .crop x .crop pixels is cropped (ebb_augment_centre_crop).  0: not cropped.
 * .scale 0 means 1/255, a 0 in .std means 1.  .mean and .std are in the order of the result's
 * channels. */
typedef struct ebb_preprocess {
	int64_t resize, crop;
	ebb_resize_filter filter;
	bool squash, bgr;
	int channels;
	double scale, mean[3], std[3];
} ebb_preprocess;

/* The inputs for n images: a persistent tensor [n,channels,H,W] of type F32 or F64 (EBB_DEFAULT:
 * F32), row-major, which the caller frees.  NULL with an error in e for an image without pixels, a
 * wide image (16 bits), an image that is smaller than the crop, images whose results differ in
 * size, and numbers out of range. */
EBB_API ebb_tensor *ebb_preprocess_images(
	const ebb_preprocess *p, int64_t n, const ebb_image *x, ebb_dtype dtype, ebb_error *e);
/* What the network sees of an image: y is x after conversion, resizing and cropping, with red as
 * its first channel also with .bgr. */
EBB_API bool ebb_preprocess_pixels(
	const ebb_preprocess *p, const ebb_image *x, ebb_image *y, ebb_error *e);
/* Resizing and the crop as a linear map.  A plane of an image of height x width pixels becomes
 *
 *   rows * plane * columns^T,   rows [H',height], columns [W',width]
 *
 * which is what ebb_preprocess_pixels computes before it rounds to whole numbers in 0..255, once for
 * each axis.  *rows and *columns are persistent tensors of type F32 or F64 (EBB_DEFAULT: F32), which
 * the caller frees.  False, with an error in e and both NULL, for an image that is smaller than the
 * crop, and for numbers out of range. */
EBB_API bool ebb_preprocess_matrices(const ebb_preprocess *p, int64_t height, int64_t width,
	ebb_dtype dtype, ebb_tensor **rows, ebb_tensor **columns, ebb_error *e);
/* For a loader: adds resizing, the crop and, with .bgr, ebb_augment_bgr to the pipeline a, and
 * writes the values for the loader's .mean and .std.  With .no_geometry, only the exchange of
 * colours is added, for a training pipeline that has random crops in place of the centre crop.
 * False with an error in the pipeline. */
typedef struct ebb_preprocess_augment_args {
	const ebb_preprocess *p;
	ebb_augment *a;
	double *mean, *std; /* [3] */
	bool no_geometry;
	const char *site;
} ebb_preprocess_augment_args;
EBB_API bool ebb_preprocess_augment(const ebb_preprocess_augment_args *args);

#define ebb_preprocess_augment(...)                                                                \
	EBB_CALL_ARGS(ebb_preprocess_augment, ebb_preprocess_augment_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
