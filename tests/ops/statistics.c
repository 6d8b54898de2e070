/* statistics.c - normalisation of numbers that are far from 0 and close to each other, and of very
 * large and small numbers. */
#include "tests/ops/ops_test.h"

enum { N = 3, C = 4, PLANE = 6, COUNT = N * C * PLANE, GROUPS = 2 };

static const ebb_shape SHAPE = {4, {N, C, 3, 2}};

typedef enum kind { BATCH, BATCH_RELU, GROUP, INSTANCE, LAYER, RMS, KINDS } kind;

static const char *const NAMES[] = {
	"batchnorm", "batchnorm_relu", "groupnorm", "instancenorm", "layernorm", "rmsnorm"};

static ebb_tensor *norm(
	ebb_tape *t, kind k, ebb_tensor *x, ebb_tensor *weight, ebb_tensor *bias, double eps)
{
	switch (k) {
	case BATCH:
		return ebb_batchnorm(t, x, weight, bias, .eps = eps);
	case BATCH_RELU: /* the residual keeps values positive, so that ReLU changes nothing */
		return ebb_batchnorm_relu(t, x, weight, bias, .eps = eps,
			.residual = ebb_full(t, ebb_shape_of(x), 1000));
	case GROUP:
		return ebb_groupnorm(t, x, ebb_size(x, 1) % GROUPS ? ebb_size(x, 1) : GROUPS,
			weight, bias, .eps = eps);
	case INSTANCE:
		return ebb_instancenorm(t, x, weight, bias, .eps = eps);
	case LAYER:
		return ebb_layernorm(t, x, weight, bias, .axes = ebb_ndim(x) - 1, .eps = eps);
	default:
		return ebb_rmsnorm(t, x, weight, .axes = ebb_ndim(x) - 1, .eps = eps);
	}
}

static ebb_shape weight_shape(kind k)
{
	return k < LAYER ? EBB_SHAPE(C) : EBB_SHAPE(C, 3, 2);
}

/* The number of the set of elements that element i is normalised with. */
static int set_of(kind k, int i)
{
	int n = i / (C * PLANE), c = i / PLANE % C;

	switch (k) {
	case GROUP:
		return n * GROUPS + c / (C / GROUPS);
	case INSTANCE:
		return n * C + c;
	case LAYER:
	case RMS:
		return n;
	default:
		return c;
	}
}

static int weight_of(kind k, int i)
{
	return k < LAYER ? i / PLANE % C : i % (C * PLANE);
}

static double type_epsilon(ebb_dtype dtype)
{
	return dtype == EBB_F64 ? 0x1p-52 : 0x1p-23;
}

static double above(ebb_dtype dtype, double x)
{
	return dtype == EBB_F64 ? nextafter(x, INFINITY) : (double)nextafterf((float)x, INFINITY);
}

static double rounded(ebb_dtype dtype, double x)
{
	return dtype == EBB_F64 ? x : (double)(float)x;
}

static const double ABOUT[] = {100, 1e4, 1e6, 1e10 / 3, -1e6};
enum { ABOUTS = sizeof ABOUT / sizeof *ABOUT };

static ebb_tape *tape_of(ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();

	ebb_set_default_dtype(t, dtype);
	return t;
}

static void all_are(const ebb_tensor *x, double value, const char *what, double about)
{
	ck_assert_int_gt(ebb_count(x), 0);
	for (int64_t i = 0; i < ebb_count(x); i++)
		ck_assert_msg(ebb_at(x, i) == value, "%s of %g: %.17g at %d, expected %g", what,
			about, ebb_at(x, i), (int)i, value);
}

