/* sweeps.c - an instrument and programs with several sweeps in a step: two losses, gradient
 * penalties, ebb_grad alone, two models on one tape, checkpoints. */
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

static double grad_norm(const ebb_linear *l)
{
	return hypot(
		plain_norm(ebb_grad_of(l->weight), NULL), plain_norm(ebb_grad_of(l->bias), NULL));
}

/* ---- Several sweeps ---- */

START_TEST(two_losses_of_one_recording_are_one_step)
{
	int every = _i ? 3 : 1;
	ebb_flow *f = ebb_flow_new(s.t, .every = every);

	for (int k = 0; k < 7; k++) {
		ebb_tensor *v[2 * SCENE_LAYERS], *gv[2][2 * SCENE_LAYERS];
		ebb_tensor *y = scene_forward(&s, 0, SCENE_BATCH, v);
		ebb_tensor *a = ebb_sum(s.t, ebb_square(s.t, ebb_sub(s.t, y, s.target)));
		ebb_tensor *b = ebb_mul_scalar(s.t, ebb_sum(s.t, ebb_square(s.t, y)), 0.1);
		double norms[SCENE_LAYERS], mean = (ebb_item(a) + ebb_item(b)) / 2;
		double gy[2];

		ck_assert(ebb_grad(s.t, a, 2 * SCENE_LAYERS, v, gv[0]));
		ck_assert(ebb_grad(s.t, b, 2 * SCENE_LAYERS, v, gv[1]));
		for (int i = 0; i < 2; i++)
			gy[i] = plain_norm(gv[i][2], NULL);
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, a, .retain = true));
		ck_assert(ebb_backward(s.t, b));
		for (int i = 0; i < SCENE_LAYERS; i++)
			norms[i] = grad_norm(&s.fc[i]);
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
		if (k % every)
			continue;
		int last = ebb_flow_samples(f) - 1;
		for (int i = 0; i < SCENE_LAYERS; i++) {
			char layer[8];
			ebb_flow_measures m;

			snprintf(layer, sizeof layer, "fc%d", i);
			m = measured(f, last, layer, "linear");
			assert_near(m.weight_grad_l2, norms[i], 1e-11);
			ck_assert(m.calls == 1);
			/* The norms of two sweeps are those of two calls. */
			if (i == 1)
				assert_near(m.grad_l2, hypot(gy[0], gy[1]), 1e-11);
		}
		assert_near(ebb_flow_sample_loss(f, last), mean, 1e-12);
	}
	assert_samples(f, every == 1 ? 7 : 3, every);
	assert_no_finding(f);
	ebb_flow_free(f);
}
END_TEST

/* The loss with a penalty of the gradient's norm at the input. */
static ebb_tensor *penalised(ebb_tensor *v[2 * SCENE_LAYERS])
{
	ebb_tensor *x = ebb_variable(s.t, s.x), *held = s.x, *y, *loss, *gx;

	s.x = x;
	y = scene_forward(&s, 0, SCENE_BATCH, v);
	s.x = held;
	loss = ebb_sum(s.t, ebb_square(s.t, ebb_sub(s.t, y, s.target)));
	ck_assert(ebb_grad(s.t, ebb_sum(s.t, y), 1, &x, &gx, .create_graph = true));
	return ebb_add(s.t, loss, ebb_sum(s.t, ebb_square(s.t, gx)));
}

