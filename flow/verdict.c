/*
 * verdict.c - the fit of the gradient's decay with depth, and the verdicts on a probe and on
 * summaries.
 *
 * Both verdicts are those of the flow instrument: on a probe that of the probe's instrument, on
 * summaries that on a network which has as many layers, one after the other, with these numbers.
 */
#include "tensor/host.h"
#include "flow/instrument/internal.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

bool ebb_decay_fit(int n, const double *norm, ebb_decay *d)
{
	if (n < 1 || !norm || !d)
		return false;
	*d = (ebb_decay){.factor = NAN, .end_to_end = NAN, .spread = NAN, .r2 = NAN, .layers = n};
	double mean_k = 0, mean_log = 0, lo = INFINITY, hi = 0;
	for (int k = 0; k < n; k++) {
		if (!isfinite(norm[k]) || norm[k] < 0) {
			d->not_finite++;
			continue;
		}
		if (norm[k] == 0) {
			d->zeros++;
			continue;
		}
		d->used++;
		mean_k += (k - mean_k) / d->used;
		mean_log += (log(norm[k]) - mean_log) / d->used;
		lo = fmin(lo, norm[k]);
		hi = fmax(hi, norm[k]);
	}
	if (d->used > 0)
		d->spread = hi / lo;
	if (d->used < 2)
		return true;

	double kk = 0, kl = 0, ll = 0;
	for (int k = 0; k < n; k++) {
		if (!isfinite(norm[k]) || norm[k] <= 0)
			continue;
		double dk = k - mean_k, dl = log(norm[k]) - mean_log;
		kk += dk * dk;
		kl += dk * dl;
		ll += dl * dl;
	}
	double slope = kl / kk;
	d->factor = exp(-slope);
	d->end_to_end = exp(-slope * (n - 1));
	d->r2 = ll > 0 ? kl * kl / (kk * ll) : 1;
	return true;
}

const char *ebb_pretty(char *buffer, size_t size, double x)
{
	double a = fabs(x);

	if (isnan(x)) {
		snprintf(buffer, size, "-");
		return buffer;
	}
	bool scientific = a != 0 && (a < 0.001 || a >= 1e4);
	ebb_number(buffer, size,
		scientific ? "%.1e"
		: a >= 100 ? "%.0f"
		: a < 0.1  ? "%.2g"
			   : "%.3g",
		x);
	char *exponent = scientific ? strchr(buffer, 'e') : NULL;
	if (exponent && isfinite(x)) { /* 4.3e14 for 4.3e+14, 2e-5 for 2e-05 */
		char *from = exponent + 2, *to = exponent[1] == '-' ? exponent + 2 : exponent + 1;
		from += strspn(from, "0");
		memmove(to, from, strlen(from) + 1);
	}
	return buffer;
}

double ebb_log_share(double v, double lo, double hi)
{
	/* Quotients of v, lo and hi may overflow or underflow; logarithms do not. */
	return hi > lo ? (log(v) - log(lo)) / (log(hi) - log(lo)) : 1;
}

/* ---- Summaries as the rows of a network ---- */

/* Each layer is a weight, a nonlinearity with dead units and one with slopes. */
enum { WEIGHT, UNBOUNDED, BOUNDED, ROWS };

struct summarised {
	int n;
	const ebb_layer_summary *layers;
	struct flow_layer *layer;
	struct flow_row *row;
	struct flow_judged *judged;
	size_t layer_bytes, row_bytes, judged_bytes;
};

static double rms(const ebb_layer_summary *s)
{
	return hypot(s->mean, s->std);
}

/* a/b, NaN where both are 0. */
static double ratio(double a, double b)
{
	return b > 0 || a > 0 ? a / b : NAN;
}

static bool is_finite(const ebb_layer_summary *s)
{
	return s->nan == 0 && !isinf(s->grad_l2) && !isinf(s->mean);
}

/* The sums of NaNs and infinities do not say whether those of a layer are in its activation, so
 * that they go on to the last layer, or in its gradient. */
static void measure_finite(const struct summarised *x, int k, ebb_flow_measures *m)
{
	bool forward = !is_finite(&x->layers[x->n - 1]);
	double count = is_finite(&x->layers[k]) ? 0 : 1;

	m->not_finite = forward ? count : 0;
	m->grad_not_finite = forward ? 0 : count;
}

static ebb_flow_measures measures(const struct summarised *x, int k, int part)
{
	const ebb_layer_summary *s = &x->layers[k], *before = k > 0 ? s - 1 : NULL;
	ebb_flow_measures m = ebb_flow_no_measures();

	m.calls = 1;
	m.rms = rms(s);
	m.grad_l2 = s->grad_l2;
	measure_finite(x, k, &m);
	if (part == UNBOUNDED)
		m.dead = s->zeros;
	else if (part == BOUNDED)
		m.saturated = s->saturated;
	if (part != WEIGHT)
		return m;
	m.weight_grad_l2 = s->param_grad_l2;
	m.update_ratio = s->update_ratio;
	if (before) {
		m.forward = ratio(rms(s), rms(before));
		m.backward = ratio(before->grad_l2, s->grad_l2);
	}
	return m;
}

