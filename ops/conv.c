/*
 * conv.c - 2-d convolution.
 *
 * Convolution, its input gradient and its weight gradient are linear in each of their operands,
 * and differentiate into one another:
 *
 *   y  = conv(x, w)           d/dx = grad_input(gy, w)    d/dw = grad_weight(x, gy)
 *
 *   gx = grad_input(gy, w)    d/dgy = conv(g, w)          d/dw = grad_weight(g, gy)
 *
 *   gw = grad_weight(x, gy)   d/dx = grad_input(gy, g)    d/dgy = conv(x, g)
 */
#include "ops/internal.h"

static ebb_tensor *conv(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, const ebb_conv_shape *s);
static ebb_tensor *grad_input(ebb_tape *t, ebb_tensor *gy, ebb_tensor *w, const ebb_conv_shape *s);
static ebb_tensor *grad_weight(ebb_vjp *v, ebb_tensor *x, ebb_tensor *gy);

/* ---- The three, as ops ----------------------------------------------------------------------- */

/* A multiplication and an addition per weight and output position, whichever way they go. */
static double conv_flops(const ebb_call *c, const ebb_tensor *y)
{
	const ebb_conv_shape *s = c->attrs;

	(void)y;
	return 2.0 * (double)s->n * (double)s->oh * (double)s->ow * (double)s->o *
	       (double)(s->c / s->groups) * (double)s->kh * (double)s->kw;
}

static void conv2d_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, grad_input(v->t, v->gy, v->in[1], v->attrs));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, grad_weight(v, v->in[0], v->gy));
	if (ebb_wants(v, 2))
		ebb_give(v, 2, ebb_sum(v->t, v->gy, EBB_AXES(0, 2, 3)));
}
static const ebb_op CONV2D = {.name = "conv2d",
	.vjp = conv2d_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.optional = EBB_IN(2),
	.takes = {EBB_CHANNELS_LAST, EBB_ROWS, EBB_ROWS},
	.flops = conv_flops};

static void grad_input_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, conv(v->t, v->gy, v->in[1], v->attrs));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, grad_weight(v, v->gy, v->in[0]));
}
static const ebb_op GRAD_INPUT = {.name = "conv2d_grad_input",
	.vjp = grad_input_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_CHANNELS_LAST, EBB_ROWS},
	.flops = conv_flops};

static void grad_weight_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, grad_input(v->t, v->in[1], v->gy, v->attrs));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, conv(v->t, v->in[0], v->gy, v->attrs));
}
static const ebb_op GRAD_WEIGHT = {.name = "conv2d_grad_weight",
	.vjp = grad_weight_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_CHANNELS_LAST, EBB_CHANNELS_LAST},
	.flops = conv_flops};

/* Runs one pass into y, which is complete when it returns; NULL if there is no scratch memory. */
static ebb_tensor *run(ebb_call *c, const ebb_conv_shape *s, ebb_conv_pass pass, ebb_tensor *y)
{
	void *ws;

	if (!y || !y->count)
		return y;
	ws = ebb_scratch(c, KERNELS(y)->conv_workspace(s, pass));
	if (!c->t)
		return NULL;
	if (pass == EBB_CONV_FORWARD)
		RUN(y, conv_forward, s, c->in[0]->data, c->in[1]->data,
			c->nin > 2 && c->in[2] ? c->in[2]->data : NULL, y->data, ws);
	else if (pass == EBB_CONV_GRAD_INPUT)
		RUN(y, conv_grad_input, s, c->in[0]->data, c->in[1]->data, y->data, ws);
	else
		RUN(y, conv_grad_weight, s, c->in[0]->data, c->in[1]->data, y->data, ws);
	return y;
}

/* The rest of a call that has begun, its inputs checked. */
static ebb_tensor *finish(ebb_call *c, ebb_conv_pass pass, const ebb_conv_shape *s)
{
	ebb_shape shape = pass == EBB_CONV_FORWARD ? EBB_SHAPE(s->n, s->o, s->oh, s->ow)
	                                           : EBB_SHAPE(s->n, s->c, s->h, s->w);
	ebb_tensor *y = ebb_new(c, ebb_dtype_of(c->in[0]), shape, EBB_CHANNELS_LAST);

	y = run(c, s, pass, y);
	ebb_attach(c, s, sizeof *s);
	return ebb_record(c, y);
}

