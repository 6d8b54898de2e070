/* judge.c - healthy profiles give no finding; persistence, order, the alarm, and texts. */
#include "tests/flow/synthetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Limits ---- */

START_TEST(limits_have_defaults_and_sources)
{
	ebb_verdict_limits l = ebb_verdict_limits_of(NULL);
	ebb_verdict_limits given = ebb_verdict_limits_of(&(ebb_verdict_limits){.dead = 0.7});
	const char *text = ebb_verdict_limits_text();
	static const char *const lines[] = {"vanishing 1e-3 ", "exploding 1e3 ", "dead 0.5 ",
		"active 0.01 ", "saturated 0.5 ", "slope 0.05 ", "outlier 20 ", "update 1e-7 ",
		"Glorot & Bengio 2010", "Hampel 1974", "Yang et al. 2019", "Pascanu"};

	ck_assert(l.vanishing == 1e-3 && l.exploding == 1e3 && l.dead == 0.5 && l.active == 0.01);
	ck_assert(l.saturated == 0.5 && l.slope == 0.05 && l.outlier == 20 && l.update == 1e-7);
	ck_assert(given.dead == 0.7 && given.active == 0.01);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		ck_assert_msg(strstr(text, lines[i]), "%s is not in %s", lines[i], text);
}
END_TEST

/* ---- Healthy profiles ---- */

static uint64_t seed;

static double uniform(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 11) * 0x1p-53;
}

static double normal(void)
{
	double r = sqrt(-2 * log(1 - uniform()));

	return r * cos(2 * acos(-1) * uniform());
}

START_TEST(plain_relu_networks_are_healthy)
{
	for (int depth = 2; depth <= 50; depth++) {
		begin_relu(depth);
		build();
		judge_steps(1);
		assert_none();
		judge_steps(4);
		assert_none();
		end();
	}
}
END_TEST

/* Lognormal factors with deviation 0.5, and the same norm at both ends. */
START_TEST(random_factors_are_healthy)
{
	for (int run = 0; run < 300; run++) {
		int depth = DEPTHS[run % 3];
		double mean = 0;
		begin_relu(depth);
		seed = (uint64_t)run;
		for (int i = 0; i < depth; i++)
			mean += (net->l[i].w = 0.5 * normal()) / depth;
		for (int i = 0; i < depth; i++)
			net->l[i].w = sqrt(2) * exp(net->l[i].w - mean);
		build();
		judge_steps(3);
		assert_none();
		end();
	}
}
END_TEST

START_TEST(small_networks_with_unequal_factors_are_healthy)
{
	static const double factors[][5] = {{0.2, 5, 1, 0.3, 2}, {5, 0.2, 0.2, 5, 1},
		{1, 1, 1, 1, 0.2}, {1, 1, 5, 1, 1}, {4, 4, 0.2, 0.2, 0.2}};

	for (int depth = 2; depth <= 5; depth++)
		for (int k = 0; k < 5; k++) {
			begin_relu(depth);
			for (int i = 0; i < depth; i++)
				net->l[i].w = factors[k][i];
			build();
			judge_steps(3);
			assert_none();
			end();
		}
}
END_TEST

START_TEST(batch_norm_at_initialisation_is_healthy)
{
	for (int d = 0; d < 3; d++) {
		begin_relu(DEPTHS[d]);
		/* A badly scaled weight is compensated by its normalisation. */
		for (int i = 0; i < net->depth; i++) {
			net->l[i].w = i == 3 ? 1e4 : i == 5 ? 1e-4 : 1.4;
			net->l[i].norm = 1.21 / net->l[i].w / net->l[i].phi;
		}
		build();
		judge_steps(3);
		assert_none();
		end();
	}
}
END_TEST

