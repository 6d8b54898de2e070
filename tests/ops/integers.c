/* integers.c - quotients rounded down, logical ops, one-hot, and what ops compute of integers. */
#include "tests/ops/ops_test.h"

/* ---- Of reals ----------------------------------------------------------------------- */

CALL(floor_div, ebb_floor_div(t, x[0], x[1]))
CALL(remainder, ebb_remainder(t, x[0], x[1]))
CALL(logical_and, ebb_logical_and(t, x[0], x[1]))
CALL(logical_or, ebb_logical_or(t, x[0], x[1]))
CALL(logical_not, ebb_logical_not(t, x[0]))

static double floored(double a, double b)
{
	return floor(a / b);
}

static double rest(double a, double b)
{
	return a - floor(a / b) * b;
}

/* Of reals, no sample is 0. */
static void plain_logical(const array *x, int n, bool both, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	*y = array_new(broadcast_shape(x, n));
	y->dtype = EBB_U8;
	if (!y->count)
		return;
	do {
		bool a = broadcast_at(&x[0], &y->shape, at) != 0,
		     b = n > 1 && broadcast_at(&x[1], &y->shape, at) != 0;

		y->v[flat_index(&y->shape, at)] = n == 1 ? !a : both ? a && b : a || b;
	} while (next_position(&y->shape, at));
}

static void plain_logical_and(const array *x, int n, int v, array *y)
{
	(void)v;
	plain_logical(x, n, true, y);
}

static void plain_logical_or(const array *x, int n, int v, array *y)
{
	(void)v;
	plain_logical(x, n, false, y);
}

static void plain_logical_not(const array *x, int n, int v, array *y)
{
	(void)v;
	plain_logical(x, n, false, y);
}

static ebb_tape *t;

static void begin(void)
{
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
}

static void end(void)
{
	assert_healthy(t);
	ebb_tape_free(t);
}

#define I64(...) i64(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})
#define U8(...) u8(sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__})

static ebb_tensor *i64(size_t n, const int64_t *values)
{
	return ebb_from_i64(t, EBB_SHAPE((int64_t)n), values);
}

static ebb_tensor *u8(size_t n, const uint8_t *values)
{
	return ebb_from_u8(t, EBB_SHAPE((int64_t)n), values);
}

/* Whether x has exactly these elements, in row-major order. */
static void expect(const ebb_tensor *x, const ebb_tensor *y)
{
	ck_assert_msg(x && y, "%s", ebb_error_message(t));
	ck_assert_int_eq(ebb_dtype_of(x), ebb_dtype_of(y));
	ck_assert_int_eq(ebb_count(x), ebb_count(y));
	for (int64_t i = 0; i < ebb_count(x); i++) {
		int64_t a = 0, b = 0;
		ebb_tensor *flat = ebb_reshape(t, (ebb_tensor *)x, EBB_SHAPE(-1));

		if (ebb_dtype_of(x) == EBB_U8) {
			a = ((const uint8_t *)ebb_data(flat))[i];
			b = ((const uint8_t *)ebb_data(y))[i];
		} else {
			a = ((const int64_t *)ebb_data(flat))[i];
			b = ((const int64_t *)ebb_data(y))[i];
		}
		ck_assert_msg(a == b, "element %lld is %lld instead of %lld", (long long)i,
			(long long)a, (long long)b);
	}
}

/* ---- Quotients ---------------------------------------------------------------------- */

