/* nets.c - networks with planted faults, and their training. */
#include "tests/flow/nets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Data ------------------------------------------------------------------------------------ */

static uint64_t mixed(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void fill_normal(float *x, int64_t n, uint64_t seed)
{
	for (int64_t i = 0; i < n; i++) {
		uint64_t k = mixed(seed * 0x9e3779b97f4a7c15u + (uint64_t)i + 1);
		double u = ((double)(k >> 32) + 0.5) * 0x1p-32;
		double v = (double)(k & 0xffffffff) * 0x1p-32;

		x[i] = (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
	}
}

ebb_tensor *clusters(ebb_tape *t, ebb_shape shape, int classes, uint64_t seed)
{
	int64_t rows = shape.dims[0], size = 1;

	for (int a = 1; a < shape.ndim; a++)
		size *= shape.dims[a];
	float *x = malloc((size_t)(rows * size) * sizeof *x);
	float *centre = malloc((size_t)(classes * size) * sizeof *centre);
	fill_normal(x, rows * size, seed + 1000);
	fill_normal(centre, classes * size, 77);
	for (int64_t n = 0; n < rows; n++)
		for (int64_t k = 0; k < size; k++)
			x[n * size + k] =
				0.6f * x[n * size + k] + 0.8f * centre[n % classes * size + k];
	ebb_tensor *y = ebb_from_f32(t, shape, x);
	free(x);
	free(centre);
	return y;
}

ebb_tensor *cluster_labels(ebb_tape *t, int64_t n, int classes)
{
	int64_t *label = malloc((size_t)n * sizeof *label);

	for (int64_t i = 0; i < n; i++)
		label[i] = i % classes;
	ebb_tensor *y = ebb_from_i64(t, EBB_SHAPE(n), label);
	free(label);
	return y;
}

/* ---- Building -------------------------------------------------------------------------------- */

static bool is_conv(const net *m)
{
	return m->kind == NET_CONV || m->kind == NET_CONV_BN;
}

static ebb_tensor *weight_of(const net *m, int i)
{
	return is_conv(m) && i + 1 < m->depth ? m->conv[i].weight : m->fc[i].weight;
}

/* What shifts the inputs of the nonlinearity. */
static ebb_tensor *bias_of(const net *m, int i)
{
	return m->kind == NET_CONV_BN ? m->bn[i].bias
	       : is_conv(m)           ? m->conv[i].bias
	                              : m->fc[i].bias;
}

static void multiply(ebb_tensor *w, double factor)
{
	float *x = ebb_data_mutable(w);

	for (int64_t k = 0; k < ebb_count(w); k++)
		x[k] *= (float)factor;
}

/* Of the first `share` of the elements. */
static void overwrite(ebb_tensor *w, double share, double value)
{
	float *x = ebb_data_mutable(w);

	for (int64_t k = 0; k < (int64_t)(share * (double)ebb_count(w)); k++)
		x[k] = (float)value;
}

static void plant(net *m)
{
	/* A healthy network has no bad layer. */
	ebb_tensor *w = m->bad < 0 ? NULL : weight_of(m, m->bad);

	switch (m->fault) {
	case LARGE_WEIGHTS:
	case SMALL_WEIGHTS:
	case SATURATED:
		multiply(w, m->factor);
		break;
	case ZERO_WEIGHTS:
	case EQUAL_WEIGHTS:
		overwrite(w, 1, m->factor);
		break;
	case DEAD_BIAS:
		overwrite(bias_of(m, m->bad), 1, m->factor);
		break;
	case DEAD_PART:
		overwrite(bias_of(m, m->bad), 0.6, m->factor);
		break;
	default:
		break;
	}
}

static void plant_later(net *m)
{
	if (m->fault == SPIKE && m->step == m->begins + 1)
		ebb_optim_set_lr(m->opt, m->lr);
	if (m->step != m->begins)
		return;
	if (m->fault == DEAD_LATER)
		overwrite(bias_of(m, m->bad), 1, m->factor);
	if (m->fault == SATURATED_LATER)
		multiply(weight_of(m, m->bad), m->factor);
	if (m->fault == NAN_WEIGHT)
		((float *)ebb_data_mutable(weight_of(m, m->bad)))[3] = NAN;
	if (m->fault == DIVERGING)
		ebb_optim_set_lr(m->opt, m->factor);
	if (m->fault == SPIKE)
		ebb_optim_set_lr(m->opt, m->factor);
}

/* With LEFT_OUT, the bad layer is outside the view of the optimizer. */
static ebb_params *place_of(net *m, int i)
{
	if (m->fault != LEFT_OUT)
		return m->p;
	return ebb_params_sub(m->p, i == m->bad ? "head" : "body");
}

void net_new(net *m)
{
	m->p = ebb_params_new(m->seed);
	for (int i = 0; i < m->depth; i++) {
		bool last = i + 1 == m->depth;
		char name[16], norm[16];

		snprintf(name, sizeof name, is_conv(m) && !last ? "conv%d" : "fc%d", i);
		snprintf(norm, sizeof norm, "bn%d", i);
		if (!is_conv(m) || last)
			m->fc[i] = ebb_linear_new(place_of(m, i), name, m->width,
				last ? NETS_CLASSES : m->width, .init = m->init);
		else
			m->conv[i] = ebb_conv_new(place_of(m, i), name, i ? m->width : 3, m->width,
				3, .pad = 1, .init = m->init, .no_bias = m->kind == NET_CONV_BN);
		if (m->kind == NET_CONV_BN && !last)
			m->bn[i] = ebb_bn_new(place_of(m, i), norm, m->width);
	}
	plant(m);
}

void net_free(net *m)
{
	ebb_params_free(m->p);
}

/* ---- Running --------------------------------------------------------------------------------- */

#define HERE(m, k) snprintf((m)->lines[k], sizeof(m)->lines[k], "nets.c:%d", __LINE__)

/* The ops with a value that is not finite; the gradient of the root is. */
static ebb_tensor *broken(ebb_tape *t, net *m, ebb_tensor *x)
{
	ebb_tensor *zero;

	if (m->step < m->begins)
		return x;
	zero = ebb_mul_scalar(t, x, 0);
	switch (m->fault) {
	case ZERO_BY_ZERO:
		return HERE(m, 2), ebb_add(t, x, ebb_div(t, zero, zero));
	case LOG_OF_ZERO:
		HERE(m, 2), x = ebb_add(t, x, ebb_mul_scalar(t, ebb_log(t, zero), 0));
		return x;
	case ROOT_OF_ZERO:
		HERE(m, 2), x = ebb_add(t, x, ebb_sqrt(t, zero));
		return x;
	case OVERFLOWING:
		HERE(m, 2), x = ebb_exp(t, ebb_add_scalar(t, ebb_abs(t, x), 1000));
		return x;
	default:
		return x;
	}
}

static ebb_tensor *weighted(ebb_tape *t, net *m, int i, ebb_tensor *x)
{
	bool conv = is_conv(m) && i + 1 < m->depth;

	if (i == m->bad && m->fault == DETACHED_WEIGHT && !conv)
		HERE(m, 0), x = ebb_linear(t, x, ebb_detach(t, m->fc[i].weight), m->fc[i].bias);
	else if (i == m->bad && !conv)
		HERE(m, 0), x = ebb_linear_forward(t, &m->fc[i], x);
	else if (i == m->bad)
		HERE(m, 0), x = ebb_conv_forward(t, &m->conv[i], x);
	else
		x = conv ? ebb_conv_forward(t, &m->conv[i], x)
		         : ebb_linear_forward(t, &m->fc[i], x);
	if (m->kind == NET_CONV_BN && i + 1 < m->depth) {
		if (i == m->bad)
			HERE(m, 3), x = ebb_bn_forward(t, &m->bn[i], x);
		else
			x = ebb_bn_forward(t, &m->bn[i], x);
	}
	return x;
}

static ebb_tensor *bad_layer(ebb_tape *t, net *m, ebb_tensor *x)
{
	ebb_tensor *before = x;

	if (m->fault == UNRECORDED)
		ebb_set_recording(t, false);
	x = broken(t, m, weighted(t, m, m->bad, x));
	if (m->bad + 1 < m->depth)
		HERE(m, 1), x = m->phi(t, x, EBB_SITE);
	ebb_set_recording(t, true);
	if (m->fault == DETACHED)
		x = ebb_detach(t, x);
	return m->fault == UNUSED ? before : x;
}

static ebb_tensor *forward(ebb_tape *t, net *m, ebb_tensor *x)
{
	for (int i = 0; i < m->depth; i++) {
		bool last = i + 1 == m->depth;
		ebb_tensor *skip = m->kind == NET_RESIDUAL && !last ? x : NULL;

		if (last && is_conv(m))
			x = ebb_flatten(t, ebb_adaptive_avgpool2d(t, x));
		if (i == m->bad)
			x = bad_layer(t, m, x);
		else if (last)
			x = weighted(t, m, i, x);
		else
			x = m->phi(t, weighted(t, m, i, x), EBB_SITE);
		if (skip)
			x = ebb_add(t, skip, x);
	}
	return x;
}

ebb_tensor *net_loss(ebb_tape *t, net *m)
{
	ebb_shape shape = is_conv(m) ? EBB_SHAPE(m->batch, 3, NETS_SIDE, NETS_SIDE)
	                             : EBB_SHAPE(m->batch, m->width);
	uint64_t seed = 100 * m->seed + (uint64_t)m->step;
	ebb_tensor *x = clusters(t, shape, NETS_CLASSES, seed);

	if (m->fault == NAN_INPUT && m->step == m->begins)
		((float *)ebb_data_mutable(x))[5] = NAN;
	x = ebb_cross_entropy(t, forward(t, m, x), cluster_labels(t, m->batch, NETS_CLASSES));
	return m->scale ? ebb_mul_scalar(t, x, m->scale) : x;
}

/* ---- Training -------------------------------------------------------------------------------- */

static ebb_optim *optim_of(net *m)
{
	ebb_params *p = m->fault == LEFT_OUT ? ebb_params_sub(m->p, "body") : m->p;
	double lr = m->fault == TINY_RATE ? 1e-12 : m->lr;

	return m->optim == NET_ADAM       ? ebb_adam(p, .lr = lr)
	       : m->optim == NET_MOMENTUM ? ebb_sgd(p, .lr = lr, .momentum = 0.9)
	                                  : ebb_sgd(p, .lr = lr);
}

ebb_finding net_train(net *m, char *text, size_t size)
{
	ebb_tape *t = ebb_tape_new();
	ebb_flow *f = ebb_flow_new(t, .every = m->every);
	char glob[24];

	m->opt = optim_of(m);
	if (m->fault == NO_UPDATE)
		for (int k = 0; k < 3; k++) {
			snprintf(glob, sizeof glob, "%s%d.*",
				(const char *[]){"fc", "conv", "bn"}[k], m->bad);
			ebb_optim_scale(m->opt, glob, 0, 0);
		}
	for (m->step = 0; m->step < m->steps; m->step++) {
		plant_later(m);
		ebb_tensor *loss = net_loss(t, m);
		m->losses[m->step > 0] = ebb_item(loss);
		ebb_params_zero_grad(m->p);
		ebb_backward(t, loss);
		ebb_optim_step(m->opt);
		ebb_tape_reset(t);
	}
	assert_healthy(t);
	ebb_finding v = ebb_flow_verdict(f);
	if (text) {
		ebb_text all = {0};
		ebb_flow_findings_text(f, 0, &all);
		snprintf(text, size, "%s", all.data);
		ebb_text_free(&all);
	}
	/* The names in v belong to the instrument; the caller compares copies. */
	static char names[3][400];
	const char **name[] = {&v.layer, &v.op, &v.site};
	for (int k = 0; k < 3; k++) {
		snprintf(names[k], sizeof names[k], "%s", *name[k]);
		*name[k] = names[k];
	}
	ebb_flow_free(f);
	ebb_optim_free(m->opt);
	ebb_tape_free(t);
	return v;
}
