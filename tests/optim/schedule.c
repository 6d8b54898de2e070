/* Learning-rate schedules at points with known values, and clipping. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#define close_to(x, y) ck_assert_double_eq_tol(x, y, 1e-12)

START_TEST(step_multiplies_by_gamma_every_n_steps)
{
	close_to(ebb_schedule_step(0, 30, 0.1), 1);
	close_to(ebb_schedule_step(29, 30, 0.1), 1);
	close_to(ebb_schedule_step(30, 30, 0.1), 0.1);
	close_to(ebb_schedule_step(89, 30, 0.1), 0.01);
	close_to(ebb_schedule_step(-5, 30, 0.1), 1);
	close_to(ebb_schedule_step(3, 0, 0.5), 0.125);
}
END_TEST

START_TEST(cosine_falls_from_1_to_last)
{
	close_to(ebb_schedule_cosine(0, 100, 0), 1);
	close_to(ebb_schedule_cosine(50, 100, 0), 0.5);
	close_to(ebb_schedule_cosine(25, 100, 0), (1 + sqrt(0.5)) / 2);
	close_to(ebb_schedule_cosine(100, 100, 0), 0);
	close_to(ebb_schedule_cosine(1000, 100, 0.25), 0.25);
	close_to(ebb_schedule_cosine(50, 100, 0.2), 0.6);
	close_to(ebb_schedule_cosine(-1, 100, 0.2), 1);
	close_to(ebb_schedule_cosine(0, 0, 0.2), 1);
	close_to(ebb_schedule_cosine(7, -3, 0.2), 0.2);
	for (int i = 0; i < 100; i++)
		ck_assert(ebb_schedule_cosine(i, 100, 0.1) > ebb_schedule_cosine(i + 1, 100, 0.1));
}
END_TEST

START_TEST(warmup_rises_to_1)
{
	close_to(ebb_schedule_warmup(0, 5), 0.2);
	close_to(ebb_schedule_warmup(3, 5), 0.8);
	close_to(ebb_schedule_warmup(4, 5), 1);
	close_to(ebb_schedule_warmup(1000, 5), 1);
	close_to(ebb_schedule_warmup(0, 0), 1);
	close_to(ebb_schedule_warmup(-3, 4), 0.25);
	/* Schedules multiply. */
	close_to(ebb_schedule_warmup(1, 4) * ebb_schedule_cosine(1, 2, 0), 0.25);
}
END_TEST

/* 0.1 * 10 - 1 is 0 if the product is rounded first.  With a fused multiply-add it is 5.6e-17, and
 * the peak would come a step late. */
START_TEST(one_cycle_peaks_at_its_step)
{
	ck_assert_double_eq(ebb_schedule_one_cycle(0, 10, 0.1, 0, 0), 1);
	ck_assert_double_eq(ebb_schedule_one_cycle(2, 10, 0.3, 0, 0), 1);
}
END_TEST

/* The values of PyTorch's OneCycleLR(max_lr=1, total_steps=10), and with pct_start=0.5,
 * div_factor=10, final_div_factor=100. */
START_TEST(one_cycle_equals_pytorch)
{
	const double standard[10] = {0.04, 0.52, 1.0, 0.9504846320134737, 0.8117456539497631,
		0.6112620219362893, 0.38874197806371075, 0.18825834605023697, 0.049519367986526286,
		4e-06};
	const double chosen[10] = {0.1, 0.23180194846605362, 0.55, 0.8681980515339464, 1.0,
		0.9046039886902862, 0.6548539886902862, 0.3461460113097138, 0.0963960113097138,
		0.001};

	for (int i = 0; i < 10; i++) {
		ck_assert_double_eq_tol(ebb_schedule_one_cycle(i, 10, 0, 0, 0), standard[i], 1e-12);
		ck_assert_double_eq_tol(
			ebb_schedule_one_cycle(i, 10, 0.5, 10, 100), chosen[i], 1e-12);
	}
	close_to(ebb_schedule_one_cycle(99, 10, 0, 0, 0), 4e-6);
	close_to(ebb_schedule_one_cycle(-1, 10, 0, 0, 0), 0.04);
	/* The top lies at the very first step. */
	close_to(ebb_schedule_one_cycle(0, 10, 0.1, 0, 0), 1);
	close_to(ebb_schedule_one_cycle(0, 2, 0.5, 0, 0), 1);
	for (int steps = 0; steps < 5; steps++)
		for (int i = 0; i < 7; i++)
			ck_assert_msg(ebb_schedule_one_cycle(i, steps, 0, 0, 0) <= 1 &&
					      ebb_schedule_one_cycle(i, steps, 0, 0, 0) > 0,
				"%d of %d: %g", i, steps,
				ebb_schedule_one_cycle(i, steps, 0, 0, 0));
}
END_TEST

