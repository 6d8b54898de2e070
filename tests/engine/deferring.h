/*
 * deferring.h - a network of two fully connected layers, large enough that the gradients of their
 * weights are deferred outer products.
 */
#ifndef EBB_TESTS_DEFERRING_H
#define EBB_TESTS_DEFERRING_H

#include "tests/support/support.h"

enum { WIDTH = 1024, OUT = 1048, ROWS = 8 };

/* The tape of a test, and its fixtures.  Sweeps defer outer products. */
extern ebb_tape *tape;
void set_up(void);
void tear_down(void);

typedef struct network {
	ebb_params *p;
	ebb_linear fc1, fc2;
	ebb_tensor *x, *other; /* two inputs */
} network;

network network_new(ebb_dtype dtype, ebb_shape shape);
network usual(void); /* of floats, for ROWS rows */
void network_free(network *n);
ebb_tensor *loss_of(const network *n, ebb_tensor *x);

bool is_deferred(const ebb_tensor *w);
bool both_deferred(const network *n);

/* ebb_backward of the loss for x; the gradients are deferred outer products if
 * ebb_defer_products. */
void one_sweep(network *n);

#endif
