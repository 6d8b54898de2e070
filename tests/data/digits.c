/* Generated digits: determinism, balance, legible strokes, and their difficulty. */
#include "data/internal.h"
#include "kernels/kernels.h"
#include "tests/support/support.h"

#include <string.h>

START_TEST(strokes_stay_inside_the_unit_square)
{
	for (int digit = 0; digit < 10; digit++) {
		ck_assert_int_ge(ebb_digit_hands(digit), 4);
		for (int hand = 0; hand < ebb_digit_hands(digit); hand++) {
			float low = 1, high = 0;
			ebb_ink ink;

			ebb_digit_trace(digit, hand, &ink);
			ck_assert_int_ge(ink.count, 7);
			ck_assert_int_lt(ink.count, EBB_MAX_INK);
			ck_assert(ink.at[0].start);
			for (int i = 0; i < ink.count; i++) {
				float x = ink.at[i].x, y = ink.at[i].y;

				ck_assert_msg(x > 0.1f && x < 0.9f && y > 0 && y < 1,
					"%d, hand %d, point %d: %g, %g", digit, hand, i, (double)x,
					(double)y);
				low = y < low ? y : low;
				high = y > high ? y : high;
			}
			ck_assert_msg(high - low > 0.75f, "%d, hand %d: from %g to %g", digit, hand,
				(double)low, (double)high);
		}
	}
}
END_TEST

START_TEST(an_image_depends_on_seed_and_index_only)
{
	ebb_dataset *d = ebb_digits(200, 3, NULL), *shorter = ebb_digits(77, 3, NULL),
		    *other = ebb_digits(200, 4, NULL);
	ebb_dataset *single;
	int threads = ebb_threads();

	ebb_set_threads(1);
	single = ebb_digits(200, 3, NULL);
	ebb_set_threads(threads);
	ck_assert(all_same(d->images, single->images) && all_same(d->labels, single->labels));
	ck_assert_mem_eq(ebb_data(d->images), ebb_data(shorter->images), 77 * 784);
	ck_assert_mem_eq(ebb_data(d->labels), ebb_data(shorter->labels), 77 * sizeof(int64_t));
	ck_assert(!all_same(d->images, other->images) && !all_same(d->labels, other->labels));
	ebb_dataset_free(d);
	ebb_dataset_free(shorter);
	ebb_dataset_free(other);
	ebb_dataset_free(single);
}
END_TEST

START_TEST(digits_are_balanced_and_varied)
{
	ebb_dataset *d = ebb_digits(1000, 1, NULL);
	const uint8_t *x = ebb_data(d->images);
	int times[10] = {0}, in_order = 0;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];

	ck_assert(d->count == 1000 && d->classes == 10);
	for (int i = 0; i < 1000; i++) {
		int label = (int)ebb_at(d->labels, i), brightest = 0;

		times[label]++;
		in_order += label == i % 10;
		for (int k = 0; k < 784; k++)
			brightest = x[i * 784 + k] > brightest ? x[i * 784 + k] : brightest;
		ck_assert_int_gt(brightest, 100);
		ck_assert(i == 0 || memcmp(x + i * 784, x + (i - 1) * 784, 784) != 0);
	}
	for (int k = 0; k < 10; k++)
		ck_assert_int_eq(times[k], 100);
	ck_assert_int_gt(in_order, 50);
	ck_assert_int_lt(in_order, 170);
	ck_assert(ebb_dataset_moments(d, mean, std));
	ck_assert(mean[0] > 0.08 && mean[0] < 0.3 && std[0] > 0.15 && std[0] < 0.35);
	ebb_dataset_free(d);
}
END_TEST

START_TEST(invalid_counts_are_refused)
{
	ebb_error e = {0};

	ck_assert(!ebb_digits(0, 1, &e) && e.status == EBB_INVALID);
	e = (ebb_error){0};
	ck_assert(!ebb_digits(INT64_MAX / 100, 1, &e) && e.status == EBB_BAD_SHAPE);
	ck_assert(!ebb_digits(-5, 1, NULL));
}
END_TEST