/* ---- Clipping ------------------------------------------------------------------------------- */

/* Two parameters with gradients (3, -0.5, 0) and (4). */
static ebb_params *gradients(ebb_dtype dtype)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *a, *b, *g;

	ebb_set_default_dtype(t, dtype);
	ck_assert(ebb_params_set_dtype(p, dtype));
	a = ebb_params_add(p, "a", EBB_SHAPE(3), EBB_INIT(EBB_INIT_ZEROS));
	b = ebb_params_add(p, "b.w", EBB_SHAPE(1), EBB_INIT(EBB_INIT_ZEROS));
	g = ebb_from_f64(t, EBB_SHAPE(3), (double[]){3, -0.5, 0});
	ck_assert(ebb_backward(
		t, ebb_add(t, ebb_sum(t, ebb_mul(t, a, g)), ebb_mul_scalar(t, ebb_sum(t, b), 4))));
	ebb_params_add(p, "without", EBB_SHAPE(2), EBB_INIT(EBB_INIT_ZEROS));
	ebb_tape_free(t);
	return p;
}

static double grad(ebb_params *p, const char *name, int64_t i)
{
	return ebb_at(ebb_grad_of(ebb_params_find(p, name)), i);
}

START_TEST(clipping_by_norm_scales_all_gradients_alike)
{
	double norm = sqrt(9 + 0.25 + 16);
	ebb_params *p = gradients(_i ? EBB_F64 : EBB_F32);

	ck_assert_double_eq_tol(ebb_clip_grad_norm(p, 100), norm, 1e-7);
	ck_assert(grad(p, "a", 0) == 3);
	ck_assert_double_eq_tol(ebb_clip_grad_norm(p, 1), norm, 1e-7);
	ck_assert_double_eq_tol(grad(p, "a", 0), 3 / (norm + 1e-6), 1e-7);
	ck_assert_double_eq_tol(grad(p, "b.w", 0), 4 / (norm + 1e-6), 1e-7);
	ck_assert_double_eq_tol(ebb_params_grad_norm(p), 1, 1e-6);
	ck_assert_ptr_null(ebb_grad_of(ebb_params_find(p, "without")));
	/* A view clips its own gradients only. */
	ck_assert_double_eq_tol(
		ebb_clip_grad_norm(ebb_params_sub(p, "b"), 0.5), 4 / (norm + 1e-6), 1e-7);
	ck_assert_double_eq_tol(grad(p, "a", 0), 3 / (norm + 1e-6), 1e-7);
	ck_assert_double_eq_tol(grad(p, "b.w", 0), 0.5, 1e-5);
	ebb_params_zero_grad(p);
	ck_assert(ebb_clip_grad_norm(p, 1) == 0);
	ebb_params_free(p);
}
END_TEST

/* The squares of the gradients overflow or underflow a double, and the factor underflows a
 * float. */
