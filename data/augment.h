/*
 * augment.h - data augmentation: random transforms of images that do not change the label.
 *
 *   ebb_augment *a = ebb_augment_new(&error);
 *
 *   ebb_augment_crop(a, 32, 32, .pad = 4);
 *   ebb_augment_flip(a);
 *   ebb_augment_jitter(a, .brightness = 0.4, .contrast = 0.4, .saturation = 0.4);
 *   ebb_loader *loader = ebb_loader_new(data, 128, .shuffle = true, .augment = a, .workers = 2);
 *
 * Transforms run in the order in which they were added.  Normalisation is not a transform: the
 * loader does it (.mean, .std).  The random numbers of a transform depend on (seed, epoch, index of
 * the image in its data set, position of the transform in the pipeline) alone.  So the number of
 * workers and the batch size do not change the result.
 *
 * A function that adds a transform returns true, or false on an error.  The pipeline keeps its
 * first error (ebb_augment_error), and a loader refuses a pipeline that has one.  An option that is
 * left out takes its default; EBB_ZERO stands for the number 0.  .p is the probability that the
 * transform is applied to an image.
 *
 * Images are bytes with 1 to 4 channels (image.h).  Colour transforms leave alpha unchanged.  The
 * result for a grey image is that for a colour image with three equal channels.
 */
#ifndef EBB_AUGMENT_H
#define EBB_AUGMENT_H

#include "image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The pipeline (augment/pipeline.c) ------------------------------------------------------ */

typedef struct ebb_augment ebb_augment;

EBB_API ebb_augment *ebb_augment_new(ebb_error *e); /* an empty pipeline; NULL: out of memory */
EBB_API void ebb_augment_free(ebb_augment *a);
/* The first error, or NULL. */
EBB_API const ebb_error *ebb_augment_error(const ebb_augment *a);

/* Replaces *height and *width by the size of the result for images of that size; 0 stands for an
 * unknown size.  Returns the number of results per image: 10 with ebb_augment_ten_crop, else 1. */
EBB_API int64_t ebb_augment_size(const ebb_augment *a, int64_t *height, int64_t *width);

/* y = x transformed, with the random numbers of (.seed, .epoch, .sample); x is only read.  .view
 * selects one of the ten results of ebb_augment_ten_crop.  False with an error if a transform
 * cannot be applied to the image, such as a crop that is larger than the image. */
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

/* ---- Cropping, resizing, flipping (augment/crop.c, augment/flip.c) -------------------------- */

/* The values of pixels outside of an image: a colour (.fill, default black), the nearest pixel of
 * the edge, or the image mirrored at the centres of its outermost pixels (abc -> cbabcba). */
typedef enum ebb_border { EBB_BORDER_FILL, EBB_BORDER_EDGE, EBB_BORDER_REFLECT } ebb_border;

/* Crops height x width pixels at a position drawn uniformly from all that lie inside the image
 * after .pad pixels were added on each side.  An error if the padded image is smaller than the
 * crop. */
