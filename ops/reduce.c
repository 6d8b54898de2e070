/* reduce.c - reductions: sums, means, extremes, logsumexp, products, norms, variances. */
#include "ops/internal.h"

#include <float.h>

/* ---- Shapes of reductions -------------------------------------------------------------------- */

static ebb_shape reduced_shape(const ebb_tensor *x, const bool *chosen, bool keepdim)
{
	ebb_shape s = {0, {0}};

	for (int i = 0; i < x->ndim; i++)
		if (!chosen[i])
			s.dims[s.ndim++] = x->shape[i];
		else if (keepdim)
			s.dims[s.ndim++] = 1;
	return s;
}

static int64_t reduced_count(const ebb_tensor *x, const bool *chosen)
{
	int64_t n = 1;

	for (int i = 0; i < x->ndim; i++)
		n *= chosen[i] ? x->shape[i] : 1;
	return n;
}

/* ---- Sums ------------------------------------------------------------------------------------ */

typedef struct sum_attrs {
	ebb_shape kept; /* x's shape, with size 1 for the reduced axes */
	double scale;
} sum_attrs;

/* The strides of y over x's axes, 0 along those that are reduced. */
static void reduced_strides(const ebb_tensor *x, const bool *chosen, ebb_shape kept, int64_t *ys)
{
	ebb_strides_of(EBB_ROWS, kept.ndim, kept.dims, ys);
	for (int i = 0; i < x->ndim; i++)
		if (chosen[i])
			ys[i] = 0;
}

/* The gradient of every element of x is scale*gy of its sum: an expanded view with stride 0. */
static void sum_vjp(ebb_vjp *v)
{
	const sum_attrs *k = v->attrs;
	ebb_tensor *g = v->gy;

	if (k->scale != 1)
		g = ebb_mul_scalar(v->t, g, k->scale);
	if (g && g->ndim != k->kept.ndim)
		g = ebb_reshape(v->t, g, k->kept);
	ebb_give(v, 0, ebb_expand(v->t, g, ebb_shape_of(v->in[0])));
}
static const ebb_op SUM = {
	.name = "sum", .vjp = sum_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};
static const ebb_op MEAN = {
	.name = "mean", .vjp = sum_vjp, .takes = {EBB_STRIDED}, .gy_strided = true};

static ebb_tensor *sum(
	const ebb_op *op, ebb_tape *t, ebb_tensor *x, ebb_axes axes, bool keepdim, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	bool chosen[EBB_MAX_DIMS];
	int64_t ys[EBB_MAX_DIMS];
	sum_attrs k;
	ebb_tensor *y;

	if (op == &MEAN && !ebb_check_real(&c, 0, "x"))
		return NULL;
	if (!c.t || !ebb_check_axes(&c, axes, x->ndim, chosen))
		return NULL;
	k.kept = reduced_shape(x, chosen, true);
	k.scale = op == &MEAN ? 1.0 / (double)reduced_count(x, chosen) : 1.0;
	y = ebb_new(&c, ebb_is_real(x) ? (ebb_dtype)x->dtype : EBB_I64,
		reduced_shape(x, chosen, keepdim), EBB_ROWS);
	if (y) {
		reduced_strides(x, chosen, k.kept, ys);
		if (ebb_is_real(x)) {
			RUN(y, reduce, EBB_REDUCE_SUM, x->ndim, x->shape, x->data, x->strides,
				y->data, ys, k.scale);
		} else {
			INTEGERS(y)->fill(y->count, 0, y->data);
			INTEGERS(x)->sum_acc(x->ndim, x->shape, x->data, x->strides,
				(int64_t *)(void *)y->data, ys);
		}
	}
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_sum)(const ebb_reduce_args *a)
{
	return sum(&SUM, a->t, a->x, a->axes, a->keepdim, a->site);
}

ebb_tensor *(ebb_mean)(const ebb_reduce_args *a)
{
	return sum(&MEAN, a->t, a->x, a->axes, a->keepdim, a->site);
}

ebb_tensor *(ebb_sum_to)(ebb_tape *t, ebb_tensor *x, ebb_shape shape, const char *site)
{
	return ebb_linear_sum_to(t, x, shape, site);
}

