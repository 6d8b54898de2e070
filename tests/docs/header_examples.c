/* The examples in the public headers, as functions that run. */
#include <ebb.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ebb.h: the check after a step. */
static int checked(ebb_tape *t, ebb_params *p, ebb_optim *opt, ebb_loader *loader)
{
	if (!ebb_ok(t, p, opt, loader))
		return fprintf(stderr, "%s\n", ebb_first_error(t, p, opt, loader)->message), 1;
	return 0;
}

/* summary.h */
static bool summarized(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_resnet net = ebb_resnet_new(p, 18);
	ebb_tensor *images = ebb_zeros(t, EBB_SHAPE(1, 3, 64, 64));
	bool ok;

	ebb_summary *s = ebb_summary_new(t, .params = p);
	ebb_resnet_forward(t, &net, images);
	fputs(ebb_summary_text(s), stdout);
	ok = ebb_summary_total(s).parameters == ebb_params_elements(p) && ebb_ok(t, p);
	ebb_summary_free(s);
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

/* flow.h: a probe in a training loop; nn.h: an ebb_sequential. */
static bool probed_training(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_dataset *data = ebb_digits(40, 1, NULL);
	ebb_loader *loader = ebb_loader_new(.data = data, .batch = 20);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.05);
	ebb_batch batch;
	ebb_tensor *y;
	bool ok;

	ebb_sequential *net = ebb_sequential_new(p, "features");
	ebb_sequential_conv(net, 1, 6, 5, .pad = 2);
	ebb_sequential_fn(net, ebb_relu);
	ebb_sequential_maxpool2d(net, .kernel = 2);
	ebb_sequential_fn(net, ebb_flatten);
	ebb_sequential_linear(net, 6 * 14 * 14, 10);

	ebb_probe *probe = ebb_probe_new(t, .scopes = "resnet.layer*", .every = 10);
	ebb_probe *all = ebb_probe_new(t, .every = 1);
	while (ebb_loader_next(loader, &batch)) {
		ebb_tensor *x = batch.images;

		y = ebb_sequential_forward(t, net, x);
		ebb_params_zero_grad(p);
		ebb_backward(t, ebb_cross_entropy(t, y, batch.labels));
		ebb_optim_step(opt);
		ebb_probe_step(probe);
		ebb_probe_step(all);
		if (checked(t, p, opt, loader))
			return false;
		ebb_tape_reset(t);
	}
	ebb_text text = {0};
	ok = ebb_probe_table(all, &text, .bars = true) && text.length > 0;
	ebb_probe_table(probe, &text, .colour = true);
	fputs(text.data, stdout);
	ebb_text_free(&text);
	ebb_probe_free(probe);
	ebb_probe_free(all);
	if (ebb_failed(t))
		fprintf(stderr, "%s\n", ebb_error_message(t));
	ok = ok && !ebb_failed(t) && !ebb_params_error(p) &&
	     ebb_params_find(p, "features.0.weight") && ebb_params_find(p, "features.0.bias");
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_loader_free(loader);
	ebb_dataset_free(data);
	return ok;
}

/* optim.h: a closure. */
struct problem {
	ebb_tape *t;
	ebb_tensor *w;
};

static ebb_tensor *loss_of(ebb_tape *t, const struct problem *p)
{
	return ebb_sum(t, ebb_square(t, ebb_add_scalar(t, p->w, -2)));
}

static bool closure(void *ctx, double *loss)
{
	struct problem *p = ctx;
	ebb_tensor *y = loss_of(p->t, p);
	bool ok = ebb_backward(p->t, y);

	*loss = ebb_item(y);
	ebb_tape_reset(p->t);
	return ok;
}

/* optim.h: averages of weights over steps with that closure. */
static bool averaged_training(void)
{
	ebb_params *p = ebb_params_new(1);
	struct problem f = {
		ebb_tape_new(), ebb_params_add(p, "w", EBB_SHAPE(3), EBB_INIT(EBB_INIT_NORMAL))};
	ebb_optim *opt = ebb_lbfgs(p);
	bool ok;

	ebb_averager *ema = ebb_ema(p, .decay = 0.999);
	for (int i = 0; i < 5; i++) {
		ebb_optim_step_closure(opt, closure, &f);
		ebb_averager_update(ema);
	}
	ebb_averager_swap(ema);
	ok = fabs(ebb_at(f.w, 1) - 2) < 1e-4;
	ebb_averager_swap(ema);
	ok = ok && ebb_ok(f.t, p, opt, ema) && fabs(ebb_at(f.w, 1) - 2) < 1e-4;
	ebb_averager_free(ema);
	ebb_optim_free(opt);
	ebb_tape_free(f.t);
	ebb_params_free(p);
	return ok;
}

