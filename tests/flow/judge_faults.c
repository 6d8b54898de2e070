/* judge_faults.c - faults planted into synthetic networks of several depths and kinds are named with
 * their kind, layer, line and step. */
#include "tests/flow/synthetic.h"

#include <math.h>
#include <string.h>

/* Judges three steps with the gradients multiplied by 1, 1e6 and 1e-6: the verdict is the same. */
static void assert_planted(ebb_verdict_kind kind, int row)
{
	static const double scales[] = {1, 1e6, 1e-6};

	for (int k = 0; k < 3; k++) {
		net->f.findings = 0;
		net->f.samples = 0;
		net->f.measured = net->step = 0;
		net->scale = scales[k];
		judge_steps(1);
		assert_first(kind, row, 0);
		judge_steps(2);
		if (kind == EBB_VERDICT_BADLY_INITIALISED)
			assert_first(kind, row, 0);
		else
			assert_only(kind, row, 0);
	}
}

/* ---- Local ---- */

START_TEST(a_saturated_layer_is_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		net->l[bad].op = "sigmoid";
		net->l[bad].w = 160;
		net->l[bad].phi = 1e-5;
		net->l[bad].saturated = 0.98;
		build();
		assert_planted(EBB_VERDICT_SATURATED, net->slope[bad]);
		end();
		/* Among others of its kind, with a vanished gradient before it. */
		begin(depth, "tanh", 1.2, 0.8);
		net->l[bad].w = 60;
		net->l[bad].phi = 1e-6;
		net->l[bad].saturated = 0.98;
		/* The small gradient explains the small updates. */
		net->l[0].update = 1e-9;
		build();
		assert_planted(EBB_VERDICT_SATURATED, net->slope[bad]);
		ebb_finding x = ebb_flow_verdict(&net->f);
		ck_assert_msg(strstr(x.sentence, "98 % of the slopes of tanh"), "%s", x.sentence);
		ck_assert_msg(strstr(x.sentence, "have 2 % (median)"), "%s", x.sentence);
		end();
	}
}
END_TEST

START_TEST(if_all_layers_saturate_the_first_is_named)
{
	begin(24, "sigmoid", 1, 0.9);
	for (int i = 0; i < 23; i++)
		net->l[i].saturated = 0.7 + 0.01 * i;
	build();
	assert_planted(EBB_VERDICT_SATURATED, net->slope[0]);
	end();
}
END_TEST

START_TEST(a_dead_layer_is_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		net->l[bad].shift = 100;
		net->l[bad].phi = 0;
		/* Without biases, the layers after it are dead, too, and have no input. */
		for (int i = bad; i < depth; i++) {
			net->l[i].dead = 1;
			net->l[i].phi = 0;
			net->l[i].update = 1e-11;
		}
		build();
		assert_planted(EBB_VERDICT_DEAD, net->slope[bad]);
		end();
		/* Among others that are not. */
		begin_relu(depth);
		net->l[bad].dead = 0.8;
		build();
		assert_planted(EBB_VERDICT_DEAD, net->slope[bad]);
		end();
		/* Among half dead ones, of which one is nearly dead. */
		begin_relu(depth);
		for (int i = 0; i < depth; i++)
			net->l[i].dead = 0.5;
		net->l[0].dead = 0.78;
		net->l[bad].dead = 0.99;
		net->l[bad].phi = 0.05;
		build();
		assert_planted(EBB_VERDICT_DEAD, net->slope[bad]);
		end();
	}
}
END_TEST

/* All layers at once, so that none differs from those beside it. */
START_TEST(layers_that_die_together_are_named)
{
	begin_relu(24);
	build();
	judge_steps(2);
	for (int i = 0; i < 24; i++)
		net->l[i].dead = 0.7;
	judge_steps(2);
	assert_first(EBB_VERDICT_DEAD, net->slope[0], 2);
	end();
	/* Half of the units of layers that had many is no finding. */
	begin_relu(24);
	for (int i = 0; i < 24; i++)
		net->l[i].dead = 0.3;
	build();
	judge_steps(2);
	for (int i = 0; i < 24; i++)
		net->l[i].dead = 0.6;
	judge_steps(3);
	assert_none();
	end();
}
END_TEST

START_TEST(an_exploding_layer_is_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		net->l[bad].w = 4000;
		build();
		assert_planted(EBB_VERDICT_EXPLODING, net->weight[bad]);
		ebb_finding x = ebb_flow_verdict(&net->f);
		ck_assert_msg(strstr(x.sentence, "multiplies the gradient by 4000 as initialised"),
			"%s", x.sentence);
		ck_assert_msg(strstr(x.sentence, "other layers is 1.41."), "%s", x.sentence);
		ck_assert(strstr(x.advice, "EBB_INIT_KAIMING_NORMAL"));
		end();
	}
	/* By its normalisation, as a vanishing one. */
	begin_relu(24);
	for (int i = 0; i < 24; i++)
		net->l[i].norm = i == 7 ? 1e-6 : 1;
	build();
	assert_planted(EBB_VERDICT_VANISHING, net->weight[7]);
	end();
	/* By its normalisation. */
	begin_relu(24);
	for (int i = 0; i < 24; i++)
		net->l[i].norm = i == 7 ? 1e5 : 1;
	build();
	assert_planted(EBB_VERDICT_EXPLODING, net->weight[7]);
	ck_assert(strstr(ebb_flow_verdict(&net->f).sentence, "together with its normalisation"));
	end();
	/* dL/dx of the first layer is not computed: the activations show it. */
	begin_relu(24);
	net->l[0].w = 4000;
	build();
	assert_planted(EBB_VERDICT_EXPLODING, net->weight[0]);
	end();
}
END_TEST