/* x minus its mean over axes.  The first subtraction takes the mean rounded to x's type.  The
 * second takes the mean of the differences, which is the rounding error of the first mean. */
static ebb_tensor *centred(ebb_tape *t, ebb_tensor *x, ebb_axes axes, const char *site)
{
	ebb_tensor *mean = sum(&MEAN, t, (ebb_detach)(t, x, site), axes, true, site);

	x = (ebb_sub)(t, x, mean, site);
	return (ebb_sub)(t, x, sum(&MEAN, t, x, axes, true, site), site);
}

/* ---- Along one axis: extremes and logsumexp -------------------------------------------------- */

/* x as [outer,len,inner] with the chosen axes as len, row-major. */
static ebb_tensor *as_three(ebb_tape *t, ebb_tensor *x, const bool *chosen, const char *site)
{
	ebb_axes order = {0, {0}};
	int first = 0, last = x->ndim - 1;
	int64_t len = reduced_count(x, chosen), outer = 1, inner = 1;

	while (first < x->ndim && !chosen[first])
		outer *= x->shape[first++];
	while (last >= 0 && !chosen[last])
		last--;
	for (int i = first; i <= last; i++)
		if (!chosen[i]) {
			/* Reduced axes that are not adjacent are permuted to the end. */
			outer = inner = 1;
			for (int k = 0; k < x->ndim; k++)
				if (!chosen[k]) {
					order.axis[order.n++] = k;
					outer *= x->shape[k];
				}
			for (int k = 0; k < x->ndim; k++)
				if (chosen[k])
					order.axis[order.n++] = k;
			x = (ebb_permute)(t, x, order, site);
			return (ebb_reshape)(t, x, EBB_SHAPE(outer, len, inner), site);
		}
	for (int i = last + 1; i < x->ndim && last >= 0; i++)
		inner *= x->shape[i];
	return (ebb_reshape)(t, x, EBB_SHAPE(outer, len, inner), site);
}

/* The gradient of y [outer,inner] goes to the saved position of each extreme. */
static void extreme_vjp(ebb_vjp *v)
{
	ebb_tensor *g = ebb_unsqueeze(v->t, v->gy, 1);

	ebb_give(v, 0, ebb_gather_grad(v->t, g, 1, v->saved[0], ebb_size(v->in[0], 1)));
}
static const ebb_op MAX = {.name = "max", .vjp = extreme_vjp, .takes = {EBB_ROWS}};
static const ebb_op MIN = {.name = "min", .vjp = extreme_vjp, .takes = {EBB_ROWS}};

/* The extremes of x [outer,len,inner] along len, and their positions, which are not empty. */
static void find_extremes(int sign, const ebb_tensor *x, ebb_around s, void *y, ebb_tensor *index)
{
	int64_t *at = (int64_t *)(void *)index->data;

	if (ebb_is_real(x))
		RUN(x, extreme, sign, s.outer, s.len, s.inner, x->data, y, at);
	else
		INTEGERS(x)->extreme(sign, s.outer, s.len, s.inner, x->data, y, at);
}

static ebb_tensor *extreme_of_three(const ebb_op *op, ebb_tape *t, ebb_tensor *x, ebb_shape shape,
	ebb_tensor **where, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y, *index;
	int64_t outer = ebb_size(x, 0), len = ebb_size(x, 1), inner = ebb_size(x, 2),
		strides[EBB_MAX_DIMS];

	if (!c.t)
		return NULL;
	y = ebb_new(&c, (ebb_dtype)x->dtype, EBB_SHAPE(outer, inner), EBB_ROWS);
	index = ebb_new(&c, EBB_I64, EBB_SHAPE(outer, 1, inner), EBB_ROWS);
	if (y && index && y->count)
		find_extremes(
			op == &MAX ? 1 : -1, x, (ebb_around){outer, len, inner}, y->data, index);
	if (where && index) {
		ebb_strides_of(EBB_ROWS, shape.ndim, shape.dims, strides);
		*where = ebb_new_view(&c, index, shape, strides, 0);
	}
	ebb_save(&c, index);
	return ebb_record(&c, y);
}

