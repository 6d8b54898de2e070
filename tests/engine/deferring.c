#include "tests/engine/deferring.h"

#include "tensor/deferred.h"

ebb_tape *tape;

void set_up(void)
{
	tape = ebb_tape_new();
	ebb_defer_products = true;
}

void tear_down(void)
{
	ebb_tape_free(tape);
}

network network_new(ebb_dtype dtype, ebb_shape shape)
{
	network n = {.p = ebb_params_new(1)};

	if (dtype == EBB_F64)
		ebb_params_set_dtype(n.p, dtype);
	n.fc1 = ebb_linear_new(n.p, "fc1", WIDTH, WIDTH);
	n.fc2 = ebb_linear_new(n.p, "fc2", WIDTH, OUT);
	n.x = persistent_random(dtype, shape, 1);
	n.other = persistent_random(dtype, shape, 2);
	return n;
}

void network_free(network *n)
{
	ebb_params_free(n->p);
	ebb_tensor_free(n->x);
	ebb_tensor_free(n->other);
}

network usual(void)
{
	return network_new(EBB_F32, EBB_SHAPE(ROWS, WIDTH));
}

ebb_tensor *loss_of(const network *n, ebb_tensor *x)
{
	ebb_tensor *h = ebb_tanh(tape, ebb_linear_forward(tape, &n->fc1, x));

	return ebb_mean(tape, ebb_square(tape, ebb_linear_forward(tape, &n->fc2, h)));
}

bool is_deferred(const ebb_tensor *w)
{
	ebb_outer_product f;

	return ebb_grad_or_outer_product(w, &f) && f.gy;
}

bool both_deferred(const network *n)
{
	return is_deferred(n->fc1.weight) && is_deferred(n->fc2.weight);
}

void one_sweep(network *n)
{
	ck_assert(ebb_backward(tape, loss_of(n, n->x)));
	ck_assert(both_deferred(n) == ebb_defer_products);
}
