/* Optimizers against their formulas in plain double loops, and the conditions under which a step
 * fails. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { N = 37, STEPS = 5 };

/* A store with a parameter w of N numbers and a parameter b that gets no gradient. */
typedef struct fixture {
	ebb_tape *t;
	ebb_params *p;
	ebb_tensor *w, *b;
} fixture;

static fixture setup(ebb_dtype dtype)
{
	fixture f = {.t = ebb_tape_new(), .p = ebb_params_new(1)};

	ck_assert(ebb_params_set_dtype(f.p, dtype));
	ebb_set_default_dtype(f.t, dtype);
	f.w = ebb_params_add(f.p, "fc.weight", EBB_SHAPE(N, 1), EBB_INIT(EBB_INIT_NORMAL));
	f.b = ebb_params_add(f.p, "fc.bias", EBB_SHAPE(3), EBB_INIT(EBB_INIT_CONSTANT, .value = 1));
	return f;
}

static void teardown(fixture *f)
{
	ebb_tape_free(f->t);
	ebb_params_free(f->p);
}

/* Zeroes the gradients, then accumulates g = a*w^2 + c for w (from the loss a/3*w^3 + c*w). */
static void accumulate(fixture *f, double a, double c)
{
	ebb_tape *t = f->t;
	ebb_tensor *cube = ebb_mul(t, ebb_square(t, f->w), f->w), *loss;

	loss = ebb_sum(t, ebb_add(t, ebb_mul_scalar(t, cube, a / 3), ebb_mul_scalar(t, f->w, c)));
	ebb_params_zero_grad(f->p);
	ck_assert_msg(ebb_backward(t, loss), "%s", ebb_error_message(t));
	ebb_tape_reset(t);
}

typedef struct rule {
	double lr, momentum, decay, beta1, beta2, eps;
	double lr_decay, initial;
	bool nesterov, decoupled;
} rule;

typedef void (*update_fn)(const rule *r, double *w, double g, double *m, double *v, int step);

static void sgd_update(const rule *r, double *w, double g, double *m, double *v, int step)
{
	(void)v;
	g += r->decay * *w;
	*m = step == 1 ? g : r->momentum * *m + g;
	*w -= r->lr * (r->nesterov ? g + r->momentum * *m : r->momentum != 0 ? *m : g);
}

static void adam_update(const rule *r, double *w, double g, double *m, double *v, int step)
{
	if (r->decoupled)
		*w -= r->lr * r->decay * *w;
	else
		g += r->decay * *w;
	*m = r->beta1 * *m + (1 - r->beta1) * g;
	*v = r->beta2 * *v + (1 - r->beta2) * g * g;
	*w -= r->lr * (*m / (1 - pow(r->beta1, step))) /
	      (sqrt(*v / (1 - pow(r->beta2, step))) + r->eps);
}

static void rmsprop_update(const rule *r, double *w, double g, double *m, double *v, int step)
{
	(void)step;
	g += r->decay * *w;
	*v = r->beta2 * *v + (1 - r->beta2) * g * g;
	*m = r->momentum * *m + g / (sqrt(*v) + r->eps);
	*w -= r->lr * *m;
}

static void adagrad_update(const rule *r, double *w, double g, double *m, double *v, int step)
{
	(void)m;
	g += r->decay * *w;
	*v += g * g;
	*w -= r->lr / (1 + (step - 1) * r->lr_decay) * g / (sqrt(*v) + r->eps);
}

