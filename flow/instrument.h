/*
 * instrument.h - the flow instrument: where the gradient goes in a training run, and what is wrong.
 *
 * An instrument is attached to a tape, and the program trains as before:
 *
 *	ebb_flow *f = ebb_flow_new(t);
 *	... train ...
 *	puts(ebb_flow_text(f));                 the table and the verdict
 *	ebb_flow_free(f);                       before the tape is freed
 *
 * Ops.  Every recorded op that has a weight, normalises, has a nonlinearity or adds branches is one
 * row.  A row is identified by its layer, its op and the source line that called the op.  Calls
 * with the same identity in one step (a loop, a recurrent network) are measured together.
 *
 * Layers.  An op with a parameter belongs to the layer that the parameter names: fc6.weight to fc6.
 * An op without a parameter belongs to the layer whose parameters feed it.  The scopes that are
 * open (ebb_scope_begin) stand before the name of the layer: linear and sigmoid in the scope act6
 * form the layer act6.fc6.  An op in a scope that contains none of the layers that feed it forms a
 * layer with the path of that scope.  Ops of layers beyond the first EBB_FLOW_LAYERS form the layer
 * "others", so that names that change in each step do not take ever more memory.
 *
 * Steps.  A step begins with the first ebb_backward after the gradients of the parameters were
 * cleared (ebb_params_zero_grad) or the parameters were updated.  All that runs on the tape between
 * two calls of ebb_tape_reset belongs to one step: two losses, or two models.  If the tape is reset
 * between the updates of two models, each update is a step of its own.  With gradient accumulation
 * a step has several such periods.  ebb_flow_step ends a step explicitly.  Steps are counted from 0
 * at the attachment.
 */
#ifndef EBB_FLOW_INSTRUMENT_H
#define EBB_FLOW_INSTRUMENT_H

#include "../autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Verdicts -------------------------------------------------------------------------------- */

typedef enum ebb_verdict_kind {
	EBB_VERDICT_HEALTHY,
	EBB_VERDICT_VANISHING, /* the gradient's norm falls too far on its path to the input */
	EBB_VERDICT_EXPLODING, /* it grows too far, or one layer multiplies it far more than others */
	EBB_VERDICT_DEAD,      /* most units of a layer are inactive for all inputs */
	EBB_VERDICT_SATURATED,  /* most slopes of a bounded nonlinearity are near 0 */
	EBB_VERDICT_NOT_FINITE, /* NaN or infinity */
	/* a trainable parameter of an op receives no gradient; a parameter that no op uses is unknown
	 * to the tape, and no finding */
	EBB_VERDICT_FROZEN,
	EBB_VERDICT_NOT_LEARNING, /* parameters receive a gradient, and are hardly changed */
	/* at the first step: all elements of a weight are equal, or a weight's factor is far from
	 * those of the other layers */
	EBB_VERDICT_BADLY_INITIALISED
} ebb_verdict_kind;
EBB_API const char *ebb_verdict_name(ebb_verdict_kind kind); /* "vanishing", "dead units" */

/* The limits of the verdicts.  A limit of 0 means the default.  Gradient limits are ratios, so that
 * they do not depend on the scale of the loss or the size of the batch.  ebb_verdict_limits_text
 * states further conditions. */
typedef struct ebb_verdict_limits {
	/* Norm of the gradient at a layer's output, relative to the layers nearer to the loss:
	 * vanishing below, default 1e-3; exploding above, default 1e3. */
	double vanishing, exploding;
	/* A unit is dead if it is active in less than .active of its values in the window, default
	 * 0.01; a layer is dead if more than .dead of its units are, default 0.5, unless this can
	 * be chance: the fewer units a layer has, the more are dead by chance. */
	double dead, active;
	/* A layer is saturated if more than .saturated of its slopes, default 0.5, are below .slope
	 * of the op's largest slope, default 0.05.  While the loss is below half of the first loss,
	 * a layer is dead or saturated from a share of 0.9 on. */
	double saturated, slope;
	/* A layer's factor is an outlier if it differs from the median factor of the network's
	 * layers by more than this ratio, default 20, and by more than 6 times the median absolute
	 * deviation of the logarithms (Hampel 1974). */
	double outlier;
	/* Parameters hardly change if the ratio of update to weight is below this, default 1e-7. */
	double update;
} ebb_verdict_limits;
/* The limits with all defaults filled in; NULL gives the defaults. */
EBB_API ebb_verdict_limits ebb_verdict_limits_of(const ebb_verdict_limits *given);
/* The limits as text with their sources, one per line; valid until the program ends. */
EBB_API const char *ebb_verdict_limits_text(void);

