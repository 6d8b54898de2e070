/*
 * init.c - initial values of parameters.  Their scale decides whether gradients vanish or explode
 * with depth.
 */
#include <math.h>
#include <string.h>

#include "nn/internal.h"
#include "kernels/float_state.h"

static const struct {
	const char *name;
	ebb_init_kind kind;
} NAMES[] = {
	{"default", EBB_INIT_DEFAULT},
	{"zeros", EBB_INIT_ZEROS},
	{"constant", EBB_INIT_CONSTANT},
	{"uniform", EBB_INIT_UNIFORM},
	{"normal", EBB_INIT_NORMAL},
	{"truncated_normal", EBB_INIT_TRUNCATED_NORMAL},
	{"kaiming_uniform", EBB_INIT_KAIMING_UNIFORM},
	{"kaiming_normal", EBB_INIT_KAIMING_NORMAL},
	{"xavier_uniform", EBB_INIT_XAVIER_UNIFORM},
	{"xavier_normal", EBB_INIT_XAVIER_NORMAL},
	{"lecun_normal", EBB_INIT_LECUN_NORMAL},
	{"orthogonal", EBB_INIT_ORTHOGONAL},
};

ebb_init ebb_init_named(const char *name, ebb_error *e)
{
	char known[300] = "";

	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
		if (name && strcmp(name, NAMES[i].name) == 0)
			return (ebb_init){.kind = NAMES[i].kind};
		if (i > 0)
			strncat(known, ", ", sizeof known - strlen(known) - 1);
		strncat(known, NAMES[i].name, sizeof known - strlen(known) - 1);
	}
	ebb_error_set(e, EBB_INVALID, NULL, "init_named: \"%s\", expected one of %s",
		name ? name : "NULL", known);
	return (ebb_init){.kind = EBB_INIT_DEFAULT};
}

static const char *name_of(ebb_init_kind kind)
{
	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
		if (NAMES[i].kind == kind)
			return NAMES[i].name;
	return "?";
}

double ebb_gain(ebb_nonlinearity after, double slope)
{
	switch (after) {
	case EBB_GAIN_TANH:
		return 5.0 / 3;
	case EBB_GAIN_RELU:
		return sqrt(2);
	case EBB_GAIN_LEAKY_RELU:
		slope = ebb_option(slope, 0.01);
		return sqrt(2 / (1 + slope * slope));
	default:
		return 1;
	}
}

/* ---- Orthogonal matrices -------------------------------------------------------------------- */

/* Sixteen independent partial sums, so that the loop vectorises, added in a fixed order. */
static double dot(int64_t n, const double *a, const double *b)
{
	double part[16] = {0}, sum = 0;
	int64_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++)
			part[k] += a[i + k] * b[i + k];
	for (; i < n; i++)
		sum += a[i] * b[i];
	for (int k = 0; k < 16; k++)
		sum += part[k];
	return sum;
}

/*
 * Makes the rows of q [k,n], k <= n, orthonormal by Gram-Schmidt.  Each row is orthogonalised
 * twice, which suffices in floating point (Giraud, Langou & Rozloznik 2005).  If q is filled with
 * normal numbers, the result is distributed uniformly over such matrices.
 */
static void orthonormalise(int64_t k, int64_t n, double *q)
{
	for (int64_t i = 0; i < k; i++) {
		double *row = q + i * n;
		double scale;

		for (int pass = 0; pass < 2; pass++) {
			for (int64_t j = 0; j < i; j++) {
				const double *other = q + j * n;
				double along = dot(n, row, other);

				for (int64_t c = 0; c < n; c++)
					row[c] -= along * other[c];
			}
		}
		scale = 1 / sqrt(dot(n, row, row));
		for (int64_t c = 0; c < n; c++)
			row[c] *= scale;
	}
}

/* x [O, rest...] = gain * a random matrix whose rows (or columns, if there are fewer) are
 * orthonormal. */
