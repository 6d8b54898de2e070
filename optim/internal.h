/*
 * internal.h - the struct of an optimizer, L-BFGS and its line search: for optim/ only.
 */
#ifndef EBB_OPTIM_INTERNAL_H
#define EBB_OPTIM_INTERNAL_H

#include "archive/state.h"
#include "kernels/kernels.h"
#include "optim/optim.h"

typedef enum ebb_algorithm {
	EBB_SGD,
	EBB_ADAM,
	EBB_ADAMW,
	EBB_RMSPROP,
	EBB_ADAGRAD,
	EBB_LBFGS
} ebb_algorithm;

/* A parameter and its optimizer state. */
typedef struct ebb_optim_slot {
	ebb_tensor *w;
	double lr_scale, decay_scale;
	int64_t steps;  /* steps of this parameter */
	void *state[2]; /* momentum; second moment or sum of squares, if the algorithm has them */
	size_t bytes;   /* bytes of each state */
} ebb_optim_slot;

struct ebb_optim {
	ebb_algorithm kind;
	ebb_params *p;
	double lr, momentum, decay, beta1, beta2, eps;
	double lr_decay, initial; /* adagrad; initial is the first value of state[1] */
	bool nesterov, check_finite;
	bool busy;     /* a closure of this optimizer runs */
	bool keeps[2]; /* which states the algorithm has */
	int64_t steps;
	ebb_optim_slot *slots;
	int64_t count, capacity;
	struct ebb_lbfgs_state *lbfgs; /* NULL for other algorithms */
	ebb_kernel_step *parts;        /* the arguments of a step */
	int64_t parts_capacity;
	ebb_error error;
};

/* ---- L-BFGS (lbfgs.c, curvature.c, lbfgs_state.c) --------------------------------------------------------- */

/* A change of the parameters, s, and the change of the gradient that it caused, y.  The n elements
 * of each follow the struct. */
typedef struct ebb_pair {
	_Alignas(16) bool used;
} ebb_pair;

/* The state of L-BFGS.  Its vectors are the parameters that had a gradient, in order, laid end to
 * end. */
typedef struct ebb_curvature {
	int64_t params; /* the number of flags */
	bool *active;   /* whether a parameter belongs to the vectors */
	int64_t n;      /* elements of a vector */
	size_t bytes;   /* of a vector */
	int64_t history;
	ebb_pair **blocks; /* all pairs that were allocated; at most ebb_most_blocks */
	int64_t block_count;
	ebb_pair **pairs; /* [history], the oldest first */
	double *ro;       /* [history], 1/(y s) of each pair */
	int64_t count;
	ebb_pair **trial_pairs; /* the same, of a step in progress */
	double *trial_ro;
	/* s of the last iteration and, as y, minus the gradient before it; NULL: none */
	ebb_pair *pending;
	double scale; /* the initial inverse Hessian is scale*I */
	int64_t iterations;
	void *work; /* the vectors and numbers of a step in progress */
} ebb_curvature;

typedef struct ebb_lbfgs_state {
	int64_t max_iter, max_eval, history;
	double tolerance_grad, tolerance_change;
	ebb_line_search line_search;
	ebb_curvature *memory; /* NULL before the first step */
} ebb_lbfgs_state;

/* Empty state for the parameters with active[i], i < params.  NULL without memory. */
ebb_curvature *ebb_curvature_new(const ebb_optim *o, int64_t params, const bool *active);
void ebb_curvature_free(ebb_curvature *m);
/* A pair that is not in use, and is in use from now on.  NULL without memory. */
ebb_pair *ebb_pair_take(ebb_curvature *m);
/* Marks the pairs of the state as used, and no others. */
void ebb_curvature_sweep(ebb_curvature *m);
void *ebb_pair_s(const ebb_curvature *m, ebb_pair *p);
void *ebb_pair_y(const ebb_curvature *m, ebb_pair *p);
/* Vector number i of the work, and history numbers. */
enum { EBB_LBFGS_VECTORS = 6 };
void *ebb_lbfgs_vector(const ebb_curvature *m, int i);
double *ebb_lbfgs_numbers(const ebb_curvature *m);
void ebb_lbfgs_free(ebb_lbfgs_state *l);
double ebb_lbfgs_step(ebb_optim *o, ebb_closure closure, void *ctx);

/* The entries of L-BFGS, for state.c.  check returns how many entries with the prefix it knows;
 * take changes nothing on failure. */
bool ebb_lbfgs_put(const ebb_optim *o, ebb_archive *a, const char *prefix, ebb_error *e);
int64_t ebb_lbfgs_check(
	const ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_complaints *all);
bool ebb_lbfgs_take(ebb_optim *o, const ebb_archive *a, const char *prefix, ebb_error *e);
bool ebb_lbfgs_knows(const char *name); /* without the prefix */

/* ---- Line search (line_search.c) ------------------------------------------------------------- */

/* A step length along the direction, the loss there and its derivative by the step length. */
typedef struct ebb_trial {
	double t, loss, slope;
} ebb_trial;

typedef struct ebb_line {
	/* Sets loss and slope of the trial x->t.  False: failure, which ends the search. */
	bool (*evaluate)(void *ctx, ebb_trial *x);
	void (*keep)(void *ctx); /* the last trial is the best one up to now */
	void *ctx;
	double least; /* an interval that is shorter is not searched */
} ebb_line;

/* Searches for a step that satisfies the strong Wolfe conditions, from the trial `first` on.  best
 * is the point at 0, and receives the result: the best trial, or the point at 0 if no trial has a
 * sufficient decrease.  False if an evaluation fails. */
bool ebb_strong_wolfe(const ebb_line *line, double first, ebb_trial *best);

/* ---- All algorithms -------------------------------------------------------------------------- */

/* The name of an algorithm, such as "adam". */
const char *ebb_algorithm_name(ebb_algorithm kind);
/* Clears the gradients and calls the closure, evaluation number n of a step.  False with an error in
 * the optimizer if the closure fails. */
bool ebb_optim_call(ebb_optim *o, ebb_closure closure, void *ctx, int64_t n, double *loss);
/* Called at every step, because a store that was empty may have changed its type since. */
static inline const ebb_kernels *ebb_optim_kernels(const ebb_optim *o)
{
	return ebb_params_dtype(o->p) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
}
/* 0 <= value < below, else an error in the store. */
bool ebb_optim_within(ebb_params *p, const char *site, ebb_algorithm kind, const char *what,
	double value, double below);
/* Copies checked options to the heap and allocates the state.  NULL with an error in the store. */
ebb_optim *ebb_optim_make(const ebb_optim *checked, const char *site);
/* Allocates state for the parameters that have none yet.  False without memory. */
bool ebb_optim_take_slots(ebb_optim *o);

#endif
