/* compare.c - comparisons and logical ops: the result is U8 and has no derivative. */
#include "ops/internal.h"

/* y = 1 where f(a, b) is true, else 0.  y is channels-last if an input with as many axes as y is
 * channels-last. */
static ebb_tensor *compare(ebb_tape *t, const ebb_op *op, ebb_compare_fn f, ebb_tensor *a,
	ebb_tensor *b, bool swap, const char *site)
{
	ebb_tensor *in[] = {a, b}, *y;
	ebb_call c = ebb_begin(t, op, site, 2, in);
	int64_t strides[2][EBB_MAX_DIMS];
	ebb_order order = EBB_ROWS;
	ebb_shape shape;
	int first = swap, second = !swap;

	if (!c.t || !ebb_check_same_type(&c, 0, "a", 1, "b"))
		return NULL;
	if (!ebb_broadcast_shape(2, in, &shape))
		return ebb_shapes_differ(&c);
	for (int k = 0; k < 2; k++) {
		ebb_broadcast_strides(in[k], &shape, strides[k]);
		if (ebb_order_kept(in[k]) == EBB_CHANNELS_LAST && in[k]->ndim == shape.ndim)
			order = EBB_CHANNELS_LAST;
	}
	y = ebb_new(&c, EBB_U8, shape, order);
	if (y && y->count && !ebb_is_real(in[0]))
		INTEGERS(in[0])->compare_strided(f, y->ndim, y->shape, in[first]->data,
			strides[first], in[second]->data, strides[second], (uint8_t *)y->data,
			y->strides);
	else if (y && y->count)
		RUN(in[0], compare_strided, f, y->ndim, y->shape, in[first]->data, strides[first],
			in[second]->data, strides[second], (uint8_t *)y->data, y->strides);
	return ebb_record(&c, y);
}

/* With SWAP, a > b is computed as b < a. */
#define COMPARISON(op, NAME, FN, SWAP)                                                             \
	static const ebb_op NAME = {.name = #op, .takes = {EBB_STRIDED, EBB_STRIDED}};             \
	ebb_tensor *(ebb_##op)(ebb_tape * t, ebb_tensor * a, ebb_tensor * b, const char *site)     \
	{                                                                                          \
		return compare(t, &NAME, FN, a, b, SWAP, site);                                    \
	}

COMPARISON(equal, EQUAL, EBB_COMPARE_equal, false)
COMPARISON(not_equal, NOT_EQUAL, EBB_COMPARE_not_equal, false)
COMPARISON(less, LESS, EBB_COMPARE_less, false)
COMPARISON(less_equal, LESS_EQUAL, EBB_COMPARE_less_equal, false)
COMPARISON(greater, GREATER, EBB_COMPARE_less, true)
COMPARISON(greater_equal, GREATER_EQUAL, EBB_COMPARE_less_equal, true)
COMPARISON(logical_and, LOGICAL_AND, EBB_COMPARE_logical_and, false)
COMPARISON(logical_or, LOGICAL_OR, EBB_COMPARE_logical_or, false)

static const ebb_op LOGICAL_NOT = {.name = "logical_not", .takes = {EBB_STRIDED, EBB_STRIDED}};

/* y = (x == 0) */
ebb_tensor *(ebb_logical_not)(ebb_tape *t, ebb_tensor *x, const char *site)
{
	ebb_tensor *zero = NULL;
	ebb_call c;

	if (!ebb_given(t, x, LOGICAL_NOT.name, site))
		return NULL;
	c = ebb_begin(t, &LOGICAL_NOT, site, 0, NULL);
	zero = ebb_new(&c, (ebb_dtype)x->dtype, EBB_SCALAR_SHAPE, EBB_ROWS);
	if (zero)
		memset(zero->data, 0, ebb_dtype_size((ebb_dtype)x->dtype));
	return compare(t, &LOGICAL_NOT, EBB_COMPARE_equal, x, zero, false, site);
}
