/* The sweep's accumulators: when a gradient may be added to in place, and when it is freed. */
#include "fixture.h"

#include <math.h>

static ebb_tensor *persistent_vector(void)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(4), false, NULL);

	ck_assert(ebb_copy_in(x, values, sizeof values));
	return x;
}

#define assert_value(x, i, expected)                                                               \
	ck_assert_msg(fabs(ebb_at(x, i) - (expected)) <= 1e-12 * (1 + fabs((double)(expected))),   \
		"element %d is %.17g, expected %.17g", (int)(i), ebb_at(x, i), (double)(expected))

/* ---- One input twice ---------------------------------------------------------------- */

START_TEST(two_contributions_of_one_vjp_add_up)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = x;

	/* x^32 by squaring: the vjp of each product gives its one input two contributions. */
	for (int i = 0; i < 5; i++)
		y = ebb_mul(tape, y, y);
	ck_assert(ebb_backward(tape, ebb_sum(tape, y)));
	for (int i = 0; i < 4; i++)
		assert_value(ebb_grad_of(x), i, 32 * pow(values[i], 31));
}
END_TEST

START_TEST(contributions_of_many_branches_add_up)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *sum = ebb_mul(tape, x, x);

	/* sum over k of k x^2 + x^2, with temporary tensors of several kinds between. */
	for (int k = 1; k < 40; k++) {
		ebb_tensor *h = ebb_mul(tape, x, x);

		sum = ebb_add(tape, sum, ebb_mul_scalar(tape, h, k));
		sum = ebb_add(tape, ebb_neg(tape, ebb_neg(tape, sum)), ebb_sub(tape, h, h));
	}
	ck_assert(ebb_backward(tape, ebb_sum(tape, sum)));
	for (int i = 0; i < 4; i++)
		assert_value(ebb_grad_of(x), i, 2 * values[i] * (1 + 39 * 40 / 2));
}
END_TEST

/* y = a + b + c, with a vjp that gives one tensor to all three inputs. */
static void add3_vjp(ebb_vjp *v)
{
	ebb_tensor *g = ebb_mul_scalar(v->t, v->gy, 1.0);

	for (int k = 0; k < 3; k++)
		ebb_give(v, k, g);
}
static const ebb_op ADD3 = {.name = "add3", .vjp = add3_vjp};

static ebb_tensor *add3(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, ebb_tensor *c)
{
	ebb_tensor *in[] = {a, b, c};
	ebb_call call = ebb_begin(t, &ADD3, NULL, 3, in);
	ebb_tensor *y = ebb_new_like(&call, a);
	double *p = ebb_data_mutable(y);

	for (int64_t i = 0; i < ebb_count(y); i++)
		p[i] = ebb_at(in[0], i) + ebb_at(in[1], i) + ebb_at(in[2], i);
	return ebb_record(&call, y);
}

START_TEST(one_tensor_given_to_several_inputs)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *z = ebb_variable(tape, vector());

	ck_assert(ebb_backward(tape, ebb_sum(tape, add3(tape, x, x, z))));
	assert_value(ebb_grad_of(x), 1, 2);
	assert_value(ebb_grad_of(z), 1, 1);
	/* Each gradient has its own memory: adding to x's does not change z's. */
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_mul_scalar(tape, x, 5))));
	assert_value(ebb_grad_of(x), 1, 7);
	assert_value(ebb_grad_of(z), 1, 1);
}
END_TEST

START_TEST(a_hundred_uses_of_a_tensor_add_up)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *h = ebb_square(tape, x);
	ebb_tensor *sum = ebb_zeros_like(tape, x), *g, *gg;

	for (int k = 0; k < 100; k++)
		sum = ebb_add(tape, sum, ebb_mul_scalar(tape, h, k));
	sum = ebb_sum(tape, sum);
	ck_assert(ebb_grad(tape, sum, 1, &h, &g));
	assert_value(g, 0, 4950);
	ck_assert(ebb_grad(tape, sum, 1, &x, &g, .create_graph = true));
	ck_assert(ebb_grad(tape, ebb_sum(tape, g), 1, &x, &gg));
	ck_assert(ebb_backward(tape, sum));
	for (int i = 0; i < 4; i++) {
		assert_value(ebb_grad_of(x), i, 2 * 4950 * values[i]);
		assert_value(gg, i, 2 * 4950);
	}
}
END_TEST

/* ---- Memory that belongs to the user ------------------------------------------------ */

START_TEST(a_gradient_never_shares_a_persistent_tensors_memory)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *gy = persistent_vector(), *g;

	/* The first contribution to x is a view of gy, a persistent tensor. */
	ck_assert(ebb_backward(tape, ebb_reshape(tape, x, EBB_SHAPE(4)), .gy = gy, .retain = true));
	ck_assert(ebb_backward(tape, ebb_sum(tape, x)));
	for (int i = 0; i < 4; i++) {
		assert_value(ebb_grad_of(x), i, values[i] + 1);
		assert_value(gy, i, values[i]);
	}
	ck_assert(ebb_grad(tape, ebb_reshape(tape, x, EBB_SHAPE(4)), 1, &x, &g, .gy = gy));
	ck_assert_ptr_ne(ebb_data(g), ebb_data(gy));
	ebb_tape_reset(tape);
	ebb_tensor_free(gy);
}
END_TEST

