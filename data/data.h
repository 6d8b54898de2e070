/*
 * data.h - data sets of labelled images or of rows, loaders that divide them into batches, and
 * measures such as accuracy.  The images themselves are in image.h, the tokens of a text in
 * vocabulary.h.
 *
 * No function here takes a tape.  Errors fill an ebb_error (which may be NULL), and the function
 * returns NULL or false.
 */
#ifndef EBB_DATA_H
#define EBB_DATA_H

#include "../archive/archive.h"
#include "../tensor/tensor.h"
#include "augment.h"
#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Data sets (dataset.c) ------------------------------------------------------------------ */

/* N images, each with a label, or N rows, each with a target.  Labels are always in memory, because
 * splitting and balanced sampling read them.  The images are in memory as well (MNIST, CIFAR,
 * digits, arrays), or are read on demand (image files, custom data sets, subsets, concatenations);
 * in the second case images is NULL.  For rows (ebb_rows, ebb_windows, ebb_rows_custom) images is
 * NULL, and without classes labels is NULL and classes 0. */
typedef struct ebb_dataset {
	ebb_tensor *images; /* U8 [N,C,H,W], row-major; or NULL */
	ebb_tensor *labels; /* I64 [N], in [0, classes); or NULL */
	int64_t count;      /* N */
	int classes;
	const char *const *class_names; /* [classes], or NULL */
	/* reads the images, and keeps the list of those skipped */
	struct ebb_dataset_source *source;
} ebb_dataset;

/* A data set of zeroed images and labels, for the caller to fill.  1 to EBB_MAX_CHANNELS channels,
 * every size at least 1. */
EBB_API ebb_dataset *ebb_dataset_new(
	int64_t count, int64_t channels, int64_t height, int64_t width, int classes, ebb_error *e);
EBB_API void ebb_dataset_free(ebb_dataset *d);

/* What to do with an image that cannot be read: fail, or skip it and keep its error message. */
typedef enum ebb_on_error { EBB_FAIL, EBB_SKIP } ebb_on_error;

typedef enum ebb_fetched {
	EBB_FETCH_FAILED, /* the ebb_error says why */
	EBB_FETCHED,      /* x holds the image */
	EBB_FETCH_SKIPPED /* the image is damaged, and the data set was made with EBB_SKIP */
} ebb_fetched;
/* Reads image i of any kind of data set into x.  Several threads may call it at once, each with its
 * own x.
 * An image is skipped if its error is EBB_BAD_FILE and the data set was made with .on_error =
 * EBB_SKIP.  A skipped image leaves e unchanged; its message is kept (ebb_dataset_skipped_at), and
 * the caller leaves it out of the batch.  Other errors, such as out of memory, are never
 * skipped. */
EBB_API ebb_fetched ebb_dataset_fetch(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *e);
EBB_API int64_t ebb_dataset_label(const ebb_dataset *d, int64_t i); /* -1 if i is out of range */
/* [C,H,W] of the images; 0 for an axis that differs between images or is not known in advance. */
EBB_API ebb_shape ebb_dataset_image_shape(const ebb_dataset *d);
/* The path of the file that holds image i, also through subsets and concatenations; NULL if the
 * image is not in a file. */
EBB_API const char *ebb_dataset_path(const ebb_dataset *d, int64_t i);

/* The number of different images that were skipped so far, and the k-th of them: its index and its
 * error message.  *message is valid until the data set is freed.  Images that .verify found damaged
 * while a folder or list was opened have the index -1. */
EBB_API int64_t ebb_dataset_skipped(const ebb_dataset *d);
EBB_API bool ebb_dataset_skipped_at(
	const ebb_dataset *d, int64_t k, int64_t *index, const char **message);

/* A copy of count images from number start on, or of all from start on if there are fewer.  An
 * error if start is beyond the end, or if the images are not in memory (see ebb_dataset_range). */
EBB_API ebb_dataset *ebb_dataset_slice(
	const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e);
/* Mean and standard deviation of x/255 per channel, for a loader's .mean and .std.  The deviation
 * of a constant channel is returned as 1.  Reads every image that is not in memory; skipped images
 * do not count.  False for NULL, if an image cannot be read, or if the images differ in their
 * number of channels. */
EBB_API bool ebb_dataset_moments(
	const ebb_dataset *d, double mean[EBB_MAX_CHANNELS], double std[EBB_MAX_CHANNELS]);

