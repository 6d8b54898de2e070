/* Averages of weights: their formulas, swapping, saving, and what is refused. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ebb_params *model(ebb_dtype dtype)
{
	ebb_params *p = ebb_params_new(1);

	ck_assert(ebb_params_set_dtype(p, dtype));
	ebb_params_add(p, "net.w", EBB_SHAPE(3, 5), EBB_INIT(EBB_INIT_NORMAL));
	ebb_params_add(p, "net.empty", EBB_SHAPE(0, 5), EBB_INIT(EBB_INIT_ZEROS));
	ebb_params_add(p, "head", EBB_SHAPE(2000), EBB_INIT(EBB_INIT_NORMAL));
	ebb_buffers_add(p, "net.mean", EBB_SHAPE(2), 1);
	return p;
}

static void set(ebb_tensor *x, double value)
{
	for (int64_t i = 0; i < ebb_count(x); i++)
		if (ebb_dtype_of(x) == EBB_F64)
			((double *)ebb_data_mutable(x))[i] = value + (double)i;
		else
			((float *)ebb_data_mutable(x))[i] = (float)(value + (double)i);
}

/* The weights of training step k. */
static double value_at(int k)
{
	return 3 * sin(k);
}

static void train(ebb_params *p, int k)
{
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		set(ebb_params_at(p, i), value_at(k));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		set(ebb_buffers_at(p, i), 10 * value_at(k));
}

enum { UPDATES = 8 };

static void follow(ebb_params *p, ebb_averager *a, double decay, bool warmup, bool buffers)
{
	double tolerance = ebb_params_dtype(p) == EBB_F64 ? 1e-13 : 1e-5;
	double average = 0, mean = 0;
	ebb_params *q = ebb_averager_params(a);

	ck_assert(q);
	for (int k = 0; k < UPDATES; k++) {
		double d = decay == 0 ? k / (k + 1.0) : decay;

		if (warmup)
			d = fmin(d, (1.0 + k) / (10.0 + k));
		if (k == 0)
			d = 0;
		average = d * average + (1 - d) * value_at(k);
		mean = buffers ? d * mean + (1 - d) * 10 * value_at(k) : 10 * value_at(k);
		train(p, k);
		ck_assert(ebb_averager_update(a));
		ck_assert_double_eq_tol(
			ebb_at(ebb_params_find(q, "net.w"), 2), average + 2, tolerance);
		ck_assert_double_eq_tol(
			ebb_at(ebb_params_find(q, "head"), 1), average + 1, tolerance);
		ck_assert_double_eq_tol(
			ebb_at(ebb_params_find(q, "net.mean"), 0), mean, 10 * tolerance);
	}
	ck_assert_int_eq(ebb_averager_updates(a), UPDATES);
	ck_assert_int_eq(ebb_params_trainable(q), 0);
	ck_assert_int_eq(ebb_params_dtype(q), ebb_params_dtype(p));
	ebb_averager_free(a);
}

START_TEST(averages_follow_their_formulas)
{
	ebb_params *p = model(_i ? EBB_F64 : EBB_F32);

	follow(p, ebb_ema(p), 0.999, false, false);
	follow(p, ebb_ema(p, .decay = 0.5, .buffers = true), 0.5, false, true);
	follow(p, ebb_ema(p, .decay = 0.3, .warmup = true), 0.3, true, false);
	follow(p, ebb_swa(p), 0, false, false);
	follow(p, ebb_swa(p, .buffers = true), 0, false, true);
	ebb_params_free(p);
}
END_TEST

START_TEST(a_swap_exchanges_the_values_and_a_second_one_restores_them)
{
	ebb_params *p = model(EBB_F32);
	ebb_averager *a = ebb_ema(p, .decay = 0.5);
	ebb_tensor *head = ebb_params_find(p, "head");
	uint64_t weights, averages;
	uint32_t version;

	train(p, 1);
	ck_assert(ebb_averager_update(a));
	train(p, 2);
	ck_assert(ebb_averager_update(a));
	weights = params_hash(p);
	averages = params_hash(ebb_averager_params(a));
	ck_assert_uint_ne(weights, averages);
	version = ebb_version(head);
	ck_assert(!ebb_averager_is_swapped(a) && ebb_averager_swap(a));
	ck_assert(ebb_averager_is_swapped(a) && ebb_version(head) > version);
	ck_assert_uint_eq(params_hash(p), averages);
	ck_assert_uint_eq(params_hash(ebb_averager_params(a)), weights);
	ck_assert(ebb_requires_grad(head));
	ck_assert(ebb_averager_swap(a));
	ck_assert_uint_eq(params_hash(p), weights);
	ck_assert_uint_eq(params_hash(ebb_averager_params(a)), averages);
	ebb_averager_free(a);
	ebb_params_free(p);
}
END_TEST

