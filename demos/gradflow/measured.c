/* measured.c - reads the numbered layers of a network from its instrument. */
#include "gradflow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double product(const measured *m)
{
	return m->weight * m->norm * m->slope;
}

/* The number of the layer, from 1, that a path such as layer03.conv is part of; 0: none. */
static int number_of(const char *path)
{
	int number;

	return sscanf(path, "layer%d.", &number) == 1 ? number : 0;
}

/* The instrument has a layer for each parameterised op: here a convolution and a normalisation,
 * whose factors are multiplied.  to: as in ebb_flow_summary. */
static bool read_layers(run *r, int64_t to)
{
	int depth = r->net.depth;

	for (int i = 0; i < depth; i++)
		r->layer[i] = (measured){NAN, 1, 1, 1};
	for (int i = 0; i < ebb_flow_layers(r->flow); i++) {
		int number = number_of(ebb_flow_layer(r->flow, i));
		ebb_flow_layer_summary s;

		if (number < 1 || number > depth)
			continue;
		if (!ebb_flow_layer_summary_of(r->flow, i, 0, to, &s))
			return false;
		measured *m = &r->layer[number - 1];
		*m = (measured){
			s.gradient, m->weight * s.weight, m->norm * s.norm, m->slope * s.slope};
	}
	return true;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of one member of the layers, without NaN. */
static double median(const run *r, size_t member, double *v)
{
	int n = 0;

	for (int i = 0; i < r->net.depth; i++) {
		memcpy(&v[n], (const char *)&r->layer[i] + member, sizeof *v);
		n += !isnan(v[n]);
	}
	qsort(v, (size_t)n, sizeof *v, compare);
	return n ? (v[(n - 1) / 2] + v[n / 2]) / 2 : NAN;
}

/* The first step with a value that is not finite; 0: none. */
static int64_t broken_step(const run *r)
{
	ebb_finding x;

	for (int i = 0; ebb_flow_finding(r->flow, i, &x); i++)
		if (x.kind == EBB_VERDICT_NOT_FINITE)
			return x.step > 0 ? x.step : 1;
	return 0;
}

bool read_instrument(run *r)
{
	int depth = r->net.depth;
	double *v = calloc((size_t)depth, sizeof *v);
	bool ok;

	r->layer = calloc((size_t)depth, sizeof *r->layer);
	ok = v && r->layer;
	if (ok) {
		r->verdict = ebb_flow_verdict(r->flow);
		r->findings = ebb_flow_findings(r->flow);
		ok = read_layers(r, broken_step(r));
	}
	if (ok) {
		r->median = (measured){median(r, offsetof(measured, gradient), v),
			median(r, offsetof(measured, weight), v),
			median(r, offsetof(measured, norm), v),
			median(r, offsetof(measured, slope), v)};
		for (int i = 0; i < depth; i++)
			v[i] = r->layer[i].gradient;
		ok = ebb_decay_fit(depth, v, &r->decay);
	}
	free(v);
	return ok;
}
