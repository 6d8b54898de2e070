/* Bad arguments: an error that says what was passed, what was expected, and where.  Nothing
 * crashes. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static ebb_tape *t;

static void setup(void)
{
	t = ebb_tape_new();
	ck_assert_ptr_nonnull(t);
}

static void teardown(void)
{
	ebb_tape_free(t);
}

static ebb_tensor *zeros(int64_t a, int64_t b)
{
	return ebb_zeros(t, EBB_SHAPE(a, b));
}

static ebb_tensor *image(int64_t n, int64_t c, int64_t h, int64_t w)
{
	return ebb_zeros(t, EBB_SHAPE(n, c, h, w));
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
	ebb_tensor *x = image(2, 3, 8, 8), *w = ebb_zeros(t, EBB_SHAPE(4, 6, 3, 3)),
		   *parts[2] = {zeros(2, 3), zeros(3, 2)};

	assert_refused(t, EBB_BAD_SHAPE, ebb_add(t, zeros(2, 3), zeros(4, 5)), "misuse.c:", "add",
		"[2,3]", "[4,5]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_where(t, ebb_arange(t, 3), zeros(2, 2), zeros(2, 2)),
		"where");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_matmul(t, zeros(2, 3), zeros(2, 3)), "matmul", "[2,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_matmul(t, zeros(2, 3), ebb_scalar(t, 1)), "matmul");
	assert_refused(t, EBB_BAD_SHAPE, ebb_linear(t, zeros(2, 3), zeros(5, 4)), "linear", "[2,3]",
		"[5,4]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_linear(t, zeros(2, 3), zeros(5, 3), zeros(1, 4)),
		"linear", "w has 5 rows, b is F32 [1,4]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_linear(t, zeros(2, 3), x), "linear", "[O,I]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, x, w), "conv2d", "3", "6", "[2,3,8,8]",
		"[4,6,3,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, zeros(2, 3), w), "conv2d");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, x, image(4, 3, 0, 3)), "kernel", "[4,3,0,3]",
		"empty");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, image(1, 6, 2, 2), w), "conv2d");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_maxpool2d(t, image(1, 1, 2, 2), .kernel = 3), "maxpool2d");
	assert_refused(t, EBB_BAD_SHAPE, ebb_reshape(t, zeros(2, 3), EBB_SHAPE(4, -1)), "reshape",
		"[2,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_reshape(t, zeros(2, 3), EBB_SHAPE(7)), "reshape");
	assert_refused(t, EBB_BAD_SHAPE, ebb_expand(t, zeros(2, 3), EBB_SHAPE(4, 3)), "expand");
	assert_refused(t, EBB_BAD_SHAPE, ebb_concat(t, 2, parts, 0), "concat", "[2,3]", "[3,2]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_stack(t, 2, parts, 0), "stack");
	assert_refused(t, EBB_BAD_SHAPE, ebb_mse_loss(t, zeros(2, 3), zeros(2, 1)), "mse_loss",
		"[2,3]", "[2,1]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_cross_entropy(t, zeros(4, 3), ebb_arange(t, 3)),
		"cross_entropy", "[4,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_batchnorm(t, zeros(4, 3), ebb_ones(t, EBB_SHAPE(2))),
		"batchnorm");
}
END_TEST

START_TEST(axes_out_of_range_are_refused)
{
	ebb_tensor *x = zeros(2, 3), *parts[1] = {x};

	assert_refused(t, EBB_INVALID, ebb_sum(t, x, .axes = EBB_AXES(2)), "sum", "2");
	assert_refused(t, EBB_INVALID, ebb_mean(t, x, .axes = EBB_AXES(-3)), "mean", "-3");
	assert_refused(t, EBB_INVALID, ebb_max(t, x, .axes = EBB_AXES(0, 0)), "max");
	assert_refused(t, EBB_INVALID, ebb_softmax(t, x, 2), "softmax", "2");
	assert_refused(t, EBB_INVALID, ebb_log_softmax(t, x, -3), "log_softmax");
	assert_refused(t, EBB_INVALID, ebb_permute(t, x, EBB_AXES(0, 0)), "permute");
	assert_refused(t, EBB_INVALID, ebb_permute(t, x, EBB_AXES(0)), "permute");
	assert_refused(t, EBB_INVALID, ebb_transpose(t, x, 0, 5), "transpose");
	assert_refused(t, EBB_INVALID, ebb_slice(t, x, 4, 0, 1, 1), "slice");
	assert_refused(t, EBB_INVALID, ebb_slice(t, x, 0, 0, 1, 0), "slice");
	assert_refused(t, EBB_INVALID, ebb_concat(t, 1, parts, 2), "concat");
	assert_refused(t, EBB_INVALID, ebb_concat(t, 0, parts, 0), "concat");
	assert_refused(t, EBB_INVALID, ebb_gather(t, x, 3, ebb_arange(t, 2)), "gather");
	assert_refused(
		t, EBB_INVALID, ebb_index_select(t, x, -4, ebb_arange(t, 2)), "index_select");
	assert_refused(t, EBB_INVALID, ebb_unsqueeze(t, x, 9), "unsqueeze");
}
END_TEST

START_TEST(indices_and_labels_out_of_range_are_refused)
{
	ebb_tensor *x = zeros(3, 4), *labels = ebb_from_i64(t, EBB_SHAPE(3), (int64_t[]){0, 4, 1});

	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, labels), "cross_entropy", "4");
	assert_refused(t, EBB_INVALID, ebb_index_select(t, x, 0, labels), "index_select", "4");
	labels = ebb_from_i64(t, EBB_SHAPE(1, 1), (int64_t[]){-1});
	assert_refused(t, EBB_INVALID, ebb_gather(t, x, 1, labels), "gather", "-1");
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
	ebb_tensor *x = image(1, 4, 8, 8), *w = ebb_zeros(t, EBB_SHAPE(4, 4, 3, 3));

	assert_refused(t, EBB_INVALID, ebb_conv2d(t, x, w, .stride = -1), "conv2d", "-1");
	assert_refused(t, EBB_INVALID, ebb_conv2d(t, x, w, .dilation = -2), "conv2d");
	assert_refused(t, EBB_INVALID, ebb_conv2d(t, x, w, .pad = -7), "conv2d");
	ck_assert_ptr_null(ebb_conv2d(t, x, w, .groups = 3));
	check_error(t, ebb_error_status(t), "conv2d", (const char *[]){"conv2d", "3", NULL});
	ebb_clear_error(t);
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .pad = 2), "maxpool2d");
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x), "maxpool2d", "kernel");
	assert_refused(t, EBB_INVALID, ebb_avgpool2d(t, x, .kernel = -2), "avgpool2d");
	assert_refused(
		t, EBB_INVALID, ebb_adaptive_avgpool2d(t, x, .size = -1), "adaptive_avgpool2d");
	assert_refused(t, EBB_INVALID, ebb_dropout(t, x, 1.0), "dropout");
	assert_refused(t, EBB_INVALID, ebb_dropout(t, x, NAN), "dropout");
	assert_refused(t, EBB_INVALID, ebb_clamp(t, x, NAN, 0), "clamp");
	assert_refused(t, EBB_INVALID, ebb_batchnorm(t, x, .eps = -1), "batchnorm", "eps is -1");
	assert_refused(t, EBB_INVALID, ebb_batchnorm(t, x, .momentum = 2), "momentum 2");
	assert_refused(t, EBB_INVALID,
		ebb_cross_entropy(t, zeros(2, 3), ebb_arange(t, 2), .ignore_index = 0.5),
		"cross_entropy", "ignore_index is 0.5", "whole number");
	assert_refused(t, EBB_INVALID,
		ebb_cross_entropy(t, zeros(2, 3), ebb_arange(t, 2), .ignore_index = NAN),
		"ignore_index");
	assert_refused(t, EBB_INVALID, ebb_norm(t, x, .p = -1), "norm");
	assert_refused(t, EBB_INVALID, ebb_var(t, x, .correction = NAN), "var", "correction");
	assert_refused(
		t, EBB_INVALID, ebb_dense(t, x, (ebb_order)9), "dense", "9 is not a memory order");
	ck_assert(!ebb_failed(t));
}
END_TEST

START_TEST(wrong_dtypes_are_refused)
{
	ebb_tensor *f = zeros(2, 2), *labels = ebb_arange(t, 2), *d;

	ebb_set_default_dtype(t, EBB_F64);
	d = zeros(2, 2);
	assert_refused(t, EBB_BAD_DTYPE, ebb_add(t, f, d), "add", "F32", "F64");
	assert_refused(t, EBB_BAD_DTYPE, ebb_matmul(t, d, f), "matmul");
	assert_refused(t, EBB_BAD_DTYPE, ebb_relu(t, labels), "relu", "I64");
	assert_refused(t, EBB_BAD_DTYPE, ebb_mean(t, labels), "mean", "I64");
	assert_refused(t, EBB_BAD_DTYPE, ebb_cross_entropy(t, f, ebb_zeros(t, EBB_SHAPE(2))),
		"cross_entropy");
	assert_refused(t, EBB_BAD_DTYPE, ebb_index_select(t, f, 0, f), "index_select");
	assert_refused(t, EBB_BAD_DTYPE, ebb_where(t, f, f, f), "where");
	assert_refused(t, EBB_BAD_DTYPE, ebb_variable(t, labels), "I64");
	assert_refused(t, EBB_BAD_DTYPE, ebb_cast(t, f, EBB_DEFAULT), "cast");
	ebb_set_default_dtype(t, EBB_I64);
	ck_assert(ebb_failed(t) || ebb_default_dtype(t) == EBB_F64);
}
END_TEST

START_TEST(null_inputs_are_refused)
{
	assert_refused(t, EBB_INVALID, ebb_relu(t, NULL), "misuse.c:", "relu", "NULL");
	assert_refused(t, EBB_INVALID, ebb_add(t, zeros(1, 1), NULL), "add", "NULL");
	assert_refused(t, EBB_INVALID, ebb_conv2d(t, NULL, NULL), "conv2d", "NULL");
	assert_refused(t, EBB_INVALID, ebb_backward(t, NULL), "NULL");
	assert_refused(t, EBB_INVALID, ebb_variable(t, NULL), "NULL");
	assert_refused(t, EBB_INVALID, ebb_from_f32(t, EBB_SHAPE(2), NULL), "NULL");
	assert_refused(
		t, EBB_INVALID, ebb_linear_forward(t, &(ebb_linear){0}, zeros(1, 1)), "linear");
}
END_TEST

START_TEST(accessors_accept_null)
{
	float x;

	ck_assert(isnan(ebb_item(NULL)) && isnan(ebb_at(NULL, 0)));
	ck_assert_int_eq(ebb_ndim(NULL), 0);
	ck_assert_int_eq(ebb_size(NULL, 0), 0);
	ck_assert_int_eq(ebb_count(NULL), 0);
	ck_assert_int_eq(ebb_shape_of(NULL).ndim, 0);
	ck_assert_ptr_null(ebb_data(NULL));
	ck_assert_ptr_null(ebb_data_mutable(NULL));
	ck_assert_ptr_null(ebb_grad_of(NULL));
	ck_assert_ptr_null(ebb_detach_copy(NULL));
	ck_assert_str_eq(ebb_name(NULL), "");
	ck_assert(!ebb_copy_out(NULL, &x, sizeof x) && !ebb_copy_in(NULL, &x, sizeof x));
	assert_refused(t, EBB_INVALID, ebb_copy_out(zeros(1, 2), NULL, 8) ? zeros(1, 1) : NULL,
		"copy_out", "F32 [1,2] has 8 bytes, got 8 at NULL");
	assert_refused(t, EBB_INVALID, ebb_copy_in(zeros(1, 2), NULL, 8) ? zeros(1, 1) : NULL,
		"copy_in", "NULL");
	ck_assert(!ebb_requires_grad(NULL) && !ebb_set_requires_grad(NULL, true));
	ebb_zero_grad(NULL);
	ebb_set_name(NULL, "x");
	ebb_tensor_free(NULL);
}
END_TEST

START_TEST(every_function_accepts_a_null_tape)
{
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2), 1);

	ck_assert(ebb_failed(NULL));
	ck_assert_ptr_null(ebb_zeros(NULL, EBB_SHAPE(2)));
	ck_assert_ptr_null(ebb_relu(NULL, x));
	ck_assert_ptr_null(ebb_conv2d(NULL, x, x));
	ck_assert(!ebb_backward(NULL, x));
	ck_assert_ptr_null(ebb_scope_end(NULL, NULL));
	ebb_scope_begin(NULL, "s");
	ebb_release(NULL, x);
	ebb_tape_reset(NULL);
	ebb_rewind(NULL, ebb_tape_mark(NULL));
	ebb_clear_error(NULL);
	ebb_tape_free(NULL);
	ck_assert_str_ne(ebb_error_message(NULL), "");
	ebb_tensor_free(x);
}
END_TEST

START_TEST(a_tensor_of_another_tape_is_refused)
{
	ebb_tape *other = ebb_tape_new();
	ebb_tensor *foreign = ebb_ones(other, EBB_SHAPE(2, 2)), *gx;

	assert_refused(t, EBB_INVALID, ebb_relu(t, foreign), "relu", "another tape");
	assert_refused(t, EBB_INVALID, ebb_add(t, zeros(2, 2), foreign), "add", "another tape");
	assert_refused(t, EBB_INVALID, ebb_backward(t, ebb_sum(other, foreign)), "another tape");
	assert_refused(t, EBB_INVALID, ebb_grad(t, ebb_sum(t, zeros(2, 2)), 1, &foreign, &gx),
		"another tape");
	ck_assert_ptr_null(gx);
	ck_assert(!ebb_failed(other));
	ebb_tape_free(other);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(1));

	assert_refused(
		t, EBB_BAD_SHAPE, ebb_zeros(t, EBB_SHAPE(INT64_MAX, 2)), "9223372036854775807");
	assert_refused(t, EBB_BAD_SHAPE, ebb_zeros(t, EBB_SHAPE(INT64_MAX)), "9223372036854775807");
	assert_refused(t, EBB_BAD_SHAPE, ebb_zeros(t, EBB_SHAPE(-1, 2)), "-1");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_zeros(t, ((ebb_shape){9, {1, 1, 1, 1, 1, 1, 1, 1}})), "9");
	ck_assert_ptr_null(ebb_tensor_new(EBB_F32, EBB_SHAPE(INT64_MAX / 2, 3), false, &e));
	ck_assert_int_eq(e.status, EBB_BAD_SHAPE);
	/* An expanded view allocates no memory, but its number of elements must not overflow. */
	assert_refused(t, EBB_BAD_SHAPE, ebb_expand(t, x, EBB_SHAPE(INT64_MAX / 2, INT64_MAX / 2)),
		"expand");
	ck_assert_ptr_null(ebb_pad(t, zeros(1, 1), .pads = EBB_PADS(INT64_MAX, INT64_MAX)));
	ck_assert(ebb_failed(t));
	ebb_clear_error(t);
	ck_assert_ptr_null(ebb_pad(t, zeros(2, 2), .pads = EBB_PADS(-1, -2)));
	ck_assert(ebb_failed(t));
	ebb_clear_error(t);
	/* More memory than the machine has. */
	assert_refused(t, sizeof(size_t) > 4 ? EBB_NO_MEMORY : EBB_BAD_SHAPE,
		ebb_zeros(t, EBB_SHAPE(INT64_C(1) << 45, 16)), "zeros");
	/* Sizes in bytes that overflow 32 bits to 0 and to a small number. */
	for (int64_t few = 0; few < 2 && sizeof(size_t) == 4; few++) {
		assert_refused(t, EBB_BAD_SHAPE, ebb_zeros(t, EBB_SHAPE((1 << 30) + few)), "1073");
		assert_refused(
			t, EBB_BAD_SHAPE, ebb_expand(t, x, EBB_SHAPE((1 << 30) + few)), "1073");
	}
}
END_TEST

