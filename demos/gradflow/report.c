/* report.c - prints a table and verdicts to the terminal; writes a figure, CSV files and a page. */
#include "gradflow.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

/* The gradient norms of one network, first layer first; NaN for a layer without samples. */
static bool norms_of(const run *r, int depth, double *norm)
{
	int found = 0;

	for (int i = 0; i < ebb_probe_layers(r->probe) && found < depth; i++) {
		ebb_layer_summary s;
		if (ebb_probe_layer(r->probe, i).container)
			continue;
		if (!ebb_probe_summary(r->probe, i, 0, 0, &s))
			return false;
		norm[found++] = s.grad_l2;
	}
	for (; found < depth; found++)
		norm[found] = NAN;
	return true;
}

/* ---- On the terminal ---- */

/* Widths in columns: a layer's number; a norm with the blanks around it; the longest bar. */
enum { NUMBER = 5, NORM = 14, BAR = 10 };

static void bar(const settings *s, const run *r, int widest, double norm, double lo, double hi)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	static const char *const colours[] = {"\033[31m", "\033[33m", "\033[34m", "\033[32m"};
	bool drawn = norm > 0 && isfinite(norm);
	double part = !drawn ? 0 : hi > lo ? (log(norm) - log(lo)) / (log(hi) - log(lo)) : 1;
	int n = drawn ? (int)lrint(1 + part * (8 * widest - 1)) : 0, blanks = widest - (n + 7) / 8;

	if (s->colour)
		fputs(colours[r->design.residual    ? 3
			      : r->design.batchnorm ? 2
						    : r->design.colour == 5],
			stdout);
	for (int i = 0; i < n / 8; i++)
		fputs("█", stdout);
	fputs(eighths[n % 8], stdout);
	if (s->colour)
		fputs(PLAIN, stdout);
	printf("%*s", blanks > 0 ? blanks : 0, "");
}

/* Prints one of the three lines of a column's heading: "plain", "ReLU", "+ batch norm". */
static void name_part(const char *name, int line, int width)
{
	const char *comma = strchr(name, ','), *from = comma ? comma + 2 : name,
		   *plus = strstr(from, " + "), *to = plus ? plus : name + strlen(name);

	if (line == 0) {
		from = name;
		to = comma ? comma : from;
	} else if (line == 2) {
		from = plus ? plus + 1 : to;
		to = name + strlen(name);
	}
	if (to - from > width)
		to = from + width;
	printf("   %-*.*s", width, (int)(to - from), from);
}

/* Prints the n networks from number first on side by side. */
static void print_columns(const run *r, const settings *s, int first, int n, int widest,
	const double *norm, double lo, double hi)
{
	for (int line = 0; line < 3; line++) {
		printf("%-*s", NUMBER, line ? "" : "layer");
		for (int k = first; k < first + n; k++)
			name_part(r[k].design.name, line, NORM - 3 + widest);
		printf("\n");
	}
	for (int i = 0; i < s->depth; i++) {
		printf("%*d", NUMBER, i + 1);
		for (int k = first; k < first + n; k++) {
			double v = norm[k * s->depth + i];
			printf("   %8.1e  ", v);
			bar(s, &r[k], widest, v, lo, hi);
			printf(" ");
		}
		printf("\n");
	}
}

/* A narrow terminal gets shorter bars, a very narrow one fewer networks side by side. */
static void print_table(const run *r, const settings *s, const double *norm)
{
	int width = s->columns ? s->columns - NUMBER : INT_MAX, across = width / (NORM + 1), widest;
	double lo = INFINITY, hi = 0;
	char heading[300];

	across = across < 1 ? 1 : across < NETWORKS ? across : NETWORKS;
	widest = width / across - NORM;
	widest = widest < 1 ? 1 : widest < BAR ? widest : BAR;
	for (int i = 0; i < NETWORKS * s->depth; i++)
		if (norm[i] > 0 && isfinite(norm[i])) {
			lo = fmin(lo, norm[i]);
			hi = fmax(hi, norm[i]);
		}
	snprintf(heading, sizeof heading,
		"%sGradient norm per layer%s  |dL/dy|, y the layer's output; median over %d steps; "
		"bars on one log scale",
		s->colour ? BOLD : "", s->colour ? PLAIN : "", ebb_probe_samples(r[0].probe));
	printf("\n");
	cli_wrap(0, heading);
	for (int k = 0; k < NETWORKS; k += across) {
		printf("\n");
		print_columns(r, s, k, k + across < NETWORKS ? across : NETWORKS - k, widest, norm,
			lo, hi);
	}
}

