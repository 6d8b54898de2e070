/* sheet.c - one page: feature maps of shifted pictures, their differences, and curves of errors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../page.h"
#include "shift.h"

/* In points. */
enum {
	CELL = 128,
	GAP = 16,
	MARGIN = 36,
	LABELS = 96,
	COLUMNS = 6,
	TOP = 124,
	STEP = CELL + 12,
	CONTENT = LABELS + COLUMNS * (CELL + GAP) - GAP,
	WIDTH = 2 * MARGIN + CONTENT,
	CURVES = 290,
	CURVES_TOP = TOP + 3 * STEP + 34,
	HEIGHT = CURVES_TOP + CURVES + 16
};

static const unsigned POSITIVE = 0xC14F00, NEGATIVE = 0x0067A5, NOTHING = 0xE4E8EC, RULE = 0xD5DAE0;

static void text(
	cairo_t *page, double x, double y, double size, bool bold, unsigned hex, const char *s)
{
	page_text(page, x, y, size, WIDTH, PAGE_LEFT, bold, hex, s);
}

/* Draws a surface with whole pixels of the page per pixel, in the middle of a cell. */
static void place(cairo_t *cr, cairo_surface_t *surface, double left, double top)
{
	int width = cairo_image_surface_get_width(surface),
	    height = cairo_image_surface_get_height(surface),
	    larger = width > height ? width : height, zoom = CELL * PAGE_SCALE / larger;

	cairo_save(cr);
	cairo_translate(cr, left + (CELL - (double)zoom * width / PAGE_SCALE) / 2,
		top + (CELL - (double)zoom * height / PAGE_SCALE) / 2);
	cairo_scale(cr, (double)zoom / PAGE_SCALE, (double)zoom / PAGE_SCALE);
	cairo_surface_mark_dirty(surface);
	cairo_set_source_surface(cr, surface, 0, 0);
	cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
	cairo_paint(cr);
	cairo_restore(cr);
	cairo_surface_destroy(surface);
}

static uint32_t *row_of(cairo_surface_t *surface, int64_t row)
{
	unsigned char *data = cairo_image_surface_get_data(surface);

	return data ? (uint32_t *)(void *)(data + row * cairo_image_surface_get_stride(surface))
	            : NULL;
}

/* The part of an image that begins at (top,left), height x width pixels. */
static cairo_surface_t *image_surface(
	const ebb_image *x, int64_t top, int64_t left, int64_t height, int64_t width)
{
	cairo_surface_t *surface =
		cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);

	for (int64_t i = 0; i < height && row_of(surface, i); i++) {
		for (int64_t j = 0; j < width; j++) {
			const uint8_t *p =
				x->pixels + ((top + i) * x->width + left + j) * x->channels;

			row_of(surface, i)[j] = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
		}
	}
	return surface;
}

/* White for 0, POSITIVE for limit, NEGATIVE for -limit, NOTHING for NAN. */
static uint32_t shade(double value, double limit)
{
	unsigned hex = value > 0 ? POSITIVE : NEGATIVE;
	double share = fmin(1, fabs(value) / limit);
	uint32_t y = 0;

	if (isnan(value))
		return NOTHING;
	for (int shift = 16; shift >= 0; shift -= 8)
		y |= (uint32_t)(255 - share * (255 - (int)(hex >> shift & 255)) + 0.5) << shift;
	return y;
}

static cairo_surface_t *map_surface(const maps *m, const double *v, double limit)
{
	cairo_surface_t *surface =
		cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)m->w, (int)m->h);

	for (int64_t i = 0; i < m->h && row_of(surface, i); i++)
		for (int64_t j = 0; j < m->w; j++)
			row_of(surface, i)[j] = shade(v[i * m->w + j], limit);
	return surface;
}

