/* Optimizer state is saved in archives and loaded, or refused as a whole. */
#include "tests/support/support.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes a step of a small model, with gradients that depend on k. */
static void step(ebb_tape *t, ebb_params *p, ebb_optim *o, int k)
{
	ebb_tensor *loss = ebb_full(t, EBB_SCALAR_SHAPE, 0);

	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		ebb_tensor *w = ebb_params_at(p, i);

		/* Not every parameter takes part in every step. */
		if ((i + k) % 3 == 0)
			continue;
		loss = ebb_add(t, loss, ebb_sum(t, ebb_square(t, ebb_add_scalar(t, w, k))));
	}
	ebb_params_zero_grad(p);
	ck_assert_msg(ebb_backward(t, loss) && ebb_optim_step(o), "%s",
		ebb_first_error(t, p, o)->message);
	ebb_tape_reset(t);
}

static ebb_params *model(uint64_t seed)
{
	ebb_params *p = ebb_params_new(seed);

	ebb_linear_new(p, "a.fc", 5, 4);
	ebb_linear_new(p, "b.fc", 3, 2);
	ebb_params_add(p, "empty", EBB_SHAPE(0, 3), EBB_INIT(EBB_INIT_ZEROS));
	return p;
}

enum { KINDS = 9 };

static ebb_optim *make(int kind, ebb_params *p)
{
	switch (kind) {
	case 0:
		return ebb_sgd(p, .lr = 0.1);
	case 1:
		return ebb_sgd(p, .lr = 0.1, .momentum = 0.9);
	case 2:
		return ebb_sgd(p, .lr = 0.1, .momentum = 0.9, .nesterov = true);
	case 3:
		return ebb_adam(p, .lr = 0.01);
	case 4:
		return ebb_adamw(p, .lr = 0.01);
	case 5:
		return ebb_rmsprop(p, .lr = 0.01);
	case 6:
		return ebb_rmsprop(p, .lr = 0.01, .momentum = 0.5);
	case 7:
		return ebb_adagrad(p, .lr = 0.1);
	default:
		return ebb_adagrad(p, .lr = 0.1, .lr_decay = 0.1, .initial_accumulator_value = 0.5);
	}
}

/* The archive of an optimizer, written to a file and read again. */
static ebb_archive *archive_of(ebb_optim *o, const char *prefix)
{
	ebb_archive *a = ebb_archive_new();
	const char *path = temp_path("optimizer.safetensors");
	ebb_error e = {0};

	ck_assert_msg(ebb_optim_put(o, a, prefix, &e), "%s", e.message);
	ck_assert_msg(ebb_archive_write(a, path, .error = &e), "%s", e.message);
	ebb_archive_free(a);
	a = ebb_archive_read(path, .error = &e);
	ck_assert_msg(a, "%s", e.message);
	return a;
}

/* A checksum of all entries of the optimizer. */
static uint64_t state_of(ebb_optim *o)
{
	ebb_archive *a = archive_of(o, "");
	uint64_t h = (uint64_t)ebb_archive_count(a);

	for (int64_t i = 0; i < ebb_archive_count(a); i++) {
		ebb_tensor *x = ebb_archive_tensor(a, ebb_archive_name_at(a, i), EBB_F64, NULL);

		ck_assert(x);
		for (int64_t k = 0; k < ebb_count(x); k++) {
			double v = ebb_at(x, k);
			uint64_t bits;

			memcpy(&bits, &v, sizeof bits);
			h = (h ^ bits) * 1099511628211u;
		}
		ebb_tensor_free(x);
	}
	ebb_archive_free(a);
	return h;
}

#define refused_take(o, a, prefix, ...)                                                            \
	do {                                                                                       \
		static const char *const words_[] = {__VA_ARGS__};                                 \
		uint64_t before_ = state_of(o);                                                    \
		ebb_error fits_ = {0}, take_ = {0};                                                \
		ck_assert(!ebb_optim_fits(o, a, prefix, &fits_));                                  \
		ck_assert(!ebb_optim_take(o, a, prefix, &take_));                                  \
		ck_assert_str_eq(fits_.message, take_.message);                                    \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(take_.message, words_[k_]), "\"%s\" is not in: %s",   \
				words_[k_], take_.message);                                        \
		ck_assert(state_of(o) == before_ && !ebb_optim_error(o));                          \
	} while (0)