static void quotients(void)
{
	const double a[] = {7, -7, 7, -7, -1, 0, 1, 5}, b[] = {2, 2, -2, -2, INFINITY, 3, 0, 0.1};
	const double q[] = {3, -4, -4, 3, -1, 0, INFINITY, 49};
	ebb_tensor *x, *y;

	begin();
	x = ebb_from_f64(t, EBB_SHAPE(8), a);
	y = ebb_floor_div(t, x, ebb_from_f64(t, EBB_SHAPE(8), b));
	for (int i = 0; i < 8; i++)
		ck_assert_double_eq(ebb_at(y, i), q[i]);
	ck_assert(isnan(ebb_item(ebb_floor_div(t, ebb_scalar(t, 0), ebb_scalar(t, 0)))));
	expect(ebb_floor_div(t, I64(7, -7, 7, -7, 0, INT64_MIN, INT64_MIN, INT64_MAX),
		       I64(2, 2, -2, -2, -5, -1, INT64_MIN, -1)),
		I64(3, -4, -4, 3, 0, INT64_MIN, 1, -INT64_MAX));
	expect(ebb_floor_div(t, U8(7, 255, 0), U8(2)), U8(3, 127, 0));
	assert_refused(t, EBB_INVALID, ebb_floor_div(t, I64(1, 2), I64(3, 0)),
		"integers.c:", "floor_div", "b[1] is 0");
	assert_refused(
		t, EBB_BAD_DTYPE, ebb_div(t, I64(1), I64(2)), "div", "I64 [1]", "ebb_floor_div");
	assert_refused(t, EBB_BAD_DTYPE, ebb_floor_div(t, I64(1), U8(2)), "I64", "U8");
	end();
}

static void remainders(void)
{
	const double a[] = {7, -7, 7, -7, -1, 1}, b[] = {2, 2, -2, -2, INFINITY, INFINITY};
	const double r[] = {1, 1, -1, -1, INFINITY, 1};
	ebb_tensor *y;

	begin();
	y = ebb_remainder(t, ebb_from_f64(t, EBB_SHAPE(6), a), ebb_from_f64(t, EBB_SHAPE(6), b));
	for (int i = 0; i < 6; i++)
		ck_assert_double_eq(ebb_at(y, i), r[i]);
	ck_assert(isnan(ebb_item(ebb_remainder(t, ebb_scalar(t, 1), ebb_scalar(t, 0)))));
	expect(ebb_remainder(t, I64(7, -7, 7, -7, INT64_MIN, INT64_MIN, INT64_MAX),
		       I64(2, 2, -2, -2, -1, INT64_MAX, INT64_MIN)),
		I64(1, 1, -1, -1, 0, INT64_MAX - 1, -1));
	expect(ebb_remainder(t, U8(7, 255, 0), U8(4)), U8(3, 3, 0));
	assert_refused(
		t, EBB_INVALID, ebb_remainder(t, U8(1), U8(2, 5, 0)), "remainder", "b[2] is 0");
	end();
}

/* ---- Arithmetic --------------------------------------------------------------------- */

#define BIG (INT64_C(1) << 53)

