/*
 * test_integer.c - the kernels of both types of integers against plain loops in 128 bits, and the
 * order of elements.  Without a type of 128 bits only those of uint8_t are tested.
 */
#include "kernel_test.h"
#include "integer.h"

#ifdef __SIZEOF_INT128__
__extension__ typedef __int128 wide;
enum { FIRST_TYPE = 0 };
#else
/* It holds the results for uint8_t if scalars are small. */
typedef int64_t wide;
enum { FIRST_TYPE = 1 };
#endif

static const ebb_integer_kernels *table;
static bool bytes_wide; /* the type is uint8_t */

/* Memory for exactly n integers, so that a sanitizer detects an access beyond. */
static void *integers(int64_t n)
{
	return bytes((size_t)n * (bytes_wide ? 1 : sizeof(int64_t)));
}

static int64_t at(const void *x, int64_t i)
{
	return bytes_wide ? ((const uint8_t *)x)[i] : ((const int64_t *)x)[i];
}

/* Modulo 2^64 or 2^8. */
static void put(void *x, int64_t i, wide v)
{
	if (bytes_wide)
		((uint8_t *)x)[i] = (uint8_t)v;
	else
		((int64_t *)x)[i] = (int64_t)(uint64_t)v;
}

static int64_t wrapped(wide v)
{
	return bytes_wide ? (uint8_t)v : (int64_t)(uint64_t)v;
}

/* Among small numbers, the ends of the range. */
static void *random_integers(int64_t n)
{
	static const int64_t ends[] = {INT64_MIN, INT64_MAX, INT64_MIN + 1, -1, 0, 255, 128};
	void *x = integers(n);

	for (int64_t i = 0; i < n; i++)
		put(x, i, any(0, 3) ? any(-9, 9) : ends[any(0, 6)]);
	return x;
}

/* ---- Elementwise ----------------------------------------------------------------------------- */

