/* synthetic.c - rows and measures of networks with chosen factors. */
#include "tests/flow/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct net *net;
const int DEPTHS[3] = {8, 24, 50};

static int add_row(int layer, const char *op, ebb_flow_kind kind, int before)
{
	int i = net->rows++;

	snprintf(net->sites[i], sizeof net->sites[i], "net.c:%d", 100 + i);
	net->row[i] = (struct flow_row){.layer = layer,
		.op = op,
		.site = net->sites[i],
		.kind = kind,
		.before = before,
		.stage = net->weight[layer],
		.order = i,
		.units = {.n = UNITS}};
	return i;
}

/* The rows of the layers in net->l. */
void build(void)
{
	int x = -1;

	for (int i = 0; i < net->depth; i++) {
		bool branch_ends = net->residual && i > 0 && i % 2 == 0 && i + 1 < net->depth;
		snprintf(net->names[i], sizeof net->names[i], "fc%d", i);
		net->path[i] =
			(struct flow_layer){.path = net->names[i], .size = sizeof net->names[i]};
		net->weight[i] = net->rows;
		x = add_row(i, "linear", EBB_FLOW_WEIGHT, x);
		if (net->l[i].norm != 0)
			x = add_row(i, "batchnorm", EBB_FLOW_NORM, x);
		if (net->l[i].op)
			net->slope[i] = x = add_row(i, net->l[i].op, EBB_FLOW_SLOPE, x);
		if (branch_ends)
			x = add_row(i, "add", EBB_FLOW_SUM, x);
	}
	net->f.layer = net->path;
	net->f.layers = net->depth;
	net->f.row = net->row;
	net->f.rows = net->rows;
	net->f.sample = net->sample;
	net->f.limits = ebb_verdict_limits_of(NULL);
	net->f.origin.row = -1;
}

void begin(int depth, const char *op, double w, double phi)
{
	net = calloc(1, sizeof *net);
	ck_assert_ptr_nonnull(net);
	net->depth = depth;
	net->loss = 2.3;
	net->scale = 1;
	for (int i = 0; i < depth; i++)
		net->l[i] = (struct layer){.w = w,
			.phi = phi,
			.dead = 0.02,
			.saturated = 0.02,
			.update = 1e-3,
			.op = op};
	net->l[depth - 1].op = NULL;
}

void end(void)
{
	ebb_free(net->f.finding, (size_t)net->f.finding_capacity * sizeof *net->f.finding);
	free(net);
	net = NULL;
}

/* A plain ReLU network under He initialisation. */
void begin_relu(int depth)
{
	begin(depth, "relu", sqrt(2), sqrt(0.5));
}

static const struct layer *layer_of(int row)
{
	return &net->l[net->row[row].layer];
}

static double factor_of(int row)
{
	const struct layer *l = layer_of(row);

	switch (net->row[row].kind) {
	case EBB_FLOW_WEIGHT:
		return l->w;
	case EBB_FLOW_NORM:
		return l->norm;
	case EBB_FLOW_SLOPE:
		return l->phi;
	default:
		return 1;
	}
}

static void fill_forward(void)
{
	double rms = 1, skip = 1;

	for (int i = 0; i < net->rows; i++) {
		ebb_flow_measures *m = &net->m[i];
		double *number = (double *)m, x = rms, factor = factor_of(i);
		for (size_t k = 0; k < sizeof *m / sizeof(double); k++)
			number[k] = NAN;
		m->calls = m->elements = 1;
		m->not_finite = m->grad_not_finite = 0;
		/* A bounded nonlinearity keeps its result below 1. */
		rms = net->row[i].kind == EBB_FLOW_SLOPE && ebb_flow_is_bounded(net->row[i].op)
		              ? fmin(rms * factor, 0.7)
		              : rms * factor;
		if (net->row[i].kind == EBB_FLOW_NORM)
			rms = 1;
		if (net->row[i].kind == EBB_FLOW_WEIGHT)
			rms += layer_of(i)->shift;
		m->forward = rms / x;
		if (net->row[i].kind == EBB_FLOW_SUM)
			rms = hypot(rms, skip);
		if (net->row[i].kind == EBB_FLOW_SUM || i == 0)
			skip = rms;
		m->rms = rms;
		if (net->row[i].kind == EBB_FLOW_SLOPE) {
			bool bounded = ebb_flow_is_bounded(net->row[i].op);
			m->dead = bounded ? layer_of(i)->saturated : layer_of(i)->dead;
			m->saturated = layer_of(i)->saturated;
		}
	}
}

