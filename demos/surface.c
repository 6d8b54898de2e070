/* surface.c - writes a page drawn with Cairo to a PNG file. */
#include "surface.h"

bool surface_write_png(cairo_surface_t *surface, const char *path, ebb_error *e)
{
	const unsigned char *data = cairo_image_surface_get_data(surface);
	int height = cairo_image_surface_get_height(surface),
	    width = cairo_image_surface_get_width(surface),
	    stride = cairo_image_surface_get_stride(surface);
	ebb_image x = {0};
	bool ok;

	cairo_surface_flush(surface);
	if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS || !data) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: not written: %s", path,
			cairo_status_to_string(cairo_surface_status(surface)));
		return false;
	}
	ok = ebb_image_shape(&x, height, width, 3, e);
	for (int i = 0; ok && i < height; i++) {
		const uint32_t *row =
			(const uint32_t *)(const void *)(data + (size_t)i * (size_t)stride);
		uint8_t *to = x.pixels + (size_t)i * (size_t)width * 3;

		for (int k = 0; k < width; k++)
			for (int c = 0; c < 3; c++)
				*to++ = (uint8_t)(row[k] >> (16 - 8 * c));
	}
	ok = ok && ebb_image_write_png(path, &x, e);
	ebb_image_free(&x);
	return ok;
}
