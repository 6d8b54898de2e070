/* report.c - one self-contained HTML page: story, verdicts, figures, tables, options. */
#include "flow/report.h"

#include <math.h>
#include <string.h>

static const char style[] =
	":root{color-scheme:light dark;--paper:#fff;--ink:#1a1f26;--muted:#5a6470;--line:#e1e5e9;"
	"--card:#f7f8fa;--bar:#0072b226;--good:#00805c;--bad:#c24e00;--warn:#8f6400;--tint:#"
	"c24e0022;"
	"--hint:#8f640014}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#14171c;--ink:#e8edf2;--muted:#9ca7b4;"
	"--line:#2a3038;--card:#1b2027;--bar:#56b4e933;--good:#2cc79a;--bad:#ff8c4b;--warn:#f2b134;"
	"--tint:#ff8c4b2b;--hint:#f2b13418}"
	"}\n"
	"*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
	"font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif}\n"
	"main{max-width:1180px;margin:0 auto;padding:48px 24px 64px}"
	"h1{font-size:2.1rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}"
	"h2{font-size:1.3rem;margin:3rem 0 1rem}.sub{color:var(--muted);font-size:1.05rem;margin:0 "
	"0 2rem}"
	".story p{max-width:46rem;margin:0 0 .8rem}\n"
	".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(250px,1fr));gap:16px}"
	".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px "
	"20px}"
	".card h3{margin:0 0 .2rem;font-size:1rem;line-height:1.3;min-height:2.6em}.card "
	"p{margin:.5rem 0 "
	"0;font-size:.9rem;color:var(--muted)}"
	".card .kind{font-weight:700;font-size:.8rem;letter-spacing:.05em;text-transform:uppercase}"
	".good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}"
	".card .where,.card p{overflow-wrap:anywhere}.card .where{font:.82rem "
	"ui-monospace,Menlo,Consolas,monospace;color:var(--ink)}"
	".card .chain{margin:0;color:var(--ink);font-variant-numeric:tabular-nums}"
	".chain small{color:var(--muted);font-size:.85em}"
	"summary .kind{margin-left:.8rem;font-size:.75rem;letter-spacing:.05em;"
	"text-transform:uppercase}.findings{margin:.8rem 18px;padding-left:1.2rem;font-size:.9rem}"
	".findings small{color:var(--muted);font-size:1em}"
	".card .factor{font-size:1.9rem;font-weight:700;margin:.5rem 0 0;color:var(--ink);"
	"font-variant-numeric:tabular-nums;line-height:1.2}.card .factor small{font-size:.85rem;"
	"font-weight:400;color:var(--muted)}.card "
	"svg{display:block;width:100%;height:44px;margin-top:12px}\n"
	"figure{margin:0 0 2rem}figure img{display:block;width:100%;height:auto;border:1px solid "
	"var(--line);border-radius:10px}figcaption{color:var(--muted);font-size:.9rem;margin-top:."
	"6rem}\n"
	"details{border:1px solid var(--line);border-radius:10px;margin:0 0 12px;overflow:hidden}"
	"summary{cursor:pointer;padding:12px 18px;background:var(--card);font-weight:600}"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.83rem;"
	"font-variant-numeric:tabular-nums}th,td{padding:5px "
	"12px;text-align:right;white-space:nowrap}"
	"th:first-child,td:first-child{text-align:left}thead th{font-weight:600;color:var(--muted)}"
	"thead tr:last-child th{border-bottom:1px solid var(--line)}thead .group{text-align:center;"
	"border-bottom:1px solid var(--line)}tbody tr:hover{background:var(--card)}"
	"td.where,th.where{text-align:left}.factors td,.factors th{padding:5px "
	"8px}.found{background:var(--hint)}"
	".culprit{background:var(--tint)}"
	".culprit td:first-child{box-shadow:inset 4px 0 var(--bad);font-weight:700}"
	"td.where b{color:var(--bad);margin-right:.6em}"
	"td.bar{background:linear-gradient(90deg,var(--bar) var(--w),transparent var(--w))}\n"
	".note{color:var(--muted);font-size:.88rem;max-width:52rem}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:4px "
	"24px;margin:0;font-size:.92rem}"
	"dt{color:var(--muted)}dd{margin:0}footer{margin-top:3rem;padding-top:1rem;color:var(--"
	"muted);"
	"font-size:.85rem;border-top:1px solid var(--line)}\n"
	"@media print{details{break-inside:avoid}}\n";

void ebb_html_element(ebb_text *t, const char *open, const char *content, const char *close)
{
	if (!content)
		return;
	ebb_text_add(t, open);
	ebb_text_escaped(t, content);
	ebb_text_add(t, close);
}