START_TEST(residual_networks_with_tiny_branches_are_healthy)
{
	static const double factors[] = {1.4, 1e-2, 1e-6, 0};

	for (int d = 0; d < 3; d++)
		for (int k = 0; k < 4; k++) {
			begin_relu(DEPTHS[d]);
			net->residual = true;
			for (int i = 2; i + 1 < net->depth; i += 2) {
				net->l[i].w = i > 2 && k == 0 ? 0.2 : factors[k];
				net->l[i].op = NULL;
			}
			build();
			judge_steps(3);
			assert_none();
			end();
			/* One branch only. */
			begin_relu(DEPTHS[d]);
			net->residual = true;
			for (int i = 2; i + 1 < net->depth; i += 2) {
				net->l[i].w = i == 4 ? factors[k] : 0.3;
				net->l[i].op = NULL;
			}
			build();
			judge_steps(3);
			assert_none();
			end();
		}
}
END_TEST

/* Of factors that differ by 100, one that differs by 80 from the median is no outlier. */
START_TEST(widely_spread_factors_have_no_outliers)
{
	begin_relu(24);
	for (int i = 0; i < 24; i++)
		net->l[i].w = i == 12 ? 80 * sqrt(2) : (i % 2 ? 10 : 0.1) * sqrt(2);
	build();
	judge_steps(3);
	assert_none();
	end();
}
END_TEST

/* A branch with a larger factor than others, whose result is still small. */
START_TEST(a_branch_that_contributes_little_is_healthy)
{
	begin_relu(24);
	net->residual = true;
	for (int i = 0; i < 24; i++) {
		net->l[i].w = i == 9 ? 7 : 0.1;
		net->l[i].op = i % 2 && i < 23 ? "relu" : NULL;
	}
	net->l[0].op = "relu";
	build();
	for (int s = 0; s < 3; s++) {
		measure();
		for (int i = 0; i < net->rows; i++)
			net->m[i].rms *= 100;
		judge();
	}
	assert_none();
	end();
}
END_TEST

START_TEST(one_layer_with_a_small_gradient_is_healthy)
{
	begin_relu(24);
	build();
	for (int s = 0; s < 3; s++) {
		measure();
		net->m[0].grad_l2 *= 1e-5;
		judge();
	}
	assert_none();
	end();
}
END_TEST

START_TEST(half_dead_deep_relu_networks_are_healthy)
{
	begin_relu(50);
	for (int i = 0; i < 50; i++)
		net->l[i].dead = i < 5 ? 0.1 * i : 0.5 + 0.2 * (uniform() - 0.5);
	build();
	judge_steps(3);
	assert_none();
	end();
}
END_TEST

START_TEST(a_sure_prediction_is_healthy)
{
	begin_relu(8);
	net->l[7].op = "sigmoid";
	net->l[7].phi = 0.2;
	build();
	judge_steps(1);
	net->l[7].saturated = 0.95;
	net->loss = 0.1;
	judge_steps(3);
	assert_none();
	end();
	/* Without a smaller loss it is saturated. */
	begin_relu(8);
	net->l[7].op = "sigmoid";
	net->l[7].saturated = 0.95;
	build();
	judge_steps(2);
	assert_only(EBB_VERDICT_SATURATED, net->slope[7], 0);
	end();
}
END_TEST

START_TEST(a_last_layer_that_begins_with_0_is_healthy)
{
	begin_relu(8);
	net->l[7].w = 0;
	build();
	judge_steps(1);
	assert_none();
	net->l[7].w = 0.1;
	judge_steps(3);
	assert_none();
	end();
}
END_TEST

START_TEST(models_on_one_tape_are_not_compared)
{
	begin_relu(24);
	build();
	net->row[net->weight[12]].before = -1;
	for (int s = 0; s < 3; s++) {
		measure();
		for (int i = 0; i < net->weight[12]; i++)
			net->m[i].grad_l2 *= 1e-5;
		judge();
	}
	assert_none();
	/* As one model, its gradient has vanished. */
	net->row[net->weight[12]].before = net->weight[12] - 1;
	for (int s = 0; s < 2; s++) {
		measure();
		for (int i = 0; i < net->weight[12]; i++)
			net->m[i].grad_l2 *= 1e-5;
		judge();
	}
	assert_only(EBB_VERDICT_VANISHING, net->weight[11], 3);
	end();
}
END_TEST

