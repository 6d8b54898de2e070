/* profile.c - profiles count the calls of ops, forward and backward separately, as rows, a table
 * and a trace. */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static const ebb_profile_row *row(const ebb_profile_row *rows, int64_t n, const char *name)
{
	for (int64_t i = 0; i < n; i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	ck_abort_msg("no row for %s", name);
	return NULL;
}

static ebb_tensor *twice(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	(void)ctx;
	return ebb_sin(t, ebb_sin(t, x));
}

static void run(ebb_tape *t)
{
	ebb_tensor *a = ebb_variable(t, ebb_ones(t, EBB_SHAPE(10, 20))),
		   *b = ebb_variable(t, ebb_ones(t, EBB_SHAPE(20, 30))), *y;

	ebb_scope_begin(t, "net");
	y = ebb_scope_end(t, ebb_matmul(t, a, b));
	y = ebb_checkpoint(t, twice, NULL, y);
	ck_assert_msg(ebb_backward(t, ebb_sum(t, y)), "%s", ebb_error_message(t));
}

START_TEST(rows_count_forward_and_backward_calls)
{
	ebb_tape *t = ebb_tape_new();
	ebb_profile *p = ebb_profile_new(t);
	ebb_profile_row r[32];
	const ebb_profile_row *m;
	int64_t n;
	double last = INFINITY;

	run(t);
	n = ebb_profile_rows(p, EBB_BY_OP, 32, r);
	ck_assert_int_gt(n, 3);
	ck_assert_int_le(n, 32);
	for (int64_t i = 0; i < n; i++) {
		double seconds = r[i].forward.seconds + r[i].backward.seconds;

		ck_assert(seconds <= last);
		last = seconds;
	}
	m = row(r, n, "matmul");
	ck_assert_int_eq(m->forward.calls, 1);
	ck_assert_double_eq(m->forward.flops, 2.0 * 10 * 20 * 30);
	ck_assert_double_eq(m->forward.bytes, 4.0 * (10 * 20 + 20 * 30 + 10 * 30));
	ck_assert_double_eq(m->forward.multiply_adds, 10 * 20 * 30);
	ck_assert_double_eq(m->forward.result_bytes, 4.0 * 10 * 30);
	ck_assert_int_ge(m->backward.calls, 2);
	ck_assert_double_ge(m->backward.flops, 2 * 2.0 * 10 * 20 * 30);
	ck_assert(m->forward.seconds > 0 && m->backward.seconds > 0);
	/* The checkpoint's first run is forward; its recomputation and its gradients are
	 * backward. */
	ck_assert_int_eq(row(r, n, "sin")->forward.calls, 2);
	ck_assert_double_eq(row(r, n, "sin")->forward.multiply_adds, 0);
	ck_assert_int_ge(row(r, n, "checkpoint")->backward.calls, 2);
	n = ebb_profile_rows(p, EBB_BY_SCOPE, 32, r);
	ck_assert_int_eq(row(r, n, "net")->forward.calls, 1);
	ck_assert_int_ge(row(r, n, "net")->backward.calls, 2);
	n = ebb_profile_rows(p, EBB_BY_SITE, 32, r);
	ck_assert_int_gt(n, 3);
	for (int64_t i = 0; i < n; i++)
		ck_assert_msg(!r[i].name[0] || strstr(r[i].name, "profile.c:"), "%s", r[i].name);
	ebb_profile_reset(p);
	ck_assert_int_eq(ebb_profile_rows(p, EBB_BY_OP, 32, r), 0);
	ebb_profile_free(p);
	/* The profile no longer observes the tape. */
	run(t);
	ck_assert(!ebb_failed(t));
	ebb_tape_free(t);
	ck_assert_ptr_null(ebb_profile_new(NULL));
	ebb_profile_free(NULL);
}
END_TEST

/* The ops of a checkpoint's first run are counted; the checkpoint's own node adds no work. */
START_TEST(a_checkpoint_counts_once)
{
	ebb_tape *t = ebb_tape_new();
	ebb_profile *p = ebb_profile_new(t);
	ebb_profile_row r[8];
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(10)));
	int64_t n;

	ebb_profile_reset(p);
	ebb_checkpoint(t, twice, NULL, x);
	n = ebb_profile_rows(p, EBB_BY_OP, 8, r);
	ck_assert_int_eq(n, 1);
	ck_assert_str_eq(r[0].name, "sin");
	ck_assert_double_eq(r[0].forward.flops, 20);
	ebb_profile_free(p);
	ebb_tape_free(t);
}
END_TEST