/* One thing that is wrong. */
typedef struct ebb_finding {
	ebb_verdict_kind kind;
	/* The first measured step in which it held; of EBB_VERDICT_NOT_FINITE any step, measured or
	 * not. */
	int64_t step;
	int64_t last; /* the last measured step in which it held */
	int samples;  /* in how many measured steps it held */
	/* where it begins; valid as long as the instrument, and "" if unknown or if the finding is
	 * about the whole network */
	const char *layer, *op, *site;
	/* The evidence: the measured number, and the limit that it crosses.  Of EBB_VERDICT_FROZEN:
	 * the number of ops without a gradient, and 0. */
	double value, limit;
	char sentence[480]; /* what, where, since when, with the evidence */
	char advice[240];   /* what to try */
} ebb_finding;

/* ---- The instrument -------------------------------------------------------------------------- */

typedef struct ebb_flow ebb_flow;

enum { EBB_FLOW_LAYERS = 2000 };

/* .every: measures the steps 0, every, 2*every, ..; default 1.  Between them the instrument only
 * looks at the loss.  If the loss is not finite, the instrument looks for the op in which the first
 * value that is not finite was computed, in any step.
 * .layers: which layers to measure: globs, separated by spaces.  * stands for any characters
 * within one part of a path, ** for any characters, ? for one character that is no dot; default
 * all.  "resnet.layer1.*" matches resnet.layer1.0, "resnet.**" also resnet.layer1.0.conv1.  The *
 * of ebb_params_freeze also matches dots; here ** does.
 * .max_samples: how many measured steps are kept, default 200, at least 2.  When there are as many,
 * every second one is dropped and .every doubles.  Findings stay.
 * .elements: a tensor with more elements is measured on about this number of elements, in evenly
 * spaced blocks, from which sums are extrapolated; default 32768, negative: all elements.
 * .histograms, .rank: also measure histograms and the effective rank.  ebb_flow_text prints the
 * time that both take.
 * .evaluation: also measure ops that run in evaluation mode.
 * .window: dead units are counted over the last .window/2 to .window measured steps, default 10.
 * .limits: NULL: the defaults.
 * .alarm: called once for each finding, with .ctx, when it is certain.  EBB_VERDICT_NOT_FINITE and
 * EBB_VERDICT_BADLY_INITIALISED are certain at once, EBB_VERDICT_NOT_LEARNING when it has held in
 * three measured steps in succession, because the learning rate of a warm-up begins near 0, any
 * other finding when it has held in two.  A finding that held in one step is also certain if the
 * next step cannot confirm it: EBB_VERDICT_EXPLODING if values there are not finite or a layer is
 * dead, others if values in the run's second measured step are not finite.  An outlier of the first
 * step that the second does not confirm is EBB_VERDICT_BADLY_INITIALISED then.  The call is at the
 * end of the step, for a loss that is not finite at the beginning of ebb_backward.  .alarm may not
 * run ops on the tape, nor free the instrument. */
typedef struct ebb_flow_args {
	ebb_tape *t;
	int64_t every;
	const char *layers;
	int max_samples;
	int64_t elements;
	bool histograms, rank, evaluation;
	int window;
	const ebb_verdict_limits *limits;
	void (*alarm)(void *ctx, const ebb_finding *finding);
	void *ctx;
	ebb_error *error;
	const char *site;
} ebb_flow_args;
/* Attaches an instrument to t, at any time.  If ops are recorded on t, it measures from the next
 * ebb_tape_reset on.  NULL with an error in .error if there is no memory, t has its largest number
 * of observers, or an option is out of range.  The instrument changes neither which ops run nor
 * their results. */
