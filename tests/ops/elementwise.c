/* elementwise.c - elementwise functions with parameters, add, where and cast (listed.c has the
 * others). */
#include "tests/ops/ops_test.h"

/* ---- One operand -------------------------------------------------------------------- */

#define PI 3.14159265358979323846

static double phi(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}

static double gelu_tanh(double x)
{
	return 0.5 * x * (1 + tanh(sqrt(2 / PI) * (x + 0.044715 * x * x * x)));
}

static const double SLOPES[] = {0.01, 0.3, -0.5, 0}, ALPHAS[] = {1, 0.4},
		    POWERS[] = {3, 2, 1, 0, -1, 0.5, -1.5}, SCALES[] = {2.5, -1, 0, 1e-3};
static const double LIMITS[][2] = {{-0.9, 0.7}, {0.1, INFINITY}, {-INFINITY, 0.2}};

#define ONE_OPERAND(X)                                                                             \
	X(leaky_relu, ebb_leaky_relu(t, x[0], SLOPES[v]), x > 0 ? x : SLOPES[v] * x)               \
	X(elu, ebb_elu(t, x[0], ALPHAS[v]), x > 0 ? x : ALPHAS[v] * (exp(x) - 1))                  \
	X(gelu, ebb_gelu(t, x[0], .tanh = v), v ? gelu_tanh(x) : x *phi(x))                        \
	X(clamp, ebb_clamp(t, x[0], LIMITS[v][0], LIMITS[v][1]),                                   \
		fmin(fmax(x, LIMITS[v][0]), LIMITS[v][1]))                                         \
	X(add_scalar, ebb_add_scalar(t, x[0], SCALES[v]), x + SCALES[v])                           \
	X(mul_scalar, ebb_mul_scalar(t, x[0], SCALES[v]), x *SCALES[v])                            \
	X(pow_scalar, ebb_pow_scalar(t, x[0], POWERS[v]), pow(x, POWERS[v]))

#define DEFINE_ONE(name, call, value)                                                              \
	CALL(name, call)                                                                           \
	static double value_##name(double x, int v)                                                \
	{                                                                                          \
		(void)v;                                                                           \
		return value;                                                                      \
	}
ONE_OPERAND(DEFINE_ONE)

#define SHAPES_ONE "2x3x4 | - | 1 | 5x1x2 | 0x3 | 2x3x2x2 | 2x2x2x1x2 | 37"
#define ONE(op, kind, more)                                                                        \
	{                                                                                          \
		.name = #op, .call = call_##op, .unary = value_##op, .samples = SHAPES_ONE more,   \
		.values = kind, .refused = "i5:2x3", .waived = {                                   \
			[BROADCAST] = "one operand"                                                \
		}                                                                                  \
	}

/* ---- A sum, and a choice between two operands --------------------------------------- */

CALL(add, ebb_add(t, x[0], x[1]))

static double sum(double a, double b)
{
	return a + b;
}

CALL(where, ebb_where(t, x[0], x[1], x[2]))

static void choose(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	(void)v;
	*y = array_new(broadcast_shape(x, n));
	if (!y->count)
		return;
	do {
		bool first = broadcast_at(&x[0], &y->shape, at) != 0;

		y->v[flat_index(&y->shape, at)] = broadcast_at(&x[first ? 1 : 2], &y->shape, at);
	} while (next_position(&y->shape, at));
}

/* The entry casts to x's own dtype; the property casts across dtypes. */
CALL(cast, ebb_cast(t, x[0], ebb_dtype_of(x[0])))

static double same(double x, int v)
{
	(void)v;
	return x;
}

