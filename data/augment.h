/*
 * augment.h - virtual training examples: random transforms of images that leave the label as it is.
 *
 *   ebb_augment *a = ebb_augment_new(&error);
 *
 *   ebb_augment_crop(a, 32, 32, .pad = 4);
 *   ebb_augment_flip(a);
 *   ebb_augment_jitter(a, .brightness = 0.4, .contrast = 0.4, .saturation = 0.4);
 *   ebb_loader *loader = ebb_loader_new(data, 128, .shuffle = true, .augment = a, .workers = 2);
 *
 * Transforms happen in the order in which they were added.  Normalising is the loader's (.mean,
 * .std).  What befalls an image depends on (seed, epoch, number of the image in its data set, place
 * of the transform) alone: neither on the number of workers nor on the batch.
 *
 * Every function that adds a transform gives true, or false with the error in the pipeline: the
 * first one stays (ebb_augment_error), and loaders refuse a pipeline that has one.  A number left
 * out takes its default; EBB_ZERO says a real zero.  .p is the probability that the transform
 * happens.
 *
 * Images are bytes with 1 to 4 channels (image.h).  Operations on colour leave alpha as it is, and
 * on grey images do what they would to a grey image of three channels.
 */
#ifndef EBB_AUGMENT_H
#define EBB_AUGMENT_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The pipeline (augment/pipeline.c) ------------------------------------------------------ */

typedef struct ebb_augment ebb_augment;

EBB_API ebb_augment *ebb_augment_new(ebb_error *e); /* without transforms; NULL: no memory */
EBB_API void ebb_augment_free(ebb_augment *a);
/* The first error, or NULL. */
EBB_API const ebb_error *ebb_augment_error(const ebb_augment *a);

/* The size of what comes out of images of height x width; 0 stands for a size that is not known.
 * Returns how many images come out of each (10 with ten_crop, else 1). */
EBB_API int64_t ebb_augment_size(const ebb_augment *a, int64_t *height, int64_t *width);

/* y = x transformed as sample number .sample of epoch .epoch; x is only read.  .view: which of the
 * ten of ten_crop.  False with an error if a transform does not fit the image. */
typedef struct ebb_augment_apply_args {
	const ebb_augment *a;
	const ebb_image *x;
	ebb_image *y;
	uint64_t seed;
	int64_t epoch, sample;
	int view;
	ebb_error *error;
	const char *site;
} ebb_augment_apply_args;
EBB_API bool ebb_augment_apply(const ebb_augment_apply_args *args);

/* ---- Where: cropping and resizing (augment/crop.c, augment/flip.c) -------------------------- */

/* What lies outside an image: a colour (.fill, default black), the nearest pixel of the edge, or
 * the image mirrored about the middle of its outermost pixels (abc -> cbabcba). */
typedef enum ebb_border { EBB_BORDER_FILL, EBB_BORDER_EDGE, EBB_BORDER_REFLECT } ebb_border;

/* height x width pixels from a place that is drawn uniformly from all that lie in the image with
 * .pad pixels around it.  An image that is smaller even so is an error. */
