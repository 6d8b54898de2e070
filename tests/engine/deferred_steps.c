/* Optimizer steps from deferred outer products.  They agree with steps from computed gradients up
 * to the rounding of the last multiply-add, because the rows of a tile may be split into vectors
 * differently.  They do not write to the gradient's memory, and the second step allocates
 * nothing. */
#include "tensor/deferred.h"
#include "tests/engine/deferring.h"
#include "tests/support/sanitized.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Optimizers --------------------------------------------------------------------- */

static ebb_optim *optimizer(int kind, ebb_params *p, bool check)
{
	switch (kind) {
	case 0:
		return ebb_sgd(p, .lr = 0.5, .check_finite = check);
	case 1:
		return ebb_sgd(
			p, .lr = 0.5, .momentum = 0.9, .weight_decay = 1e-3, .check_finite = check);
	case 2:
		return ebb_sgd(
			p, .lr = 0.5, .momentum = 0.9, .nesterov = true, .check_finite = check);
	case 3:
		return ebb_adam(p, .lr = 1e-3, .weight_decay = 1e-3, .check_finite = check);
	case 4:
		return ebb_adamw(p, .lr = 1e-3, .check_finite = check);
	case 5:
		return ebb_rmsprop(p, .lr = 1e-4, .check_finite = check);
	case 6:
		return ebb_rmsprop(p, .lr = 1e-4, .momentum = 0.5, .check_finite = check);
	default:
		return ebb_adagrad(p, .lr = 1e-3, .lr_decay = 0.1, .check_finite = check);
	}
}

enum { KINDS = 8 };

/* The network after some steps; from the second step on, the optimizer's state has an effect. */
enum { STEPS = SANITIZED ? 2 : 5 };

static network trained(int kind, ebb_dtype dtype, bool keep, bool check)
{
	network n = network_new(dtype, EBB_SHAPE(ROWS, WIDTH));
	ebb_optim *o = optimizer(kind, n.p, check);
	double first = 0, last = 0;

	ebb_optim_scale(o, "fc2.*", 0.5, 2);
	ebb_defer_products = keep;
	for (int i = 0; i < STEPS; i++) {
		ebb_tensor *loss = loss_of(&n, n.x);

		last = ebb_item(loss);
		first = i ? first : last;
		ebb_params_zero_grad(n.p);
		ck_assert(ebb_backward(tape, loss));
		ck_assert(both_deferred(&n) == (keep && !(check && i)));
		ck_assert(ebb_optim_step(o));
		ck_assert(both_deferred(&n) == (keep && !check));
		ebb_tape_reset(tape);
	}
	ck_assert_msg(last < first, "optimizer %d: %g to %g", kind, first, last);
	ebb_defer_products = true;
	ebb_optim_free(o);
	return n;
}

static void compare(const network *a, const network *b, double tolerance)
{
	for (int64_t i = 0; i < ebb_params_count(a->p); i++)
		ck_assert_msg(all_close(ebb_params_at(a->p, i), ebb_params_at(b->p, i), tolerance),
			"parameter %d", (int)i);
}

START_TEST(steps_from_deferred_and_computed_products_agree)
{
	for (int kind = 0; kind < KINDS; kind++) {
		network deferred = trained(kind, EBB_F32, true, false);
		network at_once = trained(kind, EBB_F32, false, false);

		compare(&deferred, &at_once, 1e-6);
		network_free(&deferred);
		network_free(&at_once);
		deferred = trained(kind, EBB_F64, true, false);
		at_once = trained(kind, EBB_F64, false, false);
		compare(&deferred, &at_once, 1e-14);
		network_free(&deferred);
		network_free(&at_once);
	}
}
END_TEST

