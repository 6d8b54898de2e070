/*
 * refused.c - errors of ops that are not in .refused of their entries (ops_test.h): a failed tape,
 * NULL as each input, and options and shapes just outside the permitted range.  After an error,
 * results that are returned through pointers are NULL.
 */
#include "tests/ops/ops_test.h"

#include <limits.h>

static ebb_tape *t;

static void setup(void)
{
	t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
}

static void teardown(void)
{
	assert_healthy(t);
	ebb_tape_free(t);
	arrays_free();
}

static const entry *const TABLES[] = {EVERY_TABLE};
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

/* ---- Every op -------------------------------------------------------------------------------- */

static void place_all(const entry *e, const sample *s, ebb_tensor **x)
{
	ebb_tensor *persistent;

	for (int k = 0; k < s->n; k++) {
		x[k] = place(t, &s->in[k], ROWS, &persistent);
		if (x[k] && e->result != EBB_DEFAULT)
			x[k] = ebb_detach(t, x[k]);
	}
}

static void try_failed_tape(const entry *e, const sample *s)
{
	ebb_tensor *x[MAX_IN];

	place_all(e, s, x);
	ebb_fail(t, EBB_BAD_FILE, NULL, "an earlier error");
	ck_assert_msg(!e->call(t, x, s->n, s->variant), "%s (%s) on a failed tape gave a result",
		e->name, s->text);
	ck_assert_str_eq(ebb_error_message(t), "an earlier error");
	ebb_clear_error(t);
}

/* NULL as an input is an error whose message has the caller's line, unless the input is optional.
 * The first input is never optional. */
static void try_null_inputs(const entry *e, const sample *s)
{
	for (int k = 0; k < s->n; k++) {
		ebb_tensor *x[MAX_IN], *y;
		const char *message = ebb_error_message(t);

		place_all(e, s, x);
		x[k] = NULL;
		y = e->call(t, x, s->n, s->variant);
		ck_assert_msg(!y == ebb_failed(t), "%s (%s), input %d NULL", e->name, s->text, k);
		ck_assert_msg(k > 0 || (!y && ebb_error_status(t) == EBB_INVALID &&
					       strstr(message, "NULL")),
			"%s (%s), input 0 NULL: %s", e->name, s->text, message);
		/* The rows of the lists call their ops. */
		ck_assert_msg(y || strstr(message, "tests/ops/") || strstr(message, "ary.def:"),
			"%s (%s), input %d NULL: %s", e->name, s->text, k, message);
		ebb_clear_error(t);
	}
}

START_TEST(failed_tapes_and_missing_inputs)
{
	for (const entry *e = TABLES[_i]; e->name; e++) {
		const char *at = e->samples;
		sample s;

		while (e->call && next_sample(&at, e->values, &s)) {
			try_failed_tape(e, &s);
			try_null_inputs(e, &s);
			ebb_tape_reset(t);
			arrays_free();
		}
	}
}
END_TEST

/* ---- Shapes ---------------------------------------------------------------------------------- */

#define zeros(...) ebb_zeros(t, EBB_SHAPE(__VA_ARGS__))

