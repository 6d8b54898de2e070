/*
 * chart - draws the measurements of compare: one bar per network, and a line at equal speed.
 *
 *   chart IN.tsv OUT.png
 *
 * The first line holds title and subtitle.  Every other line holds a label, a detail, the ratio,
 * the wanted ratio (0: none) and a note, separated by tabs.
 */
#include "demos/cli.h"
#include "demos/surface.h"
#include "flow/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 500, MAX_BARS = 40 };
/* In CSS pixels; the image has SCALE times as many per side. */
enum { SCALE = 2, WIDTH = 900, LEFT = 190, RIGHT = 190, HEAD = 118, FOOT = 52, ROW = 46, BAR = 22 };

typedef struct bar {
	char text[LINE]; /* the line, which the pointers below point into */
	const char *label, *detail, *note;
	double ratio, wanted;
} bar;

typedef struct chart {
	char heading[LINE];
	const char *title, *subtitle;
	bar bars[MAX_BARS];
	int n;
	double highest; /* ratio at the right end of the axis */
} chart;

/* ---- Reading --------------------------------------------------------------------------------- */

/* Splits a line at its tabs; false unless it has exactly n parts. */
static bool cut(char *line, int n, const char **part)
{
	int k = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *at = line; at; k++) {
		char *tab = strchr(at, '\t');

		if (k == n)
			return false;
		part[k] = at;
		if (tab)
			*tab = '\0';
		at = tab ? tab + 1 : NULL;
	}
	return k == n;
}

static bool read_bar(bar *b)
{
	const char *part[5];
	char *end[2];

	if (!cut(b->text, 5, part))
		return false;
	b->label = part[0];
	b->detail = part[1];
	b->ratio = strtod(part[2], &end[0]);
	b->wanted = strtod(part[3], &end[1]);
	b->note = part[4];
	return end[0] > part[2] && end[1] > part[3] && b->ratio > 0 && b->ratio < 1000 &&
	       b->wanted >= 0 && b->wanted < 1000;
}

/* Prints an error and returns false on failure. */
static bool read_chart(const char *path, chart *c)
{
	FILE *f = fopen(path, "r");
	const char *part[2];
	bool ok = f && fgets(c->heading, LINE, f) && cut(c->heading, 2, part);
	double most = 1;

	if (ok) {
		c->title = part[0];
		c->subtitle = part[1];
	}
	for (; ok && c->n < MAX_BARS && fgets(c->bars[c->n].text, LINE, f); c->n++) {
		ok = read_bar(&c->bars[c->n]);
		most = fmax(most, fmax(c->bars[c->n].ratio, c->bars[c->n].wanted));
	}
	if (f)
		fclose(f);
	c->highest = ceil(2 * most + 0.1) / 2;
	if (!ok || c->n == 0)
		fprintf(stderr, "chart: %s cannot be read, or is not what compare writes\n", path);
	return ok && c->n > 0;
}

/* ---- Drawing --------------------------------------------------------------------------------- */

static const ebb_rgb reached = {0.00, 0.45, 0.70}, missed = {0.84, 0.37, 0.00};

static double place(const chart *c, double ratio)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * ratio / c->highest;
}

static void vertical(
	ebb_canvas *v, double x, double top, double bottom, double width, ebb_rgb colour)
{
	cairo_set_source_rgb(v->cr, colour.r, colour.g, colour.b);
	cairo_set_line_width(v->cr, width);
	cairo_move_to(v->cr, x, top);
	cairo_line_to(v->cr, x, bottom);
	cairo_stroke(v->cr);
}

static void draw_axis(ebb_canvas *v, const chart *c, double bottom)
{
	double step = 0.5;
	char label[32];

	/* At most ten grid lines, to keep them distinguishable. */
	while (c->highest / step > 10)
		step *= 2;

	for (double ratio = 0; ratio <= c->highest + 1e-9; ratio += step) {
		vertical(v, place(c, ratio), HEAD, bottom, 1, v->grid);
		snprintf(label, sizeof label, "%g\u00d7", ratio);
		ebb_canvas_text(v, place(c, ratio), bottom + 20, 0.5, 12, false, v->muted, label);
	}
	ebb_canvas_text(v, place(c, 1), HEAD - 9, 0.5, 12, true, v->ink, "PyTorch");
}

