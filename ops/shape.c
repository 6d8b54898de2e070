/* shape.c - reshape, permute, slice and the like: views where the strides allow it, else copies. */
#include "ops/internal.h"

/* ---- dense and expand: public functions of the ops that autograd/ itself uses ---------------- */

ebb_tensor *(ebb_dense)(ebb_tape *t, ebb_tensor *x, ebb_order order, const char *site)
{
	return ebb_linear_dense(t, x, order, site);
}

ebb_tensor *(ebb_expand)(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site)
{
	return ebb_linear_expand(t, x, shape, site);
}

/* ---- reshape --------------------------------------------------------------------------------- */

static void reshape_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_reshape(v->t, v->gy, ebb_shape_of(v->in[0])));
}
static const ebb_op RESHAPE = {.name = "reshape", .vjp = reshape_vjp, .takes = {EBB_ROWS}};

/* Replaces a dimension of -1 by the size for which the shape has count elements; false if no size
 * does. */
static bool infer(ebb_shape *s, int64_t count)
{
	int64_t known = 1;
	int hole = -1;

	if (s->ndim < 0 || s->ndim > EBB_MAX_DIMS)
		return false;
	for (int i = 0; i < s->ndim; i++) {
		if (s->dims[i] == -1 && hole < 0) {
			hole = i;
			continue;
		}
		if (s->dims[i] < 0 || __builtin_mul_overflow(known, s->dims[i], &known))
			return false;
	}
	if (hole < 0)
		return known == count;
	if (known == 0 || count % known)
		return false;
	s->dims[hole] = count / known;
	return true;
}

ebb_tensor *(ebb_reshape)(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site)
{
	ebb_call c = ebb_begin(t, &RESHAPE, site, 1, &x);
	int64_t strides[EBB_MAX_DIMS];
	ebb_shape wanted = shape;
	char a[240], b[240];

	if (!c.t)
		return NULL;
	/* The strides of an empty shape may overflow. */
	if (!infer(&shape, x->count) || ebb_checked_count(shape, ebb_dtype_of(x)) < 0)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "%s cannot be reshaped to %s",
			ebb_describe(x, a, sizeof a),
			wanted.ndim >= 0 && wanted.ndim <= EBB_MAX_DIMS
				? ebb_shape_text(wanted, b, sizeof b)
				: "?");
	ebb_strides_of(EBB_ROWS, shape.ndim, shape.dims, strides);
	return ebb_record(&c, ebb_new_view(&c, x, shape, strides, 0));
}

ebb_tensor *(ebb_flatten)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	int64_t rest = 1;
	char text[240];

	if (!ebb_given(t, x, "flatten", site))
		return NULL;
	if (x->ndim < 1)
		return ebb_fail(t, EBB_BAD_SHAPE, site,
			"flatten: x needs at least one axis, got %s",
			ebb_describe(x, text, sizeof text));
	for (int i = 1; i < x->ndim; i++)
		rest *= x->shape[i];
	return (ebb_reshape)(t, x, EBB_SHAPE(x->shape[0], rest), site);
}

ebb_tensor *(ebb_unsqueeze)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	char text[240];
	int at;

	if (!ebb_given(t, x, "unsqueeze", site))
		return NULL;
	at = axis < 0 ? axis + x->ndim + 1 : axis;
	if (at < 0 || at > x->ndim || x->ndim == EBB_MAX_DIMS)
		return ebb_fail(t, EBB_INVALID, site, "unsqueeze: cannot insert axis %d into %s",
			axis, ebb_describe(x, text, sizeof text));
	return (ebb_reshape)(t, x, ebb_with_axis(ebb_shape_of(x), at, 1), site);
}

ebb_tensor *(ebb_squeeze)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	char text[240];
	int at;

	if (!ebb_given(t, x, "squeeze", site))
		return NULL;
	at = axis < 0 ? axis + x->ndim : axis;
	if (at < 0 || at >= x->ndim || x->shape[at] != 1)
		return ebb_fail(t, EBB_BAD_SHAPE, site, "squeeze: axis %d of %s is not of size 1",
			axis, ebb_describe(x, text, sizeof text));
	return (ebb_reshape)(t, x, ebb_without_axis(ebb_shape_of(x), at), site);
}

/* ---- permute --------------------------------------------------------------------------------- */

