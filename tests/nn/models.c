/*
 * models.c - the networks of the catalogue: a gradient for every parameter, names and shapes,
 * residual connections, memory without recording, errors.
 */
#include "tests/nn/networks.h"
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Names and shapes of networks that torchvision does not have (catalogue.c tests the others).  The
 * numbers for CIFAR's residual networks come from published weight files, those of LeNet from the
 * sizes of its layers. */
static const expected_model EXPECTED[] = {
	{"lenet5", 10, 61706, 0, 0, 0},
	{"cifar_resnet20", 59, 269722, 38, 0xd1c2a4ec52fca216, 0xeae4cb402fb4cfb1},
	{"cifar_resnet32", 95, 464154, 62, 0x24e8e779a93ab650, 0xf0dd6f819ec4d4e1},
	{"cifar_resnet44", 131, 658586, 86, 0x4f2f7176d3db068a, 0x8230f26dca44bce9},
	{"cifar_resnet56", 167, 853018, 110, 0x65f4230192210974, 0x30f8fb280f59d1a9},
	{"cifar_plain20", 59, 269722, 38, 0xd1c2a4ec52fca216, 0xeae4cb402fb4cfb1},
};
enum {
	EXPECTED_COUNT = sizeof EXPECTED / sizeof *EXPECTED,
	/* Larger networks are in the case "large". */
	SMALL = SANITIZED ? 6000000 : 30000000
};

/* ---- Gradients ------------------------------------------------------------------------------- */

/* The side of a small image that the network accepts in training mode. */
static int64_t small_side(const ebb_model_card *card)
{
	static const struct {
		const char *name;
		int64_t side;
	} sides[] = {{"alexnet", 63}, {"alexnet_original", 63}, {"zfnet", 63}, {"nin", 99},
		{"overfeat_fast", 231}, {"overfeat_accurate", 221}, {"inception_v3", 299},
		{"vit_b_16", 224}};

	for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
		if (strcmp(sides[i].name, card->name) == 0)
			return sides[i].side;
	return card->side < 64 ? card->side : 64;
}

/* Layers whose weights start at 0 pass no gradient to those before them: sets such weights to other
 * numbers. */
static void replace_zeros(ebb_params *p)
{
	ebb_tape *t = ebb_tape_new();

	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		ebb_tensor *x = ebb_params_at(p, i);

		if (ebb_ndim(x) == 2 && ebb_item(ebb_norm(t, x)) == 0) {
			float *v = ebb_data_mutable(x);

			for (int64_t k = 0; k < ebb_count(x); k++)
				v[k] = 0.01f * (float)(k % 7 - 3);
		}
	}
	ebb_tape_free(t);
}

static void check_gradients(const ebb_model *net)
{
	enum { BATCH = 2 };
	const ebb_model_card *card = net->card;
	int64_t side = small_side(card);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(BATCH, card->channels, side, side), 7);
	ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(BATCH), (int64_t[]){3, 7}), *y, *loss;

	replace_zeros(net->p);
	loss = ebb_model_loss(t, net, x, labels, .logits = &y);
	assert_healthy(t);
	ck_assert_int_eq(ebb_ndim(y), 2);
	ck_assert_int_eq(ebb_size(y, 0), BATCH);
	ck_assert_int_eq(ebb_size(y, 1), card->classes);
	ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
	for (int64_t i = 0; i < ebb_params_count(net->p); i++) {
		double norm = ebb_item(ebb_norm(t, ebb_grad_of(ebb_params_at(net->p, i))));

		ck_assert_msg(norm > 0 && norm < INFINITY, "%s: the gradient of %s is %g",
			card->name, ebb_params_name_at(net->p, i), norm);
	}
	ebb_tape_free(t);
	ebb_tensor_free(x);
}

START_TEST(names_and_shapes_are_those_of_published_files)
{
	ebb_params *p = ebb_params_new(1);

	ebb_model_new(p, EXPECTED[_i].name);
	ck_assert_ptr_null(ebb_params_error(p));
	check_names(&EXPECTED[_i], p);
	ebb_params_free(p);
}
END_TEST

START_TEST(every_parameter_has_a_gradient)
{
	const ebb_model_card *card = ebb_model_card_at(_i);
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, card->name, .dropout = EBB_ZERO, .drop_path = EBB_ZERO);

	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_msg(ebb_params_elements(p) == card->parameters,
		"%s has %lld numbers, its card says %lld", card->name,
		(long long)ebb_params_elements(p), (long long)card->parameters);
	ck_assert_int_eq(ebb_params_trainable(p), card->parameters);
	check_gradients(&net);
	ebb_params_free(p);
}
END_TEST

