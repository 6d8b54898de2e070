/*
 * planted_more.c - the verdict names the layer, the line and the step of faults that differ from
 * those of planted.c: other nonlinearities, convolutions, sizes, optimizers and initial weights,
 * faults that begin in the middle of a run, and values that are not finite by several causes.
 */
#include "tests/flow/nets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE(kind) (1u << EBB_VERDICT_##kind)

/* A fault, and the networks in which it is planted. */
typedef struct plan {
	const char *name;
	net_fault fault;
	double factor;
	int begins;
	unsigned kinds; /* which verdicts are right */
	unsigned nets;  /* in which networks, by their numbers below; 0: all */
	int late;       /* the step may be up to so many later */
	bool each;      /* the loss does not show it: each step must be measured */
	enum { LAYER, BEFORE, ANYWHERE, FIRST } where;
} plan;

enum {
	RELU_8,
	RELU_24,
	RELU_50,
	RELU_WIDE,
	RELU_ADAM,
	RELU_DEFAULT,
	RELU_MOMENTUM,
	LEAKY,
	TANH_8,
	TANH_24,
	SIGMOID,
	GELU,
	RESIDUAL,
	CONV,
	CONV_BN,
	NETS
};
#define NET(name) (1u << (name))
enum {
	PLAIN = NET(RELU_8) | NET(RELU_24) | NET(RELU_50) | NET(RELU_WIDE) | NET(RELU_ADAM) |
	        NET(RELU_DEFAULT) | NET(RELU_MOMENTUM) | NET(CONV),
	RELUS = PLAIN | NET(CONV_BN) | NET(RESIDUAL),
	ALL = (1 << NETS) - 1,
	NO_NORM = ALL & ~NET(CONV_BN),
	MLPS = NO_NORM & ~NET(CONV)
};

static ebb_tensor *leaky(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_leaky_relu)(t, x, 0.1, site);
}

static ebb_tensor *gelu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_gelu)(&(ebb_gelu_args){.t = t, .x = x, .site = site});
}

static net net_of(int kind)
{
	ebb_init he = EBB_INIT(EBB_INIT_KAIMING_NORMAL), lecun = EBB_INIT(EBB_INIT_LECUN_NORMAL);
	net m = {.depth = 8,
		.width = 48,
		.batch = 64,
		.steps = 8,
		.phi = ebb_relu,
		.init = he,
		.lr = 0.01,
		.begins = -1};

	switch (kind) {
	case RELU_24:
		m.depth = 24, m.width = 64;
		break;
	case RELU_50:
		m.depth = 50;
		break;
	case RELU_WIDE:
		m.width = 256, m.batch = 128;
		break;
	case RELU_ADAM:
		m.width = 16, m.batch = 16, m.optim = NET_ADAM, m.lr = 1e-3;
		break;
	case RELU_DEFAULT:
		m.init = EBB_INIT(EBB_INIT_DEFAULT);
		break;
	case RELU_MOMENTUM:
		m.optim = NET_MOMENTUM, m.batch = 128;
		break;
	case LEAKY:
		m.phi = leaky, m.depth = 24;
		break;
	case TANH_8:
		m.phi = ebb_tanh, m.init = lecun;
		break;
	case TANH_24:
		m.phi = ebb_tanh, m.init = lecun, m.depth = 24, m.optim = NET_ADAM, m.lr = 1e-3;
		break;
	case SIGMOID:
		m.phi = ebb_sigmoid, m.init = EBB_INIT(EBB_INIT_XAVIER_NORMAL, .gain = 4);
		m.depth = 5;
		break;
	case GELU:
		m.phi = gelu, m.optim = NET_ADAM, m.lr = 1e-3;
		break;
	case RESIDUAL:
		m.kind = NET_RESIDUAL, m.depth = 24;
		m.init = EBB_INIT(EBB_INIT_NORMAL, .std = 0.03);
		break;
	case CONV:
		m.kind = NET_CONV, m.width = 16, m.batch = 16;
		break;
	case CONV_BN:
		m.kind = NET_CONV_BN, m.width = 16, m.batch = 16, m.depth = 10;
		break;
	default:
		break;
	}
	return m;
}

