/* findings.c - the list of findings: when one is certain, their order, and reading them. */
#include "flow/instrument/judge.h"
#include "tensor/host.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Adding ---- */

/* In how many samples in succession a finding must hold to be certain.  A value that is not finite
 * is one, and initial weights are judged once.  The learning rate of a warm-up starts near 0. */
static int needed(ebb_verdict_kind kind)
{
	if (kind == EBB_VERDICT_NOT_FINITE || kind == EBB_VERDICT_BADLY_INITIALISED)
		return 1;
	return kind == EBB_VERDICT_NOT_LEARNING ? 3 : 2;
}

static struct flow_finding *known(ebb_flow *f, ebb_verdict_kind kind, int row)
{
	for (int i = 0; i < f->findings; i++)
		if (f->finding[i].found.kind == kind && f->finding[i].row == row)
			return &f->finding[i];
	return NULL;
}

static struct flow_finding *added(ebb_flow *f, ebb_verdict_kind kind, int row)
{
	if (!ebb_grow(&f->finding, &f->finding_capacity, f->findings + 1, sizeof *f->finding)) {
		f->failed = true;
		return NULL;
	}
	struct flow_finding *x = &f->finding[f->findings++];
	*x = (struct flow_finding){.row = row};
	x->found = (ebb_finding){.kind = kind, .layer = "", .op = "", .site = ""};
	if (row >= 0) {
		const struct flow_row *r = &f->row[row];
		x->found.op = r->op;
		x->found.site = r->added ? r->added : r->site ? r->site : "";
		x->found.layer =
			r->layer >= 0 && f->layer[r->layer].path ? f->layer[r->layer].path : "";
	}
	return x;
}

/* Whether the finding held in the last sample before this one in which its op had a gradient: a
 * program may train two networks by turns. */
static bool goes_on(const ebb_flow *f, const struct flow_finding *x)
{
	for (int64_t k = x->last_sample + 1; k < f->measured; k++) {
		int64_t i = f->samples - 1 - (f->measured - k);

		if (i < 0 || x->row < 0 || x->row >= f->sample[i].rows ||
			!isnan(f->sample[i].m[x->row].grad_l2))
			return false;
	}
	return true;
}

void ebb_flow_find(ebb_flow *f, ebb_verdict_kind kind, int64_t step, int row, double value,
	double limit, const char *sentence, const char *advice)
{
	struct flow_finding *x = known(f, kind, row);

	if (!x)
		x = added(f, kind, row);
	if (!x)
		return;
	bool before = x->found.samples > 0;
	if (before && x->found.last == step)
		return;
	/* The sentence states the numbers of the first step. */
	if (!x->certain && !(before && goes_on(f, x))) {
		x->found.samples = 0;
		x->found.step = step;
		x->found.value = value;
		x->found.limit = limit;
		ebb_snprintf(x->found.sentence, sizeof x->found.sentence, "%s", sentence);
		ebb_snprintf(x->found.advice, sizeof x->found.advice, "%s", advice);
	}
	x->found.samples++;
	x->found.last = step;
	x->last_sample = f->measured;
	x->certain = x->certain || x->found.samples >= needed(kind);
}

int ebb_judge_held(const ebb_flow *f, ebb_verdict_kind kind, int row)
{
	for (int i = 0; i < f->findings; i++) {
		const struct flow_finding *x = &f->finding[i];
		if (x->found.kind == kind && (row < 0 || x->row == row) && x->row >= 0 &&
			x->last_sample + 1 >= f->measured)
			return x->row;
	}
	return -1;
}

void ebb_findings_confirm(ebb_flow *f, bool not_finite)
{
	for (int i = 0; i < f->findings; i++) {
		struct flow_finding *x = &f->finding[i];
		bool only =
			not_finite && f->measured == 1 && x->found.kind != EBB_VERDICT_NOT_LEARNING;
		if (x->last_sample + 1 == f->measured &&
			(only || x->found.kind == EBB_VERDICT_EXPLODING))
			x->certain = true;
	}
}

void ebb_findings_backdate(ebb_flow *f, ebb_verdict_kind kind, int row, int64_t since)
{
	struct flow_finding *x = known(f, kind, row);

	if (x && x->found.samples == 1 && since < x->found.step)
		x->found.step = since;
}

