/* table.c - a probe as a table for the terminal, and as CSV. */
#include "flow/internal.h"

#include <math.h>
#include <string.h>

/* ---- Errors; both return false ---- */

static bool refuse(ebb_error *e, const char *site, const char *what, bool has_probe)
{
	ebb_error_set(
		e, EBB_INVALID, site, "%s: the %s is NULL", what, has_probe ? "text" : "probe");
	return false;
}

static bool no_memory(ebb_error *e, const char *site, const char *what)
{
	ebb_error_set(e, EBB_NO_MEMORY, site, "%s: no memory for the text", what);
	return false;
}

/* ---- The table ---- */

enum { BAR_WIDTH = 18 };

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

struct column {
	const char *group, *name;
	int width;
};

static const struct column columns[] = {
	{"activation", "mean", 9},
	{"", "std", 8},
	{"", "zeros %", 8},
	{"", "satur. %", 9},
	{"dL/dactivation", "L2 norm", 10},
	{"", "max", 8},
	{"dL/dparameters", "L2 norm", 10},
	{"", "max", 8},
	{"update", "/weight", 9},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void code(ebb_text *text, bool colour, const char *escape)
{
	if (colour)
		ebb_text_add(text, escape);
}

static void heading(const ebb_probe_table_args *a, int name_width)
{
	ebb_text *text = a->text;

	code(text, a->colour, BOLD);
	for (int line = 0; line < 2; line++) {
		ebb_text_pad(text, line ? "layer" : "", name_width, false);
		for (int i = 0; i < COLUMNS; i++) {
			const struct column *c = &columns[i];
			int width = c->width;
			if (line) {
				ebb_text_add(text, " ");
				ebb_text_pad(text, c->name, width, true);
			} else if (*c->group) { /* a group's name stands over all of its columns */
				while (i + 1 < COLUMNS && !*columns[i + 1].group)
					width += 1 + columns[++i].width;
				ebb_text_add(text, "  ");
				ebb_text_pad(text, c->group, width - 1, false);
			}
		}
		if (a->bars)
			ebb_text_add(text, line ? "  (log scale)" : "  dL/dactivation, L2 norm");
		if (line)
			code(text, a->colour, PLAIN);
		ebb_text_add(text, "\n");
	}
	ebb_text_repeat(text, a->ascii ? "-" : "─", name_width);
	for (int i = 0; i < COLUMNS; i++)
		ebb_text_repeat(text, a->ascii ? "-" : "─", 1 + columns[i].width);
	if (a->bars)
		ebb_text_repeat(text, a->ascii ? "-" : "─", 2 + BAR_WIDTH + 6);
	ebb_text_add(text, "\n");
}

static void cell(ebb_text *text, int column, double x)
{
	char number[40];

	ebb_text_add(text, " ");
	ebb_text_pad(text, ebb_pretty(number, sizeof number, x), columns[column].width, true);
}

/* A bar from the smallest norm of the table (one mark) to the largest (the full width), by
 * logarithm. */
static void bar(const ebb_probe_table_args *a, double norm, double lo, double hi)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

	ebb_text_add(a->text, "  ");
	if (!(norm > 0) || !isfinite(norm))
		return;
	double length = ebb_log_share(norm, lo, hi);
	int eighth = (int)lrint(1 + length * (8 * BAR_WIDTH - 1));
	code(a->text, a->colour, norm < 1e-3 * hi ? RED : norm < 0.03 * hi ? YELLOW : GREEN);
	if (a->ascii) {
		ebb_text_repeat(a->text, "#", (eighth + 7) / 8);
	} else {
		ebb_text_repeat(a->text, "█", eighth / 8);
		ebb_text_add(a->text, eighths[eighth % 8]);
	}
	code(a->text, a->colour, PLAIN);
}

static double percent(double share)
{
	return round(1000 * share) / 10;
}

