/*
 * A ResNet-20 (He et al. 2016) on CIFAR-10, with or without data augmentation: random crops, flips
 * and cutout, computed by worker threads while the network trains.
 */
#include <ebb.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "epoch.h"

enum { MOST_EPOCHS = 1000 };

typedef struct settings {
	const char *data, *out;
	bool augment;
	int64_t limit, cutout;
	int epochs, batch, depth, workers;
	double lr;
	uint64_t seed;
	keeping keep;
} settings;

/* The mean loss and the accuracies of every epoch. */
typedef struct curves {
	int n;
	double loss[MOST_EPOCHS], accuracy[MOST_EPOCHS];
	double test_loss[MOST_EPOCHS], test_accuracy[MOST_EPOCHS];
	double images_per_second[MOST_EPOCHS];
} curves;

/* ---- Curves --------------------------------------------------------------------------------- */

static bool save_csv(const char *path, const curves *c, ebb_error *e)
{
	ebb_text text = {0};
	bool ok;

	ebb_text_printf(&text, "epoch,loss,accuracy,test_loss,test_accuracy,images_per_second\n");
	for (int i = 0; i < c->n; i++)
		ebb_text_printf(&text, "%d,%.6f,%.6f,%.6f,%.6f,%.1f\n", i + 1, c->loss[i],
			c->accuracy[i], c->test_loss[i], c->test_accuracy[i],
			c->images_per_second[i]);
	ok = ebb_text_save(&text, path, e);
	ebb_text_free(&text);
	return ok;
}

static bool save_figure(const char *path, const curves *c, const settings *s, ebb_error *e)
{
	double epoch[MOST_EPOCHS], percent[2][MOST_EPOCHS];
	char title[80], subtitle[120];

	for (int i = 0; i < c->n; i++) {
		epoch[i] = i + 1;
		percent[0][i] = 100 * c->accuracy[i];
		percent[1][i] = 100 * c->test_accuracy[i];
	}
	const ebb_series loss[] = {{.label = "training", .n = c->n, .x = epoch, .y = c->loss},
		{.label = "test", .n = c->n, .x = epoch, .y = c->test_loss}};
	const ebb_series accuracy[] = {
		{.label = "training", .n = c->n, .x = epoch, .y = percent[0]},
		{.label = "test", .n = c->n, .x = epoch, .y = percent[1]}};
	const ebb_panel panels[] = {{.title = "Loss", .x_label = "epoch", .n = 2, .series = loss},
		{.title = "Accuracy",
			.x_label = "epoch",
			.y_label = "%",
			.n = 2,
			.series = accuracy}};

	snprintf(title, sizeof title, "ResNet-%d on CIFAR-10", s->depth);
	snprintf(subtitle, sizeof subtitle, "%s, test accuracy %.2f %%",
		s->augment ? "augmented" : "not augmented", percent[1][c->n - 1]);
	return ebb_figure_save(
		&(ebb_figure){.title = title, .subtitle = subtitle, .n = 2, .panels = panels}, path,
		e);
}

/* Called after every epoch, so that a run that is stopped leaves its curves so far. */
static bool save(const curves *c, const settings *s, ebb_error *e)
{
	char path[1100];

	if (!s->out)
		return true;
	snprintf(path, sizeof path, "%.1000s/curves.csv", s->out);
	if (!save_csv(path, c, e))
		return false;
	snprintf(path, sizeof path, "%.1000s/curves.png", s->out);
	return !ebb_can_plot() || save_figure(path, c, s, e);
}

/* ---- Training ------------------------------------------------------------------------------- */

/* Adds to the checkpoint all state that the next step depends on, and the curves so far. */
static bool keep_all(settings *s, ebb_params *p, ebb_optim *opt, ebb_tape *t, ebb_loader *loader,
	progress *now, curves *c)
{
	keeping *k = &s->keep;

	if (!keep_open(k, p, opt, t, loader))
		return false;
	ebb_saver_add(k->saver, "loss", &now->loss);
	ebb_saver_add(k->saver, "accuracy", &now->accuracy);
	ebb_saver_add_f64s(k->saver, "curves.loss", c->loss, MOST_EPOCHS);
	ebb_saver_add_f64s(k->saver, "curves.accuracy", c->accuracy, MOST_EPOCHS);
	ebb_saver_add_f64s(k->saver, "curves.test_loss", c->test_loss, MOST_EPOCHS);
	ebb_saver_add_f64s(k->saver, "curves.test_accuracy", c->test_accuracy, MOST_EPOCHS);
	ebb_saver_add_f64s(k->saver, "curves.images_per_second", c->images_per_second, MOST_EPOCHS);
	keep_setting(k, "--lr", s->lr);
	keep_setting(k, "--epochs", s->epochs);
	keep_setting(k, "--seed", (double)s->seed);
	keep_setting(k, "--augment", s->augment);
	keep_setting(k, "--cutout", (double)s->cutout);
	return keep_begin(k);
}

