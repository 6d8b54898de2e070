/* internal.h - what the files of flow/ share. */
#ifndef EBB_FLOW_INTERNAL_H
#define EBB_FLOW_INTERNAL_H

#include "flow/flow.h"
#include "kernels/kernels.h"

/* ---- text.c: appending; each returns false once the text has failed ---- */

bool ebb_text_bytes(ebb_text *text, const char *s, size_t n);
bool ebb_text_add(ebb_text *text, const char *s); /* NULL adds nothing */
bool ebb_text_repeat(ebb_text *text, const char *s, int times);
/* A double by a printf format such as "%.3g", with a point in any locale; NaN is nan whatever its
 * sign, infinities are inf and -inf. */
bool ebb_text_number(ebb_text *text, const char *format, double x);
const char *ebb_number(
	char *buffer, size_t size, const char *format, double x); /* the same; returns buffer */
/* s in a field of width columns (of code points), left or right. */
bool ebb_text_pad(ebb_text *text, const char *s, int width, bool right);
int ebb_columns(const char *s);                       /* code points of UTF-8 */
bool ebb_text_escaped(ebb_text *text, const char *s); /* for XML, in content and attributes */
bool ebb_text_base64(ebb_text *text, const char *bytes, size_t n);

/* ---- probe.c fills a probe, rows.c reads it ---- */

struct layer_sums {
	ebb_kernel_stats activation, gradient;
};

struct param_sums {
	ebb_kernel_stats weight, gradient;
	double change; /* |w_new - w_old|_2 */
	bool compared; /* change is known */
};

/* rows[capacity], one per sample. */
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
	void *snapshot; /* the value when the gradient came, in reading order */
	size_t snapshot_size;
	bool snapped;
	struct param_sums *rows;
	int64_t capacity;
};

/* The result of a layer in the current step: its gradient comes under this node. */
struct pending {
	int64_t node;
	int part; /* of a fused op; -1: all of it */
	int layer;
};

struct ebb_probe {
	ebb_tape *t;
	ebb_observer observer;
	char *scopes;
	size_t scopes_size;
	int64_t every;
	int max_samples;
	bool evaluation, bounds_given;
	double below, above;

	int64_t step;
	bool failed;
	bool watching; /* the current step is sampled */
	bool open;     /* row number samples is being filled */
	bool flushed;  /* a gradient was 0 throughout on a tape that flushes its type */
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

/* Whether the scope path lies inside the scope outer (and is not outer itself). */
bool ebb_path_inside(const char *path, const char *outer);

/* ---- stats.c: sums can be added, statistics cannot ---- */

/* False if x is not a readable tensor of reals, or there is no memory for a copy of one that is
 * not dense. */
bool ebb_sums_of(const ebb_tensor *x, double below, double above, ebb_kernel_stats *sums);
void ebb_sums_add(ebb_kernel_stats *into, const ebb_kernel_stats *more);
ebb_stats ebb_stats_from(const ebb_kernel_stats *sums);

/* ---- rows.c, verdict.c ---- */

/* What a table says below it where a gradient may be 0 because it was flushed. */
#define EBB_FLUSHED_NOTE "a gradient of 0 may have been flushed: see ebb_set_flush_subnormal"

/* The layers that tables show (containers left out), summarised: *n of them in *bytes of memory.
 * NULL if there is no layer (*bytes is then 0) or no memory. */
ebb_layer_summary *ebb_summaries(
	const ebb_probe *p, int64_t from, int64_t to, int *n, size_t *bytes);
/* As ebb_probe_verdict, which says no more than whether it was found. */
typedef enum ebb_finding { EBB_FOUND, EBB_NOTHING_SAMPLED, EBB_NO_MEMORY_TO_LOOK } ebb_finding;
ebb_finding ebb_find_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v);
/* "1.9e-5", and for factors "0.42", "3.1"; "-" for NaN. */
const char *ebb_pretty(char *buffer, size_t size, double x);

/* The logarithm of v's place between lo and hi, all positive: 0 at lo, 1 at hi and where hi is
 * lo. */
double ebb_log_share(double v, double lo, double hi);

/* ---- axis.c: where the ticks of an axis lie ---- */

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
/* An axis that holds the values [lo,hi] with about want ticks; .lo and .hi are widened to ticks
 * unless fixed. */
void ebb_axis_fit(ebb_axis *a, bool log, double lo, double hi, bool fixed, int want);
/* What stands for the value v on the axis: v or its logarithm. */
double ebb_axis_of(const ebb_axis *a, double v);
/* The place of that: 0 at lo, 1 at hi. */
double ebb_axis_place(const ebb_axis *a, double at);
/* A tick's label as text; for powers the exponent alone, to be set raised behind "10". */
const char *ebb_axis_label(const ebb_axis *a, double at, char *buffer, size_t size);

/* ---- plot.c draws a panel, figure.c arranges panels ---- */

#ifdef EBB_HAVE_CAIRO
#include <cairo.h>

typedef struct ebb_rgb {
	double r, g, b;
} ebb_rgb;

/* Where drawing goes and how it looks: sizes in CSS pixels. */
typedef struct ebb_canvas {
	cairo_t *cr;
	bool dark;
	ebb_rgb paper, ink, muted, grid;
} ebb_canvas;

void ebb_canvas_theme(ebb_canvas *c, bool dark);
/* Draws s with its baseline at y and returns its width; align 0 starts, 0.5 centres, 1 ends it at
 * x. */
double ebb_canvas_text(ebb_canvas *c, double x, double y, double align, double size, bool bold,
	ebb_rgb colour, const char *s);
/* The panel into the rectangle.  False if there is no memory. */
bool ebb_panel_draw(
	ebb_canvas *c, const ebb_panel *p, double x, double y, double width, double height);
#endif

#endif
