/*
 * The published ResNets for CIFAR-10, loaded by name: how many images of a file they classify
 * correctly.
 *   accuracy WEIGHTS DATA COUNT...
 * WEIGHTS has resnet20-cifar10.safetensors and so on, DATA has test_batch.bin; a COUNT each for 20, 32, 44 and 56
 * layers, from which the result may differ by a few images, because the order of summation decides
 * on them.
 */
#include <ebb.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 200, NETS = 4 };

static const int depths[NETS] = {20, 32, 44, 56};

static double right(ebb_params *p, int depth, ebb_loader *loader, ebb_error *e, const char *weights)
{
	ebb_tape *t = ebb_tape_new();
	ebb_cifar_resnet net = ebb_cifar_resnet_new(p, depth);
	char path[1000];
	ebb_batch batch;
	double count = 0;

	snprintf(path, sizeof path, "%s/resnet%d-cifar10.safetensors", weights, depth);
	ebb_params_load(p, path, .error = e);
	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	while (ebb_ok(t, e, loader, p) && ebb_loader_next(loader, &batch)) {
		ebb_tensor *y = ebb_cifar_resnet_forward(t, &net, batch.images);

		count += ebb_accuracy(y, batch.labels) * (double)batch.count;
		ebb_tape_reset(t);
	}
	if (!ebb_ok(t, e, loader, p))
		fprintf(stderr, "%s\n", ebb_first_error(t, e, loader, p)->message);
	ebb_tape_free(t);
	return count;
}

int main(int argc, char **argv)
{
	ebb_error e = {0};
	ebb_dataset *data = argc == 3 + NETS ? ebb_cifar10(argv[2], EBB_TEST, &e) : NULL;
	ebb_loader *loader = data ? ebb_loader_new(data, BATCH, .mean = {.485, .456, .406},
					    .std = {.229, .224, .225}, .error = &e)
	                          : NULL;
	int passed = 0, failed = 0;
	int slack = data && data->count < 10000 ? 2 : 3;

	if (!loader)
		return fprintf(stderr, "%s\n", e.message), 1;
	for (int i = 0; i < NETS; i++) {
		ebb_params *p = ebb_params_new(1);
		double count = right(p, depths[i], loader, &e, argv[1]),
		       expected = atof(argv[3 + i]);
		bool ok = count >= expected - slack && count <= expected + slack;

		printf("resnet%d: %.0f of %lld right, expected %.0f\n", depths[i], count,
			(long long)data->count, expected);
		passed += ok;
		failed += !ok;
		ebb_params_free(p);
	}
	printf("%d passed, %d failed\n", passed, failed);
	ebb_loader_free(loader);
	ebb_dataset_free(data);
	return failed > 0;
}
