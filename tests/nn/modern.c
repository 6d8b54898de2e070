/*
 * modern.c - MobileNet v2, EfficientNet-B0 and ConvNeXt-Tiny: torchvision's names and shapes, a
 * gradient for every parameter, images of odd sizes, stochastic depth, memory, copies, errors.
 */
#include "tests/nn/networks.h"
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NETWORKS = 3 };

/* From torchvision's named_parameters() and named_buffers() without num_batches_tracked.  The hash
 * is FNV-1a over "name[sizes]\n" in order.  drops: the blocks whose branch may be dropped. */
static const struct {
	const char *name;
	int64_t parameters, elements, buffers;
	uint64_t parameters_hash, buffers_hash;
	int64_t features;
	int drops;
} NETWORK[NETWORKS] = {
	{"mobilenet_v2", 158, 3504872, 104, 0xa5c53aa625759a13, 0xa4b5daaeba66ce59, 1280, 0},
	{"efficientnet_b0", 213, 5288548, 98, 0x22356abb631ffd26, 0x0f8de6a6ca79951b, 1280, 9},
	{"convnext_tiny", 182, 28589128, 0, 0x82fceebae0a6ce37, 0xcbf29ce484222325, 768, 17},
};

/* Odd sizes: convolutions of stride 2 then meet odd and even ones. */
static const ebb_shape IMAGES = {4, {2, 3, 97, 65}};

/* ---- Names and shapes ------------------------------------------------------------------------ */

static uint64_t fnv(uint64_t h, const char *name, const ebb_tensor *x)
{
	char text[200];
	size_t n = (size_t)snprintf(text, sizeof text, "%s[", name);

	for (int i = 0; i < ebb_ndim(x); i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? "," : "",
			(long long)ebb_size(x, i));
	n += (size_t)snprintf(text + n, sizeof text - n, "]\n");
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)text[i]) * 1099511628211u;
	return h;
}

START_TEST(names_and_shapes_are_torchvisions)
{
	const char *name = NETWORK[_i].name;
	ebb_params *p = ebb_params_new(1);
	ebb_model m = ebb_model_new(p, name);
	uint64_t parameters = 14695981039346656037u, buffers = parameters;

	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_int_eq(ebb_params_count(p), NETWORK[_i].parameters);
	ck_assert_int_eq(ebb_params_elements(p), NETWORK[_i].elements);
	ck_assert_int_eq(m.card->parameters, NETWORK[_i].elements);
	ck_assert_int_eq(ebb_buffers_count(p), NETWORK[_i].buffers);
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		parameters = fnv(parameters, ebb_params_name_at(p, i), ebb_params_at(p, i));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		buffers = fnv(buffers, ebb_buffers_name_at(p, i), ebb_buffers_at(p, i));
	ck_assert_msg(parameters == NETWORK[_i].parameters_hash,
		"%s: its parameters' names, order or shapes changed", name);
	ck_assert_msg(buffers == NETWORK[_i].buffers_hash,
		"%s: its buffers' names, order or shapes changed", name);
	/* The head is the last layer's weight and bias. */
	ck_assert_int_eq(ebb_model_freeze_body(&m), 2);
	ebb_params_free(p);
}
END_TEST

START_TEST(width_scales_the_channels_in_multiples_of_8)
{
	/* Parameters of torchvision's networks with 1000 classes. */
	static const struct {
		double width;
		int64_t elements, first, last;
	} expected[] = {
		{0.25, 1519112, 8, 1280},
		{1.4, 6108776, 48, 1792},
	};

	for (int i = 0; i < 2; i++) {
		ebb_params *p = ebb_params_new(1);

		ebb_mobilenet_v2_new(p, .width = expected[i].width);
		ck_assert_ptr_null(ebb_params_error(p));
		ck_assert_int_eq(ebb_params_elements(p), expected[i].elements);
		ck_assert_int_eq(
			ebb_size(ebb_params_find(p, "features.0.0.weight"), 0), expected[i].first);
		ck_assert_int_eq(
			ebb_size(ebb_params_find(p, "features.18.0.weight"), 0), expected[i].last);
		ebb_params_free(p);
	}
}
END_TEST

START_TEST(convolutions_and_last_layers_start_as_torchvisions)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_params *mobile = ebb_params_sub(p, "m"), *efficient = ebb_params_sub(p, "e");
	ebb_params *next = ebb_params_sub(p, "c");

