/* rules.c - the gradients of ReLU in a deconvnet and in guided backpropagation. */
#include "explain/attribution.h"

#include "ops/ops.h"

/* The rules are vjps, which have no site of their own: the sweep knows it. */
#undef EBB_SITE
#define EBB_SITE NULL

static void deconvnet_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_relu(v->t, v->gy));
}

/* The condition is x > 0, which is y > 0; like ReLU's own, it is a constant for second derivatives. */
static void guided_vjp(ebb_vjp *v)
{
	ebb_tensor *y = ebb_detach(v->t, v->out), *zero = ebb_zeros_like(v->t, y);

	ebb_give(v, 0, ebb_where(v->t, ebb_greater(v->t, y, zero), ebb_relu(v->t, v->gy), zero));
}

static const ebb_rule deconvnet_rule[] = {{.op = "relu", .vjp = deconvnet_vjp}};
static const ebb_rule guided_rule[] = {{.op = "relu", .vjp = guided_vjp, .reads = {EBB_OUT}}};

ebb_rules ebb_deconvnet_rules(void)
{
	return (ebb_rules){.n = 1, .rule = deconvnet_rule};
}

ebb_rules ebb_guided_rules(void)
{
	return (ebb_rules){.n = 1, .rule = guided_rule};
}
