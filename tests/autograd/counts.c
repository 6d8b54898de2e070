/* A tape's check of its counts and flags notices each that is wrong. */
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

/* The check fails with these words, and is content when the fault is undone. */
static void assert_noticed(const char *words)
{
	ebb_error e = {0};

	ck_assert_msg(!ebb_tape_check(t, &e), "nothing was noticed; expected \"%s\"", words);
	ck_assert_msg(strstr(e.message, words), "\"%s\" does not say \"%s\"", e.message, words);
}

START_TEST(a_wrong_count_of_readers)
{
	y->storage->readers++;
	assert_noticed("counts 2 readers and 1 savers; there are 1 and 1");
	y->storage->readers -= 2;
	assert_noticed("counts 0 readers and 1 savers; there are 1 and 1");
	y->storage->readers++;
}
END_TEST

START_TEST(a_wrong_count_of_savers)
{
	x->storage->savers--;
	assert_noticed("savers; there are");
	x->storage->savers++;
}
END_TEST

START_TEST(a_wrong_count_of_holds)
{
	y->holds++;
	assert_noticed("has 2 holds");
	y->holds--;
}
END_TEST

START_TEST(a_flag_that_is_left_over)
{
	y->flags |= EBB_F_SHOWN;
	assert_noticed("flags");
	y->flags &= (uint16_t)~EBB_F_SHOWN;
	y->flags &= (uint16_t)~EBB_F_LISTED;
	assert_noticed("flags");
	y->flags |= EBB_F_LISTED;
}
END_TEST

START_TEST(a_storage_that_is_not_where_its_block_is)
{
	y->storage->data += 64;
	assert_noticed("its block do not agree");
	y->storage->data -= 64;
	y->storage->presence = EBB_ABSENT;
	assert_noticed("absent");
	y->storage->presence = EBB_PRESENT;
}
END_TEST

START_TEST(a_wrong_sum_of_memory)
{
	t->ctx.pool.in_use += 64;
	assert_noticed("bytes in use");
	t->ctx.pool.in_use -= 64;
	t->ctx.pool.absent++;
	assert_noticed("1 absent");
	t->ctx.pool.absent--;
}
END_TEST

START_TEST(neighbours_on_the_heap_that_do_not_meet)
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

START_TEST(it_is_not_for_the_middle_of_a_sweep)
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
	tcase_add_test(c, a_wrong_count_of_readers);
	tcase_add_test(c, a_wrong_count_of_savers);
	tcase_add_test(c, a_wrong_count_of_holds);
	tcase_add_test(c, a_flag_that_is_left_over);
	tcase_add_test(c, a_storage_that_is_not_where_its_block_is);
	tcase_add_test(c, a_wrong_sum_of_memory);
	tcase_add_test(c, neighbours_on_the_heap_that_do_not_meet);
	tcase_add_test(c, it_is_not_for_the_middle_of_a_sweep);
	suite_add_tcase(s, c);
	return run_suite(s);
}
