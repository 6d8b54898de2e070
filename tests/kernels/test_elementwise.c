/*
 * test_elementwise.c - the functions of unary.def against their column EXACT, and the conversions.
 */
#include "../support/exact.h"
#include "kernel_test.h"

static const char *const names[] = {
#define UNARY(name, ...) #name,
#define UNARY_KERNEL(name, ...) #name,
#include "unary.def"
};

/* NaN stays NaN in the kernel of an op, for which EXACT need not hold. */
static bool is_op(ebb_unary_fn f)
{
	switch (f) {
#define UNARY(name, ...) case EBB_UNARY_##name:
#include "unary.def"
		return true;
	default:
		return false;
	}
}

/* The reference, rounded to the table's type; overflow is its own. */
static double wanted(ebb_unary_fn f, double x, double a, double b)
{
	double y = isnan(x) && is_op(f) ? x : (double)exact_unary(f, x, a, b);

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

/* The tolerance in units of epsilon. */
static double tolerance(ebb_unary_fn f, double x, double want)
{
	double roundings = 6;

	/* In the tail the rounding of the exponent is magnified. */
	if (f == EBB_UNARY_gelu || f == EBB_UNARY_gelu_tanh || f == EBB_UNARY_gelu_slope ||
		f == EBB_UNARY_gelu_tanh_slope || f == EBB_UNARY_gauss)
		roundings = 16 + 4 * fmin(x * x, 800);
	/* The two terms of these derivatives cancel near -1.2 and -0.75. */
	if ((f == EBB_UNARY_silu_slope || f == EBB_UNARY_mish_slope || f == EBB_UNARY_gelu_slope ||
		    f == EBB_UNARY_gelu_tanh_slope) &&
		fabs(x + 1) < 1)
		roundings *= 1 + 1 / fabs(want);
	return roundings;
}

static void function(ebb_unary_fn f, double a, double b)
{
	static const double special[] = {0, -0.0, 1, -1, 2, -2, 0.5, -0.5, INFINITY, -INFINITY, NAN,
		1e-30, -1e-30, 1e30, -1e30, 1e-40, 88.7, 89.5, -87, -88, -95, -103.9, -104.5, 20,
		-20, 9.1, 0.3, 3, -3};
	enum { SPECIAL = sizeof special / sizeof special[0], N = 1000 };
	void *x = reals(N), *y = reals(N);

	for (int i = 0; i < N; i++) {
		double scale = i % 3 == 0 ? 1 : i % 3 == 1 ? 10 : 60;

		set(x, i, i < SPECIAL ? special[i] : any_real() * scale);
	}
	K->unary(f, N, x, y, a, b);
	for (int i = 0; i < N; i++) {
		double v = get(x, i), want = wanted(f, v, a, b);

		if (!close_to(get(y, i), want, v, tolerance(f, v, want)))
			ck_abort_msg("%s %s: %s of %.9g (a %g): got %.17g, want %.17g", K->isa,
				f64 ? "f64" : "f32", names[f], v, a, get(y, i), want);
	}
	/* One by one, shifted, and in place: the same bits. */
	for (int i = 0; i < 100; i++) {
		void *one = bytes(K->real_size);
		char *from = (char *)x + (size_t)i * K->real_size;

		K->unary(f, 1, from, one, a, b);
		expect(memcmp(one, (char *)y + (size_t)i * K->real_size, K->real_size) == 0 ||
			isnan(get(one, 0)));
	}
	K->unary(f, N, x, x, a, b);
	for (int i = 0; i < N; i++)
		expect(near(get(x, i), get(y, i), 0));
	K->unary(f, 0, NULL, NULL, a, b);
	release_all();
}

static void functions(void)
{
	static const double exponents[] = {2, 3, -1, 0.5, 1, 0, -2, 1.7, 4, -0.5};

	for (int i = 0; i < EBB_UNARY_COUNT; i++) {
		ebb_unary_fn f = (ebb_unary_fn)i;

		if (f != EBB_UNARY_pow_scalar)
			function(f, f == EBB_UNARY_gauss ? 0.5 : 0.25, 0.75);
		for (int e = 0; e < 10 && f == EBB_UNARY_pow_scalar; e++)
			function(f, exponents[e], 0.75);
	}
}

START_TEST(unary_functions_equal_their_formulas)
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

START_TEST(fill_axpy_and_conversions)
{
	each_table(flat);
}
END_TEST

/* ---- The table ------------------------------------------------------------------------------- */

static void entries(void)
{
	typedef void (*kernel)(void);
	static const struct {
		const char *name;
		size_t at;
	} members[] = {
#define KERNEL(name) {#name, offsetof(ebb_kernels, name)},
#include "table.def"
	};
	enum { MEMBERS = sizeof members / sizeof members[0] };

	_Static_assert(
		offsetof(ebb_kernels, unary) + MEMBERS * sizeof(kernel) == sizeof(ebb_kernels),
		"table.def lists each kernel of the table");
	expect(K->isa && K->real_size == (f64 ? sizeof(double) : sizeof(float)));
	for (int i = 0; i < MEMBERS; i++) {
		kernel entry;

		memcpy(&entry, (const char *)K + members[i].at, sizeof entry);
		if (!entry)
			ck_abort_msg("%s %s: the table has no %s", K->isa, f64 ? "f64" : "f32",
				members[i].name);
	}
}

START_TEST(every_table_has_every_kernel)
{
	each_table(entries);
}
END_TEST

static void tanh_result(void *result, void *x)
{
	K->unary(EBB_UNARY_tanh, 100003, x, result, 0, 0);
}

static void threads(void)
{
	same_for_all_threads(100003 * K->real_size, tanh_result, random_reals(100003));
}

START_TEST(results_do_not_depend_on_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_elementwise(void)
{
	TCase *c = tcase_create("elementwise");

	tcase_add_test(c, every_table_has_every_kernel);
	tcase_add_test(c, unary_functions_equal_their_formulas);
	tcase_add_test(c, fill_axpy_and_conversions);
	tcase_add_test(c, results_do_not_depend_on_threads);
	return c;
}
