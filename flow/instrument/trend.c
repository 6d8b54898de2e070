/* trend.c - the gradient's norm from the loss to the input, and the loss. */
#include "flow/instrument/judge.h"
#include "tensor/host.h"

#include <inttypes.h>
#include <math.h>

/* ---- Trends ---- */

/* The stages of a component whose gradient was measured, in the order of the forward
 * computation: the stages from the first one on that are in it. */
struct trend {
	const struct judging *j;
	int component;
	int after; /* stages up to this index are left out */
};

static bool has(const struct trend *t, const struct flow_stage *s)
{
	double g = t->j->rows[s->weight].m.grad_l2;

	return s->weight > t->after && t->j->component[s->weight] == t->component && g >= 0 &&
	       isfinite(g);
}

static int length(const struct trend *t)
{
	int n = 0;

	for (int i = 0; i < t->j->stages; i++)
		n += has(t, &t->j->stage[i]);
	return n;
}

static double gradient(const struct judging *j, const struct flow_stage *s)
{
	return j->rows[s->weight].m.grad_l2;
}

static double activation(const struct judging *j, const struct flow_stage *s)
{
	return j->rows[s->weight].m.rms;
}

static double log_weight(const struct judging *j, const struct flow_stage *s)
{
	(void)j;
	return s->log_factor;
}

static double slope(const struct judging *j, const struct flow_stage *s)
{
	(void)j;
	return s->slope_factor;
}

/* The median of a number over the stages [from, to) of the trend. */
static double over(const struct trend *t, int from, int to,
	double (*number)(const struct judging *, const struct flow_stage *))
{
	int n = 0, k = 0;

	for (int i = 0; i < t->j->stages; i++) {
		const struct flow_stage *s = &t->j->stage[i];
		if (!has(t, s))
			continue;
		double x = number(t->j, s);
		if (k >= from && k < to && !isnan(x))
			t->j->scratch[n++] = x;
		k++;
	}
	return ebb_median(t->j->scratch, n);
}

/* The norms near the loss: the median over the last quarter of the stages. */
static double near_loss(const struct trend *t, int n)
{
	return over(t, n - (n / 4 > 1 ? n / 4 : 1), n, gradient);
}

/* The last index such that the gradient of it and of all stages before it is below the limit, if
 * there are at least `least` of them; else -1.  In a network with branches, some stages of which
 * receive little, the others decide. */
static int vanished(const struct trend *t, double limit, int least)
{
	int n = 0, at = -1;

	for (int i = 0; i < t->j->stages; i++) {
		const struct flow_stage *s = &t->j->stage[i];
		if (!has(t, s))
			continue;
		if (!(gradient(t->j, s) < limit))
			break;
		n++;
		at = s->weight;
	}
	return n >= least ? at : -1;
}

/* The index of the first stage, from the loss to the input, whose gradient is above the limit. */
static int exploded(const struct trend *t, double limit)
{
	for (int i = t->j->stages - 1; i >= 0; i--)
		if (has(t, &t->j->stage[i]) && gradient(t->j, &t->j->stage[i]) > limit)
			return t->j->stage[i].weight;
	return -1;
}

static void report(struct judging *j, const struct trend *t, ebb_verdict_kind kind, int at, int n,
	double value, double limit)
{
	double w = exp(over(t, 0, n, log_weight)), phi = over(t, 0, n, slope), each = w * phi;
	bool by_slope = kind == EBB_VERDICT_VANISHING && phi < 0.5 && phi < w;
	int held = ebb_judge_held(j->f, kind, -1), known = held >= 0 ? j->at[held] : -1;
	const char *advice =
		kind == EBB_VERDICT_EXPLODING
			? "Try smaller initial weights (EBB_INIT_KAIMING_NORMAL), normalisation, "
			  "gradient clipping or a smaller learning rate."
		: by_slope ? "The slopes are small: try ReLU, normalisation before the "
			     "nonlinearities, or residual connections."
			   : "The weights are small: try larger initial weights "
			     "(EBB_INIT_KAIMING_NORMAL), normalisation or residual connections.";

	at = known >= 0 ? known : at;
	ebb_judge_found(j, kind, at, value, limit, advice,
		"the norm of the gradient in the first layers is %s times that near the loss, and "
		"crosses %s at %s, since step %" PRId64
		"; a layer multiplies it by about %s: phi' %s times W %s (medians of %d layers).",
		PRETTY(value), PRETTY(limit), PLACE(j, at), j->step, PRETTY(each), PRETTY(phi),
		PRETTY(w), n);
}

