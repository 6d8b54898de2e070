/* curves.c - the figure: gradient, loss and factors of the four networks. */
#include "gradflow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Formats x as "0.22" or "7.9×10¹⁴". */
void number_text(char *buffer, size_t size, double x)
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

/* The network's name, and on a second line a factor, if it is known. */
static void label(char *buffer, size_t size, const run *r, double factor, const char *what)
{
	char digits[64];

	number_text(digits, sizeof digits, factor);
	if (factor >= 0.01 && factor < 100)
		snprintf(digits, sizeof digits, "%.2f", factor);
	if (isnan(factor))
		snprintf(buffer, size, "%s", r->design.name);
	else
		snprintf(buffer, size, "%s\n×%s %s", r->design.name, digits, what);
}

static ebb_series over_layers(const curves *c, const run *r, int depth, const char *name, double *y)
{
	return (ebb_series){.label = name,
		.n = depth,
		.x = c->depth,
		.y = y,
		.colour = r->design.colour,
		.points = depth <= 60};
}

/* The four networks' values of one panel follow each other in memory. */
static void fill(curves *c, const run *r, const settings *s, int k)
{
	enum { GRADIENT, SLOPE, WEIGHT };
	size_t depth = (size_t)s->depth, steps = (size_t)s->steps;
	double *y[3], *mean = c->values + NETWORKS * 3 * depth + (size_t)k * steps;

	for (int i = 0; i < 3; i++)
		y[i] = c->values + (size_t)(i * NETWORKS + k) * depth;
	for (int i = 0; i < s->depth; i++) {
		const measured *m = &r->layer[i];

		y[GRADIENT][i] = m->gradient;
		y[SLOPE][i] = m->slope;
		y[WEIGHT][i] = m->weight * m->norm;
	}
	label(c->labels[GRADIENT][k], sizeof c->labels[0][0], r, r->decay.factor, "per layer");
	label(c->labels[SLOPE][k], sizeof c->labels[0][0], r, r->median.slope, "per layer");
	label(c->labels[WEIGHT][k], sizeof c->labels[0][0], r, r->median.weight * r->median.norm,
		r->design.residual ? "per layer of a branch" : "per layer");
	c->gradient[k] = over_layers(c, r, s->depth, c->labels[GRADIENT][k], y[GRADIENT]);
	/* The curves of the residual network, which alternate, are drawn below the others. */
	int place = (k + 1) % NETWORKS;
	c->slope[place] = over_layers(c, r, s->depth, c->labels[SLOPE][k], y[SLOPE]);
	c->weight[place] = over_layers(c, r, s->depth, c->labels[WEIGHT][k], y[WEIGHT]);
	smooth(r, mean);
	c->loss[k] = (ebb_series){.n = r->steps,
		.x = c->step,
		.y = r->loss,
		.colour = r->design.colour,
		.faint = true};
	c->loss[NETWORKS + k] = (ebb_series){.label = r->design.name,
		.n = r->steps,
		.x = c->step,
		.y = mean,
		.colour = r->design.colour};
}

static ebb_panel over_depth(
	const settings *s, const char *title, const char *y_label, const ebb_series *series)
{
	return (ebb_panel){.title = title,
		.x_label = "layer  (direction of the gradient →)",
		.x_range = {s->depth, 1},
		.y_label = y_label,
		.y_log = true,
		.n = NETWORKS,
		.series = series};
}

/* Gives both panels of factors the same range, so that they can be compared. */
static void share_range(curves *c)
{
	double lo = INFINITY, hi = 0;

	for (int k = 0; k < NETWORKS; k++)
		for (int64_t i = 0; i < c->slope[k].n; i++) {
			const double y[] = {c->slope[k].y[i], c->weight[k].y[i]};
			for (int j = 0; j < 2; j++)
				if (y[j] > 0 && isfinite(y[j])) {
					lo = fmin(lo, y[j]);
					hi = fmax(hi, y[j]);
				}
		}
	for (int i = 2; i < 4 && lo < hi; i++) {
		c->panels[i].y_range[0] = fmin(lo / 1.2, 0.1);
		c->panels[i].y_range[1] = fmax(hi * 1.2, 3);
	}
}

bool curves_new(curves *c, const run *r, const settings *s, const ebb_dataset *data)
{
	size_t depth = (size_t)s->depth, steps = (size_t)s->steps;

	*c = (curves){0};
	c->depth = calloc(depth, sizeof *c->depth);
	c->step = calloc(steps, sizeof *c->step);
	c->values = calloc(NETWORKS * (3 * depth + steps), sizeof *c->values);
	if (!c->depth || !c->step || !c->values)
		return false;
	for (int64_t i = 0; i < s->steps; i++)
		c->step[i] = (double)(i + 1);
	for (int i = 0; i < s->depth; i++)
		c->depth[i] = i + 1;
	for (int k = 0; k < NETWORKS; k++)
		fill(c, &r[k], s, k);
	c->panels[0] = over_depth(s, "Gradient against depth",
		"gradient norm ‖∂L/∂y‖, median over training", c->gradient);
	c->panels[1] = (ebb_panel){.title = "Loss against step",
		.x_label = "training step",
		.y_label = "cross-entropy",
		.n = 2 * NETWORKS,
		.series = c->loss};
	c->panels[2] = over_depth(s, "Factor of the nonlinearity, φ′",
		"‖∂L/∂x‖ / ‖∂L/∂y‖ of the activation; the slope of a sigmoid is at most 1/4",
		c->slope);
	c->panels[3] = over_depth(s, "Factor of weights and normalisation, W × norm",
		"‖∂L/∂x‖ / ‖∂L/∂y‖ of convolution and batch norm", c->weight);
	share_range(c);
	snprintf(c->title, sizeof c->title, "Where the gradient goes in %d convolutional layers",
		s->depth);
	snprintf(c->subtitle, sizeof c->subtitle,
		"%s %lld×%lld, batch %d, SGD with momentum 0.9 at rate %g; the same images in the "
		"same order",
		s->data ? "Images" : "Drawn digits", (long long)ebb_size(data->images, 2),
		(long long)ebb_size(data->images, 3), s->batch, s->lr);
	c->figure = (ebb_figure){.title = c->title,
		.subtitle = c->subtitle,
		.width = 1480,
		.height = 1180,
		.columns = 2,
		.n = 4,
		.panels = c->panels};
	return true;
}

void curves_free(curves *c)
{
	free(c->depth);
	free(c->step);
	free(c->values);
}
