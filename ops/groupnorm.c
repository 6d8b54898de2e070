/* groupnorm.c - normalisation of groups of channels, sample by sample (Wu & He 2018), and of single
 * ones (Ulyanov et al. 2016): the kernels of batch normalisation, one image at a time. */
#include "ops/internal.h"

typedef struct group_attrs {
	double eps;
	int64_t groups;
} group_attrs;

/* The sizes of x [N,C,..] with positions in each of N*C planes. */
typedef struct extent {
	int64_t n, c, positions, groups, per; /* per: channels of a group */
} extent;

static extent extent_of(const ebb_tensor *x, int64_t groups)
{
	extent e = {x->shape[0], x->shape[1], 1, groups, groups ? x->shape[1] / groups : 0};

	for (int i = 2; i < x->ndim; i++)
		e.positions *= x->shape[i];
	return e;
}

static unsigned char *image(const ebb_tensor *x, const extent *e, int64_t n)
{
	return (unsigned char *)x->data + n * e->positions * e->c * (int64_t)KERNELS(x)->real_size;
}

/* ---- The gradient, fused --------------------------------------------------------------------- */

static const ebb_op FUSED = {.name = "groupnorm_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST, EBB_ROWS}};

/* Scratch of C doubles each. */
typedef struct sums {
	double *sum, *dot;           /* of one image: sum gy, sum gy*xh */
	double *gw, *gb;             /* of all */
	double *by_gy, *by_x, *rest; /* gx = by_gy*gy + by_x*x + rest */
} sums;
enum { SUMS = 7 };

/* gx = inv*(g - mean g - xh*mean(g*xh)), g = gy*w, the means over the m elements of a group. */
static void group_coefficients(const extent *e, int64_t group, const ebb_tensor *weight,
	const double *mean, const double *inv, const sums *s)
{
	int64_t from = group * e->per, to = from + e->per;
	double m = (double)(e->per * e->positions), g = 0, gx = 0;

	for (int64_t c = from; c < to; c++) {
		g += ebb_weight_at(weight, c) * s->sum[c] / m;
		gx += ebb_weight_at(weight, c) * s->dot[c] / m;
	}
	for (int64_t c = from; c < to; c++) {
		s->by_gy[c] = ebb_weight_at(weight, c) * inv[c];
		s->by_x[c] = -inv[c] * inv[c] * gx;
		s->rest[c] = -inv[c] * g - s->by_x[c] * mean[c];
		/* A single element is its own mean: exactly 0, not what rounding leaves. */
		if (e->per * e->positions == 1)
			s->by_gy[c] = s->by_x[c] = s->rest[c] = 0;
	}
}

static void sweep_images(
	const extent *e, ebb_tensor *const *in, const double *saved, const sums *s, ebb_tensor *gx)
{
	for (int64_t n = 0; n < e->n && e->positions; n++) {
		const double *mean = saved + 2 * n * e->c, *inv = mean + e->c;

		RUN(in[1], batchnorm_sums, e->positions, e->c, image(in[1], e, n),
			image(in[0], e, n), NULL, mean, inv, s->sum, s->dot);
		for (int64_t c = 0; c < e->c; c++) {
			s->gb[c] += s->sum[c];
			s->gw[c] += s->dot[c];
		}
		if (!gx)
			continue;
		for (int64_t group = 0; group < e->groups; group++)
			group_coefficients(e, group, in[2], mean, inv, s);
		RUN(in[1], batchnorm_gx, e->positions, e->c, image(in[1], e, n), image(in[0], e, n),
			NULL, s->by_gy, s->by_x, s->rest, image(gx, e, n), NULL);
	}
}

static void fused_grad(ebb_vjp *v)
{
	const group_attrs *k = v->attrs;
	ebb_tensor *in[] = {v->gy, v->in[0], ebb_wants(v, 0) ? v->in[1] : NULL};
	ebb_tensor *gx = NULL, *gw = NULL, *gb = NULL;
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 3, in);
	extent e = extent_of(v->in[0], k->groups);
	double *p = ebb_scratch(&c, (size_t)(e.c ? e.c : 1) * SUMS * sizeof *p);

	if (p) {
		sums s = {p, p + e.c, p + 2 * e.c, p + 3 * e.c, p + 4 * e.c, p + 5 * e.c,
			p + 6 * e.c};

		for (int64_t i = 0; i < e.c; i++)
			s.gw[i] = s.gb[i] = 0;
		gx = ebb_wants(v, 0) ? ebb_new_like(&c, in[1]) : NULL;
		sweep_images(&e, in, (const double *)(const void *)v->saved[0]->data, &s, gx);
		gw = ebb_wants(v, 1) ? ebb_vector(&c, (ebb_dtype)in[1]->dtype, e.c, s.gw) : NULL;
		gb = ebb_wants(v, 2) ? ebb_vector(&c, (ebb_dtype)in[1]->dtype, e.c, s.gb) : NULL;
	}
	ebb_record(&c, gx ? gx : gw ? gw : gb);
	ebb_give(v, 0, gx);
	ebb_give(v, 1, gw);
	ebb_give(v, 2, gb);
}

