/*
 * prepared.c - weights that a tape keeps packed: what they give is what unpacked ones give, and never
 * that of other weights.
 */
#include "tests/ops/ops_test.h"

enum { CHANNELS = 24 };

static ebb_tensor *filled(ebb_shape shape, uint64_t seed)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_tensor_new(EBB_F32, shape, false, &e);
	ebb_init init = EBB_INIT(EBB_INIT_NORMAL);

	ck_assert_msg(x && ebb_init_fill(x, &init, seed, 0, &e), "%s", e.message);
	return x;
}

static ebb_tensor *weights(uint64_t seed)
{
	return filled(EBB_SHAPE(CHANNELS, CHANNELS, 3, 3), seed);
}

static ebb_tensor *image(void)
{
	return filled(EBB_SHAPE(1, CHANNELS, 7, 7), 99);
}

/* Compares with a tape of its own that records, and so prepares nothing. */
static void check(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, int stride)
{
	ebb_tape *fresh = ebb_tape_new();
	ebb_tensor *y = ebb_conv2d(t, x, w, .pad = 1, .stride = stride);
	ebb_tensor *want = ebb_conv2d(fresh, x, w, .pad = 1, .stride = stride);

	ck_assert_int_gt(ebb_count(want), 0);
	ck_assert_int_eq(ebb_count(y), ebb_count(want));
	for (int64_t i = 0; i < ebb_count(want); i++)
		ck_assert_double_eq_tol(ebb_at(y, i), ebb_at(want, i), 2e-4);
	ck_assert_msg(!ebb_failed(t), "%s", ebb_error_message(t));
	ebb_tape_free(fresh);
	ebb_tape_reset(t);
}

START_TEST(weights_that_stay)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = image(), *a = weights(1), *b = weights(2);

	ebb_set_recording(t, false);
	for (int i = 0; i < 3; i++) {
		check(t, x, a, 1);
		check(t, x, b, 1);
		check(t, x, a, 2);
	}
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(a);
	ebb_tensor_free(b);
}
END_TEST

START_TEST(weights_that_are_written)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = image(), *w = weights(1);

	ebb_set_recording(t, false);
	for (int i = 0; i < 4; i++) {
		float *data = ebb_data_mutable(w);

		data[i] += 5;
		check(t, x, w, 1);
		check(t, x, w, 1);
	}
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(w);
}
END_TEST

/* A later tensor is likely to lie where a freed one lay. */
START_TEST(weights_that_are_freed)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = image();

	ebb_set_recording(t, false);
	for (uint64_t i = 0; i < 5; i++) {
		ebb_tensor *w = weights(i);

		check(t, x, w, 1);
		ebb_tensor_free(w);
	}
	ebb_tape_free(t);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(more_weights_than_are_kept)
{
	enum { MANY = 300 };
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = image(), *w[MANY];

	ebb_set_recording(t, false);
	for (uint64_t i = 0; i < MANY; i++)
		w[i] = weights(i);
	for (int i = 0; i < 2 * MANY; i++)
		check(t, x, w[i * 7 % MANY], 1);
	/* What is kept counts as held. */
	ck_assert_uint_gt(ebb_memory_of(t).reserved, 200 * (size_t)ebb_count(w[0]) * sizeof(float));
	ebb_tape_free(t);
	ebb_tensor_free(x);
	for (int i = 0; i < MANY; i++)
		ebb_tensor_free(w[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops-prepared");
	TCase *c = tcase_create("prepared");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, weights_that_stay);
	tcase_add_test(c, weights_that_are_written);
	tcase_add_test(c, weights_that_are_freed);
	tcase_add_test(c, more_weights_than_are_kept);
	suite_add_tcase(s, c);
	return run_suite(s);
}
