/*
 * train - the speed and the memory of one network, as one line of JSON.
 *
 *   train MODEL [--batch N] [--steps N] [--warm N] [--threads N] [--infer] [--profile]
 *   train gpt .. [--context N] [--width N] [--layers N] [--heads N] [--vocabulary N]
 *
 * A step is forward, cross-entropy, backward and SGD with momentum 0.9; with --infer, forward
 * without recording in evaluation mode.  --warm steps are not measured.  img_s is computed from
 * the median step (ms).  gflops counts convolutions and linear layers, two operations per
 * multiply-add, three times that for training.  peak_share is its share of the peak of
 * multiply-adds in registers with as many threads (above 1 is possible, because Winograd
 * convolutions need fewer operations).  rss_mb is the peak resident memory, rss_import_mb its
 * value before the model is made.  --profile prints on standard error where a few further steps
 * spend their time.
 * For gpt, img_s counts sequences of --context tokens.
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
	bool infer, profile;
} options;

typedef struct run {
	const options *o;
	ebb_tape *t;
	ebb_params *p;
	ebb_optim *optim;
	ebb_tensor *x, *labels;
	net n;
} run;

static void usage(FILE *out)
{
	fprintf(out,
		"usage: train MODEL [--batch N] [--steps N] [--warm N] [--threads N] [--infer] "
		"[--profile]\n"
		"       train gpt .. [--context N] [--width N] [--layers N] [--heads N] "
		"[--vocabulary N]\n"
		"MODEL: %s\n",
		net_kind_names());
}

/* Sets a size of the net "gpt" for the option c; false for another option. */
static bool gpt_option(int c)
{
	static const struct {
		int option;
		const char *name;
		int *size, most;
	} sizes[] = {{'C', "--context", &net_gpt.context, 100000},
		{'W', "--width", &net_gpt.width, 100000}, {'L', "--layers", &net_gpt.layers, 1000},
		{'H', "--heads", &net_gpt.heads, 10000},
		{'V', "--vocabulary", &net_gpt.vocabulary, 10000000}};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		if (sizes[i].option == c) {
			*sizes[i].size = (int)cli_int(sizes[i].name, optarg, 1, sizes[i].most);
			return true;
		}
	return false;
}

static options parse(int argc, char **argv)
{
	static const struct option long_options[] = {{"batch", required_argument, NULL, 'b'},
		{"steps", required_argument, NULL, 's'}, {"warm", required_argument, NULL, 'w'},
		{"threads", required_argument, NULL, 't'}, {"infer", no_argument, NULL, 'i'},
		{"profile", no_argument, NULL, 'p'}, {"context", required_argument, NULL, 'C'},
		{"width", required_argument, NULL, 'W'}, {"layers", required_argument, NULL, 'L'},
		{"heads", required_argument, NULL, 'H'},
		{"vocabulary", required_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	options o = {.steps = 20, .warm = 5};
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
		case 'i':
			o.infer = true;
			break;
		case 'p':
			o.profile = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			if (gpt_option(c))
				break;
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

static void step(run *r)
{
	if (r->o->infer) {
		r->o->kind->logits(r->t, &r->n, r->x);
	} else {
		ebb_tensor *loss = net_loss(r->t, r->o->kind, &r->n, r->x, r->labels);

		ebb_params_zero_grad(r->p);
		ebb_backward(r->t, loss);
		ebb_optim_step(r->optim);
	}
	ebb_tape_reset(r->t);
}

/* Observer: counts the operations of the forward pass. */
static void count(void *ctx, const ebb_run *call)
{
	if (!call->gradient_of && (!strcmp(call->op, "conv2d") || !strcmp(call->op, "linear")))
		*(double *)ctx += call->flops;
}

/* Takes a step and returns its operations. */
static double flops_of_step(run *r)
{
	double flops = 0;
	ebb_observer counter = {.ctx = &flops, .ran = count};

	ebb_observe(r->t, &counter);
	step(r);
	ebb_unobserve(r->t, &counter);
	return flops * (r->o->infer ? 1 : 3);
}

static void report(const options *o, double *seconds, double flops, double rss_import)
{
	const char *isa = ebb_kernels_f32()->isa;
	double rss = bench_peak_rss(), median = bench_median(seconds, o->steps);
	double speed = flops / median;

	printf("{\"model\": \"%s\", \"mode\": \"%s\", \"batch\": %d, \"threads\": %d, "
	       "\"img_s\": %.2f, \"ms\": %.3f, \"min_ms\": %.3f, \"gflops\": %.2f, "
	       "\"peak_share\": %.3f, \"rss_mb\": %.1f, \"rss_import_mb\": %.1f, \"isa\": "
	       "\"%s\"}\n",
		o->kind->name, o->infer ? "infer" : "train", o->batch, ebb_threads(),
		o->batch / median, median * 1e3, seconds[0] * 1e3, speed * 1e-9,
		speed / bench_fma_peak(isa), rss, rss_import, isa);
}

/* Time outside ops, as in the optimizer, is the difference between the table and the whole. */
static void profile(run *r)
{
	enum { STEPS = 5 };
	ebb_profile *p = ebb_profile_new(r->t);
	ebb_text table = {0};
	double start = cli_now();

	for (int i = 0; i < STEPS; i++)
		step(r);
	start = cli_now() - start;
	ebb_profile_table(p, EBB_BY_OP, &table);
	fprintf(stderr, "%s%d steps of %.2f ms\n", table.data ? table.data : "", STEPS,
		start / STEPS * 1e3);
	ebb_text_free(&table);
	ebb_profile_free(p);
}

int main(int argc, char **argv)
{
	cli_begin();
	options o = parse(argc, argv);
	run r = {.o = &o, .t = ebb_tape_new(), .p = ebb_params_new(1)};
	double *seconds = malloc((size_t)o.steps * sizeof *seconds), flops;
	double rss_import = bench_peak_rss();
	bool ok;

	r.n = o.kind->make(r.p);
	r.optim = o.infer ? NULL : ebb_sgd(r.p, .lr = 0.01, .momentum = 0.9);
	net_batch(o.kind, o.batch, &r.x, &r.labels);
	ebb_set_training(r.t, !o.infer);
	ebb_set_recording(r.t, !o.infer);
	flops = flops_of_step(&r);
	for (int i = 1; i < o.warm; i++)
		step(&r);
	for (int i = 0; seconds && i < o.steps; i++) {
		double start = cli_now();

		step(&r);
		seconds[i] = cli_now() - start;
	}
	if (o.profile)
		profile(&r);
	ok = seconds && !ebb_params_error(r.p) && !ebb_failed(r.t);
	if (ok)
		report(&o, seconds, flops, rss_import);
	else
		fprintf(stderr, "train: %s\n",
			ebb_params_error(r.p) ? ebb_params_error(r.p)->message
			: seconds             ? ebb_error_message(r.t)
					      : "no memory");
	free(seconds);
	ebb_tape_free(r.t);
	ebb_optim_free(r.optim);
	ebb_params_free(r.p);
	ebb_tensor_free(r.x);
	ebb_tensor_free(r.labels);
	return !ok;
}