typedef struct ebb_augment_crop_args {
	ebb_augment *a;
	int64_t height, width;
	int64_t pad;
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_crop_args;
EBB_API bool ebb_augment_crop(const ebb_augment_crop_args *args);

/* Crops the centre of the image: the top left corner is at round((H - height)/2), round((W -
 * width)/2), halves to even. */
EBB_API bool ebb_augment_centre_crop(
	ebb_augment *a, int64_t height, int64_t width, const char *site);
/* For testing: each image gives ten results, the crops at the four corners and the centre, and
 * their mirror images (Krizhevsky, Sutskever & Hinton 2012).  Order: top left, top right, bottom
 * left, bottom right, centre, then the same five mirrored.  A loader puts the ten next to each
 * other: its images are [10 B,C,H,W]. */
EBB_API bool ebb_augment_ten_crop(ebb_augment *a, int64_t height, int64_t width, const char *site);

/* Resizes the whole image to height x width.  With width left out, the shorter side becomes height
 * and the longer side keeps the aspect ratio (torchvision's Resize). */
typedef struct ebb_augment_resize_args {
	ebb_augment *a;
	int64_t height, width;
	ebb_resize_filter filter;
	const char *site;
} ebb_augment_resize_args;
EBB_API bool ebb_augment_resize(const ebb_augment_resize_args *args);

/* Crops a random rectangle and resizes it to height x width (Szegedy et al. 2015).  The rectangle's
 * share of the image's area is uniform between .area[0] and .area[1] (default 0.08 and 1).  Its
 * ratio width/height is between .ratio[0] and .ratio[1] (default 3/4 and 4/3), uniform in the
 * logarithm.  If ten rectangles in a row do not fit inside the image, the largest centred rectangle
 * with a ratio within the bounds is taken. */
typedef struct ebb_augment_resized_crop_args {
	ebb_augment *a;
	int64_t height, width;
	double area[2], ratio[2];
	ebb_resize_filter filter;
	const char *site;
} ebb_augment_resized_crop_args;
EBB_API bool ebb_augment_resized_crop(const ebb_augment_resized_crop_args *args);

/* Mirrors left and right, or with .vertical top and bottom.  .p defaults to 1/2. */
typedef struct ebb_augment_flip_args {
	ebb_augment *a;
	bool vertical;
	double p;
	const char *site;
} ebb_augment_flip_args;
EBB_API bool ebb_augment_flip(const ebb_augment_flip_args *args);

/* ---- Geometric transforms (augment/warp.c, augment/geometry.c, augment/elastic.c) ----------- */

/* Each of these transforms maps every pixel of the result to a point of the source image.  The
 * pixel's value is the bilinear interpolation of the four source pixels around this point, with
 * weights in steps of 1/256.  Source pixels outside of the image follow .border.  The size does not
 * change. */

/* Rotates about the centre by an angle between -.degrees and .degrees, counter-clockwise. */
typedef struct ebb_augment_rotate_args {
	ebb_augment *a;
	double degrees;
	double p; /* default 1 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_rotate_args;
EBB_API bool ebb_augment_rotate(const ebb_augment_rotate_args *args);

/* A random affine map about the centre, x -> T R S x, as torchvision's RandomAffine but with
 * positive angles counter-clockwise.  R: rotation by an angle between -.degrees and .degrees.  T:
 * translation by up to .translate[0] of the width and .translate[1] of the height.  S: scaling by a
 * factor between .scale[0] and .scale[1] (default 1), and shearing by up to .shear[0] degrees along
 * x and .shear[1] along y. */
typedef struct ebb_augment_affine_args {
	ebb_augment *a;
	double degrees, translate[2], scale[2], shear[2];
	double p; /* default 1 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_affine_args;
EBB_API bool ebb_augment_affine(const ebb_augment_affine_args *args);

/* A random projective map: each corner moves inwards, independently, by up to .distortion (default
 * 1/2) of half the height and width. */
typedef struct ebb_augment_perspective_args {
	ebb_augment *a;
	double distortion;
	double p; /* default 1/2 */
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
	const char *site;
} ebb_augment_perspective_args;
EBB_API bool ebb_augment_perspective(const ebb_augment_perspective_args *args);

/* Elastic distortion: every pixel moves by .alpha pixels (default 34) times a random field in x and
 * another in y.  A field is uniform in [-1,1), smoothed by a Gaussian with a standard deviation of
 * .sigma pixels (default 4).  The defaults are those for MNIST in Simard, Steinkraus & Platt
 * 2003. */
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

/* Let L be the grey value of ebb_image_convert, and blend(a, x, f) = a + f (x - a), clamped to
 * 0..255 and truncated to an integer.  In a random order:
 *   brightness: blend(0, x, f), contrast: blend(round(mean L), x, f), saturation: blend(L, x, f),
 *   each with f from max(0, 1 - strength) to 1 + strength;
 *   hue: rotated by h from -.hue to .hue (at most 1/2) of the full circle of the HSV colour wheel.
 * An operation whose strength (.brightness, .contrast, .saturation or .hue) is left out is not
 * applied.  Equal to torchvision's ColorJitter on Pillow images bit for bit, except for the hue,
 * which torchvision rounds to 256 steps. */
typedef struct ebb_augment_jitter_args {
	ebb_augment *a;
	double brightness, contrast, saturation, hue;
	double p; /* default 1 */
	const char *site;
} ebb_augment_jitter_args;
EBB_API bool ebb_augment_jitter(const ebb_augment_jitter_args *args);

/* Replaces every colour channel by L, the grey value of ebb_image_convert.  .p defaults to 1/10. */
typedef struct ebb_augment_greyscale_args {
	ebb_augment *a;
	double p;
	const char *site;
} ebb_augment_greyscale_args;
EBB_API bool ebb_augment_greyscale(const ebb_augment_greyscale_args *args);

/* Exchanges red and blue, for networks that were trained on images in the order blue, green, red.
 * A grey image stays as it is. */
EBB_API bool ebb_augment_bgr(ebb_augment *a, const char *site);

/* AlexNet's colour augmentation (Krizhevsky, Sutskever & Hinton 2012): adds sum_k vector_k *
 * value_k * alpha_k to every pixel, on the scale from 0 to 1, with alpha_k from a normal
 * distribution with standard deviation .std (default 0.1).  .vectors and .values are the
 * eigenvectors and eigenvalues of the covariance of colours; default: ImageNet's.  vectors[c][k] is
 * channel c of eigenvector k.  A grey image gets the mean of the three channels' sums. */
typedef struct ebb_augment_lighting_args {
	ebb_augment *a;
	double std;
	double values[3], vectors[3][3];
	double p; /* default 1 */
	const char *site;
} ebb_augment_lighting_args;
EBB_API bool ebb_augment_lighting(const ebb_augment_lighting_args *args);

/* ---- Sharpness and noise (augment/blur.c) --------------------------------------------------- */

/* Gaussian blur with a standard deviation drawn from .sigma[0] to .sigma[1] pixels (default 0.1 and
 * 2), on a window of .kernel x .kernel pixels (odd; default: a window that reaches three times
 * .sigma[1] to each side).  The border is reflected. */
typedef struct ebb_augment_blur_args {
	ebb_augment *a;
	double sigma[2];
	int kernel;
	double p; /* default 1 */
	const char *site;
} ebb_augment_blur_args;
EBB_API bool ebb_augment_blur(const ebb_augment_blur_args *args);

/* Adds to every value an independent number from a normal distribution with standard deviation .std
 * (default 0.05), on the scale from 0 to 1. */
typedef struct ebb_augment_noise_args {
	ebb_augment *a;
	double std;
	double p; /* default 1 */
	const char *site;
} ebb_augment_noise_args;
EBB_API bool ebb_augment_noise(const ebb_augment_noise_args *args);

/* ---- Erasing (augment/erase.c) -------------------------------------------------------------- */

/* Fills .holes (default 1) squares of .side pixels with the colour .fill (default black).  If .fill
 * is the mean colour of the data set, these pixels are 0 after normalisation.  The centre of a
 * square is a random pixel of the image, so part of the square may lie outside of the image
 * (DeVries & Taylor 2017). */
typedef struct ebb_augment_cutout_args {
	ebb_augment *a;
	int64_t side;
	int holes;
	uint8_t fill[EBB_MAX_CHANNELS];
	double p; /* default 1 */
	const char *site;
} ebb_augment_cutout_args;
EBB_API bool ebb_augment_cutout(const ebb_augment_cutout_args *args);

/* Fills a rectangle inside the image with the colour .fill, or with random bytes if .noise (Zhong
 * et al. 2017).  .area (default 0.02 to 0.33) and .ratio (height/width, default 0.3 to 3.3) are
 * drawn as by ebb_augment_resized_crop; if ten rectangles in a row do not fit inside the image,
 * nothing is erased. */
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

/* Applies .ops (default 2) random operations (Cubuk et al. 2020), each drawn from: identity, shear
 * and translate along x and y, rotate, brightness, saturation, contrast, sharpness, posterise,
 * solarise, autocontrast, equalise.  All have the strength .magnitude (default 9) out of 30, on
 * torchvision's scales, and a random sign where the operation has two directions. */
typedef struct ebb_augment_randaugment_args {
	ebb_augment *a;
	int ops;
	double magnitude;
	uint8_t fill[EBB_MAX_CHANNELS];
	double p; /* default 1 */
	const char *site;
} ebb_augment_randaugment_args;
EBB_API bool ebb_augment_randaugment(const ebb_augment_randaugment_args *args);

/* ---- Mixing of a batch (augment/mix.c) ------------------------------------------------------ */

/* ebb_augment_mixup and ebb_augment_cutmix mix image k of a batch with image k+1, and the last
 * image with the first, after all other transforms and after normalisation.  The loader's batch
 * then has soft .targets.  The weight l is drawn once per batch from Beta(alpha, alpha).  .p
 * (default 1) is the probability that a batch is mixed.  With both transforms in a pipeline, cutmix
 * is drawn for the batches to which mixup was not applied. */

/* x_k = l x_k + (1 - l) x_k+1, and the targets likewise (Zhang et al. 2018).  .alpha defaults to
 * 0.2. */
typedef struct ebb_augment_mix_args {
	ebb_augment *a;
	double alpha;
	double p;
	const char *site;
} ebb_augment_mix_args;
EBB_API bool ebb_augment_mixup(const ebb_augment_mix_args *args);
/* Replaces a rectangle of image k by the same rectangle of image k+1.  The rectangle has sqrt(1 -
 * l) times the height and width of the image; its centre is a random pixel, and it is clipped at
 * the border.  The targets are mixed in proportion to the areas (Yun et al. 2019).  .alpha defaults
 * to 1. */
EBB_API bool ebb_augment_cutmix(const ebb_augment_mix_args *args);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_augment_apply(...) EBB_CALL_ARGS(ebb_augment_apply, ebb_augment_apply_args, __VA_ARGS__)
#define ebb_augment_crop(...) EBB_CALL_ARGS(ebb_augment_crop, ebb_augment_crop_args, __VA_ARGS__)
#define ebb_augment_centre_crop(...) EBB_CALL(ebb_augment_centre_crop, __VA_ARGS__)
#define ebb_augment_ten_crop(...) EBB_CALL(ebb_augment_ten_crop, __VA_ARGS__)
#define ebb_augment_resize(...)                                                                    \
	EBB_CALL_ARGS(ebb_augment_resize, ebb_augment_resize_args, __VA_ARGS__)
#define ebb_augment_resized_crop(...)                                                              \
	EBB_CALL_ARGS(ebb_augment_resized_crop, ebb_augment_resized_crop_args, __VA_ARGS__)
#define ebb_augment_flip(...) EBB_CALL_ARGS(ebb_augment_flip, ebb_augment_flip_args, __VA_ARGS__)
#define ebb_augment_rotate(...)                                                                    \
	EBB_CALL_ARGS(ebb_augment_rotate, ebb_augment_rotate_args, __VA_ARGS__)
#define ebb_augment_affine(...)                                                                    \
	EBB_CALL_ARGS(ebb_augment_affine, ebb_augment_affine_args, __VA_ARGS__)
#define ebb_augment_perspective(...)                                                               \
	EBB_CALL_ARGS(ebb_augment_perspective, ebb_augment_perspective_args, __VA_ARGS__)
#define ebb_augment_elastic(...)                                                                   \
	EBB_CALL_ARGS(ebb_augment_elastic, ebb_augment_elastic_args, __VA_ARGS__)
#define ebb_augment_jitter(...)                                                                    \
	EBB_CALL_ARGS(ebb_augment_jitter, ebb_augment_jitter_args, __VA_ARGS__)
#define ebb_augment_greyscale(...)                                                                 \
	EBB_CALL_ARGS(ebb_augment_greyscale, ebb_augment_greyscale_args, __VA_ARGS__)
#define ebb_augment_bgr(...) EBB_CALL(ebb_augment_bgr, __VA_ARGS__)
#define ebb_augment_lighting(...)                                                                  \
	EBB_CALL_ARGS(ebb_augment_lighting, ebb_augment_lighting_args, __VA_ARGS__)
#define ebb_augment_blur(...) EBB_CALL_ARGS(ebb_augment_blur, ebb_augment_blur_args, __VA_ARGS__)
#define ebb_augment_noise(...) EBB_CALL_ARGS(ebb_augment_noise, ebb_augment_noise_args, __VA_ARGS__)
#define ebb_augment_cutout(...)                                                                    \
	EBB_CALL_ARGS(ebb_augment_cutout, ebb_augment_cutout_args, __VA_ARGS__)
#define ebb_augment_erase(...) EBB_CALL_ARGS(ebb_augment_erase, ebb_augment_erase_args, __VA_ARGS__)
#define ebb_augment_randaugment(...)                                                               \
	EBB_CALL_ARGS(ebb_augment_randaugment, ebb_augment_randaugment_args, __VA_ARGS__)
#define ebb_augment_mixup(...) EBB_CALL_ARGS(ebb_augment_mixup, ebb_augment_mix_args, __VA_ARGS__)
#define ebb_augment_cutmix(...) EBB_CALL_ARGS(ebb_augment_cutmix, ebb_augment_mix_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