static const char *const net_names[NETS] = {"relu 8", "relu 24", "relu 50", "relu, 256 wide",
	"relu, Adam, 16 wide", "relu, PyTorch's initial values", "relu, momentum", "leaky relu 24",
	"tanh 8", "tanh 24, Adam", "sigmoid 5", "gelu, Adam", "residual 24", "conv 8",
	"conv with batch norm 10"};

static const plan plans[] = {
	{"weights x 30", LARGE_WEIGHTS, 30, 0, ONE(EXPLODING) | ONE(BADLY_INITIALISED),
		.nets = PLAIN | NET(LEAKY) | NET(GELU)},
	{"weights x 100", LARGE_WEIGHTS, 100, 0, ONE(EXPLODING) | ONE(BADLY_INITIALISED),
		.nets = PLAIN | NET(LEAKY) | NET(GELU)},
	{"weights x 1000", LARGE_WEIGHTS, 1000, 0, ONE(EXPLODING),
		.nets = PLAIN | NET(LEAKY) | NET(GELU) | NET(RESIDUAL)},
	{"weights x 1e-5", SMALL_WEIGHTS, 1e-5, 0, ONE(VANISHING) | ONE(BADLY_INITIALISED),
		.nets = NO_NORM & ~NET(RESIDUAL)},
	{"weights 0", ZERO_WEIGHTS, 0, 0, ONE(BADLY_INITIALISED), .nets = NO_NORM & ~NET(RESIDUAL)},
	{"weights equal", EQUAL_WEIGHTS, 0.1, 0, ONE(BADLY_INITIALISED), .nets = 0},
	{"bias -10", DEAD_BIAS, -10, 0, ONE(DEAD), .nets = RELUS | NET(GELU)},
	{"bias -100", DEAD_BIAS, -100, 0, ONE(DEAD), .nets = RELUS | NET(GELU)},
	{"60 % of the biases -100", DEAD_PART, -100, 0, ONE(DEAD), .nets = NET(RELU_WIDE)},
	{"bias -100 from step 5", DEAD_LATER, -100, 5, ONE(DEAD), .nets = RELUS | NET(GELU)},
	{"saturated", SATURATED, 50, 0, ONE(SATURATED),
		.nets = NET(TANH_8) | NET(TANH_24) | NET(SIGMOID)},
	{"saturated from step 5", SATURATED_LATER, 50, 5, ONE(SATURATED),
		.nets = NET(TANH_8) | NET(TANH_24) | NET(SIGMOID)},
	{"detached result", DETACHED, 0, 0, ONE(FROZEN), .nets = 0},
	{"detached weight", DETACHED_WEIGHT, 0, 0, ONE(FROZEN), .nets = MLPS},
	{"result not used", UNUSED, 0, 0, ONE(FROZEN), .nets = MLPS},
	{"learning rate 0 for a layer", NO_UPDATE, 0, 0, ONE(NOT_LEARNING), .nets = 0},
	{"layer not in the optimizer", LEFT_OUT, 0, 0, ONE(NOT_LEARNING), .nets = 0},
	{"0/0", ZERO_BY_ZERO, 0, 3, ONE(NOT_FINITE), .nets = 0},
	{"0 log 0", LOG_OF_ZERO, 0, 3, ONE(NOT_FINITE), .nets = 0},
	{"root at 0", ROOT_OF_ZERO, 0, 3, ONE(NOT_FINITE), .each = true},
	{"exp overflows", OVERFLOWING, 0, 3, ONE(NOT_FINITE), .each = true},
	{"NaN in a weight", NAN_WEIGHT, 0, 3, ONE(NOT_FINITE), .nets = 0},
	{"NaN in the input", NAN_INPUT, 0, 3, ONE(NOT_FINITE), .where = FIRST},
	/* The layer itself is not known: the gradient ends at the one before it.  A skip connection
	 * past it carries the gradient on. */
	{"recording off", UNRECORDED, 0, 0, ONE(FROZEN), .nets = ALL & ~NET(RESIDUAL),
		.where = BEFORE},
	{"learning rate 1e-12", TINY_RATE, 0, 0, ONE(NOT_LEARNING), .where = ANYWHERE},
	{"learning rate 1e3", DIVERGING, 1e3, 2,
		ONE(NOT_FINITE) | ONE(EXPLODING) | ONE(DEAD) | ONE(SATURATED), .late = 2,
		.where = ANYWHERE},
	{"learning rate 100 in step 4", SPIKE, 100, 4,
		ONE(NOT_FINITE) | ONE(EXPLODING) | ONE(DEAD) | ONE(SATURATED),
		.nets = PLAIN & ~NET(RELU_DEFAULT), .late = 1, .where = ANYWHERE},
};
enum { PLANS = sizeof plans / sizeof *plans, SEEDS = 3 };

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return k > 0 && n >= k && strcmp(s + n - k, end) == 0;
}