/* The number of different images that were decoded so far although they have a defect outside of
 * their pixel data (ebb_image_options.warning), and the k-th of them, as in
 * ebb_dataset_skipped_at. */
EBB_API int64_t ebb_dataset_warned(const ebb_dataset *d);
EBB_API bool ebb_dataset_warned_at(
	const ebb_dataset *d, int64_t k, int64_t *index, const char **message);

/* A custom data set, defined by two functions.  image fills x with image i; several threads may
 * call it at once.  label returns the class of item i; ebb_dataset_custom calls it once per
 * item. */
typedef struct ebb_dataset_custom_args {
	int64_t count;
	int classes;
	bool (*image)(void *ctx, int64_t i, ebb_image *x, ebb_error *e);
	int64_t (*label)(void *ctx, int64_t i);
	void *ctx;
	void (*free_ctx)(void *ctx);     /* called by ebb_dataset_free; may be NULL */
	const char *const *class_names;  /* copied; may be NULL */
	int64_t channels, height, width; /* if the same for all images; else 0 */
	ebb_on_error on_error;
	ebb_error *error;
	const char *site;
} ebb_dataset_custom_args;
EBB_API ebb_dataset *ebb_dataset_custom(const ebb_dataset_custom_args *a);

/* ---- Tables and sequences (rows.c, windows.c) ------------------------------------------------ */

/* Data sets of rows.  Everything below (parts, loaders, savers) takes them like images, but not
 * augmentation and normalisation, which are refused. */

/* A table: row i has the input x[i,...] and the target y[i,...].  x [N,...] and y [N,...] are of
 * any type, and of any shape of up to 8 axes: features [N,13] with values y [N] or [N,3], for
 * example.  y NULL: inputs alone.  .classes: y holds labels, I64 or U8 [N] or [N,1], in [0,
 * classes); a batch then has labels and no targets, and .balanced and .stratified are possible.
 * Both tensors are copied, and may belong to a tape.  Arrays in files (.npy, .npz, safetensors):
 * ebb_archive_tensor.  NULL with an error in .error for other shapes and types, no rows, labels out
 * of range, out of memory. */
typedef struct ebb_rows_args {
	const ebb_tensor *x, *y;
	int classes;
	ebb_error *error;
	const char *site;
} ebb_rows_args;
EBB_API ebb_dataset *ebb_rows(const ebb_rows_args *a);

/* Windows of a sequence, for predicting the next token: row i has the input tokens[s], ...,
 * tokens[s + context - 1] and the target tokens[s + 1], ..., tokens[s + context], where s = i
 * stride.  tokens [T] are I64 or U8, and a batch has I64 [B,context]; numbers [T,...], such as a
 * time series, keep their type: [B,context,...].  .stride defaults to .context: windows that do not
 * overlap, so that a token is the target of one window.  N = (T - context - 1)/stride + 1, rounded
 * down; the tokens after the last whole window are left out.  The tensor is copied, and may belong
 * to a tape.  NULL with an error in .error for a context below 1 or above T - 1, a negative stride,
 * out of memory. */
typedef struct ebb_windows_args {
	const ebb_tensor *tokens;
	int64_t context, stride;
	ebb_error *error;
	const char *site;
} ebb_windows_args;
EBB_API ebb_dataset *ebb_windows(const ebb_windows_args *a);

/* Rows that are defined by functions.  fill writes the input and the target of row i, row-major, in
 * the shapes and types that are given here; both are zeroed before.  Several threads may call it at
 * once.  False, with an error in e: the row fails, or is skipped (.on_error, as for images).
 * .input_dtype defaults to F32; .input_shape and .target_shape are those of one row, by default
 * that of a scalar.  .target_dtype EBB_DEFAULT: there are no targets, and target is NULL.  .label
 * and .classes, if given, are as in ebb_dataset_custom. */
typedef struct ebb_rows_custom_args {
	int64_t count;
	bool (*fill)(void *ctx, int64_t i, void *input, void *target, ebb_error *e);
	void *ctx;
	void (*free_ctx)(void *ctx); /* called by ebb_dataset_free; may be NULL */
	ebb_shape input_shape, target_shape;
	ebb_dtype input_dtype, target_dtype;
	int classes;
	int64_t (*label)(void *ctx, int64_t i);
	ebb_on_error on_error;
	ebb_error *error;
	const char *site;
} ebb_rows_custom_args;
EBB_API ebb_dataset *ebb_rows_custom(const ebb_rows_custom_args *a);

