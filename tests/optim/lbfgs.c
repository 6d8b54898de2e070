/* L-BFGS against PyTorch's steps, on functions with a known minimum, and what is refused.  Adagrad
 * against PyTorch's steps. */
#include "problem.h"
#include "torch_steps.h"

#include <string.h>

/* ---- PyTorch ---- */

static void follow(
	problem *f, ebb_optim *o, const double *loss, const int *calls, const double *weight)
{
	ck_assert_msg(o, "%s", ebb_params_error(f->p) ? ebb_params_error(f->p)->message : "");
	for (int i = 0; i < STEPS; i++) {
		double got = ebb_optim_step_closure(o, closure, f);

		ck_assert_msg(fabs(got - loss[i]) <= 1e-9 * loss[i],
			"step %d: loss %.17g, PyTorch %.17g", i, got, loss[i]);
		ck_assert_msg(f->calls == calls[i], "step %d: %d calls, PyTorch %d", i, f->calls,
			calls[i]);
	}
	ck_assert_int_eq(ebb_optim_steps(o), STEPS);
	for (int i = 0; i < HIDDEN * (IN + 1); i++) {
		double got = i < HIDDEN * IN ? ebb_at(f->a, i) : ebb_at(f->b, i - HIDDEN * IN);

		ck_assert_msg(fabs(got - weight[i]) <= 1e-8, "weight %d: %.17g, PyTorch %.17g", i,
			got, weight[i]);
	}
	ebb_optim_free(o);
	finish(f);
}

START_TEST(steps_with_a_line_search_are_those_of_pytorch)
{
	problem f = fit(EBB_F64);

	follow(&f, ebb_lbfgs(f.p, .max_iter = 4, .history = 5), wolfe_loss, wolfe_calls,
		wolfe_weight);
}
END_TEST

START_TEST(steps_of_fixed_length_are_those_of_pytorch)
{
	problem f = fit(EBB_F64);

	follow(&f,
		ebb_lbfgs(f.p, .lr = 0.02, .max_iter = 4, .history = 3,
			.line_search = EBB_FIXED_STEP),
		fixed_loss, fixed_calls, fixed_weight);
}
END_TEST

START_TEST(steps_of_adagrad_are_those_of_pytorch)
{
	problem f = fit(EBB_F64);

	follow(&f,
		ebb_adagrad(f.p, .lr = 0.1, .lr_decay = 0.25, .weight_decay = 0.01,
			.initial_accumulator_value = 0.5),
		adagrad_loss, adagrad_calls, adagrad_weight);
}
END_TEST

/* ---- Minima ---- */

/* 100 (b - a^2)^2 + (1 - a)^2 (Rosenbrock 1960); its minimum is at (1, 1). */
static ebb_tensor *rosenbrock_loss(problem *f)
{
	ebb_tape *t = f->t;
	ebb_tensor *valley = ebb_square(t, ebb_sub(t, f->b, ebb_square(t, f->a)));
	ebb_tensor *rest = ebb_square(t, ebb_add_scalar(t, f->a, -1));

	return ebb_sum(t, ebb_add(t, ebb_mul_scalar(t, valley, 100), rest));
}

static problem rosenbrock(ebb_dtype dtype)
{
	problem f = begin(dtype, rosenbrock_loss);

	f.a = ebb_params_add(f.p, "a", EBB_SHAPE(1), EBB_INIT(EBB_INIT_CONSTANT, .value = -1.2));
	f.b = ebb_params_add(f.p, "b", EBB_SHAPE(1), EBB_INIT(EBB_INIT_CONSTANT, .value = 1));
	return f;
}

