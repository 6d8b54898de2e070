// Residual blocks with batch normalisation, as residual.c.
#include <cstdio>
#include <ebb.h>
#include <string>
#include <vector>

static const int BLOCKS = 3, WIDTH = 8;

struct block {
	ebb_conv conv1, conv2;
	ebb_bn bn1, bn2;

	explicit block(ebb_params *p)
	    : conv1(ebb_conv_new(p, "conv1", WIDTH, WIDTH, 3, ebb::pad = EBB_SAME,
		      ebb::no_bias = true,
		      ebb::init = EBB_INIT(EBB_INIT_KAIMING_NORMAL, ebb::fan_out = true))),
	      conv2(ebb_conv_new(p, "conv2", WIDTH, WIDTH, ebb::kernel_hw = {3, 1},
		      ebb::pad_hw = {1, 0}, ebb::no_bias = true)),
	      bn1(ebb_bn_new(p, "bn1", WIDTH, ebb::momentum = 0.2)),
	      bn2(ebb_bn_new(p, "bn2", WIDTH, ebb::init = EBB_INIT(EBB_INIT_CONSTANT, 0.5)))
	{
	}

	ebb_tensor *forward(ebb_tape *t, ebb_tensor *x) const
	{
		ebb_tensor *h =
			ebb_relu(t, ebb_bn_forward(t, &bn1, ebb_conv_forward(t, &conv1, x)));

		return ebb_relu(
			t, ebb_add(t, x, ebb_bn_forward(t, &bn2, ebb_conv_forward(t, &conv2, h))));
	}
};

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(/* seed */ 1);
	ebb_conv stem = ebb_conv_new(
		p, "stem", 1, WIDTH, 3, ebb::stride_hw = {2, 1}, ebb::pad_tblr = {1, 0, 1, 1});
	ebb_linear head = ebb_linear_new(p, "head", WIDTH, 4);
	ebb_optim *opt = ebb_adamw(p, ebb::lr = 0.01, ebb::betas = {0.9, 0.99}, ebb::eps = 1e-7);
	std::vector<block> blocks;

	for (int i = 0; i < BLOCKS; i++)
		blocks.emplace_back(ebb_params_sub(p, ("block" + std::to_string(i)).c_str()));
	ebb_seed(t, 7);
	for (int step = 0; step < 5; step++) {
		ebb_tensor *x = ebb_conv_forward(t, &stem, ebb_randn(t, EBB_SHAPE(4, 1, 12, 12)));

		for (const block &b : blocks)
			x = b.forward(t, x);
		x = ebb_mean(t, x, ebb::axes = EBB_AXES(2, 3));
		x = ebb_linear_forward(t, &head, ebb_normalize(t, x, 2, EBB_AXES(1)));
		ebb_tensor *loss = ebb_cross_entropy(t, x, ebb_arange(t, 4),
			ebb::label_smoothing = 0.1, ebb::reduction = EBB_SUM_ALL);

		ebb_params_zero_grad(p);
		ebb_backward(t, loss);
		std::printf("step %d: loss %.9g, gradient %.9g\n", step, ebb_item(loss),
			ebb_params_grad_norm(p));
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	if (!ebb_ok(t, p, opt))
		return std::fprintf(stderr, "%s\n", ebb_first_error(t, p, opt)->message), 1;
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
}
