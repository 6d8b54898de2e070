/*
 * data.h - images with labels: data sets, loaders that serve them in batches, and what to measure.
 *
 * Nothing here has a tape, so errors fill an ebb_error (which may be NULL); functions then return
 * NULL or false.
 */
#ifndef EBB_DATA_H
#define EBB_DATA_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Data sets (dataset.c) ------------------------------------------------------------------ */

enum { EBB_MAX_CHANNELS = 4 };

typedef struct ebb_dataset {
	ebb_tensor *images; /* U8 [N,C,H,W], row-major */
	ebb_tensor *labels; /* I64 [N], in [0, classes) */
	int64_t count;      /* N */
	int classes;
} ebb_dataset;

/* Zeroed images and labels, to be filled.  1 to EBB_MAX_CHANNELS channels, every size at least
 * 1. */
EBB_API ebb_dataset *ebb_dataset_new(
	int64_t count, int64_t channels, int64_t height, int64_t width, int classes, ebb_error *e);
EBB_API void ebb_dataset_free(ebb_dataset *d);
/* A copy of count images from start on; less if there are fewer.  An error if start is beyond the
 * end. */
EBB_API ebb_dataset *ebb_dataset_slice(
	const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e);
/* The mean and the standard deviation of x/255 per channel, for a loader's .mean and .std; the
 * deviation of a constant channel is given as 1.  False for NULL. */
EBB_API bool ebb_dataset_moments(
	const ebb_dataset *d, double mean[EBB_MAX_CHANNELS], double std[EBB_MAX_CHANNELS]);

/* ---- MNIST's files (idx.c, mnist.c) --------------------------------------------------------- */

/* An IDX file of unsigned bytes, plain or gzipped: a stored U8 tensor of its shape (at most 8
 * axes).  The file is: two zero bytes, type 0x08, the number of axes, their sizes as big-endian
 * 32-bit numbers, the data (LeCun, Cortes & Burges).  EBB_BAD_FILE for a missing, truncated or
 * damaged file, bytes after the end, another type or magic, sizes that overflow. */
EBB_API ebb_tensor *ebb_idx_read(const char *path, ebb_error *e);

typedef enum ebb_data_split { EBB_TRAIN, EBB_TEST } ebb_data_split;

/* MNIST from dir: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
 * t10k-labels-idx1-ubyte, also spelt .idx3-ubyte and .idx1-ubyte, each plain or .gz; any data set
 * in these files will do (Fashion-MNIST).  classes is 10.  EBB_BAD_FILE for files as above, other
 * numbers of axes, counts that differ, labels above 9. */
EBB_API ebb_dataset *ebb_mnist(const char *dir, ebb_data_split split, ebb_error *e);

/* ---- Digits without a download (digits.c, strokes.c) ---------------------------------------- */

/* count images [count,1,28,28] of the digits 0 to 9 in shuffled order, as many of each as
 * possible: drawn from strokes in several hands with random affine and elastic distortion (Simard
 * et al. 2003), thickness, contrast, gaps, clutter and noise.  Image i depends on (seed, i) alone:
 * use different seeds for training and testing.  Harder than it looks: a linear model stays below
 * 90 %, a LeNet passes 97 %.  An error for a count below 1. */
EBB_API ebb_dataset *ebb_digits(int64_t count, uint64_t seed, ebb_error *e);

/* ---- Loaders (loader.c) --------------------------------------------------------------------- */

/* Stored tensors of the loader's, overwritten by the next ebb_loader_next. */
typedef struct ebb_batch {
	/* F32 (or .dtype) [B,C,H,W], channels-last memory: (x/255 - mean)/std */
	ebb_tensor *images;
	ebb_tensor *labels; /* I64 [B] */
	int64_t count;      /* B */
	int64_t index;      /* of the batch in its epoch, from 0 */
} ebb_batch;

/* Batches of data in order, or with .shuffle in an order that depends on seed and epoch alone.
 * The last, smaller batch is kept unless .drop_last.  mean and std (default 0 and 1) are per
 * channel.  The data set must outlive the loader.  NULL with an error in .error: no data or no
 * images in it, a batch below 1 (with .drop_last also one beyond the data), a mean or std that is
 * not finite, a std below 0, another dtype, no memory. */
typedef struct ebb_loader ebb_loader;
typedef struct ebb_loader_args {
	const ebb_dataset *data;
	int64_t batch;
	bool shuffle;
	uint64_t seed;
	bool drop_last;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];
	ebb_dtype dtype; /* EBB_F32 or EBB_F64 */
	ebb_error *error;
	const char *site;
} ebb_loader_args;
EBB_API ebb_loader *ebb_loader_new(const ebb_loader_args *a);
EBB_API void ebb_loader_free(ebb_loader *l);
/* The next batch.  False at the end of the epoch (and for NULL); the call after that begins the
 * next epoch.  Allocates nothing. */
EBB_API bool ebb_loader_next(ebb_loader *l, ebb_batch *b);
/* Goes to the beginning of an epoch (from 0). */
EBB_API void ebb_loader_begin(ebb_loader *l, int64_t epoch);
/* The epoch that it is in: the last batch's, or the one that ebb_loader_begin went to. */
EBB_API int64_t ebb_loader_epoch(const ebb_loader *l);
EBB_API int64_t ebb_loader_batches(const ebb_loader *l); /* per epoch */

/* ---- Measures (metrics.c) ------------------------------------------------------------------- */

/* The share of rows of logits [N,classes] (F32 or F64) in which labels[i] (I64 [N]) is the
 * largest, or among the k largest.  Of equal numbers the first counts as the largest, and NaN as
 * larger than any number, but a label whose own logit is NaN, or that is out of range, is never
 * right.  NaN for NULL, dropped or ill-fitting tensors, N = 0, or k < 1. */
EBB_API double ebb_accuracy(const ebb_tensor *logits, const ebb_tensor *labels);
EBB_API double ebb_topk(const ebb_tensor *logits, const ebb_tensor *labels, int k);

/* A weighted mean that grows: start from {0}. */
typedef struct ebb_average {
	double sum, weight;
} ebb_average;
EBB_API void ebb_average_add(ebb_average *a, double value, double weight);
EBB_API double ebb_average_value(const ebb_average *a); /* NaN if nothing was added */

/* ---- The macros that add the call site ------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_loader_new(...) ebb_loader_new(&(ebb_loader_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