/* ---- The same, composed of ops over x as [N,groups,rest] ------------------------------------- */

static void composed_grad(ebb_vjp *v)
{
	const group_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	extent e = extent_of(v->in[0], k->groups);
	ebb_shape rows = EBB_SHAPE(e.n, e.groups, e.per * e.positions),
		  shape = ebb_shape_of(v->in[0]);
	ebb_tensor *g = NULL, *xh, *gx;
	ebb_axes axes = ebb_but_channels(shape.ndim);

	if (ebb_wants(v, 0)) {
		g = v->in[1] ? ebb_mul(t, v->gy, ebb_per_channel(t, v->in[1], shape.ndim, NULL))
		             : v->gy;
		g = ebb_reshape(t, g, rows);
	}
	gx = ebb_normalised_grad(
		t, ebb_reshape(t, v->in[0], rows), g, EBB_AXES(2), k->eps, true, &xh);
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_reshape(t, gx, shape));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_sum(t, ebb_mul(t, v->gy, ebb_reshape(t, xh, shape)), axes));
	if (ebb_wants(v, 2))
		ebb_give(v, 2, ebb_sum(t, v->gy, axes));
}

static void groupnorm_vjp(ebb_vjp *v)
{
	if (!ebb_wants(v, 0) && !ebb_wants(v, 1)) /* reads nothing */
		ebb_give(v, 2, ebb_sum(v->t, v->gy, ebb_but_channels(ebb_ndim(v->gy))));
	else if (v->recording)
		composed_grad(v);
	else
		fused_grad(v);
}
#define GROUP_OP(op)                                                                               \
	{                                                                                          \
		.name = op, .vjp = groupnorm_vjp, .reads = {EBB_IN(0) | EBB_IN(1), EBB_IN(0)},     \
		.optional = EBB_IN(1) | EBB_IN(2), .takes = {                                      \
			EBB_CHANNELS_LAST,                                                         \
			EBB_ROWS,                                                                  \
			EBB_ROWS                                                                   \
		}                                                                                  \
	}
static const ebb_op GROUPNORM = GROUP_OP("groupnorm");
static const ebb_op INSTANCENORM = GROUP_OP("instancenorm");

/* ---- Forward --------------------------------------------------------------------------------- */

static bool is_per_channel(ebb_call *c, const ebb_tensor *p, const char *name)
{
	const ebb_tensor *x = c->in[0];
	char a[240], b[240];

	if (!p || (p->ndim == 1 && p->shape[0] == x->shape[1] && p->dtype == x->dtype))
		return true;
	ebb_call_fail(c, p->dtype == x->dtype ? EBB_BAD_SHAPE : EBB_BAD_DTYPE,
		"%s must hold one %s per channel: %s for x %s", name,
		ebb_dtype_name((ebb_dtype)x->dtype), ebb_describe(p, a, sizeof a),
		ebb_describe(x, b, sizeof b));
	return false;
}

