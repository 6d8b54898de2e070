/*
 * flow.h - watching gradients: probes, statistics, verdicts, tables, plots, reports.
 *
 * A probe is an observer of a training run (ebb_observe): it changes neither the model nor what the
 * tape records.
 *
 *	ebb_probe *probe = ebb_probe_new(t, .scopes = "resnet.layer*", .every = 10);
 *	while (ebb_loader_next(loader, &batch)) {
 *		... forward, ebb_backward, ebb_optim_step(opt) ...
 *		ebb_probe_step(probe);
 *		ebb_tape_reset(t);
 *	}
 *	ebb_text text = {0};
 *	ebb_probe_table(probe, &text, .colour = true);
 *	fputs(text.data, stdout);
 *	ebb_text_free(&text);
 *	ebb_probe_free(probe);
 */
#ifndef EBB_FLOW_H
#define EBB_FLOW_H

#include "../autograd/autograd.h"
#include "instrument.h"
#include "summary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Text (text.c) --------------------------------------------------------------------------- */

/* A growing string that tables, CSV and pages are appended to; initialise it with {0}.  data ends
 * in a NUL, and is NULL until something is appended.  When memory runs out, failed is set: later
 * calls append nothing, and the function that was writing returns false. */
typedef struct ebb_text {
	char *data;
	size_t length, capacity;
	bool failed;
} ebb_text;
EBB_API void ebb_text_free(ebb_text *text); /* frees data and sets *text to {0} */
/* Appends what printf prints in the C locale: numbers have a decimal point and no grouping,
 * whatever locale the program has set. */
EBB_API bool ebb_text_printf(ebb_text *text, const char *format, ...) EBB_PRINTF(2, 3);
/* Writes the text to a file, and replaces the file's content.  A failed write leaves the former
 * content.  A symbolic link is followed; a device or FIFO is written to directly.  EBB_BAD_FILE
 * with the path and the system's reason; EBB_NO_MEMORY if the text has failed. */
EBB_API bool ebb_text_save(const ebb_text *text, const char *path, ebb_error *e);
/* Appends y[0..n-1] as a sparkline of at most width block characters of eight heights.  Each
 * character is the mean of its share of y's finite values, or a blank if it has none.  width is
 * clipped to [1,200]. */
EBB_API bool ebb_text_sparkline(ebb_text *text, int64_t n, const double *y, int width);

/* ---- Statistics (stats.c) -------------------------------------------------------------------- */

/* Statistics of count values.  The members other than count and nan leave NaNs out.  Without a
 * value that is not NaN, the shares are 0 and the others NaN.  An infinite value makes std NaN. */
typedef struct ebb_stats {
	int64_t count, nan;
	double mean, std; /* std: of the population, sqrt(mean (x - mean)^2) */
	double min, max;
	double mean_abs, max_abs; /* mean |x|, max |x| */
	double l2;                /* sqrt(sum x^2) */
	double zeros;             /* share of values that are exactly 0, in [0,1] */
	double saturated;         /* share of values below or above the bounds given, in [0,1] */
} ebb_stats;
/* The statistics of all elements of x (F32 or F64, any strides).  False if x is NULL, dropped or of
 * another type, or there is no memory. */
EBB_API bool ebb_stats_of(
	const ebb_tensor *x, double saturated_below, double saturated_above, ebb_stats *s);

/* ---- The probe (probe.c) --------------------------------------------------------------------- */

typedef struct ebb_probe ebb_probe;

/* .scopes: which scopes to observe: one or more globs, separated by spaces, that are matched with
 * the paths of scopes (* any characters, ? any one, [..] one of these); default all.
 * .every: samples the steps 0, every, 2*every, ...; default 1.  In the steps between, the run is as
 * without a probe.
 * .max_samples: how many sampled steps are kept, default 1000.  When there are as many, every
 * second sample is dropped and .every doubles, so that the memory of the probe is bounded, however
 * long the run is.
 * .saturated_below, .saturated_above: an activation x < below or x > above counts as
 * saturated.  When both are left out, they follow the op that computed the activation: 0.05 and
 * 0.95 for sigmoid, whose slope beyond them is less than a fifth of its maximum; -0.95 and 0.95 for
 * tanh, whose slope beyond them is less than a tenth of its maximum; results of other ops never
 * count as saturated.  If only one bound is left out, no activation saturates on that side
 * (EBB_ZERO stands for a bound of 0).
 * .evaluation: also samples forward passes in evaluation mode (ebb_set_training off).  By default
 * the probe ignores them, so that a test pass between training steps is not counted as part of a
 * step. */
