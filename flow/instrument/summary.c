/* summary.c - reading a flow instrument: ops and layers in the order of the forward computation,
 * samples, and medians over samples. */
#include "tensor/host.h"
#include "flow/instrument/internal.h"

#include <math.h>
#include <string.h>

/* ---- The order ---- */

/* Insertion sorts, because rows are few, and are nearly in order already. */
static void sort_rows(ebb_flow *f)
{
	struct flow_row *r = f->row;

	for (int k = f->sorted_rows; k < f->rows; k++)
		r[k].place = k;
	for (int k = 1; k < f->rows; k++) {
		int place = r[k].place, i = k;
		for (; i > 0 && r[r[i - 1].place].order > r[place].order; i--)
			r[i].place = r[i - 1].place;
		r[i].place = place;
	}
	f->sorted_rows = f->rows;
}

static void sort_layers(ebb_flow *f)
{
	struct flow_layer *l = f->layer;

	for (int k = 0; k < f->layers; k++)
		l[k].order = INT64_MAX;
	for (int i = f->rows - 1; i >= 0; i--) {
		const struct flow_row *r = &f->row[f->row[i].place];
		l[r->layer].order = r->order;
	}
	for (int k = f->sorted_layers; k < f->layers; k++)
		l[k].place = k;
	for (int k = 1; k < f->layers; k++) {
		int place = l[k].place, i = k;
		for (; i > 0 && l[l[i - 1].place].order > l[place].order; i--)
			l[i].place = l[i - 1].place;
		l[i].place = place;
	}
	for (int k = 0; k < f->layers; k++)
		l[l[k].place].number = k;
	f->sorted_layers = f->layers;
}

void ebb_flow_sort(ebb_flow *f)
{
	sort_rows(f);
	sort_layers(f);
}

int ebb_flow_row_of(const ebb_flow *f, int op)
{
	return f && op >= 0 && op < f->sorted_rows ? f->row[op].place : -1;
}

/* The index in f->layer; -1: none. */
static int layer_of(const ebb_flow *f, int layer)
{
	return f && layer >= 0 && layer < f->sorted_layers ? f->layer[layer].place : -1;
}

/* ---- Layers, ops and samples ---- */

int ebb_flow_layers(const ebb_flow *f)
{
	return f ? f->sorted_layers : 0;
}

const char *ebb_flow_layer(const ebb_flow *f, int layer)
{
	int l = layer_of(f, layer);

	return l < 0 ? NULL : f->layer[l].path;
}

int ebb_flow_ops(const ebb_flow *f)
{
	return f ? f->sorted_rows : 0;
}

bool ebb_flow_op_at(const ebb_flow *f, int op, ebb_flow_op *row)
{
	int i = ebb_flow_row_of(f, op);

	if (i < 0 || !row)
		return false;
	const struct flow_row *r = &f->row[i];
	*row = (ebb_flow_op){f->layer[r->layer].number, r->op, r->site, r->added, r->kind};
	return true;
}

bool ebb_flow_has(const ebb_flow *f, int layer, ebb_flow_kind kind)
{
	int l = layer_of(f, layer);

	for (int i = 0; l >= 0 && i < f->sorted_rows; i++)
		if (f->row[i].layer == l && f->row[i].kind == kind)
			return true;
	return false;
}

int ebb_flow_main_row(const ebb_flow *f, int layer)
{
	int l = layer_of(f, layer), first = -1;

	for (int i = 0; l >= 0 && i < f->sorted_rows; i++) {
		int row = f->row[i].place;
		if (f->row[row].layer != l)
			continue;
		if (f->row[row].kind == EBB_FLOW_WEIGHT)
			return row;
		first = first < 0 ? row : first;
	}
	return first;
}

int ebb_flow_samples(const ebb_flow *f)
{
	return f ? f->samples : 0;
}

static const struct flow_sample *sample_at(const ebb_flow *f, int sample)
{
	return f && sample >= 0 && sample < f->samples ? &f->sample[sample] : NULL;
}

int64_t ebb_flow_sample_step(const ebb_flow *f, int sample)
{
	const struct flow_sample *s = sample_at(f, sample);

	return s ? s->step : -1;
}

double ebb_flow_sample_loss(const ebb_flow *f, int sample)
{
	const struct flow_sample *s = sample_at(f, sample);

	return s ? s->loss : NAN;
}

