/*
 * rare_states.c - rare states of a tape: a full tape, a recomputation that fails, sweeps and transforms
 * inside a vjp, steps of fused ops whose values were freed or overwritten.
 */
#include "fixture.h"

#include "autograd/internal.h"
#include "autograd/watching/parts.h"
#include "ops/fused.h"

#include <string.h>

/* An op whose result is a copy of its first input. */
static ebb_tensor *copy_op(ebb_tape *t, const ebb_op *op, int n, ebb_tensor **x)
{
	ebb_call c = ebb_begin(t, op, NULL, n, x);
	ebb_tensor *y = ebb_new_like(&c, x[0]);

	if (y)
		ck_assert(ebb_copy_out(x[0], ebb_data_mutable(y),
			(size_t)ebb_count(y) * ebb_dtype_size(ebb_dtype_of(y))));
	return ebb_record(&c, y);
}

START_TEST(a_full_tape_is_an_error)
{
	int64_t nodes = tape->nnodes;

	tape->nnodes = INT32_MAX;
	ck_assert_ptr_null(ebb_variable(tape, vector()));
	tape->nnodes = nodes;
	check_error(tape, EBB_NO_MEMORY, "ebb_variable",
		(const char *[]){"the tape is full (2147483647 nodes)", NULL});
	ebb_clear_error(tape);
	ck_assert_ptr_nonnull(ebb_variable(tape, vector()));
}
END_TEST

/* ---- A result that cannot be recomputed ------------------------------------------------------ */

static bool recompute_fails;

static void square_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_scalar(v->t, ebb_mul(v->t, v->gy, v->in[0]), 2));
}

static void fail_or_copy(ebb_vjp *v)
{
	if (recompute_fails)
		ebb_fail(v->t, EBB_INVALID, NULL, "out of order");
	else
		ebb_copy_out(v->in[0], ebb_data_mutable(v->out), 4 * sizeof(double));
}
static const ebb_op COPY = {
	.name = "copied", .vjp = square_vjp, .reads = {EBB_IN(0)}, .recompute = fail_or_copy};

START_TEST(a_result_that_cannot_be_recomputed)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *h = copy_op(tape, &COPY, 1, &x),
		   *y = ebb_sum(tape, ebb_square(tape, h));

	ebb_release(tape, h);
	for (int fails = 1; fails >= 0; fails--) {
		recompute_fails = fails;
		if (fails) {
			assert_refused(tape, EBB_INVALID, ebb_backward(tape, y, .retain = true),
				"out of order");
			ck_assert_ptr_null(ebb_grad_of(x));
		} else {
			ck_assert(ebb_backward(tape, y));
			/* The derivative 2x of ebb_square, times 2x, which the vjp of COPY
			 * multiplies by. */
			for (int i = 0; i < 4; i++)
				ck_assert_double_eq(
					ebb_at(ebb_grad_of(x), i), 4 * values[i] * values[i]);
		}
	}
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

/* ---- Sweeps and transforms inside a vjp ------------------------------------------------------ */

/* Computes the derivative of x^3 with ebb_jvp. */
static void cube_vjp(ebb_vjp *v)
{
	bool was = ebb_set_recording(v->t, true);
	ebb_tensor *x = ebb_variable(v->t, v->in[0]), *g;

	g = ebb_jvp(v->t, ebb_mul(v->t, x, ebb_square(v->t, x)), 1, &x, &v->gy);
	ebb_set_recording(v->t, was);
	ebb_give(v, 0, g);
}
static const ebb_op CUBE = {.name = "cube", .vjp = cube_vjp, .reads = {EBB_IN(0)}};

START_TEST(a_transform_inside_a_gradient)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *g, *y = copy_op(tape, &CUBE, 1, &x);

	ck_assert_msg(ebb_grad(tape, ebb_sum(tape, y), 1, &x, &g), "%s", ebb_error_message(tape));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(g, i), 3 * values[i] * values[i]);
}
END_TEST

enum { ROWS = 2, OUT = 1024, IN = 1024 };
static ebb_tensor *weight;

/* Gives the weight a deferred outer product of ones.  An inner ebb_backward then accumulates 3 into
 * each element of the same gradient. */
static void outer_vjp(ebb_vjp *v)
{
	ebb_tensor *one = ebb_full(v->t, EBB_SHAPE(1, 1), 1), *a, *b, *w;
	bool was;

	a = ebb_dense(v->t, ebb_expand(v->t, one, EBB_SHAPE(1, OUT)), EBB_ROWS);
	b = ebb_dense(v->t, ebb_expand(v->t, one, EBB_SHAPE(1, IN)), EBB_ROWS);
	ck_assert(ebb_give_outer(v, 1, a, b));
	was = ebb_set_recording(v->t, true);
	w = ebb_mul_scalar(v->t, weight, 3);
	ck_assert(ebb_backward(v->t, ebb_sum(v->t, w)));
	ebb_set_recording(v->t, was);
}
static const ebb_op OUTER = {.name = "outer", .vjp = outer_vjp};