static void follow(fixture *f, ebb_optim *o, update_fn update, const rule *r)
{
	double w[N], m[N] = {0}, v[N] = {0},
		     tolerance = ebb_dtype_of(f->w) == EBB_F64 ? 1e-12 : 2e-6;

	ck_assert_ptr_null(ebb_params_error(f->p));
	ck_assert_ptr_nonnull(o);
	for (int i = 0; i < N; i++) {
		w[i] = ebb_at(f->w, i);
		v[i] = r->initial;
	}
	for (int step = 1; step <= STEPS; step++) {
		double a = 0.3 * step, c = 0.5 - 0.2 * step;

		for (int i = 0; i < N; i++)
			update(r, &w[i], a * w[i] * w[i] + c, &m[i], &v[i], step);
		accumulate(f, a, c);
		ck_assert_msg(ebb_optim_step(o), "%s", ebb_optim_error(o)->message);
		for (int i = 0; i < N; i++)
			ck_assert_msg(fabs(ebb_at(f->w, i) - w[i]) <= tolerance * (1 + fabs(w[i])),
				"step %d, w[%d]: %.17g, expected %.17g", step, i, ebb_at(f->w, i),
				w[i]);
	}
	ck_assert_int_eq(ebb_optim_steps(o), STEPS);
	/* b never has a gradient, so decay and momentum leave it unchanged. */
	ck_assert(ebb_at(f->b, 0) == 1 && ebb_at(f->b, 2) == 1);
	ebb_optim_free(o);
}

static const ebb_dtype DTYPES[] = {EBB_F32, EBB_F64};

START_TEST(sgd_follows_its_formula)
{
	const rule rules[] = {
		{.lr = 1e-3},
		{.lr = 0.1, .decay = 0.05},
		{.lr = 0.1, .momentum = 0.9},
		{.lr = 0.1, .momentum = 0.9, .decay = 0.01},
		{.lr = 0.05, .momentum = 0.8, .decay = 0.01, .nesterov = true},
	};

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const rule *r = &rules[i];
		fixture f = setup(DTYPES[_i]);

		follow(&f,
			ebb_sgd(f.p, .lr = i == 0 ? 0 : r->lr, .momentum = r->momentum,
				.weight_decay = r->decay, .nesterov = r->nesterov),
			sgd_update, r);
		teardown(&f);
	}
}
END_TEST

START_TEST(adam_follows_its_formula)
{
	const rule standard = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
	const rule chosen = {.lr = 0.1, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .decay = 0.1};
	const rule zeros = {.lr = 0.1, .beta1 = 0, .beta2 = 0.9, .eps = 1e-8};
	fixture f = setup(DTYPES[_i]);

	follow(&f, ebb_adam(f.p), adam_update, &standard);
	follow(&f, ebb_adam(f.p, .lr = 0.1, .betas = {0.5, 0.9}, .eps = 1e-3, .weight_decay = 0.1),
		adam_update, &chosen);
	follow(&f, ebb_adam(f.p, .lr = 0.1, .betas = {EBB_ZERO, 0.9}), adam_update, &zeros);
	teardown(&f);
}
END_TEST

START_TEST(adamw_follows_its_formula)
{
	const rule standard = {.lr = 1e-3,
		.beta1 = 0.9,
		.beta2 = 0.999,
		.eps = 1e-8,
		.decay = 1e-2,
		.decoupled = true};
	const rule none = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decoupled = true};
	const rule strong = {.lr = 0.1,
		.beta1 = 0.8,
		.beta2 = 0.99,
		.eps = 1e-6,
		.decay = 0.5,
		.decoupled = true};
	fixture f = setup(DTYPES[_i]);

	follow(&f, ebb_adamw(f.p), adam_update, &standard);
	follow(&f, ebb_adamw(f.p, .lr = 0.1, .weight_decay = EBB_ZERO), adam_update, &none);
	follow(&f,
		ebb_adamw(f.p, .lr = 0.1, .betas = {0.8, 0.99}, .eps = 1e-6, .weight_decay = 0.5),
		adam_update, &strong);
	teardown(&f);
}
END_TEST

START_TEST(rmsprop_follows_its_formula)
{
	const rule standard = {.lr = 1e-2, .beta2 = 0.99, .eps = 1e-8};
	const rule chosen = {.lr = 0.01, .beta2 = 0.9, .eps = 1e-4, .momentum = 0.7, .decay = 0.1};
	fixture f = setup(DTYPES[_i]);

	follow(&f, ebb_rmsprop(f.p), rmsprop_update, &standard);
	follow(&f,
		ebb_rmsprop(f.p, .lr = 0.01, .alpha = 0.9, .eps = 1e-4, .momentum = 0.7,
			.weight_decay = 0.1),
		rmsprop_update, &chosen);
	teardown(&f);
}
END_TEST