/* The measures of f->row[row]; NULL: it did not run. */
static const ebb_flow_measures *measured(const struct flow_sample *s, int row)
{
	return row < s->rows && s->m[row].calls > 0 ? &s->m[row] : NULL;
}

bool ebb_flow_sample(const ebb_flow *f, int sample, int op, ebb_flow_measures *m)
{
	const struct flow_sample *s = sample_at(f, sample);
	int row = ebb_flow_row_of(f, op);
	const ebb_flow_measures *found = s && row >= 0 ? measured(s, row) : NULL;

	if (!found || !m)
		return false;
	*m = *found;
	return true;
}

/* ---- Medians ---- */

static bool inside(const struct flow_sample *s, int64_t from, int64_t to)
{
	return s->step >= from && (to <= 0 || s->step < to);
}

bool ebb_flow_ran(const ebb_flow *f, int layer, int op, int64_t from, int64_t to)
{
	int l = layer_of(f, layer), row = ebb_flow_row_of(f, op);

	for (int k = 0; f && k < f->samples; k++)
		for (int i = 0; inside(&f->sample[k], from, to) && i < f->sorted_rows; i++)
			if ((f->row[i].layer == l || i == row) && measured(&f->sample[k], i))
				return true;
	return false;
}

/* Row i of v, which has a column per sample. */
static double *row_of(double *v, const ebb_flow *f, int i)
{
	return v + (size_t)i * (size_t)f->samples;
}

bool ebb_flow_summary(const ebb_flow *f, int op, int64_t from, int64_t to, ebb_flow_measures *m)
{
	/* All members of ebb_flow_measures are doubles. */
	enum { MEASURES = sizeof *m / sizeof(double) };
	double one[MEASURES];
	int row = ebb_flow_row_of(f, op), n = 0;

	if (row < 0 || !m || f->samples == 0)
		return false;
	size_t bytes = sizeof one * (size_t)f->samples;
	double *v = ebb_alloc(bytes);
	if (!v)
		return false;
	for (int k = 0; k < f->samples; k++) {
		const ebb_flow_measures *found = measured(&f->sample[k], row);
		if (!found || !inside(&f->sample[k], from, to))
			continue;
		memcpy(one, found, sizeof one);
		for (int i = 0; i < MEASURES; i++)
			row_of(v, f, i)[n] = one[i];
		n++;
	}
	for (int i = 0; i < MEASURES; i++)
		one[i] = ebb_median(row_of(v, f, i), n);
	memcpy(m, one, sizeof *m);
	ebb_free(v, bytes);
	return n > 0;
}

/* ---- A layer ---- */

/* A row of a layer.  chained: its factor is one of those that the gradient passes in sequence on
 * its path from the layer's last row to its first input. */
struct part {
	int row;
	bool chained;
};

/* Marks the rows between the last one and the layer's input.  A kind of op that is not among them,
 * because an op between them is not measured, is represented by its first row. */
static void chain(const ebb_flow *f, struct part *part, int n)
{
	int kinds = 0;

	for (int row = part[n - 1].row; row >= 0;) {
		int i = 0;
		while (i < n && part[i].row != row)
			i++;
		if (i == n || part[i].chained)
			break;
		part[i].chained = true;
		kinds |= 1 << f->row[row].kind;
		row = f->row[row].before;
	}
	for (int i = 0; i < n; i++) {
		int kind = 1 << f->row[part[i].row].kind;
		part[i].chained = part[i].chained || !(kinds & kind);
		kinds |= kind;
	}
}

/* The members of ebb_flow_layer_summary that are medians, in its order. */
enum {
	WEIGHT,
	NORM,
	SLOPE,
	ACTIVATION,
	GRADIENT,
	ZEROS,
	SATURATED,
	DEAD,
	WEIGHT_L2,
	WEIGHT_GRAD_L2,
	UPDATE,
	COSINE,
	QUANTITIES
};

static double plus(double sum, double x)
{
	return isnan(sum) ? x : isnan(x) ? sum : hypot(sum, x);
}