/* A constant x is normalised to the bias, and the weight's gradient is 0. */
static void constant(ebb_dtype dtype, kind k, ebb_shape shape, double about)
{
	ebb_tape *t = tape_of(dtype);
	ebb_shape of_weight = k < LAYER ? EBB_SHAPE(shape.dims[1]) : shape;
	ebb_tensor *x = ebb_variable(t, ebb_full(t, shape, about)), *weight, *bias, *y, *g[2];
	ebb_tensor *in[2] = {x, NULL};
	double lift = k == BATCH_RELU ? 1000 : 0;

	if (k >= LAYER) {
		for (int d = 1; d < shape.ndim; d++)
			of_weight.dims[d - 1] = shape.dims[d];
		of_weight.ndim--;
	}
	all_are(norm(t, k, x, NULL, NULL, 0), lift, NAMES[k], about);
	weight = in[1] = ebb_variable(t, ebb_full(t, of_weight, 3));
	bias = ebb_full(t, of_weight, 0.5);
	y = norm(t, k, x, weight, bias, 0);
	all_are(y, lift + 0.5, NAMES[k], about);
	for (int recorded = 0; recorded < 2; recorded++) {
		ck_assert(ebb_grad(t, ebb_sum(t, ebb_mul(t, y, ebb_rand(t, shape))), 2, in, g,
			.create_graph = recorded));
		all_are(g[1], 0, "the weight's gradient", about);
		for (int64_t i = 0; i < ebb_count(x); i++)
			ck_assert(isfinite(ebb_at(g[0], i)));
	}
	assert_healthy(t);
	ebb_tape_free(t);
}

START_TEST(constants_are_normalised_to_the_bias)
{
	const ebb_shape shapes[] = {{4, {10, 5, 10, 10}}, {2, {37, 5}}, {3, {2, 70, 3}}};

	for (int k = 0; k < RMS; k++)
		for (int i = 0; i < 3 * ABOUTS * 2; i++)
			constant(i % 2 ? EBB_F32 : EBB_F64, (kind)k, shapes[i / 2 % 3],
				ABOUT[i / 6]);
}
END_TEST

/* x alternates between two adjacent numbers of the type, so that their mean is not
 * representable. */
static void neighbours(ebb_dtype dtype, kind k, double about)
{
	ebb_tape *t = tape_of(dtype);
	double low = rounded(dtype, about), values[60], lift = k == BATCH_RELU ? 1000 : 0;
	ebb_tensor *x, *y;

	for (int i = 0; i < 60; i++)
		values[i] = i / 6 % 2 ? above(dtype, low) : low;
	/* [10,6]; for normalisation by sample, one sample of 6 channels */
	x = ebb_from_f64(t, EBB_SHAPE(10, 6), values);
	if (k >= GROUP)
		x = ebb_unsqueeze(t, ebb_transpose(t, x, 0, 1), 0);
	y = norm(t, k, x, NULL, NULL, EBB_ZERO);
	for (int i = 0; i < 60; i++)
		ck_assert_double_eq_tol(ebb_at(y, i), lift + (ebb_at(x, i) > low ? 1 : -1),
			(lift + 8) * type_epsilon(dtype));
	assert_healthy(t);
	ebb_tape_free(t);
}

START_TEST(adjacent_numbers_are_told_apart)
{
	for (int k = 0; k < RMS; k++)
		for (int i = 0; i < 2 * ABOUTS; i++)
			neighbours(i % 2 ? EBB_F32 : EBB_F64, (kind)k, ABOUT[i / 2]);
}
END_TEST