typedef struct ebb_probe_args {
	ebb_tape *t;
	const char *scopes;
	int64_t every;
	int max_samples;
	double saturated_below, saturated_above;
	bool evaluation;
	ebb_error *error;
	const char *site;
} ebb_probe_args;
/* Starts to observe t.  A probe is two observers: the second one is an ebb_flow, which measures all
 * layers in the same steps, for ebb_probe_verdict.  NULL with an error in .error if there is no
 * memory, t has its largest number of observers, or an option is out of range. */
EBB_API ebb_probe *ebb_probe_new(const ebb_probe_args *a);
/* Stops observing and frees the probe.  Call it before the tape is freed.  Accepts NULL. */
EBB_API void ebb_probe_free(ebb_probe *p);

/* Ends the step.  Call ebb_probe_step after the optimizer's step, before or after ebb_tape_reset,
 * while the parameters exist.  For the ratio of update to weight, it compares each parameter with a
 * copy; the probe takes this copy in the backward pass, when the parameter's gradient is complete.
 * False if the probe ran out of memory: the probe then collects nothing more, and the training run
 * goes on. */
EBB_API bool ebb_probe_step(ebb_probe *p);
EBB_API int64_t ebb_probe_steps(const ebb_probe *p); /* steps ended so far */
EBB_API bool ebb_probe_failed(const ebb_probe *p);

/* The observed scopes are the layers of the probe, in the order in which they first ended.  This
 * order counts as their order of depth: the first layer is the nearest to the input. */
typedef struct ebb_layer {
	const char *path; /* "resnet.layer1.0"; valid as long as the probe */
	bool container;   /* an observed scope ends inside it; not in fits, verdicts and tables */
} ebb_layer;
EBB_API int ebb_probe_layers(const ebb_probe *p);
EBB_API ebb_layer ebb_probe_layer(const ebb_probe *p, int layer); /* {NULL} if there is none */

/* The parameters whose gradients were observed, in the order of their first gradient.  With .scopes
 * given: only those whose first use was inside an observed scope. */
typedef struct ebb_probed_param {
	const char *name; /* ebb_name of the parameter */
	int layer;        /* the innermost observed scope of its first use; -1: outside of all */
} ebb_probed_param;
EBB_API int ebb_probe_params(const ebb_probe *p);
EBB_API ebb_probed_param ebb_probe_param(const ebb_probe *p, int param);

/* Rows: one per sampled step and layer, or per sampled step and parameter.  If a scope ran several
 * times in a step (a loop, shared weights), or several backward passes reached it, its row has the
 * statistics of all these values together.  False if there is no such row. */
typedef struct ebb_layer_row {
	ebb_stats activation; /* of the scope's result; count 0 if it had none */
	ebb_stats gradient;   /* of the loss with respect to it; count 0 without a backward pass */
} ebb_layer_row;
typedef struct ebb_param_row {
	ebb_stats weight; /* before the update */
	ebb_stats gradient;
	double update_ratio; /* |w_new - w_old| / |w_old|, L2 norms; NaN where w_old is 0 */
} ebb_param_row;
EBB_API int ebb_probe_samples(const ebb_probe *p);
EBB_API int64_t ebb_probe_sample_step(const ebb_probe *p, int sample); /* -1 if there is none */
EBB_API bool ebb_probe_layer_row(const ebb_probe *p, int sample, int layer, ebb_layer_row *row);
EBB_API bool ebb_probe_param_row(const ebb_probe *p, int sample, int param, ebb_param_row *row);

/* One layer, summarised over the samples of steps [from, to).  Each member is the median over the
 * samples in which the quantity is not NaN, so that one outlier does not distort it; NaN if there
 * is no such sample. */
