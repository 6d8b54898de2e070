/* The parameter store: names, views, freezing, errors, memory. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

/* Checks that the store has failed with this status and a message that contains word; clears the
 * error. */
static void store_refused(ebb_params *p, ebb_status status, const char *word)
{
	const ebb_error *e = ebb_params_error(p);

	ck_assert_msg(e != NULL, "no error about \"%s\"", word);
	ck_assert_msg(e->status == status, "status %d, expected %d: %s", (int)e->status,
		(int)status, e->message);
	ck_assert_msg(strstr(e->message, word) != NULL, "\"%s\" is not in: %s", word, e->message);
	ebb_params_clear_error(p);
	ck_assert_ptr_null(ebb_params_error(p));
}

static ebb_tensor *add(ebb_params *p, const char *name, int64_t n)
{
	return ebb_params_add(p, name, EBB_SHAPE(n), EBB_INIT(EBB_INIT_ZEROS));
}

START_TEST(parameters_are_counted_and_found_by_name)
{
	ebb_params *p = ebb_params_new(1), *layer = ebb_params_sub(p, "layer1"),
		   *block = ebb_params_sub(layer, "0");
	ebb_tensor *a = add(p, "conv1.weight", 4), *b = add(block, "conv1.weight", 6),
		   *c = add(layer, "1.bias", 1);
	ebb_tensor *mean = ebb_buffers_add(block, "bn1.running_mean", EBB_SHAPE(3), 0.5);

	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_ptr_eq(ebb_params_sub(p, "layer1.0"), block);
	ck_assert_ptr_eq(ebb_params_sub(p, "layer1"), layer);
	ck_assert_int_eq(ebb_params_count(p), 3);
	ck_assert_int_eq(ebb_params_elements(p), 11);
	ck_assert_int_eq(ebb_buffers_count(p), 1);
	ck_assert_int_eq(ebb_params_count(layer), 2);
	ck_assert_int_eq(ebb_params_elements(layer), 7);
	ck_assert_int_eq(ebb_params_count(block), 1);
	ck_assert_int_eq(ebb_buffers_count(block), 1);
	ck_assert_str_eq(ebb_params_name_at(p, 1), "layer1.0.conv1.weight");
	ck_assert_str_eq(ebb_params_name_at(layer, 1), "layer1.1.bias");
	ck_assert_str_eq(ebb_buffers_name_at(p, 0), "layer1.0.bn1.running_mean");
	ck_assert_str_eq(ebb_name(b), "layer1.0.conv1.weight");
	ck_assert_ptr_eq(ebb_params_at(p, 0), a);
	ck_assert_ptr_eq(ebb_params_at(layer, 0), b);
	ck_assert_ptr_eq(ebb_params_find(p, "layer1.1.bias"), c);
	ck_assert_ptr_eq(ebb_params_find(layer, "1.bias"), c);
	ck_assert_ptr_eq(ebb_params_find(block, "bn1.running_mean"), mean);
	ck_assert_ptr_null(ebb_params_find(block, "conv1"));
	ck_assert_ptr_null(ebb_params_find(layer, "conv1.weight"));
	ck_assert(ebb_requires_grad(a) && !ebb_requires_grad(mean));
	ck_assert(ebb_at(mean, 2) == 0.5 && ebb_at(a, 3) == 0);
	ck_assert_ptr_null(ebb_params_at(p, 3));
	ck_assert_ptr_null(ebb_params_at(p, -1));
	ck_assert_ptr_null(ebb_params_name_at(layer, 2));
	ck_assert_str_eq(ebb_params_full_name(block, "conv9"), "layer1.0.conv9");
	ck_assert_ptr_eq(
		ebb_params_full_name(block, "conv9"), ebb_params_full_name(p, "layer1.0.conv9"));
	ebb_params_free(layer);
	ck_assert_int_eq(ebb_params_count(p), 3);
	ebb_params_free(p);
}
END_TEST

/* "layer1" is not a prefix of "layer10.weight". */
START_TEST(a_prefix_ends_at_a_dot)
{
	ebb_params *p = ebb_params_new(1), *one = ebb_params_sub(p, "layer1");

	add(p, "layer10.weight", 5);
	add(one, "weight", 2);
	ck_assert_int_eq(ebb_params_elements(one), 2);
	ck_assert_int_eq(ebb_params_freeze(one, "*"), 1);
	ck_assert_int_eq(ebb_params_trainable(p), 5);
	ebb_params_free(p);
}
END_TEST

