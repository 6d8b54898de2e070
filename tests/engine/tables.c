/*
 * tables.c - no table that an enum indexes has an empty entry.  (The tables of kernels are
 * checked in tests/kernels/test_elementwise.c.)
 */
#include <string.h>

#include "optim/internal.h"
#include "tensor/memory.h"
#include "tests/support/support.h"

START_TEST(every_dtype_has_a_name_a_size_and_kernels)
{
	for (int i = EBB_DEFAULT; i <= EBB_U8; i++) {
		const ebb_dtype_traits *traits = &ebb_dtypes[i];

		ck_assert_msg(traits->name && *traits->name, "dtype %d has no name", i);
		ck_assert_str_eq(ebb_dtype_name((ebb_dtype)i), traits->name);
		ck_assert_msg((traits->size > 0) == (i != EBB_DEFAULT), "dtype %d has size %zu", i,
			traits->size);
		ck_assert_msg(traits->kernels && traits->kernels(), "dtype %d has no kernels", i);
	}
	ck_assert_str_eq(ebb_dtype_name((ebb_dtype)(EBB_U8 + 1)), "unknown");
}
END_TEST

START_TEST(every_dtype_of_files_has_a_name_and_a_size)
{
	for (int i = EBB_FILE_DEFAULT; i <= EBB_FILE_OTHER; i++) {
		const char *name = ebb_file_dtype_name((ebb_file_dtype)i);
		bool sized = i != EBB_FILE_DEFAULT && i != EBB_FILE_OTHER;

		ck_assert_msg(name && *name, "dtype %d of files has no name", i);
		ck_assert_msg((ebb_file_dtype_size((ebb_file_dtype)i) > 0) == sized,
			"dtype %s of files has size %zu", name,
			ebb_file_dtype_size((ebb_file_dtype)i));
	}
}
END_TEST

START_TEST(every_algorithm_has_a_name)
{
	for (int i = EBB_SGD; i <= EBB_RMSPROP; i++) {
		const char *name = ebb_algorithm_name((ebb_algorithm)i);

		ck_assert_msg(name && *name, "algorithm %d has no name", i);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tables");
	TCase *c = tcase_create("tables");

	tcase_add_test(c, every_dtype_has_a_name_a_size_and_kernels);
	tcase_add_test(c, every_dtype_of_files_has_a_name_and_a_size);
	tcase_add_test(c, every_algorithm_has_a_name);
	suite_add_tcase(s, c);
	return run_suite(s);
}
