/* binary.c - elementwise functions of two (and three) tensors, with broadcasting. */
#include "ops/internal.h"

/* ---- A binary kernel as an op ---------------------------------------------------------------- */

static ebb_tensor *no_quotient(ebb_call *c)
{
	char text[240];

	return ebb_call_fail(c, EBB_BAD_DTYPE,
		"a must be F32 or F64, got %s; ebb_floor_div and ebb_remainder take integers",
		ebb_describe(c->in[0], text, sizeof text));
}

ebb_tensor *ebb_binary(ebb_tape *t, const ebb_op *op, ebb_binary_fn f, ebb_tensor *a, ebb_tensor *b,
	double p, const char *site)
{
	ebb_tensor *in[] = {a, b};
	ebb_call c = ebb_begin(t, op, site, 2, in);
	ebb_tensor *y;

	if (c.t && f == EBB_BINARY_div && !ebb_is_real(in[0]))
		return no_quotient(&c);
	y = ebb_binary_result(&c, f, p);
	if (p != 0)
		ebb_attach(&c, &p, sizeof p);
	return ebb_record(&c, y);
}

static const ebb_op MASK2 = {
	.name = "mask", .vjp = ebb_zero_vjp, .takes = {EBB_STRIDED, EBB_STRIDED}};

ebb_tensor *ebb_mask2(ebb_tape *t, ebb_binary_fn f, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	ebb_tensor *in[] = {a, b};
	ebb_call c = ebb_begin(t, &MASK2, site, 2, in);

	c.tracked = false;
	return ebb_record(&c, ebb_binary_result(&c, f, 0));
}

/* ---- add, mul_or_zero, and the gradients of the rows with RULE ------------------------------- */

ebb_tensor *(ebb_add)(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	return ebb_linear_add(t, a, b, site);
}

static void mul_or_zero_vjp(ebb_vjp *v)
{
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_mul_or_zero(v->t, v->gy, v->in[1], NULL));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_mul_or_zero(v->t, v->gy, v->in[0], NULL));
}
static const ebb_op MUL_OR_ZERO = {.name = "mul_or_zero",
	.vjp = mul_or_zero_vjp,
	.reads = {EBB_IN(1), EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true};

ebb_tensor *ebb_mul_or_zero(ebb_tape *t, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	return ebb_binary(t, &MUL_OR_ZERO, EBB_BINARY_mul_or_zero, a, b, 0, site);
}

/* d(a^b)/da = b*a^(b-1), and 0 where b = 0.  d(a^b)/db = a^b*log a, and 0 where a^b = 0 or a = b
 * = 0. */
static void give_pow(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *a = v->in[0], *b = v->in[1];

	if (ebb_wants(v, 0)) {
		ebb_tensor *power = ebb_pow(t, a, ebb_add_scalar(t, b, -1.0));

		ebb_give(v, 0, ebb_mul_or_zero(t, v->gy, ebb_mul_or_zero(t, b, power, NULL), NULL));
	}
	if (ebb_wants(v, 1)) {
		/* log(0) is replaced by log(1), except for negative b, where 0^b is infinite. */
		ebb_tensor *one = ebb_mul(t, ebb_mask(t, EBB_UNARY_is_equal, a, 0, 0, NULL),
			ebb_mask(t, EBB_UNARY_inside, b, 0, INFINITY, NULL));
		ebb_tensor *log = ebb_log(t, ebb_add(t, a, one));

		ebb_give(v, 1,
			ebb_mul_or_zero(t, v->gy, ebb_mul_or_zero(t, v->out, log, NULL), NULL));
	}
}

/* d atan2(a,b)/da = b/(a^2+b^2), d/db = -a/(a^2+b^2), and 0 where a = b = 0.  The operands are
 * divided by the larger magnitude m, because their squares may overflow; the gradients do not depend
 * on m, which is a constant.  Where m is 0, m and the sum of squares are replaced by 1. */
static void give_atan2(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *a = ebb_detach(t, v->in[0]), *b = ebb_detach(t, v->in[1]);
	ebb_tensor *m = ebb_maximum(t, ebb_abs(t, a), ebb_abs(t, b));
	ebb_tensor *none = ebb_mask(t, EBB_UNARY_is_equal, m, 0, 0, NULL), *sum, *r;

	m = ebb_add(t, m, none);
	a = ebb_div(t, v->in[0], m);
	b = ebb_div(t, v->in[1], m);
	sum = ebb_add(t, ebb_add(t, ebb_square(t, a), ebb_square(t, b)), none);
	r = ebb_div(t, v->gy, ebb_mul(t, sum, m));
	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_mul(t, r, b));
	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_neg(t, ebb_mul(t, r, a)));
}

/* 1 where a > b, 1/2 where a = b, 0 where a < b. */
static ebb_tensor *share_of(ebb_tape *t, ebb_tensor *a, ebb_tensor *b)
{
	return ebb_add(t, ebb_mask2(t, EBB_BINARY_greater, a, b, NULL),
		ebb_mul_scalar(t, ebb_mask2(t, EBB_BINARY_equal, a, b, NULL), 0.5));
}

/* Gives gy*share to a and gy*(1 - share) to b.  Where share or 1 - share is 0, that
 * gradient is 0, even if gy is infinite. */
