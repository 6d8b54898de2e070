/* loss.c - what training minimises. */
#include "ops/internal.h"

static ebb_tensor *reduced(ebb_tape *t, ebb_tensor *loss, ebb_reduction reduction, const char *site)
{
	if (reduction == EBB_NONE)
		return loss;
	if (reduction == EBB_SUM_ALL)
		return (ebb_sum)(&(ebb_reduce_args){t, loss, {0, {0}}, false, site});
	return (ebb_mean)(&(ebb_reduce_args){t, loss, {0, {0}}, false, site});
}

static bool known_reduction(ebb_tape *t, ebb_reduction r, const char *op, const char *site)
{
	if (r == EBB_MEAN || r == EBB_SUM_ALL || r == EBB_NONE)
		return true;
	ebb_fail(t, EBB_INVALID, site, "%s: there is no reduction number %d", op, (int)r);
	return false;
}

/* ---- Cross-entropy of labels, fused: loss[i] = logsumexp(x[i]) - x[i,label[i]] --------------- */

static const ebb_op FUSED = {.name = "cross_entropy_grad",
	.vjp = ebb_zero_vjp,
	.takes = {EBB_STRIDED, EBB_DENSE, EBB_ROWS}};

static ebb_tensor *fused_grad(ebb_vjp *v, int64_t ignore)
{
	ebb_tensor *in[] = {v->gy, v->saved[0], v->in[1]}, *gx;
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 3, in);

	if (!c.t)
		return NULL;
	/* A gradient from a mean or a sum is one number, seen with stride 0. */
	if (in[0]->strides[0] != 0 && in[0]->strides[0] != 1 &&
		!(in[0] = ebb_dense(v->t, in[0], EBB_ROWS)))
		return NULL;
	gx = ebb_new_like(&c, in[1]);
	if (gx && gx->count)
		KERNELS(gx)->cross_entropy_grad(gx->shape[0], gx->shape[1], in[1]->data,
			(const int64_t *)(const void *)in[2]->data, ignore, in[0]->data,
			in[0]->strides[0], 1.0, gx->data);
	return ebb_record(&c, gx);
}

/* Rows of weight[label]*(1 - e) at the label and weight[c]*e/C everywhere; 0 for an ignored
 * row.  A constant. */
typedef struct targets_attrs {
	int64_t classes, ignore;
	double smoothing;
} targets_attrs;

static const ebb_op TARGETS = {.name = "cross_entropy_targets",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(1),
	.takes = {EBB_ROWS, EBB_ROWS}};

static ebb_tensor *target_rows(ebb_tape *t, ebb_tensor *label, ebb_tensor *weight, ebb_dtype dtype,
	const targets_attrs *k, const char *site)
{
	ebb_tensor *in[] = {label, weight}, *q;
	ebb_call c = ebb_begin(t, &TARGETS, site, 2, in);
	const int64_t *p;

	if (!c.t)
		return NULL;
	p = (const int64_t *)(const void *)in[0]->data;
	q = ebb_new(&c, dtype, EBB_SHAPE(in[0]->count, k->classes), EBB_ROWS);
	for (int64_t i = 0; q && i < q->count; i++) {
		int64_t row = i / k->classes, col = i % k->classes;
		double value =
			k->smoothing / (double)k->classes + (p[row] == col ? 1 - k->smoothing : 0);

		value *= p[row] == k->ignore ? 0 : in[1] ? ebb_value_at(in[1], col) : 1;
		KERNELS(q)->fill(1, value, q->data + i * (int64_t)KERNELS(q)->real_size);
	}
	c.tracked = false;
	return ebb_record(&c, q);
}

/* d loss[i] = gy[i]*(softmax(x[i]) - onehot(label[i])), 0 where ignored */
static void cross_entropy_vjp(ebb_vjp *v)
{
	const targets_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	ebb_tensor *onehot, *g, *p;

	if (!v->recording) {
		ebb_give(v, 0, fused_grad(v, k->ignore));
		return;
	}
	onehot = target_rows(t, v->in[1], NULL, ebb_dtype_of(v->in[0]), k, NULL);
	/* A row counts once, or not at all if ignored: the sum of its onehot. */
	g = ebb_mul(
		t, ebb_unsqueeze(t, v->gy, 1), ebb_sum(t, onehot, EBB_AXES(1), .keepdim = true));
	p = ebb_softmax(t, v->in[0], 1);
	ebb_give(v, 0, ebb_mul(t, g, ebb_sub(t, p, onehot)));
}
static const ebb_op CROSS_ENTROPY = {.name = "cross_entropy",
	.vjp = cross_entropy_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_ROWS, EBB_ROWS},
	.gy_strided = true};

