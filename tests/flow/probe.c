/* probe.c - a probe agrees with ebb_grad and ebb_stats_of, also in loops, after rewinds and without
 * memory. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

/* A network fc1, sigmoid, fc2, relu.  Its scopes are net.fc1, net.act (sigmoid), net.fc2 and net;
 * relu is outside of net. */
typedef struct model {
	ebb_params *p;
	ebb_linear fc1, fc2;
	ebb_tensor *x;
} model;

enum { BATCH = 6, IN = 5, HIDDEN = 7, OUT = 3 };

static void model_new(model *m)
{
	m->p = ebb_params_new(3);
	m->fc1 = ebb_linear_new(m->p, "fc1", IN, HIDDEN);
	m->fc2 = ebb_linear_new(m->p, "fc2", HIDDEN, OUT);
	m->x = persistent_random(EBB_F32, EBB_SHAPE(BATCH, IN), 17);
}

static void model_free(model *m)
{
	ebb_params_free(m->p);
	ebb_tensor_free(m->x);
}

/* out[0..2]: the results of fc1, act and fc2. */
static ebb_tensor *forward(ebb_tape *t, const model *m, ebb_tensor *out[3])
{
	ebb_scope_begin(t, "net");
	out[0] = ebb_linear_forward(t, &m->fc1, m->x);
	ebb_scope_begin(t, "act");
	out[1] = ebb_scope_end(t, ebb_sigmoid(t, ebb_mul_scalar(t, out[0], 4)));
	out[2] = ebb_scope_end(t, ebb_linear_forward(t, &m->fc2, out[1]));
	return ebb_sum(t, ebb_square(t, ebb_relu(t, out[2])));
}

static bool step(ebb_tape *t, model *m, ebb_optim *opt, ebb_probe *probe)
{
	ebb_tensor *out[3], *loss = forward(t, m, out);

	ebb_params_zero_grad(m->p);
	ebb_backward(t, loss);
	bool ok = opt ? ebb_optim_step(opt) : true;
	ebb_probe_step(probe);
	ebb_tape_reset(t);
	return ok && !ebb_failed(t);
}

static void same(const ebb_stats *a, const ebb_stats *b)
{
	ck_assert_int_eq(a->count, b->count);
	ck_assert(fabs(a->mean - b->mean) <= 1e-6 * (1 + fabs(b->mean)));
	ck_assert(fabs(a->l2 - b->l2) <= 1e-6 * b->l2);
	ck_assert(fabs(a->max_abs - b->max_abs) <= 1e-6 * b->max_abs);
	ck_assert(a->zeros == b->zeros);
}

static int layer_called(const ebb_probe *p, const char *path)
{
	for (int i = 0; i < ebb_probe_layers(p); i++)
		if (strcmp(ebb_probe_layer(p, i).path, path) == 0)
			return i;
	return -1;
}

