/*
 * Newton's method without a Hessian: f is Rosenbrock's function in n dimensions,
 *
 *	f(x) = sum 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2,
 *
 * and each step solves H s = -g by conjugate gradients, which needs only products H v.  The product
 * H v is the gradient of (g . v), so it costs about as much as two gradients for any n.
 */
#include <ebb.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static ebb_tensor *rosenbrock(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *a = ebb_slice(t, x, 0, 0, -1, 1), *b = ebb_slice(t, x, 0, 1, EBB_END, 1);
	ebb_tensor *valley = ebb_square(t, ebb_sub(t, b, ebb_square(t, a)));
	ebb_tensor *slope = ebb_square(t, ebb_add_scalar(t, ebb_neg(t, a), 1));

	return ebb_sum(t, ebb_add(t, ebb_mul_scalar(t, valley, 100), slope));
}

static double dot(int64_t n, const double *a, const double *b)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* f(x + length*s); point is scratch of n numbers. */
static double value_along(
	ebb_tape *t, int64_t n, const double *x, double length, const double *s, double *point)
{
	ebb_mark mark = ebb_tape_mark(t);

	for (int64_t i = 0; i < n; i++)
		point[i] = x[i] + length * s[i];
	double f = ebb_item(rosenbrock(t, ebb_from_f64(t, EBB_SHAPE(n), point)));
	ebb_rewind(t, mark);
	return f;
}

/* out = H v, computed as the gradient of g.v on the graph that computed g.  The tape is then
 * rewound. */
static bool hessian_times(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *g, int64_t n, const double *v, double *out)
{
	ebb_mark mark = ebb_tape_mark(t);
	ebb_tensor *hv = NULL;

	ebb_grad(t, ebb_sum(t, ebb_mul(t, g, ebb_from_f64(t, EBB_SHAPE(n), v))), 1, &x, &hv);
	bool ok = ebb_copy_out(hv, out, (size_t)n * sizeof *out);
	ebb_rewind(t, mark);
	return ok;
}

/*
 * Conjugate gradients for H s = -g, until the residual is small enough for quadratic convergence
 * (Dembo, Eisenstat & Steihaug 1982).  If the curvature is not positive, s is the best direction so
 * far.  Returns the number of products with H.
 */
static int solve(ebb_tape *t, ebb_tensor *x, ebb_tensor *g, int64_t n, const double *grad,
	double *s, double *work)
{
	double *r = work, *p = work + n, *hp = work + 2 * n;
	double rr = dot(n, grad, grad), norm = sqrt(rr), enough = fmin(0.01, norm) * norm;
	int products = 0;

	for (int64_t i = 0; i < n; i++) {
		s[i] = 0;
		r[i] = p[i] = -grad[i];
	}
	while (sqrt(rr) > enough && products < 10 * n) {
		if (!hessian_times(t, x, g, n, p, hp))
			break;
		products++;
		double curvature = dot(n, p, hp);
		if (curvature <= 0) {
			if (products == 1)
				memcpy(s, p, (size_t)n * sizeof *s);
			break;
		}
		double alpha = rr / curvature, before = rr;
		for (int64_t i = 0; i < n; i++) {
			s[i] += alpha * p[i];
			r[i] -= alpha * hp[i];
		}
		rr = dot(n, r, r);
		for (int64_t i = 0; i < n; i++)
			p[i] = r[i] + rr / before * p[i];
	}
	return products;
}

static int newton(ebb_tape *t, int64_t n, int steps, double tolerance, double *memory)
{
	double *x = memory, *grad = memory + n, *s = memory + 2 * n, *point = memory + 3 * n;
	double *work = memory + 4 * n;

	for (int64_t i = 0; i < n; i++)
		x[i] = 0; /* f = n - 1; a curved valley leads from here to the minimum */
	printf("step            f      |gradient|   products H v   step length\n");
	for (int k = 0; k <= steps; k++) {
		ebb_tensor *at = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(n), x)), *g = NULL;
		ebb_tensor *f = rosenbrock(t, at);
		ebb_grad(t, f, 1, &at, &g, .create_graph = true);
		if (!ebb_copy_out(g, grad, (size_t)n * sizeof *grad))
			return 1;
		double value = ebb_item(f), norm = sqrt(dot(n, grad, grad));
		printf("%4d  %12.4e   %12.4e", k, value, norm);
		if (norm <= tolerance) {
			printf("\nconverged: x[0] = %.12g, x[%lld] = %.12g\n", x[0],
				(long long)n - 1, x[n - 1]);
			return 0;
		}
		int products = solve(t, at, g, n, grad, s, work);
		/* Backtracking line search until f falls by a fraction of what the slope predicts
		 * (Armijo 1966). */
		double length = 1, slope = dot(n, grad, s);
		while (length > 1e-10 &&
			!(value_along(t, n, x, length, s, point) <= value + 1e-4 * length * slope))
			length /= 2;
		for (int64_t i = 0; i < n; i++)
			x[i] += length * s[i];
		printf("   %12d   %11.4g\n", products, length);
		ebb_tape_reset(t);
		if (ebb_failed(t))
			return 1;
	}
	printf("not converged after %d steps\n", steps);
	return 1;
}

static const char help[] =
	"hvp: Newton steps by Hessian-vector products and conjugate gradients\n"
	"\n"
	"  --dimensions N   dimensions of Rosenbrock's function, 2 to 100000 (default 10)\n"
	"  --steps N        largest number of Newton steps (default 200)\n"
	"  --tolerance X    converged if the gradient's norm is at most X (default 1e-10)\n"
	"  --help           this text\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {{"dimensions", required_argument, NULL, 'n'},
		{"steps", required_argument, NULL, 's'},
		{"tolerance", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	int64_t n = 10;
	int steps = 200;
	double tolerance = 1e-10;

	cli_begin();
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'h')
			return fputs(help, stdout), 0;
		if (o == 'n')
			n = cli_int("--dimensions", optarg, 2, 100000);
		else if (o == 's')
			steps = (int)cli_int("--steps", optarg, 1, 100000);
		else if (o == 't')
			tolerance = cli_double("--tolerance", optarg, 0, 1e6);
		else
			return 2;
	}
	cli_no_arguments(argc, argv, optind);

	double *memory = calloc((size_t)n * 7, sizeof *memory);
	ebb_tape *t = ebb_tape_new();
	int status = 1;
	if (memory && t) {
		ebb_set_default_dtype(t, EBB_F64);
		status = newton(t, n, steps, tolerance, memory);
	} else {
		fprintf(stderr, "hvp: no memory for %lld dimensions\n", (long long)n);
	}
	if (t && ebb_failed(t))
		fprintf(stderr, "%s\n", ebb_error_message(t));
	ebb_tape_free(t);
	free(memory);
	return status;
}
