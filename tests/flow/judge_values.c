/* judge_values.c - values that are not finite, parameters without a gradient, and parameters that
 * hardly change, planted into synthetic networks. */
#include "tests/flow/synthetic.h"

#include <math.h>
#include <string.h>

/* ---- Not finite ---- */

START_TEST(the_first_value_that_is_not_finite_is_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		build();
		judge_steps(2);
		measure();
		for (int i = net->slope[bad]; i < net->rows; i++)
			net->m[i].not_finite = 5;
		for (int i = 0; i < net->rows; i++)
			net->m[i].grad_not_finite = 7;
		net->loss = NAN;
		judge();
		assert_only(EBB_VERDICT_NOT_FINITE, net->slope[bad], 2);
		/* The update makes all weights NaN. */
		measure();
		for (int i = 0; i < net->rows; i++)
			net->m[i].not_finite = 5;
		judge();
		assert_only(EBB_VERDICT_NOT_FINITE, net->slope[bad], 2);
		ck_assert_int_eq(ebb_flow_verdict(&net->f).samples, 2);
		end();
		/* In the gradient only: the one nearest to the loss. */
		begin_relu(depth);
		build();
		judge_steps(2);
		measure();
		for (int i = 0; i <= net->slope[bad]; i++)
			net->m[i].grad_not_finite = 5;
		judge();
		assert_only(EBB_VERDICT_NOT_FINITE, net->slope[bad], 2);
		end();
	}
}
END_TEST

/* An op whose input comes from a later row, as in a loop, gets the value from there. */
START_TEST(in_a_loop_the_op_with_a_finite_input_is_named)
{
	begin_relu(8);
	build();
	net->row[2].before = 5;
	measure();
	for (int i = 2; i < net->rows; i++)
		net->m[i].not_finite = i != 4;
	judge();
	assert_only(EBB_VERDICT_NOT_FINITE, 5, 0);
	end();
}
END_TEST

START_TEST(a_loss_that_is_not_finite_is_a_finding)
{
	begin_relu(8);
	build();
	judge_steps(1);
	net->loss = INFINITY;
	judge_steps(1);
	assert_only(EBB_VERDICT_NOT_FINITE, net->rows - 1, 1);
	end();
	/* A step without a backward pass has no loss. */
	begin_relu(8);
	build();
	for (int s = 0; s < 2; s++) {
		measure();
		for (int i = 0; i < net->rows; i++)
			net->m[i].grad_l2 = net->m[i].backward = net->m[i].weight_grad_l2 = NAN;
		net->loss = NAN;
		judge();
	}
	ck_assert_msg(ebb_flow_findings(&net->f) == 0, "%s", all_findings());
	end();
}
END_TEST

START_TEST(the_origin_names_an_op_that_is_no_row)
{
	ebb_finding x;

	begin_relu(8);
	build();
	judge_steps(1);
	net->f.origin = (struct flow_origin){.found = true,
		.step = 1,
		.row = 4,
		.op = "log",
		.site = "net.c:77",
		.layer = "fc2",
		.parameter = "fc2.weight"};
	measure();
	net->m[9].not_finite = 1;
	judge();
	judge_steps(3);
	ck_assert_int_eq(ebb_flow_findings(&net->f), 1);
	x = ebb_flow_verdict(&net->f);
	ck_assert(x.kind == EBB_VERDICT_NOT_FINITE && x.step == 1);
	ck_assert_str_eq(x.op, "log");
	ck_assert_str_eq(x.site, "net.c:77");
	ck_assert_str_eq(x.layer, "fc2");
	ck_assert_msg(strstr(x.sentence, "log in layer fc2 (net.c:77)") &&
			      strstr(x.sentence, "the parameter fc2.weight"),
		"%s", x.sentence);
	end();
}
END_TEST

/* An initialisation that explodes is seen in one step only. */
START_TEST(what_held_before_a_value_that_is_not_finite_is_certain)
{
	for (int dead = 0; dead < 2; dead++) {
		begin_relu(8);
		net->l[3].w = 4000;
		build();
		judge_steps(1);
		measure();
		for (int i = 0; i < net->rows; i++) {
			net->m[i].not_finite = !dead;
			net->m[i].dead = 1;
			net->m[i].grad_l2 = 0;
			net->m[i].backward = NAN;
			net->m[i].forward = NAN;
		}
		judge();
		assert_first(EBB_VERDICT_EXPLODING, net->weight[3], 0);
		ck_assert_int_eq(ebb_flow_findings(&net->f), dead ? 1 : 2);
		/* In a step that is not finite nothing else is judged. */
		judge();
		ck_assert_int_eq(ebb_flow_findings(&net->f), 2);
		end();
	}
}
END_TEST

/* ---- Parameters ---- */

START_TEST(frozen_parameters_are_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		build();
		/* A detached result: no gradient up to this layer. */
		for (int i = 0; i <= bad; i++)
			net->row[net->weight[i]].frozen = "the.weight";
		for (int s = 0; s < 2; s++) {
			measure();
			for (int i = 0; i <= net->slope[bad]; i++)
				net->m[i].grad_l2 = net->m[i].backward = net->m[i].weight_grad_l2 =
					net->m[i].update_ratio = NAN;
			judge();
		}
		assert_only(EBB_VERDICT_FROZEN, net->weight[bad], 0);
		ebb_finding x = ebb_flow_verdict(&net->f);
		ck_assert_msg(strstr(x.sentence, "the.weight"), "%s", x.sentence);
		end();
	}
}
END_TEST

