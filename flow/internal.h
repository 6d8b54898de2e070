/* internal.h - functions and structs that several files of flow/ use. */
#ifndef EBB_FLOW_INTERNAL_H
#define EBB_FLOW_INTERNAL_H

#include "flow/flow.h"
#include "kernels/kernels.h"

/* ---- text.c: appending; every function returns false once text->failed ---- */

/* "file.c:31" of "folder/file.c:31"; "" for NULL. */
const char *ebb_without_folders(const char *site);
bool ebb_text_bytes(ebb_text *text, const char *s, size_t n);
bool ebb_text_add(ebb_text *text, const char *s); /* NULL adds nothing */
bool ebb_text_repeat(ebb_text *text, const char *s, int times);
/* Appends x by a printf format such as "%.3g", with a decimal point in any locale.  Any NaN is nan,
 * infinities are inf and -inf. */
bool ebb_text_number(ebb_text *text, const char *format, double x);
const char *ebb_number(
	char *buffer, size_t size, const char *format, double x); /* into buffer; returns it */
/* Appends s, padded with blanks to width columns (code points), aligned left or right. */
bool ebb_text_pad(ebb_text *text, const char *s, int width, bool right);
int ebb_columns(const char *s);                       /* code points of UTF-8 */
bool ebb_text_escaped(ebb_text *text, const char *s); /* for XML text and attributes */
bool ebb_text_base64(ebb_text *text, const char *bytes, size_t n);
bool ebb_text_field(ebb_text *text, const char *s); /* a field of CSV (RFC 4180), NULL: empty */
/* Appends s and a newline, with a newline at a blank wherever a line would have more than width
 * columns; width 0 or less: only at the end.  A longer word is cut.  Each line begins with indent
 * blanks. */
bool ebb_text_wrapped(ebb_text *text, const char *s, int indent, int width);

/* ---- text.c: tables ---- */

#define EBB_BOLD "\033[1m"
#define EBB_DIM "\033[2m"
#define EBB_RED "\033[31m"
#define EBB_YELLOW "\033[33m"
#define EBB_GREEN "\033[32m"
#define EBB_PLAIN "\033[0m"
void ebb_text_colour(ebb_text *text, bool colour, const char *escape); /* if colour is true */
/* Appends s, padded with blanks to width columns, or its end if it is longer, because names usually
 * differ at the end. */
void ebb_text_name(ebb_text *text, const char *s, int width, bool ascii);
/* Appends a bar of at most width columns on a log scale, one mark for lo, width columns for hi, and
 * returns its columns: 0 for a norm that is not positive or not finite. */
int ebb_text_bar(
	ebb_text *text, double norm, double lo, double hi, int width, bool colour, bool ascii);
double ebb_percent(double share); /* rounded to tenths */
/* Errors of a function that writes a text, named by what; both return false. */
bool ebb_text_no_memory(ebb_error *e, const char *site, const char *what);
bool ebb_text_null(ebb_error *e, const char *site, const char *what, const char *argument);

/* ---- probe.c: fills a probe; rows.c: reads it ---- */

struct layer_sums {
	ebb_kernel_stats activation, gradient;
};

struct param_sums {
	ebb_kernel_stats weight, gradient;
	double change; /* |w_new - w_old|_2 */
	bool compared; /* change has been computed */
};

/* rows[capacity] has one element per sample. */
struct probe_layer {
	char *path;
	size_t path_size;
	bool container;
	struct layer_sums *rows;
	int64_t capacity;
};

struct probe_param {
	const ebb_tensor *persistent;
	char name[64];
	int layer;
	void *snapshot; /* the value when the gradient was complete, row-major */
	size_t snapshot_size;
	bool snapped;
	struct param_sums *rows;
	int64_t capacity;
};

/* A layer's result in the current step, by the node that computed it: the observer is given its
 * gradient with this node. */
struct pending {
	int64_t node;
	int part; /* the part of a fused op; -1: the whole op */
	int layer;
};

