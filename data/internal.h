/*
 * internal.h - gzipped files, image formats, sources of data sets, and the strokes of digits: for
 * data/ and its tests only.
 */
#ifndef EBB_DATA_INTERNAL_H
#define EBB_DATA_INTERNAL_H

#include <pthread.h>

#include "data/data.h"
#include "kernels/sizes.h"

/* ---- Files, plain or gzipped (source.c) ----------------------------------------------------- */

typedef struct ebb_source ebb_source;
/* Opens a file, plain or gzipped.  NULL with an error if it cannot be opened or read. */
ebb_source *ebb_source_open(const char *path, ebb_error *e);
/* Reads up to n decompressed bytes; fewer only at the end of the file.  -1 with an error if reading
 * or decompressing fails. */
int64_t ebb_source_read(ebb_source *s, void *to, int64_t n, ebb_error *e);
/* An upper bound of the decompressed size of the whole file: its size, times the largest ratio of
 * deflate if it is gzipped. */
int64_t ebb_source_bound(const ebb_source *s);
void ebb_source_close(ebb_source *s);

typedef struct ebb_bytes {
	uint8_t *data;
	size_t size, capacity;
} ebb_bytes;
/* Reads a whole file of at least one byte.  EBB_BAD_FILE if it has more than most bytes.  b is
 * empty on failure. */
bool ebb_source_read_all(const char *path, int64_t most, ebb_bytes *b, ebb_error *e);
/* Grows b to a capacity of size bytes and keeps its contents.  False, without an error, if there is
 * no memory. */
bool ebb_bytes_reserve(ebb_bytes *b, size_t size);
void ebb_bytes_free(ebb_bytes *b);

/* Memory from the allocation hook that remembers its size, for libraries that free memory without
 * its size. */
void *ebb_sized_alloc(size_t size);
void ebb_sized_free(void *p);

/* ---- Images (image.c, decode.c, png.c, jpeg.c) ---------------------------------------------- */

/* As ebb_image_shape, for wide images too. */
bool ebb_image_room(
	ebb_image *x, int64_t height, int64_t width, int64_t channels, bool wide, ebb_error *e);
/* An error, with what as the name of the function, unless x has pixels and valid sizes. */
bool ebb_image_check(const ebb_image *x, const char *what, ebb_error *e);
static inline size_t ebb_sample_size(const ebb_image *x)
{
	return x->wide ? 2 : 1;
}
static inline size_t ebb_row_bytes(const ebb_image *x)
{
	return (size_t)(x->width * x->channels) * ebb_sample_size(x);
}

/* An encoded image and its options, with defaults filled in. */
typedef struct ebb_encoded {
	const uint8_t *bytes;
	size_t size;
	const char *name;
	ebb_image_options options;
	bool probe; /* read only the header: x gets no pixels */
} ebb_encoded;
bool ebb_png_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e);
bool ebb_jpeg_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e);
/* The EXIF orientation, 1 to 8, in a JPEG's APP1 segment; 1 if the segment has none. */
int ebb_exif_orientation(const uint8_t *bytes, size_t size);
/* y = x rotated and mirrored as the EXIF orientation says. */
bool ebb_image_turn(const ebb_image *x, int orientation, ebb_image *y, ebb_error *e);
/* Writes rows first, ..., first + count - 1 of the matrix [out,in] that resizes an axis from in to
 * out elements, with the weights of ebb_image_resize (resize.c).  False, without an error, if there
 * is no memory. */
bool ebb_resize_matrix(int64_t in, int64_t out, ebb_resize_filter filter, int64_t first,
	int64_t count, double *matrix);
/* An error if max_pixels does not allow an image of this size. */
bool ebb_encoded_size_fits(const ebb_encoded *f, int64_t height, int64_t width, ebb_error *e);

/* ---- Sources of images (dataset.c) ---------------------------------------------------------- */

/* Error messages or warnings of images, one per image index.  Index -1: an image that was left out
 * and has no index. */
typedef struct ebb_notes {
	struct ebb_note {
		int64_t index;
		char *message;
		size_t size;
	} * note;
	int64_t count, capacity;
} ebb_notes;

/* What a row of inputs or targets is. */
typedef struct ebb_form {
	ebb_dtype dtype; /* EBB_DEFAULT: there are none */
	ebb_shape shape;
} ebb_form;

/* Writes row i: its input and its target, row-major.  target is NULL if there are no targets. */
typedef ebb_fetched (*ebb_fill)(void *ctx, int64_t i, void *input, void *target, ebb_error *why);

typedef struct ebb_dataset_source {
	void *ctx;
	/* On failure, and when it skips an image, fills why with the error; on success, with a
	 * warning if there is one. */
	ebb_fetched (*fetch)(void *ctx, int64_t i, ebb_image *x, ebb_error *why);
	/* of a data set of rows, in place of fetch; errors as fetch */
	ebb_fill fill;
	ebb_form input, target;
	const char *(*path)(void *ctx, int64_t i); /* or NULL */
	void (*free_ctx)(void *ctx);               /* or NULL */
	ebb_shape shape;                           /* [C,H,W]; 0: differs between images */
	/* memory of class_names, if the data set owns it */
	void *names;
	size_t names_size;
	ebb_notes skipped, warned; /* guarded by the lock of ebb_notes_hold */
} ebb_dataset_source;

/* A data set whose labels are zero and whose images are read by fetch.  The caller sets ctx,
 * free_ctx, names and path as its last step, after everything that can fail. */
