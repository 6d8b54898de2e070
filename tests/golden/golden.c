/*
 * golden - compares Ebb with PyTorch's values, gradients and second derivatives.
 *
 *   golden [DIR]                   DIR: one folder per op with safetensors files; the default is
 *                                  $EBB_GOLDEN, else the large set beside the source tree
 *   golden --complete DIR...       the folders of script/golden; an op with vectors in no DIR fails
 *   golden --missing DIR...        prints the ops that have vectors in no DIR
 */
#include "golden.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

typedef struct totals {
	int count[3]; /* cases by outcome */
	int ops, missing_ops;
	char missing[4096];
} totals;

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.' && strcmp(d->d_name, "README.md");
}

static void run_op(const char *folder, const char *op, bool strict, totals *total)
{
	char path[4096];
	struct dirent **files = NULL;
	int count[3] = {0}, passed[2] = {0}, n;

	snprintf(path, sizeof path, "%s/%s", folder, op);
	n = scandir(path, &files, visible, alphasort);
	for (int k = 0; k < n; k++) {
		snprintf(path, sizeof path, "%s/%s/%s", folder, op, files[k]->d_name);
		count[golden_run_file(path, strict, passed)]++;
		free(files[k]);
	}
	if (n >= 0)
		free(files);
	if (count[GOLDEN_PASSED] + count[GOLDEN_FAILED]) {
		total->ops++;
		printf("%-22s %d of %d cases passed in double precision, %d in single\n", op,
			passed[0], count[GOLDEN_PASSED] + count[GOLDEN_FAILED], passed[1]);
	} else if (count[GOLDEN_MISSING]) {
		size_t used = strlen(total->missing);

		total->missing_ops++;
		snprintf(total->missing + used, sizeof total->missing - used, " %s", op);
	}
	for (int k = 0; k < 3; k++)
		total->count[k] += count[k];
}

/* False if there is no such folder. */
static bool run_folder(const char *folder, bool strict, totals *total)
{
	struct dirent **ops = NULL;
	int n = scandir(folder, &ops, visible, alphasort);

	for (int i = 0; i < n; i++) {
		run_op(folder, ops[i]->d_name, strict, total);
		free(ops[i]);
	}
	if (n >= 0)
		free(ops);
	return n >= 0;
}

/* The exit status. */
static int report(totals *total, int uncovered)
{
	if (total->missing_ops)
		printf("Ebb does not have:%s\n", total->missing);
	printf("golden: %d ops, %d passed, %d failed, %d cases of %d ops that Ebb does not have\n",
		total->ops, total->count[GOLDEN_PASSED], total->count[GOLDEN_FAILED] + uncovered,
		total->count[GOLDEN_MISSING], total->missing_ops);
	return total->count[GOLDEN_FAILED] || uncovered || !total->count[GOLDEN_PASSED];
}

static int run_complete(int n, char **folders)
{
	totals total = {0};

	for (int i = 0; i < n; i++) {
		if (!run_folder(folders[i], true, &total)) {
			printf("golden: no directory %s\n", folders[i]);
			return 2;
		}
	}
	return report(&total, golden_uncovered(n, folders, false) + total.count[GOLDEN_MISSING]);
}

int main(int argc, char **argv)
{
	totals total = {0};
	const char *chosen = argc > 1 ? argv[1] : getenv("EBB_GOLDEN");
	const char *folder = chosen ? chosen : GOLDEN_DEFAULT;

	if (argc > 2 && !strcmp(argv[1], "--complete"))
		return run_complete(argc - 2, argv + 2);
	if (argc > 2 && !strcmp(argv[1], "--missing"))
		return golden_uncovered(argc - 2, argv + 2, true), 0;
	if (!run_folder(folder, false, &total)) {
		printf("golden: no directory %s%s\n", folder, chosen ? "" : " (skipped)");
		return chosen ? 2 : 77;
	}
	return report(&total, 0);
}