START_TEST(empty_batches_have_gradients)
{
	ebb_params *p = ebb_params_new(1);
	lenet net = lenet_new(p);
	ebb_tensor *y = lenet_forward(t, &net, image(0, 1, 28, 28)), *loss;

	assert_healthy(t);
	ck_assert_int_eq(ebb_size(y, 0), 0);
	ck_assert_int_eq(ebb_size(y, 1), 10);
	loss = ebb_cross_entropy(t, y, ebb_arange(t, 0), .reduction = EBB_SUM_ALL);
	ck_assert_double_eq(ebb_item(loss), 0);
	ck_assert(ebb_backward(t, loss));
	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		const ebb_tensor *g = ebb_grad_of(ebb_params_at(p, i));

		ck_assert_msg(g != NULL, "%s has no gradient", ebb_params_name_at(p, i));
		for (int64_t k = 0; k < ebb_count(g); k++)
			ck_assert_double_eq(ebb_at(g, k), 0);
	}
	ck_assert_double_eq(ebb_item(ebb_sum(t, zeros(0, 3))), 0);
	ck_assert(isnan(ebb_item(ebb_mean(t, zeros(0, 3)))));
	assert_refused(t, EBB_BAD_SHAPE, ebb_max(t, zeros(0, 3)), "max");
	ebb_tape_reset(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(the_first_error_stays)
{
	char first[500];
	ebb_tensor *x = ebb_variable(t, zeros(2, 3));

	ck_assert_ptr_null(ebb_matmul(t, x, x));
	snprintf(first, sizeof first, "%s", ebb_error_message(t));
	ck_assert_ptr_null(ebb_add(t, zeros(2, 3), zeros(4, 5)));
	ck_assert_ptr_null(ebb_relu(t, x));
	ck_assert(!ebb_backward(t, x));
	ck_assert_ptr_null(ebb_fail(t, EBB_INVALID, NULL, "another"));
	ck_assert_str_eq(ebb_error_message(t), first);
	ebb_tape_reset(t);
	ck_assert_str_eq(ebb_error_message(t), first);
	ebb_clear_error(t);
	ck_assert_str_eq(ebb_error_message(t), "");
	ck_assert_ptr_nonnull(ebb_relu(t, zeros(1, 1)));
}
END_TEST

START_TEST(errors_name_the_scope)
{
	ebb_scope_begin(t, "net");
	ebb_scope_begin(t, "layer1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_add(t, zeros(2, 3), zeros(3, 2)), "in net.layer1");
	ebb_scope_end(t, NULL);
	ebb_scope_end(t, NULL);
	ck_assert_str_eq(ebb_current_scope(t), "");
}
END_TEST

START_TEST(reading_a_dropped_value_is_an_error)
{
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(2, 2)), *inside, *y;
	float values[4];

	ebb_release(t, x);
	assert_refused(t, EBB_BAD_STATE, ebb_relu(t, x), "relu", "released");
	ck_assert_ptr_null(ebb_data(x));
	ebb_clear_error(t);
	ck_assert(!ebb_copy_out(x, values, sizeof values));
	ebb_clear_error(t);
	ck_assert(isnan(ebb_at(x, 0)));
	check_error(t, EBB_BAD_STATE, "ebb_at", (const char *[]){NULL});
	ebb_clear_error(t);

	ebb_scope_begin(t, "block");
	inside = ebb_ones(t, EBB_SHAPE(2, 2));
	y = ebb_scope_end(t, ebb_mul_scalar(t, inside, 2));
	ck_assert_double_eq(ebb_at(y, 3), 2);
	assert_refused(t, EBB_BAD_STATE, ebb_relu(t, inside), "relu", "block");
}
END_TEST

START_TEST(a_consumed_graph_cannot_be_swept_again)
{
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3))), *y = ebb_sum(t, ebb_exp(t, x)),
		   *gx;

	ck_assert(ebb_backward(t, y, .retain = true));
	ck_assert(ebb_grad(t, y, 1, &x, &gx));
	ck_assert(ebb_backward(t, y));
	ck_assert(fabs(ebb_at(ebb_grad_of(x), 0) - 2 * exp(1.0)) < 1e-5);
	assert_refused(t, EBB_BAD_STATE, ebb_backward(t, y), "retain");
	assert_refused(t, EBB_BAD_STATE, ebb_grad(t, y, 1, &x, &gx), "retain");
	ck_assert_ptr_null(gx);
}
END_TEST