START_TEST(a_loaded_optimizer_continues_bit_for_bit)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = model(1), *q = model(1);
	ebb_optim *o = make(_i, p), *r = make(_i, q);
	ebb_archive *a;
	ebb_error e = {0};

	ebb_optim_scale(o, "*.bias", 3, 0);
	for (int k = 1; k <= 4; k++)
		step(t, p, o, k);
	ebb_optim_set_lr(o, 0.003);
	a = archive_of(o, "optimizer.");
	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		ebb_tensor *w = ebb_params_at(p, i);

		ebb_copy_in(ebb_params_at(q, i), ebb_data(w), (size_t)ebb_count(w) * 4);
	}
	ck_assert_msg(ebb_optim_fits(r, a, "optimizer.", &e), "%s", e.message);
	ck_assert(ebb_optim_steps(r) == 0);
	ck_assert_msg(ebb_optim_take(r, a, "optimizer.", &e), "%s", e.message);
	ck_assert(ebb_optim_steps(r) == 4 && ebb_optim_lr(r) == 0.003);
	ck_assert(state_of(o) == state_of(r));
	for (int k = 5; k <= 8; k++) {
		step(t, p, o, k);
		step(t, q, r, k);
	}
	ck_assert(params_hash(p) == params_hash(q) && state_of(o) == state_of(r));
	ebb_archive_free(a);
	ebb_tape_free(t);
	ebb_optim_free(o);
	ebb_optim_free(r);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(names_are_those_of_pytorch)
{
	static const char *const first[KINDS] = {NULL, "momentum_buffer", "momentum_buffer",
		"exp_avg", "exp_avg", NULL, "momentum_buffer", NULL, NULL};
	static const char *const second[KINDS] = {NULL, NULL, NULL, "exp_avg_sq", "exp_avg_sq",
		"square_avg", "square_avg", "sum", "sum"};
	static const char *const kinds[KINDS] = {
		"sgd", "sgd", "sgd", "adam", "adamw", "rmsprop", "rmsprop", "adagrad", "adagrad"};

	for (int kind = 0; kind < KINDS; kind++) {
		ebb_params *p = model(1);
		ebb_optim *o = make(kind, p);
		ebb_archive *a = archive_of(o, "o.");
		char name[100];
		const char *const *lists[] = {first, second};

		for (int i = 0; i < 2; i++) {
			snprintf(name, sizeof name, "o.b.fc.weight.%s", lists[i][kind]);
			ck_assert_int_eq(ebb_archive_find(a, name) >= 0, lists[i][kind] != NULL);
			if (lists[i][kind])
				ck_assert_int_eq(
					ebb_archive_shape_at(a, ebb_archive_find(a, name)).dims[1],
					3);
		}
		ck_assert_str_eq(ebb_archive_metadata(a, "o.optimizer"), kinds[kind]);
		ck_assert_int_ge(ebb_archive_find(a, "o.b.fc.weight.step"), 0);
		ck_assert_int_lt(ebb_archive_find(a, "o.b.fc.weight.lr_scale"), 0);
		ebb_archive_free(a);
		ebb_optim_free(o);
		ebb_params_free(p);
	}
}
END_TEST

START_TEST(another_optimizer_is_refused)
{
	ebb_params *p = model(1);
	ebb_optim *adam = ebb_adam(p, .lr = 0.01), *adamw = ebb_adamw(p, .lr = 0.01);
	ebb_archive *a = archive_of(adam, "o.");

	refused_take(
		adamw, a, "o.", "optimizer.safetensors", "o.optimizer is adam, expected adamw");
	refused_take(adam, a, "p.", "p.optimizer is missing, expected adam");
	ebb_archive_free(a);
	ebb_optim_free(adam);
	ebb_optim_free(adamw);
	ebb_params_free(p);
}
END_TEST

