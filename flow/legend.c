/* legend.c - the labels of a panel's series: beside the ends of curves, or in a box. */
#include "flow/internal.h"

#include <math.h>
#include <string.h>

enum { END_SIZE = 13, SECOND_SIZE = 12, END_LINE = 18 };

/* ---- Labels beside the ends of curves -------------------------------------------------------- */

static bool is_labelled(const ebb_series *s)
{
	return s->label && *s->label && !s->faint;
}

/* The rightmost point of a curve; false if no point can be drawn. */
static bool curve_end(const ebb_plot_area *f, const ebb_series *s, double *x, double *y)
{
	*x = -INFINITY;
	for (int64_t i = 0; i < s->n; i++)
		if (ebb_can_be_drawn(f->p, ebb_series_x(s, i), s->y[i]) &&
			ebb_area_x(f, ebb_series_x(s, i)) >= *x) {
			*x = ebb_area_x(f, ebb_series_x(s, i));
			*y = ebb_area_y(f, s->y[i]);
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

bool ebb_draw_end_labels(ebb_canvas *c, const ebb_plot_area *f)
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
		ebb_rgb colour = ebb_series_colour(c, f->p, l[i].series);
		double x = f->x + f->width + 12;
		if (fabs(l[i].y - l[i].end_y) > 3) { /* a line from the curve's end to its label */
			ebb_canvas_source(c, colour, 0.7);
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
double ebb_labels_width(ebb_canvas *c, const ebb_panel *p)
{
	double widest = 0;

	for (int k = 0; k < p->n; k++) {
		char first[200];
		if (!is_labelled(&p->series[k]))
			continue;
		const char *second = first_line(p->series[k].label, first, sizeof first);
		widest = fmax(widest, ebb_canvas_width(c, END_SIZE, true, first));
		widest = fmax(widest, ebb_canvas_width(c, SECOND_SIZE, false, second));
	}
	return widest;
}

/* ---- A box ----------------------------------------------------------------------------------- */

/* How many points of the curves lie in a rectangle. */
static int64_t count_points(const ebb_plot_area *f, double x, double y, double width, double height)
{
	int64_t n = 0;

	for (int k = 0; k < f->p->n; k++)
		for (int64_t i = 0; i < f->p->series[k].n; i++) {
			double u = ebb_series_x(&f->p->series[k], i), v = f->p->series[k].y[i];
			if (!ebb_can_be_drawn(f->p, u, v))
				continue;
			u = ebb_area_x(f, u);
			v = ebb_area_y(f, v);
			n += u >= x && u <= x + width && v >= y && v <= y + height;
		}
	return n;
}

/* Calls draw for each row of the box, and returns the number of rows.  class: of the row's class; -1:
 * the series has none. */
typedef void row_drawer(ebb_canvas *c, const ebb_plot_area *f, int series, int class, void *to);

static int each_row(ebb_canvas *c, const ebb_plot_area *f, row_drawer *draw, void *to)
{
	int rows = 0;

	for (int k = 0; k < f->p->n; k++) {
		const ebb_series *s = &f->p->series[k];
		int named = s->scatter && s->classes && !s->value && !s->faint ? s->class_count : 0;

		for (int i = 0; i < named; i++, rows++)
			draw(c, f, k, i, to);
		if (named == 0 && is_labelled(s)) {
			draw(c, f, k, -1, to);
			rows++;
		}
	}
	return rows;
}

static const char *row_text(const ebb_plot_area *f, int series, int class)
{
	const ebb_series *s = &f->p->series[series];
	const char *text = class < 0 ? s->label : s->class_names[class];

	return text ? text : "";
}

static void measure_row(ebb_canvas *c, const ebb_plot_area *f, int series, int class, void *widest)
{
	double width = ebb_canvas_width(c, END_SIZE, false, row_text(f, series, class));

	*(double *)widest = fmax(*(double *)widest, width);
}

typedef struct cursor {
	double x, baseline;
} cursor;

static void draw_row(ebb_canvas *c, const ebb_plot_area *f, int series, int class, void *to)
{
	cursor *at = to;
	double middle = at->baseline - 4.5;

	if (f->p->series[series].scatter) {
		ebb_look look = class < 0 ? ebb_look_of(c, f->p, series)
		                          : ebb_class_look(c, f->p, series, class);
		look.size = fmin(look.size, END_LINE - 6);
		ebb_draw_look(c, &look, at->x + 22, middle, 1);
	} else {
		ebb_canvas_source(c, ebb_series_colour(c, f->p, series), 1);
		cairo_set_line_width(c->cr, 2.4);
		ebb_canvas_line(c, at->x + 10, middle, at->x + 34, middle);
	}
	ebb_canvas_text(c, at->x + 42, at->baseline, 0, END_SIZE, false, c->ink,
		row_text(f, series, class));
	at->baseline += END_LINE;
}

void ebb_draw_legend_box(ebb_canvas *c, const ebb_plot_area *f)
{
	double widest = 0, x = 0, y = 0;
	int rows = each_row(c, f, measure_row, &widest);
	double width = widest + 52, height = rows * END_LINE + 12;
	int64_t fewest = INT64_MAX;

	if (rows == 0)
		return;
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
	ebb_canvas_source(c, c->paper, 0.9);
	cairo_fill_preserve(c->cr);
	ebb_canvas_source(c, c->grid, 1);
	cairo_set_line_width(c->cr, 1);
	cairo_stroke(c->cr);
	each_row(c, f, draw_row, &(cursor){x, y + 6 + 0.72 * END_LINE});
}