static bool names_layer(int layer, const char *path)
{
	static const char *const names[] = {"fc", "conv", "bn"};
	char name[24];

	for (int k = 0; k < 3; k++) {
		snprintf(name, sizeof name, "%s%d", names[k], layer);
		const char *dot = strrchr(path, '.');
		if (strcmp(dot ? dot + 1 : path, name) == 0)
			return true;
	}
	return false;
}

static bool names_line(const net *m, const char *site)
{
	for (int k = 0; k < 4; k++)
		if (ends_with(site, m->lines[k]))
			return true;
	return false;
}

static bool verbose;

static bool try(const plan *a, int kind, uint64_t seed)
{
	net m = net_of(kind);
	char text[2000];

	m.seed = seed;
	m.fault = a->fault;
	m.factor = a->factor;
	m.begins = a->begins;
	/* The last seed measures every fifth step. */
	m.every = seed == SEEDS && !a->each ? 5 : 1;
	m.steps = seed == SEEDS ? 21 : m.steps;
	srand((unsigned)(97 * seed + 13 * (unsigned)kind + (unsigned)a->fault));
	m.bad = 1 + rand() % (m.depth - 2);
	net_new(&m);
	ebb_finding v = net_train(&m, text, sizeof text);
	net_free(&m);
	int at = a->where == BEFORE ? m.bad - 1 : a->where == FIRST ? 0 : m.bad;
	bool right = a->kinds & 1u << v.kind,
	     layer = a->where == ANYWHERE || names_layer(at, v.layer),
	     line = a->where != LAYER || names_line(&m, v.site),
	     step = v.step >= a->begins && v.step <= a->begins + a->late * m.every;
	bool ok = right && layer && line && step;
	if (!ok || verbose)
		printf("%s, %s, seed %d: %s%s%s%s%s in layer %d (%s, %s)\n%s\n", a->name,
			net_names[kind], (int)seed, ok ? "found" : "MISSED", right ? "" : " kind",
			layer ? "" : " layer", line ? "" : " line", step ? "" : " step", m.bad,
			m.lines[0], m.lines[1], text);
	return ok;
}

START_TEST(a_planted_fault_is_named)
{
	const plan *a = &plans[_i];
	int right = 0, all = 0;

	for (int kind = 0; kind < NETS; kind++)
		for (int seed = 1; seed <= SEEDS; seed++) {
			if (a->nets && !(a->nets & NET(kind)))
				continue;
			right += try(a, kind, (uint64_t)seed);
			all++;
		}
	printf("%s: %d of %d found, with layer, line and step\n", a->name, right, all);
	ck_assert_int_ge(100 * right, 95 * all);
}
END_TEST

/* ---- Whole networks -------------------------------------------------------------------------- */

