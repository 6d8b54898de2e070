/*
 * transform.c - Jacobian and Hessian products, and the Jacobian and the Hessian as matrices.
 *
 * All are composed of reverse sweeps.  What a transform records is discarded when it ends, unless
 * its result is to be differentiated again (.create_graph).
 */
#include "autograd/internal.h"

#include <string.h>

/* Whether n >= 1 and neither array is NULL.  If not, the tape fails.  Also false if the tape has
 * failed already. */
static bool arrays_given(ebb_tape *t, const char *what, int n, const void *x, const void *second,
	const char *name, const char *site)
{
	if (ebb_failed(t))
		return false;
	if (n >= 1 && x && second)
		return true;
	ebb_fail(t, EBB_INVALID, site, "%s: n is %d, x %s, %s %s; expected n >= 1 and two arrays",
		what, n, x ? "given" : "NULL", name, second ? "given" : "NULL");
	return false;
}

/* Whether every v[i] has x[i]'s shape and type; else the tape fails. */
static bool directions_fit(ebb_tape *t, const char *what, int n, ebb_tensor *const *x,
	ebb_tensor *const *v, const char *site)
{
	char a[240], b[240];

	for (int i = 0; i < n; i++) {
		if (x[i] && v[i] && ebb_same_shape(x[i], v[i]) && x[i]->dtype == v[i]->dtype)
			continue;
		ebb_fail(t, EBB_BAD_SHAPE, site, "%s: v[%d] is %s, x[%d] is %s", what, i,
			ebb_describe(v[i], a, sizeof a), i, ebb_describe(x[i], b, sizeof b));
		return false;
	}
	return true;
}

/* Memory for a list of n tensors, all NULL.  NULL: the tape has failed. */
static ebb_storage *list_of(ebb_tape *t, int64_t n, const char *site)
{
	size_t bytes = (size_t)n * sizeof(ebb_tensor *);
	ebb_storage *s = ebb_pool_take(&t->ctx.pool, bytes);

	if (!s)
		ebb_no_memory(t, site, "a list of tensors", bytes);
	else
		memset(ebb_storage_data(s), 0, bytes);
	return s;
}

/* Sets the results of a failed transform to NULL.  Returns false. */
static bool forget_all(int64_t n, ebb_tensor **x)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = NULL;
	return false;
}

/* a->gx[k] = d(sum over i < ng of sum g[i]*v[i])/d a->x[k].  A g[i] without a history has the
 * derivative zero. */
static bool grad_along(const ebb_grad_args *a, const char *what, int ng, ebb_tensor *const *g,
	ebb_tensor *const *v)
{
	ebb_tape *t = a->t;
	ebb_storage *memory = list_of(t, 2 * (int64_t)ng, a->site);
	ebb_tensor **y, **gy;
	bool ok = true;
	int n = 0;

	if (!memory)
		return false;
	y = ebb_storage_data(memory);
	gy = y + ng;
	for (int i = 0; i < ng; i++)
		if (g[i]->node >= 0) {
			y[n] = g[i];
			gy[n++] = v[i];
		}
	if (n)
		ok = ebb_grad_of_sum(a, what, n, y, gy);
	for (int k = 0; !n && ok && k < a->n; k++)
		ok = (a->gx[k] = ebb_linear_full_like(t, a->x[k], 0.0, a->site)) != NULL;
	ebb_unref(memory);
	return ok || forget_all(a->n, a->gx);
}

