/* attach.c - an instrument may be attached to any training run: frozen parameters, gradient
 * accumulation in all usual orders, and attaching and detaching in mid-run. */
#include "tests/flow/scenes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static scene s;

static void set_up(void)
{
	scene_new(&s, "");
}

static void tear_down(void)
{
	scene_free(&s);
}

/* ---- Frozen parameters ---- */

/* Compares the rows of the sample with ebb_grad and direct sums on a tape of its own. */
static void check_rows(const ebb_flow *f, int sample)
{
	ebb_tape *watched = s.t;
	ebb_tensor *v[2 * SCENE_LAYERS], *g[2 * SCENE_LAYERS], *d;
	bool reached[2 * SCENE_LAYERS] = {false};

	s.t = ebb_tape_new();
	ebb_set_default_dtype(s.t, EBB_F64);
	d = ebb_sub(s.t, scene_forward(&s, 0, SCENE_BATCH, v), s.target);
	d = ebb_mul_scalar(s.t, ebb_sum(s.t, ebb_square(s.t, d)), 0.5);
	for (int i = 0; i < 2 * SCENE_LAYERS - 1; i++) {
		reached[i] = ebb_node_of(v[i]) != NULL;
		ck_assert(!reached[i] || ebb_grad(s.t, d, 1, &v[i], &g[i]));
	}
	for (int i = 0; i < 2 * SCENE_LAYERS - 1; i++) {
		char layer[8];
		ebb_flow_measures m;

		snprintf(layer, sizeof layer, "fc%d", i / 2);
		if (!reached[i]) /* not recorded */
			continue;
		m = measured(f, sample, layer, i % 2 ? "tanh" : "linear");
		assert_near(m.rms, plain_norm(v[i], NULL) / sqrt((double)ebb_count(v[i])), 1e-12);
		assert_near(m.grad_l2, plain_norm(g[i], NULL), 1e-12);
		if (i > 0 && reached[i - 1])
			assert_near(m.backward, plain_norm(g[i - 1], NULL) / plain_norm(g[i], NULL),
				1e-12);
	}
	ebb_tape_free(s.t);
	s.t = watched;
}

START_TEST(frozen_layers_are_measured_without_alarm)
{
	static const char *const globs[] = {"fc2.*", "fc0.*", "fc3.*"};
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_flow_measures m;

	ck_assert_int_eq(ebb_params_freeze(s.p, globs[_i]), 2);
	for (int k = 0; k < 4; k++) {
		if (k == 3) {
			ebb_params_zero_grad(s.p);
			ebb_backward(s.t, scene_loss(&s, 0, SCENE_BATCH));
			assert_no_finding(f);
			check_rows(f, 3);
		} else {
			scene_step(&s);
		}
	}
	ck_assert_int_eq(ebb_flow_samples(f), 4);
	if (_i != 1) { /* the results of a frozen first layer are not recorded */
		m = measured(f, 0, _i ? "fc3" : "fc2", "linear");
		ck_assert(isnan(m.weight_l2) && isnan(m.weight_grad_l2) && isnan(m.update_ratio) &&
			  isnan(m.cosine));
	}
	m = measured(f, 0, "fc1", "linear");
	ck_assert(m.weight_grad_l2 > 0 && m.update_ratio > 0);
	ebb_flow_free(f);
}
END_TEST

START_TEST(a_frozen_first_half_gives_no_alarm)
{
	ebb_flow *f = ebb_flow_new(s.t);

	ebb_params_freeze(s.p, "fc0.*");
	ebb_params_freeze(s.p, "fc1.*");
	for (int k = 0; k < 5; k++)
		scene_step(&s);
	assert_no_finding(f);
	assert_samples(f, 5, 1);
	/* Unfreezing in mid-run adds rows. */
	ebb_params_unfreeze(s.p, "*");
	for (int k = 0; k < 5; k++)
		scene_step(&s);
	assert_no_finding(f);
	assert_samples(f, 10, 1);
	ck_assert(measured(f, 9, "fc0", "linear").weight_grad_l2 > 0);
	ebb_flow_free(f);
}
END_TEST

/* A net whose layer 1 is detached; or of which only the weight of layer 1 is. */
static void detached_step(bool weight, int *line)
{
	ebb_tensor *y = s.x;

	ebb_params_zero_grad(s.p);
	for (int i = 0; i < SCENE_LAYERS; i++) {
		if (weight && i == 1) {
			*line = __LINE__ + 1;
			y = ebb_linear(s.t, y, ebb_detach(s.t, s.fc[1].weight), s.fc[1].bias);
		} else {
			*line = i == 1 ? __LINE__ + 1 : *line;
			y = ebb_linear(s.t, y, s.fc[i].weight, s.fc[i].bias);
		}
		y = ebb_tanh(s.t, y);
		if (!weight && i == 1)
			y = ebb_detach(s.t, y);
	}
	ebb_backward(s.t, ebb_sum(s.t, ebb_square(s.t, ebb_sub(s.t, y, s.target))));
	ck_assert(ebb_optim_step(s.opt));
	ebb_tape_reset(s.t);
}

