/* inplace.c - batch norm and max pooling with .inplace overwrite their input, and only if nothing
 * else needs it. */
#include <string.h>

#include "tests/ops/ops_test.h"

enum { CHANNELS = 24, SIDE = 20 };

typedef struct fixture {
	ebb_tape *t;
	ebb_tensor *x, *weight, *bias, *mean, *var;
} fixture;

static ebb_tensor *filled(ebb_shape shape, uint64_t seed)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_tensor_new(EBB_F32, shape, shape.ndim == 4, &e);
	ebb_init init = EBB_INIT(EBB_INIT_UNIFORM, .low = 0.5, .high = 2);

	ck_assert_msg(x && ebb_init_fill(x, &init, seed, 0, &e), "%s", e.message);
	return x;
}

static fixture setup(bool recording)
{
	fixture f = {.t = ebb_tape_new()};

	f.x = filled(EBB_SHAPE(2, CHANNELS, SIDE, SIDE), 1);
	f.weight = filled(EBB_SHAPE(CHANNELS), 2);
	f.bias = filled(EBB_SHAPE(CHANNELS), 3);
	f.mean = filled(EBB_SHAPE(CHANNELS), 4);
	f.var = filled(EBB_SHAPE(CHANNELS), 5);
	ebb_set_training(f.t, false);
	ebb_set_recording(f.t, recording);
	return f;
}

static void teardown(fixture *f)
{
	ebb_tape_free(f->t);
	ebb_tensor_free(f->x);
	ebb_tensor_free(f->weight);
	ebb_tensor_free(f->bias);
	ebb_tensor_free(f->mean);
	ebb_tensor_free(f->var);
}

static ebb_tensor *norm(
	const fixture *f, ebb_tensor *x, ebb_tensor *residual, bool relu, bool inplace)
{
	if (relu)
		return ebb_batchnorm_relu(
			f->t, x, f->weight, f->bias, f->mean, f->var, residual, .inplace = inplace);
	return ebb_batchnorm(f->t, x, f->weight, f->bias, f->mean, f->var, .inplace = inplace);
}

static void check_same(const ebb_tensor *a, const ebb_tensor *b)
{
	ck_assert_int_gt(ebb_count(a), 0);
	ck_assert_int_eq(ebb_count(a), ebb_count(b));
	for (int64_t i = 0; i < ebb_count(a); i++)
		ck_assert_double_eq(ebb_at(a, i), ebb_at(b, i));
}

START_TEST(batchnorm_overwrites_its_input)
{
	for (int relu = 0; relu <= 1; relu++) {
		fixture f = setup(false);
		ebb_tensor *x = ebb_neg(f.t, f.x), *want = norm(&f, x, NULL, relu, false), *y;
		size_t held = ebb_memory_of(f.t).in_use;
		const void *place = ebb_data(x);

		y = norm(&f, x, NULL, relu, true);
		check_same(y, want);
		ck_assert_ptr_eq(ebb_data(y), place);
		ck_assert_uint_eq(ebb_memory_of(f.t).in_use, held);
		/* The input is released: reading it is an error. */
		ck_assert(!ebb_failed(f.t));
		ck_assert_ptr_null(ebb_neg(f.t, x));
		ck_assert_ptr_nonnull(strstr(ebb_error_message(f.t), "released"));
		teardown(&f);
	}
}
END_TEST

START_TEST(batchnorm_overwrites_its_input_and_not_the_residual)
{
	fixture f = setup(false);
	ebb_tensor *x = ebb_neg(f.t, f.x), *r = ebb_square(f.t, f.x);
	ebb_tensor *want = norm(&f, x, r, true, false), *before = ebb_square(f.t, f.x);
	const void *place = ebb_data(x);
	ebb_tensor *y = norm(&f, x, r, true, true);

	check_same(y, want);
	ck_assert_ptr_eq(ebb_data(y), place);
	check_same(r, before);
	teardown(&f);
}
END_TEST

/* Cases in which the input is still needed: a view, a persistent tensor, the residual. */
START_TEST(batchnorm_keeps_an_input_that_is_still_needed)
{
	fixture f = setup(false);
	ebb_tensor *x = ebb_neg(f.t, f.x), *same = ebb_neg(f.t, f.x);
	ebb_tensor *view = ebb_reshape(f.t, x, EBB_SHAPE(2, CHANNELS, SIDE * SIDE));
	ebb_tensor *want = norm(&f, x, NULL, true, false),
		   *persistent = norm(&f, f.x, NULL, true, false);
	ebb_tensor *twice = norm(&f, same, same, true, false), *y;
	double first;

	y = norm(&f, x, NULL, true, true);
	check_same(y, want);
	for (int64_t i = 0; i < ebb_count(view); i++)
		ck_assert_double_eq(ebb_at(view, i), ebb_at(same, i));
	check_same(norm(&f, f.x, NULL, true, true), persistent);
	check_same(norm(&f, f.x, NULL, true, true), persistent);
	check_same(norm(&f, same, same, true, true), twice);
	/* A view of a persistent tensor must not be overwritten, although it is an op's result. */
	first = ebb_at(f.x, 0);
	norm(&f, ebb_slice(f.t, f.x, 0, 0, 1, 1), NULL, true, true);
	norm(&f, ebb_reshape(f.t, f.x, EBB_SHAPE(2, CHANNELS, SIDE * SIDE)), NULL, false, true);
	ck_assert_double_eq(ebb_at(f.x, 0), first);
	ck_assert_msg(!ebb_failed(f.t), "%s", ebb_error_message(f.t));
	teardown(&f);
}
END_TEST

