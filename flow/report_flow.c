/* report_flow.c - the card and the table of a network that an instrument measured. */
#include "tensor/host.h"
#include "flow/instrument/internal.h"
#include "flow/report.h"

#include <math.h>
#include <string.h>

const char ebb_report_flow_note[] =
	"Medians over the measured steps. The gradient is that of the loss with respect to the "
	"layer's result; the bar behind its norm is on a logarithmic scale. A factor is what an op "
	"multiplies the gradient's norm by on its path back through the layer: W is that of the "
	"weights, norm that of the normalisation, φ′ that of the nonlinearity's slope. The gain is "
	"the root mean square of the layer's result, divided by that of its input. Flat are slopes "
	"near 0, or results of 0 where the slope is not known. Update/weight is the norm of an "
	"optimizer step's change of the parameters, "
	"divided by their norm; the cosine is that of the change with the negative gradient.";

static bool no_memory(const ebb_report_network *n, ebb_error *e)
{
	ebb_error_set(e, EBB_NO_MEMORY, NULL, "report: no memory for %s", n->name);
	return false;
}

/* The end of the steps that are summarised: values that are not finite, and those of the steps
 * after them, are left out unless there are no others. */
static int64_t end_of(const ebb_report_network *n)
{
	int64_t to = n->to;
	ebb_finding x;

	for (int i = 0; ebb_flow_finding(n->flow, i, &x); i++)
		if (x.kind == EBB_VERDICT_NOT_FINITE && (to <= 0 || x.step < to))
			to = x.step > n->from ? x.step : to;
	return to;
}

/* ---- The card ---- */

enum { FACTORS = 3 };

/* The medians of the factors over the layers that have them; NaN: no layer has.  False without
 * memory. */
static bool median_factors(const ebb_flow *f, int64_t from, int64_t to, double *median)
{
	static const ebb_flow_kind kinds[FACTORS] = {
		EBB_FLOW_WEIGHT, EBB_FLOW_NORM, EBB_FLOW_SLOPE};
	int layers = ebb_flow_layers(f), n[FACTORS] = {0};
	size_t bytes = (size_t)layers * FACTORS * sizeof(double);
	double *v = ebb_alloc(bytes);
	bool ok = v != NULL;

	for (int i = 0; ok && i < layers; i++) {
		ebb_flow_layer_summary s;
		if (!ebb_flow_ran(f, i, -1, from, to))
			continue;
		ok = ebb_flow_layer_summary_of(f, i, from, to, &s);
		const double factor[FACTORS] = {s.weight, s.norm, s.slope};
		for (int k = 0; ok && k < FACTORS; k++)
			if (ebb_flow_has(f, i, kinds[k]))
				v[k * layers + n[k]++] = factor[k];
	}
	for (int k = 0; ok && k < FACTORS; k++)
		median[k] = ebb_median(v + (size_t)k * (size_t)layers, n[k]);
	ebb_free(v, bytes);
	return ok;
}

static bool has_branches(const ebb_flow *f)
{
	ebb_flow_op op;

	for (int i = 0; ebb_flow_op_at(f, i, &op); i++)
		if (op.kind == EBB_FLOW_SUM)
			return true;
	return false;
}

/* The product of the median factors, and the factors below it: W 0.96 × φ′ 0.24. */
static bool chain(ebb_text *t, const ebb_report_network *n, ebb_error *e)
{
	static const char *const names[FACTORS] = {"W", "norm", "φ′"};
	double median[FACTORS], product = 1;
	int terms = 0;

	if (!median_factors(n->flow, n->from, end_of(n), median))
		return no_memory(n, e);
	for (int k = 0; k < FACTORS; k++)
		product *= isnan(median[k]) ? 1 : median[k];
	for (int k = 0; k < FACTORS; k++) {
		if (isnan(median[k]))
			continue;
		if (terms == 0) {
			ebb_text_add(t, "<div class=\"factor\">×");
			ebb_html_number(t, product);
			ebb_html_element(t, " <small>",
				has_branches(n->flow) ? "per layer of a branch" : "per layer",
				"</small></div>\n");
		}
		ebb_html_element(t, terms++ ? " × <small>" : "<p class=\"chain\"><small>", names[k],
			"</small> ");
		ebb_html_number(t, median[k]);
	}
	if (terms)
		ebb_text_add(t, "</p>\n");
	return true;
}

