/* activations.c - more tests of listed activations; prelu, comparisons, embedding, scatter_add. */
#include "tests/ops/ops_test.h"

#define SELU_SCALE 1.0507009873554804934
#define SELU_ALPHA 1.6732632423543772848

/* ---- Far from 0, and at the corners ------------------------------------------------- */

typedef ebb_tensor *(*function)(ebb_tape *t, ebb_tensor *x, const char *site);

/* A function's value and derivatives at one point. */
typedef struct point {
	double x, y, first, second;
} point;

static bool close_relative(double a, double b, double tolerance)
{
	return a == b || fabs(a - b) <= tolerance * fabs(b) + 1e-43;
}

/* Values and first derivatives to within a few roundings of their own size; second derivatives
 * of the size of the first. */
static void at_points(function f, int n, const point *points, ebb_dtype dtype)
{
	double tolerance = dtype == EBB_F64 ? 4e-15 : 2e-6;

	for (int i = 0; i < n; i++) {
		const point *p = &points[i];
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x, *y, *g, *h = NULL;

		ebb_set_default_dtype(t, dtype);
		x = ebb_variable(t, ebb_scalar(t, p->x));
		y = f(t, x, NULL);
		ck_assert(ebb_grad(t, y, 1, &x, &g, .create_graph = true));
		if (ebb_requires_grad(g))
			ck_assert(ebb_grad(t, g, 1, &x, &h));
		ck_assert_msg(close_relative(ebb_item(y), p->y, tolerance),
			"%g: value %.17g instead of %.17g", p->x, ebb_item(y), p->y);
		ck_assert_msg(close_relative(ebb_item(g), p->first, tolerance),
			"%g: derivative %.17g instead of %.17g", p->x, ebb_item(g), p->first);
		ck_assert_msg(fabs((h ? ebb_item(h) : 0) - p->second) <=
				      tolerance * 10 * (fabs(p->first) + fabs(p->second) + 1),
			"%g: second derivative %.17g instead of %.17g", p->x, h ? ebb_item(h) : 0,
			p->second);
		ebb_tape_free(t);
	}
}

