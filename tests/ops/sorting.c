/* sorting.c - sort, argsort, topk, and random integers. */
#include "tests/ops/ops_test.h"

#include "kernels/kernels.h"

/* ---- Sorting: variant 1: descending; 2, 3: axis 0; 4, 5: axis 1 --------------------- */

static int axis_of(int v)
{
	return v < 2 ? -1 : v < 4 ? 0 : 1;
}

CALL(sort, ebb_sort(t, x[0], EBB_AXES(axis_of(v)), .descending = v % 2))
CALL(argsort, ebb_argsort(t, x[0], EBB_AXES(axis_of(v)), .descending = v % 2))
CALL(topk, ebb_topk(t, x[0], 2, EBB_AXES(axis_of(v)), .smallest = v % 2))

/* Element k is that which has k elements before it. */
static void plain_order(const array *x, int v, bool descending, int64_t count, bool index, array *y)
{
	ebb_shape shape = x->shape;
	int axis = axis_of(v) < 0 ? shape.ndim - 1 : axis_of(v);
	int64_t at[EBB_MAX_DIMS] = {0}, len = shape.dims[axis];

	shape.dims[axis] = count < 0 ? len : count;
	*y = array_new(shape);
	y->dtype = index ? EBB_I64 : EBB_F64;
	if (!x->count)
		return;
	do {
		double value = x->v[flat_index(&x->shape, at)];
		int64_t other[EBB_MAX_DIMS], rank = 0;

		memcpy(other, at, sizeof other);
		for (int64_t k = 0; k < len; k++) {
			double u;

			other[axis] = k;
			u = x->v[flat_index(&x->shape, other)];
			rank += (descending ? u > value : u < value) ||
			        (u == value && k < at[axis]);
		}
		if (rank >= shape.dims[axis])
			continue;
		memcpy(other, at, sizeof other);
		other[axis] = rank;
		y->v[flat_index(&shape, other)] = index ? (double)at[axis] : value;
	} while (next_position(&x->shape, at));
}

static void plain_sort(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_order(x, v, v % 2, -1, false, y);
}

static void plain_argsort(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_order(x, v, v % 2, -1, true, y);
}

static void plain_topk(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_order(x, v, v % 2 == 0, 2, false, y);
}

static void expect(const ebb_tensor *x, int n, const double *values)
{
	ck_assert_int_eq(ebb_count(x), n);
	for (int i = 0; i < n; i++)
		ck_assert_msg(
			ebb_at(x, i) == values[i] || (isnan(values[i]) && isnan(ebb_at(x, i))),
			"element %d is %g instead of %g", i, ebb_at(x, i), values[i]);
}
#define EXPECT(x, ...)                                                                             \
	expect(x, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})

static void sort_of_equal_elements_and_nan(void)
{
	const double values[] = {0, NAN, -0.0, 3, -INFINITY, NAN, INFINITY, 3, -1e-310};
	const int64_t whole[] = {INT64_MAX, INT64_MIN, -1, 0, INT64_MAX};

	for (int k = 0; k < 2; k++) {
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x, *y, *index;

		ebb_set_default_dtype(t, k ? EBB_F64 : EBB_F32);
		x = ebb_from_f64(t, EBB_SHAPE(9), values);
		y = ebb_sort(t, x, .axes = EBB_AXES(0), .index = &index);
		ck_assert_int_eq(ebb_dtype_of(index), EBB_I64);
		ck_assert_int_eq(ebb_dtype_of(y), k ? EBB_F64 : EBB_F32);
		if (k)
			EXPECT(index, 4, 8, 0, 2, 3, 7, 6, 1, 5);
		EXPECT(ebb_argsort(t, x, EBB_AXES(0), .descending = true), 1, 5, 6, 3, 7, 0, 2, 8,
			4);
		ck_assert(ebb_at(y, 0) == -INFINITY && ebb_at(y, 6) == INFINITY);
		ck_assert(isnan(ebb_at(y, 7)) && isnan(ebb_at(y, 8)));
		EXPECT(ebb_sort(t, ebb_from_i64(t, EBB_SHAPE(5), whole), .index = &index),
			(double)INT64_MIN, -1, 0, 0x1p63, 0x1p63);
		EXPECT(index, 1, 2, 3, 0, 4);
		y = ebb_sort(t, ebb_from_u8(t, EBB_SHAPE(3), (uint8_t[]){200, 3, 255}),
			.descending = true);
		EXPECT(y, 255, 200, 3);
		ck_assert_int_eq(ebb_dtype_of(y), EBB_U8);
		assert_healthy(t);
		index = y;
		assert_refused(t, EBB_INVALID, ebb_sort(t, x, EBB_AXES(1), .index = &index),
			"sorting.c:", "sort", "axis 1");
		ck_assert_ptr_null(index);
		ebb_tape_free(t);
	}
}

