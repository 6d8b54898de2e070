/* origins.c - an instrument names the op, the line, the layer and the step of the first value that
 * is not finite. */
#include "tests/flow/scenes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static scene s;
static int line; /* of the planted op */

static void set_up(void)
{
	scene_new(&s, "");
	line = 0;
}

static void tear_down(void)
{
	scene_free(&s);
}

enum fault {
	LOG,      /* log 0 in an op that is no row */
	DIVISION, /* 0/0 */
	OVERFLOW, /* exp of a large number */
	WEIGHT,   /* NaN in the weight of fc2 */
	FORWARD_FAULTS,
	ROOT = FORWARD_FAULTS, /* the gradient of sqrt at 0 */
	WEIGHT_ROOT,           /* the same for a parameter, without an op between */
	FAULTS
};

static void spoil(ebb_tensor *w)
{
	((double *)ebb_data_mutable(w))[7] = NAN;
}

/* A forward pass with a fault after layer 1; bad: it is there. */
static ebb_tensor *forward(enum fault fault, bool bad)
{
	ebb_tape *t = s.t;
	ebb_tensor *y = s.x, *zero = ebb_mul_scalar(t, s.x, 0), *w = s.fc[2].weight;

	if (fault == WEIGHT && bad)
		spoil(w);
	for (int i = 0; i < SCENE_LAYERS; i++) {
		if (i == 2 && fault == WEIGHT) {
			line = __LINE__ + 1;
			y = ebb_linear(t, y, w, s.fc[2].bias);
		} else if (i == 2 && fault == WEIGHT_ROOT && bad) {
			line = __LINE__ + 1;
			y = ebb_linear(t, y, ebb_sqrt(t, w), s.fc[2].bias);
		} else {
			y = ebb_linear_forward(t, &s.fc[i], y);
		}
		y = ebb_tanh(t, y);
		if (i != 1 || !bad)
			continue;
		if (fault == LOG) {
			line = __LINE__ + 1;
			y = ebb_mul_scalar(t, ebb_log(t, ebb_mul_scalar(t, y, 0)), 0.5);
		} else if (fault == DIVISION) {
			line = __LINE__ + 1;
			y = ebb_div(t, ebb_mul(t, y, zero), ebb_mul(t, y, zero));
		} else if (fault == OVERFLOW) {
			line = __LINE__ + 1;
			y = ebb_exp(t, ebb_add_scalar(t, y, 1e4));
		} else if (fault == ROOT) {
			line = __LINE__ + 1;
			y = ebb_sqrt(t, ebb_mul_scalar(t, y, 0));
		}
	}
	return ebb_sum(t, ebb_square(t, ebb_sub(t, y, s.target)));
}

static const char *const ops[] = {"log", "div", "exp", "linear", "sqrt", "sqrt"};

START_TEST(the_first_value_that_is_not_finite_is_named)
{
	static const int intervals[] = {1, 100};
	enum fault fault = _i % FAULTS;
	int every = intervals[_i / FAULTS % 2], bad = _i / FAULTS / 2 ? 4 : 0;
	ebb_flow *f;
	ebb_finding x;

	if (fault >= FORWARD_FAULTS && every > 1 && bad % every)
		return; /* gradients are measured in the samples only */
	f = ebb_flow_new(s.t, .every = every);
	if (fault == WEIGHT_ROOT)
		for (int i = 0; i < SCENE_WIDTH * SCENE_WIDTH; i++)
			((double *)ebb_data_mutable(s.fc[2].weight))[i] = i % 7 ? 0.1 : 0;
	for (int k = 0; k < 8; k++) {
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, forward(fault, k >= bad)));
		if (k < bad)
			ck_assert_int_eq(ebb_flow_findings(f), 0);
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		if (k >= bad)
			break;
	}
	/* One such step is enough. */
	ck_assert_int_ge(ebb_flow_findings(f), 1);
	x = ebb_flow_verdict(f);
	ck_assert_msg(x.kind == EBB_VERDICT_NOT_FINITE, "%s", x.sentence);
	ck_assert_int_eq(x.step, bad);
	ck_assert_msg(strcmp(x.op, ops[fault]) == 0, "%s", x.sentence);
	ck_assert_msg(line_of(x.site) == line, "line %d: %s", line, x.sentence);
	ck_assert_msg(strcmp(x.layer, fault == WEIGHT || fault == WEIGHT_ROOT ? "fc2" : "fc1") == 0,
		"%s", x.sentence);
	ck_assert((strstr(x.sentence, "fc2.weight") != NULL) == (fault == WEIGHT));
	ck_assert_int_eq(ebb_flow_status(f), 1);
	ebb_flow_free(f);
}
END_TEST