static void permute_vjp(ebb_vjp *v)
{
	const ebb_axes *axes = v->attrs;
	ebb_axes back = {axes->n, {0}};

	for (int i = 0; i < axes->n; i++)
		back.axis[axes->axis[i]] = i;
	ebb_give(v, 0, ebb_permute(v->t, v->gy, back));
}
static const ebb_op PERMUTE = {
	.name = "permute", .vjp = permute_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

ebb_tensor *(ebb_permute)(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site)
{
	ebb_call c = ebb_begin(t, &PERMUTE, site, 1, &x);
	int64_t strides[EBB_MAX_DIMS];
	bool chosen[EBB_MAX_DIMS];
	ebb_shape shape;
	char text[240];

	if (!c.t)
		return NULL;
	if (axes.n != x->ndim)
		return ebb_call_fail(&c, EBB_INVALID, "%d axes given for %s", axes.n,
			ebb_describe(x, text, sizeof text));
	if (axes.n && !ebb_check_axes(&c, axes, x->ndim, chosen))
		return NULL;
	shape = ebb_shape_of(x);
	for (int i = 0; i < axes.n; i++) {
		axes.axis[i] += axes.axis[i] < 0 ? x->ndim : 0;
		shape.dims[i] = x->shape[axes.axis[i]];
		strides[i] = x->strides[axes.axis[i]];
	}
	ebb_attach(&c, &axes, sizeof axes);
	return ebb_record(&c, ebb_new_view(&c, x, shape, strides, 0));
}

ebb_tensor *(ebb_transpose)(ebb_tape *t, ebb_tensor *x, int axis_a, int axis_b, const char *site)
{
	ebb_axes axes;
	char text[240];
	int a, b;

	if (!ebb_given(t, x, "transpose", site))
		return NULL;
	a = axis_a < 0 ? axis_a + x->ndim : axis_a;
	b = axis_b < 0 ? axis_b + x->ndim : axis_b;
	if (a < 0 || a >= x->ndim || b < 0 || b >= x->ndim)
		return ebb_fail(t, EBB_INVALID, site,
			"transpose: axes %d and %d are not both axes of %s", axis_a, axis_b,
			ebb_describe(x, text, sizeof text));
	axes.n = x->ndim;
	for (int i = 0; i < x->ndim; i++)
		axes.axis[i] = i;
	axes.axis[a] = b;
	axes.axis[b] = a;
	return (ebb_permute)(t, x, axes, site);
}

/* ---- slice and its gradient (gy copied into zeros): each is the other's gradient ------------- */

typedef struct range {
	int axis;
	int64_t start, stop, step, size;
} range;

static ebb_tensor *slice_grad(ebb_tape *t, ebb_tensor *gy, const range *r);

static void slice_grad_vjp(ebb_vjp *v)
{
	const range *r = v->attrs;

	ebb_give(v, 0, ebb_slice(v->t, v->gy, r->axis, r->start, r->stop, r->step));
}
static const ebb_op SLICE_GRAD = {
	.name = "slice_grad", .vjp = slice_grad_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static ebb_tensor *slice_grad(ebb_tape *t, ebb_tensor *gy, const range *r)
{
	ebb_call c = ebb_begin(t, &SLICE_GRAD, NULL, 1, &gy);
	ebb_shape shape = ebb_shape_of(gy);
	int64_t strides[EBB_MAX_DIMS];
	ebb_tensor *gx;

	if (!c.t)
		return NULL;
	shape.dims[r->axis] = r->size;
	gx = ebb_new(&c, (ebb_dtype)gy->dtype, shape, ebb_order_kept(gy));
	if (gx && gx->count) {
		RUN(gx, fill, gx->count, 0.0, gx->data);
		memcpy(strides, gx->strides, sizeof strides);
		/* As in ebb_slice below: the stride of a single element is not read, and could
		 * overflow. */
		if (gy->shape[r->axis] > 1)
			strides[r->axis] *= r->step;
		if (gy->count)
			ebb_copy_strided(ebb_dtype_size((ebb_dtype)gy->dtype), gy->ndim, gy->shape,
				gy->data, gy->strides,
				gx->data + r->start * gx->strides[r->axis] *
						   (int64_t)ebb_dtype_size((ebb_dtype)gx->dtype),
				strides);
	}
	ebb_attach(&c, r, sizeof *r);
	return ebb_record(&c, gx);
}

static void slice_vjp(ebb_vjp *v)
{
	const range *r = v->attrs;

	if (!ebb_give_part(v, 0, v->gy, (ebb_selection){r->axis, r->start, r->step, NULL}))
		ebb_give(v, 0, slice_grad(v->t, v->gy, r));
}
static const ebb_op SLICE = {
	.name = "slice", .vjp = slice_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static int64_t clip_position(int64_t i, int64_t size)
{
	if (i < 0)
		i += size;
	return i < 0 ? 0 : i > size ? size : i;
}

ebb_tensor *(ebb_slice)(ebb_tape *t, ebb_tensor *x, int axis, int64_t start, int64_t stop,
	int64_t step, const char *site)
{
	ebb_call c = ebb_begin(t, &SLICE, site, 1, &x);
	range r = {0};
	int64_t strides[EBB_MAX_DIMS];
	ebb_shape shape;

	if (!c.t || (r.axis = ebb_check_axis(&c, axis, x->ndim)) < 0)
		return NULL;
	if (step < 1)
		return ebb_call_fail(
			&c, EBB_INVALID, "step is %lld; it must be at least 1", (long long)step);
	r.size = x->shape[r.axis];
	r.start = clip_position(start, r.size);
	r.stop = clip_position(stop, r.size);
	r.step = step;
	shape = ebb_shape_of(x);
	shape.dims[r.axis] = r.stop > r.start ? (r.stop - r.start - 1) / step + 1 : 0;
	memcpy(strides, x->strides, (size_t)x->ndim * sizeof *strides);
	/* The stride of a single element is not read, and its product with step could overflow. */
	if (shape.dims[r.axis] > 1)
		strides[r.axis] *= step;
	ebb_attach(&c, &r, sizeof r);
	return ebb_record(&c, ebb_new_view(&c, x, shape, strides, r.start * x->strides[r.axis]));
}
