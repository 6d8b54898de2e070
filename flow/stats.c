/* stats.c - statistics of one tensor, or of several as if concatenated. */
#include "tensor/host.h"
#include "flow/internal.h"
#include "kernels/float_state.h"

#include <math.h>
#include <stdlib.h>

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
	if (ebb_is_dense(x, EBB_DENSE)) {
		ebb_exact_stats(kernels, n, data, below, above, sums);
		return true;
	}
	size_t bytes = (size_t)n * ebb_dtype_size(dtype);
	void *copy = ebb_alloc(bytes);
	bool ok = copy && ebb_copy_out(x, copy, bytes);
	if (ok)
		ebb_exact_stats(kernels, n, copy, below, above, sums);
	ebb_free(copy, bytes);
	return ok;
}

bool ebb_may_be_flushed(const ebb_tape *t, const ebb_tensor *g, const ebb_kernel_stats *sums)
{
	ebb_flush flush = ebb_flush_subnormal(t);

	return sums->n > 0 && sums->max_abs == 0 &&
	       (flush == EBB_FLUSH_ALWAYS ||
		       (flush == EBB_FLUSH_F32 && ebb_dtype_of(g) == EBB_F32));
}

void ebb_sums_add(ebb_kernel_stats *into, const ebb_kernel_stats *more)
{
	if (more->n == 0)
		return;
	if (into->n == 0) {
		*into = *more;
		return;
	}
	double a = (double)(into->n - into->nan), b = (double)(more->n - more->nan);
	bool had = a > 0, has = b > 0;
	if (has) {
		/* The squared deviations of both parts from their own means, plus those of these
		 * means from the common mean. */
		double apart = had ? more->sum / b - into->sum / a : 0;
		into->deviation = hypot(hypot(into->deviation, more->deviation),
			apart * sqrt(a) * sqrt(b / (a + b)));
		into->min = had ? fmin(into->min, more->min) : more->min;
		into->max = had ? fmax(into->max, more->max) : more->max;
	}
	into->n += more->n;
	into->nan += more->nan;
	into->zeros += more->zeros;
	into->saturated += more->saturated;
	into->sum += more->sum;
	into->sum_abs += more->sum_abs;
	into->l2 = hypot(into->l2, more->l2);
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
	s.std = sums->deviation / sqrt(n);
	s.min = sums->min;
	s.max = sums->max;
	s.mean_abs = sums->sum_abs / n;
	s.max_abs = sums->max_abs;
	s.l2 = sums->l2;
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

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double ebb_median(double *v, int n)
{
	int used = 0;

	for (int i = 0; i < n; i++)
		if (!isnan(v[i]))
			v[used++] = v[i];
	if (used == 0)
		return NAN;
	qsort(v, (size_t)used, sizeof *v, ascending);
	return used % 2 ? v[used / 2] : v[used / 2 - 1] / 2 + v[used / 2] / 2;
}
