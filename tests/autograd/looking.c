/* .looks of an observer: an observer that does not look is not called, and no observer changes
 * results. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void tear_down(void)
{
	ebb_tape_free(tape);
}

/* ---- When observers are asked ---------------------------------------------------------------- */

typedef struct lookout {
	bool looks;
	int asked, recorded, ended, gradients;
} lookout;

static bool on_asked(void *ctx)
{
	lookout *l = ctx;

	l->asked++;
	return l->looks;
}

static void count_recorded(void *ctx, const ebb_node *node)
{
	ck_assert(!isnan(ebb_at(ebb_node_output(node), 0)));
	((lookout *)ctx)->recorded++;
}

static void count_ended(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	(void)scope;
	ck_assert(!isnan(ebb_at(y, 0)));
	((lookout *)ctx)->ended++;
}

static void count_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	(void)node;
	ck_assert(!isnan(ebb_at(g, 0)));
	((lookout *)ctx)->gradients++;
}

/* One node and its leaf, in a scope. */
static ebb_tensor *scoped_square(void)
{
	ebb_tensor *x = ebb_variable(tape, ebb_scalar(tape, 3));

	ebb_scope_begin(tape, "s");
	return ebb_scope_end(tape, ebb_square(tape, x));
}

static void check_lookout(lookout *l, int asked, int recorded, int ended, int gradients)
{
	ck_assert_int_eq(l->asked, asked);
	ck_assert_int_eq(l->recorded, recorded);
	ck_assert_int_eq(l->ended, ended);
	ck_assert_int_eq(l->gradients, gradients);
	l->asked = l->recorded = l->ended = l->gradients = 0;
}

START_TEST(observers_that_do_not_look_are_not_called)
{
	lookout a = {.looks = true}, b = {.looks = false};
	ebb_observer first = {.ctx = &a,
			     .recorded = count_recorded,
			     .scope_ended = count_ended,
			     .gradient = count_gradient,
			     .looks = on_asked},
		     second = first;
	ebb_mark m;

	second.ctx = &b;
	ck_assert(ebb_observe(tape, &first) && ebb_observe(tape, &second));
	/* Each observer is asked on an empty tape, and when a sweep begins. */
	ebb_backward(tape, scoped_square());
	check_lookout(&a, 2, 1, 1, 2);
	check_lookout(&b, 2, 0, 0, 0);
	/* Each observer is asked after a sweep. */
	b.looks = true;
	scoped_square();
	check_lookout(&a, 1, 1, 1, 0);
	check_lookout(&b, 1, 1, 1, 0);
	/* The answer may change between the recording and the sweep. */
	b.looks = false;
	ebb_backward(tape, scoped_square());
	check_lookout(&a, 1, 1, 1, 2);
	check_lookout(&b, 1, 1, 1, 0);
	ebb_tape_reset(tape);
	a.looks = false;
	ebb_backward(tape, scoped_square());
	check_lookout(&a, 2, 0, 0, 0);
	check_lookout(&b, 2, 0, 0, 0);
	/* An answer holds for all that is recorded until a rewind. */
	scoped_square();
	m = ebb_tape_mark(tape);
	scoped_square();
	check_lookout(&a, 1, 0, 0, 0);
	ebb_rewind(tape, m);
	a.looks = true;
	scoped_square();
	scoped_square();
	check_lookout(&a, 1, 2, 2, 0);
	check_lookout(&b, 2, 0, 0, 0);
	/* Removing an observer removes its answer. */
	b.looks = false;
	ebb_unobserve(tape, &first);
	scoped_square();
	check_lookout(&a, 0, 0, 0, 0);
	check_lookout(&b, 0, 0, 0, 0);
	/* Without recording, each observer is asked for each outermost scope. */
	ebb_tape_reset(tape);
	ebb_set_recording(tape, false);
	for (int i = 0; i < 4; i++) {
		b.looks = i & 1;
		ebb_scope_begin(tape, "s");
		ebb_scope_end(tape, ebb_scalar(tape, 3));
	}
	check_lookout(&b, 4, 0, 2, 0);
	assert_healthy(tape);
}
END_TEST

/* ---- The same ops with and without observers ------------------------------------------------- */

typedef struct run_log {
	char text[4096];
	size_t used;
} run_log;

static void log_run(void *ctx, const ebb_run *r)
{
	run_log *l = ctx;

	l->used += (size_t)snprintf(l->text + l->used, sizeof l->text - l->used, "%s of %s\n",
		r->op, r->gradient_of ? r->gradient_of : "-");
	ck_assert_uint_lt(l->used, sizeof l->text);
}

static void check_order(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	const ebb_tensor *y = ebb_node_output(node);
	bool gaps = !strcmp(ebb_node_op(node), "slice") || !strcmp(ebb_node_op(node), "expand");

	for (int i = 0; i < ebb_ndim(y); i++)
		if (ebb_size(y, i) > 1 && !gaps)
			ck_assert_int_eq(ebb_stride(g, i), ebb_stride(y, i));
	++*(int *)ctx;
}

/* A function whose gradients are views with other strides (gy_strided): expanded, transposed, with
 * gaps. */
static ebb_tensor *with_views(ebb_tensor *x, ebb_tensor *alone)
{
	ebb_tensor *h = ebb_neg(tape, x), *sums;
	ebb_tensor *a = ebb_transpose(tape, ebb_transpose(tape, h, 0, 1), 0, 1);
	ebb_tensor *b = ebb_slice(tape, ebb_concat(tape, 2, (ebb_tensor *[]){h, a}, 1), 1, 2, 5, 1);

	sums = ebb_sum(tape, a, EBB_AXES(1), .keepdim = true);
	return ebb_add(tape,
		ebb_add(tape, ebb_sum(tape, ebb_reshape(tape, b, EBB_SHAPE(-1))),
			ebb_sum(tape, ebb_transpose(tape, alone, 0, 1))),
		ebb_sum(tape, ebb_mul(tape, h, ebb_expand(tape, sums, EBB_SHAPE(4, 3)))));
}

