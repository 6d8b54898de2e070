/* train.c - the training of one network, resumable. */
#include <math.h>
#include <stdio.h>

#include "../cli.h"
#include "../epoch.h"
#include "depth.h"

const char *name_of(const curve *c, char *name, size_t size)
{
	snprintf(name, size, "%s-%d", c->plain ? "plain" : "residual", c->depth);
	return name;
}

static bool keep_all(const settings *s, ebb_params *p, ebb_optim *opt, ebb_tape *t,
	ebb_loader *loader, progress *now, curve *c, keeping *k)
{
	if (!keep_open(k, p, opt, t, loader))
		return false;
	ebb_saver_add(k->saver, "loss", &now->loss);
	ebb_saver_add(k->saver, "accuracy", &now->accuracy);
	ebb_saver_add_f64s(k->saver, "curve.loss", c->loss, MOST_EPOCHS);
	ebb_saver_add_f64s(k->saver, "curve.error", c->error, MOST_EPOCHS);
	ebb_saver_add_f64s(k->saver, "curve.test_error", c->test_error, MOST_EPOCHS);
	keep_setting(k, "--lr", s->lr);
	keep_setting(k, "--epochs", s->epochs);
	keep_setting(k, "--batch", s->batch);
	keep_setting(k, "--limit", (double)s->limit);
	keep_setting(k, "--test", (double)s->test_limit);
	return keep_begin(k);
}

static bool train_on(const settings *s, ebb_loader *loader, ebb_loader *testing, curve *c,
	keeping *k, ebb_error *e)
{
	ebb_params *p = ebb_params_new((uint64_t)c->seed);
	trainer r = {.t = ebb_tape_new(),
		.p = p,
		.net = ebb_cifar_resnet_new(p, c->depth, .plain = c->plain),
		.opt = ebb_sgd(p, .lr = s->lr, .momentum = 0.9, .weight_decay = 1e-4),
		.lr = s->lr,
		.epochs = s->epochs};
	progress now = progress_begin();
	bool ok = passed_on(ebb_first_error(r.t, p, r.opt), e) &&
	          keep_all(s, p, r.opt, r.t, loader, &now, c, k);

	c->n = (int)ebb_loader_epoch(loader);
	while (ok && c->n < s->epochs) {
		int at = c->n;
		double accuracy;

		ok = train_epoch(&r, loader, k, at, &now, e);
		if (k->ended)
			break;
		c->loss[at] = ebb_average_value(&now.loss);
		c->error[at] = 100 - 100 * ebb_average_value(&now.accuracy);
		ok = ok && test_epoch(&r, testing, NULL, &accuracy, e);
		progress_clear(&now);
		if (!ok)
			break;
		c->test_error[at] = 100 - 100 * accuracy;
		progress_report(at, s->epochs, c->loss[at], 1 - c->error[at] / 100, accuracy,
			(double)now.images / (cli_now() - now.began));
		now = progress_begin();
		c->n++;
		if (!keep_epoch(k, NAN))
			break;
	}
	ok = keep_close(k) && ok;
	ebb_optim_free(r.opt);
	ebb_tape_free(r.t);
	ebb_params_free(p);
	return ok;
}

bool train(const settings *s, const images *data, curve *c, keeping *k, ebb_error *e)
{
	const double *m = data->mean, *d = data->std;
	ebb_loader *training = ebb_loader_new(data->training, s->batch, .shuffle = true,
		.seed = (uint64_t)c->seed, .mean = {m[0], m[1], m[2]}, .std = {d[0], d[1], d[2]},
		.augment = data->augment, .workers = s->workers, .drop_last = true, .error = e);
	ebb_loader *testing = ebb_loader_new(data->testing, s->batch, .mean = {m[0], m[1], m[2]},
		.std = {d[0], d[1], d[2]}, .workers = s->workers > 0, .error = e);
	char name[40], path[LONGEST_PATH];
	bool ok;

	snprintf(path, sizeof path, "%s/%s-seed%d.safetensors", s->out,
		name_of(c, name, sizeof name), c->seed);
	*k = (keeping){.path = path, .resume = s->resume};
	ok = training && testing && train_on(s, training, testing, c, k, e);
	k->path = NULL;
	ebb_loader_free(training);
	ebb_loader_free(testing);
	return ok;
}