START_TEST(a_gradient_penalty_is_part_of_the_loss)
{
	int every = _i ? 2 : 1;
	ebb_flow *f = ebb_flow_new(s.t, .every = every);
	ebb_tape *plain = ebb_tape_new();
	double rms = 0, gy[SCENE_LAYERS];

	ebb_set_default_dtype(plain, EBB_F64);
	for (int k = 0; k < 5; k++) {
		ebb_tape *watched = s.t;
		ebb_tensor *v[2 * SCENE_LAYERS], *g[2 * SCENE_LAYERS], *loss;
		double norm;

		s.t = plain;
		loss = penalised(v);
		ck_assert(ebb_grad(s.t, loss, 2 * SCENE_LAYERS, v, g));
		for (int i = 0; i < SCENE_LAYERS; i++)
			gy[i] = plain_norm(g[2 * i], NULL);
		rms = plain_norm(v[0], NULL) / sqrt((double)ebb_count(v[0]));
		ebb_tape_reset(plain);
		s.t = watched;
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(s.t, penalised(v)));
		norm = grad_norm(&s.fc[1]);
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
		if (k % every)
			continue;
		for (int i = 0; i < SCENE_LAYERS; i++) {
			char layer[8];

			snprintf(layer, sizeof layer, "fc%d", i);
			ebb_flow_measures m = measured(f, ebb_flow_samples(f) - 1, layer, "linear");
			ck_assert(m.calls == 1);
			assert_near(m.grad_l2, gy[i], 1e-11);
			if (i == 1)
				assert_near(m.weight_grad_l2, norm, 1e-11);
		}
		assert_near(measured(f, ebb_flow_samples(f) - 1, "fc0", "linear").rms, rms, 1e-11);
	}
	assert_samples(f, every == 1 ? 5 : 3, every);
	assert_no_finding(f);
	ebb_tape_free(plain);
	ebb_flow_free(f);
}
END_TEST

/* The first sweep of the run is an ebb_grad by the parameters, the second an ebb_backward. */
START_TEST(gradients_of_ebb_grad_do_not_count_beside_those_of_ebb_backward)
{
	ebb_flow *f = ebb_flow_new(s.t, .histograms = true);

	for (int k = 0; k < 3; k++) {
		ebb_tensor *gw, *v[2 * SCENE_LAYERS], *gv;
		ebb_tensor *y = scene_forward(&s, 0, SCENE_BATCH, v), *loss;
		ebb_flow_histogram h;
		double norm, gy;
		int64_t counted = 0;

		loss = ebb_sum(s.t, ebb_square(s.t, ebb_sub(s.t, y, s.target)));
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_grad(s.t, loss, 1, &s.fc[1].weight, &gw));
		ck_assert(ebb_grad(s.t, loss, 1, &v[2], &gv));
		gy = plain_norm(gv, NULL);
		ck_assert(ebb_backward(s.t, loss));
		norm = grad_norm(&s.fc[1]);
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		ebb_flow_measures m = measured(f, k, "fc1", "linear");
		assert_near(m.weight_grad_l2, norm, 1e-12);
		assert_near(m.grad_l2, gy, 1e-12);
		ck_assert(m.update_ratio > 0);
		ck_assert(ebb_flow_histogram_of(f, row_of(f, "fc1", "linear"), true, &h));
		for (int i = 0; i < EBB_FLOW_BINS; i++)
			counted += h.bin[0][i] + h.bin[1][i];
		ck_assert_int_eq(counted + h.zeros, SCENE_BATCH * SCENE_WIDTH);
	}
	assert_samples(f, 3, 1);
	ebb_flow_free(f);
}
END_TEST

static void descend(ebb_tensor *w, const ebb_tensor *g, double lr)
{
	double *values = ebb_data_mutable(w);

	for (int64_t i = 0; i < ebb_count(w); i++)
		values[i] -= lr * ebb_at(g, i);
}

START_TEST(a_program_may_use_ebb_grad_only)
{
	int every = _i % 2 ? 3 : 1;
	bool after = _i / 2; /* the update comes after the reset */
	ebb_flow *f = ebb_flow_new(s.t, .every = every);
	ebb_tensor *w[2 * SCENE_LAYERS], *g[2 * SCENE_LAYERS], *kept[2 * SCENE_LAYERS];

	for (int i = 0; i < SCENE_LAYERS; i++) {
		w[2 * i] = s.fc[i].weight;
		w[2 * i + 1] = s.fc[i].bias;
	}
	for (int k = 0; k < 7; k++) {
		double norm, size = hypot(plain_norm(w[2], NULL), plain_norm(w[3], NULL));

		ck_assert(ebb_grad(s.t, scene_loss(&s, 0, SCENE_BATCH), 2 * SCENE_LAYERS, w, g));
		norm = hypot(plain_norm(g[2], NULL), plain_norm(g[3], NULL));
		for (int i = 0; i < 2 * SCENE_LAYERS; i++) {
			kept[i] = ebb_detach_copy(g[i]);
			if (!after)
				descend(w[i], g[i], 0.01);
		}
		ebb_tape_reset(s.t);
		for (int i = 0; i < 2 * SCENE_LAYERS; i++) {
			if (after)
				descend(w[i], kept[i], 0.01);
			ebb_tensor_free(kept[i]);
		}
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
		if (k % every)
			continue;
		ebb_flow_measures m = measured(f, ebb_flow_samples(f) - 1, "fc1", "linear");
		assert_near(m.weight_grad_l2, norm, 1e-12);
		assert_near(m.weight_l2, size, 1e-12);
		if (!after)
			assert_near(m.update_ratio, 0.01 * norm / size, 1e-9);
	}
	assert_samples(f, every == 1 ? 7 : 3, every);
	assert_no_finding(f);
	ebb_flow_free(f);
}
END_TEST