START_TEST(gradients_of_two_targets_are_two_tensors)
{
	ebb_tensor *x[2] = {ebb_variable(tape, vector()), ebb_variable(tape, vector())}, *g[2];
	ebb_tensor *gy = ebb_ones_like(tape, x[0]), *y = ebb_add(tape, x[0], x[1]);

	for (int create = 0; create < 2; create++) {
		ck_assert(ebb_grad(tape, y, 2, x, g, .gy = gy, .create_graph = create));
		ck_assert_ptr_ne(g[0], g[1]);
		ck_assert_ptr_ne(g[0], gy);
		ebb_release(tape, g[0]);
		assert_value(g[1], 2, 1);
		assert_value(gy, 2, 1);
	}
	x[1] = x[0];
	ck_assert(ebb_grad(tape, y, 2, x, g, .gy = gy));
	ebb_release(tape, g[0]);
	assert_value(g[1], 2, 1);
}
END_TEST

START_TEST(a_released_gradient_is_not_written_to)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *other;

	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, x))));
	ebb_release(tape, ebb_grad_of(x));
	ck_assert_ptr_null(ebb_grad_of(x));
	other = ebb_zeros_like(tape, x); /* may take the memory of the released gradient */
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, x))));
	assert_value(ebb_grad_of(x), 2, 4);
	assert_value(other, 2, 0);
}
END_TEST

START_TEST(a_constant_that_becomes_a_leaf_later)
{
	ebb_tensor *p = persistent_vector(), *x = ebb_variable(tape, vector()), *g;
	ebb_tensor *y = ebb_sum(tape, ebb_mul(tape, x, p)), *z;

	/* p is a constant for y, and a leaf recorded after y. */
	ebb_set_requires_grad(p, true);
	z = ebb_sum(tape, ebb_mul(tape, ebb_square(tape, x), p));
	ck_assert(ebb_grad(tape, y, 1, &x, &g));
	assert_value(g, 1, values[1]);
	ck_assert(ebb_backward(tape, y));
	ck_assert_ptr_null(ebb_grad_of(p));
	ck_assert(ebb_backward(tape, z));
	assert_value(ebb_grad_of(p), 1, values[1] * values[1]);
	ebb_tape_reset(tape);
	ebb_tensor_free(p);
}
END_TEST

/* ---- Sweeps inside a vjp ------------------------------------------------------------ */

/* y = sin(x)^2, with a vjp that computes the function again on a new variable and differentiates
 * it. */
static ebb_tensor *inner_function(ebb_tape *t, ebb_tensor *x)
{
	return ebb_square(t, ebb_sin(t, x));
}

static void again_vjp(ebb_vjp *v)
{
	bool was = ebb_set_recording(v->t, true);
	ebb_tensor *gy = v->recording ? v->gy : ebb_mul_scalar(v->t, v->gy, 1.0);
	ebb_tensor *x = ebb_variable(v->t, v->in[0]), *y = inner_function(v->t, x), *g = NULL;

	ebb_grad(v->t, y, 1, &x, &g, .gy = gy);
	ebb_set_recording(v->t, was);
	ebb_give(v, 0, ebb_mul_scalar(v->t, g, 1.0));
	ebb_give(v, 0, ebb_sub(v->t, gy, gy));
	ebb_give(v, 0, g);
	ebb_give(v, 0, ebb_neg(v->t, g));
}
static const ebb_op AGAIN = {.name = "again", .vjp = again_vjp, .reads = {EBB_IN(0)}};

static ebb_tensor *again(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &AGAIN, NULL, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);
	double *p = ebb_data_mutable(y);

	for (int64_t i = 0; i < ebb_count(y); i++)
		p[i] = pow(sin(ebb_at(x, i)), 2);
	return ebb_record(&c, y);
}

START_TEST(a_vjp_may_run_a_sweep)
{
	size_t in_use = 0;

	for (int step = 0; step < 4; step++) {
		ebb_tensor *x = ebb_variable(tape, vector()), *y = x;

		for (int k = 0; k < 3; k++)
			y = again(tape, ebb_mul(tape, y, y));
		ck_assert_msg(ebb_backward(tape, ebb_sum(tape, y)), "%s", ebb_error_message(tape));
		for (int i = 0; i < 4; i++) {
			double a = values[i], d = 1;

			for (int k = 0; k < 3; k++) {
				d *= 2 * a;
				a *= a;
				d *= 2 * sin(a) * cos(a);
				a = pow(sin(a), 2);
			}
			assert_value(ebb_grad_of(x), i, d);
		}
		ebb_tape_reset(tape);
		/* The inner sweeps have freed all their memory. */
		in_use = ebb_memory_of(tape).in_use;
		ck_assert_uint_eq(in_use, 0);
	}
}
END_TEST

/* A tensor that a vjp creates while it records must stay valid as long as the node that refers to
 * it. */
static ebb_tensor *kept_loss;

