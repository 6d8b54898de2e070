/* creation.c - creating tensors: values, types and shapes; random values depend only on the
 * seed. */
#include "tests/ops/ops_test.h"

#include "kernels/kernels.h"

static ebb_tape *each_dtype(int k)
{
	ebb_tape *t = ebb_tape_new();

	ebb_set_default_dtype(t, k ? EBB_F64 : EBB_F32);
	return t;
}

static void expect_filled(const ebb_tensor *x, ebb_shape shape, ebb_dtype dtype, double value)
{
	ck_assert_ptr_nonnull(x);
	ck_assert(!ebb_requires_grad(x));
	ck_assert_int_eq(ebb_dtype_of(x), dtype);
	ck_assert_int_eq(ebb_ndim(x), shape.ndim);
	for (int d = 0; d < shape.ndim; d++)
		ck_assert_int_eq(ebb_size(x, d), shape.dims[d]);
	for (int64_t i = 0; i < ebb_count(x); i++)
		ck_assert_double_eq(ebb_at(x, i), value);
}

static const ebb_shape SHAPES[] = {
	{0, {0}}, {1, {1}}, {2, {2, 3}}, {3, {4, 0, 2}}, {8, {1, 2, 1, 2, 1, 2, 1, 3}}};

#define FILLED(name, call, value)                                                                  \
	static void name(void)                                                                     \
	{                                                                                          \
		for (int k = 0; k < 10; k++) {                                                     \
			ebb_tape *t = each_dtype(k % 2);                                           \
			ebb_shape shape = SHAPES[k / 2];                                           \
                                                                                                   \
			expect_filled(call, shape, k % 2 ? EBB_F64 : EBB_F32, value);              \
			assert_healthy(t);                                                         \
			shape.ndim = 1;                                                            \
			shape.dims[0] = -1;                                                        \
			assert_refused(t, EBB_BAD_SHAPE, call, "creation.c:");                     \
			shape = EBB_SHAPE(INT64_MAX / 2, 4);                                       \
			assert_refused(t, EBB_BAD_SHAPE, call, "creation.c:");                     \
			shape.ndim = 9;                                                            \
			assert_refused(t, EBB_BAD_SHAPE, call, "creation.c:");                     \
			ebb_tape_free(t);                                                          \
		}                                                                                  \
	}

FILLED(zeros, ebb_zeros(t, shape), 0)
FILLED(ones, ebb_ones(t, shape), 1)
FILLED(full, ebb_full(t, shape, -2.5), -2.5)

static void scalars(void)
{
	for (int k = 0; k < 2; k++) {
		ebb_tape *t = each_dtype(k);

		expect_filled(ebb_scalar(t, 1.25), EBB_SCALAR_SHAPE, k ? EBB_F64 : EBB_F32, 1.25);
		ck_assert(isnan(ebb_item(ebb_scalar(t, NAN))));
		ck_assert_double_eq(ebb_item(ebb_scalar(t, 0.1)), k ? 0.1 : (double)0.1f);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}

/* zeros_like and ones_like have x's type, shape and memory order, and no gradient. */
static void like(bool ones)
{
	for (int k = 0; k < 2; k++) {
		ebb_tape *t = each_dtype(k);
		ebb_tensor *x = ebb_variable(
			t, ebb_dense(t, ebb_randn(t, EBB_SHAPE(2, 3, 4, 5)), EBB_CHANNELS_LAST));
		ebb_tensor *labels = ebb_arange(t, 3),
			   *y = ones ? ebb_ones_like(t, x) : ebb_zeros_like(t, x);

		expect_filled(y, EBB_SHAPE(2, 3, 4, 5), k ? EBB_F64 : EBB_F32, ones);
		for (int d = 0; d < 4; d++)
			ck_assert_int_eq(ebb_stride(y, d), ebb_stride(x, d));
		/* The result is dense for a view with gaps, too. */
		x = ebb_slice(t, ebb_expand(t, ebb_zeros(t, EBB_SHAPE(4, 1)), EBB_SHAPE(4, 6)), 0,
			0, 4, 2);
		y = ones ? ebb_ones_like(t, x) : ebb_zeros_like(t, x);
		expect_filled(y, EBB_SHAPE(2, 6), k ? EBB_F64 : EBB_F32, ones);
		assert_healthy(t);
		y = ones ? ebb_ones_like(t, labels) : ebb_zeros_like(t, labels);
		expect_filled(y, EBB_SHAPE(3), EBB_I64, ones);
		assert_refused(t, EBB_INVALID,
			ones ? ebb_ones_like(t, NULL) : ebb_zeros_like(t, NULL), "NULL");
		ebb_tape_free(t);
	}
}

static void zeros_like(void)
{
	like(false);
}

static void ones_like(void)
{
	like(true);
}

static void full_like(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_dense(t, ebb_randn(t, EBB_SHAPE(2, 3, 4, 5)), EBB_CHANNELS_LAST), *y;

	y = ebb_full_like(t, ebb_variable(t, x), -1.5);
	expect_filled(y, EBB_SHAPE(2, 3, 4, 5), EBB_F32, -1.5);
	for (int d = 0; d < 4; d++)
		ck_assert_int_eq(ebb_stride(y, d), ebb_stride(x, d));
	expect_filled(
		ebb_full_like(t, ebb_zeros(t, EBB_SHAPE(2, 0)), 1), EBB_SHAPE(2, 0), EBB_F32, 1);
	expect_filled(ebb_full_like(t, ebb_arange(t, 3), -2), EBB_SHAPE(3), EBB_I64, -2);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_full_like(t, ebb_arange(t, 3), 2.5),
		"creation.c:", "full", "2.5", "I64");
	assert_refused(t, EBB_INVALID, ebb_full_like(t, NULL, 2), "NULL");
	ebb_tape_free(t);
}

