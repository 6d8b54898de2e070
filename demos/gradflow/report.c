/* report.c - writes the figure, CSV files and a page. */
#include "gradflow.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../cli.h"

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

static bool write_gradients(const run *r, const settings *s, const char *path)
{
	ebb_text text = {0};
	ebb_error e = {0};
	bool ok = true;

	for (int k = 0; ok && k < NETWORKS; k++)
		ok = ebb_flow_export(.flow = r[k].flow, .text = &text, .network = r[k].design.name,
			.no_header = k > 0, .full = s->full, .error = &e);
	ok = ok && ebb_text_save(&text, path, &e);
	if (!ok)
		fprintf(stderr, "%s\n", e.message);
	ebb_text_free(&text);
	return ok;
}

/* ---- The page ---- */

/* The gradient at the first layer relative to the last, by the fit; 0 if at most one layer has a
 * gradient. */
static double arrives(const run *r)
{
	const ebb_decay *d = &r->decay;

	return d->used < 2 && d->zeros > 0 ? 0 : d->end_to_end;
}

/* The largest norm over the smallest; infinite if a layer's norm is zero or not finite. */
static double unsteadiness(const run *r)
{
	const ebb_decay *d = &r->decay;
	bool all = d->used == d->layers && r->verdict.kind != EBB_VERDICT_NOT_FINITE;

	return all ? d->spread : INFINITY;
}

/* x < y, where NaN counts as larger than any number. */
static bool is_less(double x, double y)
{
	return x < y || (isnan(y) && !isnan(x));
}

/* "φ′ is 0.237, and W is 0.958", the smallest first. */
static void factors(char *buffer, size_t size, const run *r)
{
	struct factor {
		const char *name;
		double value;
	} f[3] = {{"φ′", r->median.slope}, {"W", r->median.weight},
		{"the factor of batch norm", r->median.norm}};
	int n = r->design.batchnorm ? 3 : 2;

	*buffer = '\0';
	for (int i = 0; i < n; i++) {
		int least = i;

		for (int k = i + 1; k < n; k++)
			if (is_less(f[k].value, f[least].value))
				least = k;
		struct factor x = f[least];
		f[least] = f[i];
		snprintf(buffer + strlen(buffer), size - strlen(buffer), "%s%s is %.3g",
			i == 0       ? ""
			: i == n - 1 ? " and "
				     : ", ",
			x.name, x.value);
	}
}

/* "In “plain, ReLU” the instrument finds: dead units, from step 273 on, in layer22.conv. " for each
 * network with a finding but one. */
static void others(char *buffer, size_t size, const run *r, const run *but)
{
	*buffer = '\0';
	for (int k = 0; k < NETWORKS; k++) {
		const ebb_finding *x = &r[k].verdict;

		if (&r[k] == but || r[k].findings == 0)
			continue;
		snprintf(buffer + strlen(buffer), size - strlen(buffer),
			"In “%s” the instrument finds: %s, from step %lld on%s%s. ",
			r[k].design.name, ebb_verdict_name(x->kind), (long long)x->step,
			*x->layer ? ", in " : "", x->layer);
	}
}

/* Writes the page's three paragraphs from the results. */
static void tell(const run *r, const settings *s, char story[3][900])
{
	const run *least = &r[0], *most = &r[0], *best = &r[0];
	char fall[64], per_layer[64], spread[64], why[200], steadiest[300] = "", found[500];

	for (int k = 1; k < NETWORKS; k++) {
		if (is_less(arrives(&r[k]), arrives(least)))
			least = &r[k];
		if (is_less(unsteadiness(&r[k]), unsteadiness(most)))
			most = &r[k];
		if (is_less(loss_at_last(&r[k]), loss_at_last(best)))
			best = &r[k];
	}
	snprintf(story[0], 900,
		"Four networks of %d convolutional layers learn the same images in the same order, "
		"with the same optimizer. They differ only in the operations between two "
		"convolutions. An instrument measures at every layer the gradient of the loss with "
		"respect to the layer's output, from which the layer learns, and the factors of "
		"the chain rule by which the layer multiplies it on its path back: W of the "
		"weights, one of the normalisation, and φ′ of the nonlinearity.",
		s->depth);
	number_text(fall, sizeof fall, 1 / arrives(least));
	number_text(per_layer, sizeof per_layer, least->decay.factor);
	factors(why, sizeof why, least);
	if (arrives(least) == 0 && least->decay.used < 2)
		snprintf(story[1], 900,
			"The gradient enters at the last layer and flows back to the first. It "
			"vanishes most in “%s”: in %d of %d layers it is exactly zero. Its loss "
			"goes from %.2f to %.2f.",
			least->design.name, least->decay.zeros, least->decay.layers,
			loss_at_first(least), loss_at_last(least));
	else if (arrives(least) < 1)
		snprintf(story[1], 900,
			"The gradient enters at the last layer and flows back to the first. It "
			"vanishes most in “%s”: each layer multiplies it by %s, so that "
			"the first layer has a gradient %s times smaller than the last (by the "
			"fitted line). The factors tell why: in the median layer %s. Its loss goes "
			"from %.2f to %.2f.",
			least->design.name, per_layer, fall, why, loss_at_first(least),
			loss_at_last(least));
	else
		snprintf(story[1], 900,
			"The gradient enters at the last layer and flows back to the first. By the "
			"fitted lines it vanishes in none of the networks.");
	number_text(spread, sizeof spread, most->decay.spread);
	if (isfinite(unsteadiness(most)))
		snprintf(steadiest, sizeof steadiest,
			"It varies least in “%s”: over all layers the largest norm is %s times the "
			"smallest, and the loss goes from %.2f to %.2f. ",
			most->design.name, spread, loss_at_first(most), loss_at_last(most));
	others(found, sizeof found, r, least);
	snprintf(story[2], 900,
		"%s%sThe lowest final loss is that of “%s”: %.2f, with %.0f %% of the images of "
		"a batch classified correctly.",
		steadiest, found, best->design.name, loss_at_last(best),
		100 * accuracy_at_last(best));
}

static bool write_page(const run *r, const settings *s, const ebb_dataset *data,
	const ebb_figure *figure, const char *path)
{
	enum { OPTIONS = 12 };
	char story[3][900], value[OPTIONS][200];
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
			.flow = r[k].flow,
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
		"Above: the norm of the loss's gradient with respect to each layer's output, and "
		"the loss of each step's batch (pale) with its running mean. Below: the factors by "
		"which each layer multiplies the gradient's norm, on one scale: that of the "
		"nonlinearity, and that of the convolution and the normalisation together. In a "
		"network without residual connections their product is the slope of the curve of "
		"the gradient."}};
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
	ok = ok && write_losses(r, losses) && write_gradients(r, s, gradients) &&
	     write_figure(&c.figure, s->out) && write_page(r, s, data, &c.figure, page);
	curves_free(&c);
	if (ok) {
		char where[PATH_MAX + 100];

		snprintf(where, sizeof where, "report: %s/index.html  (%sgradients.csv, loss.csv)",
			s->out, ebb_can_plot() ? "figure gradflow.png, .svg, .pdf; " : "");
		cli_wrap(0, where);
	}
	return ok;
}