static bool fill_orthogonal(
	ebb_tensor *x, double gain, uint64_t seed, uint64_t stream, ebb_error *e)
{
	int64_t rows = ebb_size(x, 0), columns = ebb_count(x) / rows;
	int64_t k = rows < columns ? rows : columns, n = rows < columns ? columns : rows;
	size_t bytes = ebb_bytes_of(k * n, sizeof(double));
	double *q = ebb_alloc(bytes), *w = ebb_alloc(bytes);
	ebb_float_state own;
	bool done = false;

	if (!q || !w) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL,
			"init_fill: no memory for an orthogonal matrix of %lld x %lld",
			(long long)rows, (long long)columns);
		goto out;
	}
	own = ebb_float_enter(false);
	ebb_kernels_f64()->normal(k * n, seed, stream, 0, 1, q);
	orthonormalise(k, n, q);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < columns; j++)
			w[i * columns + j] = gain * (k == rows ? q[i * n + j] : q[j * n + i]);
	if (ebb_dtype_of(x) == EBB_F32) {
		float *narrow = (float *)q; /* q's memory, which is not read again */

		for (int64_t i = 0; i < k * n; i++)
			narrow[i] = (float)w[i];
		done = ebb_copy_in(x, narrow, (size_t)(k * n) * sizeof(float));
	} else {
		done = ebb_copy_in(x, w, bytes);
	}
	ebb_float_leave(own);
out:
	ebb_free(q, q ? bytes : 0);
	ebb_free(w, w ? bytes : 0);
	return done;
}

/* ---- Truncated normal numbers ---------------------------------------------------------------- */

/* data[i], which is a float or a double. */
static double element(const void *data, bool f64, int64_t i)
{
	return f64 ? ((const double *)data)[i] : ((const float *)data)[i];
}

/* N(mean, std^2), in which each number outside mean -+ 2 std is replaced by the first one within
 * these bounds of further numbers.  The latter come in batches, each with a seed of its own.  If
 * rounding to the type moves all numbers out of the bounds, the last one of TRIES stays. */
static void fill_truncated(const ebb_kernels *k, bool f64, int64_t n, uint64_t seed,
	uint64_t stream, double mean, double std, void *data)
{
	enum { BATCH = 256, TRIES = 1000 };
	double further[BATCH]; /* read as floats if not f64 */
	int next = BATCH;

	k->normal(n, seed, stream, mean, std, data);
	for (int64_t i = 0; i < n; i++)
		for (int try = 0; try < TRIES && fabs(element(data, f64, i) - mean) > 2 * std;
			try++) {
			if (next == BATCH) {
				seed += 0x9e3779b97f4a7c15;
				k->normal(BATCH, seed, stream, mean, std, further);
				next = 0;
			}
			if (f64)
				((double *)data)[i] = further[next++];
			else
				((float *)data)[i] = ((const float *)further)[next++];
		}
}

/* ---- Filling -------------------------------------------------------------------------------- */

static bool needs_fan(ebb_init_kind kind)
{
	return kind == EBB_INIT_DEFAULT || kind >= EBB_INIT_KAIMING_UNIFORM;
}

static double gain_of(const ebb_init *init)
{
	bool kaiming =
		init->kind == EBB_INIT_KAIMING_UNIFORM || init->kind == EBB_INIT_KAIMING_NORMAL;
	ebb_nonlinearity after = init->after;

	if (after == EBB_GAIN_DEFAULT && kaiming)
		after = EBB_GAIN_RELU;
	return ebb_option(init->gain, ebb_gain(after, init->slope));
}

