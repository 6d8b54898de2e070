/* lines.c - the lines of the table as text: one per layer, joined layers, or op. */
#include "tensor/host.h"
#include "flow/instrument/internal.h"

#include <math.h>
#include <string.h>

double ebb_flow_flat(double saturated, double zeros)
{
	return isnan(saturated) ? zeros : saturated;
}

/* ---- Cells ---- */

/* The numbers of a line.  applies: a cell that does not apply is blank, one that was not measured
 * is a dash. */
struct numbers {
	double value[FLOW_COLUMNS];
	bool applies[FLOW_COLUMNS];
};

static void set(struct numbers *n, int column, double value, bool applies)
{
	n->value[column] = value;
	n->applies[column] = applies;
}

static struct numbers of_layer(const ebb_flow *f, int layer, const ebb_flow_layer_summary *s)
{
	struct numbers n = {0};
	bool slope = ebb_flow_has(f, layer, EBB_FLOW_SLOPE);

	set(&n, FLOW_RMS, s->activation, true);
	set(&n, FLOW_FLAT, ebb_flow_flat(s->saturated, s->zeros), slope);
	set(&n, FLOW_GRADIENT, s->gradient, true);
	set(&n, FLOW_W, s->weight, ebb_flow_has(f, layer, EBB_FLOW_WEIGHT));
	set(&n, FLOW_NORM_FACTOR, s->norm, ebb_flow_has(f, layer, EBB_FLOW_NORM));
	set(&n, FLOW_PHI, s->slope, slope);
	set(&n, FLOW_UPDATE, s->update_ratio, !isnan(s->weight_l2));
	return n;
}

static struct numbers of_op(ebb_flow_kind kind, const ebb_flow_measures *m)
{
	struct numbers n = {0};

	set(&n, FLOW_RMS, m->rms, true);
	set(&n, FLOW_FLAT, ebb_flow_flat(m->saturated, m->zeros), kind == EBB_FLOW_SLOPE);
	set(&n, FLOW_GRADIENT, m->grad_l2, true);
	set(&n, FLOW_W, m->backward, kind == EBB_FLOW_WEIGHT);
	set(&n, FLOW_NORM_FACTOR, m->backward, kind == EBB_FLOW_NORM);
	set(&n, FLOW_PHI, m->backward, kind == EBB_FLOW_SLOPE);
	set(&n, FLOW_UPDATE, m->update_ratio, !isnan(m->weight_l2));
	return n;
}

/* |log| of the factor that deviates most from 1. */
static double deviation(const struct numbers *n)
{
	double most = 0;

	for (int i = FLOW_W; i <= FLOW_PHI; i++)
		if (n->applies[i] && !isnan(n->value[i]))
			most = fmax(most, fabs(log(n->value[i])));
	return most;
}

/* Of n[first..last]: the geometric mean of a factor, the median of another column.  v: space for
 * as many numbers. */
static void join(const struct numbers *n, int first, int last, double *v, struct numbers *joined)
{
	for (int c = 0; c < FLOW_COLUMNS; c++) {
		int used = 0;
		double logs = 0, value;
		for (int i = first; i <= last; i++) {
			joined->applies[c] = joined->applies[c] || n[i].applies[c];
			if (n[i].applies[c] && !isnan(n[i].value[c])) {
				logs += log(n[i].value[c]);
				v[used++] = n[i].value[c];
			}
		}
		value = ebb_median(v, used);
		if (used > 1 && c >= FLOW_W && c <= FLOW_PHI)
			value = exp(logs / used);
		joined->value[c] = value;
	}
}

static void print(const struct numbers *n, struct flow_shown *shown)
{
	for (int c = 0; c < FLOW_COLUMNS; c++) {
		double value = n->value[c];
		if (n->applies[c])
			ebb_pretty(shown->cell[c], sizeof shown->cell[c],
				c == FLOW_FLAT ? ebb_percent(value) : value);
	}
	shown->gradient = n->value[FLOW_GRADIENT];
}

/* ---- Sites and findings ---- */

