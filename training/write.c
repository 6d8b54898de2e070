/*
 * write.c - writing a save to the disk, in a thread or in the caller's thread.
 *
 * The thread accesses only its ebb_writing.  The saver reads the result only after joining the
 * thread, so no lock exists that a fork could copy in a locked state.
 */
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "training/internal.h"

double ebb_writing_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *write_it(void *writing)
{
	ebb_writing *w = writing;
	double began = ebb_writing_now();

	if ((ebb_archive_write)(&(ebb_archive_write_args){.a = w->archive,
		    .path = w->path,
		    .format = EBB_SAFETENSORS,
		    .error = &w->error}) &&
		w->step >= 0)
		ebb_saves_prune(w->files, w->step, w->later, &w->error);
	w->seconds = ebb_writing_now() - began;
	atomic_store(&w->ended, true);
	return NULL;
}

/* The thread blocks all signals, so that signals reach the program's own threads. */
static bool start_thread(ebb_writing *w)
{
	sigset_t all, old;

	atomic_store(&w->ended, false);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	w->process = getpid();
	w->running = pthread_create(&w->thread, NULL, write_it, w) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return w->running;
}

static void clear(ebb_writing *w)
{
	ebb_archive_free(w->archive);
	ebb_free(w->path, w->path ? strlen(w->path) + 1 : 0);
	w->archive = NULL;
	w->path = NULL;
}

void ebb_writing_begin(ebb_writing *w, bool in_thread)
{
	if (in_thread && start_thread(w))
		return;
	write_it(w);
	clear(w);
}

void ebb_writing_end(ebb_writing *w)
{
	if (!w->running)
		return;
	w->running = false;
	if (w->process == getpid())
		pthread_join(w->thread, NULL);
	else
		w->error = (ebb_error){0};
	clear(w);
}

bool ebb_writing_has_ended(const ebb_writing *w)
{
	return w->running && atomic_load(&w->ended);
}
