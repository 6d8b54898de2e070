/* scan.c - cumulative sums. */
#include "ops/internal.h"

typedef struct scan_attrs {
	int axis;
	bool reverse;
} scan_attrs;

/* Element i of x is part of the sums i, i+1, .., so its gradient is the cumulative sum of gy from
 * the other end. */
static void cumsum_vjp(ebb_vjp *v);
static const ebb_op CUMSUM = {.name = "cumsum", .vjp = cumsum_vjp, .takes = {EBB_ROWS}};

static ebb_tensor *scan(ebb_tape *t, ebb_tensor *x, int axis, bool reverse, const char *site)
{
	ebb_call c = ebb_begin(t, &CUMSUM, site, 1, &x);
	scan_attrs k = {.reverse = reverse};
	ebb_tensor *y;

	if (!c.t || (k.axis = ebb_check_axis(&c, axis, x->ndim)) < 0)
		return NULL;
	y = ebb_new(&c, ebb_is_real(x) ? (ebb_dtype)x->dtype : EBB_I64, ebb_shape_of(x), EBB_ROWS);
	if (y && y->count) {
		ebb_around s = ebb_sizes_around(x, k.axis);

		if (!ebb_is_real(x))
			INTEGERS(x)->cumsum(
				s.outer, s.len, s.inner, x->data, (int64_t *)(void *)y->data);
		else
			RUN(y, cumsum, reverse, s.outer, s.len, s.inner, x->data, y->data);
	}
	ebb_attach(&c, &k, sizeof k);
	return ebb_record(&c, y);
}

static void cumsum_vjp(ebb_vjp *v)
{
	const scan_attrs *k = v->attrs;

	ebb_give(v, 0, scan(v->t, v->gy, k->axis, !k->reverse, NULL));
}

ebb_tensor *(ebb_cumsum)(ebb_tape *t, ebb_tensor *x, int axis, const char *site)
{
	return scan(t, x, axis, false, site);
}
