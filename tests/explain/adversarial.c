/* adversarial.c - attacks equal PyTorch's, keep their bounds, and leave the tape as it was. */
#include "tanh.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double option(const tanh_network *net, const char *norm, const char *name)
{
	char key[40];

	snprintf(key, sizeof key, "%s%s%s", norm, *norm ? "." : "", name);
	ck_assert(ebb_archive_metadata(net->file, key) != NULL);
	return strtod(ebb_archive_metadata(net->file, key), NULL);
}

START_TEST(attacks_equal_pytorchs)
{
	static const char *const norms[] = {"linf", "l2"}, *const kinds[] = {
								   "", ".targeted", ".margin"};
	tanh_network net = network_open();
	double worst = 0;

	for (int n = 0; n < 2; n++)
		for (int k = 0; k < 3; k++) {
			char name[40];
			ebb_tensor *want, *got;

			snprintf(name, sizeof name, "%s%s", norms[n], kinds[k]);
			want = ebb_archive_tensor(net.file, name, EBB_DEFAULT, NULL);
			got = ebb_pgd(tape, scores, &net, net.x, k == 1 ? net.targets : net.labels,
				.eps = option(&net, norms[n], "eps"),
				.step = option(&net, norms[n], "step"),
				.steps = (int)option(&net, "", "steps"),
				.norm = n ? EBB_NORM_L2 : EBB_NORM_LINF, .targeted = k == 1,
				.margin = k == 2, .start = net.start);
			assert_healthy(tape);
			ck_assert(want && !all_same(want, net.x));
			for (int64_t i = 0; i < ebb_count(want); i++)
				worst = fmax(worst, fabs(ebb_at(got, i) - ebb_at(want, i)));
			ck_assert_msg(all_close(got, want, 1e-10), "%s: off by %g", name, worst);
			ebb_tensor_free(want);
		}
	printf("at most %.1e from PyTorch's\n", worst);
	network_close(&net);
}
END_TEST

/* ---- Bounds ---------------------------------------------------------------------------------- */

static double distance(const ebb_tensor *a, const ebb_tensor *b, int64_t image, bool l2)
{
	int64_t size = ebb_count(a) / ebb_size(a, 0);
	double largest = 0, squares = 0;

	for (int64_t i = image * size; i < (image + 1) * size; i++) {
		double d = fabs(ebb_at(a, i) - ebb_at(b, i));

		largest = fmax(largest, d);
		squares += d * d;
	}
	return l2 ? sqrt(squares) : largest;
}

/* An image of LEVELS + 1 values, or of values between these. */
enum { LEVELS = 40 };
static ebb_tensor *levels_of(const ebb_tensor *x, bool on_levels, ebb_dtype dtype)
{
	double v[64];

	ck_assert(ebb_count(x) <= 64);
	for (int64_t i = 0; i < ebb_count(x); i++)
		v[i] = on_levels ? floor(ebb_at(x, i) * LEVELS + 0.5) / LEVELS : ebb_at(x, i);
	return ebb_cast(tape, ebb_from_f64(tape, ebb_shape_of(x), v), dtype);
}

START_TEST(rounded_images_are_levels_within_the_ball)
{
	bool l2 = _i & 1, on_levels = _i & 2, single = _i & 4;
	double eps = l2 ? 0.25 : 3.0 / LEVELS, moved = 0;
	tanh_network net = network_open();
	tanh_network f32 = net;
	ebb_tensor *x = levels_of(net.x, on_levels, single ? EBB_F32 : EBB_F64), *y;
	double reached[5];
	ebb_attack_result result = {.distance = reached};

	if (single) {
		f32.w1 = ebb_cast(tape, net.w1, EBB_F32);
		f32.b1 = ebb_cast(tape, net.b1, EBB_F32);
		f32.w2 = ebb_cast(tape, net.w2, EBB_F32);
		f32.b2 = ebb_cast(tape, net.b2, EBB_F32);
	}
	/* Steps of less than half a level accumulate. */
	y = ebb_pgd(tape, scores, &f32, x, net.labels, .eps = eps, .step = 0.3 / LEVELS,
		.steps = 20, .norm = l2 ? EBB_NORM_L2 : EBB_NORM_LINF, .levels = LEVELS,
		.result = &result);
	assert_healthy(tape);
	ck_assert_int_eq(ebb_dtype_of(y), ebb_dtype_of(x));
	for (int64_t i = 0; i < ebb_count(y); i++) {
		double k = floor(ebb_at(y, i) * LEVELS + 0.5);

		ck_assert(ebb_at(y, i) == (single ? (float)(k / LEVELS) : k / LEVELS));
		ck_assert(ebb_at(y, i) >= 0 && ebb_at(y, i) <= 1);
	}
	for (int64_t i = 0; i < 5; i++) {
		double d = distance(x, y, i, l2);

		ck_assert_double_le(d, eps + 1e-6);
		ck_assert_double_eq_tol(d, reached[i], 1e-6);
		moved = fmax(moved, d);
	}
	ck_assert_double_ge(moved, eps / 2);
	network_close(&net);
}
END_TEST