START_TEST(statistics_agree_with_ebb_grad)
{
	static const char *const paths[] = {"net.fc1", "net.act", "net.fc2"};
	model m;
	model_new(&m);
	ebb_tape *t = ebb_tape_new(), *watched = ebb_tape_new();
	ebb_tensor *out[3], *g[3], *gw[4],
		*w[4] = {m.fc1.weight, m.fc1.bias, m.fc2.weight, m.fc2.bias};
	ebb_tensor *loss = forward(t, &m, out);
	ebb_stats expected[3], expected_g[3], expected_w[4];

	/* The values of fc1 and act are dropped at the end of net, so this forward pass has no
	 * scope net. */
	ck_assert(ebb_grad(t, loss, 3, out, g));
	ck_assert(ebb_grad(t, loss, 4, w, gw));
	for (int i = 0; i < 3; i++)
		ck_assert(ebb_stats_of(g[i], -INFINITY, INFINITY, &expected_g[i]));
	for (int i = 0; i < 4; i++)
		ck_assert(ebb_stats_of(gw[i], -INFINITY, INFINITY, &expected_w[i]));
	ebb_tensor *y = ebb_linear_forward(t, &m.fc1, m.x);
	ck_assert(ebb_stats_of(y, -INFINITY, INFINITY, &expected[0]));
	y = ebb_sigmoid(t, ebb_mul_scalar(t, y, 4));
	ck_assert(ebb_stats_of(y, 0.05, 0.95, &expected[1]));
	ck_assert(
		ebb_stats_of(ebb_linear_forward(t, &m.fc2, y), -INFINITY, INFINITY, &expected[2]));
	ck_assert(expected[1].saturated > 0);
	assert_healthy(t);

	ebb_probe *p = ebb_probe_new(watched);
	ck_assert(step(watched, &m, NULL, p));
	ck_assert_int_eq(ebb_probe_samples(p), 1);
	ck_assert_int_eq(ebb_probe_layers(p), 4);
	for (int i = 0; i < 3; i++) {
		ebb_layer_row row;
		ck_assert_str_eq(ebb_probe_layer(p, i).path, paths[i]);
		ck_assert(!ebb_probe_layer(p, i).container);
		ck_assert(ebb_probe_layer_row(p, 0, i, &row));
		same(&row.activation, &expected[i]);
		same(&row.gradient, &expected_g[i]);
		ck_assert(row.activation.saturated == (i == 1 ? expected[1].saturated : 0));
	}
	/* The result of net is that of fc2. */
	ebb_layer_row row;
	ck_assert_str_eq(ebb_probe_layer(p, 3).path, "net");
	ck_assert(ebb_probe_layer(p, 3).container);
	ck_assert(ebb_probe_layer_row(p, 0, 3, &row));
	same(&row.gradient, &expected_g[2]);

	ck_assert_int_eq(ebb_probe_params(p), 4);
	for (int i = 0; i < 4; i++) {
		ebb_probed_param q = ebb_probe_param(p, i);
		int k = 0;
		ebb_param_row param;
		while (k < 4 && strcmp(ebb_name(w[k]), q.name))
			k++;
		ck_assert_int_lt(k, 4);
		ck_assert_str_eq(ebb_probe_layer(p, q.layer).path, k < 2 ? "net.fc1" : "net.fc2");
		ck_assert(ebb_probe_param_row(p, 0, i, &param));
		same(&param.gradient, &expected_w[k]);
		ck_assert(param.update_ratio == 0 || isnan(param.update_ratio));
	}
	ebb_probe_free(p);
	ebb_tape_free(t);
	ebb_tape_free(watched);
	model_free(&m);
}
END_TEST

START_TEST(update_ratio_is_the_optimizers_step)
{
	model m;
	model_new(&m);
	ebb_tape *t = ebb_tape_new();
	ebb_optim *opt = ebb_sgd(m.p, .lr = 0.1);
	ebb_probe *p = ebb_probe_new(t, .every = 2);

	for (int i = 0; i < 4; i++)
		ck_assert(step(t, &m, opt, p));
	ck_assert_int_eq(ebb_probe_samples(p), 2);
	ck_assert_int_eq(ebb_probe_sample_step(p, 1), 2);
	ck_assert_int_eq(ebb_probe_sample_step(p, 2), -1);
	for (int s = 0; s < 2; s++)
		for (int i = 0; i < 4; i++) {
			ebb_param_row row;
			ck_assert(ebb_probe_param_row(p, s, i, &row));
			double expected = 0.1 * row.gradient.l2 / row.weight.l2;
			ck_assert(fabs(row.update_ratio - expected) <= 1e-4 * expected);
		}
	ebb_layer_summary sum;
	ck_assert(ebb_probe_summary(p, layer_called(p, "net.fc1"), 0, 1, &sum));
	ck_assert_int_eq(sum.samples, 1);
	ck_assert(sum.update_ratio > 0 && sum.param_grad_l2 > 0);
	ebb_probe_free(p);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	model_free(&m);
}
END_TEST

