/* judge.c - the judgement of one measured step: values that are not finite, parameters without a
 * gradient, then the rules of the other files. */
#include "flow/instrument/judge.h"
#include "tensor/host.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- What the rules share ---- */

bool ebb_judge_initial(const struct judging *j)
{
	return j->f->measured == 0 && j->step == 0;
}

/* Appends s; of a text longer than `most` its end, because the end of a path tells more. */
static void append_end(char *buffer, size_t size, const char *s, size_t most)
{
	size_t n = strlen(s);

	if (n <= most) {
		ebb_append(buffer, size, "%s", s);
		return;
	}
	s += n - most + 3;
	while (((unsigned char)*s & 0xC0) == 0x80)
		s++;
	ebb_append(buffer, size, "...%s", s);
}

/* Appends "relu in layer fc6 (net.c:38)"; what is NULL or empty is left out.  The bytes of the names
 * are limited so that the longest sentence fits. */
static void append_place(char *buffer, size_t size, const char *op, const char *layer,
	const char *site, const char *added)
{
	bool ran = site && *site;
	const size_t name = 40, path = added && ran ? 56 : 70;

	append_end(buffer, size, op && *op ? op : "an op", name);
	if (layer && *layer) {
		ebb_append(buffer, size, " in layer ");
		append_end(buffer, size, layer, path);
	}
	if (added && ran) {
		ebb_append(buffer, size, " (added at ");
		append_end(buffer, size, added, path);
		ebb_append(buffer, size, ", run at ");
		append_end(buffer, size, site, path);
		ebb_append(buffer, size, ")");
	} else if (added || ran) {
		ebb_append(buffer, size, " (");
		append_end(buffer, size, added ? added : site, path);
		ebb_append(buffer, size, ")");
	}
}

const char *ebb_judge_place(const struct judging *j, int index, char *buffer, size_t size)
{
	const struct flow_row *r = j->rows[index].r;

	buffer[0] = '\0';
	append_place(buffer, size, r->op, r->layer >= 0 ? j->f->layer[r->layer].path : NULL,
		r->site, r->added);
	return buffer;
}

static void begin_sentence(ebb_verdict_kind kind, char *sentence, size_t size)
{
	ebb_snprintf(sentence, size, "%s: ", ebb_verdict_name(kind));
	sentence[0] = (char)toupper((unsigned char)sentence[0]);
}

void ebb_judge_found(struct judging *j, ebb_verdict_kind kind, int index, double value,
	double limit, const char *advice, const char *format, ...)
{
	char sentence[480];
	va_list args;

	begin_sentence(kind, sentence, sizeof sentence);
	va_start(args, format);
	ebb_append_v(sentence, sizeof sentence, format, args);
	va_end(args);
	j->found[kind] = true;
	int row = index < 0 ? -1 : j->rows[index].row;
	ebb_flow_find(j->f, kind, j->step, row, value, limit, sentence, advice);
	ebb_findings_backdate(j->f, kind, row, j->since);
}

/* ---- Not finite ---- */

/* The index of the first op, in the order of the forward computation, whose result is not finite
 * although that of the op before it is; -1: all results are finite. */
static int first_result(const struct judging *j)
{
	int first = -1;

	for (int i = 0; i < j->n; i++) {
		if (!(j->rows[i].m.not_finite > 0))
			continue;
		int before = j->rows[i].r->before, b = -1;
		for (int k = 0; before >= 0 && k < j->n; k++)
			if (j->rows[k].row == before)
				b = k;
		if (b < 0 || !(j->rows[b].m.not_finite > 0))
			return i;
		first = first < 0 ? i : first;
	}
	return first;
}

static int first_gradient(const struct judging *j)
{
	for (int i = j->n - 1; i >= 0; i--)
		if (j->rows[i].m.grad_not_finite > 0)
			return i;
	return -1;
}

/* The loss of a step without a backward pass is NaN, too. */
static bool loss_not_finite(const struct judging *j)
{
	bool differentiated = false;

	for (int i = 0; i < j->n; i++)
		differentiated = differentiated || !isnan(j->rows[i].m.grad_l2) ||
		                 j->rows[i].m.grad_not_finite > 0;
	return isinf(j->loss) || (isnan(j->loss) && differentiated);
}

static const char *const NOT_FINITE_ADVICE =
	"Try a smaller learning rate or gradient clipping; check the inputs, and divisions, "
	"logarithms and roots near 0.  ebb_detect_anomaly stops at the op.";

/* The finding begins at the op that computed the value, which need not be a row. */
static void report_origin(struct judging *j)
{
	ebb_flow *f = j->f;
	const struct flow_origin *o = &f->origin;
	char sentence[480];
	const char *what = o->in_gradient ? "the gradient of " : "the result of ";
	int findings = f->findings;

	begin_sentence(EBB_VERDICT_NOT_FINITE, sentence, sizeof sentence);
	ebb_append(sentence, sizeof sentence, "%s", what);
	append_place(sentence, sizeof sentence, o->op, o->layer, o->site, o->added);
	ebb_append(sentence, sizeof sentence,
		" contains the first NaN or infinity, in step %" PRId64, o->step);
	if (o->parameter[0])
		ebb_append(sentence, sizeof sentence,
			"; the parameter %s was already not finite: the cause lies before this "
			"step",
			o->parameter);
	ebb_append(sentence, sizeof sentence, ".");
	j->found[EBB_VERDICT_NOT_FINITE] = true;
	ebb_flow_find(
		f, EBB_VERDICT_NOT_FINITE, o->step, o->row, NAN, 0, sentence, NOT_FINITE_ADVICE);
	if (f->findings > findings) {
		ebb_finding *x = &f->finding[f->findings - 1].found;
		x->op = o->op ? o->op : "";
		x->site = o->added ? o->added : o->site ? o->site : "";
		x->layer = o->layer ? o->layer : "";
	}
}

