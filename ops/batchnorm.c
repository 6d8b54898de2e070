/* batchnorm.c - batch normalisation (Ioffe & Szegedy 2015), alone and fused with a residual
 * addition and ReLU. */
#include "ops/internal.h"

typedef struct norm_attrs {
	double eps;
	bool batch; /* normalised by the batch's statistics; else by the running ones */
} norm_attrs;

/* The inputs' numbers; only batchnorm_relu has a RESIDUAL. */
enum { X, WEIGHT, BIAS, RESIDUAL };

/* Saved for backward, C doubles each: the mean as centre + rest, inv = 1/sqrt(variance + eps), and
 * the coefficients of y = (x - centre)*scale + shift. */
typedef struct statistics {
	double *centre, *rest, *inv, *scale, *shift;
} statistics;
enum { CENTRE, REST, INV, SCALE, SHIFT, PARTS };

static statistics statistics_of(const ebb_tensor *saved, int64_t channels)
{
	double *p = (double *)(void *)saved->data;

	return (statistics){p + CENTRE * channels, p + REST * channels, p + INV * channels,
		p + SCALE * channels, p + SHIFT * channels};
}

/* The mask of ReLU's gradient: the output of batchnorm_relu, where it is positive.  NULL for
 * batchnorm. */
static ebb_tensor *mask_of(const ebb_vjp *v)
{
	return v->nin > RESIDUAL ? v->out : NULL;
}

/* ---- The gradient, fused --------------------------------------------------------------------- */

