/* rows.c - reading a probe: its rows, and summaries (medians over rows). */
#include "flow/internal.h"

#include <math.h>

int64_t ebb_probe_steps(const ebb_probe *p)
{
	return p ? p->step : 0;
}

bool ebb_probe_failed(const ebb_probe *p)
{
	return !p || p->failed;
}

int ebb_probe_layers(const ebb_probe *p)
{
	return p ? p->layers : 0;
}

ebb_layer ebb_probe_layer(const ebb_probe *p, int layer)
{
	if (!p || layer < 0 || layer >= p->layers)
		return (ebb_layer){0};
	return (ebb_layer){p->layer[layer].path, p->layer[layer].container};
}

int ebb_probe_params(const ebb_probe *p)
{
	return p ? p->params : 0;
}

ebb_probed_param ebb_probe_param(const ebb_probe *p, int param)
{
	if (!p || param < 0 || param >= p->params)
		return (ebb_probed_param){NULL, -1};
	return (ebb_probed_param){p->param[param].name, p->param[param].layer};
}

int ebb_probe_samples(const ebb_probe *p)
{
	return p ? p->samples : 0;
}

int64_t ebb_probe_sample_step(const ebb_probe *p, int sample)
{
	return p && sample >= 0 && sample < p->samples ? p->step_of[sample] : -1;
}

bool ebb_probe_layer_row(const ebb_probe *p, int sample, int layer, ebb_layer_row *row)
{
	if (!p || !row || sample < 0 || sample >= p->samples || layer < 0 || layer >= p->layers)
		return false;
	const struct layer_sums *s = &p->layer[layer].rows[sample];
	*row = (ebb_layer_row){ebb_stats_from(&s->activation), ebb_stats_from(&s->gradient)};
	return true;
}

static double update_ratio(const struct param_sums *s)
{
	return s->compared && s->weight.l2 > 0 ? s->change / s->weight.l2 : NAN;
}

bool ebb_probe_param_row(const ebb_probe *p, int sample, int param, ebb_param_row *row)
{
	if (!p || !row || sample < 0 || sample >= p->samples || param < 0 || param >= p->params)
		return false;
	const struct param_sums *s = &p->param[param].rows[sample];
	row->weight = ebb_stats_from(&s->weight);
	row->gradient = ebb_stats_from(&s->gradient);
	row->update_ratio = update_ratio(s);
	return true;
}

/* ---- Summaries ---- */

/* The sums over all parameters used inside layer, concatenated to one vector, in one sample. */
static struct param_sums params_inside(const ebb_probe *p, int sample, int layer)
{
	struct param_sums all = {0};
	const char *path = p->layer[layer].path;

	for (int i = 0; i < p->params; i++) {
		const struct probe_param *q = &p->param[i];
		const struct param_sums *s = &q->rows[sample];
		if (q->layer != layer &&
			(q->layer < 0 || !ebb_path_inside(p->layer[q->layer].path, path)))
			continue;
		ebb_sums_add(&all.gradient, &s->gradient);
		if (s->compared) {
			ebb_sums_add(&all.weight, &s->weight);
			all.change = hypot(all.change, s->change);
			all.compared = true;
		}
	}
	return all;
}

enum {
	MEAN,
	STD,
	ZEROS,
	SATURATED,
	GRAD_L2,
	GRAD_MEAN_ABS,
	GRAD_MAX,
	GRAD_ZEROS,
	PARAM_L2,
	PARAM_MEAN_ABS,
	PARAM_MAX,
	PARAM_ZEROS,
	UPDATE,
	QUANTITIES
};

static void quantities(
	const ebb_stats *a, const ebb_stats *g, const struct param_sums *q, double *v)
{
	ebb_stats w = ebb_stats_from(&q->gradient);

	for (int i = 0; i < QUANTITIES; i++)
		v[i] = NAN;
	if (a->count) {
		v[MEAN] = a->mean;
		v[STD] = a->std;
		v[ZEROS] = a->zeros;
		v[SATURATED] = a->saturated;
	}
	if (g->count) {
		v[GRAD_L2] = g->l2;
		v[GRAD_MEAN_ABS] = g->mean_abs;
		v[GRAD_MAX] = g->max_abs;
		v[GRAD_ZEROS] = g->zeros;
	}
	if (w.count) {
		v[PARAM_L2] = w.l2;
		v[PARAM_MEAN_ABS] = w.mean_abs;
		v[PARAM_MAX] = w.max_abs;
		v[PARAM_ZEROS] = w.zeros;
	}
	v[UPDATE] = update_ratio(q);
}

bool ebb_probe_summary(
	const ebb_probe *p, int layer, int64_t from, int64_t to, ebb_layer_summary *s)
{
	if (!p || !s || layer < 0 || layer >= p->layers)
		return false;
	size_t stride = (size_t)p->samples, bytes = QUANTITIES * stride * sizeof(double);
	double *v = ebb_alloc(bytes), m[QUANTITIES];
	if (bytes && !v)
		return false;

	*s = (ebb_layer_summary){.path = p->layer[layer].path};
	for (int k = 0; k < p->samples; k++) {
		ebb_layer_row row;
		double q[QUANTITIES];
		if (p->step_of[k] < from || (to > 0 && p->step_of[k] >= to) ||
			!ebb_probe_layer_row(p, k, layer, &row))
			continue;
		struct param_sums params = params_inside(p, k, layer);
		quantities(&row.activation, &row.gradient, &params, q);
		for (int i = 0; i < QUANTITIES; i++)
			v[(size_t)i * stride + (size_t)s->samples] = q[i];
		s->samples++;
		s->nan += row.activation.nan + row.gradient.nan + params.gradient.nan;
	}
	for (int i = 0; i < QUANTITIES; i++)
		m[i] = v ? ebb_median(v + (size_t)i * stride, s->samples) : NAN;
	ebb_free(v, bytes);

	s->mean = m[MEAN];
	s->std = m[STD];
	s->zeros = m[ZEROS];
	s->saturated = m[SATURATED];
	s->grad_l2 = m[GRAD_L2];
	s->grad_mean_abs = m[GRAD_MEAN_ABS];
	s->grad_max = m[GRAD_MAX];
	s->grad_zeros = m[GRAD_ZEROS];
	s->param_grad_l2 = m[PARAM_L2];
	s->param_grad_mean_abs = m[PARAM_MEAN_ABS];
	s->param_grad_max = m[PARAM_MAX];
	s->param_grad_zeros = m[PARAM_ZEROS];
	s->update_ratio = m[UPDATE];
	return true;
}

ebb_layer_summary *ebb_summaries(
	const ebb_probe *p, int64_t from, int64_t to, int *n, size_t *bytes)
{
	*n = 0;
	*bytes = (size_t)ebb_probe_layers(p) * sizeof(ebb_layer_summary);
	ebb_layer_summary *s = ebb_alloc(*bytes);
	if (!s)
		return NULL;
	for (int i = 0; i < p->layers; i++) {
		if (p->layer[i].container)
			continue;
		if (!ebb_probe_summary(p, i, from, to, &s[*n])) {
			ebb_free(s, *bytes);
			return NULL;
		}
		*n += s[*n].samples > 0;
	}
	return s;
}