START_TEST(invalid_shapes_and_axes)
{
	ebb_tensor *x = zeros(2, 3), *one = zeros(1), *full = zeros(1, 1, 1, 1, 1, 1, 1, 1);
	ebb_shape nine = {9, {0}}, none = {-1, {0}};
	const ebb_axes many = {9, {0}}, negative = {-1, {0}};

	for (int k = 0; k < 2; k++) {
		ebb_shape s = k ? nine : none;

		assert_refused(t, EBB_BAD_SHAPE, ebb_reshape(t, x, s), "reshape", "?");
		assert_refused(t, EBB_BAD_SHAPE, ebb_expand(t, x, s), "expand", "?");
		assert_refused(t, EBB_BAD_SHAPE, ebb_sum_to(t, x, s), "sum_to", "?");
		assert_refused(t, EBB_BAD_SHAPE, ebb_zeros(t, s), "zeros", "shape ?");
		assert_refused(t, EBB_INVALID, ebb_sum(t, x, .axes = k ? many : negative), "sum",
			k ? "9 axes" : "-1 axes", "at most 8");
	}
	assert_refused(t, EBB_BAD_SHAPE, ebb_reshape(t, x, EBB_SHAPE(-2, 3)), "[-2,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_reshape(t, x, EBB_SHAPE(-1, -1)), "[-1,-1]");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_reshape(t, x, EBB_SHAPE(INT64_MAX, INT64_MAX)), "reshape");
	assert_refused(t, EBB_BAD_SHAPE, ebb_reshape(t, x, EBB_SHAPE(0, -1)), "[0,-1]");
	/* Empty, but its strides would overflow. */
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_reshape(t, zeros(0, 3), EBB_SHAPE(0, 16, INT64_MAX / 2)), "reshape");
	assert_refused(t, EBB_BAD_DTYPE, ebb_cast(t, x, (ebb_dtype)(EBB_U8 + 2)), "unknown");
	assert_refused(t, EBB_INVALID, ebb_local_response_norm(t, x, .size = INT_MIN),
		"size is -2147483648");
	assert_refused(t, EBB_BAD_SHAPE, ebb_expand(t, x, EBB_SHAPE(-2, 2, 3)), "[-2,2,3]");
	assert_refused(t, EBB_INVALID, ebb_transpose(t, x, -3, 0), "transpose", "-3");
	assert_refused(t, EBB_INVALID, ebb_transpose(t, x, 0, -3), "transpose", "-3");
	assert_refused(t, EBB_INVALID, ebb_unsqueeze(t, full, 0), "unsqueeze");
	assert_refused(t, EBB_BAD_SHAPE, ebb_squeeze(t, x, -3), "squeeze", "-3");
	assert_refused(t, EBB_INVALID, ebb_stack(t, 1, &full, 0), "stack");
	assert_refused(t, EBB_INVALID, ebb_stack(t, 2, ((ebb_tensor *[]){x, NULL}), 0), "stack",
		"input 1 is NULL");
	assert_refused(t, EBB_INVALID, ebb_concat(t, 2, NULL, 0), "concat");
	assert_refused(t, EBB_BAD_SHAPE, ebb_matmul(t, one, x), "matmul", "[1]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_pixel_shuffle(t, zeros(1, 3, 2, 2), 2),
		"pixel_shuffle", "[1,3,2,2]");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_embedding(t, ebb_from_i64(t, EBB_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), (int64_t[]){0}),
			zeros(2, 2)),
		"embedding");
}
END_TEST

START_TEST(invalid_paddings)
{
	ebb_tensor *x = zeros(2, 3);

	assert_refused(t, EBB_INVALID, ebb_pad(t, x, ((ebb_pads){-2, {0}})), "pad");
	assert_refused(t, EBB_INVALID, ebb_pad(t, x, EBB_PADS(1)), "pad");
	assert_refused(t, EBB_INVALID, ebb_pad(t, x, EBB_PADS(1, 1), .mode = (ebb_pad_mode)9),
		"pad", "mode 9 is not an ebb_pad_mode");
	assert_refused(t, EBB_BAD_SHAPE, ebb_pad(t, x, EBB_PADS(INT64_MAX, INT64_MAX)), "pad");
	assert_refused(t, EBB_BAD_SHAPE, ebb_pad(t, x, EBB_PADS(INT64_MAX, 0)), "pad");
	assert_refused(t, EBB_BAD_SHAPE, ebb_pad(t, x, EBB_PADS(0, -4), .mode = EBB_PAD_REPLICATE),
		"pad", "[2,3]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_pad(t, x, EBB_PADS(0, 4), .mode = EBB_PAD_CIRCULAR),
		"pad", "[2,3]");
	/* The pads crop all of x, so every element of the result is .value. */
	x = ebb_pad(t, x, EBB_PADS(5, -4), .value = 2);
	ck_assert_int_eq(ebb_size(x, 1), 4);
	for (int i = 0; i < 8; i++)
		ck_assert_double_eq(ebb_at(x, i), 2);
}
END_TEST