START_TEST(a_detached_half_is_frozen_from_its_last_layer_on)
{
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_finding x;
	int line = 0;

	for (int k = 0; k < 3; k++)
		detached_step(false, &line);
	ck_assert_int_eq(ebb_flow_findings(f), 1);
	x = ebb_flow_verdict(f);
	ck_assert_int_eq(x.kind, EBB_VERDICT_FROZEN);
	ck_assert_str_eq(x.layer, "fc1");
	ck_assert_str_eq(x.op, "linear");
	ck_assert_int_eq(line_of(x.site), line);
	ck_assert_int_eq(x.step, 0);
	ck_assert_int_eq(x.samples, 3);
	ebb_flow_free(f);
}
END_TEST

START_TEST(a_detached_weight_is_frozen)
{
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_finding x;
	int line = 0;

	for (int k = 0; k < 3; k++)
		detached_step(true, &line);
	ck_assert_int_eq(ebb_flow_findings(f), 1);
	x = ebb_flow_verdict(f);
	ck_assert_int_eq(x.kind, EBB_VERDICT_FROZEN);
	ck_assert_str_eq(x.layer, "fc1");
	ck_assert_str_eq(x.op, "linear");
	ck_assert_int_eq(line_of(x.site), line);
	ck_assert(strstr(x.sentence, "fc1.weight"));
	ebb_flow_free(f);
}
END_TEST

START_TEST(a_layer_that_is_detached_later_is_frozen_from_that_step_on)
{
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_finding x;
	int line = 0;

	for (int k = 0; k < 3; k++)
		scene_step(&s);
	assert_no_finding(f);
	for (int k = 0; k < 3; k++)
		detached_step(false, &line);
	x = ebb_flow_verdict(f);
	ck_assert_int_eq(x.kind, EBB_VERDICT_FROZEN);
	ck_assert_str_eq(x.layer, "fc1");
	ck_assert_int_eq(x.step, 3);
	ebb_flow_free(f);
}
END_TEST

/* ---- Accumulation ---- */

/* Where zero_grad and the optimizer's step are, relative to forward, backward and reset. */
enum order {
	ZERO_FIRST,       /* zero, k x (forward, backward, reset); the step before the last reset */
	ZERO_AFTER_FIRST, /* zero between the first forward and its backward */
	ZERO_AFTER_UPDATE,       /* step and zero before the last reset */
	UPDATE_AFTER_RESET,      /* step and zero after the last reset */
	ZERO_BEFORE_AFTER_RESET, /* step after the last reset; zero before the next forward */
	ORDERS
};

/* One step with k micro-batches. */
static void accumulate(enum order order, int k)
{
	int n = SCENE_BATCH / k;

	if (order == ZERO_FIRST || order == ZERO_BEFORE_AFTER_RESET)
		ebb_params_zero_grad(s.p);
	for (int i = 0; i < k; i++) {
		ebb_tensor *loss = scene_loss(&s, i * n, n);

		if (order == ZERO_AFTER_FIRST && i == 0)
			ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, loss));
		if (i == k - 1 && order <= ZERO_AFTER_UPDATE)
			ck_assert(ebb_optim_step(s.opt));
		if (i == k - 1 && order == ZERO_AFTER_UPDATE)
			ebb_params_zero_grad(s.p);
		ebb_tape_reset(s.t);
	}
	if (order > ZERO_AFTER_UPDATE)
		ck_assert(ebb_optim_step(s.opt));
	if (order == UPDATE_AFTER_RESET)
		ebb_params_zero_grad(s.p);
}

/* The norms of each layer's weight, gradient and update in each step of a plain run. */
enum { STEPS = 7 };
struct plain {
	double w, g, dw, y, gy;
};
static void run_plain(struct plain out[STEPS][SCENE_LAYERS])
{
	for (int step = 0; step < STEPS; step++) {
		ebb_tensor *v[2 * SCENE_LAYERS], *gv[2 * SCENE_LAYERS], *d, *loss;

		ebb_params_zero_grad(s.p);
		d = ebb_sub(s.t, scene_forward(&s, 0, SCENE_BATCH, v), s.target);
		loss = ebb_mul_scalar(s.t, ebb_sum(s.t, ebb_square(s.t, d)), 0.5);
		ck_assert(ebb_grad(s.t, loss, 2 * SCENE_LAYERS, v, gv));
		ck_assert(ebb_backward(s.t, loss));
		for (int i = 0; i < SCENE_LAYERS; i++) {
			struct plain *p = &out[step][i];
			ebb_linear *l = &s.fc[i];

			*p = (struct plain){
				hypot(plain_norm(l->weight, NULL), plain_norm(l->bias, NULL)),
				hypot(plain_norm(ebb_grad_of(l->weight), NULL),
					plain_norm(ebb_grad_of(l->bias), NULL)),
				0, plain_norm(v[2 * i], NULL), plain_norm(gv[2 * i], NULL)};
			p->dw = 0.01 * p->g;
		}
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
	}
}

