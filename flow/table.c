/* table.c - prints a probe as a table for the terminal, and as CSV. */
#include "flow/internal.h"

#include <math.h>
#include <string.h>

/* ---- The table ---- */

struct column {
	const char *group, *brief; /* brief: the heading if only one column of the group is shown */
	const char *name;
	int width;
};

static const struct column columns[] = {
	{"activation", "y", "mean", 9},
	{"", "", "std", 8},
	{"", "", "zeros %", 8},
	{"", "", "satur. %", 9},
	{"dL/dactivation", "dL/dy", "L2 norm", 10},
	{"", "", "max", 8},
	{"dL/dparameters", "dL/dw", "L2 norm", 10},
	{"", "", "max", 8},
	{"update", "update", "/weight", 9},
};
enum { COLUMNS = sizeof columns / sizeof *columns, GRAD_NORM = 4 };

/* The columns in the order in which a narrow table leaves them out; GRAD_NORM always stays. */
static const int least_telling[] = {7, 5, 3, 1, 0, 8, 6, 2};

/* Which columns are shown, and how wide names and bars are. */
enum { LONGEST_BAR = 18, SHORTEST_BAR = 7, SHORTEST_NAME = 8 };
typedef struct layout {
	const ebb_probe_table_args *a;
	int name, bar; /* widths in columns; bar 0: no bars */
	bool shown[COLUMNS];
} layout;

static int width_of(const layout *l)
{
	/* The heading over the longest bar is 8 columns wider than the bar. */
	int width = l->name + (l->bar == LONGEST_BAR ? 8 + l->bar : l->bar ? 2 + l->bar : 0);

	for (int i = 0; i < COLUMNS; i++)
		width += l->shown[i] ? 1 + columns[i].width : 0;
	return width;
}

static layout fit(const ebb_probe_table_args *a, int name)
{
	layout l = {a, name, a->bars ? LONGEST_BAR : 0, {false}};
	int over;

	for (int i = 0; i < COLUMNS; i++)
		l.shown[i] = true;
	if (a->width <= 0)
		return l;
	if (l.bar && width_of(&l) > a->width) {
		l.bar = SHORTEST_BAR;
		over = width_of(&l) - a->width;
		while (over++ < 0 && l.bar < LONGEST_BAR - 1)
			l.bar++;
	}
	for (int i = 0; i < COLUMNS - 1 && width_of(&l) > a->width; i++)
		l.shown[least_telling[i]] = false;
	if (width_of(&l) > a->width)
		l.bar = 0;
	if ((over = width_of(&l) - a->width) > 0)
		l.name = l.name - over > SHORTEST_NAME ? l.name - over : SHORTEST_NAME;
	return l;
}

/* Prints a group's name over all of its columns that are shown. */
static void group_headings(const layout *l)
{
	for (int i = 0; i < COLUMNS;) {
		const char *group = columns[i].group, *brief = columns[i].brief;
		int width = 0;

		do
			width += l->shown[i] ? 1 + columns[i].width : 0;
		while (++i < COLUMNS && !*columns[i].group);
		if (!width)
			continue;
		ebb_text_add(l->a->text, "  ");
		ebb_text_pad(l->a->text, ebb_columns(group) > width - 2 ? brief : group, width - 2,
			false);
	}
}

static void heading(const layout *l)
{
	ebb_text *text = l->a->text;
	bool wide = l->bar == LONGEST_BAR;

	ebb_text_colour(text, l->a->colour, EBB_BOLD);
	ebb_text_pad(text, "", l->name, false);
	group_headings(l);
	if (l->bar)
		ebb_text_add(text, wide ? "  dL/dactivation, L2 norm" : "  L2 norm");
	ebb_text_add(text, "\n");
	ebb_text_pad(text, "layer", l->name, false);
	for (int i = 0; i < COLUMNS; i++) {
		if (!l->shown[i])
			continue;
		ebb_text_add(text, " ");
		ebb_text_pad(text, columns[i].name, columns[i].width, true);
	}
	if (l->bar)
		ebb_text_add(text, wide ? "  (log scale)" : "  (log)");
	ebb_text_colour(text, l->a->colour, EBB_PLAIN);
	ebb_text_add(text, "\n");
	ebb_text_repeat(text, l->a->ascii ? "-" : "─", width_of(l));
	ebb_text_add(text, "\n");
}

