/* conv1d.c - 1-d convolution: conv2d of images of one row. */
#include "ops/geometry.h"

/* ---- [N,C,L] as [N,C,1,L], and back: views, whatever the strides ----------------------------- */

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

/* ---- conv1d: its own checks and errors, then conv2d on [N,C,1,L] ----------------------------- */

static const ebb_op CONV1D = {.name = "conv1d"};

ebb_tensor *(ebb_conv1d)(const ebb_conv1d_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b}, *y;
	ebb_call c = {.t = a->t, .op = &CONV1D, .site = a->site, .nin = 3, .in = in};
	bool same = a->pad == EBB_SAME;

	if (!ebb_given(a->t, a->x, "conv1d", a->site))
		return NULL;
	if (!a->w)
		return ebb_call_fail(&c, EBB_INVALID, "input 1 is NULL");
	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") || !ebb_conv1d_fits(&c, a))
		return NULL;
	y = (ebb_conv2d)(&(ebb_conv2d_args){.t = a->t,
		.x = as_image(a->t, a->x, a->site),
		.w = as_image(a->t, a->w, a->site),
		.b = a->b,
		.pad = same ? EBB_SAME : 0,
		.pad_hw = {0, same ? 0 : a->pad},
		.stride_hw = {1, (int)ebb_option_count(a->stride, 1)},
		.dilation_hw = {1, (int)ebb_option_count(a->dilation, 1)},
		.groups = a->groups,
		.site = a->site});
	return as_line(a->t, y, a->site);
}