/* ---- Parts of data sets (subset.c) ---------------------------------------------------------- */

/* A part refers to the data set that it was made from, which must outlive the part.  Images skipped
 * through the part are also listed by that data set. */

/* The images index[0], ..., index[count-1] of d, in that order.  An index may repeat. */
EBB_API ebb_dataset *ebb_dataset_subset(
	const ebb_dataset *d, const int64_t *index, int64_t count, ebb_error *e);
/* count images from number start on, or all from start on if there are fewer.  An error if start is
 * beyond the end. */
EBB_API ebb_dataset *ebb_dataset_range(
	const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e);
/* n data sets one after the other; all must have the same number of classes, and be all of images or
 * all of rows of the same types and shapes. */
EBB_API ebb_dataset *ebb_dataset_concat(const ebb_dataset *const *parts, int n, ebb_error *e);
/* Splits d into two disjoint parts: *first gets round(share * count) images, *second the rest, each
 * in the order of d.  Which images *first gets depends on the seed alone.  With .stratified, every
 * class is split in the same ratio; the number of images of each class is rounded such that *first
 * has round(share * count) images.  An error if share is not in (0, 1), a part would be empty, or
 * .stratified is set for rows without classes; then both parts are NULL. */
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

/* A folder with a subfolder per class, as ImageNet and Caltech-101 are laid out.  Every directory
 * in root is a class; classes are numbered in byte order of their names ("Leopards" before
 * "accordion").  Every file below a class's directory, at any depth, whose name ends in .png, .jpg,
 * .jpeg or .jpe (in any case) is an image of the class; images are in byte order of their paths.
 * Names that begin with a dot are ignored.  EBB_BAD_FILE for a directory that cannot be read, no
 * class, or a class without images. */
typedef struct ebb_folder_args {
	const char *root;
	int channels; /* of every image; default 3; EBB_ANY_CHANNELS: as in the file */
	ebb_on_error on_error;
	/* decode every file now: a damaged one is an error, or is left out with EBB_SKIP */
	bool verify;
	int64_t shorter_side, max_pixels; /* as in ebb_image_options */
	bool strict, upright;             /* as in ebb_image_options */
	ebb_error *error;
	const char *site;
} ebb_folder_args;
enum { EBB_ANY_CHANNELS = -1 };
EBB_API ebb_dataset *ebb_folder(const ebb_folder_args *a);

/* A list file: lines of path<TAB>label, with paths relative to .root (default: the directory of the
 * list) and labels from 0.  Blank lines and lines that begin with # are ignored; lines may end in
 * CR LF.  .classes defaults to the largest label + 1.  EBB_BAD_FILE, with the line number, for a
 * malformed line; EBB_BAD_FILE for a list without images. */
typedef struct ebb_list_args {
	const char *path;
	const char *root;
	int classes;
	int channels; /* this and all below as in ebb_folder_args */
	ebb_on_error on_error;
	bool verify;
	int64_t shorter_side, max_pixels;
	bool strict, upright;
	ebb_error *error;
	const char *site;
} ebb_list_args;
EBB_API ebb_dataset *ebb_list(const ebb_list_args *a);

/* ---- MNIST's files (idx.c, mnist.c) --------------------------------------------------------- */

/* Reads an IDX file of unsigned bytes, plain or gzipped, into a persistent U8 tensor of its shape
 * (at most 8 axes).  The file is: two zero bytes, the type 0x08, the number of axes, their sizes as
 * big-endian 32-bit numbers, the data (LeCun, Cortes & Burges).  EBB_BAD_FILE for a missing,
 * truncated or damaged file, bytes after the end, another type or magic number, and sizes that
 * overflow. */
EBB_API ebb_tensor *ebb_idx_read(const char *path, ebb_error *e);

typedef enum ebb_data_split { EBB_TRAIN, EBB_TEST } ebb_data_split;

/* MNIST from dir: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
 * t10k-labels-idx1-ubyte, also spelt .idx3-ubyte and .idx1-ubyte, each plain or .gz.  Other data
 * sets in these files, such as Fashion-MNIST, load as well.  classes is 10.  EBB_BAD_FILE for files
 * that ebb_idx_read refuses, another number of axes, counts that differ, and labels above 9. */