/* While recording, the gradient reads x: values and gradients equal those without .inplace. */
START_TEST(batchnorm_keeps_an_input_that_gradients_read)
{
	for (int training = 0; training <= 1; training++) {
		ebb_tensor *g[2];
		fixture f = setup(true);

		ebb_set_training(f.t, training);
		ebb_set_requires_grad(f.x, true);
		for (int inplace = 0; inplace <= 1; inplace++) {
			ebb_tensor *x = ebb_square(f.t, f.x);
			ebb_tensor *y =
				ebb_batchnorm_relu(f.t, x, f.weight, f.bias, .inplace = inplace);
			ebb_tensor *loss = ebb_sum(f.t, ebb_square(f.t, y));

			ck_assert_msg(ebb_grad(f.t, loss, 1, &f.x, &g[inplace], NULL), "%s",
				ebb_error_message(f.t));
		}
		check_same(g[0], g[1]);
		teardown(&f);
	}
}
END_TEST

static ebb_tensor *given(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const fixture *f = ctx;

	return ebb_batchnorm_relu(t, x, f->weight, f->bias, f->mean, f->var, .inplace = true);
}

static ebb_tensor *made_inside(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return given(t, ebb_neg(t, x), ctx);
}

/* In a checkpoint: the recomputation computes the input again, or is given it again. */
START_TEST(batchnorm_keeps_the_input_of_a_checkpoint)
{
	for (int inside = 0; inside <= 1; inside++) {
		fixture f = setup(true);
		ebb_tensor *x, *y, *want, *g, *expected;

		ebb_set_requires_grad(f.weight, true);
		x = ebb_neg(f.t, f.x);
		want = norm(&f, inside ? ebb_neg(f.t, x) : x, NULL, true, false);
		ck_assert(ebb_grad(
			f.t, ebb_sum(f.t, ebb_square(f.t, want)), 1, &f.weight, &expected, NULL));
		y = ebb_checkpoint(f.t, inside ? made_inside : given, &f, x);
		ck_assert_msg(y, "%s", ebb_error_message(f.t));
		check_same(y, want);
		ck_assert_msg(
			ebb_grad(f.t, ebb_sum(f.t, ebb_square(f.t, y)), 1, &f.weight, &g, NULL),
			"%s", ebb_error_message(f.t));
		check_same(g, expected);
		check_same(ebb_neg(f.t, x), f.x);
		teardown(&f);
	}
}
END_TEST

/* ---- Pooling --------------------------------------------------------------------------------- */

enum { LINE = 16, WIDE = 80 };

static ebb_tensor *pooled(ebb_tape *t, ebb_tensor *x, bool inplace)
{
	return ebb_maxpool2d(t, x, .kernel = 3, .stride = 2, .pad = 1, .inplace = inplace);
}

/* Large enough for the heap allocator, to which the memory beyond the result returns. */
START_TEST(max_pooling_overwrites_its_input)
{
	ebb_tensor *persistent = filled(EBB_SHAPE(2, LINE, WIDE, WIDE), 1), *x, *want, *y, *other;
	ebb_tape *t = ebb_tape_new();
	const char *place;
	size_t held;

	ebb_set_recording(t, false);
	want = pooled(t, persistent, false);
	x = ebb_neg(t, ebb_neg(t, persistent));
	held = ebb_memory_of(t).in_use;
	place = ebb_data(x);
	y = pooled(t, x, true);
	check_same(y, want);
	ck_assert_ptr_eq(ebb_data(y), place);
	ck_assert_uint_le(
		ebb_memory_of(t).in_use, held - (size_t)ebb_count(persistent) * 4 * 5 / 7);
	/* Reuses the memory that was returned. */
	other = ebb_zeros(t, EBB_SHAPE(ebb_count(persistent) / 2));
	ck_assert((const char *)ebb_data(other) > place);
	check_same(y, want);
	ck_assert(!ebb_failed(t));
	ck_assert_ptr_null(ebb_neg(t, x));
	ck_assert_ptr_nonnull(strstr(ebb_error_message(t), "released"));
	ebb_tape_free(t);
	ebb_tensor_free(persistent);
}
END_TEST

/* A view, a persistent tensor, windows that begin before their output's position, sizes that are no
 * multiple of a cache line. */