START_TEST(bounds_hold_without_levels)
{
	bool l2 = _i;
	tanh_network net = network_open();
	ebb_tensor *x = ebb_add_scalar(tape, ebb_mul_scalar(tape, net.x, 2), -1);
	ebb_tensor *y = ebb_pgd(tape, scores, &net, x, net.labels, .eps = 0.3,
		.norm = l2 ? EBB_NORM_L2 : EBB_NORM_LINF, .low = -1, .high = 1);
	double worst = 0;

	assert_healthy(tape);
	for (int64_t i = 0; i < ebb_count(y); i++)
		ck_assert(ebb_at(y, i) >= -1 && ebb_at(y, i) <= 1);
	for (int64_t i = 0; i < 5; i++) {
		ck_assert_double_le(distance(x, y, i, l2), 0.3 + 1e-12);
		worst = fmax(worst, distance(x, y, i, l2));
	}
	ck_assert_double_ge(worst, 0.29);
	/* Infinite bounds: x has other values than in [0,1]. */
	y = ebb_pgd(tape, scores, &net, ebb_mul_scalar(tape, x, 10), net.labels, .eps = 0.3,
		.low = -INFINITY, .high = INFINITY);
	assert_healthy(tape);
	network_close(&net);
}
END_TEST

START_TEST(fgsm_adds_the_sign_of_the_gradient)
{
	tanh_network net = network_open();
	ebb_tensor *x = ebb_variable(tape, net.x), *g, *y;
	ebb_attack_result result = {0};

	ck_assert(ebb_grad(
		tape, ebb_cross_entropy(tape, scores(tape, x, &net), net.labels), 1, &x, &g));
	y = ebb_fgsm(tape, scores, &net, net.x, net.labels, .eps = 0.1, .result = &result);
	assert_healthy(tape);
	ck_assert_int_eq(result.steps, 1);
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double want = ebb_at(x, i) + 0.1 * ((ebb_at(g, i) > 0) - (ebb_at(g, i) < 0));

		ck_assert_double_eq_tol(ebb_at(y, i), fmin(fmax(want, 0), 1), 1e-15);
	}
	network_close(&net);
}
END_TEST

static ebb_tensor *flat(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_mul_scalar(t, ebb_reshape(t, x, EBB_SHAPE(1, 2)), 0);
}

START_TEST(a_zero_gradient_moves_nothing)
{
	const double values[] = {0.25, 0.75};
	ebb_tensor *x = ebb_from_f64(tape, EBB_SHAPE(1, 2), values),
		   *label = ebb_from_i64(tape, EBB_SHAPE(1), &(int64_t){1}), *y;

	y = ebb_pgd(tape, flat, NULL, x, label, .eps = 0.5, .norm = EBB_NORM_L2);
	ck_assert(y && all_same(x, y));
	y = ebb_pgd(tape, flat, NULL, x, label, .eps = 0.5);
	ck_assert(y && all_same(x, y));
	y = ebb_pgd(tape, flat, NULL, x, label, .eps = EBB_ZERO);
	ck_assert(y && all_same(x, y));
	assert_healthy(tape);
}
END_TEST

/* ---- Results, confidence, starts ------------------------------------------------------------- */

