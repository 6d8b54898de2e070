/* changing.c - an instrument and models that change: shapes, numbers of layers, modes, and
 * parameters at the addresses of freed ones. */
#include "tests/flow/scenes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ebb_tape *t;

static void set_up(void)
{
	t = ebb_tape_new();
}

static void tear_down(void)
{
	ebb_tape_free(t);
}

/* ---- Shapes ---- */

typedef struct convnet {
	ebb_params *p;
	ebb_conv conv1, conv2;
	ebb_bn bn;
	ebb_linear fc;
	ebb_optim *opt;
} convnet;

static convnet convnet_new(void)
{
	convnet n = {.p = ebb_params_new(3)};

	n.conv1 = ebb_conv_new(n.p, "conv1", 2, 4, 3, .pad = 1);
	n.bn = ebb_bn_new(n.p, "bn", 4);
	n.conv2 = ebb_conv_new(n.p, "conv2", 4, 3, 3, .pad = 1);
	n.fc = ebb_linear_new(n.p, "fc", 3, 5);
	n.opt = ebb_sgd(n.p, .lr = 0.01);
	return n;
}

static void convnet_free(convnet *n)
{
	ebb_optim_free(n->opt);
	ebb_params_free(n->p);
}

static ebb_tensor *convnet_loss(const convnet *n, ebb_tensor *x, double *rms)
{
	ebb_tensor *y = ebb_conv_forward(t, &n->conv1, x);

	y = ebb_bn_relu_forward(t, &n->bn, y, NULL);
	y = ebb_conv_forward(t, &n->conv2, y);
	if (rms)
		*rms = plain_norm(y, NULL) / sqrt((double)ebb_count(y));
	y = ebb_adaptive_avgpool2d(t, ebb_relu(t, y), .size = 1);
	return ebb_mean(t, ebb_square(t, ebb_linear_forward(t, &n->fc, ebb_flatten(t, y))));
}

START_TEST(batches_and_images_may_change_their_size)
{
	static const int batch[] = {8, 1, 5, 8, 3}, size[] = {6, 9, 4, 12, 5};
	convnet n = convnet_new();
	ebb_flow *f = ebb_flow_new(t, .rank = true, .histograms = true, .elements = 64);

	for (int k = 0; k < 10; k++) {
		int b = batch[k % 5], z = size[k % 5];
		ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(b, 2, z, z), 40 + k);
		double rms;
		ebb_flow_measures m;

		ck_assert(ebb_backward(t, convnet_loss(&n, x, &rms)));
		ck_assert(ebb_optim_step(n.opt));
		ebb_params_zero_grad(n.p);
		ebb_tape_reset(t);
		ebb_tensor_free(x);
		ck_assert_int_eq(ebb_flow_samples(f), k + 1);
		m = measured(f, k, "conv2", "conv2d");
		ck_assert(m.elements == b * 3 * z * z && m.calls == 1);
		assert_near(m.rms, rms, 0.3); /* of 64 elements */
	}
	assert_no_finding(f);
	ck_assert_int_eq(ebb_flow_layers(f), 4);
	ebb_flow_free(f);
	convnet_free(&n);
}
END_TEST

/* ---- Numbers of layers ---- */

START_TEST(the_number_of_layers_may_depend_on_the_step)
{
	scene s;
	ebb_flow *f;
	ebb_flow_measures m;

	scene_new(&s, "");
	f = ebb_flow_new(s.t, .every = _i + 1);
	for (int k = 0; k < 8; k++) {
		ebb_tensor *y = s.x;
		int depth = 1 + k / 2 % SCENE_LAYERS;

		ebb_params_zero_grad(s.p);
		for (int i = 0; i < depth; i++)
			y = ebb_tanh(s.t, ebb_linear_forward(s.t, &s.fc[i], y));
		/* The first layer runs once more in every second step. */
		if (k % 4 < 2)
			y = ebb_tanh(s.t, ebb_linear_forward(s.t, &s.fc[0], y));
		ck_assert(ebb_backward(s.t, ebb_sum(s.t, ebb_square(s.t, y))));
		ck_assert(ebb_optim_step(s.opt));
		ebb_tape_reset(s.t);
		ck_assert_int_eq(ebb_flow_steps(f), k + 1);
	}
	assert_no_finding(f);
	assert_samples(f, _i ? 4 : 8, _i + 1);
	for (int k = 0; k < ebb_flow_samples(f); k++) {
		int step = (int)ebb_flow_sample_step(f, k);

		for (int i = 0; i < SCENE_LAYERS; i++) {
			char layer[8];
			int row;

			snprintf(layer, sizeof layer, "fc%d", i);
			row = row_of(f, layer, "linear");
			/* fc0 has two rows: its two lines. */
			ck_assert((row >= 0) == (i > 0));
			if (i > 0)
				ck_assert(ebb_flow_sample(f, k, row, &m) ==
					  (i <= step / 2 % SCENE_LAYERS));
		}
	}
	ebb_flow_free(f);
	scene_free(&s);
}
END_TEST

