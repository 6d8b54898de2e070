/*
 * test_elementwise.c - functions of one operand, and the conversions, against libm.
 */
#include "kernel_test.h"

static double sigmoid(double x)
{
	return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

/* x*slope, but 0 where the slope is, at -infinity too. */
static double gated(double x, double slope)
{
	return slope == 0 ? 0 : x * slope;
}

/* 1 - tanh^2 as 1/cosh^2, which does not cancel */
static double mish_slope(double x)
{
	double soft = (x < 0 ? 0 : x) + log1p(exp(-fabs(x))), c = cosh(soft);

	return tanh(soft) + (c < 1e150 ? gated(x, sigmoid(x)) / (c * c) : 0);
}

/* s + x*s*(1 - s)*u', s = sigmoid(u) */
static double gated_slope(double x, double u, double du)
{
	return sigmoid(u) + gated(x * du, sigmoid(u) * sigmoid(-u));
}

static double unary(ebb_unary_fn f, double x, double a, double b)
{
	const double pi = acos(-1), k = 2 * sqrt(2 / pi);

	switch (f) {
	case EBB_NEG:
		return -x;
	case EBB_ABS:
		return fabs(x);
	case EBB_SIGN:
		return isnan(x) ? x : (x > 0) - (x < 0);
	case EBB_EXP:
		return exp(x);
	case EBB_LOG:
		return log(x);
	case EBB_EXPM1:
		return expm1(x);
	case EBB_LOG1P:
		return log1p(x);
	case EBB_SQRT:
		return sqrt(x);
	case EBB_RECIPROCAL:
		return 1 / x;
	case EBB_RSQRT:
		return 1 / (sqrt(x) + 0);
	case EBB_SQUARE:
		return x * x;
	case EBB_FLOOR:
		return floor(x);
	case EBB_SIN:
		return sin(x);
	case EBB_COS:
		return cos(x);
	case EBB_TANH:
		return tanh(x);
	case EBB_ERF:
		return erf(x);
	case EBB_SIGMOID:
		return sigmoid(x);
	case EBB_SOFTPLUS:
		return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
	case EBB_SILU:
		return gated(x, sigmoid(x));
	case EBB_SILU_SLOPE:
		return gated_slope(x, x, 1);
	case EBB_LOGSIGMOID:
		return (x > 0 ? 0 : x) - log1p(exp(-fabs(x)));
	case EBB_MISH:
		return gated(x, tanh(unary(EBB_SOFTPLUS, x, 0, 0)));
	case EBB_MISH_SLOPE:
		return mish_slope(x);
	case EBB_HARDSWISH:
		return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6;
	case EBB_SOFTSIGN:
		return isinf(x) ? copysign(1, x) : x / (1 + fabs(x));
	case EBB_HUBER:
		return fabs(x) <= a ? x * x / 2 : a * (fabs(x) - a / 2);
	case EBB_GELU:
		return gated(x, 0.5 * erfc(-x * sqrt(0.5)));
	case EBB_GELU_SLOPE:
		return 0.5 * erfc(-x * sqrt(0.5)) + gated(x, exp(-x * x / 2) / sqrt(2 * pi));
	case EBB_GELU_TANH_SLOPE:
		return gated_slope(x, k * (x + 0.044715 * x * x * x), k * (1 + 0.134145 * x * x));
	case EBB_GAUSS:
		return b * exp(-a * x * x);
	case EBB_GELU_TANH:
		return gated(x, sigmoid(k * (x + 0.044715 * x * x * x)));
	case EBB_RELU:
		return x < 0 ? 0 : x;
	case EBB_LEAKY_RELU:
		return x > 0 ? x : a * x;
	case EBB_ELU:
		return x > 0 ? x : a * expm1(x);
	case EBB_SELU:
		return b * (x > 0 ? x : a * expm1(x));
	case EBB_CLAMP:
		return isnan(x) ? x : fmin(fmax(x, a), b);
	case EBB_ADD_SCALAR:
		return x + a;
	case EBB_MUL_SCALAR:
		return x * a;
	case EBB_POW_SCALAR:
		return x < 0 && floor(a) != a ? NAN : pow(x, a);
	case EBB_RSUB_SCALAR:
		return a - x;
	case EBB_STEP:
		return x > a;
	case EBB_INSIDE:
		return a <= x && x <= b;
	case EBB_IS_EQUAL:
		return x == a;
	case EBB_UNARY_COUNT:
		break;
	}
	ck_abort();
}

/* The reference, rounded to the table's type; overflow is its own. */
static double wanted(ebb_unary_fn f, double x, double a, double b)
{
	double y = unary(f, x, a, b);

	return f64 ? y : (double)(float)y;
}

/* Where the result is tiny, the relative error counts too, down to the smallest normal number. */
static bool close_to(double got, double want, double x, double tol)
{
	double least = f64 ? 2.2250738585072014e-308 : 1.17549435e-38;

	if (isnan(got) || isnan(want) || isinf(got) || isinf(want))
		return near(got, want, tol);
	return fabs(got - want) <=
	       2 * tol * epsilon() * (fabs(want) + (isfinite(x) ? least * (1 + fabs(x)) : 0));
}

static void functions(void)
{
	static const double special[] = {0, -0.0, 1, -1, 2, -2, 0.5, -0.5, INFINITY, -INFINITY, NAN,
		1e-30, -1e-30, 1e30, -1e30, 1e-40, 88.7, 89.5, -87, -88, -95, -103.9, -104.5, 20,
		-20, 9.1, 0.3, 3, -3};
	enum { SPECIAL = sizeof special / sizeof special[0], N = 1000 };
	static const double exponents[] = {2, 3, -1, 0.5, 1, 0, -2, 1.7, 4, -0.5};

	for (int f = 0; f < EBB_UNARY_COUNT; f++) {
		for (int e = 0; e < (f == EBB_POW_SCALAR ? 10 : 1); e++) {
			double a = f == EBB_POW_SCALAR ? exponents[e] : f == EBB_GAUSS ? 0.5 : 0.25;
			double b = 0.75;
			bool gelu = f >= EBB_GELU && f <= EBB_GAUSS;
			bool slope = f == EBB_SILU_SLOPE || f == EBB_MISH_SLOPE ||
			             f == EBB_GELU_SLOPE || f == EBB_GELU_TANH_SLOPE;
			void *x = reals(N), *y = reals(N);

			for (int i = 0; i < N; i++) {
				double scale = i % 3 == 0 ? 1 : i % 3 == 1 ? 10 : 60;

				set(x, i, i < SPECIAL ? special[i] : any_real() * scale);
			}
			K->unary((ebb_unary_fn)f, N, x, y, a, b);
			for (int i = 0; i < N; i++) {
				double v = get(x, i), want = wanted((ebb_unary_fn)f, v, a, b);

				/* in its tail the exponent's rounding is magnified */
				double tol = gelu ? 16 + 4 * fmin(v * v, 800) : 6;

				/* two terms that cancel near -1.2 and -0.75 */
				if (slope && fabs(v + 1) < 1)
					tol *= 1 + 1 / fabs(want);
				if ((f == EBB_SIN || f == EBB_COS) && fabs(v) > 1e6)
					continue;
				if (!close_to(get(y, i), want, v, tol))
					ck_abort_msg("%s %s: function %d of %.9g (a %g): got "
						     "%.17g, want "
						     "%.17g",
						K->isa, f64 ? "f64" : "f32", f, v, a, get(y, i),
						want);
			}
			/* one by one, shifted, and in place: the same bits */
			for (int i = 0; i < 100; i++) {
				void *one = bytes(K->real_size);
				char *from = (char *)x + (size_t)i * K->real_size;

				K->unary((ebb_unary_fn)f, 1, from, one, a, b);
				expect(memcmp(one, (char *)y + (size_t)i * K->real_size,
					       K->real_size) == 0 ||
					isnan(get(one, 0)));
			}
			K->unary((ebb_unary_fn)f, N, x, x, a, b);
			for (int i = 0; i < N; i++)
				expect(near(get(x, i), get(y, i), 0));
			K->unary((ebb_unary_fn)f, 0, NULL, NULL, a, b);
			release_all();
		}
	}
}

START_TEST(unary_functions)
{
	each_table(functions);
}
END_TEST

static void flat(void)
{
	int64_t n = 70001;
	void *x = random_reals(n), *y = random_reals(n), *z = reals(n);
	uint8_t *u8 = bytes((size_t)n);
	float *f = bytes((size_t)n * sizeof *f);
	double *d = bytes((size_t)n * sizeof *d);

	for (int64_t i = 0; i < n; i++) {
		u8[i] = (uint8_t)any(0, 255);
		d[i] = f[i] = (float)any_real();
		set(z, i, get(y, i));
	}
	K->axpy(n, 0.5, x, z);
	for (int64_t i = 0; i < n; i++)
		expect_near(get(z, i), get(y, i) + 0.5 * get(x, i), 4, "axpy");
	K->fill(n, 0.75, z);
	for (int64_t i = 0; i < n; i++)
		expect(get(z, i) == 0.75);
	K->from_u8(n, u8, z, 0.5, -1);
	for (int64_t i = 0; i < n; i++)
		expect(get(z, i) == u8[i] * 0.5 - 1);
	K->from_f32(n, f, z);
	for (int64_t i = 0; i < n; i++)
		expect(get(z, i) == (double)f[i]);
	K->fill(n, 0, z);
	K->from_f64(n, d, z);
	for (int64_t i = 0; i < n; i++)
		expect(get(z, i) == d[i]);
}

START_TEST(flat_functions)
{
	each_table(flat);
}
END_TEST

static void tanh_result(void *result, void *x)
{
	K->unary(EBB_TANH, 100003, x, result, 0, 0);
}

static void threads(void)
{
	same_for_all_threads(100003 * K->real_size, tanh_result, random_reals(100003));
}

START_TEST(same_for_any_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_elementwise(void)
{
	TCase *c = tcase_create("elementwise");

	tcase_add_test(c, unary_functions);
	tcase_add_test(c, flat_functions);
	tcase_add_test(c, same_for_any_threads);
	return c;
}