typedef struct ebb_layer_summary {
	const char *path;
	int samples;
	double mean, std, zeros, saturated;                  /* of the activation */
	double grad_l2, grad_mean_abs, grad_max, grad_zeros; /* with respect to the activation */
	/* of the gradients of all parameters used inside the layer, concatenated to one vector */
	double param_grad_l2, param_grad_mean_abs, param_grad_max, param_grad_zeros;
	double update_ratio;
	int64_t nan; /* in activations and gradients, summed over the samples */
} ebb_layer_summary;
/* to 0: up to the last sample.  False if there is no such layer or no memory. */
EBB_API bool ebb_probe_summary(
	const ebb_probe *p, int layer, int64_t from, int64_t to, ebb_layer_summary *s);

/* ---- Decay and verdict (verdict.c) ----------------------------------------------------------- */

/* How the gradient's norm changes with depth: the least-squares line through log norm[k] against k,
 * k = 0 the layer nearest the input.  factor = exp(-slope): the norm is multiplied by it when the
 * gradient flows back through one layer; below 1 the gradient vanishes with depth.  Norms that are
 * 0 (underflow), NaN or infinite have no logarithm: they are left out of the fit and counted.  With
 * fewer than two norms left, factor, end_to_end and r2 are NaN. */
typedef struct ebb_decay {
	double factor;
	double end_to_end; /* factor^(n-1): from the last layer to the first, as fitted */
	double spread;     /* largest over smallest norm used */
	double r2;         /* share of the variance of log norm that the line explains; 1 if none */
	int layers, used, zeros, not_finite;
} ebb_decay;
/* False if n < 1 or norm is NULL. */
EBB_API bool ebb_decay_fit(int n, const double *norm, ebb_decay *d);

/* The verdict of the flow instrument (flow/instrument.h), as the finding that comes first, and the
 * decay of the gradient's norm with depth.  sentence states the kind with its numbers, and the
 * layer and the line in which it begins, as far as they are known. */
typedef struct ebb_verdict {
	ebb_verdict_kind kind;
	ebb_decay decay; /* of grad_l2 of the summaries */
	/* Summaries with more zeros than limits.dead, default here 0.9, and with a larger share of
	 * saturated activations than limits.saturated, default 0.5. */
	int dead_layers, saturated_layers;
	int64_t step; /* -1: unknown, or healthy */
	/* Valid as long as the probe, or the summaries, that the verdict is about; "" if unknown. */
	const char *layer, *op, *site;
	char sentence[480], advice[240];
} ebb_verdict;
/* The verdict on n layers in order of depth, of which nothing but the summaries is known: each is
 * taken for a weight with a nonlinearity whose input is the result of the layer before.  limits
 * NULL: the defaults.  A layer is dead here if more than limits.dead, at least 0.9, of its
 * activations are 0.  False if n < 1 or layers is NULL, or there is no memory. */
EBB_API bool ebb_judge(
	int n, const ebb_layer_summary *layers, const ebb_verdict_limits *limits, ebb_verdict *v);
/* The verdict on the network in the steps [from, to), to 0: up to the last one: the finding that
 * comes first among those that held in one of them.  It is about all layers, also those that
 * .scopes leaves out; decay, dead_layers and saturated_layers are of the observed scopes that are
 * no containers.  limits NULL: the defaults; .slope and .active always are the defaults, because
 * the samples contain what was counted by them.  If the model has no op that is a row of an
 * ebb_flow, the verdict is that of ebb_judge.  False if no step in this range was sampled, or there
 * is no memory. */
EBB_API bool ebb_probe_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v);

/* ---- Tables and CSV (table.c) ---------------------------------------------------------------- */

/* One line per layer: the summary over the samples of steps [.from, .to).  .colour: ANSI colours;
 * .bars: a bar of log gradient norm per line; .ascii: no characters beyond ASCII.  .width: the
 * largest number of columns of a line, such as a terminal's.  To fit, the table shortens bars,
 * leaves out quantities and cuts off the beginnings of names; the norm of the activation's gradient
 * and eight columns of a name always stay.  If all elements of a sampled gradient were 0, and the
 * tape flushes subnormal numbers of the gradient's type to zero, the last line of the table says
 * that the gradient may have been flushed.  False with an error in .error if no step in [.from,
 * .to) was sampled, or there is no memory. */
typedef struct ebb_probe_table_args {
	const ebb_probe *probe;
	ebb_text *text;
	int64_t from, to;
	bool colour, bars, ascii;
	int width; /* 0: no limit */
	ebb_error *error;
	const char *site;
} ebb_probe_table_args;
EBB_API bool ebb_probe_table(const ebb_probe_table_args *a);

