/*
 * early.c - networks from LeNet to VGG: connections, initial values, features without a head, errors.
 */
#include "tests/nn/networks.h"

#include <math.h>
#include <string.h>

/* ---- LeNet of 1989 --------------------------------------------------------------------------- */

/* In H1 only one map is not 0.  The central weight of a filter of H2 never reads the padding, so it
 * has a gradient only if the filter reads that map. */
START_TEST(maps_of_h2_read_eight_maps_of_h1)
{
	enum { MAPS = 12, UNITS = 64, READS = 8, TAPS = 25, CENTRE = 12 };
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_lenet1989 net = ebb_lenet1989_new(p);
	float *bias = ebb_data_mutable(net.h1.bias);

	memset(ebb_data_mutable(net.h1.weight), 0, sizeof(float) * MAPS * TAPS);
	for (int i = 0; i < UNITS; i++)
		bias[_i * UNITS + i] = 1;
	ebb_backward(t,
		ebb_sum(t, ebb_lenet1989_forward(t, &net, ebb_ones(t, EBB_SHAPE(1, 1, 16, 16)))));
	assert_healthy(t);
	for (int map = 0; map < MAPS; map++)
		for (int k = 0; k < READS; k++) {
			double g = ebb_at(
				ebb_grad_of(net.h2.weight), (map * READS + k) * TAPS + CENTRE);

			ck_assert_msg((g != 0) == ((map / 4 * 4 + k) % MAPS == _i),
				"filter %d of map %d has the gradient %g", k, map, g);
		}
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* The background is -1, also outside of the image.  With a blank image, every unit of a map of H1 is
 * therefore minus the sum of the map's weights: the biases alone can give the same result. */
START_TEST(the_padding_of_lenet1989_is_background)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_lenet1989 net = ebb_lenet1989_new(p, .no_head = true);
	ebb_tensor *blank = ebb_full(t, EBB_SHAPE(1, 1, 16, 16), -1), *a, *b;
	float *w = ebb_data_mutable(net.h1.weight), *bias = ebb_data_mutable(net.h1.bias);

	a = ebb_lenet1989_forward(t, &net, blank);
	for (int map = 0; map < 12; map++) {
		double sum = 0;

		for (int i = 0; i < 25; i++) {
			sum += w[map * 25 + i];
			w[map * 25 + i] = 0;
		}
		for (int i = 0; i < 64; i++)
			bias[map * 64 + i] = (float)-sum;
	}
	b = ebb_lenet1989_forward(t, &net, blank);
	assert_healthy(t);
	ck_assert(all_close(a, b, 1e-5));
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(lenet1989_starts_as_published)
{
	ebb_params *p = ebb_params_new(1);
	ebb_lenet1989 net = ebb_lenet1989_new(p);
	static const int fan_in[] = {25, 200, 192, 30};
	ebb_tensor *const weights[] = {
		net.h1.weight, net.h2.weight, net.h3.weight, net.output.weight};

	ck_assert_int_eq(ebb_params_elements(p), 9760);
	for (int k = 0; k < 4; k++) {
		double most = 0;

		for (int64_t i = 0; i < ebb_count(weights[k]); i++)
			most = fmax(most, fabs(ebb_at(weights[k], i)));
		ck_assert_double_le(most, 2.4 / fan_in[k] * (1 + 1e-6));
		ck_assert_double_gt(most, 0.9 * 2.4 / fan_in[k]);
	}
	ck_assert_double_eq(ebb_at(net.h2.bias, 7), 0);
	ck_assert_double_eq(ebb_at(net.output.bias, 7), 0);
	ebb_params_free(p);
}
END_TEST

/* The mean squared error with targets of 1 and -1. */
START_TEST(lenet1989_trains_with_its_loss)
{
	enum { N = 8, CLASSES = 10, STEPS = 20 };
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_lenet1989 net = ebb_lenet1989_new(p);
	ebb_optim *o = ebb_sgd(p, .lr = 0.1, .momentum = 0.9);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(N, 1, 16, 16), 1);
	double first = 0, last = 0;

	for (int step = 0; step < STEPS; step++) {
		ebb_tensor *target = ebb_full(t, EBB_SHAPE(N, CLASSES), -1), *loss;
		float *v = ebb_data_mutable(target);

		for (int i = 0; i < N; i++)
			v[i * CLASSES + i] = 1;
		loss = ebb_mse_loss(t, ebb_lenet1989_forward(t, &net, x), target);
		last = ebb_item(loss);
		first = step ? first : last;
		ebb_params_zero_grad(p);
		ebb_backward(t, loss);
		ebb_optim_step(o);
		assert_healthy(t);
		ebb_tape_reset(t);
	}
	ck_assert_double_lt(last, 0.7 * first);
	ebb_optim_free(o);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* ---- Networks of the catalogue --------------------------------------------------------------- */

static const struct {
	const char *name;
	int64_t channels, side, features;
} NETS[] = {
	{"lenet1989", 1, 16, 30},
	{"lenet5", 1, 28, 84},
	{"nin_cifar", 3, 32, 192},
	{"nin", 3, 99, 1024},
	/* These have more than 100 MB of parameters. */
	{"alexnet_original", 3, 63, 4096},
	{"alexnet", 3, 63, 4096},
	{"zfnet", 3, 63, 4096},
	{"vgg11", 3, 32, 4096},
	{"vgg13_bn", 3, 32, 4096},
};
enum { NETS_COUNT = sizeof NETS / sizeof *NETS, SMALL_NETS = 4 };

START_TEST(without_a_head_the_result_are_features)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = ebb_model_new(p, NETS[_i].name, .no_head = true);
	ebb_tensor *y = ebb_model_forward(t, &net,
		ebb_ones(t, EBB_SHAPE(2, NETS[_i].channels, NETS[_i].side, NETS[_i].side)));

	assert_healthy(t);
	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_int_eq(ebb_ndim(y), 2);
	ck_assert_int_eq(ebb_size(y, 0), 2);
	ck_assert_int_eq(ebb_size(y, 1), NETS[_i].features);
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		ck_assert_msg(!ebb_model_in_head(&net, i), "%s", ebb_params_name_at(p, i));
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(cards_say_how_many_parameters_a_network_has)
{
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, NETS[_i].name);

	ck_assert_ptr_nonnull(net.card);
	ck_assert_int_eq(net.card->parameters, ebb_params_elements(p));
	ebb_params_free(p);
}
END_TEST

