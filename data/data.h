/*
 * data.h - images with labels: data sets, loaders that serve them in batches, and what to measure.
 * The images themselves are in image.h.
 *
 * Nothing here has a tape, so errors fill an ebb_error (which may be NULL); functions then return
 * NULL or false.
 */
#ifndef EBB_DATA_H
#define EBB_DATA_H

#include "../archive/archive.h"
#include "../tensor/tensor.h"
#include "augment.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Data sets (dataset.c) ------------------------------------------------------------------ */

/* N images, each with a label.  Labels are always in memory, so that they can be counted, split
 * and sampled by; images are there too (MNIST, CIFAR, digits, arrays), or are read when asked for
 * (files, a user's own, subsets and concatenations): then images is NULL. */
typedef struct ebb_dataset {
	ebb_tensor *images; /* U8 [N,C,H,W], row-major; or NULL */
	ebb_tensor *labels; /* I64 [N], in [0, classes) */
	int64_t count;      /* N */
	int classes;
	const char *const *class_names;    /* [classes], or NULL */
	struct ebb_dataset_source *source; /* where images are read from, and what was skipped */
} ebb_dataset;

/* Zeroed images and labels, to be filled.  1 to EBB_MAX_CHANNELS channels, every size at least
 * 1. */
EBB_API ebb_dataset *ebb_dataset_new(
	int64_t count, int64_t channels, int64_t height, int64_t width, int classes, ebb_error *e);
EBB_API void ebb_dataset_free(ebb_dataset *d);

/* What to do with an image that cannot be read: fail, or leave it out and keep a note of it. */
typedef enum ebb_on_error { EBB_FAIL, EBB_SKIP } ebb_on_error;

typedef enum ebb_fetched {
	EBB_FETCH_FAILED, /* the error says why */
	EBB_FETCHED,      /* x holds the image */
	EBB_FETCH_SKIPPED /* the image is damaged, and the data set was told to skip such */
} ebb_fetched;
/* Image i into x, from any kind of data set, by several threads at once (each with its own x).
 * Skipped are images of data sets made with .on_error = EBB_SKIP whose error is EBB_BAD_FILE;
 * they leave no error but a note (ebb_dataset_skipped), and belong left out of a batch.  Other
 * errors, running out of memory among them, are never skipped. */
EBB_API ebb_fetched ebb_dataset_fetch(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *e);
EBB_API int64_t ebb_dataset_label(const ebb_dataset *d, int64_t i); /* -1 if there is none */
/* [C,H,W] of its images; 0 stands for what differs between them or is not known beforehand. */
EBB_API ebb_shape ebb_dataset_image_shape(const ebb_dataset *d);
/* The file that image i is read from, through subsets and concatenations; NULL if not a file. */
EBB_API const char *ebb_dataset_path(const ebb_dataset *d, int64_t i);

/* How many different images have been skipped until now, and the k-th of them: its number and the
 * error.  *message is valid until the data set is freed.  Images found damaged while a folder or
 * a list was opened with .verify have no number any more: -1. */
EBB_API int64_t ebb_dataset_skipped(const ebb_dataset *d);
EBB_API bool ebb_dataset_skipped_at(
	const ebb_dataset *d, int64_t k, int64_t *index, const char **message);

/* A copy of count images from start on; less if there are fewer.  An error if start is beyond the
 * end, or if the images are not in memory (see ebb_dataset_range). */
EBB_API ebb_dataset *ebb_dataset_slice(
	const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e);
/* The mean and the standard deviation of x/255 per channel, for a loader's .mean and .std; the
 * deviation of a constant channel is given as 1.  Fetches every image that is not in memory;
 * skipped ones do not count.  False for NULL, and if one cannot be fetched, or has another number
 * of channels than the first. */
EBB_API bool ebb_dataset_moments(
	const ebb_dataset *d, double mean[EBB_MAX_CHANNELS], double std[EBB_MAX_CHANNELS]);