START_TEST(adagrad_follows_its_formula)
{
	const rule standard = {.lr = 1e-2, .eps = 1e-10};
	const rule chosen = {.lr = 0.1, .eps = 1e-3, .decay = 0.1, .lr_decay = 0.5, .initial = 2};
	fixture f = setup(DTYPES[_i]);

	follow(&f, ebb_adagrad(f.p), adagrad_update, &standard);
	follow(&f,
		ebb_adagrad(f.p, .lr = 0.1, .eps = 1e-3, .weight_decay = 0.1, .lr_decay = 0.5,
			.initial_accumulator_value = 2),
		adagrad_update, &chosen);
	teardown(&f);
}
END_TEST

/* Asserts that the optimizer has failed with this status and these words, and clears the error. */
static void optim_refused(ebb_optim *o, ebb_status status, const char *word)
{
	const ebb_error *e = ebb_optim_error(o);

	ck_assert_msg(e != NULL, "no error about \"%s\"", word);
	ck_assert_msg(e->status == status && strstr(e->message, word), "%d: %s", (int)e->status,
		e->message);
	ebb_optim_clear_error(o);
	ck_assert_ptr_null(ebb_optim_error(o));
}

START_TEST(a_step_needs_a_gradient)
{
	fixture f = setup(EBB_F32);
	ebb_optim *o = ebb_sgd(f.p, .lr = 0.1, .momentum = 0.9);
	uint64_t before = params_hash(f.p);

	ck_assert(!ebb_optim_step(o));
	ck_assert(strstr(ebb_optim_error(o)->message, "sgd: none of 2 parameters has a gradient"));
	/* The error stays. */
	accumulate(&f, 1, 1);
	ck_assert(!ebb_optim_step(o));
	optim_refused(o, EBB_BAD_STATE, "zero_grad");
	ck_assert_uint_eq(params_hash(f.p), before);
	ck_assert(ebb_optim_step(o));
	ck_assert_uint_ne(params_hash(f.p), before);
	/* A second step with the same gradient is allowed; one after zeroing is not. */
	ck_assert(ebb_optim_step(o));
	before = params_hash(f.p);
	ebb_params_zero_grad(f.p);
	ck_assert(!ebb_optim_step(o));
	optim_refused(o, EBB_BAD_STATE, "no ebb_backward succeeded");
	/* A failed ebb_backward accumulates nothing. */
	ck_assert(!ebb_backward(f.t, ebb_mul(f.t, f.w, f.w)));
	ck_assert(!ebb_optim_step(o));
	ck_assert_uint_eq(params_hash(f.p), before);
	ck_assert_int_eq(ebb_optim_steps(o), 2);
	ebb_optim_free(o);
	teardown(&f);
}
END_TEST

START_TEST(frozen_parameters_are_not_updated)
{
	fixture f = setup(EBB_F64);
	ebb_optim *o = ebb_adamw(f.p, .lr = 0.1);
	uint64_t before;

	accumulate(&f, 1, 1);
	ebb_params_freeze(f.p, "fc.w*");
	before = params_hash(f.p);
	ck_assert(!ebb_optim_step(o));
	optim_refused(o, EBB_BAD_STATE, "adamw");
	ck_assert(ebb_backward(f.t, ebb_sum(f.t, f.b)));
	ck_assert(ebb_optim_step(o));
	ck_assert_uint_ne(params_hash(f.p), before);
	ck_assert(ebb_at(f.b, 0) < 1);
	ck_assert_ptr_null(ebb_grad_of(f.w));
	ebb_params_unfreeze(f.p, "*");
	accumulate(&f, 1, 1);
	before = params_hash(f.p);
	ck_assert(ebb_optim_step(o));
	ck_assert_uint_ne(params_hash(f.p), before);
	ebb_optim_free(o);
	teardown(&f);
}
END_TEST

