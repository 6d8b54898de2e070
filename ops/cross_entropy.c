/* cross_entropy.c - losses of classes: softmax cross-entropy and negative log-likelihood. */
#include "ops/internal.h"

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
	/* The gradient of a mean or a sum is one number, expanded with stride 0. */
	if (in[0]->strides[0] != 0 && in[0]->strides[0] != 1 &&
		!(in[0] = ebb_dense(v->t, in[0], EBB_ROWS)))
		return NULL;
	gx = ebb_new_like(&c, in[1]);
	if (gx && gx->count)
		RUN(gx, cross_entropy_grad, gx->shape[0], gx->shape[1], in[1]->data,
			(const int64_t *)(const void *)in[2]->data, ignore, in[0]->data,
			in[0]->strides[0], 1.0, gx->data);
	return ebb_record(&c, gx);
}

/* The smoothed targets as a constant.  Each row is weight[c]*e/C, plus weight[label]*(1 - e) at the
 * label, with e the smoothing.  An ignored row is 0. */
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
	ebb_float_state own;
	const int64_t *p;

	if (!c.t)
		return NULL;
	p = (const int64_t *)(const void *)in[0]->data;
	q = ebb_new(&c, dtype, EBB_SHAPE(in[0]->count, k->classes), EBB_ROWS);
	own = ebb_float_enter(q && ebb_flushes(q));
	for (int64_t i = 0; q && i < q->count; i++) {
		int64_t row = i / k->classes, col = i % k->classes;
		double value =
			k->smoothing / (double)k->classes + (p[row] == col ? 1 - k->smoothing : 0);

		value *= p[row] == k->ignore ? 0 : in[1] ? ebb_value_at(in[1], col) : 1;
		KERNELS(q)->fill(1, value, q->data + i * (int64_t)KERNELS(q)->real_size);
	}
	ebb_float_leave(own);
	c.tracked = false;
	return ebb_record(&c, q);
}

/* x [N,C] with zeros in the rows whose label is ignored, so that infinities and NaNs there have no
 * effect. */
static ebb_tensor *without_ignored(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *label, int64_t ignore, const char *site)
{
	const int64_t *p = (const int64_t *)(const void *)label->data;
	ebb_tensor *ignored;
	int64_t first = 0;

	while (first < label->count && p[first] != ignore)
		first++;
	if (first == label->count)
		return x;
	ignored = (ebb_cast)(t, (ebb_from_i64)(t, EBB_SHAPE(1), &ignore, site), EBB_F64, site);
	ignored = (ebb_equal)(t, (ebb_cast)(t, label, EBB_F64, site), ignored, site);
	ignored = (ebb_unsqueeze)(t, ignored, 1, site);
	return (ebb_where)(t, ignored, ebb_zeros_like(t, x), x, site);
}

/* d loss[i] = gy[i]*(softmax(x[i]) - onehot(label[i])), 0 where ignored; with y =
 * log_softmax(x[i]), the difference is expm1(y) at the label and exp(y) elsewhere. */
static void cross_entropy_vjp(ebb_vjp *v)
{
	const targets_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	ebb_tensor *x, *onehot, *others, *g, *y, *d;

	if (!v->recording) {
		ebb_give(v, 0, fused_grad(v, k->ignore));
		return;
	}
	onehot = target_rows(t, v->in[1], NULL, ebb_dtype_of(v->in[0]), k, NULL);
	/* The sum of a row of onehot is 1, or 0 if the row is ignored. */
	g = ebb_weighted(t, ebb_sum(t, onehot, EBB_AXES(1), .keepdim = true),
		ebb_unsqueeze(t, v->gy, 1), NULL);
	others = ebb_add_scalar(t, ebb_neg(t, onehot), 1);
	x = without_ignored(t, v->in[0], v->in[1], k->ignore, NULL);
	y = ebb_log_softmax(t, x, 1);
	d = ebb_add(t, ebb_mul(t, onehot, ebb_expm1(t, y)), ebb_mul(t, others, ebb_exp(t, y)));
	ebb_give(v, 0, ebb_mul(t, g, d));
}
static const ebb_op CROSS_ENTROPY = {.name = "cross_entropy",
	.vjp = cross_entropy_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_ROWS, EBB_ROWS},
	.gy_strided = true};