ebb_tensor *(ebb_jvp)(const ebb_jvp_args *a)
{
	ebb_tape *t = a->t;
	ebb_tensor *y = a->y, *none = NULL, *u, *jv = NULL, **g;
	bool ok;
	ebb_storage *memory;
	ebb_mark m;

	if (!arrays_given(t, "jvp", a->n, a->x, a->v, "v", a->site) ||
		!directions_fit(t, "jvp", a->n, a->x, a->v, a->site) ||
		!(memory = list_of(t, a->n, a->site)))
		return NULL;
	g = ebb_storage_data(memory);
	m = ebb_tape_mark(t);
	/* u -> J^T u is linear in u, so that its derivative is the same at every u. */
	u = y ? (ebb_variable)(t, ebb_linear_full_like(t, y, 1.0, a->site), a->site) : none;
	ok = ebb_grad_of_sum(&(ebb_grad_args){.t = t,
				     .n = a->n,
				     .x = a->x,
				     .gx = g,
				     .create_graph = true,
				     .site = a->site},
		"jvp", 1, &y, &u);
	ok = ok && grad_along(&(ebb_grad_args){.t = t,
				      .n = 1,
				      .x = &u,
				      .gx = &jv,
				      .create_graph = a->create_graph,
				      .site = a->site},
			   "jvp", a->n, g, a->v);
	ebb_unref(memory);
	if (!a->create_graph && !ebb_rewind_keeping(t, m, 1, &jv))
		return NULL;
	return ok ? jv : NULL;
}

bool(ebb_hvp)(const ebb_hvp_args *a)
{
	ebb_tape *t = a->t;
	ebb_tensor *y = a->y, *none = NULL, **g;
	ebb_storage *memory;
	ebb_mark m;
	bool ok;

	for (int i = 0; i < a->n && a->hv; i++)
		a->hv[i] = NULL;
	if (!arrays_given(t, "hvp", a->n, a->x, a->hv, "hv", a->site) ||
		!arrays_given(t, "hvp", a->n, a->x, a->v, "v", a->site) ||
		!directions_fit(t, "hvp", a->n, a->x, a->v, a->site) ||
		!(memory = list_of(t, a->n, a->site)))
		return false;
	g = ebb_storage_data(memory);
	m = ebb_tape_mark(t);
	ok = ebb_grad_of_sum(&(ebb_grad_args){.t = t,
				     .n = a->n,
				     .x = a->x,
				     .gx = g,
				     .create_graph = true,
				     .site = a->site},
		     "hvp", 1, &y, &none) &&
	     grad_along(&(ebb_grad_args){.t = t,
				.n = a->n,
				.x = a->x,
				.gx = a->hv,
				.create_graph = a->create_graph,
				.site = a->site},
		     "hvp", a->n, g, a->v);
	ebb_unref(memory);
	if (!a->create_graph && !ebb_rewind_keeping(t, m, a->n, a->hv))
		return false;
	return ok;
}

/* ---- Matrices, row by row -------------------------------------------------------------------- */

/* A row-major tensor of zeros whose axes are y's followed by x's. */
static ebb_tensor *new_matrix(
	ebb_tape *t, const char *what, const ebb_tensor *y, const ebb_tensor *x, const char *site)
{
	const ebb_op matrix = {.name = what};
	ebb_call c = {.t = t, .op = &matrix, .site = site};
	ebb_shape s;
	ebb_tensor *j;
	char a[240], b[240];

	if (ebb_refuses_stale(t, y, what, site) || ebb_refuses_stale(t, x, what, site))
		return NULL;
	s = ebb_shape_of(y);
	if (y->ndim + x->ndim > EBB_MAX_DIMS)
		return ebb_fail(t, EBB_BAD_SHAPE, site, "%s: more than %d axes together: %s by %s",
			what, EBB_MAX_DIMS, ebb_describe(y, a, sizeof a),
			ebb_describe(x, b, sizeof b));
	for (int i = 0; i < x->ndim; i++)
		s.dims[s.ndim++] = x->shape[i];
	j = ebb_new(&c, (ebb_dtype)x->dtype, s, EBB_ROWS);
	if (j && j->count)
		memset(j->data, 0, (size_t)j->count * ebb_dtype_size((ebb_dtype)j->dtype));
	return j;
}

/* A tensor like y that is 1 at the row-major index at, and 0 elsewhere. */
static ebb_tensor *unit(ebb_tape *t, const ebb_tensor *y, int64_t at, const char *site)
{
	ebb_tensor *u = ebb_linear_full_like(t, y, 0.0, site);
	int64_t offset = u ? ebb_offset_of(u, at) : 0;

	if (u && u->dtype == EBB_F64)
		((double *)(void *)u->data)[offset] = 1;
	else if (u)
		((float *)(void *)u->data)[offset] = 1;
	return u;
}