static void cell(const layout *l, int column, double x)
{
	char number[40];

	if (!l->shown[column])
		return;
	ebb_text_add(l->a->text, " ");
	ebb_text_pad(l->a->text, ebb_pretty(number, sizeof number, x), columns[column].width, true);
}

bool(ebb_probe_table)(const ebb_probe_table_args *a)
{
	int n = 0, name_width = 5;
	size_t bytes = 0;
	double lo = INFINITY, hi = 0;

	if (!a || !a->probe || !a->text)
		return ebb_text_null(a ? a->error : NULL, a ? a->site : NULL, "probe_table",
			a && a->probe ? "text" : "probe");
	ebb_layer_summary *s = ebb_summaries(a->probe, a->from, a->to, &n, &bytes);
	if (!s && bytes)
		return ebb_text_no_memory(a->error, a->site, "probe_table");
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
	layout l = fit(a, name_width);
	heading(&l);
	for (int i = 0; i < n; i++) {
		ebb_text_name(a->text, s[i].path, l.name, a->ascii);
		cell(&l, 0, s[i].mean);
		cell(&l, 1, s[i].std);
		cell(&l, 2, ebb_percent(s[i].zeros));
		cell(&l, 3, ebb_percent(s[i].saturated));
		cell(&l, GRAD_NORM, s[i].grad_l2);
		cell(&l, 5, s[i].grad_max);
		cell(&l, 6, s[i].param_grad_l2);
		cell(&l, 7, s[i].param_grad_max);
		cell(&l, 8, s[i].update_ratio);
		if (l.bar) {
			ebb_text_add(a->text, "  ");
			ebb_text_bar(a->text, s[i].grad_l2, lo, hi, l.bar, a->colour, a->ascii);
		}
		if (s[i].nan) {
			ebb_text_colour(a->text, a->colour, EBB_RED);
			ebb_text_printf(a->text, "  %lld NaN", (long long)s[i].nan);
			ebb_text_colour(a->text, a->colour, EBB_PLAIN);
		}
		ebb_text_add(a->text, "\n");
	}
	ebb_text_colour(a->text, a->colour, EBB_DIM);
	ebb_text_printf(a->text, "medians over %d sampled steps of %lld\n", s[0].samples,
		(long long)ebb_probe_steps(a->probe));
	if (a->probe->flushed)
		ebb_text_add(a->text, EBB_FLUSHED_NOTE "\n");
	ebb_text_colour(a->text, a->colour, EBB_PLAIN);
	ebb_free(s, bytes);
	return !a->text->failed || ebb_text_no_memory(a->error, a->site, "probe_table");
}

/* ---- CSV (RFC 4180) ---- */

static void line(const ebb_probe_csv_args *a, int64_t step, const char *kind, const char *name,
	const char *quantity, const ebb_stats *s, double update_ratio)
{
	ebb_text *text = a->text;
	const double values[] = {s->mean, s->std, s->min, s->max, s->mean_abs, s->max_abs, s->l2,
		s->zeros, s->saturated, update_ratio};

	if (s->count == 0)
		return;
	ebb_text_field(text, a->network);
	ebb_text_printf(text, ",%lld,%s,", (long long)step, kind);
	ebb_text_field(text, name);
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
		return ebb_text_null(a ? a->error : NULL, a ? a->site : NULL, "probe_csv",
			a && a->probe ? "text" : "probe");
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
	return !a->text->failed || ebb_text_no_memory(a->error, a->site, "probe_csv");
}
