/*
 * decode.c - decodes image files; their first bytes decide on the format.
 */
#include <string.h>

#include "data/internal.h"

/* MOST_BYTES exceeds the size of any uncompressed file of MOST_PIXELS pixels with 4 channels of 16
 * bits. */
static const int64_t MOST_PIXELS = INT64_C(1) << 26, MOST_BYTES = INT64_C(1) << 30;

bool ebb_encoded_size_fits(const ebb_encoded *f, int64_t height, int64_t width, ebb_error *e)
{
	if (height < 1 || width < 1) {
		ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: damaged: no pixels in it", f->name);
		return false;
	}
	if (height <= f->options.max_pixels / width)
		return true;
	ebb_error_set(e, EBB_BAD_FILE, NULL,
		"%s: %lld x %lld pixels, more than the %lld that are allowed", f->name,
		(long long)height, (long long)width, (long long)f->options.max_pixels);
	return false;
}

static bool check_options(const ebb_image_options *o, ebb_error *e)
{
	if (o->channels >= 0 && o->channels <= EBB_MAX_CHANNELS && o->max_pixels >= 0 &&
		o->shorter_side >= 0)
		return true;
	ebb_error_set(e, EBB_INVALID, NULL,
		"image: %d channels, at most %lld pixels, shorter side %lld: expected 0 to %d "
		"channels, and nothing below 0",
		o->channels, (long long)o->max_pixels, (long long)o->shorter_side,
		EBB_MAX_CHANNELS);
	return false;
}

static bool starts_with(const ebb_encoded *f, const char *magic, size_t n)
{
	return f->size >= n && memcmp(f->bytes, magic, n) == 0;
}

static bool decode(const void *bytes, size_t size, const char *name, const ebb_image_options *o,
	bool probe, ebb_image *x, ebb_error *e)
{
	ebb_encoded f = {bytes, size, name ? name : "image", {0}, probe};

	if (o)
		f.options = *o;
	if (!bytes || !x) {
		ebb_error_set(e, EBB_INVALID, NULL, "%s: %s is NULL", f.name,
			x ? "what to decode" : "the image to fill");
		return false;
	}
	if (!check_options(&f.options, e))
		return false;
	if (probe)
		ebb_image_free(x);
	if (f.options.max_pixels == 0)
		f.options.max_pixels = MOST_PIXELS;
	if (starts_with(&f, "\x89PNG\r\n\x1a\n", 8))
		return ebb_png_decode(&f, x, e);
	if (starts_with(&f, "\xff\xd8\xff", 3))
		return ebb_jpeg_decode(&f, x, e);
	if (size >= 4)
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: neither PNG nor JPEG: it begins with %02x %02x %02x %02x", f.name,
			f.bytes[0], f.bytes[1], f.bytes[2], f.bytes[3]);
	else
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: truncated: %zu bytes are too few for an image", f.name, size);
	return false;
}

bool ebb_image_decode(const void *bytes, size_t size, const char *name, const ebb_image_options *o,
	ebb_image *x, ebb_error *e)
{
	return decode(bytes, size, name, o, false, x, e);
}

bool ebb_image_probe(const void *bytes, size_t size, const char *name, ebb_image *x, ebb_error *e)
{
	static const ebb_image_options as_it_is = {.keep_wide = true, .max_pixels = INT64_MAX};

	return decode(bytes, size, name, &as_it_is, true, x, e);
}

bool ebb_image_read(const char *path, const ebb_image_options *o, ebb_image *x, ebb_error *e)
{
	ebb_bytes b = {0};
	bool ok;

	if (!path) {
		ebb_error_set(e, EBB_INVALID, NULL, "image_read: path is NULL");
		return false;
	}
	ok = ebb_source_read_all(path, MOST_BYTES, &b, e) &&
	     ebb_image_decode(b.data, b.size, path, o, x, e);
	ebb_bytes_free(&b);
	return ok;
}
