/*
 * fork.c - loaders with workers in a process that forks.
 *
 * The child has a copy of the memory, but of the threads only the one that forked.  So a fork waits
 * until no worker is in the middle of anything, and holds the locks that workers take: the child
 * finds everything whole, in the allocator too, and goes on where the parent was.
 *
 * A worker may be unable to finish, if the user's function that it calls waits for the thread that
 * forks.  Then the fork goes on after a while.  What that worker was making is not whole: the child
 * forgets the worker's scratch memory, and makes the batches again that were not ready.
 */
#include <time.h>

#include "data/internal.h"
#include "data/loader/internal.h"

static pthread_mutex_t fleet_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static ebb_loader *fleet; /* every loader with workers */

/* Seconds, for all loaders together. */
enum { PATIENCE = 2 };

static void before_fork(void)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += PATIENCE;
	pthread_mutex_lock(&fleet_lock);
	for (ebb_loader *l = fleet; l; l = l->in_fleet.next) {
		pthread_mutex_lock(&l->lock);
		ebb_workers_settle(l, &deadline);
		if (l->cache.kept)
			pthread_mutex_lock(&l->cache.lock);
	}
	ebb_notes_hold(true);
}

static void let_go(void)
{
	ebb_notes_hold(false);
	for (ebb_loader *l = fleet; l; l = l->in_fleet.next) {
		if (l->cache.kept)
			pthread_mutex_unlock(&l->cache.lock);
		l->settled = false;
		pthread_cond_broadcast(&l->work);
		pthread_mutex_unlock(&l->lock);
	}
	pthread_mutex_unlock(&fleet_lock);
}

static void in_child(void)
{
	for (ebb_loader *l = fleet; l; l = l->in_fleet.next)
		ebb_workers_lose(l);
	let_go();
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, let_go, in_child);
}

void ebb_fleet_join(ebb_loader *l)
{
	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&fleet_lock);
	l->in_fleet.next = fleet;
	l->in_fleet.at = &fleet;
	if (fleet)
		fleet->in_fleet.at = &l->in_fleet.next;
	fleet = l;
	pthread_mutex_unlock(&fleet_lock);
}

void ebb_fleet_leave(ebb_loader *l)
{
	pthread_mutex_lock(&fleet_lock);
	if (l->in_fleet.at) {
		*l->in_fleet.at = l->in_fleet.next;
		if (l->in_fleet.next)
			l->in_fleet.next->in_fleet.at = l->in_fleet.at;
		l->in_fleet.at = NULL;
	}
	pthread_mutex_unlock(&fleet_lock);
}