bool(ebb_probe_table)(const ebb_probe_table_args *a)
{
	int n = 0, name_width = 5;
	size_t bytes = 0;
	double lo = INFINITY, hi = 0;

	if (!a || !a->probe || !a->text)
		return refuse(
			a ? a->error : NULL, a ? a->site : NULL, "probe_table", a && a->probe);
	ebb_layer_summary *s = ebb_summaries(a->probe, a->from, a->to, &n, &bytes);
	if (!s && bytes)
		return no_memory(a->error, a->site, "probe_table");
	if (n == 0) {
		ebb_error_set(a->error, EBB_BAD_STATE, a->site,
			"probe_table: nothing was sampled from step %lld on%s, of %lld steps so "
			"far",
			(long long)a->from, a->to > 0 ? " before .to" : "",
			(long long)ebb_probe_steps(a->probe));
		ebb_free(s, bytes);
		return false;
	}
	for (int i = 0; i < n; i++) {
		int width = ebb_columns(s[i].path);
		name_width = width > name_width ? width : name_width;
		if (s[i].grad_l2 > 0 && isfinite(s[i].grad_l2)) {
			lo = fmin(lo, s[i].grad_l2);
			hi = fmax(hi, s[i].grad_l2);
		}
	}
	heading(a, name_width);
	for (int i = 0; i < n; i++) {
		ebb_text_pad(a->text, s[i].path, name_width, false);
		cell(a->text, 0, s[i].mean);
		cell(a->text, 1, s[i].std);
		cell(a->text, 2, percent(s[i].zeros));
		cell(a->text, 3, percent(s[i].saturated));
		cell(a->text, 4, s[i].grad_l2);
		cell(a->text, 5, s[i].grad_max);
		cell(a->text, 6, s[i].param_grad_l2);
		cell(a->text, 7, s[i].param_grad_max);
		cell(a->text, 8, s[i].update_ratio);
		if (a->bars)
			bar(a, s[i].grad_l2, lo, hi);
		if (s[i].nan) {
			code(a->text, a->colour, RED);
			ebb_text_printf(a->text, "  %lld NaN", (long long)s[i].nan);
			code(a->text, a->colour, PLAIN);
		}
		ebb_text_add(a->text, "\n");
	}
	code(a->text, a->colour, DIM);
	ebb_text_printf(a->text, "medians over %d sampled steps of %lld\n", s[0].samples,
		(long long)ebb_probe_steps(a->probe));
	code(a->text, a->colour, PLAIN);
	ebb_free(s, bytes);
	return !a->text->failed || no_memory(a->error, a->site, "probe_table");
}

/* ---- CSV (RFC 4180) ---- */

static void field(ebb_text *text, const char *s)
{
	if (!s || !strpbrk(s, ",\"\r\n")) {
		ebb_text_add(text, s);
		return;
	}
	ebb_text_add(text, "\"");
	for (; *s; s++)
		ebb_text_bytes(text, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
	ebb_text_add(text, "\"");
}

static void line(const ebb_probe_csv_args *a, int64_t step, const char *kind, const char *name,
	const char *quantity, const ebb_stats *s, double update_ratio)
{
	ebb_text *text = a->text;
	const double values[] = {s->mean, s->std, s->min, s->max, s->mean_abs, s->max_abs, s->l2,
		s->zeros, s->saturated, update_ratio};

	if (s->count == 0)
		return;
	field(text, a->network);
	ebb_text_printf(text, ",%lld,%s,", (long long)step, kind);
	field(text, name);
	ebb_text_printf(text, ",%s,%lld,%lld", quantity, (long long)s->count, (long long)s->nan);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		ebb_text_add(text, ",");
		ebb_text_number(text, "%.9g", values[i]);
	}
	ebb_text_add(text, "\r\n");
}

bool(ebb_probe_csv)(const ebb_probe_csv_args *a)
{
	if (!a || !a->probe || !a->text)
		return refuse(a ? a->error : NULL, a ? a->site : NULL, "probe_csv", a && a->probe);
	const ebb_probe *p = a->probe;
	if (!a->no_header)
		ebb_text_add(a->text,
			"network,step,kind,name,quantity,count,nan,mean,std,min,max,mean_abs,"
			"max_abs,l2,zeros,saturated,update_ratio\r\n");
	for (int s = 0; s < ebb_probe_samples(p) && !a->text->failed; s++) {
		int64_t step = ebb_probe_sample_step(p, s);
		for (int i = 0; i < ebb_probe_layers(p); i++) {
			ebb_layer_row row;
			const char *path = ebb_probe_layer(p, i).path;
			ebb_probe_layer_row(p, s, i, &row);
			line(a, step, "layer", path, "activation", &row.activation, NAN);
			line(a, step, "layer", path, "gradient", &row.gradient, NAN);
		}
		for (int i = 0; i < ebb_probe_params(p); i++) {
			ebb_param_row row;
			const char *name = ebb_probe_param(p, i).name;
			ebb_probe_param_row(p, s, i, &row);
			line(a, step, "parameter", name, "weight", &row.weight, row.update_ratio);
			line(a, step, "parameter", name, "gradient", &row.gradient, NAN);
		}
	}
	return !a->text->failed || no_memory(a->error, a->site, "probe_csv");
}
