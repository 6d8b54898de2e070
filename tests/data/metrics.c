/* Top-k errors and confusion matrices. */
#include "tests/support/support.h"

#include <math.h>

static ebb_tensor *logits, *labels;

static void make(void)
{
	static const double x[] = {3, 1, 2, /* */ 1, 1, 0, /* */ 0, 5, 4, /* */ 1, 2, 9};

	logits = ebb_tensor_new(EBB_F64, EBB_SHAPE(4, 3), false, NULL);
	labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(4), false, NULL);
	ebb_copy_in(logits, x, sizeof x);
	ebb_copy_in(labels, (int64_t[]){0, 1, 2, 2}, 4 * sizeof(int64_t));
}

static void drop(void)
{
	ebb_tensor_free(logits);
	ebb_tensor_free(labels);
}

START_TEST(topk_error_is_the_share_of_wrong_rows)
{
	ck_assert_double_eq(ebb_topk_error(logits, labels, 1), 0.5);
	ck_assert_double_eq(ebb_topk_error(logits, labels, 2), 0);
	ck_assert_double_eq(ebb_topk_error(logits, labels, 1), 1 - ebb_accuracy(logits, labels));
	ck_assert_double_nan(ebb_topk_error(logits, labels, 0));
	ck_assert_double_nan(ebb_topk_error(NULL, labels, 1));
}
END_TEST

START_TEST(a_confusion_matrix_counts_labels_and_predictions)
{
	ebb_confusion *c = ebb_confusion_new(3, NULL);
	const int64_t once[] = {1, 0, 0, 1, 0, 0, 0, 1, 1};

	ck_assert_double_nan(ebb_confusion_accuracy(c));
	for (int times = 1; times <= 2; times++) {
		ck_assert(ebb_confusion_add(c, logits, labels));
		for (int i = 0; i < 9; i++)
			ck_assert_int_eq(c->times[i], times * once[i]);
	}
	ck_assert_double_eq(ebb_confusion_accuracy(c), 0.5);
	ck_assert_double_eq(ebb_confusion_accuracy(c), ebb_accuracy(logits, labels));
	ck_assert_double_eq(ebb_confusion_class_accuracy(c, 0), 1);
	ck_assert_double_eq(ebb_confusion_class_accuracy(c, 1), 0);
	ck_assert_double_eq(ebb_confusion_class_accuracy(c, 2), 0.5);
	ck_assert_double_nan(ebb_confusion_class_accuracy(c, 3));
	ck_assert_double_nan(ebb_confusion_class_accuracy(c, -1));
	ebb_confusion_clear(c);
	ck_assert_double_nan(ebb_confusion_class_accuracy(c, 0));
	ebb_confusion_free(c);
	ebb_confusion_free(NULL);
}
END_TEST

/* A transposed view in single precision; the labels are a column. */
START_TEST(transposed_logits_are_read)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(3, 2), (double[]){1, 7, 2, 5, 3, 6});
	ebb_tensor *of = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){2, 1});
	ebb_confusion *c = ebb_confusion_new(3, NULL);

	ck_assert(ebb_confusion_add(c, ebb_transpose(t, x, 0, 1), of));
	assert_healthy(t);
	ck_assert(c->times[2 * 3 + 2] == 1 && c->times[1 * 3 + 0] == 1);
	ebb_confusion_free(c);
	ebb_tape_free(t);
}
END_TEST

START_TEST(invalid_arguments_are_refused)
{
	ebb_error e = {0};
	ebb_confusion *c = ebb_confusion_new(3, NULL), *two = ebb_confusion_new(2, NULL);

	ck_assert(!ebb_confusion_add(two, logits, labels));
	ck_assert(
		!ebb_confusion_add(NULL, logits, labels) && !ebb_confusion_add(c, labels, labels));
	((int64_t *)ebb_data_mutable(labels))[3] = 3;
	ck_assert(!ebb_confusion_add(c, logits, labels));
	((int64_t *)ebb_data_mutable(labels))[3] = 0;
	((double *)ebb_data_mutable(logits))[11] = NAN;
	ck_assert(!ebb_confusion_add(c, logits, labels));
	ck_assert_double_nan(ebb_confusion_accuracy(c));
	ck_assert(!ebb_confusion_new(0, &e) && e.status == EBB_INVALID);
	/* 2^64 bytes and 290 million more. */
	e = (ebb_error){0};
	ck_assert(!ebb_confusion_new(1518500250, &e) && e.status == EBB_NO_MEMORY);
	ebb_confusion_free(c);
	ebb_confusion_free(two);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-metrics");
	TCase *c = tcase_create("metrics");

	tcase_add_checked_fixture(c, make, drop);
	tcase_add_test(c, topk_error_is_the_share_of_wrong_rows);
	tcase_add_test(c, a_confusion_matrix_counts_labels_and_predictions);
	tcase_add_test(c, transposed_logits_are_read);
	tcase_add_test(c, invalid_arguments_are_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
