/* pictures.c - two example pictures, drawn by the program. */
#include "sheet.h"

#include <cairo.h>
#include <math.h>

static void colour(cairo_t *cr, unsigned hex, double alpha)
{
	cairo_set_source_rgba(
		cr, (hex >> 16) / 255.0, (hex >> 8 & 255) / 255.0, (hex & 255) / 255.0, alpha);
}

/* Fills the picture (the unit square) between top and bottom with a vertical gradient of two
 * colours. */
static void shade(cairo_t *cr, double top, double bottom, unsigned from, unsigned to)
{
	cairo_pattern_t *p = cairo_pattern_create_linear(0, top, 0, bottom);

	cairo_pattern_add_color_stop_rgb(
		p, 0, (from >> 16) / 255.0, (from >> 8 & 255) / 255.0, (from & 255) / 255.0);
	cairo_pattern_add_color_stop_rgb(
		p, 1, (to >> 16) / 255.0, (to >> 8 & 255) / 255.0, (to & 255) / 255.0);
	cairo_rectangle(cr, 0, top, 1, bottom - top);
	cairo_set_source(cr, p);
	cairo_fill(cr);
	cairo_pattern_destroy(p);
}

static void disc(cairo_t *cr, double x, double y, double radius)
{
	cairo_arc(cr, x, y, radius, 0, 2 * acos(-1));
	cairo_fill(cr);
}

static void polygon(cairo_t *cr, int n, const double (*at)[2])
{
	for (int i = 0; i < n; i++)
		cairo_line_to(cr, at[i][0], at[i][1]);
	cairo_close_path(cr);
	cairo_fill(cr);
}

/* Draws lines of foam, closer to each other towards the horizon. */
static void waves(cairo_t *cr, double top, double bottom, unsigned hex)
{
	cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
	for (int i = 0; i < 9; i++) {
		double depth = (i + 0.5) / 9, y = top + (bottom - top) * depth * depth;

		cairo_set_line_width(cr, 0.003 + 0.007 * depth);
		colour(cr, hex, 0.25 + 0.4 * depth);
		for (int k = 0; k < 4; k++) {
			double x = fmod(0.17 * i * i + 0.31 * k, 1.2) - 0.1,
			       length = 0.06 + 0.1 * depth;

			cairo_move_to(cr, x, y);
			cairo_curve_to(cr, x + length / 3, y - 0.012 * depth, x + 2 * length / 3,
				y + 0.012 * depth, x + length, y);
			cairo_stroke(cr);
		}
	}
}

static void draw_boat(cairo_t *cr)
{
	static const double mainsail[][2] = {{0.49, 0.2}, {0.49, 0.62}, {0.76, 0.62}};
	static const double jib[][2] = {{0.46, 0.26}, {0.46, 0.62}, {0.27, 0.62}};
	static const double hull[][2] = {{0.2, 0.67}, {0.82, 0.67}, {0.73, 0.79}, {0.3, 0.79}};

	shade(cr, 0, 0.6, 0x2F7FC1, 0xFFE3B0);
	colour(cr, 0xFFF4D6, 0.35);
	disc(cr, 0.8, 0.24, 0.15);
	colour(cr, 0xFFC93C, 1);
	disc(cr, 0.8, 0.24, 0.1);
	colour(cr, 0xFFFFFF, 0.75);
	for (int i = 0; i < 3; i++)
		disc(cr, 0.13 + 0.07 * i, 0.2 - 0.02 * (i == 1), 0.05 + 0.015 * (i == 1));
	shade(cr, 0.58, 0.86, 0x2A9D9A, 0x0E5A6B);
	waves(cr, 0.6, 0.86, 0xFFFFFF);
	shade(cr, 0.86, 1, 0xE8C588, 0xC79A55);
	colour(cr, 0x5B3A29, 1);
	cairo_rectangle(cr, 0.465, 0.17, 0.018, 0.5);
	cairo_fill(cr);
	colour(cr, 0xFFFFFF, 1);
	polygon(cr, 3, mainsail);
	colour(cr, 0xE4572E, 1);
	polygon(cr, 3, jib);
	colour(cr, 0x7A2E1D, 1);
	polygon(cr, 4, hull);
	colour(cr, 0xF6E7CB, 1);
	cairo_rectangle(cr, 0.2, 0.665, 0.62, 0.022);
	cairo_fill(cr);
}

static void draw_lighthouse(cairo_t *cr)
{
	static const double beam[][2] = {{0.5, 0.26}, {1.1, 0.02}, {1.1, 0.38}};
	static const double tower[][2] = {{0.44, 0.34}, {0.56, 0.34}, {0.62, 0.84}, {0.38, 0.84}};
	static const double roof[][2] = {{0.43, 0.21}, {0.57, 0.21}, {0.5, 0.12}};

	shade(cr, 0, 1, 0x0B1238, 0x3C2A66);
	colour(cr, 0xFFFFFF, 0.9);
	for (int i = 0; i < 24; i++)
		disc(cr, fmod(0.618 * i + 0.03, 1), fmod(0.37 * i * i, 0.6),
			0.004 + 0.002 * (i % 3));
	colour(cr, 0xFFE97A, 0.55);
	polygon(cr, 3, beam);
	colour(cr, 0x1B2A2A, 1);
	disc(cr, 0.5, 1.2, 0.42);
	colour(cr, 0xF2F2F2, 1);
	polygon(cr, 4, tower);
	colour(cr, 0xC8102E, 1);
	cairo_rectangle(cr, 0.425, 0.46, 0.15, 0.1);
	cairo_rectangle(cr, 0.4, 0.66, 0.2, 0.1);
	cairo_fill(cr);
	polygon(cr, 3, roof);
	colour(cr, 0xFFE97A, 1);
	cairo_rectangle(cr, 0.45, 0.21, 0.1, 0.13);
	cairo_fill(cr);
}

static bool picture(void (*draw)(cairo_t *), ebb_image *x, ebb_error *e)
{
	cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, SIDE, SIDE);
	cairo_t *cr = cairo_create(surface);
	bool ok;

	cairo_scale(cr, SIDE, SIDE);
	draw(cr);
	cairo_surface_flush(surface);
	ok = cairo_status(cr) == CAIRO_STATUS_SUCCESS;
	if (!ok)
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "no memory to draw a picture");
	ok = ok && ebb_image_shape(x, SIDE, SIDE, 3, e);
	for (int i = 0; ok && i < SIDE; i++) {
		const uint32_t *row =
			(const uint32_t *)(const void *)(cairo_image_surface_get_data(surface) +
							 i * cairo_image_surface_get_stride(
								     surface));

		for (int j = 0; j < SIDE; j++)
			for (int c = 0; c < 3; c++)
				x->pixels[(i * SIDE + j) * 3 + c] =
					(uint8_t)(row[j] >> (16 - 8 * c));
	}
	cairo_destroy(cr);
	cairo_surface_destroy(surface);
	return ok;
}

bool picture_of_a_boat(ebb_image *x, ebb_error *e)
{
	return picture(draw_boat, x, e);
}

bool picture_of_a_lighthouse(ebb_image *x, ebb_error *e)
{
	return picture(draw_lighthouse, x, e);
}
