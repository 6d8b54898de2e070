/* Gradients of persistent tensors: a sweep accumulates into their memory, and ebb_grad_of returns
 * them only after a successful sweep. */
#include "fixture.h"

#include <math.h>

enum { ROWS = 3, IN = 128, OUT = 256 };

static ebb_tensor *weight(uint64_t seed)
{
	ebb_tensor *w = persistent_random(EBB_F64, EBB_SHAPE(OUT, IN), seed);

	ebb_set_requires_grad(w, true);
	return w;
}

static ebb_tensor *square_loss(ebb_tensor *w, ebb_tensor *x)
{
	ebb_tensor *y = ebb_linear(tape, x, w, NULL);

	return ebb_sum(tape, ebb_mul(tape, y, y));
}

/* The gradient by ebb_grad, as a persistent copy; the caller frees it. */
static ebb_tensor *expected_gradient(ebb_tensor *w, ebb_tensor *x)
{
	ebb_tensor *g = NULL;

	ck_assert(ebb_grad(tape, square_loss(w, x), 1, &w, &g));
	g = ebb_detach_copy(g);
	ebb_tape_reset(tape);
	return g;
}

/* Whether g is k times expected. */
static bool is_times(const ebb_tensor *g, const ebb_tensor *expected, double k)
{
	bool ok = g != NULL;

	for (int64_t i = 0; ok && i < ebb_count(g); i++)
		ok = fabs(ebb_at(g, i) - k * ebb_at(expected, i)) <=
		     1e-12 * (1 + fabs(k * ebb_at(expected, i)));
	return ok;
}

/* ---- Memory ------------------------------------------------------------------------- */

START_TEST(a_sweep_holds_no_second_copy_of_gradients)
{
	ebb_tensor *w[8], *x = persistent_random(EBB_F64, EBB_SHAPE(ROWS, IN), 1), *y = x;
	size_t bytes = (size_t)OUT * IN * sizeof(double);

	for (int i = 0; i < 8; i++)
		w[i] = weight(2 + (uint64_t)i);
	for (int step = 0; step < 2; step++) {
		ebb_memory_reset_peak(tape);
		y = ebb_zeros(tape, EBB_SCALAR_SHAPE);
		for (int i = 0; i < 8; i++)
			y = ebb_add(tape, y, square_loss(w[i], x));
		ck_assert(ebb_backward(tape, y));
		/* The peak is below four gradients: the tape has scratch memory for one product,
		 * but no copies of the eight gradients. */
		ck_assert_msg(ebb_memory_of(tape).peak < 4 * bytes,
			"%zu bytes for gradients of %zu", ebb_memory_of(tape).peak, bytes);
		ebb_tape_reset(tape);
		for (int i = 0; i < 8; i++)
			ebb_zero_grad(w[i]);
	}
	for (int i = 0; i < 8; i++)
		ebb_tensor_free(w[i]);
	ebb_tensor_free(x);
}
END_TEST

/* ---- Sums --------------------------------------------------------------------------- */

START_TEST(contributions_of_one_sweep_and_of_several_add_up)
{
	ebb_tensor *w = weight(1), *x = persistent_random(EBB_F64, EBB_SHAPE(ROWS, IN), 2), *y;
	ebb_tensor *one = expected_gradient(w, x);

	/* Two contributions in one sweep, a third in a second sweep, and one after
	 * ebb_zero_grad. */
	y = ebb_add(tape, square_loss(w, x), square_loss(w, x));
	ck_assert(ebb_backward(tape, y));
	ck_assert(is_times(ebb_grad_of(w), one, 2));
	ebb_tape_reset(tape);
	ck_assert(ebb_backward(tape, square_loss(w, x)));
	ck_assert(is_times(ebb_grad_of(w), one, 3));
	ebb_tape_reset(tape);
	ebb_zero_grad(w);
	ck_assert_ptr_null(ebb_grad_of(w));
	ck_assert(ebb_backward(tape, square_loss(w, x), .retain = true));
	ck_assert(all_same(ebb_grad_of(w), one));
	ebb_tape_reset(tape);
	ebb_tensor_free(one);
	ebb_tensor_free(w);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(gradients_through_views_accumulate)
{
	ebb_tensor *b = persistent_random(EBB_F64, EBB_SHAPE(OUT), 1);
	ebb_tensor *x = ebb_ones(tape, EBB_SHAPE(ROWS, OUT));

	ebb_set_requires_grad(b, true);
	/* One contribution is broadcast, the other comes from a slice. */
	ck_assert(ebb_backward(tape, ebb_add(tape, ebb_sum(tape, ebb_mul(tape, x, b)),
					     ebb_sum(tape, ebb_slice(tape, b, 0, 0, EBB_END, 2)))));
	for (int i = 0; i < OUT; i++)
		ck_assert(ebb_at(ebb_grad_of(b), i) == ROWS + (i % 2 == 0));
	ebb_tape_reset(tape);
	ebb_tensor_free(b);
}
END_TEST

/* ---- Failed sweeps ------------------------------------------------------------------ */

static void failing_vjp(ebb_vjp *v)
{
	ebb_fail(v->t, EBB_INVALID, NULL, "this gradient fails");
}
static const ebb_op FAILING = {.name = "failing", .vjp = failing_vjp};

static ebb_tensor *failing(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &FAILING, NULL, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	if (y)
		ebb_copy_out(x, ebb_data_mutable(y), (size_t)ebb_count(y) * sizeof(double));
	return ebb_record(&c, y);
}

START_TEST(a_failed_sweep_leaves_no_gradient)
{
	ebb_tensor *w = weight(1), *v = weight(2);
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(ROWS, IN), 3);
	ebb_tensor *one = expected_gradient(w, x), *y;

	for (int had = 0; had < 2; had++) {
		/* v's gradient is complete when the sweep reaches the op that fails. */
		y = ebb_sum(tape, failing(tape, ebb_mul(tape, w, w)));
		y = ebb_add(tape, y, ebb_add(tape, square_loss(w, x), square_loss(v, x)));
		ck_assert(!ebb_backward(tape, y));
		ck_assert_str_ne(ebb_error_message(tape), "");
		ebb_clear_error(tape);
		ebb_tape_reset(tape);
		ck_assert_ptr_null(ebb_grad_of(v));
		ck_assert(had ? is_times(ebb_grad_of(w), one, 1) : !ebb_grad_of(w));
		if (had)
			break;
		ck_assert(ebb_backward(tape, square_loss(w, x)));
		ck_assert(all_same(ebb_grad_of(w), one));
		ebb_tape_reset(tape);
	}
	ebb_tensor_free(one);
	ebb_tensor_free(w);
	ebb_tensor_free(v);
	ebb_tensor_free(x);
}
END_TEST

