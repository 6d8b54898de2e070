/* Failures at every single allocation, and errors inside a sweep. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

/* ---- Failed allocations ------------------------------------------------------------------- */

static ebb_tensor *param;

static void again_vjp(ebb_vjp *v)
{
	bool was = ebb_set_recording(v->t, true);
	ebb_tensor *x = ebb_variable(v->t, v->in[0]), *g = NULL;

	ebb_grad(v->t, ebb_square(v->t, x), 1, &x, &g, .gy = v->gy);
	ebb_set_recording(v->t, was);
	ebb_give(v, 0, g);
}
static const ebb_op AGAIN = {.name = "again", .vjp = again_vjp, .reads = {EBB_IN(0)}};

static ebb_tensor *again(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &AGAIN, NULL, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);
	double *p = ebb_data_mutable(y);

	for (int64_t i = 0; p && i < ebb_count(y); i++)
		p[i] = ebb_at(x, i) * ebb_at(x, i);
	return ebb_record(&c, y);
}

static void seen(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	(void)ctx;
	/* g is NULL without memory for a copy in the order of the node's output. */
	ck_assert(ebb_node_op(node)[0] && (!g || ebb_count(g) == ebb_count(ebb_node_output(node))));
}

/* A program with many features of the engine; its result is a number, NaN on failure. */
static double scenario(ebb_tape *t)
{
	static const double start[] = {0.5, 1, 1.5, -2};
	static const ebb_observer observer = {.gradient = seen};
	ebb_tensor *many[12], *x, *y, *g, *gg, *ggg;
	ebb_mark m;
	double result;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(4), start));
	ebb_set_name(x, "x");
	ebb_scope_begin(t, "outer");
	ebb_scope_begin(t, "outer.inner.of.a.long.name");
	y = ebb_tanh(t, ebb_mul(t, x, param));
	y = ebb_scope_end(t, again(t, ebb_mul(t, y, y)));
	for (int k = 0; k < 12; k++)
		many[k] = ebb_mul_scalar(t, y, 1 + 0.1 * k);
	y = ebb_concat(t, 12, many, 0);
	y = ebb_matmul(t, ebb_reshape(t, y, EBB_SHAPE(6, 8)),
		ebb_transpose(t, ebb_reshape(t, y, EBB_SHAPE(6, 8)), 0, 1));
	y = ebb_norm(
		t, ebb_max(t, ebb_softmax(t, ebb_slice(t, y, 1, 0, 5, 2), 1), EBB_AXES(1)), .p = 3);
	y = ebb_scope_end(t, y);
	m = ebb_tape_mark(t);
	ebb_observe(t, &observer);
	ebb_grad(t, y, 1, &x, &g, .create_graph = true);
	ebb_grad(t, ebb_sum(t, g), 1, &x, &gg, .create_graph = true);
	ebb_grad(t, ebb_sum(t, gg), 1, &x, &ggg);
	ebb_unobserve(t, &observer);
	result = ebb_at(ggg, 1);
	ebb_rewind(t, m);
	ebb_backward(t, y, .retain = true);
	ebb_backward(t,
		ebb_add(t, y,
			ebb_sum(t,
				ebb_dense(t,
					ebb_permute(t,
						ebb_reshape(t, ebb_square(t, x), EBB_SHAPE(2, 2)),
						EBB_AXES(1, 0)),
					EBB_ROWS))));
	return ebb_failed(t) ? (double)NAN
	                     : result + ebb_at(ebb_grad_of(x), 2) + ebb_at(ebb_grad_of(param), 3);
}

