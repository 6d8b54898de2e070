/* plot.c - one panel of a figure: axes, grid, curves, labels. */
#include "flow/internal.h"

#include <math.h>
#include <string.h>

enum { PALETTE = 8 };

/* Okabe & Ito's colours, darkened for a white and lightened for a black background. */
static const unsigned light[PALETTE] = {
	0x0072B2, 0xD55E00, 0x009E73, 0xB8508F, 0xBF7F00, 0x3A97D3, 0x4D4D4D, 0x8F8400};
static const unsigned dark[PALETTE] = {
	0x56B4E9, 0xFF8C4B, 0x2CC79A, 0xE896C6, 0xF2B134, 0xA3D5F7, 0xC9D1D9, 0xF0E442};

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

static void source(ebb_canvas *c, ebb_rgb colour, double alpha)
{
	cairo_set_source_rgba(c->cr, colour.r, colour.g, colour.b, alpha);
}

static double text_width(ebb_canvas *c, double size, bool bold, const char *s)
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
	double width = text_width(c, size, bold, s);

	if (!s || !*s)
		return 0;
	source(c, colour, 1);
	cairo_move_to(c->cr, x - align * width, y);
	cairo_show_text(c->cr, s);
	cairo_new_path(c->cr);
	return width;
}

/* ---- The frame ---- */

enum {
	TICK_SIZE = 12,
	LABEL_SIZE = 13,
	TITLE_SIZE = 16,
	END_SIZE = 13,
	SECOND_SIZE = 12,
	END_LINE = 18
};

typedef struct frame {
	const ebb_panel *p;
	double x, y, width, height; /* of the area inside the axes */
	ebb_axis ax, ay;
	bool has_faint;
} frame;

/* The pixel position of an axis coordinate. */
static double tick_x(const frame *f, double at)
{
	return f->x + f->width * ebb_axis_place(&f->ax, at);
}

static double tick_y(const frame *f, double at)
{
	return f->y + f->height * (1 - ebb_axis_place(&f->ay, at));
}

/* The pixel position of a value. */
static double px(const frame *f, double v)
{
	return tick_x(f, ebb_axis_of(&f->ax, v));
}

static double py(const frame *f, double v)
{
	return tick_y(f, ebb_axis_of(&f->ay, v));
}

static double x_of(const ebb_series *s, int64_t i)
{
	return s->x ? s->x[i] : (double)i;
}

static bool can_be_drawn(const ebb_panel *p, double x, double y)
{
	return isfinite(x) && isfinite(y) && (!p->x_log || x > 0) && (!p->y_log || y > 0);
}

static void data_range(const ebb_panel *p, double x[2], double y[2])
{
	x[0] = y[0] = INFINITY;
	x[1] = y[1] = -INFINITY;
	for (int k = 0; k < p->n; k++) {
		const ebb_series *s = &p->series[k];
		for (int64_t i = 0; i < s->n; i++) {
			double u = x_of(s, i), v = s->y[i];
			if (!can_be_drawn(p, u, v))
				continue;
			x[0] = fmin(x[0], u);
			x[1] = fmax(x[1], u);
			y[0] = fmin(y[0], v);
			y[1] = fmax(y[1], v);
		}
	}
}

static void fit_axes(frame *f)
{
	const ebb_panel *p = f->p;
	double x[2], y[2];
	bool fixed_x = p->x_range[0] != 0 || p->x_range[1] != 0;
	bool fixed_y = p->y_range[0] != 0 || p->y_range[1] != 0;

	data_range(p, x, y);
	/* A linear x axis ends where the data end, so that curves reach from edge to edge. */
	bool edges = !p->x_log && x[1] > x[0];
	ebb_axis_fit(&f->ax, p->x_log, fixed_x ? p->x_range[0] : x[0],
		fixed_x ? p->x_range[1] : x[1], fixed_x || edges, (int)(f->width / 75));
	ebb_axis_fit(&f->ay, p->y_log, fixed_y ? p->y_range[0] : y[0],
		fixed_y ? p->y_range[1] : y[1], fixed_y, (int)(f->height / 42));
}

/* Returns the width of a tick's label ("10" with a raised exponent, or plain text), and draws it if
 * draw. */