#define DEVIATION(p, name) ebb_item(ebb_std(t, ebb_params_find(p, name)))
	ebb_mobilenet_v2_new(mobile);
	/* Kaiming normal by fan_out, which is out*Kh*Kw: of a depthwise convolution too. */
	ck_assert_double_eq_tol(DEVIATION(mobile, "features.18.0.weight"), sqrt(2.0 / 1280), 1e-3);
	ck_assert_double_eq_tol(
		DEVIATION(mobile, "features.17.conv.1.0.weight"), sqrt(2.0 / (960 * 9)), 1e-3);
	ck_assert_double_eq_tol(DEVIATION(mobile, "classifier.1.weight"), 0.01, 1e-4);
	ck_assert_double_eq(ebb_at(ebb_params_find(mobile, "classifier.1.bias"), 3), 0);

	ebb_efficientnet_b0_new(efficient, .classes = 100);
	ck_assert_double_eq_tol(
		DEVIATION(efficient, "features.7.0.block.2.fc1.weight"), sqrt(2.0 / 48), 5e-3);
	ck_assert_double_eq(
		ebb_at(ebb_params_find(efficient, "features.7.0.block.2.fc1.bias"), 3), 0);
	/* U(-b, b) with b = 1/sqrt(100) has the deviation b/sqrt(3). */
	ck_assert_double_eq_tol(DEVIATION(efficient, "classifier.1.weight"), 0.1 / sqrt(3), 1e-3);
	ck_assert_double_eq(ebb_at(ebb_params_find(efficient, "classifier.1.bias"), 3), 0);

	ebb_convnext_tiny_new(next);
	ck_assert_double_eq_tol(DEVIATION(next, "features.4.1.weight"), 0.02, 1e-3);
	ck_assert_double_eq_tol(DEVIATION(next, "features.7.0.block.3.weight"), 0.02, 1e-3);
	ck_assert_double_eq(ebb_at(ebb_params_find(next, "features.7.0.block.0.bias"), 3), 0);
	ck_assert_double_eq_tol(
		ebb_at(ebb_params_find(next, "features.7.0.layer_scale"), 700), 1e-6, 1e-12);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* ---- Results and gradients ------------------------------------------------------------------- */

START_TEST(every_parameter_has_a_gradient_on_images_of_odd_sizes)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model m = ebb_model_new(p, NETWORK[_i].name, .classes = 7, .drop_path = EBB_ZERO);
	ebb_tensor *x = persistent_random(EBB_F32, IMAGES, 7), *y;
	ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){3, 6});

	ck_assert(ebb_backward(t, ebb_model_loss(t, &m, x, labels, .logits = &y)));
	ck_assert_int_eq(ebb_ndim(y), 2);
	ck_assert_int_eq(ebb_size(y, 0), 2);
	ck_assert_int_eq(ebb_size(y, 1), 7);
	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		double norm = ebb_item(ebb_norm(t, ebb_grad_of(ebb_params_at(p, i))));

		ck_assert_msg(norm > 0 && norm < INFINITY, "%s: the gradient of %s is %g",
			NETWORK[_i].name, ebb_params_name_at(p, i), norm);
	}
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(only_the_features_stay_in_memory_without_head)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model m = ebb_model_new(p, NETWORK[_i].name, .no_head = true);
	ebb_tensor *x = persistent_random(EBB_F32, IMAGES, 7), *y;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	y = ebb_model_forward(t, &m, x);
	assert_healthy(t);
	ck_assert_int_eq(ebb_ndim(y), 2);
	ck_assert_int_eq(ebb_size(y, 1), NETWORK[_i].features);
	ck_assert_double_gt(ebb_item(ebb_norm(t, y)), 0);
	/* The allocator rounds sizes up a little. */
	ck_assert_uint_lt(ebb_memory_of(t).in_use, (size_t)ebb_count(y) * sizeof(float) + 4096);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* ---- Stochastic depth ------------------------------------------------------------------------ */

typedef struct tally {
	int masks, copies;
} tally;

static void tally_op(void *ctx, const ebb_run *run)
{
	tally *n = ctx;

	n->masks += strcmp(run->op, "dropout_mask") == 0;
	n->copies += strcmp(run->op, "dense") == 0;
}

static tally ops_of(int k, bool training, double drop_path)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model m = ebb_model_new(p, NETWORK[k].name, .drop_path = drop_path);
	ebb_tensor *x = persistent_random(EBB_F32, IMAGES, 7), *y;
	tally n = {0};
	ebb_observer o = {.ctx = &n, .ran = tally_op};

	ebb_set_training(t, training);
	ck_assert(ebb_observe(t, &o));
	y = ebb_model_forward(t, &m, x);
	ck_assert(ebb_backward(t, y, ebb_ones_like(t, y)));
	assert_healthy(t);
	ebb_unobserve(t, &o);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	return n;
}

