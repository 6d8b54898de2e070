/* groupnorm.c - group normalisation (Wu & He 2018) and instance normalisation (Ulyanov et al.
 * 2016), which has one channel per group.  They call the kernels of batch normalisation for one
 * image at a time. */
#include "ops/internal.h"

typedef struct group_attrs {
	double eps;
	int64_t groups;
} group_attrs;

/* The sizes of x [N,C,..]: each of the N*C planes has positions elements. */
typedef struct extent {
	int64_t n, c, positions, groups, per; /* per: the number of channels of a group */
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

/* Saved for backward for each image, C doubles each: the mean of each channel's group, as centre +
 * rest, and inv = 1/sqrt(variance + eps). */
typedef struct statistics {
	double *centre, *rest, *inv;
} statistics;
enum { CENTRE, REST, INV, PARTS };

static statistics statistics_of(const ebb_tensor *saved, const extent *e, int64_t n)
{
	double *p = (double *)(void *)saved->data + n * PARTS * e->c;

	return (statistics){p + CENTRE * e->c, p + REST * e->c, p + INV * e->c};
}

/* ---- The gradient, fused --------------------------------------------------------------------- */

static const ebb_op FUSED = {.name = "groupnorm_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST, EBB_ROWS}};

/* Scratch of C doubles each. */
typedef struct sums {
	double *sum, *dot;          /* of one image: sum of gy, sum of gy*xh */
	double *gw, *gb;            /* of all images */
	double *by_g, *by_x, *plus; /* gx = inv*(by_g*gy + by_x*(x - centre) + plus) */
} sums;
enum { SUMS = 7 };

/* gx = inv*(g - mean g - xh*mean(g*xh)), g = gy*w, the means over the m elements of a group. */
static void group_coefficients(const extent *e, int64_t group, const ebb_tensor *weight,
	const statistics *k, const sums *s)
{
	int64_t from = group * e->per, to = from + e->per;
	double m = (double)(e->per * e->positions), g = 0, gx = 0;

	for (int64_t c = from; c < to; c++) {
		g += ebb_weight_at(weight, c) * s->sum[c] / m;
		gx += ebb_weight_at(weight, c) * s->dot[c] / m;
	}
	for (int64_t c = from; c < to; c++) {
		s->by_g[c] = ebb_weight_at(weight, c);
		s->by_x[c] = -k->inv[c] * gx;
		s->plus[c] = -g - s->by_x[c] * k->rest[c];
		/* A group of one element is its own mean: its gradient is exactly 0, without
		 * rounding errors. */
		if (e->per * e->positions == 1)
			s->by_g[c] = s->by_x[c] = s->plus[c] = 0;
	}
}

static void sweep_images(const extent *e, ebb_tensor *const *in, const ebb_tensor *saved,
	const sums *s, ebb_tensor *gx)
{
	ebb_float_state own = ebb_float_enter(ebb_flushes(in[1]));

	for (int64_t n = 0; n < e->n && e->positions; n++) {
		statistics of = statistics_of(saved, e, n);
		ebb_norm_grad by = {of.centre, s->by_g, s->by_x, s->plus, of.inv};

		KERNELS(in[1])->batchnorm_sums(e->positions, e->c, image(in[1], e, n),
			image(in[0], e, n), NULL, of.centre, of.rest, of.inv, s->sum, s->dot);
		for (int64_t c = 0; c < e->c; c++) {
			s->gb[c] += s->sum[c];
			s->gw[c] += s->dot[c];
		}
		if (!gx)
			continue;
		for (int64_t group = 0; group < e->groups; group++)
			group_coefficients(e, group, in[2], &of, s);
		KERNELS(in[1])->batchnorm_gx(e->positions, e->c, image(in[1], e, n),
			image(in[0], e, n), NULL, &by, image(gx, e, n), NULL);
	}
	ebb_float_leave(own);
}

static void fused_grad(ebb_vjp *v)
{
	const group_attrs *k = v->attrs;
	ebb_tensor *in[] = {v->gy, v->in[0], ebb_wants(v, 0) ? v->in[1] : NULL};
	ebb_tensor *gx = NULL, *gw = NULL, *gb = NULL;
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 3, in);
	extent e = extent_of(v->in[0], k->groups);
	double *p = ebb_scratch(&c, ebb_bytes_of(e.c ? e.c : 1, SUMS * sizeof *p));

	if (p) {
		sums s = {p, p + e.c, p + 2 * e.c, p + 3 * e.c, p + 4 * e.c, p + 5 * e.c,
			p + 6 * e.c};

		for (int64_t i = 0; i < e.c; i++)
			s.gw[i] = s.gb[i] = 0;
		gx = ebb_wants(v, 0) ? ebb_new_like(&c, in[1]) : NULL;
		/* If the call has failed, its scratch memory is freed already. */
		if (c.t)
			sweep_images(&e, in, v->saved[0], &s, gx);
		gw = ebb_wants(v, 1) ? ebb_vector(&c, (ebb_dtype)in[1]->dtype, e.c, s.gw) : NULL;
		gb = ebb_wants(v, 2) ? ebb_vector(&c, (ebb_dtype)in[1]->dtype, e.c, s.gb) : NULL;
	}
	ebb_record(&c, gx ? gx : gw ? gw : gb);
	ebb_give(v, 0, gx);
	ebb_give(v, 1, gw);
	ebb_give(v, 2, gb);
}

/* ---- The gradient, composed of ops over x as [N,groups,rest] --------------------------------- */

/* Part k (CENTRE, REST, INV) of the saved statistics, as [N,groups,1] of x's type. */
static ebb_tensor *saved_part(ebb_vjp *v, int k, const extent *e)
{
	ebb_tensor *s = ebb_slice(v->t, v->saved[0], 1, k, k + 1, 1);

	s = ebb_slice(v->t, s, 2, 0, e->c, e->per);
	s = ebb_cast(v->t, s, ebb_dtype_of(v->in[0]));
	return ebb_reshape(v->t, s, EBB_SHAPE(e->n, e->groups, 1));
}

static void composed_grad(ebb_vjp *v)
{
	const group_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	extent e = extent_of(v->in[0], k->groups);
	ebb_shape rows = EBB_SHAPE(e.n, e.groups, e.per * e.positions),
		  shape = ebb_shape_of(v->in[0]);
	ebb_tensor *g = NULL, *xh, *gx;
	ebb_axes axes = ebb_but_channels(shape.ndim);
	/* An x without elements has no statistics. */
	ebb_norm_known known = {ebb_count(v->in[0]) ? saved_part(v, CENTRE, &e) : NULL, NULL};

	for (int64_t n = 0; !known.scale && n < e.n; n++)
		if (ebb_norm_needs_scale(v->in[0], e.c, statistics_of(v->saved[0], &e, n).inv))
			known.scale = saved_part(v, INV, &e);
	if (ebb_wants(v, 0)) {
		g = v->in[1] ? ebb_mul(t, v->gy, ebb_per_channel(t, v->in[1], shape.ndim, NULL))
		             : v->gy;
		g = ebb_reshape(t, g, rows);
	}
	gx = ebb_normalised_grad(
		t, ebb_reshape(t, v->in[0], rows), &known, g, EBB_AXES(2), k->eps, &xh);
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_reshape(t, gx, shape));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_sum(t, ebb_mul(t, v->gy, ebb_reshape(t, xh, shape)), axes));
	if (ebb_wants(v, 2))
		ebb_give(v, 2, ebb_sum(t, v->gy, axes));
}

