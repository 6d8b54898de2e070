/* create.c - tensors from numbers: constants, random values, other types. */
#include "ops/internal.h"

static const ebb_op FULL = {.name = "full", .vjp = ebb_zero_vjp};
static const ebb_op SCALAR = {.name = "scalar", .vjp = ebb_zero_vjp};
static const ebb_op ZEROS = {.name = "zeros", .vjp = ebb_zero_vjp};
static const ebb_op ONES = {.name = "ones", .vjp = ebb_zero_vjp};
static const ebb_op FROM = {.name = "from", .vjp = ebb_zero_vjp};
static const ebb_op ARANGE = {.name = "arange", .vjp = ebb_zero_vjp};
static const ebb_op RAND = {.name = "rand", .vjp = ebb_zero_vjp};
static const ebb_op RANDN = {.name = "randn", .vjp = ebb_zero_vjp};

static ebb_tensor *filled(
	ebb_tape *t, const ebb_op *op, ebb_shape shape, double value, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_DEFAULT, shape, EBB_ROWS);

	if (y)
		STORE(y, fill, y->count, value, y->data);
	return y;
}

ebb_tensor *(ebb_full)(ebb_tape *t, ebb_shape shape, double value, const char *site)
{
	return filled(t, &FULL, shape, value, site);
}

ebb_tensor *(ebb_scalar)(ebb_tape *t, double value, const char *site)
{
	return filled(t, &SCALAR, EBB_SCALAR_SHAPE, value, site);
}

ebb_tensor *(ebb_zeros)(ebb_tape *t, ebb_shape shape, const char *site)
{
	return filled(t, &ZEROS, shape, 0.0, site);
}

ebb_tensor *(ebb_ones)(ebb_tape *t, ebb_shape shape, const char *site)
{
	return filled(t, &ONES, shape, 1.0, site);
}

ebb_tensor *(ebb_zeros_like)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return ebb_linear_full_like(t, x, 0.0, site);
}

ebb_tensor *(ebb_ones_like)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return ebb_linear_full_like(t, x, 1.0, site);
}

/* ---- From C arrays --------------------------------------------------------------------------- */

static ebb_tensor *new_from(ebb_tape *t, ebb_dtype dtype, ebb_shape shape, const void *values,
	const char *site, ebb_call *c)
{
	ebb_tensor *y;

	*c = ebb_begin(t, &FROM, site, 0, NULL);
	y = ebb_new(c, dtype, shape, EBB_ROWS);
	if (y && y->count && !values)
		return ebb_call_fail(c, EBB_INVALID, "values is NULL");
	return y;
}

ebb_tensor *(ebb_from_f64)(ebb_tape *t, ebb_shape shape, const double *values, const char *site)
{
	ebb_call c;
	ebb_tensor *y = new_from(t, EBB_DEFAULT, shape, values, site, &c);

	if (y)
		STORE(y, from_f64, y->count, values, y->data);
	return y;
}

ebb_tensor *(ebb_from_f32)(ebb_tape *t, ebb_shape shape, const float *values, const char *site)
{
	ebb_call c;
	ebb_tensor *y = new_from(t, EBB_DEFAULT, shape, values, site, &c);

	if (y)
		STORE(y, from_f32, y->count, values, y->data);
	return y;
}

ebb_tensor *(ebb_from_i64)(ebb_tape *t, ebb_shape shape, const int64_t *values, const char *site)
{
	ebb_call c;
	ebb_tensor *y = new_from(t, EBB_I64, shape, values, site, &c);

	if (y && y->count)
		memcpy(y->data, values, (size_t)y->count * sizeof *values);
	return y;
}

ebb_tensor *(ebb_from_u8)(ebb_tape *t, ebb_shape shape, const uint8_t *values, const char *site)
{
	ebb_call c;
	ebb_tensor *y = new_from(t, EBB_U8, shape, values, site, &c);

	if (y && y->count)
		memcpy(y->data, values, (size_t)y->count);
	return y;
}