static ebb_tensor *conv(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, const ebb_conv_shape *s)
{
	ebb_call c = ebb_begin(t, &CONV2D, NULL, 3, (ebb_tensor *[]){x, w, NULL});

	return finish(&c, EBB_CONV_FORWARD, s);
}

static ebb_tensor *grad_input(ebb_tape *t, ebb_tensor *gy, ebb_tensor *w, const ebb_conv_shape *s)
{
	ebb_call c = ebb_begin(t, &GRAD_INPUT, NULL, 2, (ebb_tensor *[]){gy, w});

	return finish(&c, EBB_CONV_GRAD_INPUT, s);
}

/* The gradient of input 1 of v's node. */
static ebb_tensor *grad_weight(ebb_vjp *v, ebb_tensor *x, ebb_tensor *gy)
{
	const ebb_conv_shape *s = v->attrs;
	ebb_call c = ebb_begin(v->t, &GRAD_WEIGHT, NULL, 2, (ebb_tensor *[]){x, gy});
	ebb_tensor *gw = run(&c, s, EBB_CONV_GRAD_WEIGHT, ebb_new_gradient(&c, v, 1));

	ebb_attach(&c, s, sizeof *s);
	return ebb_record(&c, gw);
}

/* ---- Checks and sizes ------------------------------------------------------------------------ */

static bool shapes_fit(ebb_call *c, int64_t groups)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
	char xs[240], ws[240], bs[240];

	ebb_describe(x, xs, sizeof xs);
	ebb_describe(w, ws, sizeof ws);
	if (x->ndim != 4 || w->ndim != 4) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x must be [N,C,H,W] and w [O,C/groups,Kh,Kw], got x %s, w %s", xs, ws);
	} else if (w->shape[2] < 1 || w->shape[3] < 1) {
		ebb_call_fail(c, EBB_BAD_SHAPE, "the kernel of w %s is empty", ws);
	} else if (groups < 1 || w->shape[0] % groups) {
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s does not divide into %lld groups of filters",
			ws, (long long)groups);
	} else if (x->shape[1] != w->shape[1] * groups) {
		ebb_call_fail(c, EBB_BAD_SHAPE, "x has %lld channels, w expects %lld (x %s, w %s)",
			(long long)x->shape[1], (long long)(w->shape[1] * groups), strchr(xs, '['),
			strchr(ws, '['));
	} else if (b && (b->ndim != 1 || b->shape[0] != w->shape[0])) {
		ebb_call_fail(c, EBB_BAD_SHAPE, "w has %lld filters, b is %s",
			(long long)w->shape[0], ebb_describe(b, bs, sizeof bs));
	}
	return c->t != NULL;
}

/* Output size along one axis, from padding before; EBB_SAME decides the padding. False if the
 * window does not fit. */
static bool out_size(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, bool same,
	int64_t *before, int64_t after, int64_t *out)
{
	int64_t extent = dilation * (kernel - 1) + 1, room;

	if (same) {
		int64_t total;

		*out = (in + stride - 1) / stride;
		total = (*out - 1) * stride + extent - in;
		*before = total > 0 ? total / 2 : 0;
		return true;
	}
	room = in + *before + after - extent;
	if (room < 0)
		return false;
	*out = room / stride + 1;
	return true;
}

enum { LIMIT = 1 << 30 };

