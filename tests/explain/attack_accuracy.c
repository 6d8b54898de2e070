/*
 * What attacks leave of the accuracy of two networks.
 *   attack_accuracy WEIGHTS CIFAR MNIST COUNT
 * The published ResNet-20 in the folder WEIGHTS, on the first COUNT images of CIFAR/test_batch.bin, by
 * projected gradient descent: at most 1 % right.  A softmax regression that is trained on the files
 * in the folder MNIST, by the fast gradient sign method: at least 99 % of the test images wrong.
 */
#include <ebb.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int passed, failed;

static void expect(bool ok, const char *what)
{
	passed += ok;
	failed += !ok;
	if (!ok)
		printf("FAILED: %s\n", what);
}

static void check_healthy(const ebb_error *e)
{
	if (e)
		fprintf(stderr, "%s\n", e->message);
	if (e)
		exit(1);
}

/* ---- ResNet-20 ------------------------------------------------------------------------------- */

static ebb_tensor *model_scores(ebb_tape *t, ebb_tensor *x, void *net)
{
	return ebb_model_forward(t, net, ebb_model_pixels(t, net, x));
}

/* The number of images whose class has the highest score. */
static int64_t right_of(ebb_tape *t, ebb_model *net, ebb_tensor *x, ebb_tensor *labels)
{
	return llround(ebb_accuracy(model_scores(t, x, net), labels) * (double)ebb_size(x, 0));
}

/* Whether every value is a whole level, in [0,1], and at most eps from x, up to rounding. */
static bool is_bounded(const ebb_tensor *y, const ebb_tensor *x, double eps)
{
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double v = ebb_at(y, i), k = floor(v * 255 + 0.5);

		if (v < 0 || v > 1 || (float)(k / 255) != (float)v ||
			fabs(v - ebb_at(x, i)) > eps + 1e-6)
			return false;
	}
	return true;
}

static void attack_resnet20(const char *weights, const char *cifar, int64_t count)
{
	ebb_error e = {0};
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = ebb_model_new(p, "cifar_resnet20");
	ebb_dataset *data = ebb_cifar10(cifar, EBB_TEST, &e);
	ebb_loader *loader = data ? ebb_loader_new(data, 100, .error = &e) : NULL;
	char path[1000];
	ebb_batch batch;
	int64_t clean = 0, right = 0, images = 0;
	bool bounded = true;

	snprintf(path, sizeof path, "%s/resnet20-cifar10.safetensors", weights);
	ebb_model_load(&net, path, .error = &e);
	check_healthy(ebb_first_error(t, &e, p, loader));
	ebb_set_training(t, false);
	while (images < count && ebb_loader_next(loader, &batch)) {
		bool *fooled = calloc((size_t)batch.count, sizeof *fooled);
		ebb_attack_result result = {.fooled = fooled};
		ebb_tensor *y =
			ebb_pgd(t, model_scores, &net, batch.images, batch.labels, .eps = 8 / 255.0,
				.step = 2 / 255.0, .steps = 40, .levels = 255, .result = &result);
		int64_t missed = batch.count;

		ebb_set_recording(t, false);
		clean += right_of(t, &net, batch.images, batch.labels);
		right += right_of(t, &net, y, batch.labels);
		ebb_set_recording(t, true);
		check_healthy(ebb_first_error(t, &e, p, loader));
		for (int64_t i = 0; i < batch.count; i++)
			missed -= fooled[i];
		expect(missed == right_of(t, &net, y, batch.labels), "result.fooled");
		bounded = bounded && is_bounded(y, batch.images, 8 / 255.0);
		images += batch.count;
		free(fooled);
		ebb_tape_reset(t);
	}
	printf("resnet20: %lld of %lld right, after PGD (8/255, 2/255, 40 steps) %lld\n",
		(long long)clean, (long long)images, (long long)right);
	expect(images >= count, "as many images as asked for");
	expect((double)clean >= 0.99 * (double)images, "at least 99 % right before the attack");
	expect((double)right <= 0.01 * (double)images, "at most 1 % right after the attack");
	expect(bounded, "whole levels within 8/255");
	ebb_loader_free(loader);
	ebb_dataset_free(data);
	ebb_tape_free(t);
	ebb_params_free(p);
}

/* ---- Softmax regression ---------------------------------------------------------------------- */

static ebb_tensor *regression(ebb_tape *t, ebb_tensor *x, void *fc)
{
	return ebb_linear_forward(t, fc, ebb_flatten(t, x));
}

static ebb_loader *mnist(const char *folder, ebb_data_split split, ebb_dataset **data)
{
	ebb_error e = {0};
	ebb_loader *loader;

	*data = ebb_mnist(folder, split, &e);
	loader = *data ? ebb_loader_new(*data, 200, .shuffle = split == EBB_TRAIN, .error = &e)
	               : NULL;
	if (!loader)
		check_healthy(&e);
	return loader;
}

static void attack_regression(const char *folder)
{
	enum { EPOCHS = 5 };
	ebb_dataset *data[2];
	ebb_loader *train = mnist(folder, EBB_TRAIN, &data[0]),
		   *test = mnist(folder, EBB_TEST, &data[1]);
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_linear fc = ebb_linear_new(p, "fc", 28 * 28, 10);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.1, .momentum = 0.9);
	double clean = 0, right = 0;
	ebb_batch batch;

	for (int epoch = 0; epoch < EPOCHS; epoch++)
		while (ebb_loader_next(train, &batch)) {
			ebb_params_zero_grad(p);
			ebb_backward(t, ebb_cross_entropy(
						t, regression(t, batch.images, &fc), batch.labels));
			ebb_optim_step(opt);
			ebb_tape_reset(t);
		}
	while (ebb_loader_next(test, &batch)) {
		ebb_tensor *y =
			ebb_fgsm(t, regression, &fc, batch.images, batch.labels, .eps = 0.25);

		clean += ebb_accuracy(regression(t, batch.images, &fc), batch.labels) *
		         (double)batch.count;
		right += ebb_accuracy(regression(t, y, &fc), batch.labels) * (double)batch.count;
		ebb_tape_reset(t);
	}
	check_healthy(ebb_first_error(t, p, opt, train, test));
	printf("softmax regression of MNIST: %.2f %% wrong, after FGSM (0.25) %.2f %%\n",
		100 - clean / (double)data[1]->count * 100,
		100 - right / (double)data[1]->count * 100);
	expect(clean >= 0.91 * (double)data[1]->count, "at most 9 % wrong before the attack");
	expect(right <= 0.01 * (double)data[1]->count, "at least 99 % wrong after the attack");
	ebb_optim_free(opt);
	ebb_loader_free(train);
	ebb_loader_free(test);
	ebb_dataset_free(data[0]);
	ebb_dataset_free(data[1]);
	ebb_tape_free(t);
	ebb_params_free(p);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "attack_accuracy WEIGHTS CIFAR MNIST COUNT\n");
		return 2;
	}
	attack_resnet20(argv[1], argv[2], strtol(argv[4], NULL, 10));
	attack_regression(argv[3]);
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