/* ---- Modes ---- */

START_TEST(evaluation_between_steps_is_left_out)
{
	convnet n = convnet_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 2, 6, 6), 9);
	ebb_flow *f = ebb_flow_new(t), *all = ebb_flow_new(t, .evaluation = true);
	ebb_flow_measures m;

	for (int k = 0; k < 4; k++) {
		bool was = ebb_set_training(t, false);

		/* In the period of the step. */
		(void)convnet_loss(&n, x, NULL);
		ebb_set_training(t, was);
		ebb_params_zero_grad(n.p);
		ck_assert(ebb_backward(t, convnet_loss(&n, x, NULL)));
		ck_assert(ebb_optim_step(n.opt));
		ebb_tape_reset(t);
		was = ebb_set_training(t, false);
		ebb_set_recording(t, false);
		(void)convnet_loss(&n, x, NULL);
		ebb_set_recording(t, true);
		ebb_set_training(t, was);
		if (k % 2)
			ebb_tape_reset(t);
	}
	assert_no_finding(f);
	assert_samples(f, 4, 1);
	m = measured(f, 2, "conv2", "conv2d");
	ck_assert(m.calls == 1);
	ck_assert_int_eq(ebb_flow_findings(all), 0);
	m = measured(all, 2, "conv2", "conv2d");
	ck_assert(m.calls == 2);
	ebb_flow_free(f);
	ebb_flow_free(all);
	ebb_tensor_free(x);
	convnet_free(&n);
}
END_TEST

/* ---- Freed parameters ---- */

/* While fixed is true, blocks are taken from one array, from its beginning on, so that a second
 * store lies at the addresses of the first one. */
static _Alignas(64) char array[1 << 16];
static size_t used;
static bool fixed;

static void *give(void *ctx, void *p, size_t from, size_t to)
{
	bool inside = (char *)p >= array && (char *)p < array + sizeof array;
	void *q;

	(void)ctx;
	if (!fixed && !inside) {
		if (to)
			return realloc(p, to);
		free(p);
		return NULL;
	}
	if (to == 0)
		return NULL;
	if (fixed) {
		q = array + used;
		used += (to + 63) / 64 * 64;
		ck_assert_uint_le(used, sizeof array);
	} else {
		q = malloc(to);
	}
	if (p && q)
		memcpy(q, p, from < to ? from : to);
	return q;
}

/* Trains a net of two layers of that width for n steps, and frees it.  after: the optimizer's step
 * comes after the reset.  again: it lies where the last such net lay. */
static void train_and_free(
	const char *const names[2], int width, int n, bool after, bool accumulate, bool again)
{
	ebb_params *p;
	ebb_linear a, b;
	ebb_optim *opt;
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(6, 7), 5);

	fixed = again;
	used = 0;
	p = ebb_params_new(11);
	a = ebb_linear_new(p, names[0], 7, width);
	b = ebb_linear_new(p, names[1], width, 3);
	fixed = false;
	opt = ebb_sgd(p, .lr = 0.01);
	for (int k = 0; k < n; k++) {
		ebb_tensor *y = ebb_tanh(t, ebb_linear_forward(t, &a, x));

		ebb_params_zero_grad(p);
		ck_assert(ebb_backward(t, ebb_sum(t, ebb_square(t, ebb_linear_forward(t, &b, y)))));
		if (!after && !accumulate)
			ck_assert(ebb_optim_step(opt));
		ebb_tape_reset(t);
		if (after)
			ck_assert(ebb_optim_step(opt));
	}
	assert_healthy(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_tensor_free(x);
}