EBB_API ebb_flow *ebb_flow_new(const ebb_flow_args *a);
/* Detaches and frees the instrument.  Call it before the tape is freed.  Accepts NULL. */
EBB_API void ebb_flow_free(ebb_flow *f);
/* Ends the current step now.  Only needed if a step cannot be told from the gradients, for example
 * in a loop without an optimizer. */
EBB_API void ebb_flow_step(ebb_flow *f);
EBB_API int64_t ebb_flow_steps(const ebb_flow *f); /* steps begun so far */
/* Whether the instrument ran out of memory: it then measures nothing more, and the training run
 * goes on. */
EBB_API bool ebb_flow_failed(const ebb_flow *f);

/* ---- Findings -------------------------------------------------------------------------------- */

/* The findings that are certain (.alarm), the one that began first at 0; of those that began in one
 * step, equal initial weights come first, then not finite, frozen, dead, saturated, exploding,
 * vanishing, badly initialised, not learning.  Judges a step that has not ended as if it ended now.
 * If only one step was measured, all its findings are listed but EBB_VERDICT_NOT_LEARNING. */
EBB_API int ebb_flow_findings(ebb_flow *f);
EBB_API bool ebb_flow_finding(ebb_flow *f, int i, ebb_finding *finding);
/* The finding number 0.  Without findings: the kind EBB_VERDICT_HEALTHY, and a sentence with the
 * numbers on which it rests. */
EBB_API ebb_finding ebb_flow_verdict(ebb_flow *f);
/* The exit status of a program: 0 if there is no finding, else 1.  2 if the instrument is NULL, or
 * has no finding because it has failed or has measured nothing (.layers matches no layer). */
EBB_API int ebb_flow_status(ebb_flow *f);

/* ---- Measures -------------------------------------------------------------------------------- */

typedef enum ebb_flow_kind {
	EBB_FLOW_WEIGHT, /* has a parameter: linear, conv2d, embedding, .. */
	EBB_FLOW_NORM,   /* normalises: batchnorm, layernorm, .. */
	EBB_FLOW_SLOPE,  /* a nonlinearity: relu, tanh, softmax, .. */
	EBB_FLOW_SUM     /* adds two branches */
} ebb_flow_kind;

/* A row: one op. */
typedef struct ebb_flow_op {
	int layer; /* the index of its layer */
	const char *op;
	const char *site; /* the source line that called the op; "" if unknown */
	/* For a step of an ebb_sequential: the line that added the step; else NULL. */
	const char *added;
	ebb_flow_kind kind;
} ebb_flow_op;

/* What was measured of one op in one step, or the medians over several steps.  NaN: not
 * measured.  y is the op's result, x its first input that is not a parameter, L the loss. */
typedef struct ebb_flow_measures {
	double calls, elements; /* per step: calls of the op; elements of all results */
	/* y */
	double mean, std, rms, max; /* max |y| */
	double zeros;               /* share of elements that are 0 */
	/* Share of slopes below limits.slope of the op's largest slope; NaN for other ops. */
	double saturated;
	/* Share of units that are active in less than limits.active of the window; a unit is a
	 * channel of images, else an element of the last axis; active: not saturated. */
	double dead;
	/* exp of the entropy of the normalised singular values of y, rows: samples, columns: units
	 * (Roy & Vetterli 2007) */
	double rank;
	double not_finite; /* number of elements of y that are NaN or infinite */
	/* dL/dy */
	double grad_l2, grad_rms, grad_max, grad_zeros, grad_not_finite;
	/* rms(y)/rms(x), and |op's contribution to dL/dx| / |dL/dy| in L2 norms: the factor by which
	 * the op multiplies the gradient.  For a linear layer this is |W^T g|/|g|, for a
	 * nonlinearity phi it is |phi'(x) g|/|g|. */
	double forward, backward;
	/* The op's parameters, concatenated to one vector: norms of the weights w before the
	 * update, and of their gradient g; |dw|/|w| of the update dw; the cosine of the angle
	 * between dw and -g, 1 for SGD without momentum. */
	double weight_l2, weight_grad_l2, update_ratio, cosine;
} ebb_flow_measures;