static double tick_label(
	ebb_canvas *c, const ebb_axis *a, double at, double x, double y, double align, bool draw)
{
	char label[64];
	double small = TICK_SIZE * 0.74;

	ebb_axis_label(a, at, label, sizeof label);
	if (!a->powers) {
		double width = text_width(c, TICK_SIZE, false, label);
		if (draw)
			ebb_canvas_text(c, x, y, align, TICK_SIZE, false, c->muted, label);
		return width;
	}
	double base = text_width(c, TICK_SIZE, false, "10");
	double width = base + 1 + text_width(c, small, false, label);
	if (draw) {
		ebb_canvas_text(c, x - align * width, y, 0, TICK_SIZE, false, c->muted, "10");
		ebb_canvas_text(c, x - align * width + base + 1, y - 0.42 * TICK_SIZE, 0, small,
			false, c->muted, label);
	}
	return width;
}

static void stroke_line(ebb_canvas *c, double x0, double y0, double x1, double y1)
{
	cairo_move_to(c->cr, x0, y0);
	cairo_line_to(c->cr, x1, y1);
	cairo_stroke(c->cr);
}

static void draw_axes(ebb_canvas *c, const frame *f)
{
	double bottom = f->y + f->height;

	cairo_set_line_width(c->cr, 1);
	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_BUTT);
	for (int i = 0; i < f->ay.n; i++) {
		double y = tick_y(f, f->ay.tick[i]);
		source(c, c->grid, 1);
		stroke_line(c, f->x, y, f->x + f->width, y);
		tick_label(c, &f->ay, f->ay.tick[i], f->x - 10, y + 0.36 * TICK_SIZE, 1, true);
	}
	source(c, c->muted, 0.45);
	for (int i = 0; i < f->ay.minor_n; i++) {
		double y = tick_y(f, f->ay.minor[i]);
		stroke_line(c, f->x, y, f->x + 3, y);
	}
	for (int i = 0; i < f->ax.minor_n; i++) {
		double x = tick_x(f, f->ax.minor[i]);
		stroke_line(c, x, bottom, x, bottom + 3);
	}
	double from[EBB_MAX_TICKS], to[EBB_MAX_TICKS];
	int labels = 0;
	for (int i = 0; i < f->ax.n; i++) {
		double x = tick_x(f, f->ax.tick[i]);
		double half = tick_label(c, &f->ax, f->ax.tick[i], 0, 0, 0, false) / 2;
		bool fits = true;
		source(c, c->muted, 0.9);
		stroke_line(c, x, bottom, x, bottom + 5);
		for (int k = 0; k < labels; k++)
			fits = fits && (x + half + 8 < from[k] || x - half - 8 > to[k]);
		if (!fits)
			continue;
		tick_label(c, &f->ax, f->ax.tick[i], x, bottom + 20, 0.5, true);
		from[labels] = x - half;
		to[labels++] = x + half;
	}
	source(c, c->muted, 0.9);
	stroke_line(c, f->x, bottom, f->x + f->width, bottom);
	ebb_canvas_text(c, f->x + f->width / 2, bottom + 42, 0.5, LABEL_SIZE, false, c->muted,
		f->p->x_label);
}

/* ---- Curves ---- */

static ebb_rgb colour_of(const ebb_canvas *c, const ebb_panel *p, int k)
{
	int n = p->series[k].colour;

	return rgb((c->dark ? dark : light)[(n >= 1 && n <= PALETTE ? n - 1 : k % PALETTE)]);
}

static void trace(ebb_canvas *c, const frame *f, const ebb_series *s)
{
	bool pen_down = false;
	double last_x = 0, last_y = 0;

	for (int64_t i = 0; i < s->n; i++) {
		double u = x_of(s, i), v = s->y[i];
		if (!can_be_drawn(f->p, u, v)) {
			pen_down = false;
			continue;
		}
		double x = px(f, u), y = py(f, v);
		if (!pen_down) {
			cairo_move_to(c->cr, x, y);
			cairo_line_to(c->cr, x, y); /* a single point is drawn as a dot */
		} else if (fabs(x - last_x) >= 0.2 || fabs(y - last_y) >= 0.2 || i == s->n - 1) {
			cairo_line_to(c->cr, x, y);
		} else {
			continue;
		}
		pen_down = true;
		last_x = x;
		last_y = y;
	}
}

static void draw_curve(ebb_canvas *c, const frame *f, int k)
{
	const ebb_series *s = &f->p->series[k];
	ebb_rgb colour = colour_of(c, f->p, k);

	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_ROUND);
	cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
	if (!s->faint && !f->has_faint) { /* an outline separates crossings */
		trace(c, f, s);
		source(c, c->paper, 0.85);
		cairo_set_line_width(c->cr, 5);
		cairo_stroke(c->cr);
	}
	trace(c, f, s);
	source(c, colour, s->faint ? 0.28 : 1);
	cairo_set_line_width(c->cr, s->faint ? 1.1 : 2.4);
	cairo_stroke(c->cr);
	for (int64_t i = 0; s->points && i < s->n; i++) {
		if (!can_be_drawn(f->p, x_of(s, i), s->y[i]))
			continue;
		cairo_arc(c->cr, px(f, x_of(s, i)), py(f, s->y[i]), 3.6, 0, 2 * M_PI);
		source(c, c->paper, 1);
		cairo_set_line_width(c->cr, 1.6);
		cairo_stroke_preserve(c->cr);
		source(c, colour, 1);
		cairo_fill(c->cr);
	}
}