static void groupnorm_vjp(ebb_vjp *v)
{
	if (!ebb_wants(v, 0) && !ebb_wants(v, 1)) /* the bias' gradient reads no saved value */
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

/* The standard deviation of the group of channels [from,to), whose mean is base + m.  of->inv holds
 * the channels' own standard deviations. */
static double group_std(const statistics *of, int64_t from, int64_t to, double base, double m)
{
	double most = 0, sum = 0;

	/* The deviations are divided by the largest one, because their squares may overflow or
	 * underflow.  A NaN stays NaN. */
	for (int64_t c = from; c < to; c++) {
		double d = fabs((of->centre[c] - base) + of->rest[c] - m);

		d = d < of->inv[c] ? of->inv[c] : d;
		most = d > most || isnan(d) ? d : most;
	}
	for (int64_t c = from; c < to && most > 0; c++) {
		double d = ((of->centre[c] - base) + of->rest[c] - m) / most;

		sum += (of->inv[c] / most * (of->inv[c] / most) + d * d) / (double)(to - from);
	}
	return most * sqrt(sum);
}

/* Replaces the mean and standard deviation (in inv) of each channel by the mean of its group and by
 * 1/sqrt(variance + eps) of its group.  The means are summed as differences from the first
 * channel's, against cancellation. */
static void join_groups(const extent *e, ebb_dtype dtype, double eps, const statistics *of)
{
	for (int64_t from = 0; from < e->c; from += e->per) {
		int64_t to = from + e->per;
		double base = of->centre[from], m = 0, inv, centre, rest;

		for (int64_t c = from; c < to; c++)
			m += ((of->centre[c] - base) + of->rest[c]) / (double)e->per;
		inv = ebb_inverse_std(group_std(of, from, to, base, m), eps);
		centre = dtype == EBB_F64 ? base + m : (double)(float)(base + m);
		rest = (base - centre) + m;
		for (int64_t c = from; c < to; c++) {
			of->centre[c] = centre;
			of->rest[c] = rest;
			of->inv[c] = inv;
		}
	}
}

static ebb_tensor *normalise(ebb_call *c, const group_attrs *k)
{
	ebb_tensor *x = c->in[0], *y, *saved;
	extent e = extent_of(x, k->groups);
	double *scale = NULL, *shift;
	ebb_float_state own;

	if (!c->t)
		return NULL;
	y = ebb_new_like(c, x);
	saved = ebb_new(c, EBB_F64, EBB_SHAPE(e.n, PARTS, e.c), EBB_ROWS);
	if (y && y->count)
		scale = ebb_scratch(c, ebb_bytes_of(e.c, 2 * sizeof *scale));
	shift = scale ? scale + e.c : NULL;
	own = ebb_float_enter(ebb_flushes(x));
	for (int64_t n = 0; saved && scale && n < e.n; n++) {
		statistics of = statistics_of(saved, &e, n);

		KERNELS(x)->batchnorm_stats(
			e.positions, e.c, image(x, &e, n), k->eps, of.centre, of.rest, of.inv);
		join_groups(&e, ebb_dtype_of(x), k->eps, &of);
		for (int64_t i = 0; i < e.c; i++) {
			scale[i] = ebb_weight_at(c->in[1], i) * of.inv[i];
			shift[i] =
				(c->in[2] ? ebb_value_at(c->in[2], i) : 0) - of.rest[i] * scale[i];
		}
		KERNELS(x)->scale_shift(e.positions, e.c, image(x, &e, n), of.centre, scale, shift,
			image(y, &e, n));
	}
	ebb_float_leave(own);
	ebb_save(c, saved);
	ebb_attach(c, k, sizeof *k);
	return ebb_record(c, y);
}

ebb_tensor *(ebb_groupnorm)(const ebb_groupnorm_args *a)
{
	ebb_tensor *in[] = {a->x, a->weight, a->bias};
	ebb_call c = ebb_begin(a->t, &GROUPNORM, a->site, 3, in);
	group_attrs k = {ebb_option(a->eps, 1e-5), a->groups};
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
	group_attrs k = {ebb_option(a->eps, 1e-5), 0};

	if (!c.t || !checks(&c, k.eps))
		return NULL;
	k.groups = in[0]->shape[1];
	return normalise(&c, &k);
}