/* Updates and weights whose squares overflow or underflow in double. */
START_TEST(update_ratios_are_right_for_any_magnitude)
{
	static const double weights[] = {1, 1e-200, 1e200}, gradients[] = {1e-200, 1e-210, 1e190};
	ebb_params *store = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = ebb_probe_new(t);
	ebb_tensor *w;
	ebb_param_row row;
	ebb_layer_summary sum;

	ebb_params_set_dtype(store, EBB_F64);
	ebb_set_default_dtype(t, EBB_F64);
	w = ebb_params_add(store, "w", EBB_SHAPE(2), EBB_INIT(EBB_INIT_ZEROS));
	ebb_optim *opt = ebb_sgd(store, .lr = 0.5);
	((double *)ebb_data_mutable(w))[0] = weights[_i];
	ebb_scope_begin(t, "layer");
	ebb_tensor *g = ebb_from_f64(t, EBB_SHAPE(2), (double[]){0, gradients[_i]});
	ck_assert(ebb_backward(t, ebb_scope_end(t, ebb_sum(t, ebb_mul(t, w, g)))));
	ck_assert(ebb_optim_step(opt));
	ck_assert(ebb_probe_step(p));
	ck_assert(ebb_probe_param_row(p, 0, 0, &row));
	double expected = 0.5 * gradients[_i] / weights[_i];
	ck_assert(fabs(row.update_ratio / expected - 1) <= 1e-12);
	ck_assert(fabs(row.gradient.l2 / gradients[_i] - 1) <= 1e-12);
	ck_assert(ebb_probe_summary(p, 0, 0, 1, &sum));
	ck_assert(fabs(sum.update_ratio / expected - 1) <= 1e-12);
	ebb_probe_free(p);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_params_free(store);
}
END_TEST

START_TEST(globs_select_scopes)
{
	static const struct {
		const char *glob;
		int layers, params;
	} cases[] = {{"net.fc?", 2, 4}, {"*.act", 1, 0}, {"net", 1, 4}, {"net.fc1 net.act", 2, 2},
		{" net.fc2 ", 1, 2}, {"other", 0, 0}, {"", 0, 0}};
	model m;
	model_new(&m);
	ebb_tape *t = ebb_tape_new();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_probe *p = ebb_probe_new(t, .scopes = cases[i].glob);
		ck_assert(step(t, &m, NULL, p));
		ck_assert_int_eq(ebb_probe_layers(p), cases[i].layers);
		ck_assert_int_eq(ebb_probe_params(p), cases[i].params);
		for (int k = 0; k < ebb_probe_layers(p); k++)
			ck_assert(!ebb_probe_layer(p, k).container);
		ebb_probe_free(p);
	}
	ebb_tape_free(t);
	model_free(&m);
}
END_TEST

START_TEST(the_number_of_samples_is_bounded)
{
	model m;
	model_new(&m);
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = ebb_probe_new(t, .max_samples = 5);

	for (int i = 0; i < 100; i++) {
		ck_assert(step(t, &m, NULL, p));
		ck_assert_int_le(ebb_probe_samples(p), 5);
	}
	ck_assert_int_eq(ebb_probe_steps(p), 100);
	ck_assert_int_ge(ebb_probe_samples(p), 2);
	int64_t every = ebb_probe_sample_step(p, 1);
	for (int s = 0; s < ebb_probe_samples(p); s++) {
		ebb_layer_row row;
		ck_assert_int_eq(ebb_probe_sample_step(p, s), s * every);
		ck_assert(ebb_probe_layer_row(p, s, 0, &row));
		ck_assert_int_eq(row.activation.count, BATCH * HIDDEN);
		ck_assert_int_eq(row.gradient.count, BATCH * HIDDEN);
	}
	ck_assert_int_ge(every * 5, 64);
	ebb_probe_free(p);
	ebb_tape_free(t);
	model_free(&m);
}
END_TEST

/* A loop that runs one layer (x -> 2x) three times, in the same scope. */
START_TEST(repeated_runs_of_a_scope_are_combined)
{
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = ebb_probe_new(t);
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));
	ebb_layer_row row;

	for (int i = 0; i < 3; i++) {
		ebb_scope_begin(t, "twice");
		x = ebb_scope_end(t, ebb_mul_scalar(t, x, 2));
	}
	ck_assert(ebb_backward(t, ebb_sum(t, x)));
	ck_assert(ebb_probe_step(p));
	ck_assert(ebb_probe_layer_row(p, 0, 0, &row));
	ck_assert_int_eq(row.activation.count, 12);
	ck_assert(row.activation.max == 8 && row.activation.min == 2);
	ck_assert_int_eq(row.gradient.count, 12);
	ck_assert(row.gradient.max == 4 && row.gradient.min == 1);
	ck_assert(!ebb_probe_layer_row(p, 1, 0, &row));
	ck_assert(!ebb_probe_layer_row(p, 0, 1, &row));
	ebb_probe_free(p);
	ebb_tape_free(t);
}
END_TEST

