/*
 * image.h - images in memory: reading and writing PNG and JPEG, resizing, cropping, conversion to
 * tensors and back.
 *
 * An ebb_image is a struct on the caller's stack, initialised with {0}.  A function that fills an
 * image allocates its pixels, or reuses the memory that the image already owns; ebb_image_free
 * releases this memory.  After a failure the pixels of the image are undefined; the image may be
 * filled again, and must still be freed.  Errors fill an ebb_error (which may be NULL).
 */
#ifndef EBB_IMAGE_H
#define EBB_IMAGE_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Images (image.c) ------------------------------------------------------------------------ */

enum { EBB_MAX_CHANNELS = 4 };

typedef struct ebb_image {
	/* [height][width][channels] without padding.  If wide is true, a sample is a uint16_t (and
	 * the memory is aligned for it), else a byte. */
	uint8_t *pixels;
	/* 1 channel: grey; 2: grey, alpha; 3: red, green, blue; 4: red, green, blue, alpha */
	int64_t height, width, channels;
	bool wide;
	/* The number of bytes at pixels that the image owns.  0: the image does not own its pixels;
	 * functions only read them. */
	size_t capacity;
} ebb_image;

/* Allocates an image of bytes whose samples are undefined.  Memory that x owns is reused if it is
 * large enough.  An error for sizes below 1, more than EBB_MAX_CHANNELS channels, and out of
 * memory. */
EBB_API bool ebb_image_shape(
	ebb_image *x, int64_t height, int64_t width, int64_t channels, ebb_error *e);
/* Releases the memory of x and zeroes x. */
EBB_API void ebb_image_free(ebb_image *x);

/* The functions below read x and fill y; x and y must be different images. */

EBB_API bool ebb_image_copy(const ebb_image *x, ebb_image *y, ebb_error *e);
/* Converts x to the given number of channels.  Colour to grey: L = (19595 R + 38470 G + 7471 B +
 * 32768) / 65536 (ITU-R BT.601, as Pillow's "L").  An alpha channel is dropped, or added as
 * opaque. */
EBB_API bool ebb_image_convert(const ebb_image *x, int channels, ebb_image *y, ebb_error *e);

typedef struct ebb_rect {
	int64_t top, left, height, width;
} ebb_rect;

/* Copies the part of x inside r; r must lie inside x. */
EBB_API bool ebb_image_crop(const ebb_image *x, ebb_rect r, ebb_image *y, ebb_error *e);
/* Mirrors x in place: left and right, or top and bottom.  An image that does not own its pixels is
 * an error (EBB_INVALID), and remains unchanged. */
EBB_API bool ebb_image_flip_horizontal(ebb_image *x, ebb_error *e);
EBB_API bool ebb_image_flip_vertical(ebb_image *x, ebb_error *e);

/* ---- Resizing (resize.c) --------------------------------------------------------------------- */

typedef enum ebb_resize_filter {
	EBB_RESIZE_BILINEAR, /* triangle of radius 1 */
	EBB_RESIZE_BICUBIC,  /* Keys 1981 with a = -0.5, radius 2 */
	EBB_RESIZE_AREA,     /* box of radius 1/2: the mean over the area of an output pixel */
	EBB_RESIZE_NEAREST   /* the input pixel under the output pixel's centre; no antialiasing */
} ebb_resize_filter;

/* Resizes the part .crop of x (default: all of x) to height x width.  Pixels outside of .crop have
 * no influence.  When x shrinks, the filter's radius grows in proportion, so that each input pixel
 * contributes (antialiasing).  Weights are rounded to 22 bits.  Results equal Pillow's bit for bit.
 * Wide images are an error (EBB_INVALID). */
typedef struct ebb_image_resize_args {
	const ebb_image *x;
	ebb_image *y;
	int64_t height, width;
	ebb_resize_filter filter;
	ebb_rect crop;
	ebb_error *error;
	const char *site;
} ebb_image_resize_args;
EBB_API bool ebb_image_resize(const ebb_image_resize_args *a);

/* ---- Files (decode.c, png.c, jpeg.c) --------------------------------------------------------- */

typedef struct ebb_image_options {
	/* The number of channels of the result.  0 keeps the file's channels: palette indices and
	 * samples of less than 8 bits become bytes, and transparency becomes an alpha channel.  1
	 * to 4 converts as ebb_image_convert does, but grey from a colour JPEG is the luma that the
	 * file holds. */
	int channels;
	/* Keep samples of 16 bits; the image is then wide.  Otherwise a sample v becomes v / 257,
	 * rounded. */
	bool keep_wide;
	/* An image of more pixels is an error, before it is decoded.  Default 2^26 = 67,108,864. */
	int64_t max_pixels;
	/* Rotate or mirror a JPEG as its EXIF orientation says. */
	bool upright;
	/* A defect that would be a warning is an error. */
	bool strict;
	/* Decode a JPEG at 1/8 to 7/8 of its size, in steps of 1/8, for speed: the smallest size at
	 * which the shorter side has at least this many pixels.  0: full size. */
	int64_t shorter_side;
	/* If not NULL: set to EBB_BAD_FILE, with the path, if the file was decoded although it has
	 * a defect outside of its pixel data. */
	ebb_error *warning;
} ebb_image_options;

