/* loss.c - elementwise losses, and the reductions and weights that all losses use. */
#include "ops/internal.h"

/* ---- Reductions ------------------------------------------------------------------------------ */

ebb_tensor *ebb_reduced(ebb_tape *t, ebb_tensor *loss, ebb_reduction r, const char *site)
{
	if (r == EBB_NONE)
		return loss;
	if (r == EBB_SUM_ALL)
		return (ebb_sum)(&(ebb_reduce_args){t, loss, {0, {0}}, false, site});
	return (ebb_mean)(&(ebb_reduce_args){t, loss, {0, {0}}, false, site});
}

bool ebb_known_reduction(ebb_tape *t, ebb_reduction r, const char *op, const char *site)
{
	if (r == EBB_MEAN || r == EBB_SUM_ALL || r == EBB_NONE)
		return true;
	if (r == EBB_BATCH_MEAN)
		ebb_fail(t, EBB_INVALID, site, "%s: EBB_BATCH_MEAN is a reduction of kl_div only",
			op);
	else
		ebb_fail(t, EBB_INVALID, site, "%s: reduction %d is not an ebb_reduction", op,
			(int)r);
	return false;
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* counted(w, x) is x, but 0 where w is 0 and x is infinite or NaN.  In the gradient of w*counted(w,
 * x), 0*infinity is likewise 0. */
static void counted_vjp(ebb_vjp *v);
static const ebb_op COUNTED = {.name = "counted",
	.vjp = counted_vjp,
	.reads = {0, EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true};

static void counted_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 1))
		ebb_give(v, 1,
			ebb_binary(v->t, &COUNTED, EBB_BINARY_counted, v->in[0], v->gy, 0, NULL));
}

ebb_tensor *ebb_weighted(ebb_tape *t, ebb_tensor *w, ebb_tensor *x, const char *site)
{
	return (ebb_mul)(t, w, ebb_binary(t, &COUNTED, EBB_BINARY_counted, w, x, 0, site), site);
}

/* ---- Elementwise losses ---------------------------------------------------------------------- */

static bool operands_fit(const ebb_loss_args *a, const char *op)
{
	char b1[240], b2[240];

	if (!ebb_given(a->t, a->x, op, a->site))
		return false;
	if (!a->target) {
		ebb_fail(a->t, EBB_INVALID, a->site, "%s: input 1 is NULL", op);
		return false;
	}
	if (!ebb_is_real(a->x)) {
		ebb_fail(a->t, EBB_BAD_DTYPE, a->site, "%s: x must be F32 or F64, got %s", op,
			ebb_describe(a->x, b1, sizeof b1));
		return false;
	}
	if (ebb_same_shape(a->x, a->target) && a->x->dtype == a->target->dtype)
		return true;
	ebb_fail(a->t, EBB_BAD_SHAPE, a->site, "%s: x is %s, target is %s", op,
		ebb_describe(a->x, b1, sizeof b1), ebb_describe(a->target, b2, sizeof b2));
	return false;
}

static bool same_shape(const ebb_loss_args *a, const char *op)
{
	return operands_fit(a, op) && ebb_known_reduction(a->t, a->reduction, op, a->site);
}

ebb_tensor *(ebb_mse_loss)(const ebb_loss_args *a)
{
	if (!same_shape(a, "mse_loss"))
		return NULL;
	return ebb_reduced(a->t,
		(ebb_square)(a->t, (ebb_sub)(a->t, a->x, a->target, a->site), a->site),
		a->reduction, a->site);
}

/* bce_slope(x, target) = sigmoid(x) - target, the derivative of binary cross-entropy.  Its own
 * derivative by x is sigmoid(x)*sigmoid(-x). */
static void bce_slope_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;

	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_mul(t, v->gy, ebb_sigmoid_slope(t, v->in[0])));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_neg(t, v->gy));
}
static const ebb_op BCE_SLOPE = {.name = "bce_slope",
	.vjp = bce_slope_vjp,
	.reads = {EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED}};

