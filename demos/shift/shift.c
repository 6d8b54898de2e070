/*
 * shift: which layers of a convolutional network are equivariant to translation.  Moves a picture
 * by 0 to 8 pixels and compares "shift, then layer" with "layer, then shift"; and, with a network of
 * the catalogue, follows the probability of a class while a photograph moves.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>

#include "../augment/sheet.h"
#include "../cli.h"
#include "shift.h"

enum { SHOWN_SHIFT = 7 };

typedef struct settings {
	const char *image, *weights, *model, *out;
	uint64_t seed;
} settings;

/* ---- The table ---- */

/* An error in percent; 0 only for exactly 0. */
static void print_error(double error)
{
	double percent = 100 * error;

	if (percent == 0)
		printf("%6d", 0);
	else if (percent < 0.05)
		printf(" %5.0e", percent);
	else
		printf("%6.1f", percent);
}

static void print_row(const char *name, const char *where, const double *error)
{
	printf("%-33s%-7s", name, where);
	for (int k = 0; k < SHIFTS; k++)
		print_error(error[k]);
	putchar('\n');
}

static void print_table(const errors table[LAYERS])
{
	puts("\"shift, then layer\" against \"layer, then shift\": root mean square of the\n"
	     "difference, in % of the output's standard deviation\n");
	printf("%-40s", "shift in pixels");
	for (int k = 0; k < SHIFTS; k++)
		printf("%6d", k);
	putchar('\n');
	for (int i = 0; i < LAYERS; i++) {
		print_row(table[i].name, "inside", table[i].inside);
		if (!isnan(table[i].border[0]))
			print_row("", "border", table[i].border);
	}
	puts("\n* the picture shifts circularly: what moves out on the right comes in on the left");
}

static void print_probabilities(const probabilities *y)
{
	double low = 100, high = 0;

	printf("\n%s: probability of \"%s\" in %% while the photograph moves\n", y->network,
		y->class_name);
	for (int k = 0; k < y->offsets; k++) {
		printf("%s%6.2f", k % 8 ? "" : k ? "\n  " : "  ", y->percent[k]);
		low = fmin(low, y->percent[k]);
		high = fmax(high, y->percent[k]);
	}
	printf("\n%d shifts: from %.2f to %.2f %%\n", y->offsets, low, high);
}

/* ---- The run ---- */

static void to_planes(const ebb_image *x, double *planes)
{
	int64_t n = (int64_t)PICTURE * PICTURE;

	for (int64_t i = 0; i < 3 * n; i++)
		planes[i % 3 * n + i / 3] = (x->pixels[i] - 128) / 256.0;
}

static bool write_page(const settings *s, const ebb_image *x, const double *planes,
	const errors *table, const probabilities *network, ebb_error *e)
{
	static const layer_number shown[] = {PLAIN, ZEROS, STRIDE, MAXIMUM, BLUR};
	enum { SHOWN = sizeof shown / sizeof *shown };
	maps m[SHOWN] = {{0}};
	bool ok = cli_make_directory(s->out);

	for (int i = 0; ok && i < SHOWN; i++)
		ok = measure_maps(planes, s->seed, shown[i], SHOWN_SHIFT, &m[i], e);
	ok = ok && write_sheet(s->out,
			   &(sheet){.picture = x,
				   .shift = SHOWN_SHIFT,
				   .n = SHOWN,
				   .layers = m,
				   .table = table,
				   .network = network},
			   e);
	for (int i = 0; i < SHOWN; i++)
		maps_free(&m[i]);
	if (ok)
		printf("\n%s/shift.png: feature maps, their differences, and the errors\n", s->out);
	return ok;
}

static bool run(const settings *s, ebb_error *e)
{
	static double planes[3 * PICTURE * PICTURE];
	static errors table[LAYERS];
	probabilities network = {0};
	ebb_image boat = {0}, photograph = {0};
	bool ok = picture_of_a_boat(&boat, e);

	if (ok)
		to_planes(&boat, planes);
	ok = ok && measure(planes, s->seed, table, e);
	if (ok)
		print_table(table);
	if (ok && s->image) {
		ok = ebb_image_read(s->image, &(ebb_image_options){.channels = 3, .upright = true},
			     &photograph, e) &&
		     follow_class(s->weights, s->model, &photograph, &network, e);
		if (ok)
			print_probabilities(&network);
	}
	ok = ok && (!s->out || write_page(s, &boat, planes, table, &network, e));
	ebb_image_free(&boat);
	ebb_image_free(&photograph);
	return ok;
}

/* ---- The command line ---- */

static const char help[] =
	"shift: which layers of a convolutional network shift with their input\n"
	"\n"
	"  --image FILE    a photograph, PNG or JPEG, and\n"
	"  --weights FILE  a network's weights: follows the probability of the class that the\n"
	"                  network sees, while the photograph moves pixel by pixel\n"
	"  --model NAME    the network (default: what FILE says; see classify --list)\n"
	"  --out DIR       writes the picture DIR/shift.png, and its curves alone\n"
	"  --seed N        for the random filters (default 1)\n"
	"  --threads N     number of threads (default: all processors)\n"
	"  --help          this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {{"image", required_argument, NULL, 'i'},
		{"weights", required_argument, NULL, 'w'}, {"model", required_argument, NULL, 'm'},
		{"out", required_argument, NULL, 'o'}, {"seed", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.seed = 1};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'i')
			s.image = optarg;
		else if (o == 'w')
			s.weights = optarg;
		else if (o == 'm')
			s.model = optarg;
		else if (o == 'o')
			s.out = optarg;
		else if (o == 's')
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else
			*status = 2;
	}
	if (*status < 0) {
		cli_no_arguments(argc, argv, optind);
		if (!s.image != !s.weights || (s.model && !s.weights)) {
			fprintf(stderr, "%s is missing (see --help)\n",
				s.weights ? "--image FILE" : "--weights FILE");
			*status = 2;
		}
	}
	return s;
}

int main(int argc, char **argv)
{
	cli_begin();
	int status;
	settings s = parse(argc, argv, &status);
	ebb_error e = {0};

	if (status >= 0)
		return status;
	bool ok = run(&s, &e);
	if (!ok && e.status)
		fprintf(stderr, "%s\n", e.message);
	ebb_figures_end();
	return ok ? 0 : 1;
}
