/*
 * A custom op: compute, then record.  Its derivative is written in ops, so that it can be
 * differentiated again; ebb_gradcheck compares both orders with central differences.
 */
#include <ebb.h>
#include <getopt.h>
#include <stdio.h>

#include "cli.h"

static void cube_vjp(ebb_vjp *v) /* d(x^3) = 3 x^2 */
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul_scalar(v->t, ebb_square(v->t, v->in[0]), 3.0)));
}
static const ebb_op CUBE = {.name = "cube", .vjp = cube_vjp, .reads = {EBB_IN(0)}};

/* The derivative with a wrong sign, which the gradient check must detect. */
static void wrong_vjp(ebb_vjp *v)
{
	ebb_give(
		v, 0, ebb_mul(v->t, v->gy, ebb_mul_scalar(v->t, ebb_square(v->t, v->in[0]), -3.0)));
}
static const ebb_op WRONG = {.name = "wrong_cube", .vjp = wrong_vjp, .reads = {EBB_IN(0)}};

static ebb_tensor *apply(ebb_tape *t, const ebb_op *op, ebb_tensor *x, const char *site)
{
	ebb_call c = ebb_begin(t, op, site, 1, &x);
	ebb_tensor *y = c.t ? ebb_new_like(&c, x) : NULL;

	if (y && ebb_dtype_of(x) == EBB_F32) {
		const float *from = ebb_data(x);
		float *to = ebb_data_mutable(y);
		for (int64_t i = 0; i < ebb_count(x); i++)
			to[i] = from[i] * from[i] * from[i];
	} else if (y && ebb_dtype_of(x) == EBB_F64) {
		const double *from = ebb_data(x);
		double *to = ebb_data_mutable(y);
		for (int64_t i = 0; i < ebb_count(x); i++)
			to[i] = from[i] * from[i] * from[i];
	} else if (y) {
		y = ebb_call_fail(&c, EBB_BAD_DTYPE, "x is %s, expected F32 or F64",
			ebb_dtype_name(ebb_dtype_of(x)));
	}
	return ebb_record(&c, y);
}

static ebb_tensor *checked_cube(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	return apply(t, ctx, x[0], EBB_SITE);
}

static bool check(const ebb_op *op, ebb_error *e)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(2, 3), false, e);
	const double values[] = {-2, -1, -0.5, 0.25, 1, 3};
	bool ok = ebb_copy_in(x, values, sizeof values) &&
	          ebb_gradcheck(checked_cube, (void *)op, 1, (const ebb_tensor *[]){x},
			  .second = true, .error = e);

	ebb_tensor_free(x);
	return ok;
}

static const char help[] =
	"custom_op: a differentiable op in a dozen lines, and the check of its gradient\n"
	"\n"
	"  --at X     where to differentiate x^3 (default 2)\n"
	"  --help     this text\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"at", required_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'}, {0}};
	double at = 2;
	ebb_error e = {0}, caught = {0};

	cli_begin();
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'h')
			return fputs(help, stdout), 0;
		if (o != 'a')
			return 2;
		at = cli_double("--at", optarg, -1e6, 1e6);
	}
	cli_no_arguments(argc, argv, optind);

	ebb_tape *t = ebb_tape_new();
	ebb_set_default_dtype(t, EBB_F64);
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, at)), *g = NULL, *h = NULL;
	ebb_tensor *y = apply(t, &CUBE, x, EBB_SITE);
	ebb_grad(t, y, 1, &x, &g, .create_graph = true);
	ebb_grad(t, g, 1, &x, &h);
	printf("x = %g:  x^3 = %g,  first derivative 3x^2 = %g,  second derivative 6x = %g\n", at,
		ebb_item(y), ebb_item(g), ebb_item(h));
	bool failed = ebb_failed(t);
	if (failed)
		fprintf(stderr, "%s\n", ebb_error_message(t));
	ebb_tape_free(t);
	if (failed)
		return 1;

	if (!check(&CUBE, &e))
		return fprintf(stderr, "cube: the gradient check failed: %s\n", e.message), 1;
	printf("gradient check of cube, first and second order: passed\n");
	if (check(&WRONG, &caught))
		return fprintf(stderr, "the gradient check did not detect a wrong sign\n"), 1;
	printf("gradient check of a cube with a wrong sign: caught\n  %s\n", caught.message);
	return 0;
}
