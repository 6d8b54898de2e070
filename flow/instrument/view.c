/* view.c - prints the table of a flow instrument for the terminal. */
#include "tensor/host.h"
#include "flow/instrument/internal.h"

#include <math.h>
#include <string.h>

static const struct {
	const char *group, *name, *ascii;
} columns[FLOW_COLUMNS] = {
	[FLOW_RMS] = {"y", "rms", "rms"},
	[FLOW_FLAT] = {"", "flat %", "flat %"},
	[FLOW_GRADIENT] = {"dL/dy", "L2 norm", "L2 norm"},
	[FLOW_W] = {"", "W", "W"},
	[FLOW_NORM_FACTOR] = {"", "norm", "norm"},
	[FLOW_PHI] = {"", "φ'", "phi'"},
	[FLOW_UPDATE] = {"update", "/weight", "/weight"},
};

/* The columns in the order in which a narrow table leaves them out; the gradient's norm always
 * stays. */
static const int least_telling[] = {
	FLOW_RMS, FLOW_UPDATE, FLOW_NORM_FACTOR, FLOW_FLAT, FLOW_W, FLOW_PHI};
enum { DROPPABLE = sizeof least_telling / sizeof *least_telling };

/* What the last column has: op and site below each other; op and site; the site, for a finding with
 * its evidence; the site, for a finding with its name; nothing. */
enum where { ALIGNED, RAGGED, EVIDENCE, SITES, NOWHERE };

enum { LONGEST_BAR = 14, SHORTER_BAR = 8, SHORTEST_BAR = 6, SHORT_NAME = 28, SHORTEST_NAME = 8 };
enum { HEADING_LINES = 3, NAME_SIZE = 300 };

struct layout {
	const ebb_flow_table_args *a;
	int n;
	const struct flow_shown *lines;
	bool marks; /* some lines have findings */
	int name, bar, gap, width[FLOW_COLUMNS];
	bool shown[FLOW_COLUMNS];
	enum where where;
	int lead, place; /* widths of the last column, and of its first part if aligned */
};

static int larger(int a, int b)
{
	return a > b ? a : b;
}

/* "resnet.layer1.0 (4)" for four layers. */
static const char *name_of(const struct layout *l, int i, char *buffer)
{
	const struct flow_line *line = &l->lines[i].line;

	ebb_flow_line_name(line, buffer, NAME_SIZE - 20);
	if (line->last > line->first) {
		size_t n = strlen(buffer);
		ebb_snprintf(buffer + n, NAME_SIZE - n, " (%d)", line->last - line->first + 1);
	}
	return buffer;
}

static const char *lead_of(const struct flow_shown *s)
{
	return *s->note ? s->note : s->op;
}

/* The last column of a line. */
static const char *place_of(const struct layout *l, const struct flow_shown *s, char *buffer)
{
	const char *lead = lead_of(s), *more = s->sites ? " .." : "";
	int blanks = l->where == ALIGNED ? l->lead - ebb_columns(lead) + 2
	             : *lead && *s->site ? 1
	                                 : 0;

	*buffer = '\0';
	if (l->where == SITES && *s->note)
		ebb_snprintf(buffer, NAME_SIZE, "%s %s", s->verdict, s->site);
	else if (l->where == SITES || (l->where == EVIDENCE && !*s->note))
		ebb_snprintf(buffer, NAME_SIZE, "%s%s", s->site, more);
	else if (l->where != NOWHERE)
		ebb_snprintf(buffer, NAME_SIZE, "%s%*s%s%s", lead, *s->site ? blanks : 0, "",
			s->site, more);
	return buffer;
}

static void place_lines(struct layout *l, enum where where)
{
	char buffer[NAME_SIZE];

	l->where = where;
	l->place = 0;
	for (int i = 0; i < l->n; i++)
		l->place = larger(l->place, ebb_columns(place_of(l, &l->lines[i], buffer)));
}

/* ---- The layout ---- */