/* Later values that are not finite are consequences of the first: the finding goes on. */
static bool report_known(struct judging *j)
{
	for (int i = 0; i < j->f->findings; i++) {
		struct flow_finding *x = &j->f->finding[i];
		if (x->found.kind != EBB_VERDICT_NOT_FINITE ||
			(!j->f->origin.found && x->last_sample + 1 < j->f->measured))
			continue;
		if (x->found.last < j->step)
			ebb_flow_find(
				j->f, EBB_VERDICT_NOT_FINITE, j->step, x->row, NAN, 0, "", "");
		return true;
	}
	return false;
}

static bool not_finite(struct judging *j)
{
	const struct flow_origin *o = &j->f->origin;
	int result = first_result(j), gradient = first_gradient(j);
	bool loss = loss_not_finite(j);

	if (result < 0 && gradient < 0 && !loss && !(o->found && o->step == j->step))
		return false;
	ebb_findings_confirm(j->f, true);
	if (report_known(j))
		return true;
	if (o->found) {
		report_origin(j);
		return true;
	}
	int at = result >= 0 ? result : gradient >= 0 ? gradient : j->n - 1;
	if (result >= 0 || gradient >= 0) {
		double count =
			result >= 0 ? j->rows[at].m.not_finite : j->rows[at].m.grad_not_finite;
		ebb_judge_found(j, EBB_VERDICT_NOT_FINITE, at, count, 0, NOT_FINITE_ADVICE,
			"%s elements of the %s of %s are NaN or infinite, the first ones in step "
			"%" PRId64 ".",
			PRETTY(count), result >= 0 ? "result" : "gradient", PLACE(j, at), j->step);
		return true;
	}
	ebb_judge_found(j, EBB_VERDICT_NOT_FINITE, at, j->loss, 0, NOT_FINITE_ADVICE,
		"the loss is %s in step %" PRId64 ", and all measured results and gradients are "
		"finite%s%s.",
		isnan(j->loss) ? "NaN" : "infinite", j->step, at >= 0 ? "; the last op is " : "",
		at >= 0 ? PLACE(j, at) : "");
	return true;
}

/* ---- Frozen ---- */

static void judge_frozen(struct judging *j)
{
	int last = -1, frozen = 0;
	bool reached = false;

	for (int i = 0; i < j->n; i++) {
		const ebb_flow_measures *m = &j->rows[i].m;
		if (j->rows[i].r->frozen) {
			last = i;
			frozen++;
		}
		reached = reached || m->weight_grad_l2 >= 0;
	}
	if (last < 0)
		return;
	const char *name = j->rows[last].r->frozen;
	if (!reached && frozen > 1) {
		ebb_judge_found(j, EBB_VERDICT_FROZEN, last, frozen, 0,
			"Check that ebb_backward gets the loss of this network, and that nothing "
			"detaches its result.",
			"no parameter receives a gradient, since step %" PRId64
			"; the last op with one is %s.",
			j->step, PLACE(j, last));
		return;
	}
	ebb_judge_found(j, EBB_VERDICT_FROZEN, last, frozen, 0,
		"Check for ebb_detach or recording that is off between this layer and the loss, "
		"and "
		"for parameters that the loss does not depend on.",
		"%s, a trainable parameter of %s, receives no gradient since step %" PRId64
		"%s%s%s.",
		name, PLACE(j, last), j->step, frozen > 1 ? "; nor do those of " : "",
		frozen > 1 ? PRETTY(frozen - 1) : "",
		frozen > 2   ? " ops before it"
		: frozen > 1 ? " op before it"
			     : "");
}

/* ---- The judgement ---- */

/* One block for all arrays, those with the strictest alignment first. */
static void *prepare(struct judging *j, size_t *bytes)
{
	size_t n = (size_t)j->n, rows = (size_t)j->f->rows;

	*bytes = n * (sizeof *j->stage + sizeof *j->scratch + 2 * sizeof *j->component) +
	         rows * sizeof *j->at;
	char *memory = ebb_alloc(*bytes);
	if (!memory)
		return NULL;
	j->stage = (void *)memory;
	j->scratch = (void *)(memory + n * sizeof *j->stage);
	j->component = (void *)(j->scratch + n);
	j->stage_of = j->component + n;
	j->at = j->stage_of + n;
	for (int i = 0; i < j->f->rows; i++)
		j->at[i] = -1;
	for (int i = 0; i < j->n; i++)
		j->at[j->rows[i].row] = i;
	return memory;
}

static void apply_rules(struct judging *j)
{
	judge_frozen(j);
	ebb_judge_stages(j);
	ebb_judge_zero_weights(j);
	ebb_judge_equal_weights(j);
	ebb_judge_dead(j);
	ebb_judge_saturated(j);
	ebb_judge_outliers(j);
	ebb_judge_trends(j);
	ebb_judge_loss(j);
	ebb_judge_initialisation(j);
	ebb_judge_not_learning(j);
	/* The factors of a dead network are those of a gradient of 0. */
	if (j->found[EBB_VERDICT_DEAD])
		ebb_findings_confirm(j->f, false);
}

void ebb_flow_judge(ebb_flow *f, int64_t step, double loss, int n, const struct flow_judged *rows)
{
	struct judging j = {.f = f,
		.step = step,
		.since = step,
		.loss = loss,
		.n = n,
		.rows = rows,
		.blocked = -1,
		.zero = n};
	size_t bytes;

	if (!not_finite(&j) && n > 0) {
		void *memory = prepare(&j, &bytes);
		if (memory)
			apply_rules(&j);
		else
			f->failed = true;
		ebb_free(memory, bytes);
	}
	ebb_findings_close(f);
}