START_TEST(names_below_a_view_begin_with_its_prefix)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_cifar_resnet net = ebb_cifar_resnet_new(ebb_params_sub(p, "encoder"), 20, .classes = 7);

	ck_assert_int_eq(ebb_size(ebb_params_find(p, "encoder.linear.weight"), 0), 7);
	ck_assert_ptr_nonnull(ebb_params_find(p, "encoder.layer3.2.bn2.running_var"));
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_cifar_resnet_forward(t, &net, ebb_ones(t, EBB_SHAPE(1, 4, 8, 8))),
		"models.c:", "4 channels", "in encoder.conv1");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

static double deviation(const ebb_params *p, const char *name)
{
	ebb_tape *t = ebb_tape_new();
	double s = ebb_item(ebb_std(t, ebb_params_find(p, name)));

	ebb_tape_free(t);
	return s;
}

START_TEST(resnet_starts_as_kaiming_normal)
{
	ebb_params *p = ebb_params_new(1);

	ebb_resnet_new(p, 18, .classes = 10);
	/* Kaiming normal: sqrt(2/(out*Kh*Kw)). */
	ck_assert_double_eq_tol(deviation(p, "layer1.0.conv1.weight"), sqrt(2.0 / (64 * 9)), 1e-3);
	ck_assert_double_eq_tol(
		deviation(p, "layer4.0.downsample.0.weight"), sqrt(2.0 / 512), 1e-3);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "layer1.0.bn2.weight"), 5), 1);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "layer1.0.bn2.bias"), 5), 0);
	ebb_params_free(p);
}
END_TEST

START_TEST(vgg_starts_as_torchvisions)
{
	ebb_params *p = ebb_params_new(1);

	ebb_vgg_new(p, 11, .classes = 100);
	ck_assert_double_eq_tol(deviation(p, "features.18.weight"), sqrt(2.0 / (512 * 9)), 1e-4);
	ck_assert_double_eq_tol(deviation(p, "classifier.6.weight"), 0.01, 1e-4);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "features.0.bias"), 5), 0);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "classifier.0.bias"), 5), 0);
	ebb_params_free(p);
}
END_TEST

/* ---- Shortcuts ------------------------------------------------------------------------------- */

/* The second batch norm of every block is set to 0, so that only the shortcuts are left.  After
 * three stages, channels 24 to 39 are then those of the first convolution, at every fourth row and
 * column. */
START_TEST(cifar_shortcuts_subsample_and_add_zero_channels)
{
	enum { SIDE = 32, KEPT = 8, FIRST = 24, WIDE = 64, CLASSES = 10 };
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_cifar_resnet net = ebb_cifar_resnet_new(p, 20);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(1, 3, SIDE, SIDE), 3), *y, *stem;
	double pooled[WIDE] = {0};

	for (int i = 0; i < net.count; i++)
		memset(ebb_data_mutable(net.blocks[i].bn2.weight), 0,
			sizeof(float) * (size_t)ebb_count(net.blocks[i].bn2.weight));
	ebb_set_training(t, false);
	y = ebb_cifar_resnet_forward(t, &net, x);
	stem = ebb_relu(t, ebb_bn_forward(t, &net.bn1, ebb_conv_forward(t, &net.conv1, x)));
	assert_healthy(t);
	for (int c = 0; c < 16; c++)
		for (int i = 0; i < SIDE; i += 4)
			for (int j = 0; j < SIDE; j += 4)
				pooled[FIRST + c] +=
					ebb_at(stem, (c * SIDE + i) * SIDE + j) / (KEPT * KEPT);
	for (int o = 0; o < CLASSES; o++) {
		double expected = ebb_at(net.linear.bias, o);

		for (int c = 0; c < WIDE; c++)
			expected += ebb_at(net.linear.weight, o * WIDE + c) * pooled[c];
		ck_assert_double_eq_tol(ebb_at(y, o), expected, 1e-5);
	}
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(plain_networks_have_no_shortcuts)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_cifar_resnet net = ebb_cifar_resnet_new(p, 20, .plain = true);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(1, 3, 32, 32), 3), *y;

	memset(ebb_data_mutable(net.blocks[4].bn2.weight), 0,
		sizeof(float) * (size_t)ebb_count(net.blocks[4].bn2.weight));
	ebb_set_training(t, false);
	y = ebb_cifar_resnet_forward(t, &net, x);
	assert_healthy(t);
	for (int o = 0; o < 10; o++)
		ck_assert_double_eq_tol(ebb_at(y, o), ebb_at(net.linear.bias, o), 1e-6);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* ---- GoogLeNet ------------------------------------------------------------------------------- */

