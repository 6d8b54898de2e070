/*
 * memory.c - runs sweeps, transforms, checkpoints, observers and scopes once for each request for
 * memory that they make, and refuses this request.  The tape then has the error EBB_NO_MEMORY, no
 * memory stays in use, and the same calls succeed on the same tape afterwards.
 */
#include "tests/support/refusals.h"

#include <math.h>
#include <string.h>

static ebb_tensor *ramp(ebb_tape *t, ebb_shape shape)
{
	ebb_tensor *x = ebb_zeros(t, shape);
	double *p = ebb_data_mutable(x);

	for (int64_t i = 0; p && i < ebb_count(x); i++)
		p[i] = 0.1 * (double)(i % 7) + 0.2;
	return x;
}

/* ---- Sweeps ---------------------------------------------------------------------------------- */

typedef struct inputs {
	ebb_tensor *x, *w;     /* variables [2,3] and [3,2] */
	int64_t size;          /* the parameter's number of elements; 0: no parameter */
	ebb_tensor *parameter; /* persistent */
} inputs;

static void add_parameter(inputs *in)
{
	if (in->size) {
		in->parameter = persistent_random(EBB_F64, EBB_SHAPE(in->size), 1);
		ebb_set_requires_grad(in->parameter, true);
	}
}

static void free_parameter(void *ctx)
{
	inputs *in = ctx;

	ebb_tensor_free(in->parameter);
	in->parameter = NULL;
}

static void two_variables(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;

	in->x = ebb_variable(t, ramp(t, EBB_SHAPE(2, 3)));
	in->w = ebb_variable(t, ramp(t, EBB_SHAPE(3, 2)));
	add_parameter(in);
}

static bool sweep(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *x[2] = {in->x, in->w}, *g[2], *h[2], *y;

	y = ebb_matmul(t, in->x, in->w);
	y = ebb_add(t, ebb_tanh(t, y), ebb_transpose(t, ebb_square(t, y), 0, 1));
	y = ebb_add(t, ebb_sum(t, y), ebb_sum(t, ebb_expand(t, in->x, EBB_SHAPE(4, 2, 3))));
	if (in->parameter)
		y = ebb_add(t, y, ebb_sum(t, ebb_mul(t, in->x, in->parameter)));
	return ebb_grad(t, y, 2, x, g, .create_graph = true) &&
	       ebb_grad(t, ebb_sum(t, ebb_mul(t, g[0], g[0])), 2, x, h) &&
	       ebb_backward(t, y, .retain = true) && ebb_backward(t, y);
}

START_TEST(sweeps)
{
	inputs in = {.size = 0};

	ck_assert_int_eq(
		refuse_each(&(attempt){"sweep", sweep, two_variables, free_parameter, &in}), 0);
	in.size = 3;
	ck_assert_int_eq(refuse_each(&(attempt){"sweep with a parameter", sweep, two_variables,
				 free_parameter, &in}),
		0);
}
END_TEST

/* ---- Contributions of a vjp ------------------------------------------------------------------ */

static ebb_tensor *copy_op(ebb_tape *t, const ebb_op *op, int n, ebb_tensor **x)
{
	ebb_call c = ebb_begin(t, op, NULL, n, x);
	ebb_tensor *y = ebb_new_like(&c, x[0]);

	if (y)
		memcpy(ebb_data_mutable(y), ebb_data(x[0]), (size_t)ebb_count(y) * sizeof(double));
	return ebb_record(&c, y);
}

/* Six contributions: whole gradients, a broadcast one, and parts.  A visit has room for fewer, so
 * it must allocate. */
static void generous_vjp(ebb_vjp *v)
{
	ebb_tape *t = v->t;
	ebb_tensor *index = ebb_from_i64(t, EBB_SHAPE(2), (const int64_t[]){0, 1}),
		   *g = ebb_slice(t, v->gy, 0, 0, 1, 1);

	ebb_give(v, 0, ebb_mul_scalar(t, v->gy, 2));
	ebb_give(v, 0, ebb_expand(t, v->gy, EBB_SHAPE(2, 2, 3)));
	ebb_give(v, 0, v->gy);
	if (!ebb_give_part(v, 0, g, (ebb_selection){0, 1, 1, NULL}))
		return;
	ebb_give_part(v, 0, v->gy, (ebb_selection){.axis = 0, .index = index});
	ebb_give(v, 0, ebb_mul_scalar(t, v->gy, 3));
}
static const ebb_op GENEROUS = {.name = "generous", .vjp = generous_vjp, .takes = {EBB_ROWS}};

