/* reductions.c - sums, means, extremes and the like over every choice of axes. */
#include "tests/ops/ops_test.h"

/* ---- Choices of axes: variant % 10; variant / 10 selects the op's own option -------- */

static const ebb_axes CHOICES[] = {{0, {0}}, {1, {0}}, {1, {-1}}, {2, {0, 2}}, {1, {1}},
	{2, {2, 0}}, {3, {0, 2, 3}}, {2, {-1, -2}}};
static const bool KEEPDIM[] = {false, false, true, false, false, true, false, true};

#define AXES CHOICES[v % 10]
#define KEEP KEEPDIM[v % 10]

typedef double fold(const double *p, int64_t n, int option);

/* y = f of the elements along the chosen axes, for every position of the other axes. */
static void reduce(const array *x, int v, fold *f, array *y)
{
	bool chosen[EBB_MAX_DIMS];
	ebb_shape kept = x->shape, shape = {0, {0}};
	int64_t at[EBB_MAX_DIMS] = {0}, n = 1, i = 0;
	double *buffer;

	for (int d = 0; d < x->shape.ndim; d++)
		chosen[d] = AXES.n == 0;
	for (int k = 0; k < AXES.n; k++)
		chosen[AXES.axis[k] < 0 ? AXES.axis[k] + x->shape.ndim : AXES.axis[k]] = true;
	for (int d = 0; d < x->shape.ndim; d++) {
		if (chosen[d]) {
			n *= x->shape.dims[d];
			kept.dims[d] = 1;
		}
		if (!chosen[d] || KEEP)
			shape.dims[shape.ndim++] = kept.dims[d];
	}
	*y = array_new(shape);
	buffer = scratch(n);
	if (!y->count)
		return;
	do {
		int64_t in[EBB_MAX_DIMS] = {0}, used = 0;

		if (n) {
			do {
				bool mine = true;

				for (int d = 0; d < x->shape.ndim; d++)
					mine &= chosen[d] || in[d] == at[d];
				if (mine)
					buffer[used++] = x->v[flat_index(&x->shape, in)];
			} while (next_position(&x->shape, in));
		}
		y->v[i++] = f(buffer, n, v / 10);
	} while (next_position(&kept, at));
}

/* ---- The folds ---------------------------------------------------------------------- */