#define POINTS(f, points, dtype)                                                                   \
	at_points((ebb_##f), sizeof(points) / sizeof *(points), points, dtype)

/* Corners that both types share. */
#define CORNERS(f, ...)                                                                            \
	static void f##_corners(void)                                                              \
	{                                                                                          \
		static const point corners[] = {__VA_ARGS__};                                      \
                                                                                                   \
		POINTS(f, corners, EBB_F64);                                                       \
		POINTS(f, corners, EBB_F32);                                                       \
	}

CORNERS(floor, {-1.5, -2, 0, 0}, {-0.0, 0, 0, 0}, {3, 3, 0, 0}, {1e10, 1e10, 0, 0})
CORNERS(relu6, {0, 0, 0, 0}, {6, 6, 0, 0}, {-80, 0, 0, 0}, {80, 6, 0, 0}, {3, 3, 1, 0})
CORNERS(hardswish, {-3, 0, -0.5, 0}, {3, 3, 1, 0}, {-80, 0, 0, 0}, {80, 80, 1, 0},
	{0, 0, 0.5, 1.0 / 3}, {INFINITY, INFINITY, 1, 0})
CORNERS(selu, {0, 0, SELU_SCALE *SELU_ALPHA, 0}, {80, 80 * SELU_SCALE, SELU_SCALE, 0},
	{-80, -SELU_SCALE *SELU_ALPHA, SELU_SCALE *SELU_ALPHA * 1.8048513878454153e-35, 0})
CORNERS(softsign, {0, 0, 1, 0}, {-3, -0.75, 0.0625, 0.03125}, {0x1p60, 1, 0x1p-120, 0},
	{-0x1p60, -1, 0x1p-120, 0})
CORNERS(rsqrt, {4, 0.5, -0.0625, 0.0234375}, {0x1p-40, 0x1p20, -0x1p59, 0.75 * 0x1p100},
	{0x1p40, 0x1p-20, -0x1p-61, 0})

/* Each function and its first derivative near 0 and far from 0, against libm in double. */
static void swept(
	function f, double (*value)(double), double (*slope)(double), double below, double above)
{
	static const double sizes[] = {0, 1e-30, 1e-20, 1e-10, 1e-6, 1e-3, 0.1, 0.3, 0.7, 0.99, 1.5,
		3, 5.5, 9, 15, 17, 20, 30, 40, 60, 79, 80, 200, 600, 700};

	for (int k = 0; k < 4; k++) {
		ebb_dtype dtype = k & 1 ? EBB_F64 : EBB_F32;
		ebb_tape *t = ebb_tape_new();
		double tolerance = dtype == EBB_F64 ? 4e-15 : 2e-6;

		ebb_set_default_dtype(t, dtype);
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			double at = k & 2 ? -sizes[i] : sizes[i];
			ebb_tensor *x, *y, *g;

			if (dtype == EBB_F32)
				at = (float)at;
			if (at < below || at > above || (dtype == EBB_F32 && fabs(at) > 80))
				continue;
			x = ebb_variable(t, ebb_scalar(t, at));
			y = f(t, x, NULL);
			ck_assert(ebb_grad(t, y, 1, &x, &g));
			ck_assert_msg(close_relative(ebb_item(y), value(at), tolerance),
				"%g: value %.17g instead of %.17g", at, ebb_item(y), value(at));
			ck_assert_msg(close_relative(ebb_item(g), slope(at), tolerance),
				"%g: derivative %.17g instead of %.17g", at, ebb_item(g),
				slope(at));
		}
		ebb_tape_free(t);
	}
}

static double log1p_slope(double x)
{
	return 1 / (1 + x);
}

static double logsigmoid(double x)
{
	return (x < 0 ? x : 0) - log1p(exp(-fabs(x)));
}

static double logsigmoid_slope(double x)
{
	return x < 0 ? 1 / (1 + exp(x)) : exp(-x) / (1 + exp(-x));
}

static double mish(double x)
{
	return x * tanh((x > 0 ? x : 0) + log1p(exp(-fabs(x))));
}

/* u + x*s*(1 - u^2): 1 - u^2 = 1/cosh^2 */
static double mish_slope(double x)
{
	double soft = (x > 0 ? x : 0) + log1p(exp(-fabs(x))), c = cosh(soft);

	return tanh(soft) + x / c / c * (x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)));
}

static void expm1_far(void)
{
	swept((ebb_expm1), expm1, exp, -700, 700);
}

static void log1p_far(void)
{
	swept((ebb_log1p), log1p, log1p_slope, -0.999, 700);
}

static void logsigmoid_far(void)
{
	swept((ebb_logsigmoid), logsigmoid, logsigmoid_slope, -700, 700);
}

static void mish_far(void)
{
	swept((ebb_mish), mish, mish_slope, -700, 700);
}

const property unary_properties[] = {{"expm1", expm1_far}, {"log1p", log1p_far},
	{"logsigmoid", logsigmoid_far}, {"mish", mish_far}, {"floor", floor_corners},
	{"relu6", relu6_corners}, {"hardswish", hardswish_corners}, {"selu", selu_corners},
	{"softsign", softsign_corners}, {"rsqrt", rsqrt_corners}, {NULL, NULL}};

/* ---- prelu -------------------------------------------------------------------------- */

CALL(prelu, ebb_prelu(t, x[0], x[1]))

static void plain_prelu(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	(void)n;
	(void)v;
	*y = array_new(x[0].shape);
	if (!y->count)
		return;
	do {
		int64_t i = flat_index(&y->shape, at);
		double slope = x[1].v[x[1].count > 1 ? at[1] : 0];

		y->v[i] = x[0].v[i] > 0 ? x[0].v[i] : slope * x[0].v[i];
	} while (next_position(&y->shape, at));
}

/* At 0 the derivative is the slope, and the slope's is 0. */
static void prelu_at_zero(void)
{
	ebb_tape *t = ebb_tape_new();
	const double at[] = {0, -2, 3}, slopes[] = {0.25, 0.5, 0.75};
	ebb_tensor *in[2], *g[2];

	in[0] = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(1, 3), at));
	in[1] = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3), slopes));
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_prelu(t, in[0], in[1])), 2, in, g));
	ck_assert(ebb_at(g[0], 0) == 0.25 && ebb_at(g[0], 1) == 0.5 && ebb_at(g[0], 2) == 1);
	ck_assert(ebb_at(g[1], 0) == 0 && ebb_at(g[1], 1) == -2 && ebb_at(g[1], 2) == 0);
	ebb_tape_free(t);
}

