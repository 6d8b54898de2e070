/* internal.h - the state of a flow instrument, for flow/ only. */
#ifndef EBB_FLOW_INSTRUMENT_INTERNAL_H
#define EBB_FLOW_INSTRUMENT_INTERNAL_H

#include "flow/flow.h"
#include "flow/internal.h"
#include "flow/instrument/measure.h"

/*
 * The words of this folder:
 *	row: one op at one source line in one layer, as ebb_flow_op; lives as long as the instrument;
 *	period: what runs on the tape between two resets; a step has one or more periods;
 *	sums: the measures of a row as sums, so that calls, periods and parts of tensors can be added;
 *	sample: the measures of all rows in one step;
 *	stage: a weight and the ops that its result passes through until the next weight.
 */

/* ---- Rows (rows.c) --------------------------------------------------------------------------- */

struct flow_layer {
	char *path;
	size_t size;
	/* Set by ebb_flow_sort: the smallest order of its rows; as place of struct flow_row; and the
	 * number of this layer in that order. */
	int64_t order;
	int place, number;
};

/* The parameters of an op, summed by params.c: how many have a gradient, and how many of these were
 * updated; of the first the norms of w and g, of the second those of dw, w and g, and the inner
 * product of dw and -g. */
struct flow_update {
	int params, updates;
	double weight_l2, weight_grad_l2;
	double update_l2, updated_l2, updated_grad_l2, dot;
	bool equal; /* all elements of a parameter with two or more axes are equal_to */
	double equal_to;
};

enum { FLOW_HISTOGRAMS = 4 };

struct flow_row {
	int layer;
	const char *op, *site, *added;
	ebb_flow_kind kind;
	/* The row of the weight with which its stage begins; the row itself for EBB_FLOW_WEIGHT; -1:
	 * before the first weight. */
	int stage;
	/* A measured row that feeds it in the last measured step, along the first input; -1: none. */
	int before;
	int64_t order; /* ascending in the order of the forward computation */
	/* Of f->row[k]: the index of the row that is number k in that order (ebb_flow_sort). */
	int place;
	const char
		*frozen; /* in the last step: a trainable parameter without a gradient, or NULL */
	struct flow_sums now, step; /* of the current period; of the step's earlier periods */
	struct flow_units units;
	/* [0] of y, [1] of dL/dy in the last measured step; [2], [3] in the current period.  NULL
	 * without .histograms. */
	ebb_flow_histogram *histogram;
	/* Of the open step; what ebb_flow_params_peek keeps. */
	struct flow_update update, peeked;
	const char *peeked_frozen;
};

/* ---- Samples (samples.c) --------------------------------------------------------------------- */

struct flow_sample {
	int64_t step;
	double loss;
	int rows;             /* the length of m: the rows that existed */
	ebb_flow_measures *m; /* m[row]; .calls is 0 for a row that did not run */
};
ebb_flow_measures ebb_flow_no_measures(void); /* all of them NaN */
struct flow_judged;
/* The rows that ran in the step, in the order of the forward computation, to out; returns how many
 * there are, at most s->rows. */
int ebb_flow_judged_rows(const ebb_flow *f, const struct flow_sample *s, struct flow_judged *out);

/* ---- Findings (findings.c, judge.c) ---------------------------------------------------------- */

struct flow_finding {
	ebb_finding found;
	int row;             /* where it begins; -1: unknown */
	int64_t last_sample; /* the number of the last sample in which it held, counted from 0 */
	bool certain, told;  /* it is listed; the alarm was called */
	bool initial;        /* it may be one of the initial weights only */
};

/* Where the first value that is not finite was computed (origin.c). */
struct flow_origin {
	bool found, in_gradient;
	int64_t step;
	int row; /* the row of the op, or of the nearest measured op before it; -1 */
	const char *op, *site, *layer; /* layer "": none */
	const char *added;             /* as flow_row.added */
	char parameter[64];            /* the parameter that was not finite before the op, or "" */
};

/* What the judge looks at: one row that ran in the step. */
struct flow_judged {
	int row;
	const struct flow_row *r;
	ebb_flow_measures m;
};
/* Judges one measured step: n rows in the order of the forward computation.  Reports each finding
 * with ebb_flow_find. */
void ebb_flow_judge(ebb_flow *f, int64_t step, double loss, int n, const struct flow_judged *rows);
/* A finding holds in the step that is being judged.  row: where it begins.  Sets the sentence and
 * the advice the first time. */
void ebb_flow_find(ebb_flow *f, ebb_verdict_kind kind, int64_t step, int row, double value,
	double limit, const char *sentence, const char *advice);
/* As ebb_flow_verdict, of the steps that have ended. */
ebb_finding ebb_findings_first(const ebb_flow *f);
/* The next listed finding, from *at (0: the first one) on; NULL: there is none.  Judges nothing:
 * ebb_flow_finding does so in each call. */
const ebb_finding *ebb_findings_next(const ebb_flow *f, int *at);

/* ---- Judging again (range.c) ----------------------------------------------------------------- */