START_TEST(every_failed_allocation_is_an_error)
{
	counting_allocator alloc;
	ebb_tape *t;
	double right;
	int64_t calls, refused = 0;

	counting_allocator_install(&alloc);
	param = persistent_random(EBB_F64, EBB_SHAPE(4), 3);
	ebb_set_requires_grad(param, true);
	t = ebb_tape_new();
	right = scenario(t);
	ck_assert_msg(!isnan(right), "%s", ebb_error_message(t));
	calls = alloc.calls;
	ebb_tape_free(t);
	for (int64_t at = 0; at < calls; at++) {
		ebb_zero_grad(param);
		alloc.calls = 0;
		alloc.fail_at = at;
		t = ebb_tape_new();
		if (t && isnan(scenario(t))) {
			ck_assert_msg(ebb_error_status(t) == EBB_NO_MEMORY, "%d: %s", (int)at,
				ebb_error_message(t));
			refused++;
		}
		alloc.fail_at = -1;
		/* After a reset the tape works again. */
		ebb_clear_error(t);
		ebb_tape_reset(t);
		ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
		ebb_zero_grad(param);
		if (t)
			ck_assert_msg(
				scenario(t) == right, "%d: %s", (int)at, ebb_error_message(t));
		ebb_tape_free(t);
	}
	ck_assert_int_gt(refused, 5);
	ebb_tensor_free(param);
	ck_assert_int_eq(alloc.live, 0);
	ck_assert_int_eq(alloc.wrong, 0);
	counting_allocator_remove();
}
END_TEST

/* The pool serves most allocations; here it is empty, so that each tensor needs memory of the
 * system. */
START_TEST(large_tensors_without_memory_are_an_error)
{
	counting_allocator alloc;
	ebb_tape *t;
	int64_t calls = 1;

	counting_allocator_install(&alloc);
	for (int64_t at = 0; at < calls; at++) {
		ebb_tensor *x, *y, *g;

		t = ebb_tape_new();
		x = ebb_variable(t, ebb_randn(t, EBB_SHAPE(40, 40)));
		assert_healthy(t);
		alloc.calls = 0;
		alloc.fail_at = at;
		y = ebb_mul(t, ebb_matmul(t, x, x), ebb_exp(t, ebb_transpose(t, x, 0, 1)));
		ebb_grad(t, ebb_mean(t, y), 1, &x, &g, .create_graph = true);
		y = ebb_norm(t, g);
		if (ebb_backward(t, y)) {
			ck_assert_int_ge(at, 1);
			calls = at;
		} else {
			ck_assert_int_eq(ebb_error_status(t), EBB_NO_MEMORY);
			ck_assert_ptr_null(ebb_grad_of(x));
			calls = at + 2;
		}
		alloc.fail_at = -1;
		ebb_tape_reset(t);
		ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
		ebb_tape_free(t);
		ck_assert_int_eq(alloc.live, 0);
	}
	ck_assert_int_gt(calls, 10);
	counting_allocator_remove();
}
END_TEST

/* ---- Errors inside a sweep ------------------------------------------------------------------ */

static bool broken;

static void moody_vjp(ebb_vjp *v)
{
	ebb_tensor *g = ebb_mul_scalar(v->t, v->gy, 2.0);

	ebb_give(v, 0, g);
	if (broken)
		ebb_give(v, 0, ebb_matmul(v->t, g, ebb_zeros(v->t, EBB_SHAPE(9, 9))));
	ebb_give(v, 0, ebb_mul_scalar(v->t, g, 1.0));
}
static const ebb_op MOODY = {.name = "moody", .vjp = moody_vjp};

START_TEST(an_error_in_a_sweep_changes_no_gradient)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *p = persistent_random(EBB_F32, EBB_SHAPE(4), 1);
	size_t in_use;

	ebb_set_requires_grad(p, true);
	for (int k = 0; k < 3; k++) {
		ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4))), *h = ebb_mul(t, x, p),
			   *y, *z, *g;
		ebb_call c;

		ebb_scope_begin(t, "block");
		c = ebb_begin(t, &MOODY, "model.c:7", 1, &h);
		y = ebb_record(&c, ebb_zeros_like(t, h));
		y = ebb_scope_end(t, y);
		z = ebb_sum(t, ebb_add(t, ebb_square(t, y), ebb_mul(t, y, x)));
		in_use = ebb_memory_of(t).in_use;
		broken = true;
		ck_assert(!ebb_grad(t, z, 1, &x, &g));
		check_error(t, EBB_BAD_SHAPE, "ebb_grad",
			(const char *[]){"model.c:7: gradient of moody: matmul", "in block", NULL});
		ck_assert_ptr_null(g);
		ck_assert_str_eq(ebb_current_scope(t), "");
		ck_assert(ebb_is_recording(t));
		ck_assert_uint_eq(ebb_memory_of(t).in_use, in_use);
		ebb_clear_error(t);
		ck_assert(!ebb_grad(t, z, 1, &x, &g, .create_graph = true));
		ebb_clear_error(t);
		ck_assert(!ebb_backward(t, z, .retain = true));
		ebb_clear_error(t);
		/* The sweep reached x before the error, but no gradient is accumulated. */
		ck_assert(!ebb_grad_of(x) && !ebb_grad_of(p));
		broken = false;
		ck_assert(ebb_backward(t, z, .retain = true));
		ck_assert(ebb_at(ebb_grad_of(p), 0) == 4);
		broken = true;
		ck_assert(!ebb_backward(t, z, .retain = true));
		ck_assert(ebb_at(ebb_grad_of(p), 0) == 4);
		ebb_clear_error(t);
		ebb_zero_grad(p);
		ebb_tape_reset(t);
		ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
	}
	ebb_tape_free(t);
	ebb_tensor_free(p);
}
END_TEST