static void arithmetic(void)
{
	ebb_tensor *x, *y;

	begin();
	x = I64(BIG + 1, -3, INT64_MIN, INT64_MAX);
	expect(ebb_add(t, x, I64(1, 2, -1, 1)), I64(BIG + 2, -1, INT64_MAX, INT64_MIN));
	expect(ebb_sub(t, x, I64(1)), I64(BIG, -4, INT64_MAX, INT64_MAX - 1));
	expect(ebb_mul(t, x, I64(3, 3, 2, 2)), I64(3 * BIG + 3, -9, 0, -2));
	expect(ebb_neg(t, x), I64(-BIG - 1, 3, INT64_MIN, -INT64_MAX));
	expect(ebb_abs(t, x), I64(BIG + 1, 3, INT64_MIN, INT64_MAX));
	expect(ebb_sign(t, I64(5, 0, -5)), I64(1, 0, -1));
	expect(ebb_square(t, I64(-3, INT64_C(1) << 32)), I64(9, 0));
	expect(ebb_maximum(t, x, I64(BIG)), I64(BIG + 1, BIG, BIG, INT64_MAX));
	expect(ebb_minimum(t, x, I64(BIG)), I64(BIG, -3, INT64_MIN, BIG));
	expect(ebb_clamp(t, x, -1, INFINITY), I64(BIG + 1, -1, -1, INT64_MAX));
	expect(ebb_clamp(t, x, -INFINITY, 2), I64(2, -3, INT64_MIN, 2));
	expect(ebb_add_scalar(t, x, -1), I64(BIG, -4, INT64_MAX, INT64_MAX - 1));
	expect(ebb_mul_scalar(t, x, -2), I64(-2 * BIG - 2, 6, 0, 2));
	expect(ebb_where(t, U8(1, 0, 1, 0), x, I64(9)), I64(BIG + 1, 9, INT64_MIN, 9));
	expect(ebb_where(t, I64(1, 0), U8(1, 2), U8(3, 4)), U8(1, 4));
	x = U8(0, 1, 200, 255);
	expect(ebb_add(t, x, U8(1)), U8(1, 2, 201, 0));
	expect(ebb_sub(t, x, U8(1)), U8(255, 0, 199, 254));
	expect(ebb_mul(t, x, U8(2)), U8(0, 2, 144, 254));
	expect(ebb_neg(t, x), U8(0, 255, 56, 1));
	expect(ebb_add_scalar(t, x, -1), U8(255, 0, 199, 254));
	expect(ebb_clamp(t, x, -5, 199), U8(0, 1, 199, 199));
	/* Operands that broadcast, of other memory orders. */
	y = ebb_reshape(t, I64(1, 2, 3, 4, 5, 6), EBB_SHAPE(2, 3));
	expect(ebb_add(t, ebb_transpose(t, y, 0, 1), I64(10, 20)), I64(11, 24, 12, 25, 13, 26));
	expect(ebb_mul(t, ebb_slice(t, y, 1, 0, 3, 2), ebb_reshape(t, I64(1, -1), EBB_SHAPE(2, 1))),
		I64(1, 3, -4, -6));
	ck_assert_int_eq(ebb_count(ebb_add(t, ebb_arange(t, 0), I64(1))), 0);
	assert_refused(t, EBB_BAD_DTYPE, ebb_exp(t, y), "exp", "I64 [2,3]");
	assert_refused(t, EBB_BAD_DTYPE, ebb_pow(t, y, y), "pow", "I64 [2,3]");
	assert_refused(t, EBB_BAD_DTYPE, ebb_mean(t, y), "mean", "I64 [2,3]");
	assert_refused(t, EBB_INVALID, ebb_mul_scalar(t, y, 0.5), "mul_scalar", "s is 0.5");
	assert_refused(t, EBB_INVALID, ebb_add_scalar(t, y, 0x1p63), "add_scalar", "I64");
	assert_refused(t, EBB_INVALID, ebb_add_scalar(t, y, NAN), "nan");
	assert_refused(t, EBB_INVALID, ebb_clamp(t, y, 0.5, 2), "clamp", "lo is 0.5");
	assert_refused(t, EBB_INVALID, ebb_clamp(t, y, 0, 2.5), "clamp", "hi is 2.5");
	end();
}

static void comparisons(void)
{
	ebb_tensor *a, *b;

	begin();
	a = I64(BIG, BIG + 1, -1, INT64_MIN);
	b = I64(BIG + 1, BIG + 1, 0, INT64_MAX);
	expect(ebb_equal(t, a, b), U8(0, 1, 0, 0));
	expect(ebb_not_equal(t, a, b), U8(1, 0, 1, 1));
	expect(ebb_less(t, a, b), U8(1, 0, 1, 1));
	expect(ebb_less_equal(t, a, b), U8(1, 1, 1, 1));
	expect(ebb_greater(t, a, b), U8(0, 0, 0, 0));
	expect(ebb_greater_equal(t, a, b), U8(0, 1, 0, 0));
	expect(ebb_less(t, U8(1, 200), U8(200)), U8(1, 0));
	expect(ebb_logical_and(t, U8(0, 0, 1, 7), U8(0, 1, 0, 2)), U8(0, 0, 0, 1));
	expect(ebb_logical_or(t, U8(0, 0, 1, 7), U8(0, 1, 0, 2)), U8(0, 1, 1, 1));
	expect(ebb_logical_or(t, I64(0, 256), I64(0)), U8(0, 1));
	expect(ebb_logical_not(t, U8(0, 1, 255)), U8(1, 0, 0));
	expect(ebb_logical_not(t, I64(0, 256)), U8(1, 0));
	ck_assert_double_eq(ebb_item(ebb_logical_not(t, ebb_scalar(t, NAN))), 0);
	ck_assert_double_eq(ebb_item(ebb_logical_and(t, ebb_scalar(t, NAN), ebb_scalar(t, 1))), 1);
	end();
}

