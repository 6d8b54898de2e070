/* train.c - how finetune trains and tests a network. */
#include "train.h"

#include <math.h>
#include <stdio.h>

#include "../cli.h"
#include "../progress.h"

/* What a network is trained with. */
typedef struct run {
	const ebb_model *net;
	training *how;
	ebb_tape *t;
	ebb_optim *opt;
	ebb_augment *random, *centre;
	ebb_loader *train, *test;
	progress now;
	result result;
} run;

static bool said_ok(const ebb_error *e)
{
	if (e)
		fprintf(stderr, "\n%s\n", e->message);
	return !e;
}

/* ---- Preparation ---- */

/* The network sees random parts of the training images, and the centres of the test images as its
 * publication says. */
static bool make_loaders(run *r, const images *d, ebb_error *e)
{
	ebb_preprocess pre = r->net->preprocess;
	int64_t side = r->how->side;
	double mean[3], std[3];

	/* Networks for images of one size have no resizing of their own. */
	if (!pre.crop)
		pre.resize = pre.crop = r->net->card->side;
	r->random = ebb_augment_new(e);
	r->centre = r->random ? ebb_augment_new(e) : NULL;
	if (!r->centre)
		return false;
	ebb_augment_resized_crop(r->random, side, side, .area = {0.25, 1}, .filter = pre.filter);
	ebb_augment_flip(r->random);
	ebb_preprocess_augment(&pre, r->random, mean, std, .no_geometry = true);
	ebb_preprocess_augment(&pre, r->centre, mean, std);
	r->train = ebb_loader_new(d->training, r->how->batch, .shuffle = true, .seed = r->how->seed,
		.augment = r->random, .workers = r->how->workers,
		.mean = {mean[0], mean[1], mean[2]}, .std = {std[0], std[1], std[2]}, .error = e);
	r->test = !r->train
	                  ? NULL
	                  : ebb_loader_new(d->testing, r->how->batch, .augment = r->centre,
				    .workers = r->how->workers, .mean = {mean[0], mean[1], mean[2]},
				    .std = {std[0], std[1], std[2]}, .error = e);
	return r->test != NULL;
}

/* The learning rates are scaled by --head-lr, so that --lr 0 trains the head alone. */
static void make_optimizer(run *r)
{
	ebb_params *p = r->net->p;

	r->opt = ebb_adamw(p, .lr = r->how->head_lr);
	ebb_optim_scale(r->opt, "*", r->how->lr / r->how->head_lr, 1);
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		if (ebb_model_in_head(r->net, i))
			ebb_optim_scale(r->opt, ebb_params_name_at(p, i), 1, 1);
}

static bool keep_all(run *r)
{
	keeping *k = &r->how->keep;

	if (!keep_open(k, r->net->p, r->opt, r->t, r->train))
		return false;
	if (k->saver) {
		ebb_saver_add(k->saver, "loss", &r->now.loss);
		ebb_saver_add(k->saver, "accuracy", &r->now.accuracy);
		ebb_saver_add(k->saver, "last_accuracy", &r->result.accuracy);
		ebb_saver_add(k->saver, "seconds", &r->result.seconds);
	}
	keep_setting(k, "--lr", r->how->lr);
	keep_setting(k, "--head-lr", r->how->head_lr);
	keep_setting(k, "--epochs", r->how->epochs);
	keep_setting(k, "--size", (double)r->how->side);
	keep_setting(k, "--freeze, trained numbers:", (double)ebb_params_trainable(r->net->p));
	keep_setting(k, "--seed", (double)r->how->seed);
	return keep_begin(k);
}

/* ---- Training and testing ---- */

static bool train_epoch(run *r, int epoch)
{
	int64_t batches = ebb_loader_batches(r->train), steps = r->how->epochs * batches;
	ebb_params *p = r->net->p;
	ebb_batch batch;

	while (!ebb_failed(r->t) && ebb_loader_next(r->train, &batch)) {
		int64_t step = epoch * batches + batch.index;
		ebb_tensor *logits,
			*loss = ebb_model_loss(r->t, r->net, batch.images, batch.labels, &logits);

		ebb_average_add(&r->now.loss, ebb_item(loss), (double)batch.count);
		ebb_average_add(
			&r->now.accuracy, ebb_accuracy(logits, batch.labels), (double)batch.count);
		ebb_optim_set_lr(r->opt, r->how->head_lr * ebb_schedule_warmup(step, steps / 10) *
						 ebb_schedule_cosine(step, steps, 0));
		ebb_params_zero_grad(p);
		ebb_backward(r->t, loss);
		if (!ebb_optim_step(r->opt))
			break;
		ebb_tape_reset(r->t);

		r->now.images += batch.count;
		progress_show(&r->now, epoch, r->how->epochs, batch.index + 1, batches);
		if (!keep_step(&r->how->keep))
			break;
	}
	return said_ok(ebb_first_error(r->t, p, r->opt, r->train));
}

static bool test(run *r)
{
	ebb_average accuracy = {0};
	ebb_batch batch;

	ebb_set_training(r->t, false);
	ebb_set_recording(r->t, false);
	while (!ebb_failed(r->t) && ebb_loader_next(r->test, &batch)) {
		ebb_tensor *logits = ebb_model_forward(r->t, r->net, batch.images);

		ebb_average_add(&accuracy, ebb_accuracy(logits, batch.labels), (double)batch.count);
		ebb_tape_reset(r->t);
	}
	ebb_set_recording(r->t, true);
	ebb_set_training(r->t, true);
	r->result.test_accuracy = ebb_average_value(&accuracy);
	return said_ok(ebb_first_error(r->t, r->test));
}

/* The epochs from where a resumed run was stopped, and a test after the last one. */
static bool train_all(run *r)
{
	keeping *k = &r->how->keep;

	for (int64_t epoch = ebb_loader_epoch(r->train); epoch < r->how->epochs; epoch++) {
		if (!train_epoch(r, (int)epoch) || k->ended)
			return false;
		double seconds = cli_now() - r->now.began;
		r->result.seconds += seconds;
		r->result.accuracy = ebb_average_value(&r->now.accuracy);
		progress_clear(&r->now);
		progress_report((int)epoch, r->how->epochs, ebb_average_value(&r->now.loss),
			r->result.accuracy, NAN, (double)r->now.images / seconds);
		r->now = progress_begin();
		if (!keep_epoch(k, NAN))
			return false;
	}
	return test(r);
}

result train(const ebb_model *net, const images *d, training *how)
{
	run r = {.net = net, .how = how, .t = ebb_tape_new(), .now = progress_begin()};
	ebb_error e = {0};
	bool ok = said_ok(ebb_params_error(net->p));

	if (ok && !make_loaders(&r, d, &e))
		ok = said_ok(&e);
	if (ok) {
		make_optimizer(&r);
		ebb_seed(r.t, how->seed);
		ok = said_ok(ebb_first_error(r.t, net->p, r.opt)) && keep_all(&r) && train_all(&r);
	}
	r.result.complete = keep_close(&how->keep) && ok;
	ebb_loader_free(r.train);
	ebb_loader_free(r.test);
	ebb_augment_free(r.random);
	ebb_augment_free(r.centre);
	ebb_optim_free(r.opt);
	ebb_tape_free(r.t);
	return r.result;
}
