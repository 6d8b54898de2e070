/* Results that are freed and recomputed in the sweep: bit-identical gradients in less memory. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 10000, LAYERS = 16 };

/* ---- y = x^3, whose op saves x and can recompute y ------------------------------------ */

static int made; /* the number of recomputations since the test began */

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

/* ---- One function, with all handles kept or all released ------------------------------ */

static bool keeps; /* handles are kept, so that no result is recomputed */

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
	return instead(t, y, ebb_mul_scalar(t, y, 0.5)); /* in absolute value at most 1 */
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

/* Asserts that gradients are bit-identical with handles kept and released.  With released handles
 * each layer's result must be recomputed as often as times says. */
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

START_TEST(backward_recomputes_each_result_once)
{
	compare(BACKWARD, 1);
}
END_TEST

START_TEST(every_retained_sweep_recomputes_each_result)
{
	compare(RETAINED, 2);
	compare(GRAD, 2);
}
END_TEST

START_TEST(higher_derivatives_are_bit_identical)
{
	result kept = run(SECOND, true), forgotten = run(SECOND, false);

	ck_assert(memcmp(kept.gradient, forgotten.gradient, COUNT * sizeof(double)) == 0);
	ck_assert_int_ge(forgotten.made, 2 * LAYERS);
	free(kept.gradient);
	free(forgotten.gradient);
}
END_TEST

START_TEST(gradients_through_checkpoints_are_bit_identical)
{
	result plain = run(BACKWARD, true), forgotten = run(CHECKPOINTS, false);

	ck_assert(memcmp(plain.gradient, forgotten.gradient, COUNT * sizeof(double)) == 0);
	ck_assert_int_eq(forgotten.made, LAYERS);
	free(plain.gradient);
	free(forgotten.gradient);
}
END_TEST

START_TEST(recomputed_results_take_no_memory_until_the_sweep)
{
	size_t bytes = COUNT * sizeof(double);
	result kept = run(BACKWARD, true), forgotten = run(BACKWARD, false);

	/* The gradients of a layer read its input and the cube, of which only the input is in
	 * memory. */
	ck_assert_msg(forgotten.peak <= (LAYERS + 8) * bytes, "%.2f vectors",
		(double)forgotten.peak / (double)bytes);
	ck_assert_uint_ge(kept.peak, 2 * LAYERS * bytes);
	free(kept.gradient);
	free(forgotten.gradient);
}
END_TEST

/* ---- Reference counts ----------------------------------------------------------------- */

/* d/dx of sum(f) by ebb_grad, at element i. */
static double slope(ebb_tensor *y, ebb_tensor *x, int64_t i)
{
	ebb_tensor *g = NULL;

	ck_assert_msg(ebb_grad(tape, ebb_sum(tape, y), 1, &x, &g), "%s", ebb_error_message(tape));
	return ebb_at(g, i);
}

START_TEST(the_inputs_of_a_recomputation_stay_in_memory)
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

START_TEST(the_result_of_a_consumed_node_can_be_read_by_other_gradients)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *w = ebb_variable(tape, vector());

	for (int dropped_before = 0; dropped_before < 2; dropped_before++) {
		ebb_tensor *y = cube(tape, x), *a = ebb_mul(tape, y, w), *b = ebb_sin(tape, y);

		if (dropped_before)
			ebb_release(tape, y);
		ck_assert(ebb_backward(tape, ebb_sum(tape, b)));
		ebb_release(tape, y);
		/* The gradient by w reads y, the result of a consumed node. */
		ck_assert(slope(a, w, 2) == 8);
		ck_assert(slope(a, w, 3) == 27);
		ck_assert_ptr_null(ebb_grad_of(w));
	}
	ebb_tape_reset(tape);
	ck_assert_uint_eq(ebb_memory_of(tape).in_use, 0);
}
END_TEST

/* The sweep recomputes the result in other memory before it consumes the result's node.  A view of
 * the result must use this memory. */
START_TEST(a_view_of_the_result_of_a_consumed_node_can_be_read_by_other_gradients)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *w = ebb_variable(tape, vector());
	ebb_tensor *y = cube(tape, x), *view = ebb_reshape(tape, y, EBB_SHAPE(2, 2)), *a, *b;

	a = ebb_mul(tape, view, ebb_reshape(tape, w, EBB_SHAPE(2, 2)));
	b = ebb_sin(tape, ebb_mul(tape, y, y));
	ebb_release(tape, view);
	ebb_release(tape, y);
	ebb_full(tape, EBB_SHAPE(4), -1); /* takes the memory that y had */
	ck_assert(ebb_backward(tape, ebb_sum(tape, b)));
	ck_assert(slope(a, w, 2) == 8);
	ck_assert(slope(a, w, 3) == 27);
}
END_TEST

/* Another node has saved the result, so the recomputed result stays in memory, in a heap block that
 * is larger than the result. */
