/* measures.h - what the tests of the instrument's measures share. */
#ifndef EBB_TESTS_FLOW_MEASURES_H
#define EBB_TESTS_FLOW_MEASURES_H

#include "flow/instrument/measure.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>

/* .elements of ebb_flow_new, by default */
enum { DEFAULT_MOST = 65536 };

static inline bool near(double a, double b, double tolerance)
{
	return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= tolerance * fabs(b);
}

/* Sets the element at that place in memory. */
static inline void set(ebb_tensor *x, int64_t place, double v)
{
	if (ebb_dtype_of(x) == EBB_F64)
		((double *)ebb_data_mutable(x))[place] = v;
	else
		((float *)ebb_data_mutable(x))[place] = (float)v;
}

/* The same elements as x, channels-last if x has 3 to 5 axes. */
static inline ebb_tensor *channels_last_copy(const ebb_tensor *x)
{
	ebb_shape shape = ebb_shape_of(x);
	ebb_tensor *y = ebb_tensor_new(ebb_dtype_of(x), shape, shape.ndim > 2, NULL);
	size_t bytes = (size_t)ebb_count(x) * ebb_dtype_size(ebb_dtype_of(x));
	void *rows = malloc(bytes);

	ck_assert(ebb_copy_out(x, rows, bytes) && ebb_copy_in(y, rows, bytes));
	free(rows);
	return y;
}

#endif
