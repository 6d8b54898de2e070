/* indexing.c - cumulative sums, indexing, comparisons, rearrangement, and further reductions. */
#include "tests/ops/ops_test.h"

/* ---- Along one axis ----------------------------------------------------------------- */

static int axis_of(const array *x, int v)
{
	return v < 0 ? v + x->shape.ndim : v;
}

CALL(cumsum, ebb_cumsum(t, x[0], v))
CALL(argmax, ebb_argmax(t, x[0], v))
CALL(argmin, ebb_argmin(t, x[0], v))

static void plain_cumsum(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};
	int axis = axis_of(x, v);

	(void)n;
	*y = array_new(x->shape);
	if (!x->count)
		return;
	do {
		int64_t from[EBB_MAX_DIMS];
		double *sum = &y->v[flat_index(&x->shape, at)];

		memcpy(from, at, sizeof from);
		for (from[axis] = 0; from[axis] <= at[axis]; from[axis]++)
			*sum += x->v[flat_index(&x->shape, from)];
	} while (next_position(&x->shape, at));
}

static void plain_arg(const array *x, int v, int sign, array *y)
{
	ebb_shape shape = {0, {0}}, kept = x->shape;
	int64_t at[EBB_MAX_DIMS] = {0}, i = 0;
	int axis = axis_of(x, v);

	for (int d = 0; d < x->shape.ndim; d++) {
		if (d != axis)
			shape.dims[shape.ndim++] = x->shape.dims[d];
	}
	*y = array_new(shape);
	y->dtype = EBB_I64;
	kept.dims[axis] = 1;
	if (!y->count)
		return;
	do {
		int64_t from[EBB_MAX_DIMS];
		double best = -INFINITY;

		memcpy(from, at, sizeof from);
		for (int64_t k = 0; k < x->shape.dims[axis]; k++) {
			from[axis] = k;
			if (sign * x->v[flat_index(&x->shape, from)] > best) {
				best = sign * x->v[flat_index(&x->shape, from)];
				y->v[i] = (double)k;
			}
		}
		i++;
	} while (next_position(&kept, at));
}

static void plain_argmax(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_arg(x, v, 1, y);
}

static void plain_argmin(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_arg(x, v, -1, y);
}

static void ties_and_nan(void)
{
	const double values[] = {1, 5, 5, 2, /**/ 3, NAN, 9, NAN};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(2, 4), values), *y = ebb_argmax(t, x, 1);

	ck_assert(ebb_at(y, 0) == 1 && ebb_at(y, 1) == 1);
	y = ebb_argmin(t, ebb_neg(t, x), -1);
	ck_assert(ebb_at(y, 0) == 1 && ebb_at(y, 1) == 1);
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- Over several axes: variant % 10 selects the axes, variant / 10 the option ------ */

static const ebb_axes CHOICES[] = {{0, {0}}, {1, {0}}, {1, {-1}}, {2, {0, 2}}, {1, {1}}};
static const bool KEEPDIM[] = {false, false, true, false, true};

#define AXES CHOICES[v % 10]
#define KEEP KEEPDIM[v % 10]

static bool is_chosen(const array *x, int v, int d)
{
	for (int k = 0; k < AXES.n; k++) {
		if (axis_of(x, AXES.axis[k]) == d)
			return true;
	}
	return AXES.n == 0;
}

typedef double fold(const double *p, int64_t n, int option);