/* Twice the standard deviation about 0: few values are beyond. */
static double limit_of(const maps *m)
{
	double squares = 0;

	for (int64_t i = 0; i < m->h * m->w; i++)
		squares += m->before[i] * m->before[i];
	return fmax(2 * sqrt(squares / (double)(m->h * m->w)), 1e-9);
}

static void percent(char *s, size_t size, const char *where, double error)
{
	if (error == 0)
		snprintf(s, size, "%s: 0", where);
	else
		snprintf(s, size, "%s: %.0f %%", where, 100 * error);
}

static void frame(cairo_t *cr, double left, double top)
{
	page_colour(cr, RULE);
	cairo_set_line_width(cr, 0.75);
	cairo_rectangle(cr, left - 2, top - 2, CELL + 4, CELL + 4);
	cairo_stroke(cr);
}

/* A title of up to two lines; a comma may end the first. */
static void column_title(cairo_t *cr, double left, const char *name)
{
	const char *comma = strrchr(name, ',');
	char first[80];

	snprintf(first, sizeof first, "%.*s", comma ? (int)(comma - name) + 1 : 79, name);
	text(cr, left - 2, TOP - 26, 10.5, true, PAGE_INK, first);
	text(cr, left - 2, TOP - 12, 10.5, true, PAGE_INK, comma ? comma + 2 : "");
}

static void draw_layer(cairo_t *cr, const maps *m, double left)
{
	const double *const values[] = {m->after, m->before, m->difference};
	double limit = limit_of(m), bottom = TOP + 3 * STEP + 4;
	char line[60];

	column_title(cr, left, m->name);
	for (int i = 0; i < 3; i++) {
		place(cr, map_surface(m, values[i], limit), left, TOP + i * STEP);
		frame(cr, left, TOP + i * STEP);
	}
	percent(line, sizeof line, "inside", m->inside);
	text(cr, left - 2, bottom, 10.5, true, m->inside > 0 ? POSITIVE : NEGATIVE, line);
	if (!isnan(m->border)) {
		percent(line, sizeof line, "at the border", m->border);
		text(cr, left - 2, bottom + 14, 10.5, true, m->border > 0 ? POSITIVE : NEGATIVE,
			line);
	}
}

static void draw_input(cairo_t *cr, const sheet *p, double left)
{
	static const char *const lines[] = {
		"Maps of an edge filter:", "positive", "negative", "grey: no output to shift"};
	const unsigned hues[] = {PAGE_MUTED, POSITIVE, NEGATIVE, PAGE_MUTED};
	int64_t margin = (PICTURE - SIZE) / 2;
	double note = TOP + 2 * STEP + 12;
	char line[60];

	column_title(cr, left, "input");
	place(cr, image_surface(p->picture, margin, margin, SIZE, SIZE), left, TOP);
	place(cr, image_surface(p->picture, margin, margin - p->shift, SIZE, SIZE), left,
		TOP + STEP);
	frame(cr, left, TOP);
	frame(cr, left, TOP + STEP);
	snprintf(line, sizeof line, "shifted by %d pixels", p->shift);
	text(cr, left - 2, note, 9.5, false, PAGE_MUTED, line);
	text(cr, left - 2, TOP + 3 * STEP + 4, 9.5, false, PAGE_MUTED, "error: RMS in % of the");
	text(cr, left - 2, TOP + 3 * STEP + 18, 9.5, false, PAGE_MUTED, "standard deviation");
	for (int i = 0; i < 4; i++)
		text(cr, left - 2, note + 30 + 14 * i, 9.5, hues[i] != PAGE_MUTED, hues[i],
			lines[i]);
}

/* ---- Curves ---- */

static ebb_series series_of(const char *label, const double *error, double *y, int number)
{
	for (int k = 0; k < SHIFTS; k++)
		y[k] = 100 * error[k];
	return (ebb_series){.label = label, .n = SHIFTS, .y = y, .points = true, .colour = number};
}