START_TEST(a_deferred_product_after_an_inner_backward)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *in[2], *y;

	weight = ebb_tensor_new(EBB_F64, EBB_SHAPE(OUT, IN), false, NULL);
	ebb_set_requires_grad(weight, true);
	in[0] = x;
	in[1] = weight;
	y = ebb_sum(tape, copy_op(tape, &OUTER, 2, in));
	ck_assert_msg(ebb_backward(tape, y), "%s", ebb_error_message(tape));
	for (int64_t i = 0; i < OUT * IN; i += 1023)
		ck_assert_double_eq(ebb_at(ebb_grad_of(weight), i), 4);
	ebb_tape_reset(tape);
	ebb_tensor_free(weight);
}
END_TEST

/* ---- Checkpoints ----------------------------------------------------------------------------- */

/* Gives input 0 a tensor that the checkpointed segment has computed. */
static void its_other_input_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, v->in[1]);
}
static const ebb_op OTHER_INPUT = {
	.name = "other_input", .vjp = its_other_input_vjp, .reads = {EBB_IN(1)}};

static ebb_tensor *segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *in[2] = {x, ebb_mul_scalar(t, *(ebb_tensor **)ctx, 5)};

	return copy_op(t, &OTHER_INPUT, 2, in);
}

/* This tensor stays in memory after the segment's second run, as long as the gradient refers to
 * it. */
START_TEST(a_gradient_that_is_a_tensor_of_a_checkpoint)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *constant = vector(), *y, *g;

	for (int n = 1; n <= 2; n++) {
		y = ebb_checkpoint(tape, segment, &constant, x);
		if (n == 2)
			y = ebb_add(tape, y, ebb_checkpoint(tape, segment, &constant, x));
		ck_assert_msg(
			ebb_grad(tape, y, 1, &x, &g, vector()), "%s", ebb_error_message(tape));
		/* Other tensors do not get the gradient's memory. */
		for (int k = 0; k < 8; k++)
			ebb_full(tape, EBB_SHAPE(4), -1);
		for (int i = 0; i < 4; i++)
			ck_assert_double_eq(ebb_at(g, i), n * 5 * values[i]);
	}
}
END_TEST

/* ---- Steps of fused ops ---------------------------------------------------------------------- */

static bool twice(const ebb_vjp *v, ebb_tensor *y)
{
	for (int64_t i = 0; v->in[0] && i < ebb_count(y); i++)
		((double *)ebb_data_mutable(y))[i] = 2 * ebb_at(v->in[0], i);
	return v->in[0] != NULL;
}
static const ebb_part STEPS[] = {{"twice", twice, twice}, {.op = "minus"}};
static const ebb_op STEPPED = {
	.name = "stepped", .vjp = square_vjp, .reads = {EBB_IN(0)}, .parts = STEPS, .nparts = 2};

typedef struct look {
	const ebb_node *node; /* the last node that has steps */
	int values, gradients, none;
} look;

static void look_at_parts(void *ctx, const ebb_node *n)
{
	look *l = ctx;
	ebb_tensor *ones;

	if (ebb_node_parts(n) > 0)
		l->node = n;
	l->values += ebb_node_part_value(l->node, 0) != NULL;
	l->values += ebb_node_part_value(l->node, ebb_node_parts(l->node) - 1) != NULL;
	ones = (ebb_tensor *)ebb_node_output(l->node);
	l->gradients += ebb_node_part_gradient(l->node, 0, ones) != NULL;
}

/* The value of the last step is the op's result; it is NULL after the result was released. */
START_TEST(steps_of_an_op_whose_result_was_released)
{
	look l = {NULL, 0, 0, 0};
	const ebb_observer o = {.ctx = &l, .recorded = look_at_parts};
	ebb_tensor *x = ebb_variable(tape, vector()), *y;

	ck_assert(ebb_observe(tape, &o));
	y = copy_op(tape, &STEPPED, 1, &x);
	ck_assert_int_eq(l.values, 2);
	ebb_neg(tape, y);
	ck_assert_int_eq(l.values, 4);
	ebb_release(tape, y);
	ebb_neg(tape, x);
	ck_assert_int_eq(l.values, 5);
	ebb_unobserve(tape, &o);
}
END_TEST

/* Steps of ebb_batchnorm_relu.  Without a residual the op keeps its input, and its result can be
 * recomputed.  With a residual that can be recomputed the op keeps its result, and its input may be
 * freed. */
