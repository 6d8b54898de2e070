/* identity.c - ebb_jvp and ebb_grad agree for every op: <u, J v> = <J^T u, v>. */
#include "tests/ops/ops_test.h"

/* Returns the sum of a*b; adds the sum of |a*b| to *size. */
static double dot(const array *a, const array *b, double *size)
{
	double sum = 0;

	for (int64_t i = 0; i < a->count; i++) {
		sum += a->v[i] * b->v[i];
		*size += fabs(a->v[i] * b->v[i]);
	}
	return sum;
}

static ebb_tensor *constant(ebb_tape *t, const array *a)
{
	return ebb_from_f64(t, a->shape, a->v);
}

void check_identity(const trial *r)
{
	const sample *s = &r->s;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[MAX_IN], *by[MAX_IN], *v[MAX_IN], *g[MAX_IN], *y, *jv, *persistent;
	int which[MAX_IN], n = 0;
	bool defined = true;
	double forward, reverse = 0, size = 1;
	array a;

	/* If a value is NaN (the mean of no elements), so are the products. */
	for (int64_t i = 0; i < r->y.count; i++)
		defined = defined && isfinite(r->y.v[i]);
	ebb_set_default_dtype(t, EBB_F64);
	ebb_set_training(t, !s->eval);
	ebb_seed(t, 1);
	for (int k = 0; k < s->n; k++) {
		x[k] = place(t, &s->in[k], ROWS, &persistent);
		if (s->in[k].dtype != EBB_F64)
			continue;
		which[n] = k;
		by[n] = x[k];
		v[n++] = constant(t, &r->v[k]);
	}
	y = r->e->call(t, x, s->n, s->variant);
	if (n && defined && ebb_requires_grad(y)) {
		jv = ebb_jvp(t, y, n, by, v);
		ck_assert_msg(jv, "%s (%s): jvp: %s", r->e->name, s->text, ebb_error_message(t));
		a = array_of(jv);
		forward = dot(&r->u, &a, &size);
		ck_assert_msg(ebb_grad(t, y, n, by, g, constant(t, &r->u)), "%s (%s): %s",
			r->e->name, s->text, ebb_error_message(t));
		for (int k = 0; k < n; k++) {
			a = array_of(g[k]);
			reverse += dot(&a, &r->v[which[k]], &size);
		}
		ck_assert_msg(fabs(forward - reverse) <= 1e-12 * size,
			"%s (%s): <u,Jv> is %.17g, <J^T u,v> is %.17g", r->e->name, s->text,
			forward, reverse);
	}
	ck_assert_msg(!ebb_failed(t), "%s (%s): %s", r->e->name, s->text, ebb_error_message(t));
	ebb_tape_free(t);
}
