/*
 * Plain against residual networks of growing depth on CIFAR-10, as in figure 6 of He et al. 2015,
 * "Deep Residual Learning for Image Recognition": without shortcuts, the training error grows with
 * the depth.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"
#include "depth.h"

/* ---- Data ------------------------------------------------------------------------------------ */

static void close_images(images *data)
{
	ebb_augment_free(data->augment);
	ebb_dataset_free(data->training);
	ebb_dataset_free(data->testing);
}

/* The first images of both parts, and He's augmentation: random crops of the image padded by 4
 * pixels, and flips. */
static bool open_images(const settings *s, images *data, ebb_error *e)
{
	ebb_dataset *training = ebb_cifar10(s->data, EBB_TRAIN, e);
	ebb_dataset *testing = training ? ebb_cifar10(s->data, EBB_TEST, e) : NULL;
	bool ok = testing != NULL;

	data->training = ok ? ebb_dataset_slice(training, 0, s->limit, e) : NULL;
	data->testing = data->training ? ebb_dataset_slice(testing, 0, s->test_limit, e) : NULL;
	data->augment = data->testing ? ebb_augment_new(e) : NULL;
	ok = data->augment && ebb_dataset_moments(data->training, data->mean, data->std);
	ebb_dataset_free(training);
	ebb_dataset_free(testing);
	if (ok && !(ebb_augment_crop(data->augment, 32, 32, .pad = 4) &&
			  ebb_augment_flip(data->augment))) {
		*e = *ebb_augment_error(data->augment);
		ok = false;
	}
	return ok;
}

/* ---- All networks ---------------------------------------------------------------------------- */

/* *k: the last network's checkpoints. */
static bool train_all(settings *s, const images *data, curve *c, keeping *k, ebb_error *e)
{
	int all = s->seeds * s->depths * 2, n = 0;
	char name[40];
	bool ok = true;

	for (int seed = 1; ok && !k->ended && seed <= s->seeds; seed++)
		for (int i = 0; ok && !k->ended && i < 2 * s->depths; i++, n++) {
			c[n] = (curve){.depth = s->depth[i / 2], .plain = i % 2 == 0, .seed = seed};
			printf("\n%s, seed %d (%d of %d)\n", name_of(&c[n], name, sizeof name),
				seed, n + 1, all);
			fflush(stdout);
			ok = train(s, data, &c[n], k, e) && save_curves(s, n + 1, c, e);
		}
	if (ok && !k->ended)
		print_errors(s, n, c);
	return ok;
}

static int run(settings *s)
{
	curve *c = calloc((size_t)s->seeds * (size_t)s->depths * 2, sizeof *c);
	images data = {0};
	keeping k = {0};
	ebb_error e = {0};
	bool ok = false;

	if (!c)
		fprintf(stderr, "out of memory\n");
	else if (open_images(s, &data, &e)) {
		s->limit = data.training->count;
		s->test_limit = data.testing->count;
		printf("%lld images to train, %lld to test\n", (long long)data.training->count,
			(long long)data.testing->count);
		ok = train_all(s, &data, c, &k, &e);
	}
	if (!ok && e.message[0])
		fprintf(stderr, "%s\n", e.message);
	close_images(&data);
	free(c);
	ebb_figures_end();
	return keep_exit(&k, ok ? 0 : 1);
}

/* ---- The command line ------------------------------------------------------------------------ */

static const char help[] =
	"depth: plain against residual networks of growing depth on CIFAR-10\n"
	"\n"
	"  --data DIR     CIFAR-10's binary version: data_batch_1.bin to _5.bin, test_batch.bin\n"
	"  --depths LIST  6n + 2, separated by commas (default 20,32,44,56)\n"
	"  --seeds N      networks of each kind and depth (default 1)\n"
	"  --limit N      use only the first N training images (default all)\n"
	"  --test N       use only the first N test images (default all)\n"
	"  --epochs N     (default 12)\n"
	"  --batch N      (default 64)\n"
	"  --lr X         the highest learning rate of the cosine schedule (default 0.1)\n"
	"  --out DIR      for curves.csv, curves.png and a checkpoint of each network (default\n"
	"                 depth)\n"
	"  --resume       continues a run that was stopped, with the results of an unstopped run\n"
	"  --workers N    threads that prefetch batches (default 1)\n"
	"  --threads N    number of threads of the networks (default: all processors)\n"
	"  --help         this text\n";