static ebb_tensor *linear_forward(ebb_tape *t, const void *net, ebb_tensor *x)
{
	return ebb_linear_forward(t, net, ebb_flatten(t, x));
}

static ebb_tensor *net_forward(ebb_tape *t, const void *net, ebb_tensor *x)
{
	return lenet_forward(t, net, x);
}

/* Trains with SGD and one learning-rate cycle; returns the accuracy on other digits. */
static double train(ebb_params *p, const void *net,
	ebb_tensor *(*forward)(ebb_tape *, const void *, ebb_tensor *), int64_t images, int epochs,
	double lr)
{
	ebb_dataset *data = ebb_digits(images, 1, NULL), *test = ebb_digits(2000, 2, NULL);
	ebb_loader *loader =
		ebb_loader_new(data, 50, .shuffle = true, .seed = 1, .mean = {0.17}, .std = {0.24});
	ebb_loader *test_loader = ebb_loader_new(test, 200, .mean = {0.17}, .std = {0.24});
	ebb_optim *opt = ebb_sgd(p, .lr = lr, .momentum = 0.9);
	ebb_tape *t = ebb_tape_new();
	ebb_average accuracy = {0};
	int64_t step = 0, steps = epochs * ebb_loader_batches(loader);
	ebb_batch batch;

	for (int epoch = 0; epoch < epochs; epoch++) {
		while (ebb_loader_next(loader, &batch)) {
			ebb_tensor *loss =
				ebb_cross_entropy(t, forward(t, net, batch.images), batch.labels);

			ebb_optim_set_lr(opt, lr * ebb_schedule_one_cycle(step++, steps, 0, 0, 0));
			ebb_params_zero_grad(p);
			ebb_backward(t, loss);
			ebb_optim_step(opt);
			ebb_tape_reset(t);
		}
	}
	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	while (ebb_loader_next(test_loader, &batch)) {
		ebb_average_add(&accuracy,
			ebb_accuracy(forward(t, net, batch.images), batch.labels),
			(double)batch.count);
		ebb_tape_reset(t);
	}
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_loader_free(loader);
	ebb_loader_free(test_loader);
	ebb_dataset_free(data);
	ebb_dataset_free(test);
	return ebb_average_value(&accuracy);
}

START_TEST(a_linear_model_stays_below_90_percent)
{
	ebb_params *p = ebb_params_new(1);
	ebb_linear fc = ebb_linear_new(p, "fc", 784, 10);
	double accuracy = train(p, &fc, linear_forward, 10000, 4, 0.01);

	printf("linear: %.4f\n", accuracy);
	ck_assert_msg(accuracy > 0.7 && accuracy < 0.9, "accuracy %g", accuracy);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_lenet_exceeds_97_percent)
{
	ebb_params *p = ebb_params_new(1);
	lenet net = lenet_new(p);
	double accuracy = train(p, &net, net_forward, 10000, 3, 0.04);

	printf("lenet: %.4f\n", accuracy);
	ck_assert_msg(accuracy > 0.97, "accuracy %g", accuracy);
	ebb_params_free(p);
}
END_TEST

int main(int argc, char **argv)
{
	bool slow = argc > 1 && strcmp(argv[1], "difficulty") == 0;
	Suite *s = suite_create(slow ? "data-difficulty" : "data-digits");
	TCase *c = tcase_create("digits");

	tcase_set_timeout(c, 120);
	if (slow) {
		tcase_add_test(c, a_linear_model_stays_below_90_percent);
		tcase_add_test(c, a_lenet_exceeds_97_percent);
	} else {
		tcase_add_test(c, strokes_stay_inside_the_unit_square);
		tcase_add_test(c, an_image_depends_on_seed_and_index_only);
		tcase_add_test(c, digits_are_balanced_and_varied);
		tcase_add_test(c, invalid_counts_are_refused);
	}
	suite_add_tcase(s, c);
	return run_suite(s);
}
