/* Marks and rewinds: what is discarded, what stays, and invalid marks. */
#include "fixture.h"

#include <math.h>
#include <string.h>

/* A step with ops, saved tensors, a second-order sweep, and accumulated gradients. */
static void work(ebb_tensor *x, ebb_tensor *p)
{
	ebb_tensor *y, *g;

	ebb_scope_begin(tape, "work");
	y = ebb_sum(tape, ebb_mul(tape, ebb_tanh(tape, ebb_mul(tape, x, p)), x));
	ck_assert(ebb_grad(tape, y, 1, &x, &g, .create_graph = true));
	ck_assert(ebb_backward(tape, ebb_add(tape, y, ebb_sum(tape, g))));
	ebb_scope_end(tape, NULL);
	assert_healthy(tape);
}

START_TEST(a_rewind_frees_memory)
{
	ebb_tensor *p = persistent_random(EBB_F64, EBB_SHAPE(4), 1),
		   *x = ebb_variable(tape, vector());
	ebb_memory before, after, reserved = {0};
	ebb_mark m;

	ebb_set_requires_grad(p, true);
	ebb_exp(tape, x);
	before = ebb_memory_of(tape);
	m = ebb_tape_mark(tape);
	for (int k = 0; k < 50; k++) {
		ebb_zero_grad(p);
		work(x, p); /* the first use of p on this tape is after the mark */
		ck_assert(ebb_grad_of(x) && ebb_grad_of(p));
		ebb_rewind(tape, m);
		assert_healthy(tape);
		after = ebb_memory_of(tape);
		ck_assert_uint_eq(after.in_use, before.in_use);
		ck_assert_int_eq(after.nodes, before.nodes);
		if (k == 0)
			reserved = after;
		ck_assert_uint_eq(after.reserved, reserved.reserved);
		/* x's gradient was accumulated after the mark; p's gradient belongs to p. */
		ck_assert_ptr_null(ebb_grad_of(x));
		ck_assert_ptr_nonnull(ebb_grad_of(p));
	}
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
	ebb_tensor_free(p);
}
END_TEST

START_TEST(tensors_older_than_the_mark_stay)
{
	ebb_tensor *p = persistent_random(EBB_F64, EBB_SHAPE(4), 1),
		   *q = persistent_random(EBB_F64, EBB_SHAPE(4), 2);
	ebb_tensor *x = ebb_variable(tape, vector()), *y, *constant;
	ebb_mark m;

	ebb_set_requires_grad(p, true);
	constant = ebb_mul(tape, q, vector()); /* q has a handle on the tape, but is no leaf yet */
	y = ebb_sum(tape, ebb_mul(tape, ebb_mul(tape, x, p), constant));
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, x))));
	m = ebb_tape_mark(tape);
	ebb_set_requires_grad(q, true);
	for (int k = 0; k < 3; k++) {
		work(x, q);
		ebb_rewind(tape, m);
		ck_assert(ebb_at(ebb_grad_of(x), 1) !=
			  2 * values[1]); /* a rewind does not undo additions in place */
	}
	ebb_zero_grad(x);
	ck_assert(ebb_backward(tape, y));
	for (int i = 0; i < 4; i++) {
		double c = ebb_at(q, i) * values[i];

		ck_assert_double_eq_tol(
			ebb_grad_of(x) ? ebb_at(ebb_grad_of(x), i) : NAN, ebb_at(p, i) * c, 1e-14);
		ck_assert_double_eq_tol(ebb_at(ebb_grad_of(p), i), values[i] * c, 1e-14);
	}
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
	ebb_tensor_free(q);
}
END_TEST

START_TEST(a_name_set_after_the_mark_stays)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	ebb_mark m = ebb_tape_mark(tape);

	ebb_set_name(x, "weights");
	ebb_rewind(tape, m);
	for (int k = 0; k < 20; k++)
		ebb_exp(tape, x);
	ck_assert_str_eq(ebb_name(x), "weights");
}
END_TEST

START_TEST(a_rewind_inside_a_scope)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y;
	ebb_mark m;

	ebb_scope_begin(tape, "loop");
	y = ebb_exp(tape, x);
	m = ebb_tape_mark(tape);
	for (int k = 0; k < 3; k++) {
		ebb_scope_begin(tape, "body");
		ebb_tanh(tape, ebb_mul(tape, y, x));
		ebb_scope_end(tape, NULL);
		ebb_rewind(tape, m);
		assert_healthy(tape);
	}
	ck_assert(ebb_at(y, 0) == exp(values[0]));
	y = ebb_scope_end(tape, y);
	ck_assert(ebb_backward(tape, ebb_sum(tape, y)));
	ck_assert(ebb_at(ebb_grad_of(x), 2) == exp(values[2]));
}
END_TEST

#define assert_no_mark(m)                                                                          \
	do {                                                                                       \
		ebb_memory was_ = ebb_memory_of(tape), is_;                                        \
		ebb_rewind(tape, m);                                                               \
		check_error(tape, EBB_BAD_STATE, "ebb_rewind", (const char *[]){"rewind", NULL});  \
		ebb_clear_error(tape);                                                             \
		is_ = ebb_memory_of(tape);                                                         \
		ck_assert(memcmp(&was_, &is_, sizeof is_) == 0);                                   \
	} while (0)

