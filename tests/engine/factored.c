#include "tests/engine/factored.h"

#include "tensor/factors.h"

ebb_tape *tape;

void set_up(void)
{
	tape = ebb_tape_new();
	ebb_keep_factors = true;
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
	n.x = stored_random(dtype, shape, 1);
	n.other = stored_random(dtype, shape, 2);
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

bool is_factored(const ebb_tensor *w)
{
	ebb_factors f;

	return ebb_grad_or_factors(w, &f) && f.gy;
}

bool both_factored(const network *n)
{
	return is_factored(n->fc1.weight) && is_factored(n->fc2.weight);
}

void one_sweep(network *n)
{
	ck_assert(ebb_backward(tape, loss_of(n, n->x)));
	ck_assert(both_factored(n) == ebb_keep_factors);
}
