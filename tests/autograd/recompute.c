/* Results that are forgotten and made again: the same gradients, bit for bit, in less memory. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 10000, LAYERS = 16 };

/* ---- y = x^3, which keeps x and can make y again -------------------------------------- */

static int made; /* again, since the test began */

static void write_cube(const ebb_tensor *x, ebb_tensor *y)
{
	const double *in = ebb_data(x);
	double *out = ebb_data_mutable(y);

	for (int64_t i = 0; i < ebb_count(y); i++)
		out[i] = in[i] * in[i] * in[i];
}

static void cube_vjp(ebb_vjp *v)
{
	ebb_tensor *slope = ebb_mul_scalar(v->t, ebb_square(v->t, v->in[0]), 3.0);

	ebb_give(v, 0, ebb_mul(v->t, v->gy, slope));
}

static void recompute_cube(ebb_vjp *v)
{
	made++;
	write_cube(v->in[0], v->out);
}
static const ebb_op CUBE = {.name = "cube",
	.vjp = cube_vjp,
	.reads = {EBB_IN(0)},
	.takes = {EBB_ROWS},
	.recompute = recompute_cube};

static ebb_tensor *cube(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &CUBE, EBB_SITE, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	if (y)
		write_cube(x, y);
	return ebb_record(&c, y);
}

/* ---- One function, with every handle kept or none ------------------------------------- */

static bool keeps; /* handles: nothing need be made again */

static ebb_tensor *instead(ebb_tape *t, ebb_tensor *x, ebb_tensor *y)
{
	if (!keeps)
		ebb_release(t, x);
	return y;
}

/* Two gradients read the cube, one of them twice. */
static ebb_tensor *layer(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *y = cube(t, x), *a = ebb_sin(t, y), *b = ebb_mul(t, y, y);

	(void)ctx;
	instead(t, y, NULL);
	y = ebb_sub(t, a, b);
	instead(t, a, NULL);
	y = instead(t, b, y);
	return instead(t, y, ebb_mul_scalar(t, y, 0.5)); /* at most 1 */
}

static ebb_tensor *chain(ebb_tape *t, ebb_tensor *x, bool checkpoints)
{
	ebb_tensor *y = x;

	for (int i = 0; i < LAYERS; i++) {
		ebb_tensor *next =
			checkpoints ? ebb_checkpoint(t, layer, NULL, y) : layer(t, y, NULL);

		y = i ? instead(t, y, next) : next;
	}
	return ebb_sum(t, ebb_mul(t, y, y));
}

static ebb_tensor *input(void)
{
	return persistent_random(EBB_F64, EBB_SHAPE(COUNT), 1);
}

typedef struct result {
	double *gradient;
	size_t peak;
	int made;
} result;

typedef enum { BACKWARD, RETAINED, GRAD, SECOND, CHECKPOINTS } variant;

static bool differentiate(variant how, ebb_tensor *v, ebb_tensor **g)
{
	ebb_tensor *y = chain(tape, v, how == CHECKPOINTS);

	if (how == GRAD)
		return ebb_grad(tape, y, 1, &v, g) && ebb_grad(tape, y, 1, &v, g);
	if (how == SECOND && (!ebb_grad(tape, y, 1, &v, g, .create_graph = true) ||
				     !(y = ebb_sum(tape, ebb_sin(tape, *g)))))
		return false;
	if (how == RETAINED && !ebb_backward(tape, y, .retain = true))
		return false;
	if (!ebb_backward(tape, y))
		return false;
	*g = ebb_grad_of(v);
	return true;
}

static result run(variant how, bool keep)
{
	size_t bytes = COUNT * sizeof(double);
	result r = {.gradient = malloc(bytes)};
	ebb_tensor *x = input(), *v = ebb_variable(tape, x), *g = NULL;

	keeps = keep;
	made = 0;
	ebb_memory_reset_peak(tape);
	ck_assert_msg(differentiate(how, v, &g), "%s", ebb_error_message(tape));
	ck_assert(ebb_copy_out(g, r.gradient, bytes));
	r.peak = ebb_memory_of(tape).peak;
	r.made = made;
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
	ebb_tensor_free(x);
	return r;
}