START_TEST(a_million_and_a_million_and_one_are_told_apart)
{
	const double values[] = {1e6, 1e6 + 1, 1e6, 1e6 + 1};

	for (int k = 0; k < 2; k++) {
		ebb_tape *t = tape_of(k ? EBB_F32 : EBB_F64);
		ebb_tensor *rows = ebb_from_f64(t, EBB_SHAPE(4, 1), values),
			   *row = ebb_from_f64(t, EBB_SHAPE(1, 1, 4), values), *y;

		for (int i = 0; i < KINDS; i++) {
			if (i == BATCH_RELU || i == RMS)
				continue;
			y = i == BATCH   ? ebb_batchnorm(t, rows)
			    : i == GROUP ? ebb_groupnorm(t, row, .groups = 1)
			    : i == LAYER ? ebb_layernorm(t, row)
			                 : ebb_instancenorm(t, row);
			for (int j = 0; j < 4; j++) /* (1/2)/sqrt(1/4 + 1e-5) */
				ck_assert_double_eq_tol(
					ebb_at(y, j), j % 2 ? 0.99998 : -0.99998, 5e-7);
		}
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

/* The running mean is close to x: plain, with residual and ReLU, and in-place. */
static void evaluation(ebb_dtype dtype, double about)
{
	enum { BATCHES = 40, COLS = 5 };
	ebb_tape *t = tape_of(dtype);
	double values[BATCHES * COLS], means[COLS], variances[COLS], mean = rounded(dtype, about);
	ebb_tensor *x, *m, *v, *w, *y, *g;

	ebb_set_training(t, false);
	for (int i = 0; i < BATCHES * COLS; i++) {
		values[i] = mean;
		for (int k = i / COLS % 4; k > 0; k--)
			values[i] = above(dtype, values[i]);
		means[i % COLS] = mean;
		variances[i % COLS] = 0x1p-40 * (1 + i % COLS);
	}
	m = ebb_from_f64(t, EBB_SHAPE(COLS), means);
	v = ebb_from_f64(t, EBB_SHAPE(COLS), variances);
	w = ebb_variable(t, ebb_ones(t, EBB_SHAPE(COLS)));
	x = ebb_from_f64(t, EBB_SHAPE(BATCHES, COLS), values);
	for (int variant = 0; variant < 3; variant++) {
		if (variant == 0)
			y = ebb_batchnorm(t, x, w, .running_mean = m, .running_var = v);
		else if (variant == 1)
			y = ebb_batchnorm_relu(t, x, w, .running_mean = m, .running_var = v,
				.residual = ebb_zeros_like(t, x));
		else
			y = ebb_batchnorm(t, ebb_mul_scalar(t, x, 1), w, .running_mean = m,
				.running_var = v, .inplace = true);
		for (int i = 0; i < BATCHES * COLS; i++) {
			double want = (values[i] - mean) / sqrt(variances[i % COLS] + 1e-5);

			ck_assert_double_eq_tol(
				ebb_at(y, i), want, 8 * type_epsilon(dtype) * (want + 1e-9));
		}
		for (int recorded = 0; recorded < 2; recorded++) {
			ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &w, &g, .create_graph = recorded));
			for (int k = 0; k < COLS; k++) {
				double sum = 0;

				for (int i = k; i < BATCHES * COLS; i += COLS)
					sum += (values[i] - mean) / sqrt(variances[k] + 1e-5);
				ck_assert_double_eq_tol(
					ebb_at(g, k), sum, 64 * type_epsilon(dtype) * sum);
			}
		}
	}
	assert_healthy(t);
	ebb_tape_free(t);
}

START_TEST(running_means_are_subtracted_without_cancellation)
{
	for (int i = 0; i < 2 * ABOUTS; i++)
		evaluation(i % 2 ? EBB_F32 : EBB_F64, ABOUT[i / 2]);
}
END_TEST

/* ---- Gradients of both orders ---------------------------------------------------------------- */

/* The first gradients are those of sum gy*y; the second ones those of sum v*(the gradient by x). */
typedef struct setting {
	kind k;
	ebb_dtype dtype;
	double offset, eps; /* x = 2^size*x0 + offset */
	int size;
	const double *x, *weight, *gy, *v;
} setting;

enum { Y, GX, GW, HX, HW, HG, RESULTS };
static const char *const RESULT_NAMES[] = {"y", "gradient by x", "gradient by the weight",
	"second derivative by x", "second derivative by the weight", "second derivative by gy"};

typedef struct results {
	double v[RESULTS][COUNT];
	int n[RESULTS];
} results;

/* Copies a result and scales it back from x to x0. */
static void take(results *r, int which, const ebb_tensor *x, int size)
{
	ck_assert(x != NULL);
	r->n[which] = (int)ebb_count(x);
	for (int i = 0; i < r->n[which]; i++)
		r->v[which][i] = ldexp(ebb_at(x, i), size);
}