static void print_verdict(const run *r, const settings *s)
{
	ebb_text line = {0}, curve = {0};

	printf("\n%s%s%s\n", s->colour ? BOLD : "", r->design.name, s->colour ? PLAIN : "");
	cli_wrap(2, r->verdict.sentence);
	if (r->verdict.decay.used >= 2) {
		ebb_text_printf(&line,
			"gradient per layer x%.3g (fit r2 %.2f), largest over smallest norm %.3g",
			r->verdict.decay.factor, r->verdict.decay.r2, r->verdict.decay.spread);
		cli_wrap(2, line.data ? line.data : "");
		ebb_text_free(&line);
	}
	ebb_text_sparkline(&curve, r->steps, r->loss, 30);
	ebb_text_printf(&line, "loss %.3f -> %.3f  %s%s%s  final batch accuracy %.1f %%  %.0f s",
		loss_at_first(r), loss_at_last(r), s->colour ? DIM : "",
		curve.data ? curve.data : "", s->colour ? PLAIN : "", 100 * accuracy_at_last(r),
		r->seconds);
	cli_wrap(2, line.data ? line.data : "");
	ebb_text_free(&curve);
	ebb_text_free(&line);
}

bool print_results(const run *r, const settings *s)
{
	double *norm = calloc((size_t)(NETWORKS * s->depth), sizeof *norm);
	bool ok = norm != NULL;

	for (int k = 0; ok && k < NETWORKS; k++)
		ok = norms_of(&r[k], s->depth, norm + k * s->depth);
	if (ok) {
		print_table(r, s, norm);
		for (int k = 0; k < NETWORKS; k++)
			print_verdict(&r[k], s);
		printf("\n");
	} else {
		fprintf(stderr, "gradflow: no memory for the table\n");
	}
	free(norm);
	return ok;
}

/* ---- CSV ---- */

static bool write_losses(const run *r, const char *path)
{
	ebb_text text = {0};
	ebb_error e = {0};
	bool ok;

	ebb_text_printf(&text, "network,step,loss,batch_accuracy\r\n");
	for (int k = 0; k < NETWORKS; k++)
		for (int64_t i = 0; i < r[k].steps; i++)
			ebb_text_printf(&text, "\"%s\",%lld,%.9g,%.9g\r\n", r[k].design.name,
				(long long)i, r[k].loss[i], r[k].accuracy[i]);
	ok = ebb_text_save(&text, path, &e);
	if (!ok)
		fprintf(stderr, "%s\n", e.message);
	ebb_text_free(&text);
	return ok;
}

static bool write_gradients(const run *r, const char *path)
{
	ebb_text text = {0};
	ebb_error e = {0};
	bool ok = true;

	for (int k = 0; ok && k < NETWORKS; k++)
		ok = ebb_probe_csv(r[k].probe, &text, .network = r[k].design.name,
			.no_header = k > 0, .error = &e);
	ok = ok && ebb_text_save(&text, path, &e);
	if (!ok)
		fprintf(stderr, "%s\n", e.message);
	ebb_text_free(&text);
	return ok;
}

/* Formats x as "0.22" or "7.9×10¹⁴". */
static void number(char *buffer, size_t size, double x)
{
	static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
	char plain[32], *e;

	snprintf(plain, sizeof plain, "%.1e", x);
	e = strchr(plain, 'e');
	if (!e || (fabs(x) >= 1e-2 && fabs(x) < 1e4)) {
		snprintf(buffer, size, "%.3g", x);
		return;
	}
	*e = '\0';
	snprintf(buffer, size, "%s×10%s", plain, e[1] == '-' ? "⁻" : "");
	for (e += 2 + strspn(e + 2, "0"); *e; e++)
		snprintf(buffer + strlen(buffer), size - strlen(buffer), "%s", raised[*e - '0']);
}

/* ---- The figure ---- */