static void fill_backward(void)
{
	double g = net->scale, skip = 0;

	for (int i = net->rows - 1; i >= 0; i--) {
		ebb_flow_measures *m = &net->m[i];
		int layer = net->row[i].layer;
		if (net->row[i].kind == EBB_FLOW_SUM)
			skip = g;
		m->grad_l2 = m->grad_rms = g;
		m->backward = i == 0 || g == 0 ? NAN : factor_of(i);
		if (net->row[i].kind == EBB_FLOW_WEIGHT) {
			m->weight_l2 = layer_of(i)->w;
			m->weight_grad_l2 = g;
			m->update_ratio = layer_of(i)->update;
		}
		g *= factor_of(i);
		if (net->residual && net->row[i].kind == EBB_FLOW_WEIGHT && layer % 2 == 1 &&
			layer + 2 < net->depth)
			g = hypot(g, skip);
	}
}

void measure(void)
{
	fill_forward();
	fill_backward();
}

/* Judges the measures as the next step. */
void judge(void)
{
	int n = 0;
	struct flow_sample *s = &net->sample[net->f.samples];

	if (net->f.measured == 0)
		net->f.first_loss = net->loss;
	net->f.last_loss = net->loss;
	for (int i = 0; i < net->rows; i++)
		if (net->m[i].calls > 0)
			net->judged[n++] = (struct flow_judged){i, &net->row[i], net->m[i]};
	ebb_flow_judge(&net->f, net->step, net->loss, n, net->judged);
	memcpy(net->kept[net->f.samples], net->m, sizeof net->m);
	*s = (struct flow_sample){net->step++, net->loss, net->rows, net->kept[net->f.samples]};
	net->f.samples++;
	net->f.measured++;
}

void judge_steps(int n)
{
	for (int i = 0; i < n; i++) {
		measure();
		judge();
	}
}

const char *all_findings(void)
{
	static char text[4000];
	ebb_finding x;

	text[0] = '\0';
	for (int i = 0; ebb_flow_finding(&net->f, i, &x); i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "\n%s", x.sentence);
	return text;
}

void assert_none(void)
{
	ebb_finding v = ebb_flow_verdict(&net->f);

	ck_assert_msg(ebb_flow_findings(&net->f) == 0, "depth %d:%s", net->depth, all_findings());
	ck_assert_int_eq(v.kind, EBB_VERDICT_HEALTHY);
	ck_assert_msg(strstr(v.sentence, "Healthy: the gradient reaches all "), "%s", v.sentence);
	ck_assert_int_eq(ebb_flow_status(&net->f), 0);
	ck_assert(!net->f.failed);
}

/* Finding 0 begins at that row. */
void assert_first(ebb_verdict_kind kind, int row, int64_t step)
{
	ebb_finding x;

	ck_assert_msg(ebb_flow_finding(&net->f, 0, &x), "no finding, expected %s in row %d",
		ebb_verdict_name(kind), row);
	ck_assert_msg(x.kind == kind && x.step == step && !strcmp(x.site, net->sites[row]) &&
			      !strcmp(x.layer, net->names[net->row[row].layer]) &&
			      !strcmp(x.op, net->row[row].op),
		"depth %d, expected %s at %s (layer %s) since step %d:%s", net->depth,
		ebb_verdict_name(kind), net->sites[row], net->names[net->row[row].layer], (int)step,
		all_findings());
	ck_assert_int_eq(ebb_flow_status(&net->f), 1);
	ck_assert(x.sentence[0] >= 'A' && x.sentence[0] <= 'Z');
	ck_assert(x.sentence[strlen(x.sentence) - 1] == '.');
	ck_assert_msg(strstr(x.sentence, x.layer) && strstr(x.sentence, x.site), "%s", x.sentence);
	ck_assert(strlen(x.advice) > 20 && x.advice[strlen(x.advice) - 1] == '.');
}

void assert_only(ebb_verdict_kind kind, int row, int64_t step)
{
	assert_first(kind, row, step);
	ck_assert_msg(ebb_flow_findings(&net->f) == 1, "depth %d:%s", net->depth, all_findings());
}
