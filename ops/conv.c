/*
 * conv.c - 2-d convolution.
 *
 * Convolution, its input gradient and its weight gradient are linear in each of their operands.
 * The gradients of each of these three ops are calls of the other two.  In the last two rows, g is
 * the incoming gradient of gx and of gw:
 *
 *   y  = conv(x, w)           d/dx = grad_input(gy, w)    d/dw = grad_weight(x, gy)
 *
 *   gx = grad_input(gy, w)    d/dgy = conv(g, w)          d/dw = grad_weight(g, gy)
 *
 *   gw = grad_weight(x, gy)   d/dx = grad_input(gy, g)    d/dgy = conv(x, g)
 */
#include "ops/geometry.h"

static ebb_tensor *conv(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, const ebb_conv_shape *s);
static ebb_tensor *grad_input(ebb_tape *t, ebb_tensor *gy, ebb_tensor *w, const ebb_conv_shape *s);
static ebb_tensor *grad_weight(ebb_vjp *v, ebb_tensor *x, ebb_tensor *gy);

/* ---- The three ops --------------------------------------------------------------------------- */

/* One multiplication and one addition per weight and output position, in all three ops. */
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

/* Runs one pass (forward, input gradient, weight gradient) into y and returns y; NULL if there is
 * no scratch memory. */
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

/* Finishes a call whose inputs have been checked: allocates, computes, records. */
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

/* ---- Forward --------------------------------------------------------------------------------- */

ebb_tensor *(ebb_conv2d)(const ebb_conv2d_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b};
	ebb_call c = ebb_begin(a->t, &CONV2D, a->site, 3, in);
	ebb_conv_shape s;

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") || !ebb_conv_geometry(&c, a, &s))
		return NULL;
	return finish(&c, EBB_CONV_FORWARD, &s);
}

/* ---- Transposed convolution: its forward pass is the convolution's input gradient ------------ */

static const ebb_op CONV_TRANSPOSE2D = {.name = "conv_transpose2d",
	.vjp = grad_input_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_CHANNELS_LAST, EBB_ROWS},
	.flops = conv_flops};

ebb_tensor *(ebb_conv_transpose2d)(const ebb_conv_transpose2d_args *a)
{
	ebb_tensor *in[] = {a->x, a->w, a->b}, *y;
	ebb_call c = ebb_begin(a->t, &CONV_TRANSPOSE2D, a->site, 2, in);
	ebb_conv_shape s;

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_same_type(&c, 0, "x", 1, "w") ||
		!ebb_check_same_type(&c, 0, "x", 2, "b") || !ebb_conv_transpose_geometry(&c, a, &s))
		return NULL;
	y = finish(&c, EBB_CONV_GRAD_INPUT, &s);
	if (!a->b || !y)
		return y;
	return (ebb_add)(a->t, y, ebb_per_channel(a->t, a->b, 4, a->site), a->site);
}