/* How often each layer's result is made again, when no handle is kept. */
static void compare(variant how, int times)
{
	result kept = run(how, true), forgotten = run(how, false);

	ck_assert(memcmp(kept.gradient, forgotten.gradient, COUNT * sizeof(double)) == 0);
	if (how != CHECKPOINTS)
		ck_assert_int_eq(kept.made, 0);
	ck_assert_int_eq(forgotten.made, times * LAYERS);
	free(kept.gradient);
	free(forgotten.gradient);
}

START_TEST(backward_makes_each_once)
{
	compare(BACKWARD, 1);
}
END_TEST

START_TEST(every_retained_sweep_makes_each_again)
{
	compare(RETAINED, 2);
	compare(GRAD, 2);
}
END_TEST

START_TEST(higher_derivatives_are_the_same)
{
	result kept = run(SECOND, true), forgotten = run(SECOND, false);

	ck_assert(memcmp(kept.gradient, forgotten.gradient, COUNT * sizeof(double)) == 0);
	ck_assert_int_ge(forgotten.made, 2 * LAYERS);
	free(kept.gradient);
	free(forgotten.gradient);
}
END_TEST

START_TEST(checkpoints_are_the_same)
{
	result plain = run(BACKWARD, true), forgotten = run(CHECKPOINTS, false);

	ck_assert(memcmp(plain.gradient, forgotten.gradient, COUNT * sizeof(double)) == 0);
	ck_assert_int_eq(forgotten.made, LAYERS);
	free(plain.gradient);
	free(forgotten.gradient);
}
END_TEST

START_TEST(memory_falls)
{
	size_t bytes = COUNT * sizeof(double);
	result kept = run(BACKWARD, true), forgotten = run(BACKWARD, false);

	/* Per layer the gradients read its input and the cube: the cube is not held. */
	ck_assert_msg(forgotten.peak <= (LAYERS + 8) * bytes, "%.2f vectors",
		(double)forgotten.peak / (double)bytes);
	ck_assert_uint_ge(kept.peak, 2 * LAYERS * bytes);
	free(kept.gradient);
	free(forgotten.gradient);
}
END_TEST

/* ---- Who holds what ------------------------------------------------------------------- */

/* d/dx of sum(f) by ebb_grad, at element i. */
static double slope(ebb_tensor *y, ebb_tensor *x, int64_t i)
{
	ebb_tensor *g = NULL;

	ck_assert_msg(ebb_grad(tape, ebb_sum(tape, y), 1, &x, &g), "%s", ebb_error_message(tape));
	return ebb_at(g, i);
}

START_TEST(one_made_from_another_has_that_one_kept)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x), *z = cube(tape, y), *s;

	s = ebb_square(tape, z);
	ebb_release(tape, y);
	ebb_release(tape, z);
	made = 0;
	ck_assert(slope(s, x, 2) == 18 * 131072.0);
	ck_assert_int_eq(made, 1);
	ck_assert(slope(s, x, 2) == 18 * 131072.0);
	ck_assert_int_eq(made, 2);
}
END_TEST

START_TEST(what_others_read_after_a_graph_was_consumed)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *w = ebb_variable(tape, vector());

	for (int dropped_before = 0; dropped_before < 2; dropped_before++) {
		ebb_tensor *y = cube(tape, x), *a = ebb_mul(tape, y, w), *b = ebb_sin(tape, y);

		if (dropped_before)
			ebb_release(tape, y);
		ck_assert(ebb_backward(tape, ebb_sum(tape, b)));
		ebb_release(tape, y);
		/* The gradient by w reads y, whose own node is consumed. */
		ck_assert(slope(a, w, 2) == 8);
		ck_assert(slope(a, w, 3) == 27);
		ck_assert_ptr_null(ebb_grad_of(w));
	}
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

/* It was made again elsewhere before its node was consumed: a view of it must look there. */
START_TEST(views_that_others_read_after_a_graph_was_consumed)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *w = ebb_variable(tape, vector());
	ebb_tensor *y = cube(tape, x), *view = ebb_reshape(tape, y, EBB_SHAPE(2, 2)), *a, *b;

	a = ebb_mul(tape, view, ebb_reshape(tape, w, EBB_SHAPE(2, 2)));
	b = ebb_sin(tape, ebb_mul(tape, y, y));
	ebb_release(tape, view);
	ebb_release(tape, y);
	ebb_full(tape, EBB_SHAPE(4), -1); /* where y was */
	ck_assert(ebb_backward(tape, ebb_sum(tape, b)));
	ck_assert(slope(a, w, 2) == 8);
	ck_assert(slope(a, w, 3) == 27);
}
END_TEST