/* ---- Reductions, shapes, indices ---------------------------------------------------- */

static void reductions(void)
{
	ebb_tensor *x, *y, *index;

	begin();
	x = ebb_reshape(t, I64(BIG, 1, 5, -2, 5, INT64_MAX), EBB_SHAPE(2, 3));
	expect(ebb_sum(t, x), I64((int64_t)((uint64_t)BIG + 9 + INT64_MAX)));
	expect(ebb_sum(t, x, EBB_AXES(0)), I64(BIG - 2, 6, INT64_MIN + 4));
	expect(ebb_sum(t, ebb_transpose(t, x, 0, 1), EBB_AXES(0), .keepdim = true),
		I64(BIG + 6, INT64_MIN + 2));
	expect(ebb_sum(t, U8(200, 100, 1)), I64(301));
	expect(ebb_sum(t, ebb_reshape(t, ebb_arange(t, 0), EBB_SHAPE(0, 2)), EBB_AXES(0)),
		I64(0, 0));
	expect(ebb_prod(t, I64(3, -5, 7)), I64(-105));
	expect(ebb_prod(t, U8(100, 3, 2)), I64(600));
	expect(ebb_prod(t, ebb_arange(t, 0)), I64(1));
	y = ebb_max(t, x, EBB_AXES(1), .index = &index);
	expect(y, I64(BIG, INT64_MAX));
	expect(index, I64(0, 2));
	expect(ebb_min(t, x, EBB_AXES(0)), I64(-2, 1, 5));
	expect(ebb_max(t, U8(3, 200, 200)), U8(200));
	expect(ebb_argmax(t, I64(BIG, BIG + 1, BIG + 1), 0), I64(1));
	expect(ebb_argmin(t, U8(3, 2, 2), -1), I64(1));
	expect(ebb_cumsum(t, x, 1), I64(BIG, BIG + 1, BIG + 6, -2, 3, INT64_MIN + 2));
	expect(ebb_cumsum(t, U8(200, 100), 0), I64(200, 300));
	assert_refused(t, EBB_BAD_SHAPE, ebb_max(t, ebb_arange(t, 0)), "max", "I64 [0]");
	end();
}

static void moves(void)
{
	ebb_tensor *x;

	begin();
	x = ebb_reshape(t, I64(BIG + 1, 2, 3, 4), EBB_SHAPE(2, 2));
	expect(ebb_index_select(t, x, 1, I64(1, 1, 0)), I64(2, 2, BIG + 1, 4, 4, 3));
	expect(ebb_gather(t, x, 1, ebb_reshape(t, I64(1, 0), EBB_SHAPE(2, 1))), I64(2, 3));
	expect(ebb_gather(t, U8(5, 6, 7), 0, I64(2, 0)), U8(7, 5));
	expect(ebb_scatter_add(t, I64(1, BIG, 3), 0, I64(1, 1, 0), I64(1, 1, -9)),
		I64(-8, BIG + 2, 3));
	expect(ebb_scatter_add(t, U8(250, 1), 0, I64(0, 0), U8(5, 3)), U8(2, 1));
	expect(ebb_pad(t, I64(1, 2), EBB_PADS(1, 2), .value = -7), I64(-7, 1, 2, -7, -7));
	expect(ebb_pad(t, U8(1, 2, 3), EBB_PADS(1, -1), .mode = EBB_PAD_REFLECT), U8(2, 1, 2));
	assert_refused(t, EBB_INVALID, ebb_pad(t, U8(1), EBB_PADS(1, 1), .value = -1), "pad",
		"value is -1", "U8");
	expect(ebb_flip(t, I64(1, 2, 3), EBB_AXES(0)), I64(3, 2, 1));
	expect(ebb_tril(t, x, 0), I64(BIG + 1, 0, 3, 4));
	expect(ebb_concat(t, 2, ((ebb_tensor *[]){U8(1), U8(2, 3)}), 0), U8(1, 2, 3));
	expect(ebb_stack(t, 2, ((ebb_tensor *[]){I64(1, 2), I64(3, 4)}), 1), I64(1, 3, 2, 4));
	expect(ebb_expand(t, I64(1, 2), EBB_SHAPE(2, 2)), I64(1, 2, 1, 2));
	end();
}

