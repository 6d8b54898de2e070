/* stats.c - statistics of tensors agree with naive loops for any strides. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <math.h>

static bool near(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-9 * (1 + fabs(b));
}

/* The definitions, computed element by element in row-major order. */
static ebb_stats naive(const ebb_tensor *x, double below, double above)
{
	ebb_stats s = {.count = ebb_count(x), .min = INFINITY, .max = -INFINITY};
	double sum = 0, sum_sq = 0, sum_abs = 0, used = 0, zeros = 0, saturated = 0, squares = 0;

	for (int64_t i = 0; i < s.count; i++) {
		double v = ebb_at(x, i);
		if (isnan(v)) {
			s.nan++;
			continue;
		}
		used++;
		sum += v;
		sum_sq += v * v;
		sum_abs += fabs(v);
		s.max_abs = fmax(s.max_abs, fabs(v));
		s.min = fmin(s.min, v);
		s.max = fmax(s.max, v);
		zeros += v == 0;
		saturated += v < below || v > above;
	}
	s.mean = sum / used;
	for (int64_t i = 0; i < s.count; i++)
		if (!isnan(ebb_at(x, i)))
			squares += pow(ebb_at(x, i) - s.mean, 2);
	s.std = sqrt(squares / used);
	s.mean_abs = sum_abs / used;
	s.l2 = sqrt(sum_sq);
	s.zeros = zeros / used;
	s.saturated = saturated / used;
	return s;
}

static void same(const ebb_stats *a, const ebb_stats *b)
{
	ck_assert_int_eq(a->count, b->count);
	ck_assert_int_eq(a->nan, b->nan);
	ck_assert(near(a->mean, b->mean));
	ck_assert(near(a->std, b->std));
	ck_assert(near(a->min, b->min));
	ck_assert(near(a->max, b->max));
	ck_assert(near(a->mean_abs, b->mean_abs));
	ck_assert(near(a->max_abs, b->max_abs));
	ck_assert(near(a->l2, b->l2));
	ck_assert(near(a->zeros, b->zeros));
	ck_assert(near(a->saturated, b->saturated));
}

static void agree(const ebb_tensor *x, double below, double above)
{
	ebb_stats s, expected = naive(x, below, above);

	ck_assert(ebb_stats_of(x, below, above, &s));
	same(&s, &expected);
}

START_TEST(statistics_agree_with_naive_loops)
{
	static const ebb_shape shapes[] = {{1, {1}}, {1, {7}}, {2, {3, 33}}, {4, {2, 5, 7, 6}},
		{0, {0}}, {1, {5000}}, {3, {1, 4, 1}}};
	ebb_dtype dtype = _i % 2 ? EBB_F64 : EBB_F32;

	for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
		ebb_tensor *x = persistent_random(dtype, shapes[k], 11 + k);
		for (int64_t i = 0; dtype == EBB_F64 && i < ebb_count(x); i += 3)
			((double *)ebb_data_mutable(x))[i] = i % 2 ? 0 : -0.0;
		for (int64_t i = 2; dtype == EBB_F32 && i < ebb_count(x); i += 5)
			((float *)ebb_data_mutable(x))[i] = NAN;
		agree(x, -0.5, 0.25);
		agree(x, -INFINITY, INFINITY);
		ebb_tensor_free(x);
	}
}
END_TEST

START_TEST(statistics_of_views_agree_with_naive_loops)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 6, 5, 3), 3);
	ebb_tensor *cl = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 4, 5), true, NULL);

	for (int i = 0; i < 120; i++)
		((float *)ebb_data_mutable(cl))[i] = (float)i - 40;
	agree(cl, 0, 10);
	agree(ebb_slice(t, x, 1, 1, EBB_END, 2), -0.1, 0.1);
	agree(ebb_permute(t, x, EBB_AXES(3, 0, 2, 1)), -0.1, 0.1);
	agree(ebb_expand(t, ebb_slice(t, x, 3, 0, 1, 1), EBB_SHAPE(4, 6, 5, 9)), -0.1, 0.1);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(cl);
}
END_TEST

START_TEST(empty_tensors_have_no_statistics_and_bad_tensors_are_errors)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *none = ebb_tensor_new(EBB_F32, EBB_SHAPE(0, 3), false, NULL);
	ebb_tensor *labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(3), false, NULL);
	ebb_tensor *dropped = ebb_ones(t, EBB_SHAPE(3));
	ebb_stats s;

	ck_assert(ebb_stats_of(none, 0, 1, &s));
	ck_assert_int_eq(s.count, 0);
	ck_assert(isnan(s.mean) && isnan(s.l2) && s.zeros == 0 && s.saturated == 0);
	ck_assert(!ebb_stats_of(NULL, 0, 1, &s));
	ck_assert(!ebb_stats_of(labels, 0, 1, &s));
	ck_assert(!ebb_stats_of(none, 0, 1, NULL));
	ebb_release(t, dropped);
	ck_assert(!ebb_stats_of(dropped, 0, 1, &s));
	ebb_tape_free(t);
	ebb_tensor_free(none);
	ebb_tensor_free(labels);
}
END_TEST

