/*
 * checkpoint - the memory that a training step of a deep network holds, plain and with
 * checkpointing of segments of about the square root of its depth, and the time that running
 * segments twice costs.
 *
 *   checkpoint [FIGURE.png]     depths 4 to 196; a table, and a figure (default checkpoint.png)
 *
 * A layer is a 3x3 convolution of 8 channels, batch normalisation and ReLU, on 16 images of 24x24.
 * A peak is the tape's own count of tensor data (ebb_memory_of).
 */
#include "demos/cli.h"

#include <ebb.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHANNELS = 8, BATCH = 16, SIDE = 24, ROOTS = 13, STEPS = 5 };

typedef struct net {
	ebb_params *p;
	int depth;
	ebb_conv *conv;
	ebb_bn *norm;
} net;

typedef struct segment {
	const net *n;
	int from, to;
} segment;

static bool net_new(net *n, int depth)
{
	char name[32];

	*n = (net){ebb_params_new(1), depth, calloc((size_t)depth, sizeof *n->conv),
		calloc((size_t)depth, sizeof *n->norm)};
	for (int i = 0; n->conv && n->norm && i < depth; i++) {
		snprintf(name, sizeof name, "conv%d", i);
		n->conv[i] = ebb_conv_new(n->p, name, CHANNELS, CHANNELS, 3, .pad = 1);
		snprintf(name, sizeof name, "norm%d", i);
		n->norm[i] = ebb_bn_new(n->p, name, CHANNELS);
	}
	return n->conv && n->norm && !ebb_params_error(n->p);
}

static void net_free(net *n)
{
	ebb_params_free(n->p);
	free(n->conv);
	free(n->norm);
}

static ebb_tensor *layers(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const segment *s = ctx;

	for (int i = s->from; i < s->to; i++) {
		x = ebb_conv_forward(t, &s->n->conv[i], x);
		x = ebb_relu(t, ebb_bn_forward(t, &s->n->norm[i], x));
	}
	return x;
}

/* Runs the network in checkpointed segments of that length; 0: without checkpoints. */
static ebb_tensor *forward(ebb_tape *t, const net *n, int length, segment *s, ebb_tensor *x)
{
	if (!length)
		return layers(t, x, &(segment){n, 0, n->depth});
	for (int from = 0; from < n->depth; from += length, s++) {
		*s = (segment){n, from, from + length < n->depth ? from + length : n->depth};
		x = ebb_checkpoint(t, layers, s, x);
	}
	return x;
}

typedef struct cost {
	double bytes, seconds;
} cost;

/* Measures the peak memory and the fastest of some steps; prints an error and returns false on
 * failure. */
static bool measure(int depth, int length, cost *c)
{
	ebb_tape *t = ebb_tape_new();
	segment *s = calloc((size_t)depth, sizeof *s);
	net n;
	bool ok = net_new(&n, depth) && s;

	*c = (cost){0, INFINITY};
	for (int step = 0; ok && step < STEPS; step++) {
		double start = cli_now();
		ebb_tensor *x = ebb_randn(t, EBB_SHAPE(BATCH, CHANNELS, SIDE, SIDE));

		ebb_params_zero_grad(n.p);
		ok = ebb_backward(t, ebb_mean(t, ebb_square(t, forward(t, &n, length, s, x))));
		c->seconds = fmin(c->seconds, cli_now() - start);
		c->bytes = (double)ebb_memory_of(t).peak;
		ebb_tape_reset(t);
	}
	if (!ok)
		fprintf(stderr, "checkpoint: %s\n", ebb_error_message(t));
	ebb_tape_free(t);
	net_free(&n);
	free(s);
	return ok;
}

/* The exponent k of y = c*x^k, by least squares over logarithms. */
static double exponent(int n, const double *x, const double *y)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0;

	for (int i = 0; i < n; i++) {
		double a = log(x[i]), b = log(y[i]);

		sx += a;
		sy += b;
		sxx += a * a;
		sxy += a * b;
	}
	return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

static bool draw(const char *path, const double *depth, const double *plain,
	const double *segmented, double k_plain, double k_segmented)
{
	char plain_label[80], segmented_label[80];
	ebb_error error = {0};
	ebb_series series[] = {
		{.label = plain_label, .n = ROOTS, .x = depth, .y = plain, .points = true},
		{.label = segmented_label, .n = ROOTS, .x = depth, .y = segmented, .points = true}};
	ebb_panel panel = {.x_label = "layers n",
		.y_label = "peak of tensor data in a step, MB",
		.x_log = true,
		.y_log = true,
		.n = 2,
		.series = series,
		.legend = EBB_LEGEND_BOX};

	snprintf(plain_label, sizeof plain_label, "plain: grows as n^%.2f", k_plain);
	snprintf(segmented_label, sizeof segmented_label, "segments of \u221an: n^%.2f",
		k_segmented);
	if (!ebb_can_plot())
		return true;
	if (!ebb_figure_save(
		    &(ebb_figure){.title = "Checkpointing trades memory for a second forward pass",
			    .n = 1,
			    .panels = &panel},
		    path, &error)) {
		fprintf(stderr, "checkpoint: %s\n", error.message);
		return false;
	}
	ebb_figures_end();
	return true;
}

int main(int argc, char **argv)
{
	cli_begin();
	double depth[ROOTS], plain[ROOTS], segmented[ROOTS], k[2];

	printf("layers   plain MB   segments MB   ratio   time ratio\n");
	for (int i = 0; i < ROOTS; i++) {
		int root = i + 2;
		cost a, b;

		if (!measure(root * root, 0, &a) || !measure(root * root, root, &b))
			return 1;
		depth[i] = root * root;
		plain[i] = a.bytes / 1e6;
		segmented[i] = b.bytes / 1e6;
		printf("%6d %10.1f %13.1f %7.2f %12.2f\n", root * root, plain[i], segmented[i],
			segmented[i] / plain[i], b.seconds / a.seconds);
		fflush(stdout);
	}
	/* In small networks, most memory is the one segment that runs again, so the fit starts at
	 * 25 layers. */
	k[0] = exponent(ROOTS - 3, depth + 3, plain + 3);
	k[1] = exponent(ROOTS - 3, depth + 3, segmented + 3);
	printf("peak grows as n^%.2f plain, n^%.2f with segments of the root of n\n", k[0], k[1]);
	return !draw(argc > 1 ? argv[1] : "checkpoint.png", depth, plain, segmented, k[0], k[1]);
}
