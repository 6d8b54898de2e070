/*
 * image.c - images in memory: allocation, channels, cropping and mirroring.
 */
#include <string.h>

#include "data/internal.h"

bool ebb_image_room(
	ebb_image *x, int64_t height, int64_t width, int64_t channels, bool wide, ebb_error *e)
{
	int64_t sample = wide ? 2 : 1;
	size_t bytes;

	if (!x || height < 1 || width < 1 || channels < 1 || channels > EBB_MAX_CHANNELS ||
		width > PTRDIFF_MAX / (channels * sample) ||
		height > PTRDIFF_MAX / (width * channels * sample)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"image: height %lld, width %lld, %lld channels%s: expected positive sizes, "
			"1 to %d channels, and an image",
			(long long)height, (long long)width, (long long)channels,
			x ? "" : " of no image", EBB_MAX_CHANNELS);
		return false;
	}
	bytes = (size_t)(height * width * channels * sample);
	if (bytes > x->capacity) {
		ebb_image_free(x);
		x->pixels = ebb_alloc(bytes);
		if (!x->pixels) {
			ebb_error_set(e, EBB_NO_MEMORY, NULL,
				"image: no memory for %lld x %lld pixels of %lld channels",
				(long long)height, (long long)width, (long long)channels);
			return false;
		}
		x->capacity = bytes;
	}
	x->height = height;
	x->width = width;
	x->channels = channels;
	x->wide = wide;
	return true;
}

bool ebb_image_shape(ebb_image *x, int64_t height, int64_t width, int64_t channels, ebb_error *e)
{
	return ebb_image_room(x, height, width, channels, false, e);
}

void ebb_image_free(ebb_image *x)
{
	if (!x)
		return;
	if (x->capacity > 0)
		ebb_free(x->pixels, x->capacity);
	*x = (ebb_image){0};
}

bool ebb_image_check(const ebb_image *x, const char *what, ebb_error *e)
{
	if (x && x->pixels && x->height > 0 && x->width > 0 && x->channels > 0 &&
		x->channels <= EBB_MAX_CHANNELS)
		return true;
	ebb_error_set(e, EBB_INVALID, NULL, "%s: an image without pixels%s", what,
		x && x->pixels ? ": its sizes are out of range" : "");
	return false;
}

/* Checks that x and y are different images and that x has pixels. */
static bool check_pair(const ebb_image *x, const ebb_image *y, const char *what, ebb_error *e)
{
	if (!ebb_image_check(x, what, e))
		return false;
	if (!y || x == y || (y->capacity > 0 && y->pixels == x->pixels)) {
		ebb_error_set(
			e, EBB_INVALID, NULL, "%s: expected a second image for the result", what);
		return false;
	}
	return true;
}

bool ebb_image_crop(const ebb_image *x, ebb_rect r, ebb_image *y, ebb_error *e)
{
	size_t pixel, row;
	const uint8_t *from;

	if (!check_pair(x, y, "image_crop", e))
		return false;
	if (r.top < 0 || r.left < 0 || r.height < 1 || r.width < 1 || r.height > x->height ||
		r.width > x->width || r.top > x->height - r.height || r.left > x->width - r.width) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"image_crop: %lld x %lld pixels from row %lld, column %lld on are not "
			"inside the %lld x %lld",
			(long long)r.height, (long long)r.width, (long long)r.top,
			(long long)r.left, (long long)x->height, (long long)x->width);
		return false;
	}
	if (!ebb_image_room(y, r.height, r.width, x->channels, x->wide, e))
		return false;
	pixel = (size_t)x->channels * ebb_sample_size(x);
	row = ebb_row_bytes(x);
	from = x->pixels + (size_t)r.top * row + (size_t)r.left * pixel;
	for (int64_t i = 0; i < r.height; i++)
		memcpy(y->pixels + (size_t)i * ebb_row_bytes(y), from + (size_t)i * row,
			ebb_row_bytes(y));
	return true;
}

bool ebb_image_copy(const ebb_image *x, ebb_image *y, ebb_error *e)
{
	if (!check_pair(x, y, "image_copy", e) ||
		!ebb_image_room(y, x->height, x->width, x->channels, x->wide, e))
		return false;
	memcpy(y->pixels, x->pixels, (size_t)x->height * ebb_row_bytes(x));
	return true;
}

/* ---- Channels ------------------------------------------------------------------------------- */