/* Reads a PNG or JPEG file.  The first bytes of the file decide on the format, not its name.  o may
 * be NULL: all defaults.
 * EBB_BAD_FILE, with the path, for a missing, truncated or damaged file, for an image of too many
 * pixels, for another format, and for JPEG if Ebb was built without it; EBB_INVALID for options out
 * of range.
 * PNG: all colour types and depths, interlaced or not; gamma and colour profiles are ignored.
 * JPEG: what libjpeg-turbo reads, grey or colour.  CMYK and YCCK are converted to RGB as by
 * Pillow's convert("RGB"): the file's ink values are assumed to be inverted, and colour profiles
 * are ignored.  Bytes between segments that belong to no segment, and application segments of
 * unknown versions, are a warning.  Bytes after the end are ignored.  Data that end too early or
 * cannot be decoded are an error. */
EBB_API bool ebb_image_read(
	const char *path, const ebb_image_options *o, ebb_image *x, ebb_error *e);
/* As ebb_image_read, from memory.  Errors show name in place of the path; NULL: "image". */
EBB_API bool ebb_image_decode(const void *bytes, size_t size, const char *name,
	const ebb_image_options *o, ebb_image *x, ebb_error *e);
/* Reads height, width, channels and wide of x from the header.  The size is that of the image in
 * the file, before any rotation by .upright.  x gets no pixels. */
EBB_API bool ebb_image_probe(
	const void *bytes, size_t size, const char *name, ebb_image *x, ebb_error *e);

/* Writes a PNG of 8 or 16 bits, grey or colour, with or without alpha.  After a failure the file at
 * path is unchanged.  If path is a symbolic link, its target is replaced.  A device or FIFO is
 * written to directly. */
EBB_API bool ebb_image_write_png(const char *path, const ebb_image *x, ebb_error *e);
/* As ebb_image_write_png, into memory: *size bytes at *bytes, which the caller frees with
 * ebb_free(*bytes, *capacity). */
EBB_API bool ebb_image_encode_png(
	const ebb_image *x, uint8_t **bytes, size_t *size, size_t *capacity, ebb_error *e);

/* ---- Tensors and grids (tensor.c, grid.c) ---------------------------------------------------- */

/* Returns a persistent tensor [C,H,W], row-major, which the caller frees.  U8: the samples as they
 * are; F32 or F64 (EBB_DEFAULT: F32): v/255 in [0,1], or v/65535 if x is wide.  NULL on failure. */
EBB_API ebb_tensor *ebb_image_to_tensor(const ebb_image *x, ebb_dtype dtype, ebb_error *e);
/* Converts image n of a tensor [N,C,H,W], or a tensor [C,H,W] (n = 0).  U8 is copied; F32 and F64
 * become 255 v, rounded and clamped to 0..255 (NaN: 0). */
EBB_API bool ebb_image_from_tensor(const ebb_tensor *x, int64_t n, ebb_image *y, ebb_error *e);

/* Arranges many images as one, row by row: the images of .tensor [N,C,H,W], or the n images at
 * .images (of bytes, with the same number of channels).  All cells have the largest height and
 * width among the images, and an image is at the top left of its cell.  For a tensor of floats, the
 * values .range[0] and .range[1] (default 0 and 1) become black and white; with .fit, the minimum
 * and the maximum of the tensor do. */
typedef struct ebb_image_grid_args {
	ebb_image *y;
	const ebb_tensor *tensor;
	const ebb_image *images;
	int64_t n;
	int64_t columns;    /* default 8, or n if that is smaller */
	int64_t pad;        /* pixels around every image; default 2, EBB_NO_PAD for none */
	uint8_t background; /* value of every channel but alpha, which is opaque */
	double range[2];
	bool fit;
	ebb_error *error;
	const char *site;
} ebb_image_grid_args;
enum { EBB_NO_PAD = -1 };
EBB_API bool ebb_image_grid(const ebb_image_grid_args *a);

/* ---- The macros that add the call site ------------------------------------------------------ */

#define ebb_image_resize(...) EBB_CALL_ARGS(ebb_image_resize, ebb_image_resize_args, __VA_ARGS__)
#define ebb_image_grid(...) EBB_CALL_ARGS(ebb_image_grid, ebb_image_grid_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
