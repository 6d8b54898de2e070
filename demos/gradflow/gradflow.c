/*
 * gradflow - vanishing and surviving gradients: trains four networks of equal depth on the same
 * images in the same order, with a flow instrument on each tape.
 */
#include "gradflow.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "../cli.h"

static const char help[] =
	"gradflow: trains four deep networks and shows where the gradient goes\n"
	"\n"
	"  plain with sigmoid; plain with ReLU; plain with ReLU and batch norm;\n"
	"  residual with ReLU and batch norm\n"
	"\n"
	"  --depth N          convolutional layers, 2 to 500 (default 24)\n"
	"  --width N          channels of each (default 16)\n"
	"  --activation NAME  instead of ReLU: relu, leaky_relu, elu, gelu, silu, softplus, tanh, "
	"sigmoid\n"
	"  --init NAME        initial weights: default (Xavier uniform for sigmoid and tanh, He "
	"normal for\n"
	"                     the others), kaiming_normal, kaiming_uniform, xavier_normal,\n"
	"                     xavier_uniform, lecun_normal, orthogonal, normal, ...\n"
	"  --batch N          images per step (default 64)\n"
	"  --steps N          training steps (default 400)\n"
	"  --lr X             learning rate of SGD with momentum 0.9 (default 0.01)\n"
	"  --every N          measure every N-th step (default: about 60 steps in all)\n"
	"  --images N         number of digits to draw (default: batch times steps, at most 6400)\n"
	"  --data DIR         MNIST's files (or Fashion-MNIST's) instead of drawn digits\n"
	"  --out DIR          directory of the report (default report)\n"
	"  --full             gradients.csv has a line per op and measured step (default: a line "
	"per layer\n"
	"                     and tenth of the run)\n"
	"  --seed N           for initial weights, data and order (default 1)\n"
	"  --threads N        number of threads (default: all processors)\n"
	"  --help             this text\n";

static settings parse(int argc, char **argv, bool *done)
{
	enum {
		DEPTH = 1,
		WIDTH,
		ACTIVATION,
		INIT,
		BATCH,
		STEPS,
		LR,
		EVERY,
		IMAGES,
		DATA,
		OUT,
		FULL,
		SEED,
		THREADS,
		HELP
	};
	static const struct option options[] = {{"depth", required_argument, NULL, DEPTH},
		{"width", required_argument, NULL, WIDTH},
		{"activation", required_argument, NULL, ACTIVATION},
		{"init", required_argument, NULL, INIT}, {"batch", required_argument, NULL, BATCH},
		{"steps", required_argument, NULL, STEPS}, {"lr", required_argument, NULL, LR},
		{"every", required_argument, NULL, EVERY},
		{"images", required_argument, NULL, IMAGES},
		{"data", required_argument, NULL, DATA}, {"out", required_argument, NULL, OUT},
		{"full", no_argument, NULL, FULL}, {"seed", required_argument, NULL, SEED},
		{"threads", required_argument, NULL, THREADS}, {"help", no_argument, NULL, HELP},
		{0}};
	settings s = {.depth = 24,
		.width = 16,
		.batch = 64,
		.steps = 400,

		.lr = 0.01,
		.seed = 1,
		.activation = "relu",
		.init = "default",
		.out = "report"};

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (o) {
		case DEPTH:
			s.depth = (int)cli_int("--depth", optarg, 2, 500);
			break;
		case WIDTH:
			s.width = (int)cli_int("--width", optarg, 1, 1024);
			break;
		case ACTIVATION:
			s.activation = activation_names[cli_choice(
				"--activation", optarg, activation_names)];
			break;
		case INIT:
			s.init = optarg;
			break;
		case BATCH:
			s.batch = (int)cli_int("--batch", optarg, 1, 100000);
			break;
		case STEPS:
			s.steps = cli_int("--steps", optarg, 1, 1000000);
			break;
		case LR:
			s.lr = cli_double("--lr", optarg, 1e-9, 100);
			break;
		case EVERY:
			s.every = cli_int("--every", optarg, 1, 1000000);
			break;
		case IMAGES:
			s.images = cli_int("--images", optarg, 1, 1000000);
			break;
		case DATA:
			s.data = optarg;
			break;
		case OUT:
			s.out = optarg;
			break;
		case FULL:
			s.full = true;
			break;
		case SEED:
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX);
			break;
		case THREADS:
			cli_threads(optarg);
			break;
		case HELP:
			fputs(help, stdout);
			*done = true;
			return s;
		default:
			s.steps = 0;
			*done = true;
			return s;
		}
	cli_no_arguments(argc, argv, optind);
	if (!s.every)
		s.every = (s.steps + 59) / 60;
	if (!s.images)
		s.images = s.steps * s.batch < 6400 ? s.steps * s.batch : 6400;
	s.colour = cli_colour(STDOUT_FILENO);
	s.columns = cli_width(STDOUT_FILENO);
	return s;
}

int main(int argc, char **argv)
{
	cli_begin();
	bool done = false;
	settings s = parse(argc, argv, &done);
	design designs[NETWORKS];
	run runs[NETWORKS] = {0};
	ebb_error e = {0};
	double began = cli_now();

	if (done)
		return s.steps ? 0 : 2;
	if (!designs_of(&s, designs))
		return 2;
	if (!cli_make_directory(s.out))
		return 1;
	ebb_dataset *data =
		s.data ? ebb_mnist(s.data, EBB_TRAIN, &e) : ebb_digits(s.images, s.seed, &e);
	if (!data)
		return fprintf(stderr, "%s\n", e.message), 1;
	bool ok = data->count >= s.batch;
	if (!ok)
		fprintf(stderr, "--batch: got %d, but there are only %lld images\n", s.batch,
			(long long)data->count);
	for (int i = 0; ok && i < NETWORKS; i++) {
		runs[i].design = designs[i];
		ok = train(&runs[i], &s, data, i);
	}
	if (ok)
		print_results(runs, &s);
	ok = ok && write_report(runs, &s, data);
	if (ok)
		printf("%.0f seconds in all\n", cli_now() - began);
	for (int i = 0; i < NETWORKS; i++)
		run_free(&runs[i]);
	ebb_dataset_free(data);
	ebb_figures_end();
	return ok ? 0 : 1;
}
