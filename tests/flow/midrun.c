/* midrun.c - an instrument is attached, read and detached at any time; unusual orders of calls;
 * models that change. */
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

/* ---- Attaching and detaching ---- */

enum { BEFORE_FORWARD, BEFORE_BACKWARD, BEFORE_UPDATE, BEFORE_RESET, PLACES };

/* Runs a step, and calls at(ctx) at one of the places. */
static void step_with(int place, void (*at)(void *ctx), void *ctx)
{
	ebb_tensor *loss;

	ebb_params_zero_grad(s.p);
	if (place == BEFORE_FORWARD)
		at(ctx);
	loss = scene_loss(&s, 0, SCENE_BATCH);
	if (place == BEFORE_BACKWARD)
		at(ctx);
	ck_assert(ebb_backward(s.t, loss));
	if (place == BEFORE_UPDATE)
		at(ctx);
	ck_assert(ebb_optim_step(s.opt));
	if (place == BEFORE_RESET)
		at(ctx);
	ebb_tape_reset(s.t);
}

static void attach(void *ctx)
{
	ck_assert(*(ebb_flow **)ctx = ebb_flow_new(s.t, .histograms = true));
}

static void detach(void *ctx)
{
	ebb_flow_free(*(ebb_flow **)ctx);
	*(ebb_flow **)ctx = NULL;
}

START_TEST(attaching_in_mid_step_measures_from_the_next_reset_on)
{
	ebb_flow *f = NULL, *always = ebb_flow_new(s.t);
	int before = 1 + (_i != BEFORE_FORWARD);

	scene_step(&s);
	step_with(_i, attach, &f);
	for (int k = 0; k < 3; k++)
		scene_step(&s);
	assert_no_finding(f);
	assert_no_finding(always);
	ck_assert_int_eq(ebb_flow_steps(f), 5 - before);
	assert_samples(f, 5 - before, 1);
	for (int k = 0; k < 5 - before; k++)
		for (int i = 0; i < SCENE_LAYERS; i++) {
			char layer[8];
			ebb_flow_measures m, n;

			snprintf(layer, sizeof layer, "fc%d", i);
			m = measured(f, k, layer, "linear");
			n = measured(always, k + before, layer, "linear");
			ck_assert(memcmp(&m, &n, sizeof m) == 0);
		}
	ebb_flow_free(f);
	ebb_flow_free(always);
}
END_TEST

START_TEST(detaching_in_mid_step_changes_no_training)
{
	ebb_flow *f, *kept;
	uint64_t hash;

	for (int k = 0; k < 4; k++)
		scene_step(&s);
	hash = params_hash(s.p);
	tear_down();
	set_up();
	kept = ebb_flow_new(s.t, .every = 2);
	attach(&f);
	scene_step(&s);
	step_with(_i, detach, &f);
	/* Attached a second time. */
	step_with(_i, attach, &f);
	scene_step(&s);
	ck_assert(params_hash(s.p) == hash);
	ck_assert_int_eq(ebb_flow_steps(kept), 4);
	assert_samples(kept, 2, 2);
	ck_assert_int_eq(ebb_flow_steps(f), _i == BEFORE_FORWARD ? 2 : 1);
	assert_no_finding(kept);
	assert_no_finding(f);
	ebb_flow_free(f);
	ebb_flow_free(kept);
}
END_TEST

/* Two instruments, a probe and a profile do not disturb each other. */
START_TEST(observers_are_independent)
{
	ebb_flow *alone, *often, *seldom;
	ebb_probe *probe;
	ebb_profile *profile;
	scene first;
	uint64_t hash;

	alone = ebb_flow_new(s.t, .every = 3, .rank = true);
	for (int k = 0; k < 7; k++)
		scene_step(&s);
	assert_no_finding(alone);
	hash = params_hash(s.p);
	first = s;
	set_up();
	often = ebb_flow_new(s.t, .elements = 1024);
	probe = ebb_probe_new(s.t);
	seldom = ebb_flow_new(s.t, .every = 3, .rank = true);
	profile = ebb_profile_new(s.t);
	ck_assert(often && probe && seldom && profile);
	for (int k = 0; k < 7; k++) {
		scene_step(&s);
		ebb_probe_step(probe);
	}
	assert_no_finding(often);
	assert_no_finding(seldom);
	ck_assert(params_hash(s.p) == hash);
	assert_samples(often, 7, 1);
	assert_samples(seldom, 3, 3);
	assert_same_flow(alone, seldom);
	ck_assert_int_eq(ebb_probe_samples(probe), 7);
	ebb_flow_free(often);
	ebb_probe_free(probe);
	ebb_profile_free(profile);
	ebb_flow_free(seldom);
	ebb_flow_free(alone);
	scene_free(&first);
}
END_TEST

