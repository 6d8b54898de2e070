/* Scopes: their paths, the values that they drop, their results; ebb_release. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

START_TEST(a_name_that_overlaps_the_path_continues_it)
{
	/* Names of nested scopes, and the path of the innermost. */
	static const struct {
		const char *names[4];
		const char *path;
	} cases[] = {
		{{"lenet", "conv2"}, "lenet.conv2"},
		{{"resnet", "layer1", "0", "conv1"}, "resnet.layer1.0.conv1"},
		{{"resnet", "layer1.0", "layer1.0.conv1"}, "resnet.layer1.0.conv1"},
		{{"resnet", "layer1", "layer1.0"}, "resnet.layer1.0"},
		{{"a.b.c", "b.c.d"}, "a.b.c.d"},
		{{"a.b.a.b", "a.b.a.b.c"}, "a.b.a.b.c"},
		{{"layer1", "layer10"}, "layer1.layer10"},
		{{"xlayer1", "layer1.conv"}, "xlayer1.layer1.conv"},
		{{"a", "b"}, "a.b"},
		{{"", "a"}, "a"},
		{{"a", ""}, "a"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int n = 0;

		for (; n < 4 && cases[i].names[n]; n++)
			ebb_scope_begin(tape, cases[i].names[n]);
		ck_assert_str_eq(ebb_current_scope(tape), cases[i].path);
		while (n--)
			ebb_scope_end(tape, NULL);
		ck_assert_str_eq(ebb_current_scope(tape), "");
	}
	ebb_scope_begin(tape, NULL);
	ck_assert_str_eq(ebb_current_scope(tape), "");
	ebb_scope_end(tape, NULL);
	ck_assert(!ebb_current_scope(NULL)[0]);
	ebb_scope_begin(NULL, "a");
	ck_assert_ptr_null(ebb_scope_end(NULL, NULL));
	assert_healthy(tape);
}
END_TEST

static const ebb_scope *seen_scope[2];
static int nseen;

static void keep_scope(void *ctx, const ebb_scope *s, const ebb_tensor *y)
{
	(void)ctx, (void)y;
	seen_scope[nseen++ % 2] = s;
}

START_TEST(the_same_path_is_always_the_same_scope_object)
{
	ebb_observer o = {.scope_ended = keep_scope};
	char name[] = "block";

	ck_assert(ebb_observe(tape, &o));
	ebb_scope_begin(tape, name);
	ebb_scope_end(tape, NULL);
	ebb_tape_reset(tape);
	memcpy(name, "other", 5); /* the tape has copied the name */
	ebb_scope_begin(tape, "block");
	ebb_scope_end(tape, NULL);
	ck_assert_int_eq(nseen, 2);
	ck_assert_ptr_eq(seen_scope[0], seen_scope[1]);
	ck_assert_str_eq(ebb_scope_path(seen_scope[0]), "block");
}
END_TEST

START_TEST(scope_end_drops_every_value_but_its_result)
{
	ebb_tensor *x = ebb_full(tape, EBB_SHAPE(100), 2), *a, *b, *c, *y, *view;
	size_t before = ebb_memory_of(tape).in_use, one;

	ebb_scope_begin(tape, "outer");
	a = ebb_square(tape, x);
	one = ebb_memory_of(tape).in_use - before;
	ebb_scope_begin(tape, "inner");
	b = ebb_exp(tape, a);
	c = ebb_neg(tape, b);
	view = ebb_reshape(tape, c, EBB_SHAPE(10, 10));
	ck_assert_ptr_eq(ebb_scope_end(tape, view), view);
	ck_assert_uint_eq(
		ebb_memory_of(tape).in_use, before + 2 * one); /* a, and the view's memory */
	ck_assert(ebb_at(view, 99) == -exp(4) && ebb_at(a, 0) == 4 && ebb_at(x, 0) == 2);
	ck_assert(isnan(ebb_at(b, 0)));
	check_error(tape, EBB_BAD_STATE, "at",
		(const char *[]){"dropped at the end of scope outer.inner", NULL});
	ebb_clear_error(tape);
	assert_refused(tape, EBB_BAD_STATE, ebb_neg(tape, c), "outer.inner", "input 0");
	y = ebb_scope_end(tape, ebb_add(tape, view, view));
	ck_assert(ebb_at(y, 0) == -2 * exp(4));
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, before + one);
	assert_refused(tape, EBB_BAD_STATE, ebb_neg(tape, view), "end of scope outer");
	/* The shape of a dropped tensor stays readable.  A tensor from outside may be the
	 * result. */
	ck_assert_int_eq(ebb_size(view, 0), 10);
	ebb_scope_begin(tape, "identity");
	ck_assert_ptr_eq(ebb_scope_end(tape, x), x);
	ebb_scope_begin(tape, "nothing");
	ck_assert_ptr_null(ebb_scope_end(tape, NULL));
	ck_assert(ebb_at(x, 0) == 2 && ebb_at(y, 0) == -2 * exp(4));
	assert_healthy(tape);
}
END_TEST