static ebb_tensor *extreme(const ebb_op *op, const ebb_extreme_args *a)
{
	bool chosen[EBB_MAX_DIMS];
	ebb_call c;
	ebb_tensor *x = a->x, *y;
	ebb_shape shape;
	char text[240];
	int n = 0;

	if (a->index)
		*a->index = NULL;
	if (!ebb_given(a->t, x, op->name, a->site))
		return NULL;
	c = (ebb_call){.t = a->t, .op = op, .site = a->site, .nin = 1, .in = &x};
	if (!ebb_check_axes(&c, a->axes, x->ndim, chosen))
		return NULL;
	for (int i = 0; i < x->ndim; i++)
		n += chosen[i];
	if (a->index && n != 1)
		return ebb_call_fail(&c, EBB_INVALID, ".index needs one axis, got %d", n);
	shape = reduced_shape(x, chosen, a->keepdim);
	if (reduced_count(x, chosen) == 0 && ebb_checked_count(shape, ebb_dtype_of(x)) > 0)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "cannot reduce an axis of size 0: %s",
			ebb_describe(x, text, sizeof text));
	y = extreme_of_three(
		op, a->t, as_three(a->t, x, chosen, a->site), shape, a->index, a->site);
	y = (ebb_reshape)(a->t, y, shape, a->site);
	if (!y && a->index)
		*a->index = NULL;
	return y;
}

ebb_tensor *(ebb_max)(const ebb_extreme_args *a)
{
	return extreme(&MAX, a);
}

ebb_tensor *(ebb_min)(const ebb_extreme_args *a)
{
	return extreme(&MIN, a);
}

/* Without a vjp: an x that requires a gradient is an error. */
static const ebb_op ARGMAX = {.name = "argmax", .takes = {EBB_ROWS}};
static const ebb_op ARGMIN = {.name = "argmin", .takes = {EBB_ROWS}};

static ebb_tensor *arg_extreme(
	const ebb_op *op, ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *index;
	ebb_around s;
	void *values;
	char text[240];

	if (!c.t || (axis = ebb_check_axis(&c, axis, x->ndim)) < 0)
		return NULL;
	s = ebb_sizes_around(x, axis);
	if (s.len == 0 && s.outer * s.inner > 0)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "cannot reduce axis %d of size 0: %s", axis,
			ebb_describe(x, text, sizeof text));
	index = ebb_new(&c, EBB_I64, ebb_without_axis(ebb_shape_of(x), axis), EBB_ROWS);
	if (index && index->count) {
		values =
			ebb_scratch(&c, (size_t)index->count * ebb_dtype_size((ebb_dtype)x->dtype));
		if (values)
			find_extremes(op == &ARGMAX ? 1 : -1, x, s, values, index);
	}
	return ebb_record(&c, index);
}

ebb_tensor *(ebb_argmax)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	return arg_extreme(&ARGMAX, t, x, axis, site);
}

ebb_tensor *(ebb_argmin)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	return arg_extreme(&ARGMIN, t, x, axis, site);
}

/* The gradient of logsumexp is p*gy, with p the softmax of x, but 0 where all of x is -infinity; x
 * is [outer,len,inner].  dp = p*(dx - sum p*dx).  Because sum p = 1, subtracting a constant from dx
 * does not change dp.  The constant is dx where p is largest, so that no digits cancel there. */
static void logsumexp_slope_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *g = v->gy, *total;

	if (ebb_count(g))
		g = ebb_sub(t, g, ebb_at_largest(t, g, v->out, 1));
	total = ebb_sum(t, ebb_mul(t, g, v->out), EBB_AXES(1), .keepdim = true);
	ebb_give(v, 0, ebb_mul(t, v->out, ebb_sub(t, g, total)));
}
static const ebb_op LOGSUMEXP_SLOPE = {.name = "logsumexp_slope",
	.vjp = logsumexp_slope_vjp,
	.reads = {EBB_OUT},
	.takes = {EBB_ROWS}};

static void logsumexp_vjp(ebb_vjp *v)
{
	ebb_tensor *x = v->in[0], *p;
	ebb_call c = ebb_begin(v->t, &LOGSUMEXP_SLOPE, NULL, 1, &x);

	if (!c.t)
		return;
	p = ebb_new_like(&c, x);
	if (p && p->count)
		RUN(p, logsumexp_slope, x->shape[0], x->shape[1], x->shape[2], x->data, p->data);
	p = ebb_record(&c, p);
	ebb_give(v, 0, ebb_mul(v->t, p, ebb_unsqueeze(v->t, v->gy, 1)));
}
static const ebb_op LOGSUMEXP = {
	.name = "logsumexp", .vjp = logsumexp_vjp, .reads = {EBB_IN(0)}, .takes = {EBB_ROWS}};

