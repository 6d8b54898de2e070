/* The call sites in errors.  sites.cpp has the same calls at the same lines. */
#include <ebb.h>
#include <stdio.h>

static void show(ebb_tape *t)
{
	puts(ebb_error_message(t));
	ebb_clear_error(t);
}

int main(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_error e = {0};
	ebb_linear fc = ebb_linear_new(p, "fc", 3, 4);
	ebb_sequential *net = ebb_sequential_new(p, "net");
	ebb_tensor *x = ebb_zeros(t, EBB_SHAPE(2, 5));

	ebb_add(t, x, ebb_zeros(t, EBB_SHAPE(3)));
	show(t);
	ebb_sum(t, x, .axes = EBB_AXES(7));
	show(t);
	ebb_linear(t, x, fc.weight, fc.bias);
	show(t);
	ebb_linear_forward(t, &fc, x);
	show(t);
	ebb_sequential_fn(net, ebb_relu);
	ebb_sequential_linear(net, 3, 4);
	ebb_sequential_forward(t, net, x);
	show(t);
	ebb_conv_new(p, "conv", 3, 4, 5, .groups = 2);
	puts(ebb_params_error(p)->message);
	ebb_params_clear_error(p);
	ebb_sgd(p, .lr = -1);
	puts(ebb_params_error(p)->message);
	ebb_archive_read("there-is-no-such-file", .error = &e);
	puts(e.message);
	ebb_tape_free(t);
	ebb_params_free(p);
	return 0;
}
