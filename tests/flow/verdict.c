/* verdict.c - the decay's fit for given norms, and verdicts on given summaries. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define assert_near(a, b)                                                                          \
	ck_assert_msg(fabs((a) - (b)) <= 1e-9 * (1 + fabs(b)), "%g, expected %g", a, b)

START_TEST(the_fit_of_an_exact_line_is_exact)
{
	double norm[20];
	ebb_decay d;

	for (int k = 0; k < 20; k++)
		norm[k] = 0.01 * pow(0.25, 19 - k);
	ck_assert(ebb_decay_fit(20, norm, &d));
	assert_near(d.factor, 0.25);
	ck_assert(fabs(d.end_to_end / pow(0.25, 19) - 1) < 1e-9);
	ck_assert(fabs(d.spread / pow(4, 19) - 1) < 1e-9);
	assert_near(d.r2, 1.0);
	ck_assert_int_eq(d.layers, 20);
	ck_assert_int_eq(d.used, 20);
	for (int k = 0; k < 20; k++)
		norm[k] = 3 * pow(1.5, 19 - k);
	ck_assert(ebb_decay_fit(20, norm, &d));
	assert_near(d.factor, 1.5);
}
END_TEST

START_TEST(the_fit_is_the_least_squares_line)
{
	double norm[9], k_mean = 4, l_mean = 0, kk = 0, kl = 0;
	ebb_decay d;

	for (int k = 0; k < 9; k++) {
		norm[k] = exp(0.3 * k + sin(7.0 * k));
		l_mean += log(norm[k]) / 9;
	}
	for (int k = 0; k < 9; k++) {
		kk += (k - k_mean) * (k - k_mean);
		kl += (k - k_mean) * (log(norm[k]) - l_mean);
	}
	ck_assert(ebb_decay_fit(9, norm, &d));
	assert_near(d.factor, exp(-kl / kk));
	ck_assert(d.r2 > 0 && d.r2 < 1);
}
END_TEST

START_TEST(zeros_and_non_finite_norms_are_left_out_and_counted)
{
	const double norm[] = {0, 0, 1e-3, NAN, 1e-1, INFINITY, -1, 10};
	const double one[] = {0, 5}, none[] = {0, NAN};
	ebb_decay d;

	ck_assert(ebb_decay_fit(8, norm, &d));
	ck_assert_int_eq(d.used, 3);
	ck_assert_int_eq(d.zeros, 2);
	ck_assert_int_eq(d.not_finite, 3);
	ck_assert(d.factor < 1 && isfinite(d.end_to_end));
	assert_near(d.spread, 1e4);
	ck_assert(ebb_decay_fit(2, one, &d));
	ck_assert(isnan(d.factor) && isnan(d.end_to_end) && isnan(d.r2));
	assert_near(d.spread, 1.0);
	ck_assert(ebb_decay_fit(2, none, &d));
	ck_assert(isnan(d.factor) && isnan(d.spread));
	ck_assert_int_eq(d.used, 0);
	ck_assert(!ebb_decay_fit(0, norm, &d));
	ck_assert(!ebb_decay_fit(3, NULL, &d));
	ck_assert(!ebb_decay_fit(3, norm, NULL));
}
END_TEST

START_TEST(a_constant_norm_is_a_perfect_fit)
{
	const double norm[] = {2, 2, 2};
	ebb_decay d;

	ck_assert(ebb_decay_fit(3, norm, &d));
	assert_near(d.factor, 1.0);
	assert_near(d.end_to_end, 1.0);
	assert_near(d.r2, 1.0);
}
END_TEST

/* ---- Verdicts on summaries ---- */

enum { N = 12 };

/* Layers whose gradient falls by the factor from each one to the one before it. */
static void summaries(ebb_layer_summary s[N], double factor)
{
	static char paths[N][8];

	for (int k = 0; k < N; k++) {
		snprintf(paths[k], sizeof paths[k], "net.%d", k);
		s[k] = (ebb_layer_summary){.path = paths[k],
			.samples = 5,
			.std = 1,
			.zeros = 0.5,
			.grad_l2 = pow(factor, N - 1 - k),
			.param_grad_l2 = 0.1,
			.update_ratio = 1e-3};
	}
}

static ebb_verdict judged(const ebb_layer_summary s[N], const ebb_verdict_limits *l)
{
	ebb_verdict v;

	ck_assert(ebb_judge(N, s, l, &v));
	ck_assert(v.sentence[0] >= 'A' && v.sentence[0] <= 'Z');
	ck_assert(v.sentence[strlen(v.sentence) - 1] == '.');
	ck_assert_int_eq(v.step, -1);
	ck_assert(!*v.op && !*v.site);
	ck_assert_msg(
		v.kind == EBB_VERDICT_HEALTHY || strstr(v.sentence, v.layer), "%s", v.sentence);
	ck_assert_int_eq(*v.advice != '\0', v.kind != EBB_VERDICT_HEALTHY);
	return v;
}