START_TEST(counts_are_right_when_a_result_is_recomputed_in_a_larger_block)
{
	enum { LARGE = 20000, BIT = 100 };
	ebb_tensor *x = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(LARGE), 2));
	ebb_tensor *w = ebb_variable(tape, ebb_full(tape, EBB_SHAPE(LARGE), 1));
	ebb_tensor *y = cube(tape, x), *a = ebb_mul(tape, y, w), *b = ebb_square(tape, y), *hole;

	ebb_release(tape, y);
	ebb_zeros(tape, EBB_SHAPE(LARGE)); /* takes the memory that y had */
	hole = ebb_zeros(tape, EBB_SHAPE(LARGE + BIT));
	ebb_zeros(tape, EBB_SHAPE(LARGE + BIT));
	ebb_release(tape, hole);
	ck_assert(ebb_backward(tape, ebb_sum(tape, b)));
	check_tape_counts(tape);
	ck_assert(slope(a, w, LARGE - 1) == 8);
}
END_TEST

START_TEST(views_and_aliases_keep_a_recomputable_result)
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

START_TEST(a_rewind_frees_recomputed_results)
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

/* y = x, with a vjp that calls ebb_grad of an earlier result (older) before it reads x. */
static ebb_tensor *older, *older_input;

static void nosy_vjp(ebb_vjp *v)
{
	ebb_tensor *g = NULL;

	ck_assert(ebb_grad(v->t, older, 1, &older_input, &g));
	ebb_release(
		v->t, ebb_full(v->t, ebb_shape_of(v->gy), 7)); /* overwrites x's memory if freed */
	ebb_give(v, 0, ebb_mul(v->t, v->gy, v->in[0]));
}
static const ebb_op NOSY = {.name = "nosy", .vjp = nosy_vjp, .reads = {EBB_IN(0)}};

START_TEST(an_inner_sweep_does_not_free_what_the_outer_vjp_reads)
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

/* ---- Errors --------------------------------------------------------------------------- */

START_TEST(overwriting_a_saved_value_is_an_error)
{
	ebb_tensor *x = ebb_variable(tape, vector()), *y = cube(tape, x), *s = ebb_sin(tape, y), *g;

	/* The result is overwritten after a node has saved it. */
	((double *)ebb_data_mutable(y))[0] = 5;
	ebb_release(tape, y);
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, ebb_sum(tape, s), 1, &x, &g), "sin",
		"overwritten");

	/* The result is overwritten before a node saves it: the gradient reads the new value. */
	y = cube(tape, x);
	((double *)ebb_data_mutable(y))[2] = 5;
	s = ebb_square(tape, y);
	ebb_release(tape, y);
	ck_assert(slope(s, x, 2) == 2 * 5 * 12);

	/* The input of the recomputation is overwritten. */
	y = cube(tape, x);
	s = ebb_sin(tape, y);
	ebb_release(tape, y);
	((double *)ebb_data_mutable(x))[0] = 5;
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, ebb_sum(tape, s), 1, &x, &g), "cube",
		"input 0", "overwritten");
}
END_TEST

START_TEST(a_released_value_cannot_be_read_after_its_recomputation)
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

START_TEST(anomaly_detection_keeps_every_result)
{
	ebb_detect_anomaly(tape, true);
	compare(BACKWARD, 0);
	ebb_detect_anomaly(tape, false);
}
END_TEST

/* Without memory for a recomputation the sweep fails.  Repeated with memory, the sweep computes the
 * gradient. */
START_TEST(a_recomputation_without_memory_fails_and_can_be_repeated)
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
		/* These tensors get the memory that y had, and all other free memory of the
		 * pool. */
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
	tcase_add_test(c, backward_recomputes_each_result_once);
	tcase_add_test(c, every_retained_sweep_recomputes_each_result);
	tcase_add_test(c, higher_derivatives_are_bit_identical);
	tcase_add_test(c, gradients_through_checkpoints_are_bit_identical);
	tcase_add_test(c, recomputed_results_take_no_memory_until_the_sweep);
	tcase_add_test(c, the_inputs_of_a_recomputation_stay_in_memory);
	tcase_add_test(c, the_result_of_a_consumed_node_can_be_read_by_other_gradients);
	tcase_add_test(c, a_view_of_the_result_of_a_consumed_node_can_be_read_by_other_gradients);
	tcase_add_test(c, counts_are_right_when_a_result_is_recomputed_in_a_larger_block);
	tcase_add_test(c, views_and_aliases_keep_a_recomputable_result);
	tcase_add_test(c, a_rewind_frees_recomputed_results);
	tcase_add_test(c, an_inner_sweep_does_not_free_what_the_outer_vjp_reads);
	tcase_add_test(c, overwriting_a_saved_value_is_an_error);
	tcase_add_test(c, a_released_value_cannot_be_read_after_its_recomputation);
	tcase_add_test(c, anomaly_detection_keeps_every_result);
	tcase_add_test(c, a_recomputation_without_memory_fails_and_can_be_repeated);
	suite_add_tcase(s, c);
	return run_suite(s);
}
