/* run.h - a training run that can be stopped, and resumed by another run of the same recipe. */
#ifndef EBB_TESTS_TRAINING_RUN_H
#define EBB_TESTS_TRAINING_RUN_H

#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { EPOCHS = 3, BATCH = 4, IMAGES = 18, BATCHES = (IMAGES + BATCH - 1) / BATCH };

typedef struct recipe {
	const char *optimizer;
	bool resnet, augment, dropout, background, groups;
	int depth, workers, keep;
	ebb_dtype dtype;
	int64_t batch; /* 0: BATCH */
} recipe;

typedef struct training_run {
	const recipe *recipe;
	ebb_dataset *data;
	ebb_augment *pipeline;
	ebb_loader *loader;
	ebb_tape *t;
	ebb_params *p;
	lenet lenet;
	ebb_cifar_resnet resnet;
	ebb_optim *opt;
	ebb_saver *saver;
	ebb_average loss;
	int64_t step;
	uint64_t trace; /* a checksum of all losses */
	ebb_error error;
} training_run;

static inline bool picture(void *ctx, int64_t i, ebb_image *x, ebb_error *e)
{
	const recipe *r = ctx;
	int side = r->resnet ? 12 : 28, channels = r->resnet ? 3 : 1;

	if (!ebb_image_shape(x, side, side, channels, e))
		return false;
	for (int64_t k = 0; k < x->height * x->width * channels; k++)
		x->pixels[k] = (uint8_t)((7 + i % 5) * k + 13 * i);
	return true;
}

static inline int64_t label(void *ctx, int64_t i)
{
	(void)ctx;
	return i % 10;
}

static inline ebb_optim *optimizer_of(const recipe *r, ebb_params *p)
{
	const char *name = r->optimizer;

	if (strcmp(name, "momentum") == 0)
		return ebb_sgd(p, .lr = 0.02, .momentum = 0.9, .weight_decay = 5e-4);
	if (strcmp(name, "nesterov") == 0)
		return ebb_sgd(p, .lr = 0.02, .momentum = 0.9, .nesterov = true);
	if (strcmp(name, "adam") == 0)
		return ebb_adam(p, .lr = 0.002);
	if (strcmp(name, "adamw") == 0)
		return ebb_adamw(p, .lr = 0.002);
	if (strcmp(name, "rmsprop") == 0)
		return ebb_rmsprop(p, .lr = 0.001);
	if (strcmp(name, "rmsprop-momentum") == 0)
		return ebb_rmsprop(p, .lr = 0.001, .momentum = 0.9, .weight_decay = 1e-3);
	if (strcmp(name, "adagrad") == 0)
		return ebb_adagrad(p, .lr = 0.01, .lr_decay = 1e-2);
	return ebb_sgd(p, .lr = 0.05);
}

static inline ebb_augment *pipeline_of(const recipe *r)
{
	ebb_augment *a = r->augment ? ebb_augment_new(NULL) : NULL;
	int side = r->resnet ? 12 : 28;

	if (!a)
		return NULL;
	ebb_augment_crop(a, side, side, .pad = 2);
	ebb_augment_flip(a);
	ebb_augment_elastic(a, .alpha = 10, .sigma = 2, .p = 0.5);
	ebb_augment_mixup(a, .p = 0.7);
	ck_assert(!ebb_augment_error(a));
	return a;
}

/* Creates everything of a run but its state; r must outlive it. */
static inline void run_begin(training_run *x, const recipe *r, const char *path)
{
	*x = (training_run){.recipe = r};
	x->data = ebb_dataset_custom(IMAGES, 10, picture, label, (void *)r,
		.channels = r->resnet ? 3 : 1, .height = r->resnet ? 12 : 28,
		.width = r->resnet ? 12 : 28);
	x->pipeline = pipeline_of(r);
	x->loader = ebb_loader_new(x->data, r->batch ? r->batch : BATCH, .shuffle = true, .seed = 5,
		.mean = {0.5, 0.5, 0.5}, .std = {0.3, 0.3, 0.3}, .augment = x->pipeline,
		.workers = r->workers, .dtype = r->dtype, .error = &x->error);
	x->t = ebb_tape_new();
	x->p = ebb_params_new(3);
	ebb_seed(x->t, 11);
	if (r->dtype == EBB_F64) {
		ebb_params_set_dtype(x->p, EBB_F64);
		ebb_set_default_dtype(x->t, EBB_F64);
	}
	if (r->resnet)
		x->resnet = ebb_cifar_resnet_new(x->p, r->depth);
	else
		x->lenet = lenet_new(x->p);
	x->opt = optimizer_of(r, x->p);
	if (r->groups) {
		ck_assert_int_gt(ebb_optim_scale(x->opt, "*.bias", 2, 0), 0);
		ck_assert_int_gt(ebb_params_freeze(x->p, "*1.bias"), 0);
	}
	x->saver = ebb_saver_new(
		path, .keep = r->keep, .background = r->background, .error = &x->error);
	ebb_saver_add(x->saver, "model", x->p);
	ebb_saver_add(x->saver, "optimizer", x->opt);
	ebb_saver_add(x->saver, "tape", x->t);
	ebb_saver_add(x->saver, "loader", x->loader);
	ebb_saver_add(x->saver, "loss", &x->loss);
	ebb_saver_add(x->saver, "trace", &x->trace);
	ck_assert_msg(ebb_ok(x->t, x->p, x->opt, x->loader, x->saver), "%s",
		ebb_first_error(x->t, x->p, x->opt, x->loader, x->saver)->message);
}

