/*
 * flow.h - watching gradients: probes, statistics, verdicts, tables, plots, reports.
 *
 * A probe looks at a training run from outside, through ebb_observe alone: the model is
 * not changed and the recording is not touched.
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

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Text (text.c) --------------------------------------------------------------------------- */

/* What tables, CSV and pages are appended to; start with {0}.  data ends in a NUL (and is NULL
 * while nothing was appended). When memory runs out it is failed: it takes nothing more, and the
 * function that was writing returns false. */
typedef struct ebb_text {
	char *data;
	size_t length, capacity;
	bool failed;
} ebb_text;
EBB_API void ebb_text_free(ebb_text *text); /* and back to {0} */
/* Appends what printf would print in the C locale: a point in numbers and no grouping, whatever
 * locale the program has set. */
EBB_API bool ebb_text_printf(ebb_text *text, const char *format, ...) EBB_PRINTF(2, 3);
/* Writes it to a file, over what was there.  A failed write leaves at path what was there before;
 * a symbolic link stays, and a device or FIFO is written to directly.  EBB_BAD_FILE with the path
 * and the system's reason; EBB_NO_MEMORY if the text has failed. */
EBB_API bool ebb_text_save(const ebb_text *text, const char *path, ebb_error *e);
/* Appends y[0..n-1] as width characters of eight heights, each the mean of its part (of a range
 * without a number: a blank).  Width is clipped to [1,200]. */
EBB_API bool ebb_text_sparkline(ebb_text *text, int64_t n, const double *y, int width);

/* ---- Statistics (stats.c) -------------------------------------------------------------------- */

/* Of count values, the NaNs among them left out of everything but count and nan.  Of nothing:
 * shares 0, the rest NaN.  With an infinity among them std is NaN. */
typedef struct ebb_stats {
	int64_t count, nan;
	double mean, std; /* std: of the population, sqrt(mean (x - mean)^2) */
	double min, max;
	double mean_abs, max_abs; /* mean |x|, max |x| */
	double l2;                /* sqrt(sum x^2) */
	double zeros;             /* share of values that are exactly 0, in [0,1] */
	double saturated;         /* share of values below or above the bounds given, in [0,1] */
} ebb_stats;
/* Over all of x (F32 or F64, any memory).  False if x is NULL, dropped or of integers, or there is
 * no memory. */
EBB_API bool ebb_stats_of(
	const ebb_tensor *x, double saturated_below, double saturated_above, ebb_stats *s);

/* ---- The probe (probe.c) --------------------------------------------------------------------- */

typedef struct ebb_probe ebb_probe;

/* .scopes: which scopes, as a glob over their paths (* any characters, ? one, [..] one of;
 * several separated by spaces); default all.
 * .every: looks at steps 0, every, 2*every, ...; default 1.  In the steps between the run is as
 * without a probe.
 * .max_samples: steps held, default 1000.  When as many are there, every second is forgotten and
 * .every doubles, so that memory stays bounded however long the run is.
 * .saturated_below, .saturated_above: an activation x < below or x > above counts as
 * saturated.  When both are left out, they follow the op that computed the activation: 0.05 and
 * 0.95 for sigmoid, where its slope is under a fifth of its largest; -0.95 and 0.95 for tanh,
 * where it is under a tenth; for any other op nothing saturates.  If one is left out that side
 * never saturates (EBB_ZERO for a bound of 0).
 * .evaluation: also looks while the tape evaluates (ebb_set_training off); by default such passes
 * are left out, so that a test in the middle of training does not mix with the step. */
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
/* Starts to observe t.  NULL (and .error) if there is no memory, no room for another observer, or
 * an option is out of range. */
EBB_API ebb_probe *ebb_probe_new(const ebb_probe_args *a);
/* Stops observing and forgets all; before the tape is freed.  Accepts NULL. */
EBB_API void ebb_probe_free(ebb_probe *p);

/* Ends the step: call it after the optimizer's step, before or after ebb_tape_reset, while the
 * parameters live.  It compares each parameter with its value when its gradient was completed
 * (before the optimizer changed it).  False if the probe ran out of memory; it then collects
 * nothing more, and training goes on undisturbed. */
EBB_API bool ebb_probe_step(ebb_probe *p);
EBB_API int64_t ebb_probe_steps(const ebb_probe *p); /* ended so far */
EBB_API bool ebb_probe_failed(const ebb_probe *p);

/* The scopes seen, in order of depth: the order in which they first ended. */
typedef struct ebb_layer {
	const char *path; /* "resnet.layer1.0"; lives as long as the probe */
	bool container; /* a watched scope ends inside it; not in depth fits, verdicts and tables */
} ebb_layer;
EBB_API int ebb_probe_layers(const ebb_probe *p);
EBB_API ebb_layer ebb_probe_layer(const ebb_probe *p, int layer); /* {NULL} if there is none */

/* The parameters whose gradients were seen, in the order in which they first came.  With .scopes
 * given: those first used inside a watched scope. */