static void run(const setting *s, bool recorded, results *r)
{
	ebb_tape *t = tape_of(s->dtype);
	ebb_tensor *in[3], *y, *g[2], *h[3], *v;
	double values[COUNT], scaled[COUNT];

	for (int i = 0; i < COUNT; i++) {
		values[i] = ldexp(s->x[i], s->size) + s->offset;
		scaled[i] = ldexp(s->v[i], s->size);
	}
	in[0] = ebb_variable(t, ebb_from_f64(t, SHAPE, values));
	in[1] = ebb_variable(t, ebb_from_f64(t, weight_shape(s->k), s->weight));
	in[2] = ebb_variable(t, ebb_from_f64(t, SHAPE, s->gy));
	v = ebb_from_f64(t, SHAPE, scaled);
	y = norm(t, s->k, in[0], in[1], NULL, s->eps);
	ck_assert_msg(ebb_grad(t, y, 2, in, g, in[2], .create_graph = recorded), "%s",
		ebb_error_message(t));
	take(r, Y, s->k == BATCH_RELU ? ebb_add_scalar(t, y, -1000) : y, 0);
	take(r, GX, g[0], s->size);
	take(r, GW, g[1], 0);
	if (recorded) {
		ck_assert(ebb_grad(t, ebb_sum(t, ebb_mul(t, g[0], v)), 3, in, h));
		take(r, HX, h[0], s->size);
		take(r, HW, h[1], 0);
		take(r, HG, h[2], 0);
	}
	assert_healthy(t);
	ebb_tape_free(t);
}

/* Computes y and the first gradients by their formulas. */
static void by_formula(const setting *s, results *r)
{
	long double eps = s->eps == EBB_ZERO ? 0 : (long double)s->eps;

	for (int i = 0; i < C * PLANE; i++)
		r->v[GW][i] = 0;
	for (int set = 0; set < N * C; set++) {
		long double n = 0, mean = 0, var = 0, inv, sum = 0, dot = 0;

		for (int i = 0; i < COUNT; i++) {
			n += set_of(s->k, i) == set;
			mean += set_of(s->k, i) == set && s->k != RMS ? s->x[i] : 0;
		}
		mean /= n;
		for (int i = 0; i < COUNT; i++)
			if (set_of(s->k, i) == set)
				var += (s->x[i] - mean) * (s->x[i] - mean) / n;
		inv = 1 / sqrtl(var + eps);
		for (int pass = 0; pass < 2; pass++)
			for (int i = 0; i < COUNT; i++) {
				long double xh = (s->x[i] - mean) * inv,
					    g = (long double)s->gy[i] *
				                s->weight[weight_of(s->k, i)];

				if (set_of(s->k, i) != set)
					continue;
				if (pass == 0) {
					sum += s->k == RMS ? 0 : g / n;
					dot += g * xh / n;
					r->v[GW][weight_of(s->k, i)] += (double)(s->gy[i] * xh);
					continue;
				}
				r->v[Y][i] = (double)(xh * s->weight[weight_of(s->k, i)]);
				r->v[GX][i] = (double)(inv * (g - sum - xh * dot));
			}
	}
}

static void compare(const setting *s, const results *got, const results *want, int from, int to,
	double tolerance)
{
	for (int k = from; k <= to; k++) {
		double most = 0;

		for (int i = 0; i < got->n[k]; i++)
			most = fmax(most, fabs(want->v[k][i]));
		for (int i = 0; i < got->n[k]; i++)
			ck_assert_msg(
				fabs(got->v[k][i] - want->v[k][i]) <= tolerance * (most + 1e-3),
				"%s %s, offset %g, size %d: %s is %.9g, expected %.9g", NAMES[s->k],
				ebb_dtype_name(s->dtype), s->offset, s->size, RESULT_NAMES[k],
				got->v[k][i], want->v[k][i]);
	}
}

/* Compares results with and without create_graph with the formulas, and second derivatives with
 * those of x0 near 0 in double. */
