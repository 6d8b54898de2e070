/* plot.c - one panel of a figure: axes, grid, curves, scattered points, and the bar of a colour map.
 */
#include "flow/internal.h"

#include <float.h>
#include <math.h>

/* ---- The frame ---- */

enum { TICK_SIZE = 12, LABEL_SIZE = 13, TITLE_SIZE = 16 };

/* The pixel position of an axis coordinate. */
static double tick_x(const ebb_plot_area *f, double at)
{
	return f->x + f->width * ebb_axis_place(&f->ax, at);
}

static double tick_y(const ebb_plot_area *f, double at)
{
	return f->y + f->height * (1 - ebb_axis_place(&f->ay, at));
}

/* The pixel position of a value. */
double ebb_area_x(const ebb_plot_area *f, double v)
{
	return tick_x(f, ebb_axis_of(&f->ax, v));
}

double ebb_area_y(const ebb_plot_area *f, double v)
{
	return tick_y(f, ebb_axis_of(&f->ay, v));
}

double ebb_series_x(const ebb_series *s, int64_t i)
{
	return s->x ? s->x[i] : (double)i;
}

bool ebb_can_be_drawn(const ebb_panel *p, double x, double y)
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
			double u = ebb_series_x(s, i), v = s->y[i];
			if (!ebb_can_be_drawn(p, u, v))
				continue;
			x[0] = fmin(x[0], u);
			x[1] = fmax(x[1], u);
			y[0] = fmin(y[0], v);
			y[1] = fmax(y[1], v);
		}
	}
}

/* Widens a range by a share of its length on both sides. */
static void widen(double *range, double share)
{
	double margin = 2 * share * (range[1] / 2 - range[0] / 2);

	range[0] = fmax(range[0] - margin, -DBL_MAX);
	range[1] = fmin(range[1] + margin, DBL_MAX);
}

static bool is_fixed(const double *range)
{
	return range[0] != 0 || range[1] != 0;
}

static bool has_scatter(const ebb_panel *p)
{
	for (int k = 0; k < p->n; k++)
		if (p->series[k].scatter)
			return true;
	return false;
}

enum { X_TICK = 75, Y_TICK = 42 }; /* pixels between ticks, about */

/* Equal axes have ticks at equal distances. */
static int y_ticks(const ebb_plot_area *f)
{
	return (int)(f->height / (f->p->equal ? X_TICK : Y_TICK));
}

static void fit_axes(ebb_plot_area *f)
{
	const ebb_panel *p = f->p;
	double x[2], y[2];
	bool fixed_x = is_fixed(p->x_range), fixed_y = is_fixed(p->y_range);

	data_range(p, x, y);
	/* A linear x axis ends where the data end, so that curves reach from edge to edge.  Scattered
	 * points have a margin. */
	bool edges = !p->x_log && x[1] > x[0], margin = has_scatter(p) && !p->y_log && y[1] > y[0];
	if (has_scatter(p) && edges)
		widen(x, 0.05);
	if (margin)
		widen(y, 0.05);
	ebb_axis_fit(&f->ax, p->x_log, fixed_x ? p->x_range[0] : x[0],
		fixed_x ? p->x_range[1] : x[1], fixed_x || edges, (int)(f->width / X_TICK));
	ebb_axis_fit(&f->ay, p->y_log, fixed_y ? p->y_range[0] : y[0],
		fixed_y ? p->y_range[1] : y[1], fixed_y || margin, y_ticks(f));
}

/* Makes the axis longer by a factor, on both sides alike. */
static void lengthen(ebb_axis *a, double factor, int ticks)
{
	double range[2] = {a->lo, a->hi};

	widen(range, (factor - 1) / 2);
	ebb_axis_fit(a, false, range[0], range[1], true, ticks);
}

/* Gives both axes the same number of pixels per unit: the axis with more pixels per unit shows a
 * longer range, or if the panel fixes this range, becomes shorter in pixels. */
