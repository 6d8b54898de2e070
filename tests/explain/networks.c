/* networks.c - attributions of networks that checkpoint, rewind, release or split their input, and
 * calls of attributions where they cannot work. */
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <math.h>

static ebb_tape *tape;
static ebb_tensor *image, *first, *second;

static void open_tape(void)
{
	tape = ebb_tape_new();
	image = persistent_random(EBB_F32, EBB_SHAPE(2, 3, 8, 8), 1);
	first = persistent_random(EBB_F32, EBB_SHAPE(4, 3, 3, 3), 2);
	second = persistent_random(EBB_F32, EBB_SHAPE(4, 4, 3, 3), 3);
}

static void close_tape(void)
{
	ebb_tape_free(tape);
	ebb_tensor_free(image);
	ebb_tensor_free(first);
	ebb_tensor_free(second);
}

/* ---- Networks -------------------------------------------------------------------------------- */

static ebb_tensor *two_layers(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	ebb_scope_begin(t, "first");
	x = ebb_relu(t, ebb_scope_end(t, ebb_conv2d(t, x, first, NULL, .pad = 1)));
	ebb_scope_begin(t, "second");
	return ebb_relu(t, ebb_scope_end(t, ebb_conv2d(t, x, second, NULL, .pad = 1)));
}

static ebb_tensor *means(ebb_tape *t, ebb_tensor *h)
{
	h = ebb_tanh(t, ebb_mul_scalar(t, h, 3));
	return ebb_mean(t, h, .axes = EBB_AXES(2, 3));
}

static ebb_tensor *plain(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return means(t, two_layers(t, x, ctx));
}

static ebb_tensor *checkpointed(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return means(t, ebb_checkpoint(t, two_layers, ctx, x));
}

static ebb_tensor *rewound(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_mark m = ebb_tape_mark(t);

	two_layers(t, x, ctx);
	ebb_rewind(t, m);
	return means(t, x);
}

/* Four patches of each image are rows of the layers. */
static ebb_tensor *by_patches(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	int64_t n = ebb_size(x, 0);

	x = two_layers(t, ebb_reshape(t, x, EBB_SHAPE(4 * n, 3, 4, 4)), ctx);
	return ebb_mean(t, ebb_reshape(t, x, EBB_SHAPE(n, 4, 4, -1)), .axes = EBB_AXES(1, 3));
}

static ebb_tensor *releasing(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return plain(t, ebb_batchnorm(t, x, .inplace = true), ctx);
}

static ebb_tensor *unnamed(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	x = two_layers(t, x, ctx);
	ebb_scope_begin(t, "");
	return means(t, ebb_scope_end(t, ebb_relu(t, x)));
}

static ebb_tensor *one_image_only(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return plain(t, ebb_reshape(t, x, EBB_SHAPE(1, 3, 8, 8)), ctx);
}

static ebb_tensor *in_f32(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return ebb_cast(t, plain(t, ebb_cast(t, x, EBB_F32), ctx), EBB_F64);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

START_TEST(a_layer_that_was_rewound_is_an_error)
{
	const ebb_network_fn fn = _i ? rewound : checkpointed;

	assert_refused(tape, EBB_BAD_STATE, ebb_grad_cam(tape, fn, NULL, image, .layer = "first"),
		"recording of layer first was rewound");
	ebb_tape_reset(tape);
	assert_refused(tape, EBB_BAD_STATE, ebb_unit_gradient(tape, fn, NULL, image, "second", 1),
		"unit_gradient", "recording of layer second");
	ebb_tape_reset(tape);
	ck_assert(all_same(ebb_layer_output(tape, fn, NULL, image, "second"),
		ebb_layer_output(tape, plain, NULL, image, "second")));
	if (!_i)
		ck_assert(all_same(ebb_guided_backprop(tape, fn, NULL, image),
			ebb_guided_backprop(tape, plain, NULL, image)));
	assert_healthy(tape);
}
END_TEST

START_TEST(a_layer_with_other_rows_is_none)
{
	ebb_unit units[2];

	assert_refused(tape, EBB_INVALID,
		ebb_grad_cam(tape, by_patches, NULL, image, .layer = "first"), "[2,C,h,w]");
	assert_refused(tape, EBB_INVALID,
		ebb_unit_gradient(tape, by_patches, NULL, image, "first", 1, .units = units),
		"[2,C,h,w]");
}
END_TEST

static void asks_inside(ebb_vjp *v)
{
	ck_assert_ptr_null(ebb_guided_backprop(v->t, plain, NULL, image));
	ck_assert(ebb_is_training(v->t));
	ebb_give(v, 0, v->gy);
}

START_TEST(a_call_inside_a_vjp_is_an_error_and_changes_no_mode)
{
	static const ebb_rule rule[] = {{.op = "floor", .vjp = asks_inside}};
	ebb_tensor *x = ebb_variable(tape, ebb_ones(tape, EBB_SHAPE(3))), *y, *g;

	ebb_set_rules(tape, (ebb_rules){.n = 1, .rule = rule});
	y = ebb_sum(tape, ebb_floor(tape, x));
	ebb_set_rules(tape, (ebb_rules){0});
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, y, 1, &x, &g), "guided_backprop",
		"inside a vjp");
	ck_assert(ebb_is_training(tape) && ebb_is_recording(tape) && !ebb_is_unfused(tape));
}
END_TEST

static ebb_tensor *times_map(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	ebb_tensor *map = ebb_grad_cam(t, plain, ctx, x, .layer = "first", .resize = true);

	return map ? ebb_mul(t, x, map) : NULL;
}

