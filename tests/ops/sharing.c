/* sharing.c - one tensor read by several ops: its gradient is the sum over all of them. */
#include "tests/ops/ops_test.h"

typedef ebb_tensor *function(ebb_tape *t, ebb_tensor **x, void *ctx);

/* Compares gradients of both orders with differences, and ebb_backward with ebb_grad. */
static void check(const char *name, function *f, int n, const ebb_shape *shapes)
{
	ebb_tensor *x[4], *in[4], *g[4];
	ebb_error error = {0};
	bool ok;

	for (int k = 0; k < n; k++)
		x[k] = persistent_random(EBB_F64, shapes[k], (uint64_t)k + 1);
	ok = ebb_gradcheck(
		f, NULL, n, (const ebb_tensor *const *)x, .second = true, .error = &error);
	ck_assert_msg(ok, "%s: %s", name, error.message);
	for (int k = 0; k < n; k++)
		ebb_tensor_free(x[k]);
	for (int dtype = EBB_F32; dtype <= EBB_F64; dtype++) {
		ebb_tape *t = ebb_tape_new();

		for (int k = 0; k < n; k++) {
			x[k] = persistent_random((ebb_dtype)dtype, shapes[k], (uint64_t)k + 1);
			ebb_set_requires_grad(x[k], true);
			in[k] = x[k];
		}
		ebb_set_default_dtype(t, (ebb_dtype)dtype);
		ck_assert(ebb_grad(t, ebb_sum(t, f(t, in, NULL)), n, x, g));
		for (int k = 0; k < n; k++)
			in[k] = x[k];
		ck_assert_msg(
			ebb_backward(t, ebb_sum(t, f(t, in, NULL))), "%s", ebb_error_message(t));
		/* A second backward pass adds to the gradients of the first. */
		for (int k = 0; k < n; k++)
			in[k] = x[k];
		ck_assert(ebb_backward(t, ebb_sum(t, f(t, in, NULL))));
		for (int k = 0; k < n; k++)
			ck_assert_msg(all_close(ebb_grad_of(x[k]), ebb_mul_scalar(t, g[k], 2),
					      dtype == EBB_F64 ? 1e-12 : 1e-5),
				"%s: input %d of ebb_backward", name, k);
		assert_healthy(t);
		ebb_tape_free(t);
		for (int k = 0; k < n; k++)
			ebb_tensor_free(x[k]);
	}
}

#define CHECK(f, ...)                                                                              \
	check(#f, f, (int)(sizeof((ebb_shape[]){__VA_ARGS__}) / sizeof(ebb_shape)),                \
		(ebb_shape[]){__VA_ARGS__})

static ebb_tensor *three_uses(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *a = ebb_sin(t, x[0]), *b = ebb_exp(t, x[0]), *c = ebb_tanh(t, x[0]);

	(void)ctx;
	return ebb_add(t, ebb_mul(t, a, b), c);
}

static ebb_tensor *residual(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *h = x[0];

	(void)ctx;
	for (int i = 0; i < 3; i++)
		h = ebb_add(t, h, ebb_tanh(t, ebb_matmul(t, h, x[1])));
	return h;
}

static ebb_tensor *tied_weights(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *h = ebb_tanh(t, ebb_linear(t, x[0], x[1]));

	(void)ctx;
	/* Uses one matrix directly, transposed, and by its sum. */
	return ebb_mul(t, ebb_linear(t, h, ebb_transpose(t, x[1], 0, 1)), ebb_sum(t, x[1]));
}

static ebb_tensor *shared_subexpression(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *s = ebb_sigmoid(t, ebb_mul(t, x[0], x[1])), *p = ebb_softmax(t, s, 1);

	(void)ctx;
	return ebb_sub(t, ebb_mul(t, p, s), ebb_div(t, s, ebb_add_scalar(t, ebb_square(t, p), 1)));
}

static ebb_tensor *views_and_whole(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *top = ebb_slice(t, x[0], 0, 0, 2, 1),
		   *every = ebb_slice(t, x[0], 0, 0, EBB_END, 2);
	ebb_tensor *transposed = ebb_transpose(t, x[0], 0, 1),
		   *flat = ebb_reshape(t, x[0], EBB_SHAPE(-1));

	(void)ctx;
	return ebb_add(t, ebb_sum(t, ebb_mul(t, top, every)),
		ebb_add(t, ebb_sum(t, ebb_square(t, ebb_matmul(t, transposed, x[0]))),
			ebb_norm(t, flat)));
}

static ebb_tensor *same_conv_twice(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *h = ebb_silu(t, ebb_conv2d(t, x[0], x[1], x[2], .pad = 1));

	(void)ctx;
	h = ebb_add(t, x[0], ebb_conv2d(t, h, x[1], x[2], .pad = 1));
	return ebb_add(t, h,
		ebb_expand(t, ebb_mean(t, h, EBB_AXES(2, 3), .keepdim = true), ebb_shape_of(h)));
}

static ebb_tensor *output_used_inside(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	/* y and an intermediate value of y in one expression, broadcast in both directions. */
	ebb_tensor *a = ebb_square(t, x[0]), *b = ebb_sum(t, a, EBB_AXES(1), .keepdim = true),
		   *parts[3];

	(void)ctx;
	parts[0] = a;
	parts[1] = ebb_div(t, a, ebb_add_scalar(t, b, 1));
	parts[2] = a;
	return ebb_concat(t, 3, parts, 0);
}

static ebb_tensor *normalised_residual(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *h = ebb_batchnorm(t, x[0], x[1], x[2]);

	(void)ctx;
	return ebb_add(t, ebb_mul(t, h, x[0]), ebb_batchnorm(t, h, x[1], x[2]));
}

