/* Subnormal numbers are flushed or kept as the tape's setting says, in every thread and every op.
 * The calling thread's floating-point state is restored in callbacks and after every call. */
#include "tests/support/support.h"

#include <fenv.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/float_state.h"
#include "kernels/kernels.h"

static ebb_tape *tape;

static void set_up(void)
{
	tape = ebb_tape_new();
}

static void tear_down(void)
{
	assert_healthy(tape);
	ebb_tape_free(tape);
	ebb_set_threads(0);
}

/* ---- What a tape computes ------------------------------------------------------------------- */

/* A product that is 1e-40 in F32 and 1e-310 in F64, if subnormal numbers are kept. */
static double smallest_product(ebb_dtype dtype)
{
	double factor = dtype == EBB_F32 ? 1e-20 : 1e-155;
	ebb_tensor *x;

	ebb_set_default_dtype(tape, dtype);
	x = ebb_scalar(tape, factor);
	return ebb_item(ebb_mul(tape, x, x));
}

START_TEST(the_default_flushes_f32_and_keeps_f64)
{
	ck_assert_int_eq(ebb_flush_subnormal(tape), EBB_FLUSH_F32);
	ck_assert(smallest_product(EBB_F32) == 0);
	ck_assert_double_eq_tol(smallest_product(EBB_F64) * 1e300, 1e-10, 1e-20);

	ck_assert_int_eq(ebb_set_flush_subnormal(tape, EBB_FLUSH_NEVER), EBB_FLUSH_F32);
	ck_assert_double_eq_tol(smallest_product(EBB_F32) * 1e30, 1e-10, 1e-14);
	ck_assert_double_eq_tol(smallest_product(EBB_F64) * 1e300, 1e-10, 1e-20);

	ck_assert_int_eq(ebb_set_flush_subnormal(tape, EBB_FLUSH_ALWAYS), EBB_FLUSH_NEVER);
	ck_assert(smallest_product(EBB_F32) == 0);
	ck_assert(smallest_product(EBB_F64) == 0);
	ck_assert_int_eq(ebb_set_flush_subnormal(tape, EBB_FLUSH_F32), EBB_FLUSH_ALWAYS);
}
END_TEST

START_TEST(an_unknown_mode_is_refused)
{
	ebb_set_flush_subnormal(tape, (ebb_flush)7);
	check_error(
		tape, EBB_INVALID, "set_flush_subnormal", (const char *[]){"7", "expected", NULL});
	ebb_clear_error(tape);
	ck_assert_int_eq(ebb_flush_subnormal(tape), EBB_FLUSH_F32);
}
END_TEST

START_TEST(values_that_are_only_copied_are_not_flushed)
{
	float x[] = {1e-40F, -1e-45F};
	ebb_tensor *a = ebb_from_f32(tape, EBB_SHAPE(2), x),
		   *b = ebb_full(tape, EBB_SHAPE(2), 1e-40), *c = ebb_scalar(tape, 1e-40),
		   *d = ebb_from_f64(tape, EBB_SHAPE(1), (double[]){1e-40});

	ck_assert(ebb_at(a, 0) == (double)1e-40F && ebb_at(a, 1) == (double)-1e-45F);
	ck_assert(ebb_at(b, 1) == (double)1e-40F && ebb_item(c) == (double)1e-40F);
	ck_assert(ebb_item(d) == (double)1e-40F);
	ck_assert(ebb_at(ebb_reshape(tape, a, EBB_SHAPE(2, 1)), 0) == (double)1e-40F);
	ck_assert(ebb_at(ebb_transpose(tape, ebb_reshape(tape, a, EBB_SHAPE(1, 2)), 0, 1), 0) ==
		  (double)1e-40F);
	/* Operands of 1e-40 count as zero. */
	ck_assert(ebb_item(ebb_mul_scalar(tape, c, 1e10)) == 0);
	ebb_set_flush_subnormal(tape, EBB_FLUSH_NEVER);
	ck_assert_double_eq_tol(ebb_item(ebb_mul_scalar(tape, c, 1e10)), 1e-30, 1e-34);
}
END_TEST

/* ---- Every thread --------------------------------------------------------------------------- */

/* The number of elements of x that are zero. */
static int64_t zeros(const ebb_tensor *x)
{
	ebb_float_state own = ebb_float_enter(false);
	int64_t n = 0;

	for (int64_t i = 0; i < ebb_count(x); i++)
		n += ebb_at(x, i) == 0;
	ebb_float_leave(own);
	return n;
}

static ebb_tensor *of_1e20(ebb_shape s)
{
	return ebb_variable(tape, ebb_full(tape, s, 1e-20));
}