/* The finding stays, and later steps do not add others. */
START_TEST(later_steps_are_consequences)
{
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_finding x;

	for (int k = 0; k < 6; k++) {
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, forward(LOG, k >= 2)));
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
	}
	ck_assert_int_eq(ebb_flow_findings(f), 1);
	x = ebb_flow_verdict(f);
	ck_assert_int_eq(x.step, 2);
	ck_assert_int_eq(x.last, 5);
	ck_assert_str_eq(x.op, "log");
	ebb_flow_free(f);
}
END_TEST

/* The loss is finite although the result of an op is not. */
START_TEST(masked_values_are_found_where_they_are_measured)
{
	ebb_flow *f = ebb_flow_new(s.t);
	ebb_finding x;

	for (int k = 0; k < 3; k++) {
		ebb_tensor *y = ebb_linear_forward(s.t, &s.fc[0], s.x);

		ebb_params_zero_grad(s.p);
		line = __LINE__ + 1;
		y = ebb_exp(s.t, ebb_mul_scalar(s.t, y, 1e6));
		y = ebb_sigmoid(s.t, ebb_neg(s.t, y));
		ck_assert(ebb_backward(s.t, ebb_sum(s.t, ebb_linear_forward(s.t, &s.fc[1], y))));
		ebb_tape_reset(s.t);
	}
	x = ebb_flow_verdict(f);
	ck_assert_int_eq(x.kind, EBB_VERDICT_NOT_FINITE);
	ck_assert_int_eq(x.step, 0);
	ck_assert_str_eq(x.op, "exp");
	ck_assert_int_eq(line_of(x.site), line);
	ebb_flow_free(f);
}
END_TEST

/* ebb_backward of a result with several elements, and ebb_grad, have no loss. */
START_TEST(a_step_without_a_loss_is_healthy)
{
	ebb_flow *f = ebb_flow_new(s.t);

	for (int k = 0; k < 4; k++) {
		ebb_tensor *y = scene_forward(&s, 0, SCENE_BATCH, NULL), *gw;

		ebb_params_zero_grad(s.p);
		if (_i)
			ck_assert(ebb_grad(s.t, y, 1, &s.fc[0].weight, &gw, .gy = y));
		else
			ck_assert(ebb_backward(s.t, y, .gy = ebb_detach(s.t, y)));
		if (!_i)
			ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
	}
	if (!_i)
		assert_no_finding(f);
	for (int i = 0; i < ebb_flow_findings(f); i++) {
		ebb_finding x;

		ck_assert(ebb_flow_finding(f, i, &x));
		ck_assert_msg(x.kind == EBB_VERDICT_FROZEN, "%s", x.sentence);
	}
	assert_samples(f, 4, 1);
	ck_assert(isnan(ebb_flow_sample_loss(f, 0)));
	ebb_flow_free(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-origins");
	TCase *c = tcase_create("origins");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, the_first_value_that_is_not_finite_is_named, 0, 4 * FAULTS);
	tcase_add_test(c, later_steps_are_consequences);
	tcase_add_test(c, masked_values_are_found_where_they_are_measured);
	tcase_add_loop_test(c, a_step_without_a_loss_is_healthy, 0, 2);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
