/* sequential.c - containers compute what their layers compute one after the other. */
#include "tests/support/support.h"

#include <string.h>

static ebb_tensor *halve(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site)
{
	(void)site;
	++*(int *)ctx;
	return ebb_mul_scalar(t, x, 0.5);
}

static ebb_tensor *keep(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site)
{
	(void)t;
	(void)ctx;
	(void)site;
	return x;
}

START_TEST(a_container_computes_what_its_layers_compute)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_sequential *s = ebb_sequential_new(p, "features");
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 1, 12, 12), 1), *y, *z;
	int calls = 0;

	ck_assert_ptr_nonnull(ebb_sequential_params(s));
	ck_assert(ebb_sequential_conv(s, 1, 4, 3, .pad = 1));
	ck_assert(ebb_sequential_bn(s, 4));
	ck_assert(ebb_sequential_fn(s, ebb_relu));
	ck_assert(ebb_sequential_maxpool2d(s, .kernel = 2));
	ck_assert(ebb_sequential_avgpool2d(s, 3, .stride = 1));
	ck_assert(ebb_sequential_adaptive_avgpool2d(s, .size = 2));
	ck_assert(ebb_sequential_layer(s, halve, &calls));
	ck_assert(ebb_sequential_layer(s, keep, NULL));
	ck_assert(ebb_sequential_fn(s, ebb_flatten));
	ck_assert(ebb_sequential_dropout(s, 0.5));
	ck_assert(ebb_sequential_linear(s, 16, 3));
	ck_assert_int_eq(ebb_sequential_count(s), 11);
	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_ptr_nonnull(ebb_params_find(p, "features.0.bias"));
	ck_assert_ptr_nonnull(ebb_params_find(p, "features.1.running_var"));
	ck_assert_ptr_nonnull(ebb_params_find(p, "features.10.weight"));

	ebb_set_training(t, false);
	y = ebb_sequential_forward(t, s, x);
	z = ebb_conv2d(t, x, ebb_params_find(p, "features.0.weight"),
		ebb_params_find(p, "features.0.bias"), .pad = 1);
	z = ebb_batchnorm(t, z, ebb_params_find(p, "features.1.weight"),
		ebb_params_find(p, "features.1.bias"),
		ebb_params_find(p, "features.1.running_mean"),
		ebb_params_find(p, "features.1.running_var"));
	z = ebb_avgpool2d(t, ebb_maxpool2d(t, ebb_relu(t, z), 2), 3, .stride = 1);
	z = ebb_flatten(t, ebb_mul_scalar(t, ebb_adaptive_avgpool2d(t, z, 2), 0.5));
	z = ebb_linear(t, z, ebb_params_find(p, "features.10.weight"),
		ebb_params_find(p, "features.10.bias"));
	assert_healthy(t);
	ck_assert(all_same(y, z));
	ck_assert_int_eq(calls, 1);

	/* Gradients reach the first layer, in training mode too. */
	ebb_set_training(t, true);
	ck_assert(ebb_backward(t, ebb_sum(t, ebb_sequential_forward(t, s, x))));
	ck_assert_ptr_nonnull(ebb_grad_of(ebb_params_find(p, "features.0.weight")));
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

typedef struct seen {
	char paths[20][40];
	int count;
} seen;

static void note(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	seen *s = ctx;

	ck_assert_ptr_nonnull(y);
	ck_assert_int_lt(s->count, 20);
	snprintf(s->paths[s->count++], sizeof s->paths[0], "%s", ebb_scope_path(scope));
}

START_TEST(every_step_runs_in_a_scope_of_its_name)
{
	const char *const expected[] = {"net.features.0", "net.features.1", "net.features.2",
		"net.features", "net.head", "net"};
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1), *net = ebb_params_sub(p, "net");
	ebb_sequential *s = ebb_sequential_new(net, "features");
	ebb_linear head = ebb_linear_new(net, "head", 6, 2);
	ebb_observer observer = {.scope_ended = note};
	seen found = {0};
	ebb_tensor *y;

	observer.ctx = &found;
	ebb_sequential_linear(s, 5, 6);
	ebb_sequential_fn(s, ebb_tanh);
	ebb_sequential_dropout(s, 0.1);
	ck_assert(ebb_observe(t, &observer));
	ebb_scope_begin(t, "net");
	y = ebb_sequential_forward(t, s, ebb_ones(t, EBB_SHAPE(3, 5)));
	ebb_scope_end(t, ebb_linear_forward(t, &head, y));
	assert_healthy(t);
	ck_assert_int_eq(found.count, 6);
	for (int i = 0; i < 6; i++)
		ck_assert_str_eq(found.paths[i], expected[i]);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

static void ignore(void *ctx, const ebb_node *node)
{
	(void)ctx;
	(void)node;
}

/* A batch norm and the relu after it run as one op, and a relu and the pooling after it, with and
 * without observers. */