/* Asserts the number of zeros in results that are large enough for several threads. */
static void check_all(int64_t (*expected)(const ebb_tensor *))
{
	ebb_tensor *a = of_1e20(EBB_SHAPE(256, 300)), *b = of_1e20(EBB_SHAPE(300, 256)),
		   *x = of_1e20(EBB_SHAPE(4, 16, 32, 32)), *w = of_1e20(EBB_SHAPE(16, 16, 3, 3)),
		   *v = of_1e20(EBB_SHAPE(1 << 20)), *g;
	ebb_tensor *y[] = {ebb_matmul(tape, a, b), ebb_conv2d(tape, x, w, .pad = 1),
		ebb_mul(tape, v, v), ebb_sum(tape, ebb_mul(tape, x, x), EBB_AXES(1)),
		ebb_avgpool2d(tape, ebb_mul(tape, x, x), .kernel = 2),
		ebb_layernorm(tape, x, .weight = ebb_ones(tape, EBB_SHAPE(32)),
			.bias = ebb_full(tape, EBB_SHAPE(32), 1e-40)),
		ebb_softmax(tape, ebb_from_f32(tape, EBB_SHAPE(2), (float[]){0, -91}), 0)};

	for (int i = 0; i < 6; i++) {
		ck_assert_msg(zeros(y[i]) == expected(y[i]), "result %d: %lld zeros of %lld", i,
			(long long)zeros(y[i]), (long long)ebb_count(y[i]));
		ebb_grad(tape, y[i], 1,
			&(ebb_tensor *){i == 0   ? a
					: i == 2 ? v
						 : x},
			&g, .gy = ebb_full(tape, ebb_shape_of(y[i]), 1e-20));
		if (i != 5)
			ck_assert_msg(zeros(g) == expected(g), "gradient %d: %lld zeros", i,
				(long long)zeros(g));
	}
	ck_assert(zeros(y[6]) == (expected(y[6]) > 0));
}

static int64_t all(const ebb_tensor *x)
{
	return ebb_count(x);
}

static int64_t none(const ebb_tensor *x)
{
	(void)x;
	return 0;
}

START_TEST(all_threads_flush_or_none_does)
{
	for (int threads = 1; threads <= 7; threads += 3) {
		ebb_set_threads(threads);
		ebb_set_flush_subnormal(tape, EBB_FLUSH_F32);
		check_all(all);
		ebb_set_flush_subnormal(tape, EBB_FLUSH_NEVER);
		check_all(none);
		ebb_tape_reset(tape);
	}
}
END_TEST

/* ---- The caller's own state ----------------------------------------------------------------- */

static volatile float tiny = 1e-20F;

/* Whether this thread flushes, by a product that the compiler cannot evaluate. */
static bool flushes_here(void)
{
	return tiny * tiny == 0;
}

static ebb_float_state expected_state;
static int looks;

static void look(void)
{
	/* Only the control bits: any arithmetic sets exception flags, the lowest six bits of
	 * MXCSR. */
	ck_assert_uint_eq(ebb_float_get() & ~UINT64_C(0x3f), expected_state & ~UINT64_C(0x3f));
	looks++;
}

static void looking_vjp(ebb_vjp *v)
{
	look();
	ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, 2));
	look();
}
static const ebb_op LOOKING = {.name = "looking", .vjp = looking_vjp};

/* y = 2x */
static ebb_tensor *looking(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &LOOKING, EBB_SITE, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	look();
	for (int64_t i = 0; y && i < ebb_count(x); i++)
		((float *)ebb_data_mutable(y))[i] = 2 * ((const float *)ebb_data(x))[i];
	return ebb_record(&c, y);
}

static ebb_tensor *looking_segment(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	look();
	return looking(t, ebb_sigmoid(t, x));
}

static void on_node(void *ctx, const ebb_node *node)
{
	(void)ctx, (void)node;
	look();
}

static void on_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	(void)ctx, (void)node, (void)g;
	look();
}

static void on_scope(void *ctx, const ebb_scope *scope, const ebb_tensor *y)
{
	(void)ctx, (void)scope, (void)y;
	look();
}

static void on_run(void *ctx, const ebb_run *run)
{
	(void)ctx, (void)run;
	look();
}

static void *looking_alloc(void *ctx, void *p, size_t old_size, size_t new_size)
{
	(void)ctx, (void)old_size;
	look();
	if (new_size == 0) {
		free(p);
		return NULL;
	}
	return realloc(p, new_size);
}

