/* stages.c - the factor of each layer against those of the others: outliers, and initial weights. */
#include "flow/instrument/judge.h"
#include "tensor/host.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Components ---- */

/* Norms are compared only between ops that are connected: two models on one tape have two losses. */
static int root(int *component, int i)
{
	while (component[i] != i)
		i = component[i] = component[component[i]];
	return i;
}

static void connect(struct judging *j)
{
	for (int i = 0; i < j->n; i++)
		j->component[i] = i;
	for (int i = 0; i < j->n; i++) {
		int before = j->rows[i].r->before, b = before >= 0 ? j->at[before] : -1;
		if (b < 0)
			continue;
		int a = root(j->component, i), c = root(j->component, b);
		j->component[a > c ? a : c] = a > c ? c : a;
	}
	for (int i = 0; i < j->n; i++)
		j->component[i] = root(j->component, i);
}

/* ---- Stages ---- */

/* Logarithms of factors are clipped, so that a factor of 0 can be compared, too. */
static double clipped_log(double x)
{
	return isnan(x) ? NAN : log(fmin(fmax(x, 1e-300), 1e300));
}

/* a/b, NaN where both are 0. */
static double ratio(double a, double b)
{
	return b > 0 || a > 0 ? a / b : NAN;
}

static double factor_of(const ebb_flow_measures *m, bool *by_activations)
{
	*by_activations = isnan(m->backward);
	return *by_activations ? m->forward : m->backward;
}

/* The largest norm of the gradient in any op before the index that is connected with it. */
static double most_before(const struct judging *j, int index)
{
	double most = NAN;

	for (int i = 0; i < index; i++)
		if (j->component[i] == j->component[index])
			most = fmax(most, j->rows[i].m.grad_l2);
	return most;
}

static void finish(const struct judging *j, struct flow_stage *s)
{
	double end = j->rows[s->last].m.grad_l2, factor = s->weight_factor * s->norm_factor;
	int before = j->rows[s->weight].r->before, b = before >= 0 ? j->at[before] : -1;

	s->rise = s->fall = NAN;
	if (b >= 0) {
		double g = j->rows[b].m.grad_l2;
		s->rise = end * s->slope_factor * factor < g / 2 ? 0 : ratio(g, end);
		s->fall = ratio(most_before(j, s->weight), end);
	}
	s->log_factor = clipped_log(factor);
}

static void extend(struct flow_stage *s, int index, const struct flow_judged *row)
{
	s->last = index;
	if (row->r->kind == EBB_FLOW_NORM) {
		bool unused;
		s->norm_factor *= factor_of(&row->m, &unused);
	} else if (!isnan(row->m.backward)) {
		s->slope_factor *= row->m.backward;
	}
}

static void compare(struct judging *j)
{
	int n = 0;

	for (int i = 0; i < j->stages; i++)
		if (!isnan(j->stage[i].log_factor))
			j->scratch[n++] = j->stage[i].log_factor;
	j->median = ebb_median(j->scratch, n);
	for (int i = 0; i < n; i++)
		j->scratch[i] = fabs(j->scratch[i] - j->median);
	j->deviation = ebb_median(j->scratch, n);
}

/* An op continues the stage whose last op so far is the one before it. */
void ebb_judge_stages(struct judging *j)
{
	for (int i = 0; i < j->n; i++) {
		const struct flow_row *r = j->rows[i].r;
		j->stage_of[i] = -1;
		if (r->kind == EBB_FLOW_WEIGHT) {
			struct flow_stage *s = &j->stage[j->stages];
			*s = (struct flow_stage){
				.weight = i, .last = i, .norm_factor = 1, .slope_factor = 1};
			s->weight_factor = factor_of(&j->rows[i].m, &s->by_activations);
			j->stage_of[i] = j->stages++;
			continue;
		}
		int b = r->before >= 0 ? j->at[r->before] : -1;
		int k = b >= 0 && b < i ? j->stage_of[b] : -1;
		if (r->kind != EBB_FLOW_SUM && k >= 0 && j->stage[k].last == b) {
			extend(&j->stage[k], i, &j->rows[i]);
			j->stage_of[i] = k;
		}
	}
	connect(j);
	for (int i = 0; i < j->stages; i++)
		finish(j, &j->stage[i]);
	compare(j);
}