/* CSV as in RFC 4180, with CRLF and a header line unless .no_header; numbers have a decimal point
 * and no grouping in any locale, NaN is nan.  One line per sample, layer or parameter, and quantity
 * (activation, gradient; weight, gradient).  .network fills the first column, so that the lines of
 * several probes can stand in one file.  False with an error in .error if there is no memory. */
typedef struct ebb_probe_csv_args {
	const ebb_probe *probe;
	ebb_text *text;
	const char *network;
	bool no_header;
	ebb_error *error;
	const char *site;
} ebb_probe_csv_args;
EBB_API bool ebb_probe_csv(const ebb_probe_csv_args *a);

/* ---- Profiles (profile.c) -------------------------------------------------------------------- */

/* Profiles a run: records the time, floating-point operations and bytes of every call of an op on t
 * from ebb_profile_new on, forward and backward separately.  The recomputation of a checkpoint
 * counts as backward.  If an op calls other ops, these are recorded as calls of their own, and the
 * time of the outer call does not include theirs.  The profile keeps every call until
 * ebb_profile_reset.  NULL if there is no memory, or t has its largest number of observers. */
typedef struct ebb_profile ebb_profile;
EBB_API ebb_profile *ebb_profile_new(ebb_tape *t);
EBB_API void ebb_profile_free(ebb_profile *p); /* call it before the tape is freed */
EBB_API void ebb_profile_reset(ebb_profile *p);

typedef struct ebb_profile_cost {
	int64_t calls;
	double seconds, flops, bytes;
	double multiply_adds, result_bytes; /* as in ebb_run */
} ebb_profile_cost;
typedef struct ebb_profile_row {
	const char *name;
	ebb_profile_cost forward, backward;
} ebb_profile_row;
/* With EBB_BY_OP, the member backward of a row has the calls of all ops that compute the gradient
 * of the row's op. */
typedef enum ebb_profile_by { EBB_BY_OP, EBB_BY_SCOPE, EBB_BY_SITE } ebb_profile_by;
/* Writes at most max rows, the largest time first, and returns how many rows there are in all.  0
 * for a NULL p, or if some calls could not be recorded for lack of memory. */
EBB_API int64_t ebb_profile_rows(
	const ebb_profile *p, ebb_profile_by by, int64_t max, ebb_profile_row *rows);
/* Appends the rows as a table. */
EBB_API bool ebb_profile_table(const ebb_profile *p, ebb_profile_by by, ebb_text *text);
/* Appends every call as a Chrome trace (JSON, for chrome://tracing and Perfetto): thread 1 is
 * forward, 2 backward. */
EBB_API bool ebb_profile_trace(const ebb_profile *p, ebb_text *text);

/* ---- Figures (axis.c, canvas.c, plot.c, legend.c, figure.c) ---------------------------------- */

typedef enum ebb_marker { EBB_CIRCLE, EBB_SQUARE, EBB_TRIANGLE, EBB_DIAMOND, EBB_CROSS } ebb_marker;

/* A curve; points that are not finite, or not positive on a log axis, break the line.  Text is
 * UTF-8.
 *
 * With .scatter the points have markers and are not connected.  A point's colour is the series' (by
 * default), that of its class in .classes, or by the colour map viridis that of its number in
 * .value, which a bar beside the panel explains; a value that is not finite is grey.  Class k has
 * colour 1 + k%8 of the palette, from class 8 on another shape, and a negative class is grey. */
typedef struct ebb_series {
	const char *label; /* NULL: none; a second line, after \n, is drawn smaller */
	int64_t n;
	const double *x; /* NULL: 0, 1, ..., n-1 */
	const double *y;
	int colour;  /* 1 to 8 of the palette; 0: by the curve's number in the panel */
	bool points; /* a marker at each point */
	bool faint;  /* thin, pale, without label: for the background */
	bool scatter;
	ebb_marker marker;      /* of a scatter series */
	bool hollow;            /* only the outline of the marker */
	double size;            /* the marker's diameter in CSS pixels; default 8 */
	const int64_t *classes; /* [n] or NULL */
	const double *value;    /* [n] or NULL; precedes .classes */
	/* The legend's entries for the classes 0 .. class_count-1, in place of label. */
	int class_count;
	const char *const *class_names;
} ebb_series;

