/* figure.c - panels under a title, written as PNG, SVG or PDF. */
#include "flow/internal.h"

#include <math.h>
#include <string.h>

#ifdef EBB_HAVE_CAIRO
#ifdef EBB_HAVE_FONTCONFIG
#include <fontconfig/fontconfig.h>
#endif
#include <cairo-pdf.h>
#include <cairo-svg.h>

bool ebb_can_plot(void)
{
	return true;
}

typedef enum format { FORMAT_NONE, FORMAT_PNG, FORMAT_SVG, FORMAT_PDF } format;

enum { MARGIN = 28, GAP = 44, HEAD_SIZE = 22, SUB_SIZE = 14, FOOT_SIZE = 11, PNG_SCALE = 2 };

static int columns_of(const ebb_figure *f)
{
	return f->columns > 0 && f->columns < f->n ? f->columns : f->n;
}

static double head_height(const ebb_figure *f)
{
	return (f->title ? 1.55 * HEAD_SIZE : 0) + (f->subtitle ? 1.6 * SUB_SIZE : 0) +
	       (f->title || f->subtitle ? 16 : 0);
}

static double foot_height(const ebb_figure *f)
{
	return f->footer ? 2.2 * FOOT_SIZE : 0;
}

static void size_of(const ebb_figure *f, double *width, double *height)
{
	int columns = columns_of(f), rows = (f->n + columns - 1) / columns;

	*width = f->width != 0 ? f->width : 640.0 * columns;
	*height = f->height != 0 ? f->height : 480.0 * rows;
}

/* number: the panel's. */
static bool check_scatter(const ebb_panel *p, int number, ebb_error *e)
{
	if (p->equal && (p->x_log || p->y_log)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"figure: panel %d is .equal with a log axis, expected linear axes", number);
		return false;
	}
	for (int k = 0; k < p->n; k++) {
		const ebb_series *s = &p->series[k];

		if (!(s->size >= 0 && s->size <= 1000) || (unsigned)s->marker > EBB_CROSS) {
			ebb_error_set(e, EBB_INVALID, NULL,
				"figure: panel %d has marker %d of size %g, expected a size from 0 "
				"to "
				"1000",
				number, (int)s->marker, s->size);
			return false;
		}
		if (s->class_count < 0 || (s->class_count > 0 && !s->class_names)) {
			ebb_error_set(e, EBB_INVALID, NULL,
				"figure: panel %d has %d classes without names", number,
				s->class_count);
			return false;
		}
	}
	return true;
}

static bool check(const ebb_figure *f, ebb_error *e)
{
	double width, height;

	if (!f || f->n < 1 || !f->panels) {
		ebb_error_set(
			e, EBB_INVALID, NULL, "figure: %s", f ? "it has no panel" : "it is NULL");
		return false;
	}
	for (int i = 0; i < f->n; i++) {
		const ebb_panel *p = &f->panels[i];
		bool bad = p->n < 0 || (p->n > 0 && !p->series);
		for (int k = 0; !bad && k < p->n; k++)
			bad = p->series[k].n < 0 || (p->series[k].n > 0 && !p->series[k].y);
		if (bad) {
			ebb_error_set(e, EBB_INVALID, NULL,
				"figure: panel %d has a curve without values", i);
			return false;
		}
		if (!check_scatter(p, i, e))
			return false;
	}
	size_of(f, &width, &height);
	if (!(width >= 100 && width <= 10000 && height >= 100 && height <= 10000)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"figure: its size is %.0f by %.0f, expected 100 to 10000 pixels each",
			width, height);
		return false;
	}
	return true;
}

static bool draw(cairo_t *cr, const ebb_figure *f)
{
	ebb_canvas c = {.cr = cr};
	double width, height, y = MARGIN;
	int columns = columns_of(f), rows = (f->n + columns - 1) / columns;
	bool ok = true;

	size_of(f, &width, &height);
	ebb_canvas_theme(&c, f->dark);
	cairo_font_options_t *options = cairo_font_options_create();
	cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
	cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
	cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
	cairo_set_font_options(cr, options);
	cairo_font_options_destroy(options);

	cairo_set_source_rgb(cr, c.paper.r, c.paper.g, c.paper.b);
	cairo_paint(cr);
	if (f->title) {
		ebb_canvas_text(&c, MARGIN, y + HEAD_SIZE, 0, HEAD_SIZE, true, c.ink, f->title);
		y += 1.55 * HEAD_SIZE;
	}
	if (f->subtitle)
		ebb_canvas_text(&c, MARGIN, y + SUB_SIZE, 0, SUB_SIZE, false, c.muted, f->subtitle);
	double top = MARGIN + head_height(f);
	double w = (width - 2 * MARGIN - (columns - 1) * GAP) / columns;
	double h = (height - top - MARGIN - foot_height(f) - (rows - 1) * GAP) / rows;
	for (int i = 0; ok && i < f->n; i++)
		ok = ebb_panel_draw(&c, &f->panels[i], MARGIN + i % columns * (w + GAP),
			top + i / columns * (h + GAP), w, h);
	if (f->footer)
		ebb_canvas_text(
			&c, MARGIN, height - MARGIN + 4, 0, FOOT_SIZE, false, c.muted, f->footer);
	return ok;
}

