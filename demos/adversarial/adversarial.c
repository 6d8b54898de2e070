/*
 * A photograph that a published network takes for another class, although it looks the same: small
 * changes of its pixels, to which the network's score is sensitive, as a PNG file of the photograph's
 * own size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli.h"
#include "adversarial.h"

/* ---- Output ---- */

static void print_opinion(const attack *a, const char *when, const opinion *o)
{
	const char *bold = cli_colour(STDOUT_FILENO) ? "\033[1m" : "",
		   *off = *bold ? "\033[0m" : "";
	char line[LONGEST_LINE], name[100];

	snprintf(line, sizeof line, "%s %5.1f %%  %s%s%s", when, 100 * o->probability, bold,
		a->names ? a->names[o->first] : short_name(a->names, o->first, name, sizeof name),
		off);
	cli_wrap(2, line);
}

static void print_result(const attack *a, bool reached)
{
	char line[LONGEST_LINE], name[100];

	print_opinion(a, "after   ", &a->after);
	snprintf(line, sizeof line,
		"change    %d of 255 levels at most, %.2f as root mean square; L2 norm %.3f "
		"(values in [0,1])",
		a->largest, a->rms, a->norm);
	cli_wrap(2, line);
	printf("  steps     %d\n", a->steps);
	if (reached)
		return;
	fflush(stdout);
	fprintf(stderr,
		"not reached: %s has %.1f %%, %s %.1f %% were asked for (more --steps or --eps)\n",
		short_name(a->names, a->target, name, sizeof name), 100 * a->probability,
		a->s->untargeted ? "at most" : "but",
		100 * (a->s->untargeted ? 1 - a->s->confidence : a->s->confidence));
}

/* ---- The work ---- */

static bool choose_target(attack *a)
{
	a->target = a->s->untargeted ? a->before.first
	            : a->s->target   ? class_named("--target", a->s->target, &a->net, a->names)
	                             : a->before.least;
	if (a->target >= 0 && !a->s->untargeted && a->target == a->before.first) {
		fprintf(stderr, "--target: that is the photograph's class already\n");
		return false;
	}
	return a->target >= 0;
}

/* Returns the exit status. */
static int work(attack *a)
{
	const settings *s = a->s;
	int channels = a->net.preprocess.channels ? a->net.preprocess.channels : 3;
	char path[LONGEST_LINE], line[LONGEST_LINE];
	ebb_error e = {0};
	bool reached;

	if (!ebb_image_read(s->photograph,
		    &(ebb_image_options){.channels = channels, .upright = true}, &a->original, &e))
		return said(&e), 1;
	if (!ask(a, &a->original, &a->before, -1, NULL) || !choose_target(a) ||
		!cli_make_directory(s->out))
		return 1;
	snprintf(line, sizeof line, "%s  %lld x %lld", s->photograph, (long long)a->original.width,
		(long long)a->original.height);
	cli_wrap(0, line);
	print_opinion(a, "before  ", &a->before);
	fflush(stdout);
	snprintf(path, sizeof path, "%s/adversarial.png", s->out);
	if (!change_photograph(a, path, &reached))
		return 1;
	print_result(a, reached);
	printf("\n%s\n", path);
#ifdef EBB_HAVE_CAIRO
	snprintf(path, sizeof path, "%s/picture.png", s->out);
	int factor = write_picture(a, path, &e);

	if (!factor)
		return said(&e), 1;
	printf("%s: the change is shown %d times as large\n", path, factor);
#endif
	return reached ? 0 : 1;
}

static int run(const settings *s)
{
	ebb_params *p = ebb_params_new(0);
	attack a = {.s = s, .t = ebb_tape_new()};
	int status = 1;

	if (load_network(&a.net, p, &s->files) && find_names(&s->files, &a.net, &a.names)) {
		print_network(&a.net, &s->files);
		ebb_set_training(a.t, false);
		ebb_set_recording(a.t, false);
		status = work(&a);
	}
	ebb_image_free(&a.original);
	ebb_image_free(&a.changed);
	ebb_tape_free(a.t);
	ebb_params_free(p);
	return status;
}

/* ---- The command line ---- */

static const char help[] =
	"adversarial IMAGE --weights FILE: changes a photograph so that a network sees another "
	"class\n"
	"\n"
	"  IMAGE           PNG or JPEG\n" NETWORK_HELP
	"  --target CLASS  the class to see, by name or number (default: the least likely one)\n"
	"  --untargeted    any class but the photograph's\n"
	"  --eps LEVELS    the largest change of a value, in levels of 255 (default 8); with\n"
	"                  --norm l2 the root mean square of the changes (default 2)\n"
	"  --norm NORM     linf (default) or l2\n"
	"  --steps N       the most steps of the attack (default 400)\n"
	"  --confidence P  the probability to reach (default 0.95)\n"
	"  --out DIR       receives adversarial.png, of the photograph's size, and picture.png:\n"
	"                  photograph, amplified change and result (default: adversarial)\n"
	"  --threads N     number of threads (default: all processors)\n"
	"  --help          this text\n"
	"\n"
	"Exit status 1 if the file that was written, read again, is not seen as the target with\n"
	"that probability.\n";

static void set(settings *s, int option)
{
	static const char *const norms[] = {"linf", "l2", NULL};

	if (option == 'g')
		s->target = optarg;
	else if (option == 'u')
		s->untargeted = true;
	else if (option == 'e')
		s->eps = cli_double("--eps", optarg, 0.5, 255);
	else if (option == 'n')
		s->l2 = cli_choice("--norm", optarg, norms);
	else if (option == 's')
		s->steps = (int)cli_int("--steps", optarg, 1, 1000000);
	else if (option == 'p')
		s->confidence = cli_double("--confidence", optarg, 0.001, 0.999);
	else if (option == 'o')
		s->out = optarg;
	else if (option == 't')
		cli_threads(optarg);
}

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {NETWORK_OPTIONS,
		{"target", required_argument, NULL, 'g'}, {"untargeted", no_argument, NULL, 'u'},
		{"eps", required_argument, NULL, 'e'}, {"norm", required_argument, NULL, 'n'},
		{"steps", required_argument, NULL, 's'},
		{"confidence", required_argument, NULL, 'p'}, {"out", required_argument, NULL, 'o'},
		{"threads", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.out = "adversarial", .steps = 400, .confidence = 0.95};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (o == '?')
			*status = 2;
		else if (!network_option(&s.files, o, optarg))
			set(&s, o);
	}
	if (*status >= 0)
		return s;
	if (s.eps == 0)
		s.eps = s.l2 ? 2 : 8;
	if (s.eps < 1 && !s.l2) {
		fprintf(stderr,
			"--eps: got %g, expected at least 1: no value changes by less than a "
			"level (with --norm l2 at least 0.5)\n",
			s.eps);
		*status = 2;
		return s;
	}
	if (!has_image_and_weights(argc, optind, &s.files)) {
		*status = 2;
		return s;
	}
	if (s.target && s.untargeted) {
		fprintf(stderr, "--target and --untargeted exclude each other\n");
		*status = 2;
		return s;
	}
	s.photograph = argv[optind];
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
	status = run(&s);
	ebb_figures_end();
	return status;
}