static void equalise(ebb_plot_area *f)
{
	double x = f->width / 2 / fabs(f->ax.hi / 2 - f->ax.lo / 2);
	double y = f->height / 2 / fabs(f->ay.hi / 2 - f->ay.lo / 2);

	if (x > y && is_fixed(f->p->x_range))
		f->width *= y / x;
	else if (x > y)
		lengthen(&f->ax, x / y, (int)(f->width / X_TICK));
	else if (y > x && is_fixed(f->p->y_range))
		f->height *= x / y;
	else if (y > x)
		lengthen(&f->ay, y / x, y_ticks(f));
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
		double width = ebb_canvas_width(c, TICK_SIZE, false, label);
		if (draw)
			ebb_canvas_text(c, x, y, align, TICK_SIZE, false, c->muted, label);
		return width;
	}
	double base = ebb_canvas_width(c, TICK_SIZE, false, "10");
	double width = base + 1 + ebb_canvas_width(c, small, false, label);
	if (draw) {
		ebb_canvas_text(c, x - align * width, y, 0, TICK_SIZE, false, c->muted, "10");
		ebb_canvas_text(c, x - align * width + base + 1, y - 0.42 * TICK_SIZE, 0, small,
			false, c->muted, label);
	}
	return width;
}

static void draw_axes(ebb_canvas *c, const ebb_plot_area *f)
{
	double bottom = f->y + f->height;

	cairo_set_line_width(c->cr, 1);
	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_BUTT);
	for (int i = 0; i < f->ay.n; i++) {
		double y = tick_y(f, f->ay.tick[i]);
		ebb_canvas_source(c, c->grid, 1);
		ebb_canvas_line(c, f->x, y, f->x + f->width, y);
		tick_label(c, &f->ay, f->ay.tick[i], f->x - 10, y + 0.36 * TICK_SIZE, 1, true);
	}
	for (int i = 0; i < f->ax.n && has_scatter(f->p); i++) {
		double x = tick_x(f, f->ax.tick[i]);
		ebb_canvas_source(c, c->grid, 1);
		ebb_canvas_line(c, x, f->y, x, bottom);
	}
	ebb_canvas_source(c, c->muted, 0.45);
	for (int i = 0; i < f->ay.minor_n; i++) {
		double y = tick_y(f, f->ay.minor[i]);
		ebb_canvas_line(c, f->x, y, f->x + 3, y);
	}
	for (int i = 0; i < f->ax.minor_n; i++) {
		double x = tick_x(f, f->ax.minor[i]);
		ebb_canvas_line(c, x, bottom, x, bottom + 3);
	}
	double from[EBB_MAX_TICKS], to[EBB_MAX_TICKS];
	int labels = 0;
	for (int i = 0; i < f->ax.n; i++) {
		double x = tick_x(f, f->ax.tick[i]);
		double half = tick_label(c, &f->ax, f->ax.tick[i], 0, 0, 0, false) / 2;
		bool fits = true;
		ebb_canvas_source(c, c->muted, 0.9);
		ebb_canvas_line(c, x, bottom, x, bottom + 5);
		for (int k = 0; k < labels; k++)
			fits = fits && (x + half + 8 < from[k] || x - half - 8 > to[k]);
		if (!fits)
			continue;
		tick_label(c, &f->ax, f->ax.tick[i], x, bottom + 20, 0.5, true);
		from[labels] = x - half;
		to[labels++] = x + half;
	}
	ebb_canvas_source(c, c->muted, 0.9);
	ebb_canvas_line(c, f->x, bottom, f->x + f->width, bottom);
	ebb_canvas_text(c, f->x + f->width / 2, bottom + 42, 0.5, LABEL_SIZE, false, c->muted,
		f->p->x_label);
}

/* ---- Curves ---- */

ebb_rgb ebb_series_colour(const ebb_canvas *c, const ebb_panel *p, int k)
{
	int n = p->series[k].colour;

	return ebb_canvas_colour(c, (n >= 1 && n <= EBB_PALETTE ? n - 1 : k % EBB_PALETTE));
}

