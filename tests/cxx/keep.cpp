// Saving and resuming, as keep.c of the README.
#include <cstdio>
#include <ebb.h>

static ebb_sequential *model_new(ebb_params *p)
{
	ebb_sequential *net = ebb_sequential_new(p, "net");

	ebb_sequential_fn(net, ebb_flatten);
	ebb_sequential_linear(net, 28 * 28, 32);
	ebb_sequential_fn(net, ebb_relu);
	ebb_sequential_linear(net, 32, 10);
	return net;
}

int main()
{
	const int epochs = 2;
	ebb_error e{};
	ebb_dataset *digits = ebb_digits(1000, /* seed */ 1, &e);
	ebb_loader *loader =
		ebb_loader_new(digits, ebb::batch = 50, ebb::shuffle = true, ebb::error = &e);
	ebb_params *p = ebb_params_new(/* seed */ 1), *q = ebb_params_new(/* seed */ 2);
	ebb_sequential *net = model_new(p);
	ebb_optim *opt = ebb_adam(p, ebb::lr = 0.01);
	ebb_tape *t = ebb_tape_new();
	ebb_batch batch;

	ebb_saver *saver =
		ebb_saver_new("run.safetensors", ebb::background = true, ebb::error = &e);
	ebb_saver_add(saver, "model", p);
	ebb_saver_add(saver, "optimizer", opt);
	ebb_saver_add(saver, "loader", loader);
	ebb_saver_add(saver, "tape", t);
	int64_t step = ebb_saver_resume(saver);
	if (!ebb_ok(&e, t, p, opt, loader, saver))
		return std::fprintf(stderr, "%s\n",
			       ebb_first_error(&e, t, p, opt, loader, saver)->message),
		       1;
	std::printf("%s\n", step < 0 ? "from the beginning" : "resumed");

	for (int64_t epoch = ebb_loader_epoch(loader); epoch < epochs; epoch++)
		while (ebb_loader_next(loader, &batch)) {
			ebb_tensor *y = ebb_sequential_forward(t, net, batch.images);

			ebb_params_zero_grad(p);
			ebb_backward(t, ebb_cross_entropy(t, y, batch.labels));
			ebb_optim_step(opt);
			ebb_tape_reset(t);
			step = ebb_optim_steps(opt);
			if (step % 10 == 0)
				ebb_saver_save(saver, step);
		}
	ebb_saver_wait(saver);
	std::printf("%lld steps\n", static_cast<long long>(step));

	ebb_params_save(p, "digits.safetensors");
	model_new(q);
	ebb_params_load(q, "digits.safetensors");
	if (!ebb_ok(&e, t, p, q, opt, loader, saver))
		return std::fprintf(stderr, "%s\n",
			       ebb_first_error(&e, t, p, q, opt, loader, saver)->message),
		       1;
	ebb_saver_free(saver);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_loader_free(loader);
	ebb_dataset_free(digits);
}
