/* rules.c - dead and saturated nonlinearities, and parameters that hardly change. */
#include "flow/instrument/judge.h"
#include "tensor/host.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- Nonlinearities ---- */

/* A share of dead units is no chance if it is DEVIATIONS standard deviations above one half, or, where
 * these are at most WIDE (100 units), by APART above the shares of the NEAREST nonlinearities. */
enum { DEVIATIONS = 4, NEAREST = 4 };
static const double WIDE = 0.2, APART = 0.25;
/* So many more than at first have died, in this layer or in several at once. */
static const double DIED = 0.4;
static const double LEARNS_WITH = 0.9;
/* All slopes of a step are 0: the layer is dead before the window has passed. */
static const double ALL = 0.999;

/* A share of each nonlinearity that is bounded, or of each that is not: m.saturated or m.dead. */
struct shares {
	const struct judging *j;
	bool bounded;
};

/* NaN: the op is not judged so.  A softmax near 0 or 1 is a sure prediction. */
static double share_at(const struct shares *s, int index)
{
	const struct flow_judged *x = &s->j->rows[index];

	if (x->r->kind != EBB_FLOW_SLOPE || ebb_flow_is_bounded(x->r->op) != s->bounded ||
		strstr(x->r->op, "softmax"))
		return NAN;
	if (s->bounded || x->m.saturated >= ALL)
		return x->m.saturated;
	return x->m.dead;
}

/* The largest share of the NEAREST nonlinearities before and after the index. */
static double most_beside(const struct shares *s, int index)
{
	double most = 0;

	for (int side = -1; side <= 1; side += 2)
		for (int i = index + side, n = 0; i >= 0 && i < s->j->n && n < NEAREST; i += side)
			if (!isnan(share_at(s, i))) {
				most = fmax(most, share_at(s, i));
				n++;
			}
	return most;
}

static double median_of_others(const struct shares *s, int index)
{
	int n = 0;

	for (int i = 0; i < s->j->n; i++)
		if (i != index)
			s->j->scratch[n++] = share_at(s, i);
	return ebb_median(s->j->scratch, n);
}

static bool has_halved_loss(const struct judging *j)
{
	return j->f->first_loss > 0 && j->loss < 0.5 * j->f->first_loss;
}

/* The nonlinearity of the prediction saturates when the network is sure, and right. */
static bool is_prediction(const struct judging *j, int index)
{
	for (int i = index + 1; i < j->n; i++)
		if (j->rows[i].r->kind == EBB_FLOW_WEIGHT)
			return false;
	return j->loss < 0.5 * j->f->first_loss;
}

/* The share of dead units in the first sample that has one; NaN: none. */
static double first_dead(const struct judging *j, int index)
{
	const ebb_flow *f = j->f;
	int row = j->rows[index].row;

	for (int i = 0; i < f->samples; i++)
		if (row < f->sample[i].rows && !isnan(f->sample[i].m[row].dead))
			return f->sample[i].m[row].dead;
	return NAN;
}

/* While the loss is below half of the first one, the network learns with the units and slopes that
 * it has left: only a share above LEARNS_WITH is a fault. */
static bool learns_with(const struct judging *j, double share)
{
	return share <= LEARNS_WITH && has_halved_loss(j);
}

static bool is_too_high(const struct shares *s, int index)
{
	const ebb_verdict_limits *l = &s->j->f->limits;
	double share = share_at(s, index);

	if (learns_with(s->j, share))
		return false;
	if (s->bounded)
		return share > l->saturated && !is_prediction(s->j, index);
	if (!(share > l->dead))
		return false;
	/* In deep plain ReLU networks the inputs of the deep layers are nearly parallel: each unit
	 * is active for all of them or for none, with a probability of up to one half, so that the
	 * share has a standard deviation of 0.5/sqrt(units). */
	int64_t units = s->j->rows[index].r->units.n; /* 0: unknown, as of a summary */
	double chance = units > 0 ? DEVIATIONS * 0.5 / sqrt((double)units) : 0.4;
	return share > first_dead(s->j, index) + DIED || share > fmin(0.5 + chance, 0.99) ||
	       (chance <= WIDE && share > most_beside(s, index) + APART);
}

/* Of the rows whose share is too high, the first whose share is within `near` of the largest.  A
 * row whose finding held in the sample before has precedence.  -1: none.  *count: how many. */