void ebb_html_number(ebb_text *t, double x)
{
	char number[40];

	ebb_text_escaped(t, ebb_pretty(number, sizeof number, x));
}

/* ---- Cards ---- */

/* The common range of all networks' losses, so that the cards' curves can be compared. */
static void loss_range(const ebb_report *r, double *lo, double *hi)
{
	*lo = INFINITY;
	*hi = -INFINITY;
	for (int k = 0; k < r->networks; k++)
		for (int64_t i = 0; r->network[k].loss && i < r->network[k].losses; i++)
			if (isfinite(r->network[k].loss[i])) {
				*lo = fmin(*lo, r->network[k].loss[i]);
				*hi = fmax(*hi, r->network[k].loss[i]);
			}
}

/* The loss as a small curve without axes, of at most POINTS points. */
static void loss_line(ebb_text *t, int64_t n, const double *y, double lo, double hi)
{
	enum { POINTS = 120, WIDTH = 240, HEIGHT = 40 };
	int points = n < POINTS ? (int)n : POINTS, drawn = 0;
	double first = NAN, last = NAN;

	for (int64_t i = 0; i < n; i++)
		if (isfinite(y[i])) {
			first = isnan(first) ? y[i] : first;
			last = y[i];
		}
	if (isnan(first))
		return;
	ebb_text_add(t, "<svg viewBox=\"0 0 240 44\" preserveAspectRatio=\"none\" role=\"img\" "
			"aria-label=\"loss\"><polyline fill=\"none\" stroke=\"currentColor\" "
			"stroke-width=\"1.5\" vector-effect=\"non-scaling-stroke\" points=\"");
	for (int k = 0; k < points; k++) {
		int64_t from = k * n / points, to = (k + 1) * n / points;
		double sum = 0;
		int used = 0;
		for (int64_t i = from; i < to; i++)
			if (isfinite(y[i])) {
				sum += y[i];
				used++;
			}
		if (!used)
			continue;
		double height = hi > lo ? (sum / used - lo) / (hi - lo) : 0.5;
		ebb_text_add(t, drawn++ ? " " : "");
		ebb_text_number(t, "%.1f", points > 1 ? (double)WIDTH * k / (points - 1) : 0);
		ebb_text_add(t, ",");
		ebb_text_number(t, "%.1f", 2 + HEIGHT * (1 - height));
	}
	ebb_text_add(t, "\"/></svg>\n<p>loss of a batch: ");
	ebb_html_number(t, first);
	ebb_text_add(t, " at the start, ");
	ebb_html_number(t, last);
	ebb_text_add(t, " at the end</p>\n");
}

void ebb_html_kind(ebb_text *t, const char *element, ebb_verdict_kind kind)
{
	const char *mood = "bad";

	if (kind == EBB_VERDICT_HEALTHY)
		mood = "good";
	else if (kind == EBB_VERDICT_DEAD || kind == EBB_VERDICT_SATURATED ||
		 kind == EBB_VERDICT_NOT_LEARNING || kind == EBB_VERDICT_BADLY_INITIALISED)
		mood = "warn";
	ebb_text_printf(t, "<%s class=\"kind %s\">%s</%s>\n", element, mood, ebb_verdict_name(kind),
		element);
}

static bool probe_card(ebb_text *t, const ebb_report_network *n, ebb_error *e)
{
	ebb_verdict v;
	ebb_judged found = ebb_find_verdict(n->probe, n->from, n->to, n->limits, &v);

	if (found == EBB_NO_MEMORY_TO_JUDGE) {
		ebb_error_set(
			e, EBB_NO_MEMORY, NULL, "report: no memory for the verdict of %s", n->name);
		return false;
	}

	if (found == EBB_NOTHING_SAMPLED) {
		ebb_text_add(t, "<p>Nothing was sampled.</p>\n");
		return true;
	}
	ebb_html_kind(t, "div", v.kind);
	if (!isnan(v.decay.factor)) {
		ebb_text_add(t, "<div class=\"factor\">×");
		ebb_html_number(t, v.decay.factor);
		ebb_text_add(t, " <small>per layer</small></div>\n");
	}
	ebb_html_element(t, "<p>", v.sentence, "</p>\n");
	return true;
}

static bool card(ebb_text *t, const ebb_report_network *n, double lo, double hi, ebb_error *e)
{
	ebb_html_element(t, "<div class=\"card\"><h3>", n->name, "</h3>\n");
	if (!(n->flow ? ebb_report_flow_card(t, n, e) : probe_card(t, n, e)))
		return false;
	if (n->losses > 0 && n->loss)
		loss_line(t, n->losses, n->loss, lo, hi);
	ebb_html_element(t, "<p>", n->about, "</p>\n");
	ebb_text_add(t, "</div>\n");
	return true;
}

