/*
 * What a network reads in a photograph: maps by gradients, SmoothGrad, integrated gradients, guided
 * backpropagation and Grad-CAM, each compared with the map of a network with random weights (Adebayo
 * et al. 2018, "Sanity Checks for Saliency Maps").
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"
#include "saliency.h"

typedef struct settings {
	network_files files;
	const char *image, *class, *layer, *out;
	int samples;
	uint64_t seed;
} settings;

/* ---- The class ------------------------------------------------------------------------------- */

/* Sets r->class to the class of --class, or to the network's; and what it is
 * called and its probability.  False with a message. */
static bool find_class(
	ebb_tape *t, const settings *s, const char *const *names, request *r, results *out)
{
	ebb_tensor *share;
	bool recording = ebb_set_recording(t, false), training = ebb_set_training(t, false);

	share = ebb_softmax(t, ebb_model_forward(t, r->net, (ebb_tensor *)r->x), 1);
	r->class = share ? (int64_t)ebb_item(ebb_argmax(t, share, 1)) : 0;
	ebb_set_recording(t, recording);
	ebb_set_training(t, training);
	if (!ebb_ok(t))
		return said(ebb_tape_error(t));
	if (s->class)
		r->class = class_named("--class", s->class, r->net, names);
	if (r->class < 0)
		return false;
	if (names)
		snprintf(out->class, sizeof out->class, "%s", names[r->class]);
	else
		snprintf(out->class, sizeof out->class, "class %lld", (long long)r->class);
	out->probability = ebb_at(share, r->class);
	return true;
}

/* ---- The maps -------------------------------------------------------------------------------- */

/* Replaces the values of all parameters by those of a new network. */
static bool randomise(const ebb_model *net, uint64_t seed)
{
	ebb_params *p = ebb_params_new(seed);
	ebb_error e = {0};
	bool ok;

	ebb_model_new(p, net->card->name, .classes = net->classes);
	ok = !ebb_params_error(p) && ebb_params_copy(net->p, p, .error = &e);
	if (!ok)
		said(ebb_params_error(p) ? ebb_params_error(p) : &e);
	ebb_params_free(p);
	return ok;
}

static void print_table(const results *r)
{
	const ebb_completeness *c = &r->trained.sum;
	double change = c->score - c->baseline_score;

	printf("integrated gradients: sum %.4f, change of the score %.4f (%.2g of it missing), %d "
	       "gradients%s\n\n",
		c->sum, change, fabs(c->sum - change) / fabs(change), c->steps,
		r->trained.complete ? "" : "; NOT complete");
	printf("rank correlation with the map of a network with random weights:\n");
	for (int i = 0; i < METHODS; i++) {
		double p = r->correlation[i];

		if (isnan(p))
			printf("  %-24s no map\n", method_names[i]);
		else
			printf("  %-24s %6.2f  %s\n", method_names[i], p,
				hardly_changes(p)
					? "hardly changes: here it DOES NOT DEPEND ON THE WEIGHTS"
					: "changes with the weights");
	}
}

/* Computes everything for an image that was read. */
static bool explain(ebb_tape *t, const settings *s, const char *const *names, request *r,
	results *out, ebb_error *e)
{
	char path[1200];

	if (!find_class(t, s, names, r, out))
		return false;
	printf("%s: %s, %.1f %%\n", s->image, out->class, 100 * out->probability);
	fflush(stdout);
	if (!compute_maps(t, r, &out->trained) || !randomise(r->net, s->seed + 1))
		return ebb_ok(t) ? false : said(ebb_tape_error(t));
	ebb_tape_reset(t);
	if (!compute_maps(t, r, &out->random))
		return said(ebb_tape_error(t));
	for (int i = 0; i < METHODS; i++)
		out->correlation[i] = ebb_rank_correlation(out->trained.map[i], out->random.map[i]);
	print_table(out);
	snprintf(path, sizeof path, "%s/saliency.png", s->out);
	if (!write_picture(out, path, e))
		return said(e);
	printf("\n%s\n", path);
	return true;
}

static bool run(const settings *s)
{
	ebb_params *p = ebb_params_new(0);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = {0};
	const char *const *names;
	ebb_image image = {0}, seen = {0};
	ebb_error e = {0};
	ebb_tensor *x = NULL;
	results out = {.seen = &seen};
	request r = {.net = &net, .layer = s->layer, .samples = s->samples, .seed = s->seed};
	bool ok = load_network(&net, p, &s->files) && find_names(&s->files, &net, &names);

	if (ok) {
		ok = ebb_image_read(s->image, &(ebb_image_options){.upright = true}, &image, &e) &&
		     ebb_preprocess_pixels(&net.preprocess, &image, &seen, &e);
		x = ok ? ebb_preprocess_images(&net.preprocess, 1, &image, EBB_DEFAULT, &e) : NULL;
		ok = x ? true : said(&e);
		r.x = x;
	}
	ok = ok && explain(t, s, names, &r, &out, &e);
	free_maps(&out.trained);
	free_maps(&out.random);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_image_free(&seen);
	ebb_image_free(&image);
	ebb_params_free(p);
	return ok;
}

/* ---- The command line ------------------------------------------------------------------------ */

static const char help[] =
	"saliency IMAGE --weights FILE: what a network reads in a photograph\n"
	"\n"
	"  IMAGE           PNG or JPEG\n" NETWORK_HELP
	"  --class CLASS   the class to explain, by name or number (default: the likeliest)\n"
	"  --layer NAME    the layer of Grad-CAM (default: the last one with pixels)\n"
	"  --samples N     images with noise for SmoothGrad (default 50)\n"
	"  --seed N        of the noise and of the random weights (default 1)\n"
	"  --out DIR       receives saliency.png (default: saliency)\n"
	"  --threads N     number of threads (default: all processors)\n"
	"  --help          this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {NETWORK_OPTIONS,
		{"class", required_argument, NULL, 'k'}, {"layer", required_argument, NULL, 'l'},
		{"samples", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
		{"out", required_argument, NULL, 'o'}, {"threads", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.out = "saliency", .samples = 50, .seed = 1};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'k')
			s.class = optarg;
		else if (o == 'l')
			s.layer = optarg;
		else if (o == 'n')
			s.samples = (int)cli_int("--samples", optarg, 1, 100000);
		else if (o == 's')
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
		else if (o == 'o')
			s.out = optarg;
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (!network_option(&s.files, o, optarg))
			*status = 2;
	}
	if (*status >= 0)
		return s;
	if (!has_image_and_weights(argc, optind, &s.files)) {
		*status = 2;
		return s;
	}
	s.image = argv[optind];
	cli_no_arguments(argc, argv, optind + 1);
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
	bool ok = run(&s);
	ebb_figures_end();
	return ok ? 0 : 1;
}
