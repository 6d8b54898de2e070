/*
 * A transformer that learns to write (Radford et al. 2019, but of characters): it predicts each
 * character of a text from the characters before it.  The program prints the loss in bits per
 * character, on the text and on its last tenth, which is held out, and then a text that the network
 * writes, one character at a time, with a cache of keys and values.
 */
#include "chars.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../cli.h"

bool said_ok(const ebb_error *e)
{
	if (e)
		fprintf(stderr, "%s%s\n", cli_is_terminal(STDERR_FILENO) ? "\r\033[K" : "",
			e->message);
	return !e;
}

/* ---- Writing without training ---- */

/* Reads the sizes that a checkpoint has; false if it has none. */
static bool read_sizes(const ebb_archive *a, double *sizes)
{
	ebb_tensor *numbers = ebb_archive_tensor(a, "sizes", EBB_F64, NULL);
	bool ok = numbers && ebb_count(numbers) == 4;

	for (int i = 0; ok && i < 4; i++) {
		sizes[i] = ebb_at(numbers, i);
		ok = sizes[i] >= 1 && sizes[i] <= 100000;
	}
	ebb_tensor_free(numbers);
	return ok;
}

static bool sample_only(settings *s)
{
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_read(s->keep.path, .error = &e);
	ebb_tensor *codes = a ? ebb_archive_tensor(a, "vocabulary", EBB_I64, NULL) : NULL;
	ebb_vocabulary *v = codes ? ebb_vocabulary_of(codes, NULL) : NULL;
	ebb_params *p = ebb_params_new(1);
	double sizes[4];
	bool ok = v && read_sizes(a, sizes);

	if (ok) {
		ebb_gpt net = ebb_gpt_new(p, v->size, (int64_t)sizes[0], (int64_t)sizes[1],
			(int64_t)sizes[2], (int64_t)sizes[3]);
		ok = ebb_params_load(p, .archive = a, .prefix = "model.", .error = &e) &&
		     write_sample(s, &net, v);
	} else if (a) {
		ebb_error_set(
			&e, EBB_BAD_FILE, NULL, "%s: not a checkpoint of chars", s->keep.path);
	}
	said_ok(e.status ? &e : NULL);
	ebb_vocabulary_free(v);
	ebb_tensor_free(codes);
	ebb_archive_free(a);
	ebb_params_free(p);
	return ok;
}

/* ---- The command line ---- */

static const char help[] =
	"chars: trains a transformer to write, and lets it write\n"
	"\n"
	"  --text FILE    the text to learn from (default: licences, which every Debian system "
	"has)\n"
	"  --context N    characters that the network sees (default 64)\n"
	"  --width N      (default 128)\n"
	"  --layers N     (default 2)\n"
	"  --heads N      divides the width (default 4)\n"
	"  --batch N      windows of the text in a step (default 32)\n"
	"  --steps N      (default 1200)\n"
	"  --minutes X    as many steps as the first ones show to fit, instead of --steps\n"
	"  --lr X         the highest learning rate (default 0.005)\n"
	"  --dropout X    (default 0)\n"
	"  --prompt TEXT  what the network continues\n"
	"  --length N     number of characters that it writes (default 500)\n"
	"  --temperature X  below 1: likely characters are drawn more often; 0: always the "
	"likeliest\n"
	"                 (default 0.8)\n"
	"  --top-k N      draws from the N likeliest characters (default: all)\n"
	"  --seed N       for weights, windows and drawn characters (default 1)\n"
	"  --threads N    number of threads (default: all processors)\n" KEEP_HELP
	"  --every N      saves a checkpoint every N steps (default: at the end)\n"
	"  --sample-only  writes with the network of a --checkpoint, without training\n"
	"  --help         this text\n";

/* Sets a whole number or a real number among the settings; false for another option. */
static bool number_option(settings *s, int o)
{
	const struct {
		int option;
		const char *name;
		int64_t *value, lowest, highest;
	} whole[] = {{'c', "--context", &s->context, 1, 100000},
		{'w', "--width", &s->width, 1, 100000}, {'l', "--layers", &s->layers, 1, 1000},
		{'n', "--heads", &s->heads, 1, 100000}, {'b', "--batch", &s->batch, 1, 1024},
		{'s', "--steps", &s->steps, 1, 100000000}, {'k', "--top-k", &s->top_k, 1, 1000000},
		{'g', "--length", &s->length, 0, 100000000}};
	const struct {
		int option;
		const char *name;
		double *value, lowest, highest;
	} real[] = {{'m', "--minutes", &s->minutes, 0, 100000}, {'r', "--lr", &s->lr, 0, 10},
		{'d', "--dropout", &s->dropout, 0, 0.99},
		{'T', "--temperature", &s->temperature, 0, 1000}};

	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (whole[i].option == o) {
			*whole[i].value =
				cli_int(whole[i].name, optarg, whole[i].lowest, whole[i].highest);
			return true;
		}
	for (size_t i = 0; i < sizeof real / sizeof *real; i++)
		if (real[i].option == o) {
			*real[i].value =
				cli_double(real[i].name, optarg, real[i].lowest, real[i].highest);
			return true;
		}
	return false;
}

/* Checks what concerns more than one option; exits with status 2. */
static void check_options(settings *s)
{
	const char *wrong = NULL;

	if (s->minutes > 0 && s->steps)
		wrong = "--minutes and --steps exclude each other";
	else if (s->sample_only && !s->keep.path)
		wrong = "--sample-only requires --checkpoint FILE";
	else if (s->prompt && !*s->prompt)
		wrong = "--prompt is empty";
	if (wrong) {
		fprintf(stderr, "%s (see --help)\n", wrong);
		exit(2);
	}
	if (!s->steps && s->minutes == 0)
		s->steps = 1200;
	keep_check(&s->keep);
}

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {{"text", required_argument, NULL, 'x'},
		{"context", required_argument, NULL, 'c'}, {"width", required_argument, NULL, 'w'},
		{"layers", required_argument, NULL, 'l'}, {"heads", required_argument, NULL, 'n'},
		{"batch", required_argument, NULL, 'b'}, {"steps", required_argument, NULL, 's'},
		{"minutes", required_argument, NULL, 'm'}, {"lr", required_argument, NULL, 'r'},
		{"dropout", required_argument, NULL, 'd'}, {"prompt", required_argument, NULL, 'p'},
		{"length", required_argument, NULL, 'g'},
		{"temperature", required_argument, NULL, 'T'},
		{"top-k", required_argument, NULL, 'k'}, {"seed", required_argument, NULL, 'S'},
		{"threads", required_argument, NULL, 't'}, {"sample-only", no_argument, NULL, 'o'},
		KEEP_OPTIONS, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.context = 64,
		.width = 128,
		.layers = 2,
		.heads = 4,
		.batch = 32,
		.length = 500,
		.lr = 0.005,
		.temperature = 0.8,
		.seed = 1};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'x')
			s.text = optarg;
		else if (o == 'p')
			s.prompt = optarg;
		else if (o == 'S')
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 2);
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'o')
			s.sample_only = true;
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (!number_option(&s, o) && !keep_option(&s.keep, o, optarg))
			*status = 2;
	}
	if (*status < 0) {
		cli_no_arguments(argc, argv, optind);
		check_options(&s);
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
	bool ok = s.sample_only ? sample_only(&s) : train(&s);
	return keep_exit(&s.keep, ok ? 0 : 1);
}
