/* lrn.c - local response normalisation (Krizhevsky et al. 2012), composed of ops and of a sum over
 * a window of channels. */
#include "ops/internal.h"

/* The window of channels [c - before, c + after] around channel c. */
typedef struct reach {
	int64_t before, after;
} reach;

static ebb_tensor *window_sums(ebb_tape *t, ebb_tensor *x, reach r, const char *site);

/* Channel j is in the windows of channels j - after .. j + before, so the gradient sums over the
 * mirrored window. */
static void window_vjp(ebb_vjp *v)
{
	const reach *r = v->attrs;

	ebb_give(v, 0, window_sums(v->t, v->gy, (reach){r->after, r->before}, NULL));
}
static const ebb_op WINDOW = {
	.name = "channel_window", .vjp = window_vjp, .takes = {EBB_CHANNELS_LAST}};

static ebb_tensor *window_sums(ebb_tape *t, ebb_tensor *x, reach r, const char *site)
{
	ebb_call c = ebb_begin(t, &WINDOW, site, 1, &x);
	ebb_tensor *y;

	if (!c.t)
		return NULL;
	y = ebb_new(&c, ebb_dtype_of(x), ebb_shape_of(x), EBB_CHANNELS_LAST);
	if (y && y->count)
		RUN(y, window_sums, y->count / y->shape[1], y->shape[1], r.before, r.after, x->data,
			y->data);
	ebb_attach(&c, &r, sizeof r);
	return ebb_record(&c, y);
}

/* u = sqrt(k + alpha/size*sum of x^2 over a window), computed without overflow where x^2
 * overflows. */
typedef struct norm_attrs {
	reach r;
	double scale, k;
} norm_attrs;

/* du[i]/dx[j] = scale*x[j]/u[i] where j is in window i. */
static void norm_vjp(ebb_vjp *v)
{
	const norm_attrs *k = v->attrs;
	ebb_tensor *g = ebb_div(v->t, v->gy, v->out);

	g = window_sums(v->t, g, (reach){k->r.after, k->r.before}, NULL);
	ebb_give(v, 0, ebb_mul(v->t, v->in[0], ebb_mul_scalar(v->t, g, k->scale)));
}
static const ebb_op NORM = {.name = "channel_norm",
	.vjp = norm_vjp,
	.reads = {EBB_IN(0) | EBB_OUT},
	.takes = {EBB_CHANNELS_LAST}};

static ebb_tensor *window_norms(ebb_tape *t, ebb_tensor *x, const norm_attrs *k, const char *site)
{
	ebb_call c = ebb_begin(t, &NORM, site, 1, &x);
	ebb_tensor *y;

	if (!c.t)
		return NULL;
	y = ebb_new(&c, ebb_dtype_of(x), ebb_shape_of(x), EBB_CHANNELS_LAST);
	if (y && y->count)
		RUN(y, window_norms, y->count / y->shape[1], y->shape[1], k->r.before, k->r.after,
			k->scale, k->k, x->data, y->data);
	ebb_attach(&c, k, sizeof *k);
	return ebb_record(&c, y);
}

static const ebb_op LRN = {.name = "local_response_norm"};

ebb_tensor *(ebb_local_response_norm)(const ebb_local_response_norm_args *a)
{
	ebb_tape *t = a->t;
	ebb_tensor *x = a->x, *u;
	ebb_call c = {.t = t, .op = &LRN, .site = a->site, .nin = 1, .in = &x};
	double alpha = ebb_option(a->alpha, 1e-4), beta = ebb_option(a->beta, 0.75);
	norm_attrs k = {{a->size / 2, ((int64_t)a->size - 1) / 2}, alpha, ebb_option(a->k, 1)};
	char text[240];

	if (!ebb_given(t, x, "local_response_norm", a->site) || !ebb_check_real(&c, 0, "x"))
		return NULL;
	if (x->ndim < 2 || x->ndim > 5)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "x must be [N,C,..] of 2 to 5 axes, got %s",
			ebb_describe(x, text, sizeof text));
	if (a->size < 1)
		return ebb_call_fail(&c, EBB_INVALID, "size is %d; it must be at least 1", a->size);
	k.scale /= a->size;
	/* With a negative alpha or k, u^2 may be negative and has no root: compute u^2 itself. */
	if (alpha < 0 || k.k < 0) {
		u = window_sums(t, (ebb_square)(t, x, a->site), k.r, a->site);
		u = (ebb_add_scalar)(t, (ebb_mul_scalar)(t, u, k.scale, a->site), k.k, a->site);
		return (ebb_mul)(t, x, (ebb_pow_scalar)(t, u, -beta, a->site), a->site);
	}
	u = window_norms(t, x, &k, a->site);
	return (ebb_mul)(t, (ebb_div)(t, x, u, a->site),
		(ebb_pow_scalar)(t, u, 1 - 2 * beta, a->site), a->site);
}