/* ---- Casts, one-hot ----------------------------------------------------------------- */

static void casts(void)
{
	const double reals[] = {-2.9, -0.5, 2.9, 0x1.8p53, -0x1p63, 9};
	ebb_tensor *x;

	begin();
	x = ebb_from_f64(t, EBB_SHAPE(2, 3), reals);
	expect(ebb_cast(t, x, EBB_I64), I64(-2, 0, 2, 3 * (BIG / 2), INT64_MIN, 9));
	expect(ebb_reshape(t, ebb_cast(t, ebb_transpose(t, x, 0, 1), EBB_I64), EBB_SHAPE(6)),
		I64(-2, 3 * (BIG / 2), 0, INT64_MIN, 2, 9));
	expect(ebb_cast(t, ebb_cast(t, x, EBB_F32), EBB_I64),
		I64(-2, 0, 2, 3 * (BIG / 2), INT64_MIN, 9));
	expect(ebb_cast(t, ebb_from_f64(t, EBB_SHAPE(3), (double[]){-0.9, 255.9, 7}), EBB_U8),
		U8(0, 255, 7));
	expect(ebb_cast(t, I64(0, 255), EBB_U8), U8(0, 255));
	expect(ebb_cast(t, U8(0, 255), EBB_I64), I64(0, 255));
	ck_assert_int_eq(ebb_count(ebb_cast(t, ebb_zeros(t, EBB_SHAPE(0, 3)), EBB_U8)), 0);
	assert_refused(t, EBB_INVALID, ebb_cast(t, ebb_transpose(t, x, 0, 1), EBB_U8),
		"integers.c:", "cast", "x[0] is -2.8999999999999999", "U8");
	assert_refused(t, EBB_INVALID, ebb_cast(t, I64(7, 256), EBB_U8), "x[1] is 256");
	assert_refused(t, EBB_INVALID, ebb_cast(t, I64(-1), EBB_U8), "x[0] is -1");
	for (int k = 0; k < 4; k++) {
		double bad[] = {1, 2, (double[]){NAN, INFINITY, -INFINITY, 0x1p63}[k], NAN};

		x = ebb_transpose(t, ebb_from_f64(t, EBB_SHAPE(2, 2), bad), 0, 1);
		assert_refused(t, EBB_INVALID, ebb_cast(t, x, EBB_I64), "x[1] is", "I64");
	}
	assert_refused(
		t, EBB_INVALID, ebb_cast(t, ebb_scalar(t, -0x1.0000000000001p63), EBB_I64), "I64");
	x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2)));
	ck_assert(!ebb_cast(t, x, EBB_I64) && ebb_failed(t));
	ck_assert_ptr_nonnull(strstr(ebb_error_message(t), "cast"));
	ebb_clear_error(t);
	ck_assert(!ebb_requires_grad(ebb_cast(t, ebb_detach(t, x), EBB_U8)));
	end();
}

