/* rearrange.c - ops that only move values: flip, tril and triu, split, pixel_shuffle. */
#include "ops/internal.h"

/* ---- flip: its own gradient ------------------------------------------------------------------ */

static void flip_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_flip(v->t, v->gy, *(const ebb_axes *)v->attrs));
}
static const ebb_op FLIP = {
	.name = "flip", .vjp = flip_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

ebb_tensor *(ebb_flip)(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site)
{
	ebb_call c = ebb_begin(t, &FLIP, site, 1, &x);
	bool chosen[EBB_MAX_DIMS];
	int64_t strides[EBB_MAX_DIMS], last = 0;
	ebb_tensor *y;
	size_t size;

	if (!c.t || !ebb_check_axes(&c, axes, x->ndim, chosen))
		return NULL;
	size = ebb_dtype_size((ebb_dtype)x->dtype);
	y = ebb_new_like(&c, x);
	if (y && y->count) {
		for (int i = 0; i < x->ndim; i++) {
			strides[i] = chosen[i] ? -x->strides[i] : x->strides[i];
			last += chosen[i] ? (x->shape[i] - 1) * x->strides[i] : 0;
		}
		ebb_copy_strided(size, x->ndim, x->shape, x->data + last * (int64_t)size, strides,
			y->data, y->strides);
	}
	ebb_attach(&c, &axes, sizeof axes);
	return ebb_record(&c, y);
}

/* ---- tril, triu: linear, and each its own gradient ------------------------------------------- */

static ebb_tensor *triangle(
	const ebb_op *op, ebb_tape *t, ebb_tensor *x, int64_t d, const char *site);

static void tril_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_tril(v->t, v->gy, *(const int64_t *)v->attrs));
}
static const ebb_op TRIL = {.name = "tril", .vjp = tril_vjp, .takes = {EBB_ROWS}};

static void triu_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_triu(v->t, v->gy, *(const int64_t *)v->attrs));
}
static const ebb_op TRIU = {.name = "triu", .vjp = triu_vjp, .takes = {EBB_ROWS}};

/* Row r keeps its first r + d + 1 elements (lower) or all but the first r + d (upper). */
static void copy_triangle(const ebb_tensor *x, ebb_tensor *y, int64_t d, bool upper)
{
	int64_t rows = x->shape[x->ndim - 2], cols = x->shape[x->ndim - 1];
	size_t size = ebb_dtype_size((ebb_dtype)x->dtype);

	d = d < -rows ? -rows : d > cols ? cols : d;
	memset(y->data, 0, (size_t)y->count * size);
	for (int64_t i = 0; i < x->count / cols; i++) {
		int64_t edge = i % rows + d + !upper, from, to;

		edge = edge < 0 ? 0 : edge > cols ? cols : edge;
		from = upper ? edge : 0;
		to = upper ? cols : edge;
		memcpy(y->data + (i * cols + from) * (int64_t)size,
			x->data + (i * cols + from) * (int64_t)size, (size_t)(to - from) * size);
	}
}

static ebb_tensor *triangle(
	const ebb_op *op, ebb_tape *t, ebb_tensor *x, int64_t d, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y;
	char text[240];

	if (!c.t)
		return NULL;
	if (x->ndim < 2)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "x needs at least two axes, got %s",
			ebb_describe(x, text, sizeof text));
	y = ebb_new(&c, (ebb_dtype)x->dtype, ebb_shape_of(x), EBB_ROWS);
	if (y && y->count)
		copy_triangle(x, y, d, op == &TRIU);
	ebb_attach(&c, &d, sizeof d);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_tril)(ebb_tape *t, ebb_tensor *x, int64_t d, const char *site)
{
	return triangle(&TRIL, t, x, d, site);
}

ebb_tensor *(ebb_triu)(ebb_tape *t, ebb_tensor *x, int64_t d, const char *site)
{
	return triangle(&TRIU, t, x, d, site);
}