/* How many different images have been read until now in spite of a defect outside of their pixels'
 * data (ebb_image_options, .warning), and the k-th of them, as above. */
EBB_API int64_t ebb_dataset_warned(const ebb_dataset *d);
EBB_API bool ebb_dataset_warned_at(
	const ebb_dataset *d, int64_t k, int64_t *index, const char **message);

/* A data set of one's own, by two functions: image fills x with image i (several threads may call
 * it at once), label gives the class of item i (called once for each, here). */
typedef struct ebb_dataset_custom_args {
	int64_t count;
	int classes;
	bool (*image)(void *ctx, int64_t i, ebb_image *x, ebb_error *e);
	int64_t (*label)(void *ctx, int64_t i);
	void *ctx;
	void (*free_ctx)(void *ctx);     /* called by ebb_dataset_free; may be NULL */
	const char *const *class_names;  /* copied; may be NULL */
	int64_t channels, height, width; /* if all images have the same; else 0 */
	ebb_on_error on_error;
	ebb_error *error;
	const char *site;
} ebb_dataset_custom_args;
EBB_API ebb_dataset *ebb_dataset_custom(const ebb_dataset_custom_args *a);

/* ---- Parts of data sets (subset.c) ---------------------------------------------------------- */

/* These refer to the data sets they are made from, which must outlive them (and are told of images
 * skipped through them). */

/* Images index[0], ..., index[count-1] of d, in that order; the same may come more than once. */
EBB_API ebb_dataset *ebb_dataset_subset(
	const ebb_dataset *d, const int64_t *index, int64_t count, ebb_error *e);
/* count images from start on; less if there are fewer.  An error if start is beyond the end. */
EBB_API ebb_dataset *ebb_dataset_range(
	const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e);
/* n data sets one after the other; all of as many classes. */
EBB_API ebb_dataset *ebb_dataset_concat(const ebb_dataset *const *parts, int n, ebb_error *e);
/* Two parts of d that share no image: *first with round(share * count) of them, *second with the
 * rest, each in d's order.  Which, depends on seed alone.  Stratified: every class is split so
 * (sizes rounded class by class, such that the total is as above), else all together.  An error
 * if share is not in (0, 1) or a part would be empty; then both are NULL. */
typedef struct ebb_dataset_split_args {
	const ebb_dataset *data;
	double share;
	ebb_dataset **first, **second;
	uint64_t seed;
	bool stratified;
	ebb_error *error;
	const char *site;
} ebb_dataset_split_args;
EBB_API bool ebb_dataset_split(const ebb_dataset_split_args *a);

/* ---- Files of images (folder.c, list.c) ----------------------------------------------------- */

/* A folder of classes, the layout of ImageNet and Caltech-101: every directory in root is a class,
 * numbered in byte order ("Leopards" before "accordion"), and every file below it, however deep,
 * whose name ends in .png, .jpg, .jpeg or .jpe (in any case) is an image of it; in byte order of
 * the path.  Names that begin with a dot are passed over.  EBB_BAD_FILE for a directory that
 * cannot be read, no class, a class without images. */
typedef struct ebb_folder_args {
	const char *root;
	int channels; /* of every image; default 3, EBB_ANY_CHANNELS: as in its file */
	ebb_on_error on_error;
	/* unpack every file now: a damaged one fails the call, or is left out and noted */
	bool verify;
	int64_t shorter_side, max_pixels; /* as in ebb_image_options */
	bool strict, upright;             /* likewise */
	ebb_error *error;
	const char *site;
} ebb_folder_args;
enum { EBB_ANY_CHANNELS = -1 };
EBB_API ebb_dataset *ebb_folder(const ebb_folder_args *a);

/* A list file: lines of path<TAB>label, with paths relative to .root (default: the directory of
 * the list) and labels from 0.  Blank lines and lines that begin with # are passed over; lines may
 * end in CR LF.  classes is the largest label + 1, unless given.  EBB_BAD_FILE, with the number of
 * the line, for one that is not so; for a list without images. */
