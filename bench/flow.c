/*
 * flow - what the flow instrument costs, as one line of JSON.
 *
 *   flow MODEL [--batch N] [--steps N] [--warm N] [--threads N] [--every N] [--histograms] [--rank]
 *              [--only off|on]
 *
 * Two copies of the network take steps by turns on the same batch, one without and one with an
 * instrument.  ratio is the mean time of a step with the instrument, over --every steps, divided by
 * the one without: the median over blocks of --every steps.  same says whether the parameters of
 * both copies have the same bits at the end.  With --only, one copy alone takes the steps; rss_mb is
 * then the peak resident memory, and a tool such as callgrind can count instructions.  --every
 * larger than --steps leaves the instrument between its samples after the first step.
 */
#include "bench.h"
#include "demos/cli.h"
#include "kernels/kernels.h"
#include "nets.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
	const net_kind *kind;
	int batch, steps, warm;
	int64_t every;
	bool histograms, rank;
	int only; /* -1: both; 0: without, 1: with the instrument */
} options;

typedef struct copy {
	ebb_tape *t;
	ebb_params *p;
	ebb_optim *optim;
	ebb_flow *flow;
	net n;
} copy;

static void usage(FILE *out)
{
	fprintf(out,
		"usage: flow MODEL [--batch N] [--steps N] [--warm N] [--threads N] [--every N] "
		"[--histograms]\n"
		"            [--rank] [--only off|on]\n"
		"MODEL: %s\n",
		net_kind_names());
}

static options parse(int argc, char **argv)
{
	static const struct option long_options[] = {{"batch", required_argument, NULL, 'b'},
		{"steps", required_argument, NULL, 's'}, {"warm", required_argument, NULL, 'w'},
		{"threads", required_argument, NULL, 't'}, {"every", required_argument, NULL, 'e'},
		{"histograms", no_argument, NULL, 'h'}, {"rank", no_argument, NULL, 'r'},
		{"only", required_argument, NULL, 'o'}, {"help", no_argument, NULL, '?'},
		{NULL, 0, NULL, 0}};
	static const char *const which[] = {"off", "on", NULL};
	options o = {.steps = 20, .warm = 3, .every = 1, .only = -1};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'b':
			o.batch = (int)cli_int("--batch", optarg, 1, 100000);
			break;
		case 's':
			o.steps = (int)cli_int("--steps", optarg, 1, 1000000);
			break;
		case 'w':
			o.warm = (int)cli_int("--warm", optarg, 0, 1000000);
			break;
		case 't':
			cli_threads(optarg);
			break;
		case 'e':
			o.every = cli_int("--every", optarg, 1, 1000000000);
			break;
		case 'h':
			o.histograms = true;
			break;
		case 'r':
			o.rank = true;
			break;
		case 'o':
			o.only = cli_choice("--only", optarg, which);
			break;
		default:
			usage(stderr);
			exit(2);
		}
	}
	o.kind = optind < argc ? net_kind_named(argv[optind]) : NULL;
	if (!o.kind) {
		usage(stderr);
		exit(2);
	}
	cli_no_arguments(argc, argv, optind + 1);
	if (!o.batch)
		o.batch = o.kind->batch;
	return o;
}

/* Returns the seconds of one step. */
static double step(const copy *c, const options *o, ebb_tensor *x, ebb_tensor *labels)
{
	double start = cli_now();
	ebb_tensor *loss = net_loss(c->t, o->kind, &c->n, x, labels);

	ebb_params_zero_grad(c->p);
	ebb_backward(c->t, loss);
	ebb_optim_step(c->optim);
	ebb_tape_reset(c->t);
	return cli_now() - start;
}

static bool same_bits(const ebb_params *a, const ebb_params *b)
{
	for (int64_t i = 0; i < ebb_params_count(a); i++) {
		const ebb_tensor *x = ebb_params_at(a, i), *y = ebb_params_at(b, i);

		if (memcmp(ebb_data(x), ebb_data(y),
			    (size_t)ebb_count(x) * ebb_dtype_size(ebb_dtype_of(x))) != 0)
			return false;
	}
	return true;
}

static void copy_new(copy *c, const options *o, bool watched)
{
	c->t = ebb_tape_new();
	c->p = ebb_params_new(1);
	c->n = o->kind->make(c->p);
	c->optim = ebb_sgd(c->p, .lr = 0.01, .momentum = 0.9);
	c->flow = watched ? ebb_flow_new(c->t, .every = o->every, .histograms = o->histograms,
				    .rank = o->rank)
	                  : NULL;
}

static void copy_free(copy *c)
{
	ebb_flow_free(c->flow);
	ebb_tape_free(c->t);
	ebb_optim_free(c->optim);
	ebb_params_free(c->p);
}

int main(int argc, char **argv)
{
	cli_begin();
	options o = parse(argc, argv);
	copy c[2];
	ebb_tensor *x, *labels;
	double *ratio = calloc((size_t)o.steps, sizeof *ratio), sum[2] = {0};
	int blocks = 0;

	net_batch(o.kind, o.batch, &x, &labels);
	for (int k = 0; k < 2; k++)
		copy_new(&c[k], &o, k == 1);
	for (int i = -o.warm; ratio && i < o.steps; i++) {
		for (int k = 0; k < 2; k++) {
			/* By turns, each of them is the first in every second step. */
			int which = (i & 1) ^ k;

			if (o.only < 0 || o.only == which)
				sum[which] += step(&c[which], &o, x, labels);
		}
		if (i < 0 || (i + 1) % o.every == 0) {
			if (i >= 0 && o.only < 0)
				ratio[blocks++] = sum[1] / sum[0];
			sum[0] = sum[1] = 0;
		}
	}
	if (ratio && o.only < 0 && blocks)
		printf("{\"model\": \"%s\", \"batch\": %d, \"threads\": %d, \"every\": %lld, "
		       "\"ratio\": %.4f, \"same\": %s}\n",
			o.kind->name, o.batch, ebb_threads(), (long long)o.every,
			bench_median(ratio, blocks), same_bits(c[0].p, c[1].p) ? "true" : "false");
	else if (o.only >= 0)
		printf("{\"model\": \"%s\", \"batch\": %d, \"only\": \"%s\", \"rss_mb\": %.1f}\n",
			o.kind->name, o.batch, o.only ? "on" : "off", bench_peak_rss());
	for (int k = 0; k < 2; k++)
		copy_free(&c[k]);
	ebb_tensor_free(x);
	ebb_tensor_free(labels);
	free(ratio);
	return 0;
}