/* The first contribution is a part. */
static void part_vjp(ebb_vjp *v)
{
	ebb_tensor *index = ebb_from_i64(v->t, EBB_SHAPE(2), (const int64_t[]){1, 1});

	ebb_give_part(v, 0, v->gy, (ebb_selection){.axis = 0, .index = index});
	ebb_give_part(v, 0, ebb_slice(v->t, v->gy, 1, 0, 2, 1), (ebb_selection){1, 0, 2, NULL});
}
static const ebb_op PART = {.name = "part", .vjp = part_vjp, .takes = {EBB_ROWS}};

static bool give(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *x = in->x, *h = ebb_transpose(t, in->w, 0, 1), *g, *y;

	y = ebb_add(t, copy_op(t, &GENEROUS, 1, &x), copy_op(t, &PART, 1, &x));
	h = ebb_neg(t, h);
	y = ebb_add(t, y, ebb_add(t, copy_op(t, &PART, 1, &h), copy_op(t, &GENEROUS, 1, &h)));
	return ebb_grad(t, y, 1, &in->x, &g, y) && ebb_backward(t, y, y);
}

START_TEST(contributions_of_every_kind)
{
	inputs in = {.size = 0};

	ck_assert_int_eq(
		refuse_each(&(attempt){"give", give, two_variables, free_parameter, &in}), 0);
}
END_TEST

/* Gives input 0 the node's result, which is freed with the node.  Gives input 1 a gradient in the
 * memory of ebb_new_gradient, and then a part of the same tensor. */
static void own_values_vjp(ebb_vjp *v)
{
	static const ebb_op ONES = {.name = "ones_in_place"};
	ebb_tape *t = v->t;
	ebb_call c = ebb_begin(t, &ONES, NULL, 0, NULL);
	ebb_tensor *g = ebb_new_gradient(&c, v, 1);
	double *p = ebb_data_mutable(g);

	for (int64_t i = 0; p && i < ebb_count(g); i++)
		p[i] = 1;
	g = ebb_record(&c, g);
	ebb_give(v, 1, g);
	if (!ebb_give_part(v, 1, ebb_slice(t, g, 0, 0, 1, 1), (ebb_selection){0, 2, 1, NULL}))
		ebb_give(v, 1, g);
	ebb_give(v, 0, v->out);
}
static const ebb_op OWN_VALUES = {.name = "own_values",
	.vjp = own_values_vjp,
	.reads = {EBB_OUT},
	.takes = {EBB_ROWS, EBB_ROWS}};

/* The only contribution is a part of one element. */
static void first_vjp(ebb_vjp *v)
{
	ebb_give_part(v, 0, ebb_slice(v->t, v->gy, 0, 0, 1, 1), (ebb_selection){0, 0, 1, NULL});
}
static const ebb_op FIRST = {.name = "first", .vjp = first_vjp, .takes = {EBB_ROWS}};

static bool own_values(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *x[2] = {in->x, in->parameter}, *y, *z;

	y = copy_op(t, &OWN_VALUES, 2, x);
	z = ebb_sum(t, y);
	ebb_release(t, y);
	return ebb_backward(t, z);
}

static bool first_part(ebb_tape *t, void *ctx)
{
	ebb_tensor *x = ((inputs *)ctx)->parameter;

	return ebb_backward(t, copy_op(t, &FIRST, 1, &x), ramp(t, EBB_SHAPE(3)));
}

START_TEST(contributions_that_are_copied)
{
	inputs in = {.size = 3};

	ck_assert_int_eq(refuse_each(&(attempt){
				 "own values", own_values, two_variables, free_parameter, &in}),
		0);
	ck_assert_int_eq(refuse_each(&(attempt){
				 "first part", first_part, two_variables, free_parameter, &in}),
		0);
}
END_TEST