ebb_tensor *(ebb_arange)(ebb_tape *t, int64_t n, const char *site)
{
	ebb_call c = ebb_begin(t, &ARANGE, site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_I64, EBB_SHAPE(n), EBB_ROWS);

	for (int64_t i = 0; y && i < n; i++)
		((int64_t *)(void *)y->data)[i] = i;
	return y;
}

/* ---- Random ---------------------------------------------------------------------------------- */

ebb_tensor *(ebb_rand)(ebb_tape *t, ebb_shape shape, const char *site)
{
	ebb_call c = ebb_begin(t, &RAND, site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_DEFAULT, shape, EBB_ROWS);
	ebb_random r;

	if (!y)
		return NULL;
	r = ebb_random_next(t);
	RUN(y, uniform, y->count, r.seed, r.stream, 0.0, 1.0, y->data);
	return y;
}

ebb_tensor *(ebb_randn)(ebb_tape *t, ebb_shape shape, const char *site)
{
	ebb_call c = ebb_begin(t, &RANDN, site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_DEFAULT, shape, EBB_ROWS);
	ebb_random r;

	if (!y)
		return NULL;
	r = ebb_random_next(t);
	RUN(y, normal, y->count, r.seed, r.stream, 0.0, 1.0, y->data);
	return y;
}

/* ---- Cast: y = x as another type; between reals linear, so the gradient is cast back ----------
 * */

static void cast_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_cast(v->t, v->gy, (ebb_dtype)v->in[0]->dtype));
}
static const ebb_op CAST = {.name = "cast", .vjp = cast_vjp};
/* Without a vjp: an x that requires a gradient is an error. */
static const ebb_op CAST_INTEGER = {.name = "cast"};

/* A result of that type, and of x's shape and strides. */
static ebb_tensor *new_cast(ebb_call *c, const ebb_tensor *x, ebb_dtype dtype)
{
	const unsigned layout = EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST;
	ebb_tensor *y = ebb_new(c, dtype, ebb_shape_of(x), EBB_ROWS);

	if (y) {
		memcpy(y->strides, x->strides, sizeof y->strides);
		y->flags = (uint16_t)((y->flags & ~layout) | (x->flags & layout));
	}
	return y;
}

/* Names the first element, in row-major order, that y's type cannot hold. */
static ebb_tensor *not_held(ebb_call *c, const ebb_tensor *x, ebb_tensor *y)
{
	int64_t i = 0, at;
	size_t size = ebb_dtype_size((ebb_dtype)x->dtype);

	for (; i < x->count - 1; i++) {
		at = ebb_offset_of(x, i);
		if (INTEGERS(y)->from(
			    ebb_element_of(x), 1, x->data + at * (int64_t)size, y->data) >= 0)
			break;
	}
	return ebb_call_fail(c, EBB_INVALID, "x[%lld] is %.17g; expected a number that %s holds",
		(long long)i, ebb_value_at(x, i), ebb_dtype_name((ebb_dtype)y->dtype));
}