static cairo_status_t append(void *text, const unsigned char *data, unsigned length)
{
	return ebb_text_bytes(text, (const char *)data, length) ? CAIRO_STATUS_SUCCESS
	                                                        : CAIRO_STATUS_WRITE_ERROR;
}

static bool render(const ebb_figure *f, format kind, ebb_text *text, ebb_error *e)
{
	double width, height;
	cairo_surface_t *surface;

	size_of(f, &width, &height);
	if (kind == FORMAT_PNG) {
		surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24,
			(int)lrint(PNG_SCALE * width), (int)lrint(PNG_SCALE * height));
	} else if (kind == FORMAT_SVG) {
		surface = cairo_svg_surface_create_for_stream(append, text, width, height);
		cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
	} else {
		surface = cairo_pdf_surface_create_for_stream(append, text, width, height);
	}
	cairo_t *cr = cairo_create(surface);
	if (kind == FORMAT_PNG)
		cairo_scale(cr, PNG_SCALE, PNG_SCALE);
	bool drawn = draw(cr, f);
	cairo_status_t status = cairo_status(cr);
	cairo_destroy(cr);
	if (status == CAIRO_STATUS_SUCCESS && kind == FORMAT_PNG)
		status = cairo_surface_write_to_png_stream(surface, append, text);
	cairo_surface_finish(surface);
	if (status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_status(surface);
	cairo_surface_destroy(surface);

	if (!drawn || text->failed || status == CAIRO_STATUS_NO_MEMORY) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "figure: no memory to draw it");
		return false;
	}
	if (status != CAIRO_STATUS_SUCCESS) {
		ebb_error_set(e, EBB_INVALID, NULL, "figure: Cairo failed: %s",
			cairo_status_to_string(status));
		return false;
	}
	return true;
}

static format format_of(const char *path)
{
	const char *dot = path ? strrchr(path, '.') : NULL;

	if (dot && strcmp(dot, ".png") == 0)
		return FORMAT_PNG;
	if (dot && strcmp(dot, ".svg") == 0)
		return FORMAT_SVG;
	if (dot && strcmp(dot, ".pdf") == 0)
		return FORMAT_PDF;
	return FORMAT_NONE;
}

bool ebb_figure_save(const ebb_figure *f, const char *path, ebb_error *e)
{
	format kind = format_of(path);
	ebb_text text = {0};

	if (kind == FORMAT_NONE) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"figure: path is %s%s, expected a name ending in .png, .svg or .pdf",
			path ? "" : "NULL", path ? path : "");
		return false;
	}
	bool ok = check(f, e) && render(f, kind, &text, e) && ebb_text_save(&text, path, e);
	ebb_text_free(&text);
	return ok;
}

bool ebb_figure_svg(const ebb_figure *f, ebb_text *text, ebb_error *e)
{
	if (!text || text->failed) {
		ebb_error_set(e, text ? EBB_NO_MEMORY : EBB_INVALID, NULL, "figure: the text %s",
			text ? "ran out of memory" : "is NULL");
		return false;
	}
	return check(f, e) && render(f, FORMAT_SVG, text, e);
}

void ebb_figures_end(void)
{
	cairo_debug_reset_static_data();
#ifdef EBB_HAVE_FONTCONFIG
	FcFini();
#endif
}

#else

bool ebb_can_plot(void)
{
	return false;
}

static bool cannot(ebb_error *e)
{
	ebb_error_set(e, EBB_BAD_STATE, NULL,
		"figure: this build of Ebb cannot draw: Cairo was not found when it was "
		"configured");
	return false;
}

bool ebb_figure_save(const ebb_figure *f, const char *path, ebb_error *e)
{
	(void)f;
	(void)path;
	return cannot(e);
}

bool ebb_figure_svg(const ebb_figure *f, ebb_text *text, ebb_error *e)
{
	(void)f;
	(void)text;
	return cannot(e);
}

void ebb_figures_end(void)
{
}
#endif
