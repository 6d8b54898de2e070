/* In debug mode, using a handle from before a reset or a rewind is an error that names its
 * origin. */
#include "tests/autograd/fixture.h"

#include <math.h>

/* Asserts that the tape has failed because of a stale tensor that op created at that line, and
 * clears the error. */
static void check_stale(const char *call, const char *op, const char *line)
{
	char made_by[300];

	snprintf(made_by, sizeof made_by, "it was made by %s at %s", op, line);
	check_error(tape, EBB_BAD_STATE, call,
		(const char *[]){"is gone since the tape was reset or rewound", made_by, NULL});
	ebb_clear_error(tape);
}

static const char *LINE;
#define HERE(call) (LINE = EBB_SITE, (call))

START_TEST(a_handle_is_never_reused_for_another_tensor)
{
	ebb_tensor *a = HERE(ebb_full(tape, EBB_SHAPE(3), 1)), *b;

	ebb_tape_reset(tape);
	b = ebb_full(tape, EBB_SHAPE(3), 2);
	ck_assert_ptr_ne(a, b);
	ck_assert(isnan(ebb_at(a, 0)));
	check_stale("at", "full", LINE);
	ck_assert(ebb_at(b, 0) == 2);
	assert_healthy(tape);
}
END_TEST

START_TEST(every_accessor_refuses_a_stale_handle)
{
	ebb_tensor *a = HERE(ebb_exp(tape, vector()));
	double out[4];
	char text[100];

	ebb_set_name(a, "a");
	ebb_tape_reset(tape);
#define REFUSES(call, value)                                                                       \
	ck_assert((call) == (value));                                                              \
	check_stale(#call, "exp", LINE)
	REFUSES(ebb_ndim(a), 0);
	REFUSES(ebb_size(a, 0), 0);
	REFUSES(ebb_stride(a, 0), 0);
	REFUSES(ebb_count(a), 0);
	REFUSES(ebb_shape_of(a).ndim, 0);
	REFUSES(ebb_dtype_of(a), EBB_DEFAULT);
	REFUSES(ebb_requires_grad(a), false);
	REFUSES(ebb_name(a)[0], '\0');
	REFUSES(isnan(ebb_item(a)), true);
	REFUSES(isnan(ebb_at(a, 0)), true);
	REFUSES(ebb_copy_out(a, out, sizeof out), false);
	REFUSES(ebb_copy_in(a, out, sizeof out), false);
	REFUSES(ebb_data(a), NULL);
	REFUSES(ebb_data_mutable(a), NULL);
	REFUSES(ebb_detach_copy(a), NULL);
	REFUSES(ebb_grad_of(a), NULL);
	ebb_set_name(a, "b");
	check_stale("set_name", "exp", LINE);
	ebb_zero_grad(a);
	check_stale("zero_grad", "exp", LINE);
	ck_assert_str_eq(ebb_describe(a, text, sizeof text), "F64 [4]");
	check_stale("describe", "exp", LINE);
	/* These ignore a stale handle. */
	ebb_release(tape, a);
	ck_assert_ptr_null(ebb_node_of(a));
	assert_healthy(tape);
}
END_TEST

START_TEST(every_op_refuses_a_stale_handle)
{
	ebb_tensor *a = HERE(ebb_exp(tape, vector())), *b, *g, *list[2];

	ebb_tape_reset(tape);
	b = ebb_variable(tape, vector());
	list[0] = b;
	list[1] = a;
#define REFUSED(call)                                                                              \
	ck_assert(!(call));                                                                        \
	check_stale(#call, "exp", LINE)
	REFUSED(ebb_neg(tape, a));
	REFUSED(ebb_add(tape, b, a));
	REFUSED(ebb_concat(tape, 2, list, 0));
	REFUSED(ebb_softmax(tape, a, 0));
	REFUSED(ebb_reshape(tape, a, EBB_SHAPE(2, 2)));
	REFUSED(ebb_mse_loss(tape, a, b));
	REFUSED(ebb_variable(tape, a));
	REFUSED(ebb_detach(tape, a));
	REFUSED(ebb_backward(tape, a));
	REFUSED(ebb_backward(tape, ebb_exp(tape, b), a));
	REFUSED(ebb_grad(tape, ebb_sum(tape, b), 1, &a, &g));
	assert_healthy(tape);
}
END_TEST

START_TEST(variables_and_gradients_become_stale)
{
	ebb_tensor *x = HERE(ebb_variable(tape, vector())), *g, *h;
	const char *line = LINE;

	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, x))));
	g = ebb_grad_of(x);
	HERE(ebb_grad(tape, ebb_sum(tape, ebb_square(tape, x)), 1, &x, &h));
	ck_assert(ebb_at(g, 0) == 1 && ebb_at(h, 0) == 1);
	ebb_tape_reset(tape);
	ck_assert_ptr_null(ebb_grad_of(x));
	check_stale("grad_of", "variable", line);
	ck_assert(isnan(ebb_at(g, 0)));
	check_error(tape, EBB_BAD_STATE, "at", (const char *[]){"is gone since", NULL});
	ebb_clear_error(tape);
	ck_assert(isnan(ebb_at(h, 0)));
	check_error(tape, EBB_BAD_STATE, "at", (const char *[]){"is gone since", NULL});
	ebb_clear_error(tape);
}
END_TEST

