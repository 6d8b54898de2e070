/* verdict.c - the decay's fit for given norms, and verdicts on both sides of every threshold. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <math.h>
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

/* ---- Verdicts ---- */

enum { N = 11 };

static ebb_verdict judged(
	double end_to_end, double zeros, double saturated, const ebb_verdict_limits *l)
{
	ebb_layer_summary s[N] = {0};
	ebb_verdict v;

	for (int k = 0; k < N; k++) {
		s[k].grad_l2 = pow(end_to_end, (N - 1.0 - k) / (N - 1));
		s[k].zeros = k == 3 ? zeros : 0.5;
		s[k].saturated = k < 2 ? saturated : 0;
	}
	ck_assert(ebb_judge(N, s, l, &v));
	ck_assert(v.sentence[0] >= 'A' && v.sentence[0] <= 'Z');
	ck_assert(v.sentence[strlen(v.sentence) - 1] == '.');
	return v;
}

START_TEST(verdicts_change_at_their_thresholds)
{
	static const struct {
		double end_to_end, zeros, saturated;
		ebb_verdict_kind kind;
	} cases[] = {
		{1.01e-3, 0.5, 0, EBB_VERDICT_HEALTHY},
		{0.99e-3, 0.5, 0, EBB_VERDICT_VANISHING},
		{0.99e3, 0.5, 0, EBB_VERDICT_HEALTHY},
		{1.01e3, 0.5, 0, EBB_VERDICT_EXPLODING},
		{1, 0.899, 0, EBB_VERDICT_HEALTHY},
		{1, 0.901, 0, EBB_VERDICT_DEAD},
		{1, 0.5, 0.499, EBB_VERDICT_HEALTHY},
		{1, 0.5, 0.501, EBB_VERDICT_SATURATED},
		{1, 0.95, 0.9, EBB_VERDICT_DEAD}, /* dead is tested before saturated */
		{1e-6, 0.95, 0.9, EBB_VERDICT_VANISHING},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_verdict v =
			judged(cases[i].end_to_end, cases[i].zeros, cases[i].saturated, NULL);
		ck_assert_msg(v.kind == cases[i].kind, "case %zu: %s, expected %s", i,
			ebb_verdict_name(v.kind), ebb_verdict_name(cases[i].kind));
		ck_assert_int_eq(v.dead_layers, cases[i].zeros > 0.9);
		ck_assert_int_eq(v.saturated_layers, cases[i].saturated > 0.5 ? 2 : 0);
	}
}
END_TEST

START_TEST(limits_can_be_set)
{
	const ebb_verdict_limits strict = {
		.vanishing = 0.5, .exploding = 2, .dead = 0.4, .saturated = 0.1};

	ck_assert_int_eq(judged(0.4, 0.5, 0, &strict).kind, EBB_VERDICT_VANISHING);
	ck_assert_int_eq(judged(2.5, 0.5, 0, &strict).kind, EBB_VERDICT_EXPLODING);
	ck_assert_int_eq(judged(1, 0.5, 0, &strict).kind, EBB_VERDICT_DEAD);
	ck_assert_int_eq(judged(1, 0.5, 0, &strict).dead_layers, N);
	ck_assert_int_eq(judged(0.4, 0.5, 0, NULL).kind, EBB_VERDICT_HEALTHY);
}
END_TEST

START_TEST(sentences_contain_the_numbers)
{
	ebb_verdict v = judged(1e-10, 0.95, 0, NULL);

	ck_assert_msg(strstr(v.sentence, "0.1,") &&
			      strstr(v.sentence, "1.0e10-fold less over 11 layers") &&
			      strstr(v.sentence, "more than 90 % zeros in 1 layer."),
		"%s", v.sentence);
	v = judged(1e10, 0.5, 0.6, NULL);
	ck_assert_msg(strstr(v.sentence, "1.0e10-fold more") &&
			      strstr(v.sentence, "50 % of the units saturated in 2 layers"),
		"%s", v.sentence);
}
END_TEST

START_TEST(zero_gradients_vanish_and_infinite_ones_are_not_finite)
{
	ebb_layer_summary s[3] = {{.grad_l2 = 0}, {.grad_l2 = 0}, {.grad_l2 = 1}};
	ebb_verdict v;

	ck_assert(ebb_judge(3, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_VANISHING);
	ck_assert_msg(strstr(v.sentence, "exactly zero in 2 of 3 layers"), "%s", v.sentence);
	/* The fitted line of the other norms rises, but a gradient of exactly 0 counts as
	 * vanishing. */
	s[0].grad_l2 = 4;
	ck_assert(ebb_judge(3, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_VANISHING);
	ck_assert_msg(strstr(v.sentence, "Vanishing: the gradient is exactly zero in 1 of 3"), "%s",
		v.sentence);
	s[0].grad_l2 = s[1].grad_l2 = 1;
	s[1].nan = 1;
	ck_assert(ebb_judge(3, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_NOT_FINITE);
	s[1].nan = 0;
	s[2].grad_l2 = INFINITY;
	ck_assert(ebb_judge(3, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_NOT_FINITE);
	ck_assert(ebb_judge(1, s, NULL, &v));
	ck_assert_int_eq(v.kind, EBB_VERDICT_HEALTHY);
	ck_assert(!ebb_judge(0, s, NULL, &v));
	ck_assert(!ebb_judge(3, NULL, NULL, &v));
	ck_assert(!ebb_probe_verdict(NULL, 0, 0, NULL, &v));
}
END_TEST

START_TEST(without_memory_there_is_no_verdict)
{
	ebb_layer_summary s[2] = {{.grad_l2 = 1}, {.grad_l2 = 1}};
	counting_allocator a;
	ebb_verdict v;

	counting_allocator_install(&a);
	a.fail_at = 0;
	ck_assert(!ebb_judge(2, s, NULL, &v));
	ck_assert_int_eq(a.live, 0);
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
	tcase_add_test(c, verdicts_change_at_their_thresholds);
	tcase_add_test(c, limits_can_be_set);
	tcase_add_test(c, sentences_contain_the_numbers);
	tcase_add_test(c, zero_gradients_vanish_and_infinite_ones_are_not_finite);
	tcase_add_test(c, without_memory_there_is_no_verdict);
	suite_add_tcase(s, c);
	return run_suite(s);
}