/* ---- Outliers ---- */

bool ebb_judge_is_zero(const struct judging *j, int index)
{
	const struct flow_row *r = j->rows[index].r;

	return j->rows[index].m.weight_l2 == 0 || (r->update.equal && r->update.equal_to == 0);
}

/* 1: the factor is far above the median factor, -1: far below, 0: neither.  A weight that is 0
 * throughout is judged by what it does: in the last layer, it is so in the first step only.  One
 * whose elements are equal has a finding of its own. */
static int outlying(const struct judging *j, const struct flow_stage *s)
{
	double off = s->log_factor - j->median;

	if (ebb_judge_is_zero(j, s->weight) || j->rows[s->weight].r->update.equal ||
		!(fabs(off) > log(j->f->limits.outlier) && fabs(off) > 6 * j->deviation))
		return 0;
	return off > 0 ? 1 : -1;
}

/* Whether the results at the stage's end are large, and large relative to its input. */
static bool activations_grow(const struct judging *j, const struct flow_stage *s)
{
	const ebb_flow_measures *w = &j->rows[s->weight].m, *end = &j->rows[s->last].m;
	double x = w->rms / w->forward;

	return end->rms > 10 && end->rms > j->f->limits.outlier * exp(j->median) * x;
}

static bool explodes(const struct judging *j, const struct flow_stage *s)
{
	return outlying(j, s) > 0 && s->weight_factor * s->norm_factor > 10 &&
	       (s->rise >= j->f->limits.exploding || activations_grow(j, s));
}

static bool vanishes(const struct judging *j, const struct flow_stage *s)
{
	return outlying(j, s) < 0 && s->fall < j->f->limits.vanishing;
}

static double others(const struct judging *j, const struct flow_stage *s)
{
	int n = 0;

	for (int i = 0; i < j->stages; i++)
		if (&j->stage[i] != s && !isnan(j->stage[i].log_factor))
			j->scratch[n++] = exp(j->stage[i].log_factor);
	return ebb_median(j->scratch, n);
}

static void report(struct judging *j, const struct flow_stage *s, ebb_verdict_kind kind)
{
	double factor = s->weight_factor * s->norm_factor, outlier = j->f->limits.outlier;
	bool initial = ebb_judge_initial(j);
	const char *advice =
		initial ? "Try Kaiming initialisation (EBB_INIT_KAIMING_NORMAL) for the weight of "
			  "this layer."
		: kind == EBB_VERDICT_EXPLODING
			? "Try normalisation, gradient clipping, weight decay or a smaller "
			  "learning rate."
			: "Try a residual connection or normalisation, and less weight decay.";

	ebb_judge_found(j, kind, s->weight, factor,
		exp(j->median) * (outlying(j, s) > 0 ? outlier : 1 / outlier), advice,
		"%s multiplies the %s by %s%s%s, since step %" PRId64
		"; the median of the other layers is %s.",
		PLACE(j, s->weight), s->by_activations ? "activations" : "gradient", PRETTY(factor),
		s->norm_factor == 1 ? "" : " together with its normalisation",
		initial ? " as initialised" : "", j->step, PRETTY(others(j, s)));
	if (initial)
		ebb_findings_mark_initial(j->f, kind, j->rows[s->weight].row);
}

void ebb_judge_outliers(struct judging *j)
{
	for (int i = 0; i < j->stages; i++) {
		const struct flow_stage *s = &j->stage[i];
		if (explodes(j, s)) {
			report(j, s, EBB_VERDICT_EXPLODING);
		} else if (vanishes(j, s)) {
			report(j, s, EBB_VERDICT_VANISHING);
			j->blocked = s->weight > j->blocked ? s->weight : j->blocked;
		}
	}
}

