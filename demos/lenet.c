/*
 * LeNet (LeCun et al. 1998, with ReLU and max pooling) on handwritten digits: MNIST's files, or
 * digits that the program draws itself.
 */
#include <ebb.h>
#include <getopt.h>
#include <stdio.h>

#include "cli.h"
#include "keep.h"
#include "progress.h"

/* A model is a struct and a function. */
typedef struct {
	ebb_conv conv1, conv2;
	ebb_linear fc1, fc2, fc3;
} lenet;

static lenet lenet_new(ebb_params *p)
{
	return (lenet){
		.conv1 = ebb_conv_new(p, "conv1", 1, 6, 5, .pad = 2),
		.conv2 = ebb_conv_new(p, "conv2", 6, 16, 5),
		.fc1 = ebb_linear_new(p, "fc1", 16 * 5 * 5, 120),
		.fc2 = ebb_linear_new(p, "fc2", 120, 84),
		.fc3 = ebb_linear_new(p, "fc3", 84, 10),
	};
}

static ebb_tensor *lenet_forward(ebb_tape *t, const lenet *net, ebb_tensor *x)
{
	x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv_forward(t, &net->conv1, x)), .kernel = 2);
	x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv_forward(t, &net->conv2, x)), .kernel = 2);
	x = ebb_flatten(t, x);
	x = ebb_relu(t, ebb_linear_forward(t, &net->fc1, x));
	x = ebb_relu(t, ebb_linear_forward(t, &net->fc2, x));
	return ebb_linear_forward(t, &net->fc3, x);
}

typedef struct settings {
	const char *data;
	int64_t images; /* digits to draw for training; a fifth as many are drawn for testing */
	int epochs, batch;
	double lr;
	uint64_t seed;
	keeping keep;
} settings;

/* ---- Training ---- */

static bool said_ok(const ebb_error *e)
{
	if (e)
		fprintf(stderr, "\n%s\n", e->message);
	return !e;
}

static double test_accuracy(ebb_tape *t, const lenet *net, ebb_loader *loader)
{
	ebb_average accuracy = {0};
	ebb_batch batch;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	while (!ebb_failed(t) && ebb_loader_next(loader, &batch)) {
		ebb_tensor *logits = lenet_forward(t, net, batch.images);
		ebb_average_add(&accuracy, ebb_accuracy(logits, batch.labels), (double)batch.count);
		ebb_tape_reset(t);
	}
	ebb_set_recording(t, true);
	ebb_set_training(t, true);
	return ebb_average_value(&accuracy);
}

static bool train_epoch(ebb_tape *t, const lenet *net, ebb_params *p, ebb_optim *opt,
	ebb_loader *loader, settings *s, int epoch, progress *show_to)
{
	int64_t batches = ebb_loader_batches(loader);
	ebb_batch batch;

	while (!ebb_failed(t) && ebb_loader_next(loader, &batch)) {
		int64_t step = epoch * batches + batch.index;
		ebb_optim_set_lr(
			opt, s->lr * ebb_schedule_one_cycle(step, s->epochs * batches, 0, 0, 0));

		ebb_tensor *logits = lenet_forward(t, net, batch.images);
		ebb_tensor *loss = ebb_cross_entropy(t, logits, batch.labels);
		ebb_average_add(&show_to->loss, ebb_item(loss), (double)batch.count);
		ebb_average_add(&show_to->accuracy, ebb_accuracy(logits, batch.labels),
			(double)batch.count);
		ebb_params_zero_grad(p);
		ebb_backward(t, loss);
		if (!ebb_optim_step(opt))
			break;
		ebb_tape_reset(t); /* every intermediate is gone; parameters stay */

		show_to->images += batch.count;
		progress_show(show_to, epoch, s->epochs, batch.index + 1, batches);
		if (!keep_step(&s->keep))
			break;
	}
	return said_ok(ebb_first_error(t, p, opt, loader));
}

/* Adds to the checkpoint all state that the next step depends on, and the sums that progress_report
 * prints. */
static bool keep_all(
	settings *s, ebb_params *p, ebb_optim *opt, ebb_tape *t, ebb_loader *loader, progress *now)
{
	keeping *k = &s->keep;

	if (!keep_open(k, p, opt, t, loader))
		return false;
	ebb_saver_add(k->saver, "loss", &now->loss);
	ebb_saver_add(k->saver, "accuracy", &now->accuracy);
	keep_setting(k, "--lr", s->lr);
	keep_setting(k, "--epochs", s->epochs);
	keep_setting(k, "--seed", (double)s->seed);
	return keep_begin(k);
}