static bool checks(ebb_call *c, double eps)
{
	char text[240];

	if (!ebb_check_real(c, 0, "x"))
		return false;
	if (c->in[0]->ndim < 2 || c->in[0]->ndim > 5) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x must be [N,C] or [N,C,..] of at most 5 axes, got %s",
			ebb_describe(c->in[0], text, sizeof text));
		return false;
	}
	if (!(eps >= 0) || !isfinite(eps)) {
		ebb_call_fail(c, EBB_INVALID, "eps is %g; it must be at least 0", eps);
		return false;
	}
	return is_per_channel(c, c->in[1], "weight") && is_per_channel(c, c->in[2], "bias");
}

/* Mean and variance of each channel become those of its group, the latter as 1/sqrt(var + eps). */
static void join_groups(const extent *e, double eps, double *mean, double *inv)
{
	for (int64_t from = 0; from < e->c; from += e->per) {
		double m = 0, var = 0;

		for (int64_t c = from; c < from + e->per; c++)
			m += mean[c] / (double)e->per;
		for (int64_t c = from; c < from + e->per; c++)
			var += (inv[c] + (mean[c] - m) * (mean[c] - m)) / (double)e->per;
		for (int64_t c = from; c < from + e->per; c++) {
			mean[c] = m;
			inv[c] = 1.0 / sqrt(var + eps);
		}
	}
}

static ebb_tensor *normalise(ebb_call *c, const group_attrs *k)
{
	ebb_tensor *x = c->in[0], *y, *saved;
	extent e = extent_of(x, k->groups);
	double *scale = NULL, *shift;

	y = ebb_new_like(c, x);
	saved = ebb_new(c, EBB_F64, EBB_SHAPE(e.n, 2, e.c), EBB_ROWS);
	if (y && y->count)
		scale = ebb_scratch(c, (size_t)e.c * 2 * sizeof *scale);
	shift = scale ? scale + e.c : NULL;
	for (int64_t n = 0; saved && scale && n < e.n; n++) {
		double *mean = (double *)(void *)saved->data + 2 * n * e.c, *inv = mean + e.c;

		RUN(x, batchnorm_stats, e.positions, e.c, image(x, &e, n), mean, inv);
		join_groups(&e, k->eps, mean, inv);
		for (int64_t i = 0; i < e.c; i++) {
			scale[i] = ebb_weight_at(c->in[1], i) * inv[i];
			shift[i] = (c->in[2] ? ebb_value_at(c->in[2], i) : 0) - mean[i] * scale[i];
		}
		RUN(x, scale_shift, e.positions, e.c, image(x, &e, n), scale, shift,
			image(y, &e, n));
	}
	ebb_save(c, saved);
	ebb_attach(c, k, sizeof *k);
	return ebb_record(c, y);
}

ebb_tensor *(ebb_groupnorm)(const ebb_groupnorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias};
	ebb_call c = ebb_begin(a->t, &GROUPNORM, a->site, 3, in);
	group_attrs k = {ebb_number(a->eps, 1e-5), a->groups};
	char text[240];

	if (!c.t || !checks(&c, k.eps))
		return NULL;
	if (k.groups < 1 || in[0]->shape[1] % k.groups != 0)
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"%lld groups cannot share the channels of x %s evenly", (long long)k.groups,
			ebb_describe(in[0], text, sizeof text));
	return normalise(&c, &k);
}

ebb_tensor *(ebb_instancenorm)(const ebb_instancenorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias};
	ebb_call c = ebb_begin(a->t, &INSTANCENORM, a->site, 3, in);
	group_attrs k = {ebb_number(a->eps, 1e-5), 0};

	if (!c.t || !checks(&c, k.eps))
		return NULL;
	k.groups = in[0]->shape[1];
	return normalise(&c, &k);
}
