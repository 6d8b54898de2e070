/* The table of element types, and the CPU as a device. */
#include <string.h>

#include "tensor/internal.h"
#include "tests/support/support.h"

START_TEST(every_dtype_has_its_properties)
{
	static const size_t sizes[] = {0, 4, 8, 8, 1};

	for (int d = EBB_DEFAULT; d <= EBB_U8; d++) {
		const ebb_dtype_traits *t = &ebb_dtypes[d];

		ck_assert_str_eq(ebb_dtype_name((ebb_dtype)d), t->name);
		ck_assert_uint_eq(ebb_dtype_size((ebb_dtype)d), sizes[d]);
		ck_assert(t->real == (d == EBB_F32 || d == EBB_F64));
		/* An accumulator is no narrower than the type that it sums. */
		ck_assert(ebb_dtypes[t->accumulator].size >= t->size);
	}
	ck_assert(ebb_kernels_of(EBB_F32) == ebb_kernels_f32());
	ck_assert(ebb_kernels_of(EBB_F64) == ebb_kernels_f64());
	ck_assert_str_eq(ebb_dtype_name((ebb_dtype)17), "unknown");
	ck_assert_uint_eq(ebb_dtype_size((ebb_dtype)17), 0);
}
END_TEST

START_TEST(the_processor_allocates_and_copies)
{
	counting_allocator a;
	char *p;

	counting_allocator_install(&a);
	p = ebb_processor.alloc(100);
	ck_assert(p && a.bytes == 100);
	ebb_processor.copy(p, "values", 7);
	ebb_processor.sync();
	ck_assert_str_eq(p, "values");
	ebb_processor.free(p, 100);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

/* Sizes around the one from which the default hook asks for huge pages. */
START_TEST(large_memory_keeps_its_content_when_it_grows_and_shrinks)
{
	const size_t sizes[] = {5 << 20, 9 << 20, (6 << 20) - 1, 6 << 20, 7 << 20, 100};
	size_t size = 6 << 20, filled = 100;
	unsigned char *p = ebb_alloc(size);

	ck_assert(p);
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i % 251);
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		p = ebb_realloc(p, size, sizes[s]);
		size = sizes[s];
		ck_assert(p);
		for (size_t i = 0; i < filled; i++)
			ck_assert_uint_eq(p[i], i % 251);
		memset(p + filled, 7, size - filled);
	}
	ebb_free(p, size);
	p = ebb_alloc_zeroed(size = 11 << 20);
	ck_assert(p && p[0] == 0 && p[size - 1] == 0);
	ebb_free(p, size);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tensor/device");
	TCase *c = tcase_create("device");

	tcase_add_test(c, every_dtype_has_its_properties);
	tcase_add_test(c, the_processor_allocates_and_copies);
	tcase_add_test(c, large_memory_keeps_its_content_when_it_grows_and_shrinks);
	suite_add_tcase(s, c);
	return run_suite(s);
}