/* The parameters of a layer's rows, concatenated to one vector. */
static void add_params(const ebb_flow_measures *m, int rows_before, double *q)
{
	double ratio = q[UPDATE], cosine = q[COSINE], update, more = m->update_ratio * m->weight_l2,
	       dot;

	if (rows_before == 0) {
		q[WEIGHT_L2] = m->weight_l2;
		q[WEIGHT_GRAD_L2] = m->weight_grad_l2;
		q[UPDATE] = m->update_ratio;
		q[COSINE] = m->cosine;
		return;
	}
	update = ratio * q[WEIGHT_L2];
	dot = cosine * update * q[WEIGHT_GRAD_L2] + m->cosine * more * m->weight_grad_l2;
	q[WEIGHT_L2] = plus(q[WEIGHT_L2], m->weight_l2);
	q[WEIGHT_GRAD_L2] = plus(q[WEIGHT_GRAD_L2], m->weight_grad_l2);
	update = plus(update, more);
	q[UPDATE] = update / q[WEIGHT_L2];
	q[COSINE] = dot / (update * q[WEIGHT_GRAD_L2]);
}

/* Sets q to the layer's measures in one sample, and adds to *not_finite.  False if none of its ops
 * ran. */
static bool measure(const ebb_flow *f, const struct flow_sample *s, int n, const struct part *part,
	double *q, double *not_finite)
{
	static const int factor[] = {
		[EBB_FLOW_WEIGHT] = WEIGHT, [EBB_FLOW_NORM] = NORM, [EBB_FLOW_SLOPE] = SLOPE};
	bool any = false;
	int with_params = 0;

	for (int i = 0; i < QUANTITIES; i++)
		q[i] = NAN;
	q[WEIGHT] = q[NORM] = q[SLOPE] = 1;
	for (int i = 0; i < n; i++) {
		const ebb_flow_measures *m = measured(s, part[i].row);
		ebb_flow_kind kind = f->row[part[i].row].kind;
		if (!m)
			continue;
		any = true;
		if (part[i].chained && kind != EBB_FLOW_SUM)
			q[factor[kind]] *= m->backward;
		q[ACTIVATION] = m->rms;
		q[GRADIENT] = m->grad_l2;
		if (kind == EBB_FLOW_SLOPE) {
			q[ZEROS] = m->zeros;
			q[SATURATED] = m->saturated;
			q[DEAD] = m->dead;
		}
		if (!isnan(m->weight_l2))
			add_params(m, with_params++, q);
		*not_finite += isnan(m->not_finite) ? 0 : m->not_finite;
		*not_finite += isnan(m->grad_not_finite) ? 0 : m->grad_not_finite;
	}
	return any;
}

static int parts_of(const ebb_flow *f, int layer, struct part *part)
{
	int n = 0;

	for (int i = 0; i < f->sorted_rows; i++)
		if (f->row[f->row[i].place].layer == layer)
			part[n++] = (struct part){f->row[i].place, false};
	if (n)
		chain(f, part, n);
	return n;
}

bool ebb_flow_layer_summary_of(
	const ebb_flow *f, int layer, int64_t from, int64_t to, ebb_flow_layer_summary *s)
{
	int l = layer_of(f, layer);
	double one[QUANTITIES], not_finite = 0;

	if (l < 0 || !s || f->samples == 0 || f->sorted_rows == 0)
		return false;
	size_t part_bytes = (size_t)f->sorted_rows * sizeof(struct part),
	       bytes = sizeof one * (size_t)f->samples;
	struct part *part = ebb_alloc(part_bytes);
	double *v = ebb_alloc(bytes);
	int n = 0, parts = part && v ? parts_of(f, l, part) : 0;
	for (int k = 0; parts && k < f->samples; k++) {
		const struct flow_sample *sample = &f->sample[k];
		if (!inside(sample, from, to) || !measure(f, sample, parts, part, one, &not_finite))
			continue;
		for (int i = 0; i < QUANTITIES; i++)
			row_of(v, f, i)[n] = one[i];
		n++;
	}
	for (int i = 0; n && i < QUANTITIES; i++)
		one[i] = ebb_median(row_of(v, f, i), n);
	ebb_free(part, part_bytes);
	ebb_free(v, bytes);
	if (n == 0)
		return false;
	*s = (ebb_flow_layer_summary){f->layer[l].path, n, one[WEIGHT], one[NORM], one[SLOPE],
		one[ACTIVATION], one[GRADIENT], one[ZEROS], one[SATURATED], one[DEAD],
		one[WEIGHT_L2], one[WEIGHT_GRAD_L2], one[UPDATE], one[COSINE], not_finite};
	return true;
}