START_TEST(steps_of_batchnorm_relu_whose_values_are_not_in_memory)
{
	look l = {NULL, 0, 0, 0};
	const ebb_observer o = {.ctx = &l, .recorded = look_at_parts};
	ebb_tensor *x = ebb_variable(tape, ebb_reshape(tape, vector(), EBB_SHAPE(4, 1)));

	for (int residual = 0; residual < 2; residual++) {
		ebb_tensor *h = ebb_batchnorm(tape, ebb_mul_scalar(tape, x, 2)), *r = NULL, *y;

		if (residual)
			r = ebb_batchnorm(tape, ebb_mul_scalar(tape, x, 3));
		l = (look){NULL, 0, 0, 0};
		ck_assert(ebb_observe(tape, &o));
		y = ebb_batchnorm_relu(tape, h, .residual = r);
		ck_assert_int_eq(l.values, 2);
		ck_assert_int_eq(l.gradients, 1);
		ebb_square(tape, y);
		ebb_release(tape, h);
		ebb_release(tape, r);
		ebb_release(tape, y);
		l.values = l.gradients = 0;
		ebb_neg(tape, x);
		/* Without residual: the value of the batch norm.  With residual: the value and the
		 * input gradient of ReLU. */
		ck_assert_int_eq(l.values, 1);
		ck_assert_int_eq(l.gradients, residual);
		ebb_unobserve(tape, &o);
	}
}
END_TEST

typedef struct pooled {
	const ebb_node *node;
	double first, second, beyond, after; /* elements of the input gradient of ReLU */
	bool gone;
} pooled;

static void look_at_pooling(void *ctx, const ebb_node *n)
{
	pooled *p = ctx;
	const ebb_tensor *g;

	if (p->node) {
		p->gone = !ebb_node_part_gradient(p->node, 0, NULL);
		return;
	}
	p->node = n;
	g = ebb_node_part_gradient(n, 0, NULL);
	p->first = ebb_at(g, 0);
	p->second = ebb_at(g, 257);
	p->beyond = ebb_at(g, 256 * 256);
	p->after = ebb_at(g, 257 * 256 + 1);
}

/* An image of more than 65536 pixels, so that positions have 32 bits.  In a window without a
 * positive value, the maximum of relu(x) is 0, at the first pixel. */
START_TEST(steps_of_a_large_pooling)
{
	pooled p = {.node = NULL};
	const ebb_observer o = {.ctx = &p, .recorded = look_at_pooling};
	ebb_tensor *x = ebb_full(tape, EBB_SHAPE(1, 1, 258, 256), -1), *y;

	for (int64_t i = 1; i < 258; i += 2)
		for (int64_t j = 1; j < 256; j += 2)
			((double *)ebb_data_mutable(x))[i * 256 + j] = -0.5;
	x = ebb_variable(tape, x);
	ck_assert(ebb_observe(tape, &o));
	y = ebb_relu_maxpool2d(&(ebb_pool2d_args){.t = tape, .x = x, .kernel = 2});
	ck_assert_double_eq(p.first, 1);
	ck_assert_double_eq(p.second, 0);
	ck_assert_double_eq(p.beyond, 1);
	ck_assert_double_eq(p.after, 0);
	/* After the user has overwritten the result, ebb_node_part_gradient returns NULL. */
	((double *)ebb_data_mutable(y))[0] = 1;
	ebb_neg(tape, x);
	ck_assert(p.gone);
	ebb_unobserve(tape, &o);
}
END_TEST

static void note_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	look *l = ctx;

	(void)scope;
	l->values += y != NULL;
	l->none += y == NULL;
}

/* After a call in place, the value of the first step is NULL, because the input was overwritten. */
START_TEST(steps_of_a_call_in_place)
{
	static const char *const names[] = {"norm", "relu"};
	look l = {NULL, 0, 0, 0};
	const ebb_observer o = {.ctx = &l, .scope_ended = note_scope};

	for (int in_place = 0; in_place < 2; in_place++) {
		ebb_tensor *x = ebb_neg(tape, ebb_reshape(tape, vector(), EBB_SHAPE(4, 1))), *y;

		ck_assert(ebb_observe(tape, &o));
		ebb_scope_begin(tape, "block");
		ck_assert(ebb_name_parts(tape, 2, names));
		y = ebb_batchnorm_relu(tape, x, .inplace = in_place);
		ebb_scope_end(tape, y);
		ck_assert_int_eq(l.none, in_place);
		ck_assert_int_eq(l.values, in_place ? 3 : 2);
		ebb_unobserve(tape, &o);
	}
	assert_healthy(tape);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/rare_states");
	TCase *c = tcase_create("rare_states");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, a_full_tape_is_an_error);
	tcase_add_test(c, a_result_that_cannot_be_recomputed);
	tcase_add_test(c, a_transform_inside_a_gradient);
	tcase_add_test(c, a_deferred_product_after_an_inner_backward);
	tcase_add_test(c, a_gradient_that_is_a_tensor_of_a_checkpoint);
	tcase_add_test(c, steps_of_an_op_whose_result_was_released);
	tcase_add_test(c, steps_of_batchnorm_relu_whose_values_are_not_in_memory);
	tcase_add_test(c, steps_of_a_large_pooling);
	tcase_add_test(c, steps_of_a_call_in_place);
	suite_add_tcase(s, c);
	return run_suite(s);
}
