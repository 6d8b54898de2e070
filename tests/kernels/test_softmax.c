/*
 * test_softmax.c - logsumexp, softmax, log_softmax, their gradients and cross-entropy against
 * their definitions.
 */
#include "kernel_test.h"

/* logsumexp of one line, in double. */
static double reference_lse(const void *x, int64_t from, int64_t len, int64_t inner)
{
	double m = -INFINITY, s = 0;

	for (int64_t k = 0; k < len; k++)
		m = fmax(m, get(x, from + k * inner));
	if (isinf(m))
		return m;
	for (int64_t k = 0; k < len; k++)
		s += exp(get(x, from + k * inner) - m);
	return m + log(s);
}

static void check_lines(int64_t outer, int64_t len, int64_t inner, double scale)
{
	int64_t n = outer * len * inner;
	void *x = random_reals(n), *gy = random_reals(n), *l = reals(outer * inner);
	void *p = reals(n), *q = reals(n), *gp = reals(n), *gq = reals(n), *slope = reals(n);

	for (int64_t i = 0; i < n; i++)
		set(x, i, get(x, i) * scale);
	K->logsumexp(outer, len, inner, x, l);
	K->logsumexp_slope(outer, len, inner, x, slope);
	K->softmax(outer, len, inner, x, p);
	K->log_softmax(outer, len, inner, x, q);
	K->softmax_grad(outer, len, inner, gy, p, gp);
	K->log_softmax_grad(outer, len, inner, gy, q, gq);
	for (int64_t i = 0; i < outer * inner; i++) {
		int64_t from = i / inner * len * inner + i % inner;
		double lse = reference_lse(x, from, len, inner), dot = 0, sum = 0;

		expect_near(get(l, i), lse, 8, "logsumexp");
		for (int64_t k = 0; k < len; k++) {
			dot += get(gy, from + k * inner) * get(p, from + k * inner);
			sum += get(gy, from + k * inner);
		}
		for (int64_t k = 0; k < len; k++) {
			int64_t at = from + k * inner;
			double v = get(x, at);

			expect_near(get(p, at), exp(v - lse), 16 + 8 * fabs(v), "softmax of %g", v);
			expect(get(slope, at) == get(p, at));
			expect_near(get(q, at), v - lse, 16 + 4 * fabs(v), "log_softmax of %g", v);
			expect_near(
				get(gp, at), get(p, at) * (get(gy, at) - dot), 16, "softmax_grad");
			expect_near(get(gq, at), get(gy, at) - exp(get(q, at)) * sum,
				16 + fabs(sum) * 8, "log_softmax_grad");
		}
	}
	release_all();
}

static void all_lines(void)
{
	for (int i = 0; i < 60; i++)
		check_lines(any(0, 5), any(1, 50), i % 2 ? 1 : any(0, 20), i % 3 ? 3 : 200);
	check_lines(1000, 40, 1, 5);
}

START_TEST(softmaxes_and_gradients_equal_their_definitions)
{
	each_table(all_lines);
}
END_TEST

static void infinities(void)
{
	void *x = reals(5), *y = reals(5), *gy = random_reals(5), *gx = reals(5);

	for (int i = 0; i < 5; i++)
		set(x, i, -INFINITY);
	K->logsumexp(1, 5, 1, x, y);
	expect(get(y, 0) == -INFINITY);
	K->logsumexp(5, 1, 1, x, y);
	for (int i = 0; i < 5; i++)
		expect(get(y, i) == -INFINITY);
	/* If all elements are -inf, softmax and its gradient are 0; contiguous and strided
	 * lines. */
	for (int inner = 1; inner <= 5; inner += 4) {
		K->softmax(1, 5 / inner, inner, x, y);
		for (int i = 0; i < 5; i++)
			expect(get(y, i) == 0);
		K->softmax_grad(1, 5 / inner, inner, gy, y, gx);
		for (int i = 0; i < 5; i++)
			expect(get(gx, i) == 0);
		K->log_softmax(1, 5 / inner, inner, x, y);
		for (int i = 0; i < 5; i++)
			expect(get(y, i) == -INFINITY);
	}
	set(x, 2, 3);
	K->logsumexp(1, 5, 1, x, y);
	expect(near(get(y, 0), 3, 4));
	K->softmax(1, 5, 1, x, y);
	for (int i = 0; i < 5; i++)
		expect(get(y, i) == (i == 2));
	set(x, 3, INFINITY);
	K->logsumexp(1, 5, 1, x, y);
	expect(get(y, 0) == INFINITY);
	set(x, 4, NAN);
	K->logsumexp(1, 5, 1, x, y);
	expect(isnan(get(y, 0)));
	K->softmax(1, 5, 1, x, y);
	for (int i = 0; i < 5; i++)
		expect(isnan(get(y, i)));
}

START_TEST(infinite_elements_give_limits_or_nan)
{
	each_table(infinities);
}
END_TEST

static void entropy(int64_t n, int64_t classes)
{
	void *x = random_reals(n * classes), *loss = reals(n), *d = reals(n * classes);
	void *g = random_reals(n > 0 ? n : 1), *gx = reals(n * classes);
	int64_t *label = bytes((size_t)n * sizeof *label);

	for (int64_t i = 0; i < n; i++)
		label[i] = any(0, 5) ? any(0, classes - 1) : -100;
	for (int64_t i = 0; i < n * classes; i++)
		set(x, i, get(x, i) * 20);
	K->cross_entropy(n, classes, x, label, -100, loss, d);
	for (int64_t gs = 0; gs < 2; gs++) {
		K->cross_entropy_grad(n, classes, d, label, -100, g, gs, 0.25, gx);
		for (int64_t i = 0; i < n; i++) {
			double lse = reference_lse(x, i * classes, classes, 1);
			bool ignored = label[i] == -100;

			expect_near(get(loss, i),
				ignored ? 0 : lse - get(x, i * classes + label[i]), 100, "loss");
			for (int64_t k = 0; k < classes; k++) {
				int64_t at = i * classes + k;

				expect_near(get(d, at), exp(get(x, at) - lse) - (k == label[i]),
					16 + 8 * fabs(lse), "d");
				expect_near(get(gx, at),
					ignored ? 0 : get(g, i * gs) * 0.25 * get(d, at), 8,
					"cross_entropy_grad");
			}
		}
	}
	release_all();
}

static void entropies(void)
{
	entropy(0, 10);
	entropy(64, 10);
	entropy(7, 1);
	entropy(500, 101);
}

START_TEST(cross_entropy_equals_its_definition)
{
	each_table(entropies);
}
END_TEST

static void softmax_result(void *result, void *x)
{
	K->softmax(2000, 25, 1, x, result);
}

static void threads(void)
{
	same_for_all_threads(2000 * 25 * K->real_size, softmax_result, random_reals(2000 * 25));
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_softmax(void)
{
	TCase *c = tcase_create("softmax");

	tcase_add_test(c, softmaxes_and_gradients_equal_their_definitions);
	tcase_add_test(c, infinite_elements_give_limits_or_nan);
	tcase_add_test(c, cross_entropy_equals_its_definition);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	return c;
}