START_TEST(a_schedule_that_ends_near_0_is_healthy)
{
	begin_relu(8);
	build();
	judge_steps(2);
	for (int i = 0; i < 8; i++)
		net->l[i].update = 1e-9;
	judge_steps(5);
	assert_none();
	end();
}
END_TEST

/* ---- Persistence ---- */

static void saturate(int layer, double share)
{
	net->l[layer].saturated = share;
	judge_steps(1);
}

START_TEST(a_finding_is_certain_in_the_second_step)
{
	begin(8, "tanh", 1.2, 0.8);
	build();
	/* The only step so far is all there is to judge. */
	saturate(3, 0.9);
	assert_only(EBB_VERDICT_SATURATED, net->slope[3], 0);
	/* It did not hold again. */
	saturate(3, 0.1);
	assert_none();
	saturate(3, 0.9);
	assert_none();
	saturate(3, 0.1);
	saturate(3, 0.9);
	saturate(3, 0.9);
	assert_only(EBB_VERDICT_SATURATED, net->slope[3], 4);
	/* A certain finding stays. */
	ebb_finding x;
	saturate(3, 0.1);
	saturate(3, 0.9);
	assert_only(EBB_VERDICT_SATURATED, net->slope[3], 4);
	ck_assert(ebb_flow_finding(&net->f, 0, &x));
	ck_assert_int_eq(x.samples, 3);
	ck_assert_int_eq(x.last, 7);
	ck_assert(x.value == 0.9 && x.limit == 0.5);
	end();
}
END_TEST

START_TEST(a_finding_stays_at_its_layer)
{
	begin(8, "tanh", 1.2, 0.8);
	build();
	saturate(5, 0.6);
	/* Later another layer saturates, too. */
	saturate(2, 0.95);
	saturate(2, 0.95);
	assert_only(EBB_VERDICT_SATURATED, net->slope[5], 0);
	end();
}
END_TEST

START_TEST(not_learning_takes_three_steps)
{
	begin_relu(8);
	build();
	net->l[2].update = 0;
	judge_steps(2);
	assert_none();
	judge_steps(1);
	assert_only(EBB_VERDICT_NOT_LEARNING, net->weight[2], 0);
	end();
}
END_TEST

START_TEST(findings_are_in_the_order_in_which_they_began)
{
	static const ebb_verdict_kind expected[] = {EBB_VERDICT_SATURATED, EBB_VERDICT_FROZEN,
		EBB_VERDICT_DEAD, EBB_VERDICT_NOT_LEARNING};
	ebb_finding x;

	begin_relu(24);
	net->l[20].op = "tanh";
	build();
	saturate(20, 0.9);
	net->l[3].dead = 0.8;
	net->l[22].update = 0;
	net->row[net->weight[21]].frozen = "fc21.bias";
	judge_steps(4);
	ck_assert_msg(ebb_flow_findings(&net->f) == 4, "%s", all_findings());
	for (int i = 0; i < 4; i++) {
		ck_assert(ebb_flow_finding(&net->f, i, &x));
		ck_assert_msg(x.kind == expected[i], "%d:%s", i, all_findings());
		ck_assert_int_eq(x.step, i > 0);
	}
	ck_assert(!ebb_flow_finding(&net->f, 4, &x) && !ebb_flow_finding(&net->f, -1, &x));
	end();
}
END_TEST

START_TEST(findings_of_one_step_are_in_the_order_of_their_kinds)
{
	ebb_finding x;

	begin_relu(24);
	net->l[10].w = 0;
	net->l[20].op = "tanh";
	build();
	saturate(20, 0.9);
	saturate(20, 0.9);
	ck_assert_int_eq(ebb_flow_findings(&net->f), 2);
	ck_assert(ebb_flow_finding(&net->f, 0, &x) && x.kind == EBB_VERDICT_BADLY_INITIALISED);
	ck_assert(ebb_flow_finding(&net->f, 1, &x) && x.kind == EBB_VERDICT_SATURATED);
	end();
}
END_TEST

