/* The tape: reset, consumed graphs, versions, persistent tensors on several tapes, random state. */
#include "fixture.h"

#include <math.h>
#include <string.h>

static ebb_tensor *persistent_vector(void)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(4), false, NULL);

	ck_assert(ebb_copy_in(x, values, sizeof values));
	return x;
}

/* ---- Reset --------------------------------------------------------------------------------- */

START_TEST(the_second_step_allocates_nothing)
{
	ebb_tensor *p;
	counting_allocator a;
	ebb_tape *t;
	ebb_memory first = {0}, now;
	int64_t calls = 0;

	counting_allocator_install(&a);
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
	p = persistent_vector();
	ebb_set_requires_grad(p, true);
	for (int step = 0; step < 4; step++) {
		ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(4), values)), *y, *g;
		ebb_mark m;

		ebb_set_name(x, "x");
		ebb_scope_begin(t, "step");
		y = ebb_sum(t, ebb_exp(t, ebb_mul(t, x, p)));
		m = ebb_tape_mark(t);
		ck_assert(ebb_grad(t, y, 1, &x, &g, .create_graph = true));
		ck_assert(ebb_grad(t, ebb_sum(t, g), 1, &x, &g));
		ebb_rewind(t, m);
		ck_assert(ebb_backward(t, y));
		ebb_scope_end(t, NULL);
		ebb_tape_reset(t);
		now = ebb_memory_of(t);
		ck_assert(now.in_use == 0 && now.nodes == 0);
		if (step == 0) {
			first = now;
			calls = a.calls;
		}
		ck_assert_uint_eq(now.reserved, first.reserved);
		ck_assert_uint_eq(now.peak, first.peak);
		ck_assert_int_eq(a.calls, calls);
	}
	ebb_memory_reset_peak(t);
	ck_assert_uint_eq(ebb_memory_of(t).peak, 0);
	ebb_tape_free(t);
	ebb_tensor_free(p);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

START_TEST(setters_of_modes_return_the_former_mode)
{
	ck_assert(ebb_is_recording(tape) && ebb_is_training(tape));
	ck_assert(ebb_set_recording(tape, false) && !ebb_set_recording(tape, true));
	ck_assert(ebb_set_training(tape, false) && !ebb_is_training(tape) &&
		  !ebb_set_training(tape, true));
	ck_assert_int_eq(ebb_set_default_dtype(tape, EBB_F32), EBB_F64);
	ck_assert_int_eq(ebb_dtype_of(ebb_scalar(tape, 1)), EBB_F32);
	ebb_set_default_dtype(tape, EBB_I64);
	check_error(tape, EBB_BAD_DTYPE, "set_default_dtype", (const char *[]){"I64", NULL});
	ck_assert_int_eq(ebb_default_dtype(tape), EBB_F32);
	ck_assert(!ebb_set_recording(NULL, true) && !ebb_is_training(NULL));
}
END_TEST

/* ---- Consuming and retaining ----------------------------------------------------------------- */

START_TEST(backward_consumes_the_graph)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *h = ebb_square(tape, x),
		   *y = ebb_sum(tape, h), *z, *g;

	z = ebb_sum(tape, ebb_mul(tape, h, x));
	ck_assert(ebb_backward(tape, y));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "consumed", "retain");
	/* The nodes that z shares with y are consumed. */
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, z), "consumed", "square");
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, y, 1, &x, &g), "consumed");
	ck_assert(ebb_at(ebb_grad_of(x), 1) == 2 * values[1]); /* the failed sweeps added nothing */
	/* A gradient that needs no consumed node can still be computed. */
	z = ebb_sum(tape, ebb_exp(tape, h));
	ck_assert_msg(ebb_grad(tape, z, 1, &h, &g), "%s", ebb_error_message(tape));
	ck_assert(ebb_at(g, 1) == exp(values[1] * values[1]));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, z), "consumed", "square");
}
END_TEST

START_TEST(a_retained_graph_can_be_swept_again)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y, *g;
	size_t in_use = 0;

	ebb_scope_begin(tape, "f");
	y = ebb_scope_end(tape, ebb_sum(tape, ebb_exp(tape, ebb_square(tape, x))));

	for (int k = 1; k < 4; k++) {
		ck_assert(ebb_backward(tape, y, .retain = true));
		ck_assert_double_eq_tol(ebb_at(ebb_grad_of(x), 0), k * exp(0.25), 1e-14);
		ck_assert(ebb_grad(tape, y, 1, &x, &g));
		ebb_release(tape, g);
		if (k == 1)
			in_use = ebb_memory_of(tape).in_use;
		ck_assert_uint_eq(ebb_memory_of(tape).in_use, in_use);
	}
	ck_assert(ebb_backward(tape, y));
	ck_assert_double_eq_tol(ebb_at(ebb_grad_of(x), 0), 4 * exp(0.25), 1e-14);
	ck_assert_uint_lt(ebb_memory_of(tape).in_use, in_use);
	ebb_zero_grad(x);
	ck_assert_ptr_null(ebb_grad_of(x));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y, .retain = true), "consumed");
}
END_TEST