static const ebb_op FUSED = {.name = "batchnorm_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST, EBB_ROWS}};
static const ebb_op FUSED_RELU = {.name = "batchnorm_relu_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST, EBB_ROWS, EBB_CHANNELS_LAST}};

/* Scratch of C doubles each: sum g, sum g*xh, and the coefficients of gx, which is
 * scale*(by_g*g + by_x*(x - centre) + plus), or by_g*g with running statistics. */
typedef struct sums {
	double *g, *dot, *by_g, *by_x, *plus;
} sums;
enum { SUMS = 5 };

static ebb_norm_grad gx_coefficients(
	const ebb_vjp *v, const statistics *of, int64_t channels, double rows, const sums *s)
{
	bool batch = ((const norm_attrs *)v->attrs)->batch;

	for (int64_t i = 0; i < channels; i++) {
		double w = ebb_weight_at(v->in[WEIGHT], i);

		s->by_g[i] = batch ? w : w * of->inv[i];
		if (!batch)
			continue;
		s->by_x[i] = -w * of->inv[i] * s->dot[i] / rows;
		s->plus[i] = -w * s->g[i] / rows - s->by_x[i] * of->rest[i];
	}
	return (ebb_norm_grad){of->centre, s->by_g, s->by_x, s->plus, of->inv};
}

/* With g = gy (where y > 0), xh = (x - m)*i and n elements per channel, i = 1/sqrt(v + eps):
 *   gb = sum g,  gw = sum g*xh,  gx = w*i*(g - gb/n - xh*gw/n)
 * With running statistics gx = w*i*g. */
static void fused_grad(ebb_vjp *v)
{
	bool batch = ((const norm_attrs *)v->attrs)->batch;
	ebb_tensor *in[] = {v->gy, v->in[X], v->in[WEIGHT], mask_of(v)}, *x;
	ebb_tensor *gx = NULL, *gw = NULL, *gb = NULL, *gr = NULL;
	ebb_call c = ebb_begin(v->t, in[3] ? &FUSED_RELU : &FUSED, NULL, in[3] ? 4 : 3, in);
	int64_t channels = ebb_size(in[1], 1), rows = channels ? ebb_count(in[1]) / channels : 0;
	double *p = ebb_scratch(&c, ebb_bytes_of(channels ? channels : 1, SUMS * sizeof *p));

	x = in[1];
	if (p) {
		sums s = {p, p + channels, p + 2 * channels, p + 3 * channels, p + 4 * channels};
		statistics of = statistics_of(v->saved[0], channels);
		const void *y = in[3] ? in[3]->data : NULL;

		if (batch || ebb_wants(v, WEIGHT) || ebb_wants(v, BIAS))
			RUN(x, batchnorm_sums, rows, channels, x->data, in[0]->data, y, of.centre,
				of.rest, of.inv, s.g, s.dot);
		if (ebb_wants(v, WEIGHT))
			gw = ebb_vector(&c, ebb_dtype_of(x), channels, s.dot);
		if (ebb_wants(v, BIAS))
			gb = ebb_vector(&c, ebb_dtype_of(x), channels, s.g);
		/* One of gx and gr may be written in-place over gy. */
		if (ebb_wants(v, X)) {
			bool over = in[0] == v->gy && v->owns_gy;
			bool two = ebb_wants(v, RESIDUAL);

			gx = over && !two ? v->gy : ebb_new_like(&c, x);
			gr = !two ? NULL : over ? v->gy : ebb_new_like(&c, x);
		}
		/* If the call has failed, its scratch memory is freed already. */
		if (gx && c.t) {
			ebb_float_state own = ebb_float_enter(ebb_flushes(x));
			ebb_norm_grad by = gx_coefficients(v, &of, channels, (double)rows, &s);

			KERNELS(gx)->batchnorm_gx(rows, channels, batch ? x->data : NULL,
				in[0]->data, y, &by, gx->data, gr ? gr->data : NULL);
			ebb_float_leave(own);
		}
	}
	ebb_record(&c, gx ? gx : gw ? gw : gb);
	ebb_give(v, X, gx);
	ebb_give(v, WEIGHT, gw);
	ebb_give(v, BIAS, gb);
	if (ebb_wants(v, RESIDUAL))
		ebb_give(v, RESIDUAL, gr ? gr : ebb_relu_grad(v->t, v->gy, v->out));
}

/* ---- The gradient, composed of ops, with the statistics: for higher derivatives -------------- */

/* Part k (CENTRE, REST, ..) of the saved statistics, as [1,C,1,..] of x's type. */
static ebb_tensor *saved_part(ebb_vjp *v, int k)
{
	int64_t channels = ebb_size(v->in[X], 1);
	ebb_tensor *s = ebb_slice(v->t, v->saved[0], 0, k * channels, (k + 1) * channels, 1);

	return ebb_per_channel(
		v->t, ebb_cast(v->t, s, ebb_dtype_of(v->in[0])), ebb_ndim(v->in[0]), NULL);
}

/* gy is the gradient of the normalised value, before the residual and ReLU. */
static void composed_grad(ebb_vjp *v, ebb_tensor *gy)
{
	const norm_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	ebb_tensor *x = v->in[X], *g = NULL, *gx, *xh;
	int ndim = ebb_ndim(x);
	ebb_axes axes = ebb_but_channels(ndim);
	ebb_norm_known known = {saved_part(v, CENTRE), NULL};

	if (ebb_wants(v, X))
		g = v->in[WEIGHT] ? ebb_mul(t, gy, ebb_per_channel(t, v->in[WEIGHT], ndim, NULL))
		                  : gy;
	if (k->batch) {
		int64_t channels = ebb_size(x, 1);

		if (ebb_norm_needs_scale(x, channels, statistics_of(v->saved[0], channels).inv))
			known.scale = saved_part(v, INV);
		gx = ebb_normalised_grad(t, x, &known, g, axes, k->eps, &xh);
	} else {
		ebb_tensor *inv = saved_part(v, INV);

		xh = ebb_mul(t, ebb_sub(t, x, known.centre), inv);
		gx = g ? ebb_mul(t, g, inv) : NULL;
	}
	ebb_give(v, X, gx);
	if (ebb_wants(v, WEIGHT))
		ebb_give(v, WEIGHT, ebb_sum(t, ebb_mul(t, gy, xh), axes));
	if (ebb_wants(v, BIAS))
		ebb_give(v, BIAS, ebb_sum(t, gy, axes));
}

static void batchnorm_vjp(ebb_vjp *v)
{
	if (v->recording)
		composed_grad(v, v->gy);
	else
		fused_grad(v);
}

static void batchnorm_relu_vjp(ebb_vjp *v)
{
	bool normalised = ebb_wants(v, X) || ebb_wants(v, WEIGHT) || ebb_wants(v, BIAS);
	ebb_tensor *g;

	if (normalised && !v->recording) {
		fused_grad(v);
		return;
	}
	g = ebb_relu_grad(v->t, v->gy, v->out);
	ebb_give(v, RESIDUAL, g);
	if (normalised)
		composed_grad(v, g);
}

static void scale_and_shift(const ebb_tensor *x, const ebb_tensor *residual, bool rectify,
	const statistics *of, ebb_tensor *y)
{
	int64_t channels = x->shape[1], rows = x->count / channels;

	if (rectify)
		RUN(y, scale_shift_relu, rows, channels, x->data, residual ? residual->data : NULL,
			of->centre, of->scale, of->shift, y->data);
	else
		RUN(y, scale_shift, rows, channels, x->data, of->centre, of->scale, of->shift,
			y->data);
}

static void recompute(ebb_vjp *v)
{
	const ebb_tensor *x = v->in[X], *residual = v->nin > RESIDUAL ? v->in[RESIDUAL] : NULL;

	if (x->count) {
		statistics of = statistics_of(v->saved[0], x->shape[1]);

		scale_and_shift(x, residual, v->nin > RESIDUAL, &of, v->out);
	}
}

/* ---- The steps of batchnorm_relu ------------------------------------------------------------- */

static bool part_norm(const ebb_vjp *v, ebb_tensor *y)
{
	const ebb_tensor *x = v->in[X];

	if (!x)
		return false;
	if (x->count) {
		statistics of = statistics_of(v->saved[0], x->shape[1]);

		scale_and_shift(x, NULL, false, &of, y);
	}
	return true;
}

static bool part_sum(const ebb_vjp *v, ebb_tensor *y)
{
	const ebb_tensor *residual = v->in[RESIDUAL];

	if (!residual || !part_norm(v, y))
		return false;
	RUN(y, binary, EBB_BINARY_add, y->count, y->data, residual->data, y->data, 0);
	return true;
}

/* The gradient of the value of the step batchnorm or of the step add.  Both equal the input
 * gradient of ReLU, because an addition does not change its gradient. */
static bool part_gradient(const ebb_vjp *v, ebb_tensor *g)
{
	if (!v->out)
		return false;
	RUN(g, binary, EBB_BINARY_relu_grad, g->count, v->gy->data, v->out->data, g->data, 0);
	return true;
}

static const ebb_part NORM_RELU[] = {{"batchnorm", part_norm, part_gradient}, {.op = "relu"}};
static const ebb_part NORM_ADD_RELU[] = {
	{"batchnorm", part_norm, part_gradient}, {"add", part_sum, part_gradient}, {.op = "relu"}};

#define READS (EBB_IN(X) | EBB_IN(WEIGHT))
static const ebb_op BATCHNORM = {.name = "batchnorm",
	.vjp = batchnorm_vjp,
	.reads = {READS, READS, READS},
	.optional = EBB_IN(WEIGHT) | EBB_IN(BIAS),
	.takes = {EBB_CHANNELS_LAST, EBB_ROWS, EBB_ROWS},
	.recompute = recompute};

#define BATCHNORM_RELU(also_reads, recompute_fn, part)                                             \
	{                                                                                          \
		.name = "batchnorm_relu", .vjp = batchnorm_relu_vjp,                               \
		.reads = {READS | EBB_OUT | (also_reads), READS | EBB_OUT | (also_reads),          \
			READS | EBB_OUT | (also_reads), EBB_OUT | (also_reads)},                   \
		.optional = EBB_IN(WEIGHT) | EBB_IN(BIAS) | EBB_IN(RESIDUAL),                      \
		.takes = {EBB_CHANNELS_LAST, EBB_ROWS, EBB_ROWS, EBB_CHANNELS_LAST},               \
		.recompute = recompute_fn, .parts = (part),                                        \
		.nparts = sizeof(part) / sizeof *(part)                                            \
	}
static const ebb_op BATCHNORM_ONLY_RELU = BATCHNORM_RELU(0, recompute, NORM_RELU);
/* An op whose result can be recomputed keeps all that the recomputation reads, and so also the
 * residual.  If the residual itself can be recomputed, keeping it would gain nothing: the op then
 * keeps its own result.  So in a chain of residual blocks every other result is recomputed. */
static const ebb_op BATCHNORM_RESIDUAL_RELU = BATCHNORM_RELU(0, NULL, NORM_ADD_RELU);
static const ebb_op BATCHNORM_KEPT_RESIDUAL_RELU =
	BATCHNORM_RELU(EBB_IN(RESIDUAL), recompute, NORM_ADD_RELU);

static const ebb_op *relu_op_for(const ebb_tensor *residual)
{
	if (!residual)
		return &BATCHNORM_ONLY_RELU;
	return residual->storage && residual->storage->pool && residual->storage->of.maker
	               ? &BATCHNORM_RESIDUAL_RELU
	               : &BATCHNORM_KEPT_RESIDUAL_RELU;
}

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
	double eps = ebb_option(a->eps, 1e-5), momentum = ebb_option(a->momentum, 0.1);
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
		ebb_call_fail(
			c, EBB_INVALID, "running_mean and running_var must be given together");
		return false;
	}
	if (batch && x->shape[1] && x->count / x->shape[1] < 2) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"statistics of a batch need more than one value per channel, got %s",
			ebb_describe(x, text, sizeof text));
		return false;
	}
	return is_per_channel(c, c->in[WEIGHT], "weight") &&
	       is_per_channel(c, c->in[BIAS], "bias") &&
	       is_per_channel(c, a->running_mean, "running_mean") &&
	       is_per_channel(c, a->running_var, "running_var") &&
	       ebb_check_readable(c, a->running_mean, "running_mean") &&
	       ebb_check_readable(c, a->running_var, "running_var");
}

