/*
 * clip.c - clips the gradients of a whole store.
 */
#include <float.h>
#include <math.h>

#include "optim/optim.h"
#include "kernels/float_state.h"
#include "kernels/kernels.h"

/* g = f(g) for every gradient of the store. */
static void apply(ebb_params *p, ebb_unary_fn f, double a, double b)
{
	const ebb_kernels *k =
		ebb_params_dtype(p) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
	int64_t n = ebb_params_count(p);

	for (int64_t i = 0; i < n; i++) {
		ebb_tensor *g = ebb_grad_of(ebb_params_at(p, i));
		void *data = ebb_data_mutable(g);
		ebb_float_state own;

		if (!data)
			continue;
		own = ebb_float_enter(true);
		k->unary(f, ebb_count(g), data, data, a, b);
		ebb_float_leave(own);
	}
}

double ebb_clip_grad_norm(ebb_params *p, double max_norm)
{
	double norm;

	if (!p || !(max_norm > 0)) {
		ebb_params_fail(p, EBB_INVALID, NULL,
			"clip_grad_norm: max_norm %g, expected a positive number", max_norm);
		return NAN;
	}
	norm = ebb_params_grad_norm(p);
	if (isfinite(norm) && max_norm < norm + 1e-6) {
		double factor = max_norm / (norm + 1e-6);
		double least = ebb_params_dtype(p) == EBB_F64 ? DBL_MIN : (double)FLT_MIN;

		if (factor >= least) {
			apply(p, EBB_UNARY_mul_scalar, factor, 0);
		} else {
			/* The factor would underflow the type, but its root does not. */
			factor = sqrt(max_norm) / sqrt(norm + 1e-6);
			apply(p, EBB_UNARY_mul_scalar, factor, 0);
			apply(p, EBB_UNARY_mul_scalar, factor, 0);
		}
	}
	return norm;
}

bool ebb_clip_grad_value(ebb_params *p, double limit)
{
	if (!p || !(limit > 0)) {
		ebb_params_fail(p, EBB_INVALID, NULL,
			"clip_grad_value: limit %g, expected a positive number", limit);
		return false;
	}
	apply(p, EBB_UNARY_clamp, -limit, limit);
	return true;
}
