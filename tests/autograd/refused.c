/*
 * refused.c - errors and seldom used paths of autograd/: missing arguments, invalid contributions
 * of a vjp, anomalies, functions of a checkpoint that return unusual tensors, failed calls of ops,
 * and steps of fused ops whose values were freed.
 */
#include "fixture.h"

#include "autograd/internal.h"
#include "autograd/watching/parts.h"
#include "ops/fused.h"

#include <math.h>
#include <string.h>

/* ---- Arguments that are missing -------------------------------------------------------------- */

START_TEST(arrays_that_are_missing)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = ebb_sum(tape, ebb_square(tape, x)), *g,
		   *v = vector(), *out[1], *null = NULL;

	assert_refused(tape, EBB_INVALID, ebb_grad(tape, y, 1, NULL, &g), "x NULL, gx given");
	ck_assert_ptr_null(g);
	assert_refused(tape, EBB_INVALID, ebb_grad(tape, y, 1, &x, NULL), "x given, gx NULL");
	assert_refused(tape, EBB_INVALID, ebb_jvp(tape, y, 1, &x, NULL), "jvp", "v NULL");
	assert_refused(tape, EBB_INVALID, ebb_hvp(tape, y, 1, &x, &v, NULL), "hvp", "hv NULL");
	assert_refused(tape, EBB_INVALID, ebb_hvp(tape, y, 1, &x, NULL, out), "hvp", "v NULL");
	assert_refused(tape, EBB_BAD_SHAPE, ebb_hvp(tape, y, 1, &x, &y, out), "v[0] is F64 []");
	assert_refused(tape, EBB_BAD_SHAPE, ebb_hvp(tape, y, 1, &x, &null, out), "v[0] is NULL");
	assert_refused(tape, EBB_BAD_SHAPE, ebb_jvp(tape, y, 1, &null, &v), "x[0] is NULL");
	v = ebb_cast(tape, v, EBB_F32);
	assert_refused(tape, EBB_BAD_SHAPE, ebb_jvp(tape, y, 1, &x, &v), "v[0] is F32 [4]");
	v = vector();
	assert_refused(tape, EBB_INVALID, ebb_jvp(tape, NULL, 1, &x, &v), "jvp", "y is NULL");
	assert_refused(tape, EBB_INVALID, ebb_jacobian(tape, y, 1, &x, NULL), "jx NULL");
	assert_refused(tape, EBB_INVALID, ebb_jacobian(tape, y, 1, &null, out), "x[0] is NULL");
	assert_refused(tape, EBB_INVALID, ebb_hessian(tape, y, 1, &x, NULL), "hx NULL");
	assert_refused(tape, EBB_INVALID, ebb_hessian(tape, y, 0, &x, out), "n is 0");
	assert_refused(tape, EBB_INVALID, ebb_hessian(tape, y, 1, &null, out), "x[0] is NULL");
	assert_refused(tape, EBB_INVALID, ebb_checkpoint(tape, NULL, NULL, x), "function is NULL");
}
END_TEST

static ebb_tensor *same(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_square(t, x);
}

START_TEST(a_checkpoint_without_its_input)
{
	assert_refused(
		tape, EBB_INVALID, ebb_checkpoint(tape, same, NULL, NULL), "checkpoint", "NULL");
	ebb_fail(tape, EBB_INVALID, NULL, "an earlier error");
	ck_assert_ptr_null(ebb_checkpoint(tape, same, NULL, vector()));
	ck_assert_str_eq(ebb_error_message(tape), "an earlier error");
	ebb_clear_error(tape);
}
END_TEST

START_TEST(functions_without_a_tape)
{
	const char *const names[] = {"a"};

	ck_assert(!ebb_set_training(NULL, true) && !ebb_is_recording(NULL));
	ck_assert(!ebb_is_replaying(NULL));
	ebb_memory_reset_peak(NULL);
	ck_assert(!ebb_name_parts(NULL, 1, names));
	ck_assert(!ebb_name_parts(tape, EBB_MAX_PARTS + 1, names));
	ck_assert_int_eq(tape->nparts, 0);
	ck_assert_str_eq(ebb_node_part_op(NULL, 0), "");
}
END_TEST