static ebb_tensor *label_loss(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *label, int64_t ignore, const char *site)
{
	ebb_tensor *in[] = {x, label}, *loss, *p;
	ebb_call c = ebb_begin(t, &CROSS_ENTROPY, site, 2, in);
	targets_attrs k = {ebb_size(in[0], 1), ignore, 0};

	if (!c.t)
		return NULL;
	loss = ebb_new(&c, (ebb_dtype)in[0]->dtype, EBB_SHAPE(in[0]->shape[0]), EBB_ROWS);
	p = ebb_new_like(&c, in[0]);
	if (loss && p && p->count)
		KERNELS(p)->cross_entropy(in[0]->shape[0], in[0]->shape[1], in[0]->data,
			(const int64_t *)(const void *)in[1]->data, ignore, loss->data, p->data);
	ebb_save(&c, p);
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, loss);
}

/* ---- Cross-entropy, all options -------------------------------------------------------------- */

static const ebb_op CHECK = {.name = "cross_entropy"};

/* [N,C,d..] as [N*d..,C] */
static ebb_tensor *rows_of(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_axes axes = {0, {0}};
	int64_t classes = x->shape[1];

	if (x->ndim == 2)
		return x;
	for (int i = 0; i < x->ndim; i++)
		if (i != 1)
			axes.axis[axes.n++] = i;
	axes.axis[axes.n++] = 1;
	x = (ebb_permute)(t, x, axes, site);
	return (ebb_reshape)(t, x, EBB_SHAPE(classes ? ebb_count(x) / classes : 0, classes), site);
}

static bool arguments_fit(ebb_call *c, const ebb_cross_entropy_args *a, bool soft)
{
	const ebb_tensor *x = a->x, *target = a->target, *w = a->weight;
	bool fits = x->ndim >= 2 && x->shape[1] > 0;
	double ignore = ebb_number(a->ignore_index, -100);
	char b1[240], b2[240];

	if (!ebb_check_real(c, 0, "x") || !ebb_check_readable(c, w, "weight"))
		return false;
	if (soft) {
		fits = fits && target->dtype == x->dtype && ebb_same_shape(x, target);
	} else {
		fits = fits && target->ndim == x->ndim - 1;
		for (int i = 0; fits && i < target->ndim; i++)
			fits = target->shape[i] == x->shape[i ? i + 1 : 0];
	}
	if (!fits) {
		ebb_call_fail(c, soft && target->dtype != x->dtype ? EBB_BAD_DTYPE : EBB_BAD_SHAPE,
			"x %s needs I64 labels of its shape without axis 1, or soft targets of its "
			"shape "
			"and type, got %s",
			ebb_describe(x, b1, sizeof b1), ebb_describe(target, b2, sizeof b2));
		return false;
	}
	if (w && (w->ndim != 1 || w->shape[0] != x->shape[1] || w->dtype != x->dtype)) {
		ebb_call_fail(c, EBB_BAD_SHAPE, "weight %s must hold one %s per class of x %s",
			ebb_describe(w, b2, sizeof b2), ebb_dtype_name((ebb_dtype)x->dtype),
			ebb_describe(x, b1, sizeof b1));
		return false;
	}
	if (w && ebb_requires_grad(w) && ebb_is_recording(c->t)) {
		ebb_call_fail(c, EBB_INVALID, "weight is not differentiated; use ebb_detach");
		return false;
	}
	if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1)) {
		ebb_call_fail(c, EBB_INVALID, "label_smoothing is %g; it must be from 0 to 1",
			a->label_smoothing);
		return false;
	}
	if (!(fabs(ignore) <= 0x1p53) || ignore != floor(ignore)) {
		ebb_call_fail(c, EBB_INVALID, "ignore_index is %g; it must be a whole number",
			a->ignore_index);
		return false;
	}
	return true;
}

/* How much the labels weigh together (ignored ones nothing); false if one is no class. */
static bool labels_fit(ebb_call *c, const ebb_tensor *label, int64_t classes, int64_t ignore,
	const ebb_tensor *weight, double *total)
{
	*total = 0;
	for (int64_t i = 0; i < label->count; i++) {
		int64_t k = (int64_t)((const int64_t *)(const void *)label->data)[i];

		if (k == ignore)
			continue;
		if (k < 0 || k >= classes) {
			ebb_call_fail(c, EBB_INVALID, "label[%lld] is %lld; there are %lld classes",
				(long long)i, (long long)k, (long long)classes);
			return false;
		}
		*total += weight ? ebb_value_at(weight, k) : 1;
	}
	return true;
}

