/* probe_verdict.c - the verdict on a probe names the step, the layer and the line of a fault, for any
 * steps and limits. */
#include "flow/instrument/internal.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 12, WIDTH = 48, CLASSES = 10, BATCH = 32, BAD = 6 };

/* An MLP.  Layer BAD gets its fault before step `begins`. */
typedef struct model {
	ebb_tape *t;
	ebb_params *p;
	ebb_optim *opt;
	ebb_linear l[DEPTH];
	ebb_tensor *x, *labels;
	enum { NONE, SATURATED, DEAD, EXPLODING, NOT_A_NUMBER, FROZEN } fault;
	int step, begins;
	bool scopes;
	char line[40], weight_line[40]; /* of the nonlinearity and of the weight of layer BAD */
} model;

#define HERE(text) snprintf(text, sizeof(text), "probe_verdict.c:%d", __LINE__)

static void model_new(model *m)
{
	m->t = ebb_tape_new();
	m->p = ebb_params_new(3);
	for (int i = 0; i < DEPTH; i++) {
		char name[8];

		snprintf(name, sizeof name, "fc%d", i);
		m->l[i] = ebb_linear_new(m->p, name, WIDTH, i + 1 < DEPTH ? WIDTH : CLASSES,
			.init = EBB_INIT(EBB_INIT_KAIMING_NORMAL),
			.bias_init = EBB_INIT(EBB_INIT_ZEROS));
	}
	m->opt = ebb_sgd(m->p, .lr = 0.01);
	m->x = persistent_random(EBB_F32, EBB_SHAPE(BATCH, WIDTH), 5);
	m->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(BATCH), false, NULL);
	for (int i = 0; i < BATCH; i++)
		((int64_t *)ebb_data_mutable(m->labels))[i] = i % CLASSES;
}

static void model_free(model *m)
{
	ebb_tape_free(m->t);
	ebb_optim_free(m->opt);
	ebb_params_free(m->p);
	ebb_tensor_free(m->x);
	ebb_tensor_free(m->labels);
}

static void fill(ebb_tensor *w, float factor, float value)
{
	float *v = ebb_data_mutable(w);

	for (int64_t i = 0; i < ebb_count(w); i++)
		v[i] = factor * v[i] + value;
}

static void plant(model *m)
{
	const ebb_linear *l = &m->l[BAD];

	if (m->fault == SATURATED)
		fill(l->weight, 100, 0);
	else if (m->fault == DEAD)
		fill(l->bias, 0, -1000);
	else if (m->fault == EXPLODING)
		fill(l->weight, 3000, 0);
	else if (m->fault == NOT_A_NUMBER)
		fill(l->weight, 0, NAN);
}

static ebb_tensor *forward(model *m, bool faulty)
{
	ebb_tape *t = m->t;
	ebb_tensor *x = m->x;

	for (int i = 0; i < DEPTH; i++) {
		char name[8];

		snprintf(name, sizeof name, "act%d", i);
		if (m->scopes)
			ebb_scope_begin(t, name);
		if (i == BAD)
			x = ebb_linear_forward(t, &m->l[i], x), HERE(m->weight_line);
		else
			x = ebb_linear_forward(t, &m->l[i], x);
		if (i == BAD && faulty && m->fault == FROZEN)
			x = ebb_detach(t, x);
		if (i == BAD && m->fault == SATURATED)
			x = ebb_sigmoid(t, x), HERE(m->line);
		else if (i == BAD)
			x = ebb_relu(t, x), HERE(m->line);
		else if (i + 1 < DEPTH)
			x = ebb_relu(t, x);
		if (m->scopes)
			x = ebb_scope_end(t, x);
	}
	return ebb_cross_entropy(t, x, m->labels);
}