START_TEST(an_optimizer_over_a_view_updates_the_view_alone)
{
	fixture f = setup(EBB_F64);
	ebb_tensor *other = ebb_params_add(
		f.p, "head.weight", EBB_SHAPE(2), EBB_INIT(EBB_INIT_CONSTANT, .value = 1));
	ebb_optim *o = ebb_sgd(ebb_params_sub(f.p, "head"), .lr = 1);
	double w = ebb_at(f.w, 0);

	ck_assert(ebb_backward(f.t, ebb_add(f.t, ebb_sum(f.t, f.w), ebb_sum(f.t, other))));
	ck_assert(ebb_optim_step(o));
	ck_assert(ebb_at(other, 0) == 0 && ebb_at(f.w, 0) == w);
	ebb_optim_free(o);
	teardown(&f);
}
END_TEST

START_TEST(scales_apply_to_matching_names)
{
	fixture f = setup(EBB_F64);
	ebb_optim *o = ebb_sgd(f.p, .lr = 0.5, .weight_decay = 0.5);
	double w = ebb_at(f.w, 0);

	ck_assert_int_eq(ebb_optim_scale(o, "*", 0.1, 1), 2);
	ck_assert_int_eq(ebb_optim_scale(o, "*.bias", 1, 0), 1);
	ck_assert(ebb_backward(f.t, ebb_add(f.t, ebb_sum(f.t, f.w), ebb_sum(f.t, f.b))));
	ck_assert(ebb_optim_step(o));
	ck_assert(ebb_at(f.b, 0) == 0.5);
	ck_assert_double_eq_tol(ebb_at(f.w, 0), w - 0.05 * (1 + 0.5 * w), 1e-15);
	ck_assert_int_eq(ebb_optim_scale(o, "nothing", 1, 1), 0);
	ck_assert_int_eq(ebb_optim_scale(o, "*", -1, 1), -1);
	optim_refused(o, EBB_INVALID, "lr_scale -1");
	ck_assert_int_eq(ebb_optim_scale(o, NULL, 1, 1), -1);
	optim_refused(o, EBB_INVALID, "NULL");
	ck_assert_int_eq(ebb_optim_scale(NULL, "*", 1, 1), -1);
	ebb_optim_free(o);
	teardown(&f);
}
END_TEST

START_TEST(parameters_added_later_get_their_state)
{
	fixture f = setup(EBB_F32);
	ebb_optim *o = ebb_adam(f.p, .lr = 0.1);
	ebb_tensor *late;

	accumulate(&f, 1, 1);
	ck_assert(ebb_optim_step(o));
	late = ebb_params_add(f.p, "late", EBB_SHAPE(4), EBB_INIT(EBB_INIT_ZEROS));
	ck_assert(ebb_backward(f.t, ebb_sum(f.t, late)));
	ck_assert(ebb_optim_step(o));
	/* Adam's first step is lr for any gradient, so the parameter counts its own steps. */
	ck_assert_double_eq_tol(ebb_at(late, 3), -0.1, 1e-6);
	ebb_optim_free(o);
	teardown(&f);
}
END_TEST

/* The store was empty, and F32, when the optimizer was made. */
START_TEST(an_empty_store_may_change_its_type_later)
{
	ebb_params *p = ebb_params_new(1);
	ebb_optim *o = ebb_sgd(p, .lr = 0.5);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *w;

	ck_assert(ebb_params_set_dtype(p, EBB_F64));
	w = ebb_params_add(p, "w", EBB_SHAPE(3), EBB_INIT(EBB_INIT_CONSTANT, .value = 2));
	ck_assert(ebb_backward(t, ebb_sum(t, w)));
	ck_assert(ebb_optim_step(o));
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq_tol(ebb_at(w, i), 1.5, 1e-15);
	ebb_tape_free(t);
	ebb_optim_free(o);
	ebb_params_free(p);
}
END_TEST

