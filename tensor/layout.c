/* layout.c - shapes, strides and memory orders.  The stride of an axis of size 1 never matters. */
#include "tensor/internal.h"

int64_t ebb_checked_count(ebb_shape shape, ebb_dtype dtype)
{
	int64_t n = 1;
	bool empty = false;

	if (shape.ndim < 0 || shape.ndim > EBB_MAX_DIMS)
		return -1;
	/* An axis of size 0 counts as 1, as in strides, which must not overflow either. */
	for (int i = 0; i < shape.ndim; i++) {
		empty |= shape.dims[i] == 0;
		if (shape.dims[i] < 0 ||
			__builtin_mul_overflow(n, shape.dims[i] ? shape.dims[i] : 1, &n))
			return -1;
	}
	if (n > PTRDIFF_MAX / 2 / (int64_t)ebb_dtype_size(dtype))
		return -1;
	return empty ? 0 : n;
}

/* The axes from the outermost to the innermost in memory, for row-major or channels-last order. */
static void order_of(ebb_order order, int ndim, int *axes)
{
	int n = 0;

	if (order != EBB_CHANNELS_LAST || ndim < 3 || ndim > 5) {
		for (int i = 0; i < ndim; i++)
			axes[i] = i;
		return;
	}
	axes[n++] = 0;
	for (int i = 2; i < ndim; i++)
		axes[n++] = i;
	axes[n] = 1;
}

static void fill_strides(int ndim, const int64_t *shape, const int *axes, int64_t *strides)
{
	int64_t s = 1;

	for (int i = ndim - 1; i >= 0; i--) {
		strides[axes[i]] = s;
		s *= shape[axes[i]] > 1 ? shape[axes[i]] : 1;
	}
}

/* Whether the strides are those of a dense tensor with its axes in this order, outermost first. */
static bool has_strides(int ndim, const int64_t *shape, const int64_t *strides, const int *axes)
{
	int64_t s = 1;

	for (int i = ndim - 1; i >= 0; i--) {
		if (shape[axes[i]] == 1)
			continue;
		if (strides[axes[i]] != s)
			return false;
		s *= shape[axes[i]];
	}
	return true;
}

/* The axes in the order of decreasing stride; axes of equal stride keep their order. */
static void axes_by_stride(int ndim, const int64_t *strides, int *axes)
{
	for (int i = 0; i < ndim; i++) {
		int j = i;

		for (; j > 0 && strides[axes[j - 1]] < strides[i]; j--)
			axes[j] = axes[j - 1];
		axes[j] = i;
	}
}

uint16_t ebb_layout_of(int ndim, const int64_t *shape, const int64_t *strides)
{
	int axes[EBB_MAX_DIMS];
	uint16_t flags = 0;

	for (int i = 0; i < ndim; i++)
		if (shape[i] == 0)
			return EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST;
	order_of(EBB_ROWS, ndim, axes);
	if (has_strides(ndim, shape, strides, axes))
		flags |= EBB_F_DENSE | EBB_F_ROWS;
	order_of(EBB_CHANNELS_LAST, ndim, axes);
	if (has_strides(ndim, shape, strides, axes))
		flags |= EBB_F_DENSE | EBB_F_CHANNELS_LAST;
	if (!flags) {
		axes_by_stride(ndim, strides, axes);
		/* has_strides skips axes of size 1, which may have any stride. */
		if (has_strides(ndim, shape, strides, axes))
			flags |= EBB_F_DENSE;
	}
	return flags;
}

void ebb_strides_of(ebb_order order, int ndim, const int64_t *shape, int64_t *strides)
{
	int axes[EBB_MAX_DIMS];

	order_of(order, ndim, axes);
	fill_strides(ndim, shape, axes, strides);
}

void ebb_strides_like(int ndim, const int64_t *shape, const int64_t *like, int64_t *strides)
{
	int axes[EBB_MAX_DIMS];

	for (int i = 0; i < ndim; i++)
		if (like[i] <= 0 && shape[i] > 1) {
			ebb_strides_of(EBB_ROWS, ndim, shape, strides);
			return;
		}
	axes_by_stride(ndim, like, axes);
	fill_strides(ndim, shape, axes, strides);
}

ebb_order ebb_order_kept(const ebb_tensor *x)
{
	int64_t strides[EBB_MAX_DIMS];
	uint16_t flags;

	ebb_strides_like(x->ndim, x->shape, x->strides, strides);
	flags = ebb_layout_of(x->ndim, x->shape, strides);
	return (flags & (EBB_F_ROWS | EBB_F_CHANNELS_LAST)) == EBB_F_CHANNELS_LAST
	               ? EBB_CHANNELS_LAST
	               : EBB_ROWS;
}

bool ebb_is_dense(const ebb_tensor *x, ebb_order order)
{
	uint16_t flag = ebb_order_flag(order);

	return !flag || (x->flags & flag);
}

bool ebb_same_shape(const ebb_tensor *a, const ebb_tensor *b)
{
	if (a->ndim != b->ndim)
		return false;
	for (int i = 0; i < a->ndim; i++)
		if (a->shape[i] != b->shape[i])
			return false;
	return true;
}

bool ebb_same_memory(const ebb_tensor *a, const ebb_tensor *b)
{
	if (!ebb_same_shape(a, b) || !(a->flags & b->flags & EBB_F_DENSE))
		return false;
	if (a->flags & b->flags & (EBB_F_ROWS | EBB_F_CHANNELS_LAST))
		return true;
	for (int i = 0; i < a->ndim; i++)
		if (a->shape[i] > 1 && a->strides[i] != b->strides[i])
			return false;
	return true;
}

bool ebb_broadcast_shape(int n, ebb_tensor *const *x, ebb_shape *out)
{
	*out = EBB_SCALAR_SHAPE;
	for (int k = 0; k < n; k++)
		if (x[k]->ndim > out->ndim)
			out->ndim = x[k]->ndim;
	for (int i = 0; i < out->ndim; i++)
		out->dims[i] = 1;
	for (int k = 0; k < n; k++) {
		int lead = out->ndim - x[k]->ndim;

		for (int i = 0; i < x[k]->ndim; i++) {
			if (x[k]->shape[i] == 1)
				continue;
			if (out->dims[lead + i] != 1 && out->dims[lead + i] != x[k]->shape[i])
				return false;
			out->dims[lead + i] = x[k]->shape[i];
		}
	}
	return true;
}

void ebb_broadcast_strides(const ebb_tensor *x, const ebb_shape *out, int64_t *strides)
{
	int lead = out->ndim - x->ndim;

	for (int i = 0; i < out->ndim; i++)
		strides[i] = i < lead || x->shape[i - lead] == 1 ? 0 : x->strides[i - lead];
}

ebb_around ebb_sizes_around(const ebb_tensor *x, int axis)
{
	ebb_around s = {1, x->shape[axis], 1};

	for (int i = 0; i < axis; i++)
		s.outer *= x->shape[i];
	for (int i = axis + 1; i < x->ndim; i++)
		s.inner *= x->shape[i];
	return s;
}

int64_t ebb_first_outside(const ebb_tensor *index, int64_t len)
{
	const int64_t *p = (const int64_t *)(const void *)index->data;

	for (int64_t i = 0; i < index->count; i++)
		if (p[i] < 0 || p[i] >= len)
			return i;
	return -1;
}