/* Layers and ops are in the order of the forward computation in the last measured step.  Their
 * numbers may change when a later step runs others. */
EBB_API int ebb_flow_layers(const ebb_flow *f);
EBB_API const char *ebb_flow_layer(const ebb_flow *f, int layer); /* its path; NULL: none */
EBB_API int ebb_flow_ops(const ebb_flow *f);
EBB_API bool ebb_flow_op_at(const ebb_flow *f, int op, ebb_flow_op *row);
EBB_API int ebb_flow_samples(const ebb_flow *f);
EBB_API int64_t ebb_flow_sample_step(const ebb_flow *f, int sample); /* -1 if there is none */
/* The mean of the losses of that step: the targets of its ebb_backward calls; NaN if none. */
EBB_API double ebb_flow_sample_loss(const ebb_flow *f, int sample);
/* False if there is no such sample or op, or the op did not run in that step. */
EBB_API bool ebb_flow_sample(const ebb_flow *f, int sample, int op, ebb_flow_measures *m);
/* Medians over the samples of steps [from, to), to 0: up to the last one, in which the measure is
 * not NaN.  False if the op ran in none of them or there is no memory. */
EBB_API bool ebb_flow_summary(
	const ebb_flow *f, int op, int64_t from, int64_t to, ebb_flow_measures *m);

/* The chain rule of a layer, factor by factor.  |dL/dx| / |dL/dy| of its ops: weight is that of
 * its op with a weight (W), norm that of its normalisation, slope that of its nonlinearity (phi');
 * 1 if the layer has no such op, the product if it has several in sequence.  gradient is |dL/dy| at
 * its last op, activation the rms of y there.  zeros, saturated and dead are those of its
 * nonlinearity, NaN if it has none.  weight_l2 to cosine are those of its parameters, concatenated
 * to one vector.  All are medians over the samples but not_finite: the number of elements of y and
 * dL/dy in all samples that are NaN or infinite. */
typedef struct ebb_flow_layer_summary {
	const char *path;
	int samples;
	double weight, norm, slope;
	double activation, gradient, zeros, saturated, dead;
	double weight_l2, weight_grad_l2, update_ratio, cosine;
	double not_finite;
} ebb_flow_layer_summary;
EBB_API bool ebb_flow_layer_summary_of(
	const ebb_flow *f, int layer, int64_t from, int64_t to, ebb_flow_layer_summary *s);

/* A histogram of .histograms: counts of y's or dL/dy's elements by sign and binary exponent.
 * bin[0][k] counts values in (-2^(e+1), -2^e], bin[1][k] those in [2^e, 2^(e+1)), with e = k -
 * EBB_FLOW_BIAS; smaller values count in bin 0, larger ones in the last bin.  zeros, NaNs and
 * infinities are counted apart. */
enum { EBB_FLOW_BINS = 160, EBB_FLOW_BIAS = 128 };
typedef struct ebb_flow_histogram {
	int64_t bin[2][EBB_FLOW_BINS];
	int64_t zeros, nan, infinite[2]; /* infinite: -inf, +inf */
} ebb_flow_histogram;
/* The histogram of the last measured step; gradient: of dL/dy, else of y.  False if there is
 * none. */
EBB_API bool ebb_flow_histogram_of(const ebb_flow *f, int op, bool gradient, ebb_flow_histogram *h);

/* ---- Text ------------------------------------------------------------------------------------ */

struct ebb_text;

/* The table and the verdict as text of at most 100 columns; valid until the next call, or until f
 * is freed.  NULL without memory. */
EBB_API const char *ebb_flow_text(ebb_flow *f);

