/* network.c - the network of a file of weights, and the names of its classes. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"
#include "network.h"

bool said(const ebb_error *e)
{
	fflush(stdout);
	fprintf(stderr, "%s\n", e->message);
	return false;
}

/* ---- The command line ---- */

bool network_option(network_files *f, int o, const char *argument)
{
	if (o == 'w')
		f->weights = argument;
	else if (o == 'm')
		f->model = argument;
	else if (o == 'c')
		f->classes = argument;
	else
		return false;
	return true;
}

bool has_image_and_weights(int argc, int first, const network_files *f)
{
	if (first < argc && f->weights)
		return true;
	fprintf(stderr, "%s is missing (see --help)\n", first == argc ? "IMAGE" : "--weights FILE");
	return false;
}

/* ---- The network ---- */

/* The number of classes in a file: the size of the last tensor of the head; 0: not known. */
static int64_t classes_in(const char *path, const ebb_model_card *card)
{
	ebb_archive *a = ebb_archive_read(path);
	int64_t classes = 0;
	char glob[80];

	snprintf(glob, sizeof glob, "*%.*s", (int)strcspn(card->head, " "), card->head);
	for (int64_t i = 0; a && i < ebb_archive_count(a); i++)
		if (fnmatch(glob, ebb_archive_name_at(a, i), 0) == 0)
			classes = ebb_archive_shape_at(a, i).dims[0];
	ebb_archive_free(a);
	return classes;
}

bool load_network(ebb_model *net, ebb_params *p, const network_files *f)
{
	ebb_error e = {0};
	const ebb_model_card *card =
		f->model ? ebb_model_card_named(f->model) : ebb_model_card_of(f->weights, &e);

	if (!f->model && !card) {
		said(&e);
		if (strstr(e.message, "which network"))
			fprintf(stderr, "name the network by --model (see classify --list)\n");
		return false;
	}
	*net = ebb_model_new(p, card ? card->name : f->model,
		.classes = card ? classes_in(f->weights, card) : 0);
	return ebb_model_load(net, f->weights, .error = &e) || said(&e);
}

/* The lines of a file as an array of n names, in the store's memory.  NULL, with a message unless
 * optional is set, if the file cannot be read or has another number of lines. */
static const char *const *read_names(ebb_params *p, const char *path, int64_t n, bool optional)
{
	const char **names = ebb_params_alloc(p, (size_t)n * sizeof *names);
	char line[LONGEST_LINE], *copy;
	FILE *f = fopen(path, "r");
	int64_t count = 0;

	if (!f) {
		if (!optional)
			perror(path);
		return NULL;
	}
	for (; fgets(line, sizeof line, f); count++) {
		line[strcspn(line, "\r\n")] = '\0';
		copy = count < n ? ebb_params_alloc(p, strlen(line) + 1) : NULL;
		if (copy)
			names[count] = strcpy(copy, line);
	}
	fclose(f);
	if (ebb_params_error(p))
		return said(ebb_params_error(p)), NULL;
	if (count == n)
		return names;
	if (!optional)
		fprintf(stderr, "%s: has %lld names, expected %lld, one per class of the network\n",
			path, (long long)count, (long long)n);
	return NULL;
}

bool find_names(const network_files *files, const ebb_model *net, const char *const **names)
{
	const char *slash = strrchr(files->weights, '/');
	char path[LONGEST_LINE];

	*names = net->class_names;
	if (files->classes)
		*names = read_names(net->p, files->classes, net->classes, false);
	if (*names || files->classes)
		return *names != NULL;
	snprintf(path, sizeof path, "%.*simagenet-classes.txt",
		slash ? (int)(slash + 1 - files->weights) : 0, files->weights);
	*names = read_names(net->p, path, net->classes, true);
	return true;
}

/* Whether name is the list, or one of the names between its commas. */
static bool lists(const char *list, const char *name)
{
	size_t length = strlen(name);

	if (strcasecmp(list, name) == 0)
		return true;
	for (; *list; list += strcspn(list, ","), list += *list == ',') {
		list += strspn(list, " ");
		if (strcspn(list, ",") == length && strncasecmp(list, name, length) == 0)
			return true;
	}
	return false;
}

int64_t class_named(
	const char *option, const char *text, const ebb_model *net, const char *const *names)
{
	enum { MOST_LISTED = 5 };
	int64_t found = -1, classes = net->classes;
	int parts = 0;
	char *end;
	long long number = strtoll(text, &end, 10);

	if (end != text && !*end && number >= 0 && number < classes)
		return number;
	for (int64_t c = 0; names && *text && c < classes; c++)
		if (lists(names[c], text))
			return c;
	for (int64_t c = 0; names && *text && c < classes; c++)
		if (strcasestr(names[c], text)) {
			found = c;
			parts++;
		}
	if (parts == 1)
		return found;
	if (parts == 0) {
		fprintf(stderr, "%s: got '%s', expected %sa number from 0 to %lld\n", option, text,
			names ? "the name of a class or " : "", (long long)classes - 1);
		return -1;
	}
	fprintf(stderr, "%s: %d classes contain '%s'", option, parts, text);
	for (int64_t c = 0, listed = 0; c < classes && listed < MOST_LISTED; c++)
		if (strcasestr(names[c], text))
			fprintf(stderr, "%s %s", listed++ ? ";" : ":", names[c]);
	fprintf(stderr, "%s\n", parts > MOST_LISTED ? "; ..." : "");
	return -1;
}

void print_network(const ebb_model *net, const network_files *f)
{
	const char *file = strrchr(f->weights, '/');
	char line[LONGEST_LINE];

	snprintf(line, sizeof line, "%s (%d), %s: %lld classes", net->card->title, net->card->year,
		file ? file + 1 : f->weights, (long long)net->classes);
	cli_wrap(0, line);
}

const char *short_name(const char *const *names, int64_t class, char *text, size_t size)
{
	if (names)
		snprintf(text, size, "%.*s", (int)strcspn(names[class], ","), names[class]);
	else
		snprintf(text, size, "class %lld", (long long)class);
	return text;
}