static const ebb_op OUTER = {.name = "outer"};

/* An op that calls other ops between ebb_begin and ebb_record. */
static ebb_tensor *outer(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &OUTER, NULL, 1, &x);
	ebb_tensor *y;

	for (int i = 0; i < 100; i++)
		y = ebb_exp(t, x);
	return ebb_record(&c, y);
}

START_TEST(time_of_nested_calls_is_counted_once)
{
	ebb_tape *t = ebb_tape_new();
	ebb_profile *p = ebb_profile_new(t);
	ebb_profile_row r[8];
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(10000));
	ebb_text text = {0};
	int64_t n;

	ebb_profile_reset(p);
	outer(t, x);
	assert_healthy(t);
	n = ebb_profile_rows(p, EBB_BY_OP, 8, r);
	/* The time of exp is not counted for outer. */
	ck_assert(row(r, n, "outer")->forward.seconds < row(r, n, "exp")->forward.seconds);
	ck_assert(row(r, n, "outer")->forward.seconds >= 0);
	ck_assert(ebb_profile_trace(p, &text));
	ck_assert_ptr_null(strstr(text.data, "\"ts\":-"));
	ck_assert_ptr_nonnull(strstr(text.data, "\"ts\":0.000"));
	ebb_text_free(&text);
	ebb_profile_free(p);
	ebb_tape_free(t);
}
END_TEST

static int count(const char *s, const char *what)
{
	int n = 0;

	for (; (s = strstr(s, what)); s++)
		n++;
	return n;
}

START_TEST(table_and_trace_contain_every_op)
{
	ebb_tape *t = ebb_tape_new();
	ebb_profile *p = ebb_profile_new(t);
	ebb_text text = {0};

	ck_assert(ebb_profile_table(p, EBB_BY_OP, &text));
	run(t);
	ck_assert(ebb_profile_table(p, EBB_BY_OP, &text));
	ck_assert_ptr_nonnull(strstr(text.data, "\nmatmul "));
	ck_assert_ptr_nonnull(strstr(text.data, " 100.0\n"));
	ebb_text_free(&text);
	ebb_scope_begin(t, "quote\" and \\ and \n");
	ebb_scope_end(t, ebb_exp(t, ebb_ones(t, EBB_SHAPE(2))));
	ck_assert(ebb_profile_trace(p, &text));
	ck_assert_ptr_nonnull(strstr(text.data, "quote\\\" and \\\\ and \\u000a"));
	ck_assert_int_eq(count(text.data, "{"), count(text.data, "}"));
	ck_assert_int_ge(count(text.data, "\"ph\":\"X\""), 8);
	ck_assert_int_ge(count(text.data, "\"tid\":2,\"ts\""), 3);
	ebb_text_free(&text);
	ck_assert(!ebb_profile_table(NULL, EBB_BY_OP, &text));
	ck_assert(!ebb_profile_trace(p, NULL));
	ebb_profile_free(p);
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("profile");
	TCase *c = tcase_create("profile");

	tcase_add_test(c, rows_count_forward_and_backward_calls);
	tcase_add_test(c, a_checkpoint_counts_once);
	tcase_add_test(c, time_of_nested_calls_is_counted_once);
	tcase_add_test(c, table_and_trace_contain_every_op);
	suite_add_tcase(s, c);
	return run_suite(s);
}