START_TEST(a_rewind_makes_handles_after_the_mark_stale)
{
	ebb_tensor *kept = ebb_variable(tape, vector()), *old[5], *y;
	ebb_mark m = ebb_tape_mark(tape);

	for (int k = 0; k < 5; k++) {
		old[k] = HERE(ebb_exp(tape, kept));
		ck_assert(ebb_backward(tape, ebb_sum(tape, old[k])));
		ebb_rewind(tape, m);
		for (int i = 0; i <= k; i++) {
			ck_assert(isnan(ebb_at(old[i], 0)));
			check_stale("at", "exp", LINE);
		}
		ck_assert(ebb_at(kept, 0) == values[0]);
	}
	y = ebb_exp(tape, kept);
	ck_assert(ebb_backward(tape, ebb_sum(tape, y)));
	ck_assert(ebb_at(ebb_grad_of(kept), 0) == exp(values[0]));
	assert_healthy(tape);
}
END_TEST

/* Without new nodes, two marks differ only by the number of handles. */
START_TEST(marks_of_a_discarded_part_are_refused)
{
	ebb_tensor *s = persistent_random(EBB_F64, EBB_SHAPE(4), 1), *y;
	ebb_mark first, second;

	ebb_set_recording(tape, false);
	first = ebb_tape_mark(tape);
	ebb_scope_begin(tape, "inside");
	ebb_exp(tape, s);
	ebb_scope_end(tape, NULL);
	second = ebb_tape_mark(tape);
	ebb_rewind(tape, first);
	y = ebb_exp(tape, s);
	ebb_rewind(tape, second);
	check_error(
		tape, EBB_BAD_STATE, "rewind", (const char *[]){"rewind: the mark is of", NULL});
	ebb_clear_error(tape);
	ck_assert(ebb_at(y, 0) == ebb_at(ebb_exp(tape, s), 0));
	/* A new mark at the position of the rewind is as valid as the first. */
	ebb_rewind(tape, first);
	second = ebb_tape_mark(tape);
	ebb_exp(tape, s);
	ebb_rewind(tape, first);
	ebb_rewind(tape, second);
	assert_healthy(tape);
	ebb_tape_reset(tape);
	ebb_tensor_free(s);
}
END_TEST

