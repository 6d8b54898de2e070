/* fixture.h - a new F64 tape for each test, and a vector of four elements. */
#ifndef EBB_TESTS_AUTOGRAD_FIXTURE_H
#define EBB_TESTS_AUTOGRAD_FIXTURE_H

#include "tests/support/support.h"

static ebb_tape *tape;
static const double values[4] = {0.5, -1.25, 2, 3};

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

static inline ebb_tensor *vector(void)
{
	return ebb_from_f64(tape, EBB_SHAPE(4), values);
}

#endif