/* A deferred outer product.  If there is no memory for copies of its operands, the product is
 * computed at once. */
enum { ROWS = 2, OUT = 1024, IN = 1024 };

static void outer_vjp(ebb_vjp *v)
{
	if (!ebb_give_outer(v, 1, v->gy, v->in[0]))
		ebb_give(v, 1, ebb_matmul(v->t, ebb_transpose(v->t, v->gy, 0, 1), v->in[0]));
}
static const ebb_op OUTER = {.name = "outer",
	.vjp = outer_vjp,
	.reads = {EBB_IN(0), EBB_IN(0)},
	.takes = {EBB_ROWS, EBB_ROWS}};

static void add_weight(ebb_tape *t, void *ctx)
{
	ebb_tensor **w = ctx;

	(void)t;
	*w = ebb_tensor_new(EBB_F64, EBB_SHAPE(OUT, IN), false, NULL);
	ebb_set_requires_grad(*w, true);
}

static void free_weight(void *ctx)
{
	ebb_tensor_free(*(ebb_tensor **)ctx);
}

static bool deferred(ebb_tape *t, void *ctx)
{
	ebb_tensor *w = *(ebb_tensor **)ctx, *in[2] = {ramp(t, EBB_SHAPE(ROWS, IN)), w}, *y;
	ebb_call c = ebb_begin(t, &OUTER, NULL, 2, in);

	y = ebb_new(&c, EBB_F64, EBB_SHAPE(ROWS, OUT), EBB_ROWS);
	if (y)
		memset(ebb_data_mutable(y), 0, (size_t)ebb_count(y) * sizeof(double));
	y = ebb_record(&c, y);
	if (!ebb_backward(t, y, ramp(t, EBB_SHAPE(ROWS, OUT))))
		return false;
	/* Row 1 of gy and of x: 0.1*((1024*1 + 1) % 7) + 0.2 each. */
	ck_assert_double_eq_tol(ebb_at(ebb_grad_of(w), 0), 0.2 * 0.2 + 0.4 * 0.4, 1e-12);
	return true;
}

START_TEST(deferred_outer_products)
{
	ebb_tensor *w;

	ck_assert_int_le(refuse_each(&(attempt){
				 "deferred outer product", deferred, add_weight, free_weight, &w}),
		1);
}
END_TEST

enum { MANY = 12 };

static void many_vjp(ebb_vjp *v)
{
	for (int k = 0; k < v->nin; k++)
		ebb_give(v, k, ebb_mul_scalar(v->t, v->gy, k + 1));
}
static const ebb_op SUM_OF_MANY = {.name = "many", .vjp = many_vjp};

static bool many_inputs(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *x[MANY], *y, *g;

	for (int k = 0; k < MANY; k++)
		x[k] = k % 2 ? in->x : ebb_neg(t, in->x);
	y = ebb_sum(t, copy_op(t, &SUM_OF_MANY, MANY, x));
	return ebb_grad(t, y, 1, &in->x, &g, .create_graph = true) && ebb_backward(t, y);
}

START_TEST(an_op_of_many_inputs)
{
	inputs in = {.size = 0};

	ck_assert_int_eq(refuse_each(&(attempt){
				 "many inputs", many_inputs, two_variables, free_parameter, &in}),
		0);
}
END_TEST

/* ---- Recomputed results and checkpoints ------------------------------------------------------ */

static bool normalised(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *h, *y = ebb_mul_scalar(t, in->x, 2);

	for (int k = 0; k < 3; k++) {
		h = ebb_batchnorm_relu(t, y);
		y = ebb_mul(t, h, h);
		ebb_release(t, h);
	}
	return ebb_backward(t, ebb_sum(t, y), .retain = true) && ebb_backward(t, ebb_sum(t, y));
}

START_TEST(results_that_are_recomputed)
{
	inputs in = {.size = 0};

	ck_assert_int_eq(refuse_each(&(attempt){
				 "recomputed", normalised, two_variables, free_parameter, &in}),
		0);
}
END_TEST

