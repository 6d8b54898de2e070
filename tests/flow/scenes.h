/* scenes.h - small nets for the tests that attach a flow instrument, and readers of its rows. */
#ifndef EBB_TESTS_FLOW_SCENES_H
#define EBB_TESTS_FLOW_SCENES_H

#include "tests/support/support.h"

/* ---- Rows ---- */

/* The number of the row of this op in this layer; -1: none, or several. */
int row_of(const ebb_flow *f, const char *layer, const char *op);
/* What was measured of it in a sample; fails the test if the op did not run in the sample. */
ebb_flow_measures measured(const ebb_flow *f, int sample, const char *layer, const char *op);
/* The line number in a site "dir/file.c:123"; -1: none. */
int line_of(const char *site);
/* Whether |a - b| <= tolerance*|b|. */
bool near(double a, double b, double tolerance);
#define assert_near(a, b, tolerance)                                                               \
	do {                                                                                       \
		double a_ = (a), b_ = (b);                                                         \
		ck_assert_msg(near(a_, b_, tolerance), "%s is %.17g, expected %.17g", #a, a_, b_); \
	} while (0)
/* No finding; else prints the first one. */
void assert_no_finding(ebb_flow *f);
/* The samples are of the steps 0, every, 2*every, .., and there are `samples` of them. */
void assert_samples(const ebb_flow *f, int samples, int64_t every);
/* Whether both instruments have the same rows, samples and measures, bit for bit. */
void assert_same_flow(const ebb_flow *a, const ebb_flow *b);

/* The Euclidean norm of a tensor or of a difference (b NULL: 0), by a plain loop in double. */
double plain_norm(const ebb_tensor *a, const ebb_tensor *b);

/* ---- A net: fc0, tanh, fc1, tanh, .., fc3, in F64 ---- */

enum { SCENE_LAYERS = 4, SCENE_BATCH = 12, SCENE_WIDTH = 6 };

typedef struct scene {
	ebb_params *p;
	ebb_linear fc[SCENE_LAYERS];
	ebb_tensor *x, *target; /* [SCENE_BATCH,SCENE_WIDTH] */
	ebb_optim *opt;
	ebb_tape *t;
	bool linear; /* without tanh */
} scene;
void scene_new(scene *s, const char *prefix);
void scene_free(scene *s);
/* The result of the net for rows from..from+n of x.  values: NULL, or of each fc and tanh. */
ebb_tensor *scene_forward(scene *s, int from, int n, ebb_tensor *values[2 * SCENE_LAYERS]);
/* The sum over those rows of (net(x) - target)^2/2. */
ebb_tensor *scene_loss(scene *s, int from, int n);
/* zero_grad, forward, backward, optimizer, reset. */
void scene_step(scene *s);

#endif