EBB_API ebb_dataset *ebb_mnist(const char *dir, ebb_data_split split, ebb_error *e);

/* ---- CIFAR's files (cifar.c) ---------------------------------------------------------------- */

/* CIFAR-10 from dir, in its binary layout: data_batch_1.bin to data_batch_5.bin, or test_batch.bin;
 * plain or .gz.  A record is a label and 3072 bytes: the red, green and blue planes, 32 x 32
 * (Krizhevsky 2009).  class_names has the ten names.  EBB_BAD_FILE for a missing file, a file
 * without records or with an incomplete one, and labels above 9. */
EBB_API ebb_dataset *ebb_cifar10(const char *dir, ebb_data_split split, ebb_error *e);
/* CIFAR-100: train.bin or test.bin.  A record has two labels: one of 20 coarse classes and one of
 * 100 fine ones. */
typedef enum ebb_cifar_labels { EBB_FINE, EBB_COARSE } ebb_cifar_labels;
EBB_API ebb_dataset *ebb_cifar100(
	const char *dir, ebb_data_split split, ebb_cifar_labels labels, ebb_error *e);

/* ---- NumPy arrays (numpy.c) ----------------------------------------------------------------- */

/* The axes of an array of images.  EBB_LAYOUT_BY_SIZE: three axes are [N,H,W]; four are [N,H,W,C]
 * if the last has 1 to EBB_MAX_CHANNELS entries, [N,C,H,W] if the second has.  An error if both
 * have, or none. */
typedef enum ebb_numpy_layout { EBB_LAYOUT_BY_SIZE, EBB_NHWC, EBB_NCHW } ebb_numpy_layout;

/* A data set from an array of images, U8, and an array of labels, integers [N] or [N,1], none below
 * 0.  .images and .labels are the paths of two files with one array each (.npy).  If .file is
 * given, they are the names of two entries of this file (.npz, or another format that
 * ebb_archive_read reads).  The images are copied into memory as [N,C,H,W].
 * .classes defaults to the largest label + 1.  Also reads the images and labels of a data set that
 * ebb_archive_add and ebb_archive_write saved.
 * EBB_BAD_FILE for files that cannot be read, floats among images or labels, other shapes,
 * different numbers of images and labels, and labels out of range. */
typedef struct ebb_numpy_args {
	const char *images, *labels; /* paths of files, or names of entries in .file */
	const char *file;
	ebb_numpy_layout layout;
	int classes;
	ebb_error *error;
	const char *site;
} ebb_numpy_args;
EBB_API ebb_dataset *ebb_numpy(const ebb_numpy_args *a);

/* ---- Generated digits, without a download (digits.c, strokes.c) ----------------------------- */

/* Generates count images [count,1,28,28] of the digits 0 to 9 in shuffled order, each digit equally
 * often (to within one).  A digit is drawn from strokes in one of several handwritings, with random
 * affine and elastic distortion (Simard et al. 2003), thickness, contrast, gaps, clutter and noise.
 * Image i depends on (seed, i) alone: use different seeds for training and testing.  A linear model
 * stays below 90 % accuracy, a LeNet exceeds 97 %.  An error for a count below 1. */
EBB_API ebb_dataset *ebb_digits(int64_t count, uint64_t seed, ebb_error *e);

/* ---- Loaders (loader/) ---------------------------------------------------------------------- */

/* Persistent tensors that the loader owns; the next ebb_loader_next overwrites them. */
typedef struct ebb_batch {
	/* F32 (or .dtype) [B,C,H,W], channels-last memory: (x/255 - mean)/std.  With ten_crop the
	 * first axis has 10 B entries. */
	ebb_tensor *images;
	/* Of rows, instead of images: [B,...], row-major.  Floats are of .dtype, by default of the
	 * data set's type, and integers of theirs. */
	ebb_tensor *inputs;
	ebb_tensor *labels; /* I64 [B]; NULL for rows without classes */
	/* [B,classes] of the images' type, if .augment mixes images; for rows without classes
	 * [B,...], as inputs; else NULL */
	ebb_tensor *targets;
	int64_t count; /* B */
	int64_t index; /* of the batch in its epoch, from 0 */
} ebb_batch;

