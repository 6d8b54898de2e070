/* One check for each step (ebb_ok) finds the earliest error of all objects. */
#include "tests/support/support.h"

#include <string.h>

static ebb_tape *tape;
static ebb_params *store;
static ebb_linear fc;
static ebb_dataset *digits;

static void set_up(void)
{
	tape = ebb_tape_new();
	store = ebb_params_new(1);
	fc = ebb_linear_new(store, "fc", 4, 2);
	digits = ebb_digits(8, 1, NULL);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
	ebb_params_free(store);
	ebb_dataset_free(digits);
}

/* Check's macros would print the whole expression. */
static bool is_ok(ebb_optim *opt)
{
	return ebb_ok(tape, store, opt);
}

static bool step(ebb_optim *opt)
{
	ebb_tensor *y = ebb_linear_forward(tape, &fc, ebb_ones(tape, EBB_SHAPE(1, 4)));

	ebb_params_zero_grad(store);
	ebb_backward(tape, ebb_sum(tape, y));
	ebb_optim_step(opt);
	ebb_tape_reset(tape);
	return !ebb_failed(tape);
}

START_TEST(without_errors_all_is_ok)
{
	ebb_optim *opt = ebb_sgd(store, .lr = 0.1);
	ebb_loader *loader = ebb_loader_new(.data = digits, .batch = 2);
	ebb_error e = {0};

	ck_assert(step(opt));
	ck_assert_msg(ebb_ok(tape), "one");
	ck_assert_msg(ebb_ok(tape, store, opt, loader, &e), "five");
	ck_assert_ptr_null(ebb_first_error(opt, tape));
	ebb_loader_free(loader);
	ebb_optim_free(opt);
}
END_TEST

START_TEST(an_optimizer_that_could_not_be_created_fails_the_tape_at_the_next_step)
{
	ebb_optim *opt = ebb_sgd(store, .lr = -1);
	uint64_t before = params_hash(store);

	ck_assert_ptr_null(opt);
	ck_assert(!is_ok(opt));
	ck_assert_ptr_eq(ebb_first_error(tape, opt, store), ebb_params_error(store));
	/* From the next use of a parameter on, the tape has the error, too. */
	ck_assert(!step(opt));
	check_error(tape, EBB_INVALID, "the forward pass",
		(const char *[]){"errors.c:", "sgd: lr -1, expected a number >= 0", NULL});
	ck_assert_uint_eq(params_hash(store), before);
	ebb_params_clear_error(store);
	ebb_clear_error(tape);
	opt = ebb_sgd(store, .lr = 1);
	ck_assert(step(opt) && is_ok(opt));
	ck_assert_uint_ne(params_hash(store), before);
	ebb_optim_free(opt);
}
END_TEST

START_TEST(a_store_that_fails_while_a_tape_uses_it_fails_the_tape)
{
	ebb_tensor *w = ebb_params_find(store, "fc.weight");

	ck_assert_ptr_nonnull(ebb_exp(tape, w));
	ebb_sgd(store, .lr = -1);
	assert_refused(tape, EBB_INVALID, ebb_exp(tape, w), "errors.c:", "sgd: lr -1");
}
END_TEST

START_TEST(without_a_store_the_null_optimizer_is_the_error)
{
	ebb_optim *opt = NULL;
	ebb_tape *none = NULL;

	ck_assert_ptr_eq(ebb_first_error(tape, store, opt), ebb_optim_error(NULL));
	ck_assert_ptr_nonnull(strstr(ebb_first_error(opt)->message, "the optimizer is NULL"));
	ck_assert_msg(!ebb_ok(none), "no tape");
	ck_assert_int_eq(ebb_first_error(none)->status, EBB_NO_MEMORY);
}
END_TEST

START_TEST(a_refused_step_is_reported)
{
	ebb_optim *opt = ebb_sgd(store, .lr = 0.1);

	ck_assert(!ebb_optim_step(opt));
	ck_assert(!is_ok(opt));
	ck_assert_ptr_null(ebb_first_error(tape, store));
	ck_assert_ptr_nonnull(strstr(ebb_first_error(tape, store, opt)->message, "sgd: none of 2"));
	ebb_optim_clear_error(opt);
	ck_assert(step(opt) && is_ok(opt));
	ebb_optim_free(opt);
}
END_TEST

START_TEST(the_earliest_error_wins_whatever_the_order_of_arguments)
{
	ebb_error file = {0}, never = {0};
	ebb_loader *loader = ebb_loader_new(.data = digits, .batch = 0, .error = &file);

	ck_assert_ptr_null(loader);
	ebb_item(ebb_ones(tape, EBB_SHAPE(2)));
	ebb_clip_grad_norm(store, -1);
	ck_assert_uint_lt(file.order, ebb_tape_error(tape)->order);
	ck_assert_ptr_eq(ebb_first_error(tape, store, &file, loader), &file);
	ck_assert_ptr_eq(ebb_first_error(&never, loader, &file, store, tape), &file);
	ck_assert_ptr_eq(ebb_first_error(store, tape), ebb_tape_error(tape));
	ebb_clear_error(tape);
	ck_assert_ptr_eq(ebb_first_error(tape, store), ebb_params_error(store));
	/* A tape that uses the store's parameters gets the store's error with its order. */
	ck_assert(!step(NULL));
	ck_assert_uint_eq(ebb_tape_error(tape)->order, ebb_params_error(store)->order);
	ck_assert_str_eq(ebb_error_message(tape), ebb_params_error(store)->message);
}
END_TEST

START_TEST(several_tapes_are_checked_at_once)
{
	ebb_tape *t[7];

	for (int i = 0; i < 7; i++)
		t[i] = ebb_tape_new();
	ebb_item(ebb_ones(t[5], EBB_SHAPE(2)));
	ebb_item(ebb_ones(t[2], EBB_SHAPE(2)));
	ck_assert_ptr_eq(ebb_first_error(t[0], t[1], t[2], t[3], t[4], t[5], t[6], store),
		ebb_tape_error(t[5]));
	for (int i = 0; i < 7; i++)
		ebb_tape_free(t[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine/errors");
	TCase *c = tcase_create("errors");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, without_errors_all_is_ok);
	tcase_add_test(c, an_optimizer_that_could_not_be_created_fails_the_tape_at_the_next_step);
	tcase_add_test(c, a_store_that_fails_while_a_tape_uses_it_fails_the_tape);
	tcase_add_test(c, without_a_store_the_null_optimizer_is_the_error);
	tcase_add_test(c, a_refused_step_is_reported);
	tcase_add_test(c, the_earliest_error_wins_whatever_the_order_of_arguments);
	tcase_add_test(c, several_tapes_are_checked_at_once);
	suite_add_tcase(s, c);
	return run_suite(s);
}
