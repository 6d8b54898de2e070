/* init.c - initial values: mean and deviation, bounds, orthogonality, determinism. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

typedef struct moments {
	double mean, std, low, high;
} moments;

static moments moments_of(const ebb_tensor *x)
{
	moments m = {.low = INFINITY, .high = -INFINITY};
	int64_t n = ebb_count(x);

	for (int64_t i = 0; i < n; i++) {
		double v = ebb_at(x, i);

		m.mean += v / (double)n;
		m.low = fmin(m.low, v);
		m.high = fmax(m.high, v);
	}
	for (int64_t i = 0; i < n; i++)
		m.std += pow(ebb_at(x, i) - m.mean, 2) / (double)n;
	m.std = sqrt(m.std);
	return m;
}

static ebb_tensor *filled(ebb_dtype dtype, ebb_shape shape, ebb_init init, uint64_t seed)
{
	ebb_tensor *x = ebb_tensor_new(dtype, shape, false, NULL);
	ebb_error e = {0};

	ck_assert_msg(ebb_init_fill(x, &init, seed, 7, &e), "%s", e.message);
	return x;
}

/* fan_in is 32*9 = 288, fan_out 64*9 = 576.  18432 numbers give the deviation to about half a
 * percent. */
START_TEST(mean_deviation_and_bounds_are_as_specified)
{
	const struct {
		ebb_init init;
		double mean, std;
		bool uniform;
	} cases[] = {
		{EBB_INIT(EBB_INIT_DEFAULT), 0, 1 / sqrt(3 * 288), true},
		{EBB_INIT(EBB_INIT_UNIFORM), 0.5, 1 / sqrt(12), true},
		{EBB_INIT(EBB_INIT_UNIFORM, .low = -3, .high = EBB_ZERO), -1.5, 3 / sqrt(12), true},
		{EBB_INIT(EBB_INIT_NORMAL), 0, 1, false},
		{EBB_INIT(EBB_INIT_NORMAL, .mean = 2, .std = 0.1), 2, 0.1, false},
		{EBB_INIT(EBB_INIT_TRUNCATED_NORMAL), 0, 0.8796256610342398, false},
		{EBB_INIT(EBB_INIT_TRUNCATED_NORMAL, .mean = 2, .std = 0.1), 2, 0.08796256610342398,
			false},
		{EBB_INIT(EBB_INIT_KAIMING_UNIFORM), 0, sqrt(2.0 / 288), true},
		{EBB_INIT(EBB_INIT_KAIMING_NORMAL), 0, sqrt(2.0 / 288), false},
		{EBB_INIT(EBB_INIT_KAIMING_NORMAL, .fan_out = true), 0, sqrt(2.0 / 576), false},
		{EBB_INIT(EBB_INIT_KAIMING_NORMAL, .after = EBB_GAIN_LINEAR), 0, sqrt(1.0 / 288),
			false},
		{EBB_INIT(EBB_INIT_KAIMING_UNIFORM, .after = EBB_GAIN_LEAKY_RELU, .slope = sqrt(5)),
			0, sqrt(1.0 / 3 / 288), true},
		{EBB_INIT(EBB_INIT_KAIMING_NORMAL, .gain = 3), 0, sqrt(9.0 / 288), false},
		{EBB_INIT(EBB_INIT_XAVIER_UNIFORM), 0, sqrt(2.0 / 864), true},
		{EBB_INIT(EBB_INIT_XAVIER_NORMAL, .after = EBB_GAIN_TANH), 0,
			5.0 / 3 * sqrt(2.0 / 864), false},
		{EBB_INIT(EBB_INIT_LECUN_NORMAL), 0, sqrt(1.0 / 288), false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (int f64 = 0; f64 < 2; f64++) {
			ebb_tensor *x = filled(
				f64 ? EBB_F64 : EBB_F32, EBB_SHAPE(64, 32, 3, 3), cases[i].init, 3);
			moments m = moments_of(x);
			double far = (cases[i].uniform ? sqrt(3) : 5.5) * cases[i].std;

			ck_assert_msg(fabs(m.mean - cases[i].mean) < 0.03 * cases[i].std,
				"case %zu: mean %g, expected %g", i, m.mean, cases[i].mean);
			ck_assert_msg(fabs(m.std / cases[i].std - 1) < 0.02,
				"case %zu: deviation %g, expected %g", i, m.std, cases[i].std);
			ck_assert_msg(m.high - cases[i].mean <= far * 1.000001 &&
					      cases[i].mean - m.low <= far * 1.000001,
				"case %zu: from %g to %g", i, m.low, m.high);
			/* Uniform values come near the bounds, normal ones exceed them. */
			ck_assert_msg(m.high - cases[i].mean > 0.99 * sqrt(3) * cases[i].std,
				"case %zu: up to %g", i, m.high);
			ebb_tensor_free(x);
		}
	}
}
END_TEST

/* Numbers within the bounds are those of the normal distribution; the others are drawn again. */
START_TEST(truncated_normal_numbers_are_within_two_deviations)
{
	for (int f64 = 0; f64 < 2; f64++) {
		ebb_dtype dtype = f64 ? EBB_F64 : EBB_F32;
		ebb_tensor *x = filled(dtype, EBB_SHAPE(20000),
			EBB_INIT(EBB_INIT_TRUNCATED_NORMAL, .mean = -1, .std = 0.5), 3);
		ebb_tensor *y = filled(dtype, EBB_SHAPE(20000),
			EBB_INIT(EBB_INIT_NORMAL, .mean = -1, .std = 0.5), 3);
		ebb_init none = EBB_INIT(EBB_INIT_TRUNCATED_NORMAL, .mean = 0.1, .std = EBB_ZERO);
		moments m = moments_of(x);
		int again = 0;

		ck_assert(m.low >= -2 && m.high <= 0);
		ck_assert(m.low < -1.99 && m.high > -0.01);
		for (int64_t i = 0; i < 20000; i++) {
			if (fabs(ebb_at(y, i) + 1) <= 1)
				ck_assert(ebb_at(x, i) == ebb_at(y, i));
			else
				again++;
		}
		/* 4.55 % of normal numbers are beyond two deviations. */
		ck_assert_int_gt(again, 800);
		ck_assert_int_lt(again, 1020);
		/* The F32 number nearest to 0.1 is the only result, although it is not 0.1. */
		ck_assert(ebb_init_fill(x, &none, 0, 0, NULL));
		m = moments_of(x);
		ck_assert(m.low == m.high && fabs(m.low - 0.1) < 1e-8);
		ebb_tensor_free(x);
		ebb_tensor_free(y);
	}
}
END_TEST

START_TEST(zeros_and_constants_fill_one_value)
{
	ebb_tensor *x = filled(EBB_F32, EBB_SHAPE(5), EBB_INIT(EBB_INIT_CONSTANT, .value = 2.5), 0);
	ebb_init zeros = EBB_INIT(EBB_INIT_ZEROS),
		 none = EBB_INIT(EBB_INIT_CONSTANT, .value = EBB_ZERO);

	ck_assert(moments_of(x).low == 2.5 && moments_of(x).high == 2.5);
	ck_assert(ebb_init_fill(x, &zeros, 0, 0, NULL) && moments_of(x).high == 0);
	ck_assert(ebb_init_fill(x, &none, 0, 0, NULL) && moments_of(x).low == 0);
	ebb_tensor_free(x);
}
END_TEST

/* The rows (or columns, if there are fewer) have the Gram matrix gain^2 times the identity. */
static void check_orthogonal(ebb_dtype dtype, ebb_shape shape, double gain, double tolerance)
{
	ebb_tensor *x = filled(dtype, shape, EBB_INIT(EBB_INIT_ORTHOGONAL, .gain = gain), 11);
	int64_t rows = shape.dims[0], columns = ebb_count(x) / rows;
	bool wide = rows < columns;
	int64_t k = wide ? rows : columns, n = wide ? columns : rows;

	for (int64_t i = 0; i < k; i++) {
		for (int64_t j = 0; j <= i; j++) {
			double sum = 0;

			for (int64_t c = 0; c < n; c++)
				sum += wide ? ebb_at(x, i * columns + c) *
				                       ebb_at(x, j * columns + c)
				            : ebb_at(x, c * columns + i) *
				                       ebb_at(x, c * columns + j);
			ck_assert_msg(fabs(sum - (i == j ? gain * gain : 0)) < tolerance,
				"[%lld,%lld]: %.17g", (long long)i, (long long)j, sum);
		}
	}
	ebb_tensor_free(x);
}

START_TEST(orthogonal_init_is_orthonormal_times_gain)
{
	check_orthogonal(EBB_F64, EBB_SHAPE(16, 3, 3, 3), 1, 1e-14);
	check_orthogonal(EBB_F64, EBB_SHAPE(40, 12), sqrt(2), 1e-14);
	check_orthogonal(EBB_F64, EBB_SHAPE(64, 64), 1, 1e-13);
	check_orthogonal(EBB_F32, EBB_SHAPE(32, 48), 1, 1e-6);
	check_orthogonal(EBB_F64, EBB_SHAPE(1, 1), 2, 1e-14);
	check_orthogonal(EBB_F64, EBB_SHAPE(1, 7), 1, 1e-14);
}
END_TEST

START_TEST(channels_last_tensors_are_filled_in_row_major_order)
{
	ebb_init init = EBB_INIT(EBB_INIT_ORTHOGONAL);
	ebb_tensor *rows = filled(EBB_F32, EBB_SHAPE(4, 3, 2, 2), init, 5);
	ebb_tensor *last = ebb_tensor_new(EBB_F32, EBB_SHAPE(4, 3, 2, 2), true, NULL);

	ck_assert(ebb_init_fill(last, &init, 5, 7, NULL));
	ck_assert(all_same(rows, last));
	ebb_tensor_free(rows);
	ebb_tensor_free(last);
}
END_TEST

START_TEST(initial_values_depend_on_seed_and_name_alone)
{
	ebb_init normal = EBB_INIT(EBB_INIT_NORMAL);
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(1), *r = ebb_params_new(2);
	ebb_tensor *a, *b, *c, *d;

	a = ebb_params_add(p, "net.a", EBB_SHAPE(8, 8), normal);
	b = ebb_params_add(p, "net.b", EBB_SHAPE(8, 8), normal);
	/* Added in another order, and through a view. */
	ebb_params_add(q, "other", EBB_SHAPE(100), normal);
	c = ebb_params_add(ebb_params_sub(q, "net"), "a", EBB_SHAPE(8, 8), normal);
	d = ebb_params_add(r, "net.a", EBB_SHAPE(8, 8), normal);
	ck_assert(all_same(a, c));
	ck_assert(!all_same(a, b));
	ck_assert(!all_same(a, d));
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_params_free(r);
}
END_TEST

START_TEST(gains_are_pytorchs)
{
	ck_assert(ebb_gain(EBB_GAIN_LINEAR, 0) == 1 && ebb_gain(EBB_GAIN_SIGMOID, 0) == 1);
	ck_assert_double_eq_tol(ebb_gain(EBB_GAIN_TANH, 0), 5.0 / 3, 1e-15);
	ck_assert_double_eq_tol(ebb_gain(EBB_GAIN_RELU, 0), sqrt(2), 1e-15);
	ck_assert_double_eq_tol(ebb_gain(EBB_GAIN_LEAKY_RELU, 0), sqrt(2 / (1 + 1e-4)), 1e-15);
	ck_assert_double_eq_tol(ebb_gain(EBB_GAIN_LEAKY_RELU, EBB_ZERO), sqrt(2), 1e-15);
	ck_assert_double_eq_tol(ebb_gain(EBB_GAIN_LEAKY_RELU, 1), 1, 1e-15);
}
END_TEST

START_TEST(initialisers_are_found_by_name)
{
	ebb_error e = {0};

	ck_assert_int_eq(ebb_init_named("kaiming_normal", &e).kind, EBB_INIT_KAIMING_NORMAL);
	ck_assert_int_eq(ebb_init_named("orthogonal", &e).kind, EBB_INIT_ORTHOGONAL);
	ck_assert_int_eq(ebb_init_named("default", &e).kind, EBB_INIT_DEFAULT);
	ck_assert_int_eq(e.status, EBB_OK);
	ck_assert_int_eq(ebb_init_named("he", &e).kind, EBB_INIT_DEFAULT);
	ck_assert_int_eq(e.status, EBB_INVALID);
	ck_assert(strstr(e.message, "\"he\"") && strstr(e.message, "xavier_uniform"));
	ebb_init_named(NULL, NULL);
}
END_TEST

START_TEST(bad_arguments_are_errors)
{
	const ebb_init bad[] = {
		EBB_INIT(EBB_INIT_NORMAL, .std = -1),
		EBB_INIT(EBB_INIT_NORMAL, .mean = NAN),
		EBB_INIT(EBB_INIT_CONSTANT, .value = INFINITY),
		EBB_INIT(EBB_INIT_UNIFORM, .low = 1, .high = -1),
		EBB_INIT(EBB_INIT_KAIMING_NORMAL, .gain = -2),
		EBB_INIT((ebb_init_kind)99),
	};
	ebb_init normal = EBB_INIT(EBB_INIT_NORMAL), kaiming = EBB_INIT(EBB_INIT_KAIMING_NORMAL);
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 2), false, NULL);
	ebb_tensor *labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(2), false, NULL);
	ebb_tensor *line = ebb_tensor_new(EBB_F32, EBB_SHAPE(2), false, NULL);
	ebb_tensor *empty = ebb_tensor_new(EBB_F32, EBB_SHAPE(0, 3), false, NULL);
	ebb_error e = {0};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e = (ebb_error){0};
		ck_assert(!ebb_init_fill(x, &bad[i], 0, 0, &e));
		ck_assert_msg(e.status == EBB_INVALID && e.message[0], "case %zu", i);
		ck_assert(ebb_at(x, 0) == 0);
	}
	e = (ebb_error){0};
	ck_assert(!ebb_init_fill(labels, &normal, 0, 0, &e) && e.status == EBB_BAD_DTYPE);
	e = (ebb_error){0};
	ck_assert(!ebb_init_fill(line, &kaiming, 0, 0, &e) && e.status == EBB_BAD_SHAPE);
	e = (ebb_error){0};
	ck_assert(!ebb_init_fill(NULL, &kaiming, 0, 0, &e) && e.status == EBB_INVALID);
	ck_assert(!ebb_init_fill(x, NULL, 0, 0, NULL));
	ck_assert(ebb_init_fill(empty, &kaiming, 0, 0, NULL));
	ebb_tensor_free(x);
	ebb_tensor_free(labels);
	ebb_tensor_free(line);
	ebb_tensor_free(empty);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-init");
	TCase *c = tcase_create("init");
	tcase_set_timeout(c, 60);

	tcase_add_test(c, mean_deviation_and_bounds_are_as_specified);
	tcase_add_test(c, truncated_normal_numbers_are_within_two_deviations);
	tcase_add_test(c, zeros_and_constants_fill_one_value);
	tcase_add_test(c, orthogonal_init_is_orthonormal_times_gain);
	tcase_add_test(c, channels_last_tensors_are_filled_in_row_major_order);
	tcase_add_test(c, initial_values_depend_on_seed_and_name_alone);
	tcase_add_test(c, gains_are_pytorchs);
	tcase_add_test(c, initialisers_are_found_by_name);
	tcase_add_test(c, bad_arguments_are_errors);
	suite_add_tcase(s, c);
	return run_suite(s);
}
