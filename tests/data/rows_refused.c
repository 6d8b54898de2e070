/* What data sets of rows and their loaders refuse, and each allocation that may fail. */
#include "tests/support/support.h"

#include <string.h>

#define REFUSES(status_, call, ...)                                                                \
	do {                                                                                       \
		const char *words_[] = {__VA_ARGS__};                                              \
		e = (ebb_error){0};                                                                \
		ck_assert_msg(!(call), "%s was accepted", #call);                                  \
		ck_assert_msg(e.status == (status_), "%s", e.message);                             \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(e.message, words_[k_]), "\"%s\" is not in: %s",       \
				words_[k_], e.message);                                            \
	} while (0)

static bool fill_zero(void *ctx, int64_t i, void *input, void *target, ebb_error *e)
{
	(void)ctx, (void)i, (void)input, (void)target, (void)e;
	return true;
}

static int64_t fifth(void *ctx, int64_t i)
{
	(void)ctx;
	return i % 5;
}

START_TEST(tables_that_do_not_fit_are_refused)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(4, 3), false, NULL),
		   *y = ebb_tensor_new(EBB_I64, EBB_SHAPE(5), false, NULL),
		   *none = ebb_tensor_new(EBB_F32, EBB_SHAPE(0, 3), false, NULL),
		   *scalar = ebb_tensor_new(EBB_F32, EBB_SCALAR_SHAPE, false, NULL),
		   *label = ebb_tensor_new(EBB_I64, EBB_SHAPE(4, 1), false, NULL),
		   *empty = ebb_tensor_new(EBB_I64, EBB_SHAPE(5, 0), false, NULL);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *dropped = ebb_ones(t, EBB_SHAPE(4, 3));
	ebb_error e;

	ebb_release(t, dropped);
	REFUSES(EBB_BAD_SHAPE, ebb_rows(NULL, y, .error = &e), "rows_refused.c:", "x is NULL");
	REFUSES(EBB_BAD_SHAPE, ebb_rows(x, y, .error = &e), "x is F32 [4,3], y I64 [5]",
		"as many rows as x");
	REFUSES(EBB_BAD_SHAPE, ebb_rows(none, .error = &e), "F32 [0,3]", "at least one row");
	REFUSES(EBB_BAD_SHAPE, ebb_rows(scalar, .error = &e), "expected x [N,...]");
	REFUSES(EBB_BAD_SHAPE, ebb_rows(x, scalar, .error = &e), "expected y [N,...]");
	REFUSES(EBB_INVALID, ebb_rows(x, .classes = 2, .error = &e), "y with .classes");
	REFUSES(EBB_INVALID, ebb_rows(x, label, -1, .error = &e), "-1 classes");
	REFUSES(EBB_BAD_DTYPE, ebb_rows(x, x, .classes = 2, .error = &e), "labels of I64 or U8");
	REFUSES(EBB_BAD_SHAPE, ebb_rows(y, empty, 2, .error = &e), "labels [N] or [N,1]");
	((int64_t *)ebb_data_mutable(label))[2] = 2;
	REFUSES(EBB_INVALID, ebb_rows(x, label, 2, .error = &e), "label 2 is 2, expected 0 to 1");
	REFUSES(EBB_BAD_STATE, ebb_rows(dropped, .error = &e), "x", "dropped");
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(y);
	ebb_tensor_free(none);
	ebb_tensor_free(scalar);
	ebb_tensor_free(label);
	ebb_tensor_free(empty);
}
END_TEST

START_TEST(windows_that_do_not_fit_are_refused)
{
	ebb_tensor *x = ebb_tensor_new(EBB_I64, EBB_SHAPE(6), false, NULL);
	ebb_error e;

	REFUSES(EBB_INVALID, ebb_windows(NULL, 2, .error = &e), "rows_refused.c:", "of NULL");
	REFUSES(EBB_INVALID, ebb_windows(x, .error = &e), "windows of 0 steps");
	REFUSES(EBB_INVALID, ebb_windows(x, 6, .error = &e), "windows of 6 steps", "I64 [6]",
		"T above .context");
	REFUSES(EBB_INVALID, ebb_windows(x, INT64_MAX, .error = &e), "T above .context");
	REFUSES(EBB_INVALID, ebb_windows(x, 5, .stride = -1, .error = &e), "stride -1");
	ebb_tensor_free(x);
}
END_TEST