/* ---- Contributions of a vjp ------------------------------------------------------------------ */

static ebb_tensor *copy_op(ebb_tape *t, const ebb_op *op, int n, ebb_tensor **x)
{
	ebb_call c = ebb_begin(t, op, NULL, n, x);
	ebb_tensor *y = ebb_new_like(&c, x[0]);

	if (y)
		ck_assert(ebb_copy_out(x[0], ebb_data_mutable(y),
			(size_t)ebb_count(y) * ebb_dtype_size(ebb_dtype_of(y))));
	return ebb_record(&c, y);
}

typedef enum contribution {
	OF_ANOTHER_TAPE,
	DROPPED,
	UNDECLARED,
	NOT_AN_INPUT,
	WIDE,
	NONE
} contribution;
static contribution contribution_case;
static ebb_tensor *elsewhere;

static void odd_vjp(ebb_vjp *v)
{
	ebb_tensor *g = ebb_mul_scalar(v->t, v->gy, 2);
	ebb_call c = {.t = v->t, .op = v->node->op};

	switch (contribution_case) {
	case OF_ANOTHER_TAPE:
		ebb_give(v, 0, elsewhere);
		break;
	case DROPPED:
		ebb_scope_begin(v->t, "inside");
		g = ebb_mul_scalar(v->t, v->gy, 3);
		ebb_scope_end(v->t, NULL);
		ebb_give(v, 0, g);
		break;
	case UNDECLARED:
		ebb_give(v, 0, v->in[0]);
		break;
	case NOT_AN_INPUT:
		ck_assert_ptr_null(ebb_new_gradient(&c, v, -1));
		break;
	case WIDE: /* one axis too few */
		ebb_give(v, 0, ebb_sum(v->t, g));
		break;
	default:
		ck_assert(ebb_give_part(v, 0, NULL, (ebb_selection){0, 0, 1, NULL}));
		ck_assert(ebb_give_part(v, 1, g, (ebb_selection){0, 0, 1, NULL}));
	}
}
static const ebb_op ODD = {.name = "odd", .vjp = odd_vjp};

START_TEST(invalid_contributions_of_a_vjp)
{
	static const struct {
		contribution which;
		ebb_status status;
		const char *says;
	} cases[] = {{OF_ANOTHER_TAPE, EBB_INVALID, "another tape"},
		{DROPPED, EBB_BAD_STATE, "the value of input 0"},
		{UNDECLARED, EBB_BAD_STATE, "without declaring"},
		{NOT_AN_INPUT, EBB_INVALID, "no input -1"}, {WIDE, EBB_BAD_SHAPE, "F64 []"}};
	ebb_tape *other = ebb_tape_new();

	elsewhere = ebb_cast(other, ebb_ones(other, EBB_SHAPE(4)), EBB_F64);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_tensor *x = ebb_variable(tape, vector()), *y;

		contribution_case = cases[i].which;
		y = ebb_sum(tape, copy_op(tape, &ODD, 1, &x));
		assert_refused(tape, cases[i].status, ebb_backward(tape, y), cases[i].says, "odd");
		ck_assert_ptr_null(ebb_grad_of(x));
		ebb_tape_reset(tape);
	}
	ebb_tape_free(other);
}
END_TEST

/* ebb_give_part ignores NULL and an input that does not exist: the gradient is zero. */
START_TEST(null_parts_and_parts_of_a_missing_input_are_ignored)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y, *g;

	contribution_case = NONE;
	y = ebb_sum(tape, copy_op(tape, &ODD, 1, &x));
	ck_assert_msg(ebb_grad(tape, y, 1, &x, &g), "%s", ebb_error_message(tape));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(g, i), 0);
}
END_TEST

/* ---- Anomalies ------------------------------------------------------------------------------- */

static double given;
static void infinite_part_vjp(ebb_vjp *v)
{
	ebb_tensor *g = ebb_slice(v->t, ebb_full(v->t, EBB_SHAPE(4), given), 0, 0, 2, 1);

	ck_assert(ebb_give_part(v, 0, g, (ebb_selection){0, 1, 2, NULL}));
}
static const ebb_op PART = {.name = "part", .vjp = infinite_part_vjp, .reads = {EBB_IN(0)}};