static void check_results(setting s)
{
	static double weight[C * PLANE], x[COUNT], gy[COUNT], v[COUNT];
	setting plain;
	results got, want;
	uint64_t state = 5;

	/* Multiples of 1/16, so that adding the offset is exact. */
	for (int i = 0; i < COUNT; i++) {
		x[i] = (double)(test_random(&state) % 64) / 16 - 2;
		gy[i] = (double)(test_random(&state) % 64) / 32 - 1;
		v[i] = (double)(test_random(&state) % 64) / 32 - 1;
		weight[i % (C * PLANE)] = (double)(test_random(&state) % 64) / 32 - 1;
	}
	s.x = x;
	s.gy = gy;
	s.v = v;
	s.weight = weight;
	plain = s;
	plain.dtype = EBB_F64;
	plain.offset = 0;
	plain.size = 0;
	run(&plain, true, &want);
	by_formula(&plain, &want);
	/* The residual that keeps batchnorm_relu's values positive costs digits. */
	for (int recorded = 0; recorded < 2; recorded++) {
		run(&s, recorded, &got);
		compare(&s, &got, &want, Y, Y,
			(s.k == BATCH_RELU ? 2048 : 32) * type_epsilon(s.dtype));
		compare(&s, &got, &want, GX, recorded ? HG : GW, 128 * type_epsilon(s.dtype));
	}
}

START_TEST(offsets_do_not_change_derivatives)
{
	const double offsets[] = {1000, 1e6, -1e6, 0x1p48};

	for (int k = 0; k < RMS; k++)
		for (int i = 0; i < 8; i++)
			if (i % 2 || i / 2 < 3) /* 2^48 + 1/16 is a double */
				check_results((setting){.k = (kind)k,
					.dtype = i % 2 ? EBB_F64 : EBB_F32,
					.offset = offsets[i / 2],
					.eps = 1e-3});
}
END_TEST

/* The values are near 1e20 and 1e-25, and in double near 1e200 and 1e-200. */
START_TEST(scaling_x_scales_derivatives_exactly)
{
	const int sizes[] = {0, 66, -84, 664, -665};

	for (int k = 0; k < KINDS; k++)
		for (int i = 0; i < 10; i++)
			if (i % 2 || i / 2 < 3)
				check_results((setting){.k = (kind)k,
					.dtype = i % 2 ? EBB_F64 : EBB_F32,
					.size = sizes[i / 2],
					.eps = EBB_ZERO});
}
END_TEST

/* x/(k + alpha*x^2)^beta, where x^2 overflows or underflows in the type. */
START_TEST(local_response_norm_is_right_for_any_magnitude)
{
	const double sizes[] = {1, 1e20, 1e25, 1e-25};

	for (int i = 0; i < 8; i++) {
		ebb_dtype dtype = i % 2 ? EBB_F64 : EBB_F32;
		ebb_tape *t = tape_of(dtype);
		double x = sizes[i / 2], want = x * pow(1e-2 * x, -1.5);
		ebb_tensor *y;

		y = ebb_local_response_norm(
			t, ebb_full(t, EBB_SHAPE(2, 3, 2), x), 1, .k = EBB_ZERO);
		for (int k = 0; k < 12; k++)
			ck_assert_double_eq_tol(ebb_at(y, k) / want, 1, 8 * type_epsilon(dtype));
		assert_healthy(t);
		ebb_tape_free(t);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("statistics");
	TCase *c = tcase_create("statistics");

	tcase_add_test(c, constants_are_normalised_to_the_bias);
	tcase_add_test(c, adjacent_numbers_are_told_apart);
	tcase_add_test(c, a_million_and_a_million_and_one_are_told_apart);
	tcase_add_test(c, running_means_are_subtracted_without_cancellation);
	tcase_add_test(c, offsets_do_not_change_derivatives);
	tcase_add_test(c, scaling_x_scales_derivatives_exactly);
	tcase_add_test(c, local_response_norm_is_right_for_any_magnitude);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	return run_suite(s);
}