START_TEST(eight_instruments_fit_on_a_tape)
{
	ebb_flow *f[9];
	ebb_error e = {0};

	for (int i = 0; i < 9; i++)
		f[i] = ebb_flow_new(s.t, .error = &e);
	ck_assert(f[7] && !f[8]);
	ck_assert_int_eq(e.status, EBB_BAD_STATE);
	scene_step(&s);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(ebb_flow_steps(f[i]), 1);
		ebb_flow_free(f[i]);
	}
	scene_step(&s);
}
END_TEST

/* ---- Reading ---- */

static void read_text(void *ctx)
{
	const char *text = ebb_flow_text(ctx);

	ck_assert(text && *text);
	(void)ebb_flow_findings(ctx);
}

/* k micro-batches; the instrument is read at a place of micro-batch number `at`. */
static void accumulate(ebb_flow *f, int k, int at, int place)
{
	int n = SCENE_BATCH / k;

	ebb_params_zero_grad(s.p);
	for (int i = 0; i < k; i++) {
		ebb_tensor *loss;

		if (i == at && place == BEFORE_FORWARD)
			read_text(f);
		loss = scene_loss(&s, i * n, n);
		if (i == at && place == BEFORE_BACKWARD)
			read_text(f);
		ck_assert(ebb_backward(s.t, loss));
		if (i == at && place == BEFORE_UPDATE)
			read_text(f);
		if (i == k - 1)
			ck_assert(ebb_optim_step(s.opt));
		if (i == at && place == BEFORE_RESET)
			read_text(f);
		ebb_tape_reset(s.t);
	}
}

START_TEST(reading_in_mid_step_changes_no_sample)
{
	int place = _i % PLACES, at = _i / PLACES % 4 - 1, every = _i / PLACES / 4 ? 2 : 1;
	ebb_flow *read = ebb_flow_new(s.t, .every = every, .histograms = true),
		 *unread = ebb_flow_new(s.t, .every = every, .histograms = true);

	for (int k = 0; k < 5; k++)
		accumulate(read, 3, at, place);
	assert_no_finding(read);
	assert_no_finding(unread);
	ck_assert_int_eq(ebb_flow_steps(read), 5);
	assert_samples(read, every == 1 ? 5 : 3, every);
	assert_same_flow(read, unread);
	for (int i = 0; i < ebb_flow_ops(read); i++) {
		ebb_flow_histogram a, b;

		for (int g = 0; g < 2; g++) {
			ck_assert(ebb_flow_histogram_of(read, i, g, &a));
			ck_assert(ebb_flow_histogram_of(unread, i, g, &b));
			ck_assert(memcmp(&a, &b, sizeof a) == 0);
		}
	}
	ebb_flow_free(read);
	ebb_flow_free(unread);
}
END_TEST

START_TEST(a_step_is_read_before_it_ends)
{
	ebb_flow *f = ebb_flow_new(s.t);
	double norm;

	ebb_params_zero_grad(s.p);
	ck_assert(ebb_backward(s.t, scene_loss(&s, 0, SCENE_BATCH)));
	norm = hypot(plain_norm(ebb_grad_of(s.fc[2].weight), NULL),
		plain_norm(ebb_grad_of(s.fc[2].bias), NULL));
	ck_assert_int_eq(ebb_flow_samples(f), 0);
	read_text(f);
	ck_assert_int_eq(ebb_flow_samples(f), 1);
	ck_assert_int_eq(ebb_flow_steps(f), 1);
	ebb_flow_measures m = measured(f, 0, "fc2", "linear");
	assert_near(m.weight_grad_l2, norm, 1e-12);
	ck_assert(isnan(m.update_ratio));
	ck_assert(ebb_optim_step(s.opt));
	read_text(f);
	ck_assert_int_eq(ebb_flow_samples(f), 1);
	ck_assert(measured(f, 0, "fc2", "linear").update_ratio > 0);
	ebb_tape_reset(s.t);
	ck_assert_int_eq(ebb_flow_samples(f), 1);
	ck_assert(measured(f, 0, "fc2", "linear").update_ratio > 0);
	ebb_flow_free(f);
}
END_TEST

