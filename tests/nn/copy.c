/* Copies between parameter stores, and moves towards another store. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static ebb_params *model(ebb_dtype dtype, uint64_t seed)
{
	ebb_params *p = ebb_params_new(seed);

	ck_assert(ebb_params_set_dtype(p, dtype));
	ebb_params_add(p, "body.w", EBB_SHAPE(4, 3), EBB_INIT(EBB_INIT_NORMAL));
	ebb_params_add(p, "body.empty", EBB_SHAPE(0), EBB_INIT(EBB_INIT_ZEROS));
	ebb_params_add(p, "head.w", EBB_SHAPE(3), EBB_INIT(EBB_INIT_NORMAL));
	ebb_buffers_add(p, "body.mean", EBB_SHAPE(2), (double)seed);
	return p;
}

static void refused(ebb_params *p, ebb_status status, const char *word)
{
	const ebb_error *e = ebb_params_error(p);

	ck_assert_msg(e && e->status == status && strstr(e->message, word), "\"%s\" is not in: %s",
		word, e ? e->message : "no error");
	ck_assert_msg(strstr(e->message, "copy.c:"), "%s", e->message);
	ebb_params_clear_error(p);
}

START_TEST(all_values_are_copied_by_name)
{
	ebb_params *p = model(EBB_F32, 1), *q = model(EBB_F32, 2);
	ebb_tensor *w = ebb_params_find(p, "body.w");
	ebb_tape *t = ebb_tape_new();
	uint32_t version = ebb_version(w);
	uint64_t gradient;

	ck_assert(ebb_backward(t, ebb_sum(t, ebb_square(t, w))));
	gradient = grads_hash(p);
	ebb_params_freeze(p, "head.*");
	ck_assert(ebb_params_copy(p, q));
	ck_assert_uint_eq(params_hash(p), params_hash(q));
	ck_assert(ebb_at(ebb_buffers_at(p, 0), 1) == 2);
	ck_assert_uint_gt(ebb_version(w), version);
	ck_assert_uint_eq(grads_hash(p), gradient);
	ck_assert(!ebb_requires_grad(ebb_params_find(p, "head.w")) && ebb_has_grad(w));
	ck_assert(ebb_params_copy(p, p));
	ck_assert_uint_eq(params_hash(p), params_hash(q));
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

/* A gradient that reads the old value finds that it was overwritten. */
START_TEST(backward_detects_a_copy)
{
	ebb_params *p = model(EBB_F32, 1), *q = model(EBB_F32, 2);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *loss = ebb_sum(t, ebb_square(t, ebb_params_find(p, "body.w")));

	ck_assert(ebb_params_copy(p, q));
	ck_assert(!ebb_backward(t, loss));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_STATE);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(types_are_converted)
{
	ebb_params *single = model(EBB_F32, 1), *twice = model(EBB_F64, 2),
		   *back = model(EBB_F32, 3);
	ebb_tensor *w = ebb_params_find(twice, "body.w");
	double was = ebb_at(w, 5), from = ebb_at(ebb_params_find(single, "body.w"), 5);

	ck_assert(ebb_params_lerp(twice, single, 0.25));
	ck_assert_double_eq_tol(ebb_at(w, 5), was + 0.25 * (from - was), 1e-15);
	ck_assert_double_eq_tol(ebb_at(ebb_buffers_at(twice, 0), 0), 1.75, 1e-15);
	ck_assert(ebb_params_copy(twice, single) && ebb_params_copy(back, twice));
	ck_assert_uint_eq(params_hash(back), params_hash(single));
	ebb_params_free(single);
	ebb_params_free(twice);
	ebb_params_free(back);
}
END_TEST