static void give_shares(ebb_vjp *v, ebb_tensor *share)
{
	ebb_tape *t = v->t;

	if (ebb_wants(v, 0))
		ebb_give(v, 0, ebb_mul_or_zero(t, v->gy, share, NULL));
	if (ebb_wants(v, 1))
		ebb_give(v, 1,
			ebb_mul_or_zero(t, v->gy, ebb_add_scalar(t, ebb_neg(t, share), 1.0), NULL));
}

static void give_maximum(ebb_vjp *v)
{
	give_shares(v, share_of(v->t, v->in[0], v->in[1]));
}

static void give_minimum(ebb_vjp *v)
{
	give_shares(v, share_of(v->t, v->in[1], v->in[0]));
}

/* ---- Ops without parameters ------------------------------------------------------------------ */

/* The words for tensors that a gradient reads, in the columns GRADIENT and RULE. */
#define NOTHING 0
#define A EBB_IN(0)
#define B EBB_IN(1)
#define Y EBB_OUT

#define READS_GRADIENT(reads_a, by_a, reads_b, by_b) reads_a, reads_b
#define READS_RULE(reads_a, reads_b, rule) reads_a, reads_b
#define GIVE_GRADIENT(reads_a, by_a, reads_b, by_b)                                                \
	if (ebb_wants(v, 0))                                                                       \
		ebb_give(v, 0, by_a);                                                              \
	if (ebb_wants(v, 1))                                                                       \
		ebb_give(v, 1, by_b);
#define GIVE_RULE(reads_a, reads_b, rule) rule(v);

#define BINARY(op, domain, torch, exact, value, gradient)                                          \
	static void op##_vjp(ebb_vjp *v)                                                           \
	{                                                                                          \
		ebb_tape *t = v->t;                                                                \
		ebb_tensor *gy = v->gy, *a = v->in[0], *b = v->in[1], *y = v->out;                 \
                                                                                                   \
		(void)t, (void)gy, (void)a, (void)b, (void)y;                                      \
		GIVE_##gradient                                                                    \
	}                                                                                          \
	static const ebb_op op##_op = {.name = #op,                                                \
		.vjp = op##_vjp,                                                                   \
		.reads = {READS_##gradient},                                                       \
		.takes = {EBB_STRIDED, EBB_STRIDED},                                               \
		.gy_strided = true};                                                               \
	ebb_tensor *(ebb_##op)(ebb_tape * t, ebb_tensor * a, ebb_tensor * b, const char *site)     \
	{                                                                                          \
		return ebb_binary(t, &op##_op, EBB_BINARY_##op, a, b, 0, site);                    \
	}
#include "kernels/binary.def"

/* ---- where ----------------------------------------------------------------------------------- */

static void where_vjp(ebb_vjp *v)
{
	ebb_tensor *zero = ebb_zeros_like(v->t, v->gy);

	if (ebb_wants(v, 1))
		ebb_give(v, 1, ebb_where(v->t, v->in[0], v->gy, zero));
	if (ebb_wants(v, 2))
		ebb_give(v, 2, ebb_where(v->t, v->in[0], zero, v->gy));
}
static const ebb_op WHERE = {.name = "where",
	.vjp = where_vjp,
	.reads = {0, EBB_IN(0), EBB_IN(0)},
	.takes = {EBB_STRIDED, EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true};

ebb_tensor *(
	ebb_where)(ebb_tape *t, ebb_tensor *cond, ebb_tensor *a, ebb_tensor *b, const char *site)
{
	ebb_tensor *in[] = {cond, a, b}, *y;
	ebb_call c = ebb_begin(t, &WHERE, site, 3, in);
	int64_t cs[EBB_MAX_DIMS], as[EBB_MAX_DIMS], bs[EBB_MAX_DIMS];
	ebb_shape shape;
	int size;
	char x1[240], x2[240], x3[240];

	if (!c.t || !ebb_check_same_type(&c, 1, "a", 2, "b"))
		return NULL;
	if (in[0]->dtype != EBB_U8 && in[0]->dtype != EBB_I64)
		return ebb_call_fail(&c, EBB_BAD_DTYPE, "cond must be U8 or I64, got %s",
			ebb_describe(in[0], x1, sizeof x1));
	if (!ebb_broadcast_shape(3, in, &shape))
		return ebb_call_fail(&c, EBB_BAD_SHAPE, "shapes do not broadcast: %s, %s and %s",
			ebb_describe(in[0], x1, sizeof x1), ebb_describe(in[1], x2, sizeof x2),
			ebb_describe(in[2], x3, sizeof x3));
	y = ebb_new_broadcast(&c, &shape, 1);
	size = (int)ebb_dtype_size((ebb_dtype)in[0]->dtype);
	if (y && y->count) {
		ebb_broadcast_strides(in[0], &shape, cs);
		ebb_broadcast_strides(in[1], &shape, as);
		ebb_broadcast_strides(in[2], &shape, bs);
		if (ebb_is_real(y))
			RUN(y, where_strided, y->ndim, y->shape, in[0]->data, size, cs, in[1]->data,
				as, in[2]->data, bs, y->data, y->strides);
		else
			INTEGERS(y)->where_strided(y->ndim, y->shape, in[0]->data, size, cs,
				in[1]->data, as, in[2]->data, bs, y->data, y->strides);
	}
	return ebb_record(&c, y);
}