/* ---- Versions -------------------------------------------------------------------------------- */

START_TEST(overwriting_a_saved_value_is_an_error)
{
	ebb_tensor *p = persistent_vector(), *c = vector(), *x = ebb_variable(tape, vector()), *y,
		   *h, *g;

	/* A saved parameter is overwritten. */
	ebb_set_requires_grad(p, true);
	y = ebb_sum(tape, ebb_square(tape, p));
	ck_assert(ebb_copy_in(p, values, sizeof values));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "square", "overwritten",
		"input 0", "tape.c:");
	ck_assert_ptr_null(ebb_grad_of(p));
	/* A saved constant of the tape is overwritten. */
	y = ebb_sum(tape, ebb_mul(tape, x, c));
	ck_assert(ebb_copy_in(c, values, sizeof values));
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, y, 1, &x, &g), "mul", "input 1");
	/* A saved result is overwritten. */
	h = ebb_exp(tape, x);
	y = ebb_sum(tape, h);
	assert_refused(
		tape, EBB_BAD_STATE, ebb_copy_in(h, values, sizeof values), "result of an op");
	((double *)ebb_data_mutable(h))[0] = 7;
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "exp", "result was overwritten");
	/* A saved input is overwritten through a view. */
	y = ebb_sum(tape, ebb_mul(tape, x, c));
	ebb_data_mutable(ebb_reshape(tape, c, EBB_SHAPE(2, 2)));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "overwritten");
	/* An input that no gradient reads may be overwritten. */
	c = vector();
	y = ebb_sum(tape, ebb_add(tape, ebb_mul_scalar(tape, x, 3), c));
	ck_assert(ebb_copy_in(c, values, sizeof values));
	ck_assert(ebb_backward(tape, y));
	ck_assert(ebb_at(ebb_grad_of(x), 0) == 3);
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(accumulating_overwrites_a_saved_gradient)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y;

	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, x))));
	y = ebb_sum(tape, ebb_mul(tape, x, ebb_grad_of(x)));
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, x))));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "overwritten");
}
END_TEST

/* ---- Values from outside the graph ----------------------------------------------------------- */

START_TEST(detach_and_variable_share_memory)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *h = ebb_square(tape, x),
		   *d = ebb_detach(tape, h), *v, *y, *copy;

	ck_assert(ebb_requires_grad(h) && !ebb_requires_grad(d));
	ck_assert_ptr_eq(ebb_data(d), ebb_data(h));
	v = ebb_variable(tape, h);
	y = ebb_sum(tape, ebb_mul(tape, ebb_mul(tape, x, d), v));
	ebb_release(tape, h); /* the other handles keep the memory */
	ck_assert(ebb_backward(tape, y));
	for (int i = 0; i < 4; i++) {
		double s = values[i] * values[i];

		ck_assert_double_eq_tol(ebb_at(ebb_grad_of(x), i), s * s, 1e-13);
		ck_assert_double_eq_tol(ebb_at(ebb_grad_of(v), i), values[i] * s, 1e-13);
	}
	copy = ebb_detach_copy(d);
	ebb_tape_reset(tape);
	ck_assert(ebb_at(copy, 3) == 9);
	ebb_tensor_free(copy);
	assert_refused(tape, EBB_BAD_DTYPE, ebb_variable(tape, ebb_arange(tape, 3)), "I64");
	assert_refused(tape, EBB_INVALID, ebb_detach(tape, NULL), "NULL");
	ck_assert_ptr_nonnull(ebb_detach(tape, ebb_arange(tape, 3)));
}
END_TEST