static void judge_vanishing(struct judging *j, const struct trend *t)
{
	double limit = j->f->limits.vanishing;
	int n = length(t), last = j->stages - 1;

	/* A last layer that begins with 0 passes no gradient on in the first step only. */
	if (n < 3 || ebb_judge_is_zero(j, j->stage[last].weight))
		return;
	double loss = near_loss(t, n);
	int least = n >= 6 ? 2 : 1, at = loss > 0 ? vanished(t, limit * loss, least) : -1;
	if (at >= 0)
		report(j, t, EBB_VERDICT_VANISHING, at, n, over(t, 0, least, gradient) / loss,
			limit);
}

static void judge_exploding(struct judging *j, const struct trend *t)
{
	double limit = j->f->limits.exploding;
	int n = length(t), quarter = n / 4 > 1 ? n / 4 : 1;

	if (n < 3)
		return;
	double loss = near_loss(t, n), first = over(t, 0, quarter, gradient);
	double growth = over(t, n - quarter, n, activation) / over(t, 0, quarter, activation);
	/* Batch norm keeps the activations, and the gradient grows by 1.21 per layer: that
	 * trains. */
	if (!(first > limit * loss) || !(growth > 100 || first > 1e3 * limit * loss))
		return;
	int at = exploded(t, limit * loss);
	if (loss > 0 && at >= 0)
		report(j, t, EBB_VERDICT_EXPLODING, at, n, first / loss, limit);
}

/* What lies before a local finding that explains it has no vanishing trend of its own. */
void ebb_judge_trends(struct judging *j)
{
	bool exploding = j->found[EBB_VERDICT_EXPLODING];

	for (int i = 0; i < j->stages; i++) {
		int component = j->component[j->stage[i].weight];
		bool first = true;
		for (int k = 0; first && k < i; k++)
			first = j->component[j->stage[k].weight] != component;
		if (!first)
			continue;
		struct trend t = {j, component, j->blocked}, whole = {j, component, -1};
		judge_vanishing(j, &t);
		if (!exploding)
			judge_exploding(j, &whole);
	}
}

/* ---- The loss ---- */

/* The index whose activations have grown most since the first sample; -1. */
static int grown_most(const struct judging *j, double *growth)
{
	const struct flow_sample *s = &j->f->sample[0];
	int at = -1;

	*growth = 0;
	for (int i = 0; i < j->n; i++) {
		int row = j->rows[i].row;
		if (row >= s->rows || s->m[row].calls == 0 || !(s->m[row].rms > 0))
			continue;
		/* The layers after it have grown by the same factor, but for rounding. */
		double grown = j->rows[i].m.rms / s->m[row].rms;
		if (grown > 1.01 * *growth) {
			*growth = grown;
			at = i;
		}
	}
	return at;
}

void ebb_judge_loss(struct judging *j)
{
	double first = fabs(j->f->first_loss), limit = 1e3 * first, growth;

	if (j->f->samples == 0 || j->found[EBB_VERDICT_EXPLODING] || !(j->loss > limit) ||
		!(j->loss > 10))
		return;
	int at = grown_most(j, &growth);
	int held = ebb_judge_held(j->f, EBB_VERDICT_EXPLODING, -1);
	at = held >= 0 && j->at[held] >= 0 ? j->at[held] : at;
	ebb_judge_found(j, EBB_VERDICT_EXPLODING, at, j->loss, limit,
		"Try a smaller learning rate, gradient clipping or a warm-up.",
		"the loss has grown from %s to %s, since step %" PRId64
		"; the activations have grown most, by %s, at %s.",
		PRETTY(j->f->first_loss), PRETTY(j->loss), j->step, PRETTY(growth),
		at >= 0 ? PLACE(j, at) : "no op");
}
