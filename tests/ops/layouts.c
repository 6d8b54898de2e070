/* layouts.c - creates tensors with the same values in every memory order that an op accepts. */
#include "tests/ops/ops_test.h"

const char *const layout_names[] = {
	"row-major", "transposed", "reversed", "sliced", "expanded", "channels-last", "persistent"};

static int repeated_axis(const array *a)
{
	for (int d = a->shape.ndim - 1; d >= 0; d--) {
		if (a->shape.dims[d] > 1)
			return d;
	}
	return -1;
}

bool layout_applies(layout l, const array *a)
{
	switch (l) {
	case ROWS:
		return true;
	case PERSISTENT:
		return a->dtype != EBB_DEFAULT;
	case TRANSPOSED:
		return a->shape.ndim >= 2;
	case REVERSED:
		return a->shape.ndim >= 3;
	case SLICED:
		return a->shape.ndim >= 1;
	case EXPANDED:
		return a->count > 0 && repeated_axis(a) >= 0;
	case CHANNELS_LAST:
		return a->shape.ndim >= 3 && a->shape.ndim <= 5;
	default:
		return false;
	}
}

void repeat_values(array *a)
{
	array b = *a;
	int axis = repeated_axis(a);
	int64_t at[EBB_MAX_DIMS] = {0};

	a->v = scratch(a->count);
	do {
		int64_t from[EBB_MAX_DIMS];

		memcpy(from, at, sizeof from);
		from[axis] = 0;
		a->v[flat_index(&a->shape, at)] = b.v[flat_index(&a->shape, from)];
	} while (next_position(&a->shape, at));
}

/* ---- Creating the tensor ------------------------------------------------------------ */

static ebb_tensor *leaf(ebb_tape *t, const array *a)
{
	ebb_tensor *x = NULL;

	if (a->dtype == EBB_F64)
		return ebb_variable(t, ebb_from_f64(t, a->shape, a->v));
	if (a->dtype == EBB_I64) {
		int64_t *p = calloc((size_t)a->count + 1, sizeof *p);

		for (int64_t i = 0; p && i < a->count; i++)
			p[i] = (int64_t)a->v[i];
		x = ebb_from_i64(t, a->shape, p);
		free(p);
	} else {
		uint8_t *p = calloc((size_t)a->count + 1, sizeof *p);

		for (int64_t i = 0; p && i < a->count; i++)
			p[i] = (uint8_t)a->v[i];
		x = ebb_from_u8(t, a->shape, p);
		free(p);
	}
	return x;
}

/* The values of permute(a, order). */
static array permuted(const array *a, const int *order)
{
	array b = array_new(a->shape);
	int64_t at[EBB_MAX_DIMS] = {0}, from[EBB_MAX_DIMS];

	b.dtype = a->dtype;
	for (int d = 0; d < a->shape.ndim; d++)
		b.shape.dims[d] = a->shape.dims[order[d]];
	if (!b.count)
		return b;
	do {
		for (int d = 0; d < a->shape.ndim; d++)
			from[order[d]] = at[d];
		b.v[flat_index(&b.shape, at)] = a->v[flat_index(&a->shape, from)];
	} while (next_position(&b.shape, at));
	return b;
}

static ebb_tensor *place_permuted(ebb_tape *t, const array *a, bool all)
{
	ebb_axes order = {a->shape.ndim, {0}};
	int n = a->shape.ndim;
	array b;

	for (int d = 0; d < n; d++)
		order.axis[d] = all ? n - 1 - d : d;
	if (!all) {
		order.axis[n - 2] = n - 1;
		order.axis[n - 1] = n - 2;
	}
	b = permuted(a, order.axis); /* both orders are their own inverses */
	return ebb_permute(t, leaf(t, &b), order);
}

/* A view of elements 1, 3, 5, .. of the first and the last axis of a larger tensor, which is NaN
 * elsewhere. */
static ebb_tensor *place_sliced(ebb_tape *t, const array *a)
{
	ebb_shape big = a->shape;
	int64_t at[EBB_MAX_DIMS] = {0}, to[EBB_MAX_DIMS];
	int last = a->shape.ndim - 1;
	ebb_tensor *x;
	array b;

	big.dims[0] = 2 * big.dims[0] + 1;
	if (last > 0)
		big.dims[last] = 2 * big.dims[last] + 1;
	b = array_new(big);
	b.dtype = a->dtype;
	for (int64_t i = 0; i < b.count; i++)
		b.v[i] = a->dtype == EBB_F64 ? NAN : 99;
	if (a->count) {
		do {
			memcpy(to, at, sizeof to);
			to[0] = 2 * at[0] + 1;
			to[last] = 2 * at[last] + 1;
			b.v[flat_index(&big, to)] = a->v[flat_index(&a->shape, at)];
		} while (next_position(&a->shape, at));
	}
	x = ebb_slice(t, leaf(t, &b), 0, 1, EBB_END, 2);
	return last > 0 ? ebb_slice(t, x, -1, 1, EBB_END, 2) : x;
}

static ebb_tensor *place_expanded(ebb_tape *t, const array *a)
{
	int axis = repeated_axis(a);
	ebb_shape small = a->shape;
	int64_t at[EBB_MAX_DIMS] = {0};
	array b;

	small.dims[axis] = 1;
	b = array_new(small);
	b.dtype = a->dtype;
	do
		b.v[flat_index(&small, at)] = a->v[flat_index(&a->shape, at)];
	while (next_position(&small, at));
	return ebb_expand(t, leaf(t, &b), a->shape);
}

static ebb_tensor *place_persistent(ebb_tape *t, const array *a, bool channels_last)
{
	ebb_dtype dtype = a->dtype == EBB_F64 ? ebb_default_dtype(t) : a->dtype;
	ebb_tensor *x = ebb_tensor_new(dtype, a->shape, channels_last, NULL);
	size_t size = ebb_dtype_size(dtype);
	char *values = calloc((size_t)a->count + 1, size);

	ck_assert(x && values);
	for (int64_t i = 0; i < a->count; i++) {
		void *p = values + (size_t)i * size;

		if (dtype == EBB_F64)
			*(double *)p = a->v[i];
		else if (dtype == EBB_F32)
			*(float *)p = (float)a->v[i];
		else if (dtype == EBB_I64)
			*(int64_t *)p = (int64_t)a->v[i];
		else
			*(uint8_t *)p = (uint8_t)a->v[i];
	}
	ck_assert(ebb_copy_in(x, values, (size_t)a->count * size));
	free(values);
	if (a->dtype == EBB_F64)
		ck_assert(ebb_set_requires_grad(x, true));
	return x;
}

ebb_tensor *place(ebb_tape *t, const array *a, layout l, ebb_tensor **persistent)
{
	*persistent = NULL;
	if (a->dtype == EBB_DEFAULT)
		return NULL;
	switch (l) {
	case TRANSPOSED:
		return place_permuted(t, a, false);
	case REVERSED:
		return place_permuted(t, a, true);
	case SLICED:
		return place_sliced(t, a);
	case EXPANDED:
		return place_expanded(t, a);
	case CHANNELS_LAST:
	case PERSISTENT:
		return *persistent = place_persistent(t, a, l == CHANNELS_LAST);
	default:
		return leaf(t, a);
	}
}