typedef struct ebb_list_args {
	const char *path;
	const char *root;
	int classes;
	int channels; /* all of this as in ebb_folder */
	ebb_on_error on_error;
	bool verify;
	int64_t shorter_side, max_pixels;
	bool strict, upright;
	ebb_error *error;
	const char *site;
} ebb_list_args;
EBB_API ebb_dataset *ebb_list(const ebb_list_args *a);

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

/* ---- CIFAR's files (cifar.c) ---------------------------------------------------------------- */

/* CIFAR-10 from dir, in its binary layout: data_batch_1.bin to data_batch_5.bin, or
 * test_batch.bin; plain or .gz.  A record is a label and 3072 bytes: the red, green and blue
 * planes, 32 x 32 (Krizhevsky 2009).  class_names are its ten.  EBB_BAD_FILE for a missing file,
 * one without or with parts of records, labels above 9. */
EBB_API ebb_dataset *ebb_cifar10(const char *dir, ebb_data_split split, ebb_error *e);
/* CIFAR-100: train.bin or test.bin.  A record has two labels, of the 20 coarse classes and of the
 * 100 fine ones. */
typedef enum ebb_cifar_labels { EBB_FINE, EBB_COARSE } ebb_cifar_labels;
EBB_API ebb_dataset *ebb_cifar100(
	const char *dir, ebb_data_split split, ebb_cifar_labels labels, ebb_error *e);

/* ---- Arrays of NumPy's (numpy.c) ------------------------------------------------------------ */

/* Which axes the images of an array have.  By its sizes: of three axes [N,H,W]; of four
 * [N,H,W,C] if the last has 1 to EBB_MAX_CHANNELS entries, [N,C,H,W] if the second has, and an
 * error if both have or none. */
typedef enum ebb_numpy_layout { EBB_LAYOUT_BY_SIZE, EBB_NHWC, EBB_NCHW } ebb_numpy_layout;

/* A data set from an array of images, U8, and one of labels, integers [N] or [N,1], none below
 * 0: each the only one in a file (.npy), or both by their names in .file (.npz, or what else
 * ebb_archive_read reads). The images are copied into memory as [N,C,H,W].  classes is the
 * largest label + 1, unless given.  What ebb_archive_add and ebb_archive_write make of a data
 * set's images and labels is read so as well. EBB_BAD_FILE for files that cannot be read, floats
 * among images or labels, shapes other than these, another number of labels than of images,
 * labels out of range. */
typedef struct ebb_numpy_args {
	const char *images, *labels; /* files, or names in .file */
	const char *file;
	ebb_numpy_layout layout;
	int classes;
	ebb_error *error;
	const char *site;
} ebb_numpy_args;
EBB_API ebb_dataset *ebb_numpy(const ebb_numpy_args *a);

/* ---- Digits without a download (digits.c, strokes.c) ---------------------------------------- */

/* count images [count,1,28,28] of the digits 0 to 9 in shuffled order, as many of each as
 * possible: drawn from strokes in several hands with random affine and elastic distortion (Simard
 * et al. 2003), thickness, contrast, gaps, clutter and noise.  Image i depends on (seed, i) alone:
 * use different seeds for training and testing.  Harder than it looks: a linear model stays below
 * 90 %, a LeNet passes 97 %.  An error for a count below 1. */
EBB_API ebb_dataset *ebb_digits(int64_t count, uint64_t seed, ebb_error *e);

/* ---- Loaders (loader/) ---------------------------------------------------------------------- */