#define assert_verdict(v, expected, where)                                                         \
	do {                                                                                       \
		ebb_verdict v_ = (v);                                                              \
		ck_assert_msg(v_.kind == (expected), "%s, expected %s", v_.sentence,               \
			ebb_verdict_name(expected));                                               \
		ck_assert_msg(!strcmp(v_.layer, where), "%s, expected %s", v_.sentence, where);    \
	} while (0)

START_TEST(gradients_are_judged_by_their_norms)
{
	ebb_layer_summary s[N];

	summaries(s, 0.6);
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");
	/* 0.1^3 of the median norm of the last three layers is crossed by net.6. */
	summaries(s, 0.1);
	assert_verdict(judged(s, NULL), EBB_VERDICT_VANISHING, "net.6");
	summaries(s, 2);
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");
	/* The first norm is 1e10 times that near the loss: more than 1e3*1e3, though the
	 * activations do not grow.  It crosses 1e3 at net.6. */
	summaries(s, 10);
	assert_verdict(judged(s, NULL), EBB_VERDICT_EXPLODING, "net.6");
	summaries(s, 2.2);
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");
	for (int k = 0; k < N; k++)
		s[k].std = pow(2.2, k);
	assert_verdict(judged(s, NULL), EBB_VERDICT_EXPLODING, "net.1");
}
END_TEST

START_TEST(one_layer_is_named)
{
	ebb_layer_summary s[N];

	/* net.4 multiplies the gradient by 1e-5. */
	summaries(s, 0.9);
	for (int k = 0; k < 4; k++)
		s[k].grad_l2 *= 1e-5;
	assert_verdict(judged(s, NULL), EBB_VERDICT_VANISHING, "net.4");
	summaries(s, 0.9);
	for (int k = 0; k < 4; k++)
		s[k].grad_l2 *= 1e5;
	assert_verdict(judged(s, NULL), EBB_VERDICT_EXPLODING, "net.4");
	summaries(s, 0.9);
	for (int k = 0; k < 4; k++)
		s[k].grad_l2 = 0;
	assert_verdict(judged(s, NULL), EBB_VERDICT_VANISHING, "net.4");

	summaries(s, 1);
	s[3].zeros = 0.95;
	s[4].zeros = 0.91;
	ebb_verdict v = judged(s, NULL);
	assert_verdict(v, EBB_VERDICT_DEAD, "net.3");
	ck_assert_int_eq(v.dead_layers, 2);
	ck_assert_msg(
		!strcmp(v.sentence, "Dead units: 95 % of the activations of layer net.3 are 0."),
		"%s", v.sentence);
	s[3].zeros = s[4].zeros = 0.89;
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");

	s[8].saturated = 0.51;
	v = judged(s, NULL);
	assert_verdict(v, EBB_VERDICT_SATURATED, "net.8");
	ck_assert_int_eq(v.saturated_layers, 1);
	s[8].saturated = 0.49;
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");

	s[2].update_ratio = 1e-9;
	assert_verdict(judged(s, NULL), EBB_VERDICT_NOT_LEARNING, "net.2");
	/* A finding of a single sample is none. */
	for (int k = 0; k < N; k++)
		s[k].samples = 1;
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");
}
END_TEST

START_TEST(limits_can_be_set)
{
	const ebb_verdict_limits strict = {.vanishing = 0.5, .saturated = 0.1, .dead = 0.96},
				 loose = {.vanishing = 1e-12, .update = 1e-10};
	ebb_layer_summary s[N];

	summaries(s, 0.8);
	assert_verdict(judged(s, NULL), EBB_VERDICT_HEALTHY, "");
	assert_verdict(judged(s, &strict), EBB_VERDICT_VANISHING, "net.6");
	summaries(s, 0.1);
	assert_verdict(judged(s, &loose), EBB_VERDICT_HEALTHY, "");
	summaries(s, 1);
	s[1].saturated = 0.2;
	s[2].zeros = 0.95;
	assert_verdict(judged(s, NULL), EBB_VERDICT_DEAD, "net.2");
	ebb_verdict v = judged(s, &strict);
	assert_verdict(v, EBB_VERDICT_SATURATED, "net.1");
	ck_assert_int_eq(v.dead_layers, 0);
	s[3].update_ratio = 1e-9;
	s[1].saturated = s[2].zeros = 0;
	assert_verdict(judged(s, NULL), EBB_VERDICT_NOT_LEARNING, "net.3");
	assert_verdict(judged(s, &loose), EBB_VERDICT_HEALTHY, "");
}
END_TEST