START_TEST(a_vanishing_layer_is_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		net->l[bad].w = 1e-6;
		build();
		assert_planted(EBB_VERDICT_VANISHING, net->weight[bad]);
		end();
	}
}
END_TEST

/* Two models, the first with a much larger gradient. */
START_TEST(a_layer_of_the_second_model_is_named)
{
	begin_relu(24);
	net->l[18].w = 1e-6;
	build();
	net->row[net->weight[12]].before = -1;
	for (int s = 0; s < 2; s++) {
		measure();
		for (int i = 0; i < net->weight[12]; i++)
			net->m[i].grad_l2 *= 1e12;
		judge();
	}
	assert_only(EBB_VERDICT_VANISHING, net->weight[18], 0);
	end();
}
END_TEST

START_TEST(a_badly_initialised_layer_is_named)
{
	EACH_PLACE(depth, bad)
	{
		begin_relu(depth);
		net->l[bad].w = 1.4 / 100;
		build();
		assert_planted(EBB_VERDICT_BADLY_INITIALISED, net->weight[bad]);
		end();
		/* All elements are 0: nothing before it learns, and nothing is active after it. */
		begin_relu(depth);
		net->l[bad].w = 0;
		for (int i = bad; i < depth; i++)
			net->l[i].dead = 1;
		build();
		assert_planted(EBB_VERDICT_BADLY_INITIALISED, net->weight[bad]);
		ck_assert_int_eq(ebb_flow_findings(&net->f), 1);
		end();
	}
}
END_TEST

/* The skip connections carry the gradient past the branches. */
START_TEST(a_bad_branch_of_a_residual_network_is_named)
{
	EACH_PLACE(depth, place)
	{
		int bad = place | 1;
		for (int fault = 0; fault < 3; fault++) {
			begin_relu(depth);
			net->residual = true;
			for (int i = 2; i + 1 < depth; i += 2) {
				net->l[i].w = 0.3;
				net->l[i].op = NULL;
			}
			if (bad + 1 >= depth)
				bad -= 2;
			if (fault == 0) {
				net->l[bad].dead = 1;
				net->l[bad].phi = 0;
			} else if (fault == 1) {
				net->l[bad].w = 1e5;
			} else {
				net->l[bad].op = "tanh";
				net->l[bad].saturated = 0.9;
				net->l[bad].phi = 0.01;
			}
			build();
			assert_planted(fault == 0   ? EBB_VERDICT_DEAD
				       : fault == 1 ? EBB_VERDICT_EXPLODING
						    : EBB_VERDICT_SATURATED,
				fault == 1 ? net->weight[bad] : net->slope[bad]);
			end();
		}
	}
}
END_TEST

/* The gradient alone shows it, whatever the scale of the activations. */
START_TEST(an_exploding_layer_with_small_activations_is_named)
{
	begin_relu(24);
	net->l[7].w = 4000;
	build();
	for (int s = 0; s < 2; s++) {
		measure();
		for (int i = 0; i < net->rows; i++)
			net->m[i].rms *= 1e-6;
		judge();
	}
	assert_only(EBB_VERDICT_EXPLODING, net->weight[7], 0);
	end();
}
END_TEST

/* A factor of 100, which is no thousandfold growth: the activations show it. */
START_TEST(an_outlier_with_large_activations_is_exploding)
{
	begin_relu(24);
	net->l[7].w = 100;
	build();
	assert_planted(EBB_VERDICT_EXPLODING, net->weight[7]);
	end();
	/* With small ones, its initialisation alone differs. */
	begin_relu(24);
	net->l[7].w = 100;
	build();
	for (int s = 0; s < 3; s++) {
		measure();
		for (int i = 0; i < net->rows; i++)
			net->m[i].rms *= 1e-3;
		judge();
	}
	assert_only(EBB_VERDICT_BADLY_INITIALISED, net->weight[7], 0);
	end();
}
END_TEST