static const char *site_of(const struct flow_row *r)
{
	return ebb_without_folders(r->added ? r->added : r->site);
}

/* "saturated 98 %", "vanishing 1.2e-5", "frozen" */
static void note(const ebb_finding *found, int more, char *text, size_t size)
{
	const char *name = ebb_verdict_name(found->kind);
	char number[32], others[16] = "";

	ebb_pretty(number, sizeof number, found->value);
	if (more)
		ebb_snprintf(others, sizeof others, " +%d", more);
	switch (found->kind) {
	case EBB_VERDICT_SATURATED:
	case EBB_VERDICT_DEAD:
		ebb_pretty(number, sizeof number, ebb_percent(found->value));
		ebb_snprintf(text, size, "%s %s %%%s", name, number, others);
		break;
	case EBB_VERDICT_VANISHING:
	case EBB_VERDICT_EXPLODING:
	case EBB_VERDICT_NOT_LEARNING:
		if (!isnan(found->value)) {
			ebb_snprintf(text, size, "%s %s%s", name, number, others);
			break;
		}
		/* fallthrough */
	default:
		ebb_snprintf(text, size, "%s%s", name, others);
	}
}

/* Whether the finding is one of the row. */
static bool is_of(const ebb_finding *found, const struct flow_row *r)
{
	return strcmp(found->op, r->op) == 0 &&
	       (strcmp(found->site, r->site) == 0 ||
		       (r->added && strcmp(found->site, r->added) == 0));
}

/* Looks for the findings of a layer, or of its row r unless r is NULL, and writes what the first one
 * is into shown. */
static bool find(
	const ebb_flow *f, const char *layer, const struct flow_row *r, struct flow_shown *shown)
{
	const ebb_finding *first = NULL;
	int n = 0, at = 0;

	for (const ebb_finding *found; (found = ebb_findings_next(f, &at));) {
		if (strcmp(found->layer, layer) || (r && !is_of(found, r)))
			continue;
		if (n++ == 0)
			first = found;
	}
	if (n == 0)
		return false;
	shown->verdict = ebb_verdict_name(first->kind);
	note(first, n - 1, shown->note, sizeof shown->note);
	shown->op = first->op;
	if (*first->site)
		shown->site = ebb_without_folders(first->site);
	return true;
}

/* ---- Lines ---- */

/* Sets the op and the site of lines that stand for layers; number[i]: the public number of the
 * layer i of the table. */
static void locate(const ebb_flow *f, const int *number, struct flow_shown *shown)
{
	for (int i = shown->line.first; i <= shown->line.last; i++) {
		int row = ebb_flow_main_row(f, number[i]);
		const char *op = row < 0 ? "" : f->row[row].op,
			   *site = row < 0 ? "" : site_of(&f->row[row]);
		if (i == shown->line.first) {
			shown->op = op;
			shown->site = site;
		}
		if (strcmp(shown->op, op))
			shown->op = "";
		shown->sites = shown->sites || strcmp(shown->site, site) != 0;
	}
}

/* Space for the layers of a table. */
struct layers {
	int n;
	struct numbers *numbers;
	struct flow_line *line;
	int *number;
	double *scratch;
};

static bool reserve(struct layers *l, int n)
{
	size_t k = (size_t)n;

	*l = (struct layers){n, ebb_alloc(k * sizeof *l->numbers), ebb_alloc(k * sizeof *l->line),
		ebb_alloc(k * sizeof *l->number), ebb_alloc(k * sizeof *l->scratch)};
	return l->numbers && l->line && l->number && l->scratch;
}

static void release(struct layers *l)
{
	size_t k = (size_t)l->n;

	ebb_free(l->numbers, k * sizeof *l->numbers);
	ebb_free(l->line, k * sizeof *l->line);
	ebb_free(l->number, k * sizeof *l->number);
	ebb_free(l->scratch, k * sizeof *l->scratch);
}