/* Long lines, with many equal elements, against the order of their ranks. */
static void topk_is_the_beginning_of_sort(void)
{
	const int64_t n = 5000, counts[] = {1, 2, 16, 17, 33, 4999, 5000};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_randint(t, EBB_SHAPE(3, n, 2), -300, 300), *y, *all, *at, *index;
	int threads = ebb_threads();

	for (int largest = 0; largest < 2; largest++) {
		ebb_set_threads(1);
		all = ebb_sort(t, x, EBB_AXES(1), .descending = largest, .index = &at);
		for (int64_t i = 0; i < 6 * n; i++) {
			int64_t k = i / 2 % n;

			if (k == 0)
				continue;
			ck_assert(largest ? ebb_at(all, i - 2) >= ebb_at(all, i)
					  : ebb_at(all, i - 2) <= ebb_at(all, i));
			ck_assert(ebb_at(all, i - 2) != ebb_at(all, i) ||
				  ebb_at(at, i - 2) < ebb_at(at, i));
		}
		ck_assert(all_same(ebb_gather(t, x, 1, at), all));
		ebb_set_threads(3);
		ck_assert(all_same(ebb_argsort(t, x, EBB_AXES(1), .descending = largest), at));
		for (int i = 0; i < 7; i++) {
			y = ebb_topk(t, x, counts[i], EBB_AXES(1), .smallest = !largest,
				.index = &index);
			ck_assert_int_eq(ebb_size(y, 1), counts[i]);
			ck_assert(all_same(y, ebb_slice(t, all, 1, 0, counts[i], 1)));
			ck_assert(all_same(index, ebb_slice(t, at, 1, 0, counts[i], 1)));
		}
	}
	ebb_set_threads(threads);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_topk(t, x, -1), "topk", "k is -1");
	assert_refused(t, EBB_INVALID, ebb_topk(t, x, .axes = EBB_AXES(1)), "topk", "k is 0");
	assert_refused(t, EBB_INVALID, ebb_sort(t, x, EBB_AXES(0, 1)), "sort", "axes has 2 axes");
	assert_refused(t, EBB_INVALID, ebb_topk(t, x, 3), "k is 3", "I64 [3,5000,2]");
	ebb_tape_free(t);
}

/* ---- Random integers ---------------------------------------------------------------- */

/* The statistic of Pearson's test for n draws from k equally likely values, in standard deviations
 * from its mean. */
static double deviation_of(const ebb_tensor *x, int64_t k, int64_t low, const double *share)
{
	double *seen = scratch(k), sum = 0, n = (double)ebb_count(x);
	int64_t free = -1;

	for (int64_t i = 0; i < ebb_count(x); i++) {
		int64_t value = (int64_t)ebb_at(x, i) - low;

		ck_assert(value >= 0 && value < k);
		seen[value]++;
	}
	for (int64_t i = 0; i < k; i++) {
		double wanted = share ? n * share[i] : n / (double)k;

		if (wanted == 0) {
			ck_assert(seen[i] == 0);
			continue;
		}
		sum += (seen[i] - wanted) * (seen[i] - wanted) / wanted;
		free++;
	}
	return (sum - (double)free) / sqrt(2.0 * (double)free);
}