START_TEST(rows_of_functions_that_do_not_fit_are_refused)
{
	const int64_t huge = INT64_C(1) << 40;
	ebb_error e;

	REFUSES(EBB_INVALID, ebb_rows_custom(0, fill_zero, .error = &e), "0 rows");
	REFUSES(EBB_INVALID, ebb_rows_custom(3, .error = &e), "rows_refused.c:", ".fill is NULL");
	REFUSES(EBB_INVALID,
		ebb_rows_custom(3, fill_zero, .input_shape = EBB_SHAPE(2, -1), .error = &e),
		"inputs F32 [2,-1]");
	REFUSES(EBB_INVALID,
		ebb_rows_custom(3, fill_zero, .input_shape = EBB_SHAPE(huge, huge), .error = &e),
		"1099511627776");
	REFUSES(EBB_INVALID,
		ebb_rows_custom(3, fill_zero, .target_dtype = EBB_F64,
			.target_shape = EBB_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), .error = &e),
		"at most 7 axes");
	REFUSES(EBB_INVALID, ebb_rows_custom(3, fill_zero, .target_shape = {99, {0}}, .error = &e),
		"(99 axes)");
	REFUSES(EBB_INVALID, ebb_rows_custom(3, fill_zero, .input_dtype = 77, .error = &e),
		"types");
	REFUSES(EBB_INVALID, ebb_rows_custom(3, fill_zero, .classes = 2, .error = &e),
		"a label function with .classes");
	REFUSES(EBB_INVALID, ebb_rows_custom(3, fill_zero, .label = fifth, .error = &e),
		"a label function with .classes");
	REFUSES(EBB_INVALID,
		ebb_rows_custom(9, fill_zero, .label = fifth, .classes = 3, .error = &e),
		"label 3 is 3, expected 0 to 2");
	REFUSES(EBB_INVALID, ebb_rows_custom(INT64_MAX, fill_zero, .error = &e), "too many");
}
END_TEST

START_TEST(what_only_images_have_is_refused_for_rows)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(6, 2), false, NULL),
		   *wide = ebb_tensor_new(EBB_F32, EBB_SHAPE(6, 3), false, NULL);
	ebb_dataset *d = ebb_rows(x), *pair = ebb_rows(x, x), *other = ebb_rows(wide),
		    *images = ebb_digits(6, 1, NULL), *a, *b;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];
	ebb_augment *flip = ebb_augment_new(NULL);
	ebb_image y = {0};
	ebb_error e;

	ebb_augment_flip(flip);
	REFUSES(EBB_INVALID, ebb_loader_new(d, 2, .augment = flip, .error = &e),
		"rows_refused.c:", "the data set has rows: .augment is for images");
	REFUSES(EBB_INVALID, ebb_loader_new(d, 2, .mean = {0.5}, .error = &e),
		".mean and .std are");
	REFUSES(EBB_INVALID, ebb_loader_new(d, 2, .std = {0, 1}, .error = &e),
		".mean and .std are");
	REFUSES(EBB_INVALID, ebb_loader_new(d, 2, .cache = 9, .error = &e), ".cache is for images");
	REFUSES(EBB_INVALID, ebb_loader_new(d, 2, .balanced = true, .error = &e), "no classes");
	REFUSES(EBB_INVALID, ebb_loader_new(d, .error = &e), "batches of 0 from 6 rows");
	REFUSES(EBB_INVALID, ebb_loader_new(d, 7, .drop_last = true, .error = &e), "from 6 rows");
	REFUSES(EBB_BAD_DTYPE, ebb_loader_new(d, 2, .dtype = EBB_I64, .error = &e), "rows as I64");
	REFUSES(EBB_INVALID, ebb_dataset_split(d, 0.5, &a, &b, .stratified = true, .error = &e),
		".stratified needs classes");
	ck_assert(!a && !b);
	REFUSES(EBB_INVALID, ebb_dataset_slice(d, 0, 1, &e), "the rows are not images");
	REFUSES(EBB_INVALID, ebb_dataset_range(d, 6, 1, &e), "rows from 6 on");
	REFUSES(EBB_INVALID, ebb_dataset_subset(d, (int64_t[]){6}, 1, &e), "is 6, of 6 rows");
	REFUSES(EBB_INVALID, ebb_dataset_fetch(d, 0, &y, &e), "has rows, expected images");
	REFUSES(EBB_BAD_SHAPE, ebb_dataset_concat((const ebb_dataset *[]){d, other}, 2, &e),
		"of another type or shape");
	REFUSES(EBB_BAD_SHAPE, ebb_dataset_concat((const ebb_dataset *[]){d, pair}, 2, &e),
		"of another type or shape");
	REFUSES(EBB_INVALID, ebb_dataset_concat((const ebb_dataset *[]){d, images}, 2, &e),
		"part 1 has 10 classes, expected 0");
	ck_assert(!ebb_dataset_moments(d, mean, std) && ebb_dataset_label(d, 0) == -1);
	ck_assert(!ebb_dataset_path(d, 0) && ebb_dataset_image_shape(d).dims[0] == 0);
	ebb_augment_free(flip);
	ebb_dataset_free(d);
	ebb_dataset_free(pair);
	ebb_dataset_free(other);
	ebb_dataset_free(images);
	ebb_tensor_free(x);
	ebb_tensor_free(wide);
}
END_TEST

