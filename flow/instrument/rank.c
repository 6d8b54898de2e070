/*
 * rank.c - the effective rank of a layer's values.
 *
 * The singular values are those of the matrix itself.  The roots of the eigenvalues of its Gram
 * matrix would cost less, but small ones have lost their digits: the effective rank of a matrix of
 * rank 1 would be wrong by 1e-5.
 */
#include "flow/instrument/measure.h"
#include "kernels/float_state.h"
#include "kernels/gemm/blas.h"

#include <math.h>

enum { MOST = 256 };

/* The offset in memory of sample k, an index of all axes but the one of the units. */
static int64_t offset_of(const ebb_tensor *y, int axis, int64_t k)
{
	ebb_shape s = ebb_shape_of(y);
	int64_t at = 0;

	for (int a = s.ndim - 1; a >= 0; a--) {
		if (a == axis)
			continue;
		at += k % s.dims[a] * ebb_stride(y, a);
		k /= s.dims[a];
	}
	return at;
}

/* Copies single samples and units that ebb_flow_blocks chooses.  False if one is not finite. */
static bool fill(const ebb_tensor *y, int axis, struct flow_blocks samples,
	struct flow_blocks all_units, double *m)
{
	const void *data = ebb_data(y);
	int64_t stride = ebb_stride(y, axis);
	bool f64 = ebb_dtype_of(y) == EBB_F64, finite = true;

	while (ebb_flow_next(&samples)) {
		struct flow_blocks units = all_units;
		int64_t at = offset_of(y, axis, samples.from);

		while (ebb_flow_next(&units)) {
			int64_t i = at + units.from * stride;

			*m = f64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
			finite = finite && isfinite(*m);
			m++;
		}
	}
	return finite;
}

/* About `most` of n single elements. */
static struct flow_blocks singles(int64_t n)
{
	struct flow_blocks b = {.rows = n, .row = 1, .len = 1, .count = n < MOST ? n : MOST};

	return b;
}

static double exp_entropy(int n, const double *s)
{
	double sum = 0, entropy = 0;

	for (int i = 0; i < n; i++)
		sum += s[i];
	if (sum == 0)
		return 0;
	for (int i = 0; i < n; i++)
		if (s[i] > 0)
			entropy -= s[i] / sum * log(s[i] / sum);
	return exp(entropy);
}

double ebb_flow_rank(const ebb_tensor *y, int axis)
{
	struct flow_reader r[2];
	struct flow_blocks samples, units;
	double *m, s[MOST], rank = NAN;
	int rows, columns;
	size_t bytes;

	if (!ebb_flow_readers(y, NULL, r) || ebb_count(y) == 0 || axis < 0 ||
		axis >= ebb_shape_of(y).ndim)
		return NAN;
	units = singles(ebb_size(y, axis));
	samples = singles(ebb_count(y) / ebb_size(y, axis));
	columns =
		(int)samples.count; /* LAPACK's matrices are column-major: m is [units, samples] */
	rows = (int)units.count;
	bytes = ((size_t)rows * (size_t)columns + EBB_SVD_WORK(rows, columns)) * sizeof *m;
	m = ebb_alloc(bytes);
	if (m) {
		double *work = m + (size_t)rows * (size_t)columns;
		ebb_float_state own = ebb_float_enter(false);

		if (fill(y, axis, samples, units, m) &&
			ebb_blas_singular_values(rows, columns, m, s, work))
			rank = exp_entropy(rows < columns ? rows : columns, s);
		ebb_float_leave(own);
	}
	ebb_free(m, bytes);
	return rank;
}