/* ---- split: one slice per part --------------------------------------------------------------- */

/* Checks that n parts of the given sizes (NULL: equal sizes) exactly fill the axis. */
static bool parts_fit(
	ebb_tape *t, const ebb_tensor *x, int axis, int n, const int64_t *sizes, const char *site)
{
	int64_t left = x->shape[axis];
	char text[240];

	ebb_describe(x, text, sizeof text);
	if (!sizes && left % n) {
		ebb_fail(t, EBB_BAD_SHAPE, site,
			"split: axis %d of %s cannot be split into %d equal parts", axis, text, n);
		return false;
	}
	for (int k = 0; sizes && k < n; k++) {
		if (sizes[k] < 0 || sizes[k] > left) {
			ebb_fail(t, EBB_BAD_SHAPE, site,
				"split: sizes[%d] is %lld; axis %d of %s has %lld left", k,
				(long long)sizes[k], axis, text, (long long)left);
			return false;
		}
		left -= sizes[k];
	}
	if (sizes && left) {
		ebb_fail(t, EBB_BAD_SHAPE, site,
			"split: the %d sizes do not cover the last %lld elements of axis %d of %s",
			n, (long long)left, axis, text);
		return false;
	}
	return true;
}

bool(ebb_split)(ebb_tape *t, ebb_tensor *x, int axis, int n, const int64_t *sizes,
	ebb_tensor **part, const char *site)
{
	int64_t at = 0;
	bool ok = true;
	int a;

	for (int k = 0; part && k < n; k++)
		part[k] = NULL;
	if (!ebb_given(t, x, "split", site))
		return false;
	a = axis < 0 ? axis + x->ndim : axis;
	if (n < 1 || !part || a < 0 || a >= x->ndim) {
		char text[240];

		ebb_fail(t, EBB_INVALID, site, "split: %d parts along axis %d of %s%s", n, axis,
			ebb_describe(x, text, sizeof text), part ? "" : ", but part is NULL");
		return false;
	}
	if (!parts_fit(t, x, a, n, sizes, site))
		return false;
	for (int k = 0; k < n; k++) {
		int64_t size = sizes ? sizes[k] : x->shape[a] / n;

		part[k] = (ebb_slice)(t, x, a, at, at + size, 1, site);
		ok = ok && part[k];
		at += size;
	}
	for (int k = 0; !ok && k < n; k++)
		part[k] = NULL;
	return ok;
}

/* ---- pixel_shuffle: channels (c,i,j) of a pixel become its f x f pixels ---------------------- */

ebb_tensor *(ebb_pixel_shuffle)(ebb_tape *t, ebb_tensor *x, int64_t f, const char *site)
{
	ebb_shape shape;
	int64_t lead = 1, block, c, h, w;
	int at;
	char text[240];

	if (!ebb_given(t, x, "pixel_shuffle", site))
		return NULL;
	at = x->ndim - 3;
	shape = ebb_shape_of(x);
	if (at < 0 || f < 1 || __builtin_mul_overflow(f, f, &block) || x->shape[at] % block ||
		__builtin_mul_overflow(x->shape[at + 1], f, &shape.dims[at + 1]) ||
		__builtin_mul_overflow(x->shape[at + 2], f, &shape.dims[at + 2]))
		return ebb_fail(t, EBB_BAD_SHAPE, site,
			"pixel_shuffle: expects [..,C*f*f,H,W], got f = %lld and x %s",
			(long long)f, ebb_describe(x, text, sizeof text));
	c = shape.dims[at] = x->shape[at] / block;
	h = x->shape[at + 1];
	w = x->shape[at + 2];
	for (int i = 0; i < at; i++)
		lead *= x->shape[i];
	x = (ebb_reshape)(t, x, EBB_SHAPE(lead, c, f, f, h, w), site);
	x = (ebb_permute)(t, x, EBB_AXES(0, 1, 4, 2, 5, 3), site);
	return (ebb_reshape)(t, x, shape, site);
}