struct ebb_probe {
	ebb_tape *t;
	ebb_observer observer;
	char *scopes;
	size_t scopes_size;
	ebb_flow *flow; /* judges */
	int64_t every;
	int max_samples;
	bool evaluation, bounds_given;
	double below, above;

	int64_t step;
	bool failed;
	bool watching; /* the current step is sampled */
	bool open;     /* the current step has a sample, number samples, which is being filled */
	bool flushed;  /* a gradient was 0 throughout, and the tape flushes its type */
	int samples;
	int64_t *step_of, step_capacity;

	struct probe_layer *layer;
	int layers, next_layer;
	int64_t layer_capacity;
	struct probe_param *param;
	int params, next_param;
	int64_t param_capacity;
	struct pending *pending;
	int pendings;
	int64_t pending_capacity;
};

/* Whether the scope path is inside the scope outer, and is not outer itself. */
bool ebb_path_inside(const char *path, const char *outer);

/* ---- stats.c: sums of several tensors can be added, statistics cannot ---- */

/* Whether x's type is one that is measured. */
static inline bool ebb_has_reals(const ebb_tensor *x)
{
	return ebb_dtype_of(x) == EBB_F32 || ebb_dtype_of(x) == EBB_F64;
}
/* False if x is not F32 or F64, has no data, or is not dense and there is no memory for a copy. */
bool ebb_sums_of(const ebb_tensor *x, double below, double above, ebb_kernel_stats *sums);
/* Whether the gradient g on t, with those sums, is 0 throughout and may have been flushed to 0. */
bool ebb_may_be_flushed(const ebb_tape *t, const ebb_tensor *g, const ebb_kernel_stats *sums);
void ebb_sums_add(ebb_kernel_stats *into, const ebb_kernel_stats *more);
ebb_stats ebb_stats_from(const ebb_kernel_stats *sums);
/* The median of v[0..n-1] without NaNs; NaN if there is no other value.  Reorders v. */
double ebb_median(double *v, int n);

/* ---- rows.c, verdict.c ---- */

/* The note below a table if a gradient may be 0 because it was flushed to zero. */
#define EBB_FLUSHED_NOTE "a gradient of 0 may have been flushed: see ebb_set_flush_subnormal"

/* The summaries of the layers that tables show (all but containers): *n of them, to be freed with
 * *bytes.  NULL if there is no layer (*bytes is then 0) or no memory. */
ebb_layer_summary *ebb_summaries(
	const ebb_probe *p, int64_t from, int64_t to, int *n, size_t *bytes);
typedef enum ebb_judged { EBB_JUDGED, EBB_NOTHING_SAMPLED, EBB_NO_MEMORY_TO_JUDGE } ebb_judged;
/* As ebb_probe_verdict, but tells the reasons of failure apart. */
ebb_judged ebb_find_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v);
/* Formats x as "1.9e-5", "0.42", "3.1"; NaN as "-". */
const char *ebb_pretty(char *buffer, size_t size, double x);

/* The position of v between lo and hi on a log scale, all positive: 0 at lo, 1 at hi, and 1 if hi
 * equals lo. */
double ebb_log_share(double v, double lo, double hi);

/* ---- axis.c: the positions of an axis's ticks ---- */

enum { EBB_MAX_TICKS = 40 };
/* lo, hi and ticks are values, or on a log axis their decimal logarithms. */
typedef struct ebb_axis {
	bool log;
	double lo, hi;
	int n; /* labelled ticks, between lo and hi */
	double tick[EBB_MAX_TICKS];
	int minor_n;
	double minor[10 * EBB_MAX_TICKS];
	bool powers;  /* labels are powers of ten: 10 with an exponent */
	int decimals; /* of the labels of a linear axis */
} ebb_axis;
/* Makes an axis for the values [lo,hi] with about want ticks.  Unless fixed, .lo and .hi are
 * widened to ticks. */