/* ---- Labels ---- */

static bool is_labelled(const ebb_series *s)
{
	return s->label && *s->label && !s->faint;
}

/* The rightmost point of a curve; false if no point can be drawn. */
static bool curve_end(const frame *f, const ebb_series *s, double *x, double *y)
{
	*x = -INFINITY;
	for (int64_t i = 0; i < s->n; i++)
		if (can_be_drawn(f->p, x_of(s, i), s->y[i]) && px(f, x_of(s, i)) >= *x) {
			*x = px(f, x_of(s, i));
			*y = py(f, s->y[i]);
		}
	return isfinite(*x);
}

/* Copies the label's first line to buffer; returns the second line, or NULL. */
static const char *first_line(const char *label, char *buffer, size_t size)
{
	const char *end = strchr(label, '\n');

	snprintf(buffer, size, "%.*s", end ? (int)(end - label) : (int)size - 1, label);
	return end ? end + 1 : NULL;
}

typedef struct end_label {
	int series;
	double end_x, end_y, y;
} end_label;

/* Sorts the labels from top to bottom and moves them at least apart from each other, within
 * [top,bottom], as near to their curves' ends as possible. */
static void push_apart(end_label *l, int n, double apart, double top, double bottom)
{
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && l[j].end_y < l[j - 1].end_y; j--) {
			end_label swap = l[j];
			l[j] = l[j - 1];
			l[j - 1] = swap;
		}
	for (int i = 0; i < n; i++)
		l[i].y = l[i].end_y;
	for (int pass = 0; pass < 200; pass++) { /* overlaps are halved between both */
		for (int i = 1; i < n; i++) {
			double overlap = l[i - 1].y + apart - l[i].y;
			if (overlap > 0) {
				l[i - 1].y -= overlap / 2;
				l[i].y += overlap / 2;
			}
		}
	}
	for (int i = 0; i < n; i++)
		l[i].y = fmax(l[i].y, i ? l[i - 1].y + apart : top);
	for (int i = n - 1; i >= 0; i--)
		l[i].y = fmin(l[i].y, i < n - 1 ? l[i + 1].y - apart : bottom);
}

static bool draw_end_labels(ebb_canvas *c, const frame *f)
{
	size_t bytes = (size_t)f->p->n * sizeof(end_label);
	end_label *l = ebb_alloc(bytes);
	int n = 0;

	if (!l)
		return f->p->n == 0;
	for (int k = 0; k < f->p->n; k++) {
		end_label e = {.series = k};
		if (is_labelled(&f->p->series[k]) &&
			curve_end(f, &f->p->series[k], &e.end_x, &e.end_y))
			l[n++] = e;
	}
	bool two = false;
	for (int i = 0; i < n; i++)
		two = two || strchr(f->p->series[l[i].series].label, '\n');
	push_apart(l, n, two ? 2 * END_LINE : END_LINE, f->y + 4, f->y + f->height - 4);
	for (int i = 0; i < n; i++) {
		char first[200];
		const char *second =
			first_line(f->p->series[l[i].series].label, first, sizeof first);
		ebb_rgb colour = colour_of(c, f->p, l[i].series);
		double x = f->x + f->width + 12;
		if (fabs(l[i].y - l[i].end_y) > 3) { /* a line from the curve's end to its label */
			source(c, colour, 0.7);
			cairo_set_line_width(c->cr, 1);
			cairo_move_to(c->cr, l[i].end_x + 5, l[i].end_y);
			cairo_line_to(c->cr, x + 8, l[i].y);
			cairo_stroke(c->cr);
			x += 12;
		}
		double baseline = l[i].y + 0.36 * END_SIZE - (second ? 0.45 * END_LINE : 0);
		ebb_canvas_text(c, x, baseline, 0, END_SIZE, true, colour, first);
		ebb_canvas_text(
			c, x, baseline + 0.9 * END_LINE, 0, SECOND_SIZE, false, c->muted, second);
	}
	ebb_free(l, bytes);
	return true;
}