/* A layer that was one in the step before is not kept for the sake of another one. */
START_TEST(each_step_has_its_own_outliers)
{
	begin_relu(24);
	build();
	judge_steps(1);
	net->l[7].w = 1e-6;
	judge_steps(1);
	net->l[7].w = sqrt(2);
	net->l[9].w = 1e-6;
	judge_steps(2);
	assert_only(EBB_VERDICT_VANISHING, net->weight[9], 2);
	end();
	begin_relu(24);
	build();
	judge_steps(1);
	net->l[7].w = 1e7;
	judge_steps(1);
	net->l[7].w = sqrt(2);
	net->l[9].w = 1e7;
	judge_steps(2);
	assert_only(EBB_VERDICT_EXPLODING, net->weight[9], 2);
	end();
}
END_TEST

/* Weights that the first update has changed much are a finding of the first step. */
START_TEST(initial_weights_that_are_bad_in_the_first_step_only_are_named)
{
	for (int k = 0; k < 2; k++) {
		begin_relu(24);
		net->l[7].w = k ? 1e7 : 1e-6;
		build();
		judge_steps(1);
		assert_only(k ? EBB_VERDICT_EXPLODING : EBB_VERDICT_VANISHING, net->weight[7], 0);
		net->l[7].w = sqrt(2);
		judge_steps(1);
		assert_only(EBB_VERDICT_BADLY_INITIALISED, net->weight[7], 0);
		judge_steps(3);
		assert_only(EBB_VERDICT_BADLY_INITIALISED, net->weight[7], 0);
		end();
	}
}
END_TEST

/* ---- Trends ---- */

/* The first layer, from the loss to the input, at which the ratio crosses the limit. */
START_TEST(trends_are_named_where_they_cross_the_limit)
{
	for (int d = 1; d < 3; d++) {
		int depth = DEPTHS[d], quarter = depth / 4;
		/* The reference is the norm in the middle of the last quarter. */
		double middle = depth - 1 - (quarter - 1) / 2.0, layers = ceil(log(1e3) / log(2));
		begin(depth, "sigmoid", 2.5, 0.2);
		build();
		assert_planted(EBB_VERDICT_VANISHING, net->weight[(int)(middle - layers)]);
		ebb_finding x = ebb_flow_verdict(&net->f);
		ck_assert_msg(strstr(x.sentence, "by about 0.5: phi' 0.2 times W 2.5 (medians of "),
			"%s", x.sentence);
		end();
		begin(depth, "relu", 2 / sqrt(0.5), sqrt(0.5));
		build();
		assert_planted(EBB_VERDICT_EXPLODING, net->weight[(int)(middle - layers)]);
		end();
	}
}
END_TEST

/* The layer at which the gradient crosses the limit changes while the network trains. */
START_TEST(a_trend_stays_at_its_layer)
{
	begin(24, "sigmoid", 2.5, 0.2);
	build();
	for (int s = 0; s < 4; s++) {
		judge_steps(1);
		for (int i = 0; i < 24; i++)
			net->l[i].w *= 0.9;
	}
	assert_only(EBB_VERDICT_VANISHING, net->weight[10], 0);
	end();
}
END_TEST

START_TEST(a_gradient_of_0_has_vanished)
{
	begin_relu(24);
	build();
	for (int s = 0; s < 2; s++) {
		measure();
		for (int i = 0; i < net->weight[10]; i++) {
			net->m[i].grad_l2 = net->m[i].weight_grad_l2 = 0;
			net->m[i].backward = NAN;
		}
		judge();
	}
	assert_only(EBB_VERDICT_VANISHING, net->weight[9], 0);
	end();
}
END_TEST

START_TEST(a_loss_that_grows_is_exploding)
{
	begin_relu(8);
	build();
	judge_steps(2);
	net->loss = 1e5;
	net->l[3].w = 20;
	judge_steps(1);
	assert_none();
	judge_steps(1);
	/* The activations after it have grown by the same factor. */
	assert_first(EBB_VERDICT_EXPLODING, net->weight[3], 2);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("judge-faults");
	TCase *c = tcase_create("faults");

	tcase_add_test(c, a_saturated_layer_is_named);
	tcase_add_test(c, if_all_layers_saturate_the_first_is_named);
	tcase_add_test(c, a_dead_layer_is_named);
	tcase_add_test(c, layers_that_die_together_are_named);
	tcase_add_test(c, an_exploding_layer_is_named);
	tcase_add_test(c, a_vanishing_layer_is_named);
	tcase_add_test(c, a_layer_of_the_second_model_is_named);
	tcase_add_test(c, a_badly_initialised_layer_is_named);
	tcase_add_test(c, a_bad_branch_of_a_residual_network_is_named);
	tcase_add_test(c, an_exploding_layer_with_small_activations_is_named);
	tcase_add_test(c, an_outlier_with_large_activations_is_exploding);
	tcase_add_test(c, each_step_has_its_own_outliers);
	tcase_add_test(c, initial_weights_that_are_bad_in_the_first_step_only_are_named);
	tcase_add_test(c, trends_are_named_where_they_cross_the_limit);
	tcase_add_test(c, a_trend_stays_at_its_layer);
	tcase_add_test(c, a_gradient_of_0_has_vanished);
	tcase_add_test(c, a_loss_that_grows_is_exploding);
	suite_add_tcase(s, c);
	return run_suite(s);
}
