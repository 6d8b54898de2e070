/*
 * What a published network sees in photographs: the likeliest classes, with bars.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cli.h"
#include "classify.h"

enum { MOST_TOP = 1000, BAR = 24 };

colours colours_of_stdout(void)
{
	return cli_colour(STDOUT_FILENO) ? (colours){"\033[1m", "\033[2m", "\033[36m", "\033[0m"}
	                                 : (colours){"", "", "", ""};
}

/* ---- Images ---- */

/* Prints the whole and the eighth blocks of a bar, and blanks up to its end. */
static void print_bar(double share, int length)
{
	static const char *const part[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	int eighths = (int)(share * length * 8 + 0.5);

	for (int i = 0; i < length; i++, eighths -= 8)
		fputs(eighths >= 8 ? "█" : part[eighths > 0 ? eighths : 0], stdout);
}

/* Prints a name, cut with "..." where the terminal ends. */
static void print_name(const char *name, int64_t number, int room)
{
	char text[LONGEST_LINE];
	int n = 0, at = 0;

	if (name)
		snprintf(text, sizeof text, "%s", name);
	else
		snprintf(text, sizeof text, "class %lld", (long long)number);
	if (room > 3 && cli_columns(text) > room) {
		/* A byte of the form 10xxxxxx continues a character. */
		for (; text[at] && n < room - 3; at++)
			n += ((unsigned char)text[at + 1] & 0xC0) != 0x80;
		strcpy(text + at, "...");
	}
	puts(text);
}

static void print_top(const ebb_tensor *share, const ebb_tensor *index, const char *const *names)
{
	enum { BEFORE = 11 }; /* "  100.0 %  " */
	colours c = colours_of_stdout();
	int width = cli_width(STDOUT_FILENO),
	    bar = !width || width >= 70 ? BAR : (width - BEFORE) / 3;

	for (int64_t i = 0; i < ebb_count(share); i++) {
		int64_t class = (int64_t)ebb_at(index, i);

		printf("  %s%5.1f %%%s  %s", i ? "" : c.bold, 100 * ebb_at(share, i), c.off, c.bar);
		print_bar(ebb_at(share, i), bar);
		printf("%s  %s", c.off, i ? "" : c.bold);
		print_name(names ? names[class] : NULL, class, width - BEFORE - bar - 3);
		fputs(c.off, stdout);
	}
}

static bool classify(
	ebb_tape *t, const ebb_model *net, const char *const *names, const char *path, int top)
{
	colours c = colours_of_stdout();
	char line[LONGEST_LINE];
	ebb_image image = {0};
	ebb_error e = {0};
	ebb_tensor *x = NULL, *share, *index;
	bool ok = ebb_image_read(path, &(ebb_image_options){.upright = true}, &image, &e);

	x = ok ? ebb_preprocess_images(&net->preprocess, 1, &image, EBB_DEFAULT, &e) : NULL;
	if (!x) {
		ok = said(&e);
	} else {
		share = ebb_softmax(t, ebb_model_forward(t, net, x), 1);
		share = ebb_topk(t, share, top, .index = &index);
		ok = ebb_ok(t) || said(ebb_tape_error(t));
		if (ok) {
			snprintf(line, sizeof line, "%s%s%s  %s%lld x %lld%s", c.bold, path, c.off,
				c.faint, (long long)image.width, (long long)image.height, c.off);
			putchar('\n');
			cli_wrap(0, line);
			print_top(share, index, names);
		}
		ebb_tape_reset(t);
		ebb_clear_error(t);
	}
	ebb_tensor_free(x);
	ebb_image_free(&image);
	return ok;
}

static bool run(const settings *s, int count, char **paths)
{
	ebb_params *p = ebb_params_new(0);
	ebb_tape *t = ebb_tape_new();
	ebb_model net = {0};
	const char *const *names;
	bool ok = load_network(&net, p, &s->files) && find_names(&s->files, &net, &names);

	if (ok) {
		int top = s->top < net.classes ? s->top : (int)net.classes;

		print_network(&net, &s->files);
		ebb_set_training(t, false);
		ebb_set_recording(t, false);
		for (int i = 0; i < count; i++)
			ok = classify(t, &net, names, paths[i], top) && ok;
	}
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

/* ---- The command line ---- */

static const char help[] =
	"classify IMAGE... --weights FILE: the classes that a published network sees\n"
	"\n"
	"  IMAGE           PNG or JPEG\n" NETWORK_HELP
	"  --top N         how many classes to print (default 5)\n"
	"  --list          prints the networks, and which files of weights were published\n"
	"  --threads N     number of threads (default: all processors)\n"
	"  --help          this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {NETWORK_OPTIONS,
		{"top", required_argument, NULL, 'n'}, {"list", no_argument, NULL, 'l'},
		{"threads", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.top = 5};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'n')
			s.top = (int)cli_int("--top", optarg, 1, MOST_TOP);
		else if (o == 'l')
			s.list = true;
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (!network_option(&s.files, o, optarg))
			*status = 2;
	}
	if (*status >= 0 || s.list)
		return s;
	if (!has_image_and_weights(argc, optind, &s.files)) {
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
	if (s.list) {
		cli_no_arguments(argc, argv, optind);
		print_catalogue();
		return 0;
	}
	return run(&s, argc - optind, argv + optind) ? 0 : 1;
}
