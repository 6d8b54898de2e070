/* Graphs of a million nodes: no recursion, and constant memory where that is possible. */
#include "tests/support/support.h"

#include <math.h>
#include <sys/resource.h>

static ebb_tape *tape;

static void set_up(void)
{
	/* A recursive traversal of the graph would overflow so small a stack. */
	struct rlimit stack;

	ck_assert(getrlimit(RLIMIT_STACK, &stack) == 0);
	stack.rlim_cur = 256 * 1024;
	ck_assert(setrlimit(RLIMIT_STACK, &stack) == 0);
	tape = ebb_tape_new();
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

START_TEST(a_chain_of_a_million_nodes)
{
	int n = 1000000;
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 1)), *y = x, *g;

	for (int i = 0; i < n; i++)
		y = i % 2 ? ebb_add_scalar(tape, y, 1e-6) : ebb_neg(tape, y);
	ck_assert_int_gt(ebb_memory_of(tape).nodes, n);
	ck_assert(ebb_grad(tape, y, 1, &x, &g));
	ck_assert(ebb_item(g) == 1);
	ck_assert(ebb_backward(tape, y));
	ck_assert(ebb_item(ebb_grad_of(x)) == 1);
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

START_TEST(second_derivatives_of_a_long_chain)
{
	int n = 100000;
	ebb_tensor *x, *y, *g, *gg;

	ebb_set_default_dtype(tape, EBB_F64);
	x = y = ebb_variable(tape, ebb_scalar(tape, 1));
	for (int i = 0; i < n; i++)
		y = ebb_mul_scalar(tape, y, 1.0);
	y = ebb_square(tape, y);
	ck_assert(ebb_grad(tape, y, 1, &x, &g, .create_graph = true));
	ck_assert(ebb_grad(tape, g, 1, &x, &gg));
	ck_assert(ebb_item(g) == 2 && ebb_item(gg) == 2);
}
END_TEST

START_TEST(a_hundred_thousand_uses_of_one_tensor)
{
	int n = 100000;
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 1)), *sum = x;
	size_t in_use;

	for (int i = 1; i < n; i++)
		sum = ebb_add(tape, sum, x);
	in_use = ebb_memory_of(tape).in_use;
	ebb_memory_reset_peak(tape);
	ck_assert(ebb_backward(tape, sum));
	ck_assert(ebb_item(ebb_grad_of(x)) == n);
	/* The sweep takes one pointer for each node, and few gradients at a time. */
	ck_assert_uint_lt(ebb_memory_of(tape).peak - in_use, (size_t)n * 10);
}
END_TEST

START_TEST(no_grad_mode_uses_constant_memory)
{
	ebb_tensor *x = ebb_zeros(tape, EBB_SHAPE(1000)), *y = x;
	ebb_memory early = {0}, late;

	ebb_set_recording(tape, false);
	for (int i = 0; i < 20000; i++) {
		ebb_mark m = ebb_tape_mark(tape);

		ebb_scope_begin(tape, "layer");
		y = ebb_scope_end(
			tape, ebb_tanh(tape, ebb_add_scalar(tape, ebb_square(tape, x), 0.5)));
		ck_assert(ebb_at(y, 999) > 0);
		if (i % 2)
			ebb_rewind(tape, m);
		else
			ebb_release(tape, y);
		if (i == 100)
			early = ebb_memory_of(tape);
	}
	late = ebb_memory_of(tape);
	ck_assert_uint_eq(late.in_use, early.in_use);
	ck_assert_uint_eq(late.peak, early.peak);
	ck_assert_int_eq(late.nodes, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/deep");
	TCase *c = tcase_create("deep");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_chain_of_a_million_nodes);
	tcase_add_test(c, second_derivatives_of_a_long_chain);
	tcase_add_test(c, a_hundred_thousand_uses_of_one_tensor);
	tcase_add_test(c, no_grad_mode_uses_constant_memory);
	suite_add_tcase(s, c);
	return run_suite(s);
}