START_TEST(a_stale_handle_fails_the_tape_that_it_is_passed_to)
{
	ebb_tape *other = ebb_tape_new();
	ebb_tensor *a = HERE(ebb_exp(tape, vector())), *x, *y, *g;

	ebb_set_default_dtype(other, EBB_F64);
	ebb_tape_reset(tape);
	ebb_add(tape, NULL, NULL); /* an unrelated error on the handle's own tape */
	x = ebb_variable(other, ebb_ones(other, EBB_SHAPE(4)));
	y = ebb_exp(other, x);
#define OTHER_REFUSES(call)                                                                        \
	ck_assert_msg(!(call), "%s was accepted", #call);                                          \
	check_error(other, EBB_BAD_STATE, #call,                                                   \
		(const char *[]){                                                                  \
			"is gone since its tape was reset", "made by exp at", LINE, NULL});        \
	ebb_clear_error(other)
	OTHER_REFUSES(ebb_neg(other, a));
	OTHER_REFUSES(ebb_backward(other, a));
	OTHER_REFUSES(ebb_backward(other, y, a));
	OTHER_REFUSES(ebb_grad(other, y, 1, &a, &g, .gy = x));
	OTHER_REFUSES(ebb_jacobian(other, y, 1, &a, &g));
	OTHER_REFUSES(ebb_jvp(other, y, 1, &x, &a));
	OTHER_REFUSES(ebb_hessian(other, ebb_sum(other, y), 1, &a, &g));
	check_error(tape, EBB_INVALID, "add", (const char *[]){"add", NULL});
	ebb_clear_error(tape);
	ebb_tape_free(other);
}
END_TEST

static ebb_tensor *segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_sin(t, ebb_exp(t, x));
}

/* The engine keeps some handles across its own rewinds; the loop takes many chunks of the handles'
 * arena. */
START_TEST(debug_mode_does_not_change_checkpoints_transforms_and_long_loops)
{
	for (int k = 0; k < 3000; k++) {
		ebb_tensor *x = ebb_variable(tape, vector()), *v = vector(), *jv,
			   *y = ebb_sum(tape, ebb_checkpoint(tape, segment, NULL, x));

		jv = ebb_jvp(tape, y, 1, &x, &v);
		ck_assert(ebb_backward(tape, y));
		ck_assert_double_eq_tol(
			ebb_at(ebb_grad_of(x), 0), cos(exp(values[0])) * exp(values[0]), 1e-14);
		ck_assert(isfinite(ebb_item(jv)));
		assert_healthy(tape);
		ebb_tape_reset(tape);
	}
}
END_TEST

static void set_up_lean(void)
{
	debug_off();
	set_up();
}

static void tear_down_lean(void)
{
	tear_down();
	debug_as_before();
}

START_TEST(without_debug_mode_a_loop_takes_no_more_memory)
{
	size_t reserved = 0;

	for (int k = 0; k < 2000; k++) {
		for (int i = 0; i < 50; i++)
			ebb_exp(tape, ebb_variable(tape, vector()));
		ebb_tape_reset(tape);
		if (k == 0)
			reserved = ebb_memory_of(tape).reserved;
	}
	ck_assert_uint_eq(ebb_memory_of(tape).reserved, reserved);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/stale");
	TCase *c = tcase_create("stale"), *lean = tcase_create("lean");

	tcase_add_checked_fixture(c, debug_on, debug_as_before);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_handle_is_never_reused_for_another_tensor);
	tcase_add_test(c, every_accessor_refuses_a_stale_handle);
	tcase_add_test(c, every_op_refuses_a_stale_handle);
	tcase_add_test(c, variables_and_gradients_become_stale);
	tcase_add_test(c, a_rewind_makes_handles_after_the_mark_stale);
	tcase_add_test(c, marks_of_a_discarded_part_are_refused);
	tcase_add_test(c, a_stale_handle_fails_the_tape_that_it_is_passed_to);
	tcase_add_test(c, debug_mode_does_not_change_checkpoints_transforms_and_long_loops);
	suite_add_tcase(s, c);
	tcase_add_checked_fixture(lean, set_up_lean, tear_down_lean);
	tcase_add_test(lean, marks_of_a_discarded_part_are_refused);
	tcase_add_test(lean, without_debug_mode_a_loop_takes_no_more_memory);
	suite_add_tcase(s, lean);
	return run_suite(s);
}