/* y = f of the elements along the chosen axes, for every position of the other axes. */
static void folded(const array *x, int v, fold *f, array *y)
{
	ebb_shape kept = x->shape, inside = x->shape, shape = {0, {0}};
	int64_t at[EBB_MAX_DIMS] = {0}, n = 1, i = 0;
	double *values;

	for (int d = 0; d < x->shape.ndim; d++) {
		bool mine = is_chosen(x, v, d);

		n *= mine ? x->shape.dims[d] : 1;
		kept.dims[d] = mine ? 1 : x->shape.dims[d];
		inside.dims[d] = mine ? x->shape.dims[d] : 1;
		if (!mine || KEEP)
			shape.dims[shape.ndim++] = kept.dims[d];
	}
	*y = array_new(shape);
	values = scratch(n);
	if (!y->count)
		return;
	do {
		int64_t in[EBB_MAX_DIMS] = {0}, from[EBB_MAX_DIMS] = {0}, k = 0;

		if (n) {
			do {
				for (int d = 0; d < x->shape.ndim; d++)
					from[d] = at[d] + in[d];
				values[k++] = x->v[flat_index(&x->shape, from)];
			} while (next_position(&inside, in));
		}
		y->v[i++] = f(values, n, v / 10);
	} while (next_position(&kept, at));
}

static double product(const double *p, int64_t n, int option)
{
	double y = 1;

	(void)option;
	for (int64_t i = 0; i < n; i++)
		y *= p[i];
	return y;
}

static const double CORRECTIONS[][2] = {{0, 1}, {EBB_ZERO, 0}, {0.5, 0.5}}; /* option, value */

static double deviation(const double *p, int64_t n, int option)
{
	double mean = 0, sum = 0;

	for (int64_t i = 0; i < n; i++)
		mean += p[i] / (double)n;
	for (int64_t i = 0; i < n; i++)
		sum += (p[i] - mean) * (p[i] - mean);
	return sqrt(sum / ((double)n - CORRECTIONS[option][1]));
}

CALL(prod, ebb_prod(t, x[0], AXES, KEEP))
CALL(std, ebb_std(t, x[0], AXES, .keepdim = KEEP, .correction = CORRECTIONS[v / 10][0]))

static void plain_prod(const array *x, int n, int v, array *y)
{
	(void)n;
	folded(x, v, product, y);
}

static void plain_std(const array *x, int n, int v, array *y)
{
	(void)n;
	folded(x, v, deviation, y);
}

/* The gradient of a product by an element that is 0 is the product of the others, to any order. */
static void zero_operands(void)
{
	const double values[] = {2, 0, 3, 5, 7, /**/ 0, 2, 0, 3, 4, /**/ 0, 0, 0, 1, 2};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *g, *h;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3, 5), values));
	ck_assert(ebb_grad(
		t, ebb_sum(t, ebb_prod(t, x, EBB_AXES(1))), 1, &x, &g, .create_graph = true));
	for (int i = 0; i < 15; i++)
		ck_assert_double_eq(ebb_at(g, i), i == 1 ? 2 * 3 * 5 * 7 : 0);
	/* The second derivatives by two zeros of a row, and by one zero and another element. */
	ck_assert(ebb_grad(
		t, ebb_sum(t, ebb_slice(t, g, 1, 0, 1, 1)), 1, &x, &h, .create_graph = true));
	for (int i = 0; i < 15; i++)
		ck_assert_double_eq(ebb_at(h, i), i == 1 ? 3 * 5 * 7 : i == 7 ? 2 * 3 * 4 : 0);
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_slice(t, h, 1, 1, 2, 1)), 1, &x, &g));
	ck_assert_double_eq(ebb_at(g, 2), 5 * 7);
	ck_assert_double_eq(ebb_at(g, 12), 1 * 2);
	assert_healthy(t);
	ebb_tape_free(t);
}

static void no_deviation(void)
{
	const double values[] = {2, 2, 2, /**/ 1, 2, 3};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *y, *g, *h;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 3), values));
	y = ebb_std(t, x, EBB_AXES(1));
	ck_assert(ebb_at(y, 0) == 0 && ebb_at(y, 1) == 1);
	ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g, .create_graph = true));
	ck_assert(ebb_grad(t, ebb_sum(t, ebb_square(t, g)), 1, &x, &h));
	for (int i = 0; i < 3; i++)
		ck_assert(ebb_at(g, i) == 0 && ebb_at(h, i) == 0);
	ck_assert_double_eq_tol(ebb_at(g, 3), -0.5, 1e-12);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_std(t, x, .correction = NAN), "std", "nan");
	ebb_tape_free(t);
}

