/*
 * image.h - pictures in memory: reading and writing PNG and JPEG, resizing, cropping, and the way
 * to tensors and back.
 *
 * An image is a struct on the user's stack that starts as {0}.  A function that fills one makes
 * room in it, reusing the memory it has; ebb_image_free gives that back.  On failure the result
 * holds nothing of use, but it may be filled again, and must be freed.  Errors fill an ebb_error
 * (which may be NULL).
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
	/* [height][width][channels], no gaps.  If wide, every sample is a uint16_t (in memory
	 * aligned for it), else a byte. */
	uint8_t *pixels;
	/* 1 channel: grey; 2: grey and alpha; 3: red, green, blue; 4: and alpha */
	int64_t height, width, channels;
	bool wide;
	/* Bytes that the image owns at pixels.  0: they are someone else's, and only read. */
	size_t capacity;
} ebb_image;

/* Room for an image of bytes; what is in it is undefined.  Memory of the image's own is reused
 * where it suffices.  An error for sizes below 1, more than EBB_MAX_CHANNELS channels, and no
 * memory. */
EBB_API bool ebb_image_shape(
	ebb_image *x, int64_t height, int64_t width, int64_t channels, ebb_error *e);
/* Gives the memory back and zeroes x. */
EBB_API void ebb_image_free(ebb_image *x);

/* In the functions below x is read and y is filled; they must be two images. */

EBB_API bool ebb_image_copy(const ebb_image *x, ebb_image *y, ebb_error *e);
/* y has so many channels.  Colour to grey: L = (19595 R + 38470 G + 7471 B + 32768) / 65536
 * (ITU-R BT.601, as Pillow's "L").  Alpha is dropped, or added opaque. */
EBB_API bool ebb_image_convert(const ebb_image *x, int channels, ebb_image *y, ebb_error *e);

typedef struct ebb_rect {
	int64_t top, left, height, width;
} ebb_rect;

/* The part of x inside r, which must be inside x. */
EBB_API bool ebb_image_crop(const ebb_image *x, ebb_rect r, ebb_image *y, ebb_error *e);
/* Mirrors x where it is: left and right, or top and bottom.  An image whose pixels are someone
 * else's is left alone (EBB_INVALID). */
EBB_API bool ebb_image_flip_horizontal(ebb_image *x, ebb_error *e);
EBB_API bool ebb_image_flip_vertical(ebb_image *x, ebb_error *e);

/* ---- Resizing (resize.c) --------------------------------------------------------------------- */

typedef enum ebb_resize_filter {
	EBB_RESIZE_BILINEAR, /* triangle of radius 1 */
	EBB_RESIZE_BICUBIC,  /* Keys 1981 with a = -0.5, radius 2 */
	EBB_RESIZE_AREA,     /* box of radius 1/2: the mean over the area of a pixel */
	EBB_RESIZE_NEAREST   /* the pixel under the centre; no antialiasing */
} ebb_resize_filter;

/* y of height x width from the part .crop of x (default: all of it; what is outside does not
 * matter).  The filter's radius grows with the factor of shrinking, so that no pixel is left out
 * (antialiasing), and weights are rounded to 22 bits, as in Pillow, whose results these are.  Not
 * for wide images (EBB_INVALID). */
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
	/* What becomes of the file's channels: 0 leaves them as they are (a palette or bits become
	 * bytes, transparency becomes alpha), 1 to 4 converts as ebb_image_convert does; but of
	 * a colour JPEG, grey is its own luma. */
	int channels;
	/* Samples of 16 bits stay so, and the image is wide.  Else they become v / 257, rounded. */
	bool keep_wide;
	/* A larger image is refused before it is unpacked; default 2^26 = 67,108,864. */
	int64_t max_pixels;
	/* A JPEG whose camera was held another way (EXIF's orientation) is turned upright. */
	bool upright;
	/* Refuses what else would be a warning. */
	bool strict;
	/* JPEG may be unpacked at 1/8 to 7/8 of its size, in steps of 1/8, for speed: the smallest
	 * at which the shorter side still has this many pixels.  0: whole. */
	int64_t shorter_side;
	/* If not NULL: set to EBB_BAD_FILE, with the path, if the file was read in spite of a
	 * defect outside of its pixels' data. */
	ebb_error *warning;
} ebb_image_options;