struct listener {
	ebb_flow *f;
	int calls;
	char text[4096];
};

static void on_alarm(void *ctx, const ebb_finding *x)
{
	struct listener *l = ctx;

	l->calls++;
	ck_assert_int_eq(x->kind, EBB_VERDICT_FROZEN);
	ck_assert_int_eq(ebb_flow_findings(l->f), 1);
	snprintf(l->text, sizeof l->text, "%s", ebb_flow_text(l->f));
	ebb_flow_step(l->f);
}

START_TEST(an_alarm_may_read_the_instrument)
{
	struct listener l = {.calls = 0};
	ebb_flow *unread = ebb_flow_new(s.t);

	l.f = ebb_flow_new(s.t, .alarm = on_alarm, .ctx = &l);
	for (int k = 0; k < 5; k++) {
		ebb_tensor *y = ebb_linear_forward(s.t, &s.fc[0], s.x);

		y = ebb_detach(s.t, ebb_linear_forward(s.t, &s.fc[1], y));
		ebb_params_zero_grad(s.p);
		y = ebb_linear_forward(s.t, &s.fc[2], y);
		ck_assert(ebb_backward(s.t, ebb_sum(s.t, ebb_square(s.t, y))));
		ebb_tape_reset(s.t);
	}
	ck_assert_int_eq(ebb_flow_findings(l.f), 1);
	ck_assert_int_eq(ebb_flow_findings(unread), 1);
	ck_assert_int_eq(l.calls, 1);
	ck_assert(strstr(l.text, "Frozen"));
	ck_assert_int_eq(ebb_flow_steps(l.f), 5);
	assert_samples(l.f, 5, 1);
	assert_same_flow(l.f, unread);
	ebb_flow_free(l.f);
	ebb_flow_free(unread);
}
END_TEST

/* ---- Orders of calls ---- */

START_TEST(gradients_may_never_be_cleared)
{
	int every = _i % 2 ? 3 : 1;
	bool after = _i / 2;
	ebb_flow *f = ebb_flow_new(s.t, .every = every);
	ebb_tensor *grown = NULL, *before;

	ebb_params_freeze(s.p, "fc1.bias");
	ebb_optim_set_lr(s.opt, 1e-4);
	for (int k = 0; k < 8; k++) {
		before = grown;
		ck_assert(ebb_backward(s.t, scene_loss(&s, 0, SCENE_BATCH)));
		grown = ebb_detach_copy(ebb_grad_of(s.fc[1].weight));
		if (!after)
			ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		if (after)
			ck_assert(ebb_optim_step(s.opt));
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
		ck_assert(ebb_flow_findings(f) == 0);
		/* The row has the gradient of the step, not what has grown. */
		if (k % every == 0)
			assert_near(measured(f, ebb_flow_samples(f) - 1, "fc1", "linear")
					    .weight_grad_l2,
				plain_norm(grown, before), 1e-9);
		ebb_tensor_free(before);
	}
	ebb_tensor_free(grown);
	assert_no_finding(f);
	assert_samples(f, every == 1 ? 8 : 3, every);
	ebb_flow_free(f);
}
END_TEST

START_TEST(a_rewind_to_the_beginning_is_a_reset)
{
	ebb_mark m = ebb_tape_mark(s.t);
	ebb_flow *f = ebb_flow_new(s.t, .every = _i + 1), *g;
	scene first;

	for (int k = 0; k < 6; k++) {
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, scene_loss(&s, 0, SCENE_BATCH)));
		ck_assert(ebb_optim_step(s.opt));
		ebb_rewind(s.t, m);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
	}
	assert_no_finding(f);
	first = s;
	set_up();
	g = ebb_flow_new(s.t, .every = _i + 1);
	for (int k = 0; k < 6; k++)
		scene_step(&s);
	assert_no_finding(g);
	/* Lines differ by the function that calls ebb_backward only. */
	assert_same_flow(f, g);
	ebb_flow_free(f);
	ebb_flow_free(g);
	scene_free(&first);
}
END_TEST