START_TEST(the_original_alexnet_starts_as_published)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	static const char *const ones[] = {"features.4.bias", "features.10.bias",
		"features.12.bias", "classifier.0.bias", "classifier.3.bias"};
	static const char *const zeros[] = {
		"features.0.bias", "features.8.bias", "classifier.6.bias"};

	ebb_alexnet_new(p, .original = true);
	for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
		ck_assert_double_eq(ebb_at(ebb_params_find(p, ones[i]), 3), 1);
	for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
		ck_assert_double_eq(ebb_at(ebb_params_find(p, zeros[i]), 3), 0);
	ck_assert_double_eq_tol(
		ebb_item(ebb_std(t, ebb_params_find(p, "features.10.weight"))), 0.01, 1e-4);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

/* Stride 32: an image that is 32 pixels larger has 2 x 2 positions. */
START_TEST(overfeat_averages_the_logits_of_all_positions)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_overfeat net = ebb_overfeat_new(p, .classes = 3);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(1, 3, 263, 263), 1), *map, *y;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	map = ebb_sequential_forward(t, net.classifier, ebb_sequential_forward(t, net.features, x));
	y = ebb_overfeat_forward(t, &net, x);
	assert_healthy(t);
	ck_assert_int_eq(ebb_size(map, 1), 3);
	ck_assert_int_eq(ebb_size(map, 2), 2);
	ck_assert_int_eq(ebb_size(map, 3), 2);
	ck_assert_int_eq(ebb_ndim(y), 2);
	for (int k = 0; k < 3; k++) {
		double mean = 0;

		for (int i = 0; i < 4; i++)
			mean += ebb_at(map, 4 * k + i) / 4;
		ck_assert_double_eq_tol(ebb_at(y, k), mean, 1e-6);
	}
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

