/*
 * fork.c - loaders with worker threads in a process that forks.
 *
 * The child has a copy of the memory, but only the thread that called fork.  So the handler of fork
 * waits until no worker is busy, and takes the locks that workers use.  The state is then
 * consistent in the child, in the allocator too, and the child continues where the parent was.
 *
 * A worker cannot finish if it calls a function of the user that waits for the thread that forks.
 * So fork continues after PATIENCE seconds.  In this case the child forgets the memory that such a
 * worker was writing to, and fills the batches that were not ready again.
 */
#include <time.h>

#include "data/internal.h"
#include "data/loader/internal.h"

static pthread_mutex_t fleet_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static ebb_loader *fleet; /* every loader with workers */

/* Seconds to wait, for all loaders together. */
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