/* running = (1 - m)*running + m*value */
static void update_running(ebb_tensor *running, const double *value, double momentum)
{
	void *data = ebb_data_mutable(running);

	for (int64_t i = 0; data && i < running->count; i++) {
		int64_t at = i * running->strides[0];
		double now = (1 - momentum) * ebb_value_at(running, i) + momentum * value[i];

		if (running->dtype == EBB_F64)
			((double *)data)[at] = now;
		else
			((float *)data)[at] = (float)now;
	}
}

/* Computes the batch's statistics, and updates the running statistics while the tape trains.  Runs
 * in the tape's floating-point state. */
static void batch_statistics(
	ebb_call *c, const ebb_batchnorm_args *a, double eps, const statistics *of)
{
	const ebb_tensor *x = c->in[X];
	int64_t channels = x->shape[1], rows = x->count / channels;
	double momentum = ebb_option(a->momentum, 0.1);
	double unbiased = (double)rows / (double)(rows - 1);
	/* Used as scratch here: coefficients() overwrites inv, scale and shift. */
	double *std = of->inv, *mean = of->scale, *var = of->shift;

	KERNELS(x)->batchnorm_stats(rows, channels, x->data, eps, of->centre, of->rest, std);
	if (a->running_mean && ebb_is_training(c->t) && !ebb_is_replaying(c->t)) {
		for (int64_t i = 0; i < channels; i++) {
			mean[i] = of->centre[i] + of->rest[i];
			var[i] = std[i] * std[i] * unbiased;
		}
		update_running(a->running_mean, mean, momentum);
		update_running(a->running_var, var, momentum);
	}
	for (int64_t i = 0; i < channels; i++)
		of->inv[i] = ebb_inverse_std(std[i], eps);
}