/* Forward passes that belong to no step: with a tape that records, without, in evaluation mode. */
START_TEST(forward_passes_between_steps_do_not_count)
{
	int every = _i % 2 ? 2 : 1;
	ebb_flow *f = ebb_flow_new(s.t, .every = every, .histograms = true), *g;
	scene first;

	for (int k = 0; k < 5; k++) {
		bool was;

		scene_step(&s);
		if (_i / 2 == 0) {
			(void)scene_loss(&s, 0, SCENE_BATCH / 2);
		} else if (_i / 2 == 1) {
			was = ebb_set_recording(s.t, false);
			(void)scene_loss(&s, 0, SCENE_BATCH / 3);
			ebb_set_recording(s.t, was);
		} else {
			was = ebb_set_training(s.t, false);
			(void)scene_loss(&s, 0, SCENE_BATCH / 3);
			ebb_set_training(s.t, was);
		}
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
	}
	assert_no_finding(f);
	first = s;
	set_up();
	g = ebb_flow_new(s.t, .every = every, .histograms = true);
	for (int k = 0; k < 5; k++)
		scene_step(&s);
	assert_no_finding(g);
	assert_same_flow(f, g);
	for (int i = 0; i < ebb_flow_ops(f); i++) {
		ebb_flow_histogram a, b;

		ck_assert(ebb_flow_histogram_of(f, i, false, &a));
		ck_assert(ebb_flow_histogram_of(g, i, false, &b));
		ck_assert(memcmp(&a, &b, sizeof a) == 0);
	}
	ebb_flow_free(f);
	ebb_flow_free(g);
	scene_free(&first);
}
END_TEST

START_TEST(a_skipped_update_ends_its_step)
{
	ebb_flow *f = ebb_flow_new(s.t);

	for (int k = 0; k < 6; k++) {
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, scene_loss(&s, 0, SCENE_BATCH)));
		if (k % 2)
			ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
	}
	assert_no_finding(f);
	assert_samples(f, 6, 1);
	ck_assert(isnan(measured(f, 2, "fc1", "linear").update_ratio));
	ck_assert(measured(f, 3, "fc1", "linear").update_ratio > 0);
	ebb_flow_free(f);
}
END_TEST

START_TEST(steps_may_be_ended_explicitly)
{
	ebb_flow *f = ebb_flow_new(s.t, .every = _i + 1);

	for (int k = 0; k < 6; k++) {
		ck_assert(ebb_backward(s.t, scene_loss(&s, 0, SCENE_BATCH)));
		ebb_flow_step(f);
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
	}
	assert_samples(f, 6 / (_i + 1), _i + 1);
	ck_assert(measured(f, 1, "fc1", "linear").calls == 1);
	ebb_flow_free(f);
}
END_TEST

START_TEST(the_number_of_samples_is_limited)
{
	ebb_flow *f = ebb_flow_new(s.t, .max_samples = 4);

	for (int k = 0; k < 70; k++) {
		scene_step(&s);
		ck_assert_int_le(ebb_flow_samples(f), 4);
	}
	ck_assert_int_eq(ebb_flow_steps(f), 70);
	assert_samples(f, 3, 32);
	assert_no_finding(f);
	ebb_flow_free(f);
}
END_TEST

static void add_orders(Suite *suite)
{
	TCase *c = tcase_create("orders");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, gradients_may_never_be_cleared, 0, 4);
	tcase_add_loop_test(c, a_rewind_to_the_beginning_is_a_reset, 0, 2);
	tcase_add_loop_test(c, forward_passes_between_steps_do_not_count, 0, 6);
	tcase_add_test(c, a_skipped_update_ends_its_step);
	tcase_add_loop_test(c, steps_may_be_ended_explicitly, 0, 2);
	tcase_add_test(c, the_number_of_samples_is_limited);
	suite_add_tcase(suite, c);
}

int main(void)
{
	Suite *suite = suite_create("flow-midrun");
	TCase *c = tcase_create("attaching");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, attaching_in_mid_step_measures_from_the_next_reset_on, 0, PLACES);
	tcase_add_loop_test(c, detaching_in_mid_step_changes_no_training, 0, PLACES);
	tcase_add_test(c, observers_are_independent);
	tcase_add_test(c, eight_instruments_fit_on_a_tape);
	suite_add_tcase(suite, c);
	c = tcase_create("reading");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, reading_in_mid_step_changes_no_sample, 0, 2 * 4 * PLACES);
	tcase_add_test(c, a_step_is_read_before_it_ends);
	tcase_add_test(c, an_alarm_may_read_the_instrument);
	suite_add_tcase(suite, c);
	add_orders(suite);
	return run_suite(suite);
}