/* Where and when a finding begins. */
static void origin(ebb_text *t, const ebb_finding *x)
{
	ebb_text_add(t, "<p class=\"where\">");
	ebb_html_element(t, "<b>", *x->layer ? x->layer : NULL, "</b> ");
	ebb_html_element(t, "", *x->op ? x->op : NULL, " ");
	ebb_html_element(t, "", *x->site ? ebb_without_folders(x->site) : NULL, " ");
	ebb_text_printf(t, "step %lld</p>\n", (long long)x->step);
}

bool ebb_report_flow_card(ebb_text *t, const ebb_report_network *n, ebb_error *e)
{
	int findings = ebb_flow_findings(n->flow);
	ebb_finding x = ebb_flow_verdict(n->flow);

	if (ebb_flow_samples(n->flow) == 0 || ebb_flow_layers(n->flow) == 0) {
		ebb_text_add(t, "<p>Nothing was measured.</p>\n");
		return true;
	}
	ebb_html_kind(t, "div", x.kind);
	if (!chain(t, n, e))
		return false;
	if (findings)
		origin(t, &x);
	ebb_html_element(t, "<p>", x.sentence, "</p>\n");
	ebb_html_element(t, "<p>", *x.advice ? x.advice : NULL, "</p>\n");
	return true;
}

/* ---- The table ---- */

static void findings(ebb_text *t, ebb_flow *f)
{
	enum { MOST = 12 };
	int all = ebb_flow_findings(f);
	ebb_finding x;

	for (int i = 0; i < all && i < MOST && ebb_flow_finding(f, i, &x); i++) {
		ebb_html_element(t, i ? "<li>" : "<ul class=\"findings\">\n<li>", x.sentence, " ");
		ebb_html_element(t, "<small>", x.advice, "</small></li>\n");
	}
	if (all > MOST)
		ebb_text_printf(t, "<li>and %d more</li>\n", all - MOST);
	if (all)
		ebb_text_add(t, "</ul>\n");
}

/* A layer of the table. */
struct line {
	const struct flow_shown *shown;
	ebb_flow_layer_summary s;
	double gain;
};

/* rms of the layer's result over rms of the input of its first op, NaN if unknown.  False without
 * memory. */
static bool gain_of(const ebb_flow *f, int layer, int64_t from, int64_t to, struct line *line)
{
	ebb_flow_measures m;
	ebb_flow_op op;

	line->gain = NAN;
	for (int i = 0; ebb_flow_op_at(f, i, &op); i++) {
		if (op.layer != layer || !ebb_flow_ran(f, -1, i, from, to))
			continue;
		if (!ebb_flow_summary(f, i, from, to, &m))
			return false;
		line->gain = line->s.activation * m.forward / m.rms;
		return true;
	}
	return true;
}

/* Fills the line of the layer with the path of shown. */
static bool fill(
	const ebb_flow *f, const struct flow_shown *shown, int64_t from, int64_t to, struct line *l)
{
	int layer = 0;

	while (ebb_flow_layer(f, layer) != shown->line.head)
		layer++;
	l->shown = shown;
	return ebb_flow_layer_summary_of(f, layer, from, to, &l->s) &&
	       gain_of(f, layer, from, to, l);
}

/* A cell is blank if the layer has no such op. */
static void text_cell(ebb_text *t, const char *content)
{
	ebb_html_element(t, "<td>", content, "</td>");
}

static void number_cell(ebb_text *t, double x, bool applies)
{
	if (applies)
		ebb_html_cell(t, x);
	else
		text_cell(t, "");
}

static void where(ebb_text *t, const struct flow_shown *shown)
{
	ebb_text_add(t, "<td class=\"where\">");
	ebb_html_element(t, "<b>", *shown->note ? shown->note : NULL, "</b> ");
	ebb_html_element(t, "", shown->op, " ");
	ebb_html_element(t, "", shown->site, "</td>");
}

