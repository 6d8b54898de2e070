/*
 * A published network, trained further for other classes: its last layer is replaced, its first
 * layers are frozen.  Then the same network is trained from scratch on the same images.
 */
#include <ebb.h>
#include <stdio.h>

#include "../cli.h"
#include "data.h"
#include "options.h"
#include "train.h"

static bool said(const ebb_error *e)
{
	fprintf(stderr, "%s\n", e->message);
	return false;
}

/* Makes the network with a head for the data's classes, and loads its other layers. */
static bool pretrained(ebb_model *net, const settings *s, const images *d, ebb_error *e)
{
	ebb_params *p = net->p;

	*net = ebb_model_new(p, s->model, .classes = d->classes);
	if (!ebb_model_load(net, s->weights, .new_head = true, .error = e))
		return said(e);
	for (int i = 0; i < s->globs; i++)
		if (ebb_params_freeze(p, s->freeze[i]) == 0) {
			fprintf(stderr, "--freeze: no parameter of %s matches '%s'\n", s->model,
				s->freeze[i]);
			return false;
		}
	if (ebb_params_trainable(p) == 0)
		return fprintf(stderr, "--freeze: no parameter of %s is left to train\n", s->model),
		       false;
	return true;
}

/* Whether the network runs on images of side x side pixels, also in training. */
static bool accepts(const ebb_model *net, int64_t side)
{
	ebb_tape *t = ebb_tape_new();
	bool ok;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	ebb_model_forward(t, net, ebb_zeros(t, EBB_SHAPE(1, net->card->channels, side, side)));
	/* Intermediate classifiers, which run in training only, need the published size. */
	ok = !ebb_failed(t) && !net->card->aux;
	ebb_tape_free(t);
	return ok;
}

/* 160 pixels instead of 224 take half the time.  Networks that pool before their last layers accept
 * any size, the others only their own. */
static int64_t default_side(const ebb_model *net)
{
	int64_t side = net->preprocess.crop ? net->preprocess.crop : net->card->side;
	int64_t smaller = side * 3 / 4 / 32 * 32;

	return side >= 64 && accepts(net, smaller) ? smaller : side;
}

static result run(settings *s, const images *d, bool scratch, ebb_error *e)
{
	ebb_params *p = ebb_params_new(s->training.seed);
	ebb_model net = {.p = p};
	training how = s->training;
	result r = {0};
	bool ok = true;
	char path[1000], line[200];

	if (scratch) {
		net = ebb_model_new(p, s->model, .classes = d->classes);
		how.epochs = s->scratch_epochs;
		how.lr = how.head_lr = s->scratch_lr;
		if (how.keep.path) {
			snprintf(path, sizeof path, "%s.scratch.safetensors", how.keep.path);
			how.keep.path = path;
		}
	} else {
		ok = pretrained(&net, s, d, e);
	}
	if (ok) {
		if (!how.side)
			how.side = default_side(&net);
		snprintf(line, sizeof line,
			"%s, %s: %lld of %lld parameters are trained on images of %lld x %lld",
			net.card->title, scratch ? "from scratch" : "pretrained",
			(long long)ebb_params_trainable(p), (long long)ebb_params_elements(p),
			(long long)how.side, (long long)how.side);
		putchar('\n');
		cli_wrap(0, line);
		r = train(&net, d, &how);
		s->training.keep.ended = how.keep.ended;
	}
	if (r.complete)
		printf("test accuracy %.2f %%\n", 100 * r.test_accuracy);
	if (r.complete && !scratch && s->out) {
		r.complete =
			ebb_model_save(&net, s->out, .class_names = d->class_names, .error = e);
		if (r.complete)
			printf("saved as %s\n", s->out);
		else
			said(e);
	}
	ebb_params_free(p);
	return r;
}

static void print_row(const char *name, int epochs, const result *r)
{
	char time[32];

	printf("%-28s%8d%12.1f %%%10.1f %%%10s\n", name, epochs, 100 * r->accuracy,
		100 * r->test_accuracy, cli_time(time, sizeof time, r->seconds));
}

static bool run_both(settings *s, const images *d, ebb_error *e)
{
	result tuned, scratch = {.complete = true};
	char title[80];

	printf("%lld images of %d classes to train, %lld to test\n", (long long)d->training->count,
		d->classes, (long long)d->testing->count);
	tuned = run(s, d, false, e);
	if (tuned.complete && s->scratch_epochs)
		scratch = run(s, d, true, e);
	if (!tuned.complete || !scratch.complete)
		return false;
	snprintf(title, sizeof title, "%s, %lld images", s->model, (long long)d->training->count);
	printf("\n%-28s%8s%14s%12s%10s\n", title, "epochs", "training", "test", "time");
	print_row("pretrained, fine-tuned", s->training.epochs, &tuned);
	if (s->scratch_epochs)
		print_row("from scratch", s->scratch_epochs, &scratch);
	return true;
}

int main(int argc, char **argv)
{
	static images d;
	settings s;
	ebb_error e = {0};
	int status;
	bool ok;

	cli_begin();
	if (!read_options(argc, argv, &s, &status))
		return status;
	ok = images_open(&d, s.data, 3, s.training.seed, &e) ? run_both(&s, &d, &e) : said(&e);
	images_close(&d);
	return keep_exit(&s.training.keep, ok ? 0 : 1);
}