static void given_statistics(const ebb_batchnorm_args *a, double eps, const statistics *of)
{
	for (int64_t i = 0; i < a->running_mean->count; i++) {
		of->centre[i] = ebb_value_at(a->running_mean, i);
		of->rest[i] = 0;
		of->inv[i] = 1.0 / sqrt(ebb_value_at(a->running_var, i) + eps);
	}
}

/* Computes scale and shift from the mean, inv, weight and bias. */
static void coefficients(const ebb_call *c, const statistics *of)
{
	const ebb_tensor *weight = c->in[WEIGHT], *bias = c->in[BIAS];

	for (int64_t i = 0; i < c->in[X]->shape[1]; i++) {
		of->scale[i] = ebb_weight_at(weight, i) * of->inv[i];
		of->shift[i] = (bias ? ebb_value_at(bias, i) : 0.0) - of->rest[i] * of->scale[i];
	}
}

/* Finishes a call that ebb_begin has started: checks, computes, records. */
static ebb_tensor *normalise(ebb_call *c, const ebb_batchnorm_args *a)
{
	norm_attrs k = {ebb_option(a->eps, 1e-5), ebb_is_training(a->t) || !a->running_mean};
	const ebb_tensor *x = c->in[X];
	ebb_tensor *y, *saved;
	int64_t channels;

	if (!c->t || !checks(c, a, k.batch))
		return NULL;
	channels = x->shape[1];
	saved = ebb_new(c, EBB_F64, EBB_SHAPE(PARTS * channels), EBB_ROWS);
	y = a->inplace ? ebb_new_over(c, X) : ebb_new_like(c, x);
	/* The statistics are computed also for an x without elements, because the gradient reads
	 * them. */
	if (y && saved && channels) {
		statistics of = statistics_of(saved, channels);
		ebb_float_state own = ebb_float_enter(ebb_flushes(x));

		if (k.batch)
			batch_statistics(c, a, k.eps, &of);
		else
			given_statistics(a, k.eps, &of);
		coefficients(c, &of);
		scale_and_shift(
			x, c->nin > RESIDUAL ? c->in[RESIDUAL] : NULL, c->nin > RESIDUAL, &of, y);
		ebb_float_leave(own);
	}
	ebb_save(c, saved);
	ebb_attach(c, &k, sizeof k);
	y = ebb_record(c, y);
	if (a->inplace && y)
		ebb_release(a->t, a->x);
	return y;
}

