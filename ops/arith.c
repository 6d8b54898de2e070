/* arith.c - what the engine needs of arithmetic, made from the ops. */
#include "ops/internal.h"

ebb_tensor *ebb_arith_add(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	return (ebb_add)(t, a, b, site);
}

ebb_tensor *ebb_arith_sum_to(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site)
{
	return (ebb_sum_to)(t, x, shape, site);
}

ebb_tensor *ebb_arith_dense(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site)
{
	return (ebb_dense)(t, x, order, site);
}

ebb_tensor *ebb_arith_full_like(ebb_tape *t, const ebb_tensor *x, double value, const char *site)
{
	return ebb_full_like(t, x, value, site);
}

/* g is a stored tensor: its tape's state is the caller's argument. */
void ebb_arith_outer_sum(ebb_tensor *g, int64_t rows, const void *gy, const void *x, bool flush)
{
	RUN_AS(flush, g, outer_sum, rows, g->shape[0], g->shape[1], gy, x, g->data);
}

/* y may be a stored tensor; x is the tape's. */
void ebb_arith_accumulate(ebb_tensor *y, const ebb_tensor *x)
{
	RUN(x, axpy, y->count, 1.0, x->data, y->data);
}

ebb_tensor *ebb_arith_copy(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_mul_scalar)(t, x, 1.0, site);
}
