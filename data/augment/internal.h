/*
 * internal.h - the parts of transforms: random numbers, a stage with two images, and pipelines of
 * transforms with their options.  For data/ and its tests only.
 */
#ifndef EBB_AUGMENT_INTERNAL_H
#define EBB_AUGMENT_INTERNAL_H

#include "tensor/option.h"
#include "data/augment.h"
#include "kernels/sizes.h"

/* ---- Random numbers (rng.c) ---------------------------------------------------------------- */

enum { EBB_RNG_BANK = 32, EBB_PLACE_OF_MIXING = 1 << 20 };

/* A random generator: Philox, with the transform's position in its key, and the epoch and the
 * image's index in its counter. */
typedef struct ebb_rng {
	uint64_t key, stream;
	int next; /* in bank; EBB_RNG_BANK: all were used */
	double bank[EBB_RNG_BANK];
} ebb_rng;

void ebb_rng_start(ebb_rng *d, uint64_t seed, int64_t epoch, int64_t index, int place);
double ebb_rng_uniform(ebb_rng *d, double low, double high); /* uniform in [low, high) */
int64_t ebb_rng_below(ebb_rng *d, int64_t n);                /* uniform in 0, ..., n-1 */
double ebb_rng_normal(ebb_rng *d);                           /* mean 0, standard deviation 1 */
double ebb_rng_beta(ebb_rng *d, double alpha);               /* Beta(alpha, alpha) */
/* 0, ..., n-1 in a random order */
void ebb_rng_permutation(ebb_rng *d, int n, int *order);
/* n numbers uniform in [-1,1), or from a normal distribution with this standard deviation. */
void ebb_rng_uniforms(ebb_rng *d, int64_t n, float *x);
void ebb_rng_normals(ebb_rng *d, int64_t n, double deviation, float *x);

/* ---- The stage (pipeline.c) ----------------------------------------------------------------- */

/* A worker's memory: the image in the pipeline, and buffers that are reused. */
typedef struct ebb_stage {
	ebb_image image; /* owned; a transform changes image, or fills spare and swaps */
	ebb_image spare;
	float *scratch;
	size_t scratch_bytes;
	ebb_rng rng; /* of the current transform */
	int view;
	const char *name, *site; /* of the current transform, for errors */
	ebb_error *error;
} ebb_stage;

void ebb_stage_free(ebb_stage *s);
/* Allocates spare with this size and the channels of image.  False: no memory. */
bool ebb_stage_spare(ebb_stage *s, int64_t height, int64_t width);
void ebb_stage_swap(ebb_stage *s);
/* A buffer of the stage.  NULL: no memory. */
float *ebb_stage_scratch(ebb_stage *s, int64_t floats);
/* Fills the stage's error with the transform's name and the size of its image; returns false. */
bool ebb_stage_fail(ebb_stage *s, const char *format, ...) EBB_PRINTF(2, 3);

/* ---- Pipelines (pipeline.c) ----------------------------------------------------------------- */

typedef struct ebb_transform_kind {
	const char *name;
	size_t size; /* of the options struct */
	bool (*apply)(const void *options, ebb_stage *s);
	/* Changes an image's size (0: unknown) to that of the result; NULL: the size does not
	 * change. */
	void (*resize)(const void *options, int64_t *height, int64_t *width);
} ebb_transform_kind;

typedef struct ebb_transform {
	const ebb_transform_kind *kind;
	double p;
	void *options; /* a copy of its argument struct, defaults filled in */
	const char *site;
	struct ebb_transform *next;
} ebb_transform;

typedef struct ebb_mix {
	double alpha, p; /* p = 0: disabled */
} ebb_mix;

struct ebb_augment {
	ebb_transform *first, **end; /* end: the link to the next transform */
	int64_t views;
	ebb_mix mixup, cutmix;
	ebb_error error;
};

/* Adds a transform.  False if the pipeline has an error, or p is not a probability. */
bool ebb_augment_add(ebb_augment *a, const ebb_transform_kind *kind, double p, const void *options,
	const char *site);
/* Keeps the first error; returns false. */
bool ebb_augment_fail(ebb_augment *a, const char *site, const char *format, ...) EBB_PRINTF(3, 4);
/* Whether low <= x <= high; if not, the pipeline gets an error. */
bool ebb_augment_within(ebb_augment *a, const char *name, const char *what, double x, double low,
	double high, const char *site);