static void randint(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *y;
	int threads = ebb_threads();
	int64_t third = 0;

	ebb_seed(t, 7);
	ebb_set_threads(1);
	x = ebb_randint(t, EBB_SHAPE(100, 300), -3, 7);
	ck_assert_int_eq(ebb_dtype_of(x), EBB_I64);
	ck_assert(fabs(deviation_of(x, 10, -3, NULL)) < 4);
	ck_assert(!all_same(x, ebb_randint(t, EBB_SHAPE(100, 300), -3, 7)));
	ebb_seed(t, 7);
	ebb_set_threads(3);
	ck_assert(all_same(x, ebb_randint(t, EBB_SHAPE(100, 300), -3, 7)));
	ebb_set_threads(threads);
	/* With a range of 3*2^62, a remainder of 64 bits would fall into the first third with a
	 * probability of 1/2, and every fourth number is rejected. */
	x = ebb_randint(t, EBB_SHAPE(30000), INT64_MIN, INT64_MIN / 2 * -1);
	for (int64_t i = 0; i < 30000; i++)
		third += ((const int64_t *)ebb_data(x))[i] < INT64_MIN / 2;
	ck_assert_double_eq_tol((double)third / 30000, 1.0 / 3, 0.012);
	y = ebb_randint(t, EBB_SHAPE(5), INT64_MAX - 1, INT64_MAX);
	for (int i = 0; i < 5; i++)
		ck_assert(((const int64_t *)ebb_data(y))[i] == INT64_MAX - 1);
	ck_assert_int_eq(ebb_count(ebb_randint(t, EBB_SHAPE(3, 0), 0, 2)), 0);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_randint(t, EBB_SHAPE(2), 3, 3), "sorting.c:", "randint",
		"low is 3");
	assert_refused(t, EBB_BAD_SHAPE, ebb_randint(t, EBB_SHAPE(-2), 0, 3), "randint");
	arrays_free();
	ebb_tape_free(t);
}

/* Each of the 24 permutations of 4 is as likely as any other. */
static void randperm(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *codes = ebb_arange(t, 4800), *x;
	int64_t *code = ebb_data_mutable(codes);
	bool seen[1000] = {false};

	for (int i = 0; i < 4800; i++) {
		int64_t p[4], rest[4] = {0, 1, 2, 3};

		x = ebb_randperm(t, 4);
		ck_assert(ebb_copy_out(x, p, sizeof p));
		code[i] = 0;
		for (int k = 0; k < 4; k++) {
			int at = 0;

			while (rest[at] != p[k])
				ck_assert_int_lt(++at, 4 - k);
			code[i] = code[i] * (4 - k) + at;
			memmove(rest + at, rest + at + 1, (size_t)(3 - k - at) * sizeof *rest);
		}
	}
	ck_assert(fabs(deviation_of(codes, 24, 0, NULL)) < 4);
	x = ebb_randperm(t, 1000);
	for (int i = 0; i < 1000; i++)
		seen[(int)ebb_at(x, i)] = true;
	for (int i = 0; i < 1000; i++)
		ck_assert(seen[i]);
	ck_assert_int_eq(ebb_count(ebb_randperm(t, 0)), 0);
	assert_healthy(t);
	assert_refused(t, EBB_BAD_SHAPE, ebb_randperm(t, -1), "randperm", "-1");
	arrays_free();
	ebb_tape_free(t);
}

