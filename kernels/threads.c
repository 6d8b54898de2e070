/*
 * threads.c - the thread pool that kernels share.
 *
 * One job runs at a time.  The caller that locks the pool publishes its job and takes part in it;
 * a caller that finds the pool locked runs its tasks alone.  Worker threads join an open job,
 * claim tasks by a counter, and leave.  The caller then closes the job and waits only for the
 * threads that joined, so that a thread that the system has not scheduled delays no caller.  An
 * idle thread spins for some microseconds, then sleeps.
 *
 * All data passes under the mutex.  The atomics are the counter of tasks, and hints that tell when
 * locking the mutex is worthwhile.
 */
#define _GNU_SOURCE
#include "environment.h"
#include "float_state.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#if defined __has_include
#if __has_include(<valgrind/helgrind.h>)
#include <valgrind/helgrind.h>
#endif
#endif
#ifndef VALGRIND_HG_DISABLE_CHECKING
#define VALGRIND_HG_DISABLE_CHECKING(p, n) ((void)0)
#endif

enum { MAX_THREADS = EBB_MOST_THREADS, SPINS = 4000, STACK_BYTES = 2 << 20 };

static struct {
	pthread_mutex_t owner; /* held by the caller whose job runs */
	pthread_mutex_t mutex; /* guards the members below */
	pthread_cond_t wake, done;
	pthread_t thread[MAX_THREADS];
	int created, sleeping, active;
	bool open, stop;
	void (*fn)(void *, int64_t, int);
	void *ctx;
	ebb_float_state state; /* floating-point control word of the owner */
	int64_t pieces;
	_Alignas(64) atomic_uint job;   /* number of the last job, which idle threads watch */
	atomic_int busy;                /* copy of active that is read without the mutex */
	_Alignas(64) atomic_llong next; /* the next task to claim */
} pool = {
	.owner = PTHREAD_MUTEX_INITIALIZER,
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.wake = PTHREAD_COND_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
};

static atomic_int threads_wanted; /* 0: not yet known */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static inline void relax(void)
{
#if defined __x86_64__ || defined __i386__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("yield");
#endif
}

static int default_threads(void)
{
	long n = ebb_environment_threads();

	if (n < 1) {
		cpu_set_t set;

		n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
		                                                : sysconf(_SC_NPROCESSORS_ONLN);
	}
	return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

int ebb_threads(void)
{
	int n = atomic_load_explicit(&threads_wanted, memory_order_relaxed);

	if (n == 0) {
		n = default_threads();
		atomic_store_explicit(&threads_wanted, n, memory_order_relaxed);
	}
	return n;
}

static void run_pieces(void (*fn)(void *, int64_t, int), void *ctx, int64_t pieces, int worker)
{
	for (;;) {
		int64_t i = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);

		if (i >= pieces)
			return;
		fn(ctx, i, worker);
	}
}

static void *work(void *arg)
{
	int worker = (int)(intptr_t)arg;
	unsigned joined = 0;

	pthread_mutex_lock(&pool.mutex);
	while (!pool.stop) {
		unsigned job = atomic_load(&pool.job);

		if (pool.open && joined != job) {
			void (*fn)(void *, int64_t, int) = pool.fn;
			void *ctx = pool.ctx;
			ebb_float_state state = pool.state;
			int64_t pieces = pool.pieces;

			joined = job;
			atomic_store(&pool.busy, ++pool.active);
			pthread_mutex_unlock(&pool.mutex);
			ebb_float_set(state);
			run_pieces(fn, ctx, pieces, worker);
			pthread_mutex_lock(&pool.mutex);
			atomic_store(&pool.busy, --pool.active);
			if (pool.active == 0)
				pthread_cond_signal(&pool.done);
			continue;
		}
		pthread_mutex_unlock(&pool.mutex);
		for (int i = 0; i < SPINS && job == atomic_load(&pool.job); i++)
			relax();
		pthread_mutex_lock(&pool.mutex);
		if (job == atomic_load(&pool.job) && !pool.stop) {
			pool.sleeping++;
			pthread_cond_wait(&pool.wake, &pool.mutex);
			pool.sleeping--;
		}
	}
	pthread_mutex_unlock(&pool.mutex);
	return NULL;
}