/* ---- normalize ---------------------------------------------------------------------- */

static const struct {
	double p, meant, eps;
	ebb_axes axis;
	int at;
} NORMALS[] = {
	{0, 2, 0, {0, {0}}, 1},
	{3, 3, 0, {1, {0}}, 0},
	{1, 1, 0, {1, {-1}}, -1},
	{INFINITY, 0, 0, {0, {0}}, 1},
	{0, 2, 100, {1, {0}}, 0},
	{-1, 0, 0, {0, {0}}, 1},
	{0, 2, -1, {0, {0}}, 1},
};

CALL(normalize,
	ebb_normalize(t, x[0], .p = NORMALS[v].p, .axis = NORMALS[v].axis, .eps = NORMALS[v].eps))

static void plain_normalize(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};
	int axis = axis_of(x, NORMALS[v].at);
	double p = NORMALS[v].meant;

	(void)n;
	*y = array_new(x->shape);
	if (!x->count)
		return;
	do {
		int64_t from[EBB_MAX_DIMS], i = flat_index(&x->shape, at);
		double sum = 0, most = 0, norm;

		memcpy(from, at, sizeof from);
		for (from[axis] = 0; from[axis] < x->shape.dims[axis]; from[axis]++) {
			double e = fabs(x->v[flat_index(&x->shape, from)]);

			sum += pow(e, p);
			most = fmax(most, e);
		}
		norm = p == 0 ? most : pow(sum, 1 / p);
		y->v[i] = x->v[i] / fmax(norm, NORMALS[v].eps);
	} while (next_position(&x->shape, at));
}

/* A vector with a norm below eps is divided by eps, a constant. */
static void small_norms(void)
{
	const double values[] = {0, 0, /**/ 3e-13, 0, /**/ 3, 4};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *y, *g;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3, 2), values));
	y = ebb_normalize(t, x);
	ck_assert_double_eq_tol(ebb_at(y, 2), 0.3, 1e-12);
	ck_assert_double_eq_tol(ebb_at(y, 5), 0.8, 1e-12);
	ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq_tol(ebb_at(g, i) / 1e12, 1, 1e-12);
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- Ops that copy each element from one position, or set it to 0 ------------------- */

typedef bool source(const array *x, int v, const int64_t *at, int64_t *from);

static void collect(const array *x, int v, ebb_shape shape, source *f, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	*y = array_new(shape);
	if (!y->count)
		return;
	do {
		int64_t from[EBB_MAX_DIMS];

		memcpy(from, at, sizeof from);
		if (f(x, v, at, from))
			y->v[flat_index(&shape, at)] = x->v[flat_index(&x->shape, from)];
	} while (next_position(&shape, at));
}

#define PLAIN(name, shape, f)                                                                      \
	static void plain_##name(const array *x, int n, int v, array *y)                           \
	{                                                                                          \
		(void)n;                                                                           \
		collect(x, v, shape, f, y);                                                        \
	}

CALL(flip, ebb_flip(t, x[0], CHOICES[v]))
CALL(tril, ebb_tril(t, x[0], v == 99 ? INT64_MAX : v == -99 ? INT64_MIN : v))
CALL(triu, ebb_triu(t, x[0], v == 99 ? INT64_MAX : v == -99 ? INT64_MIN : v))
CALL(pixel_shuffle, ebb_pixel_shuffle(t, x[0], v))

static bool from_flipped(const array *x, int v, const int64_t *at, int64_t *from)
{
	for (int d = 0; d < x->shape.ndim; d++) {
		if (is_chosen(x, v, d))
			from[d] = x->shape.dims[d] - 1 - at[d];
	}
	return true;
}
PLAIN(flip, x->shape, from_flipped)

static bool from_lower(const array *x, int v, const int64_t *at, int64_t *from)
{
	(void)from;
	return at[x->shape.ndim - 1] - at[x->shape.ndim - 2] <= v;
}
PLAIN(tril, x->shape, from_lower)