START_TEST(marks_of_a_discarded_recording_are_refused)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	ebb_mark m1 = ebb_tape_mark(tape), m2, m3;

	ebb_exp(tape, x);
	m2 = ebb_tape_mark(tape);
	ebb_rewind(tape, m1);
	assert_no_mark(m2);
	for (int k = 0; k < 10; k++)
		ebb_add_scalar(tape, ebb_exp(tape, x), 1.0);
	assert_no_mark(m2);
	m3 = ebb_tape_mark(tape);
	ebb_exp(tape, x);
	ebb_rewind(tape, m3);
	ebb_rewind(tape, m3);
	ebb_rewind(tape, m1);
	ebb_rewind(tape, m1);
	assert_healthy(tape);
	assert_no_mark(m3);
	ebb_tape_reset(tape);
	vector();
	assert_no_mark(m1);
	assert_no_mark((ebb_mark){0});
}
END_TEST

START_TEST(marks_of_another_scope_are_refused)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	ebb_mark outer = ebb_tape_mark(tape), inner;

	ebb_scope_begin(tape, "a");
	inner = ebb_tape_mark(tape);
	assert_no_mark(outer);
	ebb_exp(tape, x);
	ebb_scope_end(tape, NULL);
	assert_no_mark(inner);
	ebb_scope_begin(tape, "a"); /* another scope of the same name */
	for (int k = 0; k < 10; k++)
		ebb_exp(tape, x);
	assert_no_mark(inner);
	ebb_scope_end(tape, NULL);
	ebb_rewind(tape, outer);
	assert_healthy(tape);
}
END_TEST

START_TEST(a_mark_of_another_tape_is_refused)
{
	ebb_tape *other = ebb_tape_new();
	ebb_mark m = ebb_tape_mark(other);

	vector();
	assert_no_mark(m);
	ebb_tape_free(other);
	ebb_rewind(NULL, m);
}
END_TEST

/* A loop that keeps one result of each iteration and discards the recording. */
START_TEST(a_long_loop_of_rewinds_uses_constant_memory)
{
	ebb_tensor *x = ebb_variable(tape, vector());
	size_t reserved = 0;

	for (int k = 0; k < 5000; k++) {
		ebb_mark m = ebb_tape_mark(tape), n;

		ebb_exp(tape, x);
		n = ebb_tape_mark(tape);
		ebb_exp(tape, x);
		ebb_rewind(tape, n);
		ebb_exp(tape, x);
		ebb_rewind(tape, m);
		if (k == 0)
			reserved = ebb_memory_of(tape).reserved;
	}
	assert_healthy(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).reserved, reserved);
}
END_TEST

/* Random marks and rewinds, compared with a list of the marks that must be valid. */
START_TEST(random_rewinds_agree_with_a_list_of_valid_marks)
{
	enum { MARKS = 40 };
	struct {
		ebb_mark mark;
		int64_t length;
		bool holds;
		ebb_tensor *last;
	} marks[MARKS];
	ebb_tensor *made[4000], *x = ebb_variable(tape, vector());
	uint64_t r = 88172645463325252u + (uint64_t)_i;
	int64_t length = 0;
	int n = 0;

	for (int step = 0; step < 1500; step++) {
		r ^= r << 13, r ^= r >> 7, r ^= r << 17;
		if (r % 4 < 2) {
			ebb_tensor *from = length ? made[r / 64 % (uint64_t)length] : x;
			ebb_tensor *y = r % 3 ? ebb_mul(tape, from, x)
			                      : ebb_full(tape, EBB_SHAPE(4), (double)step);

			made[length++] = y;
			if (r % 5 == 0)
				ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_mul(tape, x, x))));
		} else if (r % 4 == 2 && n < MARKS) {
			marks[n].mark = ebb_tape_mark(tape);
			marks[n].length = length;
			marks[n++].holds = true;
		} else if (n) {
			int k = (int)(r / 64 % (uint64_t)n);

			if (!marks[k].holds) {
				/* An invalid mark is refused, unless it is equal to a valid one. */
				int64_t nodes = ebb_memory_of(tape).nodes;

				ebb_rewind(tape, marks[k].mark);
				ck_assert(ebb_failed(tape) && ebb_memory_of(tape).nodes == nodes);
				ebb_clear_error(tape);
				marks[k] = marks[--n];
				continue;
			}
			ebb_rewind(tape, marks[k].mark);
			assert_healthy(tape);
			length = marks[k].length;
			for (int i = 0; i < n; i++)
				if (marks[i].mark.arena > marks[k].mark.arena ||
					marks[i].mark.live > marks[k].mark.live)
					marks[i].holds = false;
			for (int64_t i = 0; i < length; i++)
				ck_assert(!isnan(ebb_at(made[i], 0)));
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/marks");
	TCase *c = tcase_create("marks"), *memory = tcase_create("memory");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, tensors_older_than_the_mark_stay);
	tcase_add_test(c, a_name_set_after_the_mark_stays);
	tcase_add_test(c, a_rewind_inside_a_scope);
	tcase_add_test(c, marks_of_a_discarded_recording_are_refused);
	tcase_add_test(c, marks_of_another_scope_are_refused);
	tcase_add_test(c, a_mark_of_another_tape_is_refused);
	tcase_add_loop_test(c, random_rewinds_agree_with_a_list_of_valid_marks, 0, 20);
	suite_add_tcase(s, c);
	tcase_add_checked_fixture(memory, debug_off, debug_as_before);
	tcase_add_checked_fixture(memory, set_up, tear_down);
	tcase_add_test(memory, a_rewind_frees_memory);
	tcase_add_test(memory, a_long_loop_of_rewinds_uses_constant_memory);
	suite_add_tcase(s, memory);
	return run_suite(s);
}