/* The figure's panels, and the memory that their curves point to. */
typedef struct curves {
	double *norm, *depth, *step, *smooth;
	char labels[NETWORKS][100];
	ebb_series gradient[NETWORKS], loss[2 * NETWORKS];
	ebb_panel panels[2];
	char title[160], subtitle[200];
} curves;

/* The running mean of the loss, without the noise of single batches. */
static void smooth(const run *r, double *out)
{
	int64_t half = r->steps / 30;

	for (int64_t i = 0; i < r->steps; i++) {
		int64_t from = i < half ? 0 : i - half,
			to = i + half >= r->steps ? r->steps - 1 : i + half;
		double sum = 0;
		for (int64_t k = from; k <= to; k++)
			sum += r->loss[k];
		out[i] = sum / (double)(to - from + 1);
	}
}

/* The network's name, and on a second line the factor per layer if there is one. */
static void label(char *buffer, size_t size, const run *r)
{
	double factor = r->verdict.decay.factor;
	char digits[64];

	number(digits, sizeof digits, factor);
	if (factor >= 0.01 && factor < 100)
		snprintf(digits, sizeof digits, "%.2f", factor);
	if (isnan(factor))
		snprintf(buffer, size, "%s", r->design.name);
	else
		snprintf(buffer, size, "%s\n×%s per layer", r->design.name, digits);
}

static bool curves_new(curves *c, const run *r, const settings *s, const ebb_dataset *data)
{
	bool ok;

	*c = (curves){0};
	c->norm = calloc((size_t)(NETWORKS * s->depth), sizeof *c->norm);
	c->depth = calloc((size_t)s->depth, sizeof *c->depth);
	c->step = calloc((size_t)s->steps, sizeof *c->step);
	c->smooth = calloc((size_t)(NETWORKS * s->steps), sizeof *c->smooth);
	ok = c->norm && c->depth && c->step && c->smooth;
	for (int64_t i = 0; ok && i < s->steps; i++)
		c->step[i] = (double)(i + 1);
	for (int i = 0; ok && i < s->depth; i++)
		c->depth[i] = i + 1;
	for (int k = 0; ok && k < NETWORKS; k++) {
		double *norm = c->norm + k * s->depth, *mean = c->smooth + k * s->steps;
		int colour = r[k].design.colour;
		ok = norms_of(&r[k], s->depth, norm);
		smooth(&r[k], mean);
		label(c->labels[k], sizeof c->labels[k], &r[k]);
		c->gradient[k] = (ebb_series){.label = c->labels[k],
			.n = s->depth,
			.x = c->depth,
			.y = norm,
			.colour = colour,
			.points = s->depth <= 60};
		c->loss[k] = (ebb_series){.n = r[k].steps,
			.x = c->step,
			.y = r[k].loss,
			.colour = colour,
			.faint = true};
		c->loss[NETWORKS + k] = (ebb_series){.label = r[k].design.name,
			.n = r[k].steps,
			.x = c->step,
			.y = mean,
			.colour = colour};
	}
	c->panels[0] = (ebb_panel){.title = "Gradient against depth",
		.x_label = "layer  (direction of the gradient →)",
		.x_range = {s->depth, 1},
		.y_label = "gradient norm ‖∂L/∂y‖, median over training",
		.y_log = true,
		.n = NETWORKS,
		.series = c->gradient};
	c->panels[1] = (ebb_panel){.title = "Loss against step",
		.x_label = "training step",
		.y_label = "cross-entropy",
		.n = 2 * NETWORKS,
		.series = c->loss};
	snprintf(c->title, sizeof c->title, "Where the gradient goes in %d convolutional layers",
		s->depth);
	snprintf(c->subtitle, sizeof c->subtitle,
		"%s %lld×%lld, batch %d, SGD with momentum 0.9 at rate %g; the same images in the "
		"same order",
		s->data ? "Images" : "Drawn digits", (long long)ebb_size(data->images, 2),
		(long long)ebb_size(data->images, 3), s->batch, s->lr);
	return ok;
}

static void curves_free(curves *c)
{
	free(c->norm);
	free(c->depth);
	free(c->step);
	free(c->smooth);
}

/* ---- The page ---- */

/* The gradient at the first layer relative to the last, by the fit; 0 if at most one layer has a
 * gradient. */