static bool sizes(ebb_call *c, const ebb_conv2d_args *a, ebb_conv_shape *s)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1];
	bool same = a->pad == EBB_SAME && !a->pad_hw[0] && !a->pad_hw[1];
	int64_t bottom, right;
	char xs[240], ws[240];

	*s = (ebb_conv_shape){.n = x->shape[0],
		.c = x->shape[1],
		.h = x->shape[2],
		.w = x->shape[3],
		.o = w->shape[0],
		.kh = w->shape[2],
		.kw = w->shape[3]};
	s->groups = a->groups ? a->groups : 1;
	s->stride_h = ebb_option_hw(a->stride, a->stride_hw, 0, 1);
	s->stride_w = ebb_option_hw(a->stride, a->stride_hw, 1, 1);
	s->dilation_h = ebb_option_hw(a->dilation, a->dilation_hw, 0, 1);
	s->dilation_w = ebb_option_hw(a->dilation, a->dilation_hw, 1, 1);
	bottom = s->pad_top = ebb_option_hw(a->pad, a->pad_hw, 0, 0);
	right = s->pad_left = ebb_option_hw(a->pad, a->pad_hw, 1, 0);
	if (a->pad_tblr[0] || a->pad_tblr[1] || a->pad_tblr[2] || a->pad_tblr[3]) {
		same = false;
		s->pad_top = a->pad_tblr[0];
		bottom = a->pad_tblr[1];
		s->pad_left = a->pad_tblr[2];
		right = a->pad_tblr[3];
	}
	if (s->stride_h < 1 || s->stride_w < 1 || s->dilation_h < 1 || s->dilation_w < 1) {
		ebb_call_fail(c, EBB_INVALID,
			"stride %lldx%lld and dilation %lldx%lld must be positive",
			(long long)s->stride_h, (long long)s->stride_w, (long long)s->dilation_h,
			(long long)s->dilation_w);
		return false;
	}
	if (!same && (s->pad_top < 0 || bottom < 0 || s->pad_left < 0 || right < 0)) {
		ebb_call_fail(c, EBB_INVALID,
			"padding must not be negative: top %lld, bottom %lld, left %lld, right "
			"%lld",
			(long long)s->pad_top, (long long)bottom, (long long)s->pad_left,
			(long long)right);
		return false;
	}
	if (s->h > LIMIT || s->w > LIMIT || s->kh > LIMIT || s->kw > LIMIT) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"an image or kernel has more than %d rows or columns", LIMIT);
		return false;
	}
	if (!out_size(s->h, s->kh, s->stride_h, s->dilation_h, same, &s->pad_top, bottom, &s->oh) ||
		!out_size(s->w, s->kw, s->stride_w, s->dilation_w, same, &s->pad_left, right,
			&s->ow)) {
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"the kernel does not fit into the padded image (x %s, w %s)",
			ebb_describe(x, xs, sizeof xs), ebb_describe(w, ws, sizeof ws));
		return false;
	}
	return true;
}

ebb_tensor *(ebb_conv2d)(const ebb_conv2d_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b};
	ebb_call c = ebb_begin(a->t, &CONV2D, a->site, 3, in);
	ebb_conv_shape s;

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") ||
		!shapes_fit(&c, a->groups ? a->groups : 1) || !sizes(&c, a, &s))
		return NULL;
	return finish(&c, EBB_CONV_FORWARD, &s);
}

/* ---- Transposed: the input gradient as a forward --------------------------------------------- */

static const ebb_op CONV_TRANSPOSE2D = {.name = "conv_transpose2d",
	.vjp = grad_input_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_CHANNELS_LAST, EBB_ROWS},
	.flops = conv_flops};

static bool transposed_shapes_fit(ebb_call *c, int64_t groups, int64_t *filters)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
	char xs[240], ws[240], bs[240];

	ebb_describe(x, xs, sizeof xs);
	ebb_describe(w, ws, sizeof ws);
	if (x->ndim != 4 || w->ndim != 4)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x must be [N,C,H,W] and w [C,O/groups,Kh,Kw], got x %s, w %s", xs, ws);
	else if (x->shape[2] < 1 || x->shape[3] < 1 || w->shape[2] < 1 || w->shape[3] < 1)
		ebb_call_fail(c, EBB_BAD_SHAPE, "an image or kernel is empty (x %s, w %s)", xs, ws);
	else if (x->shape[1] != w->shape[0])
		ebb_call_fail(c, EBB_BAD_SHAPE, "x has %lld channels, w expects %lld (x %s, w %s)",
			(long long)x->shape[1], (long long)w->shape[0], strchr(xs, '['),
			strchr(ws, '['));
	else if (groups < 1 || w->shape[0] % groups ||
		 __builtin_mul_overflow(w->shape[1], groups, filters))
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s does not divide into %lld groups of channels",
			ws, (long long)groups);
	else if (b && (b->ndim != 1 || b->shape[0] != *filters))
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s makes %lld channels, b is %s", ws,
			(long long)*filters, ebb_describe(b, bs, sizeof bs));
	return c->t != NULL;
}