/* ---- Figures ---- */

static bool data_uri(ebb_text *t, const ebb_figure *figure, bool dark, ebb_error *e)
{
	ebb_figure f = *figure;
	ebb_text svg = {0};

	f.dark = dark;
	bool ok = ebb_figure_svg(&f, &svg, e);
	if (ok) {
		ebb_text_add(t, "data:image/svg+xml;base64,");
		ebb_text_base64(t, svg.data, svg.length);
	}
	ebb_text_free(&svg);
	return ok;
}

static bool figure(ebb_text *t, const ebb_report_figure *f, ebb_error *e)
{
	if (!ebb_can_plot()) {
		ebb_html_element(t,
			"<p class=\"note\">Figure left out, because this build cannot draw: ",
			f->caption, "</p>\n");
		return true;
	}
	ebb_text_add(
		t, "<figure><picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"");
	if (!data_uri(t, f->figure, true, e))
		return false;
	ebb_text_add(t, "\"/><img src=\"");
	if (!data_uri(t, f->figure, false, e))
		return false;
	ebb_text_add(t, "\" alt=\"");
	ebb_text_escaped(t, f->caption);
	ebb_text_add(t, "\"/></picture>");
	ebb_html_element(t, "<figcaption>", f->caption, "</figcaption>");
	ebb_text_add(t, "</figure>\n");
	return true;
}

/* ---- Tables ---- */

void ebb_html_cell(ebb_text *t, double x)
{
	ebb_text_add(t, "<td>");
	ebb_html_number(t, x);
	ebb_text_add(t, "</td>");
}

static void percent(ebb_text *t, double share)
{
	ebb_text_add(t, "<td>");
	if (isnan(share))
		ebb_text_add(t, "-");
	else
		ebb_text_number(t, "%.1f", 100 * share);
	ebb_text_add(t, "</td>");
}

void ebb_html_bar_cell(ebb_text *t, double norm, double lo, double hi)
{
	bool positive = norm > 0 && isfinite(norm);
	double part = positive ? ebb_log_share(norm, lo, hi) : 0;

	ebb_text_add(t, "<td class=\"bar\" style=\"--w:");
	ebb_text_number(t, "%.1f", positive ? 3 + 97 * part : 0);
	ebb_text_add(t, "%\">");
	ebb_html_number(t, norm);
	ebb_text_add(t, "</td>");
}

static void row(ebb_text *t, const ebb_layer_summary *s, double lo, double hi)
{
	ebb_html_element(t, "<tr><td>", s->path, "</td>");
	ebb_html_cell(t, s->mean);
	ebb_html_cell(t, s->std);
	percent(t, s->zeros);
	percent(t, s->saturated);
	ebb_html_bar_cell(t, s->grad_l2, lo, hi);
	ebb_html_cell(t, s->grad_mean_abs);
	ebb_html_cell(t, s->grad_max);
	percent(t, s->grad_zeros);
	ebb_html_cell(t, s->param_grad_l2);
	ebb_html_cell(t, s->param_grad_max);
	ebb_html_cell(t, s->update_ratio);
	ebb_text_add(t, "</tr>\n");
}

static bool probe_table(ebb_text *t, const ebb_report_network *network, ebb_error *e)
{
	int n = 0;
	size_t bytes = 0;
	double lo = INFINITY, hi = 0;
	ebb_layer_summary *s =
		ebb_summaries(network->probe, network->from, network->to, &n, &bytes);

	if (!s && bytes) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "report: no memory for the table of %s",
			network->name);
		return false;
	}
	for (int i = 0; i < n; i++)
		if (s[i].grad_l2 > 0 && isfinite(s[i].grad_l2)) {
			lo = fmin(lo, s[i].grad_l2);
			hi = fmax(hi, s[i].grad_l2);
		}
	ebb_html_element(t, "<details><summary>", network->name,
		"</summary><div class=\"scroll\"><table><thead>\n");
	ebb_text_add(t,
		"<tr><th></th><th colspan=\"4\" class=\"group\">activation</th>"
		"<th colspan=\"4\" class=\"group\">gradient of the activation</th>"
		"<th colspan=\"2\" class=\"group\">gradient of the parameters</th><th></th></tr>\n"
		"<tr><th>layer</th><th>mean</th><th>std</th><th>zeros, %</th><th>saturated, %</th>"
		"<th>L2 norm</th><th>mean |g|</th><th>max |g|</th><th>zeros, %</th>"
		"<th>L2 norm</th><th>max |g|</th><th>update/weight</th></tr></thead><tbody>\n");
	for (int i = 0; i < n; i++)
		row(t, &s[i], lo, hi);
	ebb_text_add(t, "</tbody></table></div>");
	if (network->probe->flushed)
		ebb_text_add(t, "<p>" EBB_FLUSHED_NOTE "</p>");
	ebb_text_add(t, "</details>\n");
	ebb_free(s, bytes);
	return true;
}