typedef struct ebb_probed_param {
	const char *name; /* ebb_name of the persistent tensor */
	int layer;        /* the innermost watched scope of its first use; -1: outside of all */
} ebb_probed_param;
EBB_API int ebb_probe_params(const ebb_probe *p);
EBB_API ebb_probed_param ebb_probe_param(const ebb_probe *p, int param);

/* Rows: one per sampled step and layer.  A scope that ran several times in a step (a loop, shared
 * weights), or that several sweeps passed, has the statistics of all of it together.  False if
 * there is no such row. */
typedef struct ebb_layer_row {
	ebb_stats activation; /* of the scope's result; count 0 if it had none */
	ebb_stats gradient;   /* of the loss with respect to it; count 0 if no sweep came by */
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

/* One layer over the samples of steps [from, to): medians over the samples where the value is a
 * number, so that one wild step does not bend them; NaN where there is none. */
typedef struct ebb_layer_summary {
	const char *path;
	int samples;
	double mean, std, zeros, saturated;                  /* of the activation */
	double grad_l2, grad_mean_abs, grad_max, grad_zeros; /* with respect to the activation */
	/* Of all parameters used inside, as one long vector. */
	double param_grad_l2, param_grad_mean_abs, param_grad_max, param_grad_zeros;
	double update_ratio;
	int64_t nan; /* in activations and gradients, summed over the samples */
} ebb_layer_summary;
/* to 0: to the end.  False if there is no such layer or no memory. */
EBB_API bool ebb_probe_summary(
	const ebb_probe *p, int layer, int64_t from, int64_t to, ebb_layer_summary *s);

/* ---- Decay and verdict (verdict.c) ----------------------------------------------------------- */

/* How the gradient's norm changes with depth: the least-squares line through log norm[k] against k,
 * k = 0 the layer nearest the input.  factor = exp(-slope): what the norm is multiplied by when the
 * gradient flows back through one layer, below 1 when it fades.  Norms that are 0 (underflow), NaN
 * or infinite have no logarithm: they are left out of the fit and counted.  With fewer than two
 * left, factor, end_to_end and r2 are NaN. */
typedef struct ebb_decay {
	double factor;
	double end_to_end; /* factor^(n-1): from the last layer to the first, as fitted */
	double spread;     /* largest over smallest norm used */
	double r2;         /* share of the variance of log norm that the line explains; 1 if none */
	int layers, used, zeros, not_finite;
} ebb_decay;
/* False if n < 1 or norm is NULL. */
EBB_API bool ebb_decay_fit(int n, const double *norm, ebb_decay *d);

typedef enum ebb_verdict_kind {
	EBB_VERDICT_HEALTHY,
	EBB_VERDICT_VANISHING,
	EBB_VERDICT_EXPLODING,
	EBB_VERDICT_DEAD,
	EBB_VERDICT_SATURATED,
	EBB_VERDICT_NOT_FINITE
} ebb_verdict_kind;
EBB_API const char *ebb_verdict_name(ebb_verdict_kind kind); /* "vanishing", "dead units" */

/* Zero means the default. */
typedef struct ebb_verdict_limits {
	double vanishing; /* end_to_end below this, default 1e-3; or any gradient exactly 0 */
	double exploding; /* end_to_end above this, default 1e3 */
	double dead;      /* a layer with a larger share of zeros is dead, default 0.9 */
	double saturated; /* a layer with a larger share saturated is saturated, default 0.5 */
} ebb_verdict_limits;

/* The first that holds of: not finite, vanishing, exploding, dead units (in at least one layer),
 * saturated (at least one layer), healthy. The sentence gives its numbers, and names dead or
 * saturated layers in any case. */
typedef struct ebb_verdict {
	ebb_verdict_kind kind;
	ebb_decay decay; /* of grad_l2 */
	int dead_layers, saturated_layers;
	char sentence[300];
} ebb_verdict;
/* Of n layers in order of depth.  limits NULL: the defaults.  False if n < 1 or layers is NULL. */
EBB_API bool ebb_judge(
	int n, const ebb_layer_summary *layers, const ebb_verdict_limits *limits, ebb_verdict *v);
/* Of the probe's layers (containers left out) over the samples of steps [from, to); to 0: to the
 * end.  False if nothing was sampled there, or there is no memory. */
EBB_API bool ebb_probe_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v);

/* ---- Tables and CSV (table.c) ---------------------------------------------------------------- */

/* One line per layer: the summary over the samples of steps [.from, .to).  .colour: ANSI
 * colours; .bars: a bar of log gradient norm per line; .ascii: no characters beyond ASCII. 
 * .width: at most so many columns, such as a terminal's, by shorter bars, fewer quantities, and
 * names without their beginnings; the norm of the activation's gradient and eight columns of a
 * name stay.  A last line says so where a sampled gradient was 0 throughout on a tape that
 * flushes its type.  False and .error if nothing was sampled there, or there is no memory. */
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

/* RFC 4180, with CRLF and a header line unless .no_header; numbers with a point and no grouping in
 * any locale, NaN as nan.  One line per sample, layer or parameter, and quantity (activation,
 * gradient; weight, gradient).  .network fills the first column, so that several probes go into one
 * file.  False and .error if there is no memory. */
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