START_TEST(googlenet_has_auxiliary_logits_in_training_only)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_googlenet net = ebb_googlenet_new(p, .classes = 5);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 3, 64, 64), 1);
	ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){4, 0});
	ebb_googlenet_logits y = ebb_googlenet_forward(t, &net, x);
	double each[3];

	assert_healthy(t);
	ck_assert_int_eq(ebb_size(y.aux1, 1), 5);
	ck_assert_int_eq(ebb_size(y.aux2, 1), 5);
	each[0] = ebb_item(ebb_cross_entropy(t, y.logits, labels));
	each[1] = ebb_item(ebb_cross_entropy(t, y.aux1, labels));
	each[2] = ebb_item(ebb_cross_entropy(t, y.aux2, labels));
	ck_assert_double_eq_tol(ebb_item(ebb_googlenet_loss(t, y, labels)),
		each[0] + 0.3 * (each[1] + each[2]), 1e-5);

	ebb_set_training(t, false);
	y = ebb_googlenet_forward(t, &net, x);
	ck_assert_ptr_nonnull(y.logits);
	ck_assert_ptr_null(y.aux1);
	ck_assert_ptr_null(y.aux2);
	ck_assert_double_eq(ebb_item(ebb_googlenet_loss(t, y, labels)),
		ebb_item(ebb_cross_entropy(t, y.logits, labels)));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

START_TEST(googlenet_has_fewer_parameters_without_auxiliaries)
{
	static const expected_model want = {"googlenet without auxiliaries", 173, 6624904, 114,
		0x59e540993f6f6a0f, 0xbe0eddaefc3d78a3};
	ebb_params *p = ebb_params_new(1);

	ebb_googlenet_new(p, .no_aux = true);
	ck_assert_ptr_null(ebb_params_error(p));
	check_names(&want, p);
	ebb_params_free(p);
}
END_TEST

START_TEST(googlenet_transforms_its_input)
{
	static const double mean[] = {0.485, 0.456, 0.406}, std[] = {0.229, 0.224, 0.225};
	enum { PIXELS = 64 * 64 };
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_googlenet net = ebb_googlenet_new(p, .classes = 5, .no_aux = true);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(1, 3, 64, 64), 1);
	ebb_tensor *moved = persistent_random(EBB_F32, EBB_SHAPE(1, 3, 64, 64), 1), *a, *b;
	float *v = ebb_data_mutable(moved);

	for (int c = 0; c < 3; c++)
		for (int i = 0; i < PIXELS; i++)
			v[c * PIXELS + i] =
				(float)(v[c * PIXELS + i] * std[c] / 0.5 + (mean[c] - 0.5) / 0.5);
	ebb_set_training(t, false);
	a = ebb_googlenet_forward(t, &net, moved).logits;
	net.transform_input = true;
	b = ebb_googlenet_forward(t, &net, x).logits;
	assert_healthy(t);
	ck_assert(all_close(a, b, 1e-4));
	ck_assert_double_gt(ebb_item(ebb_norm(t, a)), 1e-3);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(moved);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The peak memory of values and scratch; *left receives the memory in use at the end. */
static size_t peak(const char *name, bool recording, size_t *left)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = ebb_model_new(p, name);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 3, 32, 32), 1), *y;
	size_t most;

	ebb_set_training(t, false);
	ebb_set_recording(t, recording);
	y = ebb_model_forward(t, &net, x);
	assert_healthy(t);
	*left = ebb_memory_of(t).in_use - (size_t)ebb_count(y) * sizeof(float);
	most = ebb_memory_of(t).peak;
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	return most;
}

START_TEST(peak_memory_without_recording_does_not_grow_with_depth)
{
	size_t left;

	ck_assert_uint_eq(
		peak("cifar_resnet56", false, &left), peak("cifar_resnet20", false, &left));
	ck_assert_uint_gt(
		peak("cifar_resnet56", true, &left), 2 * peak("cifar_resnet20", true, &left));
}
END_TEST

START_TEST(only_the_logits_stay_in_memory)
{
	static const char *const names[] = {"cifar_resnet20", "resnet18", "googlenet"};
	size_t left;

	peak(names[_i], false, &left);
	/* The allocator rounds sizes up a little. */
	ck_assert_uint_lt(left, 4096);
}
END_TEST

/* The same of a vision transformer. */
static size_t vit_peak(int layers, size_t *left)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_vit net = ebb_vit_new(p, .image = 32, .patch = 4, .layers = layers, .heads = 2,
		.width = 64, .feedforward = 128, .classes = 5);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 3, 32, 32), 1), *y;
	size_t most;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	y = ebb_vit_forward(t, &net, x);
	assert_healthy(t);
	*left = ebb_memory_of(t).in_use - (size_t)ebb_count(y) * sizeof(float);
	most = ebb_memory_of(t).peak;
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	return most;
}