static bool check(const ebb_tensor *x, const ebb_init *init, ebb_error *e)
{
	ebb_dtype dtype = ebb_dtype_of(x);
	char text[160];

	if (!x || !init || !ebb_data(x)) {
		ebb_error_set(e, EBB_INVALID, NULL, "init_fill: %s is NULL or has no data",
			init ? "x" : "init");
		return false;
	}
	if (dtype != EBB_F32 && dtype != EBB_F64) {
		ebb_error_set(e, EBB_BAD_DTYPE, NULL, "init_fill: x is %s, expected F32 or F64",
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if ((int)init->kind < EBB_INIT_DEFAULT || init->kind > EBB_INIT_ORTHOGONAL) {
		ebb_error_set(e, EBB_INVALID, NULL, "init_fill: kind %d is not an ebb_init_kind",
			(int)init->kind);
		return false;
	}
	if (needs_fan(init->kind) && ebb_ndim(x) < 2) {
		ebb_error_set(e, EBB_BAD_SHAPE, NULL,
			"init_fill: %s needs at least two axes, x is %s", name_of(init->kind),
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if (!isfinite(init->value) || !isfinite(init->low) || !isfinite(init->high) ||
		init->low > init->high) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"init_fill: value %g, low %g, high %g: expected numbers, low <= high",
			init->value, init->low, init->high);
		return false;
	}
	/* Through ebb_option: EBB_ZERO, which stands for 0, is itself a negative number. */
	if (!isfinite(init->mean) || !(ebb_option(init->std, 1) >= 0) || !isfinite(init->std) ||
		!(ebb_option(init->gain, 1) >= 0) || !isfinite(init->gain) ||
		!isfinite(init->slope)) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"init_fill: mean %g, std %g, gain %g, slope %g: expected numbers, std and "
			"gain not negative",
			init->mean, init->std, init->gain, init->slope);
		return false;
	}
	return true;
}

bool ebb_init_fill(
	ebb_tensor *x, const ebb_init *init, uint64_t seed, uint64_t stream, ebb_error *e)
{
	const ebb_kernels *k = ebb_dtype_of(x) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
	int64_t n = ebb_count(x);
	double in = 1, out = 1, gain, low, high, std;
	ebb_float_state own;
	void *data;

	if (!check(x, init, e))
		return false;
	if (n == 0)
		return true;
	if (init->kind == EBB_INIT_ORTHOGONAL)
		return fill_orthogonal(x, gain_of(init), seed, stream, e);
	/* Initial values do not depend on the rounding mode that the caller has set. */
	own = ebb_float_enter(false);
	gain = gain_of(init);
	if (needs_fan(init->kind)) {
		in = (double)(n / ebb_size(x, 0));
		out = (double)(n / ebb_size(x, 1));
	}
	data = ebb_data_mutable(x);
	switch (init->kind) {
	case EBB_INIT_ZEROS:
		k->fill(n, 0, data);
		break;
	case EBB_INIT_CONSTANT:
		k->fill(n, ebb_option(init->value, 0), data);
		break;
	case EBB_INIT_UNIFORM:
		low = ebb_option(init->low, 0);
		high = init->low == 0 && init->high == 0 ? 1 : ebb_option(init->high, 0);
		k->uniform(n, seed, stream, low, high, data);
		break;
	case EBB_INIT_NORMAL:
		k->normal(n, seed, stream, init->mean, ebb_option(init->std, 1), data);
		break;
	case EBB_INIT_TRUNCATED_NORMAL:
		fill_truncated(k, ebb_dtype_of(x) == EBB_F64, n, seed, stream, init->mean,
			ebb_option(init->std, 1), data);
		break;
	case EBB_INIT_KAIMING_NORMAL:
		k->normal(n, seed, stream, 0, gain / sqrt(init->fan_out ? out : in), data);
		break;
	case EBB_INIT_LECUN_NORMAL:
		k->normal(n, seed, stream, 0, 1 / sqrt(in), data);
		break;
	case EBB_INIT_XAVIER_NORMAL:
		k->normal(n, seed, stream, 0, gain * sqrt(2 / (in + out)), data);
		break;
	default:
		/* U(-b, b) has the standard deviation b/sqrt(3). */
		std = init->kind == EBB_INIT_XAVIER_UNIFORM ? gain * sqrt(2 / (in + out))
		      : init->kind == EBB_INIT_KAIMING_UNIFORM
		              ? gain / sqrt(init->fan_out ? out : in)
		              : 1 / sqrt(3 * in);
		k->uniform(n, seed, stream, -sqrt(3) * std, sqrt(3) * std, data);
	}
	ebb_float_leave(own);
	return true;
}
