/* scenes.c - see scenes.h. */
#include "tests/flow/scenes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rows ---- */

int row_of(const ebb_flow *f, const char *layer, const char *op)
{
	ebb_flow_op r;
	int found = -1;

	for (int i = 0; ebb_flow_op_at(f, i, &r); i++)
		if (strcmp(r.op, op) == 0 && strcmp(ebb_flow_layer(f, r.layer), layer) == 0) {
			if (found >= 0)
				return -1;
			found = i;
		}
	return found;
}

ebb_flow_measures measured(const ebb_flow *f, int sample, const char *layer, const char *op)
{
	ebb_flow_measures m;
	int row = row_of(f, layer, op);

	ck_assert_msg(row >= 0, "no row for %s in %s, or several", op, layer);
	ck_assert_msg(ebb_flow_sample(f, sample, row, &m), "%s in %s did not run in sample %d", op,
		layer, sample);
	return m;
}

int line_of(const char *site)
{
	const char *colon = site ? strrchr(site, ':') : NULL;

	return colon ? atoi(colon + 1) : -1;
}

bool near(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance * fabs(b);
}

void assert_no_finding(ebb_flow *f)
{
	ebb_finding x;

	if (ebb_flow_findings(f) > 0 && ebb_flow_finding(f, 0, &x))
		ck_abort_msg("finding: %s", x.sentence);
}

void assert_samples(const ebb_flow *f, int samples, int64_t every)
{
	for (int i = 0; i < ebb_flow_samples(f); i++)
		ck_assert_int_eq(ebb_flow_sample_step(f, i), i * every);
	ck_assert_int_eq(ebb_flow_samples(f), samples);
}

static void assert_same_op(const ebb_flow *a, const ebb_flow *b, int i)
{
	ebb_flow_op x, y;

	ck_assert(ebb_flow_op_at(a, i, &x) && ebb_flow_op_at(b, i, &y));
	ck_assert_str_eq(x.op, y.op);
	ck_assert_str_eq(x.site, y.site);
	ck_assert_int_eq(x.kind, y.kind);
	ck_assert_int_eq(x.layer, y.layer);
	ck_assert_str_eq(ebb_flow_layer(a, x.layer), ebb_flow_layer(b, y.layer));
}

void assert_same_flow(const ebb_flow *a, const ebb_flow *b)
{
	ck_assert_int_eq(ebb_flow_ops(a), ebb_flow_ops(b));
	ck_assert_int_eq(ebb_flow_layers(a), ebb_flow_layers(b));
	ck_assert_int_eq(ebb_flow_samples(a), ebb_flow_samples(b));
	ck_assert(ebb_flow_ops(a) > 0 && ebb_flow_samples(a) > 0);
	for (int i = 0; i < ebb_flow_ops(a); i++) {
		assert_same_op(a, b, i);
		for (int k = 0; k < ebb_flow_samples(a); k++) {
			ebb_flow_measures x, y;
			bool there = ebb_flow_sample(a, k, i, &x);
			const double *xs = (const double *)&x, *ys = (const double *)&y;

			ck_assert(there == ebb_flow_sample(b, k, i, &y));
			for (size_t m = 0; there && m < sizeof x / sizeof *xs; m++)
				ck_assert_msg(xs[m] == ys[m] || (isnan(xs[m]) && isnan(ys[m])),
					"row %d, sample %d, measure %zu: %.17g and %.17g", i, k, m,
					xs[m], ys[m]);
		}
	}
	for (int k = 0; k < ebb_flow_samples(a); k++) {
		ck_assert_int_eq(ebb_flow_sample_step(a, k), ebb_flow_sample_step(b, k));
		ck_assert(ebb_flow_sample_loss(a, k) == ebb_flow_sample_loss(b, k));
	}
}

double plain_norm(const ebb_tensor *a, const ebb_tensor *b)
{
	double sum = 0;

	for (int64_t i = 0; i < ebb_count(a); i++) {
		double d = ebb_at(a, i) - (b ? ebb_at(b, i) : 0);

		sum += d * d;
	}
	return sqrt(sum);
}

/* ---- The net ---- */

void scene_new(scene *s, const char *prefix)
{
	*s = (scene){.p = ebb_params_new(5), .t = ebb_tape_new()};
	ebb_set_default_dtype(s->t, EBB_F64);
	ebb_params_set_dtype(s->p, EBB_F64);
	for (int i = 0; i < SCENE_LAYERS; i++) {
		char name[32];

		snprintf(name, sizeof name, "%sfc%d", prefix, i);
		s->fc[i] = ebb_linear_new(s->p, name, SCENE_WIDTH, SCENE_WIDTH,
			.init = EBB_INIT(EBB_INIT_XAVIER_NORMAL));
	}
	s->x = persistent_random(EBB_F64, EBB_SHAPE(SCENE_BATCH, SCENE_WIDTH), 17);
	s->target = persistent_random(EBB_F64, EBB_SHAPE(SCENE_BATCH, SCENE_WIDTH), 18);
	s->opt = ebb_sgd(s->p, .lr = 0.01);
	ck_assert(s->opt && !ebb_params_error(s->p));
}

void scene_free(scene *s)
{
	ebb_tape_free(s->t);
	ebb_optim_free(s->opt);
	ebb_params_free(s->p);
	ebb_tensor_free(s->x);
	ebb_tensor_free(s->target);
}

ebb_tensor *scene_forward(scene *s, int from, int n, ebb_tensor *values[2 * SCENE_LAYERS])
{
	ebb_tensor *none[2 * SCENE_LAYERS], *y = ebb_slice(s->t, s->x, 0, from, from + n, 1);

	values = values ? values : none;
	for (int i = 0; i < SCENE_LAYERS; i++) {
		values[2 * i] = y = ebb_linear_forward(s->t, &s->fc[i], y);
		if (i + 1 < SCENE_LAYERS && !s->linear)
			y = ebb_tanh(s->t, y);
		values[2 * i + 1] = y;
	}
	return y;
}

ebb_tensor *scene_loss(scene *s, int from, int n)
{
	ebb_tensor *y = scene_forward(s, from, n, NULL),
		   *target = ebb_slice(s->t, s->target, 0, from, from + n, 1);

	return ebb_mul_scalar(s->t, ebb_sum(s->t, ebb_square(s->t, ebb_sub(s->t, y, target))), 0.5);
}

void scene_step(scene *s)
{
	ebb_params_zero_grad(s->p);
	ck_assert(ebb_backward(s->t, scene_loss(s, 0, SCENE_BATCH)));
	ck_assert(ebb_optim_step(s->opt));
	ebb_tape_reset(s->t);
}