static ebb_tensor *segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	inputs *in = ctx;

	ebb_scope_begin(t, "segment");
	x = ebb_mul(t, ebb_tanh(t, ebb_matmul(t, x, in->w)), ebb_dropout(t, in->w, 0.5));
	return ebb_scope_end(t, ebb_sum(t, ebb_mul(t, x, in->parameter)));
}

static ebb_tensor *outer_segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return ebb_square(t, ebb_checkpoint(t, segment, ctx, ebb_sin(t, x)));
}

static void square_variables(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;

	in->x = ebb_variable(t, ramp(t, EBB_SHAPE(2, 2)));
	in->w = ebb_variable(t, ramp(t, EBB_SHAPE(2, 2)));
	add_parameter(in);
}

static bool checkpointed(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *x[2] = {in->x, in->w}, *g[2], *h[2],
		   *y = ebb_checkpoint(t, outer_segment, in, in->x);

	return ebb_grad(t, y, 2, x, g, .create_graph = true) &&
	       ebb_grad(t, ebb_sum(t, g[1]), 2, x, h) && ebb_backward(t, y);
}

START_TEST(checkpoints)
{
	inputs in = {.size = 2};

	ck_assert_int_eq(refuse_each(&(attempt){"checkpoint", checkpointed, square_variables,
				 free_parameter, &in}),
		0);
}
END_TEST

/* ---- Transforms ------------------------------------------------------------------------------ */

static bool transforms(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_tensor *x[2] = {in->x, in->w}, *out[4], *y, *s,
		   *v[2] = {ramp(t, EBB_SHAPE(2, 3)), ramp(t, EBB_SHAPE(3, 2))};

	y = ebb_exp(t, ebb_matmul(t, in->x, in->w));
	s = ebb_sum(t, y);
	if (ebb_failed(t))
		return false;
	return ebb_jvp(t, y, 2, x, v) && ebb_jvp(t, y, 2, x, v, .create_graph = true) &&
	       ebb_jvp(t, ebb_sign(t, y), 2, x, v) && ebb_hvp(t, s, 2, x, v, out) &&
	       ebb_hvp(t, s, 2, x, v, out, .create_graph = true) && ebb_jacobian(t, y, 2, x, out) &&
	       ebb_hessian(t, s, 2, x, out);
}

START_TEST(jacobians_hessians_and_their_products)
{
	inputs in = {.size = 0};

	ck_assert_int_eq(refuse_each(&(attempt){
				 "transforms", transforms, two_variables, free_parameter, &in}),
		0);
}
END_TEST

static ebb_tensor *checked(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	(void)ctx;
	return ebb_mul(t, ebb_sin(t, x[0]), x[1]);
}

/* Returns whether ebb_gradcheck made request n.  If so, it must have failed with the error
 * EBB_NO_MEMORY. */
static bool check_without(const ebb_tensor *const *x, int64_t n)
{
	ebb_error e = {0};
	bool ok, refused;

	refuse_at(n);
	ok = ebb_gradcheck(checked, NULL, 2, x, .second = true, .error = &e);
	refused = requests.refused > 0;
	refuse_at(-1);
	ck_assert_msg(ok == !refused, "request %ld", (long)n);
	ck_assert_msg(ok || e.status == EBB_NO_MEMORY, "request %ld: %s", (long)n, e.message);
	return refused;
}

START_TEST(gradcheck_without_memory)
{
	counting_allocator a;
	const ebb_tensor *x[2];
	int64_t n = 0;

	counting_allocator_install(&a);
	x[0] = persistent_random(EBB_F64, EBB_SHAPE(1), 1);
	x[1] = persistent_random(EBB_F64, EBB_SHAPE(1), 2);
	while (check_without(x, n))
		n++;
	ck_assert_int_gt(n, 10);
	ebb_tensor_free((ebb_tensor *)x[0]);
	ebb_tensor_free((ebb_tensor *)x[1]);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

/* ---- Observers, anomalies, scopes, marks ----------------------------------------------------- */

static void look_at_node(void *ctx, const ebb_node *n)
{
	for (int k = 0; k < ebb_node_parts(n); k++)
		*(int *)ctx += ebb_node_part_value(n, k) != NULL;
}

static void look_at_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	*(int *)ctx += ebb_scope_path(scope)[0] && ebb_count(y) > 0;
}