ebb_tensor *(ebb_batchnorm)(const ebb_batchnorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias};
	ebb_call c = ebb_begin(a->t, &BATCHNORM, a->site, 3, in);

	return normalise(&c, a);
}

/* The same as separate ops, for rules. */
static ebb_tensor *composed(const ebb_batchnorm_relu_args *a)
{
	ebb_tensor *y = (ebb_batchnorm)(&(ebb_batchnorm_args){.t = a->t,
		.x = a->x,
		.weight = a->weight,
		.bias = a->bias,
		.running_mean = a->running_mean,
		.running_var = a->running_var,
		.momentum = a->momentum,
		.eps = a->eps,
		.inplace = a->inplace && a->residual != a->x,
		.site = a->site});

	if (a->residual)
		y = (ebb_add)(a->t, y, a->residual, a->site);
	y = (ebb_relu)(a->t, y, a->site);
	if (a->inplace && y)
		ebb_release(a->t, a->x);
	return y;
}

ebb_tensor *(ebb_batchnorm_relu)(const ebb_batchnorm_relu_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias, a->residual};
	ebb_call c = ebb_begin(a->t, relu_op_for(a->residual), a->site, 4, in);
	char x[240], r[240];

	if (c.t && in[RESIDUAL] &&
		(!ebb_same_shape(in[X], in[RESIDUAL]) || in[X]->dtype != in[RESIDUAL]->dtype))
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"the residual must have x's shape and type: %s for x %s",
			ebb_describe(in[RESIDUAL], r, sizeof r), ebb_describe(in[X], x, sizeof x));
	if (c.t && ebb_is_unfused(a->t))
		return composed(a);
	return normalise(&c, &(ebb_batchnorm_args){.t = a->t,
				     .x = a->x,
				     .weight = a->weight,
				     .bias = a->bias,
				     .running_mean = a->running_mean,
				     .running_var = a->running_var,
				     .momentum = a->momentum,
				     .eps = a->eps,
				     .inplace = a->inplace,
				     .site = a->site});
}