/* ---- The gradient of an earlier sweep as an input ----------------------------------- */

START_TEST(a_gradient_that_a_recorded_op_reads_is_not_overwritten)
{
	ebb_tensor *w = weight(1), *x = persistent_random(EBB_F64, EBB_SHAPE(ROWS, IN), 2), *old;
	ebb_tensor *one = expected_gradient(w, x), *y;

	ck_assert(ebb_backward(tape, square_loss(w, x)));
	ebb_tape_reset(tape);
	old = ebb_grad_of(w);
	/* d/dw sum((w + 2w)*old - w*old): two vjps read old, the second of them after the first
	 * contribution to w's new gradient. */
	y = ebb_mul(tape, ebb_add(tape, w, ebb_mul_scalar(tape, w, 2)), old);
	y = ebb_add(tape, y, ebb_mul(tape, ebb_neg(tape, w), old));
	y = ebb_sum(tape, y);
	ebb_zero_grad(w);
	ck_assert_msg(ebb_backward(tape, y), "%s", ebb_error_message(tape));
	ck_assert(is_times(ebb_grad_of(w), one, 2));
	ebb_tape_reset(tape);
	ebb_tensor_free(one);
	ebb_tensor_free(w);
	ebb_tensor_free(x);
}
END_TEST

/* ---- ebb_backward inside a sweep ---------------------------------------------------- */

/* y = x, with a vjp that also accumulates into w's gradient by ebb_backward. */
static void nested_backward_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *w = *(ebb_tensor *const *)v->attrs;
	bool was = ebb_set_recording(t, true);

	ebb_backward(t, ebb_sum(t, ebb_mul_scalar(t, w, 3)));
	ebb_set_recording(t, was);
	ebb_give(v, 0, v->gy);
}
static const ebb_op NESTED_BACKWARD = {.name = "nested_backward", .vjp = nested_backward_vjp};

static ebb_tensor *nested_backward(ebb_tensor *x, ebb_tensor *w)
{
	ebb_call c = ebb_begin(tape, &NESTED_BACKWARD, NULL, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	if (y)
		ebb_copy_out(x, ebb_data_mutable(y), (size_t)ebb_count(y) * sizeof(double));
	ebb_attach(&c, &w, sizeof w);
	return ebb_record(&c, y);
}

START_TEST(an_inner_backward_accumulates_into_the_same_gradient)
{
	ebb_tensor *w = weight(1), *y = NULL;

	/* The inner sweep runs before, between and after the outer sweep's contributions to w. */
	for (int at = 0; at < 3; at++) {
		for (int i = 0; i < 3; i++) {
			ebb_tensor *part = ebb_mul_scalar(tape, w, i + 1);

			if (i == at)
				part = nested_backward(part, w);
			y = i ? ebb_add(tape, y, part) : part;
		}
		ck_assert_msg(ebb_backward(tape, ebb_sum(tape, y)), "%s", ebb_error_message(tape));
		for (int i = 0; i < ROWS; i++)
			ck_assert(ebb_at(ebb_grad_of(w), i) == 1 + 2 + 3 + 3);
		ebb_tape_reset(tape);
		ebb_zero_grad(w);
	}
	ebb_tensor_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/persistent gradients");
	TCase *c = tcase_create("persistent gradients");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_sweep_holds_no_second_copy_of_gradients);
	tcase_add_test(c, contributions_of_one_sweep_and_of_several_add_up);
	tcase_add_test(c, gradients_through_views_accumulate);
	tcase_add_test(c, a_failed_sweep_leaves_no_gradient);
	tcase_add_test(c, a_gradient_that_a_recorded_op_reads_is_not_overwritten);
	tcase_add_test(c, an_inner_backward_accumulates_into_the_same_gradient);
	suite_add_tcase(s, c);
	return run_suite(s);
}