static ebb_tensor *cast_to_integer(ebb_tape *t, ebb_tensor *x, ebb_dtype dtype, const char *site)
{
	ebb_call c = ebb_begin(t, &CAST_INTEGER, site, 1, &x);
	ebb_tensor *y = c.t ? new_cast(&c, x, dtype) : NULL;

	if (y && INTEGERS(y)->from(ebb_element_of(x), y->count, x->data, y->data) >= 0)
		return not_held(&c, x, y);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_cast)(ebb_tape *t, ebb_tensor *x, ebb_dtype dtype, const char *site)
{
	const ebb_kernels *k;
	ebb_float_state own;
	ebb_tensor *y;
	ebb_call c;

	if (dtype == EBB_I64 || dtype == EBB_U8)
		return cast_to_integer(t, x, dtype, site);
	c = ebb_begin(t, &CAST, site, 1, &x);
	if (!c.t)
		return NULL;
	if (dtype != EBB_F32 && dtype != EBB_F64)
		return ebb_call_fail(&c, EBB_BAD_DTYPE, "dtype must be F32, F64, I64 or U8, got %s",
			ebb_dtype_name(dtype));
	k = ebb_kernels_of(dtype);
	y = new_cast(&c, x, dtype);
	if (y) {
		own = ebb_float_enter(ebb_flushes(y));
		switch ((ebb_dtype)x->dtype) {
		case EBB_F32:
			k->from_f32(y->count, (const float *)(const void *)x->data, y->data);
			break;
		case EBB_F64:
			k->from_f64(y->count, (const double *)(const void *)x->data, y->data);
			break;
		case EBB_U8:
			k->from_u8(y->count, (const uint8_t *)x->data, y->data, 1.0, 0.0);
			break;
		default:
			for (int64_t i = 0; i < y->count; i++) {
				double value = (double)((const int64_t *)(const void *)x->data)[i];

				k->from_f64(1, &value, y->data + i * (int64_t)k->real_size);
			}
		}
		ebb_float_leave(own);
	}
	return ebb_record(&c, y);
}

/* ---- linspace, eye, full_like ---------------------------------------------------------------- */

static const ebb_op LINSPACE = {.name = "linspace", .vjp = ebb_zero_vjp};
static const ebb_op EYE = {.name = "eye", .vjp = ebb_zero_vjp};
static const ebb_op FULL_LIKE = {.name = "full_like", .vjp = ebb_zero_vjp};

/* The number at position i of n > 1, counted from the nearer end, so that both ends are exact.  The
 * difference of the ends may overflow; then each end is divided first. */
static double spaced(double start, double stop, int64_t i, int64_t n)
{
	double parts = (double)(n - 1), step = (stop - start) / parts;

	if (isinf(step))
		step = stop / parts - start / parts;
	if (i == 0 || i == n - 1)
		return i ? stop : start;
	return i < n / 2 ? start + (double)i * step : stop - (double)(n - 1 - i) * step;
}

ebb_tensor *(ebb_linspace)(ebb_tape *t, double start, double stop, int64_t n, const char *site)
{
	enum { BLOCK = 256 };
	ebb_call c = ebb_begin(t, &LINSPACE, site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_DEFAULT, EBB_SHAPE(n), EBB_ROWS);
	double block[BLOCK];

	for (int64_t i = 0; y && i < n; i += BLOCK) {
		int64_t m = n - i < BLOCK ? n - i : BLOCK;

		for (int64_t k = 0; k < m; k++)
			block[k] = n == 1 ? start : spaced(start, stop, i + k, n);
		STORE(y, from_f64, m, block, y->data + i * (int64_t)KERNELS(y)->real_size);
	}
	return y;
}

ebb_tensor *(ebb_eye)(const ebb_eye_args *a)
{
	int64_t columns = a->columns ? a->columns : a->n;
	ebb_call c = ebb_begin(a->t, &EYE, a->site, 0, NULL);
	ebb_tensor *y = ebb_new(&c, EBB_DEFAULT, EBB_SHAPE(a->n, columns), EBB_ROWS);

	if (!y)
		return NULL;
	STORE(y, fill, y->count, 0.0, y->data);
	for (int64_t i = 0; i < a->n && i < columns; i++)
		STORE(y, fill, 1, 1.0,
			y->data + i * (columns + 1) * (int64_t)KERNELS(y)->real_size);
	return y;
}

ebb_tensor *(ebb_full_like)(ebb_tape *t, ebb_tensor *x, double value, const char *site)
{
	ebb_call c;
	int64_t whole;

	if (x && !ebb_is_real(x)) {
		c = ebb_begin(t, &FULL_LIKE, site, 0, NULL);
		if (!c.t || !ebb_check_integer(&c, "value", value, ebb_range_of(x), &whole))
			return NULL;
	}
	return ebb_linear_full_like(t, x, value, site);
}