START_TEST(weights_may_be_variables_of_the_tape)
{
	int every = _i % 2 ? 3 : 1;
	bool grad = _i / 2;
	ebb_flow *f = ebb_flow_new(s.t, .every = every);
	ebb_tensor *w[3];
	int line = 0;

	for (int i = 0; i < 3; i++)
		w[i] = persistent_random(EBB_F64, EBB_SHAPE(SCENE_WIDTH, SCENE_WIDTH), 30 + i);
	for (int k = 0; k < 7; k++) {
		ebb_tensor *y = s.x, *v[3], *g[3], *loss;

		for (int i = 0; i < 3; i++) {
			v[i] = ebb_variable(s.t, w[i]);
			line = __LINE__ + 1;
			y = ebb_tanh(s.t, ebb_linear(s.t, y, v[i], NULL));
		}
		loss = ebb_sum(s.t, ebb_square(s.t, ebb_sub(s.t, y, s.target)));
		if (grad) {
			ck_assert(ebb_grad(s.t, loss, 3, v, g));
		} else {
			ck_assert(ebb_backward(s.t, loss));
			for (int i = 0; i < 3; i++)
				g[i] = ebb_grad_of(v[i]);
		}
		for (int i = 0; i < 3; i++)
			descend(w[i], g[i], 0.01);
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
	}
	assert_samples(f, every == 1 ? 7 : 3, every);
	assert_no_finding(f);
	ck_assert_int_eq(ebb_flow_layers(f), 3);
	for (int i = 0; i < 3; i++) {
		char layer[32];

		if (i)
			snprintf(layer, sizeof layer, "linear@%d#%d", line, i + 1);
		else
			snprintf(layer, sizeof layer, "linear@%d", line);
		ck_assert_str_eq(ebb_flow_layer(f, i), layer);
		ck_assert(measured(f, 1, layer, "linear").grad_l2 > 0);
		ck_assert(measured(f, 1, layer, "tanh").backward < 1);
	}
	ebb_flow_free(f);
	for (int i = 0; i < 3; i++)
		ebb_tensor_free(w[i]);
}
END_TEST

/* ---- Two models on one tape ---- */

static scene g;

static void set_up_two(void)
{
	scene_new(&s, "d.");
	scene_new(&g, "g.");
	ebb_tape_free(g.t);
	g.t = s.t;
}

static void tear_down_two(void)
{
	g.t = NULL;
	scene_free(&g);
	scene_free(&s);
}

/* One step of the discriminator s, whose input is the generator's result, or of the generator. */
static void adversarial(bool discriminator, bool zero_all, bool record)
{
	bool was = ebb_set_recording(s.t, record || !discriminator);
	ebb_tensor *fake = scene_forward(&g, 0, SCENE_BATCH, NULL), *real = s.x, *loss, *d;

	ebb_set_recording(s.t, was);
	if (discriminator && record)
		fake = ebb_detach(s.t, fake);
	if (zero_all || discriminator)
		ebb_params_zero_grad(s.p);
	if (zero_all || !discriminator)
		ebb_params_zero_grad(g.p);
	s.x = fake;
	loss = ebb_sum(s.t, ebb_square(s.t, scene_forward(&s, 0, SCENE_BATCH, NULL)));
	s.x = real;
	if (discriminator) {
		d = ebb_sub(s.t, scene_forward(&s, 0, SCENE_BATCH, NULL), s.target);
		loss = ebb_add(s.t, loss, ebb_sum(s.t, ebb_square(s.t, d)));
	}
	ck_assert(ebb_backward(s.t, loss));
	ck_assert(ebb_optim_step(discriminator ? s.opt : g.opt));
}

