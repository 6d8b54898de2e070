/*
 * overhead - the cost of recording and differentiating per op, on tensors so small that arithmetic
 * does not matter.
 *
 *   overhead                 medians over chains of 1000 times x = x*w + b on 8 floats, one thread
 *   overhead --peer SCRIPT   also runs a Python script that times PyTorch on the same chain and
 *                            prints a line of JSON with forward_us_per_op and backward_us_per_op
 */
#include "bench.h"
#include "demos/cli.h"

#include <ebb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINKS = 1000, OPS = 2 * LINKS, CHAINS = 101 };

typedef struct costs {
	double forward, backward; /* microseconds per op */
} costs;

static ebb_tensor *constant_of_8(double value)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(8), false, NULL);
	float *data = ebb_data_mutable(x);

	for (int i = 0; data && i < 8; i++)
		data[i] = (float)value;
	return x;
}

/* Prints an error and returns false on failure. */
static bool measure(costs *c)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *w = constant_of_8(0.999), *b = constant_of_8(1e-3), *start = constant_of_8(1);
	double forward[CHAINS], backward[CHAINS];
	bool ok;

	ebb_set_requires_grad(w, true);
	ebb_set_requires_grad(b, true);
	for (int i = 0; i < CHAINS; i++) {
		double t0, t1, t2, t3;
		ebb_tensor *x = start, *loss;

		t0 = cli_now();
		for (int k = 0; k < LINKS; k++)
			x = ebb_add(t, ebb_mul(t, x, w), b);
		t1 = cli_now();
		loss = ebb_sum(t, x);
		t2 = cli_now();
		ebb_backward(t, loss);
		t3 = cli_now();
		ebb_zero_grad(w);
		ebb_zero_grad(b);
		ebb_tape_reset(t);
		forward[i] = (t1 - t0) * 1e6 / OPS;
		backward[i] = (t3 - t2) * 1e6 / OPS;
	}
	ok = !ebb_failed(t);
	if (!ok)
		fprintf(stderr, "overhead: %s\n", ebb_error_message(t));
	ebb_tape_free(t);
	ebb_tensor_free(w);
	ebb_tensor_free(b);
	ebb_tensor_free(start);
	*c = (costs){bench_median(forward, CHAINS), bench_median(backward, CHAINS)};
	return ok;
}

/* Prints an error and returns false on failure. */
static bool measure_peer(const char *script, costs *c)
{
	char command[4200], line[1000] = "";
	/* An executable script names its interpreter. */
	const char *by = access(script, X_OK) ? "python3 " : strchr(script, '/') ? "" : "./";
	FILE *f;
	bool ok;

	if (strchr(script, '\'') ||
		snprintf(command, sizeof command, "%s'%s'", by, script) >= (int)sizeof command) {
		fprintf(stderr, "overhead: the script's name is too long or has a quote\n");
		return false;
	}
	f = popen(command, "r");
	ok = f && fgets(line, sizeof line, f) &&
	     bench_number_after(line, "\"forward_us_per_op\"", &c->forward) &&
	     bench_number_after(line, "\"backward_us_per_op\"", &c->backward);
	if (f)
		pclose(f);
	if (!ok)
		fprintf(stderr,
			"overhead: the peer printed no figures (Debian's package for PyTorch "
			"is python3-torch)\n");
	return ok;
}

static void print(const char *name, costs c)
{
	printf("%-8s %8.4f %9.4f %8.4f\n", name, c.forward, c.backward, c.forward + c.backward);
}

int main(int argc, char **argv)
{
	cli_begin();
	const char *peer = argc == 3 && !strcmp(argv[1], "--peer") ? argv[2] : NULL;
	costs ebb, torch;

	if (argc > 1 && !peer) {
		fprintf(stderr, "usage: overhead [--peer SCRIPT]\n");
		return 2;
	}
	cli_threads("1");
	if (!measure(&ebb))
		return 1;
	printf("microseconds per op, a chain of %d x (x*w + b) on 8 floats, one thread, medians of "
	       "%d\n",
		LINKS, CHAINS);
	printf("%-8s %8s %9s %8s\n", "", "forward", "backward", "both");
	print("Ebb", ebb);
	if (peer) {
		if (!measure_peer(peer, &torch))
			return 1;
		print("PyTorch", torch);
		printf("%-8s %8.1f %9.1f %8.1f\n", "ratio", torch.forward / ebb.forward,
			torch.backward / ebb.backward,
			(torch.forward + torch.backward) / (ebb.forward + ebb.backward));
	}
	return 0;
}
