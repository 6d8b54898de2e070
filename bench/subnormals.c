/*
 * subnormals - what subnormal numbers cost, flushed and kept.
 *
 *   subnormals [WIDTH]   medians of: a matrix product and its gradients with operands of 1 and of
 *                        1e-40; the backward pass of sigmoid networks of 10 to 80 layers, whose
 *                        gradients vanish into subnormal numbers; WIDTH units per layer (128)
 */
#include "bench.h"
#include "demos/cli.h"

#include <ebb.h>

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 15, SIZE = 256, BATCH = 64, DEEPEST = 80, WIDEST = 4096 };

static const struct {
	ebb_flush flush;
	const char *name;
} modes[] = {{EBB_FLUSH_F32, "flushed"}, {EBB_FLUSH_NEVER, "kept"}};

/* Milliseconds of y = a b and its gradients; prints an error and returns a negative number on
 * failure. */
static double product(ebb_flush flush, double scale)
{
	ebb_tape *t = ebb_tape_new();
	double times[ROUNDS];
	bool ok;

	ebb_set_flush_subnormal(t, flush);
	for (int i = 0; i < ROUNDS; i++) {
		ebb_shape s = EBB_SHAPE(SIZE, SIZE);
		ebb_tensor *a = ebb_variable(t, ebb_full(t, s, scale)),
			   *b = ebb_variable(t, ebb_full(t, s, 0.5)), *gy = ebb_full(t, s, scale);
		double start = cli_now();

		ebb_backward(t, ebb_matmul(t, a, b), gy);
		times[i] = (cli_now() - start) * 1e3;
		ebb_tape_reset(t);
	}
	ok = !ebb_failed(t);
	if (!ok)
		fprintf(stderr, "subnormals: %s\n", ebb_error_message(t));
	ebb_tape_free(t);
	return ok ? bench_median(times, ROUNDS) : -1;
}

/* Microseconds of a backward pass per layer; prints an error and returns a negative number on
 * failure. */
static double network(ebb_flush flush, int depth, int width)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_linear layers[DEEPEST];
	double times[ROUNDS];
	bool ok;

	ebb_set_flush_subnormal(t, flush);
	for (int i = 0; i < depth; i++) {
		char name[16];

		snprintf(name, sizeof name, "fc%d", i);
		layers[i] = ebb_linear_new(p, name, width, width);
	}
	for (int i = 0; i < ROUNDS; i++) {
		ebb_tensor *x = ebb_randn(t, EBB_SHAPE(BATCH, width));
		double start;

		for (int k = 0; k < depth; k++)
			x = ebb_sigmoid(t, ebb_linear_forward(t, &layers[k], x));
		x = ebb_mean(t, ebb_square(t, x));
		ebb_params_zero_grad(p);
		start = cli_now();
		ebb_backward(t, x);
		times[i] = (cli_now() - start) * 1e6 / depth;
		ebb_tape_reset(t);
	}
	ok = !ebb_failed(t);
	if (!ok)
		fprintf(stderr, "subnormals: %s\n", ebb_error_message(t));
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok ? bench_median(times, ROUNDS) : -1;
}

int main(int argc, char **argv)
{
	int width = argc == 2 ? atoi(argv[1]) : 128;

	if (argc > 2 || width < 1 || width > WIDEST) {
		fprintf(stderr, "usage: subnormals [WIDTH]\n");
		return 2;
	}
	printf("%dx%d matrix product with its gradients, F32, medians of %d\n", SIZE, SIZE, ROUNDS);
	for (int m = 0; m < 2; m++) {
		double usual = product(modes[m].flush, 1), small = product(modes[m].flush, 1e-40);

		if (usual < 0 || small < 0)
			return 1;
		printf("%-8s operands of 1: %.3f ms, of 1e-40: %.3f ms, ratio %.2f\n",
			modes[m].name, usual, small, small / usual);
	}
	printf("backward pass of sigmoid networks, %d wide, batch %d: microseconds per layer\n",
		width, BATCH);
	for (int m = 0; m < 2; m++) {
		double first = 0, last = 0;

		printf("%-8s", modes[m].name);
		for (int depth = 10; depth <= DEEPEST; depth *= 2) {
			last = network(modes[m].flush, depth, width);
			if (last < 0)
				return 1;
			first = depth == 10 ? last : first;
			printf(" %d layers: %.2f", depth, last);
		}
		printf(", ratio %.2f\n", last / first);
	}
	return 0;
}