START_TEST(gradients_of_all_uses_add_up)
{
	CHECK(three_uses, EBB_SHAPE(2, 3));
	CHECK(residual, EBB_SHAPE(2, 3), EBB_SHAPE(3, 3));
	CHECK(tied_weights, EBB_SHAPE(2, 3), EBB_SHAPE(3, 3));
	CHECK(shared_subexpression, EBB_SHAPE(2, 3), EBB_SHAPE(2, 3));
	CHECK(views_and_whole, EBB_SHAPE(4, 3));
	CHECK(same_conv_twice, EBB_SHAPE(1, 2, 3, 3), EBB_SHAPE(2, 2, 3, 3), EBB_SHAPE(2));
	CHECK(output_used_inside, EBB_SHAPE(2, 3));
	CHECK(normalised_residual, EBB_SHAPE(4, 2), EBB_SHAPE(2), EBB_SHAPE(2));
}
END_TEST

/* ebb_grad by x and by intermediate results that depend on x, in one call. */
START_TEST(gradients_by_leaves_and_intermediates_in_one_call)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, 2)), *y = ebb_square(t, x),
		   *z = ebb_mul(t, y, x);
	ebb_tensor *in[] = {x, y, z, x}, *g[4];

	ck_assert(ebb_grad(t, ebb_mul(t, z, y), 4, in, g)); /* x^5 = y^2*x = z*y */
	ck_assert_double_eq(ebb_item(g[0]), 80);
	ck_assert_double_eq(ebb_item(g[1]), 2 * 4 * 2);
	ck_assert_double_eq(ebb_item(g[2]), 4);
	ck_assert_double_eq(ebb_item(g[3]), 80);
	/* The gradient of x by x is 1. */
	ck_assert(ebb_grad(t, x, 1, &x, g));
	ck_assert_double_eq(ebb_item(g[0]), 1);
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* One result is read by a thousand ops: each contributes to the gradient once. */
START_TEST(a_thousand_uses_are_each_counted_once)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3))), *h = ebb_mul_scalar(t, x, 2),
		   *sum = h, *g;

	ebb_set_default_dtype(t, EBB_F64);
	for (int i = 0; i < 1000; i++)
		sum = ebb_add(t, sum, i % 2 ? h : ebb_mul_scalar(t, h, 2));
	ck_assert(ebb_grad(t, ebb_sum(t, sum), 1, &x, &g));
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq(ebb_at(g, i), 2 * (1 + 500 + 1000));
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* The incoming gradient belongs to the caller: backward passes must not accumulate into it. */
START_TEST(the_incoming_gradient_is_not_overwritten)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4))),
		   *gy = ebb_from_f64(t, EBB_SHAPE(4), (const double[]){1, 2, 3, 4}),
		   *y = ebb_add(t, ebb_add(t, x, x), x), *g;

	for (int i = 0; i < 3; i++) {
		ck_assert(ebb_grad(t, y, 1, &x, &g, gy));
		for (int k = 0; k < 4; k++) {
			ck_assert_double_eq(ebb_at(gy, k), k + 1);
			ck_assert_double_eq(ebb_at(g, k), 3 * (k + 1));
		}
	}
	ck_assert(ebb_backward(t, y, gy, .retain = true));
	ck_assert(ebb_backward(t, y, gy));
	for (int k = 0; k < 4; k++) {
		ck_assert_double_eq(ebb_at(gy, k), k + 1);
		ck_assert_double_eq(ebb_at(ebb_grad_of(x), k), 6 * (k + 1));
	}
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* An error message names this file, the line, and the scope's path. */
START_TEST(error_messages_name_the_call_and_the_scope)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_zeros(t, EBB_SHAPE(2, 3, 8, 8)),
		   *w = ebb_zeros(t, EBB_SHAPE(4, 6, 3, 3));
	char expected[200];
	int line;

	ebb_scope_begin(t, "net");
	ebb_scope_begin(t, "conv1");
	line = __LINE__ + 1;
	ebb_conv2d(t, ebb_relu(t, x), w);
	snprintf(expected, sizeof expected,
		"tests/ops/sharing.c:%d: conv2d: x has 3 channels, w expects 6 (x [2,3,8,8], w "
		"[4,6,3,3]) in net.conv1",
		line);
	ck_assert_msg(strstr(ebb_error_message(t), expected), "%s", ebb_error_message(t));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_SHAPE);
	ebb_tape_free(t);
	/* A nested call has its own name and shapes. */
	t = ebb_tape_new();
	x = ebb_zeros(t, EBB_SHAPE(2));
	w = ebb_zeros(t, EBB_SHAPE(3));
	line = __LINE__ + 1;
	ebb_add(t, ebb_mul(t, x, w), x);
	snprintf(expected, sizeof expected,
		"tests/ops/sharing.c:%d: mul: shapes do not broadcast: F32 [2] and F32 [3]", line);
	ck_assert_msg(strstr(ebb_error_message(t), expected), "%s", ebb_error_message(t));
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sharing");
	TCase *c = tcase_create("sharing");

	tcase_add_test(c, gradients_of_all_uses_add_up);
	tcase_add_test(c, gradients_by_leaves_and_intermediates_in_one_call);
	tcase_add_test(c, a_thousand_uses_are_each_counted_once);
	tcase_add_test(c, the_incoming_gradient_is_not_overwritten);
	tcase_add_test(c, error_messages_name_the_call_and_the_scope);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	return run_suite(s);
}