static void row(ebb_text *t, const struct line *l, bool culprit, double lo, double hi)
{
	const struct flow_shown *shown = l->shown;
	bool params = *shown->cell[FLOW_UPDATE];

	ebb_html_element(t,
		culprit        ? "<tr class=\"culprit\"><td>"
		: *shown->note ? "<tr class=\"found\"><td>"
			       : "<tr><td>",
		l->s.path, "</td>");
	text_cell(t, shown->cell[FLOW_RMS]);
	text_cell(t, shown->cell[FLOW_FLAT]);
	ebb_html_bar_cell(t, l->s.gradient, lo, hi);
	text_cell(t, shown->cell[FLOW_W]);
	text_cell(t, shown->cell[FLOW_NORM_FACTOR]);
	text_cell(t, shown->cell[FLOW_PHI]);
	ebb_html_cell(t, l->gain);
	number_cell(t, l->s.weight_l2, params);
	number_cell(t, l->s.weight_grad_l2, params);
	text_cell(t, shown->cell[FLOW_UPDATE]);
	number_cell(t, l->s.cosine, params);
	where(t, shown);
	ebb_text_add(t, "</tr>\n");
}

static bool rows(ebb_text *t, const ebb_report_network *n, int lines,
	const struct flow_shown *shown, int64_t to)
{
	ebb_finding x = ebb_flow_verdict(n->flow);
	double lo = INFINITY, hi = 0;

	for (int i = 0; i < lines; i++)
		if (shown[i].gradient > 0 && isfinite(shown[i].gradient)) {
			lo = fmin(lo, shown[i].gradient);
			hi = fmax(hi, shown[i].gradient);
		}
	for (int i = 0; i < lines; i++) {
		struct line line;
		if (!fill(n->flow, &shown[i], n->from, to, &line))
			return false;
		row(t, &line, *shown[i].note && strcmp(x.layer, line.s.path) == 0, lo, hi);
	}
	return true;
}

static void notes(ebb_text *t, const ebb_report_network *n, int64_t to)
{
	if (to != n->to)
		ebb_text_printf(t,
			"<p>The steps from %lld on have NaN or infinite values, and are left "
			"out.</p>",
			(long long)to);
	if (n->flow->flushed)
		ebb_text_add(t, "<p>" EBB_FLUSHED_NOTE "</p>");
	if (ebb_flow_failed(n->flow))
		ebb_text_add(
			t, "<p>The instrument ran out of memory: later steps are missing.</p>");
}

bool ebb_report_flow_table(ebb_text *t, const ebb_report_network *n, ebb_error *e)
{
	int lines = 0;
	size_t bytes = 0;
	ebb_finding x = ebb_flow_verdict(n->flow);
	int64_t to = end_of(n);
	struct flow_shown *shown = ebb_flow_lines(n->flow, false, n->from, to, 0, &lines, &bytes);

	if (!shown && bytes)
		return no_memory(n, e);
	ebb_html_element(t, "<details><summary>", n->name, " ");
	if (lines)
		ebb_html_kind(t, "span", x.kind);
	ebb_text_add(t, "</summary>");
	findings(t, n->flow);
	ebb_text_add(t,
		"<div class=\"scroll\"><table class=\"factors\"><thead>\n"
		"<tr><th></th><th colspan=\"2\" class=\"group\">activation</th>"
		"<th class=\"group\">gradient</th><th colspan=\"3\" class=\"group\">factors</th>"
		"<th></th><th colspan=\"4\" class=\"group\">parameters</th><th></th></tr>\n"
		"<tr><th>layer</th><th>rms</th><th>flat, %</th><th>L2 norm</th>"
		"<th>W</th><th>norm</th><th>φ′</th><th>gain</th><th>L2 norm</th><th>gradient</th>"
		"<th>update/weight</th><th>cosine</th><th class=\"where\">where</th></tr></thead>"
		"<tbody>\n");
	bool ok = rows(t, n, lines, shown, to);
	ebb_text_add(t, "</tbody></table></div>");
	notes(t, n, to);
	ebb_text_add(t, "</details>\n");
	ebb_free(shown, bytes);
	return ok || no_memory(n, e);
}
