/*
 * compute.h - for the bodies of ops: calls of kernels, checks of inputs, and broadcasting.  For
 * autograd/ and ops/ only.
 */
#ifndef EBB_AUTOGRAD_COMPUTE_H
#define EBB_AUTOGRAD_COMPUTE_H

#include "autograd/internal.h"
#include "kernels/float_state.h"
#include "kernels/integer.h"
#include "kernels/kernels.h"

#define KERNELS(x) ebb_kernels_of((ebb_dtype)(x)->dtype)

/* The kernels of x's type, I64 or U8. */
#define INTEGERS(x) ((x)->dtype == EBB_U8 ? &ebb_integers_u8 : &ebb_integers_i64)

/* RUN calls a kernel of x's type in the floating-point state that x's tape asks for: rounding to
 * nearest, subnormal numbers kept or flushed.  STORE calls a kernel that only writes given values,
 * and never flushes them.  Kernels that only move elements need neither macro. */
#define RUN(x, kernel, ...) RUN_AS(ebb_flushes(x), x, kernel, __VA_ARGS__)
#define STORE(x, kernel, ...) RUN_AS(false, x, kernel, __VA_ARGS__)
#define RUN_AS(flush, x, kernel, ...)                                                              \
	do {                                                                                       \
		ebb_float_state own_state = ebb_float_enter(flush);                                \
		KERNELS(x)->kernel(__VA_ARGS__);                                                   \
		ebb_float_leave(own_state);                                                        \
	} while (0)

/* ebb_check_real: whether input k is F32 or F64.  ebb_check_same_type: whether inputs i and j have
 * the same type.  If not, the call fails.  True for NULL inputs.  The names are for the message. */
bool ebb_check_real(ebb_call *c, int k, const char *name);
/* Of a call that has not failed. */
bool ebb_check_same_type(ebb_call *c, int i, const char *a, int j, const char *b);

/* For checks before ebb_begin: false if the tape has failed, or fails because x is NULL or
 * stale. */
bool ebb_given(ebb_tape *t, const ebb_tensor *x, const char *op, const char *site);

/* Fails the call because its first two inputs do not broadcast.  Returns NULL. */
ebb_tensor *ebb_shapes_differ(ebb_call *c);
/* A result of that shape.  Its memory order is that of the first dense input of the same shape,
 * among the inputs from number first on; row-major if there is none. */
ebb_tensor *ebb_new_broadcast(ebb_call *c, const ebb_shape *shape, int first);
/* Checks the types of a call's two inputs a and b, and returns f(a, b) elementwise, with
 * broadcasting.  p is the kernel's parameter.  Integers are an error unless integer.def lists f. */
ebb_tensor *ebb_binary_result(ebb_call *c, ebb_binary_fn f, double p);

#endif
