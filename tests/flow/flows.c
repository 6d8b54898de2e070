/* flows.c - flows that the tests of tables and exports fill with numbers. */
#include "tests/flow/flows.h"
#include "flow/instrument/recorder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1200 }; /* layers, rows and samples */

/* ---- Flows ---- */

ebb_flow *flow_new(void)
{
	ebb_flow *f = calloc(1, sizeof *f);

	f->layer = calloc(MOST, sizeof *f->layer);
	f->row = calloc(MOST, sizeof *f->row);
	f->sample = calloc(MOST, sizeof *f->sample);
	f->finding = calloc(16, sizeof *f->finding);
	f->first_loss = f->last_loss = NAN;
	f->step = -1;
	f->recorder = calloc(1, sizeof *f->recorder); /* without an open step */
	return f;
}

void flow_free(ebb_flow *f)
{
	free(f->recorder);
	for (int i = 0; i < f->layers; i++)
		free(f->layer[i].path);
	for (int i = 0; i < f->samples; i++)
		free(f->sample[i].m);
	free(f->layer);
	free(f->row);
	free(f->sample);
	free(f->finding);
	ebb_text_free(&f->text);
	free(f);
}

int add_layer(ebb_flow *f, const char *path)
{
	ck_assert_int_lt(f->layers, MOST);
	f->layer[f->layers].path = strdup(path);
	return f->layers++;
}

int add_row(ebb_flow *f, int layer, const char *op, const char *site, ebb_flow_kind kind)
{
	int before = f->rows - 1;

	ck_assert_int_lt(f->rows, MOST);
	f->row[f->rows] = (struct flow_row){.layer = layer,
		.op = op,
		.site = site,
		.kind = kind,
		.before = before,
		.order = f->rows};
	return f->rows++;
}

/* A linear layer and its nonlinearity. */
void add_dense(ebb_flow *f, const char *path)
{
	int l = add_layer(f, path);

	add_row(f, l, "linear", "src/net.c:38", EBB_FLOW_WEIGHT);
	add_row(f, l, "sigmoid", "src/net.c:39", EBB_FLOW_SLOPE);
}

/* The measures of a row in a healthy network, nearly the same in each step. */
static ebb_flow_measures usual(const ebb_flow *f, int row, int64_t step)
{
	double noise = 1 + 0.01 * (double)((row * 7 + step * 3) % 11), depth = f->rows - row;
	ebb_flow_kind kind = f->row[row].kind;
	bool weight = kind == EBB_FLOW_WEIGHT || kind == EBB_FLOW_NORM;
	ebb_flow_measures m = {.calls = 1,
		.elements = 4096,
		.mean = 0.01,
		.std = 0.9 * noise,
		.rms = 0.9 * noise,
		.max = 3.1,
		.zeros = kind == EBB_FLOW_SLOPE ? 0.48 * noise : 0,
		.saturated = kind == EBB_FLOW_SLOPE ? 0.48 * noise : NAN,
		.dead = kind == EBB_FLOW_SLOPE ? 0.01 : NAN,
		.rank = NAN,
		.grad_l2 = 0.02 * noise * pow(0.97, depth),
		.grad_rms = 1e-4,
		.grad_max = 1e-3,
		.forward = 1,
		.backward = kind == EBB_FLOW_SLOPE  ? 0.71
	                    : kind == EBB_FLOW_NORM ? 0.93 * noise
	                                            : 1.4 * noise,
		.weight_l2 = weight ? 11 : NAN,
		.weight_grad_l2 = weight ? 0.3 * noise : NAN,
		.update_ratio = weight ? 1.2e-3 * noise : NAN,
		.cosine = weight ? 0.9 : NAN};

	return m;
}

void add_sample(ebb_flow *f, int64_t step, double loss)
{
	struct flow_sample *s = &f->sample[f->samples++];

	ck_assert_int_le(f->samples, MOST);
	*s = (struct flow_sample){step, loss, f->rows, calloc((size_t)f->rows, sizeof *s->m)};
	for (int i = 0; i < f->rows; i++)
		s->m[i] = usual(f, i, step);
	f->first_loss = f->samples == 1 ? loss : f->first_loss;
	f->last_loss = loss;
	f->step = step;
	ebb_flow_sort(f);
}

void add_samples(ebb_flow *f, int n)
{
	for (int i = 0; i < n; i++)
		add_sample(f, i, 2.3 * exp(-0.05 * i));
}

void add_finding(ebb_flow *f, ebb_verdict_kind kind, const char *layer, const char *op,
	const char *site, double value)
{
	struct flow_finding *found = &f->finding[f->findings++];

	found->found =
		(ebb_finding){.kind = kind, .layer = layer, .op = op, .site = site, .value = value};
	found->certain = true;
	snprintf(found->found.sentence, sizeof found->found.sentence, "%s is %s.", layer,
		ebb_verdict_name(kind));
	snprintf(found->found.advice, sizeof found->found.advice, "Try less.");
}

ebb_flow *dense_net(int layers, const char *format, int samples)
{
	ebb_flow *f = flow_new();
	char path[64];

	for (int i = 0; i < layers; i++) {
		snprintf(path, sizeof path, format, i);
		add_dense(f, path);
	}
	add_samples(f, samples);
	return f;
}

void add_block(ebb_flow *f, const char *path, bool downsample)
{
	static const char *const names[] = {
		"conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1"};
	char name[80];

	for (int i = 0; i < (downsample ? 6 : 4); i++) {
		snprintf(name, sizeof name, "%s.%s", path, names[i]);
		int l = add_layer(f, name);
		if (i % 2 == 0) {
			add_row(f, l, "conv2d",
				i < 2 ? "nn/models/resnet.c:38" : "nn/models/resnet.c:41",
				EBB_FLOW_WEIGHT);
			continue;
		}
		add_row(f, l, "batch_norm", "nn/models/resnet.c:39", EBB_FLOW_NORM);
		if (i < 4)
			add_row(f, l, "relu", "nn/models/resnet.c:40", EBB_FLOW_SLOPE);
		if (i == 3)
			add_row(f, l, "add", "nn/models/resnet.c:44", EBB_FLOW_SUM);
	}
}

/* ResNet-56 for CIFAR: 3 stages of 9 blocks. */
ebb_flow *resnet(int samples)
{
	ebb_flow *f = flow_new();
	char path[64];

	add_row(f, add_layer(f, "resnet.conv1"), "conv2d", "nn/models/resnet.c:60",
		EBB_FLOW_WEIGHT);
	int bn = add_layer(f, "resnet.bn1");
	add_row(f, bn, "batch_norm", "nn/models/resnet.c:61", EBB_FLOW_NORM);
	add_row(f, bn, "relu", "nn/models/resnet.c:62", EBB_FLOW_SLOPE);
	for (int stage = 1; stage <= 3; stage++)
		for (int block = 0; block < 9; block++) {
			snprintf(path, sizeof path, "resnet.layer%d.%d", stage, block);
			add_block(f, path, stage > 1 && block == 0);
		}
	add_row(f, add_layer(f, "resnet.fc"), "linear", "nn/models/resnet.c:70", EBB_FLOW_WEIGHT);
	add_samples(f, samples);
	return f;
}