/* Values are in row-major order, and copied by the call. */
#define FROM(name, ctype, float_type)                                                              \
	static void name(void)                                                                     \
	{                                                                                          \
		for (int k = 0; k < 2; k++) {                                                      \
			ebb_tape *t = each_dtype(k);                                               \
			ctype values[] = {1, 2, 3, 40, 5, 250};                                    \
			ebb_tensor *x = ebb_##name(t, EBB_SHAPE(2, 3), values), *y;                \
                                                                                                   \
			values[0] = 9;                                                             \
			ck_assert_int_eq(ebb_dtype_of(x), float_type);                             \
			ck_assert(ebb_at(x, 0) == 1 && ebb_at(x, 3) == 40 && ebb_at(x, 5) == 250); \
			ck_assert_int_eq(ebb_size(x, 1), 3);                                       \
			ck_assert(!ebb_requires_grad(x));                                          \
			y = ebb_##name(t, EBB_SHAPE(3, 0), NULL);                                  \
			ck_assert_int_eq(ebb_count(y), 0);                                         \
			ck_assert_double_eq(ebb_item(ebb_##name(t, EBB_SCALAR_SHAPE, values)), 9); \
			assert_healthy(t);                                                         \
			assert_refused(t, EBB_INVALID, ebb_##name(t, EBB_SHAPE(2), NULL),          \
				"creation.c:", "NULL");                                            \
			assert_refused(t, EBB_BAD_SHAPE, ebb_##name(t, EBB_SHAPE(-2), values),     \
				"creation.c:", "-2");                                              \
			ebb_tape_free(t);                                                          \
		}                                                                                  \
	}

FROM(from_f64, double, k ? EBB_F64 : EBB_F32)
FROM(from_f32, float, k ? EBB_F64 : EBB_F32)
FROM(from_i64, int64_t, EBB_I64)
FROM(from_u8, uint8_t, EBB_U8)

static void arange(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_arange(t, 5);

	ck_assert_int_eq(ebb_dtype_of(x), EBB_I64);
	ck_assert_int_eq(ebb_count(x), 5);
	for (int i = 0; i < 5; i++)
		ck_assert_double_eq(ebb_at(x, i), i);
	ck_assert_int_eq(ebb_count(ebb_arange(t, 0)), 0);
	assert_healthy(t);
	assert_refused(t, EBB_BAD_SHAPE, ebb_arange(t, -1), "creation.c:", "arange", "-1");
	ebb_tape_free(t);
}

/* Both ends are exact, the numbers between are within a rounding of the formula in long double. */
static void linspace(void)
{
	static const double ends[][2] = {{0, 1}, {-2.5, 7.3}, {5, -5}, {3, 3}, {1e-300, 1e300},
		{-1.7e308, 1.7e308}, {0.1, 0.3}};

	for (int k = 0; k < 2; k++) {
		ebb_tape *t = each_dtype(k);

		for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
			for (int64_t n = 0; n < 1000; n = 3 * n + 1) {
				double a = k ? ends[e][0] : (double)(float)ends[e][0];
				double b = k ? ends[e][1] : (double)(float)ends[e][1];
				ebb_tensor *x;

				if (!isfinite(a) || !isfinite(b))
					continue;
				x = ebb_linspace(t, ends[e][0], ends[e][1], n);
				ck_assert_int_eq(ebb_dtype_of(x), k ? EBB_F64 : EBB_F32);
				ck_assert(ebb_ndim(x) == 1 && ebb_count(x) == n);
				ck_assert(n < 1 || ebb_at(x, 0) == a);
				ck_assert(n < 2 || ebb_at(x, n - 1) == b);
				for (int64_t i = 1; i < n - 1; i++) {
					long double u = (long double)i / (n - 1);
					long double want = (1 - u) * ends[e][0] + u * ends[e][1];

					ck_assert(fabsl(ebb_at(x, i) - want) <=
						  (k ? 4e-16L : 1.2e-7L) *
							  (fabsl(want) +
								  (k ? fabs(a) + fabs(b) : 0)));
				}
			}
		}
		ck_assert_double_eq(ebb_at(ebb_linspace(t, 0, 10, 5), 1), 2.5);
		ck_assert(isnan(ebb_at(ebb_linspace(t, NAN, 1, 3), 1)));
		ck_assert(ebb_at(ebb_linspace(t, -INFINITY, 1, 3), 2) == 1);
		assert_healthy(t);
		assert_refused(t, EBB_BAD_SHAPE, ebb_linspace(t, 0, 1, -1),
			"creation.c:", "linspace", "-1");
		ebb_tape_free(t);
	}
}

static void eye(void)
{
	for (int k = 0; k < 2; k++) {
		ebb_tape *t = each_dtype(k);

		for (int64_t rows = 0; rows < 5; rows++) {
			for (int64_t columns = 0; columns < 6; columns++) {
				int64_t wide = columns ? columns : rows;
				ebb_tensor *x = ebb_eye(t, rows, columns);

				ck_assert_int_eq(ebb_dtype_of(x), k ? EBB_F64 : EBB_F32);
				ck_assert(ebb_size(x, 0) == rows && ebb_size(x, 1) == wide);
				for (int64_t i = 0; i < rows * wide; i++)
					ck_assert_double_eq(ebb_at(x, i), i / wide == i % wide);
			}
		}
		ck_assert_int_eq(ebb_count(ebb_eye(t, 7)), 49);
		assert_healthy(t);
		assert_refused(t, EBB_BAD_SHAPE, ebb_eye(t, -2), "creation.c:", "eye", "-2");
		assert_refused(t, EBB_BAD_SHAPE, ebb_eye(t, 2, -1), "eye", "-1");
		assert_refused(t, EBB_BAD_SHAPE, ebb_eye(t, INT64_MAX / 2), "eye");
		ebb_tape_free(t);
	}
}

/* ---- Random numbers ----------------------------------------------------------------- */

static ebb_tensor *draw(ebb_tape *t, bool normal, ebb_shape shape)
{
	return normal ? ebb_randn(t, shape) : ebb_rand(t, shape);
}

/* The values depend on the seed and the draw's number, not on threads, resets or other ops. */
static void determinism(bool normal)
{
	const ebb_shape shape = EBB_SHAPE(123, 457);
	int threads = ebb_threads();
	ebb_tape *t = ebb_tape_new(), *other = ebb_tape_new();
	ebb_tensor *first, *second, *again;
	ebb_random state;

	ebb_seed(t, 42);
	ebb_set_threads(1);
	first = draw(t, normal, shape);
	state = ebb_random_state(t);
	second = draw(t, normal, shape);
	ck_assert(!all_same(first, second));
	ebb_set_threads(3);
	ebb_seed(other, 42);
	again = draw(other, normal, shape);
	ck_assert(all_same(first, again));
	again = draw(other, normal, shape);
	ck_assert(all_same(second, again));
	ebb_set_threads(threads);
	ebb_set_random_state(other, state);
	again = draw(other, normal, shape);
	ck_assert(all_same(second, again));
	ebb_tape_reset(other);
	ebb_seed(other, 43);
	ck_assert(!all_same(first, draw(other, normal, shape)));
	/* A longer draw begins with the values of a shorter one of the same stream. */
	ebb_seed(other, 42);
	again = draw(other, normal, EBB_SHAPE(100));
	for (int i = 0; i < 100; i++)
		ck_assert_double_eq(ebb_at(again, i), ebb_at(first, i));
	assert_healthy(t);
	assert_healthy(other);
	assert_refused(t, EBB_BAD_SHAPE, draw(t, normal, EBB_SHAPE(-1)), "creation.c:");
	ebb_tape_free(t);
	ebb_tape_free(other);
}

/* Tests the first four moments within five standard errors, and the range. */
static void moments(bool normal)
{
	const int64_t n = 200000;

	for (int k = 0; k < 2; k++) {
		ebb_tape *t = each_dtype(k);
		ebb_tensor *x = draw(t, normal, EBB_SHAPE(n));
		double m[5] = {0}, least = INFINITY, most = -INFINITY, mean = normal ? 0 : 0.5;
		double neighbours = 0;

		ck_assert_int_eq(ebb_dtype_of(x), k ? EBB_F64 : EBB_F32);
		for (int64_t i = 0; i < n; i++) {
			double value = ebb_at(x, i);

			for (int p = 1; p <= 4; p++)
				m[p] += pow(value - mean, p) / (double)n;
			neighbours +=
				i ? (value - mean) * (ebb_at(x, i - 1) - mean) / (double)n : 0;
			least = fmin(least, value);
			most = fmax(most, value);
		}
		ck_assert(isfinite(least) && isfinite(most));
		if (normal) {
			ck_assert_double_eq_tol(m[1], 0, 5 * sqrt(1.0 / (double)n));
			ck_assert_double_eq_tol(m[2], 1, 5 * sqrt(2.0 / (double)n));
			ck_assert_double_eq_tol(m[3], 0, 5 * sqrt(15.0 / (double)n));
			ck_assert_double_eq_tol(m[4], 3, 5 * sqrt(96.0 / (double)n));
			ck_assert(least < -3.5 && most > 3.5);
			ck_assert_double_eq_tol(neighbours, 0, 5 * sqrt(1.0 / (double)n));
		} else {
			ck_assert_double_eq_tol(m[1], 0, 5 * sqrt(1.0 / 12 / (double)n));
			ck_assert_double_eq_tol(m[2], 1.0 / 12, 5 * sqrt(1.0 / 180 / (double)n));
			ck_assert_double_eq_tol(m[4], 1.0 / 80, 5 * sqrt(1.0 / 2304 / (double)n));
			ck_assert(least >= 0 && least < 1e-4 && most < 1 && most > 1 - 1e-4);
			ck_assert_double_eq_tol(neighbours, 0, 5 * sqrt(1.0 / 144 / (double)n));
		}
		ck_assert_int_eq(ebb_count(draw(t, normal, EBB_SHAPE(3, 0))), 0);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}

static void uniform(void)
{
	determinism(false);
	moments(false);
}

static void normal(void)
{
	determinism(true);
	moments(true);
}

#define MAKES(op, test)                                                                            \
	{                                                                                          \
		.name = op, .property = test, .waived = {                                          \
			[REFERENCE] = "the property says the values",                              \
			[GRADIENT] = "makes constants",                                            \
			[EMPTY] = "in the property",                                               \
			[ONE] = "in the property",                                                 \
			[BROADCAST] = "no operands",                                               \
			[LAYOUTS] = "makes row-major tensors, or is like another",                 \
			[REFUSED] = "in the property"                                              \
		}                                                                                  \
	}

const entry creation_ops[] = {
	MAKES("scalar", scalars),
	MAKES("full", full),
	MAKES("zeros", zeros),
	MAKES("ones", ones),
	MAKES("zeros_like", zeros_like),
	MAKES("ones_like", ones_like),
	MAKES("from_f64", from_f64),
	MAKES("from_f32", from_f32),
	MAKES("from_i64", from_i64),
	MAKES("from_u8", from_u8),
	MAKES("full_like", full_like),
	MAKES("arange", arange),
	MAKES("linspace", linspace),
	MAKES("eye", eye),
	MAKES("rand", uniform),
	MAKES("randn", normal),
	{.name = NULL},
};