static void refused(ebb_averager *a, ebb_status status, const char *word)
{
	const ebb_error *e = ebb_averager_error(a);

	ck_assert_msg(e && e->status == status && strstr(e->message, word), "%s",
		e ? e->message : "no error");
	ck_assert(!ebb_ok(a));
	ebb_averager_clear_error(a);
	ck_assert(ebb_ok(a));
}

START_TEST(what_cannot_be_averaged_is_refused)
{
	ebb_params *p = model(EBB_F32);
	ebb_averager *a = ebb_ema(p);
	ebb_archive *archive = ebb_archive_new();
	ebb_error e = {0};
	uint64_t before;

	for (int i = 0; i < 3; i++) {
		static const double decays[] = {-0.5, 1, NAN};

		ck_assert(!ebb_ema(p, .decay = decays[i]));
		ck_assert(strstr(ebb_params_error(p)->message, "ema: decay"));
		ebb_params_clear_error(p);
	}
	ck_assert(!ebb_ema(NULL) && !ebb_swa(NULL));
	ck_assert(ebb_averager_update(a) && ebb_averager_swap(a));
	before = params_hash(ebb_averager_params(a));
	ck_assert(!ebb_averager_update(a));
	/* The error stays. */
	ck_assert(!ebb_averager_swap(a));
	refused(a, EBB_BAD_STATE, "ebb_averager_swap first");
	ck_assert_uint_eq(params_hash(ebb_averager_params(a)), before);
	ck_assert(!ebb_averager_put(a, archive, "", &e) && strstr(e.message, "swap first"));
	e = (ebb_error){0};
	ck_assert(!ebb_averager_fits(a, archive, "", &e) && strstr(e.message, "swap first"));
	ck_assert(ebb_averager_swap(a));
	ebb_params_fail(p, EBB_INVALID, NULL, "broken");
	ck_assert(!ebb_averager_update(a));
	refused(a, EBB_INVALID, "averager_update: broken");
	ck_assert_int_eq(ebb_averager_updates(a), 1);
	ck_assert(!ebb_swa(p));
	ck_assert(!ebb_averager_update(NULL) && !ebb_averager_swap(NULL));
	ck_assert(!ebb_averager_params(NULL) && !ebb_averager_is_swapped(NULL));
	ck_assert(ebb_averager_updates(NULL) == 0 && ebb_averager_error(NULL));
	ck_assert(!ebb_averager_put(NULL, archive, "", NULL));
	ck_assert(!ebb_averager_take(a, NULL, "", NULL));
	ebb_averager_clear_error(NULL);
	ebb_averager_free(NULL);
	ebb_archive_free(archive);
	ebb_params_free(p);
	ebb_averager_free(a);
}
END_TEST

START_TEST(a_view_is_averaged_alone_and_parameters_may_be_added_later)
{
	ebb_params *p = model(EBB_F64);
	ebb_averager *a = ebb_swa(ebb_params_sub(p, "net"));
	ebb_params *q = ebb_averager_params(a);

	ck_assert(ebb_params_find(q, "w") && ebb_params_find(q, "mean"));
	ck_assert_int_eq(ebb_params_count(q), 2);
	train(p, 1);
	ck_assert(ebb_averager_update(a));
	ebb_params_add(p, "net.late", EBB_SHAPE(3), EBB_INIT(EBB_INIT_CONSTANT, .value = 4));
	train(p, 2);
	ck_assert(ebb_averager_update(a));
	ck_assert_double_eq_tol(
		ebb_at(ebb_params_find(q, "w"), 0), (value_at(1) + value_at(2)) / 2, 1e-14);
	ck_assert_double_eq_tol(ebb_at(ebb_params_find(q, "late"), 0), value_at(2), 1e-14);
	ebb_averager_free(a);
	ebb_params_free(p);
}
END_TEST

