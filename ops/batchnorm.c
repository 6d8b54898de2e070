/* batchnorm.c - batch normalisation (Ioffe & Szegedy 2015). */
#include "ops/internal.h"

typedef struct norm_attrs {
	double eps;
	bool batch; /* statistics of the batch; else given ones */
} norm_attrs;

/* ---- The gradient, fused --------------------------------------------------------------------- */

static const ebb_op FUSED = {.name = "batchnorm_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST, EBB_ROWS}};

/* With xh = (x - m)*i and n elements per channel, i = 1/sqrt(v + eps):
 *   gb = sum gy,  gw = sum gy*xh,  gx = w*i*(gy - gb/n - xh*gw/n);  with given statistics gx = w*i*gy. */
static void fused_grad(ebb_vjp *v)
{
	const norm_attrs *k = v->attrs;
	ebb_tensor *in[] = {v->gy, v->in[0], v->in[1]}, *gx = NULL, *gw = NULL, *gb = NULL;
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 3, in);
	int64_t channels = ebb_size(v->in[0], 1),
		rows = channels ? ebb_count(v->in[0]) / channels : 0;
	double *s, n = k->batch ? (double)rows : INFINITY;
	const double *mean, *invstd;
	ebb_dtype dtype = ebb_dtype_of(v->in[0]);

	s = ebb_scratch(&c, (size_t)(channels ? channels : 1) * 5 * sizeof *s);
	if (s) {
		double *sum = s, *dot = s + channels, *ga = s + 2 * channels,
		       *gbx = s + 3 * channels, *gc = s + 4 * channels;

		mean = (const double *)(const void *)v->saved[0]->data;
		invstd = mean + channels;
		KERNELS(in[1])->batchnorm_sums(
			rows, channels, in[1]->data, in[0]->data, mean, invstd, sum, dot);
		if (ebb_wants(v, 1))
			gw = ebb_vector(&c, dtype, channels, dot);
		if (ebb_wants(v, 2))
			gb = ebb_vector(&c, dtype, channels, sum);
		gx = ebb_wants(v, 0) ? ebb_new_like(&c, in[1]) : NULL;
		for (int64_t i = 0; gx && i < channels; i++) {
			ga[i] = ebb_weight_at(in[2], i) * invstd[i];
			gbx[i] = -ga[i] * invstd[i] * dot[i] / n;
			gc[i] = -ga[i] * sum[i] / n - gbx[i] * mean[i];
		}
		if (gx)
			KERNELS(gx)->batchnorm_gx(
				rows, channels, in[1]->data, in[0]->data, ga, gbx, gc, gx->data);
	}
	ebb_record(&c, gx ? gx : gw ? gw : gb);
	ebb_give(v, 0, gx);
	ebb_give(v, 1, gw);
	ebb_give(v, 2, gb);
}

/* ---- The same, composed of ops, statistics included: for higher derivatives ------------------ */

static ebb_tensor *saved_part(ebb_vjp *v, int64_t from, int64_t channels)
{
	ebb_tensor *s = ebb_slice(v->t, v->saved[0], 0, from, from + channels, 1);

	return ebb_per_channel(
		v->t, ebb_cast(v->t, s, ebb_dtype_of(v->in[0])), ebb_ndim(v->in[0]), NULL);
}

static void composed_grad(ebb_vjp *v)
{
	const norm_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	ebb_tensor *x = v->in[0], *g = NULL, *gx, *xh;
	int64_t channels = ebb_size(x, 1);
	int ndim = ebb_ndim(x);
	ebb_axes axes = ebb_but_channels(ndim);

	if (ebb_wants(v, 0))
		g = v->in[1] ? ebb_mul(t, v->gy, ebb_per_channel(t, v->in[1], ndim, NULL)) : v->gy;
	if (k->batch) {
		gx = ebb_normalised_grad(t, x, g, axes, k->eps, true, &xh);
	} else {
		ebb_tensor *inv = saved_part(v, channels, channels);

		xh = ebb_mul(t, ebb_sub(t, x, saved_part(v, 0, channels)), inv);
		gx = g ? ebb_mul(t, g, inv) : NULL;
	}
	ebb_give(v, 0, gx);
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_sum(t, ebb_mul(t, v->gy, xh), axes));
	if (ebb_wants(v, 2))
		ebb_give(v, 2, ebb_sum(t, v->gy, axes));
}

static void batchnorm_vjp(ebb_vjp *v)
{
	if (v->recording)
		composed_grad(v);
	else
		fused_grad(v);
}
static const ebb_op BATCHNORM = {.name = "batchnorm",
	.vjp = batchnorm_vjp,
	.reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0) | EBB_IN(1), EBB_IN(0) | EBB_IN(1)},
	.optional = EBB_IN(1) | EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_ROWS, EBB_ROWS}};

/* ---- Forward --------------------------------------------------------------------------------- */