static void look_at_gradient(void *ctx, const ebb_node *n, const ebb_tensor *g)
{
	for (int k = 0; k < ebb_node_parts(n); k++) {
		*(int *)ctx += ebb_node_part_gradient(n, k, g) != NULL;
		*(int *)ctx += ebb_node_part_gradient(n, k, NULL) != NULL;
	}
	*(int *)ctx += ebb_count(g) > 0;
}

typedef struct watched {
	inputs in;
	bool anomalies;
} watched;

static void watched_variables(ebb_tape *t, void *ctx)
{
	two_variables(t, &((watched *)ctx)->in);
}

static bool observed(ebb_tape *t, void *ctx)
{
	watched *w = ctx;
	int seen = 0;
	const ebb_observer o = {.ctx = &seen,
		.recorded = look_at_node,
		.scope_ended = look_at_scope,
		.gradient = look_at_gradient};
	ebb_tensor *y;
	bool ok;

	ck_assert(ebb_observe(t, &o));
	ebb_detect_anomaly(t, w->anomalies);
	ebb_scope_begin(t, "a.scope");
	y = ebb_batchnorm_relu(t, w->in.x, .residual = ebb_square(t, w->in.x));
	y = ebb_add(t, y, ebb_transpose(t, w->in.w, 0, 1));
	y = ebb_scope_end(t, ebb_square(t, y));
	ok = ebb_backward(t, ebb_sum(t, y));
	ebb_unobserve(t, &o);
	ebb_detect_anomaly(t, false);
	ck_assert(!ok || seen > 0);
	return ok;
}

START_TEST(observers_and_anomalies)
{
	watched w = {.anomalies = false};

	/* Memory that only an observer needs may be refused without an error: the observer then
	 * gets NULL. */
	ck_assert_int_gt(
		refuse_each(&(attempt){"observed", observed, watched_variables, NULL, &w}), 0);
	w.anomalies = true;
	refuse_each(&(attempt){"observed for anomalies", observed, watched_variables, NULL, &w});
}
END_TEST

static bool marks(ebb_tape *t, void *ctx)
{
	inputs *in = ctx;
	ebb_mark m = ebb_tape_mark(t);

	for (int k = 0; k < 3; k++) {
		ebb_tensor *y;

		ebb_scope_begin(t, "marked");
		y = ebb_scope_end(t, ebb_mul(t, ebb_detach(t, in->x), ebb_variable(t, in->x)));
		ebb_backward(t, y, y);
		ebb_rewind(t, m);
		ebb_tape_mark(t);
	}
	return !ebb_failed(t);
}

START_TEST(marks_and_scopes)
{
	inputs in = {.size = 0};

	ck_assert_int_eq(
		refuse_each(&(attempt){"marks", marks, two_variables, free_parameter, &in}), 0);
}
END_TEST

START_TEST(a_tape_without_memory_is_null)
{
	counting_allocator a;
	int64_t n = 0;

	counting_allocator_install(&a);
	for (bool refused = true; refused; n++) {
		ebb_tape *t;

		refuse_at(n);
		t = ebb_tape_new();
		refused = requests.refused > 0;
		refuse_at(-1);
		ck_assert_msg(!t == refused, "request %ld", (long)n);
		ebb_tape_free(t);
		ck_assert_int_eq(a.live, 0);
	}
	ck_assert_int_ge(n, 3);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/memory");
	TCase *c = tcase_create("refusals");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, sweeps);
	tcase_add_test(c, contributions_of_every_kind);
	tcase_add_test(c, contributions_that_are_copied);
	tcase_add_test(c, deferred_outer_products);
	tcase_add_test(c, an_op_of_many_inputs);
	tcase_add_test(c, results_that_are_recomputed);
	tcase_add_test(c, checkpoints);
	tcase_add_test(c, jacobians_hessians_and_their_products);
	tcase_add_test(c, gradcheck_without_memory);
	tcase_add_test(c, observers_and_anomalies);
	tcase_add_test(c, marks_and_scopes);
	tcase_add_test(c, a_tape_without_memory_is_null);
	suite_add_tcase(s, c);
	return run_suite(s);
}
