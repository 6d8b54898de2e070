/* data.c - the images that finetune trains on. */
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads the names of the classes; lines that do not begin with a label, such as a header, are
 * ignored.  Without the file the classes have no names. */
static void read_names(images *d, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[1000];

	while (f && fgets(line, sizeof line, f)) {
		char *end;
		long label = strtol(line, &end, 10);

		if (end == line || *end != '\t' || label < 0 || label >= MOST_CLASSES)
			continue;
		end[1 + strcspn(end + 1, "\t\r\n")] = '\0';
		snprintf(d->name[label], LONGEST_NAME, "%s", end + 1);
		d->pointer[label] = d->name[label];
		if (label >= d->classes)
			d->classes = (int)label + 1;
	}
	if (f)
		fclose(f);
	for (int i = 0; i < d->classes; i++)
		if (!d->pointer[i])
			return;
	d->class_names = d->classes ? d->pointer : NULL;
}

/* Opens list.tsv; the labels of both lists must be among the same classes. */
static ebb_dataset *open_list(
	images *d, const char *path, const char *list, int channels, ebb_error *e)
{
	char file[1000];
	ebb_dataset *read;

	snprintf(file, sizeof file, "%s/%s.tsv", path, list);
	read = ebb_list(
		file, .classes = d->classes, .channels = channels, .upright = true, .error = e);
	if (read)
		d->classes = read->classes;
	return read;
}

bool images_open(images *d, const char *path, int channels, uint64_t seed, ebb_error *e)
{
	char file[1000];

	*d = (images){0};
	snprintf(file, sizeof file, "%s/train.tsv", path);
	if (access(file, F_OK) == 0) {
		snprintf(file, sizeof file, "%s/classes.tsv", path);
		read_names(d, file);
		d->training = open_list(d, path, "train", channels, e);
		d->testing = d->training ? open_list(d, path, "test", channels, e) : NULL;
		return d->testing != NULL;
	}
	d->all = ebb_folder(path, .channels = channels, .upright = true, .error = e);
	if (!d->all)
		return false;
	d->classes = d->all->classes;
	d->class_names = d->all->class_names;
	return ebb_dataset_split(d->all, 2.0 / 3, &d->training, &d->testing, .seed = seed,
		.stratified = true, .error = e);
}

void images_close(images *d)
{
	ebb_dataset_free(d->training);
	ebb_dataset_free(d->testing);
	ebb_dataset_free(d->all);
}