START_TEST(a_store_moves_towards_another)
{
	ebb_params *p = model(EBB_F64, 1), *q = model(EBB_F64, 2);
	ebb_tensor *w = ebb_params_find(p, "head.w"), *to = ebb_params_find(q, "head.w");
	double expected = ebb_at(w, 2);
	uint64_t before = params_hash(p);

	ck_assert(ebb_params_lerp(p, q, 0));
	ck_assert_uint_eq(params_hash(p), before);
	for (int i = 0; i < 4; i++) {
		expected += 0.1 * (ebb_at(to, 2) - expected);
		ck_assert(ebb_params_lerp(p, q, 0.1));
		ck_assert_double_eq_tol(ebb_at(w, 2), expected, 1e-15);
	}
	ck_assert(ebb_params_lerp(p, q, 1));
	ck_assert_uint_eq(params_hash(p), params_hash(q));
	for (int i = 0; i < 3; i++) {
		static const double weights[] = {-0.1, 1.1, NAN};

		ck_assert(!ebb_params_lerp(p, q, weights[i]));
		refused(p, EBB_INVALID, "params_lerp: weight");
	}
	ck_assert(!ebb_params_lerp(NULL, q, 2));
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(differences_are_refused_and_named)
{
	ebb_params *p = model(EBB_F32, 1), *q = model(EBB_F32, 2);
	ebb_error e = {0};
	uint64_t before;

	ebb_params_add(p, "only.here", EBB_SHAPE(2), EBB_INIT(EBB_INIT_ZEROS));
	ebb_params_add(q, "only.there", EBB_SHAPE(2), EBB_INIT(EBB_INIT_ZEROS));
	ebb_params_add(p, "shape", EBB_SHAPE(2, 3), EBB_INIT(EBB_INIT_ZEROS));
	ebb_params_add(q, "shape", EBB_SHAPE(3, 2), EBB_INIT(EBB_INIT_ZEROS));
	before = params_hash(p);
	ck_assert(!ebb_params_copy(p, q));
	ck_assert(strstr(ebb_params_error(p)->message, "src has no \"only.here\""));
	ck_assert(strstr(ebb_params_error(p)->message, "dst has no \"only.there\""));
	refused(p, EBB_INVALID, "\"shape\" is F32 [3,2] in src, expected F32 [2,3]");
	ck_assert(!ebb_params_copy(p, q, .error = &e) && !ebb_params_error(p));
	ck_assert(strstr(e.message, "only.here"));
	ck_assert(!ebb_params_copy(p, q, .glob = "nothing"));
	refused(p, EBB_INVALID, "nothing in dst that matches \"nothing\"");
	ck_assert_uint_eq(params_hash(p), before);
	/* A glob or .partial leaves the differences out. */
	ck_assert(ebb_params_copy(p, q, .glob = "*.w"));
	ck_assert(all_same(ebb_params_find(p, "head.w"), ebb_params_find(q, "head.w")));
	ck_assert(ebb_at(ebb_buffers_at(p, 0), 0) == 1);
	ck_assert(ebb_params_copy(p, q, .partial = true));
	ck_assert(ebb_at(ebb_buffers_at(p, 0), 0) == 2);
	ck_assert(ebb_at(ebb_params_find(p, "only.here"), 0) == 0);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(views_are_copied_by_relative_names)
{
	ebb_params *p = ebb_params_new(1), *a = ebb_params_sub(p, "a"), *b = ebb_params_sub(p, "b");
	ebb_params *q = ebb_params_new(2);

	ebb_linear_new(a, "fc", 3, 2);
	ebb_linear_new(b, "fc", 3, 2);
	/* Another order than in the views. */
	ebb_params_add(q, "fc.bias", EBB_SHAPE(2), EBB_INIT(EBB_INIT_NORMAL));
	ebb_params_add(q, "fc.weight", EBB_SHAPE(2, 3), EBB_INIT(EBB_INIT_NORMAL));
	ck_assert(ebb_params_copy(a, b));
	ck_assert(all_same(ebb_params_find(p, "a.fc.weight"), ebb_params_find(p, "b.fc.weight")));
	ck_assert(ebb_params_copy(b, q));
	ck_assert(all_same(ebb_params_find(p, "b.fc.bias"), ebb_params_find(q, "fc.bias")));
	ck_assert(all_same(ebb_params_find(p, "b.fc.weight"), ebb_params_find(q, "fc.weight")));
	ck_assert(!ebb_params_copy(p, a, .partial = true));
	refused(p, EBB_INVALID, "overlapping views");
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(failed_stores_and_allocations_change_nothing)
{
	ebb_params *p = model(EBB_F32, 1), *q = model(EBB_F64, 2);
	uint64_t before = params_hash(p);
	counting_allocator a;
	ebb_error e = {0};

	ck_assert(!ebb_params_copy(p, NULL));
	refused(p, EBB_INVALID, "params_copy: src: the parameter store is NULL");
	ck_assert(!ebb_params_copy(NULL, p, .error = &e) && strstr(e.message, "dst"));
	ck_assert(!ebb_params_copy(NULL, p));
	ebb_params_fail(q, EBB_INVALID, NULL, "broken");
	ck_assert(!ebb_params_lerp(p, q, 0.5));
	refused(p, EBB_INVALID, "params_lerp: src: broken");
	ebb_params_clear_error(q);
	ebb_params_fail(p, EBB_INVALID, NULL, "broken");
	ck_assert(!ebb_params_copy(p, q));
	ebb_params_clear_error(p);
	counting_allocator_install(&a);
	a.fail_at = 0;
	ck_assert(!ebb_params_lerp(p, q, 0.5));
	counting_allocator_remove();
	refused(p, EBB_NO_MEMORY, "params_lerp: no memory");
	ck_assert_uint_eq(params_hash(p), before);
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("copies of stores");
	TCase *c = tcase_create("copy");

	tcase_add_test(c, all_values_are_copied_by_name);
	tcase_add_test(c, backward_detects_a_copy);
	tcase_add_test(c, types_are_converted);
	tcase_add_test(c, a_store_moves_towards_another);
	tcase_add_test(c, differences_are_refused_and_named);
	tcase_add_test(c, views_are_copied_by_relative_names);
	tcase_add_test(c, failed_stores_and_allocations_change_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