/* Where the time of a run goes: every call of an op on t from here on, with its time,
 * floating-point operations and bytes, forward and backward apart (a checkpoint's second run
 * counts as backward). The time of a call is its own: calls that it makes itself count for
 * themselves. Calls are remembered one by one until the reset.  NULL if there is no memory or t
 * has no room for another observer. */
typedef struct ebb_profile ebb_profile;
EBB_API ebb_profile *ebb_profile_new(ebb_tape *t);
EBB_API void ebb_profile_free(ebb_profile *p); /* before the tape */
EBB_API void ebb_profile_reset(ebb_profile *p);

typedef struct ebb_profile_cost {
	int64_t calls;
	double seconds, flops, bytes;
} ebb_profile_cost;
typedef struct ebb_profile_row {
	const char *name;
	ebb_profile_cost forward, backward;
} ebb_profile_row;
/* An op's backward are the calls that its gradient is made of. */
typedef enum ebb_profile_by { EBB_BY_OP, EBB_BY_SCOPE, EBB_BY_SITE } ebb_profile_by;
/* The rows in order of time, at most max of them; returns how many there are.  0 for a NULL p, or
 * if some calls could not be remembered (no memory). */
EBB_API int64_t ebb_profile_rows(
	const ebb_profile *p, ebb_profile_by by, int64_t max, ebb_profile_row *rows);
/* The same as a table, appended. */
EBB_API bool ebb_profile_table(const ebb_profile *p, ebb_profile_by by, ebb_text *text);
/* Every call as a Chrome trace (JSON, for chrome://tracing and Perfetto), appended: thread 1 is
 * forward, 2 backward. */
EBB_API bool ebb_profile_trace(const ebb_profile *p, ebb_text *text);

/* ---- Figures (axis.c, plot.c, figure.c) ------------------------------------------------------ */

/* A curve; points that are not finite, or not positive on a log axis, break the line.  Text is
 * UTF-8. */
typedef struct ebb_series {
	const char *label; /* NULL: none; a second line after \n is set smaller */
	int64_t n;
	const double *x; /* NULL: 0, 1, ..., n-1 */
	const double *y;
	int colour;  /* 1 to 8 of the palette; 0: by position */
	bool points; /* a marker at each point */
	bool faint;  /* thin, pale, without label: to stand behind another */
} ebb_series;

typedef enum ebb_legend {
	EBB_LEGEND_ENDS, /* each label beside the right end of its curve, pushed apart */
	EBB_LEGEND_BOX,  /* where the panel is emptiest */
	EBB_LEGEND_NONE
} ebb_legend;

typedef struct ebb_panel {
	const char *title, *x_label, *y_label;
	bool x_log, y_log;
	double x_range[2], y_range[2]; /* both 0: from the data; {24, 1} runs backwards */
	int n;
	const ebb_series *series;
	ebb_legend legend;
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
	bool dark; /* light on dark */
} ebb_figure;
/* Whether this build can draw; without Cairo the two functions below fail with EBB_BAD_STATE and
 * say so. */
EBB_API bool ebb_can_plot(void);
/* Writes path as .png, .svg or .pdf says, as ebb_text_save does.  EBB_INVALID for another
 * ending, no panel, or sizes outside 100 to 10000. */
EBB_API bool ebb_figure_save(const ebb_figure *f, const char *path, ebb_error *e);
/* The SVG document, appended. */
EBB_API bool ebb_figure_svg(const ebb_figure *f, ebb_text *text, ebb_error *e);
/* Frees the fonts that Cairo and Fontconfig keep until the process ends: for a program at its end
 * that wants nothing left for a leak checker to find.  Not while anybody else in the process uses
 * either. */
EBB_API void ebb_figures_end(void);

/* ---- The report (report.c) ------------------------------------------------------------------- */

typedef struct ebb_report_network {
	const char *name;
	const char *about; /* one line: how it is built; may be NULL */
	const ebb_probe *probe;
	int64_t from, to; /* the steps that the table and the verdict summarise; 0, 0: all */
	const ebb_verdict_limits *limits; /* NULL: the defaults */
	int64_t losses;                   /* of every step; may be 0 */
	const double *loss;
} ebb_report_network;

typedef struct ebb_report_figure {
	const ebb_figure *figure; /* drawn twice, for light and for dark pages */
	const char *caption;      /* also what a screen reader says */
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
/* One HTML page with everything inside it: no scripts, nothing to fetch.  It follows the reader's
 * light or dark setting.  A build without Cairo leaves the figures out and says so in their
 * place.  EBB_INVALID if there is no title or a network has no name or probe. */
EBB_API bool ebb_report_html(const ebb_report *r, ebb_text *text, ebb_error *e);

/* ---- The macros ------------------------------------------------------------------------------ */

#ifndef __cplusplus
#define ebb_probe_new(...) ebb_probe_new(&(ebb_probe_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_probe_table(...) ebb_probe_table(&(ebb_probe_table_args){__VA_ARGS__, .site = EBB_SITE})
#define ebb_probe_csv(...) ebb_probe_csv(&(ebb_probe_csv_args){__VA_ARGS__, .site = EBB_SITE})
#endif

#ifdef __cplusplus
}
#endif
#endif