/* flow/instrument.h: an instrument on a tape. */
static bool measured_training(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_linear fc = ebb_linear_new(p, "fc", 4, 3);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.05);

	ebb_flow *f = ebb_flow_new(t);
	for (int i = 0; i < 3; i++) {
		ebb_tensor *x = ebb_ones(t, EBB_SHAPE(2, 4));
		ebb_tensor *y = ebb_tanh(t, ebb_linear_forward(t, &fc, x));

		ebb_params_zero_grad(p);
		ebb_backward(t, ebb_sum(t, ebb_square(t, y)));
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	bool ok = ebb_flow_steps(f) == 3 && ebb_flow_status(f) == 0 && ebb_flow_layers(f) == 1;
	puts(ebb_flow_text(f));
	ebb_flow_free(f);
	ok = ok && !ebb_failed(t);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	return ok;
}

/* training.h: a training loop with a saver.  main runs it twice: the second run resumes at the end
 * of the first. */
static bool saved_training(const char *directory, int64_t expected)
{
	enum { EPOCHS = 2 };
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_linear fc = ebb_linear_new(p, "fc", 28 * 28, 10);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.05, .momentum = 0.9);
	ebb_dataset *data = ebb_digits(40, 1, NULL);
	ebb_loader *loader = ebb_loader_new(.data = data, .batch = 20, .shuffle = true);
	ebb_average loss = {0};
	ebb_error e = {0};
	ebb_batch batch;
	bool ok;

	if (chdir(directory) != 0 || (mkdir("runs", 0700) != 0 && errno != EEXIST))
		return false;
	ebb_saver *saver = ebb_saver_new("runs/lenet.safetensors", .keep = 3, .error = &e);
	ebb_saver_add(saver, "model", p);
	ebb_saver_add(saver, "optimizer", opt);
	ebb_saver_add(saver, "tape", t);
	ebb_saver_add(saver, "loader", loader);
	ebb_saver_add(saver, "loss", &loss);
	int64_t step = ebb_saver_resume(saver);
	ok = step == expected;
	if (ebb_saver_error(saver))
		return false;
	if (step < 0)
		step = 0;
	for (int64_t epoch = ebb_loader_epoch(loader); epoch < EPOCHS; epoch++) {
		while (ebb_loader_next(loader, &batch)) {
			ebb_tensor *x = ebb_flatten(t, batch.images);
			ebb_tensor *y =
				ebb_cross_entropy(t, ebb_linear_forward(t, &fc, x), batch.labels);

			ebb_average_add(&loss, ebb_item(y), (double)batch.count);
			ebb_params_zero_grad(p);
			ebb_backward(t, y);
			ebb_optim_step(opt);
			ebb_tape_reset(t);
			if (++step % 500 == 0)
				ebb_saver_save(saver, step);
		}
		loss = (ebb_average){0};
		ebb_saver_save(saver, step);
	}
	bool saved = ebb_saver_wait(saver);
	ok = ok && saved && ebb_ok(t, p, opt, loader, saver) && step == 4;
	ebb_saver_free(saver);
	ebb_optim_free(opt);
	ebb_loader_free(loader);
	ebb_dataset_free(data);
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

/* Call after saved_training, in its directory. */
static bool text_of_a_file(void)
{
	ebb_error e = {0};
	FILE *f = fopen("book.txt", "w");

	for (int i = 0; f && i < 200; i++)
		fputs("word ", f);
	if (!f || fclose(f) != 0)
		return false;
	ebb_vocabulary *v = NULL;
	ebb_tensor *tokens = ebb_tokens_read("book.txt", &v, .error = &e);
	ebb_dataset *data = ebb_windows(tokens, .context = 128, .error = &e);
	bool ok = data && data->count == 7 && v->size == 5 && e.status == EBB_OK;

	ebb_dataset_free(data);
	ebb_tensor_free(tokens);
	ebb_vocabulary_free(v);
	return ok;
}

/* adversarial.h */
static ebb_tensor *scores(ebb_tape *t, ebb_tensor *x, void *net)
{
	return ebb_model_forward(t, net, x);
}

static bool attacked(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "cifar_resnet20");
	ebb_tensor *images = ebb_full(t, EBB_SHAPE(1, 3, 8, 8), 0.4),
		   *labels = ebb_from_i64(t, EBB_SHAPE(1), &(int64_t){3});
	ebb_tensor *worst = ebb_pgd(t, scores, &net, images, labels, .eps = 8 / 255.0,
		.step = 2 / 255.0, .steps = 40, .levels = 255);
	bool ok = worst && ebb_size(worst, 3) == 8 && ebb_ok(t, p);

	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

int main(void)
{
	char directory[] = "/tmp/ebb-headers-XXXXXX", command[100];
	bool ok = summarized() && probed_training() && measured_training() && averaged_training() &&
	          mkdtemp(directory) && saved_training(directory, -1) &&
	          saved_training(directory, 4) && text_of_a_file() && attacked();

	snprintf(command, sizeof command, "rm -rf '%s'", directory);
	return system(command) == 0 && ok ? 0 : 1;
}
