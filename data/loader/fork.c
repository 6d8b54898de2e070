/*
 * fork.c - loaders with workers in a process that forks.
 *
 * The child has a copy of the memory, but of the threads only the one that forked.  Before a fork
 * every lock that a worker may hold is taken, so that in the child what these locks guard is whole.
 * What a worker was making without a lock is not: the child forgets that worker's scratch memory,
 * and makes the batches that were not ready again.
 */
#include "data/internal.h"
#include "data/loader/internal.h"

static pthread_mutex_t fleet_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static ebb_loader *fleet; /* every loader with workers */

static void before_fork(void)
{
	pthread_mutex_lock(&fleet_lock);
	for (ebb_loader *l = fleet; l; l = l->in_fleet.next) {
		pthread_mutex_lock(&l->lock);
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
		pthread_mutex_unlock(&l->lock);
	}
	pthread_mutex_unlock(&fleet_lock);
}

static void in_child(void)
{
	for (ebb_loader *l = fleet; l; l = l->in_fleet.next)
		ebb_crew_lose(l);
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
	if (!l->in_fleet.at)
		return;
	pthread_mutex_lock(&fleet_lock);
	*l->in_fleet.at = l->in_fleet.next;
	if (l->in_fleet.next)
		l->in_fleet.next->in_fleet.at = l->in_fleet.at;
	l->in_fleet.at = NULL;
	pthread_mutex_unlock(&fleet_lock);
}