/* ---- Comparisons -------------------------------------------------------------------- */

/* Variant 1: of values rounded down, so that some are equal. */
#define COMPARISONS(X)                                                                             \
	X(equal, ==)                                                                               \
	X(not_equal, !=)                                                                           \
	X(less, <)                                                                                 \
	X(less_equal, <=)                                                                          \
	X(greater, >)                                                                              \
	X(greater_equal, >=)

#define DEFINE_COMPARISON(name, relation)                                                          \
	CALL(name, ebb_##name(t, v ? ebb_floor(t, x[0]) : x[0], v ? ebb_floor(t, x[1]) : x[1]))    \
	static void plain_##name(const array *x, int n, int v, array *y)                           \
	{                                                                                          \
		int64_t at[EBB_MAX_DIMS] = {0};                                                    \
                                                                                                   \
		*y = array_new(broadcast_shape(x, n));                                             \
		if (!y->count)                                                                     \
			return;                                                                    \
		do {                                                                               \
			double a = broadcast_at(&x[0], &y->shape, at);                             \
			double b = broadcast_at(&x[1], &y->shape, at);                             \
                                                                                                   \
			y->v[flat_index(&y->shape, at)] =                                          \
				v ? floor(a) relation floor(b) : a relation b;                     \
		} while (next_position(&y->shape, at));                                            \
	}                                                                                          \
	static void name##_of_nan(void)                                                            \
	{                                                                                          \
		ebb_tape *t = ebb_tape_new();                                                      \
		ebb_tensor *nan = ebb_scalar(t, NAN), *one = ebb_scalar(t, 1.0);                   \
                                                                                                   \
		ck_assert(ebb_item(ebb_##name(t, nan, one)) == (NAN relation 1.0));                \
		ck_assert(ebb_item(ebb_##name(t, one, nan)) == (1.0 relation NAN));                \
		ck_assert(ebb_item(ebb_##name(t, nan, nan)) == (NAN relation NAN));                \
		assert_healthy(t);                                                                 \
		ebb_tape_free(t);                                                                  \
	}
COMPARISONS(DEFINE_COMPARISON)

#define SHAPES_TWO                                                                                 \
	"2x3 2x3 #1 | 2x3x4 3x1 #1 | 4 3x1 | - 2x3 #1 | 2x3 - | - - | 1x4 3x1 #1 | 0x3 3 | "       \
	"2x1 1x0 | 2x3x2x2 3x1x1 #1 | 2x3x2x2 2x3x2x2 #1 | 2x1x3 1x2x1"
#define COMPARISON(op)                                                                             \
	{                                                                                          \
		.name = #op, .call = call_##op, .reference = plain_##op, .samples = SHAPES_TWO,    \
		.refused = "2x3 4x5 | 2x3 2 | m3 i5:3 | 3 i5:3 | 2x3 3x2", .result = EBB_U8,       \
		.property = op##_of_nan, .waived = {                                               \
			[GRADIENT] = "piecewise constant, and of integers"                         \
		}                                                                                  \
	}

/* ---- Tables ------------------------------------------------------------------------- */

static const double PADDINGS[] = {0, EBB_ZERO, 2, -1, 7, -8, 1.5};

CALL(embedding, ebb_embedding(t, x[0], x[1], .padding_idx = PADDINGS[v]))

static void plain_embedding(const array *x, int n, int v, array *y)
{
	int64_t width = x[1].shape.dims[1];
	ebb_shape s = x[0].shape;

	(void)n;
	(void)v;
	s.dims[s.ndim++] = width;
	*y = array_new(s);
	for (int64_t i = 0; i < y->count; i++)
		y->v[i] = x[1].v[(int64_t)x[0].v[i / width] * width + i % width];
}

/* The value is constant in the row of padding, though differences see it vary. */
static void embedding_of_padding(void)
{
	static const int64_t rows[] = {0, 2, 2, 1, 2, 0};
	static const struct {
		double padding, times[3];
	} cases[] = {{0, {2, 1, 3}}, {EBB_ZERO, {0, 1, 3}}, {2, {2, 1, 0}}, {-2, {2, 0, 3}}};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *w, *g, *gg, *gy;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_tensor *index = ebb_from_i64(t, EBB_SHAPE(2, 3), rows), *y;

		w = ebb_variable(t, ebb_randn(t, EBB_SHAPE(3, 2)));
		gy = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3, 2)));
		y = ebb_embedding(t, index, w, .padding_idx = cases[i].padding);
		ck_assert(ebb_grad(t, y, 1, &w, &g, gy, .create_graph = true));
		ck_assert(ebb_grad(t, ebb_sum(t, g), 1, &gy, &gg));
		for (int64_t k = 0; k < 6; k++)
			ck_assert(ebb_at(g, k) == cases[i].times[k / 2]);
		for (int64_t k = 0; k < 12; k++)
			ck_assert(ebb_at(gg, k) == (cases[i].times[rows[k / 2]] != 0));
	}
	assert_healthy(t);
	ebb_tape_free(t);
}

CALL(scatter_add, ebb_scatter_add(t, x[0], v, x[1], x[2]))

static void plain_scatter_add(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0}, to[EBB_MAX_DIMS];
	int axis = (v + x[0].shape.ndim) % x[0].shape.ndim;

	(void)n;
	*y = array_new(x[0].shape);
	for (int64_t i = 0; i < y->count; i++)
		y->v[i] = x[0].v[i];
	if (!x[2].count)
		return;
	do {
		int64_t i = flat_index(&x[2].shape, at);

		memcpy(to, at, sizeof to);
		to[axis] = (int64_t)x[1].v[i];
		y->v[flat_index(&y->shape, to)] += x[2].v[i];
	} while (next_position(&x[2].shape, at));
}

const entry activation_ops[] = {
	{.name = "prelu",
		.call = call_prelu,
		.reference = plain_prelu,
		.samples = "2x3x4 3 | 2x3x2x2 3 | 2x3x2x2 1 | 3x2 2 | 5 1 | - 1 | 4x1x2 1 | "
			   "0x3 3 | 2x3x0 3 | 2x0x2 0 | 2x3x2x1x2 3 | 3x4 -",
		.values = "na",
		.refused = "2x3x4 4 | 2x3 3x1 | 3 3 | i5:2x3 3 | 2x3 i5:3 | 2x3 0",
		.property = prelu_at_zero},
	COMPARISON(equal),
	COMPARISON(not_equal),
	COMPARISON(less),
	COMPARISON(less_equal),
	COMPARISON(greater),
	COMPARISON(greater_equal),
	{.name = "embedding",
		.call = call_embedding,
		.reference = plain_embedding,
		.samples = "i7:3x5 7x4 | i3:- 3x2 | i3:4 3x1 | i3:0x2 3x2 | i1:2x3x2 1x3 | "
			   "i3:2x2 3x0",
		.refused = "i7:3x5 7 | 3x5 7x4 | i7:3x5 i7:7x4 | i9:3x5 4x2 | i3:4 3x2 #4 | "
			   "i3:4 3x2 #5 | i3:4 3x2 #6",
		.property = embedding_of_padding,
		.waived = {[BROADCAST] = "one real operand"}},
	{.name = "scatter_add",
		.call = call_scatter_add,
		.reference = plain_scatter_add,
		.samples = "3x4 i3:5x4 5x4 | 3x4 i4:3x9 3x9 #1 | 3x4x2 i2:2x3x5 2x3x5 #-1 | "
			   "5 i5:8 8 | 4x3 i4:6x2 6x2 | 1x3 i1:2x1 2x1 | 2x3 i3:2x0 2x0 #1 | "
			   "0x3 i1:0x2 0x2 #1 | 2x3x2x2 i3:2x4x2x1 2x4x2x1 #1",
		.refused = "3x4 i3:5x4 5x3 | 3x4 i3:5x5 5x5 | 3x4 i3:5 5 | 3x4 5x4 5x4 | "
			   "3x4 i3:5x4 i5:5x4 | 3x4 i3:5x4 5x4 #2 | 3x4 i9:5x4 5x4"},
	{.name = NULL},
};