START_TEST(anomalies_in_parts_of_gradients)
{
	ebb_tensor *x, *y, *g;

	for (int k = 0; k < 2; k++) {
		x = ebb_variable(tape, vector());
		y = ebb_sum(tape, copy_op(tape, &PART, 1, &x));
		ebb_detect_anomaly(tape, true);
		given = k ? 5 : INFINITY;
		if (k == 0) {
			assert_refused(tape, EBB_NOT_FINITE, ebb_grad(tape, y, 1, &x, &g), "part",
				"element 0 of the gradient of input 0 is inf", "from -1.25 to 3");
		} else {
			ck_assert(ebb_grad(tape, y, 1, &x, &g));
			for (int i = 0; i < 4; i++)
				ck_assert_double_eq(ebb_at(g, i), i % 2 ? 5 : 0);
		}
		ebb_detect_anomaly(tape, false);
	}
}
END_TEST

/* The error message has the range of the values and the number of NaNs.  A result of integers is
 * not checked. */
START_TEST(anomaly_errors_have_the_range_of_the_values)
{
	const double some[] = {1, NAN, -2, 4};
	ebb_tensor *x = ebb_from_f64(tape, EBB_SHAPE(4), some),
		   *all = ebb_full(tape, EBB_SHAPE(2), NAN);

	ebb_detect_anomaly(tape, true);
	assert_refused(tape, EBB_NOT_FINITE, ebb_neg(tape, x), "element 1 of the result is",
		"from -2 to 4, 1 NaN");
	assert_refused(tape, EBB_NOT_FINITE, ebb_neg(tape, all), "F64 [2] all NaN");
	ck_assert_ptr_nonnull(ebb_argmax(tape, ebb_ones(tape, EBB_SHAPE(3)), 0));
	assert_healthy(tape);
}
END_TEST

/* ---- Checkpoints ----------------------------------------------------------------------------- */

/* A function of a checkpoint that records nothing: it returns its input, or the tensor ctx. */
static ebb_tensor *pass(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)t;
	return ctx ? ctx : x;
}

START_TEST(a_checkpoint_that_returns_a_parameter)
{
	ebb_tensor *w = persistent_random(EBB_F64, EBB_SHAPE(4), 1),
		   *x = ebb_variable(tape, vector()), *y;

	ebb_set_requires_grad(w, true);
	y = ebb_checkpoint(tape, pass, w, x);
	ck_assert_ptr_nonnull(y);
	ck_assert(ebb_backward(tape, ebb_sum(tape, ebb_square(tape, y))));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(ebb_grad_of(w), i), 2 * ebb_at(w, i));
	ck_assert_ptr_null(ebb_grad_of(x));
	/* The input is the parameter itself, and the function returns the tape's handle for the
	 * parameter. */
	ebb_zero_grad(w);
	y = ebb_checkpoint(tape, pass, NULL, w);
	ck_assert(ebb_backward(tape, ebb_sum(tape, y)));
	ck_assert_double_eq(ebb_at(ebb_grad_of(w), 3), 1);
	ebb_tape_reset(tape);
	ebb_tensor_free(w);
}
END_TEST

/* A vjp that calls ebb_checkpoint, and is itself differentiated. */
static void nested_vjp(ebb_vjp *v)
{
	ebb_tensor *y = ebb_checkpoint(v->t, same, NULL, v->in[0]);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, y));
}
static const ebb_op NESTED = {.name = "nested", .vjp = nested_vjp, .reads = {EBB_IN(0)}};

START_TEST(a_checkpoint_inside_a_gradient)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *g, *h,
		   *y = ebb_sum(tape, copy_op(tape, &NESTED, 1, &x));

	ck_assert_msg(
		ebb_grad(tape, y, 1, &x, &g, .create_graph = true), "%s", ebb_error_message(tape));
	ck_assert(ebb_grad(tape, ebb_sum(tape, g), 1, &x, &h));
	for (int i = 0; i < 4; i++) {
		ck_assert_double_eq(ebb_at(g, i), values[i] * values[i]);
		ck_assert_double_eq(ebb_at(h, i), 2 * values[i]);
	}
}
END_TEST