static void trace(ebb_canvas *c, const ebb_plot_area *f, const ebb_series *s)
{
	bool pen_down = false;
	double last_x = 0, last_y = 0;

	for (int64_t i = 0; i < s->n; i++) {
		double u = ebb_series_x(s, i), v = s->y[i];
		if (!ebb_can_be_drawn(f->p, u, v)) {
			pen_down = false;
			continue;
		}
		double x = ebb_area_x(f, u), y = ebb_area_y(f, v);
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

static void draw_curve(ebb_canvas *c, const ebb_plot_area *f, int k)
{
	const ebb_series *s = &f->p->series[k];
	ebb_rgb colour = ebb_series_colour(c, f->p, k);

	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_ROUND);
	cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
	if (!s->faint && !f->has_faint) { /* an outline separates crossings */
		trace(c, f, s);
		ebb_canvas_source(c, c->paper, 0.85);
		cairo_set_line_width(c->cr, 5);
		cairo_stroke(c->cr);
	}
	trace(c, f, s);
	ebb_canvas_source(c, colour, s->faint ? 0.28 : 1);
	cairo_set_line_width(c->cr, s->faint ? 1.1 : 2.4);
	cairo_stroke(c->cr);
	for (int64_t i = 0; s->points && i < s->n; i++) {
		if (!ebb_can_be_drawn(f->p, ebb_series_x(s, i), s->y[i]))
			continue;
		cairo_arc(c->cr, ebb_area_x(f, ebb_series_x(s, i)), ebb_area_y(f, s->y[i]), 3.6, 0,
			2 * M_PI);
		ebb_canvas_source(c, c->paper, 1);
		cairo_set_line_width(c->cr, 1.6);
		cairo_stroke_preserve(c->cr);
		ebb_canvas_source(c, colour, 1);
		cairo_fill(c->cr);
	}
}

/* ---- Scattered points ---- */

ebb_look ebb_look_of(const ebb_canvas *c, const ebb_panel *p, int k)
{
	const ebb_series *s = &p->series[k];

	return (ebb_look){
		s->marker, s->hollow, s->size > 0 ? s->size : 8, ebb_series_colour(c, p, k)};
}

ebb_look ebb_class_look(const ebb_canvas *c, const ebb_panel *p, int k, int64_t class)
{
	ebb_look look = ebb_look_of(c, p, k);

	if (class < 0) {
		look.colour = c->muted;
		return look;
	}
	look.colour = ebb_canvas_colour(c, (int)(class % EBB_PALETTE));
	look.marker = (ebb_marker)((look.marker + class / EBB_PALETTE) % EBB_MARKERS);
	return look;
}

void ebb_draw_look(ebb_canvas *c, const ebb_look *look, double x, double y, double alpha)
{
	ebb_canvas_marker(c, look->marker, look->hollow, x, y, look->size, look->colour, alpha);
}

/* The range of all values that colours stand for; false if there are none. */
static bool value_range(const ebb_panel *p, double *range)
{
	range[0] = INFINITY;
	range[1] = -INFINITY;
	for (int k = 0; k < p->n; k++) {
		const ebb_series *s = &p->series[k];

		for (int64_t i = 0; s->scatter && s->value && i < s->n; i++) {
			if (!isfinite(s->value[i]))
				continue;
			range[0] = fmin(range[0], s->value[i]);
			range[1] = fmax(range[1], s->value[i]);
		}
	}
	if (is_fixed(p->value_range)) {
		range[0] = p->value_range[0];
		range[1] = p->value_range[1];
	}
	return range[0] <= range[1] || is_fixed(p->value_range);
}

static void draw_scatter(ebb_canvas *c, const ebb_plot_area *f, int k)
{
	const ebb_series *s = &f->p->series[k];
	ebb_look look = ebb_look_of(c, f->p, k);

	for (int64_t i = 0; i < s->n; i++) {
		if (!ebb_can_be_drawn(f->p, ebb_series_x(s, i), s->y[i]))
			continue;
		if (s->value)
			look.colour =
				isfinite(s->value[i])
					? ebb_map_colour(c, ebb_axis_place(&f->av, s->value[i]))
					: c->muted;
		else if (s->classes)
			look = ebb_class_look(c, f->p, k, s->classes[i]);
		ebb_draw_look(c, &look, ebb_area_x(f, ebb_series_x(s, i)), ebb_area_y(f, s->y[i]),
			s->faint ? 0.3 : 0.9);
	}
}

enum { BAR = 14, BAR_GAP = 18 };

/* The width of the bar of the colour map with its labels; 0 without one. */
static double bar_width(ebb_canvas *c, ebb_plot_area *f)
{
	double range[2], widest = 0;

	if (!value_range(f->p, range))
		return 0;
	ebb_axis_fit(&f->av, false, range[0], range[1], true, (int)(f->height / 60));
	for (int i = 0; i < f->av.n; i++)
		widest = fmax(widest, tick_label(c, &f->av, f->av.tick[i], 0, 0, 0, false));
	return fmax(BAR_GAP + BAR + 10 + widest,
		ebb_canvas_width(c, LABEL_SIZE, false, f->p->value_label) + 2);
}

static void draw_bar(ebb_canvas *c, const ebb_plot_area *f)
{
	double x = f->x + f->width + BAR_GAP, bottom = f->y + f->height;
	cairo_pattern_t *map = cairo_pattern_create_linear(0, bottom, 0, f->y);

	for (int i = 0; i <= 20; i++) {
		ebb_rgb colour = ebb_map_colour(c, i / 20.0);
		cairo_pattern_add_color_stop_rgb(map, i / 20.0, colour.r, colour.g, colour.b);
	}
	cairo_rectangle(c->cr, x, f->y, BAR, f->height);
	cairo_set_source(c->cr, map);
	cairo_fill(c->cr);
	cairo_pattern_destroy(map);
	cairo_set_line_width(c->cr, 1);
	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_BUTT);
	for (int i = 0; i < f->av.n; i++) {
		double y = bottom - f->height * ebb_axis_place(&f->av, f->av.tick[i]);
		ebb_canvas_source(c, c->muted, 0.9);
		ebb_canvas_line(c, x + BAR, y, x + BAR + 4, y);
		tick_label(c, &f->av, f->av.tick[i], x + BAR + 8, y + 0.36 * TICK_SIZE, 0, true);
	}
	ebb_canvas_text(c, x, f->y - 14, 0, LABEL_SIZE, false, c->muted, f->p->value_label);
}