static double arrives(const run *r)
{
	const ebb_decay *d = &r->verdict.decay;

	return d->used < 2 && d->zeros > 0 ? 0 : d->end_to_end;
}

/* The largest norm over the smallest; infinite if a layer's norm is zero or not finite. */
static double unsteadiness(const run *r)
{
	const ebb_decay *d = &r->verdict.decay;
	bool all = d->used == d->layers && r->verdict.kind != EBB_VERDICT_NOT_FINITE;

	return all ? d->spread : INFINITY;
}

/* x < y, where NaN counts as larger than any number. */
static bool is_less(double x, double y)
{
	return x < y || (isnan(y) && !isnan(x));
}

/* Writes the page's three paragraphs from the results. */
static void tell(const run *r, const settings *s, char story[3][700])
{
	const run *least = &r[0], *most = &r[0], *best = &r[0];
	char fall[64], per_layer[64], spread[64], steadiest[300] = "";

	for (int k = 1; k < NETWORKS; k++) {
		if (is_less(arrives(&r[k]), arrives(least)))
			least = &r[k];
		if (is_less(unsteadiness(&r[k]), unsteadiness(most)))
			most = &r[k];
		if (is_less(loss_at_last(&r[k]), loss_at_last(best)))
			best = &r[k];
	}
	snprintf(story[0], 700,
		"Four networks of %d convolutional layers learn the same images in the same order, "
		"with the same optimizer. They differ only in the operations between two "
		"convolutions. A probe on every layer measures the gradient of the loss with "
		"respect to the layer's output: how strongly the loss changes with that output, "
		"and so how strong a signal the layer can learn from.",
		s->depth);
	number(fall, sizeof fall, 1 / arrives(least));
	number(per_layer, sizeof per_layer, least->verdict.decay.factor);
	if (arrives(least) == 0 && least->verdict.decay.used < 2)
		snprintf(story[1], 700,
			"The gradient enters at the last layer and flows back to the first. It "
			"vanishes most in “%s”: in %d of %d layers it is exactly zero. Its loss "
			"goes from %.2f to %.2f.",
			least->design.name, least->verdict.decay.zeros, least->verdict.decay.layers,
			loss_at_first(least), loss_at_last(least));
	else if (arrives(least) < 1)
		snprintf(story[1], 700,
			"The gradient enters at the last layer and flows back to the first. It "
			"vanishes most in “%s”: each layer multiplies it by %s, so that "
			"the first layer has a gradient %s times smaller than the last (by the "
			"fitted line). Its loss goes from %.2f to %.2f.",
			least->design.name, per_layer, fall, loss_at_first(least),
			loss_at_last(least));
	else
		snprintf(story[1], 700,
			"The gradient enters at the last layer and flows back to the first. By the "
			"fitted lines it vanishes in none of the networks.");
	number(spread, sizeof spread, most->verdict.decay.spread);
	if (isfinite(unsteadiness(most)))
		snprintf(steadiest, sizeof steadiest,
			"It varies least in “%s”: over all layers the largest norm is %s times the "
			"smallest, and the loss goes from %.2f to %.2f. ",
			most->design.name, spread, loss_at_first(most), loss_at_last(most));
	snprintf(story[2], 700,
		"%sThe lowest final loss is that of “%s”: %.2f, with %.0f %% of the images of "
		"a batch classified correctly.",
		steadiest, best->design.name, loss_at_last(best), 100 * accuracy_at_last(best));
}