START_TEST(gradients_do_not_depend_on_scopes)
{
	ebb_tensor *p = persistent_random(EBB_F64, EBB_SHAPE(4), 1),
		   *x = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(4), 2)), *y, *g, *inner;

	ebb_set_requires_grad(p, true);
	ebb_scope_begin(tape, "a");
	y = ebb_mul(tape, ebb_exp(tape, ebb_mul(tape, x, p)), x);
	ebb_scope_begin(tape, "b");
	inner = ebb_variable(tape, y);
	ck_assert(ebb_backward(tape,
		ebb_sum(tape, ebb_square(tape, inner)))); /* inner's gradient outlives the scope */
	ebb_scope_end(tape, NULL);
	ck_assert(ebb_at(ebb_grad_of(inner), 0) == 2 * ebb_at(y, 0));
	y = ebb_scope_end(tape, ebb_sum(tape, y));
	ck_assert(ebb_grad(tape, y, 1, &x, &g, .create_graph = true));
	ck_assert(ebb_backward(tape, ebb_sum(tape, g)));
	for (int i = 0; i < 4; i++) {
		double w = ebb_at(p, i), e = exp(2 * w);

		ck_assert_double_eq_tol(ebb_at(g, i), e * (1 + 2 * w), 1e-13);
		ck_assert_double_eq_tol(
			ebb_at(ebb_grad_of(p), i), e * (2 * (1 + 2 * w) + 2), 1e-12);
	}
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(a_scope_does_not_drop_persistent_tensors)
{
	ebb_tensor *p = persistent_random(EBB_F64, EBB_SHAPE(4), 1), *y;

	ebb_set_training(tape, false);
	ebb_scope_begin(tape, "eval");
	y = ebb_dropout(tape, p, 0.5); /* in evaluation mode, the handle of p */
	ck_assert_ptr_eq(ebb_scope_end(tape, y), y);
	ck_assert(ebb_at(y, 1) == ebb_at(p, 1));
	ebb_scope_begin(tape, "again");
	ck_assert_ptr_eq(ebb_scope_end(tape, p), p);
	ebb_release(tape, y);
	ebb_release(tape, p);
	ck_assert(ebb_at(ebb_neg(tape, y), 1) == -ebb_at(p, 1));
	assert_healthy(tape);
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(no_grad_scopes_use_constant_memory)
{
	ebb_tensor *x = ebb_full(tape, EBB_SHAPE(1000), 0.5), *y;
	size_t one = ebb_memory_of(tape).in_use, early = 0;

	ebb_set_recording(tape, false);
	for (int depth = 0; depth < 200; depth++) {
		ebb_scope_begin(tape, "layer");
		y = ebb_tanh(tape, ebb_add(tape, ebb_square(tape, x), x));
		ebb_scope_end(tape, y);
		ebb_release(tape, x);
		x = y;
		if (depth == 3)
			early = ebb_memory_of(tape).peak;
	}
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, one);
	ck_assert_uint_eq(ebb_memory_of(tape).peak, early);
	ck_assert_uint_le(early, 4 * one);
}
END_TEST

START_TEST(begin_and_end_stay_paired_on_a_failed_tape)
{
	ebb_tensor *x = ebb_ones(tape, EBB_SHAPE(2));

	ebb_scope_begin(tape, "a");
	ebb_matmul(tape, x, ebb_ones(tape, EBB_SHAPE(3)));
	ebb_scope_begin(tape, "b");
	ck_assert_str_eq(ebb_current_scope(tape), "a.b");
	ck_assert_ptr_null(ebb_scope_end(tape, x));
	ck_assert_ptr_null(ebb_scope_end(tape, NULL));
	ck_assert_str_eq(ebb_current_scope(tape), "");
	ck_assert_ptr_nonnull(strstr(ebb_error_message(tape), "in a"));
	ebb_clear_error(tape);
	x = ebb_ones(tape, EBB_SHAPE(2));
	assert_refused(tape, EBB_BAD_STATE, ebb_scope_end(tape, x),
		"scopes.c:", ": scope_end: no scope is open");
	ck_assert(ebb_at(x, 0) == 1);
}
END_TEST