/* ---- The page ---- */

static bool check(const ebb_report *r, const ebb_text *text, ebb_error *e)
{
	const char *what =
		!r                                                  ? "the report is NULL"
		: !text                                             ? "the text is NULL"
		: !r->title                                         ? "it has no title"
		: r->networks < 0 || (r->networks && !r->network)   ? "its networks are missing"
		: r->figures < 0 || (r->figures && !r->figure)      ? "its figures are missing"
		: r->options < 0 || (r->options && !r->option)      ? "its options are missing"
		: r->paragraphs < 0 || (r->paragraphs && !r->story) ? "its story is missing"
								    : NULL;

	for (int i = 0; !what && i < r->networks; i++)
		if (!r->network[i].name || !r->network[i].probe == !r->network[i].flow)
			what = "a network has no name, or not exactly one of .probe and .flow";
	for (int i = 0; !what && i < r->figures; i++)
		if (!r->figure[i].figure)
			what = "a figure is NULL";
	if (what)
		ebb_error_set(e, EBB_INVALID, NULL, "report: %s", what);
	return !what;
}

static void head(ebb_text *t, const ebb_report *r)
{
	ebb_text_add(t,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n");
	ebb_html_element(t, "<title>", r->title, "</title>\n<style>\n");
	ebb_text_add(t, style);
	ebb_text_add(t, "</style></head>\n<body><main>\n");
	ebb_html_element(t, "<h1>", r->title, "</h1>\n");
	ebb_html_element(t, "<p class=\"sub\">", r->subtitle, "</p>\n");
	ebb_text_add(t, "<section class=\"story\">\n");
	for (int i = 0; i < r->paragraphs; i++)
		ebb_html_element(t, "<p>", r->story[i], "</p>\n");
	ebb_text_add(t, "</section>\n");
}

static bool has(const ebb_report *r, bool flow)
{
	for (int i = 0; i < r->networks; i++)
		if (!r->network[i].flow == !flow)
			return true;
	return false;
}

static bool tables(ebb_text *t, const ebb_report *r, ebb_error *e)
{
	bool ok = true;

	if (r->networks)
		ebb_text_add(t, "<h2>Layer by layer</h2>\n");
	if (has(r, true))
		ebb_html_element(t, "<p class=\"note\">", ebb_report_flow_note, "</p>\n");
	if (has(r, false))
		ebb_html_element(t, "<p class=\"note\">",
			"Medians over the sampled steps. Gradients are of the loss; the bar behind "
			"a norm is on a logarithmic scale. Update/weight is the norm of an "
			"optimizer step's change of the layer's parameters, divided by their norm.",
			"</p>\n");
	for (int i = 0; ok && i < r->networks; i++)
		ok = r->network[i].flow ? ebb_report_flow_table(t, &r->network[i], e)
		                        : probe_table(t, &r->network[i], e);
	return ok;
}

bool ebb_report_html(const ebb_report *r, ebb_text *text, ebb_error *e)
{
	double lo, hi;
	bool ok = true;

	if (!check(r, text, e))
		return false;
	head(text, r);
	loss_range(r, &lo, &hi);
	if (r->networks) {
		ebb_text_add(text, "<h2>Verdicts</h2>\n<section class=\"cards\">\n");
		for (int i = 0; ok && i < r->networks; i++)
			ok = card(text, &r->network[i], lo, hi, e);
		ebb_text_add(text, "</section>\n");
	}
	if (r->figures)
		ebb_text_add(text, "<h2>Figures</h2>\n");
	for (int i = 0; ok && i < r->figures; i++)
		ok = figure(text, &r->figure[i], e);
	ok = ok && tables(text, r, e);
	if (r->options) {
		ebb_text_add(text, "<h2>Options</h2>\n<dl>\n");
		for (int i = 0; i < r->options; i++) {
			ebb_html_element(
				text, "<dt>", r->option[i].name ? r->option[i].name : "", "</dt>");
			ebb_html_element(text, "<dd>", r->option[i].value ? r->option[i].value : "",
				"</dd>\n");
		}
		ebb_text_add(text, "</dl>\n");
	}
	ebb_html_element(text, "<footer>", r->footer, "</footer>\n");
	ebb_text_add(text, "</main></body></html>\n");
	if (ok && text->failed) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "report: no memory for the page");
		ok = false;
	}
	return ok;
}