/* A PNG or JPEG file, told apart by their first bytes, whatever the name.  o may be NULL: all
 * defaults.  EBB_BAD_FILE, with the path, for a missing, truncated or damaged file, one that is
 * too large, another format, JPEG where Ebb was built without it; EBB_INVALID for options out of
 * range.  PNG: all colour types and depths, interlaced too; gamma and colour profiles are ignored.
 * JPEG: what libjpeg-turbo reads, grey or colour; CMYK and YCCK become colours as in Pillow's
 * convert("RGB"): the inks are taken as inverted, profiles are ignored.  Bytes between segments
 * that belong to none, and application segments of unknown versions, are a warning; what follows
 * the end is ignored; data that end too early or cannot be decoded are an error. */
EBB_API bool ebb_image_read(
	const char *path, const ebb_image_options *o, ebb_image *x, ebb_error *e);
/* The same from memory.  name stands for the path in errors; NULL: "image". */
EBB_API bool ebb_image_decode(const void *bytes, size_t size, const char *name,
	const ebb_image_options *o, ebb_image *x, ebb_error *e);
/* What the file says of itself, before it is turned upright; x gets sizes, channels and wide, but
 * no pixels. */
EBB_API bool ebb_image_probe(
	const void *bytes, size_t size, const char *name, ebb_image *x, ebb_error *e);

/* PNG of 8 or 16 bits, grey or colour, with or without alpha.  A failed write leaves at path what
 * was there before; a symbolic link stays, and a device or FIFO is written to directly. */
EBB_API bool ebb_image_write_png(const char *path, const ebb_image *x, ebb_error *e);
/* The same into memory, *size bytes at *bytes: give them back with ebb_free(*bytes, *capacity). */
EBB_API bool ebb_image_encode_png(
	const ebb_image *x, uint8_t **bytes, size_t *size, size_t *capacity, ebb_error *e);

/* ---- Tensors and grids (tensor.c, grid.c) ---------------------------------------------------- */

/* A stored tensor [C,H,W], row-major: U8 as the samples are; F32 or F64 (EBB_DEFAULT: F32) as
 * v/255 in [0,1], v/65535 if wide.  The caller frees it.  NULL on failure. */
EBB_API ebb_tensor *ebb_image_to_tensor(const ebb_image *x, ebb_dtype dtype, ebb_error *e);
/* Image n of a tensor [N,C,H,W], or a tensor [C,H,W] (n = 0).  U8 as it is; F32 and F64 as
 * 255 v, rounded and clamped (NaN: 0). */
EBB_API bool ebb_image_from_tensor(const ebb_tensor *x, int64_t n, ebb_image *y, ebb_error *e);

/* Many images as one, row after row: those of .tensor [N,C,H,W], or the n at .images (of bytes
 * and equally many channels; cells have the largest height and width among them, each image at the
 * top left of its own).  Of a tensor of real numbers, .range (default 0 to 1) is spread over
 * black to white, or with .fit the range of its own numbers. */
typedef struct ebb_image_grid_args {
	ebb_image *y;
	const ebb_tensor *tensor;
	const ebb_image *images;
	int64_t n;
	int64_t columns;    /* default 8; fewer if there are fewer images */
	int64_t pad;        /* pixels around every image; default 2, EBB_NO_PAD for none */
	uint8_t background; /* of every channel (alpha is opaque) */
	double range[2];
	bool fit;
	ebb_error *error;
	const char *site;
} ebb_image_grid_args;
enum { EBB_NO_PAD = -1 };
EBB_API bool ebb_image_grid(const ebb_image_grid_args *a);

/* ---- The macros that add the call site ------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_image_resize(...)                                                                      \
	ebb_image_resize(&(ebb_image_resize_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_image_grid(...) ebb_image_grid(&(ebb_image_grid_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