static void fill(struct summarised *x)
{
	static const char *const ops[ROWS] = {"linear", "relu", "sigmoid"};

	for (int i = 0; i < ROWS * x->n; i++) {
		int k = i / ROWS, part = i % ROWS;

		x->layer[k] = (struct flow_layer){.path = (char *)x->layers[k].path};
		x->row[i] = (struct flow_row){.layer = k,
			.op = ops[part],
			.kind = part == WEIGHT ? EBB_FLOW_WEIGHT : EBB_FLOW_SLOPE,
			.stage = ROWS * k,
			.before = i - 1,
			.order = i};
		x->judged[i] = (struct flow_judged){i, &x->row[i], measures(x, k, part)};
	}
}

/* How often the medians are judged: a finding of them has held in as many steps. */
static int steps(const struct summarised *x)
{
	enum { MOST = 3 };
	int most = 1;

	for (int k = 0; k < x->n; k++)
		most = x->layers[k].samples > most ? x->layers[k].samples : most;
	return most < MOST ? most : MOST;
}

static bool judge(struct summarised *x, const ebb_verdict_limits *limits, ebb_finding *found)
{
	x->layer_bytes = (size_t)x->n * sizeof *x->layer;
	x->row_bytes = (size_t)x->n * ROWS * sizeof *x->row;
	x->judged_bytes = (size_t)x->n * ROWS * sizeof *x->judged;
	x->layer = ebb_alloc(x->layer_bytes);
	x->row = ebb_alloc(x->row_bytes);
	x->judged = ebb_alloc(x->judged_bytes);
	ebb_flow f = {.limits = ebb_verdict_limits_of(limits),
		.layer = x->layer,
		.layers = x->n,
		.row = x->row,
		.rows = ROWS * x->n,
		.origin = {.row = -1},
		.first_loss = NAN,
		.last_loss = NAN};
	bool ok = x->layer && x->row && x->judged;

	if (ok)
		fill(x);
	/* Not from step 0 on: the medians are not those of initial weights. */
	for (int i = 0, n = steps(x); ok && i < n; i++) {
		ebb_flow_judge(&f, i + 1, 0, f.rows, x->judged);
		f.measured++;
		ok = !f.failed;
	}
	if (ok)
		*found = ebb_findings_first(&f);
	ebb_free(f.finding, (size_t)f.finding_capacity * sizeof *f.finding);
	ebb_free(x->layer, x->layer_bytes);
	ebb_free(x->row, x->row_bytes);
	ebb_free(x->judged, x->judged_bytes);
	return ok;
}

/* ---- Sentences about summaries ---- */

#define PRETTY(x) ebb_pretty((char[32]){0}, 32, x)

static void say_decay(ebb_verdict *v)
{
	const ebb_decay *d = &v->decay;
	bool fades = d->end_to_end < 1;

	if (d->used < 2)
		ebb_append(
			v->sentence, sizeof v->sentence, "a single gradient norm shows no decay");
	else
		ebb_append(v->sentence, sizeof v->sentence,
			"the gradient passes %d layers at a factor of %s each, %s-fold %s end to "
			"end",
			d->layers, PRETTY(d->factor),
			PRETTY(fades ? 1 / d->end_to_end : d->end_to_end), fades ? "less" : "more");
}

static void say_gradient(ebb_verdict *v, const ebb_finding *x, double trend, const char *layer)
{
	if (x->limit == trend)
		ebb_append(v->sentence, sizeof v->sentence,
			"the gradient has %s times its norm near the loss in the first layers, and "
			"crosses %s at %s",
			PRETTY(x->value), PRETTY(x->limit), layer);
	else
		ebb_append(v->sentence, sizeof v->sentence,
			"%s multiplies the gradient by %s, and the limit by the other layers is %s",
			layer, PRETTY(x->value), PRETTY(x->limit));
}