START_TEST(the_minimum_of_rosenbrocks_function_is_found)
{
	problem f = rosenbrock(EBB_F64), g = rosenbrock(EBB_F32);
	ebb_optim *o = ebb_lbfgs(f.p, .max_iter = 100, .tolerance_change = EBB_ZERO,
			  .tolerance_grad = 1e-11),
		  *single = ebb_lbfgs(g.p, .max_iter = 100);

	ck_assert_double_eq_tol(ebb_optim_step_closure(o, closure, &f), 24.2, 1e-12);
	ck_assert_msg(fabs(ebb_at(f.a, 0) - 1) < 1e-8 && fabs(ebb_at(f.b, 0) - 1) < 1e-8,
		"%.17g %.17g after %d calls", ebb_at(f.a, 0), ebb_at(f.b, 0), f.calls);
	ck_assert_int_lt(f.calls, 70);
	ebb_optim_step_closure(single, closure, &g);
	ck_assert(fabs(ebb_at(g.a, 0) - 1) < 1e-3 && fabs(ebb_at(g.b, 0) - 1) < 1e-3);
	ck_assert_int_lt(g.calls, 70);
	/* At the minimum, a step is one call. */
	g.calls = 0;
	f.calls = 0;
	ebb_optim_step_closure(o, closure, &f);
	ck_assert_int_eq(f.calls, 1);
	ebb_optim_free(o);
	ebb_optim_free(single);
	finish(&f);
	finish(&g);
}
END_TEST

enum { DIMENSIONS = 8 };

/* 1/2 sum c a^2 - sum c a, whose minimum is at 1; c runs from 1 to 10^4. */
static ebb_tensor *quadratic_loss(problem *f)
{
	ebb_tape *t = f->t;
	ebb_tensor *half = ebb_mul_scalar(t, ebb_square(t, f->a), 0.5);

	return ebb_sum(t, ebb_mul(t, f->x, ebb_sub(t, half, f->a)));
}

static problem quadratic(ebb_dtype dtype)
{
	problem f = begin(dtype, quadratic_loss);
	double c[DIMENSIONS];

	f.a = ebb_params_add(f.p, "a", EBB_SHAPE(DIMENSIONS), EBB_INIT(EBB_INIT_ZEROS));
	f.x = ebb_tensor_new(EBB_F64, EBB_SHAPE(DIMENSIONS), false, NULL);
	for (int i = 0; i < DIMENSIONS; i++)
		c[i] = pow(10, 4.0 * i / (DIMENSIONS - 1));
	ebb_copy_in(f.x, c, sizeof c);
	return f;
}

/* Steepest descent would need tens of thousands of iterations. */
START_TEST(a_convex_quadratic_function_is_minimized_in_few_iterations)
{
	problem f = quadratic(EBB_F64);
	ebb_optim *o = ebb_lbfgs(f.p, .max_iter = 1, .tolerance_change = EBB_ZERO);
	int steps = 0;
	double error;

	do {
		ck_assert(!isnan(ebb_optim_step_closure(o, closure, &f)));
		error = 0;
		for (int i = 0; i < DIMENSIONS; i++)
			error = fmax(error, fabs(ebb_at(f.a, i) - 1));
		steps++;
	} while (error > 1e-8 && steps < 200);
	ck_assert_msg(steps <= 6 * DIMENSIONS, "%d steps, error %g", steps, error);
	ebb_optim_free(o);
	finish(&f);
}
END_TEST

/* sum a - log a, whose minimum is at 1 and which is NaN for a < 0. */
static ebb_tensor *barrier_loss(problem *f)
{
	return ebb_sum(f->t, ebb_sub(f->t, f->a, ebb_log(f->t, f->a)));
}

START_TEST(a_loss_that_is_not_finite_shortens_the_step)
{
	problem f = begin(EBB_F64, barrier_loss);
	ebb_optim *o;

	f.a = ebb_params_add(f.p, "a", EBB_SHAPE(2), EBB_INIT(EBB_INIT_CONSTANT, .value = 30));
	/* The first trial is at 30 - 500. */
	o = ebb_lbfgs(f.p, .lr = 1000, .max_iter = 50);
	ck_assert_msg(
		!isnan(ebb_optim_step_closure(o, closure, &f)), "%s", ebb_optim_error(o)->message);
	ck_assert_msg(fabs(ebb_at(f.a, 0) - 1) < 1e-4 && fabs(ebb_at(f.a, 1) - 1) < 1e-4,
		"%g after %d calls", ebb_at(f.a, 0), f.calls);
	ebb_optim_free(o);
	finish(&f);
}
END_TEST

/* ---- Refusals ---- */

static void refused(ebb_optim *o, ebb_status status, const char *word)
{
	const ebb_error *e = ebb_optim_error(o);

	ck_assert_msg(e != NULL, "no error about \"%s\"", word);
	ck_assert_msg(e->status == status && strstr(e->message, word), "%d: %s", (int)e->status,
		e->message);
	ebb_optim_clear_error(o);
}

