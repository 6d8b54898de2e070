/*
 * test_gemm.c - matrix products and sums of outer products against three loops.
 */
#include "kernel_test.h"
#include "kernels/gemm/blas.h"

struct product {
	bool ta, tb;
	int64_t m, n, k, lda, ldb, ldc;
	double beta;
	void *a, *b, *c;
};

static struct product random_product(int64_t m, int64_t n, int64_t k, bool ta, bool tb, double beta)
{
	struct product p = {ta, tb, m, n, k, 0, 0, 0, beta, NULL, NULL, NULL};

	p.lda = (ta ? m : k) + any(0, 3);
	p.ldb = (tb ? k : n) + any(0, 3);
	p.ldc = n + any(0, 3);
	p.a = random_reals((ta ? k : m) * p.lda);
	p.b = random_reals((tb ? n : k) * p.ldb);
	p.c = random_reals(m * p.ldc);
	return p;
}

static void run(const struct product *p, void *c)
{
	K->gemm(p->ta, p->tb, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, p->beta, c, p->ldc,
		workspace(K->gemm_workspace(p->m, p->n, p->k)));
}

/* Compares c with three loops.  before: the content of c before the product, for beta and for the
 * gaps between rows. */
static void compare_product(const struct product *p, const void *before, const void *c)
{
	for (int64_t i = 0; i < p->m; i++) {
		for (int64_t j = 0; j < p->ldc; j++) {
			double sum = j < p->n && p->beta != 0
			                     ? p->beta * get(before, i * p->ldc + j)
			                     : 0;

			if (j >= p->n) {
				expect(get(c, i * p->ldc + j) == get(before, i * p->ldc + j));
				continue;
			}
			for (int64_t l = 0; l < p->k; l++)
				sum += get(p->a, p->ta ? l * p->lda + i : i * p->lda + l) *
				       get(p->b, p->tb ? j * p->ldb + l : l * p->ldb + j);
			expect_near(get(c, i * p->ldc + j), sum, 8 + (double)p->k * 0.5,
				"%d%d %dx%dx%d at %d,%d", p->ta, p->tb, (int)p->m, (int)p->n,
				(int)p->k, (int)i, (int)j);
		}
	}
}

static void check_product(struct product p)
{
	size_t size = (size_t)(p.m * p.ldc) * K->real_size;
	void *c = bytes(size);

	memcpy(c, p.c, size);
	if (p.beta == 0) {
		for (int64_t i = 0; i < p.m; i++) {
			for (int64_t j = 0; j < p.n; j++)
				set(c, i * p.ldc + j, NAN);
		}
	}
	run(&p, c);
	compare_product(&p, p.c, c);
	release_all();
}

static void some_products(void)
{
	static const int64_t shapes[][3] = {{1, 1, 1}, {0, 3, 2}, {3, 0, 2}, {3, 4, 0},
		{1, 300, 70}, {2, 40, 300}, {3, 33, 515}, {64, 120, 400}, {14, 32, 64},
		{64, 10, 84}, {113, 257, 259}, {300, 17, 31}, {5, 600, 16}, {33, 1, 1000},
		{29, 65, 512}};

	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		for (int t = 0; t < 8; t++)
			check_product(random_product(shapes[i][0], shapes[i][1], shapes[i][2],
				t & 1, (t & 2) != 0, (t & 4) != 0));
	}
	for (int i = 0; i < CASES(150); i++)
		check_product(random_product(any(1, 50), any(1, 80), any(1, 60), any(0, 1),
			any(0, 1), (double)any(0, 1)));
}

START_TEST(products_equal_three_loops)
{
	each_table(some_products);
}
END_TEST

/* Work and rows for which B is packed once for all tasks: columns and terms at, before and behind the
 * borders of blocks and panels. */
static void shared_products(void)
{
	static const int64_t shapes[][3] = {{161, 257, 131}, {85, 130, 385}, {701, 67, 97},
		{113, 65, 769}, {129, 513, 193}, {57, 640, 128}};

	for (int i = 0; i < CASES(6); i++) {
		for (int t = 0; t < 4; t++)
			check_product(random_product(shapes[i][0], shapes[i][1], shapes[i][2],
				t & 1, (t & 2) != 0, (t + i) & 1));
	}
}

START_TEST(products_that_share_the_packed_matrix_equal_three_loops)
{
	each_table(shared_products);
}
END_TEST

/* So many terms that not all of them are packed at once: 300 elements of each product. */
static void long_products(void)
{
	for (int ta = 0; ta < 2; ta++) {
		struct product p = random_product(60, 130, 8203, ta, false, ta);
		void *before = bytes((size_t)(p.m * p.ldc) * K->real_size);

		memcpy(before, p.c, (size_t)(p.m * p.ldc) * K->real_size);
		run(&p, p.c);
		for (int at = 0; at < 300; at++) {
			int64_t i = any(0, p.m - 1), j = any(0, p.n - 1);
			double sum = p.beta != 0 ? p.beta * get(before, i * p.ldc + j) : 0;

			for (int64_t l = 0; l < p.k; l++)
				sum += get(p.a, ta ? l * p.lda + i : i * p.lda + l) *
				       get(p.b, l * p.ldb + j);
			expect_near(get(p.c, i * p.ldc + j), sum, 8 + (double)p.k * 0.5,
				"long product %d at %d,%d", ta, (int)i, (int)j);
		}
		release_all();
	}
}

START_TEST(products_that_are_packed_in_several_rounds_equal_three_loops)
{
	each_table(long_products);
}
END_TEST

