/* A failed allocation at any point of a training step is an error, leaks nothing, and leaves no
 * step half done. */
#include "tests/support/support.h"

enum { BATCH = 4 };

typedef struct training {
	ebb_params *p;
	lenet net;
	ebb_optim *opt;
	ebb_tensor *images, *labels;
} training;

static bool training_new(training *m)
{
	*m = (training){.p = ebb_params_new(1)};
	m->net = lenet_new(m->p);
	m->opt = ebb_sgd(m->p, .lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4);
	m->images = ebb_tensor_new(EBB_F32, EBB_SHAPE(BATCH, 1, 28, 28), true, NULL);
	m->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(BATCH), false, NULL);
	if (!m->p || ebb_params_error(m->p) || !m->opt || !m->images || !m->labels)
		return false;
	for (int i = 0; i < BATCH * 28 * 28; i++)
		((float *)ebb_data_mutable(m->images))[i] = (float)((i * 37) % 101) / 101;
	for (int i = 0; i < BATCH; i++)
		((int64_t *)ebb_data_mutable(m->labels))[i] = i;
	return true;
}

static void training_free(training *m)
{
	ebb_optim_free(m->opt);
	ebb_params_free(m->p);
	ebb_tensor_free(m->images);
	ebb_tensor_free(m->labels);
}

static bool step(ebb_tape *t, training *m)
{
	ebb_tensor *loss = ebb_cross_entropy(t, lenet_forward(t, &m->net, m->images), m->labels);
	bool ok;

	ebb_params_zero_grad(m->p);
	ebb_backward(t, loss);
	ok = ebb_optim_step(m->opt);
	ebb_tape_reset(t);
	return ok && !ebb_failed(t);
}

/* After a refused allocation the heap tries a smaller region, so that a few failures have no
 * effect. */
enum { GOT_OVER = 3 };

/* A whole program: creates everything, runs one step, and frees everything. */
static bool whole_program(void)
{
	training m;
	ebb_tape *t = ebb_tape_new();
	bool ok = training_new(&m) && step(t, &m);

	ebb_tape_free(t);
	training_free(&m);
	return ok;
}

static void inject_from_nothing(bool fail_after)
{
	counting_allocator a;
	int64_t calls, kept, got_over = 0;

	counting_allocator_install(&a);
	ck_assert(whole_program());
	calls = a.calls;
	kept = a.live; /* memory that the process keeps until its end */
	ck_assert_int_ge(calls, 20);
	for (int64_t n = 0; n < calls; n++) {
		a.calls = a.refused = 0;
		a.fail_at = n;
		a.fail_after = fail_after;
		got_over += whole_program();
		ck_assert_msg(got_over <= (fail_after ? 0 : GOT_OVER),
			"allocation %ld failed and the program did not", (long)n);
		ck_assert_msg(a.refused > 0, "allocation %ld was not reached", (long)n);
		ck_assert_msg(a.live == kept, "allocation %ld failed and %ld blocks leaked",
			(long)n, (long)(a.live - kept));
	}
	ck_assert_int_eq(a.wrong, 0);
	ck_assert_int_eq(kept, 0);
	counting_allocator_remove();
}

START_TEST(one_failed_allocation_fails_the_program)
{
	inject_from_nothing(false);
}
END_TEST

START_TEST(failure_of_all_later_allocations_fails_the_program)
{
	inject_from_nothing(true);
}
END_TEST

/* A step that fails changes neither parameters, nor gradients, nor the optimizer's state: repeated
 * with memory, the step has the same result as without the failure. */
START_TEST(a_failed_step_changes_nothing)
{
	counting_allocator a;
	training m;
	ebb_tape *t;
	uint64_t expected[3], before, grads;
	int64_t failures = 0, got_over = 0, n = 0;
	bool refused = true;

	counting_allocator_install(&a);
	ck_assert(training_new(&m));
	for (int i = 0; i < 3; i++) {
		t = ebb_tape_new();
		ck_assert(step(t, &m));
		ebb_tape_free(t);
		expected[i] = params_hash(m.p);
	}
	training_free(&m);

	for (; refused; n++) {
		int64_t bytes = a.bytes;
		bool failed;

		ck_assert(training_new(&m));
		t = ebb_tape_new();
		ck_assert(step(t, &m));
		ebb_tape_free(t);
		t = ebb_tape_new();
		before = params_hash(m.p);
		ebb_params_zero_grad(m.p);
		grads = grads_hash(m.p);
		ck_assert(before == expected[0]);

		a.calls = a.refused = 0;
		a.fail_at = n;
		failed = !step(t, &m);
		a.fail_at = -1;
		refused = a.refused > 0;
		got_over += refused && !failed;
		ck_assert(refused || !failed);
		ck_assert_int_le(got_over, GOT_OVER);
		if (failed) {
			failures++;
			ck_assert_msg(ebb_error_status(t) == EBB_NO_MEMORY, "allocation %ld: %s",
				(long)n, ebb_error_message(t));
			ck_assert_msg(params_hash(m.p) == before,
				"allocation %ld changed a parameter", (long)n);
			ck_assert_msg(grads_hash(m.p) == grads, "allocation %ld changed a gradient",
				(long)n);
			ebb_clear_error(t);
			ebb_optim_clear_error(m.opt);
			ck_assert_msg(step(t, &m), "after allocation %ld: %s", (long)n,
				ebb_error_message(t));
		}
		ck_assert_msg(params_hash(m.p) == expected[1],
			"allocation %ld: the repeated step differs", (long)n);
		ck_assert(step(t, &m));
		ck_assert_msg(params_hash(m.p) == expected[2],
			"allocation %ld: the step after differs", (long)n);
		ebb_tape_free(t);
		training_free(&m);
		ck_assert_int_eq(a.bytes, bytes);
	}
	ck_assert_int_ge(failures, 10);
	counting_allocator_remove();
}
END_TEST

/* A loop that never checks for errors changes no parameter after one. */
START_TEST(an_unchecked_loop_changes_no_parameter)
{
	counting_allocator a;
	training m;
	ebb_tape *t;
	uint64_t before;

	counting_allocator_install(&a);
	ck_assert(training_new(&m));
	t = ebb_tape_new();
	ck_assert(step(t, &m));
	ebb_fail(t, EBB_INVALID, NULL, "something went wrong");
	before = params_hash(m.p);
	for (int i = 0; i < 5; i++)
		ck_assert(!step(t, &m));
	ck_assert(params_hash(m.p) == before);
	ck_assert_str_eq(ebb_error_message(t), "something went wrong");
	ebb_tape_free(t);
	training_free(&m);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

static void add_case(Suite *s, const char *name, void (*debug)(void))
{
	TCase *c = tcase_create(name);

	tcase_add_checked_fixture(c, debug, debug_as_before);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, one_failed_allocation_fails_the_program);
	tcase_add_test(c, failure_of_all_later_allocations_fails_the_program);
	tcase_add_test(c, a_failed_step_changes_nothing);
	tcase_add_test(c, an_unchecked_loop_changes_no_parameter);
	suite_add_tcase(s, c);
}

int main(void)
{
	Suite *s = suite_create("allocation");

	add_case(s, "failure", debug_off);
	add_case(s, "failure in debug mode", debug_on);
	return run_suite(s);
}
