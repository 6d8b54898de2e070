/* The memory of parameters' gradients: there is one copy of a large one, during and after the
 * sweep. */
#include "tests/support/support.h"

enum { SIZE = 1024, WEIGHT = SIZE * SIZE * (int)sizeof(float) };

typedef struct model {
	ebb_params *p;
	ebb_linear big, small;
	ebb_tensor *x[2];
} model;

static model model_new(void)
{
	model m = {.p = ebb_params_new(1)};

	m.big = ebb_linear_new(m.p, "big", SIZE, SIZE);
	m.small = ebb_linear_new(m.p, "small", SIZE, 3);
	m.x[0] = persistent_random(EBB_F32, EBB_SHAPE(4, SIZE), 1);
	m.x[1] = persistent_random(EBB_F32, EBB_SHAPE(4, SIZE), 2);
	return m;
}

static void model_free(model *m)
{
	ebb_params_free(m->p);
	ebb_tensor_free(m->x[0]);
	ebb_tensor_free(m->x[1]);
}

static ebb_tensor *loss_of(ebb_tape *t, const model *m, ebb_tensor *x)
{
	ebb_tensor *h = ebb_tanh(t, ebb_linear_forward(t, &m->big, x));

	return ebb_sum(t, ebb_square(t, ebb_linear_forward(t, &m->small, h)));
}

/* Repeated steps, which reuse memory, and a new store compute the same gradients. */
START_TEST(every_step_computes_the_gradients_of_the_first)
{
	ebb_tape *t = ebb_tape_new();
	model m = model_new();
	uint64_t first[2];

	for (int k = 0; k < 2; k++) {
		model fresh = model_new();

		ck_assert(ebb_backward(t, loss_of(t, &fresh, fresh.x[k])));
		first[k] = grads_hash(fresh.p);
		ebb_tape_reset(t);
		model_free(&fresh);
	}
	ck_assert(first[0] != first[1]);
	for (int step = 0; step < 6; step++) {
		ck_assert(ebb_backward(t, loss_of(t, &m, m.x[step % 2])));
		ck_assert(grads_hash(m.p) == first[step % 2]);
		ebb_tape_reset(t);
		ck_assert(grads_hash(m.p) == first[step % 2]);
		ebb_params_zero_grad(m.p);
	}
	/* The gradients of two sweeps add up. */
	ck_assert(ebb_backward(t, loss_of(t, &m, m.x[0])));
	ck_assert(ebb_backward(t, loss_of(t, &m, m.x[0])));
	ck_assert(ebb_at(ebb_grad_of(m.big.weight), 7) != 0);
	ebb_params_zero_grad(m.p);
	ck_assert(ebb_backward(t, loss_of(t, &m, m.x[0])));
	ck_assert(grads_hash(m.p) == first[0]);
	assert_healthy(t);
	ebb_tape_free(t);
	ck_assert(grads_hash(m.p) == first[0]); /* gradients outlive the tape */
	model_free(&m);
}
END_TEST

START_TEST(a_large_gradient_has_one_copy)
{
	counting_allocator a;
	ebb_tape *t;
	model m;
	int64_t calls = 0;

	counting_allocator_install(&a);
	t = ebb_tape_new();
	m = model_new();
	for (int step = 0; step < 5; step++) {
		ck_assert(ebb_backward(t, loss_of(t, &m, m.x[0])));
		ebb_tape_reset(t);
		ebb_params_zero_grad(m.p);
		/* The tape's memory, which comes in large chunks, does not count. */
		ck_assert_msg(a.bytes - (int64_t)ebb_memory_of(t).reserved <
				      2 * (int64_t)WEIGHT + WEIGHT / 2,
			"%lld bytes, the weight and its gradient have %d each", (long long)a.bytes,
			WEIGHT);
		ck_assert_uint_lt(ebb_memory_of(t).peak, WEIGHT / 2);
		if (step == 0)
			calls = a.calls;
		ck_assert_int_eq(a.calls, calls);
	}
	ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
	assert_healthy(t);
	ebb_tape_free(t);
	model_free(&m);
	ck_assert_int_eq(a.live, 0);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

/* The handle of a gradient on another tape reads the gradient of the next sweep, too: it has the
 * same memory. */
START_TEST(a_tape_that_reads_a_gradient_reads_the_next_one_too)
{
	ebb_tape *t = ebb_tape_new(), *reader = ebb_tape_new();
	model m = model_new();
	ebb_tensor *g, *sum[3];

	for (int k = 0; k < 3; k++) {
		ck_assert(ebb_backward(t, loss_of(t, &m, m.x[k % 2])));
		g = ebb_grad_of(m.big.weight);
		sum[k] = ebb_sum(reader, g);
		ck_assert_double_eq_tol(ebb_item(sum[k]), ebb_item(ebb_sum(t, g)), 1e-6);
		ebb_params_zero_grad(m.p);
		ebb_tape_reset(t);
	}
	ck_assert(ebb_item(sum[0]) != ebb_item(sum[1]));
	ck_assert(ebb_item(sum[0]) == ebb_item(sum[2]));
	ck_assert(ebb_backward(t, loss_of(t, &m, m.x[1])));
	ebb_tape_free(t);
	ck_assert(ebb_item(ebb_sum(reader, g)) == ebb_item(sum[1]));
	assert_healthy(reader);
	ebb_tape_free(reader);
	model_free(&m);
}
END_TEST

/* A failed sweep has written to the gradient's memory, but there is no gradient until the next
 * sweep. */
START_TEST(a_failed_sweep_leaves_no_gradient)
{
	counting_allocator a;
	ebb_tape *t;
	ebb_tensor *zero, *bad;
	model m;
	uint64_t first;

	counting_allocator_install(&a);
	t = ebb_tape_new();
	m = model_new();
	ck_assert(ebb_backward(t, loss_of(t, &m, m.x[0])));
	first = grads_hash(m.p);
	ebb_params_zero_grad(m.p);
	ebb_tape_reset(t);
	ebb_detect_anomaly(t, true);
	zero = ebb_mul_scalar(t, ebb_sum(t, m.big.weight), 0);
	bad = ebb_add(t, loss_of(t, &m, m.x[0]), ebb_sqrt(t, zero)); /* infinite derivative */
	ck_assert(!ebb_backward(t, bad));
	ck_assert_int_eq(ebb_error_status(t), EBB_NOT_FINITE);
	ck_assert_ptr_null(ebb_grad_of(m.big.weight));
	ebb_clear_error(t);
	ebb_detect_anomaly(t, false);
	ebb_tape_reset(t);
	ck_assert(ebb_backward(t, loss_of(t, &m, m.x[0])));
	ck_assert(grads_hash(m.p) == first);
	ebb_tape_free(t);
	model_free(&m);
	ck_assert_int_eq(a.live, 0);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gradients");
	TCase *c = tcase_create("memory");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, every_step_computes_the_gradients_of_the_first);
	tcase_add_test(c, a_large_gradient_has_one_copy);
	tcase_add_test(c, a_tape_that_reads_a_gradient_reads_the_next_one_too);
	tcase_add_test(c, a_failed_sweep_leaves_no_gradient);
	suite_add_tcase(s, c);
	return run_suite(s);
}
