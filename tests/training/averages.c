/* A saver saves averages of weights and the memory of L-BFGS: a resumed run is bit-identical. */
#include "tests/support/support.h"

#include <string.h>

typedef struct fit {
	ebb_tape *t;
	ebb_params *p;
	ebb_linear fc;
	ebb_bn bn;
	ebb_optim *o;
	ebb_averager *ema, *swa;
	ebb_tensor *x;
	ebb_saver *saver;
} fit;

static fit begin(uint64_t seed, bool background)
{
	fit f = {.t = ebb_tape_new(), .p = ebb_params_new(seed)};
	ebb_error e = {0};

	f.fc = ebb_linear_new(f.p, "fc", 4, 3);
	f.bn = ebb_bn_new(f.p, "bn", 3);
	f.o = ebb_lbfgs(f.p, .max_iter = 3, .history = 4);
	f.ema = ebb_ema(f.p, .decay = 0.9, .warmup = true);
	f.swa = ebb_swa(f.p, .buffers = true);
	f.x = persistent_random(EBB_F32, EBB_SHAPE(6, 4), 5);
	f.saver =
		ebb_saver_new(temp_path("run.safetensors"), .background = background, .error = &e);
	ck_assert_msg(f.saver, "%s", e.message);
	ebb_saver_add(f.saver, "model", f.p);
	ebb_saver_add(f.saver, "optimizer", f.o);
	ebb_saver_add(f.saver, "ema", f.ema);
	ebb_saver_add(f.saver, "swa", f.swa);
	ck_assert(ebb_ok(f.t, f.p, f.o, f.ema, f.swa, f.saver));
	return f;
}

static void finish(fit *f)
{
	ebb_saver_free(f->saver);
	ebb_averager_free(f->ema);
	ebb_averager_free(f->swa);
	ebb_optim_free(f->o);
	ebb_tape_free(f->t);
	ebb_params_free(f->p);
	ebb_tensor_free(f->x);
}

static bool closure(void *ctx, double *loss)
{
	fit *f = ctx;
	ebb_tensor *y = ebb_linear_forward(f->t, &f->fc, f->x);
	bool ok;

	ebb_set_training(f->t, true);
	y = ebb_bn_forward(f->t, &f->bn, y);
	y = ebb_sum(f->t, ebb_square(f->t, ebb_add_scalar(f->t, ebb_tanh(f->t, y), -0.5)));
	ok = ebb_backward(f->t, y);
	*loss = ebb_item(y);
	ebb_tape_reset(f->t);
	return ok;
}

static void step(fit *f)
{
	ebb_optim_step_closure(f->o, closure, f);
	ebb_averager_update(f->ema);
	ebb_averager_update(f->swa);
	ck_assert_msg(ebb_ok(f->t, f->p, f->o, f->ema, f->swa), "%s",
		ebb_first_error(f->t, f->p, f->o, f->ema, f->swa)->message);
}

START_TEST(a_resumed_run_is_bit_identical)
{
	fit f = begin(1, _i), g;

	for (int i = 0; i < 4; i++)
		step(&f);
	ck_assert(ebb_saver_save(f.saver, 4) && ebb_saver_wait(f.saver));
	g = begin(2, _i);
	ck_assert_msg(ebb_saver_resume(g.saver) == 4, "%s", ebb_saver_error(g.saver)->message);
	for (int i = 0; i < 4; i++) {
		step(&f);
		step(&g);
	}
	ck_assert_uint_eq(params_hash(f.p), params_hash(g.p));
	ck_assert_uint_eq(
		params_hash(ebb_averager_params(f.ema)), params_hash(ebb_averager_params(g.ema)));
	ck_assert_uint_eq(
		params_hash(ebb_averager_params(f.swa)), params_hash(ebb_averager_params(g.swa)));
	ck_assert_uint_ne(params_hash(f.p), params_hash(ebb_averager_params(f.swa)));
	finish(&f);
	finish(&g);
}
END_TEST

START_TEST(a_swapped_average_is_not_saved)
{
	fit f = begin(1, false);

	step(&f);
	ck_assert(ebb_averager_swap(f.ema));
	ck_assert(!ebb_saver_save(f.saver, 1));
	ck_assert_msg(strstr(ebb_saver_error(f.saver)->message, "ebb_averager_swap first"), "%s",
		ebb_saver_error(f.saver)->message);
	ebb_saver_clear_error(f.saver);
	ck_assert(ebb_averager_swap(f.ema) && ebb_saver_save(f.saver, 1));
	ck_assert(ebb_averager_swap(f.ema));
	ck_assert_int_eq(ebb_saver_resume(f.saver), -1);
	ck_assert(strstr(ebb_saver_error(f.saver)->message, "ebb_averager_swap first"));
	finish(&f);
}
END_TEST

START_TEST(an_averager_with_an_error_is_not_saved)
{
	fit f = begin(1, false);

	step(&f);
	ck_assert(ebb_averager_swap(f.swa) && !ebb_averager_update(f.swa));
	ck_assert(!ebb_saver_save(f.saver, 1));
	ck_assert(strstr(ebb_saver_error(f.saver)->message, "averager_update"));
	ebb_saver_clear_error(f.saver);
	ck_assert(!ebb_saver_add(f.saver, "none", (ebb_averager *)NULL));
	finish(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("saving of averages");
	TCase *c = tcase_create("averages");

	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, a_resumed_run_is_bit_identical, 0, 2);
	tcase_add_test(c, a_swapped_average_is_not_saved);
	tcase_add_test(c, an_averager_with_an_error_is_not_saved);
	suite_add_tcase(s, c);
	return run_suite(s);
}