START_TEST(observers_do_not_change_which_ops_run)
{
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(3, 2, 7, 5), 1);
	ebb_observer observer = {.recorded = ignore};
	uint64_t found[2][4];

	for (int watched = 0; watched < 2; watched++) {
		ebb_tape *t = ebb_tape_new();
		ebb_params *p = ebb_params_new(1);
		ebb_sequential *s = ebb_sequential_new(p, "s");
		ebb_tensor *y;

		ebb_sequential_conv(s, 2, 19, 3);
		ebb_sequential_bn(s, 19);
		ebb_sequential_fn(s, ebb_relu);
		ebb_sequential_bn(s, 19);
		ebb_sequential_fn(s, ebb_tanh);
		ebb_sequential_conv(s, 19, 3, 1);
		ebb_sequential_fn(s, ebb_relu);
		/* overlapping windows, some without a positive value */
		ebb_sequential_maxpool2d(s, .kernel = 2, .stride = 1, .pad = 1);
		ebb_sequential_bn(s, 3);
		if (watched)
			ck_assert(ebb_observe(t, &observer));
		y = ebb_sequential_forward(t, s, x);
		ck_assert(ebb_backward(t, ebb_sum(t, ebb_square(t, y)), .retain = true));
		found[watched][0] = params_hash(p);
		found[watched][1] = grads_hash(p);
		found[watched][2] = found[watched][3] = 0;
		for (const ebb_node *n = ebb_node_of(y); n; n = ebb_node_of(ebb_node_input(n, 0))) {
			found[watched][2] += !strcmp(ebb_node_op(n), "batchnorm_relu");
			found[watched][3] += !strcmp(ebb_node_op(n), "relu_maxpool2d");
			ck_assert_str_ne(ebb_node_op(n), "relu");
		}
		assert_healthy(t);
		ebb_tape_free(t);
		ebb_params_free(p);
	}
	ck_assert(found[0][0] == found[1][0] && found[0][1] == found[1][1]);
	for (int watched = 0; watched < 2; watched++) {
		ck_assert_int_eq(found[watched][2], 1);
		ck_assert_int_eq(found[watched][3], 1);
	}
	ebb_tensor_free(x);
}
END_TEST

/* In-place pooling overwrites only the container's intermediate values: neither the container's
 * input, nor the input of a ReLU that a gradient reads. */
START_TEST(in_place_pooling_overwrites_intermediate_values_only)
{
	ebb_tensor *persistent = persistent_random(EBB_F32, EBB_SHAPE(2, 16, 12, 12), 1);
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_sequential *given = ebb_sequential_new(p, "given"), *own = ebb_sequential_new(p, "own");
	ebb_tensor *x, *same, *y, *want, *again;

	ebb_set_recording(t, false);
	ebb_sequential_fn(given, ebb_relu);
	ebb_sequential_maxpool2d(given, .kernel = 2, .inplace = true);
	ebb_sequential_fn(own, ebb_neg);
	ebb_sequential_maxpool2d(own, .kernel = 2);
	x = ebb_neg(t, persistent);
	same = ebb_neg(t, persistent);
	y = ebb_sequential_forward(t, given, x);
	want = ebb_maxpool2d(t, ebb_relu(t, same), .kernel = 2);
	again = ebb_sequential_forward(t, own, x);
	assert_healthy(t);
	for (int64_t i = 0; i < ebb_count(x); i++)
		ck_assert_double_eq(ebb_at(x, i), ebb_at(same, i));
	for (int64_t i = 0; i < ebb_count(y); i++)
		ck_assert_double_eq(ebb_at(y, i), ebb_at(want, i));
	want = ebb_maxpool2d(t, ebb_neg(t, same), .kernel = 2);
	for (int64_t i = 0; i < ebb_count(want); i++)
		ck_assert_double_eq(ebb_at(again, i), ebb_at(want, i));
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(persistent);
}
END_TEST

START_TEST(memory_without_recording_is_bounded)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_sequential *s = ebb_sequential_new(p, "deep");
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(64, 256), 1);
	size_t value = 64 * 256 * sizeof(float);

	for (int i = 0; i < 40; i++)
		ebb_sequential_fn(s, i % 2 ? ebb_tanh : ebb_sigmoid);
	ebb_set_recording(t, false);
	ck_assert_ptr_nonnull(ebb_sequential_forward(t, s, x));
	ck_assert_msg(ebb_memory_of(t).peak <= 3 * value, "%zu bytes, one value has %zu",
		ebb_memory_of(t).peak, value);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(a_step_that_could_not_be_added_fails_the_tape)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_sequential *s = ebb_sequential_new(p, "s"), *empty = ebb_sequential_new(p, "empty");
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(3, 5));

	ck_assert_ptr_eq(ebb_sequential_forward(t, empty, x), x);
	ck_assert(!ebb_sequential_linear(NULL, 1, 1) && !ebb_sequential_conv(NULL, 1, 1, 1) &&
		  !ebb_sequential_bn(NULL, 1));
	ck_assert(!ebb_sequential_fn(NULL, ebb_relu) && !ebb_sequential_dropout(NULL, 0.5));
	ck_assert(!ebb_sequential_maxpool2d(NULL, 2) && !ebb_sequential_layer(NULL, keep, NULL));
	ck_assert_ptr_null(ebb_sequential_params(NULL));
	ck_assert_int_eq(ebb_sequential_count(NULL), 0);
	ck_assert(ebb_sequential_fn(s, ebb_tanh));
	ck_assert(!ebb_sequential_fn(s, NULL));
	ck_assert(strstr(ebb_params_error(p)->message, "s.1 is NULL"));
	ck_assert(!ebb_sequential_linear(s, 5, 5));
	ck_assert_int_eq(ebb_sequential_count(s), 1);
	assert_refused(t, EBB_INVALID, ebb_sequential_forward(t, s, x),
		"sequential.c:", "\"s\" lacks step 1");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-sequential");
	TCase *c = tcase_create("sequential");

	tcase_add_test(c, a_container_computes_what_its_layers_compute);
	tcase_add_test(c, every_step_runs_in_a_scope_of_its_name);
	tcase_add_test(c, observers_do_not_change_which_ops_run);
	tcase_add_test(c, in_place_pooling_overwrites_intermediate_values_only);
	tcase_add_test(c, memory_without_recording_is_bounded);
	tcase_add_test(c, a_step_that_could_not_be_added_fails_the_tape);
	suite_add_tcase(s, c);
	return run_suite(s);
}