START_TEST(branches_are_dropped_in_training_only)
{
	ck_assert_int_eq(ops_of(_i, true, 0).masks, NETWORK[_i].drops);
	ck_assert_int_eq(ops_of(_i, false, 0).masks, 0);
	ck_assert_int_eq(ops_of(_i, true, EBB_ZERO).masks, 0);
}
END_TEST

START_TEST(only_the_row_major_image_is_copied)
{
	ck_assert_int_eq(ops_of(_i, true, 0).copies, 1);
}
END_TEST

START_TEST(drop_path_grows_linearly_with_depth)
{
	ebb_params *p = ebb_params_new(1);
	ebb_efficientnet e = ebb_efficientnet_b0_new(ebb_params_sub(p, "e"));
	ebb_convnext c = ebb_convnext_tiny_new(ebb_params_sub(p, "c"), .drop_path = 0.34);

	ck_assert_int_eq(e.count, 16);
	for (int i = 0; i < e.count; i++)
		ck_assert_double_eq_tol(e.blocks[i].drop_path, 0.2 * i / 16, 1e-12);
	for (int k = 0, i = 0; k < 4; k++)
		for (int j = 0; j < c.stages[k].count; j++)
			ck_assert_double_eq_tol(c.stages[k].blocks[j].drop_path, 0.02 * i++, 1e-12);
	ck_assert_int_eq(c.stages[2].count, 9);
	ebb_params_free(p);
}
END_TEST

/* The features of the same image in training mode, with this seed of the tape. */
static ebb_tensor *features_with(const ebb_efficientnet *net, uint64_t seed, ebb_tape *t)
{
	ebb_tensor *x, *y;

	ebb_seed(t, 7);
	x = ebb_randn(t, IMAGES);
	ebb_seed(t, seed);
	y = ebb_efficientnet_forward(t, net, x);
	assert_healthy(t);
	return y;
}

START_TEST(dropped_branches_depend_on_the_seed_alone)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_efficientnet net =
		ebb_efficientnet_b0_new(p, .dropout = EBB_ZERO, .drop_path = 0.9, .no_head = true);
	ebb_tensor *y;

	ebb_set_recording(t, false);
	y = features_with(&net, 1, t);
	ck_assert(all_same(y, features_with(&net, 1, t)));
	ck_assert(!all_close(y, features_with(&net, 2, t), 1e-3));
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(drop_path_sets_samples_to_0_or_scales_them)
{
	enum { N = 4000 };
	const double rate = 0.3;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(N, 3, 2)), *y, *again;
	double sum = 0;

	ebb_seed(t, 5);
	y = ebb_drop_path(t, x, rate);
	for (int64_t n = 0; n < N; n++) {
		double first = ebb_at(y, 6 * n);

		ck_assert(first == 0 || fabs(first - 1 / (1 - rate)) < 1e-6);
		for (int i = 1; i < 6; i++)
			ck_assert_double_eq(ebb_at(y, 6 * n + i), first);
		sum += first;
	}
	/* The expectation is x; five standard deviations of the mean of N samples. */
	ck_assert_double_eq_tol(sum / N, 1, 5 * sqrt(rate / (1 - rate) / N));
	ebb_seed(t, 5);
	again = ebb_drop_path(t, x, rate);
	ck_assert(all_same(y, again));
	ck_assert(!all_same(y, ebb_drop_path(t, x, rate)));
	ck_assert_ptr_eq(ebb_drop_path(t, x, 0), x);
	ebb_set_training(t, false);
	ck_assert_ptr_eq(ebb_drop_path(t, x, rate), x);
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

#define REFUSES(p, call, words)                                                                    \
	do {                                                                                       \
		(void)(call);                                                                      \
		ck_assert_ptr_nonnull(ebb_params_error(p));                                        \
		ck_assert_msg(strstr(ebb_params_error(p)->message, words) != NULL, "%s",           \
			ebb_params_error(p)->message);                                             \
		ck_assert_ptr_nonnull(strstr(ebb_params_error(p)->message, "modern.c:"));          \
		ebb_params_clear_error(p);                                                         \
	} while (0)