static ebb_tensor *logsumexp_of_three(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_call c = ebb_begin(t, &LOGSUMEXP, site, 1, &x);
	ebb_tensor *y;

	if (!c.t)
		return NULL;
	y = ebb_new(&c, (ebb_dtype)x->dtype, EBB_SHAPE(x->shape[0], x->shape[2]), EBB_ROWS);
	if (y && y->count)
		RUN(y, logsumexp, x->shape[0], x->shape[1], x->shape[2], x->data, y->data);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_logsumexp)(const ebb_reduce_args *a)
{
	bool chosen[EBB_MAX_DIMS];
	ebb_tensor *x = a->x;
	ebb_call c;

	if (!ebb_given(a->t, x, "logsumexp", a->site))
		return NULL;
	c = (ebb_call){.t = a->t, .op = &LOGSUMEXP, .site = a->site, .nin = 1, .in = &x};
	if (!ebb_check_real(&c, 0, "x") || !ebb_check_axes(&c, a->axes, x->ndim, chosen))
		return NULL;
	return (ebb_reshape)(a->t,
		logsumexp_of_three(a->t, as_three(a->t, x, chosen, a->site), a->site),
		reduced_shape(x, chosen, a->keepdim), a->site);
}

/* ---- Products -------------------------------------------------------------------------------- */

static const ebb_op PROD = {.name = "prod"};

/* The product of x [outer,len,inner] along len, as [outer,1,inner]: multiplies the two halves until
 * one row is left.  The gradient divides by no element, so it is right where elements are 0. */
static ebb_tensor *product_of_three(ebb_tape *t, ebb_tensor *x, const char *site)
{
	int64_t len = ebb_size(x, 1);

	if (x && len == 0) {
		x = sum(&SUM, t, x, EBB_AXES(1), true, site);
		return (ebb_add_scalar)(t, x, 1.0, site);
	}
	for (; x && len > 1; len -= len / 2) {
		int64_t half = len / 2;
		ebb_tensor *part[2];

		part[0] = (ebb_mul)(t, (ebb_slice)(t, x, 1, 0, half, 1, site),
			(ebb_slice)(t, x, 1, half, 2 * half, 1, site), site);
		if (len % 2) {
			part[1] = (ebb_slice)(t, x, 1, 2 * half, len, 1, site);
			part[0] = (ebb_concat)(t, 2, part, 1, site);
		}
		x = part[0];
	}
	return x;
}

ebb_tensor *(ebb_prod)(const ebb_reduce_args *a)
{
	bool chosen[EBB_MAX_DIMS];
	ebb_tensor *x = a->x;
	ebb_call c;

	if (!ebb_given(a->t, x, "prod", a->site))
		return NULL;
	c = (ebb_call){.t = a->t, .op = &PROD, .site = a->site, .nin = 1, .in = &x};
	if (!ebb_check_axes(&c, a->axes, x->ndim, chosen) || !(x = ebb_widened(a->t, x, a->site)))
		return NULL;
	return (ebb_reshape)(a->t,
		product_of_three(a->t, as_three(a->t, x, chosen, a->site), a->site),
		reduced_shape(x, chosen, a->keepdim), a->site);
}

/* ---- Norms ----------------------------------------------------------------------------------- */

typedef struct norm_attrs {
	ebb_shape kept;
	double p, scale;
} norm_attrs;

/* x, but 1 where x is 0. */
static ebb_tensor *nonzero(ebb_tape *t, ebb_tensor *x)
{
	return ebb_add(t, x, ebb_mask(t, EBB_UNARY_is_equal, x, 0, 0, NULL));
}

/* y = c|x|_p has the derivative c*sign(x)*(|x|/|x|_p)^(p-1), which for p = 2 is c^2*x/y; 0 where x
 * or y is 0.  The quotient is computed first, because 1/y or a power of y may overflow or
 * underflow.  For p < 2 the powers are computed first, because they cannot, while a small quotient
 * might underflow. */
