/*
 * test_gelu.c - GELU of x + b and its gradients against the kernel unary, row by row.
 */
#include "kernel_test.h"

struct problem {
	bool tanh, biased, sums, in_place;
	int64_t rows, len;
	void *x, *b, *gy;
};

static struct problem problem_new(int64_t rows, int64_t len, int variant)
{
	return (struct problem){.tanh = variant & 1,
		.biased = variant & 2,
		.sums = (variant & 6) == 6,
		.in_place = variant & 8,
		.rows = rows,
		.len = len,
		.x = random_reals(rows * len),
		.b = random_reals(len),
		.gy = random_reals(rows * len)};
}

/* Writes y, gx and gb to result, one after the other. */
static void compute(void *result, void *ctx)
{
	const struct problem *p = ctx;
	size_t n = (size_t)(p->rows * p->len) * K->real_size;
	char *y = result, *gx = y + n, *gb = gx + n;
	void *ws = p->sums ? workspace(K->gelu_workspace(p->rows, p->len)) : NULL;

	if (p->in_place && n)
		memcpy(gx, p->gy, n);
	K->gelu_grad(p->tanh, p->rows, p->len, p->x, p->biased ? p->b : NULL,
		p->in_place ? gx : p->gy, gx, p->sums ? gb : NULL, ws);
	if (p->biased)
		K->gelu_bias(p->tanh, p->rows, p->len, p->x, p->b, y);
	else if (n)
		memset(y, 0, n);
	if (!p->sums && p->len)
		memset(gb, 0, (size_t)p->len * K->real_size);
}

static void check(struct problem *p)
{
	int64_t n = p->rows * p->len;
	char *result = reals(2 * n + p->len), *gx = result + (size_t)n * K->real_size;
	char *gb = gx + (size_t)n * K->real_size;
	void *z = reals(n), *value = reals(n), *slope = reals(n);

	for (int64_t i = 0; i < n; i++)
		set(z, i, get(p->x, i) + (p->biased ? get(p->b, i % p->len) : 0));
	K->unary(p->tanh ? EBB_UNARY_gelu_tanh : EBB_UNARY_gelu, n, z, value, 0, 0);
	K->unary(p->tanh ? EBB_UNARY_gelu_tanh_slope : EBB_UNARY_gelu_slope, n, z, slope, 0, 0);
	compute(result, p);
	for (int64_t i = 0; i < n; i++) {
		if (p->biased)
			expect(get(result, i) == get(value, i));
		set(slope, i, get(slope, i) * get(p->gy, i));
		expect(get(gx, i) == get(slope, i));
	}
	for (int64_t k = 0; p->sums && k < p->len; k++) {
		double sum = 0;

		for (int64_t r = 0; r < p->rows; r++)
			sum += get(slope, r * p->len + k);
		expect_near(get(gb, k), sum, f64 ? 1 + (double)p->rows : 1, "column %d of %dx%d",
			(int)k, (int)p->rows, (int)p->len);
	}
}

static void shapes(void)
{
	static const int64_t sizes[][2] = {{1, 1}, {3, 5}, {7, 511}, {5, 512}, {3, 1025}, {0, 4},
		{4, 0}, {40001, 1}, {1, 40001}, {67, 603}, {5000, 17}};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int variant = 0; variant < 16; variant++) {
			struct problem p = problem_new(sizes[i][0], sizes[i][1], variant);

			check(&p);
			release_all();
		}
}

static void threads(void)
{
	static const int64_t sizes[][2] = {{67, 603}, {40001, 1}, {1, 40001}, {3000, 33}};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int variant = 6; variant < 16; variant += 9) {
			struct problem p = problem_new(sizes[i][0], sizes[i][1], variant);

			same_for_all_threads(
				(size_t)(2 * p.rows * p.len + p.len) * K->real_size, compute, &p);
			release_all();
		}
}

START_TEST(gelu_with_a_bias_equals_gelu_of_the_sum)
{
	each_table(shapes);
}
END_TEST

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

TCase *tests_gelu(void)
{
	TCase *c = tcase_create("gelu");

	tcase_add_test(c, gelu_with_a_bias_equals_gelu_of_the_sum);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	return c;
}
