/* samples.c - the measures of a step, from the sums of its rows, and the list of samples. */
#include "flow/instrument/recorder.h"
#include "tensor/host.h"

#include <math.h>
#include <string.h>

/* ---- From sums to measures ------------------------------------------------------------------- */

static double share(int64_t part, int64_t all)
{
	return all > 0 ? (double)part / (double)all : NAN;
}

static double rms_of(double l2, double n)
{
	return n > 0 ? l2 / sqrt(n) : NAN;
}

static void measure_values(const struct flow_sums *s, ebb_flow_measures *m)
{
	ebb_stats y = ebb_stats_from(&s->y);
	double rms = rms_of(s->y_l2, s->y_elements);

	if (s->y.n == 0)
		return;
	m->mean = y.mean;
	m->std = y.std;
	m->rms = rms;
	m->max = y.max_abs;
	m->zeros = y.zeros;
	m->not_finite = (double)(s->y.nan + s->y_infinite);
	m->forward = rms / rms_of(s->x_l2, s->x_elements);
}

static void measure_gradient(const struct flow_sums *s, ebb_flow_measures *m)
{
	ebb_stats g = ebb_stats_from(&s->g);

	if (s->g_elements > 0) {
		m->grad_l2 = s->g_l2;
		m->grad_rms = rms_of(s->g_l2, s->g_elements);
	}
	if (s->g.n > 0) {
		m->grad_max = g.max_abs;
		m->grad_zeros = g.zeros;
		m->grad_not_finite = (double)(s->g.nan + s->g_infinite);
	}
	if (s->contributions > 0)
		m->backward = s->into_l2 / s->from_l2;
}

static void measure_parameters(const struct flow_update *u, ebb_flow_measures *m)
{
	if (u->params > 0) {
		m->weight_l2 = u->weight_l2;
		m->weight_grad_l2 = u->weight_grad_l2;
	}
	if (u->updates > 0) {
		double size = u->update_l2 * u->updated_grad_l2;

		m->update_ratio = u->updated_l2 > 0 ? u->update_l2 / u->updated_l2 : NAN;
		m->cosine = size > 0 ? u->dot / size : NAN;
	}
}

ebb_flow_measures ebb_flow_no_measures(void)
{
	ebb_flow_measures m;

	/* Every member is a double. */
	for (size_t i = 0; i < sizeof m / sizeof(double); i++)
		((double *)&m)[i] = NAN;
	return m;
}

static ebb_flow_measures measures_of(const ebb_flow *f, const struct flow_row *r)
{
	const struct flow_sums *s = &r->step;
	ebb_flow_measures m = ebb_flow_no_measures();

	m.calls = (double)s->calls;
	m.elements = s->elements;
	measure_values(s, &m);
	measure_gradient(s, &m);
	measure_parameters(&r->update, &m);
	m.saturated = share(s->flat, s->slopes);
	m.dead = r->kind == EBB_FLOW_SLOPE ? ebb_flow_units_dead(&r->units, f->limits.active) : NAN;
	m.rank = s->ranks > 0 ? s->rank / (double)s->ranks : NAN;
	return m;
}

/* ---- Samples --------------------------------------------------------------------------------- */

static void free_sample(struct flow_sample *s)
{
	ebb_free(s->m, (size_t)s->rows * sizeof *s->m);
}

/* Doubles the interval, and drops the samples between; or every second one, if there are none
 * between because not every step that was due could be measured. */
static void thin(ebb_flow *f)
{
	int kept = 0;
	bool between = false;

	f->every *= 2;
	for (int i = 0; i < f->samples; i++)
		between = between || f->sample[i].step % f->every;
	for (int i = 0; i < f->samples; i++) {
		if (between ? f->sample[i].step % f->every != 0 : i % 2)
			free_sample(&f->sample[i]);
		else
			f->sample[kept++] = f->sample[i];
	}
	f->samples = kept;
}

/* Drops the sample that was taken of the open step when it was read. */
static void drop_early(ebb_flow *f)
{
	if (f->samples == 0 || f->sample[f->samples - 1].step != f->step)
		return;
	free_sample(&f->sample[--f->samples]);
	f->measured--;
}

static int compare_order(const ebb_flow *f, int a, int b)
{
	int64_t x = f->row[a].order, y = f->row[b].order;

	return (x > y) - (x < y);
}

/* By insertion: the rows are nearly sorted. */
int ebb_flow_judged_rows(const ebb_flow *f, const struct flow_sample *s, struct flow_judged *out)
{
	int n = 0;

	for (int i = 0; i < s->rows; i++) {
		int at = n;

		if (!(s->m[i].calls > 0))
			continue;
		for (; at > 0 && compare_order(f, out[at - 1].row, i) > 0; at--)
			out[at] = out[at - 1];
		out[at] = (struct flow_judged){i, &f->row[i], s->m[i]};
		n++;
	}
	return n;
}

void ebb_flow_take_sample(ebb_flow *f)
{
	struct flow_recorder *r = f->recorder;
	struct flow_sample s = {.step = f->step, .rows = f->rows};
	size_t bytes = (size_t)f->rows * sizeof(struct flow_judged);
	struct flow_judged *judged = ebb_alloc(bytes);
	double loss;

	drop_early(f);
	if (f->samples == f->max_samples)
		thin(f);
	s.loss = r->losses > 0 ? r->loss_sum / (double)r->losses : NAN;
	s.m = ebb_alloc((size_t)f->rows * sizeof *s.m);
	if ((f->rows && (!s.m || !judged)) ||
		!ebb_grow(&f->sample, &f->sample_capacity, f->samples + 1, sizeof *f->sample)) {
		free_sample(&s);
		ebb_free(judged, bytes);
		f->failed = true;
		return;
	}
	for (int i = 0; i < f->rows; i++)
		s.m[i] = measures_of(f, &f->row[i]);
	f->sample[f->samples++] = s;
	/* A step without a loss is judged as if the loss had not changed. */
	loss = r->losses > 0 ? s.loss : isfinite(f->first_loss) ? f->first_loss : 0;
	r->judging = true;
	ebb_flow_judge(f, s.step, loss, ebb_flow_judged_rows(f, &s, judged), judged);
	r->judging = false;
	f->measured++;
	ebb_free(judged, bytes);
}

void ebb_flow_samples_free(ebb_flow *f)
{
	for (int i = 0; i < f->samples; i++)
		free_sample(&f->sample[i]);
	ebb_free(f->sample, (size_t)f->sample_capacity * sizeof *f->sample);
}

bool ebb_flow_histogram_of(const ebb_flow *f, int op, bool gradient, ebb_flow_histogram *h)
{
	int row = f ? ebb_flow_row_of(f, op) : -1;

	if (row < 0 || !f->row[row].histogram)
		return false;
	*h = f->row[row].histogram[gradient];
	return true;
}
