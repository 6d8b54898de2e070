/*
 * memory.c - runs every op with its gradient and second gradient once for each request for memory
 * that it makes, and refuses this request.  The tape then has the error EBB_NO_MEMORY, no memory
 * stays in use, and the same op succeeds on the same tape afterwards.
 */
#include <limits.h>

#include "tests/ops/ops_test.h"
#include "tests/support/refusals.h"

static const entry *const TABLES[] = {EVERY_TABLE};
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

typedef struct run {
	const entry *e;
	const sample *s;
	layout layout;
	ebb_tensor *x[MAX_IN];
} run;

static void place_inputs(ebb_tape *t, void *ctx)
{
	run *r = ctx;
	ebb_tensor *persistent;

	ebb_set_training(t, !r->s->eval);
	for (int k = 0; k < r->s->n; k++) {
		r->x[k] = place(t, &r->s->in[k],
			layout_applies(r->layout, &r->s->in[k]) ? r->layout : ROWS, &persistent);
		if (r->x[k] && r->e->result != EBB_DEFAULT)
			r->x[k] = ebb_detach(t, r->x[k]);
	}
}

/* The incoming gradient: ones of y's shape, from a variable.  It is a strided view if the inputs
 * are transposed. */
static ebb_tensor *cotangent(ebb_tape *t, const run *r, const ebb_tensor *y)
{
	ebb_shape s = ebb_shape_of(y);
	int last = s.ndim - 1;
	int64_t size = s.ndim ? s.dims[last] : 1;
	ebb_tensor *g;

	if (r->layout == ROWS || s.ndim == 0)
		return ebb_variable(t, ebb_cast(t, ebb_ones(t, s), ebb_dtype_of(y)));
	s.dims[last] *= 2;
	g = ebb_variable(t, ebb_cast(t, ebb_ones(t, s), ebb_dtype_of(y)));
	return ebb_slice(t, g, last, 0, 2 * size, 2);
}

/* Differentiates y: ebb_grad with create_graph, ebb_grad of each of these gradients, and
 * ebb_backward. */
static bool differentiate(ebb_tape *t, const run *r, ebb_tensor *y)
{
	ebb_tensor *x[MAX_IN + 1], *g[MAX_IN + 1], *h[MAX_IN + 1], *gy;
	int n = 0;

	for (int k = 0; k < r->s->n; k++)
		if (r->x[k] && ebb_requires_grad(r->x[k]))
			x[n++] = r->x[k];
	if (!ebb_requires_grad(y))
		return !ebb_failed(t);
	gy = cotangent(t, r, y);
	if (!ebb_grad(t, y, n, x, g, gy, .create_graph = true))
		return false;
	x[n] = gy;
	for (int k = 0; k < n; k++)
		if (ebb_requires_grad(g[k]) &&
			!ebb_grad(t, g[k], n + 1, x, h, ebb_ones_like(t, g[k])))
			return false;
	return ebb_backward(t, y, gy);
}

static bool run_op(ebb_tape *t, void *ctx)
{
	const run *r = ctx;
	ebb_tensor *in[MAX_IN], *y;

	memcpy(in, r->x, sizeof in);
	y = r->e->call(t, in, r->s->n, r->s->variant);
	/* The op returns NULL exactly if the tape has failed. */
	ck_assert_msg(!y == ebb_failed(t), "%s (%s)", r->e->name, r->s->text);
	return y && differentiate(t, r, y);
}

START_TEST(a_refused_request_is_an_error_and_leaves_no_memory)
{
	const entry *e = TABLES[_i / 2];

	for (; e->name; e++) {
		const char *at = e->samples;
		/* Elementwise ops make the same requests for every shape. */
		int rest = e->unary || e->binary ? 2 : INT_MAX;
		sample s;

		while (rest-- > 0 && e->call && next_sample(&at, e->values, &s)) {
			/* Transposed inputs are copied into the order that an op takes. */
			run r = {.e = e, .s = &s, .layout = _i % 2 ? TRANSPOSED : ROWS};
			char what[200];

			snprintf(what, sizeof what, "%s (%s)", e->name, s.text);
			ck_assert_msg(
				refuse_each(&(attempt){what, run_op, place_inputs, NULL, &r}) == 0,
				"%s: a refused request was not an error", what);
			arrays_free();
		}
	}
}
END_TEST

/* *.index is NULL exactly if the result is NULL. */
static bool positions(ebb_tape *t, void *ctx)
{
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(1, 2, 4, 4))), *at[4] = {x, x, x, x},
		   *y[4];

	(void)ctx;
	y[0] = ebb_maxpool2d(t, x, .kernel = 2, .index = &at[0]);
	y[1] = ebb_adaptive_maxpool2d(t, x, .size = 2, .index = &at[1]);
	y[2] = ebb_max(t, x, .axes = EBB_AXES(1), .index = &at[2]);
	y[3] = ebb_min(t, x, .axes = EBB_AXES(-1), .index = &at[3]);
	for (int k = 0; k < 4; k++)
		ck_assert_msg(!y[k] == !at[k], "result %d: %p, positions %p", k, (void *)y[k],
			(void *)at[k]);
	return !ebb_failed(t);
}

START_TEST(positions_are_null_if_the_result_is)
{
	ck_assert_int_eq(refuse_each(&(attempt){"positions", positions, NULL, NULL, NULL}), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops/memory");
	TCase *c = tcase_create("refusals");

	tcase_add_loop_test(
		c, a_refused_request_is_an_error_and_leaves_no_memory, 0, 2 * TABLE_COUNT);
	tcase_add_test(c, positions_are_null_if_the_result_is);
	tcase_set_timeout(c, 120);
	suite_add_tcase(s, c);
	return run_suite(s);
}