/* Stored tensors of the loader's, overwritten by the next ebb_loader_next. */
typedef struct ebb_batch {
	/* F32 (or .dtype) [B,C,H,W], channels-last memory: (x/255 - mean)/std; with ten_crop
	 * [10 B,C,H,W] */
	ebb_tensor *images;
	ebb_tensor *labels;  /* I64 [B] */
	ebb_tensor *targets; /* of the images' type [B,classes], if .augment mixes; else NULL */
	int64_t count;       /* B */
	int64_t index;       /* of the batch in its epoch, from 0 */
} ebb_batch;

/* Batches of data in order, or with .shuffle in an order that depends on seed and epoch alone.
 * The last, smaller batch is kept unless .drop_last.  mean and std (default 0 and 1) are per
 * channel.
 *
 * .augment transforms every image first (augment.h); if the images of the data set differ in
 * size, it must crop or resize them to one.  An image that the data set skips is left out: its
 * batch is smaller by one, and one of which nothing is left is passed over.
 *
 * .workers threads make up to .prefetch batches (default 2) ahead, also while the caller does
 * something else between two epochs; with 0 they are made in the caller's thread when asked for.
 * Batches are the same bit for bit either way.  With workers, ebb_alloc is called from several
 * threads.  .cache bytes at most are used to keep images decoded that are read from files.
 *
 * .balanced: every class equally often in an epoch (to within one), by showing the images of
 * small classes more than once; an epoch remains as long.  .rank and .world: process number rank
 * of world gets images rank, rank + world, ... of the epoch's common order, so that every image
 * is seen by exactly one of them (with .drop_last up to world - 1 by none).  Augmentation does
 * not depend on it.
 *
 * In a child of fork, made by the thread that uses the loader, both processes go on with the
 * batches that remain: the child starts workers of its own when it first asks.  A fork waits,
 * for two seconds at most, until the workers are between two images.
 *
 * Data set and pipeline must outlive the loader, and stay as they are.  NULL with an error in
 * .error: no data or no images in it, a batch below 1 (with .drop_last also one beyond the
 * data), a mean or std that is not finite, a std below 0, another dtype, a pipeline with an
 * error, images that differ in size or channels, numbers below 0, labels out of range where
 * classes count, no memory, no thread. */
typedef struct ebb_loader ebb_loader;
typedef struct ebb_loader_args {
	const ebb_dataset *data;
	int64_t batch;
	bool shuffle;
	uint64_t seed;
	bool drop_last;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];
	ebb_dtype dtype; /* EBB_F32 or EBB_F64 */
	const ebb_augment *augment;
	int workers;
	int64_t prefetch;
	int64_t cache;
	bool balanced;
	int rank, world;
	ebb_error *error;
	const char *site;
} ebb_loader_args;
EBB_API ebb_loader *ebb_loader_new(const ebb_loader_args *a);
EBB_API void ebb_loader_free(ebb_loader *l); /* at any time */
/* The next batch.  False at the end of the epoch (and for NULL); the call after that begins the
 * next epoch.  False also when an image of the batch cannot be had, for good: ebb_loader_error then
 * says why, until ebb_loader_begin.  Images in memory without .augment: allocates nothing. */
EBB_API bool ebb_loader_next(ebb_loader *l, ebb_batch *b);
/* The first failed image's error, or NULL. */
EBB_API const ebb_error *ebb_loader_error(const ebb_loader *l);
/* Goes to the beginning of an epoch (from 0), at any time. */
EBB_API void ebb_loader_begin(ebb_loader *l, int64_t epoch);
/* The epoch that it is in: the last batch's, or the one that ebb_loader_begin or ebb_loader_take
 * went to. */
EBB_API int64_t ebb_loader_epoch(const ebb_loader *l);
EBB_API int64_t ebb_loader_batches(const ebb_loader *l); /* per epoch */

