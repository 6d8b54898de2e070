/* layers.c - layers: their forward functions compute the ops, their parameters are in the store. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static void check_shape(const ebb_params *p, const char *name, ebb_shape shape)
{
	ebb_tensor *x = ebb_params_find(p, name);

	ck_assert_msg(x != NULL, "no %s", name);
	ck_assert_int_eq(ebb_ndim(x), shape.ndim);
	for (int i = 0; i < shape.ndim; i++)
		ck_assert_int_eq(ebb_size(x, i), shape.dims[i]);
}

/* Checks that every value is within the bound, and some value is near it. */
static void check_bound(const ebb_tensor *x, double bound)
{
	double largest = 0;

	for (int64_t i = 0; i < ebb_count(x); i++)
		largest = fmax(largest, fabs(ebb_at(x, i)));
	ck_assert_msg(largest <= bound * 1.0000001 && largest > 0.7 * bound, "largest %g, bound %g",
		largest, bound);
}

START_TEST(names_and_shapes_are_torchvisions)
{
	ebb_params *p = ebb_params_new(1), *block = ebb_params_sub(p, "layer1.0");
	ebb_conv conv = ebb_conv_new(block, "conv1", 8, 12, 3, .groups = 4);
	ebb_conv line = ebb_conv_new(block, "line", 8, 12, .kernel_hw = {1, 7}, .no_bias = true);
	ebb_linear fc = ebb_linear_new(p, "fc", 100, 30);
	ebb_bn bn = ebb_bn_new(block, "bn1", 12),
	       plain = ebb_bn_new(p, "plain", 5, .no_affine = true, .no_stats = true);

	ck_assert_ptr_null(ebb_params_error(p));
	check_shape(p, "layer1.0.conv1.weight", EBB_SHAPE(12, 2, 3, 3));
	check_shape(p, "layer1.0.conv1.bias", EBB_SHAPE(12));
	check_shape(p, "layer1.0.line.weight", EBB_SHAPE(12, 8, 1, 7));
	check_shape(p, "fc.weight", EBB_SHAPE(30, 100));
	check_shape(p, "fc.bias", EBB_SHAPE(30));
	check_shape(p, "layer1.0.bn1.weight", EBB_SHAPE(12));
	check_shape(p, "layer1.0.bn1.running_mean", EBB_SHAPE(12));
	check_shape(p, "layer1.0.bn1.running_var", EBB_SHAPE(12));
	ck_assert_int_eq(ebb_params_count(p), 7);
	ck_assert_int_eq(ebb_buffers_count(p), 2);
	ck_assert_str_eq(conv.name, "layer1.0.conv1");
	ck_assert_ptr_eq(conv.weight, ebb_params_find(block, "conv1.weight"));
	ck_assert_ptr_null(line.bias);
	ck_assert(!plain.weight && !plain.running_var && plain.name);
	ck_assert(ebb_at(bn.weight, 11) == 1 && ebb_at(bn.bias, 11) == 0);
	ck_assert(ebb_at(bn.running_mean, 3) == 0 && ebb_at(bn.running_var, 3) == 1);
	ck_assert(ebb_requires_grad(bn.weight) && !ebb_requires_grad(bn.running_var));
	check_bound(conv.weight, 1 / sqrt(2 * 9));
	check_bound(conv.bias, 1 / sqrt(2 * 9));
	check_bound(fc.weight, 0.1);
	check_bound(fc.bias, 0.1);
	ebb_params_free(p);
}
END_TEST

START_TEST(initial_values_can_be_chosen)
{
	ebb_params *p = ebb_params_new(1);
	ebb_conv a =
		ebb_conv_new(p, "a", 3, 4, 3, .init = EBB_INIT(EBB_INIT_CONSTANT, .value = 0.5));
	ebb_linear b =
		ebb_linear_new(p, "b", 3, 4, .bias_init = EBB_INIT(EBB_INIT_CONSTANT, .value = -2));
	ebb_bn c = ebb_bn_new(p, "c", 4, .init = EBB_INIT(EBB_INIT_ZEROS));

	ck_assert(ebb_at(a.weight, 50) == 0.5 && ebb_at(a.bias, 1) == 0);
	ck_assert(ebb_at(b.weight, 0) != 0 && ebb_at(b.bias, 3) == -2);
	ck_assert(ebb_at(c.weight, 2) == 0);
	ebb_params_free(p);
}
END_TEST

