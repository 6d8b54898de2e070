/*
 * planted.c - the verdict names the layer and the line of a planted fault: seven faults in networks
 * of 8, 24 and 50 layers, built from plain structs, as ebb_sequential and with scopes of the user,
 * each with five seeds.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 48, CLASSES = 10, BATCH = 64, STEPS = 8, DEEPEST = 50, SEEDS = 5 };
enum { BEGINS = 3 }; /* the step in which the first value that is not finite is computed */

typedef enum fault_kind {
	SATURATED,
	DEAD,
	EXPLODING,
	FROZEN,
	NOT_A_NUMBER,
	ZERO_UPDATE,
	RESIDUAL
} fault_kind;
enum { FAULTS = RESIDUAL + 1 };
typedef enum style_kind { PLAIN, SEQUENTIAL, SCOPES } style_kind;
enum { STYLES = SCOPES + 1 };

static const char *const fault_names[] = {
	"saturated", "dead", "exploding", "frozen", "NaN", "zero update", "residual"};
static const char *const style_names[] = {"plain", "sequential", "scopes"};

/* ---- The networks ---------------------------------------------------------------------------- */

/* What the step that computes a NaN needs to know. */
typedef struct trap {
	int step;
	bool active;
} trap;

typedef struct model {
	fault_kind fault;
	style_kind style;
	int depth, bad;
	bool wild; /* of RESIDUAL: the weights are too large; else the nonlinearity is saturated */
	ebb_params *p;
	ebb_linear l[DEEPEST];
	ebb_sequential *net;
	trap trap;
	/* The lines of the fault, one of which the verdict must name. */
	char lines[3][60];
} model;

#define HERE(m, k) snprintf((m)->lines[k], sizeof(m)->lines[k], "planted.c:%d", __LINE__)

static ebb_init init_of(const model *m, int i)
{
	if (i == m->bad && m->fault == EXPLODING)
		return EBB_INIT(EBB_INIT_NORMAL, .std = 100);
	if (i == m->bad && m->fault == SATURATED)
		return EBB_INIT(EBB_INIT_NORMAL, .std = 50);
	if (m->fault == RESIDUAL)
		return EBB_INIT(
			EBB_INIT_NORMAL, .std = i == m->bad ? (m->wild ? 100 : 10) : 0.2 / 7);
	return EBB_INIT(EBB_INIT_KAIMING_NORMAL);
}

static ebb_init bias_of(const model *m, int i)
{
	return i == m->bad && m->fault == DEAD ? EBB_INIT(EBB_INIT_CONSTANT, .value = -100)
	                                       : EBB_INIT(EBB_INIT_ZEROS);
}

static bool is_sigmoid(const model *m, int i)
{
	return i == m->bad && (m->fault == SATURATED || (m->fault == RESIDUAL && !m->wild));
}

static int64_t outputs(const model *m, int i)
{
	return i + 1 < m->depth ? WIDTH : CLASSES;
}

/* NaN from step BEGINS on: the logarithm of a number that is negative then. */
static ebb_tensor *broken(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site)
{
	const trap *at = ctx;

	x = ebb_add_scalar(t, ebb_abs(t, x), at->active && at->step >= BEGINS ? -1e3 : 1);
	return (ebb_log)(t, x, site);
}

static ebb_tensor *cut(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site)
{
	(void)ctx;
	return (ebb_detach)(t, x, site);
}

static void sequential_new(model *m)
{
	m->net = ebb_sequential_new(m->p, "net");
	for (int i = 0; i < m->depth; i++) {
		bool here = i == m->bad;
		ebb_sequential *s = m->net;
		ebb_init w = init_of(m, i), b = bias_of(m, i);
		int64_t n = outputs(m, i);

		/* On one line: compilers differ in which line of a longer call __LINE__ is. */
		if (here)
			HERE(m, 0), ebb_sequential_linear(s, WIDTH, n, .init = w, .bias_init = b);
		else
			ebb_sequential_linear(s, WIDTH, n, .init = w, .bias_init = b);
		if (i + 1 == m->depth)
			break;
		if (is_sigmoid(m, i))
			HERE(m, 1), ebb_sequential_fn(m->net, ebb_sigmoid);
		else if (here && m->fault == NOT_A_NUMBER)
			HERE(m, 1), ebb_sequential_layer(m->net, broken, &m->trap);
		else if (here)
			HERE(m, 1), ebb_sequential_fn(m->net, ebb_relu);
		else
			ebb_sequential_fn(m->net, ebb_relu);
		if (here && m->fault == FROZEN)
			ebb_sequential_layer(m->net, cut, NULL);
	}
}

