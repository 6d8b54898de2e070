/* The examples of the public headers, in programs that run. */
#include <ebb.h>
#include <stdio.h>

/* ebb.h, after a step. */
static int checked(ebb_tape *t, ebb_params *p, ebb_optim *opt, ebb_loader *loader)
{
	if (!ebb_ok(t, p, opt, loader))
		return fprintf(stderr, "%s\n", ebb_first_error(t, p, opt, loader)->message), 1;
	return 0;
}

/* flow.h, around the training loop; nn.h, a chain of layers. */
static bool probed_training(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_dataset *data = ebb_digits(40, 1, NULL);
	ebb_loader *loader = ebb_loader_new(.data = data, .batch = 20);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.05);
	ebb_batch batch;
	ebb_tensor *y;
	bool ok;

	ebb_sequential *net = ebb_sequential_new(p, "features");
	ebb_sequential_conv(net, 1, 6, 5, .pad = 2);
	ebb_sequential_fn(net, ebb_relu);
	ebb_sequential_maxpool2d(net, .kernel = 2);
	ebb_sequential_fn(net, ebb_flatten);
	ebb_sequential_linear(net, 6 * 14 * 14, 10);

	ebb_probe *probe = ebb_probe_new(t, .scopes = "resnet.layer*", .every = 10);
	ebb_probe *all = ebb_probe_new(t, .every = 1);
	while (ebb_loader_next(loader, &batch)) {
		ebb_tensor *x = batch.images;

		y = ebb_sequential_forward(t, net, x);
		ebb_params_zero_grad(p);
		ebb_backward(t, ebb_cross_entropy(t, y, batch.labels));
		ebb_optim_step(opt);
		ebb_probe_step(probe);
		ebb_probe_step(all);
		if (checked(t, p, opt, loader))
			return false;
		ebb_tape_reset(t);
	}
	ebb_text text = {0};
	ok = ebb_probe_table(all, &text, .bars = true) && text.length > 0;
	ebb_probe_table(probe, &text, .colour = true);
	fputs(text.data, stdout);
	ebb_text_free(&text);
	ebb_probe_free(probe);
	ebb_probe_free(all);
	if (ebb_failed(t))
		fprintf(stderr, "%s\n", ebb_error_message(t));
	ok = ok && !ebb_failed(t) && !ebb_params_error(p) &&
	     ebb_params_find(p, "features.0.weight") && ebb_params_find(p, "features.0.bias");
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_loader_free(loader);
	ebb_dataset_free(data);
	return ok;
}

int main(void)
{
	return probed_training() ? 0 : 1;
}
