/* problem.h - losses that the tests of L-BFGS minimize. */
#ifndef EBB_TESTS_OPTIM_PROBLEM_H
#define EBB_TESTS_OPTIM_PROBLEM_H

#include "tests/support/support.h"

#include <math.h>

enum { N = 20, IN = 3, HIDDEN = 5 };

typedef struct problem problem;
struct problem {
	ebb_tape *t;
	ebb_params *p;
	ebb_tensor *(*loss)(problem *f);
	ebb_tensor *a, *b; /* the parameters */
	ebb_tensor *x, *y;
	int calls;
	int fails_at; /* this call, from 1, returns false; 0: none */
};

static inline problem begin(ebb_dtype dtype, ebb_tensor *(*loss)(problem *f))
{
	problem f = {.t = ebb_tape_new(), .p = ebb_params_new(1), .loss = loss};

	ck_assert(ebb_params_set_dtype(f.p, dtype));
	ebb_set_default_dtype(f.t, dtype);
	return f;
}

static inline void finish(problem *f)
{
	ebb_tape_free(f->t);
	ebb_params_free(f->p);
	ebb_tensor_free(f->x);
	ebb_tensor_free(f->y);
}

static inline bool closure(void *ctx, double *loss)
{
	problem *f = ctx;
	ebb_tensor *y = f->loss(f);
	bool ok = ebb_backward(f->t, y);

	*loss = ebb_item(y);
	ebb_tape_reset(f->t);
	return ok && ++f->calls != f->fails_at;
}

static inline void fill(ebb_tensor *x, double seed)
{
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double v = sin(seed + 1.7 * (double)i);

		if (ebb_dtype_of(x) == EBB_F64)
			((double *)ebb_data_mutable(x))[i] = v;
		else
			((float *)ebb_data_mutable(x))[i] = (float)v;
	}
}

/* sum (tanh(x a^T) b^T - y)^2 */
static inline ebb_tensor *fit_loss(problem *f)
{
	ebb_tape *t = f->t;
	ebb_tensor *h = ebb_tanh(t, ebb_linear(t, f->x, f->a));

	return ebb_sum(t, ebb_square(t, ebb_sub(t, ebb_linear(t, h, f->b), f->y)));
}

static inline problem fit(ebb_dtype dtype)
{
	problem f = begin(dtype, fit_loss);

	f.a = ebb_params_add(f.p, "a", EBB_SHAPE(HIDDEN, IN), EBB_INIT(EBB_INIT_ZEROS));
	f.b = ebb_params_add(f.p, "b", EBB_SHAPE(1, HIDDEN), EBB_INIT(EBB_INIT_ZEROS));
	f.x = ebb_tensor_new(dtype, EBB_SHAPE(N, IN), false, NULL);
	f.y = ebb_tensor_new(dtype, EBB_SHAPE(N, 1), false, NULL);
	fill(f.x, 1);
	fill(f.y, 2);
	fill(f.a, 3);
	fill(f.b, 4);
	return f;
}

static inline ebb_optim *small_lbfgs(ebb_params *p, bool fixed)
{
	return ebb_lbfgs(p, .lr = fixed ? 0.02 : 1, .max_iter = 5, .history = 3,
		.line_search = fixed ? EBB_FIXED_STEP : EBB_STRONG_WOLFE);
}

#endif
