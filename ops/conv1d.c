/* conv1d.c - 1-d convolution: conv2d of images of one row. */
#include "ops/internal.h"

/* ---- [N,C,L] as [N,C,1,L], and back: views of any memory ------------------------------------- */

static ebb_tensor *as_image(ebb_tape *t, ebb_tensor *x, const char *site);
static ebb_tensor *as_line(ebb_tape *t, ebb_tensor *x, const char *site);

static void image_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, as_line(v->t, v->gy, NULL));
}
static const ebb_op IMAGE = {
	.name = "conv1d_image", .vjp = image_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static void line_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, as_image(v->t, v->gy, NULL));
}
static const ebb_op LINE = {
	.name = "conv1d_line", .vjp = line_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static ebb_tensor *as_image(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_call c = ebb_begin(t, &IMAGE, site, 1, &x);

	if (!c.t)
		return NULL;
	return ebb_record(
		&c, ebb_new_view(&c, x, EBB_SHAPE(x->shape[0], x->shape[1], 1, x->shape[2]),
			    (int64_t[]){x->strides[0], x->strides[1], x->strides[2], x->strides[2]},
			    0));
}

static ebb_tensor *as_line(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_call c = ebb_begin(t, &LINE, site, 1, &x);

	if (!c.t)
		return NULL;
	return ebb_record(&c, ebb_new_view(&c, x, EBB_SHAPE(x->shape[0], x->shape[1], x->shape[3]),
				      (int64_t[]){x->strides[0], x->strides[1], x->strides[3]}, 0));
}

/* ---- The composite, whose errors are its own ------------------------------------------------- */

static const ebb_op CONV1D = {.name = "conv1d"};

static bool shapes_fit(ebb_call *c, int64_t groups)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
	char xs[240], ws[240], bs[240];

	ebb_describe(x, xs, sizeof xs);
	ebb_describe(w, ws, sizeof ws);
	if (x->ndim != 3 || w->ndim != 3)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x must be [N,C,L] and w [O,C/groups,K], got x %s, w %s", xs, ws);
	else if (w->shape[2] < 1)
		ebb_call_fail(c, EBB_BAD_SHAPE, "the kernel of w %s is empty", ws);
	else if (groups < 1 || w->shape[0] % groups)
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s does not divide into %lld groups of filters",
			ws, (long long)groups);
	else if (x->shape[1] % groups || x->shape[1] / groups != w->shape[1])
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x has %lld channels, w expects %lld in each of %lld groups (x %s, w %s)",
			(long long)x->shape[1], (long long)w->shape[1], (long long)groups,
			strchr(xs, '['), strchr(ws, '['));
	else if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
		ebb_call_fail(c, EBB_BAD_SHAPE, "w has %lld filters, b is %s",
			(long long)w->shape[0], ebb_describe(b, bs, sizeof bs));
	return c->t != NULL;
}

static bool options_fit(ebb_call *c, int64_t stride, int64_t pad, int64_t dilation)
{
	int64_t length = c->in[0]->shape[2], taps = c->in[1]->shape[2];
	char xs[240], ws[240];

	if (stride < 1 || dilation < 1 || (pad < 0 && pad != EBB_SAME)) {
		ebb_call_fail(c, EBB_INVALID,
			"stride %lld and dilation %lld must be positive, padding %lld at least 0 "
			"or EBB_SAME",
			(long long)stride, (long long)dilation, (long long)pad);
	} else if (length > 1 << 30 || taps > 1 << 30 ||
		   (pad != EBB_SAME && length + 2 * pad < dilation * (taps - 1) + 1)) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"the kernel does not fit into the padded x, or has more than 2^30 taps (x "
			"%s, w %s)",
			ebb_describe(c->in[0], xs, sizeof xs),
			ebb_describe(c->in[1], ws, sizeof ws));
	}
	return c->t != NULL;
}

ebb_tensor *(ebb_conv1d)(const ebb_conv1d_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b}, *y;
	ebb_call c = {.t = a->t, .op = &CONV1D, .site = a->site, .nin = 3, .in = in};
	int stride = a->stride ? a->stride : 1, dilation = a->dilation ? a->dilation : 1,
	    groups = a->groups ? a->groups : 1, pad = a->pad == EBB_SAME ? 0 : a->pad;

	if (!ebb_given(a->t, a->x, "conv1d", a->site))
		return NULL;
	if (!a->w)
		return ebb_call_fail(&c, EBB_INVALID, "input 1 is NULL");
	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") || !shapes_fit(&c, groups) ||
		!options_fit(&c, stride, a->pad, dilation))
		return NULL;
	y = (ebb_conv2d)(&(ebb_conv2d_args){.t = a->t,
		.x = as_image(a->t, a->x, a->site),
		.w = as_image(a->t, a->w, a->site),
		.b = a->b,
		.pad = a->pad == EBB_SAME ? EBB_SAME : 0,
		.pad_hw = {0, pad},
		.stride_hw = {1, stride},
		.dilation_hw = {1, dilation},
		.groups = groups,
		.site = a->site});
	return as_line(a->t, y, a->site);
}
