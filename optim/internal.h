/*
 * internal.h - the struct of an optimizer: for optim/ only.
 */
#ifndef EBB_OPTIM_INTERNAL_H
#define EBB_OPTIM_INTERNAL_H

#include "kernels/kernels.h"
#include "optim/optim.h"

typedef enum ebb_algorithm { EBB_SGD, EBB_ADAM, EBB_ADAMW, EBB_RMSPROP } ebb_algorithm;

/* A parameter and its optimizer state. */
typedef struct ebb_optim_slot {
	ebb_tensor *w;
	double lr_scale, decay_scale;
	int64_t steps;  /* steps of this parameter */
	void *state[2]; /* momentum and second moment, if the algorithm has them */
	size_t bytes;   /* bytes of each state */
} ebb_optim_slot;

struct ebb_optim {
	ebb_algorithm kind;
	ebb_params *p;
	double lr, momentum, decay, beta1, beta2, eps;
	bool nesterov, check_finite;
	bool keeps[2]; /* which states the algorithm has */
	int64_t steps;
	ebb_optim_slot *slots;
	int64_t count, capacity;
	ebb_kernel_step *parts; /* the arguments of a step */
	int64_t parts_capacity;
	ebb_error error;
};

/* The name of an algorithm, such as "adam". */
const char *ebb_algorithm_name(ebb_algorithm kind);
/* Allocates state for the parameters that have none yet.  False without memory. */
bool ebb_optim_take_slots(ebb_optim *o);

#endif