START_TEST(bad_arguments_are_errors)
{
	static const int depths[] = {0, 12, -11, 20};
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_tensor *digit = ebb_ones(t, EBB_SHAPE(1, 1, 28, 28));
	ebb_lenet1989 zip = ebb_lenet1989_new(p);

	for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
		ebb_vgg vgg = ebb_vgg_new(p, depths[i]);

		ck_assert_ptr_null(vgg.features);
		ck_assert_ptr_nonnull(ebb_params_error(p));
		ck_assert_ptr_nonnull(
			strstr(ebb_params_error(p)->message, "expected 11, 13, 16 or 19"));
		ebb_params_clear_error(p);
	}
	assert_refused(t, EBB_BAD_SHAPE, ebb_lenet1989_forward(t, &zip, digit),
		"early.c:", "[N,1,16,16]", "28");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_lenet1989_forward(t, &zip, ebb_ones(t, EBB_SHAPE(16, 16))), "[N,1,16,16]");
	assert_refused(t, EBB_INVALID, ebb_lenet1989_forward(t, NULL, digit), "NULL");
	assert_refused(
		t, EBB_INVALID, ebb_lenet1989_forward(t, &(ebb_lenet1989){0}, digit), "lenet1989");
	assert_refused(t, EBB_INVALID, ebb_zfnet_forward(t, NULL, digit), "zfnet_forward");
	assert_refused(t, EBB_INVALID, ebb_zfnet_forward(t, &(ebb_zfnet){0}, digit), "NULL");
	assert_refused(t, EBB_INVALID, ebb_overfeat_forward(t, NULL, digit), "overfeat_forward");
	assert_refused(t, EBB_INVALID, ebb_overfeat_forward(t, &(ebb_overfeat){0}, digit), "NULL");
	assert_refused(t, EBB_INVALID, ebb_nin_forward(t, NULL, digit), "nin_forward");
	assert_refused(t, EBB_INVALID, ebb_nin_forward(t, &(ebb_nin){0}, digit), "NULL");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

static void make_lenet1989(ebb_params *p, void *net)
{
	*(ebb_lenet1989 *)net = ebb_lenet1989_new(p);
}

static ebb_tensor *run_lenet1989(ebb_tape *t, const void *net)
{
	return ebb_lenet1989_forward(t, net, ebb_ones(t, EBB_SHAPE(1, 1, 16, 16)));
}

START_TEST(every_allocation_failure_of_lenet1989_is_reported)
{
	ebb_lenet1989 net;

	check_failed_allocations(&(network_calls){make_lenet1989, run_lenet1989}, &net, 1, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-early");
	TCase *c = tcase_create("small"), *large = tcase_create("large");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, maps_of_h2_read_eight_maps_of_h1, 0, 12);
	tcase_add_test(c, the_padding_of_lenet1989_is_background);
	tcase_add_test(c, lenet1989_starts_as_published);
	tcase_add_test(c, lenet1989_trains_with_its_loss);
	tcase_add_loop_test(c, without_a_head_the_result_are_features, 0, SMALL_NETS);
	tcase_add_loop_test(c, cards_say_how_many_parameters_a_network_has, 0, SMALL_NETS);
	tcase_add_test(c, bad_arguments_are_errors);
	tcase_add_test(c, every_allocation_failure_of_lenet1989_is_reported);
	suite_add_tcase(s, c);

	tcase_set_timeout(large, 120);
	tcase_add_loop_test(large, without_a_head_the_result_are_features, SMALL_NETS, NETS_COUNT);
	tcase_add_loop_test(
		large, cards_say_how_many_parameters_a_network_has, SMALL_NETS, NETS_COUNT);
	tcase_add_test(large, the_original_alexnet_starts_as_published);
	tcase_add_test(large, overfeat_averages_the_logits_of_all_positions);
	suite_add_tcase(s, large);
	return run_suite(s);
}
