/* page.c - a page of text and images, drawn with Cairo. */
#include "page.h"

#include "surface.h"

void page_colour(cairo_t *page, unsigned hex)
{
	cairo_set_source_rgb(
		page, (hex >> 16) / 255.0, (hex >> 8 & 255) / 255.0, (hex & 255) / 255.0);
}

cairo_t *page_new(double width, double height)
{
	cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24,
		(int)(PAGE_SCALE * width + 0.5), (int)(PAGE_SCALE * height + 0.5));
	cairo_t *page = cairo_create(surface);

	cairo_surface_destroy(surface); /* the page still refers to it */
	cairo_scale(page, PAGE_SCALE, PAGE_SCALE);
	page_colour(page, 0xFFFFFF);
	cairo_paint(page);
	return page;
}

void page_text(cairo_t *page, double x, double y, double size, double room, page_align align,
	bool bold, unsigned hex, const char *text)
{
	cairo_text_extents_t extents;

	cairo_select_font_face(page, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
		bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(page, size);
	cairo_text_extents(page, text, &extents);
	if (extents.x_advance > room) {
		cairo_set_font_size(page, size * room / extents.x_advance);
		cairo_text_extents(page, text, &extents);
	}
	page_colour(page, hex);
	cairo_move_to(page, x - (double)align / 2 * extents.x_advance, y);
	cairo_show_text(page, text);
}

void page_code(cairo_t *page, double x, double y, double size, unsigned hex, const char *text)
{
	cairo_select_font_face(
		page, "monospace", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(page, size);
	page_colour(page, hex);
	cairo_move_to(page, x, y);
	cairo_show_text(page, text);
}

void page_paint(
	cairo_t *page, const ebb_image *x, double left, double top, double width, bool smooth)
{
	cairo_surface_t *surface =
		cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)x->width, (int)x->height);
	unsigned char *data = cairo_image_surface_get_data(surface);
	int stride = cairo_image_surface_get_stride(surface);
	double scale = width / (double)x->width, height = scale * (double)x->height;

	for (int64_t i = 0; data && i < x->height; i++) {
		uint32_t *row = (uint32_t *)(void *)(data + i * stride);

		for (int64_t j = 0; j < x->width; j++) {
			const uint8_t *p = x->pixels + (i * x->width + j) * x->channels;
			unsigned green = p[x->channels >= 3], blue = p[x->channels >= 3 ? 2 : 0];

			row[j] = (uint32_t)p[0] << 16 | green << 8 | blue;
		}
	}
	cairo_surface_mark_dirty(surface);
	cairo_save(page);
	cairo_rectangle(page, left, top, width, height);
	cairo_clip(page);
	cairo_translate(page, left, top);
	cairo_scale(page, scale, scale);
	cairo_set_source_surface(page, surface, 0, 0);
	cairo_pattern_set_extend(cairo_get_source(page), CAIRO_EXTEND_PAD);
	cairo_pattern_set_filter(cairo_get_source(page),
		smooth || scale * PAGE_SCALE < 1 ? CAIRO_FILTER_GOOD : CAIRO_FILTER_NEAREST);
	cairo_paint(page);
	cairo_restore(page);
	cairo_surface_destroy(surface);
}

void page_image(
	cairo_t *page, const ebb_image *x, double left, double top, double width, bool smooth)
{
	page_paint(page, x, left, top, width, smooth);
	page_colour(page, PAGE_RULE);
	cairo_set_line_width(page, 1.0 / PAGE_SCALE);
	cairo_rectangle(page, left, top, width, width * (double)x->height / (double)x->width);
	cairo_stroke(page);
}

bool page_end(cairo_t *page, bool ok, const char *path, ebb_error *e)
{
	ok = ok && surface_write_png(cairo_get_target(page), path, e);

	cairo_destroy(page);
	return ok;
}