/* A finding that held once does not count as begun then. */
START_TEST(a_succession_that_was_interrupted_begins_anew)
{
	ebb_finding x;

	begin(8, "tanh", 1.2, 0.8);
	build();
	saturate(3, 0.9);
	net->l[6].update = 0;
	saturate(3, 0);
	judge_steps(2);
	saturate(3, 0.9);
	saturate(3, 0.9);
	ck_assert_int_eq(ebb_flow_findings(&net->f), 2);
	ck_assert(ebb_flow_finding(&net->f, 0, &x));
	ck_assert(x.kind == EBB_VERDICT_NOT_LEARNING && x.step == 1);
	ck_assert(ebb_flow_finding(&net->f, 1, &x));
	ck_assert(x.kind == EBB_VERDICT_SATURATED && x.step == 4);
	ck_assert_msg(strstr(x.sentence, "since step 4"), "%s", x.sentence);
	end();
}
END_TEST

/* ---- The alarm ---- */

static struct {
	int calls;
	ebb_finding last;
} heard;

static void hear(void *ctx, const ebb_finding *x)
{
	ck_assert_ptr_eq(ctx, &heard);
	heard.calls++;
	heard.last = *x;
	/* An alarm may read. */
	ck_assert_int_eq(ebb_flow_findings(&net->f) > 0, net->f.measured > 0);
}

START_TEST(the_alarm_is_called_once_when_a_finding_is_certain)
{
	begin(8, "tanh", 1.2, 0.8);
	build();
	net->f.alarm = hear;
	net->f.ctx = &heard;
	memset(&heard, 0, sizeof heard);
	saturate(3, 0.9);
	ck_assert_int_eq(heard.calls, 0);
	saturate(3, 0.9);
	ck_assert_int_eq(heard.calls, 1);
	ck_assert_int_eq(heard.last.kind, EBB_VERDICT_SATURATED);
	ck_assert_str_eq(heard.last.layer, "fc3");
	saturate(3, 0.9);
	ck_assert_int_eq(heard.calls, 1);
	/* At once. */
	measure();
	net->m[4].not_finite = 3;
	judge();
	ck_assert_int_eq(heard.calls, 2);
	ck_assert_int_eq(heard.last.kind, EBB_VERDICT_NOT_FINITE);
	end();
}
END_TEST

/* ---- Texts ---- */

START_TEST(texts_fit_into_their_width)
{
	static const int widths[] = {100, 40, 10, 1};

	begin_relu(8);
	net->l[3].dead = 1;
	build();
	net->row[net->slope[3]].site =
		"a/\u00e4\u00f6\u00fc/very/long/path/that/goes/on/and/on/and/on/and/"
		"on/and/on/and/on/and/on/and/on/and/on/net.c:40";
	net->row[net->slope[3]].added = "build.c:12";
	judge_steps(2);
	for (int k = 0; k < 4; k++) {
		ebb_text text = {0};
		ck_assert(ebb_flow_findings_text(&net->f, widths[k], &text));
		for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"))
			ck_assert_msg(ebb_columns(line) <= widths[k], "%d: %s", widths[k], line);
		ebb_text_free(&text);
	}
	ebb_text text = {0};
	ebb_finding x = ebb_flow_verdict(&net->f);
	ck_assert_str_eq(x.site, "build.c:12");
	ck_assert(ebb_flow_findings_text(&net->f, 0, &text));
	ck_assert_msg(
		strstr(text.data, x.sentence) && strstr(text.data, x.advice), "%s", text.data);
	ck_assert_msg(strstr(text.data, "(added at build.c:12, run at ...") &&
			      strstr(text.data, "net.c:40)"),
		"%s", text.data);
	ebb_text_free(&text);
	end();
}
END_TEST