static int width_of(const struct layout *l)
{
	int width = 2 * l->marks + l->name + (l->bar ? 2 + l->bar : 0) +
	            (l->place ? 2 + larger(l->place, 5) : 0);

	for (int i = 0; i < FLOW_COLUMNS; i++)
		width += l->shown[i] ? l->gap + l->width[i] : 0;
	return width;
}

static const char *heading_of(const struct layout *l, int column)
{
	return l->a->ascii ? columns[column].ascii : columns[column].name;
}

/* The layout without a limit; columns that are blank in all lines are left out. */
static void measure(struct layout *l)
{
	char buffer[NAME_SIZE];

	for (int c = FLOW_W; c <= FLOW_PHI; c++)
		l->width[c] = 4;
	l->name = 5;
	l->bar = LONGEST_BAR;
	l->gap = 2;
	for (int i = 0; i < l->n; i++) {
		const struct flow_shown *s = &l->lines[i];
		l->marks = l->marks || *s->note;
		l->name = larger(l->name, ebb_columns(name_of(l, i, buffer)));
		l->lead = larger(l->lead, ebb_columns(lead_of(s)));
		for (int c = 0; c < FLOW_COLUMNS; c++) {
			l->shown[c] = l->shown[c] || *s->cell[c];
			l->width[c] = larger(l->width[c], ebb_columns(s->cell[c]));
		}
	}
	for (int c = 0; c < FLOW_COLUMNS; c++)
		l->width[c] = larger(l->width[c],
			larger(ebb_columns(columns[c].group), ebb_columns(heading_of(l, c))));
	place_lines(l, ALIGNED);
}

/* Makes the table narrower, in the order of what is missed least. */
static bool narrow(struct layout *l, int step, int over)
{
	switch (step) {
	case 0:
		l->bar = SHORTER_BAR;
		return true;
	case 1:
		l->gap = 1;
		return true;
	case 2:
		place_lines(l, RAGGED);
		return true;
	case 3:
		l->bar = SHORTEST_BAR;
		return true;
	case 4:
		if (l->name > SHORT_NAME)
			l->name = larger(SHORT_NAME, l->name - over);
		return true;
	case 5:
		place_lines(l, EVIDENCE);
		return true;
	case 8:
		place_lines(l, SITES);
		return true;
	}
	step -= step < 8 ? 6 : 7;
	if (step < DROPPABLE)
		l->shown[least_telling[step]] = false;
	else if (step == DROPPABLE)
		l->bar = 0;
	else if (step == DROPPABLE + 1)
		place_lines(l, NOWHERE);
	else if (step == DROPPABLE + 2)
		l->name = larger(SHORTEST_NAME, l->name - over);
	else
		return false;
	return true;
}

static void fit(struct layout *l, int width)
{
	for (int step = 0; width_of(l) > width && narrow(l, step, width_of(l) - width); step++)
		;
	while (l->bar && l->bar < LONGEST_BAR && width_of(l) < width)
		l->bar++;
}

/* ---- Printing ---- */

static void heading_cell(const struct layout *l, const char *s, int width)
{
	ebb_text_repeat(l->a->text, " ", l->gap);
	ebb_text_pad(l->a->text, s, width, true);
}

/* The heading over the columns of the factors that are shown. */
static void factor_heading(const struct layout *l)
{
	int width = -l->gap;

	for (int c = FLOW_W; c <= FLOW_PHI; c++)
		width += l->shown[c] ? l->gap + l->width[c] : 0;
	if (width > 0)
		heading_cell(l,
			width >= 16 && !l->a->ops ? "factor per layer"
			: width >= 6              ? "factor"
						  : "",
			width);
}