static void norm_vjp(ebb_vjp *v)
{
	const norm_attrs *k = v->attrs;
	ebb_tape *t = v->t;
	ebb_tensor *x = v->in[0], *y = ebb_reshape(t, v->out, k->kept),
		   *g = ebb_reshape(t, v->gy, k->kept), *safe, *slope;

	if (k->p == 1) {
		ebb_give(v, 0, ebb_mul(t, g, ebb_sign(t, x)));
		return;
	}
	safe = y ? nonzero(t, y) : NULL;
	if (k->p == 2) {
		slope = ebb_div(t, x, safe);
		if (y)
			g = ebb_mul(t, g, ebb_mask(t, EBB_UNARY_step, y, 0, 0, NULL));
		if (k->scale != 1)
			g = ebb_mul_scalar(t, g, k->scale * k->scale);
	} else if (k->p > 2) {
		ebb_tensor *size = ebb_abs(t, x);

		/* A third derivative has the factor |x|^(p-3), infinite at 0 for p < 3. */
		if (k->p < 3)
			size = size ? nonzero(t, size) : NULL;
		slope = ebb_pow_scalar(t, ebb_div(t, size, safe), k->p - 1);
		slope = ebb_mul(t, ebb_sign(t, x), slope);
	} else {
		ebb_tensor *size = ebb_abs(t, x);

		slope = ebb_pow_scalar(t, size ? nonzero(t, size) : NULL, k->p - 1);
		slope = ebb_div(t, slope, ebb_pow_scalar(t, safe, k->p - 1));
		slope = ebb_mul(t, ebb_sign(t, x), slope);
	}
	ebb_give(v, 0, ebb_mul(t, slope, g));
}
static const ebb_op NORM = {
	.name = "norm", .vjp = norm_vjp, .reads = {EBB_IN(0) | EBB_OUT}, .takes = {EBB_STRIDED}};
static const ebb_op STD = {
	.name = "std", .vjp = norm_vjp, .reads = {EBB_IN(0) | EBB_OUT}, .takes = {EBB_STRIDED}};

/* scale*|x|_p, p > 0 and finite */
static ebb_tensor *scaled_norm(const ebb_op *op, const ebb_norm_args *a, double p, double scale)
{
	ebb_tensor *x = a->x, *y;
	ebb_call c = ebb_begin(a->t, op, a->site, 1, &x);
	bool chosen[EBB_MAX_DIMS];
	int64_t ys[EBB_MAX_DIMS];
	norm_attrs k = {.p = p, .scale = scale};

	if (!ebb_check_real(&c, 0, "x") || !ebb_check_axes(&c, a->axes, x->ndim, chosen))
		return NULL;
	if (!(p > 0))
		return ebb_call_fail(&c, EBB_INVALID, "p is %g; it must be positive", p);
	k.kept = reduced_shape(x, chosen, true);
	y = ebb_new(&c, (ebb_dtype)x->dtype, reduced_shape(x, chosen, a->keepdim), EBB_ROWS);
	if (y) {
		reduced_strides(x, chosen, k.kept, ys);
		RUN(y, norm, p, x->ndim, x->shape, x->data, x->strides, y->data, ys, scale);
	}
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}

ebb_tensor *(ebb_norm)(const ebb_norm_args *a)
{
	if (isinf(a->p) && a->p > 0)
		return (ebb_max)(&(ebb_extreme_args){
			a->t, (ebb_abs)(a->t, a->x, a->site), a->axes, a->keepdim, NULL, a->site});
	if (a->p == EBB_ZERO)
		return (ebb_norm)(&(ebb_norm_args){
			a->t, (ebb_sign)(a->t, a->x, a->site), 1, a->axes, a->keepdim, a->site});
	return scaled_norm(&NORM, a, ebb_option(a->p, 2.0), 1.0);
}

/* ---- Variance, deviation --------------------------------------------------------------------- */

/* y = scale*sum d^2, with d the deviations.  The gradient of d is 2*scale*gy*d. */
static void var_vjp(ebb_vjp *v)
{
	const sum_attrs *k = v->attrs;
	ebb_tensor *g = ebb_reshape(v->t, ebb_mul_scalar(v->t, v->gy, 2 * k->scale), k->kept);

	ebb_give(v, 0, ebb_mul(v->t, v->in[0], g));
}
static const ebb_op VAR = {
	.name = "var", .vjp = var_vjp, .reads = {EBB_IN(0)}, .takes = {EBB_STRIDED}};

