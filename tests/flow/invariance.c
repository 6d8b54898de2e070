/*
 * invariance.c - the verdicts of one step do not depend on the scale of the loss or the size of the
 * batch: kind, layer and line are the same for the loss times 1e6 and 1e-6, and for 8 times the
 * batch.
 */
#include "tests/flow/nets.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	net net;
} cases[] = {
	{"ReLU, 8 layers", {.depth = 8}},
	{"ReLU, 24 layers", {.depth = 24}},
	{"ReLU, 50 layers", {.depth = 50}},
	{"tanh, 24 layers",
		{.depth = 24, .phi = ebb_tanh, .init = {.kind = EBB_INIT_LECUN_NORMAL}}},
	{"residual", {.kind = NET_RESIDUAL, .depth = 24, .init = {EBB_INIT_NORMAL, .std = 0.03}}},
	{"convolutions", {.kind = NET_CONV, .depth = 8, .width = 12}},
	{"batch norm", {.kind = NET_CONV_BN, .depth = 24, .width = 12}},
	{"sigmoid, 24 layers",
		{.depth = 24, .phi = ebb_sigmoid, .init = {.kind = EBB_INIT_XAVIER_NORMAL}}},
	{"too large weights", {.depth = 24, .init = {EBB_INIT_NORMAL, .std = 0.5}}},
	{"weights x 30", {.depth = 24, .fault = LARGE_WEIGHTS, .factor = 30}},
	{"weights x 1e4", {.depth = 24, .fault = LARGE_WEIGHTS, .factor = 1e4}},
	{"weights x 1e-5", {.depth = 24, .fault = SMALL_WEIGHTS, .factor = 1e-5}},
	{"weights 0", {.depth = 24, .fault = ZERO_WEIGHTS}},
	{"weights equal", {.depth = 24, .fault = EQUAL_WEIGHTS, .factor = 0.1}},
	{"bias -100", {.depth = 24, .fault = DEAD_BIAS, .factor = -100}},
	{"saturated", {.depth = 24,
			      .phi = ebb_tanh,
			      .init = {.kind = EBB_INIT_LECUN_NORMAL},
			      .fault = SATURATED,
			      .factor = 50}},
	{"detached", {.depth = 24, .fault = DETACHED}},
	{"convolution x 1000", {.kind = NET_CONV,
				       .depth = 8,
				       .width = 12,
				       .fault = LARGE_WEIGHTS,
				       .factor = 1000}},
	{"residual x 1e4", {.kind = NET_RESIDUAL,
				   .depth = 24,
				   .init = {EBB_INIT_NORMAL, .std = 0.03},
				   .fault = LARGE_WEIGHTS,
				   .factor = 1e4}},
};
enum { CASES = sizeof cases / sizeof *cases };

static net net_of(int i, uint64_t seed)
{
	net m = cases[i].net;

	m.width = m.width ? m.width : 48;
	m.batch = 32;
	m.phi = m.phi ? m.phi : ebb_relu;
	if (m.init.kind == EBB_INIT_DEFAULT)
		m.init = EBB_INIT(EBB_INIT_KAIMING_NORMAL);
	m.lr = 1e-30;
	m.steps = 1;
	m.seed = seed;
	m.bad = m.fault ? m.depth / 2 - 1 : -1;
	return m;
}

static bool is_same(const ebb_finding *a, const ebb_finding *b)
{
	return a->kind == b->kind && strcmp(a->layer, b->layer) == 0 &&
	       strcmp(a->site, b->site) == 0;
}

START_TEST(the_verdict_does_not_depend_on_the_scale)
{
	static const struct {
		const char *name;
		double scale;
		int batch;
	} changes[] = {{"the loss", 0, 1}, {"the loss * 1e6", 1e6, 1}, {"the loss * 1e-6", 1e-6, 1},
		{"8 times the batch", 0, 8}};

	for (uint64_t seed = 1; seed <= 4; seed++) {
		ebb_finding first = {0};
		char layer[400] = "", site[400] = "", text[2000];

		for (int k = 0; k < 4; k++) {
			net m = net_of(_i, seed);

			m.scale = changes[k].scale;
			m.batch *= changes[k].batch;
			net_new(&m);
			ebb_finding v = net_train(&m, text, sizeof text);
			net_free(&m);
			if (k == 0) {
				first = v;
				snprintf(layer, sizeof layer, "%s", v.layer);
				snprintf(site, sizeof site, "%s", v.site);
				first.layer = layer;
				first.site = site;
				printf("%s: %s", cases[_i].name, text);
			}
			ck_assert_msg((v.kind != EBB_VERDICT_HEALTHY) ==
					      (m.fault || strstr(cases[_i].name, "large") ||
						      strstr(cases[_i].name, "sigmoid")),
				"%s, seed %d, %s: %s", cases[_i].name, (int)seed, changes[k].name,
				text);
			ck_assert_msg(is_same(&first, &v),
				"%s, seed %d, %s: %s in %s, and before %s", cases[_i].name,
				(int)seed, changes[k].name, text, v.layer, first.sentence);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow-invariance");
	TCase *c = tcase_create("scales");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, the_verdict_does_not_depend_on_the_scale, 0, CASES);
	suite_add_tcase(s, c);
	return run_suite(s);
}