/* Divides the images or rows of a data set into batches: in the data set's order, or with .shuffle in a
 * random order that depends on (seed, epoch) alone.  A smaller last batch is kept unless
 * .drop_last.  mean and std (default 0 and 1) are per channel.
 *
 * .augment transforms every image first (augment.h).  If the images of the data set differ in size,
 * the pipeline must crop or resize them to one size.  An image that the data set skips is left out,
 * so its batch is smaller by one; a batch of which every image is skipped is left out.
 *
 * .workers threads prefetch up to .prefetch batches (default 2), also while the caller is between
 * two epochs.  With 0 workers ebb_loader_next makes the batch in the caller's thread.  Batches are
 * bit-identical in both cases.  With workers, ebb_alloc is called from several threads.  .cache is
 * the size in bytes of a cache of decoded images, for images that are read from files.
 *
 * .balanced: every class is sampled equally often in an epoch (to within one): images of small
 * classes repeat.  The number of images per epoch stays the same.  .rank and .world: process number
 * rank of world gets the images rank, rank + world, ... of the epoch's order, which is common to
 * all processes.  So exactly one process sees an image (with .drop_last, no process sees the last
 * up to world - 1 images).  Augmentation does not depend on rank and world.
 *
 * fork: if the thread that uses the loader forks, the loader continues with the remaining batches
 * in both processes.  The child starts its own worker threads at its first call.  fork waits until
 * no worker thread is processing an image, but at most two seconds.
 *
 * Of a data set of rows, .augment, .mean, .std and .cache are refused, and .balanced if it has no
 * classes.
 *
 * The data set and the pipeline must outlive the loader and must not change.  NULL with an error in
 * .error for: no data set or no images, a batch below 1 (with .drop_last also one larger than the
 * data set), a mean or std that is not finite, a std below 0, another dtype, a pipeline with an
 * error, images that differ in size or channels, negative numbers, labels out of range if .balanced
 * is set or .augment mixes images, out of memory, no thread. */
typedef struct ebb_loader ebb_loader;
typedef struct ebb_loader_args {
	const ebb_dataset *data;
	int64_t batch;
	bool shuffle;
	uint64_t seed;
	bool drop_last;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];
	ebb_dtype dtype; /* EBB_F32 (the default for images) or EBB_F64 */
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
EBB_API void ebb_loader_free(ebb_loader *l); /* allowed at any time */
/* The next batch.  False at the end of the epoch (and for NULL); the call after that begins the
 * next epoch.  False also when an image of the batch fails: ebb_loader_error then has the error,
 * and every further call returns false until ebb_loader_begin or ebb_loader_take.  For images in
 * memory without .augment it allocates nothing. */
EBB_API bool ebb_loader_next(ebb_loader *l, ebb_batch *b);
/* The error of the first image that failed, or NULL. */
EBB_API const ebb_error *ebb_loader_error(const ebb_loader *l);
/* Moves to the beginning of an epoch (from 0).  Allowed at any time. */
EBB_API void ebb_loader_begin(ebb_loader *l, int64_t epoch);
/* The current epoch: that of the last batch, or the one that ebb_loader_begin or ebb_loader_take
 * moved to. */
EBB_API int64_t ebb_loader_epoch(const ebb_loader *l);
EBB_API int64_t ebb_loader_batches(const ebb_loader *l); /* per epoch */

/* Saving and restoring the position of a loader (loader/state.c) in an archive, under a prefix
 * ("loader.").  Entries: the numbers epoch and next (the index of the next batch).  Metadata: the
 * settings that determine the batches (images, batch, shuffle, seed, balanced, drop_last, rank,
 * world).  A saver (training.h) calls these functions.
 *
 * The saved position is that of the next batch that the caller would get; prefetched batches do not
 * count.  After the last batch of an epoch, the saved position is the end of that epoch: the first
 * ebb_loader_next after loading returns false.  After ebb_loader_next has returned false, the saved
 * position is the beginning of the next epoch, and after loading ebb_loader_epoch returns the
 * number of the next epoch.  So this loop continues from any position:
 * for (int64_t k = ebb_loader_epoch(l); k < epochs; k++) while (ebb_loader_next(l, &batch)) .. */

/* Adds the position to a.  False with an error in e for a loader with an error, and out of
 * memory. */