static bool train(settings *s, ebb_loader *images, ebb_loader *testing, ebb_error *e)
{
	static curves c;
	ebb_params *p = ebb_params_new(s->seed);
	trainer r = {.t = ebb_tape_new(),
		.p = p,
		.net = ebb_cifar_resnet_new(p, s->depth),
		.opt = ebb_sgd(
			p, .lr = s->lr, .momentum = 0.9, .nesterov = true, .weight_decay = 5e-4),
		.lr = s->lr,
		.epochs = s->epochs};
	progress now = progress_begin();
	bool ok = passed_on(ebb_first_error(r.t, p, r.opt), e);

	if (ok)
		printf("ResNet-%d, %lld parameters\n", s->depth, (long long)ebb_params_elements(p));
	ok = ok && keep_all(s, p, r.opt, r.t, images, &now, &c);
	for (int64_t epoch = ebb_loader_epoch(images); ok && epoch < s->epochs; epoch++) {
		ok = train_epoch(&r, images, &s->keep, (int)epoch, &now, e);
		if (s->keep.ended)
			break;
		c.images_per_second[epoch] = (double)now.images / (cli_now() - now.began);
		c.loss[epoch] = ebb_average_value(&now.loss);
		c.accuracy[epoch] = ebb_average_value(&now.accuracy);
		c.n = (int)epoch + 1;
		ok = ok && test_epoch(&r, testing, &c.test_loss[epoch], &c.test_accuracy[epoch], e);
		progress_clear(&now);
		if (!ok)
			break;
		progress_report((int)epoch, s->epochs, c.loss[epoch], c.accuracy[epoch],
			c.test_accuracy[epoch], c.images_per_second[epoch]);
		ok = save(&c, s, e);
		now = progress_begin();
		if (ok && !keep_epoch(&s->keep, c.test_accuracy[epoch]))
			break;
	}
	ok = keep_close(&s->keep) && ok;
	ebb_optim_free(r.opt);
	ebb_tape_free(r.t);
	ebb_params_free(p);
	return ok;
}

/* ---- Data ----------------------------------------------------------------------------------- */

/* Adds the augmentation of each image.  Cutout fills its square with the mean colour, which is 0
 * after normalisation. */
static bool add_transforms(ebb_augment *a, const settings *s, const double *mean)
{
	ebb_augment_cutout_args hole = {.a = a, .side = s->cutout};

	for (int c = 0; c < 3; c++)
		hole.fill[c] = (uint8_t)(255 * mean[c] + 0.5);
	return ebb_augment_crop(a, 32, 32, .pad = 4) && ebb_augment_flip(a) &&
	       (s->cutout == 0 || (ebb_augment_cutout)(&hole));
}

static bool run(settings *s, ebb_error *e)
{
	double mean[EBB_MAX_CHANNELS] = {0}, std[EBB_MAX_CHANNELS] = {0};
	ebb_dataset *all = ebb_cifar10(s->data, EBB_TRAIN, e);
	ebb_dataset *training = all ? ebb_dataset_slice(all, 0, s->limit, e) : NULL;
	ebb_dataset *testing = training ? ebb_cifar10(s->data, EBB_TEST, e) : NULL;
	ebb_augment *a = testing ? ebb_augment_new(e) : NULL;
	ebb_loader *train_loader = NULL, *test_loader = NULL;
	bool ok = a && ebb_dataset_moments(training, mean, std);

	if (ok && s->augment && !add_transforms(a, s, mean))
		*e = *ebb_augment_error(a);
	ebb_dataset_free(all);
	if (ok) {
		train_loader = ebb_loader_new(training, s->batch, .shuffle = true, .seed = s->seed,
			.mean = {mean[0], mean[1], mean[2]}, .std = {std[0], std[1], std[2]},
			.augment = a, .workers = s->workers, .drop_last = true, .error = e);
		test_loader = ebb_loader_new(testing, s->batch, .mean = {mean[0], mean[1], mean[2]},
			.std = {std[0], std[1], std[2]}, .workers = s->workers > 0, .error = e);
	}
	ok = train_loader && test_loader;
	if (ok)
		printf("%lld images to train%s, %lld to test\n", (long long)training->count,
			s->augment ? ", augmented" : "", (long long)testing->count);
	ok = ok && train(s, train_loader, test_loader, e);
	ebb_loader_free(train_loader);
	ebb_loader_free(test_loader);
	ebb_augment_free(a);
	ebb_dataset_free(training);
	ebb_dataset_free(testing);
	return ok;
}