START_TEST(two_models_by_turns_give_no_alarm)
{
	bool zero_all = _i & 1, reset = _i & 2;
	int every = _i & 4 ? 2 : 1, steps = reset ? 20 : 10;
	ebb_flow *f = ebb_flow_new(s.t, .every = every);

	for (int k = 0; k < 10; k++) {
		adversarial(true, zero_all, true);
		if (reset)
			ebb_tape_reset(s.t);
		adversarial(false, zero_all, true);
		ebb_tape_reset(s.t);
	}
	ck_assert_int_eq(ebb_flow_steps(f), steps);
	assert_samples(f, steps / every, every);
	assert_no_finding(f);
	ebb_flow_free(f);
}
END_TEST

/* In a step of both models, each parameter counts once. */
START_TEST(weights_of_two_models_are_counted_once)
{
	ebb_flow *f = ebb_flow_new(s.t);
	double d = hypot(plain_norm(s.fc[1].weight, NULL), plain_norm(s.fc[1].bias, NULL)),
	       gen = hypot(plain_norm(g.fc[1].weight, NULL), plain_norm(g.fc[1].bias, NULL)), moved;
	ebb_tensor *before = ebb_detach_copy(s.fc[1].weight), *bias = ebb_detach_copy(s.fc[1].bias);
	ebb_flow_measures m;

	adversarial(true, true, true);
	moved = hypot(plain_norm(s.fc[1].weight, before), plain_norm(s.fc[1].bias, bias));
	adversarial(false, true, true);
	ebb_tape_reset(s.t);
	m = measured(f, 0, "d.fc1", "linear");
	assert_near(m.weight_l2, d, 1e-12);
	assert_near(m.update_ratio, moved / d, 1e-9);
	assert_near(measured(f, 0, "g.fc1", "linear").weight_l2, gen, 1e-12);
	ck_assert(m.calls == 3);
	ebb_tensor_free(before);
	ebb_tensor_free(bias);
	ebb_flow_free(f);
}
END_TEST

START_TEST(several_discriminator_steps_per_generator_step_give_no_alarm)
{
	int every = _i ? 2 : 1;
	ebb_flow *f = ebb_flow_new(s.t, .every = every);

	for (int k = 0; k < 24; k++) {
		adversarial(k % 4 < 3, true, false);
		ebb_tape_reset(s.t);
	}
	ck_assert_int_eq(ebb_flow_steps(f), 24);
	assert_no_finding(f);
	ebb_flow_free(f);
}
END_TEST

/* ---- Checkpoints ---- */

static ebb_tensor *pair(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const ebb_linear *l = ctx;

	x = ebb_tanh(t, ebb_linear_forward(t, &l[0], x));
	return ebb_tanh(t, ebb_linear_forward(t, &l[1], x));
}

static ebb_tensor *first(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	return pair(t, x, ctx);
}

static ebb_tensor *nested(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	x = ebb_checkpoint(t, first, ctx, x);
	x = ebb_tanh(t, ebb_linear_forward(t, (ebb_linear *)ctx + 2, x));
	return x;
}

static ebb_tensor *nested_plain(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	x = pair(t, x, ctx);
	return ebb_tanh(t, ebb_linear_forward(t, (ebb_linear *)ctx + 2, x));
}

enum { PLAIN, ONE, NESTED };

static ebb_tensor *last_layer(ebb_tape *t, ebb_tensor *x)
{
	return ebb_linear_forward(t, &s.fc[3], x);
}

