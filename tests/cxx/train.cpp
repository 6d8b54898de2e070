// LeNet-5 on generated digits, as train.c of the README.
#include <cstdio>
#include <ebb.h>

struct lenet {
	ebb_conv conv1, conv2;
	ebb_linear fc1, fc2, fc3;

	explicit lenet(ebb_params *p)
	    : conv1(ebb_conv_new(p, "conv1", 1, 6, 5, ebb::pad = 2)),
	      conv2(ebb_conv_new(p, "conv2", 6, 16, 5)),
	      fc1(ebb_linear_new(p, "fc1", 16 * 5 * 5, 120)),
	      fc2(ebb_linear_new(p, "fc2", 120, 84)), fc3(ebb_linear_new(p, "fc3", 84, 10))
	{
	}

	ebb_tensor *forward(ebb_tape *t, ebb_tensor *x) const
	{
		x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv_forward(t, &conv1, x)), ebb::kernel = 2);
		x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv_forward(t, &conv2, x)), ebb::kernel = 2);
		x = ebb_flatten(t, x);
		x = ebb_relu(t, ebb_linear_forward(t, &fc1, x));
		x = ebb_relu(t, ebb_linear_forward(t, &fc2, x));
		return ebb_linear_forward(t, &fc3, x);
	}
};

int main()
{
	ebb_dataset *digits = ebb_digits(3000, /* seed */ 1, nullptr);
	ebb_loader *loader = ebb_loader_new(digits, ebb::batch = 50, ebb::shuffle = true);
	ebb_params *p = ebb_params_new(/* seed */ 1);
	lenet net(p);
	ebb_optim *opt = ebb_sgd(p, ebb::lr = 0.05, ebb::momentum = 0.9, ebb::weight_decay = 5e-4);
	ebb_tape *t = ebb_tape_new();
	ebb_batch batch;

	for (int epoch = 1; epoch <= 3; epoch++) {
		ebb_average average{}, accuracy{};

		while (ebb_loader_next(loader, &batch)) {
			ebb_tensor *y = net.forward(t, batch.images);
			ebb_tensor *loss = ebb_cross_entropy(t, y, batch.labels);

			ebb_average_add(&average, ebb_item(loss), batch.count);
			ebb_average_add(&accuracy, ebb_accuracy(y, batch.labels), batch.count);
			ebb_params_zero_grad(p);
			ebb_backward(t, loss);
			ebb_optim_step(opt);
			ebb_tape_reset(t); // frees all intermediate results; parameters stay
		}
		std::printf("epoch %d: loss %.3f, %.1f %% right\n", epoch,
			ebb_average_value(&average), 100 * ebb_average_value(&accuracy));
	}
	if (!ebb_ok(t, p, opt, loader))
		return std::fprintf(stderr, "%s\n", ebb_first_error(t, p, opt, loader)->message), 1;
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_loader_free(loader);
	ebb_dataset_free(digits);
}
