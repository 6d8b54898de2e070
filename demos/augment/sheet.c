/* sheet.c - a page of labelled images, drawn with Cairo. */
#include "sheet.h"

#include "../page.h"

/* Sizes in points.  A pixel of an image is one pixel of the page. */
enum {
	CELL = SIDE / PAGE_SCALE,
	GAP = 6,
	MARGIN = 36,
	LABELS = 238,
	HEAD = 96,
	GROUP = 34,
	WIDTH = 2 * MARGIN + LABELS + COLUMNS * (CELL + GAP) - GAP
};

static void text(
	cairo_t *page, double x, double y, double size, bool bold, unsigned hex, const char *s)
{
	page_text(page, x, y, size, WIDTH, PAGE_LEFT, bold, hex, s);
}

static void place(cairo_t *page, const ebb_image *x, double left, double top)
{
	page_paint(page, x, left, top, (double)x->width / PAGE_SCALE, false);
}

static double draw_row(cairo_t *cr, const sheet_row *r, double y)
{
	if (r->group) {
		page_colour(cr, 0xE1E5E9);
		cairo_rectangle(cr, MARGIN, y + 9, WIDTH - 2 * MARGIN, 1);
		cairo_fill(cr);
		text(cr, MARGIN, y + GROUP - 6, 10.5, true, PAGE_BLUE, r->group);
		y += GROUP;
	}
	text(cr, MARGIN, y + CELL / 2.0 - 2, 14, true, PAGE_INK, r->name);
	page_code(cr, MARGIN, y + CELL / 2.0 + 14, 8.5, PAGE_MUTED, r->call);
	for (int k = 0; k < COLUMNS; k++)
		if (r->image[k].pixels)
			place(cr, &r->image[k], MARGIN + LABELS + k * (CELL + GAP), y);
	return y + CELL + GAP;
}

bool sheet_write(const char *path, const ebb_image *original, const char *subtitle,
	const sheet_row *rows, int n, ebb_error *e)
{
	double height = HEAD + 2 * MARGIN - GAP, y = MARGIN + HEAD;
	cairo_t *cr;

	for (int i = 0; i < n; i++)
		height += CELL + GAP + (rows[i].group ? GROUP : 0);
	cr = page_new(WIDTH, height);
	place(cr, original, MARGIN + LABELS, MARGIN);
	text(cr, MARGIN + LABELS + CELL + 14, MARGIN + CELL / 2.0 + 4, 10.5, false, PAGE_MUTED,
		"the original");
	text(cr, MARGIN, MARGIN + 30, 25, true, PAGE_INK, "Augmentation");
	text(cr, MARGIN, MARGIN + 50, 11, false, PAGE_MUTED, subtitle);
	for (int i = 0; i < n; i++)
		y = draw_row(cr, &rows[i], y);
	return page_end(cr, true, path, e);
}
