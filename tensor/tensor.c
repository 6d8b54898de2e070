/* tensor.c - accessors of tensors, persistent tensors, and the gradients of leaves. */
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* ---- Shape ----------------------------------------------------------------------------------- */

int ebb_ndim(const ebb_tensor *x)
{
	return x && !ebb_is_stale(x, "ndim") ? x->ndim : 0;
}

static int checked_axis(const ebb_tensor *x, int axis, const char *who)
{
	if (!x || ebb_is_stale(x, who))
		return -1;
	if (axis < 0)
		axis += x->ndim;
	return axis >= 0 && axis < x->ndim ? axis : -1;
}

int64_t ebb_size(const ebb_tensor *x, int axis)
{
	axis = checked_axis(x, axis, "size");
	return axis < 0 ? 0 : x->shape[axis];
}

int64_t ebb_stride(const ebb_tensor *x, int axis)
{
	axis = checked_axis(x, axis, "stride");
	return axis < 0 ? 0 : x->strides[axis];
}

int64_t ebb_count(const ebb_tensor *x)
{
	return x && !ebb_is_stale(x, "count") ? x->count : 0;
}

/* ebb_shape_of, which accepts a stale handle. */
static ebb_shape any_shape_of(const ebb_tensor *x)
{
	ebb_shape s = {x->ndim, {0}};

	memcpy(s.dims, x->shape, x->ndim * sizeof *s.dims);
	return s;
}

ebb_shape ebb_shape_of(const ebb_tensor *x)
{
	return x && !ebb_is_stale(x, "shape_of") ? any_shape_of(x) : EBB_SCALAR_SHAPE;
}

ebb_dtype ebb_dtype_of(const ebb_tensor *x)
{
	return x && !ebb_is_stale(x, "dtype_of") ? (ebb_dtype)x->dtype : EBB_DEFAULT;
}

bool ebb_requires_grad(const ebb_tensor *x)
{
	return x && !ebb_is_stale(x, "requires_grad") &&
	       (x->node >= 0 || (x->flags & (EBB_F_WANTS_GRAD | EBB_F_LEAF)));
}

const char *ebb_shape_text(ebb_shape s, char *buffer, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < s.ndim && n < size; i++)
		n += (size_t)snprintf(
			buffer + n, size - n, "%s%lld", i ? "," : "[", (long long)s.dims[i]);
	if (n < size)
		snprintf(buffer + n, size - n, "%s", s.ndim ? "]" : "[]");
	return buffer;
}

const char *ebb_describe_any(const ebb_tensor *x, char *buffer, size_t size)
{
	char shape[200];

	if (size)
		snprintf(buffer, size, "%s%s%s", x ? ebb_dtype_name((ebb_dtype)x->dtype) : "NULL",
			x ? " " : "",
			x ? ebb_shape_text(any_shape_of(x), shape, sizeof shape) : "");
	return buffer;
}

const char *ebb_describe(const ebb_tensor *x, char *buffer, size_t size)
{
	ebb_is_stale(x, "describe");
	return ebb_describe_any(x, buffer, size);
}

/* ---- Names ----------------------------------------------------------------------------------- */

enum { NAME = 64 };

const char *ebb_name(const ebb_tensor *x)
{
	return x && !ebb_is_stale(x, "name") && x->name ? x->name : "";
}

void ebb_set_name(ebb_tensor *x, const char *name)
{
	if (!x || !name || ebb_is_stale(x, "set_name") || (x->flags & EBB_F_IMPORTED))
		return;
	if (!x->name) {
		x->name = x->tape ? ebb_arena_take(&ebb_context_of(x->tape)->names, NAME)
		                  : ebb_alloc(NAME);
		if (!x->name) {
			ebb_no_memory(x->tape, NULL, "a name", NAME);
			return;
		}
	}
	snprintf(x->name, NAME, "%s", name);
}

/* ---- Values ---------------------------------------------------------------------------------- */

int64_t ebb_offset_of(const ebb_tensor *x, int64_t index)
{
	int64_t at = 0;

	for (int i = x->ndim - 1; i >= 0; i--) {
		at += index % x->shape[i] * x->strides[i];
		index /= x->shape[i];
	}
	return at;
}

double ebb_value_at_offset(const ebb_tensor *x, int64_t at)
{
	switch ((ebb_dtype)x->dtype) {
	case EBB_F32:
		return ((const float *)(const void *)x->data)[at];
	case EBB_F64:
		return ((const double *)(const void *)x->data)[at];
	case EBB_I64:
		return (double)((const int64_t *)(const void *)x->data)[at];
	case EBB_U8:
		return ((const uint8_t *)x->data)[at];
	default:
		return NAN;
	}
}