static wide floor_of(wide a, wide b)
{
	return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

static wide of_one(ebb_unary_fn f, wide v, wide a, wide b)
{
	switch (f) {
	case EBB_UNARY_neg:
		return -v;
	case EBB_UNARY_abs:
		return v < 0 ? -v : v;
	case EBB_UNARY_sign:
		return (v > 0) - (v < 0);
	case EBB_UNARY_square:
		return v * v;
	case EBB_UNARY_add_scalar:
		return v + a;
	case EBB_UNARY_mul_scalar:
		return v * a;
	default:
		v = v < a ? a : v;
		return v > b ? b : v;
	}
}

static wide of_two(ebb_binary_fn f, wide a, wide b)
{
	switch (f) {
	case EBB_BINARY_add:
		return a + b;
	case EBB_BINARY_sub:
		return a - b;
	case EBB_BINARY_mul:
		return a * b;
	case EBB_BINARY_maximum:
		return a > b ? a : b;
	case EBB_BINARY_minimum:
		return a < b ? a : b;
	case EBB_BINARY_floor_div:
		return floor_of(a, b);
	default:
		return a - floor_of(a, b) * b;
	}
}

static void unary(void)
{
	static const ebb_unary_fn each[] = {EBB_UNARY_neg, EBB_UNARY_abs, EBB_UNARY_sign,
		EBB_UNARY_square, EBB_UNARY_add_scalar, EBB_UNARY_mul_scalar, EBB_UNARY_clamp};
	const int64_t n = 301;
	void *x = random_integers(n), *y = integers(n);

	for (size_t k = 0; k < sizeof each / sizeof *each; k++)
		for (int trial = 0; trial < 3; trial++) {
			int64_t a = trial || FIRST_TYPE ? any(-9, 9) : INT64_MIN;
			int64_t b = a + trial * 7;

			expect(table->unary(each[k], n, x, y, a, b));
			for (int64_t i = 0; i < n; i++)
				expect(at(y, i) == wrapped(of_one(each[k], at(x, i), a, b)));
		}
	put(y, 0, 77);
	expect(!table->unary(EBB_UNARY_exp, n, x, y, 0, 0) && at(y, 0) == 77);
}

enum { AXES = 3 };

/* Steps from which the index of an element follows: of a block in a random order of axes, or of an
 * operand that is expanded along an axis. */
static void random_strides(const int64_t *shape, bool expanded, int64_t *strides)
{
	int first = (int)any(0, AXES - 1);
	int64_t step = 1;

	for (int k = 0; k < AXES; k++) {
		int axis = (first + k) % AXES;

		strides[axis] = step;
		step *= shape[axis];
	}
	if (expanded)
		strides[any(0, AXES - 1)] = 0;
}

static int64_t index_of(int64_t flat, const int64_t *shape, const int64_t *strides)
{
	int64_t index = 0;

	for (int axis = AXES - 1; axis >= 0; axis--) {
		index += flat % shape[axis] * strides[axis];
		flat /= shape[axis];
	}
	return index;
}

static int64_t compared(ebb_compare_fn f, int64_t a, int64_t b)
{
	const bool all[] = {
#define COMPARISON(name, relation) [EBB_COMPARE_##name] = a relation b,
#include "binary.def"
	};

	return all[f];
}

static void strided(void)
{
	static const ebb_binary_fn each[] = {EBB_BINARY_add, EBB_BINARY_sub, EBB_BINARY_mul,
		EBB_BINARY_maximum, EBB_BINARY_minimum, EBB_BINARY_floor_div, EBB_BINARY_remainder};
	int64_t shape[AXES], s[4][AXES], n = 1;
	void *x[4], *y;
	uint8_t *truth;

	for (int k = 0; k < AXES; k++)
		n *= shape[k] = any(0, 9) ? any(1, 60) : any(0, 1);
	for (int k = 0; k < 4; k++) {
		random_strides(shape, k && any(0, 2) == 0, s[k]);
		x[k] = random_integers(n);
	}
	for (int64_t i = 0; i < n; i++)
		if (at(x[2], i) == 0)
			put(x[2], i, -1);
	y = integers(n);
	truth = bytes((size_t)n);
#define READ(k) at(x[k], index_of(i, shape, s[k]))
	for (size_t f = 0; f < sizeof each / sizeof *each; f++) {
		expect(table->binary_strided(
			each[f], AXES, shape, x[1], s[1], x[2], s[2], y, s[0]));
		for (int64_t i = 0; i < n; i++)
			expect(at(y, index_of(i, shape, s[0])) ==
				wrapped(of_two(each[f], READ(1), READ(2))));
	}
	table->where_strided(
		AXES, shape, x[3], bytes_wide ? 1 : 8, s[3], x[1], s[1], x[2], s[2], y, s[0]);
	for (int64_t i = 0; i < n; i++)
		expect(at(y, index_of(i, shape, s[0])) == (READ(3) ? READ(1) : READ(2)));
	for (int f = 0; f < EBB_COMPARE_COUNT; f++) {
		table->compare_strided(
			(ebb_compare_fn)f, AXES, shape, x[1], s[1], x[2], s[2], truth, s[0]);
		for (int64_t i = 0; i < n; i++)
			expect(truth[index_of(i, shape, s[0])] ==
				compared((ebb_compare_fn)f, READ(1), READ(2)));
	}
	expect(!table->binary_strided(
		EBB_BINARY_div, AXES, shape, x[1], s[1], x[2], s[2], y, s[0]));
}

/* ---- Conversions ----------------------------------------------------------------------------- */

static void conversions(void)
{
	const double bad[] = {NAN, INFINITY, -INFINITY, bytes_wide ? 256 : 0x1p63,
		bytes_wide ? -1 : -0x1.0000000000001p63};
	double most = bytes_wide ? 255.5 : 0x1.fffffffffffffp62;
	double x[] = {-0.99, 0, 3.99, most, bytes_wide ? 0 : -0x1p63};
	float narrow[] = {-0.5f, 2.5f, 200.75f, NAN};
	const int64_t whole[] = {0, 255, 256, 7};
	const uint8_t small[] = {0, 200, 255};
	void *y = integers(5);

	expect(table->from(EBB_ELEMENT_F64, 5, x, y) == -1);
	expect(at(y, 0) == 0 && at(y, 2) == 3);
	expect(at(y, 3) == (int64_t)most && at(y, 4) == (bytes_wide ? 0 : INT64_MIN));
	for (int k = 0; k < 5; k++) {
		x[3] = bad[k];
		expect(table->from(EBB_ELEMENT_F64, 5, x, y) == 3);
	}
	expect(table->from(EBB_ELEMENT_F32, 3, narrow, y) == -1);
	expect(at(y, 0) == 0 && at(y, 1) == 2 && at(y, 2) == 200);
	expect(table->from(EBB_ELEMENT_F32, 4, narrow, y) == 3);
	expect(table->from(EBB_ELEMENT_I64, 4, whole, y) == (bytes_wide ? 2 : -1));
	expect(table->from(EBB_ELEMENT_U8, 3, small, y) == -1 && at(y, 1) == 200);
	table->fill(5, -2, y);
	expect(at(y, 0) == wrapped(-2) && at(y, 4) == wrapped(-2));
}

/* ---- Lines [outer,len,inner] ----------------------------------------------------------------- */

static void lines(void)
{
	int64_t outer = any(0, 4), len = any(1, 40), inner = any(1, 9), count = any(0, 9);
	int64_t n = outer * len * inner, m = outer * count * inner, shape[] = {outer, len, inner};
	void *x = random_integers(n), *y = integers(outer * inner), *picked = integers(m);
	void *acc = random_integers(n), *want = integers(n);
	int64_t *sums = bytes((size_t)n * sizeof *sums), *where = bytes((size_t)n * sizeof *where);
	int64_t *totals = bytes((size_t)(outer * inner) * sizeof *totals);
	int64_t *index = bytes((size_t)(m + count) * sizeof *index);
#define LINE(o, k, i, size) (((o) * (size) + (k)) * inner + (i))

	for (int64_t k = 0; k < m; k++)
		index[k] = any(0, len - 1);
	for (int sign = -1; sign < 2; sign += 2) {
		table->extreme(sign, outer, len, inner, x, y, where);
		for (int64_t o = 0; o < outer; o++)
			for (int64_t i = 0; i < inner; i++) {
				int64_t best = 0;

				for (int64_t k = 1; k < len; k++) {
					wide more = (wide)at(x, LINE(o, k, i, len)) -
					            at(x, LINE(o, best, i, len));
					best = more * sign > 0 ? k : best;
				}
				expect(where[o * inner + i] == best);
				expect(at(y, o * inner + i) == at(x, LINE(o, best, i, len)));
			}
	}
	table->cumsum(outer, len, inner, x, sums);
	table->sum_acc(3, shape, x, (const int64_t[]){len * inner, inner, 1}, totals,
		(const int64_t[]){inner, 0, 1});
	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < inner; i++) {
			wide sum = 0;

			for (int64_t k = 0; k < len; k++) {
				sum += at(x, LINE(o, k, i, len));
				expect(sums[LINE(o, k, i, len)] == (int64_t)(uint64_t)sum);
			}
			expect(totals[o * inner + i] == (int64_t)(uint64_t)sum);
		}
	table->gather(outer, len, inner, count, x, index, picked);
	for (int64_t k = 0; k < n; k++)
		put(want, k, at(acc, k));
	for (int64_t k = 0; k < m; k++) {
		int64_t from = LINE(k / inner / count, index[k], k % inner, len);

		expect(at(picked, k) == at(x, from));
		put(want, from, (wide)at(want, from) + at(picked, k));
	}
	table->gather_acc(outer, len, inner, count, picked, index, acc);
	for (int64_t k = 0; k < n; k++)
		expect(at(acc, k) == at(want, k));
	for (int64_t k = m; k < count; k++)
		index[k] = 0;
	table->index_select(outer, len, inner, count, x, index, picked);
	for (int64_t k = 0; k < m; k++)
		expect(at(picked, k) ==
			at(x, LINE(k / inner / count, index[k / inner % count], k % inner, len)));
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* Whether a is before b in ascending order: NaNs are last. */
static bool less(double a, double b)
{
	return isnan(b) ? !isnan(a) : a < b;
}

static void order(void)
{
	static const double corners[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0, -0.0, 0x1p-1074, 1};
	int64_t outer = any(1, 3), len = any(1, 70), inner = any(1, 4), count = any(0, len);
	double *x = bytes((size_t)(outer * len * inner) * sizeof *x);
	int64_t *index = bytes((size_t)(outer * count * inner) * sizeof *index);
	bool down = any(0, 1);

	for (int64_t k = 0; k < outer * len * inner; k++)
		x[k] = any(0, 2) ? (double)any(-5, 5) : corners[any(0, 7)];
	ebb_sort_index(EBB_ELEMENT_F64, down, outer, len, inner, count, x, index,
		workspace(ebb_sort_workspace(outer * inner, count)));
	/* Element k of the order has k elements before it. */
	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < inner; i++)
			for (int64_t k = 0; k < count; k++) {
				int64_t p = index[LINE(o, k, i, count)], before = 0;
				double v = x[LINE(o, p, i, len)];

				for (int64_t j = 0; j < len; j++) {
					double u = x[LINE(o, j, i, len)];
					bool first = down ? less(v, u) : less(u, v);
					bool last = down ? less(u, v) : less(v, u);

					before += first || (!last && j < p);
				}
				expect(before == k);
			}
	expect(ebb_sort_workspace(2, INT64_MAX / 16) == 0);
}