START_TEST(invalid_splits)
{
	ebb_tensor *x = zeros(2, 3), *pieces[2] = {x, x};
	const int64_t sizes[] = {1, 2};

	assert_refused(t, EBB_INVALID, ebb_split(t, x, 1, 2, sizes, NULL), "split");
	assert_refused(t, EBB_INVALID, ebb_split(t, x, -3, 2, sizes, pieces), "split", "-3");
	ck_assert(!pieces[0] && !pieces[1]);
	assert_refused(t, EBB_INVALID, ebb_split(t, x, 2, 2, sizes, pieces), "split");
	pieces[0] = pieces[1] = x;
	assert_refused(t, EBB_INVALID, ebb_split(t, NULL, 1, 2, sizes, pieces), "split", "NULL");
	ck_assert(!pieces[0] && !pieces[1]);
	ck_assert(ebb_split(t, x, -1, 2, sizes, pieces));
	ck_assert_int_eq(ebb_size(pieces[1], 1), 2);
}
END_TEST

/* ---- Convolutions and pooling ---------------------------------------------------------------- */

START_TEST(invalid_images_kernels_and_windows)
{
	ebb_tensor *x = zeros(1, 4, 8, 8), *w = zeros(4, 4, 3, 3), *line = zeros(1, 2, 5),
		   *v = zeros(2, 2, 3);

	assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, x, w, .groups = -1), "conv2d", "-1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, x, w, zeros(1, 4)), "conv2d", "[1,4]");
	assert_refused(t, EBB_INVALID, ebb_conv2d(t, x, w, .stride_hw = {1, -1}), "conv2d", "1x-1");
	assert_refused(t, EBB_INVALID, ebb_conv2d(t, x, w, .dilation_hw = {1, -1}), "1x-1");
	for (int k = 0; k < 4; k++) {
		ebb_conv2d_args a = {.t = t, .x = x, .w = w, .site = EBB_SITE};

		a.pad_tblr[k] = -1;
		assert_refused(t, EBB_INVALID, (ebb_conv2d)(&a), "conv2d", "negative", "-1");
	}
	/* With 32-bit addresses zeros refuses these shapes. */
	if (sizeof(size_t) > 4) {
		assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, zeros(0, 4, 1LL << 31, 1), w),
			"conv2d", "more than 1073741824 rows or columns");
		assert_refused(t, EBB_BAD_SHAPE, ebb_conv2d(t, zeros(0, 4, 1, 1LL << 31), w),
			"conv2d", "more than 1073741824 rows or columns");
	}
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, v), "conv_transpose2d");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, zeros(4, 4, 0, 3)), "empty");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, zeros(4, 4, 3, 0)), "empty");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, zeros(1, 4, 8, 0), w), "empty");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, w, .groups = -1), "-1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, w, zeros(4, 1)), "[4,1]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, w, .stride_hw = {1, -1}), "-1");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, w, .dilation_hw = {1, -1}), "-1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, w, .output_pad = -1), "-1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv_transpose2d(t, x, w, .pad_hw = {0, 9}), "9");
	assert_refused(t, EBB_INVALID, ebb_conv1d(t, line, NULL), "conv1d", "input 1 is NULL");
	assert_refused(t, EBB_INVALID, ebb_conv1d(t, line, v, .dilation = -1), "conv1d", "-1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_conv1d(t, line, zeros(2, 2, 6)), "conv1d");
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel_hw = {2, -1}), "maxpool2d");
	assert_refused(
		t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .stride_hw = {1, -1}), "-1");
	assert_refused(
		t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .stride_hw = {-1, 1}), "-1");
	assert_refused(
		t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .dilation_hw = {1, -1}), "-1");
	assert_refused(
		t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .dilation_hw = {-1, 1}), "-1");
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .pad_hw = {0, -1}), "-1");
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .pad_hw = {-1, 0}), "-1");
	assert_refused(t, EBB_INVALID, ebb_maxpool2d(t, x, .kernel = 2, .pad_hw = {0, 2}), "2");
	assert_refused(t, EBB_BAD_SHAPE, ebb_maxpool2d(t, x, .kernel_hw = {1, 9}), "maxpool2d");
	assert_refused(t, EBB_INVALID, ebb_avgpool2d(t, x, .kernel = 2, .dilation_hw = {1, 2}),
		"avgpool2d");
	assert_refused(t, EBB_INVALID, ebb_adaptive_avgpool2d(t, x, .size_hw = {2, -1}), "-1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_adaptive_avgpool2d(t, zeros(1, 4, 8, 0), .size = 2),
		"adaptive_avgpool2d");
}
END_TEST