START_TEST(peak_memory_of_a_vision_transformer_does_not_grow_with_layers)
{
	size_t left[2];

	ck_assert_uint_eq(vit_peak(8, &left[0]), vit_peak(2, &left[1]));
	ck_assert_uint_lt(left[0], 4096);
	ck_assert_uint_lt(left[1], 4096);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

#define STORE_REFUSES(p, call, words)                                                              \
	do {                                                                                       \
		(void)(call);                                                                      \
		ck_assert_ptr_nonnull(ebb_params_error(p));                                        \
		ck_assert_msg(strstr(ebb_params_error(p)->message, words) != NULL, "%s",           \
			ebb_params_error(p)->message);                                             \
		ck_assert_ptr_nonnull(strstr(ebb_params_error(p)->message, "models.c:"));          \
		ebb_params_clear_error(p);                                                         \
	} while (0)

START_TEST(bad_arguments_are_errors)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(1, 1, 28, 28));
	ebb_cifar_resnet none;

	STORE_REFUSES(p, ebb_cifar_resnet_new(p, 21), "depth 21, expected 6n+2");
	STORE_REFUSES(p, ebb_cifar_resnet_new(p, 2), "depth 2, expected 6n+2");
	STORE_REFUSES(p, ebb_cifar_resnet_new(p, -4), "depth -4, expected 6n+2");
	STORE_REFUSES(p, ebb_resnet_new(p, 26), "depth 26, expected 18, 34, 50, 101 or 152");
	STORE_REFUSES(p, ebb_alexnet_new(ebb_params_sub(p, "a"), .dropout = 1), "0 <= rate < 1");
	STORE_REFUSES(p, ebb_lenet_new(p, .classes = -1), "expected positive");
	none = ebb_cifar_resnet_new(NULL, 20);
	assert_refused(t, EBB_INVALID, ebb_cifar_resnet_forward(t, &none, x), "the layer is empty");
	assert_refused(t, EBB_INVALID, ebb_lenet_forward(t, NULL, x), "models.c:", "NULL");
	assert_refused(t, EBB_INVALID, ebb_cifar_resnet_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_resnet_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_vgg_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_vgg_forward(t, &(ebb_vgg){0}, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_alexnet_forward(t, NULL, x), "NULL");
	assert_refused(t, EBB_INVALID, ebb_googlenet_forward(t, NULL, x).logits, "NULL");
	assert_refused(t, EBB_INVALID, ebb_googlenet_forward(t, &(ebb_googlenet){0}, x).logits,
		"googlenet_forward");
	ck_assert_ptr_null(ebb_params_alloc(NULL, 8));
	STORE_REFUSES(p, ebb_params_alloc(p, SIZE_MAX), "no memory");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* Whichever allocation fails, the store has an error, the model's forward function fails, and
 * nothing leaks. */
static void make_resnet8(ebb_params *p, void *net)
{
	*(ebb_cifar_resnet *)net = ebb_cifar_resnet_new(p, 8);
}

static ebb_tensor *run_resnet8(ebb_tape *t, const void *net)
{
	return ebb_cifar_resnet_forward(t, net, ebb_ones(t, EBB_SHAPE(1, 3, 8, 8)));
}

START_TEST(every_allocation_failure_is_reported)
{
	ebb_cifar_resnet net;

	check_failed_allocations(&(network_calls){make_resnet8, run_resnet8}, &net, 5, 50);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-models");
	TCase *c = tcase_create("small"), *large = tcase_create("large");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, names_and_shapes_are_those_of_published_files, 0, EXPECTED_COUNT);
	for (int i = 0; i < ebb_model_cards(); i++)
		tcase_add_loop_test(ebb_model_card_at(i)->parameters < SMALL ? c : large,
			every_parameter_has_a_gradient, i, i + 1);
	tcase_add_test(c, names_below_a_view_begin_with_its_prefix);
	tcase_add_test(c, resnet_starts_as_kaiming_normal);
	tcase_add_test(c, cifar_shortcuts_subsample_and_add_zero_channels);
	tcase_add_test(c, plain_networks_have_no_shortcuts);
	tcase_add_test(c, googlenet_has_auxiliary_logits_in_training_only);
	tcase_add_test(c, googlenet_has_fewer_parameters_without_auxiliaries);
	tcase_add_test(c, googlenet_transforms_its_input);
	tcase_add_test(c, peak_memory_without_recording_does_not_grow_with_depth);
	tcase_add_loop_test(c, only_the_logits_stay_in_memory, 0, 3);
	tcase_add_test(c, peak_memory_of_a_vision_transformer_does_not_grow_with_layers);
	tcase_add_test(c, bad_arguments_are_errors);
	tcase_add_test(c, every_allocation_failure_is_reported);
	suite_add_tcase(s, c);

	/* Up to 1.2 GB of parameters and gradients each. */
	tcase_set_timeout(large, 120);
	tcase_add_test(large, vgg_starts_as_torchvisions);
	suite_add_tcase(s, large);
	return run_suite(s);
}