/* ---- Initial weights ---- */

/* Whether the gradient of every op before the index is 0, and there is one.  A skip connection past
 * the weight gives some of them a gradient. */
static bool nothing_before(const struct judging *j, int index)
{
	bool any = false;

	for (int i = 0; i < index; i++) {
		if (j->component[i] != j->component[index])
			continue;
		if (j->rows[i].m.grad_l2 > 0)
			return false;
		any = any || j->rows[i].m.grad_l2 == 0;
	}
	return any;
}

/* Whether the input of the next op is not the result of this one: a skip connection from data, which
 * is no row, is added to it. */
static bool is_added_to(const struct judging *j, int index)
{
	double rms = j->rows[index].m.rms;

	for (int i = index + 1; i < j->n; i++) {
		const ebb_flow_measures *m = &j->rows[i].m;
		if (j->rows[i].r->before == j->rows[index].row)
			return fabs(m->rms / m->forward - rms) > 0.01 * rms;
	}
	return false;
}

void ebb_judge_zero_weights(struct judging *j)
{
	for (int i = 0; i + 1 < j->stages; i++) {
		int w = j->stage[i].weight;
		if (!ebb_judge_is_zero(j, w) || !nothing_before(j, w) || is_added_to(j, w))
			continue;
		if (!ebb_judge_initial(j) &&
			ebb_judge_held(j->f, EBB_VERDICT_BADLY_INITIALISED, j->rows[w].row) < 0)
			continue;
		j->zero = w;
		/* Without a bias the layers after it have no input, and pass nothing on. */
		j->blocked = j->n;
		ebb_judge_found(j, EBB_VERDICT_BADLY_INITIALISED, w, 0, 0,
			"Try Kaiming initialisation (EBB_INIT_KAIMING_NORMAL) for the weight of "
			"this "
			"layer.",
			"all elements of the weight of %s are 0, so no layer before it receives a "
			"gradient, since step %" PRId64 ".",
			PLACE(j, w), j->step);
		return;
	}
}

/* The units of a layer with equal weights stay equal. */
void ebb_judge_equal_weights(struct judging *j)
{
	for (int i = 0; ebb_judge_initial(j) && i < j->n; i++) {
		const struct flow_row *r = j->rows[i].r;
		if (!r->update.equal || r->update.equal_to == 0 || r->stage != j->rows[i].row)
			continue;
		j->blocked = j->n;
		j->zero = i < j->zero ? i : j->zero;
		ebb_judge_found(j, EBB_VERDICT_BADLY_INITIALISED, i, r->update.equal_to, 0,
			"Try Kaiming initialisation (EBB_INIT_KAIMING_NORMAL) for the weight of "
			"this layer.",
			"all elements of the weight of %s are %s as initialised, so that its units "
			"learn the same.",
			PLACE(j, i), PRETTY(r->update.equal_to));
	}
}

/* A factor that is compensated, by the slope after it or by a skip connection past it, does no
 * harm. */
static bool uncompensated(const struct judging *j, const struct flow_stage *s)
{
	/* Half of the outlier, in logarithms. */
	double usual = exp(j->median), outlier = sqrt(j->f->limits.outlier);

	if (outlying(j, s) > 0)
		return s->rise > usual * outlier;
	return s->fall < usual / outlier || (j->rows[s->weight].r->before < 0 && s->by_activations);
}

void ebb_judge_initialisation(struct judging *j)
{
	if (!ebb_judge_initial(j) || j->found[EBB_VERDICT_EXPLODING] ||
		j->found[EBB_VERDICT_VANISHING])
		return;
	for (int i = 0; i < j->stages; i++) {
		const struct flow_stage *s = &j->stage[i];
		if (outlying(j, s) && uncompensated(j, s))
			report(j, s, EBB_VERDICT_BADLY_INITIALISED);
	}
}