static void recorder_vjp(ebb_vjp *v)
{
	bool was = ebb_set_recording(v->t, false);
	ebb_tensor *constant = ebb_mul_scalar(v->t, v->gy, 3.0), *x;

	ebb_set_recording(v->t, true);
	x = ebb_variable(v->t, v->in[0]);
	kept_loss = ebb_sum(v->t, ebb_mul(v->t, ebb_mul(v->t, x, constant), v->gy));
	ebb_set_recording(v->t, was);
	ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, 2.0));
}
static const ebb_op RECORDER = {.name = "recorder", .vjp = recorder_vjp, .reads = {EBB_IN(0)}};

START_TEST(nodes_that_a_vjp_records_stay_valid)
{
	for (int step = 0; step < 3; step++) {
		ebb_tensor *x = ebb_variable(tape, vector()), *h = ebb_mul(tape, x, x), *y;
		ebb_call c = ebb_begin(tape, &RECORDER, NULL, 1, &h);

		y = ebb_record(&c, ebb_new_like(&c, h));
		ck_assert(ebb_backward(tape, y, .gy = ebb_ones_like(tape, y)));
		/* Temporary tensors, which would reuse recycled structs. */
		for (int k = 0; k < 5; k++)
			ck_assert(ebb_backward(
				tape, ebb_sum(tape, ebb_mul(tape, x, ebb_exp(tape, x)))));
		ck_assert_msg(ebb_backward(tape, kept_loss), "%s", ebb_error_message(tape));
		ebb_tape_reset(tape);
		ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
	}
}
END_TEST

static void scoped_vjp(ebb_vjp *v)
{
	ebb_tensor *g, *h;

	ebb_scope_begin(v->t, "inside");
	g = ebb_mul_scalar(v->t, v->gy, 2.0);
	ebb_give(v, 0, g);
	ebb_scope_end(v->t, NULL);
	h = ebb_mul_scalar(v->t, v->gy, 3.0);
	ebb_give(v, 1, h);
	ebb_release(v->t, h);
	ebb_release(v->t, v->gy);
	ebb_mul_scalar(v->t, v->gy, 100.0);
	ebb_mul_scalar(v->t, v->gy, 100.0);
}
static const ebb_op SCOPED = {.name = "scoped", .vjp = scoped_vjp};

START_TEST(contributions_outlive_scopes_and_releases)
{
	ebb_tensor *in[2] = {ebb_variable(tape, vector()), ebb_variable(tape, vector())}, *y;
	ebb_tensor *x = in[0], *z = in[1];
	ebb_call c = ebb_begin(tape, &SCOPED, NULL, 2, in);

	y = ebb_record(&c, ebb_new_like(&c, x));
	ck_assert_msg(ebb_backward(tape, ebb_mul(tape, y, ebb_ones_like(tape, y)),
			      .gy = ebb_ones_like(tape, y)),
		"%s", ebb_error_message(tape));
	assert_value(ebb_grad_of(x), 3, 2);
	assert_value(ebb_grad_of(z), 3, 3);
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

/* ---- Freed memory ------------------------------------------------------------------- */

START_TEST(backward_frees_all_memory_but_gradients)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y, *g;
	size_t before;

	ck_assert(ebb_backward(tape, ebb_sum(tape, x))); /* x has a gradient from here on */
	before = ebb_memory_of(tape).in_use;
	for (int k = 0; k < 3; k++) {
		ebb_scope_begin(tape, "f");
		y = ebb_sum(tape, ebb_mul(tape, ebb_tanh(tape, ebb_mul(tape, x, x)), x));
		if (k == 1) {
			ck_assert(ebb_grad(tape, y, 1, &x, &g, .create_graph = true));
			y = ebb_sum(tape, g);
		}
		ck_assert(ebb_backward(tape, y, .retain = k == 2));
		if (k == 2)
			ck_assert(ebb_backward(tape, y));
		ebb_scope_end(tape, NULL);
		/* After the second order, the part of the first graph that its sweep did not reach
		 * remains. */
		if (k != 1)
			ck_assert_uint_eq(ebb_memory_of(tape).in_use, before);
		before = ebb_memory_of(tape).in_use;
	}
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/accumulate");
	TCase *c = tcase_create("accumulate");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, two_contributions_of_one_vjp_add_up);
	tcase_add_test(c, contributions_of_many_branches_add_up);
	tcase_add_test(c, one_tensor_given_to_several_inputs);
	tcase_add_test(c, a_hundred_uses_of_a_tensor_add_up);
	tcase_add_test(c, a_gradient_never_shares_a_persistent_tensors_memory);
	tcase_add_test(c, gradients_of_two_targets_are_two_tensors);
	tcase_add_test(c, a_released_gradient_is_not_written_to);
	tcase_add_test(c, a_constant_that_becomes_a_leaf_later);
	tcase_add_test(c, a_vjp_may_run_a_sweep);
	tcase_add_test(c, nodes_that_a_vjp_records_stay_valid);
	tcase_add_test(c, contributions_outlive_scopes_and_releases);
	tcase_add_test(c, backward_frees_all_memory_but_gradients);
	suite_add_tcase(s, c);
	return run_suite(s);
}