/* Fills the Jacobians j[k] of y by x[k], one row for each element of y. */
static bool fill_rows(ebb_tape *t, const char *what, ebb_tensor *y, int n, ebb_tensor *const *x,
	ebb_tensor **j, const char *site)
{
	ebb_storage *memory = list_of(t, n, site);
	ebb_tensor **g;
	bool ok = memory != NULL;

	if (!ok)
		return false;
	g = ebb_storage_data(memory);
	for (int64_t r = 0; ok && r < y->count && y->node >= 0; r++) {
		ebb_mark m = ebb_tape_mark(t);
		ebb_tensor *u = unit(t, y, r, site);

		ok = u && ebb_grad_of_sum(
				  &(ebb_grad_args){.t = t, .n = n, .x = x, .gx = g, .site = site},
				  what, 1, &y, &u);
		for (int k = 0; ok && k < n; k++) {
			size_t bytes = (size_t)g[k]->count * ebb_dtype_size((ebb_dtype)g[k]->dtype);

			ok = ebb_copy_out(g[k], j[k]->data + (size_t)r * bytes, bytes);
		}
		ok = ebb_rewind_keeping(t, m, 0, NULL) && ok;
	}
	ebb_unref(memory);
	return ok;
}

bool(ebb_jacobian)(const ebb_jacobian_args *a)
{
	ebb_tape *t = a->t;
	ebb_tensor *y = a->y;
	bool ok = true;

	if (a->jx)
		forget_all(a->n, a->jx);
	if (!arrays_given(t, "jacobian", a->n, a->x, a->jx, "jx", a->site) ||
		!ebb_sweep_target(t, "jacobian", &y, a->site))
		return false;
	for (int i = 0; ok && i < a->n; i++) {
		if (!a->x[i])
			ebb_fail(t, EBB_INVALID, a->site, "jacobian: x[%d] is NULL", i);
		ok = a->x[i] && (a->jx[i] = new_matrix(t, "jacobian", y, a->x[i], a->site));
	}
	ok = ok && fill_rows(t, "jacobian", y, a->n, a->x, a->jx, a->site);
	return ok || forget_all(a->n, a->jx);
}

bool(ebb_hessian)(const ebb_hessian_args *a)
{
	ebb_tape *t = a->t;
	ebb_tensor *y = a->y, *none = NULL, **g;
	int64_t blocks = a->n > 0 ? (int64_t)a->n * a->n : 0;
	ebb_storage *memory;
	ebb_mark m;
	bool ok = true;

	if (a->hx)
		forget_all(blocks, a->hx);
	if (!arrays_given(t, "hessian", a->n, a->x, a->hx, "hx", a->site) ||
		!(memory = list_of(t, a->n, a->site)))
		return false;
	g = ebb_storage_data(memory);
	for (int64_t i = 0; ok && i < blocks; i++) {
		const ebb_tensor *row = a->x[i / a->n], *column = a->x[i % a->n];

		if (!row || !column)
			ebb_fail(t, EBB_INVALID, a->site, "hessian: x[%lld] is NULL",
				(long long)(row ? i % a->n : i / a->n));
		ok = row && column && (a->hx[i] = new_matrix(t, "hessian", row, column, a->site));
	}
	m = ebb_tape_mark(t);
	ok = ok && ebb_grad_of_sum(&(ebb_grad_args){.t = t,
					   .n = a->n,
					   .x = a->x,
					   .gx = g,
					   .create_graph = true,
					   .site = a->site},
			   "hessian", 1, &y, &none);
	for (int i = 0; ok && i < a->n; i++)
		ok = fill_rows(t, "hessian", g[i], a->n, a->x, a->hx + (int64_t)i * a->n, a->site);
	ebb_unref(memory);
	ok = ebb_rewind_keeping(t, m, 0, NULL) && ok;
	return ok || forget_all(blocks, a->hx);
}