static bool is_per_channel(ebb_call *c, const ebb_tensor *p, const char *name)
{
	char a[240], b[240];

	if (!p ||
		(p->ndim == 1 && p->shape[0] == c->in[0]->shape[1] && p->dtype == c->in[0]->dtype))
		return true;
	ebb_call_fail(c, EBB_BAD_SHAPE, "%s must hold one %s per channel: %s for x %s", name,
		ebb_dtype_name((ebb_dtype)c->in[0]->dtype), ebb_describe(p, a, sizeof a),
		ebb_describe(c->in[0], b, sizeof b));
	return false;
}

static bool checks(ebb_call *c, const ebb_batchnorm_args *a, bool batch)
{
	const ebb_tensor *x = c->in[0];
	double eps = ebb_number(a->eps, 1e-5), momentum = ebb_number(a->momentum, 0.1);
	char text[240];

	if (!ebb_check_real(c, 0, "x"))
		return false;
	if (x->ndim < 2 || x->ndim > 5) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x must be [N,C] or [N,C,..] of at most 5 axes, got %s",
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if (!(eps >= 0) || !isfinite(eps) || !(momentum >= 0 && momentum <= 1)) {
		ebb_call_fail(c, EBB_INVALID,
			"eps is %g, momentum %g; eps must be at least 0, momentum from 0 to 1", eps,
			momentum);
		return false;
	}
	if (!a->running_mean != !a->running_var) {
		ebb_call_fail(c, EBB_INVALID, "running_mean and running_var go together");
		return false;
	}
	if (batch && x->shape[1] && x->count / x->shape[1] < 2) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"statistics of a batch need more than one value per channel, got %s",
			ebb_describe(x, text, sizeof text));
		return false;
	}
	return is_per_channel(c, c->in[1], "weight") && is_per_channel(c, c->in[2], "bias") &&
	       is_per_channel(c, a->running_mean, "running_mean") &&
	       is_per_channel(c, a->running_var, "running_var") &&
	       ebb_check_readable(c, a->running_mean, "running_mean") &&
	       ebb_check_readable(c, a->running_var, "running_var");
}

/* running = (1 - m)*running + m*value */
static void update_running(ebb_tensor *running, const double *value, double scale, double momentum)
{
	void *data = ebb_data_mutable(running);

	for (int64_t i = 0; data && i < running->count; i++) {
		int64_t at = i * running->strides[0];
		double now =
			(1 - momentum) * ebb_value_at(running, i) + momentum * value[i] * scale;

		if (running->dtype == EBB_F64)
			((double *)data)[at] = now;
		else
			((float *)data)[at] = (float)now;
	}
}

/* Fills mean and 1/sqrt(var + eps), and the scale and shift that normalise. */
static void coefficients(ebb_call *c, const ebb_batchnorm_args *a, bool batch, double eps,
	double *mean, double *invstd, double *scale, double *shift)
{
	const ebb_tensor *x = c->in[0];
	int64_t channels = x->shape[1], rows = x->count / channels;
	double momentum = ebb_number(a->momentum, 0.1);

	if (batch) {
		KERNELS(x)->batchnorm_stats(rows, channels, x->data, mean, invstd);
		if (a->running_mean && ebb_is_training(c->t) && !ebb_is_replaying(c->t)) {
			update_running(a->running_mean, mean, 1.0, momentum);
			update_running(a->running_var, invstd, (double)rows / (double)(rows - 1),
				momentum);
		}
	}
	for (int64_t i = 0; i < channels; i++) {
		if (!batch) {
			mean[i] = ebb_value_at(a->running_mean, i);
			invstd[i] = ebb_value_at(a->running_var, i);
		}
		invstd[i] = 1.0 / sqrt(invstd[i] + eps);
		scale[i] = ebb_weight_at(c->in[1], i) * invstd[i];
		shift[i] = (c->in[2] ? ebb_value_at(c->in[2], i) : 0.0) - mean[i] * scale[i];
	}
}

ebb_tensor *(ebb_batchnorm)(const ebb_batchnorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias}, *x, *y, *saved;
	ebb_call c = ebb_begin(a->t, &BATCHNORM, a->site, 3, in);
	norm_attrs k = {ebb_number(a->eps, 1e-5), ebb_is_training(a->t) || !a->running_mean};
	int64_t channels;
	double *s, *mean;

	if (!c.t || !checks(&c, a, k.batch))
		return NULL;
	x = in[0];
	channels = x->shape[1];
	y = ebb_new_like(&c, x);
	saved = ebb_new(&c, EBB_F64, EBB_SHAPE(2 * channels), EBB_ROWS);
	/* Without rows too: the gradient reads the statistics. */
	s = y && channels ? ebb_scratch(&c, (size_t)channels * 2 * sizeof *s) : NULL;
	if (s && saved) {
		mean = (double *)(void *)saved->data;
		coefficients(&c, a, k.batch, k.eps, mean, mean + channels, s, s + channels);
		KERNELS(y)->scale_shift(
			x->count / channels, channels, x->data, s, s + channels, y->data);
	}
	ebb_save(&c, saved);
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}