/* Rows of images and rows of numbers with the same classes. */
START_TEST(images_and_rows_are_not_concatenated)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(6), false, NULL),
		   *y = ebb_tensor_new(EBB_I64, EBB_SHAPE(6), false, NULL);
	ebb_dataset *d = ebb_rows(x, y, .classes = 10), *images = ebb_digits(6, 1, NULL);
	ebb_error e;

	REFUSES(EBB_BAD_SHAPE, ebb_dataset_concat((const ebb_dataset *[]){images, d}, 2, &e),
		"part 1 has rows, and the first part images");
	ebb_dataset_free(d);
	ebb_dataset_free(images);
	ebb_tensor_free(x);
	ebb_tensor_free(y);
}
END_TEST

/* ---- Allocation ----------------------------------------------------------------------------- */

/* Makes data sets of each kind, parts and a loader that converts; returns whether all succeeded. */
static bool use_everything(ebb_tensor *x, ebb_tensor *y, ebb_error *e)
{
	ebb_dataset *d = ebb_rows(x, y, .classes = 2, .error = e),
		    *windows = ebb_windows(x, 2, .error = e),
		    *custom = ebb_rows_custom(6, fill_zero, .target_dtype = EBB_F32, .error = e),
		    *part = d ? ebb_dataset_range(d, 1, 4, e) : NULL,
		    *all = part ? ebb_dataset_concat((const ebb_dataset *[]){d, part}, 2, e) : NULL;
	const ebb_dataset *set[] = {all, windows, custom};
	bool ok = true;
	ebb_batch b;

	for (int k = 0; k < 3; k++) {
		ebb_loader *l = set[k] ? ebb_loader_new(set[k], 4, .shuffle = true,
						 .balanced = k == 0, .dtype = EBB_F64, .error = e)
		                       : NULL;

		while (ebb_loader_next(l, &b))
			ck_assert(b.inputs && ebb_dtype_of(b.inputs) == EBB_F64);
		if (l && ebb_loader_error(l))
			ebb_error_set(e, ebb_loader_error(l)->status, NULL, "%s",
				ebb_loader_error(l)->message);
		ok = ok && l && !ebb_loader_error(l);
		ebb_loader_free(l);
	}
	ebb_dataset_free(all);
	ebb_dataset_free(part);
	ebb_dataset_free(d);
	ebb_dataset_free(windows);
	ebb_dataset_free(custom);
	return ok;
}

START_TEST(every_allocation_may_fail)
{
	counting_allocator allocator;
	bool done = false;

	for (int fail_at = 0; !done; fail_at++) {
		ebb_tensor *x, *y;
		ebb_error e = {0};
		bool ok;

		counting_allocator_install(&allocator);
		x = ebb_tensor_new(EBB_F32, EBB_SHAPE(6, 3), false, NULL);
		y = ebb_tensor_new(EBB_I64, EBB_SHAPE(6), false, NULL);
		((int64_t *)ebb_data_mutable(y))[3] = 1;
		allocator.fail_at = allocator.calls + fail_at;
		ok = use_everything(x, y, &e);
		done = !allocator.refused;
		ck_assert_msg(ok == done && e.status == (done ? EBB_OK : EBB_NO_MEMORY),
			"allocation %d: %s", fail_at, e.message);
		ebb_tensor_free(x);
		ebb_tensor_free(y);
		counting_allocator_remove();
		ck_assert_msg(
			allocator.live == 0 && allocator.wrong == 0, "allocation %d", fail_at);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-rows-refused");
	TCase *c = tcase_create("refused");

	suite_add_tcase(s, c);
	tcase_add_test(c, tables_that_do_not_fit_are_refused);
	tcase_add_test(c, windows_that_do_not_fit_are_refused);
	tcase_add_test(c, rows_of_functions_that_do_not_fit_are_refused);
	tcase_add_test(c, what_only_images_have_is_refused_for_rows);
	tcase_add_test(c, images_and_rows_are_not_concatenated);
	tcase_add_test(c, every_allocation_may_fail);
	return run_suite(s);
}