START_TEST(a_map_of_a_layer_in_a_second_run_is_an_error)
{
	ebb_tensor *x = ebb_variable(tape, image), *g;
	ebb_tensor *y = ebb_sum(tape, ebb_checkpoint(tape, times_map, NULL, x));

	assert_healthy(tape);
	assert_refused(tape, EBB_BAD_STATE, ebb_grad(tape, y, 1, &x, &g), "grad_cam",
		"second run of a checkpoint");
}
END_TEST

START_TEST(the_network_may_release_its_input)
{
	ebb_tensor *x, *copy;

	ebb_set_recording(tape, false);
	x = ebb_mul_scalar(tape, image, 2);
	copy = ebb_from_f64(tape, EBB_SHAPE(1), (double[]){ebb_at(x, 7)});
	ck_assert_msg(ebb_saliency(tape, releasing, NULL, x), "%s", ebb_error_message(tape));
	ck_assert(ebb_grad_cam(tape, releasing, NULL, x, .layer = "first"));
	ck_assert(ebb_integrated_gradients(tape, releasing, NULL, x, .max_steps = 16));
	ck_assert_double_eq(ebb_at(x, 7), ebb_at(copy, 0));
}
END_TEST

START_TEST(layers_have_types_and_names_of_their_own)
{
	ebb_tensor *x = ebb_cast(tape, image, EBB_F64), *y;
	ebb_tensor *broken = ebb_mul_scalar(tape, image, NAN);

	y = ebb_unit_gradient(tape, in_f32, NULL, x, "second", 1);
	ck_assert_msg(y && ebb_dtype_of(y) == EBB_F64, "%s", ebb_error_message(tape));
	ck_assert(all_close(ebb_cast(tape, y, EBB_F32),
		ebb_unit_gradient(tape, plain, NULL, image, "second", 1), 1e-6));
	ck_assert(ebb_grad_cam(tape, unnamed, NULL, image, .layer = "first"));
	y = ebb_grad_cam(tape, plain, NULL, broken, .layer = "first");
	ck_assert_msg(y && isnan(ebb_at(y, 0)), "a map of NaN hides it");
}
END_TEST

START_TEST(a_batch_of_one_point_is_one_image)
{
	ebb_tensor *x = ebb_slice(tape, image, 0, 0, 1, 1);

	ck_assert_msg(ebb_integrated_gradients(
			      tape, one_image_only, NULL, x, .batch = 1, .max_steps = 16),
		"%s", ebb_error_message(tape));
}
END_TEST

/* The bytes for the ranks of so many elements overflow a size_t. */
START_TEST(the_rank_of_a_huge_tensor_is_nan)
{
	int64_t n = (int64_t)(SIZE_MAX / 48) + 1;
	ebb_tensor *x = ebb_expand(tape, ebb_ones(tape, EBB_SHAPE(1)), EBB_SHAPE(n));

	assert_healthy(tape);
	ck_assert_double_nan(ebb_rank_correlation(x, x));
}
END_TEST

START_TEST(an_attack_accepts_bounds_rounded_to_f32)
{
	ebb_tensor *x = ebb_clamp(tape, ebb_mul_scalar(tape, image, 3), -0.1, 0.1);
	ebb_tensor *labels = ebb_from_i64(tape, EBB_SHAPE(2), (int64_t[]){0, 1});

	ck_assert_msg(ebb_fgsm(tape, plain, NULL, x, labels, .eps = 0.01, .low = -0.1, .high = 0.1),
		"%s", ebb_error_message(tape));
	assert_refused(tape, EBB_INVALID,
		ebb_fgsm(tape, plain, NULL, x, labels, .eps = 0.01, .low = -0.1, .high = 0.0999),
		"[low,high]");
}
END_TEST

START_TEST(an_unfused_batchnorm_may_add_its_own_input)
{
	ebb_tensor *y[2], *x;

	ebb_set_recording(tape, _i);
	for (int k = 0; k < 2; k++) {
		x = ebb_mul_scalar(tape, image, 2);
		ebb_set_rules(tape, (ebb_rules){.unfused = k});
		y[k] = ebb_batchnorm_relu(tape, x, .residual = x, .inplace = true);
		ebb_set_rules(tape, (ebb_rules){0});
	}
	ck_assert_msg(y[0] && y[1] && all_same(y[0], y[1]), "%s", ebb_error_message(tape));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("networks");
	TCase *c = tcase_create("networks");

	tcase_add_checked_fixture(c, open_tape, close_tape);
	tcase_set_timeout(c, SANITIZED ? 60 : 20);
	tcase_add_loop_test(c, a_layer_that_was_rewound_is_an_error, 0, 2);
	tcase_add_test(c, a_layer_with_other_rows_is_none);
	tcase_add_test(c, a_call_inside_a_vjp_is_an_error_and_changes_no_mode);
	tcase_add_test(c, a_map_of_a_layer_in_a_second_run_is_an_error);
	tcase_add_test(c, the_network_may_release_its_input);
	tcase_add_test(c, layers_have_types_and_names_of_their_own);
	tcase_add_test(c, a_batch_of_one_point_is_one_image);
	tcase_add_test(c, the_rank_of_a_huge_tensor_is_nan);
	tcase_add_test(c, an_attack_accepts_bounds_rounded_to_f32);
	tcase_add_loop_test(c, an_unfused_batchnorm_may_add_its_own_input, 0, 2);
	suite_add_tcase(s, c);
	return run_suite(s);
}