static void heading(const struct layout *l)
{
	ebb_text *text = l->a->text;
	const char *bar = l->bar >= 11 ? "(log scale)" : "(log)";

	ebb_text_colour(text, l->a->colour, EBB_BOLD);
	ebb_text_pad(text, "", 2 * l->marks + l->name, false);
	for (int c = 0; c < FLOW_COLUMNS; c++) {
		if (c == FLOW_W)
			factor_heading(l);
		if (l->shown[c] && (c < FLOW_W || c > FLOW_PHI))
			heading_cell(l, columns[c].group, l->width[c]);
	}
	if (l->bar)
		ebb_text_add(text, "  dL/dy");
	ebb_text_add(text, "\n");
	ebb_text_pad(text, l->marks ? "  layer" : "layer", 2 * l->marks + l->name, false);
	for (int c = 0; c < FLOW_COLUMNS; c++)
		if (l->shown[c])
			heading_cell(l, heading_of(l, c), l->width[c]);
	if (l->bar) {
		ebb_text_add(text, "  ");
		ebb_text_pad(text, bar, l->place ? l->bar : 0, false);
	}
	if (l->place)
		ebb_text_add(text, "  where");
	ebb_text_colour(text, l->a->colour, EBB_PLAIN);
	ebb_text_add(text, "\n");
	ebb_text_repeat(text, l->a->ascii ? "-" : "─", width_of(l));
	ebb_text_add(text, "\n");
}

static void print_line(const struct layout *l, int i, double lo, double hi)
{
	const struct flow_shown *s = &l->lines[i];
	const ebb_flow_table_args *a = l->a;
	char buffer[NAME_SIZE];

	if (l->marks) {
		ebb_text_colour(a->text, a->colour && *s->note, EBB_RED);
		ebb_text_add(a->text, !*s->note ? "  " : a->ascii ? "> " : "▶ ");
		ebb_text_colour(a->text, a->colour && *s->note, EBB_PLAIN);
	}
	ebb_text_name(a->text, name_of(l, i, buffer), l->name, a->ascii);
	for (int c = 0; c < FLOW_COLUMNS; c++)
		if (l->shown[c])
			heading_cell(l, s->cell[c], l->width[c]);
	place_of(l, s, buffer);
	if (l->bar) {
		ebb_text_add(a->text, "  ");
		int used = ebb_text_bar(a->text, s->gradient, lo, hi, l->bar, a->colour, a->ascii);
		if (*buffer)
			ebb_text_repeat(a->text, " ", l->bar - used);
	}
	if (*buffer) {
		ebb_text_add(a->text, "  ");
		ebb_text_colour(a->text, a->colour, *s->note ? EBB_RED : EBB_DIM);
		ebb_text_add(a->text, buffer);
		ebb_text_colour(a->text, a->colour, EBB_PLAIN);
	}
	ebb_text_add(a->text, "\n");
}

static void print_lines(const struct layout *l)
{
	double lo = INFINITY, hi = 0;

	for (int i = 0; i < l->n; i++) {
		double g = l->lines[i].gradient;
		if (g > 0 && isfinite(g)) {
			lo = fmin(lo, g);
			hi = fmax(hi, g);
		}
	}
	for (int i = 0; i < l->n; i++)
		print_line(l, i, lo, hi);
}

/* ---- The steps ---- */

/* The steps that a table shows. */
struct window {
	int64_t from, to;    /* [from, to) */
	int64_t broken;      /* the first measured step with a value that is not finite; -1: none */
	int samples;         /* in [from, to) */
	int left_out;        /* in the steps asked for, but not in [from, to) */
	int64_t first, last; /* the first and the last step measured in [from, to) */
};

static bool all_finite(const ebb_flow *f, int sample)
{
	ebb_flow_measures m;
	bool ok = !isinf(ebb_flow_sample_loss(f, sample));

	for (int i = 0; ok && i < ebb_flow_ops(f); i++)
		ok = !ebb_flow_sample(f, sample, i, &m) ||
		     !(m.not_finite > 0 || m.grad_not_finite > 0);
	return ok && !(f->origin.found && ebb_flow_sample_step(f, sample) >= f->origin.step);
}

/* The steps before the first one with a value that is not finite, or that step if none is
 * before. */
