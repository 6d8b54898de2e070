/* lrn.c - local response normalisation: composed, but for the sum over a window of channels. */
#include "ops/internal.h"

/* A window of channels, from before to after of the channel itself. */
typedef struct reach {
	int64_t before, after;
} reach;

static ebb_tensor *window_sums(ebb_tape *t, ebb_tensor *x, reach r, const char *site);

/* Channel j is in the windows of channels j - after .. j + before: the window mirrored. */
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

static const ebb_op LRN = {.name = "local_response_norm"};

ebb_tensor *(ebb_local_response_norm)(const ebb_local_response_norm_args *a)
{
	ebb_tape *t = a->t;
	ebb_tensor *x = a->x, *sum, *scale;
	ebb_call c = {.t = t, .op = &LRN, .site = a->site, .nin = 1, .in = &x};
	double alpha = ebb_number(a->alpha, 1e-4), beta = ebb_number(a->beta, 0.75),
	       k = ebb_number(a->k, 1);
	char text[240];

	if (!ebb_given(t, x, "local_response_norm", a->site) || !ebb_check_real(&c, 0, "x"))
		return NULL;
	if (x->ndim < 2 || x->ndim > 5)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "x must be [N,C,..] of 2 to 5 axes, got %s",
			ebb_describe(x, text, sizeof text));
	if (a->size < 1)
		return ebb_call_fail(&c, EBB_INVALID, "size is %d; it must be at least 1", a->size);
	sum = window_sums(
		t, (ebb_square)(t, x, a->site), (reach){a->size / 2, (a->size - 1) / 2}, a->site);
	scale = (ebb_add_scalar)(t, (ebb_mul_scalar)(t, sum, alpha / a->size, a->site), k, a->site);
	return (ebb_mul)(t, x, (ebb_pow_scalar)(t, scale, -beta, a->site), a->site);
}