/* The instrument's sentences are about ops and steps, which are unknown. */
static void say(ebb_verdict *v, const ebb_finding *x, const ebb_verdict_limits *l)
{
	char layer[200];

	ebb_snprintf(layer, sizeof layer, "%s%s", *x->layer ? "layer " : "a layer", x->layer);
	ebb_snprintf(v->sentence, sizeof v->sentence, "%s: ", ebb_verdict_name(x->kind));
	v->sentence[0] = (char)toupper((unsigned char)v->sentence[0]);
	switch (x->kind) {
	case EBB_VERDICT_HEALTHY:
		say_decay(v);
		break;
	case EBB_VERDICT_VANISHING:
		say_gradient(v, x, l->vanishing, layer);
		break;
	case EBB_VERDICT_EXPLODING:
		say_gradient(v, x, l->exploding, layer);
		break;
	case EBB_VERDICT_DEAD:
	case EBB_VERDICT_SATURATED:
		ebb_append(v->sentence, sizeof v->sentence, "%s %% of the activations of %s are %s",
			PRETTY(100 * x->value), layer,
			x->kind == EBB_VERDICT_DEAD ? "0" : "saturated");
		break;
	case EBB_VERDICT_NOT_FINITE:
		ebb_append(v->sentence, sizeof v->sentence,
			"activations or gradients contain NaN or infinity%s%s",
			*x->layer ? ", first in " : "", *x->layer ? layer : "");
		break;
	default:
		ebb_append(v->sentence, sizeof v->sentence,
			"an update changes the parameters%s%s by %s of their norm",
			*x->layer ? " of " : "", *x->layer ? layer : "", PRETTY(x->value));
	}
	ebb_append(v->sentence, sizeof v->sentence, ".");
}

/* ---- Verdicts ---- */

/* The shares of zeros and of saturated activations from which on a layer is counted. */
static const double MOSTLY_ZERO = 0.9, MOSTLY_SATURATED = 0.5;

/* Initialises the verdict with what follows from the summaries.  False without memory. */
static bool count(
	int n, const ebb_layer_summary *layers, const ebb_verdict_limits *l, ebb_verdict *v)
{
	double dead = l && l->dead != 0 ? l->dead : MOSTLY_ZERO;
	double saturated = l && l->saturated != 0 ? l->saturated : MOSTLY_SATURATED;
	size_t bytes = (size_t)n * sizeof(double);
	double *norm = ebb_alloc(bytes);

	if (n && !norm)
		return false;
	*v = (ebb_verdict){.decay = {.factor = NAN, .end_to_end = NAN, .spread = NAN, .r2 = NAN},
		.step = -1,
		.layer = "",
		.op = "",
		.site = ""};
	for (int i = 0; i < n; i++) {
		norm[i] = layers[i].grad_l2;
		v->dead_layers += layers[i].zeros > dead;
		v->saturated_layers += layers[i].saturated > saturated;
	}
	ebb_decay_fit(n, norm, &v->decay);
	ebb_free(norm, bytes);
	return true;
}

bool ebb_judge(
	int n, const ebb_layer_summary *layers, const ebb_verdict_limits *limits, ebb_verdict *v)
{
	struct summarised x = {.n = n, .layers = layers};
	ebb_verdict_limits l = ebb_verdict_limits_of(limits);
	ebb_finding found;
	bool all = n > 1;

	if (n < 1 || !layers || !v || !count(n, layers, limits, v) || !judge(&x, limits, &found))
		return false;
	for (int i = 0; i < n; i++)
		all = all && !is_finite(&layers[i]);
	/* If all layers have values that are not finite, the first one is unknown. */
	if (all)
		found.layer = "";
	v->kind = found.kind;
	v->layer = found.layer;
	ebb_snprintf(v->advice, sizeof v->advice, "%s", found.advice);
	say(v, &found, &l);
	return true;
}

static void take(ebb_verdict *v, const ebb_finding *x)
{
	v->kind = x->kind;
	v->step = x->kind == EBB_VERDICT_HEALTHY ? -1 : x->step;
	v->layer = x->layer;
	v->op = x->op;
	v->site = x->site;
	ebb_snprintf(v->sentence, sizeof v->sentence, "%s", x->sentence);
	ebb_snprintf(v->advice, sizeof v->advice, "%s", x->advice);
}

ebb_judged ebb_find_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v)
{
	int n = 0, with_gradient = 0;
	size_t bytes = 0;
	ebb_layer_summary *s = ebb_summaries(p, from, to, &n, &bytes);
	ebb_finding x;

	if (!s && bytes)
		return EBB_NO_MEMORY_TO_JUDGE;
	/* Layers that no backward pass reaches are left out of the fit. */
	for (int i = 0; i < n; i++)
		if (!isnan(s[i].grad_l2) || s[i].nan)
			s[with_gradient++] = s[i];
	ebb_judged found = ebb_flow_judge_range(p->flow, from, to, limits, &x);
	bool ok = true;
	if (found == EBB_JUDGED && (p->flow->rows || x.kind != EBB_VERDICT_HEALTHY)) {
		ok = count(with_gradient, s, limits, v);
		if (ok)
			take(v, &x);
	} else if (found != EBB_NO_MEMORY_TO_JUDGE) {
		/* The instrument has no rows, or did not measure these steps because they are in a
		 * recording that began before it. */
		ok = !with_gradient || ebb_judge(with_gradient, s, limits, v);
		found = with_gradient ? EBB_JUDGED : EBB_NOTHING_SAMPLED;
	}
	ebb_free(s, bytes);
	return ok ? found : EBB_NO_MEMORY_TO_JUDGE;
}

bool ebb_probe_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v)
{
	return p && v && ebb_find_verdict(p, from, to, limits, v) == EBB_JUDGED;
}
