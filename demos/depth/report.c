/* report.c - the table and the figure of the errors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "depth.h"

/* The curve of a depth and seed, or NULL if that network is not trained yet. */
static const curve *find(int n, const curve *c, int depth, bool plain, int seed)
{
	for (int i = 0; i < n; i++)
		if (c[i].depth == depth && c[i].plain == plain && c[i].seed == seed && c[i].n > 0)
			return &c[i];
	return NULL;
}

/* ---- The figure ------------------------------------------------------------------------------ */

/* The mean over the seeds of an error after each epoch that all of them have; returns their
 * number. */
static int mean_curve(
	const settings *s, int n, const curve *c, int depth, bool plain, bool test, double *mean)
{
	int epochs = 0, seeds = 0;

	for (int seed = 1; seed <= s->seeds; seed++) {
		const curve *one = find(n, c, depth, plain, seed);

		if (!one)
			continue;
		epochs = seeds == 0 || one->n < epochs ? one->n : epochs;
		for (int i = 0; i < epochs; i++)
			mean[i] = (seeds ? mean[i] : 0) + (test ? one->test_error : one->error)[i];
		seeds++;
	}
	for (int i = 0; i < epochs; i++)
		mean[i] /= seeds;
	return epochs;
}

typedef struct drawing {
	double epoch[MOST_EPOCHS], mean[4][MOST_DEPTHS][MOST_EPOCHS];
	char label[MOST_DEPTHS][20];
	ebb_series series[4][MOST_DEPTHS];
	ebb_panel panels[4];
} drawing;

/* The range of errors that the curves need, in steps of 10 %. */
static void error_range(const drawing *d, double *range)
{
	range[0] = 100, range[1] = 0;
	for (int panel = 0; panel < 4; panel++)
		for (int k = 0; k < d->panels[panel].n; k++)
			for (int64_t i = 0; i < d->series[panel][k].n; i++) {
				range[0] = fmin(range[0], d->series[panel][k].y[i]);
				range[1] = fmax(range[1], d->series[panel][k].y[i]);
			}
	range[0] = 10 * floor(range[0] / 10);
	range[1] = 10 * ceil(range[1] / 10);
}

static bool save_figure(const settings *s, int n, const curve *c, const char *path, ebb_error *e)
{
	static const char *const titles[] = {"Plain networks: training error",
		"Residual networks: training error", "Plain networks: test error",
		"Residual networks: test error"};
	static drawing drawn;
	drawing *d = &drawn;
	char subtitle[120];
	double range[2];

	for (int i = 0; i < MOST_EPOCHS; i++)
		d->epoch[i] = i + 1;
	for (int panel = 0; panel < 4; panel++) {
		ebb_panel *p = &d->panels[panel];

		*p = (ebb_panel){.title = titles[panel],
			.x_label = "epoch",
			.y_label = "error, %",
			.series = d->series[panel]};
		for (int k = 0; k < s->depths; k++) {
			double *mean = d->mean[panel][k];
			int epochs = mean_curve(
				s, n, c, s->depth[k], panel % 2 == 0, panel / 2 == 1, mean);

			snprintf(d->label[k], sizeof d->label[k], "%d layers", s->depth[k]);
			if (epochs > 0)
				d->series[panel][p->n++] = (ebb_series){.label = d->label[k],
					.n = epochs,
					.x = d->epoch,
					.y = mean,
					.colour = k + 1,
					.points = epochs == 1};
		}
	}
	error_range(d, range);
	for (int panel = 0; panel < 4; panel++)
		memcpy(d->panels[panel].y_range, range, sizeof range);
	snprintf(subtitle, sizeof subtitle, "CIFAR-10, %d epochs of %lld images, %d seed%s",
		s->epochs, (long long)s->limit, s->seeds, s->seeds > 1 ? "s, mean" : "");
	return ebb_figure_save(&(ebb_figure){.title = "Depth, without and with shortcuts",
				       .subtitle = subtitle,
				       .columns = 2,
				       .width = 1100,
				       .height = 780,
				       .n = 4,
				       .panels = d->panels},
		path, e);
}

static bool save_csv(int n, const curve *c, const char *path, ebb_error *e)
{
	ebb_text text = {0};
	char name[40];
	bool ok;

	ebb_text_printf(&text, "network,depth,seed,epoch,loss,training_error,test_error\n");
	for (int i = 0; i < n; i++)
		for (int k = 0; k < c[i].n; k++)
			ebb_text_printf(&text, "%s,%d,%d,%d,%.6f,%.4f,%.4f\n",
				name_of(&c[i], name, sizeof name), c[i].depth, c[i].seed, k + 1,
				c[i].loss[k], c[i].error[k], c[i].test_error[k]);
	ok = ebb_text_save(&text, path, e);
	ebb_text_free(&text);
	return ok;
}

bool save_curves(const settings *s, int n, const curve *c, ebb_error *e)
{
	char path[LONGEST_PATH];

	snprintf(path, sizeof path, "%s/curves.csv", s->out);
	if (!save_csv(n, c, path, e))
		return false;
	snprintf(path, sizeof path, "%s/curves.png", s->out);
	return !ebb_can_plot() || save_figure(s, n, c, path, e);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* The mean over the seeds of the last epoch's error, or NaN. */
static double last_error(const settings *s, int n, const curve *c, int depth, bool plain, bool test)
{
	double mean[MOST_EPOCHS];
	int epochs = mean_curve(s, n, c, depth, plain, test, mean);

	return epochs > 0 ? mean[epochs - 1] : NAN;
}

/* Compares the deepest networks with the shallowest ones, seed by seed. */
static void compare(const settings *s, int n, const curve *c, bool plain)
{
	int shallow = s->depth[0], deep = s->depth[s->depths - 1], higher = 0, both = 0;

	for (int seed = 1; seed <= s->seeds; seed++) {
		const curve *a = find(n, c, shallow, plain, seed),
			    *b = find(n, c, deep, plain, seed);

		if (!a || !b)
			continue;
		both++;
		higher += b->error[b->n - 1] > a->error[a->n - 1];
	}
	printf("%s networks: the training error with %d layers is ", plain ? "Plain" : "Residual",
		deep);
	if (higher > 0 && higher < both)
		printf("higher than with %d in %d of %d seeds.\n", shallow, higher, both);
	else
		printf("%s than with %d in %d seed%s.\n", higher ? "higher" : "lower", shallow,
			both, both == 1 ? "" : "s");
}

void print_errors(const settings *s, int n, const curve *c)
{
	printf("\nErrors in the last epoch, in %%, mean over %d seed%s:\n\n"
	       "            training          test\n"
	       "  layers  plain residual  plain residual\n",
		s->seeds, s->seeds > 1 ? "s" : "");
	for (int i = 0; i < s->depths; i++) {
		printf("  %6d ", s->depth[i]);
		for (int k = 0; k < 4; k++)
			printf(k % 2 ? " %8.2f" : " %6.2f",
				last_error(s, n, c, s->depth[i], k % 2 == 0, k / 2 == 1));
		putchar('\n');
	}
	putchar('\n');
	if (s->depths < 2)
		return;
	compare(s, n, c, true);
	compare(s, n, c, false);
}
