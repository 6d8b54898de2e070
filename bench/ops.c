/*
 * ops - the speed of each kernel, compared with the limits of the machine: a row per kernel and
 * shape.
 *
 *   ops [--filter TEXT] [--threads N] [--isa NAME] [--seconds S] [--cold]
 *
 * A row has the median time of calls over S seconds (default 0.2, at least 5 calls), and either
 * operations per second and their share of the peak of multiply-adds in registers (above 1 is
 * possible, because Winograd convolutions need fewer operations), or bytes per second and their
 * share of the bandwidth of main memory (above 1 if the caches hold them).  --cold cycles through
 * buffers that exceed the caches, as in a network.  --filter keeps the rows whose name contains
 * TEXT.
 */
#include "bench.h"
#include "demos/cli.h"
#include "op_rows.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 5, MAX_CALLS = 10000, MAX_SETS = 64, LINE = 64 };
static const size_t CACHES = (size_t)128 << 20;

typedef struct options {
	const char *filter;
	double seconds;
	bool cold;
} options;

/* ---- Buffers --------------------------------------------------------------------------------- */

/* The buffers of a row: with --cold several sets, else one. */
typedef struct buffers {
	int sets;
	float *set[MAX_SETS][OP_BUFFERS];
	void *workspace;
} buffers;

static void *aligned(size_t bytes)
{
	size_t rounded = (bytes + LINE - 1) / LINE * LINE;
	void *p = aligned_alloc(LINE, rounded ? rounded : LINE);

	if (p)
		memset(p, 0, rounded);
	return p;
}

static void buffers_free(buffers *b)
{
	for (int s = 0; s < b->sets; s++)
		for (int k = 0; k < OP_BUFFERS; k++)
			free(b->set[s][k]);
	free(b->workspace);
}

/* Fills the buffers with small numbers of both signs, because subnormal numbers would be far
 * slower. */
static bool buffers_new(buffers *b, const op_row *r, bool cold)
{
	size_t bytes = 0;
	bool ok;

	for (int k = 0; k < OP_BUFFERS; k++)
		bytes += r->floats[k] * sizeof(float);
	*b = (buffers){.sets = 1, .workspace = aligned(r->workspace)};
	if (cold)
		b->sets = bytes * (MAX_SETS - 1) < CACHES ? MAX_SETS : 1 + (int)(CACHES / bytes);
	ok = b->workspace != NULL;
	for (int s = 0; s < b->sets; s++) {
		for (int k = 0; k < OP_BUFFERS && r->floats[k]; k++) {
			float *x = b->set[s][k] = aligned(r->floats[k] * sizeof(float));

			ok = ok && x;
			for (size_t i = 0; x && i < r->floats[k]; i++)
				x[i] = (float)((int)(i * 37 % 101) - 50) / 64;
		}
	}
	return ok;
}

/* ---- Timing ---------------------------------------------------------------------------------- */

/* The median time of a call in seconds; 0 without memory. */
static double time_row(const op_row *r, const ebb_kernels *k, const options *o)
{
	static double seconds[MAX_CALLS];
	double start = cli_now(), median = 0;
	buffers b;
	int n = 0;

	if (buffers_new(&b, r, o->cold)) {
		if (r->prepare)
			r->prepare(r, k, b.set[0], b.workspace);
		r->run(r, k, b.set[0], b.workspace);
		for (; n < CALLS || (n < MAX_CALLS && cli_now() - start < o->seconds); n++) {
			double before = cli_now();

			r->run(r, k, b.set[n % b.sets], b.workspace);
			seconds[n] = cli_now() - before;
		}
		median = bench_median(seconds, n);
	}
	buffers_free(&b);
	return median;
}

static bool print_row(const op_row *r, double seconds, double fma, double triad)
{
	double rate = (r->flops > 0 ? r->flops : r->bytes) / seconds;

	if (!(seconds > 0)) {
		fprintf(stderr, "ops: no memory for %s\n", r->name);
		return false;
	}
	printf("%-64s %10.3f %9.1f %-7s %6.2f\n", r->name, seconds * 1e3, rate * 1e-9,
		r->flops > 0 ? "GFLOP/s" : "GB/s", rate / (r->flops > 0 ? fma : triad));
	fflush(stdout);
	return true;
}

/* ---- Options --------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
	fprintf(out, "usage: ops [--filter TEXT] [--threads N] [--isa baseline|avx2|avx512] "
		     "[--seconds S] [--cold]\n");
}

static void choose_isa(const char *isa)
{
	if (!ebb_kernels_named(isa, false)) {
		fprintf(stderr, "--isa: this build or this processor has no '%s'\n", isa);
		exit(2);
	}
	setenv("EBB_ISA", isa, 1);
}

static options parse(int argc, char **argv)
{
	static const struct option long_options[] = {{"filter", required_argument, NULL, 'f'},
		{"threads", required_argument, NULL, 't'}, {"isa", required_argument, NULL, 'i'},
		{"seconds", required_argument, NULL, 's'}, {"cold", no_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	options o = {.filter = "", .seconds = 0.2};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'f':
			o.filter = optarg;
			break;
		case 't':
			cli_threads(optarg);
			break;
		case 'i':
			choose_isa(optarg);
			break;
		case 's':
			o.seconds = cli_double("--seconds", optarg, 0, 1000);
			break;
		case 'c':
			o.cold = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	cli_no_arguments(argc, argv, optind);
	return o;
}

int main(int argc, char **argv)
{
	cli_begin();
	options o = parse(argc, argv);
	const ebb_kernels *k = ebb_kernels_f32();
	double fma = bench_fma_peak(k->isa), triad = bench_triad();
	op_row r;

	printf("%s, %d threads; limits: %.1f GFLOP/s of multiply-adds, %.1f GB/s of main "
	       "memory%s\n",
		k->isa, ebb_threads(), fma * 1e-9, triad * 1e-9, o.cold ? "; cold buffers" : "");
	printf("%-64s %10s %17s %6s\n", "", "ms", "", "share");
	for (int i = 0; op_row_at(i, k, &r); i++)
		if (strstr(r.name, o.filter) && !print_row(&r, time_row(&r, k, &o), fma, triad))
			return 1;
	return 0;
}