ebb_dataset *ebb_dataset_sourced(int64_t count, int classes,
	ebb_fetched (*fetch)(void *ctx, int64_t i, ebb_image *x, ebb_error *why), ebb_shape shape,
	ebb_error *e);
/* The same for rows (rows.c).  Without classes the data set has no labels. */
ebb_dataset *ebb_dataset_filled(int64_t count, int classes, ebb_fill fill, const ebb_form *input,
	const ebb_form *target, ebb_error *e);
static inline bool ebb_dataset_has_rows(const ebb_dataset *d)
{
	return d->source && d->source->fill;
}
/* Whether two data sets have the same rows: images, or rows of the same types and shapes. */
bool ebb_dataset_alike(const ebb_dataset *a, const ebb_dataset *b);
/* "images" or "rows", for error messages. */
const char *ebb_dataset_items(const ebb_dataset *d);
/* The bytes of a row, and their number of elements. */
size_t ebb_form_bytes(const ebb_form *f);
int64_t ebb_form_count(const ebb_form *f);
/* A persistent, row-major copy of any tensor; what is the subject of an error message. */
ebb_tensor *ebb_row_major_copy(const ebb_tensor *x, const char *what, ebb_error *e);
/* Reads row i of a data set of rows; fills why as ebb_dataset_try does. */
ebb_fetched ebb_dataset_try_row(
	const ebb_dataset *d, int64_t i, void *input, void *target, ebb_error *why);
/* Notes the warning or the error in why of image or row i.  Returns got, or EBB_FETCH_FAILED if
 * there is no memory. */
ebb_fetched ebb_dataset_noted(const ebb_dataset *d, int64_t i, ebb_fetched got, ebb_error *why);
/* As ebb_dataset_fetch, but fills why also for a skipped image, and with a warning. */
ebb_fetched ebb_dataset_try(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *why);
/* The result for a failed read: EBB_FETCH_SKIPPED or EBB_FETCH_FAILED. */
ebb_fetched ebb_dataset_excuse(ebb_on_error on_error, const ebb_error *why);
/* The result for a user's function that has returned ok for image or row i.  why is cleared if the
 * function succeeded after a failed attempt, and gets a message if it failed without one.  what:
 * "dataset_fetch: the image function failed for image". */
ebb_fetched ebb_dataset_answer(
	bool ok, ebb_on_error on_error, const char *what, int64_t i, ebb_error *why);
/* Adds a message for an image.  False if there is no memory. */
bool ebb_dataset_note(ebb_notes *notes, int64_t index, const char *message);
/* Locks or unlocks the mutex that guards the notes of all data sets; used around fork. */
void ebb_notes_hold(bool held);
/* Copies n names, which may be NULL.  False if there is no memory. */
bool ebb_dataset_name_classes(ebb_dataset *d, const char *const *names);

/* ---- Tables of files (files.c) -------------------------------------------------------------- */

typedef struct ebb_files {
	ebb_bytes text; /* the paths, each with its terminating NUL */
	struct ebb_file {
		size_t path; /* offset in text */
		int64_t label;
	} * file;
	int64_t count, capacity;
	ebb_image_options options;
	ebb_on_error on_error;
} ebb_files;
/* False with an error if there is no memory; what for is the name of the folder or list in the
 * error. */
bool ebb_files_add(ebb_files *f, const char *path, int64_t label, const char *what, ebb_error *e);
void ebb_files_free(ebb_files *f);
static inline const char *ebb_files_path(const ebb_files *f, int64_t i)
{
	return (const char *)f->text.data + f->file[i].path;
}
/* Sets the options that a folder and a list have in common; channels are as in ebb_folder_args.
 * False with an error. */
bool ebb_files_options(ebb_files *f, const ebb_image_options *o, ebb_on_error on_error,
	const char *site, ebb_error *e);
/* Makes a data set of these files and takes over their memory, also on failure.  With verify every
 * file is decoded first. */
ebb_dataset *ebb_files_dataset(
	ebb_files *f, int classes, bool verify, const char *what, ebb_error *e);

/* ---- Tensors as pictures (tensor.c) --------------------------------------------------------- */

/* Image n of a tensor [N,C,H,W], or a tensor [C,H,W], of U8 or floats. */
typedef struct ebb_planes {
	const char *data;
	ebb_dtype dtype;
	int64_t channels, height, width;
	int64_t stride[3]; /* strides of C, H and W in elements */
} ebb_planes;
bool ebb_tensor_planes(
	const ebb_tensor *x, int64_t n, const char *what, ebb_planes *p, ebb_error *e);
/* Extends range to include all finite numbers in p. */
void ebb_planes_range(const ebb_planes *p, double range[2]);
/* Converts p to bytes, rows stride bytes apart: floats map from range to 0..255; U8 is copied. */
void ebb_planes_draw(const ebb_planes *p, const double range[2], uint8_t *to, size_t stride);

/* ---- Strokes (strokes.c) -------------------------------------------------------------------- */

enum { EBB_MAX_INK = 256 };

/* Pen positions in the unit square, y downwards; start: the pen is lifted before this point. */
typedef struct ebb_ink {
	int count;
	struct {
		float x, y;
		bool start;
	} at[EBB_MAX_INK];
} ebb_ink;

/* The number of handwritings of a digit. */
int ebb_digit_hands(int digit);
/* One of the handwritings as a polyline. */
void ebb_digit_trace(int digit, int hand, ebb_ink *ink);

#endif