START_TEST(rewound_nodes_get_no_gradient)
{
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = ebb_probe_new(t);
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));
	ebb_mark mark = ebb_tape_mark(t);
	ebb_layer_row row;

	ebb_scope_begin(t, "forgotten");
	ebb_scope_end(t, ebb_mul_scalar(t, x, 5));
	ebb_rewind(t, mark);
	ebb_scope_begin(t, "kept");
	ebb_tensor *y = ebb_scope_end(t, ebb_mul_scalar(t, x, 2));
	ck_assert(ebb_backward(t, ebb_sum(t, y)));
	ck_assert(ebb_probe_step(p));
	ck_assert(ebb_probe_layer_row(p, 0, layer_called(p, "forgotten"), &row));
	ck_assert_int_eq(row.activation.count, 4);
	ck_assert_int_eq(row.gradient.count, 0);
	ck_assert(ebb_probe_layer_row(p, 0, layer_called(p, "kept"), &row));
	ck_assert_int_eq(row.gradient.count, 4);
	ebb_probe_free(p);
	ebb_tape_free(t);
}
END_TEST

START_TEST(evaluation_passes_are_ignored_by_default)
{
	model m;
	model_new(&m);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *out[3];

	for (int ask = 0; ask < 2; ask++) {
		ebb_probe *p = ebb_probe_new(t, .evaluation = ask);
		ebb_set_training(t, false);
		ebb_set_recording(t, false);
		forward(t, &m, out);
		ebb_tape_reset(t);
		ebb_set_recording(t, true);
		ebb_set_training(t, true);
		ck_assert_int_eq(ebb_probe_layers(p), ask ? 4 : 0);
		ebb_probe_step(p);
		ck_assert_int_eq(ebb_probe_samples(p), ask);
		ebb_probe_free(p);
	}
	ebb_tape_free(t);
	model_free(&m);
}
END_TEST

static ebb_tensor *other_relu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_relu)(t, x, site);
}

/* Fused and separate steps of a container have the same layers, values, gradients and parameters in
 * the probe.  Every third step is sampled; the others need no more memory than without a probe. */
START_TEST(fused_steps_are_separate_layers)
{
	ebb_text rows[2] = {{0}, {0}};
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(8, 3, 12, 12), 1);
	size_t peak[3][7];

	for (int variant = 0; variant < 3; variant++) {
		ebb_tape *t = ebb_tape_new();
		ebb_params *params = ebb_params_new(1);
		ebb_sequential *s = ebb_sequential_new(params, "net");
		ebb_optim *opt = ebb_sgd(params, .lr = 0.1);
		ebb_probe *p = variant < 2 ? ebb_probe_new(t, .every = 3) : NULL;

		for (int k = 0; k < 2; k++) {
			ebb_sequential_conv(s, k ? 16 : 3, 16, 3, .pad = 1);
			ebb_sequential_bn(s, 16);
			ebb_sequential_fn(s, variant == 1 ? other_relu : ebb_relu);
			ebb_sequential_conv(s, 16, 16, 3, .pad = 1);
			ebb_sequential_fn(s, variant == 1 ? other_relu : ebb_relu);
			ebb_sequential_maxpool2d(s, .kernel = 2);
		}
		for (int i = 0; i < 7; i++) {
			ebb_memory_reset_peak(t);
			ebb_params_zero_grad(params);
			ck_assert(ebb_backward(
				t, ebb_sum(t, ebb_square(t, ebb_sequential_forward(t, s, x)))));
			ck_assert(ebb_optim_step(opt));
			peak[variant][i] = ebb_memory_of(t).peak;
			ck_assert(!p || ebb_probe_step(p));
			ebb_tape_reset(t);
		}
		assert_healthy(t);
		if (p) {
			ck_assert_int_eq(ebb_probe_layers(p), 13);
			ck_assert_str_eq(ebb_probe_layer(p, 4).path, "net.4");
			ck_assert_int_eq(ebb_probe_samples(p), 3);
			ck_assert(ebb_probe_csv(p, &rows[variant]));
		}
		ebb_probe_free(p);
		ebb_optim_free(opt);
		ebb_params_free(params);
		ebb_tape_free(t);
	}
	ck_assert_str_eq(rows[0].data, rows[1].data);
	for (int i = 0; i < 7; i++)
		ck_assert(i % 3 == 0 || peak[0][i] == peak[2][i]);
	ebb_text_free(&rows[0]);
	ebb_text_free(&rows[1]);
	ebb_tensor_free(x);
}
END_TEST