double ebb_value_at(const ebb_tensor *x, int64_t index)
{
	return ebb_value_at_offset(x, ebb_offset_of(x, index));
}

const char *ebb_dropped_how(const ebb_tensor *x)
{
	return x->dropped_by ? "was dropped at the end of scope " : "was released";
}

/* Whether x's value can be read; if not, its tape fails.  who: the accessor. */
static bool readable(const ebb_tensor *x, const char *who)
{
	char text[240];

	if (!x || ebb_is_stale(x, who))
		return false;
	if (!(x->flags & (EBB_F_DROPPED | EBB_F_HIDDEN)))
		return true;
	if (x->flags & EBB_F_HIDDEN) {
		ebb_fail(x->tape, EBB_BAD_STATE, NULL,
			"%s: the gradient reads %s without declaring it in .reads", who,
			ebb_describe(x, text, sizeof text));
		return false;
	}
	ebb_fail(x->tape, EBB_BAD_STATE, NULL, "%s: the value of %s %s%s", who,
		ebb_describe(x, text, sizeof text), ebb_dropped_how(x),
		x->dropped_by ? x->dropped_by : "");
	return false;
}

double ebb_item(const ebb_tensor *x)
{
	char text[240];

	if (!readable(x, "item"))
		return NAN;
	if (x->count != 1) {
		ebb_fail(x->tape, EBB_BAD_SHAPE, NULL, "item: needs one element, got %s",
			ebb_describe(x, text, sizeof text));
		return NAN;
	}
	return ebb_value_at(x, 0);
}

double ebb_at(const ebb_tensor *x, int64_t i)
{
	if (!readable(x, "at") || i < 0 || i >= x->count)
		return NAN;
	return ebb_value_at(x, i);
}

static bool right_size(const ebb_tensor *x, const void *memory, size_t bytes, const char *who)
{
	size_t wanted = (size_t)x->count * ebb_dtype_size((ebb_dtype)x->dtype);
	char text[240];

	if (bytes == wanted && (memory || bytes == 0))
		return true;
	ebb_fail(x->tape, EBB_INVALID, NULL, "%s: %s has %zu bytes, got %zu%s", who,
		ebb_describe(x, text, sizeof text), wanted, bytes, memory ? "" : " at NULL");
	return false;
}

bool ebb_copy_out(const ebb_tensor *x, void *dst, size_t bytes)
{
	int64_t strides[EBB_MAX_DIMS];

	if (!readable(x, "copy_out") || !right_size(x, dst, bytes, "copy_out"))
		return false;
	ebb_strides_of(EBB_ROWS, x->ndim, x->shape, strides);
	if (x->count)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)x->dtype), x->ndim, x->shape, x->data,
			x->strides, dst, strides);
	return true;
}

bool ebb_copy_in(ebb_tensor *x, const void *src, size_t bytes)
{
	int64_t strides[EBB_MAX_DIMS];

	if (!readable(x, "copy_in") || !right_size(x, src, bytes, "copy_in"))
		return false;
	if (x->flags & EBB_F_COMPUTED) {
		ebb_fail(x->tape, EBB_BAD_STATE, NULL,
			"copy_in: the result of an op cannot be overwritten");
		return false;
	}
	ebb_strides_of(EBB_ROWS, x->ndim, x->shape, strides);
	if (x->count)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)x->dtype), x->ndim, x->shape, src,
			strides, x->data, x->strides);
	ebb_overwrite(x->storage);
	return true;
}

const void *ebb_data(const ebb_tensor *x)
{
	return readable(x, "data") ? x->data : NULL;
}

void *ebb_data_mutable(ebb_tensor *x)
{
	if (!readable(x, "data_mutable"))
		return NULL;
	ebb_overwrite(x->storage);
	return x->data;
}

uint32_t ebb_version(const ebb_tensor *x)
{
	return x ? x->storage->version : 0;
}

/* ---- Persistent tensors ---------------------------------------------------------------------- */