START_TEST(a_step_with_check_finite_computes_the_products)
{
	network n = trained(1, EBB_F32, true, true), at_once = trained(1, EBB_F32, false, false);
	ebb_optim *o = ebb_sgd(n.p, .check_finite = true);
	uint64_t before = params_hash(n.p);

	ck_assert(before == params_hash(at_once.p));
	((float *)ebb_data_mutable(n.x))[5] = INFINITY;
	ebb_params_zero_grad(n.p);
	ck_assert(ebb_backward(tape, loss_of(&n, n.x)));
	ck_assert(!ebb_optim_step(o));
	ck_assert(params_hash(n.p) == before);
	ck_assert_int_eq(ebb_optim_error(o)->status, EBB_NOT_FINITE);
	ebb_tape_reset(tape);
	ebb_optim_free(o);
	network_free(&n);
	network_free(&at_once);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------- */

/* An allocator that fills new memory with MARK, and lists the blocks of size to size + SLACK
 * bytes. */
enum { MARK = 0xab, MOST_NOTED = 8, SLACK = 128 };

typedef struct marking {
	size_t size; /* blocks of size to size + SLACK bytes are listed */
	int noted;
	unsigned char *block[MOST_NOTED];
} marking;

static void *marked(void *ctx, void *p, size_t old_size, size_t new_size)
{
	marking *m = ctx;

	if (new_size == 0) {
		free(p);
		return NULL;
	}
	p = realloc(p, new_size);
	if (p && new_size > old_size)
		memset((char *)p + old_size, MARK, new_size - old_size);
	if (p && new_size >= m->size && new_size <= m->size + SLACK && m->noted < MOST_NOTED)
		m->block[m->noted++] = p;
	return p;
}

/* The number of bytes of a block that were written, not counting the first SLACK bytes, which may
 * be a header. */
static size_t written(const unsigned char *block, size_t size)
{
	size_t n = 0;

	for (size_t i = SLACK; i < size; i++)
		n += block[i] != MARK;
	return n;
}

START_TEST(a_gradient_that_is_not_read_is_not_written)
{
	marking m = {.size = sizeof(float) * OUT * WIDTH};
	network n;
	ebb_optim *o;

	ebb_set_allocator(marked, &m);
	n = usual();
	o = optimizer(1, n.p, false);
	m.noted = 0;
	for (int i = 0; i < 3; i++) {
		ebb_params_zero_grad(n.p);
		one_sweep(&n);
		ck_assert(ebb_optim_step(o));
		ebb_tape_reset(tape);
	}
	/* The block of the gradient of fc2's weight.  The gradient of fc1's weight has another
	 * size. */
	ck_assert_int_eq(m.noted, 1);
	ck_assert_uint_eq(written(m.block[0], m.size), 0);
	ebb_grad_of(n.fc2.weight);
	ck_assert_uint_gt(written(m.block[0], m.size), m.size / 2);
	ebb_optim_free(o);
	network_free(&n);
	ebb_tape_free(tape);
	tape = NULL;
	ebb_set_allocator(NULL, NULL);
}
END_TEST

static bool step(ebb_tape *t, network *n, ebb_optim *o, ebb_tensor *x)
{
	ebb_tensor *h = ebb_tanh(t, ebb_linear_forward(t, &n->fc1, x));
	ebb_tensor *loss = ebb_mean(t, ebb_square(t, ebb_linear_forward(t, &n->fc2, h)));
	bool ok;

	ebb_params_zero_grad(n->p);
	ebb_backward(t, loss);
	ok = ebb_optim_step(o);
	ebb_tape_reset(t);
	return ok && !ebb_failed(t);
}

START_TEST(the_second_step_allocates_nothing)
{
	counting_allocator a;
	network n;
	ebb_optim *o;
	ebb_tape *t;
	int64_t calls = 0;

	counting_allocator_install(&a);
	n = usual();
	o = optimizer(1, n.p, false);
	t = ebb_tape_new();
	for (int i = 0; i < 4; i++) {
		ck_assert(step(t, &n, o, n.x));
		calls = i ? calls : a.calls;
		ck_assert_int_eq(a.calls, calls);
	}
	ck_assert(both_deferred(&n));
	ebb_grad_of(n.fc1.weight);
	ck_assert_int_eq(a.calls, calls);
	ebb_tape_free(t);
	ebb_optim_free(o);
	network_free(&n);
	ck_assert_int_eq(a.live, 0);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

/* One training step in which one allocation fails: either the step fails and changes no parameter,
 * or the library does not need the memory and the parameters are the same. */
START_TEST(a_step_without_memory_fails_or_has_the_same_result)
{
	counting_allocator a;
	uint64_t expected = 0;
	bool refused = true;
	int failures = 0, without = 0;

	for (int64_t at = -1; refused; at++) {
		network n;
		ebb_optim *o;
		ebb_tape *t;
		uint64_t before;
		bool ok;

		counting_allocator_install(&a);
		n = usual();
		o = optimizer(1, n.p, false);
		t = ebb_tape_new();
		before = params_hash(n.p);
		a.calls = 0;
		a.fail_at = at;
		ok = step(t, &n, o, n.x);
		a.fail_at = -1;
		refused = at < 0 || a.refused > 0;
		if (at < 0)
			expected = params_hash(n.p);
		without += ok && a.refused > 0 && !both_deferred(&n);
		if (!ok) {
			failures++;
			ck_assert_int_eq(ebb_error_status(t), EBB_NO_MEMORY);
			ck_assert(params_hash(n.p) == before);
			ck_assert(!is_deferred(n.fc1.weight) && !ebb_grad_of(n.fc1.weight));
			ck_assert(!is_deferred(n.fc2.weight) && !ebb_grad_of(n.fc2.weight));
			ebb_clear_error(t);
			ebb_optim_clear_error(o);
			ck_assert(step(t, &n, o, n.x));
		}
		ck_assert_msg(
			params_hash(n.p) == expected, "allocation %d: another result", (int)at);
		ebb_tape_free(t);
		ebb_optim_free(o);
		network_free(&n);
		ck_assert_int_eq(a.live, 0);
		ck_assert_int_eq(a.wrong, 0);
		counting_allocator_remove();
	}
	ck_assert_int_ge(failures, 10);
	ck_assert_int_eq(without, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("deferred product steps");
	TCase *c = tcase_create("deferred product steps");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, steps_from_deferred_and_computed_products_agree);
	tcase_add_test(c, a_step_with_check_finite_computes_the_products);
	tcase_add_test(c, a_gradient_that_is_not_read_is_not_written);
	tcase_add_test(c, the_second_step_allocates_nothing);
	tcase_add_test(c, a_step_without_memory_fails_or_has_the_same_result);
	suite_add_tcase(s, c);
	return run_suite(s);
}
