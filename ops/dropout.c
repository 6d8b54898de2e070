/* dropout.c - dropout.  The mask is not saved for backward: the gradient draws the same mask again
 * from the counter-based random generator. */
#include "ops/internal.h"

typedef struct dropout_attrs {
	ebb_random random;
	double p;
} dropout_attrs;

static ebb_tensor *apply(ebb_tape *t, ebb_tensor *x, const dropout_attrs *k, const char *site);

/* y = x*mask.  Linear: the gradient is gy*mask, with the mask drawn again from the same random
 * stream. */
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
		RUN(y, dropout, y->count, k->random.seed, k->random.stream, k->p, x->data, y->data);
	ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

ebb_tensor *ebb_dropout_as(
	ebb_tape *t, ebb_tensor *x, ebb_random random, double p, const char *site)
{
	return apply(t, x, &(dropout_attrs){random, p}, site);
}

/* Checks p, and sets *nothing if the op returns x unchanged. */
static bool applies(ebb_tape *t, const char *op, double p, const char *site, bool *nothing)
{
	if (!(p >= 0 && p < 1)) {
		ebb_fail(t, EBB_INVALID, site, "%s: p is %g; it must be at least 0 and below 1", op,
			p);
		return false;
	}
	*nothing = !ebb_is_training(t) || p == 0;
	return true;
}

ebb_tensor *(ebb_dropout)(ebb_tape *t, ebb_tensor *x, double p, const char *site)
{
	dropout_attrs k = {.p = p};
	bool nothing;

	if (!ebb_given(t, x, "dropout", site) || !applies(t, "dropout", p, site, &nothing))
		return NULL;
	if (nothing)
		return ebb_usable(t, x, "dropout", 0, site);
	k.random = ebb_random_next(t);
	return apply(t, x, &k, site);
}

/* ---- Whole channels, whole samples: x times a mask of its first axes ------------------------- */

static const ebb_op MASK = {.name = "dropout_mask", .vjp = ebb_zero_vjp};

/* A mask of x's sizes on the first lead axes and of size 1 on the others: 0 with probability p,
 * else 1/(1-p). */
static ebb_tensor *mask(ebb_tape *t, const ebb_tensor *x, int lead, double p, const char *site)
{
	ebb_call c = ebb_begin(t, &MASK, site, 0, NULL);
	ebb_random r = ebb_random_next(t);
	ebb_shape shape = ebb_shape_of(x);
	ebb_tensor *y;

	for (int i = lead; i < shape.ndim; i++)
		shape.dims[i] = 1;
	y = ebb_new(&c, ebb_dtype_of(x), shape, EBB_ROWS);
	if (y) {
		RUN(y, fill, y->count, 1, y->data);
		RUN(y, dropout, y->count, r.seed, r.stream, p, y->data, y->data);
	}
	return ebb_record(&c, y);
}

static ebb_tensor *drop_whole(
	ebb_tape *t, const ebb_op *op, ebb_tensor *x, int lead, double p, const char *site)
{
	ebb_call c = {.t = t, .op = op, .site = site, .nin = 1, .in = &x};
	char text[240];
	bool nothing;

	if (!ebb_given(t, x, op->name, site) || !ebb_check_real(&c, 0, "x"))
		return NULL;
	if (x->ndim < lead)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "x must be %s, got %s",
			lead == 2 ? "[N,C,..]" : "[N,..]", ebb_describe(x, text, sizeof text));
	if (!applies(t, op->name, p, site, &nothing))
		return NULL;
	if (nothing)
		return ebb_usable(t, x, op->name, 0, site);
	return ebb_mul_or_zero(t, x, mask(t, x, lead, p, site), site);
}

static const ebb_op DROPOUT2D = {.name = "dropout2d"};
static const ebb_op DROP_PATH = {.name = "drop_path"};

ebb_tensor *(ebb_dropout2d)(ebb_tape *t, ebb_tensor *x, double p, const char *site)
{
	return drop_whole(t, &DROPOUT2D, x, 2, p, site);
}

ebb_tensor *(ebb_drop_path)(ebb_tape *t, ebb_tensor *x, double p, const char *site)
{
	return drop_whole(t, &DROP_PATH, x, 1, p, site);
}