static struct window window_of(const ebb_flow *f, int64_t from, int64_t to)
{
	struct window w = {.from = from, .to = to, .broken = -1, .first = -1, .last = -1};

	for (int k = 0; k < ebb_flow_samples(f); k++) {
		int64_t step = ebb_flow_sample_step(f, k);
		if (step < from || (to > 0 && step >= to))
			continue;
		if (w.broken < 0 && !all_finite(f, k)) {
			w.broken = f->origin.found && f->origin.step < step ? f->origin.step : step;
			w.to = w.samples ? step : step + 1;
		}
		if (w.to > 0 && step >= w.to) {
			w.left_out++;
			continue;
		}
		w.first = w.samples++ ? w.first : step;
		w.last = step;
	}
	return w;
}

/* ---- The last lines ---- */

static void note_steps(ebb_text *line, const ebb_flow *f, const struct window *w, bool ascii)
{
	char first[32], last[32];

	ebb_text_printf(line, "medians over %d measured step%s of %lld", w->samples,
		w->samples == 1 ? "" : "s", (long long)ebb_flow_steps(f));
	if (w->samples == 1)
		ebb_text_printf(line, " (step %lld)", (long long)w->first);
	else
		ebb_text_printf(line, " (%lld to %lld)", (long long)w->first, (long long)w->last);
	if (!isnan(f->first_loss))
		ebb_text_printf(line, "; loss %s %s %s",
			ebb_pretty(first, sizeof first, f->first_loss), ascii ? "->" : "→",
			isnan(f->last_loss) ? "nan" : ebb_pretty(last, sizeof last, f->last_loss));
}

static void note_broken(ebb_text *line, const struct window *w)
{
	if (w->broken == w->first)
		ebb_text_printf(line, "step %lld has NaN or infinite values", (long long)w->broken);
	else
		ebb_text_printf(
			line, "NaN or infinite values from step %lld on", (long long)w->broken);
	if (w->left_out)
		ebb_text_printf(line, ": %d measured step%s from there on %s left out", w->left_out,
			w->left_out == 1 ? "" : "s", w->left_out == 1 ? "is" : "are");
}

/* Appends *line, wrapped, and empties it. */
static void end_line(ebb_text *text, ebb_text *line, int width)
{
	if (line->length)
		ebb_text_wrapped(text, line->data, 0, width);
	line->length = 0;
}

/* Whether a finding is the reason of gradients that are exactly 0. */
static bool explains_zeros(const ebb_flow *f)
{
	for (int i = 0; i < f->findings; i++)
		if (f->finding[i].certain &&
			(f->finding[i].found.kind == EBB_VERDICT_DEAD ||
				f->finding[i].found.kind == EBB_VERDICT_NOT_FINITE))
			return true;
	return false;
}

/* Appends the lines below the table.  joined: some lines stand for several layers. */
static void notes(ebb_text *text, const ebb_flow *f, const struct window *w, bool joined,
	bool ascii, int width)
{
	ebb_text line = {0};
	char seconds[32];

	note_steps(&line, f, w, ascii);
	end_line(text, &line, width);
	ebb_text_add(&line, "factor: |dL/dx| / |dL/dy|; flat: slopes near 0");
	if (joined)
		ebb_text_add(&line, "; (n): n layers, medians, factors: geometric means");
	end_line(text, &line, width);
	if (w->broken >= 0)
		note_broken(&line, w);
	end_line(text, &line, width);
	if (f->flushed && !explains_zeros(f))
		ebb_text_add(&line, EBB_FLUSHED_NOTE);
	end_line(text, &line, width);
	if (f->histograms)
		ebb_text_printf(&line, "histograms took %s s",
			ebb_pretty(seconds, sizeof seconds, f->seconds_histograms));
	if (f->rank)
		ebb_text_printf(&line, "%sthe effective rank took %s s", f->histograms ? ", " : "",
			ebb_pretty(seconds, sizeof seconds, f->seconds_rank));
	end_line(text, &line, width);
	if (ebb_flow_failed(f))
		ebb_text_add(&line, "the instrument ran out of memory: later steps are missing");
	end_line(text, &line, width);
	text->failed = text->failed || line.failed;
	ebb_text_free(&line);
}