static inline void run_end(training_run *x)
{
	ebb_saver_free(x->saver);
	ebb_optim_free(x->opt);
	ebb_tape_free(x->t);
	ebb_params_free(x->p);
	ebb_loader_free(x->loader);
	ebb_augment_free(x->pipeline);
	ebb_dataset_free(x->data);
}

static inline void run_step(training_run *x, const ebb_batch *b)
{
	ebb_tape *t = x->t;
	ebb_tensor *y = b->images, *loss;
	double value;
	uint64_t bits;

	if (x->recipe->dropout)
		y = ebb_dropout(t, y, 0.2);
	y = x->recipe->resnet ? ebb_cifar_resnet_forward(t, &x->resnet, y)
	                      : lenet_forward(t, &x->lenet, y);
	if (x->recipe->dropout)
		y = ebb_dropout(t, y, 0.1);
	loss = ebb_cross_entropy(t, y, b->targets ? b->targets : b->labels);
	value = ebb_item(loss);
	memcpy(&bits, &value, sizeof bits);
	x->trace = (x->trace ^ bits) * 1099511628211u;
	ebb_average_add(&x->loss, value, (double)b->count);
	ebb_optim_set_lr(x->opt, ebb_optim_lr(x->opt) * 0.99);
	ebb_params_zero_grad(x->p);
	ebb_backward(t, loss);
	ebb_optim_step(x->opt);
	ebb_tape_reset(t);
	x->step++;
	ck_assert_msg(ebb_ok(t, x->p, x->opt, x->loader), "%s",
		ebb_first_error(t, x->p, x->opt, x->loader)->message);
}

/* A number of steps, or the end of the epoch after them. */
typedef struct stop {
	int64_t step;
	bool behind;
} stop;

static const stop NEVER = {-1, false};

/* Trains to the end, or to the stop, where it saves and returns. */
static inline void run_until(training_run *x, stop at)
{
	ebb_batch b;

	for (int64_t epoch = ebb_loader_epoch(x->loader); epoch < EPOCHS; epoch++) {
		while (ebb_loader_next(x->loader, &b)) {
			run_step(x, &b);
			if (x->step == at.step && !at.behind) {
				ck_assert(ebb_saver_save(x->saver, x->step));
				return;
			}
		}
		x->loss = (ebb_average){0};
		if (x->step >= at.step && at.behind) {
			ck_assert(ebb_saver_save(x->saver, x->step));
			return;
		}
	}
}

static inline bool same_files(const char *a, const char *b)
{
	FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
	int c, d;

	ck_assert(f && g);
	do {
		c = getc(f);
		d = getc(g);
	} while (c == d && c != EOF);
	fclose(f);
	fclose(g);
	return c == d;
}

/* Writes the state of a run to a file, as a save would. */
static inline void run_write(training_run *x, const char *path)
{
	ebb_saver *s = ebb_saver_new(path);

	ebb_saver_add(s, "model", x->p);
	ebb_saver_add(s, "optimizer", x->opt);
	ebb_saver_add(s, "tape", x->t);
	ebb_saver_add(s, "loader", x->loader);
	ebb_saver_add(s, "loss", &x->loss);
	ebb_saver_add(s, "trace", &x->trace);
	ck_assert_msg(ebb_saver_save(s, x->step), "%s", ebb_saver_error(s)->message);
	ebb_saver_free(s);
}

/* Trains without an interruption, and writes the final state. */
static inline void run_whole(const recipe *r, const char *path)
{
	training_run x;

	run_begin(&x, r, temp_path("unused.safetensors"));
	run_until(&x, NEVER);
	run_write(&x, path);
	run_end(&x);
}

#endif