static ebb_tensor *label_loss(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *label, int64_t ignore, const char *site)
{
	ebb_tensor *in[] = {x, label}, *loss, *d;
	ebb_call c = ebb_begin(t, &CROSS_ENTROPY, site, 2, in);
	targets_attrs k = {ebb_size(in[0], 1), ignore, 0};

	if (!c.t)
		return NULL;
	loss = ebb_new(&c, (ebb_dtype)in[0]->dtype, EBB_SHAPE(in[0]->shape[0]), EBB_ROWS);
	d = ebb_new_like(&c, in[0]);
	if (loss && d && d->count)
		RUN(d, cross_entropy, in[0]->shape[0], in[0]->shape[1], in[0]->data,
			(const int64_t *)(const void *)in[1]->data, ignore, loss->data, d->data);
	ebb_save(&c, d);
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, loss);
}

/* ---- Checks of both losses ------------------------------------------------------------------- */

static const ebb_op CHECK = {.name = "cross_entropy"};
static const ebb_op NLL_CHECK = {.name = "nll_loss"};

/* The axis of classes: axis 1, or axis 0 if x [C] is a single sample. */
static int class_axis(const ebb_tensor *x)
{
	return x->ndim == 1 ? 0 : 1;
}

/* [N,C,d..] as [N*d..,C], [C] as [1,C] */
static ebb_tensor *rows_of(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_axes axes = {0, {0}};
	int64_t classes = x->shape[class_axis(x)];

	if (x->ndim == 2)
		return x;
	if (x->ndim == 1)
		return (ebb_unsqueeze)(t, x, 0, site);
	for (int i = 0; i < x->ndim; i++)
		if (i != 1)
			axes.axis[axes.n++] = i;
	axes.axis[axes.n++] = 1;
	x = (ebb_permute)(t, x, axes, site);
	return (ebb_reshape)(t, x, EBB_SHAPE(classes ? ebb_count(x) / classes : 0, classes), site);
}

/* Whether the classes of x are the last axis, as the labels' shape says: [N,L,V] and [N,L]. */
static bool classes_are_last(const ebb_tensor *x, const ebb_tensor *target)
{
	bool fits = x->ndim > 2 && target->ndim == x->ndim - 1;

	for (int i = 0; fits && i < target->ndim; i++)
		fits = target->shape[i] == x->shape[i];
	return fits;
}