START_TEST(clipping_by_norm_works_for_any_magnitude)
{
	static const struct {
		ebb_dtype dtype;
		double scale, limit;
	} cases[] = {{EBB_F32, 1e20, 1}, {EBB_F32, 1e37, 1e-3}, {EBB_F32, 1e37, 1e-20},
		{EBB_F32, 1e-25, 1}, {EBB_F64, 1e200, 1}, {EBB_F64, 1e300, 1e-100},
		{EBB_F64, 1e-200, 1}};
	double scale = cases[_i].scale, limit = cases[_i].limit, norm = sqrt(9 + 0.25 + 16);
	ebb_params *p = gradients(cases[_i].dtype);
	double after = norm * scale > limit ? limit / norm : scale;

	for (int i = 0; i < 2; i++) {
		ebb_tensor *g = ebb_grad_of(ebb_params_at(p, i));

		for (int64_t k = 0; k < ebb_count(g); k++) {
			if (cases[_i].dtype == EBB_F64)
				((double *)ebb_data_mutable(g))[k] *= scale;
			else
				((float *)ebb_data_mutable(g))[k] *= (float)scale;
		}
	}
	ck_assert_double_eq_tol(ebb_params_grad_norm(p) / scale, norm, 1e-6);
	ck_assert_double_eq_tol(ebb_clip_grad_norm(p, limit) / scale, norm, 1e-6);
	ck_assert_double_eq_tol(grad(p, "a", 0) / after, 3, 1e-6);
	ck_assert_double_eq_tol(grad(p, "a", 1) / after, -0.5, 1e-6);
	ck_assert_double_eq_tol(grad(p, "b.w", 0) / after, 4, 1e-6);
	ebb_params_free(p);
}
END_TEST

START_TEST(clipping_by_value_clamps_every_element)
{
	ebb_params *p = gradients(_i ? EBB_F64 : EBB_F32);

	ck_assert(ebb_clip_grad_value(p, 2));
	ck_assert(grad(p, "a", 0) == 2 && grad(p, "a", 1) == -0.5 && grad(p, "b.w", 0) == 2);
	ck_assert(ebb_clip_grad_value(p, 0.25));
	ck_assert(grad(p, "a", 0) == 0.25 && grad(p, "a", 1) == -0.25 && grad(p, "a", 2) == 0);
	ebb_params_free(p);
}
END_TEST

START_TEST(clipping_by_norm_leaves_what_is_not_finite)
{
	const double bad[] = {NAN, INFINITY};

	for (int i = 0; i < 2; i++) {
		ebb_params *p = gradients(EBB_F64);
		double norm;

		((double *)ebb_data_mutable(ebb_grad_of(ebb_params_find(p, "a"))))[1] = bad[i];
		norm = ebb_clip_grad_norm(p, 1);
		ck_assert(i ? isinf(norm) : isnan(norm));
		ck_assert(grad(p, "a", 0) == 3);
		ck_assert(ebb_clip_grad_value(p, 1));
		ck_assert(i ? grad(p, "a", 1) == 1 : isnan(grad(p, "a", 1)));
		ebb_params_free(p);
	}
}
END_TEST

START_TEST(limits_that_are_not_positive_are_refused)
{
	const double bad[] = {0, -1, NAN};
	ebb_params *p = gradients(EBB_F32);

	for (int i = 0; i < 3; i++) {
		ck_assert(isnan(ebb_clip_grad_norm(p, bad[i])));
		ck_assert(strstr(ebb_params_error(p)->message, "max_norm"));
		ebb_params_clear_error(p);
		ck_assert(!ebb_clip_grad_value(p, bad[i]));
		ck_assert(strstr(ebb_params_error(p)->message, "limit"));
		ebb_params_clear_error(p);
	}
	ck_assert(grad(p, "a", 0) == 3);
	ck_assert(isnan(ebb_clip_grad_norm(NULL, 1)) && !ebb_clip_grad_value(NULL, 1));
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("optim-schedule");
	TCase *c = tcase_create("schedules");

	tcase_add_test(c, step_multiplies_by_gamma_every_n_steps);
	tcase_add_test(c, cosine_falls_from_1_to_last);
	tcase_add_test(c, warmup_rises_to_1);
	tcase_add_test(c, one_cycle_peaks_at_its_step);
	tcase_add_test(c, one_cycle_equals_pytorch);
	suite_add_tcase(s, c);
	c = tcase_create("clipping");
	tcase_add_loop_test(c, clipping_by_norm_scales_all_gradients_alike, 0, 2);
	tcase_add_loop_test(c, clipping_by_norm_works_for_any_magnitude, 0, 7);
	tcase_add_loop_test(c, clipping_by_value_clamps_every_element, 0, 2);
	tcase_add_test(c, clipping_by_norm_leaves_what_is_not_finite);
	tcase_add_test(c, limits_that_are_not_positive_are_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