/* ---- The command line ----------------------------------------------------------------------- */

static const char help[] =
	"cifar: trains a ResNet on CIFAR-10, with and without augmentation\n"
	"\n"
	"  --data DIR        CIFAR-10's binary version: data_batch_1.bin to _5.bin, "
	"test_batch.bin\n"
	"  --augment on|off  random crops of the image padded by 4 pixels, flips, cutout (default "
	"on)\n"
	"  --cutout N        side of the square that is cut out; 0: none (default 8)\n"
	"  --limit N         use only the first N training images (default all)\n"
	"  --epochs N        (default 20)\n"
	"  --batch N         (default 128)\n"
	"  --lr X            the highest learning rate of the cosine schedule (default 0.1)\n"
	"  --depth N         6n + 2 (default 20)\n"
	"  --seed N          for initial weights, order and augmentation (default 1)\n"
	"  --workers N       threads that prefetch batches (default 1)\n"
	"  --threads N       number of threads of the network (default: all processors)\n"
	"  --out DIR         writes curves.csv and curves.png there after every epoch\n" KEEP_HELP
	"  --every N         saves a checkpoint also every N steps, not only after every epoch\n"
	"  --help            this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const char *const on_off[] = {"off", "on", NULL};
	static const struct option options[] = {{"data", required_argument, NULL, 'd'},
		{"augment", required_argument, NULL, 'a'}, {"cutout", required_argument, NULL, 'c'},
		{"limit", required_argument, NULL, 'n'}, {"epochs", required_argument, NULL, 'e'},
		{"batch", required_argument, NULL, 'b'}, {"lr", required_argument, NULL, 'l'},
		{"depth", required_argument, NULL, 'D'}, {"seed", required_argument, NULL, 's'},
		{"workers", required_argument, NULL, 'w'},
		{"threads", required_argument, NULL, 't'}, {"out", required_argument, NULL, 'o'},
		KEEP_OPTIONS, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.augment = true,
		.limit = INT64_MAX,
		.cutout = 8,
		.epochs = 20,
		.batch = 128,
		.depth = 20,
		.workers = 1,
		.lr = 0.1,
		.seed = 1};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'd')
			s.data = optarg;
		else if (o == 'a')
			s.augment = cli_choice("--augment", optarg, on_off);
		else if (o == 'c')
			s.cutout = cli_int("--cutout", optarg, 0, 32);
		else if (o == 'n')
			s.limit = cli_int("--limit", optarg, 2, INT64_MAX - 1);
		else if (o == 'e')
			s.epochs = (int)cli_int("--epochs", optarg, 1, MOST_EPOCHS);
		else if (o == 'b')
			s.batch = (int)cli_int("--batch", optarg, 1, 50000);
		else if (o == 'l')
			s.lr = cli_double("--lr", optarg, 0, 100);
		else if (o == 'D')
			s.depth = (int)cli_int("--depth", optarg, 8, 1202);
		else if (o == 's')
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
		else if (o == 'w')
			s.workers = (int)cli_int("--workers", optarg, 0, 64);
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'o')
			s.out = optarg;
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (!keep_option(&s.keep, o, optarg))
			*status = 2;
	}
	if (*status >= 0)
		return s;
	cli_no_arguments(argc, argv, optind);
	keep_check(&s.keep);
	if (!s.data) {
		fprintf(stderr,
			"--data is missing: the directory of CIFAR-10's binary version (see "
			"--help)\n");
		*status = 2;
	}
	return s;
}

int main(int argc, char **argv)
{
	cli_begin();
	int status;
	settings s = parse(argc, argv, &status);
	ebb_error e = {0};
	bool ok;

	if (status >= 0)
		return status;
	if (s.out && !cli_make_directory(s.out))
		return 1;
	ok = run(&s, &e);
	if (!ok && e.status)
		fprintf(stderr, "%s\n", e.message);
	ebb_figures_end();
	return keep_exit(&s.keep, ok ? 0 : 1);
}
