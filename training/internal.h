/*
 * internal.h - what a saver is made of: items, the names of its files, and a copy that is being
 * written.
 */
#ifndef EBB_TRAINING_INTERNAL_H
#define EBB_TRAINING_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "archive/state.h"
#include "training/snapshot.h"
#include "training/training.h"

/* ---- Items (items.c) ------------------------------------------------------------------------- */

typedef struct ebb_saved ebb_saved;

/* What a kind of item does. */
typedef struct ebb_saved_kind {
	const char *what; /* "an optimizer" */
	/* Its own error; NULL: none, or it can have none. */
	const ebb_error *(*fault)(const ebb_saved *x);
	bool (*put)(ebb_saved *x, ebb_archive *a, ebb_error *e);
	/* Changes nothing; all that is wrong goes into c. */
	void (*fits)(ebb_saved *x, const ebb_archive *a, ebb_complaints *c);
	/* After fits. */
	bool (*take)(ebb_saved *x, const ebb_archive *a, ebb_error *e);
	/* Something was taken in part: nobody may go on with it.  NULL: nothing can be done. */
	void (*spoil)(ebb_saved *x, const ebb_error *e);
} ebb_saved_kind;

/* An entry of numbers. */
typedef struct ebb_field {
	const char *suffix; /* behind the item's name */
	ebb_file_dtype dtype;
	ebb_shape shape;
	void *at; /* NULL: there is no such entry */
} ebb_field;

struct ebb_saved {
	const ebb_saved_kind *kind;
	char *name, *prefix; /* "model", "model." */
	void *object;
	ebb_field field[2];
	uint64_t drawn[2]; /* a tape's random state */
	size_t size;       /* room for a text */
};

extern const ebb_saved_kind ebb_saved_params, ebb_saved_optim, ebb_saved_loader, ebb_saved_numbers,
	ebb_saved_tape, ebb_saved_tensor, ebb_saved_text;

/* ---- Files (files.c) ------------------------------------------------------------------------- */

/* The parts of a path: directory (with its slash), name, ending (with its dot). */
typedef struct ebb_saves {
	char *path, *folder;            /* folder: the directory as a path of its own */
	size_t directory, name, length; /* where each part ends, from the beginning */
	int keep;
} ebb_saves;

bool ebb_saves_new(ebb_saves *f, const char *path, int keep, ebb_error *e, const char *site);
void ebb_saves_free(ebb_saves *f);
/* Where the save of a step goes; the best one: step -1.  The caller frees it with its length +
 * 1.  NULL without memory. */
char *ebb_saves_path(const ebb_saves *f, int64_t step);
typedef struct ebb_steps {
	int64_t *at;
	int64_t count, capacity;
} ebb_steps;
/* The steps of the files that are there, newest first, and their number; with keep = 0 a step of
 * 0 for the one file.  The caller frees them.  -1 with an error. */
int64_t ebb_saves_list(const ebb_saves *f, ebb_steps *steps, ebb_error *e);
void ebb_steps_free(ebb_steps *s);
/* A file of the saver that this one would be with .keep, or without; NULL: there is none, or an
 * error. */
char *ebb_saves_other(const ebb_saves *f, ebb_error *e);
/* Removes what goes once step is on the disk: all before the last n, and with later the files of
 * later steps; without it those stay, and do not count. */
bool ebb_saves_prune(const ebb_saves *f, int64_t step, bool later, ebb_error *e);

/* ---- Writing (write.c) ----------------------------------------------------------------------- */

/* A save that is being written, or was. */
typedef struct ebb_writing {
	const ebb_saves *files;
	ebb_archive *archive;
	char *path;
	int64_t step; /* what to prune after; -1: nothing */
	bool later;   /* files of later steps may go */
	double seconds;
	ebb_error error;
	bool running; /* by the thread of this process */
	atomic_bool ended;
	pid_t process;
	pthread_t thread;
} ebb_writing;

/* Writes archive, which is freed, and path too.  in_thread: in a thread of its own, if there can be
 * one. */
void ebb_writing_begin(ebb_writing *w, bool in_thread);
/* Returns when it is written.  In a child of fork the thread is the parent's, and so is its
 * file. */
void ebb_writing_end(ebb_writing *w);
/* Whether ebb_writing_end would have something to do, and not wait. */
bool ebb_writing_has_ended(const ebb_writing *w);
double ebb_writing_now(void); /* seconds */

/* ---- The saver ------------------------------------------------------------------------------- */

void ebb_saver_free_items(ebb_saver *s); /* add.c */
/* All that is saved, as it is in memory, for saver.c and resume.c. */
ebb_archive *ebb_saver_gather(ebb_saver *s, int64_t step, ebb_error *e);
/* Whether all could be added, and nothing of it has an error: it may be in the middle of a step
 * then. */
bool ebb_saver_is_ready(const ebb_saver *s, ebb_error *e);
/* Waits for what is being written. */
void ebb_saver_finish(ebb_saver *s);
/* The saver's error, unless it has one. */
void ebb_saver_fail(ebb_saver *s, const ebb_error *e);
extern const char ebb_saver_own[], ebb_saver_step[], ebb_saver_best_score[], ebb_saver_item[],
	ebb_saver_version[];

/* Whether the saver knows what a former run has left. */
typedef enum ebb_looked {
	EBB_NOT_LOOKED,
	EBB_LOOKED_IN_VAIN, /* there is something that could not be resumed */
	EBB_LOOKED          /* it was resumed, or is none, or a save has found nothing in its way */
} ebb_looked;

struct ebb_saver {
	ebb_saves files;
	ebb_looked looked;
	bool background;
	ebb_saved **item; /* [count] */
	int64_t count, capacity;
	bool broken;              /* something could not be added */
	double best, best_before; /* the one that is being written */
	double stall, seconds;
	char note[500];
	char *newest; /* for ebb_saver_newest */
	ebb_snapshot snapshot;
	ebb_writing writing;
	ebb_error error;
};

#endif