static int culprit(const struct shares *s, ebb_verdict_kind kind, double near, int *count)
{
	const struct judging *j = s->j;
	double most = 0;
	int first = -1, last = -1, held = -1;

	*count = 0;
	for (int i = 0; i < j->n; i++) {
		if (!is_too_high(s, i))
			continue;
		++*count;
		most = fmax(most, share_at(s, i));
		first = first < 0 ? i : first;
		last = i;
		if (held < 0 && ebb_judge_held(j->f, kind, j->rows[i].row) >= 0)
			held = i;
	}
	if (first < 0 || held >= 0)
		return held;
	for (int i = first; i < last; i++)
		if (share_at(s, i) >= most - near && is_too_high(s, i))
			return i;
	return last;
}

static const char *say_others(double median, char *buffer, size_t size)
{
	buffer[0] = '\0';
	if (!isnan(median))
		ebb_snprintf(buffer, size, "; the other layers have %s %% (median)",
			PRETTY(100 * median));
	return buffer;
}

static const char *say_count(int n, const char *what, char *buffer, size_t size)
{
	buffer[0] = '\0';
	if (n > 0)
		ebb_snprintf(
			buffer, size, "; %d other layer%s %s", n, n > 1 ? "s are" : " is", what);
	return buffer;
}

/* The first step, without a gap up to this one, in which the slopes of the row were as flat as
 * now: units count as dead when the window has passed. */
static int64_t dead_since(const struct judging *j, int index, double share)
{
	const ebb_flow *f = j->f;
	int row = j->rows[index].row;
	double flat = j->rows[index].m.saturated;
	double least = fmax(0.98 * fmin(share, flat), flat - 0.1);
	int64_t since = j->step;

	for (int i = f->samples - 1; i >= 0 && flat >= share; i--) {
		const struct flow_sample *s = &f->sample[i];
		if (s->step >= j->step)
			continue;
		if (row >= s->rows || !(s->m[row].saturated >= least))
			break;
		since = s->step;
	}
	return since;
}

void ebb_judge_dead(struct judging *j)
{
	struct shares s = {j, false};
	char rest[80], more[80];
	int n, at = culprit(&s, EBB_VERDICT_DEAD, 0.1, &n);

	/* Behind a weight that is 0, or whose units are equal, everything may be. */
	if (at < 0 || at > j->zero)
		return;
	double share = share_at(&s, at);
	j->since = dead_since(j, at, share);
	ebb_judge_found(j, EBB_VERDICT_DEAD, at, share, j->f->limits.dead,
		"Try a smaller learning rate, a bias nearer to 0, Kaiming initialisation "
		"(EBB_INIT_KAIMING_NORMAL), normalisation before it, or leaky ReLU.",
		"%s %% of the units of %s are active in less than %s %% of their values, since "
		"step "
		"%" PRId64 "%s%s.",
		PRETTY(100 * share), PLACE(j, at), PRETTY(100 * j->f->limits.active), j->since,
		say_others(median_of_others(&s, at), rest, sizeof rest),
		say_count(n - 1, "dead as well", more, sizeof more));
	j->since = j->step;
	for (int i = at; i < j->n; i++)
		if (is_too_high(&s, i) && i > j->blocked)
			j->blocked = i;
	j->silent = share > 0.9;
}

void ebb_judge_saturated(struct judging *j)
{
	struct shares s = {j, true};
	char rest[80], more[80];
	int n, all = 0;

	for (int i = 0; i < j->n; i++)
		all += !isnan(share_at(&s, i));
	int at = culprit(&s, EBB_VERDICT_SATURATED, 0.05, &n);
	if (at >= 0 && all > 2 && n >= 0.8 * all)
		at = culprit(&s, EBB_VERDICT_SATURATED, 1, &n);
	if (at < 0)
		return;
	double share = share_at(&s, at);
	ebb_judge_found(j, EBB_VERDICT_SATURATED, at, share, j->f->limits.saturated,
		"Try smaller initial weights (Xavier: EBB_INIT_XAVIER_NORMAL), normalisation "
		"before "
		"it, scaled inputs, or a smaller learning rate.",
		"%s %% of the slopes of %s are below %s %% of its largest slope, since step "
		"%" PRId64 "%s%s.",
		PRETTY(100 * share), PLACE(j, at), PRETTY(100 * j->f->limits.slope), j->step,
		say_others(median_of_others(&s, at), rest, sizeof rest),
		say_count(n - 1, "saturated as well", more, sizeof more));
	j->blocked = at > j->blocked ? at : j->blocked;
}

/* ---- Not learning ---- */

/* Whether the row's parameters receive a gradient, and the size of their update is known.  A small
 * gradient that a finding explains does not count. */