void ebb_findings_mark_initial(ebb_flow *f, ebb_verdict_kind kind, int row)
{
	struct flow_finding *x = known(f, kind, row);

	if (x)
		x->initial = true;
}

/* Initial weights that the first update has changed much, because they were small or had a large
 * gradient, are findings of the first step. */
static void keep_initial(ebb_flow *f)
{
	for (int i = 0; f->measured == 1 && i < f->findings; i++) {
		struct flow_finding *x = &f->finding[i];
		char sentence[sizeof x->found.sentence];

		if (!x->initial || x->certain || x->last_sample != 0 ||
			known(f, EBB_VERDICT_BADLY_INITIALISED, x->row))
			continue;
		const char *rest = strchr(x->found.sentence, ':');
		x->found.kind = EBB_VERDICT_BADLY_INITIALISED;
		x->certain = true;
		ebb_snprintf(sentence, sizeof sentence, "Badly initialised%s", rest ? rest : "");
		memcpy(x->found.sentence, sentence, sizeof sentence);
	}
}

static int rank(const ebb_finding *x)
{
	static const ebb_verdict_kind order[] = {EBB_VERDICT_NOT_FINITE, EBB_VERDICT_FROZEN,
		EBB_VERDICT_DEAD, EBB_VERDICT_SATURATED, EBB_VERDICT_EXPLODING,
		EBB_VERDICT_VANISHING, EBB_VERDICT_BADLY_INITIALISED, EBB_VERDICT_NOT_LEARNING};
	int i = 0;

	/* A weight whose elements are equal is the cause of all others. */
	if (x->kind == EBB_VERDICT_BADLY_INITIALISED && x->limit == 0)
		return -1;
	while (i < (int)(sizeof order / sizeof *order) && order[i] != x->kind)
		i++;
	return i;
}

static bool later(const struct flow_finding *a, const struct flow_finding *b)
{
	if (a->found.step != b->found.step)
		return a->found.step > b->found.step;
	return rank(&a->found) > rank(&b->found);
}

void ebb_findings_close(ebb_flow *f)
{
	keep_initial(f);
	for (int i = 1; i < f->findings; i++) {
		struct flow_finding x = f->finding[i];
		int k = i;
		for (; k > 0 && later(&f->finding[k - 1], &x); k--)
			f->finding[k] = f->finding[k - 1];
		f->finding[k] = x;
	}
	if (!f->alarm)
		return;
	for (int i = 0; i < f->findings; i++) {
		struct flow_finding *x = &f->finding[i];
		if (!x->certain || x->told)
			continue;
		x->told = true;
		ebb_finding copy = x->found;
		f->alarm(f->ctx, &copy);
	}
}

/* ---- Reading ---- */

/* A finding of the only sample is listed, because no second one can confirm it. */
const ebb_finding *ebb_findings_next(const ebb_flow *f, int *at)
{
	while (*at < f->findings) {
		const struct flow_finding *x = &f->finding[(*at)++];
		bool only = f->measured == 1 && x->found.kind != EBB_VERDICT_NOT_LEARNING;
		if (x->certain || only)
			return &x->found;
	}
	return NULL;
}

/* The finding number i of those that are listed, or NULL. */
static const ebb_finding *listed(const ebb_flow *f, int i)
{
	const ebb_finding *x;
	int at = 0;

	while ((x = ebb_findings_next(f, &at)) && i > 0)
		i--;
	return x;
}

int ebb_flow_findings(ebb_flow *f)
{
	int n = 0, at = 0;

	if (!f)
		return 0;
	ebb_flow_settle(f);
	while (ebb_findings_next(f, &at))
		n++;
	return n;
}

bool ebb_flow_finding(ebb_flow *f, int i, ebb_finding *finding)
{
	if (!f || i < 0 || !finding)
		return false;
	ebb_flow_settle(f);
	const ebb_finding *x = listed(f, i);
	if (x)
		*finding = *x;
	return x != NULL;
}

/* Whether an op was measured in any step. */
static bool measured_any(const ebb_flow *f)
{
	for (int i = 0; i < f->samples; i++)
		for (int k = 0; k < f->sample[i].rows; k++)
			if (f->sample[i].m[k].calls > 0)
				return true;
	return false;
}