/* The position of a loader (loader/state.c), to an archive and back, below a prefix ("loader."):
 * the numbers epoch and next (the batch to come), and as metadata what batches depend on:
 * images, batch, shuffle, seed, balanced, drop_last, rank, world.  A saver (training.h) does all
 * this.
 *
 * Put after a batch, it is before the next one, though workers may have made that and more;
 * after an epoch's last batch, the next call of ebb_loader_next gives false; once that was
 * given, the next epoch is to come. ebb_loader_epoch is the epoch to come, until the next call. 
 * So a loop goes on where it was, wherever that is: for (int64_t k = ebb_loader_epoch(l); k <
 * epochs; k++) while (ebb_loader_next(l, &batch)) .. */

/* False (an error in e) for a loader with an error, and without memory. */
EBB_API bool ebb_loader_put(const ebb_loader *l, ebb_archive *a, const char *prefix, ebb_error *e);
/* Whether there is a position, and the loader makes the same batches: other numbers of workers,
 * of batches made ahead, another cache do not matter.  Else e says what is wrong.  Data,
 * augmentation, mean and std are the caller's to keep as they were. */
EBB_API bool ebb_loader_fits(
	const ebb_loader *l, const ebb_archive *a, const char *prefix, ebb_error *e);
/* Goes to the position at any time, and clears the loader's error; batches before it are not made.
 * False with an error as above, and nothing is changed; also if a child of fork gets no threads. */
EBB_API bool ebb_loader_take(ebb_loader *l, const ebb_archive *a, const char *prefix, ebb_error *e);

/* ---- Measures (metrics.c) ------------------------------------------------------------------- */

/* The share of rows of logits [N,classes] (F32 or F64) in which labels[i] (I64 [N]) is the
 * largest, or among the k largest.  Of equal numbers the first counts as the largest, and NaN as
 * larger than any number, but a label whose own logit is NaN, or that is out of range, is never
 * right.  NaN for NULL, dropped or ill-fitting tensors, N = 0, or k < 1. */
EBB_API double ebb_accuracy(const ebb_tensor *logits, const ebb_tensor *labels);
EBB_API double ebb_topk(const ebb_tensor *logits, const ebb_tensor *labels, int k);

/* 1 - ebb_topk: the share of rows whose label is not among the k largest. */
EBB_API double ebb_topk_error(const ebb_tensor *logits, const ebb_tensor *labels, int k);

/* How often class i was taken for class j, summed over batches. */
typedef struct ebb_confusion {
	int classes;
	int64_t *times; /* [classes, classes]: row = label, column = the largest logit */
} ebb_confusion;
EBB_API ebb_confusion *ebb_confusion_new(int classes, ebb_error *e);
EBB_API void ebb_confusion_free(ebb_confusion *c);
/* Counts every row of logits [N,classes] (F32 or F64); of equal numbers the first is the largest.
 * False, and nothing counted, for NULL, dropped or ill-fitting tensors, labels out of range, and
 * NaN. */
EBB_API bool ebb_confusion_add(
	ebb_confusion *c, const ebb_tensor *logits, const ebb_tensor *labels);
EBB_API void ebb_confusion_clear(ebb_confusion *c);
EBB_API double ebb_confusion_accuracy(const ebb_confusion *c); /* NaN if nothing was counted */
/* The share of class k that was taken for class k (its recall); NaN if there was none of it. */
EBB_API double ebb_confusion_class_accuracy(const ebb_confusion *c, int k);

/* A weighted mean that grows: start from {0}. */
typedef struct ebb_average {
	double sum, weight;
} ebb_average;
EBB_API void ebb_average_add(ebb_average *a, double value, double weight);
EBB_API double ebb_average_value(const ebb_average *a); /* NaN if nothing was added */

/* ---- The macros that add the call site ------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_dataset_custom(...)                                                                    \
	ebb_dataset_custom(&(ebb_dataset_custom_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_dataset_split(...)                                                                     \
	ebb_dataset_split(&(ebb_dataset_split_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_folder(...) ebb_folder(&(ebb_folder_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_list(...) ebb_list(&(ebb_list_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_numpy(...) ebb_numpy(&(ebb_numpy_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_loader_new(...) ebb_loader_new(&(ebb_loader_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