static double total(const double *p, int64_t n, int option)
{
	double sum = 0;

	(void)option;
	for (int64_t i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

static double average(const double *p, int64_t n, int option)
{
	return total(p, n, option) / (double)n;
}

static double log_sum_exp(const double *p, int64_t n, int option)
{
	double sum = 0;

	(void)option;
	for (int64_t i = 0; i < n; i++)
		sum += exp(p[i]);
	return log(sum);
}

static double largest(const double *p, int64_t n, int option)
{
	double m = p[0];

	(void)option;
	for (int64_t i = 1; i < n; i++)
		m = p[i] > m ? p[i] : m;
	return m;
}

static double smallest(const double *p, int64_t n, int option)
{
	double m = p[0];

	(void)option;
	for (int64_t i = 1; i < n; i++)
		m = p[i] < m ? p[i] : m;
	return m;
}

static const double CORRECTIONS[][2] = {{0, 1}, {EBB_ZERO, 0}, {0.5, 0.5}}; /* option, value */

static double variance(const double *p, int64_t n, int option)
{
	double mean = average(p, n, 0), sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (p[i] - mean) * (p[i] - mean);
	return sum / ((double)n - CORRECTIONS[option][1]);
}

static const double NORMS[][2] = {{0, 2}, {1, 1}, {3, 3}, {1.5, 1.5}, {INFINITY, 0}};

static double p_norm(const double *p, int64_t n, int option)
{
	double sum = 0, most = 0, e = NORMS[option][1];

	for (int64_t i = 0; i < n; i++) {
		sum += pow(fabs(p[i]), e);
		most = fmax(most, fabs(p[i]));
	}
	return e == 0 ? most : pow(sum, 1 / e);
}

#define REDUCTION(name, f, call)                                                                   \
	CALL(name, call)                                                                           \
	static void plain_##name(const array *x, int n, int v, array *y)                           \
	{                                                                                          \
		(void)n;                                                                           \
		reduce(x, v, f, y);                                                                \
	}

REDUCTION(sum, total, ebb_sum(t, x[0], AXES, KEEP))
REDUCTION(mean, average, ebb_mean(t, x[0], AXES, .keepdim = KEEP))
REDUCTION(logsumexp, log_sum_exp, ebb_logsumexp(t, x[0], AXES, KEEP))
REDUCTION(max, largest, ebb_max(t, x[0], AXES, KEEP))
REDUCTION(min, smallest, ebb_min(t, x[0], AXES, KEEP))
REDUCTION(var, variance,
	ebb_var(t, x[0], AXES, .keepdim = KEEP, .correction = CORRECTIONS[v / 10][0]))
REDUCTION(norm, p_norm, ebb_norm(t, x[0], .p = NORMS[v / 10][0], .axes = AXES, .keepdim = KEEP))

/* ---- sum_to ------------------------------------------------------------------------- */

static const ebb_shape TARGETS[] = {{2, {3, 1}}, {0, {0}}, {1, {4}}, {3, {2, 1, 4}}, {3, {1, 3, 1}},
	{3, {2, 3, 4}}, {2, {1, 1}}};

CALL(sum_to, ebb_sum_to(t, x[0], TARGETS[v]))

static void plain_sum_to(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	(void)n;
	*y = array_new(TARGETS[v]);
	if (!x->count)
		return;
	do {
		int64_t to[EBB_MAX_DIMS];
		int lead = x->shape.ndim - y->shape.ndim;

		for (int d = 0; d < y->shape.ndim; d++)
			to[d] = y->shape.dims[d] == 1 ? 0 : at[lead + d];
		y->v[flat_index(&y->shape, to)] += x->v[flat_index(&x->shape, at)];
	} while (next_position(&x->shape, at));
}

/* ---- Positions of extremes, and ties ------------------------------------------------ */

static void extremes_and_where(void)
{
	const double values[] = {1, 5, 5, 2, /**/ 7, 0, 7, 0, /**/ -1, -1, -3, -3};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3, 4), values)), *y,
		   *index = NULL, *g;

	y = ebb_max(t, x, EBB_AXES(1), .index = &index);
	ck_assert_int_eq(ebb_dtype_of(index), EBB_I64);
	ck_assert_int_eq(ebb_ndim(index), 1);
	ck_assert(ebb_at(index, 0) == 1 && ebb_at(index, 1) == 0 && ebb_at(index, 2) == 0);
	ck_assert(ebb_at(y, 0) == 5 && ebb_at(y, 1) == 7 && ebb_at(y, 2) == -1);
	/* The gradient goes to the first of equal elements. */
	ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g));
	for (int i = 0; i < 12; i++)
		ck_assert_double_eq(ebb_at(g, i), i == 1 || i == 4 || i == 8 ? 1 : 0);
	y = ebb_min(t, x, EBB_AXES(0), .keepdim = true, .index = &index);
	ck_assert_int_eq(ebb_size(index, 0), 1);
	ck_assert_int_eq(ebb_size(index, 1), 4);
	ck_assert(ebb_at(index, 0) == 2 && ebb_at(index, 1) == 2 && ebb_at(index, 2) == 2);
	y = ebb_min(t, x);
	ck_assert(ebb_grad(t, y, 1, &x, &g));
	for (int i = 0; i < 12; i++)
		ck_assert_double_eq(ebb_at(g, i), i == 10 ? 1 : 0);
	/* For a transposed x, the first maximum is the first in the transposed tensor's row-major
	 * order. */
	y = ebb_max(t, ebb_transpose(t, x, 0, 1), EBB_AXES(0), .index = &index);
	ck_assert(ebb_at(index, 0) == 1 && ebb_at(index, 1) == 0 && ebb_at(index, 2) == 0);
	assert_healthy(t);
	assert_refused(
		t, EBB_INVALID, ebb_max(t, x, .index = &index), "reductions.c:", "max", "one axis");
	ck_assert_ptr_null(index);
	ebb_tape_free(t);
}

static void nan_survives(void)
{
	const double values[] = {1, NAN, 5, 2};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(4), values), *index;

	ck_assert(isnan(ebb_item(ebb_max(t, x, EBB_AXES(0), .index = &index))));
	ck_assert(ebb_at(index, 0) >= 0 && ebb_at(index, 0) < 4);
	ck_assert(isnan(ebb_item(ebb_min(t, x))));
	ck_assert(isnan(ebb_item(ebb_sum(t, x))));
	ck_assert(isnan(ebb_item(ebb_logsumexp(t, x))));
	ck_assert(isnan(ebb_item(ebb_norm(t, x))));
	assert_healthy(t);
	ebb_tape_free(t);
	extremes_and_where();
}

/* Sums accumulate in double: ten million times 0.1 in single precision. */
static void long_sums(void)
{
	const int64_t n = 10 * 1000 * 1000;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_expand(t, ebb_scalar(t, 0.1), EBB_SHAPE(n));
	double exact = (double)n * (double)0.1f;

	ck_assert_double_eq_tol(ebb_item(ebb_sum(t, x)) / exact, 1, 1e-6);
	ck_assert_double_eq_tol(ebb_item(ebb_mean(t, x)), (double)0.1f, 1e-7);
	ck_assert_double_eq_tol(
		ebb_item(ebb_norm(t, x)) / (sqrt((double)n) * (double)0.1f), 1, 1e-6);
	assert_healthy(t);
	ebb_tape_free(t);
}