START_TEST(a_network_without_any_gradient_is_frozen)
{
	begin_relu(8);
	build();
	for (int i = 0; i < 8; i++)
		net->row[net->weight[i]].frozen = "the.weight";
	for (int s = 0; s < 2; s++) {
		measure();
		for (int i = 0; i < net->rows; i++)
			net->m[i].grad_l2 = net->m[i].backward = net->m[i].weight_grad_l2 =
				net->m[i].update_ratio = NAN;
		judge();
	}
	assert_only(EBB_VERDICT_FROZEN, net->weight[7], 0);
	ck_assert(strstr(ebb_flow_verdict(&net->f).sentence, "no parameter receives a gradient"));
	end();
}
END_TEST

START_TEST(parameters_that_hardly_change_are_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		net->l[bad].update = 1e-9;
		build();
		judge_steps(4);
		assert_only(EBB_VERDICT_NOT_LEARNING, net->weight[bad], 0);
		end();
	}
	/* All of them: no layer is the cause. */
	begin_relu(8);
	for (int i = 0; i < 8; i++)
		net->l[i].update = 1e-9;
	build();
	judge_steps(4);
	ck_assert_int_eq(ebb_flow_findings(&net->f), 1);
	ebb_finding x = ebb_flow_verdict(&net->f);
	ck_assert_int_eq(x.kind, EBB_VERDICT_NOT_LEARNING);
	ck_assert_str_eq(x.layer, "");
	ck_assert_msg(strstr(x.sentence, "the learning rate is too small"), "%s", x.sentence);
	end();
}
END_TEST

/* ---- Sentences ---- */

/* 200 bytes with characters of two bytes at all offsets. */
static char *long_name(char *name, const char *end)
{
	name[0] = '\0';
	while (strlen(name) < 190)
		strcat(name, strlen(name) % 7 ? "\u00fc" : "a");
	return strcat(name, end);
}

static bool is_utf8(const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c >= 0x80 && (c != 0xC3 || ((unsigned char)*++s & 0xC0) != 0x80))
			return false;
	}
	return true;
}

static void assert_whole(ebb_verdict_kind kind, const char *end)
{
	ebb_finding x = ebb_flow_verdict(&net->f);
	ck_assert_int_eq(x.kind, kind);
	ck_assert_msg(is_utf8(x.sentence), "%s", x.sentence);
	ck_assert_msg(strstr(x.sentence, ".fc6 (added at ") &&
			      strstr(x.sentence, "b.c:12345, run") &&
			      strstr(x.sentence, "n.c:67890)"),
		"%s", x.sentence);
	size_t n = strlen(x.sentence), m = strlen(end);
	ck_assert_msg(n > m && strcmp(x.sentence + n - m, end) == 0, "%s", x.sentence);
	ck_assert_msg(strchr(".", x.advice[strlen(x.advice) - 1]), "%s", x.advice);
}

START_TEST(long_names_do_not_cut_a_sentence)
{
	char path[256], added[256], site[256], op[256];
	struct flow_origin o = {.found = true,
		.step = 1234567890123456789,
		.row = -1,
		.op = long_name(op, "op"),
		.layer = long_name(path, ".fc6"),
		.site = long_name(site, "n.c:67890"),
		.added = long_name(added, "b.c:12345")};

	begin(64, "tanh", 0.9, 0.5);
	build();
	for (int i = 0; i < 64; i++)
		net->path[i].path = path;
	for (int i = 0; i < net->rows; i++) {
		net->row[i].op = net->row[i].kind == EBB_FLOW_WEIGHT ? op : net->row[i].op;
		net->row[i].site = site;
		net->row[i].added = added;
	}
	net->step = 1000000000;
	judge_steps(2);
	assert_whole(EBB_VERDICT_VANISHING, " (medians of 64 layers).");
	end();
	memset(o.parameter, 'p', sizeof o.parameter - 1);
	begin_relu(8);
	build();
	measure();
	net->f.origin = o;
	net->step = o.step;
	net->loss = NAN;
	judge();
	assert_whole(EBB_VERDICT_NOT_FINITE, " the cause lies before this step.");
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("judge-values");
	TCase *c = tcase_create("values");

	tcase_add_test(c, the_first_value_that_is_not_finite_is_named);
	tcase_add_test(c, in_a_loop_the_op_with_a_finite_input_is_named);
	tcase_add_test(c, a_loss_that_is_not_finite_is_a_finding);
	tcase_add_test(c, the_origin_names_an_op_that_is_no_row);
	tcase_add_test(c, what_held_before_a_value_that_is_not_finite_is_certain);
	tcase_add_test(c, frozen_parameters_are_named);
	tcase_add_test(c, a_network_without_any_gradient_is_frozen);
	tcase_add_test(c, parameters_that_hardly_change_are_named);
	tcase_add_test(c, long_names_do_not_cut_a_sentence);
	suite_add_tcase(s, c);
	return run_suite(s);
}