START_TEST(a_deep_sigmoid_network_vanishes_by_its_slopes)
{
	for (int seed = 1; seed <= 3; seed++) {
		net m = net_of(SIGMOID);
		char text[2000];

		m.depth = 24;
		m.init = EBB_INIT(EBB_INIT_XAVIER_NORMAL);
		m.bad = -1;
		m.seed = (uint64_t)seed;
		net_new(&m);
		ebb_finding v = net_train(&m, text, sizeof text);
		net_free(&m);
		printf("24 layers of sigmoid: %s", text);
		ck_assert_msg(v.kind == EBB_VERDICT_VANISHING && v.step == 0, "%s", text);
		ck_assert_msg(strstr(text, "phi' 0.2"), "%s", text);
		ck_assert_msg(strstr(text, "The slopes are small"), "%s", text);
	}
}
END_TEST

/* The faults of one block of a ResNet-20, by the parameter that is overwritten. */
static const struct {
	const char *parameter;
	double value, factor; /* overwritten, or else multiplied */
	unsigned kinds;
	const char *layer; /* NULL: the parameter's */
} blocks[] = {
	{"layer2.1.bn1.bias", -100, 0, ONE(DEAD), NULL},
	{"layer1.2.bn2.bias", -1e4, 0, ONE(DEAD), "layer1.2"},
	{"layer3.0.bn1.weight", 0, 1e4, ONE(EXPLODING) | ONE(BADLY_INITIALISED), "layer3.0"},
	{"layer1.1.bn2.weight", 0, 1e4, ONE(EXPLODING) | ONE(BADLY_INITIALISED), "layer1.1"},
	{"layer2.2.conv2.weight", NAN, 0, ONE(NOT_FINITE), NULL},
};

START_TEST(a_bad_block_of_a_resnet_is_named)
{
	ebb_params *p = ebb_params_new(3);
	ebb_cifar_resnet resnet = ebb_cifar_resnet_new(p, .depth = 20);
	ebb_tape *t = ebb_tape_new();
	ebb_optim *opt = ebb_sgd(p, .lr = 0.01, .momentum = 0.9);
	ebb_flow *f = ebb_flow_new(t);
	ebb_tensor *w = ebb_params_find(p, blocks[_i].parameter);
	float *x = ebb_data_mutable(w);

	for (int64_t k = 0; k < ebb_count(w); k++)
		x[k] = (float)(blocks[_i].factor != 0 ? blocks[_i].factor * (double)x[k]
						      : blocks[_i].value);
	for (int step = 0; step < 4; step++) {
		ebb_tensor *image =
			clusters(t, EBB_SHAPE(8, 3, 32, 32), NETS_CLASSES, (uint64_t)step);
		ebb_tensor *loss = ebb_cross_entropy(t, ebb_cifar_resnet_forward(t, &resnet, image),
			cluster_labels(t, 8, NETS_CLASSES));
		ebb_params_zero_grad(p);
		ebb_backward(t, loss);
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	ebb_finding v = ebb_flow_verdict(f);
	const char *dot = strrchr(blocks[_i].parameter, '.');
	char layer[40];
	snprintf(layer, sizeof layer, "%.*s", (int)(dot - blocks[_i].parameter),
		blocks[_i].parameter);
	printf("ResNet-20, %s: %s\n", blocks[_i].parameter, v.sentence);
	ck_assert_msg(blocks[_i].kinds & 1u << v.kind, "%s", v.sentence);
	ck_assert_msg(strstr(v.layer, blocks[_i].layer ? blocks[_i].layer : layer), "%s", v.layer);
	ck_assert_int_eq(v.step, 0);
	ebb_flow_free(f);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow-planted-more");
	TCase *c = tcase_create("faults");

	setvbuf(stdout, NULL, _IOLBF, 0);
	verbose = getenv("EBB_VERBOSE") != NULL;
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, a_planted_fault_is_named, 0, PLANS);
	tcase_add_test(c, a_deep_sigmoid_network_vanishes_by_its_slopes);
	tcase_add_loop_test(
		c, a_bad_block_of_a_resnet_is_named, 0, (int)(sizeof blocks / sizeof *blocks));
	suite_add_tcase(s, c);
	return run_suite(s);
}