/* y = x*w^T + b: every element, or 300 of a large y. */
static void check_linear(int64_t m, int64_t n, int64_t k, bool biased)
{
	void *x = random_reals(m * k), *w = random_reals(n * k);
	void *b = biased ? random_reals(n) : NULL, *y = reals(m * n);
	bool all = m * n * k < 1 << 24;

	K->linear(m, n, k, x, w, b, y, workspace(K->gemm_workspace(m, n, k)));
	for (int64_t i = 0; i < (all ? m * n : 300); i++) {
		int64_t at = all ? i : any(0, m * n - 1);
		double sum = b ? get(b, at % n) : 0;

		for (int64_t l = 0; l < k; l++)
			sum += get(x, at / n * k + l) * get(w, at % n * k + l);
		expect_near(get(y, at), sum, 8 + (double)k * 0.5, "linear %dx%dx%d at %d", (int)m,
			(int)n, (int)k, (int)at);
	}
	release_all();
}

/* OpenBLAS, if it is there and knows this processor, also where the tables do not choose it. */
static void blas_products(void)
{
	for (int t = 0; t < 8 && ebb_blas_is_faster(f64, "avx512", 512, 512, 512); t++) {
		struct product p = random_product(67, 45, 39, t & 1, (t & 2) != 0, (t & 4) / 4);
		void *before = bytes((size_t)(p.m * p.ldc) * K->real_size);

		memcpy(before, p.c, (size_t)(p.m * p.ldc) * K->real_size);
		ebb_blas_gemm(
			f64, p.ta, p.tb, p.m, p.n, p.k, p.a, p.lda, p.b, p.ldb, p.beta, p.c, p.ldc);
		compare_product(&p, before, p.c);
		release_all();
	}
}

START_TEST(products_by_openblas_equal_three_loops)
{
	each_table(blas_products);
}
END_TEST

/* The last sizes are those from which a BLAS library may be used. */
static void some_linear(void)
{
	static const int64_t shapes[][3] = {{1, 1, 1}, {0, 3, 2}, {3, 0, 2}, {3, 4, 0},
		{1, 300, 70}, {4, 33, 515}, {5, 65, 31}, {161, 257, 131}, {515, 513, 520},
		{512, 512, 512}};

	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
		for (int biased = 0; biased < 2; biased++)
			check_linear(shapes[i][0], shapes[i][1], shapes[i][2], biased);
}

START_TEST(linear_equals_three_loops)
{
	each_table(some_linear);
}
END_TEST

static void product_result(void *result, void *ctx)
{
	const struct product *p = ctx;

	run(p, result);
}

static void threads(void)
{
	for (int ta = 0; ta < 2; ta++) {
		struct product p = random_product(150, 310, 300, ta, !ta, 0);

		p.ldc = p.n;
		same_for_all_threads((size_t)(p.m * p.n) * K->real_size, product_result, &p);
	}
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(threads);
}
END_TEST

/* As a product, A is transposed; no row is longer than necessary. */
static void some_outer_sums(void)
{
	for (int i = 0; i < 16; i++) {
		int64_t terms = i < 2 ? EBB_OUTER_TERMS : any(1, 40), m = any(0, 150),
			n = any(0, 700);
		struct product p = {true, false, m, n, terms, m, n, n, 0, random_reals(terms * m),
			random_reals(terms * n), reals(m * n)};

		K->outer_sum(terms, m, n, p.a, p.b, p.c);
		compare_product(&p, p.c, p.c);
		release_all();
	}
}

START_TEST(outer_sums_equal_three_loops)
{
	each_table(some_outer_sums);
}
END_TEST

static void outer_result(void *result, void *ctx)
{
	const struct product *p = ctx;

	K->outer_sum(p->k, p->m, p->n, p->a, p->b, result);
}

static void outer_threads(void)
{
	struct product p = {
		.m = 250, .n = 777, .k = 9, .a = random_reals(9 * 250), .b = random_reals(9 * 777)};

	same_for_all_threads((size_t)(p.m * p.n) * K->real_size, outer_result, &p);
}

START_TEST(outer_sums_do_not_depend_on_the_number_of_threads)
{
	each_table(outer_threads);
}
END_TEST

/* A NaN in A reaches only its row of C, although panels are padded with zeros. */
static void nan_rows(void)
{
	struct product p = random_product(20, 21, 22, false, false, 0);

	set(p.a, 3 * p.lda + 5, NAN);
	run(&p, p.c);
	for (int64_t i = 0; i < p.m; i++) {
		for (int64_t j = 0; j < p.n; j++)
			expect((isnan(get(p.c, i * p.ldc + j)) != 0) == (i == 3));
	}
}

START_TEST(nan_stays_in_its_row)
{
	each_table(nan_rows);
}
END_TEST

TCase *tests_gemm(void)
{
	TCase *c = tcase_create("gemm");

	tcase_add_test(c, products_equal_three_loops);
	tcase_add_test(c, products_that_share_the_packed_matrix_equal_three_loops);
	tcase_add_test(c, products_that_are_packed_in_several_rounds_equal_three_loops);
	tcase_add_test(c, products_by_openblas_equal_three_loops);
	tcase_add_test(c, linear_equals_three_loops);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	tcase_add_test(c, outer_sums_equal_three_loops);
	tcase_add_test(c, outer_sums_do_not_depend_on_the_number_of_threads);
	tcase_add_test(c, nan_stays_in_its_row);
	return c;
}