static void bce_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *x = v->in[0];

	if (ebb_wants(v, 0)) {
		ebb_tensor *slope =
			ebb_binary(t, &BCE_SLOPE, EBB_BINARY_bce_slope, x, v->in[1], 0, NULL);

		ebb_give(v, 0, ebb_mul(t, v->gy, slope));
	}
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_neg(t, ebb_mul(t, v->gy, x)));
}
static const ebb_op BCE = {.name = "bce_with_logits",
	.vjp = bce_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true};

ebb_tensor *(ebb_bce_with_logits)(const ebb_loss_args *a)
{
	if (!same_shape(a, "bce_with_logits"))
		return NULL;
	return ebb_reduced(a->t,
		ebb_binary(a->t, &BCE, EBB_BINARY_bce, a->x, a->target, 0, a->site), a->reduction,
		a->site);
}

ebb_tensor *(ebb_l1_loss)(const ebb_loss_args *a)
{
	if (!same_shape(a, "l1_loss"))
		return NULL;
	return ebb_reduced(a->t,
		(ebb_abs)(a->t, (ebb_sub)(a->t, a->x, a->target, a->site), a->site), a->reduction,
		a->site);
}

/* huber(d) has the derivative d, clamped to [-delta,delta]. */
static void huber_vjp(ebb_vjp *v)
{
	double delta = ebb_constants_of(v)->a;

	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_clamp(v->t, v->in[0], -delta, delta)));
}
static const ebb_op HUBER = {
	.name = "huber_loss", .vjp = huber_vjp, .reads = {EBB_IN(0)}, .gy_strided = true};

ebb_tensor *(ebb_huber_loss)(const ebb_huber_loss_args *a)
{
	ebb_loss_args plain = {a->t, a->x, a->target, a->reduction, a->site};
	double delta = ebb_option(a->delta, 1.0);
	ebb_tensor *d;

	if (!same_shape(&plain, "huber_loss"))
		return NULL;
	if (!(delta > 0))
		return ebb_fail(a->t, EBB_INVALID, a->site,
			"huber_loss: delta is %g; it must be above 0", delta);
	d = (ebb_sub)(a->t, a->x, a->target, a->site);
	d = ebb_unary(a->t, &HUBER, EBB_UNARY_huber, d, &(ebb_constants){delta, 0}, a->site);
	return ebb_reduced(a->t, d, a->reduction, a->site);
}

/* target*(log target - x).  Where target is 0, log 1 - 0 is computed instead, so that the value and
 * the derivatives are 0 even for x = -inf. */
static ebb_tensor *divergence(ebb_tape *t, ebb_tensor *x, ebb_tensor *target, const char *site)
{
	ebb_tensor *one = ebb_linear_full_like(t, target, 1, site),
		   *zero = ebb_linear_full_like(t, x, 0, site);
	ebb_tensor *some = (ebb_not_equal)(t, (ebb_detach)(t, target, site), zero, site), *y;

	y = (ebb_log)(t, (ebb_where)(t, some, target, one, site), site);
	y = (ebb_sub)(t, y, (ebb_where)(t, some, x, zero, site), site);
	return (ebb_mul)(t, target, y, site);
}

ebb_tensor *(ebb_kl_div)(const ebb_kl_div_args *a)
{
	ebb_loss_args plain = {a->t, a->x, a->target, a->reduction, a->site};
	bool batch = a->reduction == EBB_BATCH_MEAN;
	ebb_tensor *y;
	char text[240];

	if (!operands_fit(&plain, "kl_div") ||
		(!batch && !ebb_known_reduction(a->t, a->reduction, "kl_div", a->site)))
		return NULL;
	if (batch && a->x->ndim == 0)
		return ebb_fail(a->t, EBB_BAD_SHAPE, a->site,
			"kl_div: EBB_BATCH_MEAN divides by the size of axis 0, got %s",
			ebb_describe(a->x, text, sizeof text));
	if (a->log_target)
		y = ebb_weighted(a->t, (ebb_exp)(a->t, a->target, a->site),
			(ebb_sub)(a->t, a->target, a->x, a->site), a->site);
	else
		y = divergence(a->t, a->x, a->target, a->site);
	y = ebb_reduced(a->t, y, batch ? EBB_SUM_ALL : a->reduction, a->site);
	return batch ? (ebb_mul_scalar)(a->t, y, 1.0 / (double)a->x->shape[0], a->site) : y;
}