static void shifts(void)
{
	const double large[] = {1000, 1000, 999}, nothing[] = {-INFINITY, -INFINITY};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(3), large);

	ck_assert_double_eq_tol(ebb_item(ebb_logsumexp(t, x)), 1000 + log(2 + exp(-1)), 1e-3);
	ck_assert(isinf(ebb_item(ebb_logsumexp(t, ebb_from_f64(t, EBB_SHAPE(2), nothing)))));
	assert_healthy(t);
	ebb_tape_free(t);
}

static void norm_at_zero(void)
{
	const double exponents[] = {1, 2, 3, 1.5, INFINITY, 0.5};
	const double values[] = {0, 0, 0, 3, 0, -4};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *many, *some;

	ebb_set_default_dtype(t, EBB_F64);
	for (int k = 0; k < 6; k++) {
		ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 3), values)), *g;
		ebb_tensor *y = ebb_norm(t, x, .p = exponents[k], .axes = EBB_AXES(1));

		ck_assert_double_eq(ebb_at(y, 0), 0);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g, .create_graph = true));
		for (int i = 0; i < 3; i++)
			ck_assert_msg(ebb_at(g, i) == 0, "p = %g: the derivative at 0 is %g",
				exponents[k], ebb_at(g, i));
		ck_assert(ebb_at(g, 4) == 0 && ebb_at(g, 5) < 0);
	}
	many = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 3), values));
	some = ebb_norm(t, many, .p = EBB_ZERO, .axes = EBB_AXES(1));
	ck_assert(ebb_at(some, 0) == 0 && ebb_at(some, 1) == 2);
	ck_assert(ebb_backward(t, ebb_sum(t, some)) && ebb_at(ebb_grad_of(many), 3) == 0);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_norm(t, ebb_scalar(t, 1), .p = -1), "norm", "-1");
	ebb_tape_free(t);
}

#define SHAPES                                                                                     \
	"2x3x4 #0 | 2x3x4 #1 | 2x3x4 #2 | 2x3x4 #3 | 3x4 #4 | 2x3x4 #5 | 2x3x2x2 #6 | 2x3x4 #7 | " \
	"5x1x2 #4 | 3x2 #1"
#define SUMS SHAPES " | - #0 | 1 #0 | 1x3 #1 | 0x3 #1 | 0x3 #2 | 0x3 #0"
#define WRONG "2x3 #3 | - #1"
#define WRONG_TYPE " | i5:2x3 #0"

const entry reduction_ops[] = {
	{.name = "sum",
		.call = call_sum,
		.reference = plain_sum,
		.samples = SUMS,
		.refused = WRONG,
		.property = long_sums,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "mean",
		.call = call_mean,
		.reference = plain_mean,
		.samples = SUMS,
		.refused = WRONG WRONG_TYPE,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "logsumexp",
		.call = call_logsumexp,
		.reference = plain_logsumexp,
		.samples = SUMS,
		.refused = WRONG WRONG_TYPE,
		.property = shifts,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "max",
		.call = call_max,
		.reference = plain_max,
		.samples = SHAPES " | - #0 | 1 #0 | 1x3 #1 | 0x3 #2",
		.values = "d",
		.refused = WRONG " | 0x3 #1 | 0x3 #0",
		.property = nan_survives,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "min",
		.call = call_min,
		.reference = plain_min,
		.samples = SHAPES " | - #0 | 1 #0 | 1x3 #1 | 0x3 #2",
		.values = "d",
		.refused = WRONG " | 0x3 #1 | 0x3 #0",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "var",
		.call = call_var,
		.reference = plain_var,
		.samples = SHAPES " | 2x3 #10 | 2x3x4 #13 | 2x3 #22 | 1 #10f | - #10f | 0x3 #2",
		.refused = WRONG WRONG_TYPE,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "norm",
		.call = call_norm,
		.reference = plain_norm,
		.samples = SUMS " | 2x3x4 #13 | 2x3 #12 | 2x3x4 #21 | 3x2 #20 | 2x3x4 #35 | 2x3 "
				"#30 | 2x3x4 #43 | 3x4 #40",
		.values = "n",
		.refused = WRONG WRONG_TYPE,
		.property = norm_at_zero,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "sum_to",
		.call = call_sum_to,
		.reference = plain_sum_to,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #2 | 2x3x4 #3 | 2x3x4 #4 | 2x3x4 #5 | "
			   "3x5 #6 | - #1 | 0x3x4 #2 | 0x3x4 #0 | 1x4 #2",
		.refused = "2x3 #2 | - #2 | 4x4 #0 | i5:3x2 #0",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = NULL},
};