static void model_new(model *m, fault_kind fault, style_kind style, int depth, int seed)
{
	*m = (model){.fault = fault, .style = style, .depth = depth};
	srand((unsigned)(1000 * seed + 10 * depth + (int)fault));
	m->bad = 1 + rand() % (depth - 2);
	m->wild = seed % 2 == 0;
	m->trap.active = true;
	m->p = ebb_params_new((uint64_t)seed);
	if (style == SEQUENTIAL) {
		sequential_new(m);
		return;
	}
	for (int i = 0; i < depth; i++) {
		char name[16];

		snprintf(name, sizeof name, "fc%d", i);
		m->l[i] = ebb_linear_new(m->p, name, WIDTH, outputs(m, i), .init = init_of(m, i),
			.bias_init = bias_of(m, i));
	}
}

/* One layer and its nonlinearity.  The fault's ops have lines of their own. */
static ebb_tensor *layer(ebb_tape *t, model *m, int i, ebb_tensor *x)
{
	bool here = i == m->bad;

	if (here)
		HERE(m, 0), x = ebb_linear_forward(t, &m->l[i], x);
	else
		x = ebb_linear_forward(t, &m->l[i], x);
	if (i + 1 == m->depth)
		return x;
	if (is_sigmoid(m, i))
		return HERE(m, 1), ebb_sigmoid(t, x);
	if (here && m->fault == NOT_A_NUMBER)
		return HERE(m, 1), broken(t, &m->trap, x, EBB_SITE);
	if (!here)
		return ebb_relu(t, x);
	HERE(m, 1), x = ebb_relu(t, x);
	return m->fault == FROZEN ? ebb_detach(t, x) : x;
}

static ebb_tensor *forward(ebb_tape *t, model *m, ebb_tensor *x)
{
	if (m->style == SEQUENTIAL)
		return ebb_sequential_forward(t, m->net, x);
	for (int i = 0; i < m->depth; i++) {
		bool around = m->fault == RESIDUAL && i + 1 < m->depth;
		ebb_tensor *block = x;
		char name[16];

		snprintf(name, sizeof name, "act%d", i);
		if (m->style == SCOPES)
			ebb_scope_begin(t, name);
		x = layer(t, m, i, x);
		if (around)
			x = ebb_add(t, block, x);
		if (m->style == SCOPES)
			x = ebb_scope_end(t, x);
	}
	return x;
}

/* In a sequential container every layer of a residual network is a step with its own sum. */
typedef struct block {
	model *m;
	ebb_linear l;
	int i;
} block;

static ebb_tensor *block_forward(ebb_tape *t, void *ctx, ebb_tensor *x, const char *site)
{
	const block *b = ctx;
	ebb_tensor *h = (ebb_linear_forward)(t, &b->l, x, site);

	h = is_sigmoid(b->m, b->i) ? (ebb_sigmoid)(t, h, site) : (ebb_relu)(t, h, site);
	return (ebb_add)(t, x, h, site);
}

static void residual_sequential(model *m, block *blocks)
{
	ebb_params_free(m->p);
	m->p = ebb_params_new(7);
	m->net = ebb_sequential_new(m->p, "net");
	for (int i = 0; i + 1 < m->depth; i++) {
		blocks[i] = (block){.m = m, .i = i};
		blocks[i].l = ebb_linear_new(ebb_sequential_params(m->net), "fc", WIDTH, WIDTH,
			.init = init_of(m, i), .bias_init = bias_of(m, i));
		if (i == m->bad)
			HERE(m, 0), ebb_sequential_layer(m->net, block_forward, &blocks[i]);
		else
			ebb_sequential_layer(m->net, block_forward, &blocks[i]);
	}
	ebb_sequential_linear(m->net, WIDTH, CLASSES, .init = EBB_INIT(EBB_INIT_KAIMING_NORMAL));
}

/* ---- Training -------------------------------------------------------------------------------- */

/* A batch of clusters: noise around the centre of the class. */
static void fill(ebb_tensor *x, ebb_tensor *labels, uint64_t seed)
{
	ebb_init normal = EBB_INIT(EBB_INIT_NORMAL);
	ebb_tensor *centre = ebb_tensor_new(EBB_F32, EBB_SHAPE(CLASSES, WIDTH), false, NULL);
	float *row, *mid;
	int64_t *label = ebb_data_mutable(labels);

	ebb_init_fill(x, &normal, seed, 0, NULL);
	ebb_init_fill(centre, &normal, 99, 1, NULL);
	row = ebb_data_mutable(x);
	mid = ebb_data_mutable(centre);
	for (int n = 0; n < BATCH; n++) {
		label[n] = n % CLASSES;
		for (int k = 0; k < WIDTH; k++)
			row[n * WIDTH + k] =
				0.6f * row[n * WIDTH + k] + 0.8f * mid[label[n] * WIDTH + k];
	}
	ebb_tensor_free(centre);
}