static bool from_upper(const array *x, int v, const int64_t *at, int64_t *from)
{
	(void)from;
	return at[x->shape.ndim - 1] - at[x->shape.ndim - 2] >= v;
}
PLAIN(triu, x->shape, from_upper)

/* tril and triu copy instead of multiplying: the elements left out may be infinite or NaN. */
static void infinite_triangles(void)
{
	const double values[] = {1, INFINITY, NAN, 4};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(2, 2), values);

	ck_assert_double_eq(ebb_at(ebb_tril(t, x, 0), 1), 0);
	ck_assert_double_eq(ebb_at(ebb_triu(t, x, 0), 2), 0);
	assert_healthy(t);
	ebb_tape_free(t);
}

static ebb_shape shuffled_shape(const array *x, int f)
{
	ebb_shape s = x->shape;

	s.dims[s.ndim - 3] /= f * f;
	s.dims[s.ndim - 2] *= f;
	s.dims[s.ndim - 1] *= f;
	return s;
}

static bool from_channels(const array *x, int f, const int64_t *at, int64_t *from)
{
	int c = x->shape.ndim - 3;

	from[c] = (at[c] * f + at[c + 1] % f) * f + at[c + 2] % f;
	from[c + 1] = at[c + 1] / f;
	from[c + 2] = at[c + 2] / f;
	return true;
}
PLAIN(pixel_shuffle, shuffled_shape(x, v), from_channels)

/* ---- split: the parts are concatenated in reverse order ----------------------------- */

static const struct {
	int axis, n;
	int64_t sizes[3];
	bool equal;
} SPLITS[] = {
	{0, 2, {0}, true},
	{1, 3, {1, 0, 3}, false},
	{-1, 1, {4}, false},
	{0, 3, {0}, true},
	{0, 0, {0}, true},
	{2, 1, {0}, true},
	{1, 2, {5, -1}, false},
	{1, 2, {1, 2}, false},
};

static ebb_tensor *call_split(ebb_tape *t, ebb_tensor **x, int n, int v)
{
	ebb_tensor *piece[3], *back[3];
	int parts = SPLITS[v].n;

	(void)n;
	if (!ebb_split(t, x[0], SPLITS[v].axis, parts, SPLITS[v].equal ? NULL : SPLITS[v].sizes,
		    piece)) {
		for (int k = 0; k < parts; k++)
			ck_assert_ptr_null(piece[k]);
		return NULL;
	}
	for (int k = 0; k < parts; k++)
		back[k] = piece[parts - 1 - k];
	return ebb_concat(t, parts, back, SPLITS[v].axis);
}

static bool from_parts(const array *x, int v, const int64_t *at, int64_t *from)
{
	int axis = axis_of(x, SPLITS[v].axis), k = SPLITS[v].n - 1;
	int64_t end = x->shape.dims[axis], left = at[axis], size;

	for (;; k--) {
		size = SPLITS[v].equal ? x->shape.dims[axis] / SPLITS[v].n : SPLITS[v].sizes[k];
		if (left < size)
			break;
		left -= size;
		end -= size;
	}
	from[axis] = end - size + left;
	return true;
}
PLAIN(split, x->shape, from_parts)

#define SINGLE .waived = {[BROADCAST] = "one operand"}
#define FOLDS "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #2 | 2x3x4 #3 | 2x3x4 #4 | 5x1x2 #4 | 0x3 #2"