static bool arguments_fit(ebb_call *c, const ebb_cross_entropy_args *a, bool soft)
{
	const ebb_tensor *x = a->x, *target = a->target, *w = a->weight;
	bool fits = x->ndim >= 1 && x->shape[class_axis(x)] > 0;
	double ignore = ebb_option(a->ignore_index, -100);
	char b1[240], b2[240];

	if (!ebb_check_real(c, 0, "x") || !ebb_check_readable(c, w, "weight"))
		return false;
	if (soft) {
		fits = fits && target->dtype == x->dtype && ebb_same_shape(x, target);
	} else {
		fits = fits && target->dtype == EBB_I64 && target->ndim == x->ndim - 1;
		for (int i = 0; fits && i < target->ndim; i++)
			fits = target->shape[i] == x->shape[i ? i + 1 : 0];
	}
	if (!fits) {
		bool wrong_type = target->dtype != (soft ? x->dtype : EBB_I64);

		ebb_call_fail(c, wrong_type ? EBB_BAD_DTYPE : EBB_BAD_SHAPE,
			"x %s needs I64 labels of its shape without axis %d%s, got %s%s",
			ebb_describe(x, b1, sizeof b1), class_axis(x),
			c->op == &CHECK ? ", or soft targets of its shape and type" : "",
			ebb_describe(target, b2, sizeof b2),
			classes_are_last(x, target)
				? "; if the last axis of x has the classes, reshape x to "
				  "[positions,classes] and the labels to [positions]"
				: "");
		return false;
	}
	if (w && (w->ndim != 1 || w->shape[0] != x->shape[class_axis(x)] || w->dtype != x->dtype)) {
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

/* Sets *total to the sum of the labels' weights, without ignored labels; false if a label is out of
 * range. */
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

/* [N,d..] as [N*d..] */
static ebb_tensor *flat_labels(ebb_tape *t, ebb_tensor *target, const char *site)
{
	return target->ndim == 1 ? (ebb_dense)(t, target, EBB_ROWS, site)
	                         : (ebb_reshape)(t, target, EBB_SHAPE(target->count), site);
}

/* Reduces the losses of the rows as a->reduction says; the mean divides by total. */
static ebb_tensor *finished(const ebb_cross_entropy_args *a, ebb_tensor *loss, double total)
{
	ebb_shape shape = ebb_without_axis(ebb_shape_of(a->x), class_axis(a->x));

	if (a->reduction == EBB_NONE)
		return shape.ndim == 1 ? loss : (ebb_reshape)(a->t, loss, shape, a->site);
	loss = ebb_reduced(a->t, loss, EBB_SUM_ALL, a->site);
	return a->reduction == EBB_SUM_ALL ? loss
	                                   : (ebb_mul_scalar)(a->t, loss, 1.0 / total, a->site);
}

/* ---- Cross-entropy, all options -------------------------------------------------------------- */

/* -sum q*log_softmax(x) of each row, without the classes where q is 0. */
static ebb_tensor *weighted_loss(ebb_tape *t, ebb_tensor *x, ebb_tensor *q, const char *site)
{
	x = ebb_weighted(t, q, (ebb_log_softmax)(t, x, 1, site), site);
	return (ebb_neg)(t, (ebb_sum)(&(ebb_reduce_args){t, x, EBB_AXES(1), false, site}), site);
}

static ebb_tensor *hard(ebb_call *c, const ebb_cross_entropy_args *a, double *total)
{
	ebb_tape *t = a->t;
	ebb_tensor *x = rows_of(t, a->x, a->site), *label;
	int64_t ignore = (int64_t)ebb_option(a->ignore_index, -100.0);
	targets_attrs k = {ebb_size(x, 1), ignore, a->label_smoothing};
	ebb_tensor *q;

	label = flat_labels(t, a->target, a->site);
	if (!x || !label || !labels_fit(c, label, k.classes, ignore, a->weight, total))
		return NULL;
	if (!a->weight && a->label_smoothing == 0)
		return label_loss(t, x, label, ignore, a->site);
	q = target_rows(t, label, a->weight, (ebb_dtype)a->x->dtype, &k, a->site);
	return weighted_loss(t, without_ignored(t, x, label, ignore, a->site), q, a->site);
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
	return weighted_loss(t, x, q, a->site);
}

ebb_tensor *(ebb_cross_entropy)(const ebb_cross_entropy_args *a)
{
	ebb_tensor *x = a->x, *loss;
	ebb_call c = {.t = a->t, .op = &CHECK, .site = a->site, .nin = 1, .in = &x};
	bool is_soft;
	double total = 0;

	if (!ebb_given(a->t, a->x, "cross_entropy", a->site))
		return NULL;
	if (!a->target)
		return ebb_call_fail(&c, EBB_INVALID, "input 1 is NULL");
	is_soft = a->target->dtype != EBB_I64;
	if (!arguments_fit(&c, a, is_soft) ||
		!ebb_known_reduction(a->t, a->reduction, "cross_entropy", a->site))
		return NULL;
	loss = is_soft ? soft(a, &total) : hard(&c, a, &total);
	return finished(a, loss, total);
}

/* ---- Negative log-likelihood: linear in x; nll and its gradient are each other's gradient ---- */

static ebb_tensor *nll_rows(ebb_tape *t, const ebb_op *op, ebb_tensor *x, ebb_tensor *label,
	ebb_tensor *weight, const targets_attrs *k, const char *site);

static void nll_vjp(ebb_vjp *v);
static void nll_grad_vjp(ebb_vjp *v);
static const ebb_op NLL = {.name = "nll_loss",
	.vjp = nll_vjp,
	.reads = {EBB_IN(1) | EBB_IN(2)},
	.optional = EBB_IN(2),
	.takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS}};
static const ebb_op NLL_GRAD = {.name = "nll_loss_grad",
	.vjp = nll_grad_vjp,
	.reads = {EBB_IN(1) | EBB_IN(2)},
	.optional = EBB_IN(2),
	.takes = {EBB_ROWS, EBB_ROWS, EBB_ROWS}};

static void nll_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, nll_rows(v->t, &NLL_GRAD, v->gy, v->in[1], v->in[2], v->attrs, NULL));
}

