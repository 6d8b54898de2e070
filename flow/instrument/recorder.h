/* recorder.h - the recorder of a flow instrument: what it knows of the current period. */
#ifndef EBB_FLOW_INSTRUMENT_RECORDER_H
#define EBB_FLOW_INSTRUMENT_RECORDER_H

#include "flow/instrument/internal.h"

/* The parts of a fused op that are rows: a normalisation, a sum, a nonlinearity. */
enum { FLOW_PARTS = 3 };

/* What the recorder knows of one node of the tape, by the node's number. */
struct flow_node {
	/* The rows of the node: of its last op in row[0], of the op before that in row[1], .. -1:
	 * none.  A leaf has the row of the first op that uses it in row[0]. */
	int row[FLOW_PARTS];
	int path;     /* the layer whose parameters feed it: a number of recorder->path; -1: none */
	int stage;    /* as flow_row.stage */
	int measured; /* the nearest measured row that feeds it, or its own last row; -1: none */
	bool channels;    /* the units of the result lie along axis 1, not along the last axis */
	bool bad;         /* the result was measured, and has elements that are not finite */
	bool sees_output; /* y_l2 and y_elements are those of the result */
	double y_l2, y_elements;
	double from_l2; /* of dL/dy at the op that the contributions flow through */
	int unnamed;    /* of a variable without a name: its number among those of its line */
};

/* A persistent parameter. */
struct flow_param {
	const ebb_tensor
		*persistent; /* not read after the reset of the period in which it was used */
	char name[64];
	int row;       /* -1: none */
	bool here;     /* a leaf of the current recording: it exists */
	bool recorded; /* used in the current period, which is measured */
	bool trainable;
	bool used, received; /* in the open step; receives: in a measured period */
	bool has_gradient;   /* at the last reset: of an earlier step, or of another tape */
	/* It had a gradient after an ebb_backward of the open step, and this version. */
	bool tracked;
	uint32_t version;
	uint32_t newest; /* the version when it was last read */
	/* The values before the update and the gradient, of `sampled` elements; NULL: none. */
	double *weight, *gradient;
	int64_t sampled, capacity;
	double scale;  /* elements/sampled */
	bool awaits;   /* the update, for which the copies are there */
	bool measured; /* its update in the open step was measured */
	/* In the last measured step that used it, it received no gradient, and had this version. */
	bool idle;
	uint32_t idle_version;
	int axes;
};

struct flow_path {
	char *text;
	size_t size;
	int layer; /* the number of f->layer, -1: no row has this path yet */
};

struct flow_recorder {
	struct flow_node *node;
	int64_t nodes, node_capacity;
	struct flow_path *path;
	int paths, last_path; /* last_path: the one that was last found */
	int64_t path_capacity;
	struct flow_param *param;
	int params, next_param;
	int64_t param_capacity;
	double *copy; /* for one parameter */
	int64_t copy_capacity;

	int next_row;     /* where the search for a row begins */
	int64_t clock;    /* ascending, for flow_row.order */
	bool watching;    /* the current period is measured */
	bool decided;     /* watching is that of the current period */
	bool partial;     /* the instrument was attached in the middle of this period */
	bool in_backward; /* an ebb_backward is running */
	bool backwards;   /* there was one since the instrument was attached */
	bool sweeps;      /* the period had an ebb_backward or ebb_grad */
	bool joined;      /* the period belongs to the open step */
	bool updated;     /* a parameter of the open step was updated */
	enum { FLOW_UNKNOWN, FLOW_ONE, FLOW_SEVERAL } periods; /* in a step */
	bool judging;             /* an alarm may read the instrument meanwhile */
	bool closes;              /* steps end at a reset, because updates come before it */
	bool open, open_measured; /* there is an open step, and it is measured */
	bool scalar;              /* the target of the current ebb_backward has one element, */
	double loss;              /* which is the loss; else 0 */
	double loss_sum; /* over the `losses` calls of ebb_backward with one in the open step */
	int64_t losses;
};

/* ---- place.c: which rows and which layer a node has ---- */

/* Fills f->recorder->node[index of n].  False without memory. */
bool ebb_flow_place(ebb_flow *f, const ebb_node *n);
/* The entry of the node that computed x; NULL for a constant, or if the node is unknown. */
struct flow_node *ebb_flow_node_of(const ebb_flow *f, const ebb_tensor *x);
/* Whether input k of n is a parameter: a leaf or a named persistent tensor. */
bool ebb_flow_is_parameter(const ebb_node *n, int k);
/* The number of the first input of n that is no parameter; -1: none. */
int ebb_flow_data_input(const ebb_node *n);

/* ---- rows.c ---- */

/* The number of the path, which is added if it is new; -1 without memory. */
int ebb_flow_path(ebb_flow *f, const char *text);
/* The row of this identity, which is added if it is new; -1 without memory, or if .layers does not
 * match the path. */
int ebb_flow_row(ebb_flow *f, int path, const char *op, const char *site, const char *added,
	ebb_flow_kind kind);

/* ---- params.c ---- */

/* A gradient of a leaf was computed.  False without memory. */
bool ebb_flow_param_gradient(ebb_flow *f, const ebb_node *n, const ebb_tensor *g);
/* The persistent tensor was used as a parameter of that row. */
bool ebb_flow_param_used(ebb_flow *f, const ebb_tensor *persistent, bool trainable, int row);
/* Finds the parameters that are leaves of the recording.  False without memory. */
bool ebb_flow_see_leaves(ebb_flow *f);
/* Examines which parameters of the recording were updated since their gradient was complete, and
 * measures the updates. */
void ebb_flow_compare(ebb_flow *f);
/* An ebb_backward of the open step has ended: notes the versions of the parameters. */
void ebb_flow_track(ebb_flow *f);
/* Whether a parameter of the recording had a gradient in the open step, and whether such a
 * gradient was cleared. */
bool ebb_flow_shares_params(const ebb_flow *f);
bool ebb_flow_is_cleared(const ebb_flow *f);
/* Whether a later period may add to a gradient of the open step. */
bool ebb_flow_accumulates(const ebb_flow *f);
/* The recording is about to be discarded; joined: it belongs to the open step. */
void ebb_flow_params_leave(ebb_flow *f, bool joined);
/* Forgets the gradients of ebb_grad. */
void ebb_flow_params_discard(ebb_flow *f);
/* Writes the sums of each row's parameters to the rows, and which are frozen. */
void ebb_flow_params_sum(ebb_flow *f);
/* The same for a step that goes on: ebb_flow_params_unpeek undoes it. */
void ebb_flow_params_peek(ebb_flow *f);
void ebb_flow_params_unpeek(ebb_flow *f);
/* Forgets the step. */
void ebb_flow_params_end(ebb_flow *f);
void ebb_flow_params_free(struct flow_recorder *r);

/* ---- recorder.c, flow.c ---- */

/* The callbacks that measure; flow.c adds those that tell steps apart. */
extern const ebb_observer ebb_flow_observer;
/* The number of the step to which the current period belongs, as far as it is known. */
int64_t ebb_flow_step_now(const ebb_flow *f);

/* ---- samples.c ---- */

/* Adds the sample of the open step, or replaces it. */
void ebb_flow_take_sample(ebb_flow *f);
void ebb_flow_samples_free(ebb_flow *f);

/* ---- origin.c ---- */

/* Looks for the first node whose value is not finite, before the sweep from a loss that is not. */
void ebb_flow_find_origin(ebb_flow *f);
/* The gradient of a node, or the contribution that it computed, is the first that is not finite. */
void ebb_flow_origin_in_gradient(ebb_flow *f, const ebb_node *n);

#endif