START_TEST(forward_computes_the_op)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_conv conv = ebb_conv_new(p, "conv", 4, 6, .kernel_hw = {3, 2}, .stride_hw = {2, 1},
		.pad_tblr = {0, 1, 2, 3}, .dilation_hw = {1, 2}, .groups = 2);
	ebb_conv same = ebb_conv_new(p, "same", 4, 6, 3, .pad = EBB_SAME, .stride = 2);
	ebb_conv padded = ebb_conv_new(p, "padded", 4, 6, 3, .pad_hw = {2, 1}, .dilation = 2);
	ebb_linear fc = ebb_linear_new(p, "fc", 9, 5);
	ebb_bn bn = ebb_bn_new(p, "bn", 4, .eps = 1e-3, .momentum = 0.5);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 4, 8, 9), 1);
	ebb_tensor *mean = ebb_tensor_new(EBB_F32, EBB_SHAPE(4), false, NULL),
		   *var = ebb_detach_copy(bn.running_var);

	ck_assert(all_same(ebb_conv_forward(t, &conv, x),
		ebb_conv2d(t, x, conv.weight, conv.bias, .stride_hw = {2, 1},
			.pad_tblr = {0, 1, 2, 3}, .dilation_hw = {1, 2}, .groups = 2)));
	ck_assert(all_same(ebb_conv_forward(t, &same, x),
		ebb_conv2d(t, x, same.weight, same.bias, .pad = EBB_SAME, .stride = 2)));
	ck_assert(all_same(ebb_conv_forward(t, &padded, x),
		ebb_conv2d(t, x, padded.weight, padded.bias, .pad_hw = {2, 1}, .dilation = 2)));
	ck_assert(all_same(ebb_linear_forward(t, &fc, x), ebb_linear(t, x, fc.weight, fc.bias)));
	ck_assert(all_same(ebb_bn_forward(t, &bn, x),
		ebb_batchnorm(t, x, bn.weight, bn.bias, mean, var, .eps = 1e-3, .momentum = 0.5)));
	ck_assert(all_same(ebb_bn_relu_forward(t, &bn, x, NULL),
		ebb_relu(t, ebb_batchnorm(t, x, bn.weight, bn.bias, mean, var, .eps = 1e-3,
				    .momentum = 0.5))));
	ck_assert(all_same(ebb_bn_relu_forward(t, &bn, x, x),
		ebb_batchnorm_relu(
			t, x, bn.weight, bn.bias, mean, var, x, .eps = 1e-3, .momentum = 0.5)));
	ck_assert(all_same(bn.running_mean, mean) && all_same(bn.running_var, var));
	ck_assert(ebb_at(mean, 0) != 0);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(mean);
	ebb_tensor_free(var);
}
END_TEST