START_TEST(max_pooling_keeps_an_input_that_is_still_needed)
{
	ebb_tensor *persistent = filled(EBB_SHAPE(2, LINE, 12, 12), 1), *x, *view, *y;
	ebb_tape *t = ebb_tape_new();

	ebb_set_recording(t, false);
	x = ebb_neg(t, persistent);
	view = ebb_reshape(t, x, EBB_SHAPE(2, LINE, 144));
	y = pooled(t, x, true);
	check_same(y, pooled(t, ebb_neg(t, persistent), false));
	check_same(view, ebb_reshape(t, ebb_neg(t, persistent), EBB_SHAPE(2, LINE, 144)));
	y = pooled(t, persistent, false);
	check_same(pooled(t, persistent, true), y);
	check_same(pooled(t, persistent, false), y);
	check_same(ebb_maxpool2d(t, ebb_neg(t, persistent), .kernel = 3, .stride = 1, .pad = 1,
			   .inplace = true),
		ebb_maxpool2d(t, ebb_neg(t, persistent), .kernel = 3, .stride = 1, .pad = 1));
	x = ebb_slice(t, persistent, 1, 0, 7, 1);
	check_same(pooled(t, ebb_neg(t, x), true), pooled(t, ebb_neg(t, x), false));
	ck_assert_msg(!ebb_failed(t), "%s", ebb_error_message(t));
	ck_assert_ptr_null(ebb_avgpool2d(t, persistent, .kernel = 2, .inplace = true));
	ck_assert_ptr_nonnull(strstr(ebb_error_message(t), ".inplace"));
	ebb_tape_free(t);
	ebb_tensor_free(persistent);
}
END_TEST

/* A view of the second half of a result, which is written within its input's memory. */
static ebb_tensor *second_half(ebb_tape *t, ebb_tensor *x)
{
	static const ebb_op HALF = {.name = "second_half", .takes = {EBB_ROWS}};
	ebb_call c = ebb_begin(t, &HALF, NULL, 1, &x);
	const float *from = ebb_data(x);
	ebb_tensor *y = ebb_new_within(&c, 0, EBB_SHAPE(2, WIDE * WIDE), EBB_ROWS);
	float *to = ebb_data_mutable(y);
	int64_t strides[] = {WIDE * WIDE, 1};

	ck_assert_ptr_eq(from, to);
	for (int i = 0; i < 2 * WIDE * WIDE; i++)
		to[i] = (float)i;
	return ebb_record(&c, ebb_new_view(&c, y, EBB_SHAPE(1, WIDE * WIDE), strides, WIDE * WIDE));
}

/* If the recorded result is a view, no part of the memory that it views is returned. */
START_TEST(memory_behind_a_recorded_view_is_not_returned)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *y;

	ebb_set_recording(t, false);
	y = second_half(t, ebb_neg(t, ebb_full(t, EBB_SHAPE(4, WIDE * WIDE), 1)));
	ck_assert_msg(y, "%s", ebb_error_message(t));
	ebb_zeros(t, EBB_SHAPE(2, WIDE * WIDE));
	for (int i = 0; i < WIDE * WIDE; i++)
		ck_assert_double_eq(ebb_at(y, i), WIDE * WIDE + i);
	ebb_tape_free(t);
}
END_TEST

START_TEST(in_place_max_pooling_has_the_same_gradients)
{
	ebb_tensor *persistent = filled(EBB_SHAPE(2, LINE, 9, 9), 1), *g[2], *index = NULL, *y;
	ebb_tape *t = ebb_tape_new();

	ebb_set_requires_grad(persistent, true);
	for (int inplace = 0; inplace <= 1; inplace++) {
		y = pooled(t, ebb_square(t, persistent), inplace);
		ck_assert_msg(ebb_grad(t, ebb_sum(t, ebb_square(t, y)), 1, &persistent, &g[inplace],
				      NULL),
			"%s", ebb_error_message(t));
	}
	check_same(g[0], g[1]);
	ebb_set_recording(t, false);
	y = ebb_maxpool2d(t, ebb_neg(t, persistent), .kernel = 2, .index = &index, .inplace = true);
	check_same(y, ebb_maxpool2d(t, ebb_neg(t, persistent), .kernel = 2));
	ck_assert_ptr_nonnull(index);
	ebb_tape_free(t);
	ebb_tensor_free(persistent);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops-inplace");
	TCase *c = tcase_create("inplace");

	tcase_add_test(c, batchnorm_overwrites_its_input);
	tcase_add_test(c, batchnorm_overwrites_its_input_and_not_the_residual);
	tcase_add_test(c, batchnorm_keeps_an_input_that_is_still_needed);
	tcase_add_test(c, batchnorm_keeps_an_input_that_gradients_read);
	tcase_add_test(c, batchnorm_keeps_the_input_of_a_checkpoint);
	tcase_add_test(c, max_pooling_overwrites_its_input);
	tcase_add_test(c, max_pooling_keeps_an_input_that_is_still_needed);
	tcase_add_test(c, memory_behind_a_recorded_view_is_not_returned);
	tcase_add_test(c, in_place_max_pooling_has_the_same_gradients);
	suite_add_tcase(s, c);
	return run_suite(s);
}