static int lines_of(const ebb_text *text)
{
	int n = 0;

	for (const char *s = text->data; s && (s = strchr(s, '\n')); s++)
		n++;
	return n;
}

/* ---- The table ---- */

/* Sets *most to how many lines remain for layers, -1: any number.  False without memory. */
static bool remaining(const ebb_flow_table_args *a, const struct window *w, int width, int *most)
{
	ebb_text below = {0};

	*most = -1;
	if (a->lines < 0)
		return true;
	notes(&below, a->flow, w, true, a->ascii, width);
	*most = larger(1, (a->lines ? a->lines : 40) - HEADING_LINES - lines_of(&below));
	bool ok = !below.failed;
	ebb_text_free(&below);
	return ok;
}

static bool any_joined(const struct layout *l)
{
	for (int i = 0; i < l->n; i++)
		if (l->lines[i].line.last > l->lines[i].line.first)
			return true;
	return false;
}

bool(ebb_flow_table)(const ebb_flow_table_args *a)
{
	struct layout l = {.a = a};
	size_t bytes = 0;
	int most;

	if (!a || !a->flow || !a->text)
		return ebb_text_null(a ? a->error : NULL, a ? a->site : NULL, "flow_table",
			a && a->flow ? "text" : "flow");
	int width = a->width ? a->width : 100;
	width = width < 0 ? INT32_MAX : width;
	ebb_flow_settle(a->flow);
	struct window w = window_of(a->flow, a->from, a->to);
	struct flow_shown *lines = NULL;
	bool ok = remaining(a, &w, width, &most);
	if (ok)
		lines = ebb_flow_lines(a->flow, a->ops, w.from, w.to, most, &l.n, &bytes);
	if (!ok || (!lines && bytes))
		return ebb_text_no_memory(a->error, a->site, "flow_table");
	if (!lines) {
		ebb_error_set(a->error, EBB_BAD_STATE, a->site,
			"flow_table: nothing was measured from step %lld on%s, of %lld steps so "
			"far",
			(long long)a->from, a->to > 0 ? " before .to" : "",
			(long long)ebb_flow_steps(a->flow));
		return false;
	}
	l.lines = lines;
	measure(&l);
	fit(&l, width);
	heading(&l);
	print_lines(&l);
	ebb_text_colour(a->text, a->colour, EBB_DIM);
	notes(a->text, a->flow, &w, any_joined(&l), a->ascii, width == INT32_MAX ? 0 : width);
	ebb_text_colour(a->text, a->colour, EBB_PLAIN);
	ebb_free(lines, bytes);
	return !a->text->failed || ebb_text_no_memory(a->error, a->site, "flow_table");
}

const char *ebb_flow_text(ebb_flow *f)
{
	if (!f)
		return NULL;
	f->text.length = 0;
	f->text.failed = false;
	bool ok = ebb_flow_findings_text(f, 100, &f->text) && ebb_text_add(&f->text, "\n");
	ebb_finding first;
	int64_t from = 0;

	/* The table shows the run since its first fault began; that of a value that is not finite
	 * shows the steps before. */
	if (ebb_flow_finding(f, 0, &first) && first.kind != EBB_VERDICT_NOT_FINITE)
		from = first.step;
	if (ebb_flow_samples(f) == 0 || ebb_flow_ops(f) == 0)
		ebb_text_printf(&f->text, "nothing was measured in %lld steps\n",
			(long long)ebb_flow_steps(f));
	else
		ok = ok && (ebb_flow_table)(&(ebb_flow_table_args){
				   .flow = f, .text = &f->text, .from = from});
	return ok && !f->text.failed ? f->text.data : NULL;
}