static bool save_curves(const char *path, const sheet *p, ebb_error *e)
{
	const errors *t = p->table;
	double y[8][SHIFTS];
	const ebb_series inside[] = {series_of("conv, stride 1", t[PLAIN].inside, y[0], 1),
		series_of("conv, stride 2", t[STRIDE].inside, y[1], 2),
		series_of("max pooling 2x2", t[MAXIMUM].inside, y[2], 3),
		series_of("max, blur, stride 2", t[BLUR].inside, y[3], 4),
		series_of("three blocks, stride 8", t[BLOCKS].inside, y[4], 5)};
	const ebb_series border[] = {series_of("zero padding", t[ZEROS].border, y[5], 2),
		series_of("fully connected layer", t[CONNECTED].inside, y[6], 7),
		series_of("circular padding", t[CIRCULAR].inside, y[7], 1)};
	const ebb_series class = {.label = NULL,
		.n = p->network->offsets,
		.x = p->network->x,
		.y = p->network->percent,
		.points = true};
	char title[140];

	snprintf(title, sizeof title, "%s: \"%s\"", p->network->network, p->network->class_name);
	const ebb_panel panels[] = {{.title = "Inside",
					    .x_label = "shift in pixels",
					    .y_label = "error in %",
					    .y_range = {0, 45},
					    .n = 5,
					    .series = inside,
					    .legend = EBB_LEGEND_BOX},
		{.title = "At the border, and without positions",
			.x_label = "shift in pixels",
			.y_label = "error in %",
			.n = 3,
			.series = border,
			.legend = EBB_LEGEND_BOX,
			.y_range = {0, 140}},
		{.title = title,
			.x_label = "shift of the photograph in pixels",
			.y_label = "probability in %",
			.y_range = {0, 100},
			.n = 1,
			.series = &class,
			.legend = EBB_LEGEND_NONE}};

	return ebb_figure_save(&(ebb_figure){.width = CONTENT * 1.3,
				       .height = CURVES * 1.3,
				       .n = p->network->offsets ? 3 : 2,
				       .panels = panels},
		path, e);
}

/* The curves are a figure of their own, which the page shows below the maps. */
static bool draw_curves(cairo_t *cr, const char *path, const sheet *p, ebb_error *e)
{
	ebb_image x = {0};
	bool ok = save_curves(path, p, e) &&
	          ebb_image_read(path, &(ebb_image_options){.channels = 3}, &x, e);

	if (ok)
		page_paint(cr, &x, MARGIN, CURVES_TOP, CONTENT, true);
	ebb_image_free(&x);
	return ok;
}

bool write_sheet(const char *directory, const sheet *p, ebb_error *e)
{
	static const char *const labels[3][2] = {
		{"layer,", "then shift"}, {"shift,", "then layer"}, {"difference", ""}};
	cairo_t *cr = page_new(WIDTH, HEIGHT);
	char path[1100];
	bool ok;

	text(cr, MARGIN, MARGIN + 20, 24, true, PAGE_INK, "Translation equivariance");
	text(cr, MARGIN, MARGIN + 40, 11.5, false, PAGE_MUTED,
		"A convolution's output shifts with its input. Padding breaks this at the border, "
		"a stride for all shifts but its multiples.");
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 2; k++)
			text(cr, MARGIN, TOP + i * STEP + CELL / 2.0 + 15 * k - 3, 12, true,
				PAGE_INK, labels[i][k]);
	draw_input(cr, p, MARGIN + LABELS);
	for (int i = 0; i < p->n && i < COLUMNS - 1; i++)
		draw_layer(cr, &p->layers[i], MARGIN + LABELS + (i + 1) * (CELL + GAP));
	snprintf(path, sizeof path, "%.1000s/shift-curves.png", directory);
	ok = draw_curves(cr, path, p, e);
	snprintf(path, sizeof path, "%.1000s/shift.png", directory);
	return page_end(cr, ok, path, e);
}
