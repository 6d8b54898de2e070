/* range.c - judges kept samples again: those of some steps, or by other limits. */
#include "flow/instrument/internal.h"
#include "tensor/host.h"

#include <math.h>
#include <string.h>

struct range {
	int64_t from, to;
	int first, n; /* the samples of these steps */
};

static bool is_before_end(const struct range *r, int64_t step)
{
	return r->to <= 0 || step < r->to;
}

static struct range range_of(const ebb_flow *f, int64_t from, int64_t to)
{
	struct range r = {.from = from, .to = to};

	while (r.first < f->samples && f->sample[r.first].step < from)
		r.first++;
	while (r.first + r.n < f->samples && is_before_end(&r, f->sample[r.first + r.n].step))
		r.n++;
	return r;
}

/* Whether no sample shows the finding: where a value that is not finite was computed, parameters
 * without a gradient, and equal elements of a weight. */
static bool is_not_sampled(const ebb_finding *x)
{
	return x->kind == EBB_VERDICT_NOT_FINITE || x->kind == EBB_VERDICT_FROZEN ||
	       (x->kind == EBB_VERDICT_BADLY_INITIALISED && x->limit == 0);
}

/* Copies those findings that held in the range. */
static bool copy_findings(ebb_flow *into, const ebb_flow *f, const struct range *r)
{
	for (int i = 0; i < f->findings; i++) {
		struct flow_finding x = f->finding[i];

		if (!is_not_sampled(&x.found) || x.found.last < r->from ||
			!is_before_end(r, x.found.step) || !(x.certain || f->measured == 1))
			continue;
		if (!ebb_grow(&into->finding, &into->finding_capacity, into->findings + 1,
			    sizeof *into->finding))
			return false;
		x.certain = true;
		into->finding[into->findings++] = x;
		/* Values that are not finite in later samples are consequences. */
		into->origin.found |= x.found.kind == EBB_VERDICT_NOT_FINITE;
	}
	return true;
}

/* Judges the samples one after the other, as if each were the last one so far. */
static bool judge(ebb_flow *s, const struct range *r)
{
	size_t bytes = (size_t)s->rows * sizeof(struct flow_judged);
	struct flow_judged *rows = ebb_alloc(bytes);

	if (s->rows && !rows)
		return false;
	for (int i = 0; i < r->n; i++) {
		const struct flow_sample *sample = &s->sample[i];
		double loss = sample->loss;

		s->samples = i + 1;
		s->last_loss = isnan(loss) ? s->last_loss : loss;
		s->first_loss = isnan(s->first_loss) ? loss : s->first_loss;
		/* A loss that is NaN is a finding that was copied, or there was none. */
		if (isnan(loss))
			loss = isfinite(s->first_loss) ? s->first_loss : 0;
		ebb_flow_judge(s, sample->step, loss, ebb_flow_judged_rows(s, sample, rows), rows);
		s->measured++;
	}
	ebb_free(rows, bytes);
	return !s->failed;
}

ebb_judged ebb_flow_judge_range(const ebb_flow *f, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_finding *x)
{
	struct range r = range_of(f, from, to);
	ebb_verdict_limits l = limits ? ebb_verdict_limits_of(limits) : f->limits;

	if (r.n == 0)
		return EBB_NOTHING_SAMPLED;
	if (r.n == f->samples && memcmp(&l, &f->limits, sizeof l) == 0) {
		*x = ebb_findings_first(f);
		return EBB_JUDGED;
	}
	/* Rows, layers and samples are those of f; the steps are counted from the first sample. */
	const struct flow_sample *first = &f->sample[r.first];
	ebb_flow s = {.t = f->t,
		.step = first[r.n - 1].step - first->step,
		.limits = l,
		.layer = f->layer,
		.layers = f->layers,
		.row = f->row,
		.rows = f->rows,
		.sample = f->sample + r.first,
		.origin = {.step = -1, .row = -1},
		.first_loss = NAN,
		.last_loss = NAN};
	bool ok = copy_findings(&s, f, &r) && judge(&s, &r);

	if (ok)
		*x = ebb_findings_first(&s);
	ebb_free(s.finding, (size_t)s.finding_capacity * sizeof *s.finding);
	return ok ? EBB_JUDGED : EBB_NO_MEMORY_TO_JUDGE;
}
