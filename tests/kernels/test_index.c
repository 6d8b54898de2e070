/*
 * test_index.c - selecting elements by index, and accumulating by index.
 */
#include "kernel_test.h"

static void check_index(int64_t outer, int64_t len, int64_t inner, int64_t count, bool each)
{
	int64_t many = each ? outer * count * inner : count;
	void *x = random_reals(outer * len * inner), *y = reals(outer * count * inner);
	void *gx = random_reals(outer * len * inner);
	double *want = bytes((size_t)(outer * len * inner) * sizeof *want);
	int64_t *index = bytes((size_t)many * sizeof *index);

	for (int64_t i = 0; i < outer * len * inner; i++)
		want[i] = get(gx, i);
	for (int64_t i = 0; i < many; i++)
		index[i] = any(0, len - 1);
	if (each)
		K->gather(outer, len, inner, count, x, index, y);
	else
		K->index_select(outer, len, inner, count, x, index, y);
	for (int64_t i = 0; i < outer * count * inner; i++) {
		int64_t o = i / inner / count, at = index[each ? i : i / inner % count];
		int64_t from = (o * len + at) * inner + i % inner;

		expect(get(y, i) == get(x, from));
		want[from] += get(y, i);
	}
	if (each)
		K->gather_acc(outer, len, inner, count, y, index, gx);
	else
		K->index_select_acc(outer, len, inner, count, y, index, gx);
	for (int64_t i = 0; i < outer * len * inner; i++)
		expect_near(get(gx, i), want[i], 16, "grad");
	release_all();
}

static void indices(void)
{
	for (int i = 0; i < 60; i++)
		check_index(any(0, 4), any(1, 9), i % 3 ? any(0, 9) : 1, any(0, 12), i % 2);
	check_index(40, 30, 7, 200, false);
	check_index(40, 30, 7, 200, true);
}

START_TEST(select_and_gather_equal_loops)
{
	each_table(indices);
}
END_TEST

TCase *tests_index(void)
{
	TCase *c = tcase_create("index");

	tcase_add_test(c, select_and_gather_equal_loops);
	return c;
}