static bool train(settings *s, ebb_loader *training, ebb_loader *testing)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(s->seed);
	lenet net = lenet_new(p);
	ebb_optim *opt = ebb_sgd(p, .lr = s->lr, .momentum = 0.9, .weight_decay = 5e-4);
	progress now = progress_begin();
	bool ok = said_ok(ebb_first_error(t, p, opt));

	if (ok)
		printf("LeNet, %lld parameters\n", (long long)ebb_params_elements(p));
	ok = ok && keep_all(s, p, opt, t, training, &now);
	for (int64_t epoch = ebb_loader_epoch(training); ok && epoch < s->epochs; epoch++) {
		ok = train_epoch(t, &net, p, opt, training, s, (int)epoch, &now);
		if (!ok || s->keep.ended)
			break;
		double seconds = cli_now() - now.began, accuracy = test_accuracy(t, &net, testing);
		ok = said_ok(ebb_first_error(t, testing));
		progress_clear(&now);
		progress_report((int)epoch, s->epochs, ebb_average_value(&now.loss),
			ebb_average_value(&now.accuracy), accuracy, (double)now.images / seconds);
		now = progress_begin();
		if (ok && !keep_epoch(&s->keep, accuracy))
			break;
	}
	ok = keep_close(&s->keep) && ok;
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

/* ---- The command line ---- */

static const char help[] =
	"lenet: trains LeNet on handwritten digits\n"
	"\n"
	"  --data DIR     MNIST's files, plain or gzipped (default: digits drawn by the program)\n"
	"  --images N     number of digits to draw for training, and a fifth as many for testing\n"
	"                 (default 20000)\n"
	"  --epochs N     (default 6)\n"
	"  --batch N      (default 64)\n"
	"  --lr X         the highest learning rate of the one-cycle schedule (default 0.05)\n"
	"  --seed N       for initial weights, drawn digits and order (default 1)\n"
	"  --threads N    number of threads (default: all processors)\n" KEEP_HELP
	"  --every N      saves a checkpoint also every N steps, not only after every epoch\n"
	"  --help         this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {{"data", required_argument, NULL, 'd'},
		{"images", required_argument, NULL, 'i'}, {"epochs", required_argument, NULL, 'e'},
		{"batch", required_argument, NULL, 'b'}, {"lr", required_argument, NULL, 'l'},
		{"seed", required_argument, NULL, 's'}, {"threads", required_argument, NULL, 't'},
		KEEP_OPTIONS, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.images = 20000, .epochs = 6, .batch = 64, .lr = 0.05, .seed = 1};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'd')
			s.data = optarg;
		else if (o == 'i')
			s.images = cli_int("--images", optarg, 5, 10000000);
		else if (o == 'e')
			s.epochs = (int)cli_int("--epochs", optarg, 1, 10000);
		else if (o == 'b')
			s.batch = (int)cli_int("--batch", optarg, 1, 100000);
		else if (o == 'l')
			s.lr = cli_double("--lr", optarg, 0, 100);
		else if (o == 's')
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (!keep_option(&s.keep, o, optarg))
			*status = 2;
	}
	if (*status < 0) {
		cli_no_arguments(argc, argv, optind);
		keep_check(&s.keep);
	}
	return s;
}

static ebb_loader *loader_of(const ebb_dataset *data, const settings *s, bool shuffle,
	const double *mean, const double *std, ebb_error *e)
{
	return ebb_loader_new(data, s->batch, .shuffle = shuffle, .seed = s->seed,
		.mean = {mean[0]}, .std = {std[0]}, .error = e);
}

int main(int argc, char **argv)
{
	cli_begin();
	int status;
	settings s = parse(argc, argv, &status);
	ebb_error e = {0};
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];

	if (status >= 0)
		return status;
	ebb_dataset *training =
		s.data ? ebb_mnist(s.data, EBB_TRAIN, &e) : ebb_digits(s.images, s.seed, &e);
	ebb_dataset *testing = !training ? NULL
	                       : s.data  ? ebb_mnist(s.data, EBB_TEST, &e)
	                                 : ebb_digits(s.images / 5, s.seed + 1, &e);
	ebb_loader *train_loader = NULL, *test_loader = NULL;
	if (training && testing) {
		ebb_dataset_moments(training, mean, std);
		train_loader = loader_of(training, &s, true, mean, std, &e);
		test_loader = loader_of(testing, &s, false, mean, std, &e);
	}
	bool ok = train_loader && test_loader;
	if (ok)
		printf("%lld images to train, %lld to test\n", (long long)training->count,
			(long long)testing->count);
	else
		fprintf(stderr, "%s\n", e.message);
	ok = ok && train(&s, train_loader, test_loader);
	ebb_loader_free(train_loader);
	ebb_loader_free(test_loader);
	ebb_dataset_free(training);
	ebb_dataset_free(testing);
	return keep_exit(&s.keep, ok ? 0 : 1);
}
