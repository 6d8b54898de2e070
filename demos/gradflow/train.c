/* train.c - trains one network with an instrument on its tape, and shows its progress. */
#include "gradflow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../cli.h"

static void progress(const run *r, const settings *s, int index, double began)
{
	enum { WIDTH = 24 };
	char left[32], before[64], after[120];
	double seconds = cli_now() - began;
	int64_t done = r->steps;

	cli_time(left, sizeof left, seconds / (double)done * (double)(s->steps - done));
	snprintf(before, sizeof before, "[%d/%d] %-30s ", index + 1, NETWORKS, r->design.name);
	snprintf(after, sizeof after, " %lld/%lld  loss %.3f  %s left", (long long)done,
		(long long)s->steps, r->loss[done - 1], left);
	cli_bar(before, (double)done / (double)s->steps, WIDTH, after);
}

static bool step(run *r, ebb_optim *opt, const ebb_batch *batch)
{
	ebb_tape *t = r->tape;
	ebb_tensor *logits = network_forward(t, &r->net, batch->images);
	ebb_tensor *loss = ebb_cross_entropy(t, logits, batch->labels);

	r->loss[r->steps] = ebb_item(loss);
	r->accuracy[r->steps] = ebb_accuracy(logits, batch->labels);
	ebb_params_zero_grad(r->params);
	ebb_backward(t, loss);
	ebb_optim_step(opt);
	ebb_tape_reset(t);
	r->steps++;

	const ebb_error *e = ebb_first_error(t, r->params, opt);
	if (e)
		fprintf(stderr, "%s: %s\n", r->design.name, e->message);
	return !e;
}

static bool loop(run *r, const settings *s, ebb_optim *opt, ebb_loader *loader, int index)
{
	bool terminal = cli_is_terminal(STDOUT_FILENO), ok = true;
	double began = cli_now(), drawn = 0;
	ebb_batch batch;

	if (!terminal) {
		printf("[%d/%d] %s: %lld parameters\n", index + 1, NETWORKS, r->design.name,
			(long long)r->parameters);
		fflush(stdout);
	}
	while (ok && r->steps < s->steps) {
		if (!ebb_loader_next(loader, &batch))
			continue; /* the next epoch */
		ok = step(r, opt, &batch);
		if (terminal && ok && cli_now() - drawn > 0.1) {
			progress(r, s, index, began);
			drawn = cli_now();
		} else if (!terminal && ok && r->steps % ((s->steps + 3) / 4) == 0) {
			printf("      step %lld of %lld, loss %.3f\n", (long long)r->steps,
				(long long)s->steps, r->loss[r->steps - 1]);
			fflush(stdout);
		}
	}
	r->seconds = cli_now() - began;
	if (terminal)
		printf("\r\033[K");
	return ok;
}

/* The loader has the same seed for every network, and so the same data in the same order. */
static ebb_loader *loader_for(const settings *s, const ebb_dataset *data, ebb_error *e)
{
	ebb_loader_args a = {.data = data,
		.batch = s->batch,
		.shuffle = true,
		.seed = s->seed,
		.drop_last = true,
		.error = e,
		.site = EBB_SITE};

	if (!ebb_dataset_moments(data, a.mean, a.std))
		return NULL;
	return (ebb_loader_new)(&a);
}

bool train(run *r, const settings *s, const ebb_dataset *data, int index)
{
	ebb_error e = {0};
	bool ok = false;

	r->tape = ebb_tape_new();
	r->params = ebb_params_new(s->seed);
	r->loss = calloc((size_t)s->steps, sizeof *r->loss);
	r->accuracy = calloc((size_t)s->steps, sizeof *r->accuracy);
	ebb_loader *loader = loader_for(s, data, &e);
	bool made = r->tape && r->loss && r->accuracy && loader &&
	            network_new(&r->net, &r->design, r->params, s, (int)ebb_size(data->images, 1),
			    data->classes);
	ebb_optim *opt = made ? ebb_sgd(r->params, .lr = s->lr, .momentum = 0.9) : NULL;
	if (made) {
		r->parameters = ebb_params_elements(r->params);
		/* These tensors are small enough to measure whole. */
		r->flow = ebb_flow_new(r->tape, .every = s->every, .elements = -1, .error = &e);
	}
	if (opt && r->flow)
		ok = loop(r, s, opt, loader, index) && !ebb_flow_failed(r->flow) &&
		     read_instrument(r);
	else if (ebb_params_error(r->params))
		fprintf(stderr, "%s: %s\n", r->design.name, ebb_params_error(r->params)->message);
	else
		fprintf(stderr, "%s: %s\n", r->design.name, e.status ? e.message : "no memory");
	if (!ok && r->flow && !ebb_first_error(r->tape, r->params, opt))
		fprintf(stderr, "%s: no memory for the measurements\n", r->design.name);
	ebb_optim_free(opt);
	ebb_loader_free(loader);
	return ok;
}

void run_free(run *r)
{
	ebb_flow_free(r->flow);
	ebb_tape_free(r->tape);
	network_free(&r->net);
	ebb_params_free(r->params);
	free(r->layer);
	free(r->loss);
	free(r->accuracy);
	*r = (run){0};
}

static double mean(int64_t n, const double *v)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += v[i];
	return n ? sum / (double)n : NAN;
}

double loss_at_first(const run *r)
{
	return mean((r->steps + 9) / 10, r->loss);
}

double loss_at_last(const run *r)
{
	int64_t n = (r->steps + 9) / 10;

	return mean(n, r->loss + r->steps - n);
}

double accuracy_at_last(const run *r)
{
	int64_t n = (r->steps + 9) / 10;

	return mean(n, r->accuracy + r->steps - n);
}