static void casts(void)
{
	ebb_tape *t = ebb_tape_new();
	const int64_t whole[] = {-3, 0, INT64_C(1) << 40, 7, 8, 9};
	const uint8_t bytes[] = {0, 1, 255};
	const ebb_dtype types[] = {EBB_F32, EBB_F64};
	ebb_tensor *x, *y, *g, *h;

	for (int k = 0; k < 2; k++) {
		y = ebb_cast(t, ebb_transpose(t, ebb_from_i64(t, EBB_SHAPE(2, 3), whole), 0, 1),
			types[k]);
		ck_assert_int_eq(ebb_dtype_of(y), types[k]);
		ck_assert_int_eq(ebb_size(y, 0), 3);
		ck_assert(ebb_at(y, 0) == -3 && ebb_at(y, 1) == 7 && ebb_at(y, 4) == 0x1p40);
		y = ebb_cast(t, ebb_from_u8(t, EBB_SHAPE(3), bytes), types[k]);
		ck_assert(ebb_at(y, 1) == 1 && ebb_at(y, 2) == 255);
	}
	/* Across the real types, twice: y = cast(x)^3, of an x in another memory order. */
	for (int k = 0; k < 2; k++) {
		array a = array_random(EBB_SHAPE(2, 3), 5);

		ebb_set_default_dtype(t, types[k]);
		x = ebb_variable(t, ebb_transpose(t, ebb_from_f64(t, a.shape, a.v), 0, 1));
		y = ebb_pow_scalar(t, ebb_cast(t, x, types[1 - k]), 3);
		ck_assert_int_eq(ebb_dtype_of(y), types[1 - k]);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g, .create_graph = true));
		ck_assert_int_eq(ebb_dtype_of(g), types[k]);
		ck_assert(ebb_grad(t, ebb_sum(t, g), 1, &x, &h));
		for (int64_t i = 0; i < 6; i++) {
			double value = ebb_at(x, i);

			ck_assert_double_eq_tol(value, a.v[i % 2 * 3 + i / 2], 1e-7);
			ck_assert_double_eq_tol(ebb_at(y, i), value * value * value, 1e-6);
			ck_assert_double_eq_tol(ebb_at(g, i), 3 * value * value, 1e-6);
			ck_assert_double_eq_tol(ebb_at(h, i), 6 * value, 1e-6);
		}
	}
	assert_healthy(t);
	assert_refused(t, EBB_BAD_DTYPE, ebb_cast(t, x, EBB_I64), "elementwise.c:", "cast", "I64");
	assert_refused(t, EBB_BAD_DTYPE, ebb_cast(t, x, EBB_DEFAULT), "cast");
	ebb_tape_free(t);
}

const entry elementwise_ops[] = {
	ONE(leaky_relu, "n", "| 4x2 #1 | 2x4 #2 | 3x3 #3"),
	ONE(elu, "n", "| 4x2 #1"),
	ONE(gelu, "a", "| 2x3x4 #1 | 2x3x2x2 #1"),
	ONE(clamp, "a", "| 3x5 #1 | 3x5 #2"),
	ONE(add_scalar, "a", "| 2x3 #1 | 2x3 #2"),
	ONE(mul_scalar, "a", "| 2x3 #1 | 2x3 #2f | 2x3 #3"),
	ONE(pow_scalar, "p", "| 4x2 #1 | 4x3 #2 | 2x3 #3f | 2x4 #4 | 2x5 #5 | 2x6 #6"),
	{.name = "add",
		.call = call_add,
		.binary = sum,
		.samples = "2x3 2x3 | 2x3x4 3x1 | 4 3x1 | - 2x3 | 2x3 - | - - | 1x4 3x1 | 0x3 3 | "
			   "2x1 1x0 | 1 1x1 | 2x3x2x2 3x1x1 | 2x3x2x2 2x3x2x2 | 2x1x3 1x2x1 | "
			   "1x3x1x2 2x1x2x1",
		.refused = "2x3 4x5 | 2x3 2 | i5:3 i5:3 | 3 i5:3 | 2x3 3x2"},
	{.name = "where",
		.call = call_where,
		.reference = choose,
		.samples = "m2x3 2x3 2x3 | m2x3 - 3 | m3 2x3 2x1 | m2x1x2 3x1 2x3x2 | "
			   "i3:2x3 2x3 2x3 | i2:4x1 1x3 1 | m0x3 3 3 | m- 2x3 1x3 | "
			   "m2x3x2x2 2x3x2x2 3x1x1",
		.refused = "m2x3 2x4 2x3 | 2x3 2x3 2x3 | m2x3 i5:2x3 2x3"},
	{.name = "cast",
		.call = call_cast,
		.unary = same,
		.samples = SHAPES_ONE,
		.property = casts,
		.waived = {[BROADCAST] = "one operand",
			[REFUSED] = "the types it refuses are checked in the property"}},
	{.name = NULL},
};
