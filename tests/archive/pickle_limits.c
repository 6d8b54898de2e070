/* Damaged pickles, failed allocations, and pickles that need much memory. */
#include "pickle_reading.h"

#include <stdlib.h>

/* ---- Damage --------------------------------------------------------------------------------- */

/* A pickle with opcodes of every kind. */
static const char whole[] =
	"\x80\2}q\0(X\1\0\0\0aq\1" TENSOR "X\1\0\0\0b](K\1M\2\0J\3\0\0\0\x8a\1\4G@\x14\0\0\0\0\0\0e"
	"X\1\0\0\0c" SCALAR("f8", "<", "\x08\0\0\0\0\0\0\xf0\x3f");

static size_t whole_without_stop(char *to)
{
	size_t n = sizeof whole - 2;

	memcpy(to, whole, n);
	memcpy(to + n, "u.", 3);
	return n + 2;
}

START_TEST(a_truncated_pickle_is_refused)
{
	char bytes[sizeof whole + 2];
	size_t n = whole_without_stop(bytes);
	reading r;

	begin(&r, bytes, n);
	ck_assert_msg(r.root != NULL, "%s", r.e.message);
	end(&r);
	for (size_t k = 0; k < n; k++) {
		char *cut = malloc(k ? k : 1); /* so that a sanitizer finds reads beyond the end */

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, bytes, k);
		begin(&r, cut, k);
		ck_assert_ptr_null(r.root);
		ck_assert_int_eq(r.e.status, EBB_BAD_FILE);
		end(&r);
		free(cut);
	}
}
END_TEST

/* Each byte is replaced by a fifth of the other values: the result is an error or a tree, and no
 * memory leaks. */
START_TEST(a_damaged_pickle_is_read_or_refused)
{
	char bytes[sizeof whole + 2];
	size_t n = whole_without_stop(bytes);

	for (size_t k = 0; k < n; k++) {
		char before = bytes[k];

		for (int value = (int)(k % 5); value < 256; value += 5) {
			reading r;

			bytes[k] = (char)value;
			begin(&r, bytes, n);
			ck_assert_int_eq(r.root != NULL, r.e.status == EBB_OK);
			end(&r);
		}
		bytes[k] = before;
	}
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	char bytes[sizeof whole + 2];
	size_t n = whole_without_stop(bytes);
	counting_allocator counts;
	bool done = false;

	for (int64_t at = 0; !done; at++) {
		reading r;

		counting_allocator_install(&counts);
		counts.fail_at = at;
		begin(&r, bytes, n);
		done = r.root != NULL;
		ck_assert_int_eq(r.e.status, done ? EBB_OK : EBB_NO_MEMORY);
		end(&r);
		ck_assert_int_eq(counts.live, 0);
		ck_assert_int_eq(counts.wrong, 0);
		ck_assert_int_eq(counts.refused, !done);
		counting_allocator_remove();
		ck_assert_int_lt(at, 100);
	}
}
END_TEST

/* ---- Size ----------------------------------------------------------------------------------- */

/* A pickle that repeats a few bytes. */
typedef struct repeated {
	const char *begin, *again, *end;
	size_t begin_n, again_n, end_n;
} repeated;
#define REPEATED(a, b, c)                                                                          \
	{                                                                                          \
		a, b, c, sizeof a - 1, sizeof b - 1, sizeof c - 1                                  \
	}

static const repeated greedy[] = {
	REPEATED("", "]", "."),
	REPEATED("", "}", "."),
	REPEATED("", "(", "N."),
	REPEATED("(", "N", "t."),
	REPEATED("N", "\x85", "."),
	REPEATED("N", "\x94", "."),
	REPEATED("]", "Na", "."),
	REPEATED("](", "K\1", "e."),
	REPEATED("(", "c\n\n", "t."),
	REPEATED("]q\0", "h\0a", "."),
	REPEATED("(", "X\1\0\0\0q", "t."),
	REPEATED("(", "(t", "t."),
	REPEATED("(ccollections\nOrderedDict\nq\0", "h\0)R", "t."),
};
enum { GREEDY = sizeof greedy / sizeof *greedy, MANY = 300000 };

static char *repeat(const repeated *x, size_t *n)
{
	size_t times = MANY / x->again_n;
	char *bytes = malloc(x->begin_n + times * x->again_n + x->end_n), *at = bytes;

	ck_assert_ptr_nonnull(bytes);
	memcpy(at, x->begin, x->begin_n);
	at += x->begin_n;
	for (size_t i = 0; i < times; i++, at += x->again_n)
		memcpy(at, x->again, x->again_n);
	memcpy(at, x->end, x->end_n);
	*n = (size_t)(at + x->end_n - bytes);
	return bytes;
}

/* The most memory in use at a time, as counted by the allocation hook. */
static int64_t live, most_live;

static void *watch(void *ctx, void *p, size_t old_size, size_t new_size)
{
	(void)ctx;
	live += (int64_t)new_size - (int64_t)old_size;
	most_live = live > most_live ? live : most_live;
	if (new_size == 0)
		return free(p), NULL;
	return realloc(p, new_size);
}

START_TEST(memory_is_bounded_by_the_size_of_the_pickle)
{
	size_t n;
	char *bytes = repeat(&greedy[_i], &n);
	reading r;

	live = most_live = 0;
	ebb_set_allocator(watch, NULL);
	begin(&r, bytes, n);
	/* Either accepted, or refused because of the memory that it needs. */
	ck_assert_msg(r.root || strstr(r.e.message, "needs more than") ||
			      strstr(r.e.message, "ends with"),
		"%s", r.e.message);
	end(&r);
	ebb_set_allocator(NULL, NULL);
	ck_assert_int_eq(live, 0);
	ck_assert_int_le(most_live, 64 * (int64_t)n + (1 << 20));
	free(bytes);
}
END_TEST

/* Indices that each skip 16 million: refused, because pages of the memo are counted. */
START_TEST(a_large_memo_index_needs_little_memory)
{
	enum { PUTS = 256 * 256 };
	uint8_t *bytes = malloc(1 + 5 * PUTS + 1);
	counting_allocator counts;
	reading r;

	ck_assert_ptr_nonnull(bytes);
	bytes[0] = 'N';
	for (uint32_t i = 0; i < PUTS; i++) {
		uint8_t *at = bytes + 1 + 5 * i;

		at[0] = 'r';
		at[1] = 0;
		at[2] = 1;
		at[3] = (uint8_t)i;
		at[4] = (uint8_t)(i >> 8);
	}
	bytes[1 + 5 * PUTS] = '.';
	counting_allocator_install(&counts);
	begin(&r, bytes, 1 + 5 * PUTS + 1);
	ck_assert_ptr_null(r.root);
	ck_assert_msg(strstr(r.e.message, "needs more than"), "%s", r.e.message);
	end(&r);
	ck_assert_int_eq(counts.live, 0);
	counting_allocator_remove();
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-pickle-limits");
	TCase *t = tcase_create("pickle");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_truncated_pickle_is_refused);
	tcase_add_test(t, a_damaged_pickle_is_read_or_refused);
	tcase_add_test(t, every_allocation_may_fail);
	tcase_add_loop_test(t, memory_is_bounded_by_the_size_of_the_pickle, 0, GREEDY);
	tcase_add_test(t, a_large_memo_index_needs_little_memory);
	suite_add_tcase(s, t);
	return run_suite(s);
}