START_TEST(the_healthy_sentence_has_its_numbers)
{
	ebb_text text = {0};

	begin_relu(8);
	build();
	ck_assert_str_eq(ebb_flow_verdict(&net->f).sentence, "Nothing was measured.");
	judge_steps(1);
	net->loss = 0.5;
	judge_steps(1);
	net->f.step = 1;
	ck_assert_str_eq(ebb_flow_verdict(&net->f).sentence,
		"Healthy: the gradient reaches all 8 layers (norms from 1 to 1), the weights of "
		"each "
		"multiply it by 1.41 (geometric mean); loss 2.3 -> 0.5 in 2 steps.");
	ck_assert(ebb_flow_findings_text(&net->f, 0, &text));
	ck_assert_msg(!strncmp(text.data, "Healthy: the", 12), "%s", text.data);
	ebb_text_free(&text);
	ck_assert_int_eq(ebb_flow_status(NULL), 2);
	ck_assert_int_eq(ebb_flow_findings(NULL), 0);
	ck_assert_int_eq(ebb_flow_verdict(NULL).kind, EBB_VERDICT_HEALTHY);
	ck_assert(!ebb_flow_findings_text(NULL, 0, &text));
	end();
}
END_TEST

/* ---- Memory ---- */

START_TEST(refused_memory_loses_the_finding_only)
{
	counting_allocator a;

	for (int fail = 0; fail < 3; fail++) {
		begin_relu(8);
		net->l[3].dead = 1;
		build();
		counting_allocator_install(&a);
		a.fail_at = fail;
		judge_steps(2);
		ebb_flow_status(&net->f);
		bool refused = a.refused > 0;
		a.fail_at = -1;
		ck_assert_int_eq(net->f.failed, refused);
		judge_steps(2);
		assert_first(EBB_VERDICT_DEAD, net->slope[3], fail < 2 ? 1 : 2);
		/* Texts without memory. */
		ebb_text text = {0};
		a.fail_at = a.calls;
		ck_assert(!ebb_flow_findings_text(&net->f, 80, &text));
		ebb_text_free(&text);
		end();
		ck_assert_int_eq(a.live, 0);
		ck_assert_int_eq(a.wrong, 0);
		counting_allocator_remove();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("judge");
	TCase *healthy = tcase_create("healthy"), *list = tcase_create("findings");

	tcase_add_test(healthy, limits_have_defaults_and_sources);
	tcase_add_test(healthy, plain_relu_networks_are_healthy);
	tcase_add_test(healthy, random_factors_are_healthy);
	tcase_add_test(healthy, small_networks_with_unequal_factors_are_healthy);
	tcase_add_test(healthy, batch_norm_at_initialisation_is_healthy);
	tcase_add_test(healthy, residual_networks_with_tiny_branches_are_healthy);
	tcase_add_test(healthy, widely_spread_factors_have_no_outliers);
	tcase_add_test(healthy, a_branch_that_contributes_little_is_healthy);
	tcase_add_test(healthy, one_layer_with_a_small_gradient_is_healthy);
	tcase_add_test(healthy, half_dead_deep_relu_networks_are_healthy);
	tcase_add_test(healthy, a_sure_prediction_is_healthy);
	tcase_add_test(healthy, a_last_layer_that_begins_with_0_is_healthy);
	tcase_add_test(healthy, models_on_one_tape_are_not_compared);
	tcase_add_test(healthy, a_schedule_that_ends_near_0_is_healthy);
	suite_add_tcase(s, healthy);
	tcase_add_test(list, a_finding_is_certain_in_the_second_step);
	tcase_add_test(list, a_finding_stays_at_its_layer);
	tcase_add_test(list, not_learning_takes_three_steps);
	tcase_add_test(list, findings_are_in_the_order_in_which_they_began);
	tcase_add_test(list, findings_of_one_step_are_in_the_order_of_their_kinds);
	tcase_add_test(list, a_succession_that_was_interrupted_begins_anew);
	tcase_add_test(list, the_alarm_is_called_once_when_a_finding_is_certain);
	tcase_add_test(list, texts_fit_into_their_width);
	tcase_add_test(list, the_healthy_sentence_has_its_numbers);
	tcase_add_test(list, refused_memory_loses_the_finding_only);
	suite_add_tcase(s, list);
	return run_suite(s);
}