START_TEST(a_failed_pooling_sets_the_positions_to_null)
{
	ebb_tensor *x = zeros(1, 1, 2, 2), *where = x, *index;

	assert_refused(
		t, EBB_BAD_SHAPE, ebb_maxpool2d(t, x, .kernel = 3, .index = &where), "maxpool2d");
	ck_assert_ptr_null(where);
	where = x;
	assert_refused(t, EBB_INVALID, ebb_max(t, x, .axes = EBB_AXES(7), .index = &where), "max");
	ck_assert_ptr_null(where);
	index = ebb_from_i64(t, EBB_SHAPE(1, 1, 2, 2), (int64_t[]){0, 1, 2, 3});
	assert_refused(t, EBB_INVALID, ebb_max_unpool2d(t, x, index, 2, -1), "max_unpool2d", "-1");
	assert_refused(t, EBB_INVALID, ebb_max_unpool2d(t, x, index, -1, 2), "max_unpool2d", "-1");
	assert_refused(t, EBB_INVALID, ebb_max_unpool2d(t, x, index, 1LL << 32, 1), "max_unpool2d");
	assert_refused(t, EBB_INVALID, ebb_max_unpool2d(t, x, index, 1, 1LL << 32), "max_unpool2d");
	assert_refused(
		t, EBB_INVALID, ebb_max_unpool2d(t, x, index, 1 << 16, 1 << 16), "max_unpool2d");
}
END_TEST

START_TEST(upsampling_to_invalid_sizes)
{
	ebb_tensor *x = zeros(1, 1, 2, 2), *y;

	assert_refused(
		t, EBB_BAD_SHAPE, ebb_upsample(t, zeros(1, 1, 2, 0), .scale = 2), "upsample");
	assert_refused(t, EBB_INVALID, ebb_upsample(t, x, .scale = 1e12), "upsample");
	assert_refused(t, EBB_INVALID, ebb_upsample(t, x, .scale_hw = {1, 0.1}), "upsample");
	assert_refused(t, EBB_INVALID, ebb_upsample(t, x, .scale_hw = {0, 2}), "upsample");
	assert_refused(t, EBB_INVALID, ebb_upsample(t, x, .size_hw = {0, 2}), "upsample");
	y = ebb_upsample(t, x, .scale_hw = {1, 2});
	ck_assert(ebb_size(y, 2) == 2 && ebb_size(y, 3) == 4);
}
END_TEST

/* ---- Norms and losses ------------------------------------------------------------------------ */