START_TEST(overwriting_a_saved_value_is_an_error)
{
	ebb_tensor *w = persistent_random(EBB_F32, EBB_SHAPE(3), 1), *y;
	float *data;

	ebb_set_requires_grad(w, true);
	y = ebb_sum(t, ebb_square(t, w));
	data = ebb_data_mutable(w);
	data[0] = 7;
	assert_refused(t, EBB_BAD_STATE, ebb_backward(t, y), "square", "overwritten");
	ck_assert_ptr_null(ebb_grad_of(w));
	ebb_tape_reset(t);
	/* The gradient of a sum reads nothing, so that overwriting w has no effect on it. */
	y = ebb_sum(t, w);
	data = ebb_data_mutable(w);
	data[0] = 8;
	ck_assert(ebb_backward(t, y));
	ebb_tape_reset(t);
	ebb_tensor_free(w);
}
END_TEST

START_TEST(backward_refuses_results_without_one_element_or_gradient)
{
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3)));

	assert_refused(t, EBB_BAD_SHAPE, ebb_backward(t, ebb_exp(t, x)), "[3]");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_backward(t, ebb_exp(t, x), .gy = zeros(1, 3)), "[1,3]");
	ck_assert(!ebb_backward(t, ebb_sum(t, zeros(2, 2))));
	check_error(t, ebb_error_status(t), "backward", (const char *[]){"gradient", NULL});
	ebb_clear_error(t);
	ck_assert(!ebb_backward(t, ebb_arange(t, 1)));
	ck_assert(ebb_failed(t));
	ebb_clear_error(t);
	ebb_set_recording(t, false);
	ck_assert(!ebb_backward(t, ebb_sum(t, x)));
	ck_assert(ebb_failed(t));
}
END_TEST

