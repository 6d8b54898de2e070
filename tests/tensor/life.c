/* The lifetime of a value: reference counts, when its memory is freed, and recomputation. */
#include <string.h>

#include "tensor/internal.h"
#include "tests/support/support.h"

enum { SMALL = 64, LARGE = 256 * 1024 };

static ebb_pool pool;
static int made; /* the number of calls of the pool's make */

static bool make(ebb_storage *s)
{
	made++;
	if (!ebb_storage_refill(s))
		return false;
	memset(s->data, made, s->bytes);
	return true;
}

static void set_up(void)
{
	pool = (ebb_pool){.device = &ebb_processor, .make = make};
	made = 0;
}

static void tear_down(void)
{
	ebb_pool_free(&pool);
}

/* Asserts that the pool's reference counts are right: s has these, all other storages none. */
static void assert_tally(ebb_storage *s, int readers, int savers)
{
	ebb_error e = {0};
	ebb_tally y;

	ck_assert(ebb_tally_begin(&y, &pool));
	for (int i = 0; i < readers; i++)
		ebb_tally_reader(&y, s);
	for (int i = 0; i < savers; i++)
		ebb_tally_saver(&y, s);
	ck_assert_msg(ebb_tally_end(&y, &e), "%s", e.message);
}

static struct ebb_node *a_maker(void)
{
	static int node;

	return (struct ebb_node *)(void *)&node;
}

START_TEST(a_storage_without_readers_and_savers_is_freed)
{
	static const size_t sizes[] = {SMALL, LARGE};

	for (int i = 0; i < 2; i++) {
		ebb_storage *s = ebb_pool_take(&pool, sizes[i]);
		size_t used = pool.in_use;

		ck_assert(s && s->readers == 1 && !s->savers && used >= sizes[i]);
		ebb_ref(s);
		ebb_ref_saved(s);
		assert_tally(s, 2, 1);
		ebb_unref(s);
		ebb_unref(s);
		ck_assert_uint_eq(pool.in_use, used);
		assert_tally(s, 0, 1);
		ebb_unref_saved(s);
		ck_assert_uint_eq(pool.in_use, 0);
		assert_tally(NULL, 0, 0);
	}
}
END_TEST

START_TEST(a_recomputable_value_without_readers_has_no_memory)
{
	static const size_t sizes[] = {SMALL, LARGE};

	for (int i = 0; i < 2; i++) {
		ebb_storage *s = ebb_pool_take(&pool, sizes[i]);
		int before = made;

		ebb_set_maker(s, a_maker());
		ebb_ref_saved(s);
		ck_assert(s->presence == EBB_PRESENT && s->data);
		ebb_unref(s);
		ck_assert(s->presence == EBB_ABSENT && !s->data && !s->block);
		ck_assert_uint_eq(pool.in_use, 0);
		assert_tally(s, 0, 1);

		ck_assert(ebb_present(s));
		ck_assert_int_eq(made, before + 1);
		ck_assert(s->data[sizes[i] - 1] == made);
		ck_assert(ebb_present(s));
		ck_assert_int_eq(made, before + 1);
		ebb_ref(s);
		assert_tally(s, 1, 1);
		ebb_unref(s);
		ck_assert(s->presence == EBB_ABSENT);
		ebb_unref_saved(s);
		ck_assert_uint_eq(pool.in_use, 0);
		assert_tally(NULL, 0, 0);
	}
}
END_TEST

START_TEST(a_kept_or_overwritten_value_stays_in_memory)
{
	for (int overwritten = 0; overwritten < 2; overwritten++) {
		ebb_storage *s = ebb_pool_take(&pool, LARGE);
		uint32_t version = s->version;

		ebb_set_maker(s, a_maker());
		ebb_ref_saved(s);
		if (overwritten)
			ebb_overwrite(s);
		else
			ebb_keep(s);
		ck_assert_uint_eq(s->version, version + (uint32_t)overwritten);
		ebb_unref(s);
		ck_assert(s->presence == EBB_PRESENT && s->data);
		assert_tally(s, 0, 1);
		ebb_unref_saved(s);
		assert_tally(NULL, 0, 0);
	}
	ck_assert_int_eq(made, 0);
}
END_TEST