START_TEST(norms_are_right_where_squares_overflow)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(4), false, NULL);
	double *v = ebb_data_mutable(x);
	ebb_stats s;

	for (int k = 0; k < 3; k++) {
		double scale = k == 0 ? 1e200 : k == 1 ? 1e-200 : 1e-300;
		for (int i = 0; i < 4; i++)
			v[i] = (i + 1) * scale;
		ck_assert(ebb_stats_of(x, -INFINITY, INFINITY, &s));
		ck_assert(near(s.l2 / scale, sqrt(30)));
		ck_assert(near(s.std / scale, sqrt(1.25)));
		ck_assert(near(s.mean / scale, 2.5));
	}
	v[0] = INFINITY;
	ck_assert(ebb_stats_of(x, -INFINITY, INFINITY, &s));
	ck_assert(isinf(s.l2) && isinf(s.max) && isnan(s.std));
	v[1] = -INFINITY;
	ck_assert(ebb_stats_of(x, -INFINITY, INFINITY, &s));
	ck_assert(isinf(s.l2) && isnan(s.std));
	ebb_tensor_free(x);
}
END_TEST

/* Large numbers that are close to each other: the digits in which they differ are lost in a sum of
 * squares. */
START_TEST(deviations_of_large_close_numbers_are_right)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(1001), false, NULL);
	double *v = ebb_data_mutable(x);
	ebb_stats s;

	for (int i = 0; i < 1001; i++)
		v[i] = 1e12 + i % 2;
	ck_assert(ebb_stats_of(x, -INFINITY, INFINITY, &s));
	ck_assert(near(s.std, sqrt(500.0 * 501) / 1001));
	for (int i = 0; i < 1001; i++)
		v[i] = 1e6 / 3;
	ck_assert(ebb_stats_of(x, -INFINITY, INFINITY, &s));
	ck_assert(s.std == 0);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(sums_of_parts_add_up_to_the_whole)
{
	static const double scales[] = {1, 1e200, 1e-200};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(10, 7), 5);
	double *v = ebb_data_mutable(x), scale = scales[_i];
	ebb_kernel_stats a, b, all;
	ebb_stats parts, whole, expected;

	v[4] = NAN;
	expected = naive(x, -INFINITY, INFINITY);
	for (int i = 0; i < 70; i++)
		v[i] *= scale;
	ck_assert(ebb_sums_of(ebb_slice(t, x, 0, 0, 4, 1), -0.2, 0.3, &a));
	ck_assert(ebb_sums_of(ebb_slice(t, x, 0, 4, 10, 1), -0.2, 0.3, &b));
	ck_assert(ebb_sums_of(x, -0.2, 0.3, &all));
	ebb_sums_add(&a, &b);
	ebb_sums_add(&a, &(ebb_kernel_stats){0});
	parts = ebb_stats_from(&a);
	whole = ebb_stats_from(&all);
	same(&parts, &whole);
	ck_assert(near(parts.l2 / scale, expected.l2));
	ck_assert(near(parts.std / scale, expected.std));
	ebb_tape_free(t);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(without_memory_for_a_copy_there_are_no_statistics)
{
	counting_allocator a;
	ebb_stats s;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 4), 1);
	ebb_tensor *view = ebb_slice(t, x, 1, 0, 2, 1);

	ck_assert(ebb_stats_of(view, 0, 1, &s));
	counting_allocator_install(&a);
	a.fail_at = 0;
	ck_assert(!ebb_stats_of(view, 0, 1, &s));
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
	ebb_tape_free(t);
	ebb_tensor_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow stats");
	TCase *c = tcase_create("stats");

	tcase_add_loop_test(c, statistics_agree_with_naive_loops, 0, 2);
	tcase_add_test(c, statistics_of_views_agree_with_naive_loops);
	tcase_add_test(c, empty_tensors_have_no_statistics_and_bad_tensors_are_errors);
	tcase_add_test(c, norms_are_right_where_squares_overflow);
	tcase_add_test(c, deviations_of_large_close_numbers_are_right);
	tcase_add_loop_test(c, sums_of_parts_add_up_to_the_whole, 0, 3);
	tcase_add_test(c, without_memory_for_a_copy_there_are_no_statistics);
	suite_add_tcase(s, c);
	return run_suite(s);
}
