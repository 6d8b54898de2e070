/* canvas.c - what panels are drawn with: colours, text, markers. */
#include "flow/internal.h"

#include <math.h>

/* ---- Colours --------------------------------------------------------------------------------- */

/* Okabe & Ito's colours, darkened for a white and lightened for a black background. */
static const unsigned light[EBB_PALETTE] = {
	0x0072B2, 0xD55E00, 0x009E73, 0xB8508F, 0xBF7F00, 0x3A97D3, 0x4D4D4D, 0x8F8400};
static const unsigned dark[EBB_PALETTE] = {
	0x56B4E9, 0xFF8C4B, 0x2CC79A, 0xE896C6, 0xF2B134, 0xA3D5F7, 0xC9D1D9, 0xF0E442};

/* The colour map viridis (van der Walt & Smith 2015) at tenths. */
static const unsigned viridis[] = {0x440154, 0x482475, 0x414487, 0x355F8D, 0x2A788E, 0x21918C,
	0x22A884, 0x44BF70, 0x7AD151, 0xBDDF26, 0xFDE725};

static ebb_rgb rgb(unsigned hex)
{
	return (ebb_rgb){(hex >> 16) / 255.0, (hex >> 8 & 255) / 255.0, (hex & 255) / 255.0};
}

void ebb_canvas_theme(ebb_canvas *c, bool is_dark)
{
	c->dark = is_dark;
	c->paper = rgb(is_dark ? 0x14171C : 0xFFFFFF);
	c->ink = rgb(is_dark ? 0xE8EDF2 : 0x1A1F26);
	c->muted = rgb(is_dark ? 0x9CA7B4 : 0x5A6470);
	c->grid = rgb(is_dark ? 0x2A3038 : 0xE7EAED);
}

ebb_rgb ebb_canvas_colour(const ebb_canvas *c, int k)
{
	return rgb((c->dark ? dark : light)[k]);
}

ebb_rgb ebb_map_colour(const ebb_canvas *c, double share)
{
	enum { LAST = sizeof viridis / sizeof *viridis - 1 };
	/* Without the colours that are close to the paper. */
	double from = c->dark ? 0.22 : 0, to = c->dark ? 1 : 0.94;
	double at = (from + fmin(fmax(share, 0), 1) * (to - from)) * LAST, rest;
	int k = at < LAST ? (int)at : LAST - 1;
	ebb_rgb a = rgb(viridis[k]), b = rgb(viridis[k + 1]);

	rest = at - k;
	return (ebb_rgb){
		a.r + rest * (b.r - a.r), a.g + rest * (b.g - a.g), a.b + rest * (b.b - a.b)};
}

void ebb_canvas_source(ebb_canvas *c, ebb_rgb colour, double alpha)
{
	cairo_set_source_rgba(c->cr, colour.r, colour.g, colour.b, alpha);
}

/* ---- Text and lines -------------------------------------------------------------------------- */

double ebb_canvas_width(ebb_canvas *c, double size, bool bold, const char *s)
{
	cairo_text_extents_t extents;

	cairo_select_font_face(c->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
		bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(c->cr, size);
	cairo_text_extents(c->cr, s ? s : "", &extents);
	return extents.x_advance;
}

double ebb_canvas_text(ebb_canvas *c, double x, double y, double align, double size, bool bold,
	ebb_rgb colour, const char *s)
{
	double width = ebb_canvas_width(c, size, bold, s);

	if (!s || !*s)
		return 0;
	ebb_canvas_source(c, colour, 1);
	cairo_move_to(c->cr, x - align * width, y);
	cairo_show_text(c->cr, s);
	cairo_new_path(c->cr);
	return width;
}

void ebb_canvas_line(ebb_canvas *c, double x0, double y0, double x1, double y1)
{
	cairo_move_to(c->cr, x0, y0);
	cairo_line_to(c->cr, x1, y1);
	cairo_stroke(c->cr);
}

/* ---- Markers --------------------------------------------------------------------------------- */

static void polygon(cairo_t *cr, double x, double y, double r, int corners, double first)
{
	for (int i = 0; i < corners; i++) {
		double angle = first + 2 * M_PI * i / corners;

		cairo_line_to(cr, x + r * cos(angle), y + r * sin(angle));
	}
	cairo_close_path(cr);
}

/* The outline of a marker; the areas of the shapes are about equal. */
static void outline(cairo_t *cr, ebb_marker marker, double x, double y, double r)
{
	cairo_new_path(cr);
	switch (marker) {
	case EBB_SQUARE:
		polygon(cr, x, y, 1.25 * r, 4, M_PI / 4);
		break;
	case EBB_TRIANGLE:
		polygon(cr, x, y + 0.2 * r, 1.45 * r, 3, -M_PI / 2);
		break;
	case EBB_DIAMOND:
		polygon(cr, x, y, 1.3 * r, 4, 0);
		break;
	case EBB_CROSS:
		cairo_move_to(cr, x - 0.85 * r, y - 0.85 * r);
		cairo_line_to(cr, x + 0.85 * r, y + 0.85 * r);
		cairo_move_to(cr, x - 0.85 * r, y + 0.85 * r);
		cairo_line_to(cr, x + 0.85 * r, y - 0.85 * r);
		break;
	default:
		cairo_arc(cr, x, y, r, 0, 2 * M_PI);
	}
}

void ebb_canvas_marker(ebb_canvas *c, ebb_marker marker, bool hollow, double x, double y,
	double size, ebb_rgb colour, double alpha)
{
	bool open = hollow || marker == EBB_CROSS;

	cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_MITER);
	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_ROUND);
	outline(c->cr, marker, x, y, open ? size / 2 - 0.4 : size / 2);
	if (open) {
		ebb_canvas_source(c, colour, alpha);
		cairo_set_line_width(c->cr, 1.2 + size / 20);
		cairo_stroke(c->cr);
		return;
	}
	/* An outline in the colour of the paper separates markers that overlap. */
	ebb_canvas_source(c, c->paper, alpha);
	cairo_set_line_width(c->cr, 1.2);
	cairo_stroke_preserve(c->cr);
	ebb_canvas_source(c, colour, alpha);
	cairo_fill(c->cr);
}