START_TEST(freed_memory_is_reused)
{
	ebb_storage *s[40];
	size_t reserved = 0;

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 40; i++) {
			s[i] = ebb_pool_take(&pool, (size_t)(i % 2 ? SMALL : LARGE) + (size_t)i);
			ck_assert_ptr_nonnull(s[i]);
			memset(s[i]->data, i, s[i]->bytes);
		}
		for (int i = 0; i < 40; i++)
			ck_assert(s[i]->data[0] == i && s[i]->data[s[i]->bytes - 1] == i);
		for (int i = 0; i < 40; i++)
			ebb_unref(s[(i * 7 + round) % 40]);
		ck_assert_uint_eq(pool.in_use, 0);
		assert_tally(NULL, 0, 0);
		ck_assert(!round || pool.reserved + pool.heap.reserved == reserved);
		reserved = pool.reserved + pool.heap.reserved;
	}
}
END_TEST

START_TEST(trimming_a_large_value_frees_the_rest)
{
	ebb_storage *s = ebb_pool_take(&pool, LARGE), *t;
	size_t reserved = pool.heap.reserved;

	ebb_storage_trim(s, LARGE / 4);
	ck_assert(s->bytes >= LARGE / 4 && s->bytes < LARGE / 2);
	ck_assert_uint_eq(pool.in_use, s->bytes);
	t = ebb_pool_take(&pool, LARGE / 2);
	ck_assert(t->data > s->data && t->data < s->data + LARGE);
	ck_assert_uint_eq(pool.heap.reserved, reserved);
	ebb_unref(s);
	ebb_unref(t);
	assert_tally(NULL, 0, 0);
}
END_TEST

/* [3,2]^T [3,4] */
START_TEST(a_deferred_product_is_computed_when_it_is_read)
{
	static const double a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 2, 0, 0, 1, 0, 2, 1, 1, 1, 1};
	static const double want[] = {6, 8, 7, 11, 8, 10, 10, 14};
	ebb_storage *s = ebb_storage_new(sizeof want);
	ebb_outer_product f;

	memset(s->data, 0x5a, sizeof want);
	ck_assert(ebb_keep_product(s, EBB_F64, (const int64_t[]){3, 2, 4}, a, b, false));
	f = ebb_outer_product_of(s);
	ck_assert(f.rows == 3 && memcmp(f.gy, a, sizeof a) == 0 && memcmp(f.x, b, sizeof b) == 0);
	ck_assert_mem_ne(s->data, want, sizeof want);
	ck_assert(ebb_present(s));
	ck_assert_mem_eq(s->data, want, sizeof want);
	ck_assert(ebb_outer_product_of(s).rows == 0);

	ck_assert(ebb_keep_product(s, EBB_F64, (const int64_t[]){1, 2, 4}, a, b, false));
	ebb_overwrite(s);
	ck_assert(s->presence == EBB_PRESENT);
	ck_assert_mem_eq(s->data, want, sizeof want);
	ck_assert(ebb_keep_product(s, EBB_F64, (const int64_t[]){3, 2, 4}, a, b, false));
	ebb_hand_out(s);
	ck_assert(s->handed_out && s->presence == EBB_PRESENT);
	ck_assert_mem_eq(s->data, want, sizeof want);
	ebb_storage_free(s);
}
END_TEST

START_TEST(failed_allocations_leak_nothing)
{
	counting_allocator a;
	int failed = 0;

	counting_allocator_install(&a);
	for (int64_t allowed = 0; allowed < 12; allowed++) {
		ebb_storage *small, *large;

		pool = (ebb_pool){.device = &ebb_processor, .make = make};
		a.fail_at = a.calls + allowed;
		a.fail_after = true;
		small = ebb_pool_take(&pool, SMALL);
		large = ebb_pool_take(&pool, LARGE);
		failed += !small || !large;
		if (small) {
			ebb_set_maker(small, a_maker());
			ebb_ref_saved(small);
			ebb_unref(small);
			ck_assert(ebb_present(small));
			ebb_ref(small);
			ebb_unref_saved(small);
			ebb_unref(small);
		}
		if (large)
			ebb_unref(large);
		ck_assert_uint_eq(pool.in_use, 0);
		assert_tally(NULL, 0, 0);
		ebb_pool_free(&pool);
		a.fail_at = -1;
	}
	ck_assert(failed > 2 && failed < 12);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tensor/life");
	TCase *c = tcase_create("life");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_storage_without_readers_and_savers_is_freed);
	tcase_add_test(c, a_recomputable_value_without_readers_has_no_memory);
	tcase_add_test(c, a_kept_or_overwritten_value_stays_in_memory);
	tcase_add_test(c, freed_memory_is_reused);
	tcase_add_test(c, trimming_a_large_value_frees_the_rest);
	tcase_add_test(c, a_deferred_product_is_computed_when_it_is_read);
	tcase_add_test(c, failed_allocations_leak_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