static void multinomial(void)
{
	const double w[] = {0, 1, 0, 3, 2, 0, /**/ 1e308, 0, 1e308, 0, 1e308, 1e308};
	const double share[] = {0, 1 / 6., 0, 0.5, 2 / 6., 0}, equal[] = {.25, 0, .25, 0, .25, .25};
	/* Of the pairs (1,3), (1,4), .. without replacement: w[a]/6*w[b]/(6 - w[a]). */
	const double pairs[] = {0, 1 / 10., 1 / 15., 1 / 6., 0, 1 / 3., 1 / 12., 1 / 4., 0};
	const int place[] = {-1, 0, -1, 1, 2, -1};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *y, *codes;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_from_f64(t, EBB_SHAPE(2, 6), w);
	y = ebb_multinomial(t, x, 30000, .replacement = true);
	ck_assert(ebb_dtype_of(y) == EBB_I64 && ebb_ndim(y) == 2 && ebb_size(y, 1) == 30000);
	ck_assert(fabs(deviation_of(ebb_slice(t, y, 0, 0, 1, 1), 6, 0, share)) < 4);
	ck_assert(fabs(deviation_of(ebb_slice(t, y, 0, 1, 2, 1), 6, 0, equal)) < 4);
	x = ebb_expand(t, ebb_slice(t, x, 0, 0, 1, 1), EBB_SHAPE(30000, 6));
	y = ebb_multinomial(t, ebb_cast(t, x, EBB_F32), 2);
	codes = ebb_arange(t, 30000);
	for (int64_t i = 0; i < 30000; i++) {
		int a = (int)ebb_at(y, 2 * i), b = (int)ebb_at(y, 2 * i + 1);

		ck_assert(a != b && place[a] >= 0 && place[b] >= 0);
		((int64_t *)ebb_data_mutable(codes))[i] = place[a] * 3 + place[b];
	}
	ck_assert(fabs(deviation_of(codes, 9, 0, pairs)) < 4);
	x = ebb_from_f64(t, EBB_SHAPE(2, 3), (double[]){1, 0, 5e-324, 1, 1, 1});
	ck_assert_int_eq(ebb_count(ebb_multinomial(t, ebb_zeros(t, EBB_SHAPE(0, 3)), 2)), 0);
	y = ebb_multinomial(t, x, 2);
	ck_assert(ebb_at(y, 0) + ebb_at(y, 1) == 2);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_multinomial(t, x, 3), "sorting.c:", "multinomial",
		"row 0", "2 weights above 0", "need 3");
	assert_refused(t, EBB_INVALID, ebb_multinomial(t, x), "count is 0", "at least 1");
	assert_refused(
		t, EBB_INVALID, ebb_multinomial(t, ebb_neg(t, x), 1), "weight 0 of row 0", "-1");
	assert_refused(
		t, EBB_INVALID, ebb_multinomial(t, ebb_full(t, EBB_SHAPE(2), NAN), 1), "nan");
	assert_refused(
		t, EBB_INVALID, ebb_multinomial(t, ebb_full(t, EBB_SHAPE(2), INFINITY), 1), "inf");
	assert_refused(t, EBB_INVALID,
		ebb_multinomial(t, ebb_zeros(t, EBB_SHAPE(2)), 1, .replacement = true),
		"0 weights");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_multinomial(t, ebb_zeros(t, EBB_SHAPE(2, 0)), 1), "[2,0]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_multinomial(t, ebb_scalar(t, 1), 1), "[..,K]");
	assert_refused(t, EBB_BAD_DTYPE, ebb_multinomial(t, codes, 1), "I64");
	ck_assert(!ebb_multinomial(t, ebb_variable(t, x), 1));
	ebb_clear_error(t);
	arrays_free();
	ebb_tape_free(t);
}

#define DRAWS(op)                                                                                  \
	{                                                                                          \
		.name = #op, .property = op, .waived = {                                           \
			[REFERENCE] = "the property tests the distribution",                       \
			[GRADIENT] = "draws integers",                                             \
			[EMPTY] = "in the property",                                               \
			[ONE] = "in the property",                                                 \
			[BROADCAST] = "no operands that broadcast",                                \
			[LAYOUTS] = "makes row-major tensors",                                     \
			[REFUSED] = "in the property"                                              \
		}                                                                                  \
	}
#define SORTS                                                                                      \
	"2x3x4 #0 | 2x3x4 #1 | 2x3x4 #2 | 2x3x4 #3 | 2x3x4 #4 | 2x5x2 #5 | 7 #0 | 1x3 #0 | "       \
	"0x3 #0 | 2x3x2x2 #5 | 40 #1"

const entry sorting_ops[] = {
	{.name = "sort",
		.call = call_sort,
		.reference = plain_sort,
		.samples = SORTS " | 3x0 #0 | 3x1 #0",
		.values = "d",
		.refused = "- #0 | 3 #4",
		.property = sort_of_equal_elements_and_nan,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "argsort",
		.call = call_argsort,
		.reference = plain_argsort,
		.samples = SORTS " | 3x0 #0 | 3x1 #0",
		.values = "d",
		.result = EBB_I64,
		.refused = "- #0 | 3 #4",
		.waived = {[BROADCAST] = "one operand", [GRADIENT] = "the result is of integers"}},
	{.name = "topk",
		.call = call_topk,
		.reference = plain_topk,
		.samples = SORTS,
		.values = "d",
		.refused = "- #0 | 3 #4 | 3x1 #0 | 1x3 #2",
		.property = topk_is_the_beginning_of_sort,
		.waived = {[BROADCAST] = "one operand"}},
	DRAWS(randint),
	DRAWS(randperm),
	DRAWS(multinomial),
	{.name = NULL},
};