/* Converts n pixels of c channels to k channels.  With an even number of channels the last one is
 * alpha. */
#define CONVERT(type, opaque)                                                                      \
	static void convert_##type(const type *x, int64_t c, type *y, int64_t k, int64_t n)        \
	{                                                                                          \
		bool from_colour = c >= 3;                                                         \
                                                                                                   \
		for (int64_t i = 0; i < n; i++, x += c, y += k) {                                  \
			if (k >= 3) {                                                              \
				y[0] = x[0];                                                       \
				y[1] = x[from_colour ? 1 : 0];                                     \
				y[2] = x[from_colour ? 2 : 0];                                     \
			} else if (from_colour) {                                                  \
				y[0] = (type)((19595u * x[0] + 38470u * x[1] + 7471u * x[2] +      \
						      32768u) >>                                   \
					      16);                                                 \
			} else {                                                                   \
				y[0] = x[0];                                                       \
			}                                                                          \
			if (k % 2 == 0)                                                            \
				y[k - 1] = c % 2 == 0 ? x[c - 1] : (type)(opaque);                 \
		}                                                                                  \
	}
CONVERT(uint8_t, UINT8_MAX)
CONVERT(uint16_t, UINT16_MAX)

bool ebb_image_convert(const ebb_image *x, int channels, ebb_image *y, ebb_error *e)
{
	int64_t n;

	if (!check_pair(x, y, "image_convert", e))
		return false;
	if (channels == x->channels)
		return ebb_image_copy(x, y, e);
	if (!ebb_image_room(y, x->height, x->width, channels, x->wide, e))
		return false;
	n = x->height * x->width;
	if (x->wide)
		convert_uint16_t((const uint16_t *)(const void *)x->pixels, x->channels,
			(uint16_t *)(void *)y->pixels, channels, n);
	else
		convert_uint8_t(x->pixels, x->channels, y->pixels, channels, n);
	return true;
}

/* ---- Mirrors -------------------------------------------------------------------------------- */

static bool check_own(const ebb_image *x, const char *what, ebb_error *e)
{
	if (!ebb_image_check(x, what, e))
		return false;
	if (x->capacity > 0)
		return true;
	ebb_error_set(e, EBB_INVALID, NULL,
		"%s: the image does not own its pixels, so they cannot be changed", what);
	return false;
}

/* pixel is a constant in each inlined copy, so that the compiler turns a swap into a few moves. */
static inline void mirror_rows(uint8_t *row, int64_t rows, int64_t width, size_t pixel)
{
	for (int64_t i = 0; i < rows; i++, row += (size_t)width * pixel) {
		uint8_t *a = row, *b = row + (size_t)(width - 1) * pixel;

		for (; a < b; a += pixel, b -= pixel) {
			uint8_t swap[2 * EBB_MAX_CHANNELS];

			memcpy(swap, a, pixel);
			memcpy(a, b, pixel);
			memcpy(b, swap, pixel);
		}
	}
}

bool ebb_image_flip_horizontal(ebb_image *x, ebb_error *e)
{
	if (!check_own(x, "image_flip_horizontal", e))
		return false;
	switch ((size_t)x->channels * ebb_sample_size(x)) {
	case 1:
		mirror_rows(x->pixels, x->height, x->width, 1);
		break;
	case 3:
		mirror_rows(x->pixels, x->height, x->width, 3);
		break;
	case 4:
		mirror_rows(x->pixels, x->height, x->width, 4);
		break;
	default:
		mirror_rows(
			x->pixels, x->height, x->width, (size_t)x->channels * ebb_sample_size(x));
	}
	return true;
}

bool ebb_image_flip_vertical(ebb_image *x, ebb_error *e)
{
	size_t row;

	if (!check_own(x, "image_flip_vertical", e))
		return false;
	row = ebb_row_bytes(x);
	for (int64_t i = 0; i < x->height / 2; i++) {
		uint8_t *a = x->pixels + (size_t)i * row,
			*b = x->pixels + (size_t)(x->height - 1 - i) * row;

		for (size_t done = 0; done < row;) {
			uint8_t swap[256];
			size_t n = row - done < sizeof swap ? row - done : sizeof swap;

			memcpy(swap, a + done, n);
			memcpy(a + done, b + done, n);
			memcpy(b + done, swap, n);
			done += n;
		}
	}
	return true;
}