START_TEST(sentences_contain_the_numbers)
{
	ebb_layer_summary s[N];

	summaries(s, 0.1);
	ck_assert_str_eq(judged(s, NULL).sentence,
		"Vanishing: the gradient has 5.5e-10 times its norm near the loss in the first "
		"layers, and crosses 0.001 at layer net.6.");
	summaries(s, 1);
	ck_assert_str_eq(judged(s, NULL).sentence,
		"Healthy: the gradient passes 12 layers at a factor of 1 each, 1-fold more end to "
		"end.");
	for (int k = 0; k < 4; k++)
		s[k].grad_l2 = 1e5;
	ck_assert_str_eq(judged(s, NULL).sentence,
		"Exploding: layer net.4 multiplies the gradient by 1.0e5, and the limit by the "
		"other layers is 20.");
	summaries(s, 1);
	s[8].saturated = 0.75;
	ck_assert_str_eq(judged(s, NULL).sentence,
		"Saturated: 75 % of the activations of layer net.8 are saturated.");
	s[8].path = NULL;
	ck_assert_str_eq(judged(s, NULL).sentence,
		"Saturated: 75 % of the activations of a layer are saturated.");
	summaries(s, 1);
	s[8].update_ratio = 2e-9;
	ck_assert_str_eq(judged(s, NULL).sentence,
		"Not learning: an update changes the parameters of layer net.8 by 2.0e-9 of their "
		"norm.");
}
END_TEST

/* A NaN in an activation is in all later ones and in all gradients; a NaN in a gradient is in all
 * earlier ones. */
START_TEST(values_that_are_not_finite_have_an_origin_if_it_is_known)
{
	ebb_layer_summary s[N];

	summaries(s, 1);
	for (int k = 5; k < N; k++)
		s[k].nan = 3;
	assert_verdict(judged(s, NULL), EBB_VERDICT_NOT_FINITE, "net.5");
	summaries(s, 1);
	for (int k = 0; k <= 5; k++)
		s[k].grad_l2 = INFINITY;
	assert_verdict(judged(s, NULL), EBB_VERDICT_NOT_FINITE, "net.5");
	for (int k = 0; k < N; k++)
		s[k].nan = 1;
	ebb_verdict v = judged(s, NULL);
	assert_verdict(v, EBB_VERDICT_NOT_FINITE, "");
	ck_assert_str_eq(
		v.sentence, "Not finite: activations or gradients contain NaN or infinity.");
}
END_TEST

START_TEST(few_layers_and_missing_numbers_are_judged)
{
	const ebb_layer_summary none = {.mean = NAN,
		.std = NAN,
		.zeros = NAN,
		.saturated = NAN,
		.grad_l2 = NAN,
		.param_grad_l2 = NAN,
		.update_ratio = NAN};
	ebb_layer_summary s[3] = {{.grad_l2 = 0}, {.grad_l2 = 0}, {.grad_l2 = 1}};
	ebb_verdict v;

	ck_assert(ebb_judge(3, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_VANISHING);
	s[1] = none;
	s[0].grad_l2 = 1;
	ck_assert(ebb_judge(3, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_HEALTHY);
	ck_assert(ebb_judge(1, s, NULL, &v));
	ck_assert_str_eq(v.sentence, "Healthy: a single gradient norm shows no decay.");
	ck_assert(ebb_judge(1, &none, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_HEALTHY);
	s[0].nan = 1;
	ck_assert(ebb_judge(1, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_NOT_FINITE);
	ck_assert(!ebb_judge(0, s, NULL, &v));
	ck_assert(!ebb_judge(3, NULL, NULL, &v));
	ck_assert(!ebb_judge(3, s, NULL, NULL));
	ck_assert(!ebb_probe_verdict(NULL, 0, 0, NULL, &v));
}
END_TEST

START_TEST(without_memory_there_is_no_verdict)
{
	ebb_layer_summary s[N];
	counting_allocator a;
	int failures = 0;

	summaries(s, 0.1);
	counting_allocator_install(&a);
	for (int64_t n = 0;; n++, failures++) {
		ebb_verdict v;

		a.calls = a.refused = 0;
		a.fail_at = n;
		bool ok = ebb_judge(N, s, NULL, &v);
		ck_assert(ok == (a.refused == 0));
		ck_assert_int_eq(a.live, 0);
		if (ok)
			break;
	}
	ck_assert_int_ge(failures, 6);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow verdict");
	TCase *c = tcase_create("verdict");

	tcase_add_test(c, the_fit_of_an_exact_line_is_exact);
	tcase_add_test(c, the_fit_is_the_least_squares_line);
	tcase_add_test(c, zeros_and_non_finite_norms_are_left_out_and_counted);
	tcase_add_test(c, a_constant_norm_is_a_perfect_fit);
	tcase_add_test(c, gradients_are_judged_by_their_norms);
	tcase_add_test(c, one_layer_is_named);
	tcase_add_test(c, limits_can_be_set);
	tcase_add_test(c, sentences_contain_the_numbers);
	tcase_add_test(c, values_that_are_not_finite_have_an_origin_if_it_is_known);
	tcase_add_test(c, few_layers_and_missing_numbers_are_judged);
	tcase_add_test(c, without_memory_there_is_no_verdict);
	suite_add_tcase(s, c);
	return run_suite(s);
}
