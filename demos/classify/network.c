/* network.c - the network of a file of weights, and the names of its classes. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "classify.h"

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

bool load_network(ebb_model *net, ebb_params *p, const settings *s)
{
	ebb_error e = {0};
	const ebb_model_card *card =
		s->model ? ebb_model_card_named(s->model) : ebb_model_card_of(s->weights, &e);

	if (!s->model && !card) {
		said(&e);
		if (strstr(e.message, "which network"))
			fprintf(stderr, "name the network by --model (see --list)\n");
		return false;
	}
	*net = ebb_model_new(p, card ? card->name : s->model,
		.classes = card ? classes_in(s->weights, card) : 0);
	return ebb_model_load(net, s->weights, .error = &e) || said(&e);
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

bool find_names(const settings *s, const ebb_model *net, const char *const **names)
{
	const char *slash = strrchr(s->weights, '/');
	char path[LONGEST_LINE];

	*names = net->class_names;
	if (s->classes)
		*names = read_names(net->p, s->classes, net->classes, false);
	if (*names || s->classes)
		return *names != NULL;
	snprintf(path, sizeof path, "%.*simagenet-classes.txt",
		slash ? (int)(slash + 1 - s->weights) : 0, s->weights);
	*names = read_names(net->p, path, net->classes, true);
	return true;
}