START_TEST(dropout_acts_in_training_mode_only)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_drop drop = ebb_drop_new(p, "drop", 0.25), none = ebb_drop_new(p, "none", 0);
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(4000)), *y;
	int zeros = 0;

	ck_assert_str_eq(drop.name, "drop");
	y = ebb_drop_forward(t, &drop, x);
	for (int i = 0; i < 4000; i++)
		zeros += ebb_at(y, i) == 0;
	ck_assert_int_gt(zeros, 850);
	ck_assert_int_lt(zeros, 1150);
	ck_assert(all_same(ebb_drop_forward(t, &none, x), x));
	ebb_set_training(t, false);
	ck_assert(all_same(ebb_drop_forward(t, &drop, x), x));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(norm_prelu_and_embedding_layers_compute_their_ops)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_layernorm_layer ln = ebb_layernorm_new(p, "ln", 5, .eps = 1e-3);
	ebb_layernorm_layer plain = ebb_layernorm_new(p, "plain", 5, .no_affine = true);
	ebb_groupnorm_layer gn = ebb_groupnorm_new(p, "gn", 2, 4, .eps = 1e-2);
	ebb_prelu_layer prelu = ebb_prelu_new(p, "prelu", 4);
	ebb_embedding_layer table = ebb_embedding_new(p, "table", 700, 6);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 4, 3, 5), 1);
	ebb_tensor *index = ebb_from_i64(t, EBB_SHAPE(3), (int64_t[]){2, 699, 2});
	double sum = 0;

	ck_assert_ptr_null(ebb_params_error(p));
	check_shape(p, "ln.weight", EBB_SHAPE(5));
	check_shape(p, "gn.bias", EBB_SHAPE(4));
	check_shape(p, "prelu.weight", EBB_SHAPE(4));
	check_shape(p, "table.weight", EBB_SHAPE(700, 6));
	ck_assert_int_eq(ebb_params_count(p), 6);
	ck_assert(ebb_at(ln.weight, 4) == 1 && ebb_at(ln.bias, 4) == 0 && !plain.weight);
	ck_assert(ebb_at(gn.weight, 3) == 1 && ebb_at(gn.bias, 3) == 0);
	ck_assert(ebb_at(prelu.weight, 3) == 0.25);
	for (int i = 0; i < 4200; i++)
		sum += ebb_at(table.weight, i) * ebb_at(table.weight, i);
	ck_assert_msg(fabs(sum / 4200 - 1) < 0.1, "variance %g", sum / 4200);

	ck_assert(all_same(ebb_layernorm_forward(t, &ln, x),
		ebb_layernorm(t, x, ln.weight, ln.bias, .eps = 1e-3)));
	ck_assert(all_same(ebb_layernorm_forward(t, &plain, x), ebb_layernorm(t, x)));
	ck_assert(all_same(ebb_groupnorm_forward(t, &gn, x),
		ebb_groupnorm(t, x, 2, gn.weight, gn.bias, .eps = 1e-2)));
	ck_assert(all_same(ebb_prelu_forward(t, &prelu, x), ebb_prelu(t, x, prelu.weight)));
	ck_assert(all_same(
		ebb_embedding_forward(t, &table, index), ebb_embedding(t, index, table.weight)));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(conv1d_and_conv_transpose2d_layers_compute_their_ops)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_conv1d_layer line = ebb_conv1d_new(
		p, "line", 4, 30, 5, .stride = 2, .pad = 1, .dilation = 2, .groups = 2);
	ebb_conv_transpose2d_layer up =
		ebb_conv_transpose2d_new(p, "up", 4, 30, 3, 2, 1, .output_pad = 1, .groups = 2);
	ebb_conv_transpose2d_layer rect =
		ebb_conv_transpose2d_new(p, "rect", 4, 2, .kernel_hw = {2, 5}, .stride_hw = {2, 1},
			.pad_hw = {0, 2}, .output_pad_hw = {1, 0}, .no_bias = true);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 4, 13), 1),
		   *image = persistent_random(EBB_F32, EBB_SHAPE(2, 4, 5, 6), 2);

	ck_assert_ptr_null(ebb_params_error(p));
	check_shape(p, "line.weight", EBB_SHAPE(30, 2, 5));
	check_shape(p, "line.bias", EBB_SHAPE(30));
	check_shape(p, "up.weight", EBB_SHAPE(4, 15, 3, 3));
	check_shape(p, "up.bias", EBB_SHAPE(30));
	check_shape(p, "rect.weight", EBB_SHAPE(4, 2, 2, 5));
	ck_assert(ebb_params_count(p) == 5 && !rect.bias);
	check_bound(line.weight, 1 / sqrt(2 * 5));
	check_bound(line.bias, 1 / sqrt(2 * 5));
	check_bound(up.weight, 1 / sqrt(15 * 9));
	check_bound(up.bias, 1 / sqrt(15 * 9));

	ck_assert(all_same(ebb_conv1d_forward(t, &line, x),
		ebb_conv1d(t, x, line.weight, line.bias, .stride = 2, .pad = 1, .dilation = 2,
			.groups = 2)));
	ck_assert(all_same(ebb_conv_transpose2d_forward(t, &up, image),
		ebb_conv_transpose2d(t, image, up.weight, up.bias, .stride = 2, .pad = 1,
			.output_pad = 1, .groups = 2)));
	ck_assert(all_same(ebb_conv_transpose2d_forward(t, &rect, image),
		ebb_conv_transpose2d(t, image, rect.weight, .stride_hw = {2, 1}, .pad_hw = {0, 2},
			.output_pad_hw = {1, 0})));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(image);
}
END_TEST