START_TEST(check_finite_refuses_nan_and_infinity)
{
	for (int dtype = 0; dtype < 2; dtype++) {
		for (int infinite = 0; infinite < 2; infinite++) {
			fixture f = setup(DTYPES[dtype]);
			ebb_optim *o = ebb_adam(f.p, .check_finite = true),
				  *trusting = ebb_sgd(f.p);
			uint64_t before = params_hash(f.p);

			accumulate(&f, 1, infinite ? INFINITY : NAN);
			ck_assert(!ebb_optim_step(o));
			optim_refused(o, EBB_NOT_FINITE, "\"fc.weight\"");
			ck_assert_uint_eq(params_hash(f.p), before);
			accumulate(&f, 1, 1);
			ck_assert(ebb_optim_step(o));
			accumulate(&f, 1, NAN);
			ck_assert(ebb_optim_step(trusting));
			ck_assert(isnan(ebb_at(f.w, 0)));
			ebb_optim_free(o);
			ebb_optim_free(trusting);
			teardown(&f);
		}
	}
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
	fixture f = setup(EBB_F32);
	ebb_optim *o;

#define STORE_REFUSES(word, call)                                                                  \
	do {                                                                                       \
		ck_assert_msg(!(call), "%s was accepted", #call);                                  \
		ck_assert_msg(                                                                     \
			ebb_params_error(f.p) && strstr(ebb_params_error(f.p)->message, word),     \
			"%s: %s", #call,                                                           \
			ebb_params_error(f.p) ? ebb_params_error(f.p)->message : "no error");      \
		ck_assert(strstr(ebb_params_error(f.p)->message, "optim.c:"));                     \
		ebb_params_clear_error(f.p);                                                       \
	} while (0)
	STORE_REFUSES("sgd: lr -1", ebb_sgd(f.p, .lr = -1));
	STORE_REFUSES("sgd: lr nan", ebb_sgd(f.p, .lr = NAN));
	STORE_REFUSES("sgd: momentum -0.5", ebb_sgd(f.p, .momentum = -0.5));
	STORE_REFUSES("sgd: weight_decay inf", ebb_sgd(f.p, .weight_decay = INFINITY));
	STORE_REFUSES("nesterov without momentum", ebb_sgd(f.p, .nesterov = true));
	STORE_REFUSES("adam: betas[0] 1,", ebb_adam(f.p, .betas = {1}));
	STORE_REFUSES("adamw: betas[1] -1", ebb_adamw(f.p, .betas = {0.9, -1}));
	STORE_REFUSES("adam: eps -1", ebb_adam(f.p, .eps = -1));
	STORE_REFUSES("rmsprop: alpha 1,", ebb_rmsprop(f.p, .alpha = 1));
	STORE_REFUSES("adagrad: lr -1", ebb_adagrad(f.p, .lr = -1));
	STORE_REFUSES("adagrad: lr_decay -1", ebb_adagrad(f.p, .lr_decay = -1));
	STORE_REFUSES("adagrad: eps nan", ebb_adagrad(f.p, .eps = NAN));
	STORE_REFUSES("initial_accumulator_value inf",
		ebb_adagrad(f.p, .initial_accumulator_value = INFINITY));
	STORE_REFUSES("adagrad: weight_decay -1", ebb_adagrad(f.p, .weight_decay = -1));
	ebb_params_fail(f.p, EBB_INVALID, NULL, "failed");
	ck_assert_ptr_null(ebb_sgd(f.p));
	ebb_params_clear_error(f.p);
	ck_assert_ptr_null(ebb_sgd(NULL));
	ck_assert_ptr_nonnull(ebb_optim_error(NULL));
	ck_assert(!ebb_optim_step(NULL) && !ebb_optim_set_lr(NULL, 1) && isnan(ebb_optim_lr(NULL)));
	ebb_optim_clear_error(NULL);
	ebb_optim_free(NULL);

	o = ebb_sgd(f.p, .lr = EBB_ZERO);
	ck_assert(ebb_optim_lr(o) == 0);
	ck_assert(ebb_optim_set_lr(o, 0.25) && ebb_optim_lr(o) == 0.25);
	ck_assert(!ebb_optim_set_lr(o, -1));
	optim_refused(o, EBB_INVALID, "optim_set_lr: -1");
	ck_assert(ebb_optim_lr(o) == 0.25);
	ebb_params_free(f.p);
	f.p = NULL;
	ebb_optim_free(o);
	ebb_tape_free(f.t);
}
END_TEST

/* ebb_backward fails if a step has overwritten a value that is saved for the gradient. */
START_TEST(backward_detects_a_saved_value_that_a_step_overwrote)
{
	fixture f = setup(EBB_F32);
	ebb_optim *o = ebb_sgd(f.p);
	ebb_tensor *loss;

	accumulate(&f, 1, 1);
	loss = ebb_sum(f.t, ebb_square(f.t, f.w));
	ck_assert(ebb_optim_step(o));
	ck_assert(!ebb_backward(f.t, loss));
	ck_assert_int_eq(ebb_error_status(f.t), EBB_BAD_STATE);
	ebb_optim_free(o);
	teardown(&f);
}
END_TEST

START_TEST(failed_allocations_change_nothing)
{
	counting_allocator a;
	bool done = false;

	for (int fail_at = 0; !done; fail_at++) {
		fixture f;
		ebb_optim *o;
		int64_t calls;

		counting_allocator_install(&a);
		f = setup(EBB_F32);
		accumulate(&f, 1, 1);
		a.fail_at = a.calls + fail_at;
		o = ebb_adam(f.p);
		done = a.refused == 0;
		a.fail_at = -1;
		if (done) {
			calls = a.calls;
			ck_assert(ebb_optim_step(o) && ebb_optim_step(o));
			ck_assert_int_eq(a.calls, calls);
			/* If the state of a late parameter cannot be allocated, nothing is
			 * changed. */
			ebb_params_add(f.p, "late", EBB_SHAPE(4), EBB_INIT(EBB_INIT_ZEROS));
			for (int k = 0; k < 3; k++) {
				uint64_t before = params_hash(f.p);

				/* fails at the list, at the first state, at the second state */
				a.fail_at = a.calls + (k > 0);
				ck_assert(!ebb_optim_step(o));
				a.fail_at = -1;
				ck_assert_uint_eq(params_hash(f.p), before);
				optim_refused(o, EBB_NO_MEMORY, "adam");
			}
			ck_assert(ebb_optim_step(o));
		} else {
			ck_assert_ptr_null(o);
			ck_assert_int_eq(ebb_params_error(f.p)->status, EBB_NO_MEMORY);
		}
		ebb_optim_free(o);
		teardown(&f);
		counting_allocator_remove();
		ck_assert_msg(a.live == 0 && a.bytes == 0 && a.wrong == 0,
			"allocation %d: %lld blocks left", fail_at, (long long)a.live);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("optim");
	TCase *c = tcase_create("formulas");

	tcase_add_loop_test(c, sgd_follows_its_formula, 0, 2);
	tcase_add_loop_test(c, adam_follows_its_formula, 0, 2);
	tcase_add_loop_test(c, adamw_follows_its_formula, 0, 2);
	tcase_add_loop_test(c, rmsprop_follows_its_formula, 0, 2);
	tcase_add_loop_test(c, adagrad_follows_its_formula, 0, 2);
	suite_add_tcase(s, c);
	c = tcase_create("steps");
	tcase_add_test(c, a_step_needs_a_gradient);
	tcase_add_test(c, frozen_parameters_are_not_updated);
	tcase_add_test(c, an_optimizer_over_a_view_updates_the_view_alone);
	tcase_add_test(c, scales_apply_to_matching_names);
	tcase_add_test(c, parameters_added_later_get_their_state);
	tcase_add_test(c, an_empty_store_may_change_its_type_later);
	tcase_add_test(c, check_finite_refuses_nan_and_infinity);
	tcase_add_test(c, options_out_of_range_are_refused);
	tcase_add_test(c, backward_detects_a_saved_value_that_a_step_overwrote);
	tcase_add_test(c, failed_allocations_change_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