/* A child process after fork has none of the threads, so it starts with an empty pool. */
static void after_fork(void)
{
	pthread_mutex_init(&pool.owner, NULL);
	pthread_mutex_init(&pool.mutex, NULL);
	pthread_cond_init(&pool.wake, NULL);
	pthread_cond_init(&pool.done, NULL);
	pool.created = pool.sleeping = pool.active = 0;
	pool.open = pool.stop = false;
	atomic_store(&pool.busy, 0);
}

static void set_up(void)
{
	VALGRIND_HG_DISABLE_CHECKING(&pool.job, sizeof pool.job);
	VALGRIND_HG_DISABLE_CHECKING(&pool.busy, sizeof pool.busy);
	VALGRIND_HG_DISABLE_CHECKING(&pool.next, sizeof pool.next);
	VALGRIND_HG_DISABLE_CHECKING(&threads_wanted, sizeof threads_wanted);
	pthread_atfork(NULL, NULL, after_fork);
}

/* Creates the missing threads; only the owner calls it.  The threads block all signals, so that
 * the program's own threads handle them.  If the system refuses a thread, the pool is smaller. */
static void create_threads(int wanted)
{
	pthread_attr_t attr;
	sigset_t all, old;

	pthread_once(&once, set_up);
	if (pthread_attr_init(&attr))
		return;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool.created < wanted) {
		void *arg = (void *)(intptr_t)(pool.created + 1);

		if (pthread_create(&pool.thread[pool.created], &attr, work, arg))
			break;
		pool.created++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

/* Only the owner calls it. */
static void join_threads(void)
{
	pthread_mutex_lock(&pool.mutex);
	pool.stop = true;
	atomic_fetch_add(&pool.job, 1);
	pthread_cond_broadcast(&pool.wake);
	pthread_mutex_unlock(&pool.mutex);
	for (int i = 0; i < pool.created; i++)
		pthread_join(pool.thread[i], NULL);
	pool.created = 0;
	pool.stop = false;
}

void ebb_set_threads(int n)
{
	n = n < 1 ? default_threads() : n > MAX_THREADS ? MAX_THREADS : n;
	pthread_mutex_lock(&pool.owner);
	if (pool.created > n - 1)
		join_threads();
	atomic_store_explicit(&threads_wanted, n, memory_order_relaxed);
	pthread_mutex_unlock(&pool.owner);
}

void ebb_parallel(int64_t pieces, void (*fn)(void *ctx, int64_t piece, int worker), void *ctx)
{
	int wanted = ebb_threads() - 1;

	if (pieces <= 1 || wanted < 1 || pthread_mutex_trylock(&pool.owner)) {
		for (int64_t i = 0; i < pieces; i++)
			fn(ctx, i, 0);
		return;
	}
	if (pool.created < wanted)
		create_threads(wanted);

	pthread_mutex_lock(&pool.mutex);
	pool.fn = fn;
	pool.ctx = ctx;
	pool.state = ebb_float_get();
	pool.pieces = pieces;
	pool.open = true;
	atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
	atomic_fetch_add(&pool.job, 1);
	for (int64_t i = pool.sleeping < pieces ? pool.sleeping : pieces - 1; i > 0; i--)
		pthread_cond_signal(&pool.wake);
	pthread_mutex_unlock(&pool.mutex);

	run_pieces(fn, ctx, pieces, 0);

	for (int i = 0; i < SPINS && atomic_load(&pool.busy); i++)
		relax();
	pthread_mutex_lock(&pool.mutex);
	pool.open = false;
	while (pool.active > 0)
		pthread_cond_wait(&pool.done, &pool.mutex);
	pthread_mutex_unlock(&pool.mutex);
	pthread_mutex_unlock(&pool.owner);
}

/* At exit, joins the threads, because leak checkers report threads that still run.  Does nothing
 * if a job is running. */
__attribute__((destructor)) static void shut_down(void)
{
	if (pthread_mutex_trylock(&pool.owner))
		return;
	if (pool.created > 0)
		join_threads();
	pthread_mutex_unlock(&pool.owner);
}