START_TEST(bad_names_and_shapes_are_errors)
{
	const char *const bad[] = {NULL, "", ".", ".a", "a.", "a..b"};
	ebb_params *p = ebb_params_new(1), *view = ebb_params_sub(p, "a");

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_ptr_null(add(p, bad[i], 1));
		store_refused(p, EBB_INVALID, "is not a valid name");
		ck_assert_ptr_null(ebb_params_sub(p, bad[i]));
		store_refused(p, EBB_INVALID, "is not a valid name");
		ck_assert_ptr_null(ebb_linear_new(p, bad[i], 1, 1).weight);
		store_refused(p, EBB_INVALID, ": linear_new: ");
	}
	ck_assert_ptr_nonnull(add(view, "b", 1));
	ck_assert_ptr_null(add(p, "a.b", 1));
	store_refused(p, EBB_INVALID, "\"a.b\" already exists");
	ck_assert_ptr_null(ebb_buffers_add(view, "b", EBB_SHAPE(1), 0));
	store_refused(p, EBB_INVALID, "params.c:");
	ck_assert_ptr_null(add(p, "c", -1));
	store_refused(p, EBB_BAD_SHAPE, "\"c\"");
	ck_assert_ptr_null(
		ebb_params_add(p, "d", EBB_SHAPE(INT64_MAX / 2, 8), EBB_INIT(EBB_INIT_ZEROS)));
	store_refused(p, EBB_BAD_SHAPE, "\"d\"");
	ck_assert_ptr_null(ebb_params_add(p, "e", EBB_SHAPE(3), EBB_INIT(EBB_INIT_ORTHOGONAL)));
	store_refused(p, EBB_BAD_SHAPE, "at least two axes");
	ck_assert_int_eq(ebb_params_count(p), 1);
	ebb_params_free(p);
}
END_TEST

START_TEST(the_first_error_stays)
{
	ebb_params *p = ebb_params_new(1);
	char first[500];

	add(p, "a..b", 1);
	strcpy(first, ebb_params_error(p)->message);
	ck_assert_ptr_null(add(p, "fine", 1));
	ck_assert_ptr_null(ebb_params_sub(p, "fine"));
	ck_assert(!ebb_params_set_dtype(p, EBB_F64));
	ck_assert_ptr_null(ebb_params_fail(p, EBB_INVALID, "here:1", "another"));
	ck_assert_str_eq(ebb_params_error(p)->message, first);
	ebb_params_clear_error(p);
	ck_assert_ptr_null(ebb_params_fail(p, EBB_BAD_STATE, "here:1", "layer %d of the user", 1));
	store_refused(p, EBB_BAD_STATE, "here:1: layer 1 of the user");
	ck_assert_ptr_nonnull(add(p, "fine", 1));
	ebb_params_free(p);
}
END_TEST

START_TEST(null_stores_are_accepted)
{
	ck_assert_ptr_nonnull(ebb_params_error(NULL));
	ck_assert_ptr_null(add(NULL, "a", 1));
	ck_assert_ptr_null(ebb_buffers_add(NULL, "a", EBB_SHAPE(1), 0));
	ck_assert_ptr_null(ebb_params_sub(NULL, "a"));
	ck_assert_ptr_null(ebb_params_full_name(NULL, "a"));
	ck_assert_ptr_null(ebb_params_find(NULL, "a"));
	ck_assert_ptr_null(ebb_params_at(NULL, 0));
	ck_assert_int_eq(
		ebb_params_count(NULL) + ebb_params_elements(NULL) + ebb_buffers_count(NULL), 0);
	ck_assert_int_eq(ebb_params_freeze(NULL, "*"), 0);
	ck_assert(ebb_params_grad_norm(NULL) == 0);
	ck_assert(!ebb_params_set_dtype(NULL, EBB_F64));
	ebb_params_zero_grad(NULL);
	ebb_params_clear_error(NULL);
	ebb_params_free(NULL);
}
END_TEST

START_TEST(dtype_cannot_change_after_the_first_parameter)
{
	ebb_params *p = ebb_params_new(1);

	ck_assert_int_eq(ebb_params_dtype(p), EBB_F32);
	ck_assert(!ebb_params_set_dtype(p, EBB_I64));
	store_refused(p, EBB_BAD_DTYPE, "I64");
	ck_assert(ebb_params_set_dtype(ebb_params_sub(p, "a"), EBB_F64));
	ck_assert_int_eq(ebb_dtype_of(add(p, "w", 2)), EBB_F64);
	ck_assert(ebb_params_set_dtype(p, EBB_F64));
	ck_assert(!ebb_params_set_dtype(p, EBB_F32));
	store_refused(p, EBB_BAD_STATE, "\"w\"");
	ebb_params_free(p);
}
END_TEST

START_TEST(freezing_selects_parameters_by_glob)
{
	const struct {
		const char *glob;
		int64_t matched, left;
	} cases[] = {
		{"layer1.*", 2, 4 + 8}, /* * matches dots */
		{"*.bias", 2, 1 + 8},
		{"fc.weigh?", 1, 1 + 2 + 4},
		{"layer[12].0.*", 2, 4 + 8},
		{"*", 4, 0},
		{"fc", 0, 15},
		{"", 0, 15},
	};
	ebb_params *p = ebb_params_new(1);

	add(p, "layer1.0.weight", 1);
	add(p, "layer1.0.bias", 2);
	add(p, "fc.bias", 4);
	add(p, "fc.weight", 8);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_int_eq(ebb_params_freeze(p, cases[i].glob), cases[i].matched);
		ck_assert_int_eq(ebb_params_trainable(p), cases[i].left);
		ck_assert_int_eq(ebb_params_elements(p), 15);
		ck_assert_int_eq(ebb_params_unfreeze(p, "*"), 4);
		ck_assert_int_eq(ebb_params_trainable(p), 15);
	}
	ck_assert_int_eq(ebb_params_freeze(p, NULL), 0);
	ck_assert_int_eq(ebb_params_freeze(ebb_params_sub(p, "fc"), "b*"), 1);
	ck_assert_int_eq(ebb_params_trainable(p), 11);
	ck_assert(ebb_params_match(p, 3, "fc.*") && !ebb_params_match(p, 4, "*") &&
		  !ebb_params_match(p, 0, "fc.*"));
	ebb_params_free(p);
}
END_TEST

