/*
 * models - the size, the speed and the memory of a network of the catalogue, as one line of JSON.
 *
 *   models --list                                       the names of all networks, one per line
 *   models NAME [--batch N] [--steps N] [--threads N]   measures one network
 *
 * multiply_adds is that of one image of the published size, from a summary.  A step of training is
 * forward, loss, backward and SGD with momentum 0.9, inference forward without recording in
 * evaluation mode; img_s is computed from the median of --steps steps (default 5), after one that is
 * not measured.  inference_mb and training_mb are the peak resident memory of the process in MB
 * (10^6 bytes), for inference before it trains.  The default batch is 64 for images of less than 64
 * pixels, else 8.
 */
#include "bench.h"
#include "demos/cli.h"

#include <ebb.h>
#include <getopt.h>
#include <stdio.h>

enum { MOST_STEPS = 1000, MOST_BATCH = 10000, SMALL_SIDE = 64 };

typedef struct measured {
	double images_per_second, memory_mb;
} measured;

static double multiply_adds(const ebb_model *net)
{
	const ebb_model_card *c = net->card;
	ebb_tape *t = ebb_tape_new();
	ebb_summary *s = ebb_summary_new(t, .params = net->p);
	double n;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	ebb_model_forward(t, net, ebb_zeros(t, EBB_SHAPE(1, c->channels, c->side, c->side)));
	n = ebb_summary_total(s).multiply_adds;
	ebb_summary_free(s);
	ebb_tape_free(t);
	return n;
}

/* Runs steps with the same images and labels; false after an error. */
static bool measure(const ebb_model *net, ebb_tensor *x, ebb_tensor *labels, ebb_optim *opt,
	int steps, measured *m)
{
	ebb_tape *t = ebb_tape_new();
	static double seconds[MOST_STEPS];
	const ebb_error *e;

	ebb_set_training(t, opt != NULL);
	ebb_set_recording(t, opt != NULL);
	for (int i = -1; i < steps; i++) {
		double began = cli_now();

		if (opt) {
			ebb_params_zero_grad(net->p);
			ebb_backward(t, ebb_model_loss(t, net, x, labels));
			ebb_optim_step(opt);
		} else {
			ebb_model_forward(t, net, x);
		}
		ebb_tape_reset(t);
		if (i >= 0)
			seconds[i] = cli_now() - began;
	}
	m->images_per_second = (double)ebb_size(x, 0) / bench_median(seconds, steps);
	m->memory_mb = bench_peak_rss() * (1 << 20) / 1e6;
	e = opt ? ebb_first_error(t, net->p, opt) : ebb_first_error(t, net->p);
	if (e)
		fprintf(stderr, "%s\n", e->message);
	ebb_tape_free(t);
	return !e;
}

static void print(const ebb_model *net, int64_t batch, double adds, const measured m[2])
{
	const ebb_model_card *c = net->card;
	const ebb_model_weights *w = c->weights_count ? &c->weights[0] : NULL;

	printf("{\"name\": \"%s\", \"title\": \"%s\", \"paper\": \"%s\", \"year\": %d, ", c->name,
		c->title, c->paper, c->year);
	printf("\"parameters\": %lld, \"multiply_adds\": %.0f, \"channels\": %lld, \"side\": "
	       "%lld, ",
		(long long)ebb_params_elements(net->p), adds, (long long)c->channels,
		(long long)c->side);
	printf("\"batch\": %lld, \"inference_img_s\": %.4g, \"inference_mb\": %.0f, ",
		(long long)batch, m[0].images_per_second, m[0].memory_mb);
	printf("\"training_img_s\": %.4g, \"training_mb\": %.0f, ", m[1].images_per_second,
		m[1].memory_mb);
	printf("\"file\": \"%s\", \"sha256\": \"%s\", \"top1\": %g}\n", w ? w->file : "",
		w ? w->sha256 : "", w ? w->top1 : 0);
}

static int run(const char *name, int64_t batch, int steps)
{
	static const int64_t zeros[MOST_BATCH] = {0};
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, name);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *labels;
	ebb_optim *opt;
	measured m[2];
	double adds;
	bool ok;

	if (!net.card)
		return fprintf(stderr, "%s\n", ebb_params_error(p)->message), 2;
	if (!batch)
		batch = net.card->side < SMALL_SIDE ? 64 : 8;
	adds = multiply_adds(&net);
	x = ebb_detach_copy(
		ebb_randn(t, EBB_SHAPE(batch, net.card->channels, net.card->side, net.card->side)));
	labels = ebb_detach_copy(ebb_from_i64(t, EBB_SHAPE(batch), zeros));
	ebb_tape_reset(t);
	ok = measure(&net, x, labels, NULL, steps, &m[0]);
	opt = ebb_sgd(p, .lr = 1e-4, .momentum = 0.9);
	ok = ok && measure(&net, x, labels, opt, steps, &m[1]);
	if (ok)
		print(&net, batch, adds, m);
	ebb_optim_free(opt);
	ebb_tensor_free(x);
	ebb_tensor_free(labels);
	ebb_tape_free(t);
	ebb_params_free(p);
	return !ok;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"list", no_argument, NULL, 'l'},
		{"batch", required_argument, NULL, 'b'}, {"steps", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'}, {0}};
	int64_t batch = 0;
	int steps = 5;

	cli_begin();
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'l') {
			for (int i = 0; i < ebb_model_cards(); i++)
				puts(ebb_model_card_at(i)->name);
			return 0;
		}
		if (o == 'b')
			batch = cli_int("--batch", optarg, 1, MOST_BATCH);
		else if (o == 's')
			steps = (int)cli_int("--steps", optarg, 1, MOST_STEPS);
		else if (o == 't')
			cli_threads(optarg);
		else
			return 2;
	}
	if (optind + 1 != argc)
		return fprintf(stderr,
			       "usage: models NAME [--batch N] [--steps N] [--threads N]\n"),
		       2;
	return run(argv[optind], batch, steps);
}