static bool leaves_open, gives_another_type;
static int runs;

static ebb_tensor *careless(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	runs++;
	if (leaves_open && runs == 2)
		ebb_scope_begin(t, "left.open");
	x = ebb_square(t, x);
	return gives_another_type && runs == 2 ? ebb_cast(t, x, EBB_F32) : x;
}

/* If the second run leaves a scope open, the sweep closes this scope; the current scope is the same
 * as before. */
START_TEST(a_second_run_that_leaves_a_scope_open)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y;

	leaves_open = true;
	runs = 0;
	ebb_scope_begin(tape, "outer");
	y = ebb_sum(tape, ebb_checkpoint(tape, careless, NULL, x));
	ck_assert_msg(ebb_backward(tape, y), "%s", ebb_error_message(tape));
	leaves_open = false;
	ck_assert_str_eq(ebb_current_scope(tape), "outer");
	ck_assert_double_eq(ebb_at(ebb_grad_of(x), 2), 4);
	ebb_scope_end(tape, NULL);
	assert_healthy(tape);
}
END_TEST

START_TEST(a_second_run_of_another_type)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y;

	gives_another_type = true;
	runs = 0;
	y = ebb_sum(tape, ebb_checkpoint(tape, careless, NULL, x));
	assert_refused(tape, EBB_BAD_STATE, ebb_backward(tape, y), "checkpoint",
		"second run gave F32 [4], the first F64 [4]");
	gives_another_type = false;
	ck_assert_ptr_null(ebb_grad_of(x));
}
END_TEST

/* ---- Calls ----------------------------------------------------------------------------------- */

static const ebb_op PLAIN = {.name = "plain"};

START_TEST(null_inputs_failed_calls_and_invalid_shapes)
{
	ebb_tensor *x = vector(), *in[2] = {x, NULL};
	ebb_call c = ebb_begin(tape, &PLAIN, NULL, 1, in);

	/* The input is NULL, so there is no memory to use and nothing to copy the shape from. */
	c.nin = 2;
	ck_assert(!ebb_new_over(&c, 1));
	ck_assert(!ebb_new_within(&c, 1, EBB_SHAPE(1), EBB_ROWS));
	ck_assert(!ebb_new_like(&c, NULL));
	ck_assert(!ebb_new_view(&c, NULL, EBB_SHAPE(1), (const int64_t[]){1}, 0));
	c.nin = 1;
	for (int k = 0; k < EBB_MAX_SAVED; k++)
		ebb_save(&c, ebb_new_like(&c, x));
	assert_healthy(tape);
	ebb_save(&c, x);
	check_error(tape, EBB_INVALID, "ebb_save", (const char *[]){"plain", "saves more", NULL});
	ebb_clear_error(tape);
	/* For a call that has failed, these functions return NULL. */
	ck_assert(!ebb_new_over(&c, 0) && !ebb_new_like(&c, x));
	ck_assert(!ebb_new_within(&c, 0, EBB_SHAPE(1), EBB_ROWS));
	ck_assert(!ebb_new_view(&c, x, EBB_SHAPE(1), (const int64_t[]){1}, 0));
	ck_assert_ptr_null(ebb_record(&c, x));
	assert_healthy(tape);
	/* A result with more elements than the input gets its own memory.  An invalid shape is an
	 * error. */
	in[0] = ebb_neg(tape, x);
	c = ebb_begin(tape, &PLAIN, NULL, 1, in);
	ck_assert(ebb_data(ebb_new_within(&c, 0, EBB_SHAPE(5), EBB_ROWS)) != ebb_data(in[0]));
	assert_refused(
		tape, EBB_BAD_SHAPE, ebb_new_within(&c, 0, EBB_SHAPE(-1), EBB_ROWS), "plain");
}
END_TEST