static ebb_finding verdict_of(model *m, int seed, char *layer_path, char *where)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(BATCH, WIDTH), false, NULL);
	ebb_tensor *labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(BATCH), false, NULL);
	ebb_optim *opt = ebb_sgd(m->p, .lr = 0.01);
	ebb_flow *f = ebb_flow_new(t);
	char glob[32];

	snprintf(glob, sizeof glob, m->style == SEQUENTIAL ? "net.%d.*" : "fc%d.*",
		m->style == SEQUENTIAL ? 2 * m->bad : m->bad);
	if (m->fault == ZERO_UPDATE)
		ck_assert_int_gt(ebb_optim_scale(opt, glob, 0, 0), 0);
	for (m->trap.step = 0; m->trap.step < STEPS; m->trap.step++) {
		fill(x, labels, (uint64_t)(100 * seed + m->trap.step));
		ebb_tensor *loss = ebb_cross_entropy(t, forward(t, m, x), labels);
		ebb_params_zero_grad(m->p);
		ebb_backward(t, loss);
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	assert_healthy(t);
	ebb_finding v = ebb_flow_verdict(f);
	snprintf(layer_path, 100, "%s", v.layer);
	snprintf(where, 100, "%s", v.site);
	ebb_flow_free(f);
	ebb_optim_free(opt);
	ebb_tensor_free(x);
	ebb_tensor_free(labels);
	ebb_tape_free(t);
	return v;
}

/* ---- What is expected ------------------------------------------------------------------------ */

static bool is_expected_kind(const model *m, ebb_verdict_kind kind)
{
	switch (m->fault) {
	case SATURATED:
		return kind == EBB_VERDICT_SATURATED;
	case DEAD:
		return kind == EBB_VERDICT_DEAD;
	case EXPLODING:
		return kind == EBB_VERDICT_EXPLODING;
	case FROZEN:
		return kind == EBB_VERDICT_FROZEN;
	case NOT_A_NUMBER:
		return kind == EBB_VERDICT_NOT_FINITE;
	case ZERO_UPDATE:
		return kind == EBB_VERDICT_NOT_LEARNING;
	default:
		return m->wild ? kind == EBB_VERDICT_EXPLODING : kind == EBB_VERDICT_SATURATED;
	}
}

/* The step of a sequential container is a layer of its own: the weight's, or its nonlinearity's. */
static bool is_expected_layer(const model *m, const char *path)
{
	char a[40], b[40];

	if (m->style == SEQUENTIAL && m->fault == RESIDUAL) {
		snprintf(a, sizeof a, "net.%d", m->bad);
		snprintf(b, sizeof b, "net.%d.fc", m->bad);
	} else if (m->style == SEQUENTIAL) {
		snprintf(a, sizeof a, "net.%d", 2 * m->bad);
		snprintf(b, sizeof b, "net.%d", 2 * m->bad + 1);
	} else {
		snprintf(a, sizeof a, "fc%d", m->bad);
		snprintf(b, sizeof b, "act%d.fc%d", m->bad, m->bad);
	}
	return strcmp(path, a) == 0 || strcmp(path, b) == 0;
}

static bool is_expected_line(const model *m, const char *site)
{
	for (int k = 0; k < 3; k++) {
		const char *at = m->lines[k][0] ? strstr(site, m->lines[k]) : NULL;

		if (at && at[strlen(m->lines[k])] == '\0')
			return true;
	}
	return false;
}

static bool is_expected_step(const model *m, int64_t step)
{
	return m->fault == NOT_A_NUMBER ? step == BEGINS : step == 0;
}

/* ---- The suite ------------------------------------------------------------------------------- */

static bool try(fault_kind fault, style_kind style, int depth, int seed)
{
	static model m;
	static block blocks[DEEPEST];
	char path[100], site[100];

	model_new(&m, fault, style, depth, seed);
	if (fault == RESIDUAL && style == SEQUENTIAL)
		residual_sequential(&m, blocks);
	ebb_finding v = verdict_of(&m, seed, path, site);
	bool ok = is_expected_kind(&m, v.kind) && is_expected_layer(&m, path) &&
	          is_expected_line(&m, site) && is_expected_step(&m, v.step);
	if (!ok)
		printf("%s, %s, %d layers, seed %d: planted in layer %d (%s %s), found: %s in "
		       "\"%s\" at "
		       "%s, step %lld\n\t%s\n",
			fault_names[fault], style_names[style], depth, seed, m.bad, m.lines[0],
			m.lines[1], ebb_verdict_name(v.kind), path, site, (long long)v.step,
			v.sentence);
	ebb_params_free(m.p);
	return ok;
}

static void count(style_kind style, int depth)
{
	int right = 0, all = 0;

	for (int f = 0; f < FAULTS; f++)
		for (int seed = 1; seed <= SEEDS; seed++, all++)
			right += try((fault_kind)f, style, depth, seed);
	printf("%s, %d layers: %d of %d faults found, with layer, line and step\n",
		style_names[style], depth, right, all);
	ck_assert_int_ge(100 * right, 95 * all);
}

START_TEST(a_planted_fault_is_named_with_its_layer_and_line)
{
	static const int depths[] = {8, 24, DEEPEST};

	count((style_kind)(_i % STYLES), depths[_i / STYLES]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow-planted");
	TCase *c = tcase_create("faults");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, a_planted_fault_is_named_with_its_layer_and_line, 0, 3 * STYLES);
	suite_add_tcase(s, c);
	return run_suite(s);
}