/* The verdict on the steps [from, to), to 0: up to the last sample.  limits NULL: those of f.  With
 * other steps or limits than those of f, the kept samples are judged again; .slope and .active,
 * which measuring used, and the findings that no sample shows remain those of f. */
ebb_judged ebb_flow_judge_range(const ebb_flow *f, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_finding *x);

/* ---- The instrument -------------------------------------------------------------------------- */

struct flow_param;
struct flow_node;

struct ebb_flow {
	ebb_tape *t;
	ebb_observer observer;
	char *globs;
	size_t globs_size;
	int64_t every, most;
	int max_samples, window;
	bool histograms, rank, evaluation;
	bool stepped; /* a step ends at ebb_flow_next_step only: the instrument of a probe */
	ebb_verdict_limits limits;
	void (*alarm)(void *ctx, const ebb_finding *finding);
	void *ctx;

	bool failed;
	int64_t step;     /* the number of the open step; -1: none has begun */
	int64_t measured; /* samples taken so far, also those that were dropped */
	double seconds_histograms, seconds_rank; /* spent on the optional measures */

	struct flow_layer *layer;
	int layers;
	int64_t layer_capacity;
	struct flow_row *row;
	int rows;
	int64_t row_capacity;
	struct flow_sample *sample;
	int samples;
	int64_t sample_capacity;
	struct flow_finding *finding;
	int findings;
	int64_t finding_capacity;
	struct flow_origin origin;
	double first_loss, last_loss; /* NaN: no step had a loss */
	/* The elements of a measured gradient were all 0, and the tape flushes its type. */
	bool flushed;
	int sorted_rows, sorted_layers; /* those that ebb_flow_sort has put in order */
	ebb_text text;                  /* of ebb_flow_text */

	struct flow_recorder *recorder; /* recorder.c: the current period */
};

/* Whether globs (see ebb_flow_new; NULL: all) match path. */
bool ebb_flow_matches(const char *globs, const char *path);
/* Makes the open step a sample if it is measured, and judges it, as if it ended now.  The sample is
 * replaced when the step ends. */
void ebb_flow_settle(ebb_flow *f);
/* Ends the open step; the next one has the number `step`.  With .stepped. */
void ebb_flow_next_step(ebb_flow *f, int64_t step);

/* ---- Views (summary.c, tree.c, lines.c, view.c, export.c) ------------------------------------ */

/* Puts rows and layers in the order of the forward computation.  The public functions number those
 * that existed at the last call; ebb_flow_settle calls it at its end.  Needs no memory. */
void ebb_flow_sort(ebb_flow *f);
/* The index in f->row of the op with this public number; -1: there is none. */
int ebb_flow_row_of(const ebb_flow *f, int op);
/* Whether a layer, by its public number, has a row of this kind. */
bool ebb_flow_has(const ebb_flow *f, int layer, ebb_flow_kind kind);
/* Whether an op of the layer, or the op, ran in a sample of the steps [from, to); layer, op: -1:
 * none. */
bool ebb_flow_ran(const ebb_flow *f, int layer, int op, int64_t from, int64_t to);
/* The row of the layer's first weight, else its first row; -1: it has none. */
int ebb_flow_main_row(const ebb_flow *f, int layer);
/* The share of slopes that are near 0, or of results that are 0 where the slope is not known. */
double ebb_flow_flat(double saturated, double zeros);

/* Consecutive layers that one line of the table stands for.  Their names are the paths head and
 * tail, which are equal for a single layer and for all layers below one path. */
struct flow_line {
	int first, last; /* numbers of layers that the table shows */
	const char *head, *tail;
	int head_length, tail_length;
	bool kept;        /* never joined with others */
	double deviation; /* |log| of the factor that deviates most from 1 */
};
/* Joins neighbouring lines by the dots of their paths until there are at most `most`, or no more
 * can be joined; returns how many there are. */
int ebb_flow_collapse(struct flow_line *line, int n, int most);
/* The name of a line, "a.b" or "fc10 .. fc24", into buffer; returns it. */
const char *ebb_flow_line_name(const struct flow_line *line, char *buffer, size_t size);

enum {
	FLOW_RMS,
	FLOW_FLAT,
	FLOW_GRADIENT,
	FLOW_W,
	FLOW_NORM_FACTOR,
	FLOW_PHI,
	FLOW_UPDATE,
	FLOW_COLUMNS
};
/* A line of the table as text. */
struct flow_shown {
	struct flow_line line;
	char cell[FLOW_COLUMNS][16]; /* "": does not apply */
	double gradient;
	const char *op, *site; /* site: without its folders */
	bool sites;            /* the line's layers have several sites */
	const char *verdict;   /* what is wrong: "saturated"; else NULL */
	char note[64];         /* the same with its evidence: "saturated 98 %"; else "" */
};
/* The lines of a table in the steps [from, to), at most `most` of them (ops: a line per op), with the
 * findings so far, after ebb_flow_settle.  *n of them, in *bytes bytes to be freed.  NULL: no memory, or nothing was measured in these steps:
 * *bytes is then 0. */
struct flow_shown *ebb_flow_lines(
	ebb_flow *f, bool ops, int64_t from, int64_t to, int most, int *n, size_t *bytes);

#endif