static const ebb_op STAIRS = {.name = "stairs"};

static ebb_tensor *stairs(ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &STAIRS, EBB_SITE, 1, &x);

	return ebb_record(&c, ebb_new_like(&c, x));
}

START_TEST(an_op_without_derivative_refuses_variables)
{
	ck_assert_ptr_nonnull(stairs(zeros(2, 2)));
	assert_refused(
		t, EBB_INVALID, stairs(ebb_variable(t, zeros(2, 2))), "stairs", "derivative");
	ebb_set_recording(t, false);
	ck_assert_ptr_nonnull(stairs(ebb_variable(t, zeros(2, 2))));
}
END_TEST

START_TEST(bad_persistent_tensors_are_refused)
{
	ebb_error e = {0};
	ebb_tensor *labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(2), false, &e),
		   *x = ebb_ones(t, EBB_SHAPE(2));
	float values[3] = {0};

	ck_assert(!ebb_set_requires_grad(labels, true));
	ck_assert(!ebb_copy_in(labels, values, sizeof values));
	ck_assert(!ebb_copy_in(ebb_relu(t, ebb_variable(t, x)), values, 2 * sizeof values[0]));
	ebb_clear_error(t);
	ck_assert_ptr_null(ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 2), true, &e));
	ck_assert_int_ne(e.status, EBB_OK);
	ebb_tensor_free(labels);
	ebb_tensor_free(x); /* no effect on a tape's tensor */
	ck_assert_double_eq(ebb_at(x, 1), 1);
}
END_TEST

