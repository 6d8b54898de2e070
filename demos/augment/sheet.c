/* sheet.c - a page of labelled images, drawn with Cairo. */
#include "sheet.h"

#include <cairo.h>

#include "../surface.h"

/* Sizes in points.  A point is two pixels of the page, and a pixel of an image is one pixel of the
 * page. */
enum {
	SCALE = 2,
	CELL = SIDE / SCALE,
	GAP = 6,
	MARGIN = 36,
	LABELS = 238,
	HEAD = 96,
	GROUP = 34,
	WIDTH = 2 * MARGIN + LABELS + COLUMNS * (CELL + GAP) - GAP
};

static const unsigned INK = 0x1A1F26, MUTED = 0x5A6470, ACCENT = 0x0072B2, RULE = 0xE1E5E9;

static void colour(cairo_t *cr, unsigned hex)
{
	cairo_set_source_rgb(
		cr, (hex >> 16) / 255.0, (hex >> 8 & 255) / 255.0, (hex & 255) / 255.0);
}

static void text(cairo_t *cr, double x, double y, double size, bool bold, unsigned hex,
	const char *family, const char *s)
{
	cairo_select_font_face(cr, family, CAIRO_FONT_SLANT_NORMAL,
		bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(cr, size);
	colour(cr, hex);
	cairo_move_to(cr, x, y);
	cairo_show_text(cr, s);
}

static void place(cairo_t *cr, const ebb_image *x, double left, double top)
{
	cairo_surface_t *surface =
		cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)x->width, (int)x->height);
	unsigned char *data = cairo_image_surface_get_data(surface);
	int stride = cairo_image_surface_get_stride(surface);

	for (int64_t i = 0; data && i < x->height; i++) {
		uint32_t *row = (uint32_t *)(void *)(data + i * stride);

		for (int64_t j = 0; j < x->width; j++) {
			const uint8_t *p = x->pixels + (i * x->width + j) * x->channels;
			unsigned green = p[x->channels >= 3], blue = p[x->channels >= 3 ? 2 : 0];

			row[j] = (uint32_t)p[0] << 16 | green << 8 | blue;
		}
	}
	cairo_surface_mark_dirty(surface);
	cairo_save(cr);
	cairo_translate(cr, left, top);
	cairo_scale(cr, 1.0 / SCALE, 1.0 / SCALE);
	cairo_set_source_surface(cr, surface, 0, 0);
	cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
	cairo_paint(cr);
	cairo_restore(cr);
	cairo_surface_destroy(surface);
}

static double draw_row(cairo_t *cr, const sheet_row *r, double y)
{
	if (r->group) {
		colour(cr, RULE);
		cairo_rectangle(cr, MARGIN, y + 9, WIDTH - 2 * MARGIN, 1);
		cairo_fill(cr);
		text(cr, MARGIN, y + GROUP - 6, 10.5, true, ACCENT, "sans-serif", r->group);
		y += GROUP;
	}
	text(cr, MARGIN, y + CELL / 2.0 - 2, 14, true, INK, "sans-serif", r->name);
	text(cr, MARGIN, y + CELL / 2.0 + 14, 8.5, false, MUTED, "monospace", r->call);
	for (int k = 0; k < COLUMNS; k++)
		if (r->image[k].pixels)
			place(cr, &r->image[k], MARGIN + LABELS + k * (CELL + GAP), y);
	return y + CELL + GAP;
}

bool sheet_write(const char *path, const ebb_image *original, const char *subtitle,
	const sheet_row *rows, int n, ebb_error *e)
{
	double height = HEAD + 2 * MARGIN - GAP, y = MARGIN + HEAD;
	cairo_surface_t *page;
	cairo_t *cr;
	bool ok;

	for (int i = 0; i < n; i++)
		height += CELL + GAP + (rows[i].group ? GROUP : 0);
	page = cairo_image_surface_create(CAIRO_FORMAT_RGB24, SCALE * WIDTH, (int)(SCALE * height));
	cr = cairo_create(page);
	cairo_scale(cr, SCALE, SCALE);
	colour(cr, 0xFFFFFF);
	cairo_paint(cr);
	place(cr, original, MARGIN + LABELS, MARGIN);
	text(cr, MARGIN + LABELS + CELL + 14, MARGIN + CELL / 2.0 + 4, 10.5, false, MUTED,
		"sans-serif", "the original");
	text(cr, MARGIN, MARGIN + 30, 25, true, INK, "sans-serif", "Augmentation");
	text(cr, MARGIN, MARGIN + 50, 11, false, MUTED, "sans-serif", subtitle);
	for (int i = 0; i < n; i++)
		y = draw_row(cr, &rows[i], y);
	cairo_destroy(cr);
	ok = surface_write_png(page, path, e);
	cairo_surface_destroy(page);
	return ok;
}
