/* Training converges, and its result depends only on the seed. */
#include "kernels/kernels.h"
#include "tests/support/support.h"

#include <math.h>

START_TEST(linear_regression_finds_its_weights)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_linear fit = ebb_linear_new(p, "fit", 3, 1);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.1, .momentum = 0.9);
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(64, 3), 5);
	ebb_tensor *truth = ebb_tensor_new(EBB_F32, EBB_SHAPE(1, 3), false, NULL), *loss;

	ck_assert(ebb_copy_in(truth, (float[]){2, -3, 0.5f}, 12));
	for (int i = 0; i < 300; i++) {
		ebb_tensor *target = ebb_add_scalar(t, ebb_linear(t, x, truth), 1.5);

		loss = ebb_mse_loss(t, ebb_linear_forward(t, &fit, x), target);
		ebb_params_zero_grad(p);
		ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
		ck_assert(ebb_optim_step(opt));
		ebb_tape_reset(t);
	}
	ck_assert(all_close(fit.weight, truth, 1e-3));
	ck_assert(fabs(ebb_at(fit.bias, 0) - 1.5) < 1e-3);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(truth);
}
END_TEST

START_TEST(a_network_learns_xor)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(3);
	ebb_linear hidden = ebb_linear_new(p, "hidden", 2, 8), out = ebb_linear_new(p, "out", 8, 1);
	ebb_optim *opt = ebb_adam(p, .lr = 0.05);
	double loss = 0;

	for (int i = 0; i < 500; i++) {
		ebb_tensor *x = ebb_from_f32(t, EBB_SHAPE(4, 2), (float[]){0, 0, 0, 1, 1, 0, 1, 1});
		ebb_tensor *y = ebb_from_f32(t, EBB_SHAPE(4, 1), (float[]){0, 1, 1, 0});
		ebb_tensor *h = ebb_tanh(t, ebb_linear_forward(t, &hidden, x));
		ebb_tensor *l = ebb_bce_with_logits(t, ebb_linear_forward(t, &out, h), y);

		loss = ebb_item(l);
		ebb_params_zero_grad(p);
		ebb_backward(t, l);
		ck_assert_msg(ebb_optim_step(opt), "%s", ebb_error_message(t));
		ebb_tape_reset(t);
	}
	ck_assert_msg(loss < 0.01, "the loss is still %g", loss);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
}
END_TEST

/* Returns the accuracy on other digits after training. */
static double train_lenet(int64_t images, int epochs, uint64_t *hash)
{
	ebb_dataset *data = ebb_digits(images, 1, NULL), *test = ebb_digits(500, 2, NULL);
	ebb_loader *loader = ebb_loader_new(.data = data, .batch = 50, .shuffle = true, .seed = 1);
	ebb_loader *test_loader = ebb_loader_new(.data = test, .batch = 100);
	ebb_params *p = ebb_params_new(1);
	lenet net = lenet_new(p);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4);
	ebb_tape *t = ebb_tape_new();
	ebb_average accuracy = {0};
	ebb_batch batch;

	for (int epoch = 0; epoch < epochs; epoch++) {
		while (ebb_loader_next(loader, &batch)) {
			ebb_tensor *x = ebb_dropout(t, batch.images, 0.1);
			ebb_tensor *loss =
				ebb_cross_entropy(t, lenet_forward(t, &net, x), batch.labels);

			ebb_params_zero_grad(p);
			ebb_backward(t, loss);
			ck_assert_msg(ebb_optim_step(opt), "%s", ebb_error_message(t));
			ebb_tape_reset(t);
		}
	}
	*hash = params_hash(p);
	ebb_set_recording(t, false);
	ebb_set_training(t, false);
	while (ebb_loader_next(test_loader, &batch)) {
		ebb_tensor *y = lenet_forward(t, &net, batch.images);

		ebb_average_add(&accuracy, ebb_accuracy(y, batch.labels), (double)batch.count);
		ebb_tape_reset(t);
	}
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_loader_free(loader);
	ebb_loader_free(test_loader);
	ebb_dataset_free(data);
	ebb_dataset_free(test);
	return ebb_average_value(&accuracy);
}

START_TEST(lenet_learns_digits)
{
	uint64_t hash;
	double accuracy = train_lenet(2000, 4, &hash);

	ck_assert_msg(accuracy > 0.8, "only %.1f %% of the test digits", 100 * accuracy);
}
END_TEST

START_TEST(threads_do_not_change_the_result)
{
	uint64_t expected, hash;
	double accuracy = train_lenet(200, 1, &expected);

	for (int threads = 1; threads <= 3; threads++) {
		ebb_set_threads(threads);
		ck_assert_double_eq(train_lenet(200, 1, &hash), accuracy);
		ck_assert_msg(hash == expected, "the parameters differ with %d threads", threads);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("training");
	TCase *c = tcase_create("converges");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, linear_regression_finds_its_weights);
	tcase_add_test(c, a_network_learns_xor);
	tcase_add_test(c, lenet_learns_digits);
	tcase_add_test(c, threads_do_not_change_the_result);
	suite_add_tcase(s, c);
	return run_suite(s);
}