void ebb_axis_fit(ebb_axis *a, bool log, double lo, double hi, bool fixed, int want);
/* The axis coordinate of the value v: v, or on a log axis its decimal logarithm. */
double ebb_axis_of(const ebb_axis *a, double v);
/* The position of an axis coordinate along the axis: 0 at lo, 1 at hi. */
double ebb_axis_place(const ebb_axis *a, double at);
/* A tick's label as text; with .powers only the exponent, which is drawn raised after "10". */
const char *ebb_axis_label(const ebb_axis *a, double at, char *buffer, size_t size);

/* ---- canvas.c: colours, text, markers ---- */

#ifdef EBB_HAVE_CAIRO
#include <cairo.h>

typedef struct ebb_rgb {
	double r, g, b;
} ebb_rgb;

/* The Cairo context and the colours of a drawing; sizes are in CSS pixels. */
typedef struct ebb_canvas {
	cairo_t *cr;
	bool dark;
	ebb_rgb paper, ink, muted, grid;
} ebb_canvas;

enum { EBB_PALETTE = 8, EBB_MARKERS = EBB_CROSS + 1 };

void ebb_canvas_theme(ebb_canvas *c, bool dark);
/* The palette's colour number k from 0. */
ebb_rgb ebb_canvas_colour(const ebb_canvas *c, int k);
/* The colour map's colour: 0 the darkest, 1 the lightest. */
ebb_rgb ebb_map_colour(const ebb_canvas *c, double share);
void ebb_canvas_source(ebb_canvas *c, ebb_rgb colour, double alpha);
/* The width of s, which may be NULL. */
double ebb_canvas_width(ebb_canvas *c, double size, bool bold, const char *s);
void ebb_canvas_line(ebb_canvas *c, double x0, double y0, double x1, double y1);
/* Draws a marker of that diameter around the point. */
void ebb_canvas_marker(ebb_canvas *c, ebb_marker marker, bool hollow, double x, double y,
	double size, ebb_rgb colour, double alpha);
/* Draws s with its baseline at y and returns its width; align 0, 0.5 or 1: x is its left end, its
 * centre or its right end. */
double ebb_canvas_text(ebb_canvas *c, double x, double y, double align, double size, bool bold,
	ebb_rgb colour, const char *s);

/* ---- plot.c: draws a panel; legend.c: labels its series; figure.c: arranges panels ---- */

typedef struct ebb_plot_area {
	const ebb_panel *p;
	double x, y, width, height; /* of the area inside the axes */
	ebb_axis ax, ay, av;        /* av: of the colour map */
	bool has_faint;
} ebb_plot_area;

/* The pixel position of a value. */
double ebb_area_x(const ebb_plot_area *f, double v);
double ebb_area_y(const ebb_plot_area *f, double v);
double ebb_series_x(const ebb_series *s, int64_t i);
/* Whether the point is finite, and positive on log axes. */
bool ebb_can_be_drawn(const ebb_panel *p, double x, double y);
ebb_rgb ebb_series_colour(const ebb_canvas *c, const ebb_panel *p, int k);

/* How the points of scatter series number k are drawn, and those of a class. */
typedef struct ebb_look {
	ebb_marker marker;
	bool hollow;
	double size;
	ebb_rgb colour;
} ebb_look;
ebb_look ebb_look_of(const ebb_canvas *c, const ebb_panel *p, int k);
ebb_look ebb_class_look(const ebb_canvas *c, const ebb_panel *p, int k, int64_t class);
void ebb_draw_look(ebb_canvas *c, const ebb_look *look, double x, double y, double alpha);

/* The width of the widest label at a curve's end; 0 without labels. */
double ebb_labels_width(ebb_canvas *c, const ebb_panel *p);
bool ebb_draw_end_labels(ebb_canvas *c, const ebb_plot_area *f); /* false: no memory */
void ebb_draw_legend_box(ebb_canvas *c, const ebb_plot_area *f);
/* Draws the panel into the rectangle.  False if there is no memory. */
bool ebb_panel_draw(
	ebb_canvas *c, const ebb_panel *p, double x, double y, double width, double height);
#endif

#endif
