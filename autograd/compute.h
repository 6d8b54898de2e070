/*
 * compute.h - how an op's call comes to its kernel: the table for its type, the floating-point
 * state, the checks that most ops make, and broadcasting.  For linear.c and ops/.
 */
#ifndef EBB_AUTOGRAD_COMPUTE_H
#define EBB_AUTOGRAD_COMPUTE_H

#include "autograd/internal.h"
#include "kernels/float_state.h"
#include "kernels/kernels.h"

#define KERNELS(x) ebb_kernels_of((ebb_dtype)(x)->dtype)

/* RUN runs a kernel of x's type in the floating-point state that x's tape asks for, STORE one that
 * writes given values, which stay as they are.  Kernels that only move values need neither. */
#define RUN(x, kernel, ...) RUN_AS(ebb_flushes(x), x, kernel, __VA_ARGS__)
#define STORE(x, kernel, ...) RUN_AS(false, x, kernel, __VA_ARGS__)
#define RUN_AS(flush, x, kernel, ...)                                                              \
	do {                                                                                       \
		ebb_float_state own_state = ebb_float_enter(flush);                                \
		KERNELS(x)->kernel(__VA_ARGS__);                                                   \
		ebb_float_leave(own_state);                                                        \
	} while (0)

/* Each fails the call and returns false if it does not hold. */
bool ebb_check_real(ebb_call *c, int k, const char *name);
/* Of a call that has not failed. */
bool ebb_check_same_type(ebb_call *c, int i, const char *a, int j, const char *b);

/* For what checks before any op runs: the tape is healthy and x is not NULL. */
bool ebb_given(ebb_tape *t, const ebb_tensor *x, const char *op, const char *site);

/* Fails the call, as its first two inputs do not broadcast. */
ebb_tensor *ebb_shapes_differ(ebb_call *c);
/* A result in the order of the first full-shape dense input from number first on, else
 * row-major. */
ebb_tensor *ebb_new_broadcast(ebb_call *c, const ebb_shape *shape, int first);
/* The result of a binary kernel for a call's two inputs: types checked, broadcasting. */
ebb_tensor *ebb_binary_result(ebb_call *c, ebb_binary_fn f, double p);

#endif