/* Reads "20,56". */
static void read_depths(settings *s, const char *text)
{
	char part[16];

	for (s->depths = 0; *text; s->depths++) {
		size_t length = strcspn(text, ",");

		snprintf(part, sizeof part, "%.*s", (int)length, text);
		if (s->depths == MOST_DEPTHS) {
			fprintf(stderr, "--depths: more than %d\n", MOST_DEPTHS);
			exit(2);
		}
		s->depth[s->depths] = (int)cli_int("--depths", part, 8, 1202);
		if (s->depth[s->depths] % 6 != 2) {
			fprintf(stderr, "--depths: %s is not 6n + 2, such as 20, 32, 44, 56\n",
				part);
			exit(2);
		}
		for (int i = 0; i < s->depths; i++)
			if (s->depth[i] == s->depth[s->depths]) {
				fprintf(stderr, "--depths: %d is given twice\n", s->depth[i]);
				exit(2);
			}
		text += length;
		text += *text == ',';
	}
}

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {{"data", required_argument, NULL, 'd'},
		{"depths", required_argument, NULL, 'D'}, {"seeds", required_argument, NULL, 's'},
		{"limit", required_argument, NULL, 'n'}, {"test", required_argument, NULL, 'N'},
		{"epochs", required_argument, NULL, 'e'}, {"batch", required_argument, NULL, 'b'},
		{"lr", required_argument, NULL, 'l'}, {"out", required_argument, NULL, 'o'},
		{"resume", no_argument, NULL, 'r'}, {"workers", required_argument, NULL, 'w'},
		{"threads", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.out = "depth",
		.seeds = 1,
		.limit = INT64_MAX,
		.test_limit = INT64_MAX,
		.epochs = 12,
		.batch = 64,
		.workers = 1,
		.lr = 0.1};

	read_depths(&s, "20,32,44,56");
	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'd')
			s.data = optarg;
		else if (o == 'D')
			read_depths(&s, optarg);
		else if (o == 's')
			s.seeds = (int)cli_int("--seeds", optarg, 1, MOST_SEEDS);
		else if (o == 'n')
			s.limit = cli_int("--limit", optarg, 2, INT64_MAX - 1);
		else if (o == 'N')
			s.test_limit = cli_int("--test", optarg, 1, INT64_MAX - 1);
		else if (o == 'e')
			s.epochs = (int)cli_int("--epochs", optarg, 1, MOST_EPOCHS);
		else if (o == 'b')
			s.batch = (int)cli_int("--batch", optarg, 1, 50000);
		else if (o == 'l')
			s.lr = cli_double("--lr", optarg, 0, 100);
		else if (o == 'o')
			s.out = optarg;
		else if (o == 'r')
			s.resume = true;
		else if (o == 'w')
			s.workers = (int)cli_int("--workers", optarg, 0, 64);
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else
			*status = 2;
	}
	if (*status >= 0)
		return s;
	cli_no_arguments(argc, argv, optind);
	if (!s.data || s.depths == 0) {
		fprintf(stderr, s.data ? "--depths is empty (see --help)\n"
				       : "--data is missing: the directory of CIFAR-10's binary "
					 "version (see --help)\n");
		*status = 2;
	}
	return s;
}

int main(int argc, char **argv)
{
	cli_begin();
	int status;
	settings s = parse(argc, argv, &status);

	if (status >= 0)
		return status;
	if (!cli_make_directory(s.out))
		return 1;
	return run(&s);
}