static ebb_tensor *hard(ebb_call *c, const ebb_cross_entropy_args *a, double *total)
{
	ebb_tape *t = a->t;
	ebb_tensor *x = rows_of(t, a->x, a->site), *label;
	int64_t ignore = (int64_t)ebb_number(a->ignore_index, -100.0);
	targets_attrs k = {ebb_size(x, 1), ignore, a->label_smoothing};
	ebb_tensor *q;

	label = a->target->ndim == 1 ? (ebb_dense)(t, a->target, EBB_ROWS, a->site)
	                             : (ebb_reshape)(t, a->target, EBB_SHAPE(-1), a->site);
	if (!x || !label || !labels_fit(c, label, k.classes, ignore, a->weight, total))
		return NULL;
	if (!a->weight && a->label_smoothing == 0)
		return label_loss(t, x, label, ignore, a->site);
	q = target_rows(t, label, a->weight, (ebb_dtype)a->x->dtype, &k, a->site);
	x = (ebb_mul)(t, (ebb_log_softmax)(t, x, 1, a->site), q, a->site);
	return (ebb_neg)(t, (ebb_sum)(&(ebb_reduce_args){t, x, EBB_AXES(1), false, a->site}),
		a->site);
}

static ebb_tensor *soft(const ebb_cross_entropy_args *a, double *total)
{
	ebb_tape *t = a->t;
	ebb_tensor *x = rows_of(t, a->x, a->site), *q = rows_of(t, a->target, a->site);
	double e = a->label_smoothing;

	*total = (double)ebb_size(x, 0);
	if (e > 0)
		q = (ebb_add_scalar)(t, (ebb_mul_scalar)(t, q, 1 - e, a->site),
			e / (double)ebb_size(x, 1), a->site);
	if (a->weight)
		q = (ebb_mul)(t, q, a->weight, a->site);
	x = (ebb_mul)(t, (ebb_log_softmax)(t, x, 1, a->site), q, a->site);
	return (ebb_neg)(t, (ebb_sum)(&(ebb_reduce_args){t, x, EBB_AXES(1), false, a->site}),
		a->site);
}

ebb_tensor *(ebb_cross_entropy)(const ebb_cross_entropy_args *a)
{
	ebb_tensor *x = a->x, *loss;
	ebb_call c = {.t = a->t, .op = &CHECK, .site = a->site, .nin = 1, .in = &x};
	bool is_soft;
	double total = 0;
	ebb_shape shape;

	if (!ebb_given(a->t, a->x, "cross_entropy", a->site))
		return NULL;
	if (!a->target)
		return ebb_call_fail(&c, EBB_INVALID, "input 1 is NULL");
	is_soft = a->target->dtype != EBB_I64;
	if (!arguments_fit(&c, a, is_soft) ||
		!known_reduction(a->t, a->reduction, "cross_entropy", a->site))
		return NULL;
	loss = is_soft ? soft(a, &total) : hard(&c, a, &total);
	if (a->reduction == EBB_NONE) {
		shape = ebb_without_axis(ebb_shape_of(a->x), 1);
		return shape.ndim == 1 ? loss : (ebb_reshape)(a->t, loss, shape, a->site);
	}
	loss = reduced(a->t, loss, EBB_SUM_ALL, a->site);
	return a->reduction == EBB_SUM_ALL ? loss
	                                   : (ebb_mul_scalar)(a->t, loss, 1.0 / total, a->site);
}

/* ---- Elementwise losses ---------------------------------------------------------------------- */

static bool same_shape(const ebb_loss_args *a, const char *op)
{
	char b1[240], b2[240];

	if (!ebb_given(a->t, a->x, op, a->site) ||
		!known_reduction(a->t, a->reduction, op, a->site))
		return false;
	if (!a->target) {
		ebb_fail(a->t, EBB_INVALID, a->site, "%s: input 1 is NULL", op);
		return false;
	}
	if (ebb_same_shape(a->x, a->target) && a->x->dtype == a->target->dtype)
		return true;
	ebb_fail(a->t, EBB_BAD_SHAPE, a->site, "%s: x is %s, target is %s", op,
		ebb_describe(a->x, b1, sizeof b1), ebb_describe(a->target, b2, sizeof b2));
	return false;
}

ebb_tensor *(ebb_mse_loss)(const ebb_loss_args *a)
{
	if (!same_shape(a, "mse_loss"))
		return NULL;
	return reduced(a->t, (ebb_square)(a->t, (ebb_sub)(a->t, a->x, a->target, a->site), a->site),
		a->reduction, a->site);
}

ebb_tensor *(ebb_bce_with_logits)(const ebb_loss_args *a)
{
	ebb_tensor *loss;

	if (!same_shape(a, "bce_with_logits"))
		return NULL;
	loss = (ebb_sub)(a->t, (ebb_softplus)(a->t, a->x, a->site),
		(ebb_mul)(a->t, a->x, a->target, a->site), a->site);
	return reduced(a->t, loss, a->reduction, a->site);
}