/* The learning rate may change while a program runs; the options of an optimizer may not. */
START_TEST(other_options_are_refused_and_named)
{
	ebb_params *p = model(1);
	ebb_optim *o = ebb_adam(p, .lr = 0.01, .betas = {0.8}, .weight_decay = 0.25),
		  *other = ebb_adam(p, .lr = 0.5, .eps = 1e-3),
		  *rate = ebb_adam(p, .lr = 0.5, .betas = {0.8}, .weight_decay = 0.25);
	ebb_archive *a = archive_of(o, "o.");

	refused_take(other, a, "o.", "o.weight_decay is 0.25, expected 0",
		"o.beta1 is 0.8, expected 0.9", "o.eps is 1e-08, expected 0.001");
	ck_assert(ebb_optim_take(rate, a, "o.", NULL));
	ck_assert(ebb_optim_lr(rate) == 0.01);
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_optim_free(other);
	ebb_optim_free(rate);
	ebb_params_free(p);
}
END_TEST

START_TEST(other_parameters_are_refused_and_named)
{
	ebb_params *p = model(1), *q = ebb_params_new(1), *wide = ebb_params_new(1);
	ebb_optim *o = ebb_adam(p), *renamed, *shaped;
	ebb_archive *a = archive_of(o, "o.");

	ebb_linear_new(q, "a.fc", 5, 4);
	ebb_linear_new(q, "c.fc", 3, 2);
	renamed = ebb_adam(q);
	refused_take(renamed, a, "o.", "\"o.c.fc.weight.exp_avg\" is missing",
		"\"o.c.fc.weight.step\" is missing", " more");
	ebb_linear_new(wide, "a.fc", 5, 4);
	ebb_linear_new(wide, "b.fc", 4, 2);
	shaped = ebb_adam(wide);
	refused_take(shaped, a, "o.", "\"o.b.fc.weight.exp_avg\" is F32 [2,3], expected F32 [2,4]",
		"\"o.empty.exp_avg\" belongs to no parameter");
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_optim_free(renamed);
	ebb_optim_free(shaped);
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_params_free(wide);
}
END_TEST

