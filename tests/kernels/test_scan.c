/*
 * test_scan.c - cumulative sums.
 */
#include "kernel_test.h"

static void check_cumsum(bool reverse, int64_t outer, int64_t len, int64_t inner)
{
	int64_t n = outer * len * inner;
	void *x = random_reals(n), *y = reals(n);

	K->cumsum(reverse, outer, len, inner, x, y);
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t i = 0; i < inner; i++) {
			double sum = 0;

			for (int64_t k = 0; k < len; k++) {
				int64_t row = reverse ? len - 1 - k : k;
				int64_t at = (o * len + row) * inner + i;

				sum += get(x, at);
				expect_near(get(y, at), sum, 4, "%lld,%lld,%lld at %lld",
					(long long)outer, (long long)len, (long long)inner,
					(long long)at);
			}
		}
	}
	release_all();
}

static void running_sums(void)
{
	for (int i = 0; i < 60; i++)
		check_cumsum(i % 2, any(0, 4), any(0, 9), i % 3 ? any(0, 9) : 1);
	for (int reverse = 0; reverse < 2; reverse++) {
		check_cumsum(reverse, 2, 5, 256);
		check_cumsum(reverse, 3, 4, 257);
		check_cumsum(reverse, 3, 40, 700);
		check_cumsum(reverse, 300, 200, 1);
	}
}

START_TEST(cumsum_equals_a_loop)
{
	each_table(running_sums);
}
END_TEST

struct input {
	void *x;
	int64_t outer, len, inner;
};

static void sum_it(void *result, void *ctx)
{
	const struct input *in = ctx;

	K->cumsum(false, in->outer, in->len, in->inner, in->x, result);
}

static void sums_in_threads(void)
{
	struct input in = {NULL, 7, 30, 600};

	in.x = random_reals(in.outer * in.len * in.inner);
	same_for_all_threads((size_t)(in.outer * in.len * in.inner) * K->real_size, sum_it, &in);
	release_all();
}

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
	each_table(sums_in_threads);
}
END_TEST

TCase *tests_scan(void)
{
	TCase *c = tcase_create("scan");

	tcase_add_test(c, cumsum_equals_a_loop);
	tcase_add_test(c, results_do_not_depend_on_the_number_of_threads);
	return c;
}