START_TEST(a_persistent_tensor_may_be_used_on_several_tapes)
{
	ebb_tensor *p = persistent_vector(), *p2 = p, *g[2];
	ebb_tape *other = ebb_tape_new();
	ebb_tape *tapes[] = {tape, other};
	ebb_tensor *y[2];

	ebb_set_default_dtype(other, EBB_F64);
	ebb_set_requires_grad(p, true);
	for (int k = 0; k < 2; k++)
		y[k] = ebb_sum(tapes[k], ebb_pow_scalar(tapes[k], p, 2 + k));
	ck_assert(!ebb_set_requires_grad(NULL, true) && !ebb_set_requires_grad(y[0], true));
	for (int k = 0; k < 2; k++)
		ck_assert(ebb_grad(tapes[k], y[k], 1, &p2, &g[k]));
	ck_assert(ebb_at(g[0], 2) == 4 && ebb_at(g[1], 2) == 12);
	ck_assert_ptr_null(ebb_grad_of(p));
	for (int k = 0; k < 2; k++)
		ck_assert(ebb_backward(tapes[k], y[k]));
	ck_assert(ebb_at(ebb_grad_of(p), 2) == 16);
	assert_refused(other, EBB_INVALID, ebb_add(other, g[0], p), "another tape", "input 0");
	ebb_tape_free(other);
	ck_assert(ebb_at(ebb_grad_of(p), 2) == 16);
	/* A frozen tensor is a constant; its gradient stays until ebb_zero_grad. */
	ebb_tape_reset(tape);
	ebb_set_requires_grad(p, false);
	ck_assert(!ebb_requires_grad(ebb_square(tape, p)));
	ck_assert(ebb_at(ebb_grad_of(p), 2) == 16);
	ebb_zero_grad(p);
	ck_assert_ptr_null(ebb_grad_of(p));
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(a_tape_finds_hundreds_of_persistent_tensors)
{
	enum { N = 500 };
	ebb_tensor *p[N], *sum;

	for (int k = 0; k < N; k++) {
		p[k] = persistent_vector();
		ebb_set_requires_grad(p[k], k % 3 == 0);
	}
	for (int round = 0; round < 3; round++) {
		sum = ebb_zeros(tape, EBB_SHAPE(4));
		for (int k = 0; k < N; k++)
			sum = ebb_add(tape, sum, ebb_mul(tape, p[k], p[N - 1 - k]));
		ck_assert(ebb_backward(tape, ebb_sum(tape, sum)));
		ebb_tape_reset(tape);
	}
	for (int k = 0; k < N; k++) {
		if (k % 3 == 0)
			ck_assert(ebb_at(ebb_grad_of(p[k]), 1) == 3 * 2 * values[1]);
		else
			ck_assert_ptr_null(ebb_grad_of(p[k]));
		ebb_tensor_free(p[k]);
	}
}
END_TEST

START_TEST(gradients_have_the_leafs_memory_order)
{
	ebb_tensor *p = ebb_tensor_new(EBB_F64, EBB_SHAPE(2, 3, 4, 5), true, NULL), *x, *g;

	ebb_set_requires_grad(p, true);
	x = ebb_variable(tape, ebb_transpose(tape, ebb_rand(tape, EBB_SHAPE(3, 2)), 0, 1));
	ck_assert(ebb_backward(
		tape, ebb_sum(tape, ebb_mul(tape, ebb_reshape(tape, p, EBB_SHAPE(20, 6)),
					    ebb_reshape(tape, x, EBB_SHAPE(6))))));
	g = ebb_grad_of(p);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(ebb_stride(g, i), ebb_stride(p, i));
	for (int64_t i = 0; i < 120; i++)
		ck_assert(ebb_at(g, i) == ebb_at(x, i % 6));
	g = ebb_grad_of(x);
	ck_assert(ebb_stride(g, 0) == ebb_stride(x, 0) && ebb_stride(g, 1) == ebb_stride(x, 1));
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

/* ---- Random state ---------------------------------------------------------------------------- */

START_TEST(the_same_random_state_draws_the_same_numbers)
{
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(1000))), *a, *b, *c;
	ebb_random r;

	ebb_seed(tape, 7);
	ebb_randn(tape, EBB_SHAPE(3));
	r = ebb_random_state(tape);
	a = ebb_dropout(tape, x, 0.4);
	b = ebb_dropout(tape, x, 0.4);
	ck_assert(!all_same(a, b));
	ebb_set_random_state(tape, r);
	c = ebb_dropout(tape, x, 0.4);
	ck_assert(all_same(a, c));
	/* The gradient uses the mask of the forward pass, although random numbers were drawn
	 * since. */
	ck_assert(ebb_backward(tape, ebb_sum(tape, a)));
	ck_assert(all_same(ebb_grad_of(x), a));
	ebb_seed(tape, 7);
	ck_assert_uint_eq(ebb_random_state(tape).stream, 0);
	ebb_random_next(tape);
	ck_assert_uint_eq(ebb_random_state(tape).stream, r.stream);
	ck_assert_uint_eq(ebb_random_state(NULL).seed, 0);
}
END_TEST

START_TEST(empty_shapes_whose_sizes_overflow_are_refused)
{
	ebb_error e = {0};

	ck_assert_ptr_null(ebb_tensor_new(
		EBB_F32, EBB_SHAPE(0, INT64_C(1) << 40, INT64_C(1) << 40), false, &e));
	ck_assert_int_eq(e.status, EBB_BAD_SHAPE);
	assert_refused(
		tape, EBB_BAD_SHAPE, ebb_zeros(tape, EBB_SHAPE(INT64_C(1) << 62, 0, 8)), "large");
	ck_assert_int_eq(ebb_count(ebb_zeros(tape, EBB_SHAPE(5, 0, 8))), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/tape");
	TCase *c = tcase_create("tape");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, the_second_step_allocates_nothing);
	tcase_add_test(c, setters_of_modes_return_the_former_mode);
	tcase_add_test(c, backward_consumes_the_graph);
	tcase_add_test(c, a_retained_graph_can_be_swept_again);
	tcase_add_test(c, overwriting_a_saved_value_is_an_error);
	tcase_add_test(c, accumulating_overwrites_a_saved_gradient);
	tcase_add_test(c, detach_and_variable_share_memory);
	tcase_add_test(c, a_persistent_tensor_may_be_used_on_several_tapes);
	tcase_add_test(c, a_tape_finds_hundreds_of_persistent_tensors);
	tcase_add_test(c, gradients_have_the_leafs_memory_order);
	tcase_add_test(c, the_same_random_state_draws_the_same_numbers);
	tcase_add_test(c, empty_shapes_whose_sizes_overflow_are_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
