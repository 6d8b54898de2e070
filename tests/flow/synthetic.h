/* synthetic.h - an instrument with rows and measures computed from chosen factors, as a network with
 * these factors would give them, for the tests of the judgement. */
#ifndef EBB_TESTS_FLOW_SYNTHETIC_H
#define EBB_TESTS_FLOW_SYNTHETIC_H

#include "flow/instrument/internal.h"
#include "tests/support/support.h"

enum { UNITS = 64, LAYERS = 64, ROWS = 4 * LAYERS, SAMPLES = 16 };

/* One layer: factors of weight, normalisation (0: none) and slope, and shares. */
struct layer {
	double w, norm, phi, dead, saturated, update, shift;
	const char *op; /* NULL: no nonlinearity */
};

struct net {
	ebb_flow f;
	struct flow_row row[ROWS];
	struct flow_layer path[LAYERS];
	struct flow_sample sample[SAMPLES];
	ebb_flow_measures m[ROWS], kept[SAMPLES][ROWS];
	struct flow_judged judged[ROWS];
	char names[LAYERS][16], sites[ROWS][24];
	struct layer l[LAYERS];
	int depth, rows, weight[LAYERS], slope[LAYERS];
	bool residual; /* pairs of layers 1 and 2, 3 and 4, .. are branches */
	double loss, scale;
	int64_t step;
};

extern struct net *net; /* of the test that runs */

/* Begins with layers of these factors; the last one has no nonlinearity. */
void begin(int depth, const char *op, double w, double phi);
void begin_relu(int depth); /* a plain ReLU network under He initialisation */
void build(void);           /* the rows of the layers in net->l */
void end(void);
void measure(void);      /* fills net->m from net->l */
void judge(void);        /* judges net->m as the next step */
void judge_steps(int n); /* measures and judges n steps */

const char *all_findings(void);
void assert_none(void);
/* Finding 0 begins at that row and step; it is the only one. */
void assert_first(ebb_verdict_kind kind, int row, int64_t step);
void assert_only(ebb_verdict_kind kind, int row, int64_t step);

extern const int DEPTHS[3];
/* Each depth, and a layer near the input, in the middle and near the loss. */
#define EACH_PLACE(depth, bad)                                                                     \
	for (int d_ = 0, depth; d_ < 3 && (depth = DEPTHS[d_]); d_++)                              \
		for (int p_ = 0, bad; p_ < 3 && (bad = p_ == 0    ? 1                              \
		                                        : p_ == 1 ? depth / 2                      \
		                                                  : depth - 2);                    \
			p_++)

#endif