START_TEST(bad_arguments_of_modern_networks_are_errors)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_ones(t, IMAGES);

	REFUSES(p, ebb_mobilenet_v2_new(p, .width = EBB_ZERO), "width 0, expected 0 < width");
	REFUSES(p, ebb_mobilenet_v2_new(p, .width = -1), "width -1");
	REFUSES(p, ebb_mobilenet_v2_new(p, .width = NAN), "width nan");
	REFUSES(p, ebb_mobilenet_v2_new(p, .width = 1001), "<= 1000");
	REFUSES(p, ebb_mobilenet_v2_new(ebb_params_sub(p, "a"), .width = 0.1, .dropout = 1),
		"0 <= rate < 1");
	REFUSES(p, ebb_efficientnet_b0_new(p, .drop_path = 1), "drop_path 1, expected 0 <=");
	REFUSES(p, ebb_efficientnet_b0_new(ebb_params_sub(p, "b"), .classes = -1),
		"expected positive");
	REFUSES(p, ebb_convnext_tiny_new(p, .drop_path = -0.1), "drop_path -0.1");
	REFUSES(p, ebb_convnext_tiny_new(p, .drop_path = NAN), "drop_path nan");
	assert_refused(t, EBB_INVALID, ebb_mobilenet_v2_forward(t, NULL, x), "modern.c:", "NULL");
	assert_refused(t, EBB_INVALID, ebb_mobilenet_v2_forward(t, &(ebb_mobilenet_v2){0}, x),
		"sequential_forward");
	assert_refused(t, EBB_INVALID, ebb_efficientnet_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_efficientnet_forward(t, &(ebb_efficientnet){0}, x),
		"sequential_forward");
	assert_refused(t, EBB_INVALID, ebb_convnext_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_convnext_forward(t, &(ebb_convnext){0}, x),
		"the layer is empty");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* A network that is made by its name. */
typedef struct named {
	const char *name;
	ebb_model model;
} named;

static void make_named(ebb_params *p, void *net)
{
	named *n = net;

	n->model = ebb_model_new(p, n->name, .classes = 3);
}

static ebb_tensor *run_named(ebb_tape *t, const void *net)
{
	const named *n = net;

	ebb_set_training(t, false);
	return ebb_model_forward(t, &n->model, ebb_ones(t, EBB_SHAPE(1, 3, 32, 32)));
}

START_TEST(failed_allocations_are_reported)
{
	check_failed_allocations(&(network_calls){make_named, run_named},
		&(named){.name = NETWORK[_i].name}, SANITIZED ? 1009 : 101, 300);
}
END_TEST

/* The same without the catalogue, which checks the store itself. */
START_TEST(a_network_of_a_failed_store_fails_the_tape)
{
	counting_allocator a;
	bool made = false;

	counting_allocator_install(&a);
	for (int64_t fail_at = 0; !made; fail_at += 23) {
		ebb_params *p = ebb_params_new(1);
		ebb_mobilenet_v2 net;
		ebb_tape *t;

		a.calls = 0;
		a.fail_at = fail_at;
		net = ebb_mobilenet_v2_new(p, .width = 0.1, .classes = 3);
		a.fail_at = -1;
		made = !ebb_params_error(p);
		t = ebb_tape_new();
		ebb_set_training(t, false);
		ck_assert_int_eq(made, ebb_mobilenet_v2_forward(t, &net,
					       ebb_ones(t, EBB_SHAPE(1, 3, 32, 32))) != NULL);
		ebb_tape_free(t);
		ebb_params_free(p);
		ck_assert_int_eq(a.live, 0);
	}
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-modern");
	TCase *c = tcase_create("modern");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, names_and_shapes_are_torchvisions, 0, NETWORKS);
	tcase_add_test(c, width_scales_the_channels_in_multiples_of_8);
	tcase_add_test(c, convolutions_and_last_layers_start_as_torchvisions);
	tcase_add_loop_test(c, every_parameter_has_a_gradient_on_images_of_odd_sizes, 0, NETWORKS);
	tcase_add_loop_test(c, only_the_features_stay_in_memory_without_head, 0, NETWORKS);
	tcase_add_loop_test(c, branches_are_dropped_in_training_only, 0, NETWORKS);
	tcase_add_loop_test(c, only_the_row_major_image_is_copied, 0, NETWORKS);
	tcase_add_test(c, drop_path_grows_linearly_with_depth);
	tcase_add_test(c, dropped_branches_depend_on_the_seed_alone);
	tcase_add_test(c, drop_path_sets_samples_to_0_or_scales_them);
	tcase_add_test(c, bad_arguments_of_modern_networks_are_errors);
	tcase_add_loop_test(c, failed_allocations_are_reported, 0, NETWORKS);
	tcase_add_test(c, a_network_of_a_failed_store_fails_the_tape);
	suite_add_tcase(s, c);
	return run_suite(s);
}
