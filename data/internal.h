/*
 * internal.h - compressed files, image formats, where data sets read from, and the strokes of
 * digits: for data/ and its tests only.
 */
#ifndef EBB_DATA_INTERNAL_H
#define EBB_DATA_INTERNAL_H

#include <pthread.h>

#include "data/data.h"
#include "kernels/sizes.h"

/* ---- Files, plain or gzipped (source.c) ----------------------------------------------------- */

typedef struct ebb_source ebb_source;
/* NULL with an error for a file that cannot be opened or read. */
ebb_source *ebb_source_open(const char *path, ebb_error *e);
/* Reads up to n bytes; less only at the end.  -1 with an error if reading or unpacking fails. */
int64_t ebb_source_read(ebb_source *s, void *to, int64_t n, ebb_error *e);
/* The most bytes that the whole file can hold once unpacked: its size, or what deflate could at
 * best have packed into it. */
int64_t ebb_source_bound(const ebb_source *s);
void ebb_source_close(ebb_source *s);

typedef struct ebb_bytes {
	uint8_t *data;
	size_t size, capacity;
} ebb_bytes;
/* A whole file of at least one byte.  EBB_BAD_FILE beyond most bytes.  b is empty on failure. */
bool ebb_source_read_all(const char *path, int64_t most, ebb_bytes *b, ebb_error *e);
/* Room for size bytes; what b has is kept.  False without an error if there is no memory. */
bool ebb_bytes_reserve(ebb_bytes *b, size_t size);
void ebb_bytes_free(ebb_bytes *b);

/* Memory through the hook for libraries that give it back without its size. */
void *ebb_sized_alloc(size_t size);
void ebb_sized_free(void *p);

/* ---- Images (image.c, decode.c, png.c, jpeg.c) ---------------------------------------------- */

/* ebb_image_shape, also for wide ones. */
bool ebb_image_room(
	ebb_image *x, int64_t height, int64_t width, int64_t channels, bool wide, ebb_error *e);
/* An error (said by function what) unless x has pixels and possible sizes. */
bool ebb_image_check(const ebb_image *x, const char *what, ebb_error *e);
static inline size_t ebb_sample_size(const ebb_image *x)
{
	return x->wide ? 2 : 1;
}
static inline size_t ebb_row_bytes(const ebb_image *x)
{
	return (size_t)(x->width * x->channels) * ebb_sample_size(x);
}

/* An encoded image with its options, defaults filled in. */
typedef struct ebb_encoded {
	const uint8_t *bytes;
	size_t size;
	const char *name;
	ebb_image_options options;
	bool probe; /* the header alone: x gets no pixels */
} ebb_encoded;
bool ebb_png_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e);
bool ebb_jpeg_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e);
/* The orientation, 1 to 8, in a JPEG's APP1 segment; 1 if there is none in it. */
int ebb_exif_orientation(const uint8_t *bytes, size_t size);
/* y is x the way up that the orientation says. */
bool ebb_image_turn(const ebb_image *x, int orientation, ebb_image *y, ebb_error *e);
/* An error if the options do not allow an image of this size. */
bool ebb_encoded_size_fits(const ebb_encoded *f, int64_t height, int64_t width, ebb_error *e);

/* ---- Where images are read from (dataset.c) ------------------------------------------------- */

/* What is to be said of images, by number, each once; number -1: of one that has none any more. */
typedef struct ebb_notes {
	struct ebb_note {
		int64_t index;
		char *message;
		size_t size;
	} * note;
	int64_t count, room;
} ebb_notes;

typedef struct ebb_dataset_source {
	void *ctx;
	/* Fills why if it is not EBB_FETCHED, or with a warning if it is. */
	ebb_fetched (*fetch)(void *ctx, int64_t i, ebb_image *x, ebb_error *why);
	const char *(*path)(void *ctx, int64_t i); /* or NULL */
	void (*free_ctx)(void *ctx);               /* or NULL */
	ebb_shape shape;                           /* [C,H,W], 0: differs */
	void *names;                               /* the memory of class_names, if its own */
	size_t names_size;
	ebb_notes skipped, warned; /* see ebb_notes_hold */
} ebb_dataset_source;

