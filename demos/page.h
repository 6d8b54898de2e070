/* page.h - a page of text and images, drawn with Cairo, as a PNG file. */
#ifndef EBB_DEMOS_PAGE_H
#define EBB_DEMOS_PAGE_H

#include <cairo.h>
#include <ebb.h>

/* Sizes are in points; a point is PAGE_SCALE pixels of the file. */
enum { PAGE_SCALE = 2 };
enum {
	PAGE_INK = 0x1A1F26,
	PAGE_MUTED = 0x5A6470,
	PAGE_RULE = 0xC9CFD6,
	PAGE_BLUE = 0x0072B2,
	PAGE_ORANGE = 0xC2410C
};
typedef enum page_align { PAGE_LEFT, PAGE_CENTRE, PAGE_RIGHT } page_align;

/* A white page. */
cairo_t *page_new(double width, double height);
void page_colour(cairo_t *page, unsigned hex);
/* Draws a line of text whose left end, middle or right end is at x; smaller if it is wider than
 * room. */
void page_text(cairo_t *page, double x, double y, double size, double room, page_align align,
	bool bold, unsigned hex, const char *text);
/* Draws a line of code from x on. */
void page_code(cairo_t *page, double x, double y, double size, unsigned hex, const char *text);
/* Draws an image of that width; magnified pixels are squares unless smooth.  page_image adds a thin
 * frame, because a photograph may be as white as the page. */
void page_paint(
	cairo_t *page, const ebb_image *x, double left, double top, double width, bool smooth);
void page_image(
	cairo_t *page, const ebb_image *x, double left, double top, double width, bool smooth);
/* If ok, writes the page as a PNG file; frees the page.  False if it was not written. */
bool page_end(cairo_t *page, bool ok, const char *path, ebb_error *e);

#endif
