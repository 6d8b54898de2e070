/*
 * workers.c - worker threads that prefetch batches.
 *
 * Workers claim samples in the order of the epoch, a few at a time, so that several workers finish
 * the next batch before they start the one after it.  The batch that the caller holds and each
 * prefetched batch have their own slot.
 */
#include <errno.h>
#include <signal.h>

#include "data/loader/internal.h"

enum { MOST_AT_ONCE = 16 };

ebb_slot *ebb_loader_slot(ebb_loader *l, int64_t index)
{
	return l->rest > 0 && index == l->batches - 1 ? &l->last : &l->slot[index % l->slots];
}

/* ---- Work ----------------------------------------------------------------------------------- */

typedef struct claim {
	ebb_slot *slot;
	int64_t index, from, to;
} claim;

/* Claims the next samples that may be filled.  The caller holds the lock. */
static bool next_claim(ebb_loader *l, claim *c)
{
	int64_t share, left;

	if (l->paused || l->settled || l->batch_at >= l->batches || l->batch_at >= l->released)
		return false;
	c->index = l->batch_at;
	c->slot = ebb_loader_slot(l, c->index);
	c->from = l->sample_at;
	share = c->slot->count / (4 * (l->workers + 1)) + 1;
	left = c->slot->count - c->from;
	share = share < MOST_AT_ONCE ? share : MOST_AT_ONCE;
	c->to = c->from + (share < left ? share : left);
	l->sample_at = c->to;
	if (c->to == c->slot->count) {
		l->batch_at++;
		l->sample_at = 0;
	}
	return true;
}

/* Fills the claimed samples.  Returns whether one failed; *failed_at is the first that did. */
static bool fill(ebb_loader *l, ebb_worker *w, const claim *c, int64_t *failed_at, ebb_error *e)
{
	bool failed = false;

	for (int64_t k = c->from; k < c->to && !atomic_load(&l->cancel); k++) {
		int64_t place = ebb_sampler_at(&l->sampler, c->index * l->batch + k);
		ebb_error own = {0};

		if (ebb_slot_fill(c->slot, k, w, place, &own) != EBB_FETCH_FAILED || failed)
			continue;
		failed = true;
		*failed_at = k;
		*e = own;
	}
	return failed;
}

/* The caller holds the lock; it is released during the work. */
static void work_on(ebb_loader *l, ebb_worker *w, const claim *c)
{
	ebb_slot *s = c->slot;
	int64_t failed_at = 0;
	ebb_error e = {0};
	bool failed;

	l->active++;
	w->busy = true;
	pthread_mutex_unlock(&l->lock);
	failed = fill(l, w, c, &failed_at, &e);
	pthread_mutex_lock(&l->lock);
	/* Of several failures, the error of the first sample in the batch is kept, whichever thread
	 * failed first. */
	if (failed && failed_at < s->failed_at) {
		s->failed_at = failed_at;
		s->error = e;
	}
	s->filled += c->to - c->from;
	if (s->filled == s->count && !atomic_load(&l->cancel)) {
		pthread_mutex_unlock(&l->lock);
		if (s->failed_at == s->count)
			ebb_slot_finish(s, l, c->index);
		pthread_mutex_lock(&l->lock);
		s->ready = true;
		pthread_cond_signal(&l->ready);
	}
	w->busy = false;
	if (--l->active == 0 || l->settled)
		pthread_cond_broadcast(&l->idle);
}

/* The loader whose worker this thread is, or NULL. */
static _Thread_local const ebb_loader *employer;