START_TEST(results_describe_the_rounded_images)
{
	tanh_network net = network_open();
	bool fooled[5];
	int64_t predicted[5];
	double probability[5], reached[5];
	ebb_attack_result r = {fooled, predicted, probability, reached, 0};
	bool targeted = _i;
	ebb_tensor *labels = targeted ? net.targets : net.labels, *y, *p;
	int successes = 0;

	y = ebb_pgd(tape, scores, &net, net.x, labels, .eps = 0.5, .steps = 30, .levels = 255,
		.targeted = targeted, .result = &r);
	assert_healthy(tape);
	ck_assert_int_eq(r.steps, 30);
	p = ebb_softmax(tape, scores(tape, y, &net), 1);
	for (int i = 0; i < 5; i++) {
		int64_t label = (int64_t)ebb_at(labels, i), best = 0;

		for (int64_t c = 0; c < 4; c++)
			best = ebb_at(p, 4 * i + c) > ebb_at(p, 4 * i + best) ? c : best;
		ck_assert_int_eq(predicted[i], best);
		ck_assert_double_eq_tol(probability[i], ebb_at(p, 4 * i + label), 1e-12);
		ck_assert_int_eq(fooled[i], (best == label) == targeted);
		successes += fooled[i];
	}
	ck_assert_int_ge(successes, targeted ? 1 : 4);
	network_close(&net);
}
END_TEST

START_TEST(images_are_kept_once_they_have_the_confidence)
{
	tanh_network net = network_open();
	double few[5], many[5], probability[5];
	bool fooled[5];
	ebb_attack_result r = {.distance = few, .fooled = fooled, .probability = probability},
			  all = {.distance = many};
	bool targeted = _i;
	ebb_tensor *labels = targeted ? net.targets : net.labels;

	ebb_pgd(tape, scores, &net, net.x, labels, .eps = 0.6, .step = 0.01, .steps = 200,
		.targeted = targeted, .levels = 255, .confidence = 0.6, .result = &r);
	ebb_pgd(tape, scores, &net, net.x, labels, .eps = 0.6, .step = 0.01, .steps = 200,
		.targeted = targeted, .levels = 255, .result = &all);
	assert_healthy(tape);
	ck_assert_int_eq(all.steps, 200);
	for (int i = 0; i < 5; i++) {
		bool done = fooled[i] && (targeted ? probability[i] >= 0.6 : probability[i] <= 0.4);

		ck_assert_msg(done || r.steps == 200, "image %d: %g", i, probability[i]);
		ck_assert_double_le(few[i], many[i] + 1e-12);
	}
	network_close(&net);
}
END_TEST

START_TEST(an_image_that_is_misclassified_stays)
{
	tanh_network net = network_open();
	int64_t predicted[5], wrong[5];
	double one = 1;
	ebb_attack_result r = {.predicted = predicted};
	ebb_tensor *y;

	ebb_pgd(tape, scores, &net, net.x, net.labels, .eps = EBB_ZERO, .steps = 1, .result = &r);
	for (int i = 0; i < 5; i++)
		wrong[i] = (predicted[i] + 1) % 4;
	y = ebb_pgd(tape, scores, &net, net.x, ebb_from_i64(tape, EBB_SHAPE(5), wrong), .eps = one,
		.confidence = 0.01, .result = &r);
	assert_healthy(tape);
	ck_assert_int_eq(r.steps, 0);
	ck_assert(all_same(net.x, y));
	network_close(&net);
}
END_TEST

START_TEST(random_starts_follow_the_seed)
{
	bool l2 = _i;
	tanh_network net = network_open();
	ebb_tensor *y[3];
	double least = INFINITY, largest = 0;

	for (int k = 0; k < 3; k++) {
		ebb_seed(tape, k == 2 ? 8 : 7);
		y[k] = ebb_pgd(tape, scores, &net, net.x, net.labels, .eps = 0.2, .steps = 3,
			.norm = l2 ? EBB_NORM_L2 : EBB_NORM_LINF, .random_start = true);
		assert_healthy(tape);
		for (int i = 0; i < 5; i++)
			ck_assert_double_le(distance(net.x, y[k], i, l2), 0.2 + 1e-12);
	}
	ck_assert(all_same(y[0], y[1]));
	ck_assert(!all_same(y[0], y[2]));
	/* The start itself: a step of length 0. */
	y[0] = ebb_pgd(tape, scores, &net, net.x, net.labels, .eps = 0.2, .steps = 1,
		.step = EBB_ZERO, .norm = l2 ? EBB_NORM_L2 : EBB_NORM_LINF, .random_start = true,
		.low = -9, .high = 9);
	for (int i = 0; i < 5; i++) {
		least = fmin(least, distance(net.x, y[0], i, l2));
		largest = fmax(largest, distance(net.x, y[0], i, l2));
	}
	ck_assert(least > 0.05 && largest < 0.2 && least < largest);
	network_close(&net);
}
END_TEST