static void a_step_under_every_eye(ebb_flush mode)
{
	ebb_observer o = {.recorded = on_node,
		.gradient = on_gradient,
		.scope_ended = on_scope,
		.ran = on_run};
	ebb_params *p;
	ebb_linear fc;
	ebb_optim *opt;
	ebb_tape *t;
	ebb_tensor *x, *loss;
	int before = looks;

	ebb_set_allocator(looking_alloc, NULL);
	t = ebb_tape_new();
	p = ebb_params_new(1);
	fc = ebb_linear_new(p, "fc", 600, 300);
	opt = ebb_adam(p, .weight_decay = 0.1);
	ebb_set_flush_subnormal(t, mode);
	ebb_observe(t, &o);
	for (int step = 0; step < 2; step++) {
		ebb_scope_begin(t, "net");
		x = ebb_randn(t, EBB_SHAPE(64, 600));
		look();
		x = ebb_linear_forward(t, &fc, x);
		look();
		x = ebb_checkpoint(t, looking_segment, NULL, x);
		loss = ebb_scope_end(t, ebb_mean(t, looking(t, x)));
		ebb_params_zero_grad(p);
		ck_assert(ebb_backward(t, loss));
		look();
		ebb_clip_grad_norm(p, 1e-3);
		look();
		ck_assert(ebb_optim_step(opt));
		look();
		assert_healthy(t);
		ebb_tape_reset(t);
	}
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_set_allocator(NULL, NULL);
	ck_assert_int_gt(looks, before + 40);
}

START_TEST(the_callers_floating_point_state_is_restored)
{
	for (ebb_flush mode = EBB_FLUSH_NEVER; mode <= EBB_FLUSH_F32; mode++) {
		expected_state = ebb_float_get();
		ck_assert(!flushes_here());
		a_step_under_every_eye(mode);
		ck_assert(!flushes_here());
	}
}
END_TEST

START_TEST(the_callers_setting_and_the_tapes_are_independent)
{
	ebb_float_state own = ebb_float_get();

	if (!EBB_CAN_FLUSH)
		return;
	ebb_float_set(EBB_FLOAT_FLUSH);
	expected_state = EBB_FLOAT_FLUSH;
	a_step_under_every_eye(EBB_FLUSH_NEVER);
	ebb_set_flush_subnormal(tape, EBB_FLUSH_NEVER);
	check_all(none);
	ck_assert(flushes_here());
	ebb_float_set(own);
}
END_TEST

START_TEST(results_do_not_depend_on_the_callers_rounding)
{
	static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	ebb_tensor *a = persistent_random(EBB_F32, EBB_SHAPE(200, 300), 1),
		   *b = persistent_random(EBB_F32, EBB_SHAPE(300, 200), 2), *nearest;

	nearest = ebb_tanh(tape, ebb_matmul(tape, a, b));
	for (int i = 0; i < 3; i++) {
		ebb_tensor *y;

		fesetround(modes[i]);
		y = ebb_tanh(tape, ebb_matmul(tape, a, b));
		ck_assert_int_eq(fegetround(), modes[i]);
		fesetround(FE_TONEAREST);
		ck_assert(all_same(y, nearest));
	}
	ebb_tape_reset(tape);
	ebb_tensor_free(a);
	ebb_tensor_free(b);
}
END_TEST

/* ---- Places that could use the wrong setting ------------------------------------------------ */

static ebb_tensor *product_of_1e20(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	x = ebb_mul_scalar(t, x, 1e-20);
	return ebb_mul(t, ebb_mul_scalar(t, x, 1e20), x);
}

/* 1e25*d(x*(x*1e-20))/dx at 1e-20.  The forward pass and the gradient each contribute a product of
 * 1e-15 with x*1e-20 = 1e-40, unless 1e-40 is flushed. */
static double gradient(bool checkpointed, ebb_flush forward, ebb_flush backward)
{
	ebb_tensor *x = of_1e20(EBB_SHAPE(1)), *y, *g;

	ebb_set_flush_subnormal(tape, forward);
	y = checkpointed ? ebb_checkpoint(tape, product_of_1e20, NULL, x)
	                 : product_of_1e20(tape, x, NULL);
	ebb_set_flush_subnormal(tape, backward);
	ck_assert(ebb_grad(tape, y, 1, &x, &g, .gy = ebb_full(tape, EBB_SHAPE(1), 1e25)));
	ck_assert_int_eq(ebb_flush_subnormal(tape), backward);
	return ebb_item(g);
}

START_TEST(a_recomputation_has_the_setting_of_its_first_run)
{
	static const ebb_flush modes[] = {EBB_FLUSH_NEVER, EBB_FLUSH_F32};

	for (int f = 0; f < 2; f++)
		for (int b = 0; b < 2; b++) {
			double plain = gradient(false, modes[f], modes[b]);

			ck_assert_double_eq(gradient(true, modes[f], modes[b]), plain);
			if (EBB_CAN_FLUSH)
				ck_assert_double_eq_tol(plain * 1e15, f ? 0 : 2 - b, 1e-3);
		}
}
END_TEST

