/* The state of L-BFGS: it survives a failed step, is saved and loaded, or refused as a whole. */
#include "problem.h"

#include <string.h>

#include "archive/internal.h"

/* A checksum of the optimizer's entries in an archive. */
static uint64_t state_of(ebb_optim *o)
{
	ebb_archive *a = ebb_archive_new();
	uint64_t h = 14695981039346656037u;

	ck_assert(ebb_optim_put(o, a, "", NULL));
	for (int64_t i = 0; i < ebb_archive_count(a); i++) {
		ebb_tensor *x = ebb_archive_tensor(a, ebb_archive_name_at(a, i), EBB_F64, NULL);

		for (const char *c = ebb_archive_name_at(a, i); *c; c++)
			h = (h ^ (unsigned char)*c) * 1099511628211u;
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

/* The first step has no history yet; the history is full before the third one. */
START_TEST(a_closure_that_fails_changes_nothing)
{
	bool fixed = _i % 2;
	int before = _i / 2;
	problem whole = fit(EBB_F64);
	ebb_optim *expected = small_lbfgs(whole.p, fixed);
	int calls;

	for (int i = 0; i < before; i++)
		ebb_optim_step_closure(expected, closure, &whole);
	whole.calls = 0;
	ebb_optim_step_closure(expected, closure, &whole);
	calls = whole.calls;
	ck_assert_int_gt(calls, 3);
	for (int fail = 1; fail <= calls; fail++) {
		problem f = fit(EBB_F64);
		ebb_optim *o = small_lbfgs(f.p, fixed);
		uint64_t params, state;

		for (int i = 0; i < before; i++)
			ebb_optim_step_closure(o, closure, &f);
		params = params_hash(f.p);
		state = state_of(o);
		f.calls = 0;
		f.fails_at = fail;
		ck_assert(isnan(ebb_optim_step_closure(o, closure, &f)));
		ck_assert_int_eq(f.calls, fail);
		ck_assert(strstr(ebb_optim_error(o)->message, "closure failed in evaluation"));
		/* The error stays. */
		ck_assert(isnan(ebb_optim_step_closure(o, closure, &f)));
		ebb_optim_clear_error(o);
		ck_assert_uint_eq(params_hash(f.p), params);
		ck_assert_uint_eq(state_of(o), state);
		ck_assert(!ebb_has_grad(f.a) && ebb_optim_steps(o) == before);
		f.fails_at = 0;
		ebb_optim_step_closure(o, closure, &f);
		ck_assert_uint_eq(params_hash(f.p), params_hash(whole.p));
		ck_assert_uint_eq(state_of(o), state_of(expected));
		ebb_optim_free(o);
		finish(&f);
	}
	ebb_optim_free(expected);
	finish(&whole);
}
END_TEST

START_TEST(failed_allocations_change_nothing)
{
	counting_allocator a;
	bool done = false;
	int refusals = 0;

	for (int fail_at = 0; !done; fail_at++) {
		problem f;
		ebb_optim *o;
		uint64_t params;

		counting_allocator_install(&a);
		f = fit(EBB_F64);
		params = params_hash(f.p);
		a.fail_at = a.calls + fail_at;
		o = small_lbfgs(f.p, false);
		if (o) {
			double loss = ebb_optim_step_closure(o, closure, &f);

			done = a.refused == 0;
			a.fail_at = -1;
			ck_assert_int_eq(isnan(loss), !done);
			ck_assert_int_eq(ebb_optim_error(o) == NULL, done);
			if (!done) {
				ck_assert_uint_eq(params_hash(f.p), params);
				ebb_optim_clear_error(o);
				ebb_clear_error(f.t);
				ebb_tape_reset(f.t);
				ck_assert(!isnan(ebb_optim_step_closure(o, closure, &f)));
			}
		} else {
			ck_assert_int_eq(ebb_params_error(f.p)->status, EBB_NO_MEMORY);
		}
		a.fail_at = -1;
		refusals += !done;
		ebb_optim_free(o);
		finish(&f);
		counting_allocator_remove();
		ck_assert_msg(a.live == 0 && a.bytes == 0 && a.wrong == 0,
			"allocation %d: %lld blocks left", fail_at, (long long)a.live);
	}
	ck_assert_int_gt(refusals, 10);
}
END_TEST

/* ---- Saving ---- */

START_TEST(a_loaded_optimizer_continues_bit_for_bit)
{
	bool fixed = _i % 2;
	ebb_dtype dtype = _i / 2 % 2 ? EBB_F32 : EBB_F64;
	int before = _i / 4;
	problem f = fit(dtype), g = fit(dtype);
	ebb_optim *o = small_lbfgs(f.p, fixed), *r = small_lbfgs(g.p, fixed);
	ebb_archive *a = ebb_archive_new();
	const char *path = temp_path("lbfgs.safetensors");
	ebb_error e = {0};

	for (int i = 0; i < before; i++)
		ebb_optim_step_closure(o, closure, &f);
	/* The other optimizer has a state that loading must replace. */
	ebb_optim_step_closure(r, closure, &g);
	ck_assert_msg(ebb_optim_put(o, a, "o.", &e), "%s", e.message);
	ck_assert(ebb_archive_write(a, path));
	ebb_archive_free(a);
	a = ebb_archive_read(path);
	ck_assert(ebb_params_copy(g.p, f.p));
	ck_assert_msg(ebb_optim_take(r, a, "o.", &e), "%s", e.message);
	ck_assert_uint_eq(state_of(r), state_of(o));
	for (int i = 0; i < 3; i++) {
		ebb_optim_step_closure(o, closure, &f);
		ebb_optim_step_closure(r, closure, &g);
	}
	ck_assert(ebb_optim_steps(r) == before + 3);
	ck_assert_uint_eq(params_hash(f.p), params_hash(g.p));
	ck_assert_uint_eq(state_of(r), state_of(o));
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_optim_free(r);
	finish(&f);
	finish(&g);
}
END_TEST

/* A copy of the archive in memory without one entry, and with one more. */
static ebb_archive *edited(const ebb_archive *a, const char *left_out, const char *added)
{
	static const double number = 1;
	ebb_archive *b = ebb_archive_new();

	ck_assert(ebb_archive_set_metadata(b, "optimizer", "lbfgs", NULL));
	for (int64_t i = 0; i < a->count; i++) {
		const ebb_archived *x = &a->entry[i];

		if (!left_out || strcmp(x->name, left_out) != 0)
			ck_assert(ebb_archive_add_values(b, x->name, x->dtype, x->shape,
				(const char *)x->blob.memory + x->offset, NULL));
	}
	if (added)
		ck_assert(ebb_archive_add_values(
			b, added, EBB_FILE_F64, EBB_SHAPE(1), &number, NULL));
	return b;
}

START_TEST(another_memory_is_refused_and_named)
{
	static const struct {
		const char *left_out, *added, *message;
	} edits[] = {
		{"ro", NULL, "\"ro\" is missing"},
		{"ro", "ro", "\"old_stps.1\" belongs to"},
		{"active", NULL, "\"active\" is missing"},
		{"active", "active", "\"active\" is F64 [1], expected BOOL"},
		{"H_diag", NULL, "\"H_diag\" is missing"},
		{"n_iter", NULL, "\"n_iter\" is missing"},
		{"old_stps.1", NULL, "\"old_stps.1\" is missing"},
		{"old_dirs.0", "old_dirs.0", "\"old_dirs.0\" is F64 [1], expected F64 [20]"},
		{"pending.grad", NULL, "\"pending.grad\" is missing"},
		{"pending.step", NULL, "\"pending.grad\" belongs to"},
		{NULL, "old_dirs.7", "\"old_dirs.7\" belongs to"},
	};
	problem f = fit(EBB_F64);
	ebb_optim *o = small_lbfgs(f.p, false), *other = ebb_lbfgs(f.p, .history = 2);
	uint64_t before;
	ebb_error e = {0};
	ebb_archive *a = ebb_archive_new();

	ebb_optim_step_closure(o, closure, &f);
	before = state_of(o);
	ck_assert(ebb_optim_put(o, a, "", NULL));
	ck_assert(!ebb_optim_fits(other, a, "", &e));
	ck_assert_msg(strstr(e.message, "history is 3, expected 2"), "%s", e.message);
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		ebb_archive *b = edited(a, edits[i].left_out, edits[i].added);

		e = (ebb_error){0};
		ck_assert_msg(!ebb_optim_take(o, b, "", &e), "edit %zu was accepted", i);
		ck_assert_msg(strstr(e.message, edits[i].message), "\"%s\" is not in: %s",
			edits[i].message, e.message);
		ck_assert_uint_eq(state_of(o), before);
		ebb_archive_free(b);
	}
	ebb_archive_free(a);
	ebb_optim_free(o);
	ebb_optim_free(other);
	finish(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lbfgs state");
	TCase *c = tcase_create("failures");

	tcase_add_loop_test(c, a_closure_that_fails_changes_nothing, 0, 6);
	tcase_add_test(c, failed_allocations_change_nothing);
	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	c = tcase_create("state");
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_loop_test(c, a_loaded_optimizer_continues_bit_for_bit, 0, 12);
	tcase_add_test(c, another_memory_is_refused_and_named);
	suite_add_tcase(s, c);
	return run_suite(s);
}
