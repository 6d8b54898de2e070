/* ebb_tape_check finds every kind of wrong reference count and flag. */
#include <string.h>

#include "autograd/internal.h"
#include "tests/support/support.h"

static ebb_tape *t;
static ebb_tensor *x, *y;

static void set_up(void)
{
	t = ebb_tape_new();
	x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(100, 300)));
	y = ebb_exp(t, ebb_mul(t, x, x));
	ck_assert_ptr_nonnull(y);
	check_tape_counts(t);
}

static void tear_down(void)
{
	ebb_tape_free(t);
}

/* Asserts that the check fails with a message that contains these words. */
static void assert_noticed(const char *words)
{
	ebb_error e = {0};

	ck_assert_msg(!ebb_tape_check(t, &e), "no error was found; expected \"%s\"", words);
	ck_assert_msg(strstr(e.message, words), "\"%s\" does not say \"%s\"", e.message, words);
}

START_TEST(a_wrong_count_of_readers_is_found)
{
	y->storage->readers++;
	assert_noticed("counts 2 readers and 1 savers; there are 1 and 1");
	y->storage->readers -= 2;
	assert_noticed("counts 0 readers and 1 savers; there are 1 and 1");
	y->storage->readers++;
}
END_TEST

START_TEST(a_wrong_count_of_savers_is_found)
{
	x->storage->savers--;
	assert_noticed("savers; there are");
	x->storage->savers++;
}
END_TEST

START_TEST(a_wrong_count_of_holds_is_found)
{
	y->holds++;
	assert_noticed("has the hold count 2");
	y->holds--;
}
END_TEST

START_TEST(a_leftover_flag_is_found)
{
	y->flags |= EBB_F_SHOWN;
	assert_noticed("flags");
	y->flags &= (uint16_t)~EBB_F_SHOWN;
	y->flags &= (uint16_t)~EBB_F_LISTED;
	assert_noticed("flags");
	y->flags |= EBB_F_LISTED;
}
END_TEST

START_TEST(a_storage_apart_from_its_block_is_found)
{
	y->storage->data += 64;
	assert_noticed("its block do not agree");
	y->storage->data -= 64;
	y->storage->presence = EBB_ABSENT;
	assert_noticed("absent");
	y->storage->presence = EBB_PRESENT;
}
END_TEST

START_TEST(a_wrong_sum_of_memory_is_found)
{
	t->ctx.pool.in_use += 64;
	assert_noticed("bytes in use");
	t->ctx.pool.in_use -= 64;
	t->ctx.pool.absent++;
	assert_noticed("1 absent");
	t->ctx.pool.absent--;
}
END_TEST

START_TEST(a_gap_between_heap_blocks_is_found)
{
	ebb_block *b = y->storage->block;

	ck_assert_int_eq(b->size_class, EBB_ON_HEAP);
	ck_assert_ptr_nonnull(b->above);
	b->above->below = NULL;
	assert_noticed("neighbours");
	b->above->below = b;
}
END_TEST

static void nosy_vjp(ebb_vjp *v)
{
	ebb_error e = {0};

	ck_assert(!ebb_tape_check(v->t, &e));
	ck_assert_ptr_nonnull(strstr(e.message, "sweep"));
	ebb_give(v, 0, v->gy);
}
static const ebb_op NOSY = {.name = "nosy", .vjp = nosy_vjp};

START_TEST(tape_check_refuses_a_sweep_in_progress)
{
	ebb_call c = ebb_begin(t, &NOSY, EBB_SITE, 1, &x);
	ebb_tensor *z = ebb_record(&c, ebb_new_like(&c, x));

	ck_assert(ebb_backward(t, z, .gy = ebb_ones_like(t, z)));
	ck_assert(!ebb_tape_check(NULL, NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/counts");
	TCase *c = tcase_create("counts");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_wrong_count_of_readers_is_found);
	tcase_add_test(c, a_wrong_count_of_savers_is_found);
	tcase_add_test(c, a_wrong_count_of_holds_is_found);
	tcase_add_test(c, a_leftover_flag_is_found);
	tcase_add_test(c, a_storage_apart_from_its_block_is_found);
	tcase_add_test(c, a_wrong_sum_of_memory_is_found);
	tcase_add_test(c, a_gap_between_heap_blocks_is_found);
	tcase_add_test(c, tape_check_refuses_a_sweep_in_progress);
	suite_add_tcase(s, c);
	return run_suite(s);
}