static double saturated_share(ebb_unary_op op, double below, double above)
{
	const double values[] = {-6, -1, 0, 1, 6, 7};
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = ebb_probe_new(t, .saturated_below = below, .saturated_above = above);
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(6), values));
	ebb_layer_row row;

	ebb_scope_begin(t, "s");
	ebb_scope_end(t, op(t, x, NULL));
	ck_assert(ebb_probe_step(p));
	ck_assert(ebb_probe_layer_row(p, 0, 0, &row));
	ebb_probe_free(p);
	ebb_tape_free(t);
	return row.activation.saturated;
}

START_TEST(saturation_bounds_come_from_the_op_or_the_user)
{
	ck_assert(fabs(saturated_share(ebb_sigmoid, 0, 0) - 3 / 6.0) < 1e-12);
	ck_assert(fabs(saturated_share(ebb_tanh, 0, 0) - 3 / 6.0) < 1e-12);
	ck_assert(saturated_share(ebb_relu, 0, 0) == 0);
	ck_assert(fabs(saturated_share(ebb_relu, 0, 6.5) - 1 / 6.0) < 1e-12);
	ck_assert(fabs(saturated_share(ebb_sigmoid, 0.05, 0) - 1 / 6.0) < 1e-12);
	ck_assert(fabs(saturated_share(ebb_neg, EBB_ZERO, 0) - 3 / 6.0) < 1e-12);
}
END_TEST

START_TEST(bad_options_are_errors)
{
	ebb_tape *t = ebb_tape_new();
	ebb_error e = {0};

	ck_assert_ptr_null(ebb_probe_new(NULL, .error = &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	ck_assert_ptr_nonnull(strstr(e.message, "tape is NULL"));
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_probe_new(t, .every = -1, .error = &e));
	ck_assert_ptr_nonnull(strstr(e.message, ".every"));
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_probe_new(t, .max_samples = 1, .error = &e));
	ck_assert_ptr_nonnull(strstr(e.message, ".max_samples"));
	/* Of a tape's 8 observers, the last probe would be the eighth and ninth. */
	ebb_profile *other = ebb_profile_new(t);
	ebb_probe *p[4];
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(p[i] = ebb_probe_new(t));
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_probe_new(t, .error = &e));
	ck_assert_int_eq(e.status, EBB_BAD_STATE);
	ck_assert_ptr_nonnull(strstr(e.message, "probe_new: the tape has its largest number"));
	ebb_profile_free(other);
	ck_assert_ptr_nonnull(p[3] = ebb_probe_new(t));
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_probe_new(t, .error = &e));
	ck_assert_int_eq(e.status, EBB_BAD_STATE);
	for (int i = 0; i < 4; i++)
		ebb_probe_free(p[i]);
	ebb_probe_free(NULL);
	ebb_tape_free(t);

	ebb_layer_row row;
	ebb_layer_summary s;
	ck_assert(!ebb_probe_step(NULL));
	ck_assert(ebb_probe_failed(NULL));
	ck_assert_int_eq(ebb_probe_layers(NULL), 0);
	ck_assert_ptr_null(ebb_probe_layer(NULL, 0).path);
	ck_assert_ptr_null(ebb_probe_param(NULL, 0).name);
	ck_assert(!ebb_probe_layer_row(NULL, 0, 0, &row));
	ck_assert(!ebb_probe_summary(NULL, 0, 0, 0, &s));
}
END_TEST

/* Each allocation of the probe fails once: training goes on, ebb_probe_failed is true, nothing
 * leaks. */
