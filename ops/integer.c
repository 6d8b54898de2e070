/* integer.c - arithmetic of integers, quotients rounded down with their remainders, one-hot. */
#include "ops/internal.h"

/* ---- Functions of one tensor of integers ----------------------------------------------------- */

ebb_integer_range ebb_range_of(const ebb_tensor *x)
{
	return x->dtype == EBB_U8 ? (ebb_integer_range){0, UINT8_MAX, false}
	                          : (ebb_integer_range){INT64_MIN, INT64_MAX, false};
}

/* INT64_MAX + 1 is the first double above the range of int64_t. */
bool ebb_check_integer(
	ebb_call *c, const char *name, double value, ebb_integer_range range, int64_t *out)
{
	bool below = value < (double)range.least;
	bool above = range.most == INT64_MAX ? value >= 0x1p63 : value > (double)range.most;

	if (isnan(value) || (isfinite(value) && value != floor(value)) ||
		(!range.clip && (below || above))) {
		ebb_call_fail(c, EBB_INVALID, "%s is %g; expected an integer that %s holds", name,
			value, range.most == UINT8_MAX ? "U8" : "I64");
		return false;
	}
	*out = below ? range.least : above ? range.most : (int64_t)value;
	return true;
}

ebb_tensor *ebb_integer_unary(ebb_call *c, ebb_unary_fn f, const ebb_constants *k)
{
	ebb_tensor *x = c->in[0], *y;
	ebb_integer_range range = {INT64_MIN, INT64_MAX, false};
	int64_t a = 0, b = 0;

	if (!INTEGERS(x)->unary(f, 0, x->data, x->data, 0, 0)) {
		ebb_check_real(c, 0, "x");
		return NULL;
	}
	if (f == EBB_UNARY_clamp) {
		range = ebb_range_of(x);
		range.clip = true;
	}
	if (k && (!ebb_check_integer(c, f == EBB_UNARY_clamp ? "lo" : "s", k->a, range, &a) ||
			 !ebb_check_integer(c, "hi", k->b, range, &b)))
		return NULL;
	y = ebb_new_like(c, x);
	if (y)
		INTEGERS(x)->unary(f, y->count, x->data, y->data, a, b);
	return ebb_record(c, y);
}

ebb_tensor *ebb_widened(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return x && x->dtype == EBB_U8 ? (ebb_cast)(t, x, EBB_I64, site) : x;
}

/* ---- floor_div, remainder -------------------------------------------------------------------- */

/* Zeros are given, so that ebb_backward gives the parameters a gradient of zeros. */
static void floor_div_vjp(ebb_vjp *v)
{
	ebb_tensor *zeros = ebb_zeros_like(v->t, v->gy);

	for (int k = 0; k < 2; k++)
		if (ebb_wants(v, k))
			ebb_give(v, k, zeros);
}
static const ebb_op FLOOR_DIV = {
	.name = "floor_div", .vjp = floor_div_vjp, .takes = {EBB_STRIDED, EBB_ROWS}};

/* a - floor(a/b)*b, with floor(a/b) constant */
static void remainder_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, v->gy);
	if (ebb_wants(v, 1))
		ebb_give(v, 1,
			ebb_neg(v->t,
				ebb_mul(v->t, v->gy, ebb_floor_div(v->t, v->in[0], v->in[1]))));
}
static const ebb_op REMAINDER = {.name = "remainder",
	.vjp = remainder_vjp,
	.reads = {0, EBB_IN(0) | EBB_IN(1)},
	.takes = {EBB_STRIDED, EBB_ROWS},
	.gy_strided = true};

static ebb_tensor *floored(ebb_tape *t, const ebb_op *op, ebb_binary_fn f, ebb_tensor *a,
	ebb_tensor *b, const char *site)
{
	ebb_tensor *in[] = {a, b};
	ebb_call c = ebb_begin(t, op, site, 2, in);

	if (c.t && !ebb_is_real(in[1])) {
		for (int64_t i = 0; i < in[1]->count; i++)
			if (ebb_value_at(in[1], i) == 0)
				return ebb_call_fail(&c, EBB_INVALID,
					"b[%lld] is 0; integers cannot be divided by 0",
					(long long)i);
	}
	return ebb_record(&c, ebb_binary_result(&c, f, 0));
}

ebb_tensor *(ebb_floor_div)(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	return floored(t, &FLOOR_DIV, EBB_BINARY_floor_div, a, b, site);
}

ebb_tensor *(ebb_remainder)(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	return floored(t, &REMAINDER, EBB_BINARY_remainder, a, b, site);
}

/* ---- one_hot --------------------------------------------------------------------------------- */

static const ebb_op ONE_HOT = {.name = "one_hot", .takes = {EBB_ROWS}};

/* One more than the largest index. */
static int64_t classes_of(const ebb_tensor *index)
{
	int64_t most = -1;

	for (int64_t i = 0; i < index->count; i++) {
		int64_t at = ((const int64_t *)(const void *)index->data)[i];

		most = at > most ? at : most;
	}
	return most < INT64_MAX ? most + 1 : most;
}

ebb_tensor *(ebb_one_hot)(ebb_tape *t, ebb_tensor *index, int64_t classes, const char *site)
{
	ebb_call c = ebb_begin(t, &ONE_HOT, site, 1, &index);
	const int64_t *at;
	ebb_tensor *y;
	char text[240];

	if (!ebb_check_dtype(&c, 0, "index", EBB_I64))
		return NULL;
	if (index->ndim == EBB_MAX_DIMS)
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "index may have at most %d axes, got %s",
			EBB_MAX_DIMS - 1, ebb_describe(index, text, sizeof text));
	if (classes < -1 || (classes == -1 && index->count == 0))
		return ebb_call_fail(&c, EBB_INVALID,
			"classes is %lld; expected their number, or -1 with an index that is not "
			"empty",
			(long long)classes);
	if (classes == -1)
		classes = classes_of(index);
	if (!ebb_check_index(&c, index, "axis of classes", classes))
		return NULL;
	y = ebb_new(&c, EBB_DEFAULT, ebb_with_axis(ebb_shape_of(index), index->ndim, classes),
		EBB_ROWS);
	at = (const int64_t *)(const void *)index->data;
	if (y && y->count) {
		double one = 1;

		STORE(y, fill, y->count, 0.0, y->data);
		for (int64_t i = 0; i < index->count; i++)
			STORE(y, from_f64, 1, &one,
				y->data + (i * classes + at[i]) *
						  (int64_t)ebb_dtype_size((ebb_dtype)y->dtype));
	}
	return ebb_record(&c, y);
}