/* Whether border is valid; if not, the pipeline gets an error. */
bool ebb_augment_knows(ebb_augment *a, const char *name, ebb_border border, const char *site);
/* Applies all transforms to the stage's image. */
bool ebb_augment_run(
	const ebb_augment *a, ebb_stage *s, uint64_t seed, int64_t epoch, int64_t sample, int view);

static inline uint8_t ebb_byte_of(float x)
{
	return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* n/2, rounded half to even, as Python rounds: where a centre crop begins. */
static inline int64_t ebb_half(int64_t n)
{
	return n / 2 + (n % 4 == 3);
}

/* The number of colour or grey channels: all but alpha. */
static inline int64_t ebb_opaque_channels(const ebb_image *x)
{
	return x->channels >= 3 ? 3 : 1;
}

/* ---- Functions shared by transforms --------------------------------------------------------- */

/* Draws the size of a rectangle inside height x width with a random area and a random ratio (of its
 * second side to its first), for resized_crop and erase.  False if ten draws do not fit. */
bool ebb_draw_part(ebb_rng *d, const double area[2], const double ratio[2], int64_t height,
	int64_t width, int64_t *part_height, int64_t *part_width); /* crop.c */
bool ebb_check_part(ebb_augment *a, const char *name, double area[2], double ratio[2],
	const double standard[4], const char *site); /* crop.c */

typedef struct ebb_outside {
	ebb_border border;
	uint8_t fill[EBB_MAX_CHANNELS];
} ebb_outside;

static inline ebb_outside ebb_outside_of(ebb_border border, const uint8_t *fill)
{
	return (ebb_outside){border, {fill[0], fill[1], fill[2], fill[3]}};
}

/* The index in 0, ..., n-1 that the border maps i to, or -1 for the fill colour. */
int64_t ebb_border_place(int64_t i, int64_t n, ebb_border border); /* warp.c */
/* Resamples the stage's image.  Homography m (row-major) maps points of the result to points of the
 * source; the centre of pixel (i,j) is x = j + 1/2, y = i + 1/2. */
bool ebb_stage_warp(ebb_stage *s, const double m[9], const ebb_outside *o); /* warp.c */
/* Resamples the stage's image at the result's points plus (dx, dy) [height*width]. */
bool ebb_stage_displace(
	ebb_stage *s, const float *dx, const float *dy, const ebb_outside *o); /* warp.c */
/* m = the inverse of the map that rotates (radians, counter-clockwise), shears, scales and moves
 * about the centre of an image. */
void ebb_affine_map(double m[9], const ebb_image *x, double angle, const double shear[2],
	double scale, const double move[2]); /* geometry.c */

/* The new value of each value of each channel. */
typedef struct ebb_tone {
	uint8_t of[3][256];
} ebb_tone;
void ebb_stage_map(ebb_stage *s, const ebb_tone *tone); /* colour.c */
bool ebb_adjust_brightness(ebb_stage *s, float factor); /* colour.c */
bool ebb_adjust_contrast(ebb_stage *s, float factor);   /* colour.c */
bool ebb_adjust_saturation(ebb_stage *s, float factor); /* colour.c */
/* hue.c; turn in [-1/2, 1/2] of the circle */
void ebb_adjust_hue(ebb_stage *s, float turn);

/* tone.c: as Pillow's ImageOps and ImageEnhance */
bool ebb_adjust_sharpness(ebb_stage *s, float factor);
void ebb_posterise(ebb_stage *s, int bits);
void ebb_solarise(ebb_stage *s, int threshold); /* values from threshold on are inverted */
void ebb_autocontrast(ebb_stage *s);
void ebb_equalise(ebb_stage *s);

/* Separable filter along both axes with weights [2 radius + 1] and a reflected border, for blur and
 * elastic.  x is channels planes of height x width floats; scratch is as large.  blur.c */
void ebb_smooth(float *x, float *scratch, int64_t height, int64_t width, int64_t channels,
	const float *weight, int radius);
/* Fills the weights of a Gaussian, which sum to 1. */
void ebb_gaussian(float *weight, int radius, double sigma);

/* A batch of count images [height,width,channels] of floats, contiguous, and targets
 * [count,classes]; spare has the size of an image or of classes, whichever is larger.  Mixes them
 * as the pipeline says. */
typedef struct ebb_mixed {
	void *images, *targets, *spare;
	int64_t count, height, width, channels, classes;
	ebb_dtype dtype;
} ebb_mixed;
bool ebb_augment_mixes(const ebb_augment *a);
void ebb_augment_mix(
	const ebb_augment *a, const ebb_mixed *m, uint64_t seed, int64_t epoch, int64_t batch);

#endif