/* Appends a table: one line per layer, in the order of the forward computation.  Layers are
 * collapsed by the dots of their paths, or else to runs (fc10 .. fc24), until the whole table has
 * at most .lines lines (default 40; negative: no limit); layers with findings and their neighbours
 * are not collapsed.  The name of a line of n layers ends in (n); it has medians, and the geometric
 * means of the factors, so that it can be compared with the line of one layer.
 * The columns: y's rms; flat: saturated, or zeros where that is NaN; the gradient's L2 norm; the
 * factors weight (W), norm and slope (phi'); update_ratio; the gradient's norm as a bar; op and
 * source line, for a finding its kind, its evidence and the line that it names.  A cell is blank if
 * it does not apply, and - if it was not measured.
 * Steps from the first value on that is not finite are left out, and the table says so; if no step
 * is before, that step is shown.
 * .ops: a line per op instead, without a limit.
 * .from, .to: the steps [.from, .to), as in ebb_flow_summary.
 * .colour: with ANSI colours.  .ascii: without other characters than ASCII, but those of names.
 * .width: at most so many columns, default 100, negative: no limit.  Columns are left out, and
 * names are cut, until it fits; the gradient's norm and eight columns of a name always stay.
 * False with an error in .error if nothing was measured in these steps, or there is no memory. */
typedef struct ebb_flow_table_args {
	ebb_flow *flow;
	struct ebb_text *text;
	int64_t from, to;
	bool ops, colour, ascii;
	int lines, width;
	ebb_error *error;
	const char *site;
} ebb_flow_table_args;
EBB_API bool ebb_flow_table(const ebb_flow_table_args *a);
/* Appends the sentence and the advice of each finding, wrapped to lines of at most width columns;
 * width 0: not wrapped.  False without memory. */
EBB_API bool ebb_flow_findings_text(ebb_flow *f, int width, struct ebb_text *text);

/* Appends CSV (RFC 4180, with CRLF and a header line unless .no_header) or, with .json, JSON lines:
 * an object per line with the same names.
 *
 * By default, a line per layer and window of steps, with 6 digits.  The measured steps are divided
 * into .windows windows of nearly equal length, default 10.  The columns:
 *    network                 .network
 *    from, to, samples       the steps [from, to); how many measured steps of the layer they have
 *    layer, op, site         path; op and source line of its first weight, else of its first op
 *    loss                    the median
 *    activation gradient weight norm slope zeros saturated dead weight_l2 weight_grad_l2
 *    update_ratio cosine not_finite
 *                            as in ebb_flow_layer_summary
 * .full: a line per op and measured step, with 9 digits.  The columns:
 *    network, step           .network; the step
 *    layer, op, site, added, kind
 *                            as in ebb_flow_op; kind: weight, norm, slope or sum
 *    loss                    of the step
 *    calls elements mean std rms max zeros saturated dead rank not_finite grad_l2 grad_rms
 *    grad_max grad_zeros grad_not_finite forward backward weight_l2 weight_grad_l2 update_ratio
 *    cosine
 *                            as in ebb_flow_measures
 * Numbers have a decimal point in any locale.  NaN is nan, in JSON null; infinities are inf and
 * -inf, in JSON the strings "inf" and "-inf".
 *
 * .measures: which columns from loss on to write, and in which order, separated by spaces, such as
 * "gradient slope"; default all.  .layers: which layers, globs as in ebb_flow_new.  False with an
 * error in .error if there is no such measure, .windows is negative, or there is no memory. */
typedef struct ebb_flow_export_args {
	ebb_flow *flow;
	struct ebb_text *text;
	const char *network; /* the first column */
	bool full, json, no_header;
	int windows;
	const char *layers, *measures;
	ebb_error *error;
	const char *site;
} ebb_flow_export_args;
EBB_API bool ebb_flow_export(const ebb_flow_export_args *a);

/* ---- The macros ------------------------------------------------------------------------------ */

#define ebb_flow_new(...) EBB_CALL_ARGS(ebb_flow_new, ebb_flow_args, __VA_ARGS__)
#define ebb_flow_table(...) EBB_CALL_ARGS(ebb_flow_table, ebb_flow_table_args, __VA_ARGS__)
#define ebb_flow_export(...) EBB_CALL_ARGS(ebb_flow_export, ebb_flow_export_args, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