typedef enum ebb_legend {
	/* each label beside the right end of its curve, pushed apart; a box if a series is .scatter */
	EBB_LEGEND_ENDS,
	EBB_LEGEND_BOX, /* where the panel is emptiest */
	EBB_LEGEND_NONE
} ebb_legend;

typedef struct ebb_panel {
	const char *title, *x_label, *y_label;
	bool x_log, y_log;
	double x_range[2], y_range[2]; /* both 0: from the data; {24, 1} is a decreasing axis */
	int n;
	const ebb_series *series;
	ebb_legend legend;
	/* One unit has the same length on both axes.  The range of an axis is extended; an axis with a
	 * given range is shortened instead.  An error for log axes. */
	bool equal;
	const char *value_label; /* above the bar of the colour map */
	double value_range[2];   /* both 0: from the data */
} ebb_panel;

/* Panels side by side, .columns in a row (default all), under one title.  Sizes in CSS pixels,
 * default 640 by 480 a panel; PNG has twice as many.  The palette (Okabe & Ito 2008, "Color
 * Universal Design", slightly darkened for white paper) can be told apart with any colour
 * vision. */
typedef struct ebb_figure {
	const char *title, *subtitle, *footer;
	double width, height;
	int columns;
	int n;
	const ebb_panel *panels;
	bool dark; /* light lines on a dark background */
} ebb_figure;
/* Whether this build can draw.  In a build without Cairo it returns false, and ebb_figure_save and
 * ebb_figure_svg fail with EBB_BAD_STATE. */
EBB_API bool ebb_can_plot(void);
/* Writes the figure to path, in the format of path's ending (.png, .svg or .pdf); a failed write
 * leaves the former file, as ebb_text_save does.  EBB_INVALID for another ending, no panel, or
 * sizes outside 100 to 10000. */
EBB_API bool ebb_figure_save(const ebb_figure *f, const char *path, ebb_error *e);
/* Appends the figure as an SVG document. */
EBB_API bool ebb_figure_svg(const ebb_figure *f, ebb_text *text, ebb_error *e);
/* Frees the fonts that Cairo and Fontconfig cache until the process ends, so that a leak checker
 * does not report them.  Call it at the end of a program, while no other code of the process uses
 * either library. */
EBB_API void ebb_figures_end(void);

/* ---- The report (report.c) ------------------------------------------------------------------- */

typedef struct ebb_report_network {
	const char *name;
	const char *about; /* one line: how it is built; may be NULL */
	/* One of both: what measured the network. */
	const ebb_probe *probe;
	ebb_flow *flow;
	int64_t from, to; /* the steps that the table summarises; 0, 0: all */
	/* Of a probe, over the same steps; NULL: the defaults.  An instrument has limits of its
	 * own. */
	const ebb_verdict_limits *limits;
	int64_t losses; /* the length of loss, one value per step; may be 0 */
	const double *loss;
} ebb_report_network;

typedef struct ebb_report_figure {
	const ebb_figure *figure; /* drawn twice, for light and for dark pages */
	const char *caption;      /* also the text for screen readers */
} ebb_report_figure;

typedef struct ebb_report_option {
	const char *name, *value;
} ebb_report_option;

/* All text is UTF-8 and is escaped. */
typedef struct ebb_report {
	const char *title, *subtitle;
	int paragraphs;
	const char *const *story;
	int networks;
	const ebb_report_network *network;
	int figures;
	const ebb_report_figure *figure;
	int options;
	const ebb_report_option *option;
	const char *footer;
} ebb_report;
/* Appends one self-contained HTML page: no scripts, no external files.  The page follows the
 * browser's light or dark setting.  A build without Cairo prints a remark in place of each figure.
 * EBB_INVALID if there is no title, or a network has no name or not exactly one of .probe and
 * .flow. */
EBB_API bool ebb_report_html(const ebb_report *r, ebb_text *text, ebb_error *e);

/* ---- The macros ------------------------------------------------------------------------------ */

#define ebb_probe_new(...) EBB_CALL_ARGS(ebb_probe_new, ebb_probe_args, __VA_ARGS__)
#define ebb_probe_table(...) EBB_CALL_ARGS(ebb_probe_table, ebb_probe_table_args, __VA_ARGS__)
#define ebb_probe_csv(...) EBB_CALL_ARGS(ebb_probe_csv, ebb_probe_csv_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
