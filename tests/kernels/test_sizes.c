/*
 * test_sizes.c - sizes in bytes up to the limit of allocations, and beyond.
 */
#include "kernel_test.h"

START_TEST(sizes_in_bytes_do_not_overflow)
{
	const size_t most = EBB_MOST_BYTES, sizes[] = {1, 4, 8, 48};

	ck_assert_uint_eq(ebb_bytes_of(0, 8), 0);
	ck_assert_uint_eq(ebb_bytes_of(3, 8), 24);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		int64_t fit = (int64_t)(most / sizes[i]);

		ck_assert_uint_eq(ebb_bytes_of(fit, sizes[i]), (size_t)fit * sizes[i]);
		ck_assert_uint_gt(ebb_bytes_of(fit + 1, sizes[i]), most);
		ck_assert_uint_gt(
			ebb_bytes_of((int64_t)(SIZE_MAX / sizes[i] / 2 + 1), sizes[i]), most);
		ck_assert_uint_gt(ebb_bytes_of(INT64_MAX, sizes[i]), most);
	}
	ck_assert_uint_gt(3 * ebb_bytes_of(INT64_MAX, 8), most);
	ck_assert_uint_le(most, PTRDIFF_MAX / 2);
}
END_TEST

TCase *tests_sizes(void)
{
	TCase *c = tcase_create("sizes");

	tcase_add_test(c, sizes_in_bytes_do_not_overflow);
	return c;
}