START_TEST(norms_with_invalid_options)
{
	ebb_tensor *x = zeros(4, 3), *three = zeros(3), *two = zeros(2), *single, *other;
	ebb_tape *elsewhere = ebb_tape_new();
	const ebb_axes last = EBB_AXES(1);

	single = ebb_cast(t, three, EBB_F32);
	other = ebb_cast(elsewhere, ebb_ones(elsewhere, EBB_SHAPE(3)), EBB_F64);
	assert_refused(t, EBB_INVALID, ebb_batchnorm(t, x, .eps = INFINITY), "eps is inf");
	assert_refused(t, EBB_INVALID, ebb_batchnorm(t, x, .momentum = -1), "momentum -1");
	assert_refused(t, EBB_INVALID, ebb_batchnorm(t, x, .running_mean = three),
		"must be given together");
	assert_refused(t, EBB_INVALID, ebb_batchnorm(t, x, .running_var = three),
		"must be given together");
	assert_refused(t, EBB_BAD_SHAPE, ebb_batchnorm(t, x, three, two), "bias");
	assert_refused(t, EBB_BAD_SHAPE, ebb_batchnorm(t, x, single), "weight", "F32");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_batchnorm(t, x, .running_mean = two, .running_var = three), "running_mean");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_batchnorm(t, x, .running_mean = three, .running_var = two), "running_var");
	assert_refused(t, EBB_INVALID,
		ebb_batchnorm(t, x, .running_mean = other, .running_var = three), "running_mean",
		"another tape");
	ebb_release(t, three);
	assert_refused(t, EBB_BAD_STATE,
		ebb_batchnorm(t, x, .running_mean = zeros(3), .running_var = three),
		"the value of running_var", "[3]");
	ebb_tape_free(elsewhere);
	assert_refused(t, EBB_INVALID, ebb_batchnorm_relu(t, x, .momentum = 2), "momentum 2");
	assert_refused(t, EBB_INVALID, ebb_groupnorm(t, x, 3, .eps = -1), "eps is -1");
	assert_refused(t, EBB_INVALID, ebb_groupnorm(t, x, 3, .eps = INFINITY), "eps is inf");
	assert_refused(t, EBB_BAD_DTYPE, ebb_groupnorm(t, x, 3, single), "groupnorm", "F32");
	assert_refused(t, EBB_BAD_SHAPE, ebb_layernorm(t, x, .axes = -1), "layernorm", "-1");
	assert_refused(t, EBB_INVALID, ebb_layernorm(t, x, .eps = INFINITY), "layernorm");
	assert_refused(t, EBB_INVALID, ebb_norm(t, x, .p = -INFINITY, .axes = last), "norm");
}
END_TEST

START_TEST(losses_with_invalid_options)
{
	ebb_tensor *x = zeros(2, 3), *label = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){0, 2}),
		   *below = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){-1, 2}), *w = zeros(3),
		   *single = ebb_cast(t, w, EBB_F32), *elsewhere;
	const ebb_reduction unknown = (ebb_reduction)9;
	ebb_tape *other = ebb_tape_new();

	elsewhere = ebb_ones(other, EBB_SHAPE(3));
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, NULL), "input 1 is NULL");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_cross_entropy(
			t, ebb_zeros(t, EBB_SHAPE(2, 5, 4)), ebb_cast(t, zeros(2, 5), EBB_I64)),
		"reshape x to [positions,classes]");
	assert_refused(t, EBB_INVALID, ebb_nll_loss(t, x, NULL), "input 1 is NULL");
	assert_refused(t, EBB_INVALID, ebb_mse_loss(t, x, NULL), "input 1 is NULL");
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, label, .label_smoothing = 2),
		"label_smoothing is 2");
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, label, .label_smoothing = -1),
		"label_smoothing is -1");
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, label, .reduction = unknown), "9");
	assert_refused(t, EBB_INVALID, ebb_nll_loss(t, x, label, .reduction = unknown), "9");
	assert_refused(t, EBB_INVALID, ebb_kl_div(t, x, x, .reduction = unknown), "9");
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, below), "label[0] is -1");
	assert_refused(t, EBB_BAD_SHAPE, ebb_cross_entropy(t, ebb_sum(t, x), label), "[]");
	assert_refused(t, EBB_BAD_SHAPE, ebb_cross_entropy(t, x, label, zeros(2)), "weight");
	assert_refused(t, EBB_BAD_SHAPE, ebb_cross_entropy(t, x, label, single), "weight", "F32");
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, label, elsewhere), "weight",
		"another tape");
	assert_refused(t, EBB_BAD_DTYPE, ebb_cross_entropy(t, x, ebb_cast(t, x, EBB_F32)), "F32");
	ebb_tape_free(other);
	/* A weight that requires a gradient is an error, unless the tape does not record. */
	w = ebb_variable(t, w);
	assert_refused(t, EBB_INVALID, ebb_cross_entropy(t, x, label, w), "not differentiated");
	ebb_set_recording(t, false);
	ck_assert_ptr_nonnull(ebb_cross_entropy(t, x, label, w));
	ebb_set_recording(t, true);
}
END_TEST