/* A bar with square corners at the start and round ones at the end. */
static void draw_bar(ebb_canvas *v, const chart *c, double ratio, double y, ebb_rgb colour)
{
	double x = place(c, 0), end = place(c, ratio), r = fmin(4, end - x);

	cairo_new_path(v->cr);
	cairo_move_to(v->cr, x, y);
	cairo_arc(v->cr, end - r, y + r, r, -M_PI_2, 0);
	cairo_arc(v->cr, end - r, y + BAR - r, r, 0, M_PI_2);
	cairo_line_to(v->cr, x, y + BAR);
	cairo_close_path(v->cr);
	cairo_set_source_rgb(v->cr, colour.r, colour.g, colour.b);
	cairo_fill(v->cr);
}

/* Draws text on a background, which hides grid lines behind it. */
static double text_over_lines(
	ebb_canvas *v, double x, double y, double size, bool bold, ebb_rgb colour, const char *text)
{
	double width = ebb_canvas_text(v, x, y, 0, size, bold, colour, text);

	cairo_set_source_rgb(v->cr, v->paper.r, v->paper.g, v->paper.b);
	cairo_rectangle(v->cr, x - 3, y - size, width + 6, size + 4);
	cairo_fill(v->cr);
	return ebb_canvas_text(v, x, y, 0, size, bold, colour, text);
}

/* A mark across the bar for the wanted ratio, with an outline so that it shows on any colour. */
static void draw_wanted(ebb_canvas *v, double x, double middle, double height)
{
	vertical(v, x, middle - height / 2, middle + height / 2, 5, v->paper);
	vertical(v, x, middle - height / 2, middle + height / 2, 2, v->ink);
}

static void draw_row(ebb_canvas *v, const chart *c, const bar *b, double middle)
{
	double end = place(c, fmax(b->ratio, b->wanted)) + 10;
	char ratio[32];

	ebb_canvas_text(v, LEFT - 14, middle - 1, 1, 14, true, v->ink, b->label);
	ebb_canvas_text(v, LEFT - 14, middle + 14, 1, 11.5, false, v->muted, b->detail);
	draw_bar(v, c, b->ratio, middle - BAR / 2.0, b->ratio >= b->wanted ? reached : missed);
	if (b->wanted > 0)
		draw_wanted(v, place(c, b->wanted), middle, BAR + 10);
	snprintf(ratio, sizeof ratio, "%.2f\u00d7", b->ratio);
	end += text_over_lines(v, end, middle + 5, 14, true, v->ink, ratio) + 9;
	text_over_lines(v, end, middle + 5, 11.5, false, v->muted, b->note);
}

static void draw_legend(ebb_canvas *v, double x, double y)
{
	draw_wanted(v, x, y - 4, 16);
	ebb_canvas_text(v, x + 9, y, 0, 12, false, v->muted, "wanted");
}

static void draw(ebb_canvas *v, const chart *c)
{
	double bottom = HEAD + (double)ROW * c->n;

	ebb_canvas_theme(v, false);
	cairo_set_source_rgb(v->cr, v->paper.r, v->paper.g, v->paper.b);
	cairo_paint(v->cr);
	ebb_canvas_text(v, 28, 46, 0, 22, true, v->ink, c->title);
	ebb_canvas_text(v, 28, 70, 0, 13, false, v->muted, c->subtitle);
	draw_axis(v, c, bottom);
	for (int i = 0; i < c->n; i++)
		draw_row(v, c, &c->bars[i], HEAD + ROW * (i + 0.5));
	vertical(v, place(c, 1), HEAD, bottom, 1.5, v->ink);
	draw_legend(v, WIDTH - RIGHT + 60, HEAD - 9);
}

static bool save(const chart *c, const char *path)
{
	cairo_surface_t *surface = cairo_image_surface_create(
		CAIRO_FORMAT_RGB24, SCALE * WIDTH, SCALE * (HEAD + ROW * c->n + FOOT));
	ebb_canvas v = {.cr = cairo_create(surface)};
	ebb_error e = {0};
	bool ok;

	cairo_scale(v.cr, SCALE, SCALE);
	draw(&v, c);
	cairo_destroy(v.cr);
	ok = surface_write_png(surface, path, &e);
	cairo_surface_destroy(surface);
	if (!ok)
		fprintf(stderr, "chart: %s\n", e.message);
	ebb_figures_end();
	return ok;
}

int main(int argc, char **argv)
{
	cli_begin();
	static chart c;

	if (argc != 3) {
		fprintf(stderr, "usage: chart IN.tsv OUT.png\n");
		return 2;
	}
	return !read_chart(argv[1], &c) || !save(&c, argv[2]);
}
