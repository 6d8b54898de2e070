/* upsample.c - nearest and bilinear upsampling.  It is linear: the op and its transpose are each
 * other's gradient. */
#include "ops/internal.h"

static ebb_tensor *run(ebb_call *c, const ebb_upsample_shape *s, bool transposed);

static void upsample_vjp(ebb_vjp *v);
static const ebb_op UPSAMPLE = {
	.name = "upsample", .vjp = upsample_vjp, .takes = {EBB_CHANNELS_LAST}};

static void upsample_grad_vjp(ebb_vjp *v)
{
	ebb_tensor *gy = v->gy;
	ebb_call c = ebb_begin(v->t, &UPSAMPLE, NULL, 1, &gy);

	ebb_give(v, 0, run(&c, v->attrs, false));
}
static const ebb_op UPSAMPLE_GRAD = {
	.name = "upsample_grad", .vjp = upsample_grad_vjp, .takes = {EBB_CHANNELS_LAST}};

static void upsample_vjp(ebb_vjp *v)
{
	ebb_tensor *gy = v->gy;
	ebb_call c = ebb_begin(v->t, &UPSAMPLE_GRAD, NULL, 1, &gy);

	ebb_give(v, 0, run(&c, v->attrs, true));
}

/* Finishes a call whose input has been checked. */
static ebb_tensor *run(ebb_call *c, const ebb_upsample_shape *s, bool transposed)
{
	const ebb_tensor *x = c->in[0];
	ebb_tensor *y = ebb_new(c, ebb_dtype_of(x),
		transposed ? EBB_SHAPE(s->n, s->c, s->h, s->w)
			   : EBB_SHAPE(s->n, s->c, s->oh, s->ow),
		EBB_CHANNELS_LAST);

	if (y && y->count && transposed)
		RUN(y, upsample_grad, s, x->data, y->data);
	else if (y && y->count)
		RUN(y, upsample, s, x->data, y->data);
	ebb_attach(c, s, sizeof *s);
	return ebb_record(c, y);
}

/* Sets the output size along one axis, and the step in x per output element.  With .scale, the step
 * is 1/scale even if the size was rounded.  False if the size is not positive or too large. */
static bool axis_of(const ebb_upsample_args *a, int which, int64_t in, int64_t *out, double *step)
{
	bool scaled = a->scale != 0 || a->scale_hw[0] != 0 || a->scale_hw[1] != 0;
	double scale = a->scale_hw[0] != 0 || a->scale_hw[1] != 0 ? a->scale_hw[which] : a->scale;
	double size = scaled ? floor((double)in * scale)
	                     : (double)ebb_option_hw(a->size, a->size_hw, which, 0);

	if (!(size >= 1 && size <= INT32_MAX))
		return false;
	*out = (int64_t)size;
	if (a->mode == EBB_BILINEAR && a->align_corners)
		*step = *out > 1 ? (double)(in - 1) / (double)(*out - 1) : 0;
	else
		*step = scaled ? 1 / scale : (double)in / size;
	return true;
}

static bool options_fit(ebb_call *c, const ebb_upsample_args *a)
{
	bool sized = a->size || a->size_hw[0] || a->size_hw[1];
	bool scaled = a->scale != 0 || a->scale_hw[0] != 0 || a->scale_hw[1] != 0;

	if (a->mode != EBB_NEAREST && a->mode != EBB_BILINEAR)
		ebb_call_fail(c, EBB_INVALID, "mode %d is not an ebb_upsample_mode", (int)a->mode);
	else if (a->align_corners && a->mode == EBB_NEAREST)
		ebb_call_fail(
			c, EBB_INVALID, ".align_corners is 1, but is for bilinear upsampling only");
	else if (sized == scaled)
		ebb_call_fail(c, EBB_INVALID,
			"exactly one of size and scale must be given, got %d of them",
			sized + scaled);
	return c->t != NULL;
}

ebb_tensor *(ebb_upsample)(const ebb_upsample_args *a)
{
	ebb_tensor *x = a->x;
	ebb_call c = ebb_begin(a->t, &UPSAMPLE, a->site, 1, &x);
	ebb_upsample_shape s;
	char text[240];

	if (!ebb_check_real(&c, 0, "x"))
		return NULL;
	if (x->ndim != 4 || x->shape[2] < 1 || x->shape[3] < 1)
		return ebb_call_fail(&c, EBB_BAD_SHAPE,
			"x must be [N,C,H,W] with H and W at least 1, got %s",
			ebb_describe(x, text, sizeof text));
	if (!options_fit(&c, a))
		return NULL;
	s = (ebb_upsample_shape){.n = x->shape[0],
		.c = x->shape[1],
		.h = x->shape[2],
		.w = x->shape[3],
		.bilinear = a->mode == EBB_BILINEAR,
		.align_corners = a->align_corners};
	if (!axis_of(a, 0, s.h, &s.oh, &s.step_h) || !axis_of(a, 1, s.w, &s.ow, &s.step_w))
		return ebb_call_fail(&c, EBB_INVALID,
			"the result would have no pixels, or more than 2^31 along an axis (x %s)",
			ebb_describe(x, text, sizeof text));
	return run(&c, &s, false);
}