/* The first update is a copy, which an average that is not finite does not outlive. */
START_TEST(the_first_update_replaces_values_that_are_not_finite)
{
	ebb_params *p = model(EBB_F32);
	ebb_averager *a;

	set(ebb_params_find(p, "head"), NAN);
	set(ebb_buffers_at(p, 0), INFINITY);
	a = ebb_ema(p);
	train(p, 3);
	ck_assert(ebb_averager_update(a));
	ck_assert_uint_eq(params_hash(ebb_averager_params(a)), params_hash(p));
	set(ebb_buffers_at(p, 0), INFINITY);
	ck_assert(ebb_averager_update(a));
	train(p, 3);
	ck_assert(ebb_averager_update(a));
	ck_assert(isfinite(ebb_at(ebb_buffers_at(ebb_averager_params(a), 0), 0)));
	ebb_averager_free(a);
	ebb_params_free(p);
}
END_TEST

/* ---- Saving ---- */

static ebb_archive *archive_of(ebb_averager *a)
{
	ebb_archive *x = ebb_archive_new();
	const char *path = temp_path("average.safetensors");
	ebb_error e = {0};

	ck_assert_msg(ebb_averager_put(a, x, "ema.", &e), "%s", e.message);
	ck_assert_msg(ebb_archive_write(x, path, .error = &e), "%s", e.message);
	ebb_archive_free(x);
	x = ebb_archive_read(path, .error = &e);
	ck_assert_msg(x, "%s", e.message);
	return x;
}

START_TEST(a_loaded_averager_continues_bit_for_bit)
{
	ebb_params *p = model(EBB_F32), *weights = model(EBB_F32);
	ebb_averager *a = ebb_ema(p, .decay = 0.9, .warmup = true),
		     *b = ebb_ema(p, .decay = 0.9, .warmup = true);
	ebb_archive *x;
	ebb_error e = {0};

	for (int k = 0; k < 3; k++) {
		train(p, k);
		ck_assert(ebb_averager_update(a));
	}
	x = archive_of(a);
	ck_assert_msg(ebb_averager_take(b, x, "ema.", &e), "%s", e.message);
	ck_assert_int_eq(ebb_averager_updates(b), 3);
	/* The averages in the file are weights that a model can load. */
	ck_assert(ebb_params_load(weights, .archive = x, .prefix = "ema.average."));
	ck_assert_uint_eq(params_hash(weights), params_hash(ebb_averager_params(a)));
	for (int k = 3; k < 6; k++) {
		train(p, k);
		ck_assert(ebb_averager_update(a) && ebb_averager_update(b));
		ck_assert_uint_eq(
			params_hash(ebb_averager_params(a)), params_hash(ebb_averager_params(b)));
	}
	ebb_archive_free(x);
	ebb_averager_free(a);
	ebb_averager_free(b);
	ebb_params_free(p);
	ebb_params_free(weights);
}
END_TEST

#define refused_take(a, x, ...)                                                                    \
	do {                                                                                       \
		static const char *const words_[] = {__VA_ARGS__};                                 \
		uint64_t before_ = params_hash(ebb_averager_params(a));                            \
		ebb_error e_ = {0};                                                                \
		ck_assert(!ebb_averager_take(a, x, "ema.", &e_));                                  \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(e_.message, words_[k_]), "\"%s\" is not in: %s",      \
				words_[k_], e_.message);                                           \
		ck_assert(params_hash(ebb_averager_params(a)) == before_);                         \
		ck_assert(!ebb_averager_error(a) && ebb_averager_updates(a) == 0);                 \
	} while (0)

START_TEST(what_does_not_fit_is_refused_and_named)
{
	ebb_params *p = model(EBB_F32), *q = model(EBB_F64), *r = ebb_params_new(1);
	ebb_averager *a = ebb_ema(p), *swa = ebb_swa(p, .buffers = true), *wide = ebb_ema(q),
		     *other;
	ebb_archive *x = archive_of(a), *empty = ebb_archive_new();

	refused_take(swa, x, "ema.decay is 0.999, expected 0", "ema.buffers is 0, expected 1");
	refused_take(wide, x, "\"ema.average.net.w\" is F32 [3,5], expected F64 [3,5]");
	ebb_params_add(r, "net.w", EBB_SHAPE(3, 4), EBB_INIT(EBB_INIT_ZEROS));
	other = ebb_ema(r);
	refused_take(other, x, "\"ema.average.net.w\" is F32 [3,5], expected F32 [3,4]",
		"\"ema.average.head\" belongs to no average");
	refused_take(a, empty, "\"ema.decay\" is missing");
	ebb_archive_free(x);
	x = ebb_archive_new();
	ck_assert(ebb_averager_put(a, x, "ema.", NULL));
	ebb_archive_add_f64(x, "ema.more", 1, NULL);
	refused_take(a, x, "\"ema.more\" belongs to no average");
	ebb_archive_free(x);
	ebb_archive_free(empty);
	ebb_averager_free(a);
	ebb_averager_free(swa);
	ebb_averager_free(wide);
	ebb_averager_free(other);
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_params_free(r);
}
END_TEST