START_TEST(attention_with_invalid_operands)
{
	ebb_tensor *q = zeros(2, 3), *v = zeros(2, 4), *line = zeros(3);

	assert_refused(t, EBB_BAD_SHAPE, ebb_attention(t, q, line, v), "attention", "k F64 [3]");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_attention(t, zeros(2, 2, 3), zeros(3, 2, 3), v), "[3,2,3]");
	assert_refused(
		t, EBB_BAD_DTYPE, ebb_attention(t, q, ebb_cast(t, q, EBB_F32), v), "F32", "F64");
	assert_refused(t, EBB_BAD_DTYPE,
		ebb_attention(t, q, q, v, ebb_cast(t, zeros(2, 2), EBB_F32)), "mask", "F32");
}
END_TEST

/* ---- Unusual arguments that are permitted ---------------------------------------------------- */

/* An operand in channels-last order of fewer axes than the result does not set the result's
 * order. */
START_TEST(a_comparison_with_a_channels_last_operand_of_fewer_axes)
{
	ebb_tensor *image = ebb_tensor_new(EBB_F64, EBB_SHAPE(1, 2, 2, 2), true, NULL), *y;

	y = ebb_less(t, image, ebb_ones(t, EBB_SHAPE(3, 2, 2, 2, 2)));
	ck_assert_int_eq(ebb_ndim(y), 5);
	ck_assert_int_eq(ebb_stride(y, 4), 1);
	for (int64_t i = 0; i < ebb_count(y); i++)
		ck_assert_double_eq(ebb_at(y, i), 1);
	ebb_tape_reset(t);
	ebb_tensor_free(image);
}
END_TEST

/* The base k + alpha/size*sum x^2 may be negative if beta is an integer; otherwise the result is
 * NaN. */
START_TEST(local_response_norm_of_a_negative_base)
{
	ebb_tensor *x = ebb_from_f64(t, EBB_SHAPE(1, 2, 1, 1), (const double[]){1, 2}), *y;

	y = ebb_local_response_norm(t, x, .size = 3, .alpha = 3, .beta = 1, .k = -9);
	ck_assert_double_eq(ebb_at(y, 0), -0.25);
	ck_assert_double_eq(ebb_at(y, 1), -0.5);
	y = ebb_local_response_norm(t, x, .size = 3, .alpha = -3, .beta = 1, .k = 1);
	ck_assert_double_eq(ebb_at(y, 0), -0.25);
	ck_assert(isnan(ebb_at(
		ebb_local_response_norm(t, x, .size = 3, .alpha = 3, .beta = 0.5, .k = -9), 0)));
}
END_TEST

static void note_flops(void *ctx, const ebb_run *run)
{
	if (!strcmp(run->op, "conv2d"))
		*(double *)ctx = run->flops;
}

/* An observer gets 2*N*O*Oh*Ow*(C/groups)*Kh*Kw operations. */
START_TEST(an_observer_gets_the_flops_of_a_convolution)
{
	double flops = 0;
	const ebb_observer o = {.ctx = &flops, .ran = note_flops};

	ck_assert(ebb_observe(t, &o));
	ebb_conv2d(t, zeros(2, 4, 7, 6), zeros(6, 2, 3, 2), .groups = 2);
	ebb_unobserve(t, &o);
	ck_assert_double_eq(flops, 2.0 * 2 * 6 * 5 * 5 * 2 * 3 * 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops/refused");
	TCase *c = tcase_create("refused");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, failed_tapes_and_missing_inputs, 0, TABLE_COUNT);
	tcase_add_test(c, invalid_shapes_and_axes);
	tcase_add_test(c, invalid_paddings);
	tcase_add_test(c, invalid_splits);
	tcase_add_test(c, invalid_images_kernels_and_windows);
	tcase_add_test(c, a_failed_pooling_sets_the_positions_to_null);
	tcase_add_test(c, upsampling_to_invalid_sizes);
	tcase_add_test(c, norms_with_invalid_options);
	tcase_add_test(c, losses_with_invalid_options);
	tcase_add_test(c, attention_with_invalid_operands);
	tcase_add_test(c, a_comparison_with_a_channels_last_operand_of_fewer_axes);
	tcase_add_test(c, local_response_norm_of_a_negative_base);
	tcase_add_test(c, an_observer_gets_the_flops_of_a_convolution);
	suite_add_tcase(s, c);
	return run_suite(s);
}