static ebb_tensor *nan_loss(problem *f)
{
	return ebb_mul_scalar(f->t, ebb_sum(f->t, f->a), NAN);
}

static ebb_tensor *other_loss(problem *f)
{
	return ebb_sum(f->t, f->x);
}

START_TEST(what_is_not_a_problem_is_refused)
{
	problem f = fit(EBB_F64);
	ebb_optim *o = ebb_lbfgs(f.p), *sgd = ebb_sgd(f.p, .lr = 0.001);
	uint64_t before = params_hash(f.p);

	ck_assert(!ebb_optim_step(o));
	refused(o, EBB_BAD_STATE, "ebb_optim_step_closure");
	ck_assert_int_eq(ebb_optim_scale(o, "*", 1, 0), -1);
	refused(o, EBB_INVALID, "lbfgs has one learning rate");
	ck_assert(isnan(ebb_optim_step_closure(o, NULL, &f)));
	refused(o, EBB_INVALID, "closure is NULL");
	ck_assert(isnan(ebb_optim_step_closure(NULL, closure, &f)));
	f.loss = nan_loss;
	ck_assert(isnan(ebb_optim_step_closure(o, closure, &f)));
	refused(o, EBB_NOT_FINITE, "loss at the start of the step is nan");
	/* No parameter takes part, or all are frozen. */
	ebb_set_requires_grad(f.x, true);
	f.loss = other_loss;
	ck_assert(isnan(ebb_optim_step_closure(o, closure, &f)));
	refused(o, EBB_BAD_STATE, "none of 2 parameters has a gradient");
	ck_assert(isnan(ebb_optim_step_closure(sgd, closure, &f)));
	refused(sgd, EBB_BAD_STATE, "none of 2 parameters has a gradient");
	ebb_set_requires_grad(f.x, false);
	f.loss = fit_loss;
	ebb_params_freeze(f.p, "*");
	ebb_set_requires_grad(f.x, true);
	ck_assert(isnan(ebb_optim_step_closure(o, closure, &f)));
	refused(o, EBB_BAD_STATE, "frozen");
	ck_assert_uint_eq(params_hash(f.p), before);
	ck_assert_int_eq(ebb_optim_steps(o), 0);
	ebb_optim_free(o);
	ebb_optim_free(sgd);
	finish(&f);
}
END_TEST

typedef struct nested {
	ebb_optim *o;
	problem *f;
} nested;

static bool nested_closure(void *ctx, double *loss)
{
	nested *n = ctx;

	ck_assert(isnan(ebb_optim_step_closure(n->o, closure, n->f)));
	return closure(n->f, loss);
}