static bool updates(const struct judging *j, int index)
{
	const ebb_flow_measures *m = &j->rows[index].m;

	/* The ratio is small because the weight is large. */
	for (int i = 0; i < j->f->findings; i++) {
		const struct flow_finding *x = &j->f->finding[i];

		if (x->row == j->rows[index].row && x->certain &&
			(x->found.kind == EBB_VERDICT_EXPLODING ||
				x->found.kind == EBB_VERDICT_BADLY_INITIALISED))
			return false;
	}

	return index > j->blocked && m->weight_grad_l2 > 0 && isfinite(m->weight_grad_l2) &&
	       !isnan(m->update_ratio);
}

/* Whether the row's parameters changed much more in an earlier sample: a schedule has lowered the
 * learning rate. */
static bool has_learned(const struct judging *j, int index)
{
	const ebb_flow *f = j->f;
	int row = j->rows[index].row;

	for (int i = 0; i < f->samples; i++)
		if (row < f->sample[i].rows &&
			f->sample[i].m[row].update_ratio > 10 * f->limits.update)
			return true;
	return false;
}

static void report_row(struct judging *j, int index)
{
	double ratio = j->rows[index].m.update_ratio;

	ebb_judge_found(j, EBB_VERDICT_NOT_LEARNING, index, ratio, j->f->limits.update,
		"Check that the optimizer has the parameters of this layer, with a learning rate "
		"above 0.",
		"an update changes the parameters of %s by %s of their norm, since step %" PRId64
		", although they receive a gradient.",
		PLACE(j, index), PRETTY(ratio), j->step);
}

static void report_all(struct judging *j, int slow, int all)
{
	int n = 0;

	for (int i = 0; i < j->n; i++)
		if (updates(j, i))
			j->scratch[n++] = j->rows[i].m.update_ratio;
	double ratio = ebb_median(j->scratch, n);
	ebb_judge_found(j, EBB_VERDICT_NOT_LEARNING, -1, ratio, j->f->limits.update,
		"The learning rate is too small: try a larger one; ratios near 1e-3 are usual.",
		"an update changes the parameters of %d of %d ops with parameters by less than %s "
		"of "
		"their norm (median %s), since step %" PRId64 ": the learning rate is too small.",
		slow, all, PRETTY(j->f->limits.update), PRETTY(ratio), j->step);
}

/* Whether the row's parameters have received gradients, and no update in any sample. */
static bool is_left_out(const struct judging *j, int index)
{
	const ebb_flow *f = j->f;
	const ebb_flow_measures *m = &j->rows[index].m;
	int row = j->rows[index].row;

	if (!(m->weight_grad_l2 > 0) || !isfinite(m->weight_grad_l2) || !isnan(m->update_ratio))
		return false;
	for (int i = 0; i < f->samples; i++)
		if (row < f->sample[i].rows && !isnan(f->sample[i].m[row].update_ratio))
			return false;
	return true;
}

/* Other parameters are updated in this step. */
static void judge_left_out(struct judging *j)
{
	int updated = 0;

	for (int i = 0; i < j->n; i++)
		updated += !isnan(j->rows[i].m.update_ratio);
	for (int i = 0; updated && i < j->n; i++)
		if (is_left_out(j, i))
			ebb_judge_found(j, EBB_VERDICT_NOT_LEARNING, i, 0, j->f->limits.update,
				"Check that the optimizer has the parameters of this layer; freeze "
				"them (ebb_params_freeze) if they shall not learn.",
				"no update changes the parameters of %s, since step %" PRId64
				", although they receive a gradient; those of %d other op%s are "
				"updated.",
				PLACE(j, i), j->step, updated, updated > 1 ? "s" : "");
}

void ebb_judge_not_learning(struct judging *j)
{
	int all = 0, slow = 0, learned = 0;

	/* Where the gradient vanishes, small updates are a consequence. */
	if (j->silent || j->found[EBB_VERDICT_VANISHING])
		return;
	judge_left_out(j);
	for (int i = 0; i < j->n; i++) {
		if (!updates(j, i))
			continue;
		all++;
		if (j->rows[i].m.update_ratio < j->f->limits.update) {
			slow++;
			learned += has_learned(j, i);
		}
	}
	if (slow > 1 && 2 * slow > all) {
		if (2 * learned <= slow)
			report_all(j, slow, all);
		return;
	}
	for (int i = 0; slow && i < j->n; i++)
		if (updates(j, i) && j->rows[i].m.update_ratio < j->f->limits.update)
			report_row(j, i);
}
