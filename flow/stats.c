/* stats.c - statistics of a tensor, and of several together. */
#include "flow/internal.h"

#include <math.h>

/* One block without gaps, its axes in any order. */
static bool is_dense(const ebb_tensor *x)
{
	ebb_shape s = ebb_shape_of(x);
	int64_t expected = 1;
	bool used[EBB_MAX_DIMS] = {false};

	for (int k = 0; k < s.ndim; k++) {
		int next = -1;
		for (int i = 0; i < s.ndim; i++)
			if (!used[i] && (s.dims[i] == 1 || ebb_stride(x, i) == expected)) {
				next = i;
				break;
			}
		if (next < 0)
			return false;
		used[next] = true;
		expected *= s.dims[next];
	}
	return true;
}

bool ebb_sums_of(const ebb_tensor *x, double below, double above, ebb_kernel_stats *sums)
{
	ebb_dtype dtype = ebb_dtype_of(x);
	int64_t n = ebb_count(x);
	const ebb_kernels *kernels = dtype == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();

	*sums = (ebb_kernel_stats){.min = INFINITY, .max = -INFINITY};
	if (!x || (dtype != EBB_F32 && dtype != EBB_F64))
		return false;
	if (n == 0)
		return true;
	const void *data = ebb_data(x);
	if (!data)
		return false;
	if (is_dense(x)) {
		kernels->stats(n, data, below, above, sums);
		return true;
	}
	size_t bytes = (size_t)n * ebb_dtype_size(dtype);
	void *copy = ebb_alloc(bytes);
	bool ok = copy && ebb_copy_out(x, copy, bytes);
	if (ok)
		kernels->stats(n, copy, below, above, sums);
	ebb_free(copy, bytes);
	return ok;
}

void ebb_sums_add(ebb_kernel_stats *into, const ebb_kernel_stats *more)
{
	if (more->n == 0)
		return;
	if (into->n == 0) {
		*into = *more;
		return;
	}
	bool had = into->n > into->nan, has = more->n > more->nan;
	if (has) {
		into->min = had ? fmin(into->min, more->min) : more->min;
		into->max = had ? fmax(into->max, more->max) : more->max;
	}
	into->n += more->n;
	into->nan += more->nan;
	into->zeros += more->zeros;
	into->saturated += more->saturated;
	into->sum += more->sum;
	into->sum_sq += more->sum_sq;
	into->sum_abs += more->sum_abs;
	into->max_abs = fmax(into->max_abs, more->max_abs);
}

ebb_stats ebb_stats_from(const ebb_kernel_stats *sums)
{
	int64_t used = sums->n - sums->nan;
	ebb_stats s = {.count = sums->n, .nan = sums->nan};

	if (used <= 0) {
		s.mean = s.std = s.min = s.max = s.mean_abs = s.max_abs = s.l2 = NAN;
		return s;
	}
	double n = (double)used;
	s.mean = sums->sum / n;
	s.std = sqrt(fmax(sums->sum_sq / n - s.mean * s.mean, 0));
	s.min = sums->min;
	s.max = sums->max;
	s.mean_abs = sums->sum_abs / n;
	s.max_abs = sums->max_abs;
	s.l2 = sqrt(sums->sum_sq);
	/* x^2 leaves the range of a double long before x does. */
	bool too_small = s.max_abs > 0 && s.max_abs<1e-150, too_large = s.max_abs> 1e150 &&
	                 isfinite(s.max_abs);
	if (too_small || too_large)
		s.l2 = sqrt(s.max_abs) * sqrt(sums->sum_abs);
	s.zeros = (double)sums->zeros / n;
	s.saturated = (double)sums->saturated / n;
	return s;
}

bool ebb_stats_of(const ebb_tensor *x, double below, double above, ebb_stats *s)
{
	ebb_kernel_stats sums;

	if (!s || !ebb_sums_of(x, below, above, &sums))
		return false;
	*s = ebb_stats_from(&sums);
	return true;
}