/* ---- Sticky errors --------------------------------------------------------------------------- */

START_TEST(the_first_error_stays)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(2, 3))), *y;
	char first[500];

	ck_assert(ebb_error_status(t) == EBB_OK && ebb_error_message(t)[0] == '\0');
	y = ebb_exp(t, ebb_sum(t, ebb_matmul(t, ebb_tanh(t, x), ebb_neg(t, x))));
	ck_assert_ptr_null(y);
	check_error(t, EBB_BAD_SHAPE, "matmul",
		(const char *[]){"failures.c:", "matmul", "[2,3]", NULL});
	memcpy(first, ebb_error_message(t), sizeof first);
	ck_assert(isnan(ebb_item(y)) && isnan(ebb_at(y, 0)));
	ck_assert_int_eq(ebb_count(y), 0);
	ck_assert(!ebb_backward(t, y));
	ck_assert(!ebb_copy_out(y, first, 4));
	ck_assert_ptr_null(ebb_variable(t, x));
	ck_assert_ptr_null(ebb_detach(t, x));
	ck_assert_ptr_null(ebb_fail(t, EBB_INVALID, "here:1", "another"));
	ck_assert_str_eq(ebb_error_message(t), first);
	ebb_tape_reset(t);
	ck_assert(ebb_failed(t));
	ck_assert_ptr_null(ebb_zeros(t, EBB_SHAPE(1)));
	ck_assert_str_eq(ebb_error_message(t), first);
	ebb_clear_error(t);
	ck_assert(!ebb_failed(t) && ebb_error_message(t)[0] == '\0');
	ck_assert_ptr_nonnull(ebb_zeros(t, EBB_SHAPE(1)));
	ebb_tape_free(t);
}
END_TEST

START_TEST(long_messages_are_cut)
{
	ebb_tape *t = ebb_tape_new();
	ebb_error e = {0};
	char text[2000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	ebb_scope_begin(t, text);
	ebb_fail(t, EBB_INVALID, text, "%s", text);
	ck_assert_uint_eq(strlen(ebb_error_message(t)), sizeof e.message - 1);
	ebb_scope_end(t, NULL);
	ebb_tape_free(t);
	ebb_error_set(&e, EBB_BAD_FILE, "a.c:1", "%s", "first");
	ebb_error_set(&e, EBB_INVALID, NULL, "second");
	ck_assert_str_eq(e.message, "a.c:1: first");
	ck_assert_int_eq(e.status, EBB_BAD_FILE);
	e.status = EBB_OK;
	ebb_error_set(&e, EBB_INVALID, text, "%s", text);
	ck_assert_uint_eq(strlen(e.message), sizeof e.message - 1);
	ebb_error_set(NULL, EBB_INVALID, NULL, "nothing");
	ck_assert_ptr_null(ebb_fail(NULL, EBB_INVALID, NULL, "nothing"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/failures");
	TCase *c = tcase_create("failures");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, every_failed_allocation_is_an_error);
	tcase_add_test(c, large_tensors_without_memory_are_an_error);
	tcase_add_test(c, an_error_in_a_sweep_changes_no_gradient);
	tcase_add_test(c, the_first_error_stays);
	tcase_add_test(c, long_messages_are_cut);
	suite_add_tcase(s, c);
	return run_suite(s);
}