/* The counts are checked while its value, kept for others, lies in a block that is larger than
 * it. */
START_TEST(made_again_in_a_larger_block)
{
	enum { LARGE = 20000, BIT = 100 };
	ebb_tensor *x = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(LARGE), 2));
	ebb_tensor *w = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(LARGE), 1));
	ebb_tensor *y = cube(tape, x), *a = ebb_mul(tape, y, w), *b = ebb_square(tape, y), *hole;

	ebb_release(tape, y);
	ebb_zeros(tape, EBB_SHAPE(LARGE)); /* where y was */
	hole = ebb_zeros(tape, EBB_SHAPE(LARGE + BIT));
	ebb_zeros(tape, EBB_SHAPE(LARGE + BIT));
	ebb_release(tape, hole);
	ck_assert(ebb_backward(tape, ebb_sum(tape, b)));
	check_tape_counts(tape);
	ck_assert(slope(a, w, LARGE - 1) == 8);
}
END_TEST

START_TEST(views_and_aliases_stay_whole)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x), *view, *alias, *s;

	view = ebb_reshape(tape, y, EBB_SHAPE(2, 2));
	alias = ebb_detach(tape, y);
	s = ebb_add(tape, ebb_mul(tape, ebb_reshape(tape, view, EBB_SHAPE(4)), alias),
		ebb_square(tape, y));
	ebb_release(tape, y);
	ck_assert(slope(s, x, 2) == (8 + 2 * 8) * 12);
	ck_assert(ebb_at(view, 3) == 27);
	ck_assert(ebb_at(alias, 2) == 8);
}
END_TEST

START_TEST(a_rewound_loop_leaves_nothing)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x), *first = ebb_sin(tape, y);
	ebb_mark mark;
	size_t in_use;

	ebb_release(tape, y);
	ck_assert_ptr_nonnull(first);
	mark = ebb_tape_mark(tape);
	in_use = ebb_memory_of(tape).in_use;
	for (int i = 0; i < 3; i++) {
		ebb_tensor *z = cube(tape, x), *s = ebb_mul(tape, ebb_sin(tape, z), first);

		ebb_release(tape, z);
		ck_assert(slope(s, x, 1) != 0);
		ebb_rewind(tape, mark);
		ck_assert_uint_eq(ebb_memory_of(tape).in_use, in_use);
	}
	ck_assert(ebb_backward(tape, ebb_sum(tape, first)));
	assert_healthy(tape);
}
END_TEST

/* y = x, whose gradient differentiates something older in between, and only then reads x. */
static ebb_tensor *older, *older_input;

static void nosy_vjp(ebb_vjp *v)
{
	ebb_tensor *g = NULL;

	ck_assert(ebb_grad(v->t, older, 1, &older_input, &g));
	ebb_release(v->t, ebb_full(v->t, ebb_shape_of(v->gy), 7)); /* may well take its place */
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->in[0]));
}
static const ebb_op NOSY = {.name = "nosy", .vjp = nosy_vjp, .reads = {EBB_IN(0)}};

START_TEST(a_sweep_inside_does_not_take_it_away)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x), *z, *s;
	ebb_call c;

	older_input = x;
	older = ebb_sum(tape, ebb_square(tape, y));
	z = y;
	c = ebb_begin(tape, &NOSY, EBB_SITE, 1, &z);
	s = ebb_new_like(&c, z);
	ck_assert(ebb_copy_out(z, ebb_data_mutable(s), 4 * sizeof(double)));
	s = ebb_record(&c, s);
	ebb_release(tape, y);
	for (int i = 0; i < 4; i++) {
		double cubed = values[i] * values[i] * values[i];

		ck_assert(slope(s, x, i) == cubed * (3.0 * (values[i] * values[i])));
	}
}
END_TEST

/* ---- What goes wrong ------------------------------------------------------------------ */