typedef struct ebb_augment_crop_args {
	ebb_augment *a;
	int64_t height, width;
	int64_t pad;
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_crop_args;
EBB_API bool ebb_augment_crop(const ebb_augment_crop_args *args);

/* The middle of the image: the top left corner is at round((H - height)/2), round((W - width)/2),
 * halves to even. */
EBB_API bool ebb_augment_centre_crop(
	ebb_augment *a, int64_t height, int64_t width, const char *site);
/* For testing: ten images come out of one, the four corners, the middle, and the same mirrored
 * (Krizhevsky, Sutskever & Hinton 2012), in this order: top left, top right, bottom left, bottom
 * right.  A loader puts them next to each other: its images are [10 B,C,H,W]. */
EBB_API bool ebb_augment_ten_crop(ebb_augment *a, int64_t height, int64_t width, const char *site);

/* All of the image as height x width; with width left out, the shorter side becomes height and the
 * longer one keeps the ratio (torchvision's Resize). */
typedef struct ebb_augment_resize_args {
	ebb_augment *a;
	int64_t height, width;
	ebb_resize_filter filter;
	const char *site;
} ebb_augment_resize_args;
EBB_API bool ebb_augment_resize(const ebb_augment_resize_args *args);

/* A random part of the image, resized (Szegedy et al. 2015): its area is a share of the whole
 * between the two of .area (default 0.08 and 1), uniform; its ratio width/height lies between the
 * two of .ratio (default 3/4 and 4/3), uniform in the logarithm.  After ten draws that do not fit
 * into the image: the largest part in its middle whose ratio is within bounds. */
typedef struct ebb_augment_resized_crop_args {
	ebb_augment *a;
	int64_t height, width;
	double area[2], ratio[2];
	ebb_resize_filter filter;
	const char *site;
} ebb_augment_resized_crop_args;
EBB_API bool ebb_augment_resized_crop(const ebb_augment_resized_crop_args *args);

/* Left and right exchanged, or with .vertical top and bottom.  .p defaults to 1/2. */
typedef struct ebb_augment_flip_args {
	ebb_augment *a;
	bool vertical;
	double p;
	const char *site;
} ebb_augment_flip_args;
EBB_API bool ebb_augment_flip(const ebb_augment_flip_args *args);

/* ---- Shape: what moves pixels (augment/warp.c, augment/geometry.c, augment/elastic.c) ------- */

/* In all of these a pixel of the result is the bilinear mean of the four pixels around the point
 * that it comes from (weights in steps of 1/256); those outside follow .border.  The size stays. */

/* Turns about the middle by an angle from -.degrees to .degrees, counter-clockwise. */
typedef struct ebb_augment_rotate_args {
	ebb_augment *a;
	double degrees;
	double p; /* default 1 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_rotate_args;
EBB_API bool ebb_augment_rotate(const ebb_augment_rotate_args *args);

/* x -> T R S x about the middle, torchvision's RandomAffine but for the direction of angles,
 * which is that of rotate: turned by up to .degrees either way; moved by up to .translate[0] of
 * the width and .translate[1] of the height; scaled by a factor from .scale[0] to .scale[1]
 * (default 1); sheared by up to .shear[0] degrees along x and .shear[1] along y. */
typedef struct ebb_augment_affine_args {
	ebb_augment *a;
	double degrees, translate[2], scale[2], shear[2];
	double p; /* default 1 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_affine_args;
EBB_API bool ebb_augment_affine(const ebb_augment_affine_args *args);

/* The corners move inwards by up to .distortion (default 1/2) of half the height and width, each
 * by itself; the rest follows by a projective map. */
typedef struct ebb_augment_perspective_args {
	ebb_augment *a;
	double distortion;
	double p; /* default 1/2 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_perspective_args;
EBB_API bool ebb_augment_perspective(const ebb_augment_perspective_args *args);

/* Every pixel moves by .alpha pixels (default 34) times a random field in x and another in y:
 * uniform in [-1,1), smoothed by a Gaussian of deviation .sigma pixels (default 4) (Simard,
 * Steinkraus & Platt 2003, whose figures for MNIST the defaults are). */
typedef struct ebb_augment_elastic_args {
	ebb_augment *a;
	double alpha, sigma;
	double p; /* default 1 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_elastic_args;
EBB_API bool ebb_augment_elastic(const ebb_augment_elastic_args *args);

/* ---- Colour (augment/colour.c, augment/hue.c, augment/lighting.c) --------------------------- */

/* L is the grey value of ebb_image_convert, blend(a, x, f) = a + f (x - a), cut off at 0 and 255
 * and after the point.  In a random order:
 *   brightness: blend(0, x, f), contrast: blend(round(mean L), x, f), saturation: blend(L, x, f),
 *     each with f from max(0, 1 - strength) to 1 + strength;
 *   hue: turned by h from -.hue to .hue of the full circle of the HSV colour wheel; at most 1/2.
 * A strength left out leaves its operation out.  Torchvision's ColorJitter of Pillow's images, to
 * the bit but for the hue, which is not rounded to 256 steps on the way. */
typedef struct ebb_augment_jitter_args {
	ebb_augment *a;
	double brightness, contrast, saturation, hue;
	double p; /* default 1 */
	const char *site;
} ebb_augment_jitter_args;
EBB_API bool ebb_augment_jitter(const ebb_augment_jitter_args *args);

/* L in every channel.  .p defaults to 1/10. */
typedef struct ebb_augment_greyscale_args {
	ebb_augment *a;
	double p;
	const char *site;
} ebb_augment_greyscale_args;
EBB_API bool ebb_augment_greyscale(const ebb_augment_greyscale_args *args);

/* AlexNet's (Krizhevsky, Sutskever & Hinton 2012): to every pixel, on the scale from 0 to 1, is
 * added sum_k vector_k * value_k * alpha_k, with alpha_k from a normal distribution of deviation
 * .std (default 0.1).  Vectors and values are those of the covariance of colours: default
 * ImageNet's.  vectors[c][k] is channel c of the k-th.  A grey image gets the mean of the three. */
typedef struct ebb_augment_lighting_args {
	ebb_augment *a;
	double std;
	double values[3], vectors[3][3];
	double p; /* default 1 */
	const char *site;
} ebb_augment_lighting_args;
EBB_API bool ebb_augment_lighting(const ebb_augment_lighting_args *args);

/* ---- Sharpness and noise (augment/blur.c) --------------------------------------------------- */

/* The mean under a Gaussian of a deviation from .sigma[0] to .sigma[1] pixels (default 0.1 and 2)
 * on .kernel x .kernel pixels (odd; default: as many as lie within three of the largest
 * deviations); the border is reflected. */
typedef struct ebb_augment_blur_args {
	ebb_augment *a;
	double sigma[2];
	int kernel;
	double p; /* default 1 */
	const char *site;
} ebb_augment_blur_args;
EBB_API bool ebb_augment_blur(const ebb_augment_blur_args *args);

/* To every value a number of its own from a normal distribution of deviation .std on the scale from
 * 0 to 1 (default 0.05) is added. */
typedef struct ebb_augment_noise_args {
	ebb_augment *a;
	double std;
	double p; /* default 1 */
	const char *site;
} ebb_augment_noise_args;
EBB_API bool ebb_augment_noise(const ebb_augment_noise_args *args);

/* ---- What is taken away (augment/erase.c) --------------------------------------------------- */

/* .holes (default 1) squares of .side pixels in the colour .fill (default black; with the mean of
 * the data set they become 0 when normalised), centred on any pixel: part of a square may lie
 * outside (DeVries & Taylor 2017). */
typedef struct ebb_augment_cutout_args {
	ebb_augment *a;
	int64_t side;
	int holes;
	uint8_t fill[EBB_MAX_CHANNELS];
	double p; /* default 1 */
	const char *site;
} ebb_augment_cutout_args;
EBB_API bool ebb_augment_cutout(const ebb_augment_cutout_args *args);

/* A rectangle inside the image in the colour .fill, or with .noise in random bytes (Zhong et al.
 * 2017): .area (default 0.02 to 0.33) and .ratio (height/width, default 0.3 to 3.3) as for
 * resized_crop; after ten draws that do not fit, none. */
typedef struct ebb_augment_erase_args {
	ebb_augment *a;
	double area[2], ratio[2];
	bool noise;
	uint8_t fill[EBB_MAX_CHANNELS];
	double p; /* default 1/2 */
	const char *site;
} ebb_augment_erase_args;
EBB_API bool ebb_augment_erase(const ebb_augment_erase_args *args);

/* ---- RandAugment (augment/randaugment.c, augment/tone.c) ------------------------------------ */

/* .ops (default 2) operations (Cubuk et al. 2020), each drawn from: nothing, shear and translate
 * along x and y, rotate, brightness, saturation, contrast, sharpness, posterise, solarise,
 * autocontrast, equalise; all at .magnitude (default 9) out of 30, on torchvision's scales,
 * in a random direction where there are two. */
typedef struct ebb_augment_randaugment_args {
	ebb_augment *a;
	int ops;
	double magnitude;
	uint8_t fill[EBB_MAX_CHANNELS];
	double p; /* default 1 */
	const char *site;
} ebb_augment_randaugment_args;
EBB_API bool ebb_augment_randaugment(const ebb_augment_randaugment_args *args);

/* ---- Batches (augment/mix.c) ---------------------------------------------------------------- */

/* These mix image k of a batch with image k+1, the last with the first, after everything else and
 * after normalising.  A loader's batch then has soft .targets.  l is drawn once per batch from
 * Beta(alpha, alpha).  A batch that mixup passed over (.p, default 1) may get cutmix. */

/* x_k = l x_k + (1 - l) x_k+1, and the targets likewise (Zhang et al. 2018).  .alpha defaults to
 * 0.2. */
typedef struct ebb_augment_mix_args {
	ebb_augment *a;
	double alpha;
	double p;
	const char *site;
} ebb_augment_mix_args;
EBB_API bool ebb_augment_mixup(const ebb_augment_mix_args *args);
/* A rectangle of sqrt(1 - l) of the height and width around any pixel, cut off at the border, comes
 * from x_k+1; the targets are mixed by the areas (Yun et al. 2019).  .alpha defaults to 1. */
EBB_API bool ebb_augment_cutmix(const ebb_augment_mix_args *args);

/* ---- The macros that add the call site ------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_augment_apply(...)                                                                     \
	ebb_augment_apply(&(ebb_augment_apply_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_crop(...)                                                                      \
	ebb_augment_crop(&(ebb_augment_crop_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_centre_crop(...) ebb_augment_centre_crop(__VA_ARGS__, EBB_SITE)
#define ebb_augment_ten_crop(...) ebb_augment_ten_crop(__VA_ARGS__, EBB_SITE)
#define ebb_augment_resize(...)                                                                    \
	ebb_augment_resize(&(ebb_augment_resize_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_resized_crop(...)                                                              \
	ebb_augment_resized_crop(&(ebb_augment_resized_crop_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_flip(...)                                                                      \
	ebb_augment_flip(&(ebb_augment_flip_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_rotate(...)                                                                    \
	ebb_augment_rotate(&(ebb_augment_rotate_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_affine(...)                                                                    \
	ebb_augment_affine(&(ebb_augment_affine_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_perspective(...)                                                               \
	ebb_augment_perspective(&(ebb_augment_perspective_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_elastic(...)                                                                   \
	ebb_augment_elastic(&(ebb_augment_elastic_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_jitter(...)                                                                    \
	ebb_augment_jitter(&(ebb_augment_jitter_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_greyscale(...)                                                                 \
	ebb_augment_greyscale(&(ebb_augment_greyscale_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_lighting(...)                                                                  \
	ebb_augment_lighting(&(ebb_augment_lighting_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_blur(...)                                                                      \
	ebb_augment_blur(&(ebb_augment_blur_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_noise(...)                                                                     \
	ebb_augment_noise(&(ebb_augment_noise_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_cutout(...)                                                                    \
	ebb_augment_cutout(&(ebb_augment_cutout_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_erase(...)                                                                     \
	ebb_augment_erase(&(ebb_augment_erase_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_randaugment(...)                                                               \
	ebb_augment_randaugment(&(ebb_augment_randaugment_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_mixup(...)                                                                     \
	ebb_augment_mixup(&(ebb_augment_mix_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_augment_cutmix(...)                                                                    \
	ebb_augment_cutmix(&(ebb_augment_mix_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