static bool write_page(const run *r, const settings *s, const ebb_dataset *data,
	const ebb_figure *figure, const char *path)
{
	enum { OPTIONS = 12 };
	char story[3][700], value[OPTIONS][200];
	const char *paragraphs[3] = {story[0], story[1], story[2]};
	static const char *const names[OPTIONS] = {"depth", "width", "activation",
		"initial weights", "batch", "steps", "learning rate", "sampled", "images", "data",
		"seed", "optimizer"};
	ebb_report_network networks[NETWORKS];
	ebb_report_option options[OPTIONS];
	ebb_text page = {0};
	ebb_error e = {0};

	tell(r, s, story);
	for (int k = 0; k < NETWORKS; k++)
		networks[k] = (ebb_report_network){.name = r[k].design.name,
			.about = r[k].design.about,
			.probe = r[k].probe,
			.losses = r[k].steps,
			.loss = r[k].loss};
	snprintf(value[0], 200, "%d convolutional layers", s->depth);
	snprintf(value[1], 200, "%d channels", s->width);
	snprintf(value[2], 200, "sigmoid in the first network, %s in the others", s->activation);
	snprintf(value[3], 200, "%s", s->init);
	snprintf(value[4], 200, "%d images", s->batch);
	snprintf(value[5], 200, "%lld", (long long)s->steps);
	snprintf(value[6], 200, "%g", s->lr);
	snprintf(value[7], 200, "every %lld steps", (long long)s->every);
	snprintf(value[8], 200, "%lld of %lld×%lld pixels", (long long)data->count,
		(long long)ebb_size(data->images, 2), (long long)ebb_size(data->images, 3));
	snprintf(value[9], 200, "%s", s->data ? s->data : "digits drawn from strokes");
	snprintf(value[10], 200, "%llu", (unsigned long long)s->seed);
	snprintf(value[11], 200, "SGD with momentum 0.9, no weight decay");
	for (int i = 0; i < OPTIONS; i++)
		options[i] = (ebb_report_option){names[i], value[i]};
	const ebb_report_figure figures[] = {{figure,
		"Left: the norm of the loss's gradient with respect to each layer's output, on a "
		"logarithmic "
		"axis. Right: the loss of each step's batch (pale) and its running mean."}};
	const ebb_report report = {.title = "Where the gradient goes",
		.subtitle = "Four deep networks, one optimizer, the same images: vanishing and "
			    "surviving gradients",
		.paragraphs = 3,
		.story = paragraphs,
		.networks = NETWORKS,
		.network = networks,
		.figures = 1,
		.figure = figures,
		.options = OPTIONS,
		.option = options,
		.footer = ebb_can_plot() ? "Made by gradflow, a demo of Ebb. The same figure is in "
	                                   "gradflow.png, "
	                                   "gradflow.svg and gradflow.pdf, the numbers in "
	                                   "gradients.csv and loss.csv."
	                                 : "Made by gradflow, a demo of Ebb. The numbers are in "
	                                   "gradients.csv and "
	                                   "loss.csv."};
	bool ok = ebb_report_html(&report, &page, &e) && ebb_text_save(&page, path, &e);
	if (!ok)
		fprintf(stderr, "%s\n", e.message);
	ebb_text_free(&page);
	return ok;
}

static bool write_figure(const ebb_figure *figure, const char *out)
{
	static const char *const endings[] = {"png", "svg", "pdf"};
	char path[PATH_MAX];
	ebb_error e = {0};

	if (!ebb_can_plot()) {
		ebb_figure_save(figure, "gradflow.png", &e);
		printf("%s\n", e.message);
		return true;
	}
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/gradflow.%s", out, endings[i]);
		if (!ebb_figure_save(figure, path, &e)) {
			fprintf(stderr, "%s\n", e.message);
			return false;
		}
	}
	return true;
}

bool write_report(const run *r, const settings *s, const ebb_dataset *data)
{
	char losses[PATH_MAX], gradients[PATH_MAX], page[PATH_MAX];
	curves c;

	snprintf(losses, sizeof losses, "%s/loss.csv", s->out);
	snprintf(gradients, sizeof gradients, "%s/gradients.csv", s->out);
	snprintf(page, sizeof page, "%s/index.html", s->out);
	bool ok = curves_new(&c, r, s, data);
	if (!ok)
		fprintf(stderr, "gradflow: no memory for the figure\n");
	const ebb_figure figure = {.title = c.title,
		.subtitle = c.subtitle,
		.width = 1480,
		.height = 700,
		.n = 2,
		.panels = c.panels};
	ok = ok && write_losses(r, losses) && write_gradients(r, gradients) &&
	     write_figure(&figure, s->out) && write_page(r, s, data, &figure, page);
	curves_free(&c);
	if (ok) {
		char where[PATH_MAX + 100];

		snprintf(where, sizeof where, "report: %s/index.html  (%sgradients.csv, loss.csv)",
			s->out, ebb_can_plot() ? "figure gradflow.png, .svg, .pdf; " : "");
		cli_wrap(0, where);
	}
	return ok;
}
