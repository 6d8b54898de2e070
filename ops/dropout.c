/* dropout.c - random zeros.  The mask is drawn again from the counter-based generator, never
 * stored. */
#include "ops/internal.h"

typedef struct dropout_attrs {
	ebb_random random;
	double p;
} dropout_attrs;

static ebb_tensor *apply(ebb_tape *t, ebb_tensor *x, const dropout_attrs *k, const char *site);

/* y = x*mask, mask of the same stream: linear, and its own gradient. */
static void dropout_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, apply(v->t, v->gy, v->attrs, NULL));
}
static const ebb_op DROPOUT = {.name = "dropout", .vjp = dropout_vjp};

static ebb_tensor *apply(ebb_tape *t, ebb_tensor *x, const dropout_attrs *k, const char *site)
{
	ebb_call c = ebb_begin(t, &DROPOUT, site, 1, &x);
	ebb_tensor *y;

	if (!ebb_check_real(&c, 0, "x"))
		return NULL;
	y = ebb_new_like(&c, x);
	if (y)
		KERNELS(y)->dropout(
			y->count, k->random.seed, k->random.stream, k->p, x->data, y->data);
	ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_dropout)(ebb_tape *t, ebb_tensor *x, double p, const char *site)
{
	dropout_attrs k = {.p = p};

	if (!ebb_given(t, x, "dropout", site))
		return NULL;
	if (!(p >= 0 && p < 1))
		return ebb_fail(t, EBB_INVALID, site,
			"dropout: p is %g; it must be at least 0 and below 1", p);
	if (!ebb_is_training(t) || p == 0)
		return ebb_usable(t, x, "dropout", 0, site);
	k.random = ebb_random_next(t);
	return apply(t, x, &k, site);
}