/* Output size along one axis, or -1: options out of range, or nothing left.  The numbers are
 * within an int or LIMIT, so that nothing overflows. */
static int64_t transposed_size(
	int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad, int64_t more)
{
	int64_t out;

	if (in > LIMIT || kernel > LIMIT || stride < 1 || dilation < 1 || pad < 0 || more < 0 ||
		(more >= stride && more >= dilation))
		return -1;
	out = (in - 1) * stride - 2 * pad + dilation * (kernel - 1) + more + 1;
	return out < 1 || out > LIMIT ? -1 : out;
}

static bool transposed_sizes(
	ebb_call *c, const ebb_conv_transpose2d_args *a, int64_t filters, ebb_conv_shape *s)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1];
	int64_t more_h = ebb_option_hw(a->output_pad, a->output_pad_hw, 0, 0),
		more_w = ebb_option_hw(a->output_pad, a->output_pad_hw, 1, 0);
	char xs[240], ws[240];

	*s = (ebb_conv_shape){.n = x->shape[0],
		.c = filters,
		.o = x->shape[1],
		.kh = w->shape[2],
		.kw = w->shape[3],
		.oh = x->shape[2],
		.ow = x->shape[3],
		.groups = a->groups ? a->groups : 1};
	s->stride_h = ebb_option_hw(a->stride, a->stride_hw, 0, 1);
	s->stride_w = ebb_option_hw(a->stride, a->stride_hw, 1, 1);
	s->dilation_h = ebb_option_hw(a->dilation, a->dilation_hw, 0, 1);
	s->dilation_w = ebb_option_hw(a->dilation, a->dilation_hw, 1, 1);
	s->pad_top = ebb_option_hw(a->pad, a->pad_hw, 0, 0);
	s->pad_left = ebb_option_hw(a->pad, a->pad_hw, 1, 0);
	s->h = transposed_size(s->oh, s->kh, s->stride_h, s->dilation_h, s->pad_top, more_h);
	s->w = transposed_size(s->ow, s->kw, s->stride_w, s->dilation_w, s->pad_left, more_w);
	if (s->h > 0 && s->w > 0)
		return true;
	ebb_call_fail(c, EBB_BAD_SHAPE,
		"no result of x %s, w %s, stride %lldx%lld, dilation %lldx%lld, padding %lldx%lld, "
		"output padding %lldx%lld (which must be below stride or dilation)",
		ebb_describe(x, xs, sizeof xs), ebb_describe(w, ws, sizeof ws),
		(long long)s->stride_h, (long long)s->stride_w, (long long)s->dilation_h,
		(long long)s->dilation_w, (long long)s->pad_top, (long long)s->pad_left,
		(long long)more_h, (long long)more_w);
	return false;
}

ebb_tensor *(ebb_conv_transpose2d)(const ebb_conv_transpose2d_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b}, *y;
	ebb_call c = ebb_begin(a->t, &CONV_TRANSPOSE2D, a->site, 2, in);
	ebb_conv_shape s;
	int64_t filters = 0;

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") ||
		!transposed_shapes_fit(&c, a->groups ? a->groups : 1, &filters) ||
		!transposed_sizes(&c, a, filters, &s))
		return NULL;
	y = finish(&c, EBB_CONV_GRAD_INPUT, &s);
	if (!a->b || !y)
		return y;
	return (ebb_add)(a->t, y, ebb_per_channel(a->t, a->b, 4, a->site), a->site);
}