static void nll_grad_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, nll_rows(v->t, &NLL, v->gy, v->in[1], v->in[2], v->attrs, NULL));
}

/* Forward: y[i] = -weight[label[i]]*x[i,label[i]] for x [R,C], 0 where the label is ignored or has
 * weight 0.  NLL_GRAD: y [R,C] = 0, but y[i,label[i]] = -weight[label[i]]*x[i] for x [R]. */
static ebb_tensor *nll_rows(ebb_tape *t, const ebb_op *op, ebb_tensor *x, ebb_tensor *label,
	ebb_tensor *weight, const targets_attrs *k, const char *site)
{
	ebb_tensor *in[] = {x, label, weight}, *y;
	ebb_call c = ebb_begin(t, op, site, 3, in);
	bool back = op == &NLL_GRAD;
	ebb_float_state own;
	const int64_t *p;

	if (!c.t)
		return NULL;
	p = (const int64_t *)(const void *)in[1]->data;
	y = ebb_new(&c, (ebb_dtype)in[0]->dtype,
		back ? EBB_SHAPE(in[1]->count, k->classes) : EBB_SHAPE(in[1]->count), EBB_ROWS);
	own = ebb_float_enter(y && ebb_flushes(y));
	if (y && y->count)
		KERNELS(y)->fill(y->count, 0, y->data);
	for (int64_t i = 0; y && i < in[1]->count; i++) {
		int64_t at = i * k->classes + p[i];
		double w;

		if (p[i] == k->ignore)
			continue;
		w = in[2] ? -ebb_value_at(in[2], p[i]) : -1;
		KERNELS(y)->fill(1, w == 0 ? 0 : w * ebb_value_at(in[0], back ? i : at),
			y->data + (back ? at : i) * (int64_t)KERNELS(y)->real_size);
	}
	ebb_float_leave(own);
	ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_nll_loss)(const ebb_nll_loss_args *a)
{
	ebb_cross_entropy_args all = {.t = a->t,
		.x = a->x,
		.target = a->target,
		.weight = a->weight,
		.ignore_index = a->ignore_index,
		.reduction = a->reduction,
		.site = a->site};
	ebb_tensor *x = a->x, *label;
	ebb_call c = {.t = a->t, .op = &NLL_CHECK, .site = a->site, .nin = 1, .in = &x};
	targets_attrs k = {0, 0, 0};
	double total = 0;

	if (!ebb_given(a->t, a->x, "nll_loss", a->site))
		return NULL;
	if (!a->target)
		return ebb_call_fail(&c, EBB_INVALID, "input 1 is NULL");
	if (!arguments_fit(&c, &all, false) ||
		!ebb_known_reduction(a->t, a->reduction, "nll_loss", a->site))
		return NULL;
	k.classes = a->x->shape[class_axis(a->x)];
	k.ignore = (int64_t)ebb_option(a->ignore_index, -100.0);
	label = flat_labels(a->t, a->target, a->site);
	if (!label || !labels_fit(&c, label, k.classes, k.ignore, a->weight, &total))
		return NULL;
	x = nll_rows(a->t, &NLL, rows_of(a->t, a->x, a->site), label, a->weight, &k, a->site);
	return finished(&all, x, total);
}