/* open: the update of the last step came after its reset, and is not known. */
static void check_against_plain(
	const ebb_flow *f, struct plain plain[STEPS][SCENE_LAYERS], int calls, bool open)
{
	for (int k = 0; k < ebb_flow_samples(f); k++)
		for (int i = 0; i < SCENE_LAYERS; i++) {
			const struct plain *p = &plain[ebb_flow_sample_step(f, k)][i];
			char layer[8];
			ebb_flow_measures m;

			snprintf(layer, sizeof layer, "fc%d", i);
			m = measured(f, k, layer, "linear");
			ck_assert(m.calls == calls);
			ck_assert(m.elements == SCENE_BATCH * SCENE_WIDTH);
			assert_near(m.weight_l2, p->w, 1e-11);
			assert_near(m.weight_grad_l2, p->g, 1e-11);
			if (open && ebb_flow_sample_step(f, k) == STEPS - 1) {
				ck_assert(isnan(m.update_ratio) && isnan(m.cosine));
			} else {
				assert_near(m.update_ratio, p->dw / p->w, 1e-9);
				assert_near(m.cosine, 1, 1e-9);
			}
			assert_near(m.rms, p->y / sqrt(SCENE_BATCH * SCENE_WIDTH), 1e-11);
			assert_near(m.grad_l2, p->gy, 1e-11);
		}
}

START_TEST(micro_batches_are_one_step)
{
	static const int counts[] = {1, 2, 4};
	enum order order = _i % ORDERS;
	int k = counts[_i / ORDERS % 3], every = _i / ORDERS / 3 ? 3 : 1;
	struct plain plain[STEPS][SCENE_LAYERS];
	ebb_flow *f;

	run_plain(plain);
	tear_down();
	set_up();
	f = ebb_flow_new(s.t, .every = every);
	for (int step = 0; step < STEPS; step++)
		accumulate(order, k);
	assert_no_finding(f);
	ck_assert_int_eq(ebb_flow_steps(f), STEPS);
	assert_samples(f, every == 1 ? STEPS : (STEPS + 2) / 3, every);
	check_against_plain(f, plain, k, order > ZERO_AFTER_UPDATE);
	ebb_flow_free(f);
}
END_TEST

/* Until step 4 a step has one period, then two; no sample has a part of its step only. */
START_TEST(a_program_may_begin_to_accumulate)
{
	struct plain plain[STEPS][SCENE_LAYERS];
	enum order order = _i;
	ebb_flow *f;

	run_plain(plain);
	tear_down();
	set_up();
	f = ebb_flow_new(s.t, .every = 2);
	for (int step = 0; step < STEPS; step++)
		accumulate(order, step < 4 ? 1 : 2);
	assert_no_finding(f);
	ck_assert_int_eq(ebb_flow_steps(f), STEPS);
	ck_assert_int_ge(ebb_flow_samples(f), 3);
	for (int k = 0; k < ebb_flow_samples(f); k++) {
		int step = (int)ebb_flow_sample_step(f, k);
		ebb_flow_measures m = measured(f, k, "fc1", "linear");

		ck_assert(m.calls == (step < 4 ? 1 : 2));
		assert_near(m.weight_grad_l2, plain[step][1].g, 1e-11);
	}
	ebb_flow_free(f);
}
END_TEST

/* Gradients that another tape has computed. */
START_TEST(parameters_with_a_gradient_of_another_tape_are_not_frozen)
{
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_tape *other = ebb_tape_new();

	ebb_set_default_dtype(other, EBB_F64);
	for (int k = 0; k < 4; k++) {
		ebb_tensor *y = ebb_linear(other, s.x, s.fc[0].weight, s.fc[0].bias);

		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(other, ebb_sum(other, ebb_square(other, y))));
		ebb_tape_reset(other);
		y = ebb_detach(s.t, ebb_linear_forward(s.t, &s.fc[0], s.x));
		y = ebb_linear_forward(s.t, &s.fc[1], y);
		ck_assert(ebb_backward(s.t, ebb_sum(s.t, ebb_square(s.t, y))));
		ebb_tape_reset(s.t);
	}
	assert_no_finding(f);
	assert_samples(f, 4, 1);
	ebb_flow_free(f);
	ebb_tape_free(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-attach");
	TCase *c = tcase_create("frozen");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, frozen_layers_are_measured_without_alarm, 0, 3);
	tcase_add_test(c, a_frozen_first_half_gives_no_alarm);
	tcase_add_test(c, a_detached_half_is_frozen_from_its_last_layer_on);
	tcase_add_test(c, a_detached_weight_is_frozen);
	tcase_add_test(c, parameters_with_a_gradient_of_another_tape_are_not_frozen);
	tcase_add_test(c, a_layer_that_is_detached_later_is_frozen_from_that_step_on);
	suite_add_tcase(suite, c);
	c = tcase_create("accumulation");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, micro_batches_are_one_step, 0, 2 * 3 * ORDERS);
	tcase_add_loop_test(c, a_program_may_begin_to_accumulate, 0, ORDERS);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