ebb_tensor *ebb_persistent_new(
	ebb_dtype dtype, ebb_shape shape, bool channels_last, bool zeroed, ebb_error *e)
{
	int64_t count;
	size_t bytes;
	ebb_tensor *x;
	char text[200];

	if (dtype == EBB_DEFAULT)
		dtype = EBB_F32;
	if (!ebb_dtype_size(dtype)) {
		ebb_error_set(
			e, EBB_BAD_DTYPE, NULL, "tensor: there is no dtype number %d", (int)dtype);
		return NULL;
	}
	count = ebb_checked_count(shape, dtype);
	if (channels_last && (shape.ndim < 3 || shape.ndim > 5)) {
		ebb_error_set(e, EBB_BAD_SHAPE, NULL,
			"tensor: channels_last needs 3 to 5 axes, got %d", shape.ndim);
		return NULL;
	}
	if (count < 0) {
		ebb_error_set(e, EBB_BAD_SHAPE, NULL,
			"tensor: %d axes (at most %d), shape %s: negative sizes, or too many bytes",
			shape.ndim, EBB_MAX_DIMS,
			shape.ndim >= 0 && shape.ndim <= EBB_MAX_DIMS
				? ebb_shape_text(shape, text, sizeof text)
				: "?");
		return NULL;
	}
	bytes = (size_t)count * ebb_dtype_size(dtype);
	x = ebb_alloc_zeroed(sizeof *x);
	if (x)
		x->storage = ebb_storage_new(bytes);
	if (!x || !x->storage) {
		ebb_free(x, sizeof *x);
		ebb_error_set(e, EBB_NO_MEMORY, NULL,
			"tensor: no memory for %s of shape %s (%zu bytes)", ebb_dtype_name(dtype),
			ebb_shape_text(shape, text, sizeof text), bytes);
		return NULL;
	}
	x->data = ebb_storage_data(x->storage);
	if (zeroed)
		memset(x->data, 0, bytes);
	x->count = count;
	x->node = -1;
	x->dtype = (uint8_t)dtype;
	x->ndim = (uint8_t)shape.ndim;
	memcpy(x->shape, shape.dims, (size_t)shape.ndim * sizeof *x->shape);
	ebb_strides_of(channels_last ? EBB_CHANNELS_LAST : EBB_ROWS, x->ndim, x->shape, x->strides);
	x->flags = ebb_layout_of(x->ndim, x->shape, x->strides);
	return x;
}

ebb_tensor *ebb_tensor_new(ebb_dtype dtype, ebb_shape shape, bool channels_last, ebb_error *e)
{
	return ebb_persistent_new(dtype, shape, channels_last, true, e);
}

void ebb_tensor_free(ebb_tensor *x)
{
	if (!x || x->tape)
		return;
	ebb_tensor_free(x->grad);
	ebb_free(x->name, NAME);
	ebb_storage_free(x->storage);
	ebb_free(x, sizeof *x);
}

void ebb_set_fault(ebb_tensor *x, const ebb_error *e)
{
	if (x && !x->tape)
		x->fault = e;
}

bool ebb_set_requires_grad(ebb_tensor *x, bool on)
{
	if (!x || x->tape || !ebb_is_real(x))
		return false;
	x->flags = (uint16_t)(on ? x->flags | EBB_F_WANTS_GRAD : x->flags & ~EBB_F_WANTS_GRAD);
	return true;
}

ebb_tensor *ebb_detach_copy(const ebb_tensor *x)
{
	ebb_error e = {0};
	ebb_tensor *y;

	if (!readable(x, "detach_copy"))
		return NULL;
	y = ebb_tensor_new((ebb_dtype)x->dtype, ebb_shape_of(x), false, &e);
	if (!y) {
		ebb_fail(x->tape, e.status, NULL, "detach_copy: %s", e.message);
		return NULL;
	}
	ebb_strides_like(x->ndim, x->shape, x->strides, y->strides);
	y->flags = ebb_layout_of(y->ndim, y->shape, y->strides);
	if (x->count)
		ebb_copy_strided(ebb_dtype_size((ebb_dtype)x->dtype), x->ndim, x->shape, x->data,
			x->strides, y->data, y->strides);
	return y;
}

/* ---- Gradients of leaves --------------------------------------------------------------------- */

ebb_tensor *ebb_accumulated(const ebb_tensor *x)
{
	if (x && x->persistent)
		x = x->persistent;
	return x && (x->flags & EBB_F_HAS_GRAD) && !(x->grad->flags & EBB_F_DROPPED) ? x->grad
	                                                                             : NULL;
}

ebb_tensor *ebb_grad_of(const ebb_tensor *x)
{
	ebb_tensor *g = ebb_is_stale(x, "grad_of") ? NULL : ebb_accumulated(x);

	if (g)
		ebb_hand_out(g->storage);
	return g;
}

bool ebb_has_grad(const ebb_tensor *x)
{
	return !ebb_is_stale(x, "has_grad") && ebb_accumulated(x);
}

const ebb_tensor *ebb_grad_or_outer_product(const ebb_tensor *x, ebb_outer_product *f)
{
	const ebb_tensor *g = ebb_accumulated(x);

	*f = g && !g->tape ? ebb_outer_product_of(g->storage) : (ebb_outer_product){0};
	return g;
}

void ebb_zero_grad(ebb_tensor *x)
{
	if (ebb_is_stale(x, "zero_grad"))
		return;
	if (x && x->persistent)
		x = (ebb_tensor *)x->persistent;
	if (x)
		x->flags &= (uint16_t)~EBB_F_HAS_GRAD;
}
