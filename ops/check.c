/* check.c - the checks and small shape computations that op families share. */
#include "ops/internal.h"

bool ebb_check_dtype(ebb_call *c, int k, const char *name, ebb_dtype dtype)
{
	char text[240];

	if (!c->t)
		return false;
	if (c->in[k]->dtype == (uint8_t)dtype)
		return true;
	ebb_call_fail(c, EBB_BAD_DTYPE, "%s must be %s, got %s", name, ebb_dtype_name(dtype),
		ebb_describe(c->in[k], text, sizeof text));
	return false;
}

bool ebb_check_readable(ebb_call *c, const ebb_tensor *x, const char *name)
{
	char text[240];

	assert(c->t);
	if (!x || !x->tape)
		return true;
	if (x->tape != c->t)
		ebb_call_fail(c, EBB_INVALID, "%s (%s) belongs to another tape", name,
			ebb_describe(x, text, sizeof text));
	else if (x->flags & (EBB_F_DROPPED | EBB_F_HIDDEN))
		ebb_call_fail(c, EBB_BAD_STATE, "the value of %s (%s) %s%s", name,
			ebb_describe(x, text, sizeof text), ebb_dropped_how(x),
			x->dropped_by ? x->dropped_by : "");
	return c->t != NULL;
}

int ebb_check_axis(ebb_call *c, int axis, int ndim)
{
	int a = axis < 0 ? axis + ndim : axis;

	assert(c->t);
	if (a >= 0 && a < ndim)
		return a;
	ebb_call_fail(c, EBB_INVALID, "axis %d is out of range for %d axes", axis, ndim);
	return -1;
}

bool ebb_check_axes(ebb_call *c, ebb_axes axes, int ndim, bool *chosen)
{
	for (int i = 0; i < ndim; i++)
		chosen[i] = axes.n == 0;
	assert(c->t);
	if (axes.n < 0 || axes.n > EBB_MAX_DIMS) {
		ebb_call_fail(c, EBB_INVALID, "%d axes given, at most %d are allowed", axes.n,
			EBB_MAX_DIMS);
		return false;
	}
	for (int i = 0; i < axes.n; i++) {
		int a = ebb_check_axis(c, axes.axis[i], ndim);

		if (a < 0)
			return false;
		if (chosen[a]) {
			ebb_call_fail(c, EBB_INVALID, "axis %d is given twice", axes.axis[i]);
			return false;
		}
		chosen[a] = true;
	}
	return true;
}

bool ebb_check_index(ebb_call *c, const ebb_tensor *index, const char *of, int64_t len)
{
	int64_t at = ebb_first_outside(index, len);

	if (at < 0)
		return true;
	ebb_call_fail(c, EBB_INVALID, "index[%lld] is %lld; the %s has size %lld", (long long)at,
		(long long)((const int64_t *)(const void *)index->data)[at], of, (long long)len);
	return false;
}

void ebb_zero_vjp(ebb_vjp *v)
{
	(void)v;
}

ebb_shape ebb_without_axis(ebb_shape s, int axis)
{
	for (int i = axis; i + 1 < s.ndim; i++)
		s.dims[i] = s.dims[i + 1];
	s.ndim--;
	return s;
}

ebb_shape ebb_with_axis(ebb_shape s, int axis, int64_t size)
{
	for (int i = s.ndim; i > axis; i--)
		s.dims[i] = s.dims[i - 1];
	s.dims[axis] = size;
	s.ndim++;
	return s;
}

ebb_tensor *ebb_per_channel(ebb_tape *t, ebb_tensor *x, int ndim, const char *site)
{
	ebb_shape s = {ndim, {0}};

	for (int i = 0; i < ndim; i++)
		s.dims[i] = i == 1 ? ebb_count(x) : 1;
	return (ebb_reshape)(t, x, s, site);
}