START_TEST(overwritten_values_are_found_out)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x), *s = ebb_sin(tape, y), *g;

	/* The result, after a gradient had saved it. */
	((double *)ebb_data_mutable(y))[0] = 5;
	ebb_release(tape, y);
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, ebb_sum(tape, s), 1, &x, &g), "sin",
		"overwritten");

	/* Before one saved it: that one reads what it saw. */
	y = cube(tape, x);
	((double *)ebb_data_mutable(y))[2] = 5;
	s = ebb_square(tape, y);
	ebb_release(tape, y);
	ck_assert(slope(s, x, 2) == 2 * 5 * 12);

	/* What it is made from. */
	y = cube(tape, x);
	s = ebb_sin(tape, y);
	ebb_release(tape, y);
	((double *)ebb_data_mutable(x))[0] = 5;
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, ebb_sum(tape, s), 1, &x, &g), "cube",
		"input 0", "overwritten");
}
END_TEST

START_TEST(a_forgotten_value_is_not_read)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x);
	ebb_tensor *s = ebb_sin(tape, y);

	ebb_release(tape, y);
	ck_assert_ptr_null(ebb_data(y));
	ebb_clear_error(tape);
	ck_assert(slope(s, x, 0) != 0);
	ck_assert_ptr_null(ebb_data(y));
	ck_assert_int_eq(ebb_error_status(tape), EBB_BAD_STATE);
}
END_TEST

START_TEST(anomaly_detection_forgets_nothing)
{
	ebb_detect_anomaly(tape, true);
	compare(BACKWARD, 0);
	ebb_detect_anomaly(tape, false);
}
END_TEST

/* Memory that runs out while a result is made again: an error, and the same sweep with memory
 * finds the same gradient. */
START_TEST(no_memory_to_make_it_again)
{
	enum { SIZE = 2000 };
	counting_allocator a;
	int failures = 0;

	counting_allocator_install(&a);
	for (int64_t n = 0; n < 20; n++) {
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *x, *y, *s, *g = NULL, *taken[4];

		ebb_set_default_dtype(t, EBB_F64);
		x = ebb_variable(t, ebb_full(t, EBB_SHAPE(SIZE), 2));
		y = cube(t, x);
		s = ebb_square(t, y);
		ebb_release(t, y);
		/* Takes the place of y, and of what else is free. */
		for (int i = 0; i < 4; i++)
			taken[i] = ebb_full(t, EBB_SHAPE(SIZE), i);
		s = ebb_sum(t, s);
		ck_assert_ptr_nonnull(taken[3]);
		a.calls = a.refused = 0;
		a.fail_at = n;
		if (!ebb_grad(t, s, 1, &x, &g)) {
			failures++;
			ck_assert_int_eq(ebb_error_status(t), EBB_NO_MEMORY);
			ebb_clear_error(t);
		}
		a.fail_at = -1;
		ck_assert(ebb_grad(t, s, 1, &x, &g));
		ck_assert(ebb_at(g, SIZE - 1) == 2 * 8 * 12);
		ck_assert(ebb_at(taken[3], 7) == 3);
		ebb_tape_reset(t);
		ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
		ebb_tape_free(t);
	}
	ck_assert_int_ge(failures, 3);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/recompute");
	TCase *c = tcase_create("recompute");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, backward_makes_each_once);
	tcase_add_test(c, every_retained_sweep_makes_each_again);
	tcase_add_test(c, higher_derivatives_are_the_same);
	tcase_add_test(c, checkpoints_are_the_same);
	tcase_add_test(c, memory_falls);
	tcase_add_test(c, one_made_from_another_has_that_one_kept);
	tcase_add_test(c, what_others_read_after_a_graph_was_consumed);
	tcase_add_test(c, views_that_others_read_after_a_graph_was_consumed);
	tcase_add_test(c, made_again_in_a_larger_block);
	tcase_add_test(c, views_and_aliases_stay_whole);
	tcase_add_test(c, a_rewound_loop_leaves_nothing);
	tcase_add_test(c, a_sweep_inside_does_not_take_it_away);
	tcase_add_test(c, overwritten_values_are_found_out);
	tcase_add_test(c, a_forgotten_value_is_not_read);
	tcase_add_test(c, anomaly_detection_forgets_nothing);
	tcase_add_test(c, no_memory_to_make_it_again);
	suite_add_tcase(s, c);
	return run_suite(s);
}