/* ---- The panel ---- */

/* The area inside the axes, after the title, the labels and the bar.  The width of the tick labels
 * depends on the axes, and the axes on the width. */
static void arrange(ebb_canvas *c, ebb_plot_area *f, double x, double width, double right)
{
	double bar;

	f->width = width - right - 50;
	bar = bar_width(c, f);
	right = bar > 0 ? fmax(right, bar) : right;
	fit_axes(f);
	for (int pass = 0; pass < (f->p->equal ? 3 : 1); pass++) {
		double left = 0;

		for (int i = 0; i < f->ay.n; i++)
			left = fmax(left, tick_label(c, &f->ay, f->ay.tick[i], 0, 0, 0, false));
		f->x = x + left + 12;
		f->width = width - right - left - 12;
		if (f->p->equal && f->width > 0 && f->height > 0) {
			fit_axes(f);
			equalise(f);
		}
	}
}

bool ebb_panel_draw(
	ebb_canvas *c, const ebb_panel *p, double x, double y, double width, double height)
{
	ebb_plot_area f = {.p = p};
	bool ends = p->legend == EBB_LEGEND_ENDS && !has_scatter(p);
	double above = 8, range[2];

	if (p->title)
		above += 1.5 * TITLE_SIZE;
	if (p->y_label || p->value_label)
		above += 1.9 * LABEL_SIZE;
	f.y = y + above;
	f.height = height - above - (p->x_label ? 50 : 28);
	arrange(c, &f, x, width, ends ? fmax(16, ebb_labels_width(c, p) + 30) : 16);
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
			if (p->series[k].faint == (pass == 0)) {
				if (p->series[k].scatter)
					draw_scatter(c, &f, k);
				else
					draw_curve(c, &f, k);
			}
	cairo_restore(c->cr);
	if (value_range(p, range))
		draw_bar(c, &f);
	if (ends)
		return ebb_draw_end_labels(c, &f);
	if (p->legend != EBB_LEGEND_NONE)
		ebb_draw_legend_box(c, &f);
	return true;
}