/* The padding row starts as zeros and is not trained. */
START_TEST(embedding_keeps_its_padding_row_at_zero)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_embedding_layer first = ebb_embedding_new(p, "first", 5, 3, .padding_idx = EBB_ZERO),
			    last = ebb_embedding_new(p, "last", 5, 3, .padding_idx = -1);
	ebb_tensor *index = ebb_from_i64(t, EBB_SHAPE(4), (int64_t[]){0, 4, 4, 2}), *w[2], *g[2];

	ck_assert_ptr_null(ebb_params_error(p));
	w[0] = first.weight;
	w[1] = last.weight;
	ck_assert(ebb_grad(t,
		ebb_sum(t, ebb_add(t, ebb_embedding_forward(t, &first, index),
				   ebb_embedding_forward(t, &last, index))),
		2, w, g));
	for (int k = 0; k < 3; k++) {
		ck_assert(ebb_at(w[0], k) == 0 && ebb_at(w[0], 12 + k) != 0);
		ck_assert(ebb_at(w[1], k) != 0 && ebb_at(w[1], 12 + k) == 0);
		ck_assert(ebb_at(g[0], k) == 0 && ebb_at(g[0], 12 + k) == 2);
		ck_assert(ebb_at(g[1], k) == 1 && ebb_at(g[1], 12 + k) == 0);
	}
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(embeddings_start_as_init_says)
{
	ebb_params *p = ebb_params_new(1);
	ebb_embedding_layer half = ebb_embedding_new(p, "half", 5, 3, .padding_idx = 2,
		.init = EBB_INIT(EBB_INIT_CONSTANT, .value = 0.5));
	ebb_embedding_layer narrow = ebb_embedding_new(
		p, "narrow", 100, 100, .init = EBB_INIT(EBB_INIT_NORMAL, .std = 0.02));
	ebb_embedding_layer plain = ebb_embedding_new(p, "plain", 100, 100);
	double squares[2] = {0};

	ck_assert_ptr_null(ebb_params_error(p));
	for (int i = 0; i < 15; i++)
		ck_assert_double_eq(ebb_at(half.weight, i), i / 3 == 2 ? 0 : 0.5);
	for (int i = 0; i < 10000; i++) {
		squares[0] += pow(ebb_at(narrow.weight, i), 2);
		squares[1] += pow(ebb_at(plain.weight, i), 2);
	}
	ck_assert_double_eq_tol(sqrt(squares[0] / 10000), 0.02, 0.001);
	ck_assert_double_eq_tol(sqrt(squares[1] / 10000), 1, 0.05);
	ebb_embedding_new(p, "wrong", 5, 3, .init = EBB_INIT(EBB_INIT_NORMAL, .std = -1));
	ck_assert_ptr_nonnull(ebb_params_error(p));
	ebb_params_free(p);
}
END_TEST

START_TEST(bad_arguments_are_errors_in_the_store)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	const ebb_error *e;