static void each_type(int trials, void (*fn)(void))
{
	K = NULL;
	for (int k = FIRST_TYPE; k < 2; k++) {
		bytes_wide = k;
		table = k ? &ebb_integers_u8 : &ebb_integers_i64;
		for (int trial = 0; trial < trials; trial++) {
			fn();
			release_all();
		}
	}
}

START_TEST(functions_of_one_operand_equal_their_definitions)
{
	each_type(1, unary);
}
END_TEST

START_TEST(strided_functions_equal_their_definitions)
{
	each_type(30, strided);
}
END_TEST

START_TEST(conversions_refuse_what_does_not_fit)
{
	each_type(1, conversions);
}
END_TEST

START_TEST(reductions_and_indexing_equal_their_definitions)
{
	each_type(100, lines);
}
END_TEST

START_TEST(the_order_is_stable_with_nan_last)
{
	each_type(100, order);
}
END_TEST

TCase *tests_integer(void)
{
	TCase *c = tcase_create("integer");

	tcase_add_test(c, functions_of_one_operand_equal_their_definitions);
	tcase_add_test(c, strided_functions_equal_their_definitions);
	tcase_add_test(c, conversions_refuse_what_does_not_fit);
	tcase_add_test(c, reductions_and_indexing_equal_their_definitions);
	tcase_add_test(c, the_order_is_stable_with_nan_last);
	return c;
}