/* The file is truncated: it has the numbers, but not all averages. */
START_TEST(a_file_that_fails_while_it_is_read_fails_the_averager)
{
	ebb_params *p = model(EBB_F32);
	ebb_averager *a = ebb_ema(p);
	ebb_archive *x = archive_of(a);
	const char *path = temp_path("average.safetensors");
	ebb_error e = {0};
	struct stat st;

	ck_assert(stat(path, &st) == 0 && truncate(path, st.st_size - 4) == 0);
	ck_assert_msg(ebb_averager_fits(a, x, "ema.", &e), "%s", e.message);
	ck_assert(!ebb_averager_take(a, x, "ema.", &e));
	ck_assert_msg(strstr(e.message, "average.safetensors"), "%s", e.message);
	ck_assert_str_eq(ebb_averager_error(a)->message, e.message);
	ck_assert(!ebb_averager_update(a));
	ebb_archive_free(x);
	ebb_averager_free(a);
	ebb_params_free(p);
}
END_TEST

START_TEST(failed_allocations_change_nothing)
{
	counting_allocator count;
	bool done = false;
	int refusals = 0;

	for (int fail_at = 0; !done; fail_at++) {
		ebb_params *p;
		ebb_averager *a;

		counting_allocator_install(&count);
		p = model(EBB_F32);
		count.fail_at = count.calls + fail_at;
		a = ebb_ema(p);
		done = count.refused == 0;
		count.fail_at = -1;
		ck_assert_int_eq(a != NULL, done);
		if (!done) {
			ck_assert_int_eq(ebb_params_error(p)->status, EBB_NO_MEMORY);
		} else {
			int64_t calls = count.calls;

			ck_assert(ebb_averager_update(a) && ebb_averager_update(a));
			ck_assert(ebb_averager_swap(a) && ebb_averager_swap(a));
			ck_assert_int_eq(count.calls, calls);
			ebb_params_add(p, "late", EBB_SHAPE(4), EBB_INIT(EBB_INIT_ZEROS));
			count.fail_at = count.calls;
			ck_assert(!ebb_averager_update(a));
			count.fail_at = -1;
			refused(a, EBB_NO_MEMORY, "averager_update");
			ck_assert(ebb_averager_update(a));
			ck_assert(ebb_params_find(ebb_averager_params(a), "late"));
		}
		refusals += !done;
		ebb_averager_free(a);
		ebb_params_free(p);
		counting_allocator_remove();
		ck_assert_msg(count.live == 0 && count.bytes == 0 && count.wrong == 0,
			"allocation %d: %lld blocks left", fail_at, (long long)count.live);
	}
	ck_assert_int_gt(refusals, 8);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("averages of weights");
	TCase *c = tcase_create("averages");

	tcase_add_loop_test(c, averages_follow_their_formulas, 0, 2);
	tcase_add_test(c, a_swap_exchanges_the_values_and_a_second_one_restores_them);
	tcase_add_test(c, what_cannot_be_averaged_is_refused);
	tcase_add_test(c, a_view_is_averaged_alone_and_parameters_may_be_added_later);
	tcase_add_test(c, the_first_update_replaces_values_that_are_not_finite);
	tcase_add_test(c, failed_allocations_change_nothing);
	suite_add_tcase(s, c);
	c = tcase_create("state");
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, a_loaded_averager_continues_bit_for_bit);
	tcase_add_test(c, what_does_not_fit_is_refused_and_named);
	tcase_add_test(c, a_file_that_fails_while_it_is_read_fails_the_averager);
	suite_add_tcase(s, c);
	return run_suite(s);
}