/* A data set of labels zero whose images are fetched; ctx, names and path are the caller's to set
 * once nothing can fail any more. */
ebb_dataset *ebb_dataset_sourced(int64_t count, int classes,
	ebb_fetched (*fetch)(void *ctx, int64_t i, ebb_image *x, ebb_error *why), ebb_shape shape,
	ebb_error *e);
/* ebb_dataset_fetch that also says why it skipped, or what it warns of. */
ebb_fetched ebb_dataset_try(const ebb_dataset *d, int64_t i, ebb_image *x, ebb_error *why);
/* What a failed read comes to. */
ebb_fetched ebb_dataset_excuse(ebb_on_error on_error, const ebb_error *why);
/* Keeps a note.  False if there is no memory. */
bool ebb_dataset_note(ebb_notes *notes, int64_t index, const char *message);
/* The lock of all notes of the process, held or let go: for who is about to fork. */
void ebb_notes_hold(bool held);
/* Copies n names, NULL included.  False if there is no memory. */
bool ebb_dataset_name_classes(ebb_dataset *d, const char *const *names);

/* ---- Tables of files (files.c) -------------------------------------------------------------- */

typedef struct ebb_files {
	ebb_bytes text; /* the paths, each with its NUL */
	struct ebb_file {
		size_t path; /* where in text */
		int64_t label;
	} * file;
	int64_t count, room;
	ebb_image_options options;
	ebb_on_error on_error;
} ebb_files;
/* False with an error if there is no memory; what for names the folder or list. */
bool ebb_files_add(ebb_files *f, const char *path, int64_t label, const char *what, ebb_error *e);
void ebb_files_free(ebb_files *f);
static inline const char *ebb_files_path(const ebb_files *f, int64_t i)
{
	return (const char *)f->text.data + f->file[i].path;
}
/* What a folder and a list have in common.  Sets the options, whose channels are as in
 * ebb_folder_args; false with an error. */
bool ebb_files_options(ebb_files *f, const ebb_image_options *o, ebb_on_error on_error,
	const char *site, ebb_error *e);
/* The data set of these files, which it takes; with verify every file is unpacked before.  On
 * failure they are freed. */
ebb_dataset *ebb_files_dataset(
	ebb_files *f, int classes, bool verify, const char *what, ebb_error *e);

/* ---- Tensors as pictures (tensor.c) --------------------------------------------------------- */

/* Image n of a tensor [N,C,H,W], or all of [C,H,W], of U8 or real numbers. */
typedef struct ebb_planes {
	const char *data;
	ebb_dtype dtype;
	int64_t channels, height, width;
	int64_t stride[3]; /* of each of these, in elements */
} ebb_planes;
bool ebb_tensor_planes(
	const ebb_tensor *x, int64_t n, const char *what, ebb_planes *p, ebb_error *e);
/* Widens range to the finite numbers in p. */
void ebb_planes_range(const ebb_planes *p, double range[2]);
/* As bytes, rows stride apart: range is spread over 0 to 255; U8 stays as it is. */
void ebb_planes_draw(const ebb_planes *p, const double range[2], uint8_t *to, size_t stride);

/* ---- Strokes (strokes.c) -------------------------------------------------------------------- */

enum { EBB_MAX_INK = 256 };

/* Pen positions in the unit square, y downwards; start lifts the pen before this point. */
typedef struct ebb_ink {
	int count;
	struct {
		float x, y;
		bool start;
	} at[EBB_MAX_INK];
} ebb_ink;

/* How many hands (ways of writing) there are of a digit. */
int ebb_digit_hands(int digit);
/* One of them as a polyline. */
void ebb_digit_trace(int digit, int hand, ebb_ink *ink);

#endif