START_TEST(scopes_and_marks_out_of_order_are_errors)
{
	ebb_mark mark;

	ck_assert_ptr_null(ebb_scope_end(t, NULL));
	check_error(t, EBB_BAD_STATE, "scope_end", (const char *[]){"scope", NULL});
	ebb_clear_error(t);
	mark = ebb_tape_mark(t);
	zeros(2, 2);
	ebb_tape_reset(t);
	ebb_rewind(t, mark);
	ck_assert(ebb_failed(t));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_STATE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("misuse");
	TCase *c = tcase_create("errors");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, shapes_that_do_not_fit_are_refused);
	tcase_add_test(c, axes_out_of_range_are_refused);
	tcase_add_test(c, indices_and_labels_out_of_range_are_refused);
	tcase_add_test(c, options_out_of_range_are_refused);
	tcase_add_test(c, wrong_dtypes_are_refused);
	tcase_add_test(c, null_inputs_are_refused);
	tcase_add_test(c, accessors_accept_null);
	tcase_add_test(c, every_function_accepts_a_null_tape);
	tcase_add_test(c, a_tensor_of_another_tape_is_refused);
	tcase_add_test(c, sizes_that_overflow_are_refused);
	tcase_add_test(c, empty_batches_have_gradients);
	tcase_add_test(c, the_first_error_stays);
	tcase_add_test(c, errors_name_the_scope);
	tcase_add_test(c, reading_a_dropped_value_is_an_error);
	tcase_add_test(c, a_consumed_graph_cannot_be_swept_again);
	tcase_add_test(c, overwriting_a_saved_value_is_an_error);
	tcase_add_test(c, backward_refuses_results_without_one_element_or_gradient);
	tcase_add_test(c, an_op_without_derivative_refuses_variables);
	tcase_add_test(c, bad_persistent_tensors_are_refused);
	tcase_add_test(c, scopes_and_marks_out_of_order_are_errors);
	suite_add_tcase(s, c);
	return run_suite(s);
}