START_TEST(a_closure_may_not_take_a_step_itself)
{
	problem f = fit(EBB_F64);
	nested n = {ebb_lbfgs(f.p), &f};

	ck_assert(isnan(ebb_optim_step_closure(n.o, nested_closure, &n)));
	refused(n.o, EBB_BAD_STATE, "same optimizer");
	ck_assert(!isnan(ebb_optim_step_closure(n.o, closure, &f)));
	ebb_optim_free(n.o);
	finish(&f);
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
	ebb_params *p = ebb_params_new(1);

#define STORE_REFUSES(word, call)                                                                  \
	do {                                                                                       \
		ck_assert_msg(!(call), "%s was accepted", #call);                                  \
		ck_assert_msg(ebb_params_error(p) && strstr(ebb_params_error(p)->message, word),   \
			"%s: %s", #call,                                                           \
			ebb_params_error(p) ? ebb_params_error(p)->message : "no error");          \
		ebb_params_clear_error(p);                                                         \
	} while (0)
	STORE_REFUSES("lbfgs: lr -1", ebb_lbfgs(p, .lr = -1));
	STORE_REFUSES("lbfgs: max_iter -1", ebb_lbfgs(p, .max_iter = -1));
	STORE_REFUSES("lbfgs: max_iter", ebb_lbfgs(p, .max_iter = INT64_MAX));
	STORE_REFUSES("lbfgs: max_eval -2", ebb_lbfgs(p, .max_eval = -2));
	STORE_REFUSES("lbfgs: history -3", ebb_lbfgs(p, .history = -3));
	STORE_REFUSES("lbfgs: history", ebb_lbfgs(p, .history = INT64_MAX));
	STORE_REFUSES("lbfgs: tolerance_grad nan", ebb_lbfgs(p, .tolerance_grad = NAN));
	STORE_REFUSES("lbfgs: tolerance_change -1", ebb_lbfgs(p, .tolerance_change = -1));
	STORE_REFUSES("lbfgs: line_search 7", ebb_lbfgs(p, .line_search = (ebb_line_search)7));
	ck_assert(!ebb_lbfgs(NULL));
	ebb_params_free(p);
}
END_TEST

/* ---- Parts of a store ---- */

START_TEST(frozen_parameters_stay_and_a_change_of_them_starts_anew)
{
	problem f = fit(EBB_F64), g = fit(EBB_F64);
	ebb_optim *o = small_lbfgs(f.p, false), *fresh;
	double b = ebb_at(f.b, 2);

	ebb_params_freeze(f.p, "b");
	ck_assert(ebb_optim_step_closure(o, closure, &f) > 40);
	ck_assert(ebb_optim_step_closure(o, closure, &f) < 40);
	ck_assert(ebb_at(f.b, 2) == b);
	ebb_params_unfreeze(f.p, "b");
	/* From here on the steps equal those of a new optimizer. */
	ck_assert(ebb_params_copy(g.p, f.p));
	fresh = small_lbfgs(g.p, false);
	for (int i = 0; i < 3; i++) {
		ebb_optim_step_closure(o, closure, &f);
		ebb_optim_step_closure(fresh, closure, &g);
	}
	ck_assert(ebb_at(f.b, 2) != b);
	ck_assert_uint_eq(params_hash(f.p), params_hash(g.p));
	ebb_optim_free(o);
	ebb_optim_free(fresh);
	finish(&f);
	finish(&g);
}
END_TEST

START_TEST(parameters_without_a_gradient_stay)
{
	problem f = fit(EBB_F64), g = fit(EBB_F64);
	ebb_optim *o, *plain = small_lbfgs(g.p, false);
	ebb_tensor *idle =
		ebb_params_add(f.p, "idle", EBB_SHAPE(4), EBB_INIT(EBB_INIT_CONSTANT, .value = 3));

	ebb_params_add(f.p, "empty", EBB_SHAPE(0, 4), EBB_INIT(EBB_INIT_ZEROS));
	o = small_lbfgs(f.p, false);
	for (int i = 0; i < 3; i++) {
		if (i == 2)
			ebb_params_add(f.p, "late", EBB_SHAPE(2), EBB_INIT(EBB_INIT_ZEROS));
		ebb_optim_step_closure(o, closure, &f);
		ebb_optim_step_closure(plain, closure, &g);
	}
	ck_assert(ebb_at(idle, 3) == 3);
	ck_assert(all_same(f.a, g.a) && all_same(f.b, g.b));
	ebb_optim_free(o);
	ebb_optim_free(plain);
	finish(&f);
	finish(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lbfgs");
	TCase *c = tcase_create("pytorch");

	tcase_add_test(c, steps_with_a_line_search_are_those_of_pytorch);
	tcase_add_test(c, steps_of_fixed_length_are_those_of_pytorch);
	tcase_add_test(c, steps_of_adagrad_are_those_of_pytorch);
	suite_add_tcase(s, c);
	c = tcase_create("minima");
	tcase_add_test(c, the_minimum_of_rosenbrocks_function_is_found);
	tcase_add_test(c, a_convex_quadratic_function_is_minimized_in_few_iterations);
	tcase_add_test(c, a_loss_that_is_not_finite_shortens_the_step);
	suite_add_tcase(s, c);
	c = tcase_create("refusals");
	tcase_add_test(c, what_is_not_a_problem_is_refused);
	tcase_add_test(c, a_closure_may_not_take_a_step_itself);
	tcase_add_test(c, options_out_of_range_are_refused);
	tcase_add_test(c, frozen_parameters_stay_and_a_change_of_them_starts_anew);
	tcase_add_test(c, parameters_without_a_gradient_stay);
	suite_add_tcase(s, c);
	return run_suite(s);
}
