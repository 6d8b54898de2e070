/*
 * test_threads.c - the thread pool: every task runs once, concurrent tasks have different workers,
 * nested and concurrent callers, fork.
 */
#define _DEFAULT_SOURCE
#include "../support/fork.h"
#include "kernel_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

struct count {
	atomic_int done[1000];
	atomic_int busy[256];
	atomic_int clashes;
	int64_t inner;
};

static void piece(void *ctx, int64_t i, int worker)
{
	struct count *c = ctx;

	if (worker < 0 || worker >= ebb_threads() || atomic_fetch_add(&c->busy[worker], 1) != 0)
		atomic_fetch_add(&c->clashes, 1);
	for (volatile int k = 0; k < 200; k++)
		;
	atomic_fetch_add(&c->done[i], 1);
	atomic_fetch_add(&c->busy[worker], -1);
}

static void check_run(int64_t pieces)
{
	struct count *c = calloc(1, sizeof *c);

	ck_assert_ptr_nonnull(c);
	ebb_parallel(pieces, piece, c);
	for (int64_t i = 0; i < 1000; i++)
		expect(atomic_load(&c->done[i]) == (i < pieces));
	ck_assert_int_eq(atomic_load(&c->clashes), 0);
	free(c);
}

START_TEST(every_task_runs_once)
{
	for (int threads = 1; threads <= 5; threads++) {
		ebb_set_threads(threads);
		ck_assert_int_eq(ebb_threads(), threads);
		for (int round = 0; round < 200; round++)
			check_run(any(0, round % 10 ? 20 : 1000));
	}
	ebb_set_threads(0);
	ck_assert_int_ge(ebb_threads(), 1);
	ebb_set_threads(1000);
	ck_assert_int_eq(ebb_threads(), 256);
	ebb_set_threads(2);
}
END_TEST

START_TEST(sleeping_threads_wake_for_a_job)
{
	ebb_set_threads(3);
	for (int i = 0; i < 10; i++) {
		usleep(2000);
		check_run(50);
	}
}
END_TEST

static void outer(void *ctx, int64_t i, int worker)
{
	(void)ctx, (void)i, (void)worker;
	check_run(30);
}

START_TEST(nested_calls_run_alone)
{
	ebb_set_threads(3);
	ebb_parallel(20, outer, NULL);
}
END_TEST

static void *rival(void *arg)
{
	for (int i = 0; i < 200; i++)
		check_run(30);
	return arg;
}

START_TEST(concurrent_callers_complete_all_their_tasks)
{
	pthread_t t[3];

	ebb_set_threads(3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, rival, NULL), 0);
	rival(NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}
END_TEST

START_TEST(a_fork_has_its_own_pool)
{
	pid_t child;
	int status;

	ebb_set_threads(3);
	check_run(100);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct count *c = calloc(1, sizeof *c);

		alarm(10);
		ebb_parallel(100, piece, c);
		_exit(!c || atomic_load(&c->done[99]) != 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	check_run(100);
}
END_TEST

START_TEST(tables_are_found_by_name)
{
	const ebb_kernels *a = ebb_kernels_f32(), *b = ebb_kernels_f64();

	ck_assert_ptr_nonnull(ebb_kernels_named("baseline", false));
	ck_assert_ptr_null(ebb_kernels_named("none", false));
	ck_assert_str_eq(a->isa, b->isa);
	ck_assert_ptr_eq(a, ebb_kernels_named(a->isa, false));
	ck_assert_ptr_eq(b, ebb_kernels_named(a->isa, true));
	ck_assert_uint_eq(a->real_size, 4);
	ck_assert_uint_eq(b->real_size, 8);
}
END_TEST

TCase *tests_threads(void)
{
	TCase *c = tcase_create("threads");

	tcase_add_test(c, every_task_runs_once);
	tcase_add_test(c, sleeping_threads_wake_for_a_job);
	tcase_add_test(c, nested_calls_run_alone);
	tcase_add_test(c, concurrent_callers_complete_all_their_tasks);
	if (child_may_start_threads())
		tcase_add_test(c, a_fork_has_its_own_pool);
	tcase_add_test(c, tables_are_found_by_name);
	return c;
}