static void *work(void *worker)
{
	ebb_worker *w = worker;
	ebb_loader *l = w->loader;
	claim c;

	employer = l;
	pthread_mutex_lock(&l->lock);
	l->present++;
	pthread_cond_broadcast(&l->idle);
	while (!l->stop) {
		if (next_claim(l, &c))
			work_on(l, w, &c);
		else
			pthread_cond_wait(&l->work, &l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- The workers ---------------------------------------------------------------------------- */

bool ebb_workers_start(ebb_loader *l)
{
	sigset_t all, old;
	bool whole;

	if (l->workers == 0)
		return true;
	/* Workers block all signals, so that signals reach the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&l->lock);
	while (l->started < l->workers && pthread_create(&l->worker[l->started].thread, NULL, work,
						  &l->worker[l->started]) == 0)
		l->started++;
	whole = l->started == l->workers;
	pthread_mutex_unlock(&l->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return whole;
}

void ebb_workers_stop(ebb_loader *l)
{
	atomic_store(&l->cancel, true);
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < l->started; i++)
		pthread_join(l->worker[i].thread, NULL);
	/* The lock is needed because a fork in another thread reads both. */
	pthread_mutex_lock(&l->lock);
	l->started = l->present = 0;
	pthread_mutex_unlock(&l->lock);
}

void ebb_workers_pause(ebb_loader *l)
{
	atomic_store(&l->cancel, true);
	pthread_mutex_lock(&l->lock);
	l->paused = true;
	while (l->active > 0)
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

static void clear(ebb_slot *s)
{
	s->filled = 0;
	s->ready = false;
	s->failed_at = s->count;
	s->error = (ebb_error){0};
}

void ebb_workers_resume(ebb_loader *l, int64_t from)
{
	pthread_mutex_lock(&l->lock);
	for (int64_t i = 0; i < l->slots; i++)
		clear(&l->slot[i]);
	clear(&l->last);
	l->batch_at = from;
	l->sample_at = 0;
	l->released = from + (l->workers ? l->slots - 1 : 0);
	l->paused = false;
	atomic_store(&l->cancel, false);
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
}

void ebb_workers_release(ebb_loader *l, int64_t below)
{
	pthread_mutex_lock(&l->lock);
	/* The slot that the caller returned is that of the last batch that may now be started. */
	if (below <= l->batches)
		clear(ebb_loader_slot(l, below - 1));
	l->released = below;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
}

void ebb_workers_settle(ebb_loader *l, const struct timespec *deadline)
{
	/* A callback of the user may call fork in a worker of l; that worker stays busy. */
	int own = employer == l ? 1 : 0;

	l->settled = true;
	while ((l->active > own || l->present < l->started) &&
		pthread_cond_timedwait(&l->idle, &l->lock, deadline) != ETIMEDOUT)
		;
}

void ebb_workers_lose(ebb_loader *l)
{
	for (int i = 0; i < l->workers; i++) {
		ebb_worker *w = &l->worker[i];

		/* The memory is not freed: the worker may have been reallocating it at the time of
		 * the fork. */
		if (!w->busy)
			continue;
		*w = (ebb_worker){.loader = l};
		l->torn = true;
	}
	/* The copied condition variables still count the waiting threads, which do not exist in the
	 * child. */
	pthread_cond_init(&l->work, NULL);
	pthread_cond_init(&l->ready, NULL);
	pthread_cond_init(&l->idle, NULL);
	l->started = l->present = l->active = 0;
	l->lost = true;
}

bool ebb_workers_replace(ebb_loader *l)
{
	if (!l->lost)
		return true;
	pthread_mutex_lock(&l->lock);
	if (l->torn) {
		int64_t end = l->released < l->batches ? l->released : l->batches;

		l->batch_at = l->next;
		while (l->batch_at < end && ebb_loader_slot(l, l->batch_at)->ready)
			l->batch_at++;
		l->sample_at = 0;
		for (int64_t i = l->batch_at; i < end; i++)
			clear(ebb_loader_slot(l, i));
		l->torn = false;
	}
	pthread_mutex_unlock(&l->lock);
	l->lost = !ebb_workers_start(l);
	return !l->lost;
}

void ebb_workers_await(ebb_loader *l, int64_t index)
{
	ebb_slot *s = ebb_loader_slot(l, index);
	claim c;

	pthread_mutex_lock(&l->lock);
	while (!s->ready) {
		if (l->workers == 0 && next_claim(l, &c))
			work_on(l, &l->worker[0], &c);
		else
			pthread_cond_wait(&l->ready, &l->lock);
	}
	pthread_mutex_unlock(&l->lock);
}