#define STORE_REFUSES(word, call)                                                                  \
	do {                                                                                       \
		call;                                                                              \
		e = ebb_params_error(p);                                                           \
		ck_assert_msg(e &&strstr(e->message, word) && strstr(e->message, "layers.c:"),     \
			"%s: %s", #call, e ? e->message : "accepted");                             \
		ebb_params_clear_error(p);                                                         \
	} while (0)
	STORE_REFUSES("kernel 0 x 0", ebb_conv_new(p, "a", 3, 4));
	STORE_REFUSES("from 0 to 4", ebb_conv_new(p, "b", 0, 4, 3));
	STORE_REFUSES("3 groups", ebb_conv_new(p, "c", 3, 4, 3, .groups = 3));
	STORE_REFUSES("-1 groups", ebb_conv_new(p, "d", 3, 4, 3, .groups = -1));
	STORE_REFUSES("from 3 to -4", ebb_linear_new(p, "e", 3, -4));
	STORE_REFUSES("over 0 channels", ebb_bn_new(p, "f", 0));
	STORE_REFUSES("over 0 numbers", ebb_layernorm_new(p, "ln", 0));
	STORE_REFUSES("3 groups of 4", ebb_groupnorm_new(p, "gn", 3, 4));
	STORE_REFUSES("over 0 channels", ebb_prelu_new(p, "prelu", 0));
	STORE_REFUSES("5 rows of 0", ebb_embedding_new(p, "table", 5, 0));
	STORE_REFUSES("padding_idx 5", ebb_embedding_new(p, "table", 5, 2, .padding_idx = 5));
	STORE_REFUSES("kernel 1 x 0", ebb_conv1d_new(p, "line", 3, 4));
	STORE_REFUSES("3 groups", ebb_conv_transpose2d_new(p, "up", 3, 4, 3, .groups = 3));
	STORE_REFUSES("rate 1", ebb_drop_new(p, "g", 1));
	STORE_REFUSES("rate nan", ebb_drop_new(p, "h", NAN));
	ck_assert_int_eq(ebb_params_count(p), 0);
	ebb_linear_new(p, "i", 3, 4);
	STORE_REFUSES("already exists", ebb_linear_new(p, "i", 3, 4));
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(null_and_zeroed_layers_fail_the_tape)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(1, 1, 4, 4));
	ebb_conv conv = {0};
	ebb_linear fc = {0};
	ebb_bn bn = {0};
	ebb_drop drop = {0};

	assert_refused(t, EBB_INVALID, ebb_conv_forward(t, &conv, x), "layers.c:", "conv_forward",
		"empty");
	assert_refused(t, EBB_INVALID, ebb_linear_forward(t, &fc, x), "linear_forward");
	assert_refused(t, EBB_INVALID, ebb_bn_forward(t, &bn, x), "bn_forward");
	assert_refused(t, EBB_INVALID, ebb_bn_relu_forward(t, &bn, x, x),
		"layers.c:", "bn_relu_forward", "empty");
	assert_refused(t, EBB_INVALID, ebb_drop_forward(t, &drop, x), "drop_forward");
	assert_refused(t, EBB_INVALID, ebb_layernorm_forward(t, &(ebb_layernorm_layer){0}, x),
		"layernorm_forward");
	assert_refused(t, EBB_INVALID, ebb_groupnorm_forward(t, &(ebb_groupnorm_layer){0}, x),
		"groupnorm_forward");
	assert_refused(t, EBB_INVALID, ebb_prelu_forward(t, NULL, x), "prelu_forward", "NULL");
	assert_refused(
		t, EBB_INVALID, ebb_embedding_forward(t, NULL, x), "embedding_forward", "NULL");
	assert_refused(t, EBB_INVALID, ebb_conv1d_forward(t, &(ebb_conv1d_layer){0}, x),
		"conv1d_forward", "empty");
	assert_refused(t, EBB_INVALID, ebb_conv_transpose2d_forward(t, NULL, x),
		"conv_transpose2d_forward", "NULL");
	assert_refused(t, EBB_INVALID, ebb_conv_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_linear_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_bn_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_drop_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_sequential_forward(t, NULL, x), "NULL");
	/* Layers of a failed store are zeroed. */
	ebb_params_fail(p, EBB_INVALID, NULL, "failed");
	conv = ebb_conv_new(p, "conv", 1, 1, 1);
	fc = ebb_linear_new(NULL, "fc", 1, 1);
	ck_assert(!conv.name && !conv.weight && !fc.name && !fc.weight);
	ck_assert_ptr_null(ebb_sequential_new(p, "s"));
	ck_assert(ebb_failed(NULL) && !ebb_conv_forward(NULL, &conv, x));
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(errors_name_the_layer_and_the_line)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_conv conv = ebb_conv_new(ebb_params_sub(p, "lenet"), "conv2", 6, 16, 5);
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(2, 3, 28, 28));

	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_forward(t, &conv, x), "layers.c:", "conv2d",
		"lenet.conv2");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-layers");
	TCase *c = tcase_create("layers");

	tcase_add_test(c, names_and_shapes_are_torchvisions);
	tcase_add_test(c, initial_values_can_be_chosen);
	tcase_add_test(c, forward_computes_the_op);
	tcase_add_test(c, dropout_acts_in_training_mode_only);
	tcase_add_test(c, norm_prelu_and_embedding_layers_compute_their_ops);
	tcase_add_test(c, conv1d_and_conv_transpose2d_layers_compute_their_ops);
	tcase_add_test(c, embedding_keeps_its_padding_row_at_zero);
	tcase_add_test(c, embeddings_start_as_init_says);
	tcase_add_test(c, bad_arguments_are_errors_in_the_store);
	tcase_add_test(c, null_and_zeroed_layers_fail_the_tape);
	tcase_add_test(c, errors_name_the_layer_and_the_line);
	suite_add_tcase(s, c);
	return run_suite(s);
}
