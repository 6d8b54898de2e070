/*
 * line_search.c - a step length that satisfies the strong Wolfe conditions.
 *
 * The search first brackets an interval that contains such a step, then zooms into the interval
 * (Nocedal & Wright 2006, algorithms 3.5 and 3.6).  The trials are minimizers of cubic
 * interpolations (equation 3.59), with the safeguards of PyTorch's LBFGS.
 */
#include <math.h>

#include "optim/internal.h"

enum { MOST_TRIALS = 25 };
/* c1 and c2: a sufficient decrease is C1 of what the slope at 0 promises, and the slope at the end
 * is at most C2 of the slope at 0. */
static const double C1 = 1e-4, C2 = 0.9;

typedef struct search {
	const ebb_line *line;
	ebb_trial start, low, high;
	double limit; /* the smallest step whose loss or slope was not finite */
	int left;     /* trials */
	bool done;
} search;

/* The minimizer of the cubic through two trials, or the middle of the bounds if there is none. */
static double interpolate(const ebb_trial *a, const ebb_trial *b, double from, double to)
{
	const ebb_trial *x = a->t <= b->t ? a : b, *y = x == a ? b : a;
	double d1 = x->slope + y->slope - 3 * (x->loss - y->loss) / (x->t - y->t);
	double d2 = sqrt(d1 * d1 - x->slope * y->slope);
	double at = y->t - (y->t - x->t) * ((y->slope + d2 - d1) / (y->slope - x->slope + 2 * d2));

	return isfinite(at) ? fmin(fmax(at, from), to) : from + (to - from) / 2;
}

/* Evaluates a trial.  One whose loss or slope is not finite has the loss infinity. */
static bool evaluate(search *s, double t, ebb_trial *x)
{
	*x = (ebb_trial){.t = t};
	s->left--;
	if (!s->line->evaluate(s->line->ctx, x))
		return false;
	if (!isfinite(x->loss) || !isfinite(x->slope))
		x->loss = INFINITY;
	return true;
}

static bool decreases(const search *s, const ebb_trial *x)
{
	return x->loss <= s->start.loss + C1 * x->t * s->start.slope;
}

static bool is_flat(const search *s, const ebb_trial *x)
{
	return fabs(x->slope) <= -C2 * s->start.slope;
}

/* The next trial beyond x, which is short of a minimum: at most ten times as far, and short of
 * steps without a finite loss. */
static double extrapolate(const search *s, const ebb_trial *before, const ebb_trial *x)
{
	double from = x->t + 0.01 * (x->t - before->t), to = 10 * x->t;

	if (to >= s->limit)
		to = x->t + (s->limit - x->t) / 2;
	return interpolate(before, x, fmin(from, to), to);
}

/* Algorithm 3.5: sets low and high to the ends of an interval that contains a step, or low to such
 * a step. */
static bool bracket(search *s, double t)
{
	ebb_trial before = s->start, x;

	for (bool first = true; s->left > 0;) {
		if (!evaluate(s, t, &x))
			return false;
		if (x.loss == INFINITY) {
			s->limit = t;
			t = before.t + 0.1 * (t - before.t);
			continue;
		}
		if (!decreases(s, &x) || (!first && x.loss >= before.loss)) {
			s->low = before;
			s->high = x;
			return true;
		}
		s->line->keep(s->line->ctx);
		s->low = x;
		if (is_flat(s, &x)) {
			s->done = true;
			return true;
		}
		if (x.slope >= 0) {
			s->high = before;
			return true;
		}
		t = extrapolate(s, &before, &x);
		before = x;
		first = false;
	}
	return true;
}

/* The next trial between low and high.  *close says whether the last trial was close to an end; a
 * second such trial in succession moves to a tenth of the interval from that end. */
static double next_inside(const search *s, bool *close)
{
	double from = fmin(s->low.t, s->high.t), to = fmax(s->low.t, s->high.t);
	double margin = 0.1 * (to - from), t;

	if (s->high.loss == INFINITY)
		return from + (to - from) / 2;
	t = interpolate(&s->low, &s->high, from, to);
	if (fmin(to - t, t - from) >= margin) {
		*close = false;
	} else if (*close || t >= to || t <= from) {
		t = to - t < t - from ? to - margin : from + margin;
		*close = false;
	} else {
		*close = true;
	}
	return t;
}

/* Algorithm 3.6: low always has the least loss of the trials with a sufficient decrease. */
static bool zoom(search *s)
{
	bool close = false;

	while (!s->done && s->left > 0 && fabs(s->high.t - s->low.t) >= s->line->least) {
		ebb_trial x;

		if (!evaluate(s, next_inside(s, &close), &x))
			return false;
		if (!decreases(s, &x) || x.loss >= s->low.loss) {
			s->high = x;
			continue;
		}
		s->line->keep(s->line->ctx);
		s->done = is_flat(s, &x);
		if (x.slope * (s->high.t - s->low.t) >= 0)
			s->high = s->low;
		s->low = x;
	}
	return true;
}

bool ebb_strong_wolfe(const ebb_line *line, double first, ebb_trial *best)
{
	search s = {.line = line,
		.start = *best,
		.low = *best,
		.high = *best,
		.limit = INFINITY,
		.left = MOST_TRIALS};

	if (!(first > 0))
		return true;
	if (!bracket(&s, first) || !zoom(&s))
		return false;
	*best = s.low;
	return true;
}