/* loss = sum(3 a) + sum(4 b) */
static void backward(ebb_tape *t, ebb_tensor *a, ebb_tensor *b)
{
	ebb_tensor *loss = ebb_add(
		t, ebb_sum(t, ebb_mul_scalar(t, a, 3)), ebb_sum(t, ebb_mul_scalar(t, b, 4)));

	ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
	ebb_tape_reset(t);
}

START_TEST(gradient_norm_zero_grad_and_freezing_follow_the_view)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_tensor *a = add(p, "a", 2), *b = add(p, "b.w", 2);

	ck_assert(ebb_params_grad_norm(p) == 0);
	backward(t, a, b);
	ck_assert_double_eq_tol(ebb_params_grad_norm(p), sqrt(2 * 9 + 2 * 16), 1e-12);
	ck_assert_double_eq_tol(ebb_params_grad_norm(ebb_params_sub(p, "b")), sqrt(2 * 16), 1e-12);
	backward(t, a, b);
	ck_assert_double_eq_tol(ebb_params_grad_norm(p), 2 * sqrt(2 * 9 + 2 * 16), 1e-12);
	ebb_params_zero_grad(ebb_params_sub(p, "b"));
	ck_assert_ptr_null(ebb_grad_of(b));
	ck_assert_ptr_nonnull(ebb_grad_of(a));
	ck_assert_int_eq(ebb_params_freeze(p, "a"), 1);
	ck_assert_ptr_null(ebb_grad_of(a));
	backward(t, a, b);
	ck_assert_ptr_null(ebb_grad_of(a));
	ck_assert_double_eq_tol(ebb_params_grad_norm(p), sqrt(2 * 16), 1e-12);
	((float *)ebb_data_mutable(ebb_grad_of(b)))[0] = NAN;
	ck_assert(isnan(ebb_params_grad_norm(p)));
	ebb_params_zero_grad(p);
	ck_assert(ebb_params_grad_norm(p) == 0);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* Creates a model, a container and views while each allocation fails in turn. */
START_TEST(every_allocation_failure_is_reported)
{
	counting_allocator a;
	bool done = false;
	int fail_at = 0;

	for (; !done; fail_at++) {
		ebb_params *p, *view;
		ebb_sequential *s;
		ebb_linear fc;

		counting_allocator_install(&a);
		a.fail_at = fail_at;
		p = ebb_params_new(1);
		view = ebb_params_sub(p, "small");
		ebb_conv_new(view, "conv", 1, 2, 3);
		fc = ebb_linear_new(view, "fc", 3, 2);
		s = ebb_sequential_new(p, "features");
		for (int i = 0; i < 10; i++)
			ebb_sequential_bn(s, 3);
		ebb_sequential_linear(s, 8, 8, .init = EBB_INIT(EBB_INIT_ORTHOGONAL));
		done = a.refused == 0;
		if (done) {
			ck_assert_ptr_null(ebb_params_error(p));
			ck_assert_int_eq(ebb_params_count(p), 4 + 20 + 2);
		} else if (p) {
			ck_assert_int_eq(ebb_params_error(p)->status, EBB_NO_MEMORY);
			ck_assert_msg(!fc.weight || ebb_sequential_count(s) < 11, "at %d", fail_at);
		}
		ebb_params_free(p);
		counting_allocator_remove();
		ck_assert_msg(a.live == 0 && a.bytes == 0 && a.wrong == 0,
			"allocation %d: %lld blocks left, %lld wrong", fail_at, (long long)a.live,
			(long long)a.wrong);
	}
	ck_assert_int_gt(fail_at, 40);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-params");
	TCase *c = tcase_create("store");

	tcase_add_test(c, parameters_are_counted_and_found_by_name);
	tcase_add_test(c, a_prefix_ends_at_a_dot);
	tcase_add_test(c, bad_names_and_shapes_are_errors);
	tcase_add_test(c, the_first_error_stays);
	tcase_add_test(c, null_stores_are_accepted);
	tcase_add_test(c, dtype_cannot_change_after_the_first_parameter);
	tcase_add_test(c, freezing_selects_parameters_by_glob);
	tcase_add_test(c, gradient_norm_zero_grad_and_freezing_follow_the_view);
	tcase_add_test(c, every_allocation_failure_is_reported);
	suite_add_tcase(s, c);
	return run_suite(s);
}