static void one_hot(void)
{
	ebb_tensor *y;

	casts();
	begin();
	y = ebb_one_hot(t, ebb_reshape(t, I64(2, 0, 1, 2), EBB_SHAPE(2, 2)), -1);
	ck_assert(ebb_ndim(y) == 3 && ebb_size(y, 2) == 3 && ebb_dtype_of(y) == EBB_F64);
	for (int i = 0; i < 12; i++)
		ck_assert_double_eq(ebb_at(y, i), i == 2 || i == 3 || i == 7 || i == 11);
	ebb_set_default_dtype(t, EBB_F32);
	y = ebb_one_hot(t, I64(1), 4);
	ck_assert(ebb_dtype_of(y) == EBB_F32 && ebb_count(y) == 4 && ebb_at(y, 1) == 1);
	ck_assert_int_eq(ebb_size(ebb_one_hot(t, ebb_arange(t, 0), 3), 1), 3);
	assert_refused(t, EBB_INVALID, ebb_one_hot(t, I64(0, 3), 3), "integers.c:", "one_hot",
		"index[1] is 3");
	assert_refused(t, EBB_INVALID, ebb_one_hot(t, I64(0, -1), -1), "index[1] is -1");
	assert_refused(t, EBB_INVALID, ebb_one_hot(t, ebb_arange(t, 0), -1), "classes is -1");
	assert_refused(t, EBB_INVALID, ebb_one_hot(t, I64(0), -2), "classes is -2");
	assert_refused(t, EBB_BAD_DTYPE, ebb_one_hot(t, U8(0), 2), "U8 [1]");
	assert_refused(t, EBB_INVALID, ebb_one_hot(t, NULL, 2), "NULL");
	end();
}

static void everything(void)
{
	arithmetic();
	comparisons();
	reductions();
	moves();
}

#define TWO                                                                                        \
	"2x3 2x3 #0f | 2x3x4 3x1 #0f | 4 3x1 #0f | - 2x3 #0f | 2x3 - #0f | - - #0f | 0x3 3 #0f | " \
	"2x1 1x0 #0f | 2x3x2x2 3x1x1 #0f | 2x3x2x2 2x3x2x2 #0f | 2x1x3 1x2x1 #0f"
#define NOT_TWO "2x3 4x5 | 2x3 2 | 3 i5:3 | m3 i5:3 | 2x3 3x2"
#define LOGICAL(op)                                                                                \
	{                                                                                          \
		.name = #op, .call = call_##op, .reference = plain_##op,                           \
		.samples = "2x3 2x3 | m2x3 m2x3 | m2x3x4 m3x1 | i2:4 i2:3x1 | - 2x3 | 0x3 3 | "    \
			   "m2x3x2x2 m3x1x1 | 1x1 1x1",                                            \
		.refused = NOT_TWO, .result = EBB_U8, .waived = {                                  \
			[GRADIENT] = "the result is of integers"                                   \
		}                                                                                  \
	}

const entry integer_ops[] = {
	{.name = "floor_div",
		.call = call_floor_div,
		.binary = floored,
		.samples = TWO,
		.values = "an",
		.refused = NOT_TWO,
		.property = quotients},
	{.name = "remainder",
		.call = call_remainder,
		.binary = rest,
		.samples = "2x3 2x3 | 2x3x4 3x1 | 4 3x1 | - 2x3 | 2x3 - | - - | 0x3 3 | 2x1 1x0 | "
			   "2x3x2x2 3x1x1 | 2x3x2x2 2x3x2x2 | 2x1x3 1x2x1",
		.values = "an",
		.refused = NOT_TWO,
		.property = remainders},
	LOGICAL(logical_and),
	LOGICAL(logical_or),
	{.name = "logical_not",
		.call = call_logical_not,
		.reference = plain_logical_not,
		.samples = "m2x3 | 2x3x4 | i2:5 | - | 0x3 | 1x2 | m2x3x2x2",
		.result = EBB_U8,
		.property = everything,
		.waived = {[BROADCAST] = "one operand",
			[GRADIENT] = "the result is of integers",
			[REFUSED] = "takes tensors of every type"}},
	{.name = "one_hot",
		.property = one_hot,
		.waived = {[REFERENCE] = "the property says the values",
			[GRADIENT] = "makes constants",
			[EMPTY] = "in the property",
			[ONE] = "in the property",
			[BROADCAST] = "one operand",
			[LAYOUTS] = "reads indices, row-major",
			[REFUSED] = "in the property"}},
	{.name = NULL},
};