/* The width of the widest label at a curve's end; 0 without labels. */
static double labels_width(ebb_canvas *c, const ebb_panel *p)
{
	double widest = 0;

	for (int k = 0; k < p->n; k++) {
		char first[200];
		if (!is_labelled(&p->series[k]))
			continue;
		const char *second = first_line(p->series[k].label, first, sizeof first);
		widest = fmax(widest, text_width(c, END_SIZE, true, first));
		widest = fmax(widest, text_width(c, SECOND_SIZE, false, second));
	}
	return widest;
}

/* How many points of the curves lie in a rectangle. */
static int64_t count_points(const frame *f, double x, double y, double width, double height)
{
	int64_t n = 0;

	for (int k = 0; k < f->p->n; k++)
		for (int64_t i = 0; i < f->p->series[k].n; i++) {
			double u = x_of(&f->p->series[k], i), v = f->p->series[k].y[i];
			if (!can_be_drawn(f->p, u, v))
				continue;
			u = px(f, u);
			v = py(f, v);
			n += u >= x && u <= x + width && v >= y && v <= y + height;
		}
	return n;
}

static void draw_legend_box(ebb_canvas *c, const frame *f)
{
	int rows = 0;
	for (int k = 0; k < f->p->n; k++)
		rows += is_labelled(&f->p->series[k]);
	if (rows == 0)
		return;
	double width = labels_width(c, f->p) + 52, height = rows * END_LINE + 12;
	double x = 0, y = 0;
	int64_t fewest = INT64_MAX;
	for (int place = 0; place < 25; place++) { /* starting at the upper right */
		double cx = f->x + 10 + (4 - place % 5) / 4.0 * (f->width - width - 20);
		double cy = f->y + 10 + place / 5 / 4.0 * (f->height - height - 20);
		int64_t points = count_points(f, cx, cy, width, height);
		if (points < fewest) {
			fewest = points;
			x = cx;
			y = cy;
		}
	}
	cairo_rectangle(c->cr, x, y, width, height);
	source(c, c->paper, 0.9);
	cairo_fill_preserve(c->cr);
	source(c, c->grid, 1);
	cairo_set_line_width(c->cr, 1);
	cairo_stroke(c->cr);
	double baseline = y + 6 + 0.72 * END_LINE;
	for (int k = 0; k < f->p->n; k++) {
		if (!is_labelled(&f->p->series[k]))
			continue;
		source(c, colour_of(c, f->p, k), 1);
		cairo_set_line_width(c->cr, 2.4);
		stroke_line(c, x + 10, baseline - 4.5, x + 34, baseline - 4.5);
		ebb_canvas_text(
			c, x + 42, baseline, 0, END_SIZE, false, c->ink, f->p->series[k].label);
		baseline += END_LINE;
	}
}

/* ---- The panel ---- */

bool ebb_panel_draw(
	ebb_canvas *c, const ebb_panel *p, double x, double y, double width, double height)
{
	frame f = {.p = p};
	double above = 8, right = 16, left = 0;

	if (p->title)
		above += 1.5 * TITLE_SIZE;
	if (p->y_label)
		above += 1.9 * LABEL_SIZE;
	if (p->legend == EBB_LEGEND_ENDS)
		right = fmax(right, labels_width(c, p) + 30);
	f.y = y + above;
	f.height = height - above - (p->x_label ? 50 : 28);
	f.width = width - right - 50;
	fit_axes(&f);
	for (int i = 0; i < f.ay.n; i++)
		left = fmax(left, tick_label(c, &f.ay, f.ay.tick[i], 0, 0, 0, false));
	f.x = x + left + 12;
	f.width = width - right - left - 12;
	if (f.width < 20 || f.height < 20)
		return true; /* too small for legible text */

	if (p->title)
		ebb_canvas_text(c, x, y + TITLE_SIZE, 0, TITLE_SIZE, true, c->ink, p->title);
	if (p->y_label)
		ebb_canvas_text(c, x, f.y - 14, 0, LABEL_SIZE, false, c->muted, p->y_label);
	for (int k = 0; k < p->n; k++)
		f.has_faint = f.has_faint || p->series[k].faint;
	draw_axes(c, &f);
	cairo_save(c->cr);
	cairo_rectangle(c->cr, f.x - 5, f.y - 5, f.width + 10, f.height + 10);
	cairo_clip(c->cr);
	for (int pass = 0; pass < 2; pass++)
		for (int k = 0; k < p->n; k++)
			if (p->series[k].faint == (pass == 0))
				draw_curve(c, &f, k);
	cairo_restore(c->cr);
	if (p->legend == EBB_LEGEND_BOX)
		draw_legend_box(c, &f);
	return p->legend != EBB_LEGEND_ENDS || draw_end_labels(c, &f);
}