/* x minus its mean; sets *divisor to n - correction, which divides the sum of squares. */
static ebb_tensor *deviations(const ebb_op *op, const ebb_var_args *a, double *divisor)
{
	bool chosen[EBB_MAX_DIMS];
	double n;
	ebb_tensor *x = a->x;
	ebb_call c;

	if (!ebb_given(a->t, x, op->name, a->site))
		return NULL;
	c = (ebb_call){.t = a->t, .op = op, .site = a->site, .nin = 1, .in = &x};
	if (!ebb_check_real(&c, 0, "x") || !ebb_check_axes(&c, a->axes, x->ndim, chosen))
		return NULL;
	if (isnan(a->correction))
		return ebb_call_fail(&c, EBB_INVALID, "correction is nan; it must be a number");
	n = (double)reduced_count(x, chosen) - ebb_option(a->correction, 1.0);
	*divisor = n > 0 ? n : 0;
	return centred(a->t, x, a->axes, a->site);
}

ebb_tensor *(ebb_var)(const ebb_var_args *a)
{
	double n = 0;
	ebb_tensor *d = deviations(&VAR, a, &n), *y;
	ebb_call c = ebb_begin(a->t, &VAR, a->site, 1, &d);
	bool chosen[EBB_MAX_DIMS];
	int64_t ys[EBB_MAX_DIMS];
	sum_attrs k = {.scale = 1 / n};

	if (!d || !ebb_check_axes(&c, a->axes, d->ndim, chosen))
		return NULL;
	k.kept = reduced_shape(d, chosen, true);
	y = ebb_new(&c, (ebb_dtype)d->dtype, reduced_shape(d, chosen, a->keepdim), EBB_ROWS);
	if (y) {
		reduced_strides(d, chosen, k.kept, ys);
		RUN(y, reduce, EBB_REDUCE_SUM_SQ, d->ndim, d->shape, d->data, d->strides, y->data,
			ys, k.scale);
	}
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}

/* Computed as a norm of the deviations, so that no square overflows or underflows. */
ebb_tensor *(ebb_std)(const ebb_var_args *a)
{
	double n = 0;
	ebb_tensor *d = deviations(&STD, a, &n);
	ebb_norm_args norm = {.t = a->t, .x = d, .axes = a->axes, .keepdim = a->keepdim};

	norm.site = a->site;
	return d ? scaled_norm(&STD, &norm, 2, 1 / sqrt(n)) : NULL;
}

/* ---- Vectors of norm 1 ----------------------------------------------------------------------- */

static const ebb_op NORMALIZE = {.name = "normalize"};

/* y = x/max(|x|_p, eps).  Where the norm is below eps, the divisor is the constant eps. */
ebb_tensor *(ebb_normalize)(const ebb_normalize_args *a)
{
	ebb_axes axis = a->axis.n ? a->axis : EBB_AXES(1);
	double p = ebb_option(a->p, 2.0), eps = ebb_option(a->eps, 1e-12);
	bool chosen[EBB_MAX_DIMS];
	ebb_tensor *x = a->x, *norm;
	ebb_call c;

	if (!ebb_given(a->t, x, NORMALIZE.name, a->site))
		return NULL;
	c = (ebb_call){.t = a->t, .op = &NORMALIZE, .site = a->site, .nin = 1, .in = &x};
	if (!ebb_check_real(&c, 0, "x") || !ebb_check_axes(&c, axis, x->ndim, chosen))
		return NULL;
	if (!(p > 0) || !(eps >= 0))
		return ebb_call_fail(&c, EBB_INVALID,
			"p is %g, eps %g; p must be positive, eps at least 0", p, eps);
	if (eps > 0) /* an eps > 0 must not underflow in x's type */
		eps = fmax(eps, ebb_dtype_of(x) == EBB_F64 ? DBL_MIN : (double)FLT_MIN);
	norm = (ebb_norm)(&(ebb_norm_args){a->t, x, p, axis, true, a->site});
	return (ebb_div)(a->t, x, (ebb_clamp)(a->t, norm, eps, INFINITY, a->site), a->site);
}