/* ---- The tape -------------------------------------------------------------------------------- */

typedef struct bn_network {
	ebb_params *p;
	ebb_conv conv;
	ebb_bn bn;
	ebb_linear fc;
	bool training;
} bn_network;

static ebb_tensor *bn_scores(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	bn_network *net = ctx;

	net->training = net->training || ebb_is_training(t);
	ebb_scope_begin(t, "net");
	x = ebb_bn_relu_forward(t, &net->bn, ebb_conv_forward(t, &net->conv, x), NULL);
	x = ebb_linear_forward(t, &net->fc, ebb_mean(t, x, EBB_AXES(2, 3)));
	return ebb_scope_end(t, x);
}

START_TEST(the_tape_and_the_network_are_as_before)
{
	ebb_tape *t = ebb_tape_new();
	bn_network net = {.p = ebb_params_new(3)};
	ebb_tensor *images = persistent_random(EBB_F32, EBB_SHAPE(4, 3, 6, 6), 5), *x, *v, *y,
		   *loss;
	const int64_t classes[] = {0, 1, 2, 1};
	ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(4), classes);
	uint64_t values, gradients;
	ebb_memory before, after[2];

	net.conv = ebb_conv_new(net.p, "conv", 3, 4, 3);
	net.bn = ebb_bn_new(net.p, "bn", 4);
	net.fc = ebb_linear_new(net.p, "fc", 4, 3);
	ck_assert(ebb_backward(t, ebb_cross_entropy(t, bn_scores(t, images, &net), labels)));
	values = params_hash(net.p);
	gradients = grads_hash(net.p);
	/* A forward pass whose graph is still to be differentiated. */
	v = ebb_variable(t, images);
	ebb_set_training(t, false);
	loss = ebb_cross_entropy(t, bn_scores(t, v, &net), labels);
	ebb_set_training(t, true);
	net.training = false;
	x = ebb_clamp(t, images, 0, 1);
	before = ebb_memory_of(t);
	for (int recording = 0; recording < 2; recording++) {
		ebb_set_recording(t, recording);
		y = ebb_pgd(t, bn_scores, &net, x, labels, .eps = 0.1, .steps = recording ? 9 : 2);
		assert_healthy(t);
		ck_assert(!net.training && ebb_is_training(t));
		ck_assert_int_eq(ebb_is_recording(t), recording);
		ck_assert(!ebb_requires_grad(y) && !all_same(x, y));
		after[recording] = ebb_memory_of(t);
		ck_assert_int_eq(after[recording].nodes, before.nodes);
	}
	/* More steps take no more memory; only the two results are left. */
	ck_assert_uint_eq(after[1].in_use - after[0].in_use, after[0].in_use - before.in_use);
	ck_assert_uint_eq(after[1].peak, after[0].peak + after[0].in_use - before.in_use);
	ck_assert_uint_eq(params_hash(net.p), values);
	ck_assert_uint_eq(grads_hash(net.p), gradients);
	ck_assert(ebb_backward(t, loss) && ebb_grad_of(v));
	ck_assert_uint_ne(grads_hash(net.p), gradients);
	ebb_tape_free(t);
	ebb_tensor_free(images);
	ebb_params_free(net.p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("explain-adversarial");
	TCase *c = tcase_create("adversarial"), *memory = tcase_create("memory");

	tcase_add_checked_fixture(c, begin, finish);
	tcase_add_test(c, attacks_equal_pytorchs);
	tcase_add_loop_test(c, rounded_images_are_levels_within_the_ball, 0, 8);
	tcase_add_loop_test(c, bounds_hold_without_levels, 0, 2);
	tcase_add_test(c, fgsm_adds_the_sign_of_the_gradient);
	tcase_add_test(c, a_zero_gradient_moves_nothing);
	tcase_add_loop_test(c, results_describe_the_rounded_images, 0, 2);
	tcase_add_loop_test(c, images_are_kept_once_they_have_the_confidence, 0, 2);
	tcase_add_test(c, an_image_that_is_misclassified_stays);
	tcase_add_loop_test(c, random_starts_follow_the_seed, 0, 2);
	suite_add_tcase(s, c);
	tcase_set_timeout(memory, 100);
	tcase_add_checked_fixture(memory, debug_off, debug_as_before);
	tcase_add_test(memory, the_tape_and_the_network_are_as_before);
	suite_add_tcase(s, memory);
	return run_suite(s);
}