const entry indexing_ops[] = {
	{.name = "cumsum",
		.call = call_cumsum,
		.reference = plain_cumsum,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #-1 | 5 #0 | 1x3 #0 | 0x3 #1 | 3x0 #1 | "
			   "2x3x2x2 #1",
		.refused = "2x3 #2 | 2x3 #-3 | - #0",
		SINGLE},
	{.name = "prod",
		.call = call_prod,
		.reference = plain_prod,
		.samples = FOLDS " | - #0 | 1 #0 | 0x3 #1 | 0x3 #0f | 7x2 #1",
		.refused = "2x3 #3 | - #1",
		.property = zero_operands,
		SINGLE},
	{.name = "std",
		.call = call_std,
		.reference = plain_std,
		.samples = FOLDS " | 2x3 #10 | 2x3x4 #13 | 2x3 #22 | 1 #10f | - #10f",
		.refused = "2x3 #3 | - #1 | i5:2x3 #0",
		.property = no_deviation,
		SINGLE},
	{.name = "argmax",
		.call = call_argmax,
		.reference = plain_argmax,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #-1 | 5 #0 | 1x3 #0 | 0x3 #1 | "
			   "2x3x2x2 #1",
		.values = "d",
		.result = EBB_I64,
		.refused = "2x3 #2 | - #0 | 0x3 #0",
		.property = ties_and_nan,
		.waived = {[BROADCAST] = "one operand", [GRADIENT] = "the result is of integers"}},
	{.name = "argmin",
		.call = call_argmin,
		.reference = plain_argmin,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #-1 | 5 #0 | 1x3 #0 | 0x3 #1 | "
			   "2x3x2x2 #1",
		.values = "d",
		.result = EBB_I64,
		.refused = "2x3 #-3 | - #0 | 0x3 #0",
		.waived = {[BROADCAST] = "one operand", [GRADIENT] = "the result is of integers"}},
	{.name = "normalize",
		.call = call_normalize,
		.reference = plain_normalize,
		.samples = "2x3 #0 | 2x3x4 #0 | 2x3x4 #1 | 2x3 #2 | 2x3x2x2 #3 | 3x2 #4 | "
			   "2x3x2x2 #0 | 1x3 #2 | 0x3 #0 | 5x3 #0",
		.values = "n",
		.refused = "3 #0 | 2x3 #5 | 2x3 #6 | i5:2x3 #0",
		.property = small_norms,
		SINGLE},
	{.name = "flip",
		.call = call_flip,
		.reference = plain_flip,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #2 | 2x3x4 #3 | 2x3x2x2 #4 | - #0 | "
			   "1x3 #0 | 0x3 #0 | 3x0 #1",
		.refused = "2x3 #3 | - #1",
		SINGLE},
	{.name = "tril",
		.call = call_tril,
		.reference = plain_tril,
		.samples = "3x3 #0 | 2x4x3 #0 | 2x3x5 #1 | 4x3 #-2 | 3x3 #99 | 3x3 #-99f | 1x4 "
			   "#2 | 0x3 #0 | 2x0 #0",
		.refused = "3 #0 | - #0",
		.property = infinite_triangles,
		SINGLE},
	{.name = "triu",
		.call = call_triu,
		.reference = plain_triu,
		.samples = "3x3 #0 | 2x4x3 #0 | 2x3x5 #1 | 4x3 #-2 | 3x3 #99f | 3x3 #-99 | 1x4 "
			   "#2 | 0x3 #0 | 2x0 #0",
		.refused = "3 #0 | - #0",
		SINGLE},
	{.name = "pixel_shuffle",
		.call = call_pixel_shuffle,
		.reference = plain_pixel_shuffle,
		.samples = "2x8x3x2 #2 | 1x9x1x2 #3 | 4x2x3 #2 | 2x3x2x2 #1 | 2x4x0x3 #2 | "
			   "0x4x2x2 #2",
		.refused = "2x6x2x2 #2 | 4x4 #2 | 2x4x2x2 #0 | 2x4x2x2 #-2",
		SINGLE},
	{.name = "split",
		.call = call_split,
		.reference = plain_split,
		.samples = "4x3 #0 | 2x4 #1 | 2x4x3x4 #2 | 2x4x2 #1 | 6x1 #3 | 0x3 #0",
		.refused = "3x3 #0 | 4x3 #4 | 4x3 #5 | 4x5 #6 | 4x5 #7 | 4x2 #7 | - #0",
		SINGLE},
	{.name = NULL},
};