START_TEST(no_memory_stops_the_probe_and_not_the_training)
{
	counting_allocator a;
	int failures = 0;

	for (int64_t n = 0;; n++) {
		model m;
		counting_allocator_install(&a);
		model_new(&m);
		ebb_tape *t = ebb_tape_new();
		for (int i = 0; i < 2; i++) /* fills the tape's pool of buffers */
			ck_assert(step(t, &m, NULL, NULL));
		int64_t before = a.live;
		a.calls = 0;
		a.fail_at = n;
		ebb_error e = {0};
		ebb_probe *p = ebb_probe_new(t, .scopes = "net.*", .error = &e);
		ck_assert(p || e.status == EBB_NO_MEMORY);
		for (int i = 0; i < 40; i++) {
			bool ok = step(t, &m, NULL, p);
			ck_assert_msg(
				ok || !p, "allocation %ld: %s", (long)n, ebb_error_message(t));
		}
		bool refused = a.refused > 0;
		failures += refused;
		ck_assert_msg(!refused || !p || ebb_probe_failed(p), "allocation %ld", (long)n);
		for (int s = 0; s < ebb_probe_samples(p); s++) { /* earlier samples can be read */
			ebb_layer_row row;
			ebb_param_row param;
			for (int i = 0; i < ebb_probe_layers(p); i++)
				ck_assert(ebb_probe_layer_row(p, s, i, &row));
			for (int i = 0; i < ebb_probe_params(p); i++)
				ck_assert(ebb_probe_param_row(p, s, i, &param));
		}
		a.fail_at = -1;
		ebb_probe_free(p);
		ck_assert_msg(a.live == before || !refused || !p,
			"allocation %ld leaked %ld blocks", (long)n, (long)(a.live - before));
		ebb_tape_free(t);
		model_free(&m);
		ck_assert_int_eq(a.live, 0);
		ck_assert_int_eq(a.wrong, 0);
		counting_allocator_remove();
		if (!refused)
			break;
	}
	ck_assert_int_ge(failures, 15);
}
END_TEST

START_TEST(summaries_are_medians)
{
	const double scale[] = {1, 100, 3, 2, NAN};
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = ebb_probe_new(t);
	ebb_layer_summary s;
	ebb_verdict v;

	for (int i = 0; i < 5; i++) {
		ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));
		ebb_scope_begin(t, "s");
		ebb_tensor *y = ebb_scope_end(t, ebb_mul_scalar(t, x, 1));
		ebb_backward(t, ebb_sum(t, ebb_mul_scalar(t, y, scale[i])));
		ebb_probe_step(p);
		ebb_tape_reset(t);
	}
	ck_assert(ebb_probe_summary(p, 0, 0, 0, &s));
	ck_assert_int_eq(s.samples, 5);
	ck_assert_int_eq(s.nan, 4);
	ck_assert(fabs(s.grad_l2 - 5) < 1e-12); /* the median of 2, 4, 6, 200 */
	ck_assert(s.mean == 1 && s.zeros == 0);
	ck_assert(isnan(s.param_grad_l2) && isnan(s.update_ratio));
	ck_assert(ebb_probe_summary(p, 0, 1, 2, &s));
	ck_assert(fabs(s.grad_l2 - 200) < 1e-12);
	ck_assert(ebb_probe_summary(p, 0, 50, 60, &s));
	ck_assert(s.samples == 0 && isnan(s.grad_l2));
	ck_assert(!ebb_probe_verdict(p, 50, 60, NULL, &v));
	ck_assert(ebb_probe_verdict(p, 0, 0, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_NOT_FINITE);
	ebb_probe_free(p);
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow probe");
	TCase *c = tcase_create("probe");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, statistics_agree_with_ebb_grad);
	tcase_add_test(c, update_ratio_is_the_optimizers_step);
	tcase_add_loop_test(c, update_ratios_are_right_for_any_magnitude, 0, 3);
	tcase_add_test(c, globs_select_scopes);
	tcase_add_test(c, the_number_of_samples_is_bounded);
	tcase_add_test(c, repeated_runs_of_a_scope_are_combined);
	tcase_add_test(c, rewound_nodes_get_no_gradient);
	tcase_add_test(c, evaluation_passes_are_ignored_by_default);
	tcase_add_test(c, fused_steps_are_separate_layers);
	tcase_add_test(c, saturation_bounds_come_from_the_op_or_the_user);
	tcase_add_test(c, bad_options_are_errors);
	tcase_add_test(c, no_memory_stops_the_probe_and_not_the_training);
	tcase_add_test(c, summaries_are_medians);
	suite_add_tcase(s, c);
	return run_suite(s);
}