START_TEST(observers_do_not_change_which_ops_run)
{
	ebb_tensor *persistent = persistent_random(EBB_F64, EBB_SHAPE(4, 3), 1), *g[2];
	run_log logs[2] = {{.used = 0}, {.used = 0}};
	int seen = 0;
	ebb_observer o = {.ctx = &seen, .gradient = check_order};

	for (int watched = 0; watched < 2; watched++) {
		ebb_observer timer = {.ctx = &logs[watched], .ran = log_run};
		ebb_tensor *x = ebb_variable(tape, persistent), *y = ebb_variable(tape, persistent);

		ebb_observe(tape, &timer);
		if (watched)
			ebb_observe(tape, &o);
		ck_assert(ebb_backward(tape, with_views(x, y)));
		g[watched] = ebb_detach_copy(ebb_grad_of(x));
		assert_healthy(tape);
		ebb_unobserve(tape, &timer);
		ebb_tape_reset(tape);
	}
	ck_assert_int_gt(seen, 8);
	ck_assert_str_eq(logs[0].text, logs[1].text);
	ck_assert(all_same(g[0], g[1]));
	ebb_tensor_free(g[0]);
	ebb_tensor_free(g[1]);
	ebb_tensor_free(persistent);
}
END_TEST

/* ---- A custom fused op ----------------------------------------------------------------------- */

/* y = exp(2x) */
static void fast_exp_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_scalar(v->t, ebb_mul(v->t, v->gy, v->out), 2));
}

static bool doubled(const ebb_vjp *v, ebb_tensor *y)
{
	const double *x = ebb_data(v->in[0]);
	double *to = ebb_data_mutable(y);

	for (int64_t i = 0; x && i < ebb_count(y); i++)
		to[i] = 2 * x[i];
	return x != NULL;
}

static bool doubled_gradient(const ebb_vjp *v, ebb_tensor *g)
{
	const double *gy = ebb_data(v->gy), *y = ebb_data(v->out);
	double *to = ebb_data_mutable(g);

	for (int64_t i = 0; y && i < ebb_count(g); i++)
		to[i] = gy[i] * y[i];
	return y != NULL;
}

static const ebb_part STEPS[] = {{"double", doubled, doubled_gradient}, {.op = "exp"}};
static const ebb_op FAST_EXP = {
	.name = "exp_of_2x", .vjp = fast_exp_vjp, .reads = {EBB_OUT}, .parts = STEPS, .nparts = 2};

static ebb_tensor *exp_of_double(ebb_tensor *x)
{
	ebb_call c = ebb_begin(tape, &FAST_EXP, EBB_SITE, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);
	double *to = ebb_data_mutable(y);

	for (int64_t i = 0; i < ebb_count(y); i++)
		to[i] = exp(2 * ebb_at(x, i));
	return ebb_record(&c, y);
}

typedef struct steps {
	double value[2], gradient[2], slope[2];
	bool late; /* values were available in the gradient callback */
} steps;

static void see_values(void *ctx, const ebb_node *n)
{
	for (int k = 0; k < ebb_node_parts(n); k++)
		((steps *)ctx)->value[k] = ebb_at(ebb_node_part_value(n, k), 1);
}

static void see_gradients(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	steps *s = ctx;

	for (int k = 0; k < ebb_node_parts(n); k++) {
		s->gradient[k] = ebb_at(ebb_node_part_gradient(n, k, g), 1);
		s->slope[k] = ebb_at(ebb_node_part_gradient(n, k, NULL), 1);
		s->late |= k == 0 && ebb_node_part_value(n, k);
	}
}

START_TEST(observers_see_the_parts_of_a_custom_fused_op)
{
	const double values[] = {0, 0.5, 1};
	steps s = {.late = false};
	ebb_observer o = {.ctx = &s, .recorded = see_values, .gradient = see_gradients};
	ebb_tensor *x = ebb_variable(tape, ebb_from_f64(tape, EBB_SHAPE(3), values)), *y;

	ck_assert(ebb_observe(tape, &o));
	ebb_scope_begin(tape, "s");
	y = ebb_scope_end(tape, exp_of_double(ebb_add_scalar(tape, x, 0)));
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_mul_scalar(tape, y, 3))));
	assert_healthy(tape);
	ck_assert_double_eq(s.value[0], 1);
	ck_assert_double_eq(s.value[1], exp(1));
	ck_assert_double_eq(s.gradient[0], 3 * exp(1));
	ck_assert_double_eq(s.gradient[1], 3);
	ck_assert_double_eq(s.slope[0], exp(1));
	ck_assert_double_eq(s.slope[1], 1);
	/* The scope has dropped the op's input. */
	ck_assert(!s.late);
	ck_assert_int_eq(ebb_node_parts(ebb_node_of(x)), 0);
	ck_assert_int_eq(ebb_node_parts(NULL), 0);
	ck_assert(!ebb_node_part_value(NULL, 0) && !ebb_node_part_op(NULL, 0)[0]);
	ck_assert_int_eq(ebb_part_of(NULL), -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/looking");
	TCase *c = tcase_create("looking");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, observers_that_do_not_look_are_not_called);
	tcase_add_test(c, observers_do_not_change_which_ops_run);
	tcase_add_test(c, observers_see_the_parts_of_a_custom_fused_op);
	suite_add_tcase(s, c);
	return run_suite(s);
}