static ebb_flow *run_checkpointed(int flavour, int every)
{
	ebb_flow *f;

	tear_down();
	set_up();
	f = ebb_flow_new(s.t, .every = every, .histograms = true, .rank = true);
	for (int k = 0; k < 5; k++) {
		ebb_tensor *x = ebb_mul_scalar(s.t, s.x, 1.5);

		if (flavour == NESTED)
			x = ebb_checkpoint(s.t, nested, s.fc, x);
		else if (flavour == ONE)
			x = ebb_tanh(s.t, ebb_linear_forward(s.t, &s.fc[2],
						  ebb_checkpoint(s.t, pair, s.fc, x)));
		else
			x = nested_plain(s.t, x, s.fc);
		x = last_layer(s.t, x);
		ebb_params_zero_grad(s.p);
		ck_assert(ebb_backward(
			s.t, ebb_sum(s.t, ebb_square(s.t, ebb_sub(s.t, x, s.target)))));
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
	}
	ck_assert_int_eq(ebb_flow_steps(f), 5);
	return f;
}

/* As assert_same_flow, without lines, which differ. */
static void same_rows(const ebb_flow *a, const ebb_flow *b)
{
	ck_assert_int_eq(ebb_flow_ops(a), ebb_flow_ops(b));
	ck_assert_int_eq(ebb_flow_ops(a), 8);
	for (int i = 0; i < 8; i++) {
		ebb_flow_op x, y;

		ck_assert(ebb_flow_op_at(a, i, &x) && ebb_flow_op_at(b, i, &y));
		ck_assert_str_eq(x.op, y.op);
		ck_assert_str_eq(ebb_flow_layer(a, x.layer), ebb_flow_layer(b, y.layer));
		for (int k = 0; k < ebb_flow_samples(a); k++) {
			ebb_flow_measures m, n;

			ck_assert(ebb_flow_sample(a, k, i, &m) && ebb_flow_sample(b, k, i, &n));
			for (size_t j = 0; j < sizeof m / sizeof(double); j++) {
				double u = ((double *)&m)[j], v = ((double *)&n)[j];

				ck_assert_msg(u == v || (isnan(u) && isnan(v)),
					"row %d, sample %d, measure %zu: %.17g and %.17g", i, k, j,
					u, v);
			}
		}
		for (int gradient = 0; gradient < 2; gradient++) {
			ebb_flow_histogram m, n;

			ck_assert(ebb_flow_histogram_of(a, i, gradient, &m));
			ck_assert(ebb_flow_histogram_of(b, i, gradient, &n));
			ck_assert(memcmp(&m, &n, sizeof m) == 0);
		}
	}
}

START_TEST(checkpoints_change_no_row)
{
	int every = _i % 2 + 1;
	uint64_t hash;
	ebb_flow *a = run_checkpointed(PLAIN, every), *b;
	scene plain = s;

	hash = params_hash(s.p);
	s = (scene){0};
	set_up();
	b = run_checkpointed(1 + _i / 2, every);
	ck_assert(params_hash(s.p) == hash);
	ck_assert_int_eq(ebb_flow_samples(a), every == 1 ? 5 : 3);
	ck_assert_int_eq(ebb_flow_samples(b), every == 1 ? 5 : 3);
	same_rows(a, b);
	ck_assert(measured(b, 0, "fc1", "tanh").backward > 0);
	ebb_flow_free(a);
	ebb_flow_free(b);
	scene_free(&plain);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-sweeps");
	TCase *c = tcase_create("sweeps");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, two_losses_of_one_recording_are_one_step, 0, 2);
	tcase_add_loop_test(c, a_gradient_penalty_is_part_of_the_loss, 0, 2);
	tcase_add_test(c, gradients_of_ebb_grad_do_not_count_beside_those_of_ebb_backward);
	tcase_add_loop_test(c, a_program_may_use_ebb_grad_only, 0, 4);
	tcase_add_loop_test(c, weights_may_be_variables_of_the_tape, 0, 4);
	tcase_add_loop_test(c, checkpoints_change_no_row, 0, 4);
	suite_add_tcase(suite, c);
	c = tcase_create("models");
	tcase_add_checked_fixture(c, set_up_two, tear_down_two);
	tcase_add_loop_test(c, two_models_by_turns_give_no_alarm, 0, 8);
	tcase_add_test(c, weights_of_two_models_are_counted_once);
	tcase_add_loop_test(c, several_discriminator_steps_per_generator_step_give_no_alarm, 0, 2);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
