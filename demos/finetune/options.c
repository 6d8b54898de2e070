/* options.c - the command line of finetune. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cli.h"

static const char help[] =
	"finetune DATA --weights FILE: trains a published network for the classes of DATA\n"
	"\n"
	"  DATA is a folder with a subfolder of images per class, of which a third is held out, "
	"or\n"
	"  a folder with train.tsv, test.tsv (path, tab, label) and classes.tsv (label, tab, "
	"class).\n"
	"\n"
	"  --weights FILE the network's published weights (classify --list)\n"
	"  --model NAME   the network (default: what FILE says, else squeezenet1_0)\n"
	"  --freeze GLOB  parameters that are not trained; may be repeated; none: '' (default\n"
	"                 'features.[0-5].*' for SqueezeNet)\n"
	"  --epochs N     (default 8)\n"
	"  --scratch-epochs N  epochs of the second run, from scratch; 0: no second run (default:\n"
	"                 --epochs)\n"
	"  --batch N      (default 32)\n"
	"  --size N       side of the training images (default: 3/4 of the network's if it accepts "
	"that)\n"
	"  --lr X         learning rate of the body (default 0.00015)\n"
	"  --head-lr X    learning rate of the new last layer (default 0.003)\n"
	"  --scratch-lr X  learning rate of all layers in the second run (default 0.001)\n"
	"  --out FILE     saves the fine-tuned network for classify (.safetensors)\n"
	"  --seed N       for initial weights, order and augmentation (default 1)\n"
	"  --workers N    threads that prefetch batches (default 1)\n"
	"  --threads N    number of threads of the network (default: all processors)\n" KEEP_HELP
	"  --every N      saves a checkpoint also every N steps, not only after every epoch\n"
	"  --help         this text\n";

static const struct option options[] = {{"weights", required_argument, NULL, 'w'},
	{"model", required_argument, NULL, 'm'}, {"freeze", required_argument, NULL, 'f'},
	{"epochs", required_argument, NULL, 'e'}, {"scratch-epochs", required_argument, NULL, 'S'},
	{"batch", required_argument, NULL, 'b'}, {"size", required_argument, NULL, 'z'},
	{"lr", required_argument, NULL, 'l'}, {"head-lr", required_argument, NULL, 'L'},
	{"scratch-lr", required_argument, NULL, 'x'}, {"out", required_argument, NULL, 'o'},
	{"seed", required_argument, NULL, 's'}, {"workers", required_argument, NULL, 'W'},
	{"threads", required_argument, NULL, 't'}, KEEP_OPTIONS, {"help", no_argument, NULL, 'h'},
	{0}};

static bool freeze(settings *s, const char *glob)
{
	if (s->globs < 0)
		s->globs = 0;
	if (s->globs == MOST_GLOBS)
		return fprintf(stderr, "--freeze: at most %d globs\n", MOST_GLOBS), false;
	if (*glob)
		s->freeze[s->globs++] = glob;
	return true;
}

/* False: the program is to end with *status. */
static bool take_option(settings *s, int o, int *status)
{
	training *how = &s->training;

	*status = 2;
	if (o == 'w')
		s->weights = optarg;
	else if (o == 'm')
		s->model = optarg;
	else if (o == 'f')
		return freeze(s, optarg);
	else if (o == 'e')
		how->epochs = (int)cli_int("--epochs", optarg, 1, 10000);
	else if (o == 'S')
		s->scratch_epochs = (int)cli_int("--scratch-epochs", optarg, 0, 10000);
	else if (o == 'b')
		how->batch = (int)cli_int("--batch", optarg, 1, 10000);
	else if (o == 'z')
		how->side = cli_int("--size", optarg, 1, 4096);
	else if (o == 'l')
		how->lr = cli_double("--lr", optarg, 0, 10);
	else if (o == 'L')
		how->head_lr = cli_double("--head-lr", optarg, 1e-9, 10);
	else if (o == 'x')
		s->scratch_lr = cli_double("--scratch-lr", optarg, 1e-9, 10);
	else if (o == 'o')
		s->out = optarg;
	else if (o == 's')
		how->seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
	else if (o == 'W')
		how->workers = (int)cli_int("--workers", optarg, 0, 64);
	else if (o == 't')
		cli_threads(optarg);
	else if (o == 'h')
		return *status = fputs(help, stdout) < 0, false;
	else
		return keep_option(&how->keep, o, optarg);
	return true;
}

static bool usage(const char *message)
{
	fprintf(stderr, "%s (see --help)\n", message);
	return false;
}

/* Checks now, and not after the training, that there is a directory for the result. */
static bool can_write(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char directory[1000];

	if (!slash)
		return true;
	snprintf(directory, sizeof directory, "%.*s", (int)(slash + 1 - path), path);
	if (access(directory, W_OK) == 0)
		return true;
	perror(directory);
	return false;
}

/* The options that depend on others and on the network. */
static void choose_defaults(settings *s)
{
	const ebb_model_card *card = s->model ? NULL : ebb_model_card_of(s->weights, NULL);

	if (s->scratch_epochs < 0)
		s->scratch_epochs = s->training.epochs;
	if (!s->model)
		s->model = card ? card->name : "squeezenet1_0";
	if (s->globs < 0 && strncmp(s->model, "squeezenet", 10) == 0)
		freeze(s, "features.[0-5].*");
}

bool read_options(int argc, char **argv, settings *s, int *status)
{
	const char *dot;

	*s = (settings){.globs = -1,
		.scratch_epochs = -1,
		.scratch_lr = 1e-3,
		.training = {.epochs = 8,
			.batch = 32,
			.workers = 1,
			.lr = 1.5e-4,
			.head_lr = 3e-3,
			.seed = 1}};

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (!take_option(s, o, status))
			return false;
	*status = 2;
	keep_check(&s->training.keep);
	if (optind < argc)
		s->data = argv[optind++];
	cli_no_arguments(argc, argv, optind);
	dot = s->out ? strrchr(s->out, '.') : NULL;
	if (!s->data)
		return usage("DATA is missing: the folder of images");
	if (!s->weights)
		return usage("--weights is missing: the file of the pretrained network");
	if (s->out && !(dot && strcmp(dot, ".safetensors") == 0))
		return usage("--out: expected a name that ends in .safetensors");
	if (s->model && !ebb_model_card_named(s->model))
		return usage("--model: no network of that name, expected one of classify --list");
	choose_defaults(s);
	*status = 1;
	return can_write(s->out);
}
