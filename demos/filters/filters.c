/*
 * What a published network has learned: the filters of its first layer, and for units of deeper
 * layers the images that excite them most and what in these images does (Zeiler & Fergus 2014,
 * "Visualizing and Understanding Convolutional Networks").
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../cli.h"
#include "filters.h"

typedef struct settings {
	network_files files;
	const char *out;
	int layers;
	layer layer[MOST_LAYERS];
} settings;

static bool draw(settings *s, const ebb_model *net, ebb_tape *t, int n, char **images)
{
	ebb_error e = {0};
	char path[1200];

	snprintf(path, sizeof path, "%s/filters.png", s->out);
	if (!write_filters(net, path, &e))
		return said(&e);
	puts(path);
	if (n == 0)
		return true;
	if (s->layers == 0)
		s->layers = choose_layers(t, net, images[0], s->layer);
	for (int i = 0; i < s->layers; i++) {
		layer *l = &s->layer[i];

		if (!find_units(t, net, n, images, l))
			return false;
		printf("%s: %d units, patches of %lld pixels;", l->name, l->units,
			(long long)l->side);
		for (int k = 0; k < l->units; k++)
			printf(" %lld", (long long)l->unit[k].channel);
		putchar('\n');
		fflush(stdout);
	}
	snprintf(path, sizeof path, "%s/layers.png", s->out);
	if (s->layers == 0)
		return false;
	if (!write_layers(net, s->layers, s->layer, path, &e))
		return said(&e);
	puts(path);
	return true;
}

static bool run(settings *s, int n, char **images)
{
	ebb_params *p = ebb_params_new(0);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = {0};
	bool ok = load_network(&net, p, &s->files);

	if (ok) {
		printf("%s (%d)\n", net.card->title, net.card->year);
		ok = draw(s, &net, t, n, images);
	}
	for (int i = 0; i < s->layers; i++)
		free_layer(&s->layer[i]);
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

/* ---- The command line ------------------------------------------------------------------------ */

static const char help[] =
	"filters [IMAGE...] --weights FILE: what a published network has learned\n"
	"\n"
	"  IMAGE...        PNG or JPEG files, at least 9, in which units are looked for; without\n"
	"                  images only the first layer's filters are written\n"
	"  --weights FILE  the network's weights: .pth, .pt, .safetensors, .npz\n"
	"  --model NAME    the network (default: what FILE says)\n"
	"  --layer NAME    a layer to show, by the name of its scope; may be given several times\n"
	"                  (default: four of the network's)\n"
	"  --out DIR       receives filters.png and layers.png (default: filters)\n"
	"  --threads N     number of threads (default: all processors)\n"
	"  --help          this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {{"weights", required_argument, NULL, 'w'},
		{"model", required_argument, NULL, 'm'}, {"layer", required_argument, NULL, 'l'},
		{"out", required_argument, NULL, 'o'}, {"threads", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.out = "filters"};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'w')
			s.files.weights = optarg;
		else if (o == 'm')
			s.files.model = optarg;
		else if (o == 'l' && s.layers < MOST_LAYERS)
			snprintf(s.layer[s.layers++].name, sizeof s.layer[0].name, "%s", optarg);
		else if (o == 'o')
			s.out = optarg;
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (o == 'l')
			*status = (fprintf(stderr, "--layer: more than %d\n", MOST_LAYERS), 2);
		else
			*status = 2;
	}
	if (*status >= 0)
		return s;
	if (!s.files.weights || (argc > optind && argc - optind < BEST)) {
		fprintf(stderr, "%s\n",
			s.files.weights ? "at least 9 images are needed (see --help)"
					: "--weights FILE is missing (see --help)");
		*status = 2;
	} else if (s.layers && argc == optind) {
		fprintf(stderr,
			"--layer needs images, in which units are looked for (see --help)\n");
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
	bool ok = run(&s, argc - optind, argv + optind);
	ebb_figures_end();
	return ok ? 0 : 1;
}