EBB_API bool ebb_loader_put(const ebb_loader *l, ebb_archive *a, const char *prefix, ebb_error *e);
/* Whether a has the position of a loader whose settings are those of this loader.  The number of
 * workers, .prefetch and .cache may differ.  False with an error in e otherwise.  The data, the
 * augmentation, mean and std are not compared: the caller must use the same ones. */
EBB_API bool ebb_loader_fits(
	const ebb_loader *l, const ebb_archive *a, const char *prefix, ebb_error *e);
/* Moves to the position in a and clears the loader's error.  Batches before the position are not
 * computed.  Allowed at any time.  If ebb_loader_fits fails, or a child of fork cannot start its
 * threads: false with an error, and nothing is changed. */
EBB_API bool ebb_loader_take(ebb_loader *l, const ebb_archive *a, const char *prefix, ebb_error *e);

/* ---- Measures (metrics.c) ------------------------------------------------------------------- */

/* The share of rows of logits [N,classes] (F32 or F64) in which labels[i] (I64 [N]) is the largest,
 * or among the k largest.  Of equal logits the first counts as the largest.  NaN counts as larger
 * than any number, but a row counts as wrong if its label is out of range, or if the logit of its
 * label is NaN. Returns NaN for NULL or dropped tensors, for other shapes or types, for N = 0, and
 * for k < 1. */
EBB_API double ebb_accuracy(const ebb_tensor *logits, const ebb_tensor *labels);
EBB_API double ebb_topk_accuracy(const ebb_tensor *logits, const ebb_tensor *labels, int k);

/* 1 - ebb_topk_accuracy: the share of rows whose label is not among the k largest. */
EBB_API double ebb_topk_error(const ebb_tensor *logits, const ebb_tensor *labels, int k);

/* A confusion matrix: how often label i was classified as j, summed over batches. */
typedef struct ebb_confusion {
	int classes;
	int64_t *times; /* [classes, classes]: row = label, column = the largest logit */
} ebb_confusion;
EBB_API ebb_confusion *ebb_confusion_new(int classes, ebb_error *e);
EBB_API void ebb_confusion_free(ebb_confusion *c);
/* Counts every row of logits [N,classes] (F32 or F64); of equal logits the first is the largest.
 * False, and nothing is counted, for NULL or dropped tensors, other shapes or types, labels out of
 * range, and NaN. */
EBB_API bool ebb_confusion_add(
	ebb_confusion *c, const ebb_tensor *logits, const ebb_tensor *labels);
EBB_API void ebb_confusion_clear(ebb_confusion *c);
EBB_API double ebb_confusion_accuracy(const ebb_confusion *c); /* NaN if nothing was counted */
/* The recall of class k: the share of the images with label k that were classified as k; NaN if
 * there were no such images. */
EBB_API double ebb_confusion_class_accuracy(const ebb_confusion *c, int k);

/* A weighted running mean: initialise it with {0}. */
typedef struct ebb_average {
	double sum, weight;
} ebb_average;
EBB_API void ebb_average_add(ebb_average *a, double value, double weight);
EBB_API double ebb_average_value(const ebb_average *a); /* NaN if nothing was added */

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_dataset_custom(...)                                                                    \
	EBB_CALL_ARGS(ebb_dataset_custom, ebb_dataset_custom_args, __VA_ARGS__)
#define ebb_dataset_split(...) EBB_CALL_ARGS(ebb_dataset_split, ebb_dataset_split_args, __VA_ARGS__)
#define ebb_rows(...) EBB_CALL_ARGS(ebb_rows, ebb_rows_args, __VA_ARGS__)
#define ebb_windows(...) EBB_CALL_ARGS(ebb_windows, ebb_windows_args, __VA_ARGS__)
#define ebb_rows_custom(...) EBB_CALL_ARGS(ebb_rows_custom, ebb_rows_custom_args, __VA_ARGS__)
#define ebb_folder(...) EBB_CALL_ARGS(ebb_folder, ebb_folder_args, __VA_ARGS__)
#define ebb_list(...) EBB_CALL_ARGS(ebb_list, ebb_list_args, __VA_ARGS__)
#define ebb_numpy(...) EBB_CALL_ARGS(ebb_numpy, ebb_numpy_args, __VA_ARGS__)
#define ebb_loader_new(...) EBB_CALL_ARGS(ebb_loader_new, ebb_loader_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