static void train(model *m, ebb_probe *probe, int steps, bool reset_first)
{
	for (int i = 0; i < steps; i++, m->step++) {
		if (m->step == m->begins)
			plant(m);
		ebb_tensor *loss = forward(m, m->step >= m->begins);
		ebb_params_zero_grad(m->p);
		ebb_backward(m->t, loss);
		ebb_optim_step(m->opt);
		if (reset_first)
			ebb_tape_reset(m->t);
		ck_assert(ebb_probe_step(probe));
		if (!reset_first)
			ebb_tape_reset(m->t);
	}
	if (m->fault != NOT_A_NUMBER)
		assert_healthy(m->t);
}

static ebb_verdict verdict(
	const ebb_probe *p, int64_t from, int64_t to, const ebb_verdict_limits *limits)
{
	ebb_verdict v;

	ck_assert(ebb_probe_verdict(p, from, to, limits, &v));
	ck_assert(v.sentence[0] >= 'A' && v.sentence[0] <= 'Z');
	ck_assert_int_eq(v.step < 0, v.kind == EBB_VERDICT_HEALTHY);
	return v;
}

static void assert_fault(const model *m, const ebb_verdict *v, int64_t step)
{
	static const ebb_verdict_kind kinds[] = {EBB_VERDICT_HEALTHY, EBB_VERDICT_SATURATED,
		EBB_VERDICT_DEAD, EBB_VERDICT_EXPLODING, EBB_VERDICT_NOT_FINITE,
		EBB_VERDICT_FROZEN};
	static const char *const ops[] = {"", "sigmoid", "relu", "linear", "linear", "linear"};
	const char *line = m->fault == NONE ? "" : m->fault < EXPLODING ? m->line : m->weight_line;
	const char *layer = m->fault == NONE ? "" : m->scopes ? "act6.fc6" : "fc6";

	ck_assert_msg(v->kind == kinds[m->fault], "fault %d: %s", m->fault, v->sentence);
	ck_assert_msg(v->step == step, "fault %d, expected step %d: %s", m->fault, (int)step,
		v->sentence);
	ck_assert_str_eq(v->layer, layer);
	ck_assert_str_eq(v->op, ops[m->fault]);
	ck_assert_msg(m->fault == NONE ? !*v->site : strstr(v->site, line) != NULL, "%s, not %s",
		v->site, line);
	ck_assert(strstr(v->sentence, v->layer) && strstr(v->sentence, v->site));
	ck_assert_int_eq(*v->advice != '\0', m->fault != NONE);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

/* _i: the fault; without scopes, and with scopes of which the probe observes some. */
START_TEST(a_planted_fault_is_named)
{
	for (int scopes = 0; scopes < 2; scopes++) {
		model m = {.fault = _i, .scopes = scopes};
		model_new(&m);
		ebb_probe *p = ebb_probe_new(m.t, .scopes = scopes ? "act3 act?" : "*");

		train(&m, p, 6, scopes);
		ebb_verdict v = verdict(p, 0, 0, NULL);
		assert_fault(&m, &v, m.fault == NONE ? -1 : 0);
		if (scopes)
			ck_assert_int_eq(v.decay.layers, m.fault == FROZEN ? 3 : 10);
		ebb_probe_free(p);
		model_free(&m);
	}
}
END_TEST

START_TEST(a_fault_begins_at_its_step)
{
	model m = {.fault = _i, .begins = 6};
	ebb_verdict v;

	model_new(&m);
	ebb_probe *p = ebb_probe_new(m.t);
	train(&m, p, 12, false);
	v = verdict(p, 0, 0, NULL);
	assert_fault(&m, &v, m.fault == NONE ? -1 : 6);
	v = verdict(p, 0, 6, NULL);
	ck_assert_msg(v.kind == EBB_VERDICT_HEALTHY, "%s", v.sentence);
	ck_assert(strstr(v.sentence, "Healthy: the gradient reaches all 12 layers"));
	ck_assert(strstr(v.sentence, "in 6 steps"));
	v = verdict(p, 3, 10, NULL);
	assert_fault(&m, &v, m.fault == NONE ? -1 : 6);
	ck_assert(!ebb_probe_verdict(p, 20, 30, NULL, &v));
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

START_TEST(limits_judge_the_samples_again)
{
	const ebb_verdict_limits loose = {.saturated = 0.9999},
				 strict = {
					 .outlier = 1.001, .exploding = 1.001, .vanishing = 0.999};
	model m = {.fault = SATURATED, .begins = 4};
	model_new(&m);
	ebb_probe *p = ebb_probe_new(m.t);
	ebb_verdict v;

	train(&m, p, 8, false);
	ck_assert_int_eq(verdict(p, 0, 0, NULL).kind, EBB_VERDICT_SATURATED);
	ck_assert_int_ne(verdict(p, 0, 0, &loose).kind, EBB_VERDICT_SATURATED);
	v = verdict(p, 0, 4, &strict);
	ck_assert_msg(v.kind == EBB_VERDICT_VANISHING || v.kind == EBB_VERDICT_EXPLODING ||
			      v.kind == EBB_VERDICT_BADLY_INITIALISED,
		"%s", v.sentence);
	ck_assert_int_eq(v.step, 0);
	/* Judging again changes nothing. */
	v = verdict(p, 0, 0, NULL);
	assert_fault(&m, &v, 4);
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

/* No sample shows which parameters were frozen, nor where the first NaN was computed. */
START_TEST(findings_that_no_sample_shows_hold_with_other_limits)
{
	const ebb_verdict_limits limits = {.dead = 0.7};
	model m = {.fault = _i, .begins = 3};
	model_new(&m);
	ebb_probe *p = ebb_probe_new(m.t);
	ebb_verdict v;

	train(&m, p, 9, false);
	v = verdict(p, 0, 0, &limits);
	assert_fault(&m, &v, 3);
	v = verdict(p, 5, 0, &limits);
	assert_fault(&m, &v, 3);
	ck_assert_int_eq(verdict(p, 0, 3, &limits).kind, EBB_VERDICT_HEALTHY);
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Steps with two updates and a reset between, and steps without a backward pass: a step of the
 * verdict is one of ebb_probe_step. */
START_TEST(steps_are_those_of_the_probe)
{
	static const int sampled[] = {1, 2, 4, 5, 7, 8, 10, 11};
	model m = {.fault = SATURATED, .begins = 1000};
	model_new(&m);
	ebb_probe *p = ebb_probe_new(m.t);

	for (int i = 0; i < 12; i++) {
		if (i == 6)
			plant(&m);
		for (int k = 0; i % 3 && k < 2; k++) {
			ebb_tensor *loss = forward(&m, false);

			ebb_params_zero_grad(m.p);
			ebb_backward(m.t, loss);
			ebb_optim_step(m.opt);
			ebb_tape_reset(m.t);
		}
		ck_assert(ebb_probe_step(p));
	}
	ck_assert_int_eq(p->flow->samples, 8);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(p->flow->sample[i].step, sampled[i]);
	ebb_verdict v = verdict(p, 0, 0, NULL);
	assert_fault(&m, &v, 7);
	ck_assert_int_eq(verdict(p, 0, 7, NULL).kind, EBB_VERDICT_HEALTHY);
	ck_assert(!ebb_probe_verdict(p, 6, 7, NULL, &v));
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

START_TEST(the_instrument_keeps_no_more_samples_than_the_probe)
{
	model m = {.fault = SATURATED, .begins = 20};
	model_new(&m);
	ebb_probe *p = ebb_probe_new(m.t, .max_samples = 5);

	for (int i = 0; i < 40; i++) {
		train(&m, p, 1, i % 2);
		ck_assert_int_le(p->flow->samples, 5);
	}
	ck_assert_int_ge(p->flow->samples, 2);
	ck_assert(p->flow->step >= 38);
	ebb_verdict v = verdict(p, 0, 0, NULL);
	ck_assert_int_eq(v.kind, EBB_VERDICT_SATURATED);
	ck_assert_int_ge(v.step, 20);
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

/* The instrument does not measure a recording that began before it; the summaries do. */
START_TEST(the_summaries_are_judged_where_the_instrument_has_no_sample)
{
	model m = {.fault = DEAD, .scopes = true};
	model_new(&m);
	ebb_verdict v;

	ebb_variable(m.t, ebb_ones(m.t, EBB_SHAPE(2)));
	ebb_probe *p = ebb_probe_new(m.t, .scopes = "act? act??");
	train(&m, p, 1, false);
	ck_assert_int_eq(p->flow->samples, 0);
	ck_assert(ebb_probe_verdict(p, 0, 0, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_DEAD);
	ck_assert_str_eq(v.layer, "act6");
	ck_assert_int_eq(v.step, -1);
	ck_assert_str_eq(v.site, "");
	train(&m, p, 3, false);
	v = verdict(p, 0, 0, NULL);
	assert_fault(&m, &v, 1);
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

START_TEST(a_probe_and_an_instrument_of_the_user_agree)
{
	model m = {.fault = SATURATED, .begins = 2};
	model_new(&m);
	ebb_flow *f = ebb_flow_new(m.t);
	ebb_probe *p = ebb_probe_new(m.t);

	train(&m, p, 6, false);
	ck_assert_int_eq(ebb_flow_layers(f), DEPTH);
	ebb_finding x = ebb_flow_verdict(f);
	ebb_verdict v = verdict(p, 0, 0, NULL);
	ck_assert_str_eq(x.sentence, v.sentence);
	ck_assert_str_eq(x.advice, v.advice);
	ck_assert(x.kind == v.kind && x.step == v.step);
	ebb_flow_free(f);
	ebb_probe_free(p);
	model_free(&m);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

START_TEST(without_memory_there_is_no_verdict)
{
	const ebb_verdict_limits limits = {.saturated = 0.6};
	model m = {.fault = SATURATED};
	counting_allocator a;
	int failures = 0;

	counting_allocator_install(&a);
	model_new(&m);
	ebb_probe *p = ebb_probe_new(m.t);
	train(&m, p, 4, false);
	int64_t before = a.live;
	for (int64_t n = 0;; n++, failures++) {
		ebb_verdict v;

		a.calls = a.refused = 0;
		a.fail_at = n;
		bool ok = ebb_probe_verdict(p, 1, 0, &limits, &v);
		ck_assert(ok == (a.refused == 0));
		ck_assert(!ok || v.kind == EBB_VERDICT_SATURATED);
		ck_assert_int_eq(a.live, before);
		if (ok)
			break;
	}
	ck_assert_int_ge(failures, 5);
	a.fail_at = -1;
	ebb_probe_free(p);
	model_free(&m);
	ck_assert_int_eq(a.live, 0);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow probe verdict");
	TCase *c = tcase_create("verdict");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_planted_fault_is_named, NONE, FROZEN + 1);
	tcase_add_loop_test(c, a_fault_begins_at_its_step, NONE, FROZEN + 1);
	tcase_add_test(c, limits_judge_the_samples_again);
	tcase_add_loop_test(
		c, findings_that_no_sample_shows_hold_with_other_limits, NOT_A_NUMBER, FROZEN + 1);
	tcase_add_test(c, steps_are_those_of_the_probe);
	tcase_add_test(c, the_instrument_keeps_no_more_samples_than_the_probe);
	tcase_add_test(c, the_summaries_are_judged_where_the_instrument_has_no_sample);
	tcase_add_test(c, a_probe_and_an_instrument_of_the_user_agree);
	tcase_add_test(c, without_memory_there_is_no_verdict);
	suite_add_tcase(s, c);
	return run_suite(s);
}
