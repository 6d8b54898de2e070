/* elementwise.c - elementwise functions with parameters, add, where and cast (listed.c has the
 * others). */
#include "tests/ops/ops_test.h"

/* ---- One operand -------------------------------------------------------------------- */

static const double SLOPES[] = {0.01, 0.3, -0.5, 0}, ALPHAS[] = {1, 0.4},
		    POWERS[] = {3, 2, 1, 0, -1, 0.5, -1.5}, SCALES[] = {2.5, -1, 0, 1e-3},
		    DIVISORS[] = {2.5, -3};
static const double LIMITS[][2] = {{-0.9, 0.7}, {0.1, INFINITY}, {-INFINITY, 0.2}};

#define ONE_OPERAND(X)                                                                             \
	X(leaky_relu, ebb_leaky_relu(t, x[0], SLOPES[v]), x > 0 ? x : SLOPES[v] * x)               \
	X(elu, ebb_elu(t, x[0], ALPHAS[v]), x > 0 ? x : ALPHAS[v] * (exp(x) - 1))                  \
	X(clamp, ebb_clamp(t, x[0], LIMITS[v][0], LIMITS[v][1]),                                   \
		fmin(fmax(x, LIMITS[v][0]), LIMITS[v][1]))                                         \
	X(add_scalar, ebb_add_scalar(t, x[0], SCALES[v]), x + SCALES[v])                           \
	X(mul_scalar, ebb_mul_scalar(t, x[0], SCALES[v]), x *SCALES[v])                            \
	X(div_scalar, ebb_div_scalar(t, x[0], DIVISORS[v]), x / DIVISORS[v])                       \
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

#define ONE_WITH(op, kind, more, check)                                                            \
	{                                                                                          \
		.name = #op, .call = call_##op, .unary = value_##op, .samples = SHAPES_ONE more,   \
		.values = kind, .refused = "i5:2x3", .property = check, .waived = {                \
			[BROADCAST] = "one operand"                                                \
		}                                                                                  \
	}

/* The quotient is rounded once, and division by 0 follows IEEE 754. */
static void divided_once(void)
{
	for (int k = 0; k < 2; k++) {
		ebb_tape *t = ebb_tape_new();
		array a = array_random(EBB_SHAPE(200), 3);
		ebb_tensor *x, *y, *g;

		ebb_set_default_dtype(t, k ? EBB_F64 : EBB_F32);
		x = ebb_variable(t, ebb_from_f64(t, a.shape, a.v));
		for (double s = 3; s < 50; s += 2) {
			y = ebb_div_scalar(t, x, s);
			for (int i = 0; i < 200; i++) {
				double want = k ? a.v[i] / s : (double)((float)a.v[i] / (float)s);

				ck_assert_double_eq(ebb_at(y, i), want);
			}
		}
		x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3), (double[]){1, -1, 0}));
		y = ebb_div_scalar(t, x, 0);
		ck_assert(ebb_at(y, 0) == INFINITY && ebb_at(y, 1) == -INFINITY &&
			  isnan(ebb_at(y, 2)));
		y = ebb_div_scalar(t, x, -0.0);
		ck_assert(ebb_at(y, 0) == -INFINITY && ebb_at(y, 1) == INFINITY);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g));
		ck_assert_double_eq(ebb_at(g, 2), -INFINITY);
		y = ebb_div_scalar(t, x, INFINITY);
		ck_assert(ebb_at(y, 0) == 0 && ebb_at(y, 2) == 0);
		ck_assert(isnan(ebb_at(ebb_div_scalar(t, x, NAN), 0)));
		assert_healthy(t);
		ebb_tape_free(t);
	}
}

/* ---- GELU, of x or of x + bias ------------------------------------------------------ */

#define PI 3.14159265358979323846

CALL(gelu, ebb_gelu(t, x[0], .bias = n > 1 ? x[1] : NULL, .tanh = v))

static void plain_gelu(const array *x, int n, int v, array *y)
{
	*y = array_new(x->shape);
	for (int64_t i = 0; i < y->count; i++) {
		double z = x->v[i] + (n > 1 ? x[1].v[i % x[1].count] : 0);

		y->v[i] = v ? 0.5 * z * (1 + tanh(sqrt(2 / PI) * (z + 0.044715 * z * z * z)))
		            : z * 0.5 * erfc(-z / sqrt(2));
	}
}

static ebb_tensor *gelu_of(ebb_tape *t, bool fused, bool tanh, ebb_tensor *x, ebb_tensor *bias)
{
	return fused ? ebb_gelu(t, x, .bias = bias, .tanh = tanh)
	             : ebb_gelu(t, ebb_add(t, x, bias), .tanh = tanh);
}

/* A bias gives the values and the gradients of x that add and gelu give, bit for bit, whichever of
 * x and the bias require a gradient; the bias' gradient is the sum of x's. */