int ebb_flow_status(ebb_flow *f)
{
	if (ebb_flow_findings(f) > 0)
		return 1;
	return ebb_flow_failed(f) || !measured_any(f) ? 2 : 0;
}

/* ---- Healthy ---- */

/* Whether an earlier row of the sample with a gradient has the same layer. */
static bool counted(const ebb_flow *f, const struct flow_sample *s, int row)
{
	for (int i = 0; i < row; i++)
		if (f->row[i].layer == f->row[row].layer && f->row[i].kind == EBB_FLOW_WEIGHT &&
			isfinite(s->m[i].grad_l2))
			return true;
	return false;
}

static void say_gradients(const ebb_flow *f, const struct flow_sample *s, ebb_finding *x)
{
	double lo = INFINITY, hi = 0, logs = 0;
	int layers = 0, factors = 0;

	for (int i = 0; i < s->rows; i++) {
		const ebb_flow_measures *m = &s->m[i];
		if (m->calls == 0 || f->row[i].kind != EBB_FLOW_WEIGHT || !isfinite(m->grad_l2))
			continue;
		layers += !counted(f, s, i);
		lo = fmin(lo, m->grad_l2);
		hi = fmax(hi, m->grad_l2);
		if (isfinite(m->backward) && m->backward > 0) {
			logs += log(m->backward);
			factors++;
		}
	}
	if (!layers)
		ebb_append(x->sentence, sizeof x->sentence, "no gradient was measured");
	else
		ebb_append(x->sentence, sizeof x->sentence,
			"the gradient reaches %s%d layer%s (norms from %s to %s)",
			layers > 1 ? "all " : "", layers, layers > 1 ? "s" : "", PRETTY(lo),
			PRETTY(hi));
	if (factors)
		ebb_append(x->sentence, sizeof x->sentence,
			", the weights of each multiply it by %s (geometric mean)",
			PRETTY(exp(logs / factors)));
}

ebb_finding ebb_flow_verdict(ebb_flow *f)
{
	if (f)
		ebb_flow_settle(f);
	return ebb_findings_first(f);
}

ebb_finding ebb_findings_first(const ebb_flow *f)
{
	ebb_finding x = {.kind = EBB_VERDICT_HEALTHY, .layer = "", .op = "", .site = ""};
	const ebb_finding *first = f ? listed(f, 0) : NULL;

	if (first)
		return *first;
	x.value = x.limit = NAN;
	if (!f || !measured_any(f)) {
		ebb_append(x.sentence, sizeof x.sentence, "Nothing was measured%s.",
			f && f->globs && f->samples ? ": .layers matches none of the layers" : "");
		return x;
	}
	const struct flow_sample *s = &f->sample[f->samples - 1];
	x.step = f->sample[0].step;
	x.last = s->step;
	x.samples = f->samples;
	ebb_append(x.sentence, sizeof x.sentence, "Healthy: ");
	say_gradients(f, s, &x);
	if (isfinite(f->first_loss) && isfinite(f->last_loss)) {
		int64_t steps = ebb_flow_steps(f);
		ebb_append(x.sentence, sizeof x.sentence, "; loss %s -> %s in %" PRId64 " step%s",
			PRETTY(f->first_loss), PRETTY(f->last_loss), steps, steps > 1 ? "s" : "");
	}
	ebb_append(x.sentence, sizeof x.sentence, ".");
	return x;
}

/* ---- Text ---- */

bool ebb_flow_findings_text(ebb_flow *f, int width, ebb_text *text)
{
	if (!f || !text)
		return false;
	int n = ebb_flow_findings(f), indent = width > 0 && width < 20 ? 0 : 2, at = 0;
	if (n == 0) {
		ebb_finding x = ebb_findings_first(f);
		ebb_text_wrapped(text, x.sentence, 0, width);
	}
	for (const ebb_finding *x; (x = ebb_findings_next(f, &at));) {
		ebb_text_wrapped(text, x->sentence, 0, width);
		if (*x->advice)
			ebb_text_wrapped(text, x->advice, indent, width);
	}
	return !text->failed;
}