/* Nets follow each other, with the same names or others, of the same size or another. */
START_TEST(parameters_may_lie_at_the_addresses_of_freed_ones)
{
	static const char *const first[] = {"one", "two"}, *const second[] = {"three", "four"};
	bool same = _i & 1, after = _i & 2, accumulate = _i & 4 && !after;
	int every = _i & 8 ? 3 : 1;
	ebb_flow *f = ebb_flow_new(t, .every = every);
	int steps = 0;

	ebb_set_allocator(give, NULL);

	for (int round = 0; round < 6; round++) {
		train_and_free(round % 2 && !same ? second : first, 5 + round / 2 % 2, 3, after,
			accumulate, _i & 16);
		steps += 3;
		ck_assert(!ebb_flow_failed(f));
		if (round == 3)
			ck_assert(ebb_flow_text(f));
	}
	ck_assert_int_eq(ebb_flow_steps(f), steps);
	(void)ebb_flow_findings(f);
	assert_samples(f, steps / every, every);
	for (int k = 0; k < ebb_flow_samples(f); k++) {
		int64_t step = ebb_flow_sample_step(f, k);
		const char *layer = step / 3 % 2 && !same ? "three" : "one";
		ebb_flow_measures m = measured(f, k, layer, "linear");

		ck_assert(m.weight_l2 > 0 && m.weight_grad_l2 > 0);
		/* The last update of a net that was freed is not known if it came late. */
		if (!accumulate && !(after && step % 3 == 2))
			assert_near(m.update_ratio, 0.01 * m.weight_grad_l2 / m.weight_l2, 1e-4);
		else
			ck_assert(isnan(m.update_ratio));
	}
	ebb_flow_free(f);
	ebb_set_allocator(NULL, NULL);
}
END_TEST

START_TEST(models_that_are_trained_no_longer_take_no_memory)
{
	enum { NETS = 10, WIDTH = 2000 };
	counting_allocator a;
	ebb_params *p[NETS];
	ebb_linear fc[NETS];
	int64_t first = 0;

	counting_allocator_install(&a);
	ebb_tape *own = ebb_tape_new();
	ebb_flow *f = ebb_flow_new(own);
	for (int i = 0; i < NETS; i++) {
		p[i] = ebb_params_new(1);
		fc[i] = ebb_linear_new(p[i], "fc", 4, WIDTH);
	}
	for (int k = 0; k < 3 * NETS; k++) {
		ebb_tensor *x = ebb_ones(own, EBB_SHAPE(2, 4));
		x = ebb_linear_forward(own, &fc[k / 3], x);
		ebb_params_zero_grad(p[k / 3]);
		ck_assert(ebb_backward(own, ebb_sum(own, ebb_square(own, x))));
		ebb_tape_reset(own);
		/* Not the gradients. */
		int64_t bytes = a.bytes - (k / 3 + 1) * WIDTH * 5 * (int64_t)sizeof(float);
		first = k == 2 ? bytes : first;
		if (k % 3 == 2)
			ck_assert_int_le(bytes, first + WIDTH * 5 * (int64_t)sizeof(double));
	}
	ebb_flow_free(f);
	ebb_tape_free(own);
	for (int i = 0; i < NETS; i++)
		ebb_params_free(p[i]);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

/* ---- Names ---- */

START_TEST(names_that_change_in_each_step_do_not_add_layers_without_a_limit)
{
	enum { STEPS = 5, SCOPES = 500 };
	ebb_flow *f = ebb_flow_new(t);
	char name[32];

	for (int k = 0; k < STEPS; k++) {
		ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));
		for (int i = 0; i < SCOPES; i++) {
			snprintf(name, sizeof name, "step%d_%d", k, i);
			ebb_scope_begin(t, name);
			x = ebb_scope_end(t, ebb_tanh(t, x));
		}
		ck_assert(ebb_backward(t, ebb_sum(t, x)));
		ebb_tape_reset(t);
	}
	ck_assert_int_eq(ebb_flow_samples(f), STEPS);
	ck_assert(ebb_flow_layers(f) <= EBB_FLOW_LAYERS + 1);
	ck_assert_int_ge(ebb_flow_layers(f), EBB_FLOW_LAYERS - 10);
	ck_assert_int_ge((int)measured(f, STEPS - 1, "others", "tanh").calls, SCOPES);
	ck_assert(!ebb_flow_failed(f));
	ebb_flow_free(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-changing");
	TCase *c = tcase_create("changing");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, batches_and_images_may_change_their_size);
	tcase_add_loop_test(c, the_number_of_layers_may_depend_on_the_step, 0, 2);
	tcase_add_test(c, evaluation_between_steps_is_left_out);
	tcase_add_test(c, models_that_are_trained_no_longer_take_no_memory);
	tcase_add_test(c, names_that_change_in_each_step_do_not_add_layers_without_a_limit);
	tcase_add_loop_test(c, parameters_may_lie_at_the_addresses_of_freed_ones, 0, 32);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
