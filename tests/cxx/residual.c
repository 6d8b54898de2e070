/* Residual blocks with batch normalisation, each option of a kind: a number, a list, a struct. */
#include <ebb.h>
#include <stdio.h>

enum { BLOCKS = 3, WIDTH = 8 };

typedef struct {
	ebb_conv conv1, conv2;
	ebb_bn bn1, bn2;
} block;

static block block_new(ebb_params *p)
{
	return (block){
		.conv1 = ebb_conv_new(p, "conv1", WIDTH, WIDTH, 3, .pad = EBB_SAME, .no_bias = true,
			.init = EBB_INIT(EBB_INIT_KAIMING_NORMAL, .fan_out = true)),
		.conv2 = ebb_conv_new(p, "conv2", WIDTH, WIDTH, .kernel_hw = {3, 1},
			.pad_hw = {1, 0}, .no_bias = true),
		.bn1 = ebb_bn_new(p, "bn1", WIDTH, .momentum = 0.2),
		.bn2 = ebb_bn_new(p, "bn2", WIDTH, .init = EBB_INIT(EBB_INIT_CONSTANT, 0.5)),
	};
}

static ebb_tensor *block_forward(ebb_tape *t, const block *b, ebb_tensor *x)
{
	ebb_tensor *h = ebb_relu(t, ebb_bn_forward(t, &b->bn1, ebb_conv_forward(t, &b->conv1, x)));

	return ebb_relu(
		t, ebb_add(t, x, ebb_bn_forward(t, &b->bn2, ebb_conv_forward(t, &b->conv2, h))));
}

int main(void)
{
	static const char *const names[BLOCKS] = {"block0", "block1", "block2"};
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(/* seed */ 1);
	ebb_conv stem =
		ebb_conv_new(p, "stem", 1, WIDTH, 3, .stride_hw = {2, 1}, .pad_tblr = {1, 0, 1, 1});
	ebb_linear head = ebb_linear_new(p, "head", WIDTH, 4);
	ebb_optim *opt = ebb_adamw(p, .lr = 0.01, .betas = {0.9, 0.99}, .eps = 1e-7);
	block blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = block_new(ebb_params_sub(p, names[i]));
	ebb_seed(t, 7);
	for (int step = 0; step < 5; step++) {
		ebb_tensor *x = ebb_conv_forward(t, &stem, ebb_randn(t, EBB_SHAPE(4, 1, 12, 12)));

		for (int i = 0; i < BLOCKS; i++)
			x = block_forward(t, &blocks[i], x);
		x = ebb_mean(t, x, .axes = EBB_AXES(2, 3));
		x = ebb_linear_forward(t, &head, ebb_normalize(t, x, 2, EBB_AXES(1)));
		ebb_tensor *loss = ebb_cross_entropy(
			t, x, ebb_arange(t, 4), .label_smoothing = 0.1, .reduction = EBB_SUM_ALL);

		ebb_params_zero_grad(p);
		ebb_backward(t, loss);
		printf("step %d: loss %.9g, gradient %.9g\n", step, ebb_item(loss),
			ebb_params_grad_norm(p));
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	if (!ebb_ok(t, p, opt))
		return fprintf(stderr, "%s\n", ebb_first_error(t, p, opt)->message), 1;
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	return 0;
}