static void gelu_of_a_sum(void)
{
	enum { ROWS_OF_X = 700, K = 67 };
	array a = array_random(EBB_SHAPE(ROWS_OF_X, K), 3), b = array_random(EBB_SHAPE(K), 4);
	array w = array_random(EBB_SHAPE(ROWS_OF_X, K), 5);

	for (int setting = 0; setting < 24; setting++) {
		bool f64 = setting % 2, tanh = setting / 2 % 2, recorded = setting / 4 % 2;
		int wanted = 1 + setting / 8;
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *in[2], *gy, *y[2], *g[2][2] = {{NULL}};

		ebb_set_default_dtype(t, f64 ? EBB_F64 : EBB_F32);
		in[0] = ebb_from_f64(t, a.shape, a.v);
		in[1] = ebb_from_f64(t, b.shape, b.v);
		gy = ebb_from_f64(t, w.shape, w.v);
		for (int k = 0; k < 2; k++)
			if (wanted >> k & 1)
				in[k] = ebb_variable(t, in[k]);
		for (int fused = 0; fused < 2; fused++) {
			y[fused] = gelu_of(t, fused, tanh, in[0], in[1]);
			for (int k = 0; k < 2; k++)
				ck_assert(!(wanted >> k & 1) ||
					  ebb_grad(t, y[fused], 1, &in[k], &g[fused][k], gy,
						  .create_graph = recorded));
		}
		assert_healthy(t);
		for (int64_t i = 0; i < a.count; i++) {
			ck_assert(ebb_at(y[0], i) == ebb_at(y[1], i));
			ck_assert(!(wanted & 1) || ebb_at(g[0][0], i) == ebb_at(g[1][0], i));
		}
		for (int64_t i = 0; wanted & 2 && i < b.count; i++)
			ck_assert_double_eq_tol(
				ebb_at(g[0][1], i), ebb_at(g[1][1], i), f64 ? 1e-12 : 1e-3);
		ebb_tape_free(t);
	}
}

/* A bias of another real type is refused; an x and a bias that are one tensor have a gradient each. */
static void gelu_of_one_tensor_twice(void)
{
	ebb_tape *t = ebb_tape_new();
	array a = array_random(EBB_SHAPE(5), 6);
	ebb_tensor *x, *g, *doubled, *both;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, a.shape, a.v));
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_gelu(t, x, .bias = x)), 1, &x, &g));
	both = ebb_add(t, x, x);
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_gelu(t, both)), 1, &x, &doubled));
	for (int64_t i = 0; i < a.count; i++)
		ck_assert_double_eq(ebb_at(g, i), ebb_at(doubled, i));
	assert_healthy(t);
	assert_refused(t, EBB_BAD_DTYPE, ebb_gelu(t, x, .bias = ebb_cast(t, x, EBB_F32)),
		"elementwise.c:", "gelu", "bias");
	ebb_tape_free(t);
}

static void gelu_with_a_bias(void)
{
	gelu_of_a_sum();
	gelu_of_one_tensor_twice();
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
	assert_refused(
		t, EBB_BAD_DTYPE, ebb_cast(t, x, (ebb_dtype)9), "elementwise.c:", "cast", "I64");
	assert_refused(t, EBB_BAD_DTYPE, ebb_cast(t, x, EBB_DEFAULT), "cast");
	ebb_tape_free(t);
}

const entry elementwise_ops[] = {
	ONE(leaky_relu, "n", "| 4x2 #1 | 2x4 #2 | 3x3 #3"),
	ONE(elu, "n", "| 4x2 #1"),
	{.name = "gelu",
		.call = call_gelu,
		.reference = plain_gelu,
		.samples = SHAPES_ONE " | 2x3x4 #1 | 2x3x2x2 #1 | 2x3x4 4 | 3x5 5 #1 | 1x1 1 | "
				      "2x2x2x3 3 #1 | 7 7 | 0x3 3 | 3x0 0 #1",
		.property = gelu_with_a_bias,
		.refused = "i5:2x3 | 2x3 2 | 2x3 1 | 2x3 1x3 | 2x3 - | - 1 | 2x3 i5:3 | i5:2x3 3"},
	ONE(clamp, "a", "| 3x5 #1 | 3x5 #2"),
	ONE(add_scalar, "a", "| 2x3 #1 | 2x3 #2"),
	ONE(mul_scalar, "a", "| 2x3 #1 | 2x3 #2f | 2x3 #3"),
	ONE_WITH(div_scalar, "a", "| 2x3 #1", divided_once),
	ONE(pow_scalar, "p", "| 4x2 #1 | 4x3 #2 | 2x3 #3f | 2x4 #4 | 2x5 #5 | 2x6 #6"),
	{.name = "add",
		.call = call_add,
		.binary = sum,
		.samples = "2x3 2x3 | 2x3x4 3x1 | 4 3x1 | - 2x3 | 2x3 - | - - | 1x4 3x1 | 0x3 3 | "
			   "2x1 1x0 | 1 1x1 | 2x3x2x2 3x1x1 | 2x3x2x2 2x3x2x2 | 2x1x3 1x2x1 | "
			   "1x3x1x2 2x1x2x1",
		.refused = "2x3 4x5 | 2x3 2 | 3 i5:3 | 2x3 3x2"},
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
