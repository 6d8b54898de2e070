/* judge.h - the state of the judgement of one measured step, for the files of its rules. */
#ifndef EBB_FLOW_INSTRUMENT_JUDGE_H
#define EBB_FLOW_INSTRUMENT_JUDGE_H

#include "flow/instrument/internal.h"

/* A weight, and the normalisations and nonlinearities that its result passes through in sequence,
 * up to the next weight, sum or branch. */
struct flow_stage {
	int weight, last; /* indices in judging.rows: of the weight, and of the last op */
	/* |dL/dx|/|dL/dy| of its parts; of a first layer, whose dL/dx is not computed, weight is
	 * rms(y)/rms(x), which has the same expectation for random weights */
	double weight_factor, norm_factor, slope_factor;
	bool by_activations; /* weight_factor is rms(y)/rms(x) */
	double log_factor;   /* log(weight_factor * norm_factor), NaN if unknown */
	/* The norm of the gradient before the stage relative to that at its end: of dL/dx, if the
	 * stage contributes at least half of it, else rise is 0; for fall the largest of all ops
	 * before it.  So neither is extreme if a skip connection past the stage carries the
	 * gradient.  NaN if unknown. */
	double rise, fall;
};

struct judging {
	ebb_flow *f;
	int64_t step, since; /* since: the first step of the finding that is reported */
	double loss;
	int n;
	const struct flow_judged *rows;

	struct flow_stage *stage;
	int stages;
	double *scratch;          /* n numbers, for medians */
	int *at;                  /* at[row]: the index in rows, or -1 */
	int *stage_of;            /* per index: its stage, or -1 */
	int *component;           /* per index: the smallest index of those connected with it */
	double median, deviation; /* of the stages' log_factor */

	bool found[EBB_VERDICT_BADLY_INITIALISED + 1];
	/* A finding of this step explains small gradients at the indices up to this one; -1. */
	int blocked;
	/* A layer is dead: the ops before it receive no gradient, those after it no input. */
	bool silent;
	int zero; /* the first index of a weight whose elements are equal, such as 0; n: none */
};

/* x as text, until the end of the block. */
#define PRETTY(x) ebb_pretty((char[32]){0}, 32, x)

/* Whether the rows are those of an instrument's first step. */
bool ebb_judge_initial(const struct judging *j);
/* "relu in layer fc6 (net.c:38)" for an index in rows; valid until the end of the block. */
#define PLACE(j, index) ebb_judge_place(j, index, (char[256]){0}, 256)
const char *ebb_judge_place(const struct judging *j, int index, char *buffer, size_t size);
/* The row of a finding of that kind that held in the sample before, or -1.  row -1: any. */
int ebb_judge_held(const ebb_flow *f, ebb_verdict_kind kind, int row);
/* Reports a finding at an index in rows, -1: nowhere.  "Dead units: " is put before the
 * sentence. */
void ebb_judge_found(struct judging *j, ebb_verdict_kind kind, int index, double value,
	double limit, const char *advice, const char *format, ...) EBB_PRINTF(7, 8);

/* findings.c */
/* Makes findings certain that held in the sample before and cannot be judged in this one. */
void ebb_findings_confirm(ebb_flow *f, bool not_finite);
/* The finding is one of initial weights, if it does not hold in the next sample. */
void ebb_findings_mark_initial(ebb_flow *f, ebb_verdict_kind kind, int row);
/* A finding that begins in this sample has held since an earlier step. */
void ebb_findings_backdate(ebb_flow *f, ebb_verdict_kind kind, int row, int64_t since);
/* Orders the findings, and calls the alarm for those that have become certain. */
void ebb_findings_close(ebb_flow *f);

/* stages.c */
void ebb_judge_stages(struct judging *j);
bool ebb_judge_is_zero(const struct judging *j, int index); /* its weight is 0 throughout */
void ebb_judge_zero_weights(struct judging *j);
void ebb_judge_equal_weights(struct judging *j);
void ebb_judge_outliers(struct judging *j);
void ebb_judge_initialisation(struct judging *j);
/* rules.c */
void ebb_judge_dead(struct judging *j);
void ebb_judge_saturated(struct judging *j);
void ebb_judge_not_learning(struct judging *j);
/* trend.c */
void ebb_judge_trends(struct judging *j);
void ebb_judge_loss(struct judging *j);

#endif