START_TEST(another_type_is_refused)
{
	ebb_params *p = model(1), *q = ebb_params_new(1);
	ebb_optim *o = ebb_adam(p), *r;
	ebb_archive *a = archive_of(o, "o.");

	ebb_params_set_dtype(q, EBB_F64);
	ebb_linear_new(q, "a.fc", 5, 4);
	r = ebb_adam(q);
	refused_take(r, a, "o.", "\"o.a.fc.weight.exp_avg\" is F32 [4,5], expected F64 [4,5]");
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_optim_free(r);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

/* Numbers that no optimizer can have. */
START_TEST(numbers_out_of_their_range_are_refused)
{
	ebb_params *p = ebb_params_new(1);
	ebb_optim *o;
	ebb_archive *a = ebb_archive_new();

	ebb_params_add(p, "w", EBB_SHAPE(2), EBB_INIT(EBB_INIT_ZEROS));
	o = ebb_sgd(p);
	ebb_archive_set_metadata(a, "optimizer", "sgd", NULL);
	ebb_archive_add_f64(a, "weight_decay", 0, NULL);
	ebb_archive_add_f64(a, "momentum", 0, NULL);
	ebb_archive_add_f64(a, "nesterov", 0, NULL);
	ebb_archive_add_f64(a, "lr", -1, NULL);
	ebb_archive_add_i64(a, "steps", -2, NULL);
	ebb_archive_add_i64(a, "w.step", -3, NULL);
	ebb_archive_add_f64(a, "w.lr_scale", 1.0 / 0.0, NULL);
	ebb_archive_add_i64(a, "w.decay_scale", 1, NULL);
	refused_take(o, a, "", "\"lr\" is -1, expected a number >= 0", "\"steps\" is -2",
		"\"w.step\" is -3", "\"w.lr_scale\" is inf",
		"\"w.decay_scale\" is I64 [], expected F64");
	ebb_archive_free(a);
	/* Counting the next step would overflow. */
	a = ebb_archive_new();
	ebb_archive_set_metadata(a, "optimizer", "sgd", NULL);
	ebb_archive_add_i64(a, "steps", INT64_MAX, NULL);
	ebb_archive_add_i64(a, "w.step", INT64_MAX, NULL);
	refused_take(
		o, a, "", "\"steps\" is 9223372036854775807", "\"w.step\" is 9223372036854775807");
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_view_saves_names_relative_to_its_prefix)
{
	ebb_params *p = model(1), *q = ebb_params_new(2);
	ebb_optim *o = ebb_adam(ebb_params_sub(p, "a")), *r;
	ebb_archive *a = archive_of(o, "o.");

	ck_assert_int_ge(ebb_archive_find(a, "o.fc.weight.exp_avg"), 0);
	ebb_linear_new(q, "fc", 5, 4);
	r = ebb_adam(q);
	ck_assert(ebb_optim_take(r, a, "o.", NULL));
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_optim_free(r);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(failed_and_missing_optimizers_are_refused)
{
	ebb_params *p = model(1);
	ebb_optim *o = ebb_sgd(p);
	ebb_archive *a = ebb_archive_new();
	ebb_error e = {0};

	ck_assert(!ebb_optim_set_lr(o, -1));
	ck_assert(!ebb_optim_put(o, a, "o.", &e));
	ck_assert_msg(strstr(e.message, "optim_put: optim_set_lr: -1"), "%s", e.message);
	ck_assert(!ebb_optim_put(NULL, a, "o.", NULL) && !ebb_optim_put(o, NULL, "o.", NULL));
	ck_assert(!ebb_optim_take(NULL, a, "o.", NULL) && !ebb_optim_fits(o, NULL, "o.", NULL));
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_params_free(p);
}
END_TEST

/* The file is truncated: it has the numbers, but not all moments. */
START_TEST(a_file_that_fails_while_it_is_read_fails_the_optimizer)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = model(1);
	ebb_optim *o = ebb_adam(p);
	ebb_archive *a = archive_of(o, "o.");
	const char *path = temp_path("optimizer.safetensors");
	ebb_error e = {0};
	struct stat st;

	ck_assert(stat(path, &st) == 0 && truncate(path, st.st_size - 4) == 0);
	ck_assert_msg(ebb_optim_fits(o, a, "o.", &e), "%s", e.message);
	ck_assert(!ebb_optim_take(o, a, "o.", &e));
	ck_assert_msg(strstr(e.message, "optimizer.safetensors"), "%s", e.message);
	ck_assert_str_eq(ebb_optim_error(o)->message, e.message);
	ebb_params_zero_grad(p);
	ebb_backward(t, ebb_sum(t, ebb_params_at(p, 0)));
	ck_assert(!ebb_optim_step(o));
	ebb_archive_free(a);
	ebb_tape_free(t);
	ebb_optim_free(o);
	ebb_params_free(p);
}
END_TEST

/* Each allocation of saving fails in turn: an error is reported, and nothing leaks. */
START_TEST(a_failed_allocation_fails_saving_and_leaks_nothing)
{
	ebb_params *p = model(1);
	ebb_optim *o = ebb_adam(p);
	ebb_archive *a = archive_of(o, "o.");
	counting_allocator count;
	int refusals = 0;

	ebb_set_allocator(NULL, NULL);
	for (int64_t at = 0; at < 1000; at++) {
		ebb_archive *b;
		ebb_error e = {0};
		bool ok;
		int64_t live;

		counting_allocator_install(&count);
		count.fail_at = at;
		b = ebb_archive_new();
		ok = b && ebb_optim_put(o, b, "o.", &e);
		ck_assert(ok || !b || e.status == EBB_NO_MEMORY);
		ebb_archive_free(b);
		live = count.live;
		counting_allocator_remove();
		ck_assert_int_eq(live, 0);
		ck_assert_int_eq(count.wrong, 0);
		if (ok)
			break;
		refusals++;
	}
	ck_assert_int_gt(refusals, 3);
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("optim state");
	TCase *c = tcase_create("state");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, a_loaded_optimizer_continues_bit_for_bit, 0, KINDS);
	tcase_add_test(c, names_are_those_of_pytorch);
	tcase_add_test(c, another_optimizer_is_refused);
	tcase_add_test(c, other_options_are_refused_and_named);
	tcase_add_test(c, other_parameters_are_refused_and_named);
	tcase_add_test(c, another_type_is_refused);
	tcase_add_test(c, numbers_out_of_their_range_are_refused);
	tcase_add_test(c, a_view_saves_names_relative_to_its_prefix);
	tcase_add_test(c, failed_and_missing_optimizers_are_refused);
	tcase_add_test(c, a_file_that_fails_while_it_is_read_fails_the_optimizer);
	tcase_add_test(c, a_failed_allocation_fails_saving_and_leaks_nothing);
	return run_suite(s);
}