/* The Jacobian of x^2 in F32 is diag(2x), exactly. */
START_TEST(a_jacobian_in_single_precision)
{
	ebb_tensor *x = ebb_variable(tape, ebb_cast(tape, vector(), EBB_F32)), *j;

	ck_assert(ebb_jacobian(tape, ebb_square(tape, x), 1, &x, &j));
	ck_assert_int_eq(ebb_dtype_of(j), EBB_F32);
	for (int i = 0; i < 16; i++)
		ck_assert_double_eq(ebb_at(j, i), i % 5 ? 0 : 2 * values[i / 5]);
}
END_TEST

/* If the same y is passed twice to ebb_grad_of_sum, both incoming gradients are added. */
START_TEST(a_result_that_is_passed_twice)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = ebb_square(tape, x), *g, *ys[2] = {y, y},
		   *gys[2] = {vector(), vector()};

	ck_assert(ebb_grad_of_sum(
		&(ebb_grad_args){.t = tape, .n = 1, .x = &x, .gx = &g}, "twice", 2, ys, gys));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(g, i), 4 * values[i] * values[i]);
}
END_TEST

/* ---- Observers ------------------------------------------------------------------------------- */

typedef struct look {
	const ebb_node *first;
	const ebb_tensor *wrong; /* a gradient of the wrong shape and type */
	int seen, absent;
} look;

/* Counts values of the first node's step.  When a later node is recorded, the step has no value,
 * because the input was freed. */
static void look_back(void *ctx, const ebb_node *n)
{
	look *l = ctx;

	if (!l->first && ebb_node_parts(n) > 0) {
		l->first = n;
		l->seen += ebb_node_part_value(n, 0) != NULL;
		l->absent += !ebb_node_part_gradient(n, 0, l->wrong);
	} else if (l->first && !strcmp(ebb_node_op(n), "neg")) {
		l->absent += !ebb_node_part_value(l->first, 0);
	}
}

static void look_at_consumed(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	look *l = ctx;

	(void)g;
	if (l->first && n != l->first && !strcmp(ebb_node_op(n), "leaf"))
		l->absent += !ebb_node_part_value(l->first, 0) &&
		             !ebb_node_part_gradient(l->first, 0, NULL);
}

START_TEST(steps_whose_values_were_freed)
{
	look l = {.wrong = vector()};
	const ebb_observer o = {.ctx = &l, .recorded = look_back, .gradient = look_at_consumed};
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(1, 1, 4, 4))), *h, *y;

	ck_assert(ebb_observe(tape, &o));
	h = ebb_square(tape, x);
	y = ebb_relu_maxpool2d(&(ebb_pool2d_args){.t = tape, .x = h, .kernel = 2});
	ebb_release(tape, h);
	y = ebb_neg(tape, y);
	ck_assert_int_eq(l.seen, 1);
	/* One for the gradient of the wrong shape, one for the value after the release. */
	ck_assert_int_eq(l.absent, 2);
	ck_assert(ebb_backward(tape, ebb_sum(tape, y)));
	ck_assert_int_eq(l.absent, 3);
	ebb_unobserve(tape, &o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/refused");
	TCase *c = tcase_create("refused");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, arrays_that_are_missing);
	tcase_add_test(c, a_checkpoint_without_its_input);
	tcase_add_test(c, functions_without_a_tape);
	tcase_add_test(c, invalid_contributions_of_a_vjp);
	tcase_add_test(c, null_parts_and_parts_of_a_missing_input_are_ignored);
	tcase_add_test(c, anomalies_in_parts_of_gradients);
	tcase_add_test(c, anomaly_errors_have_the_range_of_the_values);
	tcase_add_test(c, a_checkpoint_that_returns_a_parameter);
	tcase_add_test(c, a_checkpoint_inside_a_gradient);
	tcase_add_test(c, a_second_run_that_leaves_a_scope_open);
	tcase_add_test(c, a_second_run_of_another_type);
	tcase_add_test(c, null_inputs_failed_calls_and_invalid_shapes);
	tcase_add_test(c, a_jacobian_in_single_precision);
	tcase_add_test(c, a_result_that_is_passed_twice);
	tcase_add_test(c, steps_whose_values_were_freed);
	suite_add_tcase(s, c);
	return run_suite(s);
}