START_TEST(an_error_names_the_scope)
{
	ebb_tensor *x = ebb_ones(tape, EBB_SHAPE(1, 3, 4, 4)),
		   *w = ebb_ones(tape, EBB_SHAPE(2, 6, 3, 3));

	ebb_scope_begin(tape, "lenet");
	ebb_scope_begin(tape, "conv2");
	assert_refused(tape, EBB_BAD_SHAPE, ebb_conv2d(tape, x, w), "scopes.c:",
		"conv2d: x has 3 channels, w expects 6 (x [1,3,4,4], w [2,6,3,3]) in lenet.conv2");
	ebb_scope_end(tape, NULL);
	ebb_scope_end(tape, NULL);
}
END_TEST

/* ---- Release ---------------------------------------------------------------------------- */

START_TEST(release_frees_values_that_no_gradient_needs)
{
	ebb_tensor *x = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(100), 2)), *h, *s, *y;
	size_t before = ebb_memory_of(tape).in_use, one;

	h = ebb_neg(tape, x);
	one = ebb_memory_of(tape).in_use - before;
	s = ebb_square(tape, h); /* its gradient reads h */
	y = ebb_add_scalar(tape, s, 1);
	ebb_release(tape, s); /* no gradient reads s */
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, before + 2 * one);
	ebb_release(tape, s);
	ebb_release(tape, h);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, before + 2 * one);
	assert_refused(tape, EBB_BAD_STATE, ebb_exp(tape, h), "released");
	ck_assert(ebb_backward(tape, y, .gy = ebb_ones_like(tape, y)));
	ck_assert(ebb_at(ebb_grad_of(x), 5) == 4);
	/* In use: y, the gradient ones, and x's gradient. */
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, before + 3 * one);
	ebb_release(tape, NULL);
	ebb_release(NULL, x);
	ck_assert(
		isnan(ebb_item(h)) && !ebb_data(h) && !ebb_data_mutable(h) && !ebb_detach_copy(h));
	ck_assert_ptr_nonnull(strstr(ebb_error_message(tape), "released"));
}
END_TEST

START_TEST(a_view_keeps_released_memory)
{
	ebb_tensor *x = ebb_full(tape, EBB_SHAPE(4, 25), 3), *row = ebb_slice(tape, x, 0, 1, 2, 1);
	size_t in_use = ebb_memory_of(tape).in_use;

	ebb_release(tape, x);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, in_use);
	ck_assert(ebb_at(row, 24) == 3);
	ebb_release(tape, row);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

START_TEST(reset_with_an_open_scope_names_the_line_that_began_it)
{
	char line[200];
	ebb_tensor *x;

	ebb_scope_begin(tape, "a");
	ebb_scope_begin(tape, "b"), snprintf(line, sizeof line, "%s", EBB_SITE);
	ebb_ones(tape, EBB_SHAPE(2));
	ebb_tape_reset(tape);
	check_error(tape, EBB_BAD_STATE, "reset",
		(const char *[]){
			line, "scope_begin", "reset while this scope was open", "in a.b", NULL});
	ebb_clear_error(tape);
	/* The reset has closed both scopes. */
	ck_assert_str_eq(ebb_current_scope(tape), "");
	x = ebb_ones(tape, EBB_SHAPE(2));
	assert_refused(tape, EBB_BAD_STATE, ebb_scope_end(tape, x), "no scope is open");
	ck_assert(ebb_at(x, 0) == 1);
	/* The first error stays. */
	ebb_scope_begin(tape, "c");
	ebb_item(ebb_ones(tape, EBB_SHAPE(2)));
	ebb_tape_reset(tape);
	check_error(tape, EBB_BAD_SHAPE, "item", (const char *[]){"item", NULL});
	ebb_clear_error(tape);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/scopes");
	TCase *c = tcase_create("scopes");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_name_that_overlaps_the_path_continues_it);
	tcase_add_test(c, the_same_path_is_always_the_same_scope_object);
	tcase_add_test(c, scope_end_drops_every_value_but_its_result);
	tcase_add_test(c, gradients_do_not_depend_on_scopes);
	tcase_add_test(c, a_scope_does_not_drop_persistent_tensors);
	tcase_add_test(c, no_grad_scopes_use_constant_memory);
	tcase_add_test(c, begin_and_end_stay_paired_on_a_failed_tape);
	tcase_add_test(c, an_error_names_the_scope);
	tcase_add_test(c, release_frees_values_that_no_gradient_needs);
	tcase_add_test(c, a_view_keeps_released_memory);
	tcase_add_test(c, reset_with_an_open_scope_names_the_line_that_began_it);
	suite_add_tcase(s, c);
	return run_suite(s);
}