/* Fills l with the layers that ran; returns how many there are, -1: no memory. */
static int fill(const ebb_flow *f, int64_t from, int64_t to, struct layers *l)
{
	int n = 0;

	for (int i = 0; i < ebb_flow_layers(f); i++) {
		ebb_flow_layer_summary s;
		if (!ebb_flow_ran(f, i, -1, from, to))
			continue;
		if (!ebb_flow_layer_summary_of(f, i, from, to, &s))
			return -1;
		int length = (int)strlen(s.path);
		l->number[n] = i;
		l->numbers[n] = of_layer(f, i, &s);
		l->line[n] = (struct flow_line){
			n, n, s.path, s.path, length, length, false, deviation(&l->numbers[n])};
		n++;
	}
	return n;
}

static void keep_findings(ebb_flow *f, struct layers *l, int n)
{
	for (int i = 0; i < n; i++) {
		struct flow_shown shown;
		if (find(f, l->line[i].head, NULL, &shown))
			for (int k = i > 0 ? i - 1 : 0; k <= i + 1 && k < n; k++)
				l->line[k].kept = true;
	}
}

static void show(
	ebb_flow *f, const struct layers *l, const struct flow_line *line, struct flow_shown *shown)
{
	struct numbers joined = {0};

	*shown = (struct flow_shown){.line = *line};
	join(l->numbers, line->first, line->last, l->scratch, &joined);
	print(&joined, shown);
	locate(f, l->number, shown);
	if (line->first == line->last)
		find(f, line->head, NULL, shown);
}

static struct flow_shown *layer_lines(
	ebb_flow *f, int64_t from, int64_t to, int most, int *n, size_t *bytes)
{
	struct layers l;
	struct flow_shown *shown = NULL;
	int all = reserve(&l, ebb_flow_layers(f)) ? fill(f, from, to, &l) : -1;
	int lines = all;

	if (all > 0) {
		keep_findings(f, &l, all);
		lines = most > 0 ? ebb_flow_collapse(l.line, all, most) : all;
	}
	*bytes = all ? (size_t)(lines > 0 ? lines : 1) * sizeof *shown : 0;
	if (all > 0)
		shown = ebb_alloc(*bytes);
	for (int i = 0; shown && i < lines; i++)
		show(f, &l, &l.line[i], &shown[i]);
	*n = shown ? lines : 0;
	release(&l);
	return shown;
}

/* Fills shown with the ops that ran; returns how many there are, -1: no memory. */
static int fill_ops(ebb_flow *f, int64_t from, int64_t to, struct flow_shown *shown)
{
	int n = 0;

	for (int i = 0; i < ebb_flow_ops(f); i++) {
		int row = ebb_flow_row_of(f, i);
		const struct flow_row *r = &f->row[row];
		const char *path = f->layer[r->layer].path;
		int length = (int)strlen(path);
		ebb_flow_measures m;
		if (!ebb_flow_ran(f, -1, i, from, to))
			continue;
		if (!ebb_flow_summary(f, i, from, to, &m))
			return -1;
		struct numbers numbers = of_op(r->kind, &m);
		struct flow_shown *next = &shown[n++];
		*next = (struct flow_shown){.line = {i, i, path, path, length, length, true, 0},
			.op = r->op,
			.site = site_of(r)};
		print(&numbers, next);
		find(f, path, r, next);
	}
	return n;
}

static struct flow_shown *op_lines(ebb_flow *f, int64_t from, int64_t to, int *n, size_t *bytes)
{
	size_t size = (size_t)ebb_flow_ops(f) * sizeof(struct flow_shown);
	struct flow_shown *shown = ebb_alloc(size);
	int ops = shown ? fill_ops(f, from, to, shown) : -1;

	*bytes = ops ? size : 0;
	if (ops > 0) {
		*n = ops;
		return shown;
	}
	ebb_free(shown, size);
	return NULL;
}

struct flow_shown *ebb_flow_lines(
	ebb_flow *f, bool ops, int64_t from, int64_t to, int most, int *n, size_t *bytes)
{
	*n = 0;
	*bytes = 0;
	if (ebb_flow_samples(f) == 0 || ebb_flow_ops(f) == 0)
		return NULL;
	return ops ? op_lines(f, from, to, n, bytes) : layer_lines(f, from, to, most, n, bytes);
}
