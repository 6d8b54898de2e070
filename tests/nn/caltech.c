/*
 * The published SqueezeNet, loaded by name, on photographs of 20 classes: how many it classifies
 * correctly among the 1,000 classes of ImageNet.
 *   caltech WEIGHTS DATA TOP1 TOP5
 * DATA is a directory with classes.tsv (label, class, .., the numbers of its ImageNet classes),
 * train.tsv and test.tsv (path, label).  The counts may differ from TOP1 and TOP5 by a few images,
 * because the order of summation decides on them.
 */
#include <ebb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 50, MOST_LABELS = 100, MOST_NUMBERS = 4, TOP = 5, SLACK = 4 };

/* The numbers of the ImageNet classes that each label stands for. */
static struct {
	int64_t number[MOST_NUMBERS];
	int count;
} classes[MOST_LABELS];

static bool read_classes(const char *data)
{
	char path[1000], line[1000];
	FILE *f;

	snprintf(path, sizeof path, "%s/classes.tsv", data);
	f = fopen(path, "r");
	if (!f)
		return perror(path), false;
	while (fgets(line, sizeof line, f)) {
		char *end, *at = line;
		long label = strtol(line, &end, 10);

		if (end == line || label < 0 || label >= MOST_LABELS)
			continue;
		for (int column = 0; column < 5 && at; column++)
			at = strchr(at, '\t') ? strchr(at, '\t') + 1 : NULL;
		while (at && classes[label].count < MOST_NUMBERS) {
			classes[label].number[classes[label].count++] = strtol(at, &end, 10);
			at = *end == ',' ? end + 1 : NULL;
		}
	}
	fclose(f);
	return true;
}

/* The position, from 0, of the best-placed number of the label among the TOP classes of row n. */
static int place(const ebb_tensor *index, int64_t n, int64_t label)
{
	for (int k = 0; k < TOP; k++)
		for (int i = 0; i < classes[label].count; i++)
			if (ebb_at(index, TOP * n + k) == (double)classes[label].number[i])
				return k;
	return TOP;
}

static bool count_right(const ebb_model *net, const char *data, const char *list, int right[2],
	int *images, ebb_error *e)
{
	ebb_tape *t = ebb_tape_new();
	ebb_augment *a = ebb_augment_new(e);
	double mean[3] = {0}, std[3] = {0};
	char path[1000];
	ebb_batch batch;

	snprintf(path, sizeof path, "%s/%s", data, list);
	ebb_preprocess_augment(&net->preprocess, a, mean, std);
	ebb_dataset *d = ebb_list(path, .error = e);
	ebb_loader *loader = ebb_loader_new(d, BATCH, .augment = a, .workers = 1,
		.mean = {mean[0], mean[1], mean[2]}, .std = {std[0], std[1], std[2]}, .error = e);
	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	while (ebb_ok(t, e, loader) && ebb_loader_next(loader, &batch)) {
		ebb_tensor *index;

		ebb_topk(t, ebb_model_forward(t, net, batch.images), TOP, .index = &index);
		for (int64_t n = 0; n < batch.count && !ebb_failed(t); n++) {
			int at = place(index, n, (int64_t)ebb_at(batch.labels, n));

			right[0] += at == 0;
			right[1] += at < TOP;
			++*images;
		}
		ebb_tape_reset(t);
	}
	bool ok = ebb_ok(t, e, loader);
	if (!ok)
		fprintf(stderr, "%s\n", ebb_first_error(t, e, loader)->message);
	ebb_loader_free(loader);
	ebb_dataset_free(d);
	ebb_augment_free(a);
	ebb_tape_free(t);
	return ok;
}

int main(int argc, char **argv)
{
	ebb_error e = {0};
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "squeezenet1_0");
	int right[2] = {0}, images = 0, failed = 0;

	if (argc != 5 || !read_classes(argv[2]))
		return 2;
	if (!ebb_model_load(&net, argv[1], .error = &e))
		return fprintf(stderr, "%s\n", e.message), 1;
	if (!count_right(&net, argv[2], "train.tsv", right, &images, &e) ||
		!count_right(&net, argv[2], "test.tsv", right, &images, &e))
		return 1;
	for (int i = 0; i < 2; i++) {
		int expected = atoi(argv[3 + i]);

		printf("top-%d: %d of %d right, expected %d\n", i ? TOP : 1, right[i], images,
			expected);
		failed += abs(right[i] - expected) > SLACK;
	}
	printf("%d passed, %d failed\n", 2 - failed, failed);
	ebb_params_free(p);
	return failed > 0;
}
