/* squeezenet.c - SqueezeNet has torchvision's names, shapes and initial values, and with published
 * weights the reference's logits.  PRETRAINED is the directory of the weights. */
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define WEIGHTS PRETRAINED "/squeezenet1_0-deepcompression.safetensors"
#define PROBE PRETRAINED "/squeezenet1_0-probe.safetensors"

/* The hash is FNV-1a over "name[sizes]\n" of torchvision's named_parameters(). */
static const struct {
	const char *name;
	int version;
	int64_t elements;
	uint64_t hash;
} EXPECTED[] = {
	{"squeezenet1_0", 10, 1248424, 0x3aef91aaf1617937},
	{"squeezenet1_1", 11, 1235496, 0xd8b1f7bc0d2adfde},
};

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

START_TEST(names_and_shapes_are_torchvisions_and_every_parameter_has_a_gradient)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_squeezenet net = ebb_squeezenet_new(p, EXPECTED[_i].version, .dropout = EBB_ZERO);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, 3, 67, 67), 7);
	ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(2), (int64_t[]){3, 7}), *y;
	uint64_t hash = 14695981039346656037u;
	char size[30];

	ck_assert_ptr_null(ebb_params_error(p));
	ck_assert_int_eq(ebb_params_count(p), 52);
	ck_assert_int_eq(ebb_params_elements(p), EXPECTED[_i].elements);
	ck_assert_int_eq(ebb_buffers_count(p), 0);
	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		hash = hash_text(hash, ebb_params_name_at(p, i));
		for (int k = 0; k < ebb_ndim(ebb_params_at(p, i)); k++) {
			snprintf(size, sizeof size, "%c%lld", k ? ',' : '[',
				(long long)ebb_size(ebb_params_at(p, i), k));
			hash = hash_text(hash, size);
		}
		hash = hash_text(hash, "]\n");
	}
	ck_assert_uint_eq(hash, EXPECTED[_i].hash);

	y = ebb_squeezenet_forward(t, &net, x);
	ck_assert(ebb_ndim(y) == 2 && ebb_size(y, 0) == 2 && ebb_size(y, 1) == 1000);
	ck_assert_msg(ebb_backward(t, ebb_cross_entropy(t, y, labels)), "%s", ebb_error_message(t));
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		ck_assert_msg(ebb_item(ebb_norm(t, ebb_grad_of(ebb_params_at(p, i)))) > 0,
			"%s has no gradient", ebb_params_name_at(p, i));
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_params_free(p);
}
END_TEST

START_TEST(the_catalogue_knows_its_head_and_its_weights)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = ebb_model_new(p, EXPECTED[_i].name, .classes = 7);
	ebb_model body =
		ebb_model_new(ebb_params_sub(p, "body"), EXPECTED[_i].name, .no_head = true);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(1, 3, 67, 67), 7), *y;

	ck_assert_ptr_nonnull(net.card);
	ck_assert_int_eq(net.card->parameters, EXPECTED[_i].elements);
	ck_assert_int_eq(ebb_size(ebb_params_find(p, "classifier.1.weight"), 0), 7);
	ck_assert_int_eq(ebb_params_count(body.p), 50);
	y = ebb_model_forward(t, &body, x);
	ck_assert_msg(y && ebb_ndim(y) == 2 && ebb_size(y, 1) == 512, "%s", ebb_error_message(t));
	y = ebb_model_forward(t, &net, x);
	ck_assert(ebb_size(y, 1) == 7);
	ck_assert_int_eq(ebb_model_freeze_body(&net), 2);
	ck_assert_int_eq(net.card->weights[0].preprocess.crop, 224);
	if (_i == 0) {
		const ebb_model_weights *second = &net.card->weights[1];

		ck_assert_int_eq(net.card->weights_count, 2);
		ck_assert(second->preprocess.bgr && second->preprocess.squash);
		ck_assert(second->preprocess.crop == 227 && second->preprocess.scale == 1);
	}
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_params_free(p);
}
END_TEST

START_TEST(initial_values_are_torchvisions)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();

	ebb_squeezenet_new(p);
	/* Kaiming uniform has the deviation sqrt(2/fan_in) and the bound sqrt(6/fan_in). */
	ebb_tensor *w = ebb_params_find(p, "features.12.expand3x3.weight");
	double fan = 64 * 9;
	ck_assert_double_eq_tol(ebb_item(ebb_std(t, w)), sqrt(2 / fan), 1e-3);
	ck_assert_double_le(ebb_item(ebb_max(t, w)), sqrt(6 / fan));
	w = ebb_params_find(p, "classifier.1.weight");
	ck_assert_double_eq_tol(ebb_item(ebb_std(t, w)), 0.01, 1e-4);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "classifier.1.bias"), 5), 0);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "features.0.bias"), 5), 0);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(bad_calls_are_errors)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_squeezenet net = ebb_squeezenet_new(p, 12);

	ck_assert_ptr_nonnull(strstr(ebb_params_error(p)->message, "version 12, expected 10"));
	assert_refused(t, EBB_INVALID,
		ebb_squeezenet_forward(t, &net, ebb_ones(t, EBB_SHAPE(1, 3, 67, 67))),
		"squeezenet.c:");
	assert_refused(t, EBB_INVALID, ebb_squeezenet_forward(t, NULL, NULL), "squeezenet.c:");
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

START_TEST(pretrained_logits_match_the_probes)
{
	ebb_error e = {0};
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = ebb_model_new(p, "squeezenet1_0");
	ebb_archive *probe = ebb_archive_read(PROBE, .error = &e);
	ebb_tensor *x = ebb_archive_tensor(probe, "input", EBB_DEFAULT, &e);
	ebb_tensor *expected = ebb_archive_tensor(probe, "logits", EBB_DEFAULT, &e), *y;
	double worst = 0;

	ck_assert_msg(x && expected && ebb_model_load(&net, WEIGHTS, .error = &e), "%s", e.message);
	/* As the file's metadata say. */
	ck_assert(net.preprocess.bgr && net.preprocess.squash && net.preprocess.crop == 227);
	ck_assert_int_eq(((const ebb_squeezenet *)net.net)->classifier.pad, 1);
	ebb_set_training(t, false);
	y = ebb_model_forward(t, &net, x);
	ck_assert_int_eq(ebb_count(y), ebb_count(expected));
	for (int64_t i = 0; i < ebb_count(y); i++)
		worst = fmax(worst, fabs(ebb_at(y, i) - ebb_at(expected, i)));
	printf("SqueezeNet's logits differ by %.1e\n", worst);
	ck_assert_double_le(worst, 1e-3);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(expected);
	ebb_archive_free(probe);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nn-squeezenet");
	TCase *c = tcase_create("squeezenet");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(
		c, names_and_shapes_are_torchvisions_and_every_parameter_has_a_gradient, 0, 2);
	tcase_add_loop_test(c, the_catalogue_knows_its_head_and_its_weights, 0, 2);
	tcase_add_test(c, initial_values_are_torchvisions);
	tcase_add_test(c, bad_calls_are_errors);
	if (access(WEIGHTS, R_OK) == 0 && access(PROBE, R_OK) == 0)
		tcase_add_test(c, pretrained_logits_match_the_probes);
	else
		printf("skipped: the published weights, because there is no %s\n", WEIGHTS);
	suite_add_tcase(s, c);
	return run_suite(s);
}