/* Statistics and coefficients that an op computes outside its kernels. */
START_TEST(norms_do_not_depend_on_the_callers_state)
{
	enum { C = 6 };
	double x[4 * C], small[C], y[2][3 * 4 * C], running[2][2 * C];
	static const ebb_float_state callers[] = {EBB_FLOAT_KEEP, EBB_FLOAT_FLUSH};

	for (int i = 0; i < 4 * C; i++)
		x[i] = sin(i);
	for (int i = 0; i < C; i++)
		small[i] = 1e-309 * (i + 1);
	for (int k = 0; k < 2; k++) {
		ebb_error e = {0};
		ebb_tensor *mean = ebb_tensor_new(EBB_F64, EBB_SHAPE(C), false, &e),
			   *var = ebb_tensor_new(EBB_F64, EBB_SHAPE(C), false, &e), *in, *w,
			   *out[3], *g;
		ebb_float_state own = ebb_float_get();
		bool ok = true;

		ebb_set_default_dtype(tape, EBB_F64);
		ebb_float_set(callers[k]);
		in = ebb_variable(tape, ebb_from_f64(tape, EBB_SHAPE(4, C), x));
		w = ebb_from_f64(tape, EBB_SHAPE(C), small);
		out[0] = ebb_batchnorm(tape, in, .weight = w, .bias = w, .running_mean = mean,
			.running_var = var, .momentum = 1e-309);
		out[1] = ebb_groupnorm(tape, in, .groups = 2, .weight = w, .bias = w);
		ok = ebb_grad(tape,
			ebb_sum(tape, ebb_square(tape, ebb_mul_scalar(tape, out[1], 1e300))), 1,
			&in, &g);
		out[2] = g;
		for (int i = 0; i < 3; i++)
			ok = ok && ebb_copy_out(out[i], y[k] + i * 4 * C, sizeof x);
		ok = ok && ebb_copy_out(mean, running[k], sizeof small) &&
		     ebb_copy_out(var, running[k] + C, sizeof small);
		ebb_float_set(own);
		ck_assert(ok);
		ebb_tape_reset(tape);
		ebb_tensor_free(mean);
		ebb_tensor_free(var);
	}
	ck_assert(y[0][0] != 0 && running[0][0] != 0);
	ck_assert_mem_eq(y[0], y[1], sizeof y[0]);
	ck_assert_mem_eq(running[0], running[1], sizeof running[0]);
}
END_TEST

START_TEST(optimizers_always_flush)
{
	ebb_params *p = ebb_params_new(1);
	ebb_tensor *w = ebb_params_add(p, "w", EBB_SHAPE(4), EBB_INIT(EBB_INIT_ZEROS));
	ebb_optim *opt = ebb_sgd(p, .lr = 1e-20);

	ebb_set_flush_subnormal(tape, EBB_FLUSH_NEVER);
	ebb_backward(tape, ebb_sum(tape, ebb_mul_scalar(tape, w, 1e-20)));
	ck_assert(ebb_at(ebb_grad_of(w), 0) > 0);
	ck_assert(ebb_optim_step(opt));
	ck_assert(ebb_at(w, 0) == 0);
	ebb_tape_reset(tape);
	ebb_optim_free(opt);
	ebb_params_free(p);
}
END_TEST

START_TEST(statistics_see_subnormal_numbers)
{
	ebb_tensor *x = ebb_full(tape, EBB_SHAPE(100), 1e-40);
	ebb_stats s;

	for (int flush = 0; flush < 2; flush++) {
		ebb_float_state own = ebb_float_enter(flush);
		bool ok = ebb_stats_of(x, -1, 1, &s);

		ebb_float_leave(own);
		ck_assert(ok && s.zeros == 0);
		ck_assert_double_eq_tol(s.max_abs * 1e40, 1, 1e-4);
		ck_assert_double_eq_tol(s.l2 * 1e39, 1, 1e-4);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine/subnormals");
	TCase *c = tcase_create("subnormals");

	tcase_add_checked_fixture(c, set_up, tear_down);
	if (EBB_CAN_FLUSH) {
		tcase_add_test(c, the_default_flushes_f32_and_keeps_f64);
		tcase_add_test(c, all_threads_flush_or_none_does);
		tcase_add_test(c, optimizers_always_flush);
		tcase_add_test(c, values_that_are_only_copied_are_not_flushed);
	}
	tcase_add_test(c, an_unknown_mode_is_refused);
	tcase_add_test(c, the_callers_floating_point_state_is_restored);
	tcase_add_test(c, the_callers_setting_and_the_tapes_are_independent);
	tcase_add_test(c, results_do_not_depend_on_the_callers_rounding);
	tcase_add_test(c, a_recomputation_has_the_setting_of_its_first_run);
	tcase_add_test(c, norms_do_not_depend_on_the_callers_state);
	tcase_add_test(c, statistics_see_subnormal_numbers);
	suite_add_tcase(s, c);
	return run_suite(s);
}
